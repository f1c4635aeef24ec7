"""python -m edu_seg from end to end on generated scenes, and what it says to a user's mistakes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edu_seg import models, presets
from edu_seg.__main__ import COMMANDS, main
from edu_seg.datasets import Shapes
from edu_seg.datasets.transforms import Compose, Seeded
from edu_seg.losses import AuxiliaryLoss, CrossEntropy
from edu_seg.presets import PRESETS, DataSpec, Preset
from edu_seg.training import find_checkpoint, load_checkpoint

SMALL_FIT = replace(PRESETS["shapes-cpu"].fit, batch_size=4)
SMALL = DataSpec("shapes", size=(32, 48), counts=(8, 3), flip=0.5)


@pytest.fixture(autouse=True, scope="module")
def small_preset() -> Iterator[None]:
    """`shapes-cpu` with a handful of small scenes, and signals as they were."""
    handler, whole = signal.getsignal(signal.SIGTERM), PRESETS["shapes-cpu"]
    PRESETS["shapes-cpu"] = replace(whole, data=SMALL, fit=replace(whole.fit, batch_size=4))
    yield
    PRESETS["shapes-cpu"] = whole
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    run = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "--preset", "shapes-cpu", "--run", str(run), "--epochs", "1", "--device", "cpu", "--quiet"]) == 0
    return run


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line on stderr of a command that must fail with exit code 2."""
    assert main([str(a) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_train_leaves_a_run_that_says_what_it_is(trained: Path) -> None:
    config = json.loads((trained / "config.json").read_text())
    assert config["preset"] == "shapes-cpu"
    assert config["model"]["name"] == "fcn8s"
    assert config["model"]["options"]["backbone"] == "vgg_small"
    assert config["classes"] == list(Shapes.classes)
    assert config["fit"]["epochs"] == 1
    assert (trained / "predictions" / "epoch_001.png").is_file()
    assert load_checkpoint(find_checkpoint(trained)).config == config


def test_evaluate_prints_the_scores_that_training_found(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(trained), "--device", "cpu", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads((trained / "metrics.jsonl").read_text())
    printed = {line.rsplit(maxsplit=1)[0]: line.rsplit(maxsplit=1)[1] for line in lines[2:] if " " in line}
    names = {
        "pixel_accuracy": "pixel accuracy",
        "mean_accuracy": "mean accuracy",
        "mean_iou": "mean IU",
        "frequency_weighted_iou": "f.w. IU",
    }
    for score, name in names.items():
        assert printed[name] == f"{100 * record[score]:.1f}"
    assert set(Shapes.classes) < set(printed)


@pytest.mark.parametrize(("mode", "size"), [("RGB", (48, 32)), ("L", (31, 57)), ("RGBA", (7, 5)), ("P", (1, 1))])
def test_predict_writes_a_palette_png_and_an_overlay(trained: Path, tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    Image.effect_noise(size, 80).convert("RGB").convert(mode).save(tmp_path / "scene.png")
    assert main(["predict", str(trained), str(tmp_path / "scene.png"), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    with Image.open(tmp_path / "out" / "scene.png") as labels, Image.open(tmp_path / "out" / "scene_overlay.png") as overlay:
        assert labels.mode == "P"
        assert overlay.mode == "RGB"
        assert labels.size == overlay.size == size
        assert np.array(labels).max() < len(Shapes.classes)
        assert labels.getpalette()[: Shapes.palette.size] == Shapes.palette.flatten().tolist()  # type: ignore[index]


def test_predict_at_the_training_size_is_what_training_scored(trained: Path, tmp_path: Path) -> None:
    image, _ = presets.labelled_set(SMALL, None, "val")[0]
    Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy()).save(tmp_path / "scene.png")
    main(["predict", str(trained), str(tmp_path / "scene.png"), "--out", str(tmp_path / "out"), "--device", "cpu"])
    checkpoint = load_checkpoint(find_checkpoint(trained))
    model = PRESETS["shapes-cpu"].build(len(Shapes.classes))
    model.load_state_dict(checkpoint.model)
    with torch.inference_mode():
        scored = model.eval()(presets.evaluation_set(presets.labelled_set(SMALL, None, "val"))[0][0][None]).argmax(1)[0].numpy()
    with Image.open(tmp_path / "out" / "scene.png") as labels:
        assert (np.array(labels) == scored).mean() > 0.99  # the file has 8 bits a channel


def test_resume_goes_on_and_a_second_start_does_not(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "--preset", "shapes-cpu", "--run", str(trained), "--epochs", "1", "--device", "cpu", "--quiet"]
    assert "there is a run in this folder" in fails(capsys, *command)
    assert main([*command, "--resume"]) == 0
    assert "fit.lr" in fails(capsys, *command, "--resume", "--lr", "1")


def test_mistakes_are_one_line(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDU_SEG_DATA", raising=False)
    assert "camvid-cpu, camvid-cpu-fcn8s" in fails(capsys, "train", "--preset", "camvid")
    assert "EDU_SEG_DATA" in fails(capsys, "train", "--preset", "camvid-cpu", "--run", tmp_path / "run")
    assert str(tmp_path / "gone") in fails(capsys, "train", "--preset", "camvid-cpu", "--data", tmp_path / "gone")
    assert "scenes of Shapes are drawn" in fails(capsys, "train", "--preset", "shapes-cpu", "--cache", "yes", "--run", tmp_path / "run")
    assert "neither a checkpoint nor a run" in fails(capsys, "evaluate", tmp_path / "gone")
    assert "split = 'test'" in fails(capsys, "evaluate", trained, "--split", "test")
    assert "gone.png: no such file" in fails(capsys, "predict", trained, tmp_path / "gone.png", "--out", tmp_path)
    (tmp_path / "text.png").write_text("no image")
    assert "text.png: truncated or not an image" in fails(capsys, "predict", trained, tmp_path / "text.png", "--out", tmp_path / "out")
    Image.new("I;16", (4, 4)).save(tmp_path / "deep.png")
    assert "8 bits" in fails(capsys, "predict", trained, tmp_path / "deep.png", "--out", tmp_path / "out")
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "photo.png")
    assert "photo.png would be overwritten" in fails(capsys, "predict", trained, tmp_path / "photo.png", "--out", tmp_path)
    with Image.open(tmp_path / "photo.png") as photo:
        assert photo.getpixel((0, 0)) == (9, 9, 9)
    assert "both be written" in fails(capsys, "predict", trained, tmp_path / "a.png", tmp_path / "a.jpg", "--out", tmp_path)
    assert "fcn32s-voc: train that first" in fails(
        capsys, "train", "--preset", "fcn16s-voc", "--data", _voc(tmp_path), "--run", tmp_path / "r"
    )
    (tmp_path / "half.safetensors").write_bytes(find_checkpoint(trained).read_bytes()[:1000])
    assert "half.safetensors: damaged or half written" in fails(capsys, "evaluate", tmp_path / "half.safetensors")


def _voc(root: Path) -> Path:
    """A data set of one pair in VOC's layout."""
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(root / "JPEGImages" / "one.jpg")
    Image.new("P", (8, 8)).save(root / "SegmentationClass" / "one.png")
    for split in ("train", "val"):
        (root / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("one\n")
    return root


def test_a_staged_preset_starts_from_the_coarser_run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = replace(PRESETS["shapes-cpu"], stage_from="shapes-coarse")
    coarse = replace(fine, stage_from=None, model="fcn16s")
    monkeypatch.setitem(PRESETS, "shapes-coarse", coarse)
    monkeypatch.setitem(PRESETS, "shapes-fine", fine)
    common = ["--epochs", "1", "--device", "cpu", "--quiet", "--limit", "4"]
    assert main(["train", "--preset", "shapes-coarse", "--run", str(tmp_path / "coarse"), *common]) == 0
    stage = ["--lr", "0", "--stage-from", str(tmp_path / "coarse")]  # at rate 0 the weights stay what they were
    assert main(["train", "--preset", "shapes-fine", "--run", str(tmp_path / "fine"), *common, *stage]) == 0
    before, after = (load_checkpoint(find_checkpoint(tmp_path / name)).model for name in ("coarse", "fine"))
    torch.testing.assert_close(after["score_skips.pool4.weight"], before["score_skips.pool4.weight"])
    assert before["score_skips.pool4.weight"].any()


def test_a_stage_at_another_stride_takes_all_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DeepLab v3's second stage: the same net at output stride 8, its batch norms frozen."""
    common = replace(
        PRESETS["shapes-cpu"], model="deeplab_v3_resnet50", options={"backbone": "vgg_small"}, fit=replace(SMALL_FIT, epochs=1)
    )
    monkeypatch.setitem(PRESETS, "first", common)
    second = replace(common, options={"backbone": "vgg_small", "output_stride": 8}, stage_from="first", frozen_norm=True)
    monkeypatch.setitem(PRESETS, "second", second)
    options = ["--device", "cpu", "--quiet", "--limit", "4"]
    assert main(["train", "--preset", "first", "--run", str(tmp_path / "first"), *options]) == 0
    stage = ["--stage-from", str(tmp_path / "first"), "--lr", "0"]
    assert main(["train", "--preset", "second", "--run", str(tmp_path / "second"), *options, *stage]) == 0
    before, after = (load_checkpoint(find_checkpoint(tmp_path / name)).model for name in ("first", "second"))
    assert before.keys() == after.keys()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)


@pytest.mark.parametrize(("objects", "whole"), [("centred", False), ("proposals", True)])
def test_crops_around_objects_are_trained_on(objects: str, whole: bool) -> None:
    """Each as large as the net wants it; in the first stage with one object's label alone, in the second with all labels."""
    spec = replace(SMALL, size=(48, 64), objects=objects, object_size=40, crop=(32, 32))
    crops = presets.training_set(spec, presets.labelled_set(spec, None, "train"), seed=0)
    kinds = [len(set(crops[index][1].unique().tolist()) - {0, 255}) for index in range(len(crops))]
    assert len(crops) > SMALL.counts[0]
    assert {tuple(crops[index][0].shape) for index in range(len(crops))} == {(3, 32, 32)}
    assert (max(kinds) > 1) == whole
    with pytest.raises(ValueError, match="objects = 'all'"):
        presets.training_set(replace(spec, objects="all"), presets.labelled_set(spec, None, "train"), seed=0)


def test_models_lists_every_model_with_its_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert list(rows) == list(models.MODELS)
    assert "134,362,751" in rows["fcn8s"]
    assert "Long, Shelhamer and Darrell 2015" in rows["fcn8s"]


def test_models_tells_what_each_costs_or_why_not(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {name: models.MODELS[name] for name in ("segnet_basic", "deeplab_v3_resnet50", "deconvnet", "dilation_frontend", "crf_rnn")}
    monkeypatch.setattr(models, "MODELS", chosen)
    assert main(["models", "--cost", "97"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()[1:])
    assert rows["segnet_basic"].split() == ["1,417,237", "3.3", "18", "202"]
    assert rows["deeplab_v3_resnet50"].endswith("whole image")
    assert "193 × 193" in rows["deconvnet"]
    assert rows["dilation_frontend"].endswith("unknown")  # so small an image is mirrored more than once
    assert "colours" in rows["crf_rnn"]
    assert "--cost 0" in fails(capsys, "models", "--cost", "0")


def test_help_names_the_commands_and_imports_no_torch() -> None:
    code = "import sys; from edu_seg.__main__ import COMMANDS, main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"COLUMNS": "120"}, timeout=60)
    assert done.stdout.endswith("False\n")
    for command in ("train", "evaluate", "predict", "models"):
        assert command in done.stdout


def test_a_terminated_command_stops_as_an_interrupted_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped() -> None:
        """Stop."""
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note("Stopped in epoch 2.")
            raise

    monkeypatch.setitem(COMMANDS, "models", stopped)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == "Stopped in epoch 2.\n"


# Presets


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_cites_its_source_and_builds(name: str) -> None:
    preset = PRESETS[name]
    assert len(preset.source) > 40
    assert name.endswith("cpu") or "section" in preset.source
    assert preset.stage_from is None or preset.stage_from in PRESETS
    with torch.device("meta"):
        replace(preset, pretrained=False).build(21)


def test_the_papers_settings() -> None:
    """FCN, section 4.3, and the released solvers."""
    rates = {"fcn-alexnet-voc": 1e-3, "fcn32s-voc": 1e-4, "fcn-googlenet-voc": 5e-5}
    for name, lr in rates.items():
        fit = PRESETS[name].fit
        assert (fit.lr, fit.momentum, fit.batch_size, fit.weight_decay, fit.bias_lr, fit.bias_decay) == (lr, 0.9, 20, 5e-4, 2, 0)
    heavy = {name: PRESETS[f"{name}-voc-heavy"].fit for name in ("fcn32s", "fcn16s", "fcn8s")}
    assert [fit.lr for fit in heavy.values()] == [1e-10, 1e-12, 1e-14]
    assert all((fit.momentum, fit.batch_size, fit.normalise_loss) == (0.99, 1, False) for fit in heavy.values())


def test_a_run_finds_its_data_again_from_its_own_file() -> None:
    stored = json.loads(json.dumps(PRESETS["camvid-cpu"].description("camvid-cpu", Shapes(1))))
    assert DataSpec.from_json(stored["data"]) == PRESETS["camvid-cpu"].data


def test_unknown_names_are_listed() -> None:
    with pytest.raises(ValueError, match="there are fcn32s-voc"):
        presets.get("fcn")
    with pytest.raises(ValueError, match="shapes, camvid and voc"):
        presets.labelled_set(DataSpec("coco"), None, "train")


def test_class_weights_are_made_where_a_preset_asks_for_them() -> None:
    base = presets.labelled_set(SMALL, None, "train")
    plain = Preset("", "fcn8s", SMALL, PRESETS["shapes-cpu"].fit)
    assert "weight" not in presets.make_loss(plain, base).state_dict()
    weight = presets.make_loss(replace(plain, balance=0.5), base).state_dict()["weight"]
    assert weight[0] == weight[weight > 0].min()  # the background is the most frequent


def test_a_second_head_is_trained_where_a_preset_says_so() -> None:
    base = presets.labelled_set(SMALL, None, "train")
    for preset in PRESETS.values():
        assert bool(preset.auxiliary_weight) == bool(preset.options.get("auxiliary") or preset.options.get("scales"))
    loss = presets.make_loss(replace(PRESETS["camvid-cpu-psp-aux"], data=SMALL), base)
    assert isinstance(loss, AuxiliaryLoss)
    assert loss.auxiliary_weight == 0.4
    main = loss.main
    assert isinstance(main, CrossEntropy)
    assert main.weight is not None


def test_frozen_norms_keep_their_statistics() -> None:
    options = {"backbone": "resnet18", "width": 1 / 16, "output_stride": 8}
    preset = replace(PRESETS["deeplab-v3-resnet50-voc-os8"], options=options, pretrained=False)
    net = preset.build(3).train()
    before = {name: value.clone() for name, value in net.state_dict().items() if "running" in name}
    assert before
    net(torch.rand(1, 3, 33, 33))  # with statistics of its own, one image would not do
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())
    assert net.state_dict().keys() == replace(preset, frozen_norm=False).build(3).state_dict().keys()


@pytest.mark.parametrize("name", ["plain", "aspp", "psp", "psp-aux"])
def test_heads_compared_on_camvid_share_all_but_the_head(name: str) -> None:
    one, plain = PRESETS[f"camvid-cpu-{name}"], PRESETS["camvid-cpu-plain"]
    assert (one.data, one.fit, one.balance, one.restore_prior) == (plain.data, plain.fit, plain.balance, plain.restore_prior)
    torch.manual_seed(0)
    trunk = one.build(11).get_submodule("backbone")
    torch.manual_seed(0)
    assert all(
        torch.equal(a, b)
        for a, b in zip(trunk.state_dict().values(), plain.build(11).get_submodule("backbone").state_dict().values(), strict=True)
    )


def test_augmentation_of_a_preset_has_every_step() -> None:
    preset = PRESETS["pspnet-resnet50-voc"]
    data = presets.training_set(preset.data, Shapes(1), seed=0)
    assert isinstance(data, Seeded)
    steps = data.transform
    assert isinstance(steps, Compose)
    assert len(steps.transforms) == 6  # scale, rotation, crop, mirror, blur, normalise


def test_receptive_field_prints_the_table_of_any_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receptive-field", "torchvision.models:alexnet", "--size", "224", "200"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "kind", "map", "size", "stride", "padding"]
    assert next(line for line in lines if line.startswith("features.12")).split()[1:] == ["MaxPool2d", "6", "×", "5", "195", "32", "66"]
    assert next(line for line in lines if line.startswith("classifier.1")).endswith("sees the whole map")


def test_receptive_field_of_one_layer_of_a_model_of_the_course(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receptive-field", "fcn32s", "--size", "64", "64", "--layer", "score_fr"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-3:] == ["404", "32", "189"]


def test_receptive_field_builds_networks_that_compute_while_they_are_built(capsys: pytest.CaptureFixture[str]) -> None:
    """RegNet works its widths out with tensors: that fails without memory for numbers, and is done with it then."""
    assert (
        main(["receptive-field", "torchvision.models:regnet_x_400mf", "--leave-out-whole", "--layer", "trunk_output", "--containers"]) == 0
    )
    assert "32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["alexnett"], "no model is called 'alexnett'"),
        (["torchvision.models:alexnett"], "torchvision.models has no function 'alexnett'"),
        (["nowhere.at_all:net"], "nowhere"),
        (["torch:get_num_threads"], "gives a int"),
        (["torchvision.models:vit_b_16"], "aten.cat"),
        (["torchvision.models:alexnet", "--layer", "features.99"], "there is no such layer"),
        (["torchvision.models:alexnet", "--size", "0", "9"], "input_size = (0, 9)"),
    ],
)
def test_receptive_field_says_what_is_wrong(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said in fails(capsys, "receptive-field", *arguments)
