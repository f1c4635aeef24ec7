"""Finding a DenseCRF's parameters: kernel widths and weights by a search, coarse to fine; weights and compatibility also by gradient.

Widths have no gradient here (the lattice is built from them), so they are searched for, as DeepLab does. Its first version (section 5, on
training) leaves θγ = 3 and the spatial weight 3 as they are and tries the bilateral weight from 5 to 10, θα from 50 to 100 by tens and θβ
from 3 to 10 by ones, scored on 100 validation images; later rounds take finer steps around the best values. Every run has 10 iterations.
The second version (section 4.1) starts from 3 to 6, 30 to 100 and 3 to 6. CRF-RNN trains the weights and the compatibility instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from math import isnan

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from edu_seg.crf.filters import NormalisedFilter, Number
from edu_seg.crf.mean_field import DenseCRF
from edu_seg.metrics import ConfusionMatrix

Values = dict[str, Number]
THETAS = ("theta_alpha", "theta_beta", "theta_gamma")
PARAMETERS = (*THETAS, "bilateral_weight", "spatial_weight")


@dataclass(frozen=True, eq=False)
class Example:
    """An image, what a net says of it, and the truth (255: void)."""

    logits: Float[Tensor, "K H W"]
    image: UInt8[Tensor, "3 H W"]
    labels: Int64[Tensor, "H W"]


@dataclass(frozen=True)
class Found:
    """The best values, their score, and every trial in the order it was made."""

    values: Values
    score: float
    trials: tuple[tuple[Values, float], ...]


@dataclass(frozen=True)
class Fold:
    """What the search found on the other folds, and what it and no CRF at all score on this one."""

    found: Found
    held_out: float
    without: float


def search(
    examples: Sequence[Example],
    grid: Mapping[str, Sequence[Number]],
    *,
    rounds: int = 2,
    score: Callable[[ConfusionMatrix], float] = lambda matrix: matrix.mean_iou,
    num_iterations: int = 10,
) -> Found:
    """Every combination of `grid`'s values, then `rounds` - 1 times those around the best, at half the step.

    grid: the five parameters of `DenseCRF` by name, each with one value (fixed) or several in ascending order. The thetas vary slowest,
    and filters are built once for each set of them. The best point of all rounds is kept; of equal ones the first. Raises ValueError for
    a missing or unknown name, values not ascending, no labelled pixel, or a score that is NaN.
    """
    _check_search(examples, grid, rounds)
    scorer = _Scorer(examples, score, num_iterations)
    trials: dict[tuple[Number, ...], float] = {}
    axes = {name: sorted(grid[name]) for name in PARAMETERS}
    for _ in range(rounds):
        for point in product(*axes.values()):
            if point not in trials:
                trials[point] = scorer(dict(zip(PARAMETERS, point, strict=True)))
        best = max(trials, key=lambda point: trials[point])
        axes = {name: _halved(values, value) for (name, values), value in zip(axes.items(), best, strict=True)}
    return Found(
        dict(zip(PARAMETERS, best, strict=True)),
        trials[best],
        tuple((dict(zip(PARAMETERS, point, strict=True)), value) for point, value in trials.items()),
    )


def cross_validate(
    examples: Sequence[Example], grid: Mapping[str, Sequence[Number]], *, folds: int = 4, rounds: int = 2, num_iterations: int = 10
) -> list[Fold]:
    """A search on all folds but one, scored on that one by mean IU, for each fold; example i is in fold i mod `folds`.

    Raises ValueError unless 2 <= folds <= number of examples.
    """
    if not 2 <= folds <= len(examples):
        raise ValueError(f"folds = {folds}: at least 2 and at most one for each of the {len(examples)} examples")
    results = []
    for fold in range(folds):
        held_out = examples[fold::folds]
        found = search([one for i, one in enumerate(examples) if i % folds != fold], grid, rounds=rounds, num_iterations=num_iterations)
        scorer = _Scorer(held_out, lambda matrix: matrix.mean_iou, num_iterations)
        results.append(Fold(found, scorer(found.values), mean_iou(held_out)))
    return results


def mean_iou(examples: Sequence[Example]) -> float:
    """The mean IU of the logits as they are, over all examples together."""
    matrix = ConfusionMatrix(len(examples[0].logits))
    for one in examples:
        matrix.update(one.logits.argmax(0), one.labels)
    return matrix.mean_iou


def fit_by_gradient(crf: DenseCRF, examples: Sequence[Example], *, steps: int = 30, learning_rate: Number = 0.1) -> list[float]:
    """Trains the weights and the compatibility of a `learnable` CRF by Adam on the cross-entropy; returns the loss before each step.

    All examples in every step, each with the same say; filters are built once. Raises ValueError where nothing is learnable, no example
    or step is given, or an example has no labelled pixel.
    """
    parameters = [parameter for parameter in crf.parameters() if parameter.requires_grad]
    if not parameters or not examples:
        raise ValueError("there is nothing to fit: build DenseCRF(…, learnable=True) and give at least one example")
    _check_fit(examples, steps)
    filters = [crf.filters(one.image[None])[0] for one in examples]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    losses = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = 0.0
        for one, row in zip(examples, filters, strict=True):
            logits = crf.infer_logits(-one.logits, row)
            part = F.cross_entropy(logits[None], one.labels[None], ignore_index=255) / len(examples)
            part.backward()
            loss += part.item()
        losses.append(loss)
        optimiser.step()
    return losses


class _Scorer:
    """The score of one set of values over all examples; keeps the filters of the last thetas."""

    def __init__(self, examples: Sequence[Example], score: Callable[[ConfusionMatrix], float], num_iterations: int) -> None:
        self.examples, self.score, self.num_iterations = examples, score, num_iterations
        self.thetas: tuple[Number, ...] = ()
        self.filters: list[list[NormalisedFilter]] = []

    @torch.no_grad()
    def __call__(self, values: Values) -> float:
        crf = DenseCRF(**values, num_iterations=self.num_iterations)  # pyright: ignore[reportArgumentType]
        thetas = tuple(values[name] for name in THETAS)
        if thetas != self.thetas:
            self.thetas, self.filters = thetas, [crf.filters(one.image[None])[0] for one in self.examples]
        matrix = ConfusionMatrix(len(self.examples[0].logits))
        for one, filters in zip(self.examples, self.filters, strict=True):
            matrix.update(crf.infer(-one.logits, filters).argmax(0), one.labels)
        value = self.score(matrix)
        if isnan(value):
            raise ValueError(f"the score of {values} is NaN, which no other score can beat: give a score that is a number")
        return value


def _halved(values: Sequence[Number], best: Number) -> list[Number]:
    """`best` and the points half way to its neighbours among `values`; at an end, as far outwards as inwards, but not to 0 or below.

    `best` itself always stays (a weight may be 0), so that the next round starts from it.
    """
    if len(values) == 1:
        return list(values)
    place = values.index(best)
    below = (best - values[place - 1]) / 2 if place else None
    above = (values[place + 1] - best) / 2 if place + 1 < len(values) else None
    down, up = below or above or 0.0, above or below or 0.0
    return [value for value in (best - down, best, best + up) if value > 0 or value == best]


def _check_search(examples: Sequence[Example], grid: Mapping[str, Sequence[Number]], rounds: int) -> None:
    if not examples or rounds < 1:
        raise ValueError(f"a search needs at least one example and one round, got {len(examples)} and {rounds}")
    if set(grid) != set(PARAMETERS):
        raise ValueError(f"the grid gives values for {', '.join(PARAMETERS)}; it has {', '.join(grid)}")
    for name, values in grid.items():
        if not values or any(a >= b for a, b in pairwise(values)):
            raise ValueError(f"{name} = {list(values)}: give at least one value, in ascending order")


def _check_fit(examples: Sequence[Example], steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps = {steps}: at least one")
    for i, one in enumerate(examples):
        if (one.labels == 255).all():
            raise ValueError(f"all pixels of example {i} are void (255), so it has no loss: leave it out")
