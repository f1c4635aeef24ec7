"""The widgets of a notebook as pages of their own, made by running it once in a fresh kernel and asking each widget that a cell shows.

They are kept, and made anew only when the notebook, the package or its data have changed.
"""

import copy
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import nbformat
from course_env import ROOT, fixed_environment
from execute_notebooks import CELL_TIMEOUT
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

INPUTS = ("edu_seg/**/*.py", "edu_seg/**/*.js", "edu_seg/**/*.css", "edu_seg/**/*.toml", "data/results/*.json", "data/sample_voc/**/*")
SAVE = """
for count, value in list(Out.items()):
    if hasattr(value, "to_html"):
        value.export(f"{folder}/{count}.html")
"""
# The page tells the frame that it stands in how tall it is: neither may look into the other where both come from a folder.
SPEAK = """<script>
if (parent !== window) {
  const tell = () => parent.postMessage({ widgetHeight: document.body.getBoundingClientRect().height + 2 }, "*");
  new ResizeObserver(tell).observe(document.body);
}
</script>
</body>"""


def digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def package_digest(root: Path = ROOT) -> str:
    """Of all that a notebook's widgets are made from, but for the notebook."""
    paths = sorted({path for pattern in INPUTS for path in root.glob(pattern) if path.is_file()})
    return digest(part for path in paths for part in (path.relative_to(root).as_posix().encode(), path.read_bytes()))


def shows_widgets(notebook: NotebookNode) -> bool:
    """Whether any cell ends in a value that brings its own HTML; if none does, there is nothing to run for."""
    results = (o for cell in notebook.cells for o in cell.get("outputs", ()) if o.output_type == "execute_result")
    return any("text/html" in output.data for output in results)


def run_and_save(notebook: NotebookNode, working: Path, folder: Path) -> list[int]:
    """Runs the notebook in the directory `working` and saves `COUNT.html` of each widget to `folder`. Raises CellExecutionError."""
    copied = copy.deepcopy(notebook)
    copied.cells.append(new_code_cell(f"folder = {str(folder)!r}\n{SAVE}"))
    client = NotebookClient(
        copied,
        timeout=2 * CELL_TIMEOUT,
        kernel_name="python3",
        store_widget_state=False,
        resources={"metadata": {"path": str(working)}},
    )
    client.execute(env=fixed_environment() | {"PYTHONPATH": str(ROOT)})
    return sorted(int(path.stem) for path in folder.glob("*.html"))


def widget_pages(path: Path, folder: Path, package: str) -> dict[int, str]:
    """Execution count -> file name in `folder` of each widget that the notebook at `path` shows. `package`: see `package_digest`.

    Raises CellExecutionError where the notebook fails.
    """
    notebook = nbformat.read(path, as_version=4)
    if not shows_widgets(notebook):
        return {}
    number = path.name[:2]
    record = folder / f"{number}.json"
    sources = (cell.source.encode() for cell in notebook.cells if cell.cell_type == "code")
    key = digest([package.encode(), SPEAK.encode(), *sources])
    if not is_kept(record, key):
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{path.name}: running it once for its widgets", flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            counts = run_and_save(notebook, path.parent, Path(temporary))
            for count in counts:
                source = Path(temporary) / f"{count}.html"
                source.write_text(source.read_text(encoding="utf-8").replace("</body>", SPEAK), encoding="utf-8")
                shutil.move(source, folder / f"{number}-{count}.html")
        record.write_text(json.dumps({"key": key, "counts": counts}), encoding="utf-8")
    return {count: f"{number}-{count}.html" for count in json.loads(record.read_text(encoding="utf-8"))["counts"]}


def is_kept(record: Path, key: str) -> bool:
    """Whether the pages that `record` lists were made from the same sources, and are all there."""
    if not record.is_file():
        return False
    kept = json.loads(record.read_text(encoding="utf-8"))
    pages = (record.with_name(f"{record.stem}-{count}.html") for count in kept["counts"])
    return kept["key"] == key and all(page.is_file() for page in pages)
