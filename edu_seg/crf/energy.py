"""The energy of a labelling, the messages that follow from it, and both checked against the list of all labellings of a tiny image.

Source: Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011, equations 1-3:

    E(x) = Σ_i U_i(x_i) + Σ_{i<j} Σ_m w_m μ(x_i, x_j) k_m(f_i, f_j),        P(x) = exp(-E(x)) / Z

Each pair counts once. A sum over all i ≠ j counts it twice: the same weights then mean an energy twice as large.
Potts is μ(l, l') = [l ≠ l']. Mean field looks for the product Q = Π Q_i that is nearest to P: KL(Q‖P) = F(Q) + log Z, where

    F(Q) = Σ_i Σ_l Q_i(l) (log Q_i(l) + U_i(l)) + ½ Σ_i Σ_l Q_i(l) c_i(l),      c = Σ_m μ w_m K_m Q

is the free energy. Its derivative gives the update Q_i(l) ∝ exp(-U_i(l) - c_i(l)). The reference implementation and the lattice keep the
self term j = i in K, so they do here too; an exact filter can leave it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from edu_seg.crf.filters import NormalisedFilter


def potts(num_classes: int) -> Float[Tensor, "K K"]:
    """μ(l, l') = 1 where the labels differ, 0 where they agree."""
    return 1 - torch.eye(num_classes)


@dataclass(frozen=True, eq=False)
class Pairwise:
    """What ties the pixels of one image: filters, a weight for each (one number, one a label (K,), or a matrix (K, K)), and μ.

    compatibility None is Potts.
    """

    filters: Sequence[NormalisedFilter]
    weights: Sequence[Tensor]
    compatibility: Float[Tensor, "K K"] | None = None

    def weighted(self, probs: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
        """Σ_m w_m K_m Q."""
        total = torch.zeros_like(probs)
        for kernel, weight in zip(self.filters, self.weights, strict=True):
            filtered = kernel(probs)
            total = total + (filtered @ weight.T if weight.ndim == 2 else filtered * weight)
        return total

    def messages(self, probs: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
        """What the update adds to -U: -c, for Potts without the part that is the same for every label (a softmax does not see it)."""
        weighted = self.weighted(probs)
        return weighted if self.compatibility is None else -weighted @ self.compatibility.T

    def costs(self, probs: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
        """c = Σ_m μ w_m K_m Q, with nothing left out."""
        weighted = self.weighted(probs)
        if self.compatibility is None:
            return weighted.sum(1, keepdim=True) - weighted
        return weighted @ self.compatibility.T


def expected_energy(probs: Float[Tensor, "N K"], unary: Float[Tensor, "N K"], pairwise: Pairwise) -> Float[Tensor, ""]:
    """The mean of E under Q, each pair once. For a labelling, take Q with a one at each label: then it is E(x) itself."""
    return (probs * (unary + 0.5 * pairwise.costs(probs))).sum()


def free_energy(probs: Float[Tensor, "N K"], unary: Float[Tensor, "N K"], pairwise: Pairwise) -> Float[Tensor, ""]:
    """F(Q) = KL(Q‖P) - log Z: expected energy less entropy. As Z does not change, it falls by as much as the divergence does."""
    return expected_energy(probs, unary, pairwise) + torch.special.xlogy(probs, probs).sum()


@dataclass(frozen=True, eq=False)
class Listing:
    """All K^N labellings of a tiny image: states, their energies and probabilities, each pixel's exact marginals, log Z."""

    states: Int64[Tensor, "S N"]
    energies: Float[Tensor, " S"]
    probs: Float[Tensor, " S"]
    marginals: Float[Tensor, "N K"]
    log_partition: Float[Tensor, ""]


def energies(
    states: Int64[Tensor, "S N"],
    unary: Float[Tensor, "N K"],
    kernel: Float[Tensor, "N N"],
    compatibility: Float[Tensor, "K K"],
    *,
    ordered_pairs: bool = False,
) -> Float[Tensor, " S"]:
    """E of each labelling, term by term; `kernel` holds Σ_m w_m k_m. ordered_pairs sums over i ≠ j instead of i < j: twice as much."""
    pixels = torch.arange(len(unary))
    total = unary[pixels, states].sum(1)
    for i, j in product(range(len(unary)), repeat=2):
        if i < j or (ordered_pairs and i != j):
            total = total + compatibility[states[:, i], states[:, j]] * kernel[i, j]
    return total


def list_states(
    unary: Float[Tensor, "N K"], kernel: Float[Tensor, "N N"], compatibility: Float[Tensor, "K K"], *, max_states: int = 2**16
) -> Listing:
    """P(x) for every labelling x, so everything about it exactly. Raises ValueError for more than `max_states` of them."""
    number, num_classes = unary.shape
    if num_classes**number > max_states:
        raise ValueError(f"{number} pixels with {num_classes} labels have {num_classes**number} labellings, more than {max_states}")
    states = torch.cartesian_prod(*[torch.arange(num_classes)] * number).view(-1, number)
    listed = energies(states, unary, kernel, compatibility)
    probs = (-listed).softmax(0)
    marginals = torch.stack([probs[states[:, i] == label].sum() for i in range(number) for label in range(num_classes)])
    return Listing(states, listed, probs, marginals.view(number, num_classes), (-listed).logsumexp(0))
