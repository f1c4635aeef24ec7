"""`ASPPLab`: where the taps of dilated filters fall on a map, how many weights are left of them, and what the bins of a pyramid average."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from math import ceil, nan
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from edu_seg.datasets import Shapes
from edu_seg.figures import new_figure, png
from edu_seg.layers import Rule, spp_window, valid_taps
from edu_seg.widgets.base import CourseWidget, bundle

SCRIPTS = (
    "lab.js",
    "rf_geometry.js",
    "rf_image_view.js",
    "aspp_lab_maths.js",
    "aspp_lab_words.js",
    "aspp_lab_views.js",
    "aspp_lab_curve.js",
    "aspp_lab_bins.js",
    "aspp_lab_panels.js",
    "aspp_lab.js",
)
MAP_SIZES, RATES, LEVELS = (5, 129), (1, 160), (1, 12)
MOST_RATES, MOST_LEVELS, MOST_PIXELS = 4, 6, 40_000
STRIDES = (1, 2, 4, 8, 16)
PARTS = ("taps", "pyramid")
RULES: tuple[Rule, ...] = ("adaptive", "window")
PRESETS: dict[str, tuple[int, ...]] = {
    "DeepLab v3, output stride 16": (6, 12, 18),
    "DeepLab v3, output stride 8": (12, 24, 36),
    "DeepLab v2, ASPP-S": (2, 4, 8, 12),
    "DeepLab v2, ASPP-L": (6, 12, 18, 24),
}
LOOKS = (("#0072b2", "o"), ("#d55e00", "s"), ("#00835f", "D"), ("#a8487c", "^"))
"""Colour and marker of the first, second, … rate."""
DASHES = {9: "-", 6: (0, (1, 1)), 4: "--", 2: (0, (1, 3)), 1: "-."}

Part = Literal["taps", "pyramid"]
Pair = tuple[int, int]
Windows = list[Pair]


class ImpossibleValue(traitlets.TraitError, ValueError):
    """A value that cannot be shown. (A TraitError as well: traits then go back to what they were.)"""


def valid_here(map_size: int, rate: int, place: Pair) -> int:
    """Taps of a 3 × 3 with this rate, centred on the unit `place` (row, column), that lie on the map of `map_size` × `map_size` units."""
    rows, columns = (sum(0 <= at + step < map_size for step in (-rate, 0, rate)) for at in place)
    return rows * columns


def mean_share(map_size: int, rate: int) -> Fraction:
    """The share of valid weights of a 3 × 3, over all places of the map: ((3N - 2r) / 3N)², and 1/9 from r = N on."""
    return sum((taps * share for taps, share in valid_taps(map_size, rate).items()), Fraction()) / 9


def bin_windows(size: int, level: int, rule: Rule = "adaptive") -> Windows:
    """(first unit, end) of each bin along an axis of `size` units; the end is not included. Source: as `SpatialPyramidPooling`.

    rule: "adaptive", always `level` of them, or SPP-net's "window", which may make more, and none for more bins than units.
    """
    if rule == "adaptive":
        return [(n * size // level, ceil((n + 1) * size / level)) for n in range(level)]
    if level > size:
        return []
    window, stride, made = spp_window(size, level)
    return [(n * stride, n * stride + window) for n in range(made)]


def bin_means(image: UInt8[Tensor, "3 H W"], stride: int, level: int, rule: Rule = "adaptive") -> Float[Tensor, "3 rows columns"]:
    """What average pooling keeps, 0 to 255: the means of the bins over units of `stride` × `stride` pixels (fewer at the far edges)."""
    units = F.avg_pool2d(image.double(), stride, ceil_mode=True, count_include_pad=False)
    rows, columns = (bin_windows(size, level, rule) for size in units.shape[1:])
    means = [units[:, top:bottom, left:right].mean((1, 2)) for (top, bottom), (left, right) in product(rows, columns)]
    return torch.stack(means, 1).view(3, len(rows), len(columns)) if means else units.new_zeros(3, 0, 0)


@dataclass(frozen=True)
class ASPPSettings:
    """What the lab shows, checked: the browser's arithmetic, in Python.

    map_size: N of a map of N × N units. rates: one to four, of 3 × 3 filters that keep the map's size. active: position in `rates` of
    the one in bold. centre: (row, column) of the unit the filters are centred on; None: the middle. part: which tab is open.
    bins: n of each level of the pyramid. level: the n that is shown, one of `bins`; None: the last. stride: pixels of the image to one
    unit of the map that is pooled. rule: as in `SpatialPyramidPooling`. bin: (row, column) of the one that is chosen; None: none.
    image_size: pixels, (height, width). Raises ValueError naming the value outside of what can be shown.
    """

    map_size: int = 65
    rates: Sequence[int] = (6, 12, 18)
    active: int = 1
    centre: Sequence[int] | None = None
    part: Part = "taps"
    level: int | None = None
    stride: int = 8
    rule: Rule = "adaptive"
    bin: Sequence[int] | None = None
    bins: Sequence[int] = (1, 2, 3, 6)
    image_size: Pair = (80, 120)

    def __post_init__(self) -> None:
        _check_integer("map_size", self.map_size, *MAP_SIZES)
        self._keep("rates", _integers("rates", self.rates, MOST_RATES, RATES))
        _check_integer("active", self.active, 0, len(self.rates) - 1, f": a position in rates {self.rates}")
        self._keep("bins", _integers("bins", self.bins, MOST_LEVELS, LEVELS))
        if len(set(self.bins)) < len(self.bins):
            raise ImpossibleValue(f"bins is {self.bins}: give each level once")
        if self.level is None:
            self._keep("level", self.bins[-1])
        for name, options in (("part", PARTS), ("rule", RULES), ("stride", STRIDES), ("level", self.bins)):
            if (value := getattr(self, name)) not in options or isinstance(value, bool | float):
                raise ImpossibleValue(f"{name} is {value!r}: give one of {', '.join(map(str, options))}")
        self._keep("centre", _place("centre", self.centre, (self.map_size, self.map_size)))
        rows, columns = self.windows
        self._keep("bin", _place("bin", self.bin, (len(rows), len(columns))))

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def rate(self) -> int:
        """The one in bold."""
        return self.rates[self.active]

    @property
    def place(self) -> Pair:
        """The unit that the filters are centred on."""
        row, column = self.centre or (self.map_size // 2, self.map_size // 2)
        return row, column

    @property
    def valid(self) -> tuple[int, ...]:
        """Weights of the nine that are valid at `place`, one number for each rate."""
        return tuple(valid_here(self.map_size, rate, self.place) for rate in self.rates)

    @property
    def means(self) -> tuple[Fraction, ...]:
        """The mean share of valid weights over the map, for each rate."""
        return tuple(mean_share(self.map_size, rate) for rate in self.rates)

    @property
    def units(self) -> Pair:
        """Rows and columns of the map that is pooled."""
        return ceil(self.image_size[0] / self.stride), ceil(self.image_size[1] / self.stride)

    @property
    def windows(self) -> tuple[Windows, Windows]:
        """The rows and the columns of units of each bin, as `bin_windows`."""
        return bin_windows(self.units[0], self.level or 1, self.rule), bin_windows(self.units[1], self.level or 1, self.rule)

    @property
    def spp_bins(self) -> Pair:
        """Rows and columns of windows by SPP-net's rule; `level` of each where it holds, 0 where its stride would be 0."""
        return len(bin_windows(self.units[0], self.level or 1, "window")), len(bin_windows(self.units[1], self.level or 1, "window"))


