"""AlexNet as a trunk, in the two forms in use: CaffeNet (the FCN paper's) and torchvision's."""

from torch import nn

from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.trunk import Trunk
from edu_seg.backbones.vgg import load_classifier


def caffenet(pretrained: bool = False, *, pad: int = 100, dropout: float = 0.5) -> Trunk:
    """The AlexNet of the released FCN-AlexNet: two groups in conv2, conv4 and conv5, response normalisation after the first two pools.

    ValueError if `pretrained`: torchvision has no weights for this form.
    """
    if pretrained:
        raise ValueError("there are no torchvision weights for CaffeNet: take backbone='alexnet', torchvision's form of the network")
    convs = [(3, 96, 11, 4, pad, 1), (96, 256, 5, 1, 2, 2), (256, 384, 3, 1, 1, 1), (384, 384, 3, 1, 1, 2), (384, 256, 3, 1, 1, 2)]
    return _alexnet(convs, response_norm=True, ceil_mode=True, dropout=dropout)


def alexnet(pretrained: bool = False, *, pad: int = 100, dropout: float = 0.5) -> Trunk:
    """torchvision's AlexNet (Krizhevsky 2014, one tower, no response normalisation); `pretrained` loads its ImageNet weights."""
    convs = [(3, 64, 11, 4, pad, 1), (64, 192, 5, 1, 2, 1), (192, 384, 3, 1, 1, 1), (384, 256, 3, 1, 1, 1), (256, 256, 3, 1, 1, 1)]
    trunk = _alexnet(convs, response_norm=False, ceil_mode=True, dropout=dropout)
    if pretrained:
        load_classifier(trunk, imagenet_state_dict("alexnet"))
    return trunk


def _alexnet(convs: list[tuple[int, int, int, int, int, int]], *, response_norm: bool, ceil_mode: bool, dropout: float) -> Trunk:
    """conv1 … conv5 given as (in, out, kernel, stride, padding, groups), pools after 1, 2 and 5, then fc6 and fc7 as convolutions."""
    layers: dict[str, nn.Module] = {}
    for number, (c_in, c_out, kernel, stride, padding, groups) in enumerate(convs, start=1):
        layers[f"conv{number}"] = nn.Conv2d(c_in, c_out, kernel, stride, padding, groups=groups)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        if number in (1, 2, 5):
            layers[f"pool{number}"] = nn.MaxPool2d(3, 2, ceil_mode=ceil_mode)
        if number in (1, 2) and response_norm:
            layers[f"norm{number}"] = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
    for name, c_in, kernel in (("fc6", convs[-1][1], 6), ("fc7", 4096, 1)):
        layers[name] = nn.Conv2d(c_in, 4096, kernel)
        layers |= {f"relu_{name}": nn.ReLU(inplace=True), f"drop_{name}": nn.Dropout(dropout)}
    return Trunk(layers, {"pool1": convs[0][1], "pool2": convs[1][1], "pool5": convs[4][1], "drop_fc7": 4096})
