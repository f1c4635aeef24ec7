"""Where things are, and the environment that Jupyter runs in: the same for `make lab`, `make test` and `make notebooks`.

Only the standard library: the set-up imports it before anything is installed.
"""

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
NOTEBOOKS = ROOT / "notebooks"
FIRST_NOTEBOOK = NOTEBOOKS / "00_start_here.ipynb"

# A sum over two threads rounds differently from a sum over one, and training carries the difference into the printed scores.
# One thread is what every machine has; on a busy machine it is also several times faster than two.
THREADS = 1


def jupyter_environment(state: Path = VENV / "jupyter", base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables `base` with Jupyter, IPython and matplotlib kept in the folder `state`, away from the user's own settings.

    A setting from elsewhere (a start-up file, another kernel called python3, a matplotlibrc, a server without a token) would
    change what the notebooks show; and the course leaves nothing behind outside its folder.
    """
    unwanted = {
        "MPLBACKEND",
        "PYTHONDONTWRITEBYTECODE",
        "MATPLOTLIBRC",
        "JUPYTER_PATH",
        "JUPYTER_TOKEN",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
    }
    return {name: value for name, value in base.items() if name not in unwanted} | {
        "IPYTHONDIR": str(state / "ipython"),
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_CONFIG_PATH": str(ROOT / "jupyter"),
        "JUPYTER_DATA_DIR": str(state / "data"),
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_RUNTIME_DIR": str(state / "runtime"),
        "MPLCONFIGDIR": str(state / "matplotlib"),
        "PATH": os.pathsep.join([str(VENV / "bin"), base.get("PATH", os.defpath)]),
    }


def fixed_environment(state: Path = VENV / "jupyter", base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """`jupyter_environment` with the number of threads fixed, so that a notebook computes the same numbers each time it runs.

    The learner's progress is neither read nor written: a stored output shows a course that nobody has begun.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return jupyter_environment(state, base) | dict.fromkeys(names, str(THREADS)) | {"EDU_SEG_PROGRESS": ""}


def find_notebooks(folder: Path = NOTEBOOKS) -> list[Path]:
    """All notebooks below `folder` in the order of their names, without the editor's copies in hidden folders."""
    inside = (path for path in folder.rglob("*.ipynb") if not any(part.startswith(".") for part in path.relative_to(folder).parts))
    return sorted(inside)
