"""Opens the course in JupyterLab: its folder as the root, the first notebook in front, the token on. Arguments go to JupyterLab."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from course_env import FIRST_NOTEBOOK, ROOT, jupyter_environment


def lab_command(notebook: Path = FIRST_NOTEBOOK, root: Path = ROOT, arguments: Sequence[str] = ()) -> list[str]:
    """The command that opens `notebook`, run from the folder `root`. Raises FileNotFoundError where there is no such notebook."""
    if not notebook.is_file():
        raise FileNotFoundError(f"{notebook} is missing: the clone is not complete (git status shows what was removed).")
    # The notebook as the server's own first page: so the address that it prints leads there too, where no browser can be opened.
    first_page = f"/lab/tree/{notebook.relative_to(root).as_posix()}"
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={root}", f"--LabApp.default_url={first_page}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # without it the server refuses to start for root, as in most containers
    return [*command, *arguments]


def main() -> None:
    try:
        command = lab_command(arguments=sys.argv[1:])
    except FileNotFoundError as error:
        sys.exit(str(error))
    os.chdir(ROOT)
    os.execve(command[0], command, jupyter_environment())  # in place of this process, so that Ctrl-C reaches the server alone


if __name__ == "__main__":
    main()
