"""remove_stride, shift_and_stitch and equation (3), held against each other, torchvision and hand-made cases."""

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision.models as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close
from unchecked import shapes_unchecked

from edu_seg.receptive_field import receptive_field
from edu_seg.surgery import (
    CannotConvert,
    DilatedAvgPool2d,
    convolutionalise,
    remove_stride,
    shift_and_stitch,
    shifted_copies,
    stitched,
    zero_inserted,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def random_net(seed: int, most_layers: int = 4, padded: bool = False) -> tuple[nn.Sequential, int]:
    """Convolutions, pools and activations in a row, and the stride of them all; without padding unless asked for."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    channels, stride = 1, 1
    for _ in range(draw.randint(1, most_layers)):
        kernel, step, dilation = draw.randint(1, 3), draw.choice((1, 1, 2, 2, 3)), draw.choice((1, 1, 2))
        padding = draw.randint(0, kernel // 2) if padded else 0
        kind = draw.choice(("conv", "conv", "max", "avg"))
        made = draw.randint(1, 2) if kind == "conv" else channels
        layers.append(
            {
                "conv": lambda: nn.Conv2d(channels, made, kernel, step, padding, dilation),  # noqa: B023
                "max": lambda: nn.MaxPool2d(kernel, step, padding, dilation),  # noqa: B023
                "avg": lambda: nn.AvgPool2d(kernel, step, padding),  # noqa: B023
            }[kind]()
        )
        layers.append(draw.choice((nn.ReLU(), nn.Tanh(), nn.Identity())))
        channels, stride = made, stride * step
    return nn.Sequential(*layers).double(), stride


def image_for(net: nn.Module, stride: int, extra: int) -> Tensor:
    size = receptive_field(net, (120, 120), channels=1).size
    return torch.randn(1, 1, size[0] + stride + extra, size[1] + stride + 2 * extra, dtype=torch.float64)


@pytest.mark.parametrize("seed", range(100))
def test_rarefied_is_stitched_on_random_nets(seed: int) -> None:
    """Ten nets a case, one thousand in all: claim 1, without padding."""
    for number in range(10 * seed, 10 * seed + 10):
        net, stride = random_net(number)
        images = image_for(net, stride, number % 4)
        assert_close(shift_and_stitch(net, images, stride), remove_stride(net, 1)(images), rtol=0, atol=1e-12)


def vgg_shaped(seed: int) -> nn.Sequential:
    """Unpadded, stride 16: four convolutions and pools."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for stage in range(4):
        pool = draw.choice((nn.MaxPool2d, nn.AvgPool2d))
        strided = draw.random() < 0.3
        layers += [nn.Conv2d(2 if stage else 1, 2, draw.choice((1, 2, 3)), 2 if strided else 1), nn.ReLU()]
        layers += [] if strided else [pool(draw.choice((2, 3)), 2)]
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("seed", range(50))
def test_output_stride_8_is_every_eighth_of_the_stitched(seed: int) -> None:
    net = vgg_shaped(seed)
    size = receptive_field(net, (300, 300), channels=1).size
    images = torch.randn(1, 1, size[0] + 17, size[1] + 20, dtype=torch.float64)
    dense = shift_and_stitch(net, images, 16, at_once=64)
    eighth = remove_stride(net, 8)(images)
    assert eighth.shape[2:] == dense[:, :, ::8, ::8].shape[2:]
    assert_close(eighth, dense[:, :, ::8, ::8], rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(100))
def test_every_stride_th_unit_keeps_its_number_padded_or_not(seed: int) -> None:
    net, stride = random_net(seed, padded=True)
    images = torch.randn(2, 1, 90, 97, dtype=torch.float64)
    assert_close(remove_stride(net, 1)(images)[:, :, ::stride, ::stride], net(images), rtol=0, atol=1e-12)


def test_padding_makes_the_stitched_differ_at_the_border_only() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 1, 3, padding=1)).double()
    images = torch.randn(1, 1, 24, 24, dtype=torch.float64)
    gap = shift_and_stitch(net, images, 2)[:, :, :22, :22] - remove_stride(net, 1)(images)[:, :, :22, :22]
    assert gap.abs().max() > 1e-2
    assert gap[:, :, 4:-3, 4:-3].abs().max() < 1e-12


# --- equation (3) ---------------------------------------------------------------------------------------------------------------


