"""Scribbles on a photograph, and what each iteration of DenseCRF makes of them: the pure part of `CRFLab`, fast enough to follow a pen.

Filters depend on the photograph and on θ alone, so they are kept by θ; a new stroke or weight costs only the iterations. The free energy
of an iteration comes with its messages: both need the same filtered table K Q.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from edu_seg.crf import LatticeFilter, NormalisedFilter, bilateral_features, spatial_features, unary_from_scribbles
from edu_seg.crf.filters import check_image

IGNORE_INDEX = 255
RANGES = {
    "theta_alpha": (10.0, 200.0),
    "theta_beta": (4.0, 100.0),
    "theta_gamma": (1.0, 20.0),
    "bilateral_weight": (0.0, 20.0),
    "spatial_weight": (0.0, 20.0),
}
COUNTS = {"num_classes": (2, 6), "num_iterations": (1, 20)}
MOST_PIXELS = 40_000
KEPT = 8
"""Filters of each kind that are remembered; one takes up to about 10 MB at 160 × 120."""

PRESETS: dict[str, dict[str, Any]] = {
    "both kernels": {"theta_alpha": 80, "theta_beta": 13, "theta_gamma": 3, "bilateral_weight": 10, "spatial_weight": 3},
    "spatial only": {"theta_gamma": 3, "bilateral_weight": 0, "spatial_weight": 3},
    "bilateral only": {"theta_alpha": 80, "theta_beta": 13, "bilateral_weight": 10, "spatial_weight": 0},
    "too wide": {"theta_alpha": 160, "theta_beta": 80, "theta_gamma": 3, "bilateral_weight": 10, "spatial_weight": 3},
    "too narrow": {"theta_alpha": 10, "theta_beta": 4, "theta_gamma": 3, "bilateral_weight": 10, "spatial_weight": 3},
    "unary only": {"bilateral_weight": 0, "spatial_weight": 0},
}
Number = int | float
Stroke = tuple[int, Sequence[tuple[int, int]], Number]


@dataclass(frozen=True)
class CRFSettings:
    """A DenseCRF over scribbles. θα and θγ in pixels, θβ in grey levels; certainty: how sure a drawn pixel is of its label.

    Raises ValueError outside of `RANGES` and `COUNTS`, and unless 0.5 < certainty < 1.
    """

    theta_alpha: Number = 80.0
    theta_beta: Number = 13.0
    theta_gamma: Number = 3.0
    bilateral_weight: Number = 10.0
    spatial_weight: Number = 3.0
    num_classes: int = 2
    num_iterations: int = 10
    certainty: float = 0.99

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name} = {value!r}: give a number from {low:g} to {high:g}")
        for name, (least, most) in COUNTS.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} = {value!r}: give an integer from {least} to {most}")
        if not 0.5 < self.certainty < 1:
            raise ValueError(f"certainty = {self.certainty!r}: a drawn pixel is surer of its label than 0.5, and less than 1")

    @property
    def code(self) -> str:
        """The same as a `DenseCRF`."""
        return (
            f"DenseCRF({self.theta_alpha:g}, {self.theta_beta:g}, {self.theta_gamma:g}, bilateral_weight={self.bilateral_weight:g}, "
            f"spatial_weight={self.spatial_weight:g}, num_iterations={self.num_iterations})"
        )


@dataclass(frozen=True, eq=False)
class CRFSteps:
    """T iterations of mean field, number 0 being what the scribbles alone say.

    probs: Q after each. labels: the likeliest, of equal ones the lower. energies: the free energy F(Q), each pair of pixels once.
    """

    probs: Float32[ndarray, "steps K H W"]
    labels: UInt8[ndarray, "steps H W"]
    energies: list[float]

    @property
    def moved(self) -> list[int]:
        """How many pixels changed their label in iteration 1, 2, … T."""
        return [int((now != before).sum()) for before, now in zip(self.labels[:-1], self.labels[1:], strict=True)]


def crf_steps(image: UInt8[Tensor, "3 H W"], scribbles: Int64[Tensor, "H W"], settings: CRFSettings | None = None) -> CRFSteps:
    """What DenseCRF makes of scribbles (255: nothing drawn), iteration by iteration; all that `CRFLab` shows.

    Equal to `DenseCRF.steps` on `unary_from_scribbles`, up to rounding. Raises TypeError for an image that is not uint8; ValueError for
    one that is not (3, H, W) or has more than `MOST_PIXELS`, scribbles of another size or with other labels, and where none is drawn.
    """
    return Solver(image).steps(scribbles, settings or CRFSettings())


def draw_strokes(size: tuple[int, int], strokes: Sequence[Stroke]) -> Int64[Tensor, "H W"]:
    """Scribbles (H, W), 255 where nothing is drawn, from strokes (label, points (row, column), width in pixels), drawn in turn.

    A stroke covers the pixels within half its width of the line through its points. Raises ValueError for a label outside 0..5, a width
    below 1, a stroke without points and one with a point outside.
    """
    scribbles = np.full(size, IGNORE_INDEX)
    for label, points, width in strokes:
        _check_stroke(size, label, points, width)
        for first, last in zip(points, [*points[1:], points[-1]], strict=True):
            scribbles[_near_segment(size, first, last, width)] = label
    return torch.from_numpy(scribbles)


def _check_stroke(size: tuple[int, int], label: int, points: Sequence[tuple[int, int]], width: Number) -> None:
    if not 0 <= label < COUNTS["num_classes"][1]:
        raise ValueError(f"a stroke has the label {label}: give 0..{COUNTS['num_classes'][1] - 1}")
    if not width >= 1:
        raise ValueError(f"a stroke is {width} pixels wide: give 1 or more")
    if not points:
        raise ValueError(f"a stroke of label {label} has no points: give at least one (row, column)")
    for row, column in points:
        if not (0 <= row < size[0] and 0 <= column < size[1]):
            raise ValueError(f"the point ({row}, {column}) lies outside of {size[0]} × {size[1]} pixels")


def _near_segment(size: tuple[int, int], first: tuple[int, int], last: tuple[int, int], width: Number) -> ndarray:
    """(H, W): whether a pixel lies within width / 2 of the segment. The same sums as in the browser, to the last bit."""
    rows, columns = np.arange(size[0])[:, None] - first[0], np.arange(size[1]) - first[1]
    down, right = last[0] - first[0], last[1] - first[1]
    along = np.clip((rows * down + columns * right) / max(1, down * down + right * right), 0, 1)
    away_down, away_right = rows - along * down, columns - along * right
    return away_down * away_down + away_right * away_right <= width * width / 4


@contextmanager
def _one_thread() -> Iterator[None]:
    """So small a problem gains little from two, and loses much where another process has the second core: threads wait by spinning."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, eq=False)
