"""The exact Gaussian filter against the formula in loops, features and normalisations by hand."""

import math

import numpy as np
import pytest
import torch
from unchecked import shapes_unchecked

from edu_seg.crf import GaussianFilter, LatticeFilter, NormalisedFilter, bilateral_features, gaussian_matrix, spatial_features
from edu_seg.crf.filters import Normalisation

THREE = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
A, B, C = math.exp(-0.5), math.exp(-4.5), math.exp(-2.0)  # distances 1, 3 and 2


def test_three_pixels_by_hand() -> None:
    expected = torch.tensor([[1, A, B], [A, 1, C], [B, C, 1]], dtype=torch.float64)
    torch.testing.assert_close(gaussian_matrix(THREE), expected, rtol=1e-14, atol=0)
    torch.testing.assert_close(gaussian_matrix(THREE, self_term=False), expected - torch.eye(3), rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("dimension", [1, 2, 3, 5, 9])
def test_the_formula_in_loops(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    features, values = rng.normal(size=(12, dimension)), rng.normal(size=(12, 3))
    expected = np.zeros((12, 3))
    for i in range(12):
        for j in range(12):
            distance = sum((features[i, k] - features[j, k]) ** 2 for k in range(dimension))
            expected[i] += math.exp(-distance / 2) * values[j]
    filtered = GaussianFilter(torch.from_numpy(features))(torch.from_numpy(values))
    torch.testing.assert_close(filtered, torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


def test_gradient_in_the_standard_deviation() -> None:
    theta = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda theta: gaussian_matrix(THREE / theta), (theta,))


NORMALISED = {
    "none": lambda k, n: k,
    "after": lambda k, n: k / n[:, None],
    "before": lambda k, n: k / n[None, :],
    "symmetric": lambda k, n: k / np.sqrt(n[:, None] * n[None, :]),
}


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("normalisation", NORMALISED)
def test_normalisations_by_hand_on_three_pixels(normalisation: Normalisation, transposed: bool) -> None:
    kernel = np.array([[1, A, B], [A, 1, C], [B, C, 1]])
    sums = np.array([1 + A + B, 1 + A + C, 1 + B + C])
    expected = NORMALISED[normalisation](kernel, sums)
    built = NormalisedFilter(GaussianFilter(THREE), normalisation)
    matrix = built(torch.eye(3, dtype=torch.float64), transposed=transposed)
    torch.testing.assert_close(matrix, torch.from_numpy(expected.T if transposed else expected), rtol=1e-12, atol=0)


@pytest.mark.parametrize("normalisation", NORMALISED)
def test_the_lattice_is_normalised_alike(normalisation: Normalisation) -> None:
    features = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    identity = torch.eye(20, dtype=torch.float64)
    kernel = LatticeFilter(features)(identity).numpy()
    expected = torch.from_numpy(NORMALISED[normalisation](kernel, kernel.sum(1)))
    torch.testing.assert_close(NormalisedFilter(LatticeFilter(features), normalisation)(identity), expected, rtol=1e-10, atol=1e-12)


def test_features_by_hand() -> None:
    image = torch.tensor([[[26, 0]], [[13, 0]], [[0, 255]]], dtype=torch.uint8).repeat(1, 2, 1)  # two rows, two columns
    expected = [[0, 0, 2, 1, 0], [0.1, 0, 0, 0, 255 / 13], [0, 0.1, 2, 1, 0], [0.1, 0.1, 0, 0, 255 / 13]]
    torch.testing.assert_close(bilateral_features(image, 10, 13), torch.tensor(expected))
    torch.testing.assert_close(spatial_features(image, 4), torch.tensor([[0, 0], [0.25, 0], [0, 0.25], [0.25, 0.25]]))


def test_too_large_a_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1000 pixels takes 4e\+06 bytes, more than max_bytes = 3\.99e\+06"):
        gaussian_matrix(torch.zeros(1000, 1), max_bytes=3_990_000)


def test_bad_input_is_named() -> None:
    image = torch.zeros(3, 2, 2, dtype=torch.uint8)
    with pytest.raises(ValueError, match="theta_gamma = 0"):
        spatial_features(image, 0.0)
    with pytest.raises(ValueError, match="theta_beta = nan"):
        bilateral_features(image, 3.0, math.nan)
    with pytest.raises(ValueError, match="not finite"):
        gaussian_matrix(torch.tensor([[math.nan]]))
    with pytest.raises(ValueError, match="3 pixels and at least one channel, got \\(2, 1\\)"):
        GaussianFilter(THREE)(torch.zeros(2, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"float64 on cpu, the values torch\.float32"):
        GaussianFilter(THREE)(torch.zeros(3, 1))
    with shapes_unchecked(), pytest.raises(ValueError, match="got 'rows'"):
        NormalisedFilter(GaussianFilter(THREE), "rows")  # pyright: ignore[reportArgumentType]
