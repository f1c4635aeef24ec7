"""The folder of a run: one job at a time, damaged files named, and what a run notes of its way."""

import errno
import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock
from test_training import history, same_weights
from tiny_run import CONFIG, run

from edu_seg.training import FolderInUse, load_checkpoint, loop, read_history, run_folder
from edu_seg.training.checkpoints import save
from edu_seg.training.run_folder import RunFolder

SHORT = replace(CONFIG, epochs=2)

pytestmark = pytest.mark.usefixtures("one_thread")


def configuration(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


# One job at a time


@pytest.mark.parametrize("resume", [True, False])
def test_a_second_job_is_refused_and_harms_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: bool) -> None:
    monkeypatch.setattr(run_folder, "WAIT", 0.01)
    folder = tmp_path / "run"
    first = RunFolder(folder)
    first.hold(resume=resume)
    with pytest.raises(FolderInUse, match=r"run: another job is training in this folder"):
        run(folder, SHORT, resume=resume)
    assert [path.name for path in folder.iterdir()] == [".lock"]
    first.release()
    run(folder, SHORT, resume=resume)
    assert len(history(folder)) == 2


def test_a_job_waits_for_one_that_is_leaving(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    other = FileLock(tmp_path / "run" / ".lock", thread_local=False)
    other.acquire()
    leaves = threading.Timer(0.2, other.release)
    leaves.start()
    run(tmp_path / "run", SHORT)
    leaves.join()
    assert len(history(tmp_path / "run")) == 2


def test_a_job_that_fails_lets_go_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "WAIT", 0.01)
    run(tmp_path / "run", SHORT)
    with pytest.raises(ValueError, match=r"fit\.lr"):
        run(tmp_path / "run", replace(SHORT, lr=0.5), resume=True)
    run(tmp_path / "run", SHORT, resume=True)


def test_without_locks_a_warning_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(code: int) -> None:
        def acquire(self: FileLock, timeout: float) -> None:
            raise OSError(code, "no")

        monkeypatch.setattr(FileLock, "acquire", acquire)

    refuse(errno.ENOLCK)
    with pytest.warns(RuntimeWarning, match=r"run: no lock here .*no other job"):
        run(tmp_path / "run", SHORT)
    refuse(errno.EACCES)
    with pytest.raises(PermissionError):
        run(tmp_path / "run", SHORT, resume=True)


def test_processes_that_find_different_epochs_are_told_to_share_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = SimpleNamespace(accelerator=SimpleNamespace(num_processes=2), epoch=3, folder=RunFolder(tmp_path / "run"))
    check = loop._Run._check_same_epoch
    monkeypatch.setattr(loop, "gather_object", lambda own: [*own, 0])
    with pytest.raises(ValueError, match=r"run: the processes find different checkpoints there \(epochs 0, 3\)\. .*share"):
        check(two)  # type: ignore[arg-type]
    monkeypatch.setattr(loop, "gather_object", lambda own: [*own, 3])
    check(two)  # type: ignore[arg-type]


# Damaged files


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe{}", b'{"epoch": 1'])
def test_damaged_files_are_named_and_can_be_mended(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "run"
    whole = run(folder, SHORT)
    settings = configuration(folder)
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json: damaged\. Delete it"):
        run(folder, SHORT, resume=True)
    (folder / "config.json").unlink()
    assert same_weights(run(folder, SHORT, resume=True), whole)
    assert configuration(folder) == settings

    first, second = (folder / "metrics.jsonl").read_bytes().splitlines()
    (folder / "metrics.jsonl").write_bytes(b"\n".join([first, content, second, b""]))
    for reads in (lambda: run(folder, SHORT, resume=True), lambda: read_history(folder)):
        with pytest.raises(ValueError, match=r"metrics\.jsonl: line 2 is damaged"):
            reads()
    (folder / "metrics.jsonl").write_bytes(b"\n".join([first, second, content]))  # cut short by a kill: left out
    assert [record["epoch"] for record in read_history(folder)] == [1, 2]


def test_without_its_configuration_a_run_is_still_held_to_its_settings(tmp_path: Path) -> None:
    """The checkpoint knows them; before, a run whose config.json had been lost was started anew on top of the old one."""
    run(tmp_path / "run", SHORT)
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"checkpoints: this run has other settings \(fit\.lr"):
        run(tmp_path / "run", replace(SHORT, lr=0.5), resume=True)


# A run's way


def test_a_run_notes_each_machine_that_it_was_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, constant = tmp_path / "run", replace(CONFIG, schedule="constant", epochs=1)
    for epochs, name in enumerate(("first", "second", "second"), 1):
        monkeypatch.setattr(loop, "machine", lambda device, processes, name=name: {"device": name, "processes": processes})
        run(folder, replace(constant, epochs=epochs), resume=True)
    assert configuration(folder)["machines"] == [{"device": name, "processes": 1} for name in ("first", "second")]
    assert load_checkpoint(folder / "checkpoints" / "last.safetensors").config == configuration(folder)


def test_a_run_says_what_it_computes_on(tmp_path: Path) -> None:
    run(tmp_path / "run", SHORT)
    (found,) = configuration(tmp_path / "run")["machines"]
    assert {"device", "threads", "python", "torch", "numpy"} <= set(found)


def test_how_a_run_began_is_kept_and_not_compared(tmp_path: Path) -> None:
    began = {"model": "tiny", "start": {"stages": [{"preset": "coarse"}]}}
    run(tmp_path / "run", SHORT, description=began)
    run(tmp_path / "run", SHORT, description={"model": "tiny", "start": {"stages": []}}, resume=True)
    assert configuration(tmp_path / "run")["start"] == began["start"]


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    """Its files have neither machines nor a start."""
    folder, constant = tmp_path / "run", replace(CONFIG, schedule="constant", epochs=1)
    run(folder, constant)
    path = folder / "checkpoints" / "last.safetensors"
    checkpoint = load_checkpoint(path)
    del checkpoint.config["machines"]
    save(path, checkpoint)
    (folder / "config.json").write_text(json.dumps(checkpoint.config))
    run(folder, replace(constant, epochs=2), resume=True, description={"start": {"limit": None}})
    assert len(configuration(folder)["machines"]) == 1
    assert len(history(folder)) == 2
