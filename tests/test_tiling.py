"""Overlap-tile inference: the mirror against numpy's, and tiles against the whole image, to the last bit."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edu_seg.models.unet import UNet
from edu_seg.tiling import mirror_pad, overlap_tile

pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def test_the_mirror_by_hand() -> None:
    row = torch.arange(4.0).view(1, 1, 1, 4)
    assert mirror_pad(row, 0, 0, 5, 4)[0, 0, 0].tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]
    assert mirror_pad(row[..., :2], 0, 0, 3, 2)[0, 0, 0].tolist() == [1, 0, 1, 0, 1, 0, 1]
    assert mirror_pad(row[..., 3:], 1, 1, 2, 0)[0, 0].tolist() == [[3, 3, 3]] * 3


@settings(deadline=None, max_examples=60)
@given(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.tuples(*[st.integers(0, 40)] * 4))
def test_the_mirror_is_numpys(size: tuple[int, int], pads: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = pads
    images = drawn(1, 2, *size)
    wanted = np.pad(images.numpy(), ((0, 0), (0, 0), (top, bottom), (left, right)), mode="reflect")
    assert torch.equal(mirror_pad(images, top, bottom, left, right), torch.from_numpy(wanted))


def integer_net(levels: int = 3, seed: int = 0) -> UNet:
    """A U-Net whose weights are -1, 0 and 1: on images of integers every sum is exact, in whatever order it is taken."""
    torch.manual_seed(seed)
    net = UNet(2, 1, (2,) * levels, padding="valid", dropout=0.0).double()
    for parameter in net.parameters():
        parameter.data.copy_(torch.randint(-1, 2, parameter.shape))
        if parameter.ndim > 1:
            parameter.data[0] = parameter.data[0].abs()  # something stays positive
    return net.eval()


def mirrored(net: UNet) -> UNet:
    """The same net with the border mirrored: the whole image in one pass."""
    whole = UNet(2, net.in_channels, tuple(level[0].out_channels for level in net.down), padding="mirror", dropout=0.0).double()  # pyright: ignore[reportArgumentType,reportIndexIssue]
    whole.load_state_dict(net.state_dict())
    return whole.eval()


@pytest.mark.parametrize(("levels", "seed"), [*((3, seed) for seed in range(6)), (5, 1), (5, 3)])
def test_tiles_are_the_whole_image_to_the_last_bit(levels: int, seed: int) -> None:
    """Random sizes and tiles, three levels (margin 20, stride 4) and the paper's five; integers throughout, so nothing is rounded."""
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in random.integers(1, 150 if levels == 5 else 60, 2))
    net = integer_net(levels, seed)
    tile = tuple(int(2 * net.margin + net.stride * random.integers(1, 5) + 4) for _ in range(2))
    images = torch.from_numpy(random.integers(0, 4, (1, 1, height, width))).double()
    with torch.no_grad():
        whole = mirrored(net)(images)
    assert 0 < whole.abs().max() < 2**53
    assert torch.equal(overlap_tile(net, images, (tile[0], tile[1]), margin=net.margin, stride=net.stride), whole)


@pytest.mark.parametrize("tile", [204, 220, (236, 204)])
def test_tiles_with_random_weights(tile: Any) -> None:
    torch.manual_seed(0)
    net = UNet(3, 2, (3, 4, 5, 6, 7), padding="valid", dropout=0.0).double().eval()
    whole = UNet(3, 2, (3, 4, 5, 6, 7), padding="mirror", dropout=0.0).double().eval()
    whole.load_state_dict(net.state_dict())
    images = drawn(2, 2, 75, 40)
    with torch.no_grad():
        wanted = whole(images)
    assert wanted.std() > 0.1
    torch.testing.assert_close(overlap_tile(net, images, tile, margin=92, stride=16), wanted, rtol=0, atol=1e-12)


def test_tiles_must_begin_at_multiples_of_the_stride() -> None:
    """Four levels: a tile of 100 predicts 12 pixels, but the next one has to begin 8 further on, or the pools put other pairs together."""
    net, images = integer_net(4), torch.randint(0, 4, (1, 1, 30, 8), generator=torch.Generator().manual_seed(1)).double()
    assert (net.margin, net.stride, net.smallest) == (44, 8, 92)
    with torch.no_grad():
        whole = mirrored(net)(images)
    assert 0 < whole.abs().max() < 2**53
    assert torch.equal(overlap_tile(net, images, 100, margin=44, stride=8), whole)
    careless = overlap_tile(net, images, 100, margin=44)
    assert torch.equal(careless[:, :, :12], whole[:, :, :12])
    assert not torch.equal(careless, whole)


def test_a_net_without_pools_may_begin_anywhere() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 5)).double()
    images = drawn(2, 1, 23, 11)
    with torch.no_grad():
        whole = net(F.pad(images, (3, 3, 3, 3), mode="reflect"))
    for tile in (7, (8, 13), 40):
        torch.testing.assert_close(overlap_tile(net, images, tile, margin=3), whole, rtol=0, atol=1e-12)


def test_how_many_tiles_are_asked_for() -> None:
    asked: list[tuple[int, ...]] = []

    def crop(tile: Tensor) -> Tensor:
        asked.append(tuple(tile.shape))
        return tile[:, :, 92:-92, 92:-92]

    images = drawn(2, 1, 385, 384)
    assert torch.equal(overlap_tile(crop, images, 572, margin=92, stride=16), images)
    assert asked == [(2, 1, 572, 572)] * 2


def test_errors() -> None:
    images = drawn(1, 1, 5, 5)
    with pytest.raises(
        ValueError, match="a tile of 188 × 188 leaves less than a stride of 16 within its margin of 92: take tiles of at least 200"
    ):
        overlap_tile(lambda tile: tile, images, 188, margin=92, stride=16)
    with pytest.raises(ValueError, match="the model made 9 × 9 of a tile whose margins leave 5 × 5"):
        overlap_tile(lambda tile: tile, images, 9, margin=2)
    with pytest.raises(ValueError, match="images need at least one pixel and one example"):
        overlap_tile(lambda tile: tile, images[:, :, :0], 9, margin=2)
    with pytest.raises(ValueError, match="none may be negative"):
        mirror_pad(images, 0, 0, -1, 0)


def test_nothing_is_recorded_for_a_backward_pass() -> None:
    net = nn.Conv2d(1, 1, 3)
    assert not overlap_tile(net, torch.rand(1, 1, 4, 4), 6, margin=1).requires_grad
