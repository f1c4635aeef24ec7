"""Mean field against matrices in NumPy, the list of all labellings, its own two paths, and the reference implementation."""

import itertools
import math

import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from edu_seg.crf import (
    DenseCRF,
    GaussianFilter,
    NormalisedFilter,
    Pairwise,
    expected_energy,
    free_energy,
    list_states,
    potts,
    unary_from_labels,
    unary_from_logits,
    unary_from_probs,
    unary_from_scribbles,
)
from edu_seg.crf.energy import energies


def photograph(width: int, height: int) -> Tensor:
    with Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)) as image:
        return torch.from_numpy(np.array(image.convert("RGB").resize((width, height)))).permute(2, 0, 1).contiguous()


def problem(seed: int, labels: int = 3, height: int = 5, width: int = 6) -> tuple[Tensor, Tensor]:
    """(logits (1, K, H, W) float64, images (1, 3, H, W))."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (1, 3, height, width), generator=generator, dtype=torch.uint8)
    return torch.randn(1, labels, height, width, generator=generator, dtype=torch.float64), images


def mean_field_in_numpy(logits: Tensor, image: Tensor, mu: np.ndarray, normalisation: str) -> np.ndarray:
    """Three iterations with θ = (4, 20, 2) and weights (1.5, 0.5), pixel by pixel pair."""
    labels, height, width = logits.shape
    x = np.array([(r, c) for r in range(height) for c in range(width)], float)
    colours = image.numpy().astype(float).reshape(3, -1).T
    near = ((x[:, None] - x) ** 2).sum(-1)
    alike = ((colours[:, None] - colours) ** 2).sum(-1)
    total = np.zeros_like(near)
    for weight, kernel in ((1.5, np.exp(-near / 32 - alike / 800)), (0.5, np.exp(-near / 8))):
        n = kernel.sum(1)
        left = {"none": 1 + 0 * n, "after": 1 / n, "before": 1 + 0 * n, "symmetric": n**-0.5}[normalisation]
        right = {"none": 1 + 0 * n, "after": 1 + 0 * n, "before": 1 / n, "symmetric": n**-0.5}[normalisation]
        total += weight * left[:, None] * kernel * right
    scores = logits.numpy().reshape(labels, -1)
    q = np.exp(scores) / np.exp(scores).sum(0)
    for _ in range(3):
        new = np.exp(scores - mu @ (q @ total.T))
        q = new / new.sum(0)
    return q.reshape(labels, height, width)


@pytest.mark.parametrize("seed", range(20))
def test_brute_force_on_small_images(seed: int) -> None:
    labels = 2 + seed % 4
    logits, images = problem(seed, labels)
    normalisation = ("none", "before", "after", "symmetric")[seed % 4]
    mu = None if seed % 3 else torch.randn(labels, labels, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    crf = DenseCRF(
        4, 20, 2, 1.5, 0.5, 3, compatibility=mu, normalisation=normalisation, make_filter=GaussianFilter
    )  # features are float32, hence the tolerance
    expected = mean_field_in_numpy(logits[0], images[0], (potts(labels) if mu is None else mu).double().numpy(), normalisation)
    torch.testing.assert_close(crf(logits, images)[0], torch.from_numpy(expected), rtol=1e-5, atol=1e-6)


KINDS = {
    "numbers": (1.5, 0.5, False),
    "vectors": (torch.tensor([1.0, 2.0, 0.5]), 0.5, False),
    "matrices": (torch.tensor([[1.0, 0.2, 0], [0, 2.0, 0], [0.3, 0, 1]]), torch.eye(3), True),
    "large": (70.0, 3.0, False),
}


@pytest.mark.parametrize("normalisation", ["none", "before", "after", "symmetric"])
@pytest.mark.parametrize("kind", KINDS)
def test_in_place_is_the_differentiable_path(kind: str, normalisation: str) -> None:
    bilateral, spatial, learned = KINDS[kind]
    mu = torch.tensor([[0, 1, 2], [1, 0, 1], [0.5, 1, 0]]) if learned else None
    crf = DenseCRF(4, 20, 2, bilateral, spatial, 5, compatibility=mu, normalisation=normalisation)  # pyright: ignore[reportArgumentType]
    logits, images = problem(0)
    logits = logits.float()
    plain = crf(logits.clone().requires_grad_(), images)
    assert plain.requires_grad
    torch.testing.assert_close(crf(logits, images), plain.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(crf.refine(logits, images).softmax(1), plain.detach(), rtol=1e-4, atol=1e-5)


def test_gradients_of_unary_weights_and_compatibility() -> None:
    logits, images = problem(1, height=2, width=3)
    crf = DenseCRF(4, 20, 2, torch.eye(3).double(), torch.tensor(0.5).double(), 2, compatibility=potts(3).double(), learnable=True)
    filters = crf.filters(images, torch.float64)[0]

    def run(logits: Tensor, *parameters: Tensor) -> Tensor:
        ties = Pairwise(filters, parameters[:2], parameters[2])
        rows = logits[0].flatten(1).t()
        probs = rows.softmax(1)
        for _ in range(2):
            probs = (rows + ties.messages(probs)).softmax(1)
        return probs

    inputs = (logits.requires_grad_(), *(p.detach().clone().requires_grad_() for p in crf.parameters()))
    assert torch.autograd.gradcheck(run, inputs)
    torch.testing.assert_close(crf(logits, images)[0].flatten(1).t(), run(*inputs))


def test_pairs_counted_twice_and_potts_against_minus_identity() -> None:
    """Claim 15, by all 2^4 states of a 2 × 2 image."""
    generator = torch.Generator().manual_seed(0)
    unary = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    kernel = torch.rand(4, 4, generator=generator, dtype=torch.float64)
    kernel = kernel + kernel.T
    states = torch.tensor(list(itertools.product(range(2), repeat=4)))
    nothing, mu = torch.zeros_like(unary), potts(2).double()
    once, twice = (energies(states, nothing, kernel, mu, ordered_pairs=ordered) for ordered in (False, True))
    torch.testing.assert_close(twice, 2 * once, rtol=1e-14, atol=0)
    probs = list_states(unary, kernel, mu).probs
    torch.testing.assert_close(list_states(unary, kernel, -torch.eye(2).double()).probs, probs, rtol=1e-12, atol=0)
    assert probs.sum().item() == pytest.approx(1, abs=1e-12)


def test_free_energy_is_the_divergence_less_log_z() -> None:
    features = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    exact = GaussianFilter(features, self_term=False)
    unary = torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ties = Pairwise([NormalisedFilter(exact, "none")], [torch.tensor(0.7, dtype=torch.float64)])
    listing = list_states(unary, 0.7 * exact.matrix, potts(2).double())
    q = torch.rand(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    q = q / q.sum(1, keepdim=True)
    product = q[torch.arange(4), listing.states].prod(1)
    divergence = (product * (product / listing.probs).log()).sum()
    torch.testing.assert_close(free_energy(q, unary, ties), divergence - listing.log_partition, rtol=1e-12, atol=1e-12)
    for state, energy in zip(listing.states, listing.energies, strict=True):
        torch.testing.assert_close(expected_energy(F.one_hot(state, 2).double(), unary, ties), energy, rtol=1e-12, atol=1e-12)


def test_steps_tell_the_iterations_and_the_energy_falls() -> None:
    logits, images = problem(2)
    crf = DenseCRF(4, 20, 2, 1.5, 0.5, 4)
    steps = list(crf.steps(logits, images))
    assert [step.iteration for step in steps] == [0, 1, 2, 3, 4]
    torch.testing.assert_close(steps[0].probs, logits.softmax(1))
    torch.testing.assert_close(steps[-1].probs, crf(logits, images))
    fallen = [float(step.free_energy) for step in steps]
    assert fallen == sorted(fallen, reverse=True)


def test_stops_once_nothing_changes() -> None:
    logits, images = problem(2)
    steps = list(DenseCRF(4, 20, 2, 0.5, 0.5, 200, tolerance=1e-6).steps(logits, images))
    assert len(steps) < 100
    stopped = DenseCRF(4, 20, 2, 0.5, 0.5, 200, tolerance=1e-6)(logits, images)
    torch.testing.assert_close(stopped, steps[-1].probs)


def test_labels_permute_and_a_batch_is_its_images() -> None:
    (first, one), (second, two) = problem(3), problem(4)
    logits, images = torch.cat((first, second)), torch.cat((one, two))
    crf = DenseCRF(4, 20, 2, 1.5, 0.5)
    probs = crf(logits, images)
    torch.testing.assert_close(crf(logits[:, [2, 0, 1]], images), probs[:, [2, 0, 1]])
    torch.testing.assert_close(crf(second, two), probs[1:])


def test_pixels_permute() -> None:
    """A permuted image, with features that went along, gives the permuted result."""
    logits, images = problem(5)
    crf = DenseCRF(4, 20, 2, 1.5, 0.5)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    rows = [kernel.features(images[0]).double() for kernel in crf.kernels]
    plain, moved = ([NormalisedFilter(crf.make_filter(f[o])) for f in rows] for o in (torch.arange(30), order))
    unary = unary_from_logits(logits[0])
    shuffled = crf.infer(unary.flatten(1)[:, order].view_as(unary), moved)
    torch.testing.assert_close(shuffled.flatten(1), crf.infer(unary, plain).flatten(1)[:, order])


@pytest.mark.parametrize(("height", "width", "labels"), [(1, 1, 2), (1, 7, 3), (9, 1, 2), (4, 5, 150)])
def test_any_size(height: int, width: int, labels: int) -> None:
    logits, images = problem(6, labels, height, width)
    probs = DenseCRF(80, 13, 3, 10, 3)(logits.float(), images)
    assert probs.shape == logits.shape
    torch.testing.assert_close(probs.sum(1), torch.ones(1, height, width))


def test_the_same_bits_on_one_thread_and_two() -> None:
    images, threads = photograph(64, 48)[None], torch.get_num_threads()
    logits = torch.randn(1, 21, 48, 64, generator=torch.Generator().manual_seed(0))
    results = []
    for number in (1, 2):
        torch.set_num_threads(number)
        results.append(DenseCRF(80, 13, 3, 10, 3, 3)(logits, images))
    torch.set_num_threads(threads)
    assert torch.equal(*results)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # the peer's own matrices
def test_against_the_reference_implementation() -> None:
    reference = pytest.importorskip("pydensecrf.densecrf", reason="pydensecrf2 needs a compiler to install")
    width, height, labels = 120, 90, 21
    image = photograph(width, height)
    coarse = 4 * torch.randn(1, labels, 12, 15, generator=torch.Generator().manual_seed(0))
    logits = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    peer = reference.DenseCRF2D(width, height, labels)
    peer.setUnaryEnergy(np.ascontiguousarray(unary_from_logits(logits[0]).flatten(1).numpy()))
    peer.addPairwiseGaussian(sxy=3, compat=3)
    peer.addPairwiseBilateral(sxy=80, srgb=13, rgbim=np.array(image.permute(1, 2, 0), order="C"), compat=10)
    expected = torch.from_numpy(np.array(peer.inference(10))).view(labels, height, width)
    probs = DenseCRF(80, 13, 3, 10, 3)(logits, image[None])[0]
    assert (probs.argmax(0) == expected.argmax(0)).float().mean() >= 0.9999
    assert (probs - expected).abs().max() <= 1e-4


def test_unaries_by_hand() -> None:
    labels = torch.tensor([[1, 255]])
    expected = -torch.tensor([[[0.1, 1 / 3]], [[0.8, 1 / 3]], [[0.1, 1 / 3]]]).log()
    torch.testing.assert_close(unary_from_labels(labels, 3, certainty=0.8), expected)
    torch.testing.assert_close(unary_from_scribbles(labels, 3, certainty=0.8), expected)
    probs = torch.tensor([[1.0, 0.25], [0.0, 0.75]])
    torch.testing.assert_close(unary_from_probs(probs, clip=1e-3), -torch.tensor([[1.0, 0.25], [1e-3, 0.75]]).log())
    torch.testing.assert_close(unary_from_logits(torch.tensor([[0.0], [0.0]])), torch.full((2, 1), math.log(2)))


LOGITS, IMAGES = torch.zeros(1, 3, 4, 5), torch.zeros(1, 3, 4, 5, dtype=torch.uint8)
BAD = {
    "theta": (lambda: DenseCRF(0, 13, 3, 10, 3), "theta_alpha = 0"),
    "one missing": (lambda: DenseCRF(80, 13), "theta_gamma, bilateral_weight, spatial_weight missing"),
    "both": (lambda: DenseCRF(80, kernels=[]), "not both"),
    "weight": (lambda: DenseCRF(80, 13, 3, torch.zeros(2, 3), 3), r"got the shape \(2, 3\)"),
    "weight of other labels": (lambda: DenseCRF(80, 13, 3, torch.ones(4), 3)(LOGITS, IMAGES), r"\(4,\), there are 3 labels"),
    "compatibility": (lambda: DenseCRF(8, 9, 3, 1, 3, compatibility=potts(2))(LOGITS, IMAGES), r"\(2, 2\), there are 3 labels"),
    "iterations": (lambda: DenseCRF(80, 13, 3, 10, 3, -1), "num_iterations = -1"),
    "tolerance": (lambda: DenseCRF(80, 13, 3, 10, 3, tolerance=-1.0), "tolerance = -1"),
    "nan": (lambda: DenseCRF(80, 13, 3, 10, 3)(LOGITS * math.nan, IMAGES), "20 pixels have logits whose log-sum-exp is nan"),
    "probabilities": (lambda: unary_from_probs(torch.full((2, 3), 0.4)), "sum to 0.8, not to 1"),
    "negative": (lambda: unary_from_probs(torch.tensor([[-0.5], [1.5]])), "got -0.5"),
    "certainty": (lambda: unary_from_labels(torch.tensor([0]), 2, certainty=1.0), "certainty = 1.0"),
    "label": (lambda: unary_from_labels(torch.tensor([0, 7]), 2), "label 7 is neither"),
    "no stroke": (lambda: unary_from_scribbles(torch.tensor([255]), 2), "nothing was drawn"),
    "too many states": (lambda: list_states(torch.zeros(20, 2), torch.zeros(20, 20), potts(2)), "1048576 labellings"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case: str) -> None:
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_images_are_named() -> None:
    from unchecked import shapes_unchecked

    crf = DenseCRF(80, 13, 3, 10, 3)
    with shapes_unchecked():
        with pytest.raises(TypeError, match=r"must be uint8 in 0\.\.255, got torch\.float32"):
            crf(LOGITS, IMAGES.float())
        with pytest.raises(ValueError, match=r"must agree in N, H and W"):
            crf(LOGITS, IMAGES[:, :, :3])
        with pytest.raises(ValueError, match=r"RGB \(3, H, W\)"):
            crf(LOGITS, IMAGES[:, :1])
