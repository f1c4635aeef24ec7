"""claims: the table is well formed, the check says what differs, and each claim is checked in one notebook, the one that it names."""

import json
import math
import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from course_env import NOTEBOOKS, find_notebooks

from edu_seg import claims
from edu_seg.claims import Claim, check

TABLE = claims.claims()
CALL = re.compile(r"""claims\.check\(\s*f?["']([^"']*)["']""")


# --- the table ------------------------------------------------------------------------------------------------------------------


def values_of(value: object) -> list[object]:
    return [leaf for part in value for leaf in values_of(part)] if isinstance(value, list) else [value]


@pytest.mark.parametrize("claim", TABLE.values(), ids=TABLE)
def test_a_row_is_well_formed(claim: Claim) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", claim.id)
    for text in (claim.paper, claim.where, claim.statement):
        assert text == text.strip()
        assert len(text) >= 3
        assert "·" not in text  # it parts the fields of the printed line
    leaves = values_of(claim.expected)
    assert leaves
    assert {type(leaf) for leaf in leaves} <= {int, float, bool, str}
    assert 0 <= claim.tolerance < 1
    if all(isinstance(leaf, bool | str) for leaf in leaves):
        assert claim.tolerance == 0
    if any(isinstance(leaf, float) for leaf in leaves):
        assert claim.tolerance > 0, "a float is equal to nothing but itself: say how near is near enough"
    assert claim.tolerance > 0 or not claim.varies
    if claim.printed is not None:
        assert claim.printed != claim.expected
    assert re.fullmatch(r"\d\d_[a-z0-9_]+", claim.notebook)


def test_the_table_is_in_the_order_of_the_notebooks() -> None:
    notebooks = [claim.notebook for claim in TABLE.values()]
    assert notebooks == sorted(notebooks)


ROW = '[[claim]]\nid = "a-b"\npaper = "P"\nwhere = "w"\nstatement = "s"\nexpected = 1\nnotebook = "00_x"\n'


def test_two_rows_with_one_id(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "claims.toml").write_text(ROW * 2)
    monkeypatch.setattr(claims, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=r"claims\.toml holds two claims with the id 'a-b'"):
        claims.claims.__wrapped__()


def test_an_unknown_field_is_no_claim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "claims.toml").write_text(ROW + "tolerence = 1\n")
    monkeypatch.setattr(claims, "files", lambda package: tmp_path)
    with pytest.raises(TypeError, match="tolerence"):
        claims.claims.__wrapped__()


# --- where claims are checked ---------------------------------------------------------------------------------------------------


def checked_in(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [claim_id for cell in cells if cell["cell_type"] == "code" for claim_id in CALL.findall("".join(cell["source"]))]


def problems(folder: Path, table: dict[str, Claim]) -> list[str]:
    """What is wrong with where the claims are checked; solutions are no lesson and do not count."""
    calls = [(claim_id, path.stem) for path in sorted(folder.glob("*.ipynb")) for claim_id in checked_in(path)]
    times = Counter(claim_id for claim_id, _ in calls)
    found = [f"{claim_id} is checked {times[claim_id]} times" for claim_id in table if times[claim_id] != 1]
    found += [f"{name} checks {claim_id}, which is not in claims.toml" for claim_id, name in calls if claim_id not in table]
    found += [
        f"{claim_id} is checked in {name}, the table says {table[claim_id].notebook}"
        for claim_id, name in calls
        if claim_id in table and name != table[claim_id].notebook
    ]
    return found


def test_each_claim_is_checked_in_one_notebook() -> None:
    assert problems(NOTEBOOKS, TABLE) == []


def test_no_check_escapes_the_pattern() -> None:
    """Every `.check(` on `claims` in the notebooks' code is one that the test above reads."""
    for path in find_notebooks():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
        assert len(re.findall(r"claims\s*\.\s*check|from edu_seg\.claims", source)) == len(CALL.findall(source)), path.name


def made_up(folder: Path, **sources: str) -> Path:
    for name, source in sources.items():
        cells = [{"cell_type": "code", "source": [source]}, {"cell_type": "markdown", "source": ['claims.check("one", 1)']}]
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    return folder


def test_misplaced_checks_are_found(tmp_path: Path) -> None:
    table = {name: Claim(name, "P", "w", "s", 1, notebook) for name, notebook in (("one", "00_a"), ("two", "00_a"), ("three", "05_b"))}
    good = made_up(tmp_path, **{"00_a": 'claims.check("one", 1)\nclaims.check(\n    "two", 2)', "05_b": "claims.check('three', 3)"})
    assert problems(good, table) == []
    bad = made_up(
        tmp_path, **{"00_a": 'claims.check("one", 1)\nclaims.check("four", 1)', "05_b": 'claims.check("one", 1); claims.check("two", 1)'}
    )
    assert problems(bad, table) == [
        "one is checked 2 times",
        "three is checked 0 times",
        "00_a checks four, which is not in claims.toml",
        "one is checked in 05_b, the table says 00_a",
        "two is checked in 05_b, the table says 00_a",
    ]


# --- the check ------------------------------------------------------------------------------------------------------------------


def row(expected: object, tolerance: float = 0.0, printed: object = None) -> Claim:
    return Claim("made-up", "Paper", "table 1", "a number", expected, "00_a", tolerance, printed)


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch):
    """Makes one claim the whole table."""

    def put(claim: Claim) -> None:
        monkeypatch.setattr(claims, "claims", lambda: {claim.id: claim})

    return put


def test_an_exact_claim(only, capsys: pytest.CaptureFixture[str]) -> None:
    only(row(134346581))
    check("made-up", 134346581)
    assert capsys.readouterr().out == "Paper, table 1 · a number · expected 134,346,581 · measured 134,346,581 · ok\n"


