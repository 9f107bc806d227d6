"""One process by a node's full name on a machine and a domain: two would speak with one voice.

A lock on a file says so. The kernel lets go of it however a process ends, so a node that was killed
can be started again at once, while the graph still shows the dead one for some twenty seconds.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from pathlib import Path
from typing import IO

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.written_files import open_own

_LONGEST_PID = 20


def hold_name(full_name: str) -> IO[str] | None:
    """Take a node's full name for this process.

    Args:
        full_name: with its namespace, e.g. ``/robot1/segmentation_node``.

    Returns:
        What has to be kept for as long as the name is held; None where no lock can be made, as on
        a read-only file system, or where the folder is somebody else's: then nothing is held, and
        nothing is refused.

    Raises:
        ConfigError: another process of this machine and domain has it.
    """
    domain = os.environ.get("ROS_DOMAIN_ID") or "0"
    name = re.sub(r"\W", "_", f"domain_{domain}{full_name}")
    try:
        folder = _folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.lstat().st_uid != os.geteuid():
            return None  # somebody else was faster in /tmp, and may have laid out anything there
        file = open_own(folder / f"{name}.lock")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = quote(file.read(_LONGEST_PID).strip()) or "unknown"
        file.close()
        raise ConfigError(
            f"a node {full_name} runs already on this machine (process {holder}): give this one "
            "another name or namespace (name:=…, namespace:=…), or end the other one"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _folder() -> Path:
    run = os.environ.get("XDG_RUNTIME_DIR")
    if run and os.access(run, os.W_OK):
        return Path(run) / "anymodal_seg_ros"
    return Path(tempfile.gettempdir()) / f"anymodal_seg_ros-{os.getuid()}"
