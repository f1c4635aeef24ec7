"""From a coarse map to a fine one: bilinear kernels, transposed convolutions that start as (or stay) bilinear, unpooling, and crops."""

from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor, nn

from edu_seg.geometry import Grid, transposed_output_size

Filler = Literal["centred", "caffe"]
Border = Literal["zero", "replicate", "divide"]


def bilinear_tent(kernel_size: int, dtype: torch.dtype = torch.float32, filler: Filler = "centred") -> Float[Tensor, " k"]:
    """One axis of `bilinear_kernel`, which is this tent times itself."""
    if kernel_size < 1:
        raise ValueError(f"kernel_size must be at least 1, got {kernel_size}")
    factor = (kernel_size + 1) // 2
    if filler not in get_args(Filler):
        raise ValueError(f"filler {filler!r}: there are {', '.join(get_args(Filler))}")
    centre = (kernel_size - 1) / 2 if filler == "centred" else factor - 0.5 - factor % 2 / 2
    distance = (torch.arange(kernel_size, dtype=dtype) - centre).abs()
    return 1 - distance / factor


def bilinear_kernel(kernel_size: int, dtype: torch.dtype = torch.float32, filler: Filler = "centred") -> Float[Tensor, "k k"]:
    """The tent whose transposed convolution with stride (k + 1) // 2 interpolates bilinearly.

    filler: "centred" on the kernel, at even and odd sizes (`surgery.py` of the released FCN code); "caffe": Caffe's own bilinear filler,
    the same at 4, 5, 8, 16 and 64, off the centre at 2, 3, 6, 7 and 63.
    """
    tent = bilinear_tent(kernel_size, dtype, filler)
    return torch.outer(tent, tent)


def upsample_bilinear(features: Float[Tensor, "N C h w"], factor: int, border: Border = "replicate") -> Float[Tensor, "N C H W"]:
    """Bilinear upsampling by a whole factor f as a transposed convolution: (N, C, h, w) -> (N, C, h·f, w·f).

    The tent has 2f taps for even f and 2f - 1 for odd ones, the stride is f and the padding (k - f) / 2. Inside, the numbers are those of
    `F.interpolate(mode="bilinear", align_corners=False)`. At the border, f/2 pixels wide, a bare transposed convolution is too dark, since
    the tent of the neighbour outside is missing ("zero"). Two exact cures: "replicate" lays the border's units down once more outside, and
    cuts them off again; "divide" divides by what a map of ones would give.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
    if border not in get_args(Border):
        raise ValueError(f"border {border!r}: there are {', '.join(get_args(Border))}")
    if border == "replicate":
        wider = F.pad(features, (1, 1, 1, 1), mode="replicate")
        return upsample_bilinear(wider, factor, "zero")[:, :, factor:-factor, factor:-factor]
    if border == "divide":
        return upsample_bilinear(features, factor, "zero") / upsample_bilinear(torch.ones_like(features[:1, :1]), factor, "zero")
    size = 2 * factor - factor % 2
    channels = features.shape[1]
    weight = bilinear_kernel(size, features.dtype).to(features.device).expand(channels, 1, size, size)
    return F.conv_transpose2d(features, weight, stride=factor, padding=(size - factor) // 2, groups=channels)


def overlap_count(size: int, kernel_size: int, stride: int, padding: int = 0) -> Int64[Tensor, " n"]:
    """How many kernels lie over each output of a transposed convolution, along one axis of `size` units.

    Where the counts alternate in the middle, equal inputs make unequal outputs: the checkerboard. They do not if and only if the stride
    divides the kernel's size. In two dimensions the counts of both axes multiply.
    Source: Odena, Dumoulin, Olah, "Deconvolution and checkerboard artifacts" (2016).
    """
    made = transposed_output_size(size, kernel_size, stride, padding)
    ones = torch.ones(1, 1, size, dtype=torch.float64), torch.ones(1, 1, kernel_size, dtype=torch.float64)
    counts = F.conv_transpose1d(*ones, stride=stride, padding=padding)[0, 0].long()
    assert len(counts) == made
    return counts


def max_pool_with_switches(
    features: Float[Tensor, "N C H W"], kernel_size: int = 2, stride: int | None = None
) -> tuple[Float[Tensor, "N C h w"], Int64[Tensor, "N C h w"]]:
    """Max pooling, and for each maximum its switch: the place row · W + column where it was found (DeconvNet, section 3.2; SegNet)."""
    pooled, switches = F.max_pool2d(features, kernel_size, stride or kernel_size, return_indices=True)
    return pooled, switches


def max_unpool(
    values: Float[Tensor, "N C h w"], switches: Int64[Tensor, "N C h w"], output_size: tuple[int, int]
) -> Float[Tensor, "N C H W"]:
    """Puts each value back to where its switch says, zeros elsewhere. `output_size`: (height, width) before the pool, any.

    Where pools overlap and a switch occurs twice, the value is put there once, not summed. Raises ValueError for switches of another
    shape, or that point outside.
    """
    if values.shape != switches.shape:
        raise ValueError(f"values {tuple(values.shape)} and switches {tuple(switches.shape)}: give each value its switch")
    height, width = output_size
    if switches.numel() and not 0 <= int(switches.min()) <= int(switches.max()) < height * width:
        raise ValueError(f"a switch points to place {int(switches.max())}, and a map of {height} × {width} has {height * width}")
    return put_back(values, switches, output_size)


def put_back(values: Float[Tensor, "N C h w"], switches: Int64[Tensor, "N C h w"], size: tuple[int, int]) -> Float[Tensor, "N C H W"]:
    """`max_unpool` without a look at the switches, which would make a GPU wait."""
    flat = values.new_zeros(*values.shape[:2], size[0] * size[1])
    return flat.scatter(2, switches.flatten(2), values.flatten(2)).unflatten(2, size)


def upsample_to_pixels(scores: Float[Tensor, "N C h w"], grid: Grid, height: int, width: int) -> Float[Tensor, "N C H W"]:
    """Bilinear interpolation of a coarse map at every pixel of the image; `grid` says where its units sit, along both axes.

    No alignment is assumed: units in the middle of their cells (centre (s - 1) / 2) give `F.interpolate(align_corners=False)`, units on
    whole pixels from 0 on, one of them on the last, `align_corners=True`. Beyond the outermost units the map goes on as it ends.
    """
    sizes = zip(scores.shape[2:], (height, width), strict=True)
    rows, columns = (torch.from_numpy(_interpolation(grid, units, pixels)).to(scores) for units, pixels in sizes)
    return rows @ scores @ columns.T


@lru_cache
def _interpolation(grid: Grid, units: int, pixels: int) -> Float64[ndarray, "pixels units"]:
    """Row p: the weights of the (at most two) units around pixel p. In NumPy, so that the map's precision has no say in the places."""
    places = (np.arange(pixels) - float(grid.centre)) / float(grid.stride)
    distance = places.clip(0, units - 1)[:, None] - np.arange(units)
    return (1 - np.abs(distance)).clip(min=0)


