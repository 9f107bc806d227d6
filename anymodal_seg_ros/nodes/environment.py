"""The process settings that images on DDS need, for nodes, launch files, the demo and the tests.

With Fast DDS as it comes, best-effort images of 640x480 are mostly lost between processes (see
``config/fastdds.xml``), and with glibc's malloc as it comes, half of an image's latency is spent on
page faults, because each buffer is mapped and unmapped anew.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import sys
from collections.abc import Mapping

from anymodal_seg_ros.resources import config_dir

MMAP_THRESHOLD_BYTES = 32 << 20
TRIM_THRESHOLD_BYTES = 512 << 20

_FAST_DDS_3 = "FASTDDS_DEFAULT_PROFILES_FILE"
_FAST_DDS_2 = "FASTRTPS_DEFAULT_PROFILES_FILE"
_DDS_CONFIG = (_FAST_DDS_3, _FAST_DDS_2, "FASTDDS_BUILTIN_TRANSPORTS")
_FIRST_RCLPY_WITH_FAST_DDS_3 = 8
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def dds_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables to add to the environment of a process that sends or takes images.

    What the user has set already, a Fast DDS profile or transport of their own or malloc
    thresholds, is left as it is and does not appear in the result.

    Args:
        base: the environment they will be added to; this process's own if None.
    """
    have = os.environ if base is None else base
    added: dict[str, str] = {}
    if not any(have.get(name) for name in _DDS_CONFIG):
        variable, profile = _profile()
        added[variable] = str(config_dir() / profile)
    thresholds = {
        "MALLOC_MMAP_THRESHOLD_": MMAP_THRESHOLD_BYTES,
        "MALLOC_TRIM_THRESHOLD_": TRIM_THRESHOLD_BYTES,
    }
    added.update({k: str(v) for k, v in thresholds.items() if k not in have})
    return added


def prepare_process() -> None:
    """Give this process the same settings, before rclpy is initialised.

    So a node started by hand or by ``ros2 run`` behaves as one started by the launch file. glibc
    has read its variables long before Python runs, hence the calls to ``mallopt``.
    """
    added = dds_environment()
    os.environ.update(added)
    if "MALLOC_MMAP_THRESHOLD_" in added and sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
            mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES)


def _profile() -> tuple[str, str]:
    """Return the variable that the installed Fast DDS reads, and the profile that fits it.

    Version 3 warns about the variable of version 2, which cannot read all of version 3's profile.
    """
    try:
        major = int(importlib.metadata.version("rclpy").split(".")[0])
    except importlib.metadata.PackageNotFoundError:
        major = _FIRST_RCLPY_WITH_FAST_DDS_3
    if major >= _FIRST_RCLPY_WITH_FAST_DDS_3:
        return _FAST_DDS_3, "fastdds3.xml"
    return _FAST_DDS_2, "fastdds.xml"
