"""The orderings of PSPNet's and DeepLab v3's ablation tables on `Shapes`, with the nets and scenes of notebook 09, on five seeds.

    python tests/benchmarks/ablations_on_shapes.py [rates] [pyramid] [auxiliary] [multi-grid]

Prints for each net its score on each seed (of weights, training scenes and validation scenes): the mean IU of the classes that are no
background. Then, for pairs of nets, on how many seeds the second is better, and by how much on average. No argument: all four parts.
"""

import sys
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edu_seg import backbones
from edu_seg.datasets import Shapes
from edu_seg.layers import ASPP, PyramidPooling, conv_bn_relu, resize
from edu_seg.losses import AuxiliaryLoss, CrossEntropy
from edu_seg.metrics import ConfusionMatrix

Scenes = tuple[Tensor, Tensor]
Scores = dict[str, list[float]]
SEEDS = range(5)
SIZES = {"small": 0.08, "middle": 0.16, "large": 0.32}  # radius, as a part of the image
RATES = (1, 2, 4, 8)
TABLE = {  # PSPNet's table 1
    "no pyramid": {"bins": ()},
    "1 bin, maximum": {"bins": (1,), "mode": "maximum", "reduce": False},
    "1 bin, mean": {"bins": (1,), "reduce": False},
    "1236, maximum": {"mode": "maximum", "reduce": False},
    "1236, mean": {"reduce": False},
    "1236, maximum, reduced": {"mode": "maximum"},
    "1236, mean, reduced": {},
}
WEIGHTS = (0.0, 0.4, 0.9)
GRIDS = ((1, 1, 1), (1, 2, 1), (1, 2, 4), (2, 2, 2))
DEPTHS = {"block4": 1, "block7": 4}


class SmallNet(nn.Module):
    """A trunk that sees 37 pixels, a pyramid, two 1 × 1; and scores of an earlier map, in training only."""

    def __init__(self, auxiliary: bool = False, **pyramid: object) -> None:
        super().__init__()
        self.trunk = backbones.build("vgg_strided", width=0.25, output_stride=8, padding="same").upto("pool3")
        self.context = PyramidPooling(16, **pyramid)  # pyright: ignore[reportArgumentType]
        self.scores = nn.Sequential(conv_bn_relu(self.context.out_channels, 16), nn.Conv2d(16, 3, 1))
        self.auxiliary = nn.Conv2d(self.trunk.channels["pool2"], 3, 1) if auxiliary else None

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        features, size = self.trunk(images), (images.shape[2], images.shape[3])
        logits = resize(self.scores(self.context(features["pool3"])), size)
        if self.auxiliary is None or not self.training:
            return logits
        return logits, resize(self.auxiliary(features["pool2"]), size)


class Units(nn.Module):
    """The cascade: stages of three residual 3 × 3, each stage with twice the rate of the one before, times the multi-grid."""

    def __init__(self, grid: Sequence[int], stages: int) -> None:
        super().__init__()
        self.stem = conv_bn_relu(1, 16)
        self.units = nn.ModuleList(conv_bn_relu(16, 16, 3, rate=2**stage * times) for stage in range(stages) for times in grid)
        self.scores = nn.Conv2d(16, 5, 1)

    def forward(self, maps: Tensor) -> Tensor:
        features = self.stem(maps)
        for unit in self.units:
            features = features + unit(features)
        return self.scores(features)


def two_layers(rates: Sequence[int]) -> nn.Module:
    """Two layers of 3 × 3 of one rate, or with several rates side by side."""
    if len(rates) == 1:
        layers = [conv_bn_relu(1, 16, 3, rate=rates[0]), conv_bn_relu(16, 16, 3, rate=rates[0])]
    else:
        layers = [ASPP(channels, rates, 16, image_pooling=False, dropout=0.0) for channels in (1, 16)]
    return nn.Sequential(*layers, conv_bn_relu(16, 16), nn.Conv2d(16, 5, 1))


def silhouettes(number: int, seed: int, radius: float) -> Scenes:
    """Things of one size at a quarter of the resolution: silhouettes (N, 1, 24, 24), labels (N, 24, 24)."""
    near = (0.95 * radius, 1.05 * radius)
    labels = Shapes(number, size=96, seed=seed, scales=near, objects=(2, 6), wires=0, overlap=0, void_rim=False).tensors()[1]
    return F.avg_pool2d((labels > 0).float()[:, None], 4), labels[:, 2::4, 2::4].contiguous()


def look_alikes(number: int, seed: int) -> Scenes:
    images, labels = Shapes(number, size=96, seed=seed, context=True, context_radius=18).tensors()
    return 2 * images - 1, labels


