"""StitchLab in a real JupyterLab and as a page of its own: steps and cells are what Python computes, and nobody is asked for them."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page
from torch import Tensor, nn

from edu_seg.widgets import StitchLab, StitchSteps, stitch_steps

pytestmark = pytest.mark.browser

SETUP = """
import torch
from torch import nn
from edu_seg.widgets import StitchLab
def network(padding):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 1, 3, padding=padding)]
    return nn.Sequential(*layers)
image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
lab = StitchLab(network(0), image, 2)
lab
"""
PADDED = "StitchLab(network(1), image, 2, step=4)"


def network(padding: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 1, 3, padding=padding))


def image() -> Tensor:
    return torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))


def steps(padding: int = 0) -> StitchSteps:
    return stitch_steps(network(padding), image(), 2)


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with a lab of an unpadded network, one of a padded one, and the first once more, live."""
    with lab.live(tmp_path_factory.mktemp("stitch"), [SETUP, PADDED, "lab"], ".stitch") as page:
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The exported page of the unpadded lab."""
    path = StitchLab(network(), image(), 2).export(tmp_path_factory.mktemp("page") / "stitch.html")
    with lab.exported(path, ".stitch") as page:
        yield page


def to_step(root: Locator, step: int) -> None:
    """By the slider; what was pointed at is let go, and cells have stopped growing."""
    slider = root.get_by_label("Passes done")
    slider.fill("1")
    slider.fill(str(step))
    attributes(root, step=str(step), growing="false")
    root.page.mouse.move(2, 2)
    attributes(root, unit="")


def point(canvas: Locator, cell: tuple[int, int]) -> None:
    """Moves the mouse to the middle of one cell of a map."""
    canvas.scroll_into_view_if_needed()
    rows, columns = (canvas.get_attribute("data-cells") or "").split(",")
    box = canvas.bounding_box()
    assert box is not None
    canvas.page.mouse.move(box["x"] + (cell[1] + 0.5) / int(columns) * box["width"], box["y"] + (cell[0] + 0.5) / int(rows) * box["height"])


def number(text: str) -> float:
    return float(text.replace("−", "-"))


# The colour in the middle of one cell of a map.
COLOUR = """(canvas, cell) => {
  const [rows, columns] = canvas.dataset.cells.split(",").map(Number);
  const at = [(cell[1] + 0.3) / columns * canvas.width, (cell[0] + 0.3) / rows * canvas.height];
  return [...canvas.getContext("2d").getImageData(...at.map(Math.floor), 1, 1).data].slice(0, 3);
}"""

# Mean brightness on the screen of one pixel of the image.
BRIGHTNESS = """(canvas, place) => {
  const view = JSON.parse(canvas.dataset.view);
  const scale = canvas.width / view[3];
  const [x, y] = [Math.floor((place[1] - view[1] + 0.3) * scale), Math.floor((place[0] - view[0] + 0.3) * scale)];
  const side = Math.max(1, Math.floor(scale * 0.4));
  const data = canvas.getContext("2d").getImageData(x, y, side, side).data;
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
  return sum / side / side;
}"""


def check_steps(root: Locator, padding: int) -> None:
    wanted = steps(padding)
    for step in range(1, 5):
        to_step(root, step)
        found = attributes(root)
        assert int(found["filled"]) == wanted.filled[step - 1]
        assert float(found["error"]) == wanted.errors[step - 1]
        assert int(found["differing"]) == wanted.differing[step - 1]
        dy, dx = divmod(step - 1, 2)
        assert found["pass"] == f"{dy},{dx}"
        says = root.locator(".says").inner_text()
        assert says.startswith(f"Pass {step} of 4, shift ({dy}, {dx}): the network sees the image from row {dy}, column {dx} on.")


def test_the_grid_fills_pass_by_pass(page: Page) -> None:
    check_steps(page.locator(".stitch").first, 0)


def test_with_padding_the_error_is_read_out(page: Page) -> None:
    root = page.locator(".stitch").nth(1)
    assert attributes(root)["step"] == "4"  # as Python asked for
    check_steps(root, 1)
    badge = root.locator(".badge")
    assert badge.get_attribute("data-same") == "false"
    assert badge.inner_text().startswith(f"✗ {steps(1).differing[-1]} differ from à trous; largest error of 225 filled cells: 0.")
    to_step(root, 1)
    assert badge.get_attribute("data-same") == "true"
    assert badge.inner_text().startswith("✓ equal to à trous; largest error of 64 filled cells: ")


def check_cell(root: Locator, canvas: Locator, cell: tuple[int, int]) -> None:
    wanted = steps()
    point(canvas, cell)
    (y, x), (i, j) = cell, (cell[0] // 2, cell[1] // 2)
    found = attributes(root, cell=f"{y},{x}")
    assert (found["pass"], found["unit"]) == (f"{y % 2},{x % 2}", f"{i},{j}")
    assert found["hull"] == f"{y},{y + 7},{x},{x + 7}"  # a field of 8 pixels, without padding
    says = root.locator(".says").inner_text()
    assert f"unit ({i}, {j}) of pass ({y % 2}, {x % 2}), as {y} = 2 · {i} + {y % 2} and {x} = 2 · {j} + {x % 2}" in says
    stitched, dense = says.split("Stitched ")[1].split(": the same")[0].split(", à trous ")
    assert number(stitched) == pytest.approx(wanted.stitched[y, x], abs=6e-5)
    assert number(dense) == pytest.approx(wanted.dense[y, x], abs=6e-5)


@pytest.mark.parametrize("name", ["stitched", "dense"])
def test_a_cell_tells_its_pass_and_unit(page: Page, name: str) -> None:
    root = page.locator(".stitch").first
    to_step(root, 4)
    for cell in ((0, 0), (3, 4), (8, 7)):
        check_cell(root, root.locator(f".{name} canvas"), cell)


def test_a_unit_tells_its_cell(page: Page) -> None:
    root = page.locator(".stitch").first
    to_step(root, 3)  # pass (1, 0)
    point(root.locator(".coarse canvas"), (2, 3))
    assert attributes(root, unit="2,3")["cell"] == "5,6"
    assert root.locator(".says").inner_text().startswith("Cell (5, 6) is unit (2, 3) of pass (1, 0), as 5 = 2 · 2 + 1 and 6 = 2 · 3 + 0.")
    point(root.locator(".coarse canvas"), (4, 3))
    assert attributes(root, unit="4,3")["cell"] == ""
    assert "is dropped: it reaches rows beyond the image" in root.locator(".says").inner_text()


def test_an_empty_cell_says_who_will_fill_it(page: Page) -> None:
    root = page.locator(".stitch").first
    to_step(root, 2)
    canvas = root.locator(".stitched canvas")
    point(canvas, (3, 3))
    attributes(root, cell="3,3")
    assert root.locator(".says").inner_text().startswith("Cell (3, 3) is still empty; pass 4 will fill it: unit (1, 1) of pass (1, 1)")
    assert root.locator(".coarse h3").inner_text().startswith("Pass (1,\u00a01): to come")


def test_cells_have_their_colours_once_filled(page: Page) -> None:
    """By the colours on the screen: a filled cell has à trous's colour, an empty one is paper."""
    root = page.locator(".stitch").first
    for step, equal in ((2, False), (4, True)):
        to_step(root, step)
        stitched, dense = (root.locator(f".{name} canvas").evaluate(COLOUR, [5, 5]) for name in ("stitched", "dense"))
        assert (stitched == dense) is equal
        assert root.locator(".stitched canvas").evaluate(COLOUR, [4, 5]) == root.locator(".dense canvas").evaluate(COLOUR, [4, 5])


