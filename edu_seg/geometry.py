"""Where the units of a feature map sit on the image, and how much of it they see: exact arithmetic, no torch.

Two small value types do all the work. A `Field` says what unit i of a map sees: the pixels
[-padding + i * stride, -padding + i * stride + size - 1], along one axis. A `Grid` says only where unit i sits: at pixel
`centre + i * stride`, a fraction. Fields belong to the way down (convolutions, pools); grids also survive the way up
(transposed convolutions), and two maps may be added only where their grids meet: that is all a crop offset is.
"""

from dataclasses import dataclass
from fractions import Fraction


def output_size(size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1, *, ceil_mode: bool = False) -> int:
    """Units that a convolution or pool makes of `size` units (along one axis).

    With `ceil_mode` the last window may hang over the end, but has to begin inside the input or its left padding, as in
    Caffe and PyTorch. Raises ValueError where not even one window fits.
    """
    _check_window(kernel_size, stride, padding, dilation)
    span = size + 2 * padding - dilation * (kernel_size - 1) - 1
    steps = -(-span // stride) if ceil_mode else span // stride
    if ceil_mode and steps * stride >= size + padding:
        steps -= 1
    if steps < 0 or size < 1:
        raise ValueError(
            f"a window of {dilation * (kernel_size - 1) + 1} does not fit into {size} units padded by {padding} on each side: "
            "use a larger input or more padding"
        )
    return steps + 1


def transposed_output_size(
    size: int, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1, output_padding: int = 0
) -> int:
    """Units that a transposed convolution makes of `size` units: the sizes of `output_size`, read from right to left.

    Raises ValueError where the padding cuts all of them off.
    """
    _check_window(kernel_size, stride, padding, dilation)
    if size < 1:
        raise ValueError(f"a transposed convolution needs at least one unit, got {size}")
    made = (size - 1) * stride + dilation * (kernel_size - 1) + 1 - 2 * padding + output_padding
    if made < 1:
        raise ValueError(f"a padding of {padding} cuts more off than {size} units make, so nothing is left: use less padding")
    return made


def _check_window(kernel_size: int, stride: int, padding: int, dilation: int) -> None:
    if min(kernel_size, stride, dilation) < 1 or padding < 0:
        raise ValueError(
            f"kernel_size {kernel_size}, stride {stride}, padding {padding} and dilation {dilation} make no window: "
            "a padding is at least 0, the others at least 1"
        )


@dataclass(frozen=True)
class Grid:
    """Unit i of a map sits at pixel `centre + i * stride` of the image (along one axis; both are exact fractions)."""

    stride: Fraction = Fraction(1)
    centre: Fraction = Fraction(0)

    def transposed(self, kernel_size: int, stride: int = 1, padding: int = 0) -> "Grid":
        """The grid after a transposed convolution: the middle of its kernel keeps the place of the unit that it came from."""
        finer = self.stride / stride
        return Grid(finer, self.centre - finer * (Fraction(kernel_size - 1, 2) - padding))

    def cropped(self, offset: int) -> "Grid":
        """The grid of `map[offset:]`."""
        return Grid(self.stride, self.centre + offset * self.stride)


PIXELS = Grid()
"""The grid of the image itself."""


def crop_offset(grid: Grid, reference: Grid) -> int:
    """How many units of `grid` come before unit 0 of `reference`: the offset of Caffe's Crop layer. Negative: `reference` starts first.

    Raises ValueError where the two grids cannot meet, because the strides differ or the offset is no integer.
    Source: the crop offsets of the released FCN files (19 for FCN-32s; 5 and 27 for 16s; 5, 9 and 31 for 8s).
    """
    if grid.stride != reference.stride:
        raise ValueError(f"maps of stride {grid.stride} and {reference.stride} cannot be aligned: upsample the coarser one first")
    offset = (reference.centre - grid.centre) / grid.stride
    if offset.denominator != 1:
        raise ValueError(
            f"the two maps are {offset} units apart, which is no integer: change a padding by one, or an odd kernel to an even one"
        )
    return int(offset)


@dataclass(frozen=True)
class Field:
    """Unit i sees the pixels [-padding + i * stride, -padding + i * stride + size - 1] (along one axis, not clipped to the image)."""

    size: int = 1
    stride: int = 1
    padding: int = 0

    def then(self, kernel_size: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> "Field":
        """The field after one more convolution or pool: f_ks ∘ g_k's' = (f ∘ g)_{k' + (k - 1) s', s s'} (FCN section 3, eq. 2)."""
        reach = dilation * (kernel_size - 1)
        return Field(self.size + reach * self.stride, self.stride * stride, self.padding + padding * self.stride)

    @property
    def grid(self) -> Grid:
        """Where the units sit: in the middle of what they see."""
        return Grid(Fraction(self.stride), Fraction(self.size - 1, 2) - self.padding)
