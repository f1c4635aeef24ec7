"""The classes of one's own data: classes.txt or classes.toml beside the images, a name for each and, where masks are coloured, a colour."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from edu_seg.datasets.colours import distinct_palette
from edu_seg.datasets.files import IGNORE_INDEX, check_values, read_image, read_labels, read_lines

Colour = tuple[int, int, int]
VOID = "void"
HOW_TO = (
    "write one line for each class, 'name', or 'name R G B' where the masks are coloured; with colours, the name void stands for "
    "pixels that do not count"
)
_LINE = re.compile(r"(?P<name>.+?)[\s,]+(?P<r>\d+)[\s,]+(?P<g>\d+)[\s,]+(?P<b>\d+)")


@dataclass(frozen=True)
class ClassTable:
    """Names in the order of their indices; colours of the same length, or none; the colours of void."""

    path: Path
    names: tuple[str, ...]
    colours: tuple[Colour, ...] = ()
    void: tuple[Colour, ...] = ()

    def palette(self) -> UInt8[ndarray, "K 3"]:
        """The table's colours, or made ones."""
        return np.array(self.colours, np.uint8) if self.colours else distinct_palette(len(self.names))

    def read_mask(self, path: Path) -> UInt8[ndarray, "H W"]:
        """Class indices of a mask, 255 = void. With colours in the table each pixel's colour is looked up, whatever the file's mode;
        without, the file must hold indices (palette PNG or 8-bit greyscale).

        Raises ValueError for a value or colour that is none of the classes', with its place and number of pixels.
        """
        return self._of_colours(path) if self.colours else self._of_indices(path)

    def _of_indices(self, path: Path) -> ndarray:
        try:
            labels = read_labels(path)
        except ValueError as error:
            raise ValueError(f"{error}; or give each class its colour in {self.path}") from error
        check_values(labels, len(self.names), path)
        if set(np.flatnonzero(np.bincount(labels.ravel()))) == {0, IGNORE_INDEX}:
            raise ValueError(
                f"{path}: all pixels are 0 or 255. Is 255 void, or a class? Say so by colours in {self.path}, such as "
                f"'{self.names[0]} 0 0 0' and '{self.names[-1] if len(self.names) > 1 else VOID} 255 255 255'"
            )
        return labels

    def _of_colours(self, path: Path) -> ndarray:
        codes = _codes(read_image(path))
        due = _codes(np.array(self.colours + self.void, np.uint8))
        index = np.array([*range(len(self.names)), *[IGNORE_INDEX] * len(self.void)], np.uint8)
        order = due.argsort()
        place = order[np.searchsorted(due, codes, sorter=order).clip(max=len(due) - 1)]
        if (unknown := due[place] != codes).any():
            raise ValueError(_unknown_colour(path, codes, unknown, self.path))
        return index[place]


def _codes(rgb: ndarray) -> ndarray:
    """A whole number for each colour."""
    return rgb.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def _unknown_colour(path: Path, codes: ndarray, unknown: ndarray, table: Path) -> str:
    row, column = np.argwhere(unknown)[0]
    code = int(codes[row, column])
    colour = code >> 16, code >> 8 & 255, code & 255
    return (
        f"{path}: colour {colour} at row {row}, column {column} ({(codes == code).sum()} pixels) is none of {table}; "
        f"{len(np.unique(codes[unknown]))} such colours in {unknown.sum()} pixels in all. Many of them: the mask was saved as JPEG or "
        "resized with blending, draw it again; few: add a line for each"
    )


def read_class_table(folder: Path) -> ClassTable:
    """The table classes.txt or classes.toml of a folder.

    classes.txt: a line for each class, `name` or `name R G B`; lines that begin with # are left out. classes.toml: a [[class]] for
    each, with name and, where masks are coloured, colour = [R, G, B]. The class called void is 255 and needs a colour.
    Raises FileNotFoundError, or ValueError naming file and line.
    """
    text, toml = folder / "classes.txt", folder / "classes.toml"
    if text.is_file() and toml.is_file():
        raise ValueError(f"{text} and classes.toml: which of them holds? Remove one")
    if toml.is_file():
        return _table(toml, _toml_rows(toml))
    if text.is_file():
        return _table(text, _text_rows(text))
    raise FileNotFoundError(f"{text}: no such file, nor classes.toml; {HOW_TO}")


def _text_rows(path: Path) -> list[tuple[str, Sequence[int] | None]]:
    rows: list[tuple[str, Sequence[int] | None]] = []
    for line in (line.lstrip("\ufeff") for line in read_lines(path)):
        found = _LINE.fullmatch(line)
        if not line.startswith("#"):
            rows.append((found["name"], [int(found[channel]) for channel in "rgb"]) if found else (line, None))
    return rows


def _toml_rows(path: Path) -> list[tuple[str, Any]]:
    try:
        entries: Any = tomllib.loads(path.read_text(encoding="utf-8")).get("class", [])
        return [(str(entry["name"]), entry.get("colour")) for entry in entries]
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error!r}; give each class as [[class]], name = '...', colour = [R, G, B]") from error


def _table(path: Path, rows: Sequence[tuple[str, Any]]) -> ClassTable:
    """The rows, checked: either all have a colour or none."""
    names = tuple(name for name, _ in rows if name != VOID)
    if not 1 <= len(names) <= IGNORE_INDEX:
        raise ValueError(f"{path}: {len(names)} classes; 1 to 255 fit into an 8-bit mask: {HOW_TO}")
    _refuse_twice(path, "name", list(names))
    if all(colour is None for _, colour in rows) and len(names) == len(rows):
        return ClassTable(path, names)
    coloured = [(name, _colour(path, name, colour)) for name, colour in rows]
    _refuse_twice(path, "colour", [colour for _, colour in coloured])
    void = tuple(colour for name, colour in coloured if name == VOID)
    return ClassTable(path, names, tuple(colour for name, colour in coloured if name != VOID), void)


def _colour(path: Path, name: str, colour: Any) -> Colour:
    if colour is None:
        raise ValueError(
            f"{path}: {name!r} has no colour: give one to every line or to none, and to void always (in masks of indices it is 255)"
        )
    if not isinstance(colour, list) or len(colour) != 3 or not all(type(value) is int and 0 <= value <= 255 for value in colour):
        raise ValueError(f"{path}: {name!r} has the colour {colour}: give three whole numbers from 0 to 255")
    return colour[0], colour[1], colour[2]


def _refuse_twice(path: Path, what: str, values: Sequence[str | Colour]) -> None:
    twice = sorted({value for value in values if values.count(value) > 1}, key=str)
    if twice:
        raise ValueError(f"{path}: the {what} {twice[0]!r} stands there twice; each class needs its own")
