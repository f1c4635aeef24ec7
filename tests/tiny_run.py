"""A run that takes a fraction of a second, for the tests of training; as a script it is what is killed, or shared by two processes.

python tiny_run.py shared FOLDER CONFIG   train into FOLDER in two processes
python tiny_run.py killed FOLDER SEED     ten times over in a process that is killed, then once to the end
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from torch.utils.data import Dataset

from edu_seg import models
from edu_seg.losses import AuxiliaryLoss, CrossEntropy
from edu_seg.training import FitConfig, evaluate, fit, make_accelerator

CLASSES = 3
NET = "TINY_RUN_NET"  # the net of the shared run: a name of `run_net`
PALETTE = np.array([(60, 60, 60), (230, 159, 0), (86, 180, 233)], np.uint8)


class TinyNet(nn.Module):
    """Two convolutions with dropout between. Without batch normalisation, a shared batch is exactly the whole one."""

    def __init__(self, dropout: float = 0.2, seed: int = 0, norm: bool = False) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)) if norm else nn.Conv2d(3, 8, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.score = nn.Conv2d(8, CLASSES, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.score(self.dropout(self.body(images).relu()))


class TinyData(Dataset[tuple[Tensor, Tensor]]):
    """`count` images of 8 × 8 whose labels follow from their colours; the share of void differs much from image to image."""

    def __init__(self, count: int = 16, seed: int = 0, size: int = 8) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.images = torch.rand(count, 3, size, size, generator=draw)
        self.labels = self.images.argmax(1)
        void = torch.rand(count, size, size, generator=draw) < torch.linspace(0, 0.95, count)[:, None, None]
        self.labels[void] = 255
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index] + 0.01 * self.epoch, self.labels[index]  # augmentation that depends on the epoch


CONFIG = FitConfig(epochs=4, batch_size=4, lr=0.1, schedule="poly", device="cpu", progress=False, pictures=0)


def run(folder: Path, config: FitConfig = CONFIG, *, resume: bool = False, model: nn.Module | None = None, **options: Any) -> nn.Module:
    """Train and return the model."""
    model = model or TinyNet()
    loss, size = options.pop("loss", None) or CrossEntropy(torch.tensor([1.0, 2.0, 0.5])), options.pop("size", 8)
    fit(model, TinyData(size=size), TinyData(7, 1, size), loss, config, folder, num_classes=CLASSES, resume=resume, **options)
    return model


def run_net(name: str, folder: Path, config: FitConfig) -> nn.Module:
    """As `run`, without dropout, whose draws would be other ones in two processes.

    name: "plain", the tiny net; "norm", with batch norm; "pspnet", a thin PSPNet with its second head.
    """
    if name != "pspnet":
        return run(folder, config, model=TinyNet(dropout=0.0, norm=name == "norm"))
    torch.manual_seed(0)
    model = models.build("pspnet_resnet50", CLASSES, backbone="resnet18", width=1 / 16, dropout=0.0, auxiliary=True)
    return run(folder, config, model=model, size=48, loss=AuxiliaryLoss(CrossEntropy()))


LONG = FitConfig(**{**vars(CONFIG), "epochs": 40, "momentum": 0.9})
KILLS = 10


def long_run(folder: Path) -> None:
    torch.set_num_threads(1)
    run(folder, LONG, resume=True)


def _epochs_done(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def import_all() -> None:
    """The first optimiser makes PyTorch import for seconds: do so once, before the processes part."""
    torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)


def killed_again_and_again(folder: Path, seed: int) -> list[int]:
    """Kill the run KILLS times, each at a random moment later than the last; returns after how many epochs. Then let it end."""
    import_all()
    draw, moments = np.random.default_rng(seed), []
    for kill in range(KILLS):
        child = os.fork()  # this process has not computed anything yet, so it has no threads that a fork would lose
        if child == 0:
            try:
                long_run(folder)
            finally:
                os._exit(0)
        while _epochs_done(folder) < 3 * kill - 3 and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.08))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the run was over before it could be killed"
        moments.append(_epochs_done(folder))
    long_run(folder)
    return moments


def shared(folder: Path, config: FitConfig) -> None:
    """Train in two processes, started by what stands behind `torchrun`; forked, since then they need not import PyTorch again."""
    import_all()
    setting = LaunchConfig(1, 1, 2, run_id="tiny", rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork", max_restarts=0)
    elastic_launch(setting, _share)(folder, config)


def _share(folder: Path, config: FitConfig) -> None:
    model = run_net(os.environ.get(NET, "plain"), folder, config)
    accelerator = make_accelerator("cpu")
    matrix = evaluate(model, TinyData(7, seed=1), CLASSES, batch_size=2, accelerator=accelerator)
    (folder / f"counts_{accelerator.process_index}.json").write_text(json.dumps(matrix.counts.tolist()))


if __name__ == "__main__":
    command, target, argument = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
    if command == "killed":
        print(json.dumps(killed_again_and_again(target, argument)))
    else:
        shared(target, FitConfig(**argument))
