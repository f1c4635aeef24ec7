"""Testing at several scales, mirrored, and window by window: more computation at test time for a few points of score.

Each function takes a model, that is, anything from images (N, 3, H, W) to logits (N, K, H, W), and gives logits again: the logarithm of
the mean probability. So `softmax` turns them into that mean, `argmax` into predictions, and the functions go into each other:
`multi_scale(partial(sliding_window, model, window=473), images)` is how the PSPNet paper tests.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Model = Callable[[Tensor], Tensor]


def multi_scale(
    model: Model,
    images: Float[Tensor, "N 3 H W"],
    scales: Sequence[float | int] = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
    *,
    mirror: bool = True,
) -> Float[Tensor, "N K H W"]:
    """The mean prediction over the images at each scale, and mirrored left and right as well: logits at the images' own size.

    The scales are those of PSPNet (section 5.1) and DeepLab v3 (section 4.1). Probabilities are averaged, in a running sum: more scales
    take more time and no more memory. Raises ValueError for no scale or one that is not above 0.
    """
    if not scales or min(scales) <= 0:
        raise ValueError(f"scales {tuple(scales)}: give one or more factors above 0")
    height, width = images.shape[2:]
    sums: Tensor | None = None
    for scale in scales:
        size = (max(1, round(scale * height)), max(1, round(scale * width)))
        scaled = images if size == (height, width) else F.interpolate(images, size, mode="bilinear", align_corners=False)
        for flips in (False, True) if mirror else (False,):
            probs = F.interpolate(_probs(model, scaled, flips), (height, width), mode="bilinear", align_corners=False)
            sums = probs if sums is None else sums.add_(probs)
            del probs  # before the next map is made
    assert sums is not None
    return _log(sums / (len(scales) * (2 if mirror else 1)))


def _probs(model: Model, images: Float[Tensor, "N 3 h w"], flips: bool) -> Float[Tensor, "N K _ _"]:
    """The model's probabilities, by way of the mirror or not."""
    return (model(images.flip(3)).flip(3) if flips else model(images)).softmax(1)


def sliding_window(
    model: Model, images: Float[Tensor, "N 3 H W"], window: int | tuple[int, int], overlap: float | int = 1 / 3
) -> Float[Tensor, "N K H W"]:
    """The mean prediction over windows of `window` pixels that cover the images, for images larger than the crops of training.

    overlap: the least part of a window's length that the next one shares with it. The last window ends where the image ends. An image
    smaller than a window is filled up behind with zeros, which is the mean of normalised images, and the filling is cut off again.
    Raises ValueError for a window without pixels and an overlap outside [0, 1).
    """
    rows, columns = (window, window) if isinstance(window, int) else window
    if min(rows, columns) < 1 or not 0 <= overlap < 1:
        raise ValueError(f"window {rows} × {columns}, overlap {overlap}: at least one pixel, and an overlap in [0, 1)")
    height, width = images.shape[2:]
    padded = F.pad(images, (0, max(0, columns - width), 0, max(0, rows - height)))
    sums: Tensor | None = None
    counts = images.new_zeros(1, 1, *padded.shape[2:])
    for top in window_starts(padded.shape[2], rows, overlap):
        for left in window_starts(padded.shape[3], columns, overlap):
            part = (slice(None), slice(None), slice(top, top + rows), slice(left, left + columns))
            probs = model(padded[part]).softmax(1)
            sums = probs.new_zeros(len(images), probs.shape[1], *padded.shape[2:]) if sums is None else sums
            sums[part] += probs
            counts[part] += 1
    assert sums is not None
    return _log((sums / counts)[:, :, :height, :width])


def window_starts(size: int, window: int, overlap: float | int = 1 / 3) -> list[int]:
    """Where windows begin along an axis of `size` pixels: as few as keep the overlap, evenly laid, the last one ending at the end."""
    room = size - window
    if room <= 0:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    count = -(-room // step)
    return [round(number * room / count) for number in range(count + 1)]


def _log(probs: Tensor) -> Tensor:
    """The logarithm, finite where a probability has become 0."""
    return probs.clamp(min=torch.finfo(probs.dtype).tiny).log()
