"""The models as rows of a table: who describes each, how large it is, what it costs and what it sees."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from edu_seg import models
from edu_seg.costs import network_cost
from edu_seg.receptive_field import UnknownOperation, receptive_field


@dataclass(frozen=True)
class Cost:
    """For one image: multiply-adds of the forward pass, bytes that its activations hold in float32, the field of a pixel of the output.

    field: its height in pixels, unclipped; "whole image" where something looks at a whole map; "unknown" where images are mirrored.
    """

    multiply_adds: float
    activation_bytes: float
    field: str


def listed() -> Iterator[tuple[str, int, nn.Module]]:
    """Name, learnable parameters for 21 classes, and the net on the meta device (shapes without numbers: no memory, no time)."""
    for name in models.MODELS:
        with torch.device("meta"):
            model = models.build(name)
        yield name, sum(p.numel() for p in model.parameters() if p.requires_grad), model


def cost(model: nn.Module, size: int) -> Cost | str:
    """What a net costs at size × size pixels, for one image in a batch of two; or why that is not known, as a sentence."""
    try:
        found = network_cost(model, (size, size), batch=2)
    except ValueError as error:  # a size that it cannot take
        return str(error)
    except RuntimeError as error:
        if "meta tensors" not in str(error):
            raise
        # A CRF's lattice has as many vertices as the colours need.
        return "depends on the colours, not on the shape alone"
    return Cost(found.multiply_adds / 2, found.activation_bytes / 2, _field(model, size))


def _field(model: nn.Module, size: int) -> str:
    try:
        field = receptive_field(model, (size, size))
    except UnknownOperation:  # small images are mirrored again and again
        return "unknown"
    return "whole image" if field.whole_map else f"{field.size[0]:,}"


def model_table(results: Sequence[Mapping[str, Any]], size: int = 513) -> str:
    """All models as a table in Markdown; of several results of a model on CamVid, with the skips that it is named for, the best mean IU."""
    best: dict[str, float] = {}
    for result in (one for one in results if one["data"]["kind"] == "camvid" and "skips" not in one["model"]["options"]):
        name = result["model"]["name"]
        best[name] = max(best.get(name, 0.0), result["scores"]["mean_iou"])
    lines = ["| name | paper | parameters | 10⁹ multiply-adds | field | CamVid |", "|---|---|--:|--:|--:|--:|"]
    for name, parameters, model in listed():
        found = cost(model, size)
        adds, field = (f"{found.multiply_adds / 1e9:.0f}", found.field) if isinstance(found, Cost) else ("", "")
        score = f"{100 * best[name]:.1f}" if name in best else ""
        lines.append(f"| `{name}` | {models.PAPERS[name]} | {parameters:,} | {adds} | {field} | {score} |")
    return "\n".join(lines)
