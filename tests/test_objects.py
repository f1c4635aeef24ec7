"""Objects, boxes and crops by hand."""

import pytest
import torch

from edu_seg.objects import cropped, enlarged, instances_of, tight_boxes

LABELS = torch.tensor(
    [
        [2, 2, 0, 1, 1],
        [2, 0, 1, 0, 0],
        [0, 0, 255, 0, 3],
        [2, 2, 3, 3, 3],
    ]
)


def test_instances_by_hand() -> None:
    """Corners do not connect; void belongs to none; classes in order, then from top to bottom."""
    assert instances_of(LABELS).tolist() == [[3, 3, 0, 1, 1], [3, 0, 2, 0, 0], [0, 0, 0, 0, 5], [4, 4, 5, 5, 5]]
    assert not instances_of(torch.full((3, 3), 255)).any()
    assert instances_of(LABELS, background=2).max() == 6  # the zeros are three objects now, and the class 2 none


def test_boxes_by_hand() -> None:
    boxes = [[3, 0, 5, 1], [2, 1, 3, 2], [0, 0, 2, 2], [0, 3, 2, 4], [2, 2, 5, 4]]
    assert tight_boxes(instances_of(LABELS)).tolist() == boxes
    assert tight_boxes(torch.zeros(4, 4, dtype=torch.int64)).shape == (0, 4)
    with pytest.raises(ValueError, match="instances are numbered 1 to 3, and no pixel has number 2"):
        tight_boxes(torch.tensor([[1, 3]]))


def test_a_box_is_the_smallest_one() -> None:
    labels = torch.randint(0, 3, (30, 40), generator=torch.Generator().manual_seed(0))
    instances = instances_of(labels)
    for number, (left, top, right, bottom) in enumerate(tight_boxes(instances).tolist(), start=1):
        rows, columns = torch.nonzero(instances == number, as_tuple=True)
        assert (left, top, right, bottom) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert len(labels[instances == number].unique()) == 1


def test_enlarged_by_hand() -> None:
    boxes = torch.tensor([[10, 20, 20, 40], [0, 0, 1, 1], [-4, 0, 6, 5]])
    assert enlarged(boxes, 1.2).tolist() == [[9, 18, 21, 42], [0, 0, 1, 1], [-5, -1, 7, 5]]
    assert enlarged(boxes, 2.0).tolist() == [[5, 10, 25, 50], [-1, -1, 1, 1], [-9, -3, 11, 7]]
    assert torch.equal(enlarged(boxes, 1.0), boxes)
    assert enlarged(boxes, 0.01)[1].tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="factor multiplies the box, so it must be above 0, got 0"):
        enlarged(boxes, 0.0)


def test_cropped_by_hand() -> None:
    image = torch.arange(6.0).view(1, 2, 3)
    assert cropped(image, torch.tensor([1, 0, 3, 2])).tolist() == [[[1, 2], [4, 5]]]
    assert cropped(image, torch.tensor([-1, 1, 2, 3])).tolist() == [[[0, 3, 4], [0, 0, 0]]]
    assert cropped(image.long(), torch.tensor([2, -1, 4, 1]), 255).tolist() == [[[255, 255], [2, 255]]]
    assert cropped(image, torch.tensor([7, 7, 9, 8]), 9).tolist() == [[[9, 9]]]
    with pytest.raises(ValueError, match=r"the box \[2, 0, 2, 4\] holds no pixel"):
        cropped(image, torch.tensor([2, 0, 2, 4]))
