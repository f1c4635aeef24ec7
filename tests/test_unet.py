"""U-Net: the paper's count, sizes, crops and fields, a straight-line implementation beside it, and its three ways with the border."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unchecked import shapes_unchecked

from edu_seg.models.unet import UNet, concatenated, crops, smallest_valid, unet
from edu_seg.receptive_field import receptive_field

pytestmark = pytest.mark.usefixtures("one_thread")


def on_meta(**options: Any) -> UNet:
    with torch.device("meta"):
        return unet("unet", **options).eval()


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def thin(padding: str, seed: int = 0, **options: Any) -> UNet:
    """The whole net with 1 to 16 channels, biases drawn, in float64."""
    torch.manual_seed(seed)
    options = {"num_classes": 2, "in_channels": 1, "width": 1 / 64} | options
    net = unet("unet", padding=padding, **options).double()  # pyright: ignore[reportArgumentType]
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.2)
        else:
            parameter.data.abs_()  # with so few channels a ReLU would cut every path
    return net.eval()


# --- the paper's net ------------------------------------------------------------------------------------------------------------


def test_parameters() -> None:
    net = on_meta(num_classes=2, in_channels=1, padding="valid")
    assert sum(parameter.numel() for parameter in net.parameters()) == 31_030_658
    kinds = [type(layer) for layer in net.modules()]
    assert (kinds.count(nn.Conv2d), kinds.count(nn.ConvTranspose2d)) == (19, 4)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())
    assert sum(parameter.numel() for parameter in on_meta(num_classes=2, in_channels=1).parameters()) == 31_030_658


def test_sizes_of_figure_1() -> None:
    net = on_meta(num_classes=2, in_channels=1, padding="valid")
    sizes: list[tuple[int, ...]] = []
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape[1:3])))
    assert net(torch.empty(1, 1, 572, 572, device="meta")).shape == (1, 2, 388, 388)
    down = [(64, 570), (64, 568), (128, 282), (128, 280), (256, 138), (256, 136), (512, 66), (512, 64), (1024, 30), (1024, 28)]
    up = [(512, 56), (512, 54), (512, 52), (256, 104), (256, 102), (256, 100), (128, 200), (128, 198), (128, 196)]
    assert sizes == [*down, *up, (64, 392), (64, 390), (64, 388), (2, 388)]


def test_crops_are_those_of_the_figure() -> None:
    """64 → 56, 136 → 104, 280 → 200, 568 → 392: half of each difference on every side; and 92 pixels of the image."""
    assert crops(5) == (tuple((a - b) // 2 for a, b in ((64, 56), (136, 104), (280, 200), (568, 392))), (572 - 388) // 2)


def test_valid_sizes_are_188_and_16_m() -> None:
    net = on_meta(num_classes=1, in_channels=1, width=1 / 64, padding="valid")
    for size in range(1, 460):
        image = torch.empty(1, 1, size, 188, device="meta")
        if size >= 188 and (size - 188) % 16 == 0:
            assert net(image).shape == (1, 1, size - 184, 4)
        else:
            with pytest.raises(
                ValueError, match=f"images of {size} × 188: without padding the net takes 188 \\+ 16 m pixels, so the nearest"
            ):
                net(image)


@pytest.mark.parametrize(("size", "nearest"), [(1, 188), (187, 188), (195, 188), (196, 204), (203, 204), (570, 572), (579, 572)])
def test_the_nearest_size_is_named(size: int, nearest: int) -> None:
    net = on_meta(num_classes=1, in_channels=1, width=1 / 64, padding="valid")
    with pytest.raises(ValueError, match=f"nearest size is 572 × {nearest}\\. Or build it with padding="):
        net(torch.empty(1, 1, 572, size, device="meta"))


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 6])
def test_the_smallest_size_by_trying(levels: int) -> None:
    """Convolutions and pools as arithmetic: the first size that leaves every map a unit and every pool an even number."""

    def passes(size: int) -> bool:
        for level in range(levels):
            if level and size % 2:
                return False
            size = (size // 2 if level else size) - 4
            if size < 1:
                return False
        for _ in range(levels - 1):
            size = 2 * size - 4
            if size < 1:
                return False
        return True

    assert smallest_valid(levels) == next(size for size in range(1, 1000) if passes(size))
    taken = [size for size in range(1, 900) if passes(size)]
    assert taken == list(range(taken[0], 900, 2 ** (levels - 1)))


def test_fields() -> None:
    """188 pixels where the index is 0 to 3 beyond a multiple of 16, else 204; row 0 sees 0 … 187, row 387 sees 384 … 571."""
    field = receptive_field(on_meta(num_classes=2, in_channels=1, width=1 / 64, padding="valid"), (572, 572), channels=1)
    assert (field.rows(0), field.rows(387)) == ((0, 187), (384, 571))
    sizes = [high - low + 1 for low, high in map(field.rows, range(388))]
    assert all(size == (188 if index % 16 < 4 else 204) for index, size in enumerate(sizes))


def released(net: UNet, x: Tensor) -> Tensor:
    """Figure 1 in order, with its crops in numbers."""
    weights = [value for name, value in net.named_parameters() if name.startswith(("down", "after"))]
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    skips = []
    for level in range(5):
        if level:
            x = torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)
        for _ in range(2):
            x = F.conv2d(x, *pairs.pop(0)).clamp(min=0)
        skips.append(x)
    skips.pop()
    for up, cut in zip(net.up, (4, 16, 40, 88), strict=True):
        assert isinstance(up, nn.ConvTranspose2d)
        made = torch.einsum("nchw,cdij->ndhiwj", x, up.weight).flatten(4, 5).flatten(2, 3)
        x = torch.cat([skips.pop()[:, :, cut:-cut, cut:-cut], made + up.bias[:, None, None]], 1)  # pyright: ignore[reportOptionalSubscript]
        for _ in range(2):
            x = F.conv2d(x, *pairs.pop(0)).clamp(min=0)
    return F.conv2d(x, net.score.weight, net.score.bias)


def test_it_computes_figure_1() -> None:
    net, images = thin("valid", width=1 / 32), drawn(2, 1, 204, 188)
    with torch.no_grad():
        wanted = released(net, images)
        assert wanted.std() > 1e-2
        torch.testing.assert_close(net(images), wanted, rtol=1e-10, atol=1e-10)


# --- the border -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (30, 20), (93, 4)])
def test_the_mirrored_net_is_the_valid_net_on_a_mirrored_image(size: tuple[int, int]) -> None:
    net, bare = thin("mirror"), thin("valid")
    images = drawn(1, 1, *size)
    sides = [net.input_size_for(length) for length in size]
    pads = [(92, side - 92 - length) for side, length in zip(sides, size, strict=True)]
    wider = torch.from_numpy(np.pad(images.numpy(), ((0, 0), (0, 0), *pads), mode="reflect"))
    with torch.no_grad():
        logits = net(images)
        assert torch.equal(logits, bare(wider)[:, :, : size[0], : size[1]])
    assert logits.shape[2:] == size


@pytest.mark.parametrize(("size", "wanted"), [(1, 188), (4, 188), (5, 204), (20, 204), (21, 220), (388, 572), (389, 588)])
def test_the_input_that_a_prediction_needs(size: int, wanted: int) -> None:
    assert on_meta(width=1 / 64).input_size_for(size) == wanted


def test_padding_with_zeros_is_the_same_net_inside() -> None:
    """Where no unit sees the border, on a part of the image that begins at pixel 2 (or 18, …): there the pools have the same pairs."""
    images = drawn(1, 1, 336, 336)
    with torch.no_grad():
        same, valid, mirror = thin("same")(images), thin("valid")(images[..., 2:334, 2:334]), thin("mirror")(images)
    inside = (..., slice(112, 224), slice(112, 224))
    torch.testing.assert_close(same[inside], valid[..., 18:130, 18:130], rtol=0, atol=1e-9)
    assert (same - mirror)[inside].abs().max() > 1e-3  # the pools begin at pixel -92 + 2, in the next level two pixels beside


@pytest.mark.parametrize("padding", ["same", "mirror"])
def test_every_size_comes_back(padding: str) -> None:
    net = on_meta(num_classes=2, in_channels=3, width=1 / 64, padding=padding)
    for height in range(1, 50, 4):
        size = (height, 80 - 3 * height // 2)
        assert net(torch.empty(1, 3, *size, device="meta")).shape == (1, 2, *size)


def test_concatenated_by_hand() -> None:
    skip, upsampled = torch.arange(6.0).view(1, 1, 1, 6).expand(-1, -1, 6, -1), 10 * torch.ones(1, 1, 2, 2)
    assert concatenated(skip, upsampled, 2)[0, :, 0].tolist() == [[2, 3], [10, 10]]
    assert concatenated(skip[:, :, :1, :1], upsampled, 0)[0, :, 0].tolist() == [[0], [10]]


# --- options, errors, learning --------------------------------------------------------------------------------------------------


def test_dropout_is_at_the_end_of_the_contracting_path() -> None:
    net = on_meta(width=1 / 64)
    counts = [sum(isinstance(layer, nn.Dropout) for layer in level.modules()) for level in (*net.down, *net.after)]
    assert counts == [0, 0, 0, 1, 1, 0, 0, 0, 0]
    images = torch.rand(1, 3, 16, 16)
    net = unet("unet", width=1 / 8, padding="same")
    assert not torch.equal(net(images), net(images))
    assert torch.equal(net.eval()(images), net(images))


def test_weights_start_from_the_papers_distribution() -> None:
    """Section 3: standard deviation √(2 / inputs of one unit); 576 for a 3 × 3 convolution of 64 channels."""
    torch.manual_seed(0)
    net = unet("unet", 2, width=1 / 2)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.weight.numel() > 10_000:
            inputs = layer.in_channels * (9 if isinstance(layer, nn.Conv2d) else 1)
            assert layer.weight.std().item() == pytest.approx((2 / inputs) ** 0.5, rel=0.05)


def test_errors() -> None:
    with pytest.raises(ValueError, match="unet has no pretrained weights: build it with pretrained=False"):
        unet("unet", pretrained=True)
    with pytest.raises(ValueError, match="width multiplies the channels, so it must be above 0, got 0"):
        unet("unet", width=0.0)
    with pytest.raises(ValueError, match="num_classes 0, in_channels 3"):
        unet("unet", 0)
    with shapes_unchecked(), pytest.raises(ValueError, match='padding is "mirror", "valid" or "same", got \'full\''):
        UNet(2, 1, (2, 2), padding="full")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"images \(N, 1, H, W\) with at least one pixel are wanted, got \(1, 3, 9, 9\)"):
        thin("same")(drawn(1, 3, 9, 9))


@pytest.mark.parametrize("padding", ["same", "mirror"])
def test_every_parameter_gets_a_gradient(padding: str) -> None:
    net = thin(padding, width=1 / 16).train()
    net(drawn(1, 1, 20, 33)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())
