"""From coarse to fine: skips, tents, and where the units of several maps sit."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edu_seg.figures.base import GRID_GREY, INK, SERIES, new_figure
from edu_seg.geometry import Grid


def skips_diagram() -> Figure:
    """FCN-32s, 16s and 8s: scores of three maps, added from coarse to fine, and where each net leaves for the image's size."""
    fig, axes = new_figure(11, 4.2)
    ax: Axes = axes[0, 0]
    ax.set(xlim=(-0.3, 10.7), ylim=(-0.4, 4.3))
    ax.axis("off")

    def box(x: float, y: float, text: str, colour: str) -> None:
        ax.text(
            x, y, text, ha="center", va="center", fontsize=12, bbox={"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": INK}
        )

    def arrow(start: tuple[float, float], end: tuple[float, float], text: str = "", gap: int = 24) -> None:
        ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkA": 22, "shrinkB": gap})
        ax.text((start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.16, text, ha="center", fontsize=12)

    trunk = ["image", "pool1\n1/2", "pool2\n1/4", "pool3\n1/8", "pool4\n1/16", "pool5\n1/32", "fc7\n1/32"]
    for i, text in enumerate(trunk):
        box(1.35 * i + 0.3, 3.8, text, "#dcebf7")
        if i:
            arrow((1.35 * i - 1.05, 3.8), (1.35 * i + 0.3, 3.8))
    for column, y, name, factor in ((6, 2.4, "FCN-32s", 32), (4, 1.3, "FCN-16s", 16), (3, 0.2, "FCN-8s", 8)):
        x = 1.35 * column + 0.3
        arrow((x, 3.8), (x, y))
        box(x, y, "scores" if column == 6 else "scores +", "#fdf0d0")
        arrow((x, y), (10.1, y), f"× {factor}" if column == 6 else "", gap=38)
        if column < 6:
            ax.text(9.3, y + 0.16, f"× {factor}", ha="center", fontsize=12)
        box(10.1, y, name, "#d9f0e3")
    arrow((8.4, 2.4), (5.7, 1.3), "× 2")
    arrow((5.7, 1.3), (4.35, 0.2), "× 2")
    return fig


def tents(heights: Sequence[float], stride: int) -> Figure:
    """Bilinear upsampling along one axis: each unit lays down a tent of twice the stride, and where tents overlap they add."""
    fig, axes = new_figure(9, 2.9)
    ax: Axes = axes[0, 0]
    pixels = np.arange(stride * (len(heights) + 1))
    tent = 1 - np.abs(np.arange(2 * stride) - (stride - 0.5)) / stride
    total = np.zeros(len(pixels))
    for i, height in enumerate(heights):
        span = pixels[i * stride : (i + 2) * stride]
        total[span] += height * tent
        ax.fill_between(span, height * tent, color=SERIES[i % 2][0], alpha=0.3, hatch=SERIES[i % 2][1], edgecolor="white", linewidth=0)
        ax.plot([span.mean()] * 2, [0, height], color=GRID_GREY, linewidth=1, zorder=1)
    ax.plot(pixels, total, color=INK, linewidth=2.2, marker="o", markersize=3.5, label="their sum, one value a pixel")
    centres = [(i + 1) * stride - 0.5 for i in range(len(heights))]
    ax.scatter(centres, heights, s=75, color="#d55e00", zorder=4, marker="D", label="coarse scores")
    ax.set(xlabel="pixel of the upsampled map", ylabel="score", ylim=(0, 1.25 * max(heights)))
    ax.legend(frameon=False, ncols=2, loc="upper right")
    return fig


def grids(rows: Mapping[str, tuple[Grid, int]], extent: tuple[int, int], marks: Mapping[str, int] | None = None) -> Figure:
    """Where the units of several maps sit along one axis of the image: a row a map (name -> its grid and number of units).

    extent: the first and last pixel shown; the image itself is the row of a `Grid()`. marks: for a row, the unit to be ringed.
    """
    marks = marks or {}
    fig, axes = new_figure(10.0, 0.55 * len(rows) + 0.9)
    ax: Axes = axes[0, 0]
    for y, (name, (grid, units)) in enumerate(reversed(list(rows.items()))):
        centres = np.array([float(grid.centre + i * grid.stride) for i in range(units)])
        seen = (centres >= extent[0]) & (centres <= extent[1])
        size = float(np.clip(14 * float(grid.stride) ** 0.55, 10, 95))
        ax.scatter(centres[seen], np.full(int(seen.sum()), y), s=size, color=SERIES[0][0], zorder=3, edgecolor="white", linewidth=0.4)
        if name in marks:
            x = float(grid.centre + marks[name] * grid.stride)
            ax.scatter([x], [y], s=230, facecolor="none", edgecolor="#d55e00", linewidth=2.2, zorder=4)
            ax.annotate(f"unit {marks[name]}", (x, y), (14, 9), textcoords="offset points", fontsize=10, color="#a04000")
    if marks:
        places = [float(rows[name][0].centre + unit * rows[name][0].stride) for name, unit in marks.items()]
        ax.vlines(places, 0, len(rows) - 1, color="#d55e00", linewidth=1.2, linestyle="--", zorder=2)
    ax.axvspan(-0.5, extent[1] + 0.5, color="#f0e442", alpha=0.25, zorder=0)
    ax.set_yticks(range(len(rows)), list(rows)[::-1])
    ax.set(
        xlim=(extent[0] - 1, extent[1] + 1), ylim=(-0.6, len(rows) - 0.2), xlabel="pixel of the image (shaded); left of 0 lies the padding"
    )
    ax.grid(axis="x", color=GRID_GREY, linewidth=0.5)
    return fig
