"""ASPPLab without a browser: its settings against PyTorch, its arithmetic in JavaScript against Python's, its traits and its page."""

import base64
import io
import json
import random
import re
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import traitlets
from in_node import as_modules, needs_node, node
from PIL import Image
from torch.testing import assert_close
from unchecked import shapes_unchecked

from edu_seg.layers import ASPP, Rule, SpatialPyramidPooling, spp_window, valid_taps
from edu_seg.widgets import ASPPLab, ASPPSettings
from edu_seg.widgets.aspp_lab import PRESETS, RULES, SCRIPTS, STRIDES, ImpossibleValue, bin_means, bin_windows, mean_share, valid_here
from edu_seg.widgets.base import FOLDER

CASES = [(5, 1), (5, 2), (5, 3), (5, 5), (6, 3), (9, 4), (13, 6), (13, 13), (13, 20), (33, 12), (65, 18), (65, 33), (129, 64), (129, 160)]


@pytest.mark.parametrize(("size", "rate"), [(5, 1), (6, 3), (9, 4), (13, 6), (13, 9), (13, 13), (13, 20)])
def test_valid_weights_are_those_of_a_convolution(size: int, rate: int) -> None:
    """At every place, against a filter of ones over a map of ones; the mean too."""
    ones = torch.ones(1, 1, size, size, dtype=torch.float64)
    counts = F.conv2d(ones, torch.ones(1, 1, 3, 3, dtype=torch.float64), padding=rate, dilation=rate)[0, 0]
    here = [[valid_here(size, rate, (row, column)) for column in range(size)] for row in range(size)]
    assert here == counts.tolist()
    assert mean_share(size, rate) == Fraction(int(counts.sum()), 9 * size**2)


@pytest.mark.parametrize(("size", "rate"), CASES)
def test_the_mean_is_the_papers(size: int, rate: int) -> None:
    """((3N - 2r) / 3N)² below N, and the centre's ninth from there on."""
    assert mean_share(size, rate) == (Fraction(3 * size - 2 * rate, 3 * size) ** 2 if rate < size else Fraction(1, 9))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("size", [1, 2, 5, 6, 9, 10, 13, 15, 60])
@pytest.mark.parametrize("level", [1, 2, 3, 6])
def test_bins_are_those_of_pooling(size: int, level: int, rule: Rule) -> None:
    units = torch.arange(size, dtype=torch.float64).square()
    windows = bin_windows(size, level, rule)
    means = [units[first:end].mean().item() for first, end in windows]
    if rule == "adaptive":
        assert means == pytest.approx(F.adaptive_avg_pool1d(units[None], level)[0].tolist())
    elif level > size:
        assert windows == []
    else:
        window, stride, made = spp_window(size, level)
        assert len(windows) == made
        assert means == pytest.approx(F.avg_pool1d(units[None], window, stride)[0].tolist())


def test_spp_net_s_rule_fails_where_the_layer_says_so() -> None:
    """10 × 15 units and 6 bins: 9 × 7 windows; at 80 × 120 it holds, and there the layer runs."""
    settings = ASPPSettings()
    assert (settings.units, settings.spp_bins) == ((10, 15), (9, 7))
    with pytest.raises(ValueError, match="make 9 bins of 10 units, not 6"):
        SpatialPyramidPooling((6,), rule="window")(torch.zeros(1, 1, 10, 15))
    fine = ASPPSettings(stride=1)
    assert (fine.units, fine.spp_bins) == ((80, 120), (6, 6))
    assert SpatialPyramidPooling((6,), rule="window")(torch.zeros(1, 1, *fine.units)).shape == (1, 36)
    coarse = ASPPSettings(stride=16)
    assert (coarse.units, coarse.spp_bins) == ((5, 8), (0, 7))
    assert ASPPSettings(stride=16, rule="window").windows[0] == []


