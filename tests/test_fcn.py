"""The FCN family: the released nets' parameters, sizes and alignment, and a second, straight-line implementation beside ours."""

from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unchecked import shapes_unchecked

from edu_seg.backbones import Trunk
from edu_seg.backbones.vgg import VGGTable, vgg
from edu_seg.geometry import PIXELS, Grid
from edu_seg.losses import CrossEntropy
from edu_seg.models import build
from edu_seg.models.fcn import FCN, Step, add_aligned, alignment
from edu_seg.upsampling import BilinearUpsampling

SKIPS = {"fcn32s": (), "fcn16s": ("pool4",), "fcn8s": ("pool4", "pool3")}


def on_meta(name: str, **options: Any) -> FCN:
    """A full-size net of shapes alone."""
    with torch.device("meta"):
        net = build(name, **options)
    assert isinstance(net, FCN)
    return net.eval()


def parameters(net: nn.Module, *, learnable: bool = True) -> int:
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad == learnable)


def narrow(skips: tuple[str, ...] = (), num_classes: int = 3, seed: int = 0, pad: int = 100, **options: Any) -> FCN:
    """A released FCN in all but its widths: VGG-16's layers, pad 100 and a 7 × 7 fc6, 2 to 4 channels; random scores; float64."""
    torch.manual_seed(seed)
    table = VGGTable(((2, 2), (3, 3), (3,) * 3, (4,) * 3, (4,) * 3), fc_width=5, fc_kernel=7, fc_padding=0, pad=100, batch_norm=False)
    net = FCN(vgg(table, pad=pad), num_classes, "drop_fc7", skips, **options).double()
    for score in (net.score_fr, *net.score_skips.values()):
        assert isinstance(score, nn.Conv2d)
        nn.init.normal_(score.weight)
        nn.init.normal_(score.bias)  # pyright: ignore[reportArgumentType]
    for name, parameter in net.backbone.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter, std=0.3)
    return net.eval()


# --- the table ------------------------------------------------------------------------------------------------------------------

COUNTS = {  # learnable without the bilinear kernels; with them
    "fcn32s": (134_346_581, 136_152_917),
    "fcn16s": (134_357_354, 134_815_994),
    "fcn8s": (134_362_751, 134_489_759),
    "fcn8s_at_once": (134_362_751, 134_489_759),
    "fcn_alexnet": (56_954_261, 56_954_261 + 1_750_329),
    "fcn_googlenet": (5_995_077, 5_995_077 + 21 * 21 * 63 * 63),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters(name: str) -> None:
    fixed, learned = COUNTS[name]
    for net, count in ((on_meta(name), fixed), (on_meta(name, upsampling="learned"), learned)):
        assert parameters(net) == count
        assert parameters(net, learnable=False) == 0
        assert list(net.buffers()) == []


def test_learned_inside_leaves_the_last_kernel_fixed() -> None:
    """The paper: "deconvolution filters are fixed to bilinear only in the last layer"."""
    assert parameters(on_meta("fcn32s", upsampling="learned_inside")) == COUNTS["fcn32s"][0]
    assert parameters(on_meta("fcn8s", upsampling="learned_inside")) == COUNTS["fcn8s"][0] + 2 * 21 * 21 * 4 * 4
    kinds = [type(layer).__name__ for layer in on_meta("fcn8s", upsampling="learned_inside").upscores]
    assert kinds == ["ConvTranspose2d", "ConvTranspose2d", "BilinearUpsampling"]


def test_the_small_net_is_small() -> None:
    for name in SKIPS:
        assert parameters(build(name, 11, backbone="vgg_small", upsampling="learned_inside")) < 1_000_000


@pytest.mark.parametrize(
    ("name", "options", "top", "size"),
    [
        ("fcn32s", {}, "drop_fc7", 404),
        ("fcn8s", {}, "drop_fc7", 404),
        ("fcn_alexnet", {}, "drop_fc7", 355),
        ("fcn_googlenet", {}, "inception_5b", 715),
        ("fcn_googlenet", {"average_pool": True}, "average_pool", 907),
    ],
)
def test_fields(name: str, options: dict[str, Any], top: str, size: int) -> None:
    net = on_meta(name, **options)
    assert net.top == top
    assert (net.backbone.fields[top].size, net.backbone.fields[top].stride) == (size, 32)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("fcn32s", [(64, 32, -19)]),
        ("fcn16s", [(4, 2, 5), (32, 16, -27)]),
        ("fcn8s", [(4, 2, 5), (4, 2, 9), (16, 8, -31)]),
        ("fcn8s_at_once", [(4, 2, 5), (4, 2, 9), (16, 8, -31)]),
        ("fcn_alexnet", [(63, 32, -18)]),
    ],
)
def test_kernels_and_crops_are_those_of_the_released_files(name: str, steps: list[tuple[int, int, int]]) -> None:
    net = on_meta(name)
    assert alignment([net.backbone.fields[part].grid for part in (net.top, *net.skips)]) == [Step(*step) for step in steps]
    assert (*net.skip_offsets, net.crop_offset) == (*(offset for _, _, offset in steps[:-1]), -steps[-1][2])


