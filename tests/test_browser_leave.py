"""Where a page moves under a resting mouse, the browser reports a *leave*: it must not undo what the reader sees, in any lab.

The event is made here, with the place of the last move (the mouse rests) and with another (it has gone).
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Locator
from test_cost_lab import SIZE, costs
from torch import nn

from edu_seg.models import build
from edu_seg.widgets import ASPPLab, CostLab, CRFLab, DecoderLab, GridLab, StitchLab
from edu_seg.widgets.base import CourseWidget

pytestmark = pytest.mark.browser

LABS: dict[str, Callable[[], CourseWidget]] = {
    "GridLab": GridLab,
    "ASPPLab": ASPPLab,
    "CostLab": lambda: CostLab(costs(), SIZE),
    "CRFLab": lambda: CRFLab(torch.arange(3 * 12 * 16, dtype=torch.uint8).view(3, 12, 16)),
    "StitchLab": lambda: StitchLab(nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)), torch.rand(1, 9, 9), 2),
    "DecoderLab": lambda: DecoderLab(build("segnet", 3, width=1 / 16).eval(), torch.rand(3, 32, 32)),
}
WATCH = """canvas => canvas.addEventListener("pointermove", ({ screenX, screenY }) => { canvas.last = { screenX, screenY }; })"""
LEAVE = """(canvas, by) => canvas.dispatchEvent(
  new PointerEvent("pointerleave", { screenX: canvas.last.screenX + by, screenY: canvas.last.screenY }))"""
SETTLED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(done))))"


def state(root: Locator) -> str:
    """What the lab tells and says, once it has drawn."""
    root.page.evaluate(SETTLED)
    return root.evaluate("node => JSON.stringify(node.dataset) + node.querySelector('.says, [aria-live]')?.textContent")


def pointed(root: Locator) -> tuple[Locator, str, str]:
    """A canvas that answers the mouse, the state before and with the mouse over it."""
    for canvas in root.locator("canvas").all():
        before = state(root)
        canvas.evaluate(WATCH)
        canvas.hover()
        if (now := state(root)) != before:
            return canvas, before, now
        root.page.mouse.move(1, 1)
    pytest.fail("no canvas answers the mouse")


@pytest.mark.parametrize("name", LABS)
def test_a_leave_counts_only_if_the_mouse_has_moved(browser: Browser, tmp_path: Path, name: str) -> None:
    page = browser.new_page(viewport={"width": 1300, "height": 1400})
    page.set_default_timeout(60_000)
    page.goto(LABS[name]().export(tmp_path / "lab.html").as_uri())
    root = page.locator(".edu-seg").first
    root.wait_for()
    canvas, before, now = pointed(root)
    canvas.evaluate(LEAVE, 0)
    assert state(root) == now
    canvas.evaluate(LEAVE, 5)
    assert state(root) == before
    page.close()
