"""SegNet and SegNet-Basic: the released nets' counts, layers and fields, and straight-line implementations beside them."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edu_seg.models import segnet as module
from edu_seg.models.deconvnet import load_vgg16
from edu_seg.models.segnet import SegNet, segnet
from edu_seg.receptive_field import receptive_fields

pytestmark = pytest.mark.usefixtures("one_thread")


def on_meta(name: str, num_classes: int, **options: Any) -> SegNet:
    with torch.device("meta"):
        return segnet(name, num_classes, **options).eval()


def parameters(net: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(p.numel() for layer in net.modules() if isinstance(layer, kinds) for p in layer.parameters(recurse=False))


def convolutions(net: nn.Module) -> dict[str, nn.Conv2d]:
    return {name.split(".")[-1]: layer for name, layer in net.named_modules() if isinstance(layer, nn.Conv2d)}


def test_parameters() -> None:
    net = on_meta("segnet", 11)
    assert parameters(net, nn.Module) == 29_449_355
    assert (parameters(net, nn.Conv2d), parameters(net, nn.BatchNorm2d)) == (29_433_483, 15_872)
    assert parameters(on_meta("segnet", 21), nn.Module) == 29_455_125
    assert len(convolutions(net)) == 26
    assert parameters(net.encoder, nn.Conv2d) == 14_714_688  # VGG-16 without its fully connected layers


def test_parameters_of_basic() -> None:
    """Eight 7 × 7 convolutions with biases and batch normalisation, and a 1 × 1 classifier: no other combination gives the number."""
    net = on_meta("segnet_basic", 11)
    assert parameters(net, nn.Module) == 1_416_587
    assert parameters(net, nn.Conv2d) == 7 * 7 * (3 * 64 + 7 * 64 * 64) + 8 * 64 + 64 * 11 + 11
    assert parameters(net, nn.BatchNorm2d) == 8 * 2 * 64
    assert {layer.kernel_size for name, layer in convolutions(net).items() if name != "classifier"} == {(7, 7)}


def test_nothing_follows_the_last_convolution() -> None:
    last = list(on_meta("segnet", 11).decoder[-1].named_children())
    assert [name for name, _ in last] == ["conv1_2_D", "conv1_2_D_bn", "conv1_2_D_relu", "conv1_1_D"]
    assert isinstance(on_meta("segnet", 11).classifier, nn.Identity)


def test_where_there_are_relus() -> None:
    """SegNet: after each convolution but the last. Basic: in the encoder alone."""
    assert sum(isinstance(layer, nn.ReLU) for layer in on_meta("segnet", 2).modules()) == 25
    basic = on_meta("segnet_basic", 2)
    assert sum(isinstance(layer, nn.ReLU) for layer in basic.encoder.modules()) == 4
    assert not any(isinstance(layer, nn.ReLU) for layer in basic.decoder.modules())


def test_layer_names() -> None:
    down = [f"conv{stage}_{number}" for stage, count in enumerate((2, 2, 3, 3, 3), start=1) for number in range(1, count + 1)]
    assert list(convolutions(on_meta("segnet", 2))) == [*down, *(f"{name}_D" for name in reversed(down))]
    basic = [f"conv{stage}_1" for stage in range(1, 5)]
    assert list(convolutions(on_meta("segnet_basic", 2))) == [*basic, *(f"{name}_D" for name in reversed(basic)), "classifier"]


def test_fields() -> None:
    """Section 3.1: a unit of Basic's deepest map sees 106 × 106 pixels, which is its last pool. SegNet's last pool: VGG-16's 212."""
    fields = receptive_fields(on_meta("segnet_basic", 2, width=1 / 64), (128, 128))
    assert fields["encoder.3"].size == (98, 98)
    assert fields["max_unpool2d"].size == (106, 106)
    fields = receptive_fields(on_meta("segnet", 2, width=1 / 64), (224, 224))
    assert fields["max_unpool2d"].size == (212, 212)


# --- second implementations -----------------------------------------------------------------------------------------------------


def thin(name: str) -> SegNet:
    torch.manual_seed(0)
    net = segnet(name, 4, width=1 / 16).double()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.3)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.2, 0.6)
    return net.eval()


