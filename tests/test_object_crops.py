"""The two stages of DeconvNet's training examples: which crops there are, and what is in them."""

import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from edu_seg.datasets import Shapes
from edu_seg.datasets.transforms import random_crop
from edu_seg.object_crops import Crops, Example, balanced, centred_examples, proposal_examples
from edu_seg.proposals import sliding_windows


def scene() -> TensorDataset:
    """Two images of 12 × 16 pixels: an object of class 1 and one of class 2 beside a void pixel; then nothing at all."""
    labels = torch.zeros(2, 12, 16, dtype=torch.int64)
    labels[0, 2:7, 1:6], labels[0, 4:9, 8:13], labels[0, 4, 7] = 1, 2, 255
    images = torch.zeros(2, 3, 12, 16)
    images[:, 0], images[:, 1] = torch.arange(12.0)[:, None], torch.arange(16.0)
    return TensorDataset(images, labels)


def test_first_stage_by_hand() -> None:
    """A box of 5 × 5, enlarged to 6 × 6, for each object; none for the empty image."""
    examples = centred_examples(scene())
    assert examples == [Example(0, (0, 1, 6, 7), 1, 1), Example(0, (7, 3, 13, 9), 2, 2)]
    assert centred_examples(scene(), context=2.0)[0].box == (-2, -1, 8, 9)


def test_in_the_first_stage_only_the_middle_object_counts() -> None:
    crops = Crops(scene(), centred_examples(scene(), context=3.0), 15)
    assert len(crops) == 2
    for index, label in ((0, 1), (1, 2)):
        image, labels = crops[index]
        assert (tuple(image.shape), tuple(labels.shape)) == ((3, 15, 15), (15, 15))
        assert set(labels.unique().tolist()) == {0, label, 255}
        inside = torch.nonzero(labels == label)
        assert (inside.amin(0) + inside.amax(0)).tolist() == [14, 14]  # in the middle
    image, labels = crops[1]
    left, top = -5 + 8, 4 - 5  # the box of the second object begins at column 3 and row -1
    assert (labels[0] == 255).all()  # above the image
    assert (image[:, 0] == 0).all()
    assert labels[5, 7 - left] == 255  # the void pixel stays void
    assert image[0, 4 - top, 8 - left] == 4
    assert image[1, 4 - top, 8 - left] == 8


def test_second_stage_by_hand() -> None:
    """Boxes that are an object's own, nearly so, not enough so, and elsewhere; all labels inside of them are kept."""
    boxes = torch.tensor([[1, 2, 6, 7], [8, 4, 13, 12], [0, 0, 10, 10], [13, 0, 16, 3]])
    examples = proposal_examples(scene(), lambda image: boxes, context=1.0)
    assert examples == [Example(0, (1, 2, 6, 7), 1), Example(0, (8, 4, 13, 12), 2)]
    loose = proposal_examples(scene(), lambda image: boxes, least_overlap=0.2, context=1.0)
    assert [example.box for example in loose] == [(1, 2, 6, 7), (8, 4, 13, 12), (0, 0, 10, 10)]
    _, labels = Crops(scene(), loose[2:], 10)[0]
    assert torch.equal(labels, scene().tensors[1][0, :10, :10])
    assert proposal_examples(scene(), lambda image: torch.zeros(0, 4, dtype=torch.int64)) == []


def test_crops_are_resized_with_their_labels() -> None:
    """A crop of twice the size: labels by the nearest pixel, a colour ramp at half steps."""
    image, labels = Crops(scene(), [Example(0, (1, 2, 6, 7), 1)], 10)[0]
    assert (labels == 1).all()
    torch.testing.assert_close(image[0, 1:-1, 0], torch.arange(2.25, 6, 0.5))


def test_balanced_by_hand() -> None:
    first, second, third = Example(0, (0, 0, 1, 1), 1), Example(1, (0, 0, 1, 1), 2), Example(2, (0, 0, 1, 1), 1)
    assert balanced([first, second, third]) == [first, second, third, second]
    assert balanced([]) == []


def test_a_transform_is_applied_last() -> None:
    crops = Crops(scene(), centred_examples(scene()), 10, transform=random_crop(8))
    assert tuple(crops[0][1].shape) == (8, 8)
    with pytest.raises(ValueError, match="size is the crop's side in pixels, at least 1, got 0"):
        Crops(scene(), [], 0)


def test_both_stages_on_generated_scenes() -> None:
    scenes = Shapes(3, 64, seed=1)

    def propose(image: Tensor) -> Tensor:
        return sliding_windows((64, 64), (0.5, 0.3))

    first, second = centred_examples(scenes), proposal_examples(scenes, propose, least_overlap=0.3)
    assert len(first) >= 6
    assert len(second) >= 6
    for example in (*Crops(scenes, balanced(first), 32), *Crops(scenes, balanced(second), 32)):
        assert (tuple(example[0].shape), tuple(example[1].shape)) == ((3, 32, 32), (32, 32))
    crops = Crops(scenes, first, 32)
    for index, example in enumerate(first):
        _, labels = crops[index]
        assert set(labels.unique().tolist()) <= {0, example.label, 255}
        assert (labels == example.label).any()
    counts = torch.tensor([example.label for example in balanced(first)]).bincount()
    assert len(set(counts[counts > 0].tolist())) == 1
