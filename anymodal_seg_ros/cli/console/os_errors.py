"""What the operating system refuses, in a line that says what to mend."""

from __future__ import annotations

import errno

from anymodal_seg_ros.errors import DISK_FULL
from anymodal_seg_ros.foreign_text import one_line


def told(error: Exception) -> str:
    """Return an error in one line."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        where = f" ({one_line(error.filename)})" if error.filename else ""
        return f"the disk is full{where}: make room, and give the same command again"
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return (
            f"{one_line(error.filename) if error.filename else 'a file'} became larger than may be "
            "written here (ulimit -f, or the file system): give the same command again where it may"
        )
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return one_line(f"{where}{error.strerror}")
    return one_line(error)
