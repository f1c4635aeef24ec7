"""How a scene of `Shapes` is painted: signed distances, light, shadow, labels and smooth noise. NumPy only.

A shape is a function (u, v, r) -> d: at u pixels right and v pixels down of its centre, in its own turned frame, d is
the distance to the contour in pixels, negative inside. From d follow the anti-aliased edge, the relief, the shadow and
the label, each on the shape's bounding box only: that is what makes a scene cheap.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from numpy.random import Generator

from edu_seg.datasets.files import IGNORE_INDEX, Number

Distance = Callable[[ndarray, ndarray, Number], ndarray]

MARGIN = 4
"""Pixels around a shape's reach that its shadow and rim may touch."""
SHADOW_SHIFT = 2


def disc(u: ndarray, v: ndarray, r: Number) -> ndarray:
    return np.sqrt(u * u + v * v) - r


def square(u: ndarray, v: ndarray, r: Number) -> ndarray:
    return np.maximum(np.abs(u), np.abs(v)) - 0.82 * r


def triangle(u: ndarray, v: ndarray, r: Number) -> ndarray:
    return np.maximum(np.abs(u) * 0.8660254 - v * 0.5, v) - 0.58 * r


_K, _L = math.cos(math.pi / 5), math.sin(math.pi / 5)
_INNER = 0.5
"""Radius of the star's inner corners, in its outer radius."""


def star(u: ndarray, v: ndarray, r: Number) -> ndarray:
    """Five mirror folds bring each tip onto one; what is left is a straight line from the tip to an inner corner."""
    x, y = np.abs(u), -v
    for kx, ky in ((_K, -_L), (-_K, -_L)):
        fold = 2 * np.maximum(kx * x + ky * y, 0)
        x, y = x - fold * kx, y - fold * ky
    edge_x, edge_y = _INNER * _L, _INNER * _K - 1
    return ((y - 1.15 * r) * edge_x - np.abs(x) * edge_y) / math.hypot(edge_x, edge_y)


SOLIDS: dict[str, Distance] = {"disc": disc, "square": square, "triangle": triangle, "star": star}


def rough(distance: Distance, height: Number, waves: int) -> Distance:
    """`distance` with its contour moved out and in by up to the share `height` of its radius, `waves` times around."""

    def waved(u: ndarray, v: ndarray, r: Number) -> ndarray:
        fade = np.minimum((u * u + v * v) * np.float32(2 / (r * r)), 1)  # the relief stays smooth in the middle
        swell = 1 / (1 + np.float32(height) * fade * np.cos(waves * np.arctan2(v, u)))
        return distance(u * swell, v * swell, r)

    return waved


