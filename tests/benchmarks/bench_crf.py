"""DenseCRF against pydensecrf2, alternating in one process, nothing cached: construction and ten iterations, (80, 13, w 10) + (3, w 3).

    python tests/benchmarks/bench_crf.py [--quick] [--pairs 7] [--threads 2] [--spin 10000] [--images photograph.jpg …]

With --threads 1 times are CPU times, which hardly depend on what else runs; with more they are wall times, and want an idle machine: the
share of the cores that others used is read from /proc/stat around each pair, and pairs above a tenth of a core are marked and counted.

OpenMP threads wait for each other by spinning, which on a busy machine makes two threads many times slower than one. GOMP_SPINCOUNT bounds
the spinning; it is read once, when torch loads OpenMP, so it is set here before the import (0 leaves the environment as it is).
"""

import argparse
import os
import time
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
import pydensecrf.densecrf as reference  # noqa: E402
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


def compare(name: str, image: Image.Image, size: tuple[int, int], labels: int, pairs: int) -> None:
    width, height = size
    pixels = np.array(image.resize(size), order="C")  # the reference asks for a writeable array
    coarse = 4 * torch.randn(1, labels, height // 8 + 1, width // 8 + 1, generator=torch.Generator().manual_seed(0))
    logits = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False)
    unary = np.ascontiguousarray(-logits[0].log_softmax(0).flatten(1).numpy())
    guide = torch.from_numpy(pixels).permute(2, 0, 1)[None]

    def theirs() -> np.ndarray:
        crf = reference.DenseCRF2D(width, height, labels)
        crf.setUnaryEnergy(unary)
        crf.addPairwiseGaussian(sxy=3, compat=3)
        crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=pixels, compat=10)
        return np.array(crf.inference(10))

    def ours() -> torch.Tensor:
        return DenseCRF(80, 13, 3, 10, 3, 10)(logits, guide)

    clock = time.process_time if options.threads == 1 else time.perf_counter
    expected, probs = torch.from_numpy(theirs()).view(labels, height, width), ours()[0]
    equal, apart = (expected.argmax(0) == probs.argmax(0)).double().mean().item(), (expected - probs).abs().max().item()
    rows, busy = [], 0
    for _ in range(pairs):
        others, wall, start = foreign_seconds(), time.perf_counter(), clock()
        theirs()
        middle = clock()
        ours()
        end = clock()
        busy += (foreign_seconds() - others) / (time.perf_counter() - wall) > 0.1
        rows.append((middle - start, end - middle, (middle - start) / (end - middle)))
    theirs_s, ours_s, ratios = zip(*rows, strict=True)
    print(
        f"{name:<14} {width} × {height} × {labels:<3} reference {1e3 * median(theirs_s):6.0f} ms  ours {1e3 * median(ours_s):6.0f} ms  "
        f"ratio {median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]  labels {100 * equal:.4f} %  max |ΔQ| {apart:.1e}"
        + (f"  MACHINE NOT IDLE in {busy} of {pairs} pairs" if busy else ""),
        flush=True,
    )


def main() -> None:
    torch.set_num_threads(options.threads)
    images, pairs = photographs(), 3 if options.quick else options.pairs
    spin = os.environ.get("GOMP_SPINCOUNT", "default")
    print(f"torch {torch.__version__}, {options.threads} thread(s), GOMP_SPINCOUNT {spin}, {pairs} pairs")
    for name, image in list(images.items())[: 1 if options.quick else None]:
        compare(name, image, (500, 375), 21, pairs)
        compare(name, image, (500, 375), 2, pairs)
    if not options.quick:
        compare(next(iter(images)), next(iter(images.values())), (2048, 1024), 19, pairs)


if __name__ == "__main__":
    main()
