"""StitchLab without a browser: what its passes hold, what it sends, its arithmetic in JavaScript against Python's, its picture and page."""

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
from unchecked import shapes_unchecked

from edu_seg.receptive_field import receptive_fields
from edu_seg.surgery import CannotConvert, remove_stride
from edu_seg.widgets import StitchLab, StitchSteps, stitch_steps
from edu_seg.widgets.base import FOLDER, bundle

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node on the PATH: the browser's arithmetic is run by it")

SIZE = (18, 19)


def image(channels: int = 3, size: tuple[int, int] = SIZE) -> Tensor:
    return torch.rand(channels, *size, generator=torch.Generator().manual_seed(1))


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def two() -> nn.Module:
    """Stride 2, field 8."""
    return seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 3)))


def padded() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 1, 3, padding=1)))


def four() -> nn.Module:
    """Stride 4, and gaps in the field: the last layer's taps lie 8 pixels apart."""
    return seeded(lambda: nn.Sequential(nn.Conv2d(3, 3, 3, 2), nn.Conv2d(3, 3, 2, 2), nn.Conv2d(3, 1, 2, dilation=2)))


def grey() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Conv2d(1, 3, 4, 3), nn.ReLU(), nn.Conv2d(3, 1, 1)))


NETS = {"two": (two, 2, 3), "padded": (padded, 2, 3), "four": (four, 4, 3), "grey": (grey, 3, 1)}
each_net = pytest.mark.parametrize("name", NETS)


def steps_of(name: str, channel: int = 0) -> StitchSteps:
    make, stride, channels = NETS[name]
    return stitch_steps(make(), image(channels), stride, channel=channel)


def lab_of(name: str, **options: Any) -> StitchLab:
    make, stride, channels = NETS[name]
    return StitchLab(make(), image(channels), stride, **options)


@each_net
def test_every_cell_is_the_unit_of_its_pass(name: str) -> None:
    """Each pass by running the network on the cropped image, cell by cell."""
    make, stride, channels = NETS[name]
    steps, net = steps_of(name), make().double()
    for y in range(stride):
        for x in range(stride):
            crop = torch.nn.functional.pad(image(channels).double(), (0, x, 0, y))[:, y:, x:]
            made = net(crop[None])[0, 0].detach().numpy()
            np.testing.assert_allclose(steps.passes[y * stride + x], made, rtol=0, atol=1e-12)
            own = steps.stitched[y::stride, x::stride]
            np.testing.assert_allclose(own, made[: own.shape[0], : own.shape[1]], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["two", "four", "grey"])
def test_without_padding_the_error_is_nothing_at_every_step(name: str) -> None:
    steps = steps_of(name)
    assert max(steps.errors) <= 1e-12
    assert steps.differing == [0] * steps.stride**2
    assert steps.filled[-1] == steps.dense.size == steps.stitched.size
    assert steps.filled[0] == len(range(0, steps.dense.shape[0], steps.stride)) * len(range(0, steps.dense.shape[1], steps.stride))


def test_with_padding_only_the_first_pass_is_exact() -> None:
    steps = steps_of("padded")
    difference = np.abs(steps.stitched - steps.dense)
    assert steps.errors[0] <= 1e-12
    assert steps.errors == sorted(steps.errors)
    assert steps.errors[-1] == difference.max() > 0.01
    assert steps.differing[-1] == (difference > 1e-12).sum() > 20
    assert difference[4:-6, 4:-6].max() <= 1e-12  # away from the border nothing differs


def test_large_values_are_allowed_more_rounding() -> None:
    net = two()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 1000
    steps = stitch_steps(net, image(), 2)
    assert steps.tolerance == 1e-12 * np.abs(steps.dense).max() > 1e-9
    assert steps.differing[-1] == 0


def test_a_channel_is_chosen() -> None:
    net, picture = two().double(), image().double()[None]
    wanted = remove_stride(net, 1)(picture)[0, 1].detach().numpy()
    np.testing.assert_allclose(steps_of("two", channel=1).dense, wanted, rtol=0, atol=1e-12)
    assert np.abs(steps_of("two").dense - wanted).max() > 0.01


