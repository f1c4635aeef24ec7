"""exercises: right answers of every style pass, typical wrong ones are told what is wrong, and nothing an answer does stops the lesson."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edu_seg.exercises import EXERCISES, check
from edu_seg.exercises.checking import Exercise, Mistake, review
from edu_seg.geometry import PIXELS, Field, Grid, crop_offset
from edu_seg.metrics import ConfusionMatrix
from edu_seg.receptive_field import receptive_field

# --- right answers, written otherwise than the reference ------------------------------------------------------------------------


def confusion_by_loop(preds, labels, num_classes):
    counts = [[0] * num_classes for _ in range(num_classes)]
    for pred, label in zip(preds.flatten().tolist(), labels.flatten().tolist(), strict=True):
        if label != 255:
            counts[label][pred] += 1
    return counts


def confusion_by_bincount(preds, labels, num_classes):
    known = labels < 255
    return torch.bincount(labels[known] * num_classes + preds[known], minlength=num_classes**2).view(num_classes, num_classes)


def confusion_by_numpy(preds, labels, num_classes):
    counts = np.zeros((num_classes, num_classes))
    known = labels.numpy() != 255
    np.add.at(counts, (labels.numpy()[known], preds.numpy()[known]), 1)
    return counts


def mean_iou_by_loop(counts):
    total, classes = 0.0, 0
    for k in range(len(counts)):
        union = counts[k, :].sum() + counts[:, k].sum() - counts[k, k]
        if union > 0:
            total, classes = total + counts[k, k].item() / union.item(), classes + 1
    return total / classes


def mean_iou_by_numpy(counts):
    n = np.asarray(counts, dtype=np.float64)
    union = n.sum(0) + n.sum(1) - np.diag(n)
    return (np.diag(n)[union > 0] / union[union > 0]).mean()


def set_iou_by_concatenation(pairs, num_classes):
    preds, labels = (torch.cat([pair[i].flatten() for pair in pairs]) for i in (0, 1))
    return mean_iou_by_loop(confusion_by_bincount(preds, labels, num_classes))


def set_iou_by_the_package(pairs, num_classes):
    matrix = ConfusionMatrix(num_classes)
    for preds, labels in pairs:
        matrix.update(preds, labels)
    return matrix.mean_iou


def layer_by_search(size, stride, wanted_size, wanted_stride):
    """Every layer there is, those of small dilation first."""
    for d in range(1, 200):
        for k in (7, 5, 3):
            if Field(size, stride).then(k, wanted_stride // stride, dilation=d) == Field(wanted_size, wanted_stride):
                return torch.tensor([k, wanted_stride // stride, d])
    raise ValueError("there is no such layer")


def field_from_the_end(layers):
    """The same backwards: from one unit to the first and last unit that it reads of each earlier map."""
    first, last = 0, 0
    for k, s, p, d in reversed(layers):
        first, last = first * s - p, last * s - p + d * (k - 1)
    return last - first + 1, math.prod(s for _, s, _, _ in layers), -first


def field_by_tracing(layers):
    net = nn.Sequential(*(nn.Conv2d(3, 3, k, s, p, d) for k, s, p, d in layers))
    field = receptive_field(net, (200, 200))
    return [field.size[0], field.stride[0], field.padding[0]]


def dilations_by_search(layers):
    """Step by step the largest dilation that leaves no hole."""
    found, reached = [], {0}
    for _ in range(layers):
        for d in range(1, 100):
            wider = {place + step for place in reached for step in (-d, 0, d)}
            if len(wider) == max(wider) - min(wider) + 1:
                best, widest = d, wider
        found, reached = [*found, best], widest
    return found


def offset_by_grid(pad):
    centre = 1 - pad + sum(2**i / 2 for i in range(5)) + 3 * 32  # conv1_1, five pools, fc6; each other 3 × 3 keeps its place
    return crop_offset(Grid(PIXELS.stride * 32, Fraction(centre)).transposed(64, 32), PIXELS)


def sum_by_loop(upsampled, finer, offset):
    rows = [i for i in range(upsampled.shape[2]) if 0 <= i + offset < finer.shape[2]]
    columns = [j for j in range(upsampled.shape[3]) if 0 <= j + offset < finer.shape[3]]
    return [[[[float(upsampled[0, 0, i, j] + finer[0, 0, i + offset, j + offset]) for j in columns] for i in rows]]]


def sum_by_narrow(upsampled, finer, offset):
    for dim in (2, 3):
        if offset > 0:
            finer = finer.narrow(dim, offset, finer.shape[dim] - offset)
        else:
            upsampled = upsampled.narrow(dim, -offset, upsampled.shape[dim] + offset)
        length = min(finer.shape[dim], upsampled.shape[dim])
        finer, upsampled = finer.narrow(dim, 0, length), upsampled.narrow(dim, 0, length)
    return (finer + upsampled).double().numpy()


def kernel_by_loop(size):
    factor, centre = (size + 1) // 2, (size - 1) / 2
    return [[(1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor) for j in range(size)] for i in range(size)]


def kernel_by_convolution(size):
    """A tent is a box convolved with a box, if the size is odd; at even sizes its samples lie between."""
    factor = (size + 1) // 2
    tent = np.interp(np.arange(size) - (size - 1) / 2, [-factor, 0, factor], [0, 1, 0])
    return torch.from_numpy(np.outer(tent, tent)).float()


RIGHT: dict[str, list[Any]] = {
    "00.1": [0.18, 0.9 / 5, Fraction(9, 50), np.float64(0.18), torch.tensor(0.18), lambda: (0.9 + 0 + 0 + 0 + 0) / 5],
    "00.2": [confusion_by_loop, confusion_by_bincount, confusion_by_numpy],
    "00.3": [mean_iou_by_loop, mean_iou_by_numpy],
    "00.4": [set_iou_by_concatenation, set_iou_by_the_package],
    "01.1": [[[23, 4], [14, 2], [23, 8]], np.array([(23, 4), (14, 2), (23, 8)]), torch.tensor([[23, 4], [14, 2], [23, 8]])],
    "01.2": [
        layer_by_search,
        lambda a, s, b, t: next((k, t // s, (b - a) // s // (k - 1)) for k in (7, 5, 3) if (b - a) // s % (k - 1) == 0),
    ],
    "01.3": [field_from_the_end, field_by_tracing],
    "01.4": [dilations_by_search, lambda layers: 3.0 ** np.arange(layers)],
    "05.1": [lambda pad: pad - 81, offset_by_grid],
    "05.2": [sum_by_loop, sum_by_narrow],
    "05.3": [kernel_by_loop, kernel_by_convolution],
    "05.4": [lambda loss, kept: (loss * kept).sum() / kept.sum(), lambda loss, kept: np.mean(loss.numpy()[kept.numpy()])],
}


@pytest.mark.parametrize(("exercise_id", "answer"), [(key, answer) for key, answers in RIGHT.items() for answer in answers])
def test_right_answers_pass(exercise_id: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise_id, answer)
    assert capsys.readouterr().out == f"{exercise_id} · right\n"


def test_every_exercise_has_two_right_answers_here() -> None:
    assert RIGHT.keys() == EXERCISES.keys() == WRONG.keys()
    assert min(len(answers) for answers in RIGHT.values()) >= 2
    assert min(len(answers) for answers in WRONG.values()) >= 3


def test_every_notebook_has_three_exercises() -> None:
    for notebook in ("00", "01", "05"):
        assert sum(key.startswith(notebook) for key in EXERCISES) >= 3
    assert all(key == exercise.id for key, exercise in EXERCISES.items())


# --- typical wrong answers, and words of the sentence that is due ---------------------------------------------------------------


def confusion_with_void(preds, labels, num_classes):
    return confusion_by_bincount(preds, labels.where(labels < 255, 0), num_classes)


def iou_of_each(counts):
    return counts.diag() / (counts.sum(0) + counts.sum(1) - counts.diag())


def mean_of_images(pairs, num_classes):
    return sum(set_iou_by_the_package([pair], num_classes) for pair in pairs) / len(pairs)


def mean_accuracy_of_images(pairs, num_classes):
    return np.mean([(preds == labels)[labels < 255].float().mean().item() for preds, labels in pairs])


def pixel_accuracy_of_the_set(pairs, num_classes):
    counts = torch.stack([confusion_by_bincount(preds, labels, num_classes) for preds, labels in pairs]).sum(0)
    return counts.diag().sum() / counts.sum()


def calculator_of_01_3(layers):
    """The code that the exercise gives to be mended."""
    size, stride, padding = 1, 1, 0
    for k, s, p, d in layers:
        stride *= s
        size += d * (k - 1) * stride
        padding += p
    return size, stride, padding


def field_with(rule):
    """A field by a wrong rule: (size, stride before the layer, k, s, d) -> the new size."""

    def answer(layers):
        size, stride, padding = 1, 1, 0
        for k, s, p, d in layers:
            size, stride, padding = rule(size, stride, k, s, d), stride * s, padding + p * stride
        return [size, stride, padding]

    return answer


def sum_of_corners(upsampled, finer, offset):
    height, width = (min(a, b) for a, b in zip(upsampled.shape[2:], finer.shape[2:], strict=True))
    return upsampled[..., :height, :width] + finer[..., :height, :width]


def sum_of_middles(upsampled, finer, offset):
    return sum_by_narrow(upsampled, finer, (finer.shape[2] - upsampled.shape[2]) // 2)


def sum_after_resizing(upsampled, finer, offset):
    return upsampled + F.interpolate(finer, size=upsampled.shape[2:], mode="bilinear")


def kernel_off_centre(size):
    """The filler of Caffe: the centre follows from the factor as if every size were 2 · factor - factor % 2."""
    f = -(-size // 2)
    c = (2 * f - 1 - f % 2) / (2 * f)
    tent = np.array([1 - abs(i / f - c) for i in range(size)])
    return np.outer(tent, tent)


def kernel_down_to_zero(size):
    tent = 1 - np.abs(np.linspace(-1, 1, size)) if size > 1 else np.ones(1)
    return np.outer(tent, tent)


WRONG: dict[str, list[tuple[Any, str]]] = {
    "00.1": [
        (0.9, "pixel accuracy"),
        (0.2, "mean accuracy"),
        (0.81, "frequency weighted"),
        (0.225, "divide by 5"),
        (18, "not per cent"),
        (0.5, "Write down the confusion matrix"),
    ],
    "00.2": [
        (lambda preds, labels, k: confusion_by_bincount(preds, labels, k).T, "transposed"),
        (confusion_with_void, "void: drop them"),
        (lambda preds, labels, k: confusion_by_bincount(preds, labels, k) / (labels < 255).sum(), "do not divide"),
        (lambda preds, labels, k: confusion_by_bincount(preds, labels, k)[:-1], "shape"),
    ],
    "00.3": [
        (lambda n: (n.diag() / (n.sum(0) + n.sum(1))).nanmean(), "subtract n_ii once"),
        (lambda n: (n.diag() / n.sum(1)).nanmean(), "mean accuracy"),
        (lambda n: iou_of_each(n).nan_to_num(0).mean(), "leave it out of the mean, it is not 0"),
        (lambda n: iou_of_each(n)[n.sum(1) > 0].mean(), "its IU is 0 and counts"),
        (lambda n: iou_of_each(n).mean(), "nan"),
        (iou_of_each, "take their mean"),
    ],
    "00.4": [
        (mean_of_images, "A mean over images is another score"),
        (mean_accuracy_of_images, "mean of pixel accuracies"),
        (pixel_accuracy_of_the_set, "pixel accuracy of the whole set"),
    ],
    "01.1": [
        ([[29, 4], [15, 2], [37, 8]], "multiplied too early"),
        ([[23, 4], [14, 2], [31, 8]], "does not spread its own taps"),
        ([[23, 4], [14, 2], [46, 8]], "takes every second unit"),
        ([[23, 4], [23, 2], [23, 8]], "half as far apart"),
        ([[10, 4], [10, 2], [10, 8]], "a stride of pixels apart"),
        ([[14, 4], [14, 2], [14, 8]], "double at each pool"),
        ([23, 4, 14, 2, 23, 8], "shape"),
        ([[23, 4], [14, 2], [24, 8]], "Go layer by layer"),
    ],
    "01.2": [
        (lambda a, s, b, t: (3, t // s, (b - a) // s // 2), "a larger kernel needs less dilation"),
        (lambda a, s, b, t: layer_by_search(a, 1, b, t // s), "divide the gap by the stride before you look"),
        (lambda a, s, b, t: [3, t // s, (b - a) // s // 3] if s == 1 else [7, t // s, 1], "k - 1 steps"),
        (lambda a, s, b, t: layer_by_search(a, t, b, t) * torch.tensor([1, 0, 1]) + torch.tensor([0, t // s, 0]), "not by the wanted one"),
        (lambda a, s, b, t: layer_by_search(a, s, b, t) * torch.tensor([1, s, 1]), "Strides multiply"),
        (lambda a, s, b, t: (b - a, t), "shape"),
    ],
    "01.3": [
        (calculator_of_01_3, "two faults"),
        (lambda layers: (calculator_of_01_3(layers)[0], *field_from_the_end(layers)[1:]), "multiplied too early"),
        (field_with(lambda size, stride, k, s, d: size + (k - 1) * stride), "Dilation is left out"),
        (lambda layers: (*field_from_the_end(layers)[:2], sum(layer[2] for layer in layers)), "units of the map that is padded"),
        (lambda layers: (field_from_the_end(layers)[0] + 1, *field_from_the_end(layers)[1:]), "start at size 1"),
        (field_with(lambda size, stride, k, s, d: size * s if s > 1 else size + d * (k - 1)), "double at each pool"),
        (lambda layers: field_from_the_end(layers)[:2], "shape"),
    ],
    "01.4": [
        (lambda layers: [1, 2, 4, 8][:layers], "reached in several ways"),
        (lambda layers: list(range(1, layers + 1)), "reached in several ways"),
        (lambda layers: [2] * layers, "every second pixel is never read"),
        (lambda layers: [1] * layers, "the smallest field of all"),
        (lambda layers: [4**i for i in range(layers)], "nothing reaches 2"),
        (lambda layers: dilations_by_search(layers)[::-1], "from small to large"),
    ],
    "05.1": [
        (lambda pad: 19, "copied literal"),
        (lambda pad: 19 + (100 - pad), "The sign"),
        (lambda pad: 19 + (pad - 100) // 2, "not by half of one"),
        (lambda pad: 22 + (pad - 100), "is not centred on the image"),
        (lambda pad: pad - 80, "Follow the centre of unit 0"),
    ],
    "05.2": [
        (sum_of_corners, "cut at their corners"),
        (sum_of_middles, "cut in its middle"),
        (sum_after_resizing, "Resizing moves every unit"),
    ],
    "05.3": [
        (kernel_off_centre, "Caffe's own bilinear filler"),
        (kernel_down_to_zero, "falls to 0 one step outside"),
        (lambda size: np.array(kernel_by_loop(size)) / np.sum(kernel_by_loop(size)), "does not sum to 1"),
        (lambda size: np.diag(kernel_by_loop(size)), "diagonal"),
    ],
    "05.4": [
        (lambda loss, kept: (loss * kept).mean(), "still count in the divisor"),
        (lambda loss, kept: loss.mean(), "the mask is not used"),
        (lambda loss, kept: loss[~kept].mean(), "you average the others"),
        (lambda loss, kept: loss[kept].sum(), "A sum grows"),
    ],
}


@pytest.mark.parametrize(("exercise_id", "answer", "words"), [(key, *wrong) for key, answers in WRONG.items() for wrong in answers])
def test_wrong_answers_get_their_sentence(exercise_id: str, answer: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise_id, answer)
    line = capsys.readouterr().out
    assert line.startswith(f"{exercise_id} · wrong: ")
    assert words in line
    assert line.count("\n") == 1
    if callable(answer):
        assert "Smallest case: " in line
        assert " gives " in line
        assert ", and should give " in line


MISTAKES = [(exercise, mistake) for exercise in EXERCISES.values() for mistake in exercise.mistakes]


@pytest.mark.parametrize(
    ("exercise", "mistake"), MISTAKES, ids=[f"{exercise.id}-{mistake.sentence[:20]}" for exercise, mistake in MISTAKES]
)
def test_no_mistake_hides_behind_another(exercise: Exercise, mistake: Mistake) -> None:
    """Each known mistake, given as the answer, gets its own sentence, and fails on no case by crashing."""
    for case in exercise.cases:
        mistake.answer(*case)
    verdict = review(exercise, mistake.answer)
    assert verdict.state == "wrong"
    assert verdict.text.startswith(mistake.sentence)


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES)
def test_sentences_are_sentences(exercise: Exercise) -> None:
    sentences = [exercise.otherwise, *(mistake.sentence for mistake in exercise.mistakes)]
    assert len(set(sentences)) == len(sentences) >= 4
    assert all(sentence[-1] in ".?" and len(sentence) > 20 for sentence in sentences)


# --- answers that are none ------------------------------------------------------------------------------------------------------


def stub_that_returns(*case):
    return ...


def stub_that_raises(*case):
    raise NotImplementedError


@pytest.mark.parametrize("exercise_id", EXERCISES)
@pytest.mark.parametrize("stub", [..., stub_that_returns, stub_that_raises], ids=["...", "returns ...", "raises"])
def test_an_untouched_stub_is_not_tried_yet(exercise_id: str, stub: Any, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise_id, stub)
    assert capsys.readouterr().out == f"{exercise_id} · not tried yet\n"


def crash(*case):
    return 1 / 0


NONE_AT_ALL = [None, lambda *case: None, "0.18", lambda *case: "text", lambda *case: object(), lambda *case: [[1, 2], [3]], crash]
NONE_AT_ALL += [lambda: 1, lambda *case: torch.zeros(7, 7, 7), lambda *case: float("nan"), {}, lambda *case: print]


@pytest.mark.parametrize("exercise_id", EXERCISES)
@pytest.mark.parametrize("answer", NONE_AT_ALL, ids=range(len(NONE_AT_ALL)))
def test_nothing_that_an_answer_does_stops_the_lesson(exercise_id: str, answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    check(exercise_id, answer)
    assert capsys.readouterr().out.startswith(f"{exercise_id} · wrong: ")


def test_a_crash_is_reported_with_its_case(capsys: pytest.CaptureFixture[str]) -> None:
    check("05.1", crash)
    line = capsys.readouterr().out
    assert "your code stops with ZeroDivisionError: division by zero" in line
    assert "pad = 100" in line


@pytest.mark.parametrize("exercise_id", [key for key, exercise in EXERCISES.items() if exercise.cases != ((),)])
def test_an_answer_that_writes_into_its_input_spoils_nothing(exercise_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    def scribble(part: Any) -> None:
        if isinstance(part, Tensor):
            part.zero_()
        elif isinstance(part, list | tuple):
            for inner in part:
                scribble(inner)

    right = RIGHT[exercise_id][0]

    def vandal(*case):
        result = right(*case)
        scribble(case)
        return result

    before = [repr(case) for case in EXERCISES[exercise_id].cases]
    for _ in range(2):
        check(exercise_id, vandal)
        assert capsys.readouterr().out == f"{exercise_id} · right\n"
    assert [repr(case) for case in EXERCISES[exercise_id].cases] == before


def made_up(reference: Callable[..., Any], *cases: tuple[Any, ...]) -> Exercise:
    return Exercise("99.1", reference, "Think again.", (Mistake(lambda n: -n, "The sign."),), cases)


def test_the_smallest_failing_case_is_shown() -> None:
    """Cases go from small to large, and the first that fails is the one to think about."""
    exercise = made_up(lambda n: n * n, (0,), (1,), (2,), (3,))
    verdict = review(exercise, lambda n: n)
    assert verdict.text == "Think again. Smallest case: n = 2 gives 2, and should give 4."
    assert review(exercise, lambda n: -n).text.startswith("The sign. Smallest case: n = 1 gives -1, and should give 1.")
    assert review(exercise, lambda n: n**2).state == "right"


def test_the_last_case_counts_as_much_as_the_first() -> None:
    exercise = made_up(lambda n: n * n, (1,), (2,), (3,))
    assert review(exercise, lambda n: n * n if n < 3 else 8).state == "wrong"
    assert review(exercise, lambda n: n * n if n < 3 else crash()).state == "wrong"


def test_tolerance_is_for_rounding_alone() -> None:
    assert review(EXERCISES["00.1"], 0.18 + 1e-7).state == "right"
    assert review(EXERCISES["00.1"], 0.1801).state == "wrong"
    exercise = made_up(lambda n: torch.tensor([1.0, float("nan")]), (1,))
    assert review(exercise, lambda n: [1.0, float("nan")]).state == "right"
    assert review(exercise, lambda n: [1.0, 0.0]).state == "wrong"
    assert review(exercise, lambda n: [[1.0, float("nan")]]).state == "wrong"  # another shape


def test_an_unknown_exercise() -> None:
    with pytest.raises(ValueError, match=r"there is no exercise '00\.9': there are 00\.1, 00\.2"):
        check("00.9", 1)
