"""Random small networks, drawn from a seed: chains and branches of all that the receptive field's arithmetic knows."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 60


class Impossible(ValueError):
    """The drawn sizes do not fit together."""


@dataclass
class Step:
    """One more map, made from the map number `source`, and from `other` where it joins two."""

    kind: str
    source: int
    other: int
    setting: Any
    module: nn.Module | None


class RandomGraph(nn.Module):
    """Two to six steps; each takes an earlier map, mostly the last one."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        draw = random.Random(seed)
        self.steps: list[Step] = []
        channels = [1]
        for _ in range(draw.randint(2, 6)):
            kind = draw.choice(list(KINDS))
            source = draw.randrange(len(channels)) if draw.random() < 0.3 else len(channels) - 1
            other = draw.randrange(len(channels))
            module, setting, made = KINDS[kind](draw, channels[source])
            channels.append(channels[source] + channels[other] if kind == "cat" else made)
            self.steps.append(Step(kind, source, other, setting, module))
        self.layers = nn.ModuleList(step.module for step in self.steps if step.module is not None)

    def forward(self, image: Tensor) -> Tensor:
        maps = [image]
        for step in self.steps:
            made = run(step, maps[step.source], maps[step.other])
            if min(made.shape[2:]) < 1 or max(made.shape[2:]) > LARGEST:
                raise Impossible(f"{step.kind} makes {tuple(made.shape)}")
            maps.append(made)
        return maps[-1]


def run(step: Step, a: Tensor, b: Tensor) -> Tensor:
    """The map of one step."""
    if step.module is not None:
        made = step.module(a)
        return {"residual": lambda: a + made, "squeeze": lambda: a * made, "shuffle": lambda: F.pixel_shuffle(made, 2)}.get(
            step.kind, lambda: made
        )()
    if step.kind in ("add", "multiply", "cat"):
        height, width = (min(sizes) for sizes in zip(a.shape[2:], b.shape[2:], strict=True))
        top = (a.shape[2] - height) // 2 if step.setting else 0
        a, b = a[:, :, top : top + height, :width], b[:, :, -height:, :width]
        if step.kind == "cat":
            return torch.cat([a, b], 1)
        a, b = a.mean(1, keepdim=True), b.mean(1, keepdim=True)
        return a + b if step.kind == "add" else a * b
    if step.kind == "stacked rows":
        width = min(a.shape[3], b.shape[3])
        return torch.cat([a[..., :width].mean(1, keepdim=True), b[..., -width:].mean(1, keepdim=True)], 2)
    return FUNCTIONS[step.kind](a, step.setting)


FUNCTIONS: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "resize": lambda a, options: F.interpolate(a, **options),
    "pad": lambda a, options: F.pad(a, *options),
    "crop": lambda a, start: a[:, :, start[0] :, start[1] :: start[2]],
    "relu": lambda a, _: F.relu(a),
    "flip": lambda a, dims: a.flip(dims),
    "roll": lambda a, by: torch.roll(a, by[0], by[1]),
    "mean": lambda a, dim: a.mean(dim, keepdim=True),
}


def pair(draw: random.Random, least: int, most: int) -> tuple[int, int]:
    return draw.randint(least, most), draw.randint(least, most)


def conv(draw: random.Random, channels: int) -> Any:
    mode: Any = draw.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
    made = draw.randint(1, 2)
    return nn.Conv2d(channels, made, pair(draw, 1, 4), pair(draw, 1, 3), pair(draw, 0, 3), pair(draw, 1, 3), padding_mode=mode), None, made


def transposed(draw: random.Random, channels: int) -> Any:
    stride, dilation = pair(draw, 1, 3), pair(draw, 1, 3)
    extra: Any = tuple(draw.randrange(max(s, d)) for s, d in zip(stride, dilation, strict=True))
    layer = nn.ConvTranspose2d(channels, 1, pair(draw, 1, 4), stride, pair(draw, 0, 3), extra, dilation=dilation)
    return layer, None, 1


def max_pool(draw: random.Random, channels: int) -> Any:
    kernel = pair(draw, 1, 3)
    half = tuple(k // 2 for k in kernel)
    return nn.MaxPool2d(kernel, pair(draw, 1, 3), half, pair(draw, 1, 3), ceil_mode=draw.random() < 0.5), None, channels


def average_pool(draw: random.Random, channels: int) -> Any:
    kernel = pair(draw, 1, 3)
    return nn.AvgPool2d(kernel, pair(draw, 1, 3), tuple(k // 2 for k in kernel), ceil_mode=draw.random() < 0.5), None, channels  # type: ignore[arg-type]


def adaptive_pool(draw: random.Random, channels: int) -> Any:
    return draw.choice([nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])(pair(draw, 1, 6)), None, channels


def resize(draw: random.Random, channels: int) -> Any:
    options: dict[str, Any] = {"mode": draw.choice(["nearest", "bilinear", "bicubic", "nearest-exact", "area"])}
    if options["mode"] in ("bilinear", "bicubic"):
        options["align_corners"] = draw.random() < 0.5
    if draw.random() < 0.5:
        return None, options | {"size": pair(draw, 1, 17)}, channels
    return None, options | {"scale_factor": draw.choice([2, 0.5, 1.5, (2.0, 3.0)])}, channels


def squeeze(draw: random.Random, channels: int) -> Any:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid()), None, channels


def residual(draw: random.Random, channels: int) -> Any:
    dilation = draw.randint(1, 3)
    return nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation), None, channels


KINDS: dict[str, Callable[[random.Random, int], Any]] = {
    "conv": conv,
    "another conv": conv,
    "same conv": lambda draw, c: (nn.Conv2d(c, 1, draw.choice([1, 3]), padding="same", dilation=draw.randint(1, 3)), None, 1),
    "grouped conv": lambda draw, c: (nn.Conv2d(c, c, pair(draw, 1, 3), groups=c), None, c),
    "transposed": transposed,
    "max pool": max_pool,
    "average pool": average_pool,
    "adaptive pool": adaptive_pool,
    "batch norm": lambda draw, c: (nn.BatchNorm2d(c), None, c),
    "group norm": lambda draw, c: (nn.GroupNorm(1, c), None, c),
    "squeeze": squeeze,
    "residual": residual,
    "shuffle": lambda draw, c: (nn.Conv2d(c, 4, 1), None, 1),
    "resize": resize,
    "pad": lambda draw, c: (
        None,
        ([draw.randint(0, 2) for _ in range(4)], draw.choice(["constant", "reflect", "replicate", "circular"])),
        c,
    ),
    "crop": lambda draw, c: (None, (draw.randint(0, 2), draw.randint(0, 2), draw.randint(1, 2)), c),
    "add": lambda draw, c: (None, draw.random() < 0.5, 1),
    "multiply": lambda draw, c: (None, draw.random() < 0.5, 1),
    "cat": lambda draw, c: (None, draw.random() < 0.5, c),
    "stacked rows": lambda draw, c: (None, None, 1),
    "relu": lambda draw, c: (None, None, c),
    "flip": lambda draw, c: (None, draw.choice([(2,), (3,), (2, 3)]), c),
    "roll": lambda draw, c: (None, (draw.randint(-3, 3), draw.choice([2, 3])), c),
    "mean": lambda draw, c: (None, draw.choice([2, 3]), c),
}
"""kind → (a source of chance, channels) → (module or None, setting, channels that it makes)."""
