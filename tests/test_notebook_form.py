"""The form of the notebooks: every rule finds its fault in a made-up notebook and nothing in a good one; then the course's own."""

import base64
import copy
import io
import re
from collections.abc import Callable

import nbformat
import notebook_rules
import pytest
from course_env import NOTEBOOKS, find_notebooks
from execute_notebooks import WIDGET_VIEW, normalise
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_rules import EVERYWHERE, IGNORE, LECTURE, SOLUTION, problems
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from edu_seg.exercises import EXERCISES
from edu_seg.exercises.notebooks import NOTEBOOKS as EXERCISE_NOTEBOOKS

ALT = 'alt="two crossing lines, one dashed"'


def png_base64(text: str = "") -> str:
    info = PngInfo()
    if text:
        info.add_text("Software", text)
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, "PNG", pnginfo=info)
    return base64.b64encode(file.getvalue()).decode()


def html(text: str) -> NotebookNode:
    return new_output("display_data", {"text/html": text, "text/plain": "<Picture>"})


def stream(text: str, name: str = "stdout") -> NotebookNode:
    return new_output("stream", name=name, text=text)


FIRST = "# 02 · Title\n\nYou will be able to count. 20 minutes, 300 MB, no download."
SYMBOLS = "| symbol | meaning | name in code | unit |\n|---|---|---|---|\n| $k$ | kernel | `kernel` | pixels |"
QUESTIONS = "1. a\n2. b\n3. c\n4. (00) d\n5. (01) e\n"
ANSWERS = "<details><summary>Answers</summary>\n\n1. a\n2. b\n3. c\n4. d\n5. e\n\n</details>"
SUMMARY = "## Summary\n\nDone.\n\n## References\n\nLong et al. (2015), section 3.4."
LAST = f"{SUMMARY}\n\n## Recall\n\n{QUESTIONS}\n{ANSWERS}"
PICTURE = f'<img {ALT} src="data:image/png;base64,{png_base64()}">'


def good() -> NotebookNode:
    """A small notebook that keeps every rule: title, imports, a trained cell and its check, a picture, a claim, exercises."""
    code = [
        ("import torch\n\nfrom edu_seg import claims, exercises", []),
        ("train(32)", [stream("FCN-32s 0.594\n")]),
        ("assert score > 0.5", []),
        ("show(figure)", [html(PICTURE)]),
        ('claims.check("fcn.fc7", 404)', [stream("FCN · 404 · ok\n")]),
        *((f'exercises.check("00.{number}", answer)', [stream("not tried yet\n")]) for number in (1, 2, 3)),
    ]
    cells = [new_markdown_cell(FIRST), new_markdown_cell(SYMBOLS)]
    cells += [new_code_cell(source, execution_count=count, outputs=outputs) for count, (source, outputs) in enumerate(code, 1)]
    cells += [new_markdown_cell("## Exercises\n\nThree."), new_markdown_cell(LAST)]
    cells[3].metadata.tags = [IGNORE]
    for position, cell in enumerate(cells):
        cell.id = f"cell-{position}"
        cell.metadata.slideshow = {"slide_type": "slide"}
    return normalise(new_notebook(cells=cells))


def good_solutions() -> NotebookNode:
    """Two exercises, each explained and solved."""
    cells = [
        new_markdown_cell("# Solutions · 02 Counting\n\nTry first."),
        new_code_cell("from edu_seg import exercises", execution_count=1),
    ]
    for number in (1, 2):
        key = f"02.{number}"
        cells.append(new_markdown_cell(f"## {key} · Build\n\n**Question.** How many?\n\n**Why.** One more."))
        code = f'def mine(n):\n    return n + 1\n\n\nexercises.check("{key}", mine)'
        cells.append(new_code_cell(code, execution_count=number + 1, outputs=[stream(f"{key} · right\n")]))
    for position, cell in enumerate(cells):
        cell.id = f"cell-{position}"
    return normalise(new_notebook(cells=cells))


TITLE, SYMBOL, IMPORTS, TRAINED, ASSERTION, FIGURE, CLAIM = range(7)
WHY, SOLVED = 2, 3
Fault = Callable[[NotebookNode], object]


def source(position: int, text: str) -> Fault:
    return lambda notebook: notebook.cells[position].update(source=text)


def output(*stored: NotebookNode) -> Fault:
    return lambda notebook: notebook.cells[ASSERTION].update(outputs=list(stored))


def metadata(position: int, **values: object) -> Fault:
    return lambda notebook: notebook.cells[position].metadata.update(values)


