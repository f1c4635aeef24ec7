"""`GridLab`: edit a schedule of dilations and see which inputs it reads, by how many paths, and which it skips."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import traitlets
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from edu_seg.figures import new_figure, png
from edu_seg.gridding import Coverage, coverage, frequency_response, is_gap_free, largest_gap, path_counts
from edu_seg.widgets.base import CourseWidget, bundle

SCRIPTS = (
    "lab.js",
    "rf_geometry.js",
    "rf_image_view.js",
    "stitch_lab_views.js",
    "grid_lab_maths.js",
    "grid_lab_words.js",
    "grid_lab_stack.js",
    "grid_lab_views.js",
    "grid_lab_panels.js",
    "grid_lab.js",
)
MOST_LAYERS = 8
DILATIONS = (1, 64)
KERNELS = (3, 5)
MOST_UNITS = 129
"""Of the window along an axis: that of one layer of 3 × 3 with the largest dilation."""
PRESETS: dict[str, tuple[tuple[int, ...], int]] = {
    "ResNet stage at rate 2": ((2, 2, 2), 3),
    "ResNet stage at rate 4": ((4, 4, 4), 3),
    "Doubling rates": ((1, 2, 4), 3),
    "Yu and Koltun, context module": ((1, 1, 2, 4, 8, 16, 1), 3),
    "HDC, good": ((1, 2, 5), 3),
    "HDC, bad": ((1, 2, 9), 3),
    "DRN-D-22, from level 5": ((2, 2, 4, 4, 2, 1), 3),
    "DeepLab v3, multi-grid (1, 2, 4) at rate 2": ((2, 4, 8), 3),
    "DeepLab v3, one branch of ASPP": ((12,), 3),
}
"""Name → (dilations, kernel size). A stage of three bottlenecks has three 3 × 3 layers; the other names are the papers'."""


class ImpossibleStack(traitlets.TraitError, ValueError):
    """A stack that is none, or too large to be shown. (A TraitError as well: traits then go back to what they were.)"""


@dataclass(frozen=True)
class GridSettings:
    """A stack of k × k convolutions of stride 1, from the input up, one channel each: what the browser computes, in Python.

    All of it is from `edu_seg.gridding`. Raises ValueError for what that refuses, and outside of DILATIONS, KERNELS, MOST_LAYERS and
    MOST_UNITS.
    """

    dilations: Sequence[int] = (2, 2, 2)
    kernel_size: int = 3

    def __post_init__(self) -> None:
        if isinstance(self.dilations, str) or not isinstance(self.dilations, Sequence):
            raise ImpossibleStack(f"dilations is {self.dilations!r}: give integers, (2, 2, 2) say")
        object.__setattr__(self, "dilations", tuple(self.dilations))
        if not 1 <= len(self.dilations) <= MOST_LAYERS:
            raise ImpossibleStack(f"there are {len(self.dilations)} dilations: give one for each layer, 1 to {MOST_LAYERS} of them")
        low, high = DILATIONS
        for value in self.dilations:
            if type(value) is not int or not low <= value <= high:
                raise ImpossibleStack(f"a dilation is {value!r}: give integers from {low} to {high}")
        if type(self.kernel_size) is not int or self.kernel_size not in KERNELS:
            raise ImpossibleStack(f"kernel_size is {self.kernel_size!r}: give one of {KERNELS}")
        if self.window > MOST_UNITS:
            raise ImpossibleStack(
                f"dilations {self.dilations} of {self.kernel_size} × {self.kernel_size} kernels have a window of {self.window} inputs "
                f"along an axis: at most {MOST_UNITS} can be shown"
            )

    @property
    def window(self) -> int:
        """Inputs along an axis, from the first that is read to the last."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)

    @cached_property
    def counts(self) -> Int64[Tensor, " window"]:
        """Paths from each input along an axis to the output; 0 at a hole. In the plane they multiply."""
        return path_counts(self.dilations, self.kernel_size)

    @property
    def coverage(self) -> Coverage:
        """Inputs of the square window that are read."""
        return coverage(self.dilations, self.kernel_size)

    @property
    def is_gap_free(self) -> bool:
        return is_gap_free(self.dilations, self.kernel_size)

    @property
    def num_paths(self) -> int:
        """From all inputs of the square window together."""
        return self.kernel_size ** (2 * len(self.dilations))

    @property
    def num_weights(self) -> int:
        """For one channel, without biases."""
        return len(self.dilations) * self.kernel_size**2

    @property
    def dense_weights(self) -> int:
        """Of one kernel as large as the window."""
        return self.window**2

    @property
    def largest_gap(self) -> int | None:
        """M₂ of the rule for hybrid dilated convolution (see `edu_seg.gridding.largest_gap`); None for one layer."""
        return largest_gap(self.dilations) if len(self.dilations) > 1 else None

    @property
    def passes_rule(self) -> bool | None:
        """M₂ ≤ kernel_size; it can be wrong: (2, 2, 2) passes, and has holes."""
        return None if self.largest_gap is None else self.largest_gap <= self.kernel_size

    @property
    def shared(self) -> tuple[int, int]:
        """Inputs that an output reads as well as its right neighbour, and as well as its neighbour below that."""
        read = self.counts > 0
        both = int((read[1:] & read[:-1]).sum())
        return both * int(read.sum()), both**2

    @property
    def code(self) -> str:
        """The stack in PyTorch; its padding keeps the map's size."""
        k = self.kernel_size
        lines = [f"    nn.Conv2d(1, 1, {k}, padding={dilation * (k // 2)}, dilation={dilation})," for dilation in self.dilations]
        return "\n".join(["nn.Sequential(", *lines, ")"])


