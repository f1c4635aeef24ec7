"""convolutionalise: torchvision's classifiers and nets of one's own, the same numbers at the training size, sliding crops beyond it."""

import pytest
import torch
import torch.nn.functional as F
import torchvision.models as tv
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from edu_seg.surgery import CannotConvert, convolutionalise

pytestmark = pytest.mark.usefixtures("one_thread")

BUILDERS = {
    "alexnet": tv.alexnet,
    "vgg16": tv.vgg16,
    "vgg16_bn": tv.vgg16_bn,
    "googlenet": lambda: tv.googlenet(init_weights=False),
    "resnet18": tv.resnet18,
    "resnet50": tv.resnet50,
    "densenet121": tv.densenet121,
    "squeezenet1_1": tv.squeezenet1_1,
    "mobilenet_v2": tv.mobilenet_v2,
    "mobilenet_v3_small": tv.mobilenet_v3_small,
}


@pytest.mark.parametrize("name", BUILDERS)
def test_torchvision_classifiers_keep_their_numbers(name: str) -> None:
    torch.manual_seed(0)
    model = BUILDERS[name]().eval()
    images = torch.randn(2, 3, 224, 224)
    dense = convolutionalise(model, (224, 224))
    with torch.inference_mode():
        scores = model(images)
        assert_close(dense(images)[:, :, 0, 0], scores, rtol=1e-5, atol=1e-5 * float(scores.abs().max()))
        assert dense(torch.randn(1, 3, 288, 320)).shape[2:] == ((5, 7) if name.startswith("squeeze") else (3, 4))
    assert sum(p.numel() for p in dense.parameters()) == sum(p.numel() for n, p in model.named_parameters() if not n.startswith("aux"))
    assert not any(isinstance(layer, nn.Linear) for layer in dense.modules())


def test_a_map_of_500_pixels_from_alexnet_without_padding() -> None:
    """10 × 10: the answer to a question of the course material (numbers.md, section 1)."""
    model = tv.alexnet()
    for layer in model.modules():
        if isinstance(layer, nn.MaxPool2d):
            layer.ceil_mode = True  # as in Caffe
    first = model.features.get_submodule("0")
    assert isinstance(first, nn.Conv2d)
    first.padding = (0, 0)
    dense = convolutionalise(model, (227, 227))
    assert dense(torch.zeros(1, 3, 500, 500)).shape == (1, 1000, 10, 10)


