"""The receptive field of every unit of every layer, from one run of the network's own forward.

Source: the composition rule of FCN section 3 (size, stride); Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional
Neural Networks", Distill 2019 (padding, branches).
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64
from numpy import ndarray
from torch import nn

from edu_seg.receptive_field import graph
from edu_seg.receptive_field.graph import Intervals, Node
from edu_seg.receptive_field.operations import handler_of
from edu_seg.receptive_field.tracing import Dims, Layer, Run, Traced, plain

WholeMap = Literal["include", "leave_out"]
Number = int | Fraction
Interval = tuple[int, int]


class Trace:
    """All maps of one run, and what has been worked out about them so far."""

    def __init__(self, image: Node, nodes: Iterable[Node]) -> None:
        self.image = image
        self.ordered = graph.ancestors([image, *dict.fromkeys(nodes)])

    @cached_property
    def hulls(self) -> list[dict[Node, Intervals]]:
        """For each axis and map, the units' fields with no border."""
        if self._axes_alike():
            return [graph.hulls(self.ordered, 0)] * len(self.image.sizes)
        return [graph.hulls(self.ordered, axis) for axis in range(len(self.image.sizes))]

    @cached_property
    def intervals(self) -> list[dict[Node, Intervals]]:
        """For each axis and map, what the units reach of the real image."""
        if self._axes_alike():
            return [graph.intervals(self.ordered, 0)] * len(self.image.sizes)
        return [graph.intervals(self.ordered, axis) for axis in range(len(self.image.sizes))]

    @cached_property
    def ragged(self) -> set[Node]:
        """Maps of which some unit's columns depend on its row: where branches meet one of which reads nothing at some units."""
        found: set[Node] = set()
        for node in self.ordered:
            if any(parent in found for parent, _ in node.parents) or (len(node.parents) > 1 and self._has_empty_branch(node)):
                found.add(node)
        return found

    def _has_empty_branch(self, node: Node) -> bool:
        for axis, size in enumerate(node.sizes):
            for parent, relations in node.parents:
                alone = graph.intervals_through(self.intervals[axis][parent], relations[axis], size, parent.sizes[axis])
                if (alone.low > alone.high).any():
                    return True
        return False

    def _axes_alike(self) -> bool:
        def alike(values: Sequence[object]) -> bool:
            return all(value == values[0] for value in values)

        return all(alike(node.sizes) and all(alike(relations) for _, relations in node.parents) for node in self.ordered)


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """What the units of one map see of the image; every tuple is (vertical, horizontal), or (along the line,) for 1-D networks.

    size, stride, padding: unit i sees the pixels [-padding + i·stride, -padding + i·stride + size − 1], not cut off at the image's
    border: 404 stays 404 on 224 pixels. Where units differ (`uniform` is False, after upsampling), size is the largest, stride the mean
    step (a fraction, or None if there is no period) and padding that of unit 0; `rows` and `cols` give each unit's own interval.
    whole_map: the layers on the way that look at a whole map, so that the field depends on the image's size; () if none does.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    map_size: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[Number | None, ...]
    padding: tuple[int, ...]
    uniform: bool
    whole_map: tuple[str, ...]
    is_leaf: bool
    trace: Trace = field(repr=False)
    node: Node = field(repr=False)

    def rows(self, i: int) -> Interval:
        """(first, last) image row that unit row i sees, maps thought without a border: it may begin above row 0."""
        return self._hull(0, i)

    def cols(self, j: int) -> Interval:
        """(first, last) image column that unit column j sees, as `rows`."""
        return self._hull(len(self.map_size) - 1, j)

    def inside(self, *unit: int) -> tuple[Interval, ...] | None:
        """((top, bottom), (left, right)): the smallest box that holds the pixels which really reach a unit; None if none does.

        Here borders count as the layers treat them, so the box lies in the image, and reflected pixels are the ones reflected.
        """
        self._check(unit)
        if self.node in self.trace.ragged:
            return box(self.paths(*unit) > 0)
        found = tuple(self.trace.intervals[axis][self.node].at(place) for axis, place in enumerate(unit))
        return None if any(low > high for low, high in found) else found

    def paths(self, *unit: int) -> Float64[ndarray, "*image"]:
        """For each pixel of the image: by how many paths it reaches a unit. Not zero is the set that the unit really reads.

        A path takes one tap in each layer and one branch where branches meet; channels are not counted. Exact up to 2**53.
        """
        self._check(unit)
        return graph.count_paths(self.trace.ordered, self.node, unit, self.trace.image)

    def between(self, earlier: "ReceptiveField", *unit: int) -> Float64[ndarray, "*map"]:
        """As `paths`, but back to the map of an earlier layer of the same network rather than to the image."""
        if earlier.trace is not self.trace:
            raise ValueError(f"{earlier.name!r} is of another run: take both from one call of receptive_fields")
        self._check(unit)
        return graph.count_paths(self.trace.ordered, self.node, unit, earlier.node)

    def _hull(self, axis: int, unit: int) -> Interval:
        if not 0 <= unit < self.map_size[axis]:
            raise IndexError(f"{self.name}: there is no unit {unit}, the map has {self.map_size[axis]} along this axis")
        return self.trace.hulls[axis][self.node].at(unit)

    def _check(self, unit: tuple[int, ...]) -> None:
        if len(unit) != len(self.map_size) or not all(0 <= place < size for place, size in zip(unit, self.map_size, strict=True)):
            raise IndexError(f"{self.name}: there is no unit {unit} on a map of {self.map_size}; give one index for each axis")


class ReceptiveFields(dict[str, ReceptiveField]):
    """layer name → its receptive field, in the order of execution. Shows itself as a table."""

    def to_table(self, *, containers: bool = False) -> str:
        """One line a layer, as text; containers: also modules that only hold others."""
        rows = [HEAD, *self._rows(containers)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
        lines = [
            "  ".join(
                cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return "\n".join(line.rstrip() for line in lines)

    def _rows(self, containers: bool = False) -> list[tuple[str, ...]]:
        return [_row(layer) for layer in self.values() if layer.is_leaf or containers]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{cell}</th>" for cell in HEAD)
        body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def __repr__(self) -> str:
        return self.to_table()


HEAD = ("layer", "kind", "map", "size", "stride", "padding", "")


def _row(layer: ReceptiveField) -> tuple[str, ...]:
    notes = [] if layer.uniform else ["units differ"]
    notes += ["sees the whole map"] if layer.whole_map else []
    map_size = " × ".join(map(str, layer.map_size))
    return (layer.name, layer.kind, map_size, *(_both(value) for value in (layer.size, layer.stride, layer.padding)), ", ".join(notes))


def _both(values: Sequence[Number | None]) -> str:
    """One number where all axes agree."""
    texts = ["–" if value is None else str(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else " × ".join(texts)


def receptive_fields(model: nn.Module, input_size: Sequence[int], *, channels: int = 3, whole_map: WholeMap = "include") -> ReceptiveFields:
    """The receptive field of every layer of any network, by one run of its own forward that computes no numbers.

    input_size: (H, W) of the image, or (L,) for a 1-D network. Layers are named as in `model.named_modules()`; an operation between
    modules (an addition, a crop) is "module.operation"; the second call of a layer is "name#2"; of several outputs, "name[key]".
    whole_map: "leave_out" passes by what looks at a whole map (squeeze-and-excitation, image pooling, group and instance
    normalisation, attention) wherever another branch is there, as papers do when they quote a field.

    The model is run in evaluation mode and left as it was. Channels are not followed: a grouped convolution sees what a full one does.
    Raises `UnknownOperation` for an operation whose field is not known, naming it and the layer; ValueError for an impossible size.
    """
    sizes = tuple(input_size)
    if not sizes or not all(isinstance(size, int) and size >= 1 for size in sizes):
        raise ValueError(f"input_size = {input_size!r}: give the image's size as (H, W), at least 1 × 1")
    if whole_map not in ("include", "leave_out"):
        raise ValueError(f"whole_map = {whole_map!r}: give 'include' or 'leave_out'")
    image = Node(sizes)
    dims: Dims = (plain(1), plain(channels), *(((axis, size),) for axis, size in enumerate(sizes)))
    parameter = next(model.parameters(), torch.empty(0))
    if parameter.is_meta:  # constants that the forward makes on the image's device must have their numbers
        parameter = torch.empty(0, dtype=parameter.dtype)
    run = Run(model, handler_of, whole_map == "leave_out")
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad(), run.watching():
            output = model.eval()(Traced(image, dims, parameter))
    finally:
        for module, training in modes:
            module.training = training
    run.add_output(output)
    trace = Trace(image, [layer.node for layer in run.layers.values()])
    return ReceptiveFields({name: _describe(name, layer, trace) for name, layer in run.layers.items()})


def receptive_field(
    model: nn.Module, input_size: Sequence[int], layer: str | None = None, *, channels: int = 3, whole_map: WholeMap = "include"
) -> ReceptiveField:
    """The receptive field of one layer, or of the output; arguments as in `receptive_fields`.

    Of several outputs it is the one called "out", as torchvision's segmentation networks name theirs.
    Raises KeyError naming the layers for an unknown one.
    """
    fields = receptive_fields(model, input_size, channels=channels, whole_map=whole_map)
    if layer is None:
        layer = "output" if "output" in fields else "output[out]"
    if layer not in fields:
        close = [name for name in fields if layer.split("[")[0] in name] or list(fields)
        raise KeyError(f"no layer is called {layer!r}; there are {', '.join(close)}")
    return fields[layer]


def _describe(name: str, layer: Layer, trace: Trace) -> ReceptiveField:
    described = [_affine(hulls[layer.node], size) for hulls, size in zip(trace.hulls, layer.node.sizes, strict=True)]
    sizes, strides, paddings, uniform = zip(*described, strict=True)
    return ReceptiveField(
        name,
        layer.kind,
        layer.shape,
        layer.node.sizes,
        sizes,
        strides,
        paddings,
        all(uniform),
        layer.node.whole,
        layer.is_leaf,
        trace,
        layer.node,
    )


def _affine(found: Intervals, number: int) -> tuple[int, Number | None, int, bool]:
    """(size, stride, padding, whether these describe every unit) of the intervals of `number` units."""
    low, high = (ends[-found.first :][: max(number, 2)] for ends in (found.low, found.high))
    if (low > high).all():
        return 0, None, 0, False
    there = low <= high
    size = int((high - low)[there].max()) + 1
    for period in range(1, max(2, len(low) // 2)):
        steps = low[period:] - low[:-period]
        if (steps == steps[0]).all() and (high[period:] - high[:-period] == steps[0]).all() and there.all():
            step = Fraction(int(steps[0]), period)
            return size, int(step) if step.denominator == 1 else step, -int(low[0]), period == 1
    return size, None, -int(low[there][0]), False


def box(reached: ndarray) -> tuple[Interval, ...] | None:
    """The smallest box around what is true, as (first, last) along each axis; None where nothing is."""
    if not reached.any():
        return None
    places: Mapping[int, ndarray] = dict(enumerate(np.nonzero(reached)))
    return tuple((int(place.min()), int(place.max())) for place in places.values())
