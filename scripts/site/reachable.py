"""What the theme leaves to be done for readers by keyboard and by ear.

Code, outputs and tables that scroll sideways take the focus; captions in the list of pages have a level; the parameters of a long
signature, which Sphinx writes as a list of definitions without terms, become lines.
"""

import re

from sphinx.application import Sphinx

LAST = 900  # after the theme's own handler, which makes the list of pages


def focusable(body: str) -> str:
    """The page's HTML with a tab stop on each <pre> and on the box around each table."""
    body = re.sub(r"<pre(?=[ >])(?![^>]*tabindex)", '<pre tabindex="0"', body)
    return re.sub(r'<div class="table-wrapper', '<div tabindex="0" class="table-wrapper', body)


def signature_lines(body: str) -> str:
    """The page's HTML with the parameters of each signature as lines."""
    names = {"<dl>": '<span class="sig-lines">', "<dd>": '<span class="sig-line">', "</dl>": "</span>", "</dd>": "</span>"}

    def lines(signature: re.Match[str]) -> str:
        return re.sub("|".join(names), lambda tag: names[tag[0]], signature[0])

    return re.sub(r'<dt class="sig .*?</dt>', lines, body, flags=re.DOTALL)


def with_levels(navigation: str) -> str:
    """Captions are marked as headings; which level, the standard wants to know."""
    return navigation.replace('role="heading">', 'role="heading" aria-level="2">')


def process(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    if "body" in context:
        context["body"] = signature_lines(focusable(context["body"]))
    if "furo_navigation_tree" in context:
        context["furo_navigation_tree"] = with_levels(context["furo_navigation_tree"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", process, priority=LAST)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
