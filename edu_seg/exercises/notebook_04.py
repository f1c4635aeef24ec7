"""Exercises of notebook 04: transposed convolution."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes
from edu_seg.upsampling import bilinear_kernel, upsample_bilinear


def _output_padding(size: int, kernel_size: int, stride: int, padding: int, dilation: int) -> int:
    """The units that the convolution leaves unused: what has to be added on the way back."""
    return (size + 2 * padding - dilation * (kernel_size - 1) - 1) % stride


def _drawn_layer(generator: torch.Generator) -> Case:
    """(size, kernel_size, stride, padding, dilation), with room for one window."""
    kernel, stride, dilation = whole(generator, 1, 5), whole(generator, 2, 6), whole(generator, 1, 3)
    padding = whole(generator, 0, kernel // 2)
    return dilation * (kernel - 1) + 1 + whole(generator, 0, 20), kernel, stride, padding, dilation


def _transposed(y: Tensor, w: Tensor, stride: int) -> Tensor:
    return F.conv_transpose1d(y[None, None], w[None, None], stride=stride)[0, 0]


def _overwritten(y: Tensor, w: Tensor, stride: int) -> Tensor:
    """The mistake of putting the kernels down one over the other."""
    made = torch.zeros(len(_transposed(y, w, stride)), dtype=y.dtype)
    for i, value in enumerate(y):
        made[i * stride : i * stride + len(w)] = value * w
    return made


def _averaged(y: Tensor, w: Tensor, stride: int) -> Tensor:
    """The mistake of dividing by the number of kernels that lie over an output."""
    return _transposed(y, w, stride) / _transposed(torch.ones_like(y), torch.ones_like(w), stride).clamp(min=1)


def _signals() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    cases: list[Case] = [(torch.tensor([2.0]), torch.tensor([1.0, 2.0, 3.0]), 1)]
    cases += [(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 2.0, 3.0]), stride) for stride in (1, 2, 3)]
    for n, k, stride in ((3, 2, 3), (5, 4, 2), (9, 7, 3)):
        cases.append((torch.randn(n, generator=generator), torch.randn(k, generator=generator), stride))
    return cases


def _drawn_signal(generator: torch.Generator) -> Case:
    stride = whole(generator, 1, 4)
    return wholes(generator, -9, 9, whole(generator, 1, 6)), wholes(generator, -9, 9, whole(generator, 1, 5)), stride


def _upsampled(scores: Tensor, factor: int) -> Tensor:
    return upsample_bilinear(scores, factor, "replicate")


def _colleague(scores: Tensor, factor: int) -> Tensor:
    """The code that the exercise gives to be mended."""
    kernel = bilinear_kernel(2 * factor)[None, None]
    return F.conv_transpose2d(scores, kernel, stride=factor, padding=factor // 2)


def _even_kernels_alone(scores: Tensor, factor: int) -> Tensor:
    """The border mended, and the kernel of 2f taps kept for odd factors, where it cannot be centred."""
    return _colleague(F.pad(scores, (1, 1, 1, 1), mode="replicate"), factor)[..., factor:-factor, factor:-factor]


def _score_maps() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    cases: list[Case] = [(torch.ones(1, 1, 2, 2), 2), (torch.arange(4.0).reshape(1, 1, 2, 2), 2), (torch.ones(1, 1, 2, 2), 3)]
    return cases + [(torch.randn(1, 1, h, w, generator=generator), factor) for h, w, factor in ((2, 3, 3), (4, 3, 4), (3, 5, 5))]


def _drawn_map(generator: torch.Generator) -> Case:
    height, width = whole(generator, 1, 5), whole(generator, 1, 5)
    return wholes(generator, -9, 9, 1, 1, height, width), whole(generator, 2, 6)


def _composite(kernels: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """One kernel for all layers, from the lowest on: each is laid down at steps of all strides below it."""
    made, stride = kernels[0], strides[0]
    for kernel, own in zip(kernels[1:], strides[1:], strict=True):
        made, stride = _transposed(kernel, made, stride), stride * own
    return made


def _spread_by_the_layer_below(kernels: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """The mistake of looking back by one layer only."""
    made = kernels[0]
    for kernel, below in zip(kernels[1:], strides, strict=False):
        made = _transposed(kernel, made, below)
    return made


def _spread_by_own_stride(kernels: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """The mistake of a stride that already spreads its own layer's taps."""
    made, stride = kernels[0], strides[0]
    for kernel, own in zip(kernels[1:], strides[1:], strict=True):
        made, stride = _transposed(kernel, made, stride * own), stride * own
    return made


