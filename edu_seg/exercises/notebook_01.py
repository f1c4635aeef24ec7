"""Exercises of notebook 01: receptive fields."""

from collections.abc import Sequence

import torch

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole
from edu_seg.geometry import Field

Layer = tuple[int, int, int, int]
"""(kernel_size, stride, padding, dilation)"""


def _field(layers: Sequence[Layer]) -> list[int]:
    field = Field()
    for layer in layers:
        field = field.then(*layer)
    return [field.size, field.stride, field.padding]


def _field_by_own_stride(layers: Sequence[Layer]) -> list[int]:
    """A planted fault: a layer's own stride already widens that layer."""
    size, stride, start = 1, 1, 0
    for k, s, p, d in layers:
        stride *= s
        size, start = size + d * (k - 1) * stride, start + p * stride
    return [size, stride, start]


def _field_with_plain_padding(layers: Sequence[Layer]) -> list[int]:
    """The mistake of adding paddings up as if all were of pixels."""
    size, stride, _ = _field(layers)
    return [size, stride, sum(p for _, _, p, _ in layers)]


def _field_with_late_padding(layers: Sequence[Layer]) -> list[int]:
    """Half mended: the padding is still counted in the stride that the layer itself leads to."""
    size, stride, _ = _field(layers)
    return [size, stride, _field_by_own_stride(layers)[2]]


def _field_by_all_taps(layers: Sequence[Layer]) -> list[int]:
    """The mistake of k steps between k taps."""
    _, stride, padding = _field(layers)
    sizes = (d * k * _field(layers[:before])[1] for before, (k, _, _, d) in enumerate(layers))
    return [1 + sum(sizes), stride, padding]


def _doubling(layers: Sequence[Layer]) -> list[int]:
    size, stride, padding = 1, 1, 0
    for k, s, p, d in layers:
        size, stride, padding = size * s if s > 1 else size + d * (k - 1), stride * s, padding + p * stride
    return [size, stride, padding]


STACKS: list[Case] = [
    ([(3, 1, 1, 1), (3, 1, 1, 1)],),
    ([(3, 1, 1, 2), (3, 1, 0, 1)],),
    ([(2, 2, 0, 1), (3, 1, 1, 1)],),
    ([(7, 2, 3, 1), (3, 2, 1, 1), (3, 1, 2, 2)],),
    ([(11, 4, 2, 1), (3, 2, 0, 1), (5, 1, 2, 1), (3, 2, 0, 1), (3, 1, 12, 12)],),
]


def _drawn_stack(generator: torch.Generator) -> Case:
    def layer() -> Layer:
        return (whole(generator, 2, 5), whole(generator, 1, 2), whole(generator, 0, 3), whole(generator, 1, 2))

    return ([layer() for _ in range(whole(generator, 1, 4))],)


