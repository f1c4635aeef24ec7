"""Stacks of dilated layers: what they read along one axis, which patterns they pass, and where networks put them."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from edu_seg.figures.base import GRID_GREY, INK, SERIES, new_figure

Level = tuple[str, str, bool]
"""(name, what stands in its box, whether a shortcut leads around it)"""
READ = "#cfe3f1"


def path_rows(schedules: Mapping[str, Int64[Tensor, " window"]]) -> Figure:
    """By how many paths each input reaches the output above its middle, along one axis: a row a schedule (title -> path counts).

    A count stands in its square; a hole is white and carries a cross. Rows are as wide as their windows, with their middles aligned.
    """
    reach = max(len(counts) for counts in schedules.values()) // 2
    fig, axes = new_figure(11.0, 0.55 * len(schedules) + 0.5)
    ax: Axes = axes[0, 0]
    for row, counts in enumerate(schedules.values()):
        for place, count in enumerate(counts.tolist(), start=-(len(counts) // 2)):
            face = READ if count else "white"
            ax.add_patch(Rectangle((place - 0.5, row - 0.4), 1, 0.8, facecolor=face, edgecolor=INK, linewidth=0.8))
            ax.text(place, row, str(count) if count else "×", ha="center", va="center", fontsize=10, color=INK)
    ax.set_yticks(range(len(schedules)), list(schedules))
    ax.set(xlim=(-reach - 0.6, reach + 0.6), ylim=(len(schedules) - 0.5, -0.5), xlabel="input, from the output's place")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return fig


def responses(curves: Mapping[str, Float64[Tensor, " f"]], frequencies: Float64[Tensor, " f"]) -> Figure:
    """Gains of stacks over the frequency, from a constant (0) to the finest pattern, a chessboard's row (π radians a unit).

    Raises ValueError for more curves than there are colours.
    """
    if len(curves) > len(SERIES):
        raise ValueError(f"{len(curves)} curves, and colours for {len(SERIES)}: draw two figures")
    fig, axes = new_figure(10.0, 3.7)
    ax: Axes = axes[0, 0]
    for (name, gains), (colour, _), dash, marker in zip(curves.items(), SERIES, ("-", "--", "-.", ":"), "osD^", strict=False):
        every = max(1, len(gains) // 12)
        ax.plot(frequencies.numpy(), gains.numpy(), dash, color=colour, label=name, linewidth=2.2, marker=marker, markevery=every)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xticks(np.linspace(0, np.pi, 5), ["0\nconstant", "π/4\n8", "π/2\n4", "3π/4\n2.7", "π\n2"])
    ax.set(xlabel="frequency (radians a unit), and below it the period in units", ylabel="gain", xlim=(0, np.pi))
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, ncols=len(curves), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def level_rows(rows: Mapping[str, Sequence[Level]]) -> Figure:
    """Networks as rows of boxes, one a level, from left to right (title -> levels); an arrow around a box is its shortcut.

    A level is (name, text, shortcut); one whose text is empty leaves a gap, so that levels of the same kind stand below each other.
    """
    longest = max(len(levels) for levels in rows.values())
    fig, axes = new_figure(11.0, 1.15 * len(rows))
    ax: Axes = axes[0, 0]
    for row, levels in enumerate(rows.values()):
        for place, (name, text, shortcut) in enumerate(levels):
            if not text:
                continue
            face = READ if shortcut else "#f3e3c3"
            ax.add_patch(Rectangle((place - 0.4, row - 0.25), 0.8, 0.62, facecolor=face, edgecolor=INK, hatch="" if shortcut else "..."))
            box = {"boxstyle": "round,pad=0.1", "facecolor": "white", "linewidth": 0, "alpha": 0.85}
            ax.text(place, row + 0.06, f"{name}\n{text}", ha="center", va="center", fontsize=10, color=INK, bbox=box)
            if shortcut:
                ends = (place - 0.36, row - 0.25), (place + 0.36, row - 0.25)
                ax.add_patch(FancyArrowPatch(*ends, connectionstyle="arc3,rad=-0.3", arrowstyle="->", mutation_scale=9, color=INK))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(xticks=[], xlim=(-0.6, longest - 0.4), ylim=(len(rows) - 0.5, -0.6))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return fig
