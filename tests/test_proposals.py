"""Proposals and DeconvNet's instance-wise inference: by hand, and against a second way."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou
from unchecked import shapes_unchecked

from edu_seg.datasets import Shapes
from edu_seg.models.deconvnet import deconvnet
from edu_seg.objects import instances_of, tight_boxes
from edu_seg.proposals import instance_probs, instance_scores, placed, region_boxes, regions, sliding_windows

pytestmark = pytest.mark.usefixtures("one_thread")


# --- where to look --------------------------------------------------------------------------------------------------------------


def test_windows_by_hand() -> None:
    assert sliding_windows((4, 8), (1.0, 0.5)).tolist() == [[0, 0, 8, 4], [0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4]]
    assert sliding_windows((6, 6), (1.0, 1.0)).tolist() == [[0, 0, 6, 6]]
    assert sliding_windows((8, 8), (0.5,), overlap=0.0).tolist() == [[0, 0, 4, 4], [4, 0, 8, 4], [0, 4, 4, 8], [4, 4, 8, 8]]
    wide = sliding_windows((100, 100), (0.2,), aspect_ratios=(4.0,))[0]
    assert wide.tolist() == [0, 0, 40, 10]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.05, 1.5), st.floats(0, 0.9))
def test_windows_cover_the_image_and_overlap(height: int, width: int, scale: float, overlap: float) -> None:
    boxes = sliding_windows((height, width), (scale,), overlap=overlap)
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2] <= width).all()
    assert (boxes[:, 3] <= height).all()
    covered = torch.zeros(height, width, dtype=torch.bool)
    for left, top, right, bottom in boxes.tolist():
        covered[top:bottom, left:right] = True
    assert covered.all()
    assert len({tuple(box[2:] - box[:2]) for box in boxes.numpy()}) == 1
    for axis in (0, 1):
        starts, side = boxes[:, axis].unique(), int(boxes[0, axis + 2] - boxes[0, axis])
        if side > 1 and len(starts) > 1:
            assert starts.diff().max() <= max(1, (1 - overlap) * side)


def painted() -> tuple[Tensor, Tensor]:
    """A grey scene of 48 × 64 pixels with a red rectangle and a blue one, and the boxes of the two."""
    image = torch.full((3, 48, 64), 0.5)
    boxes = torch.tensor([[5, 10, 25, 30], [40, 20, 60, 44]])
    for colour, (left, top, right, bottom) in zip(((0.9, 0.1, 0.1), (0.1, 0.1, 0.9)), boxes.tolist(), strict=True):
        image[:, top:bottom, left:right] = torch.tensor(colour)[:, None, None]
    return image, boxes


def test_region_boxes_by_hand() -> None:
    """Two rectangles on a plain ground: a box around each, to the pixel, and one around the ground."""
    image, boxes = painted()
    found = region_boxes(image, smoothing=0.0, scales=(1.0,))
    assert {tuple(box) for box in found.tolist()} == {*map(tuple, boxes.tolist()), (0, 0, 64, 48)}
    assert len(region_boxes(image, smoothing=0.0, scales=(1.0,), most=1)) == 1
    assert len(region_boxes(image, smoothing=0.0, scales=(1.0,), least_area=450)) == 2
    assert (
        len(region_boxes(image, smoothing=0.0, scales=(1.0, 1000.0))) == 3
    )  # at the second scale all is one region, again the ground's box


def test_regions_by_hand() -> None:
    """A row of six pixels with the colours 0 0 1 1 8 8: the step of 1 holds while the regions beside it have scale / 2 < 1."""
    pairs = np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]])
    steps = np.array([0.0, 1.0, 0.0, 7.0, 0.0])
    assert regions(pairs, steps, 6, 1.9).tolist() == [0, 0, 1, 1, 2, 2]
    assert regions(pairs, steps, 6, 2.0).tolist() == [0, 0, 0, 0, 1, 1]
    assert regions(pairs, steps, 6, 13.9).tolist() == [0, 0, 0, 0, 1, 1]  # the pair 8 8 would join: 7 > 13.9 / 2
    assert regions(pairs, steps, 6, 24.0).tolist() == [0] * 6  # 7 <= 24 / 2, and 7 <= 1 + 24 / 4


def test_a_region_that_stands_out_more_comes_first() -> None:
    image, boxes = painted()
    image[:, 20:44, 40:60] = torch.tensor([0.5, 0.5, 0.55])[:, None, None]
    found = region_boxes(image, smoothing=0.0, scales=(0.1,)).tolist()
    assert found.index(boxes[0].tolist()) < found.index(boxes[1].tolist())


def test_region_boxes_find_most_objects_of_a_scene() -> None:
    found, objects = 0, 0
    for image, labels in Shapes(4, 96, seed=3, wires=0):
        boxes = tight_boxes(instances_of(labels))
        overlaps = box_iou(boxes.double(), region_boxes(image).double())
        found, objects = found + int((overlaps.amax(1) > 0.5).sum()), objects + len(boxes)
    assert found / objects > 0.7


def test_options_that_do_not_fit() -> None:
    image, _ = painted()
    for arguments in ({"scales": ()}, {"scales": (0.0,)}, {"overlap": 1.0}, {"aspect_ratios": (-1.0,)}):
        with pytest.raises(ValueError, match=r"scales .* are above 0, and overlap"):
            sliding_windows((4, 4), **arguments)  # pyright: ignore[reportArgumentType]
    for options in ({"most": 0}, {"smoothing": -1.0}, {"most_overlap": 0.0}):
        with pytest.raises(ValueError, match=r"smoothing .* is at least 0, most_overlap"):
            region_boxes(image, **options)  # pyright: ignore[reportArgumentType]


# --- instance-wise inference ----------------------------------------------------------------------------------------------------


def colours(crops: Tensor) -> Tensor:
    """Stands for a net of two classes: a score is a crop's own colour, so that what is put back shows where it came from."""
    return torch.stack([crops[:, 0], crops[:, 1]], 1)


