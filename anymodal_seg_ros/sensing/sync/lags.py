"""How long after the reference's do the messages of another sensor come? The deadline follows.

Cameras differ in how long they expose, compute and send: a stereo camera or a network camera may be
60 to 100 ms behind a plain one, and perfectly well. With a deadline that does not know it, such a
sensor would never be in a frame set, or only with a picture that is a whole period old.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from anymodal_seg_ros.frames import Sample

MARGIN_NS = 5_000_000
"""Waited for longer than has been usual."""

_REMEMBERED = 15
_FEWEST = 5


class ArrivalLags:
    """Arrival minus stamp of every sensor's last samples. The two clocks may be different ones."""

    def __init__(self, sensors: Iterable[str]) -> None:
        """Begin without knowing anything."""
        self._lags = {name: deque[int](maxlen=_REMEMBERED) for name in sensors}

    def observe(self, sample: Sample) -> None:
        """Take note of one sample."""
        self._lags[sample.sensor].append(sample.received_ns - sample.time_ns)

    def forget(self, sensor: str) -> None:
        """Forget one sensor, whose clock has jumped."""
        self._lags[sensor].clear()

    def quickest(self, sensors: Iterable[str]) -> str | None:
        """Return whose samples usually come soonest after their stamps; None while not known."""
        known = [name for name in sensors if len(self._lags[name]) >= _FEWEST]
        return min(known, key=self._usual_ns, default=None)

    def behind_ns(self, sensor: str, reference: str) -> int | None:
        """Return how long after the reference's sample of the same stamp a sensor's usually comes.

        Nearly the longest of the last times, so that one message that was held up does not count.
        None while too little is known.
        """
        own, other = self._lags[sensor], self._lags[reference]
        if sensor == reference or len(own) < _FEWEST or len(other) < _FEWEST:
            return None
        return sorted(own)[-2] - self._usual_ns(reference)

    def _usual_ns(self, sensor: str) -> int:
        lags = self._lags[sensor]
        return sorted(lags)[len(lags) // 2]
