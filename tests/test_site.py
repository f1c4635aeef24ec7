"""The site's parts: claims read back from outputs, notebooks as pages, docstrings as markup, mathematics, the reference's order."""

import base64
import io
import re
import sys
from pathlib import Path

import pytest
import site_api
from claim_lines import Checked, checked_claims, claims_page, read_line, read_notebooks
from course_env import NOTEBOOKS, ROOT, find_notebooks
from make_site import Stage, write
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from site_pages import heading, index_table, minutes, page, solutions
from site_widgets import SAVE, is_kept, package_digest, shows_widgets
from test_structure import FLOORS

from edu_seg.claims import Claim, check, claims

sys.path.insert(0, str(ROOT / "scripts" / "site"))
from mathml import to_mathml
from plain_docstrings import as_rst
from reachable import focusable, signature_lines, with_levels

LECTURES = [path for path in find_notebooks() if path.parent == NOTEBOOKS]


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (30, 20)).save(file, "PNG")
    return file.getvalue()


PICTURE = f'<img alt="two crossing lines" style="width:24px" src="data:image/png;base64,{base64.b64encode(png()).decode()}">'


def code(source: str, *outputs: NotebookNode, count: int = 1) -> NotebookNode:
    return new_code_cell(source, execution_count=count, outputs=list(outputs))


def printed(text: str) -> NotebookNode:
    return new_output("stream", name="stdout", text=text)


# --- claims ---------------------------------------------------------------------------------------------------------------------


def test_every_claim_has_its_line_in_its_notebook() -> None:
    notebooks = read_notebooks(LECTURES)
    assert {claim.notebook for claim in claims().values()} <= set(notebooks)
    checked = checked_claims(claims().values(), notebooks)
    assert [line.claim.id for line in checked] == list(claims())
    assert len(checked) >= 80


@pytest.mark.parametrize("claim_id", ["fcn-four-scores", "fcn-layer-equation", "majority-mean-iou", "voc-palette"])
def test_a_line_is_read_as_it_was_printed(claim_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    claim = claims()[claim_id]
    check(claim_id, claim.expected)
    read = read_line(claim, 3, capsys.readouterr().out.strip())
    assert read is not None
    assert read.cell == 3
    assert bool(read.printed) == (claim.printed is not None)
    assert "·" not in read.expected + read.measured


def test_no_line_speaks_for_two_claims() -> None:
    lines = [(claim.paper, claim.where, claim.statement) for claim in claims().values()]
    assert len(set(lines)) == len(lines)


CLAIM = Claim("one-more", "FCN", "table 1", "the field < 404", 404, "01_x")
ERRATUM = Claim("one-less", "VGG", "table 2", "the field", 212, "01_x", printed=211)
LINES = """FCN, table 1 · the field < 404 · expected 404 · measured 404 · ok
VGG, table 2 · the field · printed 211 · expected 212 · measured 212 · erratum
"""


def test_claims_by_hand() -> None:
    notebook = new_notebook(cells=[code("check()", printed("hello\n" + LINES), count=7)])
    first, second = checked_claims([CLAIM, ERRATUM], {"01_x": notebook})
    assert first == Checked(CLAIM, "", "404", "404", 7)
    assert second == Checked(ERRATUM, "211", "212", "212", 7)
    text = claims_page([first, second], {"01_x": "01 · X"})
    before, after = text.split("## Errata")
    assert "one-more" in before
    assert "one-less" in before
    assert "one-more" not in after
    assert '<td data-name="printed">211</td>' in after
    assert "the field &lt; 404" in text
    assert 'href="notebooks/01_x.html#claim-one-more"' in text


@pytest.mark.parametrize("text", ["", LINES.replace("< 404", "< 405"), LINES.replace(" · ok", " · differs")])
def test_a_claim_without_its_line_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"one-more \(01_x\)"):
        checked_claims([CLAIM], {"01_x": new_notebook(cells=[code("check()", printed(text))])})


def test_claims_of_other_notebooks_are_left_out() -> None:
    assert checked_claims([CLAIM], {}) == []


# --- pages ----------------------------------------------------------------------------------------------------------------------


def shown(*cells: NotebookNode, **given) -> tuple[list[NotebookNode], dict[str, bytes]]:
    saved: dict[str, bytes] = {}
    arguments = {"names": {"01_x"}, "checked": [], "widgets": {}, "answers": {}, "save": saved.__setitem__} | given
    return page(new_notebook(cells=list(cells)), **arguments).cells, saved


def html_output(text: str) -> NotebookNode:
    return new_output("execute_result", {"text/html": text, "text/plain": "x"}, execution_count=1)


def test_a_picture_becomes_a_file() -> None:
    original = code("show()", html_output(PICTURE))
    (cell,), saved = shown(original)
    text = cell.outputs[0].data["text/html"]
    ((name, data),) = saved.items()
    assert data == png()
    assert f'src="../figures/{name}"' in text
    assert 'alt="two crossing lines"' in text
    assert 'width="30" height="20"' in text
    assert "base64" not in text
    assert "base64" in original.outputs[0].data["text/html"]


