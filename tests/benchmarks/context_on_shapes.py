"""A front-end with and without a context module on the context mode of `Shapes`, as in notebook 07, on five seeds.

    python tests/benchmarks/context_on_shapes.py [seeds]

Prints the IU of the two look-alikes on each seed (of weights, training scenes and validation scenes): the front-end alone, the same
with as many steps more, and with a context module started as the identity or plainly, trained jointly or on a front-end that is held.
"""

import copy
import sys

import torch
from torch import Tensor, nn

from edu_seg import backbones
from edu_seg.datasets import Shapes
from edu_seg.losses import CrossEntropy
from edu_seg.metrics import ConfusionMatrix
from edu_seg.models.dilation import ContextModule, DilationNet, FrontEnd

Scenes = tuple[Tensor, Tensor]
RADIUS = 18  # of the mist; the front-end sees 2 · 18 + 1 pixels


def scenes(number: int, seed: int) -> Scenes:
    images, labels = Shapes(number, size=96, seed=seed, context=True, context_radius=RADIUS).tensors()
    return 2 * images - 1, labels


def front_end() -> FrontEnd:
    trunk = backbones.build("vgg_strided", width=0.25, output_stride=8, padding="same").upto("pool3")
    assert trunk.fields["pool3"].size <= 2 * RADIUS + 1
    return FrontEnd(trunk, 3, "pool3")


def with_context(trained: DilationNet, *, plain: bool = False, held: bool = False) -> DilationNet:
    module = ContextModule(3, (1, 1, 2, 4, 1, 1), initialisation="plain" if plain else "identity", noise=0.0 if plain else 0.1)
    net = DilationNet(copy.deepcopy(trained.frontend), module)
    for parameter in net.frontend.parameters():
        parameter.requires_grad_(not held)
    return net


def train(net: DilationNet, data: Scenes, steps: int, seed: int) -> DilationNet:
    """As in the notebook; a front-end that is held keeps its batch statistics as well."""
    images, labels = data
    learned = [parameter for parameter in net.parameters() if parameter.requires_grad]
    loss, optimiser = CrossEntropy(torch.tensor([1.0, 10.0, 10.0])), torch.optim.AdamW(learned, 1e-2, weight_decay=1e-2)
    schedule, draw = torch.optim.lr_scheduler.PolynomialLR(optimiser, steps, 0.9), torch.Generator().manual_seed(seed)
    net.train()
    net.frontend.train(any(parameter.requires_grad for parameter in net.frontend.parameters()))
    for _ in range(steps):
        batch = torch.randperm(len(images), generator=draw)[:8]
        optimiser.zero_grad()
        loss(net(images[batch]), labels[batch]).backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimiser.step()
        schedule.step()
    return net.eval()


def look_alikes(net: DilationNet, data: Scenes) -> tuple[float, float]:
    matrix = ConfusionMatrix(3)
    with torch.inference_mode():
        matrix.update(net(data[0]).argmax(1), data[1])
    parasol, buoy = matrix.iou[1:].tolist()
    return parasol, buoy


def one_seed(seed: int) -> dict[str, tuple[float, float]]:
    data, held_out = scenes(160, 10 * seed + 1), scenes(32, 10 * seed + 2)
    torch.manual_seed(seed)
    alone = train(DilationNet(front_end()), data, 40, seed)
    found = {"front-end, 40 steps": look_alikes(alone, held_out)}
    for name, options in {
        "identity, jointly": {},
        "plain, jointly": {"plain": True},
        "identity, held": {"held": True},
        "plain, held": {"plain": True, "held": True},
    }.items():
        torch.manual_seed(seed)
        found[name] = look_alikes(train(with_context(alone, **options), data, 100, seed + 1), held_out)
    found["front-end, + 100"] = look_alikes(train(alone, data, 100, seed + 1), held_out)
    return found


def main(seeds: int) -> None:
    rows = []
    for seed in range(seeds):
        rows.append(one_seed(seed))
        if seed == 0:
            print("seed  " + "  ".join(f"{name:19}" for name in rows[0]))
        print(f"{seed:4}  " + "  ".join(f"{parasol:.2f} {buoy:.2f}{'':10}" for parasol, buoy in rows[-1].values()), flush=True)
    for name in rows[0]:
        both = sum(min(row[name]) > 0.55 for row in rows)
        print(f"{name:20} both above 0.55 on {both} of {len(rows)} seeds; mean {sum(sum(row[name]) for row in rows) / 2 / len(rows):.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
