"""Each operation that the receptive field's arithmetic knows, at every unit of a small map, against the gradient; and some it does not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from unchecked import shapes_unchecked

from edu_seg.receptive_field import UnknownOperation, measured_receptive_field, receptive_field, receptive_fields
from edu_seg.upsampling import BilinearUpsampling

pytestmark = pytest.mark.usefixtures("one_thread")


class Function(nn.Module):
    """A function as a network."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: Tensor) -> Any:
        return self.function(image)


class Unpooling(nn.Module):
    """Pool and put back by the switches; odd sizes need the output's size."""

    def forward(self, image: Tensor) -> Tensor:
        pooled, switches = F.max_pool2d(image, 2, return_indices=True)
        return F.max_unpool2d(pooled, switches, [2, 2], output_size=list(image.shape[2:]))


class SelfAttention(nn.Module):
    """Every unit looks at all others, and adds that to itself (Wang et al., "Non-local Neural Networks", 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Conv2d(1, 2, 1) for _ in range(3))
        self.back = nn.Conv2d(2, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        query, key, value = (layer(image).flatten(2).transpose(1, 2) for layer in (self.query, self.key, self.value))
        mixed = F.softmax(query @ key.transpose(1, 2), dim=-1) @ value
        return image + self.back(mixed.transpose(1, 2).reshape(image.shape[0], 2, *image.shape[2:]))


class Twice(nn.Module):
    """One layer called twice, and a decision on the shape."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        once = self.layer(image)
        return self.layer(once) if image.shape[2] > 4 else once


def conv(*args: Any, **options: Any) -> nn.Module:
    return nn.Conv2d(1, 1, *args, **options)


