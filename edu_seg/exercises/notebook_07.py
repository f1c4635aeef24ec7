"""Exercises of notebook 07: dilation, the identity start and gridding."""

from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes
from edu_seg.gridding import is_gap_free, path_counts


def _correlated(signal: Tensor, kernel: Tensor, d: int) -> Tensor:
    """What torch computes: tap t meets the unit d · t to the right of the window's first."""
    reach = d * (len(kernel) - 1)
    return torch.stack([signal[d * t : len(signal) - reach + d * t] * weight for t, weight in enumerate(kernel)]).sum(0)


def _dilated(signal: Tensor, kernel: Tensor, d: int) -> Tensor:
    return _correlated(signal, kernel.flip(0), d)


def _signals() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 0.0, 0.0]), 1),
        (torch.tensor([1.0, 2.0, 4.0, 7.0, 11.0, 16.0, 22.0]), torch.tensor([1.0, 0.0, -2.0]), 2),
        (torch.arange(12.0) ** 2, torch.tensor([1.0, 2.0, 3.0]), 3),
        (torch.randn(20, generator=generator), torch.randn(5, generator=generator), 4),
    ]


def _drawn_signal(generator: torch.Generator) -> Case:
    d, size = whole(generator, 1, 4), 2 * whole(generator, 1, 2) + 1
    return wholes(generator, -9, 9, d * (size - 1) + whole(generator, 1, 8)), wholes(generator, -9, 9, size), d


def _classes(numbers: Sequence[int]) -> Tensor:
    """The class of each channel: a class's channels lie together."""
    return torch.arange(len(numbers)).repeat_interleave(torch.tensor(numbers))


def _identity(before: Sequence[int], after: Sequence[int]) -> Tensor:
    rows, columns = _classes(after), _classes(before)
    return (rows[:, None] == columns) / torch.tensor(after)[rows, None]


