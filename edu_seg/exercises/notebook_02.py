"""Exercises of notebook 02: fully connected layers as convolutions."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from edu_seg.exercises.checking import Case, Exercise, Mistake


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


def _crops(
    image: Float[Tensor, "C H W"], size: int, stride: int, *, less: int = 0, columns_first: bool = False
) -> Float[Tensor, "n C k k"]:
    """All crops of size × size, `stride` pixels apart, row by row; `less` leaves out that many pixels at the end."""
    rows, columns = (range(0, length - size + 1 - less, stride) for length in image.shape[1:])
    corners = [(y, x) for x in columns for y in rows] if columns_first else [(y, x) for y in rows for x in columns]
    return torch.stack([image[:, y : y + size, x : x + size] for y, x in corners])


def _images() -> list[Case]:
    sizes = [((1, 3, 4), 2, 1), ((1, 5, 7), 3, 2), ((3, 8, 11), 4, 3)]
    return [(torch.arange(float(c * h * w)).view(c, h, w), size, stride) for (c, h, w), size, stride in sizes]


def _ratio(n: int, conv: float, fc: float, crop: int, stride: int) -> float:
    """Multiply-adds of n × n crops over those of one pass: convolutions are shared, fully connected layers are not."""
    side = crop + (n - 1) * stride
    return n**2 * (conv + fc) / (conv * (side / crop) ** 2 + n**2 * fc)


def _ratio_of_sides(n: int, conv: float, fc: float, crop: int, stride: int) -> float:
    return n**2 * (conv + fc) / (conv * (crop + (n - 1) * stride) / crop + n**2 * fc)


NETS: list[Case] = [(1, 3.0, 1.0, 32, 8), (2, 3.0, 1.0, 32, 8), (10, 666.0, 58.6, 227, 32), (10, 15_346.6, 123.6, 224, 32)]
"""(n, conv, fc, crop, stride); costs in millions, those of AlexNet and VGG-16 last."""


def _whole_fields(units: int, pixels: int, size: int, stride: int, padding: int) -> list[int]:
    """The units along one axis whose field lies in the image."""
    return [i for i in range(units) if i * stride >= padding and i * stride - padding + size <= pixels]


FIELDS: list[Case] = [(4, 16, 4, 4, 0), (4, 15, 6, 4, 1), (6, 24, 6, 4, 1), (7, 224, 212, 32, 90), (16, 500, 404, 32, 189)]
"""(units, pixels, size, stride, padding); pool5 of VGG-16 and fc7 of FCN-32s last."""

EXERCISES = (
    Exercise(
        "02.1",
        reference=lambda: [[1, 1], [2, 2], [5, 9], [10, 10]],
        otherwise="Halve the side five times, rounding down, for pool5's map; then slide a window of 7 × 7 over it.",
        mistakes=(
            Mistake(
                lambda: [[7, 7], [8, 8], [11, 15], [16, 16]],
                "Those are the maps of pool5: fc6 is a window of 7 × 7 on them, so 6 units fewer remain along each axis.",
            ),
            Mistake(
                lambda: [[1, 1], [2, 2], [6, 10], [10, 10]],
                "Where a side is no multiple of 32, PyTorch's pools round down; yours round up, as Caffe's do.",
            ),
            Mistake(
                lambda: [[0, 0], [1, 1], [4, 8], [9, 9]],
                "Count the places, not the steps between them: at 224 pixels there are no steps and one place.",
            ),
            Mistake(lambda: [[1, 1]] * 4, "That is what a fully connected layer would give, if it ran at all: a convolution slides."),
            Mistake(lambda: [[1, 1], [2, 2], [9, 5], [10, 10]], "Rows come first: an image of 375 × 500 is 375 pixels high."),
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
        reference=lambda image, size, stride: _crops(image, size, stride),
        cases=_images(),
        otherwise="A crop starts at every `stride`-th row and column from 0, as long as all of it lies in the image; row by row.",
        mistakes=(
            Mistake(
                partial(_crops, columns_first=True), "All crops are there, in the wrong order: the unit beside comes before the one below."
            ),
            Mistake(partial(_crops, less=1), "The last row or column of crops is missing: a crop may end with the image's last pixel."),
            Mistake(
                lambda image, size, stride: _crops(image, size, size),
                "These crops lie side by side; the map's units are a stride apart, so their crops overlap.",
            ),
            Mistake(
                lambda image, size, stride: _crops(image, size, 1),
                "There is a crop at every pixel: the net has a unit at every `stride`-th pixel only.",
            ),
        ),
        hints=(
            "At which rows and columns may a crop begin, so that all of it lies in the image?",
            "Two loops, down and inside it across, in steps of `stride`; or `unfold` along both axes, as `cut` does in section 2.",
            (
                "With loops: the rows are 0, stride, 2 · stride …, as far as H - size, this one included; stack the slices. With "
                "`unfold`: the channels' axis has to move behind those that count the crops."
            ),
        ),
    ),
    Exercise(
        "02.4",
        reference=_ratio,
        cases=NETS,
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
