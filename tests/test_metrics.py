"""metrics: scores by hand, against torchmetrics and scikit-learn, and what happens to void, absent classes and bad values."""

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassJaccardIndex
from torchmetrics.segmentation import MeanIoU
from unchecked import shapes_unchecked

from edu_seg import metrics
from edu_seg.metrics import ConfusionMatrix, boundary_band

SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")


def counted(preds: Tensor, labels: Tensor, num_classes: int, ignore_index: int | None = 255) -> ConfusionMatrix:
    matrix = ConfusionMatrix(num_classes, ignore_index)
    matrix.update(preds, labels)
    return matrix


def drawn(num_classes: int, seed: int, labelled: list[int], predicted: list[int], void: float = 0.0) -> tuple[Tensor, Tensor]:
    """(preds, labels) of 2 × 13 × 17 pixels that hold just the given classes, mostly alike."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 13, 17)
    labels = torch.tensor(labelled)[torch.randint(len(labelled), shape, generator=generator)]
    preds = torch.tensor(predicted)[torch.randint(len(predicted), shape, generator=generator)]
    keep = torch.isin(labels, torch.tensor(predicted)) & (torch.rand(shape, generator=generator) < 0.6)
    preds = torch.where(keep, labels, preds)
    return preds, labels.masked_fill(torch.rand(shape, generator=generator) < void, 255)


def void_hides_class_3() -> tuple[Tensor, Tensor]:
    """Class 3 is predicted, but only on void pixels."""
    preds, labels = drawn(5, 5, [0, 1, 2, 4], [0, 1, 2, 4], 0.3)
    return preds.masked_fill(labels == 255, 3), labels


CASES = {
    "every class present": drawn(5, 0, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]),
    "void": drawn(5, 1, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4], 0.3),
    "a class in neither": drawn(5, 2, [0, 1, 2, 4], [0, 1, 2, 4], 0.3),
    "a class only predicted": drawn(5, 3, [0, 1, 2, 4], [0, 1, 2, 3, 4], 0.3),
    "a class only labelled": drawn(5, 4, [0, 1, 2, 3, 4], [0, 1, 2, 4], 0.3),
    "a class predicted on void alone": void_hides_class_3(),
}
each_case = pytest.mark.parametrize(("preds", "labels"), CASES.values(), ids=CASES)


@each_case
def test_torchmetrics_agrees(preds: Tensor, labels: Tensor) -> None:
    ours = counted(preds, labels, 5)
    assert torch.equal(ours.counts, MulticlassConfusionMatrix(5, ignore_index=255)(preds, labels))
    assert ours.mean_iou == pytest.approx(MulticlassJaccardIndex(5, average="macro", ignore_index=255)(preds, labels).item(), abs=1e-6)
    assert ours.pixel_accuracy == pytest.approx(MulticlassAccuracy(5, average="micro", ignore_index=255)(preds, labels).item(), abs=1e-6)
    known = labels != 255
    as_one_image = MeanIoU(5, input_format="index")(preds[known][None], labels[known][None])
    assert ours.mean_iou == pytest.approx(as_one_image.item(), abs=1e-6)


def test_torchmetrics_counts_a_class_that_is_only_predicted_in_the_mean_accuracy() -> None:
    """Where we follow the FCN authors and torchmetrics does not: it gives such a class the accuracy 0."""
    theirs = MulticlassAccuracy(5, average="macro", ignore_index=255)
    for name, (preds, labels) in CASES.items():
        ours = counted(preds, labels, 5).mean_accuracy
        share = 4 / 5 if name == "a class only predicted" else 1
        assert theirs(preds, labels).item() == pytest.approx(ours * share, abs=1e-6), name
        theirs.reset()


@each_case
def test_scikit_learn_agrees(preds: Tensor, labels: Tensor) -> None:
    ours, known = counted(preds, labels, 5), labels != 255
    truth, guess = labels[known].numpy(), preds[known].numpy()
    assert ours.counts.tolist() == sk.confusion_matrix(truth, guess, labels=range(5)).tolist()
    assert ours.pixel_accuracy == pytest.approx(sk.accuracy_score(truth, guess), abs=1e-12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it warns of classes that are only predicted, and skips them
        assert ours.mean_accuracy == pytest.approx(sk.balanced_accuracy_score(truth, guess), abs=1e-12)
    assert ours.mean_iou == pytest.approx(sk.jaccard_score(truth, guess, average="macro"), abs=1e-12)
    assert ours.frequency_weighted_iou == pytest.approx(sk.jaccard_score(truth, guess, average="weighted"), abs=1e-12)


def test_the_conventions_differ_in_the_third_decimal_and_before() -> None:
    """The means that other code takes for absent classes; ours is that of the FCN authors' score.py."""
    preds, labels = CASES["a class only predicted"]
    ours = counted(preds, labels, 5)
    present = ours.counts.sum(1) > 0
    assert ours.iou[3] == 0
    assert ours.mean_iou < float(ours.iou[present].mean()) - 0.01  # classes of the labels alone: higher
    preds, labels = CASES["a class in neither"]
    ours = counted(preds, labels, 5)
    assert ours.iou[3].isnan()
    assert ours.mean_iou > float(ours.iou.nan_to_num(0).mean()) + 0.01  # absent as 0: lower
    assert ours.mean_iou < float(ours.iou.nan_to_num(1).mean()) - 0.01  # absent as 1: higher


