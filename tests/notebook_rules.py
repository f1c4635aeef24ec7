"""How a notebook must look, as rules: each is a function from a notebook to the list of its problems, empty where all is well.

EVERYWHERE keeps a notebook reproducible and closes what nbval does not see: it compares text and HTML with the stored output, but no
cell without a count, no picture, no widget, no metadata. LECTURE adds what a reader and a lecture hall need; SOLUTION,
what a notebook of solutions must have instead.
"""

import ast
import base64
import re
import statistics
from collections.abc import Callable, Iterator
from itertools import pairwise

import nbformat
from execute_notebooks import CELL_METADATA, NOTEBOOK_METADATA, WIDGET_VIEW
from nbformat import NotebookNode

Rule = Callable[[NotebookNode], list[str]]

MAX_BYTES = 500_000
MAX_LINES = 25
MAX_MEDIAN = 6
MIN_ALT = 15  # characters; "plot" or "figure 1" tells nobody anything
SLIDE_TYPES = {"slide", "subslide", "fragment", "skip", "-"}
SLIDE_KEYS = {"slide_type", "minutes", "notes", "title", "text", "printed", "layout"}  # what scripts/deck.py reads
IGNORE = "nbval-ignore-output"
HIDING_TAGS = {"nbval-skip", "nbval-raises-exception", "raises-exception", "skip-execution", "pytest-validate-ignore-output"}

DECIMAL = re.compile(r"(?<![\w.])\d*\.\d+")
BASE64 = re.compile(r"base64,[A-Za-z0-9+/=\s]+")
NUMBERS = re.compile(r'<details class="numbers">.*?</details>')  # of a picture; no more compared than its bytes are
ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{5,}")
VOLATILE = re.compile(r"\d\.\d+ ?s\b|\d ?(?:ns|us|µs|ms|sec|seconds|minutes|it/s|s/it)\b|\bcuda:\d|\bdevice=|\d\.\d{7,}")
ABSOLUTE = re.compile(r"(?<![\w.:/<])/(?:home|root|tmp|Users|usr|opt|var|mnt|etc|private|content|work|workspace)/|\b[A-Z]:\\|file://|~/")
TRICKS = re.compile(
    r"\b(?:clear_output|display_id|update_display|interact|interactive|interactive_output|get_ipython)\b|\bOutput\(|tqdm\.\w"
)
MARKERS = re.compile(r"^\s*#+\s*(?:NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)\s*$", re.MULTILINE)


def code_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """The code cells with their position among all cells, from 1."""
    return [(position, cell) for position, cell in enumerate(notebook.cells, 1) if cell.cell_type == "code"]


