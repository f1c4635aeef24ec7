"""files: the old content or the new, and nothing left lying about."""

from pathlib import Path

import pytest

from edu_seg import files


def test_new_content_replaces_old(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content in (b"first", b"second"):
        files.write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("old", [b"old", None])
def test_a_full_disk_is_named_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, old: bytes | None) -> None:
    path = tmp_path / "a.json"
    if old is not None:
        path.write_bytes(old)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, step, full)
    kept = "its earlier content is unharmed" if old is not None else "nothing was written"
    with pytest.raises(OSError, match=rf"cannot write \(No space left on device: make room there\); {kept}: .*a\.json"):
        files.write_atomically(path, b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([] if old is None else [old])


def test_lines_are_appended(tmp_path: Path) -> None:
    for line in ("first", "größer"):
        files.append_line(tmp_path / "a.jsonl", line)
    assert (tmp_path / "a.jsonl").read_bytes().decode() == "first\ngrößer\n"


def test_a_line_that_finds_no_room_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    files.append_line(path, "first")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(
        OSError, match=r"cannot write \(No space left on device: make room there\); its earlier lines are unharmed: .*a\.jsonl"
    ):
        files.append_line(path, "second")
    assert path.read_text().startswith("first\n")


def test_an_interruption_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "a.json", b"new")
    assert list(tmp_path.iterdir()) == []