def test_the_lit_pixels_are_the_ones_that_are_read(page: Page) -> None:
    root = page.locator(".stitch").first
    to_step(root, 4)
    pixels = root.locator(".image canvas")
    picture = image().sum(0)
    y, x = (int(v) for v in np.unravel_index(int(picture[6:8, 6:8].argmax()), (2, 2)))
    y, x = y + 6, x + 6  # inside the field of cell (3, 4), outside that of (8, 8)
    point(root.locator(".stitched canvas"), (3, 4))
    attributes(root, cell="3,4")
    lit = pixels.evaluate(BRIGHTNESS, [y, x])
    point(root.locator(".stitched canvas"), (8, 8))
    attributes(root, cell="8,8")
    assert lit == pytest.approx(255 * float(picture[y, x]), rel=0.02)
    assert lit > 2 * pixels.evaluate(BRIGHTNESS, [y, x])


def test_keys_step_through_the_passes(page: Page) -> None:
    root = page.locator(".stitch").first
    to_step(root, 1)
    root.locator(".stitched canvas").focus()
    for key, step in ((" ", 2), (" ", 3), ("Shift+ ", 2), ("End", 4), (" ", 4), ("Home", 1)):
        page.keyboard.press(key)
        attributes(root, step=str(step))
    root.get_by_role("button", name="Next").focus()
    for key, step in (("ArrowRight", 2), ("ArrowDown", 3), ("Enter", 4), ("ArrowLeft", 3), ("ArrowUp", 2)):
        page.keyboard.press(key)
        attributes(root, step=str(step))
    root.get_by_label("Passes done").focus()
    page.keyboard.press("ArrowRight")
    attributes(root, step="3")
    root.get_by_role("radio", name="1, 0").focus()
    page.keyboard.press("ArrowRight")
    attributes(root, step="4")
    page.keyboard.press("ArrowUp")
    attributes(root, step="2", **{"pass": "0,1"})
    assert root.get_by_role("radio", name="0, 1").evaluate("node => node === document.activeElement")


