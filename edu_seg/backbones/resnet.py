"""ResNets as trunks (He et al. 2016, table 1): torchvision's networks, layer names included, with strides removed in a named way.

Everything in which published segmentation nets differ "on a ResNet" is an option with a name here. Given the same weights the choices
compute different functions, and no shape tells: take those with which the weights were trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.trunk import Trunk, window

Convention = Literal["exact", "stage", "drn"]
StrideIn = Literal["1x1", "3x3"]
Stem = Literal["7x7", "deep"]


@dataclass(frozen=True)
class Step:
    """How a block's 3 × 3 convolutions are placed: its stride, the rate of the layer that has (or lost) it, and that of later ones."""

    stride: int = 1
    first_rate: int = 1
    rate: int = 1


class BasicBlock(nn.Module):
    """Two 3 × 3 and a shortcut: (N, C, h, w) -> (N, D, h/s, w/s). `stride_in` has no meaning here: there is no 1 × 1."""

    expansion = 1

    def __init__(self, c_in: int, width: int, step: Step, stride_in: StrideIn = "3x3") -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv3(c_in, width, step.stride, step.first_rate), nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = _conv3(width, width, 1, step.rate), nn.BatchNorm2d(width)
        self.downsample = _shortcut(c_in, width, step.stride)
        self.window = window(nn.Sequential(self.conv1, self.conv2))

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D a b"]:
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.bn2(self.conv2(residual))
        residual += features if self.downsample is None else self.downsample(features)
        return self.relu(residual)


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3, 1 × 1 and a shortcut: (N, C, h, w) -> (N, 4 · width, h/s, w/s).

    stride_in: which layer has the stride. "1x1" is the paper's network (v1; Caffe, MSRA), "3x3" torchvision's (v1.5). A 1 × 1 has no
    taps to spread, so in v1 the 3 × 3 after it always takes the later rate.
    """

    expansion = 4

    def __init__(self, c_in: int, width: int, step: Step, stride_in: StrideIn = "3x3") -> None:
        super().__init__()
        c_out = width * self.expansion
        first, second, rate = (step.stride, 1, step.rate) if stride_in == "1x1" else (1, step.stride, step.first_rate)
        self.conv1, self.bn1 = nn.Conv2d(c_in, width, 1, first, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _conv3(width, width, second, rate), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, c_out, 1, bias=False), nn.BatchNorm2d(c_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(c_in, c_out, step.stride)
        self.window = window(nn.Sequential(self.conv1, self.conv2, self.conv3))

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D a b"]:
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.bn3(self.conv3(residual))
        residual += features if self.downsample is None else self.downsample(features)
        return self.relu(residual)


RESNETS: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet34": (BasicBlock, (3, 4, 6, 3)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
    "resnet101": (Bottleneck, (3, 4, 23, 3)),
    "resnet152": (Bottleneck, (3, 8, 36, 3)),
}
"""name -> (kind of block, blocks in layer1 … layer4): the columns of the paper's table 1."""


def resnet(
    name: str,
    pretrained: bool = False,
    *,
    output_stride: int = 32,
    convention: Convention = "exact",
    stride_in: StrideIn = "3x3",
    stem: Stem = "7x7",
    multi_grid: Sequence[int] | None = None,
    extra_layers: int = 0,
    width: float | int = 1.0,
) -> Trunk:
    """The trunk of one row of `RESNETS`, without the classifier: maps stem (stride 2), layer1 (4), layer2 … layer4.

    output_stride: strides beyond it are removed, and what follows is dilated. 32 leaves the network alone; 16, 8 or 4.
    convention: how a stage that lost its stride begins (also `surgery.remove_stride`). "exact": the layer that had the stride keeps the
    rate before (torchvision: the same units as with strides, and their receptive field). "stage": every 3 × 3 has the stage's rate
    (PSPNet's and DeepLab's released nets). "drn": the first block is not dilated (the released DRN-A).
    stride_in: "1x1" (the paper's v1) or "3x3" (torchvision's v1.5). stem: the paper's 7 × 7, or "deep", three 3 × 3 of 64, 64 and 128
    channels (PSPNet). multi_grid: a factor on the rate for each block of layer4 and of each extra layer (DeepLab v3, section 3.1).
    extra_layers: so many copies of layer4's shape behind it, layer5 … (DeepLab v3, section 3.1: block5 … block7).
    width: a factor on all channels, for small nets. pretrained: torchvision's ImageNet weights; layer5 … start from layer4's blocks
    where the shapes agree.

    Raises ValueError for an unknown name or option, and for `pretrained` where those weights belong to another network.
    """
    _check(name, output_stride, convention, stride_in, stem, extra_layers, width)
    block, counts = RESNETS[name]
    counts = counts + (counts[3],) * extra_layers
    grid = tuple(multi_grid or (1,) * counts[3])
    if len(grid) != counts[3] or min(grid) < 1:
        raise ValueError(f"multi_grid {grid}: layer4 of {name} has {counts[3]} blocks, so give {counts[3]} factors of at least 1")
    if pretrained:
        _check_pretrained(name, stride_in, stem, width)
    channels = max(1, round(64 * width))
    layers, c_in = _stem(stem, channels)
    keep = {"stem": c_in}
    stride, rate = 4, 1
    for number, count in enumerate(counts, start=1):
        step, before = (2 if number > 1 else 1), rate
        kept = step if stride * step <= output_stride else 1
        stride, rate = stride * kept, rate * step // kept
        steps = _steps(count, kept, before, rate, convention, grid if number >= 4 else (1,) * count)
        c_width = channels * 2 ** min(number - 1, 3)
        blocks = [block(c_in if i == 0 else c_width * block.expansion, c_width, one, stride_in) for i, one in enumerate(steps)]
        layers[f"layer{number}"] = nn.Sequential(*blocks)
        keep[f"layer{number}"] = c_in = c_width * block.expansion
    trunk = Trunk(layers, keep)
    _initialise(trunk)
    if pretrained:
        load_classifier(trunk, imagenet_state_dict(name))
    return trunk if width >= 1 else trunk.to(memory_format=torch.channels_last)  # thin layers run faster so on a CPU


