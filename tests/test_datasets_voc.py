"""datasets.VOCSegmentation: VOC's and SBD's layouts, made up small, and the sample in data/."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from edu_seg.datasets import Shapes, VOCSegmentation
from edu_seg.datasets.files import write_palette_png
from edu_seg.datasets.shapes import write_voc_sample
from edu_seg.datasets.voc import read_sbd_labels, voc_palette

SAMPLE = Path(__file__).parents[1] / "data" / "sample_voc"


def labels_of(number: int) -> np.ndarray:
    labels = np.full((9, 11), number % 21, np.uint8)
    labels[0] = 255
    return labels


def save_photo(path, number):
    Image.fromarray(np.full((9, 11, 3), 10 * number, np.uint8)).save(path)


@pytest.fixture
def voc(tmp_path):
    """Photographs 1..4: 1, 2 for training, 3, 4 for validation."""
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for number in range(1, 5):
        save_photo(root / "JPEGImages" / f"p{number}.jpg", number)
        write_palette_png(root / "SegmentationClass" / f"p{number}.png", labels_of(number), voc_palette(21))
    for split, numbers in {"train": (1, 2), "val": (3, 4), "trainval": (1, 2, 3, 4)}.items():
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("".join(f"p{n}\n" for n in numbers))
    return root


@pytest.fixture
def sbd(tmp_path):
    """Photographs 2..7 with annotations that say 10 more than VOC's; 2, 3, 5 in its training list, 4, 6, 7 in its other."""
    folder = tmp_path / "benchmark_RELEASE" / "dataset"
    for name in ("img", "cls"):
        (folder / name).mkdir(parents=True)
    for number in range(2, 8):
        save_photo(folder / "img" / f"p{number}.jpg", number)
        segmentation = labels_of(number + 10)
        savemat(folder / "cls" / f"p{number}.mat", {"GTcls": {"Segmentation": segmentation, "CategoriesPresent": [number]}})
    (folder / "train.txt").write_text("p2\np3\np5\n")
    (folder / "val.txt").write_text("p4\np6\np7\n")
    return folder


def test_palette_has_the_published_colours():
    palette = voc_palette()
    assert palette[:6].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]
    assert palette[15].tolist() == [192, 128, 128]  # person
    assert palette[20].tolist() == [0, 64, 128]  # tv monitor
    assert palette[255].tolist() == [224, 224, 192]  # void
    assert len(np.unique(palette, axis=0)) == 256


@pytest.mark.parametrize(("split", "numbers"), [("train", [1, 2]), ("val", [3, 4]), ("trainval", [1, 2, 3, 4])])
def test_items(voc, split, numbers):
    dataset = VOCSegmentation(voc, split)
    assert len(dataset) == len(numbers)
    for (image, labels), number in zip((dataset[i] for i in range(len(numbers))), numbers, strict=True):
        assert (image.shape, image.dtype, labels.dtype) == ((3, 9, 11), torch.float32, torch.int64)
        torch.testing.assert_close(image, torch.full((3, 9, 11), 10 * number / 255), rtol=0, atol=1.01 / 255)
        assert torch.equal(labels, torch.from_numpy(labels_of(number)).long())
    assert dataset.num_classes == len(dataset.classes) == len(dataset.palette) == 21


@pytest.mark.parametrize("above", [True, False])
def test_sbd_adds_what_voc_does_not_hold(voc, sbd, above):
    dataset = VOCSegmentation(voc, "train_aug", sbd_root=sbd.parent if above else sbd)
    assert [image.stem for image, _ in dataset.pairs] == ["p1", "p2", "p5", "p6", "p7"]
    values = [int(dataset[i][1][1, 1]) for i in range(5)]
    assert values == [1, 2, 15, 16, 17]  # p2 is in both: VOC's annotation is taken
    assert (dataset[2][1][0] == 255).all()


def test_sbd_and_its_split_go_together(voc, sbd):
    for split, root in (("train_aug", None), ("train", sbd)):
        with pytest.raises(ValueError, match="'train_aug' and sbd_root"):
            VOCSegmentation(voc, split, sbd_root=root)


def test_broken_sbd_annotation(voc, sbd):
    path = sbd / "cls" / "p5.mat"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(OSError, match=r"p5\.mat: truncated or not a MATLAB file"):
        VOCSegmentation(voc, "train_aug", sbd_root=sbd)[2]


def test_sbd_instances_instead_of_classes(tmp_path):
    savemat(tmp_path / "p.mat", {"GTinst": {"Segmentation": np.zeros((2, 2), np.uint8)}})
    with pytest.raises(ValueError, match=r"p\.mat: no GTcls\.Segmentation"):
        read_sbd_labels(tmp_path / "p.mat")