class Released:
    """The released files' layers on the numbers of `net`, straight down and up again."""

    def __init__(self, net: SegNet) -> None:
        self.state = {".".join(key.split(".")[-2:]): value for key, value in net.state_dict().items()}

    def conv(self, x: Tensor, name: str, kernel_size: int = 3) -> Tensor:
        return F.conv2d(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"], padding=kernel_size // 2)

    def bn(self, x: Tensor, name: str) -> Tensor:
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.state[f"{name}_bn.{key}"] for key in keys))

    def segnet(self, x: Tensor) -> Tensor:
        pools = []
        for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
            for number in range(1, count + 1):
                x = self.bn(self.conv(x, f"conv{stage}_{number}"), f"conv{stage}_{number}").relu()
            pools.append((stage, count, *unpooled(x)))
            x = pools[-1][2]
        for stage, count, _, mask in reversed(pools):
            x = mask * x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : mask.shape[2], : mask.shape[3]]
            for number in range(count, 0, -1):
                x = self.conv(x, f"conv{stage}_{number}_D")
                if (stage, number) != (1, 1):
                    x = self.bn(x, f"conv{stage}_{number}_D").relu()
        return x

    def basic(self, x: Tensor) -> Tensor:
        x = x / (1 + 1e-4 / 5 * x.square().sum(1, keepdim=True)) ** 0.75  # three channels: each one's window of five holds all
        pools = []
        for stage in range(1, 5):
            x = self.bn(self.conv(x, f"conv{stage}_1", 7), f"conv{stage}_1").relu()
            pools.append((stage, *unpooled(x)))
            x = pools[-1][1]
        for stage, _, mask in reversed(pools):
            x = mask * x.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : mask.shape[2], : mask.shape[3]]
            x = self.bn(self.conv(x, f"conv{stage}_1_D", 7), f"conv{stage}_1_D")
        return self.conv(x, "classifier", 1)


def unpooled(x: Tensor) -> tuple[Tensor, Tensor]:
    """The 2 × 2 maxima, odd rows and columns filled up with nothing, and a mask of 1 at the first place of each maximum."""
    height, width = x.shape[2:]
    filled = F.pad(x, (0, width % 2, 0, height % 2), value=float("-inf"))
    windows = filled.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    values, places = windows.max(-1)
    mask = F.one_hot(places, 4).unflatten(-1, (2, 2)).permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3)
    return values, mask[:, :, :height, :width].to(x.dtype)


@pytest.mark.parametrize("name", ["segnet", "segnet_basic"])
@pytest.mark.parametrize("size", [(32, 64), (45, 60), (23, 31)])
def test_it_computes_what_the_released_file_says(name: str, size: tuple[int, int]) -> None:
    net = thin(name)
    images = 40 * torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    file = Released(net)
    with torch.no_grad():
        wanted = file.segnet(images) if name == "segnet" else file.basic(images)
        assert wanted.std() > 1e-3
        torch.testing.assert_close(net(images), wanted, rtol=1e-9, atol=1e-9)


def test_the_released_sizes() -> None:
    """360 × 480, as the released files write them out: 23 × 30 units come back from 12 × 15."""
    steps = on_meta("segnet", 11).steps(torch.empty(1, 3, 360, 480, device="meta"))
    sizes = {name: tuple(features.shape[2:]) for name, features in steps}
    assert (sizes["pool5"], sizes["unpool5"], sizes["unpool4"], sizes["score"]) == ((12, 15), (23, 30), (45, 60), (360, 480))


@pytest.mark.parametrize("name", ["segnet", "segnet_basic"])
def test_every_size_comes_back(name: str) -> None:
    net = on_meta(name, 2, width=1 / 64)
    for size in ((1, 1), (2, 3), (5, 33), (17, 16), (31, 9), (64, 65)):
        assert net(torch.empty(1, 3, *size, device="meta")).shape == (1, 2, *size)


@pytest.mark.parametrize("name", ["segnet", "segnet_basic"])
def test_switches_carry_something(name: str) -> None:
    net, images = thin(name), torch.randn(1, 3, 40, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        own = net(images)
        net.unpooling = "fixed"
        assert (net(images) - own).abs().max() > 1e-3


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        segnet("segnet", 0)
    with pytest.raises(ValueError, match="segnet_basic has no pretrained weights"):
        segnet("segnet_basic", pretrained=True)
    with pytest.raises(ValueError, match="images need at least one pixel and one example"):
        on_meta("segnet", 2, width=1 / 64)(torch.empty(1, 3, 0, 4, device="meta"))
    monkeypatch.setattr(
        module, "imagenet_state_dict", lambda name: {"vgg16": {"a.weight": torch.ones(64, 3, 3, 3), "a.bias": torch.ones(64)}}[name]
    )
    with pytest.raises(ValueError, match="pretrained=True is for width=1"):
        segnet("segnet", pretrained=True, width=0.5)


def test_pretrained_weights_make_the_encoder_vgg16() -> None:
    """In evaluation, before any training, the maps are VGG-16's own, batch normalisation being new. (Both 4 to 32 channels wide.)"""
    from torchvision.models.vgg import make_layers

    torch.manual_seed(0)
    layers = make_layers([4, 4, "M", 8, 8, "M", 16, 16, 16, "M", 32, 32, 32, "M", 32, 32, 32, "M"])
    net = segnet("segnet", 2, width=1 / 16).eval()
    load_vgg16(list(convolutions(net.encoder).values()), layers.state_dict())
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.zeros_(layer.bias)
    images = torch.rand(1, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = layers(images)
        assert wanted.abs().max() > 1e-5
        torch.testing.assert_close(dict(net.steps(images))["pool5"], wanted, rtol=1e-3, atol=1e-7)