SHOWN = ("map_size", "rates", "active", "centre", "part", "level", "stride", "rule", "bin")


class ASPPLab(CourseWidget):
    """The taps of up to four rates on a map and how many of their weights are valid; the bins of a pyramid over an image.

    Arguments as in `ASPPSettings`. image: uint8 (3, H, W), 16 pixels a side or more and at most 40,000; None: a generated scene.
    All but `image` and `bins` are traits too: what the reader chooses can be read here, and what is set here is shown. A smaller map
    brings `centre` back onto it, fewer rates `active`, fewer bins `bin`. Raises ValueError for what cannot be shown.
    Sources: DeepLab v3, section 3.3, figure 4; PSPNet, section 3.2; He et al. 2014 (SPP-net), section 2.3.
    """

    _esm = bundle(*SCRIPTS)
    map_size, rates, active, centre, part, level, stride, rule, bin = (
        traitlets.Any(default).tag(sync=True) for default in (65, (6, 12, 18), 1, None, "taps", 6, 8, "adaptive", None)
    )

    def __init__(
        self,
        map_size: int = 65,
        rates: Sequence[int] = (6, 12, 18),
        *,
        image: UInt8[Tensor, "3 H W"] | None = None,
        bins: Sequence[int] = (1, 2, 3, 6),
        active: int | None = None,
        centre: Sequence[int] | None = None,
        part: Part = "taps",
        level: int | None = None,
        stride: int = 8,
        rule: Rule = "adaptive",
        bin: Sequence[int] | None = None,
    ) -> None:
        self._image = _default_image() if image is None else _checked_image(image)
        if active is None:
            active = min(1, len(rates) - 1) if isinstance(rates, Sequence) and len(rates) else 0
        height, width = self._image.shape[1:]
        settings = ASPPSettings(map_size, rates, active, centre, part, level, stride, rule, bin, bins, (height, width))
        self._fixed = {"bins": settings.bins, "image_size": settings.image_size}
        super().__init__(_data(self._image, settings), b"", _alt(settings), **{name: getattr(settings, name) for name in SHOWN})

    @property
    def settings(self) -> ASPPSettings:
        """What is shown now."""
        return ASPPSettings(**{name: getattr(self, name) for name in SHOWN}, **self._fixed)

    def set(self, **values: Any) -> None:
        """Sets several at once, `lab.set(map_size=33, rates=(6, 12), centre=(0, 0))`. Raises ValueError, and then nothing has changed."""
        if unknown := values.keys() - set(SHOWN):
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}: give some of {', '.join(SHOWN)}")
        new = self._with(values)
        with self.hold_sync(), self.hold_trait_notifications():
            for name in SHOWN:
                setattr(self, name, getattr(new, name))

    def _with(self, values: dict[str, Any]) -> ASPPSettings:
        """The settings with some replaced; what depends on these, and is not among them, comes back into range."""
        now = {name: getattr(self, name) for name in SHOWN}
        loose = {name: now.pop(name) for name in ("centre", "active", "bin") if name not in values}
        free = ASPPSettings(**{"active": 0} | now | values, **self._fixed)
        if "active" in loose:
            loose["active"] = min(loose["active"], len(free.rates) - 1)
        rows, columns = free.windows
        for name, size in (("centre", (free.map_size, free.map_size)), ("bin", (len(rows), len(columns)))):
            if name in loose:
                loose[name] = _onto(loose[name], size)
        return replace(free, **loose)

    @traitlets.validate(*SHOWN)
    def _check(self, proposal: Any) -> Any:
        name = proposal["trait"].name
        return getattr(self._with({name: proposal["value"]}), name)

    @traitlets.observe(*SHOWN)
    def _follow(self, change: Any) -> None:
        """What depends on the new value is brought back into range."""
        new = self._with({change["name"]: change["new"]})
        for name in ("centre", "active", "bin"):
            if getattr(self, name) != getattr(new, name):
                setattr(self, name, getattr(new, name))
        self._alt = _alt(new)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._poster = png(_poster(self._image, self.settings))
        return super()._repr_mimebundle_(**options)


