"""geometry: sizes against torch, fields against their definition, and the alignment of the released FCNs as exact fractions."""

from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from edu_seg.geometry import PIXELS, Field, Grid, crop_offset, output_size, transposed_output_size

SIZES, KERNELS, STRIDES = st.integers(1, 40), st.integers(1, 7), st.integers(1, 5)
PADDINGS, DILATIONS = st.integers(0, 6), st.integers(1, 4)
quick = settings(max_examples=150, deadline=None, derandomize=True)


def meta(size: int) -> torch.Tensor:
    """A row of `size` units without memory: torch works out shapes alone."""
    return torch.empty(1, 1, size, device="meta")


@quick
@given(SIZES, KERNELS, STRIDES, PADDINGS, DILATIONS)
@example(7, 7, 1, 0, 1)
@example(1, 3, 2, 1, 1)
def test_a_convolution_has_torchs_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    weight = torch.empty(1, 1, kernel, device="meta")
    if size + 2 * padding < dilation * (kernel - 1) + 1:
        with pytest.raises(
            ValueError, match=f"a window of {dilation * (kernel - 1) + 1} does not fit into {size} units padded by {padding}"
        ):
            output_size(size, kernel, stride, padding, dilation)
    else:
        made = F.conv1d(meta(size), weight, stride=stride, padding=padding, dilation=dilation)
        assert output_size(size, kernel, stride, padding, dilation) == made.shape[-1]


@quick
@given(SIZES, KERNELS, STRIDES, PADDINGS, DILATIONS, st.booleans())
@example(1, 2, 2, 0, 1, True)  # the window hangs over the end
@example(3, 2, 2, 1, 1, True)  # the last window would begin in the right padding
@example(22, 3, 2, 0, 1, True)
def test_a_pool_has_torchs_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> None:
    assume(padding <= kernel // 2)  # torch allows no more
    pool = torch.nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    try:
        wanted = pool(torch.zeros(1, 1, size)).shape[-1]
    except RuntimeError:
        with pytest.raises(ValueError, match="does not fit into"):
            output_size(size, kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    else:
        assert output_size(size, kernel, stride, padding, dilation, ceil_mode=ceil_mode) == wanted


@quick
@given(SIZES, KERNELS, STRIDES, PADDINGS, DILATIONS, st.integers(0, 4))
@example(1, 1, 1, 1, 1, 0)  # nothing is left
def test_a_transposed_convolution_has_torchs_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, output_padding: int
) -> None:
    assume(output_padding < max(stride, dilation))  # torch allows no more
    arguments: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
    try:
        wanted = F.conv_transpose1d(torch.zeros(1, 1, size), torch.zeros(1, 1, kernel), **arguments).shape[-1]
    except RuntimeError:
        with pytest.raises(ValueError, match="nothing is left"):
            transposed_output_size(size, kernel, **arguments)
    else:
        assert transposed_output_size(size, kernel, **arguments) == wanted


@quick
@given(SIZES, KERNELS, STRIDES, PADDINGS, DILATIONS)
def test_the_transposed_size_reads_the_size_from_right_to_left(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    assume(size + 2 * padding >= dilation * (kernel - 1) + 1)
    units = output_size(size, kernel, stride, padding, dilation)
    left_over = (size + 2 * padding - dilation * (kernel - 1) - 1) % stride
    assert transposed_output_size(units, kernel, stride, padding, dilation, left_over) == size


@pytest.mark.parametrize(
    ("function", "message"), [(output_size, "does not fit into 0 units"), (transposed_output_size, "at least one unit, got 0")]
)
def test_no_units_make_none(function, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(0, 1)


@pytest.mark.parametrize("function", [output_size, transposed_output_size])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "kernel_size 0"),
        ({"kernel_size": 3, "stride": 0}, "stride 0"),
        ({"kernel_size": 3, "stride": -2}, "stride -2"),
        ({"kernel_size": 3, "dilation": 0}, "dilation 0"),
        ({"kernel_size": 3, "padding": -1}, "padding -1"),
    ],
)
def test_a_window_that_is_none_is_named(function, arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(9, **arguments)


# --- receptive fields -----------------------------------------------------------------------------------------------------------

Layer = tuple[int, int, int, int]  # kernel, stride, padding, dilation
LAYERS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 2)), min_size=1, max_size=4)


