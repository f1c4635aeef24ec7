"""Normalisation, reduction, products of matrices and attention: operations that may look at a whole map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edu_seg.receptive_field.building import arguments, axes, look_at_all, merge, operation, replaced
from edu_seg.receptive_field.pointwise import pointwise
from edu_seg.receptive_field.relations import (
    Matrix,
    Relation,
    Whole,
)
from edu_seg.receptive_field.tracing import Dims, Factor, Run, Traced, plain, size_of


@operation("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "miopen_batch_norm")
def batch_norm(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """With stored statistics it is pointwise; with the batch's own (instance normalisation too) it looks at the whole map."""
    source, given = args[0], arguments(func, args, kwargs)
    which = axes(source.dims[:1] + source.dims[2:]) if given.get("training", given.get("input") is None) else set()
    result = look_at_all(run, source, which, source.dims, can_leave_out=True)
    return (result, *(torch.empty(0) for _ in func._schema.returns[1:]))


@operation("native_group_norm", "native_layer_norm")
def group_norm(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Group norm over a group's channels and the whole map; layer norm over the last dimensions, which may be channels alone."""
    source = args[0]
    last = source.dims[-len(args[1]) :] if func.overloadpacket.__name__ == "native_layer_norm" else source.dims
    return look_at_all(run, source, axes(last), source.dims, can_leave_out=True), torch.empty(0), torch.empty(0)


@operation("_softmax", "_log_softmax", "_safe_softmax")
def softmax(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    return look_at_all(run, args[0], axes((args[0].dims[args[1]],)), args[0].dims, can_leave_out=True)


@operation("mean", "sum", "amax", "amin", "prod", "max", "min", "argmax", "argmin", "logsumexp", "var", "std", "var_mean", "std_mean")
@operation("linalg_vector_norm", "norm", "any", "all")
def reduce(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Over channels: pointwise. Over rows or columns: it looks at them all."""
    if len(args) > 1 and isinstance(args[1], Tensor):
        return pointwise(run, func, args, kwargs)
    source, given = args[0], arguments(func, args, kwargs)
    which = given.get("dim")
    which = list(range(source.ndim)) if which is None or which == [] else [which] if isinstance(which, int) else which
    which = {dim % source.ndim for dim in which}
    gone = axes(tuple(source.dims[dim] for dim in which))
    keep = given.get("keepdim", False)
    left = [_one_left(factors) if dim in which else factors for dim, factors in enumerate(source.dims) if keep or dim not in which]
    result = look_at_all(run, source, gone, tuple(left), can_leave_out=False)
    number = len(func._schema.returns)
    return result if number == 1 else tuple(Traced(result.node, result.dims, result) for _ in range(number))


def _one_left(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """A dimension of which one unit is left: still rows or columns, if it was, so that it can grow again."""
    return ((factors[0][0] if len(factors) == 1 else None, 1),)


@operation("mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot")
def product(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """A product of matrices, to which the add… forms add a first argument."""
    name = func.overloadpacket.__name__
    if name in ("mv", "addmv", "dot", "addbmm"):
        raise run.unknown(func)
    added, (left, right) = (args[0], args[1:3]) if name.startswith(("add", "badd")) else (None, args[:2])
    result = multiply(run, func, left, right)
    return merge(run, result, result.dims, [(result, {}), (added, {})]) if isinstance(added, Traced) else result


def multiply(run: Run, func: Any, left: Tensor, right: Tensor) -> Traced:
    """(…, n, k) times (…, k, m): what k is summed over is looked at as a whole, unless a constant matrix says what of it."""
    sources: list[tuple[Traced, dict[int, Relation]]] = []
    outer: list[tuple[Factor, ...]] = []
    seen: set[int] = set()
    batch: Dims = ()
    whole = False
    for tensor, other, keep, summed in ((left, right, -2, -1), (right, left, -1, -2)):
        if not isinstance(tensor, Traced):
            outer.append(plain(tensor.shape[keep]))
            continue
        kept, relations = tensor.dims[keep], {}
        inner = axes((tensor.dims[summed],))
        if len(tensor.dims[summed]) == 1 and inner and not isinstance(other, Traced) and not is_parameter(run, other):
            axis = inner.pop()
            relations[axis] = Matrix(nonzero(other, transposed=tensor is right))
            outer_other: tuple[Factor, ...] | None = ((axis, other.shape[-1 if tensor is left else -2]),)
        else:
            relations |= {axis: Whole(tensor.node.sizes[axis]) for axis in inner}
            whole |= bool(inner)
            outer_other = None
        twice = axes((kept,)) & seen
        if twice:  # rows of the one against rows of the other: every pair of units
            relations |= {axis: Whole(tensor.node.sizes[axis]) for axis in twice}
            kept, whole = plain(size_of(kept)), True
        seen |= axes((kept,))
        outer.append(kept)
        batch = tensor.dims[:-2]
        sources.append((tensor, relations))
        if outer_other is not None:
            dims = (*batch, kept, outer_other) if tensor is left else (*batch, outer_other, kept)
            return merge(run, tensor, dims, sources)
    read = _left_out(run, sources)
    return merge(run, sources[0][0], (*batch, *outer), read, whole=whole and len(read) == len(sources))


def _left_out(run: Run, sources: list[tuple[Traced, dict[int, Relation]]]) -> list[tuple[Traced, dict[int, Relation]]]:
    """Without the sources that are looked at as a whole, where that is asked for and another is there."""
    local = [(source, rows) for source, rows in sources if not any(isinstance(row, Whole) for row in rows.values())]
    return local if run.leave_out and local else sources


def is_parameter(run: Run, tensor: Tensor) -> bool:
    return tensor.untyped_storage().data_ptr() in run.parameters


def nonzero(matrix: Tensor, transposed: bool) -> np.ndarray:
    """(units, size): whether a unit of the result reads a unit of the source, for any example of the batch."""
    one = (
        matrix[(0,) * (matrix.ndim - 2)]
        if all(matrix.stride(dim) == 0 for dim in range(matrix.ndim - 2))
        else matrix.flatten(0, -3).ne(0).any(0)
    )
    pattern = one.ne(0).cpu().numpy()
    return pattern if transposed else pattern.T


@operation("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention", "_scaled_dot_product_efficient_attention")
@operation("_scaled_dot_product_cudnn_attention", "_scaled_dot_product_attention_math", "_fused_sdp_choice")
def attention(run: Run, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Every unit of the query reads all of the keys and values."""
    if func.overloadpacket.__name__ == "_fused_sdp_choice":
        return 0  # the plain form
    query, *rest = args[:3]
    sources: list[tuple[Traced, dict[int, Relation]]] = [(query, {})] if isinstance(query, Traced) else []
    for tensor in rest:
        if isinstance(tensor, Traced):
            sources.append((tensor, {axis: Whole(tensor.node.sizes[axis]) for axis in axes(tensor.dims)}))
    dims = replaced(query.dims, {-1: plain(rest[1].shape[-1])})
    read = _left_out(run, sources)
    result = merge(run, query, dims, read, whole=len(read) == len(sources))
    return (result, *(torch.empty(0) for _ in func._schema.returns[1:]))