def train(net: nn.Module, data: Scenes, steps: int, seed: int, loss: Callable) -> nn.Module:
    images, labels = data
    optimiser, draw = torch.optim.AdamW(net.parameters(), 1e-2, weight_decay=1e-2), torch.Generator().manual_seed(seed)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, steps, 0.9)
    net.train()
    for _ in range(steps):
        batch = torch.randperm(len(images), generator=draw)[:8]
        optimiser.zero_grad()
        loss(net(images[batch]), labels[batch]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return net.eval()


def score(net: nn.Module, data: Scenes, num_classes: int) -> float:
    matrix = ConfusionMatrix(num_classes)
    with torch.inference_mode():
        matrix.update(net(data[0]).argmax(1), data[1])
    return matrix.iou[1:].mean().item()


def compare(
    build: Mapping[str, Callable[[], nn.Module]], data: Callable[[int], tuple[Scenes, Scenes]], steps: int, loss: Callable
) -> Scores:
    """Name -> a score for each seed, of the net that `build` makes; printed as they come."""
    found: Scores = {name: [] for name in build}
    for name, make in build.items():
        for seed in SEEDS:
            scenes, held_out = data(seed)
            torch.manual_seed(seed)
            net = train(make(), scenes, steps, seed, loss)
            found[name].append(score(net, held_out, 3 if isinstance(net, SmallNet) else 5))
        print(f"{name:26}", " ".join(f"{value:.3f}" for value in found[name]), f"  mean {mean(found[name]):.3f}", flush=True)
    return found


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def orderings(found: Scores, pairs: Sequence[tuple[str, str]]) -> None:
    for worse, better in pairs:
        gaps = [b - a for a, b in zip(found[worse], found[better], strict=True)]
        print(f"{worse} < {better}: {sum(gap > 0 for gap in gaps)} of {len(gaps)} seeds, {mean(gaps):+.3f} on average", flush=True)


def rates() -> None:
    """Each size of things by itself, the rate swept."""
    build = {str(rate): lambda rate=rate: two_layers([rate]) for rate in RATES} | {"1, 2, 4": lambda: two_layers((1, 2, 4))}
    for n, (name, radius) in enumerate(SIZES.items()):
        made = [(silhouettes(64, 10 * seed + n + 1, radius), silhouettes(48, 10 * seed + n + 101, radius)) for seed in SEEDS]
        print(f"-- {name} things")
        found = compare(build, made.__getitem__, 80, CrossEntropy())
        best = [max(RATES, key=lambda rate, seed=seed: found[str(rate)][seed]) for seed in SEEDS]
        print(f"best rate on each seed: {best}")


def pyramid() -> None:
    made = [(look_alikes(160, 10 * seed + 1), look_alikes(32, 10 * seed + 2)) for seed in SEEDS]
    build = {name: lambda options=options: SmallNet(**options) for name, options in TABLE.items()}
    found = compare(build, made.__getitem__, 60, CrossEntropy(torch.tensor([1.0, 10.0, 10.0])))
    means = [
        ("no pyramid", "1 bin, mean"),
        ("1 bin, maximum", "1 bin, mean"),
        ("1236, maximum", "1236, mean"),
        ("1 bin, mean", "1236, mean"),
    ]
    orderings(found, [*means, ("1236, mean", "1236, mean, reduced"), ("1236, maximum", "1236, maximum, reduced")])


def auxiliary() -> None:
    made = [(look_alikes(160, 10 * seed + 1), look_alikes(32, 10 * seed + 2)) for seed in SEEDS]
    main, found = CrossEntropy(torch.tensor([1.0, 10.0, 10.0])), {}
    for weight in WEIGHTS:
        loss = AuxiliaryLoss(main, weight) if weight else main
        found |= compare({f"weight {weight}": lambda weight=weight: SmallNet(weight > 0)}, made.__getitem__, 60, loss)
    orderings(found, [("weight 0.0", "weight 0.4"), ("weight 0.9", "weight 0.4")])


def multi_grid() -> None:
    """All three sizes mixed."""

    def mixed(seed: int, number: int, first: int) -> Scenes:
        images, labels = zip(*(silhouettes(number, 10 * seed + n + first, radius) for n, radius in enumerate(SIZES.values())), strict=True)
        return torch.cat(images), torch.cat(labels)

    made = [(mixed(seed, 64, 1), mixed(seed, 48, 101)) for seed in SEEDS]
    build = {f"{name} {grid}": lambda grid=grid, stages=stages: Units(grid, stages) for name, stages in DEPTHS.items() for grid in GRIDS}
    found = compare(build, made.__getitem__, 80, CrossEntropy())
    deeper = [(f"block4 {grid}", f"block7 {grid}") for grid in GRIDS]
    orderings(found, [*deeper, ("block4 (1, 1, 1)", "block4 (1, 2, 4)"), ("block4 (2, 2, 2)", "block4 (1, 2, 4)")])
    orderings(found, [("block7 (1, 2, 4)", "block7 (1, 2, 1)"), ("block7 (2, 2, 2)", "block7 (1, 2, 1)")])


PARTS = {"rates": rates, "pyramid": pyramid, "auxiliary": auxiliary, "multi-grid": multi_grid}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        print(f"== {part}", flush=True)
        PARTS[part]()
