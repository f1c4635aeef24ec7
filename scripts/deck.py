"""From a notebook to the slides of a lecture, told by the metadata `slideshow` of its cells.

`slide_type`: "slide" and "subslide" begin a slide, "-" goes on with it, "fragment" too but appears on the next click, "skip" stays out.
On the first cell of a slide: `minutes`, a number, and `notes`, what the lecturer asks, points at and answers (Markdown); `title`, a
heading where the cell itself has none; `layout`, "rows" or "columns" where the choice made here is not the better one.
On any cell: `text`, Markdown shown in place of the cell's source ("" shows none); `printed`, false to leave out what it printed.
"""

import base64
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from PIL import Image
from slide_html import code, markdown, pictures, printed, tables

MINUTES = 50  # a lecture
MAX_CODE = 12  # lines of code on a slide
BEGINS = ("slide", "subslide")
CONTINUES = ("-", "fragment")
SQUARE = 1.35  # width over height: a picture no wider than this stands beside the text, not below it
MIN_CODE_SIZE, MAX_CODE_SIZE = 19, 25
CODE_WIDTH = 1150 / 0.605  # pixels that a line may have, in widths of a letter of 1 pixel
NARROW = 48  # characters of code that half a slide holds


@dataclass(frozen=True)
class Part:
    """A piece of a slide: `kind` is "text", "code", "printed", "table", "picture" or "page" (a widget's own page, beside the deck)."""

    kind: str
    html: str
    fragment: bool = False
    shape: tuple[int, int] = (0, 0)
    columns: int = 0
    poster: str = ""


@dataclass
class Slide:
    minutes: float
    start: float
    notes: str
    cell: int  # position of its first cell in the notebook, from 0
    layout: str = ""
    parts: list[Part] = field(default_factory=list)

    @property
    def pictures(self) -> list[Part]:
        return [part for part in self.parts if part.kind in ("picture", "page")]

    @property
    def others(self) -> list[Part]:
        """What is neither heading nor picture: beside or above the pictures."""
        return [part for part in self.parts if part.kind not in ("picture", "page", "heading")]

    @property
    def heading(self) -> str:
        return "".join(part.html for part in self.parts if part.kind == "heading")

    @property
    def side_by_side(self) -> bool:
        """Whether text and picture share the slide's width: for a single picture about as high as wide, and nothing wide beside it."""
        if self.layout:
            return self.layout == "columns"
        if [part.kind for part in self.pictures] != ["picture"] or not self.others:
            return False
        width, height = self.pictures[0].shape
        return width / height <= SQUARE and all(part.columns <= NARROW for part in self.others if part.kind == "code")

    @property
    def density(self) -> str:
        """How large the letters may be: "words" for text alone, "plain" for no picture, "full" with pictures."""
        if self.pictures:
            return "full"
        return "words" if all(part.kind in ("text", "heading") for part in self.parts) else "plain"

    @property
    def code_size(self) -> int:
        """Of the code's letters, in pixels: as large as the longest line allows."""
        longest = max((part.columns for part in self.parts if part.kind == "code"), default=0)
        return max(MIN_CODE_SIZE, min(MAX_CODE_SIZE, int(CODE_WIDTH / longest))) if longest and not self.pictures else MIN_CODE_SIZE

    def clock(self) -> str:
        """The minutes of the lecture that the slide takes, as in "12 to 15"."""
        return f"{self.start:g} to {self.start + self.minutes:g}"


@dataclass(frozen=True)
class Deck:
    number: str
    title: str
    slides: list[Slide]

    @property
    def minutes(self) -> float:
        return sum(slide.minutes for slide in self.slides)


