"""The package's docstrings are plain prose with `code` in it; this turns them into reStructuredText that says the same.

Signs that reStructuredText would take for markup (a lone asterisk, |x|, a trailing underscore) are escaped.
"""

import re

from sphinx.application import Sphinx

CODE = re.compile(r"(`+)([^`]+)\1")
MARKUP = re.compile(r"([\\*|_`])")
ITEM = re.compile(r"(?:[-*]|\d+[.)]) ")


def escaped(text: str) -> str:
    """A line of prose: what stands between backticks becomes code, of the rest no sign is markup."""
    parts, end = [], 0
    for found in CODE.finditer(text):
        parts += [MARKUP.sub(r"\\\1", text[end : found.start()]), f"\\ ``{found[2]}``\\ "]
        end = found.end()
    return "".join([*parts, MARKUP.sub(r"\\\1", text[end:])])


def items(lines: list[str]) -> list[str]:
    """Lines of which each begins a new item, or goes on further indented: as a list."""
    least = min(len(line) - len(line.lstrip()) for line in lines)
    found: list[str] = []
    for line in lines:
        inner = line[least:]
        if inner.startswith(" ") and found:
            found[-1] += " " + inner.strip()
        else:
            found.append(ITEM.sub("", inner.strip(), count=1))
    return [f"- {escaped(item)}" for item in found]


def paragraph(lines: list[str]) -> list[str]:
    """A paragraph; the indented lines (`Args:`) or items that it ends in become a list, or stay as they stand if they form columns."""
    start = next((i for i, line in enumerate(lines) if line.startswith(" ") or ITEM.match(line)), len(lines))
    prose = [escaped(" ".join(line.strip() for line in lines[:start])), ""] if start else []
    rest = lines[start:]
    if any(re.search(r"\S {2,}\S", line) for line in rest):  # columns, set by hand
        return [*prose, "::", "", *(f"    {line}" for line in rest)]
    return prose[:-1] if start and not rest else [*prose, *items(rest)]


def as_rst(lines: list[str]) -> list[str]:
    """A whole docstring, line by line, without its common indentation."""
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")) if block.strip()]
    return [line for block in blocks for line in [*paragraph(block), ""]]


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
