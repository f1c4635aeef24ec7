"""How a learner's answer is checked.

An exercise holds a reference, cases from small to large on which answer and reference must agree, and the typical wrong answers,
each with a sentence. The first case on which the answer fails is the smallest; if the answer agrees there with a known wrong one, its
sentence says what went wrong. An answer is a value or a function; an untouched stub is `...`, or a function that returns it.
"""

import inspect
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
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
    """reference: the right answer as a function of a case (for a value: of nothing). cases: its inputs, from small to large.

    hints: up to three, each a step further; none of them gives the answer away.
    """

    id: str
    reference: Callable[..., Any]
    otherwise: str
    mistakes: tuple[Mistake, ...] = ()
    cases: Sequence[Case] = ((),)
    tolerance: float = 1e-6
    hints: tuple[str, ...] = ()


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
            if "ellipsis" in str(error):
                return Verdict("not tried yet", "it uses an answer that is still `...`: do the earlier exercises first")
            return Verdict(
                "wrong", f"your code stops with {type(error).__name__}: {error}. {exercise.otherwise} {_smallest(exercise, case)}."
            )
        if given is ...:
            return Verdict("not tried yet")
        if not same(given, wanted, exercise.tolerance):
            return Verdict("wrong", _explain(exercise, case, given, wanted))
    return Verdict("right")


def same(given: Any, wanted: Any, tolerance: float) -> bool:
    """Whether two answers are the same numbers in the same shape; nan equals nan. Anything that is no number or array is not."""
    try:
        a, b = _tensor(given).double(), _tensor(wanted).double()
    except (TypeError, ValueError, RuntimeError):
        return False
    return a.shape == b.shape and bool(torch.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True).all())


def _explain(exercise: Exercise, case: Case, given: Any, wanted: Any) -> str:
    sentence = exercise.otherwise
    for mistake in exercise.mistakes:
        if same(given, mistake.answer(*_copied(case)), exercise.tolerance):
            sentence = mistake.sentence
            break
    if sentence == exercise.otherwise and _shape(given) != _shape(wanted):
        sentence = f"The answer has the shape {_shape(given)}, and should have {_shape(wanted)}."
    if not case:
        return sentence
    return f"{sentence} {_smallest(exercise, case)} gives {_show(given)}, and should give {_show(wanted)}."


def _shape(value: Any) -> tuple[int, ...] | str:
    try:
        return tuple(_tensor(value).shape)
    except (TypeError, ValueError, RuntimeError):
        return f"of no tensor ({type(value).__name__})"


def _tensor(value: Any) -> Tensor:
    """An answer as a tensor. Arrays are copied: PyTorch warns of those that are not writable, such as numpy's diagonal."""
    return (
        torch.from_numpy(np.array(value, dtype=np.float64))
        if isinstance(value, np.ndarray)
        else torch.as_tensor(value, dtype=torch.float64)
    )


def _copied(case: Case) -> Case:
    """The case copied with all tensors in it, so that an answer that writes into them spoils nothing."""
    return deepcopy(case)


def _smallest(exercise: Exercise, case: Case) -> str:
    names = inspect.signature(exercise.reference).parameters
    return "Smallest case: " + ", ".join(f"{name} = {_show(part)}" for name, part in zip(names, case, strict=True))


def _show(value: Any) -> str:
    """A value on one line; a large array by its shape."""
    if isinstance(value, Tensor) and value.numel() > 16:
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, Tensor) or hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_show(part) for part in value) + "]"
    return repr(value)


def plain(value: Any) -> str:
    """A prediction or its truth on one line; a text without quotes."""
    return value if isinstance(value, str) else _show(value)
