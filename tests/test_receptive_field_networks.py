"""Networks as they are published: the arithmetic and the gradient agree at some units of some layers of each."""

import random
from functools import partial
from typing import Any

import pytest
import torch
from small_models import SHAPES_ARE_NOT_ENOUGH, SMALL
from torch import nn
from torchvision import models as classification
from torchvision.models import segmentation

from edu_seg.models import MODELS, build
from edu_seg.receptive_field import UnknownOperation, measured_receptive_field, receptive_field, receptive_fields

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSIFIERS = (
    "alexnet",
    "squeezenet1_0",
    "squeezenet1_1",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext50_32x4d",
    "densenet121",
    "googlenet",
    "inception_v3",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mnasnet0_5",
    "mnasnet1_0",
    "efficientnet_b0",
    "efficientnet_b1",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "regnet_x_800mf",
    "convnext_tiny",
)
SEGMENTERS = ["fcn_resnet50", "deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]


def without_numbers(make: Any) -> nn.Module:
    """A network whose weights are there, but were never drawn: only shapes matter here."""
    torch.manual_seed(0)
    try:
        with torch.device("meta"):
            model = make()
    except NotImplementedError:  # it computes with numbers while it is built
        return make()
    return model.to_empty(device="cpu")


def classifier(name: str) -> nn.Module:
    options: dict[str, Any] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    return without_numbers(partial(getattr(classification, name), **options))


def agree(model: nn.Module, size: tuple[int, int], layers: int, units: int) -> int:
    """Compares the output and some layers, at some units each, corners among them; the number of comparisons."""
    fields = receptive_fields(model, size)
    draw = random.Random(0)
    modules = dict(model.named_modules())
    names = [name for name in fields if name.split("#")[0].split("[")[0] in modules]
    compared = 0
    for name in draw.sample(names, layers):
        field = fields[name]
        for _ in range(units):
            unit = tuple(draw.choice([0, length - 1, draw.randrange(length)]) for length in field.map_size)
            assert field.inside(*unit) == measured_receptive_field(model, size, unit, name), (name, unit)
            compared += 1
    return compared


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_of_torchvision(name: str) -> None:
    assert agree(classifier(name), (107, 91) if name == "inception_v3" else (72, 64), layers=3, units=2) == 6


@pytest.mark.parametrize("name", SEGMENTERS)
def test_segmentation_networks_of_torchvision(name: str) -> None:
    model = without_numbers(partial(getattr(segmentation, name), weights=None, weights_backbone=None))
    assert agree(model, (57, 49), layers=2, units=2) == 4
    field = receptive_field(model, (57, 49))
    assert field.inside(28, 0) == measured_receptive_field(model, (57, 49), (28, 0))


def test_there_are_twenty_five_and_more() -> None:
    assert len(CLASSIFIERS) + len(SEGMENTERS) >= 25


@pytest.mark.parametrize("name", [name for name in MODELS if name not in SHAPES_ARE_NOT_ENOUGH])
def test_every_model_of_the_course(name: str) -> None:
    """In its small form, since 134 million weights take seconds; FCNs with a larger pad, as the paper's."""
    options = SMALL[name] | ({"pad": 20} if name in ("fcn32s", "fcn16s", "fcn8s", "fcn8s_at_once") else {})
    model = without_numbers(partial(build, name, 3, **options))
    field = receptive_field(model, (40, 33))
    for unit in ((0, 0), (39, 32), (17, 5)):
        assert field.inside(*unit) == measured_receptive_field(model, (40, 33), unit)


def test_a_net_whose_wiring_depends_on_the_colours_is_refused() -> None:
    """The CRF's lattice is built from the photograph: no field follows from the shapes alone."""
    with pytest.raises(UnknownOperation, match=r"aten\._local_scalar_dense\.default in the model itself"):
        receptive_field(build("crf_rnn", 3, **SMALL["crf_rnn"]), (40, 33))


@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "maxvit_t"])
def test_transformers_take_maps_apart_and_that_is_said(name: str) -> None:
    with torch.device("meta"):
        model = getattr(classification, name)(weights=None)
    with pytest.raises(UnknownOperation, match=r"aten\.\w+\.\w+ in "):
        receptive_fields(model, (224, 224))


TABLE = {
    "alexnet": ("features", 195, 32, 66),
    "vgg16": ("features", 212, 32, 90),
    "resnet18": ("layer4", 435, 32, 217),
    "resnet34": ("layer4", 899, 32, 449),
    "resnet50": ("layer4", 427, 32, 213),
    "resnet101": ("layer4", 971, 32, 485),
    "resnet152": ("layer4", 1451, 32, 725),
    "googlenet": ("inception5b", 379, 32, 167),
}
"""Section 8 of the collected numbers: layer, size, stride, padding, global pooling aside."""


@pytest.mark.parametrize("name", TABLE)
def test_published_fields(name: str) -> None:
    layer, size, stride, padding = TABLE[name]
    options: dict[str, Any] = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    with torch.device("meta"):
        model = getattr(classification, name)(weights=None, **options)
    field = receptive_field(model, (224, 224), layer)
    assert (field.size, field.stride, field.padding, field.uniform) == ((size,) * 2, (stride,) * 2, (padding,) * 2, True)


@pytest.mark.parametrize(("name", "size", "padding"), [("fcn_resnet50", 443, 221), ("deeplabv3_resnet50", 1019, 509)])
def test_published_fields_of_heads(name: str, size: int, padding: int) -> None:
    """Image pooling sees the whole map; papers leave it out."""
    with torch.device("meta"):
        model = getattr(segmentation, name)(weights=None, weights_backbone=None)
    fields = receptive_fields(model, (513, 513), whole_map="leave_out")
    field = fields["classifier"]
    assert (field.size, field.stride, field.padding) == ((size,) * 2, (8,) * 2, (padding,) * 2)
    whole = receptive_fields(model, (513, 513))["classifier"].whole_map
    assert bool(whole) == (name == "deeplabv3_resnet50")
