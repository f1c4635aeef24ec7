"""What ends a run before its time: each is one clear message, and the last checkpoint is whole and is gone on from."""

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_run import CLASSES, CONFIG, TinyData, TinyNet, run
from torch import Tensor
from torch.utils.data import get_worker_info

from edu_seg.losses import CrossEntropy
from edu_seg.training import LostWorker, fit, load_checkpoint, loop
from edu_seg.training.loading import Loader
from edu_seg.training.randomness import algorithms


def epoch_of(folder: Path) -> int:
    return load_checkpoint(folder / "checkpoints" / "last.safetensors").epoch


def history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Faulty(TinyData):
    """Fails at one image from the second epoch on."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.number = error, torch.zeros((), dtype=torch.int64).share_memory_()  # workers outlive an epoch

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.number.fill_(epoch)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index == 5 and self.number == 2:
            self.fail()
        return super().__getitem__(index)

    def fail(self) -> None:
        raise self.error


def train(folder: Path, data: TinyData, num_workers: int, resume: bool = False) -> None:
    config = replace(CONFIG, num_workers=num_workers)
    fit(TinyNet(), data, TinyData(7, seed=1), CrossEntropy(), config, folder, num_classes=CLASSES, resume=resume)


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    "error", [OSError("street.png: truncated or not an image."), ValueError("street.png: label 77")], ids=["image", "label"]
)
def test_an_image_that_cannot_be_used_is_named(tmp_path: Path, num_workers: int, error: Exception) -> None:
    """In the middle of the second epoch; without the fault the run goes on and ends where one without it ends."""
    with pytest.raises(type(error), match=r"street\.png: .*\(Item 5 of the data\.\)") as caught:
        train(tmp_path / "run", Faulty(error), num_workers)
    assert "Traceback" not in str(caught.value)
    assert "Stopped in epoch 2" in caught.value.__notes__[0]
    assert epoch_of(tmp_path / "run") == 1
    train(tmp_path / "run", TinyData(), 0, resume=True)
    train(tmp_path / "whole", TinyData(), 0)
    assert [r["loss"] for r in history(tmp_path / "run")][2:] == [r["loss"] for r in history(tmp_path / "whole")][2:]


def test_a_picture_of_far_too_many_pixels_is_named(tmp_path: Path) -> None:
    """Pillow's error for it is neither an OSError nor a ValueError."""
    with pytest.raises(ValueError, match=r"Image size .* exceeds limit.*\(Item 5 of the data\.\)"):
        train(tmp_path / "run", Faulty(Image.DecompressionBombError("Image size (9 pixels) exceeds limit of 8 pixels")), 0)


class Deadly(Faulty):
    def fail(self) -> None:
        assert get_worker_info() is not None
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_lost_worker_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(LostWorker, match=r"process that loads images has died .*num_workers") as caught:
        train(tmp_path / "run", Deadly(ValueError()), 1)
    assert "Stopped in epoch 2" in caught.value.__notes__[0]
    assert epoch_of(tmp_path / "run") == 1


