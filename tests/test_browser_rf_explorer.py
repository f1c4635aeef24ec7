"""RFExplorer in a real JupyterLab and as a page of its own: what hovering lights is what Python computes, and nobody is asked for it."""

from collections.abc import Iterator

import pytest
import torch
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page
from torch import nn

from edu_seg.receptive_field import ReceptiveField, receptive_fields
from edu_seg.widgets import RFExplorer

pytestmark = pytest.mark.browser

SETUP = """
import torch
from torch import nn
from edu_seg.widgets import RFExplorer
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=2, dilation=2))
image = torch.rand(3, 48, 64)
explorer = RFExplorer(net, image)
explorer
"""
STACK = """
stack = RFExplorer.stack(image, [(3, 1, 1), (2, 2, 0, 1, "pool"), (3, 1, 1)])
stack
"""
SIZE = (48, 64)


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, padding=2, dilation=2))


def last_field() -> ReceptiveField:
    return receptive_fields(net(), SIZE)["3"]


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with an explorer of a network and one of a stack, live."""
    with lab.live(tmp_path_factory.mktemp("explorer"), [SETUP, STACK], ".rf") as page:
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The exported page of the same explorer."""
    path = RFExplorer(net(), torch.rand(3, *SIZE)).export(tmp_path_factory.mktemp("page") / "explorer.html")
    with lab.exported(path, ".rf") as page:
        yield page


def units(root: Locator) -> Locator:
    return root.locator(".maps canvas").first


def point(canvas: Locator, place: tuple[int, int], sizes: tuple[int, ...]) -> None:
    """Moves the mouse to the middle of one square of a canvas that shows `sizes` of them."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    x, y = (place[1] + 0.5) / sizes[1] * box["width"], (place[0] + 0.5) / sizes[0] * box["height"]
    canvas.page.mouse.move(box["x"] + x, box["y"] + y)


def numbers(field: ReceptiveField, i: int, j: int) -> tuple[str, str]:
    """The whole field and the box inside the image, as the attributes write them."""
    inside = field.inside(i, j)
    assert inside is not None
    return ",".join(map(str, (*field.rows(i), *field.cols(j)))), ",".join(map(str, (*inside[0], *inside[1])))


def check_hover(root: Locator) -> None:
    field = last_field()
    for unit in ((0, 0), (5, 9), (10, 14)):
        point(units(root), unit, field.map_size)
        found = attributes(root, unit=f"{unit[0]},{unit[1]}")
        assert (found["field"], found["inside"]) == numbers(field, *unit)
        assert int(found["count"]) == int((field.paths(*unit) > 0).sum())


def test_hovering_a_unit_lights_its_field(page: Page) -> None:
    check_hover(page.locator(".rf").first)


# Mean brightness on the screen of one pixel of the image.
BRIGHTNESS = """(canvas, place) => {
  const view = JSON.parse(canvas.dataset.view);
  const scale = canvas.width / view[3];
  const [x, y] = [Math.floor((place[1] - view[1]) * scale), Math.floor((place[0] - view[0]) * scale)];
  const side = Math.max(1, Math.floor(scale));
  const data = canvas.getContext("2d").getImageData(x, y, side, side).data;
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
  return sum / side / side;
}"""


def test_the_lit_pixels_are_the_ones_that_are_read(page: Page) -> None:
    """By the colours on the screen: what is read is as bright as the image, the rest is dimmed. The unit's field has gaps."""
    root = page.locator(".rf").first
    field = last_field()
    top, left = (field.rows(5)[0] + field.rows(5)[1]) // 2, (field.cols(9)[0] + field.cols(9)[1]) // 2
    point(units(root), (5, 9), field.map_size)
    attributes(root, unit="5,9")
    lit = root.locator(".middle canvas").evaluate(BRIGHTNESS, [top, left])
    point(units(root), (0, 0), field.map_size)
    attributes(root, unit="0,0")
    other = root.locator(".middle canvas").evaluate(BRIGHTNESS, [top, left])
    assert field.paths(5, 9)[top, left] > 0
    assert field.paths(0, 0)[top, left] == 0
    assert lit > 2 * other


def test_hovering_a_pixel_shows_who_sees_it(page: Page) -> None:
    root = page.locator(".rf").first
    canvas = root.locator(".middle canvas")
    view = canvas.evaluate("canvas => JSON.parse(canvas.dataset.view)")
    row, column = 20, 31
    scale = (canvas.bounding_box() or {"width": 0.0})["width"] / view[3]
    canvas.hover(position={"x": (column + 0.5 - view[1]) * scale, "y": (row + 0.5 - view[0]) * scale})
    found = attributes(root, pixel=f"{row},{column}")
    field = last_field()
    seeing = [(i, j) for i in range(field.map_size[0]) for j in range(field.map_size[1]) if field.paths(i, j)[row, column] > 0]
    rows, columns = zip(*seeing, strict=True)
    assert found["seen"] == f"{min(rows)},{max(rows)},{min(columns)},{max(columns)}"
    assert int(found["count"]) == len(seeing)
    assert root.locator(".says").inner_text().startswith(f"Pixel in row {row}, column {column}: {len(seeing)} units of 3 see it")


