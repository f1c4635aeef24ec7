"""CostLab without a browser: its rows against `network_cost`, its sentences in node, its traits, picture and page."""

import base64
import io
import json
import re
from collections import OrderedDict
from functools import cache
from pathlib import Path

import pytest
import traitlets
from in_node import as_modules, needs_node, node
from PIL import Image
from torch import Tensor, nn

from edu_seg.costs import NetworkCost, network_cost
from edu_seg.figures.backbones import parts_of, rows_of
from edu_seg.widgets import CostLab
from edu_seg.widgets.base import FOLDER
from edu_seg.widgets.cost_lab import SCRIPTS

SIZE = 32


def net(stride: int, channels: int = 4) -> nn.Sequential:
    """A stem with a pool, a block that keeps its stride or has none, and a convolution behind it."""
    block = nn.Sequential(nn.Conv2d(channels, 8, 3, stride=stride // 4, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    stem = [("conv1", nn.Conv2d(3, channels, 3, stride=2, padding=1)), ("relu", nn.ReLU()), ("maxpool", nn.MaxPool2d(2))]
    return nn.Sequential(OrderedDict([*stem, ("layer1", block), ("drop", nn.Dropout()), ("score", nn.Conv2d(8, 2, 1))]))


@cache
def costs() -> dict[str, dict[int, NetworkCost]]:
    """Two networks; the second is known at one output stride."""
    return {
        "small": {stride: network_cost(net(stride), (SIZE, SIZE)) for stride in (16, 8, 4)},
        "wide": {8: network_cost(net(8, 64), (SIZE, SIZE))},
    }


def test_rows_are_the_layers_that_cost_anything_and_the_result_is_last() -> None:
    """By hand, for one image: the stem's map is 4 × 16 × 16, pooled 8 × 8, at stride 8 the block's is 8 × 4 × 4."""
    rows = rows_of(costs()["small"][8])
    assert [row.name for row in rows] == ["conv1", "relu", "maxpool", "layer1.0", "layer1.1", "layer1.2", "drop", "score", "result"]
    assert [row.shape[1:] for row in rows] == [(4, 16, 16), (4, 16, 16), (4, 8, 8), *[(8, 4, 4)] * 4, (2, 4, 4), (2, 4, 4)]
    held = {row.name: row.activation_bytes for row in rows}
    assert (held["relu"], held["layer1.1"], held["layer1.2"]) == (4 * 256 * 4, 8 * 16 * 4 + 2 * 8 * 4, 8 * 16 * 4)
    assert held["conv1"] == 0  # its input is the caller's image
    assert held["result"] == 2 * 16 * 4
    work = {row.name: row.multiply_adds for row in rows}
    assert (work["conv1"], work["layer1.0"], work["relu"]) == (256 * 4 * 27, 16 * 8 * 4 * 9, 0)


def test_parts_are_blocks_and_runs_of_one_size() -> None:
    assert parts_of(costs()["small"][8]) == ["conv1"] * 3 + ["layer1"] * 3 + ["drop"] * 3


def test_vectors_are_one_unit() -> None:
    flat = nn.Sequential(OrderedDict([("conv", nn.Conv2d(3, 2, 3)), ("flatten", nn.Flatten()), ("fc", nn.Linear(8, 5))]))
    assert [row.shape for row in rows_of(network_cost(flat, (4, 4)))] == [(1, 2, 2, 2), (1, 5, 1, 1), (1, 5, 1, 1)]


def test_bars_add_up_to_the_totals() -> None:
    for network in CostLab(costs(), SIZE).data["networks"]:
        for shown in network["strides"]:
            cost = costs()[network["name"]][shown["output_stride"]]
            assert sum(row[6] for row in shown["layers"]) == sum(part["bytes"] for part in shown["parts"]) == cost.activation_bytes
            assert sum(row[7] for row in shown["layers"]) == cost.multiply_adds == shown["work"]
            ends = [part["end"] for part in shown["parts"]]
            assert [part["start"] for part in shown["parts"]] == [0, *ends[:-1]]
            assert ends[-1] == len(shown["layers"])


def test_what_is_shown_is_chosen_from_both_sides() -> None:
    lab = CostLab(costs(), SIZE)
    assert (lab.network, lab.output_stride) == ("small", 16)
    lab.set("small", 4)
    assert lab.cost is costs()["small"][4]
    lab.set("wide")
    assert (lab.network, lab.output_stride) == ("wide", 8)
    assert repr(lab) == repr(CostLab(costs(), SIZE, "wide", 8))
    assert CostLab(costs(), SIZE, output_stride=8).cost is costs()["small"][8]


def test_what_is_not_there_is_refused() -> None:
    lab = CostLab(costs(), SIZE)
    with pytest.raises(ValueError, match="no network 'large': choose one of small, wide"):
        lab.set("large")
    with pytest.raises(ValueError, match="wide was given at output strides 8, not at 16"):
        lab.set("wide", 16)
    assert (lab.network, lab.output_stride) == ("small", 16)
    with pytest.raises(traitlets.TraitError):
        lab.output_stride = "8"  # pyright: ignore[reportAttributeAccessIssue]
    for nothing in ({}, {"none": {}}):
        with pytest.raises(ValueError, match="give networks with layers"):
            CostLab(nothing, SIZE)


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return as_modules(SCRIPTS, tmp_path_factory.mktemp("js"))


@needs_node
def test_sentences(modules: Path) -> None:
    script = """
import { layerWords, netWords } from "./cost_lab_words.mjs";
const network = data.networks[0];
const shown = network.strides[1];
console.log(JSON.stringify([netWords(network, shown, data.size), ...[0, 1, 4, 8].map((at) => layerWords(shown, at))]));
"""
    found = [words.replace("\xa0", " ") for words in node(script, CostLab(costs(), SIZE).data, modules)]
    assert found == [
        "small at output stride 8, one image of 32 × 32: 9.19 KiB are held for the backward pass, 65 % of it in conv1; "
        "32.5 · 10³ multiply-adds; 0.00 million parameters.",
        "conv1 (Conv2d), row 1 of 9: 4 channels of 16 × 16; holds nothing that is not held already; 27.6 · 10³ multiply-adds, 85 % of all.",
        "relu (ReLU), row 2 of 9, in conv1: 4 channels of 16 × 16; holds 4.00 KiB, 44 % of all; no multiply-adds.",
        "layer1.1 (BatchNorm2d), row 5 of 9, in layer1: 8 channels of 4 × 4; holds 0.56 KiB, 6 % of all; no multiply-adds.",
        "result, row 9 of 9, in drop: 2 channels of 4 × 4; holds 0.13 KiB, 1 % of all; no multiply-adds.",
    ]


@needs_node
def test_numbers_are_as_long_as_they_need(modules: Path) -> None:
    script = """
import { marksOf, mib, percent, workWords } from "./cost_lab_words.mjs";
const shares = [percent(0, 9), percent(1, 200), percent(1, 3)];
console.log(JSON.stringify([data.bytes.map(mib), data.work.map(workWords), data.most.map(marksOf), shares]));
"""
    given = {"bytes": [0, 2**18, 2**24, 970 * 2**20], "work": [0, 1_234_567, 102_729_999_552], "most": [33.03, 9.97, 1, 0.04, 124]}
    sizes, work, marks, shares = node(script, given, modules)
    assert sizes == ["0.00 KiB", "0.25 MiB", "16.0 MiB", "970 MiB"]
    assert [words.replace("\xa0", " ") for words in work] == ["no multiply-adds", "1.23 · 10⁶ multiply-adds", "102.7 · 10⁹ multiply-adds"]
    assert marks == [[0, 10, 20, 30], [0, 5], [0, 0.5, 1], [0, 0.02, 0.04], [0, 50, 100]]
    assert shares == ["0\xa0%", "less than 1\xa0%", "33\xa0%"]


def test_the_repr_and_the_picture_follow_the_network() -> None:
    first, second = CostLab(costs(), SIZE), CostLab(costs(), SIZE, "wide")
    bundles = [lab._repr_mimebundle_()[0] for lab in (first, second)]
    assert bundles[0]["text/plain"] == repr(first)
    assert repr(first).startswith("CostLab: small, one image of 32 × 32: 0 MiB held and 0.0 · 10⁹ multiply-adds at output stride 16; 0 MiB")
    assert bundles[0]["text/html"] != bundles[1]["text/html"]
    second.set("small", 8)
    assert repr(second) == repr(first)
    assert second._repr_mimebundle_()[0]["text/html"] == bundles[0]["text/html"]
    picture = Image.open(io.BytesIO(base64.b64decode(bundles[0]["text/html"].split("base64,")[1].split('"')[0])))
    assert (picture.format, picture.size[0] > 1000) == ("PNG", True)


def test_the_front_end_asks_for_nothing() -> None:
    code = str(CostLab._esm) + str(CostLab._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1
    assert sorted(name for name in SCRIPTS if name.startswith("cost_lab")) == sorted(path.name for path in FOLDER.glob("cost_lab*.js"))
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", str(CostLab._esm), flags=re.M)
    assert len(names) == len(set(names)) > 20
    assert not {"window", "document", "name"} & set(names)


def test_the_page_is_whole(tmp_path: Path) -> None:
    lab = CostLab(costs(), SIZE, "small", 8)
    text = lab.export(tmp_path / "lab.html", title="1 & 2").read_text(encoding="utf-8")
    assert "<title>1 &amp; 2</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    state = json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]
    assert state == {"data": lab.data, "network": "small", "output_stride": 8}


class Twice(nn.Module):
    """Called twice, and gives two maps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        first = self.conv(images)
        return {"first": first, "second": self.conv(first)}


def test_networks_with_several_results() -> None:
    """Two maps of 3 × 4 × 4 floats: the first is held by the second call, which reads it, the second by the caller."""
    rows = rows_of(network_cost(Twice(), (4, 4)))
    assert [(row.name, row.activation_bytes, row.shape) for row in rows] == [
        ("conv", 0, (1, 3, 4, 4)),
        ("conv", 3 * 16 * 4, (1, 3, 4, 4)),
        ("result", 3 * 16 * 4, (1, 3, 4, 4)),
    ]
