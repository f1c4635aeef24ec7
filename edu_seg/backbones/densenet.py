"""DenseNets as trunks (Huang et al. 2017): torchvision's for ImageNet (table 1), and the paper's for CIFAR (table 2).

A layer reads all earlier maps of its block, stacked. Between blocks a transition halves the map by an average pool; so a stride that is
removed is a pool's, and no convolution's. That is why the conventions of `backbones.resnet` ("exact", "stage", "drn") do not differ
here: what DenseNets differ in is what becomes of that pool (`transition`).
"""

import re
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.trunk import Trunk
from edu_seg.surgery.pools import DilatedAvgPool2d

Transition = Literal["exact", "drop"]

DENSENETS = {
    "densenet121": (32, (6, 12, 24, 16), 64),
    "densenet161": (48, (6, 12, 36, 24), 96),
    "densenet169": (32, (6, 12, 32, 32), 64),
    "densenet201": (32, (6, 12, 48, 32), 64),
}
"""name -> (growth rate k, layers of each block, channels of the first convolution)."""


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a 3 × 3 to k new maps: (N, C, h, w) -> (N, k, h, w); with `bottleneck` a 1 × 1 to 4 k maps first (B)."""

    def __init__(self, c_in: int, growth: int, rate: int = 1, *, bottleneck: bool = True) -> None:
        super().__init__()
        self.norm1, self.relu1 = nn.BatchNorm2d(c_in), nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(c_in, 4 * growth, 1, bias=False) if bottleneck else _conv3(c_in, growth, rate)
        if bottleneck:
            self.norm2, self.relu2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.ReLU(inplace=True), _conv3(4 * growth, growth, rate)

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N k h w"]:
        for layer in self.children():
            features = layer(features)
        return features


class DenseBlock(nn.Module):
    """Layers that each add k maps to all before: (N, C, h, w) -> (N, C + count · k, h, w)."""

    def __init__(self, c_in: int, count: int, growth: int, rate: int = 1, *, bottleneck: bool = True) -> None:
        super().__init__()
        for index in range(count):
            self.add_module(f"denselayer{index + 1}", DenseLayer(c_in + index * growth, growth, rate, bottleneck=bottleneck))
        self.window = (1 + 2 * rate * count, 1, rate * count)

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D h w"]:
        for layer in self.children():
            features = torch.cat([features, layer(features)], dim=1)
        return features


class SpreadPool(nn.Module):
    """What a 2 × 2 average pool of stride 2 becomes at stride 1: its taps are `rate` units apart, and the map keeps its size.

    Every other unit (counted along the rate) has the number that it had with the stride. Beyond the last units their own values go on.
    """

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.pad, self.pool = nn.ReplicationPad2d((0, rate, 0, rate)), DilatedAvgPool2d((2, 2), (1, 1), (0, 0), (rate, rate))
        self.window = (rate + 1, 1, 0)

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N C h w"]:
        return self.pool(self.pad(features))


def densenet(name: str, pretrained: bool = False, *, output_stride: int = 32, transition: Transition = "exact") -> Trunk:
    """The trunk of one row of `DENSENETS`: maps stem (stride 2), denseblock1 (4) … denseblock3, and relu5, behind the last norm.

    output_stride: 32, 16, 8 or 4; later transitions lose their stride and later 3 × 3 are dilated. transition: "exact" spreads the
    pool's taps, so that units keep the numbers which they had with the stride; "drop" leaves the pool out, as dilated DenseNets in use do.
    pretrained: torchvision's ImageNet weights. Raises ValueError for an unknown name or option.
    """
    if name not in DENSENETS:
        raise ValueError(f"no DenseNet is called {name!r}: there are {', '.join(DENSENETS)}")
    if output_stride not in (4, 8, 16, 32):
        raise ValueError(f"output_stride {output_stride} of {name}: take one of 4, 8, 16, 32")
    growth, counts, channels = DENSENETS[name]
    layers: dict[str, nn.Module] = {
        "conv0": nn.Conv2d(3, channels, 7, 2, 3, bias=False),
        "norm0": nn.BatchNorm2d(channels),
        "stem": nn.ReLU(inplace=True),
        "pool0": nn.MaxPool2d(3, 2, 1),
    }
    strides = (4, 8, 16, 32)
    blocks, keep = _blocks(channels, growth, counts, strides, output_stride, 0.5, True, transition)
    trunk = Trunk(layers | blocks, {"stem": channels} | keep)
    _initialise(trunk)
    if pretrained:
        load_classifier(trunk, imagenet_state_dict(name))
    return trunk


def cifar_densenet(
    growth: int,
    depth: int,
    *,
    compressed: bool = False,
    initial: int | None = None,
    output_stride: int = 4,
    transition: Transition = "exact",
) -> Trunk:
    """DenseNet or, if `compressed`, DenseNet-BC for images of 32 × 32: three blocks at the strides 1, 2 and 4 (section 4.1, table 2).

    depth: layers with weights, the classifier included; 3 n + 4 of them, 6 n + 4 with bottlenecks. initial: channels of the first
    convolution: 16, and 2 k for BC (section 4.2), which gives the parameters of table 2; the authors' code takes 2 k for both.
    Raises ValueError for a depth that does not divide into three blocks.
    """
    each, rest = divmod(depth - 4, 6 if compressed else 3)
    if rest or each < 1:
        raise ValueError(f"depth {depth}: three blocks of equal depth need {'6' if compressed else '3'} n + 4 layers, n at least 1")
    if output_stride not in (1, 2, 4):
        raise ValueError(f"output_stride {output_stride}: take one of 1, 2, 4")
    channels = initial or (2 * growth if compressed else 16)
    stem: dict[str, nn.Module] = {"conv0": _conv3(3, channels, 1)}
    kept = 0.5 if compressed else 1.0
    blocks, keep = _blocks(channels, growth, (each,) * 3, (1, 2, 4), output_stride, kept, compressed, transition)
    trunk = Trunk(stem | blocks, keep)
    _initialise(trunk)
    return trunk


def load_classifier(trunk: Trunk, state: dict[str, Tensor]) -> None:
    """Copies the state dict of torchvision's DenseNet, its Linear left out, into a trunk; also with the older names of its files.

    RuntimeError, as `load_state_dict` raises it, where the two are not the same network.
    """
    features = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    trunk.load_state_dict({re.sub(r"(norm|conv)\.([12])\.", r"\1\2.", name): value for name, value in features.items()})


def _blocks(
    channels: int,
    growth: int,
    counts: tuple[int, ...],
    strides: tuple[int, ...],
    output_stride: int,
    kept: float,
    bottleneck: bool,
    transition: Transition,
) -> tuple[dict[str, nn.Module], dict[str, int]]:
    """Dense blocks with transitions between, a norm and a ReLU; and the widths of the maps to keep. kept: channels behind a transition."""
    if transition not in get_args(Transition):
        raise ValueError(f"transition {transition!r}: there are {', '.join(get_args(Transition))}")
    layers: dict[str, nn.Module] = {}
    keep: dict[str, int] = {}
    rates = [max(1, stride // output_stride) for stride in strides]
    for number, (count, rate) in enumerate(zip(counts, rates, strict=True), start=1):
        layers[f"denseblock{number}"] = DenseBlock(channels, count, growth, rate, bottleneck=bottleneck)
        channels += count * growth
        if number < len(counts):
            keep[f"denseblock{number}"] = channels
            pool = _pool(rate, rates[number], transition)
            layers[f"transition{number}"] = _transition(channels, int(channels * kept), pool)
            channels = int(channels * kept)
    last = len(counts) + 1
    layers |= {f"norm{last}": nn.BatchNorm2d(channels), f"relu{last}": nn.ReLU(inplace=True)}
    return layers, keep | {f"relu{last}": channels}


def _pool(before: int, after: int, transition: Transition) -> nn.Module | None:
    if before == after:
        return nn.AvgPool2d(2)
    return SpreadPool(before) if transition == "exact" else None


def _transition(c_in: int, c_out: int, pool: nn.Module | None) -> nn.Sequential:
    layers = nn.Sequential()
    for name, layer in (("norm", nn.BatchNorm2d(c_in)), ("relu", nn.ReLU(inplace=True)), ("conv", nn.Conv2d(c_in, c_out, 1, bias=False))):
        layers.add_module(name, layer)
    if pool is not None:
        layers.add_module("pool", pool)
    return layers


def _conv3(c_in: int, c_out: int, rate: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=rate, dilation=rate, bias=False)


def _initialise(trunk: Trunk) -> None:
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