def sizes_at_500(net: FCN) -> tuple[dict[str, int], int]:
    """The height of every layer's map at 500 × 500, and of the output."""
    sizes: dict[str, int] = {}
    parts = {**dict(net.backbone.named_children()), "score": net.score_fr} | {f"up{i}": up for i, up in enumerate(net.upscores)}
    for name, layer in parts.items():
        layer.register_forward_hook(lambda module, inputs, output, name=name: sizes.update({name: output.shape[-2]}))
    return sizes, net(torch.zeros(1, 3, 500, 500, device="meta")).shape[-1]


@pytest.mark.parametrize(
    ("name", "layers", "wanted"),
    [
        ("fcn8s", "conv1_1 pool1 pool2 pool3 pool4 pool5 fc6 score up0 up1 up2", [698, 349, 175, 88, 44, 22, 16, 16, 34, 70, 568]),
        ("fcn16s", "pool4 pool5 score up0 up1", [44, 22, 16, 34, 560]),
        ("fcn32s", "pool5 score up0", [22, 16, 544]),
        ("fcn_alexnet", "conv1 pool1 pool2 pool5 fc6 score up0", [173, 86, 43, 21, 16, 16, 543]),
    ],
)
def test_sizes_at_500(name: str, layers: str, wanted: list[int]) -> None:
    sizes, output = sizes_at_500(on_meta(name))
    assert [sizes[layer] for layer in layers.split()] == wanted
    assert output == 500


@pytest.mark.parametrize("name", COUNTS)
def test_every_size_comes_back(name: str) -> None:
    """Each of 1..130 once, as a height or as a width; padding, kernels and crops are the same along both."""
    net = on_meta(name, num_classes=2)
    for height in range(1, 66):
        size = (height, 131 - height)
        assert net(torch.empty(1, 3, *size, device="meta")).shape == (1, 2, *size)


@pytest.mark.parametrize("backbone", ["vgg_small", "alexnet"])
def test_every_size_comes_back_with_other_trunks(backbone: str) -> None:
    net = on_meta("fcn32s" if backbone == "alexnet" else "fcn8s", num_classes=2, backbone=backbone)
    for height in range(1, 66):
        size = (height, 131 - height)
        assert net(torch.empty(1, 3, *size, device="meta")).shape == (1, 2, *size)


