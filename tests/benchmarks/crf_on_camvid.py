"""A trained net with and without DenseCRF on CamVid's validation images; the CRF's parameters are searched for on training images.

    EDU_SEG_DATA=... python tests/benchmarks/crf_on_camvid.py RUN [training images]

RUN: a run of `python -m edu_seg train --preset camvid-cpu`. Prints the parameters found, the four scores, the mean IU in bands around
the edges, and each class's IU, before and after.
"""

import sys
import time
from pathlib import Path

import torch

from edu_seg import models, presets
from edu_seg.crf import DenseCRF, Example, search
from edu_seg.datasets.transforms import denormalise
from edu_seg.metrics import ConfusionMatrix, boundary_band
from edu_seg.training import find_checkpoint, load_checkpoint

GRID = {
    "theta_alpha": (10, 30, 60),
    "theta_beta": (3, 5, 9, 15),
    "theta_gamma": (3,),
    "bilateral_weight": (1, 3, 6),
    "spatial_weight": (0, 1, 3),
}
BANDS = (1, 2, 4, 8)


@torch.no_grad()
def examples(net: torch.nn.Module, base: presets.LabelledSet, indices: range) -> list[Example]:
    """Logits, photograph and labels of some images, each scored alone."""
    data = presets.evaluation_set(base)
    made = []
    for index in indices:
        image, labels = data[index]
        photograph = denormalise(image[None]).mul(255).round().clamp(0, 255).byte()[0]
        made.append(Example(net(image[None])[0], photograph, labels))
    return made


def scores(predictions: list[torch.Tensor], truths: list[Example], num_classes: int) -> dict[str, float]:
    """The four scores, and the mean IU within so many pixels of an edge."""
    whole = ConfusionMatrix(num_classes)
    bands = {width: ConfusionMatrix(num_classes) for width in BANDS}
    for preds, truth in zip(predictions, truths, strict=True):
        whole.update(preds, truth.labels)
        for width, matrix in bands.items():
            near = boundary_band(truth.labels[None], width)[0]
            matrix.update(preds, truth.labels.where(near, torch.tensor(255)))
    return whole.scores() | {f"mean IU within {width}": matrix.mean_iou for width, matrix in bands.items()}


def main(run: Path, number: int) -> None:
    checkpoint = load_checkpoint(find_checkpoint(run), optimiser=False)
    about = checkpoint.config
    net = models.build(about["model"]["name"], about["model"]["num_classes"], **about["model"]["options"])
    net.load_state_dict(checkpoint.model)
    net.eval()
    spec = presets.DataSpec.from_json(about["data"])
    train_base, val_base = (presets.labelled_set(spec, None, split) for split in ("train", "val"))
    start = time.perf_counter()
    fitted = examples(net, train_base, range(0, len(train_base), len(train_base) // number))
    found = search(fitted, GRID, rounds=2, num_iterations=5)
    print(f"{len(fitted)} training images, {len(found.trials)} trials, {time.perf_counter() - start:.0f} s: {found.values}")
    print(f"mean IU on them: {found.score:.4f}")
    crf = DenseCRF(**found.values, num_iterations=10)  # pyright: ignore[reportArgumentType]
    held_out = examples(net, val_base, range(len(val_base)))
    with torch.no_grad():
        after = [crf(one.logits[None], one.image[None])[0].argmax(0) for one in held_out]
    before = [one.logits.argmax(0) for one in held_out]
    plain, refined = (scores(predictions, held_out, about["model"]["num_classes"]) for predictions in (before, after))
    for name, value in plain.items():
        print(f"{name:24}{value:8.4f}{refined[name]:8.4f}{refined[name] - value:+9.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 12)
