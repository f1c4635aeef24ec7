"""Models: `build(name, num_classes)` -> a net from images (N, 3, H, W) to logits (N, K, H, W). One file a paper."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import nn

from edu_seg.backbones.dilated import form_of_weights
from edu_seg.models import crf_rnn, deconvnet, deeplab, dilation, drn, fcn, pspnet, segnet, unet

MODELS: dict[str, Callable[..., nn.Module]] = {
    **{name: partial(fcn.fcn, name) for name in fcn.VARIANTS},
    **{name: partial(deconvnet.deconvnet, name) for name in deconvnet.VARIANTS},
    **{name: partial(segnet.segnet, name) for name in segnet.VARIANTS},
    **{name: partial(unet.unet, name) for name in unet.VARIANTS},
    **{name: partial(dilation.dilation, name) for name in dilation.VARIANTS},
    **{name: partial(drn.drn, name) for name in drn.VARIANTS},
    **{name: partial(deeplab.deeplab, name) for name in deeplab.VARIANTS},
    **{name: partial(pspnet.pspnet, name) for name in pspnet.VARIANTS},
    "crf_rnn": crf_rnn.crf_rnn,
}
"""name -> builder(num_classes=21, *, pretrained=False, **options)."""

PAPERS = {
    **dict.fromkeys(fcn.VARIANTS, "Long, Shelhamer and Darrell 2015"),
    **dict.fromkeys(deconvnet.VARIANTS, "Noh, Hong and Han 2015"),
    **dict.fromkeys(segnet.VARIANTS, "Badrinarayanan, Kendall and Cipolla 2017"),
    **dict.fromkeys(unet.VARIANTS, "Ronneberger, Fischer and Brox 2015"),
    **dict.fromkeys(dilation.VARIANTS, "Yu and Koltun 2016"),
    **dict.fromkeys(drn.VARIANTS, "Yu, Koltun and Funkhouser 2017"),
    **{name: f"Chen et al. {2015 if '_v1_' in name else 2018 if '_v2_' in name else 2017}" for name in deeplab.VARIANTS},
    **dict.fromkeys(pspnet.VARIANTS, "Zhao et al. 2017"),
    "crf_rnn": "Zheng et al. 2015",
}
"""name -> the paper that the model comes from."""


def build(name: str, num_classes: int = 21, *, pretrained: bool = False, **options: Any) -> nn.Module:
    """The model called `name`. Raises ValueError for an unknown name (listing the known ones); options are the builder's."""
    if name not in MODELS:
        raise ValueError(f"no model is called {name!r}: there are {', '.join(MODELS)}")
    return MODELS[name](num_classes, pretrained=pretrained, **options)


def options_without_weights(name: str, pretrained: bool, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with which `build(name, ..., pretrained=False)` makes the very net that `pretrained` and `options` make.

    DeepLab and PSPNet take torchvision's form of a ResNet together with its weights. A form less and a trained net's weights fit all the
    same, but compute something else, so a run stores these options.
    """
    rows = deeplab.VARIANTS | pspnet.VARIANTS
    if name not in rows:
        return dict(options)
    return form_of_weights(options.get("backbone") or rows[name].backbone, pretrained) | dict(options)


__all__ = ["MODELS", "PAPERS", "build", "options_without_weights"]
