"""datasets.MaskFolder: one's own images and masks, and every mistake that can be made with them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edu_seg.datasets import MaskFolder
from edu_seg.datasets.class_table import read_class_table
from edu_seg.datasets.files import write_palette_png
from edu_seg.presets import DataSpec, labelled_set

INDICES = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)
COLOURS = {0: (10, 20, 30), 1: (200, 0, 0), 2: (0, 0, 200), 255: (1, 1, 1)}
COLOURED = "ground 10 20 30\nwet road 200, 0, 0\nsky\t0 0 200\nvoid 1 1 1\n"


def painted(indices: np.ndarray) -> np.ndarray:
    return np.array([[COLOURS[int(value)] for value in row] for row in indices], np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten photographs with masks of indices and three classes."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(10):
        Image.new("RGB", (3, 2), (number, 0, 0)).save(tmp_path / "images" / f"p{number}.png")
        Image.fromarray(INDICES).save(tmp_path / "masks" / f"p{number}.png")
    (tmp_path / "classes.txt").write_text("# mine\nground\nwet road\nsky\n")
    return tmp_path


def stems(dataset: MaskFolder) -> list[str]:
    return [image.stem for image, _ in dataset.pairs]


def test_items(root: Path) -> None:
    dataset = MaskFolder(root)
    image, labels = dataset[0]
    assert (image.shape, image.dtype) == ((3, 2, 3), torch.float32)
    assert torch.equal(labels, torch.from_numpy(INDICES).long())
    assert (dataset.classes, dataset.num_classes, dataset.palette.shape, dataset.ignore_index) == (
        ("ground", "wet road", "sky"),
        3,
        (3, 3),
        255,
    )


# Lists


def test_a_share_is_set_apart_and_stays_the_same(root: Path) -> None:
    train, val = MaskFolder(root), MaskFolder(root, "val")
    assert (len(train), len(val)) == (8, 2)
    assert sorted(stems(train) + stems(val)) == [f"p{number}" for number in range(10)]
    assert stems(val) == ["p0", "p7"]  # by SHA-256, on every machine
    assert len(MaskFolder(root, "val", validation=0.01)) == 1
    assert len(MaskFolder(root, "train", validation=0.99)) == 1


@pytest.mark.parametrize("share", [0, 1, -0.5])
def test_no_such_share(root: Path, share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        MaskFolder(root, validation=share)


def test_lists_hold_where_there_are_any(root: Path) -> None:
    (root / "train.txt").write_text("p3\np1.png\n")
    (root / "few.txt").write_text("p0\n")
    (root / "masks" / "p9.png").unlink()  # not listed
    assert (stems(MaskFolder(root)), stems(MaskFolder(root, "few"))) == (["p1", "p3"], ["p0"])
    with pytest.raises(FileNotFoundError, match=r"val\.txt: no such list"):
        MaskFolder(root, "val")


@pytest.mark.parametrize(("lines", "said"), [("p1\np77", "line 2: no image 'p77'"), ("p1\np1.png", "line 2: 'p1.png' is listed twice")])
def test_wrong_lists(root: Path, lines: str, said: str) -> None:
    (root / "train.txt").write_text(lines)
    with pytest.raises((FileNotFoundError, ValueError), match=rf"train\.txt, {said}"):
        MaskFolder(root)


def test_one_image_is_too_few(root: Path) -> None:
    for number in range(1, 10):
        (root / "images" / f"p{number}.png").unlink()
        (root / "masks" / f"p{number}.png").unlink()
    with pytest.raises(ValueError, match="1 image: one to train on and one for validation"):
        MaskFolder(root)


# Files


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder given .*Your own data are a folder"):
        MaskFolder()
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder"):
        MaskFolder(tmp_path / "nowhere")


def test_no_images(root: Path) -> None:
    for path in (root / "images").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r"images: no images in it; there should be files that end in \.png"):
        MaskFolder(root)
    (root / "images").rmdir()
    with pytest.raises(FileNotFoundError, match=r"images: no such folder\. Your own data"):
        MaskFolder(root)


def test_images_without_masks_are_named(root: Path) -> None:
    for number in range(1, 8):
        (root / "masks" / f"p{number}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"p1\.png, .*p5\.png and 2 more: no labels of that name in .*masks \(7 of 10 files\)"):
        MaskFolder(root)


def test_two_images_of_one_name(root: Path) -> None:
    Image.new("RGB", (3, 2)).save(root / "images" / "p3.JPG")
    with pytest.raises(ValueError, match=r"p3\.JPG and p3\.png have one name"):
        MaskFolder(root)


def test_files_that_an_editor_leaves_are_passed_by(root: Path) -> None:
    (root / "images" / "._p3.png").write_bytes(b"")
    (root / "images" / "notes.txt").write_text("")
    assert len(MaskFolder(root)) == 8


def test_masks_are_not_jpeg(root: Path) -> None:
    (root / "masks" / "p4.png").unlink()
    Image.new("RGB", (3, 2)).save(root / "masks" / "p4.jpg")
    with pytest.raises(ValueError, match=r"p4\.jpg: a mask must not be JPEG"):
        MaskFolder(root)


def test_sizes_that_differ(root: Path) -> None:
    Image.fromarray(INDICES[:, :2]).save(root / "masks" / "p1.png")
    with pytest.raises(ValueError, match=r"p1\.png: labels of 2 × 2 pixels for the image .*p1\.png of 2 × 3"):
        MaskFolder(root)[0]


def test_a_photograph_that_is_to_be_turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (3, 2)).save(root / "images" / "p1.png", exif=exif)
    with pytest.raises(ValueError, match=r"p1\.png: its EXIF orientation"):
        MaskFolder(root)[0]


def test_a_damaged_photograph(root: Path) -> None:
    (root / "images" / "p1.png").write_bytes(b"no image")
    with pytest.raises(OSError, match=r"p1\.png: truncated or not an image"):
        MaskFolder(root)[0]


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_an_enormous_file(root: Path, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (90, 90)).save(root / folder / "p1.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(OSError, match=rf"{folder}/p1\.png: refused for its size"):
        MaskFolder(root)[0]


# Masks of indices


def test_palette_masks_give_their_indices(root: Path) -> None:
    write_palette_png(root / "masks" / "p1.png", INDICES, np.array([(9, 9, 9), (8, 8, 8), (7, 7, 7)], np.uint8))
    assert torch.equal(MaskFolder(root)[0][1], torch.from_numpy(INDICES).long())


def test_an_unknown_value(root: Path) -> None:
    Image.fromarray(np.array([[0, 0, 0], [1, 7, 7]], np.uint8)).save(root / "masks" / "p1.png")
    with pytest.raises(ValueError, match=r"p1\.png: label values \[7\] .*0\.\.2.*7 first at row 1, column 1, 2 pixels in all"):
        MaskFolder(root)[0]


def test_black_and_white_masks_are_not_taken_for_void(root: Path) -> None:
    Image.fromarray(np.array([[0, 255, 0], [0, 0, 255]], np.uint8)).save(root / "masks" / "p1.png")
    with pytest.raises(ValueError, match=r"p1\.png: all pixels are 0 or 255.*'ground 0 0 0' and 'sky 255 255 255'"):
        MaskFolder(root)[0]
    (root / "classes.txt").write_text("ground 0 0 0\nthing 255 255 255")
    assert MaskFolder(root)[0][1].tolist() == [[0, 1, 0], [0, 0, 1]]


def test_coloured_masks_without_colours(root: Path) -> None:
    Image.fromarray(painted(INDICES)).save(root / "masks" / "p1.png")
    with pytest.raises(ValueError, match=r"p1\.png: mode RGB.*give each class its colour in .*classes\.txt"):
        MaskFolder(root)[0]


# Masks of colours


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours(root: Path, mode: str) -> None:
    (root / "classes.txt").write_text(COLOURED)
    image = Image.fromarray(painted(INDICES))
    image = image.quantize(16, dither=Image.Dither.NONE) if mode == "P" else image.convert(mode)
    image.save(root / "masks" / "p1.png")
    dataset = MaskFolder(root)
    assert torch.equal(dataset[0][1], torch.from_numpy(INDICES).long())
    assert dataset.palette.tolist() == [[10, 20, 30], [200, 0, 0], [0, 0, 200]]
    assert dataset.classes == ("ground", "wet road", "sky")


def test_an_unknown_colour(root: Path) -> None:
    (root / "classes.txt").write_text(COLOURED)
    mask = painted(INDICES)
    mask[0, 2], mask[1, 0], mask[1, 2] = (9, 9, 9), (9, 9, 9), (255, 255, 255)
    Image.fromarray(mask).save(root / "masks" / "p1.png")
    said = r"p1\.png: colour \(9, 9, 9\) at row 0, column 2 \(2 pixels\) is none of .*classes\.txt; 2 such colours in 3 pixels in all"
    with pytest.raises(ValueError, match=said):
        MaskFolder(root)[0]


def test_sixteen_bits_are_refused(root: Path) -> None:
    (root / "classes.txt").write_text(COLOURED)
    Image.fromarray(INDICES.astype(np.uint16)).save(root / "masks" / "p1.png")
    with pytest.raises(ValueError, match=r"p1\.png: mode I;16, more than 8 bits a channel"):
        MaskFolder(root)[0]


def test_toml(root: Path) -> None:
    (root / "classes.txt").unlink()
    (root / "classes.toml").write_text(
        '[[class]]\nname = "a 1 2 3"\ncolour = [0, 0, 0]\n[[class]]\nname = "void"\ncolour = [1, 1, 1]\n'
        '[[class]]\nname = "b"\ncolour = [255, 0, 0]\n'
    )
    table = read_class_table(root)
    assert (table.names, table.colours, table.void) == (("a 1 2 3", "b"), ((0, 0, 0), (255, 0, 0)), ((1, 1, 1),))


def test_a_list_from_windows(root: Path) -> None:
    (root / "classes.txt").write_bytes(b"\xef\xbb\xbfground\r\nsky\r\n")
    assert read_class_table(root).names == ("ground", "sky")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 0 0 0\nb\n", "'b' has no colour"),
        ("a\nvoid\n", "'a' has no colour"),
        ("a 0 0 256\n", r"'a' has the colour \[0, 0, 256\]"),
        ("a\na\n", "the name 'a' stands there twice"),
        ("a 0 0 0\nb 0 0 0\n", r"the colour \(0, 0, 0\) stands there twice"),
        ("# nothing\n", "0 classes; 1 to 255"),
        ("\n".join(f"c{i}x" for i in range(256)), "256 classes; 1 to 255"),
        ("a\n\nb\n", "line 2: blank line"),
    ],
)
def test_wrong_tables(root: Path, text: str, said: str) -> None:
    (root / "classes.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"classes\.txt.*{said}"):
        MaskFolder(root)


@pytest.mark.parametrize(
    "text", ["[[class]\n", "[[class]]\ncolour = [0, 0, 0]\n", 'class = "a"\n', '[[class]]\nname = "a"\ncolour = "red"\n', ""]
)
def test_wrong_toml(root: Path, text: str) -> None:
    (root / "classes.txt").unlink()
    (root / "classes.toml").write_text(text)
    with pytest.raises(ValueError, match=r"classes\.toml: "):
        MaskFolder(root)


def test_no_table_or_two(root: Path) -> None:
    (root / "classes.toml").write_text("")
    with pytest.raises(ValueError, match="which of them holds"):
        MaskFolder(root)
    (root / "classes.toml").unlink()
    (root / "classes.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"classes\.txt: no such file, nor classes\.toml; write one line for each class"):
        MaskFolder(root)


def test_a_preset_finds_it(root: Path) -> None:
    image, labels = labelled_set(DataSpec("folder", size=(4, 6)), str(root), "val")[0]
    assert (image.shape, labels.shape) == ((3, 4, 6), (4, 6))
    assert torch.equal(labels[::2, ::2], torch.from_numpy(INDICES).long())


@pytest.mark.parametrize(("size", "cache", "kept"), [((4, 6), None, True), ((4, 6), False, False), (None, None, False), (None, True, True)])
def test_resized_images_are_kept_in_memory(root: Path, size: tuple[int, int] | None, cache: bool | None, kept: bool) -> None:
    dataset = labelled_set(DataSpec("folder", size=size), str(root), "val", cache=cache)
    image, _ = dataset[0]
    for path in (root / "images").iterdir():
        path.write_bytes(b"")
    if kept:
        assert torch.equal(dataset[0][0], image)
    else:
        with pytest.raises(OSError, match="truncated or not an image"):
            dataset[0]
