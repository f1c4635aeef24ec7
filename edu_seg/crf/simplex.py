"""Which simplex of the permutohedral lattice a point lies in, and how much of it each corner takes.

In d dimensions a cube has 2^d corners and a simplex d + 1 (3 for a triangle, 4 for a tetrahedron), the fewest that can hold a point
inside. So with 5 features a pixel hangs on 6 vertices, where a grid of cubes would need 32. The permutohedral lattice A*_d tiles space
with simplices of one shape, and the one around a point is found by sorting.

Source: Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", Eurographics 2010. They place the
lattice in a plane of R^(d+1) and look for the nearest "remainder-0" point. Subtracting the last coordinate from the others lays the
same lattice on the whole numbers Z^d, and its simplices become Kuhn's: round down to a corner of the unit cube, then walk along the
axes to the opposite corner, the axis with the largest fraction first. Same corners, same weights, no rank to mend.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from jaxtyping import Float, Int
from torch import Tensor

BLOCK = 2**16  # pixels treated at once, so that what lies between two steps stays in the cache
MAX_DIMENSION = 12


@dataclass(frozen=True, eq=False)
class Simplices:
    """The simplex around each of N points in d dimensions.

    base (d, N): the corner that the walk starts from, in whole lattice coordinates. corners (N, d + 1): which axes the walk has gone
    along when it reaches a corner, as bits (bit i: one step on axis i). weights (N, d + 1): barycentric, they sum to one.
    """

    base: Int[Tensor, "d N"]
    corners: Int[Tensor, "N d1"]
    weights: Float[Tensor, "N d1"]


def lattice_coordinates(features: Float[Tensor, "N d"]) -> Float[Tensor, "d N"]:
    """Features -> the d coordinates in which the lattice's vertices are the whole numbers.

    First onto the plane Σ z = 0 of R^(d+1) (Adams et al., section 3.1): z_i takes all later features and -i times its own. The scale
    √(2/3) makes the blur, weights (1/2, 1, 1/2) along each axis, a Gaussian of standard deviation one. Then subtract the last z.
    """
    dimension = features.shape[1]
    scales = [sqrt(2 / 3) / sqrt(i * (i + 1)) for i in range(1, dimension + 1)]
    scaled = features.t() * features.new_tensor(scales)[:, None]
    coordinates, later = torch.empty_like(scaled), torch.zeros_like(scaled[0])
    for i in range(dimension, 0, -1):
        elevated = torch.sub(later, scaled[i - 1], alpha=i)
        if i == dimension:
            last = elevated
        else:
            torch.sub(elevated, last, out=coordinates[i])
        later = later + scaled[i - 1]
    torch.sub(later, last, out=coordinates[0])
    return coordinates


def enclosing_simplices(features: Float[Tensor, "N d"]) -> Simplices:
    """The simplex around each row of `features`, which are in units of their standard deviations. Raises ValueError for d > 12."""
    number, dimension = features.shape
    if not 1 <= dimension <= MAX_DIMENSION:
        raise ValueError(f"the lattice takes 1 to {MAX_DIMENSION} features, got {dimension}: a corner is kept as that many bits")
    base = torch.empty(dimension, number, dtype=torch.int32, device=features.device)
    corners = torch.empty(number, dimension + 1, dtype=torch.int32, device=features.device)
    weights = features.new_empty(number, dimension + 1)
    block = BLOCK if features.device.type == "cpu" else number
    for start in range(0, number, block):
        part = slice(start, start + block)
        coordinates = lattice_coordinates(features[part])
        whole = coordinates.floor()
        base[:, part] = whole
        fractions, axes = _largest_first(coordinates - whole)
        corners[part], weights[part] = _walk(fractions, axes)
    return Simplices(base, corners, weights)


def _walk(fractions: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Corners and weights of the walk that takes `axes` (d, n) in turn: both (n, d + 1).

    The point is base + Σ_k fractions[k] · e_axes[k], so corner k, reached after k steps, weighs fractions[k - 1] - fractions[k].
    """
    dimension, number = fractions.shape
    corners = torch.zeros(dimension + 1, number, dtype=torch.int32, device=axes.device)
    steps = torch.bitwise_left_shift(torch.ones_like(axes), axes)
    for k in range(dimension):
        torch.add(corners[k], steps[k], out=corners[k + 1])
    weights = fractions.new_empty(dimension + 1, number)
    torch.sub(1, fractions[0], out=weights[0])
    torch.sub(fractions[:-1], fractions[1:], out=weights[1:-1])
    weights[-1] = fractions[-1]
    return corners.t(), weights.t()


def _largest_first(fractions: Tensor) -> tuple[Tensor, Tensor]:
    """Fractions (d, n) sorted along their short axis, largest first, and where they stood; of equal ones the lower axis goes first.

    Equal fractions are common (every pixel of column 0 has two), and the rule matters: it decides which corners of weight zero
    exist, and these pass on what is blurred. Fraction and axis are packed into one integer, so that sorting is nothing but maxima
    and minima of whole rows: ten times as fast as `torch.sort` along so short an axis.
    """
    dimension = len(fractions)
    slots = 2 ** (dimension - 1).bit_length()
    steps, integer = (2**24, torch.int32) if fractions.dtype == torch.float32 else (2**50, torch.int64)
    lower_first = torch.arange(dimension - 1, -1, -1, dtype=integer, device=fractions.device)[:, None]
    keys = (fractions * steps).to(integer).mul_(slots).add_(lower_first)
    spare = torch.empty_like(keys[0])
    for end in range(dimension - 1, 0, -1):  # a bubble sort
        for i in range(end):
            torch.minimum(keys[i], keys[i + 1], out=spare)
            torch.maximum(keys[i], keys[i + 1], out=keys[i])
            keys[i + 1] = spare
    axes = (dimension - 1 - (keys & (slots - 1))).to(torch.int32)
    return keys.bitwise_right_shift_(slots.bit_length() - 1).to(fractions.dtype).mul_(1 / steps), axes
