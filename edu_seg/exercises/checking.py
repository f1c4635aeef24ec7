"""How a learner's answer is checked.

An exercise holds a reference, cases from small to large on which answer and reference must agree, and the typical wrong answers,
each with a sentence. The first case on which the answer fails is the smallest; if the answer agrees there with a known wrong one, its
sentence says what went wrong. An answer is a value or a function; an untouched stub is `...`, or a function that returns it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Case = tuple[Any, ...]


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer, as a function of the case, and the sentence for those who give it."""

    answer: Callable[..., Any]
    sentence: str


@dataclass(frozen=True)
class Exercise:
    """reference: the right answer as a function of a case (for a value: of nothing). cases: its inputs, from small to large."""

    id: str
    reference: Callable[..., Any]
    otherwise: str
    mistakes: tuple[Mistake, ...] = ()
    cases: Sequence[Case] = ((),)
    tolerance: float = 1e-6


@dataclass(frozen=True)
class Verdict:
    """What `review` finds: `state` is "right", "wrong" or "not tried yet"; `text` says why, with the smallest failing case."""

    state: str
    text: str = ""


def review(exercise: Exercise, answer: Any) -> Verdict:
    """The verdict on an answer. Whatever the answer does, it raises nothing: the lesson goes on."""
    function = answer if callable(answer) else lambda *_: answer
    for case in exercise.cases:
        wanted = exercise.reference(*_copied(case))
        try:
            given = function(*_copied(case))
        except NotImplementedError:
            return Verdict("not tried yet")
        except Exception as error:  # the learner's code may fail in any way
            return Verdict("wrong", f"your code stops with {type(error).__name__}: {error}. Smallest case: {_describe(case)}")
        if given is ...:
            return Verdict("not tried yet")
        if not same(given, wanted, exercise.tolerance):
            return Verdict("wrong", _explain(exercise, case, given, wanted))
    return Verdict("right")


def same(given: Any, wanted: Any, tolerance: float) -> bool:
    """Whether two answers are the same numbers in the same shape; nan equals nan. Anything that is no number or array is not."""
    try:
        a, b = torch.as_tensor(given, dtype=torch.float64), torch.as_tensor(wanted, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and bool(torch.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True).all())


def _explain(exercise: Exercise, case: Case, given: Any, wanted: Any) -> str:
    sentence = exercise.otherwise
    for mistake in exercise.mistakes:
        if same(given, mistake.answer(*_copied(case)), exercise.tolerance):
            sentence = mistake.sentence
            break
    if not case:
        return sentence
    return f"{sentence} Smallest case: {_describe(case)} gives {_show(given)}, and should give {_show(wanted)}."


def _copied(case: Case) -> Case:
    """The case with its tensors copied, so that an answer that writes into them spoils nothing."""
    return tuple(part.clone() if isinstance(part, Tensor) else part for part in case)


def _describe(case: Case) -> str:
    return f"({', '.join(_show(part) for part in case)})"


def _show(value: Any) -> str:
    """A value on one line; a large array by its shape."""
    if isinstance(value, Tensor) and value.numel() > 36:
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Tensor) or hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_show(part) for part in value) + "]"
    return repr(value)
