"""The decks of `make slides`: how cells become slides; that each deck is a lecture; and, in a real Chromium, that it can be read."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
import pytest
from bs4 import BeautifulSoup
from chromium import find_chromium
from course_env import NOTEBOOKS, find_notebooks
from deck import MINUTES, Deck, read_deck
from make_slides import make_decks, print_pdf, write_index
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_rules import alt_is_missing
from slide_html import MAX_PRINTED, markdown, mathml
from test_notebook_form import PICTURE

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DECKS = tuple(path.name[:2] for path in find_notebooks() if path.parent == NOTEBOOKS)

SLIDES = range(12, 21)
MAX_LINES = 12  # of code on a slide
MAX_WORDS = 95  # of text on a slide
MIN_NOTES = 12  # words

# --- from cells to slides -------------------------------------------------------------------------------------------------------


def cell(source: str, kind: str = "-", outputs: tuple[NotebookNode, ...] = (), **show: object) -> NotebookNode:
    """A cell of a deck: code where it has outputs or looks like a call, else Markdown."""
    is_code = bool(outputs) or "(" in source.split("\n")[0]
    made = new_code_cell(source, outputs=list(outputs), execution_count=7) if is_code else new_markdown_cell(source)
    made.metadata.slideshow = {"slide_type": kind, **({"minutes": 2, "notes": "Ask *why*."} if kind == "slide" else {}), **show}
    return made


def stream(lines: int) -> NotebookNode:
    return new_output("stream", name="stdout", text="".join(f"line {i}\n" for i in range(lines)))


SHOWN = new_output("display_data", {"text/html": PICTURE, "text/plain": "<Picture>"})


def deck_of(folder: Path, *cells: NotebookNode, pages: Path | None = None) -> Deck:
    path = folder / "42_answers.ipynb"
    nbformat.write(new_notebook(cells=[cell("# 42 · Answers", "slide"), *cells]), path)
    return read_deck(path, pages)


def kinds(deck: Deck) -> list[list[str]]:
    return [[part.kind for part in slide.parts] for slide in deck.slides]


def test_types_of_cells_make_slides(tmp_path: Path) -> None:
    deck = deck_of(tmp_path, cell("more"), cell("out", "skip"), cell("## Next", "slide"), cell("later", "fragment"), cell("f(x)"))
    assert kinds(deck) == [["heading", "text"], ["heading", "text", "code"]]
    assert [part.fragment for part in deck.slides[1].parts] == [False, True, False]
    assert (deck.number, deck.title, deck.minutes, deck.slides[1].clock()) == ("42", "42 · Answers", 4, "2 to 4")


def test_code_is_shown_up_to_its_limit_and_a_picture_stands_for_its_code(tmp_path: Path) -> None:
    lines = "\n".join(["f(x)"] * MAX_LINES)
    deck = deck_of(
        tmp_path, cell(lines, "slide", (stream(1),)), cell(f"{lines}\nf(x)", "slide", (stream(1),)), cell("show(x)", outputs=(SHOWN,))
    )
    assert kinds(deck)[1:] == [["code", "printed"], ["printed", "picture"]]


def test_output_that_is_not_wanted_is_left_out(tmp_path: Path) -> None:
    deck = deck_of(tmp_path, cell("show(x)", "slide", (stream(1), SHOWN), printed=False), cell("f(x)", outputs=(stream(1),)))
    assert kinds(deck)[1:] == [["picture", "code", "printed"]]


def test_long_output_is_left_out(tmp_path: Path) -> None:
    assert kinds(deck_of(tmp_path, cell("f(x)", "slide", (stream(MAX_PRINTED),)), cell("f(x)", "slide", (stream(MAX_PRINTED + 1),))))[
        1:
    ] == [
        ["code", "printed"],
        ["code"],
    ]


def test_text_stands_in_place_of_the_source_and_a_title_above_it(tmp_path: Path) -> None:
    shown = cell("f(x)", "slide", (stream(1),), text="Few *words*.", title="The $k$")
    deck = deck_of(tmp_path, cell("## Long\n\nA page of it.", "slide", text="## Short\n\n- yes"), shown, cell("g(x)", text=""))
    assert kinds(deck)[1:] == [["heading", "text"], ["heading", "text", "printed"]]
    assert deck.slides[1].heading == "<h2>Short</h2>"
    assert "<math" in deck.slides[2].heading
    assert "page" not in str(deck)


@pytest.mark.parametrize(
    ("bad", "message"),
    [({"minutes": None}, "no minutes"), ({"notes": ""}, "no minutes or no notes"), ({"slide_type": "notes"}, "slide type 'notes'")],
)
def test_a_slide_that_cannot_be_made_is_named(tmp_path: Path, bad: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"42_answers.ipynb, cell 1: .*{message}"):
        deck_of(tmp_path, cell("## Next", "slide", **bad))


def test_a_formula_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ValueError, match="frac"):
        mathml(r"\frac{", "inline")


def test_markdown_has_mathematics_and_links_to_decks() -> None:
    found = markdown("With $k_1 < 3$ and `$HOME`, see [02](02_convolutionalising_fc_layers.ipynb).\n\n$$\\frac{1}{2}$$")
    assert found.count("<math") == 2
    assert "<mfrac>" in found
    assert 'display="block"' in found
    assert "&lt;" in found or "&#x0003C;" in found
    assert "$HOME" in found
    assert 'href="02.html"' in found


def test_a_widget_is_its_own_page_in_the_deck_and_its_picture_in_the_handout(tmp_path: Path) -> None:
    pages, out = tmp_path / "pages", tmp_path / "out"
    pages.mkdir()
    (pages / "42-7.html").write_text("<p>alive</p>")
    deck_of(tmp_path, cell("Lab()", "slide", (new_output("execute_result", {"text/html": PICTURE}, execution_count=7),), title="Lab"))
    make_decks([tmp_path / "42_answers.ipynb"], out, pages)
    [frame] = BeautifulSoup((out / "42.html").read_text(), "html.parser").select("iframe")
    assert (out / str(frame["data-src"])).read_text() == "<p>alive</p>"
    assert frame["title"] == "two crossing lines, one dashed"
    handout = BeautifulSoup((out / "42-handout.html").read_text(), "html.parser")
    assert handout.select("img")
    assert not handout.select("iframe")


def test_a_narrow_picture_stands_beside_the_text(tmp_path: Path) -> None:
    deck = deck_of(
        tmp_path, cell("## A", "slide"), cell("few words"), cell("show(x)", outputs=(SHOWN,)), cell("## B", "slide", layout="columns")
    )
    assert [slide.side_by_side for slide in deck.slides] == [False, True, True]


# --- the decks ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All decks, with widgets as pictures: whether their pages were made is no matter of the decks."""
    out = tmp_path_factory.mktemp("slides")
    write_index(make_decks([notebook(number) for number in DECKS], out, out / "no_pages"), out)
    return out


