"""DecoderLab without a browser: its maps against the nets' own, its arithmetic in JavaScript against Python's, its traits and its page."""

import base64
import io
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from in_node import as_modules, needs_node, node
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close
from unchecked import shapes_unchecked

from edu_seg.models import build
from edu_seg.widgets import DecoderLab, DecoderSteps, decoder_steps
from edu_seg.widgets.base import FOLDER
from edu_seg.widgets.decoder_lab import MODES, MOST_PIXELS, SCRIPTS

NETS = {
    "segnet": ({"width": 1 / 16}, (32, 32)),
    "segnet_basic": ({"width": 1 / 16}, (27, 33)),  # odd maps: windows of one row or column
    "deconvnet": ({"width": 1 / 64, "input_size": 64}, (64, 80)),
}


def net_of(name: str, num_classes: int = 3) -> nn.Module:
    """Untrained, with running statistics as they are after some training, so that no map is nearly zero."""
    torch.manual_seed(0)
    net = build(name, num_classes, **NETS[name][0])
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net.train()(torch.rand(2, 3, *NETS[name][1]))
    return net.eval()


def image_of(name: str) -> Tensor:
    return torch.rand(3, *NETS[name][1], generator=torch.Generator().manual_seed(1))


@cache
def steps_of(name: str) -> DecoderSteps:
    return decoder_steps(net_of(name), image_of(name))


@cache
def lab_of(name: str) -> DecoderLab:
    """One that no test changes."""
    return DecoderLab(net_of(name), image_of(name))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("mode", ["switches", "fixed"])
def test_maps_are_the_nets_own(name: str, mode: str) -> None:
    """Every channel that is shown, and the norm, of every map of `steps`; the labels too."""
    net, image, steps = net_of(name).double(), image_of(name).double(), steps_of(name)
    net.unpooling = mode  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        own = dict(net.steps(image[None]))  # pyright: ignore[reportCallIssue]
    checked = []
    for stage in steps.stages[:-1]:
        features = own[stage.name][0]
        assert_close(
            stage.values[mode], torch.cat([features[list(stage.channels)], features.norm(dim=0, keepdim=True)]), rtol=0, atol=1e-12
        )
        assert (stage.num_channels, stage.size) == (len(features), tuple(features.shape[1:]))
        checked.append(stage.name)
    skipped = {name for name in own if name.startswith("pool")} - {checked[0]}
    assert set(own) - skipped - set(checked) == ({"decoder1"} if name == "segnet" else set())
    assert torch.equal(steps.labels(mode), own["score"][0].argmax(0))


@pytest.mark.parametrize("name", NETS)
def test_stages_go_from_coarse_to_fine(name: str) -> None:
    steps = steps_of(name)
    sides = [stage.size[0] for stage in steps.stages]
    assert steps.stages[-1].size == NETS[name][1]
    assert all(finer >= coarser or stage.name == "fc7" for coarser, finer, stage in zip(sides, sides[1:], steps.stages[1:], strict=False))
    unpooled = [stage.name for stage in steps.stages if stage.kind == "unpool"]
    assert unpooled == [f"unpool{number}" for number in range(len(unpooled), 0, -1)]
    assert [stage.name for stage in steps.stages[-2:]] == ["score", "labels"]


@pytest.mark.parametrize("name", NETS)
def test_the_strongest_channels_come_first(name: str) -> None:
    steps = steps_of(name)
    for below, stage in zip(steps.stages, steps.stages[1:], strict=False):
        if stage.kind == "unpool":
            assert stage.channels == below.channels
        elif stage.kind == "map":
            shown = stage.values["switches"][:-1].flatten(1)
            strength = (shown.var(1) if shown.shape[1] > 1 else shown.squeeze(1).abs()).tolist()
            assert strength == sorted(strength, reverse=True)
            assert len(stage.channels) == min(3, stage.num_channels) == len(set(stage.channels))


