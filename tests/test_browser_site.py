"""The site opened from its folder in a real Chromium: no network, no error in the console, no serious finding of axe-core, no page wider
than a phone, a search that finds, widgets that answer.

A small site is built for it: one notebook of the course, and a made-up one with widgets. EDU_SEG_SITE names a site to check instead, such
as build/site after `make site`.
"""

import os
import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import pytest
from course_env import NOTEBOOKS, ROOT, fixed_environment
from execute_notebooks import NOTEBOOK_METADATA
from make_site import main
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser, Page, ViewportSize

from edu_seg.figures.base import new_figure
from edu_seg.figures.numbers import fold

pytestmark = pytest.mark.browser

PHONE, DESK = ViewportSize(width=390, height=844), ViewportSize(width=1280, height=900)
NETWORK = re.compile(
    r"""(?:\bsrc|<link[^>]*\bhref)\s*=\s*["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//|@import|\bimport\("""
    r"|cdn\.|jsdelivr|unpkg|mathjax[^\s\"]*\.js",
    re.IGNORECASE,
)
CELLS = "from edu_seg.widgets import ConvLab, GridLab", "ConvLab(size=4, kernel_size=3)", "GridLab((1, 2, 3))", "labs = ConvLab, GridLab"


def wide_table() -> str:
    """The folded numbers of a chart of eight curves."""
    fig, axes = new_figure(4.0, 3.0)
    for number in range(8):
        axes[0, 0].plot(range(4), range(number, number + 4), label=f"deeplab_v3_resnet{number}")
    return fold(fig)


def tiny_notebook(path: Path) -> Path:
    """Four cells: imports, two widgets, a chart with its numbers; as if it had run."""
    stored = [new_output("execute_result", {"text/html": '<img alt="a widget">'}, execution_count=count) for count in (2, 3)]
    outputs = [[], *([output] for output in stored), [new_output("display_data", {"text/html": wide_table()})]]
    cells = [new_code_cell(source, execution_count=count, outputs=outputs[count - 1]) for count, source in enumerate(CELLS, 1)]
    text = "# 98 · Two widgets\n\n**Time:** 1 min alone. $f'_{ij} = \\sum_k w_k$\n\n$$R = 1 + \\sum_i (k_i - 1) \\prod_{j<i} s_j$$"
    nbformat.write(new_notebook(cells=[new_markdown_cell(text), *cells], metadata=NOTEBOOK_METADATA), path)
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "EDU_SEG_SITE" in os.environ:
        return Path(os.environ["EDU_SEG_SITE"]).resolve()
    folder = tmp_path_factory.mktemp("site")
    state = fixed_environment(folder / "jupyter")
    Path(state["IPYTHONDIR"]).mkdir(parents=True)  # IPython warns where it may not make it
    with pytest.MonkeyPatch.context() as patch:
        for name, value in state.items():
            patch.setenv(name, value)
        notebooks = NOTEBOOKS / "03_shift_and_stitch.ipynb", tiny_notebook(folder / "98_widgets.ipynb")
        assert main([*map(str, notebooks), "--build", str(folder)]) == 0
    return folder / "site"


@dataclass
class Visit:
    """What one page did: addresses asked for, errors; with all its folds open, their number, its width on a phone, axe-core's findings."""

    asked: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    folds: int = 0
    width: int = 0
    findings: list[str] = field(default_factory=list)


def watched(page: Page, visit: Visit) -> None:
    page.on("request", lambda request: visit.asked.append(request.url))
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("console", lambda message: visit.errors.append(message.text) if message.type == "error" else None)


