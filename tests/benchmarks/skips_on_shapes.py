"""FCN-32s, 16s and 8s on `Shapes`, trained as in notebook 05, on five seeds (of weights, training scenes and validation scenes).

    python tests/benchmarks/skips_on_shapes.py [seeds]

Prints the mean IU of each net on each seed: in stages, 32s with as many epochs as 8s had, and 8s at once; and the smallest gaps.
"""

import copy
import sys
import tempfile

import torch
from torch.utils.data import TensorDataset

from edu_seg.datasets import Shapes
from edu_seg.losses import CrossEntropy
from edu_seg.models import build
from edu_seg.models.fcn import FCN
from edu_seg.training import FitConfig, fit

SCENES = {"scales": (0.18, 0.34), "objects": (2, 3), "texture": 0.15, "wires": (0, 1)}


def one_seed(seed: int) -> dict[str, float]:
    """Mean IU of each net, with seed 0 the notebook's own."""
    train_set = TensorDataset(*_normalised(*Shapes(256, size=64, seed=1 + 10 * seed, **SCENES).tensors()))
    val_set = TensorDataset(*_normalised(*Shapes(48, size=64, seed=2 + 10 * seed, **SCENES).tensors()))

    def small_fcn(name: str) -> FCN:
        torch.manual_seed(seed)
        net = build(name, 6, backbone="vgg_small")
        assert isinstance(net, FCN)
        return net

    def train(net: FCN, epochs: int) -> float:
        config = FitConfig(
            epochs=epochs, batch_size=12, optimiser="adamw", lr=1e-2, bias_lr=1.0, weight_decay=1e-2, seed=seed,
            validate_every=epochs, val_batch_size=48, pictures=0, progress=False, device="cpu",
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            return fit(net, train_set, val_set, CrossEntropy(), config, folder, num_classes=6)[-1]["mean_iou"]

    nets = {name: small_fcn(name) for name in ("fcn32s", "fcn16s", "fcn8s")}
    scores = {"32s": train(nets["fcn32s"], 8)}
    longer = copy.deepcopy(nets["fcn32s"])
    scores["16s"] = train(nets["fcn16s"].stage_from(nets["fcn32s"]), 4)
    scores["8s"] = train(nets["fcn8s"].stage_from(nets["fcn16s"]), 4)
    scores["32s, 16 epochs"] = train(longer, 8)
    scores["8s at once"] = train(small_fcn("fcn8s"), 12)
    return scores


def _normalised(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return 2 * images - 1, labels


def main(seeds: int) -> None:
    rows = []
    for seed in range(seeds):
        rows.append(one_seed(seed))
        if seed == 0:
            print("seed  " + "  ".join(rows[0]))
        print(f"{seed:4}  " + "  ".join(f"{value:{len(name)}.3f}" for name, value in rows[-1].items()), flush=True)
    for finer, coarser in (("16s", "32s"), ("8s", "16s"), ("8s", "32s, 16 epochs"), ("8s at once", "8s")):
        gaps = [row[finer] - row[coarser] for row in rows]
        print(f"{finer} over {coarser}: {sum(gap > 0 for gap in gaps)} of {len(gaps)} seeds, smallest gap {min(gaps):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
