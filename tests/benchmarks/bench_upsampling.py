"""How many times as fast `BilinearUpsampling` is as the dense transposed convolution that it stands for, forward and backward.

Run: python tests/benchmarks/bench_upsampling.py [repeats]

Paired: one process, both in turn on the same scores, a ratio for each turn. The shapes are FCN's last steps at 500 × 500, 21 classes.
"""

import platform
import sys
import time
from statistics import median

import torch
from torch import Tensor, nn

from edu_seg.upsampling import BilinearUpsampling, bilinear_conv_transpose

CLASSES = 21
STEPS = {"32s, last": (64, 32, 16), "16s, last": (32, 16, 34), "8s, last": (16, 8, 70), "8s, inner": (4, 2, 34)}
"""name -> (kernel, stride, units along each axis)."""


def seconds(layer: nn.Module, scores: Tensor) -> float:
    start = time.perf_counter()
    layer(scores).sum().backward()
    return time.perf_counter() - start


def main(repeats: int = 9) -> None:
    torch.manual_seed(0)
    print(f"{CLASSES} classes, {repeats} turns, {torch.get_num_threads()} thread(s), {platform.machine()}")
    print(f"Python {platform.python_version()}, torch {torch.__version__}")
    print(f"{'':<14}{'ours, ms':>10}{'dense, ms':>11}{'ratio':>9}{'min':>8}{'max':>8}")
    for name, (kernel, stride, size) in STEPS.items():
        scores = torch.randn(1, CLASSES, size, size, requires_grad=True)
        ours, dense = BilinearUpsampling(kernel, stride), bilinear_conv_transpose(CLASSES, kernel, stride).requires_grad_(False)
        torch.testing.assert_close(ours(scores), dense(scores), rtol=1e-4, atol=1e-4)
        turns = [(seconds(ours, scores), seconds(dense, scores)) for _ in range(repeats + 1)][1:]  # the first warms up
        ratios = [other / own for own, other in turns]
        own, other = (1e3 * median(column) for column in zip(*turns, strict=True))
        print(f"{name:<14}{own:>10.1f}{other:>11.1f}{median(ratios):>9.1f}{min(ratios):>8.1f}{max(ratios):>8.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
