"""DeconvNet: the released net's counts, names and sizes, a straight-line implementation beside it, and what its switches carry."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unchecked import shapes_unchecked

from edu_seg.models import deconvnet as module
from edu_seg.models.deconvnet import DeconvNet, deconvnet, load_vgg16, pool, unpool
from edu_seg.receptive_field import receptive_field
from edu_seg.upsampling import max_pool_with_switches, max_unpool

pytestmark = pytest.mark.usefixtures("one_thread")


def on_meta(num_classes: int = 21, **options: Any) -> DeconvNet:
    with torch.device("meta"):
        return deconvnet("deconvnet", num_classes, **options).eval()


def thin(seed: int = 0, input_size: int = 64, width: float = 1 / 32, **options: Any) -> DeconvNet:
    """The whole net, 2 to 16 channels wide, with running statistics and shifts that are not those of the start; float64."""
    torch.manual_seed(seed)
    net = deconvnet("deconvnet", 4, width=width, input_size=input_size, **options).double()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.3)
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.2, 0.6)
    return net.eval()


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


# --- the released net -----------------------------------------------------------------------------------------------------------


def parameters(net: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(p.numel() for layer in net.modules() if isinstance(layer, kinds) for p in layer.parameters(recurse=False))


def test_parameters() -> None:
    net = on_meta()
    assert parameters(net, nn.Module) == 251_805_653
    assert parameters(net, nn.Conv2d) == 134_261_909
    assert parameters(net, nn.ConvTranspose2d) == 117_510_336
    assert parameters(net, nn.BatchNorm2d) == 33_408
    assert sum(isinstance(layer, nn.ConvTranspose2d) for layer in net.modules()) == 14
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_layers_have_the_released_names() -> None:
    names = [name.split(".")[-1] for name, layer in on_meta().named_modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    down = [f"conv{stage}_{number}" for stage, count in enumerate((2, 2, 3, 3, 3), start=1) for number in range(1, count + 1)]
    up = [f"deconv{stage}_{number}" for stage, count in ((5, 3), (4, 3), (3, 3), (2, 2), (1, 2)) for number in range(1, count + 1)]
    assert names == [*down, "fc6", "fc7", "fc6_deconv", *up, "score"]


def test_sizes_on_the_way() -> None:
    """Section 3 and the released files: 224 → 7 → 1 → 7 → 14, 28, 56, 112, 224."""
    shapes = {name: tuple(features.shape[1:]) for name, features in on_meta().steps(torch.empty(1, 3, 224, 224, device="meta"))}
    sides = {name: shape[-1] for name, shape in shapes.items()}
    assert [sides[f"pool{n}"] for n in range(1, 6)] == [112, 56, 28, 14, 7]
    assert (shapes["fc7"], shapes["fc6_deconv"]) == ((4096, 1, 1), (512, 7, 7))
    assert [sides[f"unpool{n}"] for n in range(5, 0, -1)] == [14, 28, 56, 112, 224]
    assert [shapes[f"deconv{n}"][0] for n in range(5, 0, -1)] == [512, 256, 128, 64, 64]
    assert shapes["score"] == (21, 224, 224)
    assert list(shapes)[-1] == "score"


def test_fields() -> None:
    """fc6 sees 404 pixels, as VGG-16's; a pixel of the output more than three times the crop that goes in."""
    net = on_meta(2, width=1 / 64)
    assert receptive_field(net, (224, 224), "fc.fc6").size == (404, 404)
    assert receptive_field(net, (224, 224)).rows(100) == (-282, 473)


# --- a second implementation, from top to bottom --------------------------------------------------------------------------------


