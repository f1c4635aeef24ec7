"""Unary energies U (K, …), minus the logarithm of what is believed of each pixel before it looks at the others."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

IGNORE_INDEX = 255


def unary_from_logits(logits: Float[Tensor, "K ..."]) -> Float[Tensor, "K ..."]:
    """U = -log softmax(logits), of a network's output for one image. Raises ValueError where they are NaN or infinite."""
    return logit_normaliser(logits) - logits


def logit_normaliser(logits: Float[Tensor, "K ..."]) -> Float[Tensor, "..."]:
    """log Σ_l exp(logits_l). Raises ValueError unless it is finite everywhere (a single label may have -inf)."""
    if logits.ndim < 1 or 0 in logits.shape or not logits.is_floating_point():
        raise ValueError(f"logits are floats (labels, pixels …), at least one of each, got {logits.dtype} {tuple(logits.shape)}")
    normaliser = logits.logsumexp(0)
    if not normaliser.isfinite().all():
        value = normaliser[~normaliser.isfinite()][0].item()
        count = int((~normaliser.isfinite()).sum())
        raise ValueError(f"{count} pixels have logits whose log-sum-exp is {value}: look for NaN, inf, or -inf for every label")
    return normaliser


def unary_from_probs(probs: Float[Tensor, "K ..."], *, clip: float = 1e-5) -> Float[Tensor, "K ..."]:
    """U = -log p, with p at least `clip`, so that no label is ruled out for ever. Raises ValueError unless Σ_l p = 1 at every pixel."""
    if not 0 < clip < 1:
        raise ValueError(f"clip = {clip}: the smallest probability lies between 0 and 1")
    if not (probs >= 0).all():
        raise ValueError(f"probabilities must not be negative or NaN, got {probs.min().item()}: for logits take unary_from_logits")
    sums = probs.sum(0)
    if not torch.allclose(sums, torch.ones_like(sums), atol=1e-3, rtol=0):
        worst = sums.flatten()[(sums - 1).abs().argmax()].item()
        raise ValueError(f"the probabilities of a pixel sum to {worst:.6g}, not to 1, over dimension 0 of {tuple(probs.shape)}")
    return -probs.clamp(min=clip).log()


def unary_from_labels(
    labels: Int64[Tensor, "..."], num_classes: int, *, certainty: float = 0.7, ignore_index: int = IGNORE_INDEX
) -> Float[Tensor, "K ..."]:
    """The label given is right with probability `certainty`, the others share the rest; void pixels are open to every label.

    Raises ValueError unless 0 < certainty < 1 and every label is 0..K-1 or `ignore_index`.
    """
    if not 0 < certainty < 1:
        raise ValueError(f"certainty = {certainty}: a probability between 0 and 1, both excluded")
    if num_classes < 2:
        raise ValueError(f"num_classes = {num_classes}: there must be two labels to choose from")
    void = labels == ignore_index
    outside = ~void & ((labels < 0) | (labels >= num_classes))
    if outside.any():
        raise ValueError(f"label {labels[outside][0].item()} is neither of 0..{num_classes - 1} nor ignore_index = {ignore_index}")
    given = torch.arange(num_classes, device=labels.device).view(-1, *[1] * labels.ndim) == labels
    probs = torch.where(given, certainty, (1 - certainty) / (num_classes - 1))
    return -torch.where(void, 1 / num_classes, probs).log()


def unary_from_scribbles(
    scribbles: Int64[Tensor, "..."], num_classes: int, *, certainty: float = 0.99, ignore_index: int = IGNORE_INDEX
) -> Float[Tensor, "K ..."]:
    """Strokes drawn by hand: almost certain where they are, nothing known elsewhere. Raises ValueError where no pixel is drawn on."""
    if (scribbles == ignore_index).all():
        raise ValueError(f"every pixel is {ignore_index}, so nothing was drawn: mark at least one pixel with a label")
    return unary_from_labels(scribbles, num_classes, certainty=certainty, ignore_index=ignore_index)
