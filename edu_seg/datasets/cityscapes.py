"""Cityscapes in its published layout: street scenes of 50 cities, 1024 × 2048 pixels, 19 classes that count and void.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding" (2016); the ids are those of the authors' scripts.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8
from numpy import ndarray

from edu_seg.datasets.files import IGNORE_INDEX, StrPath, check_values, data_folder, read_labels
from edu_seg.datasets.pairs import PairedFiles, Pairs, Transform, matched

SOURCE = (
    "The published set is leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of www.cityscapes-dataset.com, unpacked into one folder."
)
NUM_IDS = 34
"""Ids 0..33; -1 is the licence plate, which in an 8-bit file can only be 255."""

CLASSES: tuple[tuple[int, str, tuple[int, int, int]], ...] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
"""(id in the files, name, colour) of the classes that are scored, in the order of their training ids 0..18."""

TRAIN_IDS: UInt8[ndarray, "256"] = np.full(256, IGNORE_INDEX, np.uint8)
TRAIN_IDS[[number for number, _, _ in CLASSES]] = np.arange(len(CLASSES))

SPLITS = {"fine": ("train", "val"), "coarse": ("train", "val", "train_extra")}


def to_train_ids(ids: Integer[ndarray, "H W"]) -> UInt8[ndarray, "H W"]:
    """Ids -1..33 of the files -> training ids 0..18, all else 255 (void). 255 is -1 as eight bits hold it."""
    return TRAIN_IDS[ids]


class Cityscapes(PairedFiles):
    """The photographs of a split; item i is (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void).

    root: the folder that holds leftImg8bit and gtFine (or gtCoarse); None: the folder Cityscapes in the one that the environment
        variable EDU_SEG_DATA names.
    split: "train" or "val", with mode "coarse" also "train_extra"; the labels of "test" are not public.
    mode: "fine", or "coarse" for the polygons drawn in a few minutes.
    size, transform, cache: as of `CamVid`; at full size a pair takes 8.4 MB.

    Building it checks that every photograph has its labels and the other way round; a file is decoded, and its values
    checked, on access. Raises FileNotFoundError, OSError or ValueError naming the file and what to do.
    """

    classes: tuple[str, ...] = tuple(name for _, name, _ in CLASSES)
    palette: UInt8[ndarray, "K 3"] = np.array([colour for _, _, colour in CLASSES], np.uint8)
    num_classes: int = len(CLASSES)

    def __init__(
        self,
        root: StrPath | None = None,
        split: str = "train",
        mode: str = "fine",
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        *,
        cache: bool = False,
    ) -> None:
        _check_split(split, mode)
        self.root, self.split, self.mode = data_folder(root, "Cityscapes", SOURCE), split, mode
        super().__init__(_pairs(self.root, split, mode), read_train_ids, size, transform, cache=cache)


def read_train_ids(path: Path) -> UInt8[ndarray, "H W"]:
    """The training ids of a *_labelIds.png. Raises ValueError for a value that is no id."""
    ids = read_labels(path)
    check_values(ids, NUM_IDS, path)
    return to_train_ids(ids)


def _check_split(split: str, mode: str) -> None:
    if mode not in SPLITS:
        raise ValueError(f"mode = {mode!r}: give 'fine' or 'coarse'")
    if split == "test":
        raise ValueError("split = 'test': its labels are not public, the benchmark's server scores predictions; take 'val'")
    if split not in SPLITS[mode]:
        raise ValueError(f"split = {split!r}: with mode {mode!r} there are {', '.join(SPLITS[mode])}")


def _pairs(root: Path, split: str, mode: str) -> Pairs:
    """By city and frame: the names differ in what follows."""
    annotation = {"fine": "gtFine", "coarse": "gtCoarse"}[mode]
    image_place, labels_place = root / "leftImg8bit" / split, root / annotation / split
    images = _by_frame(image_place, "_leftImg8bit.png")
    return matched(images, _by_frame(labels_place, f"_{annotation}_labelIds.png"), image_place, labels_place)


def _by_frame(place: Path, ending: str) -> dict[str, Path]:
    if not place.is_dir():
        raise FileNotFoundError(f"{place}: no such folder. {SOURCE}")
    return {f"{path.parent.name}/{path.name.removesuffix(ending)}": path for path in place.glob(f"*/[!.]*{ending}")}
