"""Pictures of the course: pure functions to matplotlib figures, and `show`, which puts one into a notebook with its alternative text.

A class has a colour from a palette that colour-blind readers can tell apart, and a hatch as a second cue.
"""

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from IPython.display import HTML, display
from jaxtyping import Float, Integer, UInt8
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy import ndarray
from PIL import Image
from scipy import ndimage
from torch import Tensor

from edu_seg.geometry import Field, Grid, output_size

VOID = (255, 255, 255)
HATCHES = ("", "///", "\\\\\\", "---", "|||", "...", "+++", "xxx", "ooo", "**", "//..", "--..")
PERIOD, LINE = 12, 2
"""Of the patterns on label maps: distance and width of their lines, in pixels of the enlarged picture."""
INK, GRID_GREY = "#222222", "#bbbbbb"
SERIES = (("#0072b2", ""), ("#e69f00", "///"), ("#009e73", "..."), ("#cc79a7", "xxx"))
"""Colour and hatch of the first, second, … bar of a group (Okabe and Ito's palette)."""


def show(fig: Figure, alt: str) -> None:
    """Displays a figure as a picture with alternative text, and closes it. `alt` says what there is to see, for those who do not see it."""
    if len(alt) < 20:
        raise ValueError(f"the alternative text {alt!r} is too short to stand for a picture: say what it shows")
    display(HTML(img_tag(png(fig), alt)))


def img_tag(picture: bytes, alt: str) -> str:
    """An HTML picture that carries its own bytes (PNG) and alternative text."""
    text = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    width = Image.open(io.BytesIO(picture)).width / 1.25
    return f'<img alt="{text}" style="width:{width:.0f}px;max-width:100%" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'


def png(fig: Figure) -> bytes:
    """The figure as a small PNG (256 colours, no metadata), the same bytes every time; closes the figure."""
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=120, facecolor="white", metadata={"Software": None})
    plt.close(fig)
    return shrink(Image.open(buffer))


def shrink(picture: Image.Image) -> bytes:
    """A picture as PNG bytes with a palette of at most 256 colours."""
    buffer = io.BytesIO()
    picture.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1, **options) -> tuple[Figure, ndarray]:
    """A figure of `width` × `height` inches with a grid of axes, in the course's type and sizes: (figure, array of axes)."""
    style: dict = {"font.size": 12, "axes.titlesize": 12, "axes.spines.top": False, "axes.spines.right": False, "hatch.linewidth": 0.6}
    with mpl.rc_context(style):
        fig, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **options)
    return fig, axes


