"""ResNet and dilated VGG trunks: torchvision's numbers bit for bit, the three conventions against the surgery, fields and counts."""

from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from unchecked import shapes_unchecked

from edu_seg.backbones import Trunk, dilated, resnet
from edu_seg.geometry import Field
from edu_seg.receptive_field import measured_receptive_field, receptive_field
from edu_seg.surgery import remove_stride

pytestmark = pytest.mark.usefixtures("one_thread")


def on_meta(build: Any, *args: Any, **options: Any) -> Any:
    with torch.device("meta"):
        return build(*args, **options)


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def with_any_statistics(net: nn.Module, seed: int = 0) -> Any:
    """In evaluation, with running statistics as a trained net has them, not zeros and ones."""
    torch.manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.8, 1.2)
            nn.init.uniform_(layer.weight, 0.4, 0.6)
            nn.init.normal_(layer.bias, std=0.1)
    return net.eval()


def images_of(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


# --- torchvision's networks -----------------------------------------------------------------------------------------------------

STRIDES = {32: [False, False, False], 16: [False, False, True], 8: [False, True, True], 4: [True, True, True]}


@pytest.mark.parametrize(("name", "output_stride"), [("resnet50", 8), ("resnet50", 16), ("resnet101", 8), ("resnet18", 32)])
def test_torchvisions_dilated_networks_bit_for_bit(name: str, output_stride: int) -> None:
    theirs = getattr(torchvision.models, name)(weights=None, replace_stride_with_dilation=STRIDES[output_stride])
    state = with_any_statistics(theirs).state_dict()
    ours = on_meta(resnet.resnet, name, output_stride=output_stride).eval()
    ours.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")}, assign=True)
    images = images_of(2, 3, 41, 33)
    with torch.no_grad():
        features = ours(images)
        wanted = theirs.maxpool(stem := theirs.relu(theirs.bn1(theirs.conv1(images))))
        assert torch.equal(features["stem"], stem)
        for layer in ("layer1", "layer2", "layer3", "layer4"):
            wanted = getattr(theirs, layer)(wanted)
            assert torch.equal(features[layer], wanted), layer
    assert wanted.std() > 0.1


@pytest.mark.parametrize("name", resnet.RESNETS)
def test_state_dicts_have_torchvisions_names(name: str) -> None:
    theirs = on_meta(getattr(torchvision.models, name), weights=None).state_dict()
    shapes = {key: value.shape for key, value in theirs.items() if not key.startswith("fc.")}
    for options in ({}, {"output_stride": 8, "convention": "stage", "stride_in": "1x1"}):
        assert {key: value.shape for key, value in on_meta(resnet.resnet, name, **options).state_dict().items()} == shapes


# --- the three conventions ------------------------------------------------------------------------------------------------------


def thin(name: str, seed: int = 3, **options: Any) -> Trunk:
    torch.manual_seed(seed)
    return resnet.resnet(name, width=1 / 16, **options).double()


SURGERIES = [
    *((name, output_stride, "3x3") for name, output_stride in (("resnet18", 8), ("resnet50", 8), ("resnet50", 16), ("resnet50", 4))),
    ("resnet50", 8, "1x1"),
]


@pytest.mark.parametrize(
    ("name", "output_stride", "stride_in", "convention"),
    [(*net, convention) for net in SURGERIES for convention in ("exact", "stage", "drn") if (net[2], convention) != ("1x1", "drn")],
)
def test_the_conventions_are_those_of_the_surgery(name: str, output_stride: int, stride_in: Any, convention: Any) -> None:
    """A second implementation of the same words: `remove_stride` on the net with all its strides."""
    whole = with_any_statistics(thin(name, stride_in=stride_in))
    ours = thin(name, stride_in=stride_in, output_stride=output_stride, convention=convention).eval()
    ours.load_state_dict(whole.state_dict())
    images = images_of(1, 3, 65, 50).double()
    with torch.no_grad(), shapes_unchecked():  # the surgery runs the blocks on stand-ins
        changed = remove_stride(nn.Sequential(*whole.children()), output_stride, convention)
        torch.testing.assert_close(ours(images)["layer4"], changed(images), rtol=1e-9, atol=1e-9)


def test_one_set_of_weights_computes_three_functions() -> None:
    state = with_any_statistics(thin("resnet50")).state_dict()
    outputs = []
    for convention in ("exact", "stage", "drn"):
        net = thin("resnet50", output_stride=8, convention=convention).eval()
        net.load_state_dict(state)
        with torch.no_grad():
            outputs.append(net(images_of(1, 3, 64, 64).double())["layer4"])
    spread = outputs[0].std()
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (outputs[one] - outputs[other]).abs().mean() > 0.01 * spread


@pytest.mark.parametrize("convention", ["stage", "exact"])
def test_v1_has_no_first_rate(convention: Any) -> None:
    """The layer that lost its stride is a 1 × 1: whether it keeps the rate before does not show."""
    nets = [thin("resnet50", output_stride=8, stride_in="1x1", convention=one).eval() for one in ("exact", convention)]
    images = images_of(1, 3, 40, 40).double()
    assert torch.equal(nets[0](images)["layer4"], nets[1](images)["layer4"])


FIELDS = {  # plain; exact, stage and drn at output stride 8; v1: size and padding of layer4
    "resnet18": ((435, 217), (435, 217), (483, 241), (355, 177), (435, 217)),
    "resnet34": ((899, 449), (899, 449), (947, 473), (819, 409), (899, 449)),
    "resnet50": ((427, 213), (427, 213), (475, 237), (411, 205), (483, 241)),
    "resnet101": ((971, 485), (971, 485), (1019, 509), (955, 477), (1027, 513)),
    "resnet152": ((1451, 725), (1451, 725), (1499, 749), (1435, 717), (1507, 753)),
}


@pytest.mark.parametrize("name", FIELDS)
def test_fields(name: str) -> None:
    forms: tuple[dict[str, Any], ...] = ({}, {"convention": "exact"}, {"convention": "stage"}, {"convention": "drn"}, {"stride_in": "1x1"})
    for form, (size, padding) in zip(forms, FIELDS[name], strict=True):
        stride = 8 if "convention" in form else 32
        assert on_meta(resnet.resnet, name, output_stride=stride, **form).fields["layer4"] == Field(size, stride, padding)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"convention": "stage", "stem": "deep", "stride_in": "1x1"}, 487),  # PSPNet's released file
        ({"convention": "stage", "stem": "deep"}, 479),
        ({"convention": "stage", "multi_grid": (1, 2, 4)}, 475 + 8 * 4 * 2 * (1 + 3)),
        ({"convention": "exact", "multi_grid": (2, 2, 2)}, 427 + 8 * 2 * (2 + 4 + 4)),
    ],
)
def test_fields_of_other_forms(options: dict[str, Any], size: int) -> None:
    trunk = on_meta(resnet.resnet, "resnet50", output_stride=8, **options)
    assert trunk.fields["layer4"].size == size
    assert receptive_field(trunk.eval(), (321, 321), "layer4").size == (size, size)


