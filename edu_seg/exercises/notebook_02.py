"""Exercises of notebook 02: fully connected layers as convolutions."""

from functools import partial

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake, whole, wholes


def _kernel(weight: Float[Tensor, "O CHW"], channels: int, height: int, width: int) -> Float[Tensor, "O C H W"]:
    return weight.view(len(weight), channels, height, width)


def _channels_last(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    """The colleague's code, right where maps are stored as (height, width, channels)."""
    return weight.view(len(weight), height, width, channels).permute(0, 3, 1, 2)


def _columns_first(weight: Tensor, channels: int, height: int, width: int) -> Tensor:
    return weight.view(len(weight), channels, width, height).transpose(2, 3)


def _weights() -> list[Case]:
    """(weight, channels, height, width), the weights numbered so that each place can be told."""
    sizes = [(1, 1, 2, 2), (1, 3, 2, 2), (2, 2, 2, 3), (4, 8, 7, 7)]
    return [(torch.arange(float(o * c * h * w)).view(o, c * h * w), c, h, w) for o, c, h, w in sizes]


def _drawn_weight(generator: torch.Generator) -> Case:
    o, c, h, w = (whole(generator, 1, 4) for _ in range(4))
    return wholes(generator, -9, 9, o, c * h * w), c, h, w


def _crops(
    image: Float[Tensor, "C H W"],
    labels: Int64[Tensor, "H W"],
    size: int,
    stride: int,
    *,
    less: int = 0,
    columns_first: bool = False,
    place: int | None = None,
) -> Float[Tensor, "n C k k"]:
    """The crops of size × size, `stride` pixels apart, whose middle (or pixel `place`, `place`) is not void.

    Row by row; `less` leaves out that many pixels at the end.
    """
    rows, columns = (range(0, length - size + 1 - less, stride) for length in image.shape[1:])
    corners = [(y, x) for x in columns for y in rows] if columns_first else [(y, x) for y in rows for x in columns]
    middle = size // 2 if place is None else place
    crops = [image[:, y : y + size, x : x + size] for y, x in corners if labels[y + middle, x + middle] != 255]
    return torch.stack(crops) if crops else image.new_zeros(0, len(image), size, size)


def _image(c: int, h: int, w: int, size: int, stride: int, *voids: tuple[int, int]) -> Case:
    labels = torch.arange(h * w).view(h, w) % 3
    for row, column in voids:
        labels[row, column] = 255
    return torch.arange(float(c * h * w)).view(c, h, w), labels, size, stride


def _images() -> list[Case]:
    return [
        _image(1, 3, 4, 2, 1),
        _image(1, 5, 7, 3, 2),
        _image(1, 3, 4, 2, 1, (1, 2)),
        _image(1, 5, 7, 3, 2, (0, 0), (3, 3), (4, 6)),
        _image(3, 8, 11, 4, 3, (2, 5), (5, 8), (1, 1)),
    ]


def _drawn_image(generator: torch.Generator) -> Case:
    """The very first crop stays."""
    size, stride = whole(generator, 2, 4), whole(generator, 1, 3)
    h, w = (size + stride * whole(generator, 1, 3) + whole(generator, 0, stride - 1) for _ in range(2))
    labels = wholes(generator, 0, 2, h, w).long().masked_fill(wholes(generator, 0, 2, h, w) == 0, 255)
    labels[size // 2, size // 2] = 0
    return wholes(generator, 0, 99, whole(generator, 1, 3), h, w), labels, size, stride


def _ratio(n: int, conv: float, fc: float, crop: int, stride: int) -> float:
    """Multiply-adds of n × n crops over those of one pass: convolutions are shared, fully connected layers are not."""
    side = crop + (n - 1) * stride
    return n**2 * (conv + fc) / (conv * (side / crop) ** 2 + n**2 * fc)


def _ratio_of_sides(n: int, conv: float, fc: float, crop: int, stride: int) -> float:
    return n**2 * (conv + fc) / (conv * (crop + (n - 1) * stride) / crop + n**2 * fc)


NETS: list[Case] = [(1, 3.0, 1.0, 32, 8), (2, 3.0, 1.0, 32, 8), (10, 666.0, 58.6, 227, 32), (10, 15_346.6, 123.6, 224, 32)]
"""(n, conv, fc, crop, stride); costs in millions, those of AlexNet and VGG-16 last."""


def _drawn_net(generator: torch.Generator) -> Case:
    conv, fc = (float(whole(generator, 1, 900)) for _ in range(2))
    return whole(generator, 2, 12), conv, fc, 8 * whole(generator, 4, 30), 2 ** whole(generator, 1, 5)


def _whole_fields(units: int, pixels: int, size: int, stride: int, padding: int) -> list[int]:
    """The units along one axis whose field lies in the image."""
    return [i for i in range(units) if i * stride >= padding and i * stride - padding + size <= pixels]


FIELDS: list[Case] = [(4, 16, 4, 4, 0), (4, 15, 6, 4, 1), (6, 24, 6, 4, 1), (7, 224, 212, 32, 90), (16, 500, 404, 32, 189)]
"""(units, pixels, size, stride, padding); pool5 of VGG-16 and fc7 of FCN-32s last."""


def _drawn_fields(generator: torch.Generator) -> Case:
    return whole(generator, 2, 12), whole(generator, 9, 40), whole(generator, 2, 9), whole(generator, 1, 5), whole(generator, 0, 5)


EXERCISES = (
    Exercise(
        "02.1",
        reference=lambda: [[1, 1], [3, 3], [5, 9], [14, 9]],
        otherwise="Halve the side five times, rounding down, for pool5's map; then slide a window of 7 × 7 over it.",
        mistakes=(
            Mistake(
                lambda: [[7, 7], [9, 9], [11, 15], [20, 15]],
                "Those are the maps of pool5: fc6 is a window of 7 × 7 on them, so 6 units fewer remain along each axis.",
            ),
            Mistake(
                lambda: [[1, 1], [3, 3], [6, 10], [14, 9]],
                "Where a side is no multiple of 32, PyTorch's pools round down; yours round up, as Caffe's do.",
            ),
            Mistake(
                lambda: [[0, 0], [2, 2], [4, 8], [13, 8]],
                "Count the places, not the steps between them: at 224 pixels there are no steps and one place.",
            ),
            Mistake(lambda: [[1, 1]] * 4, "That is what a fully connected layer would give, if it ran at all: a convolution slides."),
            Mistake(lambda: [[1, 1], [3, 3], [9, 5], [9, 14]], "Rows come first: an image of 375 × 500 is 375 pixels high."),
        ),
        hints=(
            "Two steps along each axis: how large is pool5's map, and how many places has fc6's window on it (section 4)?",
            "The convolutions keep the size; each of the five pools halves it, rounding down. fc6 is a window of 7 × 7 without padding.",
            "A window of k has n - k + 1 places on n units. At 420 pixels, for instance, pool5 has 13 units in a row, and the map 7.",
        ),
    ),
    Exercise(
        "02.2",
        reference=_kernel,
        cases=_weights(),
        draw=_drawn_weight,
        otherwise="Flatten reads a map channel by channel, and each channel row by row: read the columns of the weight in the same order.",
        mistakes=(
            Mistake(
                _channels_last,
                "That is the colleague's code: it takes the channel to change fastest, as where maps are stored channels last.",
            ),
            Mistake(_columns_first, "Each window is read column by column: within a channel, flatten goes along the rows."),
            Mistake(
                lambda weight, channels, height, width: _kernel(weight, channels, height, width).flip(2, 3),
                "The kernel is upside down: PyTorch's convolution does not flip its kernel, so nothing is to be undone.",
            ),
            Mistake(
                lambda weight, channels, height, width: weight[:, :, None, None],
                "That is a 1 × 1 kernel on as many channels as the flattened map has numbers: the window is height × width.",
            ),
        ),
        hints=(
            "In which order does flatten read a map: which of channel, row and column changes fastest?",
            "The numbers lie in the right order already. What does the colleague's permute undo that flatten never did?",
            "A single view does it, without a permute. Name the four sizes so that the one that changes slowest comes first.",
        ),
    ),
    Exercise(
        "02.3",
        reference=lambda image, labels, size, stride: _crops(image, labels, size, stride),
        cases=_images(),
        draw=_drawn_image,
        otherwise="A crop starts at every `stride`-th row and column from 0, row by row; keep those whose middle label is not 255.",
        mistakes=(
            Mistake(
                partial(_crops, columns_first=True), "All crops are there, in the wrong order: the unit beside comes before the one below."
            ),
            Mistake(partial(_crops, less=1), "The last row or column of crops is missing: a crop may end with the image's last pixel."),
            Mistake(
                lambda image, labels, size, stride: _crops(image, labels, size, size),
                "These crops lie side by side; the map's units are a stride apart, so their crops overlap.",
            ),
            Mistake(
                lambda image, labels, size, stride: _crops(image, labels, size, 1),
                "There is a crop at every pixel: the net has a unit at every `stride`-th pixel only.",
            ),
            Mistake(
                lambda image, labels, size, stride: _crops(image, torch.zeros_like(labels), size, stride),
                "All crops are there, also those whose middle is void: they have no label to learn from.",
            ),
            Mistake(
                partial(_crops, place=0),
                "You look at a crop's corner for its label. A crop is to say what its middle is, `size // 2` further along both axes.",
            ),
        ),
        hints=(
            "At which rows and columns may a crop begin, so that all of it lies in the image?",
            "Two loops, down and inside it across; or `unfold`, as `cut` has it in section 2. Where is the middle of the first crop?",
            (
                "The middle of the crop at (y, x) lies `size // 2` further down and to the right. Loop over the rows, inside it over the "
                "columns, keep the slices whose middle has a class, and stack them."
            ),
        ),
    ),
    Exercise(
        "02.4",
        reference=_ratio,
        cases=NETS,
        draw=_drawn_net,
        otherwise="One pass: the convolutions on the area of the large image, the fully connected layers at each of the n² places.",
        mistakes=(
            Mistake(
                lambda n, conv, fc, crop, stride: n**2 * (conv + fc) / (conv * ((crop + n * stride) / crop) ** 2 + n**2 * fc),
                "The image is too large: n crops have n - 1 steps of a stride between them.",
            ),
            Mistake(lambda n, conv, fc, crop, stride: float(n**2), "One pass over the large image costs more than one over a crop."),
            Mistake(
                lambda n, conv, fc, crop, stride: n**2 * (conv + fc) / (conv * ((crop + (n - 1) * stride) / crop) ** 2 + fc),
                "The fully connected layers run once in your pass: as convolutions they run at each of the n² places.",
            ),
            Mistake(
                lambda n, conv, fc, crop, stride: (n * crop / (crop + (n - 1) * stride)) ** 2,
                "Only convolutions are shared by overlapping crops: the fully connected layers run n² times either way.",
            ),
            Mistake(_ratio_of_sides, "A convolution's cost grows with the area of its map, the square of the side."),
            Mistake(lambda *case: 1 / _ratio(*case), "Upside down: the ratio says how many times as much the crops cost."),
        ),
        hints=(
            "Write down two costs, one for each way. How large is the image that n × n crops cover together?",
            "A convolution's cost grows with the area of its map. A fully connected layer costs the same at every place, in either way.",
            (
                "Crops: n² times everything. One pass: conv times the ratio of the areas, and fc at every place; the large side is one "
                "crop, and a stride for each step between two crops."
            ),
        ),
    ),
    Exercise(
        "02.5",
        reference=_whole_fields,
        cases=FIELDS,
        draw=_drawn_fields,
        otherwise="Unit i sees the pixels from -padding + i · stride on, `size` of them: all must lie between 0 and pixels - 1.",
        mistakes=(
            Mistake(
                lambda units, pixels, size, stride, padding: _whole_fields(units, pixels + 1, size, stride, padding),
                "One too many: the last pixel has the number pixels - 1.",
            ),
            Mistake(
                lambda units, pixels, size, stride, padding: [i for i in range(units) if i * stride >= padding],
                "Fields hang over at the end as well as at the beginning.",
            ),
            Mistake(
                lambda units, pixels, size, stride, padding: [i for i in range(units) if i * stride + size <= pixels],
                "With padding, the field of unit 0 begins before the image, at -padding, and all others move with it.",
            ),
            Mistake(
                lambda units, pixels, size, stride, padding: list(range(units)),
                "All units are there: leave out those whose field hangs over the border, however little.",
            ),
        ),
        hints=(
            "Which pixels does unit i see? Notebook 01 gives the first and the last of them.",
            "Two conditions: the first pixel is not before the image, the last not behind it. Both are easy to write for a given i.",
            "Unit i sees `size` pixels from -padding + i · stride on. Keep the i for which the first and the last are among the image's.",
        ),
    ),
)
