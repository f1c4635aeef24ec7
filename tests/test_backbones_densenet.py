"""DenseNet trunks: torchvision's numbers bit for bit, the paper's table of parameters, and strides removed exactly."""

from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from unchecked import shapes_unchecked

from edu_seg.backbones import densenet
from edu_seg.backbones.densenet import cifar_densenet
from edu_seg.receptive_field import measured_receptive_field, receptive_field

pytestmark = pytest.mark.usefixtures("one_thread")


def on_meta(build: Any, *args: Any, **options: Any) -> Any:
    with torch.device("meta"):
        return build(*args, **options)


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def with_any_statistics(net: nn.Module) -> Any:
    torch.manual_seed(0)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.8, 1.2)
    return net.eval()


def images_of(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def last(net: Any, images: Tensor) -> Tensor:
    return list(net(images).values())[-1]


# --- torchvision's networks -----------------------------------------------------------------------------------------------------


def test_torchvisions_densenet_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the names of its files, which are older than those of its layers."""
    theirs: Any = with_any_statistics(torchvision.models.densenet121(weights=None))
    state = theirs.state_dict()
    old = {
        key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in key else key: value for key, value in state.items()
    }
    assert any("norm.1." in key for key in old)
    monkeypatch.setattr(densenet, "imagenet_state_dict", lambda name: {"densenet121": old}[name])
    ours = densenet.densenet("densenet121", pretrained=True).eval()
    images = images_of(2, 3, 65, 40)
    with torch.no_grad():
        features = ours(images)
        wanted = theirs.features(images)
        assert torch.equal(features["relu5"], wanted.relu())
        assert torch.equal(features["denseblock2"], theirs.features[:7](images))
    assert wanted.std() > 0.1


COUNTS = {"densenet121": 7_978_856, "densenet161": 28_681_000, "densenet169": 14_149_480, "densenet201": 20_013_928}
"""Parameters with the classifier."""


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(name: str) -> None:
    trunk = on_meta(densenet.densenet, name)
    assert parameters(trunk) == COUNTS[name] - 1000 * (trunk.channels["relu5"] + 1)


def test_multiply_adds_at_224() -> None:
    """2.834 · 10⁹ with the classifier; counted the same way, 161, 169 and 201 take 7.728, 3.360 and 4.291."""
    trunk = on_meta(densenet.densenet, "densenet121")
    with FlopCounterMode(display=False) as counter:
        trunk(torch.empty(1, 3, 224, 224, device="meta"))
    assert (counter.get_total_flops() / 2 + 1000 * trunk.channels["relu5"]) / 1e9 == pytest.approx(2.834, abs=6e-4)


# --- CIFAR ----------------------------------------------------------------------------------------------------------------------

TABLE_2 = [  # k, depth, BC, parameters with 10 classes
    (12, 40, False, 1_019_722),
    (12, 100, False, 6_979_642),
    (24, 100, False, 27_249_082),
    (12, 100, True, 769_162),
    (24, 250, True, 15_324_406),
    (40, 190, True, 25_624_430),
]
OTHER_START = {(12, 40): 1_059_298, (12, 100): 7_083_538, (24, 100): 28_071_706}  # 2 k channels in place of 16
BC_FROM_16 = {(12, 100): 754_810, (24, 250): 15_041_958, (40, 190): 24_917_134}


@pytest.mark.parametrize(("growth", "depth", "compressed", "count"), TABLE_2)
def test_table_2(growth: int, depth: int, compressed: bool, count: int) -> None:
    """1.0, 7.0, 27.2, 0.8, 15.3 and 25.6 million, to the unit; and what the other number of first channels would give."""
    trunk = on_meta(cifar_densenet, growth, depth, compressed=compressed)
    assert parameters(trunk) + 10 * (trunk.channels["relu4"] + 1) == count
    other = on_meta(cifar_densenet, growth, depth, compressed=compressed, initial=16 if compressed else 2 * growth)
    assert parameters(other) + 10 * (other.channels["relu4"] + 1) == (BC_FROM_16 if compressed else OTHER_START)[growth, depth]


@pytest.mark.parametrize("compressed", [False, True])
def test_depth_counts_the_layers_with_weights(compressed: bool) -> None:
    trunk = on_meta(cifar_densenet, 12, 40, compressed=compressed)
    assert sum(isinstance(layer, nn.Conv2d) for layer in trunk.modules()) + 1 == 40
    sizes = [features.shape[-1] for features in trunk(torch.empty(1, 3, 32, 32, device="meta")).values()]
    assert sizes == [32, 16, 8]


# --- strides removed ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output_stride", [1, 2])
@pytest.mark.parametrize("compressed", [False, True])
def test_with_the_stride_removed_units_keep_their_numbers(output_stride: int, compressed: bool) -> None:
    """Every `4 / output_stride`-th unit is one of the net with all its strides, away from the border, where padding differs."""
    options: dict[str, Any] = {"compressed": compressed}
    whole = with_any_statistics(cifar_densenet(4, 10, **options).double())
    dense = cifar_densenet(4, 10, **options, output_stride=output_stride).double().eval()
    dense.load_state_dict(whole.state_dict())
    images = images_of(1, 3, 64, 64).double()
    with torch.no_grad():
        coarse, fine = last(whole, images), last(dense, images)
    step = 4 // output_stride
    assert fine.shape[-1] == 64 // output_stride
    inner = slice(4, 12)
    torch.testing.assert_close(fine[:, :, ::step, ::step][:, :, inner, inner], coarse[:, :, inner, inner], rtol=1e-9, atol=1e-9)


def test_without_the_pool_they_do_not() -> None:
    whole = with_any_statistics(cifar_densenet(4, 10))
    dropped = cifar_densenet(4, 10, output_stride=2, transition="drop").eval()
    dropped.load_state_dict(whole.state_dict())
    images = images_of(1, 3, 64, 64)
    with torch.no_grad():
        coarse, fine = last(whole, images), last(dropped, images)
    assert fine.shape[-1] == 32
    assert (fine[:, :, ::2, ::2] - coarse)[:, :, 4:12, 4:12].abs().mean() > 0.01 * coarse.std()


@pytest.mark.parametrize(("output_stride", "transition"), [(32, "exact"), (8, "exact"), (16, "drop")])
def test_strides_and_parameters(output_stride: int, transition: Any) -> None:
    trunk = on_meta(densenet.densenet, "densenet121", output_stride=output_stride, transition=transition)
    features = trunk(torch.empty(2, 3, 96, 64, device="meta"))
    for name, value in features.items():
        stride = trunk.fields[name].stride
        assert value.shape == (2, trunk.channels[name], 96 // stride, 64 // stride), name
    assert trunk.fields["relu5"].stride == output_stride
    assert parameters(trunk) == 7_978_856 - 1_025_000
    assert trunk.fields["relu5"].size == (2071 if transition == "exact" else 2055)  # without a pool of stride 16: 16 pixels less


@pytest.mark.parametrize("options", [{}, {"output_stride": 1}, {"output_stride": 2, "transition": "drop"}])
def test_fields_agree_with_the_gradient(options: dict[str, Any]) -> None:
    trunk = cifar_densenet(2, 7, **options)
    field = receptive_field(trunk, (40, 33), "relu4")
    assert (field.size[0], field.stride[0], field.padding[0]) == (
        trunk.fields["relu4"].size,
        trunk.fields["relu4"].stride,
        trunk.fields["relu4"].padding,
    )
    for unit in ((0, 0), (field.map_size[0] - 1, 2), (5, 4)):
        assert field.inside(*unit) == measured_receptive_field(trunk, (40, 33), unit, "relu4")


def test_kept_maps_are_not_overwritten() -> None:
    net: Any = cifar_densenet(3, 7).eval()
    seen: dict[str, Tensor] = {}
    for name in net.channels:
        net.get_submodule(name).register_forward_hook(lambda module, given, made, name=name: seen.update({name: made.clone()}) or None)
    with torch.no_grad():
        kept = net(images_of(1, 3, 16, 16))
    assert all(torch.equal(kept[name], seen[name]) for name in net.channels)


# --- errors ---------------------------------------------------------------------------------------------------------------------


def test_errors() -> None:
    with pytest.raises(ValueError, match="no DenseNet is called 'densenet264': there are densenet121"):
        densenet.densenet("densenet264")
    with pytest.raises(ValueError, match="output_stride 2 of densenet121: take one of 4, 8, 16, 32"):
        densenet.densenet("densenet121", output_stride=2)
    with pytest.raises(ValueError, match=r"depth 41: three blocks of equal depth need 3 n \+ 4 layers"):
        cifar_densenet(12, 41)
    with pytest.raises(ValueError, match=r"depth 43: .* 6 n \+ 4 layers"):
        cifar_densenet(12, 43, compressed=True)
    with pytest.raises(ValueError, match="output_stride 8: take one of 1, 2, 4"):
        cifar_densenet(12, 40, output_stride=8)
    with shapes_unchecked(), pytest.raises(ValueError, match="transition 'stage': there are exact, drop"):
        cifar_densenet(12, 40, transition="stage")  # pyright: ignore[reportArgumentType]
