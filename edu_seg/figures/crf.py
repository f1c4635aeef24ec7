"""Dense CRFs: graphical models, listed states, kernels over a photograph, the lattice, iterations, and mean field unrolled."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from numpy import ndarray
from torch import Tensor

from edu_seg.crf.simplex import enclosing_simplices, lattice_coordinates
from edu_seg.figures.base import GRID_GREY, INK, SERIES, new_figure

BLUE, ORANGE = SERIES[0][0], SERIES[1][0]
TRIANGLE = ((0.5, 0.9), (0.1, 0.15), (0.9, 0.15))
PIXELS = ((0.2, 0.75), (0.75, 0.75), (0.2, 0.2), (0.75, 0.2))


def graphical_models() -> Figure:
    """A distribution as a product in three ways: a directed graph, an undirected one, the CRF of a 2 × 2 image with its factors."""
    fig, axes = new_figure(11.5, 3.9, 3)
    directed, undirected, crf = axes[0]
    for ax, arrow in ((directed, "-|>"), (undirected, "-")):
        for a, b in ((0, 1), (0, 2), (1, 2)):
            _edge(ax, TRIANGLE[a], TRIANGLE[b], arrow)
            if arrow == "-":
                _factor(ax, ((TRIANGLE[a][0] + TRIANGLE[b][0]) / 2, (TRIANGLE[a][1] + TRIANGLE[b][1]) / 2), INK)
        for place, name in zip(TRIANGLE, ("$y_1$", "$y_2$", "$y_3$"), strict=True):
            _node(ax, place, name)
    _above(directed, "directed\n$p(y_1)\\;p(y_2|y_1)\\;p(y_3|y_1,y_2)$")
    _above(undirected, "undirected\n$\\psi_{12}\\;\\psi_{13}\\;\\psi_{23}\\;/\\;Z$")
    for i, a in enumerate(PIXELS):
        for b in PIXELS[i + 1 :]:
            _edge(crf, a, b, "-")
            along = 0.32 if abs(a[0] - b[0]) > 0 and abs(a[1] - b[1]) > 0 else 0.5  # the squares of two diagonals must not meet
            _factor(crf, (a[0] + along * (b[0] - a[0]), a[1] + along * (b[1] - a[1])), INK)
        unary = (a[0] + (-0.17 if a[0] < 0.5 else 0.17), a[1] + 0.12)
        _edge(crf, a, unary, "-")
        _factor(crf, unary, ORANGE)
        _node(crf, a, f"$y_{i + 1}$")
    _above(crf, "dense CRF of 2 × 2 pixels: 4 unary factors\n(orange, outside), 6 pairwise (black)")
    for ax in axes[0]:
        ax.set(xlim=(-0.08, 1.08), ylim=(0.05, 1.4), aspect="equal")
        ax.axis("off")
    return fig


def _above(ax: Axes, title: str) -> None:
    """A title as text inside the axes."""
    ax.text(0.5, 1.12, title, ha="center", va="bottom")


def _edge(ax: Axes, a: tuple[float, float], b: tuple[float, float], style: str) -> None:
    ax.add_patch(FancyArrowPatch(a, b, arrowstyle=style, mutation_scale=18, color=INK, linewidth=1.3, shrinkA=14, shrinkB=14))


def _node(ax: Axes, place: tuple[float, float], name: str) -> None:
    ax.text(*place, name, ha="center", va="center", bbox={"boxstyle": "circle,pad=0.3", "facecolor": "white", "edgecolor": INK})


def _factor(ax: Axes, place: tuple[float, float], colour: str) -> None:
    ax.plot(*place, "s", color=colour, markersize=10, markeredgecolor="white", zorder=3)


def listed_states(states: Int64[Tensor, "S N"], probs: Float[Tensor, " S"], shape: tuple[int, int], *, columns: int = 8) -> Figure:
    """Every labelling of a tiny image of `shape` as a small picture, the most probable first, with its probability below.

    Label 0 is white, label 1 blue, both with their number. Raises ValueError where the shape does not hold the pixels.
    """
    height, width = shape
    if height * width != states.shape[1]:
        raise ValueError(f"an image of {height} × {width} has {height * width} pixels, the states have {states.shape[1]}")
    order = probs.argsort(descending=True)
    rows = -(-len(order) // columns)
    fig, axes = new_figure(1.15 * columns, 1.5 * rows, columns, rows)
    for ax in axes.flat:
        ax.axis("off")
    for ax, state in zip(axes.flat, order.tolist(), strict=False):
        for pixel, label in enumerate(states[state].tolist()):
            y, x = divmod(pixel, width)
            ax.add_patch(Rectangle((x, y), 1, 1, facecolor=BLUE if label else "white", edgecolor=INK))
            ax.text(x + 0.5, y + 0.5, str(label), ha="center", va="center", color="white" if label else INK)
        ax.set(xlim=(-0.05, width + 0.05), ylim=(height + 0.05, -0.05), aspect="equal")
        ax.set_title(f"{probs[state]:.3f}", y=-0.32, fontsize=11)
    return fig


def kernel_maps(
    image: UInt8[Tensor, "3 H W"],
    kernels: Mapping[str, Sequence[Float[Tensor, "H W"]]],
    pixels: Sequence[tuple[int, int]],
    *,
    side: float = 2.5,
) -> Figure:
    """How much each pixel of a photograph counts for one pixel: a row for each of `pixels` (row, column), a column for each kernel.

    kernels: title -> one map in 0..1 for each of `pixels`. The photograph stands on the left, the pixel is the cross. side: width of one
    picture in inches.
    """
    height, width = image.shape[1:]
    fig, axes = new_figure(side * (len(kernels) + 1) + 0.7, side * height / width * len(pixels) + 0.4, len(kernels) + 1, len(pixels))
    for row, (y, x) in enumerate(pixels):
        axes[row, 0].imshow(image.permute(1, 2, 0).numpy())
        for ax, (title, maps) in zip(axes[row, 1:], kernels.items(), strict=True):
            drawn = ax.imshow(maps[row].numpy(), cmap="viridis", vmin=0, vmax=1)
            ax.set_title(title if row == 0 else "")
        for ax in axes[row]:
            ax.plot(x, y, "+", color="white", markersize=17, markeredgewidth=4.5)
            ax.plot(x, y, "+", color="#d55e00", markersize=15, markeredgewidth=2.2)
            ax.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
            ax.spines[:].set_visible(False)
    axes[0, 0].set_title("photograph")
    fig.colorbar(drawn, ax=list(axes[:, -1]), shrink=0.7, label="weight")
    return fig


def lattice_plane(point: tuple[float, float] = (1.05, 0.75), extent: float = 3.0) -> Figure:
    """The lattice for two features: its vertices, and how a point hands its value to the three corners of its triangle.

    point: two features, in standard deviations, inside a square from 0 to `extent`.
    """
    to_lattice = lattice_coordinates(torch.eye(2))  # columns: what one unit of each feature is in lattice coordinates
    to_features = torch.linalg.inv(to_lattice)
    whole = torch.cartesian_prod(torch.arange(-9, 10), torch.arange(-9, 10)).float()
    places = whole @ to_features.T
    fig, axes = new_figure(4.6, 4.1)
    ax: Axes = axes[0, 0]
    for step in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        ends = (whole + torch.tensor(step)) @ to_features.T
        ax.plot(*np.stack([places.numpy(), ends.numpy()]).transpose(2, 0, 1), color=GRID_GREY, linewidth=1)
    ax.plot(*places.T.numpy(), "o", color=INK, markersize=4)
    simplex = enclosing_simplices(torch.tensor([point]))
    bits = torch.stack([simplex.corners[0] >> axis & 1 for axis in range(2)], 1)
    for corner, weight in zip((simplex.base[:, 0] + bits).float() @ to_features.T, simplex.weights[0].tolist(), strict=True):
        ax.plot([point[0], float(corner[0])], [point[1], float(corner[1])], color=BLUE, linewidth=1 + 5 * weight)
        ax.plot(*corner.tolist(), "o", color=BLUE, markersize=9)
        ax.annotate(
            f"{weight:.2f}",
            corner.tolist(),
            (8, 8 if corner[1] > point[1] else -18),
            textcoords="offset points",
            color=BLUE,
            fontsize=13,
            weight="bold",
        )
    ax.plot(*point, "s", color=ORANGE, markersize=11, markeredgecolor=INK)
    ax.set(xlim=(0, extent), ylim=(0, extent), aspect="equal", xlabel="feature 1 (standard deviations)", ylabel="feature 2")
    return fig


def film_strip(frames: Mapping[str, ndarray], values: Sequence[float], ylabel: str, *, frame_label: str = "") -> Figure:
    """Maps in 0..1 in a row (title -> map), what they show written on their left, and below them a number for every iteration from 0 on."""
    number = len(frames)
    fig, axes = new_figure(1.9 * number, 4.9, number, 2, height_ratios=[1.5, 1])
    for ax, (title, picture) in zip(axes[0], frames.items(), strict=True):
        ax.imshow(picture, interpolation="nearest", vmin=0, vmax=1)
        ax.set_title(title)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[0, 0].set_ylabel(frame_label)
    grid = axes[1, 0].get_gridspec()
    for ax in axes[1]:
        ax.remove()
    below = fig.add_subplot(grid[1, :])
    below.plot(range(len(values)), values, "-o", color=BLUE, linewidth=2.2, label=ylabel)
    below.set(xlabel="iteration", ylabel=ylabel, xticks=range(len(values)))
    below.spines[["top", "right"]].set_visible(False)
    below.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    return fig


def band_curves(curves: Mapping[str, Sequence[float | int]], radii: Sequence[int]) -> Figure:
    """Mean IU in per cent (name -> one value a radius, and one for the whole image) against the width of a band around the boundaries.

    Raises ValueError for more curves than there are colours.
    """
    if len(curves) > len(SERIES):
        raise ValueError(f"{len(curves)} curves, and colours for {len(SERIES)}: draw two figures")
    fig, axes = new_figure(9.0, 4.0)
    ax: Axes = axes[0, 0]
    places = range(len(radii) + 1)
    for (name, values), (colour, _), marker, dash in zip(curves.items(), SERIES, "osD^", ("-", "--", "-.", ":"), strict=False):
        ax.plot(places, values, dash, marker=marker, color=colour, label=name, linewidth=2.2, markersize=7)
        ax.annotate(f"{values[0]:.0f}", (0, values[0]), (-10, 0), textcoords="offset points", ha="right", va="center", color=INK)
    ax.set_xticks(places, [*(str(radius) for radius in radii), "whole\nimage"])
    ax.set(xlabel="pixels at most this far from a boundary", ylabel="mean IU (%)", xlim=(-0.4, len(radii) + 0.2))
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, loc="lower right")
    return fig


def outlined(image: UInt8[ndarray, "H W 3"], cells: Int64[Tensor, "H W"], scale: int = 6) -> UInt8[ndarray, "h w 3"]:
    """A picture enlarged `scale` times, with a line wherever two neighbouring pixels lie in different cells."""
    big = image.repeat(scale, 0).repeat(scale, 1)
    numbers = cells.numpy().repeat(scale, 0).repeat(scale, 1)
    edges: Bool[ndarray, "h w"] = np.zeros(numbers.shape, bool)
    edges[1:] |= numbers[1:] != numbers[:-1]
    edges[:, 1:] |= numbers[:, 1:] != numbers[:, :-1]
    return np.where(edges[..., None], np.uint8(255), big)


def grid_scores(
    scores: Float[Tensor, "R C"], rows: Sequence[float | int], columns: Sequence[float | int], names: tuple[str, str], title: str = ""
) -> Figure:
    """A score for each pair of two parameters, written into its square; the best has a frame. names: of rows and columns."""
    fig, axes = new_figure(1.2 * len(columns) + 1.6, 0.8 * len(rows) + 1.2)
    ax: Axes = axes[0, 0]
    low, high = float(scores.min()), float(scores.max())
    ax.imshow(scores.numpy(), cmap="Blues", vmin=low, vmax=high + 0.6 * (high - low), aspect="auto")
    for (i, j), value in np.ndenumerate(scores.numpy()):
        ax.text(j, i, f"{value:.2f}", ha="center", va="center", color=INK)
    best = divmod(int(scores.argmax()), len(columns))
    ax.add_patch(Rectangle((best[1] - 0.5, best[0] - 0.5), 1, 1, fill=False, edgecolor="#d55e00", linewidth=3))
    ax.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
    ax.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
    ax.set(ylabel=names[0], xlabel=names[1])
    ax.set_title(title)
    ax.spines[:].set_visible(False)
    return fig


def unrolled(iterations: int = 3) -> Figure:
    """Mean field as layers: the net's scores enter every iteration, Q runs from one to the next, the weights are the same in all."""
    steps = ("filter", "weigh", "mix labels", "add $-U$", "softmax")
    fig, axes = new_figure(10.5, 3.4)
    ax: Axes = axes[0, 0]
    left, width = 1.7, 3.3
    _box(ax, (0.5, 1.9), "net", 0.8, "#eeeeee")
    ax.plot([0.5, 0.5], [2.25, 3.15], color=INK, linewidth=1.3)
    ax.text(0.7, 3.22, "scores $-U$", va="bottom")
    for t in range(iterations):
        start = left + t * width
        ax.add_patch(Rectangle((start, 0.1), 2.3, 2.65, facecolor="white", edgecolor=BLUE, linewidth=1.8))
        ax.text(start + 1.15, -0.1, f"iteration {t + 1}", ha="center", va="top", color=BLUE)
        for number, step in enumerate(steps):
            _box(ax, (start + 1.15, 0.4 + 0.51 * (len(steps) - 1 - number)), step, 1.9, "#eeeeee" if number not in (1, 2) else "#f6d9a0")
        unary = 0.4 + 0.51 * (len(steps) - 1 - steps.index("add $-U$"))
        ax.plot([start + 2.55, start + 2.55], [3.15, unary], color=INK, linewidth=1.3)
        ax.add_patch(FancyArrowPatch((start + 2.6, unary), (start + 2.1, unary), arrowstyle="-|>", mutation_scale=14, color=INK))
        ax.add_patch(FancyArrowPatch((start - 0.7, 1.9), (start, 1.9), arrowstyle="-|>", mutation_scale=14, color=INK))
        ax.text(start - 0.3, 2.0, f"$Q_{t}$", ha="center", va="bottom")
    end = left + iterations * width
    ax.add_patch(FancyArrowPatch((end - 0.7, 1.9), (end, 1.9), arrowstyle="-|>", mutation_scale=14, color=INK))
    ax.text(end + 0.05, 1.9, f"$Q_{iterations}$", va="center")
    ax.plot([0.5, end - width + 2.55], [3.15, 3.15], color=INK, linewidth=1.3)
    ax.set(xlim=(0, end + 0.5), ylim=(-0.6, 3.8))
    ax.axis("off")
    return fig


def _box(ax: Axes, centre: tuple[float, float], name: str, width: float, colour: str) -> None:
    x, y = centre
    ax.add_patch(Rectangle((x - width / 2, y - 0.2), width, 0.4, facecolor=colour, edgecolor=INK, linewidth=0.8))
    ax.text(x, y, name, ha="center", va="center", fontsize=11)