def test_by_hand() -> None:
    """Labels 0 0 0 0 1 1 2 2 void, predicted 0 0 0 1 1 2 2 2 0."""
    ours = counted(torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 0]), torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 255]), 3)
    assert ours.counts.tolist() == [[3, 1, 0], [0, 1, 1], [0, 0, 2]]
    assert ours.iou.tolist() == pytest.approx([3 / 4, 1 / 3, 2 / 3], abs=1e-15)
    assert ours.pixel_accuracy == pytest.approx(6 / 8, abs=1e-15)
    assert ours.mean_accuracy == pytest.approx((3 / 4 + 1 / 2 + 1) / 3, abs=1e-15)
    assert ours.mean_iou == pytest.approx((3 / 4 + 1 / 3 + 2 / 3) / 3, abs=1e-15)
    assert ours.frequency_weighted_iou == pytest.approx((4 * 3 / 4 + 2 * 1 / 3 + 2 * 2 / 3) / 8, abs=1e-15)
    assert list(ours.scores()) == list(SCORES)
    assert ours.scores() == {name: getattr(ours, name) for name in SCORES}


def test_absent_classes_by_hand() -> None:
    """Of five classes, 3 is only predicted (IU 0, counted; no accuracy) and 4 occurs nowhere (not counted)."""
    ours = counted(torch.tensor([0, 0, 3, 1]), torch.tensor([0, 0, 0, 2]), 5)
    assert ours.iou[:4].tolist() == [2 / 3, 0, 0, 0]
    assert ours.iou[4].isnan()
    assert ours.mean_iou == pytest.approx(2 / 3 / 4, abs=1e-15)
    assert ours.mean_accuracy == pytest.approx((2 / 3 + 0) / 2, abs=1e-15)
    assert ours.frequency_weighted_iou == pytest.approx(3 * (2 / 3) / 4, abs=1e-15)


def test_one_class_everywhere_and_a_perfect_prediction() -> None:
    labels = CASES["void"][1]
    lazy, perfect = counted(torch.zeros_like(labels), labels, 5), counted(labels.masked_fill(labels == 255, 2), labels, 5)
    assert lazy.mean_iou == pytest.approx(lazy.pixel_accuracy / 5, abs=1e-15)
    assert set(perfect.scores().values()) == {1.0}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.sampled_from([None, 255, -1, -100, 6, 1000]), st.integers(0, 10**6))
def test_counts_are_those_of_a_loop(num_classes: int, ignore_index: int | None, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, num_classes, (40,), generator=generator)
    preds = torch.randint(0, num_classes, (40,), generator=generator)
    if ignore_index is not None:
        labels[torch.rand(40, generator=generator) < 0.3] = ignore_index
    wanted = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for label, pred in zip(labels.tolist(), preds.tolist(), strict=True):
        if label != ignore_index:
            wanted[label, pred] += 1
    assert torch.equal(counted(preds, labels, num_classes, ignore_index).counts, wanted)


def test_batches_and_merge_give_one_matrix() -> None:
    preds, labels = CASES["void"]
    whole, parts, other = counted(preds, labels, 5), ConfusionMatrix(5), ConfusionMatrix(5)
    parts.update(preds[:1], labels[:1])
    other.update(preds[1, :6], labels[1, :6])
    other.update(preds[1, 6:], labels[1, 6:])
    parts.merge(other)
    assert torch.equal(parts.counts, whole.counts)
    assert parts.scores() == whole.scores()
    assert int(other.counts.sum()) == int((labels[1] != 255).sum())  # the merged one is as it was


def test_a_mean_over_images_is_another_score() -> None:
    preds, labels = CASES["void"]
    per_image = [counted(preds[n], labels[n], 5).mean_iou for n in range(2)]
    assert abs(sum(per_image) / 2 - counted(preds, labels, 5).mean_iou) > 1e-4