def test_hovering_sends_nothing_to_the_kernel(page: Page) -> None:
    root = page.locator(".rf").first
    field = last_field()
    root.evaluate("""node => {
      window.sentMessages = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) { window.sentMessages += 1; return send.apply(this, values); };
    }""")
    for step in range(30):
        point(units(root), (step % 11, step % 15), field.map_size)
    attributes(root, unit="7,14")
    assert page.evaluate("window.sentMessages") == 0
    point(units(root), (2, 2), field.map_size)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("window.sentMessages > 0")  # a pin is told to Python: the count does count


def test_arrow_keys_move_the_unit_and_enter_pins_it(page: Page) -> None:
    root = page.locator(".rf").first
    canvas = units(root)
    point(canvas, (4, 4), last_field().map_size)
    canvas.focus()
    page.keyboard.press("Escape")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    found = attributes(root, unit="5,6", pins="1")
    assert found["field"] == numbers(last_field(), 5, 6)[0]
    for key in ("Shift+ArrowLeft", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    attributes(root, unit="4,1", pins="2")
    says = root.locator(".says").inner_text()
    assert says.startswith("A is unit (5, 6) of 3, 25 × 25; B is unit (4, 1) of 3, 25 × 25. Their fields share 21 × 5 pixels")
    page.keyboard.press("Escape")
    attributes(root, pins="0")


def test_a_layer_is_chosen_by_key(page: Page) -> None:
    root = page.locator(".rf").first
    tree = root.get_by_role("tree")
    tree.focus()
    page.keyboard.press("Home")
    assert attributes(root, layer="0")["layer"] == "0"
    assert root.locator('tr[aria-selected="true"] td').all_inner_texts()[:4] == ["0", "5", "2", "0"]
    page.keyboard.press("End")
    attributes(root, layer="3")


def test_keys_do_not_reach_the_notebook(page: Page) -> None:
    """`d d` in JupyterLab's command mode deletes a cell."""
    before = page.locator(".jp-CodeCell").count()
    for part in page.locator(".rf [tabindex='0'], .rf select, .rf pre").all():
        part.focus()
        page.keyboard.press("d")
        page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.locator(".jp-CodeCell").count() == before == 2


def test_measured_and_analytic_agree(page: Page) -> None:
    root = page.locator(".rf").first
    canvas = units(root)
    canvas.focus()
    page.keyboard.press("Escape")
    point(canvas, (0, 3), last_field().map_size)
    root.get_by_role("button", name="Measure by gradient").click()
    badge = root.locator('.badge[data-same="true"]')
    badge.wait_for()
    top, bottom, left, right = numbers(last_field(), 0, 3)[1].split(",")
    assert badge.inner_text() == f"✓ analytic = measured: rows {top} to {bottom}, columns {left} to {right}"
    assert root.locator(".heat").is_visible()
    page.keyboard.press("Escape")


def test_a_stack_is_edited(page: Page) -> None:
    root = page.locator(".rf").nth(1)
    root.get_by_label("kernel of layer 2").select_option("5")
    root.get_by_label("dilation of layer 2").select_option("2")
    assert "nn.Conv2d(16, 16, 5, padding=1, dilation=2)," in root.locator("pre").inner_text()
    root.get_by_role("button", name="+ add a layer").click()
    assert root.get_by_label("kernel of layer 3").input_value() == "3"
    check = root.locator('.badge[data-same="true"]')
    check.wait_for()
    assert "for all 4 layers" in check.inner_text()
    root.get_by_role("button", name="Remove layer 0").click()
    root.get_by_text("for all 3 layers").wait_for()


def test_impossible_values_cannot_be_chosen(page: Page) -> None:
    """A pool of kernel 2 takes a padding of at most 1; the rest is greyed out."""
    root = page.locator(".rf").nth(1)
    for _ in range(2):  # the second time nothing changes, and nothing is asked
        root.get_by_role("button", name="VGG's beginning").click()
        root.get_by_text("for all 6 layers").wait_for()
    paddings = root.get_by_label("padding of layer 2").locator("option:not([disabled])")
    assert paddings.all_inner_texts() == ["0", "1"]


def test_the_page_without_kernel_lights_the_same_field(alone: Page) -> None:
    check_hover(alone.locator(".rf"))


def test_the_page_without_kernel_says_what_it_cannot_do(alone: Page) -> None:
    alone.get_by_role("button", name="Measure by gradient").click()
    alone.get_by_text("Measuring needs a running kernel").wait_for()


def test_reduced_motion_is_honoured(alone: Page) -> None:
    cell = alone.locator(".rf .layers td").first
    duration = "cell => getComputedStyle(cell).transitionDuration"
    assert cell.evaluate(duration) != "0s"
    alone.emulate_media(reduced_motion="reduce")
    assert cell.evaluate(duration) == "0s"
    alone.emulate_media(reduced_motion="no-preference")


@pytest.mark.parametrize("width", [1500, 900, 400])
def test_nothing_is_cut_off(alone: Page, width: int) -> None:
    """At three widths: no part is wider than the page."""
    alone.set_viewport_size({"width": width, "height": 800})
    layout = {1500: "wide", 900: "medium", 400: "narrow"}[width]
    alone.locator(f'.rf[data-layout="{layout}"]').wait_for()
    assert alone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