def test_another_padding_moves_the_crop_and_nothing_else() -> None:
    """Far from the border (a pixel sees up to 234 pixels away) pad 132 gives the logits of pad 100: one unit more on each side."""
    images = torch.randn(1, 3, 480, 490, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    nets = [narrow(SKIPS["fcn8s"], pad=pad) for pad in (100, 132)]
    assert [(*net.skip_offsets, net.crop_offset) for net in nets] == [(5, 9, 31), (5, 9, 63)]
    with torch.no_grad():
        here, there = (net(images)[..., 236:244, 236:254] for net in nets)
    assert here.std() > 1e-3
    torch.testing.assert_close(here, there, rtol=0, atol=1e-9)


# --- a second implementation, as the released files are written -----------------------------------------------------------------


def dense_kernel(classes: int, size: int) -> Tensor:
    """(classes, classes, size, size): the filler of the released code, written out."""
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    kernel = torch.zeros(classes, classes, size, size, dtype=torch.float64)
    for c in range(classes):
        for i in range(size):
            for j in range(size):
                kernel[c, c, i, j] = (1 - abs(i - centre) / factor) * (1 - abs(j - centre) / factor)
    return kernel


def released_fcn(net: FCN, images: Tensor, scales: tuple[float, float] = (1.0, 1.0)) -> Tensor:
    """voc-fcn32s, 16s and 8s from top to bottom: only the weights are taken from `net`, the offsets 19, 5, 27, 9, 31 stand here."""
    state, classes = net.state_dict(), net.num_classes
    height, width = images.shape[2:]

    def conv(x: Tensor, name: str, padding: int = 0) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=padding)

    def up(x: Tensor, size: int, stride: int) -> Tensor:
        return F.conv_transpose2d(x, dense_kernel(classes, size), stride=stride)

    pools, x = [], images
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        for number in range(1, count + 1):
            x = conv(x, f"backbone.conv{stage}_{number}", 100 if stage == number == 1 else 1).relu()
        x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        pools.append(x)
    x = conv(conv(x, "backbone.fc6").relu(), "backbone.fc7").relu()
    score = conv(x, "score_fr")
    if not net.skips:
        return up(score, 64, 32)[:, :, 19 : 19 + height, 19 : 19 + width]
    score = up(score, 4, 2)
    h, w = score.shape[2:]
    score = score + conv(scales[0] * pools[3], "score_skips.pool4")[:, :, 5 : 5 + h, 5 : 5 + w]
    if len(net.skips) == 1:
        return up(score, 32, 16)[:, :, 27 : 27 + height, 27 : 27 + width]
    score = up(score, 4, 2)
    h, w = score.shape[2:]
    score = score + conv(scales[1] * pools[2], "score_skips.pool3")[:, :, 9 : 9 + h, 9 : 9 + w]
    return up(score, 16, 8)[:, :, 31 : 31 + height, 31 : 31 + width]


@pytest.mark.parametrize("name", SKIPS)
@pytest.mark.parametrize("size", [(1, 1), (33, 50), (97, 64)])
def test_it_computes_what_the_released_net_computes(name: str, size: tuple[int, int]) -> None:
    net = narrow(SKIPS[name])
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        wanted = released_fcn(net, images)
        assert wanted.std() > 0.1
        torch.testing.assert_close(net(images), wanted, rtol=1e-10, atol=1e-10)
        learned = narrow(SKIPS[name], upsampling="learned")
        learned.load_state_dict(net.state_dict(), strict=False)
        torch.testing.assert_close(learned(images), wanted, rtol=1e-10, atol=1e-10)


