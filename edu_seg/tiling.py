"""Overlap-tile inference: a net without padding over an image of any size, tile by tile, with mirrored borders.

Source: Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, figure 2.
A net of valid convolutions predicts less than it sees: a margin is missing on each side. So tiles of the input overlap by two
margins, their predictions lie edge to edge, and at the image's border the missing input is the image mirrored. Nothing is blended:
each pixel's logits are, to the last bit but for the order of sums, those of one pass over the whole image. Only the tiles must begin
at multiples of the net's stride, for a net with pools repeats itself only there.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def mirror_pad(images: Float[Tensor, "N C H W"], top: int, bottom: int, left: int, right: int) -> Float[Tensor, "N C h w"]:
    """The image continued beyond its borders as in a mirror, over and over where it is smaller than what is missing.

    The border's pixels are not repeated: … 2 1 | 0 1 2 3 | 2 1 0 1 … for four pixels. A single pixel is repeated.
    """
    if min(top, bottom, left, right) < 0:
        raise ValueError(f"padding of {top}, {bottom}, {left} and {right} pixels (top, bottom, left, right): none may be negative")
    return _mirrored(_mirrored(images, 2, top, bottom), 3, left, right)


def _mirrored(images: Tensor, axis: int, before: int, after: int) -> Tensor:
    """Along one axis, in rounds of at most size - 1 pixels: then every border that is mirrored next is again one of the image's."""
    most = images.shape[axis] - 1
    if most == 0:
        return F.pad(images, (0, 0, before, after) if axis == 2 else (before, after, 0, 0), mode="replicate")
    while before or after:
        first, last = min(before, most), min(after, most)
        images = F.pad(images, (0, 0, first, last) if axis == 2 else (first, last, 0, 0), mode="reflect")
        before, after = before - first, after - last
    return images


@torch.no_grad()
def overlap_tile(
    model: Callable[[Tensor], Tensor],
    images: Float[Tensor, "N C H W"],
    tile: int | tuple[int, int],
    *,
    margin: int,
    stride: int = 1,
) -> Float[Tensor, "N K H W"]:
    """Logits of the images' size from a model that is given tiles and answers without `margin` pixels on each side.

    model: (N, C, h, w) -> (N, K, h - 2 · margin, w - 2 · margin); a net should be in evaluation mode. tile: h and w, or one number for
    both. margin, stride: of the net (`UNet.margin`, `UNet.stride`: 92 and 16). Predictions begin at multiples of `stride`; of what a
    tile predicts beyond the last multiple nothing is used (4 of 388 rows for the paper's tile of 572).
    Raises ValueError for a tile that predicts less than one stride, and where the model answers in another size.
    """
    tile_height, tile_width = tile if isinstance(tile, tuple) else (tile, tile)
    if margin < 0 or stride < 1 or min(tile_height, tile_width) < 2 * margin + stride:
        raise ValueError(
            f"a tile of {tile_height} × {tile_width} leaves less than a stride of {stride} within its margin of {margin}: "
            f"take tiles of at least {2 * margin + stride} pixels, of a size that the net takes"
        )
    steps = (tile_height - 2 * margin) // stride * stride, (tile_width - 2 * margin) // stride * stride
    if min(images.shape) < 1:
        raise ValueError(f"images need at least one pixel and one example, got {tuple(images.shape)}")
    height, width = images.shape[2:]
    tops, lefts = range(0, height, steps[0]), range(0, width, steps[1])
    bottom, right = tops[-1] + tile_height - margin - height, lefts[-1] + tile_width - margin - width
    wider = mirror_pad(images, margin, bottom, margin, right)
    rows = [torch.cat([_answer(model, wider, (top, left), (tile_height, tile_width), margin, steps) for left in lefts], 3) for top in tops]
    return torch.cat(rows, 2)[:, :, :height, :width]


def _answer(
    model: Callable[[Tensor], Tensor], wider: Tensor, corner: tuple[int, int], tile: tuple[int, int], margin: int, steps: tuple[int, int]
) -> Tensor:
    """What the model says of one tile, as far as the next one begins. Raises ValueError where it is not as large as the margin says."""
    made = model(wider[:, :, corner[0] : corner[0] + tile[0], corner[1] : corner[1] + tile[1]])
    height, width = tile[0] - 2 * margin, tile[1] - 2 * margin
    if tuple(made.shape[2:]) != (height, width):
        raise ValueError(
            f"the model made {made.shape[2]} × {made.shape[3]} of a tile whose margins leave {height} × {width}: give the net's own "
            'margin, and a net that pads nothing (unet with padding="valid")'
        )
    return made[:, :, : steps[0], : steps[1]]
