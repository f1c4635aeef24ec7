"""The results that the repository holds, and the table that the README makes of them."""

from course_env import ROOT

from edu_seg import presets
from edu_seg.results import SCORES, read_results, table, training_command

RESULTS = read_results(ROOT / "data" / "results")


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


def test_scores_follow_from_each_other() -> None:
    for result in RESULTS:
        ious = [iou for iou in result["iou"].values() if iou is not None]
        assert abs(sum(ious) / len(ious) - result["scores"]["mean_iou"]) < 1e-3
        assert set(SCORES) == set(result["scores"])


def test_a_command_repeats_what_is_not_the_presets() -> None:
    fit = {"epochs": 3, "batch_size": presets.get("shapes-cpu").fit.batch_size, "deterministic": True}
    command = training_command({"preset": "shapes-cpu", "fit": fit})
    assert command == "python -m edu_seg train --preset shapes-cpu --deterministic --epochs 3"