def wire(half_length: Number, sag: Number) -> Distance:
    """A hanging cable: the parabola v = sag · (1 - (u / half_length)²); `r` is half its thickness."""

    def distance(u: ndarray, v: ndarray, r: Number) -> ndarray:
        slope = u * (2 * sag / half_length**2)
        across = np.abs(v - sag + 0.5 * u * slope) / np.sqrt(1 + slope * slope) - r
        return np.maximum(across, np.abs(u) - half_length)

    return distance


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to paint: its label, contour, place (x, y), size in pixels and colour (RGB in 0..1)."""

    label: int
    distance: Distance
    x: Number
    y: Number
    radius: Number
    turn: Number
    reach: tuple[Number, Number]
    """How far it extends from its centre, in pixels: (along x, along y)."""
    colour: ndarray
    second_colour: ndarray | None = None
    """Colour of every second of eight sectors; None: one colour."""


class Canvas:
    """Image (3, H, W) and labels (H, W) that items are painted on, back to front."""

    def __init__(self, image: Float32[ndarray, "3 H W"], grain: Float32[ndarray, "H W"], void_rim: bool) -> None:
        self.image, self.grain, self.void_rim = image, grain[::-1, ::-1], void_rim
        self.labels: UInt8[ndarray, "H W"] = np.zeros(image.shape[1:], np.uint8)

    def paint(self, item: Item) -> None:
        """Shadow, body and label of one item; what lies behind is hidden."""
        box = self._box(item)
        if box is None:
            return
        top, bottom, left, right = box
        # One row and column more at the top and left: the relief is a difference along the diagonal.
        x = np.arange(left - 1, right, dtype=np.float32) - np.float32(item.x)
        y = np.arange(top - 1, bottom, dtype=np.float32)[:, None] - np.float32(item.y)
        c, s = np.float32(math.cos(item.turn)), np.float32(math.sin(item.turn))
        u, v = c * x + s * y, c * y - s * x
        d = item.distance(u, v, item.radius).astype(np.float32, copy=False)
        window = np.s_[top:bottom, left:right]
        self._shadow(d, box)
        cover = np.minimum(np.maximum(np.float32(0.5) - d[1:, 1:], 0), 1)
        part = self.image[:, top:bottom, left:right]
        part *= 1 - cover
        part += _surface(item, u, v) * (_light(item, d, self.grain[window]) * cover)
        self._label(item.label, d[1:, 1:] <= 0, self.labels[window])

    def _box(self, item: Item) -> tuple[int, int, int, int] | None:
        height, width = self.labels.shape
        reach_x, reach_y = item.reach[0] + MARGIN, item.reach[1] + MARGIN
        top, bottom = max(0, int(item.y - reach_y)), min(height, int(item.y + reach_y) + 1)
        left, right = max(0, int(item.x - reach_x)), min(width, int(item.x + reach_x) + 1)
        return (top, bottom, left, right) if top < bottom and left < right else None

    def _shadow(self, d: ndarray, box: tuple[int, int, int, int]) -> None:
        """A soft shade thrown down and to the right: the light comes from the upper left."""
        top, bottom, left, right = box
        shift = SHADOW_SHIFT
        depth = np.minimum(np.maximum(np.float32(2.5) - d[1:-shift, 1:-shift], 0), 4)
        self.image[:, top + shift : bottom, left + shift : right] *= 1 - depth * np.float32(0.075)

    def _label(self, label: int, mask: ndarray, labels: ndarray) -> None:
        """The item's pixels get its label; with a rim, the pixels beside them (4 neighbours, outside) get void."""
        if self.void_rim:
            rim = mask.copy()
            rim[1:] |= mask[:-1]
            rim[:-1] |= mask[1:]
            rim[:, 1:] |= mask[:, :-1]
            rim[:, :-1] |= mask[:, 1:]
            labels[rim] = IGNORE_INDEX
        labels[mask] = label


def _light(item: Item, d: ndarray, grain: ndarray) -> ndarray:
    """Brightness over a rounded relief, lit along the diagonal, with a piece of the grain."""
    size = max(item.radius, 1.5)
    depth = np.maximum(d * np.float32(-1 / size), 0)
    relief = depth * (2 - depth)
    return (relief[1:, 1:] - relief[:-1, :-1]) * np.float32(0.16 * size) + grain + 1


def _surface(item: Item, u: ndarray, v: ndarray) -> ndarray:
    """The colour (3, h, w), of one piece or of eight sectors in turn."""
    colour = item.colour[:, None, None]
    if item.second_colour is None:
        return colour
    sectors = ((u * v > 0) ^ (np.abs(u) > np.abs(v)))[1:, 1:]
    return np.where(sectors, colour, item.second_colour[:, None, None])


@lru_cache(maxsize=64)
def _spline(length: int, cells: int) -> Float32[ndarray, "length knots"]:
    """Matrix of the cubic B-spline from `cells + 3` knots to `length` pixels: smooth up to its second derivative."""
    place = (np.arange(length) + 0.5) / length * cells
    first = np.minimum(place.astype(int), cells - 1)
    t = (place - first)[:, None]
    weights = np.hstack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    matrix = np.zeros((length, cells + 3), np.float32)
    for k in range(4):
        matrix[np.arange(length), first + k] = weights[:, k]
    return matrix


def clouds(rng: Generator, size: tuple[int, int], cells: tuple[int, int]) -> Float32[ndarray, "H W"]:
    """Smooth noise of about -1..1 with `cells` cells (down, across) over the picture."""
    knots = rng.random((cells[0] + 3, cells[1] + 3), dtype=np.float32) * 4 - 2
    return _spline(size[0], cells[0]) @ knots @ _spline(size[1], cells[1]).T


def mix(a: ndarray, b: ndarray, share: Float32[ndarray, "H W"]) -> Float32[ndarray, "3 H W"]:
    """(1 - share) · a + share · b for two colours or two pictures."""
    a, b = (c[:, None, None] if c.ndim == 1 else c for c in (a, b))
    mixed = (b - a) * share
    mixed += a  # in place: fresh memory costs more here than arithmetic
    return mixed
