"""A run that is cut off, anywhere, and continued ends as if nothing had happened; and nothing half written is ever used."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_training import history, same_weights
from tiny_run import CONFIG, KILLS, LONG, PALETTE, TinyNet, run

import edu_seg.files
from edu_seg.training import Checkpoint, CorruptCheckpoint, find_checkpoint, load_checkpoint
from edu_seg.training.checkpoints import load_latest, save

SHORT = replace(CONFIG, epochs=2, pictures=1)


pytestmark = pytest.mark.usefixtures("one_thread")


def last(folder: Path) -> Path:
    return folder / "checkpoints" / "last.safetensors"


def best(folder: Path) -> Path:
    return folder / "checkpoints" / "best.safetensors"


def without_seconds(folder: Path) -> list[dict]:
    return [{key: value for key, value in record.items() if key not in ("seconds", "elapsed")} for record in history(folder)]


# Killed


def test_killed_at_ten_random_moments_and_resumed_ends_with_the_same_weights(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).parent / "tiny_run.py"), "killed", str(tmp_path / "killed"), "0"]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    moments = json.loads(done.stdout)
    assert len(moments) == KILLS
    assert max(moments) < LONG.epochs
    whole = run(tmp_path / "whole", LONG)
    killed = TinyNet()
    killed.load_state_dict(load_checkpoint(last(tmp_path / "killed")).model)
    assert same_weights(killed, whole)
    assert last(tmp_path / "killed").read_bytes() == last(tmp_path / "whole").read_bytes()  # the optimiser's state, too
    assert best(tmp_path / "killed").read_bytes() == best(tmp_path / "whole").read_bytes()
    assert without_seconds(tmp_path / "killed") == without_seconds(tmp_path / "whole")  # no epoch missing, none twice


class Dead(BaseException):
    """What the tests raise in place of a kill: no handler of the package may catch it."""


def dying_at(call: int, real: Callable, before: bool) -> Callable:
    """`real`, but its call number `call` dies, before or after doing its work."""
    calls = iter(range(10**6))

    def wrapped(*args: object) -> object:
        dies = next(calls) == call
        if dies and before:
            raise Dead
        result = real(*args)
        if dies:
            raise Dead
        return result

    return wrapped


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("before", [True, False])
def test_dying_at_any_write_of_any_file_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bool) -> None:
    config = replace(SHORT, batch_size=16)
    whole = run(tmp_path / "whole", config, palette=PALETTE)
    deaths = 0
    for call in range(1000):
        folder = tmp_path / f"{step}{call}"
        with monkeypatch.context() as patch:
            patch.setattr(edu_seg.files.os, step, dying_at(call, getattr(os, step), before))
            try:
                run(folder, config, palette=PALETTE)
                break
            except Dead:
                deaths += 1
        resumed = run(folder, config, palette=PALETTE, resume=True)
        assert same_weights(resumed, whole)
        assert without_seconds(folder) == without_seconds(tmp_path / "whole")
        for name in ("checkpoints", "predictions"):
            files = {path.name: path.read_bytes() for path in (folder / name).iterdir()}
            assert files == {path.name: path.read_bytes() for path in (tmp_path / "whole" / name).iterdir()}
    # config, metrics, two pictures and checkpoints before and between, and each fsync of a line and of a folder
    assert deaths >= 9


def test_dying_in_the_middle_of_a_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    save(path, Checkpoint(1, 10, {"weight": torch.ones(1000)}))
    old = path.read_bytes()

    class Torn:
        def __init__(self, file: object) -> None:
            self.file = file

        def __enter__(self) -> "Torn":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()  # type: ignore[attr-defined]

        def write(self, payload: bytes) -> None:
            self.file.write(payload[: len(payload) // 2])  # type: ignore[attr-defined]
            raise Dead

    real = Path.open
    monkeypatch.setattr(Path, "open", lambda self, *args, **kwargs: Torn(real(self, *args, **kwargs)))
    with pytest.raises(Dead):
        save(path, Checkpoint(2, 20, {"weight": torch.zeros(1000)}))
    monkeypatch.undo()
    draft = tmp_path / ".last.safetensors.part"
    assert 0 < draft.stat().st_size < len(old)  # half of it is there, under a name that nobody reads
    assert path.read_bytes() == old
    assert load_latest(tmp_path).epoch == 1  # type: ignore[union-attr]
    with pytest.raises(CorruptCheckpoint, match=r"\.last\.safetensors\.part"):
        load_checkpoint(draft)


def test_a_full_disk_keeps_the_old_checkpoint_and_names_the_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="only POSIX can limit a file's size")
    path = tmp_path / "last.safetensors"
    save(path, Checkpoint(1, 10, {"weight": torch.ones(10)}))
    old, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))  # the kernel now refuses the rest of a longer file
    try:
        with pytest.raises(OSError, match=r"earlier content is unharmed.*last\.safetensors"):
            save(path, Checkpoint(2, 20, {"weight": torch.ones(10_000)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == old


def test_an_interrupt_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: TinyNet, images: torch.Tensor) -> torch.Tensor:
        if (tmp_path / "run" / "metrics.jsonl").read_text():
            raise KeyboardInterrupt
        return real(self, images)

    real = TinyNet.forward
    monkeypatch.setattr(TinyNet, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        run(tmp_path / "run")
    assert "Stopped in epoch 2" in caught.value.__notes__[0]
    monkeypatch.undo()
    assert same_weights(run(tmp_path / "run", resume=True), run(tmp_path / "whole"))


# Damaged


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "half":
        content = content[: len(content) // 2]
    elif kind == "empty":
        content = bytearray()
    elif kind == "one byte of a weight":
        content[-5] ^= 1
    elif kind == "metadata":
        content = bytearray(bytes(content).replace(b'\\"epoch\\": ', b'\\"epoch\\":9'))
    path.write_bytes(content)


DAMAGES = ["half", "empty", "one byte of a weight", "metadata"]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.safetensors"
    save(path, Checkpoint(1, 10, {"weight": torch.ones(100)}))
    damage(path, kind)
    with pytest.raises(CorruptCheckpoint, match=r"a\.safetensors: (damaged|.* checksum)"):
        load_checkpoint(path)


def test_another_safetensors_file_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(CorruptCheckpoint, match="no checkpoint of edu_seg"):
        load_checkpoint(tmp_path / "foreign.safetensors")


def test_resume_falls_back_to_the_best_checkpoint_and_says_so(tmp_path: Path) -> None:
    whole = run(tmp_path / "run")
    before = without_seconds(tmp_path / "run")
    damage(last(tmp_path / "run"), "half")
    with pytest.warns(RuntimeWarning, match=r"last\.safetensors: damaged.*Going on from .*best\.safetensors, epoch \d"):
        resumed = run(tmp_path / "run", resume=True)
    assert same_weights(resumed, whole)
    assert without_seconds(tmp_path / "run") == before


def test_resume_with_no_whole_checkpoint_is_an_error(tmp_path: Path) -> None:
    run(tmp_path / "run", SHORT)
    damage(last(tmp_path / "run"), "half")
    damage(best(tmp_path / "run"), "one byte of a weight")
    with pytest.raises(CorruptCheckpoint, match=r"last\.safetensors.*best\.safetensors.*No whole checkpoint is left"):
        run(tmp_path / "run", SHORT, resume=True)


# Settings


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path / "run", SHORT)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="there is a run in this folder"):
        run(tmp_path / "run", SHORT)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    model = run(tmp_path / "run", SHORT)
    checkpoint, metrics = last(tmp_path / "run").read_bytes(), history(tmp_path / "run")
    assert same_weights(run(tmp_path / "run", SHORT, resume=True), model)
    assert last(tmp_path / "run").read_bytes() == checkpoint
    assert history(tmp_path / "run") == metrics


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.2}, r"fit\.lr: 0\.1 there, 0\.2 now"),
        ({"optimiser": "adamw"}, r"fit\.optimiser: 'sgd' there, 'adamw' now"),
        ({"epochs": 9}, r"fit\.epochs: 2 there, 9 now.*schedule"),
        ({"seed": 1, "batch_size": 8}, r"fit\.batch_size.*fit\.seed"),
    ],
)
def test_resuming_with_other_settings_names_them(tmp_path: Path, changes: dict, message: str) -> None:
    run(tmp_path / "run", SHORT)
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", replace(SHORT, **changes), resume=True)


def test_resuming_another_model_names_what_differs(tmp_path: Path) -> None:
    run(tmp_path / "run", SHORT, description={"model": {"name": "tiny", "width": 8}})
    with pytest.raises(ValueError, match=r"model\.width: 8 there, 'absent' now"):
        run(tmp_path / "run", SHORT, description={"model": {"name": "tiny"}}, resume=True)


def test_what_does_not_change_the_result_may_change(tmp_path: Path) -> None:
    run(tmp_path / "run", SHORT)
    run(tmp_path / "run", replace(SHORT, val_batch_size=2, pictures=0), resume=True)


def test_a_constant_rate_lets_a_run_be_made_longer(tmp_path: Path) -> None:
    constant = replace(SHORT, schedule="constant")
    run(tmp_path / "run", constant)
    longer = run(tmp_path / "run", replace(constant, epochs=4), resume=True)
    assert same_weights(longer, run(tmp_path / "whole", replace(constant, epochs=4)))


def test_find_checkpoint_takes_a_run_or_a_file(tmp_path: Path) -> None:
    run(tmp_path / "run", SHORT)
    assert find_checkpoint(tmp_path / "run") == best(tmp_path / "run")
    assert find_checkpoint(last(tmp_path / "run")) == last(tmp_path / "run")
    best(tmp_path / "run").unlink()
    assert find_checkpoint(tmp_path / "run") == last(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="neither a checkpoint nor a run"):
        find_checkpoint(tmp_path / "nowhere")