def seen(layers: list[Layer], unit: int) -> set[int]:
    """By definition: the pixels that reach one unit, layer by layer, with no edges."""
    units = {unit}
    for kernel, stride, padding, dilation in reversed(layers):
        units = {i * stride - padding + tap * dilation for i in units for tap in range(kernel)}
    return units


@quick
@given(LAYERS, st.integers(-3, 9))
def test_a_field_is_the_span_of_what_a_unit_sees(layers: list[Layer], unit: int) -> None:
    field = Field()
    for layer in layers:
        field = field.then(*layer)
    pixels = seen(layers, unit)
    first = -field.padding + unit * field.stride
    assert (min(pixels), max(pixels)) == (first, first + field.size - 1)
    assert field.grid.centre + unit * field.grid.stride == Fraction(min(pixels) + max(pixels), 2)


def test_composition_on_144_pairs() -> None:
    """f_ks ∘ g_k's' = (f ∘ g)_{k' + (k - 1) s', s s'}: eq. 2 of the paper, against two convolutions in a row (claim 10)."""
    generator = torch.Generator().manual_seed(0)
    pairs = list(product((1, 2, 3, 5), (1, 2, 3), (1, 2, 3, 4), (1, 2, 3)))
    assert len(pairs) == 144
    for k, s, k_inner, s_inner in pairs:
        field = Field().then(k_inner, s_inner).then(k, s)
        assert (field.size, field.stride) == (k_inner + (k - 1) * s_inner, s * s_inner)
        outer = torch.randn(1, 1, k, generator=generator, dtype=torch.float64)
        inner = torch.randn(1, 1, k_inner, generator=generator, dtype=torch.float64)
        row = torch.randn(1, 1, 50, generator=generator, dtype=torch.float64)
        composite = F.conv_transpose1d(outer, inner, stride=s_inner)
        assert composite.shape[-1] == field.size
        two_steps = F.conv1d(F.conv1d(row, inner, stride=s_inner), outer, stride=s)
        torch.testing.assert_close(F.conv1d(row, composite, stride=field.stride), two_steps, rtol=0, atol=1e-9)


# --- the released FCNs, written down layer by layer in this file ----------------------------------------------------------------


@cache
def vgg_fields(pad: int) -> dict[str, Field]:
    """pool3, pool4 and fc7 of VGG-16 with conv1_1 padded by `pad`."""
    fields, field = {}, Field()
    for stage, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
        for number in range(convolutions):
            field = field.then(3, padding=pad if stage == 1 and number == 0 else 1)
        field = fields[f"pool{stage}"] = field.then(2, stride=2)
    return fields | {"fc7": field.then(7).then(1)}


@cache
def alexnet_field(pad: int) -> Field:
    field = Field().then(11, 4, pad).then(3, 2).then(5, padding=2).then(3, 2)
    return field.then(3, padding=1).then(3, padding=1).then(3, padding=1).then(3, 2).then(6).then(1)


@cache
def vgg_offsets(pad: int) -> dict[str, list[int]]:
    """The offsets of the Crop layers, from coarse to fine: of the skip that is cut, then of the output."""
    fields = vgg_fields(pad)
    fc7, pool4, pool3 = (fields[name].grid for name in ("fc7", "pool4", "pool3"))
    offsets = {"32s": [crop_offset(fc7.transposed(64, 32), PIXELS)]}
    doubled = fc7.transposed(4, 2)
    offsets["16s"] = [crop_offset(pool4, doubled), crop_offset(doubled.transposed(32, 16), PIXELS)]
    again = doubled.transposed(4, 2)
    offsets["8s"] = [offsets["16s"][0], crop_offset(pool3, again), crop_offset(again.transposed(16, 8), PIXELS)]
    return offsets


def test_fields_of_the_released_nets() -> None:
    fields = vgg_fields(100)
    assert fields["fc7"] == Field(404, 32, 189)
    assert [(fields[f"pool{i}"].size, fields[f"pool{i}"].stride) for i in range(1, 6)] == [(6, 2), (16, 4), (44, 8), (100, 16), (212, 32)]
    assert alexnet_field(100) == Field(355, 32, 164)


def test_crop_offsets_of_the_released_nets() -> None:
    assert vgg_offsets(100) == {"32s": [19], "16s": [5, 27], "8s": [5, 9, 31]}
    assert crop_offset(alexnet_field(100).grid.transposed(63, 32), PIXELS) == 18


