"""The papers' leaderboards (`leaderboards.toml`), and charts of them: scores by class, the gap of two rows, a line of papers as steps."""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from edu_seg.figures.base import GRID_GREY, INK, SERIES, new_figure

ORDERS = ("score", "year")


@dataclass(frozen=True)
class Row:
    """A method's line, in per cent, with its paper's year and what that brought.

    more: what else than the set itself it was trained on ("": nothing). iou: a value a class, or none.
    """

    name: str
    mean_iou: float
    more: str = ""
    iou: tuple[float, ...] = ()
    pixel_accuracy: float | None = None
    mean_accuracy: float | None = None
    frequency_weighted_iou: float | None = None
    year: int = 0
    brought: str = ""

    @property
    def title(self) -> str:
        return f"{self.name} + {self.more}" if self.more else self.name

    def score(self, at: int | None) -> float:
        """The IU of the class at that place; None: the mean."""
        return self.mean_iou if at is None else self.iou[at]


@dataclass(frozen=True)
class Board:
    """A table of a paper: what was scored, where it is printed, its classes (or none) and its lines, in the printed order."""

    id: str
    title: str
    source: str
    rows: tuple[Row, ...]
    classes: tuple[str, ...] = ()

    def __getitem__(self, title: str) -> Row:
        """The line of that title ("PSPNet", "PSPNet + COCO"). Raises KeyError that lists them."""
        found = {row.title: row for row in self.rows}
        if title not in found:
            raise KeyError(f"no line {title!r} in {self.id}: there are {', '.join(found)}")
        return found[title]

    def place(self, measure: str) -> int | None:
        """A class's place; None for "", the mean. Raises ValueError that lists the classes."""
        if measure and measure not in self.classes:
            raise ValueError(f"{self.id} has no score for {measure!r}: there are {', '.join(self.classes) or 'means only'}")
        return self.classes.index(measure) if measure else None

    def ordered(self, order: str, measure: str = "") -> list[Row]:
        """The lines by "score" or by "year", the lowest or earliest first; measure: a class, or "" for the mean. Raises ValueError."""
        if order not in ORDERS:
            raise ValueError(f"the order is one of {', '.join(ORDERS)}, not {order!r}")
        at = self.place(measure)
        return sorted(self.rows, key=lambda row: (row.year if order == "year" else 0, row.score(at)))

    def gaps(self, first: str, second: str) -> dict[str, float]:
        """What `second` has more than `first`, by class, the largest gain first."""
        pairs = zip(self.classes, self[first].iou, self[second].iou, strict=True)
        return dict(sorted(((name, round(b - a, 1)) for name, a, b in pairs), key=lambda gap: -gap[1]))


@cache
def leaderboards() -> dict[str, Board]:
    """All boards by id. Raises ValueError where a line has not a value for each class of its board, KeyError for an unknown system."""
    read = tomllib.loads(files("edu_seg.figures").joinpath("leaderboards.toml").read_text("utf-8"))
    boards = [_board(entry, read["systems"]) for entry in read["board"]]
    for board in boards:
        for row in board.rows:
            if len(row.iou) != len(board.classes):
                raise ValueError(f"{board.id}, {row.title}: {len(row.iou)} values for {len(board.classes)} classes")
    return {board.id: board for board in boards}


def _board(entry: dict[str, Any], systems: dict[str, list[Any]]) -> Board:
    facts = [dict(zip(("year", "brought"), systems[row["name"]], strict=True)) for row in entry["row"]]
    rows = tuple(Row(**row | {"iou": tuple(row.get("iou", ()))} | fact) for row, fact in zip(entry["row"], facts, strict=True))
    return Board(entry["id"], entry["title"], entry["source"], rows, tuple(entry.get("classes", ())))


