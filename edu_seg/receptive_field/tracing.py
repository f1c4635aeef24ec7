"""One run of a network on tensors that hold no numbers, only which map each of their dimensions belongs to.

A `Traced` tensor reports shape, dtype and device like any other, so that the network's own `forward` runs as it stands: branches,
functional calls, decisions on shapes. PyTorch hands each elementary operation on one to a table of operations, which says what the
result's units read. Nothing is computed, so the run needs no memory and little time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils import _pytree as pytree

from edu_seg.receptive_field.graph import Node
from edu_seg.receptive_field.relations import Relation

Factor = tuple[int | None, int]
"""A part of a dimension: (axis of the image, or None for channels and the batch; size)."""

Dims = tuple[tuple[Factor, ...], ...]
"""For each dimension of a tensor the factors that it is made of, the slowest first; more than one after flattening."""


class UnknownOperation(NotImplementedError):
    """An operation whose receptive field this package does not know. It never guesses."""


def size_of(factors: Sequence[Factor]) -> int:
    """The size of a dimension."""
    size = 1
    for _, part in factors:
        size *= part
    return size


def plain(size: int) -> tuple[Factor, ...]:
    """A dimension of channels."""
    return ((None, size),)


class Traced(Tensor):
    """A tensor without numbers, whose dimensions are `dims` and whose units are those of `node`."""

    node: Node
    dims: Dims
    pool: tuple[Relation, ...] | None  # for the indices of a max pool: what unpooling by them reads
    changes: int  # how often it was overwritten in place by something else
    base: "tuple[Traced, int] | None"  # for a view: of which tensor, and the number of changes it had then

    @staticmethod
    def __new__(cls, node: Node, dims: Dims, like: Tensor, dtype: torch.dtype | None = None) -> "Traced":
        shape = [size_of(factors) for factors in dims]
        traced = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype or like.dtype, device=like.device)
        traced.node, traced.dims, traced.pool, traced.changes, traced.base = node, dims, None, 0, None
        return traced

    def __init__(self, *_: Any) -> None:
        super().__init__()

    def __repr__(self, **_: Any) -> str:
        return f"Traced(shape={tuple(self.shape)}, dims={self.dims})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """Only circular padding is caught here: further down it is many copies of slices."""
        kwargs = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            if getattr(func, "__name__", "") == "pad" and any(isinstance(v, str) and v == "circular" for v in (*args, *kwargs.values())):
                return _running(func).operate(func, args, kwargs)
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        return _running(func).operate(func, args, dict(kwargs or {}))


def _running(func: Any) -> "Run":
    if Run.current is None:
        raise UnknownOperation(f"{func}: a traced tensor has no numbers; it is of use only during the run that made it")
    return Run.current


@dataclass(frozen=True, eq=False)
class Layer:
    """A named map of the run: what a call of a module returned, or an operation between modules."""

    kind: str
    node: Node
    shape: tuple[int, ...]
    is_leaf: bool


Handler = Callable[["Run", Any, Sequence[Any], dict[str, Any]], Any]
"""(run, the operation, its arguments) → its result, traced."""


class Run:
    """One traced run: the modules that are being called just now, and the layers named so far.

    operation: the name that PyTorch gives an operation → its handler, or None. parameters: where the weights' numbers are stored: a
    product with them reads everything, one with a constant only what is not zero. leave_out: pass by what looks at a whole map.
    """

    current: ClassVar["Run | None"] = None

    def __init__(self, model: nn.Module, handler_of: Callable[[Any], Handler | None], leave_out: bool) -> None:
        self.handler_of, self.leave_out = handler_of, leave_out
        self.parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.names = {id(module): name for name, module in model.named_modules()}
        self.layers: dict[str, Layer] = {}
        self.calls: dict[str, int] = {}
        self.stack: list[nn.Module] = []

    def operate(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The result of one operation. Where no leaf module stands for it and it makes a new map, it becomes a layer itself."""
        handler = self.handler_of(func)
        if handler is None or "out" in kwargs:
            raise self.unknown(func)
        traced = [value for value in pytree.tree_leaves((args, kwargs)) if isinstance(value, Traced)]
        for tensor in traced:
            if tensor.base is not None and tensor.base[0].changes != tensor.base[1]:
                raise self.unknown(func, "it uses a view of a tensor that was overwritten since")
        before = {tensor.node for tensor in traced}
        result = handler(self, func, args, kwargs)
        where = self._path()
        in_leaf = bool(where) and self._is_leaf(self.stack[-1])
        if isinstance(result, Traced) and result.node not in before and not in_leaf:
            name = str(func.__name__).split(".")[0].rstrip("_")
            self.add_layer(f"{where}.{name}" if where else name, name, result, True)
        return result

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Every module that is called meanwhile becomes a layer."""
        hooks = [register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)]
        Run.current = self
        try:
            yield
        finally:
            Run.current = None
            for hook in hooks:
                hook.remove()

    def add_layer(self, name: str, kind: str, value: Any, is_leaf: bool) -> None:
        """Each traced tensor in `value` as a layer; what a second call of the same module returns is called name#2."""
        call = self.calls[name] = self.calls.get(name, 0) + 1
        label = name if call == 1 else f"{name}#{call}"
        for key, tensor in tensors_in(value):
            self.layers[label + key] = Layer(kind, tensor.node, tuple(tensor.shape), is_leaf)

    def add_output(self, value: Any) -> None:
        """What the model returned, as "output" or "output[key]"."""
        for key, tensor in tensors_in(value):
            self.layers[f"output{key}"] = Layer("output", tensor.node, tuple(tensor.shape), False)

    def place(self) -> str:
        """The layer that is being run, for messages and for `whole_map`."""
        path = self._path()
        module = type(self.stack[-1]).__name__ if self.stack else ""
        return f"{path} ({module})" if path else f"the model itself ({module})"

    def unknown(self, func: Any, why: str = "") -> UnknownOperation:
        """The error that names the operation and the layer."""
        path = self._path()
        where = f"layer {path!r}" if path else "the model itself"
        module = type(self.stack[-1]).__name__ if self.stack else ""
        reason = f": {why}" if why else ""
        return UnknownOperation(f"{func} in {where} ({module}): its receptive field is not known{reason}. Express it by other layers.")

    def _path(self) -> str:
        return next((self.names[id(module)] for module in reversed(self.stack) if id(module) in self.names), "")

    @staticmethod
    def _is_leaf(module: nn.Module) -> bool:
        return not module._modules

    def _enter(self, module: nn.Module, _: Any) -> None:
        self.stack.append(module)

    def _leave(self, module: nn.Module, _: Any, output: Any) -> None:
        self.stack.pop()
        if self.names.get(id(module)):  # the model itself is called ""
            self.add_layer(self.names[id(module)], type(module).__name__, output, self._is_leaf(module))


def tensors_in(value: Any) -> list[tuple[str, Traced]]:
    """Each traced tensor in what a module returned, with the key to it: "" for a lone one, "[pool4]" or "[0]" in a dict or tuple."""
    pairs, _ = pytree.tree_flatten_with_path(value)
    found = [(path, tensor) for path, tensor in pairs if isinstance(tensor, Traced)]
    return [
        ("".join(f"[{getattr(key, 'key', getattr(key, 'idx', getattr(key, 'name', key)))}]" for key in path), tensor)
        for path, tensor in found
    ]
