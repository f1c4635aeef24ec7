"""The package's floors: a module imports only from below, so that no circle can arise and a reader can start at the ground.

The table is data; the imports are read with `ast`, those inside functions included. A module that the table does not know is an error.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from course_env import ROOT

PACKAGE = ROOT / "edu_seg"

FLOORS = (
    ("geometry", "files"),
    ("receptive_field", "gridding", "conv_matrix", "upsampling", "metrics", "losses", "claims", "datasets", "objects", "tiling", "costs"),
    ("layers", "surgery", "crf", "proposals", "object_crops", "border_weights"),
    ("backbones",),
    ("models",),
    ("training", "inference"),
    ("figures", "widgets", "exercises"),
    ("presets", "results", "catalogue", "prediction", "__main__"),
)
ORDERED = {6, 7}  # on these floors a module may also import from those to its left

# Inside a folder a module imports only from those to its left; the folder's __init__ stands at the far right.
FOLDERS = {
    "datasets": (
        "files",
        "colours",
        "pairs",
        "painting",
        "scenes",
        "shapes",
        "camvid",
        "voc",
        "sbd",
        "cityscapes",
        "ade20k",
        "class_table",
        "folder",
        "transforms",
        "published",
        "fetching",
        "unpacking",
        "checking",
    ),
    "receptive_field": (
        "relations",
        "graph",
        "tracing",
        "building",
        "pointwise",
        "windows",
        "resizing",
        "products",
        "forms",
        "operations",
        "fields",
        "measured",
        "effective",
    ),
    "crf": ("simplex", "permutohedral", "filters", "kernels", "unaries", "energy", "in_place", "mean_field", "fitting"),
    "backbones": ("pretrained", "trunk", "vgg", "alexnet", "googlenet", "drn", "resnet", "densenet", "dilated"),
    "models": ("fcn", "deconvnet", "segnet", "unet", "dilation", "drn", "deeplab", "pspnet", "crf_rnn"),
    "training": (
        "optimisation",
        "randomness",
        "checkpoints",
        "run_folder",
        "pictures",
        "loading",
        "profiling",
        "machine",
        "evaluation",
        "loop",
    ),
    "figures": (
        "numbers",
        "base",
        "labels",
        "charts",
        "upsampling",
        "fields",
        "dense",
        "convolutions",
        "dilation",
        "crf",
        "context",
        "decoders",
        "backbones",
        "boards",
        "training",
    ),
    "surgery": ("tracing", "pools", "heads", "strides", "stitching"),
    "widgets": (
        "base",
        "net_viewer",
        "score_painter",
        "rf_stack",
        "rf_data",
        "rf_explorer",
        "stitch_lab",
        "conv_lab",
        "grid_lab",
        "crf_steps",
        "crf_lab",
        "aspp_lab",
        "decoder_lab",
        "cost_lab",
        "board_lab",
    ),
    "presets": ("specs", "papers", "scenes", "small"),
    "exercises": ("checking", "notebooks", "records", "overview", *(f"notebook_{number:02d}" for number in range(12))),
}
FLOOR_OF = {name: (floor, place) for floor, names in enumerate(FLOORS) for place, name in enumerate(names)}


def module_name(path: Path, package: Path) -> str:
    """`datasets/files.py` -> "datasets.files", `datasets/__init__.py` -> "datasets", the package's own `__init__.py` -> ""."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unknown(module: str) -> bool:
    top, *rest = module.split(".")
    return top not in FLOOR_OF or len(rest) > 1 or (bool(rest) and rest[0] not in FOLDERS.get(top, ()))


def may_import(importer: str, imported: str) -> bool:
    """Whether the table lets `importer` import `imported`; both are known to it."""
    (top, *rest), (other_top, *other_rest) = importer.split("."), imported.split(".")
    if top == other_top:
        order = FOLDERS[top]
        place = order.index(rest[0]) if rest else len(order)
        return bool(other_rest) and order.index(other_rest[0]) < place
    (floor, place), (other_floor, other_place) = FLOOR_OF[top], FLOOR_OF[other_top]
    return other_floor < floor or (other_floor == floor and floor in ORDERED and other_place < place)


