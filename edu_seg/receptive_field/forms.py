"""The same numbers in another form: views, slices, maps joined or picked."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from edu_seg.receptive_field.building import arguments, axes, derive, lone_axis, merge, operation, replaced
from edu_seg.receptive_field.pointwise import broadcast
from edu_seg.receptive_field.relations import (
    Flip,
    Part,
    Relation,
    Window,
)
from edu_seg.receptive_field.tracing import Dims, Factor, Handler, Run, Traced, plain, size_of


def view(handler: Handler) -> Handler:
    """A handler whose results share their numbers with the first argument."""

    def viewing(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        result = handler(run, func, args, kwargs)
        source = args[0].base[0] if args[0].base else args[0]
        for tensor in result if isinstance(result, list | tuple) else (result,):
            tensor.base, tensor.pool = (source, source.changes), args[0].pool
        return result

    return viewing


@operation("view", "_unsafe_view", "_reshape_alias", "reshape", "squeeze", "unsqueeze")
@view
def reshape(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Factors in the same order, put together or taken apart; an axis of the image cannot be taken apart."""
    source = args[0]
    name = func.overloadpacket.__name__
    if name == "squeeze":
        given = args[1] if len(args) > 1 else list(range(source.ndim))
        drop = {dim % source.ndim for dim in ([given] if isinstance(given, int) else given)}
        return derive(run, source, tuple(f for dim, f in enumerate(source.dims) if dim not in drop or size_of(f) != 1))
    if name == "unsqueeze":
        place = args[1] % (source.ndim + 1)
        return derive(run, source, (*source.dims[:place], plain(1), *source.dims[place:]))
    shape = list(args[1])
    if isinstance(args[1], torch.dtype):
        raise run.unknown(func)
    if -1 in shape:
        known = -int(np.prod(shape))
        shape[shape.index(-1)] = source.numel() // known if known else 0
    return derive(run, source, regrouped(run, func, source.dims, shape))