def markdown_cells(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    return [(position, cell) for position, cell in enumerate(notebook.cells, 1) if cell.cell_type == "markdown"]


def outputs(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    for position, cell in code_cells(notebook):
        for output in cell.outputs:
            yield position, output


def texts(output: NotebookNode) -> str:
    """All text of an output, without the letters that encode a picture."""
    data = output.get("data", {})
    parts = [output.get("text", ""), *(str(value) for mime, value in data.items() if not mime.startswith("image/"))]
    return NUMBERS.sub("", BASE64.sub("base64,", "\n".join(parts)))


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def statements(cell: NotebookNode) -> list[ast.AST]:
    """Every node of the cell's syntax tree; none where it does not parse (`plain_python` says so)."""
    try:
        return list(ast.walk(ast.parse(cell.source)))
    except SyntaxError:
        return []


# --- the same outputs each time, and none that nbval leaves uncompared ----------------------------------------------------------


def counts(notebook: NotebookNode) -> list[str]:
    found = [cell.execution_count for _, cell in code_cells(notebook)]
    expected = list(range(1, len(found) + 1))
    return [] if found == expected else [f"execution counts are {found}: run `make notebooks`"]


def no_error(notebook: NotebookNode) -> list[str]:
    return [f"cell {position}: stores an error" for position, output in outputs(notebook) if output.output_type == "error"]


def no_stderr(notebook: NotebookNode) -> list[str]:
    return [f"cell {position}: writes to stderr" for position, output in outputs(notebook) if output.get("name") == "stderr"]


def no_address(notebook: NotebookNode) -> list[str]:
    return [f"cell {position}: prints a memory address" for position, output in outputs(notebook) if ADDRESS.search(texts(output))]


def no_volatile_text(notebook: NotebookNode) -> list[str]:
    """Timings, devices and unrounded floats differ from machine to machine."""
    hits = ((position, VOLATILE.search(texts(output))) for position, output in outputs(notebook))
    return [f"cell {position}: prints {hit[0]!r} (a timing, a device or an unrounded float)" for position, hit in hits if hit]


def no_absolute_path(notebook: NotebookNode) -> list[str]:
    found = [f"cell {position}: names an absolute path" for position, cell in enumerate(notebook.cells, 1) if ABSOLUTE.search(cell.source)]
    return found + [f"cell {position}: prints an absolute path" for position, output in outputs(notebook) if ABSOLUTE.search(texts(output))]


def no_semicolon(notebook: NotebookNode) -> list[str]:
    """A trailing `;` hides a value in the editor, but not from nbval."""
    ends = re.compile(r";[ \t]*(?:#.*)?$", re.MULTILINE)
    return [f"cell {position}: a line ends in `;`; write `_ = ...`" for position, cell in code_cells(notebook) if ends.search(cell.source)]


def no_hiding(notebook: NotebookNode) -> list[str]:
    """No tag or comment may take a cell out of the comparison, but the one tag that a check must follow."""
    found = []
    for position, cell in code_cells(notebook):
        found += [f"cell {position}: the tag {tag} hides it" for tag in sorted(tags(cell) & HIDING_TAGS)]
        if MARKERS.search(cell.source):
            found.append(f"cell {position}: a comment hides it from nbval; only the tag {IGNORE} may")
    return found


def ignored_is_checked(notebook: NotebookNode) -> list[str]:
    """A cell whose output is not compared is followed by a compared one that asserts what it is there to show."""
    cells = code_cells(notebook)
    found = []
    for (position, cell), (_, following) in zip(cells, [*cells[1:], (0, None)], strict=True):
        if IGNORE in tags(cell) and (following is None or IGNORE in tags(following) or not asserts(following)):
            found.append(f"cell {position}: tagged {IGNORE}, but the next code cell asserts nothing")
    return found


def asserts(cell: NotebookNode) -> bool:
    calls = [ast.unparse(node.func) for node in statements(cell) if isinstance(node, ast.Call)]
    checked = any(name.split(".")[-1].startswith("assert_") or name in {"claims.check", "exercises.check"} for name in calls)
    return checked or any(isinstance(node, ast.Assert) for node in statements(cell))


def no_display_tricks(notebook: NotebookNode) -> list[str]:
    """What prints or redraws from inside a callback is stored differently each time; a bar of tqdm stays at 0 % in the file."""
    hits = ((position, TRICKS.search(cell.source)) for position, cell in code_cells(notebook))
    return [f"cell {position}: uses {hit[0]}" for position, hit in hits if hit]


def no_widget_state(notebook: NotebookNode) -> list[str]:
    found = ["the notebook stores the state of its widgets"] if "widgets" in notebook.metadata else []
    views = (position for position, output in outputs(notebook) if WIDGET_VIEW in output.get("data", {}))
    return found + [f"cell {position}: stores a widget's view, shown later as an error" for position in views]


def normal_metadata(notebook: NotebookNode) -> list[str]:
    """As `make notebooks` leaves it: no timings, no editor's notes, no exact version of Python."""
    found = [] if notebook.metadata == NOTEBOOK_METADATA else ["the notebook's metadata are not those of `make notebooks`"]
    for position, cell in enumerate(notebook.cells, 1):
        found += [f"cell {position}: metadata {name!r}" for name in sorted(set(cell.metadata) - set(CELL_METADATA))]
    ids = [cell.get("id") for cell in notebook.cells]
    return found if None not in ids and len(set(ids)) == len(ids) else [*found, "cell identifiers are missing or repeated"]


def plain_python(notebook: NotebookNode) -> list[str]:
    """No magic, no shell, no path juggling: the course is installed, and every cell is Python that ruff can read."""
    found = []
    for position, cell in code_cells(notebook):
        if re.search(r"^\s*[!%]", cell.source, re.MULTILINE):
            found.append(f"cell {position}: a shell or magic command")
        elif not statements(cell):
            found.append(f"cell {position}: does not parse")
        if re.search(r"\bsys\.path\b|\bpip install\b", cell.source):
            found.append(f"cell {position}: sys.path or pip; the course is installed")
    return found


def no_empty_cell(notebook: NotebookNode) -> list[str]:
    return [f"cell {position}: empty" for position, cell in enumerate(notebook.cells, 1) if not cell.source.strip()]


# --- pictures -------------------------------------------------------------------------------------------------------------------


def image_tags(html: str) -> list[str]:
    return re.findall(r"<img\b[^>]*>", html, re.IGNORECASE)


def alt_is_missing(tag: str) -> bool:
    alt = re.search(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)')""", tag)
    return alt is None or len((alt[1] or alt[2] or "").strip()) < MIN_ALT


def no_vector_picture(notebook: NotebookNode) -> list[str]:
    """SVG and PDF carry random identifiers and dates."""
    found = []
    for position, output in outputs(notebook):
        data = output.get("data", {})
        if {"image/svg+xml", "application/pdf"} & set(data) or re.search(
            r"<svg\b|image/svg\+xml|application/pdf", str(data.get("text/html"))
        ):
            found.append(f"cell {position}: a picture as SVG or PDF")
    return found


def pictures_have_alt(notebook: NotebookNode) -> list[str]:
    """In an HTML `img`: the alt text in an output's metadata is lost in JupyterLab, and nbval compares only text and HTML."""
    found = []
    for position, output in outputs(notebook):
        data = output.get("data", {})
        images = image_tags(str(data.get("text/html", "")))
        if any(alt_is_missing(tag) for tag in images) or (not images and any(mime.startswith("image/") for mime in data)):
            found.append(f"cell {position}: a picture without alt text of {MIN_ALT} characters in an HTML img")
    return found


def markdown_pictures_have_alt(notebook: NotebookNode) -> list[str]:
    found = []
    for position, cell in markdown_cells(notebook):
        pictures = re.findall(r"!\[([^\]]*)\]\(([^)]*)\)", cell.source)
        if any(len(alt.strip()) < MIN_ALT for alt, _ in pictures) or any(map(alt_is_missing, image_tags(cell.source))):
            found.append(f"cell {position}: a picture in the text without alt text of {MIN_ALT} characters")
        if any(target.startswith("http") for _, target in pictures) or re.search(r"""<img\b[^>]*src\s*=\s*["']?http""", cell.source):
            found.append(f"cell {position}: a picture from the network")
    return found


def png_chunks(png: bytes) -> list[str]:
    """The names of the chunks of a PNG file, such as ["IHDR", "tEXt", "IDAT", "IEND"]."""
    names, start = [], 8
    while start + 8 <= len(png):
        names.append(png[start + 4 : start + 8].decode("ascii", "replace"))
        start += 12 + int.from_bytes(png[start : start + 4])
    return names


def no_png_text(notebook: NotebookNode) -> list[str]:
    """matplotlib writes its version into a PNG: another version, another file (`metadata={"Software": None}` leaves it out)."""
    found = []
    for position, output in outputs(notebook):
        data = output.get("data", {})
        encoded = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)", str(data.get("text/html", "")))
        encoded += [data["image/png"]] if "image/png" in data else []
        names = {name for picture in encoded for name in png_chunks(base64.b64decode(picture))}
        if names & {"tEXt", "iTXt", "zTXt", "tIME"}:
            found.append(f"cell {position}: a PNG with a text or a date in it")
    return found


# --- readable -------------------------------------------------------------------------------------------------------------------


def small_file(notebook: NotebookNode) -> list[str]:
    size = len(nbformat.writes(notebook).encode())
    return [] if size <= MAX_BYTES else [f"the file has {size} bytes; {MAX_BYTES} are allowed"]


def short_cells(notebook: NotebookNode) -> list[str]:
    lengths = {position: len(cell.source.splitlines()) for position, cell in code_cells(notebook)}
    return [f"cell {position}: {lines} lines; {MAX_LINES} are allowed" for position, lines in lengths.items() if lines > MAX_LINES]


def one_idea_a_cell(notebook: NotebookNode) -> list[str]:
    lengths = [len(cell.source.splitlines()) for _, cell in code_cells(notebook)]
    median = statistics.median(lengths) if lengths else 0
    return [] if median <= MAX_MEDIAN else [f"the median code cell has {median} lines; {MAX_MEDIAN} are allowed"]


def one_import_cell(notebook: NotebookNode) -> list[str]:
    cells = code_cells(notebook)
    importing = [position for position, cell in cells if any(isinstance(node, ast.Import | ast.ImportFrom) for node in statements(cell))]
    return [] if len(importing) == 1 else [f"imports stand in the cells {importing}; one cell is theirs"]


def slide_tables(notebook: NotebookNode) -> list[str]:
    """A decimal in a table on a slide is in an output, a chart's numbers included, or in the text; rounded or in per cent if one likes."""
    shown = [BASE64.sub("", str(list(output.values()))) for _, output in outputs(notebook)]
    shown += [cell.source for _, cell in markdown_cells(notebook)]
    known = [factor * float(number) for number in DECIMAL.findall("\n".join(shown)) for factor in (1, 100, 0.01)]
    found = []
    for position, cell in enumerate(notebook.cells, 1):
        rows = [line for line in cell.metadata.get("slideshow", {}).get("text", "").splitlines() if line.startswith("|")]
        for number in DECIMAL.findall("\n".join(rows)):
            rounding = 0.501 * 10.0 ** -len(number.partition(".")[2])
            if not any(abs(value - float(number)) <= rounding for value in known):
                found.append(f"cell {position}: {number} on the slide is neither in an output nor in the text")
    return found


def slides(notebook: NotebookNode) -> list[str]:
    """Each cell has a place in the lecture; what the lecturer says is in the metadata (tests/test_slides.py), not in a cell."""
    found = []
    for position, cell in enumerate(notebook.cells, 1):
        show = cell.metadata.get("slideshow", {})
        kind = show.get("slide_type")
        if kind not in SLIDE_TYPES:
            found.append(f"cell {position}: slide type {kind!r}")
        found += [f"cell {position}: no slide knows {name!r}" for name in sorted(set(show) - SLIDE_KEYS)]
    return found


def first_cell(notebook: NotebookNode) -> list[str]:
    """The title, what the reader will be able to do, how long it takes, how much memory, and that nothing is fetched."""
    if not notebook.cells or notebook.cells[0].cell_type != "markdown":
        return ["the first cell is no text"]
    source = notebook.cells[0].source
    wanted = {
        "a title": r"\A# \S",
        "'you will be able to'": r"(?i)you will be able to",
        "the minutes": r"(?i)\d\s*min",
        "the memory": r"\d\s*[MG]B",
        "'no download'": r"(?i)no downloads?\b",
    }
    return [f"the first cell lacks {what}" for what, pattern in wanted.items() if not re.search(pattern, source)]


def parts(notebook: NotebookNode) -> list[str]:
    """The table of symbols, a claim, three exercises; and the end: summary, five recall questions, references with their sections."""
    text = "\n\n".join(cell.source for _, cell in markdown_cells(notebook))
    code = "\n".join(cell.source for _, cell in code_cells(notebook))
    wanted = {
        "a table of symbols (symbol | meaning | name in code | unit)": (
            r"(?i)\|\s*symbol\s*\|\s*meaning\s*\|[^|\n]*code[^|\n]*\|\s*unit",
            text,
        ),
        "a part 'Exercises'": (r"(?im)^#+ .*exercise", text),
        "a part 'Summary'": (r"(?im)^#+ .*summary", text),
        "five recall questions": (r"(?ims)^#+ [^\n]*recall.*?^1[.)] .*?^2[.)] .*?^3[.)] .*?^4[.)] .*?^5[.)] ", text),
        "references with section numbers": (r"(?ims)^#+ [^\n]*references.*(?:section|sec\.|§|table|fig)", text),
        "a checked claim": (r"\bclaims\.check\(", code),
        "three checked exercises": (r"(?s)(?:\bexercises\.check\(.*){3}", code),
    }
    return [f"lacks {what}" for what, (pattern, where) in wanted.items() if not re.search(pattern, where)]


def recall(notebook: NotebookNode) -> list[str]:
    """Five questions, each with its folded answer; from notebook 01 on, two look back at earlier notebooks, which they name: (03)."""
    source = next((cell.source for _, cell in markdown_cells(notebook) if re.search(r"(?im)^#+ .*recall", cell.source)), "")
    questions, _, answers = source.partition("<details>")
    numbers = [re.findall(r"(?m)^(\d)[.)] ", part) for part in (questions, answers)]
    found = [] if numbers == [list("12345")] * 2 else ["recall: not five questions, each with its answer folded in"]
    own = (re.match(r"# (\d\d) · ", notebook.cells[0].source) or ["", "00"])[1] if notebook.cells else "00"
    earlier = [question for question in re.findall(r"(?m)^\d[.)] \((\d\d)\b", questions) if question < own]
    return found if own == "00" or len(earlier) >= 2 else [*found, "recall: fewer than two questions on earlier notebooks"]


def predictions(notebook: NotebookNode) -> list[str]:
    """What the reader is asked to predict meets the truth further down, once."""
    calls = [re.findall(r'\bexercises\.(predict|compare)\("([^"]+)"', cell.source) for _, cell in code_cells(notebook)]
    asked, met = ([name for cell in calls for verb, name in cell if verb == wanted] for wanted in ("predict", "compare"))
    order = [verb for cell in calls for verb, _ in cell]
    if asked != met or len(set(asked)) != len(asked) or order != ["predict", "compare"] * len(asked):
        return [f"predictions {asked} do not meet their truths {met} one by one"]
    return []


# --- solutions ------------------------------------------------------------------------------------------------------------------

CHECK = re.compile(r'^exercises\.check\("(\d\d\.\d+)", .+\)\Z', re.MULTILINE)


def solution_title(notebook: NotebookNode) -> list[str]:
    first = notebook.cells[0].source if notebook.cells else ""
    return [] if re.match(r"# Solutions · \d\d ", first) else ["the first cell is not headed '# Solutions · NN name'"]


def solved(notebook: NotebookNode) -> list[str]:
    """Every code cell behind the imports ends in a check, and what it stores is that the answer is right."""
    found = []
    for position, cell in code_cells(notebook)[1:]:
        last = CHECK.search(cell.source.rstrip())
        if last is None:
            found.append(f"cell {position}: does not end in exercises.check")
        elif [output.get("text") for output in cell.outputs] != [f"{last[1]} · right\n"]:
            found.append(f"cell {position}: its check does not say right, and nothing else")
    return found


def explained(notebook: NotebookNode) -> list[str]:
    """Before each solution stands one cell of text, headed by the exercise's id, with the question and the why."""
    found = []
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        last = CHECK.search(cell.source.rstrip()) if cell.cell_type == "code" else None
        if last and (before.cell_type != "markdown" or not before.source.startswith(f"## {last[1]} · ") or before.source.count("\n") < 3):
            found.append(f"{last[1]}: no text before it, headed '## {last[1]} · …', that says why")
    return found


def heading_levels(notebook: NotebookNode) -> list[tuple[int, int]]:
    """(position of the cell, level) of each heading, those inside code blocks left out."""
    found = []
    for position, cell in markdown_cells(notebook):
        text = re.sub(r"(?ms)^(`{3,}|~{3,}).*?^\1", "", cell.source)
        found += [(position, len(signs)) for signs in re.findall(r"(?m)^(#{1,6}) ", text)]
    return found


def headings_in_order(notebook: NotebookNode) -> list[str]:
    """One title, and below it no level left out: screen readers and the table of contents go by them."""
    levels = heading_levels(notebook)
    if [level for _, level in levels[:1]] != [1]:
        return ["the first heading is no title (#)"]
    titles = [f"cell {position}: a second title" for position, level in levels[1:] if level == 1]
    steps = [(place, above, level) for (_, above), (place, level) in pairwise(levels)]
    return titles + [f"cell {place}: a heading of level {level} below level {above}" for place, above, level in steps if level > above + 1]


EVERYWHERE: tuple[Rule, ...] = (
    counts,
    no_error,
    no_stderr,
    no_address,
    no_volatile_text,
    no_absolute_path,
    no_semicolon,
    no_hiding,
    ignored_is_checked,
    no_display_tricks,
    no_widget_state,
    normal_metadata,
    plain_python,
    no_empty_cell,
    no_vector_picture,
    pictures_have_alt,
    markdown_pictures_have_alt,
    no_png_text,
    small_file,
    short_cells,
    headings_in_order,
)
LECTURE: tuple[Rule, ...] = (one_idea_a_cell, one_import_cell, slides, slide_tables, first_cell, parts, recall, predictions)
SOLUTION: tuple[Rule, ...] = (one_import_cell, solution_title, solved, explained)


def problems(notebook: NotebookNode, rules: tuple[Rule, ...] = EVERYWHERE + LECTURE) -> list[str]:
    """The problems that `rules` find, in their order."""
    return [problem for rule in rules for problem in rule(notebook)]
