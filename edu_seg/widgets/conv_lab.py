"""`ConvLab`: a convolution and its transpose as a matrix; point at a row, a column or a cell and see what it ties."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import torch
import traitlets
from jaxtyping import Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from edu_seg.conv_matrix import conv_matrix
from edu_seg.figures import new_figure, png
from edu_seg.geometry import output_size, transposed_output_size
from edu_seg.widgets.base import CourseWidget, bundle

SCRIPTS = ("lab.js", "conv_lab_maths.js", "conv_lab_words.js", "conv_lab_views.js", "conv_lab_panels.js", "conv_lab.js")
RANGES = {"kernel_size": (1, 5), "stride": (1, 4), "padding": (0, 4), "dilation": (1, 3), "output_padding": (0, 3), "size": (1, 10)}
MOST_UNITS = 10
"""No map has more along an axis: the matrix of two such maps, 100 × 100, can still be looked at."""
HUES = ((86, 180, 233), (230, 159, 0), (0, 178, 130), (214, 126, 178), (225, 212, 40))
SHADES = (1.0, 0.8, 0.6, 0.42, 0.26)
"""A tap's colour: the hue is its row's (Okabe and Ito's, lightened), the shade its column's. Its number says the same."""

Side = Literal["input", "output"]


class ImpossibleSetting(traitlets.TraitError, ValueError):
    """A value that makes no convolution, or one too large to be shown. (A TraitError as well: traits then go back to what they were.)"""


@dataclass(frozen=True)
class ConvSettings:
    """A convolution, or a transposed one, of one channel on a square map, and the matrix that it is: what the browser computes, in Python.

    Taps are numbered 1 … kernel_size², row by row; cells of a map by their flat index, row by row.
    Raises ValueError for what PyTorch refuses, and outside of `RANGES` or above `MOST_UNITS`.
    """

    kernel_size: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    output_padding: int = 0
    size: int = 4
    transposed: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ImpossibleSetting(f"{name} is {value!r}: give an integer from {low} to {high}")
        if type(self.transposed) is not bool:
            raise ImpossibleSetting(f"transposed is {self.transposed!r}: give True or False")
        if self.output_padding and not self.transposed:
            raise ImpossibleSetting(f"output_padding is {self.output_padding}, but only a transposed convolution has one: give 0")
        if self.output_padding >= max(self.stride, self.dilation):
            raise ImpossibleSetting(
                f"output_padding is {self.output_padding}: PyTorch wants it smaller than the stride ({self.stride}) "
                f"or the dilation ({self.dilation})"
            )
        if self.output_size > MOST_UNITS:
            raise ImpossibleSetting(
                f"{self} makes a map of {self.output_size} × {self.output_size}: at most {MOST_UNITS} a side can be shown"
            )

    @property
    def _window(self) -> tuple[int, int, int, int]:
        return self.kernel_size, self.stride, self.padding, self.dilation

    @property
    def output_size(self) -> int:
        """Rows (and columns) of the output."""
        try:
            if self.transposed:
                return transposed_output_size(self.size, *self._window, self.output_padding)
            return output_size(self.size, *self._window)
        except ValueError as error:
            raise ImpossibleSetting(str(error)) from None

    @property
    def small_and_large(self) -> tuple[int, int]:
        """Sizes of the map with a cell for each window, and of the map that the windows lie on (the one with padding)."""
        return (self.size, self.output_size) if self.transposed else (self.output_size, self.size)

    @property
    def remainder(self) -> int:
        """Last rows (and columns) of the padded large map that no window reaches: what the floor drops, or the output padding adds."""
        small, large = self.small_and_large
        span = self.dilation * (self.kernel_size - 1) + 1
        return large + 2 * self.padding - span - (small - 1) * self.stride

    def matrix(self) -> Int64[Tensor, "outputs inputs"]:
        """C, or Cᵀ for a transposed convolution: which tap ties an output (row) to an input (column); 0: none does."""
        small, large = self.small_and_large
        taps = torch.arange(1.0, self.kernel_size**2 + 1).reshape(1, 1, self.kernel_size, self.kernel_size)
        made = output_size(large, *self._window)  # one more than `small` where the output padding is a stride or more
        whole = conv_matrix(taps, (large, large), self.stride, self.padding, self.dilation).to_dense().long()
        matrix = whole.reshape(made, made, -1)[:small, :small].flatten(0, 1)
        return matrix.T if self.transposed else matrix

    def ties(self, side: Side, index: int) -> list[tuple[int, int]]:
        """(cell on the other side, tap) for every tie of one cell: row `index` of the matrix for "output", column for "input"."""
        line = self.matrix()[index] if side == "output" else self.matrix()[:, index]
        return [(int(other), int(line[other])) for other in line.nonzero()[:, 0]]

    def adjoint(self) -> "ConvSettings":
        """The settings whose matrix is the transpose of this one: sizes swapped, the remainder as output padding."""
        padding = 0 if self.transposed else self.remainder
        return replace(self, size=self.output_size, output_padding=padding, transposed=not self.transposed)

    @property
    def code(self) -> str:
        """The line of PyTorch; defaults left out."""
        usual = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
        named = [f"{name}={getattr(self, name)}" for name, default in usual.items() if getattr(self, name) != default]
        return f"nn.{'ConvTranspose2d' if self.transposed else 'Conv2d'}({', '.join(['1', '1', str(self.kernel_size), *named])})"

    @property
    def formula(self) -> str:
        """The output's size, worked out (Dumoulin and Visin, relationships 6 and 14, with dilation as in relationship 15)."""
        n, k, s, p, d = self.size, *self._window
        if self.transposed:
            return f"({n} − 1) · {s} − 2 · {p} + {d} · ({k} − 1) + {self.output_padding} + 1 = {self.output_size}"
        steps = f"⌊{n + 2 * p - d * (k - 1) - 1} / {s}⌋ + 1 = {self.output_size}"
        return f"⌊({n} + 2 · {p} − {d} · ({k} − 1) − 1) / {s}⌋ + 1 = {steps}"


NAMES = tuple(field.name for field in fields(ConvSettings))


class ConvLab(CourseWidget):
    """A convolution of one channel on a square map: input, matrix and output, and controls for all that it is set by.

    Arguments as in `ConvSettings`; they are traits too: what the reader chooses can be read here, and what is set here is shown.
    Raises ValueError for what cannot be computed or shown.
    """

    _esm = bundle(*SCRIPTS)
    kernel_size, stride, padding, dilation, output_padding, size, transposed = (
        traitlets.Any(field.default).tag(sync=True) for field in fields(ConvSettings)
    )

    def __init__(
        self,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        output_padding: int = 0,
        size: int = 4,
        transposed: bool = False,
    ) -> None:
        settings = ConvSettings(kernel_size, stride, padding, dilation, output_padding, size, transposed)
        data = {"ranges": {name: list(ends) for name, ends in RANGES.items()}, "most": MOST_UNITS, "colours": _colours()}
        super().__init__(data, b"", _alt(settings), **asdict(settings))

    @property
    def settings(self) -> ConvSettings:
        """What is shown now."""
        return ConvSettings(*(getattr(self, name) for name in NAMES))

    @property
    def code(self) -> str:
        """The line of PyTorch for what is shown now."""
        return self.settings.code

    def set(self, **settings: Any) -> None:
        """Sets several at once, `lab.set(stride=2, padding=1)`, where one after the other would pass through something impossible."""
        if unknown := settings.keys() - set(NAMES):
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}: give some of {', '.join(NAMES)}")
        new = ConvSettings(**{**asdict(self.settings), **settings})
        with self.hold_sync(), self.hold_trait_notifications():
            for name, value in asdict(new).items():
                setattr(self, name, value)

    @traitlets.validate(*NAMES)
    def _check(self, proposal: Any) -> Any:
        ConvSettings(**{name: getattr(self, name) for name in NAMES} | {proposal["trait"].name: proposal["value"]})
        return proposal["value"]

    @traitlets.observe(*NAMES)
    def _describe(self, _: Any) -> None:
        self._alt = _alt(self.settings)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._poster = png(_poster(self.settings))
        return super()._repr_mimebundle_(**options)