OPERATIONS: dict[str, nn.Module] = {
    "stride and padding": conv((3, 2), (2, 3), (2, 0)),
    "dilation": conv(3, dilation=(2, 3), padding=2),
    "same": conv(3, padding="same", dilation=2),
    "groups": nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 3, groups=2)),
    "padding before": nn.Sequential(nn.ZeroPad2d((2, 0, 0, 3)), conv(3)),
    "reflect": conv(5, padding=2, padding_mode="reflect"),
    "replicate": conv(5, padding=2, padding_mode="replicate"),
    "circular": conv(5, padding=2, padding_mode="circular"),
    "transposed": nn.ConvTranspose2d(1, 1, 3, 2, 1, output_padding=1),
    "transposed, dilated": nn.ConvTranspose2d(1, 1, 3, (3, 2), 2, dilation=2, output_padding=(2, 1)),
    "stride above the kernel": nn.ConvTranspose2d(1, 1, 1, 3),
    "max pool, ceil": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "max pool, dilated": nn.MaxPool2d(2, 1, dilation=2),
    "average pool, ceil": nn.AvgPool2d(2, 2, ceil_mode=True),
    "adaptive average": nn.AdaptiveAvgPool2d((3, 2)),
    "adaptive maximum": nn.AdaptiveMaxPool2d((2, 5)),
    "global average": nn.AdaptiveAvgPool2d(1),
    "unpooling": Unpooling(),
    "nearest": nn.Upsample((11, 5)),
    "nearest, by a factor": nn.Upsample(scale_factor=(1.5, 0.5)),
    "nearest-exact": nn.Upsample((4, 13), mode="nearest-exact"),
    "bilinear": nn.Upsample((13, 4), mode="bilinear"),
    "bilinear, corners aligned": nn.Upsample((13, 11), mode="bilinear", align_corners=True),
    "bilinear, by a factor": nn.Upsample(scale_factor=2, mode="bilinear"),
    "bicubic": nn.Upsample((5, 14), mode="bicubic"),
    "area": nn.Upsample((3, 4), mode="area"),
    "to one unit": nn.Upsample((1, 1), mode="bilinear", align_corners=True),
    "crop": Function(lambda x: x[:, :, 2:-1, 1::2]),
    "negative padding": Function(lambda x: F.pad(x, (-1, 2, -2, 0))),
    "flip": Function(lambda x: x.flip(2) + x),
    "roll": Function(lambda x: torch.roll(x, (1, -2), (2, 3))),
    "rows joined": Function(lambda x: torch.cat([x, x[:, :, :3]], 2)),
    "channels joined": Function(lambda x: torch.cat([F.avg_pool2d(x, 3, 1, 1), x.flip(3)], 1)),
    "stacked": Function(lambda x: torch.stack([x, x.roll(1, 2)], 0).mean(0)),
    "split": Function(lambda x: sum(part.mean(2, keepdim=True) for part in x.split(3, 2))),
    "one row": Function(lambda x: x[:, :, 2:3] + x.select(2, -1).unsqueeze(2)),
    "transposition": Function(lambda x: F.avg_pool2d(x.transpose(2, 3), (3, 1)).permute(0, 1, 3, 2)),
    "channels last": Function(lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (1,)).permute(0, 3, 1, 2)),
    "pixel shuffle": nn.Sequential(nn.Conv2d(1, 4, 1), nn.PixelShuffle(2)),
    "pixel unshuffle": Function(lambda x: F.pixel_unshuffle(x[:, :, :6, :6], 3)),
    "channel shuffle": nn.Sequential(nn.Conv2d(1, 4, 3), nn.ChannelShuffle(2)),
    "flatten and Linear": nn.Sequential(nn.Conv2d(1, 2, 3, 2), nn.Flatten(), nn.Linear(18, 4), nn.ReLU(), nn.Linear(4, 2)),
    "mean over rows": Function(lambda x: x + x.mean(2, keepdim=True)),
    "batch norm": nn.BatchNorm2d(1),
    "instance norm": nn.InstanceNorm2d(1),
    "group norm": nn.Sequential(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4)),
    "local response norm": nn.Sequential(nn.Conv2d(1, 4, 3), nn.LocalResponseNorm(3)),
    "attention": SelfAttention(),
    "constant matrices": BilinearUpsampling(4, 2),
    "activations in place": nn.Sequential(conv(3), nn.ReLU(True), nn.Hardswish(True), nn.GELU(), nn.PReLU(), nn.Sigmoid(), nn.Dropout(0.5)),
    "called twice": Twice(),
    "written in place": Function(lambda x: F.avg_pool2d(x, 3, 1, 1).add_(x.flip(2)).mul_(2)),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(7, 8), (8, 7)])
