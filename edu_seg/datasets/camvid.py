"""CamVid in the layout of the SegNet tutorial: road scenes of 360 × 480 pixels, 11 classes and void.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video" (2009); the split and the 11 classes are SegNet's.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from edu_seg.datasets.files import IGNORE_INDEX, StrPath, check_values, data_folder, read_labels, read_lines, require_files
from edu_seg.datasets.pairs import PairedFiles, Transform

PREFIX = "/SegNet/CamVid/"
UNLABELLED = 11
SOURCE = "The published set is the CamVid folder of the SegNet tutorial (train.txt, val.txt, test.txt beside the image folders)."


class CamVid(PairedFiles):
    """The pairs of `root`/`split`.txt; item i is (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void).

    root: the CamVid folder; None: the folder CamVid in the one that the environment variable EDU_SEG_DATA names.
    split: "train", "val" or "test": the name of a list.
    size: (height, width) to resize to on loading: images by antialiased bilinear, labels by the nearest pixel.
    cache: decode all of them now, once for all epochs and workers, and keep them as 8-bit arrays: 0.7 MB a pair at full size.
    transform: (image, labels) -> (image, labels), applied last.

    The set marks void by 11, here 255. Building it checks that every listed file is there; a file is decoded, and its
    values checked, on access (with a cache: now). Raises FileNotFoundError, OSError or ValueError naming the file and what to do.
    """

    classes: tuple[str, ...] = (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign symbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    )
    palette: UInt8[ndarray, "K 3"] = np.array(
        [
            (128, 128, 128),
            (128, 0, 0),
            (192, 192, 128),
            (128, 64, 128),
            (60, 40, 222),
            (128, 128, 0),
            (192, 128, 128),
            (64, 64, 128),
            (64, 0, 128),
            (64, 64, 0),
            (0, 128, 192),
        ],
        np.uint8,
    )
    num_classes: int = 11

    def __init__(
        self,
        root: StrPath | None = None,
        split: str = "train",
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        *,
        cache: bool = False,
    ) -> None:
        self.root, self.split = data_folder(root, "CamVid", SOURCE), split
        list_path = self.root / f"{split}.txt"
        pairs = [_pair(line, number, list_path) for number, line in enumerate(read_lines(list_path), 1)]
        require_files([path for pair in pairs for path in pair], list_path)
        super().__init__(pairs, read_marked_labels, size, transform, cache=cache)


def read_marked_labels(path: Path) -> UInt8[ndarray, "H W"]:
    """The labels of an annotation, void 11 -> 255. Raises ValueError for another value."""
    labels = read_labels(path)
    check_values(labels, CamVid.num_classes, path, extra=(UNLABELLED,))
    return np.where(labels == UNLABELLED, np.uint8(IGNORE_INDEX), labels)


def _pair(line: str, number: int, list_path: Path) -> tuple[Path, Path]:
    """The two paths of a line, below the list's folder; the prefix of the authors' machine is stripped."""
    names = line.split()
    if len(names) != 2:
        raise ValueError(f"{list_path}, line {number}: {line!r} is not 'image annotation'; add the missing entry or remove the line")
    image, labels = (list_path.parent / name.removeprefix(PREFIX).lstrip("/") for name in names)
    return image, labels
