"""Prophesee EVT 2.0: 32-bit words, each a whole event but for the upper bits of its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from anymodal_seg_ros.sensing.events.chunks import Chunk, word_chunks
from anymodal_seg_ros.sensing.events.spread import Spread
from anymodal_seg_ros.sensing.events.values import Decoded, Events, Packet, Times

OFF, ON, TIME_HIGH = 0, 1, 8
"""The kinds of words that matter: their upper four bits."""

_LOW_BITS = 6
_HIGH_MASK = (1 << 28) - 1
_ADDRESS = 0x7FF


class Evt2Decoder:
    """Decodes a stream that may be cut anywhere, even within a word."""

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

    def decode(self, packets: Sequence[Packet]) -> Iterator[Decoded]:
        """Decode consecutive packets in pieces of bounded size."""
        chunks, self._rest = word_chunks(packets, self._rest, self._dtype)
        for chunk in chunks:
            if not self._timed:
                high_at = (chunk.words >> 28 == TIME_HIGH).nonzero()[0]
                chunk = chunk.behind(int(high_at[0]) if high_at.size else chunk.words.size)
                self._timed = bool(high_at.size)
            if chunk.words.size:
                yield self._decode(chunk)

    def _decode(self, chunk: Chunk) -> Decoded:
        """Decode words of which the first names the time, or one before them did."""
        kinds = (chunk.words >> 28).astype(np.uint8)
        spread = Spread(kinds <= ON)
        high_at = (kinds == TIME_HIGH).nonzero()[0]
        before = (self._high or 0) << _LOW_BITS
        highs = self._unwrap((chunk.words[high_at] & _HIGH_MASK).astype(np.int64)) << _LOW_BITS
        own = chunk.words[spread.event_at]
        times = spread(high_at, highs, before)
        times |= (own >> 22) & ((1 << _LOW_BITS) - 1)
        times *= 1000
        if times.size:
            times[0] = max(int(times[0]), self._time_ns)
            if (times[1:] < times[:-1]).any():
                times = np.maximum.accumulate(times)
            self._time_ns = int(times[-1])
        if highs.size:
            self._time_ns = max(self._time_ns, int(highs[-1]) * 1000)
        x = ((own >> 11) & _ADDRESS).astype(np.uint16)
        y = (own & _ADDRESS).astype(np.uint16)
        events = Events(times, x, y, kinds[spread.event_at])
        return Decoded(events, chunk.anchors(high_at, highs * 1000), self._time_ns)

    def _unwrap(self, raw: Times) -> Times:
        """Count the wraps of the 34 bits, 4.8 hours apart, into the upper bits of the time."""
        if not raw.size:
            return raw
        before = np.empty_like(raw)
        before[0] = raw[0] if self._high is None else self._high & _HIGH_MASK
        before[1:] = raw[:-1]
        steps = raw - before
        steps[steps < -(_HIGH_MASK >> 1)] += _HIGH_MASK + 1
        highs = np.cumsum(steps)
        highs += raw[0] if self._high is None else self._high
        self._high = int(highs[-1])
        return highs
