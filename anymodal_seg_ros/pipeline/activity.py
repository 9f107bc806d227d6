"""What the threads of a pipeline are at, for those who watch that none hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from anymodal_seg_ros.pipeline.cross_check import SensorLook
from anymodal_seg_ros.pipeline.tasks import Decode, Fuse, Task


class Activity:
    """Heartbeats: since when each thread has been at which piece of work. Safe for threads.

    Attributes:
        worked_ns: time that all threads together have spent on work so far.
    """

    def __init__(self) -> None:
        """Begin with nobody at work."""
        self.worked_ns = 0
        self._busy: dict[int, tuple[str, float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def timed(self, task: Task) -> Iterator[None]:
        """Let others see how long a piece of work has taken so far."""
        started, thread = time.monotonic(), threading.get_ident()
        self._busy[thread] = (_words(task), started)
        try:
            yield
        finally:
            del self._busy[thread]
            took_ns = round((time.monotonic() - started) * 1e9)
            with self._lock:
                self.worked_ns += took_ns

    def longest(self) -> tuple[str, float]:
        """Say what has been worked on for longest at this moment, and for how many seconds."""
        started = min(list(self._busy.values()), key=lambda busy: busy[1], default=None)
        return ("", 0.0) if started is None else (started[0], time.monotonic() - started[1])


def _words(task: Task) -> str:
    if isinstance(task, Fuse):
        return "fusing"
    if isinstance(task, SensorLook):
        return "comparing the sensors"
    return f"{'decoding' if isinstance(task, Decode) else 'encoding'} {task.sample.sensor}"
