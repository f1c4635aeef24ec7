"""A small stack of layers that `RFExplorer` lets one edit: checked, built as a module, written as code."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import nn

from edu_seg.geometry import output_size, transposed_output_size

CHANNELS = 16
MOST_LAYERS, MOST_UNITS = 12, 512
RANGES = {"kernel": (1, 11), "stride": (1, 8), "padding": (0, 24), "dilation": (1, 16)}
"""What the controls of the explorer offer; the same numbers stand in rf_stack.js."""

Kind = Literal["conv", "pool", "transposed"]
MODULES: dict[str, type[nn.Module]] = {"conv": nn.Conv2d, "pool": nn.MaxPool2d, "transposed": nn.ConvTranspose2d}


class StackLayer(NamedTuple):
    """One layer of a stack: a convolution, a max pool or a transposed convolution."""

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    kind: Kind = "conv"

    @property
    def most_padding(self) -> int:
        """So much lets every unit read something; PyTorch's pools take half a window at most."""
        span = self.dilation * (self.kernel - 1) + 1
        return span // 2 if self.kind == "pool" else span - 1

    def units(self, size: int) -> int:
        """How many units it makes of `size`. Raises ValueError where none is left."""
        count = transposed_output_size if self.kind == "transposed" else output_size
        return count(size, self.kernel, self.stride, self.padding, self.dilation)

    def arguments(self, channels: int) -> tuple[list[int], dict[str, int]]:
        """What its PyTorch module is built with, defaults left out."""
        places = [self.kernel] if self.kind == "pool" else [channels, CHANNELS, self.kernel]
        usual = {"stride": self.kernel if self.kind == "pool" else 1, "padding": 0, "dilation": 1}
        return places, {name: value for name, value in self._asdict().items() if name in usual and value != usual[name]}


START = (StackLayer(3, 1, 1), StackLayer(3, 1, 1), StackLayer(2, 2, 0, 1, "pool"), StackLayer(3, 1, 1), StackLayer(3, 1, 1))


def checked_stack(layers: Sequence[Sequence], size: Sequence[int]) -> list[StackLayer]:
    """The layers, once all of them are possible on an image of `size`: what cannot be built cannot be shown.

    layers: (kernel, stride, padding, dilation, kind) each, from the right on with the usual defaults.
    Raises ValueError that names the layer and the value.
    """
    if not 1 <= len(layers) <= MOST_LAYERS:
        raise ValueError(f"a stack of {len(layers)} layers: give 1 to {MOST_LAYERS}")
    stack = [_layer(number, values) for number, values in enumerate(layers)]
    units = tuple(size)
    for number, layer in enumerate(stack):
        try:
            units = tuple(layer.units(n) for n in units)
        except ValueError as error:
            raise ValueError(f"layer {number} {tuple(layer)}: {error}") from None
        if max(units) > MOST_UNITS:
            raise ValueError(f"layer {number} {tuple(layer)} makes a map of {units} units: at most {MOST_UNITS} along an axis can be shown")
    return stack


def _layer(number: int, values: Sequence) -> StackLayer:
    if not 1 <= len(values) <= 5:
        raise ValueError(f"layer {number} is {tuple(values)}: give (kernel, stride, padding, dilation, kind)")
    layer = StackLayer(*values)
    if layer.kind not in MODULES:
        raise ValueError(f"layer {number} is a {layer.kind!r}: give 'conv', 'pool' or 'transposed'")
    for name, (low, high) in RANGES.items():
        value = getattr(layer, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"layer {number} has {name} {value!r}: give an integer from {low} to {high}")
    if layer.padding > layer.most_padding:
        raise ValueError(f"layer {number} {tuple(layer)} has padding {layer.padding}: its window takes at most {layer.most_padding}")
    return layer


def stack_module(layers: Sequence[StackLayer]) -> nn.Sequential:
    """The stack as a network on images of 3 channels, with random weights."""
    modules, channels = [], 3
    for layer in layers:
        places, named = layer.arguments(channels)
        modules.append(MODULES[layer.kind](*places, **named))
        channels = channels if layer.kind == "pool" else CHANNELS
    return nn.Sequential(*modules)


def stack_code(layers: Sequence[StackLayer]) -> str:
    """The PyTorch code that builds `stack_module`."""
    lines, channels = [], 3
    for layer in layers:
        places, named = layer.arguments(channels)
        arguments = ", ".join([*map(str, places), *(f"{name}={value}" for name, value in named.items())])
        lines.append(f"    nn.{MODULES[layer.kind].__name__}({arguments}),")
        channels = channels if layer.kind == "pool" else CHANNELS
    return "\n".join(["from torch import nn", "", "model = nn.Sequential(", *lines, ")"])
