"""How many times as fast `ConfusionMatrix.update` is as torchmetrics' confusion matrix, at 1024 × 2048 pixels and 19 classes.

Run: python tests/benchmarks/bench_confusion_matrix.py [repeats]

Paired: one process, the three in turn on the same maps, and a ratio for each turn, so that what else the machine does hits all alike.
"""

import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median

import torch
from torchmetrics.classification import MulticlassConfusionMatrix

from edu_seg.metrics import ConfusionMatrix

HEIGHT, WIDTH, CLASSES = 1024, 2048, 19


def maps() -> tuple[torch.Tensor, torch.Tensor]:
    """(preds, labels) in large regions, as in a street scene, with a tenth of the pixels void and four fifths of the rest right."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, CLASSES, (1, HEIGHT // 64, WIDTH // 64), generator=generator)
    labels = coarse.repeat_interleave(64, 1).repeat_interleave(64, 2)
    noise = torch.randint(0, CLASSES, labels.shape, generator=generator)
    preds = torch.where(torch.rand(labels.shape, generator=generator) < 0.8, labels, noise)
    return preds, labels.masked_fill(torch.rand(labels.shape, generator=generator) < 0.1, 255)


def seconds(update: Callable[[torch.Tensor, torch.Tensor], None], preds: torch.Tensor, labels: torch.Tensor) -> float:
    start = time.perf_counter()
    update(preds, labels)
    return time.perf_counter() - start


def main(repeats: int = 25) -> None:
    preds, labels = maps()
    ours = ConfusionMatrix(CLASSES)
    theirs = MulticlassConfusionMatrix(CLASSES, ignore_index=255)
    unchecked = MulticlassConfusionMatrix(CLASSES, ignore_index=255, validate_args=False)
    turns = [
        [seconds(matrix.update, preds, labels) for matrix in (ours, theirs, unchecked)] for _ in range(repeats + 2)
    ]  # the first two warm up
    if not torch.equal(ours.counts, theirs.compute()):
        raise SystemExit("the two matrices differ")
    print(f"{HEIGHT} × {WIDTH}, {CLASSES} classes, {repeats} turns, {torch.get_num_threads()} thread(s), {platform.machine()}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, torchmetrics {version('torchmetrics')}")
    print(f"{'':<36}{'median':>8}{'min':>8}{'max':>8}")
    columns = list(zip(*turns[2:], strict=True))
    for name, column in zip(("edu_seg", "torchmetrics", "torchmetrics, validate_args=False"), columns, strict=True):
        print(f"{name + ', ms':<36}{1e3 * median(column):>8.1f}{1e3 * min(column):>8.1f}{1e3 * max(column):>8.1f}")
    for name, column in zip(("torchmetrics", "torchmetrics, validate_args=False"), columns[1:], strict=True):
        ratios = [other / own for own, other in zip(columns[0], column, strict=True)]
        print(f"{name + ' : ours':<36.36}{median(ratios):>8.2f}{min(ratios):>8.2f}{max(ratios):>8.2f}   times")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