def test_means_of_bins_over_units() -> None:
    """Of whole blocks of pixels, and of what is left of them at the far edges."""
    image = torch.randint(0, 256, (3, 24, 40), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for stride, level in [(1, 6), (4, 3), (8, 2)]:
        units = F.avg_pool2d(image.double(), stride)
        assert_close(bin_means(image, stride, level), F.adaptive_avg_pool2d(units, level), rtol=0, atol=1e-10)
    assert_close(bin_means(image, 16, 1)[0, 0, 0], bin_means(image[:1, 16:, :].expand(3, -1, -1), 16, 1)[0, 0, 0] / 2
                 + bin_means(image[:1, :16, :].expand(3, -1, -1), 16, 1)[0, 0, 0] / 2, rtol=0, atol=1e-10)  # fmt: skip
    assert bin_means(image, 16, 6, "window").shape == (3, 0, 0)


def test_settings_by_hand() -> None:
    """The course's figures: 65 × 65 with ASPP's rates, in the middle and in a corner."""
    settings = ASPPSettings()
    assert (settings.rate, settings.place, settings.valid) == (12, (32, 32), (9, 9, 9))
    assert settings.means == (Fraction(183, 195) ** 2, Fraction(171, 195) ** 2, Fraction(159, 195) ** 2)
    assert ASPPSettings(centre=(0, 0)).valid == (4, 4, 4)
    assert ASPPSettings(centre=(0, 32)).valid == (6, 6, 6)
    assert ASPPSettings(centre=[10, 20]).valid == (9, 6, 6)
    assert ASPPSettings(33, (33, 40, 160)).valid == (1, 1, 1)
    assert (settings.level, ASPPSettings(bins=(4, 2)).level) == (6, 2)
    ASPP(1, settings.rates)  # takes the same rates


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"map_size": 4}, "map_size is 4: give an integer from 5 to 129"),
        ({"map_size": 65.0}, r"map_size is 65\.0: give an integer"),
        ({"rates": ()}, "rates has 0 values: give 1 to 4"),
        ({"rates": (1, 2, 3, 4, 5)}, "rates has 5 values"),
        ({"rates": (6, 0)}, "a value of rates is 0: give an integer from 1 to 160"),
        ({"rates": (True,)}, "a value of rates is True"),
        ({"rates": "612"}, "rates is '612': give integers"),
        ({"rates": 6}, "rates is 6: give integers"),
        ({"active": 3}, r"active is 3: give an integer from 0 to 2: a position in rates \(6, 12, 18\)"),
        ({"centre": (65, 0)}, r"centre is \(65, 0\): give a row and a column of 65 × 65, counted from 0, or None"),
        ({"centre": (1, 2, 3)}, r"centre is \(1, 2, 3\): give a row and a column"),
        ({"centre": (1.0, 2)}, r"centre is \(1\.0, 2\)"),
        ({"part": "both"}, "part is 'both': give one of taps, pyramid"),
        ({"level": 4}, "level is 4: give one of 1, 2, 3, 6"),
        ({"level": True}, "level is True: give one of"),
        ({"stride": 3}, "stride is 3: give one of 1, 2, 4, 8, 16"),
        ({"rule": "spp"}, "rule is 'spp': give one of adaptive, window"),
        ({"bin": (6, 0)}, r"bin is \(6, 0\): give a row and a column of 6 × 6"),
        ({"stride": 16, "rule": "window", "bin": (0, 0)}, r"bin is \(0, 0\): give a row and a column of 0 × 7"),
    ],
)
def test_what_is_impossible_is_said(values: dict, said: str) -> None:
    with shapes_unchecked(), pytest.raises(ImpossibleValue, match=said):
        ASPPSettings(**values)
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        ASPPLab(**values)
    lab = ASPPLab()
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        lab.set(**values)
    assert lab.settings == ASPPSettings()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bins": ()}, "bins has 0 values: give 1 to 6"),
        ({"bins": (1, 13)}, "a value of bins is 13: give an integer from 1 to 12"),
        ({"bins": (2, 2)}, r"bins is \(2, 2\): give each level once"),
        ({"image": torch.zeros(3, 32, 32)}, r"image is torch.float32 \(3, 32, 32\): give a uint8 tensor \(3, H, W\)"),
        ({"image": torch.zeros(1, 32, 32, dtype=torch.uint8)}, r"image is torch.uint8 \(1, 32, 32\)"),
        ({"image": "photo.png"}, "image is str: give a uint8 tensor"),
        ({"image": torch.zeros(3, 15, 32, dtype=torch.uint8)}, "image has 15 × 32 pixels: give 16 a side or more"),
        ({"image": torch.zeros(3, 200, 201, dtype=torch.uint8)}, "image has 200 × 201 pixels: .* at most 40000 in all"),
    ],
)
def test_impossible_images_and_bins_are_said(values: dict, said: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        ASPPLab(**values)


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ValueError, match="there is no setting rate, size: give some of map_size, rates"):
        ASPPLab().set(rate=3, size=4)


