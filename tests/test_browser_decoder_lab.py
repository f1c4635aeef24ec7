"""DecoderLab in a real JupyterLab and as a page of its own: what is shown is what Python computes, and nobody is asked for it."""

import json
from collections.abc import Iterator

import pytest
import torch
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page
from torch import nn

from edu_seg.models import build
from edu_seg.widgets import DecoderLab, DecoderSteps, decoder_steps

pytestmark = pytest.mark.browser

NET = """
import torch
from edu_seg.models import build
torch.manual_seed(0)
net = build("segnet_basic", 3, width=1 / 8)
for layer in net.modules():
    if isinstance(layer, torch.nn.BatchNorm2d):
        layer.momentum = 1.0
with torch.no_grad():
    net.train()(torch.rand(2, 3, 30, 33))
image = torch.rand(3, 30, 33, generator=torch.Generator().manual_seed(1))
"""
SETUP = f"""{NET}
from edu_seg.widgets import DecoderLab
lab = DecoderLab(net, image, names=["sky", "sea", "sand"])
lab
"""
SECOND = """
from ipywidgets import HTML, Button
button = Button(description="from Python")
button.on_click(lambda _: lab.set(stage="unpool2", mode="shuffled", channel=2, cell=(7, 11)))
seen = HTML()
def say(_):
    seen.value = f"{lab.stage} {lab.mode} {lab.channel} {lab.cell}"
lab.observe(say, ["stage", "mode", "channel", "cell"])
other = DecoderLab(net, image, stage="labels")
display(other, seen, button)
"""


def made() -> tuple[nn.Module, torch.Tensor]:
    """The net and the image of the notebook."""
    names = {"torch": torch, "build": build}
    exec(NET, names)
    return names["net"], names["image"]  # pyright: ignore[reportReturnType]


@pytest.fixture(scope="module")
def steps() -> DecoderSteps:
    return decoder_steps(*made())


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with two of them, live, and a button whose answer in Python sets the first."""
    with lab.live(tmp_path_factory.mktemp("decoder"), [SETUP, SECOND], ".dec") as page:
        page.set_default_timeout(20_000)
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An exported page."""
    path = DecoderLab(*made(), names=["sky", "sea", "sand"]).export(tmp_path_factory.mktemp("page") / "lab.html")
    with lab.exported(path, ".dec") as page:
        page.set_viewport_size({"width": 1500, "height": 1000})
        yield page


def at_start(root: Locator, stage: str = "unpool4") -> None:
    """Whatever the test before it has left."""
    root.page.mouse.move(2, 2)
    root.locator(".strip button[aria-checked=true]").focus()
    root.page.keyboard.press("Escape")
    root.get_by_role("button", name="switches", exact=True).click()
    root.get_by_role("button", name="strongest", exact=True).click()
    choose(root, stage)
    root.page.mouse.move(2, 2)
    attributes(root, stage=stage, mode="switches", channel="1", point="", held="false")


def choose(root: Locator, stage: str) -> None:
    root.locator(".strip").get_by_text(stage, exact=True).click()
    attributes(root, stage=stage)


def point_at(root: Locator, row: int, column: int, panel: str = "map") -> None:
    canvas = root.locator(f".{panel} canvas")
    canvas.scroll_into_view_if_needed()
    box, (side, *_) = canvas.bounding_box(), json.loads(canvas.get_attribute("data-cells") or "")
    assert box is not None
    canvas.page.mouse.move(box["x"] + (column + 0.5) * side, box["y"] + (row + 0.5) * side)


def says(root: Locator) -> str:
    return root.locator(".says").inner_text().replace("\xa0", " ").replace("\u202f", " ")


def bytes_of(steps: DecoderSteps, stage: str, index: int, mode: str) -> torch.Tensor:
    """What the browser is to hold of a map that was sent."""
    every = torch.stack([steps[stage].values[name][index] for name in ("switches", "fixed", "shuffled")])
    low, high = min(0.0, float(every.min())), max(0.0, float(every.max()))
    return (steps[stage].values[mode][index] - low) / (high - low) * 255


