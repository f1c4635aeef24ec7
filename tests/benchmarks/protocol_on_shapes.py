"""What each choice of the training protocol is worth on `Shapes`: a small net, five seeds. Notebook 11 reads data/protocol_on_shapes.json.

    python tests/benchmarks/protocol_on_shapes.py [schedule] [norm] [balance] [transfer] [crop] [augmentation] [more-norm] [more-transfer]
        [--write]

Prints for each choice its mean IU of ground, thing and wire on each seed (of weights, training and validation scenes, order); with
class balancing also the mean accuracy. The nets of a part see as many pixels a step, but for those whose name says otherwise. No
part: all of them, some five minutes on one thread. With `--write` the file has the new rows in place of its own.
"""

import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from edu_seg.datasets import Shapes
from edu_seg.datasets.transforms import Transform, training_transform
from edu_seg.layers import conv_bn_relu, freeze_batch_norm, resize
from edu_seg.losses import CrossEntropy, Loss, class_weights
from edu_seg.metrics import ConfusionMatrix
from edu_seg.training import FitConfig, lr_factor

FILE = Path(__file__).parents[2] / "data" / "protocol_on_shapes.json"
Scenes = tuple[Tensor, Tensor]
Rows = dict[str, list[float]]
SEEDS = range(5)
STEPS, BATCH, LR = 70, 8, 1e-2
POLY = FitConfig(schedule="poly")


