"""Testing at several scales and window by window: what must come out of models whose answer is known."""

import gc
from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edu_seg.inference import multi_scale, sliding_window, window_starts

pytestmark = pytest.mark.usefixtures("one_thread")


def images_of(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def pixelwise(images: Tensor) -> Tensor:
    """Logits of two classes that look at their own pixel alone."""
    return torch.stack([images[:, 0] - images[:, 1], images[:, 2]], 1)


def padded_conv() -> nn.Module:
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 5, padding=2).double()


# --- scales and mirroring -------------------------------------------------------------------------------------------------------


def test_one_scale_unmirrored_is_the_model_itself() -> None:
    images = images_of(2, 3, 7, 9)
    probs = multi_scale(pixelwise, images, (1.0,), mirror=False).softmax(1)
    torch.testing.assert_close(probs, pixelwise(images).softmax(1))


def test_a_pixelwise_model_is_the_same_in_the_mirror() -> None:
    images = images_of(2, 3, 7, 9)
    torch.testing.assert_close(multi_scale(pixelwise, images, (1,)), multi_scale(pixelwise, images, (1,), mirror=False))


def test_means_of_probabilities_by_hand() -> None:
    net, images = padded_conv(), images_of(2, 3, 8, 12)
    half = F.interpolate(images, (4, 6), mode="bilinear")
    parts = [net(images).softmax(1), net(images.flip(3)).softmax(1).flip(3)]
    parts += [F.interpolate(p, (8, 12), mode="bilinear") for p in (net(half).softmax(1), net(half.flip(3)).softmax(1).flip(3))]
    logits = multi_scale(net, images, (1.0, 0.5))
    torch.testing.assert_close(logits.softmax(1), torch.stack(parts).mean(0))
    torch.testing.assert_close(logits.exp().sum(1), torch.ones(2, 8, 12, dtype=torch.float64))


def test_tiny_images_and_certain_models() -> None:
    assert multi_scale(pixelwise, images_of(1, 3, 1, 1)).isfinite().all()
    assert multi_scale(lambda images: 1e6 * pixelwise(images), images_of(1, 3, 5, 5)).isfinite().all()


