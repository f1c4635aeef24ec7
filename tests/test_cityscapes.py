"""datasets.Cityscapes on a small made-up folder: every id, both modes, and what it says to what is missing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edu_seg.datasets import Cityscapes
from edu_seg.datasets.cityscapes import to_train_ids
from edu_seg.presets import DataSpec, labelled_set

VOID = 255
# The table of the authors' scripts, written down here a second time: id -> training id.
DUE = {
    7: 0,
    8: 1,
    11: 2,
    12: 3,
    13: 4,
    17: 5,
    19: 6,
    20: 7,
    21: 8,
    22: 9,
    23: 10,
    24: 11,
    25: 12,
    26: 13,
    27: 14,
    28: 15,
    31: 16,
    32: 17,
    33: 18,
}
IDS = np.arange(34, dtype=np.uint8).reshape(2, 17)


def save(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def save_frame(root: Path, split: str, city: str, number: int, annotation: str = "gtFine") -> None:
    frame = f"{city}_{number:06d}_000019"
    save(root / "leftImg8bit" / split / city / f"{frame}_leftImg8bit.png", np.full((2, 17, 3), number, np.uint8))
    save(root / annotation / split / city / f"{frame}_{annotation}_labelIds.png", IDS)
    save(root / annotation / split / city / f"{frame}_{annotation}_color.png", np.zeros((2, 17, 4), np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for city, number in (("bonn", 2), ("aachen", 1), ("aachen", 3)):
        save_frame(tmp_path, "train", city, number)
    save_frame(tmp_path, "val", "lindau", 4)
    return tmp_path


@pytest.mark.parametrize("number", range(-1, 34))
def test_each_id(number: int) -> None:
    assert to_train_ids(np.array([[number]])).tolist() == [[DUE.get(number, VOID)]]


def test_the_licence_plate_as_eight_bits_hold_it() -> None:
    assert to_train_ids(np.array([[-1]]).astype(np.uint8)).tolist() == [[VOID]]


def test_items(root: Path) -> None:
    dataset = Cityscapes(root, "train")
    assert [int(dataset[i][0][0, 0, 0] * 255 + 0.5) for i in range(len(dataset))] == [1, 3, 2]  # by city, then by frame
    image, labels = dataset[0]
    assert (image.shape, image.dtype, labels.dtype) == ((3, 2, 17), torch.float32, torch.int64)
    assert labels.tolist() == [[DUE.get(int(value), VOID) for value in row] for row in IDS]
    assert len(Cityscapes(root, "val")) == 1


def test_names_and_colours() -> None:
    assert (len(Cityscapes.classes), Cityscapes.palette.shape, Cityscapes.num_classes, Cityscapes.ignore_index) == (19, (19, 3), 19, VOID)
    assert len({tuple(colour) for colour in Cityscapes.palette}) == 19
    assert (Cityscapes.classes[0], Cityscapes.classes[13], Cityscapes.classes[18]) == ("road", "car", "bicycle")
    assert Cityscapes.palette[13].tolist() == [0, 0, 142]


def test_names_and_colours_are_those_of_another_table() -> None:
    others = [one for one in pytest.importorskip("torchvision.datasets").Cityscapes.classes if one.train_id not in (-1, 255)]
    assert {one.id: one.train_id for one in others} == DUE
    assert tuple(one.name for one in others) == Cityscapes.classes
    assert [list(one.color) for one in others] == Cityscapes.palette.tolist()


def test_coarse_polygons(root: Path) -> None:
    save_frame(root, "train_extra", "erlangen", 5, "gtCoarse")
    assert len(Cityscapes(root, "train_extra", "coarse")) == 1
    with pytest.raises(ValueError, match="split = 'train_extra': with mode 'fine' there are train, val"):
        Cityscapes(root, "train_extra")


def test_labels_of_the_test_images_are_not_public(root: Path) -> None:
    with pytest.raises(ValueError, match="split = 'test': its labels are not public"):
        Cityscapes(root, "test")
    with pytest.raises(ValueError, match="mode = 'rough': give 'fine' or 'coarse'"):
        Cityscapes(root, "train", "rough")


def test_what_is_missing_is_named(root: Path) -> None:
    label = root / "gtFine" / "train" / "bonn" / "bonn_000002_000019_gtFine_labelIds.png"
    label.rename(root / "kept.png")
    with pytest.raises(FileNotFoundError, match=r"bonn_000002_000019_leftImg8bit\.png: no labels .*gtFine.train \(1 of 3 files\)"):
        Cityscapes(root)
    (root / "kept.png").rename(label)
    (root / "leftImg8bit" / "train" / "aachen" / "aachen_000001_000019_leftImg8bit.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"aachen_000001_000019_gtFine_labelIds\.png: no image"):
        Cityscapes(root)
    with pytest.raises(FileNotFoundError, match=r"gtCoarse.val: no such folder\. The published set is"):
        Cityscapes(root, "val", "coarse")


def test_an_empty_folder(tmp_path: Path) -> None:
    for name in ("leftImg8bit", "gtFine"):
        (tmp_path / name / "train").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"leftImg8bit.train: no images in it"):
        Cityscapes(tmp_path)


def test_a_value_that_is_no_id(root: Path) -> None:
    label = root / "gtFine" / "val" / "lindau" / "lindau_000004_000019_gtFine_labelIds.png"
    save(label, np.where(IDS == 20, np.uint8(34), IDS))
    with pytest.raises(ValueError, match=r"labelIds\.png: label values \[34\].*34 first at row 1, column 3, 1 pixels in all"):
        Cityscapes(root, "val")[0]


def test_size_transform_and_cache(root: Path) -> None:
    with pytest.raises(ValueError, match="at least 1 pixel"):
        Cityscapes(root, size=(0, 1))
    dataset = Cityscapes(root, size=(4, 17), transform=lambda image, labels: (image, labels.flip(0)), cache=True)
    for path in root.rglob("*.png"):
        path.unlink()
    assert torch.equal(dataset[0][1], torch.from_numpy(to_train_ids(IDS)).long().repeat_interleave(2, 0).flip(0))


def test_a_preset_finds_it(root: Path) -> None:
    image, labels = labelled_set(DataSpec("cityscapes", size=(6, 34)), str(root), "val")[0]
    assert (image.shape, labels.shape) == ((3, 6, 34), (6, 34))
