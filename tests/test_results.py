"""The results that the repository holds, and the table that the README makes of them."""

import functools
import json
import shlex
import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
from course_env import NOTEBOOKS, ROOT
from torch import nn

from edu_seg import models, presets
from edu_seg.__main__ import COMMANDS, main
from edu_seg.catalogue import model_table
from edu_seg.metrics import ConfusionMatrix
from edu_seg.results import PAPERS_CAMVID, SCORES, make_result, read_results, table, training_command
from edu_seg.training import Checkpoint

RESULTS = read_results(ROOT / "data" / "results")
OF_PRESET = {result["preset"]: result for result in RESULTS}
SLIDE = {
    "FCN-8s": "camvid-cpu-fcn8s",
    "PSPNet": "camvid-cpu-pspnet",
    "DeepLab v3": "camvid-cpu-deeplab-v3",
    "DRN-C-26": "camvid-cpu-drn",
    "Dilation8": "camvid-cpu-dilation8",
    "SegNet": "camvid-cpu-segnet",
    "U-Net": "camvid-cpu-unet",
}
"""Names on the slide of notebook 11 with our own table -> presets"""


@pytest.fixture(autouse=True)
def signals_as_they_were() -> Iterator[None]:
    """The command line takes SIGTERM for itself."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


def test_the_readmes_table_is_that_of_the_files() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.partition("<!-- results -->\n")[2].partition("\n<!-- /results -->")[0] == table(RESULTS)


def test_each_result_is_of_a_preset_as_it_is_now() -> None:
    """Its model, its images and its length: a preset that has changed since wants another run."""
    assert RESULTS
    for result in RESULTS:
        preset = presets.get(result["preset"])
        assert (result["model"]["name"], result["model"]["options"]) == (preset.model, preset.without_weights().options)
        assert result["epochs"] == preset.fit.epochs
        known = {name: result["data"][name] for name in asdict(preset.data) if name in result["data"]}  # a later one has its default
        assert presets.DataSpec.from_json(known) == preset.data
        fit = json.loads(json.dumps(asdict(preset.fit)))
        assert {name: fit[name] for name in result.get("fit", {})} == result.get("fit", {})
        assert {name: getattr(preset, name) for name in result.get("loss", {})} == result.get("loss", {})
        assert result["command"].startswith(f"python -m edu_seg train --preset {result['preset']}")
        assert result["data"]["scored_pixels"] > 10**6


def test_the_slide_of_notebook_11_holds_the_files_scores() -> None:
    notebook = nbformat.read(NOTEBOOKS / "11_training_at_scale.ipynb", as_version=4)
    texts = [cell.metadata.get("slideshow", {}).get("text", "") for cell in notebook.cells]
    (text,) = (text for text in texts if all(name in text for name in SLIDE))
    names, _, epochs, scores = ([cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines())
    shown = [OF_PRESET[SLIDE[name]] for name in names[1:]]
    assert epochs[1:] == [f"{result['epochs']}" for result in shown]
    assert scores[1:] == [f"{100 * result['scores']['mean_iou']:.1f}" for result in shown]
    assert set(names[1:]) == set(SLIDE)


def test_each_net_of_our_own_table_took_no_more_than_twelve_minutes() -> None:
    """By the clock, with all that lies between epochs."""
    for name in [*SLIDE.values(), "camvid-cpu"]:
        assert OF_PRESET[name]["minutes"] <= OF_PRESET[name]["wall_minutes"] <= 12


def test_scores_follow_from_each_other() -> None:
    for result in RESULTS:
        ious = [iou for iou in result["iou"].values() if iou is not None]
        assert abs(sum(ious) / len(ious) - result["scores"]["mean_iou"]) < 1e-3
        assert set(SCORES) == set(result["scores"])


def test_a_command_repeats_what_is_not_the_presets() -> None:
    fit = {"epochs": 3, "batch_size": presets.get("shapes-cpu").fit.batch_size, "deterministic": True}
    command = training_command({"preset": "shapes-cpu", "fit": fit})
    assert command == "python -m edu_seg train --preset shapes-cpu --deterministic --epochs 3"
    start = {"limit": 8, "random_weights": True, "sbd": True, "stages": [{"preset": "first"}, {"preset": "second"}]}
    command = training_command({"preset": "shapes-cpu", "fit": {}, "start": start})
    assert command == "python -m edu_seg train --preset shapes-cpu --limit 8 --random-weights --sbd SBD --stage-from runs/second"
    pspnet = presets.get("pspnet-resnet50-voc")
    scaled = {"preset": "pspnet-resnet50-voc", "fit": {"epochs": pspnet.fit_for(1_464).epochs, "batch_size": pspnet.fit.batch_size}}
    assert training_command(scaled | {"train_images": 1_464}) == "python -m edu_seg train --preset pspnet-resnet50-voc"
    assert training_command(scaled | {"train_images": 10_582}).endswith(f" --epochs {pspnet.fit_for(1_464).epochs}")
    limited = scaled | {"train_images": 32, "start": {"limit": 32}}
    assert training_command(limited).endswith(f" --epochs {pspnet.fit_for(1_464).epochs} --limit 32")
    nothing = {"limit": None, "random_weights": False, "sbd": False, "stages": []}
    assert training_command({"preset": "gone", "fit": {"lr": 0.1}, "start": nothing}) == "python -m edu_seg train --preset gone --lr 0.1"


def understood(command: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `train` would be called with."""
    given: dict[str, Any] = {}
    monkeypatch.setitem(COMMANDS, "train", functools.wraps(COMMANDS["train"])(lambda *args, **options: given.update(options)))
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "edu_seg"]
    assert main(words[3:]) == 0
    return given


