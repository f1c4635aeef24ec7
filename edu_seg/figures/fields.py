"""What units see: fields on an image, taps through the layers, weights of single pixels."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy import ndarray
from torch import Tensor

from edu_seg.figures.base import INK, SERIES, as_picture, new_figure
from edu_seg.geometry import Field, output_size

Box = tuple[tuple[int, int], tuple[int, int]]


def lit_fields(
    image: Float[Tensor, "3 H W"], fields: Mapping[str, tuple[tuple[int, int], tuple[int, int]]], *, side: float = 3.4
) -> Figure:
    """What units see of an image: title -> ((top, bottom), (left, right)), lit, the rest dimmed.

    A field that reaches out of the image is framed there as well, up to half an image away.
    """
    height, width = image.shape[1:]
    photo = as_picture(image)
    out = max(max(-top, bottom + 1 - height, -left, right + 1 - width, 0) for (top, bottom), (left, right) in fields.values())
    margin = min(1.05 * out, 0.5 * max(height, width)) + 0.03 * max(height, width)
    fig, axes = new_figure(side * len(fields), side * (height + 2 * margin) / (width + 2 * margin) + 0.75, len(fields))
    for ax, (title, ((top, bottom), (left, right))) in zip(axes[0], fields.items(), strict=True):
        shown = (photo * 0.28).astype(np.uint8)
        window = slice(max(top, 0), max(bottom + 1, 0)), slice(max(left, 0), max(right + 1, 0))
        shown[window] = photo[window]
        ax.set_facecolor("#f3f1ec")
        ax.imshow(shown, interpolation="nearest")
        for colour, line in (("white", 4.5), (SERIES[0][0], 2.4)):
            ax.add_patch(
                Rectangle((left - 0.5, top - 0.5), right - left + 1, bottom - top + 1, fill=False, edgecolor=colour, linewidth=line)
            )
        ax.set_title(f"{title}\n{bottom - top + 1} × {right - left + 1} pixels")
        ax.set(xticks=[], yticks=[], xlim=(-0.5 - margin, width - 0.5 + margin), ylim=(height - 0.5 + margin, -0.5 - margin))
        ax.spines[:].set_visible(False)
    return fig


def taps(layers: Mapping[str, tuple[int, int, int]], pixels: int, *, numbered: bool = False) -> Figure:
    """What units 0 and 1 of the last layer read, layer by layer down to the pixels, along one axis and without padding.

    layers: name -> (kernel_size, stride, dilation), from the image upwards. Unit 0 is drawn with solid lines, unit 1 with dashed ones.
    numbered: write each pixel's number into its circle.
    Raises ValueError where fewer than two units are left.
    """
    fields, counts = [Field()], [pixels]
    for kernel_size, stride, dilation in layers.values():
        fields.append(fields[-1].then(kernel_size, stride, dilation=dilation))
        counts.append(output_size(counts[-1], kernel_size, stride, dilation=dilation))
    if counts[-1] < 2:
        raise ValueError(f"{pixels} pixels leave {counts[-1]} unit at {list(layers)[-1]!r}, and two are drawn: give more pixels")
    fig, axes = new_figure(10.0, 1.05 * len(fields) + 1.0)
    ax: Axes = axes[0, 0]
    places = [[float(field.grid.centre + i * field.grid.stride) for i in range(count)] for field, count in zip(fields, counts, strict=True)]
    for row, xs in enumerate(places):
        ax.scatter(xs, [row] * len(xs), s=240 if numbered and row == 0 else 90, color="white", edgecolor=INK, zorder=3)
    for pixel in range(pixels) if numbered else ():
        ax.text(pixel, 0, str(pixel), ha="center", va="center_baseline", fontsize=9, color=INK, zorder=4)
    for unit, (colour, dash) in enumerate((("#0072b2", "-"), ("#d55e00", "--"))):
        ax.scatter([places[-1][unit]], [len(layers)], s=150, color=colour, zorder=4)
        read = {unit}
        for row, (kernel_size, stride, dilation) in reversed(list(enumerate(layers.values()))):
            edges = [(i, i * stride + dilation * tap) for i in sorted(read) for tap in range(kernel_size)]
            ends = [(places[row + 1][i], places[row][j], np.nan) for i, j in edges]
            ax.plot(np.ravel(ends), [row + 1, row, np.nan] * len(edges), dash, color=colour, linewidth=1.6)
            read = {j for _, j in edges}
        y, first, last = -0.45 - 0.5 * unit, min(read) - 0.3, max(read) + 0.3
        ax.plot([first, first, last, last], [y + 0.12, y, y, y + 0.12], dash, color=colour, linewidth=2)
        ax.text(last + 0.3, y, f"unit {unit}: {max(read) - min(read) + 1} pixels from {min(read)} on", color=colour, va="center")
    ax.set_yticks(range(len(fields)), ["pixels", *layers])
    ax.set(xticks=[], xlim=(-0.8, pixels + 1.5), ylim=(-1.2, len(layers) + 0.3))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return fig


def pixel_maps(
    maps: Mapping[str, Float[ndarray, "H W"]],
    boxes: Mapping[str, Box] | None = None,
    *,
    side: float = 3.4,
    numbers: bool = False,
    zero: str = "",
) -> Figure:
    """Maps of what single pixels weigh (title -> map, from 0 up), each on its own scale of colour; exact zeros are hatched.

    boxes: name -> ((top, bottom), (left, right)), framed on each map. numbers: write each into its square, a cross for zero. A map of
    more than 200 pixels a side is averaged over blocks. zero: a name for the exact zeros; they are then dark grey, and in the legend.
    """
    fig, axes = new_figure(side * len(maps), side + (0.8 if boxes or zero else 0.45), len(maps))
    for ax, (title, weights) in zip(axes[0], maps.items(), strict=True):
        height, width = weights.shape
        block = 1 + max(height, width) // 201
        weights = weights[: height - height % block, : width - width % block]
        shown = weights.reshape(height // block, block, width // block, block).mean((1, 3))
        face, edge = ("#8a8a8a", "#5e5e5e") if zero else ("white", "#cccccc")
        ax.add_patch(
            Rectangle((-0.5, -0.5), width, height, facecolor=face, edgecolor=edge, hatch="" if numbers else "//", zorder=0, label=zero)
        )
        ax.imshow(
            np.ma.masked_equal(shown, 0),
            cmap="YlGnBu",
            vmin=-0.12 * shown.max(),
            vmax=shown.max() * 1.1,
            extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            interpolation="nearest",
        )
        for (i, j), value in np.ndenumerate(shown) if numbers else ():
            dark = value > 0.55 * shown.max()
            ax.text(j, i, f"{value:.0f}" if value else "×", ha="center", va="center", color="white" if dark else INK)
        for (name, ((top, bottom), (left, right))), colour, dash in zip((boxes or {}).items(), ("#d55e00", INK), ("-", "--"), strict=False):
            corner = left - 0.5, top - 0.5
            ax.add_patch(
                Rectangle(
                    corner, right - left + 1, bottom - top + 1, fill=False, edgecolor=colour, linewidth=2.6, linestyle=dash, label=name
                )
            )
        ax.set_title(title)
        ax.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        ax.spines[:].set_visible(False)
    if boxes or zero:
        handles, names = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    return fig
