"""The built wheel, used from another folder: everything the package needs is in it, and a missing extra is named."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import edu_seg

ROOT = Path(__file__).parents[1]


def run_python(code: str, folder: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "MPLBACKEND": "agg"}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no build folder is left in the repository."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT / "edu_seg", copy / "edu_seg", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT"):
        shutil.copy(ROOT / name, copy)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(copy)]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return next(out.glob("*.whl"))


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    kept = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("edu_seg/")}
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "edu_seg").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert kept == ours
    assert {"edu_seg/py.typed", "edu_seg/claims.toml", "edu_seg/widgets/style.css"} <= kept


def test_the_wheel_works_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        "import edu_seg\n"
        "from edu_seg import claims, exercises\n"
        "from edu_seg.widgets import GridLab\n"
        "page = GridLab((1, 2, 5)).to_html()\n"
        "print(edu_seg.__file__, edu_seg.__version__, len(claims.claims()) > 80, len(exercises.EXERCISES) > 40, '<script' in page)\n"
    )
    result = run_python(code, elsewhere, site)
    assert result.returncode == 0, result.stderr
    file, number, *rest = result.stdout.split()
    assert Path(file).parent == site / "edu_seg"
    assert number == edu_seg.__version__ == version("edu_seg")
    assert rest == ["True"] * 3


@pytest.mark.parametrize(
    ("missing", "module", "advice"),
    [
        ("accelerate", "edu_seg.training", "training needs accelerate and tqdm: pip install 'edu_seg[train]'"),
        ("tyro", "edu_seg.__main__", "the commands need tyro: pip install 'edu_seg[train]'"),
        ("IPython", "edu_seg.figures", "figures are shown by IPython: pip install 'edu_seg[lab]'"),
        ("anywidget", "edu_seg.widgets", "widgets need anywidget: pip install 'edu_seg[lab]'"),
    ],
)
def test_a_missing_extra_is_named(missing: str, module: str, advice: str, tmp_path: Path) -> None:
    code = f"""
import importlib.util, sys
there = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == {missing!r} else there(name, package)
sys.modules[{missing!r}] = None
import {module}
"""
    result = run_python(code, tmp_path)
    assert result.returncode != 0
    assert result.stderr.strip().endswith(advice)
