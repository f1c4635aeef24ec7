"""The operations of a network in the order in which they run, as a graph of which a copy can be changed (torch.fx)."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn


class CannotConvert(ValueError):
    """A layer stands in the way of a conversion; the message names it and says what to do."""


def traced_copy(model: nn.Module) -> fx.GraphModule:
    """A copy of `model` whose forward is a list of operations; layers keep their names, so that weights still load by name.

    Branches that only training takes (GoogLeNet's auxiliary heads) are left out. Pools and dropout that `forward` calls as functions
    become layers of the copy. Raises CannotConvert where `forward` decides by values, so that it has no one list of operations.
    """
    original = copy.deepcopy(nn.Sequential(model) if fx.Tracer().is_leaf_module(model, "") else model)
    modes = {name: layer.training for name, layer in original.named_modules()}
    try:
        traced = fx.symbolic_trace(original.eval())
    except Exception as error:  # whatever the model's own code raises when it meets a stand-in in place of a tensor
        raise CannotConvert(
            f"{type(model).__name__}.forward cannot be written as a list of operations ({type(error).__name__}: {error}): "
            "let it not choose its way by a tensor's values or sizes"
        ) from error
    for node in list(traced.graph.nodes):
        if node.op == "call_function" and node.target in _LAYER_OF:
            _into_layer(traced, node)
    for name, layer in traced.named_modules():
        layer.training = modes.get(name, modes[""])
    finish(traced)
    return traced


def finish(traced: fx.GraphModule) -> None:
    """After a change of the graph: drops what nothing uses, and writes the forward anew."""
    traced.graph.eliminate_dead_code()
    traced.graph.lint()
    traced.recompile()
    traced.delete_all_unused_submodules()


def layer_of(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """The layer that a node calls, or None."""
    return traced.get_submodule(str(node.target)) if node.op == "call_module" else None


def replace_layers(traced: fx.GraphModule, layers: Mapping[fx.Node, nn.Module]) -> None:
    """Puts a new layer, under the old one's name and in its mode, wherever a node has one.

    Raises CannotConvert where a layer that runs twice would have to become two different ones.
    """
    wanted: dict[str, nn.Module] = {}
    for node, layer in layers.items():
        name = str(node.target)
        if str(wanted.setdefault(name, layer)) != str(layer):
            raise CannotConvert(f"layer {name!r} runs twice, and would have to be both {wanted[name]} and {layer}: give each place its own")
    for name, layer in wanted.items():
        parent, _, child = name.rpartition(".")
        setattr(traced.get_submodule(parent), child, layer.train(traced.get_submodule(name).training))


def called(node: fx.Node) -> str:
    """The bare name of the function or method that a node calls, or of the layer."""
    return getattr(node.target, "__name__", str(node.target))


def description(traced: fx.GraphModule, node: fx.Node) -> str:
    """What a reader calls the operation: the layer's name and kind, or the function and the module that calls it."""
    layer = layer_of(traced, node)
    if layer is not None:
        return f"{type(layer).__name__} {str(node.target)!r}"
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values() if path]
    return f"{called(node)}()" + (f" in {stack[-1]!r}" if stack else "")


def _dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> nn.Module | None:
    """training=False, as traced, says that the call follows `self.training`, as a layer does; with True it never stops."""
    return None if training else nn.Dropout(p, inplace)


def _max_pool(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False, return_indices: bool = False
) -> nn.Module | None:
    return None if return_indices else nn.MaxPool2d(kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)


_LAYER_OF: dict[Callable, Callable[..., nn.Module | None]] = {
    F.dropout: _dropout,
    F.max_pool2d: _max_pool,
    torch.max_pool2d: _max_pool,
    F.avg_pool2d: lambda input, *options, **named: nn.AvgPool2d(*options, **named),
    F.adaptive_avg_pool2d: lambda input, output_size: nn.AdaptiveAvgPool2d(output_size),
    F.adaptive_max_pool2d: lambda input, output_size, return_indices=False: None if return_indices else nn.AdaptiveMaxPool2d(output_size),
}


def _into_layer(traced: fx.GraphModule, node: fx.Node) -> None:
    """Turns a function that has a layer of its own into that layer."""
    target: Any = node.target
    given = {**node.kwargs}
    source = node.args[0] if node.args else given.pop("input")
    layer = _LAYER_OF[target](source, *node.args[1:], **given)
    if layer is not None:
        add_layer(traced, node, source, layer)


def add_layer(traced: fx.GraphModule, node: fx.Node, source: Any, layer: nn.Module) -> fx.Node:
    """Lets `layer`, applied to `source`, stand for a function's node."""
    name = f"{node.name}_layer"
    traced.add_submodule(name, layer)
    with traced.graph.inserting_after(node):
        new = traced.graph.call_module(name, (source,))
    new.meta = dict(node.meta)
    node.replace_all_uses_with(new)
    traced.graph.erase_node(node)
    return new
