"""`DecoderLab`: step through a decoder from coarse to fine, and put fixed or shuffled positions in place of the pools' switches."""

import base64
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import traitlets
from jaxtyping import Bool, Float, Int64, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray
from torch import Tensor, nn

from edu_seg.datasets.voc import voc_palette
from edu_seg.figures import HATCHES, new_figure, patterned, png
from edu_seg.metrics import boundary_band
from edu_seg.models.deconvnet import DeconvNet, pool
from edu_seg.models.segnet import SegNet
from edu_seg.widgets.base import CourseWidget, bundle
from edu_seg.widgets.crf_lab import PALETTE

SCRIPTS = (
    "lab.js",
    "rf_geometry.js",
    "rf_image_view.js",
    "stitch_lab_views.js",
    "decoder_lab_maths.js",
    "decoder_lab_words.js",
    "decoder_lab_views.js",
    "decoder_lab_parts.js",
    "decoder_lab.js",
)
MODES = ("switches", "fixed", "shuffled")
SHOWN = 3
"""Channels of a map that are shown one by one; the norm over all of its channels comes with them."""
VIEWS = (*range(1, SHOWN + 1), "all")
MOST_PIXELS = 80
"""Of an image's side: its maps then take less than 400 kB in a page."""
BAND = 2


@dataclass(frozen=True, eq=False)
class DecoderStage:
    """One map on the way up, in each of `MODES`; float64.

    kind: "map" after convolutions, "unpool", or "labels". channels: of the map, those that are shown, the strongest first; unpooling
    keeps those of the map below it. values: (shown channels + 1, H, W), the last one the norm over all channels; for "labels" (1, H, W).
    places: of an unpooling, (shown channels, h, w) of the map below, where in its window each value goes: 0 upper left, 1 upper right,
    2 lower left, 3 lower right. reads: what a unit reads of the stage below, its own row and column plus first … last.
    """

    name: str
    kind: str
    num_channels: int
    channels: tuple[int, ...]
    values: Mapping[str, Float[Tensor, "shown H W"]]
    places: Mapping[str, Int64[Tensor, "channels h w"]] = field(default_factory=dict)
    reads: tuple[int, int] = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.values["switches"].shape[1:]
        return height, width