def _identity_of_equal_shares(before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Section 5's formula, which gives all classes as many channels."""
    C, (c_in, c_out) = len(before), (sum(before), sum(after))
    columns, rows = (torch.arange(channels) * C // channels for channels in (c_in, c_out))
    return (rows[:, None] == columns).float() * C / c_out


def _identity_by_remainder(before: Sequence[int], after: Sequence[int]) -> Tensor:
    """The mistake of dealing the channels out in turn instead of in groups that lie together."""
    C, (c_in, c_out) = len(before), (sum(before), sum(after))
    columns, rows = (torch.arange(channels) % C for channels in (c_in, c_out))
    return (rows[:, None] == columns).float() * C / c_out


WIDTHS: list[Case] = [
    ([1, 1], [1, 1]),
    ([2, 2], [1, 1]),
    ([1, 1], [2, 2]),
    ([1, 1], [1, 2]),
    ([1, 2], [3, 2]),
    ([4, 1, 2], [2, 3, 1]),
    ([5], [10]),
]


def _drawn_widths(generator: torch.Generator) -> Case:
    C = whole(generator, 2, 4)
    before, after = ([whole(generator, 1, 5) for _ in range(C)] for _ in range(2))
    return before, after


def _read(dilations: Sequence[int]) -> set[int]:
    counts = path_counts(dilations)
    return {place - len(counts) // 2 for place in counts.nonzero().flatten().tolist()}


def _shared(dilations: Sequence[int]) -> int:
    own = _read(dilations)
    return len(own & {place + 1 for place in own})


STACKS: list[Case] = [([1],), ([2],), ([1, 2],), ([2, 2, 2],), ([1, 2, 5],), ([3, 3],), ([2, 3],), ([1, 2, 9],), ([4, 4, 2],)]


def _drawn_stack(generator: torch.Generator) -> Case:
    return ([whole(generator, 1, 6) for _ in range(whole(generator, 1, 4))],)


def _cure(dilations: Sequence[int]) -> list[int]:
    """The shortest list, of these the one with the smallest sum: tried in this order."""
    largest = max(dilations)
    for length in range(len(dilations) + largest):
        tried = combinations_with_replacement(range(1, largest + 1), length)
        for added in sorted(tried, key=sum):
            if is_gap_free([*dilations, *added]):
                return sorted(added, reverse=True)
    raise ValueError(f"no cure for {dilations}")


HOLED: list[Case] = [([2, 2, 2],), ([1, 2],), ([3],), ([4, 4, 4],), ([2, 4, 8],), ([1, 2, 9],), ([9],), ([1, 1, 5],)]

EXERCISES = (
    Exercise(
        "07.1",
        reference=lambda: [33, 4500, 25, 81, 380],
        otherwise="Each layer adds 2d to the field and has 9 · 10 · 10 weights; with one step d, three places an axis and layer are read.",
        mistakes=(
            Mistake(lambda: [17, 4500, 25, 81, 380], "Each layer adds d on both sides: 2d, so 1 + 2 · (1 + 1 + 2 + 4 + 8)."),
            Mistake(lambda: [63, 4500, 25, 81, 380], "63 is for dilations 1, 2, 4, 8 and 16. Here 1 comes twice, and 8 is the last."),
            Mistake(lambda: [33, 450, 25, 81, 380], "Every output channel reads all input channels: 9 · 10 · 10 weights a layer."),
            Mistake(
                lambda: [33, 4500, 169, 81, 380], "169 is the window of (3, 3). Its sums of steps are −6, −3, 0, 3 and 6: five an axis."
            ),
            Mistake(lambda: [33, 4500, 81, 81, 380], "(3, 3) has 3 · 3 paths along each axis, but several lead to the same input."),
            Mistake(lambda: [33, 4500, 25, 49, 380], "(3, 1): three places 3 apart, and one on each side of each: nine."),
            Mistake(
                lambda: [33, 4500, 25, 81, 404],
                "404 is the net whose strides are removed: its pools still look. The front-end has no pool4 and no pool5 at all.",
            ),
            Mistake(
                lambda: [33, 4500, 25, 81, 356],
                "A pool of 2 × 2 has one step, not two: it adds its stride before it once, 8 and 16.",
            ),
            Mistake(
                lambda: [33, 4500, 25, 81, 402],
                "A pool's step is not one pixel: pool4 reads units 8 pixels apart, pool5 16.",
            ),
        ),
        hints=(
            (
                "(a) and (b): section 3. (c) and (d): section 7, where holes are counted; begin with one axis. "
                "(e): section 4; what did a pool add to the field?"
            ),
            (
                "A 3 × 3 reaches its dilation further on both sides. "
                "For (c) and (d) add one step of each layer, −d, 0 or d: for dilations 1 and 2 the sums are the seven from −3 to 3."
            ),
            (
                "(a) 1 + 2 · (sum of the dilations). (b) Layers · taps · channels in · channels out. "
                "(c), (d) How many different sums there are along one axis, squared. (e) A pool added its stride before it, once."
            ),
        ),
    ),
    Exercise(
        "07.2",
        reference=_dilated,
        cases=_signals(),
        draw=_drawn_signal,
        otherwise="At place p the tap t (from the middle) meets signal[p - d · t]: the same loop with the kernel turned round.",
        mistakes=(
            Mistake(_correlated, "That is the correlation, as torch has it: in equation (4) the right tap meets the left unit."),
            Mistake(
                lambda signal, kernel, d: _correlated(signal.flip(0), kernel, d),
                "You turned the signal round, so the result is turned round, too: turn the kernel instead.",
            ),
            Mistake(
                lambda signal, kernel, d: _dilated(signal, kernel, 1),
                "Neighbouring taps must meet units that lie d apart: the dilation is not used.",
            ),
        ),
        hints=(
            "Section 2: which unit does the right tap (t = 1) meet in equation (4)? And which one in the colleague's code?",
            (
                "Try the signal (3, 5, 8) with the kernel (0, 0, 1) and d = 1: by equation (4), 3 comes out. "
                "What does the colleague's code say?"
            ),
            "The slices may stay as they are. Only the weights have to come in another order; `flip` takes the axis that is turned round.",
        ),
    ),
    Exercise(
        "07.3",
        reference=_identity,
        cases=WIDTHS,
        draw=_drawn_widths,
        otherwise="Entry (b, a) is 1 / after[k] where b and a both belong to class k, and 0 elsewhere.",
        mistakes=(
            Mistake(
                lambda before, after: (_identity(before, after) > 0).float(),
                "The weights must be 1 / after[k]: with ones, a class's scores grow with its number of channels.",
            ),
            Mistake(
                lambda before, after: (_classes(after)[:, None] == _classes(before)) / torch.tensor(before)[_classes(before)],
                "1 / before[k] makes each single layer keep the size of scores; the paper's rule divides by the channels of the output.",
            ),
            Mistake(
                lambda before, after: _identity(after, before) if before != after else _identity(before, after).T,
                "Rows are output channels, columns input channels; and it is the output's number that divides.",
            ),
            Mistake(lambda before, after: _identity(before, after).T, "Rows are output channels, columns input channels."),
            Mistake(
                _identity_by_remainder,
                "A class's channels lie together: first all those of class 0, then those of class 1. Yours are dealt out in turn.",
            ),
            Mistake(
                _identity_of_equal_shares,
                "That is section 5's formula, where all classes have as many channels. Here each has its own number.",
            ),
            Mistake(
                lambda before, after: (_classes(after)[:, None] == _classes(before)).float() * len(after) / sum(after),
                "The groups are right, the weight is not: C / c_out is for classes of equal width. Each class has its own number.",
            ),
            Mistake(
                lambda before, after: torch.eye(sum(after), sum(before)),
                "Where the number of channels changes, each channel of a class reads all channels of that class, not one.",
            ),
        ),
        hints=(
            (
                "Section 5 has it for equal numbers: C / c_out is one over the channels that a class has behind the layer. "
                "When is an entry not zero?"
            ),
            (
                "Name the class of each channel: with 3 and 2 channels they are 0, 0, 0, 1, 1. "
                "An entry is not zero where the class of the input and that of the output are equal."
            ),
            (
                "Compare the outputs' classes, as a column, with the inputs' classes, as a row. "
                "Then divide each row by the number of channels that its class has in `after`."
            ),
        ),
    ),
    Exercise(
        "07.4",
        reference=_shared,
        cases=STACKS,
        draw=_drawn_stack,
        otherwise="Collect the places that are read (all sums of −d, 0 or d), move them by 1, and count what both sets hold.",
        mistakes=(
            Mistake(
                lambda dilations: 2 * sum(dilations),
                "That is how far the two windows overlap. Of those inputs, count the ones that both really read: there may be holes.",
            ),
            Mistake(lambda dilations: len(_read(dilations)) - 1, "Right without holes only: then all but one are shared."),
            Mistake(lambda dilations: len(_read(dilations)), "That is what one of the two reads; the neighbour's places lie 1 further."),
        ),
        hints=(
            "Section 7: what is read are all sums of one step a layer. The neighbour reads the same places, each moved by one.",
            (
                "Two sets, and what they have in common. "
                "For the dilations 1 and 3 the first is −4 … 4, the second −3 … 5: 8 places are in both."
            ),
            (
                "Begin with the set that holds 0; each layer makes three places of each one, as in `naive_path_counts`. "
                "Then make the moved set; an intersection and `len` do the rest."
            ),
        ),
    ),
    Exercise(
        "07.5",
        reference=_cure,
        cases=HOLED,
        draw=_drawn_stack,
        otherwise="Try lists of 0, 1, 2, … dilations, from small sums to large ones, until every input of the window is read.",
        mistakes=(
            Mistake(
                lambda dilations: [] if is_gap_free(dilations) else [1],
                "One layer of dilation 1 fills holes at most 2 wide: three inputs in a row, then the next tap.",
            ),
            Mistake(
                lambda dilations: _halved(max(dilations)),
                "Halving down to 1 works, but three taps divide a gap by three: 9 needs 3 and 1 only, and 4 is filled by 1 and 1.",
            ),
            Mistake(
                lambda dilations: sorted(_cure(dilations)),
                "Write it from large to small, as DRN has its last layers, though for what is read the order makes no difference.",
            ),
        ),
        hints=(
            (
                "A layer fills the same holes wherever it stands: only the collection of dilations counts. "
                "Which lists would you try first, and when may you stop?"
            ),
            (
                "Try the list of length 0, then those of length 1, then 2, and within a length the smaller sums first. "
                "A dilation larger than the largest of the stack need not be tried."
            ),
            (
                "`itertools.combinations_with_replacement` makes the lists of a length, `sorted` orders them by `sum`, "
                "`gridding.is_gap_free` judges the stack with a list behind it. Then mind the order asked for."
            ),
        ),
    ),
)


def _halved(dilation: int) -> list[int]:
    """DRN's own: 4 is followed by 2 and 1."""
    return [dilation // 2, *_halved(dilation // 2)] if dilation > 1 else []
