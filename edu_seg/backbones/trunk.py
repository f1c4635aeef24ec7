"""A trunk: named layers in a row, from images to a dict of named feature maps, that knows where each map sits."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from edu_seg.geometry import Field


@runtime_checkable
class Block(Protocol):
    """A layer with branches that says itself, as (kernel, stride, padding), how far the widest of them looks."""

    window: tuple[int, int, int]


class Trunk(nn.Sequential):
    """The layers of a classifier without its last: (N, 3, H, W) -> {name: (N, C, h, w)} for each name in `keep`.

    `fields[name]` is the receptive field of every layer's units, `channels[name]` the width of the kept maps.
    Raises ValueError for a kept name that is no layer, and TypeError for a layer whose field is not known.
    """

    def __init__(self, layers: Mapping[str, nn.Module], keep: Mapping[str, int]) -> None:
        super().__init__()
        missing = [name for name in keep if name not in layers]
        if missing:
            raise ValueError(f"no layer is called {missing[0]!r}: the layers are {', '.join(layers)}")
        self.channels = dict(keep)
        self.fields: dict[str, Field] = {}
        field = Field()
        for name, layer in layers.items():
            self.add_module(name, layer)
            field = field.then(*window(layer))
            self.fields[name] = field

    def forward(self, images: Float[Tensor, "N 3 H W"]) -> dict[str, Tensor]:
        features, kept = images, {}
        for name, layer in self.named_children():
            features = layer(features)
            if name in self.channels:
                kept[name] = features
        return kept

    def upto(self, name: str) -> "Trunk":
        """The same layers (shared, not copied) up to the one called `name`: nothing behind it is computed. ValueError: no such layer."""
        names = [key for key, _ in self.named_children()]
        if name not in names:
            raise ValueError(f"no layer is called {name!r}: the layers are {', '.join(names)}")
        layers = dict(list(self.named_children())[: names.index(name) + 1])
        return Trunk(layers, {key: width for key, width in self.channels.items() if key in layers})


def window(layer: nn.Module) -> tuple[int, int, int]:
    """(kernel, stride, padding) of one layer, the same along both axes; (1, 1, 0) for a layer that looks at single units."""
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        kernel_size, stride, padding = (_both_axes(layer, name) for name in ("kernel_size", "stride", "padding"))
        dilation = 1 if isinstance(layer, nn.AvgPool2d) else _both_axes(layer, "dilation")
        return dilation * (kernel_size - 1) + 1, stride, padding
    if isinstance(layer, nn.ReLU | nn.Dropout | nn.BatchNorm2d | nn.LocalResponseNorm):
        return 1, 1, 0
    if isinstance(layer, Block):
        return layer.window
    if isinstance(layer, nn.Sequential):
        return _composed([window(child) for child in layer])
    raise TypeError(f"the receptive field of a {type(layer).__name__} is not known: give it a `window` (kernel, stride, padding)")


def _both_axes(layer: nn.Module, name: str) -> int:
    value = getattr(layer, name)
    pair: Sequence[int] = value if isinstance(value, tuple) else (value, value)
    if isinstance(value, str) or pair[0] != pair[1]:
        raise TypeError(f"{type(layer).__name__} has the {name} {value!r}: a trunk's layers take one number for both axes")
    return pair[0]


def _composed(windows: Sequence[tuple[int, int, int]]) -> tuple[int, int, int]:
    field = Field()
    for one in windows:
        field = field.then(*one)
    return field.size, field.stride, field.padding
