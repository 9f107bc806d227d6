"""Files that are written: whole or not at all, in their place and nowhere else, named in errors.

The system names a file that cannot be opened, but none where writing to it fails: of a disk that is
full, or a file that may not grow, nobody would know which one it was.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_UNFINISHED = ".unfinished"
_SHOWN_OF_NAME = 40
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC

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


def write_file(
    path: Path, content: str | bytes, *, private: bool = False, lasting: bool = False
) -> None:
    """Write a file of a folder of ours; what was there before gives way once it is whole.

    A link in its place is replaced, and where it leads to stays as it is.

    Args:
        path: in a folder that there is.
        content: text is written as UTF-8.
        private: only the owner may read it.
        lasting: as for :func:`put_in_place`.

    Raises:
        OSError: it cannot be written, and names the file; what was there before is intact.
    """
    data = content.encode() if isinstance(content, str) else content
    with put_in_place(path, private=private, lasting=lasting) as unfinished:
        unfinished.write_bytes(data)


@contextlib.contextmanager
def put_in_place(path: Path, *, private: bool = False, lasting: bool = False) -> Iterator[Path]:
    """Lend an empty file, which takes the place of ``path`` once the body has filled it.

    If the body raises, or is stopped, nothing of it is left.

    Args:
        path: in a folder that there is.
        private: only the owner may read it.
        lasting: it is on the disk before it takes the place, so that after a power failure there is
            either the old content or the whole new one.

    Raises:
        OSError: it cannot be written, and names ``path``; what was there before is intact.
    """
    if not path.is_symlink() and path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    unfinished = path.with_name(f"{_begin_of(path)}{os.getpid()}-{next(_numbers)}{_UNFINISHED}")
    try:
        # A new file: nobody's link or pipe of this name is written into.
        os.close(os.open(unfinished, _NEW, 0o600 if private else 0o666))
        yield unfinished
        if lasting:
            _sync(unfinished)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:  # Ctrl-C, too
        unfinished.unlink(missing_ok=True)
        raise


def make_lasting(folder: Path) -> None:
    """Have everything of a folder on the disk: what is given its name after that is whole.

    A system keeps what was written for half a minute before the disk has it, but a new name for a
    few seconds only: after a power failure in between, files are there, and empty.

    Raises:
        OSError: it cannot be, and names the file.
    """
    for root, _, files in os.walk(folder, topdown=False):
        for name in files:
            _sync(Path(root, name))
        _sync(Path(root))


def _sync(path: Path) -> None:
    """Wait until a file, or what a folder says of its files, is on the disk."""
    with naming(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_own(path: Path) -> IO[str]:
    """Open a small file of ours to read and write, as a lock is; made if there is none.

    Raises:
        OSError: it cannot be opened, or a link, a pipe or the like stands in its place.
    """
    how = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, how, 0o666)
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink > 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file of ours", str(path))
    return os.fdopen(descriptor, "r+", encoding="ascii", errors="replace")


def forget_unfinished(path: Path) -> None:
    """Remove what :func:`put_in_place` left of a file in processes that were killed.

    Only where no other process writes it.
    """
    for unfinished in path.parent.glob(f"{glob.escape(_begin_of(path))}[0-9]*{_UNFINISHED}"):
        unfinished.unlink(missing_ok=True)


def is_unfinished(path: Path) -> bool:
    """Whether a file was lent by :func:`put_in_place`: by its name."""
    return path.name.startswith(".") and path.name.endswith(_UNFINISHED)


def _begin_of(path: Path) -> str:
    """Return how the names of what is unfinished begin; a file's name may be as long as any."""
    return f".{path.name[:_SHOWN_OF_NAME]}."


def reserve(path: Path) -> None:
    """Take the room on the disk for all of a file, holes and all.

    Whoever writes into a file through a memory map is killed when the disk has no room for it.

    Raises:
        OSError: there is no such room; it names the file.
    """
    if hasattr(os, "posix_fallocate"):
        with naming(path), path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