def _colours() -> list[str]:
    """Of a 5 × 5 kernel's taps, row by row; a smaller kernel has the upper left ones."""
    mixed = [[round(255 + (part - 255) * shade) for part in hue] for hue in HUES for shade in SHADES]
    return ["#" + "".join(f"{part:02x}" for part in colour) for colour in mixed]


def _colour_of(settings: ConvSettings, tap: int) -> str:
    row, column = divmod(tap - 1, settings.kernel_size)
    return _colours()[row * RANGES["kernel_size"][1] + column]


def _alt(settings: ConvSettings) -> str:
    rows, columns = settings.output_size**2, settings.size**2
    name = "Cᵀ" if settings.transposed else "C"
    return (
        f"{settings.code} takes {settings.size} × {settings.size} to {settings.output_size} × {settings.output_size}: "
        f"the {rows} × {columns} matrix {name} between the two maps, each entry in the colour of its kernel tap, and row 0 lit; "
        "in JupyterLab you can change every setting and point at any cell, row or column."
    )


def _poster(settings: ConvSettings) -> Figure:
    """Kernel and input, matrix, output; row 0 lit."""
    matrix = settings.matrix().numpy()
    is_wide = matrix.shape[1] >= matrix.shape[0]
    fig, axes = new_figure(12.0, 3.3 if is_wide else 4.2, 4, width_ratios=(0.7, 1.2, 3.4 if is_wide else 2.0, 1.2))
    kernel, source, middle, target = axes[0]
    k = settings.kernel_size
    _draw(kernel, settings, np.arange(1, k * k + 1).reshape(k, k), f"kernel {k} × {k}")
    inputs, outputs = (np.zeros((side, side), int) for side in (settings.size, settings.output_size))
    inputs.flat[:] = matrix[0]
    _draw(source, settings, inputs, _title("input", settings.size, 0 if settings.transposed else settings.padding))
    _draw(middle, settings, matrix, f"{'Cᵀ' if settings.transposed else 'C'}, {matrix.shape[0]} × {matrix.shape[1]}")
    _draw(target, settings, outputs, _title("output", settings.output_size, 0))
    middle.add_patch(Rectangle((-0.5, -0.5), matrix.shape[1], 1, fill=False, edgecolor="black", linewidth=2, clip_on=False))
    target.add_patch(Rectangle((-0.5, -0.5), 1, 1, fill=False, edgecolor="black", linewidth=2, clip_on=False))
    _hatch(target if settings.transposed else source, settings)
    return fig


