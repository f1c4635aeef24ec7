"""What a preset is made of, and how its data, its model and its loss are built."""

import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset
from tqdm import tqdm

from edu_seg import models
from edu_seg.backbones.dilated import TORCHVISION
from edu_seg.border_weights import BorderCrossEntropy
from edu_seg.datasets import ADE20K, CamVid, Cityscapes, MaskFolder, Shapes, VOCSegmentation
from edu_seg.datasets.transforms import Seeded, evaluation_transform, training_transform
from edu_seg.layers import freeze_batch_norm
from edu_seg.losses import AuxiliaryLoss, CrossEntropy, Loss, class_weights
from edu_seg.object_crops import Crops, balanced, centred_examples, proposal_examples
from edu_seg.objects import Boxes
from edu_seg.proposals import region_boxes
from edu_seg.training import FitConfig
from edu_seg.training.optimisation import decisive

PROPOSALS_AN_EPOCH = 100_000
"""Of the millions that a set's images have."""

LOSS_SETTINGS = ("balance", "restore_prior", "auxiliary_weight", "border")
"""Fields of `Preset` that decide the loss."""

LabelledSet = Shapes | CamVid | VOCSegmentation | Cityscapes | ADE20K | MaskFolder


@dataclass(frozen=True)
class DataSpec:
    """Which images, and what is done to them.

    kind: shapes, camvid, voc, cityscapes, ade20k or folder (one's own images and masks). size: (height, width) that images are resized
    to (voc: never), or None (Shapes: the scenes' size). counts: how many scenes of Shapes are for training and validation. crop, scale,
    flip, jitter, hue, blur, rotation: as in `training_transform`. objects: train on crops around objects, "centred" or "proposals"
    (`object_crops`), resized to `object_size` pixels before anything else.
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
    objects: str | None = None
    object_size: int = 250

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "DataSpec":
        """The specification that a run stored: JSON has lists for tuples."""
        fixed: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return cls(**fixed)


@dataclass(frozen=True)
class Preset:
    """A model, data and settings. `stage_from` names the preset whose trained net this one starts from.

    auxiliary_weight: of the loss on the model's second head (build it with the option `auxiliary`) or on each scale (`scales`); 0: none.
    frozen_norm: batch norm keeps the statistics, scale and shift that it starts with (`layers.FrozenBatchNorm2d`). images_due: the
    training images that `fit.epochs` is counted for, where a paper counts steps; None: epochs are epochs. border: U-Net's loss
    (`BorderCrossEntropy`).
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
    images_due: int | None = None
    border: bool = False

    def build(self, num_classes: int) -> nn.Module:
        """The model, with new or ImageNet weights."""
        model = models.build(self.model, num_classes, pretrained=self.pretrained, **self.options)
        return freeze_batch_norm(model) if self.frozen_norm else model

    def without_weights(self) -> "Preset":
        """The same net without ImageNet weights, for a state dict to be put into: `pretrained` also decides the form of a ResNet."""
        return replace(self, pretrained=False, options=models.options_without_weights(self.model, self.pretrained, self.options))

    def to_text(self, name: str) -> str:
        """What it is, where its numbers come from, and the command, as lines of a hundred letters."""
        unused = {"head_lr"} if not self.fit.head else set()
        unused |= {"power"} if self.fit.schedule != "poly" else set()
        unused |= {"milestones", "gamma"} if self.fit.schedule != "step" else set()
        unused |= {"momentum"} if self.fit.optimiser != "sgd" else set()
        fit = {key: value for key, value in decisive(asdict(self.fit)).items() if key not in unused}
        data = {key: value for key, value in asdict(self.data).items() if key != "object_size" or self.data.objects}
        weights = f"of a trained {self.stage_from}" if self.stage_from else "ImageNet's" if self.pretrained else "random"
        parts = {
            "source": self.source.strip(),
            "model": f"{self.model} {_given(self.options | {'frozen_norm': self.frozen_norm})}",
            "weights": weights,
            "data": _given(data),
            "training": _given(fit) + (f"; epochs are of {self.images_due:,} images" if self.images_due else ""),
            "loss": f"cross-entropy; {_given(self._loss_settings())}".strip("; "),
            "command": f"python -m edu_seg train --preset {name}" + (" --stage-from RUN" if self.stage_from else ""),
        }
        filled = [textwrap.fill(f"{key:<9} {text.strip()}", 100, subsequent_indent=" " * 10) for key, text in parts.items()]
        return "\n".join([name, *filled])

    def check_form(self, stage_options: Mapping[str, Any]) -> None:
        """Raises ValueError where the net to start from was built in another form of ResNet: its weights fit, but belong to other rates."""
        own = self.without_weights().options
        differing = [name for name in TORCHVISION if own.get(name) != stage_options.get(name)]
        if differing:
            raise ValueError(
                f"the net to start from has another {differing[0]} than this one: of the two, one has ImageNet's weights and one has not. "
                "Give --random-weights to both or to neither."
            )

    def fit_for(self, num_images: int) -> FitConfig:
        """`fit`, but as many epochs of `num_images` as show the net as many images as the paper's; validated as often."""
        if self.images_due is None or num_images < 1:
            return self.fit
        factor = self.images_due / num_images
        epochs, every = (max(1, round(count * factor)) for count in (self.fit.epochs, self.fit.validate_every))
        return replace(self.fit, epochs=epochs, validate_every=every)

    def description(self, name: str, base: LabelledSet) -> dict[str, Any]:
        """What a run stores, so that its model can be built, its data found and its classes named without this table."""
        model = {"name": self.model, "num_classes": base.num_classes, "options": self.without_weights().options}
        classes = {"classes": list(base.classes), "palette": base.palette.tolist()}
        return {"preset": name, "model": model, "data": asdict(self.data), **self._loss_settings(), **classes}

    def _loss_settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in LOSS_SETTINGS}


