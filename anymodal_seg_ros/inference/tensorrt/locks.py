"""Who may touch the folder of the plans. Locks end with the process that holds them, however."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from anymodal_seg_ros.errors import EngineError

PATIENCE_S = 30.0
"""Longest wait for others to have written or cleared away. It takes them moments, unless somebody
has stopped them."""

_BUILD = "build.lock"
_LOOK_AGAIN_S = 0.05


class LockedError(EngineError):
    """Another process has the folder, and it is not waited for any longer."""


@contextlib.contextmanager
def files_held(folder: Path, patience_s: float = PATIENCE_S) -> Iterator[bool]:
    """Let no other process write into a folder or clear it away meanwhile.

    Yields:
        Whether that is so; False on file systems that know no locks.

    Raises:
        LockedError: another process does so for longer than ``patience_s``.
        OSError: there is no such folder, or it cannot be read.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    end = time.monotonic() + patience_s
    try:
        yield _locked(handle, lambda: time.monotonic() < end, folder)
    finally:
        os.close(handle)


@contextlib.contextmanager
def build_held(folder: Path, keep_waiting: Callable[[], bool]) -> Iterator[None]:
    """Let no other process build on this machine meanwhile, as memory may not suffice for two.

    Args:
        folder: of the plans; it is made.
        keep_waiting: asked as long as another one builds.

    Raises:
        LockedError: ``keep_waiting`` said no.
        OSError: the folder cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / _BUILD).open("w") as file:
        _locked(file.fileno(), keep_waiting, folder)
        yield


def is_building(folder: Path) -> bool:
    """Whether a process builds now."""
    try:
        with (folder / _BUILD).open("r+") as file:  # NFS locks only what one may write to
            return not _try_lock(file.fileno())
    except OSError:  # nobody ever has
        return False


def _locked(handle: int, keep_waiting: Callable[[], bool], folder: Path) -> bool:
    """Wait for a lock; False where there are none."""
    try:
        while not _try_lock(handle):
            if not keep_waiting():
                raise LockedError(
                    f"another process has {folder}: is it stopped? try again when it has ended"
                )
            time.sleep(_LOOK_AGAIN_S)
    except OSError:
        return False
    return True


def _try_lock(handle: int) -> bool:
    """Lock a file if nobody else has.

    Raises:
        OSError: its file system knows no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
