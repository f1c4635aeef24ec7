"""DenseCRF against pydensecrf2, alternating in one process, nothing cached: construction and ten iterations, (80, 13, w 10) + (3, w 3).

    python tests/benchmarks/bench_crf.py [--quick] [--pairs 7] [--threads 2] [--spin 10000] [--images photograph.jpg …]

With --threads 1 times are CPU times, which hardly depend on what else runs; with more they are wall times, and want an idle machine: the
share of the cores that others used is read from /proc/stat around each pair, and pairs above a tenth of a core are marked and counted.

OpenMP threads wait for each other by spinning, which on a busy machine makes two threads many times slower than one. GOMP_SPINCOUNT bounds
the spinning; it is read once, when torch loads OpenMP, so it is set here before the import (0 leaves the environment as it is).

Both compute in float32, so part of their difference is either's rounding: the last columns give each one's largest distance from a run of
ours in float64. Noisy scores leave more pixels undecided, where rounding counts most.
"""

import argparse
import os
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

parser = argparse.ArgumentParser()
parser.add_argument("--quick", action="store_true", help="one image, 3 pairs, no large image")
parser.add_argument("--pairs", type=int, default=7)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--spin", type=int, default=10_000)
parser.add_argument("--images", nargs="*", default=[])
options = parser.parse_args()
if options.spin:
    os.environ.setdefault("GOMP_SPINCOUNT", str(options.spin))

import matplotlib.cbook  # noqa: E402
import numpy as np  # noqa: E402
import pydensecrf.densecrf as reference  # noqa: E402  # pyright: ignore[reportMissingImports]
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from PIL import Image, ImageOps  # noqa: E402

from edu_seg.crf import DenseCRF  # noqa: E402


def foreign_seconds() -> float:
    """CPU seconds that the whole machine has used, less this process's own."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK") - time.process_time()


def photographs() -> dict[str, Image.Image]:
    """The named files, or three views of matplotlib's portrait."""
    if options.images:
        return {Path(path).stem: Image.open(path).convert("RGB") for path in options.images}
    portrait = Image.open(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    width, height = portrait.size
    return {"portrait": portrait, "mirrored half": ImageOps.mirror(portrait.crop((0, 0, width, height // 2))), "lying": portrait.rotate(90)}


@dataclass(frozen=True)
class Problem:
    """Scores like a network's, from a grid of cells 8 pixels wide; noisy: a tenth of that, under noise on every pixel of its own."""

    image: Image.Image
    size: tuple[int, int]
    labels: int
    noisy: bool = False

    @cached_property
    def pixels(self) -> np.ndarray:
        return np.array(self.image.resize(self.size), order="C")  # the reference asks for a writeable array

    @cached_property
    def logits(self) -> torch.Tensor:
        width, height = self.size
        draw = torch.Generator().manual_seed(0)
        coarse = 4 * torch.randn(1, self.labels, height // 8 + 1, width // 8 + 1, generator=draw)
        smooth = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
        return 0.1 * smooth + torch.randn(smooth.shape, generator=draw) if self.noisy else smooth

    @cached_property
    def unary(self) -> np.ndarray:
        return np.ascontiguousarray(-self.logits[0].log_softmax(0).flatten(1).numpy())

    def theirs(self) -> np.ndarray:
        crf = reference.DenseCRF2D(*self.size, self.labels)
        crf.setUnaryEnergy(self.unary)
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=self.pixels, compat=10)
        return np.array(crf.inference(10))

    def ours(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return DenseCRF(80, 13, 3, 10, 3, 10)(self.logits.to(dtype), torch.from_numpy(self.pixels).permute(2, 0, 1)[None])[0]


def agreement(problem: Problem) -> str:
    """Equal labels, the largest |ΔQ| between the two, and how far each of them is from a run of ours in float64."""
    probs, precise = problem.ours(), problem.ours(torch.float64)
    expected = torch.from_numpy(problem.theirs()).view_as(probs)
    equal = (expected.argmax(0) == probs.argmax(0)).double().mean().item()
    apart, reference_off, ours_off = ((a - b).abs().max().item() for a, b in ((expected, probs), (expected, precise), (probs, precise)))
    return f"labels {100 * equal:.4f} %  max |ΔQ| {apart:.1e}, from float64: reference {reference_off:.1e}, ours {ours_off:.1e}"


def compare(name: str, problem: Problem, pairs: int) -> None:
    clock = time.process_time if options.threads == 1 else time.perf_counter
    agrees = agreement(problem)
    rows, busy = [], 0
    for _ in range(pairs):
        others, wall, start = foreign_seconds(), time.perf_counter(), clock()
        problem.theirs()
        middle = clock()
        problem.ours()
        end = clock()
        busy += (foreign_seconds() - others) / (time.perf_counter() - wall) > 0.1
        rows.append((middle - start, end - middle, (middle - start) / (end - middle)))
    theirs_s, ours_s, ratios = zip(*rows, strict=True)
    width, height = problem.size
    print(
        f"{name:<14} {width} × {height} × {problem.labels:<3} reference {1e3 * median(theirs_s):6.0f} ms  "
        f"ours {1e3 * median(ours_s):6.0f} ms  ratio {median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]  {agrees}"
        + (f"  MACHINE NOT IDLE in {busy} of {pairs} pairs" if busy else ""),
        flush=True,
    )


def main() -> None:
    torch.set_num_threads(options.threads)
    images, pairs = photographs(), 3 if options.quick else options.pairs
    spin = os.environ.get("GOMP_SPINCOUNT", "default")
    print(f"torch {torch.__version__}, {options.threads} thread(s), GOMP_SPINCOUNT {spin}, {pairs} pairs")
    for name, image in list(images.items())[: 1 if options.quick else None]:
        compare(name, Problem(image, (500, 375), 21), pairs)
        compare(name, Problem(image, (500, 375), 2), pairs)
    first = next(iter(images.values()))
    for labels in (21, 5):
        compare("noisy scores", Problem(first, (500, 375), labels, noisy=True), pairs)
    if not options.quick:
        compare(next(iter(images)), Problem(first, (2048, 1024), 19), pairs)


if __name__ == "__main__":
    main()
