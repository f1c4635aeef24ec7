"""Random networks: the arithmetic and the gradient agree, unit by unit and pixel by pixel.

Two thousand graphs that fit together, drawn from seeds: a failure prints its seed. Measured separately from the package's own
`measured_receptive_field` only in that one forward serves several units.
"""

import random

import pytest
import torch
from random_graphs import RandomGraph
from torch import Tensor, nn
from torch.func import functional_call

from edu_seg.receptive_field import ReceptiveField, positive_gradient, receptive_fields
from edu_seg.receptive_field.fields import box
from edu_seg.receptive_field.measured import Positive, at_unit, positive_state

pytestmark = pytest.mark.usefixtures("one_thread")

PORTION, PORTIONS = 174, 14


def gradients(model: nn.Module, size: tuple[int, int], units: list[tuple[int, int]]) -> list[Tensor]:
    """For each unit the pixels' gradients, all from one forward of the positive network."""
    image = torch.ones(1, 1, *size, dtype=torch.float64, requires_grad=True)
    with Positive():
        output = functional_call(model, positive_state(model), (image,))
    found = []
    for unit in units:
        target = at_unit(output, unit, 2)
        (gradient,) = torch.autograd.grad(target, image, retain_graph=True, allow_unused=True) if target.requires_grad else (None,)
        found.append(torch.zeros(size) if gradient is None else gradient[0, 0])
    return found


def some_units(field: ReceptiveField, draw: random.Random) -> list[tuple[int, int]]:
    """Corners, edges and whatever comes."""
    height, width = field.map_size
    return [(draw.choice([0, height - 1, draw.randrange(height)]), draw.choice([0, width - 1, draw.randrange(width)])) for _ in range(3)]


def possible(seed: int) -> tuple[nn.Module, tuple[int, int]] | None:
    """The graph of a seed and an image's size, or None where they do not go together."""
    draw = random.Random(-seed)
    size = (draw.randint(4, 16), draw.randint(4, 16))
    torch.manual_seed(seed)
    try:
        model = RandomGraph(seed).eval()
        model(torch.zeros(1, 1, *size))
    except (ValueError, RuntimeError):  # torch's own, or `Impossible`
        return None
    return model, size


@pytest.mark.parametrize("portion", range(PORTIONS))
def test_arithmetic_and_gradient_agree_on_random_graphs(portion: int) -> None:
    counted = 0
    for seed in range(portion * PORTION, (portion + 1) * PORTION):
        drawn = possible(seed)
        if drawn is None:
            continue
        model, size = drawn
        field = receptive_fields(model, size, channels=1)["output"]
        units = some_units(field, random.Random(seed))
        for unit, gradient in zip(units, gradients(model, size, units), strict=True):
            reached = (gradient > 0).numpy()
            assert field.inside(*unit) == box(reached), f"seed {seed}, unit {unit}: {model.steps}"
            assert ((field.paths(*unit) > 0) == reached).all(), f"seed {seed}, unit {unit}: {model.steps}"
        counted += 1
    assert counted >= 2000 / PORTIONS


def test_one_forward_for_several_units_is_what_the_package_measures() -> None:
    drawn = [pair for pair in map(possible, range(30)) if pair is not None]
    for model, size in drawn:
        unit = (0, 0)
        (together,) = gradients(model, size, [unit])
        assert torch.equal(together.double(), positive_gradient(model, size, unit, channels=1))
    assert len(drawn) > 20