def test_at_once_scales_its_skips() -> None:
    """0.01 on pool4 and 0.0001 on pool3, both frozen."""
    assert on_meta("fcn8s_at_once").skip_scales == (1e-2, 1e-4)
    net = narrow(SKIPS["fcn8s"], skip_scales=(1e-2, 1e-4))
    images = torch.randn(1, 3, 20, 30, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(net(images), released_fcn(net, images, (1e-2, 1e-4)), rtol=1e-10, atol=1e-10)
        assert (net(images) - released_fcn(net, images)).abs().max() > 0.1


# --- alignment ------------------------------------------------------------------------------------------------------------------


class Ramps(nn.Module):
    """Stands for a trunk: each unit of its maps holds its own place (row, column) on the image, in pixels."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk, self.fields = trunk, trunk.fields
        self.channels = dict.fromkeys(trunk.channels, 2)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {name: self.places(name, features) for name, features in self.trunk(images.to("meta")).items()}

    def places(self, name: str, features: Tensor) -> Tensor:
        field = self.fields[name]

        def along(units: int) -> Tensor:
            return torch.arange(units).double() * field.stride - field.padding + (field.size - 1) / 2

        rows, columns = (along(units) for units in features.shape[2:])
        return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]


NETS = [*COUNTS, "vgg_small 8s", "googlenet with its pool"]


def ramp_net(name: str) -> FCN:
    """A net whose decoder works on `Ramps`; each map that it adds carries a part of the whole."""
    if name == "vgg_small 8s":
        full = on_meta("fcn8s", num_classes=2, backbone="vgg_small")
    elif name == "googlenet with its pool":
        full = on_meta("fcn_googlenet", num_classes=2, average_pool=True)
    else:
        full = on_meta(name, num_classes=2)
    ramps = Ramps(full.backbone)
    with shapes_unchecked():  # `Ramps` is no Trunk
        net = FCN(ramps, 2, full.top, full.skips).double()  # pyright: ignore[reportArgumentType]
    parts = [0.5, 0.3, 0.2][: len(net.skips)] if net.skips else []
    for score, part in zip((*net.score_skips.values(), net.score_fr), (*parts, 1 - sum(parts)), strict=True):
        assert isinstance(score, nn.Conv2d)
        with torch.no_grad():
            score.weight[:, :, 0, 0] = part * torch.eye(2, dtype=torch.float64)
    return net


@pytest.mark.parametrize("name", NETS)
def test_every_pixel_gets_its_own_place(name: str) -> None:
    """Scores that are places come back as the pixels' places: the alignment is exact to the last fraction of a pixel."""
    size, margin = (300, 270), 64
    with torch.no_grad():
        places = ramp_net(name)(torch.empty(1, 3, *size, dtype=torch.float64))[0]
    rows, columns = torch.meshgrid(torch.arange(size[0]).double(), torch.arange(size[1]).double(), indexing="ij")
    inside = (slice(margin, -margin), slice(margin, -margin))
    torch.testing.assert_close(places[0][inside], rows[inside], rtol=0, atol=1e-9)
    torch.testing.assert_close(places[1][inside], columns[inside], rtol=0, atol=1e-9)


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_crop_that_is_one_off_shows(shift: int) -> None:
    """The test above sees a single unit."""
    for change in ("image", "skip"):
        net = ramp_net("fcn8s")
        if change == "image":
            net.crop_offset += shift
        else:
            net.skip_offsets[0] += shift
        with torch.no_grad():
            places = net(torch.empty(1, 3, 300, 270, dtype=torch.float64))[0]
        assert abs(places[0, 150, 130].item() - 150) > 0.5


def test_two_maps_are_added_where_both_exist() -> None:
    upsampled, finer = torch.arange(4.0).view(1, 1, 1, 4), 10 * torch.arange(6.0).view(1, 1, 1, 6)

    def added(offset: int) -> list[float]:
        rows = [F.pad(part, (0, 0, 2, 2), mode="replicate") for part in (upsampled, finer)]
        return add_aligned(rows[0], rows[1], offset)[0, 0, 0].tolist()

    assert added(0) == [0, 11, 22, 33]
    assert added(1) == [10, 21, 32, 43]
    assert added(3) == [30, 41, 52]
    assert added(-1) == [1, 12, 23]


def test_grids_that_do_not_meet() -> None:
    quarter = Grid(Fraction(2), Fraction(1, 4))
    with pytest.raises(ValueError, match="units apart, which is no integer"):
        alignment([Grid(Fraction(4), Fraction(1, 2)), quarter])
    assert alignment([Grid(Fraction(4), Fraction(3, 2))]) == [Step(8, 4, -2)]
    assert alignment([Grid(Fraction(4))]) == [Step(7, 4, -3)]
    assert alignment([PIXELS]) == [Step(1, 1, 0)] or alignment([PIXELS])[0].offset == 0


def test_too_little_padding_says_so() -> None:
    with pytest.raises(ValueError, match=r"leaves the map .* more padding in the first layer"):
        on_meta("fcn32s", pad=70)(torch.empty(1, 3, 300, 300, device="meta"))
    assert on_meta("fcn32s", pad=81)(torch.empty(1, 3, 300, 300, device="meta")).shape == (1, 21, 300, 300)


# --- the start ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SKIPS, "fcn8s_at_once"])
def test_the_first_loss_is_ln_k(name: str) -> None:
    net = build(name, 21, backbone="vgg_small", upsampling="learned")
    images, labels = torch.randn(2, 3, 33, 40), torch.randint(0, 21, (2, 33, 40))
    assert not net(images).any()
    assert CrossEntropy()(net(images), labels).item() == pytest.approx(3.044522437723423, abs=5e-6)
    assert CrossEntropy()(net(images).double(), labels).item() == pytest.approx(3.044522437723423, abs=1e-12)


def small(name: str, seed: int, num_classes: int = 4, **options: Any) -> FCN:
    """A small net with nothing at its starting value, so that what is copied shows."""
    torch.manual_seed(seed)
    net = build(name, num_classes, backbone="vgg_small", **options)
    assert isinstance(net, FCN)
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.copy_(torch.randint(1, 9, tensor.shape) if not tensor.is_floating_point() else torch.rand(tensor.shape) + 0.5)
    return net


@pytest.mark.parametrize(
    ("coarse", "fine", "fresh"), [("fcn32s", "fcn16s", ["pool4"]), ("fcn16s", "fcn8s", ["pool3"]), ("fcn32s", "fcn8s", ["pool4", "pool3"])]
)
@pytest.mark.parametrize("upsampling", ["fixed", "learned", "learned_inside"])
def test_staging_copies_what_both_have(coarse: str, fine: str, fresh: list[str], upsampling: Any) -> None:
    coarser = small(coarse, 1, upsampling=upsampling)
    net = build(fine, 4, backbone="vgg_small", upsampling=upsampling)
    assert isinstance(net, FCN)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    assert net.stage_from(coarser) is net
    given, last = coarser.state_dict(), len(coarser.skips)
    for name, value in net.state_dict().items():
        if name.startswith(tuple(f"score_skips.{skip}." for skip in fresh)):
            assert not value.any(), name
        elif name.startswith("upscores.") and int(name.split(".")[1]) >= last:
            assert torch.equal(value, start[name]), name  # new kernels, still bilinear
        else:
            assert torch.equal(value, given[name]), name
    assert all(not torch.equal(start[name], value) for name, value in net.state_dict().items() if name.startswith(("backbone", "score_fr")))


def test_staging_copies_values_not_tensors() -> None:
    coarser, net = small("fcn32s", 1), build("fcn16s", 4, backbone="vgg_small")
    assert isinstance(net, FCN)
    net.stage_from(coarser)
    with torch.no_grad():
        net.score_fr.weight.zero_()
    assert coarser.score_fr.weight.all()


def test_a_staged_net_starts_near_the_coarser_ones_prediction() -> None:
    coarser = narrow((), seed=3)
    net = narrow(("pool4",), seed=4)
    nn.init.zeros_(net.score_skips["pool4"].weight)  # pyright: ignore[reportArgumentType]
    nn.init.zeros_(net.score_skips["pool4"].bias)  # pyright: ignore[reportArgumentType]
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    net.stage_from(coarser)
    before, after = coarser(images), net(images)
    assert (before - after).abs().mean() < 0.1 * before.std()


WRONG_STAGES = [
    (lambda: small("fcn32s", 1), lambda: small("fcn16s", 2), r"the skips \(\) cannot start from one with \('pool4',\)"),
    (lambda: small("fcn16s", 1), lambda: small("fcn16s", 2), r"cannot start from one with \('pool4',\): it takes the first of them"),
    (lambda: small("fcn8s", 1), lambda: small("fcn32s", 2, skips=("pool3",)), r"cannot start from one with \('pool3',\)"),
    (lambda: small("fcn16s", 1), lambda: small("fcn32s", 2, num_classes=5), "a net of 4 classes cannot start from one of 5"),
    (lambda: small("fcn16s", 1), lambda: small("fcn32s", 2, width=0.5), r"the two nets differ in backbone\."),
    (lambda: small("fcn8s", 1), lambda: small("fcn16s", 2, upsampling="learned"), "the two nets differ in upscores.0.weight"),
    (
        lambda: small("fcn8s_at_once", 1),
        lambda: small("fcn16s", 2),
        r"the skips are scaled by \(0\.01, 0\.0001\) here and by \(1\.0,\) there",
    ),
]


@pytest.mark.parametrize(("finer", "coarser", "message"), WRONG_STAGES, ids=range(len(WRONG_STAGES)))
def test_staging_that_cannot_be_changes_nothing(finer, coarser, message: str) -> None:
    net = finer()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        net.stage_from(coarser())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_staging_from_another_trunk_names_a_layer() -> None:
    with pytest.raises(ValueError, match="the two nets differ in backbone"):
        on_meta("fcn16s").stage_from(on_meta("fcn_alexnet"))


# --- options --------------------------------------------------------------------------------------------------------------------


def test_skips_as_a_list_keep_their_scales() -> None:
    net = build("fcn8s_at_once", 3, backbone="vgg_small", skips=["pool4", "pool3"])
    assert isinstance(net, FCN)
    assert net.skip_scales == (1e-2, 1e-4)
    other = build("fcn8s_at_once", 3, backbone="vgg_small", skips=("pool4",))
    assert isinstance(other, FCN)
    assert other.skip_scales == (1.0,)


def test_a_fourth_member_of_the_family() -> None:
    """FCN-4s: the next skip is one more word."""
    net = build("fcn8s", 3, backbone="vgg_small", skips=("pool4", "pool3", "pool2"))
    assert isinstance(net, FCN)
    assert [up.stride for up in net.upscores if isinstance(up, BilinearUpsampling)] == [2, 2, 2, 4]
    assert net(torch.zeros(1, 3, 37, 53)).shape == (1, 3, 37, 53)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        (
            {"skips": ("pool9",)},
            "the trunk has no map 'pool9' to score: it keeps relu1_1, pool1, relu2_2, .*, pool4, relu5_2, pool5, drop_fc7",
        ),
        ({"top": "fc8"}, "the trunk has no map 'fc8'"),
        ({"skips": ("pool3", "pool4")}, r"skips go from coarse to fine.* \[32, 8, 16\]"),
        ({"skips": ("pool4", "pool4")}, r"have the strides \[32, 16, 16\]"),
        ({"skips": ("pool5",)}, r"have the strides \[32, 32\]"),
        ({"upsampling": "nearest"}, 'upsampling is "fixed", "learned" or "learned_inside", got \'nearest\''),
        ({"backbone": "resnet51"}, "no backbone is called 'resnet51'"),
        ({"pretrained": True}, "vgg_small has no pretrained weights"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=message):
        build("fcn8s", **{"backbone": "vgg_small", **options})


def test_scales_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="1 skip_scales for 2 skips: give one for each"):
        narrow(("pool4", "pool3"), skip_scales=(1.0,))


