"""What Fast DDS leaves in shared memory when a process is killed, and how to take it away.

A process that ends well removes its segment; a killed one leaves it, 32 MiB with our profile, until
the machine restarts. Whoever kills processes on purpose, the demo and the tests, cleans up here.

One that is killed while it starts may leave a port half made. Whoever opens such a port waits for
its maker without a limit, and in ``rclpy``'s ``Node`` keeps the interpreter meanwhile, so that no
signal but SIGKILL is heard: hence every process of ours looks for them before it starts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sys
import time
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")
_PORT = re.compile(r"(fastdds|fastrtps)_port\d+")
_MADE = 2
"""The first word of a segment of Boost that has been made; 0 or 1 until then, or nothing at all."""
_MAKING_S = 1.0
"""Longer than it takes to make a port, which is less than a millisecond."""
_LOCK = re.compile(r"(fastdds|fastrtps)_[0-9a-f]{16}_el")
_SETTLED_S = 5.0
"""Younger locks are left alone: their process may be about to take them."""


def remove_half_made_ports(folder: Path = _SHARED_MEMORY) -> list[Path]:
    """Delete the ports that have been half made for a second or more, and return their files.

    It takes that second only if there is one. Files of other users, which this process could not
    open either, stay.
    """
    found = _half_made_ports(folder)
    if not found:
        return []
    time.sleep(_MAKING_S)
    removed = []
    for port, file in _half_made_ports(folder).items():
        if found.get(port) == file:
            with contextlib.suppress(OSError):
                port.unlink()
                removed.append(port)
    return removed


def _half_made_ports(folder: Path) -> dict[Path, int]:
    """Return the inodes of the ports that are not made to the end, by path."""
    found = {}
    for port in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            if _PORT.fullmatch(port.name):
                with port.open("rb") as file:
                    if int.from_bytes(file.read(4), sys.byteorder) < _MADE:
                        found[port] = os.fstat(file.fileno()).st_ino
    return found


def remove_dead_segments(folder: Path = _SHARED_MEMORY) -> int:
    """Delete the segments whose process is gone, and return the bytes that were freed.

    A living process holds a lock on the ``_el`` file beside its segment. Files of other users and
    the small port files, which Fast DDS repairs by itself once they are made, stay.
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
