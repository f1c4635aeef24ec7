"""The whole way of a reader with images of their own: an empty folder, photographs and masks in it, the three commands, labels."""

import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edu_seg.__main__ import main

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES = "meadow 40 160 40\npond 30 60 200\nvoid 0 0 0\n"
COLOURS = [[40, 160, 40], [30, 60, 200]]
SHORT = ["--epochs", "1", "--batch-size", "3", "--num-workers", "0", "--device", "cpu", "--quiet"]


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """To be in, with no data set known; and signals as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDU_SEG_DATA", raising=False)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def photograph(number: int, size: tuple[int, int] = (200, 150)) -> tuple[Image.Image, Image.Image]:
    """A meadow with a pond, and what a reader paints over it; the pond's shore is left void."""
    draw = np.random.default_rng(number)
    left, top = (int(draw.integers(0, length // 2)) for length in size)
    pond = (left, top, left + size[0] // 3, top + size[1] // 3)
    image, mask = Image.new("RGB", size, (90, 140, 60)), Image.new("RGB", size, (40, 160, 40))
    ImageDraw.Draw(image).ellipse(pond, fill=(70, 90, 170))
    ImageDraw.Draw(mask).ellipse(pond, fill=(30, 60, 200), outline=(0, 0, 0), width=2)
    noise = Image.effect_noise(size, 40).convert("RGB")
    return Image.blend(image, noise, 0.2), mask


def make_data(folder: Path, count: int = 4) -> None:
    """As the documents say: images, masks of the same names, a list of classes."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        image, mask = photograph(number)
        image.save(folder / "images" / f"meadow{number}.jpg")
        mask.save(folder / "masks" / f"meadow{number}.png")
    (folder / "classes.txt").write_text(CLASSES)


def test_from_an_empty_folder_to_a_prediction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(tmp_path.iterdir()) == []
    make_data(Path("mine"))
    assert main(["data", "folder", "--root", "mine"]) == 0
    said = capsys.readouterr().out
    assert "no problem found" in said
    assert [line.split()[:2] for line in said.splitlines() if line.startswith(("train ", "val "))] == [["train", "3"], ["val", "1"]]

    assert main(["train", "--preset", "own-cpu", "--data", "mine", *SHORT]) == 0
    assert "runs/own-cpu: trained" in capsys.readouterr().out
    config = json.loads(Path("runs/own-cpu/config.json").read_text())
    assert (config["classes"], config["palette"]) == (["meadow", "pond"], COLOURS)

    photograph(99, (310, 170))[0].save("photo.jpg")  # of another size than those before
    assert main(["predict", "runs/own-cpu", "photo.jpg", "--out", "out", "--device", "cpu"]) == 0
    with Image.open("out/photo.png") as labels, Image.open("out/photo_overlay.png") as overlay:
        assert labels.size == overlay.size == (310, 170)
        assert set(np.unique(np.array(labels))) <= {0, 1}
        palette = labels.getpalette()
        assert palette is not None
        assert [palette[:3], palette[3:6]] == COLOURS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "out", "photo.jpg", "runs"]

    assert main(["evaluate", "runs/own-cpu", "--data", "mine", "--device", "cpu", "--quiet"]) == 0
    assert {"meadow", "pond"} < {line.split()[0] for line in capsys.readouterr().out.splitlines() if line}


def test_what_is_wrong_with_them_is_said_before_anything_is_trained(capsys: pytest.CaptureFixture[str]) -> None:
    """A mask forgotten, and one with a colour that is no class: the check names the first, then the other, and so does training."""
    make_data(Path("mine"))
    shutil.move("mine/masks/meadow3.png", "meadow3.png")
    for command in (["data", "folder", "--root", "mine"], ["train", "--preset", "own-cpu", "--data", "mine", *SHORT]):
        assert main(command) == 2
        assert "meadow3.jpg: no labels of that name" in "".join(capsys.readouterr())
    Image.new("RGB", (200, 150), (1, 2, 3)).save("mine/masks/meadow3.png")
    for command in (["data", "folder", "--root", "mine"], ["train", "--preset", "own-cpu", "--data", "mine", *SHORT]):
        assert main(command) == 2
        assert "meadow3.png" in "".join(capsys.readouterr())
    assert not Path("runs/own-cpu/metrics.jsonl").exists()
