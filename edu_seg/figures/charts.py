"""Bars, lines and small tables of numbers."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from edu_seg.figures.base import GRID_GREY, INK, SERIES, new_figure


def bars(groups: Mapping[str, Sequence[float]], labels: Sequence[str], ylabel: str, *, width: float = 8.0) -> Figure:
    """Grouped bars, one colour and hatch for each entry of `groups` (name -> one value a label), with the values written above.

    Raises ValueError for more groups than there are colours.
    """
    if len(groups) > len(SERIES):
        raise ValueError(f"{len(groups)} groups of bars, and colours for {len(SERIES)}: draw two figures")
    fig, axes = new_figure(width, 3.2)
    ax: Axes = axes[0, 0]
    step = 0.8 / len(groups)
    for number, ((name, values), (colour, hatch)) in enumerate(zip(groups.items(), SERIES, strict=False)):
        places = np.arange(len(labels)) + (number - (len(groups) - 1) / 2) * step
        drawn = ax.bar(places, values, step * 0.92, label=name, color=colour, hatch=hatch, edgecolor="white")
        ax.bar_label(drawn, fmt="%.2f", fontsize=10, padding=2)
    ax.set_xticks(range(len(labels)), labels)
    ax.set(ylabel=ylabel, ylim=(0, 1.12 * max(max(values) for values in groups.values())))
    ax.legend(frameon=False, ncols=len(groups), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def lines(
    series: Mapping[str, Sequence[float | int]],
    x: Sequence[float | int] | Sequence[str],
    xlabel: str,
    ylabel: str,
    *,
    named_ends: bool = False,
) -> Figure:
    """Lines over x (numbers, or names), one colour, marker and dash for each entry of `series` (name -> one value for each x).

    Names of x stand slanted, or upright where one has a line break. named_ends: write each line's name at its end, in place of a legend.
    Raises ValueError for more lines than there are colours.
    """
    if len(series) > len(SERIES):
        raise ValueError(f"{len(series)} lines, and colours for {len(SERIES)}: draw two figures")
    fig, axes = new_figure(10.0, 3.9)
    ax: Axes = axes[0, 0]
    named = isinstance(x[0], str)
    places = list(range(len(x))) if named else list(x)
    for (name, values), (colour, _), marker, dash in zip(series.items(), SERIES, "osD^", ("-", "--", "-.", ":"), strict=False):
        ax.plot(places, values, dash, marker=marker, color=colour, label=name, linewidth=2.2, markersize=7)
        end = f"{values[-1]:.0f} · {name}" if named_ends else f"{values[-1]:.0f}"
        ax.annotate(end, (places[-1], values[-1]), (9, 0), textcoords="offset points", va="center", color=INK)
    slanted = named and not any("\n" in str(name) for name in x)
    ax.set_xticks(places, [str(value) for value in x], rotation=45 if slanted else 0, ha="right" if slanted else "center")
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    if not named_ends:
        ax.legend(frameon=False, loc="upper left")
    return fig


def heat(kernels: Mapping[str, Float[Tensor, "k k"]], *, side: float = 2.6) -> Figure:
    """Small kernels side by side (title -> kernel), each number written into its square; one scale of colour for all."""
    fig, axes = new_figure(side * len(kernels), side + 0.4, len(kernels))
    largest = max(float(kernel.abs().max()) for kernel in kernels.values())
    for ax, (title, kernel) in zip(axes[0], kernels.items(), strict=True):
        ax.imshow(kernel.numpy(), cmap="PuOr", vmin=-2.5 * largest, vmax=2.5 * largest)
        for (i, j), value in np.ndenumerate(kernel.numpy()):
            ax.text(j, i, f"{round(float(value), 2) + 0.0:.2f}", ha="center", va="center", fontsize=10)
        ax.set_title(title)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return fig
