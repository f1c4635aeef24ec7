"""The reference of the package: which pages there are, in the order of its floors, from the ground up."""

import ast
from pathlib import Path

from course_env import ROOT

PACKAGE = ROOT / "edu_seg"
TABLE = ROOT / "tests" / "test_structure.py"  # where the order of the floors is kept, and tested
TITLES = (
    "The ground",
    "Measures, data and arithmetic",
    "Parts of networks",
    "Backbones",
    "Models",
    "Training and inference",
    "Pictures, widgets and exercises",
    "Ready to use",
)
WITHOUT_PAGE = ("notebook_",)  # exercises' answers are no reference


def floors() -> dict[str, tuple[str, ...]]:
    """Title -> modules of each floor, from the ground up. Raises ValueError unless there is a title for each floor."""
    tree = ast.parse(TABLE.read_text(encoding="utf-8"))
    table = next(node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS")
    return dict(zip(TITLES, ast.literal_eval(table), strict=True))


def modules(name: str) -> list[str]:
    """Dotted names of a module, or of a folder and all that is in it."""
    folder = PACKAGE / name
    inner = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith(("__", *WITHOUT_PAGE))) if folder.is_dir() else []
    return [f"edu_seg.{name}", *(f"edu_seg.{name}.{part}" for part in inner)]


def title(module: str) -> str:
    return "The command line" if module.endswith("__main__") else f"`{module}`"


def directive(module: str) -> str:
    members = "" if (PACKAGE / module.removeprefix("edu_seg.")).is_dir() else ":members:\n"
    return f"```{{eval-rst}}\n.. automodule:: {module}\n   {members}```".replace("\n   ```", "\n```")


def page(name: str) -> str:
    """The page of a module; a folder's modules are its parts."""
    first, *others = modules(name)
    parts = [f"# {title(first)}", directive(first)]
    for other in others:
        parts += [f"## {title(other)}", directive(other)]
    return "\n\n".join(parts) + "\n"


def index() -> str:
    parts = ["# The package", INTRODUCTION]
    for floor, names in floors().items():
        entries = "\n".join(page_name(name) for name in names)
        parts += [f"## {floor}", f"```{{toctree}}\n:maxdepth: 1\n\n{entries}\n```"]
    return "\n\n".join(parts) + "\n"


def page_name(name: str) -> str:
    return name.strip("_")


INTRODUCTION = """`edu_seg` is built in floors: a module imports only from those below it. The list begins at the ground.
Shapes stand in the signatures: `Float[Tensor, "N 3 H W"]` is a batch of N images; K is the number of classes."""


def pages() -> dict[str, str]:
    """File name -> text, of all pages of the reference."""
    names = [name for floor in floors().values() for name in floor]
    return {"index.md": index()} | {f"{page_name(name)}.md": page(name) for name in names}


def documented() -> set[str]:
    return {module for floor in floors().values() for name in floor for module in modules(name)}


def all_modules() -> set[str]:
    """Every module of the package that ought to be on a page."""
    paths: list[Path] = [path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"]
    parts = (path.relative_to(PACKAGE).with_suffix("").parts for path in paths if not path.stem.startswith(WITHOUT_PAGE))
    return {".".join(("edu_seg", *(part for part in name if part != "__init__"))) for name in parts}