def class_heat(board: Board, titles: Sequence[str] | None = None, *, low: float | int = 20) -> Figure:
    """A board as a map of numbers: a line a method, a column a class, and the mean. Darker is lower, in eight steps from `low` to 100.

    titles: the lines to show, in this order; None: all. Raises ValueError for a board without classes, KeyError for an unknown line.
    """
    rows = board.rows if titles is None else [board[title] for title in titles]
    if not board.classes:
        raise ValueError(f"{board.id} has no scores by class")
    values = np.array([[*row.iou, row.mean_iou] for row in rows])
    fig, axes = new_figure(11.2, 0.31 * len(rows) + 1.5)
    ax: Axes = axes[0, 0]
    ax.imshow(values, cmap=mpl.colormaps["cividis"].resampled(8), vmin=low, vmax=100, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        light = value < low + 0.5 * (100 - low)
        ax.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=10, color="white" if light else INK)
    ax.axvline(len(board.classes) - 0.5, color="white", linewidth=5)
    ax.set_xticks(range(len(board.classes) + 1), [*board.classes, "mean"], rotation=50, ha="left", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), [row.title for row in rows])
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    return fig


def board_bars(board: Board, order: str = "score", measure: str = "") -> Figure:
    """A board's lines as bars, the lowest or earliest on top; hatched where there were more data than the set itself."""
    rows, at = board.ordered(order, measure), board.place(measure)
    fig, axes = new_figure(8.6, 0.27 * len(rows) + 1.0)
    ax: Axes = axes[0, 0]
    for place, row in enumerate(rows):
        colour, hatch = SERIES[bool(row.more)]
        ax.barh(place, row.score(at), 0.72, color=colour, hatch=hatch, edgecolor="white")
        ax.annotate(f"{row.score(at):.1f}", (row.score(at), place), (4, 0), textcoords="offset points", va="center", fontsize=11, color=INK)
    ax.set_yticks(range(len(rows)), [f"{row.title}, {row.year}" for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=f"{measure or 'mean'} IU, {board.title} (%)", xlim=(0, 100), ylim=(len(rows) - 0.4, -0.6))
    return fig


def class_gaps(board: Board, first: str, second: str) -> Figure:
    """What the line `second` has more than `first` in each class, the largest gain on top; losses are hatched."""
    gaps = board.gaps(first, second)
    fig, axes = new_figure(8.6, 0.3 * len(gaps) + 1.0)
    ax: Axes = axes[0, 0]
    for place, gap in enumerate(gaps.values()):
        colour, hatch = SERIES[gap < 0]
        ax.barh(place, gap, 0.72, color=colour, hatch=hatch, edgecolor="white")
        ax.annotate(f"{gap:+.1f}", (max(gap, 0), place), (4, 0), textcoords="offset points", va="center", fontsize=11, color=INK)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(range(len(gaps)), list(gaps))
    ax.tick_params(axis="y", length=0)
    ax.set(xlabel=f"points of IU that {second} has more than {first}", ylim=(len(gaps) - 0.4, -0.6))
    ax.set_xlim(min(0, 1.25 * min(gaps.values())), 1.12 * max(0.0, *gaps.values()))
    return fig


def waterfall(steps: Sequence[tuple[str, float, bool]], ylabel: str, more_data: str = "") -> Figure:
    """Scores as steps: (name, score, whether it had more data). A bar reaches from the score before to its own, with the gain above it.

    Bars of those with more data are hatched, and `more_data` says which data. The first bar begins at the axis, which says where that is.
    """
    low = math.floor(min(score for _, score, _ in steps) / 10) * 10 - 10
    fig, axes = new_figure(9.6, 4.3)
    ax: Axes = axes[0, 0]
    before = float(low)
    for place, (_, score, more) in enumerate(steps):
        colour, hatch = SERIES[1] if more else SERIES[0]
        height = math.copysign(max(abs(score - before), 0.15), score - before)
        ax.bar(place, height, 0.66, score - height, color=colour, hatch=hatch, edgecolor="white")
        if place:
            ax.plot([place - 1 + 0.33, place + 0.33], [before, before], color=INK, linewidth=0.8)
        gain = "" if place == 0 else f"\n{score - before:+.1f}"
        ax.annotate(
            f"{score:.1f}{gain}", (place, max(before, score)), (0, 4), textcoords="offset points", ha="center", fontsize=11, color=INK
        )
        before = float(score)
    ax.set_xticks(range(len(steps)), [name for name, _, _ in steps])
    ax.set(ylabel=f"{ylabel}\n(the axis begins at {low})", ylim=(low, max(score for _, score, _ in steps) + 0.16 * (before - low)))
    ax.tick_params(axis="x", length=0)
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.set_axisbelow(True)
    if more_data:
        colour, hatch = SERIES[1]
        ax.legend(handles=[Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=more_data)], frameon=False, loc="upper left")
    return fig
