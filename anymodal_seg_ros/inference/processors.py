"""How many processors this process may use: those of the machine, less what it was denied."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MOST_THREADS = 4
"""More threads gain nothing at the size of these networks, and the robot needs cores, too."""


def engine_threads(asked: int = 0) -> int:
    """Return the threads of an engine: as many as asked for; for 0 one per processor, at most 4."""
    return asked or max(1, min(MOST_THREADS, usable_processors()))


def usable_processors(cgroup: Path = CGROUP) -> int:
    """Return how many processors affinity (``taskset``) and container limits leave, at least 1."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return max(1, mine if quota is None else min(mine, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Return the processors' worth of time that a container may use, None without a limit."""
    try:  # version 2: "200000 100000", or "max 100000"
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        limit = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0 else None