def test_placed_by_hand() -> None:
    scores = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    assert placed(scores, torch.tensor([1, 0, 3, 2]), (2, 4)).tolist() == [[[0, 1, 2, 0], [0, 3, 4, 0]]]
    assert placed(scores, torch.tensor([-1, 1, 1, 3]), (2, 4)).tolist() == [[[0, 0, 0, 0], [2, 0, 0, 0]]]
    assert placed(torch.ones(1, 3, 3), torch.tensor([0, 0, 4, 2]), (2, 4)).tolist() == [[[1, 1, 1, 1]] * 2]


@pytest.mark.parametrize(
    ("aggregate", "wanted"),
    [
        ("maximum", [[3, 5, 5, 2]]),
        ("sum", [[3, 8, 5, 1]]),
        ("average", [[3, 4, 5, 0.5]]),
    ],
)
def test_aggregation_by_hand(aggregate: Any, wanted: list[list[float]]) -> None:
    """Three boxes on four pixels: scores of 3 and 5 overlap in pixel 1, of -1 and 2 in pixel 3; the maximum of -1 and 0 is 0."""
    answers = iter((3.0, 5.0, -1.0, 2.0))
    boxes = torch.tensor([[0, 0, 2, 1], [1, 0, 3, 1], [3, 0, 4, 1], [3, 0, 4, 1]])

    def model(crops: Tensor) -> Tensor:
        return torch.stack([torch.full((1, 2, 2), next(answers)) for _ in crops])

    scores = instance_scores(model, torch.zeros(3, 1, 4), boxes, 2, aggregate=aggregate, batch_size=3)
    assert scores[0].tolist() == wanted


