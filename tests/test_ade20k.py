"""datasets.ADE20K on a small made-up folder, and the colours made for it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edu_seg.datasets import ADE20K
from edu_seg.datasets.ade20k import read_names
from edu_seg.datasets.colours import cielab, distinct_palette
from edu_seg.presets import DataSpec, labelled_set

LABELS = np.arange(151, dtype=np.uint8)[None].repeat(2, 0)
ROWS = [f"{number}\t0.1\t10\t1\tthing {number}, other name" for number in range(1, 151)]
HEADS = "Idx\tRatio\tTrain\tVal\tName"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, names in {"training": ("b", "a"), "validation": ("c",)}.items():
        for kind in ("images", "annotations"):
            (tmp_path / kind / folder).mkdir(parents=True)
        for name in names:
            Image.new("L" if name == "c" else "RGB", (151, 2), ord(name)).save(tmp_path / "images" / folder / f"ADE_{name}.jpg")
            Image.fromarray(LABELS).save(tmp_path / "annotations" / folder / f"ADE_{name}.png")
    (tmp_path / "objectInfo150.txt").write_text("\n".join([HEADS, *ROWS]) + "\n")
    return tmp_path


def test_each_label(root: Path) -> None:
    image, labels = ADE20K(root)[0]
    assert (image.shape, image.dtype, labels.dtype) == ((3, 2, 151), torch.float32, torch.int64)
    for value in range(151):
        assert labels[0, value] == (255 if value == 0 else value - 1)


def test_lists_and_classes(root: Path) -> None:
    train, val = ADE20K(root), ADE20K(root, "val")
    assert ([path.name for path, _ in train.pairs], len(val)) == (["ADE_a.jpg", "ADE_b.jpg"], 1)
    assert val[0][0].shape == (3, 2, 151)  # some photographs of the set are grey
    assert (train.num_classes, len(train.classes), train.palette.shape, train.ignore_index) == (150, 150, (150, 3), 255)
    assert (train.classes[0], train.classes[149]) == ("thing 1", "thing 150")


def test_other_splits(root: Path) -> None:
    with pytest.raises(ValueError, match="split = 'testing': there are train and val"):
        ADE20K(root, "testing")


def test_a_value_above_150(root: Path) -> None:
    Image.fromarray(np.full((2, 151), 151, np.uint8)).save(root / "annotations" / "training" / "ADE_a.png")
    with pytest.raises(ValueError, match=r"ADE_a\.png: label values \[151\].*first at row 0, column 0, 302 pixels"):
        ADE20K(root)[0]


def test_missing_partners_are_named(root: Path) -> None:
    (root / "annotations" / "training" / "ADE_b.png").rename(root / "annotations" / "training" / "ADE_x.png")
    with pytest.raises(FileNotFoundError, match=r"ADE_b\.jpg: no labels of that name in .*annotations.training \(1 of 2 files\)"):
        ADE20K(root)
    (root / "images" / "training" / "ADE_b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"ADE_x\.png: no image of that name in .*images.training"):
        ADE20K(root)


def test_names_come_from_the_folder(root: Path) -> None:
    (root / "objectInfo150.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"objectInfo150\.txt: no such file; it names the classes"):
        ADE20K(root)


@pytest.mark.parametrize("rows", [ROWS[:-1], [*ROWS, ROWS[-1]], [*ROWS[1:], ROWS[0]], [str(number) for number in range(1, 151)]])
def test_damaged_names(tmp_path: Path, rows: list[str]) -> None:
    (tmp_path / "names.txt").write_text("\n".join([HEADS, *rows]))
    with pytest.raises(ValueError, match=r"names\.txt: not a line of headings and 150 lines"):
        read_names(tmp_path / "names.txt")


def test_names_with_the_spaces_that_the_published_file_has(tmp_path: Path) -> None:
    rows = [row.replace("22\t", "22 \t").replace("thing 8, other name", "thing 8 ") for row in ROWS]
    (tmp_path / "names.txt").write_text("\r\n".join([HEADS, *rows]))
    assert read_names(tmp_path / "names.txt") == tuple(f"thing {number}" for number in range(1, 151))


def test_a_preset_finds_it(root: Path) -> None:
    assert len(labelled_set(DataSpec("ade20k"), str(root), "train")) == 2


def test_lab_of_known_colours() -> None:
    """White is (100, 0, 0), black (0, 0, 0), sRGB's red (53.2, 80.1, 67.2)."""
    lab = cielab(np.array([(255, 255, 255), (0, 0, 0), (255, 0, 0)], np.uint8))
    np.testing.assert_allclose(lab, [(100, 0, 0), (0, 0, 0), (53.24, 80.09, 67.20)], atol=0.05)


@pytest.mark.parametrize(("count", "apart"), [(2, 100), (19, 38), (150, 15)])
def test_made_colours_are_far_apart(count: int, apart: float) -> None:
    """A difference of 2.3 is about what the eye just notices."""
    palette = distinct_palette(count)
    lab = cielab(np.concatenate([palette, np.array([(224, 224, 192)], np.uint8)]))
    distances = np.linalg.norm(lab[:, None] - lab, axis=-1)
    assert distances[~np.eye(count + 1, dtype=bool)].min() > apart
    np.testing.assert_array_equal(palette, distinct_palette(255)[:count])


@pytest.mark.parametrize("count", [0, 256])
def test_no_such_palette(count: int) -> None:
    with pytest.raises(ValueError, match=f"num_colours = {count}"):
        distinct_palette(count)
