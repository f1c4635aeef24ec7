"""Files that are either whole or not there: what a crash, a full disk or a second reader may not spoil."""

import errno
import os
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT}


def write_atomically(path: Path, payload: bytes) -> None:
    """Write a file so that a reader, now or after a crash, finds the old content or the new, never a mixture.

    Raises OSError, naming the file, where the disk is full or the folder cannot be written; the old content is then still there.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        with draft.open("wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
        _sync_folder(path.parent)
    except KeyboardInterrupt:
        draft.unlink(missing_ok=True)
        raise
    except OSError as error:
        draft.unlink(missing_ok=True)
        kept = "its earlier content is unharmed" if path.exists() else "nothing was written"
        raise OSError(error.errno, f"cannot write ({_why(error)}); {kept}", str(path)) from error


def append_line(path: Path, line: str) -> None:
    """Append a line and force it to disk. A crash may leave the line cut short: a reader leaves out what has no end.

    Raises OSError, naming the file, where the disk is full or the file cannot be written; the earlier lines are then still there.
    """
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, f"cannot write ({_why(error)}); its earlier lines are unharmed", str(path)) from error


def _why(error: OSError) -> str:
    return f"{error.strerror}: make room there" if error.errno in FULL else str(error.strerror)


def _sync_folder(folder: Path) -> None:
    """Force the new name itself to disk. Only POSIX systems let a folder be opened for this."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
