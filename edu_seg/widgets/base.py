"""What all widgets share: a front end from a file, a `repr` that is the same every time, a still picture for where nothing is alive, and
a page of its own that needs neither kernel nor network."""

import html
import json
import re
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from edu_seg.figures import img_tag

FOLDER = Path(__file__).parent


def bundle(*names: str) -> str:
    """Several JavaScript files of this folder as one module, in the order given; what they import from each other is then at hand.

    Only the last keeps its exports. Each name may stand in one file only.
    """
    parts = [re.sub(r"^import [^;]* from \"\./[\w.]+\";\n", "", (FOLDER / name).read_text(encoding="utf-8"), flags=re.M) for name in names]
    return "\n".join([*(re.sub(r"^export ", "", part, flags=re.M) for part in parts[:-1]), parts[-1]])


class CourseWidget(anywidget.AnyWidget):
    """An anywidget over `data` (a dict that is sent once). `poster` (PNG) and `alt` stand in where no front end or kernel runs."""

    _esm: Any
    _css = FOLDER / "style.css"
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, data: dict[str, Any], poster: bytes, alt: str, **traits: Any) -> None:
        super().__init__(data=data, **traits)
        self._poster, self._alt = poster, alt

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self._alt}"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**bundle, "text/plain": repr(self), "text/html": img_tag(self._poster, self._alt)}, metadata

    def to_html(self, title: str | None = None) -> str:
        """One page that holds the widget's front end and data: it works without a kernel and without a network."""
        usual = set(anywidget.AnyWidget.class_trait_names())
        state = {name: getattr(self, name) for name in self.trait_names(sync=True) if name not in usual and not name.startswith("_")}
        code = re.sub(r"^export (default )?", lambda found: "const widget = " if found[1] else "", str(self._esm), flags=re.M)
        return PAGE.format(
            title=html.escape(title or type(self).__name__),
            alt=html.escape(self._alt),
            css=str(self._css),
            state=json.dumps(state, separators=(",", ":")).replace("<", "\\u003c"),
            code=code.replace("</script", "<\\/script"),
        )

    def export(self, path: str | Path, title: str | None = None) -> Path:
        """Writes `to_html` to a file, and returns its path. Raises FileNotFoundError where its folder does not exist."""
        path = Path(path)
        if not path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}: make it first")
        path.write_text(self.to_html(title), encoding="utf-8")
        return path


PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0 auto; padding: 8px; background: #fff; }}
{css}
</style>
</head>
<body>
<main id="widget"></main>
<noscript>{alt}</noscript>
<script type="application/json" id="state">{state}</script>
<script type="module">
{code}
const state = JSON.parse(document.getElementById("state").textContent);
const set = (name, value) => {{ state[name] = value; }};
const model = {{ get: (name) => state[name], set, save_changes() {{}}, on() {{}}, off() {{}} }};
widget.render({{ model, el: document.getElementById("widget") }});
</script>
</body>
</html>
"""
