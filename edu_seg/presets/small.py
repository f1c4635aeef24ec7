"""What a laptop trains in minutes, and CamVid in full on one GPU: our own settings, the same for all that is to be compared."""

from dataclasses import replace
from typing import Any

from edu_seg.presets.specs import DataSpec, Preset
from edu_seg.training import FitConfig

CAMVID_SMALL = DataSpec("camvid", size=(240, 320), scale=(0.75, 1.5), crop=(180, 240), flip=0.5, jitter=0.3, hue=0.0)
"""An image a quarter of the published size: what two cores can train on in twelve minutes."""
CAMVID_FIT = FitConfig(
    epochs=33,
    batch_size=8,
    optimiser="adamw",
    lr=4e-3,
    bias_lr=1.0,
    weight_decay=1e-2,
    norm_decay=False,
    warmup=50,
    validate_every=33,
    val_batch_size=4,
    num_workers=1,
)
CAMVID_HEAD_FIT = replace(CAMVID_FIT, epochs=20, validate_every=20)
CAMVID_STAGE_FIT = replace(CAMVID_FIT, epochs=8, validate_every=8, lr=1e-3)
CAMVID_CONTEXT = (
    "Ours, to compare at one budget (Yu and Koltun 2016, sections 3 and 5): a front-end; then, both from there and for as long, the "
    "front-end alone and with the basic context module. Rate 1e-3 as in the released documents: a stack without normalisation dies at "
    "more. camvid-cpu-dilation8 trains both at once, for the time of camvid-cpu."
)
CAMVID_SMALL_TRUNK = {"backbone": "vgg_strided", "dropout": 0.1}
CAMVID_FCN = CAMVID_SMALL_TRUNK | {"skips": ["relu5_2", "relu4_3", "relu3_3", "relu2_1"]}
CAMVID_NARROW = (
    "Ours: the time, images and loss of camvid-cpu, at widths that two cores can train in it. SegNet-Basic: section 3.1 of its paper; "
    "U-Net and DRN: sections 2 and 4 of theirs. U-Net has no normalisation: it wants clipped gradients, and so narrow, no dropout."
)
CAMVID_PYRAMIDS = (
    "Ours: one backbone of stride 8 and one budget under four heads, and two of them for the time of camvid-cpu. Rates and bins for its "
    "map of 30 x 40 units; auxiliary weight: PSPNet, section 4."
)
CAMVID_HEAD = CAMVID_SMALL_TRUNK | {"output_stride": 8, "head_width": 64}


def _camvid_head(model: str, auxiliary_weight: float = 0.0, epochs: int = 12, **options: Any) -> Preset:
    return Preset(
        CAMVID_PYRAMIDS,
        model,
        CAMVID_SMALL,
        replace(CAMVID_FIT, epochs=epochs, validate_every=epochs),
        CAMVID_HEAD | options,
        balance=0.5,
        restore_prior=0.75,
        auxiliary_weight=auxiliary_weight,
    )


def _camvid_narrow(model: str, epochs: int, clip: float | None = None, **options: Any) -> Preset:
    """As many epochs as fit into the time of `camvid-cpu`."""
    fit = replace(CAMVID_FIT, epochs=epochs, validate_every=epochs, clip=clip)
    return Preset(CAMVID_NARROW, model, CAMVID_SMALL, fit, options, balance=0.5, restore_prior=0.75)


CAMVID_FULL = DataSpec("camvid", scale=(0.5, 2.0), crop=(360, 480), flip=0.5, jitter=0.3)
CAMVID_FULL_FIT = FitConfig(
    epochs=100,
    batch_size=8,
    optimiser="adamw",
    lr=1e-4,
    bias_lr=1.0,
    weight_decay=1e-2,
    warmup=100,
    sync_batch_norm=True,
    mixed_precision="bf16",
    channels_last=True,
    validate_every=10,
    num_workers=4,
)
CAMVID_FULL_SOURCE = (
    "Ours: CamVid at its full size on one GPU, the same optimiser, images and time for every net; each at its paper's widths, trained at "
    "once (FCN: PAMI 2017, section 4.3), from ImageNet's weights where there are any for it."
)


def _camvid_full(model: str, **options: Any) -> Preset:
    has_weights = model not in ("unet", "drn_c_26")
    weight = 0.4 if options.get("auxiliary") else 0.0
    return Preset(
        CAMVID_FULL_SOURCE, model, CAMVID_FULL, CAMVID_FULL_FIT, options, pretrained=has_weights, balance=0.5, auxiliary_weight=weight
    )


