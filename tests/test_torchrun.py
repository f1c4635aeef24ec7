"""The command line in two processes, started by `torchrun` as on a machine with two GPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

OPTIONS = [
    "--preset",
    "shapes-cpu",
    "--epochs",
    "1",
    "--limit",
    "8",
    "--batch-size",
    "4",
    "--device",
    "cpu",
    "--quiet",
    "--num-workers",
    "0",
]


def torchrun(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "edu_seg", "train", "--run-dir", str(folder)]
    settings = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run([sys.executable, *words, *OPTIONS, *options], env=settings, capture_output=True, text=True, timeout=300)


@pytest.mark.skipif(sys.platform == "win32", reason="PyTorch's builds for Windows have no rendezvous for torchrun")
def test_two_processes_of_torchrun_train_one_run(tmp_path: Path) -> None:
    """One run, whose folder one of them holds and writes: one line of metrics, one sentence."""
    done = torchrun(tmp_path / "run")
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["step"] == 2
    (machine,) = json.loads((tmp_path / "run" / "config.json").read_text())["machines"]
    assert machine["processes"] == 2
    assert done.stdout.count("trained. Scores: python -m edu_seg evaluate") == 1
