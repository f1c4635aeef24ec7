"""backbones: fields by gradient, sizes and parameters of the papers, and ImageNet weights that give the classifier's own numbers."""

import importlib
import io
import pickle
from email.message import Message
from functools import partial
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import Tensor, nn

from edu_seg import backbones
from edu_seg.backbones import Trunk, alexnet, caffenet, googlenet, pretrained, trunk, vgg, vgg16, vgg_small, vgg_strided
from edu_seg.geometry import Field


def on_meta(build, *args, **options) -> Any:
    """A net of shapes alone: no memory, no values."""
    with torch.device("meta"):
        return build(*args, **options)


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# --- what the units see ---------------------------------------------------------------------------------------------------------


class ThinConv(nn.Module):
    """One positive kernel over the mean of all channels, in place of a convolution: the same window, no cancelling."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, conv.kernel_size, conv.stride, conv.padding, conv.dilation, bias=False)  # pyright: ignore[reportArgumentType]
        nn.init.ones_(self.conv.weight)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv(features.mean(1, keepdim=True))


def thin(layer: nn.Module) -> nn.Module:
    """The layer with one channel, means for maxima (a maximum hands its gradient to one unit alone) and no normalisation."""
    if isinstance(layer, nn.Conv2d):
        return ThinConv(layer)
    if isinstance(layer, nn.MaxPool2d):
        return nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
    if isinstance(layer, nn.LocalResponseNorm | nn.BatchNorm2d | nn.Dropout):
        return nn.Identity()
    for name, child in layer.named_children():
        setattr(layer, name, thin(child))
    return layer


def rows_seen(net: nn.Module, top: str, size: int, unit: int) -> tuple[int, int]:
    """The first and last image row that has a gradient from the unit (unit, unit) of a map."""
    image = torch.ones(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    net(image)[top][0, :, unit, unit].sum().backward()
    assert image.grad is not None
    touched = image.grad[0].abs().sum((0, 2)).nonzero()
    assert torch.equal(touched, image.grad[0].abs().sum((0, 1)).nonzero())  # the columns are alike
    return int(touched[0]), int(touched[-1])


FIELDS = [
    (vgg16, {}, "drop_fc7", Field(404, 32, 189)),
    (vgg16, {}, "pool5", Field(212, 32, 189)),
    (vgg16, {"pad": 1}, "pool4", Field(100, 16, 42)),
    (vgg16, {}, "pool3", Field(44, 8, 117)),
    (caffenet, {}, "drop_fc7", Field(355, 32, 164)),
    (alexnet, {}, "drop_fc7", Field(355, 32, 164)),
    (googlenet, {}, "inception_5b", Field(715, 32, 424)),
    (googlenet, {"average_pool": True}, "average_pool", Field(907, 32, 520)),
    (vgg_small, {}, "drop_fc7", Field(218, 32, 93)),
    (vgg_strided, {}, "drop_fc7", Field(237, 32, 103)),
]


@pytest.mark.parametrize(("build", "options", "top", "field"), FIELDS, ids=lambda part: getattr(part, "__name__", None) or str(part))
def test_fields_are_those_of_the_gradient(build, options: dict, top: str, field: Field) -> None:
    net = on_meta(build, **options)
    assert net.fields[top] == field
    unit = -(-field.padding // field.stride)  # the first that sees no padding before the image
    first = unit * field.stride - field.padding
    size = max(first + field.size + field.stride, 256)
    thinned = thin(net).to_empty(device="cpu").double()
    for layer in thinned.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.ones_(layer.weight)
    assert rows_seen(thinned, top, size, unit) == (first, first + field.size - 1)


def test_the_average_pool_turns_715_into_907() -> None:
    assert 715 + 6 * 32 == 907
    assert {
        name: on_meta(googlenet, average_pool=pool).fields[name].size for name, pool in (("inception_5b", False), ("average_pool", True))
    } == {
        "inception_5b": 715,
        "average_pool": 907,
    }


# --- sizes, layers, parameters --------------------------------------------------------------------------------------------------


def map_sizes(net: nn.Module, size: int) -> dict[str, int]:
    """The height of the map after each layer, for a square image."""
    sizes: dict[str, int] = {}

    def note(name: str):
        return lambda module, inputs, output: sizes.update({name: output.shape[-2]})

    for name, layer in net.named_children():
        layer.register_forward_hook(note(name))
    net(torch.zeros(1, 3, size, size, device="meta"))
    return sizes


def test_sizes_of_vgg16_at_500() -> None:
    sizes = map_sizes(on_meta(vgg16), 500)
    names = ("conv1_1", "pool1", "pool2", "pool3", "pool4", "pool5", "fc6", "drop_fc7")
    assert [sizes[name] for name in names] == [698, 349, 175, 88, 44, 22, 16, 16]


def test_sizes_of_alexnet_at_500() -> None:
    sizes = map_sizes(on_meta(caffenet), 500)
    assert [sizes[name] for name in ("conv1", "pool1", "pool2", "pool5", "fc6", "fc7")] == [173, 86, 43, 21, 16, 16]


def test_layers_carry_the_papers_names() -> None:
    convolutions = [name for name, layer in on_meta(vgg16).named_children() if isinstance(layer, nn.Conv2d)]
    assert convolutions == [*(f"conv{i}_{j}" for i, n in enumerate((2, 2, 3, 3, 3), start=1) for j in range(1, n + 1)), "fc6", "fc7"]
    names = [*(f"inception_{name}" for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"))]
    assert [name for name in on_meta(googlenet).fields if "inception" in name] == names


@pytest.mark.parametrize(
    ("build", "options", "count"),
    [
        (vgg16, {}, 134_260_544),
        (caffenet, {}, 56_868_224),
        (googlenet, {}, 5_973_552),
        (googlenet, {"average_pool": True}, 5_973_552),
    ],
)
def test_parameters(build, options: dict, count: int) -> None:
    assert parameters(on_meta(build, **options)) == count


def test_the_trunks_have_torchvisions_parameters_less_the_last_layer() -> None:
    for ours, theirs in ((vgg16, torchvision.models.vgg16), (alexnet, torchvision.models.alexnet)):
        assert parameters(on_meta(ours)) == parameters(on_meta(theirs, weights=None)) - (4096 * 1000 + 1000)


def test_the_small_sibling_is_small() -> None:
    for width in (0.25, 1.0, 2.0):
        assert parameters(on_meta(vgg_small, width=width)) < 1_000_000
    assert parameters(on_meta(vgg_small, width=2.0)) > 3 * parameters(on_meta(vgg_small))
    small = on_meta(vgg_small)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in small)
    assert {name: field.stride for name, field in small.fields.items() if "pool" in name} == {f"pool{i}": 2**i for i in range(1, 6)}
    with pytest.raises(ValueError, match=r"width multiplies the channels, so it must be above 0, got 0"):
        vgg_small(width=0.0)


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_kept_maps_have_the_widths_they_say(name: str) -> None:
    net = on_meta(backbones.build, name)
    features = net(torch.zeros(2, 3, 70, 90, device="meta"))
    assert {key: value.shape[1] for key, value in features.items()} == net.channels


def test_kept_maps_are_not_overwritten() -> None:
    """ReLUs work in place: a kept map must not be the input of one."""
    torch.manual_seed(0)
    for build in (vgg_small, vgg_strided, caffenet, googlenet):
        net, seen = build().eval(), {}
        for name, layer in net.named_children():
            layer.register_forward_hook(partial(note_map, seen, name))
        with torch.no_grad():
            kept = net(torch.randn(1, 3, 9, 9))
        for name, features in kept.items():
            assert torch.equal(features, seen[name]), name


def note_map(seen: dict[str, Tensor], name: str, module: nn.Module, inputs: object, output: Tensor) -> None:
    seen[name] = output.clone()


def test_dropout_is_elementwise_and_by_option() -> None:
    net = on_meta(vgg16, dropout=0.3)
    assert [type(layer) for name, layer in net.named_children() if "drop" in name] == [nn.Dropout] * 2
    assert net.drop_fc6.p == net.drop_fc7.p == 0.3


def test_errors() -> None:
    with pytest.raises(ValueError, match="no backbone is called 'resnet51': there are vgg16, vgg_small, vgg_strided"):
        backbones.build("resnet51")
    with pytest.raises(ValueError, match="no layer is called 'b': the layers are a"):
        Trunk({"a": nn.ReLU()}, {"b": 3})
    for name, message in (
        ("googlenet", "take backbone='vgg16'"),
        ("caffenet", "take backbone='alexnet'"),
        ("vgg_small", "backbone='vgg16'"),
    ):
        with pytest.raises(ValueError, match=message):
            backbones.build(name, pretrained=True)


@pytest.mark.parametrize(
    ("layer", "window"),
    [
        (nn.Conv2d(1, 1, 3, 2, 1), (3, 2, 1)),
        (nn.Conv2d(1, 1, 3, 1, 2, dilation=2), (5, 1, 2)),
        (nn.MaxPool2d(3, 2, 1), (3, 2, 1)),
        (nn.MaxPool2d(3, 1, 1, dilation=2), (5, 1, 1)),
        (nn.AvgPool2d(2), (2, 2, 0)),
        (nn.Sequential(nn.Conv2d(1, 1, 3, 2, 1), nn.ReLU(), nn.Conv2d(1, 1, 5, 1, 2)), (11, 2, 5)),
        (nn.Dropout(), (1, 1, 0)),
    ],
)
def test_windows(layer: nn.Module, window: tuple[int, int, int]) -> None:
    assert trunk.window(layer) == window


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Upsample(scale_factor=2), "the receptive field of a Upsample is not known: give it a `window`"),
        (nn.Conv2d(1, 1, (3, 5)), r"Conv2d has the kernel_size \(3, 5\)"),
        (nn.Conv2d(1, 1, 3, dilation=(1, 2)), r"Conv2d has the dilation \(1, 2\)"),
        (nn.Conv2d(1, 1, 3, padding="same"), "Conv2d has the padding 'same'"),
    ],
)
def test_layers_whose_window_is_not_known(layer: nn.Module, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        Trunk({"layer": layer}, {"layer": 1})


# --- ImageNet weights -----------------------------------------------------------------------------------------------------------

CLASSIFIERS = {"vgg16": (torchvision.models.vgg16, 1), "alexnet": (torchvision.models.alexnet, 2)}


def with_random_weights(name: str) -> Any:
    """torchvision's classifier with cheap random weights that keep the size of the activations."""
    net = on_meta(CLASSIFIERS[name][0], weights=None).to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            bound = (6 / parameter[0].numel()) ** 0.5 if parameter.ndim > 1 else 0.1
            parameter.uniform_(-bound, bound, generator=generator)
    return net


