"""Results of runs as files, and the table that is made of them: nothing in it is typed by hand but what the papers report.

One JSON file a run holds the commands that repeat it, versions and machines, seed and time, the four scores and each class's IU. Older
files lack some of it: "fit" and "loss" (the settings that decide what is learned), "stages" (the runs that it started from, oldest
first), "trained_on" (machines of the training; "machine" is that of the scoring), "wall_minutes" (with what lies between epochs) and
the number of images that were scored.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edu_seg import presets
from edu_seg.files import write_atomically
from edu_seg.metrics import ConfusionMatrix
from edu_seg.presets.specs import LOSS_SETTINGS
from edu_seg.training import Checkpoint
from edu_seg.training.machine import machine
from edu_seg.training.optimisation import decisive

SCORES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")
OPTIONS = {
    *("epochs", "batch_size", "accumulation", "lr", "warmup", "clip", "sync_batch_norm", "seed"),
    *("mixed_precision", "channels_last", "compile", "deterministic"),
}
"""Settings of `train` that a result's command repeats where they are not the preset's."""

PAPERS_CAMVID = {"dilation8_camvid": (65.3, "test list")}
"""Model -> the mean IU on CamVid that its own paper prints, in per cent, and of which list. Dilation8: Yu and Koltun 2016, the appendix
on CamVid. The papers of FCN, U-Net, DRN, DeepLab v3 and PSPNet have none."""


def training_command(config: Mapping[str, Any]) -> str:
    """The command that trains what a run's configuration says; of a later stage, after the commands of those before it."""
    preset, start = presets.PRESETS.get(config["preset"]), config.get("start", {})
    images = 0 if start.get("limit") else config.get("train_images", 0)  # of a paper's steps, where it counts them
    usual = preset.fit_for(images) if preset else None
    options = {name: config["fit"].get(name) for name in sorted(OPTIONS)}
    given = {name: value for name, value in options.items() if usual is None or value != getattr(usual, name)}
    given |= {name: start.get(name) for name in ("limit", "random_weights")} | {"sbd": "SBD" if start.get("sbd") else None}
    if start.get("stages"):
        given["stage_from"] = f"runs/{start['stages'][-1]['preset']}"
    words = [f"python -m edu_seg train --preset {config['preset']}"]
    for name, value in given.items():
        if value not in (None, False):
            words.append(f"--{name.replace('_', '-')}" if value is True else f"--{name.replace('_', '-')} {value}")
    return " ".join(words)


def stages_until(checkpoint: Checkpoint, history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a run that starts from this one notes of it and of the runs before it, the oldest first: JSON values.

    history: this run's `metrics.jsonl`; where it is lost, so are the minutes (None).
    """
    config = checkpoint.config
    own = {
        "preset": config["preset"],
        "command": training_command(config),
        "epochs": config["fit"]["epochs"],
        "minutes": _minutes(history) if history else None,
    }
    return [*config.get("start", {}).get("stages", []), own]


def _minutes(history: Sequence[Mapping[str, Any]]) -> float:
    return round(sum(record["seconds"] for record in history) / 60, 1)


def make_result(
    model: nn.Module,
    checkpoint: Checkpoint,
    matrix: ConfusionMatrix,
    history: Sequence[Mapping[str, Any]],
    split: str,
    device: torch.device,
    images: int | None = None,
) -> dict[str, Any]:
    """Everything about a trained run and its scores, as JSON values.

    history: the run's `metrics.jsonl`; its seconds are added up. images: how many were scored. Raises ValueError where there is no history.
    """
    config = checkpoint.config
    if not history:
        raise ValueError("the run's metrics.jsonl is missing or empty, so that the time of training is not known: score the whole folder.")
    scored = {"split": split, "train_images": config["train_images"], "scored_pixels": int(matrix.counts.sum())}
    return {
        "preset": config["preset"],
        "command": training_command(config),
        "model": config["model"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "data": config["data"] | scored | ({} if images is None else {"images": images}),
        "fit": decisive(config["fit"]),
        "loss": {name: config[name] for name in LOSS_SETTINGS if name in config},
        "seed": config["fit"]["seed"],
        "epoch": checkpoint.epoch,
        "epochs": config["fit"]["epochs"],
        "minutes": _minutes(history),
        **_of_the_training(config, history),
        "machine": machine(device),
        "scores": {name: round(value, 4) for name, value in matrix.scores().items()},
        "iou": {name: None if math.isnan(iou) else round(iou, 4) for name, iou in zip(config["classes"], matrix.iou.tolist(), strict=True)},
    }


def _of_the_training(config: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a run notes of itself, if it is no older one."""
    found: dict[str, Any] = {}
    if "elapsed" in history[-1]:
        found["wall_minutes"] = round(history[-1]["elapsed"] / 60, 1)
    if "start" in config:
        found["stages"] = config["start"].get("stages", [])
    if "machines" in config:
        found["trained_on"] = config["machines"]
    return found


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
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: no result of `evaluate --result` ({error!r}). Remove it or write it again.") from error
    return sorted(found, key=_sort_key)


def _sort_key(result: Mapping[str, Any]) -> tuple[Any, ...]:
    return result["data"]["kind"], -result["scores"]["mean_iou"], result["preset"]


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown, one line a run: scores in per cent. Of a run in stages, the epochs and minutes of each, the oldest first."""
    head = "| preset | model | parameters | epochs | minutes | pixel acc. | mean acc. | mean IU | f.w. IU | the paper's mean IU |"
    lines = [head, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for result in results:
        runs = [*result.get("stages", []), result]
        scores = [f"{100 * result['scores'][name]:.1f}" for name in SCORES]
        facts = [
            f"`{result['preset']}`",
            _net(result["model"]),
            f"{result['parameters']:,}",
            " + ".join(str(run["epochs"]) for run in runs),
            " + ".join("?" if run["minutes"] is None else f"{run['minutes']:.1f}" for run in runs),
        ]
        lines.append(f"| {' | '.join(map(str, [*facts, *scores, _papers_own(result)]))} |")
    return "\n".join(lines)


def _net(model: Mapping[str, Any]) -> str:
    """Its name; where it has other skips than those it is named for, how many."""
    skips = model["options"].get("skips")
    return model["name"] + (f", {len(skips)} skips" if skips else "")


def _papers_own(result: Mapping[str, Any]) -> str:
    """The mean IU that the model's own paper has on the set, and of which list; empty where it has none."""
    if result["data"]["kind"] != "camvid" or result["model"]["name"] not in PAPERS_CAMVID:
        return ""
    score, part = PAPERS_CAMVID[result["model"]["name"]]
    return f"{score:.1f} ({part})"
