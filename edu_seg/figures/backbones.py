"""Backbones: how layers are wired, what each costs, lengths of paths, what a dense block reads, and accuracy against cost."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from edu_seg.costs import LayerCost, NetworkCost
from edu_seg.figures.base import GRID_GREY, INK, SERIES, new_figure

READ = "#cfe3f1"
Point = tuple[str, float, float, float]
"""(name, parameters in millions, multiply-adds in billions, error in per cent)"""


def wirings(layers: int = 4) -> Figure:
    """Three ways to wire `layers` layers between an input and an output: plain, residual and dense. Raises ValueError below 2 layers."""
    if layers < 2:
        raise ValueError(f"{layers} layer has nothing to jump over: draw at least 2")
    fig, axes = new_figure(11.0, 5.4)
    ax: Axes = axes[0, 0]
    for row, name in enumerate(("plain", "residual", "dense")):
        y = (0.0, 1.9, 4.3)[row]
        ax.text(-0.75, y, name, ha="right", va="center", fontsize=13, color=INK)
        for place in range(layers + 1):
            _wired_box(ax, place, y, "map" if place == 0 else f"layer {place}", READ if place else "white")
            if place:
                _arc(ax, (place - 0.66, y), (place - 0.34, y), 0)
        for start, end in [*combinations(range(layers + 1), 2)] if name == "dense" else ():
            if end - start > 1:
                _arc(ax, (start + 0.36, y - 0.3), (end - 0.36, y - 0.3), 0.28 + 0.04 * (end - start))
        for place in range(1, layers + 1) if name == "residual" else ():
            _arc(ax, (place - 0.56, y), (place + 0.44, y - 0.1), 0.75)
            ax.plot(place + 0.44, y, "o", color=INK, markerfacecolor="white", markersize=12)
            ax.text(place + 0.44, y, "+", ha="center", va="center", fontsize=12, color=INK)
    ax.set(xlim=(-1.5, layers + 0.8), ylim=(4.9, -0.6))
    ax.axis("off")
    return fig


def rows_of(cost: NetworkCost) -> list[LayerCost]:
    """The layers that hold or compute anything, each with the (N, C, h, w) of its map; the result, held by the caller, stands last.

    A layer whose output is no map has that of the layer before, a vector (N, C) is one unit.
    """
    rows: list[LayerCost] = []
    for row in sorted((row for row in cost.layers if row.activation_bytes or row.multiply_adds), key=lambda row: not row.name):
        known = rows[-1].shape if rows else (1, 1, 1, 1)
        shape = known if len(row.shape) < 2 else (*row.shape, 1, 1)[:4]
        rows.append(replace(row, shape=shape) if row.name else replace(row, name="result", kind="", shape=shape))
    return rows


def parts_of(cost: NetworkCost) -> list[str]:
    """The part of the network that each of `rows_of` belongs to: its block, or for those outside of blocks a run of maps of one size.

    A pool belongs to what it pools.
    """
    parts: list[str] = []
    side = 0
    for row in rows_of(cost):
        name, inner, _ = row.name.partition(".")
        is_same = bool(parts) and not inner and side and (row.shape[-1] == side or "Pool" in row.kind)
        parts.append(parts[-1] if is_same else name)
        side = 0 if inner else side if is_same else row.shape[-1]
    return parts


def layer_costs(nets: Mapping[str, Mapping[int, NetworkCost]]) -> Figure:
    """Activation memory along networks, a row a network, a column an output stride (network -> stride -> cost).

    The area under the steps is the memory: each layer that holds anything is as wide as the next. A part's layers share a colour and
    hatch, and its map's side stands above. Networks have their own scale, columns of a network the same.
    """
    fig, axes = new_figure(11.5, 2.4 * len(nets) + 0.5, max(map(len, nets.values())), len(nets), sharey="row")
    for line, (name, columns) in zip(axes, nets.items(), strict=True):
        held = [[pair for pair in zip(rows_of(cost), parts_of(cost), strict=True) if pair[0].activation_bytes] for cost in columns.values()]
        top = max(row.activation_bytes for rows in held for row, _ in rows) / 2**20
        for ax, column, cost, rows in zip(line, columns, columns.values(), held, strict=False):
            _steps(ax, [(part, row.shape[-1], row.activation_bytes / 2**20) for row, part in rows], top)
            ax.set_title(f"{name}, output stride {column}: {cost.activation_bytes / 2**20:.0f} MiB", fontsize=11)
            ax.set(ylim=(0, 1.3 * top), xlim=(0, len(rows)), xticks=[])
        for ax in line[len(columns) :]:
            ax.axis("off")
        line[0].set_ylabel("MiB a layer")
    for ax in axes[-1]:
        ax.set_xlabel("layers, from the image on")
    return fig


def path_lengths(shares: Mapping[str, Sequence[float]]) -> Figure:
    """Shares by the number of blocks a path goes through, 0, 1, 2, …: one bar a length for each entry (name -> shares that sum to 1).

    Raises ValueError for more entries than there are colours.
    """
    if len(shares) > len(SERIES):
        raise ValueError(f"{len(shares)} groups of bars, and colours for {len(SERIES)}: draw two figures")
    fig, axes = new_figure(9.5, 3.4)
    ax: Axes = axes[0, 0]
    width = 0.84 / len(shares)
    for number, ((name, values), (colour, hatch)) in enumerate(zip(shares.items(), SERIES, strict=False)):
        places = np.arange(len(values)) + (number - (len(shares) - 1) / 2) * width
        ax.bar(places, values, width * 0.92, label=name, color=colour, hatch=hatch, edgecolor="white")
    ax.set(xlabel="blocks that a path goes through", ylabel="share")
    ax.set_xticks(range(max(len(values) for values in shares.values())))
    ax.legend(frameon=False, ncols=len(shares), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def deletions(nets: Mapping[str, tuple[float, Sequence[float]]], ylabel: str) -> Figure:
    """The score of a net without one block, for each block, a panel a net (name -> (the whole net's score, one score a block deleted)).

    The dashed line is the whole net.
    """
    fig, axes = new_figure(10.5, 3.4, len(nets), sharey=True)
    for ax, (name, (whole, scores)), (colour, hatch) in zip(axes[0], nets.items(), SERIES, strict=False):
        ax.bar(range(1, len(scores) + 1), scores, 0.8, color=colour, hatch=hatch, edgecolor="white")
        ax.axhline(whole, color=INK, linestyle="--", linewidth=1.6, label="whole net")
        ax.text(len(scores) + 0.4, whole, f"whole net {whole:.2f}", ha="right", va="bottom", fontsize=11, color=INK)
        ax.set(title=name, xlabel="block that is deleted")
        ax.set_xticks(range(1, len(scores) + 1))
    axes[0, 0].set(ylabel=ylabel, ylim=(0, 1.18 * max(max(whole, *scores) for whole, scores in nets.values())))
    return fig


def reuse_map(strengths: Float[Tensor, "readers sources"], readers: Sequence[str], sources: Sequence[str]) -> Figure:
    """What each layer of a dense block (a row) reads of each earlier map (a column); a row's values are relative to its largest.

    Entries that are not there (nan) stay white. Raises ValueError where the names do not fit the rows and columns.
    """
    count, width = strengths.shape
    if (count, width) != (len(readers), len(sources)):
        raise ValueError(f"{count} × {width} values, {len(readers)} readers and {len(sources)} sources: give one name a row, one a column")
    fig, axes = new_figure(0.95 * width + 2.4, 0.62 * count + 1.1)
    ax: Axes = axes[0, 0]
    ax.imshow(np.ma.masked_invalid(strengths.numpy()), cmap=colormaps["Blues"], vmin=0, vmax=1.25, aspect="auto")
    for (i, j), value in np.ndenumerate(strengths.numpy()):
        if not np.isnan(value):
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=11, color="white" if value > 0.8 else INK)
    ax.set_yticks(range(count), list(readers))
    ax.set_xticks(range(width), list(sources))
    ax.set(xlabel="reads the maps of", ylabel="")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return fig


def accuracy_cost(families: Mapping[str, Sequence[Point]], ylabel: str) -> Figure:
    """Error against parameters (left) and against multiply-adds (right): a line a family, a marker a net, named at its marker.

    Raises ValueError for more families than there are colours.
    """
    if len(families) > len(SERIES):
        raise ValueError(f"{len(families)} families, and colours for {len(SERIES)}: draw two figures")
    fig, axes = new_figure(11.5, 4.6, 2, sharey=True)
    for ax, column, xlabel in zip(axes[0], (1, 2), ("parameters (millions)", "multiply-adds at 224 × 224 (billions)"), strict=True):
        ax: Axes
        for (name, points), (colour, _), dash, marker in zip(families.items(), SERIES, ("-", "--", "-.", ":"), "osD^", strict=False):
            ordered = sorted(points, key=lambda point: point[column])
            costs, errors = [float(point[column]) for point in ordered], [point[3] for point in ordered]
            ax.plot(costs, errors, dash, color=colour, marker=marker, label=name, linewidth=1.6, markersize=8)
            for place, point in enumerate(ordered):  # beside the marker, turn about above and below, since neighbours lie close
                offset = (7, 5 if place % 2 == 0 else -14)
                where = (costs[place], point[3])
                ax.annotate(point[0], where, offset, textcoords="offset points", fontsize=10, color=INK)
        largest = max(float(point[column]) for points in families.values() for point in points)
        ax.set(xlabel=xlabel, xlim=(0, 1.1 * largest))
        ax.margins(y=0.1)
        ax.grid(color=GRID_GREY, linewidth=0.5)
    axes[0, 0].set(ylabel=ylabel)
    axes[0, 0].legend(frameon=False, ncols=len(families), loc="lower left", bbox_to_anchor=(0, 1))
    return fig


def _steps(ax: Axes, layers: Sequence[tuple[str, int, float]], top: float) -> None:
    parts = list(dict.fromkeys(part for part, _, _ in layers))
    for number, part in enumerate(parts):
        places = [i for i, layer in enumerate(layers) if layer[0] == part]
        heights = [layers[i][2] for i in places]
        colour, hatch = SERIES[number % len(SERIES)]
        edges = [*places, places[-1] + 1]
        look = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.1}
        ax.fill_between(edges, [*heights, heights[-1]], step="post", label=part, **look)
        highest = places[heights.index(max(heights))]
        middle = (places[0] + places[-1] + 1) / 2
        ax.text(middle, max(heights) + 0.03 * top, str(layers[highest][1]), ha="center", va="bottom", fontsize=9, color=INK)


def _wired_box(ax: Axes, x: float | int, y: float | int, text: str, face: str) -> None:
    ax.add_patch(Rectangle((x - 0.34, y - 0.28), 0.68, 0.56, facecolor=face, edgecolor=INK))
    ax.text(x, y, text, ha="center", va="center", fontsize=11, color=INK)


def _arc(ax: Axes, start: tuple[float | int, float | int], end: tuple[float | int, float | int], bend: float | int) -> None:
    style = f"arc3,rad={-bend}"
    ax.add_patch(FancyArrowPatch(start, end, connectionstyle=style, arrowstyle="->", mutation_scale=10, color=INK, shrinkA=0, shrinkB=0))
