"""How a learner's answer is checked.

An exercise holds a reference, cases from small to large on which answer and reference must agree, and the typical wrong answers,
each with a sentence. Behind the fixed cases come random ones, others at every check. The first case on which the answer fails is the
smallest; if the answer agrees there with a known wrong one, its sentence says what went wrong. An answer is a value or a function; an
untouched stub is `...`, or a function that returns it.
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
DRAWN = 10
"""So many random cases at each check."""


@dataclass(frozen=True)
class Mistake:
    """A typical wrong answer, as a function of the case, and the sentence for those who give it."""

    answer: Callable[..., Any]
    sentence: str


@dataclass(frozen=True)
class Exercise:
    """reference: the right answer as a function of a case (for a value: of nothing). cases: its inputs, from small to large.

    draw: makes a random case, so that no table of the fixed ones passes. They decide what is said of typical mistakes, so they come first.
    hints: up to three, each a step further; none of them gives the answer away.
    """

    id: str
    reference: Callable[..., Any]
    otherwise: str
    mistakes: tuple[Mistake, ...] = ()
    cases: Sequence[Case] = ((),)
    draw: Callable[[torch.Generator], Case] | None = None
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
    for case in [*exercise.cases, *drawn_cases(exercise)]:
        wanted = exercise.reference(*_copied(case))
        try:
            given = function(*_copied(case))
        except NotImplementedError:
            return Verdict("not tried yet")
        except Exception as error:  # the learner's code may fail in any way
            if "ellipsis" in str(error):
                return Verdict("not tried yet", "something in it is still `...`: a line of it, or an earlier exercise")
            return Verdict(
                "wrong", f"your code stops with {type(error).__name__}: {error}. {exercise.otherwise} {_smallest(exercise, case)}."
            )
        if given is ...:
            return Verdict("not tried yet")
        if not same(given, wanted, exercise.tolerance):
            return Verdict("wrong", _explain(exercise, case, given, wanted))
    return Verdict("right")


def drawn_cases(exercise: Exercise, seed: int | None = None) -> list[Case]:
    """Random cases of the exercise, from small to large; other ones at each call where no seed is given.

    They have a generator of their own: a check in the middle of a notebook changes no random number below it.
    """
    if exercise.draw is None:
        return []
    generator = torch.Generator()
    _ = generator.seed() if seed is None else generator.manual_seed(seed)
    return sorted((exercise.draw(generator) for _ in range(DRAWN)), key=_size)


def whole(generator: torch.Generator, low: int, high: int) -> int:
    """A random whole number from `low` to `high`, both included: for `draw`."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def wholes(generator: torch.Generator, low: int, high: int, *shape: int) -> Tensor:
    """A float tensor of whole numbers from `low` to `high`: their sums have no rounding that could part two right answers."""
    return torch.randint(low, high + 1, shape, generator=generator).float()


def _size(part: Any) -> tuple[int, float]:
    """How many numbers a case holds, and their sum without signs."""
    if isinstance(part, Tensor):
        return part.numel(), float(part.double().abs().sum())
    if isinstance(part, list | tuple):
        sizes = [_size(inner) for inner in part]
        return sum(number for number, _ in sizes), sum((total for _, total in sizes), 0.0)
    return 1, float(abs(part)) if isinstance(part, int | float) else 0.0


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
        return f"{sentence}{_first_wrong(given, wanted, exercise.tolerance)}"
    return f"{sentence} {_smallest(exercise, case)} gives {_show(given)}, and should give {_show(wanted)}."


def _first_wrong(given: Any, wanted: Any, tolerance: float) -> str:
    """Which of several numbers is the first wrong one; not what it should be."""
    if _shape(given) != _shape(wanted) or _shape(wanted) == ():
        return ""
    agree = torch.isclose(_tensor(given), _tensor(wanted), rtol=tolerance, atol=tolerance, equal_nan=True)
    *parts, number = (int(place) + 1 for place in (~agree).nonzero()[0])
    return f" The first that is wrong: number {number}" + "".join(f" of pair {part}" for part in parts) + "."


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