def test_zero_insertion_by_hand() -> None:
    weight = torch.arange(1.0, 5).view(1, 1, 2, 2)
    wanted = torch.tensor([[1.0, 0, 0, 2], [0, 0, 0, 0], [0, 0, 0, 0], [3, 0, 0, 4]])
    assert torch.equal(zero_inserted(weight, 3)[0, 0], wanted)


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(0, 9), st.integers(0, 9))
def test_atrous_is_zero_insertion_is_space_to_batch(rate: int, height: int, width: int, rows: int, columns: int) -> None:
    weight = torch.randn(2, 3, height, width, dtype=torch.float64)
    x = torch.randn(1, 3, rate * height + rows, rate * width + columns, dtype=torch.float64)
    atrous = F.conv2d(x, weight, dilation=rate)
    assert_close(F.conv2d(x, zero_inserted(weight, rate)), atrous, rtol=0, atol=1e-12)
    polyphase = torch.empty_like(atrous)
    for i in range(min(rate, atrous.shape[2])):
        for j in range(min(rate, atrous.shape[3])):
            polyphase[:, :, i::rate, j::rate] = F.conv2d(x[:, :, i::rate, j::rate], weight)
    assert_close(polyphase, atrous, rtol=0, atol=1e-12)


def test_a_dilated_average_pool_is_a_convolution_by_zero_inserted_weights() -> None:
    x = torch.randn(2, 3, 12, 13, dtype=torch.float64)
    pool = DilatedAvgPool2d((2, 3), (1, 1), (0, 0), (3, 2))
    wanted = sum(x[:, :, 3 * i : 3 * i + 9, 2 * j : 2 * j + 9] for i in range(2) for j in range(3)) / 6
    assert_close(pool(x), wanted, rtol=0, atol=1e-14)
    assert_close(DilatedAvgPool2d((3, 3), (2, 2), (1, 1), (1, 1))(x), F.avg_pool2d(x, 3, 2, 1), rtol=0, atol=1e-14)


# --- residual networks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet50", "resnet101"])
def test_exact_is_torchvisions_dilated_resnet_bit_for_bit(name: str) -> None:
    torch.manual_seed(0)
    plain = getattr(tv, name)().eval()
    dilated = getattr(tv, name)(replace_stride_with_dilation=[False, True, True]).eval()
    dilated.load_state_dict(plain.state_dict())
    ours = remove_stride(plain, 8)
    images = torch.randn(1, 3, 65, 80)
    with torch.inference_mode():
        assert torch.equal(ours(images), dilated(images))


FIELDS = {
    ("resnet18", "exact"): (435, 217),
    ("resnet18", "stage"): (483, 241),
    ("resnet18", "drn"): (355, 177),
    ("resnet34", "stage"): (947, 473),
    ("resnet34", "drn"): (819, 409),
    ("resnet50", "exact"): (427, 213),
    ("resnet50", "stage"): (475, 237),
    ("resnet50", "drn"): (411, 205),
}


@pytest.mark.parametrize(("name", "convention"), FIELDS)
def test_the_three_conventions_have_their_published_fields(name: str, convention: Any) -> None:
    net = nn.Sequential(*list(getattr(tv, name)().children())[:-2])
    field = receptive_field(remove_stride(net, 8, convention), (256, 256))
    assert (field.size[0], field.padding[0]) == FIELDS[name, convention]
    assert field.stride == (8, 8)


def test_the_conventions_give_different_numbers_from_the_same_weights() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*list(tv.resnet18().children())[:-2]).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        exact, stage, drn = (remove_stride(net, 8, name)(images) for name in ("exact", "stage", "drn"))
    assert not torch.allclose(exact, stage, rtol=0.01)
    assert not torch.allclose(exact, drn, rtol=0.01)


def test_a_convolutionalised_vgg_at_stride_8_keeps_the_coarse_map() -> None:
    torch.manual_seed(0)
    dense = convolutionalise(tv.vgg11(num_classes=4).eval(), (224, 224))
    images = torch.randn(1, 3, 256, 288)
    with torch.inference_mode():
        coarse, fine = dense(images), remove_stride(dense, 8)(images)
    assert coarse.shape[2:] == (2, 3)
    assert fine.shape[2] >= 5
    assert_close(fine[:, :, ::4, ::4], coarse, rtol=1e-4, atol=1e-5)


def test_strides_may_be_removed_in_part() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 5, 4), nn.Conv2d(1, 1, 3, 2)).double()
    changed = remove_stride(net, 2)
    assert [(layer.stride, layer.dilation) for layer in changed.children()] == [((2, 2), (1, 1)), ((1, 1), (2, 2))]
    images = torch.randn(1, 1, 40, 40, dtype=torch.float64)
    assert_close(changed(images)[:, :, ::4, ::4], net(images), rtol=0, atol=1e-12)