def test_keys_move_the_cell_and_enter_holds_it(page: Page) -> None:
    root = page.locator(".stitch").first
    to_step(root, 4)
    canvas = root.locator(".stitched canvas")
    point(canvas, (2, 2))
    canvas.focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    attributes(root, cell="3,4", held="true")
    point(canvas, (7, 7))
    page.mouse.move(2, 2)
    page.wait_for_timeout(100)
    attributes(root, cell="3,4")
    page.keyboard.press("Escape")
    attributes(root, cell="", held="false")
    root.locator(".coarse canvas").focus()
    for key in ("ArrowLeft", "ArrowUp"):  # the first goes to the middle unit, of pass (1, 1)
        page.keyboard.press(key)
    attributes(root, unit="1,2", cell="3,5")
    page.keyboard.press("Escape")


def test_what_was_stepped_to_arrives_in_python_and_hovering_does_not(page: Page) -> None:
    root = page.locator(".stitch").first
    to_step(root, 1)
    page.wait_for_timeout(300)
    page.evaluate("""() => {
      window.sentMessages = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) { window.sentMessages += 1; return send.apply(this, values); };
    }""")
    for place in range(30):
        point(root.locator(".stitched canvas"), (place % 9, (7 * place) % 9))
    attributes(root, cell="2,5")
    assert page.evaluate("window.sentMessages") == 0
    root.get_by_role("button", name="Next").click()
    page.wait_for_function("window.sentMessages > 0")  # a step is told to Python: the count does count


def test_two_views_of_one_lab_keep_step(page: Page) -> None:
    """The trait changes and both follow, as they do when Python sets it."""
    for step in (2, 4, 1):
        to_step(page.locator(".stitch").first, step)
        found = attributes(page.locator(".stitch").nth(2), step=str(step))
        assert int(found["filled"]) == steps().filled[step - 1]


def test_keys_do_not_reach_the_notebook(page: Page) -> None:
    """`d d` in JupyterLab's command mode deletes a cell."""
    before = page.locator(".jp-CodeCell").count()
    parts = page.locator(".stitch [tabindex='0'], .stitch .row button, .stitch input").all()
    assert len(parts) == 3 * (3 + 1 + 3 + 1)
    for part in parts:
        part.focus()
        page.keyboard.press("d")
        page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.locator(".jp-CodeCell").count() == before == 3


def test_the_page_without_kernel_does_the_same(alone: Page) -> None:
    root = alone.locator(".stitch")
    check_steps(root, 0)
    check_cell(root, root.locator(".stitched canvas"), (3, 4))


def test_play_goes_to_the_last_pass_and_stops(alone: Page) -> None:
    root = alone.locator(".stitch")
    to_step(root, 2)
    root.get_by_role("button", name="Play").click()
    attributes(root, step="3", playing="true")
    root.get_by_role("button", name="Pause").wait_for()
    attributes(root, step="4", playing="false")
    root.get_by_role("button", name="Play").click()
    attributes(root, step="1", playing="true")
    root.get_by_role("button", name="Pause").click()
    attributes(root, step="1", playing="false")


def test_reduced_motion_is_honoured(alone: Page) -> None:
    """Cells do not grow, and what would play is shown at once."""
    root = alone.locator(".stitch")
    to_step(root, 1)
    root.get_by_role("button", name="Next").click()
    assert root.get_attribute("data-growing") == "true"
    attributes(root, growing="false")
    alone.emulate_media(reduced_motion="reduce")
    root.get_by_role("button", name="Next").click()
    assert root.get_attribute("data-growing") == "false"
    to_step(root, 1)
    root.get_by_role("button", name="Show all passes").click()
    assert (root.get_attribute("data-step"), root.get_attribute("data-playing")) == ("4", "false")
    alone.emulate_media(reduced_motion="no-preference")


# The smallest font of any text, and of canvases what they write with.
SMALLEST = """root => Math.min(...[...root.querySelectorAll("*")]
  .filter(node => [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim()))
  .map(node => parseFloat(getComputedStyle(node).fontSize)))"""


@pytest.mark.parametrize("width", [1500, 900, 400])
def test_nothing_is_cut_off_or_tiny(alone: Page, width: int) -> None:
    """At three widths: no part is wider than the page or lies over another, and no text is below 14 pixels."""
    alone.set_viewport_size({"width": width, "height": 800})
    root = alone.locator(".stitch")
    attributes(root, layout={1500: "wide", 900: "medium", 400: "narrow"}[width])
    assert alone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert root.evaluate(SMALLEST) >= 14
    boxes = [canvas.bounding_box() for canvas in root.locator("canvas").all()]
    for place, first in enumerate(boxes):
        assert first is not None
        assert first["width"] >= 100
        assert first["x"] + first["width"] <= width
        for other in boxes[place + 1 :]:
            assert other is not None
            apart = [first["x"] + first["width"] <= other["x"], other["x"] + other["width"] <= first["x"]]
            apart += [first["y"] + first["height"] <= other["y"], other["y"] + other["height"] <= first["y"]]
            assert any(apart)


def test_pictures_say_what_they_are(page: Page) -> None:
    for canvas in page.locator(".stitch canvas").all():
        assert len(canvas.get_attribute("aria-label") or "") > 20
    assert page.locator(".stitch .says[aria-live=polite]").count() == 3
