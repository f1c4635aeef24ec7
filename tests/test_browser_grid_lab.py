"""GridLab in a real JupyterLab and as a page of its own: what is shown is what Python computes, and nobody is asked for it."""

import json
from collections.abc import Iterator

import pytest
import torch
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page

from edu_seg.gridding import frequency_response
from edu_seg.widgets import GridLab, GridSettings
from edu_seg.widgets.grid_lab import PRESETS

pytestmark = pytest.mark.browser

SETUP = """
from edu_seg.widgets import GridLab
lab = GridLab()
lab
"""
SECOND = """
from ipywidgets import HTML, Button
button = Button(description="from Python")
button.on_click(lambda _: lab.set((1, 3), 5))
seen = HTML(f"{lab.dilations} {lab.kernel_size}")
lab.observe(lambda change: setattr(seen, "value", f"{lab.dilations} {lab.kernel_size}"), ["dilations", "kernel_size"])
down = GridLab((1, 2, 9))
display(down, seen, button)
"""


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with two of them, live, and a button whose answer in Python sets the first."""
    with lab.live(tmp_path_factory.mktemp("grid"), [SETUP, SECOND], ".grid") as page:
        page.set_default_timeout(20_000)
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An exported page."""
    path = GridLab((1, 2, 5)).export(tmp_path_factory.mktemp("page") / "lab.html")
    with lab.exported(path, ".grid") as page:
        page.set_viewport_size({"width": 1500, "height": 1000})
        yield page


def joined(numbers: object) -> str:
    return ",".join(str(number) for number in numbers)  # pyright: ignore[reportGeneralTypeIssues]


def check(root: Locator, dilations: tuple[int, ...], kernel_size: int = 3) -> GridSettings:
    """This stack is shown now, and all its numbers are Python's."""
    settings = GridSettings(dilations, kernel_size)
    found = attributes(root, dilations=joined(dilations), kernel=f"{kernel_size}")
    assert found["counts"] == joined(settings.counts.tolist())
    wanted = {"window": settings.window, "paths": settings.num_paths, "weights": settings.num_weights, "code": settings.code}
    wanted |= {"read": settings.coverage.read, "total": settings.coverage.window, "shared": joined(settings.shared)}
    assert {name: found[name] for name in wanted} == {name: str(value) for name, value in wanted.items()}
    assert found["free"] == str(settings.is_gap_free).lower()
    assert found["gap"] == ("" if settings.largest_gap is None else f"{settings.largest_gap}")
    assert found["passes"] == ("" if settings.passes_rule is None else str(settings.passes_rule).lower())
    assert root.locator("pre").inner_text() == settings.code
    return settings


def choose(root: Locator, name: str) -> GridSettings:
    root.locator("label.preset select").select_option(f"{list(PRESETS).index(name)}")
    return check(root, *PRESETS[name])


def move(canvas: Locator, x: float, y: float) -> None:
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    canvas.page.mouse.move(box["x"] + x, box["y"] + y)


def measures(canvas: Locator, name: str) -> list[float]:
    return json.loads(canvas.get_attribute(f"data-{name}") or "")


def point_at_cell(root: Locator, row: int, column: int) -> None:
    canvas = root.locator(".window canvas")
    side, half, _ = measures(canvas, "cells")
    move(canvas, 1 + (column + half + 0.5) * side, 1 + (row + half + 0.5) * side)


def point_at_unit(root: Locator, level: int, offset: int) -> None:
    canvas = root.locator(".stack canvas")
    left, cell, top, step, half, layers = measures(canvas, "units")
    move(canvas, left + (offset + half + 0.5) * cell, top + (layers - level) * step)


def says(root: Locator) -> str:
    return root.locator(".says").inner_text().replace("\xa0", " ").replace("\u202f", " ")


def wait_for_wave(root: Locator, omega: float, within: float) -> dict[str, str]:
    """The attributes once the curve is pointed at `omega`. Each key or move has its own frame, so those before may be seen first."""
    near = """([node, omega, within]) => {
      const [name, at] = node.dataset.point.split(",");
      return name === "response" && Math.abs(at - omega) < within;
    }"""
    root.page.wait_for_function(near, arg=[root.element_handle(), omega, within])
    return attributes(root)


def row_of(root: Locator, name: str) -> str:
    return root.locator("tr", has=root.page.get_by_role("rowheader", name=name, exact=True)).locator("td").inner_text()


