"""The folder of a run: config.json, metrics.jsonl, checkpoints/ and predictions/.

`metrics.jsonl` has one JSON object a line, one line an epoch. It may be one epoch ahead of the last checkpoint, when the run was
killed between the two; a resumed run then drops that line and writes it again. While a job trains in the folder it holds the lock
`.lock`, which the system lets go of with the process that holds it: a kill leaves the file, and nothing locked.
"""

import errno
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from edu_seg.files import append_line, write_atomically
from edu_seg.training.checkpoints import BEST, LAST, Checkpoint, load_latest, serialise
from edu_seg.training.optimisation import MAY_CHANGE

WAIT = 10.0
"""Seconds that a job waits for another to leave its folder: after a kill, the processes that load images live on for a few."""

CANNOT_LOCK = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}
"""What a file system says that knows no locks."""


NOT_COMPARED = {"machines", "start"}
"""Keys of a configuration that say where a run has been and how it began; a resumed run carries them on."""


class FolderInUse(RuntimeError):
    """Another job is training in this folder."""


class RunFolder:
    """One run's files. Making the object touches nothing; `hold` and `start` do."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.predictions = self.path / "predictions"
        self._lock = FileLock(self.path / ".lock")

    def hold(self, *, resume: bool) -> None:
        """Make the folder and keep other jobs out of it until `release`.

        Raises FileExistsError as `open` does; FolderInUse, naming the folder, where another job does not leave it within `WAIT` seconds.
        Where the file system knows no locks, a warning says so.
        """
        self._check_free(resume)
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=WAIT)
        except Timeout:
            raise FolderInUse(f"{self.path}: another job is training in this folder. Wait for its end, or choose another folder.") from None
        except (OSError, NotImplementedError) as error:
            if isinstance(error, OSError) and error.errno not in CANNOT_LOCK:
                raise
            warnings.warn(f"{self.path}: no lock here ({error}). See that no other job uses this folder.", RuntimeWarning, stacklevel=2)

    def release(self) -> None:
        """Let other jobs in. Does nothing where the folder is not held."""
        self._lock.release()

    def _check_free(self, resume: bool) -> None:
        if not resume and (self.config.exists() or self.checkpoints.exists() or self.metrics.exists()):
            raise FileExistsError(f"{self.path}: there is a run in this folder. Go on with it (resume), or choose another folder.")
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{self.path}: is a file; a run needs a folder.")

    def open(self, config: dict[str, Any], *, resume: bool) -> Checkpoint | None:
        """The checkpoint to go on from, or None for a new run. Writes nothing.

        Raises FileExistsError where there is a run already and `resume` is False; ValueError where the run in the folder was
        started with another configuration, naming what differs, or `config.json` is damaged; CorruptCheckpoint where no checkpoint is
        whole.
        """
        self._check_free(resume)
        if self.config.exists():
            check_same(self._read_config(), config, self.config)
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
        """All whole lines. A last line that a kill has cut short is left out. Raises ValueError naming file and line for another."""
        lines = self.metrics.read_bytes().split(b"\n")[:-1] if self.metrics.exists() else []
        return [self._read_line(number, line) for number, line in enumerate(lines, 1)]

    def _read_line(self, number: int, line: bytes) -> dict[str, Any]:
        record = _from_json(line)
        if record is None or not isinstance(record.get("epoch"), int):
            raise ValueError(
                f"{self.metrics}: line {number} is damaged. Delete that line (only its scores are lost) or bring back a whole copy."
            )
        return record

    def _read_config(self) -> dict[str, Any]:
        config = _from_json(self.config.read_bytes())
        if config is None:
            raise ValueError(f"{self.config}: damaged. Delete it: the checkpoints hold the same settings, and resuming writes it anew.")
        return config

    def add_metrics(self, record: Mapping[str, Any]) -> None:
        """Append one line and force it to disk. Raises OSError naming the file."""
        append_line(self.metrics, _to_json(record))

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


def _from_json(content: bytes) -> dict[str, Any] | None:
    """The object that a text holds; None for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):  # also what is no UTF-8
        return None
    return found if isinstance(found, dict) else None


def _to_json(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def check_same(old: Mapping[str, Any], new: Mapping[str, Any], where: Path) -> None:
    """Raise ValueError naming every setting that differs, except those that do not change what is learned."""
    flat_old, flat_new = (
        _flatten(json.loads(json.dumps({key: value for key, value in config.items() if key not in NOT_COMPARED}))) for config in (old, new)
    )
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
