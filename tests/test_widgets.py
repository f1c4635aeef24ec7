"""widgets, as far as Python goes: what is sent to the front end, and what stands in where none is alive."""

import base64
import io
import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from unchecked import shapes_unchecked

from edu_seg.metrics import ConfusionMatrix
from edu_seg.widgets import NetViewer, ScorePainter
from edu_seg.widgets.base import CourseWidget
from edu_seg.widgets.net_viewer import scene_scores

PALETTE = np.array([(60, 60, 60), (230, 159, 0), (86, 180, 233)], np.uint8)
NAMES = ("ground", "disc", "square")


def scenes(count: int = 2) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """images, labels with void, and the predictions of a good and of a bad net."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(count, 3, 20, 24, generator=generator)
    labels = torch.randint(0, 3, (count, 20, 24), generator=generator)
    bad = torch.randint(0, 3, (count, 20, 24), generator=generator)
    good = torch.where(torch.rand(labels.shape, generator=generator) < 0.8, labels, bad)
    return images, labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.1, 255), {"32s": bad, "8s": good}


def viewer() -> NetViewer:
    return NetViewer(*scenes(), NAMES, PALETTE)


def painter() -> ScorePainter:
    labels = torch.tensor([[0, 1, 1, 255], [0, 0, 2, 2]])
    return ScorePainter(labels, {"all ground": torch.zeros_like(labels), "perfect": labels.masked_fill(labels == 255, 0)}, NAMES, PALETTE)


each_widget = pytest.mark.parametrize("make", [viewer, painter])


def bundle(widget: CourseWidget) -> dict[str, Any]:
    return widget._repr_mimebundle_()[0]


@each_widget
def test_the_repr_is_words_and_the_same_every_time(make) -> None:
    first, second = make(), make()
    assert repr(first) == repr(second) == bundle(first)["text/plain"]
    assert repr(first).startswith(f"{type(first).__name__}: ")
    assert "0x" not in repr(first)
    assert len(repr(first)) > 40


def test_long_words_are_not_cut() -> None:
    """ipywidgets cuts a repr at 110 characters; these words are the alternative for those who do not see the picture."""
    images, labels, preds = scenes()
    named = {f"a net with quite a long name, number {n}": preds["8s"] for n in range(3)}
    widget = NetViewer(images, labels, named, NAMES, PALETTE)
    assert len(repr(widget)) > 110
    assert bundle(widget)["text/plain"] == repr(widget)
    assert all(name in bundle(widget)["text/html"] for name in named)


@each_widget
def test_a_still_picture_stands_in(make) -> None:
    """Where there is no front end or no kernel: text/html with a PNG and its alternative text."""
    html = bundle(make())["text/html"]
    alt = re.match(r'<img alt="([^"]{30,})"', html)
    assert alt
    assert alt[1] in repr(make())
    picture = Image.open(io.BytesIO(base64.b64decode(html.split("base64,")[1].removesuffix('">'))))
    assert picture.format == "PNG"
    assert picture.size[0] > picture.size[1] > 50
    assert html == bundle(make())["text/html"]


@each_widget
def test_the_live_view_is_offered_as_well(make) -> None:
    assert "application/vnd.jupyter.widget-view+json" in bundle(make())


@each_widget
def test_the_front_end_is_in_the_package(make) -> None:
    widget = make()
    assert "render" in str(widget._esm)
    assert len(str(widget._css)) > 50
    assert not re.search(r"https?://(?!www\.w3\.org)", str(widget._esm) + str(widget._css))  # it works without a network


@each_widget
def test_data_is_plain_json(make) -> None:
    import json

    assert json.loads(json.dumps(make().data)) == make().data


def test_what_the_viewer_is_sent() -> None:
    images, labels, preds = scenes()
    data = viewer().data
    assert (data["nets"], data["classes"], data["palette"]) == (["32s", "8s"], list(NAMES), PALETTE.tolist())
    assert (data["height"], data["width"], len(data["scenes"])) == (20, 24, 2)
    for n, scene in enumerate(data["scenes"]):
        sent = [np.frombuffer(base64.b64decode(part), np.uint8).reshape(20, 24) for part in (scene["labels"], *scene["preds"])]
        for array, wanted in zip(sent, (labels, *preds.values()), strict=True):
            assert np.array_equal(array, wanted[n].numpy())
        picture = Image.open(io.BytesIO(base64.b64decode(scene["image"].removeprefix("data:image/png;base64,"))))
        shown = np.asarray(picture.convert("RGB")).astype(int)
        assert np.abs(shown - (images[n].permute(1, 2, 0).numpy() * 255)).mean() < 12  # a palette of 256 colours
        assert scene["scores"] == scene_scores(labels, preds, 3)[n]


def test_scores_of_scenes() -> None:
    _, labels, preds = scenes()
    found = scene_scores(labels, preds, 3)
    for n in range(2):
        for net, name in enumerate(preds):
            matrix = ConfusionMatrix(3)
            matrix.update(preds[name][n], labels[n])
            assert found[n][net] == round(matrix.mean_iou, 2)
        assert found[n][1] > found[n][0]


def test_what_the_painter_is_sent() -> None:
    data = painter().data
    assert data["labels"] == [0, 1, 1, 255, 0, 0, 2, 2]
    assert data["start"] == data["presets"]["all ground"] == [0] * 8
    assert list(data["presets"]) == ["all ground", "perfect"]
    assert (data["height"], data["width"]) == (2, 4)


def test_predictions_of_another_size_are_refused() -> None:
    images, labels, preds = scenes()
    with shapes_unchecked():
        with pytest.raises(ValueError, match=r"the predictions of 8s have shape \(2, 20, 20\), the labels \(2, 20, 24\)"):
            NetViewer(images, labels, {"32s": preds["32s"], "8s": preds["8s"][..., :20]}, NAMES, PALETTE)
        for wrong in (images[:1], images[..., :20]):
            with pytest.raises(ValueError, match=r"the images have shape \(.*\), the labels \(2, 20, 24\)"):
                NetViewer(wrong, labels, preds, NAMES, PALETTE)
        labels = torch.zeros(2, 4, dtype=torch.int64)
        with pytest.raises(ValueError, match=r"the preset 'wide' has shape \(2, 5\), the labels \(2, 4\)"):
            ScorePainter(labels, {"wide": torch.zeros(2, 5, dtype=torch.int64)}, NAMES, PALETTE)
        with pytest.raises(ValueError, match="presets is empty: give at least one prediction"):
            ScorePainter(labels, {}, NAMES, PALETTE)