def test_a_widget_becomes_a_frame_and_keeps_its_poster() -> None:
    (cell,), saved = shown(code("widget", html_output(PICTURE), count=5), widgets={5: "01-5.html"})
    text = cell.outputs[0].data["text/html"]
    assert '<iframe class="widget" src="../widgets/01-5.html" title="Widget: two crossing lines"' in text
    assert len(saved) == 1
    assert "<noscript>" in text


def test_lines_of_claims_stand_apart() -> None:
    (cell,), _ = shown(code("check()", printed(f"a  b\nc  d\n{LINES}end\n")))
    first, claims, last = cell.outputs
    assert (first.text, last.text) == ("a  b\nc  d\n", "end\n")
    assert claims.data["text/html"].startswith('<pre class="claim-lines">FCN, table 1 · the field &lt; 404')
    assert claims.data["text/html"].count("\n") == 1


def test_an_anchor_stands_before_the_cell_of_a_claim() -> None:
    cells, _ = shown(code("a"), code("b", count=2), checked=[Checked(CLAIM, "", "", "", 2)])
    assert [cell.source for cell in cells] == ["a", '<div id="claim-one-more"></div>', "b"]


def test_links_to_missing_notebooks_are_text() -> None:
    (cell,), _ = shown(new_markdown_cell("[one](01_x.ipynb) and [two](02_y.ipynb#part)"))
    assert cell.source == "[one](01_x.ipynb) and two"


def test_an_answer_is_folded_under_its_exercise() -> None:
    cells, _ = shown(code('exercises.check("01.2", x)'), code("last", count=2), answers={"01.2": "```python\nx = 3\n```"})
    assert [cell.source[:44] for cell in cells] == ['exercises.check("01.2", x)', "<details><summary>Answer to 01.2</summary>\n\n", "last"]
    assert "x = 3" in cells[1].source


def test_solutions_hold_what_belongs_to_each_exercise() -> None:
    cells = [
        new_markdown_cell('# Solutions\n\n`exercises.hint("01.1")` helps.'),
        code("from edu_seg import exercises"),
        new_markdown_cell("## 01.1\n\nBecause."),
        code('exercises.check("01.1", 3)'),
        new_markdown_cell("Between."),
        code("x = 4\nexercises.check('01.2', x)"),
        new_markdown_cell("After."),
    ]
    found = solutions(new_notebook(cells=cells))
    assert list(found) == ["01.1", "01.2"]
    assert found["01.1"] == '**01.1**\n\nBecause.\n\n```python\nexercises.check("01.1", 3)\n```\n\nBetween.'
    assert found["01.2"] == "```python\nx = 4\nexercises.check('01.2', x)\n```\n\nAfter."


def test_the_index_names_title_and_time() -> None:
    notebook = new_notebook(cells=[new_markdown_cell("# 01 · X\n\n**Time:** 80 min alone, 50 min as a lecture, under 1 min to run")])
    assert (heading(notebook), minutes(notebook)) == ("01 · X", "80 min alone, 50 min as a lecture")
    assert index_table({"01_x": notebook}).splitlines()[-1] == "| [01 · X](notebooks/01_x.ipynb) | 80 min alone, 50 min as a lecture |"


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.stem)
def test_every_notebook_has_a_title_and_a_time(path: Path) -> None:
    notebook = read_notebooks([path])[path.stem]
    assert heading(notebook).startswith(path.stem[:2])
    assert "min alone" in minutes(notebook)


# --- widgets' pages -------------------------------------------------------------------------------------------------------------


def test_only_values_with_html_need_a_run() -> None:
    table = new_output("execute_result", {"text/plain": "3"}, execution_count=1)
    assert not shows_widgets(new_notebook(cells=[code("x", table), code("y", new_output("display_data", {"text/html": PICTURE}))]))
    assert shows_widgets(new_notebook(cells=[code("x", html_output(PICTURE))]))


def test_pages_are_kept_until_their_sources_change(tmp_path: Path) -> None:
    record = tmp_path / "01.json"
    assert not is_kept(record, "a")
    record.write_text('{"key": "a", "counts": [4]}')
    assert not is_kept(record, "a")
    (tmp_path / "01-4.html").touch()
    assert is_kept(record, "a")
    assert not is_kept(record, "b")


def test_the_digest_follows_the_package(tmp_path: Path) -> None:
    (tmp_path / "edu_seg").mkdir()
    (tmp_path / "edu_seg" / "a.py").write_text("x = 1")
    first = package_digest(tmp_path)
    assert package_digest(tmp_path) == first
    (tmp_path / "edu_seg" / "a.py").write_text("x = 2")
    assert package_digest(tmp_path) != first