@dataclass(frozen=True, eq=False)
class DecoderSteps:
    """What `DecoderLab` shows. net: its class's name. stages: from the encoder's last map to the labels."""

    net: str
    num_classes: int
    stages: tuple[DecoderStage, ...]

    def labels(self, mode: str) -> Int64[Tensor, "H W"]:
        """The class with the highest score at every pixel."""
        return self.stages[-1].values[mode][0].long()

    def changed(self, mode: str) -> Bool[Tensor, "H W"]:
        """The pixels whose label is another than with the switches."""
        return self.labels(mode) != self.labels("switches")

    @cached_property
    def band(self) -> Bool[Tensor, "H W"]:
        """The pixels within `BAND` pixels of another label, all with the switches."""
        return boundary_band(self.labels("switches")[None], BAND)[0]

    def __getitem__(self, name: str) -> DecoderStage:
        """The stage of that name; KeyError with the names that there are."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(f"there is no stage {name!r}: {', '.join(stage.name for stage in self.stages)}")


def decoder_steps(model: nn.Module, image: Float[Tensor, "3 H W"]) -> DecoderSteps:
    """The decoder's maps with the pools' switches, with fixed positions and with shuffled ones; on a copy of `model`, in float64.

    model: a SegNet, SegNet-Basic or DeconvNet of any width. image: as the model is to have it, at most 80 pixels a side.
    "fixed" puts every value into the upper left corner of its window. "shuffled" lets each window take the positions of another,
    drawn at random, the same for all channels and every time: as many of each sort as the switches, in wrong places.
    Which channels are the strongest, by variance over the map, the pools' own switches decide for all three.

    Raises TypeError for a model without switches, ValueError for another image or one that the model does not take.
    Source: Noh et al. 2015, section 3.2 and figure 4; Badrinarayanan et al. 2017, section 3 and figure 3.
    """
    net = _checked(model, image)
    images = image.detach().cpu().double()[None]
    with torch.inference_mode():
        next(net.steps(images))  # its own errors
        walks = {mode: list(_walk(net, images, mode)) for mode in MODES}
    stages: list[DecoderStage] = []
    for number in range(len(walks["switches"])):
        stages.append(_stage({mode: walk[number] for mode, walk in walks.items()}, stages))
    scores = {mode: walk[-1].features[0] for mode, walk in walks.items()}
    best = {mode: part.argmax(0, keepdim=True).double() for mode, part in scores.items()}
    num_classes = len(scores["switches"])
    return DecoderSteps(type(model).__name__, num_classes, (*stages, DecoderStage("labels", "labels", 1, (0,), best)))


@dataclass(frozen=True)
class _Step:
    """A map of one pass. places: of all channels, for an unpooling."""

    name: str
    features: Tensor
    reads: tuple[int, int] = (0, 0)
    places: Tensor | None = None


def _checked(model: nn.Module, image: Tensor) -> SegNet | DeconvNet:
    if not isinstance(model, SegNet | DeconvNet):
        raise TypeError(f"the model is a {type(model).__name__}: give a net with switches, a SegNet or a DeconvNet")
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point() or not image.isfinite().all():
        raise ValueError(f"the image is a tensor {tuple(image.shape)} of {image.dtype}: give finite floats (3, H, W), as the model takes")
    if not 1 <= min(image.shape[1:]) <= max(image.shape[1:]) <= MOST_PIXELS:
        raise ValueError(f"the image has {_times(image.shape[1:])} pixels: give 1 to {MOST_PIXELS} a side, a crop or a smaller one")
    return copy.deepcopy(model).cpu().double().eval()


def _walk(net: SegNet | DeconvNet, images: Tensor, mode: str) -> Iterator[_Step]:
    """As the nets' own `steps`, from the last pool on, with the positions that `mode` asks for."""
    features, pools = (net.norm(images) if isinstance(net, SegNet) else images), []
    for number, stage in enumerate(net.encoder, start=1):
        features, switches, size = pool(stage(features))
        pools.append((number, _places_of(switches, size), size))
    yield _Step(f"pool{len(pools)}", features)
    if isinstance(net, DeconvNet):
        for step in _fully_connected(net, features):
            features = step.features
            yield step
    head, name = (net.classifier, "decoder") if isinstance(net, SegNet) else (net.score, "deconv")
    for stage in net.decoder:
        number, places, size = pools.pop()
        places = _moved(places, size, mode, number)
        features = F.max_unpool2d(features, _switches_of(places, size), [2, 2], [2, 2], output_size=list(size))
        yield _Step(f"unpool{number}", features, places=places)
        features, reach = stage(features), _reach(stage)
        if number > 1 or not isinstance(head, nn.Identity):
            yield _Step(f"{name}{number}", features, (-reach, reach))
        else:
            yield _Step("score", features, (-reach, reach))
    if not isinstance(head, nn.Identity):
        yield _Step("score", head(features))


def _fully_connected(net: DeconvNet, features: Tensor) -> Iterator[_Step]:
    """fc7, a unit of which reads fc6's window, and the deconvolution, by which a unit lies in as many windows."""
    reach = int(net.fc.get_submodule("fc6").kernel_size[0]) - 1  # pyright: ignore
    for name, layer in net.fc.named_children():
        features = layer(features)
        if name == "fc7_relu":
            yield _Step("fc7", features, (0, reach))
        elif name == "fc6_deconv_relu":
            yield _Step("fc6_deconv", features, (-reach, 0))