UNIT_OF_OUTPUT = {"32s": ([], 64, 32, 19), "16s": ([(4, 2)], 32, 16, 27), "8s": ([(4, 2), (4, 2)], 16, 8, 31)}


@pytest.mark.parametrize(("net", "largest"), [("32s", Fraction(31, 2)), ("16s", Fraction(15, 2)), ("8s", Fraction(23, 2))])
def test_an_output_pixel_lies_in_the_middle_of_what_it_sees_on_average(net: str, largest: Fraction) -> None:
    """A pixel sees what the units do that reach it. The middle of that is off by up to ±15.5, ±7.5, ±11.5, and by 0 on average."""
    fields = vgg_fields(100)
    distances = [middle - pixel for pixel, (middle, _) in enumerate(output_spans(net, fields), start=PERIOD * 4)]
    assert sum(distances) == 0
    assert (min(distances), max(distances)) == (-largest, largest)


PERIOD = 32


def output_spans(net: str, fields: dict[str, Field]) -> list[tuple[Fraction, int]]:
    """(middle, size) of what each output pixel sees, for one period of 32 pixels, skips included; by sets of units, no formulas."""
    chain, kernel, stride, offset = UNIT_OF_OUTPUT[net]
    skips = [("pool4", 5), ("pool3", 9)][: len(chain)]
    spans = []
    for pixel in range(PERIOD * 4, PERIOD * 5):
        units, pixels = upsampled_from({pixel + offset}, kernel, stride), []
        for (up_kernel, up_stride), (skip, skip_offset) in zip(reversed(chain), reversed(skips), strict=True):
            pixels += [edge for unit in units for edge in edges(fields[skip], unit + skip_offset)]
            units = upsampled_from(units, up_kernel, up_stride)
        pixels += [edge for unit in units for edge in edges(fields["fc7"], unit)]
        spans.append((Fraction(min(pixels) + max(pixels), 2), max(pixels) - min(pixels) + 1))
    return spans


def edges(field: Field, unit: int) -> tuple[int, int]:
    first = -field.padding + unit * field.stride
    return first, first + field.size - 1


