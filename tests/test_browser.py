"""The course in a real JupyterLab in a real Chromium: opened as `make lab` opens it, and run to its last cell."""

from pathlib import Path

import nbformat
import pytest
from course_env import FIRST_NOTEBOOK
from execute_notebooks import normalise
from lab_browser import Lab
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

pytestmark = pytest.mark.browser

RED_DOT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"


def written(path: Path, *cells: NotebookNode) -> Path:
    nbformat.write(normalise(new_notebook(cells=list(cells))), path)  # with the name of the kernel: else JupyterLab asks for one
    return path


def test_the_token_is_on(lab: Lab) -> None:
    assert len(lab.token) >= 32
    page = lab.browser.new_page()
    answer = page.goto(f"{lab.url}api/contents")
    page.close()
    assert answer is not None
    assert answer.status == 403


def test_the_first_notebook_opens_and_runs_to_its_end(lab: Lab, tmp_path: Path) -> None:
    page = lab.open()
    assert page.locator(".lm-TabBar-tabLabel", has_text=FIRST_NOTEBOOK.name).first.is_visible()
    notebook = lab.run_all(page, FIRST_NOTEBOOK.name)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    page.screenshot(path=tmp_path / "notebook_00.png")
    assert page.get_by_text("model not found").count() == 0
    page.close()


def test_a_stored_picture_shows_before_any_cell_is_run(lab: Lab, tmp_path: Path) -> None:
    """A clone's notebooks are untrusted, and JupyterLab cleans their HTML: the picture and its alternative text must survive that."""
    picture = f'<img alt="a red dot, stored" src="data:image/png;base64,{RED_DOT}" width="40">'
    stored = new_output("display_data", {"text/html": picture, "text/plain": "a red dot, stored"})
    path = written(tmp_path / "stored.ipynb", new_code_cell("0", execution_count=1, outputs=[stored]))
    page = lab.open(path, keep_outputs=True)
    image = page.get_by_alt_text("a red dot, stored")
    image.wait_for()
    assert image.evaluate("image => image.complete && image.naturalWidth") == 1
    page.close()


def test_a_cell_that_fails_is_noticed(lab: Lab, tmp_path: Path) -> None:
    path = written(tmp_path / "failing.ipynb", new_code_cell("1 / 0"), new_code_cell("1"))
    page = lab.open(path)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        lab.run_all(page, path.name)
    page.close()


def test_nothing_is_fetched_from_elsewhere(lab: Lab) -> None:
    """Last in the file: no page so far, notebook 00 included, asked another host for anything, and no news question stands there."""
    page = lab.open()
    page.wait_for_timeout(1000)
    assert page.get_by_text("official Jupyter news").count() == 0
    assert lab.hosts() == {"127.0.0.1"} or lab.hosts() == {"localhost"}
    page.close()
