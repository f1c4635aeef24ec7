"""Exercises of notebook 03: shift-and-stitch and filter rarefaction."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes
from edu_seg.surgery import stitched, zero_inserted

Layer = tuple[int, int]
"""(kernel_size, stride) of a convolution or a pool"""


def _rarefied(kernel: Tensor, down: int, across: int) -> Tensor:
    """One axis after the other."""
    return zero_inserted(zero_inserted(kernel.T[:, None, :, None], down).transpose(0, 2), across)[:, 0, :, 0]


def _framed(kernel: Tensor, down: int, across: int) -> Tensor:
    """The mistake of cells, each with its tap in one corner: zeros behind the last tap as well."""
    height, width = kernel.shape
    cells = kernel.new_zeros(height * down, width * across)
    cells[::down, ::across] = kernel
    return cells


def _rarefied_from_one(kernel: Tensor, down: int, across: int) -> Tensor:
    """The mistake of counting from 1: the taps lie where the step divides i + 1."""
    height, width = kernel.shape
    cells = kernel.new_zeros(height * down, width * across)
    cells[down - 1 :: down, across - 1 :: across] = kernel
    return cells


def _kernels() -> list[Case]:
    return [
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 2, 2),
        (torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 2, 3),
        (torch.tensor([[1.0, 2.0, 3.0]]), 1, 3),
        (torch.arange(1.0, 10.0).view(3, 3), 1, 1),
        (torch.arange(1.0, 10.0).view(3, 3), 4, 2),
        (torch.randn(5, 2, generator=torch.Generator().manual_seed(0)), 2, 1),
    ]


def _drawn_kernel(generator: torch.Generator) -> Case:
    kernel = wholes(generator, 1, 9, whole(generator, 1, 4), whole(generator, 1, 4))
    return kernel, whole(generator, 1, 4), whole(generator, 1, 4)


def _stitch(passes: Tensor, f: int) -> Tensor:
    return stitched(passes[:, None, None], f)[0, 0]


def _side_by_side(passes: Tensor, f: int) -> Tensor:
    """The mistake of tiling: pass (dy, dx) as a block in row dy and column dx."""
    return torch.cat([torch.cat(list(row), 1) for row in passes.unflatten(0, (f, f))], 0)


def _passes() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]), 2),
        (torch.arange(8.0).view(4, 2, 1), 2),
        (torch.arange(36.0).view(9, 2, 2), 3),
        (torch.randn(16, 3, 5, generator=generator), 4),
    ]


def _drawn_passes(generator: torch.Generator) -> Case:
    f = whole(generator, 2, 4)
    return wholes(generator, 0, 99, f * f, whole(generator, 1, 4), whole(generator, 1, 4)), f


def _rates(layers: Sequence[Layer]) -> list[int]:
    """Each layer's dilation once all strides are 1: the product of the strides before it."""
    return [math.prod(s for _, s in layers[:position]) for position in range(len(layers))]


def _rates_with_own_stride(layers: Sequence[Layer]) -> list[int]:
    return [math.prod(s for _, s in layers[: position + 1]) for position in range(len(layers))]


def _rates_of_last_stride(layers: Sequence[Layer]) -> list[int]:
    """The mistake of looking back by one layer only."""
    return [1, *(s for _, s in layers[:-1])]


def _rates_of_last_reduction(layers: Sequence[Layer]) -> list[int]:
    """The mistake of not multiplying: the last stride above 1, however many came before."""
    rates, last = [], 1
    for _, s in layers:
        rates.append(last)
        last = s if s > 1 else last
    return rates


def _rates_of_convolutions(layers: Sequence[Layer]) -> list[int]:
    """The mistake of leaving pools (here: 2 × 2) as they are."""
    return [1 if k == 2 else rate for (k, _), rate in zip(layers, _rates(layers), strict=True)]


STACKS: list[Case] = [
    ([(3, 1), (3, 1)],),
    ([(2, 2), (3, 1)],),
    ([(3, 1), (2, 2), (3, 1), (3, 1)],),
    ([(2, 2), (3, 1), (2, 2), (3, 1)],),
    ([(7, 2), (3, 2), (3, 1), (3, 2), (3, 1), (2, 2), (7, 1)],),
]


