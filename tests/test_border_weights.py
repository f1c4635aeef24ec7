"""U-Net's loss: distances and weights by hand on seven by seven pixels, by brute force, and the loss against a sum written out."""

import math

import pytest
import torch
from torch import Tensor

from edu_seg.border_weights import BorderCrossEntropy, border_distances, border_weights
from edu_seg.losses import CrossEntropy


def two_squares() -> Tensor:
    """Columns 0 to 1 and 4 to 6 of rows 1 to 5: two objects with two columns of background between them."""
    instances = torch.zeros(7, 7, dtype=torch.int64)
    instances[1:6, :2], instances[1:6, 4:] = 1, 2
    return instances


def test_distances_by_hand() -> None:
    first, second = border_distances(two_squares())
    assert first[3].tolist() == [1, 0, 1, 2, 3, 4, 5]  # column 0 lies inside: the image's edge is no border
    assert second[3].tolist() == [4, 3, 2, 1, 0, 1, 2]
    assert first[0].tolist() == [1, 1, 2**0.5, 5**0.5, 10**0.5, 17**0.5, 26**0.5]
    assert first[1, 0] == 0
    assert second[3, 5] == 1


def test_weights_by_hand() -> None:
    """Between the two, d1 + d2 = 3 in both columns; on a border it is the distance to the other object."""
    weights = border_weights(two_squares())
    assert weights.dtype == torch.float64
    for place, together in (((3, 2), 3), ((3, 3), 3), ((3, 1), 3), ((3, 4), 3), ((3, 0), 1 + 4), ((3, 5), 1 + 4), ((3, 6), 2 + 5)):
        assert weights[place].item() == pytest.approx(10 * math.exp(-(together**2) / 50), abs=1e-12)
    assert weights[0, 2].item() == pytest.approx(10 * math.exp(-((2**0.5 + 5**0.5) ** 2) / 50), abs=1e-12)
    assert border_weights(two_squares(), 3.0, 2.0)[3, 2].item() == pytest.approx(3 * math.exp(-9 / 8), abs=1e-12)
    outside = border_weights(two_squares(), background_only=True)
    assert torch.equal(outside[two_squares() == 0], weights[two_squares() == 0])
    assert not outside[two_squares() > 0].any()


def test_the_nearest_two_of_three() -> None:
    instances = torch.tensor([[1, 0, 2, 0, 0, 0, 3]])
    weights = border_weights(instances)[0]
    sums = [0 + 2, 1 + 1, 0 + 2, 1 + 3, 2 + 2, 1 + 3, 0 + 4]
    assert weights.tolist() == pytest.approx([10 * math.exp(-(value**2) / 50) for value in sums], abs=1e-12)


def test_distances_by_brute_force() -> None:
    torch.manual_seed(0)
    instances = torch.zeros(14, 17, dtype=torch.int64)
    instances[2:9, 1:6], instances[4:13, 8:12], instances[0:3, 9:17], instances[7:10, 13:16] = 1, 2, 3, 4
    distances = border_distances(instances)
    places = torch.cartesian_prod(torch.arange(14), torch.arange(17)).double()
    for number in range(1, 5):
        border = []
        for row, column in torch.nonzero(instances == number).tolist():
            around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            if any(0 <= r < 14 and 0 <= c < 17 and instances[r, c] != number for r, c in around):
                border.append((row, column))
        wanted = torch.cdist(places, torch.tensor(border).double()).amin(1).view(14, 17)
        torch.testing.assert_close(distances[number - 1], wanted, rtol=0, atol=1e-6)


def test_fewer_than_two_objects_have_no_border_weight() -> None:
    empty = torch.zeros(5, 5, dtype=torch.int64)
    assert not border_weights(empty).any()
    one = empty.clone()
    one[1:3, 1:3] = 1
    assert not border_weights(one).any()
    assert border_distances(torch.ones(3, 3, dtype=torch.int64)).isinf().all()
    for w0, sigma in ((-1.0, 5.0), (10.0, 0.0)):
        with pytest.raises(ValueError, match="w0 is at least 0 and sigma above 0, got"):
            border_weights(one, w0, sigma)


def batch() -> tuple[Tensor, Tensor]:
    labels = torch.stack([two_squares(), torch.zeros(7, 7, dtype=torch.int64)])
    labels[0, 6, 6] = 255
    return torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0)), labels


def test_the_loss_is_the_sum_written_out() -> None:
    logits, labels = batch()
    weight = torch.tensor([0.5, 2.0, 3.0])
    border = border_weights(two_squares())  # the classes 1 and 2 are one object each
    total = weights = 0.0
    for n in range(2):
        for row in range(7):
            for column in range(7):
                label = int(labels[n, row, column])
                if label == 255:
                    continue
                w = float(weight[label]) + (float(border[row, column]) if n == 0 else 0.0)
                total -= w * float(logits[n, :, row, column].log_softmax(0)[label])
                weights += w
    assert BorderCrossEntropy(weight)(logits, labels).item() == pytest.approx(total / weights, rel=1e-5)
    made, normaliser = BorderCrossEntropy(weight).terms(logits, labels)
    assert (made.item(), normaliser.item()) == pytest.approx((total, weights), rel=1e-5)


def test_without_w0_it_is_cross_entropy() -> None:
    logits, labels = batch()
    for weight in (None, torch.tensor([0.5, 2.0, 3.0])):
        ours, plain = BorderCrossEntropy(weight, w0=0.0)(logits, labels), CrossEntropy(weight)(logits, labels)
        torch.testing.assert_close(ours, plain)


def test_objects_of_one_class_are_its_connected_parts() -> None:
    labels = (two_squares() > 0).long()[None]
    torch.testing.assert_close(BorderCrossEntropy().weights(labels)[0], 1 + border_weights(two_squares()).float())
    assert (BorderCrossEntropy(background=1).weights(labels) == 1).all()  # then the ground is the one object


def test_the_gradient_and_the_errors() -> None:
    logits, labels = batch()
    BorderCrossEntropy()(logits.requires_grad_(), labels).backward()
    assert logits.grad is not None
    assert logits.grad[0, :, 6, 6].abs().sum() == 0
    (plain,) = torch.autograd.grad(CrossEntropy()(logits, labels), logits)
    ratio, weights = (logits.grad / plain)[0, 0], 1 + border_weights(two_squares())
    assert (ratio[3, 2] / ratio[0, 0]).item() == pytest.approx((weights[3, 2] / weights[0, 0]).item(), rel=1e-4)
    with pytest.raises(ValueError, match="label 7 is outside the classes"):
        BorderCrossEntropy()(logits, labels.masked_fill(labels == 255, 7))
