"""What the tests share. It must not import edu_seg: the shape checks are put in place before the first import of the package."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import pytest
from course_env import FIRST_NOTEBOOK

if TYPE_CHECKING:
    from lab_browser import Lab
    from playwright.sync_api import Browser

matplotlib.use("Agg")
os.environ["EDU_SEG_PROGRESS"] = ""  # no test reads or writes the progress of whoever runs it

MISSING_DATA = "EDU_SEG_DATA is not set: it names the folder that holds CamVid/"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets nbval leave a file open, in the cells it runs and nowhere else; a warning inside a notebook fails the form test instead."""
    for item in items:
        if type(item).__name__ == "IPyNbCell":
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data sets that EDU_SEG_DATA names; the test skips where the variable is unset."""
    value = os.environ.get("EDU_SEG_DATA")
    if not value:
        pytest.skip(MISSING_DATA)
    root = Path(value)
    if not root.is_dir():
        pytest.fail(f"EDU_SEG_DATA names {root}, which is no folder")
    return root


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    """No test leaves a matplotlib figure to the next one."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Lab"]:
    """JupyterLab at notebook 00 with a Chromium beside it; skips where there is no Chromium. Stopped at the end of the file of tests."""
    from chromium import find_chromium
    from lab_browser import start_lab

    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on the PATH (Debian: apt install chromium)")
    with start_lab(FIRST_NOTEBOOK, tmp_path_factory.mktemp("lab"), chromium) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A Chromium without a server, for pages that open from a folder; skips where there is none."""
    from chromium import find_chromium
    from deck_browser import start_browser

    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on the PATH (Debian: apt install chromium)")
    with start_browser(chromium) as running:
        yield running


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Nets of a test's size are many times faster on one thread, and a run's last bits depend on the number."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
