"""From a classifier to dense maps: shifted passes and how they interlace."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from edu_seg.figures.base import GRID_GREY, INK, SERIES, as_picture, new_figure
from edu_seg.geometry import Grid


def stitched_row(pixels: Sequence[int], passes: Sequence[Sequence[int]], size: int) -> Figure:
    """Shift-and-stitch along one axis: the pixels, what each shifted pass makes of them, and all passes interlaced.

    passes: pass d began at pixel d, and its unit i stands below the middle of the `size` pixels that it saw, the
    first of which is i · f + d, where f is the number of passes.
    Raises ValueError for more passes than there are colours.
    """
    f = len(passes)
    _check_passes(f)
    fig, axes = new_figure(10.0, 0.62 * (f + 2) + 0.3)
    ax: Axes = axes[0, 0]
    for x, value in enumerate(pixels):
        _cell(ax, (x, f + 1), str(value), "#eeeeee")
    for d, values in enumerate(passes):
        for i, value in enumerate(values):
            x = i * f + d + (size - 1) / 2
            for y in (f - d, 0):
                _cell(ax, (x, y), str(value), *SERIES[d])
    names = ["stitched", *(f"pass {d}: from pixel {d} on" for d in reversed(range(f))), "pixels"]
    ax.set_yticks(range(f + 2), names)
    ax.set(xticks=[], xlim=(-0.6, len(pixels) - 0.4), ylim=(-0.6, f + 1.6))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return fig


def passes_filled(panels: Mapping[str, Sequence[tuple[int, int]]], stride: int = 2, units: int = 6, *, side: float = 2.7) -> Figure:
    """Which units of a dense map shifted passes fill: title -> shifts (dy, dx). Each unit carries its pass, × where there is none.

    Raises ValueError where stride² passes are more than there are colours.
    """
    _check_passes(stride**2)
    fig, axes = new_figure(side * len(panels), side + 0.4, len(panels))
    for ax, (title, shifts) in zip(axes[0], panels.items(), strict=True):
        for i, j in product(range(units), repeat=2):
            dy, dx = i % stride, j % stride
            made = (dy, dx) in shifts
            _cell(ax, (j, i), f"{dy},{dx}" if made else "×", *(SERIES[dy * stride + dx] if made else ("white", "")), text=9)
        ax.set_title(title)
        ax.set(xticks=[], yticks=[], xlim=(-0.6, units - 0.4), ylim=(units - 0.4, -0.6), aspect="equal")
        ax.spines[:].set_visible(False)
    return fig


def folded(weight: Float[Tensor, "C k l"]) -> Figure:
    """The weights of one unit, twice: in a row, as a fully connected layer holds them, and below as a kernel; each number in its square.

    A channel has its own colour and hatch. Raises ValueError for more channels than there are colours.
    """
    channels, height, width = weight.shape
    if channels > len(SERIES):
        raise ValueError(f"{channels} channels, and colours for {len(SERIES)}: draw fewer")
    area = height * width
    fig, axes = new_figure(10.0, 10.0 * (height + 3.2) / (channels * area + 1))
    ax: Axes = axes[0, 0]
    for c in range(channels):
        left = c * area + (area - width) / 2
        for place, value in enumerate(weight[c].flatten().tolist()):
            _cell(ax, (c * area + place, height + 1.5), f"{value:g}", *SERIES[c])
            _cell(ax, (left + place % width, height - 1 - place // width), f"{value:g}", *SERIES[c])
        for x, end in ((c * area - 0.4, left - 0.4), (c * area + area - 0.6, left + width - 0.6)):
            ax.plot([x, end], [height + 1, height - 0.5], color=GRID_GREY, linewidth=1)
        ax.text(c * area + (area - 1) / 2, -0.75, f"channel {c}", ha="center", va="top")
    ax.set(xlim=(-0.6, channels * area - 0.4), ylim=(-1.5, height + 2.1), aspect="equal")
    ax.axis("off")
    return fig


def class_maps(image: Float[Tensor, "3 H W"], maps: Mapping[str, Float[Tensor, "h w"]], grid: Grid, *, side: float = 2.3) -> Figure:
    """An image, and over it, once a class, a map of probabilities (title -> map in 0..1): each unit a square around the pixel it sits on.

    grid: where the units sit, the same along both axes. A line surrounds what is above one half, the second cue beside the colour.
    """
    height, width = image.shape[1:]
    fig, axes = new_figure(side * (len(maps) + 1), side * height / width + 1.05, len(maps) + 1)
    stride, centre = float(grid.stride), float(grid.centre)
    axes[0, 0].imshow(as_picture(image))
    axes[0, 0].set_title("image")
    for ax, (title, probs) in zip(axes[0, 1:], maps.items(), strict=True):
        rows, columns = probs.shape
        ax.imshow(as_picture(image.mean(0, keepdim=True).expand(3, -1, -1)), alpha=0.75)
        ends = centre + stride * (columns - 0.5), centre + stride * (rows - 0.5)
        extent = (centre - stride / 2, ends[0], ends[1], centre - stride / 2)
        see = (0.2 + 0.65 * probs).numpy()  # the more probable, the less of the image shows through
        ax.imshow(probs.numpy(), cmap="YlGnBu", vmin=0, vmax=1, alpha=see, extent=extent, interpolation="nearest")
        places = [centre + stride * np.arange(count) for count in (columns, rows)]
        if probs.min() < 0.5 < probs.max():
            ax.contour(*places, probs.numpy(), levels=[0.5], colors="#d55e00", linewidths=1.8)
        ax.set_title(title)
    for ax in axes[0]:
        ax.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        ax.spines[:].set_visible(False)
    colours = ScalarMappable(Normalize(0, 1), "YlGnBu")
    fig.colorbar(colours, ax=list(axes[0]), location="bottom", shrink=0.3, aspect=30, label="probability (line: one half)")
    return fig


def kernel_cells(kernels: Mapping[str, Float[Tensor, "k l"]], *, cell: float = 0.55) -> Figure:
    """Kernels (title -> weights) side by side on one scale, each weight in its square of `cell` inches; zeros are white."""
    widths = [kernel.shape[1] for kernel in kernels.values()]
    highest = max(kernel.shape[0] for kernel in kernels.values())
    fig, axes = new_figure(cell * (sum(widths) + len(widths)), cell * highest + 0.5, len(kernels), width_ratios=widths)
    for ax, (title, kernel) in zip(axes[0], kernels.items(), strict=True):
        for i, row in enumerate(kernel.tolist()):
            for j, value in enumerate(row):
                _cell(ax, (j, i), f"{value:g}", *(SERIES[1] if value else ("white", "")))
        ax.set_title(title)
        ax.set(xticks=[], yticks=[], xlim=(-0.6, kernel.shape[1] - 0.4), ylim=(highest - 0.4, -0.6), aspect="equal", anchor="N")
        ax.spines[:].set_visible(False)
    return fig


def _check_passes(passes: int) -> None:
    if passes > len(SERIES):
        raise ValueError(f"{passes} passes, and colours for {len(SERIES)}: draw a smaller stride")


def _cell(ax: Axes, place: tuple[float | int, float | int], value: str, colour: str, hatch: str = "", *, text: int = 12) -> None:
    """One unit of a map as a square with its value; the hatch is the second cue beside the colour."""
    x, y = place
    ax.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, facecolor=colour, edgecolor="white", hatch=hatch))
    ax.add_patch(Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, fill=False, edgecolor=INK, linewidth=0.8))
    ax.text(
        x, y, value, ha="center", va="center", fontsize=text, color=INK, bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "lw": 0}
    )
