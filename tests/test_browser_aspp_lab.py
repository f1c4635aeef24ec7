"""ASPPLab in a real JupyterLab and as a page of its own: what is shown is what Python computes, and nobody is asked for it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page

from edu_seg.layers import valid_taps
from edu_seg.widgets import ASPPLab, ASPPSettings
from edu_seg.widgets.aspp_lab import PRESETS, bin_means

pytestmark = pytest.mark.browser

SETUP = """
from edu_seg.widgets import ASPPLab
lab = ASPPLab()
lab
"""
SECOND = """
from ipywidgets import HTML, Button
button = Button(description="from Python")
button.on_click(lambda _: lab.set(map_size=33, rates=(3, 30), active=1, centre=(0, 4), part="taps"))
state = lambda: f"{lab.map_size} {lab.rates} {lab.active} {lab.centre} {lab.part} {lab.level} {lab.stride} {lab.rule} {lab.bin}"
seen = HTML(state())
lab.observe(lambda change: setattr(seen, "value", state()))
display(ASPPLab(part="pyramid"), seen, button)
"""


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with two of them, live, one at each tab, and a button whose answer in Python sets the first."""
    with lab.live(tmp_path_factory.mktemp("aspp"), [SETUP, SECOND], ".aspp") as page:
        page.set_default_timeout(20_000)
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An exported page."""
    path = ASPPLab(33, (6, 12)).export(tmp_path_factory.mktemp("page") / "lab.html")
    with lab.exported(path, ".aspp") as page:
        page.set_viewport_size({"width": 1500, "height": 1000})
        yield page


def joined(numbers: Any) -> str:
    return ",".join(str(number) for number in numbers or ())


def check(root: Locator, map_size: int, rates: tuple[int, ...], **more: Any) -> ASPPSettings:
    """The taps are those of these settings, and so are all numbers."""
    settings = ASPPSettings(map_size, rates, **more)
    found = attributes(root, map=f"{map_size}", rates=joined(rates), active=f"{settings.active}", place=joined(settings.place))
    assert found["valid"] == joined(settings.valid)
    assert [float(mean) for mean in found["means"].split(",")] == pytest.approx([float(mean) for mean in settings.means], abs=1e-12)
    counts = {int(taps): many / map_size**2 for taps, many in json.loads(found["counts"]).items()}
    shown = int(found["pointedrate"] or settings.rate)
    assert counts == pytest.approx({taps: float(share) for taps, share in valid_taps(map_size, shown).items()}, abs=1e-12)
    return settings


def check_bins(root: Locator, **values: Any) -> ASPPSettings:
    """The bins, and the means at the one that is pointed at, are those of these settings."""
    settings = ASPPSettings(**values)
    found = attributes(root, level=f"{settings.level}", stride=f"{settings.stride}", rule=settings.rule, pointedbin=joined(settings.bin))
    assert json.loads(found["windows"]) == [[list(window) for window in axis] for axis in settings.windows]
    assert found["spp"] == joined(settings.spp_bins)
    if settings.bin:
        means = bin_means(ASPPLab()._image, settings.stride, settings.level or 1, settings.rule)
        mean = means[:, settings.bin[0], settings.bin[1]].tolist()
        assert [float(value) for value in found["mean"].split(",")] == pytest.approx(mean, abs=1e-9)
    return settings


def move(canvas: Locator, x: float, y: float) -> None:
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    canvas.page.mouse.move(box["x"] + x, box["y"] + y)


def point_at_unit(root: Locator, row: int, column: int) -> None:
    canvas = root.locator(".map canvas")
    margin, side = json.loads(canvas.get_attribute("data-units") or "")
    move(canvas, (column + margin + 0.5) * side, (row + margin + 0.5) * side)


def point_at_rate(root: Locator, rate: int) -> None:
    canvas = root.locator(".curve canvas")
    left, width, last = json.loads(canvas.get_attribute("data-axes") or "")
    move(canvas, left + (rate - 1) / (last - 1) * width, 60)


def leave(page: Page) -> None:
    page.mouse.move(1, 1)


def says(root: Locator) -> str:
    return root.locator(".says").inner_text().replace("\xa0", " ")


def told(page: Page, state: str) -> None:
    """Python has it."""
    page.locator(".widget-html-content").get_by_text(state, exact=False).wait_for()


def test_rates_are_chosen_slid_typed_and_counted(page: Page) -> None:
    root = page.locator(".aspp").first
    check(root, 65, (6, 12, 18), active=1)
    menu = root.locator("label.preset select")
    for number, rates in enumerate(PRESETS.values()):
        menu.select_option(f"{number}")
        check(root, 65, rates, active=1)
    menu.select_option("0")
    slider = root.get_by_label("Rate 3", exact=True)
    slider.fill("40")
    check(root, 65, (6, 12, 40), active=2)
    assert says(
        root
    ) == "Row 32, column 32 of 65 × 65: at rate 40, 1 of 9 weights is on the map; the other 8 read padding: a 1 × 1 here. " + (
        "Rate 6: 9; rate 12: 9."
    )
    slider.press("ArrowRight")
    check(root, 65, (6, 12, 41), active=2)
    root.get_by_label("Rate 1, typed").fill("65")
    check(root, 65, (65, 12, 41), active=0)
    assert root.locator(".taps .note").inner_text() == "Rate 65 ≥ 65: the 3 × 3 has become a 1 × 1. Image pooling is the cure."
    told(page, "65 (65, 12, 41) 0 None taps")
    root.get_by_label("Map size", exact=True).fill("129")
    check(root, 129, (65, 12, 41), active=0)
    root.get_by_role("button", name="+ rate").click()
    check(root, 129, (65, 12, 41, 70), active=3)
    root.get_by_role("button", name="+ rate").click(force=True)  # greyed: there are four
    root.get_by_role("button", name="Rate 2: take away").click()
    check(root, 129, (65, 41, 70), active=2)
    root.get_by_role("button", name="rate 2", exact=True).click()
    check(root, 129, (65, 41, 70), active=1)
    told(page, "129 (65, 41, 70) 1 None taps")


def test_what_is_mistyped_is_said(page: Page) -> None:
    root = page.locator(".aspp").first
    menu = root.locator("label.preset select")
    menu.select_option("0")
    field = root.get_by_label("Rate 2, typed")
    for text in ("0", "161", "1.5", "x", ""):
        field.fill(text)
        assert root.locator(".problem").inner_text() == f"Rate 2 “{text}”: give an integer from 1 to 160."
        assert field.get_attribute("aria-invalid") == "true"
    field.blur()
    assert (field.input_value(), root.locator(".problem").inner_text()) == ("12", "")
    size = root.get_by_label("Map size, typed")
    size.fill("4")
    assert root.locator(".problem").inner_text() == "Map size “4”: give an integer from 5 to 129."
    size.fill("65")
    assert root.locator(".problem").inner_text() == ""
    check(root, 65, (6, 12, 18), active=1)


def test_units_are_pointed_at_kept_and_moved(page: Page) -> None:
    """By mouse; and by keys alone, which do not reach the notebook."""
    root = page.locator(".aspp").first
    root.locator("label.preset select").select_option("0")
    canvas = root.locator(".map canvas")
    for place in [(0, 0), (64, 64), (20, 3), (40, 33)]:
        point_at_unit(root, *place)
        check(root, 65, (6, 12, 18), active=1, centre=place)
    leave(page)
    check(root, 65, (6, 12, 18), active=1)
    point_at_unit(root, 5, 60)
    page.mouse.down()
    page.mouse.up()
    leave(page)
    settings = check(root, 65, (6, 12, 18), active=1, centre=(5, 60))
    assert settings.valid == (4, 4, 4)
    told(page, "65 (6, 12, 18) 1 (5, 60) taps")
    canvas.focus()
    cells = page.locator(".jp-Cell").count()
    for key in ("ArrowDown", "ArrowLeft", "Shift+ArrowLeft", "d", "d", "3"):
        page.keyboard.press(key)
    settings = check(root, 65, (6, 12, 18), active=2, centre=(6, 49))
    assert says(root).startswith("Row 6, column 49 of 65 × 65: at rate 18, 4 of 9 weights are on the map; the other 5 read padding.")
    assert page.locator(".jp-Cell").count() == cells
    page.keyboard.press("Escape")
    check(root, 65, (6, 12, 18), active=2)
    assert root.locator(".says").get_attribute("aria-live") == "polite"


def test_rates_are_pointed_at_and_taken(page: Page) -> None:
    root = page.locator(".aspp").first
    root.locator("label.preset select").select_option("0")
    root.get_by_role("button", name="rate 2", exact=True).click()
    for rate in (1, 24, 33, 65, 80):
        point_at_rate(root, rate)
        attributes(root, pointedrate=f"{rate}")
        check(root, 65, (6, 12, 18), active=1)
    assert says(root) == "Rate 80 on 65 × 65: everywhere only the centre weight is valid. The 3 × 3 is a 1 × 1."
    point_at_rate(root, 30)
    page.mouse.down()
    page.mouse.up()
    leave(page)
    check(root, 65, (6, 30, 18), active=1)
    root.locator(".curve canvas").focus()
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    attributes(root, pointedrate="22")
    page.keyboard.press("Enter")
    check(root, 65, (6, 22, 18), active=1)


def test_python_sets_and_is_shown(page: Page) -> None:
    root = page.locator(".aspp").first
    page.get_by_role("button", name="from Python").click()
    check(root, 33, (3, 30), active=1, centre=(0, 4))
    assert root.get_by_label("Map size", exact=True).input_value() == "33"


def test_bins_are_pointed_at_and_kept(page: Page) -> None:
    root = page.locator(".aspp").nth(1)
    check_bins(root)
    assert says(root).startswith("6 × 6 bins over 10 × 15 units: average pooling keeps 36 means.")
    assert root.locator(".pyramid .note").inner_text().startswith("SPP's rule makes 9 × 7 windows, not 6 × 6.")
    for name in (".image", ".kept"):
        canvas = root.locator(f"{name} canvas")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        for row, column in [(0, 0), (2, 3), (5, 5)]:
            move(canvas, box["width"] * (column + 0.5) / 6, box["height"] * (row + 0.5) / 6)
            check_bins(root, bin=(row, column))
    assert says(root).startswith("Bin in row 5, column 5: the mean of rows 8 to 9 and columns 12 to 14, 6 units of 8 × 8 pixels:")
    leave(page)
    check_bins(root)
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        root.locator(".image canvas").press(key)
    check_bins(root, bin=(1, 1))
    page.keyboard.press("Escape")
    check_bins(root)


def test_levels_units_and_rules(page: Page) -> None:
    root = page.locator(".aspp").nth(1)
    for level in (1, 2, 3, 6):
        root.get_by_role("button", name=f"{level} × {level}", exact=True).click()
        check_bins(root, level=level)
    root.get_by_role("button", name="SPP's rule").click()
    root.locator(".kept canvas").press("ArrowDown")
    for _ in range(10):
        root.locator(".kept canvas").press("ArrowDown")
    check_bins(root, rule="window", bin=(8, 0))
    root.locator("label.stride select").select_option("16")
    check_bins(root, rule="window", stride=16)
    assert says(root) == "SPP's rule fails: 6 bins over 5 units need a stride of ⌊5/6⌋ = 0."
    root.locator("label.stride select").select_option("1")
    check_bins(root, rule="window", stride=1)
    assert root.locator(".pyramid .note").get_attribute("data-good") == "true"
    root.get_by_role("button", name="Adaptive pooling").click()
    root.locator("label.stride select").select_option("8")
    check_bins(root)


def test_the_page_without_kernel_does_the_same(alone: Page) -> None:
    """Tabs by keys, then both parts."""
    root = alone.locator(".aspp")
    check(root, 33, (6, 12), active=1)
    point_at_unit(root, 0, 16)
    check(root, 33, (6, 12), active=1, centre=(0, 16))
    root.get_by_label("Map size", exact=True).fill("12")
    check(root, 12, (6, 12), active=1)
    root.get_by_role("tab", name="Taps on a map").press("ArrowRight")
    check_bins(root)
    assert alone.evaluate("document.activeElement.textContent") == "Bins of a pyramid"
    assert root.locator(".map canvas").is_hidden()
    root.locator(".kept canvas").press("ArrowRight")
    check_bins(root, bin=(0, 0))
    root.get_by_role("tab", name="Taps on a map").click()
    check(root, 12, (6, 12), active=1)
    root.get_by_label("Map size", exact=True).fill("33")


def colour(canvas: Locator, x: float, y: float) -> list[int]:
    script = """(canvas, [x, y]) => { const ratio = canvas.width / canvas.getBoundingClientRect().width;
      return [...canvas.getContext("2d").getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data].slice(0, 3); }"""
    return canvas.evaluate(script, [x, y])


def test_taps_are_coloured_on_the_map_and_grey_beyond(alone: Page) -> None:
    root = alone.locator(".aspp")
    root.get_by_role("tab", name="Taps on a map").click()
    root.get_by_role("button", name="rate 2", exact=True).click()
    root.locator(".map canvas").press("Escape")
    for _ in range(10):
        root.locator(".map canvas").press("ArrowUp")
    check(root, 33, (6, 12), active=1, centre=(6, 16))
    canvas = root.locator(".map canvas")
    margin, side = json.loads(canvas.get_attribute("data-units") or "")
    at = lambda row, column: ((column + margin + 0.5) * side + 5, (row + margin + 0.5) * side)  # noqa: E731
    assert colour(canvas, *at(18, 28)) == [213, 94, 0]
    beyond = colour(canvas, *at(-6, 28))
    assert max(beyond) - min(beyond) < 16


def test_the_means_are_painted(alone: Page) -> None:
    root = alone.locator(".aspp")
    root.get_by_role("tab", name="Bins of a pyramid").click()
    means = bin_means(ASPPLab()._image, 8, 6).round().int()
    canvas = root.locator(".kept canvas")
    canvas.press("Escape")
    box = canvas.bounding_box()
    assert box is not None
    for row, column in [(0, 0), (3, 2), (5, 4)]:
        found = colour(canvas, box["width"] * (column + 0.5) / 6, box["height"] * (row + 0.5) / 6)
        assert found == pytest.approx(means[:, row, column].tolist(), abs=1)


@pytest.mark.parametrize("part", ["Taps on a map", "Bins of a pyramid"])
@pytest.mark.parametrize("width", [1500, 900, 400])
def test_nothing_is_cut_off_or_tiny(alone: Page, width: int, part: str) -> None:
    """At three widths: no part is wider than the page, or than what holds it; no text is smaller than 14 pixels."""
    alone.set_viewport_size({"width": width, "height": 900})
    root = alone.locator(".aspp")
    root.get_by_role("tab", name=part).click()
    layout = {1500: "wide", 900: "medium", 400: "narrow"}[width]
    alone.locator(f'.aspp[data-layout="{layout}"]').wait_for()
    assert alone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    parts = "canvas, select, input, button, p:not(:empty), h3, output, .line, .row"
    spilt = """(root, parts) => [...root.querySelectorAll(parts)].filter((node) => node.offsetParent).filter((node) => {
      const [own, parent] = [node.getBoundingClientRect(), node.parentElement.getBoundingClientRect()];
      return own.right > parent.right + 3 || own.left < parent.left - 3;
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert root.evaluate(spilt, parts) == []
    small = 'root => [...root.querySelectorAll("*")].filter((node) => parseFloat(getComputedStyle(node).fontSize) < 14).length'
    assert root.evaluate(small) == 0


def test_drawings_say_what_they_are(alone: Page) -> None:
    for canvas in alone.locator(".aspp section canvas").all():
        assert canvas.get_attribute("role") == "application"
        label = canvas.get_attribute("aria-label") or ""
        assert "arrow keys move" in label or "left and right move" in label
        assert canvas.evaluate("node => node.tabIndex") == 0
