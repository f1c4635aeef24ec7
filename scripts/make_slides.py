"""`make slides` and `make handout`: a deck for each notebook, in build/slides, that opens from disk with the network off.

The slides come from the stored notebooks (see `deck.py`), so nothing is run. reveal.js, with its speaker's view, is the copy that the
package sphinx-revealjs brings; it is put beside the decks. Widgets are live where `make site` has written their pages to build/widgets;
elsewhere their picture stands. The handout has two slides a page and the lecturer's notes below them; Chromium, where there is one, prints
it to PDF. Arguments name the notebooks; without any, all are made.
"""

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from chromium import FLAGS, find_chromium
from course_env import NOTEBOOKS, ROOT
from deck import Deck, read_deck
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pygments.formatters import HtmlFormatter

TEMPLATES = Path(__file__).parent / "slides"
OUT = ROOT / "build" / "slides"
PAGES = ROOT / "build" / "widgets"
REVEAL_PARTS = (
    "LICENSE",
    "dist/reset.css",
    "dist/reveal.css",
    "dist/reveal.js",
    "dist/theme/fonts/source-sans-pro",
    "plugin/notes/notes.js",
)
PRINT_TIMEOUT = 300  # seconds


def reveal_folder() -> Path:
    """reveal.js in the installed sphinx-revealjs. Raises FileNotFoundError where that is not installed."""
    found = importlib.util.find_spec("sphinx_revealjs")
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError("sphinx-revealjs, which brings reveal.js, is not installed: run `make setup`")
    return Path(found.submodule_search_locations[0]) / "_static" / "revealjs"


def alt(tag: str) -> str:
    """The alternative text of an `img` tag, as it stands in it."""
    found = re.search(r'\balt="([^"]*)"', tag)
    return found[1] if found else ""


def environment() -> Environment:
    """The templates. Nothing is escaped in them: texts are HTML already."""
    found = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.globals["alt"] = alt
    return found


def copy_assets(out: Path, pages: Path) -> None:
    """What the decks load: reveal.js, style sheets, scripts, the widgets' pages."""
    for name in REVEAL_PARTS:
        source, target = reveal_folder() / name, out / "reveal" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target, dirs_exist_ok=True) if source.is_dir() else shutil.copy(source, target)
    for source in (*TEMPLATES.glob("*.css"), *TEMPLATES.glob("*.js")):
        shutil.copy(source, out)
    (out / "code.css").write_text(HtmlFormatter(style="default").get_style_defs(".highlight"), encoding="utf-8")
    (out / "widgets").mkdir(exist_ok=True)
    for source in pages.glob("*.html"):
        shutil.copy(source, out / "widgets")


def print_pdf(page: Path, chromium: str) -> Path:
    """Prints an HTML file to a PDF beside it. Raises CalledProcessError or TimeoutExpired where the browser fails."""
    target = page.with_suffix(".pdf")
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, "--headless", *FLAGS, f"--user-data-dir={profile}", "--no-pdf-header-footer", f"--print-to-pdf={target}"]
        subprocess.run([*command, page.as_uri()], check=True, timeout=PRINT_TIMEOUT, capture_output=True)
    return target


def readable_decks(paths: Sequence[Path], out: Path = OUT, pages: Path = PAGES) -> list[Deck]:
    """The decks of those notebooks whose slides are in order, made; what is wrong with the others goes to stderr."""
    decks = []
    for path in paths:
        try:
            decks += make_decks([path], out, pages)
        except ValueError as error:
            print(f"no deck: {error}", file=sys.stderr)
    return decks


def make_decks(paths: Sequence[Path], out: Path = OUT, pages: Path = PAGES) -> list[Deck]:
    """Writes NN.html and NN-handout.html for each notebook into `out`, and beside them what they load."""
    out.mkdir(parents=True, exist_ok=True)
    copy_assets(out, pages)
    templates, decks = environment(), [read_deck(path, pages) for path in paths]
    for deck in decks:
        for name, template in ((f"{deck.number}.html", "deck.html.j2"), (f"{deck.number}-handout.html", "handout.html.j2")):
            (out / name).write_text(templates.get_template(template).render(deck=deck), encoding="utf-8")
    return decks


def write_index(decks: Sequence[Deck], out: Path = OUT) -> None:
    listed = []
    for deck in decks:
        names = {"HTML": f"{deck.number}-handout.html", "PDF": f"{deck.number}-handout.pdf"}
        listed.append((deck, [(kind, name) for kind, name in names.items() if (out / name).is_file()]))
    (out / "index.html").write_text(environment().get_template("index.html.j2").render(decks=listed), encoding="utf-8")


def print_handouts(decks: Sequence[Deck], out: Path = OUT) -> None:
    chromium = find_chromium()
    if chromium is None:
        print("No Chromium on the PATH: open the handouts (HTML) in a browser and print them from there, on A4.")
        return
    for deck in decks:
        print(print_pdf(out / f"{deck.number}-handout.html", chromium).relative_to(out.parent.parent), flush=True)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Make the decks of the course.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all")
    parser.add_argument("--handout", action="store_true", help="print the handouts to PDF as well")
    options = parser.parse_args(arguments)
    paths = options.notebooks or sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    decks = readable_decks(paths)
    if options.handout:
        print_handouts(decks)
    write_index(decks)
    for deck in decks:
        print(f"build/slides/{deck.number}.html: {len(deck.slides)} slides, {deck.minutes:g} minutes")
    print("Open build/slides/index.html in a browser.")
    return int(len(decks) < len(paths))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
