"""A notebook as a page of the site: pictures as files, widgets alive in frames, folded answers, an anchor at each claim."""

import base64
import copy
import hashlib
import html
import itertools
import re
from collections.abc import Callable, Mapping

from claim_lines import Checked, anchor
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output

DATA_IMAGE = re.compile(r'<img (?P<before>[^>]*?)src="data:image/png;base64,(?P<data>[A-Za-z0-9+/=\s]+)"(?P<after>[^>]*)>')
CHECK = re.compile(r"""exercises\.check\(\s*["'](\d\d\.\d+)["']""")
NOTEBOOK_LINK = re.compile(r"\[([^\]]*)\]\((?:\./)?([\w-]+)\.ipynb(?:#[^)]*)?\)")
ALT = re.compile(r'\balt="([^"]*)"')

Save = Callable[[str, bytes], object]


def png_size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG, from its first chunk."""
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def pictures_as_files(text: str, save: Save) -> str:
    """An output's HTML with each embedded PNG saved by `save(name, bytes)` and linked to: tap it to see it in full size."""

    def linked(found: re.Match[str]) -> str:
        png = base64.b64decode(found["data"])
        name = f"{hashlib.sha256(png).hexdigest()[:16]}.png"
        save(name, png)
        width, height = png_size(png)
        size = f'width="{width}" height="{height}" loading="lazy"'
        image = f'<img {found["before"]}src="../figures/{name}"{found["after"]} {size}>'
        return f'<a class="figure-link" href="../figures/{name}">{image}</a>'

    return DATA_IMAGE.sub(linked, text)


def frame(page: str, poster: str) -> str:
    """A widget's own page in a frame; its poster where no script runs. `poster`: the stored HTML, whose alt text names the widget."""
    alt = html.unescape(found[1]) if (found := ALT.search(poster)) else "widget"
    return (
        f'<iframe class="widget" src="../widgets/{page}" title="Widget: {html.escape(alt)}" loading="lazy"></iframe>\n'
        f'<noscript><div class="widget-poster">{poster}</div></noscript>\n'
        f'<p class="widget-link"><a href="../widgets/{page}">The widget on a page of its own</a></p>'
    )


def is_claim_line(line: str) -> bool:
    return line.endswith((" · ok", " · erratum")) and " · measured " in line


def claim_lines_apart(output: NotebookNode) -> list[NotebookNode]:
    """A printed text in parts: the claims' lines, which are long and may be wrapped, and what stands between them, which may not."""
    if output.output_type != "stream":
        return [output]
    found = []
    for is_claim, group in itertools.groupby(output.text.splitlines(), is_claim_line):
        text = "\n".join(group)
        claims = {"text/html": f'<pre class="claim-lines">{html.escape(text)}</pre>'}
        found.append(new_output("display_data", claims) if is_claim else new_output("stream", name=output.name, text=text + "\n"))
    return found


def show_outputs(cell: NotebookNode, widget: str | None, save: Save) -> None:
    cell.outputs = [part for output in cell.outputs for part in claim_lines_apart(output)]
    for output in cell.outputs:
        if "text/html" in output.get("data", {}):
            shown = pictures_as_files(output.data["text/html"], save)
            output.data = type(output.data)({"text/html": frame(widget, shown) if widget else shown})


# --- what is folded -------------------------------------------------------------------------------------------------------------


def folded(summary: str, text: str) -> NotebookNode:
    return new_markdown_cell(f"<details><summary>{summary}</summary>\n\n{text.strip()}\n\n</details>")


def exercise_id(cell: NotebookNode) -> str | None:
    found = CHECK.search(cell.source) if cell.cell_type == "code" else None
    return found[1] if found else None


def solutions(notebook: NotebookNode) -> dict[str, str]:
    """Exercise -> its answer in Markdown: from the cell that names it first to the one that names the next; without the introduction."""
    answers: dict[str, list[str]] = {}
    waiting: list[NotebookNode] = []
    current: list[str] = []
    for cell in notebook.cells:
        waiting.append(cell)
        if number := exercise_id(cell):
            start = 0 if number in answers else beginning(waiting, number)
            current += map(as_markdown, waiting[:start])
            current = answers.setdefault(number, [])
            current += map(as_markdown, waiting[start:])
            waiting = []
    current += map(as_markdown, waiting)
    return {number: "\n\n".join(parts) for number, parts in answers.items()}


def beginning(cells: list[NotebookNode], number: str) -> int:
    """Where the answer to an exercise begins: at the heading that names it, else at the first cell that does."""
    headings = (i for i, cell in enumerate(cells) if re.match(rf"#+ .*{re.escape(number)}", cell.source))
    naming = (i for i, cell in enumerate(cells) if number in cell.source)
    return next(headings, next(naming, len(cells) - 1))


def as_markdown(cell: NotebookNode) -> str:
    """A cell for inside a fold: code as a block, headings as bold lines, so that the page's own order of headings stays."""
    if cell.cell_type == "code":
        return f"```python\n{cell.source.strip()}\n```"
    return re.sub(r"(?m)^#+ +(.*)$", r"**\1**", cell.source)


# --- the page -------------------------------------------------------------------------------------------------------------------


def without_missing_links(text: str, names: set[str]) -> str:
    """Links to notebooks that the site does not have become their text."""
    return NOTEBOOK_LINK.sub(lambda found: found[0] if found[2] in names else found[1], text)


def page(
    notebook: NotebookNode,
    names: set[str],
    checked: list[Checked],
    widgets: Mapping[int, str],
    answers: Mapping[str, str],
    save: Save,
) -> NotebookNode:
    """The notebook as the site shows it; the one given is left alone.

    names: the site's notebooks. checked: this one's claims. widgets: execution count -> file name of a widget's page. answers: exercise
    -> Markdown. save: keeps a picture (name, bytes).
    """
    cells: list[NotebookNode] = []
    for cell in copy.deepcopy(notebook.cells):
        if cell.cell_type == "code":
            show_outputs(cell, widgets.get(cell.execution_count), save)
            anchors = "".join(f'<div id="{anchor(line.claim)}"></div>' for line in checked if line.cell == cell.execution_count)
            cells += [new_markdown_cell(anchors)] if anchors else []
        else:
            cell.source = without_missing_links(cell.source, names)
        cells.append(cell)
        if (number := exercise_id(cell)) is not None and number in answers:
            cells.append(folded(f"Answer to {number}", without_missing_links(answers[number], names)))
    shown = copy.copy(notebook)
    shown.cells = cells
    return shown


def heading(notebook: NotebookNode) -> str:
    """The title, without its sign."""
    return notebook.cells[0].source.splitlines()[0].removeprefix("# ").strip()


def minutes(notebook: NotebookNode) -> str:
    """What the first cell says of the time: "80 min alone, 50 min as a lecture"."""
    return ", ".join(re.findall(r"\d+ min (?:alone|as a lecture)", notebook.cells[0].source))


def index_table(notebooks: Mapping[str, NotebookNode]) -> str:
    """The table of notebooks: a link and the time of each."""
    rows = [f"| [{heading(notebook)}](notebooks/{name}.ipynb) | {minutes(notebook)} |" for name, notebook in notebooks.items()]
    return "\n".join(["| notebook | time |", "|---|---|", *rows])
