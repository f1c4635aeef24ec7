"""losses: against torch's cross-entropy, by hand, and the paper's claim that training on patches is sampling the loss."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unchecked import shapes_unchecked

from edu_seg.losses import AuxiliaryLoss, CrossEntropy, Loss, check_labels, class_weights, sample_patches

WEIGHT = torch.tensor([0.5, 1.0, 3.0, 0.0])


def batch(void: float = 0.3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """logits (4, 4, 6, 7) that want a gradient, and labels with much void in the first images and little in the last."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(4, 4, 6, 7, generator=generator).requires_grad_()
    labels = torch.randint(0, 4, (4, 6, 7), generator=generator)
    share = torch.linspace(2 * void, 0, 4)[:, None, None]
    return logits, labels.masked_fill(torch.rand(labels.shape, generator=generator) < share, 255)


def random_weights() -> Tensor:
    return torch.rand(4, generator=torch.Generator().manual_seed(7)) + 0.1


# --- cross-entropy --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [None, random_weights(), WEIGHT], ids=["plain", "weighted", "a class of weight 0"])
@pytest.mark.parametrize("ignore_index", [255, -1])
def test_it_is_torchs(weight: Tensor | None, ignore_index: int) -> None:
    logits, labels = batch()
    labels = labels.masked_fill(labels == 255, ignore_index)
    ours = CrossEntropy(weight, ignore_index)(logits, labels)
    wanted = F.cross_entropy(logits, labels, weight=weight, ignore_index=ignore_index)
    torch.testing.assert_close(ours, wanted)
    torch.testing.assert_close(torch.autograd.grad(ours, logits)[0], torch.autograd.grad(wanted, logits)[0])


def test_by_hand() -> None:
    """Two pixels of equal scores, one of them void: ln 2; weights 1 and 3 make the mean lean to the class of weight 3."""
    logits, labels = torch.zeros(1, 2, 1, 2), torch.tensor([[[0, 255]]])
    assert CrossEntropy()(logits, labels).item() == pytest.approx(torch.tensor(2.0).log().item(), abs=1e-7)
    logits = torch.tensor([[[[3.0, 1.0]], [[1.0, 3.0]]]])  # (3, 1) and (1, 3)
    losses = torch.tensor([1 + torch.tensor(-2.0).exp().item(), 1 + torch.tensor(2.0).exp().item()]).log()  # of class 0
    right = CrossEntropy(torch.tensor([1.0, 3.0]))(logits, torch.tensor([[[0, 1]]]))
    assert right.item() == pytest.approx(losses[0].item(), abs=1e-6)
    one_wrong = CrossEntropy(torch.tensor([1.0, 3.0]))(logits, torch.tensor([[[1, 1]]]))
    assert one_wrong.item() == pytest.approx((3 * losses[1] + 3 * losses[0]).item() / 6, abs=1e-6)
    mixed = CrossEntropy(torch.tensor([1.0, 3.0]))(logits, torch.tensor([[[0, 0]]]).clone())
    assert mixed.item() == pytest.approx(losses.mean().item(), abs=1e-6)


def test_zero_scores_give_ln_k() -> None:
    loss = CrossEntropy()(torch.zeros(1, 21, 4, 4, dtype=torch.float64), torch.full((1, 4, 4), 20))
    assert loss.item() == pytest.approx(3.044522437723423, abs=1e-12)


@pytest.mark.parametrize("weight", [None, random_weights()], ids=["plain", "weighted"])
def test_the_terms_of_two_halves_are_those_of_the_whole(weight: Tensor | None) -> None:
    """What `training.fit` relies on, where the halves' means do not average to the whole's."""
    logits, labels = batch()
    loss = CrossEntropy(weight)
    halves = [loss.terms(logits[part], labels[part]) for part in (slice(2), slice(2, 4))]
    total, normaliser = (sum(parts) for parts in zip(*halves, strict=True))
    torch.testing.assert_close(total / normaliser, loss(logits, labels))
    means = [part_total / part_normaliser for part_total, part_normaliser in halves]
    assert abs(sum(means) / 2 - loss(logits, labels)) > 1e-4


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_all_void_costs_nothing(weight: Tensor | None) -> None:
    logits, labels = batch()
    loss = CrossEntropy(weight)(logits, torch.full_like(labels, 255))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_classes_of_weight_0_alone_cost_nothing() -> None:
    logits, labels = batch()
    loss = CrossEntropy(WEIGHT)(logits, torch.full_like(labels, 3))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_all_void_in_other_precisions(dtype: torch.dtype) -> None:
    logits = torch.ones(1, 4, 2, 2, dtype=dtype, requires_grad=True)
    loss = CrossEntropy()(logits, torch.full((1, 2, 2), 255))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_the_weight_moves_with_the_loss() -> None:
    loss = CrossEntropy(WEIGHT).double()
    logits, labels = batch()
    torch.testing.assert_close(loss(logits.double(), labels), F.cross_entropy(logits.double(), labels, WEIGHT.double(), ignore_index=255))
    assert "weight" in loss.state_dict()