def upsampled_from(units: set[int], kernel: int, stride: int) -> set[int]:
    """The units below a transposed convolution from which one of `units` gets something."""
    return {i for unit in units for i in range(unit // stride - kernel, unit // stride + 1) if 0 <= unit - i * stride < kernel}


def test_what_one_output_pixel_sees() -> None:
    """32s 436 always; 16s 436 and 468, half each; 8s 436 for a quarter of the pixels and 468 for the others."""
    fields = vgg_fields(100)
    sizes = {net: [size for _, size in output_spans(net, fields)] for net in UNIT_OF_OUTPUT}
    assert set(sizes["32s"]) == {436}
    assert (sizes["16s"].count(436), sizes["16s"].count(468)) == (16, 16)
    assert (sizes["8s"].count(436), sizes["8s"].count(468)) == (8, 24)


@cache
def vgg_sizes(padded: int) -> dict[str, int]:
    """The sizes of pool1 … fc7 for an image that fills `padded` pixels with its padding."""
    sizes, units = {}, output_size(padded, 3)
    for stage in range(1, 6):
        units = sizes[f"pool{stage}"] = output_size(units, 2, 2, ceil_mode=True)
    return sizes | {"fc7": output_size(units, 7)}


def covers(size: int, pad: int, net: str) -> bool | None:
    """Whether every crop of the net lies inside the map that it cuts; None where fc6 finds no 7 units."""
    try:
        sizes = vgg_sizes(size + 2 * pad)
    except ValueError:
        return None
    *skip_offsets, image_offset = vgg_offsets(pad)[net]
    units = sizes["fc7"]
    for offset, skip in zip(skip_offsets, ("pool4", "pool3"), strict=False):
        units = transposed_output_size(units, 4, 2)
        if offset < 0 or offset + units > sizes[skip]:
            return False
    stride = {"32s": 32, "16s": 16, "8s": 8}[net]
    return 0 <= image_offset <= transposed_output_size(units, 2 * stride, stride) - size


@pytest.mark.parametrize("net", ["32s", "16s", "8s"])
def test_pad_100_is_not_special(net: str) -> None:
    """Every pad of 81..120 serves every size that leaves fc6 its 7 units, if the offsets are computed; from 97 on that is every size."""
    found = {pad: [covers(size, pad, net) for size in range(1, 130)] for pad in range(81, 121)}
    assert [pad for pad, covered in found.items() if False in covered] == []
    assert [pad for pad, covered in found.items() if None in covered] == list(range(81, 97))
    assert [len(covered) - covered.count(None) for pad, covered in found.items() if pad < 97] == [
        129 - (194 - 2 * pad) for pad in range(81, 97)
    ]


def test_less_than_pad_81_cuts_32s_short() -> None:
    assert False in [covers(size, 80, "32s") for size in range(1, 130)]


@cache
def alexnet_pool5(padded: int) -> int:
    units = output_size(padded, 11, 4)
    for _ in range(3):
        units = output_size(units, 3, 2, ceil_mode=True)
    return units


@cache
def alexnet_offset(pad: int) -> int:
    return crop_offset(alexnet_field(pad).grid.transposed(63, 32), PIXELS)


def alexnet_covers(size: int, pad: int) -> bool | None:
    units = alexnet_pool5(size + 2 * pad)
    if units < 6:
        return None
    return 0 <= alexnet_offset(pad) <= transposed_output_size(output_size(units, 6), 63, 32) - size


def test_pads_of_alexnet() -> None:
    """Every pad of 85..120 serves every size that leaves fc6 its 6 units, and from 99 on every size; 84 does not."""
    found = {pad: [alexnet_covers(size, pad) for size in range(1, 130)] for pad in range(84, 121)}
    assert [pad for pad, covered in found.items() if False in covered] == [84]
    assert [pad for pad, covered in found.items() if None in covered] == list(range(84, 99))


@pytest.mark.parametrize(("chain", "offset", "broken"), [(1, 19, 421), (2, 27, 157), (3, 31, 25)])
def test_floor_pooling_would_break_sizes(chain: int, offset: int, broken: int) -> None:
    """Of the sizes 1..1100, with the official offsets: 421 for 32s, 157 for 16s, 25 for 8s; none with pools that round up."""
    assert [sum(misses(size, chain, offset, ceil) for size in range(1, 1101)) for ceil in (False, True)] == [broken, 0]


def misses(size: int, chain: int, offset: int, ceil_mode: bool) -> bool:
    units, pools = output_size(size, 3, padding=100), []
    for _ in range(5):
        units = output_size(units, 2, 2, ceil_mode=ceil_mode)
        pools.append(units)
    if units < 7:
        return True  # fc6 does not fit
    units = output_size(units, 7)
    for skip, skip_offset in list(zip((pools[3], pools[2]), (5, 9), strict=True))[: chain - 1]:
        units = transposed_output_size(units, 4, 2)
        if skip_offset + units > skip:
            return True
    stride = 32 >> (chain - 1)
    return transposed_output_size(units, 2 * stride, stride) < offset + size


# --- grids ----------------------------------------------------------------------------------------------------------------------


@quick
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 3), st.fractions(-9, 9, max_denominator=4), st.integers(0, 5))
def test_a_transposed_kernel_keeps_its_middle_on_its_unit(kernel: int, stride: int, padding: int, centre: Fraction, unit: int) -> None:
    grid = Grid(Fraction(8), centre)
    finer = grid.transposed(kernel, stride, padding)
    taps = [unit * stride + tap - padding for tap in range(kernel)]  # the finer units that `unit` writes to
    middle = sum((finer.centre + tap * finer.stride for tap in taps), Fraction()) / kernel
    assert middle == grid.centre + unit * grid.stride
    assert finer.stride * stride == grid.stride


def test_a_cropped_grid_begins_later() -> None:
    assert Grid(Fraction(4), Fraction(3, 2)).cropped(3) == Grid(Fraction(4), Fraction(27, 2))


def test_offsets_count_units_and_may_be_negative() -> None:
    assert crop_offset(Grid(Fraction(2), Fraction(-6)), Grid(Fraction(2), Fraction(4))) == 5
    assert crop_offset(Grid(Fraction(2), Fraction(4)), Grid(Fraction(2), Fraction(-6))) == -5


def test_grids_that_cannot_meet() -> None:
    with pytest.raises(ValueError, match="stride 2 and 1 cannot be aligned: upsample the coarser"):
        crop_offset(Grid(Fraction(2)), PIXELS)
    with pytest.raises(ValueError, match="1/2 units apart, which is no integer: change a padding"):
        crop_offset(PIXELS, Grid(Fraction(1), Fraction(1, 2)))
