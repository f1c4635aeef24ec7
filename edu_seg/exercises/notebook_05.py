"""Exercises of notebook 05: sums over strides."""

import torch
import torch.nn.functional as F
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes
from edu_seg.geometry import PIXELS, Field, crop_offset
from edu_seg.models.fcn import add_aligned
from edu_seg.upsampling import bilinear_kernel


def _fcn32s_offset(pad: int) -> int:
    """Where the image begins in FCN-32s's upsampled map, if conv1_1 is padded by `pad`; at the released 100 it is 19."""
    trunk = Field().then(3, padding=pad)
    for _ in range(5):
        trunk = trunk.then(2, stride=2)
    return crop_offset(trunk.then(7).grid.transposed(64, 32), PIXELS)


def _skip_maps() -> list[Case]:
    """(upsampled, finer, offset): the released nets' maps are larger on the finer side; the last case is the other way round."""
    generator = torch.Generator().manual_seed(0)
    sizes = [((2, 2), (4, 4), 1), ((2, 3), (8, 9), 4), ((3, 3), (3, 3), 1), ((3, 3), (2, 2), -1), ((6, 5), (12, 12), 5)]
    return [
        (torch.randint(0, 9, (1, 1, *a), generator=generator).float(), torch.randint(0, 9, (1, 1, *b), generator=generator).float(), offset)
        for a, b, offset in sizes
    ]


def _drawn_maps(generator: torch.Generator) -> Case:
    """Both maps begin, and something is left of both."""
    n, k, offset = whole(generator, 1, 2), whole(generator, 1, 3), whole(generator, -3, 3)
    upsampled, finer = ((whole(generator, 4, 9), whole(generator, 4, 9)) for _ in range(2))
    return wholes(generator, -9, 9, n, k, *upsampled), wholes(generator, -9, 9, n, k, *finer), offset


def _first_square_sum(upsampled: Tensor, finer: Tensor, offset: int) -> Tensor:
    """Cutting a square, as wide as the upsampled map is high."""
    side = upsampled.shape[2]
    return add_aligned(upsampled[..., :side], finer, offset)


def _resized_sum(upsampled: Tensor, finer: Tensor, offset: int) -> Tensor:
    return upsampled + F.interpolate(finer, upsampled.shape[2:], mode="bilinear", align_corners=False)


def _corner_sum(upsampled: Tensor, finer: Tensor, offset: int) -> Tensor:
    return add_aligned(upsampled, finer, 0)