def test_of_a_map_of_one_unit_the_largest_are_shown() -> None:
    """SegNet's last pool on 32 × 32: a unit that does not vary is not for that reason empty."""
    first = steps_of("segnet").stages[0]
    features = first.values["switches"]
    assert features.shape[1:] == (1, 1)
    assert features[0] == features[:-1].max() > 0


@pytest.mark.parametrize("name", NETS)
def test_places_put_every_value_where_it_is(name: str) -> None:
    """By a loop over all windows, in all three modes."""
    for below, stage in zip(steps_of(name).stages, steps_of(name).stages[1:], strict=False):
        for mode, places in stage.places.items():
            made = torch.zeros(len(places), *stage.size, dtype=torch.float64)
            for channel, row, column in np.ndindex(*places.shape):
                place = int(places[channel, row, column])
                made[channel, 2 * row + place // 2, 2 * column + place % 2] = below.values[mode][channel, row, column]
            assert torch.equal(made, stage.values[mode][:-1]), (stage.name, mode)


def test_shuffled_places_are_as_many_of_each_sort() -> None:
    for stage in (stage for stage in steps_of("segnet").stages if stage.kind == "unpool"):
        counts = [[torch.bincount(part.flatten(), minlength=4).tolist() for part in stage.places[mode]] for mode in MODES]
        assert counts[0] == counts[2]
        assert all(fixed[1:] == [0, 0, 0] for fixed in counts[1])
    places = steps_of("segnet")["unpool1"].places
    assert not torch.equal(places["switches"], places["shuffled"])


def test_units_read_what_they_are_said_to_read() -> None:
    """By gradient, through the stage's own convolutions."""
    steps = steps_of("segnet")
    layers = [layer for layer in net_of("segnet").double().get_submodule("decoder.2").modules() if isinstance(layer, nn.Conv2d)]
    x = torch.rand(1, layers[0].in_channels, 15, 15, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(nn.Sequential(*layers)(x)[0, :, 7, 7].sum(), x)
    rows = gradient[0].abs().sum((0, 2)).nonzero().flatten().tolist()
    first, last = steps["decoder3"].reads
    assert (rows[0], rows[-1]) == (7 + first, 7 + last)
    assert [steps_of("deconvnet")[name].reads for name in ("fc7", "fc6_deconv", "deconv1", "score")] == [(0, 1), (-1, 0), (-2, 2), (0, 0)]
    assert steps_of("segnet_basic")["decoder2"].reads == (-3, 3)


def test_the_model_is_left_as_it_was() -> None:
    net = net_of("segnet").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    decoder_steps(net, image_of("segnet"))
    assert net.training
    assert net.unpooling == "switches"
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_changes_and_their_band() -> None:
    steps = steps_of("segnet_basic")
    own = steps.labels("switches")
    for mode in MODES:
        assert torch.equal(steps.changed(mode), steps.labels(mode) != own)
    assert int(steps.changed("switches").sum()) == 0 < int(steps.changed("fixed").sum())
    padded = nn.functional.pad(own[None].double(), (2, 2, 2, 2), mode="replicate")[0].unfold(0, 5, 1).unfold(1, 5, 1)
    assert torch.equal(steps.band, (padded != own[..., None, None]).flatten(2).any(2))
    with pytest.raises(KeyError, match="no stage 'unpool9': pool4, unpool4"):
        steps["unpool9"]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (torch.rand(1, 32, 32), r"a tensor \(1, 32, 32\) of torch.float32: give finite floats"),
        (torch.rand(32, 32), r"a tensor \(32, 32\)"),
        (torch.zeros(3, 32, 32, dtype=torch.uint8), r"of torch.uint8"),
        (torch.full((3, 32, 32), torch.nan), "finite"),
        (torch.rand(3, 32, 81), "the image has 32 × 81 pixels: give 1 to 80 a side"),
    ],
)
def test_an_image_that_cannot_be_shown_is_refused(image: Tensor, said: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=said):
        DecoderLab(net_of("segnet"), image)


