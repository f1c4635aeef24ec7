"""datasets.files: whole files only, and errors that name the file."""

import numpy as np
import pytest
from PIL import Image, ImageFile

from edu_seg.datasets import files

PALETTE = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0)], np.uint8)


@pytest.fixture
def labels():
    return np.array([[0, 1, 2], [255, 2, 0]], np.uint8)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)).save(path)
    return path


def test_palette_png_gives_back_the_labels_and_the_colours(tmp_path, labels):
    path = tmp_path / "labels.png"
    files.write_palette_png(path, labels, PALETTE)
    np.testing.assert_array_equal(files.read_labels(path), labels)
    with Image.open(path) as image:
        assert image.mode == "P"
        colours = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(colours[0], PALETTE)
    assert tuple(colours[1, 0]) == files.VOID_COLOUR


@pytest.mark.parametrize("value", [3, -1, 256, 254])
def test_palette_png_refuses_values_without_a_colour(tmp_path, value):
    with pytest.raises(ValueError, match=rf"out\.png: label values \[{value}\] are outside the classes 0\.\.2"):
        files.write_palette_png(tmp_path / "out.png", np.array([[0, value]], np.int64), PALETTE)
    assert not (tmp_path / "out.png").exists()


def test_grey_png_is_read_as_indices(tmp_path, labels):
    Image.fromarray(labels).save(tmp_path / "l.png")
    np.testing.assert_array_equal(files.read_labels(tmp_path / "l.png"), labels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "1"])
def test_labels_that_are_not_indices(tmp_path, mode):
    Image.new(mode, (4, 3)).save(tmp_path / "colours.png")
    with pytest.raises(ValueError, match=rf"colours\.png: mode {mode}.*palette PNG.*write_palette_png"):
        files.read_labels(tmp_path / "colours.png")


def test_truncated_jpeg_at_every_length(photo):
    whole = photo.read_bytes()
    for length in range(0, len(whole), 61):
        photo.write_bytes(whole[:length])
        with pytest.raises(OSError, match=r"photo\.jpg: truncated or not an image.*copy the file again"):
            files.read_image(photo)


