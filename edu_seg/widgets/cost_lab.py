"""`CostLab`: what each layer of a network holds for the backward pass and computes, at several output strides."""

from collections.abc import Mapping
from typing import Any

import traitlets

from edu_seg.costs import NetworkCost
from edu_seg.figures import layer_costs, png
from edu_seg.figures.backbones import parts_of, rows_of
from edu_seg.widgets.base import CourseWidget, bundle

SCRIPTS = ("lab.js", "rf_geometry.js", "rf_image_view.js", "cost_lab_words.js", "cost_lab.js")
Costs = Mapping[str, Mapping[int, NetworkCost]]
"""Network → output stride → what it costs."""


class CostLab(CourseWidget):
    """Bars to point at, a layer each: activation bytes, multiply-adds and the side of the map; and the totals of all output strides.

    Arguments: what networks cost, for one image of `size` × `size`; network, output_stride: what is shown first, by default the first
    of each. These two are traits too: what the reader chooses can be read here, and what is set here is shown. Raises ValueError for a
    network without layers, and for a choice that is not there.
    """

    _esm = bundle(*SCRIPTS)
    network, output_stride = traitlets.Unicode().tag(sync=True), traitlets.Int().tag(sync=True)

    def __init__(self, costs: Costs, size: int, network: str | None = None, output_stride: int | None = None) -> None:
        empty = [name for name, strides in costs.items() if not strides or not all(rows_of(cost) for cost in strides.values())]
        if empty or not costs:
            raise ValueError(f"nothing is held or computed by {', '.join(empty) or 'no network at all'}: give networks with layers")
        network = next(iter(costs)) if network is None else network
        self._costs, self._size = {name: dict(strides) for name, strides in costs.items()}, size
        stride = self._stride_of(network, output_stride)
        super().__init__(_data(self._costs, size), b"", "", network=network, output_stride=stride)
        self._describe(None)

    def _stride_of(self, network: str, wanted: int | None) -> int:
        if network not in self._costs:
            raise ValueError(f"there is no network {network!r}: choose one of {', '.join(self._costs)}")
        strides = self._costs[network]
        if wanted is not None and wanted not in strides:
            raise ValueError(f"{network} was given at output strides {', '.join(map(str, strides))}, not at {wanted}")
        return next(iter(strides)) if wanted is None else wanted

    def set(self, network: str, output_stride: int | None = None) -> None:
        """Shows another network, at its first output stride by default. Raises ValueError where there is no such one."""
        stride = self._stride_of(network, output_stride)
        with self.hold_sync(), self.hold_trait_notifications():
            self.network, self.output_stride = network, stride

    @property
    def cost(self) -> NetworkCost:
        """What is shown now."""
        return self._costs[self.network][self.output_stride]

    @traitlets.observe("network", "output_stride")
    def _describe(self, _: Any) -> None:
        if self.output_stride in self._costs.get(self.network, {}):  # else the other trait is still to come
            self._alt = _alt(self.network, self._costs[self.network], self._size)

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        self._poster = png(layer_costs({self.network: self._costs[self.network]}))
        return super()._repr_mimebundle_(**options)


def _data(costs: Costs, size: int) -> dict[str, Any]:
    networks = []
    for name, strides in costs.items():
        shown = [_stride_data(stride, cost) for stride, cost in strides.items()]
        networks.append({"name": name, "parameters": next(iter(strides.values())).parameters, "strides": shown})
    return {"size": size, "networks": networks}


def _stride_data(stride: int, cost: NetworkCost) -> dict[str, Any]:
    """A layer's row as cost_lab_words.js reads it: name, kind, part, channels, height, width, bytes, multiply-adds."""
    rows, parts = rows_of(cost), parts_of(cost)
    layers = [
        [row.name, row.kind, part, *row.shape[1:], row.activation_bytes, row.multiply_adds] for row, part in zip(rows, parts, strict=True)
    ]
    runs = []
    for at, (row, part) in enumerate(zip(rows, parts, strict=True)):
        if not runs or runs[-1]["name"] != part:
            runs.append({"name": part, "start": at, "end": at, "bytes": 0})
        runs[-1]["end"] = at + 1
        runs[-1]["bytes"] += row.activation_bytes
    return {"output_stride": stride, "bytes": cost.activation_bytes, "work": cost.multiply_adds, "layers": layers, "parts": runs}


def _alt(network: str, strides: Mapping[int, NetworkCost], size: int) -> str:
    totals = [
        f"{cost.activation_bytes / 2**20:.0f} MiB held and {cost.multiply_adds / 1e9:.1f} · 10⁹ multiply-adds at output stride {stride}"
        for stride, cost in strides.items()
    ]
    return (
        f"{network}, one image of {size} × {size}: {'; '.join(totals)}; in JupyterLab you can choose a network and an output stride "
        "and point at any layer."
    )