def regrouped(run: Run, func: Any, dims: Dims, shape: Sequence[int]) -> Dims:
    """The factors dealt out to dimensions of the sizes `shape`."""
    if [size_of(factors) for factors in dims] == list(shape):
        return dims
    waiting: list[Factor] = []
    for factor in (factor for factors in dims for factor in factors if factor[1] != 1):
        if waiting and factor[0] is None and waiting[-1][0] is None:
            waiting[-1] = (None, waiting[-1][1] * factor[1])
        else:
            waiting.append(factor)
    result = []
    for size in shape:
        taken: list[Factor] = []
        while size > 1:
            axis, there = waiting.pop(0)
            if size % there == 0:
                taken.append((axis, there))
                size //= there
            elif axis is None and there % size == 0:
                taken.append((None, size))
                waiting.insert(0, (None, there // size))
                size = 1
            else:
                raise run.unknown(func, f"it takes the {there} {('rows', 'columns')[axis] if axis in (0, 1) else 'units'} of a map apart")
        result.append(tuple(taken) or plain(1))
    return tuple(result)


@operation("permute", "transpose", "t", "expand", "detach", "alias", "lift_fresh", "flip", "roll")
@view
def rearrange(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    source, name = args[0], func.overloadpacket.__name__
    order = list(range(source.ndim))
    if name == "permute":
        order = [dim % source.ndim for dim in args[1]]
    elif name in ("transpose", "t"):
        first, second = (dim % source.ndim for dim in (args[1:3] if name == "transpose" else (0, -1)))
        order[first], order[second] = order[second], order[first]
    dims = tuple(source.dims[dim] for dim in order)
    if name == "expand":
        shape = args[1]
        dims = (plain(1),) * (len(shape) - len(dims)) + dims
        dims = tuple(plain(n) if n not in (-1, size_of(f)) else f for n, f in zip(shape, dims, strict=True))
    relations: dict[int, Relation] = {}
    if name in ("flip", "roll"):
        which = args[1] if name == "flip" else (args[2] if len(args) > 2 else None)
        if not which:
            raise run.unknown(func, "it rolls a flattened map")
        for place, dim in enumerate(which):
            axis = lone_axis(run, func, source.dims[dim])
            if axis is not None:
                size = source.node.sizes[axis]
                relations[axis] = Flip(size) if name == "flip" else Window(1, 1, args[1][place], 1, "circular")
    return derive(run, source, dims, relations)


@operation("slice", "select", "split", "split_with_sizes", "unbind", "narrow")
@view
def slices(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Some units of a dimension."""
    given, source, name = arguments(func, args, kwargs), args[0], func.overloadpacket.__name__
    dim = given["dim"] % source.ndim
    size = source.shape[dim]
    if name == "select":
        return one_unit(run, func, source, dim, given["index"] % size)
    if name == "unbind":
        return [one_unit(run, func, source, dim, index) for index in range(size)]
    if name == "slice":
        start, end, step = slice(given["start"], given["end"], given["step"]).indices(size)
        return some_units(run, func, source, dim, range(start, end, step))
    lengths = given["split_size"] if name == "split" else given["split_sizes"]
    lengths = [lengths] * -(-size // lengths) if isinstance(lengths, int) else lengths
    starts = np.cumsum([0, *lengths]).tolist()
    return [some_units(run, func, source, dim, range(start, min(size, start + n))) for start, n in zip(starts, lengths, strict=False)]


def one_unit(run: Run, func: Any, source: Traced, dim: int, index: int) -> Traced:
    axis = lone_axis(run, func, source.dims[dim])
    dims = source.dims[:dim] + source.dims[dim + 1 :]
    return derive(run, source, dims, {} if axis is None else {axis: Window(1, 0, -index)})


def some_units(run: Run, func: Any, source: Traced, dim: int, units: range) -> Traced:
    if len(units) == source.shape[dim] and units.step == 1:
        return derive(run, source, source.dims)
    axis = lone_axis(run, func, source.dims[dim])
    relations: dict[int, Relation] = {} if axis is None else {axis: Window(1, units.step, -units.start)}
    return derive(run, source, replaced(source.dims, {dim: ((axis, len(units)),)}), relations)


@operation("cat", "stack")
def join(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Side by side along one dimension: channels as a rule; else each unit of the result comes from one of the maps."""
    given = arguments(func, args, kwargs)
    tensors, name = list(given["tensors"]), func.overloadpacket.__name__
    traced = [tensor for tensor in tensors if isinstance(tensor, Traced)]
    all_dims = [tensor.dims if isinstance(tensor, Traced) else tuple(plain(n) for n in tensor.shape) for tensor in tensors]
    if name == "stack":
        dims = broadcast(run, func, all_dims)
        place = given["dim"] % (len(dims) + 1)
        return merge(run, traced[0], (*dims[:place], plain(len(tensors)), *dims[place:]), [(tensor, {}) for tensor in traced])
    dim = given["dim"] % traced[0].ndim
    total = sum(size_of(dims[dim]) for dims in all_dims)
    rest = broadcast(run, func, [replaced(dims, {dim: plain(1)}) for dims in all_dims])
    along = {lone_axis(run, func, tensor.dims[dim]) for tensor in traced}
    if along == {None}:
        return merge(run, traced[0], replaced(rest, {dim: plain(total)}), [(tensor, {}) for tensor in traced])
    axis = next(axis for axis in along if axis is not None)
    if along - {None, axis}:
        raise run.unknown(func, "it joins rows to columns")
    starts = np.cumsum([0, *(size_of(dims[dim]) for dims in all_dims)]).tolist()
    sources: list[tuple[Traced, dict[int, Relation]]] = [
        (tensor, {axis: Part(start, tensor.shape[dim])})
        for start, tensor in zip(starts, tensors, strict=False)
        if isinstance(tensor, Traced)
    ]
    return merge(run, traced[0], replaced(rest, {dim: ((axis, total),)}), sources)


@operation("index_select", "index")
def pick(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Channels by number."""
    source, name = args[0], func.overloadpacket.__name__
    if name == "index_select":
        dim, index = args[1] % source.ndim, args[2]
    else:
        used = [place for place, index in enumerate(args[1]) if index is not None]
        if len(used) != 1 or args[1][used[0]].ndim != 1:
            raise run.unknown(func, "it picks along several dimensions at once")
        dim, index = used[0], args[1][used[0]]
    if isinstance(index, Traced) or axes((source.dims[dim],)):
        raise run.unknown(func, "it picks rows or columns by number")
    return derive(run, source, replaced(source.dims, {dim: plain(len(index))}))


@operation("channel_shuffle", "native_channel_shuffle")
def shuffle_channels(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return derive(run, args[0], args[0].dims)


@operation("glu")
def gated(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    source, dim = args[0], args[1] if len(args) > 1 else -1
    if axes((source.dims[dim],)):
        raise run.unknown(func, "it gates along rows or columns")
    return derive(run, source, replaced(source.dims, {dim: plain(source.shape[dim] // 2)}))
