"""The papers' own settings, set by set: what each paper says, by section, and where only the released files say it."""

from dataclasses import replace

from edu_seg.presets.specs import DataSpec, Preset
from edu_seg.training import FitConfig

VOC = DataSpec("voc")
"""Whole images, each of its own size, as the paper has them; so a batch is computed one image at a time. No augmentation: mirroring and
jittering brought the authors no noticeable improvement (section 4.3)."""

PAPER = FitConfig(epochs=175, batch_size=20, accumulation=20, lr=1e-4, momentum=0.9, weight_decay=5e-4, schedule="constant")
PAPER_SOURCE = (
    "Long, Shelhamer and Darrell 2015, section 4.3: SGD with momentum 0.9, batches of 20 images, fixed rates of 1e-3, 1e-4 and 5e-5 "
    "for AlexNet, VGG-16 and GoogLeNet, weight decay 5e-4, doubled rate for biases; section 4.1: at least 175 epochs."
)
STAGED_SOURCE = PAPER_SOURCE + " Section 4.2: started from the coarser net, at a rate 100 times smaller."
TRAIN_AUG = 10_582
"""VOC's training images with SBD's (`--sbd`). Where a paper counts steps, epochs are those of so many images (`Preset.images_due`)."""

HEAVY = FitConfig(
    epochs=9, batch_size=1, lr=1e-10, momentum=0.99, weight_decay=5e-4, schedule="constant", normalise_loss=False, validate_every=3
)
HEAVY_SOURCE = (
    "Released solver.prototxt of the voc-fcn nets and PAMI 2017, section 4.3 (heavy learning): one image, momentum 0.99, loss summed over "
    "pixels. 100,000 iterations are about 9 epochs of 10,582 images."
)

DILATED = FitConfig(
    epochs=79, batch_size=14, accumulation=14, lr=1e-3, momentum=0.9, weight_decay=5e-4, schedule="constant", validate_every=11
)
DILATED_SOURCE = (
    "Yu and Koltun 2016, section 4: SGD, 14 images, rate 1e-3, momentum 0.9, 60,000 iterations (79 epochs of 10,582 images); weight decay "
    "of the released solver. The released documents take 1e-4 for the front-end, 1e-3 for the context module and 1e-5 for both."
)

CROPPED = DataSpec("voc", scale=(0.5, 2.0), crop=(513, 513), flip=0.5)
PYRAMID_FIT = FitConfig(
    epochs=45, batch_size=16, lr=7e-3, momentum=0.9, weight_decay=1e-4, bias_lr=1.0, sync_batch_norm=True, validate_every=5, num_workers=4
)
DEEPLAB_V3_SOURCE = (
    "Chen et al. 2017, section 4.1: poly with power 0.9, rate 7e-3, 16 crops of 513 pixels, scale 0.5 to 2, mirror, 30,000 iterations (45 "
    "epochs of 10,582 images) at output stride 16; weight decay of the released code."
)
PSPNET_SOURCE = (
    "Zhao et al. 2017, section 5.1: poly with power 0.9, rate 1e-2, momentum 0.9, decay 1e-4, 16 crops, 30,000 iterations on VOC; mirror, "
    "scale 0.5 to 2, rotation by 10 degrees to either side, blur. Section 4: auxiliary loss of weight 0.4. Crop of 473: the released nets."
)

WHOLE_CITYSCAPES = DataSpec("cityscapes", scale=(0.5, 2.0), flip=0.5)
ADE20K = DataSpec("ade20k", scale=(0.5, 2.0), flip=0.5, crop=(473, 473), blur=0.5, rotation=10.0)

