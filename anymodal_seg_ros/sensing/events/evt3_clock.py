"""The clock of EVT 3.0: 24 bits of microseconds, sent in two halves, with wraps and noise."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.events.spread import stretches
from anymodal_seg_ros.sensing.events.values import Indices, Times, Words

TIME_LOW, TIME_HIGH = 6, 8
"""The kinds of the two words: their upper four bits."""

_HALF_BITS = 12
_PAYLOAD = 0xFFF
_NOISE_STEPS = 10
"""Sensors sometimes set the upper half back this far. What is more than that is a wrap."""

_Steps = TypeVar("_Steps", int, Times)


class Evt3Clock:
    """Follows the time words of a stream. Its time never runs backwards.

    Attributes:
        time_ns: the time now, with the wraps of the 24 bits counted in.
        known: whether both halves were heard since the last gap.
    """

    def __init__(self) -> None:
        """Start without a time."""
        self.time_ns = 0
        self._high: int | None = None
        self.lose()

    def lose(self) -> None:
        """Wait for both halves anew, because words were lost.

        The wraps stay counted: a gap is taken to be shorter than the 16.8 s between two of them.
        """
        self.known = False
        self._high_heard = False

    def seek(self, words: Words) -> int:
        """Return how many words there are before the first whose time is known.

        That is the first lower half behind an upper half.
        """
        kinds = words >> _HALF_BITS
        high_at = (kinds == TIME_HIGH).nonzero()[0]
        low_at = (kinds == TIME_LOW).nonzero()[0]
        if not self._high_heard:
            if not high_at.size:
                return words.size
            low_at = low_at[low_at > high_at[0]]
            self._high_heard = True
        start = int(low_at[0]) if low_at.size else words.size
        for raw in (words[high_at[high_at < start]] & _PAYLOAD).tolist():
            self._high = raw if self._high is None else self._high + _steps(raw - self._high)
        self.known = bool(low_at.size)
        return start

    def read(self, kinds: npt.NDArray[np.uint8], payloads: Words) -> tuple[Indices, Times]:
        """Follow the time words of a chunk, once the time is known.

        Args:
            kinds: upper four bits of each word.
            payloads: the other twelve.

        Returns:
            Where the time changes, and to what, in nanoseconds.
        """
        high_at, highs = self._new_highs(kinds, payloads)
        is_time = kinds == TIME_LOW
        is_time[high_at] = True
        time_at = is_time.nonzero()[0]
        times = payloads[time_at].astype(np.int64)
        if highs.size > 1:
            begins = np.searchsorted(time_at, high_at)
            times[begins] = 0  # until the lower half says otherwise
            times |= np.repeat(highs, stretches(begins, time_at.size)) << _HALF_BITS
        else:
            times |= highs[0] << _HALF_BITS
        times *= 1000
        if times.size:
            times[0] = max(int(times[0]), self.time_ns)
            if (times[1:] < times[:-1]).any():
                times = np.maximum.accumulate(times)
            self.time_ns = int(times[-1])
        return time_at, times

    def _new_highs(self, kinds: npt.NDArray[np.uint8], payloads: Words) -> tuple[Indices, Times]:
        """Find the words that change the upper half; most of them only repeat it.

        Returns:
            Where they are, and the upper half before the first of them and from each of them on.
        """
        assert self._high is not None  # the time is known
        at = (kinds == TIME_HIGH).nonzero()[0]
        raw = payloads[at]
        before = np.empty_like(raw)
        before[:1] = self._high & _PAYLOAD
        before[1:] = raw[:-1]
        changes = (raw != before).nonzero()[0]
        highs = np.empty(changes.size + 1, np.int64)
        highs[0] = self._high
        highs[1:] = _steps(raw[changes].astype(np.int64) - before[changes])
        np.cumsum(highs, out=highs)
        self._high = int(highs[-1])
        return at[changes], highs


def _steps(difference: _Steps) -> _Steps:
    """How far the upper half went, by how much its twelve bits differ."""
    return (difference + _NOISE_STEPS) % (1 << _HALF_BITS) - _NOISE_STEPS
