"""ADE20K as the scene parsing challenge of 2016 published it (ADEChallengeData2016): 150 classes, indoors and out.

Zhou et al., "Scene Parsing through ADE20K Dataset" (2017). The files say 0 for "other", which does not count, and 1..150 for the
classes; here these are 255 and 0..149 (elsewhere called "reduce zero label").
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from edu_seg.datasets.colours import distinct_palette
from edu_seg.datasets.files import IGNORE_INDEX, StrPath, check_values, data_folder, read_labels, read_lines
from edu_seg.datasets.pairs import PairedFiles, Transform, files_by_stem, matched

NUM_CLASSES = 150
NAMES_FILE = "objectInfo150.txt"
SOURCE = (
    "The published set is ADEChallengeData2016.zip of sceneparsing.csail.mit.edu: the folder that holds images, annotations and "
    f"{NAMES_FILE}."
)
FOLDERS = {"train": "training", "val": "validation"}

REDUCED: UInt8[ndarray, "256"] = np.full(256, IGNORE_INDEX, np.uint8)
REDUCED[1 : NUM_CLASSES + 1] = np.arange(NUM_CLASSES)


class ADE20K(PairedFiles):
    """The photographs of a split; item i is (image float32 (3, H, W) in 0..1, labels int64 (H, W), 255 = void).

    root: the folder that holds images, annotations and objectInfo150.txt; None: the folder ADEChallengeData2016 in the one
        that the environment variable EDU_SEG_DATA names.
    split: "train" or "val" (the folders training and validation).
    size, transform, cache: as of `CamVid`.

    The names of the classes are read from objectInfo150.txt, the first where there are synonyms. The colours are made, not
    the challenge's. Building it checks that every photograph has its labels and the other way round; a file is decoded, and
    its values checked, on access. Raises FileNotFoundError, OSError or ValueError naming the file and what to do.
    """

    num_classes: int = NUM_CLASSES

    def __init__(
        self,
        root: StrPath | None = None,
        split: str = "train",
        size: tuple[int, int] | None = None,
        transform: Transform | None = None,
        *,
        cache: bool = False,
    ) -> None:
        if split not in FOLDERS:
            raise ValueError(f"split = {split!r}: there are train and val; labels of the test images are not public")
        self.root, self.split = data_folder(root, "ADEChallengeData2016", SOURCE), split
        self.classes, self.palette = read_names(self.root / NAMES_FILE), distinct_palette(NUM_CLASSES)
        image_place, labels_place = (self.root / kind / FOLDERS[split] for kind in ("images", "annotations"))
        images, labels = files_by_stem(image_place, (".jpg",), SOURCE), files_by_stem(labels_place, (".png",), SOURCE)
        super().__init__(matched(images, labels, image_place, labels_place), read_reduced_labels, size, transform, cache=cache)


def read_reduced_labels(path: Path) -> UInt8[ndarray, "H W"]:
    """The labels of an annotation, 1..150 -> 0..149 and 0 -> 255. Raises ValueError for a value above 150."""
    labels = read_labels(path)
    check_values(labels, NUM_CLASSES + 1, path)
    return REDUCED[labels]


def read_names(path: Path) -> tuple[str, ...]:
    """The 150 names of objectInfo150.txt: a line of headings, then number, ratios and "name, synonym, ...", with tabs between.

    Raises FileNotFoundError, or ValueError where the lines are not the numbers 1..150 in order.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it names the classes and lies beside images in the published archive. {SOURCE}")
    rows = [line.split("\t") for line in read_lines(path)[1:]]
    numbers = [row[0].strip() for row in rows]
    if numbers != [str(number) for number in range(1, NUM_CLASSES + 1)] or any(len(row) < 2 for row in rows):
        raise ValueError(f"{path}: not a line of headings and 150 lines 'number ... name' with tabs between; copy the published file again")
    return tuple(row[-1].split(",")[0].strip() for row in rows)