def test_an_option_that_the_trunk_does_not_have() -> None:
    with pytest.raises(TypeError, match="average_pool"):
        build("fcn32s", backbone="vgg_small", average_pool=True)


@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 3, 0, 8), (1, 3, 8, 0)])
def test_empty_images(shape: tuple[int, ...]) -> None:
    net = build("fcn32s", 2, backbone="vgg_small")
    with pytest.raises(ValueError, match=r"images need at least one pixel and one example, got \("):
        net(torch.zeros(*shape))


@pytest.mark.parametrize(
    ("upsampling", "learns"), [("fixed", [False] * 3), ("learned_inside", [True, True, False]), ("learned", [True] * 3)]
)
def test_which_kernels_learn(upsampling: Any, learns: list[bool]) -> None:
    net = narrow(SKIPS["fcn8s"], upsampling=upsampling)
    before = net.state_dict()
    net(torch.randn(1, 3, 30, 30, dtype=torch.float64)).square().sum().backward()
    for layer, learned in zip(net.upscores, learns, strict=True):
        gradients = [parameter.grad for parameter in layer.parameters()]
        assert len(gradients) == int(learned)
        assert all(gradient is not None and gradient.any() for gradient in gradients)
    assert len([name for name in before if name.startswith("upscores")]) == sum(learns)
