"""upsampling: kernels by formula, the layer against torch's transposed convolution, and interpolation where the two agree."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from edu_seg.geometry import PIXELS, Grid, transposed_output_size
from edu_seg.upsampling import (
    BilinearUpsampling,
    bilinear_conv_transpose,
    bilinear_kernel,
    bilinear_tent,
    crop,
    reflect_pad,
    upsample_to_pixels,
)

FACTORS = (2, 4, 8, 16, 32)
SHAPES = [(1, 1), (2, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4), (16, 8), (63, 32), (64, 32), (2, 5), (9, 2)]


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


# --- kernels --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "tent"),
    [
        (1, [1]),
        (2, [0.5, 0.5]),
        (3, [0.5, 1, 0.5]),
        (4, [0.25, 0.75, 0.75, 0.25]),
        (5, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),
        (6, [1 / 6, 3 / 6, 5 / 6, 5 / 6, 3 / 6, 1 / 6]),
    ],
)
def test_tents_by_hand(size: int, tent: list[float]) -> None:
    wanted = torch.tensor(tent, dtype=torch.float64)
    torch.testing.assert_close(bilinear_tent(size, torch.float64), wanted, rtol=0, atol=1e-15)
    torch.testing.assert_close(bilinear_kernel(size, torch.float64), wanted[:, None] * wanted[None, :], rtol=0, atol=1e-15)


@pytest.mark.parametrize("size", [*range(1, 10), 16, 63, 64])
def test_kernels_by_the_formula_of_the_released_code(size: int) -> None:
    """(1 - |i - centre| / factor)(1 - |j - centre| / factor), the centre being factor - 1 or, at even sizes, factor - 1/2."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    wanted = [[(1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor) for j in range(size)] for i in range(size)]
    torch.testing.assert_close(bilinear_kernel(size, torch.float64), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize("size", [1, 2, 4, 5, 8, 16, 63, 64])
def test_every_output_gets_a_weight_of_1(size: int) -> None:
    """The taps that meet at one output pixel, every stride-th one, sum to 1."""
    stride = (size + 1) // 2
    tent = F.pad(bilinear_tent(size, torch.float64), (0, 2 * stride - size))
    torch.testing.assert_close(tent.view(2, stride).sum(0), torch.ones(stride, dtype=torch.float64), rtol=0, atol=1e-15)
    assert bilinear_kernel(size, torch.float64).sum().item() == pytest.approx(stride**2, abs=1e-9)


def test_kernels_have_a_size() -> None:
    for make in (bilinear_tent, bilinear_kernel):
        with pytest.raises(ValueError, match="kernel_size must be at least 1, got 0"):
            make(0)


# --- the layer ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "stride"), SHAPES)
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (1, 4)])
def test_the_layer_is_a_transposed_convolution(kernel: int, stride: int, size: tuple[int, int]) -> None:
    scores = drawn(2, 3, *size)
    kernels = bilinear_kernel(kernel, torch.float64).expand(3, 1, -1, -1)
    wanted = F.conv_transpose2d(scores, kernels, stride=stride, groups=3)
    made = BilinearUpsampling(kernel, stride)(scores)
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-12)
    assert tuple(made.shape[2:]) == tuple(transposed_output_size(side, kernel, stride) for side in size)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 2), (2, 3)])
