"""`make notebooks`: executes each notebook top to bottom in a fresh kernel and stores its outputs; a second run gives the same bytes.

What differs from run to run, or between editors, is left out: timings, widget identifiers and state, the exact Python version,
editors' metadata. What a cell with the tag "timed" prints, a measurement by the clock, is kept as stored (clear the cell's output to
measure anew). A notebook that fails keeps its old file. Arguments name the notebooks; without any, all are executed.
"""

import hashlib
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
from course_env import ROOT, find_notebooks, fixed_environment
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from edu_seg.files import write_atomically

CELL_TIMEOUT = 180  # seconds
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
CELL_METADATA = ("slideshow", "tags", "jupyter")
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
        "version": "3",
    },
}


def execute(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """`notebook` with new outputs, computed in the working directory `folder`. Raises CellExecutionError at a cell that fails."""
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute()


def normalise(notebook: NotebookNode) -> NotebookNode:
    """`notebook` without what changes from run to run; changed in place and returned."""
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    taken: set[str] = set()
    for position, cell in enumerate(notebook.cells):
        cell.id = cell_id(cell, position, taken)
        taken.add(cell.id)
        cell.metadata = nbformat.from_dict({name: cell.metadata[name] for name in CELL_METADATA if name in cell.metadata})
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(without_widget_view, cell.outputs) if output is not None]
    return notebook


def cell_id(cell: NotebookNode, position: int, taken: set[str]) -> str:
    """The cell's own id where it is valid and not `taken`, else one derived from its position and source."""
    own = cell.get("id", "")
    if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", own) and own not in taken:
        return own
    return hashlib.sha256(f"{position}\n{cell.source}".encode()).hexdigest()[:8]


def without_widget_view(output: NotebookNode) -> NotebookNode | None:
    """`output` with the picture and text that a widget brings, but without the number of its live model; None where nothing is left.

    A stored number without the stored model shows as "model not found" in place of the picture.
    """
    if "data" not in output or WIDGET_VIEW not in output.data:
        return output
    del output.data[WIDGET_VIEW]
    return output if output.data else None


def re_execute(path: Path) -> None:
    """Executes the notebook at `path` and replaces the file. Raises what nbclient raises, and then leaves the file as it was."""
    notebook = normalise(nbformat.read(path, as_version=4))
    stored = {cell.id: cell.outputs for cell in notebook.cells if "timed" in cell.metadata.get("tags", [])}
    notebook = normalise(execute(notebook, path.parent))
    for cell in notebook.cells:
        cell.update({"outputs": stored[cell.id]} if stored.get(cell.id) else {})
    nbformat.validate(notebook)
    write_atomically(path, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())


def main(arguments: Sequence[str]) -> int:
    os.environ.update(fixed_environment())
    for name in set(os.environ) - set(fixed_environment()):
        del os.environ[name]
    paths = [Path(argument).resolve() for argument in arguments] or find_notebooks()
    if not paths:
        print("No notebook found in notebooks/.", file=sys.stderr)
        return 1
    failed = 0
    for path in paths:
        name, start = os.path.relpath(path, ROOT), time.perf_counter()
        try:
            re_execute(path)
        except (CellExecutionError, CellTimeoutError, DeadKernelError, FileNotFoundError) as error:
            failed += 1
            print(f"{name}: FAILED, the file is unchanged\n{error}", file=sys.stderr)
        else:
            print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
