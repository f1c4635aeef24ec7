"""An FCN and what was built against its failures, on `Shapes` with objects of 1 : 16, as in notebook 06, on five seeds.

    python tests/benchmarks/decoders_on_shapes.py [seeds [name]]

For each seed (of weights, training scenes and validation scenes) and each net: mean IU, mean IU in a band of 3 pixels at the
boundaries, the share of small objects that are found (root of the area below 6 pixels; half of the pixels called object), and the
share of a large object (24 pixels and more) that is given one class. Then on how many seeds each net is better than the FCN of
stride 8, and the smallest gap.

Nets: an FCN without skips at stride 8 and at stride 16; one encoder with three ways back at 50,000 parameters each (scores added,
switches, concatenated maps); a thin DeconvNet on proposals, trained in two stages. Five seeds take 5 to 8 minutes on one core. With a
name, or a part of it, only the first FCN and the nets of that name are trained.
"""

import sys
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset, default_collate

from edu_seg import object_crops, proposals
from edu_seg.datasets import Shapes
from edu_seg.losses import CrossEntropy
from edu_seg.metrics import ConfusionMatrix, boundary_band
from edu_seg.models import build
from edu_seg.models.deconvnet import DeconvNet
from edu_seg.objects import instances_of
from edu_seg.upsampling import max_pool_with_switches, max_unpool

CLASSES = 2  # ground, object
SCENES = {"scales": (0.03, 0.48), "objects": (3, 6), "wires": 0, "texture": 0.4, "overlap": 0.1}
BUDGET = 50_000
COLUMNS = ("mean IU", "boundary", "small found", "large whole")
BASE = "FCN, stride 8"
Predict = Callable[[Tensor], Tensor]


def scenes(number: int, seed: int) -> tuple[Tensor, Tensor]:
    images, labels = Shapes(number, size=64, seed=seed, **SCENES).tensors()
    return 2 * images - 1, torch.where(labels == 255, 255, labels.clamp(max=1))


