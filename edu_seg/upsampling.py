"""From a coarse map to a fine one: bilinear kernels, transposed convolutions that start as (or stay) bilinear, and crops."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


def bilinear_kernel(kernel_size: int, dtype: torch.dtype = torch.float32) -> Float[Tensor, "k k"]:
    """The tent, centred on the kernel, whose transposed convolution with stride (k + 1) // 2 interpolates bilinearly.

    Source: `surgery.py` of the released FCN code, for even and odd sizes. (Caffe's own bilinear filler is off-centre at odd sizes.)
    """
    if kernel_size < 1:
        raise ValueError(f"kernel_size must be at least 1, got {kernel_size}")
    factor = (kernel_size + 1) // 2
    distance = (torch.arange(kernel_size, dtype=dtype) - (kernel_size - 1) / 2).abs()
    tent = 1 - distance / factor
    return torch.outer(tent, tent)


class BilinearUpsampling(nn.Module):
    """A frozen bilinear transposed convolution, the same tent for every channel: (N, C, h, w) -> (N, C, (h-1)s + k, (w-1)s + k).

    It holds no parameter. Frozen, it is a plain bilinear interpolation of the map with a border of zeros, which is how it is
    computed for even kernels of twice the stride: exactly the same numbers (a test holds this), some ten times faster.
    """

    kernel: Tensor

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.kernel_size, self.stride = kernel_size, stride
        self.register_buffer("kernel", bilinear_kernel(kernel_size), persistent=False)

    def forward(self, scores: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C H W"]:
        if self.stride % 2 == 0 and self.kernel_size == 2 * self.stride:
            bordered = F.pad(scores, (1, 1, 1, 1))
            fine = F.interpolate(bordered, scale_factor=self.stride, mode="bilinear", align_corners=False)
            margin = self.stride // 2
            return fine[:, :, margin:-margin, margin:-margin]
        channels = scores.shape[1]
        weight = self.kernel.to(scores.dtype).expand(channels, 1, -1, -1)
        return F.conv_transpose2d(scores, weight, stride=self.stride, groups=channels)

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
