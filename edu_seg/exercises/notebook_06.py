"""Exercises of notebook 06: switches, the sizes of U-Net, its border weights, and scores put back from their boxes."""

import torch
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes

# --- 06.2: a decoder without weights -------------------------------------------------------------------------------------------


def _places(switches: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns on the map, from row and column within each window of 2 × 2."""
    i, j = torch.meshgrid(*map(torch.arange, switches.shape), indexing="ij")
    return 2 * i + row, 2 * j + column


def _unpooled(values: Tensor, switches: Tensor, height: int, width: int) -> Tensor:
    made = torch.zeros(height, width)
    made[_places(switches, switches // 2, switches % 2)] = values
    return made


def _unpooled_to_even(values: Tensor, switches: Tensor, height: int, width: int) -> Tensor:
    """The code that the exercise gives: places are counted on a map of twice the pooled one's width."""
    rows, columns = _places(switches, switches // 2, switches % 2)
    made = torch.zeros(height * width)
    made[rows * 2 * values.shape[1] + columns] = values
    return made.view(height, width)


def _unpooled_to_corners(values: Tensor, switches: Tensor, height: int, width: int) -> Tensor:
    made = torch.zeros(height, width)
    made[: 2 * values.shape[0] : 2, : 2 * values.shape[1] : 2] = values
    return made


def _repeated(values: Tensor, switches: Tensor, height: int, width: int) -> Tensor:
    rows, columns = (torch.arange(size).div(2, rounding_mode="floor") for size in (height, width))
    return values[rows.clamp(max=values.shape[0] - 1)][:, columns.clamp(max=values.shape[1] - 1)]


def _transposed_places(values: Tensor, switches: Tensor, height: int, width: int) -> Tensor:
    """The mistake of reading a switch as 2 · column + row."""
    made = torch.zeros(height, width)
    made[_places(switches, switches % 2, switches // 2)] = values
    return made


def _pooled_maps() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    return [_pooled(generator, height, width) for height, width in ((2, 2), (4, 4), (4, 5), (6, 3), (7, 9))]


def _pooled(generator: torch.Generator, height: int, width: int) -> Case:
    """(values, switches, height, width) of a random map, where a switch is the place in its window: 0, 1, 2 or 3."""
    shape = (height // 2, width // 2)
    return torch.randint(1, 99, shape, generator=generator).float(), torch.randint(4, shape, generator=generator), height, width


# --- 06.3: the sizes of U-Net ---------------------------------------------------------------------------------------------------


def _output(size: int, levels: int) -> int:
    """What a U-Net without padding makes of `size` pixels; 0 where a pool meets an odd size, or nothing is left."""
    for _ in range(levels - 1):
        size -= 4
        if size < 2 or size % 2:
            return 0
        size //= 2
    for _ in range(levels - 1):
        size = 2 * (size - 4)
        if size < 1:
            return 0
    return max(0, size - 4)


def _output_unchecked(size: int, levels: int) -> int:
    for _ in range(levels - 1):
        size = (size - 4) // 2
    for _ in range(levels - 1):
        size = 2 * (size - 4)
    return size - 4


def _output_of_one_way(size: int, levels: int) -> int:
    """The mistake of forgetting the two convolutions after each up-convolution."""
    for _ in range(levels - 1):
        size -= 4
        if size < 2 or size % 2:
            return 0
        size //= 2
    return max(0, (size - 4) * 2 ** (levels - 1))


def _drawn_size(generator: torch.Generator) -> Case:
    """Every second one is taken by the net, or would be but for its smallness."""
    levels = whole(generator, 1, 4)
    taken = 4 + 12 * (2 ** (levels - 1) - 1) + 2 ** (levels - 1) * whole(generator, 1, 20)
    return taken + whole(generator, 0, 1) * whole(generator, 1, 7), levels


SIZES: list[Case] = [(12, 1), (20, 2), (21, 2), (44, 3), (46, 3), (188, 5), (572, 5), (570, 5), (256, 5), (100, 4), (180, 5)]

# --- 06.4: the border term ------------------------------------------------------------------------------------------------------


def _border_term(distances: Tensor, w0: float, sigma: float) -> Tensor:
    """Without a second object there is no gap."""
    if len(distances) < 2:
        return torch.zeros(distances.shape[1])
    nearest = distances.sort(0).values[:2].sum(0)
    return w0 * torch.exp(-(nearest**2) / (2 * sigma**2))


def _distance_maps() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[1.0], [2.0]]), 10.0, 5.0),
        (torch.tensor([[4.0, 0.0], [1.0, 3.0], [9.0, 1.0]]), 10.0, 5.0),
        (torch.rand(4, 3, generator=generator) * 12, 10.0, 5.0),
        (torch.tensor([[0.0, 1.0, 5.0]]), 10.0, 5.0),
        (torch.rand(3, 6, generator=generator) * 5, 2.0, 3.0),
    ]


def _drawn_distances(generator: torch.Generator) -> Case:
    """Now and then of one object only."""
    distances = wholes(generator, 0, 12, whole(generator, 1, 4), whole(generator, 1, 6))
    return distances, float(whole(generator, 1, 20)), float(whole(generator, 2, 9))


# --- 06.5: many boxes, one map --------------------------------------------------------------------------------------------------


def _aggregated(scores: Tensor, corners: Tensor, height: int, width: int, how: str = "maximum") -> Tensor:
    _, classes, h, w = scores.shape
    total = torch.zeros(classes, height, width)
    for one, (top, left) in zip(scores, corners.tolist(), strict=True):
        here = torch.zeros(classes, height, width)
        here[:, top : top + h, left : left + w] = one
        total = {"maximum": torch.maximum(total, here), "sum": total + here}[how]
    return total


def _maximum(scores: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    return _aggregated(scores, corners, height, width)


def _last_wins(scores: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    total = torch.zeros(scores.shape[1], height, width)
    for one, (top, left) in zip(scores, corners.tolist(), strict=True):
        total[:, top : top + scores.shape[2], left : left + scores.shape[3]] = one
    return total


def _without_floor(scores: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    """The mistake of taking the maximum over the boxes that hold a pixel only: negative scores stay."""
    total = torch.full((scores.shape[1], height, width), -torch.inf)
    for one, (top, left) in zip(scores, corners.tolist(), strict=True):
        part = total[:, top : top + scores.shape[2], left : left + scores.shape[3]]
        part.copy_(torch.maximum(part, one))
    return total.masked_fill(total.isinf(), 0)


def _swapped(scores: Tensor, corners: Tensor, height: int, width: int) -> Tensor:
    h, w = scores.shape[2:]
    most = torch.tensor([height - h, width - w])
    return _aggregated(scores, torch.minimum(corners.flip(1), most), height, width)


def _boxes() -> list[Case]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.tensor([[[[5.0]]], [[[2.0]]], [[[3.0]]]]), torch.tensor([[0, 1], [0, 1], [0, 0]]), 2, 2),
        (torch.tensor([[[[-1.0, 2.0]]], [[[-3.0, 1.0]]]]), torch.tensor([[0, 0], [0, 0]]), 2, 3),
        (torch.randn(4, 2, 2, 3, generator=generator), torch.tensor([[0, 0], [1, 2], [3, 1], [1, 1]]), 6, 5),
    ]


def _drawn_boxes(generator: torch.Generator) -> Case:
    boxes, classes = whole(generator, 1, 4), whole(generator, 1, 3)
    h, w, below, beside = (whole(generator, 1, 3) for _ in range(4))
    corners = [[whole(generator, 0, below), whole(generator, 0, beside)] for _ in range(boxes)]
    return wholes(generator, -9, 9, boxes, classes, h, w), torch.tensor(corners), h + below, w + beside


EXERCISES = (
    Exercise(
        "06.1",
        reference=lambda: [516, 1 / 64, 5529600, 7],
        otherwise="184 pixels are lost; each unpooling keeps 1 of 4; 2 bits a window; from 0 to 2³ - 1.",
        mistakes=(
            Mistake(lambda: [608, 1 / 64, 5529600, 7], "92 pixels are lost on each of the two sides: 700 - 184."),
            Mistake(lambda: [516, 1 / 8, 5529600, 7], "Each unpooling leaves one of four units, not one of two: 1 / 4³."),
            Mistake(lambda: [516, 1 / 64, 22118400, 7], "A switch belongs to a window, and there is one for four units."),
            Mistake(lambda: [516, 1 / 64, 5529600, 8], "The corner of a block of 8 and its last pixel are 7 apart."),
        ),
        hints=(
            (
                "(a) is in section 6, the displacement of (d) in section 3. "
                "For (b) and (c) ask what a single 2 × 2 window keeps: how many of its units, and which of its places?"
            ),
            (
                "What U-Net takes off is the same for any size: 572 gives 388. "
                "For (b) and (d) do one level by hand, then see what each further level makes of it. For (c) count the windows."
            ),
            (
                "(a) Take off the margin on both sides. (b) One level's share to the power of the levels. "
                "(c) Channels · windows · bits of one window. (d) After n levels it is at most 2ⁿ − 1."
            ),
        ),
    ),
    Exercise(
        "06.2",
        reference=_unpooled,
        cases=_pooled_maps(),
        draw=lambda generator: _pooled(generator, whole(generator, 2, 7), whole(generator, 2, 7)),
        otherwise="Make zeros of (height, width), and put each value at the place in its own window that its switch names.",
        mistakes=(
            Mistake(_unpooled_to_even, "A row of the map has `width` columns, which may be odd, not twice as many as the pooled map's."),
            Mistake(_unpooled_to_corners, "That is fixed unpooling: every value is in its window's first corner. Use the switches."),
            Mistake(_repeated, "Each value fills its window. Unpooling puts it in one place, and zeros elsewhere."),
            Mistake(_transposed_places, "A switch is 2 · row + column within its window; you read it as 2 · column + row."),
        ),
        hints=(
            "Rows and columns are right. The last lines number the places of the map: how many places does a row of it have?",
            (
                "5 columns are pooled to 2, and twice 2 is 4: from the second row on the colleague counts wrongly. "
                "How many columns did the pool see?"
            ),
            (
                "A place has the number row · (columns of the map) + column. One factor of the colleague's changes: "
                "it needs no arithmetic, since an argument says it. Or index with rows and columns, and number nothing."
            ),
        ),
    ),
    Exercise(
        "06.3",
        reference=_output,
        cases=SIZES,
        draw=_drawn_size,
        otherwise="Down: minus 4, then half, if it is even. Up: double, then minus 4. The last level of the way down also takes 4.",
        mistakes=(
            Mistake(_output_unchecked, "Where a pool meets an odd size, or nothing is left, the answer is 0: the net takes no such image."),
            Mistake(
                lambda size, levels: size - 4 - 12 * (2 ** (levels - 1) - 1),
                "Right for the sizes that the net takes. Where a pool meets an odd size, or nothing is left, the answer is 0.",
            ),
            Mistake(_output_of_one_way, "After each up-convolution come two more convolutions without padding, which take 4 again."),
            Mistake(
                lambda size, levels: size - 184 if _output(size, levels) else 0,
                "184 holds for five levels. With fewer, less is lost: work it out level by level.",
            ),
            Mistake(lambda size, levels: size if _output(size, levels) else 0, "That is the size with padding. Here no convolution pads."),
        ),
        hints=(
            "Follow one number through section 6: the size, level by level, down and up. Where can the net refuse it?",
            (
                "A 3 × 3 without padding takes one pixel off each side, and they come in twos; a pool halves, an up-convolution doubles. "
                "With 2 levels, 28 becomes 24, 12, 8, 16, 12."
            ),
            (
                "One loop of `levels - 1` rounds down, then the bottom's two convolutions, then as many rounds up. "
                "Before each halving ask whether the size is even, and throughout whether anything is left."
            ),
        ),
    ),
    Exercise(
        "06.4",
        reference=_border_term,
        cases=_distance_maps(),
        draw=_drawn_distances,
        otherwise="Sort over the objects, add the two smallest, square the sum, divide by 2 σ²; with one object the term is 0.",
        mistakes=(
            Mistake(
                lambda distances, w0, sigma: w0 * torch.exp(-(distances.sort(0).values[:2].sum(0) ** 2) / (2 * sigma**2)),
                "With one object there is no second one, and no gap: then the term is 0, not that of d1 alone.",
            ),
            Mistake(
                lambda distances, w0, sigma: w0 * torch.exp(-(distances.sort(0).values[:2] ** 2).sum(0) / (2 * sigma**2)),
                "The sum of the two is squared, (d1 + d2)², not each of them.",
            ),
            Mistake(
                lambda distances, w0, sigma: w0 * torch.exp(-(distances[:2].sum(0) ** 2) / (2 * sigma**2)),
                "The first two objects are not the two nearest: sort each pixel's distances.",
            ),
            Mistake(
                lambda distances, w0, sigma: w0 * torch.exp(-(distances.amin(0) ** 2) / (2 * sigma**2)),
                "With d1 alone every border is heavy, also where no second object is near.",
            ),
            Mistake(
                lambda distances, w0, sigma: w0 * torch.exp(-(distances.sort(0).values[:2].sum(0) ** 2) / sigma**2),
                "The 2 of 2 σ² is missing.",
            ),
        ),
        hints=(
            "Look at equation 2 in section 7. For each pixel, which two of all its distances are in it?",
            (
                "The two smallest of each column: sort along the objects, not along the pixels. "
                "A pixel with the distances 7, 1 and 3 has d1 = 1 and d2 = 3."
            ),
            (
                "Take the two smallest rows of the sorted tensor. "
                "First their sum, then its square over twice σ², as a negative exponent; `w0` stands in front."
            ),
        ),
    ),
    Exercise(
        "06.5",
        reference=_maximum,
        cases=_boxes(),
        draw=_drawn_boxes,
        otherwise="Begin with zeros. Put each box's scores into zeros of the image's size, and take the maximum with what is there.",
        mistakes=(
            Mistake(
                lambda scores, corners, height, width: _aggregated(scores, corners, height, width, "sum"),
                "You added them: where many boxes overlap, scores grow with their number (the paper's other rule).",
            ),
            Mistake(_last_wins, "Each box overwrites what was there: the last one wins, not the largest."),
            Mistake(_without_floor, "A box gives 0 outside of itself, so the maximum is at least 0 where some box does not reach."),
            Mistake(_swapped, "A corner is (top, left): row first."),
        ),
        hints=(
            (
                "Section 10 places each box's scores on a map of the whole image. "
                "What stands there outside of the box, and what does the maximum make of a negative score?"
            ),
            "Keep one map for all boxes. Box by box: place its scores, and keep at each unit the larger of what was there and what comes.",
            (
                "For each pair from `zip(scores, corners.tolist())`: a map of zeros as large as the result, "
                "a slice of it that begins at (top, left) set to the scores, and `torch.maximum` with the result so far."
            ),
        ),
    ),
)
