"""ConvLab without a browser: its settings against PyTorch, its arithmetic in JavaScript against Python's, its traits and its page."""

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
import torch
import traitlets
from in_node import as_modules, needs_node, node
from PIL import Image
from torch import nn
from torch.testing import assert_close
from unchecked import shapes_unchecked

from edu_seg.widgets import ConvLab, ConvSettings
from edu_seg.widgets.base import FOLDER
from edu_seg.widgets.conv_lab import MOST_UNITS, NAMES, RANGES, SCRIPTS, ImpossibleSetting, Side

LIMITS = {"ranges": RANGES, "most": MOST_UNITS}


def every_value() -> Iterator[dict]:
    """All that the controls could ever be set to, possible or not."""
    for values in product(*(range(low, high + 1) for low, high in RANGES.values()), (False, True)):
        yield dict(zip(NAMES, values, strict=True))


def possible(values: dict) -> ConvSettings | None:
    try:
        return ConvSettings(**values)
    except ImpossibleSetting:
        return None


@pytest.fixture(scope="module")
def everything() -> dict[tuple, ConvSettings | None]:
    return {tuple(values.values()): possible(values) for values in every_value()}


def some(everything: dict[tuple, ConvSettings | None], number: int) -> list[ConvSettings]:
    """So many possible settings of all sorts, the same each time."""
    found = [settings for settings in everything.values() if settings is not None]
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    return [found[place] for place in order[:number].tolist()]


def layer(settings: ConvSettings) -> nn.Module:
    """The PyTorch line, with its taps' numbers as weights."""
    module = eval(settings.code, {"nn": nn}).double()
    k = settings.kernel_size
    with torch.no_grad():
        module.weight.copy_(torch.arange(1.0, k * k + 1).reshape(1, 1, k, k))
        module.bias.zero_()
    return module


def test_the_matrix_does_what_the_line_of_pytorch_does(everything: dict) -> None:
    """Sizes, values and with them every tie, of 300 settings."""
    for settings in some(everything, 300):
        x = torch.rand(1, 1, settings.size, settings.size, dtype=torch.float64)
        y = layer(settings)(x)
        assert y.shape[-1] == settings.output_size, settings
        assert_close(settings.matrix().double() @ x.flatten(), y.flatten().detach(), rtol=0, atol=1e-11)


def test_what_is_impossible_is_what_pytorch_refuses(everything: dict) -> None:
    """Or what makes too large a map; of 400 settings each way."""
    impossible = [values for values, settings in everything.items() if settings is None]
    order = torch.randperm(len(impossible), generator=torch.Generator().manual_seed(0))
    for values in (dict(zip(NAMES, impossible[place], strict=True)) for place in order[:400].tolist()):
        if values["output_padding"] and not values["transposed"]:
            continue  # Conv2d has no such argument
        options = {name: values[name] for name in ("stride", "padding", "dilation")}
        if values["transposed"]:
            options["output_padding"] = values["output_padding"]
        module = (nn.ConvTranspose2d if values["transposed"] else nn.Conv2d)(1, 1, values["kernel_size"], **options)
        try:
            made = module(torch.zeros(1, 1, values["size"], values["size"])).shape[-1]
        except RuntimeError:
            continue
        assert not 1 <= made <= MOST_UNITS, values


def test_the_adjoint_is_the_transpose(everything: dict) -> None:
    tried = 0
    for settings in some(everything, 200):
        if settings.output_padding >= settings.stride:
            continue  # then there is no convolution that goes back to the input's size
        there = settings.adjoint()
        assert torch.equal(there.matrix(), settings.matrix().T), settings
        assert there.adjoint() == settings
        tried += 1
    assert tried > 150


def test_four_by_sixteen_by_hand() -> None:
    settings = ConvSettings()
    assert settings.matrix().shape == (4, 16)
    assert settings.matrix()[1].tolist() == [0, 1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 0, 0, 0]
    assert settings.ties("output", 1) == [(1, 1), (2, 2), (3, 3), (5, 4), (6, 5), (7, 6), (9, 7), (10, 8), (11, 9)]
    assert settings.ties("input", 5) == [(0, 5), (1, 4), (2, 2), (3, 1)]
    assert settings.code == "nn.Conv2d(1, 1, 3)"
    assert settings.formula == "⌊(4 + 2 · 0 − 1 · (3 − 1) − 1) / 1⌋ + 1 = ⌊1 / 1⌋ + 1 = 2"


