"""What `python -m edu_seg train` and the notebooks train: each preset a row that says where its numbers come from."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from edu_seg import models
from edu_seg.datasets import CamVid, Shapes, VOCSegmentation
from edu_seg.datasets.transforms import Seeded, evaluation_transform, training_transform
from edu_seg.layers import freeze_batch_norm
from edu_seg.losses import AuxiliaryLoss, CrossEntropy, Loss, class_weights
from edu_seg.training import FitConfig

LabelledSet = Shapes | CamVid | VOCSegmentation


@dataclass(frozen=True)
class DataSpec:
    """Which images, and what is done to them.

    kind: shapes, camvid or voc. size: (height, width) that images are resized to, or None (Shapes: the scenes' size). counts: how
    many scenes of Shapes are for training and validation. crop, scale, flip, jitter, hue, blur, rotation: as in `training_transform`.
    """

    kind: str
    size: tuple[int, int] | None = None
    counts: tuple[int, int] = (0, 0)
    crop: tuple[int, int] | None = None
    scale: tuple[float, float] | None = None
    flip: float = 0.0
    jitter: float = 0.0
    hue: float | None = None
    blur: float = 0.0
    rotation: float = 0.0

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "DataSpec":
        """The specification that a run stored: JSON has lists for tuples."""
        fixed: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return cls(**fixed)


@dataclass(frozen=True)
class Preset:
    """A model, data and settings. `stage_from` names the preset whose trained net this one starts from.

    auxiliary_weight: of the loss on the model's second head (build it with the option `auxiliary`); 0: none. frozen_norm: batch norm
    keeps the statistics, scale and shift that it starts with (`layers.FrozenBatchNorm2d`).
    """

    source: str
    model: str
    data: DataSpec
    fit: FitConfig
    options: dict[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    stage_from: str | None = None
    balance: float | None = None  # power of the median-frequency class weights; None: no weights
    restore_prior: float = 0.0  # as in `losses.CrossEntropy`
    auxiliary_weight: float = 0.0
    frozen_norm: bool = False

    def build(self, num_classes: int) -> nn.Module:
        """The model, with new or ImageNet weights."""
        model = models.build(self.model, num_classes, pretrained=self.pretrained, **self.options)
        return freeze_batch_norm(model) if self.frozen_norm else model

    def description(self, name: str, base: LabelledSet) -> dict[str, Any]:
        """What a run stores, so that its model can be built, its data found and its classes named without this table."""
        model = {"name": self.model, "num_classes": base.num_classes, "options": self.options}
        classes = {"classes": list(base.classes), "palette": base.palette.tolist()}
        return {"preset": name, "model": model, "data": asdict(self.data), "balance": self.balance, **classes}


def labelled_set(spec: DataSpec, root: str | None, split: str, sbd_root: str | None = None) -> LabelledSet:
    """The set without transforms. `split`: train or val, or another list's name of a set on disk.

    Raises FileNotFoundError where the data are not there; ValueError for an unknown kind or split.
    """
    if spec.kind == "shapes":
        if split not in ("train", "val"):
            raise ValueError(f"split = {split!r}: Shapes has train and val.")
        part = ("train", "val").index(split)
        return Shapes(spec.counts[part], size=spec.size or 96, seed=part)
    if spec.kind == "camvid":
        return CamVid(root, split, spec.size, cache=spec.size is not None)
    if spec.kind == "voc":
        return VOCSegmentation(root, "train_aug" if sbd_root and split == "train" else split, sbd_root if split == "train" else None)
    raise ValueError(f"data kind {spec.kind!r}: there are shapes, camvid and voc.")


def training_set(spec: DataSpec, base: LabelledSet, seed: int, limit: int | None = None) -> Seeded:
    """`base`, or its first `limit` images, with the augmentation, whose chance depends on (seed, epoch, index)."""
    chances = {"flip": spec.flip, "jitter": spec.jitter, "hue": spec.hue, "blur": spec.blur, "rotation": spec.rotation}
    transform = training_transform(spec.crop, scale=spec.scale, **chances)
    return Seeded(_first(base, limit), transform, seed)


def evaluation_set(base: LabelledSet, limit: int | None = None) -> Seeded:
    """`base`, or its first `limit` images, as the model expects its input, with no augmentation."""
    return Seeded(_first(base, limit), evaluation_transform())


def _first(base: LabelledSet, limit: int | None) -> Dataset[tuple[Tensor, Tensor]]:
    return base if limit is None else Subset(base, range(min(limit, len(base))))


def make_loss(preset: Preset, base: LabelledSet, limit: int | None = None) -> Loss:
    """Cross-entropy over the pixels that are not void, with class weights and on the second head where the preset asks for them."""
    loss = CrossEntropy()
    if preset.balance is not None:
        count = len(base) if limit is None else min(limit, len(base))
        weight = class_weights((base[i][1] for i in range(count)), base.num_classes, power=preset.balance)
        loss = CrossEntropy(weight, restore_prior=preset.restore_prior)
    return AuxiliaryLoss(loss, preset.auxiliary_weight) if preset.auxiliary_weight else loss


def get(name: str) -> Preset:
    """The preset called `name`. Raises ValueError listing the names for an unknown one."""
    if name not in PRESETS:
        raise ValueError(f"no preset is called {name!r}: there are {', '.join(PRESETS)}.")
    return PRESETS[name]


VOC = DataSpec("voc")
"""Whole images, each of its own size, as the paper has them; so a batch is computed one image at a time. No augmentation: mirroring and
jittering brought the authors no noticeable improvement (section 4.3)."""

PAPER = FitConfig(epochs=175, batch_size=20, accumulation=20, lr=1e-4, momentum=0.9, weight_decay=5e-4, schedule="constant")
PAPER_SOURCE = (
    "Long, Shelhamer and Darrell 2015, section 4.3: SGD with momentum 0.9, batches of 20 images, fixed rates of 1e-3, 1e-4 and 5e-5 "
    "for AlexNet, VGG-16 and GoogLeNet, weight decay 5e-4, doubled rate for biases; section 4.1: at least 175 epochs."
)
STAGED_SOURCE = PAPER_SOURCE + " Section 4.2: started from the coarser net, at a rate 100 times smaller."
HEAVY = FitConfig(
    epochs=12, batch_size=1, lr=1e-10, momentum=0.99, weight_decay=5e-4, schedule="constant", normalise_loss=False, validate_every=4
)
HEAVY_SOURCE = (
    "Released solver.prototxt of the voc-fcn nets and PAMI 2017, section 4.3 (heavy learning): one image, momentum 0.99, loss summed over "
    "pixels. 100,000 iterations are about 12 epochs of the 8,498 SBD images."
)

CAMVID_SMALL = DataSpec("camvid", size=(240, 320), scale=(0.75, 1.5), crop=(180, 240), flip=0.5, jitter=0.3, hue=0.0)
"""An image a quarter of the published size: what two cores can train on in a quarter of an hour."""
CAMVID_FIT = FitConfig(
    epochs=38,
    batch_size=8,
    optimiser="adamw",
    lr=4e-3,
    bias_lr=1.0,
    weight_decay=1e-2,
    norm_decay=False,
    warmup=50,
    validate_every=38,
    val_batch_size=4,
    num_workers=1,
)
CAMVID_HEAD_FIT = replace(CAMVID_FIT, epochs=20, validate_every=20)
CAMVID_STAGE_FIT = replace(CAMVID_FIT, epochs=8, validate_every=8, lr=1e-3)
CAMVID_CONTEXT = (
    "Ours, to compare at one budget (Yu and Koltun 2016, sections 3 and 5): a front-end; then, both from there and for as long, the "
    "front-end alone and with the basic context module. Rate 1e-3 as in the released documents: a stack without normalisation dies at more."
)
CAMVID_SMALL_TRUNK = {"backbone": "vgg_strided", "dropout": 0.1}
CAMVID_DECODERS = (
    "Ours: the time, images and loss of camvid-cpu. Widths: what two cores can train in it. Rate: U-Net has no normalisation and takes "
    "half of the others'. SegNet-Basic: section 3.1 of its paper; U-Net: section 2 of its."
)
CAMVID_PYRAMIDS = (
    "Ours: one backbone of stride 8 and one budget under four heads. Rates and bins for its map of 30 x 40 units; auxiliary weight: "
    "PSPNet, section 4."
)
CAMVID_PYRAMID_FIT = replace(CAMVID_FIT, epochs=12, validate_every=12)
CAMVID_HEAD = CAMVID_SMALL_TRUNK | {"output_stride": 8, "head_width": 64}


def _camvid_head(model: str, auxiliary_weight: float = 0.0, **options: Any) -> Preset:
    return Preset(
        CAMVID_PYRAMIDS,
        model,
        CAMVID_SMALL,
        CAMVID_PYRAMID_FIT,
        CAMVID_HEAD | options,
        balance=0.5,
        restore_prior=0.75,
        auxiliary_weight=auxiliary_weight,
    )


def _camvid_decoder(model: str, epochs: int, lr: float, **options: Any) -> Preset:
    """As many epochs as fit into the time of `camvid-cpu`."""
    fit = replace(CAMVID_FIT, epochs=epochs, validate_every=epochs, lr=lr)
    return Preset(CAMVID_DECODERS, model, CAMVID_SMALL, fit, options, balance=0.5, restore_prior=0.75)


DILATED = FitConfig(
    epochs=99, batch_size=14, accumulation=14, lr=1e-3, momentum=0.9, weight_decay=5e-4, schedule="constant", validate_every=11
)
DILATED_SOURCE = (
    "Yu and Koltun 2016, section 4: SGD, 14 images, rate 1e-3, momentum 0.9, 60,000 iterations (99 epochs of 8,498 images); weight decay "
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

PRESETS: dict[str, Preset] = {
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
    "fcn32s-voc-heavy": Preset(HEAVY_SOURCE, "fcn32s", VOC, HEAVY, pretrained=True),
    "fcn16s-voc-heavy": Preset(HEAVY_SOURCE, "fcn16s", VOC, replace(HEAVY, lr=1e-12), stage_from="fcn32s-voc-heavy"),
    "fcn8s-voc-heavy": Preset(HEAVY_SOURCE, "fcn8s", VOC, replace(HEAVY, lr=1e-14), stage_from="fcn16s-voc-heavy"),
    "dilation-frontend-voc": Preset(DILATED_SOURCE, "dilation_frontend", VOC, DILATED, pretrained=True),
    "dilation-context-voc": Preset(
        DILATED_SOURCE + " The context module alone, on the scores of a front-end that is held.",
        "dilation8",
        VOC,
        replace(DILATED, frozen=("frontend",)),
        stage_from="dilation-frontend-voc",
    ),
    "dilation-joint-voc": Preset(
        DILATED_SOURCE + " Both together, from a trained front-end (and context module, where the run given has one).",
        "dilation8",
        VOC,
        replace(DILATED, lr=1e-5),
        stage_from="dilation-context-voc",
    ),
    "deeplab-v3-resnet50-voc": Preset(DEEPLAB_V3_SOURCE, "deeplab_v3_resnet50", CROPPED, PYRAMID_FIT, pretrained=True),
    "deeplab-v3-resnet50-voc-os8": Preset(
        DEEPLAB_V3_SOURCE + " Then, its batch norms frozen, as long at output stride 8 and rate 1e-3.",
        "deeplab_v3_resnet50",
        CROPPED,
        replace(PYRAMID_FIT, lr=1e-3),
        {"output_stride": 8},
        pretrained=True,
        stage_from="deeplab-v3-resnet50-voc",
        frozen_norm=True,
    ),
    "pspnet-resnet50-voc": Preset(
        PSPNET_SOURCE,
        "pspnet_resnet50",
        replace(CROPPED, crop=(473, 473), blur=0.5, rotation=10.0),
        replace(PYRAMID_FIT, lr=1e-2),
        {"auxiliary": True},
        pretrained=True,
        auxiliary_weight=0.4,
    ),
    "shapes-cpu": Preset(
        "Ours: a first try that takes seconds on a laptop and needs no data.",
        "fcn8s",
        DataSpec("shapes", size=(64, 64), counts=(256, 32), flip=0.5),
        FitConfig(epochs=8, batch_size=8, optimiser="adamw", lr=3e-3, weight_decay=1e-2, norm_decay=False, val_batch_size=16),
        {"backbone": "vgg_small", "dropout": 0.1},
        balance=0.5,
    ),
    "camvid-cpu": Preset(
        "Ours: two cores and a quarter of an hour. Poly rate: DeepLab v2, section 4.1; square root of SegNet's median-frequency weights.",
        "fcn8s",
        CAMVID_SMALL,
        CAMVID_FIT,
        {"backbone": "vgg_strided", "dropout": 0.1, "skips": ["relu5_2", "relu4_3", "relu3_3", "relu2_1"]},
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
    "camvid-cpu-segnet": _camvid_decoder("segnet_basic", 28, 4e-3, width=0.25),
    "camvid-cpu-unet": _camvid_decoder("unet", 26, 2e-3, width=0.125, padding="same"),
    "camvid-fcn8s": Preset(
        "FCN-8s at once (PAMI 2017, section 4.3) at CamVid's full size, for one GPU; optimiser and augmentation are ours.",
        "fcn8s_at_once",
        DataSpec("camvid", scale=(0.5, 2.0), crop=(360, 480), flip=0.5, jitter=0.3),
        FitConfig(
            epochs=100, batch_size=8, optimiser="adamw", lr=1e-4, weight_decay=1e-2, warmup=100, mixed_precision="bf16", num_workers=4
        ),
        pretrained=True,
        balance=0.5,
    ),
}
"""name → preset."""
