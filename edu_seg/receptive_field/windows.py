"""Convolutions, pools and padding: a unit reads a window."""

from collections.abc import Sequence
from typing import Any

import torch

from edu_seg.geometry import output_size, transposed_output_size
from edu_seg.receptive_field.building import arguments, axes, dimensions, each, look_at_all, merge, operation, windowed
from edu_seg.receptive_field.relations import (
    Adaptive,
    Relation,
    Transposed,
    Whole,
    Window,
)
from edu_seg.receptive_field.tracing import Run, Traced


@operation("convolution")
def convolution(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    source, weight, _, stride, padding, dilation, transposed, output_padding, groups = args
    if not isinstance(source, Traced):
        raise run.unknown(func, "its weights depend on the image")
    number = weight.ndim - 2
    rows: list[tuple[Relation, int]] = []
    settings = (each(value, number) for value in (stride, padding, dilation, output_padding))
    for size, kernel, s, p, d, extra in zip(source.shape[-number:], weight.shape[2:], *settings, strict=True):
        if transposed:
            rows.append((Transposed(kernel, s, p, d), transposed_output_size(size, kernel, s, p, d, extra)))
        else:
            rows.append((Window(kernel, s, p, d), output_size(size, kernel, s, p, d)))
    return windowed(run, func, source, rows, weight.shape[1] * groups if transposed else weight.shape[0])


def _pool(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any], number: int) -> Traced:
    given = arguments(func, args, kwargs)
    kernel = each(given["kernel_size"], number)
    stride = each(given["stride"], number) if given["stride"] else kernel
    padding, dilation = each(given["padding"], number), each(given.get("dilation", 1), number)
    rows: list[tuple[Relation, int]] = [
        (Window(k, s, p, d), output_size(size, k, s, p, d, ceil_mode=given["ceil_mode"]))
        for size, k, s, p, d in zip(args[0].shape[-number:], kernel, stride, padding, dilation, strict=True)
    ]
    return windowed(run, func, args[0], rows)


@operation("avg_pool1d", "avg_pool2d", "avg_pool3d")
def average_pool(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return _pool(run, func, args, kwargs, dimensions(func))


@operation("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices")
def max_pool(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The indices remember the windows: a unit that is put back by them may land anywhere in its window."""
    values = _pool(run, func, args, kwargs, dimensions(func))
    indices = Traced(values.node, values.dims, values, torch.int64)
    given = arguments(func, args, kwargs)
    number = dimensions(func)
    kernel = each(given["kernel_size"], number)
    settings = (
        kernel,
        each(given["stride"], number) if given["stride"] else kernel,
        each(given["padding"], number),
        each(given["dilation"], number),
    )
    indices.pool = tuple(Transposed(*setting) for setting in zip(*settings, strict=True))
    return values, indices


@operation("max_unpool2d", "max_unpool3d")
def max_unpool(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    source, indices, size = args[:3]
    if not isinstance(indices, Traced) or indices.pool is None:
        raise run.unknown(func, "its indices do not come from a max pool of this run")
    maps = windowed(run, func, source, list(zip(indices.pool, size, strict=True)))
    places = windowed(run, func, indices, list(zip(indices.pool, size, strict=True)), dtype=source.dtype)
    return merge(run, source, maps.dims, [(maps, {}), (places, {})])


@operation("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def adaptive_pool(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """To one bin it looks at the whole map."""
    source, bins = args[0], args[1]
    sizes = source.shape[-len(bins) :]
    relations: list[tuple[Relation, int]] = [(Whole(n) if m == 1 else Adaptive(n, m), m) for n, m in zip(sizes, bins, strict=True)]
    result = windowed(run, func, source, relations)
    if all(m == 1 for m in bins) and axes(source.dims):
        result = look_at_all(run, source, axes(source.dims[-len(bins) :]), result.dims, can_leave_out=False)
    return (result, torch.empty(0)) if "max" in func.overloadpacket.__name__ else result


@operation("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
@operation("replication_pad1d", "replication_pad2d", "replication_pad3d", "pad")
def pad(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """(input, (left, right, top, bottom, …)); "pad" is circular padding, caught before PyTorch takes it apart."""
    source, amounts = args[0], args[1] if len(args) > 1 else kwargs["pad"]
    name = getattr(func, "overloadpacket", func).__name__
    border = {"constant": "zero", "reflection": "reflect", "replication": "replicate"}.get(name.split("_")[0], "circular")
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))[::-1]
    sizes = source.shape[-len(pairs) :]
    rows: list[tuple[Relation, int]] = [
        (Window(1, 1, before, 1, border), n + before + after) for n, (before, after) in zip(sizes, pairs, strict=True)
    ]
    return windowed(run, func, source, rows)