def test_presets_show_what_python_computes(page: Page) -> None:
    root = page.locator(".grid").first
    names = root.locator("label.preset option").all_inner_texts()
    assert names[1:] == [f"{name}: {', '.join(map(str, dilations))}" for name, (dilations, _) in PRESETS.items()]
    for name in PRESETS:
        choose(root, name)
    choose(root, "HDC, bad")
    assert row_of(root, "HDC rule M₂ ≤ k") == "M₂ = 5 > 3: fails"
    assert root.locator(".verdict").inner_text() == "The rule agrees with the count."
    choose(root, "ResNet stage at rate 2")
    assert row_of(root, "inputs read").replace("\xa0", " ") == "49 of 169 (29 %)"
    assert (row_of(root, "weights"), row_of(root, "in truth")) == ("27; dense: 169", "120 holes")
    assert root.locator(".verdict").inner_text() == "The rule is wrong here: count."


def test_layers_are_stepped_added_and_taken_away(page: Page) -> None:
    """By the buttons; the focus stays on them, and Python is told."""
    root = page.locator(".grid").first
    choose(root, "ResNet stage at rate 2")
    root.get_by_role("button", name="+ layer").click()
    check(root, (2, 2, 2, 1))
    assert says(root).startswith("Dilations 2, 2, 2, 1: of 15 × 15 inputs, every one is read.")
    root.get_by_role("button", name="Layer 2: larger dilation").click()
    check(root, (2, 3, 2, 1))
    page.keyboard.press("Enter")
    check(root, (2, 4, 2, 1))
    root.get_by_role("button", name="Layer 4: smaller dilation").click(force=True)  # greyed: 1 is the least
    check(root, (2, 4, 2, 1))
    root.get_by_role("button", name="Layer 1: take away").click()
    check(root, (4, 2, 1))
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Layer 1: take away"
    page.locator(".widget-html-content").get_by_text("(4, 2, 1) 3").wait_for()
    root.locator("label.kernel select").select_option("5")
    check(root, (4, 2, 1), 5)
    page.locator(".widget-html-content").get_by_text("(4, 2, 1) 5").wait_for()
    root.locator("label.kernel select").select_option("3")


def test_dilations_are_typed(page: Page) -> None:
    root = page.locator(".grid").first
    typed = root.get_by_label("Dilations", exact=True)
    typed.fill("2 2,4, 4 2 1")
    check(root, (2, 2, 4, 4, 2, 1))
    for words, problem in [
        ("", "Give at least one dilation."),
        ("2, x", "“x” is no dilation: type integers, 2, 2, 1 say."),
        ("70", "Dilation 70: an integer from 1 to 64."),
        ("64, 1", "A window of 131 inputs: at most 129 can be shown."),
        ("1 1 1 1 1 1 1 1 1", "9 layers: at most 8 can be shown."),
    ]:
        typed.fill(words)
        assert root.locator(".problem").inner_text() == problem
        assert typed.get_attribute("aria-invalid") == "true"
        check(root, (2, 2, 4, 4, 2, 1))
    typed.blur()
    assert typed.input_value() == "2, 2, 4, 4, 2, 1"
    assert root.locator(".problem").inner_text() == ""


def test_an_impossible_kernel_is_taken_back(page: Page) -> None:
    root = page.locator(".grid").first
    root.get_by_label("Dilations", exact=True).fill("40")
    check(root, (40,))
    root.locator("label.kernel select").select_option("5")
    assert root.locator(".problem").inner_text() == "A window of 161 inputs: at most 129 can be shown."
    assert root.locator("label.kernel select").input_value() == "3"
    check(root, (40,))


def test_cells_tell_their_paths(page: Page) -> None:
    """Read cells and holes, by mouse; the column is lit in the layers."""
    root = page.locator(".grid").nth(1)
    counts = GridSettings((1, 2, 9)).counts.tolist()
    for row, column in [(0, 0), (-12, 12), (2, -1), (5, 0), (-3, 4)]:
        point_at_cell(root, row, column)
        found = attributes(root, point=f"window,{row},{column}")
        down, across = counts[row + 12], counts[column + 12]
        assert (f"{down} × {across} = {down * across} path" in says(root)) == (down * across > 0)
        assert ("no path, a hole" in says(root)) == (down * across == 0)
        assert bool(found["through"]) == (across > 0)
    assert root.locator(".says").get_attribute("aria-live") == "polite"