def _given(settings: Mapping[str, Any]) -> str:
    """Those that say something, in words."""
    return ", ".join(f"{key} {value}" for key, value in settings.items() if value not in (None, False, 0, (), [], (0, 0)))


@runtime_checkable
class TakesStage(Protocol):
    """A model that knows what to take from a coarser one."""

    def stage_from(self, coarser: Any, /) -> nn.Module: ...


def start_from(model: nn.Module, trained: nn.Module) -> None:
    """Puts the weights of a stage's net into the next stage's: as the model itself says (`stage_from`), or all of them.

    All: strides, frozen norms and other crops hold no weights. Raises RuntimeError, naming layers, where the nets differ.
    """
    if isinstance(model, TakesStage):
        model.stage_from(trained)
    else:
        model.load_state_dict(trained.state_dict())


def labelled_set(spec: DataSpec, root: str | None, split: str, sbd_root: str | None = None, *, cache: bool | None = None) -> LabelledSet:
    """The set without transforms. `split`: train or val, or another list's name of a set on disk. `cache`: decode all images now and keep
    them in memory; None: CamVid's, and one's own where they are resized.

    Raises FileNotFoundError where the data are not there; ValueError for an unknown kind or split, or scenes that are to be cached.
    """
    if spec.kind == "shapes":
        if split not in ("train", "val"):
            raise ValueError(f"split = {split!r}: Shapes has train and val.")
        if cache:
            raise ValueError("cache: the scenes of Shapes are drawn, not decoded; leave it out.")
        part = ("train", "val").index(split)
        return Shapes(spec.counts[part], size=spec.size or 96, seed=part)
    keep = cache if cache is not None else spec.kind == "camvid" or (spec.kind == "folder" and spec.size is not None)
    if spec.kind == "camvid":
        return CamVid(root, split, spec.size, cache=keep)
    if spec.kind == "voc":
        with_sbd = sbd_root if split == "train" else None
        return VOCSegmentation(root, "train_aug" if with_sbd else split, with_sbd, cache=keep)
    if spec.kind in ("cityscapes", "ade20k", "folder"):
        return {"cityscapes": Cityscapes, "ade20k": ADE20K, "folder": MaskFolder}[spec.kind](root, split, size=spec.size, cache=keep)
    raise ValueError(f"data kind {spec.kind!r}: there are shapes, camvid and voc, and also cityscapes, ade20k and folder.")


