"""The papers' own settings on VOC 2012: what each says, by section, and where only the released files say it. Others: `presets.scenes`."""

from dataclasses import replace
from typing import Any

from edu_seg.presets.specs import PROPOSALS_AN_EPOCH, DataSpec, Preset
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
    "pixels. 100,000 iterations are about 9 epochs of 10,582 images. Ours: these, none of them in VOC's validation list; the authors take "
    "SBD's own list of 8,498 and score on the images of VOC 2011 that are not in it."
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
PSPNET = replace(PYRAMID_FIT, lr=1e-2, head=("pyramid", "classifier", "aux_classifier"))
PSPNET_SOURCE = (
    "Zhao et al. 2017, section 5.1: poly with power 0.9, rate 1e-2, momentum 0.9, decay 1e-4, 16 crops, 30,000 iterations on VOC; mirror, "
    "scale 0.5 to 2, rotation by 10 degrees to either side, blur. Section 4: auxiliary loss of weight 0.4. Crop of 473, and ten "
    "times the rate for all that is new: the released code."
)
LARGEFOV_SOURCE = (
    "Chen et al. 2015 (DeepLab v1), section 4.1: 20 images, rate 1e-3 and ten times that for the new layer, a tenth after every 2,000 "
    "iterations, momentum 0.9, weight decay 5e-4; released solver: biases at twice the rate, 6,000 iterations (11 epochs of 10,582)."
)
DEEPLAB_V2_SOURCE = (
    "Chen et al. 2018 (DeepLab v2), section 4.1: poly with power 0.9, ten times the rate for the new layers, 10 images, 20,000 iterations "
    "(19 epochs of 10,582), scale 0.5 to 1.5, mirror. "
)
DEEPLAB_V2 = FitConfig(epochs=19, batch_size=10, lr=2.5e-4, head=("branches",), num_workers=4)
FC8 = tuple(f"branches.{number}.fc8" for number in range(4))
V2_CROPS = replace(CROPPED, scale=(0.5, 1.5), crop=(321, 321))
DECONVNET = FitConfig(
    epochs=6,
    batch_size=64,
    accumulation=16,
    lr=1e-2,
    momentum=0.9,
    weight_decay=5e-4,
    schedule="step",
    sync_batch_norm=True,
    validate_every=6,
    num_workers=4,
)
DECONVNET_SOURCE = (
    "Noh et al. 2015, sections 4.2 and 6.1: crops of 250 pixels cut to 224 and mirrored, 64 of them a step, rate 1e-2 falling by tenths, "
    "momentum 0.9, weight decay 5e-4. Ours: batch norm over four crops a process, since a batch is computed in 16 pieces. "
)


def _pspnet_voc(model: str) -> Preset:
    data = replace(CROPPED, crop=(473, 473), blur=0.5, rotation=10.0)
    auxiliary: dict[str, Any] = {"auxiliary": True}
    return Preset(PSPNET_SOURCE, model, data, PSPNET, auxiliary, pretrained=True, auxiliary_weight=0.4, images_due=TRAIN_AUG)


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
    "fcn8s-at-once-voc-heavy": Preset(
        HEAVY_SOURCE + " At once: 300,000 iterations.",
        "fcn8s_at_once",
        VOC,
        replace(HEAVY, epochs=28, validate_every=7),
        pretrained=True,
        images_due=TRAIN_AUG,
    ),
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
        DECONVNET_SOURCE + "Stage 2: proposals that overlap an object by half; 40,000 steps of 2.7 million crops, 100,000 an epoch.",
        "deconvnet",
        DataSpec("voc", objects="proposals", crop=(224, 224), flip=0.5),
        replace(DECONVNET, epochs=26, validate_every=13),
        stage_from="deconvnet-voc-centred",
        images_due=PROPOSALS_AN_EPOCH,
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
        DEEPLAB_V2_SOURCE
        + "Section 4.1.2: three scales, their maximum, and a loss on each of the four. Released nets: rate 2.5e-4, crops of "
        "321 pixels, batch norm held.",
        "deeplab_v2_resnet101",
        V2_CROPS,
        replace(DEEPLAB_V2, head=("model.branches",)),
        {"scales": [0.5, 0.75, 1.0]},
        pretrained=True,
        auxiliary_weight=1.0,
        frozen_norm=True,
        images_due=TRAIN_AUG,
    ),
    "deeplab-v2-vgg16-voc": Preset(
        DEEPLAB_V2_SOURCE + "VGG-16: rate 1e-3, and of each branch fc8 alone is new.",
        "deeplab_v2_vgg16",
        V2_CROPS,
        replace(DEEPLAB_V2, lr=1e-3, head=FC8),
        pretrained=True,
        images_due=TRAIN_AUG,
    ),
    "deeplab-v3-resnet101-voc": Preset(
        DEEPLAB_V3_SOURCE, "deeplab_v3_resnet101", CROPPED, PYRAMID_FIT, pretrained=True, images_due=TRAIN_AUG
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
    "pspnet-resnet50-voc": _pspnet_voc("pspnet_resnet50"),
    "pspnet-resnet101-voc": _pspnet_voc("pspnet_resnet101"),
    "crf-rnn-voc": Preset(
        "Zheng et al. 2015, section 6: a trained FCN-8s first, then both together at a rate of 1e-13, with 5 iterations of the CRF (10 in "
        "use). Released definition: 10,000 times the rate for the CRF's weights (1,000 for its compatibility, which takes 10,000 here). "
        "One image, momentum, weight decay and summed loss as for the FCN-8s; the number of epochs is ours.",
        "crf_rnn",
        VOC,
        replace(HEAVY, epochs=3, lr=1e-13, head=("crf",), head_lr=1e4, validate_every=1),
        stage_from="fcn8s-voc-heavy",
    ),
}
