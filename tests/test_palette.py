"""The colours of figures and widgets can be told apart: by contrast with the paper, and by those who lack one kind of cone.

Contrast: WCAG 2.2, "relative luminance" and "contrast ratio". Missing cones: Machado, Oliveira and Fernandes, "A Physiologically-based
Model for Simulation of Color Vision Deficiency" (IEEE TVCG 2009), table 1, severity 1.0, on linear RGB. Distance: CIE 1976, in L*a*b*
under D65; 2.3 is about the least that is noticed side by side.
"""

import re
from itertools import combinations

import numpy as np
import pytest
from course_env import ROOT

from edu_seg.datasets import Shapes
from edu_seg.figures.base import HATCHES, INK, SERIES
from edu_seg.widgets import aspp_lab, conv_lab

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
    """ "#rrggbb" or "#rgb" -> three numbers in 0..1."""
    colour = colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
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
PAPER = rgb("#ffffff")
PALETTES = {"series, and the marks upon them": [*(rgb(colour) for colour, _ in SERIES), rgb("#d55e00")], "shapes": SHAPES}


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
    """One of the series is lighter than 3 : 1 on white; hatch, marker, dash and a written value stand beside each colour."""
    assert [colour for colour, _ in SERIES if contrast(rgb(colour), PAPER) < 3] == ["#e69f00"]
    assert len({hatch for _, hatch in SERIES}) == len(SERIES)
    assert len(set(HATCHES)) == len(HATCHES) >= len(Shapes.classes)


# --- the widgets' canvases ------------------------------------------------------------------------------------------------------

WIDGETS = ROOT / "edu_seg" / "widgets"
SCRIPTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(WIDGETS.glob("*.js"))}
COLOUR = re.compile(r"""["'](#(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{3}))["']""")

# What the colours in the scripts are for: a new one is entered here, and meets what its kind demands.
KINDS = {
    "text": "#000 #000000 #222 #222222 #2b2b2b #3d5465 #444 #44525c #555 #666 #7a3200 #8a3c00 #8a4a00 #00558a #a01f5e #a34700",
    "marks": "#0072b2 #d55e00 #cc2a78 #a33b00 #8a5a00 #6b7680 #767676",  # lines, frames, crosses and bars
    "grounds": "#fff #ffffff #fafcfe #f0f6fb #e5f0f8 #d5e7f3 #c3dcee #ececec #f3f1ec #e2e0db #ddd9d0 #a9cfe6 #f6d58e #a6dcc9",
    "rules": "#999 #9a9a9a #9a8f7a #8fb0c6 #aaa395 #bbb #c9c3b5 #d5d5d5 #d9d4c8",  # between cells, in padding: nothing is read there
}
BESIDE = {
    "#e69f00": "cost: every second part; its name stands below it, its value in the sentence",
    "#f0b54a": "grid: what the neighbour reads; a square stands in it",
    "#f0e442": "receptive fields: frame B; dashed, on black, with its letter",
    "#8d99a3": "grid: ties between the layers; they lead from unit to unit, and the lit ones are blue",
}
"""Lighter than 3 : 1 on white, with another cue beside each."""


def of(kind: str) -> list[str]:
    return KINDS[kind].split()


def test_every_colour_of_the_scripts_is_known_and_in_use() -> None:
    used = {colour for text in SCRIPTS.values() for colour in COLOUR.findall(text)}
    assert used == {*BESIDE, *(colour for kind in KINDS for colour in of(kind))}


@pytest.mark.parametrize("colour", of("text"))
def test_text_on_a_canvas_is_read(colour: str) -> None:
    assert contrast(rgb(colour), PAPER) >= 4.5


@pytest.mark.parametrize("colour", of("marks"))
def test_marks_on_a_canvas_are_seen(colour: str) -> None:
    assert contrast(rgb(colour), PAPER) >= 3


@pytest.mark.parametrize("colour", BESIDE)
def test_only_what_is_too_light_needs_an_excuse(colour: str) -> None:
    assert contrast(rgb(colour), PAPER) < 3


