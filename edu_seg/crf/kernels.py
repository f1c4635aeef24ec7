"""The table of kernels of a DenseCRF: which features make two pixels alike, and how much their labels then weigh.

The bilateral kernel ties pixels that are near (θα pixels) and of similar colour (θβ grey levels), so that labels follow edges. The
spatial one ties near pixels (θγ) whatever their colour, so that specks vanish.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from edu_seg.crf.filters import Features, Number, bilateral_features, spatial_features

Weight = Number | Tensor


@dataclass(frozen=True, eq=False)
class Kernel:
    """A row of the table of kernels: weight · exp(-½ ‖f_i - f_j‖²).

    features: image uint8 (3, H, W) -> (H · W, d), in standard deviations. weight: one number, one a label (K,), or a matrix (K, K), in
    which row l says how much label l hears of each other one. of_size_only: the features do not look at the colours, so images of one
    size can share the filter.
    """

    features: Features
    weight: Weight
    of_size_only: bool = False


def bilateral_kernel(theta_alpha: Number, theta_beta: Number, weight: Weight) -> Kernel:
    """Near and of similar colour: θα in pixels, θβ in grey levels. Raises ValueError unless both are above 0."""
    _check_thetas(theta_alpha=theta_alpha, theta_beta=theta_beta)
    return Kernel(partial(bilateral_features, theta_alpha=theta_alpha, theta_beta=theta_beta), weight)


def spatial_kernel(theta_gamma: Number, weight: Weight) -> Kernel:
    """Near: θγ in pixels. Raises ValueError unless it is above 0."""
    _check_thetas(theta_gamma=theta_gamma)
    return Kernel(partial(spatial_features, theta_gamma=theta_gamma), weight, of_size_only=True)


def usual_kernels(
    theta_alpha: Number | None, theta_beta: Number | None, theta_gamma: Number | None, bilateral: Weight | None, spatial: Weight | None
) -> list[Kernel]:
    """The bilateral kernel and the spatial one. Raises ValueError naming what is None."""
    values = {"theta_alpha": theta_alpha, "theta_beta": theta_beta, "theta_gamma": theta_gamma}
    values |= {"bilateral_weight": bilateral, "spatial_weight": spatial}  # pyright: ignore[reportAssignmentType]
    missing = [name for name, value in values.items() if value is None]
    if theta_alpha is None or theta_beta is None or theta_gamma is None or bilateral is None or spatial is None:
        raise ValueError(f"{', '.join(missing)} missing: give all five numbers, or kernels")
    return [bilateral_kernel(theta_alpha, theta_beta, bilateral), spatial_kernel(theta_gamma, spatial)]


def _check_thetas(**thetas: Number) -> None:
    for name, theta in thetas.items():
        if not 0 < theta < float("inf"):
            raise ValueError(f"{name} = {theta}: a standard deviation is a finite number above 0")


def checked_weight(weight: Weight) -> Tensor:
    """The weight as a tensor of its own. Raises ValueError for another shape than those of `Kernel`, or a value that is not finite."""
    value = weight.detach().clone() if isinstance(weight, Tensor) else torch.tensor(float(weight))
    if value.ndim > 2 or (value.ndim == 2 and value.shape[0] != value.shape[1]):
        raise ValueError(f"a kernel's weight is one number, one a label (K,) or a matrix (K, K), got the shape {tuple(value.shape)}")
    if not value.is_meta and not value.isfinite().all():
        raise ValueError(f"a kernel's weight must be finite, got {weight}")
    return value
