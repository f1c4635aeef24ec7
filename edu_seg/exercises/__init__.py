"""Checks of the learner's answers: `check("05.2", answer)`; hints, predictions and progress. One file a notebook holds its exercises."""

import re
from typing import Any

from edu_seg.exercises import (
    checking,
    notebook_00,
    notebook_01,
    notebook_02,
    notebook_03,
    notebook_04,
    notebook_05,
    notebook_06,
    notebook_07,
    notebook_08,
    notebook_09,
    notebook_10,
    notebook_11,
    records,
)
from edu_seg.exercises.checking import Exercise
from edu_seg.exercises.notebooks import solution_of
from edu_seg.exercises.overview import Progress, overview
from edu_seg.exercises.records import progress_path

EXERCISES: dict[str, Exercise] = {
    exercise.id: exercise
    for notebook in (
        notebook_00,
        notebook_01,
        notebook_02,
        notebook_03,
        notebook_04,
        notebook_05,
        notebook_06,
        notebook_07,
        notebook_08,
        notebook_09,
        notebook_10,
        notebook_11,
    )
    for exercise in notebook.EXERCISES
}
"""id -> exercise, in the order of the course."""


def check(exercise_id: str, answer: Any) -> None:
    """Prints whether the answer is right; if it is not, what is wrong, the smallest case that shows it, and how to get a hint.

    answer: a value or a function; `...` and a function that returns it have not been tried yet. An answer that was tried is counted in
    the learner's progress. Raises ValueError for an exercise that does not exist.
    """
    exercise = _find(exercise_id)
    verdict = checking.review(exercise, answer)
    text = f": {verdict.text}" if verdict.text else ""
    if verdict.state == "wrong" and exercise.hints:
        text += f' For a hint: exercises.hint("{exercise_id}")'
    print(f"{exercise_id} · {verdict.state}{text}")
    if verdict.state != "not tried yet":
        records.record_attempt(exercise_id, verdict.state == "right")


def hint(exercise_id: str, number: int | None = None) -> None:
    """Prints the exercise's next hint, one more with each call; after the last one, where the solution is.

    number: that hint again, from 1. Raises ValueError for an exercise or a hint that does not exist.
    """
    hints = _find(exercise_id).hints
    if number is None:
        number = _next_hint(exercise_id, len(hints))
    elif not 1 <= number <= len(hints):
        raise ValueError(f"{exercise_id} has {len(hints)} hints, and no hint {number}")
    if number <= len(hints):
        print(f"{exercise_id} · hint {number} of {len(hints)}: {hints[number - 1]}")
        return
    again = f' exercises.hint("{exercise_id}", 1) shows the first one again.' if hints else ""
    print(f"{exercise_id} · no more hints.{again} The solution is in {solution_of(exercise_id)}")


def predict(prediction_id: str, value: Any) -> None:
    """Keeps what the learner expects, for `compare`. `...` is no prediction; one that has met the truth stays as it was.

    prediction_id: the notebook and a letter, as in "03.a". value: a number, a text or a sequence of them.
    """
    kept = _prediction(prediction_id)
    if value is ... or (kept and kept["seen"]):
        print(f"{prediction_id} · " + (f"you predicted {kept['value']}" if kept else "not predicted yet"))
        return
    entry = {"value": checking.plain(value), "seen": False}
    records.update(lambda state: state["predictions"].update({prediction_id: entry}))
    print(f"{prediction_id} · kept: {entry['value']}")


def compare(prediction_id: str, truth: Any) -> None:
    """Prints the truth, beside the learner's prediction where there is one."""
    kept = _prediction(prediction_id)
    if not kept:
        print(f"{prediction_id} · it is {checking.plain(truth)}")
        return
    if not kept["seen"]:
        records.update(lambda state: state["predictions"][prediction_id].update(seen=True))
    print(f"{prediction_id} · you predicted {kept['value']}; it is {checking.plain(truth)}")


def progress() -> Progress:
    """How many exercises of each notebook were right so far, and which one is next."""
    return overview(EXERCISES, records.load())


def _find(exercise_id: str) -> Exercise:
    if exercise_id not in EXERCISES:
        raise ValueError(f"there is no exercise {exercise_id!r}: there are {', '.join(EXERCISES)}")
    return EXERCISES[exercise_id]


def _next_hint(exercise_id: str, last: int) -> int:
    """Counts one more hint as read; past the last one, last + 1."""
    numbers = []

    def change(state: records.State) -> None:
        seen = state["exercises"].get(exercise_id, {}).get("hints", 0)
        numbers.append(seen + 1)
        if seen < last:
            records.entry_of(state, exercise_id)["hints"] = seen + 1

    records.update(change)
    return numbers[-1]


def _prediction(prediction_id: str) -> dict[str, Any] | None:
    if not re.fullmatch(r"\d\d\.[a-z]", prediction_id):
        raise ValueError(f'a prediction is called like "03.a": its notebook, a dot and a letter; not {prediction_id!r}')
    return records.load()["predictions"].get(prediction_id)


__all__ = ["EXERCISES", "check", "compare", "hint", "predict", "progress", "progress_path"]
