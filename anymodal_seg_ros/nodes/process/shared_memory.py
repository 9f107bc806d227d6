"""What Fast DDS leaves in shared memory when a process is killed, and how to take it away.

A process that ends well removes its segment; a killed one leaves it, 32 MiB with our profile, until
the machine restarts. Whoever kills processes on purpose, the demo and the tests, cleans up here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path

_LOCK = re.compile(r"(fastdds|fastrtps)_[0-9a-f]{16}_el")
_SETTLED_S = 5.0
"""Younger locks are left alone: their process may be about to take them."""


def remove_dead_segments(folder: Path = Path("/dev/shm")) -> int:
    """Delete the segments whose process is gone, and return the bytes that were freed.

    A living process holds a lock on the ``_el`` file beside its segment. Files of other users and
    the small port files, which Fast DDS repairs by itself, stay.
    """
    freed = 0
    for lock in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            if _LOCK.fullmatch(lock.name) and _is_free(lock):
                segment = lock.with_name(lock.name.removesuffix("_el"))
                with contextlib.suppress(FileNotFoundError):
                    size = segment.stat().st_size
                    segment.unlink()
                    freed += size
                lock.unlink()
    return freed


def _is_free(lock: Path) -> bool:
    """Whether no process holds the lock, and none is about to."""
    if time.time() - lock.stat().st_mtime < _SETTLED_S:
        return False
    descriptor = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
