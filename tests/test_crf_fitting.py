"""The search for a DenseCRF's parameters against brute force, its rounds, its folds, and the fit by gradient."""

import itertools
import math

import pytest
import torch

from edu_seg.crf import DenseCRF, Example, cross_validate, fit_by_gradient, fitting, search
from edu_seg.metrics import ConfusionMatrix

FIXED = {"theta_alpha": [6], "theta_beta": [20], "theta_gamma": [1.5], "bilateral_weight": [3], "spatial_weight": [1]}


def example(seed: int, *, noise: float = 1.5) -> Example:
    """A light disc on dark ground, 9 × 10, and its labels under noise."""
    draw = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.arange(9), torch.arange(10), indexing="ij")
    labels = ((x - 3 - seed % 3) ** 2 + (y - 4) ** 2 < 10).long()
    image = (60 + 120 * labels + torch.randint(0, 30, (3, 9, 10), generator=draw)).to(torch.uint8)
    logits = torch.stack((-1.0 * labels, 1.0 * labels - 1)) + noise * torch.randn(2, 9, 10, generator=draw)
    return Example(logits, image, labels)


def mean_iou(one: Example, preds: torch.Tensor) -> float:
    matrix = ConfusionMatrix(2)
    matrix.update(preds, one.labels)
    return matrix.mean_iou


def test_one_round_is_brute_force_over_the_grid() -> None:
    one = example(0)
    grid = FIXED | {"theta_beta": [5, 40], "theta_alpha": [2, 8], "bilateral_weight": [0.5, 2, 8]}
    scores = {}
    for alpha, beta, weight in itertools.product([2, 8], [5, 40], [0.5, 2, 8]):
        probs = DenseCRF(alpha, beta, 1.5, weight, 1, 4)(one.logits[None], one.image[None])[0]
        scores[alpha, beta, weight] = mean_iou(one, probs.argmax(0))
    found = search([one], grid, rounds=1, num_iterations=4)
    assert len(set(scores.values())) > 3  # the choice matters
    assert {(v["theta_alpha"], v["theta_beta"], v["bilateral_weight"]): score for v, score in found.trials} == pytest.approx(scores)
    assert found.score == max(scores.values())
    values = found.values
    assert scores[values["theta_alpha"], values["theta_beta"], values["bilateral_weight"]] == found.score


def peaked(monkeypatch: pytest.MonkeyPatch, **peak: float) -> list[dict[str, float]]:
    """Lets `search` climb a hill whose top is `peak` instead of running any CRF; returns the list in which it notes every call."""
    calls: list[dict[str, float]] = []

    def scorer(*_: object) -> object:
        def score(values: dict[str, float]) -> float:
            calls.append(values)
            return -sum((values[name] - at) ** 2 for name, at in peak.items())

        return score

    monkeypatch.setattr(fitting, "_Scorer", scorer)
    return calls


def test_finer_rounds_close_in_on_the_top_and_try_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = peaked(monkeypatch, theta_alpha=63.0, bilateral_weight=7.2)
    grid = FIXED | {"theta_alpha": [50, 60, 70], "bilateral_weight": [5, 10]}
    scores = [search([example(0)], grid, rounds=rounds).score for rounds in range(1, 7)]
    assert scores == sorted(scores)  # no round loses what an earlier one has found
    calls.clear()
    found = search([example(0)], grid, rounds=6)
    assert len(calls) == len(found.trials) == len({tuple(values.values()) for values in calls})
    # steps of 10 and 5 were halved five times: one step of the last round is the farthest that the nearest point can be away
    assert abs(found.values["theta_alpha"] - 63) <= 10 / 32
    assert abs(found.values["bilateral_weight"] - 7.2) <= 5 / 32


def test_a_second_round_tries_the_points_half_way(monkeypatch: pytest.MonkeyPatch) -> None:
    peaked(monkeypatch, theta_alpha=60.0, bilateral_weight=11.0)
    grid = FIXED | {"theta_alpha": [40, 60, 70], "bilateral_weight": [5, 10]}
    trials = search([example(0)], grid, rounds=2).trials
    assert {values["theta_alpha"] for values, _ in trials[6:]} == {50.0, 60, 65.0}
    assert {values["bilateral_weight"] for values, _ in trials[6:]} == {7.5, 10, 12.5}  # at an end as far outwards as inwards


@pytest.mark.parametrize("top", [0.0, 0.4])
def test_a_best_weight_of_zero_stays_on_the_axis(monkeypatch: pytest.MonkeyPatch, top: float) -> None:
    peaked(monkeypatch, bilateral_weight=top, theta_alpha=63.0)
    found = search([example(0)], FIXED | {"bilateral_weight": [0, 4], "theta_alpha": [50, 70]}, rounds=5)
    assert abs(found.values["bilateral_weight"] - top) <= 4 / 16
    assert all(values["bilateral_weight"] >= 0 for values, _ in found.trials)