def _integers(name: str, values: Any, most: int, ends: Pair) -> tuple[int, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ImpossibleValue(f"{name} is {values!r}: give integers, (1, 2) say")
    if not 1 <= len(values) <= most:
        raise ImpossibleValue(f"{name} has {len(values)} values: give 1 to {most}")
    for value in values:
        _check_integer(f"a value of {name}", value, *ends)
    return tuple(values)


def _check_integer(name: str, value: Any, low: int, high: int, more: str = "") -> None:
    if type(value) is not int or not low <= value <= high:
        raise ImpossibleValue(f"{name} is {value!r}: give an integer from {low} to {high}{more}")


def _place(name: str, value: Any, size: Pair) -> Pair | None:
    if value is None:
        return None
    rows, columns = size
    pair = isinstance(value, Sequence) and len(value) == 2 and all(type(one) is int for one in value)
    if not pair or not (0 <= value[0] < rows and 0 <= value[1] < columns):
        raise ImpossibleValue(f"{name} is {value!r}: give a row and a column of {rows} × {columns}, counted from 0, or None")
    return value[0], value[1]


def _onto(place: Pair | None, size: Pair) -> Pair | None:
    """The nearest place there is; None where there is none."""
    if place is None or min(size) == 0:
        return None
    return min(place[0], size[0] - 1), min(place[1], size[1] - 1)


def _checked_image(image: Any) -> Tensor:
    if not isinstance(image, Tensor) or image.dtype != torch.uint8 or image.ndim != 3 or image.shape[0] != 3:
        found = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise ImpossibleValue(f"image is {found}: give a uint8 tensor (3, H, W)")
    height, width = image.shape[1:]
    if min(height, width) < 16 or height * width > MOST_PIXELS:
        raise ImpossibleValue(f"image has {height} × {width} pixels: give 16 a side or more, and at most {MOST_PIXELS} in all")
    return image.cpu()


def _default_image() -> UInt8[Tensor, "3 H W"]:
    """Its map at stride 8, 10 × 15 units, is one of those where SPP-net's rule fails."""
    image, _ = Shapes(1, size=(80, 120), seed=9, objects=4)[0]
    return image.clamp(0, 1).mul(255).round().byte()


def _data(image: Tensor, settings: ASPPSettings) -> dict[str, Any]:
    """What is sent once."""
    pixels = image.permute(1, 2, 0).contiguous().numpy().tobytes()
    return {
        "image": base64.b64encode(pixels).decode("ascii"),
        "size": list(settings.image_size),
        "bins": list(settings.bins),
        "strides": list(STRIDES),
        "presets": [{"name": name, "rates": list(rates)} for name, rates in PRESETS.items()],
        "limits": {"map": list(MAP_SIZES), "rates": list(RATES), "most": MOST_RATES},
        "colours": [colour for colour, _ in LOOKS],
    }


def _alt(settings: ASPPSettings) -> str:
    """Exact numbers only, so that it is the same everywhere."""
    n, (row, column) = settings.map_size, settings.place
    rates = ", ".join(f"rate {rate}: {valid} of 9" for rate, valid in zip(settings.rates, settings.valid, strict=True))
    level, (rows, columns) = settings.level, settings.spp_bins
    return (
        f"3 × 3 filters on a map of {n} × {n} units, centred on row {row}, column {column}; weights on the map at {rates}. "
        f"Below, {level} × {level} bins over an image of {settings.units[0]} × {settings.units[1]} units, where SPP's rule makes "
        f"{rows} × {columns}; in JupyterLab you can set map, rates and bins and point at any unit, rate or bin."
    )


def _poster(image: Tensor, settings: ASPPSettings) -> Figure:
    """The taps on the map, the curves, the bins over the image and their means."""
    fig, axes = new_figure(12.4, 7.6, 2, 2, width_ratios=(1, 1.5), height_ratios=(1.2, 1))
    _draw_taps(axes[0, 0], settings)
    _draw_curves(axes[0, 1], settings)
    _draw_windows(axes[1, 0], image, settings)
    _draw_means(axes[1, 1], image, settings)
    return fig


def _draw_taps(ax: Axes, settings: ASPPSettings) -> None:
    n, (row, column) = settings.map_size, settings.place
    ax.add_patch(Rectangle((-0.5, -0.5), n, n, facecolor="#e3eef6", edgecolor="#222222", linewidth=1.6))
    for k, (rate, (colour, marker)) in enumerate(zip(settings.rates, LOOKS, strict=False)):
        taps = [(row + down, column + across) for down, across in product((-rate, 0, rate), repeat=2)]
        for is_inside in (True, False):
            found = [tap for tap in taps if all(0 <= at < n for at in tap) == is_inside]
            look: dict[str, Any] = {"color": colour} if is_inside else {"markerfacecolor": "white", "markeredgecolor": "#8a8a8a"}
            size = 8 if k == settings.active else 5
            ax.plot([at for _, at in found], [at for at, _ in found], marker, markersize=size, linestyle="", **look)
    ax.plot(column, row, "o", color="#222222", markersize=5)
    ax.set_title(f"{n} × {n} units; rate {settings.rate}: {settings.valid[settings.active]} of 9 weights on the map")
    reach = max(1.0, *(max(rate - min(row, column), max(row, column) + rate - n + 1) for rate in settings.rates)) + 0.03 * n
    ax.set(xticks=[], yticks=[], aspect="equal", xlim=(-0.5 - reach, n - 0.5 + reach), ylim=(n - 0.5 + reach, -0.5 - reach))
    ax.spines[:].set_visible(False)


def _draw_curves(ax: Axes, settings: ASPPSettings) -> None:
    n = settings.map_size
    rates = range(1, max(ceil(1.25 * n), *settings.rates) + 1)
    shares = [valid_taps(n, rate) for rate in rates]
    for taps, dash in DASHES.items():
        thin = taps in (6, 2)
        values = [float(share.get(taps, 0)) for share in shares]
        ax.plot(
            rates, values, linestyle=dash, color="#8d99a3" if thin else "#44525c", label=f"{taps} valid", linewidth=1.3 if thin else 1.8
        )
    ax.plot(rates, [float(mean_share(n, rate)) for rate in rates], color="#000000", linewidth=2.8, label="mean share")
    for rate, mean, (colour, marker) in zip(settings.rates, settings.means, LOOKS, strict=False):
        ax.axvline(rate, color=colour, linewidth=1)
        ax.plot(rate, float(mean), marker, color=colour, markersize=8)
    ax.set(xlabel="rate", ylim=(0, 1.03), xlim=(1, rates[-1]), title=f"share of places with so many valid weights, {n} × {n}")
    ax.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.95), fontsize=10)


