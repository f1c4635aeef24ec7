"""`RFExplorer`: point at a unit and see what it sees, point at a pixel and see who sees it; for any network, or a stack to be edited."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import traitlets
from jaxtyping import Float
from numpy import ndarray
from PIL import Image
from torch import Tensor, nn

from edu_seg.figures import as_picture, lit_fields, png, shrink
from edu_seg.receptive_field import ReceptiveField, ReceptiveFields, receptive_fields
from edu_seg.receptive_field.fields import WholeMap
from edu_seg.widgets.base import CourseWidget, bundle
from edu_seg.widgets.rf_data import LayerRow, explorer_data, layer_rows, measured_heat
from edu_seg.widgets.rf_stack import START, StackLayer, checked_stack, stack_code, stack_module

SCRIPTS = (
    "lab.js",
    "rf_geometry.js",
    "rf_words.js",
    "rf_image_view.js",
    "rf_map_views.js",
    "rf_stack.js",
    "rf_panels.js",
    "rf_measurer.js",
    "rf_explorer.js",
)
MOST_PIXELS = 1024
FEWEST_UNITS = 5
"""The explorer opens at the coarsest map that still has so many units along each axis."""

Picture = Tensor | Image.Image | ndarray
"""(3, H, W) float in 0..1, a PIL image, or an array (H, W, 3) of bytes."""


class RFExplorer(CourseWidget):
    """The receptive fields of `model` on `image`, by hand. model None: a small stack whose layers can be edited.

    model: any network on images of 3 channels. image: (3, H, W) float in 0..1, a PIL image or an array (H, W, 3) of bytes.
    layer: the one to open with. whole_map: as in `receptive_fields`. layers: for a stack, (kernel, stride, padding, dilation, kind) each,
    kind "conv", "pool" or "transposed"; afterwards the trait `layers` holds what the reader made of it, and may be set.
    pins: the pinned units, [layer, row, column] each.

    Raises ValueError for an image or a stack that cannot be shown, KeyError for an unknown layer, `UnknownOperation` as
    `receptive_fields` does.
    """

    _esm = bundle(*SCRIPTS)
    layers = traitlets.List().tag(sync=True)
    pins = traitlets.List().tag(sync=True)

    def __init__(
        self,
        model: nn.Module | None,
        image: Picture,
        *,
        layer: str | None = None,
        whole_map: WholeMap = "leave_out",
        layers: Sequence[Sequence] = START,
    ) -> None:
        picture = _as_image(image)
        self._size = (picture.shape[1], picture.shape[2])
        self._is_stack = model is None
        stack = checked_stack(layers, self._size) if model is None else []
        self._model = stack_module(stack) if model is None else model
        fields = receptive_fields(self._model, self._size, whole_map=whole_map)
        rows = layer_rows(fields, self._model)
        data = explorer_data(fields, self._model)
        start = _row_of(layer, rows, fields)
        data = {**({} if self._is_stack else data), **_about(picture, self._model), "start": start}
        shown = _three(rows, start)
        super().__init__(data, _poster(picture, shown), _alt(picture, shown, self._is_stack), layers=[list(entry) for entry in stack])
        self._rows = rows
        self.on_msg(self._hear)

    @classmethod
    def stack(cls, image: Picture, layers: Sequence[Sequence] = START) -> "RFExplorer":
        """A small stack of layers to be edited."""
        return cls(None, image, layers=layers)

    @property
    def code(self) -> str:
        """The PyTorch code of the stack as it stands now. Raises ValueError for an explorer of a network, which has no such code."""
        self._only_stack()
        return stack_code([StackLayer(*layer) for layer in self.layers])

    @property
    def module(self) -> nn.Module:
        """The network: as given, or the stack as it stands now, with random weights."""
        return self._model

    def to_table(self) -> str:
        """The layers' size, stride and padding as text, one line a map."""
        return str(ReceptiveFields({row.name: row.field for row in self._rows}))

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        found, metadata = super()._repr_mimebundle_(**options)
        table = f"<details><summary>Size, stride and padding</summary><pre>{html.escape(_folded_table(self._rows))}</pre></details>"
        return {**found, "text/html": found["text/html"] + table}, metadata

    def _only_stack(self) -> None:
        if not self._is_stack:
            raise ValueError("this explorer shows a given network: only a stack, RFExplorer.stack(image), has layers to edit")

    @traitlets.validate("layers")
    def _check(self, proposal: Any) -> list[list]:
        if not proposal["value"] and not self._is_stack:
            return []
        self._only_stack()
        return [list(layer) for layer in checked_stack(proposal["value"], self._size)]

    @traitlets.observe("layers")
    def _rebuild(self, change: Any) -> None:
        """The reader has changed the stack: Python works it out as well, and says what it finds."""
        if not change["new"]:
            return
        self._model = stack_module([StackLayer(*layer) for layer in change["new"]])
        fields = receptive_fields(self._model, self._size)
        self._rows = layer_rows(fields, self._model)
        leaves = [field for field in fields.values() if field.is_leaf]
        rows = [[list(field.size), [str(stride) for stride in field.stride], list(field.padding)] for field in leaves]
        self.send({"kind": "analysis", "layers": change["new"], "rows": rows})

    def _hear(self, _: Any, message: dict[str, Any], __: Any) -> None:
        """The front end asks for a measurement."""
        if message.get("kind") != "measure":
            return
        try:
            answer, heat = self._measure(message["layer"], message["unit"])
        except Exception as error:  # shown to the reader, who has no traceback
            self.send({"kind": "failed", "asked": message["asked"], "why": f"{type(error).__name__}: {error}"})
            return
        self.send({**answer, "asked": message["asked"]}, [heat.tobytes()])

    def _measure(self, layer: str, unit: Sequence[int]) -> tuple[dict[str, Any], ndarray]:
        """The box by gradient, and by arithmetic with nothing left out."""
        measured, heat = measured_heat(self._model, self._size, unit, layer or None)
        fields = receptive_fields(self._model, self._size)
        name = layer or ("output" if "output" in fields else "output[out]")
        return {"kind": "measured", "measured": _flat(measured), "analytic": _flat(fields[name].inside(*unit))}, heat


