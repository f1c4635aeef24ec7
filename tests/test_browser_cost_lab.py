"""CostLab in a real JupyterLab and as a page of its own: what is shown is what Python computed, and nobody is asked for it."""

import json
from collections.abc import Iterator

import pytest
from lab_browser import Lab, attributes
from playwright.sync_api import Locator, Page
from test_cost_lab import SIZE, costs

from edu_seg.figures.backbones import rows_of
from edu_seg.widgets import CostLab

pytestmark = pytest.mark.browser

SETUP = """
import torch
from ipywidgets import HTML, Button
from torch import nn
from edu_seg.costs import network_cost
from edu_seg.widgets import CostLab
net = lambda stride: nn.Sequential(nn.Conv2d(3, 4, 3, stride=stride, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
lab = CostLab({"one": {s: network_cost(net(s), (32, 32)) for s in (4, 2)}, "two": {2: network_cost(net(2), (32, 32))}}, 32)
button = Button(description="from Python")
button.on_click(lambda _: lab.set("one", 2))
seen = HTML("")
lab.observe(lambda change: setattr(seen, "value", f"<b class='seen'>{lab.network} at {lab.output_stride}</b>"))
display(seen, button)
lab
"""


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A notebook with one, live, a line that shows what Python hears, and a button whose answer in Python sets it."""
    with lab.live(tmp_path_factory.mktemp("cost"), [SETUP], ".cost") as page:
        page.set_default_timeout(20_000)
        yield page


@pytest.fixture(scope="module")
def alone(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """An exported page."""
    path = CostLab(costs(), SIZE).export(tmp_path_factory.mktemp("page") / "lab.html")
    with lab.exported(path, ".cost") as page:
        page.set_viewport_size({"width": 1500, "height": 1000})
        yield page


def choose(root: Locator, network: str, stride: int) -> None:
    root.locator("select").select_option(network)
    root.get_by_role("button", name=f"output stride {stride}", exact=False).first.click()
    attributes(root, network=network, stride=f"{stride}")


def point_at(root: Locator, bar: int) -> None:
    canvas = root.locator("canvas")
    canvas.scroll_into_view_if_needed()
    left, step, _ = json.loads(canvas.get_attribute("data-bars") or "")
    box = canvas.bounding_box()
    assert box is not None
    canvas.page.mouse.move(box["x"] + left + (bar + 0.5) * step, box["y"] + 120)


def says(root: Locator) -> str:
    return root.locator(".says").inner_text().replace("\xa0", " ")


def let_go(page: Page, root: Locator) -> None:
    page.mouse.move(2, 2)
    root.locator("canvas").press("Escape")
    attributes(root, point="", held="false")


def test_the_totals_of_all_output_strides_are_in_sight(alone: Page) -> None:
    root = alone.locator(".cost")
    for network, strides in costs().items():
        choose(root, network, next(iter(strides)))
        buttons = root.locator(".totals button").all()
        assert [button.locator("b").inner_text() for button in buttons] == [f"output stride {stride}" for stride in strides]
        held = [button.locator("span").first.inner_text() for button in buttons]
        assert [text.split()[0] for text in held] == [f"{cost.activation_bytes / 1024:.3g}" for cost in strides.values()]
        most = max(cost.activation_bytes for cost in strides.values())
        shares = [float(button.locator("i").evaluate("node => parseFloat(node.style.width)")) for button in buttons]
        assert shares == pytest.approx([100 * cost.activation_bytes / most for cost in strides.values()], rel=1e-4)


def test_a_bar_tells_its_layer(alone: Page) -> None:
    root = alone.locator(".cost")
    choose(root, "small", 8)
    for at, row in enumerate(rows_of(costs()["small"][8])):
        point_at(root, at)
        attributes(root, point=f"{at}", layer=row.name)
        assert says(root).startswith(f"{row.name}{f' ({row.kind})' if row.kind else ''}, row {at + 1} of 9")
        assert f"{row.shape[1]} channels of {row.shape[2]} × {row.shape[3]}" in says(root)
    let_go(alone, root)
    assert says(root).startswith("small at output stride 8, one image of 32 × 32: ")


def test_keys_go_from_layer_to_layer_and_from_stride_to_stride(alone: Page) -> None:
    root = alone.locator(".cost")
    choose(root, "small", 8)
    let_go(alone, root)
    canvas = root.locator("canvas")
    steps = [("ArrowRight", "0"), ("ArrowRight", "1"), ("PageDown", "3"), ("PageDown", "6"), ("PageDown", "8"), ("ArrowRight", "8")]
    for key, at in [*steps, ("PageUp", "6"), ("PageUp", "3"), ("ArrowLeft", "2"), ("ArrowRight", "3")]:
        canvas.press(key)
        attributes(root, point=at)
    canvas.press("ArrowUp")
    attributes(root, stride="4", point="3", layer="layer1.0")
    canvas.press("ArrowDown")
    canvas.press("ArrowDown")
    attributes(root, stride="16", point="3")
    canvas.press("Enter")
    attributes(root, held="true")
    point_at(root, 7)
    choose(root, "small", 8)
    attributes(root, point="3", held="true")
    let_go(alone, root)


def test_a_click_holds_and_a_second_lets_go(alone: Page) -> None:
    root = alone.locator(".cost")
    choose(root, "small", 16)
    let_go(alone, root)
    point_at(root, 4)
    alone.mouse.down()
    alone.mouse.up()
    attributes(root, point="4", held="true")
    point_at(root, 6)
    attributes(root, point="4", held="true")
    point_at(root, 4)
    alone.mouse.down()
    alone.mouse.up()
    attributes(root, held="false")
    choose(root, "wide", 8)
    attributes(root, point="", held="false")


HEIGHT_OF = """(canvas, [bar]) => {
  const [left, step] = JSON.parse(canvas.dataset.bars);
  const ratio = canvas.width / canvas.getBoundingClientRect().width;
  const x = Math.round((left + (bar + 0.5) * step) * ratio);
  const { data } = canvas.getContext("2d").getImageData(x, Math.round(38 * ratio), 1, Math.round(190 * ratio));
  let filled = 0;
  for (let at = 3; at < data.length; at += 4) filled += data[at] > 128 ? 1 : 0;
  return filled / (190 * ratio);
}"""


def test_bars_are_as_high_as_what_is_held(alone: Page) -> None:
    """One scale for all output strides of a network."""
    root = alone.locator(".cost")
    most = max(row.activation_bytes for cost in costs()["small"].values() for row in rows_of(cost))
    for stride in (16, 4):
        choose(root, "small", stride)
        let_go(alone, root)
        for at, row in enumerate(rows_of(costs()["small"][stride])):
            assert root.locator("canvas").evaluate(HEIGHT_OF, [at]) == pytest.approx(row.activation_bytes / most, abs=0.015), row.name


def test_both_sides_hear_each_other_and_pointing_asks_nobody(page: Page) -> None:
    root = page.locator(".cost")
    page.evaluate("""() => {
      window.sentMessages = 0;
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (...values) { window.sentMessages += 1; return send.apply(this, values); };
    }""")
    for bar in range(4):
        point_at(root, bar)
        attributes(root, point=f"{bar}")
    assert page.evaluate("window.sentMessages") == 0
    root.locator("select").select_option("two")
    attributes(root, network="two", stride="2")
    page.locator(".seen", has_text="two at 2").wait_for()
    page.get_by_role("button", name="from Python").click()
    attributes(root, network="one", stride="2")


@pytest.mark.parametrize("width", [1500, 900, 400])
def test_nothing_is_cut_off_or_tiny(alone: Page, width: int) -> None:
    """At three widths: no part is wider than the page, or than what holds it; no text is smaller than 14 pixels."""
    alone.set_viewport_size({"width": width, "height": 900})
    root = alone.locator(".cost")
    choose(root, "small", 8)
    layout = {1500: "wide", 900: "medium", 400: "narrow"}[width]
    alone.locator(f'.cost[data-layout="{layout}"]').wait_for()
    assert alone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    spilt = """(root, parts) => [...root.querySelectorAll(parts)].filter((node) => {
      const [own, parent] = [node.getBoundingClientRect(), node.parentElement.getBoundingClientRect()];
      return own.right > parent.right + 3 || own.left < parent.left - 3;
    }).map((node) => node.outerHTML.slice(0, 80))"""
    assert root.evaluate(spilt, "canvas, select, button, p, span, b") == []
    small = 'root => [...root.querySelectorAll("*")].filter((node) => parseFloat(getComputedStyle(node).fontSize) < 14).length'
    assert root.evaluate(small) == 0


def test_the_drawing_says_what_it_is(alone: Page) -> None:
    canvas = alone.locator(".cost canvas")
    assert canvas.get_attribute("role") == "application"
    assert "arrow keys move" in (canvas.get_attribute("aria-label") or "")
    assert alone.locator(".cost .says").get_attribute("aria-live") == "polite"
