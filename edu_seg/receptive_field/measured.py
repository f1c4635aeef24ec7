"""The receptive field found without any theory of it: which pixels have a gradient at a unit.

In a trained network a gradient may vanish by chance: a maximum passes one pixel on and not the other, a ReLU is off, weights cancel.
So the network is run with positive weights and with every step replaced by one that passes all it looks at: a maximum by an average, an
activation by the identity, a normalisation by adding a mean. Then a pixel has a gradient exactly where a path leads from it to the unit,
and in float64 even the single path from the far corner of a hundred layers is not lost.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from edu_seg.geometry import output_size
from edu_seg.receptive_field.fields import Interval, box

ACTIVATIONS = (
    "relu relu_ relu6 hardtanh hardtanh_ sigmoid sigmoid_ tanh tanh_ hardsigmoid hardswish silu gelu elu elu_ leaky_relu leaky_relu_ prelu "
    "rrelu softplus selu celu mish logsigmoid threshold threshold_ softsign tanhshrink hardshrink softshrink clamp clamp_ abs exp sqrt "
    "dropout batch_norm"
)

JOINS = (
    "sub sub_ rsub subtract __sub__ __rsub__ __isub__ mul mul_ multiply __mul__ __rmul__ __imul__ "
    "div div_ divide true_divide __truediv__ __rtruediv__ __itruediv__"
)


class Positive(TorchFunctionMode):
    """While it is active, each function of `REPLACEMENTS` is replaced."""

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        replacement = REPLACEMENTS.get(getattr(func, "__name__", ""))
        return (replacement or func)(*args, **(kwargs or {}))


def _same(image: Tensor, *_: Any, **__: Any) -> Tensor:
    return image


def _joining(name: str) -> Callable[..., Any]:
    """Sums in place of differences, products and quotients, so that nothing cancels and no zero hides what it is multiplied with."""

    def replacement(a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(isinstance(value, Tensor) and value.requires_grad for value in (a, b)):
            return getattr(torch.Tensor if isinstance(a, Tensor) else torch, name)(a, b, *args, **kwargs)
        return a.add_(b) if name.endswith("_") and not name.endswith("__") else a + b

    return replacement


def _plus_mean(dims: Callable[..., Any]) -> Callable[..., Tensor]:
    """A normalisation: each number and the mean of all that it is normalised with."""

    def replacement(values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return values + values.mean(dims(values, *args, **kwargs), keepdim=True)

    return replacement


def _average_for_max(
    maps: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The mean over each window of a max pool, as a convolution of every channel with ones."""
    number = maps.ndim - 2
    kernel = _each(kernel_size, number)
    settings = [kernel, _each(stride, number) if stride else kernel, _each(padding, number), _each(dilation, number)]
    pads: list[int] = []
    for size, k, s, p, d in reversed(list(zip(maps.shape[2:], *settings, strict=True))):
        made = output_size(size, k, s, p, d, ceil_mode=ceil_mode)
        pads += [p, max(0, (made - 1) * s + d * (k - 1) + 1 - size - p)]
    weight = torch.full((maps.shape[1], 1, *kernel), 1 / math.prod(kernel), dtype=maps.dtype)
    pooled = (F.conv1d if number == 1 else F.conv2d)(
        F.pad(maps, pads), weight, stride=settings[1], dilation=settings[3], groups=maps.shape[1]
    )
    extra = [output_size(n, k, s, p, d, ceil_mode=ceil_mode) for n, k, s, p, d in zip(maps.shape[2:], *settings, strict=True)]
    pooled = pooled[(..., *(slice(size) for size in extra))]
    return (pooled, torch.zeros(pooled.shape, dtype=torch.int64)) if return_indices else pooled


def _average_and_indices(*args: Any, **kwargs: Any) -> Any:
    return _average_for_max(*args, **(kwargs | {"return_indices": True}))


def _spread(maps: Tensor, _: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, output_size: Any = None) -> Tensor:
    """Max unpooling: each unit to its whole window."""
    kernel, padding = _each(kernel_size, 2), _each(padding, 2)
    stride = _each(stride, 2) if stride else kernel
    weight = torch.ones((maps.shape[1], 1, *kernel), dtype=maps.dtype)
    spread = F.conv_transpose2d(maps, weight, stride=stride, padding=padding, groups=maps.shape[1])
    if output_size is None:
        return spread
    height, width = output_size[-2:]
    return F.pad(spread, (0, width - spread.shape[-1], 0, height - spread.shape[-2]))


def _resize(maps: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: Any = None, **_: Any) -> Tensor:
    """Interpolation by its matrix along each axis, from PyTorch itself; weights that are rounding errors become zero."""
    number = maps.ndim - 2
    for axis in range(number):
        units = maps.shape[2 + axis]
        shape = [units if place == axis else 1 for place in range(number)]
        columns = torch.eye(units, dtype=maps.dtype).reshape(1, units, *shape)
        target = None if size is None else [_each(size, number)[axis] if place == axis else 1 for place in range(number)]
        scale = (
            None
            if scale_factor is None
            else [float(_each(scale_factor, number)[axis]) if place == axis else 1.0 for place in range(number)]
        )
        weights = F.interpolate(columns, target, scale, mode, align_corners)
        matrix = torch.where(weights.abs() > 1e-9, weights.abs(), 0).reshape(units, -1)
        maps = (maps.movedim(2 + axis, -1) @ matrix).movedim(-1, 2 + axis)
    return maps


