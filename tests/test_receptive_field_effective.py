"""The effective receptive field: where theory gives it exactly, and what is said where there is none."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edu_seg.receptive_field import EffectiveField, effective_receptive_field
from edu_seg.receptive_field.effective import gradient_at

pytestmark = pytest.mark.usefixtures("one_thread")


def stack(layers: int, kernel: int = 3) -> nn.Module:
    """Convolutions of equal weights, one channel, in float64."""
    net = nn.Sequential(*(nn.Conv2d(1, 1, kernel, padding=kernel // 2, bias=False) for _ in range(layers))).double()
    for weight in net.parameters():
        nn.init.constant_(weight, 1 / kernel**2)
    return net


@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (5, 3), (20, 3), (4, 5), (3, 7)])
def test_the_variance_of_equal_weights_is_exact(layers: int, kernel: int) -> None:
    """Claim 12: n layers of k equal weights are n draws from 1..k: variance n (k² − 1) / 12."""
    size = layers * (kernel - 1) + 1
    field = effective_receptive_field(stack(layers, kernel), (size, size), samples=1, channels=1)
    assert field.centre == pytest.approx(((size - 1) / 2,) * 2, abs=1e-9)
    assert [sigma**2 for sigma in field.sigma] == pytest.approx([layers * (kernel**2 - 1) / 12] * 2, abs=1e-9)
    assert field.size == pytest.approx(tuple(4 * sigma for sigma in field.sigma))


def test_it_grows_as_the_root_and_comes_near_a_gaussian() -> None:
    """Four times the layers: twice the width, while the field itself grows by four; the distance to a Gaussian stays below .09 / n."""
    few, many = (effective_receptive_field(stack(n), (161, 161), samples=1, channels=1) for n in (20, 80))
    assert many.sigma[0] / few.sigma[0] == pytest.approx(2, abs=1e-9)
    for n, field in ((20, few), (80, many)):
        assert field.misfit < 0.09 / n


def test_the_heat_is_the_mean_absolute_gradient() -> None:
    """Two images, a ReLU that is on for one: by hand, the mean of |w| and 0."""
    first, last = nn.Conv2d(1, 1, 1, bias=False), nn.Conv2d(1, 1, 3, bias=False)
    net = nn.Sequential(first, nn.ReLU(), last)
    with torch.no_grad():
        first.weight.fill_(1)
        last.weight.copy_(torch.arange(-4.0, 5).reshape(1, 1, 3, 3))
    images = torch.stack([torch.ones(1, 3, 3), -torch.ones(1, 3, 3)])
    expected = np.abs(np.arange(-4, 5)).reshape(3, 3) / 20
    assert np.allclose(effective_receptive_field(net, (3, 3), images=images).heat, expected)
    assert np.array_equal(effective_receptive_field(net, (3, 3), images=images[:1]).heat.round(6), expected.round(6))
    assert not gradient_at(net, images[1]).any()


def test_unit_layer_and_seed() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).train()
    corner = effective_receptive_field(net, (9, 9), unit=(0, 4), layer="0", samples=2)
    reached = np.zeros((9, 9), bool)
    reached[0:3, 4:7] = True
    assert np.array_equal(corner.heat > 0, reached)
    assert net.training
    again = effective_receptive_field(net, (9, 9), unit=(0, 4), layer="0", samples=2)
    assert np.array_equal(corner.heat, again.heat)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_one_pixel_has_no_width() -> None:
    heat = np.zeros((3, 4))
    heat[1, 2] = 5
    field = EffectiveField.of(heat)
    assert (field.centre, field.sigma, field.misfit) == ((1.0, 2.0), (0.0, 0.0), 0.0)


class Nothing(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image * 0


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="no pixel has a gradient"):
        effective_receptive_field(Nothing(), (5, 5), channels=1)
    with pytest.raises(KeyError, match="no module is called 'x'"):
        effective_receptive_field(stack(1), (5, 5), layer="x", channels=1)
    with pytest.raises(IndexError, match=r"there is no unit \(5, 0\)"):
        effective_receptive_field(stack(1), (5, 5), (5, 0), channels=1)