def test_restoring_the_prior_gives_back_the_true_posterior() -> None:
    """One pixel in four is class 1. Weighted 9 to 1, its best score says 3/4; with the prior restored, 1/4; with half of it, between."""
    labels, weight = torch.tensor([[[0, 0, 0, 1]]]), torch.tensor([1.0, 9.0])
    for share, expected in ((0.0, 0.75), (1.0, 0.25), (0.5, 0.5)):
        scores = torch.zeros(2, requires_grad=True)
        loss = CrossEntropy(weight, restore_prior=share)
        for _ in range(200):
            (gradient,) = torch.autograd.grad(loss(scores[None, :, None, None].expand(1, 2, 1, 4), labels), scores)
            scores = (scores - 2 * gradient).detach().requires_grad_()
        torch.testing.assert_close(scores.softmax(0)[1].item(), expected, atol=1e-4, rtol=0)


def test_restoring_needs_weights_and_passes_by_classes_that_never_occur() -> None:
    with pytest.raises(ValueError, match="give a weight"):
        CrossEntropy(restore_prior=1.0)
    loss = CrossEntropy(torch.tensor([1.0, 0.0]), restore_prior=1.0)
    assert torch.isfinite(loss(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1).long()))


def test_the_base_says_what_is_missing() -> None:
    with pytest.raises(NotImplementedError, match="Loss must define terms"):
        Loss()(torch.zeros(1), torch.zeros(1))


# --- labels that do not fit -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [4, 254, -1, -100])
def test_a_strange_label_is_named(value: int) -> None:
    logits, labels = batch()
    labels[2, 3, 4] = value
    with pytest.raises(ValueError, match=rf"label {value} is outside the classes 0\.\.3 and is not ignore_index 255: map it"):
        CrossEntropy()(logits, labels)


def test_labels_of_another_type_or_shape() -> None:
    logits, labels = batch()
    with shapes_unchecked():
        with pytest.raises(ValueError, match=r"labels must be int64 class indices, got torch.uint8: call \.long\(\)"):
            CrossEntropy()(logits, labels.to(torch.uint8))
        for wrong in (labels[:, :3], labels[:2], labels[:, None]):
            with pytest.raises(ValueError, match=r"logits \(4, 4, 6, 7\) want labels of shape \(N, H, W\) at the same size, got"):
                CrossEntropy()(logits, wrong)
        with pytest.raises(ValueError, match=r"logits \(4, 4, 6\) want"):
            CrossEntropy()(logits[..., 0], labels[..., 0])


def test_values_are_not_read_off_the_cpu() -> None:
    """A meta tensor stands in for a GPU's: reading it would fail."""
    check_labels(torch.zeros(1, 2, 2, dtype=torch.int64, device="meta"), torch.zeros(1, 3, 2, 2, device="meta"), 255)