def notebook(number: str) -> Path:
    [path] = NOTEBOOKS.glob(f"{number}_*.ipynb")
    return path


@pytest.fixture(params=DECKS)
def number(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def deck(number: str) -> Deck:
    return read_deck(notebook(number))


def words(html: str) -> int:
    soup = BeautifulSoup(html, "html.parser")
    for formula in soup.select("math"):
        formula.replace_with("x")
    return len(soup.get_text(" ").split())


def named(deck: Deck, bad: list[int]) -> list[str]:
    return [f"slide {i + 1}, cell {deck.slides[i].cell}" for i in bad]


def test_a_deck_is_a_lecture(deck: Deck) -> None:
    assert len(deck.slides) in SLIDES
    assert abs(deck.minutes - MINUTES) <= 1
    assert named(deck, [i for i, slide in enumerate(deck.slides) if not 0.5 <= slide.minutes <= 8]) == []
    assert named(deck, [i for i, slide in enumerate(deck.slides) if words(slide.notes) < MIN_NOTES]) == []


def test_every_slide_has_one_heading_and_few_words(deck: Deck) -> None:
    headings = [sum(part.kind == "heading" for part in slide.parts) for slide in deck.slides]
    assert named(deck, [i for i, count in enumerate(headings) if count != 1]) == []
    counts = [sum(words(part.html) for part in slide.parts if part.kind == "text") for slide in deck.slides]
    assert named(deck, [i for i, count in enumerate(counts) if count > MAX_WORDS]) == []


def test_no_slide_has_long_code(deck: Deck) -> None:
    def lines(slide) -> int:
        shown = [BeautifulSoup(part.html, "html.parser").get_text().strip("\n") for part in slide.parts if part.kind == "code"]
        return sum(len(text.splitlines()) for text in shown)

    assert named(deck, [i for i, slide in enumerate(deck.slides) if lines(slide) > MAX_LINES]) == []


def pages_of(folder: Path, number: str) -> list[BeautifulSoup]:
    names = (f"{number}.html", f"{number}-handout.html", "index.html")
    return [BeautifulSoup((folder / name).read_text(), "html.parser") for name in names]


def test_pictures_have_alt_texts_and_all_that_is_loaded_is_there(folder: Path, number: str) -> None:
    for page in pages_of(folder, number):
        assert [str(tag)[:80] for tag in page.select("img") if alt_is_missing(str(tag))] == []
        wanted = [str(tag.get("src") or tag.get("data-src") or tag.get("href")) for tag in page.select("[src], [data-src], link[href]")]
        assert [name for name in wanted if not name.startswith("data:") and not (folder / name).is_file()] == []
    for sheet in folder.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)'\"]*", sheet.read_text()) == []