def load_classifier(trunk: Trunk, state: dict[str, Tensor]) -> None:
    """Copies the state dict of torchvision's ResNet, its last Linear left out, into a trunk.

    Layers that the classifier does not have (layer5 …) take those of its layer4 where the shapes agree; the projection of a shortcut, for
    which there is none, stays as it is. Raises RuntimeError, as `load_state_dict` does, where the two are not the same network.
    """
    known = {name: value for name, value in state.items() if not name.startswith("fc.")}
    own = trunk.state_dict()
    for name, value in own.items():
        if name.startswith("layer") and int(name[5]) > 4:
            twin = known.get(f"layer4{name[6:]}")
            known[name] = value if twin is None or twin.shape != value.shape else twin
    trunk.load_state_dict(known)


def _steps(count: int, stride: int, before: int, rate: int, convention: Convention, grid: tuple[int, ...]) -> list[Step]:
    """The blocks of a stage: `before` is the rate up to here, `rate` that of the stage; they differ where its stride was removed."""
    first = {"exact": Step(stride, before, rate), "stage": Step(stride, rate, rate), "drn": Step(stride)}[convention]
    steps = [first, *(Step(1, rate, rate) for _ in range(count - 1))]
    return [Step(step.stride, step.first_rate * factor, step.rate * factor) for step, factor in zip(steps, grid, strict=True)]


def _stem(stem: Stem, channels: int) -> tuple[dict[str, nn.Module], int]:
    """Stride 4: one 7 × 7 or three 3 × 3, then a pool. The last ReLU is called `stem`, since its map is kept under that name."""
    if stem == "7x7":
        layers: dict[str, nn.Module] = {"conv1": nn.Conv2d(3, channels, 7, 2, 3, bias=False), "bn1": nn.BatchNorm2d(channels)}
        c_out = channels
    else:
        layers, c_out = {}, 2 * channels
        for number, (c_in, c_next, stride) in enumerate(((3, channels, 2), (channels, channels, 1), (channels, c_out, 1)), start=1):
            layers |= {f"conv{number}": _conv3(c_in, c_next, stride, 1), f"bn{number}": nn.BatchNorm2d(c_next)}
            if number < 3:
                layers[f"relu{number}"] = nn.ReLU(inplace=True)
    return layers | {"stem": nn.ReLU(inplace=True), "maxpool": nn.MaxPool2d(3, 2, 1)}, c_out


def _conv3(c_in: int, c_out: int, stride: int, rate: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride, rate, rate, bias=False)


def _shortcut(c_in: int, c_out: int, stride: int) -> nn.Sequential | None:
    """The projection (option B of the paper), where the block changes the size or the width."""
    if stride == 1 and c_in == c_out:
        return None
    return nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))


def _initialise(trunk: Trunk) -> None:
    """He et al. 2015, counted by the outputs, as torchvision has it."""
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def _check(name: str, output_stride: int, convention: str, stride_in: str, stem: str, extra_layers: int, width: float | int) -> None:
    if name not in RESNETS:
        raise ValueError(f"no ResNet is called {name!r}: there are {', '.join(RESNETS)}")
    for option, value, choices in (("convention", convention, Convention), ("stride_in", stride_in, StrideIn), ("stem", stem, Stem)):
        if value not in get_args(choices):
            raise ValueError(f"{option} {value!r}: there are {', '.join(get_args(choices))}")
    strides = [4 * 2**power for power in range(4 + extra_layers)]
    if output_stride not in strides:
        raise ValueError(f"output_stride {output_stride} of {name}: take one of {', '.join(map(str, strides))}")
    if width <= 0:
        raise ValueError(f"width multiplies the channels, so it must be above 0, got {width}")


def _check_pretrained(name: str, stride_in: str, stem: str, width: float) -> None:
    basic = RESNETS[name][0] is BasicBlock
    for wrong, what in (
        (stride_in != "3x3" and not basic, 'have their stride in the 3 × 3: build it with stride_in="3x3"'),
        (stem != "7x7", 'have the 7 × 7 stem: build it with stem="7x7"'),
        (width != 1, "are those of width 1"),
    ):
        if wrong:
            raise ValueError(f"torchvision's weights of {name} {what}, or with pretrained=False")
