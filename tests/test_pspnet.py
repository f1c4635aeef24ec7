"""PSPNet: the released nets' parameters and sizes, torchvision's fcn_resnet as its baseline, and both heads."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from unchecked import shapes_unchecked

from edu_seg.layers import WithAuxiliary
from edu_seg.losses import AuxiliaryLoss, CrossEntropy
from edu_seg.models.pspnet import VARIANTS, PSPNet, pspnet
from edu_seg.receptive_field import receptive_fields

pytestmark = pytest.mark.usefixtures("one_thread")

THIN = {"backbone": "resnet18", "width": 1 / 16}
each = pytest.mark.parametrize("name", VARIANTS)


def on_meta(name: str, num_classes: int = 21, **options: Any) -> PSPNet:
    with torch.device("meta"):
        return pspnet(name, num_classes, **options).eval()


def small(name: str = "pspnet_resnet50", num_classes: int = 3, **options: Any) -> PSPNet:
    torch.manual_seed(0)
    return pspnet(name, num_classes, **(THIN | options))


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def images_of(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


# --- the table ------------------------------------------------------------------------------------------------------------------


def test_parameters() -> None:
    assert parameters(on_meta("pspnet_resnet50", 150)) == 46_782_550
    assert parameters(on_meta("pspnet_resnet50")) == 46_716_373
    assert parameters(on_meta("pspnet_resnet50", auxiliary=True)) == 49_081_578 == 46_716_373 + 2_365_205
    assert parameters(on_meta("pspnet_resnet101")) == 65_708_501
    assert parameters(on_meta("pspnet_resnet101", 19)) == 65_707_475


def test_sizes_at_473() -> None:
    """473 → 60 × 60 at output stride 8; pools 1, 2, 3 and 6; 4096 channels."""
    net = on_meta("pspnet_resnet50")
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, module: nn.Module, given: Any, made: Tensor) -> None:
        shapes[name] = tuple(made.shape[1:])

    for name in ("backbone.stem", "backbone.maxpool", "pyramid", *(f"pyramid.levels.{i}" for i in range(4)), "classifier"):
        net.get_submodule(name).register_forward_hook(partial(note, name))
    images = torch.empty(1, 3, 473, 473, device="meta")
    assert net(images).shape == (1, 21, 473, 473)
    assert [shape[-1] for shape in shapes.values()] == [237, 119, 1, 2, 3, 6, 60, 60]
    assert shapes["pyramid"] == (4096, 60, 60)
    net(torch.empty(1, 3, 713, 713, device="meta"))
    assert shapes["pyramid"] == (4096, 90, 90)


@pytest.mark.parametrize(("options", "size"), [({}, 487), ({"stride_in": "3x3"}, 479), ({"stem": "7x7", "stride_in": "3x3"}, 475)])
def test_fields_of_the_trunk(options: dict[str, Any], size: int) -> None:
    field = receptive_fields(on_meta("pspnet_resnet50", **options), (473, 473), whole_map="leave_out")["backbone.layer4"]
    assert (field.size, field.stride) == ((size, size), (8, 8))


def test_the_stem_is_deep() -> None:
    net = on_meta("pspnet_resnet50")
    stem = [layer for name, layer in net.backbone.named_children() if name.startswith("conv")]
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]) for layer in stem] == [  # pyright: ignore
        (3, 64, 3, 2),
        (64, 64, 3, 1),
        (64, 128, 3, 1),
    ]


@each
def test_every_size_comes_back(name: str) -> None:
    net = on_meta(name, 2, **THIN)
    for height in range(1, 40, 4):
        assert net(torch.empty(1, 3, height, 40 - height, device="meta")).shape == (1, 2, height, 40 - height)


# --- torchvision's baseline -----------------------------------------------------------------------------------------------------


def test_torchvisions_fcn_resnet() -> None:
    """No bins, torchvision's trunk: its state dict loads as it is, and gives the same logits from both heads."""
    torch.manual_seed(0)
    theirs = torchvision.models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True, num_classes=4)
    with torch.no_grad():
        for layer in theirs.modules():
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.weight, 0.4, 0.6)
    ours = on_meta("fcn_resnet50", 4, auxiliary=True)
    ours.load_state_dict(theirs.state_dict(), assign=True)
    images = images_of(1, 3, 65, 57)
    with torch.no_grad():
        wanted = theirs.eval()(images)
        logits, auxiliary = ours.forward_with_auxiliary(images)
    assert wanted["out"].std() > 1e-2
    torch.testing.assert_close(logits, wanted["out"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(auxiliary, wanted["aux"], rtol=1e-5, atol=1e-5)


# --- the head, written out ------------------------------------------------------------------------------------------------------


def norm(x: Tensor, layer: Any) -> Tensor:
    return F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias)


def test_pspnet_written_out() -> None:
    """97 × 49 pixels are 13 × 7 units on every eighth pixel, the last included: corner on corner, as the released files have it."""
    net: Any = small().double().eval()
    images = images_of(2, 3, 97, 49).double()
    features = net.backbone(images)["layer4"]
    assert features.shape == (2, 32, 13, 7)
    maps = [features]
    for bins, level in zip((1, 2, 3, 6), net.pyramid.levels, strict=True):
        rows = [features[:, :, i * 13 // bins : -(-(i + 1) * 13 // bins)] for i in range(bins)]
        pooled = torch.stack(
            [torch.stack([row[..., j * 7 // bins : -(-(j + 1) * 7 // bins)].mean((2, 3)) for j in range(bins)], -1) for row in rows], -2
        )
        brought = norm(F.conv2d(pooled, level[1].weight), level[2]).relu()
        maps.append(F.interpolate(brought, (13, 7), mode="bilinear", align_corners=True))
    head = net.classifier
    x = norm(F.conv2d(torch.cat(maps, 1), head[0].weight, padding=1), head[1]).relu()
    scores = F.conv2d(x, head[4].weight, head[4].bias)
    wanted = F.interpolate(scores, (97, 49), mode="bilinear", align_corners=True)
    torch.testing.assert_close(net(images), wanted, rtol=1e-9, atol=1e-9)


def test_units_stay_where_they_are_at_any_size() -> None:
    """Cutting pixels off behind moves nothing: the same trunk map gives the same logits at the pixels that are left."""
    net: Any = small(bins=(), align_corners=True).eval()
    scores = torch.randn(1, 3, 9, 9)
    net.classifier, net.backbone.forward = nn.Identity(), lambda images: {net.top: scores}
    whole, cut = net(images_of(1, 3, 65, 65)), net(images_of(1, 3, 58, 61))
    torch.testing.assert_close(cut, whole[:, :, :58, :61])
    torch.testing.assert_close(whole[:, :, ::8, ::8], scores)


@pytest.mark.parametrize("mode", ["average", "maximum"])
@pytest.mark.parametrize("reduce", [True, False])
def test_options_of_the_pyramid(mode: Any, reduce: bool) -> None:
    """Table 1: bins 1 alone or 1, 2, 3, 6; means or maxima; with and without dimension reduction."""
    for bins in ((1,), (1, 2, 3, 6), (2, 3, 6)):
        net: Any = on_meta("pspnet_resnet50", bins=bins, mode=mode, reduce=reduce)
        assert net.pyramid.out_channels == (4096 if reduce and len(bins) != 3 else 2048 + 3 * 682 if reduce else 2048 * (1 + len(bins)))
        assert all(
            isinstance(level[0], nn.AdaptiveAvgPool2d if mode == "average" else nn.AdaptiveMaxPool2d) for level in net.pyramid.levels
        )  # pyright: ignore
        assert net(torch.empty(2, 3, 33, 33, device="meta")).shape == (2, 21, 33, 33)
    images = images_of(1, 3, 65, 65)
    net = small(mode=mode, reduce=reduce).eval()
    other = small(mode="maximum" if mode == "average" else "average", reduce=reduce).eval()
    assert not torch.equal(net(images), other(images))


def test_the_largest_bin_sees_the_whole_image() -> None:
    """With bin 1 a far corner changes a unit that the trunk alone would not let see it; without the pyramid it does not."""
    images = images_of(1, 3, 1001, 33)
    changed = images.clone()
    changed[:, :, -8:] += 3
    with torch.no_grad():
        for bins, sees in (((1,), True), ((), False)):
            net = small(bins=bins).eval()
            assert torch.equal(net(images)[:, :, 0], net(changed)[:, :, 0]) != sees


# --- training -------------------------------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("auxiliary", [False, True])
def test_gradients_reach_every_parameter(name: str, auxiliary: bool) -> None:
    net, images = small(name, auxiliary=auxiliary), images_of(2, 3, 49, 40)
    labels = torch.randint(0, 3, (2, 49, 40), generator=torch.Generator().manual_seed(2))
    if auxiliary:
        AuxiliaryLoss(CrossEntropy(), 0.4)(WithAuxiliary(net)(images), labels).backward()
    else:
        CrossEntropy()(net(images), labels).backward()
    assert [key for key, parameter in net.named_parameters() if parameter.grad is None or not parameter.grad.any()] == []


def test_the_auxiliary_head_changes_nothing_else() -> None:
    net = small(auxiliary=True).eval()
    images = images_of(2, 3, 41, 33)
    logits, auxiliary = net.forward_with_auxiliary(images)
    assert torch.equal(net(images), logits)
    assert auxiliary.shape == logits.shape
    assert isinstance(net.train()(images), Tensor)
    before: dict[str, Tensor] = {}
    net.eval().aux_classifier.register_forward_hook(lambda module, given, made: before.update(given=given[0]))  # pyright: ignore
    net.forward_with_auxiliary(images)
    assert torch.equal(before["given"], net.backbone(images)["layer3"])


@pytest.mark.parametrize("name", ["pspnet_resnet50", "fcn_resnet50"])
def test_each_head_goes_to_the_pixels_from_its_own_stride(name: str) -> None:
    net: Any = small(name, auxiliary=True, output_stride=32).eval()
    images = images_of(1, 3, 97, 65)
    features = net.backbone(images)
    assert [features[layer].shape[2:] for layer in ("layer3", "layer4")] == [(7, 5), (4, 3)]
    scores = (net.classifier(net.pyramid(features["layer4"])), net.aux_classifier(features["layer3"]))
    for logits, coarse in zip(net.forward_with_auxiliary(images), scores, strict=True):
        wanted = F.interpolate(coarse, (97, 65), mode="bilinear", align_corners=name.startswith("pspnet"))
        torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backbone", ["vgg_small", "vgg_strided"])
def test_other_trunks(backbone: str) -> None:
    net = small(backbone=backbone, width=0.5, auxiliary=True)
    assert net.top == "pool5"
    logits, auxiliary = net.forward_with_auxiliary(images_of(2, 3, 50, 33))
    assert logits.shape == auxiliary.shape == (2, 3, 50, 33)


# --- errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_stride": 6}, "output_stride 6 of resnet50"),
        ({"bins": (1, 0)}, r"bins \(1, 0\): each level has at least 1"),
        ({"mode": "mean"}, "mode 'mean': there are average, maximum"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"pretrained": True, "stem": "deep"}, "torchvision's weights of resnet50 have the 7 × 7 stem"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=message):
        on_meta("pspnet_resnet50", **options)


def test_more_errors() -> None:
    with pytest.raises(ValueError, match="no auxiliary head: build it with auxiliary=True"):
        small().forward_with_auxiliary(images_of(1, 3, 9, 9))
    with pytest.raises(ValueError, match="a batch of one image"):
        small()(images_of(1, 3, 33, 33))
    assert small(bins=(2, 3)).train()(images_of(1, 3, 33, 33)).isfinite().all()
