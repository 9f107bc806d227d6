"""How many processors this process may use: those of the machine, less what it was denied."""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")
"""In which groups this process is, as ``0::/system.slice/robot.service``."""

MOST_THREADS = 4
"""More threads gain nothing at the size of these networks, and the robot needs cores, too."""


def engine_threads(asked: int = 0) -> int:
    """Return the threads of an engine: as many as asked for; for 0 one per processor, at most 4."""
    return asked or max(1, min(MOST_THREADS, usable_processors()))


def usable_processors(cgroup: Path = CGROUP, own: Path = OWN_CGROUP) -> int:
    """Return how many processors affinity (``taskset``) and limits leave, at least 1.

    Those of a container, and of a systemd service with ``CPUQuota`` or the slice that it is in.
    """
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in _groups(cgroup, own) if (quota := _quota(group)) is not None]
    return max(1, min([mine, *map(math.ceil, quotas)]))


def _groups(cgroup: Path, own: Path) -> list[Path]:
    """Return the folders of the groups of this process, each with those that it is within."""
    found = [cgroup, cgroup / "cpu"]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        group = cgroup / "cpu" if controllers else cgroup
        for part in Path(path).parts[1:]:
            group /= part
            found.append(group)
    return found


def _quota(group: Path) -> float | None:
    """Return the processors' worth of time that a group may use, None without a limit."""
    try:  # version 2: "200000 100000", or "max 100000"
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        limit = float(quota) / float(period)
    except (ValueError, ZeroDivisionError):
        return None
    return limit if limit > 0 else None
