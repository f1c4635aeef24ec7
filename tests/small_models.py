"""What makes each model of the course small enough to be trained, or traced, in a test."""

from typing import Any

from edu_seg.models import deeplab, dilation, drn, pspnet

VGG_SMALL = {"backbone": "vgg_small"}
RESNET_SMALL = {"backbone": "resnet18", "width": 1 / 16, "dropout": 0.0}
SMALL: dict[str, dict[str, Any]] = {
    "fcn32s": VGG_SMALL,
    "fcn16s": VGG_SMALL,
    "fcn8s": VGG_SMALL,
    "fcn8s_at_once": VGG_SMALL,
    "fcn_alexnet": VGG_SMALL,
    "fcn_googlenet": VGG_SMALL | {"top": "drop_fc7"},
    "deconvnet": {"width": 1 / 8, "input_size": 32},
    "segnet": {"width": 1 / 8},
    "segnet_basic": {"width": 1 / 8},
    "unet": {"width": 1 / 8, "padding": "same"},
    **dict.fromkeys(dilation.VARIANTS, VGG_SMALL),
    **{name: {"width": 0.15} for name in drn.VARIANTS},
    **{name: VGG_SMALL | {"dropout": 0.0} for name in deeplab.VARIANTS if "vgg16" in name or "_v1_" in name},
    **{name: RESNET_SMALL for name in (*deeplab.VARIANTS, *pspnet.VARIANTS) if "resnet" in name},
    "deeplab_v1_4x4_r8": VGG_SMALL | {"dropout": 0.0, "rate": 2},  # an even kernel of rate 8 is off every small map
    "crf_rnn": VGG_SMALL,
}
SHAPES_ARE_NOT_ENOUGH = {"crf_rnn"}  # its lattice is built from the colours, so it cannot run on the meta device
AT_LEAST = {"deconvnet": 193}  # the smallest image that the full-size net takes, where there is one