def test_units_light_their_paths(page: Page) -> None:
    root = page.locator(".grid").nth(1)
    point_at_unit(root, 2, 9)
    assert attributes(root, point="stack,2,9")["through"] == "6 7 8 9 10 11 12;7 9 11;9;0"
    assert says(root) == "Unit +9 of layer 2: 9 paths of the 27 along an axis pass here. It reads +7, +9, +11 below."
    point_at_unit(root, 0, -8)
    assert attributes(root, point="stack,0,-8")["through"] == "-8;-9 -7;-9;0"
    point_at_unit(root, 1, 1)
    assert attributes(root, point="stack,1,1")["through"] == ""


def test_the_curve_is_pythons(page: Page) -> None:
    root = page.locator(".grid").nth(1)
    canvas = root.locator(".response canvas")
    left, width, *_ = measures(canvas, "axes")
    for share in (0.0, 0.25, 0.61, 1.0):
        move(canvas, left + share * width, 60)
        found = wait_for_wave(root, share * torch.pi, 0.02 * torch.pi)
        omega = torch.tensor([float(found["point"].split(",")[1])], dtype=torch.float64)
        assert float(found["gain"]) == pytest.approx(float(frequency_response((1, 2, 9), omega)), abs=1e-12)


def test_keys_move_and_enter_holds(page: Page) -> None:
    """In each of the three drawings."""
    root = page.locator(".grid").nth(1)
    page.mouse.move(2, 2)
    root.locator(".window canvas").focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    attributes(root, point="window,-1,1", held="false")
    page.keyboard.press("Enter")
    attributes(root, held="true")
    point_at_unit(root, 1, 1)
    attributes(root, point="window,-1,1", held="true")
    page.keyboard.press("Escape")
    attributes(root, point="", held="false")
    root.locator(".stack canvas").focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
    attributes(root, point="stack,1,-1")
    root.locator(".response canvas").focus()
    for key in ("ArrowRight", "PageUp", "PageUp", "PageDown"):
        page.keyboard.press(key)
    wait_for_wave(root, 2 * torch.pi / 9, 1e-9)
    assert says(root).startswith("ω = 2π/9: a wave of period 9 is scaled to 38 %")
    page.keyboard.press("Escape")


def test_keys_do_not_reach_the_notebook(page: Page) -> None:
    """`d d` in JupyterLab's command mode deletes a cell."""
    before = page.locator(".jp-CodeCell").count()
    for part in page.locator(".grid canvas, .grid select, .grid button, .grid pre, .grid input").all():
        part.focus()
        page.keyboard.press("d")
        page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.locator(".jp-CodeCell").count() == before == 2
    for typed in page.locator(".grid input").all():
        typed.blur()


def test_pointing_sends_nothing_to_the_kernel(page: Page) -> None:
    root = page.locator(".grid").nth(1)
    page.evaluate("""() => {
      window.sentMessages = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) { window.sentMessages += 1; return send.apply(this, values); };
    }""")
    for column in range(-12, 13):
        point_at_cell(root, 0, column)
    attributes(root, point="window,0,12")
    assert page.evaluate("window.sentMessages") == 0
    choose(root, "HDC, good")
    page.wait_for_function("window.sentMessages > 0")  # a schedule is told to Python: the count does count
    choose(root, "HDC, bad")


def test_python_sets_what_is_shown(page: Page) -> None:
    root = page.locator(".grid").first
    page.get_by_role("button", name="from Python").click()
    check(root, (1, 3), 5)
    assert root.get_by_label("Dilations", exact=True).input_value() == "1, 3"
    assert root.locator("label.preset option:checked").inner_text() == "your own"


# Red, green and blue in the upper left of a cell, where no number and no mark stands.
CORNER = """(canvas, [x, y]) => {
  const ratio = canvas.width / canvas.getBoundingClientRect().width;
  return [...canvas.getContext("2d").getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data].slice(0, 3);
}"""


def corner(root: Locator, row: int, column: int) -> list[int]:
    canvas = root.locator(".window canvas")
    side, half, _ = measures(canvas, "cells")
    return canvas.evaluate(CORNER, [1 + (column + half) * side + 4, 1 + (row + half) * side + 4])


