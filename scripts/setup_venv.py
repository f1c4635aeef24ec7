"""Builds .venv with the pinned set of constraints.txt, once; a later call with the same pins returns at once.

Only the standard library: it runs before anything is installed. What goes wrong is said in one line; pip's own words are kept in
.venv/install.log. Two files inside .venv hold the state: MARKER is there while pip works, so a call after an interrupted one knows
that packages may be half written and starts afresh; STAMP is written last and names what was installed.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the one place that an older Python can reach
    sys.exit("The course needs Python 3.11 or newer; this is {}.{}. Call make PYTHON=/path/to/python3".format(*sys.version_info[:2]))

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from course_env import ROOT, jupyter_environment

STAMP = ".stamp-edu-seg"
MARKER = ".installing"
LOG = "install.log"
PINS = ("pyproject.toml", "constraints.txt")
REQUIREMENTS = ("-c", "constraints.txt", "-e", ".[lab,site,test]")
WARM_UP = "import matplotlib.font_manager, torch, torchvision, edu_seg"

DISK = r"No space left on device|\[Errno 28\]|Disk quota exceeded|\[Errno 122\]|not enough space on the disk"
NETWORK = (
    r"NewConnectionError|ConnectTimeoutError|ReadTimeoutError|ProxyError|ConnectionResetError|name resolution|Name or service not known|"
    r"getaddrinfo failed|nodename nor servname|Network is unreachable|Connection refused|Connection timed out|Remote end closed connection"
)


class SetupError(Exception):
    """The set-up cannot go on; its text is the one line that the reader sees."""


def fingerprint(root: Path, version: str) -> str:
    """What .venv is made from: the pins, the extras, Python's version, and the folder (an editable package points into it)."""
    digest = hashlib.sha256()
    for part in (*((root / name).read_bytes() for name in PINS), " ".join(REQUIREMENTS).encode(), version.encode(), os.fsencode(root)):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def python_version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def venv_python(venv: Path) -> Path:
    return venv / "bin" / "python"


def venv_version(venv: Path) -> str | None:
    """The Python (such as "3.11") that `venv` was made for, or None where it has no working interpreter."""
    config = venv / "pyvenv.cfg"
    if not venv_python(venv).exists() or not config.is_file():
        return None
    found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", config.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else None


def is_ready(root: Path, version: str) -> bool:
    stamp = root / ".venv" / STAMP
    return venv_python(root / ".venv").exists() and stamp.is_file() and stamp.read_text() == fingerprint(root, version)


def explain(output: str, root: Path) -> str:
    """One line that says what `output` (of pip, of venv, or of an OSError) means and what to do."""
    if re.search(DISK, output):
        scratch = Path(tempfile.gettempdir())
        return (
            f"The disk is full: the set-up needs about 6 GB in {root} ({free_space(root)} free) and about 4 GB for a short while "
            f"in {scratch} ({free_space(scratch)} free; TMPDIR names another). Make room, then call make again."
        )
    if "CERTIFICATE_VERIFY_FAILED" in output:
        return "The package index's certificate was refused: set PIP_CERT to your proxy's certificate file, then call make again."
    if "ResolutionImpossible" in output:
        return "The pins contradict each other: pyproject.toml asks for a version that constraints.txt does not allow."
    if re.search(NETWORK, output):
        return "No network: the package index cannot be reached. Connect (or set PIP_INDEX_URL to a mirror), then call make again."
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing:
        return f"pip finds no {missing[1]} for this Python and system: is the package index reachable (PIP_NO_INDEX, PIP_INDEX_URL)?"
    return last_error(output)


def last_error(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|error)\b", line)]
    return (errors or lines or ["It failed without a word."])[-1]


def free_space(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 1e9:.1f} GB"
    except OSError:
        return "unknown"


