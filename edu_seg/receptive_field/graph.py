"""The graph of maps that one run of a network leaves, and the three questions that are put to it.

`hulls`: the interval of input pixels that each unit reaches, maps thought infinite. `intervals`: the same inside the real image.
`count_paths`: from one unit back to every pixel, how many ways lead there; the set of pixels that it really reads is where that is
not zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from edu_seg.receptive_field.relations import IDENTITY, NOTHING, Relation, Taps, inside

FAR = np.int64(1) << 60
"""The interval of a unit that reads nothing is [FAR, -FAR], so that unions come out right."""


@dataclass(frozen=True, eq=False)
class Node:
    """A map of `sizes` units (one number an axis; 1 along an axis that is gone), made from its parents' maps.

    parents: (node, one relation for each axis). whole: the layers that looked at a whole map on the way here.
    """

    sizes: tuple[int, ...]
    parents: tuple[tuple["Node", tuple[Relation, ...]], ...] = ()
    whole: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Intervals:
    """For units first, first + 1, …: the first and the last pixel of the image that each reaches."""

    first: int
    low: Int64[ndarray, " units"]
    high: Int64[ndarray, " units"]

    def at(self, unit: int) -> tuple[int, int]:
        return int(self.low[unit - self.first]), int(self.high[unit - self.first])


def ancestors(nodes: Sequence[Node]) -> list[Node]:
    """The nodes and all that they are made from, parents first."""
    ordered: list[Node] = []
    seen: set[int] = set()
    stack = [(node, False) for node in reversed(nodes)]
    while stack:
        node, done = stack.pop()
        if done:
            ordered.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((parent, False) for parent, _ in reversed(node.parents) if id(parent) not in seen)
    return ordered


def hulls(ordered: Sequence[Node], axis: int) -> dict[Node, Intervals]:
    """For each node the intervals of its units along one axis, not cut off at any border.

    First from the last node to the first: which units, of the map or beside it, are asked for at all. Then forwards: their intervals.
    """
    asked = {node: (0, max(1, node.sizes[axis] - 1)) for node in ordered}  # two units at least: their distance is the stride
    taps_of: dict[tuple[Node, int], tuple[Taps, bool]] = {}
    for node in reversed(ordered):
        first, last = asked[node]
        for number, (parent, relations) in enumerate(node.parents):
            taps = relations[axis].taps(np.arange(first, last + 1))
            gaps = bool((taps == NOTHING).any())
            taps_of[node, number] = taps, gaps
            there = taps[taps != NOTHING] if gaps else taps
            if there.size:
                low, high = asked[parent]
                asked[parent] = min(low, int(there.min())), max(high, int(there.max()))
    found: dict[Node, Intervals] = {}
    for node in ordered:
        first, last = asked[node]
        if not node.parents:
            pixels = np.arange(first, last + 1)
            found[node] = Intervals(first, pixels, pixels)
            continue
        parts = [_union(found[parent], *taps_of[node, number]) for number, (parent, _) in enumerate(node.parents)]
        found[node] = Intervals(first, np.min([low for low, _ in parts], 0), np.max([high for _, high in parts], 0))
    return found


def intervals(ordered: Sequence[Node], axis: int) -> dict[Node, Intervals]:
    """For each node the first and last pixel of the real image that each unit reaches along one axis."""
    found: dict[Node, Intervals] = {}
    for node in ordered:
        units = np.arange(node.sizes[axis])
        low, high = np.full(len(units), FAR), np.full(len(units), -FAR)
        if not node.parents:
            low = high = units
        for parent, relations in node.parents:
            part = intervals_through(found[parent], relations[axis], len(units), parent.sizes[axis])
            low, high = np.minimum(low, part.low), np.maximum(high, part.high)
        found[node] = Intervals(0, low, high)
    return found


def intervals_through(parent: Intervals, relation: Relation, units: int, size: int) -> Intervals:
    """The intervals that `units` units have through one relation to a parent of `size` units."""
    taps = inside(relation, np.arange(units), size)
    return Intervals(0, *_union(parent, taps, bool((taps == NOTHING).any())))


def _union(parent: Intervals, taps: Taps, gaps: bool) -> tuple[Int64[ndarray, " units"], Int64[ndarray, " units"]]:
    """The hull of the intervals of all units that each row of taps reads."""
    if not gaps:
        places = taps - parent.first
        return parent.low[places].min(1), parent.high[places].max(1)
    missing = taps == NOTHING
    places = np.where(missing, 0, taps - parent.first)
    return np.where(missing, FAR, parent.low[places]).min(1), np.where(missing, -FAR, parent.high[places]).max(1)


def count_paths(ordered: Sequence[Node], node: Node, unit: tuple[int, ...], start: Node) -> Float64[ndarray, "*sizes"]:
    """For each unit of the map `start` (say the image): the number of paths from it to one unit of `node`.

    A path is a choice of one tap in each layer and of one branch where branches meet. Exact up to 2**53.
    """
    counts: dict[Node, ndarray] = {node: _one(node.sizes, unit)}
    for current in reversed(ordered):
        if current not in counts or current is start:
            continue
        count = counts.pop(current)
        for parent, relations in current.parents:
            spread = count
            for axis, relation in enumerate(relations):
                spread = _back(spread, axis, relation, current.sizes[axis], parent.sizes[axis])
            counts[parent] = counts[parent] + spread if parent in counts else spread
    return counts.get(start, np.zeros(start.sizes))


def _back(count: ndarray, axis: int, relation: Relation, units: int, size: int) -> ndarray:
    """Along one axis, what the units hold goes to the units that they read."""
    if relation == IDENTITY and units == size:
        return count
    moved = np.moveaxis(count, axis, 0)
    used = np.flatnonzero(moved.reshape(units, -1).any(1))
    taps = inside(relation, used, size)
    result = np.zeros((size, *moved.shape[1:]))
    rows, columns = np.nonzero(taps != NOTHING)
    np.add.at(result, taps[rows, columns], moved[used[rows]])
    return np.moveaxis(result, 0, axis)


def _one(sizes: tuple[int, ...], unit: tuple[int, ...]) -> ndarray:
    count = np.zeros(sizes)
    count[unit] = 1
    return count
