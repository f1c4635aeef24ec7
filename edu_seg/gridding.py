"""What a stack of dilated convolutions reads and what it skips: coverage, path counts, frequency response, and a score for maps.

A stack is a schedule of dilations, say (1, 2, 5), of convolutions of one odd kernel size and stride 1, along one axis; along both axes
coverages and counts multiply. Sources: Yu, Koltun and Funkhouser 2017 (DRN), section 4; Wang et al., "Understanding Convolution for
Semantic Segmentation", WACV 2018, section 3.2 (hybrid dilated convolution); Chen et al. 2017 (DeepLab v3), section 3.1 (multi-grid).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor


def path_counts(dilations: Sequence[int], kernel_size: int = 3) -> Int64[Tensor, " window"]:
    """How many paths lead from each input of the window to the output in its middle; 0 at a hole. Their sum is k^n.

    A layer repeats the counts at its taps, `dilation` apart, and adds them up, so the inputs that are read are the sumset of the taps.
    Raises ValueError for an even kernel, which has no middle, and for counts too large for 64 bits.
    """
    _check(dilations, kernel_size)
    if kernel_size ** len(dilations) > 2**62:
        raise ValueError(f"{len(dilations)} layers of {kernel_size} taps have more paths than 64 bits can count: take fewer layers")
    counts = torch.ones(1, dtype=torch.int64)
    for dilation in dilations:
        shifts = [dilation * tap for tap in range(kernel_size)]
        counts = sum((torch.nn.functional.pad(counts, (shift, shifts[-1] - shift)) for shift in shifts), torch.tensor(0))
    return counts


@dataclass(frozen=True)
class Coverage:
    """Inputs that an output reads, of all in its square window: 49 of 169 for dilations 2, 2, 2."""

    read: int
    window: int

    @property
    def share(self) -> float:
        return self.read / self.window

    def __str__(self) -> str:
        return f"{self.read} of {self.window}"


def coverage(dilations: Sequence[int], kernel_size: int = 3, axes: int = 2) -> Coverage:
    """The inputs that are read, of those in the window, along one axis or (a product) two."""
    counts = path_counts(dilations, kernel_size)
    return Coverage(int((counts > 0).sum()) ** axes, len(counts) ** axes)


def is_gap_free(dilations: Sequence[int], kernel_size: int = 3) -> bool:
    """Whether every input of the window is read."""
    return bool((path_counts(dilations, kernel_size) > 0).all())


def largest_gap(dilations: Sequence[int]) -> int:
    """M₂ of the rule for hybrid dilated convolution: the largest distance between non-zero taps that layers 2 … n leave behind.

    M_n = r_n and M_i = max(M_{i+1} - 2 r_i, 2 r_i - M_{i+1}, r_i); a stack passes if M₂ is at most the kernel's size (Wang et al. 2018,
    equation 2). Raises ValueError for fewer than two layers.
    """
    _check(dilations, 3)
    if len(dilations) < 2:
        raise ValueError(f"dilations {tuple(dilations)}: the rule looks at layers 2 to n, so there must be at least two")
    gap = dilations[-1]
    for rate in reversed(dilations[1:-1]):
        gap = max(gap - 2 * rate, 2 * rate - gap, rate)
    return gap


def frequency_response(dilations: Sequence[int], frequencies: Float64[Tensor, " f"], kernel_size: int = 3) -> Float64[Tensor, " f"]:
    """The gain of the stack with equal weights 1 / k, at frequencies in radians a unit: a product of one Dirichlet kernel a layer.

    For k = 3, each layer's gain is (1 + 2 cos dω) / 3: it is 1 at 0 and at every multiple of 2π / d, so a layer dilated by d passes each
    pattern that repeats after d units as if it were constant.
    """
    _check(dilations, kernel_size)
    gain = torch.ones_like(frequencies)
    for dilation in dilations:
        taps = dilation * torch.arange(-(kernel_size // 2), kernel_size // 2 + 1, dtype=frequencies.dtype)
        gain = gain * torch.cos(frequencies[:, None] * taps).mean(1)
    return gain


def gridding_score(features: Float[Tensor, "N C h w"], period: int) -> float:
    """How much more a unit resembles those `period` units away than its neighbours: D(1) / (D(1) + D(period)), in 0 … 1.

    D(k) is the mean squared difference of units k apart, over both axes. Near 1: the map repeats with the period, as behind a layer
    dilated by it; 1/2: neighbours are no more alike than distant units, as in white noise; a smooth map is near
    1 / (1 + period²). The score does not change with the maps' scale or offset. It is ours; the papers show pictures.
    Raises ValueError for a period below 2, a map not larger than it, or a map that is constant.
    """
    if period < 2:
        raise ValueError(f"period = {period}: neighbours are 1 apart, so compare them with units at least 2 apart")
    if min(features.shape[2:]) <= period:
        raise ValueError(f"a map of {tuple(features.shape[2:])} units has none {period} apart along both axes: use a larger image")
    near, far = (_mean_square_difference(features, distance) for distance in (1, period))
    if near + far == 0:
        raise ValueError("the map is constant, so no unit differs from another: there is no pattern to score")
    return near / (near + far)


def _mean_square_difference(features: Tensor, distance: int) -> float:
    values = features.detach().double()
    down = (values[:, :, distance:] - values[:, :, :-distance]).square().mean()
    across = (values[..., distance:] - values[..., :-distance]).square().mean()
    return float(down + across) / 2


def _check(dilations: Sequence[int], kernel_size: int) -> None:
    if not dilations or min(dilations) < 1:
        raise ValueError(f"dilations {tuple(dilations)}: give at least one, each at least 1")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size = {kernel_size}: an odd number, so that there is a middle")
