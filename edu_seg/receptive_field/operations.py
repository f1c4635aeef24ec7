"""Which handler an operation of PyTorch has."""

from typing import Any

import torch

from edu_seg.receptive_field import forms, products, resizing, windows
from edu_seg.receptive_field.building import OPERATIONS
from edu_seg.receptive_field.pointwise import pointwise
from edu_seg.receptive_field.tracing import Handler

__all__ = ["forms", "handler_of", "products", "resizing", "windows"]  # importing them fills OPERATIONS


def handler_of(func: Any) -> Handler | None:
    """The handler of an operation, None for an unknown one."""
    name = getattr(func, "overloadpacket", func).__name__
    if name in OPERATIONS:
        return OPERATIONS[name]
    if name.endswith("_") and name[:-1] in OPERATIONS:
        return None
    return pointwise if torch.Tag.pointwise in getattr(func, "tags", ()) else None
