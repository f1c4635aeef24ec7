"""`StitchLab`: step through the stride² shifted passes of a coarse network and see the dense grid fill up, beside the à trous result."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import traitlets
from jaxtyping import Float, Float64
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy import ndarray
from torch import Tensor, nn

from edu_seg.figures import new_figure, png
from edu_seg.receptive_field import ReceptiveFields, receptive_fields
from edu_seg.surgery import remove_stride, shift_and_stitch, shifted_copies
from edu_seg.widgets.base import CourseWidget, bundle
from edu_seg.widgets.rf_data import explorer_data, layer_rows

SCRIPTS = (
    "lab.js",
    "rf_geometry.js",
    "rf_image_view.js",
    "rf_words.js",
    "stitch_lab_grid.js",
    "stitch_lab_words.js",
    "stitch_lab_views.js",
    "stitch_lab_parts.js",
    "stitch_lab.js",
)
MOST_PIXELS = 32
STRIDES = range(2, 5)
TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class StitchSteps:
    """What the passes of shift-and-stitch make, one after the other; float64. Pass dy · f + dx sees the image from row dy, column dx on.

    passes: the coarse maps, of which units beyond the image's last rows and columns are dropped. stitched: `shift_and_stitch`.
    dense: the network without its stride (à trous) on the same image. fields: of the coarse network's layers.
    """

    stride: int
    passes: Float64[ndarray, "passes h w"]
    stitched: Float64[ndarray, "H W"]
    dense: Float64[ndarray, "H W"]
    fields: ReceptiveFields

    @property
    def tolerance(self) -> float:
        """What rounding may add: 1e-12, times the largest value where that is above 1."""
        return TOLERANCE * max(1.0, float(np.abs(self.dense).max()))

    @cached_property
    def owners(self) -> ndarray:
        """(H, W): the number of the pass that fills each cell."""
        rows, columns = (np.arange(size) % self.stride for size in self.dense.shape)
        return rows[:, None] * self.stride + columns

    @property
    def filled(self) -> list[int]:
        """How many cells hold a value after 1, 2, … stride² passes."""
        return [int((self.owners < done).sum()) for done in self._counts]

    @property
    def errors(self) -> list[float]:
        """The largest |stitched − dense| over the cells filled after 1, 2, … stride² passes."""
        return [float(self._difference[self.owners < done].max()) for done in self._counts]

    @property
    def differing(self) -> list[int]:
        """How many of the cells filled after 1, 2, … stride² passes differ by more than `tolerance`."""
        return [int((self._difference[self.owners < done] > self.tolerance).sum()) for done in self._counts]

    @property
    def _counts(self) -> range:
        return range(1, self.stride**2 + 1)

    @property
    def _difference(self) -> ndarray:
        return np.abs(self.stitched - self.dense)


def stitch_steps(net: nn.Module, image: Float[Tensor, "C H W"], stride: int, *, channel: int = 0) -> StitchSteps:
    """All that `StitchLab` shows, computed once in float64 on a copy of `net` in evaluation mode.

    image: (1 or 3, H, W) float. stride: the network's. channel: of its output, the one to show.
    Raises ValueError for another image or one too large, a stride that is not the network's or not 2 to 4, a channel that is not there,
    and a network whose à trous map has another size (a pool with `ceil_mode`); `CannotConvert` as `remove_stride` does.
    Source: Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", section 3.2.
    """
    _check(image, stride)
    size = (image.shape[1], image.shape[2])
    fields = receptive_fields(net, size, channels=image.shape[0])
    coarse = copy.deepcopy(net).double().eval()
    images = image.detach().cpu().double()[None]
    with torch.no_grad():
        stitched = shift_and_stitch(coarse, images, stride)
        passes = coarse(shifted_copies(images, stride).flatten(0, 1))
        dense = remove_stride(coarse, 1)(images)
    if not 0 <= channel < stitched.shape[1]:
        raise ValueError(f"channel {channel}: the network makes {stitched.shape[1]}, counted from 0")
    if stitched.shape != dense.shape:
        raise ValueError(
            f"the stitched map has {_times(stitched.shape[2:])} cells and the à trous map {_times(dense.shape[2:])}, so they cannot be "
            "compared: give a network whose pools have no ceil_mode"
        )
    maps = [values[:, channel].numpy() for values in (passes, stitched, dense)]
    return StitchSteps(stride, maps[0], maps[1][0], maps[2][0], fields)


class StitchLab(CourseWidget):
    """Shift-and-stitch by hand: the image as each pass sees it, the pass's coarse map, the grid that it fills, and the à trous result.

    Arguments and errors as in `stitch_steps`; ValueError also for a `step` outside 1..stride². `step` is the number of passes done: what
    the reader does arrives there, and it may be set. `steps` holds the numbers.
    """

    _esm = bundle(*SCRIPTS)
    step = traitlets.Int(1).tag(sync=True)

    def __init__(self, net: nn.Module, image: Float[Tensor, "C H W"], stride: int, *, channel: int = 0, step: int = 1) -> None:
        steps = stitch_steps(net, image, stride, channel=channel)
        self._last = stride**2
        self.steps = steps
        super().__init__(_data(steps, net, image), _poster(steps, image), _alt(steps, image), step=step)

    @traitlets.validate("step")
    def _check_step(self, proposal: Any) -> int:
        if not 1 <= proposal["value"] <= self._last:
            raise ValueError(f"step {proposal['value']}: there are {self._last} passes, counted from 1")
        return proposal["value"]


def _check(image: Tensor, stride: int) -> None:
    if image.ndim != 3 or image.shape[0] not in (1, 3) or not image.is_floating_point():
        raise ValueError(f"the image is a tensor {tuple(image.shape)} of {image.dtype}: give floats in 0..1, (1 or 3, H, W)")
    if max(image.shape[1:]) > MOST_PIXELS:
        raise ValueError(
            f"the image has {_times(image.shape[1:])} pixels: give a small one, at most {MOST_PIXELS} a side, so that cells can be seen"
        )
    if stride not in STRIDES:
        raise ValueError(f"stride {stride}: the {stride}² passes are shown one by one, so give a network of stride 2, 3 or 4")


def _times(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes))


def _data(steps: StitchSteps, net: nn.Module, image: Tensor) -> dict[str, Any]:
    """What is sent, once: all values, and the geometry by which the browser finds what a unit reads."""
    geometry = explorer_data(steps.fields, net)
    output = steps.fields["output"].node
    rows = zip(layer_rows(steps.fields, net), geometry["rows"], strict=True)
    return {
        "image": _pixels(image).flatten().tolist(),
        "size": list(image.shape[1:]),
        "stride": steps.stride,
        "map": list(steps.passes.shape[1:]),
        "cells": list(steps.dense.shape),
        "passes": steps.passes.reshape(len(steps.passes), -1).tolist(),
        "dense": steps.dense.flatten().tolist(),
        "tolerance": steps.tolerance,
        "graph": geometry["graph"],
        "node": next(sent["node"] for row, sent in rows if row.field.node is output),
    }


def _pixels(image: Tensor) -> ndarray:
    """Bytes (H, W, 3); of one channel grey."""
    return (image.detach().cpu().clamp(0, 1) * 255).round().byte().expand(3, -1, -1).permute(1, 2, 0).numpy()


def _poster(steps: StitchSteps, image: Tensor) -> bytes:
    """The state after half of the passes."""
    done = steps.stride**2 // 2
    dy, dx = divmod(done - 1, steps.stride)
    fig, axes = new_figure(12.4, 3.95, 4)
    shown = {"cmap": "cividis", "vmin": steps.dense.min(), "vmax": steps.dense.max()}
    _draw_crop(axes[0, 0], steps, image, (dy, dx))
    coarse = np.full(steps.passes.shape[1:], np.nan)
    kept = steps.stitched[dy :: steps.stride, dx :: steps.stride]
    coarse[: kept.shape[0], : kept.shape[1]] = kept
    axes[0, 1].imshow(coarse, **shown)
    axes[0, 2].imshow(np.where(steps.owners < done, steps.stitched, np.nan), **shown)
    axes[0, 3].imshow(steps.dense, **shown)
    titles = (f"image from ({dy}, {dx}) on", f"pass {done} of {steps.stride**2}", f"stitched, {done} passes done", "à trous, one pass")
    sizes = (image.shape[1:], steps.passes.shape[1:], steps.dense.shape, steps.dense.shape)
    for ax, title, size in zip(axes[0], titles, sizes, strict=True):
        ax.add_patch(_hatched(size))
        ax.set_title(f"{title}\n{_times(size)}")
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return png(fig)


def _draw_crop(ax: Axes, steps: StitchSteps, image: Tensor, shift: tuple[int, int]) -> None:
    """The image, the frame of what a shifted pass sees, and a dot where each of its units looks."""
    (height, width), (dy, dx), field = image.shape[1:], shift, steps.fields["output"]
    rows, columns = (
        [sum(ends(unit)) / 2 + shifted for unit in range(units)]
        for ends, units, shifted in zip((field.rows, field.cols), field.map_size, shift, strict=True)
    )
    ax.imshow(_pixels(image), interpolation="nearest")
    for colour, line in (("white", 5.0), ("#d55e00", 2.6)):
        ax.add_patch(Rectangle((dx - 0.5, dy - 0.5), width, height, fill=False, edgecolor=colour, linewidth=line))
    kept = steps.stitched[dy :: steps.stride, dx :: steps.stride].shape
    places = [(x, y) for y in rows[: kept[0]] for x in columns[: kept[1]]]
    ax.scatter(*zip(*places, strict=True), s=26, c="#d55e00", edgecolors="white", linewidths=1.2)
    ax.set(xlim=(-1.2, width + steps.stride - 0.6), ylim=(height + steps.stride - 0.6, -1.2))


def _hatched(size: Sequence[int]) -> Rectangle:
    """Behind the cells: what is still empty."""
    return Rectangle((-0.5, -0.5), size[1], size[0], facecolor="#f3f1ec", edgecolor="#999999", hatch="///", linewidth=0, zorder=-1)


def _alt(steps: StitchSteps, image: Tensor) -> str:
    total, error, differing = steps.stride**2, steps.errors[-1], steps.differing[-1]
    same = f"below {steps.tolerance:.0e}" if not differing else f"{error:.2g}, and {differing} cells differ"
    return (
        f"shift-and-stitch of a network of stride {steps.stride} on an image of {_times(image.shape[1:])} pixels: {total} shifted passes "
        f"of {_times(steps.passes.shape[1:])} units fill {_times(steps.dense.shape)} cells, beside the à trous result; the largest error "
        f"is {same}; in JupyterLab you can step through the passes and point at any cell."
    )