def test_the_layers_gradient(kernel: int, stride: int) -> None:
    scores = drawn(1, 2, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(BilinearUpsampling(kernel, stride), (scores,))


def test_the_layer_has_nothing_to_learn_and_keeps_the_type() -> None:
    layer = BilinearUpsampling(16, 8)
    assert list(layer.state_dict()) == []
    assert layer(torch.ones(1, 1, 2, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert repr(layer) == "BilinearUpsampling(kernel_size=16, stride=8)"
    for arguments in ((0, 1), (4, 0)):
        with pytest.raises(ValueError, match="kernel_size and stride must be at least 1, got"):
            BilinearUpsampling(*arguments)


@pytest.mark.parametrize("factor", FACTORS)
def test_it_is_interpolation_except_for_a_border_of_half_the_factor(factor: int) -> None:
    """Claim 3. At the border the transposed convolution fades out, where interpolation repeats the edge."""
    scores = drawn(1, 2, 4, 5)
    half = factor // 2
    made = crop(BilinearUpsampling(2 * factor, factor)(scores), half, half, 4 * factor, 5 * factor)
    wanted = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    inside = (..., slice(half, -half), slice(half, -half))
    torch.testing.assert_close(made[inside], wanted[inside], rtol=0, atol=1e-12)
    for edge in ((..., half - 1, slice(None)), (..., -half, slice(None)), (..., slice(None), half - 1), (..., slice(None), -half)):
        assert ((made[edge] - wanted[edge]).abs().amax(-1) > 1e-3).all()


@pytest.mark.parametrize("factor", FACTORS)
def test_two_ways_to_mend_the_border(factor: int) -> None:
    """Repeat the edge before, or divide by what a map of ones gives: then it is interpolation everywhere."""
    scores, layer = drawn(1, 2, 4, 5), BilinearUpsampling(2 * factor, factor)
    wanted = F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=False)
    padded = layer(F.pad(scores, (1, 1, 1, 1), mode="replicate"))
    start = factor + factor // 2
    torch.testing.assert_close(crop(padded, start, start, 4 * factor, 5 * factor), wanted, rtol=0, atol=1e-12)
    weighted = layer(scores) / layer(torch.ones_like(scores))
    torch.testing.assert_close(crop(weighted, factor // 2, factor // 2, 4 * factor, 5 * factor), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (16, 8), (63, 32), (64, 32), (5, 3)])
def test_a_ramp_stays_a_ramp_at_the_place_that_geometry_says(kernel: int, stride: int) -> None:
    """Units that hold their own place on the finer map give finer units that hold theirs, wherever two tents meet."""
    units = 6
    coarse = Grid(PIXELS.stride * stride).transposed(1, 1)
    places = torch.tensor([float(coarse.centre + i * coarse.stride) for i in range(units)], dtype=torch.float64)
    made = BilinearUpsampling(kernel, stride)(places.view(1, 1, units, 1).expand(-1, -1, -1, units))[0, 0]
    fine = coarse.transposed(kernel, stride)
    wanted = torch.tensor([float(fine.centre + i * fine.stride) for i in range(len(made))], dtype=torch.float64)
    inside = slice(kernel - stride, len(made) - (kernel - stride))
    torch.testing.assert_close(made[inside, len(made) // 2], wanted[inside], rtol=0, atol=1e-12)


# --- the learnable layer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (16, 8), (63, 32), (64, 32)])
def test_the_learnable_layer_starts_as_the_frozen_one(kernel: int, stride: int) -> None:
    layer = bilinear_conv_transpose(3, kernel, stride)
    scores = drawn(2, 3, 3, 2)
    torch.testing.assert_close(layer.double()(scores), BilinearUpsampling(kernel, stride)(scores), rtol=0, atol=1e-12)
    assert layer.bias is None
    assert layer.weight.requires_grad
    assert layer.weight.shape == (3, 3, kernel, kernel)
    apart = ~torch.eye(3, dtype=torch.bool)
    assert not layer.weight[apart].any()
    assert torch.equal(layer.weight[1, 1], bilinear_kernel(kernel).double())


def test_the_learnable_layer_can_mix_classes() -> None:
    """Its kernels off the diagonal are 0 at first, but learn."""
    layer = bilinear_conv_transpose(2, 4, 2)
    layer(torch.ones(1, 2, 3, 3))[:, 0].sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad[1, 0].all()


# --- crops ----------------------------------------------------------------------------------------------------------------------


def test_crop() -> None:
    features = torch.arange(2 * 30).view(1, 2, 5, 6).float()
    assert torch.equal(crop(features, 1, 2, 3, 4), features[:, :, 1:4, 2:6])
    assert torch.equal(crop(features, 0, 0, 5, 6), features)


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, -1, 2, 2), (4, 0, 2, 2), (0, 5, 2, 2), (0, 0, 6, 1), (0, 0, 1, 7)])
def test_a_crop_stays_inside(window: tuple[int, int, int, int]) -> None:
    top, left, height, width = window
    message = rf"a {height}×{width} crop at \({top}, {left}\) leaves the map of 5×6: more padding in the first layer"
    with pytest.raises(ValueError, match=message):
        crop(torch.zeros(1, 2, 5, 6), *window)


# --- from any grid to the pixels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2, 3, 8])
@pytest.mark.parametrize("align_corners", [False, True])
def test_to_pixels_is_interpolation_where_the_grid_is_its_own(stride: int, align_corners: bool) -> None:
    scores = drawn(1, 2, 4, 5)
    if align_corners:
        grid, size = Grid(Fraction(stride), Fraction(0)), (3 * stride + 1, 4 * stride + 1)
    else:
        grid, size = Grid(Fraction(stride), Fraction(stride - 1, 2)), (4 * stride, 5 * stride)
    wanted = F.interpolate(scores, size, mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(upsample_to_pixels(scores, grid, *size), wanted, rtol=0, atol=1e-12)


def test_to_pixels_by_hand() -> None:
    """Units on pixels 1 and 5: straight between them, level outside."""
    row = torch.tensor([[[[0.0, 4.0]]]], dtype=torch.float64)
    made = upsample_to_pixels(row, Grid(Fraction(4), Fraction(1)), 2, 8)
    wanted = torch.tensor([0.0, 0, 1, 2, 3, 4, 4, 4], dtype=torch.float64).expand(1, 1, 2, 8)
    assert torch.equal(made, wanted)


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("margins", [(0, 0), (1, 2), (9, 13)])
def test_mirrored_like_numpy(size: int, margins: tuple[int, int]) -> None:
    image = drawn(1, 2, size, 4)
    before, after = margins
    wanted = np.pad(image.numpy(), ((0, 0), (0, 0), (before, after), (after, before)), mode="reflect")
    assert torch.equal(reflect_pad(image, before, after, after, before), torch.from_numpy(wanted))


def test_a_margin_below_zero() -> None:
    with pytest.raises(ValueError, match="3 pixels padded by -1 and 0: a padding is at least 0"):
        reflect_pad(torch.zeros(1, 1, 3, 3), -1, 0, 0, 0)


def test_half_precision_does_not_move_the_places() -> None:
    """bfloat16 cannot tell pixel 257 from 258; the places are worked out in float64, and only the weights are rounded."""
    scores = drawn(1, 1, 2, 70)
    grid = Grid(Fraction(8), Fraction(7, 2))
    made = upsample_to_pixels(scores.bfloat16(), grid, 16, 560)
    assert made.dtype == torch.bfloat16
    torch.testing.assert_close(made.double(), upsample_to_pixels(scores, grid, 16, 560), rtol=0, atol=0.05)
