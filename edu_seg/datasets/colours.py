"""Colours for classes that come without any: as far apart to the eye as a given number of them can be."""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from edu_seg.datasets.files import VOID_COLOUR

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_LEVELS = (0, 36, 73, 109, 146, 182, 219, 255)
"""Of each channel: 512 colours to choose from."""


def cielab(rgb: UInt8[ndarray, "K 3"]) -> Float[ndarray, "K 3"]:
    """CIE 1976 L*a*b* (white: D65) of sRGB colours; the distance of two is about what the eye sees between them."""
    c = rgb / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    t = linear @ _TO_XYZ.T / _TO_XYZ.sum(1)
    x, y, z = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


@lru_cache
def distinct_palette(num_colours: int) -> UInt8[ndarray, "num_colours 3"]:
    """`num_colours` colours, each as far as can be from those before it and from void's cream; always the same. Read-only.

    Raises ValueError for more than the 255 classes that an 8-bit label map can hold.
    """
    if not 1 <= num_colours <= 255:
        raise ValueError(f"num_colours = {num_colours}: give 1 to 255, the classes that an 8-bit label map can hold")
    colours = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), -1).reshape(-1, 3).astype(np.uint8)
    places = cielab(colours)
    nearest = np.linalg.norm(places - cielab(np.array([VOID_COLOUR], np.uint8)), axis=1)
    chosen = []
    for _ in range(num_colours):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(places - places[chosen[-1]], axis=1))
    palette = colours[chosen]
    palette.flags.writeable = False
    return palette