def _drawn_stack(generator: torch.Generator) -> Case:
    return ([(whole(generator, 2, 5), whole(generator, 1, 3)) for _ in range(whole(generator, 2, 7))],)


def _saving(costs: Sequence[float], strides: Sequence[int]) -> float:
    """Multiply-adds of f² passes over those of one à trous pass."""
    passes = strides[-1] ** 2 * sum(costs)
    return passes / sum(cost * stride**2 for cost, stride in zip(costs, strides, strict=True))


def _saving_along_one_axis(costs: Sequence[float], strides: Sequence[int]) -> float:
    return strides[-1] * sum(costs) / sum(cost * stride for cost, stride in zip(costs, strides, strict=True))


def _drawn_costs(generator: torch.Generator) -> Case:
    exponents = sorted(whole(generator, 0, 4) for _ in range(whole(generator, 2, 6)))
    return [float(whole(generator, 1, 50)) for _ in exponents], [2**exponent for exponent in exponents]


COSTS: list[Case] = [
    ([6.0], [2]),
    ([3.0, 1.0], [1, 2]),
    ([5.0, 5.0, 5.0], [1, 2, 4]),
    ([1.9, 2.8, 4.6, 4.6, 1.4, 0.1], [1, 2, 4, 8, 16, 32]),
]