def _lower_spread(kernels: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
    """The mistake of spreading the taps of what is below."""
    made, stride = kernels[0], strides[0]
    for kernel, own in zip(kernels[1:], strides[1:], strict=True):
        made, stride = _transposed(made, kernel, stride), stride * own
    return made


def _stacks() -> list[Case]:
    """(kernels, strides), from the image upwards."""
    one, two, three = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0, 4.0]), torch.tensor([2.0, 5.0])
    cases: list[Case] = [([one], [2]), ([one, two], [1, 1]), ([one, two], [2, 1]), ([one, two], [3, 2])]
    return [*cases, ([one, two, three], [2, 2, 1]), ([two, three, one, two], [1, 3, 2, 2])]


def _drawn_kernels(generator: torch.Generator) -> Case:
    layers = range(whole(generator, 2, 4))
    return [wholes(generator, -4, 4, whole(generator, 1, 4)) for _ in layers], [whole(generator, 1, 3) for _ in layers]


EXERCISES = (
    Exercise(
        "04.1",
        reference=lambda: [13, 14, 14, 224],
        otherwise="From the first to the last unit it is 6 strides; add one kernel, take 2p off, add output_padding.",
        mistakes=(
            Mistake(
                lambda: [14, 14, 14, 224],
                "A transposed convolution multiplies the size by its stride only where k - 2p, with output_padding, equals the stride.",
            ),
            Mistake(
                lambda: [15, 16, 16, 256],
                "One stride too many, or the padding forgotten: between 7 units lie 6 strides, and 2p units come off.",
            ),
            Mistake(lambda: [17, 18, 18, 288], "The sign: what a convolution pads, its transpose cuts off."),
            Mistake(lambda: [13, 14, 15, 224], "output_padding is added once, at the end, not on both sides."),
        ),
        hints=(
            "Section 6 has the formula of the way back. How many strides lie between the first kernel and the last, for 7 units?",
            "Strides from the first kernel to the last, one kernel's size; padding comes off on both sides, output_padding goes on once.",
            "n = (m - 1) · s + k - 2p + a. An example with other numbers: m = 5, k = 3, s = 3, p = 1 gives 4 · 3 + 3 - 2.",
        ),
    ),
    Exercise(
        "04.2",
        reference=_output_padding,
        cases=[(6, 3, 3, 0, 1), (5, 3, 2, 1, 1), (6, 3, 2, 1, 1), (10, 3, 4, 0, 1), (9, 3, 4, 1, 1), (14, 3, 5, 0, 2), (224, 7, 2, 3, 1)],
        draw=_drawn_layer,
        otherwise="It is the floor's remainder: padded size, less the window's span d · (k - 1) + 1, modulo the stride.",
        mistakes=(
            Mistake(
                lambda size, kernel_size, stride, padding, dilation: 0,
                "Without output_padding you get the smallest of the sizes that the convolution maps to the same one.",
            ),
            Mistake(
                lambda size, kernel_size, stride, padding, dilation: size % stride,
                "The windows do not start a new one every stride from the input's end: take the window's span off first.",
            ),
            Mistake(
                lambda size, kernel_size, stride, padding, dilation: stride - 1,
                "That is the largest value there is: it brings you to the largest of the sizes that the convolution maps to the same one.",
            ),
            Mistake(
                lambda size, kernel_size, stride, padding, dilation: _output_padding(size, kernel_size, stride, 0, dilation),
                "The padding is left out: windows slide over the padded input.",
            ),
            Mistake(
                lambda size, kernel_size, stride, padding, dilation: _output_padding(size, kernel_size, stride, padding, 1),
                "The dilation is left out: a window spans d · (k - 1) + 1 units.",
            ),
            Mistake(
                lambda size, kernel_size, stride, padding, dilation: (
                    -_output_padding(size, kernel_size, stride, padding, dilation) % stride
                ),
                "That is how many units are missing for one more window; wanted are those left over after the last one.",
            ),
        ),
        hints=(
            "Draw the windows under the padded input, as in section 7. Which units at the end are in no window?",
            "Take the span of one window off the padded size. The rest is filled with strides, and what does not fill one is left over.",
            "The padded size is size + 2p, a window spans d · (k - 1) + 1. What does `%` give for their difference?",
        ),
    ),
    Exercise(
        "04.3",
        reference=_transposed,
        cases=_signals(),
        draw=_drawn_signal,
        otherwise="Unit i adds y[i] · w to the outputs from i · stride on; the result has (n - 1) · stride + k units.",
        mistakes=(
            Mistake(
                lambda y, w, stride: _transposed(y, w.flip(0), stride),
                "The kernel is laid down as it is. It is flipped only if you slide it over the stretched input instead.",
            ),
            Mistake(_overwritten, "Where kernels overlap they add up: use += in place of =."),
            Mistake(_averaged, "Where kernels overlap they add up. Nothing is divided by their number."),
            Mistake(lambda y, w, stride: _transposed(y, w, 1), "The stride is not used: neighbouring kernels lie `stride` units apart."),
            Mistake(
                lambda y, w, stride: _transposed(y, w, stride)[: len(y) * stride],
                "The last kernel reaches beyond n · stride: the result has (n - 1) · stride + k units.",
            ),
        ),
        hints=(
            "Think of units that lay the kernel down, as in section 3. Where does unit i put it, and by what is it multiplied?",
            "Start with zeros, just so many that the last kernel fits: how many? Then lay one kernel down after the other.",
            "Zeros of length (n - 1) · stride + k. In a loop over y, a slice of k of them, from i · stride on, grows by a multiple of w.",
        ),
    ),
    Exercise(
        "04.4",
        reference=_upsampled,
        cases=_score_maps(),
        draw=_drawn_map,
        tolerance=1e-5,
        otherwise="Inside and at the border it has to be F.interpolate(scores, scale_factor=factor, mode='bilinear', align_corners=False).",
        mistakes=(
            Mistake(
                lambda scores, factor: upsample_bilinear(scores, factor, "zero"),
                "The border is still too dark: there a neighbour's tent is missing. Lay the border down once more outside, or divide.",
            ),
            Mistake(
                lambda scores, factor: F.interpolate(scores, scale_factor=factor, mode="bilinear", align_corners=True),
                "With align_corners=True the corners are pinned, and the units no longer lie `factor` pixels apart.",
            ),
            Mistake(
                lambda scores, factor: F.interpolate(scores, scale_factor=factor, mode="nearest"),
                "Each unit is repeated: that is the nearest neighbour, not a straight line from one to the next.",
            ),
            Mistake(
                _even_kernels_alone,
                "The border is right, odd factors are not: 2f taps have no middle pixel. Take 2f - 1, and (f - 1) // 2 for the padding.",
            ),
            Mistake(
                lambda scores, factor: _upsampled(scores, factor) / factor**2,
                "The kernel need not sum to 1: it sums to factor², since each output meets only every factor-th tap.",
            ),
        ),
        hints=(
            "There are two faults, one for odd factors and one at the border. Look at each on its own, on a small map of ones.",
            "Section 8 says how many taps and how much padding odd factors take. And it names two cures for the border: choose one.",
            (
                "With k = 2f - f % 2 taps, the padding is (k - f) // 2. For the border: do the same to a map of ones and divide; or "
                "repeat the outer units first, and cut off what they add."
            ),
        ),
    ),
    Exercise(
        "04.5",
        reference=_composite,
        cases=_stacks(),
        draw=_drawn_kernels,
        otherwise="Tap j of a layer reads unit j below, so the kernel below is laid down j strides on: all strides below, multiplied.",
        mistakes=(
            Mistake(
                lambda kernels, strides: _composite(kernels, [1] * len(strides)),
                "The strides are left out: neighbouring taps of a layer read units below that lie a stride apart.",
            ),
            Mistake(
                _spread_by_own_stride,
                "A layer's own stride does not spread its own taps, only those of the layers above it.",
            ),
            Mistake(
                _spread_by_the_layer_below,
                "Right for two layers. Strides multiply: the third one's taps are spread by those of both layers below.",
            ),
            Mistake(
                _lower_spread,
                "The two parts are swapped: the stride spreads the taps of the upper layer, not those of what is below.",
            ),
            Mistake(
                lambda kernels, strides: _composite([kernel.flip(0) for kernel in kernels], strides),
                "The kernel is the wrong way round: what torch calls a convolution slides it as it is.",
            ),
        ),
        hints=(
            "Begin with two layers. Which inputs does tap j of the upper one read in the end, and with which weights?",
            (
                "Tap j reads unit j below, and so the kernel below, laid down j strides on; where they overlap they add up. You have built "
                "that before. And what is built is the kernel below the third layer."
            ),
            "A transposed convolution, as in 04.3, once for each further layer. What is y, and which stride belongs to the third layer?",
        ),
    ),
)
