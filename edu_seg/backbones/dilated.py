"""Trunks for nets that keep the resolution: a backbone by name, with its strides beyond `output_stride` removed.

ResNets do that themselves (`backbones.resnet`). VGG is changed as in DeepLab v1: its pools are 3 × 3, which keep a map's size at stride 1
and put units onto whole pixels at stride 2; the last lose their stride, and the convolutions after them are dilated.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from edu_seg.backbones.densenet import DENSENETS, densenet
from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.resnet import RESNETS, resnet
from edu_seg.backbones.trunk import Trunk
from edu_seg.backbones.vgg import VGG16, VGG_SMALL, VGG_STRIDED, VGGTable

VGGS = {"vgg16": VGG16, "vgg_small": VGG_SMALL, "vgg_strided": VGG_STRIDED}
VGG_OPTIONS = frozenset({"output_stride", "width", "pool_size", "average_pool"})
RESNET_OPTIONS = frozenset({"output_stride", "width", "convention", "stride_in", "stem", "multi_grid", "extra_layers"})
DENSENET_OPTIONS = frozenset({"output_stride", "transition"})
TORCHVISION = {"convention": "exact", "stride_in": "3x3", "stem": "7x7"}
"""The form of a ResNet for which torchvision's weights were trained."""


def dilated(name: str, *, pretrained: bool = False, output_stride: int = 8, **options: Any) -> Trunk:
    """The trunk called `name`, a VGG (`atrous_vgg`), `resnet` or `densenet`: its last kept map has the stride `output_stride`.

    Kept are the stages' maps, from fine to coarse. The other options are those of the three builders.
    Raises ValueError for an unknown name, an output stride that the network does not have, and as the builders do.
    """
    if name in VGGS:
        return atrous_vgg(name, pretrained, output_stride=output_stride, **options)
    if name in RESNETS:
        return resnet(name, pretrained, output_stride=output_stride, **options)
    if name in DENSENETS:
        return densenet(name, pretrained, output_stride=output_stride, **options)
    raise ValueError(f"no backbone called {name!r} can be dilated: there are {', '.join([*VGGS, *RESNETS, *DENSENETS])}")


def trunk_and_rest(
    own: str, row: Mapping[str, Any], backbone: str | None, pretrained: bool, options: Mapping[str, Any]
) -> tuple[Trunk, dict[str, Any]]:
    """The trunk of a row of a model's table, and those of the caller's `options` that are not the trunk's.

    own, row: the row's backbone and its options; `backbone` takes the former's place. Of the row's options those are left out that
    the new backbone cannot have; those of the caller are not. `pretrained` turns a ResNet's form into that of torchvision's weights.
    """
    name = backbone or own
    if name not in RESNETS and row.get("extra_layers"):
        raise ValueError(f"{name} cannot take the place of {own}: the cascaded form repeats a ResNet's last stage")
    settings = {key: value for key, value in row.items() if key in _options_of(name)}
    if name in RESNETS and len(settings.get("multi_grid", ())) != RESNETS[name][1][3]:
        settings.pop("multi_grid", None)
    settings |= form_of_weights(name, pretrained)
    chosen = {key: value for key, value in options.items() if key in VGG_OPTIONS | RESNET_OPTIONS | DENSENET_OPTIONS}
    trunk = dilated(name, pretrained=pretrained, **(settings | chosen))
    return trunk, {key: value for key, value in options.items() if key not in chosen}


def form_of_weights(name: str, pretrained: bool) -> dict[str, Any]:
    """The options that ImageNet weights bring with them: of a ResNet `TORCHVISION`, of other backbones none.

    A state dict does not tell a net's dilations, so whoever stores one must store these options beside it.
    """
    return dict(TORCHVISION) if pretrained and name in RESNETS else {}


def _options_of(name: str) -> frozenset[str]:
    return VGG_OPTIONS if name in VGGS else RESNET_OPTIONS if name in RESNETS else DENSENET_OPTIONS


