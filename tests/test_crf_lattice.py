"""The permutohedral lattice against Adams' own construction written anew, against the exact filter, and by its gradients."""

import math
from collections import defaultdict

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from unchecked import shapes_unchecked

from edu_seg.crf import GaussianFilter, LatticeFilter, NormalisedFilter, bilateral_features, spatial_features
from edu_seg.crf.simplex import enclosing_simplices, lattice_coordinates


def photograph(width: int, height: int) -> Tensor:
    """matplotlib's portrait of Grace Hopper, uint8 (3, height, width)."""
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        return torch.from_numpy(np.array(image.convert("RGB").resize((width, height)))).permute(2, 0, 1).contiguous()


def random_features(number: int, dimension: int, spread: float = 2.0) -> Tensor:
    return spread * torch.randn(number, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(number + dimension))


def adams_simplex(feature: np.ndarray) -> list[tuple[tuple[int, ...], float]]:
    """(vertex, weight) of one point as in Adams et al.: nearest remainder-0 point, ranks of the differences, canonical simplex."""
    d = len(feature)
    scaled = [feature[i] * math.sqrt(2 / 3) * (d + 1) / math.sqrt((i + 1) * (i + 2)) for i in range(d)]
    elevated = np.array([sum(scaled[i:]) - (i * scaled[i - 1] if i else 0) for i in range(d + 1)])
    nearest = np.array([(d + 1) * math.floor(y / (d + 1) + 0.5) for y in elevated])
    excess = int(nearest.sum()) // (d + 1)
    difference = elevated - nearest
    rank = [
        sum(difference[j] > difference[i] or (difference[j] == difference[i] and j < i) for j in range(d + 1) if j != i) + excess
        for i in range(d + 1)
    ]
    for i in range(d + 1):
        turn = -1 if rank[i] > d else 1 if rank[i] < 0 else 0
        rank[i], nearest[i] = rank[i] + turn * (d + 1), nearest[i] + turn * (d + 1)
    by_rank = sorted(range(d + 1), key=lambda i: rank[i])
    offset = [(elevated - nearest)[i] / (d + 1) for i in by_rank]
    weights = [1 - offset[0] + offset[d], *(offset[d - k] - offset[d - k + 1] for k in range(1, d + 1))]
    return [(tuple(int(nearest[i]) + k - (d + 1) * (rank[i] > d - k) for i in range(d + 1)), weights[k]) for k in range(d + 1)]


