"""The results that the repository holds, and the table that the README makes of them."""

import nbformat
import pytest
from course_env import NOTEBOOKS, ROOT

from edu_seg import models, presets
from edu_seg.catalogue import model_table
from edu_seg.results import SCORES, read_results, table, training_command

RESULTS = read_results(ROOT / "data" / "results")
BEST = {result["model"]["name"]: result for result in reversed(RESULTS) if result["preset"].startswith("camvid-cpu")}
SLIDE = {
    "FCN-8s": "fcn8s",
    "PSPNet": "pspnet_resnet50",
    "DeepLab v3": "deeplab_v3_resnet50",
    "DRN-C-26": "drn_c_26",
    "Dilation8": "dilation8_camvid",
    "SegNet": "segnet_basic",
    "U-Net": "unet",
}
"""Names on the slide of notebook 11 with our own table -> models"""


def test_the_readmes_table_is_that_of_the_files() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.partition("<!-- results -->\n")[2].partition("\n<!-- /results -->")[0] == table(RESULTS)


def test_each_result_is_of_a_preset_as_it_is_now() -> None:
    """Its model, its images and its length: a preset that has changed since wants another run."""
    assert RESULTS
    for result in RESULTS:
        preset = presets.get(result["preset"])
        assert (result["model"]["name"], result["model"]["options"]) == (preset.model, preset.options)
        assert result["epochs"] == preset.fit.epochs
        assert result["command"].startswith(f"python -m edu_seg train --preset {result['preset']}")
        assert result["data"]["scored_pixels"] > 10**6


def test_the_slide_of_notebook_11_holds_the_files_scores() -> None:
    notebook = nbformat.read(NOTEBOOKS / "11_training_at_scale.ipynb", as_version=4)
    texts = [cell.metadata.get("slideshow", {}).get("text", "") for cell in notebook.cells]
    (text,) = (text for text in texts if all(name in text for name in SLIDE))
    names, _, epochs, scores = ([cell.strip(" *") for cell in line.strip("|").split("|")] for line in text.splitlines())
    shown = [BEST[SLIDE[name]] for name in names[1:]]
    assert epochs[1:] == [f"{result['epochs']}" for result in shown]
    assert scores[1:] == [f"{100 * result['scores']['mean_iou']:.1f}" for result in shown]
    assert set(names[1:]) == set(SLIDE)


def test_scores_follow_from_each_other() -> None:
    for result in RESULTS:
        ious = [iou for iou in result["iou"].values() if iou is not None]
        assert abs(sum(ious) / len(ious) - result["scores"]["mean_iou"]) < 1e-3
        assert set(SCORES) == set(result["scores"])


def test_a_command_repeats_what_is_not_the_presets() -> None:
    fit = {"epochs": 3, "batch_size": presets.get("shapes-cpu").fit.batch_size, "deterministic": True}
    command = training_command({"preset": "shapes-cpu", "fit": fit})
    assert command == "python -m edu_seg train --preset shapes-cpu --deterministic --epochs 3"


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
    results = [{"model": {"name": "segnet_basic"}, "scores": {"mean_iou": score}} for score in (0.25, 0.5, 0.125)]
    assert model_table(results, 64).splitlines()[2:] == [
        "| `segnet_basic` | Badrinarayanan, Kendall and Cipolla 2017 | 1,417,237 | 1 | 202 | 50.0 |"
    ]
