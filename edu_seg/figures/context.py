"""Context at many scales: where the taps of a dilated filter fall, how many are left, the parts of ASPP, and the bins of a pyramid."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from edu_seg.figures.base import GRID_GREY, INK, SERIES, as_picture, new_figure

MARKERS, DASHES = "osD^", ("-", "--", "-.", ":")
FEW_UNITS = 20  # a map with at most so many along an axis shows each unit


def map_taps(size: int, cases: Mapping[str, tuple[int, tuple[int, int]]], *, side: float = 3.1) -> Figure:
    """The taps of a dilated 3 × 3 on a map of `size` × `size` units: title -> (rate, (row, column) of the unit it is centred on).

    Taps on the map are dark discs, those beyond it grey crosses, which read padding alone. The frame is the map; where it has few
    units, each has its square.
    """
    before = [max(0, *(rate - place[axis] for rate, place in cases.values())) for axis in (0, 1)]
    behind = [max(0, *(place[axis] + rate - size + 1 for rate, place in cases.values())) for axis in (0, 1)]
    room = 0.07 * (size + max(before[0] + behind[0], before[1] + behind[1])) + 0.5
    fig, axes = new_figure(side * len(cases), side + 0.7, len(cases))
    for ax, (title, (rate, (row, column))) in zip(axes[0], cases.items(), strict=True):
        ax.add_patch(Rectangle((-0.5, -0.5), size, size, facecolor="#cfe3f1", edgecolor=INK, linewidth=1.6))
        if size <= FEW_UNITS:
            lines = [unit - 0.5 for unit in range(1, size)]
            ax.hlines(lines, -0.5, size - 0.5, color="white", linewidth=1)
            ax.vlines(lines, -0.5, size - 0.5, color="white", linewidth=1)
        inside = 0
        for i, j in product((-rate, 0, rate), repeat=2):
            on_map = 0 <= row + i < size and 0 <= column + j < size
            inside += on_map
            ax.plot(column + j, row + i, "o" if on_map else "x", color=INK if on_map else "#8a8a8a", markersize=8, markeredgewidth=2)
        ax.set_title(f"{title}\n{inside} of 9 taps on the map", fontsize=11)
        ax.set(xticks=[], yticks=[], aspect="equal")
        ax.set(xlim=(-room - before[1], size - 1 + room + behind[1]), ylim=(size - 1 + room + behind[0], -room - before[0]))
        ax.spines[:].set_visible(False)
    return fig


def valid_curves(shares: Mapping[int, Sequence[float]], rates: Sequence[int]) -> Figure:
    """DeepLab v3's figure 4: number of taps on the map -> its share of all places, one value for each rate.

    Raises ValueError for more curves than there are colours.
    """
    if len(shares) > len(SERIES):
        raise ValueError(f"{len(shares)} curves, and colours for {len(SERIES)}: draw two figures")
    fig, axes = new_figure(9.0, 3.7)
    ax: Axes = axes[0, 0]
    for (taps, values), (colour, _), dash, marker in zip(shares.items(), SERIES, DASHES, MARKERS, strict=False):
        name = f"{taps} tap{'s' if taps > 1 else ''} on the map"
        ax.plot(rates, values, dash, color=colour, label=name, linewidth=2.2, marker=marker, markevery=max(1, len(rates) // 12))
    ax.set(xlabel="rate", ylabel="share of places", xlim=(min(rates), max(rates)), ylim=(0, 1.02))
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, ncols=len(shares), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def parallel_branches(branches: Sequence[str], before: str, joined: str, after: str) -> Figure:
    """Branches side by side between one input and what joins them, from left to right: ASPP, or pyramid pooling."""
    fig, axes = new_figure(10.5, 0.66 * len(branches) + 0.4)
    ax: Axes = axes[0, 0]
    middle = (len(branches) - 1) / 2
    for row, text in enumerate(branches):
        _box(ax, 3.4, row, text, 3.0, "#f3e3c3" if "pool" in text or "bin" in text else "#cfe3f1")
        _arrow(ax, (1.2, middle), (1.9, row))
        _arrow(ax, (4.9, row), (5.7, middle))
    for x, text, width in ((0.3, before, 1.8), (6.7, joined, 2.0), (9.3, after, 2.2)):
        _box(ax, x, middle, text, width, "white")
    _arrow(ax, (7.7, middle), (8.2, middle))
    ax.set(xlim=(-0.8, 10.6), ylim=(len(branches) - 0.45, -0.6))
    ax.axis("off")
    return fig


def bin_grids(image: Float[Tensor, "3 H W"], bins: Mapping[str, Sequence[tuple[int, int]]], *, side: float = 2.9) -> Figure:
    """The bins of pyramid levels over an image: title -> (start, end) of each bin along an axis in pixels, the same for both axes.

    Where bins overlap, every second one has a dashed frame. A part of the image that no bin covers is hatched.
    """
    height, width = image.shape[1:]
    overlap = any(start < end for spans in bins.values() for (_, end), (start, _) in pairwise(spans))
    fig, axes = new_figure(side * len(bins), side + 0.45, len(bins))
    for ax, (title, spans) in zip(axes[0], bins.items(), strict=True):
        ax.imshow(as_picture(image), interpolation="nearest")
        for (i, (top, bottom)), (j, (left, right)) in product(enumerate(spans), repeat=2):
            dash = "--" if overlap and (i + j) % 2 else "-"
            for colour, line in (("white", 3.6), (SERIES[0][0], 1.8)):
                frame = {"fill": False, "edgecolor": colour, "linewidth": line, "linestyle": dash if colour != "white" else "-"}
                ax.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, **frame))
        end = max(right for _, right in spans)
        for corner, wide, high in (((end - 0.5, -0.5), width - end, height), ((-0.5, end - 0.5), end, height - end)):
            if min(wide, high) > 0:
                ax.add_patch(Rectangle(corner, wide, high, facecolor="white", edgecolor=INK, hatch="xxx", linewidth=0))
        ax.set_title(title)
        ax.set(xticks=[], yticks=[], xlim=(-1.5, width + 0.5), ylim=(height + 0.5, -1.5))
        ax.spines[:].set_visible(False)
    return fig


def bin_rows(rows: Mapping[str, Sequence[tuple[int, int]]], size: int) -> Figure:
    """Which of `size` units each bin reads along one axis: title -> (start, end) of each bin. Units that none reads are hatched."""
    fig, axes = new_figure(0.62 * (size + 6), 1.35 * len(rows) + 0.2)
    ax: Axes = axes[0, 0]
    for row, (title, spans) in enumerate(rows.items()):
        y = 2.6 * row
        for unit in range(size):
            read = any(start <= unit < end for start, end in spans)
            ax.add_patch(Rectangle((unit - 0.5, y - 0.4), 1, 0.8, facecolor="#cfe3f1" if read else "white", edgecolor=INK, linewidth=0.8))
            if not read:
                ax.add_patch(Rectangle((unit - 0.5, y - 0.4), 1, 0.8, fill=False, hatch="xxx", edgecolor="#8a8a8a", linewidth=0))
        for number, (start, end) in enumerate(spans):
            low = y + 0.75 + 0.35 * (number % 3)
            colour, _ = SERIES[number % 3]
            ax.plot([start - 0.4] * 2 + [end - 0.6] * 2, [low - 0.15, low, low, low - 0.15], color=colour, linewidth=2.4)
        ax.text(-0.9, y + 0.4, f"{title}\n{len(spans)} bins", ha="right", va="center", color=INK)
    ax.set(xlim=(-5.2, size - 0.3), ylim=(2.6 * len(rows) - 0.9, -0.7))
    ax.axis("off")
    return fig


def rate_curves(
    scores: Mapping[str, Sequence[float]], rates: Sequence[int], ylabel: str, together: Mapping[str, float] | None = None
) -> Figure:
    """One curve a scale of objects over the rate (name -> one score for each), its best rate circled.

    together: name -> score of a net with all of these rates but the last side by side, drawn beyond the last rate.
    Raises ValueError for more curves than colours.
    """
    if len(scores) > len(SERIES):
        raise ValueError(f"{len(scores)} curves, and colours for {len(SERIES)}: draw two figures")
    fig, axes = new_figure(9.0, 3.9)
    ax: Axes = axes[0, 0]
    for (name, values), (colour, _), dash, marker in zip(scores.items(), SERIES, DASHES, MARKERS, strict=False):
        ax.plot(range(len(rates)), values, dash, color=colour, label=name, marker=marker, linewidth=2.2, markersize=7)
        best = int(np.argmax(values))
        ax.plot(best, values[best], "o", markersize=16, markerfacecolor="none", markeredgecolor=colour, markeredgewidth=1.8)
        if together:
            ax.plot(len(rates), together[name], marker, color=colour, markersize=9)
    names = [str(rate) for rate in rates] + ([f"{', '.join(str(rate) for rate in rates[:-1])}\ntogether"] if together else [])
    ax.set_xticks(range(len(names)), names)
    ax.set(xlabel="rate", ylabel=ylabel, ylim=(0, None))
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, ncols=len(scores), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def gains(rows: Mapping[str, tuple[float, float]], xlabel: str) -> Figure:
    """An ablation as rows from the top down (name -> two scores), a dot and a diamond for the two, and the numbers beside them.

    xlabel: the two scores' names, with " / " between them. The axes show the scores' range, not 0, and say so.
    """
    fig, axes = new_figure(8.8, 0.42 * len(rows) + 1.2, 2)
    for ax, column, title in zip(axes[0], (0, 1), xlabel.split(" / "), strict=True):
        values = [row[column] for row in rows.values()]
        low, high = min(values), max(values)
        for place, value in enumerate(values):
            ax.axhline(place, color=GRID_GREY, linewidth=0.6, zorder=0)
            ax.plot(value, place, "oD"[column], color=SERIES[column][0], markersize=9)
            ax.annotate(f"{value:.2f}", (value, place), (8, 6), textcoords="offset points", va="center", fontsize=11, color=INK)
        ax.set(xlabel=title, ylim=(len(rows) - 0.5, -0.6))
        ax.set_xlim(low - 0.15 * (high - low), high + 0.3 * (high - low))
        ax.set_yticks(range(len(rows)), list(rows))
        ax.locator_params(axis="x", nbins=5)
        ax.tick_params(axis="y", length=0, labelleft=column == 0)
    fig.supxlabel("(the axes do not begin at 0)", fontsize=11)
    return fig


def close_lines(rows: Mapping[str, Sequence[float]], columns: Sequence[str], ylabel: str) -> Figure:
    """A table whose rows lie close together, a line for each (name -> one value a column); the axis shows their range, not 0.

    Raises ValueError for more lines than there are markers.
    """
    colours = [*(colour for colour, _ in SERIES), INK]
    if len(rows) > len(colours):
        raise ValueError(f"{len(rows)} lines, and markers for {len(colours)}: draw two figures")
    fig, axes = new_figure(9.5, 4.4)
    ax: Axes = axes[0, 0]
    for (name, values), colour, dash, marker in zip(rows.items(), colours, (*DASHES, "-"), (*MARKERS, "v"), strict=False):
        ax.plot(range(len(columns)), values, dash, color=colour, marker=marker, label=name, linewidth=2.2, markersize=8)
    ax.set_xticks(range(len(columns)), columns)
    ax.set(ylabel=f"{ylabel}\n(the axis does not begin at 0)")
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, ncols=len(rows), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def seed_dots(rows: Mapping[str, Sequence[float]], xlabel: str) -> Figure:
    """One row a net from the top down (name -> a score for each seed): a dot a seed, a bar at their mean, and the mean as a number."""
    fig, axes = new_figure(9.0, 0.42 * len(rows) + 0.9)
    ax: Axes = axes[0, 0]
    values = [value for row in rows.values() for value in row]
    for place, row in enumerate(rows.values()):
        mean = sum(row) / len(row)
        ax.plot(row, [place] * len(row), "o", color=SERIES[0][0], markersize=8, alpha=0.55, markeredgewidth=0)
        ax.plot([mean, mean], [place - 0.32, place + 0.32], color=INK, linewidth=2.4)
        ax.text(1.01, place, f"{mean:.2f}", transform=ax.get_yaxis_transform(), va="center", color=INK)
    room = 0.04 * (max(values) - min(values))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xlabel=xlabel, ylim=(len(rows) - 0.5, -0.5), xlim=(min(values) - room, max(values) + room))
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=GRID_GREY, linewidth=0.5)
    return fig


def _box(ax: Axes, x: float | int, y: float | int, text: str, width: float | int, face: str) -> None:
    half = 0.36 if "\n" not in text else 0.55
    corner, hatch = (x - width / 2, y - half), "..." if face == "#f3e3c3" else ""
    ax.add_patch(Rectangle(corner, width, 2 * half, facecolor=face, edgecolor=INK, hatch=hatch))
    box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "linewidth": 0, "alpha": 0.85}
    ax.text(x, y, text, ha="center", va="center", fontsize=13, color=INK, bbox=box)


def _arrow(ax: Axes, start: tuple[float | int, float | int], end: tuple[float | int, float | int]) -> None:
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="->", mutation_scale=10, color=INK, shrinkA=0, shrinkB=0))
