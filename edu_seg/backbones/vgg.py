"""VGG-16 as a trunk (Simonyan and Zisserman 2015, table 1, column D), its first two Linear layers as convolutions, and a small sibling."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.trunk import Trunk

Padding = Literal["classifier", "none", "same"]


@dataclass(frozen=True)
class VGGTable:
    """A row of the table of VGG-shaped trunks: five stages of 3 × 3 convolutions, each with a pool, then fc6 and fc7."""

    widths: tuple[tuple[int, ...], ...]
    fc_width: int
    fc_kernel: int
    fc_padding: int
    pad: int  # of the first convolution; every later 3 × 3 has padding 1
    batch_norm: bool
    stem_stride: int = 1  # of the first convolution; above 1 it stands in for pool1, so that nothing runs at full resolution


VGG16 = VGGTable(
    ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3), fc_width=4096, fc_kernel=7, fc_padding=0, pad=100, batch_norm=False
)
# The same shape for a laptop: fewer and thinner layers; 3 × 3 for fc6 and padding 1 throughout: a 64-pixel image needs no pad of 100.
VGG_SMALL = VGGTable(((8,), (16, 16), (32, 32), (64, 64), (64, 64)), fc_width=64, fc_kernel=3, fc_padding=1, pad=1, batch_norm=True)
# For training on a CPU: a stem of stride 2, as ResNets have, and most layers at strides 4 and 8.
VGG_STRIDED = VGGTable(
    ((24,), (32,), (64,) * 3, (96,) * 3, (96,) * 2), fc_width=128, fc_kernel=3, fc_padding=1, pad=1, batch_norm=True, stem_stride=2
)


def vgg(
    table: VGGTable, *, pad: int | None = None, dropout: float = 0.5, output_stride: int = 32, padding: Padding = "classifier"
) -> Trunk:
    """The trunk of a table's row, with its layers named as in the paper's files: conv1_1 … pool5, fc6, fc7.

    `pad` replaces the padding of conv1_1: the released FCNs take 100, so that the 7 × 7 of fc6 fits on any image; the classifier takes 1.
    Pools round up (Caffe), and dropout is elementwise (Caffe's, not Dropout2d).

    output_stride: the pools beyond it are left out, and each doubles the dilation of all layers behind it: at 8, conv5 is dilated by 2
    and fc6 by 4 (Yu and Koltun 2016, section 4). padding: "classifier" as the table has it; "none" in any layer; "same": each
    layer pads so much that it keeps the map's size. Raises ValueError for an output stride that is no stride of these pools.
    """
    rates, strides = [1], [table.stem_stride]  # of stages 1 … 5 and fc6; strides: before each
    for has_pool in _pools(table):
        grows = has_pool and strides[-1] < output_stride
        strides.append(strides[-1] * 2 if grows else strides[-1])
        rates.append(rates[-1] * 2 if has_pool and not grows else rates[-1])
    if strides[-1] != output_stride:
        raise ValueError(f"output_stride = {output_stride}: these layers have the strides {table.stem_stride} and its doubles up to 32")

    def padded(own: int, kernel: int, rate: int) -> int:
        return {"classifier": own * rate, "none": 0, "same": kernel // 2 * rate}[padding]

    layers: dict[str, nn.Module] = {}
    channels = 3
    for stage, (widths, rate) in enumerate(zip(table.widths, rates, strict=False), start=1):
        for number, width in enumerate(widths, start=1):
            is_stem = stage == number == 1
            own, stride = ((table.pad if pad is None else pad), table.stem_stride) if is_stem else (1, 1)
            conv = nn.Conv2d(channels, width, 3, stride, padded(own, 3, rate), rate, bias=not table.batch_norm)
            layers |= _conv(f"{stage}_{number}", conv, table.batch_norm)
            channels = width
        if strides[stage] > strides[stage - 1]:
            layers[f"pool{stage}"] = nn.MaxPool2d(2, ceil_mode=True)
    for name, kernel, own, rate in (("fc6", table.fc_kernel, table.fc_padding, rates[-1]), ("fc7", 1, 0, 1)):
        layers[name] = nn.Conv2d(channels, table.fc_width, kernel, padding=padded(own, kernel, rate), dilation=rate)
        layers |= {f"relu_{name}": nn.ReLU(inplace=True), f"drop_{name}": nn.Dropout(dropout)}
        channels = table.fc_width
    keep: dict[str, int] = {}  # each stage's last map, before and after its pool
    for stage, widths in enumerate(table.widths, start=1):
        keep |= {f"relu{stage}_{len(widths)}": widths[-1], f"pool{stage}": widths[-1]}
    keep = {name: width for name, width in keep.items() if name in layers} | {"drop_fc7": table.fc_width}
    trunk = Trunk(layers, keep)
    _initialise(trunk)
    return trunk


def _pools(table: VGGTable) -> list[bool]:
    """Whether a pool comes after each stage: the first one's place may be taken by the stem's stride."""
    return [stage > 0 or table.stem_stride == 1 for stage in range(len(table.widths))]


def _conv(name: str, conv: nn.Conv2d, batch_norm: bool) -> dict[str, nn.Module]:
    norm = {f"bn{name}": nn.BatchNorm2d(conv.out_channels)} if batch_norm else {}
    return {f"conv{name}": conv, **norm, f"relu{name}": nn.ReLU(inplace=True)}


def _initialise(trunk: Trunk) -> None:
    """He et al. 2015: keeps the size of activations through ReLU layers; what a net from random weights needs."""
    for layer in trunk:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def vgg16(pretrained: bool = False, **options: Any) -> Trunk:
    """VGG-16 with pad 100; `pretrained` loads torchvision's ImageNet weights, fc6 and fc7 convolutionalised."""
    trunk = vgg(VGG16, **options)
    if pretrained:
        load_classifier(trunk, imagenet_state_dict("vgg16"))
    return trunk


def vgg_small(pretrained: bool = False, *, width: float = 1.0, dropout: float = 0.0, **options: Any) -> Trunk:
    """The small sibling, under a million parameters up to `width` 2, which multiplies the channels of every layer.

    There are no pretrained weights: ValueError if asked for.
    """
    return _from_random_weights("vgg_small", VGG_SMALL, pretrained, width, dropout, options)


def vgg_strided(pretrained: bool = False, *, width: float = 1.0, dropout: float = 0.0, **options: Any) -> Trunk:
    """As `vgg_small`, with a stem of stride 2 in place of pool1 and more layers behind it: 0.6 million parameters."""
    return _from_random_weights("vgg_strided", VGG_STRIDED, pretrained, width, dropout, options)


def _from_random_weights(name: str, table: VGGTable, pretrained: bool, width: float, dropout: float, options: dict[str, Any]) -> Trunk:
    """A row of the table, its widths multiplied by `width`."""
    if pretrained:
        raise ValueError(f"{name} has no pretrained weights: build it with pretrained=False, or take backbone='vgg16'")
    if width <= 0:
        raise ValueError(f"width multiplies the channels, so it must be above 0, got {width}")

    def scaled(channels: int) -> int:
        return max(1, round(width * channels))

    widths = tuple(tuple(map(scaled, stage)) for stage in table.widths)
    trunk = vgg(replace(table, widths=widths, fc_width=scaled(table.fc_width)), dropout=dropout, **options)
    return trunk.to(memory_format=torch.channels_last)  # thin layers run a quarter faster so on a CPU


def load_classifier(trunk: Trunk, state: dict[str, Tensor]) -> None:
    """Copies a torchvision classifier (`features.*`, `classifier.*`) into a trunk, in the order of the layers (FCN section 3.1).

    A Linear weight (O, C·k·k) becomes the kernel (O, C, k, k): the same numbers in the same order. The last Linear is left out.
    Raises ValueError if the classifier's layers do not match the trunk's.
    """
    convs = [layer for layer in trunk if isinstance(layer, nn.Conv2d)]
    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")][:-1]
    if len(names) != len(convs):
        raise ValueError(f"the classifier has {len(names)} layers before its last, the trunk {len(convs)}: they are not the same network")
    for conv, name in zip(convs, names, strict=True):
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        if weight.numel() != conv.weight.numel():
            raise ValueError(f"{name} has weights {tuple(weight.shape)}, the trunk wants {tuple(conv.weight.shape)}")
        conv.load_state_dict({"weight": weight.view(conv.weight.shape), "bias": bias})
