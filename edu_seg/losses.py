"""Losses on every pixel: cross-entropy with void, class balancing, patch sampling, and an auxiliary head.

A loss here is a sum over pixels and what to divide it by. The two are kept apart (`terms`), because a mean over a batch that
is split over several processes or accumulation steps is not the mean of the parts' means: void and class weights differ from
part to part. `training.fit` adds both up and divides once.
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn


class Loss(nn.Module):
    """The base of all losses: `loss(logits, labels)` is total / normaliser, with both from `terms`."""

    def terms(self, logits: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(total, normaliser), two scalars: the loss summed over the pixels that count, and the sum of their weights."""
        raise NotImplementedError(f"{type(self).__name__} must define terms(logits, labels)")

    def forward(self, logits: Any, labels: Tensor) -> Float[Tensor, ""]:
        """The mean loss over the pixels that count; 0 where every pixel is void."""
        total, normaliser = self.terms(logits, labels)
        return total / normaliser.clamp(min=torch.finfo(total.dtype).tiny)


class CrossEntropy(Loss):
    """Multinomial logistic loss on every pixel that is not void (FCN section 4).

    weight: one factor a class, for class balancing (`class_weights`); the mean is then over the weights, as in PyTorch.
    restore_prior: weights w teach a net the posterior p(class | pixel) · w, so it calls rare classes too often. With 1 the loss is
    taken of scores to which log w has been added, so that the net's own scores are those of p again; shares lie between. (The reverse
    of logit adjustment: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.)
    keep, cell: patch sampling, see `sample_patches`; 1.0 uses every pixel. Raises ValueError where they are out of range.
    """

    def __init__(
        self,
        weight: Float[Tensor, " K"] | None = None,
        ignore_index: int = 255,
        *,
        keep: float = 1.0,
        cell: int = 1,
        restore_prior: float = 0.0,
    ) -> None:
        super().__init__()
        _check_sampling(keep, cell)
        if restore_prior and weight is None:
            raise ValueError(f"restore_prior = {restore_prior} takes back what class weights do: give a weight")
        self.weight: Tensor | None
        self.register_buffer("weight", weight)
        shift = None if weight is None or not restore_prior else restore_prior * torch.where(weight > 0, weight, 1.0).log()
        self.shift: Tensor | None
        self.register_buffer("shift", shift, persistent=False)
        self.ignore_index, self.keep, self.cell = ignore_index, keep, cell

    def terms(self, logits: Float[Tensor, "N K H W"], labels: Int64[Tensor, "N H W"]) -> tuple[Tensor, Tensor]:
        """Sum over the counted pixels and their weight. Raises ValueError on shapes or label values that do not fit."""
        check_labels(labels, logits, self.ignore_index)
        if self.keep < 1:
            labels = sample_patches(labels, self.keep, cell=self.cell, ignore_index=self.ignore_index)
        if self.shift is not None:
            logits = logits + self.shift[:, None, None]
        total = cross_entropy(logits, labels, weight=self.weight, ignore_index=self.ignore_index, reduction="sum")
        counted = labels != self.ignore_index
        if self.weight is None:
            return total, counted.sum().to(total.dtype)
        return total, (self.weight[labels.masked_fill(~counted, 0)] * counted).sum().to(total.dtype)


def cross_entropy(logits: Float[Tensor, "N K H W"], labels: Int64[Tensor, "N H W"], *, reduction: str, **options: Any) -> Tensor:
    """`F.cross_entropy`, "sum" or "none"; as a table where the same bits are asked for: that on maps cannot promise them on a GPU."""
    if not torch.are_deterministic_algorithms_enabled():
        return F.cross_entropy(logits, labels, reduction=reduction, **options)
    losses = F.cross_entropy(logits.movedim(1, -1).flatten(0, 2), labels.flatten(), reduction=reduction, **options)
    return losses if reduction == "sum" else losses.view(labels.shape)


