"""CRFLab in a real JupyterLab and as a page of its own: strokes and settings reach Python, what it sends is what is shown."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page
from torch import Tensor

from edu_seg.widgets import CRFLab, CRFSettings, CRFSteps, crf_steps, draw_strokes
from edu_seg.widgets.crf_steps import PRESETS

pytestmark = pytest.mark.browser

SIZE = (24, 32)
STROKES = [(0, [(12, 4), (18, 6)], 3), (1, [(5, 25), (12, 27)], 3)]
SETUP = """
import json
import torch
from ipywidgets import HTML, Button
from edu_seg.widgets import CRFLab, CRFSettings, draw_strokes
image = torch.randint(0, 60, (3, 24, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
image[:, :, 16:] += 150
scribbles = draw_strokes((24, 32), [(0, [(12, 4), (18, 6)], 3), (1, [(5, 25), (12, 27)], 3)])
lab = CRFLab(image, scribbles, names=["dark", "light"])
seen = HTML()
def look(_):
    drawn = lab.scribbles
    marks = [[label, *drawn.eq(label).nonzero().flatten().tolist()] for label in drawn.unique().tolist() if label != 255]
    names = ["theta_alpha", "theta_beta", "theta_gamma", "bilateral_weight", "spatial_weight", "num_classes"]
    seen.value = json.dumps({"drawn": marks, "settings": [getattr(lab, name) for name in names], "iteration": lab.iteration})
button = Button(description="what Python holds")
button.on_click(look)
setter = Button(description="set by Python")
setter.on_click(lambda _: lab.set(theta_beta=7.5, bilateral_weight=4, iteration=3, num_classes=3, scribbles=scribbles))
display(lab, button, seen, setter)
"""
EMPTY = "CRFLab(image)"


def image() -> Tensor:
    found = torch.randint(0, 60, (3, *SIZE), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found[:, :, 16:] += 150
    return found


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with a lab, buttons that ask and set it in Python, and a lab without scribbles; live."""
    with lab.live(tmp_path_factory.mktemp("crf"), [SETUP, EMPTY], ".crf") as page:
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    path = CRFLab(image(), draw_strokes(SIZE, STROKES), names=["dark", "light"]).export(tmp_path_factory.mktemp("page") / "crf.html")
    with lab.exported(path, ".crf") as page:
        yield page


def place(root: Locator, cell: tuple[int, int]) -> tuple[float, float]:
    """The middle of a pixel on the screen."""
    canvas = root.locator(".photo canvas")
    canvas.scroll_into_view_if_needed()
    box, scale = canvas.bounding_box(), float(canvas.get_attribute("data-scale") or 0)
    assert box is not None
    return box["x"] + (cell[1] + 0.5) * scale, box["y"] + (cell[0] + 0.5) * scale


def point(root: Locator, cell: tuple[int, int]) -> dict[str, str]:
    root.page.mouse.move(*place(root, cell))
    return attributes(root, cell=f"{cell[0]},{cell[1]}")


def drag(root: Locator, *cells: tuple[int, int]) -> None:
    mouse = root.page.mouse
    mouse.move(*place(root, cells[0]))
    mouse.down()
    for cell in cells[1:]:
        mouse.move(*place(root, cell))
    mouse.up()


def settled(root: Locator, **wanted: str) -> dict[str, str]:
    """The state once Python has answered, and has sent the probabilities too."""
    root.page.wait_for_timeout(50)
    return attributes(root, waiting="false", whole="true", **wanted)


def check(root: Locator, steps: CRFSteps, step: int) -> None:
    """The iteration shown is Python's: energy, shares of the labels, and the probabilities at some pixels."""
    root.page.mouse.move(2, 2)
    found = settled(root, step=f"{step}", cell="")
    assert float(found["energy"]) == pytest.approx(steps.energies[step], rel=1e-6)
    classes = steps.probs.shape[1]
    assert found["shares"] == ",".join(str(int((steps.labels[step] == label).sum())) for label in range(classes))
    for cell in ((0, 0), (13, 15), (23, 31)):
        probs = [float(share) for share in point(root, cell)["probs"].split(",")]
        assert np.abs(np.array(probs) - steps.probs[step, :, cell[0], cell[1]]).max() < 0.003
    root.page.mouse.move(2, 2)


def held(page: Page) -> dict:
    """What Python holds, asked by a button beside the lab."""
    page.get_by_role("button", name="what Python holds").click()
    page.wait_for_timeout(300)
    return json.loads(page.locator(".widget-html-content").first.inner_text())


def drawn(scribbles: Tensor) -> list:
    return [[label, *scribbles.eq(label).nonzero().flatten().tolist()] for label in scribbles.unique().tolist() if label != 255]


@pytest.fixture
def root(page: Page) -> Locator:
    """The first lab as it was at the start, set by Python."""
    root = page.locator(".crf").first
    page.keyboard.press("Escape")
    while root.get_attribute("data-classes") != "2":
        root.get_by_role("button", name="One label fewer").click()
        settled(root)
    root.get_by_role("button", name="both kernels").click()
    root.get_by_role("button", name="Clear").click()
    root.locator(".labelling select").select_option("3")
    for label, cells, _ in STROKES:
        root.locator(".line button").nth(label).click()
        drag(root, *cells)
        settled(root, pen=f"{label}")
    root.locator(".photo input").first.fill("10")
    settled(root, drawn=f"{int((draw_strokes(SIZE, STROKES) != 255).sum())}", step="10")
    return root


def test_strokes_of_the_mouse_are_those_of_python(page: Page, root: Locator) -> None:
    scribbles = draw_strokes(SIZE, STROKES)
    assert held(page)["drawn"] == drawn(scribbles)
    check(root, crf_steps(image(), scribbles), 10)
    root.locator(".labelling select").select_option("5")
    drag(root, (2, 2), (9, 20), (20, 8))
    settled(root)
    more = draw_strokes(SIZE, [*STROKES, (1, [(2, 2), (9, 20), (20, 8)], 5)])
    assert held(page)["drawn"] == drawn(more)
    check(root, crf_steps(image(), more), 10)


def test_keys_draw_choose_erase_and_undo(page: Page, root: Locator) -> None:
    """Space paints a dab, Enter holds the pen down along the arrows; U takes back a whole stroke."""
    root.get_by_role("button", name="Clear").click()
    canvas = root.locator(".photo canvas")
    canvas.focus()
    for key in ("0", "ArrowUp", "ArrowUp", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    first = draw_strokes(SIZE, [(0, [(11, 15)], 3)])
    settled(root, drawn="9", cell="11,15")
    for key in ("1", "[", "Shift+ArrowRight", "Enter", "ArrowDown", "ArrowDown", "ArrowRight", "Enter", "ArrowRight"):
        page.keyboard.press(key)
    both = draw_strokes(SIZE, [(0, [(11, 15)], 3), (1, [(11, 25), (13, 25), (13, 26)], 1)])
    found = settled(root, cell="13,27", down="false")
    assert int(found["drawn"]) == int((both != 255).sum())
    assert held(page)["drawn"] == drawn(both)
    canvas.focus()
    page.keyboard.press("u")
    settled(root, drawn="9")
    assert held(page)["drawn"] == drawn(first)
    canvas.focus()
    page.keyboard.press("Control+y")
    settled(root, drawn=found["drawn"])
    page.keyboard.press("Control+z")
    for key in ("e", "ArrowUp", "ArrowUp", "ArrowLeft", "Space"):
        page.keyboard.press(key)
    assert settled(root, drawn="8")["pen"] == "255"


def test_sliders_presets_and_labels_reach_python(page: Page, root: Locator) -> None:
    """A preset, a slider moved by keys, a third label: what is shown is what Python finds for these settings."""
    scribbles = draw_strokes(SIZE, STROKES)
    root.get_by_role("button", name="too narrow").click()
    settled(root, settings="10,4,3,10,3")
    check(root, crf_steps(image(), scribbles, CRFSettings(**PRESETS["too narrow"])), 10)
    slider = root.locator('input[data-name="theta_gamma"]')
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    settled(root, settings="10,4,5,10,3")
    root.get_by_role("button", name="One label more").click()
    settled(root, classes="3")
    assert held(page)["settings"] == [10, 4, 5, 10, 3, 3]
    check(root, crf_steps(image(), scribbles, CRFSettings(10, 4, 5, 10, 3, 3)), 10)
    assert root.locator("pre").inner_text() == CRFSettings(10, 4, 5).code


def test_fewer_labels_take_their_scribbles_away_and_undo_brings_them_back(page: Page, root: Locator) -> None:
    root.get_by_role("button", name="One label more").click()
    settled(root, classes="3")
    root.locator(".photo canvas").focus()
    for key in ("2", "ArrowUp", "Space"):
        page.keyboard.press(key)
    whole = settled(root, pen="2")["drawn"]
    assert len(held(page)["drawn"]) == 3
    root.get_by_role("button", name="One label fewer").click()
    fewer = settled(root, classes="2")
    assert int(fewer["drawn"]) < int(whole)
    assert fewer["pen"] == "0"
    root.get_by_role("button", name="Undo").click()
    settled(root, classes="3", drawn=whole)


def test_iterations_play_and_step(page: Page, root: Locator) -> None:
    steps = crf_steps(image(), draw_strokes(SIZE, STROKES))
    root.locator(".photo canvas").focus()
    page.keyboard.press("Home")
    check(root, steps, 0)
    root.locator(".photo canvas").focus()
    page.keyboard.press("PageDown")
    check(root, steps, 1)
    assert held(page)["iteration"] == 1
    root.get_by_role("button", name="Play").click()
    attributes(root, playing="true", step="3")
    root.get_by_role("button", name="Pause").click()
    attributes(root, playing="false")
    page.keyboard.press("End")
    check(root, steps, 10)
    box = root.locator(".energy canvas").bounding_box()
    assert box is not None
    root.locator(".energy canvas").click(position={"x": box["width"] * 0.6, "y": 60})
    assert 3 <= int(attributes(root)["step"]) <= 7


def test_python_sets_what_is_shown(page: Page, root: Locator) -> None:
    page.get_by_role("button", name="set by Python").click()
    settled(root, settings="80,7.5,3,4,3", classes="3", step="3")
    check(root, crf_steps(image(), draw_strokes(SIZE, STROKES), CRFSettings(theta_beta=7.5, bilateral_weight=4, num_classes=3)), 3)
    assert root.locator('.slider:has(input[data-name="theta_beta"]) output').inner_text() == "7.5 grey levels"


def test_one_question_at_a_time(page: Page, root: Locator) -> None:
    """A slider that is swept asks Python only for where it is once the last answer has come, and ends where the slider ends."""
    before = int(settled(root)["answered"])
    slider = root.locator('input[data-name="bilateral_weight"]')
    slider.evaluate("""node => { for (let n = 0; n <= 40; n += 1) { node.value = n; node.dispatchEvent(new Event("input")); } }""")
    after = int(settled(root, settings="80,13,3,20,3")["answered"])
    assert 1 <= after - before <= 3


# Every state from now on in which a pixel is pointed at: the answer's number, whether its probabilities are there, and what is said.
WATCH = """root => {
  window.states = [];
  new MutationObserver(() => {
    const { answered, whole, probs, cell } = root.dataset;
    const [title, words] = [".labelling h3", ".says"].map((part) => root.querySelector(part).textContent);
    if (cell) window.states.push([Number(answered), whole, probs, title, words]);
  }).observe(root, { attributes: true });
}"""


def test_probabilities_follow_in_a_pause_and_are_never_those_of_the_picture_before(page: Page, root: Locator) -> None:
    """Until they come, the bars show the labels' shares, and the sentence says nothing of them."""
    before = point(root, (13, 15))
    root.evaluate(WATCH)
    for name, probs in (("unary only", "0.502,0.502"), ("both kernels", before["probs"]), ("unary only", "0.502,0.502")):
        root.get_by_role("button", name=name).evaluate("node => node.click()")  # the mouse stays on the photograph
        settled(root, cell="13,15", probs=probs)
    assert before["probs"] != "0.502,0.502"
    states = page.evaluate("window.states")
    early = [state for state in states if state[1] == "false"]
    assert {state[0] for state in early} >= {int(before["answered"]) + n for n in (1, 2, 3)}  # each answer is shown before they are there
    assert all((probs, title) == ("", "Labels and their share of the pixels") for _, _, probs, title, _ in early)
    assert all(words.startswith("Pixel (13, 15).") for *_, words in early)
    late = [state for state in states if state[1] == "true"]
    assert all(title == "P(label) at pixel (13, 15)" and "iteration 10: " in words for *_, title, words in late)
    for answered in {state[0] for state in late}:
        assert len({probs for number, _, probs, *_ in late if number == answered}) == 1


def test_a_sweep_is_not_held_up_by_probabilities(page: Page, root: Locator) -> None:
    """They are asked for once, after the last of many quick changes."""
    page.evaluate("""() => {
      window.asked = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) {
        const text = typeof values[0] === "string" ? values[0] : new TextDecoder().decode(values[0]);
        if (text.includes('"lacking"')) window.asked += 1;
        return send.apply(this, values);
      };
    }""")
    slider = root.locator('input[data-name="bilateral_weight"]')
    slider.evaluate("""async (node) => { for (let n = 20; n <= 40; n += 1) {
      Object.assign(node, { value: n }).dispatchEvent(new Event("input"));
      await new Promise((done) => setTimeout(done, 20));
    } }""")
    settled(root, settings="80,13,3,20,3")
    assert page.evaluate("window.asked") == 1


def test_pointing_asks_nobody(page: Page, root: Locator) -> None:
    page.evaluate("""() => {
      window.sentMessages = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) { window.sentMessages += 1; return send.apply(this, values); };
    }""")
    for cell in ((1, 1), (5, 9), (20, 30)):
        point(root, cell)
    assert page.evaluate("window.sentMessages") == 0
    assert root.locator(".says").get_attribute("aria-live") == "polite"
    words = root.locator(".says").inner_text()
    assert words.startswith("Pixel (20, 30), iteration 10: ")
    root.get_by_role("button", name="bilateral only").click()
    page.wait_for_function("window.sentMessages > 0")  # the count does count
    settled(root)


def test_keys_do_not_reach_the_notebook(page: Page, root: Locator) -> None:
    """`d d` in JupyterLab's command mode deletes a cell."""
    for part in page.locator(".crf").first.locator("[tabindex='0'], select:enabled, button, input:enabled, pre").all():
        if not part.is_visible():
            continue
        part.focus()
        page.keyboard.press("d")
        page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.locator(".jp-CodeCell").count() == 2


def test_a_lab_without_scribbles_waits_for_them(page: Page) -> None:
    root = page.locator(".crf").nth(1)
    assert root.locator(".says").inner_text().startswith("Nothing is drawn yet")
    drag(root, (3, 3), (10, 3))
    found = settled(root, pen="0")
    assert found["shares"] != ""
    root.get_by_role("button", name="Undo").click()
    assert settled(root, drawn="0", shares="")["energy"] == ""


# The colours of the middle of some pixels, without lines: the mean over a pixel.
MEANS = """(canvas, cells) => {
  const ratio = canvas.width / canvas.getBoundingClientRect().width, side = Number(canvas.dataset.scale) * ratio;
  return cells.map(([row, column]) => {
    const [x, y, size] = [Math.ceil(column * side), Math.ceil(row * side), Math.floor(side) - 1];
    const { data } = canvas.getContext("2d").getImageData(x, y, size, size);
    return [0, 1, 2].map((part) => data.filter((_, n) => n % 4 === part).reduce((a, b) => a + b, 0) / (data.length / 4));
  });
}"""


def test_the_opacity_lies_between_photograph_and_labels(alone: Page) -> None:
    root = alone.locator(".crf")
    alone.mouse.move(2, 2)
    cells = [[1, 1], [1, 10], [22, 12]]  # of label 0, which has no hatch; not drawn on, away from every border
    steps = crf_steps(image(), draw_strokes(SIZE, STROKES))
    assert [int(steps.labels[-1][row, column]) for row, column in cells] == [0, 0, 0]
    canvas = root.locator(".photo canvas")
    slider = root.locator('input[data-name="opacity"]')
    for share in (0, 0.5, 1):
        slider.fill(f"{20 * share:.0f}")
        attributes(root, opacity=f"{share:g}")
        for (row, column), colour in zip(cells, canvas.evaluate(MEANS, cells), strict=True):
            photo = image()[:, row, column].numpy().astype(float)
            wanted = photo + share * (np.array([86, 180, 233]) - photo)
            assert np.abs(np.array(colour) - wanted).max() < 1.5
    slider.fill("11")


def test_the_page_without_kernel_plays_and_says_what_it_cannot(alone: Page) -> None:
    root = alone.locator(".crf")
    steps = crf_steps(image(), draw_strokes(SIZE, STROKES))
    root.locator(".photo canvas").focus()
    alone.keyboard.press("Home")
    check(root, steps, 0)
    root.get_by_role("button", name="Play").click()
    attributes(root, step="2")
    root.get_by_role("button", name="Pause").click()
    before = attributes(root)["drawn"]
    assert root.locator(".status").inner_text().startswith("This page has no kernel")
    drag(root, (2, 2), (9, 9))
    root.locator(".photo canvas").focus()
    alone.keyboard.press("Space")
    assert attributes(root)["drawn"] == before
    assert root.locator('input[data-name="theta_beta"]').is_disabled()
    root.get_by_role("button", name="too wide").click(force=True)
    assert attributes(root)["settings"] == "80,13,3,10,3"


def test_less_motion(alone: Page) -> None:
    """Readers who want none get the last iteration at once."""
    alone.emulate_media(reduced_motion="reduce")
    root = alone.locator(".crf")
    root.locator(".photo canvas").focus()
    alone.keyboard.press("Home")
    alone.keyboard.press("p")
    attributes(root, step="10", playing="false")
    alone.emulate_media(reduced_motion="no-preference")


@pytest.mark.parametrize("width", [1500, 900, 400])
@pytest.mark.parametrize("shape", [(24, 32), (120, 102)])
def test_nothing_is_cut_off(lab: Lab, tmp_path: Path, width: int, shape: tuple[int, int]) -> None:
    """At three widths, of a wide and a tall photograph with six labels: no part is wider than the page, or lies over its neighbour."""
    picture = torch.zeros(3, *shape, dtype=torch.uint8)
    names = ["person", "background", "a long name", "uniform", "flag", "sky"]
    widget = CRFLab(picture, draw_strokes(shape, [(5, [(3, 3)], 3)]), CRFSettings(num_classes=6, num_iterations=20), names=names)
    with lab.exported(widget.export(tmp_path / "crf.html"), ".crf") as page:
        page.set_viewport_size({"width": width, "height": 900})
        layout = {1500: "wide", 900: "medium", 400: "narrow"}[width]
        page.locator(f'.crf[data-layout="{layout}"]').wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        spilt = """root => [...root.querySelectorAll("canvas, select, button, input, output, pre, p, h3, span")].filter((node) => {
          const [own, parent] = [node.getBoundingClientRect(), node.parentElement.getBoundingClientRect()];
          return own.right > parent.right + 3 || own.left < parent.left - 3
            || (node.clientWidth && node.scrollWidth > node.clientWidth + 3);
        }).map((node) => node.outerHTML.slice(0, 80))"""
        assert page.locator(".crf").evaluate(spilt) == []
        small = """root => [...root.querySelectorAll("button, span, output, p, pre, h3, label, select, b")]
          .filter((node) => parseFloat(getComputedStyle(node).fontSize) < 14).map((node) => node.outerHTML.slice(0, 80))"""
        assert page.locator(".crf").evaluate(small) == []
