"""Which inputs a stack of dilated layers reads: against real convolutions, the papers' numbers, and by hand."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from edu_seg.gridding import Coverage, coverage, frequency_response, gridding_score, is_gap_free, largest_gap, path_counts
from edu_seg.receptive_field import receptive_field

schedules = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


def stack(dilations: tuple[int, ...], kernel_size: int = 3) -> nn.Sequential:
    return nn.Sequential(*(nn.Conv2d(1, 1, kernel_size, dilation=rate, bias=False) for rate in dilations))


def test_paths_by_hand() -> None:
    assert path_counts((1, 1)).tolist() == [1, 2, 3, 2, 1]
    assert path_counts((2,)).tolist() == [1, 0, 1, 0, 1]
    assert path_counts((1, 2)).tolist() == [1, 1, 2, 1, 2, 1, 1]
    assert path_counts((2,), 5).tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1]
    assert path_counts((7,), 1).tolist() == [1]


@given(schedules, st.sampled_from([1, 3, 5]))
def test_paths_by_listing_them(dilations: tuple[int, ...], kernel_size: int) -> None:
    half = kernel_size // 2
    sums = [sum(path) for path in itertools.product(*([rate * tap for tap in range(-half, half + 1)] for rate in dilations))]
    reach = half * sum(dilations)
    assert path_counts(dilations, kernel_size).tolist() == [sums.count(place) for place in range(-reach, reach + 1)]


@given(schedules)
def test_paths_by_a_gradient(dilations: tuple[int, ...]) -> None:
    """All weights 1: the gradient of an output counts its paths, along both axes at once."""
    net = stack(dilations).double()
    for layer in net:
        nn.init.ones_(layer.weight)  # pyright: ignore[reportArgumentType]
    side = 1 + 2 * sum(dilations)
    image = torch.zeros(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    net(image).sum().backward()
    counts = path_counts(dilations).double()
    assert image.grad is not None
    assert torch.equal(image.grad[0, 0], torch.outer(counts, counts))


@pytest.mark.parametrize("dilations", [(2, 2, 2), (1, 2, 4), (1, 2, 9)])
def test_paths_by_the_receptive_field(dilations: tuple[int, ...]) -> None:
    side = 1 + 2 * sum(dilations)
    counts = path_counts(dilations).double()
    net = nn.Sequential(nn.Conv2d(3, 1, 1), *stack(dilations))
    assert torch.equal(torch.from_numpy(receptive_field(net, (side, side)).paths(0, 0)), torch.outer(counts, counts))


PUBLISHED = {  # claim 5: read and window
    (2, 2, 2): (49, 169),
    (4, 4, 4): (49, 625),
    (12,): (9, 625),
    (1, 2, 9): (441, 625),
    (1, 2, 4): (225, 225),
    (1, 2, 5): (289, 289),
    (2, 2, 4, 4, 2, 1): (961, 961),
    (1, 1, 2, 4, 8, 16, 1): (67**2, 67**2),
}


@pytest.mark.parametrize("dilations", PUBLISHED)
def test_published_coverages(dilations: tuple[int, ...]) -> None:
    covered = coverage(dilations)
    read, window = PUBLISHED[dilations]
    assert covered == Coverage(read, window)
    assert is_gap_free(dilations) == (read == window)
    assert str(covered) == f"{read} of {window}"
    assert covered.share == read / window
    assert coverage(dilations, axes=1).read ** 2 == read


def test_exponential_field_linear_parameters() -> None:
    assert [len(path_counts([2**i for i in range(n)])) for n in range(1, 6)] == [3, 7, 15, 31, 63]


def test_neighbours_of_a_gridded_stack_share_no_pixel() -> None:
    read = path_counts((2, 2, 2)) > 0
    beside = F.pad(read, (1, 0)) & F.pad(read, (0, 1))
    assert not beside.any()
    assert (F.pad(path_counts((1, 2, 4)) > 0, (1, 0)) & F.pad(path_counts((1, 2, 4)) > 0, (0, 1))).sum() == 14


@pytest.mark.parametrize(
    ("dilations", "gap"), [((1, 2, 5), 2), ((1, 2, 9), 5), ((2, 2, 2), 2), ((1, 2, 3), 2), ((5, 9, 17), 9), ((1, 3), 3)]
)
def test_the_rule_for_hybrid_dilation(dilations: tuple[int, ...], gap: int) -> None:
    assert largest_gap(dilations) == gap


@given(st.lists(st.integers(1, 6), min_size=2, max_size=4).map(lambda rates: (1, *rates)))
def test_a_stack_that_passes_the_rule_has_no_gap_where_it_begins_with_1(dilations: tuple[int, ...]) -> None:
    if largest_gap(dilations) <= 3 and list(dilations) == sorted(dilations):
        assert is_gap_free(dilations)


def test_the_rule_is_not_enough_where_rates_share_a_factor() -> None:
    """(2, 2, 2) passes M₂ ≤ 3 and skips 120 of 169: the paper says so in words, the rule does not."""
    assert largest_gap((2, 2, 2)) <= 3
    assert not is_gap_free((2, 2, 2))


# --- frequencies ----------------------------------------------------------------------------------------------------------------


def test_gain_by_the_formula() -> None:
    frequencies = torch.linspace(0, math.pi, 50, dtype=torch.float64)
    torch.testing.assert_close(frequency_response((3,), frequencies), (1 + 2 * torch.cos(3 * frequencies)) / 3)
    both = frequency_response((3,), frequencies) * frequency_response((2,), frequencies)
    torch.testing.assert_close(frequency_response((3, 2), frequencies), both)


@pytest.mark.parametrize("rate", [2, 3, 4, 6])
def test_a_layer_passes_every_pattern_of_its_period(rate: int) -> None:
    harmonics = 2 * math.pi / rate * torch.arange(rate, dtype=torch.float64)
    torch.testing.assert_close(frequency_response((rate,), harmonics), torch.ones(rate, dtype=torch.float64))
    pattern = torch.rand(rate, dtype=torch.float64).repeat(20)[None, None]
    passed = F.conv1d(pattern, torch.full((1, 1, 3), 1 / 3, dtype=torch.float64), dilation=rate)
    torch.testing.assert_close(passed, pattern[..., rate:-rate])


def test_what_a_later_layer_does_to_the_pattern() -> None:
    """Dilation 1 behind 2 turns the period-2 pattern over and leaves a third of it; so does 2 behind 4 to period 4."""
    pi = torch.tensor([math.pi], dtype=torch.float64)
    torch.testing.assert_close(frequency_response((2, 1), pi), torch.tensor([-1 / 3], dtype=torch.float64))
    torch.testing.assert_close(frequency_response((4, 2), pi / 2), torch.tensor([-1 / 3], dtype=torch.float64))


@given(schedules, st.sampled_from([3, 5]))
def test_gain_is_the_transform_of_the_paths(dilations: tuple[int, ...], kernel_size: int) -> None:
    counts = path_counts(dilations, kernel_size).double()
    frequencies = torch.linspace(0, math.pi, 9, dtype=torch.float64)
    places = torch.arange(len(counts), dtype=torch.float64) - len(counts) // 2
    wanted = (counts * torch.cos(frequencies[:, None] * places)).sum(1) / kernel_size ** len(dilations)
    torch.testing.assert_close(frequency_response(dilations, frequencies, kernel_size), wanted, rtol=0, atol=1e-12)


# --- the score ------------------------------------------------------------------------------------------------------------------


def test_the_score_of_a_pattern_of_a_slope_and_of_noise() -> None:
    checks = (torch.arange(12)[:, None] + torch.arange(12)) % 2
    assert gridding_score(checks[None, None].float(), 2) == 1.0
    slope = torch.arange(12.0).expand(1, 1, 12, 12)
    assert gridding_score(slope, 2) == pytest.approx(1 / 5)
    assert gridding_score(slope, 4) == pytest.approx(1 / 17)
    noise = torch.randn(1, 4, 200, 200, generator=torch.Generator().manual_seed(0))
    assert gridding_score(noise, 2) == pytest.approx(0.5, abs=0.01)
    assert gridding_score(5 * noise - 3, 3) == pytest.approx(gridding_score(noise, 3), rel=1e-5)


def test_the_score_by_hand() -> None:
    row = torch.tensor([0.0, 1.0, 0.0, 2.0])
    features = row.expand(1, 1, 4, 4)
    near, far = (1 + 1 + 4) / 3, (0 + 1) / 2
    assert gridding_score(features, 2) == pytest.approx(near / (near + far))


def test_dilated_layers_raise_it_and_a_plain_one_lowers_it() -> None:
    noise = torch.randn(1, 1, 80, 80, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def after(dilations: tuple[int, ...]) -> float:
        net = stack(dilations).double()
        for layer in net:
            nn.init.constant_(layer.weight, 1 / 9)  # pyright: ignore[reportArgumentType]
        return gridding_score(net(noise), 2)

    assert after((2,)) > 0.55
    assert after((2, 2, 2)) > 0.7
    assert after((2, 2, 2, 1)) < after((2, 2, 2)) - 0.1
    assert after((2, 2, 2, 1, 1)) < 0.4
    assert after((1, 2, 3)) < 0.4  # gap-free, with as many layers as (2, 2, 2)


ERRORS = [
    (lambda: path_counts(()), r"dilations \(\): give at least one"),
    (lambda: path_counts((1, 0)), r"dilations \(1, 0\): give at least one, each at least 1"),
    (lambda: path_counts((1,), 2), "kernel_size = 2: an odd number"),
    (lambda: path_counts((1,) * 40), "40 layers of 3 taps have more paths than 64 bits can count"),
    (lambda: largest_gap((3,)), r"dilations \(3,\): the rule looks at layers 2 to n"),
    (lambda: gridding_score(torch.zeros(1, 1, 9, 9), 1), "period = 1"),
    (lambda: gridding_score(torch.zeros(1, 1, 9, 4), 4), r"a map of \(9, 4\) units has none 4 apart along both axes"),
    (lambda: gridding_score(torch.zeros(1, 1, 9, 9), 2), "the map is constant"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