class AuxiliaryLoss(Loss):
    """main + weight · the sum of the auxiliary losses, for a net with more outputs than one in training: a second head (PSPNet section 4:
    weight 0.4), or the logits of each scale (DeepLab v2, section 4.1.2: weight 1).

    Takes `(logits, auxiliary_logits, …)` where the others take logits.
    """

    def __init__(self, main: Loss, weight: float = 0.4) -> None:
        super().__init__()
        self.main, self.auxiliary_weight = main, weight

    def terms(self, logits: tuple[Tensor, ...], labels: Tensor) -> tuple[Tensor, Tensor]:
        """The main loss's normaliser serves all: they are read at the same pixels, sampled ones included."""
        auxiliary = logits[0].new_zeros(())
        for one in logits[1:]:
            with torch.random.fork_rng(devices=()):  # the next call then draws the same patches
                auxiliary = auxiliary + self.main.terms(one, labels)[0]
        total, normaliser = self.main.terms(logits[0], labels)
        return total + self.auxiliary_weight * auxiliary, normaliser


def check_labels(labels: Tensor, logits: Tensor, ignore_index: int) -> None:
    """Raises ValueError unless labels are int64 (N, H, W) that fit the logits; on a CPU their values are looked at as well.

    On a GPU the values are not read, since that would make every step wait: there PyTorch's own assertion stops the run.
    """
    if labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64 class indices, got {labels.dtype}: call .long()")
    if logits.ndim != 4 or labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ValueError(f"logits {tuple(logits.shape)} want labels of shape (N, H, W) at the same size, got {tuple(labels.shape)}")
    if labels.device.type == "cpu":
        known = (labels >= 0) & (labels < logits.shape[1]) | (labels == ignore_index)
        if not known.all():
            raise ValueError(_strange_label(int(labels[~known][0]), logits.shape[1], ignore_index))


def _strange_label(label: int, num_classes: int, ignore_index: int) -> str:
    return f"label {label} is outside the classes 0..{num_classes - 1} and is not ignore_index {ignore_index}: map it to one of them"


def sample_patches(
    labels: Int64[Tensor, "N H W"], keep: float, *, cell: int = 1, ignore_index: int = 255, generator: torch.Generator | None = None
) -> Int64[Tensor, "N H W"]:
    """Labels in which each cell of `cell` × `cell` pixels stays with probability `keep` and turns void otherwise.

    Training on patches is sampling the loss: the gradient of the masked dense loss is the sum over the patches that the kept
    units see (FCN section 3.4). The paper drops units of the coarse map: `cell` is then the stride, and the batch grows by 1 / keep.
    Drawn on the CPU from `generator` (or torch's global one), so that the draw is the same on every device.
    """
    _check_sampling(keep, cell)
    n, height, width = labels.shape
    drop = torch.rand(n, -(-height // cell), -(-width // cell), generator=generator) >= keep
    drop = drop.repeat_interleave(cell, 1).repeat_interleave(cell, 2)[:, :height, :width]
    return labels.masked_fill(drop.to(labels.device), ignore_index)


def _check_sampling(keep: float, cell: int) -> None:
    if not 0 < keep <= 1:
        raise ValueError(f"keep is the share of cells that stay, in (0, 1], got {keep}")
    if cell < 1:
        raise ValueError(f"cell is a size in pixels, at least 1, got {cell}")


def class_weights(
    label_maps: Iterable[Int64[Tensor, "..."]], num_classes: int, *, power: float = 1.0, ignore_index: int = 255
) -> Float[Tensor, " K"]:
    """Median frequency balancing: weight_c = (median frequency / frequency_c) ** power.

    frequency_c is the share of class c in the labelled pixels of those maps that hold it; the median is over the classes that occur.
    `power` 0.5 is the milder square root; a class that never occurs gets weight 0. Pass an iterable of label maps, one an image.
    Source: Eigen and Fergus 2015, section 6.1; SegNet section 4.1.
    """
    pixels, seen = torch.zeros(num_classes, dtype=torch.float64), torch.zeros(num_classes, dtype=torch.float64)
    for labels in label_maps:
        known = labels[labels != ignore_index]
        strange = known[(known < 0) | (known >= num_classes)]
        if len(strange):
            raise ValueError(_strange_label(int(strange[0]), num_classes, ignore_index))
        counts = torch.bincount(known, minlength=num_classes).cpu()
        pixels += counts
        seen += (counts > 0) * counts.sum()
    if not pixels.any():
        raise ValueError("no labelled pixel in any of the label maps: nothing to balance")
    frequency = pixels / seen
    return torch.where(pixels > 0, (frequency.nanquantile(0.5) / frequency) ** power, 0).float()
