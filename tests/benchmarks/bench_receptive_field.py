"""Receptive fields of a large network by arithmetic, paired with measuring one unit by gradient.

    python tests/benchmarks/bench_receptive_field.py [turns]

torchvision's deeplabv3_resnet101 at 513 × 513: every unit of every layer in one run, against the box of one unit of the classifier's map.
"""

import statistics
import sys
import time
from collections.abc import Callable

import torch
from torchvision.models.segmentation import deeplabv3_resnet101

from edu_seg.receptive_field import measured_receptive_field, receptive_fields

SIZE, UNIT, LAYER = (513, 513), (32, 32), "classifier"


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(turns: int) -> None:
    torch.manual_seed(0)
    model = deeplabv3_resnet101(weights=None, weights_backbone=None).eval()
    receptive_fields(model, SIZE)
    box = receptive_fields(model, SIZE)[LAYER].inside(*UNIT)
    traced, measured = [], []
    for turn in range(turns):
        traced += [seconds(lambda: receptive_fields(model, SIZE)) for _ in range(10)]
        if turn < 2:
            measured.append(seconds(lambda: measured_receptive_field(model, SIZE, UNIT, LAYER)))
    assert measured_receptive_field(model, SIZE, UNIT, LAYER) == box
    median = statistics.median(traced)
    print(
        f"all units of all layers: {1000 * median:.0f} ms (median of {len(traced)}; {1000 * min(traced):.0f} to {1000 * max(traced):.0f})"
    )
    print(f"one unit by gradient:    {min(measured):.1f} s, {min(measured) / median:.0f} times as long")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
