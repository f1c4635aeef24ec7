"""A convolution as a matrix C: C · x is the convolution of the flattened map x, and Cᵀ · y its transposed convolution.

Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", section 4.1.
"""

from collections.abc import Sequence
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from edu_seg.geometry import output_size


def conv_matrix(
    weight: Float[Tensor, "out_channels in_channels *kernel"],
    input_size: Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Float[Tensor, "outputs inputs"]:
    """The sparse matrix with `C @ x.flatten() == F.conv2d(x, weight, …).flatten()` for one example x (C, H, W), or (C, L) in 1-D.

    weight: as torch has it, (out, in / groups, *kernel). Rows are (channel, row, column) of the output, columns those of the input, the
    last one the fastest. What lies in the padding has no column. Its transpose takes the output's size back to the input's:
    `C.T @ y.flatten() == F.conv_transpose2d(y, weight, …).flatten()`, with the `output_padding` that brings the size back to `input_size`.
    Raises ValueError where the window does not fit, or sizes, kernel and groups do not go together.
    """
    kernel = weight.shape[2:]
    number = len(kernel)
    if number < 1 or len(input_size) != number:
        raise ValueError(f"a kernel of {tuple(kernel)} wants {number} input sizes, got {tuple(input_size)}")
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(f"groups = {groups} does not divide the {weight.shape[0]} output channels")
    settings = [_each(value, number) for value in (stride, padding, dilation)]
    outputs = [output_size(n, k, s, p, d) for n, k, s, p, d in zip(input_size, kernel, *settings, strict=True)]
    rows, taps, columns = torch.zeros(1).long(), torch.zeros(1).long(), torch.zeros(1).long()
    for n, k, s, p, d, m in zip(input_size, kernel, *settings, outputs, strict=True):
        row, tap, column = _meetings(n, k, s, p, d, m)
        rows, taps, columns = _outer(rows, row, m), _outer(taps, tap, k), _outer(columns, column, n)
    area_out, area_in = torch.Size(outputs).numel(), torch.Size(input_size).numel()
    per_group, members = weight.shape[0] // groups, weight.shape[1]
    indices, values = [], []
    for out, member in product(range(weight.shape[0]), range(members)):
        source = out // per_group * members + member
        indices.append(torch.stack([out * area_out + rows, source * area_in + columns]))
        values.append(weight[out, member].flatten()[taps])
    shape = (weight.shape[0] * area_out, groups * members * area_in)
    return torch.sparse_coo_tensor(torch.cat(indices, 1), torch.cat(values), shape, is_coalesced=False, check_invariants=False).coalesce()


def _meetings(size: int, kernel_size: int, stride: int, padding: int, dilation: int, outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Along one axis, all (output, tap, input) where a tap of the kernel at that output lies on an input."""
    output, tap = torch.arange(outputs)[:, None], torch.arange(kernel_size)
    place = output * stride - padding + tap * dilation
    inside = (place >= 0) & (place < size)
    output, tap = output.expand_as(place), tap.expand_as(place)
    return output[inside], tap[inside], place[inside]


def _outer(slow: Tensor, fast: Tensor, size: int) -> Tensor:
    """Indices into two axes flattened into one, for every pair."""
    return (slow[:, None] * size + fast).flatten()


def _each(value: int | Sequence[int], number: int) -> list[int]:
    """One number for all axes, or one for each."""
    values = [value] * number if isinstance(value, int) else list(value)
    if len(values) != number:
        raise ValueError(f"{values} has {len(values)} numbers for {number} axes: give one number, or one for each axis")
    return values
