"""Blocks of several papers: second implementations, numbers by hand, and the claims on dilated filters at a map's border."""

from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from unchecked import shapes_unchecked

from edu_seg.layers import (
    ASPP,
    AtrousConv2d,
    FrozenBatchNorm2d,
    PyramidPooling,
    SpatialPyramidPooling,
    WithAuxiliary,
    conv_bn_relu,
    fcn_head,
    freeze_batch_norm,
    resize,
    spp_window,
    valid_taps,
)
from edu_seg.losses import AuxiliaryLoss, CrossEntropy

pytestmark = pytest.mark.usefixtures("one_thread")


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def on_meta(build: Any, *args: Any, **options: Any) -> Any:
    with torch.device("meta"):
        return build(*args, **options)


def features_of(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# --- dilated filters at the border (claim 7) ------------------------------------------------------------------------------------

FIGURE_4 = {  # 65 × 65, 3 × 3: shares of places with 9, 6, 4, 2 and 1 valid taps; their mean over 9
    6: (0.664852, 0.301065, 0.034083, 0, 0, 0.880710),
    12: (0.397870, 0.465799, 0.136331, 0, 0, 0.768994),
    18: (0.199053, 0.494201, 0.306746, 0, 0, 0.664852),
    24: (0.068402, 0.386272, 0.545325, 0, 0, 0.568284),
    36: (0, 0, 0.796213, 0.192189, 0.011598, 0.397870),
    65: (0, 0, 0, 0, 1, 0.111111),
    90: (0, 0, 0, 0, 1, 0.111111),
}


@pytest.mark.parametrize("rate", FIGURE_4)
def test_figure_4_of_deeplab_v3(rate: int) -> None:
    *shares, mean = FIGURE_4[rate]
    taps = valid_taps(65, rate)
    assert [float(taps.get(number, 0)) for number in (9, 6, 4, 2, 1)] == pytest.approx(shares, abs=5e-7)
    assert float(sum(number * share for number, share in taps.items())) / 9 == pytest.approx(mean, abs=5e-7)


@pytest.mark.parametrize("size", [1, 5, 12])
def test_valid_taps_are_a_convolution_of_ones(size: int) -> None:
    ones = torch.ones(1, 1, size, size)
    for rate in range(1, size + 3):
        for kernel_size in (3, 5):
            counts = F.conv2d(ones, torch.ones(1, 1, kernel_size, kernel_size), padding=rate * (kernel_size // 2), dilation=rate)
            numbers, many = counts.long().unique(return_counts=True)
            wanted = {int(number): Fraction(int(count), size**2) for number, count in zip(numbers, many, strict=True)}
            assert valid_taps(size, rate, kernel_size) == wanted


def test_the_mean_of_valid_taps_has_a_formula() -> None:
    """((3N - 2r) / 3N)² exactly, for every r up to N."""
    for size in (7, 33, 65):
        for rate in range(1, size + 1):
            mean = sum(number * share for number, share in valid_taps(size, rate).items()) / 9
            assert mean == Fraction(3 * size - 2 * rate, 3 * size) ** 2


@pytest.mark.parametrize(("rate", "same"), [(64, False), (65, True), (80, True)])
def test_from_the_maps_size_on_it_is_a_1x1(rate: int, same: bool) -> None:
    features, weight = features_of(1, 2, 65, 65), features_of(3, 2, 3, 3, seed=1)
    dilated = F.conv2d(features, weight, padding=rate, dilation=rate)
    centre = F.conv2d(features, weight[:, :, 1:2, 1:2])
    assert ((dilated - centre).abs().max() < 1e-12) == same


@pytest.mark.parametrize(("arguments", "named"), [((0, 1), "size 0"), ((5, 0), "rate 0"), ((5, 1, 2), "kernel_size 2")])
def test_valid_taps_of_nothing(arguments: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        valid_taps(*arguments)


@pytest.mark.parametrize("size", [(5, 9), (9, 5), (4, 4), (9, 9)])
def test_taps_off_the_map_are_left_out(size: tuple[int, int]) -> None:
    """The same numbers and gradients as the whole filter gives, for a part of the multiply-adds; the weights stay 3 × 3."""
    layer = AtrousConv2d(2, 3, 3, padding=5, dilation=5, bias=False).double()
    features = features_of(2, 2, *size).requires_grad_()
    whole = F.conv2d(features, layer.weight, padding=5, dilation=5)
    torch.testing.assert_close(layer(features), whole, rtol=0, atol=1e-12)
    leaves = (features, layer.weight)
    for ours, wanted in zip(
        torch.autograd.grad(layer(features).sin().sum(), leaves), torch.autograd.grad(whole.sin().sum(), leaves), strict=True
    ):
        torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-12)
    with FlopCounterMode(display=False) as counter:
        layer(features)
    taps = (3 if size[0] > 5 else 1) * (3 if size[1] > 5 else 1)
    assert counter.get_total_flops() == 2 * taps * 2 * 2 * 3 * size[0] * size[1]


# --- ASPP -----------------------------------------------------------------------------------------------------------------------


def test_aspp_has_the_papers_parameters() -> None:
    aspp = on_meta(ASPP, 2048, (6, 12, 18))
    assert [parameters(branch) for branch in aspp.convs] == [524_800, *[4_719_104] * 3, 524_800]
    assert parameters(aspp.project) == 328_192
    assert parameters(aspp) == 15_535_104
    assert parameters(on_meta(ASPP, 2048, (1, 2, 3))) == 15_535_104  # rates cost nothing
    assert parameters(on_meta(ASPP, 2048, (6, 12, 18), image_pooling=False)) == 15_535_104 - 524_800 - 256 * 256


@pytest.mark.parametrize("image_pooling", [True, False])
def test_aspp_by_hand(image_pooling: bool) -> None:
    aspp = ASPP(3, (2, 4), 5, image_pooling=image_pooling).double().eval()
    features = features_of(2, 3, 9, 7)

    def unit(branch: Any, features: Tensor, rate: int = 0) -> Tensor:
        conv, norm = (layer for layer in branch if isinstance(layer, nn.Conv2d | nn.BatchNorm2d))
        return norm(F.conv2d(features, conv.weight, padding=rate, dilation=max(rate, 1))).relu()

    maps = [unit(branch, features, rate) for branch, rate in zip(aspp.convs, (0, 2, 4), strict=False)]
    if image_pooling:
        maps.append(unit(aspp.convs[3], features.mean((2, 3), keepdim=True)).expand(2, 5, 9, 7))
    torch.testing.assert_close(aspp(features), unit(aspp.project, torch.cat(maps, 1)))


def test_aspp_dropout_is_elementwise_and_last() -> None:
    assert isinstance(ASPP(3, (2,), 5, dropout=0.3).project[-1], nn.Dropout)
    assert ASPP(3, (2,), 5, dropout=0.3).project[-1].p == 0.3  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize("rates", [(), (0,), (6, -1)])
def test_rates_that_are_none(rates: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"rates .*: give one or more, each at least 1"):
        ASPP(3, rates)


# --- pyramid pooling ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["average", "maximum"])
def test_bins_at_473_are_pools_of_60_30_20_and_10(mode: Any) -> None:
    """473 pixels at output stride 8 are 60 units: the released network's pools (claim 14)."""
    features = features_of(1, 2, 60, 60)
    pool = F.avg_pool2d if mode == "average" else F.max_pool2d
    for level, size in zip(PyramidPooling(2, mode=mode, reduce=False).levels, (1, 2, 3, 6), strict=True):
        torch.testing.assert_close(level(features), pool(features, 60 // size, 60 // size), rtol=0, atol=1e-12)


@pytest.mark.parametrize("align_corners", [True, False])
def test_pyramid_pooling_by_hand(align_corners: bool) -> None:
    pyramid = PyramidPooling(8, (1, 2, 3, 6), align_corners=align_corners).double().eval()
    features = features_of(2, 8, 12, 18)
    maps = [features]
    for level, size in zip(pyramid.levels, (1, 2, 3, 6), strict=True):
        _, conv, norm, _ = level  # pyright: ignore[reportGeneralTypeIssues]
        pooled = F.avg_pool2d(features, (12 // size, 18 // size))
        brought = norm(F.conv2d(pooled, conv.weight)).relu()
        maps.append(F.interpolate(brought, (12, 18), mode="bilinear", align_corners=align_corners))
    torch.testing.assert_close(pyramid(features), torch.cat(maps, 1), rtol=1e-12, atol=1e-12)
    assert pyramid.out_channels == 8 + 4 * 2


def test_widths_of_the_pyramid() -> None:
    assert on_meta(PyramidPooling, 2048).out_channels == 4096
    assert parameters(on_meta(PyramidPooling, 2048)) == 4 * (2048 * 512 + 2 * 512)
    whole = on_meta(PyramidPooling, 2048, reduce=False)
    assert (whole.out_channels, parameters(whole)) == (2048 * 5, 0)
    one = on_meta(PyramidPooling, 2048, (1,))
    assert (one.out_channels, parameters(one)) == (4096, 2048 * 2048 + 2 * 2048)
    none = PyramidPooling(3, ())
    features = features_of(1, 3, 4, 4)
    assert torch.equal(none(features), features)


def test_more_bins_than_units_show_a_unit_several_times() -> None:
    pyramid = PyramidPooling(1, (6,), reduce=False)
    features = features_of(1, 1, 2, 3)
    pooled = pyramid.levels[0](features)
    assert pooled.shape == (1, 1, 6, 6)
    torch.testing.assert_close(pooled, features.repeat_interleave(3, 2).repeat_interleave(2, 3))


def test_a_1x1_commutes_with_interpolation() -> None:
    """Claim 14: bias-free, it may be taken before or after; and a 1 × 1 over a stack is a sum of 1 × 1s."""
    features, weight = features_of(1, 4, 5, 6), features_of(3, 4, 1, 1, seed=1)
    before, after = resize(F.conv2d(features, weight), (33, 41), True), F.conv2d(resize(features, (33, 41), True), weight)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-12)
    stacked = F.conv2d(features, weight)
    parts = F.conv2d(features[:, :1], weight[:, :1]) + F.conv2d(features[:, 1:], weight[:, 1:])
    torch.testing.assert_close(stacked, parts, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"), [({"bins": (1, 0)}, r"bins \(1, 0\): each level"), ({"mode": "mean"}, "mode 'mean'.* there are")]
)
def test_pyramids_that_are_none(options: Any, message: str) -> None:
    for layer in (lambda **options: PyramidPooling(4, **options), SpatialPyramidPooling):
        with shapes_unchecked(), pytest.raises(ValueError, match=message):
            layer(**options)


# --- SPP (He et al.) ------------------------------------------------------------------------------------------------------------


def test_the_window_rule() -> None:
    """⌈a/n⌉ and ⌊a/n⌋ make n bins of 13 units, the paper's example; of 10 units, six become nine."""
    assert [spp_window(13, n) for n in (1, 2, 3)] == [(13, 13, 1), (7, 6, 2), (5, 4, 3)]
    assert spp_window(13, 6) == (3, 2, 6)
    assert spp_window(10, 6) == (2, 1, 9)
    failing = {n: [a for a in range(n, 65) if spp_window(a, n)[2] != n] for n in (1, 2, 3, 4, 6)}
    assert failing == {1: [], 2: [], 3: [5], 4: [6, 7, 11], 6: [8, 9, 10, 11, 15, 16, 17, 22, 23, 29]}
    with pytest.raises(ValueError, match="6 bins over 5 units"):
        spp_window(5, 6)


@pytest.mark.parametrize("mode", ["average", "maximum"])
@pytest.mark.parametrize("size", [12, 13])
def test_where_the_rule_holds_bins_cover_the_map(size: int, mode: Any) -> None:
    features = features_of(2, 3, size, size)
    vector = SpatialPyramidPooling(mode=mode, rule="window")(features)
    assert vector.shape == (2, 3 * (1 + 4 + 9 + 36))
    pool = F.max_pool2d if mode == "maximum" else F.avg_pool2d
    wanted = [pool(features, spp_window(size, n)[0], spp_window(size, n)[1]).flatten(1) for n in (1, 2, 3, 6)]
    torch.testing.assert_close(vector, torch.cat(wanted, 1))
    if size == 12:  # divisible by every n: both rules cut the same bins
        torch.testing.assert_close(vector, SpatialPyramidPooling(mode=mode)(features))


def test_where_the_rule_fails_that_is_said() -> None:
    with pytest.raises(ValueError, match='window 2 and stride 1 make 9 bins of 10 units, not 6: take rule="adaptive"'):
        SpatialPyramidPooling(rule="window")(features_of(1, 2, 13, 10))
    assert SpatialPyramidPooling()(features_of(1, 2, 13, 10)).shape == (1, 100)
    assert SpatialPyramidPooling()(features_of(1, 2, 3, 4)).shape == (1, 100)
    with shapes_unchecked(), pytest.raises(ValueError, match="rule 'he'"):
        SpatialPyramidPooling(rule="he")  # pyright: ignore[reportArgumentType]


# --- heads and batch norm -------------------------------------------------------------------------------------------------------


def test_the_auxiliary_head() -> None:
    head = on_meta(fcn_head, 1024, 21)
    assert parameters(head) == 2_365_205
    assert [type(layer).__name__ for layer in head] == ["Conv2d", "BatchNorm2d", "ReLU", "Dropout", "Conv2d"]
    assert head(torch.empty(2, 1024, 7, 5, device="meta")).shape == (2, 21, 7, 5)
    assert head[0].out_channels == 256
    assert on_meta(fcn_head, 64, 5, 48)[0].out_channels == 48


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.first(images)

    def forward_with_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(images), self.second(images)


def test_both_heads_for_the_auxiliary_loss() -> None:
    net, images = TwoHeads(), torch.rand(2, 3, 4, 5)
    labels = torch.zeros(2, 4, 5, dtype=torch.int64)
    loss = AuxiliaryLoss(CrossEntropy(), 0.4)(WithAuxiliary(net)(images), labels)
    main, auxiliary = (CrossEntropy()(logits, labels) for logits in net.forward_with_auxiliary(images))
    torch.testing.assert_close(loss, main + 0.4 * auxiliary)
    loss.backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    with pytest.raises(TypeError, match="Conv2d has no auxiliary head"):
        WithAuxiliary(nn.Conv2d(3, 2, 1))


def test_frozen_batch_norm_is_that_of_evaluation() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(conv_bn_relu(3, 4, 3), nn.Sequential(conv_bn_relu(4, 5), nn.BatchNorm2d(5)))
    net(torch.randn(4, 3, 8, 8) * 2 + 1)  # statistics of its own
    state = {name: value.clone() for name, value in net.state_dict().items()}
    images = torch.randn(1, 3, 6, 6)
    wanted = net.eval()(images)
    assert freeze_batch_norm(net) is net
    assert sum(isinstance(layer, FrozenBatchNorm2d) for layer in net.modules()) == 3
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())
    torch.testing.assert_close(net.train()(images), wanted)
    net(images).sum().backward()
    after = net.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(after[name], value) for name, value in state.items())
    assert [name for name, _ in net.named_parameters()] == ["0.0.weight", "1.0.0.weight"]
    with pytest.raises(ValueError, match="without running statistics"):
        freeze_batch_norm(nn.Sequential(nn.BatchNorm2d(3, affine=False)))


@pytest.mark.parametrize("build", [lambda: ASPP(3, (2,), 4), lambda: PyramidPooling(4, (1, 2))])
def test_one_image_in_training(build: Any) -> None:
    """Its pooled unit is all that batch norm sees: an error that says so, and two ways out."""
    layer = build()
    channels = 3 if isinstance(layer, ASPP) else 4
    features = torch.randn(1, channels, 5, 5)
    with pytest.raises(ValueError, match=r"a batch of one image, pooled to one unit.*two images or more, or freeze_batch_norm"):
        layer(features)
    assert layer(features.expand(2, -1, -1, -1)).isfinite().all()
    assert layer.eval()(features).isfinite().all()
    assert freeze_batch_norm(layer).train()(features).isfinite().all()


def test_levels_of_several_bins_train_on_one_image() -> None:
    assert PyramidPooling(4, (2, 3))(torch.randn(1, 4, 5, 5)).isfinite().all()
    assert ASPP(3, (2,), 4, image_pooling=False)(torch.randn(1, 3, 5, 5)).isfinite().all()


def test_resize_spreads_a_single_unit() -> None:
    unit = features_of(2, 3, 1, 1)
    for align_corners in (True, False):
        wanted = F.interpolate(unit, (4, 5), mode="bilinear", align_corners=align_corners)
        torch.testing.assert_close(resize(unit, (4, 5), align_corners), wanted, rtol=0, atol=1e-15)