def released(net: DeconvNet, images: Tensor) -> Tensor:
    """The released file, layer by layer, with pools and unpoolings in loops; only the numbers are taken from `net`."""
    state = {".".join(key.split(".")[-2:]): value for key, value in net.state_dict().items()}

    def after(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (state[f"{name}_bn.{key}"][:, None, None] for key in ("running_mean", "running_var", "weight", "bias"))
        return ((x - mean) / (var + 1e-5).sqrt() * scale + shift).clamp(min=0)

    def conv(x: Tensor, name: str, padding: int) -> Tensor:
        return after(F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding), name)

    def deconv(x: Tensor, name: str, padding: int) -> Tensor:
        return after(F.conv_transpose2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding), name)

    x, places = images, []
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        for number in range(1, count + 1):
            x = conv(x, f"conv{stage}_{number}", 1)
        x, place = pooled_by_loops(x)
        places.append(place)
    x = deconv(conv(conv(x, "fc6", 0), "fc7", 0), "fc6_deconv", 0)
    for stage, count in ((5, 3), (4, 3), (3, 3), (2, 2), (1, 2)):
        x = unpooled_by_loops(x, places.pop())
        for number in range(1, count + 1):
            x = deconv(x, f"deconv{stage}_{number}", 1)
    return F.conv2d(x, net.score.weight, net.score.bias)


Places = dict[tuple[int, int, int, int], tuple[int, int]]


def pooled_by_loops(x: Tensor) -> tuple[Tensor, Places]:
    """2 × 2 maxima, and for each unit the (row, column) it came from."""
    places: Places = {}
    pooled = x.new_zeros(*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2)
    for n, c, i, j in (
        (n, c, i, j) for n in range(x.shape[0]) for c in range(x.shape[1]) for i in range(pooled.shape[2]) for j in range(pooled.shape[3])
    ):
        window = {(r, k): float(x[n, c, r, k]) for r in (2 * i, 2 * i + 1) for k in (2 * j, 2 * j + 1)}
        place = max(window, key=lambda key: window[key])
        places[n, c, i, j], pooled[n, c, i, j] = place, window[place]
    return pooled, places


def unpooled_by_loops(x: Tensor, places: Places) -> Tensor:
    made = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    for (n, c, i, j), (row, column) in places.items():
        made[n, c, row, column] = x[n, c, i, j]
    return made


def test_it_computes_what_the_released_file_says() -> None:
    net, images = thin(), drawn(1, 3, 64, 64)
    with torch.no_grad():
        wanted = released(net, images)
        assert wanted.std() > 1e-3
        torch.testing.assert_close(net(images), wanted, rtol=1e-10, atol=1e-10)


