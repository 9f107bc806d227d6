"""The newest folders of one kind that a node has written: as many as are kept, the oldest go.

Whatever else lies beside them is not ours and stays.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.nodes.recording.record_folder import TIME, Circumstances, Kept, write_folder


class Recordings:
    """Folders in one place, which only one process writes, one after the other.

    Args:
        place: where they are; made with the first of them.
        most: of them that stay.
    """

    def __init__(self, place: Path, most: int) -> None:
        self._place, self._most = place, most
        self._written: list[Path] = []
        """By this process, the oldest first: names are of little use where a clock was set back, or
        is not set yet, as on a computer without a battery for it."""

    def write(self, name: str, kept: Iterable[Kept], circumstances: Circumstances) -> Path:
        """Write one more, as :func:`write_folder` does, and return it.

        Raises:
            AnymodalError: it cannot be written.
        """
        try:
            place = self._place.expanduser()
        except RuntimeError as error:  # nobody of this number, and HOME is not set
            raise AnymodalError(
                f"{self._place} cannot be written to, there is no home: set ROS_HOME"
            ) from error
        for left in _ours(place, "."):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        path = write_folder(place, name, kept, circumstances)
        there = _ours(place)
        self._written = [one for one in (*self._written, path) if one in there]
        before = [one for one in there if one not in self._written]
        for old in (*before, *self._written)[: -self._most]:
            shutil.rmtree(old, ignore_errors=True)
        return path


def _ours(place: Path, begin: str = "") -> list[Path]:
    """Return what was written into a place, the oldest first.

    Args:
        place: that may not be there yet.
        begin: of the names, before the time: a dot for what is unfinished.
    """
    try:
        there = sorted(place.iterdir()) if place.is_dir() else []
    except OSError as error:
        raise AnymodalError(f"{place} cannot be read: {error}") from error
    ours = [path for path in there if TIME.match(path.name.removeprefix(begin))]
    return [path for path in ours if path.name.startswith(begin) and not path.is_symlink()]
