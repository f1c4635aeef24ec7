"""Exercises of notebook 11: a run on paper, accumulated losses, schedules with a warm-up, shared statistics, batches that fit."""

import math
from collections.abc import Sequence

import torch

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole


def _loss(totals: Sequence[float], counts: Sequence[int]) -> float:
    return sum(totals) / sum(counts)


def _mean_of_means(totals: Sequence[float], counts: Sequence[int]) -> float:
    return sum(total / count for total, count in zip(totals, counts, strict=True)) / len(totals)


PIECES: list[Case] = [
    ([6.0, 3.0], [3, 3]),
    ([6.0, 1.0], [2, 1]),
    ([10.0, 2.0, 9.0], [5, 4, 1]),
    ([0.5, 30.0, 4.0, 7.0], [1, 60, 2, 20]),
]


def _drawn_pieces(generator: torch.Generator) -> Case:
    numbers = range(whole(generator, 2, 5))
    return [whole(generator, 0, 80) / 4 for _ in numbers], [whole(generator, 1, 60) for _ in numbers]


def _factor(step: int, steps: int, power: float, warmup: int) -> float:
    warm = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return warm * (1 - step / steps) ** power


RATES: list[Case] = [
    (0, 4, 1.0, 0),
    (2, 4, 1.0, 0),
    (1, 4, 2.0, 0),
    (0, 10, 1.0, 2),
    (1, 10, 1.0, 2),
    (3, 10, 0.9, 5),
    (8, 10, 0.9, 5),
    (75, 300, 0.9, 0),
]


def _drawn_step(generator: torch.Generator) -> Case:
    steps = whole(generator, 10, 400)
    return whole(generator, 0, steps - 1), steps, whole(generator, 1, 4) / 2, whole(generator, 0, 9)


def _statistics(counts: Sequence[int], means: Sequence[float], variances: Sequence[float]) -> list[float]:
    total = sum(counts)
    mean = sum(count * value for count, value in zip(counts, means, strict=True)) / total
    squares = sum(count * (v + (m - mean) ** 2) for count, m, v in zip(counts, means, variances, strict=True))
    return [mean, squares / total]


def _means_only(counts: Sequence[int], means: Sequence[float], variances: Sequence[float]) -> list[float]:
    mean = _statistics(counts, means, variances)[0]
    return [mean, sum(count * v for count, v in zip(counts, variances, strict=True)) / sum(counts)]


PROCESSES: list[Case] = [
    ([4], [1.0], [2.0]),
    ([1, 3], [0.0, 4.0], [0.0, 0.0]),
    ([2, 2], [0.0, 2.0], [1.0, 3.0]),
    ([6, 2, 4], [0.5, -1.0, 2.0], [1.0, 0.25, 2.0]),
]


def _drawn_processes(generator: torch.Generator) -> Case:
    numbers = range(whole(generator, 2, 5))
    means, variances = [whole(generator, -12, 12) / 4 for _ in numbers], [whole(generator, 0, 12) / 4 for _ in numbers]
    return [whole(generator, 1, 9) for _ in numbers], means, variances


