"""The papers' claims as a table (`claims.toml`), and the check that holds each against a number measured in a notebook."""

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from numbers import Real
from typing import Any


@dataclass(frozen=True)
class Claim:
    """One claim: who says it and where, the statement, the value that we expect to measure, and how near is near enough.

    expected: a number, a truth value, a text or a list of them. tolerance: the largest difference allowed in any number, 0 for
    exact. printed: what the source prints, where that differs from `expected` (an erratum). notebook: the one that checks it. varies:
    the measured number's own digits differ from machine to machine, so that the line says only how near it is.
    """

    id: str
    paper: str
    where: str
    statement: str
    expected: Any
    notebook: str
    tolerance: float = 0.0
    printed: Any = None
    varies: bool = False


@cache
def claims() -> dict[str, Claim]:
    """All claims by id, in the order of `claims.toml`. Raises ValueError if two share an id."""
    rows = tomllib.loads(files("edu_seg").joinpath("claims.toml").read_text(encoding="utf-8"))["claim"]
    table = {row["id"]: Claim(**row) for row in rows}
    if len(table) < len(rows):
        ids = [row["id"] for row in rows]
        raise ValueError(f"claims.toml holds two claims with the id {next(id for id in ids if ids.count(id) > 1)!r}")
    return table


def check(claim_id: str, measured: Any) -> None:
    """Prints one line, `paper · where · claim · expected · measured · ok`; raises AssertionError where the two differ.

    measured: of the kind of `expected`; torch and numpy numbers will do. A number that has a tolerance is shown to the tolerance's
    decimal, and a difference from 0 only by its tolerance: so the line is the same on every machine. Raises ValueError for an unknown id.
    """
    if claim_id not in claims():
        raise ValueError(f"no claim is called {claim_id!r}: the ids are in edu_seg/claims.toml")
    claim = claims()[claim_id]
    expected, found = list(_flat(claim.expected)), list(_flat(measured))
    agrees = len(expected) == len(found) and all(_agree(a, b, claim.tolerance) for a, b in zip(expected, found, strict=True))
    shown = _shown(claim, measured) if claim.tolerance and agrees else _text(measured)
    printed = "" if claim.printed is None else f"printed {_text(claim.printed)} · "
    line = f"{claim.paper}, {claim.where} · {claim.statement} · {printed}expected {_text(claim.expected)} · measured {shown}"
    if not agrees:
        raise AssertionError(f"{line} · differs")
    print(f"{line} · {'ok' if claim.printed is None else 'erratum'}")


def _shown(claim: Claim, measured: Any) -> str:
    """A measured value that keeps the claim's tolerance, without the digits in which machines differ."""
    within = f"within {claim.tolerance:g}"
    if claim.varies or not any(_flat(claim.expected)):
        return within
    return f"{_text(_rounded(measured, -math.floor(math.log10(claim.tolerance))))} ({within})"


def _rounded(value: Any, places: int) -> Any:
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [_rounded(part, places) for part in value]
    return round(float(value), places) + 0.0  # no -0


def _flat(value: Any) -> Iterable[Any]:
    """The single values of a number, a list or a tensor, from left to right, as Python's own types."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _agree(expected: Any, found: Any, tolerance: float) -> bool:
    if isinstance(expected, bool | str) or isinstance(found, bool | str):
        return type(expected) is type(found) and expected == found
    if not isinstance(found, Real):
        return False
    return math.isclose(expected, found, rel_tol=0, abs_tol=tolerance)


def _text(value: Any, joint: str = " / ") -> str:
    """A value for the printed line: a list's parts apart by slashes, lists inside it in brackets."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return joint.join(f"({_text(part, ', ')})" if isinstance(part, list | tuple) else _text(part) for part in value)
    if isinstance(value, bool | str) or not isinstance(value, Real):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{float(value):.6g}"
