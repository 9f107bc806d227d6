"""What a process may have, where that is less than a node needs: said before that ends it.

Libraries that get no thread or no memory end a process by a signal, or with words of their own.
"""

from __future__ import annotations

import resource
import shutil
from typing import NamedTuple

from rclpy.utilities import get_rmw_implementation_identifier


class _Need(NamedTuple):
    limit: int
    least: int
    words: str


_NEEDS = (
    _Need(
        resource.RLIMIT_AS,
        2 << 30,
        "the address space of this process is limited to {0:.0f} MB (ulimit -v): threads and "
        "libraries take some 2000 MB, most of which they never use; limit its memory instead "
        "(MemoryMax, --memory)",
    ),
    _Need(
        resource.RLIMIT_NOFILE,
        64,
        "this process may open {0} files (ulimit -n): expected 64 or more",
    ),
)
_MB = 1 << 20
_SHARED_MEMORY = "/dev/shm"
SEGMENT = 33 * _MB
"""Of a process with our profile, config/fastdds.xml: its segment and its queues."""


def scarce() -> list[str]:
    """Say of each limit that is too low for a node what it is, and the mend."""
    found = []
    for need in _NEEDS:
        most, _ = resource.getrlimit(need.limit)
        if most != resource.RLIM_INFINITY and most < need.least:
            found.append(need.words.format(most / _MB if need.least > _MB else most))
    if 0 <= (free := _shared_memory()) < SEGMENT:
        found.append(
            f"{_SHARED_MEMORY} has {free / _MB:.0f} MB free, of which each process needs "
            f"{SEGMENT / _MB:.0f} for images with our profile: without, they go by the network, "
            "and best-effort ones are mostly lost; give a container --shm-size=1g or --ipc=host"
        )
    return found


def _shared_memory() -> int:
    """Return the bytes that are free in shared memory; -1 where none is used."""
    if "fastrtps" not in str(get_rmw_implementation_identifier()):
        return -1
    try:
        return shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        return -1
