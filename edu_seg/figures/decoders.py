"""Encoders and decoders: three ways back to the pixels, maps from coarse to fine as a film strip, tiles that overlap, boxes on a scene."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle
from torch import Tensor

from edu_seg.figures.base import GRID_GREY, INK, SERIES, as_picture, new_figure

ENCODER, DECODER, SCORES = "#dcebf7", "#d9f0e3", "#fdf0d0"


def ways_back(levels: int = 4) -> Figure:
    """Three nets as an hourglass each: what crosses from encoder to decoder, scores that are added, switches, whole maps.

    A bar is a map: tall where its resolution is high, broad where it has many channels.
    """
    fig, axes = new_figure(11.5, 3.3, 3)
    crossing = {"FCN: scores, added": ("scores", "-"), "SegNet, DeconvNet: switches": ("switches", ":"), "U-Net: whole maps": ("maps", "-")}
    for ax, (title, (what, dash)) in zip(axes[0], crossing.items(), strict=True):
        _hourglass(ax, levels, what, dash)
        ax.set_title(title)
    return fig


def _hourglass(ax: Axes, levels: int, what: str, dash: str) -> None:
    for level in range(levels):
        height = 0.8 * 2.0 ** -(0.7 * level)
        for side, face in ((-1, ENCODER), (1, DECODER)):
            x = side * (levels - level)
            thin = side > 0 and what == "scores"
            width = 0.16 if thin else 0.34 + 0.08 * level
            ax.add_patch(Rectangle((x - width / 2, -height), width, 2 * height, facecolor=SCORES if thin else face, edgecolor=INK))
        y = height + 0.14
        ends = (-(levels - level), y), (levels - level, y)
        arrow = FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=11, color=INK, linestyle=dash, connectionstyle="arc3,rad=-0.12")
        ax.add_patch(arrow)
    ax.add_patch(Rectangle((-0.25, -0.12), 0.5, 0.24, facecolor=ENCODER, edgecolor=INK))
    for x, part in ((-levels / 2, "encoder"), (levels / 2, "scores" if what == "scores" else "decoder")):
        ax.text(x, -1.02, part, ha="center")
    ax.set(xlim=(-levels - 0.6, levels + 0.6), ylim=(-1.15, 1.45))
    ax.axis("off")


def decoder_strip(rows: Mapping[str, Mapping[str, Float[Tensor, "h w"]]], *, side: float = 1.75) -> Figure:
    """Maps from coarse to fine, a row a net (row title -> map's title -> map), all drawn at one size, each on its own scale of colour.

    Below each title stand the map's size and the share of its units that are not zero.
    """
    columns = max(len(maps) for maps in rows.values())
    fig, axes = new_figure(side * columns, (side + 0.55) * len(rows), columns, len(rows))
    for line, (name, maps) in zip(axes, rows.items(), strict=True):
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        for ax, (title, features) in zip(line, maps.items(), strict=False):
            height, width = features.shape
            ax.imshow(features.numpy(), cmap="magma", interpolation="nearest")
            share = float((features != 0).double().mean())
            ax.set_title(f"{title}\n{height} × {width} · {share:.0%}", fontsize=12)
        line[0].set_ylabel(name)
    return fig


def tiles(image: Float[Tensor, "3 H W"], wider: Float[Tensor, "3 h w"], margin: int, step: int, chosen: Sequence[int] = (0,)) -> Figure:
    """An image with its mirrored border; solid: what each tile predicts, edge to edge; dashed: what the `chosen` ones see.

    wider: the image continued on all sides, `margin` pixels at the top and left. step: a tile's prediction, in pixels.
    """
    height, width = image.shape[1:]
    fig, axes = new_figure(4.4, 4.4 * wider.shape[1] / wider.shape[2] + 0.8)
    ax: Axes = axes[0, 0]
    ax.imshow(as_picture(wider), alpha=0.45, extent=(-margin, wider.shape[2] - margin, wider.shape[1] - margin, -margin))
    ax.imshow(as_picture(image), extent=(0, width, height, 0))
    corners = [(top, left) for top in range(0, height, step) for left in range(0, width, step)]
    for top, left in corners:
        ax.add_patch(Rectangle((left, top), step, step, fill=False, edgecolor="white", linewidth=1.4))
    for number, (colour, _) in zip(chosen, SERIES, strict=False):
        top, left = corners[number]
        seen = step + 2 * margin
        ax.add_patch(Rectangle((left, top), step, step, fill=False, edgecolor=colour, linewidth=2.6))
        ax.add_patch(Rectangle((left - margin, top - margin), seen, seen, fill=False, edgecolor=colour, linewidth=2.6, linestyle="--"))
    ax.set(xticks=[], yticks=[], xlim=(-margin, wider.shape[2] - margin), ylim=(wider.shape[1] - margin, -margin))
    ax.spines[:].set_visible(False)
    predicts = Line2D([], [], color=INK, linewidth=2.6, linestyle="-", label="predicts")
    sees = Line2D([], [], color=INK, linewidth=2.6, linestyle="--", label="sees")
    fig.legend(handles=[predicts, sees], title="a tile", loc="outside lower center", ncols=2, frameon=False)
    return fig


def boxed(image: Float[Tensor, "3 H W"], panels: Mapping[str, Int64[Tensor, "R 4"]], *, side: float = 2.8) -> Figure:
    """An image several times, each with boxes over it (title -> left, top, right, bottom), in solid, dashed and dotted lines."""
    fig, axes = new_figure(side * len(panels), side + 0.4, len(panels))
    for ax, (title, boxes) in zip(axes[0], panels.items(), strict=True):
        ax.imshow(as_picture(image), interpolation="nearest")
        for number, (left, top, right, bottom) in enumerate(boxes.tolist()):
            place, size = (left - 0.5, top - 0.5), (right - left, bottom - top)
            for colour, width in (("white", 3.2), (SERIES[number % len(SERIES)][0], 1.6)):
                dash = ("-", "--", "-.", ":")[number % 4] if width < 2 else "-"
                ax.add_patch(Rectangle(place, *size, fill=False, edgecolor=colour, linewidth=width, linestyle=dash))
        ax.set_title(title)
        ax.set(xticks=[], yticks=[], xlim=(-0.5, image.shape[2] - 0.5), ylim=(image.shape[1] - 0.5, -0.5))
        ax.spines[:].set_visible(False)
    return fig


def weight_map(instances: Int64[Tensor, "H W"], weights: Float64[Tensor, "H W"]) -> Figure:
    """Objects with their numbers, and beside them a weight for each pixel with its scale; the objects' outlines lie over both."""
    fig, axes = new_figure(9.0, 3.7, 2)
    for ax, title in zip(axes[0], ("objects", "border weight"), strict=True):
        ax.set_title(title)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    axes[0, 0].imshow(instances.numpy() > 0, cmap="Greys", vmin=0, vmax=2.5, interpolation="nearest")
    for number in range(1, int(instances.max()) + 1):
        row, column = np.argwhere(instances.numpy() == number).mean(0)
        axes[0, 0].text(column, row, str(number), ha="center", va="center", fontsize=14)
    drawn = axes[0, 1].imshow(weights.numpy(), cmap="YlOrBr", interpolation="nearest")
    for ax, colour in zip(axes[0], (GRID_GREY, INK), strict=True):
        for number in range(1, int(instances.max()) + 1):
            ax.contour((instances == number).numpy(), levels=[0.5], colors=colour, linewidths=1.0)
    fig.colorbar(drawn, ax=axes[0, 1], shrink=0.85)
    return fig