def adams_filter(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Splat, blur and slice with a dictionary of vertices."""
    d = features.shape[1]
    simplices = [adams_simplex(feature) for feature in features]
    table: dict[tuple[int, ...], np.ndarray] = defaultdict(lambda: np.zeros(values.shape[1]))
    for simplex, value in zip(simplices, values, strict=True):
        for vertex, weight in simplex:
            table[vertex] = table[vertex] + weight * value
    none = np.zeros(values.shape[1])
    for axis in range(d + 1):
        step = [(d + 1) * (i == axis) - 1 for i in range(d + 1)]
        sides = [{v: tuple(c + sign * s for c, s in zip(v, step, strict=True)) for v in table} for sign in (1, -1)]
        table = {v: table[v] + sum(table.get(side[v], none) for side in sides) / 2 for v in list(table)}
    return np.stack([sum(weight * table[vertex] for vertex, weight in simplex) for simplex in simplices]) / (1 + 2.0**-d)


@pytest.mark.parametrize("dimension", range(1, 8))
def test_as_adams_builds_it(dimension: int) -> None:
    features = random_features(60, dimension)
    values = torch.randn(60, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = torch.from_numpy(adams_filter(features.numpy(), values.numpy()))
    torch.testing.assert_close(LatticeFilter(features)(values), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dimension", range(1, 13))
def test_a_point_is_the_weighted_mean_of_its_corners(dimension: int) -> None:
    features = random_features(50, dimension)
    simplices = enclosing_simplices(features)
    bits = simplices.corners[:, :, None] >> torch.arange(dimension) & 1
    corners = simplices.base.T[:, None] + bits
    assert (simplices.weights >= 0).all()
    assert bits.sum(2).tolist() == [list(range(dimension + 1))] * 50  # a walk of d steps, each along another axis
    torch.testing.assert_close(simplices.weights.sum(1), torch.ones(50, dtype=torch.float64))
    mean = (simplices.weights[:, :, None] * corners).sum(1)
    torch.testing.assert_close(mean, lattice_coordinates(features).T, rtol=0, atol=1e-12)


def test_of_equal_fractions_the_lower_axis_goes_first() -> None:
    simplices = enclosing_simplices(torch.tensor([[0.0, 0.4], [0.0, -0.3]]))  # x = 0 makes both coordinates equal
    fractions = lattice_coordinates(torch.tensor([[0.0, 0.4], [0.0, -0.3]]))
    assert torch.equal(fractions[0], fractions[1])
    assert simplices.corners.tolist() == [[0, 1, 3], [0, 1, 3]]


def mass(dimension: int) -> float:
    """K 1 of the lattice over that of the Gaussian, for pixels that fill the space evenly, from three facts.

    Blur doubles what it spreads, d + 1 times, and α takes some of it back; splat and slice change no sum. A vertex owns the volume of
    a cell of A*_d, 1 / √(d + 1), scaled by √(3/2) in each of d directions. A Gaussian of standard deviation one has mass (2 π)^(d/2).
    """
    alpha, cell = 1 / (1 + 2.0**-dimension), 1.5 ** (dimension / 2) / math.sqrt(dimension + 1)
    return alpha * 2 ** (dimension + 1) * cell / (2 * math.pi) ** (dimension / 2)


def at_coordinates(coordinates: Tensor) -> Tensor:
    """Features of points given in the coordinates in which vertices are whole numbers."""
    to_lattice = lattice_coordinates(torch.eye(coordinates.shape[1], dtype=torch.float64))
    return torch.linalg.solve(to_lattice, coordinates.double().T).T


@pytest.mark.parametrize(("dimension", "per_cell", "reach"), [(1, 3, 8), (2, 2, 6), (3, 1, 5), (5, 1, 3)])
def test_mass_where_pixels_fill_the_space(dimension: int, per_cell: int, reach: int) -> None:
    """A grid of `per_cell` points along each side of a cell; the one in the middle is too far from the rim to notice it."""
    steps = torch.arange(-reach * per_cell, reach * per_cell + 1, dtype=torch.float64) / per_cell
    points = torch.cartesian_prod(*[steps] * dimension).view(-1, dimension)
    features = at_coordinates(points) + 1e-9  # not on the border between two simplices, where rounding would choose
    middle = len(points) // 2
    heard = float(LatticeFilter(features).row_sums()[middle])
    assert heard == pytest.approx(2 ** (dimension + 1) / (1 + 2.0**-dimension) * per_cell**dimension, rel=1e-6)
    if dimension < 5:  # in five dimensions the Gaussian, which has no end, does notice it
        exact = float(torch.exp(-0.5 * (features - features[middle]).square().sum(1)).sum())
        assert heard / exact == pytest.approx(mass(dimension), rel=1e-5)


WIDTH, HEIGHT, THETA = 60, 45, 3.0
FEATURES = spatial_features(torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8), THETA).double()


def away_from_the_rim(values: Tensor) -> Tensor:
    margin = int(4 * THETA)
    return values.view(HEIGHT, WIDTH, -1)[margin:-margin, margin:-margin].flatten(0, 1)


def wave(length: float) -> Tensor:
    """Sine and cosine of a plane wave askew to the pixels, `length` in pixels."""
    phase = 2 * math.pi / length * THETA * (FEATURES @ torch.tensor([math.cos(0.3), math.sin(0.3)], dtype=torch.float64))
    return torch.stack((phase.cos(), phase.sin()), 1)


def relative(filtered: Tensor, expected: Tensor) -> float:
    return float((filtered - expected).norm() / expected.norm())


def test_spatial_lattice_without_normalisation_is_a_constant_factor() -> None:
    kernel, exact = LatticeFilter(FEATURES), GaussianFilter(FEATURES)
    ratio = away_from_the_rim(kernel.row_sums() / exact.row_sums())
    assert float(ratio.mean()) == pytest.approx(mass(2), rel=1e-3)
    assert float(ratio.std()) < 0.005  # nine pixels on a square of θ are not quite an even filling
    filtered, expected = (away_from_the_rim(one(wave(48))) for one in (kernel, exact))
    assert relative(filtered, expected) == pytest.approx(1 - mass(2), abs=0.01)
    assert relative(filtered / mass(2), expected) < 0.01


def test_error_of_the_spatial_lattice_follows_from_the_corners() -> None:
    """Slicing reads a point's corners instead of the point: for what bends by k², that is off by ½ k² times the corners' variance.

    The mean of this variance is part of the Gaussian's; how far it varies from place to place is the error.
    """
    simplices = enclosing_simplices(FEATURES)
    corners = simplices.base.T[:, None] + (simplices.corners[:, :, None] >> torch.arange(2) & 1)
    along = torch.tensor([math.cos(0.3), math.sin(0.3)], dtype=torch.float64)
    away = (at_coordinates(corners.view(-1, 2)).view(-1, 3, 2) - FEATURES[:, None]) @ along
    variance = away_from_the_rim((simplices.weights * away.square()).sum(1))
    assert float(variance.mean()) == pytest.approx(1.5 / 12, rel=0.02)  # a hat along three axes: a uniform step each
    kernel, exact = (NormalisedFilter(make(FEATURES), "after") for make in (LatticeFilter, GaussianFilter))
    for length in (48.0, 96.0):
        bend = (2 * math.pi * THETA / length) ** 2
        error = relative(away_from_the_rim(kernel(wave(length))), away_from_the_rim(exact(wave(length))))
        assert error == pytest.approx(0.5 * bend * float(variance.std()), rel=0.15)


def with_every_vertex(features: Tensor) -> tuple[LatticeFilter, int]:
    """A lattice on which no step of the blur leads into the void: points without a value on all vertices that it can reach."""
    dimension = features.shape[1]
    simplices = enclosing_simplices(features)
    bits = simplices.corners[:, :, None] >> torch.arange(dimension) & 1
    vertices = (simplices.base.T[:, None] + bits).view(-1, dimension).unique(dim=0)
    for step in torch.cat((torch.eye(dimension), -torch.ones(1, dimension))).int():
        vertices = torch.cat((vertices, vertices + step, vertices - step)).unique(dim=0)
    return LatticeFilter(torch.cat((features, at_coordinates(vertices)))), len(vertices)


def test_bilateral_lattice_without_normalisation_loses_by_gaps() -> None:
    """Each vertex that is missing takes paths away and adds none; with all of them, what is left of the loss is the kernel's own."""
    features = bilateral_features(photograph(12, 9), 80.0, 13.0).double()
    complete, extra = with_every_vertex(features)
    ones = torch.cat((torch.ones(108, 1), torch.zeros(extra, 1))).double()
    heard, possible, exact = LatticeFilter(features).row_sums(), complete(ones)[:108, 0], GaussianFilter(features).row_sums()
    assert (heard <= possible * (1 + 1e-9)).all()
    assert (heard / exact).mean() < 0.9 * (possible / exact).mean()
    assert (possible / exact).mean() < 1
    assert (heard / possible).std() > 0.05  # so it is no constant factor


def lattice_error(features: Tensor) -> float:
    """‖lattice - exact‖ / ‖exact‖ of symmetrically normalised kernels on probabilities that change over 8 pixels."""
    coarse = 3 * torch.randn(1, 10, 5, 7, generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.interpolate(coarse, size=(36, 48), mode="bilinear", align_corners=False)
    values = logits[0].softmax(0).flatten(1).t()
    filtered, expected = (NormalisedFilter(make(features))(values) for make in (LatticeFilter, GaussianFilter))
    return relative(filtered, expected)


def test_error_of_the_bilateral_lattice() -> None:
    """3.2-5.2 % on larger photographs, against a filter of its own; none where every pixel is alone or all are one."""
    image = photograph(48, 36)
    assert 0.03 < lattice_error(bilateral_features(image, 80.0, 13.0)) < 0.06
    assert lattice_error(bilateral_features(image, 1e6, 1e6)) < 1e-3
    assert lattice_error(spatial_features(image, 0.02)) < 1e-5


def test_transposed_is_the_reverse_order_of_axes() -> None:
    kernel = LatticeFilter(bilateral_features(photograph(7, 6), 4.0, 20.0).double())
    identity = torch.eye(42, dtype=torch.float64)
    matrix, transposed = kernel(identity), kernel(identity, transposed=True)
    torch.testing.assert_close(transposed, matrix.T, rtol=0, atol=1e-13)
    assert (matrix - matrix.T).abs().max() > 1e-3  # so the order does matter


def test_first_and_second_gradients() -> None:
    kernel = LatticeFilter(bilateral_features(photograph(3, 3), 4.0, 20.0).double())
    values = torch.randn(9, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(kernel, (values,))
    assert torch.autograd.gradgradcheck(kernel, (values,))


def test_row_sums_are_the_filter_of_ones() -> None:
    kernel = LatticeFilter(random_features(80, 4))
    torch.testing.assert_close(kernel.row_sums(), kernel(torch.ones(80, 1, dtype=torch.float64))[:, 0], rtol=1e-12, atol=0)


def test_one_pixel_hears_itself() -> None:
    """A single point at the origin sits on one vertex with weight 1; the empty vertices around pass nothing back to it but in loops."""
    alone = LatticeFilter(torch.zeros(1, 2, dtype=torch.float64))(torch.ones(1, 1, dtype=torch.float64))
    expected = adams_filter(np.zeros((1, 2)), np.ones((1, 1)))
    assert alone.item() == pytest.approx(expected.item(), rel=1e-12)


def test_channels_do_not_mix_and_order_of_pixels_does_not_matter() -> None:
    features, values = random_features(70, 3), random_features(70, 5)
    kernel = LatticeFilter(features)
    together = kernel(values)
    torch.testing.assert_close(torch.cat([kernel(column[:, None]) for column in values.unbind(1)], 1), together, rtol=1e-12, atol=1e-12)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(LatticeFilter(features[order])(values[order]), together[order], rtol=1e-10, atol=1e-12)


def test_the_same_bits_on_one_thread_and_two() -> None:
    image, threads = photograph(120, 90), torch.get_num_threads()
    values = torch.rand(120 * 90, 21, generator=torch.Generator().manual_seed(0))
    results = []
    for number in (1, 2, 1):
        torch.set_num_threads(number)
        kernel = LatticeFilter(bilateral_features(image))
        results.append((kernel(values), kernel.row_sums()))
    torch.set_num_threads(threads)
    for filtered, sums in results[1:]:
        assert torch.equal(filtered, results[0][0])
        assert torch.equal(sums, results[0][1])


def test_more_vertices_than_sixteen_bits() -> None:
    features = random_features(20_000, 5, spread=30.0).float()
    kernel = LatticeFilter(features)
    assert kernel.lattice.num_vertices > 2**16
    alone = kernel(torch.ones(20_000, 1))
    torch.testing.assert_close(alone[:, 0], kernel.row_sums(), rtol=1e-5, atol=1e-6)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="1 to 12 features, got 13"):
        LatticeFilter(torch.zeros(4, 13))
    with pytest.raises(ValueError, match="take a larger theta"):
        LatticeFilter(1e8 * torch.randn(50, 5, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(ValueError, match="not finite"):
        LatticeFilter(torch.tensor([[float("inf")]]))
    with shapes_unchecked(), pytest.raises(ValueError, match=r"at least one of each, got torch\.float32 \(0, 2\)"):
        LatticeFilter(torch.zeros(0, 2))
    with pytest.raises(ValueError, match="4 pixels and at least one channel"):
        LatticeFilter(torch.zeros(4, 2))(torch.zeros(3, 1))
