"""Training at scale: learning rates over a run, the memory that a step holds, and the time that so many GPUs need."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edu_seg.figures.base import GRID_GREY, INK, SERIES, new_figure

MARKERS, DASHES = "osD^", ("-", "--", "-.", ":")


def rate_schedules(curves: Mapping[str, Sequence[float]], x: Sequence[float], ylabel: str = "learning rate, of the first") -> Figure:
    """Learning rates over the run (name -> one factor for each x, the part of the run that is done).

    Raises ValueError for more curves than there are colours.
    """
    _check_colours(curves, "curves")
    fig, axes = new_figure(8.6, 3.4)
    ax: Axes = axes[0, 0]
    for (name, values), (colour, _), dash, marker in zip(curves.items(), SERIES, DASHES, MARKERS, strict=False):
        ax.plot(x, values, dash, color=colour, label=name, linewidth=2.2, marker=marker, markevery=max(1, len(x) // 10))
    ax.set(xlabel="part of the run that is done", ylabel=ylabel, xlim=(0, 1), ylim=(0, 1.05))
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, ncols=len(curves), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def memory_curves(
    series: Mapping[str, Sequence[float]], crops: Sequence[int], limits: Mapping[str, float], xlabel: str = "crop (pixels)"
) -> Figure:
    """GiB over the crop's side (name -> one value for each), and what devices have (name -> GiB) as dotted lines across.

    Raises ValueError for more curves than there are colours.
    """
    _check_colours(series, "curves")
    fig, axes = new_figure(9.4, 4.2)
    ax: Axes = axes[0, 0]
    for (name, values), (colour, _), dash, marker in zip(series.items(), SERIES, DASHES, MARKERS, strict=False):
        ax.plot(crops, values, dash, color=colour, label=name, linewidth=2.2, marker=marker, markersize=7)
    for name, size in limits.items():
        ax.axhline(size, color=INK, linewidth=0.9, linestyle=(0, (1, 2)))
        ax.annotate(name, (crops[0], size), (0, 4), textcoords="offset points", fontsize=11, color=INK)
    ax.set(xlabel=xlabel, ylabel="GiB a step holds", xlim=(crops[0] - 10, crops[-1] + 10), ylim=(0, None))
    ax.set_xticks(crops)
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, ncols=len(series), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def machine_hours(hours: Mapping[str, Sequence[float]], gpus: Sequence[int]) -> Figure:
    """Hours over the number of GPUs (name -> one value for each), on logarithmic axes: halving the time is a straight line down.

    Raises ValueError for more curves than there are colours.
    """
    _check_colours(hours, "curves")
    fig, axes = new_figure(8.6, 3.8)
    ax: Axes = axes[0, 0]
    for (name, values), (colour, _), dash, marker in zip(hours.items(), SERIES, DASHES, MARKERS, strict=False):
        ax.plot(gpus, values, dash, color=colour, label=name, linewidth=2.2, marker=marker, markersize=7)
    ax.set(xlabel="GPUs", ylabel="hours", xscale="log", yscale="log")
    ax.set_xticks(gpus, [str(number) for number in gpus], minor=False)
    ax.minorticks_off()
    ticks = [
        tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if _lowest(hours) / 1.5 <= tick <= 1.5 * _highest(hours)
    ]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.grid(color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, ncols=len(hours), loc="lower center", bbox_to_anchor=(0.5, 1))
    return fig


def _lowest(series: Mapping[str, Sequence[float]]) -> float:
    return min(min(values) for values in series.values())


def _highest(series: Mapping[str, Sequence[float]]) -> float:
    return max(max(values) for values in series.values())


def _check_colours(series: Mapping[str, object], what: str) -> None:
    if len(series) > len(SERIES):
        raise ValueError(f"{len(series)} {what}, and colours for {len(SERIES)}: draw two figures")
