"""Fields that papers and their released files have, on networks one channel wide: sections 1 to 6 of the collected numbers."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models as classification

from edu_seg.models import build
from edu_seg.receptive_field import ReceptiveField, receptive_field, receptive_fields

pytestmark = pytest.mark.usefixtures("one_thread")

Row = tuple[int, int, int, int]
"""(kernel, stride, padding, dilation) of one layer."""


def thin(rows: Sequence[Row]) -> nn.Module:
    """A chain of convolutions of one channel: for the field, a pool is one of them."""
    return nn.Sequential(*(nn.Conv2d(1, 1, k, s, p, d) for k, s, p, d in rows))


def field_of(rows: Sequence[Row], size: int = 1200) -> ReceptiveField:
    with torch.device("meta"):
        return receptive_field(thin(rows), (size, size), channels=1)


def triple(field: ReceptiveField) -> tuple[Any, Any, Any]:
    assert field.uniform
    return field.size[0], field.stride[0], field.padding[0]


def vgg(pools: Sequence[Row], dilation_of_5: int = 1, padding: int = 1) -> list[Row]:
    """VGG-16's thirteen convolutions with five pools of one's choice."""
    rows: list[Row] = []
    for stage, (number, pool) in enumerate(zip((2, 2, 3, 3, 3), pools, strict=True), start=1):
        dilation = dilation_of_5 if stage == 5 else 1
        rows += [(3, 1, padding * dilation, dilation)] * number + ([pool] if pool[0] else [])
    return rows


NONE: Row = (0, 0, 0, 0)
HALF: Row = (2, 2, 0, 1)
FRONT_END = [*vgg((HALF, HALF, HALF, NONE, NONE), dilation_of_5=2, padding=0), (7, 1, 0, 4), (1, 1, 0, 1), (1, 1, 0, 1)]
CONTEXT: list[Row] = [(3, 1, d, d) for d in (1, 1, 2, 4, 8, 16, 1)] + [(1, 1, 0, 1)]
V1_POOLS: tuple[Row, ...] = ((3, 2, 1, 1), (3, 2, 1, 1), (3, 2, 1, 1), (3, 1, 1, 1), (3, 1, 1, 1))
V1 = vgg(V1_POOLS, dilation_of_5=2)


def largefov(kernel: int, dilation: int) -> list[Row]:
    """DeepLab v1 with the extra average pool and a fc6 of one's choice."""
    return [*V1, (3, 1, 1, 1), (kernel, 1, dilation * (kernel - 1) // 2, dilation)]


def test_front_end() -> None:
    """Section 2: field 380, stride 8, no padding, (n − 372) / 8 units: 900 → 66, 500 → 16, 1396 → 128."""
    assert triple(field_of(FRONT_END)) == (380, 8, 0)
    for pixels, units in ((900, 66), (500, 16), (1396, 128)):
        assert field_of(FRONT_END, pixels).map_size == (units, units)
        assert units == (pixels - 372) // 8


def test_context_module() -> None:
    """Section 2: the fields of the paper's table 1, in units of the front-end's map and in pixels."""
    fields = receptive_fields(thin(CONTEXT), (99, 99), channels=1)
    assert [fields[str(n)].size[0] for n in range(8)] == [3, 5, 9, 17, 33, 65, 67, 67]
    fields = receptive_fields(thin([*FRONT_END, *CONTEXT]), (900, 900), channels=1)
    assert [fields[str(len(FRONT_END) + n)].size[0] for n in range(8)] == [396, 412, 444, 508, 636, 892, 908, 908]


@pytest.mark.parametrize(("dilations", "size"), [((1, 1, 2, 4, 8, 16, 32, 64, 1), 2444), ((1, 1, 2, 4, 8, 1), 652)])
def test_dilation_of_kitti_and_cityscapes(dilations: tuple[int, ...], size: int) -> None:
    """Section 2: 652 pixels for KITTI's module; Cityscapes' 2444 has one level more than 16, 32 and 64."""
    rows: list[Row] = [(3, 1, d, d) for d in dilations]
    found = field_of([*FRONT_END, *rows], 2000).size[0]
    assert found == 380 + 8 * 2 * sum(dilations)
    assert found == (652 if len(dilations) == 6 else 2444)


@pytest.mark.parametrize(("kernel", "dilation", "printed"), [(7, 4, 224), (4, 4, 128), (4, 8, 224), (3, 12, 224)])
def test_deeplab_v1_prints_another_number(kernel: int, dilation: int, printed: int) -> None:
    """Section 3: the column "RF" of the paper is 8 (r (k − 1) + 4), what the last kernel spans, not the field of the net."""
    assert 8 * (dilation * (kernel - 1) + 4) == printed
    assert field_of(largefov(kernel, dilation), 700).size[0] > printed


def test_deeplab_v1_fields() -> None:
    """Section 3: 435 with padding 217 for LargeFOV; 396 with plain pools; 308 for the base net, whose pool5 alone is 3 × 3."""
    assert triple(field_of(largefov(3, 12), 700)) == (435, 8, 217)
    plain_pools = vgg((HALF, HALF, HALF, (2, 1, 0, 1), (2, 1, 0, 1)), dilation_of_5=2)
    base_pools = vgg((HALF, HALF, HALF, (2, 1, 0, 1), (3, 1, 1, 1)), dilation_of_5=2)
    assert field_of([*base_pools, (4, 1, 0, 4)], 700).size[0] == 308
    for kernel, dilation in ((7, 4), (3, 12)):
        assert field_of([*plain_pools, (kernel, 1, 0, dilation)], 700).size[0] == 396


def test_multi_scale_branches() -> None:
    """Section 3: the branches on the data and on pool1 to pool4 see 3, 11, 27, 67 and 131 pixels after their 3 × 3."""
    assert [field_of([*V1[:layers], (3, 1, 1, 1)], 400).size[0] for layers in (0, 3, 6, 10, 14)] == [3, 11, 27, 67, 131]


class Bottlenecks(nn.Module):
    """A ResNet of thin blocks: (mid kernel strides and dilations), first or second convolution carrying the stride."""

    def __init__(self, stages: Sequence[Sequence[tuple[int, int]]], stem: Sequence[Row], stride_first: bool, basic: bool) -> None:
        super().__init__()
        rows = [*stem]
        for stage in stages:
            for stride, dilation in stage:
                if basic:
                    rows += [(3, stride, dilation, dilation), (3, 1, dilation, dilation)]
                elif stride_first:
                    rows += [(1, stride, 0, 1), (3, 1, dilation, dilation)]
                else:
                    rows += [(3, stride, dilation, dilation)]
        self.chain = thin(rows)  # the shortcut lies within what the block sees, so the hull is the chain's

    def forward(self, image: Tensor) -> Tensor:
        return self.chain(image)


STEM: list[Row] = [(7, 2, 3, 1), (3, 2, 1, 1)]
DEPTHS = {"18": (2, 2, 2, 2), "34": (3, 4, 6, 3), "50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}


def resnet(depth: str, strides: Sequence[int], stride_first: bool = False, stem: Sequence[Row] = STEM) -> nn.Module:
    stages = [[(stride, 1)] + [(1, 1)] * (number - 1) for number, stride in zip(DEPTHS[depth], strides, strict=True)]
    return Bottlenecks(stages, stem, stride_first, basic=depth in ("18", "34"))


@pytest.mark.parametrize(("depth", "second", "first"), [("50", 427, 483), ("101", 971, 1027), ("152", 1451, 1507)])
def test_the_place_of_the_stride(depth: str, second: int, first: int) -> None:
    """Sections 3 and 8: 427 with the stride in the 3 × 3 (torchvision), 483 with it in the 1 × 1 before (v1), and so on."""
    for stride_first, size in ((False, second), (True, first)):
        field = receptive_field(resnet(depth, (1, 2, 2, 2), stride_first), (256, 256), channels=1)
        assert triple(field) == (size, 32, size // 2)


DILATED = {
    "18": (435, 483, 355),
    "34": (899, 947, 819),
    "50": (427, 475, 411),
    "101": (971, 1019, 955),
}
"""Section 3, output stride 8: the first block of a stage keeps the old dilation, has the stage's own, or none."""


@pytest.mark.parametrize("depth", DILATED)
@pytest.mark.parametrize("convention", [0, 1, 2])
def test_three_conventions_of_dilation(depth: str, convention: int) -> None:
    basic = depth in ("18", "34")
    rows = [*STEM]
    for number, stride, dilation, before in zip(DEPTHS[depth], (1, 2, 1, 1), (1, 1, 2, 4), (1, 1, 1, 2), strict=True):
        one = (before, dilation, 1)[convention]
        two = 1 if convention == 2 else dilation  # DRN-A: neither convolution of the first block
        rows += [(3, stride, one, one)] + [(3, 1, two, two)] * basic
        rows += [(3, 1, dilation, dilation)] * ((number - 1) * (2 if basic else 1))
    size = DILATED[depth][convention]
    assert triple(field_of(rows, 256)) == (size, 8, size // 2)


def test_torchvision_has_the_first_convention() -> None:
    with torch.device("meta"):
        model = classification.resnet50(weights=None, replace_stride_with_dilation=[False, True, True])
    assert triple(receptive_field(model, (224, 224), "layer4")) == (427, 8, 213)


def test_deep_stem() -> None:
    """Section 4: PSPNet's three 3 × 3, 479 with the stride in the 3 × 3 and 487 in the 1 × 1, at output stride 8."""
    stem: list[Row] = [(3, 2, 1, 1), (3, 1, 1, 1), (3, 1, 1, 1), (3, 2, 1, 1)]
    for stride_first, size in ((False, 479), (True, 487)):
        rows = [*stem]
        for number, stride, dilation in zip(DEPTHS["50"], (1, 2, 1, 1), (1, 1, 2, 4), strict=True):
            for place in range(number):
                s = stride if place == 0 else 1
                rows += [(1, s, 0, 1), (3, 1, dilation, dilation)] if stride_first else [(3, s, dilation, dilation)]
        assert field_of(rows, 256).size[0] == size


@pytest.mark.parametrize(
    ("blocks", "levels"),
    [
        ((1, 1, 2, 2, 2, 2, 1, 1), [11, 17, 45, 101, 229, 485, 549, 581]),
        ((1, 1, 3, 4, 6, 3, 1, 1), [11, 17, 61, 181, 565, 949, 1013, 1045]),
    ],
)
def test_drn_c(blocks: Sequence[int], levels: list[int]) -> None:
    """Section 5: DRN-C-26 and C-42, the field after each level; a 7 × 7 first, strides 1 2 2 2 1 1 1 1, dilations 1 1 1 1 2 4 2 1."""
    rows: list[Row] = [(7, 1, 3, 1)]
    found = []
    for number, stride, dilation in zip(blocks, (1, 2, 2, 2, 1, 1, 1, 1), (1, 1, 1, 1, 2, 4, 2, 1), strict=True):
        for place in range(number):
            rows += [(3, stride if place == 0 else 1, dilation, dilation), (3, 1, dilation, dilation)]
        found.append(field_of(rows, 300).size[0])
    assert found == levels


class ThinUNet(nn.Module):
    """The U-Net's form with one channel: valid convolutions, 2 × 2 up-convolutions, centre crops."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)) for _ in range(5))
        self.up = nn.ModuleList(nn.ConvTranspose2d(1, 1, 2, 2) for _ in range(4))
        self.after = nn.ModuleList(nn.Sequential(nn.Conv2d(2, 1, 3), nn.Conv2d(1, 1, 3)) for _ in range(4))
        self.pool = nn.MaxPool2d(2)

    def forward(self, image: Tensor) -> Tensor:
        skips = [self.down[0](image)]
        for block in list(self.down)[1:]:
            skips.append(block(self.pool(skips[-1])))
        features = skips.pop()
        for up, after in zip(self.up, self.after, strict=True):
            features = up(features)
            skip = skips.pop()
            margin = (skip.shape[2] - features.shape[2]) // 2
            features = after(torch.cat([skip[:, :, margin:-margin, margin:-margin], features], 1))
        return features


def test_u_net() -> None:
    """Section 6: 572 → 388; 188 or 204 pixels, the first where the index is 0 to 3 beyond a multiple of 16; rows 0 and 387."""
    field = receptive_field(ThinUNet(), (572, 572), channels=1)
    assert field.map_size == (388, 388)
    assert field.rows(0) == (0, 187)
    assert field.rows(387) == (384, 571)
    sizes = [high - low + 1 for low, high in map(field.rows, range(388))]
    assert set(sizes) == {188, 204}
    assert {i % 16 for i, size in enumerate(sizes) if size == 188} == {0, 1, 2, 3}
    assert (field.stride, field.uniform) == ((1, 1), False)
    for i in (0, 5, 200):
        assert field.inside(i, i) == (field.rows(i), field.rows(i))


def test_fcn_outputs() -> None:
    """Section 1: an output pixel of FCN-32s sees 436; of 16s 436 or 468, half each; of 8s 468 in three cases of four."""
    with torch.device("meta"):
        nets = {name: build(name, 2) for name in ("fcn32s", "fcn16s", "fcn8s")}
    shares = {}
    for name, net in nets.items():
        field = receptive_field(net, (500, 500))
        sizes = [high - low + 1 for low, high in map(field.rows, range(96, 384))]  # away from the border, a multiple of every stride
        shares[name] = {size: Fraction(sizes.count(size), len(sizes)) for size in sorted(set(sizes))}
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    assert shares == {"fcn32s": {436: 1}, "fcn16s": {436: half, 468: half}, "fcn8s": {436: quarter, 468: 3 * quarter}}


def test_googlenet_with_and_without_its_pool() -> None:
    """Section 1: FCN's table says 907, which needs the average pool that its text drops; 715 without."""
    with torch.device("meta"):
        assert receptive_field(build("fcn_googlenet", 2), (224, 224), "score_fr").size == (715, 715)
        assert receptive_field(build("fcn_googlenet", 2, average_pool=True), (224, 224), "score_fr").size == (907, 907)


@pytest.mark.parametrize(
    ("rate", "nine", "six", "four", "one"),
    [(6, 0.664852, 0.301065, 0.034083, 0), (12, 0.397870, 0.465799, 0.136331, 0), (24, 0.068402, 0.386272, 0.545325, 0), (65, 0, 0, 0, 1)],
)
def test_how_many_taps_of_aspp_lie_on_the_map(rate: int, nine: float, six: float, four: float, one: float) -> None:
    """Section 3, DeepLab v3 figure 4: on 65 × 65 units, the share of positions at which 9, 6, 4 and 1 of the weights count."""
    field = receptive_field(nn.Conv2d(1, 1, 3, padding=rate, dilation=rate), (65, 65), channels=1)
    rows = np.array([(field.paths(i, 32).sum(1) > 0).sum() for i in range(65)])
    taps = np.outer(rows, rows)
    shares = [float((taps == number).mean()) for number in (9, 6, 4, 1)]
    assert shares == pytest.approx([nine, six, four, one], abs=1e-6)


@pytest.mark.parametrize(
    ("dilations", "read", "hull"),
    [
        ((2, 2, 2), 49, 169),
        ((4, 4, 4), 49, 625),
        ((1, 2, 4), 225, 225),
        ((1, 2, 5), 289, 289),
        ((1, 2, 9), 441, 625),
        ((2, 2, 4, 4, 2, 1), 961, 961),
    ],
)
def test_holes(dilations: Sequence[int], read: int, hull: int) -> None:
    """Claim 5: which pixels a dilated stack reads, and by how many paths: the product of the counts along each axis."""
    model = nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=d, dilation=d) for d in dilations))
    field = receptive_field(model, (41, 41), channels=1)
    paths = field.paths(20, 20)
    assert (int((paths > 0).sum()), field.size[0] * field.size[1]) == (read, hull)
    assert paths.sum() == 9 ** len(dilations)
    along = np.ones(1)
    for d in dilations:
        along = np.convolve(along, np.eye(1, 2 * d + 1).ravel() + np.eye(1, 2 * d + 1, d).ravel() + np.eye(1, 2 * d + 1, 2 * d).ravel())
    reach = sum(dilations)
    assert np.array_equal(paths[20 - reach : 21 + reach, 20 - reach : 21 + reach], np.outer(along, along))
