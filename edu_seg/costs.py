"""What a network costs, layer by layer: parameters, multiply-adds, and the memory that its activations hold. Nothing is computed.

The network runs once on the meta device, which knows shapes and no numbers. Multiply-adds are read off the shapes of every convolution
and matrix product. Papers on ResNets call one multiply-add one "FLOP" (He et al. 2016, table 1); torch's counter, and vendors of GPUs,
count two.

Memory is what training waits for: a backward pass needs the input of a convolution to find the gradient of its weights, the output of a
ReLU to know where it was cut off, the places of the maxima of a pool. Autograd tells which tensors each layer keeps; tensors that share
memory (a ReLU in place) count once, and with the layer that kept them first. Parameters, their gradients and the optimiser's state come
on top: 4 bytes each in float32, 16 a parameter with Adam.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class LayerCost:
    """What one layer adds, in the order of the forward pass; a layer that is called twice has two rows.

    name, kind: path and class. shape: of its output (N, C, h, w), () where it gives none. parameters: its own, at the first call.
    multiply_adds, activation_bytes: for the whole batch.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    activation_bytes: int


@dataclass(frozen=True)
class NetworkCost:
    """The rows of all layers, and their sums. activation_bytes: all that is held when the forward pass ends, the output too."""

    layers: tuple[LayerCost, ...]
    parameters: int

    @property
    def multiply_adds(self) -> int:
        return sum(layer.multiply_adds for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        return sum(layer.activation_bytes for layer in self.layers)


def network_cost(model: nn.Module, size: tuple[int, int], *, batch: int = 1, channels: int = 3, training: bool = True) -> NetworkCost:
    """The cost of one pass over images (batch, channels, *size), `training` with all that a backward pass will need.

    The model is left as it is; a copy without numbers is made of it. Learnable parameters are counted. Raises ValueError for a batch or
    size below 1; what the model raises for sizes that it cannot take; RuntimeError where it looks at numbers (a CRF).
    """
    if min(batch, channels, *size) < 1:
        raise ValueError(f"batch {batch}, channels {channels}, size {size}: at least 1 each")
    twin = copy.deepcopy(model).to("meta").train(training)
    meter = _Meter(twin)
    images = torch.empty(batch, channels, *size, device="meta")
    meter.is_new(images)  # the caller's own, so it is not counted
    with torch.set_grad_enabled(training), meter.hooks(), meter, saved_tensors_hooks(meter.pack, lambda kept: kept):
        meter.hold(twin(images))
    return NetworkCost(
        tuple(row.frozen() for row in meter.rows if row.counts), sum(p.numel() for p in model.parameters() if p.requires_grad)
    )


class _Row:
    """A layer's cost while it is being counted."""

    def __init__(self, name: str, module: nn.Module, parameters: int) -> None:
        self.name, self.kind, self.parameters = name, type(module).__name__, parameters
        self.is_leaf = not any(module.children())
        self.shape: tuple[int, ...] = ()
        self.multiply_adds = self.activation_bytes = 0

    @property
    def counts(self) -> bool:
        return bool(self.is_leaf or self.multiply_adds or self.activation_bytes or self.parameters)

    def frozen(self) -> LayerCost:
        return LayerCost(self.name, self.kind, self.shape, self.parameters, self.multiply_adds, self.activation_bytes)


class _Meter(TorchDispatchMode):
    """Watches one forward pass: who is running, what it multiplies, what it keeps."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.rows = [_Row("", model, sum(p.numel() for p in model.parameters(recurse=False)))]
        self.running = [self.rows[0]]
        self.seen: set[str] = set()
        self.known: dict[int, Any] = {}  # held, so that no storage is freed and its address given to another
        for tensor in (*model.parameters(), *model.buffers()):
            self.is_new(tensor)

    @contextmanager
    def hooks(self) -> Iterator[None]:
        handles = []
        for name, module in self.model.named_modules():
            if name:
                handles += [module.register_forward_pre_hook(self._enter(name)), module.register_forward_hook(self._leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Any:
        def enter(module: nn.Module, _: Any) -> None:
            own = 0 if name in self.seen else sum(p.numel() for p in module.parameters(recurse=False))
            self.seen.add(name)
            self.running.append(_Row(name, module, own))
            self.rows.append(self.running[-1])

        return enter

    def _leave(self, _: nn.Module, __: Any, output: Any) -> None:
        row = self.running.pop()
        row.shape = tuple(output.shape) if isinstance(output, Tensor) else ()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        output = _normalised(*args) if func is torch.ops.aten.native_batch_norm.default else func(*args, **(kwargs or {}))
        self.running[-1].multiply_adds += multiply_adds(func, args, output)
        return output

    def is_new(self, tensor: Tensor) -> bool:
        """Whether its memory has not been seen before."""
        storage = tensor.untyped_storage()
        is_new = storage._cdata not in self.known
        self.known[storage._cdata] = storage
        return is_new

    def pack(self, tensor: Tensor) -> Tensor:
        """Called by autograd for every tensor that it keeps."""
        if self.is_new(tensor):
            self.running[-1].activation_bytes += tensor.untyped_storage().nbytes()
        return tensor

    def hold(self, output: Any) -> None:
        """The result itself, one map or several, which the caller keeps."""
        for tensor in tree_leaves(output):
            self.pack(tensor)


def _normalised(images: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The shapes of a batch norm's results: what PyTorch does without numbers takes nine tenths of a pass through a ResNet."""
    statistics = images.shape[1] if training else 0
    return torch.empty_like(images), images.new_empty(statistics), images.new_empty(statistics)


_PRODUCTS = {torch.ops.aten.mm.default: (0, 1), torch.ops.aten.addmm.default: (1, 2), torch.ops.aten.bmm.default: (0, 1)}


def multiply_adds(func: Any, args: tuple[Any, ...], output: Any) -> int:
    """Of one operation. Each place of a convolution's output, or of a transposed one's input, meets every weight once."""
    if func is torch.ops.aten.convolution.default:
        images, weight, transposed = args[0], args[1], args[6]
        units = images if transposed else output
        return units.numel() // units.shape[1] * weight.numel()
    if func in _PRODUCTS:
        left, right = (args[place] for place in _PRODUCTS[func])
        return prod(left.shape) * right.shape[-1]
    return 0
