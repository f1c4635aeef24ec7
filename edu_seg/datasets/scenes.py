"""What a scene of `Shapes` shows: its colours, its ground, and where things lie. NumPy only."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from numpy.random import Generator

from edu_seg.datasets.files import Number
from edu_seg.datasets.painting import SOLIDS, Canvas, Item, clouds, disc, mix, rough, wire

Range = tuple[Number, Number]

CLASSES = ("background", *SOLIDS, "wire")
CONTEXT_CLASSES = ("background", "parasol", "buoy")


def _colours(text: str) -> Float32[ndarray, "n 3"]:
    return np.array([[int(code[k : k + 2], 16) for k in (0, 2, 4)] for code in text.split()], np.float32) / np.float32(255)


# Two colours of the ground, then those of things; a scene takes one theme.
THEMES = tuple(
    _colours(text)
    for text in (
        "f2ead8 dcc9a6 c8553d 588b8b e98a2b 2d3047 7d9db5",
        "bfe3e0 7fb9c4 e4572e f3a712 29335c fff3d6 a23b72",
        "1f2a44 3d4e73 f2c14e f78154 b4dc7f 8fd3fe e8e9f3",
        "cfdcc0 94b08a 7a3b2e d98e04 2f4b3c f4e3b2 8c5e99",
        "f7c9a9 e08e79 3d348b 7678ed f7f0d4 2a6f77 8b1e3f",
        "4a5a6a 6d7f8f ffd166 ef767a c5e7e2 f5f1e3 7ddf9a",
        "dcd3ec b3a6d3 3c2a5e e07a5f 2a9d8f f2cc8f b23a6b",
        "d9f0e3 a9d3bd 264653 e76f51 e9c46a 6a4c93 c1446a",
    )
)
MIST, SAND, WATER = _colours("e3e2dc c3c8c8"), _colours("f3dfae d8b676"), _colours("6cc0cc 2a7a9d")
STRIPES, WHITE = _colours("d1495b edae49 30638e 3f8f6b 7d4f93"), _colours("faf6ec")[0]
DETAIL = 7.0
"""Length of one wave of a rough contour in pixels: less than a stride of 8."""
EXTENT = 1.17
"""How far the outermost corner of a solid of radius 1 lies from its centre."""


@dataclass(frozen=True)
class Options:
    """The checked options of `Shapes`, which explains them. Ranges are (least, most)."""

    size: tuple[int, int]
    objects: tuple[int, int]
    scales: Range
    roughness: Number
    wires: tuple[int, int]
    wire_width: Range
    texture: Number
    overlap: Number
    void_rim: bool
    context: bool
    context_radius: int
    swap_context: bool

    def extent(self, radius: Number) -> Number:
        """The reach of an object's outermost pixel from its centre."""
        return radius * EXTENT * (1 + self.roughness)

    @property
    def shore(self) -> int:
        """Least width of the band along the picture's edge that shows the ground in context mode."""
        return max(4, min(self.size) // 8)

    def margin(self, radius: Number) -> Number:
        """Least distance of an object's centre from the picture's edge."""
        return self.shore + self.context_radius + self.extent(radius) if self.context else 0.6 * radius


def draw_scene(rng: Generator, options: Options) -> tuple[Float32[ndarray, "3 H W"], UInt8[ndarray, "H W"]]:
    """Image in 0..1 and labels of one scene; all chance comes from `rng`."""
    size = options.size
    grain = (
        rng.random(size, dtype=np.float32) - np.float32(0.5) + clouds(rng, size, (size[0] // 5 + 1, size[1] // 5 + 1)) * np.float32(0.35)
    )
    grain *= np.float32(0.36 * options.texture)
    items, ground = (_context if options.context else _plain)(rng, options)
    ground *= 1 + grain
    canvas = Canvas(ground, grain, options.void_rim)
    for item in items:
        canvas.paint(item)
    return np.clip(canvas.image, 0, 1, out=canvas.image), canvas.labels


def _ground(rng: Generator, options: Options, colours: Float32[ndarray, "n 3"], cells: tuple[int, int]) -> Float32[ndarray, "3 H W"]:
    share = np.clip(np.float32(0.5) + np.float32(0.55) * clouds(rng, options.size, cells), 0, 1)
    return mix(colours[0], colours[1], share)


def _plain(rng: Generator, options: Options) -> tuple[list[Item], ndarray]:
    theme = THEMES[rng.integers(len(THEMES))]
    ground = _ground(rng, options, theme, (2, 2))
    items = [_solid(rng, options, theme[2:], *place) for place in _places(rng, options)]
    items += [_wire(rng, options, theme[2:]) for _ in range(_whole(rng, options.wires))]
    rng.shuffle(items)  # the order of painting: who hides whom  # pyright: ignore
    return items, ground


def _context(rng: Generator, options: Options) -> tuple[list[Item], ndarray]:
    """All objects lie in mist; only beyond it the ground shows, and with it their class.

    Every random draw is made whatever the ground, so that swapping it changes nothing but the ground and the labels.
    """
    sand = (rng.random() < 0.5) != options.swap_context
    ripples = _ground(rng, options, SAND if sand else WATER, (max(3, options.size[0] // 8), 2))
    mist = _ground(rng, options, MIST, (2, 2))
    wobble = np.abs(clouds(rng, options.size, (6, 6))) * np.float32(options.shore / 2)
    places = list(_places(rng, options))
    beyond = np.minimum.reduce([_beyond_mist(options, *place) for place in places])
    share = np.clip((beyond - np.minimum(wobble, options.shore / 3)) * np.float32(1.5 / options.shore), 0, 1)
    label = 1 if sand else 2
    return [_marker(rng, options, label, *place) for place in places], mix(mist, ripples, share)


def _beyond_mist(options: Options, x: Number, y: Number, radius: Number) -> Float32[ndarray, "H W"]:
    """Each pixel's distance from the square that one object and `context_radius` around it fill; 0 within."""
    half = np.float32(options.extent(radius) + options.context_radius)
    across = np.maximum(np.abs(np.arange(options.size[1], dtype=np.float32) - np.float32(x)) - half, 0)
    down = np.maximum(np.abs(np.arange(options.size[0], dtype=np.float32) - np.float32(y)) - half, 0)[:, None]
    return np.sqrt(across * across + down * down)


def _whole(rng: Generator, limits: tuple[int, int]) -> int:
    return int(rng.integers(limits[0], limits[1] + 1))


def _between(rng: Generator, limits: Range) -> Number:
    return limits[0] + (limits[1] - limits[0]) * rng.random()


def _places(rng: Generator, options: Options, tries: int = 12) -> list[tuple[float, float, float]]:
    """(x, y, radius) of the objects: radii even on a logarithmic scale; an object that finds no room is left out."""
    low, high = options.scales
    placed: list[tuple[float, float, float]] = []
    for _ in range(_whole(rng, options.objects)):
        radius = min(options.size) * low * (high / low) ** rng.random()
        margin = options.margin(radius)
        for _ in range(tries):
            x, y = (margin + (length - 1 - 2 * margin) * rng.random() for length in options.size[::-1])
            if all(math.hypot(x - a, y - b) >= _apart(options, radius, r) for a, b, r in placed):
                placed.append((x, y, radius))
                break
    return placed


def _apart(options: Options, radius: Number, other: Number) -> Number:
    """Least distance between the centres of two objects; without overlap their rims stay apart too."""
    return (1 - options.overlap) * (options.extent(radius) + options.extent(other) + 3)


def _tint(rng: Generator, colours: Float32[ndarray, "n 3"]) -> Float32[ndarray, "3"]:
    return colours[rng.integers(len(colours))] + (rng.random(3, dtype=np.float32) - np.float32(0.5)) * np.float32(0.1)


def _contour(rng: Generator, options: Options, distance, radius: Number):
    if options.roughness == 0:
        return distance
    waves = max(5, round(2 * math.pi * radius / DETAIL))
    return rough(distance, options.roughness, waves)


def _solid(rng: Generator, options: Options, colours: ndarray, x: Number, y: Number, radius: Number) -> Item:
    label = int(rng.integers(1, len(SOLIDS) + 1))
    distance = _contour(rng, options, SOLIDS[CLASSES[label]], radius)
    reach = options.extent(radius)
    return Item(label, distance, x, y, radius, 2 * math.pi * rng.random(), (reach, reach), _tint(rng, colours))


def _marker(rng: Generator, options: Options, label: int, x: Number, y: Number, radius: Number) -> Item:
    """A round striped thing seen from above: a parasol or a buoy, who can say?"""
    reach = options.extent(radius)
    turn, colour = 2 * math.pi * rng.random(), _tint(rng, STRIPES)
    return Item(label, _contour(rng, options, disc, radius), x, y, radius, turn, (reach, reach), colour, WHITE)


def _wire(rng: Generator, options: Options, colours: ndarray) -> Item:
    height, width = options.size
    length = max(options.size) * (0.25 + 0.35 * rng.random())
    sag, turn = length * 0.5 * (rng.random() - 0.5), math.pi * rng.random()
    thickness = _between(rng, options.wire_width)
    c, s = abs(math.cos(turn)), abs(math.sin(turn))
    reach = length * c + abs(sag) * s + thickness, length * s + abs(sag) * c + thickness
    x, y = width * (0.15 + 0.7 * rng.random()), height * (0.15 + 0.7 * rng.random())
    return Item(len(CLASSES) - 1, wire(length, sag), x, y, thickness / 2, turn, reach, _tint(rng, colours))