def _reach(stage: nn.Module) -> int:
    """How far a unit sees to each side through convolutions of stride 1."""
    layers = [layer for layer in stage.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    return sum(int(layer.kernel_size[0]) // 2 for layer in layers)


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    return torch.arange(height)[:, None], torch.arange(width)


def _places_of(switches: Tensor, size: tuple[int, int]) -> Int64[Tensor, "C h w"]:
    """0 to 3 from row · W + column."""
    rows, columns = _grid(*switches.shape[2:])
    return (2 * (switches // size[1] - 2 * rows) + switches % size[1] - 2 * columns)[0]


def _switches_of(places: Tensor, size: tuple[int, int]) -> Int64[Tensor, "1 C h w"]:
    rows, columns = _grid(*places.shape[1:])
    return ((2 * rows + places // 2) * size[1] + 2 * columns + places % 2)[None]


def _moved(places: Tensor, size: tuple[int, int], mode: str, seed: int) -> Tensor:
    if mode == "fixed":
        return torch.zeros_like(places)
    if mode == "switches":
        return places
    order = torch.randperm(places[0].numel(), generator=torch.Generator().manual_seed(seed))
    taken = places.flatten(1)[:, order].view_as(places)
    rows, columns = _grid(*places.shape[1:])  # an odd map's last windows have one row or column only
    return 2 * torch.minimum(taken // 2, size[0] - 1 - 2 * rows) + torch.minimum(taken % 2, size[1] - 1 - 2 * columns)


def _stage(steps: Mapping[str, _Step], below: Sequence[DecoderStage]) -> DecoderStage:
    own = steps["switches"]
    maps = {mode: step.features[0] for mode, step in steps.items()}
    if own.places is None:
        flat = maps["switches"].flatten(1)
        strength = flat.var(1, correction=0) if flat.shape[1] > 1 else flat.squeeze(1).abs()  # a single unit does not vary
        channels = tuple(strength.argsort(descending=True, stable=True)[:SHOWN].tolist())
    else:
        channels = below[-1].channels
    values = {mode: torch.cat([part[list(channels)], part.norm(dim=0, keepdim=True)]) for mode, part in maps.items()}
    places = {mode: step.places[list(channels)] for mode, step in steps.items() if step.places is not None}
    return DecoderStage(own.name, "unpool" if places else "map", len(maps["switches"]), channels, values, places, own.reads)


class ImpossibleView(traitlets.TraitError, ValueError):
    """A stage, mode, channel or cell that there is none of. (A TraitError as well: traits then go back to what they were.)"""


class DecoderLab(CourseWidget):
    """A decoder's maps as a film strip; the one chosen large, and what changes where fixed positions take the switches' place.

    model, image: as in `decoder_steps`, whose errors are raised. names: of the classes. picture: (3, H, W) in 0 to 1, shown for the image
    (by default that itself, stretched from its lowest to its highest value). palette: (K, 3), a colour a class.
    stage: a stage's name, at first the coarsest unpooling. mode: one of `MODES`. cell: (row, column) of the stage's unit that is held, or
    None. channel: 1, 2, 3 for the strongest, second and third channel, or "all" for the norm over all. These are traits: what the reader
    chooses arrives there, and what is set there is shown; ValueError for what there is none of. `steps` holds the numbers.
    """

    _esm = bundle(*SCRIPTS)
    stage, mode = (traitlets.Unicode(default).tag(sync=True) for default in ("labels", "switches"))
    cell, channel = (traitlets.Any(default).tag(sync=True) for default in (None, 1))

    def __init__(
        self,
        model: nn.Module,
        image: Float[Tensor, "3 H W"],
        *,
        names: Sequence[str] | None = None,
        picture: Float[Tensor, "3 H W"] | None = None,
        palette: UInt8[ndarray, "K 3"] | None = None,
        stage: str | None = None,
        mode: str = "switches",
    ) -> None:
        steps = decoder_steps(model, image)
        self.steps, self.names = steps, _all_names(names, steps.num_classes)
        self._palette = _colours(palette, steps.num_classes)
        self._picture = _pixels(image, picture)
        start = next(one.name for one in steps.stages if one.kind == "unpool") if stage is None else stage
        super().__init__(_data(steps, self._picture, self.names, self._palette), b"", _alt(steps), stage=start, mode=mode)

    @property
    def sizes(self) -> dict[str, tuple[int, int]]:
        """Stage → (height, width), from coarse to fine."""
        return {stage.name: stage.size for stage in self.steps.stages}

    def set(self, **values: Any) -> None:
        """Sets several at once, `lab.set(stage="unpool2", cell=(3, 4))`."""
        if unknown := values.keys() - {"stage", "mode", "cell", "channel"}:
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}: give some of stage, mode, cell, channel")
        if "stage" in values and "cell" not in values:
            values["cell"] = None
        with self.hold_sync(), self.hold_trait_notifications():
            for name, value in values.items():
                setattr(self, name, value)

    @traitlets.validate("stage", "mode", "channel")
    def _check_choice(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        allowed = {"stage": tuple(self.sizes), "mode": MODES, "channel": VIEWS}[name]
        if isinstance(value, bool) or value not in allowed:
            raise ImpossibleView(f"{name} is {value!r}: give one of {', '.join(map(repr, allowed))}")
        return value

    @traitlets.validate("cell")
    def _check_cell(self, proposal: Any) -> tuple[int, int] | None:
        value, (height, width) = proposal["value"], self.sizes.get(self.stage, (1, 1))
        if value is None:
            return None
        is_pair = isinstance(value, Sequence) and len(value) == 2 and all(type(part) is int for part in value)
        if not is_pair or not (0 <= value[0] < height and 0 <= value[1] < width):
            raise ImpossibleView(f"cell is {value!r}: give (row, column) of {self.stage}'s {_times((height, width))} units, or None")
        return value[0], value[1]

    @traitlets.observe("stage")
    def _let_go(self, _: Any) -> None:
        """A unit that the new stage has not is held no longer."""
        height, width = self.sizes[self.stage]
        if self.cell and (self.cell[0] >= height or self.cell[1] >= width):
            self.cell = None

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._poster = self._poster or png(_poster(self.steps, self._picture, self._palette))
        return super()._repr_mimebundle_(**options)


def _times(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes))


def _all_names(names: Sequence[str] | None, num_classes: int) -> list[str]:
    if names is not None and len(names) != num_classes:
        raise ValueError(f"there are {len(names)} names {tuple(names)}, but the model has {num_classes} classes: give one for each")
    return [f"class {number}" for number in range(num_classes)] if names is None else list(names)


def _colours(palette: ndarray | None, num_classes: int) -> ndarray:
    if palette is None:
        palette = PALETTE if num_classes <= len(PALETTE) else voc_palette(num_classes)
    if len(palette) < num_classes:
        raise ValueError(f"the palette has {len(palette)} colours, but the model has {num_classes} classes")
    return palette[:num_classes]


def _pixels(image: Tensor, picture: Tensor | None) -> UInt8[ndarray, "H W 3"]:
    if picture is not None and picture.shape != image.shape:
        raise ValueError(f"the picture is {tuple(picture.shape)}, the image {tuple(image.shape)}: give one of the same size")
    if picture is None:
        low, high = image.min(), image.max()
        picture = (image - low) / (high - low if high > low else 1.0)
    return (picture.detach().cpu().clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def _base64(*parts: bytes) -> str:
    return base64.b64encode(b"".join(parts)).decode("ascii")


def _data(steps: DecoderSteps, picture: ndarray, names: Sequence[str], palette: ndarray) -> dict[str, Any]:
    """What is sent, once: for each stage and mode, bytes; an unpooling's channels are left to the browser, which has values and places."""
    rows, parts = [], []
    for below, stage in zip((steps.stages[0], *steps.stages), steps.stages, strict=False):
        ranges = _ranges(stage) if stage.kind != "unpool" else [*_ranges(below)[:-1], _ranges(stage)[-1]]
        rows.append({"name": stage.name, "kind": stage.kind, "size": stage.size, "channels": stage.channels, "of": stage.num_channels})
        rows[-1] |= {"reads": stage.reads, "ranges": ranges}
        parts += [_bytes(stage, mode, ranges) for mode in MODES]
    look = {"names": list(names), "palette": palette.tolist(), "hatches": [HATCHES[k % 6] for k in range(len(names))]}
    return {
        "image": _base64(picture.tobytes()),
        "modes": MODES,
        "band": BAND,
        "net": steps.net,
        **look,
        "stages": rows,
        "bytes": _base64(*parts),
    }


def _ranges(stage: DecoderStage) -> list[list[float]]:
    """For each of its maps the lowest and highest value in any mode, with 0 in between: one scale for all modes."""
    every = torch.stack([stage.values[mode] for mode in MODES])  # (mode, shown, h, w)
    low, high = every.amin((0, 2, 3)).clamp(max=0), every.amax((0, 2, 3)).clamp(min=0)
    return [[float(f"{a:.6g}"), float(f"{b:.6g}")] for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def _bytes(stage: DecoderStage, mode: str, ranges: Sequence[Sequence[float]]) -> bytes:
    values = stage.values[mode]
    if stage.kind == "labels":
        return values.byte().numpy().tobytes()
    low, high = (torch.tensor(part, dtype=torch.float64).view(-1, 1, 1) for part in zip(*ranges, strict=True))
    steps = ((values - low) / (high - low).clamp(min=1e-30) * 255).round().clamp(0, 255).byte()
    if stage.kind == "map":
        return steps.numpy().tobytes()
    return stage.places[mode].byte().numpy().tobytes() + steps[-1].numpy().tobytes()


def _alt(steps: DecoderSteps) -> str:
    first, total = steps.stages[0], steps.band.numel()
    said = []
    for mode in MODES[1:]:
        changed = steps.changed(mode)
        said.append(
            f"{mode} positions change the label of {int(changed.sum())} pixels, {int((changed & steps.band).sum())} near a boundary"
        )
    return (
        f"the decoder of a {steps.net} in {len(steps.stages)} stages, from {_times(first.size)} units to {_times(steps.stages[-1].size)} "
        f"labels: of {total} pixels, {' and '.join(said)}; in JupyterLab you can step through it, swap the switches and point at any unit."
    )


def _poster(steps: DecoderSteps, picture: ndarray, palette: ndarray) -> Figure:
    """Two rows, with switches and with fixed positions: the image or the changed pixels, maps from coarse to fine, the labels."""
    maps = [stage for stage in steps.stages[:-1] if stage.name != "score"]
    chosen = [maps[i] for i in np.unique(np.linspace(0, len(maps) - 1, min(5, len(maps))).round().astype(int))]
    fig, axes = new_figure(2.05 * (len(chosen) + 2), 4.9, len(chosen) + 2, 2)
    for line, mode in zip(axes, MODES, strict=False):
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        for ax, stage in zip(line[1:], chosen, strict=False):
            low, high = _ranges(stage)[0]
            ax.imshow(stage.values[mode][0].numpy(), cmap="cividis", vmin=low, vmax=high, interpolation="nearest")
            ax.set_title(f"{stage.name}\n{_times(stage.size)}")
        line[-1].imshow(patterned(steps.labels(mode), palette, 6), interpolation="nearest")
        line[1].set_ylabel(mode)
    axes[0, 0].imshow(picture, interpolation="nearest")
    axes[0, 0].set_title("image")
    axes[0, -1].set_title("labels")
    _draw_changed(axes[1, 0], axes[1, -1], steps, picture)
    return fig


def _draw_changed(ax: Axes, beside: Axes, steps: DecoderSteps, picture: ndarray) -> None:
    """In orange over the faded image."""
    changed = steps.changed("fixed").numpy()
    pale = (picture.mean(2, keepdims=True) * 0.3 + 175).repeat(3, 2).astype(np.uint8)
    pale[changed] = (213, 94, 0)
    ax.imshow(pale, interpolation="nearest")
    ax.set_title("labels that change")
    beside.set_title(f"{int(changed.sum())} of {changed.size} changed")