def test_traits_are_checked_as_they_are_set() -> None:
    lab = ASPPLab()
    lab.rates = [12, 24, 36]  # as it comes from a browser
    lab.centre = [64, 3]
    assert (lab.rates, lab.centre, lab.settings.valid) == ((12, 24, 36), (64, 3), (4, 4, 4))
    with shapes_unchecked(), pytest.raises(traitlets.TraitError, match="a value of rates is 161"):
        lab.rates = (161,)
    with shapes_unchecked(), pytest.raises(traitlets.TraitError, match=r"centre is \(0, 65\)"):
        lab.centre = (0, 65)
    with pytest.raises(traitlets.TraitError, match=r"centre is \(40, 0\)"), lab.hold_trait_notifications():
        lab.map_size, lab.centre = 33, (40, 0)
    assert (lab.map_size, lab.rates, lab.centre) == (65, (12, 24, 36), (64, 3))


def test_what_depends_on_a_trait_follows_it() -> None:
    """One by one and by `set`: the unit stays on the map, the bold rate among the rates, the bin among the bins."""
    lab = ASPPLab(active=2, centre=(60, 3), bin=(5, 5))
    lab.map_size = 33
    assert lab.centre == (32, 3)
    lab.rates = (6,)
    assert (lab.active, lab.settings.rate) == (0, 6)
    lab.level = 3
    assert lab.bin == (2, 2)
    lab.set(level=6, rule="window", bin=(8, 6))
    lab.rule = "adaptive"
    assert lab.bin == (5, 5)
    lab.set(rule="window", stride=16)
    assert lab.bin is None
    lab.set(map_size=9, rates=(2, 4))
    assert (lab.centre, lab.active, lab.settings.means) == ((8, 3), 0, (Fraction(23, 27) ** 2, Fraction(19, 27) ** 2))
    lab.centre = None
    lab.map_size = 13
    assert lab.settings.place == (6, 6)
    with pytest.raises(ValueError, match="active is 2"):
        lab.set(rates=(3, 5), active=2)
    assert lab.rates == (2, 4)


def test_the_bold_rate_is_the_second_or_the_only_one() -> None:
    assert ASPPLab().settings.rate == 12
    assert ASPPLab(33, (30,)).settings.rate == 30
    assert ASPPLab(33, (2, 4, 8, 12), active=3).settings.rate == 12


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """The scripts as modules that import each other."""
    return as_modules(SCRIPTS, tmp_path)