def _layer(size: int, stride: int, wanted_size: int, wanted_stride: int) -> list[int]:
    """(k, s, d) of the one layer that turns (size, stride) into the wanted ones: k of 3, 5, 7, the dilation as small as it can be."""
    return _solved((wanted_size - size) // stride, wanted_stride // stride)


def _solved(reach: int, layer_stride: int, least: int = 1) -> list[int]:
    """[k, s, d] with (k − 1)·d = reach and the largest k that allows it (for `least` = 0: k·d = reach); d = 0 where there is none."""
    for k in (7, 5, 3):
        if reach > 0 and reach % (k - least) == 0:
            return [k, layer_stride, reach // (k - least)]
    return [3, layer_stride, 0]


def _layer_of_threes(size: int, stride: int, wanted_size: int, wanted_stride: int) -> list[int]:
    return [3, wanted_stride // stride, (wanted_size - size) // (2 * stride)]


def _layer_with_wanted_stride(size: int, stride: int, wanted_size: int, wanted_stride: int) -> list[int]:
    """The mistake of giving the layer the stride that is wanted in the end."""
    k, _, d = _layer(size, stride, wanted_size, wanted_stride)
    return [k, wanted_stride, d]


WISHES: list[Case] = [(1, 1, 7, 1), (1, 1, 9, 1), (1, 1, 11, 1), (4, 2, 12, 2), (7, 4, 55, 8), (11, 4, 91, 4), (16, 4, 64, 16)]
WISHES.append((212, 32, 404, 32))


def _drawn_wish(generator: torch.Generator) -> Case:
    size, stride = whole(generator, 1, 90), whole(generator, 1, 12)
    return size, stride, size + 2 * stride * whole(generator, 1, 12), stride * whole(generator, 1, 4)


def _dilations(layers: int) -> list[int]:
    """Each offset is a sum of digits −1, 0, 1 times powers of three, in one way alone."""
    return [3**i for i in range(layers)]


EXERCISES = (
    Exercise(
        "01.1",
        reference=lambda: [[23, 4], [14, 2], [23, 8]],
        otherwise="Go layer by layer: size + (k - 1) · stride with the stride reached before the layer, then stride · s.",
        mistakes=(
            Mistake(
                lambda: [[29, 4], [15, 2], [37, 8]],
                "The stride is multiplied too early: a layer's own stride spreads the taps of later layers, not its own.",
            ),
            Mistake(
                lambda: [[23, 4], [14, 2], [31, 8]],
                "Two right; in the third, the last layer's own stride does not spread its own taps: they lie as far apart as before.",
            ),
            Mistake(
                lambda: [[23, 4], [14, 2], [46, 8]],
                "Two right; in the third, the last stride takes every second unit, and what each of them sees stays as it was.",
            ),
            Mistake(
                lambda: [[23, 4], [23, 2], [23, 8]],
                "Without the first layer's stride, the taps of all later layers lie half as far apart: the size shrinks with it.",
            ),
            Mistake(
                lambda: [[10, 4], [10, 2], [10, 8]],
                "Later layers' taps lie a stride of pixels apart: (k - 1) counts units, so multiply it by the stride.",
            ),
            Mistake(
                lambda: [[4, 23], [2, 14], [8, 23]],
                "The right numbers in another order: in each pair the size comes first, then the stride.",
            ),
            Mistake(
                lambda: [[14, 4], [14, 2], [14, 8]],
                "That is 'double at each pool': the pool doubles the stride; to the size it adds one step of the stride before it.",
            ),
        ),
        hints=(
            "Carry two numbers from layer to layer, size R and stride S, both 1 at the image. A pool counts as a convolution does.",
            "A layer adds to R with the stride reached before it. Only then is S multiplied by the layer's own stride.",
            "R ← R + (k - 1) · S, then S ← S · s. Write a table with a line for each of the four layers, once for each of the three nets.",
        ),
    ),
    Exercise(
        "01.2",
        reference=_layer,
        cases=WISHES,
        draw=_drawn_wish,
        otherwise="(k - 1) · d · stride fills the gap between `size` and `wanted_size`: take the largest k of 3, 5, 7 with a whole d.",
        mistakes=(
            Mistake(_layer_of_threes, "The size is right, but a larger kernel needs less dilation: try 7 first, then 5, then 3."),
            Mistake(
                lambda size, stride, wanted_size, wanted_stride: _solved(wanted_size - size, wanted_stride // stride),
                "The layer's taps lie `stride` pixels apart, not one: divide the gap by the stride before you look for k and d.",
            ),
            Mistake(
                lambda size, stride, wanted_size, wanted_stride: _solved((wanted_size - size) // stride, wanted_stride // stride, 0),
                "Between the first and the last of k taps lie k - 1 steps, not k.",
            ),
            Mistake(
                lambda size, stride, wanted_size, wanted_stride: _solved((wanted_size - size) // wanted_stride, wanted_stride // stride),
                "The layer's own stride does not spread its own taps: divide the gap by the stride before it, not by the wanted one.",
            ),
            Mistake(
                lambda *case: [_layer(*case)[place] for place in (0, 2, 1)],
                "The right numbers in another order: return the kernel size, then the stride, then the dilation.",
            ),
            Mistake(_layer_with_wanted_stride, "Strides multiply: the layer's own is wanted_stride / stride."),
        ),
        hints=(
            "Take the stride first: it follows from the two strides alone. The size is a matter of k and d.",
            "The layer adds (k - 1) · d steps to the size. How many pixels is one step, and how many steps are missing?",
            "One step is `stride` pixels, so you know (k - 1) · d. For which of the kernels, the largest first, is d a whole number?",
        ),
    ),
    Exercise(
        "01.3",
        reference=_field,
        cases=STACKS,
        draw=_drawn_stack,
        otherwise="For each layer in turn: size + d · (k - 1) · stride, padding + p · stride, and only then stride · s.",
        mistakes=(
            Mistake(
                lambda layers: [*_field_by_own_stride(layers)[:2], sum(p for _, _, p, _ in layers)],
                "That is the colleague's code as it stands. It has two faults: in the order of two lines, and in the unit of the padding.",
            ),
            Mistake(
                _field_by_own_stride,
                "The stride is multiplied too early: a layer's taps lie as far apart as its input's units, so use the stride before it.",
            ),
            Mistake(
                lambda layers: _field([(k, s, p, 1) for k, s, p, _ in layers]),
                "Dilation is left out: k taps that lie d apart span d · (k - 1) + 1 units.",
            ),
            Mistake(
                _field_with_plain_padding,
                "Padding is counted in units of the map that is padded, and each is a stride of pixels away from the next.",
            ),
            Mistake(
                _field_with_late_padding,
                "Half done: the size is right, but padding too must be counted before the layer's own stride is multiplied in.",
            ),
            Mistake(_field_by_all_taps, "Between the first and the last of k taps lie k - 1 steps, not k."),
            Mistake(
                lambda layers: [_field(layers)[0] + 1, *_field(layers)[1:]],
                "One too many: a pixel of the image sees one pixel, so start at size 1, and let only the layers add to it.",
            ),
            Mistake(
                lambda layers: [_field(layers)[0] - 1, *_field(layers)[1:]],
                "One too few: before the first layer, a pixel of the image sees itself, so `size` starts at 1, not at 0.",
            ),
            Mistake(
                _doubling, "That is 'double at each pool': the stride doubles, and the size grows by (k - 1) · stride as in any layer."
            ),
        ),
        hints=(
            "Hold the three lines against the three rules of section 3, and look at their order too.",
            "There are two faults. In which units do the layer's taps and its padding count, and how far apart do those lie in the image?",
            "Size and padding count in steps of the stride before the layer. One line lacks a factor, and one has to go to the end.",
        ),
    ),
    Exercise(
        "01.4",
        reference=_dilations,
        cases=[(layers,) for layers in (1, 2, 3, 4)],
        draw=lambda generator: (whole(generator, 5, 6),),
        otherwise="All sums of -d, 0 or d, one a layer: is a place missing? A dilation is too large. Does one come twice? Too small.",
        mistakes=(
            Mistake(
                lambda layers: [2**i for i in range(layers)],
                "No hole, but some pixels are reached in several ways: spend the paths on new pixels, and you see more.",
            ),
            Mistake(lambda layers: [2] * layers, "All sums of even numbers are even: every second pixel is never read."),
            Mistake(lambda layers: [1] * layers, "No hole, but the smallest field of all: each layer adds one pixel on either side."),
            Mistake(
                lambda layers: [4**i for i in range(layers)],
                "There are holes: after a first layer that reaches 1, one at 4 reaches 3, 4 and 5, and nothing reaches 2.",
            ),
            Mistake(lambda layers: [3**i for i in reversed(range(layers))], "The right ones: write them from small to large."),
        ),
        hints=(
            "Section 7 says exactly when a stack has no hole. What is the largest dilation that it allows the next layer?",
            "From small to large: keep the width w that is filled so far, at first one pixel, and give each layer all that is allowed.",
            (
                "The largest d allowed is w, and w then grows by 2 · d. Do it on paper for three layers: how does d change from one to "
                "the next?"
            ),
        ),
    ),
    Exercise(
        "01.5",
        reference=lambda: [843, 843, 971, 1027],
        otherwise="A layer adds (k - 1) times the stride before it, a pool like a convolution; its own stride adds nothing to it.",
        mistakes=(
            Mistake(
                lambda: [719, 719, 971, 1027],
                "(a) The pool's five taps are 4 steps of the stride, 32 pixels each: 715 + 4 · 32, not 715 + 4.",
            ),
            Mistake(
                lambda: [875, 875, 971, 1027],
                "(a) Between five taps lie 4 steps of 32 pixels, not 5.",
            ),
            Mistake(
                lambda: [1035, 1035, 971, 1027],
                "(a) 907 is what table 1 prints, with the classifier's own pool. The net that is meant has none: begin with 715.",
            ),
            Mistake(
                lambda: [843, 971, 971, 1027],
                "(b) A layer's own stride moves its units apart; each of them sees what it saw. Only later layers get wider.",
            ),
            Mistake(
                lambda: [843, 843, 699, 755],
                "(c) 17 blocks more, each with a 3 × 3 of two steps: 2 · 16 pixels a block, not 16.",
            ),
            Mistake(
                lambda: [843, 843, 971, 971],
                "(d) The 3 × 3 behind the stride sees taps twice as far apart. The weights are the same, the field is not.",
            ),
            Mistake(
                lambda: [843, 843, 971, 915],
                "(d) The other way round: with the stride before it, the 3 × 3 has the larger step, and the field grows.",
            ),
            Mistake(
                lambda: [843, 843, 971, 999],
                "(d) A 3 × 3 has two steps, one to each side: each of the three grows by 2 · (new stride - old stride).",
            ),
            Mistake(
                lambda: [843, 843, 1027, 971],
                "(c) and (d) are exchanged: (c) has the stride in the 3 × 3, (d) before it.",
            ),
        ),
        hints=(
            "(a): section 4; which number is the net's without a pool? (d): section 6; in which three layers does the stride move?",
            (
                "All four are one rule: (k - 1) times the stride before the layer is added. A stride that moves before a 3 × 3 doubles "
                "what this layer adds, and changes nothing else."
            ),
            (
                "(a) Five taps at stride 32. (c) Each further block has one 3 × 3 at stride 16. (d) The 3 × 3 of layer2, layer3 and layer4 "
                "had the strides 4, 8 and 16 before it, and gets 8, 16 and 32."
            ),
        ),
    ),
)