LARGEFOV_SOURCE = (
    "Chen et al. 2015 (DeepLab v1), section 4.1: 20 images, rate 1e-3 and ten times that for the new layer, a tenth after every 2,000 "
    "iterations, momentum 0.9, weight decay 5e-4; released solver: biases at twice the rate, 6,000 iterations (11 epochs of 10,582)."
)
DEEPLAB_V2_SOURCE = (
    "Chen et al. 2017 (DeepLab v2), section 4.1: poly with power 0.9, rate 2.5e-4 and ten times that for the new layers, 10 images, 20,000 "
    "iterations (19 epochs of 10,582); three scales with maximum fusion; batch norm held, as in the "
    "released nets."
)
DECONVNET = FitConfig(
    epochs=6, batch_size=64, accumulation=16, lr=1e-2, momentum=0.9, weight_decay=5e-4, schedule="step", num_workers=4, validate_every=6
)
DECONVNET_SOURCE = (
    "Noh et al. 2015, sections 4.2 and 6.1: crops of 250 pixels cut to 224 and mirrored, 64 of them a step, rate 1e-2 falling by tenths, "
    "momentum 0.9, weight decay 5e-4. "
)
SEGNET_SOURCE = (
    "Badrinarayanan et al. 2017, section 3.1: momentum 0.9, 12 images, 360 x 480, median-frequency weights; rate and weight decay of the "
    "released solver. The paper trains until the loss no longer falls: the number of epochs is ours."
)
DRN_SOURCE = (
    "Yu, Koltun and Funkhouser 2017, section 4, and the README of the released code: rate 1e-2, a tenth after every 100 of 250 epochs, "
    "SGD with momentum 0.9, weight decay 1e-4, 32 crops of 896 pixels."
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

PAPERS: dict[str, Preset] = {
    "fcn32s-voc": Preset(PAPER_SOURCE, "fcn32s", VOC, PAPER, pretrained=True),
    "fcn16s-voc": Preset(STAGED_SOURCE, "fcn16s", VOC, replace(PAPER, lr=1e-6), stage_from="fcn32s-voc"),
    "fcn8s-voc": Preset(STAGED_SOURCE, "fcn8s", VOC, replace(PAPER, lr=1e-8), stage_from="fcn16s-voc"),
    "fcn8s-at-once-voc": Preset(PAPER_SOURCE + " PAMI 2017, section 4.3: at once.", "fcn8s_at_once", VOC, PAPER, pretrained=True),
    "fcn-alexnet-voc": Preset(
        PAPER_SOURCE + " In place of Caffe's AlexNet, torchvision's, of which there are ImageNet weights.",
        "fcn_alexnet",
        VOC,
        replace(PAPER, lr=1e-3),
        {"backbone": "alexnet"},
        pretrained=True,
    ),
    "fcn-googlenet-voc": Preset(
        PAPER_SOURCE + " From random weights, since there are none for this form: the paper's score is out of reach.",
        "fcn_googlenet",
        VOC,
        replace(PAPER, lr=5e-5),
    ),
    "fcn32s-voc-heavy": Preset(HEAVY_SOURCE, "fcn32s", VOC, HEAVY, pretrained=True, images_due=TRAIN_AUG),
    "fcn16s-voc-heavy": Preset(HEAVY_SOURCE, "fcn16s", VOC, replace(HEAVY, lr=1e-12), stage_from="fcn32s-voc-heavy", images_due=TRAIN_AUG),
    "fcn8s-voc-heavy": Preset(HEAVY_SOURCE, "fcn8s", VOC, replace(HEAVY, lr=1e-14), stage_from="fcn16s-voc-heavy", images_due=TRAIN_AUG),
    "dilation-frontend-voc": Preset(DILATED_SOURCE, "dilation_frontend", VOC, DILATED, pretrained=True, images_due=TRAIN_AUG),
    "dilation-context-voc": Preset(
        DILATED_SOURCE + " The context module alone, on the scores of a front-end that is held.",
        "dilation8",
        VOC,
        replace(DILATED, frozen=("frontend",)),
        stage_from="dilation-frontend-voc",
        images_due=TRAIN_AUG,
    ),
    "dilation-joint-voc": Preset(
        DILATED_SOURCE + " Both together, from a trained front-end (and context module, where the run given has one).",
        "dilation8",
        VOC,
        replace(DILATED, lr=1e-5),
        stage_from="dilation-context-voc",
        images_due=TRAIN_AUG,
    ),
    "deconvnet-voc-centred": Preset(
        DECONVNET_SOURCE + "Stage 1: objects in the middle of their boxes, nothing else labelled; 20,000 steps of 0.2 million crops.",
        "deconvnet",
        DataSpec("voc", objects="centred", crop=(224, 224), flip=0.5),
        DECONVNET,
        pretrained=True,
        images_due=200_000,
    ),
    "deconvnet-voc": Preset(
        DECONVNET_SOURCE + "Stage 2: proposals that overlap an object by half; 40,000 steps of 2.7 million crops.",
        "deconvnet",
        DataSpec("voc", objects="proposals", crop=(224, 224), flip=0.5),
        replace(DECONVNET, epochs=1, validate_every=1),
        stage_from="deconvnet-voc-centred",
        images_due=2_700_000,
    ),
    "deeplab-largefov-voc": Preset(
        LARGEFOV_SOURCE,
        "deeplab_v1_largefov",
        DataSpec("voc", crop=(321, 321), flip=0.5),
        FitConfig(epochs=11, batch_size=20, lr=1e-3, head=("classifier.fc8",), schedule="step", num_workers=4),
        pretrained=True,
        images_due=TRAIN_AUG,
    ),
    "deeplab-v2-resnet101-voc": Preset(
        DEEPLAB_V2_SOURCE,
        "deeplab_v2_resnet101",
        replace(CROPPED, crop=(321, 321)),
        FitConfig(epochs=19, batch_size=10, lr=2.5e-4, head=("branches",), num_workers=4),
        pretrained=True,
        frozen_norm=True,
        images_due=TRAIN_AUG,
    ),
    "deeplab-v3-resnet50-voc": Preset(
        DEEPLAB_V3_SOURCE, "deeplab_v3_resnet50", CROPPED, PYRAMID_FIT, pretrained=True, images_due=TRAIN_AUG
    ),
    "deeplab-v3-resnet50-voc-os8": Preset(
        DEEPLAB_V3_SOURCE + " Then, its batch norms frozen, as long at output stride 8 and rate 1e-3.",
        "deeplab_v3_resnet50",
        CROPPED,
        replace(PYRAMID_FIT, lr=1e-3),
        {"output_stride": 8},
        pretrained=True,
        stage_from="deeplab-v3-resnet50-voc",
        frozen_norm=True,
        images_due=TRAIN_AUG,
    ),
    "pspnet-resnet50-voc": Preset(
        PSPNET_SOURCE,
        "pspnet_resnet50",
        replace(CROPPED, crop=(473, 473), blur=0.5, rotation=10.0),
        replace(PYRAMID_FIT, lr=1e-2),
        {"auxiliary": True},
        pretrained=True,
        auxiliary_weight=0.4,
        images_due=TRAIN_AUG,
    ),
    "segnet-camvid": Preset(
        SEGNET_SOURCE,
        "segnet",
        DataSpec("camvid"),
        FitConfig(epochs=300, batch_size=12, lr=1e-3, schedule="constant", validate_every=10, num_workers=4),
        pretrained=True,
        balance=1.0,
    ),
    "drn-c-26-cityscapes": Preset(DRN_SOURCE, "drn_c_26", replace(WHOLE_CITYSCAPES, scale=None, crop=(896, 896)), DRN),
    "drn-d-22-cityscapes": Preset(DRN_SOURCE, "drn_d_22", replace(WHOLE_CITYSCAPES, scale=None, crop=(896, 896)), DRN),
    "pspnet-resnet50-cityscapes": Preset(
        CITYSCAPES_SOURCE,
        "pspnet_resnet50",
        replace(WHOLE_CITYSCAPES, crop=(713, 713), blur=0.5, rotation=10.0),
        replace(PYRAMID_FIT, epochs=484, lr=1e-2, validate_every=44),
        {"auxiliary": True},
        pretrained=True,
        auxiliary_weight=0.4,
    ),
    "pspnet-resnet50-ade20k": Preset(
        ADE20K_SOURCE,
        "pspnet_resnet50",
        ADE20K,
        replace(PYRAMID_FIT, epochs=119, lr=1e-2, validate_every=17),
        {"auxiliary": True},
        pretrained=True,
        auxiliary_weight=0.4,
    ),
}
