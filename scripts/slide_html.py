"""Cells as HTML for slides, complete when the deck is made: mathematics as MathML, code already coloured, pictures in the page."""

import html
import re
from functools import cache

from latex2mathml import converter
from nbconvert.filters.highlight import Highlight2HTML
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

IMAGE = re.compile(r"<img\b[^>]*>")
MAX_PRINTED = 13  # lines of printed output that a slide still shows
NOTEBOOK_LINK = re.compile(r"(?:.*/)?(\d\d)_\w+\.ipynb")


def mathml(tex: str, display: str) -> str:
    """A formula as MathML; `display` is "inline" or "block". Raises ValueError, with the formula, where it cannot be read."""
    try:
        return converter.convert(tex.strip().replace("{,}", r"\text{,}"), display=display)
    except Exception as error:
        raise ValueError(f"the formula {tex!r} cannot be turned into MathML ({type(error).__name__}): write it more simply") from error


class SlideRenderer(IPythonRenderer):
    """nbconvert's Markdown, with MathML in place of formulas for a script, and links from deck to deck."""

    def inline_math(self, body: str) -> str:
        return mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def link(self, text: str, url: str, title: str | None = None) -> str:
        found = NOTEBOOK_LINK.fullmatch(url)
        return super().link(text, f"{found[1]}.html" if found else url, title)


def markdown(source: str) -> str:
    """HTML of Markdown; sizes such as 3 × 3 stay on one line."""
    kept = re.sub(r"(?<=\d) × (?=\d)", "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}", source)
    return MarkdownWithMath(SlideRenderer(escape=False, exclude_anchor_links=True)).render(kept)


@cache
def highlighter() -> Highlight2HTML:
    return Highlight2HTML(pygments_lexer="ipython3")


def code(source: str) -> str:
    return highlighter()(source)


def pictures(cell: NotebookNode) -> list[str]:
    """The `img` tags among the cell's outputs, each with its alternative text and its bytes."""
    found = (IMAGE.findall(output.get("data", {}).get("text/html", "")) for output in cell.get("outputs", ()))
    return [tag for tags in found for tag in tags]


def printed(cell: NotebookNode) -> str:
    """What the cell printed, and its value where that is no picture; empty if longer than MAX_PRINTED lines."""
    parts = []
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        if output.output_type == "stream":
            parts.append(output.text)
        elif output.output_type == "execute_result" and "text/html" not in data:
            parts.append(data.get("text/plain", ""))
    text = "\n".join(part.rstrip("\n") for part in parts)
    return html.escape(text) if len(text.splitlines()) <= MAX_PRINTED else ""


def tables(cell: NotebookNode) -> list[str]:
    """Outputs that are HTML without a picture, such as tables."""
    found = (output.get("data", {}).get("text/html", "") for output in cell.get("outputs", ()))
    return [text for text in found if text and not IMAGE.search(text)]