def _centre_sum(upsampled: Tensor, finer: Tensor, offset: int) -> Tensor:
    """Cutting the middle out of the finer map, as U-Net does; rounds where the margin is odd."""
    return add_aligned(upsampled, finer, (finer.shape[2] - upsampled.shape[2]) // 2)


def _caffe_kernel(size: int) -> Tensor:
    """Caffe's own bilinear filler: right for 4, 5, 8, 16 and 64, off centre for 2, 3, 6 and 63."""
    factor = (size + 1) // 2
    tent = 1 - (torch.arange(size).double() / factor - (2 * factor - 1 - factor % 2) / (2 * factor)).abs()
    return torch.outer(tent, tent)


def _tent_to_zero(size: int) -> Tensor:
    """A tent that reaches 0 at the kernel's ends."""
    tent = 1 - torch.linspace(-1, 1, size).double().abs() if size > 1 else torch.ones(1).double()
    return torch.outer(tent, tent)


def _sampled_loss(loss_map: Tensor, kept: Tensor) -> Tensor:
    return loss_map[kept].mean()


def _loss_maps() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    cases: list[Case] = [(torch.tensor([1.0, 3.0]), torch.tensor([True, False]))]
    for side in (2, 8):
        cases.append((torch.rand(side, side, generator=generator), torch.rand(side, side, generator=generator) < 0.4))
    return cases


def _drawn_losses(generator: torch.Generator) -> Case:
    """At least one pixel is kept."""
    losses = wholes(generator, 0, 9, whole(generator, 2, 5), whole(generator, 2, 5))
    kept = wholes(generator, 0, 2, *losses.shape) == 0
    kept[0, 0] = True
    return losses, kept


EXERCISES = (
    Exercise(
        "05.1",
        reference=_fcn32s_offset,
        cases=[(pad,) for pad in (100, 99, 96, 90, 110)],
        draw=lambda generator: (whole(generator, 81, 200),),
        otherwise="Follow the centre of unit 0: -pad + 1 after conv1_1, then the five pools, fc6, and the transposed convolution.",
        mistakes=(
            Mistake(
                lambda pad: 19, "19 belongs to a pad of 100 alone: a copied literal misplaces the prediction as soon as a padding changes."
            ),
            Mistake(lambda pad: 119 - pad, "The sign: less padding moves the first unit to the right, so less is cut off, not more."),
            Mistake(
                lambda pad: (pad - 100) // 2 + 19,
                "Padding is added on each side: one more moves unit 0 by one whole pixel, not by half of one.",
            ),
            Mistake(
                lambda pad: (544 - 500) // 2 + pad - 100,
                "Cutting the middle of 544 down to 500 gives 22 on each side, but the map is not centred on the image: follow unit 0.",
            ),
            Mistake(
                lambda pad: 544 - 500 + pad - 100,
                "44 is by how much the map is larger than the image, both ends together: an offset says where the image begins.",
            ),
            Mistake(lambda pad: pad - 69, "31 is the offset of FCN-8s, and 27 that of 16s: each net has its own, also 32s."),
        ),
        hints=(
            "Follow the centre of unit 0, as in section 3. Which layer knows `pad`, and what does it do to the centre?",
            "Before conv1_1 the stride is 1, so a pixel of padding more moves every later unit 0 by one pixel. In which direction?",
            "The offset is a straight line in `pad`. You know its slope now, and one point of it from the exercise.",
        ),
    ),
    Exercise(
        "05.2",
        reference=add_aligned,
        cases=_skip_maps(),
        draw=_drawn_maps,
        otherwise="Unit 0 of the upsampled map lies on unit `offset` of the finer one; add where both exist.",
        mistakes=(
            Mistake(_resized_sum, "Resizing moves every unit a little: cut the finer map at the offset, the pixels already agree."),
            Mistake(_corner_sum, "Both maps are cut at their corners, as if they began at the same pixel: they are `offset` units apart."),
            Mistake(
                lambda upsampled, finer, offset: add_aligned(upsampled, finer, -offset),
                "The sign: a positive offset cuts the finer map, which begins first; a negative one cuts the upsampled map.",
            ),
            Mistake(_first_square_sum, "Height and width are not the same: cut each by its own size."),
            Mistake(_centre_sum, "The finer map is cut in its middle: where it begins follows from the paddings, not from the sizes."),
        ),
        hints=(
            "Both maps must begin on the same pixel. Which of them begins first, and what does the sign of `offset` say?",
            "Cut rows and columns off the top and the left of the map that begins first. Then see where both of them end.",
            "Two cuts: first |offset| rows and columns off one map, then both maps down to the smaller height and the smaller width.",
        ),
    ),
    Exercise(
        "05.3",
        reference=lambda size: bilinear_kernel(size, torch.float64),
        cases=[(size,) for size in (1, 2, 3, 4, 5, 6, 63, 64)],
        draw=lambda generator: (whole(generator, 7, 40),),
        otherwise="A tent: 1 - |i - centre| / factor, with factor = (size + 1) // 2 and centre = (size - 1) / 2, times itself across.",
        mistakes=(
            Mistake(_caffe_kernel, "This is Caffe's own bilinear filler: at sizes 2, 3, 6 and 63 its top is off the centre."),
            Mistake(_tent_to_zero, "The tent falls to 0 one step outside the kernel, not on its last tap."),
            Mistake(
                lambda size: bilinear_kernel(size, torch.float64) / bilinear_kernel(size, torch.float64).sum(),
                "The kernel does not sum to 1: it sums to stride², since each output pixel meets only every stride-th tap.",
            ),
            Mistake(
                lambda size: bilinear_kernel(size, torch.float64).diag(),
                "That is the diagonal: the kernel is the outer product of the tent with itself, size × size.",
            ),
        ),
        hints=(
            "One axis is enough at first. Number the taps from 0: where is their middle, for an even and for an odd size?",
            "From its top in the middle, the tent falls by 1 / stride with each tap, on both sides. The stride is given in the exercise.",
            "Tap i lies |i - (size - 1) / 2| from the middle. Divide by the stride, take it from 1, and form an outer product.",
        ),
    ),
    Exercise(
        "05.4",
        reference=_sampled_loss,
        cases=_loss_maps(),
        draw=_drawn_losses,
        otherwise="Keep the sampled pixels and take their mean.",
        mistakes=(
            Mistake(
                lambda loss, kept: (loss * kept).mean(),
                "Dropped pixels still count in the divisor: the gradient shrinks by the share that is kept.",
            ),
            Mistake(lambda loss, kept: loss[~kept].mean(), "The mask says which pixels stay, and you average the others."),
            Mistake(lambda loss, kept: loss.mean(), "Every pixel still counts: the mask is not used."),
            Mistake(lambda loss, kept: loss[kept].sum(), "A sum grows with the number of pixels: divide by how many are kept."),
        ),
        hints=(
            "Try it on losses that are all 1, with half of the pixels kept. What should come out, and what does?",
            "The sum is right, as dropped pixels add 0 to it. Look at what `mean` divides by.",
            "Two ways: let the mask pick the pixels before anything is averaged; or divide a sum by a count. A count of what?",
        ),
    ),
    Exercise(
        "05.5",
        reference=lambda: [28, 5, 58, 8, 41],
        otherwise="Upwards: (n - 1) · stride + kernel. Cut off at the end: the finer map, less its offset, less what is kept.",
        mistakes=(
            Mistake(
                lambda: [26, 5, 58, 8, 41],
                "(a) 13 units have 12 strides between them, and the kernel of 4 has its own size: 12 · 2 + 4, not 13 · 2.",
            ),
            Mistake(lambda: [28, 10, 58, 8, 41], "(b) 10 is what pool4's map has too much. 5 units of it are cut off at the beginning."),
            Mistake(
                lambda: [28, 5, 78, 8, 41],
                "(c) The sum is as large as the smaller map: 28 units go up, not pool4's 38.",
            ),
            Mistake(
                lambda: [28, 5, 56, 8, 41], "(c) 27 · 2 + 4: doubling alone gives the size only where kernel - 2 · padding is the stride."
            ),
            Mistake(lambda: [28, 5, 58, 17, 41], "(d) 17 is what pool3's map has too much. 9 units of it are cut off at the beginning."),
            Mistake(lambda: [28, 5, 58, 8, 72], "(e) 72 is what is too much, both ends together. 31 pixels are cut off at the beginning."),
            Mistake(lambda: [28, 5, 58, 8, 31], "(e) The map is not centred on the image: what is cut off at the end is not the offset."),
        ),
        hints=(
            "Section 4: units lay kernels down, a stride apart: (n - 1) · stride + kernel (notebook 04, section 6). Begin with fc7's 13.",
            (
                "Follow one number: 13 units up, cut pool4's map to that size, those up again, cut pool3's, those up by 8. "
                "An offset says how much of the larger map is lost at its beginning; the rest is lost at its end."
            ),
            (
                "(a) 12 · 2 + 4. (b) 38 - 5 - (a). (c) As (a), from as many units as (a). (d) Like (b), with pool3's map and its offset. "
                "(e) The last map, less 31, less the image."
            ),
        ),
    ),
)