def imported_names(tree: ast.AST, module: str, is_folder: bool, package: str) -> set[str]:
    """Full dotted names of all that is imported, relative imports resolved; `from a import b` gives both "a" and "a.b"."""
    parts = [package, *module.split(".")] if module else [package]
    here = parts if is_folder or not module else parts[:-1]
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join([*here[: len(here) + 1 - node.level], node.module or ""]).strip(".") if node.level else node.module or ""
            names |= {f"{base}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names |= {ast.literal_eval(argument) for argument in node.args[:1] if isinstance(argument, ast.Constant)}
    return names


def resolve(name: str, package: str, modules: set[str]) -> str | None:
    """The module of this package that `name` stands for ("" for the package itself), or None where it is another package's."""
    if name != package and not name.startswith(package + "."):
        return None
    inner = name.removeprefix(package).removeprefix(".")
    if inner in modules:
        return inner
    return inner.rpartition(".")[0]


def problems(package: Path) -> list[str]:
    """Every import that the table forbids, and every module that it does not know."""
    paths = {module_name(path, package): path for path in sorted(package.rglob("*.py"))}
    found = [f"{module} is not in the table of floors" for module in paths if module and unknown(module)]
    for module, path in paths.items():
        if not module or unknown(module):
            continue
        names = imported_names(ast.parse(path.read_text(encoding="utf-8")), module, path.name == "__init__.py", package.name)
        for target in sorted({target for name in names if (target := resolve(name, package.name, set(paths))) is not None}):
            if target == "" or unknown(target) or not may_import(module, target):
                found.append(f"{module} imports {target or 'the package itself'}")
    return found


def test_every_import_goes_down() -> None:
    assert problems(PACKAGE) == []


def test_the_package_is_read_at_all() -> None:
    modules = {module_name(path, PACKAGE) for path in PACKAGE.rglob("*.py")}
    assert {"geometry", "metrics", "models", "models.fcn"} <= modules


def made_up(folder: Path, files: dict[str, str]) -> Path:
    package = folder / "edu_seg"
    for name, text in ({"__init__.py": ""} | files).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return package


GROUND = {"geometry.py": "", "metrics.py": "", "losses.py": "", "models/__init__.py": "", "models/fcn.py": "", "models/unet.py": ""}
FORBIDDEN = {
    "up": ({"metrics.py": "from edu_seg.models import build"}, "metrics imports models"),
    "up, relative": ({"metrics.py": "from . import models"}, "metrics imports models"),
    "up, to a module": ({"metrics.py": "from edu_seg.models import fcn"}, "metrics imports models.fcn"),
    "up, relative, from a folder": ({"models/fcn.py": "from ..training import fit", "training.py": ""}, "models.fcn imports training"),
    "up, inside a function": ({"metrics.py": "def f():\n    import edu_seg.models.fcn"}, "metrics imports models.fcn"),
    "up, for types only": (
        {"metrics.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from edu_seg.models import fcn"},
        "metrics imports models.fcn",
    ),
    "up, by name": ({"metrics.py": "import importlib\nm = importlib.import_module('edu_seg.models')"}, "metrics imports models"),
    "the same floor": ({"metrics.py": "import edu_seg.losses"}, "metrics imports losses"),
    "to the right": ({"models/fcn.py": "from edu_seg.models.unet import UNet"}, "models.fcn imports models.unet"),
    "its own folder": ({"models/fcn.py": "from edu_seg.models import build"}, "models.fcn imports models"),
    "its own folder, relative": ({"models/fcn.py": "from . import build"}, "models.fcn imports models"),
    "the package": ({"metrics.py": "from edu_seg import __version__"}, "metrics imports the package itself"),
    "the package, plainly": ({"metrics.py": "import edu_seg"}, "metrics imports the package itself"),
    "figures from widgets": ({"figures.py": "from edu_seg import widgets", "widgets/__init__.py": ""}, "figures imports widgets"),
    "something missing": ({"metrics.py": "from edu_seg.nowhere import x"}, "metrics imports nowhere"),
    "an unknown module": ({"helpers.py": ""}, "helpers is not in the table of floors"),
    "an unknown module in a folder": ({"models/helpers.py": ""}, "models.helpers is not in the table of floors"),
    "a folder in a folder": ({"models/fcn/deep.py": ""}, "models.fcn.deep is not in the table of floors"),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_forbidden_import_is_found(case: str, tmp_path: Path) -> None:
    files, problem = FORBIDDEN[case]
    assert problems(made_up(tmp_path, GROUND | files)) == [problem]


ALLOWED = {
    "metrics.py": "import torch\nfrom edu_seg.geometry import output_size\nfrom edu_segments import x",
    "models/fcn.py": "from .. import metrics\nfrom edu_seg import geometry, losses",
    "models/unet.py": "from edu_seg.models.fcn import FCN\nfrom .fcn import FCN",
    "models/__init__.py": "from . import fcn\nfrom edu_seg.models.unet import UNet",
    "figures.py": "from edu_seg.models import build",
    "widgets/__init__.py": "from edu_seg import figures",
    "__main__.py": "from edu_seg import presets, widgets",
    "presets.py": "",
}


def test_imports_from_below_and_from_the_left_pass(tmp_path: Path) -> None:
    assert problems(made_up(tmp_path, GROUND | ALLOWED)) == []


# --- the same table in the README -----------------------------------------------------------------------------------------------

README = (ROOT / "README.md").read_text(encoding="utf-8")


def printed_floors(page: str) -> tuple[tuple[str, ...], ...]:
    """The modules in code marks of each row of the README's table of floors; raises ValueError where its numbers do not count up from 0."""
    rows = re.findall(r"^\| (\d+) \| (`.*) \|$", page.partition("| floor | modules |")[2].partition("\n\n")[0], re.MULTILINE)
    if [int(number) for number, _ in rows] != list(range(len(rows))):
        raise ValueError(f"the README numbers its floors {', '.join(number for number, _ in rows)}")
    return tuple(tuple(re.findall(r"`([^`]+)`", names.replace("`python -m edu_seg`", "`__main__`"))) for _, names in rows)


def test_the_readme_has_the_same_floors() -> None:
    assert printed_floors(README) == FLOORS


def test_another_table_is_noticed() -> None:
    table = "| floor | modules |\n|---|---|\n| 0 | `a`, `b` |\n| 1 | `python -m edu_seg`, the notebooks |\n\n| 2 | `c` |\n"
    assert printed_floors(table) == (("a", "b"), ("__main__",))
    with pytest.raises(ValueError, match="numbers its floors 0, 2"):
        printed_floors(table.replace("| 1 |", "| 2 |"))


HEAVY = ("matplotlib", "ipywidgets", "torchvision", "anywidget", "accelerate")


def heavy_imports(statement: str) -> set[str]:
    """The packages of HEAVY that are loaded after `statement` in a fresh interpreter."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_is_light() -> None:
    assert heavy_imports("import edu_seg") == set()


def test_a_heavy_import_is_noticed() -> None:
    assert heavy_imports("import sys, edu_seg; sys.modules['matplotlib'] = sys") == {"matplotlib"}
