"""What is learned how fast: the settings of a run, groups of parameters, optimisers and learning-rate schedules.

A schedule is a plain function of the step, not an object with a state: a resumed run needs the step's number and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

CHOICES = {
    "optimiser": ("sgd", "adamw"),
    "schedule": ("poly", "step", "constant"),
    "mixed_precision": ("no", "bf16", "fp16"),
    "device": ("auto", "cpu", "cuda", "mps"),
}
NORM_LAYERS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm)


@dataclass(frozen=True)
class FitConfig:
    """Everything about a run that is not model, data or loss. A run stores it; a resumed run must have the same.

    `batch_size` is the number of images **per optimiser step**, over all processes. `accumulation` cuts that batch into so many
    pieces that are computed one after the other: it saves memory and changes nothing else where there is no batch norm, which sees
    a piece at a time.

    Raises ValueError where a value makes no sense.
    """

    epochs: int = 10
    batch_size: int = 8
    accumulation: int = 1
    optimiser: str = "sgd"  # or "adamw"
    lr: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 5e-4
    bias_lr: float = 2.0  # times lr
    bias_decay: float = 0.0  # times weight_decay
    norm_decay: bool = True  # do scale and shift of normalisation layers decay?
    head: tuple[str, ...] = ()  # parameter names that start so are the last layers ...
    head_lr: float = 10.0  # ... and learn this many times as fast
    frozen: tuple[str, ...] = ()  # layers of these names are held: no learning, no dropout, no new statistics
    schedule: str = "poly"  # or "step", "constant"
    power: float = 0.9  # of poly
    milestones: tuple[float, ...] = (1 / 3, 2 / 3)  # of step, as parts of the run ...
    gamma: float = 0.1  # ... after each of which lr is multiplied by this
    warmup: int = 0  # optimiser steps with a linearly rising lr
    clip: float | None = None  # largest norm of the gradient
    normalise_loss: bool = True  # False: the sum over pixels, as the released FCN solvers have it
    mixed_precision: str = "no"  # or "bf16", "fp16"
    sync_batch_norm: bool = False  # several processes normalise with the whole batch's statistics
    seed: int = 0
    # From here on nothing changes what is learned, so a resumed run may differ.
    validate_every: int = 1  # epochs
    val_batch_size: int = 1  # 1: images may differ in size
    num_workers: int = 0
    device: str = "auto"  # or "cpu", "cuda", "mps"
    progress: bool = True  # bars on stderr
    pictures: int = 4  # validation images drawn each epoch; 0: none
    max_minutes: float | int | None = None  # stop before the epoch that would not end in time
    profile: bool = False  # measure the parts of a step
    deterministic: bool = False  # GPUs too: the same to the last bit, and slower
    channels_last: bool = False  # memory format of images and weights: faster convolutions on most devices
    compile: bool = False  # torch.compile

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulation", "validate_every", "val_batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must be at least 1.")
        for name in ("lr", "weight_decay", "momentum", "warmup", "num_workers", "pictures", "bias_lr", "head_lr", "bias_decay", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name)}: must not be negative.")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise ValueError(f"max_minutes = {self.max_minutes}: must be positive, or None for no limit.")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip = {self.clip}: must be positive, or None for no clipping.")
        if not all(0 < part < 1 for part in self.milestones):
            raise ValueError(f"milestones = {self.milestones}: parts of the run, so each must be between 0 and 1.")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} = {getattr(self, name)!r}: must be one of {', '.join(choices)}.")


MAY_CHANGE = frozenset(
    {
        "validate_every",
        "val_batch_size",
        "num_workers",
        "device",
        "progress",
        "pictures",
        "max_minutes",
        "profile",
        "deterministic",
        "channels_last",
        "compile",
    }
)
"""Fields of `FitConfig` that a resumed run may change: they decide how, not what, is computed."""


def decisive(fit: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a `FitConfig` that decide what is learned."""
    return {name: value for name, value in fit.items() if name not in MAY_CHANGE}


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    *,
    bias_lr: float = 2.0,
    bias_decay: float = 0.0,
    head_lr: float = 10.0,
    head: Sequence[str] = (),
    norm_decay: bool = True,
) -> list[dict[str, Any]]:
    """Groups for an optimiser: weights, biases, normalisation layers; each once for the body and once for the last layers.

    Biases learn `bias_lr` times as fast and decay `bias_decay` times as much (FCN, section 4.3: doubled rate; the released
    solvers: no decay). Parameters whose name starts with one of `head` learn `head_lr` times as fast (DeepLab, section 4.1). The
    scale and shift of a normalisation layer are neither: they take the plain rate, and decay unless `norm_decay` is False.
    Frozen parameters (requires_grad False) are left out; empty groups too.

    Raises ValueError where a prefix in `head` begins no parameter's name, or nothing is left to learn.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in head:
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(f"head: no parameter's name starts with {prefix!r}. Names here: {', '.join(_first_parts(names))}.")
    of_norm = {id(p) for module in model.modules() if isinstance(module, NORM_LAYERS) for p in module.parameters(recurse=False)}
    rates = {"weights": 1.0, "biases": bias_lr, "norms": 1.0}
    decays = {"weights": 1.0, "biases": bias_decay, "norms": float(norm_decay)}
    groups = {
        f"{part} {kind}": {
            "params": [],
            "lr": lr * rates[kind] * (head_lr if part == "head" else 1.0),
            "weight_decay": weight_decay * decays[kind],
        }
        for part in ("body", "head")
        for kind in rates
    }
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = "norms" if id(parameter) in of_norm else "biases" if name.split(".")[-1] == "bias" else "weights"
            part = "head" if name.startswith(tuple(head)) else "body"
            groups[f"{part} {kind}"]["params"].append(parameter)
    filled = [group | {"name": name, "initial_lr": group["lr"]} for name, group in groups.items() if group["params"]]
    if not filled:
        raise ValueError("Nothing to learn: every parameter of the model has requires_grad = False.")
    return filled


def freeze(model: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """Stops the parameters of the layers called `names` from learning, and returns these layers, to be kept in evaluation mode.

    Raises ValueError naming the first that the model has not.
    """
    layers = dict(model.named_modules())
    for name in names:
        if name not in layers or not name:
            raise ValueError(f"frozen: no layer is called {name!r}. Names here: {', '.join(child for child, _ in model.named_children())}.")
        layers[name].requires_grad_(False)
    return [layers[name] for name in names]


def _first_parts(names: Sequence[str]) -> list[str]:
    """The names of the top-level layers, once each, in order."""
    return list(dict.fromkeys(name.split(".")[0] for name in names))


def make_optimiser(model: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over `parameter_groups`; on a GPU in one fused kernel a group."""
    groups = parameter_groups(
        model,
        config.lr,
        config.weight_decay,
        bias_lr=config.bias_lr,
        bias_decay=config.bias_decay,
        head_lr=config.head_lr,
        head=config.head,
        norm_decay=config.norm_decay,
    )
    fused = next(model.parameters()).is_cuda or None  # None: what PyTorch takes by itself
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, fused=fused)
    return torch.optim.AdamW(groups, fused=fused)


def poly(step: int, total_steps: int, power: float = 0.9) -> float:
    """(1 - step / total)^power, the factor on the first learning rate (DeepLab v2, section 4.1; PSPNet, section 5.1)."""
    return (1 - min(step, total_steps) / total_steps) ** power


def lr_factor(config: FitConfig, step: int, total_steps: int) -> float:
    """What the first learning rate is multiplied by at `step` (from 0) of `total_steps`."""
    warm = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "poly":
        return warm * poly(step, total_steps, config.power)
    if config.schedule == "step":
        return warm * config.gamma ** sum(step >= part * total_steps for part in config.milestones)
    return warm


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Give each group `factor` times its first learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * factor
