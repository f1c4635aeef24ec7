"""Dilated residual networks: the published counts and fields, torchvision's ResNets under surgery, localisation."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from unchecked import shapes_unchecked

from edu_seg import backbones
from edu_seg.backbones.drn import TABLE, ResidualBlock, drn_trunk
from edu_seg.models import build
from edu_seg.models.drn import DRN, Box, DRNClassifier, drn_classifier, localise
from edu_seg.receptive_field import measured_receptive_field, receptive_field
from edu_seg.surgery import remove_stride

ROWS = {  # parameters of the 1000-class form, tensors in the released state dict, field and padding of the last map
    "drn_a_18": (11_689_512, 122, 355, 177),
    "drn_a_34": (21_797_672, 218, 819, 409),
    "drn_a_50": (25_557_032, 320, 411, 205),
    "drn_b_26": (21_126_584, 182, 581, 290),
    "drn_c_26": (21_126_584, 182, 581, 290),
    "drn_c_42": (31_234_744, 278, 1045, 522),
    "drn_c_58": (40_542_008, 374, 573, 286),
    "drn_d_22": (16_393_752, 152, 527, 263),
    "drn_d_24": (21_114_392, 164, 575, 287),
    "drn_d_38": (26_501_912, 248, 991, 495),
    "drn_d_40": (31_222_552, 260, 1039, 519),
    "drn_d_54": (35_809_176, 344, 519, 259),
    "drn_d_56": (40_529_816, 356, 567, 283),
    "drn_d_105": (54_801_304, 650, 1063, 531),
    "drn_d_107": (59_521_944, 662, 1111, 555),
}
PRINTED = {  # millions in table 1 of the paper or in the released code's table; C-58 with the projection that nothing goes through
    "drn_a_18": 11.7, "drn_a_34": 21.8, "drn_a_50": 25.6, "drn_b_26": 21.1, "drn_c_26": 21.1, "drn_c_42": 31.2, "drn_c_58": 41.6,
    "drn_d_22": 16.4, "drn_d_38": 26.5, "drn_d_54": 35.8, "drn_d_105": 54.8,
}  # fmt: skip
LEVELS = {  # the fields of levels 1 to 8
    "drn_c_26": [11, 17, 45, 101, 229, 485, 549, 581],
    "drn_c_42": [11, 17, 61, 181, 565, 949, 1013, 1045],
}


def classifier(name: str, num_classes: int = 1000, **options: Any) -> DRNClassifier:
    with torch.device("meta"):
        return drn_classifier(name, num_classes, **options).eval()


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def test_every_row_is_checked() -> None:
    assert ROWS.keys() == TABLE.keys()


@pytest.mark.parametrize("name", ROWS)
def test_counts_and_fields(name: str) -> None:
    net = classifier(name)
    count, tensors, size, padding = ROWS[name]
    field = net.backbone.fields[net.top]
    assert (parameters(net), len(net.state_dict()), field.size, field.padding, field.stride) == (count, tensors, size, padding, 8)
    assert net.score_map(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000, 28, 28)
    assert net(torch.empty(2, 3, 64, 96, device="meta")).shape == (2, 1000)


@pytest.mark.parametrize("name", PRINTED)
def test_counts_as_printed(name: str) -> None:
    unused = 2048 * 512 + 2 * 512 if name == "drn_c_58" else 0
    assert round((ROWS[name][0] + unused) / 1e6, 1) == PRINTED[name]


@pytest.mark.parametrize("name", LEVELS)
def test_the_fields_of_the_levels(name: str) -> None:
    trunk = classifier(name).backbone
    assert [trunk.fields[f"layer{level}"].size for level in range(1, 9)] == LEVELS[name]


@pytest.mark.parametrize("name", ["drn_a_18", "drn_a_50", "drn_c_26", "drn_d_22", "drn_c_58"])
def test_the_trunks_own_fields_are_those_of_the_tracer(name: str) -> None:
    with torch.device("meta"):
        trunk = backbones.build(name, width=0.1)
    traced = receptive_field(nn.Sequential(*trunk.children()), (64, 64))
    field = trunk.fields[next(reversed(trunk.channels))]
    assert (traced.size[0], traced.stride[0], traced.padding[0]) == (field.size, field.stride, field.padding)


def test_a_field_by_gradient() -> None:
    trunk = backbones.build("drn_d_22", width=0.1)
    field = measured_receptive_field(nn.Sequential(*trunk.children()), (640, 8), (40, 0))
    assert field == ((40 * 8 - 263, 40 * 8 + 263), (0, 7))


# --- A is ResNet ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "resnet"), [("drn_a_18", "resnet18"), ("drn_a_50", "resnet50")])
def test_a_is_resnet_with_its_strides_removed(name: str, resnet: str) -> None:
    """With copied weights, under the convention "drn" (the first block of each dilated group by 1), and under no other."""
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.get_model(resnet, weights=None, num_classes=7).double().eval()
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(layer.running_var, 0.5, 1.5)  # pyright: ignore[reportArgumentType]
    ours = drn_classifier(name, 7).double().eval()
    state = theirs.state_dict()
    ours.backbone.load_state_dict({key: value for key, value in state.items() if not key.startswith("fc.")})
    ours.fc.load_state_dict({"weight": state["fc.weight"][:, :, None, None], "bias": state["fc.bias"]})
    images = torch.rand(2, 3, 49, 65, dtype=torch.float64)
    with torch.no_grad():
        answer = ours(images)
        torch.testing.assert_close(remove_stride(theirs, 8, "drn")(images), answer, rtol=1e-10, atol=1e-10 * float(answer.abs().max()))
        for convention in ("exact", "stage"):
            assert (remove_stride(theirs, 8, convention)(images) - answer).abs().max() > 1e-3 * answer.abs().max()


def test_pretrained_takes_torchvisions_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    torch.manual_seed(0)
    state = torchvision.models.resnet18(weights=None).state_dict()
    asked = []

    def stored(name: str) -> dict[str, torch.Tensor]:
        asked.append(name)
        return dict(state)

    monkeypatch.setattr("edu_seg.backbones.drn.imagenet_state_dict", stored)
    monkeypatch.setattr("edu_seg.backbones.imagenet_state_dict", stored)
    net = drn_classifier("drn_a_18", pretrained=True)
    assert torch.equal(net.backbone.state_dict()["layer4.1.bn2.weight"], state["layer4.1.bn2.weight"])
    assert torch.equal(net.fc.weight[:, :, 0, 0], state["fc.weight"])
    assert set(asked) == {"resnet18"}
    torch.testing.assert_close(build("drn_a_18", 5, pretrained=True).get_parameter("backbone.conv1.weight"), state["conv1.weight"])


@pytest.mark.parametrize("options", [{"name": "drn_c_26"}, {"name": "drn_a_18", "width": 0.5}])
def test_weights_that_are_not_there(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"has no pretrained weights here: build it with pretrained=False, or take drn_a_18"):
        backbones.build(pretrained=True, **options)


# --- the blocks -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("c_in", [4, 6])
def test_a_basic_block_by_plain_functions(c_in: int, residual: bool) -> None:
    torch.manual_seed(0)
    block = ResidualBlock("basic", c_in, 4, 1, (1, 3), residual).double().eval()
    x = torch.randn(1, c_in, 9, 9, dtype=torch.float64)
    weights = dict(block.named_parameters())
    y = F.conv2d(x, weights["conv1.weight"], padding=1) / (1 + 1e-5) ** 0.5
    y = F.conv2d(y.relu(), weights["conv2.weight"], padding=3, dilation=3) / (1 + 1e-5) ** 0.5
    if residual:
        y = y + (x if c_in == 4 else F.conv2d(x, weights["downsample.0.weight"]) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(block(x), y.relu(), rtol=1e-12, atol=1e-12)


def test_b_and_c_differ_in_the_last_residuals_alone() -> None:
    b, c = (build(name, 3, width=0.1).eval() for name in ("drn_b_26", "drn_c_26"))
    c.load_state_dict(b.state_dict())
    features = torch.rand(1, 13, 9, 9)
    assert isinstance(b, DRN)
    assert isinstance(c, DRN)
    assert b.backbone.channels == c.backbone.channels
    with torch.no_grad():
        images = torch.rand(1, 3, 64, 64)
        ours, theirs = b.backbone(images), c.backbone(images)
        for level in range(1, 7):
            assert torch.equal(ours[f"layer{level}"], theirs[f"layer{level}"])
        assert not torch.allclose(ours["layer7"], theirs["layer7"])
    assert features.shape[1] > 0


# --- classification, localisation, segmentation -----------------------------------------------------------------------------------


def test_the_mean_of_the_score_map_is_the_classifiers_answer() -> None:
    torch.manual_seed(0)
    net = drn_classifier("drn_c_26", 10, width=0.1).double().eval()
    images = torch.rand(2, 3, 65, 80, dtype=torch.float64)
    torch.testing.assert_close(net.score_map(images).mean((2, 3)), net(images), rtol=1e-10, atol=1e-12)


def test_localise_by_hand() -> None:
    scores = torch.tensor(
        [
            [[0.0, 0.0, 0.0, 9.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]],
            [[1.0, 0.0, 0.0, 0.0], [0.0, 5.0, 2.0, 0.0], [0.0, 0.0, 3.0, 0.0]],
        ]
    )
    assert localise(scores, 1) == Box(0, 0, 2, 2)
    assert localise(scores, 1, threshold=1.5) == Box(1, 1, 2, 2)
    assert localise(scores, 1, threshold=4.0) == Box(1, 1, 1, 1)
    assert localise(scores, 0) == Box(0, 3, 0, 3)  # ties of zeros are above no threshold
    assert localise(scores, 0, threshold=9.0) is None
    with pytest.raises(ValueError, match="class 2: the scores are of classes 0 to 1"):
        localise(scores, 2)


def test_units_sit_on_every_eighth_pixel() -> None:
    """Logits at these pixels are the scores themselves."""
    torch.manual_seed(0)
    net = build("drn_d_22", 3, width=0.1).double().eval()
    assert isinstance(net, DRN)
    assert (net.grid.stride, net.grid.centre) == (8, 0)
    images = torch.rand(1, 3, 49, 70, dtype=torch.float64)
    with torch.no_grad():
        scores = net.seg(net.backbone(images)[net.top])
        torch.testing.assert_close(net(images)[:, :, ::8, ::8], scores, rtol=1e-12, atol=1e-12)


def test_errors() -> None:
    with pytest.raises(ValueError, match="no DRN is called 'drn_e_7': there are drn_a_18"):
        drn_trunk("drn_e_7")
    with pytest.raises(ValueError, match="width multiplies the channels, so it must be above 0, got 0"):
        build("drn_c_26", width=0.0)
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        build("drn_c_26", 0, width=0.1)
    with shapes_unchecked(), pytest.raises(ValueError, match=r"at least one pixel and one example, got \(1, 3, 0, 4\)"):
        build("drn_c_26", width=0.1)(torch.empty(1, 3, 0, 4))
