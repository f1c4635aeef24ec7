"""The geometry of a network as `RFExplorer` sends it, once: the graph of its maps, and its layers as rows of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from torch import nn

from edu_seg.receptive_field import ReceptiveField, ReceptiveFields, positive_gradient
from edu_seg.receptive_field.fields import Number, Trace, box
from edu_seg.receptive_field.graph import Intervals
from edu_seg.receptive_field.relations import NOTHING, Adaptive, Flip, Interpolation, Part, Relation, Repeat, Transposed, Whole, Window

ROWS_SHOWN = 24
"""A longer table opens with its parts folded."""


@dataclass(frozen=True, eq=False)
class LayerRow:
    """A map with the layers that hand it on unchanged (`also`: normalisation, activation). group: the part that it is folded into, or "".

    label: the part's name for its last map, else the map's own.

    measured: the module's name by which a gradient can be taken there; "" is the network's output, None where no module returns it.
    """

    name: str
    label: str
    also: tuple[str, ...]
    group: str
    measured: str | None
    field: ReceptiveField


def layer_rows(fields: ReceptiveFields, model: nn.Module) -> list[LayerRow]:
    """One row for each map but the image, in the order of execution."""
    names: dict[int, list[str]] = {}
    for name, field in fields.items():
        names.setdefault(id(field.node), []).append(name)
    leaves: dict[int, list[ReceptiveField]] = {}
    for field in fields.values():
        if field.is_leaf and field.node is not field.trace.image:
            leaves.setdefault(id(field.node), []).append(field)
    modules = dict(model.named_modules())
    groups = _groups([same[0].name for same in leaves.values()])
    labels = [group if group and group != after else "" for group, after in zip_longest(groups, groups[1:])]
    rows = []
    for (node, (first, *same)), group, label in zip(leaves.items(), groups, labels, strict=True):
        also = tuple(field.name for field in same)
        rows.append(LayerRow(first.name, label or first.name, also, group, _measured(names[node], modules), first))
    return rows


def _measured(names: Sequence[str], modules: Mapping[str, nn.Module]) -> str | None:
    for name in names:
        if name.split("[")[0].split("#")[0] in modules:
            return name
    return "" if "output" in names or "output[out]" in names else None


def _groups(names: Sequence[str]) -> list[str]:
    """For each row the part of the network it is folded into: top-level modules, or what is inside one that holds most rows."""
    if len(names) <= ROWS_SHOWN:
        return [""] * len(names)
    return _split(names, 1, len(names))


def _split(names: Sequence[str], depth: int, total: int) -> list[str]:
    found: list[str] = []
    for prefix, run in groupby(names, lambda name: ".".join(name.split(".")[:depth])):
        members = list(run)
        if len(members) == 1:
            found.append("")
        elif len(members) > 0.6 * total and any(name.count(".") > depth for name in members):
            found += _split(members, depth + 1, total)
        else:
            found += [prefix] * len(members)
    return found


def explorer_data(fields: ReceptiveFields, model: nn.Module) -> dict[str, Any]:
    """{graph, rows}: the maps' graph, relation by relation, and the table's rows; plain JSON, small enough to be sent once.

    graph: {relations: [[kind, …numbers, border]], nodes: [{sizes, parents: [[node, its relation along rows, along columns]]}]}, node 0
    the image. rows: {name, label, also, kind, node, map, size, stride, padding, uniform, whole, group, measured}.
    Raises ValueError where no layer makes a map of its own.
    """
    rows = layer_rows(fields, model)
    if not rows:
        raise ValueError("no layer of the network makes a map of its own: there is nothing to explore")
    trace = rows[0].field.trace
    number = {node: place for place, node in enumerate(_image_first(trace))}
    return {"graph": _graph(trace), "rows": [_row(row, number[row.field.node]) for row in rows]}


def _image_first(trace: Trace) -> list:
    return [trace.image, *(node for node in trace.ordered if node is not trace.image)]


def _graph(trace: Trace) -> dict[str, Any]:
    ordered = _image_first(trace)
    number = {node: place for place, node in enumerate(ordered)}
    relations: dict[str, tuple[int, list]] = {}

    def place(relation: Relation, asked: Intervals) -> int:
        written = write_relation(relation, asked)
        return relations.setdefault(repr(written), (len(relations), written))[0]

    nodes = [
        {
            "sizes": list(node.sizes),
            "parents": [
                [number[parent], *(place(relation, trace.hulls[axis][node]) for axis, relation in enumerate(row))]
                for parent, row in node.parents
            ],
        }
        for node in ordered
    ]
    return {"relations": [written for _, written in relations.values()], "nodes": nodes}


def write_relation(relation: Relation, asked: Intervals) -> list:
    """A relation as [kind, …numbers, border]. asked: the units that the child's table holds, for relations that only a table can say."""
    match relation:
        case Window() | Transposed():
            kind = "window" if isinstance(relation, Window) else "transposed"
            return [kind, relation.kernel_size, relation.stride, relation.padding, relation.dilation, relation.border]
        case Repeat(times, border):
            return ["repeat", times, border]
        case Flip(size, border):
            return ["flip", size, border]
        case Whole(size, border):
            return ["whole", size, border]
        case Adaptive(size, bins, border):
            return ["adaptive", size, bins, border]
        case Part(start, size, border):
            return ["part", start, size, border]
        case Interpolation(step, offset, reach, border):
            whole = step.denominator * offset.denominator
            return ["interpolation", whole, int(step * whole), int(offset * whole), float(reach), border]
    taps = relation.taps(np.arange(asked.first, asked.first + len(asked.low)))
    return ["table", asked.first, [sorted(set(row[row != NOTHING].tolist())) for row in taps], relation.border]


def _row(row: LayerRow, node: int) -> dict[str, Any]:
    field = row.field
    return {
        "name": row.name,
        "label": row.label,
        "also": [name.removeprefix(row.name.rpartition(".")[0] + ".") for name in row.also],
        "kind": field.kind,
        "node": node,
        "map": list(field.map_size),
        "size": list(field.size),
        "stride": [_text(value) for value in field.stride],
        "padding": list(field.padding),
        "uniform": field.uniform,
        "whole": list(field.whole_map),
        "group": row.group,
        "measured": row.measured,
    }


def _text(value: Number | None) -> str:
    return "–" if value is None else str(value)


def measured_heat(
    model: nn.Module, size: Sequence[int], unit: Sequence[int], layer: str | None
) -> tuple[tuple[tuple[int, int], ...] | None, UInt8[ndarray, "H W"]]:
    """(the box around the pixels that a gradient of the positive network reaches, its heat in 0..255); 0 exactly where nothing arrives.

    The heat grows with the cube root, for the paths to the middle outnumber those to the edge by far.
    """
    gradient = positive_gradient(model, size, unit, layer).numpy()
    share = (gradient / max(float(gradient.max()), 1e-300)) ** (1 / 3)
    return box(gradient > 0), np.where(gradient > 0, 30 + 225 * share, 0).astype(np.uint8)
