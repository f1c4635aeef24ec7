"""Which units of its input one unit of a layer reads, along one axis: the vocabulary of all that follows.

A relation answers for any integer, also for units that lie outside the map: padding is then the map going on for ever. That view gives
the paper's sizes, which no border cuts off (404 pixels, also on an image of 224). What a unit reads of the map that is really there is
found by sending each such index through `border`: a zero that was padded is nothing, a reflected one is another unit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

Units = Int64[ndarray, " units"]
Taps = Int64[ndarray, "units taps"]

NOTHING = np.iinfo(np.int64).min
"""Stands in a table of taps where a unit reads less than the others."""


@runtime_checkable
class Relation(Protocol):
    """`taps(units)`: a row of input indices for each unit, NOTHING where there is none. `border`: a key of `BORDERS`."""

    @property
    def border(self) -> str: ...

    def taps(self, units: Units) -> Taps: ...


BORDERS: dict[str, Callable[[Taps, int], Taps]] = {
    "zero": lambda taps, size: np.where((taps < 0) | (taps >= size), NOTHING, taps),
    "replicate": lambda taps, size: np.clip(taps, 0, size - 1),
    "reflect": lambda taps, size: size - 1 - np.abs(size - 1 - np.abs(taps)),
    "circular": lambda taps, size: taps % size,
}
"""mode of padding → the unit that stands where an index leaves a map of `size` units."""


def inside(relation: Relation, units: Units, size: int) -> Taps:
    """The taps that lie in the input's `size` units, borders as the layer treats them."""
    taps = relation.taps(units)
    return np.where(taps == NOTHING, NOTHING, BORDERS[relation.border](taps, size))


@dataclass(frozen=True)
class Window:
    """A convolution or pool: unit i reads i·stride − padding + dilation·t for t < kernel_size.

    With other numbers: the identity Window(1), padding Window(1, 1, left), a slice Window(1, step, −start), the one value that is
    broadcast to all units Window(1, 0), pixel unshuffling Window(r, r).
    """

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    border: str = "zero"

    def taps(self, units: Units) -> Taps:
        return units[:, None] * self.stride + (np.arange(self.kernel_size) * self.dilation - self.padding)


@dataclass(frozen=True)
class Transposed:
    """A transposed convolution, or max unpooling: unit o reads each i with o = i·stride − padding + dilation·t."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    border: str = "zero"

    def taps(self, units: Units) -> Taps:
        reached = units[:, None] + self.padding - np.arange(self.kernel_size) * self.dilation
        return np.where(reached % self.stride == 0, reached // self.stride, NOTHING)


@dataclass(frozen=True)
class Repeat:
    """Pixel shuffling: unit o reads o // times."""

    times: int
    border: str = "zero"

    def taps(self, units: Units) -> Taps:
        return units[:, None] // self.times


@dataclass(frozen=True)
class Flip:
    """A map of `size` units read backwards."""

    size: int
    border: str = "zero"

    def taps(self, units: Units) -> Taps:
        return self.size - 1 - units[:, None]


@dataclass(frozen=True)
class Whole:
    """Every unit reads all `size` units: global pooling, a Linear layer over the map, attention."""

    size: int
    border: str = "zero"

    def taps(self, units: Units) -> Taps:
        return np.broadcast_to(np.arange(self.size), (len(units), self.size))


@dataclass(frozen=True)
class Adaptive:
    """Adaptive pooling of `size` units to `bins`: bin i reads floor(i·size / bins) to ceil((i + 1)·size / bins) − 1."""

    size: int
    bins: int
    border: str = "zero"

    def taps(self, units: Units) -> Taps:
        first, end = units * self.size // self.bins, -(-(units + 1) * self.size // self.bins)
        taps = first[:, None] + np.arange(int((end - first).max(initial=0)))
        return np.where(taps < end[:, None], taps, NOTHING)


@dataclass(frozen=True)
class Interpolation:
    """Resizing of `size` units: unit i lies at step·i + offset of the input, and reads the units around it that have a weight there.

    reach: how far a unit is read, 1 for bilinear and 2 for bicubic; for nearest a half, which takes the unit at floor(place).
    """

    step: Fraction
    offset: Fraction
    reach: Fraction
    border: str = "replicate"

    def taps(self, units: Units) -> Taps:
        whole = self.step.denominator * self.offset.denominator  # places are integers in units of 1 / whole
        places = units * int(self.step * whole) + int(self.offset * whole)
        if self.reach < 1:
            return places[:, None] // whole
        near = np.arange(1 - int(self.reach), 1 + int(self.reach))
        taps = places[:, None] // whole + near
        has_weight = (near == 0) | (places[:, None] % whole != 0)  # on a unit itself, the others weigh nothing
        return np.where(has_weight, taps, NOTHING)


@dataclass(frozen=True, eq=False)
class Matrix:
    """Multiplication by a matrix of constants: unit i reads the columns where row i is not zero. There are no units outside."""

    nonzero: Bool[ndarray, "units size"]
    border: str = "zero"

    def taps(self, units: Units) -> Taps:
        number, size = self.nonzero.shape
        columns = np.where(self.nonzero, np.arange(size), NOTHING)
        columns = np.sort(columns, axis=1)[:, -max(1, int(self.nonzero.sum(1).max(initial=0))) :]  # what is there comes last
        there = (units >= 0) & (units < number)
        return np.where(there[:, None], columns[np.clip(units, 0, number - 1)], NOTHING)


@dataclass(frozen=True)
class Part:
    """One of several maps laid end to end: its `size` units are the units from `start` of the whole."""

    start: int
    size: int
    border: str = "zero"

    def taps(self, units: Units) -> Taps:
        own = units - self.start
        return np.where((own >= 0) & (own < self.size), own, NOTHING)[:, None]


IDENTITY = Window(1)
BROADCAST = Window(1, 0)
