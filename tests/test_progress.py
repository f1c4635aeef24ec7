"""Progress: nothing that was done is lost, nothing that happens to the file stops the lesson, and nothing is kept unasked."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from course_env import NOTEBOOKS as FOLDER
from course_env import fixed_environment

from edu_seg import exercises, files
from edu_seg.exercises import EXERCISES, check, checking, compare, hint, overview, predict, progress, progress_path, records
from edu_seg.exercises.checking import Exercise
from edu_seg.exercises.notebooks import NOTEBOOKS, solution_of

RIGHT = [64, 16, 57, 44]  # of exercise 03.1
WRONG = [8, 4, 57, 44]


@pytest.fixture(autouse=True)
def fresh_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_memory", records.empty())
    monkeypatch.setattr(records, "_said", set())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The learner's file, which is not there yet; nor is its folder."""
    path = tmp_path / "folder" / "progress.json"
    monkeypatch.setenv("EDU_SEG_PROGRESS", str(path))
    return path


@pytest.fixture
def three_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = Exercise("03.1", lambda: RIGHT, "Think again.", hints=("Look.", "Go.", "Nearly."))
    monkeypatch.setitem(EXERCISES, "03.1", made_up)


def kept(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


# --- what is kept ---------------------------------------------------------------------------------------------------------------


def test_attempts_and_the_first_right_answer_are_kept(file: Path) -> None:
    check("03.1", WRONG)
    assert kept(file)["exercises"]["03.1"] == {"state": "wrong", "attempts": 1, "hints": 0, "first_right": None}
    check("03.1", RIGHT)
    first = kept(file)["exercises"]["03.1"]
    assert (first["state"], first["attempts"]) == ("right", 2)
    assert first["first_right"].startswith("20")
    check("03.1", WRONG)
    assert kept(file)["exercises"]["03.1"] == first | {"attempts": 3}


def test_a_stub_leaves_no_trace(file: Path) -> None:
    check("03.1", ...)
    check("03.2", lambda kernel, down, across: ...)
    assert not file.exists()


def test_nothing_but_the_file_and_its_lock_is_left(file: Path) -> None:
    check("03.1", WRONG)
    assert {path.name for path in file.parent.iterdir()} <= {"progress.json", "progress.json.lock"}


def test_without_a_place_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDU_SEG_PROGRESS", "")
    check("03.1", RIGHT)
    assert progress_path() is None
    assert not list(tmp_path.iterdir())
    assert progress().right == 1  # in memory, until the kernel stops


def test_solutions_are_no_progress(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks" / "solutions").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks" / "solutions")
    check("03.1", RIGHT)
    assert not file.exists()


def test_the_place_is_the_user_s_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDU_SEG_PROGRESS")
    path = progress_path()
    assert path is not None
    assert path.name == "progress.json"
    assert path.parent.name == "edu_seg"


def test_what_runs_notebooks_keeps_nothing() -> None:
    assert fixed_environment(base={"EDU_SEG_PROGRESS": "elsewhere"})["EDU_SEG_PROGRESS"] == ""
    assert os.environ["EDU_SEG_PROGRESS"] == ""


# --- several kernels, broken files, no file ---------------------------------------------------------------------------------------

COUNTER = """\
import importlib.util, sys
spec = importlib.util.spec_from_file_location("records", sys.argv[1])
records = importlib.util.module_from_spec(spec)
spec.loader.exec_module(records)
records.WAIT = 100  # on a busy machine they queue for long; what counts is that none is lost
for _ in range(5):
    records.record_attempt("03.1", False)
records.record_attempt(sys.argv[2], True)
"""


def test_kernels_at_once_lose_nothing(file: Path) -> None:
    """Four processes count in one entry, and each has an entry of its own."""
    command = [sys.executable, "-c", COUNTER, str(records.__file__)]
    running = [subprocess.Popen([*command, f"03.{number}"], stdout=subprocess.PIPE) for number in (2, 3, 4, 5)]
    assert [process.communicate(timeout=110)[0] for process in running] == [b""] * 4
    entries = kept(file)["exercises"]
    assert entries["03.1"]["attempts"] == 20
    assert set(entries) == {"03.1", "03.2", "03.3", "03.4", "03.5"}


BROKEN = ["", "{", "[]", '{"version": "1"}', '{"version": 1}', "\x00", "[" * 100_000]
BROKEN += ['{"version": 1, "exercises": {"03.1": 3}, "predictions": {}}', '{"version": 1, "exercises": {}, "predictions": {"03.a": {}}}']
BROKEN += ['{"version": 1, "exercises": {"03.1": {"state": "right", "attempts": "1", "hints": 0, "first_right": null}}, "predictions": {}}']


@pytest.mark.parametrize("content", BROKEN, ids=range(len(BROKEN)))
def test_a_broken_file_is_set_aside(content: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.parent.mkdir()
    for number in (1, 2):
        file.write_text(content, encoding="utf-8")
        check("03.1", RIGHT)
        assert file.with_name(f"progress.broken-{number}.json").read_text(encoding="utf-8") == content
        assert kept(file)["exercises"]["03.1"]["attempts"] == 1
        first, second = printed(capsys)
        assert first == "03.1 · right"
        assert second.startswith("The file of your progress could not be read (it")
        assert f"progress.broken-{number}.json" in second


def test_a_newer_file_is_left_alone(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.parent.mkdir()
    file.write_text('{"version": 2, "more": true}', encoding="utf-8")
    check("03.1", RIGHT)
    check("03.1", RIGHT)
    assert kept(file) == {"version": 2, "more": True}
    assert [line for line in printed(capsys) if "newer" in line] == [f"progress is not kept: {file} was written by a newer edu_seg."]


def test_a_folder_that_cannot_be_written_costs_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDU_SEG_PROGRESS", str(tmp_path / "file" / "progress.json"))
    for _ in range(3):
        check("03.1", WRONG)
    lines = printed(capsys)
    assert [line.split(" · ")[0] for line in lines].count("03.1") == 3
    assert [line.split(":")[0] for line in lines if not line.startswith("03.1")] == ["progress is not kept"]


def test_a_file_that_can_only_be_read_is_read(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    check("03.1", RIGHT)
    before = file.read_bytes()

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(records, "FileLock", refuse)
    check("03.2", 1)
    assert progress().right == 1
    assert file.read_bytes() == before
    assert printed(capsys)[-1] == f"progress is not kept: {file} cannot be written (Permission denied)."


def test_a_kernel_that_holds_the_file_delays_and_stops_nobody(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(records, "WAIT", 0.01)
    check("03.1", WRONG)
    with records.FileLock(f"{file}.lock"):
        check("03.1", RIGHT)
    assert kept(file)["exercises"]["03.1"]["attempts"] == 1
    assert "in use by another kernel" in printed(capsys)[-1]


def test_a_crash_while_writing_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check("03.1", WRONG)
    before = file.read_bytes()
    monkeypatch.setattr(files.os, "replace", lambda *paths: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        check("03.1", RIGHT)
    assert file.read_bytes() == before
    assert {path.name for path in file.parent.iterdir()} <= {"progress.json", "progress.json.lock"}


# --- hints ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_hints")
def test_hints_come_one_by_one_and_then_the_solution(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        hint("03.1")
    *hints, fourth, fifth = printed(capsys)
    assert hints == ["03.1 · hint 1 of 3: Look.", "03.1 · hint 2 of 3: Go.", "03.1 · hint 3 of 3: Nearly."]
    assert fourth == fifth
    assert "no more hints" in fourth
    assert fourth.endswith("The solution is in notebooks/solutions/03_shift_and_stitch.ipynb")
    assert kept(file)["exercises"]["03.1"] == {"state": "not tried yet", "attempts": 0, "hints": 3, "first_right": None}


@pytest.mark.usefixtures("three_hints", "file")
def test_a_hint_can_be_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    hint("03.1", 2)
    hint("03.1")
    assert printed(capsys) == ["03.1 · hint 2 of 3: Go.", "03.1 · hint 1 of 3: Look."]
    with pytest.raises(ValueError, match=r"03\.1 has 3 hints, and no hint 4"):
        hint("03.1", 4)
    with pytest.raises(ValueError, match=r"there is no exercise '03\.9'"):
        hint("03.9")


@pytest.mark.usefixtures("three_hints")
def test_a_wrong_answer_ends_with_the_way_to_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    check("03.1", WRONG)
    check("03.1", RIGHT)
    check("03.1", ...)
    assert printed(capsys) == [
        '03.1 · wrong: Think again. The first that is wrong: number 1. For a hint: exercises.hint("03.1")',
        "03.1 · right",
        "03.1 · not tried yet",
    ]


# --- predictions ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "truth", "words"),
    [
        (3, 4, "you predicted 3; it is 4"),
        (0.5, 0.753, "you predicted 0.5; it is 0.753"),
        ("two", "four", "you predicted two; it is four"),
        ((1, 2), [1, 3], "you predicted [1, 2]; it is [1, 3]"),
        (None, 4, "you predicted None; it is 4"),
    ],
)
def test_a_prediction_meets_the_truth(value: Any, truth: Any, words: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict("03.a", value)
    compare("03.a", truth)
    assert printed(capsys) == [f"03.a · kept: {checking.plain(value)}", f"03.a · {words}"]


def test_no_prediction(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predict("03.a", ...)
    compare("03.a", 4)
    assert printed(capsys) == ["03.a · not predicted yet", "03.a · it is 4"]
    assert not file.exists()


def test_a_prediction_can_be_changed_until_the_truth_is_seen(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (2, 3, ...):
        predict("03.a", value)
    compare("03.a", 4)
    predict("03.a", 4)
    compare("03.a", 4)
    assert printed(capsys) == [
        "03.a · kept: 2",
        "03.a · kept: 3",
        "03.a · you predicted 3",
        "03.a · you predicted 3; it is 4",
        "03.a · you predicted 3",
        "03.a · you predicted 3; it is 4",
    ]
    assert kept(file)["predictions"] == {"03.a": {"value": "3", "seen": True}}


def test_a_prediction_has_a_notebook_and_a_letter() -> None:
    for name in ("03.1", "a", "03.ab", ""):
        with pytest.raises(ValueError, match="a prediction is called like"):
            predict(name, 1)


# --- the table --------------------------------------------------------------------------------------------------------------------


def test_the_table_counts_what_was_right(file: Path) -> None:
    check("03.1", RIGHT)
    check("03.2", WRONG)
    rows = {row.notebook: row for row in progress().rows}
    row = rows["03_shift_and_stitch"]
    assert (row.right, row.total, row.following) == (1, 5, "03.2")
    assert rows["00_start_here"].following == "00.1"
    assert progress().summary == f"1 of {len(EXERCISES)} exercises right; next: 00.1"
    assert "03_shift_and_stitch" in repr(progress())


def test_a_finished_course_has_no_next() -> None:
    entry = {"state": "right", "attempts": 1, "hints": 2, "first_right": "2026-11-21T10:00:00+00:00"}
    table = overview(EXERCISES, records.empty() | {"exercises": dict.fromkeys([*EXERCISES, "99.1"], entry)})
    assert table.right == table.total == len(EXERCISES)
    assert table.summary == f"{table.total} of {table.total} exercises right"
    assert table.rows[0].cells == ("00_start_here", "4 of 4", "8", "–")


def test_the_table_is_one_for_screen_readers() -> None:
    html = progress()._repr_html_()
    assert html.count('<th scope="row">') == len(NOTEBOOKS)
    assert html.count('<th scope="col">') == 4
    assert "<caption>0 of" in html


def test_every_exercise_belongs_to_a_notebook_that_is_there() -> None:
    assert {key[:2] for key in EXERCISES} == set(NOTEBOOKS)
    assert all((FOLDER / f"{name}.ipynb").is_file() for name in NOTEBOOKS.values())
    assert solution_of("03.2") == "notebooks/solutions/03_shift_and_stitch.ipynb"
    assert set(exercises.__all__) >= {"check", "hint", "predict", "compare", "progress"}