@needs_node
def test_the_browser_counts_what_python_counts(modules: Path) -> None:
    """Places by valid weights, their mean, and single places, for maps and rates of all sorts."""
    draw = random.Random(0)
    cases = CASES + [(size := draw.randint(5, 129), draw.randint(1, draw.choice((size, 160)))) for _ in range(60)]
    places = [[(draw.randrange(size), draw.randrange(size)) for _ in range(12)] for size, _ in cases]
    script = """
import { VALID_COUNTS, meanShare, placesBy, tapsAt, validHere } from "./aspp_lab_maths.mjs";
const one = ([size, rate], places) => ({ by: placesBy(size, rate), mean: meanShare(size, rate),
  here: places.map((place) => validHere(size, rate, place)),
  inside: places.map((place) => tapsAt(size, rate, place).filter((tap) => tap.inside).length) });
console.log(JSON.stringify([VALID_COUNTS, data.cases.map((found, n) => one(found, data.places[n]))]));
"""
    counts, found = node(script, {"cases": cases, "places": places}, modules)
    seen = set()
    for (size, rate), chosen, one in zip(cases, places, found, strict=True):
        shares = valid_taps(size, rate)
        assert {int(taps): Fraction(many, size**2) for taps, many in one["by"].items()} == shares
        assert one["mean"] == pytest.approx(float(mean_share(size, rate)), abs=1e-15)
        assert one["here"] == one["inside"] == [valid_here(size, rate, place) for place in chosen]
        seen |= set(shares)
    assert sorted(seen, reverse=True) == counts


