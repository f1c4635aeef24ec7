"""CRFLab without a browser: its iterations against DenseCRF, what it keeps and sends, its strokes in JavaScript against Python's."""

import base64
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from in_node import as_modules, needs_node, node
from PIL import Image
from torch import Tensor
from unchecked import shapes_unchecked

from edu_seg.crf import DenseCRF, unary_from_scribbles
from edu_seg.widgets import CRFLab, CRFSettings, crf_steps, draw_strokes
from edu_seg.widgets.base import FOLDER
from edu_seg.widgets.crf_lab import PALETTE, SCRIPTS
from edu_seg.widgets.crf_steps import COUNTS, KEPT, PRESETS, RANGES, Solver

SIZE = (18, 25)
STROKES = [(0, [(3, 3), (12, 4)], 3), (1, [(9, 20)], 5)]


def photo(size: tuple[int, int] = SIZE) -> Tensor:
    image = torch.randint(0, 60, (3, *size), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    image[:, :, size[1] // 2 :] += 120
    return image


def scribbles() -> Tensor:
    return draw_strokes(SIZE, STROKES)


def reference(settings: CRFSettings) -> list:
    """The same by the package's DenseCRF, whose line is `code`."""
    unary = unary_from_scribbles(scribbles(), settings.num_classes, certainty=settings.certainty)
    return list(eval(settings.code, {"DenseCRF": DenseCRF}).steps(-unary[None], photo()[None]))


CASES = {
    "usual": CRFSettings(),
    "six labels": CRFSettings(num_classes=6, num_iterations=3),
    "sure": CRFSettings(certainty=0.999, num_iterations=1),
    **{name: CRFSettings(**values) for name, values in PRESETS.items()},
}


@pytest.mark.parametrize("name", CASES)
def test_iterations_are_those_of_dense_crf(name: str) -> None:
    settings = CASES[name]
    found, wanted = crf_steps(photo(), scribbles(), settings), reference(settings)
    assert found.probs.shape == (settings.num_iterations + 1, settings.num_classes, *SIZE)
    for step, probs, labels, energy in zip(wanted, found.probs, found.labels, found.energies, strict=True):
        assert np.abs(step.probs[0].numpy() - probs).max() < 1e-4
        assert energy == pytest.approx(float(step.free_energy), rel=1e-5, abs=1e-3)
        assert (labels == probs.argmax(0)).all()
    assert found.moved == [int((a != b).sum()) for a, b in zip(found.labels, found.labels[1:], strict=False)]


def test_the_labels_spread_and_the_energy_falls() -> None:
    """Each half of the photograph takes the label that is drawn on it; unary only, nothing moves."""
    found = crf_steps(photo(), scribbles())
    assert (found.labels[-1][:, :12] == 0).all()
    assert (found.labels[-1][:, 12:] == 1).all()
    assert (np.diff(found.energies)[:3] < -1).all()
    assert (np.diff(found.energies) < 1e-3).all()
    still = crf_steps(photo(), scribbles(), CRFSettings(**PRESETS["unary only"]))
    assert still.moved == [0] * 10
    assert (still.probs == still.probs[0]).all()


def test_of_equal_labels_the_lower_wins() -> None:
    undrawn = crf_steps(photo(), scribbles(), CRFSettings(num_classes=4)).labels[0][scribbles().numpy() == 255]
    assert (undrawn == 0).all()


def test_filters_are_built_only_for_what_changes() -> None:
    """By θ: a stroke, a weight or a number of labels builds none; one θ builds its own kernel; going back builds none."""
    solver = Solver(photo())
    built = []
    for values in ({}, {"bilateral_weight": 4}, {"num_classes": 5}, {"theta_beta": 20}, {"theta_gamma": 5}, {}, {"theta_alpha": 40}):
        solver.steps(scribbles(), CRFSettings(**values))
        built.append(solver.built)
    assert built == [2, 2, 2, 3, 4, 4, 5]
    solver.steps(draw_strokes(SIZE, [(1, [(0, 0)], 1)]), CRFSettings())
    assert solver.built == 5
    for beta in range(30, 30 + KEPT):
        solver.steps(scribbles(), CRFSettings(theta_beta=beta))
    solver.steps(scribbles(), CRFSettings())
    assert solver.built == 5 + KEPT + 1  # the first was longest unused, so it went


def test_kept_filters_give_what_new_ones_give() -> None:
    solver = Solver(photo())
    for values in ({"theta_beta": 20}, {}, {"theta_beta": 20}):
        found, wanted = solver.steps(scribbles(), CRFSettings(**values)), crf_steps(photo(), scribbles(), CRFSettings(**values))
        assert (found.probs == wanted.probs).all()
        assert found.energies == wanted.energies


def test_the_number_of_threads_is_given_back() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        crf_steps(photo(), scribbles())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_strokes() -> None:
    """A point is a disc, a line as wide as is said; the later stroke lies over the earlier."""
    picture = draw_strokes((5, 7), [(1, [(1, 1), (1, 5)], 1), (0, [(3, 5)], 3)])
    assert picture.tolist() == [
        [255] * 7,
        [255, 1, 1, 1, 1, 1, 255],
        [255, 255, 255, 255, 0, 0, 0],
        [255, 255, 255, 255, 0, 0, 0],
        [255, 255, 255, 255, 0, 0, 0],
    ]
    assert (draw_strokes((9, 9), [(0, [(4, 4)], 9)]) == 0).sum() == 69
    diagonal = draw_strokes((6, 6), [(2, [(0, 0), (5, 5), (0, 5)], 1)])
    assert (diagonal == 2).sum() == 11


BAD_STROKES = {
    r"label 6: give 0\.\.5": (6, [(1, 1)], 1),
    "0.5 pixels wide": (0, [(1, 1)], 0.5),
    "label 3 has no points": (3, [], 1),
    r"\(18, 2\) lies outside of 18 × 25": (0, [(1, 1), (18, 2)], 1),
}


@pytest.mark.parametrize("message", BAD_STROKES)
def test_impossible_strokes(message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_strokes(SIZE, [BAD_STROKES[message]])


@pytest.mark.parametrize("name", [*RANGES, *COUNTS])
def test_settings_out_of_range(name: str) -> None:
    low, high = (RANGES | COUNTS)[name]
    cases: list[dict[str, Any]] = [{name: value} for value in (low, high, low - 1, high + 1, float("nan"), "3", True)]
    for case in cases[:2]:
        assert getattr(CRFSettings(**case), name) == case[name]
    for case in cases[2:]:
        with shapes_unchecked(), pytest.raises(ValueError, match=f"{name} = {case[name]!r}: give"):
            CRFSettings(**case)


@pytest.mark.parametrize("certainty", [0.5, 1.0, float("nan")])
def test_certainty_out_of_range(certainty: float) -> None:
    with pytest.raises(ValueError, match=f"certainty = {certainty}"):
        CRFSettings(certainty=certainty)


def test_images_and_scribbles_that_do_not_fit() -> None:
    with shapes_unchecked():
        with pytest.raises(TypeError, match=r"must be uint8.*float32"):
            CRFLab(photo() / 255)
        with pytest.raises(ValueError, match=r"RGB \(3, H, W\).*\(1, 18, 25\)"):
            crf_steps(photo()[:1], scribbles())
        with pytest.raises(ValueError, match=r"have \(18, 24\) pixels, the image \(18, 25\)"):
            crf_steps(photo(), scribbles()[:, 1:])
    with pytest.raises(ValueError, match=r"250 × 200 pixels: give at most 40,000"):
        CRFLab(torch.zeros(3, 250, 200, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"label 2: with 2 labels give 0\.\.1"):
        crf_steps(photo(), scribbles().where(scribbles() != 1, 2))
    with pytest.raises(ValueError, match="label -1"):
        CRFLab(photo(), scribbles().where(scribbles() != 1, -1))
    with pytest.raises(ValueError, match="nothing was drawn"):
        crf_steps(photo(), torch.full(SIZE, 255))
    with pytest.raises(ValueError, match="7 names"):
        CRFLab(photo(), names=list("abcdefg"))


def test_traits_that_do_not_fit_are_taken_back() -> None:
    lab = CRFLab(photo(), scribbles())
    before = lab.steps
    for name, value in {"theta_beta": 3.5, "num_classes": 7, "iteration": 11, "opacity": 1.5}.items():
        with pytest.raises(ValueError, match=f"{name} = {value!r}: give"):
            setattr(lab, name, value)
    with pytest.raises(ValueError, match="have 3 pixels, the image 18 × 25"):
        lab.marks = "AAAA"
    for value in (float("inf"), None, "3"):
        with pytest.raises(traitlets.TraitError, match="theta_alpha"):
            setattr(lab, "theta_alpha", value)  # noqa: B010
    with pytest.raises(ValueError, match="no setting theta: give some of theta_alpha"):
        lab.set(theta=3)
    assert lab.settings == CRFSettings()
    assert lab.steps is before


def test_the_lab_follows_its_traits() -> None:
    """One by one and several at once: what it holds and sends is what `crf_steps` makes of it."""
    lab = CRFLab(photo(), scribbles(), CRFSettings(num_iterations=4))
    check(lab)
    lab.theta_beta = 30
    check(lab)
    assert lab.settings == CRFSettings(theta_beta=30, num_iterations=4)
    drawn = draw_strokes(SIZE, [*STROKES, (2, [(2, 2), (8, 20)], 1)])
    lab.set(num_classes=3, scribbles=drawn, spatial_weight=1, iteration=2)
    check(lab)
    assert (lab.scribbles == drawn).all()
    assert (lab.num_classes, lab.iteration) == (3, 2)
    with pytest.raises(ValueError, match=r"label 2: with 2 labels"):
        lab.num_classes = 2
    lab.set(num_classes=2, scribbles=scribbles())
    check(lab)
    lab.set(scribbles=torch.full(SIZE, 255))
    assert (lab.steps, lab.result, lab.answer["energies"]) == (None, "", [])
    lab.lacking += 1
    assert lab.probs == ""  # nor has anybody probabilities to send
    lab.set(scribbles=scribbles())
    check(lab)


def check(lab: CRFLab) -> None:
    wanted = crf_steps(photo(), lab.scribbles, lab.settings)
    lab.lacking += 1  # as a browser asks for the probabilities
    labels, probs = (np.frombuffer(base64.b64decode(text), np.uint8) for text in (lab.result, lab.probs))
    assert (labels == wanted.labels.ravel()).all()
    assert probs.shape == wanted.probs.ravel().shape
    assert np.abs(probs / 255 - wanted.probs.ravel()).max() <= 0.5 / 255 + 1e-6
    assert lab.answer["energies"] == wanted.energies
    assert (lab.answer["moved"], lab.answer["classes"], lab.answer["code"]) == (wanted.moved, lab.num_classes, lab.settings.code)


def test_a_message_of_the_browser_is_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several traits in one message: one computation, and its number in the answer; without a change no computation, but an answer."""
    lab = CRFLab(photo(), scribbles())
    calls, steps = [], Solver.steps
    monkeypatch.setattr(Solver, "steps", lambda self, *values: calls.append(values) or steps(self, *values))
    answers = []
    lab.observe(lambda change: answers.append(change["new"]["asked"]), "answer")
    marks = base64.b64encode(draw_strokes(SIZE, [*STROKES, (2, [(0, 0)], 3)]).byte().numpy().tobytes()).decode()
    lab.set_state({"marks": marks, "num_classes": 3, "theta_beta": 25, "asked": 1})
    assert (len(calls), answers) == (1, [1])
    check(lab)
    lab.set_state({"marks": marks, "num_classes": 3, "theta_beta": 25, "asked": 2})
    assert answers == [1, 2]
    assert len(calls) == 2  # the check above made the second
    check(lab)


def test_bytes_to_the_browser_text_into_a_page() -> None:
    lab = CRFLab(photo(), scribbles())
    for name in ("result", "probs"):
        assert lab.get_state(name)[name] == base64.b64decode(getattr(lab, name)) != b""


def test_an_answer_is_small_and_takes_old_probabilities_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels and energies only, in one message; the probabilities once they are asked for, and not twice."""
    lab = CRFLab(photo(), scribbles())
    assert len(base64.b64decode(lab.probs)) == 11 * 2 * 450  # at the start they are there
    sent: list[dict[str, int]] = []

    def send(message: dict[str, Any], buffers: Sequence[bytes] | None = None) -> None:
        if message["method"] == "update":
            names = [path[0] for path in message["buffer_paths"]]
            sent.append(dict(zip(names, map(len, buffers or []), strict=True)) | dict.fromkeys(message["state"], 0))

    monkeypatch.setattr(lab, "_send", send)
    lab.set_state({"bilateral_weight": 0, "asked": 1})
    assert lab.probs == ""
    assert sent == [{"result": 11 * 450, "probs": 0, "answer": 0}]
    for count in (1, 2):
        lab.set_state({"lacking": count})
        assert sent[1:] == [{"probs": 11 * 2 * 450}]
    check(lab)


def test_a_page_and_a_first_view_have_the_probabilities(tmp_path: Path) -> None:
    """Also right after a change, for which no browser has asked."""
    lab = CRFLab(photo(), scribbles())
    for beta, whole in (
        (25, lambda: base64.b64encode(lab.get_state()["probs"]).decode()),
        (30, lambda: page_state(lab, tmp_path)["probs"]),
    ):
        lab.theta_beta = beta
        assert lab.probs == ""
        assert lab.get_state(["theta_beta", "probs"])["probs"] == b""  # part of the state asks for nothing
        assert whole() == lab.probs != ""
        check(lab)


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """The scripts as modules that import each other."""
    return as_modules(SCRIPTS, tmp_path)


@needs_node
def test_the_browser_draws_what_python_draws(modules: Path) -> None:
    """Three hundred strokes of every width and direction, some along the edges."""
    chance = np.random.default_rng(0)
    asked = [[*chance.integers(0, [18, 25, 18, 25]).tolist(), int(chance.choice([1, 2, 3, 5, 9, 15]))] for _ in range(300)]
    script = """
import { NOTHING, drawSegment } from "./crf_lab_maths.mjs";
console.log(JSON.stringify(data.map(([row, column, lastRow, lastColumn, width]) => {
  const marks = new Uint8Array(18 * 25).fill(NOTHING);
  drawSegment(marks, [18, 25], [row, column], [lastRow, lastColumn], 1, width);
  return [...marks];
})));
"""
    for (row, column, last_row, last_column, width), marks in zip(asked, node(script, asked, modules), strict=True):
        assert draw_strokes(SIZE, [(1, [(row, column), (last_row, last_column)], width)]).flatten().tolist() == marks


@needs_node
def test_the_browser_reads_what_python_sends(modules: Path) -> None:
    """Labels, probabilities and shares, of base64 and of bytes; without probabilities the rest."""
    lab = CRFLab(photo(), scribbles(), CRFSettings(num_classes=3))
    steps = lab.steps
    assert steps is not None
    script = """
import { Iterations, asBytes, fromBase64, toBase64 } from "./crf_lab_maths.mjs";
const bytes = asBytes(data.result);
const bare = new Iterations(bytes, asBytes(""), data.answer, 450);
const none = [bare.isWhole, bare.probs(3, 77), bare.shares(3).join()];
const same = asBytes(new DataView(bytes.buffer, 5)).length === bytes.length - 5 && toBase64(fromBase64(data.marks)) === data.marks;
const found = new Iterations(bytes, asBytes(data.probs), data.answer, 450);
const look = (_, step) => ({ labels: [...found.labels(step)], shares: found.shares(step), probs: found.probs(step, 77) });
const all = Array.from({ length: found.count }, look);
console.log(JSON.stringify({ same, all, none, whole: found.isWhole }));
"""
    found = node(script, {name: getattr(lab, name) for name in ("result", "probs", "marks", "answer")}, modules)
    assert found["same"]
    assert found["whole"]
    assert found["none"] == [False, None, ",".join(str(share) for share in found["all"][3]["shares"])]
    for step, (sent, labels, probs) in enumerate(zip(found["all"], steps.labels, steps.probs, strict=True)):
        assert sent["labels"] == labels.flatten().tolist(), step
        assert sent["shares"] == [int((labels == label).sum()) for label in range(3)]
        assert sent["probs"] == pytest.approx(probs.reshape(3, -1)[:, 77].tolist(), abs=0.002)


@needs_node
def test_undo_and_redo(modules: Path) -> None:
    script = """
import { Scribbles } from "./crf_lab_maths.mjs";
const all = new Scribbles(new Uint8Array(450).fill(255), [18, 25], 3);
const seen = [];
const see = () => seen.push([all.count, all.classes, all.past.length, all.future.length]);
all.begin(); all.draw([5, 5], [5, 9], 2, 1); see();
all.begin(); all.draw([0, 0], [0, 3], 0, 1); see();
all.setClasses(2); see();
all.undo(); see();
all.undo(); see();
all.redo(); see();
all.clear(); see();
all.redo(); see();
for (let n = 0; n < 100; n += 1) all.clear();
see();
console.log(JSON.stringify(seen));
"""
    wanted = [[5, 3, 1, 0], [9, 3, 2, 0], [4, 2, 3, 0], [9, 3, 2, 1], [5, 3, 1, 2], [9, 3, 2, 1], [0, 3, 3, 0], [0, 3, 3, 0], [0, 3, 60, 0]]
    assert node(script, None, modules) == wanted


@needs_node
def test_sliders_offer_what_python_takes_and_all_presets(modules: Path) -> None:
    offered = node('import { OFFERED } from "./crf_lab_maths.mjs";\nconsole.log(JSON.stringify(OFFERED));', None, modules)
    assert list(offered) == list(RANGES)
    for name, (low, high) in RANGES.items():
        assert (offered[name][0], offered[name][-1]) == (low, high)
        assert offered[name] == sorted(offered[name])
    for values in ({name: getattr(CRFSettings(), name) for name in RANGES}, *PRESETS.values()):
        assert all(value in offered[name] for name, value in values.items())
        CRFSettings(**values)


WORDS = {
    "last": (4, None, "Iteration 4 of 4: 1 pixel changed label, free energy 12,346. Of all pixels: sky 75 %, sea 25 %."),
    "first": (0, None, "Iteration 0 of 4: only what is drawn counts, free energy 1,234,568. Of all pixels: sea 100 %, sky 0 %."),
    "pixel": (4, [1, 0], "Pixel (1, 0), drawn as sea, iteration 4: sea 80 %, sky 20 %."),
    "pixel, too early": (4, [1, 0], "Pixel (1, 0), drawn as sea."),
}


@needs_node
@pytest.mark.parametrize("case", WORDS)
def test_sentences(case: str, modules: Path) -> None:
    step, cell, words = WORDS[case]
    script = """
import { Iterations } from "./crf_lab_maths.mjs";
import { pixelWords, stepWords } from "./crf_lab_words.mjs";
const answer = { classes: 2, energies: [1234567.8, 5, 4, 3, 12345.6], moved: [2, 0, 5, 1] };
const [labels, probs] = [new Uint8Array(5 * 4), new Uint8Array(data.early ? 0 : 5 * 4 * 2)];
labels.set([0, 1, 1, 1], 16);
if (!data.early) probs.set([10, 10, 204, 10, 10, 10, 51, 10], 4 * 8);
const found = Object.assign(new Iterations(labels, probs, answer, 4), { width: 2 });
const names = ["sea", "sky"];
console.log(JSON.stringify(data.cell ? pixelWords(found, data.step, names, data.cell, 0) : stepWords(found, data.step, names)));
"""
    assert node(script, {"step": step, "cell": cell, "early": "early" in case}, modules) == words


@needs_node
def test_every_label_has_a_hatch_of_its_own(modules: Path) -> None:
    """Colours that differ, and lines that differ, or none; so they can be told apart without the colour."""
    script = """
import { onHatch } from "./crf_lab_views.mjs";
console.log(JSON.stringify(data.map((hatch) => Array.from({ length: 1600 }, (_, n) => onHatch(hatch, n % 40, Math.floor(n / 40))))));
"""
    hatched = node(script, CRFLab(photo()).data["hatches"], modules)
    assert len(hatched) == len(PALETTE) == 6
    assert len({tuple(map(bool, one)) for one in hatched}) == 6
    assert [any(one) for one in hatched] == [False, True, True, True, True, True]
    assert all(sum(map(bool, one)) < 500 for one in hatched)


def test_the_repr_and_the_picture_follow_the_lab() -> None:
    first, second = CRFLab(photo(), scribbles()), CRFLab(photo())
    second.set(scribbles=scribbles())
    bundles = [lab._repr_mimebundle_()[0] for lab in (first, second)]
    assert repr(first) == repr(second) == bundles[0]["text/plain"]
    assert repr(first).startswith(
        "CRFLab: a photograph of 25 × 18 pixels, scribbles of 2 labels on 57 of its pixels, the labels that "
        "DenseCRF(80, 13, 3, bilateral_weight=10, spatial_weight=3, num_iterations=10) makes of them, and its free energy; in Jup"
    )
    assert bundles[0]["text/html"] == bundles[1]["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundles[0]
    picture = Image.open(io.BytesIO(base64.b64decode(bundles[0]["text/html"].split("base64,")[1].split('"')[0])))
    assert picture.format == "PNG"
    assert picture.size[0] > 1000
    empty = CRFLab(photo())
    assert repr(empty).startswith("CRFLab: a photograph of 25 × 18 pixels, nothing drawn on it yet; in Jup")
    assert "base64," in empty._repr_mimebundle_()[0]["text/html"]


def test_the_front_end_asks_for_nothing() -> None:
    code = str(CRFLab._esm) + str(CRFLab._css)
    assert not re.search(r"https?://|^\s*import\b|import\(|fetch\(|@import", code, flags=re.M)
    assert code.count("export default") == 1
    assert sorted(SCRIPTS) == sorted(["lab.js", *(path.name for path in FOLDER.glob("crf_lab*.js"))])
    names = re.findall(r"^(?:export )?(?:const|let|class|function) (\w+)", str(CRFLab._esm), flags=re.M)
    assert len(names) == len(set(names)) > 20
    assert not {"window", "document", "name"} & set(names)


def page_state(lab: CRFLab, folder: Path, title: str | None = None) -> dict[str, Any]:
    """What a page of its own holds."""
    text = lab.export(folder / "lab.html", title).read_text(encoding="utf-8")
    return json.loads(re.search(r'id="state">(.*?)</script>', text)[1])  # pyright: ignore[reportOptionalSubscript]


def test_the_page_is_whole(tmp_path: Path) -> None:
    lab = CRFLab(photo(), scribbles(), names=["person", "a </script> of <b>"])
    state = page_state(lab, tmp_path, title="CRF & scribbles")
    text = (tmp_path / "lab.html").read_text(encoding="utf-8")
    assert "<title>CRF &amp; scribbles</title>" in text
    assert not re.search(r"https?://|\bsrc=|<link|^import |import\(", text, flags=re.M)
    assert (state["result"], state["probs"]) == (lab.result, lab.probs)
    assert state["data"]["names"][:3] == ["person", "a </script> of <b>", "label 2"]
    assert {name: state[name] for name in RANGES} == {name: getattr(CRFSettings(), name) for name in RANGES}