EXERCISES = (
    Exercise(
        "03.1",
        reference=lambda: [64, 16, 57, 44],
        otherwise="Passes: one for each shift along each axis. Rows: a dense map has a unit for every place where the field fits.",
        mistakes=(
            Mistake(lambda: [8, 4, 57, 44], "f shifts fill one row. The map has two axes, and every pair of shifts is a pass."),
            Mistake(
                lambda: [64, 4, 57, 44],
                "From stride 8 to 2 the map becomes 4 times as dense along each of its two axes.",
            ),
            Mistake(
                lambda: [64, 16, 64, 44],
                "Pass 0 has 8 rows, but the shifted images are shorter and most passes have 7: 8 · 8 places are not all filled.",
            ),
            Mistake(lambda: [64, 16, 100, 44], "Without padding, the field has to fit: there is no unit for the last pixels."),
            Mistake(lambda: [64, 16, 56, 44], "Both ends count: between the first and the last place of the field lie 56 steps."),
            Mistake(
                lambda: [64, 16, 57, 51],
                "Each pass is the same net on the same pixels: no unit sees more than before, there are only more units.",
            ),
        ),
        hints=(
            "Count the shifts along one axis, then remember that there are two. For the rows, count places of the field on the image.",
            "The passes depend on how many times as dense the map becomes along each axis. For (d), ask what a pass changes in the net.",
            "Passes: old stride over new stride, squared. Rows: places of a window of R pixels; and every pass runs the same net.",
        ),
    ),
    Exercise(
        "03.2",
        reference=_rarefied,
        cases=_kernels(),
        draw=_drawn_kernel,
        otherwise="Entry (i, j) is kernel[i / down, j / across] where both divisions come out even, counted from 0, and 0 elsewhere.",
        mistakes=(
            Mistake(
                lambda kernel, down, across: _rarefied(kernel, down + 1, across + 1),
                "s - 1 zeros between neighbouring taps, not s: then they lie s apart.",
            ),
            Mistake(_framed, "No zeros behind the last tap: k taps that lie s apart span (k - 1) · s + 1 units."),
            Mistake(_rarefied_from_one, "Counted from 0, the first tap stays first; yours begins with zeros, as if i and j began at 1."),
            Mistake(
                lambda kernel, down, across: kernel.repeat_interleave(down, 0).repeat_interleave(across, 1),
                "Between the taps there are zeros: repeated, each tap would read s × s units in place of one.",
            ),
            Mistake(
                lambda kernel, down, across: _rarefied(kernel, across, down),
                "The two steps are exchanged: `down` parts the rows, `across` the columns.",
            ),
            Mistake(
                lambda kernel, down, across: _rarefied(kernel, down, down), "Both axes have the step of the rows: `across` is not used."
            ),
        ),
        hints=(
            "The new filter holds the old taps and zeros. For its size, count the steps between the taps, rows and columns apart.",
            "Between k taps lie k - 1 steps, so the new side is (k - 1) · step + 1, for each axis by itself. Then put the taps in.",
            (
                "A slice with a step, `[::3]`, names every third place from 0 on. One for the rows and one for the columns name the "
                "taps' places."
            ),
        ),
    ),
    Exercise(
        "03.3",
        reference=_stitch,
        cases=_passes(),
        draw=_drawn_passes,
        otherwise="Unit (i, j) of pass number dy · f + dx belongs at row i · f + dy and column j · f + dx.",
        mistakes=(
            Mistake(
                lambda passes, f: _stitch(passes.unflatten(0, (f, f)).transpose(0, 1).flatten(0, 1), f),
                "Rows and columns of the shifts are exchanged: the passes are numbered dy · f + dx, so dx runs fastest.",
            ),
            Mistake(_side_by_side, "The passes lie side by side like tiles; interlaced, neighbours come from different passes."),
            Mistake(
                lambda passes, f: passes.reshape(f * passes.shape[1], f * passes.shape[2]),
                "A bare reshape keeps the order in memory: the axes (dy, dx, i, j) must first become (i, dy, j, dx).",
            ),
            Mistake(
                lambda passes, f: passes[0].repeat_interleave(f, 0).repeat_interleave(f, 1),
                "That is one pass enlarged: every unit f × f times. The other passes are not used.",
            ),
        ),
        hints=(
            "Unit (0, 0) of pass 1: where does it lie in the dense map, beside that of pass 0 or far away?",
            "Unit (i, j) of pass (dy, dx) belongs in row f · i + dy and column f · j + dx. So a pass fills every f-th row and column.",
            (
                "Either write each pass into slices with step f of an empty map, as in section 3; or split the first axis into (dy, "
                "dx), bring the axes into the order (i, dy, j, dx), and merge them in pairs."
            ),
        ),
    ),
    Exercise(
        "03.4",
        reference=_rates,
        cases=STACKS,
        draw=_drawn_stack,
        otherwise="A layer's rate is the product of all strides that were removed before it.",
        mistakes=(
            Mistake(
                _rates_with_own_stride,
                "A layer's own stride spreads the layers after it, not its own taps: begin with rate 1, multiply afterwards.",
            ),
            Mistake(
                _rates_of_convolutions, "Pools have windows too: after a removed stride, neighbours in a pool's window lie apart as well."
            ),
            Mistake(
                _rates_of_last_stride,
                "A removed stride spreads all layers behind it, not the next one alone: the map stays denser to the end.",
            ),
            Mistake(_rates_of_last_reduction, "Removed strides multiply: after two of 2, the units that belong together lie 4 apart."),
            Mistake(lambda layers: [s for _, s in layers], "These are the strides. A rate collects those of all layers before."),
        ),
        hints=(
            "Which strides move apart what a layer reads: those before it, its own, or those after it? See the table in section 5.",
            "Walk upwards with one number, the product of the strides met so far. Pools are no exception.",
            "Two steps a layer: note the product, multiply it by the stride. Which comes first, and what is it before the first layer?",
        ),
    ),
    Exercise(
        "03.5",
        reference=_saving,
        cases=COSTS,
        draw=_drawn_costs,
        otherwise="f² passes cost f² · (sum of costs); à trous, a layer at stride S has S² times as many units as before.",
        mistakes=(
            Mistake(_saving_along_one_axis, "A map has two axes: S times as dense along each means S² times as many units."),
            Mistake(lambda costs, strides: 1 / _saving(costs, strides), "The other way round: by what factor is one à trous pass cheaper?"),
            Mistake(
                lambda costs, strides: float(strides[-1] ** 2),
                "f² would be right if à trous cost no more than one coarse pass; but its maps are dense, so late layers cost more.",
            ),
            Mistake(
                lambda costs, strides: 1.0,
                "Only the layers at the full stride cost the same both ways; the f² passes repeat the early ones for nothing.",
            ),
        ),
        hints=(
            "Write two sums over the layers, one for each way. Section 9 says what a layer costs in each.",
            "In f² passes every layer runs f² times. À trous runs each once, on a map that is denser along both axes, by its stride.",
            "Above: f² times the sum of the costs. Below: the sum of each cost times the number of units that are now where one was.",
        ),
    ),
)