def _flat(box: tuple[tuple[int, int], ...] | None) -> list[int] | None:
    return None if box is None else [end for ends in box for end in ends]


def _as_image(image: Picture) -> Float[Tensor, "3 H W"]:
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("RGB"))
    if isinstance(image, ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"the image is an array {image.shape} of {image.dtype}: give bytes (H, W, 3)")
        image = torch.from_numpy(image.copy()).permute(2, 0, 1) / 255
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        raise ValueError(f"the image is a tensor {tuple(image.shape)} of {image.dtype}: give floats in 0..1, (3, H, W)")
    if max(image.shape[1:]) > MOST_PIXELS:
        raise ValueError(f"the image has {image.shape[1]} × {image.shape[2]} pixels: make it smaller, at most {MOST_PIXELS} a side")
    return image.detach().float().cpu()


def _about(image: Tensor, model: nn.Module) -> dict[str, Any]:
    return {
        "image": "data:image/png;base64," + base64.b64encode(shrink(Image.fromarray(as_picture(image)))).decode(),
        "height": image.shape[1],
        "width": image.shape[2],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _row_of(layer: str | None, rows: Sequence[LayerRow], fields: ReceptiveFields) -> int:
    if layer is None:
        fine = [place for place, row in enumerate(rows) if min(row.field.map_size) >= FEWEST_UNITS]
        return min(reversed(fine), key=lambda place: min(rows[place].field.map_size), default=len(rows) - 1)
    for place, row in enumerate(rows):
        if layer in fields and row.field.node is fields[layer].node:
            return place
    raise KeyError(f"no layer is called {layer!r}; there are {', '.join(row.name for row in rows)}")


def _folded(rows: Sequence[LayerRow]) -> dict[str, ReceptiveField]:
    """The rows, of each folded part only the last."""
    return {row.label: row.field for row in rows if not row.group or row.label == row.group}


def _folded_table(rows: Sequence[LayerRow]) -> str:
    named = {name: replace(field, name=name) for name, field in _folded(rows).items()}
    return str(ReceptiveFields(named))


def _three(rows: Sequence[LayerRow], start: int) -> dict[str, ReceptiveField]:
    """Fields for the picture: an early, a middle layer, and the one that the explorer opens with."""
    shown = {**_folded(rows[:start]), rows[start].label: rows[start].field}
    names, last = list(shown), len(shown) - 1
    return {names[place]: shown[names[place]] for place in (last // 3, 2 * last // 3, last)}


def _middle(field: ReceptiveField) -> tuple[int, ...]:
    return tuple(size // 2 for size in field.map_size)


def _poster(image: Tensor, shown: Mapping[str, ReceptiveField]) -> bytes:
    boxes = {}
    for name, field in shown.items():
        i, j = _middle(field)
        boxes[f"{name}, unit ({i}, {j})"] = (field.rows(i), field.cols(j))
    return png(lit_fields(image, boxes))


def _alt(image: Tensor, shown: Mapping[str, ReceptiveField], is_stack: bool) -> str:
    sizes = ", ".join(f"{name} {' × '.join(map(str, field.size))}" for name, field in shown.items())
    what = "edit the stack and point" if is_stack else "point"
    return (
        f"what one unit sees of an image of {image.shape[1]} × {image.shape[2]} pixels, its field lit and the rest dimmed: {sizes}; "
        f"in JupyterLab you can {what} at any unit or pixel."
    )
