"""What the notebooks' stored outputs say of each claim: the lines that `claims.check` printed, read back; and the page made of them.

Such a line is `paper, where · statement · expected … · measured … · ok`; an erratum has `printed …` as well, and ends in `erratum`.
"""

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from edu_seg.claims import Claim

RESULT = re.compile(r"(?:printed (?P<printed>.*?) · )?expected (?P<expected>.*) · measured (?P<measured>.*) · (?P<verdict>ok|erratum)")


@dataclass(frozen=True)
class Checked:
    """A claim with what its notebook printed: texts, and the execution count of the cell."""

    claim: Claim
    printed: str
    expected: str
    measured: str
    cell: int


def printed_lines(notebook: NotebookNode) -> Iterator[tuple[int, str]]:
    """(execution count, line) of all that a notebook printed."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                yield from ((cell.execution_count, line) for line in output.text.splitlines())


def read_line(claim: Claim, count: int, line: str) -> Checked | None:
    """What a line says of the claim; None if it is about something else."""
    start = f"{claim.paper}, {claim.where} · {claim.statement} · "
    result = RESULT.fullmatch(line.removeprefix(start)) if line.startswith(start) else None
    return Checked(claim, result["printed"] or "", result["expected"], result["measured"], count) if result else None


def checked_claims(claims: Iterable[Claim], notebooks: Mapping[str, NotebookNode]) -> list[Checked]:
    """The claims of these notebooks (name -> notebook), each with its line. Raises ValueError with the ids of those that have none."""
    lines = {name: list(printed_lines(notebook)) for name, notebook in notebooks.items()}
    found, missing = [], []
    for claim in claims:
        if claim.notebook in lines:
            line = next((line for pair in lines[claim.notebook] if (line := read_line(claim, *pair))), None)
            found += [line] if line else []
            missing += [] if line else [f"{claim.id} ({claim.notebook})"]
    if missing:
        raise ValueError(f"claims that no stored output reports, so run `make notebooks`: {', '.join(missing)}")
    return found


def read_notebooks(paths: Iterable[Path]) -> dict[str, NotebookNode]:
    return {path.stem: nbformat.read(path, as_version=4) for path in paths}


# --- the page -------------------------------------------------------------------------------------------------------------------


def anchor(claim: Claim) -> str:
    """Where a notebook's page has the cell that checks the claim."""
    return f"claim-{claim.id}"


def cell(name: str, text: str) -> str:
    return f'<td data-name="{name}">{text}</td>'


def row(checked: Checked, erratum: bool) -> str:
    claim = checked.claim
    place = f'<a href="notebooks/{claim.notebook}.html#{anchor(claim)}">{claim.notebook[:2]}, cell {checked.cell}</a>'
    source = html.escape(f"{claim.paper}, {claim.where}")
    values = {"id": f"<code>{claim.id}</code>", "source": source, "statement": html.escape(claim.statement)}
    values |= {"printed": html.escape(checked.printed)} if erratum else {}
    values |= {"expected": html.escape(checked.expected), "measured": html.escape(checked.measured), "checked in": place}
    return "<tr>" + "".join(cell(name, text) for name, text in values.items()) + "</tr>"


def table(rows: list[Checked], erratum: bool = False) -> str:
    names = ["id", "source", "statement", *(["printed"] if erratum else []), "expected", "measured", "checked in"]
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "\n".join(row(checked, erratum) for checked in rows)
    return f'```{{raw}} html\n<table class="claims">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n```'


def claims_page(checked: list[Checked], titles: Mapping[str, str]) -> str:
    """The page of all claims, in Markdown: a table for each notebook (name -> title), then one of the errata."""
    errata = [line for line in checked if line.claim.printed is not None]
    parts = [CLAIMS.format(number=len(checked), errata=len(errata))]
    for name, title in titles.items():
        if own := [line for line in checked if line.claim.notebook == name]:
            parts += [f"## {title}", table(own)]
    return "\n\n".join([*parts, ERRATA, table(errata, erratum=True) if errata else "None among these notebooks."]) + "\n"


CLAIMS = """# Claims

{number} statements of the papers, as the notebooks' last run found them; {errata} of them are errata, repeated at the end. *Expected* is
what follows from the paper or from the definition; *measured* is what the cell computed, to the decimal of its tolerance and six digits
at most. "Within 0.05" means that it differs from the expected number by no more than that. It stands alone where the digits would be
those of one machine only: for a difference that should be 0, and for errors and bytes that another processor changes. A claim that
failed would have stopped its notebook."""

ERRATA = """## Errata

Where a source prints something else than what holds. *Printed* is the source's number or formula."""
