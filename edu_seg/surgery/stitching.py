"""Dense output from a coarse network by running it on shifted images and interlacing the outputs (FCN, section 3.2)."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

SHIFTED_AT_ONCE = 16


def shift_and_stitch(
    model: nn.Module, images: Float[Tensor, "N C H W"], stride: int, *, at_once: int = SHIFTED_AT_ONCE
) -> Float[Tensor, "N K h w"]:
    """The scores at every pixel that a network of the given stride makes from stride² passes over shifted images.

    Each pass sees the images moved up by dy and left by dx, zeros following; units that would reach into those are left out again. Memory
    is that of a batch of `at_once` images, however many passes there are. Where no layer pads, out[dy::f, dx::f] = model(images[dy:, dx:]),
    and the numbers are those of `remove_stride(model, 1)`; with padding they differ near the border, since each pass pads elsewhere.
    Raises ValueError for a stride that is not the network's, or an output that is not one map.
    """
    if stride < 1 or at_once < 1:
        raise ValueError(f"stride and at_once must be at least 1, got {stride} and {at_once}")
    height, width = _stitched_size(model, images, stride)
    shifted = shifted_copies(images, stride)
    passes = torch.cat([model(part) for part in shifted.flatten(0, 1).split(at_once)])
    return stitched(passes.unflatten(0, shifted.shape[:2]), stride)[:, :, :height, :width]


def shifted_copies(images: Float[Tensor, "N C H W"], stride: int) -> Float[Tensor, "passes N C H W"]:
    """stride² copies: number dy · stride + dx begins at row dy and column dx of the images, and ends in as many zeros."""
    height, width = images.shape[2:]
    padded = F.pad(images, (0, stride - 1, 0, stride - 1))
    return torch.stack([padded[:, :, dy : dy + height, dx : dx + width] for dy in range(stride) for dx in range(stride)])


def stitched(passes: Float[Tensor, "passes N K h w"], stride: int) -> Float[Tensor, "N K H W"]:
    """Interlaces the outputs of `shifted_copies`: unit (i, j) of pass (dy, dx) goes to row i · stride + dy, column j · stride + dx."""
    if len(passes) != stride**2:
        raise ValueError(f"{len(passes)} passes, and a stride of {stride} takes {stride**2}")
    return F.pixel_shuffle(passes.permute(1, 2, 0, 3, 4).flatten(1, 2), stride)


def _stitched_size(model: nn.Module, images: Tensor, stride: int) -> tuple[int, int]:
    """Rows and columns of the stitched map: the sum of what all shifts make along each axis."""
    sizes = [_map_size(model, images, more) for more in range(stride + 1)]
    height, width = ([size[axis] for size in sizes] for axis in (0, 1))
    for axis, made in enumerate((height, width)):
        next_unit = sum(count == made[0] for count in made)  # so many pixels more make one unit more
        later = [_map_size(model, images, next_unit + stride - one)[axis] for one in (1, 0)]
        if made[-1] != made[0] + 1 or later != [made[0] + 1, made[0] + 2]:
            raise ValueError(
                f"the network makes {made[0]} units of {images.shape[2 + axis]} pixels and {made[-1]} of {stride} more, "
                f"so its stride is not {stride}"
            )
    # A shift by d leaves size - d pixels, which make one unit less than size - d + stride.
    return sum(height[:-1]) - stride + 1, sum(width[:-1]) - stride + 1


def _map_size(model: nn.Module, images: Tensor, more: int) -> tuple[int, int]:
    """(height, width) of the output for images `more` pixels larger along both axes, found without computing a number."""
    height, width = images.shape[2:]
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        output = model(images.new_empty(*images.shape[:2], height + more, width + more))
    if not isinstance(output, Tensor) or output.ndim != 4:
        raise ValueError(f"the network makes {getattr(output, 'shape', type(output).__name__)}, not one map: convolutionalise it first")
    return output.shape[2], output.shape[3]