def _draw_windows(ax: Axes, image: Tensor, settings: ASPPSettings) -> None:
    (height, width), stride = settings.image_size, settings.stride
    ax.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest")
    for odd, dash in ((0, "-"), (1, "--")):
        xs, ys = [], []
        for (i, (top, bottom)), (j, (left, right)) in product(*(enumerate(windows) for windows in settings.windows)):
            if (i + j) % 2 == odd:
                xs += [left * stride, right * stride, right * stride, left * stride, left * stride, nan]
                ys += [top * stride, top * stride, bottom * stride, bottom * stride, top * stride, nan]
        ax.plot(np.array(xs) - 0.5, np.array(ys) - 0.5, color="white", linewidth=3.6)
        ax.plot(np.array(xs) - 0.5, np.array(ys) - 0.5, color="#0072b2", linewidth=1.8, linestyle=dash)
    rows, columns = (len(windows) for windows in settings.windows)
    ax.set(xticks=[], yticks=[], xlim=(-1.5, width + 0.5), ylim=(height + 0.5, -1.5), title=f"{rows} × {columns} bins over the image")
    ax.spines[:].set_visible(False)


def _draw_means(ax: Axes, image: Tensor, settings: ASPPSettings) -> None:
    means = bin_means(image, settings.stride, settings.level or 1, settings.rule)
    height, width = settings.image_size
    if means.numel():
        ax.imshow(means.round().byte().permute(1, 2, 0).numpy(), interpolation="nearest", extent=(0, width, height, 0))
    ax.set(xticks=[], yticks=[], title="what average pooling keeps")
    ax.spines[:].set_visible(False)
