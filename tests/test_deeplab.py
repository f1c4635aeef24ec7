"""DeepLab v1 to v3: the published parameters and fields, torchvision's numbers, and second implementations of each head."""

from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from unchecked import shapes_unchecked

from edu_seg.backbones import Trunk
from edu_seg.losses import CrossEntropy
from edu_seg.models.deeplab import ASPP_L, ASPP_S, VARIANTS, DeepLabV1, DeepLabV2, DeepLabV3, MultiScaleInput, deeplab
from edu_seg.receptive_field import receptive_field, receptive_fields
from edu_seg.training.optimisation import poly

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"backbone": "vgg_small", "width": 0.5}
THIN = {"backbone": "resnet18", "width": 1 / 16}
LAPTOP: dict[str, dict[str, Any]] = {name: SMALL if "v1" in name or "vgg" in name else THIN for name in VARIANTS}
each = pytest.mark.parametrize("name", VARIANTS)


def on_meta(name: str, num_classes: int = 21, **options: Any) -> Any:
    with torch.device("meta"):
        return deeplab(name, num_classes, **options).eval()


def small(name: str, num_classes: int = 3, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return deeplab(name, num_classes, **(LAPTOP[name] | options))


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def images_of(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


# --- the table ------------------------------------------------------------------------------------------------------------------

COUNTS = {
    "deeplab_v1_largefov": 20_505_429,
    "deeplab_v1_7x7": 134_346_581,
    "deeplab_v1_4x4_r4": 65_140_565,
    "deeplab_v1_4x4_r8": 65_140_565,
    "deeplab_v2_vgg16": 37_877_652,
    "deeplab_v2_resnet101": 44_048_532,
    "deeplab_v3_resnet50": 39_638_869,
    "deeplab_v3_resnet101": 58_630_997,
    # three blocks of three 2048 → 512 → 2048 bottlenecks, and a 1 × 1, behind ResNet's trunk
    "deeplab_v3_cascade_resnet50": 23_508_032 + 9 * (2 * 2048 * 512 + 9 * 512**2 + 2 * (512 + 512 + 2048)) + 2049 * 21,
    "deeplab_v3_cascade_resnet101": 42_500_160 + 9 * (2 * 2048 * 512 + 9 * 512**2 + 2 * (512 + 512 + 2048)) + 2049 * 21,
}


@each
def test_parameters(name: str) -> None:
    net = on_meta(name)
    assert parameters(net) == COUNTS[name]
    assert net(torch.empty(2, 3, 321, 321, device="meta")).shape == (2, 21, 321, 321)


def test_parts_of_the_counts() -> None:
    assert parameters(on_meta("deeplab_v2_resnet101").branches) == 1_548_372
    head = on_meta("deeplab_v3_resnet50").classifier
    assert [parameters(layer) for layer in head] == [15_535_104, 589_824, 512, 0, 5_397]
    assert parameters(on_meta("deeplab_v3_resnet101", head_conv=False)) == 58_040_661
    assert parameters(on_meta("deeplab_v3_resnet50", auxiliary=True)) == 39_638_869 + 2_365_205
    free: tuple[dict[str, Any], ...] = ({"output_stride": 8}, {"multi_grid": (2, 2, 2)}, {"convention": "exact"}, {"rates": (1, 2, 3)})
    for option in free:
        assert parameters(on_meta("deeplab_v3_resnet50", **option)) == 39_638_869


@pytest.mark.parametrize(
    ("name", "options", "layer", "size"),
    [
        ("deeplab_v1_largefov", {}, "classifier", 435),
        ("deeplab_v1_7x7", {}, "classifier", 435),
        ("deeplab_v1_4x4_r4", {}, "classifier", 339),
        ("deeplab_v1_4x4_r8", {}, "classifier", 435),
        ("deeplab_v1_largefov", {"pool_size": 2, "average_pool": False}, "classifier", 396),
        ("deeplab_v1_7x7", {"pool_size": 2, "average_pool": False}, "classifier", 396),
        ("deeplab_v2_resnet101", {}, "backbone.layer4", 1027),
        ("deeplab_v2_resnet101", {}, "branches.3", 1411),
        ("deeplab_v2_vgg16", {}, "branches.3", 227 + 48 * 8),
        ("deeplab_v3_resnet50", {"output_stride": 8, "multi_grid": (1, 1, 1), "convention": "exact"}, "classifier", 1019),
        ("deeplab_v3_resnet101", {"output_stride": 8, "stride_in": "1x1"}, "backbone.layer4", 1283),
        ("deeplab_v3_resnet101", {"output_stride": 8, "stride_in": "1x1", "head_conv": False}, "classifier", 1859),
    ],
)
def test_fields(name: str, options: dict[str, Any], layer: str, size: int) -> None:
    """435 for LargeFOV, where the paper prints 224; image pooling, which sees everything, is left out as in the papers."""
    net = on_meta(name, **options)
    field = receptive_fields(net, (321, 321), whole_map="leave_out")[layer]
    assert field.size == (size, size)
    assert field.stride == ((16, 16) if "v3" in name and "output_stride" not in options else (8, 8))


def test_the_field_of_view_of_the_papers_table() -> None:
    """Table 2 of v1: 8 (r (k - 1) + 4), which counts fc6 alone."""
    printed = {"deeplab_v1_7x7": 224, "deeplab_v1_4x4_r4": 128, "deeplab_v1_4x4_r8": 224, "deeplab_v1_largefov": 224}
    for name, view in printed.items():
        fc6 = on_meta(name).classifier.fc6
        assert 8 * (fc6.dilation[0] * (fc6.kernel_size[0] - 1) + 4) == view


def test_rates_of_the_table() -> None:
    assert [branch.fc6.dilation[0] for branch in on_meta("deeplab_v2_vgg16").branches] == list(ASPP_L) == [6, 12, 18, 24]
    assert [branch.dilation[0] for branch in on_meta("deeplab_v2_resnet101", rates=ASPP_S).branches] == [2, 4, 8, 12]
    for stride, rates in {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}.items():
        net = on_meta("deeplab_v3_resnet50", output_stride=stride)
        assert tuple(branch[0].dilation[0] for branch in net.classifier[0].convs[1:4]) == rates
        assert net.backbone.fields["layer4"].stride == stride
    net = on_meta("deeplab_v3_resnet50")
    assert [block.conv2.dilation[0] for block in net.backbone.layer4] == [2, 4, 8]
    cascade = on_meta("deeplab_v3_cascade_resnet50")
    assert [[block.conv2.dilation[0] for block in cascade.backbone.get_submodule(f"layer{n}")] for n in (4, 7)] == [[2, 4, 2], [16, 32, 16]]


@each
def test_every_size_comes_back(name: str) -> None:
    net = on_meta(name, 2, **LAPTOP[name])
    for height in range(1, 40, 4):
        assert net(torch.empty(1, 3, height, 40 - height, device="meta")).shape == (1, 2, height, 40 - height)


# --- torchvision ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["resnet50", "resnet101"])
def test_torchvisions_deeplabv3(backbone: str) -> None:
    """Its state dict loads as it is, and gives the same logits from both heads."""
    torch.manual_seed(0)
    build = getattr(torchvision.models.segmentation, f"deeplabv3_{backbone}")
    theirs = build(weights=None, weights_backbone=None, aux_loss=True, num_classes=4)
    with torch.no_grad():
        for layer in theirs.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.4, 0.6)
    ours = on_meta(f"deeplab_v3_{backbone}", 4, output_stride=8, convention="exact", multi_grid=(1, 1, 1), auxiliary=True)
    ours.load_state_dict(theirs.state_dict(), assign=True)
    images = images_of(1, 3, 65, 57)
    with torch.no_grad():
        wanted = theirs.eval()(images)
        logits, auxiliary = ours.forward_with_auxiliary(images)
        assert wanted["out"].std() > 1e-2
        torch.testing.assert_close(logits, wanted["out"], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(auxiliary, wanted["aux"], rtol=1e-5, atol=1e-5)
        assert torch.equal(ours(images), logits)


# --- second implementations of the heads ----------------------------------------------------------------------------------------


def at_pixels(scores: Tensor, size: tuple[int, int]) -> Tensor:
    """At sizes 8 n + 1 the units sit on the corners and on each eighth pixel between: Caffe's Interp layer."""
    return F.interpolate(scores, size, mode="bilinear", align_corners=True)


def test_v1_written_out() -> None:
    """From the image on: the 3 × 3 pools, conv5 at rate 2, the average pool, fc6 at rate 12."""
    net = small("deeplab_v1_largefov", width=0.25).double().eval()
    assert isinstance(net, DeepLabV1)
    state = net.state_dict()
    for layer in net.classifier:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.3)
            nn.init.normal_(layer.bias, std=0.3)  # pyright: ignore[reportArgumentType]
    x = images = images_of(1, 3, 41, 57).double()
    for stage, count in enumerate((1, 2, 2, 2, 2), start=1):
        for number in range(1, count + 1):
            rate = 2 if stage == 5 else 1
            name = f"{stage}_{number}"
            x = F.conv2d(x, state[f"backbone.conv{name}.weight"], padding=rate, dilation=rate)
            norm = [state[f"backbone.bn{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
            x = F.batch_norm(x, *norm).relu()
        x = F.max_pool2d(x, 3, 2 if stage < 4 else 1, 1)
    x = F.avg_pool2d(x, 3, 1, 1)
    for name, rate in (("fc6", 12), ("fc7", 0), ("fc8", 0)):
        x = F.conv2d(x.relu(), state[f"classifier.{name}.weight"], state[f"classifier.{name}.bias"], padding=rate, dilation=max(rate, 1))
    assert x.std() > 1e-3
    torch.testing.assert_close(net(images), at_pixels(x, (41, 57)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["deeplab_v2_vgg16", "deeplab_v2_resnet101"])
def test_v2_is_a_sum_of_branches(name: str) -> None:
    net = small(name, rates=ASPP_S).double().eval()
    assert isinstance(net, DeepLabV2)
    images = images_of(2, 3, 33, 41).double()
    features, state = net.backbone(images)[net.top], net.state_dict()
    wanted: Tensor | int = 0
    for index, rate in enumerate(ASPP_S):
        if "vgg" in name:
            x = F.conv2d(features, state[f"branches.{index}.fc6.weight"], state[f"branches.{index}.fc6.bias"], 1, rate, rate).relu()
            x = F.conv2d(x, state[f"branches.{index}.fc7.weight"], state[f"branches.{index}.fc7.bias"]).relu()
            x = F.conv2d(x, state[f"branches.{index}.fc8.weight"], state[f"branches.{index}.fc8.bias"])
        else:
            x = F.conv2d(features, state[f"branches.{index}.weight"], state[f"branches.{index}.bias"], 1, rate, rate)
        wanted = wanted + x
    assert isinstance(wanted, Tensor)
    torch.testing.assert_close(net(images), at_pixels(wanted, (33, 41)), rtol=1e-9, atol=1e-9)


def test_from_the_maps_size_on_a_rate_makes_no_difference() -> None:
    """Claim 7 in a net: on a map of 9 × 9 (65 pixels) rates 9 and 24 look at the centre alone, rate 8 does not."""
    nets = [small("deeplab_v2_resnet101", rates=(rate,)).eval() for rate in (8, 9, 24)]
    with torch.no_grad():
        near, exact, far = (net(images_of(1, 3, 65, 65)) for net in nets)
    assert torch.equal(exact, far)
    assert not torch.equal(near, exact)


def test_the_cascade_scores_its_last_map() -> None:
    net = small("deeplab_v3_cascade_resnet50").eval()
    images = images_of(1, 3, 33, 40)
    scores = F.conv2d(net.backbone(images)["layer7"], net.classifier[0].weight, net.classifier[0].bias)
    torch.testing.assert_close(net(images), F.interpolate(scores, (33, 40), mode="bilinear"))


# --- several scales -------------------------------------------------------------------------------------------------------------


def test_maximum_fusion() -> None:
    net = small("deeplab_v2_resnet101", scales=(0.5, 0.75, 1.0)).eval()
    assert isinstance(net, MultiScaleInput)
    assert parameters(net) == parameters(small("deeplab_v2_resnet101"))
    images = images_of(2, 3, 36, 44)
    with torch.no_grad():
        fused, half, three_quarters, whole = net.forward_with_auxiliary(images)
        assert torch.equal(net(images), fused)
        assert torch.equal(whole, net.model(images))
        scaled = F.interpolate(images, (18, 22), mode="bilinear")
        torch.testing.assert_close(half, F.interpolate(net.model(scaled), (36, 44), mode="bilinear"))
    assert torch.equal(fused, torch.maximum(torch.maximum(half, three_quarters), whole))
    for one in (half, three_quarters, whole):
        assert (fused == one).any()
    assert net(images_of(1, 3, 1, 1)).shape == (1, 3, 1, 1)


@pytest.mark.parametrize("scales", [(), (0.5, 0.0)])
def test_scales_that_are_none(scales: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"scales \(.*\): give one or more factors above 0"):
        MultiScaleInput(nn.Identity(), scales)


# --- training -------------------------------------------------------------------------------------------------------------------


@each
def test_gradients_reach_every_parameter(name: str) -> None:
    net, images = small(name), images_of(2, 3, 65, 48)
    labels = torch.randint(0, 3, (2, 65, 48), generator=torch.Generator().manual_seed(2))
    CrossEntropy()(net(images), labels).backward()
    assert [key for key, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()] == []


def test_the_poly_schedule_of_v2() -> None:
    """Claim 17: (1 - i/N)^0.9, the factors printed to nine places, and PyTorch's recurrence."""
    printed = {0: 1, 10: 0.990995483, 100: 0.909532576, 250: 0.771889507, 500: 0.535886731, 750: 0.287174589, 999: 0.001995262, 1000: 0}
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, total_iters=1000, power=0.9)
    for step in range(1000):
        assert schedule.get_last_lr()[0] == pytest.approx(poly(step, 1000), abs=1e-13)
        optimiser.step()
        schedule.step()
    assert {step: poly(step, 1000) for step in printed} == pytest.approx(printed, abs=5e-10)


@pytest.mark.parametrize(("name", "kernel_size", "taps"), [("deeplab_v1_largefov", 3, [0, 3, 6]), ("deeplab_v1_4x4_r8", 4, [0, 2, 4, 6])])
def test_pretrained_heads_are_decimated(name: str, kernel_size: int, taps: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """fc6 and fc7 keep every so many of VGG's taps and filters (section 3.2 of v1): here each number says where it was."""
    width = 16
    tap = 100 * torch.arange(7.0)[:, None] + torch.arange(7.0)
    state = {
        "classifier.0.weight": (tap + 1000 * torch.arange(4096.0)[:, None, None, None]).expand(4096, 2, 7, 7).flatten(1),
        "classifier.0.bias": torch.arange(4096.0),
        "classifier.3.weight": torch.arange(4096.0)[:, None] * 4096 + torch.arange(4096.0),
        "classifier.3.bias": -torch.arange(4096.0),
    }
    monkeypatch.setattr("edu_seg.models.deeplab.imagenet_state_dict", lambda name: {"vgg16": state}[name])
    monkeypatch.setattr(
        "edu_seg.models.deeplab.trunk_and_rest", lambda *given: (Trunk({"pool5a": nn.Conv2d(3, 2, 1)}, {"pool5a": 2}), given[4])
    )
    head = cast(DeepLabV1, deeplab(name, 3, pretrained=True, head_width=width)).classifier.state_dict()
    filters = torch.arange(width) * 256
    wanted = tap[taps][:, taps] + 1000.0 * filters[:, None, None, None]
    assert head["fc6.weight"].shape == (width, 2, kernel_size, kernel_size)
    assert torch.equal(head["fc6.weight"], wanted.expand_as(head["fc6.weight"]))
    assert torch.equal(head["fc7.weight"][:, :, 0, 0], filters[:, None] * 4096.0 + filters)
    assert torch.equal(head["fc6.bias"], -head["fc7.bias"])
    assert torch.equal(head["fc6.bias"], filters.float())
    with pytest.raises(ValueError, match="4096 filters of 7 × 7: 16 of 9 × 9 cannot be taken from it"):
        deeplab(name, 3, pretrained=True, head_width=width, kernel_size=9)


# --- errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("deeplab_v1_4x4_r4", {"rate": 3}, r"kernel_size 4 and rate 3: .* to be centred"),
        ("deeplab_v1_largefov", {"rate": 0}, "kernel_size 3 and rate 0"),
        ("deeplab_v1_largefov", {"output_stride": 5}, "output_stride 5 of vgg16"),
        ("deeplab_v2_resnet101", {"rates": ()}, r"rates \(\): give one or more"),
        ("deeplab_v2_resnet101", {"rates": (6, 0)}, r"rates \(6, 0\)"),
        ("deeplab_v3_resnet50", {"output_stride": 10}, "output_stride 10 of resnet50: take one of 4, 8, 16, 32"),
        ("deeplab_v3_resnet50", {"multi_grid": (1, 2)}, r"multi_grid \(1, 2\): layer4 of resnet50 has 3 blocks"),
        ("deeplab_v3_resnet50", {"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ("deeplab_v3_cascade_resnet50", {"backbone": "vgg16"}, "vgg16 cannot take the place of resnet50"),
        ("deeplab_v3_resnet50", {"backbone": "alexnet"}, "no backbone called 'alexnet' can be dilated"),
    ],
)
def test_errors(name: str, options: dict[str, Any], message: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=message):
        on_meta(name, **options)


def test_more_errors() -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        on_meta("deeplab_v3_resnet50", no_such_option=1)
    net = small("deeplab_v3_resnet50")
    assert isinstance(net, DeepLabV3)
    with pytest.raises(ValueError, match="no auxiliary head: build it with auxiliary=True"):
        net.forward_with_auxiliary(images_of(1, 3, 9, 9))
    with pytest.raises(ValueError, match="a batch of one image"):
        net.train()(images_of(1, 3, 33, 33))
    assert receptive_field(net.eval(), (65, 65)).whole_map