def test_the_net_stays_as_it_was() -> None:
    net = nn.Sequential(nn.Conv2d(3, 1, 2, 2), nn.Dropout(0.5)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first, second = stitch_steps(net, image(), 2), stitch_steps(net, image(), 2)
    assert np.array_equal(first.stitched, second.stitched)  # dropout is off on the copy
    assert net.training
    assert net[1].training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net[0].weight.dtype == torch.float32


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "too large": (lambda: StitchLab(two(), image(3, (16, 33)), 2), ValueError, "16 × 33 pixels: give a small one, at most 32"),
    "two channels": (lambda: StitchLab(two(), image(2), 2), ValueError, r"tensor \(2, 18, 19\)"),
    "a batch": (lambda: StitchLab(two(), image()[None], 2), ValueError, r"tensor \(1, 3, 18, 19\)"),
    "bytes": (lambda: StitchLab(two(), (image() * 255).byte(), 2), ValueError, "torch.uint8"),
    "stride 1": (lambda: StitchLab(two(), image(), 1), ValueError, "stride 1: "),
    "stride 5": (lambda: StitchLab(two(), image(), 5), ValueError, "give a network of stride 2, 3 or 4"),
    "not the net's": (lambda: StitchLab(two(), image(), 3), ValueError, "its stride is not 3"),
    "channel": (lambda: StitchLab(two(), image(), 2, channel=2), ValueError, "channel 2: the network makes 2"),
    "negative channel": (lambda: StitchLab(two(), image(), 2, channel=-1), ValueError, "channel -1"),
    "step 0": (lambda: StitchLab(two(), image(), 2, step=0), ValueError, "step 0: there are 4 passes"),
    "step 5": (lambda: StitchLab(two(), image(), 2, step=5), ValueError, "step 5: there are 4 passes"),
    "whole maps": (
        lambda: StitchLab(nn.Sequential(nn.Conv2d(3, 1, 3, 2), nn.InstanceNorm2d(1)), image(), 2),
        CannotConvert,
        "InstanceNorm2d '1'",
    ),
    "ceil_mode": (
        lambda: StitchLab(nn.Sequential(nn.Conv2d(3, 1, 1), nn.MaxPool2d(2, ceil_mode=True)), image(), 2),
        ValueError,
        "give a network whose pools have no ceil_mode",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_named(case: str) -> None:
    make, error, message = WRONG[case]
    with shapes_unchecked(), pytest.raises(error, match=message):
        make()


def test_the_step_can_be_set_from_python() -> None:
    lab = lab_of("two", step=3)
    assert lab.step == 3
    lab.step = 4
    with pytest.raises(ValueError, match="step 5: there are 4 passes, counted from 1"):
        lab.step = 5
    assert lab.step == 4


def node(script: str, data: Any, folder: Path) -> Any:
    """What a script prints as JSON, run by node over the widget's own files; `data` is its input."""
    code = f"""import {{ readFileSync }} from 'node:fs';
import {{ StitchedGrid }} from "{folder}/stitch_lab_grid.js";
const data = JSON.parse(readFileSync(0, 'utf-8'));
const grid = new StitchedGrid(data);
{script}"""
    done = subprocess.run(
        ["node", "--input-type=module", "-e", code], input=json.dumps(data), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JavaScript files where node takes them for modules."""
    folder = tmp_path_factory.mktemp("js")
    (folder / "package.json").write_text('{"type": "module"}')
    for path in [*FOLDER.glob("rf_*.js"), *FOLDER.glob("stitch_lab*.js")]:
        shutil.copy(path, folder)
    return folder


@needs_node
@each_net
def test_the_browser_tallies_as_python_does(name: str, modules: Path) -> None:
    lab = lab_of(name)
    found = node("console.log(JSON.stringify(grid.after));", lab.data, modules)
    steps = lab.steps
    assert found[0] == {"filled": 0, "error": 0, "differing": 0}
    assert [row["filled"] for row in found[1:]] == steps.filled
    assert [row["error"] for row in found[1:]] == steps.errors
    assert [row["differing"] for row in found[1:]] == steps.differing


@needs_node
@each_net
def test_the_browser_knows_what_each_cell_sees(name: str, modules: Path) -> None:
    """The box of every cell is the à trous unit's; the pixels that it reads are those of the coarse unit in the shifted copy."""
    make, stride, channels = NETS[name]
    net = make()
    script = """
const width = grid.cells[1];
console.log(JSON.stringify(grid.dense.map((_, n) => {
  const cell = grid.at(n, width);
  return { ...grid.lookAt(grid.passOf(cell), grid.unitOf(cell)), back: grid.cellOf(grid.passOf(cell), grid.unitOf(cell)) };
})));"""
    found = node(script, lab_of(name).data, modules)
    dense = receptive_fields(remove_stride(net, 1), SIZE, channels=channels)["output"]
    coarse = receptive_fields(net, SIZE, channels=channels)["output"]
    width = dense.map_size[1]
    for place, sent in enumerate(found):
        y, x = divmod(place, width)
        assert sent["back"] == [y, x]
        assert sent["hull"] == [*dense.rows(y), *dense.cols(x)]
        read = np.zeros(SIZE, bool)
        for product in sent["pixels"]:
            read[np.ix_(product["rows"], product["columns"])] = True
        wanted = np.zeros(SIZE, bool)
        dy, dx = y % stride, x % stride
        wanted[dy:, dx:] = coarse.paths(y // stride, x // stride)[: SIZE[0] - dy, : SIZE[1] - dx] > 0
        assert np.array_equal(read, wanted)


@needs_node
def test_the_sentences(modules: Path) -> None:
    script = f"""
import {{ cellWords, decimal, droppedWords, magnitude, passWords, verdictOf }} from "{modules}/stitch_lab_words.js";
console.log(JSON.stringify([
  [0, 2.2e-16, 0.00012, 0.31249, 12.5].map(magnitude), [-0.00001, -1.5, 0.25].map(decimal), passWords(grid, 3), passWords(grid, 4),
  cellWords(grid, [5, 3], 4), cellWords(grid, [5, 3], 3), droppedWords(grid, 2, [5, 0]), verdictOf(grid, 4).same,
]));
"""
    steps = steps_of("two")
    value = f"{steps.stitched[5, 3]:.4f}".replace("-", "−")
    cell = "unit (2, 1) of pass (1, 1), as 5 = 2 · 2 + 1 and 3 = 2 · 1 + 1"
    sees = "It sees rows 5 to 12, columns 3 to 10: 8 × 8 pixels."
    assert steps.dense.shape == (11, 12)
    assert node(script, lab_of("two").data, modules) == [
        ["0", "2.2 × 10⁻¹⁶", "1.2 × 10⁻⁴", "0.312", "12.5"],
        ["0.0000", "−1.5000", "0.2500"],
        "Pass 3 of 4, shift (1, 0): the network sees the image from row 1, column 0 on. "
        "Its 30 units fill rows 1, 3, 5 … and columns 0, 2, 4 …; 102 of 132 cells are filled.",
        "Pass 4 of 4, shift (1, 1): the network sees the image from row 1, column 1 on. "
        "Its 30 units fill rows 1, 3, 5 … and columns 1, 3, 5 …; all 132 cells are filled.",
        f"Cell (5, 3) is {cell}. Stitched {value}, à trous {value}: the same. {sees}",
        f"Cell (5, 3) is still empty; pass 4 will fill it: {cell}. À trous has {value}. {sees}",
        "Unit (5, 0) of pass (1, 0) is dropped: it reaches rows beyond the image, where the shifted copy holds zeros.",
        True,
    ]


@needs_node
def test_the_sentences_where_padding_is(modules: Path) -> None:
    script = f"""
import {{ cellWords, verdictOf }} from "{modules}/stitch_lab_words.js";
console.log(JSON.stringify([cellWords(grid, [1, 1], 4), verdictOf(grid, 1), verdictOf(grid, 4)]));
"""
    steps = steps_of("padded")
    cell, first, last = node(script, lab_of("padded").data, modules)
    assert re.search(r"they differ by 0\.\d+, for a pass pads its own crop, à trous the image\.", cell)
    assert cell.endswith("It sees rows −2 to 5, columns −2 to 5: 8 × 8 pixels, some outside of the image.")
    assert first["same"] is True
    assert last["same"] is False
    assert last["words"].startswith(f"✗ {steps.differing[-1]} differ from à trous; largest error of {steps.dense.size} filled cells: 0.")


@each_net
def test_what_is_sent_is_whole_and_small(name: str) -> None:
    lab = lab_of(name)
    data = json.loads(json.dumps(lab.data))
    assert data == lab.data
    assert data["size"] == list(SIZE)
    assert np.array_equal(np.array(data["passes"]), lab.steps.passes.reshape(len(lab.steps.passes), -1))
    assert np.array_equal(np.array(data["dense"]).reshape(data["cells"]), lab.steps.dense)
    assert data["graph"]["nodes"][data["node"]]["sizes"] == data["map"]
    channels = NETS[name][2]
    wanted = (image(channels) * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0)
    assert data["image"] == wanted.flatten().tolist()
    assert len(json.dumps(data)) < 40_000


def test_the_repr_and_the_picture_are_the_same_every_time() -> None:
    first, second = lab_of("two"), lab_of("two")
    sent = [lab._repr_mimebundle_()[0] for lab in (first, second)]
    assert repr(first) == repr(second) == sent[0]["text/plain"]
    assert repr(first).startswith("StitchLab: shift-and-stitch of a network of stride 2 on an image of 18 × 19 pixels: 4 shifted passes")
    assert "the largest error is below 1e-12" in repr(first)
    assert re.search(r"the largest error is 0\.\d+, and \d+ cells differ;", repr(lab_of("padded")))
    assert sent[0]["text/html"] == sent[1]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in sent[0]


@each_net
def test_a_picture_stands_in(name: str) -> None:
    html = lab_of(name)._repr_mimebundle_()[0]["text/html"]
    assert re.match(r'<img alt="shift-and-stitch[^"]{100,}"', html)
    picture = Image.open(io.BytesIO(base64.b64decode(html.split("base64,")[1].split('"')[0])))
    assert picture.format == "PNG"
    assert picture.size[0] > 2 * picture.size[1] > 500


def test_the_front_end_asks_for_nothing() -> None:
    code = str(StitchLab._esm) + str(StitchLab._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1


def test_every_script_is_in_the_bundle_once() -> None:
    text = str(StitchLab._esm)
    for path in FOLDER.glob("stitch_lab*.js"):
        part = bundle(path.name)  # what is exported stays so in the last only
        assert re.sub(r"^export ", "", part, flags=re.M).strip() in re.sub(r"^export ", "", text, flags=re.M)
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", text, flags=re.M)
    assert len(names) == len(set(names)) > 40


def test_the_page_is_whole(tmp_path: Path) -> None:
    lab = lab_of("two", step=2)
    text = lab.export(tmp_path / "lab.html", title="Shift & stitch").read_text()
    assert text == lab.to_html("Shift & stitch")
    assert "<title>Shift &amp; stitch</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    state = json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]
    assert state == {"data": lab.data, "step": 2}