def test_holes_are_hatched_and_paths_have_a_scale(alone: Page) -> None:
    """The ground of a hole is light and striped; a cell with more paths is lighter and yellower than one with fewer."""
    root = alone.locator(".grid")
    choose(root, "ResNet stage at rate 2")
    alone.mouse.move(2, 2)
    attributes(root, point="")
    assert corner(root, -6, -6) == [0, 34, 78]
    shades = [corner(root, -6, -6), corner(root, -4, -4), corner(root, -2, -2)]
    assert [sum(shade[:2]) for shade in shades] == sorted(sum(shade[:2]) for shade in shades)
    stripes = """canvas => {
      const [side] = JSON.parse(canvas.dataset.cells);
      const ratio = canvas.width / canvas.getBoundingClientRect().width;
      const data = canvas.getContext("2d").getImageData(...[side + 4, 4, side - 6, side - 6].map((v) => Math.round(v * ratio))).data;
      const light = Array.from({ length: data.length / 4 }, (_, n) => data[4 * n]);
      return [Math.min(...light), Math.max(...light)];
    }"""
    low, high = root.locator(".window canvas").evaluate(stripes)
    assert low < 190 < 235 < high
    assert "hole" in root.locator(".window .legend").inner_text()


def test_two_neighbours_are_compared(alone: Page) -> None:
    root = alone.locator(".grid")
    choose(root, "ResNet stage at rate 2")
    root.get_by_role("button", name="Compare with the next output").click()
    attributes(root, compared="true")
    own, other = corner(root, -6, -6), corner(root, -6, -5)
    for column in range(-6, 8):
        assert corner(root, -6, column) == (own if column % 2 == 0 else other), column
    assert row_of(root, "shared, right") == "0 of 49"
    point_at_cell(root, 0, 7)
    attributes(root, point="window,0,7")
    assert says(root).endswith("It is read by its right neighbour only.")
    choose(root, "Doubling rates")
    attributes(root, compared="true")
    both = corner(root, 0, 3)
    assert len({tuple(shade) for shade in (own, other, both)}) == 3
    assert [corner(root, 0, column) for column in (-7, 7, 8)] == [own, both, other]
    root.get_by_role("button", name="Compare with the next output").click()
    attributes(root, compared="false")


def test_the_code_is_copied_or_selected(alone: Page) -> None:
    root = alone.locator(".grid")
    settings = choose(root, "HDC, good")
    root.get_by_role("button", name="Copy").click()
    root.get_by_role("button", name="Copied").or_(root.get_by_role("button", name="Selected")).wait_for()
    selected = alone.evaluate("window.getSelection().toString()")
    if root.get_by_role("button", name="Selected").count():
        assert selected == settings.code


def test_the_page_without_kernel_does_the_same(alone: Page) -> None:
    root = alone.locator(".grid")
    choose(root, "DeepLab v3, multi-grid (1, 2, 4) at rate 2")
    root.get_by_label("Dilations", exact=True).fill("2, 4, 8, 1")
    check(root, (2, 4, 8, 1))
    point_at_cell(root, 15, -15)
    attributes(root, point="window,15,-15")
    assert says(root).startswith("Input (+15, −15) from the middle, rows then columns: 1 × 1 = 1 path of 6 561.")


@pytest.mark.parametrize("stack", ["2,2,2", "1,1,2,4,8,16,1", "12", "4,4,4,4,4,4,4,4"])
@pytest.mark.parametrize("width", [1500, 1000, 400])
def test_nothing_is_cut_off_or_tiny(alone: Page, width: int, stack: str) -> None:
    """At three widths: no part is wider than the page, or than what holds it; no text is smaller than 14 pixels."""
    alone.set_viewport_size({"width": width, "height": 900})
    root = alone.locator(".grid")
    root.get_by_label("Dilations", exact=True).fill(stack)
    attributes(root, dilations=stack)
    layout = {1500: "wide", 1000: "medium", 400: "narrow"}[width]
    alone.locator(f'.grid[data-layout="{layout}"]').wait_for()
    assert alone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    parts = "canvas, select, input, button, pre, p:not(:empty), h3, table, td, .stepper"
    spilt = """(root, parts) => [...root.querySelectorAll(parts)].filter((node) => {
      const [own, parent] = [node.getBoundingClientRect(), node.parentElement.getBoundingClientRect()];
      return own.right > parent.right + 3 || own.left < parent.left - 3 || (node.tagName === "PRE" && node.scrollWidth > node.clientWidth);
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert root.evaluate(spilt, parts) == []
    small = 'root => [...root.querySelectorAll("*")].filter((node) => parseFloat(getComputedStyle(node).fontSize) < 14).length'
    assert root.evaluate(small) == 0


def test_drawings_say_what_they_are(alone: Page) -> None:
    for canvas in alone.locator(".grid canvas").all():
        assert canvas.get_attribute("role") == "application"
        assert "arrow keys move" in (canvas.get_attribute("aria-label") or "") or "left and right move" in (
            canvas.get_attribute("aria-label") or ""
        )
        assert canvas.evaluate("node => node.tabIndex") == 0
