"""Images a second that loading alone gives, against what training consumes: CamVid at 240 × 320, augmented as for `camvid-cpu`.

Run: EDU_SEG_DATA=FOLDER python tests/benchmarks/bench_loader.py [--workers 1] [--steps 30] [--threads 2] [--presets NAME …]

Loading: batches of 8 from worker processes, nothing done with them; once with the images decoded before (as the presets have it), once
from the files. Training: forward, backward and optimiser steps on a batch that lies ready, for the CPU presets named below, each with the
same batch size and crop, on as many threads as there are cores unless --threads says otherwise. Take the ratio to the fastest.
"""

import argparse
import os
import time

import torch

from edu_seg import presets
from edu_seg.datasets import CamVid
from edu_seg.layers import WithAuxiliary
from edu_seg.training import make_optimiser
from edu_seg.training.loading import Loader
from edu_seg.training.randomness import epoch_batches

NAMES = (
    "camvid-cpu",
    "camvid-cpu-frontend",
    "camvid-cpu-dilation8",
    "camvid-cpu-plain",
    "camvid-cpu-psp",
    "camvid-cpu-pspnet",
    "camvid-cpu-deeplab-v3",
    "camvid-cpu-segnet",
    "camvid-cpu-unet",
    "camvid-cpu-drn",
)


def loaded(base: CamVid, workers: int) -> float:
    """Images a second over one epoch; an epoch before it warms the workers up."""
    preset = presets.get("camvid-cpu")
    data = presets.training_set(preset.data, base, seed=0)
    load, batch = Loader(data, torch.device("cpu"), workers), preset.fit.batch_size
    seconds = 0.0
    for epoch in (0, 1):
        data.set_epoch(epoch)
        start = time.perf_counter()
        count = sum(len(images) for images, _ in load(epoch_batches(len(base), batch, 0, epoch)))
        seconds = (time.perf_counter() - start) / count
    return 1 / seconds


def consumed(name: str, base: CamVid, steps: int) -> float:
    """Images a second of training on one batch, over and over."""
    preset = presets.get(name)
    torch.manual_seed(0)
    model, loss = preset.build(base.num_classes).train(), presets.make_loss(preset, base, limit=8)
    net = WithAuxiliary(model) if preset.auxiliary_weight else model
    optimiser = make_optimiser(model, preset.fit)
    data = presets.training_set(preset.data, base, seed=0)
    images, labels = (torch.stack(part) for part in zip(*(data[i] for i in range(preset.fit.batch_size)), strict=True))
    for step in range(steps + 2):
        if step == 2:
            start = time.perf_counter()
        loss(net(images), labels).backward()
        optimiser.step()
        optimiser.zero_grad()
    return steps * len(images) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name, default in (("--workers", 1), ("--steps", 30), ("--threads", os.cpu_count() or 1)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--presets", nargs="*", default=NAMES)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    size = presets.get("camvid-cpu").data.size
    cached = CamVid(None, "train", size, cache=True)
    fastest = 0.0
    for name in options.presets:
        speed = consumed(name, cached, options.steps)
        fastest = max(fastest, speed)
        print(f"training   {name:<24}{speed:>8.1f} images/s", flush=True)
    for kind, base in (("decoded before", cached), ("from the files", CamVid(None, "train", size))):
        speed = loaded(base, options.workers)
        print(f"loading    {kind:<24}{speed:>8.1f} images/s, {speed / fastest:.1f} times the fastest of these")


if __name__ == "__main__":
    main()
