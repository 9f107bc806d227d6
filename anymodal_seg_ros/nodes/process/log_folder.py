"""The folder of ROS's log files: where it cannot be written, a node goes on without a file.

rcl ends a process that has no home, or a read-only one, as containers often have.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

WITHOUT_FILE = ("--ros-args", "--disable-external-lib-logs")
"""Arguments that leave the console, and ``/rosout``."""


def why_no_log() -> str:
    """Return in words why ROS could not write its log files, with the mend; empty if it could."""
    folder = os.environ.get("ROS_LOG_DIR") or _below_home()
    if folder.startswith("~"):
        home = os.environ.get("HOME")  # rcl looks nowhere else
        if not home:
            return "no log file is written: there is no HOME; set ROS_LOG_DIR"
        folder = home + folder[1:]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"no log file is written to {folder}: {error.strerror}; set ROS_LOG_DIR"
    return ""


def with_log(arguments: Sequence[str], why_none: str) -> list[str]:
    """Return a command line with which ROS begins, with its log files or without."""
    return [*arguments, *(WITHOUT_FILE if why_none else ())]


def _below_home() -> str:
    return str(Path(os.environ.get("ROS_HOME") or "~/.ros") / "log")