def test_multi_grid_of_deeplab_v3() -> None:
    """1283: ResNet-101, v1, output stride 8, (1, 2, 4)."""
    trunk = on_meta(resnet.resnet, "resnet101", output_stride=8, convention="stage", stride_in="1x1", multi_grid=(1, 2, 4))
    assert trunk.fields["layer4"].size == 1283
    rates = [
        block.conv2.dilation[0]
        for block in on_meta(resnet.resnet, "resnet50", output_stride=16, convention="stage", multi_grid=(1, 2, 4)).layer4
    ]
    assert rates == [2, 4, 8]


def test_extra_layers_go_on_with_the_rates() -> None:
    """DeepLab v3, figure 3 b: block4 … block7 at output stride 16 have the rates 2, 4, 8 and 16; without dilation the stride goes on."""
    trunk = on_meta(resnet.resnet, "resnet50", output_stride=16, convention="stage", extra_layers=3)
    layers = [trunk.get_submodule(f"layer{number}") for number in (4, 5, 6, 7)]
    assert [[block.conv2.dilation[0] for block in layer] for layer in layers] == [[rate] * 3 for rate in (2, 4, 8, 16)]  # pyright: ignore[reportGeneralTypeIssues]
    assert trunk.fields["layer7"].stride == 16
    assert on_meta(resnet.resnet, "resnet50", output_stride=256, extra_layers=3).fields["layer7"].stride == 256
    assert list(trunk.channels) == ["stem", *(f"layer{number}" for number in range(1, 8))]


