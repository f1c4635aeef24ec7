"""Exercises of notebook 10: counting weights, paths and multiply-adds, rates of dilated ResNets, channels of DenseNets."""

from collections.abc import Sequence
from itertools import product

import torch

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole


def _multiply_adds(height: int, width: int, c_in: int, c_out: int, kernel: int, stride: int) -> int:
    return -(-height // stride) * -(-width // stride) * c_in * c_out * kernel**2


CONVOLUTIONS: list[Case] = [
    (1, 1, 1, 1, 1, 1),
    (2, 2, 1, 1, 3, 1),
    (3, 2, 2, 1, 1, 1),
    (2, 3, 1, 4, 3, 1),
    (4, 4, 1, 1, 1, 2),
    (5, 7, 2, 3, 3, 2),
    (224, 224, 3, 64, 7, 2),
]


def _drawn_convolution(generator: torch.Generator) -> Case:
    height, width, c_in, c_out = (whole(generator, 1, 30) for _ in range(4))
    return height, width, c_in, c_out, 2 * whole(generator, 0, 3) + 1, whole(generator, 1, 3)


def _rates(output_stride: int, convention: str) -> list[list[int]]:
    rates = [max(1, stride // output_stride) for stride in (4, 8, 16, 32)]
    before = [1, *rates[:-1]]
    return [[rate if convention == "stage" else old, rate] for old, rate in zip(before, rates, strict=True)]


def _undilated_first(output_stride: int, convention: str) -> list[list[int]]:
    rates = _rates(output_stride, convention)
    return rates if convention == "stage" else [[1, rate] for _, rate in rates]


DILATED: list[Case] = [*product((32, 16, 8, 4), ("exact", "stage"))]
"""All that there are, so none need be drawn."""


def _channels(start: int, k: int, counts: Sequence[int], theta: float) -> list[int]:
    behind = []
    for count in counts:
        behind.append(start + count * k)
        start = int(behind[-1] * theta)
    return behind


DENSE: list[Case] = [
    (4, 2, [3], 1.0),
    (4, 2, [3, 1], 1.0),
    (4, 2, [3, 2], 0.5),
    (5, 3, [2, 2, 1], 0.5),
    (64, 32, [6, 12, 24, 16], 0.5),
    (24, 12, [16, 16, 16], 0.5),
]


def _drawn_net(generator: torch.Generator) -> Case:
    counts = [whole(generator, 1, 9) for _ in range(whole(generator, 1, 4))]
    return whole(generator, 1, 40), whole(generator, 1, 16), counts, whole(generator, 1, 4) / 4


def _paths(n: int, deleted: int) -> list[float]:
    return [0.5**deleted, (n - deleted) / 2]


def _drawn_blocks(generator: torch.Generator) -> Case:
    n = whole(generator, 1, 30)
    return n, whole(generator, 0, n - 1)


BLOCKS: list[Case] = [(1, 0), (2, 0), (2, 1), (4, 1), (12, 1), (12, 3), (54, 10)]

EXERCISES = (
    Exercise(
        "10.1",
        reference=lambda: [36864, 69632, 21, 256, 6],
        otherwise="A convolution has c_in · c_out · k² weights; layer l of a dense block reads l maps; paths are chosen blocks: 4 over 2.",
        mistakes=(
            Mistake(lambda: [4096, 69632, 21, 256, 6], "Each pair of channels has nine taps: 64 · 64 · 9."),
            Mistake(lambda: [36864, 32768, 21, 256, 6], "Only the two 1 × 1 are counted: the 3 × 3 between them has 9 · 64² more."),
            Mistake(lambda: [36864, 69632, 15, 256, 6], "The first layer reads a map, too: 1 + 2 + … + 6, not up to 5."),
            Mistake(lambda: [36864, 69632, 21, 192, 6], "The 64 channels that came in are kept: add them to 6 · 32."),
            Mistake(lambda: [36864, 69632, 21, 256, 16], "16 is the number of all paths; those through exactly two blocks are 4 over 2."),
        ),
        hints=(
            (
                "(a), (b): section 5 says which weights a channel of the output has. (c), (d): section 2, dense blocks. "
                "(e): the numbers of paths in section 3."
            ),
            (
                "Weights are taps · channels in · channels out, layer by layer. For 5 dense layers (c) is 15; "
                "for 4 layers with k = 3 on 8 maps (d) is 20. For (e): in how many ways can two blocks be chosen?"
            ),
            (
                "(b) Three terms: a 1 × 1 has one tap, the layer in the middle nine. (c) L (L + 1) / 2. (d) What came in, plus k a layer. "
                "(e) A binomial coefficient: `math.comb` computes it."
            ),
        ),
    ),
    Exercise(
        "10.2",
        reference=_multiply_adds,
        cases=CONVOLUTIONS,
        draw=_drawn_convolution,
        otherwise="One multiply-add for each unit of the output, pair of channels and tap; a stride leaves every stride-th unit.",
        mistakes=(
            Mistake(
                lambda height, width, c_in, c_out, kernel, stride: 2 * height * width * c_in * c_out * kernel**2,
                "You count the product and the sum: two operations, but one multiply-add. And is it the output's size?",
            ),
            Mistake(
                lambda *case: 2 * _multiply_adds(*case),
                "You count the product and the sum: two operations, but one multiply-add.",
            ),
            Mistake(
                lambda height, width, c_in, c_out, kernel, stride: height * width * c_in * c_out * kernel**2,
                "That is the input's size. A filter with a stride is laid on every stride-th unit only.",
            ),
            Mistake(
                lambda height, width, c_in, c_out, kernel, stride: -(-height // stride) * -(-width // stride) * c_in * c_out * kernel,
                "The kernel is a square: kernel² taps.",
            ),
            Mistake(
                lambda height, width, c_in, c_out, kernel, stride: (height // stride) * (width // stride) * c_in * c_out * kernel**2,
                "5 units at stride 2 leave 3, not 2: with padding kernel // 2, round up.",
            ),
        ),
        hints=(
            "Eight is the product of two slips. Which argument is not used? And how many operations does a multiply-add count as here?",
            (
                "Section 5: h × w is the size of the output. "
                "With stride 2 and padding kernel // 2 a row of 9 units leaves 5: those at 0, 2, 4, 6, 8."
            ),
            (
                "Divide height and width by the stride, rounding up (`-(-9 // 2)` is 5), and drop what is too much in front. "
                "The rest of the line is right."
            ),
        ),
    ),
    Exercise(
        "10.3",
        reference=_rates,
        cases=DILATED,
        otherwise="The rate of a stage is its stride without surgery over the output stride, at least 1.",
        mistakes=(
            Mistake(
                lambda output_stride, convention: _rates(output_stride, "stage"), 'Under "exact", the first 3 × 3 keeps the rate before.'
            ),
            Mistake(
                lambda output_stride, convention: _rates(output_stride, "exact"), 'Under "stage", the first 3 × 3 has the stage\'s rate.'
            ),
            Mistake(_undilated_first, 'That is the convention "drn". Under "exact" the first 3 × 3 has the rate of the stage before.'),
            Mistake(
                lambda output_stride, convention: [[1, 1]] * 4,
                "Where a stride is gone, what follows is dilated by as much.",
            ),
        ),
        hints=(
            "See the table of section 7, and what surgery does: a stride that is gone comes back as a rate, in all layers behind it.",
            (
                "A stage's rate is how many times its own stride exceeds the output stride: layer4, of stride 32, "
                "has rate 2 at output stride 16. The convention decides about the first 3 × 3 alone."
            ),
            (
                "Make a list of the four rates, and a second that begins with 1 and lags a stage behind. "
                '`zip` the second with the first for "exact". What do you pair for "stage"?'
            ),
        ),
    ),
    Exercise(
        "10.4",
        reference=_channels,
        cases=DENSE,
        draw=_drawn_net,
        otherwise="A block adds k channels a layer to those that come in; the transition behind it keeps the share theta of all.",
        mistakes=(
            Mistake(
                lambda start, k, counts, theta: _channels(start, k, counts, 1.0),
                "Between blocks a transition keeps only the share theta.",
            ),
            Mistake(
                lambda start, k, counts, theta: [int(width * theta) for width in _channels(start, k, counts, theta)],
                "Those are the channels behind the transitions; asked for are those behind the blocks.",
            ),
            Mistake(
                lambda start, k, counts, theta: [count * k for count in counts],
                "What comes into a block is stacked with what it adds, and goes on.",
            ),
            Mistake(
                lambda start, k, counts, theta: [start + count * k for count in counts],
                "Each block begins with what the transition leaves of the block before, not with `start`.",
            ),
        ),
        hints=(
            "Section 2: what becomes of the maps that enter a dense block? And section 4: what does a transition keep?",
            (
                "Follow one number through the net, and note it behind each block, before the transition. "
                "From 10 with k = 4 and 5 layers: 30 behind the block, of which 15 go on for θ = ½."
            ),
            (
                "A loop over `counts`: add `count * k` to the running number, append it to a list, then shrink it with `int`. "
                "Shrinking it once more after the last block does no harm."
            ),
        ),
    ),
    Exercise(
        "10.5",
        reference=_paths,
        cases=BLOCKS,
        draw=_drawn_blocks,
        otherwise="Each deleted block takes away the half of the paths that went through it; the rest chooses among n - deleted blocks.",
        mistakes=(
            Mistake(
                lambda n, deleted: [1 - deleted / n, (n - deleted) / 2], "Every deleted block halves the number of paths: 2^(n - deleted)."
            ),
            Mistake(
                lambda n, deleted: [0.5**deleted, n / 2], "The paths that are left cannot go through the deleted blocks: they are shorter."
            ),
            Mistake(
                lambda n, deleted: [0.5**deleted, n - deleted],
                "That is the longest path. On average a path goes through half of the blocks.",
            ),
            Mistake(lambda n, deleted: [2 ** (n - deleted), (n - deleted) / 2], "That is how many are left: divide by 2^n."),
        ),
        hints=(
            "Section 3, Delete a block: which share of the paths is left without one block? And without a second one?",
            (
                "What is left are the paths of a net with fewer blocks. "
                "With 5 blocks, 2 deleted, these are the 8 paths of 3 blocks; their lengths are 0, 1, 1, 1, 2, 2, 2, 3."
            ),
            "The share is a power of ½: with which exponent? The paths of m blocks are m / 2 long on average: for which m?",
        ),
    ),
)