def atrous_vgg(
    name: str, pretrained: bool = False, *, output_stride: int = 8, pool_size: int = 3, average_pool: bool = False, width: float | int = 1.0
) -> Trunk:
    """The five stages of a VGG with DeepLab's pools: maps pool1 … pool5, and pool5a with `average_pool` (3 × 3, stride 1: LargeFOV).

    output_stride: 8 in the papers; any stride that the pools reach. Convolutions behind a removed stride are dilated, pools are not
    (released files). pool_size: 3 (released), or 2 as in VGG: pool4 is then padded by one unit before and after, so that the two pools
    of stride 1 together keep the map's size. width: a factor on the channels of the small siblings.
    pretrained: torchvision's 13 convolutions of VGG-16. Raises ValueError where there are none, and for options that make no net.
    """
    table = _scaled(VGGS[name], width)
    if pretrained and (name != "vgg16" or width != 1):
        raise ValueError(f"{name} of width {width} has no pretrained weights: build it with pretrained=False, or take backbone='vgg16'")
    strides = [table.stem_stride * 2**pools for pools in range(5 if table.stem_stride > 1 else 6)]
    if output_stride not in strides:
        raise ValueError(f"output_stride {output_stride} of {name}: take one of {', '.join(map(str, strides))}")
    if pool_size not in (2, 3):
        raise ValueError(f"pool_size is 3 (DeepLab's released nets) or 2 (VGG), got {pool_size}")
    layers, keep = _stages(table, output_stride, pool_size)
    if average_pool:
        layers["pool5a"], keep["pool5a"] = nn.AvgPool2d(3, 1, 1), table.widths[-1][-1]
    trunk = Trunk(layers, keep)
    for layer in trunk:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if pretrained:
        load_convolutions(trunk, imagenet_state_dict(name))
    return trunk.to(memory_format=torch.channels_last) if table.batch_norm else trunk  # thin layers run faster so on a CPU


def load_convolutions(trunk: Trunk, state: dict[str, Tensor]) -> None:
    """Copies `features.*` of torchvision's VGG-16 into the trunk's convolutions, in order. RuntimeError where they do not match."""
    names = [name.removesuffix(".weight") for name in state if name.startswith("features.") and name.endswith(".weight")]
    convolutions = [layer for layer in trunk if isinstance(layer, nn.Conv2d)]
    for layer, name in zip(convolutions, names, strict=True):
        layer.load_state_dict({part: state[f"{name}.{part}"] for part in ("weight", "bias")})


def load_decimated(fc6: nn.Conv2d, fc7: nn.Conv2d, state: dict[str, Tensor]) -> None:
    """fc6 and fc7 of torchvision's VGG-16, decimated to the layers' sizes: evenly chosen taps of the 7 × 7 and of the 4096 filters.

    Source: DeepLab v1, section 3.2 ("subsampling by simple decimation"). Raises ValueError for layers that are larger than VGG's.
    """
    width, kernel_size = fc6.out_channels, int(fc6.kernel_size[0])
    if width > 4096 or kernel_size > 7:
        raise ValueError(f"torchvision's fc6 has 4096 filters of 7 × 7: {width} of {kernel_size} × {kernel_size} cannot be taken from it")
    filters, taps = torch.arange(width) * 4096 // width, torch.linspace(0, 6, kernel_size).round().long()
    wide = state["classifier.0.weight"].view(4096, -1, 7, 7)[filters]
    fc6.load_state_dict({"weight": wide[:, :, taps][..., taps], "bias": state["classifier.0.bias"][filters]})
    square = state["classifier.3.weight"][filters][:, filters]
    fc7.load_state_dict({"weight": square[..., None, None], "bias": state["classifier.3.bias"][filters]})


def _stages(table: VGGTable, output_stride: int, pool_size: int) -> tuple[dict[str, nn.Module], dict[str, int]]:
    """The layers up to pool5, and the pools' widths by name."""
    layers: dict[str, nn.Module] = {}
    keep: dict[str, int] = {}
    channels, stride, rate = 3, table.stem_stride, 1
    for stage, widths in enumerate(table.widths, start=1):
        for number, width in enumerate(widths, start=1):
            step = table.stem_stride if stage == number == 1 else 1
            layers[f"conv{stage}_{number}"] = nn.Conv2d(channels, width, 3, step, rate, rate, bias=not table.batch_norm)
            if table.batch_norm:
                layers[f"bn{stage}_{number}"] = nn.BatchNorm2d(width)
            layers[f"relu{stage}_{number}"] = nn.ReLU(inplace=True)
            channels = width
        if stage > 1 or table.stem_stride == 1:
            step = 2 if stride < output_stride else 1
            stride, rate = (stride * 2, rate) if step == 2 else (stride, rate * 2)
            layers[f"pool{stage}"] = _pool(pool_size, step, last=stage == len(table.widths))
            keep[f"pool{stage}"] = channels
    return layers, keep


def _pool(size: int, stride: int, *, last: bool) -> nn.MaxPool2d:
    """Rounds up, as Caffe does. 2 × 2 at stride 1: padded or not, so that a pair of them keeps the map's size."""
    padding = 1 if size == 3 else int(stride == 1 and not last)
    return nn.MaxPool2d(size, stride, padding, ceil_mode=True)


def _scaled(table: VGGTable, width: float | int) -> VGGTable:
    if width <= 0:
        raise ValueError(f"width multiplies the channels, so it must be above 0, got {width}")
    return replace(table, widths=tuple(tuple(max(1, round(width * channels)) for channels in stage) for stage in table.widths))