def test_other_bad_input_is_named() -> None:
    net, image = net_of("segnet"), image_of("segnet")
    with pytest.raises(TypeError, match="the model is a UNet: give a net with switches"):
        DecoderLab(build("unet", 2, width=1 / 16), image)
    with pytest.raises(ValueError, match="images of 32 × 32 are too small for fc6: the nearest size that this net takes is 33 × 33"):
        DecoderLab(net_of("deconvnet"), image)
    with pytest.raises(ValueError, match=r"there are 2 names \('sky', 'sea'\), but the model has 3 classes"):
        DecoderLab(net, image, names=["sky", "sea"])
    with pytest.raises(ValueError, match="the palette has 2 colours, but the model has 3 classes"):
        DecoderLab(net, image, palette=np.zeros((2, 3), np.uint8))
    with shapes_unchecked(), pytest.raises(ValueError, match=r"the picture is \(3, 16, 16\), the image \(3, 32, 32\)"):
        DecoderLab(net, image, picture=torch.rand(3, 16, 16))
    with pytest.raises(ValueError, match="stage is 'unpool6': give one of 'pool5', 'unpool5'"):
        DecoderLab(net, image, stage="unpool6")


@pytest.fixture(scope="module")
def changing() -> DecoderLab:
    return DecoderLab(net_of("segnet"), image_of("segnet"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stage": "encoder"}, "stage is 'encoder': give one of 'pool5'"),
        ({"mode": "random"}, "mode is 'random': give one of 'switches', 'fixed', 'shuffled'"),
        ({"channel": 4}, "channel is 4: give one of 1, 2, 3, 'all'"),
        ({"channel": True}, "channel is True"),
        ({"cell": (4, 0)}, r"cell is \(4, 0\): give \(row, column\) of unpool4's 4 × 4 units, or None"),
        ({"cell": (1.0, 0)}, r"cell is \(1\.0, 0\)"),
        ({"cell": 3}, "cell is 3"),
        ({"colour": 3}, "there is no setting colour: give some of stage, mode, cell, channel"),
    ],
)
def test_what_there_is_none_of_is_said(changing: DecoderLab, values: dict, said: str) -> None:
    changing.set(stage="unpool4", mode="fixed", cell=(3, 3), channel=2)
    with pytest.raises(ValueError, match=said):
        changing.set(**values)
    if "colour" not in values:
        with pytest.raises(ValueError, match=said):
            setattr(changing, *next(iter(values.items())))
    assert (changing.stage, changing.mode, changing.cell, changing.channel) == ("unpool4", "fixed", (3, 3), 2)


def test_traits_are_taken_as_a_browser_sends_them(changing: DecoderLab) -> None:
    changing.set(stage="unpool4", mode="switches", cell=(3, 3), channel=1)
    changing.set_state({"stage": "unpool1", "cell": [31, 5], "mode": "shuffled", "channel": "all"})
    assert (changing.stage, changing.mode, changing.cell, changing.channel) == ("unpool1", "shuffled", (31, 5), "all")
    changing.stage = "unpool2"
    assert changing.cell is None
    changing.cell = [15, 15]
    changing.stage = "labels"
    assert changing.cell == (15, 15)
    changing.set(stage="unpool5")
    assert changing.cell is None


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    return as_modules(SCRIPTS, tmp_path)