class _Kernel:
    """A filter with its normalisation folded into the entries of splat and slice."""

    filter: LatticeFilter
    splat_weights: Tensor
    slice_weights: Tensor

    @staticmethod
    def over(features: Tensor) -> "_Kernel":
        kernel = LatticeFilter(features)
        normalised, lattice = NormalisedFilter(kernel), kernel.lattice
        before, after = normalised.before, normalised.after
        assert before is not None  # "symmetric" has both
        assert after is not None
        splat_weights = lattice.splat_weights * before.index_select(0, lattice.pixels)
        return _Kernel(kernel, splat_weights, lattice.weights * (lattice.alpha * after)[:, None])

    def __call__(self, values: Tensor) -> Tensor:
        lattice = self.filter.lattice
        return lattice.slice(lattice.blur(lattice.splat(values, self.splat_weights)), self.slice_weights)


class Solver:
    """`crf_steps` on one photograph, again and again: it keeps the filters by their θ. `built` counts those it had to build."""

    def __init__(self, image: UInt8[Tensor, "3 H W"]) -> None:
        check_image(image)
        if image[0].numel() > MOST_PIXELS:
            raise ValueError(f"the image has {image.shape[1]} × {image.shape[2]} pixels: give at most {MOST_PIXELS:,}, say 120 × 160")
        self.image, self.size, self.built = image.detach().cpu(), (image.shape[1], image.shape[2]), 0
        self._kept: dict[str, OrderedDict[Hashable, _Kernel]] = {"bilateral": OrderedDict(), "spatial": OrderedDict()}

    def steps(self, scribbles: Int64[Tensor, "H W"], settings: CRFSettings) -> CRFSteps:
        """See `crf_steps`."""
        check_scribbles(scribbles, self.size, settings.num_classes)
        unary = unary_from_scribbles(scribbles.cpu(), settings.num_classes, certainty=settings.certainty)
        with torch.no_grad(), _one_thread():
            maps, energies = _iterate(unary.flatten(1), self._kernels(settings), settings.num_iterations)
        probs = torch.stack(maps).view(len(maps), settings.num_classes, *self.size)
        return CRFSteps(probs.numpy(), _likeliest(probs), energies)

    def _kernels(self, settings: CRFSettings) -> list[tuple[Number, _Kernel]]:
        """Weight and kernel of all that weigh anything."""
        alpha, beta, gamma = settings.theta_alpha, settings.theta_beta, settings.theta_gamma
        kernels = []
        if settings.bilateral_weight:
            build = lambda: bilateral_features(self.image, alpha, beta)  # noqa: E731
            kernels.append((settings.bilateral_weight, self._kernel("bilateral", (alpha, beta), build)))
        if settings.spatial_weight:
            build = lambda: spatial_features(self.image, gamma)  # noqa: E731
            kernels.append((settings.spatial_weight, self._kernel("spatial", gamma, build)))
        return kernels

    def _kernel(self, kind: str, key: Hashable, features: Callable[[], Tensor]) -> _Kernel:
        """From what is kept, or built; the one that was longest unused goes."""
        kept = self._kept[kind]
        if key not in kept:
            self.built += 1
            kept[key] = _Kernel.over(features())
        kept.move_to_end(key)
        while len(kept) > KEPT:
            kept.popitem(last=False)
        return kept[key]


