"""Mean field without gradients, in two tables that are written over and over: the same sums as in `mean_field`, several times as fast.

What is folded in once is not computed in every iteration: normalisation and kernel weight go into the entries of the sparse matrices S
and Sᵀ. Labels are mixed (weights (K, K), compatibility) at the vertices, of which there are fewer than pixels. And because the log
probabilities start normalised and Potts messages lie between 0 and about Σ w, exp cannot overflow and needs no maximum taken first.

Threads: on an idle machine two are about twice as fast as one. On a busy one they are a trap: PyTorch's OpenMP threads wait for each other
after every operation by spinning, and where a foreign process has taken one core, each wait lasts until the scheduler comes round. Set
GOMP_SPINCOUNT=10000 in the environment before Python starts (they then sleep after some 0.1 ms), or call torch.set_num_threads(1).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from edu_seg.crf.energy import Pairwise
from edu_seg.crf.filters import NormalisedFilter
from edu_seg.crf.permutohedral import Lattice, LatticeFilter, weighted_rows_of_each

BLOCK = 2**16  # pixels sliced at once: the table of their scores never exists whole
LARGEST_EXPONENT = 60.0


@dataclass(frozen=True, eq=False)
class _Folded:
    """A kernel with its normalisation and weight in the lattice's entries; mixing (K, K) is applied from the right, if any."""

    lattice: Lattice
    splat_weights: Tensor
    slice_weights: Tensor
    mixing: Tensor | None

    def at_vertices(self, probs: Tensor) -> Tensor:
        blurred = self.lattice.blur(self.lattice.splat(probs, self.splat_weights))
        return blurred if self.mixing is None else blurred @ self.mixing


def _fold(kernel: NormalisedFilter, weight: Tensor, compatibility: Tensor | None) -> _Folded:
    assert isinstance(kernel.kernel, LatticeFilter)
    lattice = kernel.kernel.lattice
    before, after = lattice.splat_weights, torch.full_like(lattice.weights[:, 0], lattice.alpha)
    if kernel.before is not None:
        before = before * kernel.before.index_select(0, lattice.pixels)
    if kernel.after is not None:
        after = after * kernel.after
    mixing = None
    if weight.ndim == 0 and compatibility is None:
        after = after * weight
    else:
        labels = torch.eye(weight.shape[-1] if weight.ndim else len(compatibility), dtype=weight.dtype, device=weight.device)  # pyright: ignore[reportArgumentType]
        matrix = weight if weight.ndim == 2 else labels * weight
        mixing = (matrix if compatibility is None else -compatibility @ matrix).T.contiguous()
    return _Folded(lattice, before, lattice.weights * after[:, None], mixing)


def runs_in_place(pairwise: Pairwise) -> bool:
    """Whether every filter is a lattice's; others go the plain way."""
    return all(isinstance(kernel.kernel, LatticeFilter) for kernel in pairwise.filters)


@dataclass(frozen=True, eq=False)
class _Scores:
    """-U - Σ_m μ w_m K_m Q of every pixel as one sparse matrix times one table.

    The table holds the vertices of each kernel, then the log probabilities -U. A pixel's row of the matrix slices it from every kernel and
    adds its own -U: d + 1 entries a kernel and one entry of weight 1.
    """

    kernels: list[_Folded]
    table: Tensor
    rows: Tensor
    weights: Tensor

    @classmethod
    def of(cls, log_probs: Tensor, kernels: list[_Folded]) -> "_Scores":
        number, first, rows = len(log_probs), 0, []
        for kernel in kernels:
            rows.append(kernel.lattice.vertices + first)
            first += kernel.lattice.num_vertices + 1
        rows.append(torch.arange(first, first + number, dtype=torch.int32, device=log_probs.device)[:, None])
        weights = [*(kernel.slice_weights for kernel in kernels), torch.ones_like(log_probs[:, :1])]
        table = log_probs.new_empty(first + number, log_probs.shape[1])
        table[first:] = log_probs
        return cls(kernels, table, torch.cat(rows, 1), torch.cat(weights, 1))

    def read(self, probs: Tensor) -> None:
        """Splat and blur: from here on the scores are those of `probs`."""
        first = 0
        for kernel in self.kernels:
            at_vertices = kernel.at_vertices(probs)
            self.table[first : first + len(at_vertices)] = at_vertices
            first += len(at_vertices)

    def of_pixels(self, part: slice) -> Tensor:
        return weighted_rows_of_each(self.table, self.rows[part], self.weights[part])


def mean_field_in_place(
    log_probs: Float[Tensor, "N K"], pairwise: Pairwise, num_iterations: int, tolerance: float | int | None = None
) -> Float[Tensor, "N K"]:
    """Q after `num_iterations` updates from softmax(log_probs), or as soon as none changes it by more than `tolerance`.

    log_probs must be normalised and contiguous.
    """
    kernels = [_fold(kernel, weight, pairwise.compatibility) for kernel, weight in zip(pairwise.filters, pairwise.weights, strict=True)]
    weights = [float(weight.abs().sum()) for weight in pairwise.weights]
    plain = all(kernel.mixing is None for kernel in kernels) and sum(weights) < LARGEST_EXPONENT
    probs, scores = log_probs.exp(), _Scores.of(log_probs, kernels)
    for _ in range(num_iterations):
        change = _update(probs, scores, plain, measure=tolerance is not None)
        if tolerance is not None and change <= tolerance:
            break
    return probs


def _update(probs: Tensor, scores: _Scores, plain: bool, measure: bool) -> float:
    """One update of all pixels at once (every probability is read before the first is written); returns the largest change."""
    scores.read(probs)
    change = 0.0
    for start in range(0, len(probs), BLOCK):
        part = slice(start, start + BLOCK)
        before = probs[part].clone() if measure else None
        if plain:
            torch.exp(scores.of_pixels(part), out=probs[part])
            probs[part] /= probs[part].sum(1, keepdim=True)
        else:
            torch.softmax(scores.of_pixels(part), 1, out=probs[part])
        if before is not None:
            change = max(change, float((probs[part] - before).abs().max()))
    return change