def test_every_stage_is_pythons(alone: Page, steps: DecoderSteps) -> None:
    """By sums of bytes, which the browser tells, and by the number of units that hold a value."""
    root = alone.locator(".dec")
    at_start(root)
    names = root.locator(".strip b").all_inner_texts()
    assert names == [stage.name for stage in steps.stages]
    for mode, button in (("fixed", "fixed places"), ("switches", "switches")):
        root.get_by_role("button", name=button, exact=True).click()
        for stage in steps.stages:
            choose(root, stage.name)
            found = attributes(root, stage=stage.name, mode=mode, size=",".join(map(str, stage.size)))
            if stage.kind == "unpool":
                assert int(found["filled"]) == stage.places[mode][0].numel()
            elif stage.kind == "labels":
                assert int(found["sum"]) == int(steps.labels(mode).sum())
            else:
                wanted = bytes_of(steps, stage.name, 0, mode)
                assert abs(int(found["sum"]) - float(wanted.sum())) <= 0.51 * wanted.numel()


def test_the_labels_that_change(page: Page, steps: DecoderSteps) -> None:
    root = page.locator(".dec").nth(1)
    at_start(root, "labels")
    rows = {row.get_attribute("data-mode"): row.inner_text() for row in root.locator("tr[data-mode]").all()}
    for mode, button in (("fixed", "fixed places"), ("shuffled", "shuffled switches")):
        changed = steps.changed(mode)
        root.get_by_role("button", name=button, exact=True).click()
        found = attributes(root, mode=mode, compared="switches", changed=f"{int(changed.sum())}", differing=f"{int(changed.sum())}")
        assert (int(found["near"]), int(found["band"])) == (int((changed & steps.band).sum()), int(steps.band.sum()))
        assert f"{int(changed.sum())} (" in rows[mode]
        assert f"{int(changed.sum())} labels of 990 change" in says(root)
    at_start(root, "labels")
    attributes(root, compared="shuffled")  # the last one that was looked at


def test_keys_step_and_swap(page: Page, steps: DecoderSteps) -> None:
    root = page.locator(".dec").first
    at_start(root)
    names = [stage.name for stage in steps.stages]
    for key, by in [("ArrowRight", 1), ("PageDown", 1), ("ArrowDown", 1), ("ArrowLeft", -1), ("PageUp", -1)]:
        before = names.index(attributes(root)["stage"])
        page.keyboard.press(key)
        attributes(root, stage=names[before + by])
        assert page.evaluate("document.activeElement.getAttribute('aria-checked')") == "true"
    page.keyboard.press("End")
    attributes(root, stage="labels")
    page.keyboard.press("ArrowRight")
    attributes(root, stage="labels")
    page.keyboard.press("Home")
    attributes(root, stage="pool4")
    page.keyboard.press("s")
    attributes(root, mode="fixed", compared="switches")
    page.keyboard.press("s")
    attributes(root, mode="switches", compared="fixed")
    page.keyboard.press("a")
    attributes(root, channel="all")
    page.keyboard.press("3")
    attributes(root, channel="3")
    page.locator(".widget-html-content").get_by_text("pool4 switches 3 None").wait_for()


