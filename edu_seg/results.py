"""Results of runs as files, and the table that is made of them: nothing in it is typed by hand but what the papers report.

One JSON file a run holds the command that repeats it, versions and machine, seed and time, the four scores and each class's IU.
"""

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edu_seg import presets
from edu_seg.files import write_atomically
from edu_seg.metrics import ConfusionMatrix
from edu_seg.training import Checkpoint

SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
OPTIONS = {"epochs", "batch_size", "accumulation", "lr", "mixed_precision", "seed", "channels_last", "compile", "deterministic"}
"""Settings of `train` that a result's command repeats where they are not the preset's."""


def training_command(config: Mapping[str, Any]) -> str:
    """The command that trains what a run's configuration says."""
    usual, words = presets.get(config["preset"]).fit, [f"python -m edu_seg train --preset {config['preset']}"]
    for name in sorted(OPTIONS):
        value = config["fit"].get(name)
        if value is not None and value != getattr(usual, name):
            words.append(f"--{name.replace('_', '-')}" if value is True else f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


def machine(device: torch.device) -> dict[str, Any]:
    """The device and the versions that a figure depends on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    packages = {name: version(name) for name in ("edu_seg", "torch", "torchvision", "accelerate", "numpy")}
    return {"device": name, "threads": torch.get_num_threads(), "python": platform.python_version(), **packages}


def _processor() -> str:
    """The processor's name and how many of its cores there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"


def make_result(
    model: nn.Module,
    checkpoint: Checkpoint,
    matrix: ConfusionMatrix,
    history: Sequence[Mapping[str, Any]],
    split: str,
    device: torch.device,
) -> dict[str, Any]:
    """Everything about a trained run and its scores, as JSON values. history: the run's `metrics.jsonl`; its seconds are added up."""
    config = checkpoint.config
    return {
        "preset": config["preset"],
        "command": training_command(config),
        "model": config["model"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": config["data"] | {"split": split, "train_images": config["train_images"], "scored_pixels": int(matrix.counts.sum())},
        "seed": config["fit"]["seed"],
        "epoch": checkpoint.epoch,
        "epochs": config["fit"]["epochs"],
        "minutes": round(sum(record["seconds"] for record in history) / 60, 1),
        "machine": machine(device),
        "scores": {name: round(value, 4) for name, value in matrix.scores().items()},
        "iou": {name: None if math.isnan(iou) else round(iou, 4) for name, iou in zip(config["classes"], matrix.iou.tolist(), strict=True)},
    }


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Raises OSError where it cannot be written; an earlier file is then kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All results of a folder, by set and then by falling mean IU. Raises ValueError naming a file that is none."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")))
            _sort_key(found[-1])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: no result of `evaluate --result` ({error!r}). Remove it or write it again.") from error
    return sorted(found, key=_sort_key)


def _sort_key(result: Mapping[str, Any]) -> tuple[Any, ...]:
    return result["data"]["kind"], -result["scores"]["mean_iou"], result["preset"]


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown, one line a run: scores in per cent."""
    head = "| preset | model | parameters | epochs | minutes | pixel acc. | mean acc. | mean IU | f.w. IU |"
    lines = [head, "|---|---|--:|--:|--:|--:|--:|--:|--:|"]
    for result in results:
        scores = [f"{100 * result['scores'][name]:.1f}" for name in SCORES]
        facts = [
            f"`{result['preset']}`",
            result["model"]["name"],
            f"{result['parameters']:,}",
            result["epochs"],
            f"{result['minutes']:.1f}",
        ]
        lines.append(f"| {' | '.join(map(str, facts + scores))} |")
    return "\n".join(lines)