def test_mathematics_is_rendered(folder: Path, number: str) -> None:
    deck, handout, _ = pages_of(folder, number)
    sources = [cell.metadata.slideshow.get("text", cell.source) for cell in shown_markdown(number)]
    for page in (deck, handout):
        assert bool(page.select("math")) == any("$" in source for source in sources)
        for tag in page.select("code, pre, math"):
            tag.decompose()
        assert re.findall(r".{0,30}(?:\$|\\[a-z]+).{0,30}", " ".join(main.get_text() for main in page.select("main"))) == []


def shown_markdown(number: str) -> list[NotebookNode]:
    cells = nbformat.read(notebook(number), as_version=4).cells
    return [
        cell
        for cell in cells
        if cell.metadata.slideshow.slide_type != "skip" and (cell.cell_type == "markdown" or "text" in cell.metadata.slideshow)
    ]


# --- in a browser ---------------------------------------------------------------------------------------------------------------


@pytest.mark.browser
def test_every_slide_fits_and_nothing_is_fetched(browser: "Browser", folder: Path, number: str) -> None:
    from deck_browser import faults, open_deck, slides

    noise: list[str] = []
    with open_deck(browser, folder / f"{number}.html", noise) as page:
        found = [f"slide {index + 1}: {fault}" for index in slides(page) for fault in faults(page)]
    assert found == []
    assert noise == []


@pytest.mark.browser
def test_what_does_not_fit_is_found(browser: "Browser", folder: Path) -> None:
    """Each fault that the test above looks for, put into a slide."""
    from deck_browser import faults, open_deck

    spoilt = {
        "section.present h2 { margin-top: 700px }": "outside",
        "section.present p, section.present li { font-size: 20px }": "text of 20 px",
        "section.present { font-size: 90px !important }": "higher",
    }
    with open_deck(browser, folder / f"{DECKS[0]}.html", []) as page:
        page.evaluate("Reveal.slide(1)")
        assert faults(page) == []
        for style, fault in spoilt.items():
            tag = page.add_style_tag(content=style)
            assert any(fault in found for found in faults(page)), style
            tag.evaluate("node => node.remove()")


@pytest.mark.browser
def test_keys_turn_the_slides_and_open_the_speakers_view(browser: "Browser", folder: Path) -> None:
    from deck_browser import open_deck

    noise: list[str] = []
    with open_deck(browser, folder / f"{DECKS[0]}.html", noise) as page:
        page.keyboard.press("ArrowRight")
        assert page.evaluate("Reveal.getIndices().h") == 1
        with page.expect_popup() as opened:
            page.keyboard.press("s")
        notes = opened.value.locator(".speaker-controls-notes .value")
        notes.get_by_text(f"of {MINUTES}").wait_for()
        first = notes.inner_text()
        page.keyboard.press("ArrowRight")
        opened.value.wait_for_function("text => document.querySelector('.speaker-controls-notes .value').innerText !== text", arg=first)
        opened.value.locator(".pacing").wait_for()
    assert noise == []


@pytest.mark.browser
def test_the_handout_has_two_slides_a_page_and_all_notes(browser: "Browser", folder: Path, number: str) -> None:
    page = browser.new_page(viewport={"width": 900, "height": 1200})
    page.goto((folder / f"{number}-handout.html").as_uri())
    cut = "nodes => nodes.filter(node => node.scrollHeight > node.clientHeight + 1).map(node => node.textContent.trim().slice(0, 60))"
    assert page.eval_on_selector_all("article, .face", cut) == []
    page.close()


@pytest.mark.browser
def test_the_handout_is_printed(folder: Path) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on the PATH (Debian: apt install chromium)")
    pdf = print_pdf(folder / f"{DECKS[0]}-handout.html", chromium)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) == math.ceil(len(read_deck(notebook(DECKS[0])).slides) / 2)
