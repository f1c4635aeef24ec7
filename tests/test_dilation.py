"""The dilated front-end and the context module: the paper's counts, fields and sizes, the identity, and a second implementation."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unchecked import shapes_unchecked

from edu_seg.backbones.vgg import VGGTable, vgg
from edu_seg.geometry import Field
from edu_seg.models import build
from edu_seg.models.dilation import VARIANTS, WIDTHS, ContextModule, DilationNet, FrontEnd, identity_
from edu_seg.receptive_field import measured_receptive_field, receptive_field, receptive_fields
from edu_seg.upsampling import reflect_pad, upsample_to_pixels

CONTEXT = (1, 1, 2, 4, 8, 16, 1, 1)


def parameters(net: nn.Module | None) -> int:
    return sum(parameter.numel() for parameter in net.parameters()) if net else 0


def on_meta(name: str, num_classes: int, **options: Any) -> DilationNet:
    with torch.device("meta"):
        net = build(name, num_classes, **options)
    assert isinstance(net, DilationNet)
    return net.eval()


# --- published numbers ----------------------------------------------------------------------------------------------------------

ROWS = {  # name: (classes, front-end, context module, field of the context in units, field of the whole in pixels)
    "dilation_frontend": (21, 134_346_581, 0, 1, 380),
    "dilation_context_basic": (21, 134_346_581, 28_392, 67, 908),
    "dilation_context_large": (21, 134_346_581, 6_803_139, 67, 908),
    "dilation7": (11, 134_305_611, 6_732, 35, 652),
    "dilation8": (21, 134_346_581, 6_803_139, 67, 908),
    "dilation8_camvid": (11, 134_305_611, 7_832, 67, 908),
    "dilation10": (19, 134_338_387, 29_792, 259, 2444),
}


def test_every_row_is_checked() -> None:
    assert ROWS.keys() == VARIANTS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_parameters(name: str) -> None:
    classes, frontend, context, *_ = ROWS[name]
    net = on_meta(name, classes)
    assert (parameters(net.frontend), parameters(net.context)) == (frontend, context)


@pytest.mark.parametrize("name", ROWS)
def test_fields(name: str) -> None:
    _, _, _, units, pixels = ROWS[name]
    field = Field(380, 8)
    for dilation in VARIANTS[name].dilations[:-1]:
        field = field.then(3, dilation=dilation)
    assert (field.size, (field.size - 380) // 8 + 1) == (pixels, units)


def test_the_front_ends_field_by_tracing() -> None:
    net = on_meta("dilation_frontend", 21)
    traced = receptive_field(nn.Sequential(*net.frontend.backbone.children()), (900, 900))
    assert (traced.size, traced.stride, traced.padding) == ((380, 380), (8, 8), (0, 0))
    assert net.frontend.mirror == 186


@pytest.mark.parametrize("classes", [1, 11, 19, 21])
def test_the_papers_formulas(classes: int) -> None:
    with torch.device("meta"):
        assert parameters(ContextModule(classes)) == 64 * classes**2 + 8 * classes
        assert parameters(ContextModule(classes, width="large")) == 15422 * classes**2 + 97 * classes


def test_the_context_modules_table() -> None:
    """Table 1: fields and widths, layer by layer."""
    with torch.device("meta"):
        module = ContextModule(21, width="large")
    convs = [layer for layer in module.layers if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels // 21 for conv in convs] == [2, 2, 4, 8, 16, 32, 32, 1] == list(WIDTHS["large"])
    assert [conv.dilation[0] for conv in convs] == list(CONTEXT)
    fields = receptive_fields(module, (99, 99), channels=21)
    assert [fields[f"layers.{number}"].size[0] for number in (0, 2, 4, 6, 8, 10, 12, 14)] == [3, 5, 9, 17, 33, 65, 67, 67]
    assert sum(isinstance(layer, nn.ReLU) for layer in module.layers) == 7  # no truncation behind the last


@pytest.mark.parametrize(("pixels", "units"), [(528, 66), (128, 16), (1024, 128)])
def test_900_gives_66(pixels: int, units: int) -> None:
    """n + 372 pixels give n / 8 units: 900 -> 66, 500 -> 16, 1396 -> 128."""
    net = on_meta("dilation_frontend", 21).frontend
    assert net.backbone(torch.empty(1, 3, pixels + 372, 500, device="meta"))["drop_fc7"].shape[2:] == (units, 16)
    assert net(torch.empty(1, 3, pixels, 128, device="meta")).shape == (1, 21, units, 16)


def test_dilations_of_the_front_end() -> None:
    net = on_meta("dilation_frontend", 21).frontend.backbone
    rates = {name: layer.dilation[0] for name, layer in net.named_children() if isinstance(layer, nn.Conv2d)}
    assert {name: rate for name, rate in rates.items() if rate > 1} == {"conv5_1": 2, "conv5_2": 2, "conv5_3": 2, "fc6": 4}
    assert [name for name, layer in net.named_children() if isinstance(layer, nn.MaxPool2d)] == ["pool1", "pool2", "pool3"]


# --- the identity ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pad_once", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 21])
def test_the_basic_module_is_the_identity_bit_by_bit(channels: int, pad_once: bool) -> None:
    scores = torch.randn(2, channels, 19, 11, generator=torch.Generator().manual_seed(0))
    module = ContextModule(channels, pad_once=pad_once)
    assert torch.equal(module(scores.relu()), scores.relu())
    assert torch.equal(module(scores), scores.relu())


@pytest.mark.parametrize("channels", [1, 5, 21])
def test_the_large_module_is_the_identity_though_no_layer_is(channels: int) -> None:
    scores = torch.rand(1, channels, 9, 9, generator=torch.Generator().manual_seed(0)).double()
    module = ContextModule(channels, width="large").double()
    torch.testing.assert_close(module(scores), scores, rtol=1e-12, atol=1e-12)
    gains, features = [], scores
    for layer in module.layers:
        after = layer(features)
        if isinstance(layer, nn.Conv2d):
            gains.append((after.mean() / features.mean()).item())
        features = after
    torch.testing.assert_close(gains, [0.5, 1.0, 0.5, 0.5, 0.5, 0.5, 1.0, 32.0], rtol=1e-12, atol=0)


@pytest.mark.parametrize(("before", "after", "classes"), [(4, 8, 4), (8, 4, 2), (6, 6, 3), (6, 9, 3)])
def test_the_identity_by_the_papers_formula(before: int, after: int, classes: int) -> None:
    conv = nn.Conv2d(before, after, 3)
    identity_(conv, classes)
    wanted = torch.zeros_like(conv.weight)
    for b in range(after):
        for a in range(before):
            if a * classes // before == b * classes // after:
                wanted[b, a, 1, 1] = classes / after
    assert torch.equal(conv.weight, wanted)


def test_noise_breaks_the_copies() -> None:
    torch.manual_seed(0)
    silent, noisy = (ContextModule(2, width="large", noise=noise) for noise in (0.0, 0.01))
    of_silent, of_noisy = (module.get_parameter("layers.0.weight") for module in (silent, noisy))
    assert torch.equal(of_silent[0], of_silent[1])
    assert not torch.equal(of_noisy[0], of_noisy[1])
    scores = torch.rand(1, 2, 9, 9)
    torch.testing.assert_close(noisy(scores), scores, rtol=0, atol=0.3)
    assert (of_noisy - of_silent).std() < 0.01


def test_plain_is_no_identity() -> None:
    torch.manual_seed(0)
    scores = torch.rand(1, 3, 9, 9)
    assert (ContextModule(3, initialisation="plain")(scores) - scores).abs().mean() > 0.1


def test_padding_once_differs_near_the_border_only() -> None:
    torch.manual_seed(0)
    each, once = (ContextModule(2, (1, 2, 1, 1), initialisation="plain", pad_once=pad_once).double() for pad_once in (False, True))
    once.load_state_dict(each.state_dict())
    scores = torch.rand(1, 2, 20, 20).double()
    for layer in [*each.layers, *once.layers]:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.bias, 0.1)  # pyright: ignore[reportArgumentType]
    differs = (each(scores) - once(scores)).abs().amax((0, 1)) > 1e-12
    assert differs.any()
    assert not differs[4:-4, 4:-4].any()


# --- a second implementation ----------------------------------------------------------------------------------------------------


def narrow(seed: int = 0) -> FrontEnd:
    """The released front-end in all but its widths, float64."""
    torch.manual_seed(seed)
    table = VGGTable(((2, 2), (3, 3), (3,) * 3, (4,) * 3, (4,) * 3), fc_width=5, fc_kernel=7, fc_padding=0, pad=100, batch_norm=False)
    net = FrontEnd(vgg(table, output_stride=8, padding="none"), 3).double()
    nn.init.normal_(net.final.weight)
    return net.eval()


@pytest.mark.parametrize("size", [(8, 8), (40, 17), (200, 31)])
def test_against_plain_functions(size: tuple[int, int]) -> None:
    net = narrow()
    image = torch.rand(1, 3, *size, dtype=torch.float64)
    height, width = (-(-n // 8) * 8 for n in size)
    x = reflect_pad(image, 186, 186 + height - size[0], 186, 186 + width - size[1])
    weights = [layer for layer in net.backbone if isinstance(layer, nn.Conv2d)]
    rates = [1] * 10 + [2] * 3 + [4, 1]
    for number, (conv, rate) in enumerate(zip(weights, rates, strict=True), start=1):
        x = F.conv2d(x, conv.weight, conv.bias, dilation=rate).relu()
        if number in (2, 4, 7):
            x = F.max_pool2d(x, 2)
    scores = F.conv2d(x, net.final.weight, net.final.bias)
    torch.testing.assert_close(net(image), scores, rtol=1e-12, atol=1e-12)
    logits = F.interpolate(scores, (height, width), mode="bilinear")[:, :, : size[0], : size[1]]
    torch.testing.assert_close(DilationNet(net)(image), logits, rtol=1e-12, atol=1e-12)


def test_units_sit_in_the_middle_of_their_cells() -> None:
    net = narrow()
    assert (net.grid.stride, net.grid.centre) == (8, 3.5)
    field = measured_receptive_field(nn.Sequential(*net.backbone.children()), (396, 396), (1, 1))
    assert field == ((8, 387), (8, 387))
    assert (8 + 387) / 2 - 186 == 3.5 + 8


def test_the_padded_form_keeps_the_grid() -> None:
    """A small trunk that pads each layer: its units sit where they sit, and logits follow them."""
    net = build("dilation_frontend", 3, backbone="vgg_small")
    assert isinstance(net, DilationNet)
    assert net.frontend.mirror == 0
    with torch.no_grad():
        scores = net.frontend(torch.rand(1, 3, 64, 64))
    assert scores.shape == (1, 3, 8, 8)
    assert (net.frontend.grid.stride, net.frontend.grid.centre) == (8, 3.5)


# --- stages and errors ----------------------------------------------------------------------------------------------------------


def small(name: str, **options: Any) -> DilationNet:
    net = build(name, 4, backbone="vgg_small", **options)
    assert isinstance(net, DilationNet)
    return net


def test_stages_start_from_one_another() -> None:
    frontend = small("dilation_frontend")
    context = small("dilation_context_basic").stage_from(frontend)
    for own, given in zip(context.frontend.state_dict().values(), frontend.frontend.state_dict().values(), strict=True):
        assert torch.equal(own, given)
    nn.init.constant_(context.get_parameter("context.layers.0.bias"), 7.0)
    joint = small("dilation_context_basic").stage_from(context)
    assert joint.get_parameter("context.layers.0.bias").eq(7).all()
    with pytest.raises(ValueError, match=r"front-ends differ in .*: build both with the same backbone, options and classes"):
        small("dilation_context_basic").stage_from(small("dilation_frontend", width=2.0))


def test_the_start_of_a_stage_predicts_what_the_front_end_did() -> None:
    torch.manual_seed(0)
    frontend = small("dilation_frontend").eval()
    nn.init.normal_(frontend.get_parameter("frontend.final.bias"), mean=3.0)
    context = small("dilation_context_basic").stage_from(frontend).eval()
    images = torch.rand(2, 3, 40, 40)
    with torch.no_grad():
        assert (frontend(images) > 0).any()
        torch.testing.assert_close(context(images), cut_off(frontend, images))


def cut_off(net: DilationNet, images: Tensor) -> Tensor:
    return upsample_to_pixels(net.frontend(images).relu(), net.frontend.grid, images.shape[2], images.shape[3])


ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"channels": 0}, "0 channels and noise 0"),
    ({"channels": 3, "noise": -1.0}, "noise -1"),
    ({"channels": 3, "width": "huge"}, "width 'huge': there are basic, large"),
    ({"channels": 3, "initialisation": "zero"}, "initialisation 'zero': there are identity, plain"),
    ({"channels": 3, "dilations": (1,)}, r"dilations \(1,\): at least two layers"),
    ({"channels": 3, "dilations": (1, 0, 1)}, "at least two layers, each dilated by at least 1"),
    ({"channels": 3, "dilations": (1, 1, 1), "width": "large"}, "3 dilations, but the large module has 8 layers"),
]


@pytest.mark.parametrize(("options", "message"), ERRORS)
def test_errors(options: dict[str, Any], message: str) -> None:
    with shapes_unchecked(), pytest.raises(ValueError, match=message):
        ContextModule(**options)


def test_errors_of_the_front_end() -> None:
    trunk = vgg(VGGTable(((2,),) * 5, 2, 3, 1, 1, False), output_stride=8)
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        FrontEnd(trunk, 0)
    with pytest.raises(ValueError, match="no map 'pool9' to score: it keeps relu1_1"):
        FrontEnd(trunk, 2, "pool9")
    with pytest.raises(ValueError, match="output_stride = 3: these layers have the strides 1 and its doubles up to 32"):
        vgg(VGGTable(((2,),) * 5, 2, 3, 1, 1, False), output_stride=3)
    with shapes_unchecked(), pytest.raises(ValueError, match=r"at least one pixel and one example, got \(0, 3, 4, 4\)"):
        DilationNet(FrontEnd(trunk, 2))(torch.empty(0, 3, 4, 4))


@pytest.mark.parametrize("stride", [1, 2, 4, 8, 16, 32])
def test_output_strides_keep_the_field(stride: int) -> None:
    """What a pool took in, dilation gives back, save for the pools' own 2 × 2 windows."""
    table = VGGTable(((2,), (2, 2), (2,), (2,), (2,)), 2, 3, 1, 1, False)
    trunk = vgg(table, output_stride=stride, padding="same")
    pooled = vgg(table, padding="same")
    dropped = [size for size, rate in zip((1, 2, 4, 8, 16), (1, 2, 4, 8, 16), strict=True) if rate * 2 > stride]
    assert trunk.fields["drop_fc7"].stride == stride
    assert trunk.fields["drop_fc7"].size == pooled.fields["drop_fc7"].size - sum(dropped)