def test_a_copy_is_returned_in_the_same_mode() -> None:
    net, _ = random_net(3)
    net.train()
    before = [str(layer) for layer in net]
    assert remove_stride(net, 1).training
    assert [str(layer) for layer in net] == before


class Reused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x))


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 1, 1, 2), nn.Conv2d(1, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) + self.b(x)[:, :, ::2, ::2]


REFUSED: dict[str, tuple[nn.Module, int, str]] = {
    "beyond the network's stride": (nn.Conv2d(1, 1, 3, 2), 4, "output_stride 4: the network's own stride is 2"),
    "no multiple": (nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.Conv2d(1, 1, 3, 2)), 3, "output_stride 3 cannot be reached"),
    "none": (nn.Conv2d(1, 1, 3, 2), 0, "output_stride must be at least 1, got 0"),
    "a layer used twice": (Reused(), 1, "layer 'conv' runs twice"),
    "branches that differ": (Branches(), 1, "joins maps of different strides"),
    "a flattened map": (nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.Flatten(), nn.Linear(4, 1)), 1, "Flatten '1' .* convolutionalise first"),
    "upsampling": (nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.ConvTranspose2d(1, 1, 2, 2)), 1, "ConvTranspose2d '1'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_rarefied_is_named(case: str) -> None:
    net, output_stride, says = REFUSED[case]
    with pytest.raises(ValueError, match=says):
        remove_stride(net, output_stride)


def test_drn_is_about_residual_blocks() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.Conv2d(1, 1, 3))
    with pytest.raises(CannotConvert, match="residual blocks"):
        remove_stride(net, 1, "drn")
    with shapes_unchecked(), pytest.raises(ValueError, match="convention 'torchvision': there are exact, stage, drn"):
        remove_stride(net, 1, "torchvision")  # type: ignore[arg-type]


# --- shift-and-stitch -----------------------------------------------------------------------------------------------------------


def test_one_dimension_by_hand() -> None:
    """Every third pixel, by a pool of window 1: three shifts give all of them back, in their order."""
    net = nn.MaxPool2d(1, 3)
    images = torch.arange(30.0).view(1, 1, 5, 6)
    assert torch.equal(shift_and_stitch(net, images, 3), images)
    copies = shifted_copies(images, 3)
    assert copies.shape == (9, 1, 1, 5, 6)
    assert torch.equal(copies[4, 0, 0, :4, :5], images[0, 0, 1:, 1:])
    assert torch.equal(stitched(net(copies.flatten(0, 1)).unflatten(0, (9, 1)), 3)[:, :, :5, :6], images)


def test_passes_are_counted() -> None:
    """f² images go through the net, at most `at_once` at a time."""
    seen: list[int] = []
    net = nn.MaxPool2d(2, 4)
    net.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])) if type(output) is Tensor else None)
    shift_and_stitch(net, torch.randn(2, 1, 9, 9), 4, at_once=12)
    assert seen == [12, 12, 8]


def test_gradients_flow_through() -> None:
    net, stride = random_net(8)
    images = image_for(net, stride, 1).requires_grad_()
    (a,) = torch.autograd.grad(shift_and_stitch(net, images, stride).square().sum(), images)
    (b,) = torch.autograd.grad(remove_stride(net, 1)(images).square().sum(), images)
    assert_close(a, b, rtol=0, atol=1e-10)


def test_a_stride_that_is_not_the_nets_is_refused() -> None:
    images = torch.randn(1, 1, 16, 16)
    assert shift_and_stitch(nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)), images[..., :4], 2).shape[2:] == (13, 1)
    for wrong in (1, 2, 8):
        with pytest.raises(ValueError, match=f"its stride is not {wrong}"):
            shift_and_stitch(nn.MaxPool2d(2, 4), images, wrong)
    with pytest.raises(ValueError, match="at least 1, got 0 and 16"):
        shift_and_stitch(nn.MaxPool2d(2, 4), images, 0)
    with pytest.raises(ValueError, match="not one map: convolutionalise it first"):
        shift_and_stitch(nn.Sequential(nn.MaxPool2d(2, 4), nn.Flatten()), images, 4)
    with pytest.raises(ValueError, match="3 passes, and a stride of 2 takes 4"):
        stitched(torch.zeros(3, 1, 1, 2, 2), 2)