@pytest.mark.parametrize("error", [EOFError(), ConnectionResetError(104, "Connection reset by peer")])
def test_a_worker_lost_in_the_middle_of_a_batch_is_said_too(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the main process meets where a worker dies while it hands a batch over; without workers, and from the data, it stays."""

    class Broken:
        def __init__(self, num_workers: int, error: Exception) -> None:
            self.num_workers, self.error = num_workers, error

        def __iter__(self) -> "Broken":
            return self

        def __next__(self) -> None:
            raise self.error

    load = Loader(TinyData(), torch.device("cpu"))
    monkeypatch.setattr(load, "_loader", Broken(1, error))
    with pytest.raises(LostWorker, match=r"process that loads images has died .*num_workers"):
        next(iter(load([[0]])))
    for stays in (Broken(0, error), Broken(1, type(error)("Caught an error in a worker"))):
        monkeypatch.setattr(load, "_loader", stays)
        with pytest.raises(type(error)) as caught:
            next(iter(load([[0]])))
        assert caught.type is type(error)


def test_another_runtime_error_stays_what_it_is(tmp_path: Path) -> None:
    class Broken(TinyNet):
        def forward(self, images: Tensor) -> Tensor:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match=r"^out of memory"):
        run(tmp_path / "run", model=Broken())
    assert epoch_of(tmp_path / "run") == 0


def test_workers_live_through_epochs_and_see_the_new_one() -> None:
    class Tagged(Faulty):
        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            return torch.tensor([[[float(os.getpid()), float(self.number)]]]), torch.zeros(1, 2, dtype=torch.int64)

    data = Tagged(ValueError())
    load, found = Loader(data, torch.device("cpu"), num_workers=1), []
    for epoch in (1, 2):
        data.set_epoch(epoch)
        found.append([images.flatten().tolist() for images, _ in load([[epoch], [3]])])
    assert found[0][0] == [found[1][0][0], 1.0]
    assert found[1][1] == [found[0][1][0], 2.0]
    assert found[0][0][0] != os.getpid()


def test_a_run_stops_in_time_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is ten seconds later, and one lies behind what is stored: an epoch lasts thirty or more."""
    now = iter(range(0, 10**6, 10))
    monkeypatch.setattr("edu_seg.training.loop.time.perf_counter", lambda: float(next(now)))
    run(tmp_path / "run", replace(CONFIG, max_minutes=2))
    done = epoch_of(tmp_path / "run")
    assert 1 <= done < CONFIG.epochs
    assert next(now) - 10 <= 120  # the last look at the clock
    monkeypatch.undo()
    run(tmp_path / "run", resume=True)
    run(tmp_path / "whole")
    assert [r["loss"] for r in history(tmp_path / "run")] == [r["loss"] for r in history(tmp_path / "whole")]


def test_the_first_validation_has_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fourth epoch of thirty seconds would end at 170; if it is the first with a validation, of 7 images beside 16, at 183."""
    for number, (seconds, every, epochs) in enumerate(((180, 1, 4), (180, 4, 3), (190, 4, 4))):
        now = iter(range(0, 10**6, 10))
        monkeypatch.setattr("edu_seg.training.loop.time.perf_counter", lambda now=now: float(next(now)))
        run(tmp_path / str(number), replace(CONFIG, validate_every=every, max_minutes=seconds / 60))
        assert epoch_of(tmp_path / str(number)) == epochs


def test_the_time_before_the_loop_counts(tmp_path: Path) -> None:
    """A job of a minute that has prepared its images for longer trains no epoch; the next, of more, goes on from there."""
    long_ago = time.perf_counter() - 100
    run(tmp_path / "run", replace(CONFIG, max_minutes=1), started=long_ago)
    assert history(tmp_path / "run") == []
    run(tmp_path / "run", replace(CONFIG, max_minutes=60), started=long_ago, resume=True)
    elapsed = [record["elapsed"] for record in history(tmp_path / "run")]
    assert len(elapsed) == CONFIG.epochs
    assert elapsed == sorted(elapsed)
    assert elapsed[0] > 100


def test_the_time_of_a_runs_jobs_adds_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is ten seconds later, so the first job's epochs end after at least 20 seconds each."""
    now = iter(range(0, 10**6, 10))
    monkeypatch.setattr("edu_seg.training.loop.time.perf_counter", lambda: float(next(now)))
    constant = replace(CONFIG, schedule="constant", epochs=2)
    run(tmp_path / "run", constant)
    run(tmp_path / "run", replace(constant, epochs=3), resume=True, started=float(next(now)))
    records = history(tmp_path / "run")
    gains = [after["elapsed"] - before["elapsed"] for before, after in itertools.pairwise(records)]
    assert records[0]["elapsed"] >= records[0]["seconds"]
    assert all(gain >= record["seconds"] for gain, record in zip(gains, records[1:], strict=True))


def test_a_run_of_an_older_version_goes_on_without_elapsed_times(tmp_path: Path) -> None:
    constant = replace(CONFIG, schedule="constant", epochs=1)
    run(tmp_path / "run", constant)
    (record,) = history(tmp_path / "run")
    del record["elapsed"]
    (tmp_path / "run" / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    run(tmp_path / "run", replace(constant, epochs=2), resume=True)
    assert ["elapsed" in record for record in history(tmp_path / "run")] == [False, False]


def test_a_profile_accounts_for_the_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "run", replace(CONFIG, epochs=1, profile=True, progress=True))
    record = history(tmp_path / "run")[0]
    assert set(record["parts"]) == {"data", "forward", "backward", "optimiser"}
    assert min(record["parts"].values()) > 0
    assert sum(record["parts"].values()) < record["seconds"]
    assert "forward" in capsys.readouterr().err
    run(tmp_path / "plain", replace(CONFIG, epochs=1))
    assert "parts" not in history(tmp_path / "plain")[0]


@pytest.mark.parametrize("option", ["deterministic", "channels_last"])
def test_how_it_is_computed_does_not_change_what(tmp_path: Path, option: str) -> None:
    """Without dropout, whose draws fall on other units where a map lies otherwise in memory."""

    class Watched(TinyNet):
        def forward(self, images: Tensor) -> Tensor:
            seen["deterministic"].add(torch.are_deterministic_algorithms_enabled())
            seen["channels_last"].add(self.training and images.is_contiguous(memory_format=torch.channels_last))
            return super().forward(images)

    seen: dict[str, set[bool]] = {"deterministic": set(), "channels_last": set()}
    run(tmp_path / "plain", model=Watched(dropout=0.0))
    assert seen == {"deterministic": {False}, "channels_last": {False}}
    run(tmp_path / "other", replace(CONFIG, **{option: True}), model=Watched(dropout=0.0))
    assert True in seen[option]
    assert [r["loss"] for r in history(tmp_path / "other")] == pytest.approx([r["loss"] for r in history(tmp_path / "plain")], abs=1e-5)
    assert not torch.are_deterministic_algorithms_enabled()


def test_compiled_training_is_the_same_and_leaves_plain_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the back end that changes nothing: what is tested is the loop around it."""
    real, seen = torch.compile, []
    monkeypatch.setattr(torch, "compile", lambda module: seen.append(module) or real(module, backend="eager"))
    model = run(tmp_path / "compiled", replace(CONFIG, compile=True))
    assert seen == [model]
    run(tmp_path / "plain")
    assert [r["loss"] for r in history(tmp_path / "compiled")] == pytest.approx([r["loss"] for r in history(tmp_path / "plain")], abs=1e-6)
    weights = [load_checkpoint(tmp_path / name / "checkpoints" / "last.safetensors").model for name in ("compiled", "plain")]
    assert weights[0].keys() == weights[1].keys() == model.state_dict().keys()


def test_deterministic_algorithms_end_with_the_block() -> None:
    with algorithms(True, tuned=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        logits, labels = torch.randn(2, 3, 4, 5), torch.randint(3, (2, 4, 5))
        flat = CrossEntropy()(logits, labels)
    torch.testing.assert_close(flat, CrossEntropy()(logits, labels))
    assert not torch.are_deterministic_algorithms_enabled()
    with algorithms(False, tuned=True):
        assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.benchmark


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_does_not_wait_for_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only steps may not: the loss that the bar shows and the last look at the weights wait by design, every so many steps."""
    steps, real = [], loop._Run._optimiser_step

    def strict(self: loop._Run, pieces: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
        torch.cuda.set_sync_debug_mode("error")
        try:
            steps.append(self.step)
            return real(self, pieces)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(loop._Run, "_optimiser_step", strict)
    try:
        run(tmp_path / "run", replace(CONFIG, device="cuda", epochs=1))
    except RuntimeError as error:
        pytest.fail(f"a step waits: {error}")
    assert len(steps) == 4
