"""At a desk, where the next messages are known: another thread prepares the samples to come.

What is chosen, judged and fused is decided by the caller's thread alone, when each message is
pushed, as without this. Only what a sample becomes is made here, and that depends on nothing but
the sample and the key under which it is kept. So the masks are the same, bit for bit, and come
sooner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

from anymodal_seg_ros.frames import Sample
from anymodal_seg_ros.pipeline.assembly import Assembly

_MOST = 32
"""Samples that are remembered: those to come, and those that wait for a deadline."""


class _Coming(NamedTuple):
    """A message that has not been pushed yet, and the sample that it is."""

    message: Any
    sample: Sample


class _Begun(NamedTuple):
    """A sample and its preparation."""

    sample: Sample
    done: Future[object]


class Ahead:
    """One thread that prepares samples before their messages are pushed."""

    def __init__(self) -> None:
        """Start without any."""
        self._thread = ThreadPoolExecutor(1, "prepares ahead")
        self._coming: deque[_Coming] = deque(maxlen=_MOST)
        self._begun: deque[_Begun] = deque()

    def expect(self, message: Any, sample: Sample, prepare: Callable[[Sample], object]) -> None:
        """Prepare a sample, when those before it are done.

        Args:
            message: that will be pushed.
            sample: that it is.
            prepare: takes it through its stages.
        """
        if len(self._begun) == _MOST:
            self._begun.popleft().done.cancel()
        self._coming.append(_Coming(message, sample))
        self._begun.append(_Begun(sample, self._thread.submit(prepare, sample)))

    def take(self, sensor: str, message: Any, received_ns: int) -> Sample | None:
        """Return the sample that a message is which is pushed now; None if it was not expected."""
        for coming in self._coming:
            sample = coming.sample
            same = coming.message is message and sample.received_ns == received_ns
            if same and sample.sensor == sensor:
                self._coming.remove(coming)
                return sample
        return None

    def settle(self, sample: Sample) -> None:
        """Return when nothing more is made of a sample here.

        One that is not begun yet is left to the caller, who comes to whatever the engine raises, as
        well.
        """
        for begun in self._begun:
            if begun.sample is sample:
                if not begun.done.cancel():
                    wait([begun.done])
                self._begun.remove(begun)
                return

    def close(self) -> None:
        """End the thread when it has done what it is at; the rest is not begun."""
        self._thread.shutdown(cancel_futures=True)


def wanted_in(parts: Assembly, sensor: str) -> str:
    """Return the sensor in whose picture a sensor's next sample will be wanted.

    Empty if most of its samples are in no frame set, if events are still to be rendered, or if it
    cannot be prepared without the others of its frame set.
    """
    leader = parts.intake.leader()
    if leader is None or sensor in parts.events or not parts.intake.wants_most(sensor, leader):
        return ""
    picture = parts.pictures.sensor(leader)
    return "" if parts.preparer.needs_companions(sensor, picture) else picture