def test_the_counts_are_a_copy() -> None:
    matrix = counted(torch.tensor([0, 1]), torch.tensor([0, 0]), 2)
    matrix.counts.zero_()
    assert matrix.counts.tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_every_integer_type_gives_the_same(dtype: torch.dtype) -> None:
    ignore_index = 100  # fits into int8
    preds, labels = CASES["void"]
    labels = labels.masked_fill(labels == 255, ignore_index)
    typed = counted(preds.to(dtype), labels.to(dtype), 5, ignore_index)
    assert torch.equal(typed.counts, counted(preds, labels, 5, ignore_index).counts)


@pytest.mark.parametrize("num_classes", [2, 19, 150, 300])
def test_any_number_of_classes(num_classes: int) -> None:
    """Small and large tables are indexed with other types; the corners are what an overflow would lose."""
    ignore_index = 255 if num_classes <= 255 else 1000
    labels = torch.tensor([0, 0, num_classes - 1, num_classes - 1, ignore_index])
    preds = torch.tensor([0, num_classes - 1, 0, num_classes - 1, num_classes - 1])
    counts = counted(preds, labels, num_classes, ignore_index).counts
    assert counts.sum() == 4
    assert counts[:: num_classes - 1, :: num_classes - 1].tolist() == [[1, 1], [1, 1]]


def test_the_arguments_are_left_alone() -> None:
    for dtype in (torch.int16, torch.int32, torch.int64):
        preds, labels = (part.to(dtype) for part in CASES["void"])
        before = preds.clone(), labels.clone()
        counted(preds, labels, 5)
        assert torch.equal(preds, before[0])
        assert torch.equal(labels, before[1])


# --- values that are no class ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "ignore_index", "message"),
    [
        (5, 255, r"^1 labels lie outside the classes 0..4 \(ignore_index 255\), the first being 5: map them"),
        (254, 255, "the first being 254"),
        (256, 255, "the first being above 255"),
        (2**40, 255, "the first being above 255"),
        (2**32 + 1, 255, "the first being above 255"),  # would be 1 in 32 bits
        (-1, 255, "the first being below 0"),
        (-(2**40), 255, "the first being below 0"),
        (255, -1, r"\(ignore_index -1\), the first being above 4"),
        (-2, -1, "the first being below -1"),
        (-50, -100, "the first being -50"),
        (-101, -100, "the first being below -100"),
        (255, None, r"\(ignore_index None\), the first being above 4"),
        (-1, None, "the first being below 0"),
    ],
)
def test_strange_labels_are_reported_when_a_score_is_read(label: int, ignore_index: int | None, message: str) -> None:
    matrix = ConfusionMatrix(5, ignore_index)
    matrix.update(torch.tensor([1, 1]), torch.tensor([1, label]))
    matrix.update(torch.tensor([1]), torch.tensor([1]))
    for name in ("counts", "iou", *SCORES):
        with pytest.raises(ValueError, match=message):
            getattr(matrix, name)


@pytest.mark.parametrize("pred", [-1, 5, 255, 2**40, -(2**32) + 1])
def test_strange_predictions_are_reported_when_a_score_is_read(pred: int) -> None:
    matrix = counted(torch.tensor([0, pred, pred]), torch.tensor([0, 1, 2]), 5)
    with pytest.raises(ValueError, match=r"^2 predictions lie outside the classes 0..4: take logits.argmax\(1\)"):
        _ = matrix.mean_iou


def test_predictions_on_void_may_be_anything() -> None:
    assert counted(torch.tensor([0, 77, -3]), torch.tensor([0, 255, 255]), 5).scores()["mean_iou"] == 1


def test_strange_values_survive_a_merge() -> None:
    matrix = counted(torch.tensor([0]), torch.tensor([0]), 2)
    matrix.merge(counted(torch.tensor([0]), torch.tensor([7]), 2))
    with pytest.raises(ValueError, match="the first being 7"):
        _ = matrix.counts


@pytest.mark.parametrize("labels", [torch.tensor([255, 255]), torch.empty(0, dtype=torch.int64)])
def test_scores_of_nothing(labels: Tensor) -> None:
    matrix = counted(torch.zeros_like(labels), labels, 3)
    assert matrix.counts.sum() == 0
    with pytest.raises(ValueError, match="no labelled pixel has been counted yet"):
        _ = matrix.mean_iou


