"""Images a second that `Shapes` draws on one core. Run: OMP_NUM_THREADS=1 python tests/benchmarks/bench_shapes.py

By the processor's time, which other programs on the machine disturb least; the best of several batches counts.
"""

import time
from typing import Any

from edu_seg.datasets import Shapes

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "no wires": {"wires": 0},
    "rough contours": {"roughness": 0.2},
    "six objects, three wires": {"objects": 6, "wires": 3},
    "context": {"context": True},
}


def images_a_second(dataset: Shapes, batch: int = 100) -> tuple[float, float]:
    """(best, median) over batches of `batch` images."""
    rates = []
    for first in range(0, len(dataset), batch):
        start = time.process_time()
        for i in range(first, first + batch):
            dataset[i]
        rates.append(batch / (time.process_time() - start))
    rates.sort()
    return rates[-1], rates[len(rates) // 2]


def main() -> None:
    print(f"{'options':<26}{'size':>6}{'best':>8}{'median':>8}   images a second")
    for name, options in OPTIONS.items():
        for size in (64, 96):
            best, median = images_a_second(Shapes(1000, size, **options))
            print(f"{name:<26}{size:>6}{best:>8.0f}{median:>8.0f}")


if __name__ == "__main__":
    main()
