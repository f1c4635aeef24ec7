"""Exercises of notebook 09: rates and maps, ASPP, the poly schedule and sliding windows."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes


def _poly(step: int, total: int, start: float, end: float, power: float) -> float:
    return (start - end) * (1 - step / total) ** power + end


STEPS: list[Case] = [
    (0, 10, 1.0, 0.0, 0.9),
    (0, 10, 1.0, 0.1, 0.9),
    (10, 10, 1.0, 0.1, 0.9),
    (5, 10, 1.0, 0.1, 0.9),
    (1, 4, 0.01, 0.0, 2.0),
    (3000, 30000, 0.7, 0.01, 0.9),
]


def _drawn_step(generator: torch.Generator) -> Case:
    total = whole(generator, 4, 400)
    start, end = 0.5 + whole(generator, 0, 8), whole(generator, 0, 4) / 10
    return whole(generator, 0, total - 1), total, start, end, whole(generator, 1, 5) / 2


def _mean_valid(N: int, r: int, k: int) -> float:
    taps = [m - k // 2 for m in range(k)]
    return (sum(max(N - r * abs(tap), 0) for tap in taps) / (k * N)) ** 2


def _without_zero(N: int, r: int, k: int) -> float:
    """The mistake of a number of places below 0."""
    return (sum(N - r * abs(m - k // 2) for m in range(k)) / (k * N)) ** 2


def _outer_taps_alike(N: int, r: int, k: int) -> float:
    """The mistake of a 3 × 3's count for every filter: all taps but the middle lie r away."""
    return ((N + (k - 1) * max(N - r, 0)) / (k * N)) ** 2


MAPS: list[Case] = [
    (1, 1, 3),
    (3, 1, 3),
    (7, 3, 3),
    (13, 6, 3),
    (65, 24, 3),
    (65, 65, 3),
    (2, 9, 3),
    (5, 1, 5),
    (7, 3, 5),
    (33, 12, 7),
    (4, 3, 1),
]


def _branches(x: Tensor, filters: Sequence[Tensor], rates: Sequence[int]) -> list[Tensor]:
    return [F.conv2d(x, weight, padding=rate, dilation=rate) for weight, rate in zip(filters, rates, strict=True)]


def _aspp(x: Tensor, filters: Sequence[Tensor], rates: Sequence[int]) -> Tensor:
    return torch.stack(_branches(x, filters, rates)).sum(0)


def _maps() -> list[Case]:
    generator = torch.Generator().manual_seed(0)

    def case(N: int, C: int, K: int, size: tuple[int, int], rates: list[int]) -> Case:
        filters = [torch.randint(-4, 5, (K, C, 3, 3), generator=generator).float() for _ in rates]
        return torch.randint(-4, 5, (N, C, *size), generator=generator).float(), filters, rates

    return [case(1, 1, 1, (3, 3), [1]), case(1, 1, 1, (5, 5), [2, 1]), case(2, 3, 4, (9, 7), [2, 4, 8, 12]), case(1, 2, 2, (4, 6), [6, 6])]


def _drawn_maps(generator: torch.Generator) -> Case:
    N, C, K = (whole(generator, 1, 2) for _ in range(3))
    rates = [whole(generator, 1, 5) for _ in range(whole(generator, 2, 4))]
    filters = [wholes(generator, -4, 4, K, C, 3, 3) for _ in rates]
    return wholes(generator, -4, 4, N, C, whole(generator, 3, 7), whole(generator, 3, 7)), filters, rates


def _from_one(x: Tensor, filters: Sequence[Tensor], rates: Sequence[int]) -> Tensor:
    """The mistake of counting taps k = 1, 2, 3 at x[i + r k]: none of them meets the unit itself."""
    height, width = x.shape[2:]
    branches = zip(filters, rates, strict=True)
    wide = (F.conv2d(F.pad(x, (0, 3 * rate, 0, 3 * rate)), weight, dilation=rate)[..., rate:, rate:] for weight, rate in branches)
    return torch.stack([scores[..., :height, :width] for scores in wide]).sum(0)


def _starts(size: int, window: int, step: int) -> list[int]:
    room = max(size - window, 0)
    return [*range(0, room, step), room]


def _drawn_image(generator: torch.Generator) -> Case:
    return whole(generator, 1, 60), whole(generator, 2, 20), whole(generator, 1, 12)