def test_each_files_commands_are_ones_that_train_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net that starts from another names it, and the commands before make it. Older files do not know their stages."""
    for result in RESULTS:
        stages = result.get("stages", [])
        for run in [*stages, result]:
            assert understood(run["command"], monkeypatch)["preset"] == run["preset"]
        if "stages" in result and presets.get(result["preset"]).stage_from:
            assert understood(result["command"], monkeypatch)["stage_from"] == Path("runs") / stages[-1]["preset"]


def test_a_staged_run_tells_of_its_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the command line to the table, and the commands that the file holds mean what was done."""
    whole = presets.PRESETS["shapes-cpu"]
    small = replace(whole, data=replace(whole.data, size=(32, 32), counts=(8, 3)), fit=replace(whole.fit, batch_size=4, epochs=1))
    monkeypatch.setitem(presets.PRESETS, "coarse", replace(small, model="fcn16s"))
    monkeypatch.setitem(presets.PRESETS, "fine", replace(small, stage_from="coarse"))
    common = ["--device", "cpu", "--quiet"]
    coarse, fine, file = (str(tmp_path / name) for name in ("coarse", "fine", "results/fine.json"))
    assert main(["train", "--preset", "coarse", "--run", coarse, *common, "--epochs", "2"]) == 0
    assert main(["train", "--preset", "fine", "--run", fine, *common, "--stage-from", coarse, "--limit", "6"]) == 0
    assert main(["evaluate", fine, *common, "--result", file, "--limit", "2"]) == 0
    (result,) = read_results(tmp_path / "results")
    (stage,) = result["stages"]
    assert (stage["preset"], stage["epochs"], stage["command"]) == ("coarse", 2, "python -m edu_seg train --preset coarse --epochs 2")
    assert result["command"] == "python -m edu_seg train --preset fine --limit 6 --stage-from runs/coarse"
    given = understood(result["command"], monkeypatch)
    assert (given["limit"], given["stage_from"]) == (6, Path("runs/coarse"))
    assert result["data"]["images"] == 2
    assert result["data"]["train_images"] == 6
    assert result["wall_minutes"] >= 0
    assert len(result["trained_on"]) == 1
    assert "| 2 + 1 |" in table([result])


def test_without_a_history_the_time_is_not_made_up() -> None:
    checkpoint = Checkpoint(1, 1, {}, config={"preset": "shapes-cpu", "fit": {}})
    with pytest.raises(ValueError, match=r"metrics\.jsonl is missing or empty"):
        make_result(nn.Identity(), checkpoint, ConfusionMatrix(2), [], "val", torch.device("cpu"))


def test_the_papers_own_score_stands_beside_ours() -> None:
    """On CamVid alone, for the nets whose papers have one; other cells of the column are empty."""
    for result, line in zip(RESULTS, table(RESULTS).splitlines()[2:], strict=True):
        cell = line.split("|")[-2].strip()
        assert cell == ("65.3 (test list)" if result["model"]["name"] == "dilation8_camvid" else "")
    assert set(PAPERS_CAMVID) <= set(models.MODELS)
    elsewhere = next(result for result in RESULTS if result["model"]["name"] == "dilation8_camvid")
    assert table([elsewhere | {"data": {"kind": "folder"}}]).endswith("|  |")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff"])
def test_what_is_no_result_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json: no result of `evaluate --result`"):
        read_results(tmp_path)


def test_the_readmes_table_of_models_is_made_of_the_models_and_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of its lines, made anew; the names of all."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = readme.partition("<!-- models -->\n")[2].partition("\n<!-- /models -->")[0].splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == list(models.MODELS)
    chosen = {name: models.MODELS[name] for name in ("fcn8s", "segnet_basic", "unet", "dilation8_camvid", "drn_c_26", "crf_rnn")}
    monkeypatch.setattr(models, "MODELS", chosen)
    assert set(model_table(RESULTS).splitlines()) <= set(lines)


def test_the_table_of_models_shows_the_best_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "MODELS", {"segnet_basic": models.MODELS["segnet_basic"]})
    results: list[dict[str, Any]] = [
        {"model": {"name": "segnet_basic", "options": options}, "data": {"kind": kind}, "scores": {"mean_iou": score}}
        for kind, score, options in (
            *(("camvid", 0.25, {}), ("camvid", 0.5, {"width": 0.25}), ("camvid", 0.125, {})),
            *(("folder", 0.75, {}), ("camvid", 0.875, {"skips": ["pool4"]})),
        )
    ]
    assert model_table(results, 64).splitlines()[2:] == [
        "| `segnet_basic` | Badrinarayanan, Kendall and Cipolla 2017 | 1,417,237 | 1 | 202 | 50.0 |"
    ]
