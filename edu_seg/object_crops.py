"""The crops that DeconvNet learns from, in two stages: objects in the middle of their boxes first, then whatever the proposals hold.

Source: Noh, Hong and Han, "Learning Deconvolution Network for Semantic Segmentation", ICCV 2015, sections 4.2 and 6.1. With 252
million parameters and few images the net does not learn from proposals at once. In the first stage every object stands in the middle
of its crop, at one scale, and nothing else is labelled; in the second, crops are proposals that overlap an object enough, with all
labels. An example is a row of a table (image, box, class); `Crops` cuts it out when it is asked for.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.ops import box_iou

from edu_seg.datasets.files import IGNORE_INDEX
from edu_seg.datasets.transforms import Transform, resize
from edu_seg.objects import Boxes, cropped, enlarged, instances_of, tight_boxes

Labelled = Dataset[tuple[Tensor, ...]]
"""Pairs of an image (3, H, W) and labels (H, W)."""


@dataclass(frozen=True)
class Example:
    """A crop to train on: which image, which box; the class it is there for; and, in the first stage, the one object that counts."""

    index: int
    box: tuple[int, int, int, int]
    label: int
    instance: int | None = None


def centred_examples(dataset: Labelled, *, context: float = 1.2, background: int = 0) -> list[Example]:
    """Stage 1, the easy examples: each object in the middle of its own box, enlarged by `context` (sections 4.2 and 6.1)."""
    examples = []
    for index in range(len(dataset)):  # pyright: ignore[reportArgumentType]
        _, boxes, classes = _objects(dataset[index][1], background)
        for number, (box, label) in enumerate(zip(enlarged(boxes, context), classes, strict=True), start=1):
            examples.append(Example(index, _four(box), label, number))
    return examples


def proposal_examples(
    dataset: Labelled,
    propose: Callable[[Tensor], Boxes],
    *,
    least_overlap: float = 0.5,
    context: float = 1.2,
    background: int = 0,
) -> list[Example]:
    """Stage 2, the hard ones: every proposal that overlaps an object's box enough (IoU), enlarged by `context`, with all its labels.

    propose: image (3, H, W) -> boxes; `proposals.region_boxes` wants colours in 0 … 1, so undo a normalisation first. The example's
    class is that of the object that its proposal overlaps most.
    """
    examples = []
    for index in range(len(dataset)):  # pyright: ignore[reportArgumentType]
        image, labels = dataset[index]
        _, objects, classes = _objects(labels, background)
        boxes = propose(image)
        if not len(objects) or not len(boxes):
            continue
        overlaps, nearest = box_iou(boxes.double(), objects.double()).max(1)
        for box, overlap, number in zip(enlarged(boxes, context), overlaps.tolist(), nearest.tolist(), strict=True):
            if overlap >= least_overlap:
                examples.append(Example(index, _four(box), classes[number]))
    return examples


def balanced(examples: Iterable[Example]) -> list[Example]:
    """As many examples of every class as of the most frequent: those of the others are repeated in turn (section 6.1)."""
    by_class: dict[int, list[Example]] = {}
    for example in examples:
        by_class.setdefault(example.label, []).append(example)
    most = max(map(len, by_class.values()), default=0)
    return [group[number % len(group)] for number in range(most) for group in by_class.values()]


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """The examples as pairs: image (3, S, S), labels (S, S), each box cut out and resized to `size`.

    With an instance, the object alone keeps its label, and all else is background but for void, which stays void (section 6.1).
    Outside the image the labels are void and the image is 0, the mean colour of a data set that normalises. transform: as in
    `datasets.transforms`, applied last; the paper's augmentation is size=250 with a random crop of 224 and a random flip.
    """

    def __init__(
        self, dataset: Labelled, examples: Sequence[Example], size: int, *, background: int = 0, transform: Transform | None = None
    ) -> None:
        if size < 1:
            raise ValueError(f"size is the crop's side in pixels, at least 1, got {size}")
        self.dataset, self.examples, self.size = dataset, list(examples), size
        self.background, self.transform = background, transform

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Float[Tensor, "3 S S"], Int64[Tensor, "S S"]]:
        example = self.examples[index]
        image, labels = self.dataset[example.index]
        if example.instance is not None:
            others = (_objects(labels, self.background)[0] != example.instance) & (labels != IGNORE_INDEX)
            labels = labels.masked_fill(others, self.background)
        box = torch.tensor(example.box)
        pair = resize(cropped(image, box), cropped(labels[None], box, IGNORE_INDEX)[0], (self.size, self.size))
        return self.transform(*pair) if self.transform else pair


def _objects(labels: Tensor, background: int) -> tuple[Tensor, Tensor, list[int]]:
    """The map of instances, their boxes, and the class of each."""
    instances = instances_of(labels, background, IGNORE_INDEX)
    count = int(instances.max()) if instances.numel() else 0
    classes = [int(labels[instances == number][0]) for number in range(1, count + 1)]
    return instances, tight_boxes(instances), classes


def _four(box: Tensor) -> tuple[int, int, int, int]:
    left, top, right, bottom = box.tolist()
    return left, top, right, bottom
