"""What all widgets share: a front end from a file, a `repr` that is the same every time, and a still picture for where nothing is alive."""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from edu_seg.figures import img_tag

FOLDER = Path(__file__).parent


class CourseWidget(anywidget.AnyWidget):
    """An anywidget over `data` (a dict that is sent once). `poster` (PNG) and `alt` stand in where no front end or kernel runs."""

    _css = FOLDER / "style.css"
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, data: dict[str, Any], poster: bytes, alt: str) -> None:
        super().__init__(data=data)
        self._poster, self._alt = poster, alt

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self._alt}"

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**bundle, "text/plain": repr(self), "text/html": img_tag(self._poster, self._alt)}, metadata
