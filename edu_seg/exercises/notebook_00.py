"""Exercises of notebook 00: the task and its scores."""

from collections.abc import Sequence

import torch
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes
from edu_seg.metrics import ConfusionMatrix


def _confusion(preds: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Every label that is no class is void."""
    matrix = ConfusionMatrix(num_classes)
    matrix.update(preds, labels.masked_fill((labels < 0) | (labels >= num_classes), 255))
    return matrix.counts


def _confusion_with_void(preds: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The mistake of giving void pixels to class 0."""
    return _confusion(preds, labels.masked_fill(labels == 255, 0), num_classes)


def _confusion_from_the_end(preds: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """The mistake of dropping 255 alone: as an index, -1 is the last class."""
    return _confusion(preds, labels.masked_fill(labels == -1, num_classes - 1), num_classes)


def _label_maps(num_classes: int = 3) -> list[Case]:
    """(preds, labels, num_classes), from two pixels without void to random maps with it."""
    generator = torch.Generator().manual_seed(0)
    cases: list[Case] = [(torch.tensor([1, 0]), torch.tensor([0, 0]), 2), (torch.tensor([1, 0, 1]), torch.tensor([1, 0, 255]), 2)]
    for side in (3, 16):
        labels = torch.randint(0, num_classes, (side, side), generator=generator)
        labels[torch.rand(side, side, generator=generator) < 0.2] = 255
        cases.append((torch.randint(0, num_classes, (side, side), generator=generator), labels, num_classes))
    return cases


def _maps_with_more_void() -> list[Case]:
    small, void, *larger = _label_maps()
    return [small, void, (torch.tensor([1, 0, 0]), torch.tensor([1, 0, -1]), 2), (torch.tensor([1, 0]), torch.tensor([1, 2]), 2), *larger]


def _drawn_pair(generator: torch.Generator, num_classes: int, voids: Sequence[int]) -> tuple[Tensor, Tensor]:
    """(preds, labels) with a void pixel of each kind and at least one that is none."""
    shape = (whole(generator, 2, 6), whole(generator, 2, 6))
    preds, labels = (torch.randint(num_classes, shape, generator=generator) for _ in range(2))
    places = torch.randperm(labels.numel(), generator=generator)[: len(voids)]
    labels.view(-1)[places] = torch.tensor(voids)
    return preds, labels


def _drawn_maps(generator: torch.Generator) -> Case:
    num_classes = whole(generator, 2, 5)
    return (*_drawn_pair(generator, num_classes, (255, -1, num_classes)), num_classes)


def _drawn_matrix(generator: torch.Generator) -> Case:
    """Class 0 is there; another one may be missing, and some are left out."""
    num_classes = whole(generator, 2, 6)
    counts = wholes(generator, 0, 30, num_classes, num_classes).long()
    counts[0, 0] += 1
    missing = whole(generator, 1, num_classes)
    counts[missing:] = 0
    counts[:, missing + 1 :] = 0
    return counts, [k for k in range(1, num_classes) if whole(generator, 0, 2) == 0]


def _drawn_set(generator: torch.Generator) -> Case:
    num_classes = whole(generator, 2, 4)
    return [_drawn_pair(generator, num_classes, (255,)) for _ in range(whole(generator, 2, 5))], num_classes


def _iou(counts: Tensor) -> Tensor:
    hits, counts = counts.diag().double(), counts.double()
    return hits / (counts.sum(0) + counts.sum(1) - hits)


def _kept(scores: Tensor, left_out: Sequence[int]) -> Tensor:
    """The scores of all other classes."""
    return scores[[k for k in range(len(scores)) if k not in left_out]]


def _mean_iou(counts: Tensor, left_out: Sequence[int] = ()) -> Tensor:
    return _kept(_iou(counts), left_out).nanmean()


def _mean_iou_of_a_part(counts: Tensor, left_out: Sequence[int]) -> Tensor:
    """The mistake of cutting the classes out of the matrix: what they were taken for is forgotten."""
    kept = [k for k in range(len(counts)) if k not in left_out]
    return _mean_iou(counts[kept][:, kept])


def _matrices() -> list[Case]:
    """Confusion matrices: plain; a class that occurs nowhere; one that is only predicted; and the first class left out."""
    return [
        (torch.tensor([[3, 1], [0, 4]]), []),
        (torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), []),
        (torch.tensor([[3, 1, 1], [0, 4, 0], [0, 0, 0]]), []),
        (torch.tensor([[3, 1], [2, 4]]), [0]),
        (torch.tensor([[50, 3, 2, 0], [7, 20, 0, 0], [1, 5, 9, 0], [0, 0, 0, 0]]), [0, 2]),
    ]


def _per_image_mean(pairs: Sequence[tuple[Tensor, Tensor]], num_classes: int) -> Tensor:
    return torch.stack([_mean_iou(_confusion(preds, labels, num_classes)) for preds, labels in pairs]).mean()


def _set_mean_iou(pairs: Sequence[tuple[Tensor, Tensor]], num_classes: int) -> Tensor:
    return _mean_iou(torch.stack([_confusion(preds, labels, num_classes) for preds, labels in pairs]).sum(0))


def _set_pixel_accuracy(pairs: Sequence[tuple[Tensor, Tensor]], num_classes: int) -> Tensor:
    counts = torch.stack([_confusion(preds, labels, num_classes) for preds, labels in pairs]).sum(0)
    return counts.diag().sum() / counts.sum()


def _image_sets() -> list[Case]:
    small = [(torch.tensor([0, 0]), torch.tensor([0, 1])), (torch.tensor([1, 1, 1, 0]), torch.tensor([1, 1, 1, 1]))]
    return [(small, 2), (small, 3), ([case[:2] for case in _label_maps()[2:]], 3)]


EXERCISES = (
    Exercise(
        "00.1",
        reference=lambda: 0.18,
        otherwise="Write down the confusion matrix: only its first column holds pixels. What are the unions?",
        mistakes=(
            Mistake(lambda: 0.9, "0.9 is the pixel accuracy: it counts right pixels and forgets which classes they are of."),
            Mistake(
                lambda: 0.2,
                "0.2 is the mean accuracy: background 1, the others 0. In the IU of the background its union is the whole image.",
            ),
            Mistake(lambda: 0.81, "0.81 weights each IU by the class's pixels: that is the frequency weighted IU."),
            Mistake(lambda: 0.225, "The background is one of the five classes: divide by 5."),
            Mistake(lambda: 18, "The scores lie in 0..1: give a fraction, not per cent."),
        ),
        hints=(
            "Draw the confusion matrix (section 4 shows one): rows are labels, columns predictions. Which columns hold pixels?",
            "Take one class after the other: hits over union. How large is the union of a class that is predicted everywhere?",
            (
                "The background's hits are its share of the image, its union is the whole image, and no other class has a hit. "
                "Then the mean over K."
            ),
        ),
    ),
    Exercise(
        "00.2",
        reference=_confusion,
        cases=_maps_with_more_void(),
        draw=_drawn_maps,
        otherwise="Entry (i, j) counts the pixels that are i in the labels and j in the prediction.",
        mistakes=(
            Mistake(
                lambda preds, labels, k: _confusion(preds, labels, k).T,
                "Rows are the labels and columns the prediction: yours is transposed.",
            ),
            Mistake(
                _confusion_with_void, "Pixels labelled 255 are void: drop them before counting, they belong to no class, not to class 0."
            ),
            Mistake(
                _confusion_from_the_end,
                "Only 255 is dropped. Used as an index, -1 is the last class: drop every label that is no class.",
            ),
            Mistake(
                lambda preds, labels, k: _confusion(preds, labels, k) / (labels != 255).sum(),
                "Count pixels, do not divide: shares of single images cannot be added up over a set.",
            ),
        ),
        hints=(
            "Some pixels are in no entry of the matrix (section 4), whether 255 or -1. Take them out of both maps first.",
            "Give each pair (label, prediction) a number of its own, from 0 to K² - 1, and count how often each number occurs.",
            (
                "Read the label and the prediction as two digits to the base K. `torch.bincount` counts such numbers, with a "
                "`minlength` also those that do not occur; fold the counts into rows."
            ),
        ),
    ),
    Exercise(
        "00.3",
        reference=_mean_iou,
        cases=_matrices(),
        draw=_drawn_matrix,
        otherwise="IU_i is n_ii over the union: the row's sum plus the column's sum minus n_ii. Then the mean over the classes asked for.",
        mistakes=(
            Mistake(
                lambda counts, left_out: _kept(counts.diag() / (counts.sum(0) + counts.sum(1)).double(), left_out).nanmean(),
                "The pixels that are right lie in the row's sum and in the column's: subtract n_ii once.",
            ),
            Mistake(
                lambda counts, left_out: _kept(_iou(counts), left_out).nan_to_num().mean(),
                "A class that is in neither labels nor prediction has no IU (0 / 0): leave it out of the mean, it is not 0.",
            ),
            Mistake(
                lambda counts, left_out: _iou(counts)[[k for k in range(len(counts)) if counts.sum(1)[k] > 0 and k not in left_out]].mean(),
                "A class that is predicted though no label holds it is a mistake: its IU is 0 and counts.",
            ),
            Mistake(
                lambda counts, left_out: _kept(_iou(counts), left_out).nan_to_num(nan=1.0).mean(),
                "A class that is in neither labels nor prediction is no success either: leave it out of the mean.",
            ),
            Mistake(
                lambda counts, left_out: _kept(_iou(counts), left_out),
                "These are the IUs, one a class, and they are right: take their mean, without those that are nan.",
            ),
            Mistake(
                lambda counts, left_out: _kept(_iou(counts), left_out).mean(),
                "One nan makes the whole mean nan: leave the class that is nowhere out (nanmean).",
            ),
            Mistake(
                lambda counts, left_out: _kept(counts.diag() / counts.sum(1).double(), left_out).nanmean(),
                "That is the mean accuracy: it forgets the false alarms.",
            ),
            Mistake(lambda counts, left_out: _mean_iou(counts), "All classes are in your mean: those in `left_out` have no part in it."),
            Mistake(
                _mean_iou_of_a_part,
                "A class left out of the mean stays in the matrix: its pixels are still misses or false alarms of the others.",
            ),
        ),
        hints=(
            "You need each class's hits, pixels in the labels, pixels in the prediction. Where in the matrix are they (section 4)?",
            "The diagonal and the sums of rows and columns give hits and union. Which classes are 0 / 0, and which 0 over something?",
            (
                "As floats, 0 / 0 is nan. Divide the diagonal by the unions, make the classes in `left_out` nan, too, "
                "then take a mean that passes over nan and keeps the zeros."
            ),
        ),
    ),
    Exercise(
        "00.4",
        reference=_set_mean_iou,
        cases=_image_sets(),
        draw=_drawn_set,
        otherwise="Add the confusion matrices of all images first, then take the mean IU once.",
        mistakes=(
            Mistake(
                _per_image_mean,
                "A mean over images is another score: a class with one pixel in an image weighs as much as one that fills it.",
            ),
            Mistake(
                lambda pairs, k: torch.stack([(preds == labels)[labels != 255].double().mean() for preds, labels in pairs]).mean(),
                "That is a mean of pixel accuracies: count per class, and add the counts up over the images.",
            ),
            Mistake(
                lambda pairs, k: _set_pixel_accuracy(pairs, k),
                "That is the pixel accuracy of the whole set. The counts are right: now divide each n_ii by its union.",
            ),
        ),
        hints=(
            "Which is taken first in that line, the ratio or the sum over images? What does section 8 say of that order?",
            "Counts may be added up over images, ratios may not. So count all images first, and divide at the very end.",
            "Add up what my_confusion gives for each pair, starting from zeros or with `sum(...)`. Only one call of my_mean_iou is left.",
        ),
    ),
)