class Parts(Dataset[tuple[Tensor, Tensor]]):
    """`dataset`, of which each epoch shows the next `size` items, in an order drawn once from the seed; after the last the first again.

    So an epoch, after which a run is stored, stays short where there are millions of items.
    """

    def __init__(self, dataset: Seeded, size: int, seed: int) -> None:
        self.dataset, self.size = dataset, min(size, len(dataset))
        self.order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(seed))

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """From now on the part of `epoch` (1, 2, ...). Call it before the loader is iterated, not during."""
        self.dataset.set_epoch(epoch)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        place = self.dataset.epoch * self.size + range(self.size)[index]
        return self.dataset[int(self.order[place % len(self.order)])]


def training_set(spec: DataSpec, base: LabelledSet, seed: int, limit: int | None = None, *, progress: bool = False) -> Seeded | Parts:
    """`base`, or its first `limit` images, with the augmentation, whose chance depends on (seed, epoch, index).

    Where proposals are trained on, in parts of `PROPOSALS_AN_EPOCH`. progress: a bar on stderr while they are looked for.
    """
    chances = {"flip": spec.flip, "jitter": spec.jitter, "hue": spec.hue, "blur": spec.blur, "rotation": spec.rotation}
    transform = training_transform(spec.crop, scale=spec.scale, **chances)
    images = _first(base, limit)
    data = Seeded(images if spec.objects is None else _object_crops(spec, images, progress), transform, seed)
    return Parts(data, PROPOSALS_AN_EPOCH, seed) if spec.objects == "proposals" else data


def _object_crops(spec: DataSpec, images: Dataset[tuple[Tensor, Tensor]], progress: bool) -> Crops:
    """Crops around objects, as many of each class. Every image is read once for it."""
    if spec.objects == "centred":
        examples = centred_examples(images)
    elif spec.objects == "proposals":
        with tqdm(total=len(images), desc="proposals", disable=not progress) as bar:  # pyright: ignore[reportArgumentType]

            def propose(image: Tensor) -> Boxes:
                bar.update()
                return region_boxes(image)

            examples = proposal_examples(images, propose)
    else:
        raise ValueError(f"objects = {spec.objects!r}: there are centred and proposals.")
    if not examples:
        raise ValueError(f"objects = {spec.objects!r}: none of the {len(images)} images holds an object.")  # pyright: ignore[reportArgumentType]
    return Crops(images, balanced(examples), spec.object_size)


def evaluation_set(base: LabelledSet, limit: int | None = None) -> Seeded:
    """`base`, or its first `limit` images, as the model expects its input, with no augmentation."""
    return Seeded(_first(base, limit), evaluation_transform())


def _first(base: LabelledSet, limit: int | None) -> Dataset[tuple[Tensor, Tensor]]:
    return base if limit is None else Subset(base, range(min(limit, len(base))))


def make_loss(preset: Preset, base: LabelledSet, limit: int | None = None) -> Loss:
    """Cross-entropy over the pixels that are not void; with class or border weights and a second head where the preset asks for them."""
    weight = None
    if preset.balance is not None:
        count = len(base) if limit is None else min(limit, len(base))
        weight = class_weights((base[i][1] for i in range(count)), base.num_classes, power=preset.balance)
    loss = BorderCrossEntropy(weight) if preset.border else CrossEntropy(weight, restore_prior=preset.restore_prior)
    return AuxiliaryLoss(loss, preset.auxiliary_weight) if preset.auxiliary_weight else loss
