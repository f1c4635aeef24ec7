"""The command line in several processes, in the three ways that notebook 11 shows: torchrun, `accelerate launch`, from a notebook."""

import json
import os
import socket
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


def started(*words: str) -> subprocess.CompletedProcess[str]:
    settings = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, *words], env=settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def check_run(folder: Path, printed: str, processes: int) -> None:
    """One run, whose folder one process holds and writes: one line of metrics, one sentence."""
    (line,) = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line)["step"] == 2
    (machine,) = json.loads((folder / "config.json").read_text())["machines"]
    assert machine.get("processes", 1) == processes
    assert printed.count("trained. Scores: python -m edu_seg evaluate") == 1


def train_in(folder: Path) -> list[str]:
    return ["train", "--run-dir", str(folder), *OPTIONS]


@pytest.mark.skipif(sys.platform == "win32", reason="PyTorch's builds for Windows have no rendezvous for torchrun")
def test_two_processes_of_torchrun_train_one_run(tmp_path: Path) -> None:
    ways = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "edu_seg"]
    done = started(*ways, *train_in(tmp_path / "run"))
    check_run(tmp_path / "run", done.stdout, 2)


def test_accelerate_launch_takes_the_same_command(tmp_path: Path) -> None:
    """One process: on a CPU `accelerate launch` starts no more without MPI."""
    ways = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "--num_machines", "1", "-m", "edu_seg"]
    done = started(*ways, *train_in(tmp_path / "run"))
    check_run(tmp_path / "run", done.stdout, 1)


LAUNCHER = """
import sys
from accelerate import notebook_launcher

def train():
    from edu_seg.__main__ import main
    main(sys.argv[2:])

notebook_launcher(train, num_processes=2, use_port=sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="accelerate's launcher forks")
def test_two_processes_of_the_notebook_launcher_train_one_run(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = started("-c", LAUNCHER, str(port), *train_in(tmp_path / "run"))
    check_run(tmp_path / "run", done.stdout, 2)