def test_a_unit_tells_its_window_and_its_switch(page: Page, steps: DecoderSteps) -> None:
    root = page.locator(".dec").nth(1)
    at_start(root, "unpool2")
    places = steps["unpool2"].places["switches"][0]
    words = ("upper left", "upper right", "lower left", "lower right")
    for row, column in [(0, 0), (3, 4), (7, 8)]:
        place = int(places[row, column])
        landed = (2 * row + place // 2, 2 * column + place % 2)
        point_at(root, *landed)
        attributes(root, point=f"{landed[0]},{landed[1]}", landed=f"{landed[0]},{landed[1]}", window=f"{row},{row},{column},{column}")
        assert says(root).startswith(f"Unit ({landed[0]}, {landed[1]}) of unpool2: ")
        assert says(root).endswith(f"the value of unit ({row}, {column}) of decoder3; the switch of its window names {words[place]}.")
    point_at(root, 2, 3, "below")
    place = int(places[2, 3])
    attributes(root, point=f"{4 + place // 2},{6 + place % 2}")
    root.get_by_role("button", name="fixed places", exact=True).click()
    point_at(root, 5, 7, "difference")
    attributes(root, point="5,7", landed="4,6", mode="fixed")
    assert ": empty. " in says(root)
    assert f"fixed: always upper left; its own switch names {words[place]}." in says(root)
    choose(root, "decoder2")
    point_at(root, 5, 7)
    attributes(root, point="5,7", window="2,8,4,10")
    assert says(root).endswith("It reads rows 2 to 8, columns 4 to 10 of unpool2.")
    assert root.locator(".says").get_attribute("aria-live") == "polite"


def test_what_is_held_is_followed(page: Page, steps: DecoderSteps) -> None:
    """By keys alone, up and down; Python is told of what is held."""
    root = page.locator(".dec").first
    at_start(root, "decoder3")
    root.locator(".map canvas").focus()
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    attributes(root, point="3,3", held="true")  # from the middle, (4, 4), where the first key begins
    page.locator(".widget-html-content").get_by_text("decoder3 switches 1 (3, 3)").wait_for()
    place = int(steps["unpool2"].places["switches"][0][3, 3])
    row, column = 6 + place // 2, 6 + place % 2
    page.keyboard.press("PageDown")
    attributes(root, stage="unpool2", point=f"{row},{column}", landed=f"{row},{column}", held="true")
    page.locator(".widget-html-content").get_by_text(f"unpool2 switches 1 ({row}, {column})").wait_for()
    page.keyboard.press("PageUp")
    attributes(root, stage="decoder3", point="3,3", held="true")
    page.keyboard.press("Escape")
    attributes(root, point="", held="false")
    point_at(root, 1, 2)
    page.mouse.down()
    page.mouse.up()
    attributes(root, point="1,2", held="true")
    point_at(root, 4, 4)
    attributes(root, point="1,2", held="true")
    page.keyboard.press("Escape")


def test_python_sets_what_is_shown(page: Page) -> None:
    root = page.locator(".dec").first
    at_start(root)
    page.get_by_role("button", name="from Python").click()
    attributes(root, stage="unpool2", mode="shuffled", channel="2", point="7,11", held="true")
    assert root.get_by_role("button", name="shuffled switches").get_attribute("aria-pressed") == "true"
    assert root.locator(".strip button[aria-checked=true] b").inner_text() == "unpool2"


def test_pointing_sends_nothing_to_the_kernel(page: Page) -> None:
    root = page.locator(".dec").nth(1)
    at_start(root, "decoder2")
    page.evaluate("""() => {
      window.sentMessages = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) { window.sentMessages += 1; return send.apply(this, values); };
    }""")
    for column in range(12):
        point_at(root, 3, column)
    attributes(root, point="3,11")
    assert page.evaluate("window.sentMessages") == 0
    choose(root, "labels")
    page.wait_for_function("window.sentMessages > 0")  # a stage is told to Python: the count does count


def test_keys_do_not_reach_the_notebook(page: Page) -> None:
    """`d d` in JupyterLab's command mode deletes a cell."""
    before = page.locator(".jp-CodeCell").count()
    for part in page.locator(".dec canvas[tabindex], .dec button").all():
        part.focus()
        page.keyboard.press("d")
        page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.locator(".jp-CodeCell").count() == before == 2


def test_it_plays(alone: Page, steps: DecoderSteps) -> None:
    """From stage to stage, until a step by hand; at once for readers who want no motion."""
    root = alone.locator(".dec")
    at_start(root, "unpool1")
    alone.keyboard.press("p")
    attributes(root, stage="decoder1", playing="true")
    attributes(root, stage="score", playing="true")
    alone.keyboard.press("ArrowLeft")
    attributes(root, stage="decoder1", playing="false")
    alone.emulate_media(reduced_motion="reduce")
    root.get_by_role("button", name="To the end").click()
    attributes(root, stage="labels", playing="false")
    alone.emulate_media(reduced_motion="no-preference")


def pixel(root: Locator, panel: str, row: int, column: int) -> list[int]:
    """Red, green and blue in the middle of a unit."""
    script = """(canvas, [row, column]) => {
      const [side] = JSON.parse(canvas.dataset.cells);
      const ratio = canvas.width / canvas.getBoundingClientRect().width;
      const at = [column, row].map((part) => Math.floor((part + 0.5) * side * ratio));
      return [...canvas.getContext("2d").getImageData(...at, 1, 1).data].slice(0, 3);
    }"""
    return root.locator(f".{panel} canvas").evaluate(script, [row, column])


def test_what_is_painted(alone: Page, steps: DecoderSteps) -> None:
    """Empty units are paper; labels have the colours of the legend; a label that changes is orange or white, one that does not is pale."""
    root = alone.locator(".dec")
    at_start(root, "unpool4")
    filled = steps["unpool4"].values["switches"][0] != 0
    for row in range(4):
        for column in range(4):
            shade = pixel(root, "map", row, column)
            assert not filled[row, column] or shade not in ([243, 241, 236], [198, 191, 176])
    assert any(pixel(root, "map", row, column) in ([243, 241, 236], [198, 191, 176]) for row in range(4) for column in range(4))
    choose(root, "labels")
    alone.mouse.move(2, 2)
    attributes(root, point="", compared="fixed")
    changed = steps.changed("fixed")
    for row, column in [(0, 0), (5, 9), (12, 20), (29, 32), (17, 3)]:
        shade = pixel(root, "difference", row, column)
        assert (shade in ([213, 94, 0], [255, 255, 255])) == bool(changed[row, column])


@pytest.mark.parametrize("stage", ["pool4", "unpool2", "labels"])
@pytest.mark.parametrize("width", [1500, 1000, 400])
def test_nothing_is_cut_off_or_tiny(alone: Page, width: int, stage: str) -> None:
    """At three widths: no part is wider than the page, or than what holds it; no text is smaller than 14 pixels."""
    alone.set_viewport_size({"width": width, "height": 900})
    root = alone.locator(".dec")
    layout = {1500: "wide", 1000: "medium", 400: "narrow"}[width]
    alone.locator(f'.dec[data-layout="{layout}"]').wait_for()
    choose(root, stage)
    assert alone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    spilt = """(root, parts) => [...root.querySelectorAll(parts)].filter((node) => {
      const [own, parent] = [node.getBoundingClientRect(), node.parentElement.getBoundingClientRect()];
      return own.right > parent.right + 3 || own.left < parent.left - 3;
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert root.evaluate(spilt, "canvas, button, p:not(:empty), h3, table, td, b, section") == []
    small = 'root => [...root.querySelectorAll("*")].filter((node) => parseFloat(getComputedStyle(node).fontSize) < 14).length'
    assert root.evaluate(small) == 0


def test_drawings_say_what_they_are(alone: Page) -> None:
    for name in ("map", "difference"):
        canvas = alone.locator(f".dec .{name} canvas")
        assert canvas.get_attribute("role") == "application"
        assert "arrow keys move" in (canvas.get_attribute("aria-label") or "")
        assert canvas.evaluate("node => node.tabIndex") == 0
    for name in ("image", "below"):
        assert alone.locator(f".dec .{name} canvas").get_attribute("role") == "img"
