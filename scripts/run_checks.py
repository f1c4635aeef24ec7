"""`make test`: style, types, tests that need a browser, then unit tests and notebooks, by two processes; pytest's summary ends the output.

Every part runs even where an earlier one fails; the exit status is that of the first failure. Arguments go to pytest
(`make test ARGS="-k metrics"`); `--lint` alone runs style and types.
"""

import os
import subprocess
import sys
from collections.abc import Sequence

from course_env import NOTEBOOKS, ROOT, find_notebooks, fixed_environment

LINT = {
    "style (ruff check)": ["ruff", "check", "."],
    "format (ruff format)": ["ruff", "format", "--check", "."],
    "types (basedpyright)": ["basedpyright"],
}
CELL_TIMEOUT = 180  # seconds; nbval waits so long for a kernel that died, and without a limit for more than half an hour
PROCESSES = min(2, os.cpu_count() or 1)  # each keeps to one thread, as the notebooks do
NOTHING = NO_NOTEBOOKS = 5  # what pytest returns where it collects nothing


def pytest_arguments(extra: Sequence[str] = ()) -> list[str]:
    """Unit tests with shapes checked, every notebook compared with its stored outputs, and the ten slowest of all.

    A file or a notebook stays with the process that began it.
    """
    compare = ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}", "--nbval-sanitize-with=tests/nbval_sanitize.cfg"]
    parallel = [f"--numprocesses={PROCESSES}", "--dist=loadfile"]
    return ["pytest", "tests", "notebooks", "-m", "not browser", *compare, *parallel, "--durations=10", *extra]


def run(arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=fixed_environment(), stdin=subprocess.DEVNULL, check=False).returncode


def lint() -> dict[str, int]:
    """The status of each static check, by name."""
    status = {}
    for name, arguments in LINT.items():
        print(f"== {name}", flush=True)
        status[name] = run(arguments)
    return status


def run_pytest(extra: Sequence[str]) -> dict[str, int]:
    """The status of pytest. No notebook at all is a failure as well: pytest itself would pass with the unit tests alone.

    Browsers have the machine to themselves: a page that waits for its turn answers late.
    """
    print("== browser tests (pytest)", flush=True)
    browsers = run(["pytest", "tests", "-m", "browser", "--durations=5", *extra])
    print("== unit tests and notebooks (pytest, nbval)", flush=True)
    status = {} if find_notebooks() else {f"no notebook in {NOTEBOOKS.name}/": NO_NOTEBOOKS}
    status["browser tests (pytest)"] = 0 if extra and browsers == NOTHING else browsers
    return status | {"unit tests and notebooks (pytest)": run(pytest_arguments(extra))}


def main(arguments: Sequence[str]) -> int:
    status = lint()
    if "--lint" not in arguments:
        status |= run_pytest(arguments)
    failed = [name for name, code in status.items() if code != 0]
    if failed:
        print(f"FAILED: {', '.join(failed)}", file=sys.stderr)
    return next((status[name] for name in failed), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
