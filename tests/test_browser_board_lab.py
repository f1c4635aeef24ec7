"""BoardLab in a real JupyterLab and as a page of its own: what is shown is what the boards hold, and nobody is asked for it."""

from collections.abc import Iterator

import pytest
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page
from test_board_lab import boards

from edu_seg.widgets import BoardLab

pytestmark = pytest.mark.browser

SETUP = """
from ipywidgets import HTML, Button
from edu_seg.figures import leaderboards
from edu_seg.widgets import BoardLab
lab = BoardLab({name: leaderboards()[name] for name in ("cityscapes-drn", "voc-2011")})
button = Button(description="from Python")
button.on_click(lambda _: lab.set("cityscapes-drn", "year", "bus", "DRN-A-50"))
seen = HTML("")
lab.observe(lambda change: setattr(seen, "value", f"<b class='seen'>{lab.board} by {lab.order}</b>"))
display(seen, button)
lab
"""
ROW = 30  # pixels, as board_lab.js draws them


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with one, live, a line that shows what Python hears, and a button whose answer in Python sets it."""
    with lab.live(tmp_path_factory.mktemp("board"), [SETUP], ".board") as page:
        page.set_default_timeout(20_000)
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An exported page."""
    path = BoardLab(boards()).export(tmp_path_factory.mktemp("page") / "lab.html")
    with lab.exported(path, ".board") as page:
        page.set_viewport_size({"width": 1500, "height": 1000})
        yield page


def choose(root: Locator, **wanted: str) -> None:
    """By the menus, which stand in the order of the traits."""
    menus = ["board", "order", "measure", "against"]
    for name, value in wanted.items():
        root.locator("select").nth(menus.index(name)).select_option(value)
        attributes(root, **{name: value})


def point_at(root: Locator, line: int, panel: int = 0) -> None:
    canvas = root.locator("canvas").nth(panel)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    canvas.page.mouse.move(box["x"] + 120, box["y"] + ROW * (line + 0.5))


def says(root: Locator) -> str:
    return root.locator(".says").inner_text().replace("\xa0", " ")


def afresh(page: Page, root: Locator) -> None:
    page.mouse.move(2, 2)
    root.locator("canvas").first.press("Escape")
    choose(root, board="roads", order="score", measure="", against="")


def test_each_system_is_read_out(alone: Page) -> None:
    root = alone.locator(".board")
    afresh(alone, root)
    for at, row in enumerate(boards()["roads"].ordered("score")):
        point_at(root, at)
        attributes(root, row=row.title, place="", held="false")
        assert says(root).startswith(f"{row.title}, {row.year}, {at + 1} of 4 by score: {row.mean_iou:.1f} % mean IU")
        assert f"It brought {row.brought}." in says(root)


def test_a_held_system_shows_its_classes(alone: Page) -> None:
    root = alone.locator(".board")
    afresh(alone, root)
    point_at(root, 3)
    alone.mouse.down()
    alone.mouse.up()
    attributes(root, row="C", held="true")
    point_at(root, 1)
    attributes(root, row="C", held="true")
    point_at(root, 1, panel=1)
    attributes(root, row="C", place="sky")
    assert says(root).startswith("C on sky: 50.0 % IU, 30.0 points less than B + COCO, the one before.")
    choose(root, against="A")
    assert says(root).startswith("C on sky: 50.0 % IU, 10.0 points less than A.")


def test_keys_go_from_system_to_system_and_from_class_to_class(alone: Page) -> None:
    root = alone.locator(".board")
    afresh(alone, root)
    canvas = root.locator("canvas").first
    for key, row, place in [
        ("End", "C", ""),
        ("ArrowUp", "B + COCO", ""),
        ("ArrowRight", "B + COCO", "road"),
        ("ArrowRight", "B + COCO", "sky"),
        ("ArrowRight", "B + COCO", "sky"),
        ("ArrowUp", "B", "sky"),
        ("ArrowLeft", "B", "road"),
        ("ArrowLeft", "B", ""),
        ("Home", "A", ""),
        ("ArrowUp", "A", ""),
    ]:
        canvas.press(key)
        attributes(root, row=row, place=place)
    canvas.press("Enter")
    attributes(root, held="true")
    canvas.press("Escape")
    attributes(root, held="false")


