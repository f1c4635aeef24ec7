"""Fully connected layers as convolutions (FCN, section 3.1)."""

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.passes.fake_tensor_prop import FakeTensorProp

from edu_seg.surgery.tracing import CannotConvert, add_layer, called, description, finish, layer_of, replace_layers, traced_copy

ADAPTIVE_POOLS = nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d
FLATTENING = {"flatten", "view", "reshape", "squeeze", "getitem"}
ELEMENTWISE = {"relu", "relu_", "dropout", "add", "iadd", "mul", "imul", "sigmoid", "tanh", "gelu", "silu", "hardswish"}
ELEMENTWISE |= {"leaky_relu", "elu"}
ELEMENTWISE_LAYERS = (
    nn.ReLU | nn.Dropout | nn.Identity | nn.Sigmoid | nn.Tanh | nn.GELU | nn.SiLU | nn.Hardswish | nn.LeakyReLU | nn.ELU | nn.ReLU6
)
OVER_CHANNELS = {"cat", "softmax", "log_softmax"}
"""Functions with a `dim`, which is the channels', before as after."""


@dataclass(frozen=True)
class Flattened:
    """One vector an image is really `channels` maps of height × width units, `gap` units apart on a larger image."""

    channels: int
    window: tuple[int, int] = (1, 1)
    gap: tuple[int, int] = (1, 1)


def convolutionalise(model: nn.Module, input_size: tuple[int, int], *, channels: int = 3) -> fx.GraphModule:
    """A copy of a classifier that makes a map of scores: (N, C, H, W) -> (N, num_classes, h, w), 1 × 1 at the training size.

    The first Linear layer becomes a convolution over the whole map that it was trained on, later ones 1 × 1 convolutions; a pool to a
    fixed number of bins gets the window that it has at the training size, and slides by one unit. Dropout stays elementwise, as in
    Caffe. At `input_size` the numbers are the classifier's; on a larger image the map holds, without padding, what the classifier says
    of every crop of that size (with padding they differ: a crop sees zeros where the map sees its neighbour). Weights keep their names.

    input_size: (height, width) that the classifier was trained on. channels: of the images.
    Raises CannotConvert, naming the layer: bins that do not divide the map, Linear layers on anything but one vector an image, steps
    between Linear layers that look across the vector, and a model without such a head.
    Source: Long, Shelhamer, Darrell, "Fully convolutional networks for semantic segmentation", section 3.1.
    """
    traced = traced_copy(model)
    _find_shapes(traced, (2, channels, *input_size))
    flattened: dict[fx.Node, Flattened] = {}
    layers: dict[fx.Node, nn.Module] = {}
    removed: list[fx.Node] = []
    for node in list(traced.graph.nodes):
        known = [flattened[source] for source in node.all_input_nodes if source in flattened]
        if known:
            flattened[node] = _after(traced, node, known[0], layers)
        elif _is_mean(node):
            pool = nn.AvgPool2d(_map_size(node.all_input_nodes[0]), stride=1)
            flattened[add_layer(traced, node, node.all_input_nodes[0], pool)] = Flattened(_shape(node)[1])
        elif _flattens(traced, node):
            gap = _fix_pool(traced, node.all_input_nodes[0], layers)
            flattened[node] = Flattened(_shape(node.all_input_nodes[0])[1], _map_size(node.all_input_nodes[0]), gap)
            removed.append(node)
        elif isinstance(layer_of(traced, node), nn.Linear) or called(node) == "linear":
            raise CannotConvert(
                f"{description(traced, node)} acts on {_shape(node.all_input_nodes[0])}, not on one vector an image: "
                "only layers that follow a flattened map become convolutions"
            )
    if not flattened:
        raise CannotConvert(f"{type(model).__name__} flattens no map: there is nothing to turn into a convolution")
    replace_layers(traced, layers)
    for node in removed:
        node.replace_all_uses_with(node.all_input_nodes[0])
    finish(traced)
    return traced


def _find_shapes(traced: fx.GraphModule, shape: tuple[int, ...]) -> None:
    """Runs the operations without numbers; each node then knows the shape of its value."""
    like = next(itertools.chain(traced.parameters(), traced.buffers()), torch.zeros(()))
    training = [layer for layer in traced.modules() if layer.training]
    traced.eval()
    try:
        images = torch.zeros(shape, dtype=like.dtype, device=like.device)
        FakeTensorProp(traced, FakeTensorMode(allow_non_fake_inputs=True)).propagate(images)
    except RuntimeError as error:
        raise CannotConvert(f"the model does not run on images {shape[1:]}: {error}") from error
    for layer in training:
        layer.training = True


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def _map_size(node: fx.Node) -> tuple[int, int]:
    height, width = _shape(node)[2:]
    return height, width