@pytest.mark.parametrize(
    ("build", "options"),
    [
        (partial(resnet.resnet, "resnet18"), {"output_stride": 8, "convention": "stage"}),
        (partial(resnet.resnet, "resnet50"), {"output_stride": 16, "stem": "deep", "multi_grid": (1, 2, 1)}),
        (partial(dilated.dilated, "vgg_small"), {"average_pool": True}),
        (partial(dilated.dilated, "vgg_strided"), {"pool_size": 2}),
    ],
)
def test_fields_agree_with_the_gradient(build: Any, options: dict[str, Any]) -> None:
    trunk = build(width=1 / 16, **options)
    top = list(trunk.channels)[-1]
    size = (90, 61)
    field = receptive_field(trunk, size, top)
    assert (field.size[0], field.stride[0], field.padding[0]) == (
        trunk.fields[top].size,
        trunk.fields[top].stride,
        trunk.fields[top].padding,
    )
    for unit in ((0, 0), (field.map_size[0] - 1, field.map_size[1] // 2)):
        assert field.inside(*unit) == measured_receptive_field(trunk, size, unit, top)


# --- counts ---------------------------------------------------------------------------------------------------------------------

COUNTS = {  # parameters with the classifier; multiply-adds at 224 × 224 of v1 (the paper's) and of v1.5 (torchvision's)
    "resnet18": (11_689_512, 1_814_073_344, 1_814_073_344),
    "resnet34": (21_797_672, 3_663_761_408, 3_663_761_408),
    "resnet50": (25_557_032, 3_857_973_248, 4_089_184_256),
    "resnet101": (44_549_160, 7_570_194_432, 7_801_405_440),
    "resnet152": (60_192_808, 11_282_415_616, 11_513_626_624),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_multiply_adds(name: str) -> None:
    count, v1, v15 = COUNTS[name]
    forms = (("1x1", v1), ("3x3", v15)) if name == "resnet50" else (("3x3", v15),) if name == "resnet101" else (("1x1", v1),)
    for stride_in, multiply_adds in forms:
        trunk = on_meta(resnet.resnet, name, stride_in=stride_in)
        channels = trunk.channels["layer4"]
        assert parameters(trunk) == count - 1000 * (channels + 1)
        with FlopCounterMode(display=False) as counter:
            trunk(torch.empty(1, 3, 224, 224, device="meta"))
        assert counter.get_total_flops() == 2 * (multiply_adds - 1000 * channels)


def test_dilation_and_multi_grid_cost_no_parameter() -> None:
    plain = parameters(on_meta(resnet.resnet, "resnet50"))
    for options in ({"output_stride": 8}, {"output_stride": 8, "convention": "drn"}, {"output_stride": 16, "multi_grid": (1, 2, 4)}):
        assert parameters(on_meta(resnet.resnet, "resnet50", **options)) == plain
    assert parameters(on_meta(resnet.resnet, "resnet50", stem="deep")) - plain == 123_776


@pytest.mark.parametrize("name", ["resnet18", "resnet50", *dilated.VGGS])
@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_kept_maps(name: str, output_stride: int) -> None:
    """Widths and sizes are those that the trunk says; at a size 32 n + 1 a map has a unit on each `stride`-th pixel, both ends included."""
    trunk = on_meta(dilated.dilated, name, output_stride=output_stride)
    features = trunk(torch.empty(2, 3, 97, 65, device="meta"))
    assert list(features) == list(trunk.channels)
    for key, value in features.items():
        stride = trunk.fields[key].stride
        assert value.shape == (2, trunk.channels[key], 96 // stride + 1, 64 // stride + 1), key
    assert stride == output_stride


# --- VGG with DeepLab's pools ---------------------------------------------------------------------------------------------------


def test_the_trunk_of_largefov() -> None:
    trunk = on_meta(dilated.dilated, "vgg16", average_pool=True)
    assert parameters(trunk) == 14_714_688
    sizes = [features.shape[-1] for features in trunk(torch.empty(1, 3, 321, 321, device="meta")).values()]
    assert sizes == [161, 81, 41, 41, 41, 41]
    assert trunk.fields["pool5a"] == Field(243, 8, 121)
    assert on_meta(dilated.dilated, "vgg16").fields["pool5"].size == 227
    assert {trunk.get_submodule(f"conv5_{i}").dilation for i in (1, 2, 3)} == {(2, 2)}
    assert {trunk.get_submodule(f"conv4_{i}").dilation for i in (1, 2, 3)} == {(1, 1)}


@pytest.mark.parametrize("size", [8, 9, 33, 50])
def test_pools_of_two_keep_the_maps_size_in_a_pair(size: int) -> None:
    trunk = on_meta(dilated.dilated, "vgg16", pool_size=2)
    features = trunk(torch.empty(1, 3, size, size, device="meta"))
    assert features["pool5"].shape[-1] == features["pool3"].shape[-1] == -(-size // 8)
    assert trunk.fields["pool5"].size == 204  # + 8 · 24 of fc6: 396, for 7 × 7 at rate 4 as for 3 × 3 at rate 12


def test_the_small_siblings_take_a_width() -> None:
    half, whole = (on_meta(dilated.dilated, "vgg_strided", width=width) for width in (0.5, 1))
    assert half.channels == {name: width // 2 for name, width in whole.channels.items()}
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in whole)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in on_meta(dilated.dilated, "vgg16"))


# --- ImageNet weights -----------------------------------------------------------------------------------------------------------


def test_pretrained_resnets(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = with_any_statistics(torchvision.models.resnet18(weights=None))
    monkeypatch.setattr(resnet, "imagenet_state_dict", lambda name: {"resnet18": theirs.state_dict()}[name])
    ours: Any = resnet.resnet("resnet18", pretrained=True, extra_layers=1, output_stride=32, convention="stage").eval()
    images = images_of(1, 3, 64, 64)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        torch.testing.assert_close(ours(images)["layer3"], theirs.layer3(theirs.layer2(theirs.layer1(x))))
    assert torch.equal(ours.layer5[0].conv2.weight, theirs.layer4[0].conv2.weight)
    assert ours.layer5[0].conv1.weight.shape != theirs.layer4[0].conv1.weight.shape
    assert torch.equal(ours.layer5[1].conv1.weight, theirs.layer4[1].conv1.weight)


def test_pretrained_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {}
    trunk = on_meta(dilated.dilated, "vgg16")
    convolutions = [layer for layer in trunk if isinstance(layer, nn.Conv2d)]
    for index, layer in enumerate(convolutions):
        state[f"features.{index}.weight"] = torch.full(layer.weight.shape, index + 1.0)
        state[f"features.{index}.bias"] = torch.full((len(layer.weight),), index + 0.5)
    state |= {"classifier.0.weight": torch.zeros(4096, 25088), "classifier.0.bias": torch.zeros(4096)}
    monkeypatch.setattr(dilated, "imagenet_state_dict", lambda name: {"vgg16": state}[name])
    monkeypatch.setattr(nn.init, "kaiming_normal_", lambda weight, **options: weight)
    loaded = dilated.dilated("vgg16", pretrained=True)
    for index, layer in enumerate(one for one in loaded if isinstance(one, nn.Conv2d)):
        assert (layer.weight == index + 1).all()
        assert layer.bias is not None
        assert (layer.bias == index + 0.5).all()


def test_pretrained_changes_the_form_of_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(dilated, "resnet", lambda name, pretrained, **options: asked.append(options) or on_meta(resnet.resnet, name))
    row = {"output_stride": 8, "convention": "stage", "stride_in": "1x1", "stem": "deep"}
    dilated.trunk_and_rest("resnet50", row, None, True, {})
    dilated.trunk_and_rest("resnet50", row, None, False, {})
    dilated.trunk_and_rest("resnet50", row, None, True, {"convention": "drn"})
    assert asked == [row | dilated.TORCHVISION, row, row | dilated.TORCHVISION | {"convention": "drn"}]


def test_rows_and_other_backbones() -> None:
    """Of a row's options those are left out that another backbone cannot have; the rest of the caller's are handed back."""
    row = {"output_stride": 16, "convention": "stage", "multi_grid": (1, 2, 4)}
    trunk, rest = dilated.trunk_and_rest("resnet50", row, "resnet18", False, {"width": 0.25, "dropout": 0.2})
    assert rest == {"dropout": 0.2}
    assert trunk.channels["layer4"] == 128
    assert [block.conv1.dilation for block in trunk.layer4] == [(2, 2), (2, 2)]  # pyright: ignore[reportGeneralTypeIssues]
    for name in ("vgg_small", "densenet121"):
        trunk, _ = on_meta(dilated.trunk_and_rest, "resnet50", row, name, False, {})
        assert trunk.fields[list(trunk.channels)[-1]].stride == 16


# --- errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 2}, "output_stride 2 of resnet50: take one of 4, 8, 16, 32"),
        ({"output_stride": 12}, "output_stride 12 of resnet50"),
        ({"output_stride": 64}, "output_stride 64 of resnet50"),
        ({"convention": "caffe"}, "convention 'caffe': there are exact, stage, drn"),
        ({"stride_in": "v1"}, "stride_in 'v1': there are 1x1, 3x3"),
        ({"stem": "3x3"}, "stem '3x3': there are 7x7, deep"),
        ({"multi_grid": (1, 2)}, r"multi_grid \(1, 2\): layer4 of resnet50 has 3 blocks"),
        ({"multi_grid": (1, 0, 2)}, r"multi_grid \(1, 0, 2\)"),
        ({"width": 0.0}, "width multiplies the channels, so it must be above 0, got 0"),
        ({"pretrained": True, "stride_in": "1x1"}, r'have their stride in the 3 × 3: build it with stride_in="3x3"'),
        ({"pretrained": True, "stem": "deep"}, "have the 7 × 7 stem"),
        ({"pretrained": True, "width": 0.5}, "are those of width 1"),
    ],
)
def test_errors_of_resnets(options: dict[str, Any], message: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=message):
        on_meta(resnet.resnet, "resnet50", **options)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("alexnet", {}, "no backbone called 'alexnet' can be dilated: there are vgg16, vgg_small, vgg_strided, resnet18"),
        ("vgg16", {"output_stride": 64}, "output_stride 64 of vgg16: take one of 1, 2, 4, 8, 16, 32"),
        ("vgg_strided", {"output_stride": 1}, "output_stride 1 of vgg_strided: take one of 2, 4, 8, 16, 32"),
        ("vgg16", {"pool_size": 4}, "pool_size is 3 .* or 2"),
        ("vgg16", {"width": -1.0}, "must be above 0, got -1"),
        ("vgg_small", {"pretrained": True}, "vgg_small of width 1.0 has no pretrained weights"),
    ],
)
def test_errors_of_dilated_trunks(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        on_meta(dilated.dilated, name, **options)


def test_more_errors() -> None:
    with pytest.raises(ValueError, match="no ResNet is called 'resnet20': there are resnet18"):
        resnet.resnet("resnet20")
    with pytest.raises(ValueError, match="vgg_small cannot take the place of resnet50: the cascaded form"):
        dilated.trunk_and_rest("resnet50", {"extra_layers": 3}, "vgg_small", False, {})
