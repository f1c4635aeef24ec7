"""How a handler makes its result: a new map from the maps that it reads.

Channels and the batch are not followed: every operation is taken to mix all channels that it sees. So the result is what the layers'
shapes allow, for almost any weights.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from edu_seg.receptive_field.graph import Node
from edu_seg.receptive_field.relations import (
    BROADCAST,
    IDENTITY,
    Relation,
    Whole,
)
from edu_seg.receptive_field.tracing import Dims, Factor, Handler, Run, Traced, plain

OPERATIONS: dict[str, Handler] = {}
"""PyTorch's name of an operation → its handler. Pointwise ones need not be here: PyTorch marks them."""


def operation(*names: str) -> Callable[[Handler], Handler]:
    """Enters a handler under the names of its operations."""

    def enter(handler: Handler) -> Handler:
        OPERATIONS.update(dict.fromkeys(names, handler))
        return handler

    return enter


def arguments(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name, with PyTorch's defaults."""
    given = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
    return {argument.name: given.get(argument.name, argument.default_value) for argument in func._schema.arguments}


def derive(
    run: Run,
    source: Traced,
    dims: Dims,
    relations: dict[int, Relation] | None = None,
    whole: bool = False,
    dtype: torch.dtype | None = None,
) -> Traced:
    """A result made from one traced tensor. relations: those along the axes where it is not the identity."""
    return merge(run, source, dims, [(source, relations or {})], whole=whole, dtype=dtype)


def merge(
    run: Run,
    like: Tensor,
    dims: Dims,
    sources: Sequence[tuple[Traced, dict[int, Relation]]],
    *,
    whole: bool = False,
    dtype: torch.dtype | None = None,
) -> Traced:
    """A result whose units read all of the sources; an axis that a source does not have is broadcast."""
    sizes = [1] * len(sources[0][0].node.sizes)
    for axis, size in (factor for factors in dims for factor in factors):
        if axis is not None:
            sizes[axis] = size
    parents = []
    for source, relations in sources:
        present = axes(source.dims)
        rows = tuple(
            relations.get(axis, IDENTITY if axis in present and source.node.sizes[axis] == sizes[axis] else BROADCAST)
            for axis in range(len(sizes))
        )
        parents.append((source.node, rows))
    if run.leave_out and any(not node.whole for node, _ in parents):
        parents = [(node, rows) for node, rows in parents if not node.whole]
    names = [name for node, _ in parents for name in node.whole] + ([run.place()] if whole else [])
    node = Node(tuple(sizes), tuple(dict.fromkeys(parents)), tuple(dict.fromkeys(names)))
    (first, rows), *others = node.parents
    if (
        not others
        and node.sizes == first.sizes
        and all(row == IDENTITY or (row == BROADCAST and size == 1) for row, size in zip(rows, sizes, strict=True))
    ):
        node = first  # the same map under other numbers
    return Traced(node, dims, like, dtype)


def axes(dims: Dims) -> set[int]:
    """The axes of the image that a tensor has."""
    return {axis for factors in dims for axis, _ in factors if axis is not None}


def look_at_all(run: Run, source: Traced, which: set[int], dims: Dims, *, can_leave_out: bool) -> Traced:
    """A result whose units read the source's whole map along the axes `which`."""
    if not which:
        return derive(run, source, dims)
    if can_leave_out and run.leave_out:
        return Traced(source.node, dims, source)
    return derive(run, source, dims, {axis: Whole(source.node.sizes[axis]) for axis in which}, whole=True)


def replaced(dims: Dims, changes: dict[int, tuple[Factor, ...]]) -> Dims:
    """The dimensions with some of them changed."""
    changes = {dim % len(dims): factors for dim, factors in changes.items()}
    return tuple(changes.get(dim, factors) for dim, factors in enumerate(dims))


def lone_axis(run: Run, func: Any, factors: Sequence[Factor]) -> int | None:
    """The axis that a dimension is, None for channels. Raises for a dimension of several axes flattened."""
    if len(factors) == 1:
        return factors[0][0]
    if all(axis is None for axis, _ in factors):
        return None
    raise run.unknown(func, "it works along a dimension that is rows and columns, or channels, flattened into one")


def windowed(
    run: Run, func: Any, source: Traced, rows: Sequence[tuple[Relation, int]], channels: int | None = None, dtype: torch.dtype | None = None
) -> Traced:
    """The last dimensions, each with its relation and its new size."""
    relations: dict[int, Relation] = {}
    changes: dict[int, tuple[Factor, ...]] = {} if channels is None else {-len(rows) - 1: plain(channels)}
    for place, (relation, size) in enumerate(rows):
        dim = place - len(rows)
        axis = lone_axis(run, func, source.dims[dim])
        changes[dim] = ((axis, size),)
        if axis is not None:
            relations[axis] = relation
    if channels is not None:
        lone = lone_axis(run, func, source.dims[-len(rows) - 1])
        if lone is not None:
            raise run.unknown(func, "its channels are rows or columns of the image")
    return derive(run, source, replaced(source.dims, changes), relations, dtype=dtype)


def each(value: int | Sequence[int], number: int) -> list[int]:
    """PyTorch's short form: one number for all axes."""
    values = [value] if isinstance(value, int) else list(value)
    return values * number if len(values) == 1 else values


def dimensions(func: Any) -> int:
    """How many dimensions an operation works along: the digit in its name."""
    return next(int(letter) for letter in func.overloadpacket.__name__ if letter in "123")
