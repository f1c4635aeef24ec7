"""Convolutions and their transposes: the matrix, the windows, the units that no window covers, and where kernels overlap."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy import ndarray
from torch import Tensor

from edu_seg.figures.base import INK, new_figure
from edu_seg.geometry import output_size, transposed_output_size
from edu_seg.upsampling import overlap_count

INPUT, OUTPUT, FIRST, LAST, EMPTY = "#9ecae1", "#a8ddb5", "#d55e00", "#5a2d82", "#b0b0b0"
"""Units that are read, units that are made, the first window, the last one, and the lines around zeros."""

Case = tuple[int, int, int, int, int]
"""(size, kernel_size, stride, padding, dilation) of a convolution."""


def matrices(parts: Mapping[str, tuple[Float[Tensor, "rows columns"], int, int]], *, cell: float = 0.33) -> Figure:
    """Sparse matrices with their numbers side by side; zeros are left empty.

    parts: title -> (matrix, rows to a block, columns to a block). Lines part the blocks: one is one row of the unflattened map.
    """
    widths = [matrix.shape[1] for matrix, _, _ in parts.values()]
    height = max(matrix.shape[0] for matrix, _, _ in parts.values())
    fig, axes = new_figure(cell * (sum(widths) + 2 * len(widths)), cell * (height + 3), len(parts), width_ratios=widths)
    fig.set_layout_engine("constrained", h_pad=0.12)  # a raised letter in a title is higher than it says
    for ax, (title, (matrix, rows, columns)) in zip(axes[0], parts.items(), strict=True):
        numbers = matrix.numpy()
        shown = np.ma.masked_equal(numbers, 0)
        ax.imshow(shown, cmap="YlGnBu", vmin=0, vmax=2.2 * np.abs(numbers).max())
        for (i, j), value in np.ndenumerate(numbers):
            if value:
                ax.text(j, i, f"{value:g}", ha="center", va="center", fontsize=11, color=INK)
        m, n = numbers.shape
        for step_down, step_right, line in ((1, 1, 0.4), (rows, columns, 1.6)):
            ax.hlines(np.arange(0, m + 1, step_down) - 0.5, -0.5, n - 0.5, color=INK if line > 1 else "#cccccc", linewidth=line)
            ax.vlines(np.arange(0, n + 1, step_right) - 0.5, -0.5, m - 0.5, color=INK if line > 1 else "#cccccc", linewidth=line)
        ax.set_title(title)
        _bare(ax, (-0.6, n - 0.4), (m - 0.4, -0.6))
    return fig


def arithmetic(cases: Mapping[str, Case], *, transposed: bool = False) -> Figure:
    """Convolutions on square maps, as small pictures: input and padding, the first and the last window with their taps, and the output.

    cases: title -> (size, kernel_size, stride, padding, dilation) of a convolution. transposed: the way back, as the convolution of
    stride 1 that makes the same numbers: zeros between the units and around them. Units that no window covers are hatched.
    Raises ValueError for a transposed case whose padding is so large that units would have to be cut off.
    """
    columns = min(4, len(cases))
    rows = -(-len(cases) // columns)
    fig, axes = new_figure(2.9 * columns, 2.35 * rows, columns, rows)
    for ax in axes.flat:
        ax.axis("off")
    for ax, (title, case) in zip(axes.flat, cases.items(), strict=False):
        size, kernel_size, stride, padding, dilation = case
        made = output_size(*case)
        if transposed:
            _draw_case(ax, _stretched(case), kernel_size, 1, dilation, size)
            ax.set_title(f"{title}\n{made} → {size}", fontsize=11)
        else:
            units = np.zeros((size + 2 * padding,) * 2, bool)
            units[padding : padding + size, padding : padding + size] = True
            _draw_case(ax, units, kernel_size, stride, dilation, made)
            ax.set_title(f"{title}\n{size} → {made}", fontsize=11)
    return fig


def laid_down(values: Sequence[int], kernel: Sequence[int], stride: int, padding: int = 0, output_padding: int = 0) -> Figure:
    """A transposed convolution along one axis: each unit lays the kernel down times its value, and the columns are added up.

    What the padding cuts off is hatched, and in no sum.
    """
    made = transposed_output_size(len(values), len(kernel), stride, padding, 1, output_padding)
    span = (len(values) - 1) * stride + len(kernel)
    fig, axes = new_figure(0.62 * (max(span, padding + made) + 5), 0.56 * (len(values) + 2) + 0.3)
    ax: Axes = axes[0, 0]
    inside = range(padding, padding + made)
    for i, value in enumerate(values):
        ax.text(-0.8, i, f"{value} × {list(kernel)}", ha="right", va="center", color=INK)
        for tap, weight in enumerate(kernel):
            _square(ax, i * stride + tap, i, f"{value * weight}", INPUT, cut=i * stride + tap not in inside)
    ax.text(-0.8, len(values) + 0.4, "sum", ha="right", va="center", color=INK)
    for x in inside:
        terms = [value * kernel[x - i * stride] for i, value in enumerate(values) if 0 <= x - i * stride < len(kernel)]
        _square(ax, x, len(values) + 0.4, str(sum(terms)), OUTPUT)
    _bare(ax, (-4.2, max(span, padding + made)), (len(values) + 1.1, -0.7))
    return fig


def windows(sizes: Sequence[int], kernel_size: int, stride: int, padding: int = 0, dilation: int = 1) -> Figure:
    """Where the windows of one convolution lie on inputs of several sizes, along one axis: a row a size, with its output size.

    Cells are units (filled) or padding (dotted); those beyond the last window, the floor's remainder, are hatched.
    """
    reach = dilation * (kernel_size - 1)
    fig, axes = new_figure(0.5 * (max(sizes) + 2 * padding + 5), 0.95 * len(sizes) + 0.2)
    ax: Axes = axes[0, 0]
    for row, size in enumerate(sizes):
        made = output_size(size, kernel_size, stride, padding, dilation)
        y, end = 2.2 * row, (made - 1) * stride + reach
        for x in range(size + 2 * padding):
            _square(ax, x, y, "", INPUT if padding <= x < padding + size else None, cut=x > end)
        for i in range(made):
            low = y + 0.68 + 0.22 * (i % 2)
            left, right = i * stride - 0.3, i * stride + reach + 0.3
            ax.plot([left, left, right, right], [low - 0.12, low, low, low - 0.12], color=FIRST if i % 2 == 0 else LAST, linewidth=2.4)
        ax.text(-1, y, f"{size} → {made}", ha="right", va="center", color=INK)
    _bare(ax, (-3.4, max(sizes) + 2 * padding - 0.3), (2.2 * len(sizes) - 1, -0.7))
    return fig


def overlaps(settings: Sequence[tuple[int, int]], size: int = 6) -> Figure:
    """How many kernels of a transposed convolution lie over each output, along one axis: one panel for each (kernel_size, stride).

    Above, each kernel as a bar; below, the counts. A dashed frame marks the middle, where all neighbours are there.
    """
    fig, axes = new_figure(10.0, 1.45 * len(settings) + 0.2, 1, len(settings))
    for ax, (kernel_size, stride) in zip(axes[:, 0], settings, strict=True):
        counts = overlap_count(size, kernel_size, stride).tolist()
        levels = max(2, -(-kernel_size // stride))
        for i in range(size):
            place = (i * stride - 0.42, 1.1 + 0.42 * (i % levels))
            ax.add_patch(Rectangle(place, kernel_size - 0.16, 0.3, facecolor=INPUT, edgecolor=INK, linewidth=0.8))
        for x, count in enumerate(counts):
            shade = 1 - 0.4 * count / max(counts)
            ax.add_patch(Rectangle((x - 0.5, 0), 1, 0.8, facecolor=(shade, shade, shade), edgecolor="white"))
            ax.text(x, 0.4, str(count), ha="center", va="center", color=INK)
        first, last = kernel_size - 1, (size - 1) * stride
        ax.add_patch(Rectangle((first - 0.5, -0.08), last - first + 1, 0.96, fill=False, edgecolor=FIRST, linestyle="--", linewidth=2))
        ax.text(-1, 0.9, f"kernel {kernel_size}\nstride {stride}", ha="right", va="center", color=INK)
        ax.set(xlim=(-4, (size - 1) * stride + kernel_size), ylim=(-0.2, 1.2 + 0.42 * levels))
        ax.axis("off")
    return fig


def _stretched(case: Case) -> Bool[ndarray, "span span"]:
    """Where the units lie in the input of the convolution that makes a transposed one's numbers (the guide's relation 14)."""
    size, kernel_size, stride, padding, dilation = case
    made, reach = output_size(*case), dilation * (kernel_size - 1)
    margin = reach - padding
    if margin < 0:
        raise ValueError(f"a padding of {padding} is more than a window of {reach + 1} reaches: the way back cuts units off")
    units = np.zeros((size + reach,) * 2, bool)
    end = margin + (made - 1) * stride + 1
    units[margin:end:stride, margin:end:stride] = True
    return units


def _draw_case(ax: Axes, units: Bool[ndarray, "span span"], kernel_size: int, stride: int, dilation: int, made: int) -> None:
    """The input, its first and last window, and the output to its right."""
    span, reach = len(units), dilation * (kernel_size - 1)
    end = (made - 1) * stride + reach
    for i, j in product(range(span), repeat=2):
        _square(ax, j, i, "", INPUT if units[i, j] else None, cut=max(i, j) > end)
    left, top = span + 1.2, (span - made) / 2
    for i, j in product(range(made), repeat=2):
        _square(ax, left + j, top + i, "", OUTPUT)
    for unit, colour, dash, marker in ((0, FIRST, "-", "o"), (made - 1, LAST, "--", "x")):
        start = unit * stride
        frame = {"fill": False, "edgecolor": colour, "linestyle": dash, "linewidth": 2.2, "zorder": 4}
        ax.add_patch(Rectangle((start - 0.5, start - 0.5), reach + 1, reach + 1, **frame))
        ax.add_patch(Rectangle((left + unit - 0.5, top + unit - 0.5), 1, 1, **frame))
        places = np.array(list(product(range(start, start + reach + 1, dilation), repeat=2)))
        ax.scatter(places[:, 0], places[:, 1], s=9, marker=marker, color=colour, linewidth=1, zorder=5)
    ax.annotate("", (left - 0.7, (span - 1) / 2), (span - 0.4, (span - 1) / 2), arrowprops={"arrowstyle": "->", "color": INK})
    _bare(ax, (-0.7, left + made), (span - 0.2, -0.8))


def _square(ax: Axes, x: float | int, y: float | int, text: str, colour: str | None, *, cut: bool = False) -> None:
    """One unit with its number; without a colour a zero of the padding; hatched where it is cut off."""
    line = {"edgecolor": INK, "linewidth": 0.7} if colour else {"edgecolor": EMPTY, "linewidth": 0.7, "linestyle": ":"}
    ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white" if cut or not colour else colour, **line))
    if cut:
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, hatch="////", edgecolor=EMPTY, linewidth=0.7))
    ax.text(x, y, text, ha="center", va="center", color=EMPTY if cut else INK)


def _bare(ax: Axes, xlim: tuple[float | int, float | int], ylim: tuple[float | int, float | int]) -> None:
    """Square cells, no ticks and no frame."""
    ax.set(xlim=xlim, ylim=ylim, aspect="equal")
    ax.axis("off")
