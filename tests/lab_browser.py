"""A real JupyterLab, started as `make lab` starts it, and a real Chromium: what the browser tests drive.

The server's root is a temporary folder with copies of the notebooks, because JupyterLab saves what it runs.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlparse

import nbformat
import pytest
from chromium import FLAGS
from course_env import ROOT, fixed_environment
from execute_notebooks import normalise
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from open_lab import lab_command
from playwright.sync_api import Browser, Error, Locator, Page, sync_playwright

START_TIMEOUT = 120  # seconds, for the server and for the first page on a busy machine
RUN_TIMEOUT = 240

Answer = TypeVar("Answer")


def wait_for(answer: Callable[[], Answer | None], seconds: float, what: str) -> Answer:
    """The first answer that is not None. Raises TimeoutError, which names `what` was waited for."""
    end = time.monotonic() + seconds
    while (found := answer()) is None:
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)
    return found


def copy_notebook(source: Path, target: Path, keep_outputs: bool = False) -> Path:
    """A copy without outputs and counts, so that whatever is there later was computed in the browser's session."""
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and not keep_outputs:
            cell.update(outputs=[], execution_count=None)
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    return target


def attributes(root: Locator, **wanted: str) -> dict[str, str]:
    """A widget's `data-` attributes, which tell its state, once they hold what is wanted."""
    selector = "".join(f'[data-{key}="{value}"]' for key, value in wanted.items())
    try:
        root.and_(root.page.locator(selector or "*")).wait_for(timeout=20_000)
    except Error:
        pytest.fail(f"the widget is not at {wanted}: {root.evaluate('node => JSON.stringify(node.dataset)')}")
    return root.evaluate("node => ({...node.dataset})")


class Lab:
    """A running server: its address, token and root folder. `open` gives a page, `run_all` the notebook after its last cell."""

    def __init__(self, root: Path, url: str, token: str, browser: Browser) -> None:
        self.root, self.url, self.token, self.browser = root, url, token, browser
        self.requests: list[str] = []

    def open(self, notebook: Path | None = None, keep_outputs: bool = False) -> Page:
        """A page with a copy of `notebook` (None: what the server itself opens first), once its kernel is idle."""
        page = self.browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(START_TIMEOUT * 1000)
        page.on("request", lambda request: self.requests.append(request.url))
        path = ""
        if notebook is not None:
            copy_notebook(notebook, self.root / "notebooks" / notebook.name, keep_outputs)
            path = f"lab/tree/notebooks/{notebook.name}"
        page.goto(f"{self.url}{path}?reset&token={self.token}")
        self.wait_until_idle(page)
        return page

    @contextmanager
    def live(self, folder: Path, cells: Sequence[str], widget: str) -> Iterator[Page]:
        """A page with a notebook of these cells, run; each shows a widget, whose root `widget` selects."""
        path = folder / f"{folder.name}.ipynb"
        nbformat.write(normalise(new_notebook(cells=[new_code_cell(cell) for cell in cells])), path)
        page = self.open(path)
        self.run_all(page, path.name)
        page.locator(widget).nth(len(cells) - 1).wait_for()
        yield page
        page.close()

    @contextmanager
    def exported(self, path: Path, widget: str) -> Iterator[Page]:
        """A page opened as a file; at the end, that it asked for itself and for nothing else, without an error."""
        page = self.browser.new_page()
        page.set_default_timeout(30_000)
        asked: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        page.locator(widget).wait_for()
        yield page
        page.close()
        assert errors == []
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]

    def wait_until_idle(self, page: Page) -> None:
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for(timeout=1000 * RUN_TIMEOUT)  # a cell may train a net

    def menu(self, page: Page, menu: str, entry: str) -> None:
        page.locator(".lm-MenuBar-itemLabel", has_text=menu).first.click()
        page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).click()

    def run_all(self, page: Page, name: str) -> NotebookNode:
        """Runs all cells of notebooks/`name` and saves it. Raises AssertionError at a cell that failed."""
        self.menu(page, "Run", "Run All Cells")
        return wait_for(lambda: self.finished(page, name), RUN_TIMEOUT, f"the last cell of {name}")

    def finished(self, page: Page, name: str) -> NotebookNode | None:
        """The saved notebook once each code cell has run, else None."""
        self.wait_until_idle(page)
        self.menu(page, "File", "Save Notebook")
        page.wait_for_timeout(500)
        notebook = nbformat.read(self.root / "notebooks" / name, as_version=4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        errors = [f"{output.ename}: {output.evalue}" for cell in cells for output in cell.outputs if output.output_type == "error"]
        if errors:
            raise AssertionError(f"{name}: {errors}")
        return notebook if all(cell.execution_count for cell in cells) else None

    def hosts(self) -> set[str | None]:
        """The hosts that any page asked for anything."""
        return {urlparse(url).hostname for url in self.requests if url.startswith(("http", "ws"))}


def server_facts(runtime: Path) -> dict | None:
    """What the server writes about itself (url, token ...) once it listens."""
    for path in runtime.glob("jpserver-*.json"):
        try:
            return json.loads(path.read_text())
        except json.JSONDecodeError:
            return None  # still being written
    return None


@contextmanager
def serve(first: Path, state: Path) -> Iterator[tuple[Path, dict]]:
    """JupyterLab over a folder with a copy of the notebook `first`, as `make lab` starts it; yields the folder and the server's facts."""
    root = state / "root"
    notebook = copy_notebook(first, root / "notebooks" / first.name)
    if (ROOT / "data").is_dir():
        (root / "data").symlink_to(ROOT / "data")
    command = lab_command(notebook, root, ["--no-browser", "--port=0", "--ip=127.0.0.1"])
    with (state / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=root, env=fixed_environment(state / "jupyter"), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield root, wait_for(lambda: server_facts(state / "jupyter" / "runtime"), START_TIMEOUT, "JupyterLab")
        finally:
            stop(server)


def stop(server: subprocess.Popen) -> None:
    """Asks the server to end its kernels and itself; ends it by force where it does not."""
    server.terminate()
    try:
        server.wait(timeout=20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


@contextmanager
def start_lab(first: Path, state: Path, chromium: str) -> Iterator[Lab]:
    """JupyterLab and Chromium for the length of the block; both keep their files in the folder `state`."""
    with serve(first, state) as (root, facts), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        try:
            yield Lab(root, facts["url"], facts["token"], browser)
        finally:
            browser.close()