def without(position: int, old: str, new: str = "") -> Fault:
    def fault(notebook: NotebookNode) -> None:
        assert old in notebook.cells[position].source
        notebook.cells[position].source = notebook.cells[position].source.replace(old, new)

    return fault


FAULTS: list[tuple[str, str, Fault]] = [
    ("counts", "not run", lambda notebook: notebook.cells[CLAIM].update(execution_count=None)),
    ("counts", "out of order", lambda notebook: notebook.cells[CLAIM].update(execution_count=9)),
    ("no_error", "error", output(new_output("error", ename="ValueError", evalue="x", traceback=[]))),
    ("no_stderr", "warning", output(stream("UserWarning: x\n", "stderr"))),
    ("no_address", "repr", output(new_output("execute_result", {"text/plain": "[<Line2D at 0x7f3a5c0d1e80>]"}, execution_count=3))),
    ("no_address", "in HTML", output(html("<b>object at 0x10f2c3d40</b>"))),
    ("no_volatile_text", "seconds", output(stream("took 1.52 s\n"))),
    ("no_volatile_text", "milliseconds", output(stream("3 ms a step\n"))),
    ("no_volatile_text", "device", output(stream("tensor(1., device='cuda:0')\n"))),
    ("no_volatile_text", "unrounded", output(stream("0.59312345\n"))),
    ("no_absolute_path", "in code", source(CLAIM, "open('/home/me/x.png')")),
    ("no_absolute_path", "in text", source(SYMBOL, SYMBOLS + "\n\nSee /Users/me/notes.txt")),
    ("no_absolute_path", "in output", output(stream("saved /tmp/x.png\n"))),
    ("no_absolute_path", "of Windows", output(stream("saved C:\\data\\x.png\n"))),
    ("no_semicolon", "last", source(FIGURE, "show(figure);")),
    ("no_semicolon", "before a comment", source(FIGURE, "show(figure);  # quiet")),
    ("no_hiding", "skipped", metadata(FIGURE, tags=["nbval-skip"])),
    ("no_hiding", "may raise", metadata(FIGURE, tags=["raises-exception"])),
    ("no_hiding", "not executed", metadata(FIGURE, tags=["skip-execution"])),
    ("no_hiding", "comment", source(FIGURE, "# NBVAL_IGNORE_OUTPUT\nshow(figure)")),
    ("ignored_is_checked", "nothing asserted", source(ASSERTION, "print(score)")),
    ("ignored_is_checked", "both ignored", metadata(ASSERTION, tags=[IGNORE])),
    ("ignored_is_checked", "the last", lambda notebook: notebook.cells[CLAIM + 3].metadata.update(tags=[IGNORE])),
    ("no_display_tricks", "clear_output", source(FIGURE, "clear_output()")),
    ("no_display_tricks", "interact", source(FIGURE, "widgets.interact(show, x=3)")),
    ("no_display_tricks", "Output", source(FIGURE, "out = widgets.Output()")),
    ("no_display_tricks", "tqdm", source(FIGURE, "tqdm.notebook")),
    ("no_widget_state", "state", lambda notebook: notebook.metadata.update(widgets={})),
    ("no_widget_state", "view", output(new_output("display_data", {WIDGET_VIEW: {"model_id": "a"}, "text/plain": "Slider()"}))),
    ("normal_metadata", "timing", metadata(FIGURE, execution={"iopub.execute_input": "2026"})),
    ("normal_metadata", "version", lambda notebook: notebook.metadata.language_info.update(version="3.11.7")),
    ("normal_metadata", "same id twice", lambda notebook: notebook.cells[FIGURE].update(id="cell-0")),
    ("plain_python", "pip", source(FIGURE, "!pip install edu_seg")),
    ("plain_python", "magic", source(FIGURE, "%matplotlib widget")),
    ("plain_python", "path", source(FIGURE, "sys.path.append('..')")),
    ("plain_python", "syntax", source(FIGURE, "show(")),
    ("no_empty_cell", "empty", source(SYMBOL + 1 + 8, "  \n")),
    ("no_vector_picture", "SVG", output(new_output("display_data", {"image/svg+xml": "<svg/>", "text/html": PICTURE}))),
    ("no_vector_picture", "SVG in HTML", output(html("<svg><path/></svg>"))),
    ("no_vector_picture", "PDF", output(new_output("display_data", {"application/pdf": "JVBERi0="}))),
    ("pictures_have_alt", "bare PNG", output(new_output("display_data", {"image/png": png_base64(), "text/plain": "<Figure>"}))),
    (
        "pictures_have_alt",
        "alt in metadata alone",
        output(new_output("display_data", {"image/png": png_base64()}, metadata={"image/png": {"alt": ALT}})),
    ),
    ("pictures_have_alt", "no alt", output(html(PICTURE.replace(ALT, "")))),
    ("pictures_have_alt", "empty alt", output(html(PICTURE.replace(ALT, 'alt=""')))),
    ("pictures_have_alt", "second of two", output(html(PICTURE + PICTURE.replace(ALT, 'alt="plot"')))),
    ("markdown_pictures_have_alt", "no alt", source(SYMBOL, SYMBOLS + "\n\n![](a.png)")),
    ("markdown_pictures_have_alt", "img", source(SYMBOL, SYMBOLS + '\n\n<img src="a.png">')),
    ("markdown_pictures_have_alt", "fetched", source(SYMBOL, SYMBOLS + "\n\n![a very long street scene](https://example.org/a.png)")),
    ("no_png_text", "in HTML", output(html(f'<img {ALT} src="data:image/png;base64,{png_base64("version 3.11")}">'))),
    ("no_png_text", "as PNG", output(new_output("display_data", {"image/png": png_base64("version 3.11"), "text/html": PICTURE}))),
    ("small_file", "large", output(stream("x" * 500_000))),
    ("short_cells", "26 lines", source(FIGURE, "\n".join(["show(figure)"] * 26))),
    ("headings_in_order", "no title", without(TITLE, "# ", "## ")),
    ("headings_in_order", "two titles", source(SYMBOL, "# Again\n\n" + SYMBOLS)),
    ("headings_in_order", "a level left out", source(SYMBOL, "### Symbols\n\n" + SYMBOLS)),
    ("one_idea_a_cell", "long", lambda notebook: [cell.update(source="import torch" + "\n0" * 6) for cell in notebook.cells[2:-4]]),
    ("one_import_cell", "two", source(FIGURE, "import numpy\nshow(figure)")),
    ("one_import_cell", "in a function", source(FIGURE, "def f():\n    import numpy")),
    ("one_import_cell", "none", source(IMPORTS, "1 + 1")),
    ("slides", "no slide type", lambda notebook: notebook.cells[FIGURE].metadata.pop("slideshow")),
    ("slides", "unknown type", metadata(FIGURE, slideshow={"slide_type": "page"})),
    ("slides", "unknown key", metadata(FIGURE, slideshow={"slide_type": "-", "minute": 3})),
    ("slides", "words in a cell", metadata(FIGURE, slideshow={"slide_type": "notes", "minutes": 3})),
    ("slide_tables", "another number", metadata(FIGURE, slideshow={"slide_type": "-", "text": "| IU |\n|---|\n| 0.77 |"})),
    ("first_cell", "code", lambda notebook: notebook.cells.pop(0)),
    ("first_cell", "no title", without(TITLE, "# ")),
    ("first_cell", "no aim", without(TITLE, "You will be able to")),
    ("first_cell", "no time", without(TITLE, "20 minutes")),
    ("first_cell", "no memory", without(TITLE, "300 MB")),
    ("first_cell", "download", without(TITLE, "no download")),
    ("parts", "no symbols", source(SYMBOL, "Words.")),
    ("parts", "no exercises", source(10, "## Questions")),
    ("parts", "two exercises", source(CLAIM + 3, "print(3)")),
    ("parts", "no claim", source(CLAIM, "print(404)")),
    ("parts", "no summary", without(11, "## Summary")),
    ("parts", "no recall", without(11, "## Recall")),
    ("parts", "no references", without(11, "## References")),
    ("parts", "no section", without(11, "section 3.4")),
    ("recall", "four questions", without(11, "5. (01) e\n")),
    ("recall", "no answers", without(11, "<details>")),
    ("recall", "an answer missing", without(11, "\n5. e\n\n</details>", "\n\n</details>")),
    ("recall", "one on an earlier notebook", without(11, "(00) ")),
    ("recall", "one on a later notebook", without(11, "(01)", "(02)")),
    ("predictions", "no truth", source(ASSERTION, 'exercises.predict("02.a", ...)')),
    ("predictions", "no prediction", source(ASSERTION, 'exercises.compare("02.a", 1)')),
    ("predictions", "the truth first", source(ASSERTION, 'exercises.compare("02.a", 1)\nexercises.predict("02.a", ...)')),
    ("predictions", "another one", source(ASSERTION, 'exercises.predict("02.a", ...)\nexercises.compare("02.b", 1)')),
]
SOLUTION_FAULTS: list[tuple[str, str, Fault]] = [
    ("one_import_cell", "two", source(SOLVED, 'import math\n\nexercises.check("02.1", 2)')),
    ("solution_title", "none", source(TITLE, "# 02 · Counting")),
    ("solved", "no check", source(SOLVED, "print(3)")),
    ("solved", "check not last", source(SOLVED, 'exercises.check("02.1", 2)\nprint(3)')),
    ("solved", "wrong", lambda notebook: notebook.cells[SOLVED].update(outputs=[stream("02.1 · wrong: No.\n")])),
    ("solved", "not run", lambda notebook: notebook.cells[SOLVED].update(outputs=[])),
    ("explained", "not at all", lambda notebook: notebook.cells.pop(WHY)),
    ("explained", "another exercise", without(WHY, "02.1", "02.2")),
    ("explained", "no why", source(WHY, "## 02.1 · Build")),
]