def as_picture(image: Float[Tensor, "3 H W"]) -> UInt8[ndarray, "H W 3"]:
    """An image in 0..1 as the bytes that matplotlib and PIL show."""
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def patterned(labels: Integer[Tensor, "H W"], palette: UInt8[ndarray, "K 3"], scale: int = 6) -> UInt8[ndarray, "h w 3"]:
    """A label map enlarged `scale` times, each class in its colour and (from scale 2 on) hatch; void (255) is white."""
    big = labels.numpy().repeat(scale, 0).repeat(scale, 1)
    colours = np.full((256, 3), VOID, np.uint8)
    colours[: len(palette)] = palette
    picture = colours[big].astype(np.float32)
    y, x = map(np.asarray, np.indices(big.shape))
    for k in range(len(palette)) if scale > 1 else ():
        lines = np.logical_or.reduce(
            [stripe % PERIOD < LINE for stripe in _stripes(HATCHES[k % len(HATCHES)], y, x)] or [np.zeros_like(big, bool)]
        )
        for mark, side in ((".", LINE + 1), ("o", LINE + 4)):
            if mark in HATCHES[k % len(HATCHES)]:
                lines |= ((y + PERIOD // 2) % PERIOD < side) & ((x + PERIOD // 2) % PERIOD < side)  # between the lines
        picture[lines & (big == k)] *= 0.72
    return picture.astype(np.uint8)


def _stripes(hatch: str, y: ndarray, x: ndarray) -> list[ndarray]:
    """The coordinate across each family of parallel lines of a hatch."""
    across = {"/": [x + y], "\\": [x - y], "-": [y], "|": [x], "+": [y, x], "x": [x + y, x - y], "*": [x + y, x - y, y]}
    return [stripe for mark in dict.fromkeys(hatch) for stripe in across.get(mark, [])]


def class_legend(fig: Figure, class_names: Sequence[str], palette: UInt8[ndarray, "K 3"], *, hatched: bool = True) -> None:
    """A line below the figure with the name, colour and (if `hatched`, as the maps of `patterned` are) hatch of each class, and void."""
    handles = [
        Patch(facecolor=palette[k] / 255, edgecolor=palette[k] / 255 * 0.6, hatch=HATCHES[k % len(HATCHES)] if hatched else "", label=name)
        for k, name in enumerate(class_names)
    ]
    handles.append(Patch(facecolor="white", edgecolor=INK, label="void"))
    fig.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=11, handlelength=1.6, columnspacing=1.2
    )


def pictures(rows: Sequence[Sequence[ndarray]], titles: Sequence[str] = (), row_titles: Sequence[str] = (), *, side: float = 2.2) -> Figure:
    """A grid of pictures, `side` inches each, with titles above the columns and, where given, beside the rows."""
    fig, axes = new_figure(side * len(rows[0]) + (0.4 if row_titles else 0), side * len(rows) + 0.35, len(rows[0]), len(rows))
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            ax = axes[i, j]
            ax.imshow(picture, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if i == 0 and titles:
                ax.set_title(titles[j])
            if j == 0 and row_titles:
                ax.set_ylabel(row_titles[i])
    return fig


def numbered(maps: Mapping[str, Integer[Tensor, "H W"]], palette: UInt8[ndarray, "K 3"], *, side: float = 2.8) -> Figure:
    """Small label maps (title -> map) side by side, each pixel a square in its class's colour with the class's index; void is `v`."""
    height, width = next(iter(maps.values())).shape
    fig, axes = new_figure(side * len(maps), side * height / width + 0.9, len(maps))
    for ax, (title, labels) in zip(axes[0], maps.items(), strict=True):
        ax.imshow(patterned(labels, palette, 1), interpolation="nearest")
        for (i, j), k in np.ndenumerate(labels.numpy()):
            dark = k < len(palette) and palette[k].sum() < 330
            ax.text(j, i, "v" if k == 255 else str(k), ha="center", va="center", fontsize=13, color="white" if dark else "black")
        ax.set_title(title)
        ax.set(xticks=[], yticks=[])
        ax.hlines(np.arange(height + 1) - 0.5, -0.5, width - 0.5, color=GRID_GREY, linewidth=1)
        ax.vlines(np.arange(width + 1) - 0.5, -0.5, height - 0.5, color=GRID_GREY, linewidth=1)
        ax.spines[:].set_visible(False)
    return fig


def four_tasks(image: Float[Tensor, "3 H W"], labels: Integer[Tensor, "H W"], class_names: Sequence[str], palette: ndarray) -> Figure:
    """One scene, four questions: which classes (classification), where (boxes), what is each pixel, and of which object.

    Objects are the connected regions of a class, so take a scene in which none touches another of its class.
    """
    photo, things = as_picture(image), objects(labels)
    fig, axes = new_figure(11.0, 3.3, 4)
    titles = (
        "classification:\na class for the image",
        "detection: a box and\na class for each object",
        "semantic segmentation:\na class for each pixel",
    )
    for ax, title in zip(axes[0], (*titles, "instance segmentation:\npixels of each object"), strict=True):
        ax.set_title(title)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    present = [class_names[k] for k in sorted({k for k, _ in things})]
    axes[0, 0].imshow(photo)
    axes[0, 0].set_xlabel(", ".join(present))
    axes[0, 1].imshow(photo)
    axes[0, 2].imshow(patterned(labels, palette), extent=(-0.5, labels.shape[1] - 0.5, labels.shape[0] - 0.5, -0.5))
    axes[0, 3].imshow(photo)
    for number, (k, inside) in enumerate(things, start=1):
        rows, columns = np.where(inside)
        corner = float(columns.min()) - 0.5, float(rows.min()) - 0.5
        width, height = float(np.ptp(columns)) + 1, float(np.ptp(rows)) + 1
        for colour, line in (("white", 4.0), (palette[k] / 255, 2.2)):
            axes[0, 1].add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=line))
        axes[0, 1].annotate(
            class_names[k], corner, (2, 3), textcoords="offset points", fontsize=10, bbox={"facecolor": "white", "pad": 1.5, "lw": 0}
        )
        axes[0, 3].contourf(inside, levels=[0.5, 1.5], colors=[palette[k] / 255], alpha=0.75)
        axes[0, 3].text(columns.mean(), rows.mean(), str(number), ha="center", va="center", fontsize=14, weight="bold")
    return fig


