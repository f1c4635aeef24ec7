"""The numbers of a chart as a table, read from the drawn figure: for readers who do not see the picture, or want the value itself."""

import html
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PolyCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator

MAX_ROWS = 12  # of a curve; a longer one is thinned evenly, its first and last point kept
WRITTEN_CELLS = 200  # at most, in a map whose cells carry their numbers

Entry = tuple[str | float, str, str]
"""Row (a name, or the number on x), column, value as it is written."""


def fold(fig: Figure) -> str:
    """HTML, on one line: a fold with a table for each chart in the figure; empty where the figure is a drawing without values."""
    found = [table for ax in fig.axes if (table := axes_table(ax))]
    return f'<details class="numbers"><summary>The numbers</summary>{"".join(found)}</details>' if found else ""


def axes_table(ax: Axes) -> str:
    """The table of all that has a value in the axes; empty if nothing has."""
    cells: dict[str | float, dict[str, list[str]]] = {}
    for row, column, value in [*line_entries(ax), *bar_entries(ax), *area_entries(ax), *cell_entries(ax)]:
        cells.setdefault(row, {}).setdefault(column, []).append(value)
    if not cells:
        return ""
    columns = list(dict.fromkeys(column for found in cells.values() for column in found))
    rows = list(cells) if any(isinstance(row, str) for row in cells) else thinned(sorted(cells))
    lines = [tag("th", corner(ax, columns)) + "".join(tag("th", column, 'scope="col"') for column in columns)]
    for row in rows:
        name = row if isinstance(row, str) else f"{row:.4g}"
        lines.append(tag("th", name, 'scope="row"') + "".join(tag("td", ", ".join(cells[row].get(column, []))) for column in columns))
    points = f" ({len(rows)} of {len(cells)} points)" if len(rows) < len(cells) else ""
    return f"<table>{caption(ax, columns, points)}{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def corner(ax: Axes, columns: Sequence[str]) -> str:
    """What the rows are: x, unless they have names on y or x is a column."""
    return "" if has_rows_on_y(ax) or ax.images or ax.get_xlabel() in columns else ax.get_xlabel()


def caption(ax: Axes, columns: Sequence[str], points: str) -> str:
    title = ax.get_title() or (ax.get_xlabel() if has_rows_on_y(ax) else ax.get_ylabel())
    return tag("caption", title + points) if title and (points or title not in columns) else ""


def has_rows_on_y(ax: Axes) -> bool:
    return bool(tick_names(ax.yaxis)) and not tick_names(ax.xaxis)


def line_entries(ax: Axes) -> Iterator[Entry]:
    """Of curves; of dots beside names on y; of lines across, with one value; and of curves whose every point has its own name."""
    across, down = tick_names(ax.xaxis), tick_names(ax.yaxis)
    named = {tuple(map(float, text.xy)): text.get_text() for text in ax.texts if isinstance(text, Annotation)}
    for line in ax.get_lines():
        name, points = str(line.get_label()), np.asarray(line.get_xydata(), dtype=float)
        if line.get_linestyle() == "None" and len(set(points[:, 1])) == 1 and points[0, 1] in down:
            yield from ((down[y], ax.get_xlabel() if name.startswith("_") else name, f"{x:.4g}") for x, y in points)
        elif name.startswith("_"):
            continue
        elif line.get_transform() != ax.transData:
            yield name, value_label(ax), f"{points[0, 1]:.4g}"
        elif all(tuple(point) in named for point in points):
            for x, y in points:
                yield from (
                    (f"{name} {named[x, y]}", label, f"{value:.4g}") for label, value in ((ax.get_xlabel(), x), (value_label(ax), y))
                )
        else:
            names = across if across.keys() >= set(points[:, 0]) else {}
            yield from ((names[x] if x in names else float(x), name, f"{y:.4g}") for x, y in points if np.isfinite(y))


def bar_entries(ax: Axes) -> Iterator[Entry]:
    """A bar's value is where it ends, also where it stands on another one."""
    for bars in (container for container in ax.containers if isinstance(container, BarContainer)):
        flat, name = bars.orientation == "horizontal", str(bars.get_label())
        axis, label = (ax.yaxis, ax.get_xlabel()) if flat else (ax.xaxis, value_label(ax))
        names = tick_names(axis)
        for bar in bars.patches:
            place = round((bar.get_y() + bar.get_height() / 2) if flat else (bar.get_x() + bar.get_width() / 2))
            end = (bar.get_x() + bar.get_width()) if flat else (bar.get_y() + bar.get_height())
            yield names.get(place, place), label if name.startswith("_") else name, f"{end:.4g}"


def area_entries(ax: Axes) -> Iterator[Entry]:
    """Of filled areas that have names: what they sum up to."""
    for area in ax.collections:
        name = str(area.get_label())
        if isinstance(area, PolyCollection) and not name.startswith("_"):
            x, y = np.asarray(area.get_paths()[0].vertices, dtype=float).T
            enclosed = abs(np.sum(x * np.roll(y, 1) - np.roll(x, 1) * y)) / 2
            yield name, f"{value_label(ax)}, summed", f"{enclosed:.4g}"


def cell_entries(ax: Axes) -> Iterator[Entry]:
    """Of a small map with numbers in its cells: these, as they are written; rows and columns without a name are counted from 0."""
    if len(ax.images) != 1 or np.prod(ax.images[0].get_size()) > WRITTEN_CELLS:
        return
    written = {text.get_position(): text.get_text() for text in ax.texts if any(map(str.isdigit, text.get_text()))}
    height, width = ax.images[0].get_size()
    cells = [(i, j) for i in range(height) for j in range(width)]
    if any((j, i) in written for i, j in cells):
        across, down = tick_names(ax.xaxis), tick_names(ax.yaxis)
        yield from ((down.get(i, f"{i}"), across.get(j, f"{j}"), written.get((j, i), "")) for i, j in cells)


def value_label(ax: Axes) -> str:
    """Of the y axis; axes side by side share that of the first."""
    return ax.get_ylabel() or ax.figure.axes[0].get_ylabel()


def tick_names(axis: Axis) -> dict[float, str]:
    """Place -> name, of an axis whose ticks were given names that are not just their places."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return {}
    places = [float(place) for place in axis.get_ticklocs()]
    names = dict(zip(places, axis.get_major_formatter().format_ticks(places), strict=True))
    return {} if all(name == f"{place:g}" for place, name in names.items()) else names


def thinned(places: list) -> list:
    """At most MAX_ROWS of them, evenly chosen, with the first and the last."""
    if len(places) <= MAX_ROWS:
        return places
    return [places[round(i)] for i in np.linspace(0, len(places) - 1, MAX_ROWS)]


def tag(name: str, text: str, attributes: str = "") -> str:
    return f"<{name} {attributes}>".replace(" >", ">") + html.escape(" ".join(text.split()), quote=False) + f"</{name}>"
