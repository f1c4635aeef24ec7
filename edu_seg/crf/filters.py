"""Gaussian filters over features: the exact one, as the formula stands, and the features that DenseCRF takes.

    (K v)_i = Σ_j exp(-½ ‖f_i - f_j‖²) v_j

The exact filter compares every pixel with every other: the oracle for the lattice, and fit for small images only.
"""

from collections.abc import Callable
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from edu_seg.crf.permutohedral import check_features, check_values

Number = float | int
Normalisation = Literal["none", "before", "after", "symmetric"]
NORMALISATIONS = ("none", "before", "after", "symmetric")


@runtime_checkable
class Filter(Protocol):
    """What `LatticeFilter` and `GaussianFilter` share."""

    @property
    def num_pixels(self) -> int: ...

    def __call__(self, values: Float[Tensor, "N C"], *, transposed: bool = False) -> Float[Tensor, "N C"]: ...

    def row_sums(self) -> Float[Tensor, " N"]: ...


def gaussian_matrix(features: Float[Tensor, "N d"], *, self_term: bool = True, max_bytes: int = 2**30) -> Float[Tensor, "N N"]:
    """K_ij = exp(-½ ‖f_i - f_j‖²), any number of dimensions d; differentiable in the features, and so in their standard deviations.

    Time N² d, memory N² numbers: 160 × 120 pixels take 1.5 GB in float32, 80 × 60 take 92 MB. Raises ValueError where the matrix would
    be larger than `max_bytes`. self_term=False sets the diagonal, which is one, to zero.
    """
    check_features(features)
    number = len(features)
    size = number * number * features.element_size()
    if size > max_bytes:
        raise ValueError(
            f"the exact filter of {number} pixels takes {size:.3g} bytes, more than max_bytes = {max_bytes:.3g}: "
            "take LatticeFilter or a smaller image, or raise max_bytes"
        )
    squared = features.new_zeros(number, number)
    for column in features.unbind(1):
        squared = squared + (column[:, None] - column).square()
    matrix = torch.exp(-0.5 * squared)
    return matrix if self_term else matrix - torch.diag(matrix.diagonal())


class GaussianFilter:
    """The exact filter as an object like `LatticeFilter`: filter(values (N, C)) -> (N, C). Options as in `gaussian_matrix`."""

    def __init__(self, features: Float[Tensor, "N d"], *, self_term: bool = True, max_bytes: int = 2**30) -> None:
        self.matrix = gaussian_matrix(features, self_term=self_term, max_bytes=max_bytes)

    @property
    def num_pixels(self) -> int:
        return len(self.matrix)

    def __call__(self, values: Float[Tensor, "N C"], *, transposed: bool = False) -> Float[Tensor, "N C"]:
        check_values(values, self.num_pixels, self.matrix)
        return (self.matrix.T if transposed else self.matrix) @ values

    def row_sums(self) -> Float[Tensor, " N"]:
        """K 1: how much weight reaches each pixel in all."""
        return self.matrix.sum(1)


class NormalisedFilter:
    """diag(after) K diag(before): a filter whose weights are brought to a common scale by n = K 1.

    "after": rows sum to one, each pixel reads a mean. "before": each pixel gives away one in all. "symmetric": 1/√n on both sides, the
    reference implementation's default. Raises ValueError for any other word.

    "none": K as it is. A message then grows with the number of pixels that are alike (2 π θγ² for the spatial kernel), so a weight holds
    for one θ and one size of image only. And it holds for one filter only: the lattice gives about 0.88 of the exact spatial message, and
    about half of the bilateral one, by a factor that differs from pixel to pixel (see `LatticeFilter`). The other words cancel it.
    """

    def __init__(self, kernel: Filter, normalisation: Normalisation = "symmetric") -> None:
        if normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation is one of {', '.join(NORMALISATIONS)}, got {normalisation!r}")
        self.kernel, self.before, self.after = kernel, None, None
        if normalisation == "none":
            return
        factor = (kernel.row_sums() + 1e-20) ** (-0.5 if normalisation == "symmetric" else -1.0)
        self.before = factor if normalisation != "after" else None
        self.after = factor if normalisation != "before" else None

    @property
    def num_pixels(self) -> int:
        return self.kernel.num_pixels

    def __call__(self, values: Float[Tensor, "N C"], *, transposed: bool = False) -> Float[Tensor, "N C"]:
        before, after = (self.after, self.before) if transposed else (self.before, self.after)
        if before is not None:
            values = values * before[:, None]
        filtered = self.kernel(values, transposed=transposed)
        return filtered if after is None else filtered * after[:, None]


Features = Callable[[Tensor], Tensor]
"""image uint8 (3, H, W) -> features (H · W, d), pixels row by row."""


def spatial_features(image: UInt8[Tensor, "3 H W"], theta_gamma: Number = 3.0) -> Float[Tensor, "N 2"]:
    """(x/θγ, y/θγ) of every pixel: near is similar. Only the size of `image` counts. θ in pixels; raises ValueError unless above 0."""
    return torch.stack(_positions(image, _positive("theta_gamma", theta_gamma))).flatten(1).t()


def bilateral_features(image: UInt8[Tensor, "3 H W"], theta_alpha: Number = 80.0, theta_beta: Number = 13.0) -> Float[Tensor, "N 5"]:
    """(x/θα, y/θα, r/θβ, g/θβ, b/θβ): near and of the same colour is similar. θα in pixels, θβ in grey levels of 0 to 255.

    The order matters to the lattice, which lies askew to the axes: this one is the reference implementation's.
    """
    positions = _positions(image, _positive("theta_alpha", theta_alpha))
    colours = image.float() / _positive("theta_beta", theta_beta)
    return torch.stack([*positions, *colours]).flatten(1).t()


def _positions(image: Tensor, theta: Number) -> tuple[Tensor, Tensor]:
    height, width = image.shape[1:]
    x, y = (torch.arange(length, dtype=torch.float32, device=image.device) / theta for length in (width, height))
    return x.expand(height, width), y[:, None].expand(height, width)


def _positive(name: str, theta: Number) -> Number:
    if not 0 < theta < float("inf"):
        raise ValueError(f"{name} = {theta}: a standard deviation is a finite number above 0")
    return theta


def check_image(image: Tensor) -> None:
    """Raises TypeError unless the image is uint8, ValueError unless it is (3, H, W) with at least one pixel."""
    if image.dtype != torch.uint8:
        raise TypeError(f"the image must be uint8 in 0..255, got {image.dtype}: for floats in 0..1 take (255 * image).round().byte()")
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ValueError(f"the image must be RGB (3, H, W) with at least one pixel, got {tuple(image.shape)}")