def read_deck(path: Path, pages: Path | None = None) -> Deck:
    """The deck of the notebook at `path`; `pages` is a folder with the widgets' own pages, NN-<execution count>.html.

    Raises ValueError where the notebook does not begin with a slide, a slide has no minutes or no notes, or a type is unknown.
    """
    notebook, number = nbformat.read(path, as_version=4), path.name[:2]
    slides: list[Slide] = []
    for position, cell in enumerate(notebook.cells):
        show, where = cell.metadata.get("slideshow", {}), f"{path.name}, cell {position}"
        kind = show.get("slide_type")
        if kind in BEGINS:
            slides.append(begin(show, position, sum(slide.minutes for slide in slides), where))
        elif kind == "skip":
            continue
        elif kind not in CONTINUES or not slides:
            raise ValueError(f"{where}: slide type {kind!r}; known are slide, subslide, -, fragment, skip, and the first is a slide")
        slides[-1].parts += parts(cell, show, page_of(cell, number, pages))
    return Deck(number, title_of(notebook), slides)


def begin(show: NotebookNode, position: int, start: float, where: str) -> Slide:
    if not show.get("minutes") or not show.get("notes"):
        raise ValueError(f"{where}: it begins a slide and has no minutes or no notes in its metadata 'slideshow'")
    slide = Slide(show["minutes"], start, markdown(show["notes"]), position, show.get("layout", ""))
    if "title" in show:
        slide.parts.append(Part("heading", f"<h2>{inline(show['title'])}</h2>"))
    return slide


def inline(text: str) -> str:
    """Markdown without the paragraph around it."""
    return re.sub(r"\A<p>(.*)</p>\s*\Z", r"\1", markdown(text), flags=re.DOTALL)


def title_of(notebook: NotebookNode) -> str:
    return notebook.cells[0].source.splitlines()[0].lstrip("# ")


def page_of(cell: NotebookNode, number: str, pages: Path | None) -> str:
    """The address, from the deck, of the page of the cell's widget; empty where there is none."""
    name = f"{number}-{cell.get('execution_count')}.html"
    return f"widgets/{name}" if pages is not None and (pages / name).is_file() else ""


def parts(cell: NotebookNode, show: NotebookNode, page: str) -> list[Part]:
    """What the cell puts on its slide, in order."""
    fragment = show["slide_type"] == "fragment"
    found = shown_source(cell, show, fragment)
    if cell.cell_type == "code":
        found += shown_outputs(cell, show, fragment, page)
    return found


def shown_source(cell: NotebookNode, show: NotebookNode, fragment: bool) -> list[Part]:
    """`text` where there is one. Else code if it is short and made no picture (the picture then says it), and all Markdown."""
    if "text" in show or cell.cell_type == "markdown":
        return shown_text(show.get("text", cell.source), fragment)
    lines = cell.source.splitlines()
    if len(lines) > MAX_CODE or pictures(cell):
        return []
    return [Part("code", code(cell.source), fragment, columns=max(map(len, lines)))]


def shown_text(source: str, fragment: bool) -> list[Part]:
    """The heading that `source` may begin with, and the rest."""
    found = re.match(r"\A#+ (.*)\n*", source)
    heading = [Part("heading", f"<h2>{inline(found[1])}</h2>")] if found else []
    rest = source[found.end() :] if found else source
    return heading + ([Part("text", markdown(rest), fragment)] if rest.strip() else [])


def shown_outputs(cell: NotebookNode, show: NotebookNode, fragment: bool, page: str) -> list[Part]:
    found = [Part("table", table, fragment) for table in tables(cell)]
    if (text := printed(cell)) and show.get("printed", True):
        found.append(Part("printed", f"<pre>{text}</pre>", fragment, columns=max(map(len, text.splitlines()))))
    for tag in pictures(cell):
        found.append(Part("page", page, fragment, size(tag), poster=tag) if page else Part("picture", tag, fragment, size(tag)))
    return found


def size(tag: str) -> tuple[int, int]:
    """Width and height of the picture in an `img` tag that carries its bytes. Raises ValueError where it carries none."""
    found = re.search(r"base64,([A-Za-z0-9+/=\s]+)", tag)
    if not found:
        raise ValueError(f"a picture that is not in the page: {tag[:80]}")
    return Image.open(io.BytesIO(base64.b64decode(found[1]))).size