def _iterate(unary: Tensor, kernels: list[tuple[Number, _Kernel]], num_iterations: int) -> tuple[list[Tensor], list[float]]:
    """Q (K, N) after 0, 1, … iterations, and F(Q) of each, by the formulas of `edu_seg.crf.energy` for Potts.

    Tables lie label by label, as sums over 2 to 6 labels are slow where these lie side by side; the filters want them side by side.
    """
    scores, maps, energies = -unary, [], []
    for _ in range(num_iterations + 1):
        log_probs = scores.log_softmax(0)
        probs = log_probs.exp()
        heard = torch.zeros_like(probs)
        by_pixel = probs.t().contiguous()
        for weight, kernel in kernels:
            heard += kernel(by_pixel).mul_(weight).t()
        costs = heard.sum(0) - heard
        energies.append(float((probs * (log_probs + unary + 0.5 * costs)).sum(dtype=torch.float64)))
        maps.append(probs)
        scores = heard - unary
    return maps, energies


def _likeliest(probs: Tensor) -> ndarray:
    """The argmax over dimension 1, of equal ones the first: many times as fast as `argmax` over so few."""
    best, labels = probs[:, 0].clone(), torch.zeros_like(probs[:, 0], dtype=torch.uint8)
    for label in range(1, probs.shape[1]):
        labels.masked_fill_(probs[:, label] > best, label)
        torch.maximum(best, probs[:, label], out=best)
    return labels.numpy()


def check_scribbles(scribbles: Tensor, size: tuple[int, int], num_classes: int) -> None:
    """Raises ValueError for another size, or a label that is neither of 0..K-1 nor 255."""
    if tuple(scribbles.shape) != size:
        raise ValueError(f"the scribbles have {tuple(scribbles.shape)} pixels, the image {size}: draw on this image")
    outside = (scribbles != IGNORE_INDEX) & ((scribbles < 0) | (scribbles >= num_classes))
    if outside.any():
        raise ValueError(f"a scribble has the label {scribbles[outside][0].item()}: with {num_classes} labels give 0..{num_classes - 1}")