def test_a_good_notebook_has_no_problem() -> None:
    assert problems(good()) == []


def test_good_solutions_have_no_problem() -> None:
    assert problems(good_solutions(), EVERYWHERE + SOLUTION) == []


@pytest.mark.parametrize(("rule", "name", "fault"), SOLUTION_FAULTS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rule_for_solutions_finds_its_fault(rule: str, name: str, fault: Fault) -> None:
    notebook = copy.deepcopy(good_solutions())
    fault(notebook)
    assert getattr(notebook_rules, rule)(notebook) != []


@pytest.mark.parametrize(("rule", "name", "fault"), FAULTS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_rule_finds_its_fault(rule: str, name: str, fault: Fault) -> None:
    notebook = copy.deepcopy(good())
    fault(notebook)
    assert getattr(notebook_rules, rule)(notebook) != []


def test_every_rule_has_a_fault_that_it_finds() -> None:
    assert {rule for rule, _, _ in FAULTS} == {rule.__name__ for rule in EVERYWHERE + LECTURE}
    assert {rule for rule, _, _ in SOLUTION_FAULTS} == {rule.__name__ for rule in SOLUTION}


def test_signs_in_code_are_no_headings() -> None:
    notebook = good()
    source(SYMBOL, SYMBOLS + "\n\n```python\n# a comment\n#### another\n```")(notebook)
    assert problems(notebook) == []


@pytest.mark.parametrize("shown", ["0.404", "0.40", ".4", "40.4", "2.5"])
def test_numbers_on_slides_are_rounded_as_one_likes(shown: str) -> None:
    """As printed, or as the text has them."""
    notebook = good()
    output(stream("mean IU 0.4041\n"))(notebook)
    source(SYMBOL, SYMBOLS + "\n\nThe paper: 2.5.")(notebook)
    metadata(FIGURE, slideshow={"slide_type": "-", "text": f"| IU |\n|---|\n| **{shown}** |"})(notebook)
    assert problems(notebook) == []


def test_names_of_networks_are_no_timings() -> None:
    notebook = good()
    output(stream("FCN-32s 0.594\nFCN-16s 0.621\n8s: 0.640 mean IoU, 134,362,751 parameters\n"))(notebook)
    assert problems(notebook) == []


COURSE = [path.relative_to(NOTEBOOKS).as_posix() for path in find_notebooks()]


def test_there_are_notebooks() -> None:
    assert {"00_start_here.ipynb", "05_fcn_skips.ipynb"} <= set(COURSE)


@pytest.mark.parametrize("name", COURSE)
def test_a_notebook_of_the_course(name: str) -> None:
    rules = EVERYWHERE + (SOLUTION if name.startswith("solutions/") else LECTURE)
    path = NOTEBOOKS / name
    found = problems(nbformat.read(path, as_version=4), rules)
    assert not found, "\n".join(found)
    assert path.stat().st_size <= notebook_rules.MAX_BYTES


@pytest.mark.parametrize("number", EXERCISE_NOTEBOOKS)
def test_every_exercise_has_its_solution(number: str) -> None:
    path = NOTEBOOKS / "solutions" / f"{EXERCISE_NOTEBOOKS[number]}.ipynb"
    solutions = nbformat.read(path, as_version=4)
    found = [key for cell in solutions.cells if cell.cell_type == "code" for key in notebook_rules.CHECK.findall(cell.source)]
    assert found == [key for key in EXERCISES if key.startswith(f"{number}.")]
    assert re.match(rf"# Solutions · {number} ", solutions.cells[0].source)


@pytest.mark.parametrize("number", EXERCISE_NOTEBOOKS)
def test_every_notebook_asks_for_a_prediction_and_keeps_it(number: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{EXERCISE_NOTEBOOKS[number]}.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert f'exercises.predict("{number}.a", ...)' in code
    assert f'exercises.compare("{number}.a", ' in code