def test_every_unit_sees_what_the_gradient_says(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = OPERATIONS[name]
    if name == "flatten and Linear" and size[0] == 8:
        size = (7, 7)
    field = receptive_field(model, size, channels=1)
    with torch.no_grad():
        shape = model.eval()(torch.rand(1, 1, *size)).shape
    assert field.shape == tuple(shape)
    for i in range(field.map_size[0]):
        for j in range(field.map_size[1]):
            assert field.inside(i, j) == measured_receptive_field(model, size, (i, j), channels=1)


def test_one_dimension() -> None:
    layers = (
        nn.Conv1d(1, 1, 5, 2, 1, 2),
        nn.MaxPool1d(2, ceil_mode=True),
        nn.ConvTranspose1d(1, 1, 3, 2),
        nn.Upsample(9, mode="linear"),
        nn.AvgPool1d(2),
    )
    fields = receptive_fields(nn.Sequential(*layers), (23,), channels=1)
    assert [fields[str(n)].size for n in range(2)] == [(9,), (11,)]
    assert (fields["1"].stride, fields["1"].padding) == ((4,), (1,))
    for unit in range(fields["output"].map_size[0]):
        assert fields["output"].inside(unit) == measured_receptive_field(nn.Sequential(*layers), (23,), (unit,), channels=1)


def test_fields_are_not_cut_off_at_the_border() -> None:
    """By hand: 3 × 3 with padding, a pool of 2, then 3 × 3 with dilation 2: 3, 4, then 4 + 2 · 2 · 2 = 12 pixels, stride 2."""
    model = nn.Sequential(conv(3, padding=1), nn.MaxPool2d(2), conv(3, dilation=2, padding=2))
    fields = receptive_fields(model, (6, 10), channels=1)
    assert [fields[n].size for n in "012"] == [(3, 3), (4, 4), (12, 12)]
    assert fields["2"].stride == (2, 2)
    assert fields["2"].padding == (5, 5)
    assert fields["2"].rows(0) == (-5, 6)
    assert fields["2"].cols(4) == (3, 14)
    assert fields["2"].inside(0, 4) == ((0, 5), (3, 9))


def test_height_and_width_are_apart() -> None:
    field = receptive_field(conv((3, 5), (1, 2), (0, 2)), (9, 9), channels=1)
    assert (field.size, field.stride, field.padding) == ((3, 5), (1, 2), (0, 2))


def test_units_differ_after_upsampling() -> None:
    """Doubling a map of stride 2 bilinearly: every unit sees two units of it, 2 · 1 + 2 pixels, half a step on."""
    field = receptive_field(nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")), (8, 8), channels=1)
    assert not field.uniform
    assert field.size == (4, 4)
    assert field.stride == (1, 1)
    assert [field.rows(i) for i in (0, 1, 2)] == [(-2, 1), (0, 3), (0, 3)]


def test_branches_meet_in_their_hull() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = conv(7, padding=3), conv(1)

        def forward(self, image: Tensor) -> Tensor:
            return torch.cat([self.narrow(image), self.wide(image)], 1)

    fields = receptive_fields(Branches(), (9, 9), channels=1)
    assert {name: field.size[0] for name, field in fields.items()} == {"narrow": 1, "wide": 7, "cat": 7, "output": 7}


def test_what_sees_the_whole_map_says_so_and_can_be_left_out() -> None:
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool, self.gate = conv(3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Sequential(conv(1), nn.Sigmoid())

        def forward(self, image: Tensor) -> Tensor:
            features = self.conv(image)
            return features * self.gate(self.pool(features))

    included = receptive_fields(Squeeze(), (20, 20), channels=1)
    assert included["output"].size == (22, 22)  # the whole map of units that see one pixel beyond it
    assert included["output"].whole_map == ("pool (AdaptiveAvgPool2d)",)
    assert included["conv"].whole_map == ()
    without = receptive_field(Squeeze(), (20, 20), channels=1, whole_map="leave_out")
    assert (without.size, without.whole_map) == ((3, 3), ())
    attention = receptive_field(SelfAttention(), (9, 9), channels=1, whole_map="leave_out")
    assert (attention.size, attention.whole_map) == ((1, 1), ())
    assert receptive_field(SelfAttention(), (9, 9), channels=1).size == (9, 9)
    normed = nn.Sequential(conv(3), nn.InstanceNorm2d(1))
    assert receptive_field(normed, (9, 9), channels=1, whole_map="leave_out").size == (3, 3)


def test_names_of_calls_outputs_and_operations() -> None:
    fields = receptive_fields(Twice(), (9, 9), channels=1)
    assert list(fields) == ["layer", "layer#2", "output"]
    assert fields["layer#2"].size == (5, 5)
    assert receptive_field(Twice(), (4, 4), channels=1).size == (3, 3)
    several = receptive_fields(Function(lambda x: {"out": x.mean(2), "aux": (x, x[:, :, 1:])}), (5, 5), channels=1)
    assert list(several) == ["mean", "slice", "output[out]", "output[aux][0]", "output[aux][1]"]
    assert receptive_field(Function(lambda x: {"out": x[:, :, 1:], "aux": x}), (5, 5), channels=1).padding == (-1, 0)


def take_pixels(image: Tensor) -> Tensor:
    return F.grid_sample(image, torch.zeros(1, 3, 3, 2), align_corners=False)


UNKNOWN: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "grid_sample": (take_pixels, "grid_sampler"),
    "unfold": (lambda x: F.unfold(x, 3), "im2col"),
    "running sums": (lambda x: x.cumsum(2), "cumsum"),
    "sorting": (lambda x: x.sort(2).values, "sort"),
    "spectrum": (lambda x: torch.fft.rfft2(x).abs(), "fft"),
    "a number": (lambda x: x.sum().item(), "local_scalar"),
    "windows": (lambda x: x.reshape(1, 1, 2, 4, 2, 4), "takes the 8 rows of a map apart"),
    "a view overwritten": (lambda x: x[:, :, 1:].add_(x[:, :, :-1]), "view"),
    "a region overwritten": (lambda x: torch.zeros(1, 1, 8, 8).add_(x), "a tensor that was none"),
    "rows by number": (lambda x: x[:, :, [0, 3]], "by number"),
    "rows to columns": (lambda x: x + x.transpose(2, 3), "not the same axes"),
    "antialias": (lambda x: F.interpolate(x, (3, 3), mode="bilinear", antialias=True), "_upsample_bilinear2d_aa"),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_it_does_not_know_it_says(name: str) -> None:
    function, said = UNKNOWN[name]
    model = nn.Sequential(conv(1), Function(function)).train()
    with pytest.raises(UnknownOperation, match=rf"(?s){said}.*in layer '1' \(Function\)|in layer '1' \(Function\).*{said}"):
        receptive_fields(model, (8, 8), channels=1)
    assert model.training
    assert all(module.training for module in model.modules())
    assert receptive_field(conv(3), (8, 8), channels=1).size == (3, 3)  # nothing is left behind


def test_mistakes_are_named() -> None:
    model = nn.Sequential(conv(3))
    with pytest.raises(ValueError, match=r"input_size = \(0, 8\)"):
        receptive_fields(model, (0, 8), channels=1)
    with shapes_unchecked(), pytest.raises(ValueError, match="whole_map = 'ignore'"):
        receptive_fields(model, (8, 8), channels=1, whole_map="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a window of 3 does not fit into 2 units"):
        receptive_fields(model, (2, 8), channels=1)
    with pytest.raises(KeyError, match="no layer is called '1'; there are 0"):
        receptive_field(model, (8, 8), "1", channels=1)
    field = receptive_field(model, (8, 8), channels=1)
    for ask in (field.inside, field.paths):
        with pytest.raises(IndexError, match=r"there is no unit \(6, 0\) on a map of \(6, 6\)"):
            ask(6, 0)
    with pytest.raises(IndexError, match="there is no unit 6"):
        field.rows(6)
    with pytest.raises(KeyError, match="no module is called '7'"):
        measured_receptive_field(model, (8, 8), (0, 0), "7", channels=1)
    with pytest.raises(IndexError, match="there is no unit"):
        measured_receptive_field(model, (8, 8), (6, 0), channels=1)
    with pytest.raises(ValueError, match="another run"):
        field.between(receptive_field(model, (8, 8), "0", channels=1), 0, 0)


def test_the_table_in_text_and_html() -> None:
    fields = receptive_fields(nn.Sequential(nn.Sequential(conv(3, 2), nn.AdaptiveAvgPool2d(1))), (8, 9), channels=1)
    lines = fields.to_table().splitlines()
    assert lines[0].split() == ["layer", "kind", "map", "size", "stride", "padding"]
    assert lines[1].split() == ["0.0", "Conv2d", "3", "×", "4", "3", "2", "0"]
    assert lines[2].endswith("sees the whole map")
    assert len(lines) == 3
    assert len(fields.to_table(containers=True).splitlines()) == 5
    assert "<td>0.0</td><td>Conv2d</td><td>3 × 4</td>" in fields._repr_html_()
    assert repr(fields) == fields.to_table()
