"""ConvLab in a real JupyterLab and as a page of its own: what is lit is what Python computes, and nobody is asked for it."""

import json
from collections.abc import Iterator

import pytest
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page

from edu_seg.widgets import ConvLab, ConvSettings
from edu_seg.widgets.conv_lab import NAMES, Side

pytestmark = pytest.mark.browser

SETUP = """
from edu_seg.widgets import ConvLab
lab = ConvLab()
lab
"""
SECOND = """
from ipywidgets import HTML, Button
button = Button(description="from Python")
button.on_click(lambda _: lab.set(kernel_size=2, stride=2, padding=0, output_padding=0, size=6, transposed=False))
seen = HTML(lab.code)
lab.observe(lambda change: setattr(seen, "value", lab.code))
down = ConvLab(3, stride=2, padding=1, size=6)
display(down, seen, button)
"""


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with two of them, live, and a button whose answer in Python sets the first."""
    with lab.live(tmp_path_factory.mktemp("conv"), [SETUP, SECOND], ".cv") as page:
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An exported page."""
    path = ConvLab(3, stride=2, padding=1, size=6).export(tmp_path_factory.mktemp("page") / "lab.html")
    with lab.exported(path, ".cv") as page:
        yield page


def settings_of(found: dict[str, str]) -> ConvSettings:
    *numbers, transposed = (int(value) for value in found["state"].split(","))
    return ConvSettings(*numbers, transposed=bool(transposed))


def move(canvas: Locator, x: float, y: float) -> None:
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    canvas.page.mouse.move(box["x"] + x, box["y"] + y)


def cells(canvas: Locator) -> list[float]:
    return json.loads(canvas.get_attribute("data-cells") or "")


