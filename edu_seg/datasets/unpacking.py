"""Unpacking .zip, .tar and .tgz archives of data sets: one folder of the archive into one on disk, and nothing outside it."""

import errno
import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError)


def unpack(archive: Path, folder: Path, prefix: str = "") -> int:
    """Write the archive's files whose names begin with `prefix`, without it, into `folder`; returns their number.

    Raises ValueError for a file that would lie outside the folder, is a link to there, or where none has the prefix; OSError for a
    broken archive or a full disk (what has been written stays, and the next call writes it again).
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = _unzip if zipfile.is_zipfile(archive) else _untar
    try:
        count = work(archive, folder, prefix)
    except tarfile.FilterError as error:
        raise ValueError(f"{archive}: refused, since {error}") from error
    except BROKEN as error:
        raise OSError(f"{archive}: damaged or not an archive ({error}); remove it and download it again") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(f"{folder}: the disk is full; {archive} is kept: make room, then the same command unpacks it again") from error
    if not count:
        raise ValueError(f"{archive}: nothing in it begins with {prefix!r}; its publisher has changed it: unpack it by hand")
    return count


def _inner(archive: Path, name: str, prefix: str) -> str | None:
    """A member's name without the prefix, None for one that is to be left; ValueError for one that leads elsewhere."""
    if not name.startswith(prefix) or name == prefix:
        return None
    inner = name.removeprefix(prefix)
    path = PurePosixPath(inner)
    if path.is_absolute() or ".." in path.parts or "\\" in inner or ":" in inner:
        raise ValueError(f"{archive}: refused, since {name!r} would be written outside its folder")
    return inner


def _unzip(archive: Path, folder: Path, prefix: str) -> int:
    with zipfile.ZipFile(archive) as file:
        members = [(info, inner) for info in file.infolist() if not info.is_dir() and (inner := _inner(archive, info.filename, prefix))]
        for info, inner in members:
            target = folder / inner
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open(info) as source, target.open("wb") as copy:  # a link is written as a file that holds its target's name
                shutil.copyfileobj(source, copy)
    return len(members)


def _untar(archive: Path, folder: Path, prefix: str) -> int:
    count = 0
    with tarfile.open(archive) as file:
        for member in file:
            inner = _inner(archive, member.name, prefix)
            if inner is not None:
                file.extract(member.replace(name=inner, deep=False), folder, filter="data")
                count += not member.isdir()
    return count