SMALL: dict[str, Preset] = {
    "shapes-cpu": Preset(
        "Ours: a first try that takes seconds on a laptop and needs no data.",
        "fcn8s",
        DataSpec("shapes", size=(64, 64), counts=(256, 32), flip=0.5),
        FitConfig(epochs=8, batch_size=8, optimiser="adamw", lr=3e-3, weight_decay=1e-2, norm_decay=False, val_batch_size=16),
        {"backbone": "vgg_small", "dropout": 0.1},
        balance=0.5,
    ),
    "camvid-cpu": Preset(
        "Ours: two cores and twelve minutes; skips down to stride 2. Poly rate: DeepLab v2, section 4.1; square root of SegNet's "
        "median-frequency weights.",
        "fcn8s",
        CAMVID_SMALL,
        CAMVID_FIT,
        CAMVID_FCN,
        balance=0.5,
        restore_prior=0.75,
    ),
    "camvid-cpu-fcn8s": Preset(
        "Ours: the paper's two skips (section 4.2), from pool4 and pool3, where camvid-cpu has four, down to stride 2; for its time.",
        "fcn8s",
        CAMVID_SMALL,
        replace(CAMVID_FIT, epochs=36, validate_every=36),
        CAMVID_SMALL_TRUNK,
        balance=0.5,
        restore_prior=0.75,
    ),
    "camvid-cpu-frontend": Preset(CAMVID_CONTEXT, "dilation_frontend", CAMVID_SMALL, CAMVID_HEAD_FIT, CAMVID_SMALL_TRUNK, balance=0.5),
    "camvid-cpu-frontend-on": Preset(
        CAMVID_CONTEXT,
        "dilation_frontend",
        CAMVID_SMALL,
        CAMVID_STAGE_FIT,
        CAMVID_SMALL_TRUNK,
        stage_from="camvid-cpu-frontend",
        balance=0.5,
    ),
    "camvid-cpu-context": Preset(
        CAMVID_CONTEXT,
        "dilation_context_basic",
        CAMVID_SMALL,
        CAMVID_STAGE_FIT,
        CAMVID_SMALL_TRUNK,
        stage_from="camvid-cpu-frontend",
        balance=0.5,
    ),
    "camvid-cpu-plain": _camvid_head("fcn_resnet50"),
    "camvid-cpu-aspp": _camvid_head("deeplab_v3_resnet50", rates=[4, 8, 12], head_conv=False),
    "camvid-cpu-psp": _camvid_head("pspnet_resnet50", align_corners=False),
    "camvid-cpu-psp-aux": _camvid_head("pspnet_resnet50", 0.4, align_corners=False, auxiliary=True),
    "camvid-cpu-segnet": _camvid_narrow("segnet_basic", 24, width=0.25),
    "camvid-cpu-unet": _camvid_narrow("unet", 19, clip=1.0, width=0.125, padding="same", dropout=0.0),
    "camvid-cpu-drn": _camvid_narrow("drn_c_26", 18, width=0.25),
    "camvid-cpu-deeplab-v3": _camvid_head("deeplab_v3_resnet50", epochs=27, rates=[4, 8, 12], head_conv=False),
    "camvid-cpu-pspnet": _camvid_head("pspnet_resnet50", 0.4, epochs=26, align_corners=False, auxiliary=True),
    "camvid-cpu-dilation8": Preset(
        CAMVID_CONTEXT,
        "dilation8_camvid",
        CAMVID_SMALL,
        replace(CAMVID_STAGE_FIT, epochs=32, validate_every=32, clip=1.0),
        CAMVID_SMALL_TRUNK,
        balance=0.5,
    ),
    "own-cpu": Preset(
        "Ours: the net and the settings of camvid-cpu on a folder of your own images and masks, brought to 240 x 320.",
        "fcn8s",
        replace(CAMVID_SMALL, kind="folder"),
        replace(CAMVID_FIT, validate_every=2),
        CAMVID_FCN,
        balance=0.5,
        restore_prior=0.75,
    ),
    "own-gpu": Preset(
        "Ours: DeepLab v3 (section 3.3 of its paper) on a folder of your own images and masks, with the settings of CamVid in full.",
        "deeplab_v3_resnet50",
        replace(CAMVID_FULL, kind="folder", crop=(512, 512)),
        CAMVID_FULL_FIT,
        pretrained=True,
        balance=0.5,
    ),
    "camvid-fcn8s": _camvid_full("fcn8s_at_once"),
    "camvid-segnet": _camvid_full("segnet"),
    "camvid-unet": _camvid_full("unet", padding="same"),
    "camvid-dilation8": _camvid_full("dilation8_camvid"),
    "camvid-drn-c-26": _camvid_full("drn_c_26"),
    "camvid-deeplab-v3": _camvid_full("deeplab_v3_resnet50"),
    "camvid-pspnet": _camvid_full("pspnet_resnet50", auxiliary=True),
}