def reflect_pad(images: Float[Tensor, "N C H W"], top: int, bottom: int, left: int, right: int) -> Float[Tensor, "N C h w"]:
    """The images mirrored about their border pixels, as often as the padding needs (OpenCV's REFLECT_101, which has no largest size)."""
    if min(top, bottom, left, right) >= 0 and max(top, bottom) < images.shape[2] and max(left, right) < images.shape[3]:
        return F.pad(images, (left, right, top, bottom), mode="reflect")
    rows, columns = (
        _mirrored(size, before, after, images.device)
        for size, before, after in ((images.shape[2], top, bottom), (images.shape[3], left, right))
    )
    return images[:, :, rows][:, :, :, columns]


def _mirrored(size: int, before: int, after: int, device: torch.device) -> Int64[Tensor, " padded"]:
    """The pixel that each place of the padded axis shows: … 2 1 0 1 2 … size-2 size-1 size-2 …"""
    if min(before, after) < 0 or size < 1:
        raise ValueError(f"{size} pixels padded by {before} and {after}: a padding is at least 0, an image has at least one pixel")
    period = max(1, 2 * (size - 1))
    places = torch.arange(-before, size + after, device=device) % period
    return torch.minimum(places, period - places) if size > 1 else torch.zeros_like(places)


class BilinearUpsampling(nn.Module):
    """A frozen bilinear transposed convolution, the same tent for every channel: (N, C, h, w) -> (N, C, (h-1)s + k, (w-1)s + k).

    It holds no parameter. The tent is a product of its two axes, so the whole layer is one matrix for the rows and one for the columns,
    T_h · scores · T_wᵀ: the same numbers as `conv_transpose2d` with `bilinear_kernel`, many times faster.
    """

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        if kernel_size < 1 or stride < 1:
            raise ValueError(f"kernel_size and stride must be at least 1, got {kernel_size} and {stride}")
        self.kernel_size, self.stride = kernel_size, stride

    def matrix(self, like: Float[Tensor, "N C h w"], size: int) -> Float[Tensor, "out in"]:
        """((size-1)s + k, size): column i is the tent that unit i lays down, i strides further on."""
        tent = bilinear_tent(self.kernel_size, like.dtype).to(like.device)
        units = torch.eye(size, dtype=like.dtype, device=like.device)[:, None]
        return F.conv_transpose1d(units, tent[None, None], stride=self.stride)[:, 0].T

    def forward(self, scores: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C H W"]:
        rows, columns = (self.matrix(scores, size) for size in scores.shape[2:])
        return rows @ scores @ columns.T

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


def bilinear_conv_transpose(channels: int, kernel_size: int, stride: int) -> nn.ConvTranspose2d:
    """A learnable transposed convolution, dense over the channels and without bias, that starts as bilinear upsampling.

    Channel c starts from channel c alone (the kernels off the diagonal are 0), as Caffe's bilinear filler with the released FCN's
    `surgery.interp` does.
    """
    layer = nn.ConvTranspose2d(channels, channels, kernel_size, stride, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[range(channels), range(channels)] = bilinear_kernel(kernel_size)
    return layer


def crop(features: Float[Tensor, "N C H W"], top: int, left: int, height: int, width: int) -> Float[Tensor, "N C h w"]:
    """The window of `height` × `width` units that begins at unit (top, left). Raises ValueError if it leaves the map."""
    if top < 0 or left < 0 or top + height > features.shape[2] or left + width > features.shape[3]:
        raise ValueError(
            f"a {height}×{width} crop at ({top}, {left}) leaves the map of {features.shape[2]}×{features.shape[3]}: "
            "more padding in the first layer makes the map larger"
        )
    return features[:, :, top : top + height, left : left + width]
