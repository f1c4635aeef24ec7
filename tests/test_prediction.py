"""Photographs, folders of them, and exported programs: what `predict` and `export` stand on."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import SMALL, fails, small_preset, trained  # noqa: F401  # fixtures
from torch import Tensor, nn

from edu_seg import models, presets
from edu_seg.__main__ import main
from edu_seg.crf import DenseCRF
from edu_seg.models.fcn import FCN
from edu_seg.prediction import Inference, Predictor, export_program, image_files, output_files, predictions

PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)


class Local(nn.Module):
    """Each pixel's scores from that pixel alone: windows and scales of 1 must not change them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.score = nn.Conv2d(3, 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.score(images)


@pytest.mark.parametrize(
    "inference", [Inference(window=16), Inference(window=100, overlap=0.5), Inference(mirror=True), Inference(16, mirror=True)]
)
def test_windows_and_mirrors_leave_a_local_net_as_it_is(inference: Inference) -> None:
    assert (Predictor(Local(), inference=inference)(PHOTOGRAPH) == Predictor(Local())(PHOTOGRAPH)).all()


def test_options_reach_the_network() -> None:
    seen: list[tuple[int, ...]] = []

    class Watched(Local):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(tuple(images.shape[2:]))
            return super().forward(images)

    Predictor(Watched(), inference=Inference(scales=(0.5, 1.0), mirror=True))(PHOTOGRAPH)
    assert seen == [(20, 28)] * 2 + [(40, 56)] * 2
    seen.clear()
    Predictor(Watched(), size=(20, 99), inference=Inference(window=16))(PHOTOGRAPH)
    assert set(seen) == {(16, 16)}  # at the height of training, 20 × 28
    assert len(seen) == 2 * 3


def test_a_crf_refines_what_the_net_says() -> None:
    plain, refined = Predictor(Local()), Predictor(Local(), inference=Inference(crf=True))
    image = torch.from_numpy(PHOTOGRAPH).permute(2, 0, 1)[None]
    wanted = DenseCRF(80, 13, 3, 10, 3)(plain.logits(PHOTOGRAPH), image).argmax(1)[0].numpy()
    assert (refined(PHOTOGRAPH) == wanted).all()
    assert (refined(PHOTOGRAPH) != plain(PHOTOGRAPH)).any()


def save(path: Path, size: tuple[int, int] = (8, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (120, 30, 200)).save(path)
    return path


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 9, 100, 1):
        save(tmp_path / "film" / f"frame{number}.png")
    (tmp_path / "film" / "notes.txt").write_text("no image")
    single = save(tmp_path / "cover.jpg")
    assert [path.name for path in image_files([single, tmp_path / "film"])] == ["cover.jpg", *(f"frame{n}.png" for n in (1, 9, 10, 100))]
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no image in this folder"):
        image_files([tmp_path / "empty"])


def test_each_prediction_has_a_file_of_its_own(tmp_path: Path) -> None:
    files, out = [save(tmp_path / "a.jpg"), save(tmp_path / "b.png")], tmp_path / "out"
    assert output_files(files, out) == {path: (out / f"{path.stem}.png", out / f"{path.stem}_overlay.png") for path in files}
    assert not out.exists()
    for other in ("deeper/b.jpg", "b_overlay.tif"):
        with pytest.raises(ValueError, match=r"b\.png and .* would both be written to .*out/b(_overlay)?\.png"):
            output_files([*files, save(tmp_path / other)], out)


@pytest.mark.parametrize("name", ["scene.png", "scene_overlay.png"])
@pytest.mark.parametrize("by", ["name", "another path", "link", "hard link"])
def test_no_image_is_replaced_by_its_prediction(tmp_path: Path, name: str, by: str) -> None:
    """Whichever way the folder of the results leads to a photograph, it is seen before anything is computed."""
    photograph, out = save(tmp_path / "photos" / name), tmp_path / "photos"
    if by == "another path":
        out = tmp_path / "photos" / ".." / "photos"
    if by.endswith("link"):
        out = tmp_path / "out"
        out.mkdir()
        (out / name).hardlink_to(photograph) if by == "hard link" else (out / name).symlink_to(photograph)
    other = save(tmp_path / "elsewhere" / "scene.jpg")
    with pytest.raises(ValueError, match=rf"photos/{name} would be overwritten by its prediction: give --out another folder"):
        output_files([other, photograph] if name == "scene_overlay.png" else [photograph], out)
    assert list(output_files([other], out)) == [other]


