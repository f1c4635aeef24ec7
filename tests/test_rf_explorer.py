"""RFExplorer without a browser: what it sends, its geometry in JavaScript against Python's, its stack, its answers and its page."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from unchecked import shapes_unchecked

from edu_seg.receptive_field import measured_receptive_field, receptive_fields
from edu_seg.receptive_field.relations import Flip, Matrix, Part
from edu_seg.widgets import RFExplorer, explorer_data
from edu_seg.widgets.base import FOLDER, bundle
from edu_seg.widgets.rf_data import layer_rows, measured_heat, write_relation
from edu_seg.widgets.rf_stack import RANGES, START, StackLayer, checked_stack, stack_code, stack_module

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node on the PATH: the browser's arithmetic is run by it")

IMAGE = torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(0))
SIZE = (40, 48)


class Branches(nn.Module):
    """A dilated branch, a strided one brought back up, and a shortcut, concatenated; then a crop."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.wide = nn.Conv2d(4, 4, 3, padding=4, dilation=4)
        self.tall = nn.Conv2d(4, 4, (5, 1), padding=(2, 0))
        self.down = nn.MaxPool2d(3, 2, 1)
        self.last = nn.Conv2d(16, 4, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        up = F.interpolate(self.down(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.last(torch.cat([self.wide(x), self.tall(x), up, x], 1))[..., 2:-3, 1:]


class Rare(nn.Module):
    """What few networks do: other borders, adaptive pools, pixel shuffling, flips, nearest interpolation."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")
        self.b = nn.Conv2d(4, 4, 5, padding=2, padding_mode="circular")
        self.c = nn.AdaptiveAvgPool2d((7, 9))
        self.d = nn.ReplicationPad2d(2)
        self.e = nn.Conv2d(4, 4, 3, stride=2)
        self.f = nn.PixelShuffle(2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.f(self.e(self.d(self.c(self.b(self.a(images))))))
        return F.interpolate(torch.flip(x, [-1]), size=(11, 6), mode="nearest")


def upsampling() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1),
        nn.Conv2d(4, 4, 3, 2, 1),
        nn.ConvTranspose2d(4, 4, 4, 2, 1),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.ConvTranspose2d(4, 4, 3, 3, 0),
        nn.Upsample(scale_factor=1.5, mode="bicubic"),
    )


def resnet18() -> nn.Module:
    from torchvision import models

    return models.resnet18(weights=None)


def gridding() -> nn.Module:
    return nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=2, dilation=2) for _ in range(3)))


NETS: dict[str, Callable[[], nn.Module]] = {
    "branches": Branches,
    "rare": Rare,
    "upsampling": upsampling,
    "resnet18": resnet18,
    "gridding": gridding,
}


def node(script: str, data: Any) -> Any:
    """What a script prints as JSON, run by node over the widget's own files; `data` is its input."""
    code = f"import {{ readFileSync }} from 'node:fs';\nconst data = JSON.parse(readFileSync(0, 'utf-8'));\n{script}"
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code], input=json.dumps(data), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module", autouse=True)
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JavaScript files where node takes them for modules."""
    folder = tmp_path_factory.mktemp("js")
    (folder / "package.json").write_text('{"type": "module"}')
    for path in FOLDER.glob("rf_*.js"):
        shutil.copy(path, folder)
    return folder


def some_units(map_size: tuple[int, ...]) -> list[tuple[int, int]]:
    rows, columns = map_size
    return list(dict.fromkeys([(0, 0), (rows // 2, columns // 3), (rows - 1, columns - 1)]))


def golden(model: nn.Module) -> tuple[dict[str, Any], list[list], list[list[int]], list[list[int] | None]]:
    """(data, [node, unit] of some units of every row, their unclipped fields, the boxes inside the image)."""
    fields = receptive_fields(model, SIZE)
    data = explorer_data(fields, model)
    asked, hulls, boxes = [], [], []
    for sent, row in zip(data["rows"], layer_rows(fields, model), strict=True):
        for unit in some_units(row.field.map_size):
            asked.append([sent["node"], list(unit)])
            hulls.append([*row.field.rows(unit[0]), *row.field.cols(unit[1])])
            found = row.field.inside(*unit)
            boxes.append(None if found is None else [end for ends in found for end in ends])
    return data, asked, hulls, boxes


@needs_node
@pytest.mark.parametrize("name", NETS)
def test_the_browser_finds_the_same_fields(name: str, modules: Path) -> None:
    data, asked, hulls, boxes = golden(NETS[name]())
    script = f"""
import {{ boxOf, hullsBack, reach }} from "{modules}/rf_geometry.js";
const found = data.asked.map(([node, unit]) => [hullsBack(data.graph, node, unit)[0], boxOf(reach(data.graph, node, unit)[0])]);
console.log(JSON.stringify(found));
"""
    found = node(script, {"graph": data["graph"], "asked": asked})
    assert len(found) >= 9
    there = [place for place, (hull, _) in enumerate(found) if hull is not None]  # units that read nothing have no field at all
    assert [found[place][0] for place in there] == [hulls[place] for place in there]
    assert all(hulls[place][0] > hulls[place][1] or hulls[place][2] > hulls[place][3] for place in set(range(len(found))) - set(there))
    assert [box for _, box in found] == boxes


@needs_node
@pytest.mark.parametrize("name", [name for name in NETS if name != "resnet18"])
def test_the_browser_finds_the_same_sets(name: str, modules: Path) -> None:
    """Which pixels a unit really reads, gaps and all; which units of a layer between it reads; which units see a pixel."""
    model = NETS[name]()
    fields = receptive_fields(model, SIZE)
    data = explorer_data(fields, model)
    rows = layer_rows(fields, model)
    last, first = rows[-1].field, rows[0].field
    unit = (last.map_size[0] // 2, last.map_size[1] // 2)
    pixel = (17, 20)
    script = f"""
import {{ maskOf, reach, seenBy }} from "{modules}/rf_geometry.js";
const whole = (products, [rows, columns]) => [...maskOf(products, [0, rows - 1, 0, columns - 1])];
const sets = reach(data.graph, data.last, data.unit);
const seen = seenBy(data.graph, data.last, data.pixel)[data.last];
const sizes = (node) => data.graph.nodes[node].sizes;
console.log(JSON.stringify([whole(sets[0], sizes(0)), whole(sets[data.first], sizes(data.first)), whole(seen, sizes(data.last))]));
"""
    given = {"graph": data["graph"], "last": data["rows"][-1]["node"], "first": data["rows"][0]["node"], "unit": unit, "pixel": pixel}
    read, between, seen = (np.array(mask) for mask in node(script, given))
    assert np.array_equal(read.reshape(SIZE), last.paths(*unit) > 0)
    assert np.array_equal(between.reshape(first.map_size), last.between(first, *unit) > 0)
    seen = seen.reshape(last.map_size)
    near = np.argwhere(seen)
    others = np.random.default_rng(0).integers(last.map_size, size=(12, 2))
    asked = {tuple(unit) for unit in [*near[:: max(1, len(near) // 12)].tolist(), *others.tolist()]}
    assert [bool(seen[i, j]) for i, j in asked] == [bool(last.paths(i, j)[pixel] > 0) for i, j in asked]
    assert {bool(seen[i, j]) for i, j in asked} == {True, False}


@needs_node
def test_gaps_are_counted(modules: Path) -> None:
    """Dilations 2, 2, 2: of 13 × 13 = 169 pixels 49 are read."""
    data = explorer_data(receptive_fields(gridding(), (40, 40)), gridding())
    script = f"""
import {{ area, boxOf, countOf, reach }} from "{modules}/rf_geometry.js";
const sets = reach(data.graph, 3, [20, 20]);
console.log(JSON.stringify([area(boxOf(sets[0])), countOf(sets[0])]));
"""
    assert node(script, {"graph": data["graph"]}) == [169, 49]


STACKS = {
    "usual": START,
    "pools": ((5, 2, 0, 1, "conv"), (3, 2, 1, 1, "pool"), (2, 1, 0, 3, "pool")),
    "up": ((3, 2, 1, 1, "conv"), (4, 2, 1, 1, "transposed"), (2, 3, 0, 1, "transposed"), (3, 1, 2, 2, "conv")),
    "one pixel left": ((11, 8, 0, 1, "conv"), (4, 1, 0, 1, "conv")),
}


@needs_node
@pytest.mark.parametrize("name", STACKS)
def test_a_stack_is_the_same_in_both_languages(name: str, modules: Path) -> None:
    """Sizes, strides, paddings and maps of every layer, and the code."""
    layers = checked_stack(STACKS[name], SIZE)
    rows = layer_rows(receptive_fields(stack_module(layers), SIZE), stack_module(layers))
    script = f"""
import {{ describeAxis }} from "{modules}/rf_geometry.js";
import {{ possible, pytorchCode, stackGraph }} from "{modules}/rf_stack.js";
const graph = stackGraph(data.layers, data.size);
const rows = data.layers.map((_, n) => [graph.nodes[n + 1].sizes, ...[0, 1].map((axis) => describeAxis(graph, n + 1, axis))]);
console.log(JSON.stringify({{ rows, code: pytorchCode(data.layers), possible: possible(data.layers, data.size) }}));
"""
    found = node(script, {"layers": layers, "size": SIZE})
    assert found["possible"] is True
    assert found["code"] == stack_code(layers)
    assert [row[0] for row in found["rows"]] == [list(row.field.map_size) for row in rows]
    for row, (_, *described) in zip(rows, found["rows"], strict=True):
        field = row.field
        for axis, axis_found in enumerate(described):
            stride = "–" if field.stride[axis] is None else str(field.stride[axis])
            assert axis_found == {
                "size": field.size[axis],
                "stride": stride,
                "padding": field.padding[axis],
                "uniform": axis_found["uniform"],
            }
        assert all(found["uniform"] for found in described) == field.uniform


@needs_node
def test_no_choice_leads_to_an_impossible_stack(modules: Path) -> None:
    """From every stack of `STACKS`: each value that can be chosen makes a network that runs, each that cannot is refused by Python."""
    script = f"""
import {{ choices, replaced, STACKS, possible }} from "{modules}/rf_stack.js";
const offered = data.stacks.map((layers) => layers.flatMap((_, n) => [0, 1, 2, 3, 4].flatMap((setting) =>
  choices(layers, data.size, n, setting).map(({{ value, possible }}) => [replaced(layers, n, setting, value), possible]))));
console.log(JSON.stringify([...offered.flat(), ...Object.values(STACKS).map((layers) => [layers, possible(layers, data.size)])]));
"""
    offered = node(script, {"stacks": list(STACKS.values()), "size": SIZE})
    allowed = [layers for layers, possible in offered if possible]
    refused = [layers for layers, possible in offered if not possible]
    assert len(allowed) > 300
    assert len(refused) > 100
    for layers in allowed:
        checked_stack(layers, SIZE)
    for layers in allowed[::7]:
        assert stack_module(checked_stack(layers, SIZE)).to("meta")(torch.empty(1, 3, *SIZE, device="meta")).numel() > 0
    for layers in refused:
        with pytest.raises(ValueError, match="layer"):
            checked_stack(layers, SIZE)


@needs_node
def test_the_sentences(modules: Path) -> None:
    script = f"""
import {{ compareWords, pixelWords, unitWords, verdict }} from "{modules}/rf_words.js";
const a = {{ name: "conv5", unit: [1, 2], hull: [-90, 121, 0, 211] }};
console.log(JSON.stringify([
  unitWords("fc7", [0, 0], [-90, 313, -90, 313], [0, 223, 0, 223], 224 * 224, [224, 224]),
  unitWords("conv", [1, 2], [3, 15, 3, 15], [3, 15, 3, 15], 49, [224, 224]),
  unitWords("deconv", [1, 0], null, null, 0, [9, 9]),
  pixelWords("pool1", [3, 4], [1, 2, 2, 2], 2, false),
  compareWords(a, {{ name: "conv1", unit: [0, 0], hull: [-1, 1, -1, 1] }}),
  compareWords(a, {{ name: "conv1", unit: [99, 0], hull: [300, 302, -1, 1] }}),
  verdict([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]).words,
  verdict([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 4]).words,
]));
"""
    assert [text.replace("\u00a0", " ") for text in node(script, {})] == [
        "Unit (0, 0) of fc7 sees rows −90 to 313 and columns −90 to 313: 404 × 404 pixels. "
        "69 % of this field lies outside of the image. It covers the whole image.",
        "Unit (1, 2) of conv sees rows 3 to 15 and columns 3 to 15: 13 × 13 pixels. "
        "There are gaps: of 169 pixels inside it really reads 49.",
        "Unit (1, 0) of deconv reads no pixel of the image.",
        "Pixel in row 3, column 4: 2 units of pool1 see it, 2 × 1: rows 1 to 2, columns 2 to 2.",
        "A is unit (1, 2) of conv5, 212 × 212; B is unit (0, 0) of conv1, 3 × 3. "
        "Their fields share 3 × 2 pixels: less than 1 % of A, 67 % of B.",
        "A is unit (1, 2) of conv5, 212 × 212; B is unit (99, 0) of conv1, 3 × 3. Their fields share no pixel.",
        "analytic = measured: rows 0 to 1, columns 2 to 3",
        "they differ: analytic rows 0 to 1, columns 2 to 3; measured rows 0 to 1, columns 2 to 4",
    ]


def test_the_rows_are_what_python_says() -> None:
    model = resnet18()
    fields = receptive_fields(model, (224, 224), whole_map="leave_out")
    data = explorer_data(fields, model)
    rows = {row["name"]: row for row in data["rows"]}
    assert rows["conv1"]["also"] == ["bn1", "relu"]
    assert (rows["layer4.1.add"]["size"], rows["layer4.1.add"]["stride"], rows["layer4.1.add"]["padding"]) == (
        [435] * 2,
        ["32"] * 2,
        [217] * 2,
    )
    assert rows["layer4.1.add"]["measured"] == "layer4.1.relu#2"
    for name, row in rows.items():
        assert row["map"] == list(fields[name].map_size) == data["graph"]["nodes"][row["node"]]["sizes"]
    assert data["graph"]["nodes"][0] == {"sizes": [224, 224], "parents": []}
    assert json.loads(json.dumps(data)) == data


def test_a_long_network_is_folded() -> None:
    """ResNet-50 opens with 7 lines; inside one module that holds nearly everything, its parts are folded."""
    from torchvision import models

    model = models.resnet50(weights=None)
    groups = [row.group for row in layer_rows(receptive_fields(model, (64, 64)), model)]
    assert list(dict.fromkeys(groups)) == ["", "layer1", "layer2", "layer3", "layer4"]
    labels = [row.label for row in layer_rows(receptive_fields(model, (64, 64)), model)]
    assert [label for label in labels if label in groups] == ["layer1", "layer2", "layer3", "layer4"]
    wrapped = nn.Sequential(model)
    assert "0.layer3" in [row.group for row in layer_rows(receptive_fields(wrapped, (64, 64)), wrapped)]


def test_relations_without_a_formula_are_tables() -> None:
    from edu_seg.receptive_field.graph import Intervals

    matrix = Matrix(np.array([[1, 0, 1], [0, 0, 0]], bool))
    asked = Intervals(-1, np.zeros(4, int), np.zeros(4, int))
    assert write_relation(matrix, asked) == ["table", -1, [[], [0, 2], [], []], "zero"]
    assert write_relation(Flip(5), asked) == ["flip", 5, "zero"]
    assert write_relation(Part(2, 3), asked) == ["part", 2, 3, "zero"]


def test_data_is_small() -> None:
    from torchvision import models

    model = models.resnet50(weights=None)
    data = explorer_data(receptive_fields(model, (224, 224)), model)
    assert len(json.dumps(data["graph"])) < 3_000
    assert len(json.dumps(data)) < 20_000


def test_a_layer_can_be_chosen_to_open_with() -> None:
    model = gridding()
    assert RFExplorer(model, IMAGE, layer="1").data["start"] == 1
    assert RFExplorer(nn.Sequential(model, nn.MaxPool2d(2)), IMAGE, layer="0").data["start"] == 2  # a container's last map
    with pytest.raises(KeyError, match=r"no layer is called 'conv9'; there are 0, 1, 2"):
        RFExplorer(model, IMAGE, layer="conv9")


def test_images_of_every_kind_are_the_same() -> None:
    array = np.arange(40 * 48 * 3, dtype=np.uint8).reshape(40, 48, 3)
    tensor = torch.from_numpy(array).permute(2, 0, 1) / 255
    sent = [RFExplorer(gridding(), image).data["image"] for image in (array, Image.fromarray(array), tensor)]
    assert sent[0] == sent[1] == sent[2]
    assert Image.open(io.BytesIO(base64.b64decode(sent[0].split(",")[1]))).size == (48, 40)


WRONG_IMAGES = {
    "grey": (torch.rand(1, 40, 48), r"tensor \(1, 40, 48\)"),
    "a batch": (torch.rand(1, 3, 40, 48), r"tensor \(1, 3, 40, 48\)"),
    "integers": (torch.zeros(3, 40, 48, dtype=torch.uint8), "torch.uint8"),
    "an array of floats": (np.zeros((40, 48, 3)), "float64"),
    "too large": (torch.rand(3, 8, 1025), "8 × 1025"),
}


@pytest.mark.parametrize("case", WRONG_IMAGES)
def test_a_wrong_image_is_named(case: str) -> None:
    image, message = WRONG_IMAGES[case]
    with shapes_unchecked(), pytest.raises(ValueError, match=message):
        RFExplorer(gridding(), image)


def test_a_network_without_maps_is_refused() -> None:
    with pytest.raises(ValueError, match="no layer of the network makes a map"):
        RFExplorer(nn.Sequential(nn.ReLU()), IMAGE)


WRONG_STACKS = {
    "nothing": ([], "a stack of 0 layers"),
    "too long": ([(3, 1, 1)] * 13, "a stack of 13 layers"),
    "a kind": ([(3, 1, 1, 1, "dense")], "layer 0 is a 'dense'"),
    "six numbers": ([(3, 1, 1, 1, "conv", 2)], r"layer 0 is \(3, 1, 1, 1, 'conv', 2\)"),
    "a stride": ([(3,), (3, 0)], "layer 1 has stride 0"),
    "a fraction": ([(3.0,)], "layer 0 has kernel 3.0"),
    "a pool's padding": ([(3, 2, 2, 1, "pool")], "padding 2: its window takes at most 1"),
    "nothing left": ([(11, 1, 0, 1), (11, 1, 0, 4)], r"layer 1 .*does not fit"),
    "too large": ([(8, 8, 0, 1, "transposed")] * 2, "layer 1 .* at most 512"),
}


@pytest.mark.parametrize("case", WRONG_STACKS)
def test_a_wrong_stack_is_named(case: str) -> None:
    layers, message = WRONG_STACKS[case]
    with pytest.raises(ValueError, match=message):
        RFExplorer.stack(IMAGE, layers)


def test_the_code_builds_the_module() -> None:
    for layers in STACKS.values():
        stack = checked_stack(layers, SIZE)
        scope: dict[str, Any] = {}
        exec(stack_code(stack), scope)
        assert str(scope["model"]) == str(stack_module(stack))
    assert "nn.MaxPool2d(2)," in stack_code([StackLayer(2, 2, 0, 1, "pool")])


def test_the_numbers_of_the_controls_are_the_same_in_both_languages() -> None:
    text = (FOLDER / "rf_stack.js").read_text()
    assert f"const RANGES = {[list(ends) for ends in RANGES.values()]};" in text
    assert "MOST_LAYERS = 12;" in text
    assert "MOST_UNITS = 512;" in text
    assert "CHANNELS = 16;" in text


class Sent(list):
    """Takes the place of a widget's `send`."""

    def __call__(self, content: dict, buffers: Any = None) -> None:
        self.append((content, buffers))


def spied(explorer: RFExplorer, monkeypatch: pytest.MonkeyPatch) -> Sent:
    sent = Sent()
    monkeypatch.setattr(explorer, "send", sent)
    return sent


def test_python_answers_a_change_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = RFExplorer.stack(IMAGE)
    sent = spied(explorer, monkeypatch)
    explorer.layers = [[7, 2, 3, 1, "conv"], [3, 2, 1, 1, "pool"]]
    content, _ = sent[-1]
    assert content == {
        "kind": "analysis",
        "layers": explorer.layers,
        "rows": [[[7, 7], ["2", "2"], [3, 3]], [[11, 11], ["4", "4"], [5, 5]]],
    }
    assert "nn.Conv2d(3, 16, 7, stride=2, padding=3)," in explorer.code
    assert isinstance(explorer.module, nn.Sequential)
    assert "11" in explorer.to_table()
    with pytest.raises(ValueError, match="layer 0 has stride 9"):
        explorer.layers = [[3, 9, 1, 1, "conv"]]
    assert len(sent) == 1


def test_a_network_has_no_stack_to_edit() -> None:
    explorer = RFExplorer(gridding(), IMAGE)
    with pytest.raises(ValueError, match="only a stack"):
        _ = explorer.code
    with pytest.raises(ValueError, match="only a stack"):
        explorer.layers = [[3, 1, 1, 1, "conv"]]


def test_python_measures_on_request(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    model = Branches()
    explorer = RFExplorer(model, IMAGE)
    sent = spied(explorer, monkeypatch)
    for layer, unit in (("wide", (5, 6)), ("", (0, 20))):
        explorer._hear(explorer, {"kind": "measure", "asked": 4, "layer": layer, "unit": list(unit)}, [])
        content, buffers = sent[-1]
        wanted = measured_receptive_field(model, SIZE, unit, layer or None)
        assert wanted is not None
        assert content == {"kind": "measured", "asked": 4, "measured": [*wanted[0], *wanted[1]], "analytic": [*wanted[0], *wanted[1]]}
        heat = np.frombuffer(buffers[0], np.uint8).reshape(SIZE)
        assert np.array_equal(heat, measured_heat(model, SIZE, unit, layer or None)[1])


def test_heat_is_there_exactly_where_a_path_is(one_thread: None) -> None:
    model = gridding()
    heat = measured_heat(model, SIZE, (20, 20), "2")[1]
    assert np.array_equal(heat > 0, receptive_fields(model, SIZE)["2"].paths(20, 20) > 0)
    assert heat.max() == 255
    assert heat[20, 20] == 255


def test_a_measurement_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    explorer = RFExplorer(gridding(), IMAGE)
    sent = spied(explorer, monkeypatch)
    explorer._hear(explorer, {"kind": "measure", "asked": 1, "layer": "7", "unit": [0, 0]}, [])
    content, _ = sent[-1]
    assert content["kind"] == "failed"
    assert "no module is called '7'" in content["why"]
    explorer._hear(explorer, {"kind": "hello"}, [])
    assert len(sent) == 1


def test_the_repr_and_the_picture_are_the_same_every_time() -> None:
    first, second = RFExplorer(gridding(), IMAGE), RFExplorer(gridding(), IMAGE)
    bundle_of = [explorer._repr_mimebundle_()[0] for explorer in (first, second)]
    assert repr(first) == repr(second) == bundle_of[0]["text/plain"]
    assert repr(first).startswith("RFExplorer: what one unit sees of an image of 40 × 48 pixels")
    assert "2 13 × 13" in repr(first)
    assert bundle_of[0]["text/html"] == bundle_of[1]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle_of[0]


def test_a_picture_and_a_table_stand_in() -> None:
    html = RFExplorer(gridding(), IMAGE)._repr_mimebundle_()[0]["text/html"]
    assert re.match(r'<img alt="what one unit sees[^"]{60,}"', html)
    picture = Image.open(io.BytesIO(base64.b64decode(html.split("base64,")[1].split('"')[0])))
    assert picture.format == "PNG"
    assert picture.size[0] > 600
    table = html.split("<pre>")[1]
    assert re.search(r"^2\s+Conv2d\s+40 × 48\s+13\s+1\s+6$", table.removesuffix("</pre></details>"), flags=re.M)


def test_the_front_end_asks_for_nothing() -> None:
    explorer = RFExplorer(gridding(), IMAGE)
    code = str(explorer._esm) + str(explorer._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1


def test_every_script_is_in_the_bundle_once() -> None:
    files = ["lab.js", *sorted(path.name for path in FOLDER.glob("rf_*.js"))]
    code = bundle(*files)
    assert str(RFExplorer._esm).count("\n") == code.count("\n")
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", str(RFExplorer._esm), flags=re.M)
    assert len(names) == len(set(names)) > 40


def test_the_page_is_whole(tmp_path: Path) -> None:
    explorer = RFExplorer(gridding(), IMAGE)
    path = explorer.export(tmp_path / "explorer.html", title="Dilation & gaps")
    text = path.read_text()
    assert text == explorer.to_html("Dilation & gaps")
    assert "<title>Dilation &amp; gaps</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    state = json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]
    assert state == {"data": explorer.data, "layers": [], "pins": []}
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere for x\.html"):
        explorer.export(tmp_path / "nowhere" / "x.html")


def test_a_name_cannot_break_the_page() -> None:
    class Bad(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("</script><b>", nn.Conv2d(3, 3, 3))

        def forward(self, images: Tensor) -> Tensor:
            return self.get_submodule("</script><b>")(images)

    assert "</script><b>" not in RFExplorer(Bad(), IMAGE).to_html()
