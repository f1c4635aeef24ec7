"""The folder of a run: config.json, metrics.jsonl, checkpoints/ and predictions/.

`metrics.jsonl` has one JSON object a line, one line an epoch. It may be one epoch ahead of the last checkpoint, when the run was
killed between the two; a resumed run then drops that line and writes it again.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edu_seg.files import write_atomically
from edu_seg.training.checkpoints import BEST, LAST, Checkpoint, load_latest, serialise
from edu_seg.training.optimisation import MAY_CHANGE


class RunFolder:
    """One run's files. Making the object touches nothing; `start` does."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.predictions = self.path / "predictions"

    def open(self, config: dict[str, Any], *, resume: bool) -> Checkpoint | None:
        """The checkpoint to go on from, or None for a new run. Writes nothing.

        Raises FileExistsError where there is a run already and `resume` is False; ValueError where the run in the folder was
        started with another configuration, naming what differs; CorruptCheckpoint where no checkpoint is whole.
        """
        if not resume and (self.config.exists() or self.checkpoints.exists() or self.metrics.exists()):
            raise FileExistsError(f"{self.path}: there is a run in this folder. Go on with it (resume), or choose another folder.")
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path}: is a file; a run needs a folder.")
        if not self.config.exists():
            return None
        check_same(json.loads(self.config.read_text(encoding="utf-8")), config, self.config)
        checkpoint = load_latest(self.checkpoints)
        if checkpoint:
            check_same(checkpoint.config, config, self.checkpoints)
        return checkpoint

    def start(self, config: dict[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
        """Make the folders and write the configuration and the metrics so far."""
        for folder in (self.path, self.checkpoints, self.predictions):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.metrics, "".join(f"{_to_json(record)}\n" for record in history).encode())
        write_atomically(self.config, (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode())

    def metrics_until(self, epoch: int) -> list[dict[str, Any]]:
        """The lines of the epochs up to `epoch`: what a checkpoint of that epoch has behind it."""
        return [record for record in self.read_metrics() if record["epoch"] <= epoch]

    def read_metrics(self) -> list[dict[str, Any]]:
        """All whole lines. A last line that a kill has cut short is left out."""
        lines = self.metrics.read_text(encoding="utf-8").split("\n")[:-1] if self.metrics.exists() else []
        return [json.loads(line) for line in lines]

    def add_metrics(self, record: Mapping[str, Any]) -> None:
        """Append one line and force it to disk."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(f"{_to_json(record)}\n")
            file.flush()
            os.fsync(file.fileno())

    def save(self, checkpoint: Checkpoint, *, is_best: bool) -> None:
        """Write the checkpoint as best, where it is, and then as last.

        In this order a kill between the two costs nothing: the run goes on from the older `last` and comes to the same best.
        """
        payload = serialise(checkpoint)
        if is_best:
            write_atomically(self.checkpoints / BEST, payload)
        write_atomically(self.checkpoints / LAST, payload)


def read_history(run_or_checkpoint: Path) -> list[dict[str, Any]]:
    """The lines of `metrics.jsonl` of a run, given its folder or one of its checkpoints. Empty where there is no such file."""
    folder = run_or_checkpoint.parent.parent if run_or_checkpoint.is_file() else run_or_checkpoint
    return RunFolder(folder).read_metrics()


def _to_json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], where: Path) -> None:
    """Raise ValueError naming every setting that differs, except those that do not change what is learned."""
    flat_old, flat_new = _flatten(json.loads(json.dumps(old))), _flatten(json.loads(json.dumps(new)))
    free = {f"fit.{name}" for name in MAY_CHANGE}
    if flat_new.get("fit.schedule") == "constant" == flat_old.get("fit.schedule"):
        free.add("fit.epochs")  # only then the first epochs do not depend on how many there are
    differing = [key for key in flat_old | flat_new if key not in free and flat_old.get(key, "absent") != flat_new.get(key, "absent")]
    if differing:
        listed = "; ".join(f"{key}: {flat_old.get(key, 'absent')!r} there, {flat_new.get(key, 'absent')!r} now" for key in differing)
        why = " The number of epochs shapes the learning-rate schedule from the first step on." if "fit.epochs" in differing else ""
        raise ValueError(f"{where}: this run has other settings ({listed}).{why} Resume with the same ones, or choose another folder.")


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
