"""Downloading a file so that it can be taken up again.

Until a file is whole and its digest right it is called NAME.part; a second call goes on where that ends (HTTP Range).
"""

import errno
import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from edu_seg.datasets.files import Number

CHUNK = 1 << 20
TIMEOUT = 60.0
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
Tell = Callable[[str], None]
Progress = Callable[[int, int | None], None]
"""Called with (bytes there, bytes in all or None) after each piece."""


class _Lost(Exception):
    """The connection, or the answer; worth another try."""


def fetch(
    url: str,
    target: Path,
    digest: str | None = None,
    *,
    attempts: int = 4,
    pause: Number = 1.0,
    tell: Tell = lambda line: None,
    progress: Progress = lambda done, total: None,
) -> Path:
    """Download `url` to `target`, going on with target.part where there is one; returns `target`.

    digest: "md5:...", "sha256:..." or another of hashlib's; None: only the length that the server names is checked.
    attempts: lost connections in a row, without a byte gained, after which it gives up; the pause before the next doubles each time
    (seconds). tell: is called with a line for the user. Raises OSError: the connection stays lost or the disk is full (the .part is
    kept), the digest is wrong (it is removed), or the server does not have the file.
    """
    if target.exists():
        check_digest(target, digest)
        return target
    part = target.with_name(target.name + ".part")
    failed = 0
    while True:
        before = _size(part)
        try:
            _go_on(url, part, tell, progress)
            break
        except _Lost as lost:
            failed = 1 if _size(part) > before else failed + 1
            if failed >= attempts:
                raise ConnectionError(f"{url}: {lost}; {part} holds {_size(part)} bytes and is kept: the same command goes on") from lost
            tell(f"{lost}; trying again at {_size(part)} bytes")
            time.sleep(pause * 2 ** (failed - 1))
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"Interrupted; {part} is kept: the same command goes on.")
            raise
    check_digest(part, digest)
    part.replace(target)
    return target


def check_digest(path: Path, digest: str | None) -> None:
    """Raise OSError where the file's digest is not `digest` ("md5:..."); the file is then removed, since nothing can be made of it."""
    if digest is None:
        return
    kind, _, due = digest.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    if found != due:
        path.unlink()
        raise OSError(
            f"{path}: its {kind} is {found}, not {due}: it was damaged on the way or is another file, and has been removed; "
            "try once more, and if that ends here again take the set from its home page"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _go_on(url: str, part: Path, tell: Tell, progress: Progress) -> None:
    """Append what is missing to `part`. Raises _Lost where the answer ends too early."""
    done = _size(part)
    response = _open(url, done)
    if response is None:  # there is nothing after the part's end
        return
    with response:
        start, total = _extent(response, done)
        if start < done:
            tell("the server cannot resume: starting again from the beginning")
        _require_space(part, None if total is None else total - start)
        _write(response, part, start, total, progress)
    if total is not None and _size(part) < total:
        raise _Lost(f"the connection was lost at {_size(part)} of {total} bytes")


def _open(url: str, done: int) -> http.client.HTTPResponse | None:
    """The answer to a request for all bytes from `done` on; None where the file is just so long."""
    headers = {"User-Agent": "edu_seg"} | ({"Range": f"bytes={done}-"} if done else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and error.headers.get("Content-Range") == f"bytes */{done}":
                return None
            if error.code == 416:  # longer than the file, so not a part of it
                return _open(url, 0)
            if error.code >= 500:
                raise _Lost(f"the server says {error.code} {error.reason}") from error
            raise OSError(f"{url}: the server says {error.code} {error.reason}; see the set's home page for where it is now") from error
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _Lost(f"no connection ({getattr(error, 'reason', error)})") from error


def _extent(response: http.client.HTTPResponse, done: int) -> tuple[int, int | None]:
    """(first byte of the answer, length of the whole file or None where the server does not say)."""
    if response.status == 206:
        unit, _, extent = response.headers.get("Content-Range", "").partition(" ")
        place, _, total = extent.partition("/")
        if unit != "bytes" or not place.startswith(f"{done}-"):
            raise _Lost(f"bytes from {done} on were asked for, and {extent or 'unknown ones'} came")
        return done, int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length")
    return 0, int(length) if length is not None else None


def _require_space(part: Path, missing: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if missing is not None and missing > free:
        raise OSError(f"{part}: {missing} bytes are to come, and the disk has {free} free: make room, then the same command goes on")


def _write(response: http.client.HTTPResponse, part: Path, start: int, total: int | None, progress: Progress) -> None:
    done = start
    try:
        with part.open("ab" if start else "wb") as file:
            for chunk in _chunks(response):
                file.write(chunk)
                file.flush()  # so that a full disk shows now, and what is on it is whole
                done += len(chunk)
                progress(done, total)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise OSError(f"{part}: the disk is full; the {_size(part)} bytes are kept: make room, then the same command goes on") from error


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The answer in pieces; what goes wrong on the line, and not on the disk, is a _Lost."""
    while True:
        try:
            chunk = response.read(CHUNK)
        except http.client.IncompleteRead as error:
            yield error.partial
            raise _Lost("the connection was lost") from error
        except (http.client.HTTPException, OSError) as error:
            raise _Lost(f"the connection was lost ({error})") from error
        if not chunk:
            return
        yield chunk
