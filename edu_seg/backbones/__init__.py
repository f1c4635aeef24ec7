"""Backbones: images (N, 3, H, W) -> a dict of named feature maps, each with its receptive field."""

from collections.abc import Callable
from functools import partial
from typing import Any

from edu_seg.backbones import densenet, drn, resnet
from edu_seg.backbones.alexnet import alexnet, caffenet
from edu_seg.backbones.googlenet import googlenet
from edu_seg.backbones.pretrained import imagenet_state_dict
from edu_seg.backbones.trunk import Trunk
from edu_seg.backbones.vgg import vgg16, vgg_small, vgg_strided

BACKBONES: dict[str, Callable[..., Trunk]] = {
    "vgg16": vgg16,
    "vgg_small": vgg_small,
    "vgg_strided": vgg_strided,
    "caffenet": caffenet,
    "alexnet": alexnet,
    "googlenet": googlenet,
    **{name: partial(drn.drn_trunk, name) for name in drn.TABLE},
    **{name: partial(resnet.resnet, name) for name in resnet.RESNETS},
    **{name: partial(densenet.densenet, name) for name in densenet.DENSENETS},
}


def build(name: str, *, pretrained: bool = False, **options: Any) -> Trunk:
    """The trunk called `name`. Raises ValueError for an unknown name, and where there are no pretrained weights for it."""
    if name not in BACKBONES:
        raise ValueError(f"no backbone is called {name!r}: there are {', '.join(BACKBONES)}")
    return BACKBONES[name](pretrained, **options)


__all__ = ["BACKBONES", "Trunk", "alexnet", "build", "caffenet", "googlenet", "imagenet_state_dict", "vgg16", "vgg_small", "vgg_strided"]
