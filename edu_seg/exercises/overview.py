"""The learner's progress as a table: one line a notebook."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

from edu_seg.exercises.notebooks import NOTEBOOKS
from edu_seg.exercises.records import State

HEADER = ("notebook", "right", "hints read", "next")
FINISHED = "–"


@dataclass(frozen=True)
class Row:
    """Of one notebook: exercises that were right, all of them, hints read, and the first that is left (None: all are done)."""

    notebook: str
    right: int
    total: int
    hints: int
    following: str | None

    @property
    def cells(self) -> tuple[str, ...]:
        return self.notebook, f"{self.right} of {self.total}", str(self.hints), self.following or FINISHED


@dataclass(frozen=True)
class Progress:
    """All notebooks; shown as a table by a notebook, and in plain text by `print`."""

    rows: tuple[Row, ...]

    @property
    def right(self) -> int:
        return sum(row.right for row in self.rows)

    @property
    def total(self) -> int:
        return sum(row.total for row in self.rows)

    @property
    def summary(self) -> str:
        following = next((row.following for row in self.rows if row.following), None)
        return f"{self.right} of {self.total} exercises right" + (f"; next: {following}" if following else "")

    def __repr__(self) -> str:
        lines = [HEADER, *(row.cells for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([*table, self.summary])

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{name}</th>' for name in HEADER)
        body = "".join(_html_row(row) for row in self.rows)
        return f"<table><caption>{escape(self.summary)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _html_row(row: Row) -> str:
    first, *rest = (escape(cell) for cell in row.cells)
    return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>"


def overview(exercise_ids: Iterable[str], state: State) -> Progress:
    """What `state` says of these exercises, by notebook. What it says of others (of another version of the course) is left out."""
    ids = list(exercise_ids)
    known = state["exercises"]
    rows = []
    for number, name in NOTEBOOKS.items():
        own = [key for key in ids if key.startswith(f"{number}.")]
        left = [key for key in own if known.get(key, {}).get("first_right") is None]
        hints = sum(known.get(key, {}).get("hints", 0) for key in own)
        rows.append(Row(name, len(own) - len(left), len(own), hints, left[0] if left else None))
    return Progress(tuple(rows))