class SmallNet(nn.Module):
    """A trunk of stride 4 that ends in three 3 × 3 of one rate, and a 1 × 1 to the classes."""

    def __init__(self, num_classes: int = 3, rate: int = 1) -> None:
        super().__init__()
        stem = [nn.Conv2d(3, 16, 5, 2, 2, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
        stem += [nn.Conv2d(16, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        self.trunk = nn.Sequential(*stem, *(conv_bn_relu(32, 32, 3, rate=rate) for _ in range(3)))
        self.score = nn.Conv2d(32, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        return resize(self.score(self.trunk(images)), (images.shape[2], images.shape[3]))


class Classifier(nn.Module):
    """The same trunk under the mean of its map."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.trunk, self.score = SmallNet().trunk, nn.Linear(32, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.score(self.trunk(images).mean((2, 3)))[:, :, None, None]


@cache
def scenes(number: int, seed: int, size: int = 48, **options: object) -> Scenes:
    images, labels = Shapes(number, size=size, seed=seed, **options).tensors()  # pyright: ignore[reportArgumentType]
    return 2 * images - 1, labels


def coarse(data: Scenes) -> Scenes:
    """Ground, thing, wire in place of the six classes."""
    return data[0], torch.tensor([0, 1, 1, 1, 1, 2, 255])[data[1].clamp(max=6)]


def batches(data: Scenes, steps: int, size: int, seed: int, augment: Transform | None) -> Iterator[Scenes]:
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        chosen = torch.randint(len(data[0]), (size,), generator=draw)
        images, labels = data[0][chosen], data[1][chosen]
        if augment is not None:
            pairs = [augment(image, label) for image, label in zip(images, labels, strict=True)]
            images, labels = (torch.stack(part) for part in zip(*pairs, strict=True))
        yield images, labels


def tiles(maps: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N · H/size · W/size, C, size, size)."""
    return maps.unfold(2, size, size).unfold(3, size, size).movedim(1, 3).flatten(0, 2)


def train(
    net: nn.Module,
    data: Scenes,
    seed: int,
    *,
    steps: int = STEPS,
    batch: int = BATCH,
    pieces: int = 1,
    lr: float = LR,
    config: FitConfig = POLY,
    loss: Loss | None = None,
    augment: Transform | None = None,
    held: nn.Module | None = None,
    tile: int | None = None,
) -> nn.Module:
    """AdamW. A batch is computed in `pieces`, and its loss divided once, so that only batch norm sees them; `held` does not learn.

    tile: cut the batch into squares of so many pixels."""
    loss = loss or CrossEntropy()
    learning = [p for p in net.parameters() if held is None or all(p is not other for other in held.parameters())]
    optimiser = torch.optim.AdamW(learning, lr, weight_decay=1e-2)
    net.train()
    if held is not None:
        held.eval()
    for step, (images, labels) in enumerate(batches(data, steps, batch, seed, augment)):
        if tile is not None:
            images, labels = tiles(images, tile), tiles(labels[:, None], tile)[:, 0]
        optimiser.zero_grad()
        count = torch.zeros(())
        for part, truth in zip(images.chunk(pieces), labels.chunk(pieces), strict=True):
            total, normaliser = loss.terms(net(part), truth)
            total.backward()
            count += normaliser.detach()
        for parameter in learning:
            parameter.grad = None if parameter.grad is None else parameter.grad / count
        nn.utils.clip_grad_norm_(learning, 1.0)
        for group in optimiser.param_groups:
            group["lr"] = lr * lr_factor(config, step, steps)
        optimiser.step()
    return net.eval()


def score(net: nn.Module, data: Scenes, num_classes: int = 3) -> ConfusionMatrix:
    matrix = ConfusionMatrix(num_classes)
    with torch.inference_mode():
        for images, labels in zip(data[0].split(16), data[1].split(16), strict=True):
            matrix.update(net(images).argmax(1), labels)
    return matrix


def new_net(seed: int, num_classes: int = 3, rate: int = 1) -> SmallNet:
    torch.manual_seed(seed)
    return SmallNet(num_classes, rate)


def training(seed: int, number: int = 128, **options: object) -> Scenes:
    return coarse(scenes(number, 10 * seed + 1, **options))


def validation(seed: int, **options: object) -> Scenes:
    return coarse(scenes(48, 10 * seed + 2, **options))


@cache
def usual(seed: int) -> nn.Module:
    """Poly, eight images a step, whole scenes as they are, no weights."""
    return train(new_net(seed), training(seed), seed)


def table(rows: dict[str, Callable[[int], ConfusionMatrix]], *, accuracy: bool = False) -> dict[str, Rows]:
    """What was scored: name of the score -> row -> a value for each seed."""
    scored: dict[str, Rows] = {"mean IU": {}} | ({"mean accuracy": {}} if accuracy else {})
    for name, make in rows.items():
        found = [make(seed) for seed in SEEDS]
        for what, column in scored.items():
            column[name] = [round(matrix.mean_iou if what == "mean IU" else matrix.mean_accuracy, 3) for matrix in found]
            line(what, name, column[name])
    return scored


def line(what: str, name: str, values: list[float]) -> None:
    shown = ", ".join(f"{value:.3f}" for value in values)
    print(f'{what:13}  "{name}": [{shown}],  # mean {sum(values) / len(values):.3f}', flush=True)


def variant(**options: object) -> Callable[[int], ConfusionMatrix]:
    """The usual run but for these options of `train`."""
    return lambda seed: score(train(new_net(seed), training(seed), seed, **options), validation(seed))  # pyright: ignore[reportArgumentType]


def as_usual(seed: int) -> ConfusionMatrix:
    return score(usual(seed), validation(seed))


def schedule() -> dict[str, Rows]:
    return table(
        {
            "poly": as_usual,
            "step": variant(config=FitConfig(schedule="step")),
            "constant": variant(config=FitConfig(schedule="constant")),
        }
    )


def more(seed: int, pieces: int, frozen: bool = False) -> ConfusionMatrix:
    """From the usual net on for half as long, at a fifth of its rate."""
    net = new_net(seed)
    net.load_state_dict(usual(seed).state_dict())
    net = freeze_batch_norm(net) if frozen else net
    return score(train(net, training(seed), seed + 100, steps=STEPS // 2, pieces=pieces, lr=0.2 * LR), validation(seed))


def norm() -> dict[str, Rows]:
    """Each step has eight images; batch norm sees as many at once as the name says."""
    return table(
        {
            "8 images": as_usual,
            "1 image": variant(pieces=8),
            "then 1 image": lambda seed: more(seed, 8),
            "then 1 image, frozen": lambda seed: more(seed, 8, True),
        }
    )


def more_norm() -> dict[str, Rows]:
    return table({"2 images": variant(pieces=4), "4 images": variant(pieces=2), "then 8 images": lambda seed: more(seed, 1)})


def balance() -> dict[str, Rows]:
    def weighted(power: float) -> Callable[[int], ConfusionMatrix]:
        def make(seed: int) -> ConfusionMatrix:
            data = training(seed)
            loss = CrossEntropy(class_weights(data[1], 3, power=power))
            return score(train(new_net(seed), data, seed, loss=loss), validation(seed))

        return make

    return table(
        {
            "none": as_usual,
            "median frequency": weighted(1.0),
            "half of the patches": variant(loss=CrossEntropy(keep=0.5, cell=4)),
            "half of the patches, twice the images": variant(loss=CrossEntropy(keep=0.5, cell=4), batch=2 * BATCH),
        },
        accuracy=True,
    )


@cache
def classifier(seed: int) -> nn.Module:
    """Trained on 512 scenes with one large thing each and its name: no labels for pixels. Says what share of 128 others it names."""
    torch.manual_seed(seed)
    net = train(Classifier(5), named(512, 10 * seed + 3), seed, steps=6 * STEPS, batch=2 * BATCH, lr=0.3 * LR)
    held_out = named(128, 10 * seed + 5)
    with torch.inference_mode():
        right = (net(held_out[0]).argmax(1) == held_out[1]).float().mean().item()
    print(f"the classifier of seed {seed} names {right:.2f} of the things", flush=True)
    return net


def named(number: int, seed: int) -> Scenes:
    """Scenes with one disc, square, triangle or star, and its class (N, 1, 1)."""
    images, labels = scenes(number, seed, objects=1, wires=0, scales=(0.25, 0.4), texture=0.1)
    return images, torch.where(labels == 255, 0, labels).amax((1, 2))[:, None, None]


@cache
def look_alikes(seed: int) -> nn.Module:
    """Trained to segment scenes of another kind."""
    return train(new_net(seed), scenes(128, 10 * seed + 4, context=True, context_radius=6), seed)


def start(source: Callable[[int], nn.Module] | None, steps: int = STEPS, hold: bool = False) -> Callable[[int], ConfusionMatrix]:
    """Sixteen labelled scenes, from a trained trunk or a new one."""

    def make(seed: int) -> ConfusionMatrix:
        net = new_net(seed)
        if source is not None:
            trunk = {name: value for name, value in source(seed).state_dict().items() if name.startswith("trunk.")}
            net.load_state_dict(trunk, strict=False)
        held = net.trunk if hold else None
        return score(train(net, training(seed, 16), seed, steps=steps, held=held), validation(seed))

    return make


def transfer() -> dict[str, Rows]:
    held = start(classifier, hold=True)
    return table({"from scratch": start(None), "from a classifier": start(classifier), "from a classifier, last layer only": held})


def more_transfer() -> dict[str, Rows]:
    return table({"from scratch, twice the steps": start(None, 2 * STEPS), "from look-alikes": start(look_alikes)})


def augmentation() -> dict[str, Rows]:
    """On 32 scenes, so that there is something to overfit."""
    kinds = {
        "none": None,
        "mirror": training_transform(None, scale=None, normalise=False),
        "mirror, scale": training_transform(48, scale=(0.5, 2.0), normalise=False),
    }

    def make(kind: str, seed: int) -> ConfusionMatrix:
        return score(train(new_net(seed), training(seed, 32), seed, augment=kinds[kind]), validation(seed))

    return table({kind: lambda seed, kind=kind: make(kind, seed) for kind in kinds})


def crop() -> dict[str, Rows]:
    """Scenes of 96 pixels, whole or cut into nine tiles of 32: the same pixels a step, and the same batch for batch norm. What differs is
    what a filter meets at a tile's border. Tested on whole scenes."""

    def make(seed: int, size: int, rate: int) -> ConfusionMatrix:
        data, held_out = training(seed, 96, size=96), coarse(scenes(24, 10 * seed + 2, 96))
        return score(train(new_net(seed, rate=rate), data, seed, batch=4, tile=size), held_out)

    pairs = [(rate, size) for rate in (1, 6) for size in (32, 96)]
    return table({f"rate {rate}, crop {size}": lambda seed, size=size, rate=rate: make(seed, size, rate) for rate, size in pairs})


PARTS = {
    "schedule": schedule,
    "norm": norm,
    "balance": balance,
    "transfer": transfer,
    "crop": crop,
    "augmentation": augmentation,
    "more-norm": more_norm,
    "more-transfer": more_transfer,
}


def write(part: str, scored: dict[str, Rows]) -> None:
    """The rows of a part in the file, in place of those of the same names; "more-norm" belongs to "norm"."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    for what, rows in scored.items():
        name = part.removeprefix("more-") + ("" if what == "mean IU" else f", {what}")
        stored["tables"][name] = stored["tables"].get(name, {}) | rows
    FILE.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    for wanted in [argument for argument in sys.argv[1:] if argument != "--write"] or PARTS:
        print(f"== {wanted}", flush=True)
        result = PARTS[wanted]()
        if "--write" in sys.argv:
            write(wanted, result)
