"""CONTRIBUTING.md and CITATION.cff: what they name exists, and the citation is that of the package."""

import re

import yaml
from course_env import ROOT

from edu_seg import __version__

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PLACEHOLDER = re.compile(r"NAME|NN|NUMBER")


def missing_paths(page: str) -> list[str]:
    """Paths in code marks or links that are not in the repository; those with a placeholder name a folder that must be there."""
    named = set(re.findall(r"(?:edu_seg|tests|notebooks|data|scripts)/[\w./-]*\w/?", page)) | set(re.findall(r"\]\(([\w.-]+)\)", page))
    whole = {path: path.rpartition("/")[0] if PLACEHOLDER.search(path) else path for path in named}
    return sorted(path for path, place in whole.items() if not (ROOT / place).exists())


def missing_targets(page: str) -> list[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return sorted(name for name in set(re.findall(r"`make (\w+)", page)) if not re.search(rf"^{name}:", makefile, re.MULTILINE))


def test_contributing_names_what_is_there() -> None:
    assert missing_paths(PAGE) == []
    assert missing_targets(PAGE) == []
    assert len(PAGE.splitlines()) < 70  # one page


def test_what_is_not_there_is_found() -> None:
    assert missing_paths("`edu_seg/nowhere.py`, `tests/test_NAME.py`, [x](LICENCE)") == ["LICENCE", "edu_seg/nowhere.py"]
    assert missing_targets("`make test`, `make coffee`") == ["coffee"]


def test_the_citation_is_of_this_package() -> None:
    """The keys that version 1.2.0 of the format requires, and what can become stale."""
    assert {"cff-version", "message", "title", "authors"} <= CITATION.keys()
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["version"] == __version__
    assert CITATION["type"] in {"software", "dataset"}
    assert CITATION["authors"] == [{"name": "the edu_seg authors"}]
    assert f"Copyright (c) 2026 {CITATION['authors'][0]['name']}" in (ROOT / "LICENSE").read_text(encoding="utf-8")
