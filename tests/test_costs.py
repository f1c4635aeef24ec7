"""costs: multiply-adds against torch's own counter, activation memory against what the allocator holds after a real forward pass."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from small_models import SMALL
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet as torchvision_resnet
from torchvision.models import vit_b_16

from edu_seg.backbones.densenet import densenet
from edu_seg.backbones.resnet import StrideIn, resnet
from edu_seg.backbones.trunk import Trunk
from edu_seg.costs import network_cost
from edu_seg.models import MODELS, build


def without_numbers(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.device("meta"):
        return make()


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"crf_rnn"}))
def test_multiply_adds_are_half_of_torchs_count(name: str) -> None:
    model = without_numbers(partial(build, name, 21, **SMALL[name]))
    cost = network_cost(model, (66, 65), batch=2)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        model(torch.empty(2, 3, 66, 65))
    assert 2 * cost.multiply_adds == counter.get_total_flops() > 0
    assert cost.parameters == sum(layer.parameters for layer in cost.layers) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("depth", "stride_in", "count"),
    [(18, "3x3", 1_814_073_344), (50, "1x1", 3_857_973_248), (50, "3x3", 4_089_184_256), (152, "1x1", 11_282_415_616)],
)
def test_resnets_of_the_paper(depth: int, stride_in: StrideIn, count: int) -> None:
    """He et al. 2016, table 1: 1.8, 3.8 and 11.3 billion; the classifier's last layer is theirs too."""
    trunk = without_numbers(lambda: resnet(f"resnet{depth}", stride_in=stride_in))
    assert isinstance(trunk, Trunk)
    assert network_cost(trunk, (224, 224)).multiply_adds + trunk.channels["layer4"] * 1000 == count


def test_products_of_attention_count_too() -> None:
    model = without_numbers(vit_b_16)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        model(torch.empty(1, 3, 224, 224))
    assert 2 * network_cost(model, (224, 224)).multiply_adds == counter.get_total_flops()


class Last(nn.Module):
    """The last map of a trunk, as a model."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, images: Tensor) -> Tensor:
        return list(self.trunk(images).values())[-1]


def held(model: nn.Module, images: Tensor) -> int:
    """Bytes that the allocator has given and not got back when the forward pass ends, the output still in hand."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        output = model(images)
    assert output.requires_grad
    return sum(event.self_cpu_memory_usage for event in recorded.key_averages())  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.filterwarnings("ignore")  # of the profiler, about devices that are not there
@pytest.mark.parametrize("output_stride", [16, 8])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "densenet121"])
def test_activations_are_what_a_real_pass_holds(name: str, output_stride: int) -> None:
    torch.manual_seed(0)
    model = Last((densenet if name == "densenet121" else resnet)(name, output_stride=output_stride)).train()
    predicted = network_cost(model, (65, 64), batch=2).activation_bytes
    assert predicted == pytest.approx(held(model, torch.rand(2, 3, 65, 64)), rel=0.01)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["fcn8s", "segnet", "unet", "pspnet_resnet50", "drn_c_26", "dilation8"])
def test_activations_of_models(name: str) -> None:
    torch.manual_seed(0)
    model = build(name, 5, **SMALL[name]).train()
    predicted = network_cost(model, (64, 80), batch=2).activation_bytes
    assert predicted == pytest.approx(held(model, torch.rand(2, 3, 64, 80)), rel=0.01)


def test_layers_by_hand() -> None:
    """A convolution keeps its input, batch norm its input and two numbers a channel, a ReLU in place its output."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 1, bias=False))
    cost = network_cost(net, (8, 8), batch=2)
    rows = {layer.name: layer for layer in cost.layers}
    a_map = 2 * 4 * 8 * 8 * 4  # images × channels × pixels × bytes
    assert [rows[name].multiply_adds for name in "0123"] == [2 * 64 * 4 * 27, 0, 0, 2 * 64 * 2 * 4]
    assert [rows[name].activation_bytes for name in "0123"] == [0, a_map + 2 * 4 * 4, a_map, 0]
    assert rows[""].activation_bytes == a_map // 2  # the output, which the caller has in hand
    assert [rows[name].parameters for name in "0123"] == [4 * 27 + 4, 8, 0, 8]
    assert rows["3"].shape == (2, 2, 8, 8)
    assert cost.activation_bytes == 2 * a_map + a_map // 2 + 32


def test_without_training_nothing_but_the_output_is_kept() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    assert network_cost(net, (9, 9), training=False).activation_bytes == 4 * 5 * 5 * 4


def test_a_layer_that_is_called_twice_has_its_parameters_once() -> None:
    layer = nn.Conv2d(3, 3, 1)
    cost = network_cost(nn.Sequential(layer, layer), (4, 4))
    assert cost.parameters == sum(row.parameters for row in cost.layers) == 12
    assert [row.multiply_adds for row in cost.layers if row.name == "0"] == [144, 144]


def test_the_model_stays_as_it_was() -> None:
    net = torchvision_resnet.resnet18(weights=None).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    network_cost(net, (64, 64))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module.training or module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_what_has_no_cost() -> None:
    with pytest.raises(ValueError, match="batch 0"):
        network_cost(nn.Conv2d(3, 3, 1), (4, 4), batch=0)
    with pytest.raises(RuntimeError):
        network_cost(build("crf_rnn", 3, **SMALL["crf_rnn"]), (32, 32))