def test_the_order_follows_the_menus_and_the_system_stays(alone: Page) -> None:
    root = alone.locator(".board")
    afresh(alone, root)
    point_at(root, 1)
    attributes(root, row="B")
    choose(root, order="year")
    attributes(root, row="B")
    assert "3 of 4 by year" in says(root)
    choose(root, measure="sky")
    assert "70.0 % sky IU" in says(root)


def test_another_board_has_other_menus(alone: Page) -> None:
    """Without classes there is no second drawing; a choice that the board lacks goes back to its mean."""
    root = alone.locator(".board")
    afresh(alone, root)
    choose(root, measure="sky", against="C")
    choose(root, board="means")
    attributes(root, measure="", against="", row="B + coarse")
    assert root.locator("canvas").nth(1).is_hidden()
    assert root.locator("select").nth(2).is_disabled()
    assert root.locator("h3").nth(1).inner_text() == "This board was printed without scores by class."
    choose(root, board="roads")
    assert root.locator("canvas").nth(1).is_visible()


LENGTH_OF = """(canvas, [line, row]) => {
  const ratio = canvas.width / canvas.getBoundingClientRect().width;
  const { data } = canvas.getContext("2d").getImageData(0, Math.round((line + 1) * row * ratio) - 4 * Math.ceil(ratio), canvas.width, 1);
  let end = 0;
  for (let at = 0; at < canvas.width; at += 1) if (data[4 * at + 3] > 128 && data[4 * at] < 250 && data[4 * at] > 60) end = at;
  return end / ratio / (canvas.getBoundingClientRect().width - 104);
}"""


def test_bars_are_as_long_as_the_scores(alone: Page) -> None:
    root = alone.locator(".board")
    afresh(alone, root)
    for at, row in enumerate(boards()["roads"].ordered("score")[:3]):
        point_at(root, 3)
        attributes(root, row="C")
        assert root.locator("canvas").first.evaluate(LENGTH_OF, [at, ROW]) == pytest.approx(row.mean_iou / 100, abs=0.015), row.title


def test_both_sides_hear_each_other_and_pointing_asks_nobody(page: Page) -> None:
    root = page.locator(".board")
    page.evaluate("""() => {
      window.sentMessages = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) { window.sentMessages += 1; return send.apply(this, values); };
    }""")
    for at, title in enumerate(["DRN-A-50", "DRN-C-26", "DRN-C-42"]):
        point_at(root, at)
        attributes(root, row=title)
    assert page.evaluate("window.sentMessages") == 0
    choose(root, board="voc-2011")
    page.locator(".seen", has_text="voc-2011 by score").wait_for()
    page.get_by_role("button", name="from Python").click()
    attributes(root, board="cityscapes-drn", order="year", measure="bus", against="DRN-A-50")


@pytest.mark.parametrize("width", [1500, 900, 400])
def test_nothing_is_cut_off_or_tiny(alone: Page, width: int) -> None:
    """At three widths: no part is wider than the page, or than what holds it; no text is smaller than 14 pixels."""
    alone.set_viewport_size({"width": width, "height": 900})
    root = alone.locator(".board")
    choose(root, board="roads")
    layout = {1500: "wide", 900: "medium", 400: "narrow"}[width]
    alone.locator(f'.board[data-layout="{layout}"]').wait_for()
    assert alone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    spilt = """(root, parts) => [...root.querySelectorAll(parts)].filter((node) => {
      const [own, parent] = [node.getBoundingClientRect(), node.parentElement.getBoundingClientRect()];
      return own.right > parent.right + 3 || own.left < parent.left - 3;
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert root.evaluate(spilt, "canvas, select, p, h3") == []
    small = 'root => [...root.querySelectorAll("*")].filter((node) => parseFloat(getComputedStyle(node).fontSize) < 14).length'
    assert root.evaluate(small) == 0


def test_the_drawings_say_what_they_are(alone: Page) -> None:
    canvases = alone.locator(".board canvas")
    assert [canvases.nth(at).get_attribute("role") for at in (0, 1)] == ["application"] * 2
    assert "Enter holds" in (canvases.first.get_attribute("aria-label") or "")
    assert alone.locator(".board .says").get_attribute("aria-live") == "polite"
