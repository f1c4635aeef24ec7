"""The widgets in a real JupyterLab: what they say after clicks and keys is what the package computes, and no key reaches the notebook."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import torch
from execute_notebooks import normalise
from lab_browser import Lab
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page

from edu_seg.datasets import Shapes
from edu_seg.metrics import ConfusionMatrix

pytestmark = pytest.mark.browser

VIEWER = """
import torch
from edu_seg.datasets import Shapes
from edu_seg.widgets import NetViewer, ScorePainter
scenes = Shapes(2, size=32, seed=0)
images, labels = scenes.tensors()
preds = {"all background": torch.zeros_like(labels), "labels": labels.masked_fill(labels == 255, 0)}
NetViewer(images, labels, preds, scenes.classes, scenes.palette)
"""
PAINTER = """
labels = torch.tensor([[0, 0, 255], [1, 1, 0]])
ScorePainter(labels, {"lazy": torch.zeros_like(labels)}, ("ground", "thing"), scenes.palette[:2])
"""


@pytest.fixture(scope="module")
def page(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page whose notebook shows both widgets, live."""
    path = tmp_path_factory.mktemp("widgets") / "widgets.ipynb"
    nbformat.write(normalise(new_notebook(cells=[new_code_cell(VIEWER), new_code_cell(PAINTER)])), path)
    page = lab.open(path)
    lab.run_all(page, path.name)
    page.locator(".edu-seg table").wait_for()
    yield page
    page.close()


def move_to(canvas: Locator, cell: tuple[int, int], size: tuple[int, int]) -> None:
    """The mouse onto the middle of a cell (row, column) of a canvas that shows so many (rows, columns)."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    x, y = (box[side] * (place + 0.5) / count for side, place, count in zip(("width", "height"), cell[::-1], size[::-1], strict=True))
    canvas.page.mouse.move(box["x"] + x, box["y"] + y)


def test_the_viewer_moves_from_net_to_net_by_key(page: Page) -> None:
    viewer = page.locator(".edu-seg").nth(0)
    caption = viewer.locator("figcaption").nth(2)
    assert caption.inner_text().startswith("all background")
    slider = viewer.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert caption.inner_text() == "labels, mean IU 1"
    assert slider.get_attribute("aria-valuetext") == "labels"


def test_the_viewer_reads_out_the_pixel_that_keys_point_at(page: Page) -> None:
    viewer = page.locator(".edu-seg").nth(0)
    viewer.locator("canvas").nth(1).focus()
    for _ in range(40):
        page.keyboard.press("ArrowUp")
        page.keyboard.press("ArrowLeft")
    says = viewer.locator(".says").inner_text()
    assert says.startswith("Row 0, column 0: labelled ")
    assert "all background says background" in says


def test_the_viewer_reads_out_the_pixel_under_the_mouse(page: Page) -> None:
    """On each of its four pictures: a pixel of a thing first, then a corner."""
    viewer = page.locator(".edu-seg").nth(0)
    viewer.get_by_role("button", name="Scene 1").click()
    scenes = Shapes(2, size=32, seed=0)
    labels = scenes[0][1]
    things = ((labels > 0) & (labels != 255)).nonzero().tolist()
    row, column = things[len(things) // 2]
    thing = scenes.classes[labels[row, column]]
    for canvas in viewer.locator("canvas[tabindex]").all():
        move_to(canvas, (row, column), (32, 32))
        said = f"Row {row}, column {column}: labelled {thing}; all background says background, labels says {thing}."
        assert viewer.locator(".says").inner_text() == said
        move_to(canvas, (31, 0), (32, 32))
        assert viewer.locator(".says").inner_text().startswith("Row 31, column 0: labelled ")


def test_another_scene_is_one_click_away(page: Page) -> None:
    button = page.locator(".edu-seg").nth(0).get_by_role("button", name="Scene 2")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"


def test_the_painter_computes_what_the_package_does(page: Page) -> None:
    """By keyboard: one pixel right, and one void pixel; the sentence is compared with `ConfusionMatrix`."""
    painter = page.locator(".edu-seg").nth(1)
    painter.get_by_role("button", name="lazy").click()
    painter.locator("canvas[role=application]").focus()
    for key in ("1", "ArrowDown", " ", "ArrowUp", "ArrowRight", "ArrowRight", " "):
        page.keyboard.press(key)
    assert painter.locator(".says").inner_text() == sentence([[0, 0, 1], [1, 0, 0]])
    assert painter.locator("td").all_inner_texts() == ["3", "0", "0.750", "1", "1", "0.500"]


SCORES = ("Pixel accuracy", "mean accuracy", "mean IU", "frequency weighted IU")


def sentence(preds: list[list[int]]) -> str:
    """What the painter is to say of a prediction."""
    matrix = ConfusionMatrix(2)
    matrix.update(torch.tensor(preds), torch.tensor([[0, 0, 255], [1, 1, 0]]))
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(SCORES, matrix.scores().values(), strict=True)) + "."


def test_the_painter_is_painted_in_with_the_mouse(page: Page) -> None:
    """A stroke over the two things; the mouse paints neither on its way there nor, let go, on its way back."""
    painter = page.locator(".edu-seg").nth(1)
    painter.get_by_role("button", name="lazy").click()
    painter.get_by_role("button", name="thing (1)").click()
    target, says = painter.locator("canvas[role=application]"), painter.locator(".says")
    move_to(target, (0, 0), (2, 3))
    assert says.inner_text() == sentence([[0, 0, 0], [0, 0, 0]])
    move_to(target, (1, 0), (2, 3))
    page.mouse.down()
    assert says.inner_text() == sentence([[0, 0, 0], [1, 0, 0]])
    move_to(target, (1, 1), (2, 3))
    page.mouse.up()
    assert says.inner_text() == sentence([[0, 0, 0], [1, 1, 0]])
    move_to(target, (0, 1), (2, 3))
    assert says.inner_text() == sentence([[0, 0, 0], [1, 1, 0]])


def test_keys_in_a_widget_do_not_reach_the_notebook(page: Page) -> None:
    """`d d` in JupyterLab's command mode deletes a cell."""
    before = page.locator(".jp-CodeCell").count()
    for canvas in page.locator(".edu-seg canvas[tabindex]").all():
        canvas.focus()
        page.keyboard.press("d")
        page.keyboard.press("d")
    page.wait_for_timeout(300)
    assert page.locator(".jp-CodeCell").count() == before


def test_pictures_say_what_they_are(page: Page) -> None:
    for canvas in page.locator(".edu-seg canvas[role]").all():
        assert len(canvas.get_attribute("aria-label") or "") > 5
    assert Path(page.url).name.startswith("widgets.ipynb")