@needs_node
@pytest.mark.parametrize("name", NETS)
def test_the_browser_has_every_map(name: str, modules: Path) -> None:
    """Decoded, unpooled by its own hand, and back in numbers: within half a step of Python's, and empty just where Python has nothing."""
    script = """
import { Decoder } from "./decoder_lab_maths.mjs";
const decoder = new Decoder(data);
const number = (n, channel, { values }) => [...values].map((byte) => decoder.value(n, channel, byte));
console.log(JSON.stringify(decoder.stages.slice(0, -1).map((_, n) => decoder.modes.map((mode) => [1, 2, 3, "all"].map((channel) => {
  const map = decoder.map(n, mode, channel);
  return { values: number(n, channel, map), filled: map.filled && [...map.filled] };
})))));
"""
    lab = lab_of(name)
    for stage, modes in zip(lab.steps.stages, node(script, lab.data, modules), strict=False):
        every = torch.stack([stage.values[mode] for mode in MODES])
        for mode, maps in zip(MODES, modes, strict=True):
            for channel, found in enumerate(maps):
                index = -1 if channel == 3 else min(channel, len(stage.channels) - 1)
                wanted = stage.values[mode][index].flatten()
                low, high = min(0.0, float(every[:, index].min())), max(0.0, float(every[:, index].max()))
                if stage.kind == "unpool" and channel < 3:
                    empty = torch.tensor(found["filled"]) == 0
                    assert int(empty.sum()) == wanted.numel() - stage.places[mode][0].numel()
                    assert torch.all(wanted[empty] == 0)
                    assert_close(
                        torch.tensor(found["values"], dtype=torch.float64)[~empty],
                        wanted[~empty],
                        rtol=0,
                        atol=0.51 * (high - low) / 255 + 1e-9,
                    )
                else:
                    assert found["filled"] is None
                    assert_close(
                        torch.tensor(found["values"], dtype=torch.float64), wanted, rtol=1e-5, atol=0.51 * (high - low) / 255 + 1e-9
                    )


@needs_node
@pytest.mark.parametrize("name", NETS)
def test_the_browser_counts_what_changes(name: str, modules: Path) -> None:
    script = """
import { Decoder } from "./decoder_lab_maths.mjs";
const decoder = new Decoder(data);
console.log(JSON.stringify(decoder.modes.map((mode) => decoder.changes(mode))));
"""
    steps = steps_of(name)
    for mode, found in zip(MODES, node(script, lab_of(name).data, modules), strict=True):
        changed = steps.changed(mode)
        wanted = {"changed": changed, "near": changed & steps.band, "band": steps.band}
        assert found == {key: int(part.sum()) for key, part in wanted.items()} | {"pixels": changed.numel()}


