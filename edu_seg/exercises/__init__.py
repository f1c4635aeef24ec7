"""Checks of the learner's answers: `check("05.2", answer)`. One file a notebook holds its exercises."""

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
)
from edu_seg.exercises.checking import Exercise

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
    )
    for exercise in notebook.EXERCISES
}
"""id -> exercise, in the order of the course."""


def check(exercise_id: str, answer: Any) -> None:
    """Prints whether the answer is right; if it is not, what is wrong in a sentence, and the smallest case that shows it.

    answer: a value or a function; `...` and a function that returns it have not been tried yet. Raises ValueError for an exercise
    that does not exist.
    """
    if exercise_id not in EXERCISES:
        raise ValueError(f"there is no exercise {exercise_id!r}: there are {', '.join(EXERCISES)}")
    verdict = checking.review(EXERCISES[exercise_id], answer)
    print(f"{exercise_id} · {verdict.state}" + (f": {verdict.text}" if verdict.text else ""))


__all__ = ["EXERCISES", "check"]
