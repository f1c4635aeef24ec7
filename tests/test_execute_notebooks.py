"""`make notebooks` writes the same bytes each time, and nbval then sees what changed: both tried on small notebooks."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from course_env import ROOT, fixed_environment
from execute_notebooks import normalise, re_execute
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from notebook_rules import EVERYWHERE, problems
from run_checks import pytest_arguments

FIGURE = """\
figure, axes = plt.subplots(figsize=(2, 2))
axes.plot([0, 1], [0, 1])
file = io.BytesIO()
figure.savefig(file, format="png", metadata={"Software": None})
plt.close(figure)
picture = base64.b64encode(file.getvalue()).decode()
HTML(f'<img alt="a line from corner to corner" src="data:image/png;base64,{picture}">')"""
CELLS = [
    "import base64\nimport io\n\nimport ipywidgets\nimport matplotlib.pyplot as plt\nfrom IPython.display import HTML",
    FIGURE,
    "ipywidgets.IntSlider(value=3, description='scene')",
    "print('rows', 404)\nprint('columns', 355)",
]


def write_notebook(path: Path, cells: list[str], *texts: str) -> Path:
    nbformat.write(new_notebook(cells=[*map(new_code_cell, cells), *map(new_markdown_cell, texts)]), path)
    return path


def spoil(path: Path) -> None:
    """What an editor leaves behind: an old count, an old output, timings, its own metadata."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.update(widgets={"state": {}}, language_info={"name": "python", "version": "3.11.7"})
    cell = notebook.cells[3]
    cell.update(execution_count=71, outputs=[new_output("stream", name="stdout", text="old")])
    cell.metadata.update(execution={"iopub.execute_input": "2026-11-20"}, collapsed=True)
    nbformat.write(notebook, path)


def run_script(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "execute_notebooks.py", *paths]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two copies of one notebook, and one that fails between them, all given to the script."""
    folder = tmp_path_factory.mktemp("executed")
    clean, spoiled = write_notebook(folder / "clean.ipynb", CELLS, "# A title"), folder / "spoiled.ipynb"
    spoiled.write_bytes(clean.read_bytes())
    spoil(spoiled)
    failing = write_notebook(folder / "failing.ipynb", ["1 / 0"])
    done = run_script(clean, failing, spoiled)
    assert done.returncode == 1
    assert done.stderr.count("FAILED") == 1
    assert "failing.ipynb: FAILED" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    return folder


def test_two_executions_give_the_same_bytes(executed: Path) -> None:
    assert (executed / "clean.ipynb").read_bytes() == (executed / "spoiled.ipynb").read_bytes()


def test_an_executed_notebook_keeps_the_rules(executed: Path) -> None:
    notebook = nbformat.read(executed / "clean.ipynb", as_version=4)
    assert problems(notebook, EVERYWHERE) == []
    assert notebook.cells[2].outputs[0].data["text/plain"].startswith("IntSlider(value=3")
    assert list(executed.glob(".*")) == []


def test_nbval_sees_a_changed_number_and_passes_the_rest(executed: Path) -> None:
    """The very arguments of `make test`. The picture's bytes may differ; its alternative text and a number may not."""
    changed = nbformat.read(executed / "clean.ipynb", as_version=4)
    for cell in changed.cells:
        for output in cell.get("outputs", ()):
            if "text/html" in output.get("data", {}):
                output.data["text/html"] = output.data["text/html"].replace("iVBOR", "AAAAA")
            if "text" in output:
                output.text = output.text.replace("404", "407")
    nbformat.write(changed, executed / "changed.ipynb")
    arguments = [argument for argument in pytest_arguments() if argument not in {"tests", "notebooks"}]
    command = [sys.executable, "-m", *arguments, "-p", "no:cacheprovider", "--color=no", executed / "changed.ipynb"]
    done = subprocess.run(command, cwd=ROOT, env=fixed_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 failed, 3 passed" in done.stdout
    assert "changed.ipynb::Cell 3" in done.stdout


def test_a_failing_cell_leaves_the_file_alone(executed: Path) -> None:
    (cell,) = nbformat.read(executed / "failing.ipynb", as_version=4).cells
    assert cell.execution_count is None
    assert cell.outputs == []


def test_valid_identifiers_stay_and_others_are_derived() -> None:
    notebook = new_notebook(cells=[new_code_cell("1"), new_code_cell("2"), new_code_cell("3")])
    for cell, name in zip(notebook.cells, ("kept", "kept", "not valid!"), strict=True):
        cell.id = name
    first = [cell.id for cell in normalise(notebook).cells]
    assert first[0] == "kept"
    assert len(set(first)) == 3
    assert [cell.id for cell in normalise(notebook).cells] == first


def test_a_missing_notebook_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ipynb"):
        re_execute(tmp_path / "nowhere.ipynb")


def test_a_measurement_by_the_clock_is_kept_as_stored(tmp_path: Path) -> None:
    """The first run stores what the timed cell prints; later ones run it and keep that."""
    path = write_notebook(tmp_path / "timed.ipynb", ["import time", "print(time.perf_counter_ns())", "print(time.perf_counter_ns())"])
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata.tags = ["timed"]
    nbformat.write(notebook, path)
    re_execute(path)
    first = [cell.outputs for cell in nbformat.read(path, as_version=4).cells]
    re_execute(path)
    second = [cell.outputs for cell in nbformat.read(path, as_version=4).cells]
    assert first[1] == second[1] != []
    assert first[2] != second[2]