@pytest.mark.parametrize("colour", of("grounds"))
def test_ink_is_read_on_every_ground(colour: str) -> None:
    assert contrast(rgb(INK), rgb(colour)) >= 7


@pytest.mark.parametrize(("text", "ground"), [("#3d5465", "#c3dcee"), ("#666", "#ececec"), ("#7a3200", "#f3f1ec"), ("#8a5a00", "#ececec")])
def test_coloured_text_is_read_on_its_ground(text: str, ground: str) -> None:
    assert contrast(rgb(text), rgb(ground)) >= 4.5


def test_numbers_are_read_on_every_tap() -> None:
    """ConvLab writes a tap's number on its colour: dark where it is lit, grey where it is faded to 0.42."""
    taps = [rgb(colour) for colour in conv_lab._colours()]
    assert min(contrast(rgb(INK), tap) for tap in taps) >= 4.5
    assert min(contrast(rgb("#555"), 1 + 0.42 * (tap - 1)) for tap in taps) >= 4.5


# Colours that mean different things within one widget, and where they are written.
TOGETHER = {
    "aspp_lab.py": [colour for colour, _ in aspp_lab.LOOKS],
    "aspp_lab_bins.js": ["#0072b2", "#d55e00"],
    "board_lab.js": ["#a9cfe6", "#f6d58e"],
    "cost_lab.js": ["#0072b2", "#e69f00"],
    "decoder_lab_views.js": ["#d55e00", "#cc2a78"],
    "grid_lab_stack.js": ["#0072b2", "#d55e00", "#a33b00", "#cc2a78"],
    "grid_lab_views.js": ["#0072b2", "#f0b54a", "#2b2b2b"],
    "rf_image_view.js": ["#0072b2", "#d55e00", "#f0e442", "#cc2a78"],
    "stitch_lab_views.js": ["#d55e00", "#0072b2"],
}


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", TOGETHER)
def test_colours_of_a_widget_are_told_apart(name: str, vision: str) -> None:
    assert set(TOGETHER[name]) <= set(COLOUR.findall((WIDGETS / name).read_text(encoding="utf-8")))
    assert nearest([rgb(colour) for colour in TOGETHER[name]], vision) >= LEAST


@pytest.mark.parametrize("vision", VISION)
def test_rows_of_taps_are_told_apart(vision: str) -> None:
    assert nearest([np.array(hue) / 255 for hue in conv_lab.HUES], vision) >= LEAST


# --- the widgets' style sheet ---------------------------------------------------------------------------------------------------

SHEET = (WIDGETS / "style.css").read_text(encoding="utf-8")
DISABLED = re.compile(r":disabled|aria-disabled")  # which WCAG's contrast leaves out


def declared(body: str, name: str) -> str | None:
    """The colour that a rule's declarations give a property, if any."""
    found = re.search(rf"(?:^|;)\s*{name}:\s*(#[0-9a-fA-F]{{3,6}})\b", body)
    return found[1] if found else None


def faint_text(sheet: str) -> list[str]:
    """Selectors of rules whose text is too faint on their own background, or on white: below 4.5 : 1; a bold sign of 22 pixels, 3 : 1."""
    found = []
    for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", sheet):
        if (text := declared(body, "color")) and not DISABLED.search(selector):
            least = 3 if "700 22px" in body else 4.5
            found += [selector.strip()] if contrast(rgb(text), rgb(declared(body, "background") or "#ffffff")) < least else []
    return found


def test_text_of_the_style_sheet_is_read() -> None:
    assert SHEET.count("color: #") > 50
    assert faint_text(SHEET) == []


def test_faint_text_is_found() -> None:
    assert faint_text(".a { color: #999; } .b { border-color: #999; } .c:disabled { color: #999; }") == [".a"]
    assert faint_text(".a { color: #fff; background: #0072b2; } .b { background: #d55e00; color: #fff; }") == [".b"]


def test_the_focus_is_seen() -> None:
    rings = set(re.findall(r"outline: 3px solid (#\w+)", SHEET))
    assert rings == {"#0072b2"}
    assert contrast(rgb("#0072b2"), PAPER) >= 3