def test_truncated_png_at_every_length(tmp_path):
    path = tmp_path / "labels.png"
    files.write_palette_png(path, np.random.default_rng(0).integers(0, 3, (30, 40)), PALETTE)
    whole = path.read_bytes()
    for length in (*range(0, len(whole) - 4, 37), len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(OSError, match=r"labels\.png: truncated or not an image"):
            files.read_labels(path)


def test_png_with_a_flipped_bit(tmp_path):
    path = tmp_path / "labels.png"
    files.write_palette_png(path, np.random.default_rng(0).integers(0, 3, (30, 40)), PALETTE)
    damaged = bytearray(path.read_bytes())
    damaged[-40] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(OSError, match=r"labels\.png: truncated or not an image"):
        files.read_labels(path)


def test_lenient_pil_is_refused(photo, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(RuntimeError, match="LOAD_TRUNCATED_IMAGES is on"):
        files.read_image(photo)


def test_missing_image(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg: no such file"):
        files.read_image(tmp_path / "nowhere.jpg")


@pytest.mark.parametrize("read", [files.read_image, files.read_labels])
def test_enormous_images_are_named(photo, monkeypatch, read):
    """PIL's guard against a small file that fills the memory raises what is neither OSError nor ValueError."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(OSError, match=r"photo\.jpg: refused for its size \(.* exceeds limit of 20 pixels.*\); scale it down or cut it"):
        read(photo)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_photographs_of_more_than_eight_bits(tmp_path, mode):
    Image.new(mode, (4, 3)).save(tmp_path / "deep.tif")
    with pytest.raises(ValueError, match=rf"deep\.tif: mode {mode}, more than 8 bits"):
        files.read_image(tmp_path / "deep.tif")


def test_values_are_found_where_they_are():
    labels = np.array([[0, 1, 1], [9, 255, 9]], np.uint8)
    with pytest.raises(ValueError, match=r"label values \[9\] .* 9 first at row 1, column 0, 2 pixels in all"):
        files.check_values(labels, 2, "a.png")


def test_missing_list_names_those_that_are_there(tmp_path):
    (tmp_path / "val.txt").write_text("a\n")
    with pytest.raises(FileNotFoundError, match=r"train\.txt: no such list; lists in that folder: val\.txt"):
        files.read_lines(tmp_path / "train.txt")


@pytest.mark.parametrize(
    ("text", "message"), [("", "the list is empty"), ("\n\n", "the list is empty"), ("a\n\nb\n", "line 2: blank line")]
)
def test_lists_with_holes(tmp_path, text, message):
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"train\.txt.*{message}"):
        files.read_lines(tmp_path / "train.txt")


def test_windows_line_ends_and_a_last_blank_line(tmp_path):
    (tmp_path / "train.txt").write_bytes(b"a\r\nb \r\n\r\n")
    assert files.read_lines(tmp_path / "train.txt") == ["a", "b"]


def test_first_missing_file_and_the_count(tmp_path, photo):
    missing = [tmp_path / "x.jpg", photo, tmp_path / "y.jpg"]
    with pytest.raises(FileNotFoundError, match=r"x\.jpg: listed in .*train\.txt but not there \(2 of 3 files missing\)"):
        files.require_files(missing, tmp_path / "train.txt")


def test_sizes_that_differ():
    with pytest.raises(ValueError, match=r"b\.png: labels of 2 × 3 pixels for the image a\.jpg of 3 × 2"):
        files.check_same_size(np.zeros((3, 2, 3), np.uint8), np.zeros((2, 3), np.uint8), "a.jpg", "b.png")


def test_values_outside_the_classes_are_all_named():
    labels = np.array([[0, 10, 11, 12], [77, 255, 77, 3]], np.uint8)
    with pytest.raises(ValueError, match=r"a\.png: label values \[12, 77\] are outside the classes 0\.\.10"):
        files.check_values(labels, 11, "a.png", extra=(11,))
    files.check_values(labels, 78, "a.png")


def test_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("EDU_SEG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"EDU_SEG_DATA is unset.*holds CamVid\. From there\."):
        files.data_folder(None, "CamVid", "From there.")
    monkeypatch.setenv("EDU_SEG_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"CamVid: no such folder\. From there\."):
        files.data_folder(None, "CamVid", "From there.")
    (tmp_path / "CamVid").mkdir()
    assert files.data_folder(None, "CamVid", "") == tmp_path / "CamVid"
    assert files.data_folder(str(tmp_path), "CamVid", "") == tmp_path  # a given root goes before the variable


def test_overlay_by_hand():
    image = np.full((1, 3, 3), 100, np.uint8)
    mixed = files.overlay(image, np.array([[0, 1, 255]]), PALETTE, alpha=0.25)
    assert mixed.tolist() == [[[75, 75, 75], [125, 75, 75], [100, 100, 100]]]
    np.testing.assert_array_equal(files.overlay(image, np.array([[0, 1, 2]]), PALETTE, alpha=1)[0], PALETTE)


def test_overlay_refuses():
    image = np.zeros((1, 2, 3), np.uint8)
    with pytest.raises(ValueError, match=r"alpha = 1\.5"):
        files.overlay(image, np.array([[0, 1]]), PALETTE, 1.5)
    with pytest.raises(ValueError, match="1 × 1 pixels"):
        files.overlay(image, np.array([[0]]), PALETTE)
    with pytest.raises(ValueError, match=r"\[9\] are outside"):
        files.overlay(image, np.array([[0, 9]]), PALETTE)


@pytest.mark.parametrize("size", [(6, 4), (3, 8), (5, 7), (24, 16)])
def test_labels_are_resized_from_the_nearest_pixel_centre(size):
    labels = np.arange(12 * 8, dtype=np.uint8).reshape(12, 8)
    _, small = files.resize_pair(np.zeros((12, 8, 3), np.uint8), labels, size)
    rows, cols = (np.floor((np.arange(new) + 0.5) * old / new).astype(int) for new, old in zip(size, labels.shape, strict=True))
    np.testing.assert_array_equal(small, labels[rows][:, cols])