class GridLab(CourseWidget):
    """A schedule of dilations that can be edited: its layers and taps, the window that an output reads, and the frequency response.

    Arguments as in `GridSettings`; they are traits too: what the reader chooses can be read here, and what is set here is shown.
    Raises ValueError for what cannot be shown. Sources: Yu, Koltun and Funkhouser 2017, section 4; Wang et al. 2018, section 3.2.
    """

    _esm = bundle(*SCRIPTS)
    dilations, kernel_size = (traitlets.Any(default).tag(sync=True) for default in ((2, 2, 2), 3))

    def __init__(self, dilations: Sequence[int] = (2, 2, 2), kernel_size: int = 3) -> None:
        settings = GridSettings(dilations, kernel_size)
        super().__init__(_data(), b"", _alt(settings), dilations=settings.dilations, kernel_size=kernel_size)

    @property
    def settings(self) -> GridSettings:
        """What is shown now."""
        return GridSettings(self.dilations, self.kernel_size)

    @property
    def code(self) -> str:
        """The stack in PyTorch, as shown now."""
        return self.settings.code

    def set(self, dilations: Sequence[int] | None = None, kernel_size: int | None = None) -> None:
        """Sets both at once, where one after the other might pass through something impossible; None leaves one as it is."""
        new = GridSettings(self.dilations if dilations is None else dilations, self.kernel_size if kernel_size is None else kernel_size)
        with self.hold_sync(), self.hold_trait_notifications():
            self.dilations, self.kernel_size = new.dilations, new.kernel_size

    @traitlets.validate("dilations", "kernel_size")
    def _check(self, proposal: Any) -> Any:
        name = proposal["trait"].name
        checked = GridSettings(**{"dilations": self.dilations, "kernel_size": self.kernel_size} | {name: proposal["value"]})
        return getattr(checked, name)

    @traitlets.observe("dilations", "kernel_size")
    def _describe(self, _: Any) -> None:
        self._alt = _alt(self.settings)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._poster = png(_poster(self.settings))
        return super()._repr_mimebundle_(**options)


def _data() -> dict[str, Any]:
    limits = {"layers": MOST_LAYERS, "dilations": list(DILATIONS), "kernels": list(KERNELS), "window": MOST_UNITS}
    presets = [{"name": name, "dilations": list(dilations), "kernel_size": k} for name, (dilations, k) in PRESETS.items()]
    return {"limits": limits, "presets": presets}


