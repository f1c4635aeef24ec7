"""The permutohedral lattice: a Gaussian filter over features in time that grows with the number of pixels, not with its square.

Three steps, each a sparse matrix (Adams, Baek and Davis 2010, section 3; Krähenbühl and Koltun 2011, section 3.2):

    splat   every pixel gives its value to the d + 1 corners of its simplex, by barycentric weight        S
    blur    every vertex adds half of its two neighbours, along each of the d + 1 axes of the lattice      B = B_d … B_1 B_0
    slice   every pixel reads its corners back with the same weights                                       Sᵀ

    K v  ≈  α Sᵀ B S v,     α = 1 / (1 + 2^-d)

Only vertices that some pixel touches exist, and what is blurred towards a missing one is lost. So two blurs do not commute, B is not
symmetric, and the transposed filter needs the axes in reverse order: `LatticeFilter` does so in its backward pass. (Left as it is, it
would train all the same, with wrong gradients.)

The three products run through `torch.nn.functional.embedding_bag`, which sums chosen rows of a table with weights: this is a sparse matrix
times a dense one, with 32-bit indices, threads and vector instructions.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from torch import Tensor

from edu_seg.crf.simplex import Simplices, enclosing_simplices


def weighted_rows(table: Tensor, rows: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """Row b of the result: Σ weights[e] · table[rows[e]] over starts[b] <= e < starts[b + 1]. A sparse matrix times `table`."""
    return F.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True)


def weighted_rows_of_each(table: Tensor, rows: Int[Tensor, "n e"], weights: Float[Tensor, "n e"]) -> Float[Tensor, "n C"]:
    """The same where each row of the result takes e rows of `table`."""
    starts = torch.arange(0, weights.numel() + 1, weights.shape[1], dtype=torch.int32, device=weights.device)
    return weighted_rows(table, rows.flatten(), starts, weights.flatten())


@dataclass(frozen=True, eq=False)
class Lattice:
    """N pixels on M vertices, as sparse matrices; row M of every table of vertices stays zero and stands for all missing ones.

    Sᵀ: vertices and weights (N, d + 1), each pixel's corners. S: pixels and splat_weights (N (d + 1),), the same entries by vertex,
    those of vertex v from starts[v] to starts[v + 1]. B: neighbours (d + 1, 3 (M + 1)), for every axis each vertex with the next and
    the previous one.
    """

    vertices: Int[Tensor, "N d1"]
    weights: Float[Tensor, "N d1"]
    pixels: Int[Tensor, " entries"]
    splat_weights: Float[Tensor, " entries"]
    starts: Int[Tensor, " bags"]
    neighbours: Int[Tensor, "d1 rows"]

    @property
    def num_vertices(self) -> int:
        return len(self.starts) - 2

    @property
    def alpha(self) -> float:
        """α = 1 / (1 + 2^-d): a pixel that lies on a vertex then hears itself with weight one, as in the Gaussian.

        The d + 1 axes sum to zero, so after one step along each, all forwards or all backwards, a value is back where it started:
        1 + 2 · (1/2)^(d + 1) of it in all, where no vertex on the way is missing.
        """
        return 1 / (1 + 2.0 ** (1 - self.vertices.shape[1]))

    @cached_property
    def _thirds(self) -> tuple[Tensor, Tensor]:
        """Where each vertex's three entries of a row of B start, and their weights: the same on every axis."""
        rows = self.num_vertices + 1
        starts = torch.arange(0, 3 * rows + 1, 3, dtype=torch.int32, device=self.weights.device)
        return starts, self.weights.new_tensor([1, 0.5, 0.5]).repeat(rows)

    def splat(self, values: Float[Tensor, "N C"], weights: Float[Tensor, " entries"]) -> Float[Tensor, "M1 C"]:
        return weighted_rows(values, self.pixels, self.starts, weights)

    def blur(self, at_vertices: Float[Tensor, "M1 C"], reverse: bool = False) -> Float[Tensor, "M1 C"]:
        starts, weights = self._thirds
        for neighbours in self.neighbours.flip(0) if reverse else self.neighbours:
            at_vertices = weighted_rows(at_vertices, neighbours, starts, weights)
        return at_vertices

    def slice(self, at_vertices: Float[Tensor, "M1 C"], weights: Float[Tensor, "N d1"]) -> Float[Tensor, "N C"]:
        return weighted_rows_of_each(at_vertices, self.vertices, weights)


def build_lattice(features: Float[Tensor, "N d"]) -> Lattice:
    """The lattice under the rows of `features` (in standard deviations). Raises ValueError where they spread too far for 64 bits."""
    simplices = enclosing_simplices(features)
    packing = _Packing.around(simplices.base)
    keys, vertices = _number_vertices(simplices, packing)
    pixels, splat_weights, starts = _by_vertex(vertices, simplices.weights, len(keys))
    return Lattice(vertices, simplices.weights, pixels, splat_weights, starts, _neighbours(keys, packing))


