"""The one layer that torch lacks: an average pool with gaps."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class DilatedAvgPool2d(nn.Module):
    """Average pooling whose window takes every `dilation`-th unit: (N, C, H, W) -> (N, C, H', W'). Zeros of the padding count.

    A convolution of every channel with one constant kernel, 1 / (kh · kw) at each tap.
    """

    def __init__(self, kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding, self.dilation = kernel_size, stride, padding, dilation

    def forward(self, features: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C h w"]:
        height, width = self.kernel_size
        channels = features.shape[1]
        weight = features.new_full((channels, 1, height, width), 1 / (height * width))
        return F.conv2d(features, weight, None, self.stride, self.padding, self.dilation, channels)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}"
