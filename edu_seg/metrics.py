"""The four scores of semantic segmentation, all read from one confusion matrix (FCN section 5).

n_ij pixels of class i are predicted as class j; t_i = Σ_j n_ij.

    pixel accuracy           Σ_i n_ii / Σ_i t_i
    mean accuracy            mean over classes of n_ii / t_i
    mean IU                  mean over classes of IU_i = n_ii / (t_i + Σ_j n_ji - n_ii)
    frequency weighted IU    Σ_i t_i IU_i / Σ_i t_i
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int64, Integer
from torch import Tensor

SCORE_NAMES = {
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "mean_iou": "mean IU",
    "frequency_weighted_iou": "f.w. IU",
}
"""The four scores, in the order in which the FCN paper prints them, and how they are printed."""


class ConfusionMatrix:
    """Counts pixels by (class in the labels, class in the prediction), over as many batches as you like.

    Convention (the FCN authors' `score.py`): pixels labelled `ignore_index` are dropped before counting; a class that occurs in
    neither labels nor predictions is left out of the means; one that is only predicted has IU 0 and counts; the mean accuracy is
    taken over the classes that the labels hold. One matrix is kept for the whole set: a mean over images is another score.

    `update` never waits for a GPU. Values outside the classes are therefore counted apart, and reported (ValueError) when a
    score or `counts` is read.
    """

    def __init__(self, num_classes: int, ignore_index: int | None = 255, device: torch.device | str = "cpu") -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if ignore_index is not None and 0 <= ignore_index < num_classes:
            raise ValueError(
                f"ignore_index {ignore_index} is one of the {num_classes} classes 0..{num_classes - 1}: choose a value outside them"
            )
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        # Labels that can be met without an error, as one range; one more row on each side of it, and one more column on each
        # side of the classes, catches what lies outside.
        self._first = min(0, num_classes if ignore_index is None else ignore_index)
        last = max(num_classes - 1, -1 if ignore_index is None else ignore_index)
        self._cells: Int64[Tensor, "rows columns"] = torch.zeros(last - self._first + 3, num_classes + 2, dtype=torch.int64, device=device)

    def update(self, preds: Integer[Tensor, "*pixels"], labels: Integer[Tensor, "*pixels"]) -> None:
        """Counts one batch. Both are integer class maps of one shape, on any device. Raises ValueError on other shapes or dtypes."""
        if preds.shape != labels.shape:
            raise ValueError(
                f"preds {tuple(preds.shape)} and labels {tuple(labels.shape)} must have one shape: take logits.argmax(1) first"
            )
        for name, values in (("preds", preds), ("labels", labels)):
            if values.is_floating_point() or values.dtype == torch.bool:
                raise ValueError(f"{name} must hold integer class indices, got {values.dtype}")
        rows, columns = self._cells.shape
        dtype = torch.int16 if rows * columns < 2**15 else torch.int32  # the narrowest is the fastest
        row = _between(labels, self._first - 1, self._first + rows - 2, dtype).to(self._cells.device)
        column = _between(preds, -1, self.num_classes, dtype).to(self._cells.device)
        index = row.sub(self._first - 1).mul_(columns).add_(column).add_(1).flatten()
        self._cells += _histogram(index, rows * columns).view(rows, columns)

    def merge(self, other: "ConfusionMatrix") -> None:
        """Adds what another matrix has counted (another process, another part of the set)."""
        if (self.num_classes, self.ignore_index) != (other.num_classes, other.ignore_index):
            raise ValueError(
                f"cannot merge {other.num_classes} classes with ignore_index {other.ignore_index} "
                f"into {self.num_classes} classes with ignore_index {self.ignore_index}"
            )
        self._cells += other._cells.to(self._cells.device)

    @property
    def counts(self) -> Int64[Tensor, "K K"]:
        """n_ij: rows are the labels' classes, columns the predictions'. Raises ValueError if a value outside the classes was met."""
        cells, start = self._cells, -self._first + 1
        known = cells[start : start + self.num_classes]
        strange_labels = cells.clone()
        strange_labels[start : start + self.num_classes] = 0
        if self.ignore_index is not None:
            strange_labels[self.ignore_index - self._first + 1] = 0
        if strange_labels.any():
            row = int(strange_labels.sum(1).nonzero()[0]) + self._first - 1
            edge = "below " if row < self._first else "above " if row > self._first + len(cells) - 3 else ""
            value = row + 1 if edge == "below " else row - 1 if edge else row
            raise ValueError(
                f"{int(strange_labels.sum())} labels lie outside the classes 0..{self.num_classes - 1} (ignore_index {self.ignore_index}), "
                f"the first being {edge}{value}: map them to a class or to ignore_index"
            )
        strange_preds = int(known[:, 0].sum() + known[:, -1].sum())
        if strange_preds:
            raise ValueError(f"{strange_preds} predictions lie outside the classes 0..{self.num_classes - 1}: take logits.argmax(1)")
        return known[:, 1:-1].clone()

    def _sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """n_ii, t_i and Σ_j n_ji in float64 on the CPU. Raises ValueError if nothing was counted."""
        counts = self.counts.cpu().double()
        if not counts.any():
            raise ValueError("no labelled pixel has been counted yet: call update, and look whether all labels are void")
        return counts.diag(), counts.sum(1), counts.sum(0)

    @property
    def iou(self) -> Float[Tensor, " K"]:
        """IU of each class (float64), nan where a class is in neither labels nor predictions."""
        hits, labelled, predicted = self._sums()
        return hits / (labelled + predicted - hits)

    @property
    def pixel_accuracy(self) -> float:
        """The share of labelled pixels that are right."""
        hits, labelled, _ = self._sums()
        return float(hits.sum() / labelled.sum())

    @property
    def mean_accuracy(self) -> float:
        """The mean, over the classes in the labels, of the share of their pixels that are right."""
        hits, labelled, _ = self._sums()
        return float((hits / labelled).nanmean())

    @property
    def mean_iou(self) -> float:
        """The mean of `iou` over the classes that occur in labels or predictions."""
        return float(self.iou.nanmean())

    @property
    def frequency_weighted_iou(self) -> float:
        """The mean of `iou`, each class weighted by its pixels in the labels."""
        _, labelled, _ = self._sums()
        return float((labelled * self.iou.nan_to_num()).sum() / labelled.sum())

    def scores(self) -> dict[str, float]:
        """The four scores by name, in the order in which the FCN paper prints them."""
        return {name: getattr(self, name) for name in SCORE_NAMES}

    def table(self, class_names: Sequence[str] | None = None) -> str:
        """Per-class IU and the four scores in per cent, as plain text. Absent classes show as '–'."""
        names = list(class_names or map(str, range(self.num_classes)))
        if len(names) != self.num_classes:
            raise ValueError(f"{len(names)} class names for {self.num_classes} classes")
        rows = [(name, "–" if iou != iou else f"{100 * iou:.1f}") for name, iou in zip(names, self.iou.tolist(), strict=True)]
        rows += [(SCORE_NAMES[name], f"{100 * value:.1f}") for name, value in self.scores().items()]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {value:>5}" for name, value in rows]
        return "\n".join([f"{'class':<{width}}  IU, %", *lines[: self.num_classes], "─" * (width + 7), *lines[self.num_classes :]])

    def __repr__(self) -> str:
        return f"ConfusionMatrix(num_classes={self.num_classes}, ignore_index={self.ignore_index}, pixels={int(self._cells.sum())})"


def _between(values: Tensor, lowest: int, highest: int, dtype: torch.dtype) -> Tensor:
    """The values clamped, then as `dtype`. Narrow types are widened first, since the limits need not fit into them."""
    wide = values.int() if values.element_size() < 4 else values
    return wide.clamp(lowest, highest).to(dtype)


def _histogram(index: Int[Tensor, " n"], bins: int) -> Int64[Tensor, " bins"]:
    """How often each of 0..bins-1 occurs. `bincount` is fastest on a CPU but makes a GPU wait to learn the size of its result."""
    return torch.bincount(index, minlength=bins) if index.device.type == "cpu" else _scattered_histogram(index, bins)


def _scattered_histogram(index: Int[Tensor, " n"], bins: int) -> Int64[Tensor, " bins"]:
    counts = torch.zeros(bins, dtype=torch.int64, device=index.device)
    return counts.scatter_add_(0, index.long(), torch.ones_like(index, dtype=torch.int64))


def boundary_band(labels: Int64[Tensor, "N H W"], width: int, ignore_index: int = 255) -> Bool[Tensor, "N H W"]:
    """The labelled pixels that have a pixel of another class within `width` pixels (in the larger of the two directions).

    Scores in such a band show detail that whole-image scores hide (Krähenbühl and Koltun 2011, evaluation: the "trimap"). Void pixels
    belong to no class: they neither make a boundary nor lie in the band, so give the void rim's width on top of the wanted one.
    """
    if width < 1:
        raise ValueError(f"the band must be at least 1 pixel wide, got {width}")
    void = labels == ignore_index
    largest = int(labels.max()) + 1
    window = 2 * width + 1

    def highest(values: Tensor) -> Tensor:
        return F.max_pool2d(values[:, None].float(), window, stride=1, padding=width)[:, 0]

    high = highest(labels.masked_fill(void, -1))
    low = -highest(-labels.masked_fill(void, largest))
    return (high != low) & ~void