def test_missing_sbd_file(voc, sbd):
    (sbd / "cls" / "p6.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"p6\.mat: listed in .*val\.txt but not there"):
        VOCSegmentation(voc, "train_aug", sbd_root=sbd)


def test_missing_root(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*PASCAL VOC"):
        VOCSegmentation(tmp_path / "nowhere")
    monkeypatch.delenv("EDU_SEG_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="EDU_SEG_DATA is unset"):
        VOCSegmentation()


def test_missing_list(voc):
    with pytest.raises(FileNotFoundError, match=r"test\.txt: no such list; lists in that folder: train\.txt, trainval\.txt, val\.txt"):
        VOCSegmentation(voc, "test")


def test_missing_list_entry(voc):
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("p1\n\np2\n")
    with pytest.raises(ValueError, match=r"train\.txt, line 2: blank line"):
        VOCSegmentation(voc)


def test_list_of_another_task(voc):
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("p1 -1\n")
    with pytest.raises(ValueError, match=r"train\.txt: entry 1, 'p1 -1', is not one image name"):
        VOCSegmentation(voc)


def test_missing_file(voc):
    (voc / "JPEGImages" / "p2.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"p2\.jpg: listed in .*train\.txt but not there \(1 of 4"):
        VOCSegmentation(voc)


def test_truncated_photograph(voc):
    path = voc / "JPEGImages" / "p1.jpg"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(OSError, match=r"p1\.jpg: truncated"):
        VOCSegmentation(voc)[0]


def test_truncated_annotation(voc):
    path = voc / "SegmentationClass" / "p1.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(OSError, match=r"p1\.png: truncated"):
        VOCSegmentation(voc)[0]


def test_colours_where_a_palette_is_due(voc):
    Image.new("RGB", (11, 9)).save(voc / "SegmentationClass" / "p1.png")
    with pytest.raises(ValueError, match=r"p1\.png: mode RGB.*palette PNG"):
        VOCSegmentation(voc)[0]


def test_foreign_label(voc):
    write_palette_png(voc / "SegmentationClass" / "p1.png", np.full((9, 11), 21), voc_palette(22))
    with pytest.raises(ValueError, match=r"p1\.png: label values \[21\] are outside the classes 0\.\.20"):
        VOCSegmentation(voc)[0]


def test_size_mismatch(voc):
    write_palette_png(voc / "SegmentationClass" / "p1.png", np.zeros((9, 10), np.uint8), voc_palette(21))
    with pytest.raises(ValueError, match=r"p1\.png: labels of 9 × 10 pixels for the image .*p1\.jpg of 9 × 11"):
        VOCSegmentation(voc)[0]


def test_cache_reads_once(voc, sbd):
    dataset = VOCSegmentation(voc, "train_aug", sbd, cache=True)
    first = [dataset[index] for index in range(5)]
    for folder in (voc / "JPEGImages", voc / "SegmentationClass", sbd / "img", sbd / "cls"):
        for path in folder.iterdir():
            path.write_bytes(b"")
    assert all(torch.equal(a, b) for index in range(5) for a, b in zip(dataset[index], first[index], strict=True))


def test_transform(voc):
    _, labels = VOCSegmentation(voc, transform=lambda image, labels: (image, labels + 1))[0]
    assert labels[1, 1] == 2


@pytest.mark.parametrize(("split", "numbers"), [("train", range(6)), ("val", range(6, 8)), ("trainval", range(8))])
def test_committed_sample_is_what_shapes_draws(split, numbers):
    dataset = VOCSegmentation(SAMPLE, split, classes=Shapes.classes)
    scenes = Shapes(8, (120, 160))
    assert len(dataset) == len(numbers)
    for (image, labels), number in zip((dataset[i] for i in range(len(dataset))), numbers, strict=True):
        scene, scene_labels = scenes[number]
        assert torch.equal(labels, scene_labels)
        assert (image - scene).abs().mean() < 0.03  # JPEG


def test_sample_is_small():
    assert sum(path.stat().st_size for path in SAMPLE.rglob("*") if path.is_file()) < 300_000


def test_sample_written_again_is_the_same(tmp_path):
    write_voc_sample(tmp_path / "again")
    for path in sorted(SAMPLE.rglob("*.png")) + sorted(SAMPLE.rglob("*.txt")):
        again = tmp_path / "again" / path.relative_to(SAMPLE)
        if path.suffix == ".txt":
            assert again.read_text() == path.read_text()
        else:
            with Image.open(path) as one, Image.open(again) as two:
                assert np.array_equal(np.asarray(one), np.asarray(two))
                assert one.getpalette() == two.getpalette()