def test_filters_are_built_once_for_each_set_of_thetas(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[float] = []
    original = DenseCRF.filters

    def counting(self: DenseCRF, *args: object) -> object:
        built.append(1)
        return original(self, *args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(DenseCRF, "filters", counting)
    search([example(0), example(1)], FIXED | {"theta_alpha": [2, 8], "bilateral_weight": [1, 2, 3]}, rounds=1, num_iterations=1)
    assert len(built) == 2 * 2  # thetas × examples


def test_folds_are_disjoint_and_scored_on_what_was_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    examples = [example(seed) for seed in range(5)]
    searched: list[list[Example]] = []
    original = fitting.search

    def noting(chosen: list[Example], *args: object, **options: object) -> object:
        searched.append(list(chosen))
        return original(chosen, *args, **options)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(fitting, "search", noting)
    folds = cross_validate(examples, FIXED | {"bilateral_weight": [0.5, 4]}, folds=2, rounds=1, num_iterations=3)
    held_out = [[one for one in examples if not any(one is other for other in chosen)] for chosen in searched]
    assert [[examples.index(one) for one in fold] for fold in held_out] == [[0, 2, 4], [1, 3]]
    for fold, ones in zip(folds, held_out, strict=True):
        crf = DenseCRF(**fold.found.values, num_iterations=3)  # pyright: ignore[reportArgumentType]
        refined, plain = ConfusionMatrix(2), ConfusionMatrix(2)
        for one in ones:
            refined.update(crf(one.logits[None], one.image[None])[0].argmax(0), one.labels)
            plain.update(one.logits.argmax(0), one.labels)
        assert fold.held_out == pytest.approx(refined.mean_iou)
        assert fold.without == pytest.approx(plain.mean_iou)
        assert fold.held_out > fold.without


def test_gradient_lowers_the_loss_and_moves_what_is_learnable() -> None:
    examples = [example(0), example(1)]
    before = [(one.logits.clone(), one.image.clone(), one.labels.clone()) for one in examples]
    crf = DenseCRF(6, 20, 1.5, 0.1, 0.1, 2, compatibility=1 - torch.eye(2), learnable=True)
    crf.get_parameter("weight_1").requires_grad_(False)
    losses = fit_by_gradient(crf, examples, steps=5, learning_rate=0.3)
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]
    assert crf.weights[0] != 0.1
    assert crf.weights[1] == torch.tensor(0.1)  # frozen
    assert not torch.equal(crf.get_parameter("compatibility"), 1 - torch.eye(2))
    for one, parts in zip(examples, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip((one.logits, one.image, one.labels), parts, strict=True))


def test_first_loss_is_the_cross_entropy_of_the_labelled_pixels() -> None:
    whole = example(0)
    labels = whole.labels.clone()
    labels[:, :5] = 255
    crf = DenseCRF(6, 20, 1.5, 3, 1, 3, learnable=True)
    with torch.no_grad():
        probs = crf(whole.logits[None], whole.image[None])[0]
    expected = -probs.gather(0, whole.labels[None])[0, :, 5:].log().mean()
    assert fit_by_gradient(crf, [Example(whole.logits, whole.image, labels)], steps=1)[0] == pytest.approx(float(expected), rel=1e-4)


ONE = example(0)
VOID = Example(ONE.logits, ONE.image, torch.full_like(ONE.labels, 255))
LEARNABLE = DenseCRF(6, 20, 1.5, 3, 1, 1, learnable=True)
BAD = {
    "no example": (lambda: search([], FIXED), "got 0 and 2"),
    "no round": (lambda: search([ONE], FIXED, rounds=0), "got 1 and 0"),
    "missing name": (lambda: search([ONE], {"theta_alpha": [3]}), "it has theta_alpha$"),
    "unknown name": (lambda: search([ONE], FIXED | {"theta": [3]}), "it has .*, theta$"),
    "descending": (lambda: search([ONE], FIXED | {"theta_beta": [4, 3]}), r"theta_beta = \[4, 3\]"),
    "no value": (lambda: search([ONE], FIXED | {"theta_beta": []}), r"theta_beta = \[\]"),
    "width zero": (lambda: search([ONE], FIXED | {"theta_beta": [0]}), "theta_beta = 0"),
    "all void": (lambda: search([VOID], FIXED), "all labels are void"),
    "not a number": (lambda: search([ONE], FIXED, score=lambda _: math.nan), "is NaN"),
    "one fold": (lambda: cross_validate([ONE, ONE], FIXED, folds=1), "folds = 1"),
    "too many folds": (lambda: cross_validate([ONE, ONE], FIXED, folds=3), "folds = 3: .* 2 examples"),
    "nothing learnable": (lambda: fit_by_gradient(DenseCRF(6, 20, 1.5, 3, 1), [ONE]), "learnable=True"),
    "nothing to learn from": (lambda: fit_by_gradient(LEARNABLE, []), "at least one example"),
    "no step": (lambda: fit_by_gradient(LEARNABLE, [ONE], steps=0), "steps = 0"),
    "void example": (lambda: fit_by_gradient(LEARNABLE, [ONE, VOID]), "example 1 are void"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()
