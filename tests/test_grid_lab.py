"""GridLab without a browser: its settings against PyTorch, its arithmetic in JavaScript against Python's, its traits and its page."""

import base64
import io
import json
import math
import random
import re
from pathlib import Path

import pytest
import torch
import traitlets
from in_node import as_modules, needs_node, node
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close
from unchecked import shapes_unchecked

from edu_seg.gridding import frequency_response, path_counts
from edu_seg.widgets import GridLab, GridSettings
from edu_seg.widgets.base import FOLDER
from edu_seg.widgets.grid_lab import DILATIONS, KERNELS, MOST_LAYERS, MOST_UNITS, PRESETS, SCRIPTS, ImpossibleStack

LIMITS = {"layers": MOST_LAYERS, "dilations": DILATIONS, "kernels": KERNELS, "window": MOST_UNITS}


def possible(dilations: list[int], kernel_size: int) -> GridSettings | None:
    try:
        return GridSettings(dilations, kernel_size)
    except ImpossibleStack:
        return None


def asked() -> list[tuple[list[int], int]]:
    """Presets and stacks of all sorts, possible or not, the same each time."""
    draw = random.Random(0)
    drawn = [
        ([draw.randint(0, draw.choice((3, 9, 70))) for _ in range(draw.randint(0, 10))], draw.choice((1, 3, 3, 5, 7))) for _ in range(1500)
    ]
    return [(list(dilations), k) for dilations, k in PRESETS.values()] + drawn


@pytest.fixture(scope="module")
def stacks() -> list[GridSettings]:
    found = [settings for stack in asked() if (settings := possible(*stack))]
    assert len(found) > 150
    return found


