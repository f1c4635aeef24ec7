"""Images, label maps and predictions, and the confusion matrix."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy import ndarray
from scipy import ndimage
from torch import Tensor

from edu_seg.figures.base import GRID_GREY, HATCHES, INK, LINE, PERIOD, VOID, as_picture, new_figure


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