def point_at_cell(root: Locator, side: str, index: int) -> None:
    canvas = root.locator(f".{side} canvas")
    size, padding, width = cells(canvas)
    move(canvas, (index % size + padding + 0.5) * width + 1, (index // size + padding + 0.5) * width + 1)


def point_at_entry(root: Locator, row: float, column: float) -> None:
    """-1 stands for the heads of the matrix."""
    canvas = root.locator(".matrix canvas")
    left, top, width, height, *_ = cells(canvas)
    move(canvas, left + (column + 0.5) * width if column >= 0 else left / 2, top + (row + 0.5) * height if row >= 0 else top / 2)


def point_and_check(root: Locator, *places: tuple[Side, int]) -> None:
    for side, index in places:
        point_at_cell(root, side, index)
        check(root, side, index)


def check(root: Locator, side: Side, index: int) -> None:
    """What is lit now is that cell, and its ties are Python's."""
    found = attributes(root, side=side, index=f"{index}")
    settings = settings_of(found)
    ties = settings.ties(side, index)
    assert found["cells"] == ",".join(str(cell) for cell, _ in ties)
    assert found["taps"] == ",".join(str(tap) for _, tap in ties)
    assert (found["output"], found["remainder"]) == (f"{settings.output_size}", f"{settings.remainder}")
    assert (found["line"], found["formula"]) == (settings.code, settings.formula)


def choose(root: Locator, **values: int) -> None:
    for name, value in values.items():
        root.locator(f'select[data-name="{name}"]').select_option(f"{value}")


def test_cells_rows_and_columns_light_what_they_tie(page: Page) -> None:
    """Input cell, output cell, row, column, entry: pointed at with the mouse, in a layer with padding, stride and a remainder."""
    root = page.locator(".cv").nth(1)
    point_and_check(root, ("input", 0), ("input", 21), ("input", 35), ("output", 0), ("output", 8))
    point_at_entry(root, 4, -1)
    check(root, "output", 4)
    point_at_entry(root, -1, 7)
    check(root, "input", 7)
    point_at_entry(root, 5, 10)
    attributes(root, entry="5,10")
    check(root, "output", 5)
    root.get_by_role("button", name="column", exact=True).click()
    point_at_entry(root, 5, 11)
    check(root, "input", 11)
    root.get_by_role("button", name="row", exact=True).click()


# The colour in the middle of a cell's upper left corner, where no number stands.
CORNER = """(canvas, [x, y]) => {
  const ratio = canvas.width / canvas.getBoundingClientRect().width;
  const data = canvas.getContext("2d").getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data;
  return "#" + [...data].slice(0, 3).map((part) => part.toString(16).padStart(2, "0")).join("");
}"""


def test_lit_cells_have_the_colours_of_their_taps(page: Page) -> None:
    """By the colours on the screen: tied cells have their tap's, all others are white."""
    root = page.locator(".cv").first
    point_at_cell(root, "output", 3)
    attributes(root, side="output", index="3")
    canvas = root.locator(".input canvas")
    size, padding, side = cells(canvas)
    colours = ConvLab().data["colours"]
    taps = dict(ConvSettings().ties("output", 3))
    for cell in range(int(size) ** 2):
        place = [(cell % size + padding) * side + 6, (cell // size + padding) * side + 6]
        wanted = colours[(taps[cell] - 1) // 3 * 5 + (taps[cell] - 1) % 3] if cell in taps else "#ffffff"
        assert canvas.evaluate(CORNER, place) == wanted, cell


def test_the_sentence_says_what_is_lit(page: Page) -> None:
    root = page.locator(".cv").first
    says = root.locator(".says")
    assert says.get_attribute("aria-live") == "polite"
    point_at_cell(root, "input", 5)
    attributes(root, side="input", index="5")
    assert says.inner_text().replace("\xa0", " ") == (
        "Input (1, 1), column 5 of C, is read by 4 output cells: (0, 0) by tap 5, (0, 1) by tap 4, (1, 0) by tap 2, (1, 1) by tap 1."
    )
    point_at_entry(root, 0, 3)
    attributes(root, entry="0,3")
    assert says.inner_text().replace("\xa0", " ").startswith("Row 0, column 3 is 0. Output (0, 0), row 0 of C, reads 9 input cells")


def test_pointing_sends_nothing_to_the_kernel(page: Page) -> None:
    root = page.locator(".cv").first
    page.evaluate("""() => {
      window.sentMessages = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) { window.sentMessages += 1; return send.apply(this, values); };
    }""")
    for index in range(16):
        point_at_cell(root, "input", index)
    attributes(root, side="input", index="15")
    assert page.evaluate("window.sentMessages") == 0
    choose(root, padding=1)
    page.wait_for_function("window.sentMessages > 0")  # a setting is told to Python: the count does count
    choose(root, padding=0)


def test_keys_move_what_is_lit(page: Page) -> None:
    root = page.locator(".cv").first
    root.locator(".input canvas").focus()
    point_at_cell(root, "input", 0)
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    check(root, "input", 2)
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    row, column = (int(value) for value in attributes(root, side="output")["entry"].split(","))
    assert column == 3
    check(root, "output", row)
    page.keyboard.press("Enter")
    check(root, "input", 3)
    page.keyboard.press("Enter")
    check(root, "output", row)
    while not root.locator(".output canvas").evaluate("node => node === document.activeElement"):
        page.keyboard.press("Tab")
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "ArrowRight"):
        page.keyboard.press(key)
    check(root, "output", 1)


def test_keys_do_not_reach_the_notebook(page: Page) -> None:
    """`d d` in JupyterLab's command mode deletes a cell."""
    before = page.locator(".jp-CodeCell").count()
    for part in page.locator(".cv [tabindex='0'], .cv select:enabled, .cv button:enabled, .cv pre").all():
        part.focus()
        page.keyboard.press("d")
        page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.locator(".jp-CodeCell").count() == before == 2


def test_settings_change_all_that_is_shown(page: Page) -> None:
    """Chosen in the browser: matrix, line and formula follow at once, and Python is told."""
    root = page.locator(".cv").first
    choose(root, size=6, kernel_size=3, stride=2, padding=1)
    found = attributes(root, line="nn.Conv2d(1, 1, 3, stride=2, padding=1)", remainder="1", output="3")
    assert settings_of(found) == ConvSettings(stride=2, padding=1, size=6)
    assert root.locator("pre").inner_text() == "nn.Conv2d(1, 1, 3, stride=2, padding=1)"
    assert root.locator(".formula").inner_text() == "= ⌊(6 + 2 · 1 − 1 · (3 − 1) − 1) / 2⌋ + 1 = ⌊5 / 2⌋ + 1 = 3"
    assert root.locator(".rest").inner_text() == "Remainder 1: the floor leaves the last row and column of the padded input unused."
    page.locator(".jp-OutputArea-output .widget-html-content").get_by_text("nn.Conv2d(1, 1, 3, stride=2, padding=1)").wait_for()
    point_at_cell(root, "output", 8)
    check(root, "output", 8)


def test_the_transpose_of_what_is_shown(page: Page) -> None:
    root = page.locator(".cv").first
    root.get_by_role("button", name="stride 2, a remainder").click()
    before = settings_of(attributes(root, output="3", remainder="1"))
    root.get_by_role("button", name="transposed convolution").click()
    found = attributes(root, line="nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1)")
    assert settings_of(found) == before.adjoint()
    point_and_check(root, ("input", 4), ("output", 14), ("output", 35))
    root.get_by_role("button", name="convolution", exact=True).click()
    assert settings_of(attributes(root, output="3")) == before


def test_impossible_values_cannot_be_chosen(page: Page) -> None:
    root = page.locator(".cv").first
    root.get_by_role("button", name="up by 2, uneven overlap").click()
    settings = settings_of(attributes(root, output="8"))
    for name in NAMES[:-1]:
        offered = root.locator(f'select[data-name="{name}"] option:not([disabled])').all_inner_texts()
        greyed = root.locator(f'select[data-name="{name}"] option[disabled]').all_inner_texts()
        values = {int(value): value in offered for value in [*offered, *greyed]}
        for value, is_offered in values.items():
            changed = {field: getattr(settings, field) for field in NAMES} | {name: value}
            assert is_offered == is_possible(changed), (name, value)
    root.get_by_role("button", name="no padding").click()
    attributes(root, output="2")
    assert root.locator('select[data-name="output_padding"]').is_disabled()


def is_possible(values: dict) -> bool:
    try:
        ConvSettings(**values)
    except ValueError:
        return False
    return True


def test_remainder_is_hatched(alone: Page) -> None:
    """A column and a row of the input that no window reaches look unlike the cells beside them, which are white."""
    root = alone.locator(".cv")
    choose(root, padding=0)
    point_at_cell(root, "output", 0)
    attributes(root, side="output", index="0", remainder="1", output="2")
    canvas = root.locator(".input canvas")
    size, _, side = cells(canvas)
    dark = """(canvas, [x, y, side]) => {
      const ratio = canvas.width / canvas.getBoundingClientRect().width;
      const data = canvas.getContext("2d").getImageData(...[x + 3, y + 3, side / 4, side / 4].map((v) => Math.round(v * ratio))).data;
      return data.filter((part, n) => n % 4 === 0 && part < 170 && data[n + 1] < 115).length;
    }"""
    hatched = [canvas.evaluate(dark, [(cell % size) * side + 1, (cell // size) * side + 1, side]) for cell in range(36)]
    assert [bool(count) for count in hatched] == [cell % 6 == 5 or cell >= 30 for cell in range(36)]
    assert root.locator(".legend li").all_inner_texts() == ["unused: left over by the floor"]


def test_the_page_without_kernel_does_the_same(alone: Page) -> None:
    root = alone.locator(".cv")
    root.get_by_role("button", name="full padding").click()
    attributes(root, output="7")
    point_and_check(root, ("input", 12), ("output", 0), ("output", 24))
    root.get_by_role("button", name="transposed convolution").click()
    attributes(root, output="5")
    point_at_entry(root, 3, 9)
    check(root, "output", 3)


@pytest.mark.parametrize("case", ["no padding", "full padding", "up by 2, even overlap", "largest"])
@pytest.mark.parametrize("width", [1500, 900, 400])
def test_nothing_is_cut_off(alone: Page, width: int, case: str) -> None:
    """At three widths: no part is wider than the page, or lies over its neighbour; no text is smaller than 14 pixels."""
    alone.set_viewport_size({"width": width, "height": 900})
    root = alone.locator(".cv")
    if case == "largest":
        root.get_by_role("button", name="no padding").click()
        choose(root, size=10, padding=1)
        attributes(root, output="10")
    else:
        root.get_by_role("button", name=case).click()
    layout = {1500: "wide", 900: "medium", 400: "narrow"}[width]
    alone.locator(f'.cv[data-layout="{layout}"]').wait_for()
    assert alone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    spilt = """root => [...root.querySelectorAll("canvas, select, button, pre, p, h3, li")].filter((node) => {
      const [own, parent] = [node.getBoundingClientRect(), node.parentElement.getBoundingClientRect()];
      return own.right > parent.right + 3 || own.left < parent.left - 3;
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert root.evaluate(spilt) == []
    small = 'root => [...root.querySelectorAll("*")].filter((node) => parseFloat(getComputedStyle(node).fontSize) < 14).length'
    assert root.evaluate(small) == 0


def test_python_sets_what_is_shown(page: Page) -> None:
    root = page.locator(".cv").first
    page.get_by_role("button", name="from Python").click()
    found = attributes(root, line="nn.Conv2d(1, 1, 2, stride=2)")
    assert settings_of(found) == ConvSettings(2, stride=2, size=6)
    assert root.locator("pre").inner_text() == "nn.Conv2d(1, 1, 2, stride=2)"
    assert root.locator('select[data-name="size"]').input_value() == "6"