def objects(labels: Integer[Tensor, "H W"]) -> list[tuple[int, ndarray]]:
    """(class, mask) of each connected region (corners count) that is neither background (0) nor void (255)."""
    found = []
    for k in labels.unique().tolist():
        if k in (0, 255):
            continue
        regions, count = ndimage.label((labels == k).numpy(), np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
        found += [(k, regions == number) for number in range(1, count + 1)]
    return found


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


def confusion(counts: Integer[Tensor, "K K"], class_names: Sequence[str], *, hits: str = "#0072b2") -> Figure:
    """A confusion matrix with its numbers: rows are labels, columns predictions; the pixels that are right lie on the diagonal."""
    fig, axes = new_figure(1.5 + 0.85 * len(counts), 1.2 + 0.7 * len(counts))
    ax: Axes = axes[0, 0]
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    ax.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1.4)
    for i, row in enumerate(counts.tolist()):
        ax.add_patch(Rectangle((i - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=hits, linewidth=2.5))
        for j, count in enumerate(row):
            ax.text(j, i, f"{count:,}", ha="center", va="center", fontsize=12, color=INK)
    ax.set_xticks(range(len(counts)), class_names, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(counts)), class_names)
    ax.set(xlabel="predicted as", ylabel="labelled as")
    ax.spines[:].set_visible(False)
    return fig


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


def taps(layers: Mapping[str, tuple[int, int, int]], pixels: int) -> Figure:
    """What units 0 and 1 of the last layer read, layer by layer down to the pixels, along one axis and without padding.

    layers: name -> (kernel_size, stride, dilation), from the image upwards. Unit 0 is drawn with solid lines, unit 1 with dashed ones.
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
        ax.scatter(xs, [row] * len(xs), s=90, color="white", edgecolor=INK, zorder=3)
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


def lines(series: Mapping[str, Sequence[float | int]], x: Sequence[float | int] | Sequence[str], xlabel: str, ylabel: str) -> Figure:
    """Lines over x (numbers, or names), one colour, marker and dash for each entry of `series` (name -> one value for each x).

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
        ax.annotate(f"{values[-1]:.0f}", (places[-1], values[-1]), (9, 0), textcoords="offset points", va="center", color=INK)
    ax.set_xticks(places, [str(value) for value in x], rotation=45 if named else 0, ha="right" if named else "center")
    ax.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    ax.grid(axis="y", color=GRID_GREY, linewidth=0.5)
    ax.legend(frameon=False, loc="upper left")
    return fig


Box = tuple[tuple[int, int], tuple[int, int]]


def pixel_maps(
    maps: Mapping[str, Float[ndarray, "H W"]], boxes: Mapping[str, Box] | None = None, *, side: float = 3.4, numbers: bool = False
) -> Figure:
    """Maps of what single pixels weigh (title -> map, from 0 up), each on its own scale of colour; exact zeros are hatched.

    boxes: name -> ((top, bottom), (left, right)), framed on each map. numbers: write each into its square, a cross for zero. A map of
    more than 200 pixels a side is averaged over blocks.
    """
    fig, axes = new_figure(side * len(maps), side + (0.8 if boxes else 0.45), len(maps))
    for ax, (title, weights) in zip(axes[0], maps.items(), strict=True):
        height, width = weights.shape
        block = 1 + max(height, width) // 201
        weights = weights[: height - height % block, : width - width % block]
        shown = weights.reshape(height // block, block, width // block, block).mean((1, 3))
        ax.add_patch(
            Rectangle((-0.5, -0.5), width, height, facecolor="white", edgecolor="#cccccc", hatch="" if numbers else "//", zorder=0)
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
    if boxes:
        handles, names = axes[0, 0].get_legend_handles_labels()
        fig.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    return fig
