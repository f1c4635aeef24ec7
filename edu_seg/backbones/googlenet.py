"""GoogLeNet as a trunk (Szegedy et al. 2015, table 1), as in the released Caffe network: 5 × 5 branches, no batch norm."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.backbones.trunk import Trunk

# name: (input, #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj), from table 1; "pool": a 3 × 3 max pool of stride 2.
INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "pool3": None,
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "pool4": None,
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


class Inception(nn.Module):
    """Four branches side by side, 1 × 1, 3 × 3, 5 × 5 and a pool, their maps stacked: (N, C, h, w) -> (N, C', h, w)."""

    window = (5, 1, 2)  # the widest branch

    def __init__(self, c_in: int, one: int, reduce3: int, three: int, reduce5: int, five: int, project: int) -> None:
        super().__init__()
        self.branch1 = _conv(c_in, one, 1)
        self.branch3 = nn.Sequential(_conv(c_in, reduce3, 1), _conv(reduce3, three, 3))
        self.branch5 = nn.Sequential(_conv(c_in, reduce5, 1), _conv(reduce5, five, 5))
        self.branch_pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), _conv(c_in, project, 1))

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D h w"]:
        return torch.cat([self.branch1(features), self.branch3(features), self.branch5(features), self.branch_pool(features)], dim=1)


def googlenet(pretrained: bool = False, *, pad: int = 100, average_pool: bool = False) -> Trunk:
    """The trunk up to inception 5b: stride 32, field 715. `average_pool` adds the classifier's 7 × 7 pool (stride 1): field 907.

    The FCN paper says that it drops that pool (section 4.1), yet prints 907. ValueError if `pretrained`: torchvision's GoogLeNet is
    another network (batch norm, 3 × 3 in place of 5 × 5: field 379), so its weights do not fit.
    """
    if pretrained:
        raise ValueError(
            "torchvision's GoogLeNet has batch norm and 3×3 kernels in place of 5×5, so its weights do not fit the paper's: "
            "build fcn_googlenet with pretrained=False, or take backbone='vgg16' or 'alexnet'"
        )
    layers: dict[str, nn.Module] = {
        "conv1": _conv(3, 64, 7, stride=2, padding=pad),
        "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "norm1": nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
        "conv2_reduce": _conv(64, 64, 1),
        "conv2": _conv(64, 192, 3),
        "norm2": nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
        "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
    }
    for name, widths in INCEPTION.items():
        layers[f"inception_{name}" if widths else name] = Inception(*widths) if widths else nn.MaxPool2d(3, 2, ceil_mode=True)
    if average_pool:
        layers["average_pool"] = nn.AvgPool2d(7, stride=1, padding=3, count_include_pad=False)
    keep = {"pool2": 192, "inception_3b": 480, "pool3": 480, "inception_4e": 832, "pool4": 832, "inception_5b": 1024}
    return Trunk(layers, keep | ({"average_pool": 1024} if average_pool else {}))


def _conv(c_in: int, c_out: int, kernel_size: int, stride: int = 1, padding: int | None = None) -> nn.Sequential:
    padding = kernel_size // 2 if padding is None else padding
    return nn.Sequential(nn.Conv2d(c_in, c_out, kernel_size, stride, padding), nn.ReLU(inplace=True))
