"""The papers' own settings on CamVid, Cityscapes and ADE20K, and U-Net's for a folder of cells, cited as in `presets.papers`."""

from dataclasses import replace
from typing import Any

from edu_seg.presets.papers import DILATED, PSPNET
from edu_seg.presets.specs import DataSpec, Preset
from edu_seg.training import FitConfig

SEGNET_SOURCE = (
    "Badrinarayanan et al. 2017, section 3.1: momentum 0.9, 12 images, 360 x 480, median-frequency weights; rate and weight decay of the "
    "released solver (the paper's variants, from random weights, learn at 0.1). The paper trains until the loss no longer falls: the "
    "number of epochs is ours."
)
DILATION_CAMVID = replace(DILATED, epochs=200, accumulation=7, lr=1e-4, validate_every=20, num_workers=4)
DILATION_CAMVID_SOURCE = (
    "Yu and Koltun 2016, section 4 and the appendix on urban scenes; rates (1e-4 for the front-end, 1e-5 for both), batch and momentum of "
    "the released documents, which with hundreds of images go from the front-end to both at once. The number of epochs is ours. "
)
DILATION10_SOURCE = (
    "Yu and Koltun 2016, section 4 and the appendix on urban scenes, momentum 0.99: the front-end 40,000 iterations at 1e-4 with 8 crops "
    "of 628 pixels (108 epochs of 2,975 images; here labelled to their edges); the context module 24,000 at 1e-4 with 100 whole images "
    "(807 epochs); both 60,000 at 1e-5 with half an image, 1,396 pixels with its mirrored border (20 epochs). "
)
DILATION10 = replace(DILATED, epochs=108, batch_size=8, accumulation=8, lr=1e-4, momentum=0.99, validate_every=12, num_workers=4)

CITYSCAPES = DataSpec("cityscapes", flip=0.5)
DRN_CROPS = replace(CITYSCAPES, crop=(896, 896))
DRN_SOURCE = (
    "Yu, Koltun and Funkhouser 2017, section 5.3, and the README of the released code: rate 1e-2, a tenth after every 100 of 250 epochs, "
    "SGD with momentum 0.9, weight decay 1e-4, 32 crops of 896 pixels. "
)
DRN_RANDOM = (
    DRN_SOURCE + "From random weights: the authors start from ImageNet's, which torchvision has for the A nets alone, so the paper's score "
    "is out of reach."
)
DRN = FitConfig(
    epochs=250,
    batch_size=32,
    lr=1e-2,
    weight_decay=1e-4,
    bias_lr=1.0,
    schedule="step",
    milestones=(0.4, 0.8),
    sync_batch_norm=True,
    validate_every=10,
    num_workers=8,
)
CITYSCAPES_SOURCE = (
    "Zhao et al. 2017 (PSPNet), section 5.1: as on VOC, 90,000 iterations (484 epochs of 2,975 images). Crop of 713: the released net."
)
ADE20K_SOURCE = "Zhao et al. 2017 (PSPNet), section 5.1: as on VOC, 150,000 iterations on ADE20K (119 epochs of 20,210 images)."
UNET_SOURCE = (
    "Ronneberger, Fischer and Brox 2015, section 3: one image, momentum 0.99, weights He et al. 2015's, and a loss that counts the gap "
    "between two objects most (w0 = 10, 5 pixels); section 3.1: dropout at the bottom. Ours: the rate, no weight decay, the number of "
    "epochs, median-frequency weights for w_c, and mirror, scale and rotation in place of elastic deformation. Leave a line of background "
    "between objects that touch."
)


def _pspnet(source: str, model: str, kind: str, crop: int, epochs: int) -> Preset:
    data = DataSpec(kind, scale=(0.5, 2.0), crop=(crop, crop), flip=0.5, blur=0.5, rotation=10.0)
    auxiliary: dict[str, Any] = {"auxiliary": True}
    fit = replace(PSPNET, epochs=epochs, validate_every=epochs // 9)
    return Preset(source, model, data, fit, auxiliary, pretrained=True, auxiliary_weight=0.4)


SCENES: dict[str, Preset] = {
    "segnet-camvid": Preset(
        SEGNET_SOURCE,
        "segnet",
        DataSpec("camvid"),
        FitConfig(epochs=300, batch_size=12, lr=1e-3, schedule="constant", sync_batch_norm=True, validate_every=10, num_workers=4),
        pretrained=True,
        balance=1.0,
    ),
    "dilation-frontend-camvid": Preset(
        DILATION_CAMVID_SOURCE, "dilation_frontend", DataSpec("camvid", flip=0.5), DILATION_CAMVID, pretrained=True
    ),
    "dilation8-camvid": Preset(
        DILATION_CAMVID_SOURCE + "Both together, the context module from the identity.",
        "dilation8_camvid",
        DataSpec("camvid", flip=0.5),
        replace(DILATION_CAMVID, lr=1e-5),
        stage_from="dilation-frontend-camvid",
    ),
    "dilation-frontend-cityscapes": Preset(
        DILATION10_SOURCE, "dilation_frontend", replace(CITYSCAPES, crop=(628, 628)), DILATION10, pretrained=True
    ),
    "dilation10-cityscapes-context": Preset(
        DILATION10_SOURCE + "The context module alone, on the scores of a front-end that is held.",
        "dilation10",
        CITYSCAPES,
        replace(DILATION10, epochs=807, batch_size=100, accumulation=100, frozen=("frontend",), validate_every=80),
        stage_from="dilation-frontend-cityscapes",
    ),
    "dilation10-cityscapes": Preset(
        DILATION10_SOURCE + "Both together.",
        "dilation10",
        replace(CITYSCAPES, crop=(1024, 1024)),
        replace(DILATION10, epochs=20, batch_size=1, accumulation=1, lr=1e-5, validate_every=4),
        stage_from="dilation10-cityscapes-context",
    ),
    "drn-a-50-cityscapes": Preset(DRN_SOURCE, "drn_a_50", DRN_CROPS, DRN, pretrained=True),
    "drn-c-26-cityscapes": Preset(DRN_RANDOM, "drn_c_26", DRN_CROPS, DRN),
    "drn-d-22-cityscapes": Preset(DRN_RANDOM, "drn_d_22", DRN_CROPS, DRN),
    "pspnet-resnet50-cityscapes": _pspnet(CITYSCAPES_SOURCE, "pspnet_resnet50", "cityscapes", 713, 484),
    "pspnet-resnet101-cityscapes": _pspnet(CITYSCAPES_SOURCE, "pspnet_resnet101", "cityscapes", 713, 484),
    "pspnet-resnet50-ade20k": _pspnet(ADE20K_SOURCE, "pspnet_resnet50", "ade20k", 473, 119),
    "unet-folder": Preset(
        UNET_SOURCE,
        "unet",
        DataSpec("folder", scale=(0.75, 1.25), flip=0.5, rotation=10.0),
        FitConfig(epochs=100, batch_size=1, lr=1e-4, momentum=0.99, weight_decay=0.0, bias_lr=1.0, schedule="constant", validate_every=5),
        balance=1.0,
        border=True,
    ),
}