def test_a_difference_is_printed_and_raised(only, capsys: pytest.CaptureFixture[str]) -> None:
    only(row(134346581))
    with pytest.raises(AssertionError, match=r"^Paper, table 1 · a number · expected 134,346,581 · measured 134,346,582 · differs$"):
        check("made-up", 134346582)
    assert "ok" not in capsys.readouterr().out


def test_a_float_is_shown_to_its_tolerance(only, capsys: pytest.CaptureFixture[str]) -> None:
    """The same line on every machine, whatever the digits behind the tolerance are."""
    only(row(0.5, 1e-6))
    check("made-up", 0.5 + 9e-7)
    check("made-up", 0.5 - 3e-8)
    first, second = capsys.readouterr().out.splitlines()
    assert second == "Paper, table 1 · a number · expected 0.5 · measured 0.5 (within 1e-06) · ok"
    assert first == second.replace("measured 0.5", "measured 0.500001")
    for far in (0.5 + 2e-6, 0.5 - 2e-6):
        with pytest.raises(AssertionError, match=rf"measured {re.escape(str(far))} · differs"):
            check("made-up", far)


SHOWN = [
    ([11.7, 25.6], 0.05, [11.689512, 25.557], "11.69 / 25.56 (within 0.05)"),
    ([[0.5, 4]], 1e-9, torch.tensor([[0.5, 4.0]], dtype=torch.float64), "(0.5, 4) (within 1e-09)"),
    (0.5, 0.1, np.float64(0.5499), "0.5 (within 0.1)"),
    ([3.5, 0.0], 1e-12, (Fraction(7, 2), -1e-15), "3.5 / 0 (within 1e-12)"),
    (2.25, 1e-3, 2.25049, "2.25 (within 0.001)"),
    (0.0, 1e-12, 3e-13, "within 1e-12"),
    ([0.0, 0.0], 0.06, [0.05, -0.05], "within 0.06"),
]


@pytest.mark.parametrize(("expected", "tolerance", "measured", "shown"), SHOWN)
def test_what_is_shown_of_a_measured_number(
    only, capsys: pytest.CaptureFixture[str], expected: object, tolerance: float, measured: object, shown: str
) -> None:
    only(row(expected, tolerance))
    check("made-up", measured)
    assert capsys.readouterr().out.endswith(f" · measured {shown} · ok\n")


def test_a_number_that_varies_is_not_shown(only, capsys: pytest.CaptureFixture[str]) -> None:
    only(replace(row(0.04, 0.02), varies=True))
    check("made-up", 0.0312)
    assert capsys.readouterr().out == "Paper, table 1 · a number · expected 0.04 · measured within 0.02 · ok\n"


def test_every_tolerance_has_its_decimal() -> None:
    """Its own decimal place, not one too few by the logarithm's rounding: 0.02 is told to hundredths, 1e-5 to five places."""
    for tolerance in {claim.tolerance for claim in TABLE.values() if claim.tolerance}:
        exponent = int(f"{tolerance:e}".partition("e")[2])
        assert math.floor(math.log10(tolerance)) == exponent


def test_an_erratum(only, capsys: pytest.CaptureFixture[str]) -> None:
    only(row(715, printed=907))
    check("made-up", 715)
    assert capsys.readouterr().out == "Paper, table 1 · a number · printed 907 · expected 715 · measured 715 · erratum\n"
    with pytest.raises(AssertionError, match="printed 907 · expected 715 · measured 907 · differs"):
        check("made-up", 907)


RIGHT = [
    (5, torch.tensor(5)),
    (5, np.int64(5)),
    (5, 5.0),
    (0.5, torch.tensor(0.5, dtype=torch.float64)),
    (True, True),
    (True, np.bool_(True)),
    (True, torch.tensor(True)),
    ("yes", "yes"),
    ([1, 2, 3], (1, 2, 3)),
    ([1, 2, 3], torch.tensor([1, 2, 3])),
    ([1, 2, 3], [torch.tensor(1), np.int32(2), 3]),
    ([[1, 2], [3, 4]], np.array([[1, 2], [3, 4]])),
    (["a", 1, True], ["a", 1, True]),
]
WRONG = [
    (5, 6),
    (5, "5"),
    (5, None),
    (5, {5}),
    (5, [5, 5]),
    (5, []),
    (5, math.nan),
    (1, True),
    (True, 1),
    (True, False),
    (True, 1.0),
    ("yes", "no"),
    ("yes", 1),
    ([1, 2, 3], [1, 2]),
    ([1, 2, 3], [1, 2, 3, 4]),
    ([1, 2, 3], [1, 3, 2]),
    ([1, 2, 3], 1),
    ([True, False], [True, True]),
]


@pytest.mark.parametrize(("expected", "measured"), RIGHT)
def test_values_that_agree(only, expected: object, measured: object) -> None:
    only(row(expected))
    check("made-up", measured)


@pytest.mark.parametrize(("expected", "measured"), WRONG)
def test_values_that_differ(only, expected: object, measured: object) -> None:
    for tolerance in (0.0, 1e-3):
        only(row(expected, tolerance))
        with pytest.raises(AssertionError, match=r"· differs$"):
            check("made-up", measured)


def test_each_number_of_a_list_keeps_the_tolerance(only) -> None:
    only(row([0.5, 1.5], 0.1))
    check("made-up", [0.45, 1.55])
    with pytest.raises(AssertionError, match="differs"):
        check("made-up", [0.5, 1.65])


def test_an_unknown_claim() -> None:
    with pytest.raises(ValueError, match=r"no claim is called 'fcn-colour': the ids are in edu_seg/claims\.toml"):
        check("fcn-colour", 1)