def measured(settings: GridSettings) -> Tensor:
    """Paths from every input to the middle output of the stack that `code` makes, by gradient with weights 1."""
    net = eval(settings.code, {"nn": nn}).double()
    for layer in net:
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.zeros(1, 1, settings.window, settings.window, dtype=torch.float64, requires_grad=True)
    y = net(x)
    assert y.shape == x.shape
    (gradient,) = torch.autograd.grad(y[0, 0, settings.window // 2, settings.window // 2], x)
    return gradient[0, 0]


@pytest.mark.parametrize("stack", [((2, 2, 2), 3), ((1, 2, 5), 3), ((4,), 5), ((1, 3, 2), 5), ((2, 2, 4, 4, 2, 1), 3)])
def test_the_code_makes_what_is_shown(stack: tuple) -> None:
    """Path counts, coverage and what two neighbours share, against PyTorch's own gradients."""
    settings = GridSettings(*stack)
    paths = measured(settings)
    assert_close(paths, torch.outer(settings.counts, settings.counts).double(), rtol=0, atol=0)
    assert settings.coverage.read == int((paths > 0).sum())
    assert settings.num_paths == int(paths.sum())
    assert settings.is_gap_free == bool((paths > 0).all())
    read = nn.functional.pad(paths > 0, (1, 1, 1, 1))
    shared = [int((read & read.roll(shift, (0, 1))).sum()) for shift in ((0, 1), (1, 1))]
    assert settings.shared == tuple(shared)


def test_three_layers_of_dilation_two() -> None:
    """The figures of the course, by hand."""
    settings = GridSettings()
    assert settings.counts.tolist() == [1, 0, 3, 0, 6, 0, 7, 0, 6, 0, 3, 0, 1]
    assert (str(settings.coverage), settings.window, settings.num_paths) == ("49 of 169", 13, 729)
    assert (settings.num_weights, settings.dense_weights, settings.shared) == (27, 169, (0, 0))
    assert (settings.largest_gap, settings.passes_rule, settings.is_gap_free) == (2, True, False)
    assert settings.code.splitlines()[:2] == ["nn.Sequential(", "    nn.Conv2d(1, 1, 3, padding=2, dilation=2),"]


@pytest.mark.parametrize(
    ("name", "coverage", "gap", "is_free"),
    [
        ("ResNet stage at rate 2", "49 of 169", 2, False),
        ("ResNet stage at rate 4", "49 of 625", 4, False),
        ("Doubling rates", "225 of 225", 2, True),
        ("Yu and Koltun, context module", "4489 of 4489", 1, True),
        ("HDC, good", "289 of 289", 2, True),
        ("HDC, bad", "441 of 625", 5, False),
        ("DRN-D-22, from level 5", "961 of 961", 2, True),
        ("DeepLab v3, multi-grid (1, 2, 4) at rate 2", "225 of 841", 4, False),
        ("DeepLab v3, one branch of ASPP", "9 of 625", None, False),
    ],
)
def test_presets(name: str, coverage: str, gap: int | None, is_free: bool) -> None:
    settings = GridSettings(*PRESETS[name])
    assert (str(settings.coverage), settings.largest_gap, settings.is_gap_free) == (coverage, gap, is_free)
    assert settings.passes_rule is (None if gap is None else gap <= 3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dilations": ()}, "there are 0 dilations: give one for each layer, 1 to 8"),
        ({"dilations": (1,) * 9}, "there are 9 dilations"),
        ({"dilations": (2, 0)}, "a dilation is 0: give integers from 1 to 64"),
        ({"dilations": (65,)}, "a dilation is 65"),
        ({"dilations": (2.0,)}, r"a dilation is 2\.0: give integers"),
        ({"dilations": (True,)}, "a dilation is True: give integers"),
        ({"dilations": "222"}, r"dilations is '222': give integers, \(2, 2, 2\) say"),
        ({"dilations": 2}, "dilations is 2: give integers"),
        ({"kernel_size": 4}, r"kernel_size is 4: give one of \(3, 5\)"),
        ({"dilations": (64, 1)}, "have a window of 131 inputs along an axis: at most 129"),
        ({"dilations": (33,), "kernel_size": 5}, "have a window of 133 inputs"),
    ],
)
def test_what_is_impossible_is_said(values: dict, said: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        GridSettings(**values)
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        GridLab(**values)
    lab = GridLab()
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        lab.set(**values)
    assert lab.settings == GridSettings()


def test_traits_are_checked_as_they_are_set() -> None:
    lab = GridLab((1, 2, 5))
    lab.dilations = [1, 2, 9]  # as it comes from a browser
    assert (lab.settings, lab.dilations) == (GridSettings((1, 2, 9)), (1, 2, 9))
    lab.kernel_size = 5
    assert lab.code == GridSettings((1, 2, 9), 5).code
    with shapes_unchecked(), pytest.raises(ValueError, match="a dilation is 70"):
        lab.dilations = (70,)
    with shapes_unchecked(), pytest.raises(ValueError, match="window of 161"):
        lab.dilations = (40,)
    lab.set((40,), 3)
    assert lab.settings == GridSettings((40,), 3)
    with pytest.raises(traitlets.TraitError, match="window of 161"), lab.hold_trait_notifications():
        lab.kernel_size = 5
    assert lab.settings == GridSettings((40,), 3)


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """The scripts as modules that import each other."""
    return as_modules(SCRIPTS, tmp_path)


def states(stacks: list[GridSettings]) -> list[dict]:
    return [{"dilations": list(settings.dilations), "kernel_size": settings.kernel_size} for settings in stacks]


@needs_node
def test_the_browser_allows_what_python_allows(modules: Path) -> None:
    script = """
import { problemOf } from "./grid_lab_maths.mjs";
console.log(JSON.stringify(data.all.map(([dilations, kernel_size]) => problemOf({ dilations, kernel_size }, data.limits))));
"""
    found = node(script, {"all": asked(), "limits": LIMITS}, modules)
    assert [problem is None for problem in found] == [possible(*stack) is not None for stack in asked()]
    assert {str(problem).split()[0] for problem in found} == {"None", "Give", "Kernel", "Dilation", "A", "9", "10"}


@needs_node
def test_the_browser_computes_what_python_computes(stacks: list[GridSettings], modules: Path) -> None:
    """Every count, and all numbers of the table."""
    script = """
import { factsOf, pytorchStack } from "./grid_lab_maths.mjs";
console.log(JSON.stringify(data.map((state) => ({ ...factsOf(state), code: pytorchStack(state) }))));
"""
    for settings, found in zip(stacks, node(script, states(stacks), modules), strict=True):
        coverage = settings.coverage
        assert found == {
            "counts": settings.counts.tolist(),
            "window": settings.window,
            "read": coverage.read,
            "total": coverage.window,
            "gapFree": settings.is_gap_free,
            "paths": settings.num_paths,
            "weights": settings.num_weights,
            "dense": settings.dense_weights,
            "gap": settings.largest_gap,
            "passes": settings.passes_rule,
            "right": settings.shared[0],
            "diagonal": settings.shared[1],
            "common": math.gcd(*settings.dilations),
            "code": settings.code,
        }, settings


@needs_node
def test_the_browser_draws_the_same_curve(stacks: list[GridSettings], modules: Path) -> None:
    """Gains at 65 frequencies; at each marked place a layer's gain is 1, and the stack's just where it is marked so."""
    script = """
import { gainAt, periodicPlaces } from "./grid_lab_maths.mjs";
console.log(JSON.stringify(data.states.map((state) => {
  const places = periodicPlaces(state.dilations);
  return { gains: data.omega.map((at) => gainAt(state, at)), places: places.map(({ omega, passed }) => [omega, passed]) };
})));
"""
    omega = torch.linspace(0, math.pi, 65, dtype=torch.float64)
    for settings, found in zip(stacks, node(script, {"states": states(stacks), "omega": omega.tolist()}, modules), strict=True):
        gains = frequency_response(settings.dilations, omega, settings.kernel_size)
        assert_close(torch.tensor(found["gains"], dtype=torch.float64), gains, rtol=0, atol=1e-12)
        wanted = {round(2 * m / d, 9) for d in settings.dilations for m in range(1, d // 2 + 1)}
        assert [round(at / math.pi, 9) for at, _ in found["places"]] == sorted(wanted)
        at = torch.tensor([place for place, _ in found["places"]], dtype=torch.float64)
        unchanged = frequency_response(settings.dilations, at, settings.kernel_size) > 1 - 1e-9
        assert unchanged.tolist() == [passed for _, passed in found["places"]], settings


@needs_node
def test_paths_through_a_unit(stacks: list[GridSettings], modules: Path) -> None:
    """For every unit of 40 stacks: none is lit where it is not read; else what is lit below is what it reads, and above who reads it."""
    script = """
import { reachedUnits, throughUnit, windowOf } from "./grid_lab_maths.mjs";
const lit = (...unit) => throughUnit(...unit)?.map((set) => [...set]) ?? null;
console.log(JSON.stringify(data.map((state) => {
  const [reached, half] = [reachedUnits(state), (windowOf(state) - 1) / 2];
  const all = Array.from({ length: 2 * half + 1 }, (_, n) => n - half);
  return reached.map((units, level) => all.map((at) => [units.get(at) ?? 0, lit(state, reached, level, at)]));
})));
"""
    small = [settings for settings in stacks if settings.window <= 27][:40]
    assert len(small) == 40
    for settings, levels in zip(small, node(script, states(small), modules), strict=True):
        half, last = settings.window // 2, len(settings.dilations)
        for level, units in enumerate(levels):
            above = path_counts(settings.dilations[level:], settings.kernel_size).tolist() if level < last else [1]
            edge = half - len(above) // 2
            assert [count for count, _ in units] == [0] * edge + above + [0] * edge
            for at, (count, lit) in enumerate(units):
                assert (lit is None) == (count == 0)
                if lit is not None:
                    check_unit(settings, level, at - half, lit)


def reads(settings: GridSettings, low: int, high: int, unit: int) -> set[int]:
    """The units of level `low` that a unit of level `high` reads."""
    reach, half = {unit}, settings.kernel_size // 2
    for dilation in settings.dilations[low:high]:
        reach = {at + dilation * tap for at in reach for tap in range(-half, half + 1)}
    return reach


def check_unit(settings: GridSettings, level: int, offset: int, lit: list[list[int]]) -> None:
    """lit: the units on its paths, by level: what it reads below, and above who reads it and is read by the output."""
    last = len(settings.dilations)
    for below in range(level + 1):
        assert set(lit[below]) == reads(settings, below, level, offset)
    for above in range(level, last + 1):
        assert set(lit[above]) == {unit for unit in reads(settings, above, last, 0) if offset in reads(settings, level, above, unit)}


WORDS = {
    "gridding": (
        "stackWords",
        ((2, 2, 2), 3),
        [],
        "Dilations 2, 2, 2: of 13 × 13 inputs, 49 of them (29 %) are read. The rule M₂ ≤ k says no holes, which is wrong here. "
        "An output shares no input with its right neighbour.",
    ),
    "whole": (
        "stackWords",
        ((1, 2, 4), 3),
        [],
        "Dilations 1, 2, 4: of 15 × 15 inputs, every one is read. The rule M₂ ≤ k says no holes. "
        "An output shares 93 % of its inputs with its right neighbour.",
    ),
    "one layer": (
        "stackWords",
        ((12,), 3),
        [],
        "Dilation 12: of 25 × 25 inputs, 9 of them (1.4 %) are read. An output shares no input with its right neighbour.",
    ),
    "cell": ("cellWords", ((2, 2, 2), 3), [[2, -4], False], "Input (+2, −4) from the middle, rows then columns: 6 × 3 = 18 paths of 729."),
    "hole": ("cellWords", ((2, 2, 2), 3), [[1, 0], False], "Input (+1, 0) from the middle, rows then columns: no path, a hole."),
    "other": (
        "cellWords",
        ((2, 2, 2), 3),
        [[0, 7], True],
        "Input (0, +7) from the middle, rows then columns: outside this output's window. It is read by its right neighbour only.",
    ),
    "both": (
        "cellWords",
        ((1, 1), 3),
        [[0, 1], True],
        "Input (0, +1) from the middle, rows then columns: 3 × 2 = 6 paths of 81. It is read by both outputs.",
    ),
    "unit": (
        "unitWords",
        ((2, 2, 2), 3),
        [1, 2, False],
        "Unit +2 of layer 1: 6 paths of the 27 along an axis pass here. It reads 0, +2, +4 below.",
    ),
    "input": ("unitWords", ((2, 2, 2), 3), [0, 6, False], "Input +6: 1 path of the 27 along an axis passes here."),
    "no input": ("unitWords", ((2, 2, 2), 3), [0, 1, False], "Input +1: on no path to the output at 0, a hole."),
    "neighbour": ("unitWords", ((2, 2, 2), 3), [0, 1, True], "Input +1: on no path to the output at 0, but on one to its neighbour at +1."),
}


@needs_node
@pytest.mark.parametrize("case", WORDS)
def test_sentences(case: str, modules: Path) -> None:
    function, (dilations, kernel), more, words = WORDS[case]
    script = """
import { factsOf, reachedUnits } from "./grid_lab_maths.mjs";
import * as words from "./grid_lab_words.mjs";
const [facts, reached] = [factsOf(data.state), reachedUnits(data.state)];
const before = { stackWords: [data.state, facts], cellWords: [facts], unitWords: [data.state, reached] };
console.log(JSON.stringify(words[data.name](...before[data.name], ...data.more)));
"""
    state = {"dilations": dilations, "kernel_size": kernel}
    found = node(script, {"name": function, "state": state, "more": more}, modules)
    assert str(found).replace("\xa0", " ") == words


@needs_node
def test_words_of_waves(modules: Path) -> None:
    script = """
import { gainAt, periodicPlaces } from "./grid_lab_maths.mjs";
import { waveWords } from "./grid_lab_words.mjs";
const state = { dilations: [3, 2], kernel_size: 3 };
const at = (omega, place) => waveWords(omega, gainAt(state, omega), place);
console.log(JSON.stringify([at(0), at(Math.PI / 4), ...periodicPlaces(state.dilations).map((place) => at(place.omega, place))]));
"""
    assert node(script, None, modules) == [
        "ω = 0: a constant passes unchanged.",
        "ω = 0.25π: a wave of period 8 is scaled to 5 %, its sign turned.",
        "ω = 2π/3: a wave of period 3 is scaled to less than 1 %.",
        "ω = π: a wave of period 2 is scaled to 33 %, its sign turned.",
    ]


def test_the_repr_and_the_picture_follow_the_settings() -> None:
    first, second = GridLab(), GridLab((1, 2, 5))
    second.dilations = (2, 2, 2)
    bundles = [lab._repr_mimebundle_()[0] for lab in (first, second)]
    assert repr(first) == repr(second) == bundles[0]["text/plain"]
    assert repr(first).startswith(
        "GridLab: dilations 2, 2, 2 of 3 × 3 kernels: an output reads 49 of 169 inputs in its 13 × 13 window, 120 holes"
    )
    assert bundles[0]["text/html"] == bundles[1]["text/html"] != GridLab((1, 2, 5))._repr_mimebundle_()[0]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundles[0]
    picture = Image.open(io.BytesIO(base64.b64decode(bundles[0]["text/html"].split("base64,")[1].split('"')[0])))
    assert picture.format == "PNG"
    assert picture.size[0] > 1000


@pytest.mark.parametrize("stack", [((64,), 3), ((1,), 3), ((1, 2, 4, 8, 16, 1, 1, 31), 3), ((4,) * 8, 5)])
def test_every_picture_can_be_drawn(stack: tuple) -> None:
    assert "base64," in GridLab(*stack)._repr_mimebundle_()[0]["text/html"]


def test_the_front_end_asks_for_nothing() -> None:
    code = str(GridLab._esm) + str(GridLab._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1
    assert sorted(name for name in SCRIPTS if name.startswith("grid_lab")) == sorted(path.name for path in FOLDER.glob("grid_lab*.js"))
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", str(GridLab._esm), flags=re.M)
    assert len(names) == len(set(names)) > 30
    assert not {"window", "document", "name"} & set(names)


def test_the_page_is_whole(tmp_path: Path) -> None:
    lab = GridLab((1, 2, 5), 5)
    text = lab.export(tmp_path / "lab.html", title="1 & 2").read_text(encoding="utf-8")
    assert "<title>1 &amp; 2</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    state = json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]
    assert state == {"data": lab.data, "dilations": [1, 2, 5], "kernel_size": 5}