def _by_vertex(vertices: Tensor, weights: Tensor, number: int) -> tuple[Tensor, Tensor, Tensor]:
    """The sparse matrix (pixels × vertices) transposed: pixels, weights and where each vertex starts, with an empty row at the end.

    On the CPU by SciPy's counting sort, elsewhere by a stable sort: the same order, ascending pixels for each vertex.
    """
    if vertices.device.type == "cpu":
        rows = np.arange(0, vertices.numel() + 1, vertices.shape[1], dtype=np.int32)
        shape = (len(vertices), number + 1)
        matrix = csr_array((weights.numpy().ravel(), vertices.numpy().ravel(), rows), shape=shape).tocsc()
        pixels, starts = (torch.from_numpy(part.astype(np.int32, copy=False)) for part in (matrix.indices, matrix.indptr))
        return pixels, torch.from_numpy(matrix.data), starts
    order = vertices.flatten().sort(stable=True).indices
    counts = torch.bincount(vertices.flatten(), minlength=number + 1)
    return (order // vertices.shape[1]).int(), weights.flatten()[order], F.pad(counts.cumsum(0), (1, 0)).int()


@dataclass(frozen=True, eq=False)
class _Packing:
    """Whole coordinates (d, N) packed into one integer each: Σ (x_i - low_i) · stride_i, with room for a neighbour on every side."""

    low: list[int]
    strides: list[int]
    dtype: torch.dtype

    @classmethod
    def around(cls, base: Tensor) -> "_Packing":
        low, high = base.amin(1).tolist(), base.amax(1).tolist()
        strides = [1]
        for least, most in zip(low, high, strict=True):
            strides.append(strides[-1] * (most - least + 4))  # one corner up, and a neighbour down and up
        if strides[-1] >= 2**63:
            raise ValueError(f"the features spread over {strides[-1]:.1e} lattice cells, more than 64 bits can number: take a larger theta")
        return cls([least - 1 for least in low], strides[:-1], torch.int32 if strides[-1] < 2**31 else torch.int64)

    def pack(self, base: Tensor) -> Tensor:
        keys = (base[0].to(self.dtype) - self.low[0]).mul_(self.strides[0])
        for row, low, stride in zip(base[1:], self.low[1:], self.strides[1:], strict=True):
            keys.add_((row.to(self.dtype) - low).mul_(stride))
        return keys

    @property
    def axes(self) -> list[int]:
        """What one step along each of the d + 1 axes adds to a packed vertex: e_0, …, e_(d-1) and -(1, …, 1)."""
        return [*self.strides, -sum(self.strides)]


def _number_vertices(simplices: Simplices, packing: _Packing) -> tuple[Tensor, Tensor]:
    """(packed coordinates of the M vertices, each pixel's corners as numbers (N, d + 1)).

    Many pixels share a cube, and its corners: those that occur are marked in a table of (cube, corner), and only they are packed and
    compared. Vertices are numbered in the order in which the image meets them, so that neighbouring pixels read neighbouring rows.
    """
    dimension = len(packing.strides)
    device = simplices.base.device
    cubes, cube_of = packing.pack(simplices.base).unique(return_inverse=True)
    codes = simplices.corners + (cube_of.to(torch.int32) << dimension)[:, None]
    present = torch.bincount(codes.flatten(), minlength=len(cubes) << dimension).nonzero().squeeze(1)
    bits = torch.arange(dimension, device=device)
    steps = ((torch.arange(2**dimension, device=device)[:, None] >> bits & 1) * torch.tensor(packing.strides, device=device)).sum(1)
    packed = cubes[present >> dimension] + steps.to(packing.dtype)[present & (2**dimension - 1)]
    keys, vertex_of = packed.unique(return_inverse=True)
    met = torch.empty(len(cubes), dtype=torch.int64, device=device).scatter_(0, cube_of, torch.arange(len(cube_of), device=device))
    place = torch.empty(len(keys), dtype=torch.int64, device=device).scatter_(0, vertex_of, met[present >> dimension])
    order = place.argsort()
    rank = torch.empty_like(order).scatter_(0, order, torch.arange(len(keys), device=device))
    table = torch.empty(len(cubes) << dimension, dtype=torch.int32, device=device)
    table[present] = rank[vertex_of].to(torch.int32)
    return keys[order], table.index_select(0, codes.flatten()).view_as(codes)


def _neighbours(keys: Tensor, packing: _Packing) -> Tensor:
    """(d + 1, 3 (M + 1)): itself, the next and the previous vertex along each axis; M where there is none."""
    number = len(keys)
    ordered, place = keys.sort()
    place = torch.cat((place, place.new_tensor([number])))
    rows = torch.empty(len(packing.axes), number + 1, 3, dtype=torch.int32, device=keys.device)
    rows[:, :, 0] = torch.arange(number + 1, device=keys.device)
    for axis, step in enumerate(packing.axes):
        wanted = ordered + step
        found = torch.searchsorted(ordered, wanted).clamp_(max=number - 1)
        following = torch.where(ordered.index_select(0, found) == wanted, found, number)
        # The way back: whoever is next to me has me as its previous one. Row M collects those without, and is emptied again.
        previous = torch.full_like(place, number).scatter_(0, following, torch.arange(number, device=keys.device))
        previous[number] = number
        for column, others in ((1, F.pad(following, (0, 1), value=number)), (2, previous)):
            rows[axis, :, column].scatter_(0, place, place.index_select(0, others).int())
    return rows.flatten(1)


class _Filter(torch.autograd.Function):
    """α Sᵀ B S with the axes ascending or, reversed, descending: each is the other's transpose, so each is the other's backward."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: Lattice, reverse: bool) -> Tensor:
        ctx.lattice, ctx.reverse = lattice, reverse
        blurred = lattice.blur(lattice.splat(values.contiguous(), lattice.splat_weights), reverse)
        return lattice.slice(blurred, lattice.weights).mul_(lattice.alpha)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Filter.apply(gradients[0], ctx.lattice, not ctx.reverse), None, None


class LatticeFilter:
    """The Gaussian filter over `features` (N, d), in units of standard deviations, by the lattice: build once, apply often.

    filter(values (N, C)) -> (N, C), C >= 1 channels at once; differentiable in the values, twice. `transposed=True` applies Kᵀ. The
    self term i = j is included. Results are the same to the last bit for any number of threads. Memory: 16 to 20 (d + 1) bytes a pixel.

    How near it comes to the Gaussian: splat, blur and slice together have exactly the Gaussian's variance, but not its mass. Where
    pixels fill the space evenly, K 1 is smaller than the exact filter's by the factor

        2^(2 d + 1) / (2^d + 1) · (3 / (4 π))^(d/2) / √(d + 1)         0.92, 0.88, 0.83, 0.77, 0.71 for d = 1 … 5

    A photograph's five features lie in clusters with gaps between them; there missing vertices swallow more, and K 1 is 0.1 to 0.8 of the
    exact one, about half on average. `NormalisedFilter` divides all this out. What is then left in L2: for 2 features and a wave of
    length λ 0.03 (2 π θ / λ)², so 0.4 % at λ = 16 θ, and 2-3 % on maps with edges; for 5 features of a photograph 3-6 % at θα = 80,
    θβ = 13 and up to 10 % at other widths.
    """

    def __init__(self, features: Float[Tensor, "N d"]) -> None:
        check_features(features)
        self.lattice = build_lattice(features)

    @property
    def num_pixels(self) -> int:
        return len(self.lattice.vertices)

    def __call__(self, values: Float[Tensor, "N C"], *, transposed: bool = False) -> Float[Tensor, "N C"]:
        check_values(values, self.num_pixels, self.lattice.weights)
        return _Filter.apply(values, self.lattice, transposed)

    def row_sums(self) -> Float[Tensor, " N"]:
        """K 1: how much weight reaches each pixel in all."""
        weights = self.lattice.weights
        sums = torch.zeros(self.lattice.num_vertices + 1, dtype=weights.dtype, device=weights.device)
        sums.index_add_(0, self.lattice.vertices.flatten(), weights.flatten())
        blurred = self.lattice.blur(sums[:, None]).squeeze(1)
        at_corners = blurred.index_select(0, self.lattice.vertices.flatten()).view_as(weights)
        return at_corners.mul_(weights).sum(1).mul_(self.lattice.alpha)


def check_features(features: Tensor) -> None:
    """Raises ValueError unless features are (N, d) finite floats with N, d >= 1."""
    if features.ndim != 2 or 0 in features.shape or not features.is_floating_point():
        raise ValueError(f"features are floats (pixels, dimensions), at least one of each, got {features.dtype} {tuple(features.shape)}")
    if not features.isfinite().all():
        raise ValueError("features hold a value that is not finite: look at the image and at the standard deviations")


def check_values(values: Tensor, number: int, like: Tensor) -> None:
    """Raises ValueError unless values are (number, C) with C >= 1, of the type and on the device of the filter."""
    if values.ndim != 2 or len(values) != number or values.shape[1] < 1:
        raise ValueError(f"values are (pixels, channels) with {number} pixels and at least one channel, got {tuple(values.shape)}")
    if (values.dtype, values.device) != (like.dtype, like.device):
        raise ValueError(f"the filter is {like.dtype} on {like.device}, the values {values.dtype} on {values.device}: make them alike")
