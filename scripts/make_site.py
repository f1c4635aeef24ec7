"""`make site`: the course as a static site in build/site, which opens from the folder and asks no network for anything.

The notebooks are shown as they are stored. For its widgets each is run once; the pages so made are kept in build/widgets. Arguments name
the notebooks (all by default); --no-widgets shows the widgets' pictures and runs nothing; --build names another folder than build.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import site_api
from claim_lines import checked_claims, claims_page, read_notebooks
from course_env import NOTEBOOKS, ROOT, find_notebooks, fixed_environment
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from site_pages import heading, index_table, page, solutions
from site_widgets import digest, package_digest, widget_pages

from edu_seg.claims import claims

SOURCES = ROOT / "scripts" / "site"


def write(path: Path, content: str | bytes) -> None:
    """Writes the file unless it holds just that: Sphinx makes a page again when its source is newer."""
    data = content.encode() if isinstance(content, str) else content
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def remove_all_but(folder: Path, kept: set[Path]) -> None:
    """Removes files of an earlier build that this one has not written."""
    for path in folder.rglob("*"):
        if path.is_file() and path not in kept and ".doctrees" not in path.parts:
            path.unlink()


class Stage:
    """The folder that Sphinx builds from; it forgets what is not put into it this time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: set[Path] = set()

    def put(self, name: str, content: str | bytes) -> None:
        write(self.folder / name, content)
        self.written.add(self.folder / name)

    def close(self) -> None:
        remove_all_but(self.folder, self.written)


def solved(path: Path) -> dict[str, str]:
    """The answers to a notebook's exercises, as far as notebooks/solutions has them."""
    solution = path.parent / "solutions" / path.name
    return solutions(nbformat.read(solution, as_version=4)) if solution.is_file() else {}


def stage(paths: Sequence[Path], build: Path, with_widgets: bool) -> Path:
    """Puts together what Sphinx builds from, in build/site_sources. Raises ValueError for claims that no output reports."""
    staged = Stage(build / "site_sources")
    notebooks = read_notebooks(paths)
    checked = checked_claims(claims().values(), notebooks)
    for source in SOURCES.rglob("*"):
        if source.is_file() and source.name != "index.md" and "__pycache__" not in source.parts:
            staged.put(source.relative_to(SOURCES).as_posix(), source.read_bytes())
    index = (SOURCES / "index.md").read_text(encoding="utf-8")
    staged.put("index.md", index.replace("{notebooks}", index_table(notebooks)))
    staged.put("claims.md", claims_page(checked, {name: heading(notebook) for name, notebook in notebooks.items()}))
    for name, text in site_api.pages().items():
        staged.put(f"api/{name}", text)
    package = package_digest() if with_widgets else ""
    for path in paths:
        widgets = widget_pages(path, build / "widgets", package) if with_widgets else {}
        for name in widgets.values():
            staged.put(f"extra/widgets/{name}", (build / "widgets" / name).read_bytes())
        stage_notebook(staged, path, notebooks, [line for line in checked if line.claim.notebook == path.stem], widgets)
    staged.close()
    return staged.folder


def stage_notebook(staged: Stage, path: Path, notebooks: dict[str, NotebookNode], checked: list, widgets: dict[int, str]) -> None:
    def save(name: str, png: bytes) -> None:
        staged.put(f"extra/figures/{name}", png)

    shown = page(notebooks[path.stem], set(notebooks), checked, widgets, solved(path), save)
    staged.put(f"notebooks/{path.name}", nbformat.writes(shown))


def build_pages(sources: Path, target: Path) -> int:
    """Runs Sphinx; any warning is an error. Returns its exit code."""
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-d", str(sources / ".doctrees")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([*command, str(sources), str(target)], cwd=ROOT, env=environment, check=False).returncode


def start_anew_if_changed(sources: Path, target: Path) -> None:
    """Removes all that was built with other settings, templates or package: Sphinx would keep pages whose own source is the same."""
    paths = [path for path in sorted(SOURCES.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    key, record = digest([package_digest().encode(), *(path.read_bytes() for path in paths)]), sources / ".doctrees" / "key"
    if not record.is_file() or record.read_text() != key:
        shutil.rmtree(target, ignore_errors=True)
        shutil.rmtree(record.parent, ignore_errors=True)
        write(record, key)


def remove_old(sources: Path, target: Path) -> None:
    """Sphinx never removes what is there no longer."""
    for path in (target / "notebooks").glob("*.html"):
        if not (sources / "notebooks" / f"{path.stem}.ipynb").is_file():
            path.unlink()
    for folder in ("figures", "widgets"):
        now = {path.name for path in (sources / "extra" / folder).glob("*")}
        for path in (target / folder).glob("*"):
            if path.name not in now:
                path.unlink()


def folder_size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="*", type=Path, help="the notebooks to show [default: all of notebooks/]")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="the folder that holds the site and what it is made from")
    parser.add_argument("--no-widgets", action="store_true", help="run no notebook; show the widgets' stored pictures")
    given = parser.parse_args(arguments)
    paths = sorted(path.resolve() for path in given.notebooks) or [path for path in find_notebooks() if path.parent == NOTEBOOKS]
    build = given.build.resolve()
    try:
        sources = stage(paths, build, not given.no_widgets)
    except (CellExecutionError, CellTimeoutError, DeadKernelError, FileNotFoundError, ValueError) as error:
        print(f"no site: {error}", file=sys.stderr)
        return 1
    start_anew_if_changed(sources, build / "site")
    if code := build_pages(sources, build / "site"):
        return code
    remove_old(sources, build / "site")
    shutil.rmtree(build / "site" / ".doctrees", ignore_errors=True)
    where = os.path.relpath(build / "site" / "index.html")
    print(f"{where}: {len(paths)} notebooks, {folder_size(build / 'site') / 1e6:.1f} MB; open it in a browser")
    return 0


if __name__ == "__main__":
    os.environ.update(fixed_environment())
    for name in set(os.environ) - set(fixed_environment()):
        del os.environ[name]
    sys.exit(main(sys.argv[1:]))