# --- switches -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 1), (1, 4), (3, 2)])
def test_pool_and_unpool(size: tuple[int, int]) -> None:
    """Claim 8: every maximum comes back to its own place, with zeros elsewhere; odd sizes come back whole."""
    features = drawn(2, 3, *size)
    values, switches, before = pool(features)
    assert before == size
    assert tuple(values.shape[2:]) == (-(-size[0] // 2), -(-size[1] // 2))
    back = unpool(values, switches, before, "switches")
    kept = back != 0
    assert back.shape == features.shape
    assert torch.equal(back[kept], features[kept])
    assert kept.sum() == values.numel()
    again = pool(back.clamp(min=0))  # zeros win against negative maxima: pool ∘ unpool is the ReLU
    assert torch.equal(again.values, values.clamp(min=0))
    if size[0] % 2 == size[1] % 2 == 0:
        for ours, theirs in zip((values, switches), max_pool_with_switches(features), strict=True):
            assert torch.equal(ours, theirs)
        assert torch.equal(max_unpool(values, switches, size), back)


def test_switches_by_hand() -> None:
    features = torch.tensor([[1.0, 5.0, 2.0], [3.0, 4.0, 7.0], [9.0, 8.0, 6.0]])[None, None]
    values, switches, size = pool(features)
    assert values[0, 0].tolist() == [[5, 7], [9, 6]]
    assert switches[0, 0].tolist() == [[1, 5], [6, 8]]
    assert unpool(values, switches, size, "switches")[0, 0].tolist() == [[0, 5, 0], [0, 0, 7], [9, 0, 6]]
    assert unpool(values, switches, size, "fixed")[0, 0].tolist() == [[5, 0, 7], [0, 0, 0], [9, 0, 6]]


def test_fixed_places_lose_where() -> None:
    """The same net, its maxima put to the corner: another answer, and one that moves by whole windows only."""
    net, images = thin(input_size=32), drawn(1, 3, 64, 64)
    with torch.no_grad():
        own = net(images)
        net.unpooling = "fixed"
        other = net(images)
    assert (own - other).abs().max() > 1e-3
    assert torch.equal(thin(input_size=32, unpooling="fixed")(images), other)


def test_the_steps_end_in_the_logits() -> None:
    net, images = thin(), drawn(2, 3, 70, 97)
    with torch.no_grad():
        steps = dict(net.steps(images))
        assert torch.equal(steps["score"], net(images))
    assert (steps["unpool3"] == 0).double().mean() >= 0.7  # sparse
    assert steps["deconv3"].shape[2:] == steps["unpool3"].shape[2:]


# --- sizes, options, errors -----------------------------------------------------------------------------------------------------


def test_the_sizes_it_takes() -> None:
    net = on_meta(2, width=1 / 64)
    for size in ((193, 193), (193, 500), (224, 225), (257, 300)):
        assert net(torch.empty(1, 3, *size, device="meta")).shape == (1, 2, *size)
    for size, nearest in (((192, 500), "193 × 500"), ((1, 1), "193 × 193"), ((300, 64), "300 × 193")):
        with pytest.raises(ValueError, match=f"images of {size[0]} × {size[1]} are too small for fc6: the nearest size .* is {nearest}"):
            net(torch.empty(1, 3, *size, device="meta"))
    small = on_meta(2, width=1 / 64, input_size=32)
    assert small(torch.empty(1, 3, 1, 3, device="meta")).shape == (1, 2, 1, 3)


def test_options_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        deconvnet("deconvnet", 0)
    for size, nearest in ((100, 96), (0, 32), (31, 32)):
        with pytest.raises(ValueError, match=f"input_size is a multiple of the stride, 32, got {size}: take {nearest}"):
            DeconvNet(2, input_size=size)
    with pytest.raises(ValueError, match="width multiplies the channels, so it must be above 0, got -1"):
        deconvnet("deconvnet", width=-1.0)
    with shapes_unchecked(), pytest.raises(ValueError, match='unpooling is "switches" or "fixed", got \'random\''):
        deconvnet("deconvnet", width=1 / 64, unpooling="random")  # pyright: ignore[reportArgumentType]


def fake_vgg16() -> dict[str, Tensor]:
    """A state dict of torchvision's VGG-16, all zeros but for the first number of each weight: its place in the list."""
    from torchvision.models import vgg16

    with torch.device("meta"):
        shapes = {key: value.shape for key, value in vgg16().state_dict().items()}
    return {
        key: torch.zeros(1).expand(shape) if key.endswith("bias") else torch.full((1,), float(i)).expand(shape)
        for i, (key, shape) in enumerate(shapes.items())
    }


def test_pretrained_weights_reach_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thirteen convolutions, fc6 and fc7 in order; the last Linear and the decoder are not of VGG-16."""
    copied: list[tuple[str, tuple[int, ...], float]] = []
    net = on_meta()
    names = {layer: name.split(".")[-1] for name, layer in net.named_modules()}

    def record(self: nn.Module, state: dict[str, Tensor]) -> None:
        copied.append((names[self], tuple(state["weight"].shape), float(state["weight"].flatten()[0])))

    monkeypatch.setattr(nn.Conv2d, "load_state_dict", record)
    load_vgg16(module.convolutions(net.encoder, net.fc), fake_vgg16())
    assert [name for name, _, _ in copied] == [*(n for n in names.values() if n.startswith("conv") and n.count("_") == 1), "fc6", "fc7"]
    assert [number for _, _, number in copied] == list(range(0, 30, 2))
    assert copied[-2][1] == (4096, 512, 7, 7)


def test_pretrained_weights_need_the_papers_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "imagenet_state_dict", lambda name: {"vgg16": fake_vgg16()}[name])
    with pytest.raises(
        ValueError, match=r"VGG-16's features.0 has weights \(64, 3, 3, 3\), this net \(2, 3, 3, 3\): pretrained=True is for width=1"
    ):
        deconvnet("deconvnet", pretrained=True, width=1 / 32)
