"""The figures' colours can be told apart: by contrast with the paper, and by those who lack one kind of cone.

Contrast: WCAG 2.2, "relative luminance" and "contrast ratio". Missing cones: Machado, Oliveira and Fernandes, "A Physiologically-based
Model for Simulation of Color Vision Deficiency" (IEEE TVCG 2009), table 1, severity 1.0, on linear RGB. Distance: CIE 1976, in L*a*b*
under D65; 2.3 is about the least that is noticed side by side.
"""

from itertools import combinations

import numpy as np
import pytest

from edu_seg.datasets import Shapes
from edu_seg.figures.base import HATCHES, INK, SERIES
from edu_seg.figures.labels import patterned

VISION = {
    "all cones": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
WHITE = TO_XYZ.sum(1)
LEAST = 10.0


def rgb(colour: str) -> np.ndarray:
    """ "#rrggbb" -> three numbers in 0..1."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def linear(colour: np.ndarray) -> np.ndarray:
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def contrast(first: np.ndarray, second: np.ndarray) -> float:
    light, dark = sorted((float(TO_XYZ[1] @ linear(colour)) for colour in (first, second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(colour: np.ndarray, vision: str = "all cones") -> np.ndarray:
    """L*a*b* of what somebody with this vision sees."""
    xyz = TO_XYZ @ (VISION[vision] @ linear(colour)).clip(0, 1) / WHITE
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colours: list[np.ndarray], vision: str) -> float:
    """The smallest distance between two of the colours."""
    return min(float(np.linalg.norm(lab(a, vision) - lab(b, vision))) for a, b in combinations(colours, 2))


SHAPES = [colour / 255 for colour in Shapes.palette]
PALETTES = {"series": [rgb(colour) for colour, _ in SERIES], "shapes": SHAPES, "pairs": [rgb("#0072b2"), rgb("#d55e00")]}


def test_contrast_by_hand() -> None:
    assert contrast(rgb("#000000"), rgb("#ffffff")) == pytest.approx(21, abs=1e-3)
    assert contrast(rgb("#777777"), rgb("#ffffff")) == pytest.approx(4.48, abs=0.01)


def test_lab_by_hand() -> None:
    np.testing.assert_allclose(lab(rgb("#ffffff")), [100, 0, 0], atol=0.01)
    np.testing.assert_allclose(lab(rgb("#ff0000")), [53.24, 80.09, 67.20], atol=0.02)


def test_white_stays_white_for_all() -> None:
    for matrix in VISION.values():
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-4)


def test_red_and_green_are_told_apart_by_the_matrix() -> None:
    """A pair that two of three cannot tell by hue: the test would see a bad palette."""
    pair = [rgb("#8f6a00"), rgb("#5a7d00")]
    assert nearest(pair, "all cones") > 20
    assert nearest(pair, "deuteranopia") < LEAST


def test_text_has_the_contrast_of_wcag_aaa() -> None:
    assert contrast(rgb(INK), rgb("#ffffff")) >= 7
    assert contrast(rgb("#a04000"), rgb("#ffffff")) >= 4.5


@pytest.mark.parametrize("colour", ["#0072b2", "#d55e00", "#009e73", INK])
def test_lines_and_marks_are_seen_on_white(colour: str) -> None:
    assert contrast(rgb(colour), rgb("#ffffff")) >= 3


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("palette", PALETTES)
def test_colours_of_a_palette_are_told_apart(palette: str, vision: str) -> None:
    assert nearest(PALETTES[palette], vision) >= LEAST


def test_colour_is_never_the_only_cue() -> None:
    """Two of the series are lighter than 3 : 1 on white; hatch, marker, dash and a written value stand beside each colour."""
    assert len({hatch for _, hatch in SERIES}) == len(SERIES)
    assert len(set(HATCHES)) == len(HATCHES) >= len(Shapes.classes)
    assert callable(patterned)