# --- patches --------------------------------------------------------------------------------------------------------------------


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("keep", "cell"), [(0.25, 1), (0.6, 1), (0.25, 4), (0.6, 5)])
def test_cells_stay_or_go_as_a_whole(keep: float, cell: int) -> None:
    labels = torch.randint(0, 3, (8, 101, 67), generator=seeded())
    sampled = sample_patches(labels, keep, cell=cell, generator=seeded(1))
    kept = sampled != 255
    assert torch.equal(sampled[kept], labels[kept])
    blocks = F.pad(kept.float(), (0, -67 % cell, 0, -101 % cell), value=-1).unfold(1, cell, cell).unfold(2, cell, cell)
    inside = blocks >= 0
    assert ((blocks == 1).sum((-1, -2)).eq(inside.sum((-1, -2))) | (blocks == 1).sum((-1, -2)).eq(0)).all()
    cells = blocks.amax((-1, -2)) == 1
    assert cells.shape[1:] == (-(-101 // cell), -(-67 // cell))
    spread = (keep * (1 - keep) / cells.numel()) ** 0.5
    assert abs(cells.float().mean().item() - keep) < 4 * spread


def test_the_draw_follows_the_generator() -> None:
    labels = torch.zeros(2, 16, 16, dtype=torch.int64)
    first, again, other = (sample_patches(labels, 0.5, cell=2, generator=seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(3)
    assert torch.equal(sample_patches(labels, 0.5, cell=2), first)


def test_void_stays_void_and_the_labels_are_left_alone() -> None:
    labels = torch.full((1, 8, 8), -1)
    labels[0, :4] = 2
    before = labels.clone()
    sampled = sample_patches(labels, 0.5, ignore_index=-1, generator=seeded())
    assert torch.equal(labels, before)
    assert (sampled[0, 4:] == -1).all()
    assert set(sampled.unique().tolist()) == {-1, 2}


def test_keep_1_keeps_all() -> None:
    labels = torch.randint(0, 3, (1, 9, 9), generator=seeded())
    assert torch.equal(sample_patches(labels, 1.0, cell=2), labels)


def test_the_loss_samples_its_labels() -> None:
    logits, labels = batch()
    torch.manual_seed(5)
    sampled = sample_patches(labels, 0.4, cell=2)
    torch.manual_seed(5)
    torch.testing.assert_close(CrossEntropy(keep=0.4, cell=2)(logits, labels), CrossEntropy()(logits, sampled))
    assert (sampled == 255).sum() > (labels == 255).sum()


@pytest.mark.parametrize("keep", [0.0, -0.5, 1.5, float("nan")])
def test_keep_is_a_share(keep: float) -> None:
    with pytest.raises(ValueError, match=r"keep is the share of cells that stay, in \(0, 1\], got"):
        sample_patches(torch.zeros(1, 2, 2, dtype=torch.int64), keep)
    with pytest.raises(ValueError, match="keep is the share"):
        CrossEntropy(keep=keep)


def test_a_cell_has_a_size() -> None:
    with pytest.raises(ValueError, match="cell is a size in pixels, at least 1, got 0"):
        sample_patches(torch.zeros(1, 2, 2, dtype=torch.int64), 0.5, cell=0)
    with pytest.raises(ValueError, match="cell is a size in pixels"):
        CrossEntropy(cell=0)


STRIDE, FIELD = 4, 13  # of `unpadded_net`


def unpadded_net() -> nn.Sequential:
    """Convolutions of 3 × 3, 2 × 2 and 3 × 3, the first two of stride 2, no padding: fields of 3, 5 and 13 pixels."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 5, 3, 2), nn.Tanh(), nn.Conv2d(5, 6, 2, 2), nn.Tanh(), nn.Conv2d(6, 4, 3)]
    return nn.Sequential(*layers).double()


def gradient(net: nn.Module, loss: Tensor) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(net.parameters()))])


def test_training_on_patches_is_sampling_the_loss() -> None:
    """The gradient of the masked dense loss is the sum of the gradients on the patches that the kept units see (section 3.4)."""
    net, generator = unpadded_net(), seeded(1)
    image = torch.randn(1, 3, 41, 45, dtype=torch.float64, generator=generator)
    scores = net(image)
    labels = torch.randint(0, 4, (1, *scores.shape[2:]), generator=generator)
    sampled = sample_patches(labels, 0.4, generator=generator)
    dense = gradient(net, CrossEntropy().terms(scores, sampled)[0])
    kept = (sampled[0] != 255).nonzero().tolist()
    assert 5 < len(kept) < labels.numel() - 5
    patches = torch.zeros_like(dense)
    for i, j in kept:
        patch = image[:, :, i * STRIDE : i * STRIDE + FIELD, j * STRIDE : j * STRIDE + FIELD]
        assert net(patch).shape[2:] == (1, 1)  # the patch is just what one unit sees
        patches += gradient(net, CrossEntropy().terms(net(patch), labels[:, i : i + 1, j : j + 1])[0])
    torch.testing.assert_close(dense, patches, rtol=0, atol=1e-12)


# --- class weights --------------------------------------------------------------------------------------------------------------


def two_maps() -> list[Tensor]:
    """Class 0: 6 of 10 labelled pixels; class 1: 2 of the 4 in the map that holds it; class 2: 2 of 6; class 3 nowhere."""
    return [torch.tensor([[0, 0, 1], [1, 255, 255]]), torch.tensor([[0, 0, 0], [0, 2, 2]])]


def test_median_frequency_by_hand() -> None:
    """Frequencies 0.6, 0.5, 1/3; the median is 0.5; the class that never occurs gets 0."""
    torch.testing.assert_close(class_weights(two_maps(), 4), torch.tensor([0.5 / 0.6, 1.0, 1.5, 0.0]))
    root = torch.tensor([0.5 / 0.6, 1.0, 1.5, 0.0]).sqrt()
    torch.testing.assert_close(class_weights(two_maps(), 4, power=0.5), root)
    torch.testing.assert_close(class_weights(two_maps(), 4, power=0.0), torch.tensor([1.0, 1.0, 1.0, 0.0]))


def test_the_median_of_an_even_number_lies_between() -> None:
    """Frequencies 3/4 and 1/4 in one map: the median is 1/2."""
    torch.testing.assert_close(class_weights([torch.tensor([0, 0, 0, 1])], 2), torch.tensor([2 / 3, 2.0]))


def test_the_frequency_is_over_the_maps_that_hold_the_class() -> None:
    """A map without class 1 does not make it rarer."""
    plain = class_weights([torch.tensor([0, 0, 0, 1])], 2)
    more = class_weights([torch.tensor([0, 0, 0, 1]), torch.tensor([255, 255])], 2)
    torch.testing.assert_close(plain, more)
    thirds = class_weights([torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 0, 0])], 2)
    torch.testing.assert_close(thirds, torch.tensor([(7 / 8 + 1 / 4) / 2 / (7 / 8), (7 / 8 + 1 / 4) / 2 / (1 / 4)]))


def test_weights_of_an_iterator_and_of_another_void() -> None:
    maps = (labels.masked_fill(labels == 255, -1) for labels in two_maps())
    torch.testing.assert_close(class_weights(maps, 4, ignore_index=-1), class_weights(two_maps(), 4))


@pytest.mark.parametrize("value", [4, 200, -1])
def test_weights_name_a_strange_label(value: int) -> None:
    with pytest.raises(ValueError, match=rf"label {value} is outside the classes 0\.\.3"):
        class_weights([torch.tensor([0, value, 1])], 4)


@pytest.mark.parametrize("maps", [[], [torch.full((2, 2), 255)]])
def test_weights_of_nothing(maps: list[Tensor]) -> None:
    with pytest.raises(ValueError, match="no labelled pixel in any of the label maps"):
        class_weights(maps, 4)


# --- auxiliary loss -------------------------------------------------------------------------------------------------------------


def test_auxiliary_adds_its_share() -> None:
    logits, labels = batch()
    other, _ = batch(seed=9)
    for weight, main in ((0.4, CrossEntropy()), (1.5, CrossEntropy(random_weights()))):
        wanted = main(logits, labels) + weight * main(other, labels)
        torch.testing.assert_close(AuxiliaryLoss(main, weight)((logits, other), labels), wanted)
    assert AuxiliaryLoss(CrossEntropy()).auxiliary_weight == 0.4


def test_both_heads_are_read_at_the_same_patches() -> None:
    """Else the two normalisers differ, and the weight of the auxiliary loss wanders from step to step."""
    logits, labels = batch()
    loss = AuxiliaryLoss(CrossEntropy(keep=0.3), 0.4)
    for seed in range(5):
        torch.manual_seed(seed)
        both = loss((logits, logits), labels)
        torch.manual_seed(seed)
        torch.testing.assert_close(both, 1.4 * CrossEntropy(keep=0.3)(logits, labels))


def test_the_patches_differ_from_call_to_call() -> None:
    logits, labels = batch()
    loss = AuxiliaryLoss(CrossEntropy(keep=0.3))
    torch.manual_seed(0)
    assert len({loss((logits, logits), labels).item() for _ in range(4)}) == 4
