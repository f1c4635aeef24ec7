"""What a learner has done so far, kept in one small file on the learner's own machine and sent nowhere.

The file is JSON. It lies in the user's data folder of the operating system, or where the environment variable EDU_SEG_PROGRESS says;
if that is set and empty, nothing is kept. Whatever happens to the file, the lesson goes on: what cannot be kept on disk is kept in
memory until the kernel stops, and one line says so.
"""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock, Timeout

from edu_seg.files import write_atomically

VARIABLE = "EDU_SEG_PROGRESS"
VERSION = 1
WAIT = 5.0
"""seconds that one kernel waits for another to let go of the file"""
ENTRY = {"state": str, "attempts": int, "hints": int, "first_right": (str, type(None))}
PREDICTION = {"value": str, "seen": bool}

State = dict[str, Any]
"""{"version": 1, "exercises": {id: ENTRY}, "predictions": {id: PREDICTION}}"""


class ProgressFileError(ValueError):
    """The file holds something else than a learner's progress."""


class NewerFileError(ValueError):
    """The file was written by a newer edu_seg, which knows more than this one."""


def empty() -> State:
    return {"version": VERSION, "exercises": {}, "predictions": {}}


_memory: State = empty()
_said: set[str] = set()


def progress_path() -> Path | None:
    """The file, or None where nothing is kept: EDU_SEG_PROGRESS is empty, or the kernel runs beside the solutions."""
    if Path.cwd().parts[-2:] == ("notebooks", "solutions"):  # what is solved there, no learner has solved
        return None
    value = os.environ.get(VARIABLE)
    if value is None:
        return Path(platformdirs.user_data_dir("edu_seg", appauthor=False)) / "progress.json"
    return Path(value).expanduser() if value else None


def load() -> State:
    """What has been kept so far."""
    return update(lambda state: None)


def update(change: Callable[[State], None]) -> State:
    """Reads what is kept, lets `change` alter it in place, writes it back, and returns it; one kernel at a time.

    Raises nothing for the file's sake: it prints a line, once in a kernel, and goes on in memory.
    """
    path = progress_path()
    if path is not None:
        try:
            return _update_file(path, change)
        except Timeout:
            _say(f"progress is not kept now: {path} has been in use by another kernel for {WAIT:.0f} seconds.")
        except NewerFileError:
            _say(f"progress is not kept: {path} was written by a newer edu_seg.")
        except OSError as error:
            _say(f"progress is not kept: {path} cannot be written ({error.strerror or error}).")
        _remember(path)
    change(_memory)
    return _memory


def _remember(path: Path) -> None:
    """Fills an empty memory with what the file holds, if it can at least be read."""
    if _memory == empty():
        try:
            _memory.update(_parsed(path.read_bytes()))
        except (OSError, ValueError):
            return


def entry_of(state: State, exercise_id: str) -> dict[str, Any]:
    """What is known of an exercise: a new entry where nothing is."""
    fresh = {"state": "not tried yet", "attempts": 0, "hints": 0, "first_right": None}
    return state["exercises"].setdefault(exercise_id, fresh)


def record_attempt(exercise_id: str, right: bool) -> None:
    """Counts an answer. An exercise that was right once stays so."""

    def change(state: State) -> None:
        entry = entry_of(state, exercise_id)
        entry["attempts"] += 1
        if right and entry["first_right"] is None:
            entry["first_right"] = datetime.now(UTC).isoformat(timespec="seconds")
        entry["state"] = "wrong" if entry["first_right"] is None else "right"

    update(change)


def _update_file(path: Path, change: Callable[[State], None]) -> State:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=WAIT):
        state = _read(path)
        before = json.dumps(state)
        change(state)
        if json.dumps(state) != before:
            write_atomically(path, json.dumps(state, indent=1, ensure_ascii=False).encode())
        return state


def _read(path: Path) -> State:
    """The file's state. A file that is broken is set aside under another name, and a new one begins."""
    try:
        return _parsed(path.read_bytes())
    except FileNotFoundError:
        return empty()
    except ProgressFileError as error:
        aside = _free_name(path)
        os.replace(path, aside)
        print(f"The file of your progress could not be read ({error}). It is kept as {aside}, and a new one begins.")
        return empty()


def _parsed(content: bytes) -> State:
    try:
        state = json.loads(content)
    except (ValueError, RecursionError) as error:  # no JSON, or no UTF-8
        raise ProgressFileError("it is no JSON") from error
    if not isinstance(state, dict) or type(state.get("version")) is not int:
        raise ProgressFileError("it names no version")
    if state["version"] > VERSION:
        raise NewerFileError
    for name, fields in (("exercises", ENTRY), ("predictions", PREDICTION)):
        entries = state.get(name)
        if not isinstance(entries, dict) or not all(_has(entry, fields) for entry in entries.values()):
            raise ProgressFileError(f"its part {name!r} has another form")
    return state


def _has(entry: Any, fields: dict[str, Any]) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(name), kind) for name, kind in fields.items())


def _free_name(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f"{path.stem}.broken-{number}{path.suffix}")).exists():
        number += 1
    return aside


def _say(line: str) -> None:
    if line not in _said:
        _said.add(line)
        print(line)