@needs_node
def test_the_browser_pools_what_python_pools(modules: Path) -> None:
    """Windows, means and SPP's rule, for every stride, level and rule."""
    image = torch.randint(0, 256, (3, 37, 52), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    cases: list[tuple[int, int, Rule]] = [(stride, level, rule) for stride in STRIDES for level in (1, 2, 3, 4, 6, 12) for rule in RULES]
    script = """
import { binMeans, decoded, sppRule, unitMap } from "./aspp_lab_maths.mjs";
const pixels = decoded(data.image);
console.log(JSON.stringify(data.cases.map(([stride, level, rule]) => {
  const units = unitMap(pixels, [37, 52], stride);
  return { ...binMeans(units, level, rule), size: [units.rows, units.columns], spp: sppRule(units.rows, level) };
})));
"""
    pixels = base64.b64encode(image.permute(1, 2, 0).contiguous().numpy().tobytes()).decode()
    for (stride, level, rule), one in zip(cases, node(script, {"image": pixels, "cases": cases}, modules), strict=True):
        settings = ASPPSettings(stride=stride, level=level, rule=rule, bins=(1, 2, 3, 4, 6, 12), image_size=(37, 52))
        assert tuple(one["size"]) == settings.units
        assert [[tuple(window) for window in axis] for axis in (one["down"], one["across"])] == list(settings.windows)
        means = bin_means(image, stride, level, rule)
        if means.numel():
            assert_close(torch.tensor(one["means"], dtype=torch.float64).permute(2, 0, 1), means, rtol=0, atol=1e-9)
        rows = settings.units[0]
        assert one["spp"] == (None if level > rows else dict(zip(("window", "stride", "made"), spp_window(rows, level), strict=True)))


@needs_node
def test_the_browser_fits_a_state_together_as_python_does(modules: Path) -> None:
    draw = random.Random(2)
    script = """
import { fitted } from "./aspp_lab_maths.mjs";
console.log(JSON.stringify(data.map(([state, values]) => fitted({ ...state, ...values }, [80, 120]))));
"""
    asked = []
    names = ("map_size", "rates", "active", "centre", "level", "stride", "rule", "bin")
    for _ in range(12):
        lab = ASPPLab(65, (6, 12, 18), active=draw.randrange(3), centre=(draw.randrange(65), 3), bin=(draw.randrange(6), 5))
        state = {name: getattr(lab, name) for name in names}
        change = draw.choice(
            [{"map_size": draw.randint(5, 129)}, {"rates": (4, 8)}, {"level": draw.choice((1, 3))}, {"rule": "window", "stride": 16}]
        )
        lab.set(**change)
        asked.append(((state, change), {name: getattr(lab, name) for name in names}))
    found = node(script, [one for one, _ in asked], modules)
    assert found == json.loads(json.dumps([after for _, after in asked]))


def said(words: str) -> str:
    return words.replace("\xa0", " ")


@needs_node
def test_sentences_of_the_taps(modules: Path) -> None:
    script = """
import { rateNote, rateWords, unitWords } from "./aspp_lab_words.mjs";
const state = (map_size, rates, active) => ({ map_size, rates, active });
console.log(JSON.stringify([
  unitWords(state(65, [6, 12, 18], 1), [32, 32]), unitWords(state(65, [6, 12, 18], 1), [10, 20]), unitWords(state(33, [40], 0), [0, 0]),
  rateWords(65, 24), rateWords(65, 70), rateWords(6, 3), rateNote(65, 12).words, rateNote(65, 33).words, rateNote(65, 65).words,
]));
"""
    assert [said(words) for words in node(script, None, modules)] == [
        "Row 32, column 32 of 65 × 65: at rate 12, all 9 weights are on the map. Rate 6: 9; rate 18: 9.",
        "Row 10, column 20 of 65 × 65: at rate 12, 6 of 9 weights are on the map; the other 3 read padding. Rate 6: 9; rate 18: 6.",
        "Row 0, column 0 of 33 × 33: at rate 40, 1 of 9 weights is on the map; the other 8 read padding: a 1 × 1 here.",
        "Rate 24 on 65 × 65: 9 weights valid at 6.8 %, 6 at 39 % and 4 at 55 % of the places; 57 % of the weights on average.",
        "Rate 70 on 65 × 65: everywhere only the centre weight is valid. The 3 × 3 is a 1 × 1.",
        "Rate 3 on 6 × 6: 4 weights valid at 100 % of the places; 44 % of the weights on average.",
        "All 9 weights are valid at the inner 41 × 41 places. Mean share ((3 · 65 − 2 · 12) / (3 · 65))² = 77 %.",
        "No place has all 9 weights: 2 · 33 ≥ 65. Mean share ((3 · 65 − 2 · 33) / (3 · 65))² = 44 %.",
        "Rate 65 ≥ 65: the 3 × 3 has become a 1 × 1. Image pooling is the cure.",
    ]


@needs_node
def test_sentences_of_the_pyramid(modules: Path) -> None:
    script = """
import { binWords, levelWords, sppNote } from "./aspp_lab_words.mjs";
const state = { level: 6, stride: 8, rule: "adaptive" };
console.log(JSON.stringify([
  binWords([2, 3], [[3, 5], [7, 10]], [10, 15], [211.2, 138, 125.6], state),
  binWords([0, 0], [[0, 1], [0, 1]], [6, 6], [1, 2, 3], { ...state, stride: 1 }),
  binWords([0, 0], [[0, 2], [0, 3]], [10, 15], [1, 2, 3], { ...state, rule: "window" }),
  levelWords([10, 15], 1, state), levelWords([10, 15], 6, state), levelWords([80, 120], 2, { ...state, stride: 1 }),
  levelWords([60, 60], 6, { ...state, rule: "window" }), levelWords([10, 10], 6, { ...state, rule: "window" }),
  sppNote([10, 15], 6).words, sppNote([60, 60], 6).words, sppNote([5, 8], 6).words,
]));
"""
    assert [said(words) for words in node(script, None, modules)] == [
        "Bin in row 2, column 3: the mean of rows 3 to 4 and columns 7 to 9, 6 units of 8 × 8 pixels: red 211, green 138, blue 126. "
        "SPP's rule would make 9 × 7 windows.",
        "Bin in row 0, column 0: the mean of row 0 and column 0, 1 pixel: red 1, green 2, blue 3. SPP's rule makes as many.",
        "Bin in row 0, column 0: the mean of rows 0 to 1 and columns 0 to 2, 6 units of 8 × 8 pixels: red 1, green 2, blue 3.",
        "One bin over 10 × 15 units: the mean of the whole map, which is image pooling.",
        "6 × 6 bins over 10 × 15 units: average pooling keeps 36 means. Neighbouring bins share units, as the size is no multiple.",
        "2 × 2 bins over 80 × 120 pixels: average pooling keeps 4 means.",
        "SPP's rule over 60 × 60 units: 6 × 6 windows, as asked for.",
        "SPP's rule makes 9 × 9 windows, not 6 × 6. 10 units: window ⌈10/6⌉ = 2, stride ⌊10/6⌋ = 1, so 9.",
        "SPP's rule makes 9 × 7 windows, not 6 × 6. 10 units: window ⌈10/6⌉ = 2, stride ⌊10/6⌋ = 1, so 9; "
        "15 units: window ⌈15/6⌉ = 3, stride ⌊15/6⌋ = 2, so 7.",
        "SPP's rule makes 6 × 6 windows, too. 60 units: window ⌈60/6⌉ = 10, stride ⌊60/6⌋ = 10, so 6.",
        "SPP's rule fails: 6 bins over 5 units need a stride of ⌊5/6⌋ = 0.",
    ]


def test_the_repr_and_the_picture_follow_the_settings() -> None:
    first, second = ASPPLab(), ASPPLab(33)
    second.map_size = 65
    bundles = [lab._repr_mimebundle_()[0] for lab in (first, second)]
    assert repr(first) == repr(second) == bundles[0]["text/plain"]
    assert repr(first).startswith(
        "ASPPLab: 3 × 3 filters on a map of 65 × 65 units, centred on row 32, column 32; weights on the map at rate 6: 9 of 9, "
        "rate 12: 9 of 9, rate 18: 9 of 9."
    )
    assert "6 × 6 bins over an image of 10 × 15 units, where SPP's rule makes 9 × 7" in repr(first)
    assert bundles[0]["text/html"] == bundles[1]["text/html"] != ASPPLab(33)._repr_mimebundle_()[0]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundles[0]
    picture = Image.open(io.BytesIO(base64.b64decode(bundles[0]["text/html"].split("base64,")[1].split('"')[0])))
    assert picture.format == "PNG"
    assert picture.size[0] > 1000


@pytest.mark.parametrize(
    "values",
    [
        {"map_size": 5, "rates": (160,)},
        {"map_size": 129, "rates": (1, 2, 64, 129), "centre": (128, 0), "active": 3},
        {"stride": 16, "rule": "window", "part": "pyramid"},
        {"image": torch.zeros(3, 16, 90, dtype=torch.uint8), "bins": (12,), "bin": (11, 11)},
    ],
)
def test_every_picture_can_be_drawn(values: dict) -> None:
    assert "base64," in ASPPLab(**values)._repr_mimebundle_()[0]["text/html"]


def test_presets_are_possible() -> None:
    for rates in PRESETS.values():
        assert ASPPSettings(rates=rates).rates == rates


def test_the_front_end_asks_for_nothing() -> None:
    code = str(ASPPLab._esm) + str(ASPPLab._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1
    assert sorted(name for name in SCRIPTS if name.startswith("aspp_lab")) == sorted(path.name for path in FOLDER.glob("aspp_lab*.js"))
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", str(ASPPLab._esm), flags=re.M)
    assert len(names) == len(set(names)) > 30
    assert not {"window", "document", "name"} & set(names)


def test_the_page_is_whole(tmp_path: Path) -> None:
    lab = ASPPLab(33, (6, 12), centre=(1, 2), part="pyramid")
    text = lab.export(tmp_path / "lab.html", title="1 & 2").read_text(encoding="utf-8")
    assert "<title>1 &amp; 2</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    state = json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]
    shown = {"map_size": 33, "rates": [6, 12], "active": 1, "centre": [1, 2], "part": "pyramid", "level": 6, "stride": 8}
    assert state == {"data": lab.data, **shown, "rule": "adaptive", "bin": None}