def _alt(settings: GridSettings) -> str:
    k, n, read = settings.kernel_size, settings.window, settings.coverage
    holes = "no holes" if settings.is_gap_free else f"{read.window - read.read} holes"
    right = settings.shared[0]
    shared = f"shares {right} of them" if right else "shares none of them"
    return (
        f"dilations {', '.join(map(str, settings.dilations))} of {k} × {k} kernels: an output reads {read} inputs in its {n} × {n} window, "
        f"{holes}, by {settings.num_paths} paths, and {shared} with its right neighbour; "
        "in JupyterLab you can edit the schedule and point at any unit, input or frequency."
    )


def _poster(settings: GridSettings) -> Figure:
    """Layers with their taps, the window, the frequency response."""
    fig, axes = new_figure(12.4, 4.1, 3, width_ratios=(1.35, 1, 1))
    _draw_stack(axes[0, 0], settings)
    _draw_window(axes[0, 1], settings)
    _draw_response(axes[0, 2], settings)
    return fig


def _draw_stack(ax: Axes, settings: GridSettings) -> None:
    units, k = {0}, settings.kernel_size
    last = len(settings.dilations)
    for level in range(last, 0, -1):
        reach = settings.dilations[level - 1] * (np.arange(k) - k // 2)
        ties = [(unit, unit + tap, np.nan) for unit in units for tap in reach]
        ax.plot(np.array(ties).ravel(), np.array([level, level - 1, np.nan] * len(ties)), color="#8d99a3", linewidth=0.8, zorder=0)
        ax.scatter(list(units), [level] * len(units), s=16, color="#222222")
        units = {int(unit + tap) for unit in units for tap in reach}
    holes = sorted(set(range(-(settings.window // 2), settings.window // 2 + 1)) - units)
    ax.scatter(list(units), [0] * len(units), s=16, color="#222222")
    ax.scatter(holes, [0] * len(holes), s=22, marker="x", color="#a33b00")
    between = [f"d = {dilation}" for dilation in settings.dilations]
    ax.set_yticks([0, *(level + 0.5 for level in range(last)), last], ["input", *between, "output"])
    ax.set_title("taps along one axis" + (", × holes" if holes else ""))
    ax.tick_params(length=0)
    ax.set_xticks([])
    ax.spines[:].set_visible(False)


def _draw_window(ax: Axes, settings: GridSettings) -> None:
    counts = torch.outer(settings.counts, settings.counts).double().numpy()
    edge = settings.window / 2
    if not settings.is_gap_free:
        ax.fill_between([-edge, edge], -edge, edge, facecolor="#f3f1ec", edgecolor="#9a8f7a", hatch="////", linewidth=0, zorder=-1)
    shades = np.where(counts > 0, np.log(np.maximum(counts, 1)), np.nan)
    low, high = (0.0, float(np.log(counts.max()))) if counts.max() > 1 else (-1.0, 1.0)
    ax.imshow(shades, cmap="cividis", extent=(-edge, edge, edge, -edge), vmin=low, vmax=high)
    ax.set_title(f"{settings.coverage} read, by paths (log)")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _draw_response(ax: Axes, settings: GridSettings) -> None:
    omega = torch.linspace(0, math.pi, 1001, dtype=torch.float64)
    marks = sorted({2 * math.pi * m / d for d in settings.dilations for m in range(1, d // 2 + 1)})
    for mark in marks:
        ax.axvline(mark, color="#d55e00", linestyle="--", linewidth=1.2 if len(marks) < 16 else 0.5, clip_on=False)
    ax.plot(omega, frequency_response(settings.dilations, omega, settings.kernel_size).abs(), color="#0072b2", clip_on=False)
    ax.set_xticks([0, math.pi / 2, math.pi], ["0", "π/2", "π"])
    ax.set(title="gain |H(ω)|" + (", dashed: ω = 2πm / d" if marks else ""), ylim=(0, 1.03), xlim=(0, math.pi), xlabel="ω")