def serious(page: Page) -> list[str]:
    """axe-core's findings that are serious or critical: rule, and the first elements."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"], "preload": False}  # preloading would ask for the style sheets again, which a folder refuses
    found = Axe().run(page, options=options).response["violations"]
    grave = (finding for finding in found if finding["impact"] in ("serious", "critical"))
    return [f"{finding['id']}: {[node['html'][:160] for node in finding['nodes'][:3]]}" for finding in grave]


OPEN_ALL = """() => {
  const folds = [...document.querySelectorAll("details")];
  for (const fold of folds) fold.open = true;
  return folds.length;
}"""


def visit(browser: Browser, path: Path) -> Visit:
    made = Visit()
    page = browser.new_page(viewport=PHONE)
    page.set_default_timeout(120_000)
    watched(page, made)
    page.goto(path.as_uri())
    page.wait_for_timeout(200)
    made.folds = page.evaluate(OPEN_ALL)
    made.width = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(DESK)
    made.findings = serious(page)
    page.close()
    return made


@pytest.fixture(scope="module")
def visits(site: Path, browser: Browser) -> dict[str, Visit]:
    """Page (its path in the site) -> what it did. Of the listings of code, which are all alike, three stand for the rest."""
    paths = {path.relative_to(site).as_posix(): path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts}
    listings = [name for name in paths if name.startswith("_modules/")]
    return {name: visit(browser, path) for name, path in paths.items() if name not in listings[3:]}


def test_all_pages_were_visited(visits: dict[str, Visit]) -> None:
    assert {"index.html", "claims.html", "search.html", "api/index.html", "api/metrics.html"} <= set(visits)
    assert "notebooks/03_shift_and_stitch.html" in visits
    assert any(name.startswith("widgets/03-") for name in visits)


def test_folds_are_measured_too(visits: dict[str, Visit]) -> None:
    """Answers to questions and exercises, and the numbers of a chart."""
    assert visits["notebooks/03_shift_and_stitch.html"].folds >= 7
    assert visits.get("notebooks/98_widgets.html", Visit(folds=1)).folds == 1


def test_what_a_fold_hides_is_found(browser: Browser, tmp_path: Path) -> None:
    hidden = '<details><summary>Answer</summary><p style="width: 900px; color: #bbb">forty-two</p></details>'
    (tmp_path / "a.html").write_text(f'<html lang="en"><title>A</title><main><h1>A</h1>{hidden}</main></html>')
    made = visit(browser, tmp_path / "a.html")
    assert made.width >= 900
    assert [finding.partition(":")[0] for finding in made.findings] == ["color-contrast"]


def test_nothing_is_asked_from_a_network(visits: dict[str, Visit], site: Path) -> None:
    outside = {name: [url for url in made.asked if not url.startswith((site.as_uri(), "data:"))] for name, made in visits.items()}
    assert {name: urls for name, urls in outside.items() if urls} == {}


def test_no_page_reports_an_error(visits: dict[str, Visit]) -> None:
    assert {name: made.errors for name, made in visits.items() if made.errors} == {}


def test_axe_finds_nothing_serious(visits: dict[str, Visit]) -> None:
    assert {name: made.findings for name, made in visits.items() if made.findings} == {}


def test_no_page_scrolls_sideways_on_a_phone(visits: dict[str, Visit]) -> None:
    assert {name: made.width for name, made in visits.items() if made.width > PHONE["width"]} == {}


def test_the_search_finds(site: Path, browser: Browser) -> None:
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{(site / 'search.html').as_uri()}?q=equation")
    page.locator("#search-results li a", has_text="03").first.wait_for()
    page.close()


def widget_page(site: Path) -> Path:
    """A notebook's page that shows a ConvLab."""
    return next(path for path in sorted((site / "notebooks").glob("*.html")) if path.name[:2] in ("98", "04"))


def test_a_widget_takes_its_height_and_answers_the_keyboard(site: Path, browser: Browser) -> None:
    page = browser.new_page(viewport=DESK)
    page.set_default_timeout(60_000)
    page.goto(widget_page(site).as_uri())
    page.locator("iframe.widget").first.scroll_into_view_if_needed()
    frame = page.frame_locator("iframe.widget").first
    frame.locator(".edu-seg").wait_for()
    page.wait_for_function("document.querySelector('iframe.widget').style.height != ''")
    box = page.locator("iframe.widget").first.bounding_box()
    assert box
    assert box["height"] > 250
    before = frame.locator(".edu-seg").inner_text()
    frame.locator("canvas").first.focus()
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    for _ in range(50):
        if frame.locator(".edu-seg").inner_text() != before:
            break
        page.wait_for_timeout(100)
    assert frame.locator(".edu-seg").inner_text() != before
    page.close()


# --- the files themselves -------------------------------------------------------------------------------------------------------


class Links(HTMLParser):
    """All addresses that a page names, and all its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            if name == "id" and value:
                self.ids.add(value)


def read_pages(site: Path) -> dict[Path, Links]:
    """The pages that somebody wrote, parsed; not the listings of code and the widgets."""
    paths = [path for path in site.rglob("*.html") if path.relative_to(site).parts[0] not in ("_static", "_modules", "widgets")]
    return {path: Links(path.read_text(encoding="utf-8")) for path in paths}


@cache
def exists(path: Path) -> bool:
    return path.exists()


def dead_links(site: Path) -> list[str]:
    pages = read_pages(site)
    found = []
    for path, links in pages.items():
        for target in links.targets:
            parts = urlparse(target)
            if parts.scheme:
                continue
            file = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            fine = not parts.fragment or unquote(parts.fragment) in pages[file].ids if file in pages else exists(file)
            if not fine:
                found.append(f"{path.relative_to(site)}: {target}")
    return found


def test_every_link_leads_somewhere(site: Path) -> None:
    assert dead_links(site) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="x"></p><a href="#x"></a><a href="#y"></a><a href="b.html"></a><a href="https://example.org"></a>'
    )
    assert dead_links(tmp_path) == ["a.html: #y", "a.html: b.html"]


def network_references(site: Path) -> list[str]:
    paths = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    hits = ((path, NETWORK.search(path.read_text(encoding="utf-8"))) for path in paths)
    return [f"{path.relative_to(site)}: {hit[0]}" for path, hit in hits if hit]


def test_no_file_refers_to_a_network(site: Path) -> None:
    assert network_references(site) == []


@pytest.mark.parametrize(
    "text", ['<script src="https://x.org/a.js">', '<link rel="x" href="//x.org">', "a { background: url(http://x.org/a.png) }"]
)
def test_a_reference_to_a_network_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(text)
    assert len(network_references(tmp_path)) == 1


def test_no_file_names_this_machine(site: Path) -> None:
    paths = [path for path in site.rglob("*") if path.suffix in (".html", ".js", ".css", ".inv", ".txt")]
    assert [path for path in paths if str(ROOT).encode() in path.read_bytes()] == []