def test_the_last_cell_saves_what_has_a_page(tmp_path: Path) -> None:
    class Widget:
        def to_html(self) -> str:
            return "page"

        def export(self, path: str) -> None:
            Path(path).write_text(self.to_html())

    exec(SAVE, {"Out": {1: 3, 4: Widget()}, "folder": str(tmp_path)})
    assert [path.name for path in tmp_path.iterdir()] == ["4.html"]


# --- files ----------------------------------------------------------------------------------------------------------------------


def test_unchanged_files_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b.md", "text")
    (tmp_path / "a" / "b.md").chmod(0o444)
    before = (tmp_path / "a" / "b.md").stat().st_mtime_ns
    write(tmp_path / "a" / "b.md", "text")
    assert (tmp_path / "a" / "b.md").stat().st_mtime_ns == before


def test_the_stage_forgets_what_is_not_put_again(tmp_path: Path) -> None:
    first = Stage(tmp_path)
    first.put("old.md", "old")
    first.put("both.md", "both")
    first.close()
    second = Stage(tmp_path)
    second.put("both.md", "both")
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["both.md"]


# --- text and mathematics -------------------------------------------------------------------------------------------------------

PROSE = {
    "plain": (["A line", "that goes on."], ["A line that goes on.", ""]),
    "code": (["Takes `x_` or ``y``."], ["Takes \\ ``x_``\\  or \\ ``y``\\ .", ""]),
    "signs": (["2 * 3, |x| and x_"], ["2 \\* 3, \\|x\\| and x\\_", ""]),
    "arguments": (["Args:", "    a: one", "        more.", "    b: two"], ["Args:", "", "- a: one more.", "- b: two", ""]),
    "list": (["So:", "- a", "- b"], ["So:", "", "- a", "- b", ""]),
    "columns": (["  a     one", "  more  two"], ["::", "", "      a     one", "      more  two", ""]),
    "two paragraphs": (["One.", "", "", "Two."], ["One.", "", "Two.", ""]),
    "nothing": (["", ""], []),
}


@pytest.mark.parametrize("case", PROSE)
def test_prose_becomes_restructuredtext(case: str) -> None:
    lines, expected = PROSE[case]
    assert as_rst(lines) == expected


def test_mathematics_is_mathml_with_its_source() -> None:
    element = to_mathml(r"R < k'")
    assert element.startswith("<math ")
    assert 'alttext="R &lt; k&#x27;"' in element
    assert 'display="block"' in to_mathml(r"\frac{1}{2}", display=True)


def formulas() -> list[str]:
    cells = [cell for notebook in read_notebooks(LECTURES).values() for cell in notebook.cells if cell.cell_type == "markdown"]
    texts = [re.sub(r"(?s)```.*?```|`[^`]*`", "", cell.source) for cell in cells]
    return [found[1] or found[2] for text in texts for found in re.finditer(r"(?s)\$\$(.+?)\$\$|\$([^$]+)\$", text)]


def test_every_formula_of_the_notebooks_can_be_shown() -> None:
    found = formulas()
    assert len(found) > 500
    assert all("\\" not in to_mathml(latex).split(">", 1)[1] for latex in found)  # it raises as well


def test_an_unknown_command_is_named() -> None:
    with pytest.raises(Exception, match="nosuchcommand"):
        to_mathml(r"\nosuchcommand{x}")


def test_what_scrolls_takes_the_focus() -> None:
    assert focusable('<pre class="a">x</pre><pre>') == '<pre tabindex="0" class="a">x</pre><pre tabindex="0">'
    assert focusable('<pre tabindex="0">') == '<pre tabindex="0">'
    assert focusable('<div class="table-wrapper x">') == '<div tabindex="0" class="table-wrapper x">'


def test_parameters_become_lines() -> None:
    signature = '<dt class="sig x">f(\n<dl>\n<dd>a</dd>\n</dl>\n)</dt>'
    expected = '<dt class="sig x">f(\n<span class="sig-lines">\n<span class="sig-line">a</span>\n</span>\n)</dt>'
    assert signature_lines(f"<dl>{signature}<dd>x</dd></dl>") == f"<dl>{expected}<dd>x</dd></dl>"


def test_captions_have_a_level() -> None:
    assert with_levels('<p class="caption" role="heading">') == '<p class="caption" role="heading" aria-level="2">'


# --- the reference --------------------------------------------------------------------------------------------------------------


def test_the_reference_has_the_package_s_floors() -> None:
    assert tuple(site_api.floors().values()) == FLOORS


def test_every_module_is_on_a_page() -> None:
    assert site_api.documented() == site_api.all_modules()


def test_a_folder_s_page_has_its_modules() -> None:
    text = site_api.pages()["surgery.md"]
    assert ".. automodule:: edu_seg.surgery\n```" in text
    assert ".. automodule:: edu_seg.surgery.heads\n   :members:\n```" in text
    assert "notebook_" not in "".join(site_api.pages().values())