def run_streamed(command: Sequence[str | Path], root: Path, env: dict[str, str]) -> tuple[int, str]:
    """Runs `command`, returns its status and all it printed; on a terminal, the line it is at is shown meanwhile."""
    lines = []
    with subprocess.Popen(
        command, cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            show_progress(line)
    show_progress("")
    return process.returncode, "".join(lines)


def show_progress(line: str) -> None:
    if sys.stdout.isatty():
        sys.stdout.write("\r\033[K" + line.strip()[:78])
        sys.stdout.flush()


def keep_log(venv: Path, output: str) -> None:
    """Best effort: on a full disk there is no room for the log either, and that must not hide the reason."""
    try:
        (venv / LOG).write_text(output, encoding="utf-8")
    except OSError:
        return


def pip_environment() -> dict[str, str]:
    """The variables for pip: the user's own (index, proxy, certificates) without those that would install somewhere else."""
    unwanted = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT"}
    env = {name: value for name, value in os.environ.items() if name not in unwanted}
    return env | {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PYTHONUTF8": "1"}


def base_python() -> str:
    """The interpreter outside any virtual environment: with .venv active, `python3` is the very one that may be removed."""
    return getattr(sys, "_base_executable", None) or sys.executable


def new_venv(root: Path, python: str) -> None:
    """An empty .venv in place of whatever was there. Without ensurepip (Debian packs it apart) it has no pip of its own."""
    venv = root / ".venv"
    if venv.is_symlink():
        raise SetupError(f"{venv} is a link; the set-up will not remove what it points to. Remove the link, then call make again.")
    if venv.exists():
        shutil.rmtree(venv)
    venv.mkdir()
    (venv / MARKER).touch()
    code, output = run_streamed([python, "-m", "venv", venv], root, pip_environment())
    if code != 0 and not re.search(DISK, output):
        code, output = run_streamed([python, "-m", "venv", "--without-pip", venv], root, pip_environment())
    if code != 0:
        keep_log(venv, output)
        if "No module named" in output:
            raise SetupError(
                f"{python} lacks the module venv: install it (Debian, Ubuntu: apt install python3-venv), then call make again."
            )
        raise SetupError(explain(output, root))


def pip_command(root: Path, python: str) -> list[str | Path]:
    """The pip inside .venv, else the one of the Python that made it."""
    inside = venv_python(root / ".venv")
    for command in ([inside, "-m", "pip"], [python, "-m", "pip", "--python", inside]):
        if subprocess.run([*command, "--version"], capture_output=True, env=pip_environment(), check=False).returncode == 0:
            return command
    raise SetupError(f"{python} has neither pip nor ensurepip: install them (Debian, Ubuntu: apt install python3-venv python3-pip).")


def install(root: Path, python: str) -> None:
    venv = root / ".venv"
    (venv / STAMP).unlink(missing_ok=True)
    (venv / MARKER).touch()
    code, output = run_streamed([*pip_command(root, python), "install", *REQUIREMENTS], root, pip_environment())
    keep_log(venv, output)
    if code == 0:
        return
    reason = explain(output, root)
    if reason.startswith("No network"):
        (venv / MARKER).unlink()  # pip downloads everything before it writes anything: what was there is whole
    raise SetupError(f"{reason} (all of pip's words: .venv/{LOG})")


def warm_up(root: Path) -> None:
    """One import of the large packages: shows that they load, and lets matplotlib list its fonts before a notebook is timed."""
    code, output = run_streamed([venv_python(root / ".venv"), "-c", WARM_UP], root, jupyter_environment())
    if code != 0:
        raise SetupError(f"The packages were installed but do not load: {last_error(output)}")


def set_up(root: Path = ROOT) -> None:
    version, python = python_version(), base_python()
    if is_ready(root, version):
        return
    venv = root / ".venv"
    print("Setting up the course in .venv (once; one to five minutes, about 6 GB) ...", flush=True)
    if (venv / MARKER).exists() or venv_version(venv) != version:
        new_venv(root, python)
    install(root, python)
    warm_up(root)
    (venv / STAMP).write_text(fingerprint(root, version))
    (venv / MARKER).unlink()
    print("The set-up is complete.", flush=True)


def main() -> int:
    try:
        set_up()
    except SetupError as error:
        print(f"\nThe set-up stopped. {error}", file=sys.stderr)
    except OSError as error:
        print(f"\nThe set-up stopped. {explain(str(error), ROOT)}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nThe set-up was interrupted; the next call starts it again.", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
