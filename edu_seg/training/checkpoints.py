"""One checkpoint is one safetensors file, and it is either whole or refused.

Weights and the optimiser's state are in the same file, so that a kill can never pair the weights of one epoch with the optimiser
of another. The file is written under another name in the same folder, forced to disk, and only then given its own name, which is
one indivisible act of the file system. Numbers that are not tensors (epoch, step, configuration, scores) are JSON in the file's
header; so is a SHA-256 of everything, which finds what a failing disk or a broken copy has changed. Nothing is ever unpickled.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from edu_seg.files import write_atomically

LAST, BEST = "last.safetensors", "best.safetensors"
FORMAT = "edu_seg checkpoint 1"
DIGITS = 64  # of a SHA-256


class CorruptCheckpoint(ValueError):
    """The file is no whole checkpoint of this package."""


@dataclass
class Checkpoint:
    """The state of a run between two epochs.

    epoch: how many epochs are done; step: how many optimiser steps; best: the best validation score so far, or None.
    model: the state dict. optimiser: parameter name → (name of the state → tensor or number).
    config: what the run was started with (the content of `config.json`); extra: other JSON values, such as the loss scale.
    """

    epoch: int
    step: int
    model: dict[str, Tensor]
    optimiser: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    best: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def serialise(checkpoint: Checkpoint) -> bytes:
    """The content of a checkpoint file."""
    tensors = {f"model.{name}": value for name, value in checkpoint.model.items()}
    numbers: dict[str, Any] = {}
    for name, state in checkpoint.optimiser.items():
        for key, value in state.items():
            (tensors if isinstance(value, Tensor) else numbers)[f"optimiser.{name}.{key}"] = value
    # safetensors refuses tensors that share memory (tied weights): give each its own.
    tensors = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
    state = {key: getattr(checkpoint, key) for key in ("epoch", "step", "config", "best", "extra")} | {"numbers": numbers}
    text = json.dumps(state)
    # One entry only: safetensors writes several in an order that changes from file to file.
    return to_bytes(tensors, metadata={FORMAT: _digest(tensors, text) + text})


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically; see `write_atomically` for the errors."""
    write_atomically(path, serialise(checkpoint))


def load(path: Path, *, optimiser: bool = True) -> Checkpoint:
    """Read a checkpoint, on the CPU, and check that it is whole. `optimiser=False` leaves the optimiser's state out.

    Raises FileNotFoundError, or CorruptCheckpoint naming the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such checkpoint.")
    try:
        with safe_open(path, "pt") as file:
            entry = (file.metadata() or {}).get(FORMAT)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise CorruptCheckpoint(f"{path}: damaged or half written ({error}). Delete it, or bring back a whole copy.") from error
    if entry is None:
        raise CorruptCheckpoint(f"{path}: a safetensors file, but no checkpoint of edu_seg.")
    checksum, text = entry[:DIGITS], entry[DIGITS:]
    if checksum != _digest(tensors, text):
        raise CorruptCheckpoint(f"{path}: damaged, its checksum does not fit its content. Delete it, or bring back a whole copy.")
    state = json.loads(text)
    named = tensors | state.pop("numbers")
    weights = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    return Checkpoint(model=weights, optimiser=_optimiser_states(named) if optimiser else {}, **state)


def _optimiser_states(named: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {}
    for name, value in named.items():
        if name.startswith("optimiser."):
            parameter, key = name.removeprefix("optimiser.").rsplit(".", 1)
            states.setdefault(parameter, {})[key] = value
    return states


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """SHA-256 over the text and the names, types, shapes and bytes of all tensors."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))  # pyright: ignore[reportArgumentType]
    return digest.hexdigest()


def load_latest(folder: Path) -> Checkpoint | None:
    """The checkpoint from which to resume: `last`, or where that is damaged `best`, with a warning. None where there is neither.

    Every epoch is computed from the state before it and the seed alone, so going on from the older one loses time, not results.
    Raises CorruptCheckpoint where there are files but none is whole.
    """
    found = [folder / name for name in (LAST, BEST) if (folder / name).exists()]
    faults: list[str] = []
    for path in found:
        try:
            checkpoint = load(path)
        except CorruptCheckpoint as error:
            faults.append(str(error))
            continue
        if faults:
            warnings.warn(f"{faults[0]} Going on from {path}, epoch {checkpoint.epoch}.", RuntimeWarning, stacklevel=2)
        return checkpoint
    if faults:
        raise CorruptCheckpoint(" ".join(faults) + " No whole checkpoint is left: start again in another folder.")
    return None


def find(run_or_checkpoint: Path) -> Path:
    """The checkpoint file meant by a run's folder (its best, else its last) or by a file's own path.

    Raises FileNotFoundError saying what was looked for.
    """
    if run_or_checkpoint.is_file():
        return run_or_checkpoint
    for name in (BEST, LAST):
        if (run_or_checkpoint / "checkpoints" / name).is_file():
            return run_or_checkpoint / "checkpoints" / name
    raise FileNotFoundError(f"{run_or_checkpoint}: neither a checkpoint nor a run's folder (no checkpoints/{BEST} in it).")


def optimiser_states(model: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, dict[str, Any]]:
    """The optimiser's state by parameter name, ready for a `Checkpoint`."""
    return {name: dict(optimiser.state[p]) for name, p in model.named_parameters() if p in optimiser.state}


def restore(checkpoint: Checkpoint, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Put a checkpoint's weights and optimiser state into a model and its optimiser, wherever these live.

    Learning rates and the like are not restored: they come from the configuration, which must be the same.
    Raises RuntimeError (from PyTorch, naming the layer) where the weights do not fit the model.
    """
    model.load_state_dict(checkpoint.model)
    name_of = {id(p): name for name, p in model.named_parameters()}
    order = [name_of[id(p)] for group in optimiser.param_groups for p in group["params"]]
    state = {index: checkpoint.optimiser[name] for index, name in enumerate(order) if name in checkpoint.optimiser}
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
