"""Prophesee's encodings, EVT 2.0 and EVT 3.0, as streams that go on from packet to packet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.events.values import (
    DecodedEvents,
    Events,
    Indices,
    Packet,
    Times,
    Words,
)
from anymodal_seg_ros.sensing.events.word_streams import (
    ADDRESS,
    NOWHERE,
    POLARITY_SHIFT,
    Chunk,
    Runs,
    Spread,
    stretches,
    word_chunks,
)

ROW, SINGLE, VECTOR_BASE, VECTOR_12, VECTOR_8, TIME_LOW, TIME_HIGH = 0, 2, 3, 4, 5, 6, 8
"""The kinds of words of EVT 3.0: their upper four bits. Triggers and vendor words are skipped."""

_HALF_BITS = 12
_PAYLOAD = 0xFFF
_NOISE_STEPS = 10
"""Sensors sometimes set the upper half back this far. What is more than that is a wrap."""

_Steps = TypeVar("_Steps", int, Times)

_EVT2_ON, _EVT2_TIME_HIGH = 1, 8
"""The kinds of words that matter, by their upper four bits; what is below ON is OFF."""

_EVT2_LOW_BITS = 6
_EVT2_NOISE_STEPS = (_NOISE_STEPS << _HALF_BITS) >> _EVT2_LOW_BITS
_EVT2_HIGH_MASK = (1 << 28) - 1


class Evt3Decoder:
    """Prophesee EVT 3.0: words of 16 bits that each say only what has changed.

    A word names a row, a column with its event, a run of columns, or a part of the time, and
    everything else stays as earlier words left it. So the meaning of a packet depends on all
    packets before it. The stream may be cut anywhere, even within a word.
    """

    def __init__(self, big_endian: bool = False) -> None:
        """Start without any knowledge of time and place."""
        self._dtype = np.dtype(">u2" if big_endian else "<u2")
        self._clock = Evt3Clock()
        self._runs = Runs(SINGLE, {VECTOR_12: 12, VECTOR_8: 8})
        self.reset()

    def reset(self) -> None:
        """Forget the state, because bytes were lost: time, row and base must be named anew."""
        self._rest = b""
        self._clock.lose()
        self._runs.reset()
        self._row = NOWHERE

    def decode(self, packets: Sequence[Packet]) -> Iterator[DecodedEvents]:
        """Decode consecutive packets in pieces of bounded size."""
        chunks, self._rest = word_chunks(packets, self._rest, self._dtype)
        for chunk in chunks:
            if not self._clock.known:
                chunk = chunk.behind(self._clock.seek(chunk.words))
            if chunk.words.size:
                yield self._decode(chunk)

    def _decode(self, chunk: Chunk) -> DecodedEvents:
        """Decode words whose time is known from the first on."""
        kinds = (chunk.words >> 12).astype(np.uint8)
        payloads: Words = chunk.words & np.uint16(_PAYLOAD)
        is_event = kinds == SINGLE
        is_vector = (kinds >> 1) == (VECTOR_12 >> 1)
        if has_vectors := bool(is_vector.any()):
            is_event |= is_vector
        spread = Spread(is_event)

        before_ns = self._clock.time_ns
        time_at, times_ns = self._clock.read(kinds, payloads)
        time_ns = spread(time_at, times_ns, before_ns)
        row_at = (kinds == ROW).nonzero()[0]
        rows = payloads[row_at] & ADDRESS
        y = spread(row_at, rows, self._row)
        if rows.size:
            self._row = int(rows[-1])

        own = payloads[spread.event_at]
        base_at = (kinds == VECTOR_BASE).nonzero()[0]
        if has_vectors or base_at.size:
            event_kinds, bases = kinds[spread.event_at], payloads[base_at]
            word, x, on = self._runs.unfold(own, event_kinds, spread, base_at, bases)
            events = Events(time_ns[word], x, y[word], on)
        else:
            events = Events(time_ns, own & ADDRESS, y, own >> POLARITY_SHIFT)
        return DecodedEvents(events, chunk.anchors(time_at, times_ns), self._clock.time_ns)


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


class Evt2Decoder:
    """Prophesee EVT 2.0: words of 32 bits, each a whole event but for the upper bits of its time.

    The stream may be cut anywhere, even within a word.
    """

    def __init__(self, big_endian: bool = False) -> None:
        """Start without a time."""
        self._dtype = np.dtype(">u4" if big_endian else "<u4")
        self._high: int | None = None
        self._time_ns = 0
        self.reset()

    def reset(self) -> None:
        """Forget the state, because bytes were lost; the wraps of the clock stay counted."""
        self._rest = b""
        self._timed = False

    def decode(self, packets: Sequence[Packet]) -> Iterator[DecodedEvents]:
        """Decode consecutive packets in pieces of bounded size."""
        chunks, self._rest = word_chunks(packets, self._rest, self._dtype)
        for chunk in chunks:
            if not self._timed:
                high_at = (chunk.words >> 28 == _EVT2_TIME_HIGH).nonzero()[0]
                chunk = chunk.behind(int(high_at[0]) if high_at.size else chunk.words.size)
                self._timed = bool(high_at.size)
            if chunk.words.size:
                yield self._decode(chunk)

    def _decode(self, chunk: Chunk) -> DecodedEvents:
        """Decode words of which the first names the time, or one before them did."""
        kinds = (chunk.words >> 28).astype(np.uint8)
        spread = Spread(kinds <= _EVT2_ON)
        high_at = (kinds == _EVT2_TIME_HIGH).nonzero()[0]
        before = (self._high or 0) << _EVT2_LOW_BITS
        highs = (
            self._unwrap((chunk.words[high_at] & _EVT2_HIGH_MASK).astype(np.int64))
            << _EVT2_LOW_BITS
        )
        own = chunk.words[spread.event_at]
        times = spread(high_at, highs, before)
        times |= (own >> 22) & ((1 << _EVT2_LOW_BITS) - 1)
        times *= 1000
        if times.size:
            times[0] = max(int(times[0]), self._time_ns)
            if (times[1:] < times[:-1]).any():
                times = np.maximum.accumulate(times)
            self._time_ns = int(times[-1])
        if highs.size:
            self._time_ns = max(self._time_ns, int(highs[-1]) * 1000)
        x = ((own >> 11) & ADDRESS).astype(np.uint16)
        y = (own & ADDRESS).astype(np.uint16)
        events = Events(times, x, y, kinds[spread.event_at])
        return DecodedEvents(events, chunk.anchors(high_at, highs * 1000), self._time_ns)

    def _unwrap(self, raw: Times) -> Times:
        """Count the wraps of the 34 bits, 4.8 hours apart, into the upper bits of the time.

        A sensor that was started anew counts from zero: as with EVT 3.0, that is one more wrap. So
        time goes on, if from another moment, which the clock that follows the packets notices.
        """
        if not raw.size:
            return raw
        before = np.empty_like(raw)
        before[0] = raw[0] if self._high is None else self._high & _EVT2_HIGH_MASK
        before[1:] = raw[:-1]
        steps = raw - before
        steps[steps < -_EVT2_NOISE_STEPS] += _EVT2_HIGH_MASK + 1
        highs = np.cumsum(steps)
        highs += raw[0] if self._high is None else self._high
        self._high = int(highs[-1])
        return highs
