"""The set-up: the pins agree everywhere, and each way it can fail ends in one line that says what to do."""

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import run_checks
import setup_venv
import yaml
from course_env import NOTEBOOKS, ROOT, THREADS, VENV, find_notebooks, fixed_environment, jupyter_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from setup_venv import LOG, MARKER, STAMP, SetupError, explain, fingerprint, set_up

EXTRAS = {"lab", "site", "test", "train"}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pins() -> dict[str, Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert len({canonicalize_name(requirement.name) for requirement in requirements}) == len(requirements), "a package is pinned twice"
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def direct_dependencies() -> list[Requirement]:
    texts = [*project()["dependencies"], *(text for extra in project()["optional-dependencies"].values() for text in extra)]
    return [requirement for requirement in map(Requirement, texts) if requirement.name != "edu_seg"]


def exact_version(pin: Requirement) -> str:
    (specifier,) = pin.specifier
    assert specifier.operator == "==", f"{pin} is not an exact pin"
    assert "*" not in specifier.version, f"{pin} is not an exact pin"
    return specifier.version


# --- the pins ---------------------------------------------------------------------------------------------------------------


def test_every_pin_is_exact() -> None:
    assert all(exact_version(pin) for pin in pins().values())


def test_the_extras_are_those_that_the_setup_installs() -> None:
    assert set(project()["optional-dependencies"]) == EXTRAS
    assert setup_venv.REQUIREMENTS[-1] == ".[lab,site,test]"


@pytest.mark.parametrize("requirement", direct_dependencies(), ids=lambda requirement: requirement.name)
def test_a_direct_dependency_is_pinned_within_its_bounds(requirement: Requirement) -> None:
    version = exact_version(pins()[canonicalize_name(requirement.name)])
    assert requirement.specifier.contains(version), f"{requirement} excludes the pin {version}"


@pytest.mark.skipif(Path(sys.prefix).resolve() != VENV.resolve(), reason="not run in .venv, where the pins are installed")
@pytest.mark.parametrize("requirement", direct_dependencies(), ids=lambda requirement: requirement.name)
def test_the_installed_version_is_the_pin(requirement: Requirement) -> None:
    installed = importlib.metadata.version(requirement.name).split("+")[0]  # +cu130 and +cpu name a build of the same version
    assert installed == exact_version(pins()[canonicalize_name(requirement.name)])


# --- the conda route --------------------------------------------------------------------------------------------------------


def conda_dependencies() -> tuple[list[str], list[str]]:
    """What conda installs, and what pip installs inside the conda environment."""
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    by_pip = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    assert len(by_pip) == 1
    return [entry for entry in listed if isinstance(entry, str)], by_pip[0]


def test_conda_brings_python_and_pip_alone() -> None:
    by_conda, _ = conda_dependencies()
    assert [re.split(r"[ <>=]", entry)[0] for entry in by_conda] == ["python", "pip"]


def test_conda_has_the_same_lower_bound_of_python() -> None:
    (python, *_), _ = conda_dependencies()
    allowed = SpecifierSet(python.removeprefix("python "))
    (lower,) = [specifier for specifier in allowed if specifier.operator == ">="]
    assert str(lower) == project()["requires-python"]
    assert all(allowed.contains(version) for version in ("3.11.0", "3.12.0", "3.13.9"))


def test_conda_installs_what_the_setup_installs() -> None:
    """Line by line the same arguments for pip, so that both routes take every version from constraints.txt."""
    _, by_pip = conda_dependencies()
    assert " ".join(by_pip) == " ".join(setup_venv.REQUIREMENTS)


# --- which Python -----------------------------------------------------------------------------------------------------------


def fake_python(folder: Path, name: str, version: tuple[int, int, int]) -> Path:
    """A stand-in for an interpreter: answers the two questions that find_python.sh asks of it."""
    folder.mkdir(exist_ok=True)
    text = ".".join(map(str, version))
    path = folder / name
    path.write_text(f'#!/bin/sh\ncase "$2" in *stdout*) printf {text} ;; *) exit {int(version < (3, 11))} ;; esac\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def find_python(folder: Path, wanted: str = "") -> subprocess.CompletedProcess[str]:
    shell = shutil.which("sh")
    assert shell is not None
    command = [shell, str(ROOT / "scripts" / "find_python.sh"), wanted]
    return subprocess.run(command, env={"PATH": str(folder)}, capture_output=True, text=True, check=False)


def test_too_old_a_python_gives_one_line(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", (3, 10, 13))
    found = find_python(tmp_path)
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.count("\n") == 1
    assert "needs Python 3.11 or newer; python3 is 3.10.13" in found.stderr


def test_no_python_gives_one_line(tmp_path: Path) -> None:
    found = find_python(tmp_path)
    assert found.returncode == 1
    assert found.stderr.count("\n") == 1
    assert "python3 is not there" in found.stderr


def test_an_older_python3_beside_a_newer_one_is_passed_over(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", (3, 9, 2))
    newer = fake_python(tmp_path, "python3.12", (3, 12, 1))
    assert find_python(tmp_path).stdout.strip() == str(newer)


def test_the_python_that_was_asked_for_is_taken_or_refused(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", (3, 13, 0))
    old = fake_python(tmp_path, "old", (3, 8, 0))
    assert find_python(tmp_path, str(old)).returncode == 1
    new = fake_python(tmp_path, "new", (3, 11, 0))
    assert find_python(tmp_path, str(new)).stdout.strip() == str(new)


# --- the set-up, with a pip and a venv that only pretend ----------------------------------------------------------------------


class Stage:
    """A folder with pins, and every command of the set-up recorded and answered by `answer(arguments) -> (status, output)`."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.venv = root, root / ".venv"
        self.commands: list[str] = []
        self.answer: Callable[[str], tuple[int, str]] = lambda command: (0, "")
        shutil.copy(ROOT / "pyproject.toml", root)
        (root / "constraints.txt").write_text("torch==2.14.1\n")
        monkeypatch.setattr(setup_venv, "run_streamed", self.run)
        monkeypatch.setattr(setup_venv, "pip_command", lambda root, python: ["pip"])

    def run(self, command: list, root: Path, env: dict[str, str]) -> tuple[int, str]:
        text = " ".join(map(str, command))
        self.commands.append(text)
        code, output = self.answer(text)
        if code == 0 and " -m venv" in text:
            (self.venv / "bin").mkdir()
            (self.venv / "bin" / "python").touch()
            (self.venv / "pyvenv.cfg").write_text(f"version = {setup_venv.python_version()}.7\n")
        return code, output

    def installs(self) -> int:
        return sum("pip install" in command for command in self.commands)

    def venvs(self) -> int:
        return sum(" -m venv" in command for command in self.commands)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def failing_pip(output: str) -> Callable[[str], tuple[int, str]]:
    return lambda command: (1, output) if "pip install" in command else (0, "")


def test_the_second_call_does_nothing(stage: Stage) -> None:
    set_up(stage.root)
    assert stage.installs() == 1
    assert not (stage.venv / MARKER).exists()
    before = list(stage.commands)
    set_up(stage.root)
    assert stage.commands == before


@pytest.mark.parametrize("name", setup_venv.PINS)
def test_changed_pins_are_installed_into_the_same_venv(stage: Stage, name: str) -> None:
    set_up(stage.root)
    with (stage.root / name).open("a") as file:
        file.write("# changed\n")
    set_up(stage.root)
    assert (stage.installs(), stage.venvs()) == (2, 1)


def test_another_python_rebuilds_the_venv(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    set_up(stage.root)
    monkeypatch.setattr(setup_venv, "python_version", lambda: "3.99")
    set_up(stage.root)
    assert (stage.installs(), stage.venvs()) == (2, 2)


def test_a_venv_whose_python_is_gone_is_rebuilt(stage: Stage) -> None:
    set_up(stage.root)
    (stage.venv / "bin" / "python").unlink()
    set_up(stage.root)
    assert stage.venvs() == 2


def test_a_moved_folder_is_installed_again(stage: Stage) -> None:
    assert fingerprint(stage.root, "3.11") != fingerprint(shutil.copytree(stage.root, stage.root / "moved"), "3.11")


@pytest.mark.parametrize("moment", ["-m venv", "pip install", "-c import"])
def test_an_interrupted_set_up_starts_afresh(stage: Stage, moment: str) -> None:
    def interrupted(command: str) -> tuple[int, str]:
        if moment in command:
            raise KeyboardInterrupt
        return 0, ""

    stage.answer = interrupted
    with pytest.raises(KeyboardInterrupt):
        set_up(stage.root)
    assert not (stage.venv / STAMP).exists()
    (stage.venv / "half written").touch()
    stage.answer = lambda command: (0, "")
    set_up(stage.root)
    assert not (stage.venv / "half written").exists()
    assert (stage.venv / STAMP).exists()


NO_NETWORK = """\
WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("Failed to establish a new connection: [Errno -3]
Temporary failure in name resolution")': /simple/setuptools/
ERROR: Could not find a version that satisfies the requirement setuptools>=77 (from versions: none)
ERROR: No matching distribution found for setuptools>=77
"""
FAILURES = {
    "network": (NO_NETWORK, "No network"),
    "disk": (
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n",
        "disk is full",
    ),
    "quota": ("OSError: [Errno 122] Disk quota exceeded\n", "disk is full"),
    "certificate": ("SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed\n", "PIP_CERT"),
    "no index": ("Looking in links: /wheels\nERROR: No matching distribution found for torch==2.14.1\n", "pip finds no torch==2.14.1"),
    "contradiction": ("ERROR: ResolutionImpossible: for help visit\n", "contradict"),
    "other": ("Collecting x\nERROR: something new\nnote: see above\n", "ERROR: something new"),
    "silence": ("", "without a word"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failing_pip_is_explained_in_one_line(stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    output, words = FAILURES[name]
    stage.answer = failing_pip(output)
    monkeypatch.setattr(setup_venv, "set_up", lambda: set_up(stage.root))
    assert setup_venv.main() == 1
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said
    assert "Traceback" not in said
    assert (stage.venv / LOG).read_text() == output
    assert not (stage.venv / STAMP).exists()


def test_without_a_network_the_old_packages_stay(stage: Stage) -> None:
    set_up(stage.root)
    (stage.root / "constraints.txt").write_text("torch==2.15.0\n")
    stage.answer = failing_pip(NO_NETWORK)
    with pytest.raises(SetupError, match="No network"):
        set_up(stage.root)
    stage.answer = lambda command: (0, "")
    set_up(stage.root)
    assert stage.venvs() == 1, "what was there was whole, and need not be built again"


def test_a_full_disk_that_stops_the_folder_itself(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(setup_venv, "set_up", full)
    assert setup_venv.main() == 1
    assert "The disk is full" in capsys.readouterr().err


def test_without_ensurepip_the_venv_is_made_without_pip(stage: Stage) -> None:
    """Debian packs ensurepip apart, in python3-venv; the pip of the system then installs into .venv."""
    stage.answer = lambda command: (1, "ensurepip is not available") if command.endswith("-m venv " + str(stage.venv)) else (0, "")
    set_up(stage.root)
    assert any("--without-pip" in command for command in stage.commands)
    assert stage.installs() == 1


def test_without_venv_the_line_names_the_package(stage: Stage) -> None:
    stage.answer = lambda command: (1, "/usr/bin/python3: No module named venv") if "-m venv" in command else (0, "")
    with pytest.raises(SetupError, match="python3-venv"):
        set_up(stage.root)


def test_packages_that_do_not_load_are_not_stamped(stage: Stage) -> None:
    stage.answer = lambda command: (1, "ImportError: libcuda is broken") if "-c import" in command else (0, "")
    with pytest.raises(SetupError, match="libcuda is broken"):
        set_up(stage.root)
    assert not (stage.venv / STAMP).exists()


def test_a_linked_venv_is_left_alone(stage: Stage) -> None:
    elsewhere = stage.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    stage.venv.symlink_to(elsewhere)
    with pytest.raises(SetupError, match="is a link"):
        set_up(stage.root)
    assert (elsewhere / "precious").exists()


def test_the_disk_line_names_both_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup_venv.tempfile, "gettempdir", lambda: "/scratch")
    line = explain("[Errno 28]", tmp_path)
    assert str(tmp_path) in line
    assert "/scratch (unknown free" in line


# --- what runs with it --------------------------------------------------------------------------------------------------------


def test_the_user_s_own_settings_stay_outside() -> None:
    base = {"MPLBACKEND": "TkAgg", "JUPYTER_TOKEN": "", "PATH": "/bin", "KEEP": "1"}
    env = jupyter_environment(Path("state"), base)
    assert not {"MPLBACKEND", "JUPYTER_TOKEN"} & set(env)
    assert env["KEEP"] == "1"
    assert env["PATH"].endswith(os.pathsep + "/bin")
    assert all(env[name].startswith("state") for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "MPLCONFIGDIR"))


def test_notebooks_are_tested_with_the_threads_they_are_executed_with() -> None:
    assert fixed_environment(base={"OMP_NUM_THREADS": "7"})["OMP_NUM_THREADS"] == str(THREADS)


def test_notebooks_are_found_without_the_editor_s_copies(tmp_path: Path) -> None:
    for name in ("b.ipynb", "a.ipynb", "solutions/c.ipynb", ".ipynb_checkpoints/a-checkpoint.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_notebooks(tmp_path)] == ["a.ipynb", "b.ipynb", "solutions/c.ipynb"]


def test_no_notebooks_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_checks, "run", lambda arguments: 0)
    assert run_checks.main([]) == (0 if find_notebooks(NOTEBOOKS) else run_checks.NO_NOTEBOOKS)
    monkeypatch.setattr(run_checks, "find_notebooks", list)
    assert run_checks.main([]) == run_checks.NO_NOTEBOOKS


@pytest.mark.parametrize("failing", ["ruff", "basedpyright", "pytest"])
def test_one_failing_part_fails_the_whole_and_stops_no_other(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(run_checks, "find_notebooks", lambda: [NOTEBOOKS / "one.ipynb"])
    monkeypatch.setattr(run_checks, "run", lambda arguments: ran.append(arguments[0]) or int(arguments[0] == failing))
    assert run_checks.main([]) == 1
    assert ran == ["ruff", "ruff", "basedpyright", "pytest", "pytest"]


def test_a_selection_without_browser_tests_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_checks, "run", lambda arguments: run_checks.NOTHING if "browser" in arguments else 0)
    assert run_checks.main(["-k", "metrics"]) == 0
    assert run_checks.main([]) == run_checks.NOTHING


def test_the_sanitiser_masks_pictures_with_their_tables_and_no_other_number() -> None:
    text = (ROOT / "tests" / "nbval_sanitize.cfg").read_text(encoding="utf-8")
    rules = re.findall(r"^regex: (.*)$\n^replace: (.*)$", text, flags=re.MULTILINE)

    def sanitised(output: str) -> str:
        for pattern, replacement in rules:
            output = re.sub(pattern, replacement, output)
        return output

    image, fold = '<img alt="a curve that ends at 0.59" src="data:image/png;base64,{}">', '<details class="numbers">{}</details>'
    shown = image.format("iVBORw0KGgo=") + fold.format("<summary>The numbers</summary><table><tr><td>0.59</td></tr></table>") + " 0.59"
    assert sanitised(shown) == image.format("PNG") + fold.format("NUMBERS") + " 0.59"
    untouched = ["404", "mean IoU 0.593", "0x7f", "image/png 12", "134,346,581", "data:image/svg+xml;base64,AAAA", "<details>0.5</details>"]
    assert list(map(sanitised, untouched)) == untouched
