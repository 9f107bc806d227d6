"""Files that are written: whole or not at all, in their place and nowhere else, named in errors.

The system names a file that cannot be opened, but none where writing to it fails: of a disk that is
full, or a file that may not grow, nobody would know which one it was.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

_numbers = itertools.count()


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an ``OSError`` of the body that names no file name this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file of a folder of ours; what was there before gives way once it is whole.

    A link in its place is replaced, and where it leads to stays as it is.

    Args:
        path: in a folder that there is.
        content: text is written as UTF-8.

    Raises:
        OSError: it cannot be written, and names the file; what was there before is intact.
    """
    if not path.is_symlink() and path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    data = content.encode() if isinstance(content, str) else content
    unfinished = path.with_name(f".{os.getpid()}-{next(_numbers)}.unfinished")
    try:
        with unfinished.open("xb") as file:
            file.write(data)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:  # Ctrl-C, too
        unfinished.unlink(missing_ok=True)
        raise


def reserve(path: Path) -> None:
    """Take the room on the disk for all of a file, holes and all.

    Whoever writes into a file through a memory map is killed when the disk has no room for it.

    Raises:
        OSError: there is no such room; it names the file.
    """
    if hasattr(os, "posix_fallocate"):
        with naming(path), path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