def test_the_line_and_the_formula_of_a_transposed_one() -> None:
    settings = ConvSettings(3, stride=2, padding=1, output_padding=1, size=3, transposed=True)
    assert (settings.output_size, settings.remainder) == (6, 1)
    assert settings.code == "nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)"
    assert settings.formula == "(3 − 1) · 2 − 2 · 1 + 1 · (3 − 1) + 1 + 1 = 6"
    assert settings.adjoint() == ConvSettings(3, stride=2, padding=1, size=6)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kernel_size": 6}, "kernel_size is 6: give an integer from 1 to 5"),
        ({"stride": 0}, "stride is 0: give an integer from 1 to 4"),
        ({"size": 2.0}, "size is 2.0: give an integer"),
        ({"dilation": True}, "dilation is True: give an integer"),
        ({"transposed": 1}, "transposed is 1: give True or False"),
        ({"size": 2}, "a window of 3 does not fit into 2 units"),
        ({"output_padding": 1}, "only a transposed convolution has one"),
        ({"output_padding": 1, "transposed": True}, r"smaller than the stride \(1\) or the dilation \(1\)"),
        ({"size": 8, "stride": 2, "transposed": True}, "makes a map of 17 × 17: at most 10 a side"),
        ({"size": 1, "padding": 2, "transposed": True}, "a padding of 2 cuts more off"),
    ],
)
def test_what_is_impossible_is_said(values: dict, said: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        ConvSettings(**values)
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        ConvLab(**values)
    lab = ConvLab()
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        lab.set(**values)
    assert lab.settings == ConvSettings()


def test_traits_are_checked_as_they_are_set() -> None:
    lab = ConvLab(size=6)
    lab.stride = 2
    assert (lab.settings, lab.code) == (ConvSettings(stride=2, size=6), "nn.Conv2d(1, 1, 3, stride=2)")
    with shapes_unchecked(), pytest.raises(ValueError, match="kernel_size is 9"):
        lab.kernel_size = 9
    with shapes_unchecked(), pytest.raises(ValueError, match="a window of 5 does not fit into 2 units"):
        lab.set(size=2, kernel_size=5)
    with pytest.raises(ValueError, match="there is no setting strides: give some of kernel_size, stride"):
        lab.set(strides=2)
    assert lab.settings == ConvSettings(stride=2, size=6)


def test_several_at_once() -> None:
    """Neither of the two could be set alone; what fails in between is taken back."""
    lab = ConvLab(size=3)
    with shapes_unchecked(), pytest.raises(ValueError, match="does not fit"):
        lab.kernel_size = 5
    lab.set(kernel_size=5, size=7)
    assert lab.settings == ConvSettings(5, size=7)
    with pytest.raises(traitlets.TraitError, match="does not fit"), lab.hold_trait_notifications():
        lab.size, lab.stride = 2, 2
    assert lab.settings == ConvSettings(5, size=7)


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """The scripts as modules that import each other."""
    return as_modules(SCRIPTS, tmp_path)


@needs_node
def test_the_browser_allows_what_python_allows(everything: dict, modules: Path) -> None:
    """Over every value of every control."""
    script = """
import { NAMES, possible } from "./conv_lab_maths.mjs";
console.log(JSON.stringify(data.all.map((values) => possible(Object.fromEntries(NAMES.map((name, n) => [name, values[n]])), data.limits))));
"""
    found = node(script, {"all": list(everything), "limits": LIMITS}, modules)
    assert found == [settings is not None for settings in everything.values()]
    assert 1000 < sum(found) < len(found)


@needs_node
def test_the_browser_computes_what_python_computes(everything: dict, modules: Path) -> None:
    """Sizes, remainder, every tie of the matrix, line, formula and adjoint of 400 settings."""
    script = """
import { adjoint, entries, pytorchLine, sizeFormula, sizesOf } from "./conv_lab_maths.mjs";
console.log(JSON.stringify(data.map((state) => {
  const { output, remainder } = sizesOf(state);
  return { output, remainder, entries: entries(state), line: pytorchLine(state), formula: sizeFormula(state), adjoint: adjoint(state) };
})));
"""
    asked = some(everything, 400)
    for settings, found in zip(asked, node(script, [asdict(settings) for settings in asked], modules), strict=True):
        matrix = settings.matrix()
        wanted = [[row, column, int(matrix[row, column])] for row, column in matrix.nonzero().tolist()]
        assert (found["output"], found["remainder"], found["entries"]) == (settings.output_size, settings.remainder, wanted), settings
        assert (found["line"], found["formula"]) == (settings.code, settings.formula)
        if settings.output_padding < settings.stride:
            assert found["adjoint"] == asdict(settings.adjoint())


@needs_node
def test_the_browser_ties_each_cell_as_python_does(everything: dict, modules: Path) -> None:
    """Both ways, cell by cell; and the taps on the padding are those that are missing."""
    script = """
import { sizesOf, tiesOf } from "./conv_lab_maths.mjs";
const all = (state, side) => Array.from({ length: sizesOf(state)[side] ** 2 }, (_, index) => tiesOf(state, side, index));
console.log(JSON.stringify(data.map((state) => ["input", "output"].map((side) => all(state, side)))));
"""
    asked = some(everything, 100)
    for settings, found in zip(asked, node(script, [asdict(settings) for settings in asked], modules), strict=True):
        matrix = settings.matrix()
        sides: tuple[Side, Side] = ("input", "output")
        for side, lines, cells in zip(sides, (matrix.T, matrix), found, strict=True):
            windows = (side == "output") != settings.transposed
            assert settings.ties(side, len(cells) - 1) == [tuple(tie) for tie in cells[-1]["ties"]]
            for line, cell in zip(lines, cells, strict=True):
                assert cell["ties"] == [[other, tap] for other, tap in enumerate(line.tolist()) if tap]
                assert not windows or len(cell["ties"]) + len(cell["outside"]) == settings.kernel_size**2


@needs_node
def test_unused_cells_are_those_without_a_tie(everything: dict, modules: Path) -> None:
    """Hatched or dotted exactly where the matrix has an empty column; hatched are the last rows and columns, as many as the remainder."""
    script = """
import { sizesOf, unreached } from "./conv_lab_maths.mjs";
console.log(JSON.stringify(data.map((state) => {
  const kind = unreached(state);
  const places = Array.from({ length: sizesOf(state).large }, (_, n) => n);
  return places.map((row) => places.map((column) => kind(row, column)));
})));
"""
    asked, kinds = some(everything, 300), set()
    for settings, found in zip(asked, node(script, [asdict(settings) for settings in asked], modules), strict=True):
        matrix = settings.matrix() if not settings.transposed else settings.matrix().T
        large = settings.small_and_large[1]
        assert [bool(kind) for row in found for kind in row] == (matrix == 0).all(0).tolist(), settings
        hatched = max(0, settings.remainder - settings.padding)
        assert sum(kind == "remainder" for row in found for kind in row) == large**2 - max(0, large - hatched) ** 2
        kinds |= {kind for row in found for kind in row}
    assert kinds == {"", "remainder", "gap"}


@needs_node
def test_the_cases_to_start_from(modules: Path) -> None:
    script = """
import { CASES, possible } from "./conv_lab_maths.mjs";
console.log(JSON.stringify(Object.entries(CASES).map(([name, state]) => [name, state, possible(state, data)])));
"""
    found = node(script, LIMITS, modules)
    assert len(found) == 8
    sizes = {name: (state["size"], ConvSettings(**state).output_size, fits) for name, state, fits in found}
    assert sizes["full padding"] == (5, 7, True)
    assert sizes["stride 2, a remainder"] == (6, 3, True)
    assert sizes["up by 2, even overlap"] == (4, 8, True)
    assert all(fits for _, _, fits in sizes.values())


WORDS = {
    "row": ({}, "output", 1, "Output (0, 1), row 1 of C, reads 9 input cells, in rows 0, 1, 2 and columns 1, 2, 3."),
    "column": (
        {},
        "input",
        5,
        "Input (1, 1), column 5 of C, is read by 4 output cells: (0, 0) by tap 5, (0, 1) by tap 4, (1, 0) by tap 2, (1, 1) by tap 1.",
    ),
    "padding": (
        {"padding": 1},
        "output",
        0,
        "Output (0, 0), row 0 of C, reads 4 input cells: (0, 0) by tap 5, (0, 1) by tap 6, (1, 0) by tap 8, (1, 1) by tap 9; "
        "5 taps fall on the padding.",
    ),
    "rest": ({"stride": 2}, "input", 15, "Input (3, 3), column 15 of C, is read by no output: it is what the floor leaves over."),
    "stepped over": (
        {"kernel_size": 1, "stride": 2},
        "input",
        1,
        "Input (0, 1), column 1 of C, is read by no output: the windows step over it.",
    ),
    "spread": (
        {"size": 2, "transposed": True},
        "input",
        3,
        "Input (1, 1), column 3 of Cᵀ, is spread over 9 output cells, in rows 1, 2, 3 and columns 1, 2, 3.",
    ),
    "output padding": (
        {"size": 2, "stride": 2, "output_padding": 1, "transposed": True},
        "output",
        35,
        "Output (5, 5), row 35 of Cᵀ, gets nothing: output padding, which no input reaches.",
    ),
}


@needs_node
@pytest.mark.parametrize("case", WORDS)
def test_sentences(case: str, modules: Path) -> None:
    values, side, index, words = WORDS[case]
    script = 'import { tieWords } from "./conv_lab_words.mjs";\nconsole.log(JSON.stringify(tieWords(data.state, data.side, data.index)));'
    assert node(script, {"state": asdict(ConvSettings(**values)), "side": side, "index": index}, modules) == words


def test_the_repr_and_the_picture_follow_the_settings() -> None:
    first, second = ConvLab(), ConvLab(size=5)
    second.size = 4
    bundles = [lab._repr_mimebundle_()[0] for lab in (first, second)]
    assert repr(first) == repr(second) == bundles[0]["text/plain"]
    assert repr(first).startswith("ConvLab: nn.Conv2d(1, 1, 3) takes 4 × 4 to 2 × 2: the 4 × 16 matrix C between the two maps")
    assert bundles[0]["text/html"] == bundles[1]["text/html"] != ConvLab(size=5)._repr_mimebundle_()[0]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundles[0]
    picture = Image.open(io.BytesIO(base64.b64decode(bundles[0]["text/html"].split("base64,")[1].split('"')[0])))
    assert picture.format == "PNG"
    assert picture.size[0] > 1000


@pytest.mark.parametrize("values", [{"size": 10, "padding": 4, "stride": 4}, {"size": 1}, {"size": 4, "stride": 2, "transposed": True}])
def test_every_picture_can_be_drawn(values: dict) -> None:
    settings = {"kernel_size": 2 if values["size"] > 4 else 1, **values}
    assert "base64," in ConvLab(**settings)._repr_mimebundle_()[0]["text/html"]


def test_taps_have_colours_of_their_own() -> None:
    """Light ones, on which dark numbers can be read: a contrast of 4.5 to 1 at least."""
    colours = ConvLab().data["colours"]
    assert len(set(colours)) == 25
    for colour in colours:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        brightness = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert (brightness + 0.05) / (0.016 + 0.05) > 4.5, colour


def test_the_front_end_asks_for_nothing() -> None:
    code = str(ConvLab._esm) + str(ConvLab._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1
    assert sorted(SCRIPTS) == sorted(["lab.js", *(path.name for path in FOLDER.glob("conv_lab*.js"))])
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", str(ConvLab._esm), flags=re.M)
    assert len(names) == len(set(names)) > 30
    assert not {"window", "document", "name"} & set(names)


def test_the_page_is_whole(tmp_path: Path) -> None:
    lab = ConvLab(stride=2, size=5)
    text = lab.export(tmp_path / "lab.html", title="C & Cᵀ").read_text(encoding="utf-8")
    assert "<title>C &amp; Cᵀ</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    state = json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]
    assert state == {"data": lab.data, **asdict(ConvSettings(stride=2, size=5))}