def _title(name: str, size: int, padding: int) -> str:
    return f"{name} {size} × {size}" + (f", padding {padding}" if padding else "")


def _draw(ax: Axes, settings: ConvSettings, taps: np.ndarray, title: str) -> None:
    """A map or matrix of tap numbers, 0 = white."""
    colours = ["#ffffff", *(_colour_of(settings, tap + 1) for tap in range(settings.kernel_size**2))]
    pixels = np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours], np.uint8)
    ax.imshow(pixels[taps], interpolation="nearest")
    rows, columns = taps.shape
    ax.set_aspect(min(max(1.0, 0.3 * columns / rows), 2 * columns / rows))
    ax.set_title(title)
    ax.set_xticks(np.arange(columns + 1) - 0.5, labels=[])
    ax.set_yticks(np.arange(rows + 1) - 0.5, labels=[])
    ax.grid(color="#999999", linewidth=0.6 if max(rows, columns) < 40 else 0.2)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(True)
    if rows <= 16 and columns <= 36:
        for row, column in np.argwhere(taps):
            ax.text(column, row, str(taps[row, column]), ha="center", va="center", fontsize=12)


def _hatch(ax: Axes, settings: ConvSettings) -> None:
    """The last rows and columns of the large map that no window reaches."""
    large = settings.small_and_large[1]
    extra = settings.remainder - settings.padding
    if extra > 0:
        hatched: dict[str, Any] = {"hatch": "///", "facecolor": "none", "edgecolor": "#777777", "linewidth": 0}
        ax.add_patch(Rectangle((-0.5, large - extra - 0.5), large, extra, **hatched))
        ax.add_patch(Rectangle((large - extra - 0.5, -0.5), extra, large - extra, **hatched))