def test_where_no_box_is_all_classes_are_as_likely() -> None:
    probs = instance_probs(colours, torch.rand(3, 6, 8) + 1, torch.tensor([[0, 0, 4, 4]]), 4, context=1.0)
    torch.testing.assert_close(probs.sum(0), torch.ones(6, 8))
    assert (probs[:, :, 4:] == 0.5).all()
    assert (probs.argmax(0)[4:] == 0).all()


@pytest.mark.parametrize("aggregate", ["maximum", "average"])
def test_boxes_of_the_nets_size_give_the_image_back(aggregate: Any) -> None:
    """Without resizing, crop and place are each other's inverse: a model that hands its crop through sees the image itself."""
    image = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(0))
    boxes = sliding_windows((20, 24), (8 / 24,))
    torch.testing.assert_close(instance_scores(colours, image, boxes, 8, aggregate=aggregate), image[:2])


def test_a_ramp_stays_a_ramp_when_resized() -> None:
    """Crops of other sizes than the net's: down and up again keeps every pixel's place, away from a box's border."""
    ramp = torch.stack([torch.arange(40.0)[:, None].expand(40, 40), torch.arange(40.0).expand(40, 40), torch.zeros(40, 40)])
    boxes = torch.tensor([[0, 0, 40, 40]])
    for size in (20, 80):
        scores = instance_scores(colours, ramp, boxes, size)
        torch.testing.assert_close(scores[:, 4:-4, 4:-4], ramp[:2, 4:-4, 4:-4], rtol=0, atol=1e-3)


def test_proposals_against_loops_with_the_net() -> None:
    """One crop at a time, put into a larger canvas by indices: the paper's equations, with the net itself."""
    torch.manual_seed(0)
    net = deconvnet("deconvnet", 3, width=1 / 32, input_size=32).eval()
    image, boxes = torch.rand(3, 40, 50), torch.tensor([[4, 3, 36, 35], [10, -6, 42, 26], [30, 20, 62, 52]])
    canvas = torch.zeros(3, 3, 160, 160)
    wider = torch.zeros(1, 3, 160, 160)
    wider[0, :, 60:100, 60:110] = image
    with torch.no_grad():
        for number, (left, top, right, bottom) in enumerate((boxes + 60).tolist()):
            canvas[number, :, top:bottom, left:right] = net(wider[:, :, top:bottom, left:right])[0]
    wanted = canvas[:, :, 60:100, 60:110]
    assert wanted.abs().max() > 1e-3
    for aggregate, one in (("maximum", wanted.amax(0).clamp(min=0)), ("sum", wanted.sum(0))):
        made = instance_scores(net, image, boxes, 32, aggregate=aggregate, batch_size=2)  # pyright: ignore[reportArgumentType]
        torch.testing.assert_close(made, one, rtol=1e-4, atol=1e-6)
    probs = instance_probs(net, image, boxes, 32, context=1.0)
    torch.testing.assert_close(probs, wanted.amax(0).clamp(min=0).softmax(0), rtol=1e-4, atol=1e-6)


def test_which_boxes_are_looked_at() -> None:
    seen: list[int] = []

    def model(crops: Tensor) -> Tensor:
        seen.append(len(crops))
        return colours(crops)

    boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 2, 9], [2, 2, 9, 9], [0, 0, 20, 20]])
    image = torch.rand(3, 20, 20)
    instance_probs(model, image, boxes, 4, batch_size=2)
    instance_probs(model, image, boxes, 4, most=3, batch_size=8)
    instance_probs(model, image, boxes, 4, least_side=8, batch_size=8)  # the second is 2 wide; the third 7, enlarged to 8
    assert seen == [2, 2, 3, 3]
    with pytest.raises(ValueError, match="there is no box to look at"):
        instance_probs(model, image, boxes, 4, least_side=30)
    with shapes_unchecked(), pytest.raises(ValueError, match='aggregate is "maximum", "average" or "sum", got \'mean\''):
        instance_scores(model, image, boxes, 4, aggregate="mean")  # pyright: ignore[reportArgumentType]
