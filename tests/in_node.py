"""A widget's arithmetic in JavaScript, run by node without a browser."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from edu_seg.widgets.base import FOLDER

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node on the PATH: the browser's arithmetic is run by it")


def node(script: str, data: object, folder: Path) -> Any:
    """What the script prints as JSON; `data` stands for what it was given."""
    path = folder / "script.mjs"
    path.write_text(f'import {{ readFileSync }} from "fs";\nconst data = JSON.parse(readFileSync(0, "utf8"));\n{script}')
    done = subprocess.run(["node", str(path)], input=json.dumps(data), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_modules(scripts: Sequence[str], folder: Path) -> Path:
    """The scripts in `folder` as modules that import each other."""
    for name in scripts:
        text = (FOLDER / name).read_text(encoding="utf-8").replace('.js";', '.mjs";')
        (folder / name.replace(".js", ".mjs")).write_text(text, encoding="utf-8")
    return folder
