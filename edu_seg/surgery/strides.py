"""Strides removed and filters dilated instead: filter rarefaction, or the "algorithme à trous" (FCN, section 3.2, equation 3)."""

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, fx, nn

from edu_seg.surgery.pools import DilatedAvgPool2d
from edu_seg.surgery.tracing import CannotConvert, called, description, finish, layer_of, replace_layers, traced_copy

Pair = tuple[int, int]
Window = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d
Convention = Literal["exact", "stage", "drn"]

POINTWISE = {"relu", "relu_", "add", "iadd", "mul", "imul", "sub", "cat", "dropout", "sigmoid", "batch_norm", "softmax", "log_softmax"}
POINTWISE |= {"tanh", "gelu", "silu", "hardswish", "hardsigmoid", "leaky_relu", "elu", "relu6", "contiguous", "clone"}
POINTWISE |= {"unsqueeze", "getitem"}
POINTWISE_LAYERS = nn.ReLU | nn.ReLU6 | nn.BatchNorm2d | nn.Dropout | nn.Identity | nn.Sigmoid | nn.SiLU | nn.GELU | nn.Hardswish
POINTWISE_LAYERS |= nn.LeakyReLU | nn.ELU | nn.Tanh | nn.Softmax | nn.LogSoftmax | nn.Dropout2d | nn.GroupNorm | nn.LocalResponseNorm
POINTWISE_LAYERS |= nn.Hardsigmoid


@dataclass(frozen=True)
class Place:
    """Where a map stands: the stride that is left up to here, and the stride that was removed; (vertical, horizontal)."""

    stride: Pair = (1, 1)
    removed: Pair = (1, 1)


@dataclass(frozen=True)
class Change:
    """What becomes of a convolution or pool: its stride, and what was removed before and after it."""

    stride: Pair
    before: Pair
    after: Pair

    @property
    def loses_stride(self) -> bool:
        return self.before != self.after


def remove_stride(model: nn.Module, output_stride: int, convention: Convention = "exact") -> fx.GraphModule:
    """A copy of `model` whose map is `output_stride` pixels a unit: later strides are 1, and later filters and pools dilated instead.

    The same weights, read further apart: without padding, every `network stride / output_stride`-th unit keeps its number (equation 3),
    and the others are what shift-and-stitch would have computed. Padding grows with the dilation, so that maps keep their place.

    convention: how a residual stage begins, which changes the output of given weights and the receptive field (427, 475 and 411 pixels
    for ResNet-50 at output stride 8). "exact": the layer that lost its stride keeps the rate of the stage before (filter rarefaction;
    torchvision, and the rule of the DRN paper). "stage": it takes the rate of its own stage (PSPNet's and DeepLab's released nets).
    "drn": all layers of its block have rate 1 (the released DRN-A). They differ for convolutions only, pools are always exact.

    Raises CannotConvert, naming the layer, where a layer mixes places in a way that is not known (flatten, interpolation, transposed
    convolution …; convolutionalise a classifier first); ValueError for an output stride that the network's strides do not pass.
    """
    if output_stride < 1:
        raise ValueError(f"output_stride must be at least 1, got {output_stride}")
    if convention not in get_args(Convention):
        raise ValueError(f"convention {convention!r}: there are {', '.join(get_args(Convention))}")
    traced = traced_copy(model)
    changes = _plan(traced, output_stride)
    blocks = {_block(model, str(node.target)) for node, change in changes.items() if _begins_block(traced, node, change)}
    layers: dict[fx.Node, nn.Module] = {}
    for node, change in changes.items():
        layer = layer_of(traced, node)
        assert isinstance(layer, Window)
        rate = change.before
        if isinstance(layer, nn.Conv2d) and convention == "stage" and change.loses_stride:
            rate = change.after
        if isinstance(layer, nn.Conv2d) and convention == "drn" and any(str(node.target).startswith(f"{block}.") for block in blocks):
            rate = (1, 1)
        layers[node] = _changed(layer, change.stride, rate, description(traced, node))
    if convention == "drn" and None in blocks:
        raise CannotConvert('convention "drn" is about residual blocks, and a layer that loses its stride is in none: take "exact"')
    replace_layers(traced, layers)
    finish(traced)
    return traced


def zero_inserted(weight: Float[Tensor, "O C k l"], factor: int) -> Float[Tensor, "O C K L"]:
    """The filter with factor - 1 zeros between its taps: f'_ij = f_{i/s, j/s} where s divides i and j, counted from 0 (FCN, equation 3)."""
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
    height, width = ((size - 1) * factor + 1 for size in weight.shape[2:])
    rarefied = weight.new_zeros(*weight.shape[:2], height, width)
    rarefied[:, :, ::factor, ::factor] = weight
    return rarefied


