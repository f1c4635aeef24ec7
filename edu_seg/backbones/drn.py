"""Dilated residual networks: rows of a table of stages, from ResNets with their strides removed (A) to nets without gridding (C, D).

Source: Yu, Koltun and Funkhouser, "Dilated Residual Networks", CVPR 2017, sections 2 and 4, and the released network file. The
names of the layers are the released ones, so a state dict of either fits the other (without its "fc").
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.trunk import Trunk
from edu_seg.geometry import Field

Kind = Literal["conv", "basic", "bottleneck"]


@dataclass(frozen=True)
class Stage:
    """A row: `count` layers of one kind and width; the first has the stride, and its own dilation where it differs."""

    kind: Kind
    width: int
    count: int
    stride: int = 1
    dilation: int = 1
    first_dilation: int | None = None
    residual: bool = True


@dataclass(frozen=True)
class DRNTable:
    """A network: its stem's width, whether the stem strides and pools as ResNet's does, and its stages.

    classifier: torchvision's network of the same weights, where there is one.
    """

    stages: tuple[Stage, ...]
    stem_width: int
    stem_pools: bool
    classifier: str | None = None


def _a(kind: Kind, counts: Sequence[int], classifier: str) -> DRNTable:
    """ResNet with the strides of its last two groups removed and these dilated by 2 and 4 (section 2), the first block of each by 1."""
    strides, dilations, firsts = (1, 2, 1, 1), (1, 1, 2, 4), (None, None, 1, 1)
    stages = [Stage(kind, 64 * 2**i, count, strides[i], dilations[i], firsts[i]) for i, count in enumerate(counts)]
    return DRNTable(tuple(stages), 64, stem_pools=True, classifier=classifier)


def _levels(kind: Kind, counts: Sequence[int], ends: Kind, *, residual_end: bool) -> DRNTable:
    """B, C and D: levels 1 and 2 in place of the max pool, and levels 7 and 8, of dilation 2 and 1, at the end (section 4)."""
    widths, strides, dilations = (16, 32, 64, 128, 256, 512, 512, 512), (1, 2, 2, 2, 1, 1, 1, 1), (1, 1, 1, 1, 2, 4, 2, 1)
    rows = zip(widths, counts, strides, dilations, strict=True)
    stages = [Stage(kind if 2 <= i <= 5 else ends, *row, residual=i <= 5 or residual_end) for i, row in enumerate(rows)]
    return DRNTable(tuple(stages), 16, stem_pools=False)


def _c(kind: Kind, counts: Sequence[int], *, residual_end: bool = False) -> DRNTable:
    return _levels(kind, counts, "basic", residual_end=residual_end)


def _d(kind: Kind, counts: Sequence[int]) -> DRNTable:
    """D, in the released code only: plain convolutions where C has blocks at both ends."""
    return _levels(kind, counts, "conv", residual_end=False)


TABLE = {
    "drn_a_18": _a("basic", (2, 2, 2, 2), "resnet18"),
    "drn_a_34": _a("basic", (3, 4, 6, 3), "resnet34"),
    "drn_a_50": _a("bottleneck", (3, 4, 6, 3), "resnet50"),
    "drn_b_26": _c("basic", (1, 1, 2, 2, 2, 2, 1, 1), residual_end=True),
    "drn_c_26": _c("basic", (1, 1, 2, 2, 2, 2, 1, 1)),
    "drn_c_42": _c("basic", (1, 1, 3, 4, 6, 3, 1, 1)),
    "drn_c_58": _c("bottleneck", (1, 1, 3, 4, 6, 3, 1, 1)),
    "drn_d_22": _d("basic", (1, 1, 2, 2, 2, 2, 1, 1)),
    "drn_d_24": _d("basic", (1, 1, 2, 2, 2, 2, 2, 2)),
    "drn_d_38": _d("basic", (1, 1, 3, 4, 6, 3, 1, 1)),
    "drn_d_40": _d("basic", (1, 1, 3, 4, 6, 3, 2, 2)),
    "drn_d_54": _d("bottleneck", (1, 1, 3, 4, 6, 3, 1, 1)),
    "drn_d_56": _d("bottleneck", (1, 1, 3, 4, 6, 3, 2, 2)),
    "drn_d_105": _d("bottleneck", (1, 1, 3, 4, 23, 3, 1, 1)),
    "drn_d_107": _d("bottleneck", (1, 1, 3, 4, 23, 3, 2, 2)),
}
"""name → stages. A, B-26, C-26 and C-42 are the paper's (table 1); C-58 and D came with the released code."""