@needs_node
def test_a_value_is_followed(modules: Path) -> None:
    """Up from a unit of the bottom to where unpooling puts it, stage by stage, and down again to the same unit."""
    script = """
import { Decoder } from "./decoder_lab_maths.mjs";
const decoder = new Decoder(data);
const last = decoder.stages.length - 1;
console.log(JSON.stringify(decoder.modes.map((mode) => {
  const up = decoder.stages.map((_, n) => decoder.followed(0, n, [1, 2], mode, 2));
  return [up, decoder.followed(last, 0, up[last], mode, 2)];
})));
"""
    steps = steps_of("segnet_basic")
    for mode, (up, down) in zip(MODES, node(script, lab_of("segnet_basic").data, modules), strict=True):
        cell, wanted = (1, 2), []
        for stage in steps.stages:
            if stage.kind == "unpool":
                place = int(stage.places[mode][1][cell])
                cell = (2 * cell[0] + place // 2, 2 * cell[1] + place % 2)
            wanted.append(list(cell))
        assert up == wanted
        assert down == [1, 2]


def tiny() -> dict:
    """Two units, unpooled to two rows of four, and the labels: what the browser is sent, by hand."""
    values = [bytes([51, 255]), bytes([51, 255])]  # of channel 7, and the norm; 255 is 1.0
    below = b"".join(values) * 3
    places = b"".join(bytes(places) + bytes(range(8)) for places in ([3, 0], [0, 0], [0, 3]))
    score = bytes(range(0, 160, 20)) * 6
    labels = bytes([0, 0, 1, 1, 0, 0, 1, 1]) + bytes([0, 1, 1, 1, 0, 0, 1, 1]) + bytes([1, 1, 1, 1, 1, 1, 1, 0])
    row = {"of": 9, "reads": (0, 0), "channels": (7,), "ranges": [[0, 1], [0, 1]]}
    stages = [
        {**row, "name": "pool1", "kind": "map", "size": (1, 2)},
        {**row, "name": "unpool1", "kind": "unpool", "size": (2, 4)},
        {**row, "name": "score", "kind": "map", "size": (2, 4), "reads": (-1, 1), "channels": (1,), "ranges": [[-1, 1], [0, 1]], "of": 2},
        {**row, "name": "labels", "kind": "labels", "size": (2, 4), "channels": (0,)},
    ]
    return {"modes": MODES, "band": 1, "stages": stages, "bytes": base64.b64encode(below + places + score + labels).decode()}


SENTENCES = {
    "first": (
        "stage",
        [0, "switches", 1],
        "Stage 1 of 4, pool1, 1 × 2: the encoder's last map, the same whatever the switches. From here the decoder "
        "leads back to the pixels.",
    ),
    "switches": (
        "stage",
        [1, "switches", 1],
        "Stage 2 of 4, unpool1, 2 × 4: each value goes to the place that its switch names; 25 % of the map is filled.",
    ),
    "fixed": (
        "stage",
        [1, "fixed", "all"],
        "Stage 2 of 4, unpool1, 2 × 4: each value goes to the upper left corner of its window, whatever its switch "
        "names; of each channel a quarter is filled.",
    ),
    "convolved": (
        "stage",
        [2, "fixed", 1],
        "Stage 3 of 4, score, 2 × 4: convolutions make it dense again: each unit reads 3 × 3 units of unpool1.",
    ),
    "labels": (
        "stage",
        [3, "switches", 1],
        "Stage 4 of 4, labels, 2 × 4. With fixed places 1 label of 8 changes (13 %); 100 % of it within 1 pixel of a "
        "boundary, where 50 % of the image lies.",
    ),
    "shuffled": (
        "stage",
        [3, "shuffled", 1],
        "Stage 4 of 4, labels, 2 × 4. With shuffled switches 5 labels of 8 change (63 %); 40 % of them within 1 pixel "
        "of a boundary, where 50 % of the image lies.",
    ),
    "placed": (
        "unit",
        [1, [1, 1], "switches", "fixed", 1],
        "Unit (1, 1) of unpool1: 0.2, the value of unit (0, 0) of pool1; the switch of its window names lower right.",
    ),
    "empty": (
        "unit",
        [1, [0, 3], "switches", "fixed", 1],
        "Unit (0, 3) of unpool1: empty. 1, the value of unit (0, 1) of pool1, is at (0, 2); the switch of its window names upper left.",
    ),
    "fixed place": (
        "unit",
        [1, [0, 0], "fixed", "switches", 1],
        "Unit (0, 0) of unpool1: 0.2, the value of unit (0, 0) of pool1; fixed: always upper left; its own switch names lower right.",
    ),
    "norm": (
        "unit",
        [1, [1, 3], "switches", "fixed", "all"],
        "Unit (1, 3) of unpool1: norm 0.027, of values of unit (0, 1) of pool1; each channel has its own switch.",
    ),
    "bottom": ("unit", [0, [0, 1], "switches", "fixed", 1], "Unit (0, 1) of pool1, channel 7 of 9: 1."),
    "score": (
        "unit",
        [2, [0, 0], "switches", "fixed", 1],
        "Unit (0, 0) of score, score of object: −1 with switches, −1 with fixed places. It reads rows −1 to 1, columns −1 to 1 of unpool1.",
    ),
    "pixel": (
        "unit",
        [3, [0, 1], "switches", "fixed", 1],
        "Pixel (0, 1): ground with switches, object with fixed places. It lies within 1 pixel of a boundary.",
    ),
    "same": ("unit", [3, [0, 3], "fixed", "switches", 1], "Pixel (0, 3): object with fixed places, the same with switches."),
}


@needs_node
@pytest.mark.parametrize("case", SENTENCES)
def test_sentences(case: str, modules: Path) -> None:
    kind, arguments, words = SENTENCES[case]
    script = """
import { Decoder } from "./decoder_lab_maths.mjs";
import { stageSentence, unitSentence } from "./decoder_lab_words.mjs";
const decoder = new Decoder(data.sent);
const say = { stage: stageSentence, unit: unitSentence }[data.kind];
console.log(JSON.stringify(say(decoder, ...data.arguments, ["ground", "object"])));
"""
    found = node(script, {"sent": tiny(), "kind": kind, "arguments": arguments}, modules)
    assert str(found).replace("\xa0", " ") == words


def test_the_repr_says_what_changes() -> None:
    steps, lab = steps_of("segnet_basic"), lab_of("segnet_basic")
    changed = [int(steps.changed(mode).sum()) for mode in MODES]
    assert repr(lab).startswith(
        "DecoderLab: the decoder of a SegNet in 11 stages, from 2 × 3 units to 27 × 33 labels: of 891 pixels, fixed"
    )
    assert f"fixed positions change the label of {changed[1]} pixels" in repr(lab)
    assert f"shuffled positions change the label of {changed[2]} pixels" in repr(lab)
    assert lab.names == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize("name", NETS)
def test_the_picture_can_be_drawn(name: str) -> None:
    bundle = lab_of(name)._repr_mimebundle_()[0]
    assert bundle["text/plain"] == repr(lab_of(name))
    assert "application/vnd.jupyter.widget-view+json" in bundle
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["text/html"].split("base64,")[1].split('"')[0])))
    assert picture.format == "PNG"
    assert picture.size[0] > 1000


