"""PASCAL VOC 2012 segmentation, and with it the extra annotations of SBD, both in their published layouts.

Everingham et al., "The PASCAL Visual Object Classes Challenge" (2015); Hariharan et al., "Semantic contours from
inverse detectors" (2011), whose training images make up the usual 10,582.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from edu_seg.datasets.files import StrPath, check_values, data_folder, read_labels, read_lines, require_files
from edu_seg.datasets.pairs import PairedFiles, Transform

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted plant",
    "sheep",
    "sofa",
    "train",
    "tv monitor",
)
VOC_SOURCE = "The published set is VOC2012 of the PASCAL VOC challenge (VOCtrainval): the folder that holds JPEGImages."
SBD_SOURCE = "The published set is SBD, the Semantic Boundaries Dataset (benchmark_RELEASE): the folder dataset, or the one that holds it."


def voc_palette(num_colours: int = 256) -> UInt8[ndarray, "num_colours 3"]:
    """VOC's colours: the bits of an index, dealt in turn to red, green and blue, the lowest bits to the highest."""
    index = np.arange(num_colours)
    palette = np.zeros((num_colours, 3), np.uint8)
    for bit in range(8):
        palette[:, bit % 3] |= ((index >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    return palette


class VOCSegmentation(PairedFiles):
    """The images of a VOC list; item i is (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void).

    root: the folder that holds JPEGImages, SegmentationClass and ImageSets/Segmentation; None: VOCdevkit/VOC2012 in
        the folder that the environment variable EDU_SEG_DATA names.
    split: a list's name ("train", "val", "trainval"), or "train_aug": VOC's training images and all of SBD that are
        not in VOC's validation list. Images in both take VOC's annotation.
    sbd_root: SBD's folder (img/*.jpg, cls/*.mat, train.txt, val.txt), for "train_aug" only.
    transform: (image, labels) -> (image, labels), applied last.
    classes: the names of the classes, for other sets in the same layout; the first is usually the background.
    cache: as of `CamVid`; a pair takes 0.7 MB or so.

    Building it checks that every listed file is there; a file is decoded, and its values checked, on access. Raises
    FileNotFoundError, OSError or ValueError naming the file and what to do.
    """

    def __init__(
        self,
        root: StrPath | None = None,
        split: str = "train",
        sbd_root: StrPath | None = None,
        transform: Transform | None = None,
        *,
        classes: Sequence[str] = VOC_CLASSES,
        cache: bool = False,
    ) -> None:
        if (split == "train_aug") != (sbd_root is not None):
            raise ValueError(
                f"split = {split!r}, sbd_root = {sbd_root}: the split 'train_aug' and sbd_root are given together or not at all"
            )
        self.root, self.split = data_folder(root, "VOCdevkit/VOC2012", VOC_SOURCE), split
        self.classes, self.num_classes = tuple(classes), len(classes)
        self.palette = voc_palette(self.num_classes)
        pairs = self._voc_pairs("train" if sbd_root is not None else split)
        if sbd_root is not None:
            pairs += self._sbd_pairs(data_folder(sbd_root, "benchmark_RELEASE", SBD_SOURCE))
        super().__init__(pairs, partial(read_voc_labels, num_classes=self.num_classes), transform=transform, cache=cache)

    def _list(self, split: str) -> Path:
        return self.root / "ImageSets" / "Segmentation" / f"{split}.txt"

    def _voc_pairs(self, split: str) -> list[tuple[Path, Path]]:
        names = read_lines(self._list(split))
        return _paired(names, self.root / "JPEGImages", self.root / "SegmentationClass", ".png", self._list(split))

    def _sbd_pairs(self, folder: Path) -> list[tuple[Path, Path]]:
        """SBD's images that are in neither VOC's training nor its validation list."""
        folder = folder / "dataset" if (folder / "dataset").is_dir() else folder
        taken = {*read_lines(self._list("train")), *read_lines(self._list("val"))}
        pairs = []
        for list_path in (folder / "train.txt", folder / "val.txt"):
            names = [name for name in read_lines(list_path) if name not in taken]
            pairs += _paired(names, folder / "img", folder / "cls", ".mat", list_path)
        return pairs


def _paired(names: list[str], images: Path, annotations: Path, suffix: str, list_path: Path) -> list[tuple[Path, Path]]:
    for number, name in enumerate(names, 1):
        if len(name.split()) != 1:
            raise ValueError(f"{list_path}: entry {number}, {name!r}, is not one image name; correct the list")
    pairs = [(images / f"{name}.jpg", annotations / f"{name}{suffix}") for name in names]
    require_files([path for pair in pairs for path in pair], list_path)
    return pairs


def read_voc_labels(path: Path, num_classes: int = len(VOC_CLASSES)) -> UInt8[ndarray, "H W"]:
    """The labels of an annotation of VOC (PNG) or SBD (.mat), checked. Raises OSError or ValueError naming the file."""
    labels = read_sbd_labels(path) if path.suffix == ".mat" else read_labels(path)
    check_values(labels, num_classes, path)
    return labels


def read_sbd_labels(path: StrPath) -> UInt8[ndarray, "H W"]:
    """The class map of an SBD annotation: GTcls.Segmentation of a .mat file.

    Raises OSError for a broken file and ValueError for one without that entry.
    """
    from scipy.io import loadmat  # a slow import that only SBD needs

    try:
        content = loadmat(path)
    except Exception as error:  # a truncated file raises anything from TypeError to zlib.error
        raise OSError(f"{path}: truncated or not a MATLAB file ({error}); copy the file again from the published set") from error
    try:
        return np.ascontiguousarray(content["GTcls"]["Segmentation"][0, 0], dtype=np.uint8)
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"{path}: no GTcls.Segmentation in it; give SBD's folder cls, not inst") from error