def test_arguments_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        ConfusionMatrix(0)
    with pytest.raises(ValueError, match=r"ignore_index 2 is one of the 3 classes 0\.\.2"):
        ConfusionMatrix(3, ignore_index=2)
    with pytest.raises(ValueError, match=r"cannot merge 3 classes with ignore_index 255 into 3 classes with ignore_index None"):
        ConfusionMatrix(3, None).merge(ConfusionMatrix(3))
    with shapes_unchecked():
        matrix = ConfusionMatrix(3)
        with pytest.raises(ValueError, match=r"preds \(1, 3, 2, 2\) and labels \(1, 2, 2\) must have one shape: take logits.argmax"):
            matrix.update(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
        for strange in (torch.zeros(2), torch.zeros(2, dtype=torch.bool)):
            with pytest.raises(ValueError, match=f"preds must hold integer class indices, got {strange.dtype}"):
                matrix.update(strange, torch.zeros(2, dtype=torch.int64))
            with pytest.raises(ValueError, match=f"labels must hold integer class indices, got {strange.dtype}"):
                matrix.update(torch.zeros(2, dtype=torch.int64), strange)


# --- no waiting for a GPU -------------------------------------------------------------------------------------------------------


def test_update_reads_no_value() -> None:
    """On the meta device there are shapes and no values: whatever would have to wait for a value (item, nonzero, bincount) fails."""
    labels = torch.zeros(2, 8, 8, dtype=torch.int64, device="meta")
    with pytest.raises((RuntimeError, NotImplementedError)):
        int(labels.max())
    matrix = ConfusionMatrix(19, device="meta")
    matrix.update(labels, labels)
    matrix.merge(matrix)


def test_both_histograms_agree() -> None:
    index = torch.randint(0, 50, (999,), generator=torch.Generator().manual_seed(0)).to(torch.int16)
    assert torch.equal(metrics._scattered_histogram(index, 60), torch.bincount(index, minlength=60))
    assert torch.equal(metrics._histogram(index, 60), torch.bincount(index, minlength=60))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_counts_the_same_without_waiting() -> None:
    preds, labels = (part.cuda() for part in CASES["a class only predicted"])
    matrix = ConfusionMatrix(5, device="cuda")
    matrix.update(preds, labels)  # the first call may set CUDA up
    torch.cuda.set_sync_debug_mode("error")
    try:
        matrix.update(preds, labels)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(matrix.counts.cpu(), 2 * counted(preds.cpu(), labels.cpu(), 5).counts)


# --- what is printed ------------------------------------------------------------------------------------------------------------


def test_table() -> None:
    matrix = counted(torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1]), 3)
    assert matrix.table(["sky", "road", "cat"]).splitlines() == [
        "class           IU, %",
        "sky              66.7",
        "road             66.7",
        "cat                 –",
        "─" * 21,
        "pixel accuracy   80.0",
        "mean accuracy    83.3",
        "mean IU          66.7",
        "f.w. IU          66.7",
    ]
    assert matrix.table().splitlines()[1].split() == ["0", "66.7"]
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        matrix.table(["sky", "road"])


def test_repr() -> None:
    assert repr(counted(torch.tensor([0, 1]), torch.tensor([0, 255]), 2)) == "ConfusionMatrix(num_classes=2, ignore_index=255, pixels=2)"


# --- the band along boundaries --------------------------------------------------------------------------------------------------


def test_band_by_hand() -> None:
    labels = torch.tensor([[[0, 0, 0, 1, 1, 255, 2, 2, 2]]])
    wanted = {1: "..xx.....", 2: ".xxxx.x..", 3: "xxxxx.xx."}
    for width, picture in wanted.items():
        assert ["x" if inside else "." for inside in boundary_band(labels, width)[0, 0].tolist()] == list(picture)


@pytest.mark.parametrize("width", [1, 2, 3, 20])
@pytest.mark.parametrize("ignore_index", [255, -1])
def test_band_against_a_loop(width: int, ignore_index: int) -> None:
    generator = torch.Generator().manual_seed(width)
    coarse = torch.randint(0, 3, (2, 3, 4), generator=generator).repeat_interleave(4, 1).repeat_interleave(4, 2)
    labels = coarse.masked_fill(torch.rand(coarse.shape, generator=generator) < 0.15, ignore_index)
    wanted = torch.zeros_like(labels, dtype=torch.bool)
    for n, y, x in torch.ones_like(labels).nonzero().tolist():
        around = labels[n, max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
        others = (around != labels[n, y, x]) & (around != ignore_index)
        wanted[n, y, x] = labels[n, y, x] != ignore_index and others.any()
    assert torch.equal(boundary_band(labels, width, ignore_index), wanted)


def test_band_of_void_and_of_one_class() -> None:
    assert not boundary_band(torch.full((1, 4, 4), 255), 1).any()
    assert not boundary_band(torch.full((1, 4, 4), 3), 9).any()
    with pytest.raises(ValueError, match="at least 1 pixel wide, got 0"):
        boundary_band(torch.zeros(1, 4, 4, dtype=torch.int64), 0)