def train(net: nn.Module, images: Tensor, labels: Tensor, seed: int = 0, steps: int = 60) -> nn.Module:
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, steps, 0.9)
    draw, loss = torch.Generator().manual_seed(seed), CrossEntropy()
    net.train()
    for _ in range(steps):
        chosen = torch.randperm(len(images), generator=draw)[:16]
        optimiser.zero_grad()
        loss(net(images[chosen]), labels[chosen]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return net.eval()


def block(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())


class Way(nn.Module):
    """One encoder of four pools; back to the pixels by "sum" (of scores), "switches" or "concatenate"."""

    def __init__(self, way: str, width: float) -> None:
        super().__init__()
        channels = [3, *(round(width * m) for m in (1, 2, 3, 4))]
        self.way = way
        self.encoder = nn.ModuleList(nn.Sequential(block(a, b), block(b, b)) for a, b in pairwise(channels))
        if way == "sum":
            self.scores = nn.ModuleList(nn.Conv2d(c, CLASSES, 1) for c in (*channels[1:], channels[-1]))
            return
        factor = 2 if way == "concatenate" else 1
        back = zip(channels[1:], [channels[1], *channels[1:-1]], strict=True)
        self.decoder = nn.ModuleList(nn.Sequential(block(factor * a, a), block(a, b)) for a, b in back)
        self.score = nn.Conv2d(channels[1], CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[tuple[Tensor, Tensor]] = []
        for stage in self.encoder:
            features = stage(x)
            x, switches = max_pool_with_switches(features)
            kept.append((features, switches))
        if self.way == "sum":
            return self._summed(x, [features for features, _ in kept])
        for stage, (features, switches) in zip(reversed(self.decoder), reversed(kept), strict=True):
            if self.way == "concatenate":
                x = stage(torch.cat([features, F.interpolate(x, scale_factor=2)], 1))
            else:
                x = stage(max_unpool(x, switches, (features.shape[2], features.shape[3])))
        return self.score(x)

    def _summed(self, x: Tensor, kept: list[Tensor]) -> Tensor:
        *scores, top = self.scores
        x = top(x)
        for score, features in zip(reversed(scores), reversed(kept), strict=True):
            x = score(features) + F.interpolate(x, scale_factor=2, mode="bilinear")
        return x


def of_budget(way: str) -> Way:
    """The widest net of at most `BUDGET` parameters."""
    width = 4.0
    while sum(p.numel() for p in Way(way, width + 0.1).parameters()) <= BUDGET:
        width += 0.1
    return Way(way, width)


def whole_image(make: Callable[[], nn.Module], images: Tensor, labels: Tensor, seed: int) -> Predict:
    torch.manual_seed(seed)
    net = train(make(), images, labels, seed)
    return lambda pictures: net(pictures).argmax(1)


def by_proposals(images: Tensor, labels: Tensor, seed: int) -> Predict:
    """A thin DeconvNet, trained on centred objects of 60 scenes, then on all their proposals."""
    dataset = TensorDataset(images[:60], labels[:60])
    centred = object_crops.centred_examples(dataset)
    # The paper trains on proposals that overlap an object by half. Of these simple ones most hold none: the net has to see those too.
    proposed = object_crops.proposal_examples(dataset, lambda image: proposals.region_boxes(image / 2 + 0.5, most=20), least_overlap=0.0)
    torch.manual_seed(seed)
    net = DeconvNet(CLASSES, widths=((16,), (24,), (32,), (48,), (64,)), fc_width=64, input_size=32)
    for stage, (examples, steps) in enumerate(((centred, 40), (proposed, 100))):
        pairs = object_crops.Crops(dataset, examples, 32)
        crops, targets = default_collate([pairs[index] for index in range(len(pairs))])
        train(net, crops, targets, seed + stage, steps)

    def predict(pictures: Tensor) -> Tensor:
        boxes = [proposals.region_boxes(picture / 2 + 0.5, most=20) for picture in pictures]
        probs = (proposals.instance_probs(net, x, found, 32, aggregate="average") for x, found in zip(pictures, boxes, strict=True))
        return torch.stack([each.argmax(0) for each in probs])

    return predict


def measured(preds: Tensor, labels: Tensor) -> list[float]:
    """The four figures of `COLUMNS`."""
    figures = []
    for truth in (labels, labels.masked_fill(~boundary_band(labels, width=3), 255)):
        matrix = ConfusionMatrix(CLASSES)
        matrix.update(preds, truth)
        figures.append(matrix.mean_iou)
    small, large = [], []
    for said, truth in zip(preds, labels, strict=True):
        instances = instances_of(truth)
        for number in range(1, int(instances.max()) + 1):
            inside = instances == number
            share, size = float(said[inside].float().mean()), float(inside.sum()) ** 0.5
            if 2 <= size < 6:
                small.append(share >= 0.5)
            elif size >= 24:
                large.append(max(share, 1 - share))
    return [*figures, sum(small) / len(small), sum(large) / len(large)]


def one_seed(seed: int, wanted: str) -> dict[str, list[float]]:
    """Seed 0 has the notebook's scenes."""
    images, labels = scenes(160, 1 + 10 * seed)
    val_images, val_labels = scenes(60, 2 + 10 * seed)
    makers: dict[str, Callable[[], nn.Module]] = {
        BASE: lambda: build("fcn8s", CLASSES, backbone="vgg_small", top="pool3", skips=()),
        "FCN, stride 16": lambda: build("fcn8s", CLASSES, backbone="vgg_small", top="pool4", skips=()),
        "scores, added": lambda: of_budget("sum"),
        "switches": lambda: of_budget("switches"),
        "concatenated maps": lambda: of_budget("concatenate"),
    }
    rows = {}
    for name, make in makers.items():
        if name == BASE or wanted in name:
            predict = whole_image(make, images, labels, seed)
            with torch.inference_mode():
                rows[name] = measured(predict(val_images), val_labels)
    if wanted in "DeconvNet, proposals":
        rows["DeconvNet, proposals"] = measured(by_proposals(images, labels, seed)(val_images), val_labels)
    return rows


def main(seeds: int, wanted: str) -> None:
    table = []
    print("seed  " + f"{'net':22}" + "  ".join(COLUMNS))
    for seed in range(seeds):
        table.append(one_seed(seed, wanted))
        for name, row in table[-1].items():
            values = (f"{value:{len(title)}.3f}" for value, title in zip(row, COLUMNS, strict=True))
            print(f"{seed:4}  {name:22}" + "  ".join(values), flush=True)
    for name in list(table[0])[1:]:
        for column, title in enumerate(COLUMNS):
            gaps = [rows[name][column] - rows[BASE][column] for rows in table]
            print(f"{name} over {BASE}, {title}: {sum(gap > 0 for gap in gaps)} of {len(gaps)} seeds, smallest gap {min(gaps):.3f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2] if len(sys.argv) > 2 else "")
