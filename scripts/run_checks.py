"""`make test`: style, types, then unit tests and notebooks in one pytest run, whose summary ends the output.

Every part runs even where an earlier one fails; the exit status is that of the first failure. Arguments go to pytest
(`make test ARGS="-k metrics"`); `--lint` alone runs style and types.
"""

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
NO_NOTEBOOKS = 5  # what pytest returns where it collects nothing


def pytest_arguments(extra: Sequence[str] = ()) -> list[str]:
    """Unit tests with shapes checked, every notebook compared with its stored outputs, and the ten slowest of all."""
    compare = ["--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}", "--nbval-sanitize-with=tests/nbval_sanitize.cfg"]
    return ["pytest", "tests", "notebooks", *compare, "--durations=10", *extra]


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
    """The status of pytest. No notebook at all is a failure as well: pytest itself would pass with the unit tests alone."""
    print("== unit tests and notebooks (pytest, nbval)", flush=True)
    status = {} if find_notebooks() else {f"no notebook in {NOTEBOOKS.name}/": NO_NOTEBOOKS}
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
