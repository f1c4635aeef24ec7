"""From a coarse map to a fine one: bilinear kernels, transposed convolutions that start as (or stay) bilinear, and crops."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def bilinear_tent(kernel_size: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, " k"]:
    """One axis of `bilinear_kernel`, which is this tent times itself."""
    if kernel_size < 1:
        raise ValueError(f"kernel_size must be at least 1, got {kernel_size}")
    factor = (kernel_size + 1) // 2
    distance = (torch.arange(kernel_size, dtype=dtype) - (kernel_size - 1) / 2).abs()
    return 1 - distance / factor


def bilinear_kernel(kernel_size: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "k k"]:
    """The tent, centred on the kernel, whose transposed convolution with stride (k + 1) // 2 interpolates bilinearly.

    Source: `surgery.py` of the released FCN code, for even and odd sizes. (Caffe's own bilinear filler is off-centre at odd sizes.)
    """
    tent = bilinear_tent(kernel_size, dtype)
    return torch.outer(tent, tent)


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