def test_one_image_is_in_memory_at_a_time(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{number}.png") for number in range(3)]
    stream = predictions(Predictor(Local()), files)
    next(stream)
    files[1].unlink()  # not read yet
    with pytest.raises(FileNotFoundError, match=r"1\.png: no such file"):
        next(stream)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_photographs_are_turned_as_their_cameras_say(tmp_path: Path, suffix: str) -> None:
    path, exif = tmp_path / f"turned.{suffix}", Image.Exif()
    exif[0x0112] = 6  # shown a quarter turned to the right
    left = Image.new("RGB", (32, 16), (200, 0, 0))
    left.paste((0, 0, 200), (16, 0, 32, 16))
    left.save(path, exif=exif)
    ((_, photograph, labels),) = predictions(Predictor(Local()), [path])
    assert photograph.shape == (32, 16, 3)
    assert labels.shape == (32, 16)
    assert [photograph[row, 8].argmax() for row in (4, 28)] == [0, 2]  # what was on the left is on top


@pytest.mark.parametrize("name", ["fcn8s", "segnet_basic", "unet", "dilation8", "deeplab_v3_resnet50", "pspnet_resnet50"])
def test_a_program_gives_what_the_model_gives(tmp_path: Path, name: str) -> None:
    options = {"segnet_basic": {"width": 0.25}, "unet": {"width": 0.125, "padding": "same"}}.get(name, {"backbone": "vgg_small"})
    model = models.build(name, 5, **options).eval()
    assert export_program(model, (48, 64), tmp_path / "model.pt2") <= 1e-5
    images = torch.randn(1, 3, 48, 64)
    again = torch.export.load(tmp_path / "model.pt2").module()(images)
    with torch.no_grad():
        torch.testing.assert_close(again, model(images), atol=1e-5, rtol=0)


class Unlike(Local):
    """Its logits are others in a program than outside."""

    def __init__(self, scale: float, difference: float) -> None:
        super().__init__()
        self.scale, self.difference = scale, difference

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * super().forward(images) + (self.difference if torch.compiler.is_compiling() else 0.0)


@pytest.mark.parametrize(("scale", "difference"), [(1, 1e-3), (1, float("nan")), (1e4, 1.0)])
def test_a_program_that_differs_is_not_written(tmp_path: Path, scale: float, difference: float) -> None:
    with pytest.raises(ArithmeticError, match=r"net\.pt2: not written, since the program's logits differ from the model's by (1\.0e|nan)"):
        export_program(Unlike(scale, difference), (8, 12), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


def test_what_rounding_makes_of_large_logits_is_no_difference(tmp_path: Path) -> None:
    assert 3 < export_program(Unlike(1e6, 4.0), (8, 12), tmp_path / "net.pt2") < 5
    with pytest.raises(ValueError, match=r"net\.zip: a program's file must end in \.pt2"):
        export_program(Local(), (8, 12), tmp_path / "net.zip")


CONFIG = {"data": {"size": None}, "palette": [[0, 0, 0]] * 4}


def test_a_program_slides_over_photographs_of_any_size(tmp_path: Path) -> None:
    export_program(Local(), (24, 32), tmp_path / "net.pt2", CONFIG)
    cpu, inference = torch.device("cpu"), Inference(scales=(0.5, 1.0), mirror=True)
    predictor, config = Predictor.of_program(tmp_path / "net.pt2", cpu, inference)
    torch.testing.assert_close(predictor.logits(PHOTOGRAPH), Predictor(Local(), inference=inference).logits(PHOTOGRAPH))
    assert config == CONFIG | {"program_size": [24, 32]}
    with pytest.raises(ValueError, match=r"its window; leave 16 out"):
        Predictor.of_program(tmp_path / "net.pt2", cpu, Inference(window=16))


def test_programs_that_cannot_be_used(tmp_path: Path) -> None:
    path, cpu = tmp_path / "net.pt2", torch.device("cpu")
    with pytest.raises(FileNotFoundError, match=r"net\.pt2: no such program"):
        Predictor.of_program(path, cpu, Inference())
    export_program(Local(), (8, 12), path)
    with pytest.raises(ValueError, match=r"net\.pt2: does not say which classes it knows"):
        Predictor.of_program(path, cpu, Inference())
    export_program(Local(), (8, 12), path, CONFIG)
    whole = path.read_bytes()
    for length in (0, len(whole) // 2, len(whole) - 100):  # the last ends with a whole archive within the archive
        path.write_bytes(whole[:length])
        with pytest.raises((OSError, ValueError), match=r"net\.pt2: .*damaged"):
            Predictor.of_program(path, cpu, Inference())


def test_the_commands(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    save(tmp_path / "film" / "frame2.png", (48, 32))
    save(tmp_path / "film" / "frame10.png", (48, 32))
    options = ["--window", "24", "--scales", "0.75", "1", "--mirror", "--crf", "--device", "cpu"]
    assert main(["predict", str(trained), str(tmp_path / "film"), "--out", str(tmp_path / "out"), *options]) == 0
    assert [line.split("/")[-1] for line in capsys.readouterr().out.splitlines()] == [
        f"frame{number}.png, frame{number}_overlay.png" for number in (2, 10)
    ]
    assert "overlap" in fails(capsys, "predict", trained, tmp_path / "film", "--out", tmp_path, "--window", 24, "--overlap", 1)
    assert main(["export", str(trained), "--out", str(tmp_path / "net.pt2"), "--size", "32", "48"]) == 0
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "net.pt2"), str(tmp_path / "film"), "--out", str(tmp_path / "same"), "--device", "cpu"]) == 0
    assert main(["predict", str(trained), str(tmp_path / "film"), "--out", str(tmp_path / "plain"), "--device", "cpu"]) == 0
    for path in (tmp_path / "plain").iterdir():
        with Image.open(path) as one, Image.open(tmp_path / "same" / path.name) as other:
            assert (np.array(one) == np.array(other)).all()


def test_scoring_takes_windows_and_scales(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    """What the network is given, and what the result says of it."""
    seen: set[tuple[int, ...]] = set()
    real = FCN.forward
    monkeypatch.setattr(FCN, "forward", lambda self, images: seen.add(tuple(images.shape[2:])) or real(self, images))
    sizes = {(): {(32, 48)}, ("--window", "16"): {(16, 16)}, ("--scales", "0.5", "1", "--mirror"): {(16, 24), (32, 48)}}
    for options, wanted in sizes.items():
        seen.clear()
        command = ["evaluate", str(trained), "--result", str(tmp_path / "found.json"), "--device", "cpu", "--quiet", *options]
        assert main(command) == 0
        assert seen == wanted
    inference = json.loads((tmp_path / "found.json").read_text())["inference"]
    assert inference == {"window": None, "overlap": 1 / 3, "scales": [0.5, 1.0], "mirror": True, "crf": False, "mixed_precision": "no"}


def test_scoring_in_batches_by_workers_in_fewer_bits(
    trained: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """More images at once and other processes to load them change no score; bf16 reaches the convolutions and is told of."""
    seen: list[tuple[int, torch.dtype]] = []
    real = FCN.forward

    def watched(self: FCN, images: Tensor) -> Tensor:
        logits = real(self, images)
        seen.append((len(images), logits.dtype))
        return logits

    monkeypatch.setattr(FCN, "forward", watched)
    command = ["evaluate", str(trained), "--device", "cpu", "--quiet"]
    assert main(command) == 0
    alone = capsys.readouterr().out
    assert main([*command, "--batch-size", "2", "--num-workers", "1"]) == 0
    assert capsys.readouterr().out == alone
    assert seen == [(1, torch.float32)] * 3 + [(2, torch.float32), (1, torch.float32)]
    seen.clear()
    assert main([*command, "--mixed-precision", "bf16", "--result", str(tmp_path / "found.json")]) == 0
    assert seen == [(1, torch.bfloat16)] * 3
    assert json.loads((tmp_path / "found.json").read_text())["inference"]["mixed_precision"] == "bf16"
    assert "--batch-size 0" in fails(capsys, *command, "--batch-size", "0")


def test_fewer_bits_are_the_nets_alone() -> None:
    """The mean over scales and the logits have the images' own precision."""
    net = Local()
    scores = Predictor(net, inference=Inference(16, mirror=True, mixed_precision="bf16")).logits(PHOTOGRAPH)
    assert scores.dtype == torch.float32
    exact = Predictor(net, inference=Inference(16, mirror=True)).logits(PHOTOGRAPH)
    assert 0 < (scores - exact).abs().max() < 0.05


def test_results_are_written_by_runs_and_read_into_a_table(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    path = tmp_path / "results" / "shapes.json"
    assert main(["evaluate", str(trained), "--result", str(path), "--device", "cpu", "--quiet"]) == 0
    result = json.loads(path.read_text())
    record = json.loads((trained / "metrics.jsonl").read_text())
    assert result["scores"]["mean_iou"] == pytest.approx(record["mean_iou"], abs=1e-4)
    assert result["command"] == "python -m edu_seg train --preset shapes-cpu --epochs 1"
    labels = [presets.labelled_set(SMALL, None, "val")[index][1] for index in range(SMALL.counts[1])]
    assert result["data"]["scored_pixels"] == sum(int((one != 255).sum()) for one in labels)
    assert result["machine"]["torch"] == torch.__version__.split("+")[0] or result["machine"]["torch"] == torch.__version__
    assert result["parameters"] == sum(p.numel() for p in models.build("fcn8s", 6, backbone="vgg_small").parameters())
    capsys.readouterr()
    assert main(["results", str(path.parent)]) == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| `shapes-cpu` | fcn8s |")
    assert f"| {100 * record['mean_iou']:.1f} |" in row
    (path.parent / "broken.json").write_text('{"preset": ')
    assert "broken.json: no result" in fails(capsys, "results", path.parent)