def test_the_mean_of_many_scales_is_that_of_all_of_them_at_once() -> None:
    """A running sum rounds otherwise than a sum over a stack: no more than that."""
    net, images, scales = padded_conv(), images_of(2, 3, 9, 14), (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    stack = []
    for scale in scales:
        scaled = F.interpolate(images, (max(1, round(9 * scale)), max(1, round(14 * scale))), mode="bilinear")
        for probs in (net(scaled).softmax(1), net(scaled.flip(3)).softmax(1).flip(3)):
            stack.append(F.interpolate(probs, (9, 14), mode="bilinear"))
    torch.testing.assert_close(multi_scale(net, images, scales), torch.stack(stack).mean(0).log(), atol=1e-12, rtol=0)


def maps_held(scales: tuple[float, ...]) -> int:
    """The most maps of the images' size and the model's classes that are in memory whenever the model is called."""
    held = []
    gc.collect()
    gc.freeze()  # what is there already is not looked through at each call

    def note(images: Tensor) -> Tensor:
        held.append(sum(type(found) is Tensor and found.shape == (1, 2, 23, 31) for found in gc.get_objects()))
        return pixelwise(images)

    try:
        multi_scale(note, images_of(1, 3, 23, 31), scales)
    finally:
        gc.unfreeze()
    assert len(held) == 2 * len(scales)
    return max(held)


def test_more_scales_hold_no_more_maps() -> None:
    assert maps_held((1.0, 1.0)) == maps_held((1.0,) * 6) == 1


def test_a_mean_over_scales_can_be_learned_through() -> None:
    net, images = padded_conv(), images_of(1, 3, 6, 8)
    multi_scale(net, images, (1.0, 0.5, 1.5)).sum().backward()
    assert isinstance(net, nn.Conv2d)
    assert net.weight.grad is not None
    assert net.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("scales", [(), (1.0, 0.0), (-1.0,)])
def test_scales_that_are_none(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"scales \(.*\): give one or more factors above 0"):
        multi_scale(pixelwise, images_of(1, 3, 5, 5), scales)


# --- windows --------------------------------------------------------------------------------------------------------------------


def test_windows_cover_evenly_and_end_at_the_end() -> None:
    assert window_starts(10, 10) == window_starts(4, 10) == [0]
    assert window_starts(11, 10) == [0, 1]
    assert window_starts(30, 12, 1 / 3) == [0, 6, 12, 18]
    assert window_starts(30, 12, 0) == [0, 9, 18]
    for size in range(1, 60):
        for window in (1, 5, 12):
            for overlap in (0, 1 / 3, 0.9):
                starts = window_starts(size, window, overlap)
                assert starts[0] == 0
                assert starts[-1] == max(0, size - window)
                steps = [b - a for a, b in pairwise(starts)]
                assert all(1 <= step <= max(1, window * (1 - overlap) + 1e-9) for step in steps), (size, window, overlap, starts)


@pytest.mark.parametrize("size", [(5, 40), (21, 30), (8, 8), (3, 4)])
def test_a_pixelwise_model_does_not_notice_windows(size: tuple[int, int]) -> None:
    images = images_of(2, 3, *size)
    for window in (8, (8, 11), 50):
        torch.testing.assert_close(sliding_window(pixelwise, images, window).softmax(1), pixelwise(images).softmax(1))


def test_a_window_of_the_whole_image_is_the_model() -> None:
    net, images = padded_conv(), images_of(1, 3, 9, 14)
    torch.testing.assert_close(sliding_window(net, images, (9, 14)).softmax(1), net(images).softmax(1))


def test_two_windows_by_hand() -> None:
    """Probabilities are averaged where windows overlap, and each window sees nothing of the other."""
    net, images = padded_conv(), images_of(1, 3, 6, 10)
    left, right = net(images[..., :8]).softmax(1), net(images[..., 2:]).softmax(1)
    wanted = torch.cat([left[..., :2], (left[..., 2:] + right[..., :6]) / 2, right[..., 6:]], 3)
    torch.testing.assert_close(sliding_window(net, images, (6, 8)).softmax(1), wanted)


def test_small_images_are_filled_up_with_zeros() -> None:
    net, images = padded_conv(), images_of(1, 3, 6, 10)
    torch.testing.assert_close(sliding_window(net, images, 12).softmax(1), net(F.pad(images, (0, 2, 0, 6))).softmax(1)[..., :6, :10])


def test_each_pixel_is_in_a_window_and_windows_have_their_size() -> None:
    seen = []

    def note(images: Tensor) -> Tensor:
        seen.append(tuple(images.shape))
        return pixelwise(images)

    sliding_window(note, images_of(2, 3, 20, 31), (8, 12))
    assert set(seen) == {(2, 3, 8, 12)}
    assert len(seen) == len(window_starts(20, 8)) * len(window_starts(31, 12)) == 4 * 4


@pytest.mark.parametrize(("window", "overlap"), [(0, 0.3), ((4, 0), 0.3), (4, 1.0), (4, -0.1)])
def test_windows_that_are_none(window: int | tuple[int, int], overlap: float) -> None:
    with pytest.raises(ValueError, match=r"window .*, overlap .*: at least one pixel"):
        sliding_window(pixelwise, images_of(1, 3, 5, 5), window, overlap)


def test_the_two_go_into_each_other() -> None:
    net, images = padded_conv(), images_of(1, 3, 16, 20)
    windows = partial(sliding_window, net, window=12)
    wanted = [windows(images).softmax(1), windows(images.flip(3)).softmax(1).flip(3)]
    torch.testing.assert_close(multi_scale(windows, images, (1.0,)).softmax(1), torch.stack(wanted).mean(0))
