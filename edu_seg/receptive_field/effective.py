"""How much each pixel weighs: the effective receptive field.

Source: Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NIPS 2016.
The effective field is the region whose pixels weigh more than next to nothing; a pixel's weight is the absolute gradient of the unit with
respect to it (section 2). Over n plain layers it becomes a Gaussian whose width grows as √n, while the field itself grows as n.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor, nn

from edu_seg.receptive_field.measured import at_unit, capturing, evaluating, only_map


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """What the pixels weigh at one unit.

    heat: (H, W), the mean absolute gradient, summing to 1. centre, sigma: mean and standard deviation of the heat along each axis, in
    pixels: the Gaussian with the same moments. misfit: the share of the heat that would have to move to make it that Gaussian (0 to 1),
    along the worse axis.
    """

    heat: Float64[ndarray, "*image"] = field(repr=False)
    centre: tuple[float, ...]
    sigma: tuple[float, ...]
    misfit: float

    @property
    def size(self) -> tuple[float, ...]:
        """Four standard deviations, which hold 95 % of a Gaussian along an axis: the course's own measure of width."""
        return tuple(4 * sigma for sigma in self.sigma)

    @classmethod
    def of(cls, gradient: Float64[ndarray, "*image"]) -> "EffectiveField":
        """From absolute gradients of any scale. Raises ValueError where all are zero."""
        total = gradient.sum()
        if not total > 0:
            raise ValueError("no pixel has a gradient at this unit: take another unit, other weights or more samples")
        heat = gradient / total
        moments = [_moments(heat.sum(tuple(other for other in range(heat.ndim) if other != axis))) for axis in range(heat.ndim)]
        centre, sigma, misfit = zip(*moments, strict=True)
        return cls(heat, centre, sigma, max(misfit))


def _moments(marginal: Float64[ndarray, " pixels"]) -> tuple[float, float, float]:
    """Mean, standard deviation, and half the absolute difference from the Gaussian with these."""
    places = np.arange(len(marginal))
    mean = float((places * marginal).sum())
    sigma = float(np.sqrt(((places - mean) ** 2 * marginal).sum()))
    if sigma == 0:
        return mean, sigma, 0.0
    gaussian = np.exp(-(((places - mean) / sigma) ** 2) / 2)
    return mean, sigma, float(np.abs(marginal - gaussian / gaussian.sum()).sum() / 2)


def effective_receptive_field(
    model: nn.Module,
    input_size: Sequence[int],
    unit: Sequence[int] | None = None,
    layer: str | None = None,
    *,
    images: Float[Tensor, "N C *image"] | None = None,
    channels: int = 3,
    samples: int = 16,
    seed: int = 0,
) -> EffectiveField:
    """The mean absolute gradient at one unit over several images, with the network's own weights.

    unit: one index for each axis; None is the middle of the map. layer: a module's name, or None for the output. images: to average over;
    by default `samples` drawn from a standard normal distribution with `seed`.
    Raises KeyError, IndexError as `measured_receptive_field`; ValueError where no pixel has a gradient.
    """
    parameter = next(model.parameters(), torch.empty(0))
    if images is None:
        generator = torch.Generator().manual_seed(seed)
        images = torch.randn(samples, channels, *input_size, generator=generator).to(parameter)
    total = np.zeros(tuple(input_size))
    for image in images:
        total += np.abs(gradient_at(model, image, unit, layer).cpu().double().numpy()).sum(0)
    return EffectiveField.of(total)


def gradient_at(model: nn.Module, image: Float[Tensor, "C ..."], unit: Sequence[int] | None = None, layer: str | None = None) -> Tensor:
    """The gradient of one unit, summed over its channels, with respect to an image: (C, H, W)."""
    leaf = image.detach()[None].clone().requires_grad_()
    with torch.enable_grad(), evaluating(model), capturing(model, layer) as captured:
        output = model(leaf)
    maps = captured[0] if layer is not None else only_map(output)
    middle = tuple(size // 2 for size in maps.shape[2:]) or (0,) * (leaf.ndim - 2)
    (gradient,) = torch.autograd.grad(at_unit(maps, middle if unit is None else unit, leaf.ndim - 2), leaf)
    return gradient[0]