class Own(nn.Module):
    """A small classifier without padding whose head ends in a way of its own. Training size 20 × 26, stride 2."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2)
        self.wide, self.narrow = nn.Linear(4 * 9 * 12, 6), nn.Linear(4, 6)
        self.norm, self.norm_2d, self.last = nn.BatchNorm1d(6), nn.BatchNorm2d(4), nn.Linear(6, 5)
        self.flat, self.bins, self.few = nn.Flatten(), nn.AdaptiveAvgPool2d((3, 4)), nn.Linear(48, 6)
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm_2d(self.pool(self.conv(x))))
        return self.last(getattr(self, self.end)(x))

    def flatten(self, x: Tensor) -> Tensor:
        return F.dropout(F.relu(self.norm(self.wide(x.flatten(1)))), 0.5, self.training)

    def view(self, x: Tensor) -> Tensor:
        return torch.tanh(self.wide(x.view(x.size(0), -1)))

    def reshape(self, x: Tensor) -> Tensor:
        return self.wide(F.relu(x.reshape(x.shape[0], 4 * 9 * 12))).softmax(-1)

    def layer(self, x: Tensor) -> Tensor:
        return self.wide(self.flat(x))

    def mean(self, x: Tensor) -> Tensor:
        return self.narrow(x.mean((2, 3)))

    def squeeze(self, x: Tensor) -> Tensor:
        return self.narrow(F.adaptive_max_pool2d(x, 1).squeeze(3).squeeze(2))

    def binned(self, x: Tensor) -> Tensor:
        return F.relu(self.few(torch.flatten(self.bins(x), 1)))

    def two_heads(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.wide(x) + self.wide(F.relu(x))


WAYS = ("flatten", "view", "reshape", "layer", "mean", "squeeze", "binned", "two_heads")


def own(end: str) -> nn.Module:
    torch.manual_seed(1)
    net = Own(end).double().eval()
    for norm in (net.norm, net.norm_2d):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.get_buffer("running_mean"))
    return net


@pytest.mark.parametrize("end", WAYS)
def test_heads_of_ones_own_slide_over_larger_images(end: str) -> None:
    """Without padding: the map is what the classifier says of each crop, at the stride of 2."""
    net = own(end)
    dense = convolutionalise(net, (20, 26))
    images = torch.randn(2, 3, 24, 31, dtype=torch.float64)
    scores = dense(images)
    assert scores.shape == (2, 5, 3, 3)
    for i in range(3):
        for j in range(3):
            crop = images[:, :, 2 * i : 2 * i + 20, 2 * j : 2 * j + 26]
            assert_close(scores[:, :, i, j], net(crop), rtol=0, atol=1e-12)


def test_the_model_is_left_as_it_is_and_weights_load_by_name() -> None:
    net = own("flatten").train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    dense = convolutionalise(net, (20, 26))
    assert isinstance(net.wide, nn.Linear)
    assert isinstance(dense.get_submodule("wide"), nn.Conv2d)
    assert net.training
    assert dense.training
    nn.init.zeros_(dense.get_submodule("wide").weight)  # type: ignore[arg-type]
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    state = {name: value for name, value in before.items() if name in dense.state_dict()}
    assert {"conv.weight", "wide.bias", "last.bias"} <= set(state)


def test_dropout_is_elementwise_and_follows_the_mode() -> None:
    """As in Caffe: places are dropped one by one, not whole channels."""
    dense = convolutionalise(own("flatten"), (20, 26))
    layers = [layer for layer in dense.modules() if isinstance(layer, nn.Dropout | nn.Dropout2d)]
    assert [type(layer) for layer in layers] == [nn.Dropout]
    assert not layers[0].training
    images = torch.randn(1, 3, 40, 40, dtype=torch.float64)
    assert_close(dense(images), dense(images), rtol=0, atol=0)
    dense.train()
    assert not torch.equal(dense(images), dense(images))


@st.composite
def nets(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, int], int]:
    """One or two unpadded layers and a head; its training size and stride."""
    kernels = draw(
        st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2), st.sampled_from(("conv", "max", "avg"))), min_size=1, max_size=2)
    )
    window = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    size, layers, stride = window, [], 1
    for kernel, step, kind in kernels:
        conv = nn.Conv2d(2, 2, kernel, step, dtype=torch.float64)
        layers += [{"conv": conv, "max": nn.MaxPool2d(kernel, step), "avg": nn.AvgPool2d(kernel, step)}[kind], nn.ReLU()]
        stride *= step
    for kernel, step, _ in reversed(kernels):
        size = (size[0] - 1) * step + kernel, (size[1] - 1) * step + kernel
    head = [nn.Flatten(), nn.Linear(2 * window[0] * window[1], 3, dtype=torch.float64), nn.Tanh(), nn.Linear(3, 2, dtype=torch.float64)]
    return nn.Sequential(*layers, *head), size, stride


@settings(max_examples=1000, deadline=None, derandomize=True)
@given(nets(), st.integers(0, 5), st.integers(0, 5))
def test_a_dense_map_is_sliding_crops(drawn: tuple[nn.Module, tuple[int, int], int], more_rows: int, more_columns: int) -> None:
    net, (height, width), stride = drawn
    images = torch.randn(1, 2, height + more_rows, width + more_columns, dtype=torch.float64)
    scores = convolutionalise(net, (height, width), channels=2)(images)
    assert scores.shape[2:] == (more_rows // stride + 1, more_columns // stride + 1)
    i, j = scores.shape[2] - 1, scores.shape[3] - 1
    for top, left in ((0, 0), (i, j)):
        crop = images[:, :, top * stride : top * stride + height, left * stride : left * stride + width]
        assert_close(scores[:, :, top, left], net(crop), rtol=0, atol=1e-12)


def test_with_padding_crops_differ() -> None:
    """A crop's border reads zeros where the map reads the neighbour: equal only for the one crop that is the image."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 8, 2)).double()
    images = torch.randn(1, 3, 9, 8, dtype=torch.float64)
    scores = convolutionalise(net, (8, 8))(images)
    assert (scores[:, :, 0, 0] - net(images[:, :, :8])).abs().max() > 1e-3


class Words(nn.Module):
    """Linear layers on a row of tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.mix(self.conv(x).flatten(2).transpose(1, 2)).mean(1)


class Chooses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def after_flatten(size: int, *layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(size, 2))


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "uneven bins": (nn.Sequential(nn.AdaptiveAvgPool2d(7), *after_flatten(147)), r"AdaptiveAvgPool2d '0' makes 7 × 7 bins of 20 × 20"),
    "tokens": (Words(), r"Linear 'mix' acts on \(2, 25, 8\)"),
    "no head": (nn.Conv2d(3, 2, 3), "Conv2d flattens no map"),
    "a norm across places": (after_flatten(1200, nn.BatchNorm1d(1200)), "BatchNorm1d '1' acts on a flattened map of 3 × 20 × 20"),
    "a norm across the vector": (
        after_flatten(4, nn.Linear(1200, 4), nn.LayerNorm(4)),
        "LayerNorm '2' acts on a flattened map of 4 × 1 × 1",
    ),
    "a size that does not fit": (nn.Sequential(nn.Conv2d(3, 1, 30), *after_flatten(1)), r"does not run on images \(3, 20, 20\)"),
    "a choice by value": (Chooses(), r"Chooses\.forward cannot be written as a list of operations"),
    "a flattened map as output": (nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten()), "output"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_named(case: str) -> None:
    model, says = REFUSED[case]
    with pytest.raises(CannotConvert, match=says):
        convolutionalise(model, (20, 20))
