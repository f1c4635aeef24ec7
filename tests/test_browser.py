"""The course in a real JupyterLab in a real Chromium: opened as `make lab` opens it, and run to its last cell."""

import os
from pathlib import Path

import nbformat
import pytest
from course_env import FIRST_NOTEBOOK, NOTEBOOKS, ROOT, find_notebooks
from execute_notebooks import normalise
from lab_browser import Lab
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

pytestmark = pytest.mark.browser

EVERY = "EDU_SEG_EVERY_NOTEBOOK"
CHOSEN = [path for path in find_notebooks() if path.parent == NOTEBOOKS] if os.environ.get(EVERY) else [FIRST_NOTEBOOK]
"""nbval runs them all each time; all of them in JupyterLab as well (ten minutes more) where the variable is set."""
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


def test_the_first_notebook_is_what_opens(lab: Lab) -> None:
    page = lab.open()
    assert page.locator(".lm-TabBar-tabLabel", has_text=FIRST_NOTEBOOK.name).first.is_visible()
    page.close()


@pytest.mark.parametrize("path", CHOSEN, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path: Path, lab: Lab, tmp_path: Path) -> None:
    """Without an error and without a word on stderr; widgets where they are, and no picture in place of one."""
    if not (lab.root / "data").exists():
        (lab.root / "data").symlink_to(ROOT / "data", target_is_directory=True)
    page = lab.open(path)
    notebook = lab.run_all(page, path.name)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"] == []
    page.screenshot(path=tmp_path / f"{path.stem}.png")
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
