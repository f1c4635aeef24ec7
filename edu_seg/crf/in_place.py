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
from edu_seg.crf.permutohedral import Lattice, LatticeFilter

BLOCK = 2**15  # pixels sliced at once: the table of messages never exists whole
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


def mean_field_in_place(
    log_probs: Float[Tensor, "N K"], pairwise: Pairwise, num_iterations: int, tolerance: float | int | None = None
) -> Float[Tensor, "N K"]:
    """Q after `num_iterations` updates from softmax(log_probs), or as soon as none changes it by more than `tolerance`.

    log_probs must be normalised and contiguous.
    """
    kernels = [_fold(kernel, weight, pairwise.compatibility) for kernel, weight in zip(pairwise.filters, pairwise.weights, strict=True)]
    weights = [float(weight.abs().sum()) for weight in pairwise.weights]
    plain = all(kernel.mixing is None for kernel in kernels) and sum(weights) < LARGEST_EXPONENT
    probs = log_probs.exp()
    for _ in range(num_iterations):
        change = _update(probs, log_probs, kernels, plain, measure=tolerance is not None)
        if tolerance is not None and change <= tolerance:
            break
    return probs


def _update(probs: Tensor, log_probs: Tensor, kernels: list[_Folded], plain: bool, measure: bool) -> float:
    """One update of all pixels at once (every message is read before the first pixel is written); returns the largest change."""
    tables = [kernel.at_vertices(probs) for kernel in kernels]
    change = 0.0
    for start in range(0, len(probs), BLOCK):
        part = slice(start, start + BLOCK)
        logits = log_probs[part]
        for kernel, table in zip(kernels, tables, strict=True):
            logits = kernel.lattice.slice(table, kernel.slice_weights[part], start).add_(logits)
        before = probs[part].clone() if measure else None
        if plain:
            torch.exp(logits, out=probs[part])
            probs[part] /= probs[part].sum(1, keepdim=True)
        else:
            torch.softmax(logits, 1, out=probs[part])
        if before is not None:
            change = max(change, float((probs[part] - before).abs().max()))
    return change