def _plan(traced: fx.GraphModule, output_stride: int) -> dict[fx.Node, Change]:
    """What becomes of each convolution and pool."""
    places: dict[fx.Node, Place] = {}
    changes: dict[fx.Node, Change] = {}
    deepest = 1
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            places[node] = Place()
            continue
        given = {places[source] for source in node.all_input_nodes if source in places}
        if node.op == "output" or not given:
            continue
        if len(given) > 1:
            raise CannotConvert(f"{description(traced, node)} joins maps of different strides: {', '.join(map(str, given))}")
        (place,) = given
        layer = layer_of(traced, node)
        if isinstance(layer, Window):
            changes[node] = _change(place, _pair(layer.stride), output_stride, description(traced, node))
            places[node] = _next(place, changes[node])
            deepest = max(deepest, *places[node].stride)
        elif isinstance(layer, POINTWISE_LAYERS) or called(node) in POINTWISE:
            places[node] = place
        elif not _forgets_place(node, layer) and not (place.removed == (1, 1) and _flattens(node, layer)):
            raise CannotConvert(
                f"{description(traced, node)} is no convolution, no pool and acts on more than single units: "
                "what becomes of it at another stride is not known (for a classifier, convolutionalise first)"
            )
    if deepest != output_stride:
        raise ValueError(f"output_stride {output_stride}: the network's own stride is {deepest}, and strides are only removed")
    return changes


def _change(place: Place, stride: Pair, output_stride: int, what: str) -> Change:
    """Keeps as much of a stride as the output stride allows."""
    kept, after = [], []
    for reached, step, removed in zip(place.stride, stride, place.removed, strict=True):
        room = min(step, output_stride // reached)
        if step % room or (room < step and room * reached != output_stride):
            raise ValueError(f"output_stride {output_stride} cannot be reached: {what} goes from {reached} to {reached * step}")
        kept.append(room)
        after.append(removed * step // room)
    return Change((kept[0], kept[1]), place.removed, (after[0], after[1]))


def _next(place: Place, change: Change) -> Place:
    (top, left), (down, right) = place.stride, change.stride
    return Place((top * down, left * right), change.after)


def _forgets_place(node: fx.Node, layer: nn.Module | None) -> bool:
    """A global pool, or a question about the size: what comes of it has no place on the image."""
    if isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d):
        return layer.output_size in (1, (1, 1))
    return called(node) in ("mean", "size", "getattr", "dim")


def _flattens(node: fx.Node, layer: nn.Module | None) -> bool:
    return isinstance(layer, nn.Flatten | nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) or called(node) in ("flatten", "view", "reshape")


def _begins_block(traced: fx.GraphModule, node: fx.Node, change: Change) -> bool:
    return change.loses_stride and isinstance(layer_of(traced, node), nn.Conv2d)


def _block(model: nn.Module, name: str) -> str | None:
    """The name of the module, other than a Sequential, that holds a layer; None where that is the network itself."""
    while name:
        name = name.rpartition(".")[0]
        if not isinstance(model.get_submodule(name), nn.Sequential):
            return name or None
    return None


def _pair(value: int | tuple[int, ...]) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _times(value: int | tuple[int, ...], factors: Pair) -> Pair:
    return _pair(value)[0] * factors[0], _pair(value)[1] * factors[1]


def _spread(layer: nn.Conv2d | nn.MaxPool2d, rate: Pair) -> Pair:
    """The dilation, times the rate along each axis on which there is more than one tap."""
    taps = _pair(layer.kernel_size)
    return _times(layer.dilation, (rate[0] if taps[0] > 1 else 1, rate[1] if taps[1] > 1 else 1))


def _changed(layer: Window, stride: Pair, rate: Pair, what: str) -> nn.Module:
    """The layer with another stride, its taps `rate` times as far apart."""
    if isinstance(layer, nn.Conv2d):
        return _conv(layer, stride, rate)
    padding = _times(layer.padding, rate)
    kernel = _pair(layer.kernel_size)
    ceil = layer.ceil_mode and stride != (1, 1)
    if isinstance(layer, nn.MaxPool2d):
        pool = nn.MaxPool2d(kernel, stride, padding, _spread(layer, rate), layer.return_indices, ceil)
        return pool if all(2 * p <= k for p, k in zip(padding, kernel, strict=True)) else _padded_before(pool, padding)
    if rate == (1, 1) or kernel == (1, 1):
        return nn.AvgPool2d(kernel, stride, padding, ceil, layer.count_include_pad, layer.divisor_override)
    if ceil or layer.divisor_override or (not layer.count_include_pad and padding != (0, 0)):
        raise CannotConvert(f"{what} divides by something other than its window's size: there is no dilated form of it here")
    return DilatedAvgPool2d(kernel, stride, padding, rate)


def _padded_before(pool: nn.MaxPool2d, padding: Pair) -> nn.Module:
    """torch pads a pool by half its taps at most, however far they are apart: a layer of its own pads, with what is below any number."""
    pool.padding = (0, 0)
    return nn.Sequential(nn.ConstantPad2d((padding[1], padding[1], padding[0], padding[0]), -float("inf")), pool)


def _conv(conv: nn.Conv2d, stride: Pair, rate: Pair) -> nn.Conv2d:
    padding = conv.padding if isinstance(conv.padding, str) else _times(conv.padding, rate)
    new = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        _pair(conv.kernel_size),
        stride,
        padding,
        _spread(conv, rate),
        conv.groups,
        conv.bias is not None,
        conv.padding_mode,
        device="meta",
        dtype=conv.weight.dtype,
    )
    new.weight, new.bias = conv.weight, conv.bias
    return new
