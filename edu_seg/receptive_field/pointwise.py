"""Operations on each number at its own place, and those that write in place."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from edu_seg.receptive_field.building import merge, operation
from edu_seg.receptive_field.tracing import Dims, Factor, Run, Traced, plain, size_of

BOOLEAN = {"gt", "lt", "ge", "le", "eq", "ne", "logical_and", "logical_or", "logical_not", "isnan", "isinf", "isfinite"}


@operation("hardswish", "hardswish_", "_prelu_kernel", "dropout", "bernoulli", "_to_copy", "clone", "log_sigmoid_forward")
def pointwise(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Each number of the result from the numbers at its own place, broadcast where sizes differ."""
    name = func.overloadpacket.__name__
    operands = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
    operands += [value for group in args if isinstance(group, list | tuple) for value in group if isinstance(value, Tensor)]
    traced = [operand for operand in operands if isinstance(operand, Traced)]
    dims = broadcast(
        run, func, [tensor.dims if isinstance(tensor, Traced) else tuple(plain(n) for n in tensor.shape) for tensor in operands]
    )
    dtype = kwargs.get("dtype") or (torch.bool if name in BOOLEAN else None)
    result = merge(run, traced[0], dims, [(tensor, {}) for tensor in traced], dtype=dtype)
    if func._schema.is_mutable:
        return overwrite(run, func, args[0], result)
    return (result, torch.empty(0)) if name == "log_sigmoid_forward" else result


def broadcast(run: Run, func: Any, all_dims: Sequence[Dims]) -> Dims:
    """The dimensions of a pointwise result."""
    joined = []
    for column in zip_longest(*(reversed(dims) for dims in all_dims), fillvalue=plain(1)):
        size = max(size_of(factors) for factors in column)
        candidates = {strip(factors) for factors in column if size_of(factors) == size}
        spatial = {factors for factors in candidates if any(axis is not None for axis, _ in factors)}
        if len(spatial) > 1:
            raise run.unknown(func, "it joins maps whose dimensions are not the same axes of the image")
        joined.append(spatial.pop() if spatial else plain(size))
    return tuple(reversed(joined))


def strip(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """A dimension's factors without those of size 1, unless there are no others."""
    return tuple(factor for factor in factors if factor[1] != 1) or tuple(factors[:1]) or plain(1)


def overwrite(run: Run, func: Any, target: Any, result: Traced) -> Traced:
    """An operation in place."""
    if not isinstance(target, Traced):
        raise run.unknown(func, "it writes a map into a tensor that was none")
    if target.node is not result.node or target.dims != result.dims:
        if target.base is not None:
            raise run.unknown(func, "it writes into a view of another tensor")
        if target.shape != result.shape:
            raise run.unknown(func, "it changes a shape in place")
        target.changes += 1
    target.node, target.dims = result.node, result.dims
    return target


@operation("copy_")
def copy_in(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if not isinstance(args[1], Traced):
        raise run.unknown(func, "it writes constants into a map")
    return overwrite(run, func, args[0], args[1])


@operation(
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones", "new_full", "new_empty"
)
def constant(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A tensor of the same form, which depends on no pixel."""
    stand_in = torch.empty(args[0].shape, dtype=args[0].dtype, device=args[0].device)
    return func(stand_in, *args[1:], **kwargs)