IMAGES: list[Case] = [(4, 4, 2), (3, 5, 2), (6, 4, 2), (7, 4, 2), (10, 4, 3), (9, 4, 1), (1024, 473, 315)]

EXERCISES = (
    Exercise(
        "09.1",
        reference=lambda: [25, 900, 4, 33, 9],
        otherwise="The taps of a 3 × 3 lie r apart: 2r + 1 wide. Zeros between them are no weights. Windows: (10 - 2) // 1 + 1.",
        mistakes=(
            Mistake(lambda: [36, 900, 4, 33, 9], "Three taps have two gaps between them: k + (k - 1)(r - 1), not k · r."),
            Mistake(
                lambda: [28, 900, 4, 33, 9],
                "28 is the paper's r (k - 1) + 4, whose 8-fold it prints as 224: it counts in what fc6's inputs see.",
            ),
            Mistake(
                lambda: [25, 62500, 4, 33, 9], "Only the nine taps have weights; between them nothing is multiplied and nothing stored."
            ),
            Mistake(lambda: [25, 900, 9, 33, 9], "In a corner the taps above and those to the left lie beyond the map."),
            Mistake(lambda: [25, 900, 4, 17, 9], "From 17 on no place has all nine taps; some still have a neighbour's until r = N."),
            Mistake(
                lambda: [25, 900, 4, 33, 10],
                "The window is rounded up, ⌈10/6⌉; only the stride is rounded down.",
            ),
            Mistake(lambda: [25, 900, 4, 33, 6], "Window ⌈10/6⌉ = 2, stride ⌊10/6⌋ = 1: nine windows fit, whatever n is."),
        ),
        hints=(
            "(a), (b): section 2. (c), (d): section 4; draw the nine taps around a corner. (e): the older rule of section 7.",
            (
                "Holes widen a filter, but have no weights. For (d): how far from each other can two units of the map be, at most? "
                "For (e): round up for the window, down for the stride; how many fit?"
            ),
            (
                "(a) k + (k − 1)(r − 1). (b) Taps · channels in · channels out. (c) Count along one axis, and square. "
                "(d) Section 4 shows it for N = 65. (e) (a − window) // stride + 1."
            ),
        ),
    ),
    Exercise(
        "09.2",
        reference=_poly,
        cases=STEPS,
        draw=_drawn_step,
        otherwise="The factor falls from 1 to 0, so only start - end may be multiplied by it; end is then added.",
        mistakes=(
            Mistake(
                lambda step, total, start, end, power: start * (1 - step / total) ** power + end,
                "That begins at start + end: multiply the distance start - end by the factor.",
            ),
            Mistake(
                lambda step, total, start, end, power: start * (1 - step / total) ** power,
                "At the last step the learning rate should be end, and yours is 0.",
            ),
            Mistake(
                lambda step, total, start, end, power: (start - end) * (1 - step / total) ** power,
                "You take end off and never put it back: add it behind the factor.",
            ),
            Mistake(
                lambda step, total, start, end, power: (start - end) * (1 - (step / total) ** power) + end,
                "The power belongs to the whole of 1 - step / total, not to step / total alone.",
            ),
            Mistake(
                lambda step, total, start, end, power: (start - end) * (1 - step / total) + end,
                "That is a straight line: the power is not used.",
            ),
        ),
        hints=(
            "Put step = 0 and step = total into the colleague's line. What comes out, and what should?",
            "The factor falls from 1 to 0. From 10 down to 4, say, it is not 10 that must vanish on the way, but 6.",
            (
                "Three pieces: a distance, times the factor as it stands, plus what is left when the factor is 0. "
                "Which two arguments make the distance?"
            ),
        ),
    ),
    Exercise(
        "09.3",
        reference=_mean_valid,
        cases=MAPS,
        draw=lambda generator: (whole(generator, 2, 40), whole(generator, 1, 24), 2 * whole(generator, 0, 4) + 1),
        otherwise="Along one axis the middle tap is on the map at N places, one that lies m · r away at N - m · r (never below 0).",
        mistakes=(
            Mistake(lambda N, r, k: _mean_valid(N, r, k) ** 0.5, "That is one axis. The map has two: square it."),
            Mistake(
                _without_zero,
                "A tap further away than the map is wide is on it at no place: 0, not a negative number. The middle is always left.",
            ),
            Mistake(
                lambda N, r, k: (max(N - (k - 1) * r, 0) / N) ** 2,
                "You count the places where all taps are on the map. Where some are off it, the others still count.",
            ),
            Mistake(lambda N, r, k: k**2 * _mean_valid(N, r, k), "That is the mean number of taps: divide it by k²."),
            Mistake(
                _outer_taps_alike,
                "Right for k = 3. In a larger filter the taps lie r, 2r, 3r … from the middle, and each counts by itself.",
            ),
            Mistake(lambda N, r, k: _mean_valid(N, r, 3), "The taps of a 3 × 3, whatever k is."),
        ),
        hints=(
            "Section 4 derives the mean of three taps along one axis, for r ≤ N. How far from the middle do those of a larger k lie?",
            (
                "On 5 units with rate 2 and k = 5 the middle tap is on the map at 5 places, the next two at 3, the outermost at 1: "
                "13 of 25. With rate 3 the outermost are there at no place, not at −1."
            ),
            (
                "Along one axis a tap that lies m · r from the middle has N − m · r places, but never fewer than 0 (`max`). "
                "Sum over the k taps, divide by k · N; and the map has two axes."
            ),
        ),
    ),
    Exercise(
        "09.4",
        reference=_aspp,
        cases=_maps(),
        draw=_drawn_maps,
        otherwise="Each branch is F.conv2d(x, weight, padding=rate, dilation=rate), with its own weight and its own rate; add them all.",
        mistakes=(
            Mistake(lambda x, filters, rates: F.conv2d(x, filters[0]), "Pad each branch by its own rate; then all have the size of x."),
            Mistake(lambda x, filters, rates: torch.cat(_branches(x, filters, rates), 1), "Stacking is v3's way: v2 adds the scores."),
            Mistake(lambda x, filters, rates: torch.stack(_branches(x, filters, rates)).mean(0), "That is the mean: v2 adds."),
            Mistake(
                lambda x, filters, rates: _aspp(x, filters, [1] * len(rates)),
                "The taps of every branch lie side by side: dilation=rate is missing.",
            ),
            Mistake(_from_one, "Counted from 1, all taps lie to the right and below: the middle one belongs on the unit itself."),
            Mistake(
                lambda x, filters, rates: _aspp(x, filters, [rates[0]] * len(rates)),
                "Every branch has the first one's rate.",
            ),
            Mistake(
                lambda x, filters, rates: torch.stack(_branches(x, filters, rates)).relu().sum(0),
                "These are scores, and scores may be negative: no ReLU before the sum.",
            ),
        ),
        hints=(
            (
                "Section 3: what does v2 do with the scores of its branches, and what v3? "
                "How much padding keeps the size of a map if the taps lie r apart?"
            ),
            (
                "One `F.conv2d` a branch, each with its own weights; padding and dilation are both the branch's rate. "
                "Nothing else happens to the scores on the way."
            ),
            (
                "`zip(filters, rates)` gives the pairs. Keep a running total of the branches' maps: each has the shape (N, K, H, W), "
                "and so has the answer."
            ),
        ),
    ),
    Exercise(
        "09.5",
        reference=_starts,
        cases=IMAGES,
        draw=_drawn_image,
        otherwise="From 0 in steps, as long as a later window is still to come; the last begins at size - window, or at 0.",
        mistakes=(
            Mistake(
                lambda size, window, step: [*range(0, size - window + 1, step)] or [0],
                "The last pixels are in no window: let one more end where the image ends.",
            ),
            Mistake(
                lambda size, window, step: [*range(0, size, step)],
                "Some windows begin so late that they reach beyond the image: only size - window is left for starting points.",
            ),
            Mistake(
                lambda size, window, step: [*range(0, max(size - window, 0) + step, step)],
                "The last window hangs over the image's end: move it back until it ends there.",
            ),
            Mistake(
                lambda size, window, step: [*range(0, size - window, step), size - window],
                "A window larger than the image begins at 0, not before the image.",
            ),
            Mistake(
                lambda size, window, step: [*range(0, max(size - window, 0) + 1, step), max(size - window, 0)],
                "The last window is there twice wherever the steps come out even.",
            ),
        ),
        hints=(
            "Where does the last window begin? Settle that first, also for an image smaller than the window; then those before it.",
            "With 9 pixels, windows of 5 and steps of 3 the last one begins at 4: of 0, 3, 6 keep those before 4, and put 4 behind them.",
            (
                "`range` leaves out its end: one that stops at the last start never holds it, so it can be put behind, once. "
                "The last start is a `max` of two numbers."
            ),
        ),
    ),
)
