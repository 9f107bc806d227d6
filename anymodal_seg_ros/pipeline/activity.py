"""What the threads of a pipeline are at, for those who watch that none hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from anymodal_seg_ros.inference.engine_protocol import Engine, serving_engine
from anymodal_seg_ros.pipeline.cross_check import SensorLook
from anymodal_seg_ros.pipeline.tasks import Decode, Fuse, Task

_KNOWN_AT = 20
"""Pieces of work of one kind after which it is known how long they take: the first ones compile."""
_FADES = 0.99
"""What is left of the longest one at each piece that is shorter."""


class Busy(NamedTuple):
    """A piece of work under way.

    Attributes:
        what: in words; empty if nobody is at work.
        since_s: when it began, by ``time.monotonic``.
        usual_s: what such work has hardly ever taken longer than of late; None if not known yet, or
            if the work is to make another engine.
    """

    what: str = ""
    since_s: float = 0.0
    usual_s: float | None = None


@dataclass(slots=True)
class _Pace:
    """How long one kind of work has taken."""

    pieces: int = 0
    longest_s: float = 0.0

    def observe(self, took_s: float) -> None:
        self.pieces += 1
        self.longest_s = max(took_s, _FADES * self.longest_s)


class Activity:
    """Heartbeats: since when each thread has been at which piece of work. Safe for threads.

    Args:
        engine: does the work; what is known of how long it takes is forgotten when another one
            takes over.

    Attributes:
        worked_ns: time that all threads together have spent on work so far.
    """

    def __init__(self, engine: Engine) -> None:
        """Begin with nobody at work."""
        self.worked_ns = 0
        self._engine = engine
        self._serving = serving_engine(engine)
        self._busy: dict[int, Busy] = {}
        self._paces: dict[tuple[str, int], _Pace] = {}
        self._lock = threading.Lock()

    @contextmanager
    def timed(self, task: Task) -> Iterator[None]:
        """Let others see how long a piece of work has taken so far."""
        kind, started_s, thread = _kind(task), time.monotonic(), threading.get_ident()
        self._busy[thread] = Busy(kind[0], started_s, self._usual_s(kind))
        try:
            yield
        finally:
            del self._busy[thread]
            took_s = time.monotonic() - started_s
            with self._lock:
                self.worked_ns += round(took_s * 1e9)
                self._paces.setdefault(kind, _Pace()).observe(took_s)

    def longest(self) -> Busy:
        """Return what has been worked on for longest at this moment."""
        busy = min(list(self._busy.values()), key=lambda busy: busy.since_s, default=Busy())
        return busy._replace(usual_s=None) if getattr(self._engine, "replacing", False) else busy

    def _usual_s(self, kind: tuple[str, int]) -> float | None:
        serving = serving_engine(self._engine)
        with self._lock:
            if serving is not self._serving:
                self._serving = serving
                self._paces.clear()
            known = self._paces.get(kind)
        return known.longest_s if known is not None and known.pieces >= _KNOWN_AT else None


def _kind(task: Task) -> tuple[str, int]:
    """Name a kind of work, and the number of sensors if it depends on that."""
    if isinstance(task, Fuse):
        return "fusing", len(task.order.frame_set.fused)
    if isinstance(task, SensorLook):
        return "comparing the sensors", 1
    return f"{'decoding' if isinstance(task, Decode) else 'encoding'} {task.sample.sensor}", 1
