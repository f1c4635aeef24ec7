"""datasets.CamVid on a tiny made-up folder, and on the real set where EDU_SEG_DATA names it."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edu_seg.datasets import CamVid
from edu_seg.presets import DataSpec, labelled_set

REAL = Path(os.environ.get("EDU_SEG_DATA", "")) / "CamVid"
real = pytest.mark.skipif(
    not (os.environ.get("EDU_SEG_DATA") and REAL.is_dir()), reason="needs the CamVid folder in the folder that EDU_SEG_DATA names"
)


@pytest.fixture
def root(tmp_path):
    """Two training pairs of 12 × 16 pixels in the published layout; labels[i] holds (row + col + i) % 12."""
    for folder in ("train", "trainannot"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    row, col = np.mgrid[:12, :16]
    for i in range(2):
        Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).save(tmp_path / "train" / f"{i}.png")
        Image.fromarray(((row + col + i) % 12).astype(np.uint8)).save(tmp_path / "trainannot" / f"{i}.png")
    lines = [f"/SegNet/CamVid/train/{i}.png /SegNet/CamVid/trainannot/{i}.png\n" for i in range(2)]
    (tmp_path / "train.txt").write_text("".join(lines))
    return tmp_path


def save_labels(path, labels):
    Image.fromarray(np.asarray(labels, np.uint8)).save(path)


def test_items(root):
    dataset = CamVid(root, "train")
    assert len(dataset) == 2
    image, labels = dataset[1]
    assert (image.shape, image.dtype, labels.dtype) == ((3, 12, 16), torch.float32, torch.int64)
    with Image.open(root / "train" / "1.png") as file:
        assert torch.equal((image * 255).round().byte(), torch.from_numpy(np.array(file)).permute(2, 0, 1))
    raw = (torch.arange(12)[:, None] + torch.arange(16) + 1) % 12
    assert torch.equal(labels, torch.where(raw == 11, 255, raw))


def test_names_and_colours():
    assert len(CamVid.classes) == len(CamVid.palette) == CamVid.num_classes == 11
    assert len({tuple(colour) for colour in CamVid.palette}) == 11


def test_the_variable_names_the_parent(root, monkeypatch):
    root.rename(root.parent / "CamVid")
    monkeypatch.setenv("EDU_SEG_DATA", str(root.parent))
    assert len(CamVid()) == 2


def test_unset_variable(monkeypatch):
    monkeypatch.delenv("EDU_SEG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"EDU_SEG_DATA is unset.*SegNet tutorial"):
        CamVid(split="val")


def test_resizing_keeps_labels_whole(root):
    image, labels = CamVid(root, size=(6, 8))[0]
    assert image.shape == (3, 6, 8)
    full = CamVid(root)[0][1]
    assert torch.equal(labels, full[1::2, 1::2])  # the nearest pixel centre; of two equally near, the later


def test_resized_image_is_antialiased(root):
    small = CamVid(root, size=(6, 8))[0][0]
    full = CamVid(root)[0][0]
    expected = torch.nn.functional.interpolate(full[None], (6, 8), mode="bilinear", antialias=True)[0]
    torch.testing.assert_close(small, expected, rtol=0, atol=1.5 / 255)


def test_cache_reads_once(root):
    cached, plain = CamVid(root, cache=True), CamVid(root)
    first = [cached[i] for i in range(2)]
    for path in (*root.glob("train/*"), *root.glob("trainannot/*")):
        path.write_bytes(b"")
    for i in (0, -1):
        assert torch.equal(cached[i][0], first[i][0])
        assert torch.equal(cached[i][1], first[i][1])
    with pytest.raises(OSError, match=r"0\.png: truncated"):
        plain[0]


@pytest.mark.parametrize("size", [None, (6, 8)])
def test_presets_keep_it_in_memory_unless_told_otherwise(root, size):
    spec = DataSpec("camvid", size=size)
    kept, read = labelled_set(spec, str(root), "train"), labelled_set(spec, str(root), "train", cache=False)
    first = kept[0]
    for path in root.glob("train/*"):
        path.write_bytes(b"")
    assert torch.equal(kept[0][0], first[0])
    with pytest.raises(OSError, match=r"0\.png: truncated"):
        read[0]
    with pytest.raises(ValueError, match="cache: the scenes of Shapes are drawn"):
        labelled_set(DataSpec("shapes", counts=(1, 1)), None, "train", cache=True)


def test_transform(root):
    image, labels = CamVid(root, transform=lambda image, labels: (image.flip(2), labels.flip(1)))[0]
    plain = CamVid(root)[0]
    assert torch.equal(image, plain[0].flip(2))
    assert torch.equal(labels, plain[1].flip(1))


def test_missing_list(root):
    with pytest.raises(FileNotFoundError, match=r"test\.txt: no such list; lists in that folder: train\.txt"):
        CamVid(root, "test")


@pytest.mark.parametrize("line", ["/SegNet/CamVid/train/0.png", "a b c"])
def test_malformed_line(root, line):
    with (root / "train.txt").open("a") as file:
        file.write(line)
    with pytest.raises(ValueError, match=r"train\.txt, line 3: .* is not 'image annotation'"):
        CamVid(root)


def test_missing_file_is_found_at_once(root):
    (root / "trainannot" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.png: listed in .*train\.txt but not there \(1 of 4 files missing\)"):
        CamVid(root)


def test_size_mismatch(root):
    save_labels(root / "trainannot" / "0.png", np.zeros((12, 15)))
    with pytest.raises(ValueError, match=r"trainannot.0\.png: labels of 12 × 15 pixels for the image .*train.0\.png of 12 × 16"):
        CamVid(root)[0]


def test_foreign_label(root):
    save_labels(root / "trainannot" / "0.png", np.full((12, 16), 12))
    with pytest.raises(ValueError, match=r"0\.png: label values \[12\] are outside the classes 0\.\.10"):
        CamVid(root)[0]


def test_colours_where_labels_are_due(root):
    (root / "train" / "0.png").replace(root / "trainannot" / "0.png")
    (root / "train" / "1.png").replace(root / "train" / "0.png")
    (root / "train.txt").write_text("train/0.png trainannot/0.png")
    with pytest.raises(ValueError, match=r"trainannot.0\.png: mode RGB"):
        CamVid(root)[0]


def test_truncated_photograph(root):
    path = root / "train" / "0.png"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(OSError, match=r"train.0\.png: truncated"):
        CamVid(root)[0]


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_impossible_size(root, size):
    with pytest.raises(ValueError, match="at least 1 pixel"):
        CamVid(root, size=size)


@real
@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101)])
def test_real_lists(split, count):
    dataset = CamVid(split=split)
    assert len(dataset) == count
    image, labels = dataset[count // 2]
    assert image.shape == (3, 360, 480)
    assert labels.shape == (360, 480)
    assert set(labels.unique().tolist()) <= {*range(11), 255}


@real
def test_real_scenes_have_sky_above_road():
    rows = torch.arange(240.0)[:, None].expand(240, 320)
    for i in (0, 50, 100):
        labels = CamVid(split="val", size=(240, 320))[i][1]
        assert rows[labels == 0].mean() < 120 < rows[labels == 3].mean()