def _pieces(batch: int, gpus: int, memory: int, fixed: int, each: int) -> int:
    share, fit = -(-batch // gpus), (memory - fixed) // each
    return -(-share // fit) if fit >= 1 else 0


BATCHES: list[Case] = [
    (1, 1, 10, 2, 5),
    (4, 1, 10, 2, 2),
    (4, 1, 10, 2, 3),
    (8, 2, 10, 2, 5),
    (5, 2, 10, 2, 4),
    (7, 1, 10, 2, 2),
    (4, 1, 10, 6, 5),
    (1, 1, 4, 6, 1),
    (16, 4, 24_000, 500, 7_000),
]


def _drawn_batch(generator: torch.Generator) -> Case:
    """Some with no room for an image."""
    fixed, each = whole(generator, 1, 20), whole(generator, 1, 12)
    return whole(generator, 1, 40), whole(generator, 1, 6), fixed + whole(generator, -1, 5 * each), fixed, each


EXERCISES = (
    Exercise(
        "11.1",
        reference=lambda: [45.4, 13.3, 280, 0.48, 0.0625],
        tolerance=0.006,
        otherwise="Images = steps · batch; bytes sent = 4 P · 2 (n - 1) / n; valid taps ((3N - 2r) / 3N)²; poly (1 - i / I)^p.",
        mistakes=(
            Mistake(lambda: [2.8, 13.3, 280, 0.48, 0.0625], "Each of the 30,000 steps takes 16 images, not one."),
            Mistake(lambda: [45.4, 0.8, 280, 0.48, 0.0625], "0.8 are the steps a second; each needs 16 images."),
            Mistake(
                lambda: [45.4, 13.3, 320, 0.48, 0.0625], "Twice the gradient is the limit for many GPUs; with 8 it is 2 · 7 / 8 of it."
            ),
            Mistake(
                lambda: [45.4, 13.3, 140, 0.48, 0.0625], "The sums must be handed round as well: n - 1 rounds to add, n - 1 to spread."
            ),
            Mistake(lambda: [45.4, 13.3, 280, 0.69, 0.0625], "0.69 is the share along one axis; on the map it is squared."),
            Mistake(lambda: [45.4, 13.3, 280, 0.48, 0.5625], "After three quarters a quarter is left: (1 - 3/4)², not (3/4)²."),
        ),
        hints=(
            "Sections 11 and 2 have the formulas: images are steps times batch, and a ring sends its gradient in two rounds. Which "
            "of these need no batch at all?",
            "A smaller run: 1,000 steps of 4 on 2,000 images are 4,000 images, 2.0 epochs. Of 2 processes each sends half of its "
            "gradient twice: as much as the gradient, at 4 bytes a number.",
            "Epochs are `steps * batch / images`; the bytes are `4 * P * 2 * (n - 1) / n`; a share of taps along one axis is `(3 * "
            "N - 2 * r) / (3 * N)`. What remains is the second axis, and the second power.",
        ),
    ),
    Exercise(
        "11.2",
        reference=_loss,
        cases=PIECES,
        draw=_drawn_pieces,
        otherwise="Add the sums, add the numbers of pixels, and divide once.",
        mistakes=(
            Mistake(
                _mean_of_means, "The mean of the pieces' means gives a pixel in a nearly void piece more weight than one in a full piece."
            ),
            Mistake(
                lambda totals, counts: sum(total / count for total, count in zip(totals, counts, strict=True)),
                "Those are the means added up: with more pieces the loss, and the step, would grow.",
            ),
            Mistake(lambda totals, counts: sum(totals), "That is the sum over all pixels: divide it by how many there are."),
            Mistake(
                lambda totals, counts: sum(totals) / len(totals), "That is the mean over pieces of a sum over pixels: divide by the pixels."
            ),
        ),
        hints=(
            "Section 5 measures it: two pieces, one of them nearly all void. How much does one of its few pixels weigh in a mean of means?",
            "With sums 8 and 2 over 4 and 1 pixels, five pixels have lost 10 together. What is the mean over the five, and what the "
            "colleague's?",
            "Two additions and one division: gather all the `totals` and all the `counts` first. Which of them is divided by which?",
        ),
    ),
    Exercise(
        "11.3",
        reference=_factor,
        cases=RATES,
        draw=_drawn_step,
        otherwise="The poly factor, (1 - step / steps) ** power, times the warm-up's: (step + 1) / warmup, at most 1.",
        mistakes=(
            Mistake(
                lambda step, steps, power, warmup: (1 - step / steps) ** power,
                "The warm-up is missing: a factor of (step + 1) / warmup until it is 1.",
            ),
            Mistake(
                lambda step, steps, power, warmup: (min(1.0, step / warmup) if warmup else 1.0) * (1 - step / steps) ** power,
                "Step 0 would learn nothing: count steps from 1 in the warm-up.",
            ),
            Mistake(
                lambda step, steps, power, warmup: ((step + 1) / warmup if warmup else 1.0) * (1 - step / steps) ** power,
                "The warm-up's factor must stop at 1.",
            ),
            Mistake(
                lambda step, steps, power, warmup: (
                    (step + 1) / warmup if warmup and step < warmup else (1 - (step - warmup) / (steps - warmup)) ** power
                ),
                "Poly does not wait for the warm-up: both run from step 0, and are multiplied.",
            ),
        ),
        hints=(
            "Section 2 has the poly factor. A warm-up is a second factor; both run from step 0, and they are multiplied.",
            "With a warm-up of 4 steps the second factor is 0.25, 0.5, 0.75, 1, 1, 1 and so on, whatever poly does meanwhile.",
            "The warm-up alone is `min(1, (step + 1) / warmup)`, and 1 where there is none. What stands beside it is section 2's "
            "formula, with i the step, and the power.",
        ),
    ),
    Exercise(
        "11.4",
        reference=_statistics,
        cases=PROCESSES,
        draw=_drawn_processes,
        otherwise="Weigh by the numbers of values. To each variance belongs the squared distance of its mean from the common mean.",
        mistakes=(
            Mistake(_means_only, "The distances of the processes' means from the common mean are missing in the variance."),
            Mistake(
                lambda counts, means, variances: [sum(means) / len(means), sum(variances) / len(variances)],
                "Weigh by the numbers of values; and the distances of the means belong to the variance.",
            ),
            Mistake(
                lambda counts, means, variances: _statistics([1] * len(counts), means, variances),
                "A process with more values counts for more.",
            ),
            Mistake(
                lambda counts, means, variances: [
                    _statistics(counts, means, variances)[0],
                    math.sqrt(_statistics(counts, means, variances)[1]),
                ],
                "That is the standard deviation: asked for is the variance, its square.",
            ),
        ),
        hints=(
            "Section 4: the mean of the variances is too small, since each process has measured from its own mean.",
            "Two processes with one value each, 1 and 5, know variances of 0. Of the two values together the mean is 3 and the "
            "variance 4: all of it comes from the distances 1 - 3 and 5 - 3.",
            "First the common mean, weighed by `counts`. Then each process adds its number of values times a sum of two terms: its "
            "own variance, and something squared.",
        ),
    ),
    Exercise(
        "11.5",
        reference=_pieces,
        cases=BATCHES,
        draw=_drawn_batch,
        otherwise="Images that fit: (memory - fixed) // each. Pieces: the GPU's share over that, rounded up; 0 where nothing fits.",
        mistakes=(
            Mistake(
                lambda batch, gpus, memory, fixed, each: _pieces(batch, gpus, memory, 0, each),
                "Weights, gradients and momentum lie there, too: take `fixed` off the memory first.",
            ),
            Mistake(
                lambda batch, gpus, memory, fixed, each: _pieces(batch, 1, memory, fixed, each),
                "The batch is shared by the GPUs: each has batch / gpus images.",
            ),
            Mistake(
                lambda batch, gpus, memory, fixed, each: (
                    -(-batch // gpus) // ((memory - fixed) // each) if (memory - fixed) // each >= 1 else 0
                ),
                "Round up: what is left over is a piece as well.",
            ),
            Mistake(
                lambda batch, gpus, memory, fixed, each: max(0, (memory - fixed) // each),
                "That is how many images fit at once; asked for is the number of pieces.",
            ),
        ),
        hints=(
            "Section 11: what does not grow with the number of images has its place first; the rest is for activations.",
            "With 20 bytes, 2 of them for weights, and 5 an image, 3 images fit at once. A share of 7 images then takes pieces of "
            "3, 3 and 1.",
            "Images that fit are `(memory - fixed) // each`, and a GPU's share is `-(-batch // gpus)`, a division that rounds up. "
            "The number of pieces is one more such division; mind the case in which nothing fits.",
        ),
    ),
)
