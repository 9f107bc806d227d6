"""One moment of the node in a folder: for a bug report, or to look at a mask at a desk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.nodes.recording.record_folder import Circumstances, Kept, make_room
from anymodal_seg_ros.nodes.recording.recordings import Recordings

KEPT = 6
"""Newest messages of each series that are kept for a snapshot; they take room all the time."""

ROOM = 16_000_000
"""Bytes that they may take by topic, where that leaves more than two."""

MOST_FOLDERS = 20
"""Snapshots that stay on disk; anybody may ask for one more, as often as they like."""


class Snapshots:
    """Keeps what a snapshot needs, and writes it down when it is asked for."""

    def __init__(self, place: Path) -> None:
        """Keep nothing yet.

        Args:
            place: where snapshots are written, each in a folder of its own.
        """
        self._recordings = Recordings(place, MOST_FOLDERS)
        self._messages: dict[tuple[str, ...], deque[Kept]] = {}
        self.prediction: Prediction | None = None
        """The newest mask."""

    def note(self, kept: Kept) -> None:
        """Remember a message instead of the oldest of its series."""
        series = kept.series
        messages = self._messages.setdefault(series, deque(maxlen=KEPT))
        while messages and messages[-1].time_ns > kept.time_ns:
            messages.pop()  # of before the clock was set back, as where a bag begins again
        messages.append(kept)
        if len(series) > 1:
            make_room(self._messages, lambda several: sum(one.size for one in several))
        while len(messages) > 2 and kept.size * len(messages) > ROOM:
            messages.popleft()

    def forget(self) -> None:
        """Let everything go: what comes now has nothing to do with what came before."""
        self._messages = {}
        self.prediction = None

    def saving(self, circumstances: Circumstances) -> Callable[[], str]:
        """Return what writes a new folder with what is kept now, and returns its path.

        It may be called in another thread; it raises AnymodalError if it cannot be written.

        Raises:
            AnymodalError: nothing has come so far.
        """
        kept = [one for messages in self._messages.values() for one in messages]
        if not kept:
            raise AnymodalError("no message has come so far: there is nothing to write down")
        return lambda: str(self._recordings.write("", kept, circumstances))