class ResidualBlock(nn.Module):
    """ReLU(layers(x) + x): a basic block (3 × 3, 3 × 3) or a bottleneck (1 × 1, 3 × 3, 1 × 1 to four times the width).

    dilations: of the first and the second 3 × 3 (a bottleneck has only the second). Where the shapes differ, x goes through a strided
    1 × 1. Without `residual` x is not added (DRN section 4, "removing residual connections"). (N, C, h, w) -> (N, D, h/s, w/s).
    """

    def __init__(self, kind: Kind, c_in: int, width: int, stride: int, dilations: tuple[int, int], residual: bool) -> None:
        super().__init__()
        c_out = expanded(kind, width)
        first, second = dilations
        if kind == "basic":
            shapes = [(c_in, width, 3, stride, first), (width, width, 3, 1, second)]
        else:
            shapes = [(c_in, width, 1, 1, 1), (width, width, 3, stride, second), (width, c_out, 1, 1, 1)]
        field = Field()
        for number, (before, after, kernel, step, dilation) in enumerate(shapes, start=1):
            self.add_module(f"conv{number}", _conv(before, after, kernel, step, dilation))
            self.add_module(f"bn{number}", nn.BatchNorm2d(after))
            field = field.then(kernel, step, kernel // 2 * dilation, dilation)
        self.window = field.size, field.stride, field.padding
        self.depth, self.residual, self.downsample = len(shapes), residual, None
        if residual and (stride, c_in) != (1, c_out):
            self.downsample = nn.Sequential(_conv(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, features: Float[Tensor, "N C h w"]) -> Float[Tensor, "N D H W"]:
        out = features
        for number in range(1, self.depth + 1):
            out = self.get_submodule(f"bn{number}")(self.get_submodule(f"conv{number}")(out))
            if number < self.depth:
                out = self.relu(out)
        if self.residual:
            out = out + (features if self.downsample is None else self.downsample(features))
        return self.relu(out)


def expanded(kind: Kind, width: int) -> int:
    """The channels that a layer of this kind gives."""
    return 4 * width if kind == "bottleneck" else width


def drn_trunk(name: str, pretrained: bool = False, *, width: float = 1.0) -> Trunk:
    """The trunk of one row of `TABLE`: stride 8, with a map for each level ("layer1" … "layer8"; A: "layer1" … "layer4").

    `width` multiplies all channels (for small experiments). `pretrained`: torchvision's ImageNet weights, which only A rows can take.
    Raises ValueError for an unknown name, a width that leaves no channels, or weights that are not there.
    """
    if name not in TABLE:
        raise ValueError(f"no DRN is called {name!r}: there are {', '.join(TABLE)}")
    table = _scaled(TABLE[name], width)
    if pretrained and (table.classifier is None or width != 1):
        raise ValueError(
            f"{name} at width {width} has no pretrained weights here: build it with pretrained=False, or take drn_a_18, drn_a_34 or "
            "drn_a_50 at width 1, which are torchvision's ResNets with their strides removed"
        )
    layers, channels = _stem(table), table.stem_width
    keep: dict[str, int] = {}
    for number, stage in enumerate(table.stages, start=1):
        layers[f"layer{number}"] = _stage(stage, channels)
        channels = keep[f"layer{number}"] = expanded(stage.kind, stage.width)
    trunk = Trunk(layers, keep)
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if pretrained:
        state = imagenet_state_dict(str(table.classifier))
        trunk.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
    return trunk


def _scaled(table: DRNTable, width: float) -> DRNTable:
    def scaled(channels: int) -> int:
        return max(1, round(channels * width))

    if width <= 0:
        raise ValueError(f"width multiplies the channels, so it must be above 0, got {width}")
    return replace(
        table, stem_width=scaled(table.stem_width), stages=tuple(replace(stage, width=scaled(stage.width)) for stage in table.stages)
    )


def _stem(table: DRNTable) -> dict[str, nn.Module]:
    conv = nn.Conv2d(3, table.stem_width, 7, 2 if table.stem_pools else 1, 3, bias=False)
    layers: dict[str, nn.Module] = {"conv1": conv, "bn1": nn.BatchNorm2d(table.stem_width), "relu": nn.ReLU(inplace=True)}
    if table.stem_pools:
        return layers | {"maxpool": nn.MaxPool2d(3, 2, 1)}
    return {"layer0": nn.Sequential(*layers.values())} if table.stages[0].kind == "conv" else layers


def _stage(stage: Stage, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(stage.count):
        stride, first = (stage.stride, stage.first_dilation or stage.dilation) if number == 0 else (1, stage.dilation)
        if stage.kind == "conv":
            conv = _conv(channels, stage.width, 3, stride, stage.dilation)
            layers += [conv, nn.BatchNorm2d(stage.width), nn.ReLU(inplace=True)]
        else:
            second = 1 if number == 0 and stage.first_dilation == 1 else stage.dilation
            layers.append(ResidualBlock(stage.kind, channels, stage.width, stride, (first, second), stage.residual))
        channels = expanded(stage.kind, stage.width)
    return nn.Sequential(*layers)


def _conv(c_in: int, c_out: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel_size, stride, kernel_size // 2 * dilation, dilation, bias=False)