def test_many_classes_have_colours() -> None:
    lab = DecoderLab(net_of("segnet_basic", 21), image_of("segnet_basic"))
    assert len({tuple(colour) for colour in lab.data["palette"]}) == len(lab.data["hatches"]) == 21


def test_the_image_is_stretched_or_replaced() -> None:
    image = image_of("segnet")
    data = base64.b64decode(DecoderLab(net_of("segnet"), 4 * image - 2).data["image"])
    assert (min(data), max(data), len(data)) == (0, 255, 3 * 32 * 32)
    shown = DecoderLab(net_of("segnet"), image, picture=torch.full_like(image, 0.2)).data["image"]
    assert set(base64.b64decode(shown)) == {51}


@pytest.mark.parametrize("name", NETS)
def test_the_largest_image_stays_small(name: str) -> None:
    """Below 400 kB for the browser."""
    lab = DecoderLab(net_of(name), torch.rand(3, MOST_PIXELS, MOST_PIXELS))
    assert len(json.dumps(lab.data)) < 400_000


def test_the_front_end_asks_for_nothing() -> None:
    code = str(DecoderLab._esm) + str(DecoderLab._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1
    assert sorted(name for name in SCRIPTS if name.startswith("decoder_lab")) == sorted(
        path.name for path in FOLDER.glob("decoder_lab*.js")
    )
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", str(DecoderLab._esm), flags=re.M)
    assert len(names) == len(set(names)) > 30
    assert not {"window", "document", "name"} & set(names)


def test_the_page_is_whole(tmp_path: Path) -> None:
    lab = DecoderLab(net_of("segnet"), image_of("segnet"), stage="unpool2", mode="fixed")
    text = lab.export(tmp_path / "lab.html", title="1 & 2").read_text(encoding="utf-8")
    assert "<title>1 &amp; 2</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    state = json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]
    assert {name: state[name] for name in ("stage", "mode", "cell", "channel")} == {
        "stage": "unpool2",
        "mode": "fixed",
        "cell": None,
        "channel": 1,
    }
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        lab.export(tmp_path / "none" / "lab.html")