def _is_mean(node: fx.Node) -> bool:
    """The mean over rows and columns, which is a global pool."""
    return called(node) == "mean" and len(_shape(node)) == 2 and len(_shape(node.all_input_nodes[0])) == 4


def _flattens(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Maps go in, one vector an image comes out, of the same numbers."""
    if called(node) not in FLATTENING and not isinstance(layer_of(traced, node), nn.Flatten):
        return False
    before, after = _shape(node.all_input_nodes[0]), _shape(node)
    half = called(node) == "squeeze" and len(after) == 3 and before[2:] == (1, 1)
    return len(before) == 4 and (len(after) == 2 or half) and torch.Size(before).numel() == torch.Size(after).numel()


def _fix_pool(traced: fx.GraphModule, node: fx.Node, layers: dict[fx.Node, nn.Module]) -> tuple[int, int]:
    """Gives the adaptive pool that ends in `node`, if there is one, its window; returns how far apart its bins then lie."""
    while isinstance(layer_of(traced, node), ELEMENTWISE_LAYERS) or called(node) in ELEMENTWISE:
        node = node.all_input_nodes[0]
    pool = layer_of(traced, node)
    if not isinstance(pool, ADAPTIVE_POOLS):
        return 1, 1
    size, bins = _shape(node.all_input_nodes[0])[2:], _shape(node)[2:]
    if any(n % count for n, count in zip(size, bins, strict=True)):
        raise CannotConvert(
            f"{description(traced, node)} makes {bins[0]} × {bins[1]} bins of {size[0]} × {size[1]} units, windows of different sizes: "
            "give an input_size at which the bins divide the map"
        )
    window = size[0] // bins[0], size[1] // bins[1]
    kind = nn.AvgPool2d if isinstance(pool, nn.AdaptiveAvgPool2d) else nn.MaxPool2d
    layers[node] = kind(window, stride=1) if window != (1, 1) else nn.Identity()
    return window


def _after(traced: fx.GraphModule, node: fx.Node, given: Flattened, layers: dict[fx.Node, nn.Module]) -> Flattened:
    """What comes of a vector; notes the layer that does the same to a map."""
    layer = layer_of(traced, node)
    single = given.window == (1, 1)
    if isinstance(layer, nn.Linear):
        layers[node] = _as_convolution(layer, given)
        return Flattened(layer.out_features)
    if isinstance(layer, nn.BatchNorm1d) and single:
        layers[node] = _as_batch_norm_2d(layer)
        return given
    if isinstance(layer, ELEMENTWISE_LAYERS) or called(node) in ELEMENTWISE or (node.op == "output" and single):
        return given
    if isinstance(layer, nn.Softmax | nn.LogSoftmax) and single:
        layers[node] = type(layer)(dim=1)
        return given
    if called(node) in OVER_CHANNELS and single:
        _set_dim(node)
        return Flattened(_shape(node)[1])
    if called(node) in FLATTENING and len(_shape(node)) == 2 and single:  # flattens what is flat already, or squeezes on
        _drop(node)
        return given
    raise CannotConvert(
        f"{description(traced, node)} acts on a flattened map of {given.channels} × {given.window[0]} × {given.window[1]}, and there is no "
        "known layer that does the same to every place of a map"
    )


def _set_dim(node: fx.Node) -> None:
    """Lets a function run over the channels: the last axis of a vector is axis 1 of a map."""
    node.args, node.kwargs = node.args[:1], {**node.kwargs, "dim": 1}


def _drop(node: fx.Node) -> None:
    source: Any = node.all_input_nodes[0]
    node.target, node.op, node.args, node.kwargs = torch.clone, "call_function", (source,), {}


def _as_convolution(linear: nn.Linear, given: Flattened) -> nn.Conv2d:
    """The same weights, (O, C·h·w) read as (O, C, h, w)."""
    (tall, wide), (down, across) = given.window, given.gap
    dilation = (down if tall > 1 else 1, across if wide > 1 else 1)
    weight = linear.weight.detach()
    conv = nn.Conv2d(
        given.channels,
        linear.out_features,
        given.window,
        dilation=dilation,
        bias=linear.bias is not None,
        device="meta",
        dtype=weight.dtype,
    )
    conv.weight = nn.Parameter(weight.view(-1, given.channels, *given.window), linear.weight.requires_grad)
    if linear.bias is not None:
        conv.bias = linear.bias
    return conv


def _as_batch_norm_2d(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    new = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    new.to(next(itertools.chain(norm.parameters(), norm.buffers()), torch.zeros(())))
    new.load_state_dict(norm.state_dict())
    return new