@pytest.fixture(params=CLASSIFIERS, scope="module")
def classifier(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param, with_random_weights(request.param)


def test_the_trunk_gives_the_classifiers_numbers(classifier: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a 224 crop with the classifier's own padding: fc7's 4096 numbers, and the 1000 scores by the last Linear as a 1 × 1."""
    name, net = classifier
    for module in ("vgg", "alexnet"):
        loaded = importlib.import_module(f"edu_seg.backbones.{module}")
        monkeypatch.setattr(loaded, "imagenet_state_dict", lambda asked: {name: net.state_dict()}[asked])
    monkeypatch.setattr(nn.init, "kaiming_normal_", lambda weight, **options: weight)  # it is overwritten at once
    ours = backbones.build(name, pretrained=True, pad=CLASSIFIERS[name][1]).eval()
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        fc7 = ours(images)["drop_fc7"]
        hidden = net.classifier[:-1](net.avgpool(net.features(images)).flatten(1))
        last = net.classifier[-1]
        scores = nn.functional.conv2d(fc7, last.weight[:, :, None, None], last.bias)
    assert fc7.shape == (1, 4096, 1, 1)
    assert hidden.abs().max() > 0.1
    torch.testing.assert_close(fc7.flatten(1), hidden, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(scores.flatten(1), last(hidden), rtol=1e-5, atol=1e-5)


def test_a_classifier_of_another_network_is_refused() -> None:
    state = {f"{i}.{part}": torch.zeros(2) for i in range(9) for part in ("weight", "bias")}
    with pytest.raises(ValueError, match="the classifier has 8 layers before its last, the trunk 15: they are not the same network"):
        vgg.load_classifier(on_meta(vgg16), state)
    state = {f"{i}.{part}": torch.zeros(2) for i in range(16) for part in ("weight", "bias")}
    with pytest.raises(ValueError, match=r"0 has weights \(2,\), the trunk wants \(64, 3, 3, 3\)"):
        vgg.load_classifier(on_meta(vgg16), state)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for downloads, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def no_network(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", no_network)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


FILES = {"vgg16": "vgg16-397923af.pth", "alexnet": "alexnet-owt-7be5be79.pth"}


@pytest.mark.parametrize("name", FILES)
def test_no_network_says_what_to_do(name: str, cache) -> None:
    with pytest.raises(RuntimeError) as raised:
        pretrained.imagenet_state_dict(name)
    text = str(raised.value)
    for part in (f"weights of {name}", "no route to host", FILES[name], f"to {cache}", "pretrained=False", "https://"):
        assert part in text, part


def test_a_wrong_download_is_refused(cache, monkeypatch: pytest.MonkeyPatch) -> None:
    class Answer(io.BytesIO):
        def info(self) -> Message:
            return Message()

    monkeypatch.setattr(torch.hub, "urlopen", lambda *args, **options: Answer(b"not the weights"))
    with pytest.raises(RuntimeError, match=r"could not be .*invalid hash.*vgg16-397923af\.pth"):
        pretrained.imagenet_state_dict("vgg16")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"half a file", pickle.dumps({"a": 2}, protocol=2)[:-3]])
def test_a_damaged_file_is_named(cache, content: bytes) -> None:
    (cache / FILES["vgg16"]).write_bytes(content)
    with pytest.raises(RuntimeError, match=r"weights of vgg16 could not be .*vgg16-397923af\.pth"):
        pretrained.imagenet_state_dict("vgg16")


def test_a_file_brought_by_hand_is_used(cache) -> None:
    torch.save({"features.0.weight": torch.arange(3.0)}, cache / FILES["vgg16"])
    assert pretrained.imagenet_state_dict("vgg16")["features.0.weight"].tolist() == [0, 1, 2]