def _attend(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
    return query.mean(-1, keepdim=True) + key.mean((-2, -1), keepdim=True) + value.mean(-2, keepdim=True)


def _each(value: Any, number: int) -> list[Any]:
    values = list(value) if isinstance(value, list | tuple | torch.Size) else [value]
    return values * number if len(values) == 1 else values


REPLACEMENTS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(ACTIVATIONS.split(), _same),
    **{name: _joining(name) for name in JOINS.split()},
    **dict.fromkeys(("max_pool1d", "max_pool2d"), _average_for_max),
    **dict.fromkeys(("max_pool1d_with_indices", "max_pool2d_with_indices"), _average_and_indices),
    "adaptive_max_pool1d": lambda maps, size, **_: F.adaptive_avg_pool1d(maps, size),
    "adaptive_max_pool2d": lambda maps, size, **_: F.adaptive_avg_pool2d(maps, size),
    "max_unpool2d": _spread,
    "interpolate": _resize,
    "softmax": _plus_mean(lambda values, dim=None, *_, **__: (dim,)),
    "log_softmax": _plus_mean(lambda values, dim=None, *_, **__: (dim,)),
    "instance_norm": _plus_mean(lambda values, *_, **__: tuple(range(2, values.ndim))),
    "group_norm": _plus_mean(lambda values, *_, **__: tuple(range(1, values.ndim))),
    "layer_norm": _plus_mean(lambda values, shape, *_, **__: tuple(range(-len(shape), 0))),
    "scaled_dot_product_attention": _attend,
}
"""function → what takes its place."""


def positive_state(model: nn.Module) -> dict[str, Tensor]:
    """The network's parameters and buffers in float64, every weight one positive number that keeps sums near 1."""
    parameters = {name: (value, 1 / max(1, value[:1].numel())) for name, value in model.named_parameters()}
    state = {name: torch.full((), weight, dtype=torch.float64).expand(value.shape) for name, (value, weight) in parameters.items()}
    return state | {name: value.double() if value.is_floating_point() else value for name, value in model.named_buffers()}


def positive_gradient(
    model: nn.Module, input_size: Sequence[int], unit: Sequence[int], layer: str | None = None, *, channels: int = 3
) -> Float64[Tensor, "*image"]:
    """The gradient at one unit for every pixel, of the positive network: above zero exactly where a path leads from pixel to unit.

    Arguments as in `measured_receptive_field`.
    """
    image = torch.ones(1, channels, *input_size, dtype=torch.float64, requires_grad=True)
    with evaluating(model), capturing(model, layer) as captured, Positive():
        output = functional_call(model, positive_state(model), (image,))
    target = at_unit(captured[0] if layer is not None else only_map(output), unit, len(input_size))
    if not target.requires_grad:
        return torch.zeros(tuple(input_size), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(target, image)
    return gradient.abs().sum((0, 1))


def measured_receptive_field(
    model: nn.Module, input_size: Sequence[int], unit: Sequence[int], layer: str | None = None, *, channels: int = 3
) -> tuple[Interval, ...] | None:
    """((top, bottom), (left, right)) of the pixels that reach a unit, found by a gradient; None if none does.

    The same box as `ReceptiveField.inside(*unit)`, which knows it from the layers' arithmetic; this is the independent check.
    layer: a module's name as in `receptive_fields`, or None for the output. unit: one index for each axis.
    Raises KeyError for a layer that is not called, IndexError for a unit that is not on the map.
    """
    return box(positive_gradient(model, input_size, unit, layer, channels=channels).numpy() > 0)


@contextmanager
def evaluating(model: nn.Module) -> Any:
    """In evaluation mode; afterwards each module is as it was."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def capturing(model: nn.Module, layer: str | None) -> Any:
    """A list that receives what the layer's call returns: "name", "name#2" for the second call, "name[key]" of several."""
    captured: list[Tensor] = []
    if layer is None:
        yield captured
        return
    path, _, key = layer.partition("[")
    name, _, call = path.partition("#")
    modules = dict(model.named_modules())
    if name not in modules:
        raise KeyError(f"no module is called {name!r}; there are {', '.join(filter(None, modules))}")
    outputs: list[Any] = []
    hook = modules[name].register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield captured
    finally:
        hook.remove()
    number = int(call or 1)
    if len(outputs) < number:
        raise KeyError(f"{layer!r}: the module is called {len(outputs)} times by the network's forward")
    output = outputs[number - 1]
    for part in key.rstrip("]").split("][") if key else ():
        output = output[part if isinstance(output, Mapping) else int(part)]
    captured.append(output)


def only_map(output: Any) -> Tensor:
    """A network's output, or its "out" among several."""
    if isinstance(output, Mapping) and "out" in output:
        return output["out"]
    if not isinstance(output, Tensor):
        raise TypeError(f"the network returns a {type(output).__name__}: name a layer whose map is meant")
    return output


def at_unit(maps: Tensor, unit: Sequence[int], number: int) -> Tensor:
    """The sum over channels at one unit of a map (1, C, …)."""
    unit = tuple(unit)
    sizes = tuple(maps.shape[2:]) if maps.ndim == 2 + number else (1,) * number
    if len(unit) != number or not all(0 <= place < size for place, size in zip(unit, sizes, strict=True)):
        raise IndexError(f"there is no unit {unit} on a map of {sizes}")
    return maps[(..., *unit)].sum() if maps.ndim == 2 + number else maps.sum()
