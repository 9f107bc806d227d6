"""Encodings whose packets each stand for themselves, with a time base of their own.

``mono`` and ``libcaer`` have words of eight bytes, each a whole event. ``libcaer_cmp`` has words of
two that say only what has changed, as EVT 3.0 has; time begins anew with each packet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from anymodal_seg_ros.sensing.events.values import Anchor, DecodedEvents, Events, Packet, Words
from anymodal_seg_ros.sensing.events.word_streams import (
    ADDRESS,
    NOWHERE,
    POLARITY_SHIFT,
    Runs,
    Spread,
    word_chunks,
)

WORD_BYTES = {"mono": 8, "libcaer": 8, "libcaer_cmp": 2}
"""Packets of these encodings are whole numbers of words of so many bytes."""

_TIME_HIGH, _TIME_LOW, _COLUMN, _ROW, _VECTOR_BASE, _VECTOR_8 = range(6)
"""The kinds of words of ``libcaer_cmp``: their upper four bits."""

_PAYLOAD = np.uint16(0xFFF)

_LIBCAER_TIME_RANGE = 1 << 31
"""The microseconds of libcaer wrap round after 36 minutes; the time base counts earlier wraps."""


class MonoDecoder:
    """``mono``: dt in ns (32 bits), x (16), y (15), polarity (1), from the least significant on."""

    def __init__(self, big_endian: bool = False) -> None:
        """Set the byte order of a word."""
        self._dtype = np.dtype(">u8" if big_endian else "<u8")

    def reset(self) -> None:
        """Do nothing: every packet stands for itself."""

    def decode(self, packets: Sequence[Packet]) -> Iterator[DecodedEvents]:
        """Decode packets one by one; each has its own time base."""
        for packet in packets:
            words = packet.data.view(self._dtype).astype(np.uint64, copy=False)
            place = (words >> np.uint64(32)).astype(np.uint32)
            x = (place & 0xFFFF).astype(np.uint16)
            y = ((place >> 16) & 0x7FFF).astype(np.uint16)
            time_ns = (words & np.uint64(0xFFFFFFFF)).astype(np.int64)
            time_ns += packet.time_base_ns
            yield _decoded(Events(time_ns, x, y, place >> 31), packet)


class LibcaerDecoder:
    """``libcaer``: 32 bits of x (15), y (15), polarity (1), validity (1), then 32 bits of µs."""

    def __init__(self, big_endian: bool = False) -> None:
        """Set the byte order of the two halves of a word."""
        self._dtype = np.dtype(">u4" if big_endian else "<u4")

    def reset(self) -> None:
        """Do nothing: every packet stands for itself."""

    def decode(self, packets: Sequence[Packet]) -> Iterator[DecodedEvents]:
        """Decode packets one by one; each has its own time base."""
        for packet in packets:
            halves = packet.data.view(self._dtype).reshape(-1, 2)
            place = halves[:, 0].astype(np.uint32)
            time_ns = (halves[:, 1] & (_LIBCAER_TIME_RANGE - 1)).astype(np.int64)
            fell = time_ns[1:] < time_ns[:-1] - _LIBCAER_TIME_RANGE // 2
            if fell.any():  # more than once would be a packet of an hour
                time_ns[1:] += np.logical_or.accumulate(fell) * _LIBCAER_TIME_RANGE
            time_ns *= 1000
            time_ns += packet.time_base_ns
            x = (place >> 17).astype(np.uint16)
            y = ((place >> 2) & 0x7FFF).astype(np.uint16)
            yield _decoded(Events(time_ns, x, y, (place >> 1) & 1), packet)


class LibcaerCompressedDecoder:
    """``libcaer_cmp``: words for the time, the column, a row with its event, and runs of rows."""

    def __init__(self, big_endian: bool = False) -> None:
        """Start without a place."""
        self._dtype = np.dtype(">u2" if big_endian else "<u2")
        self._runs = Runs(_ROW, {_VECTOR_8: 8})
        self.reset()

    def reset(self) -> None:
        """Forget the column and the base of a run: they last from packet to packet."""
        self._runs.reset()
        self._column = NOWHERE

    def decode(self, packets: Sequence[Packet]) -> Iterator[DecodedEvents]:
        """Decode packets one by one, in pieces of bounded size; each has its own time base."""
        for packet in packets:
            kinds = packet.data.view(self._dtype) >> 12
            if (kinds > _VECTOR_8).any():  # no such words: it is something else
                self.reset()
                yield DecodedEvents(Events.none(), (), None, broken=True)
                continue
            self._high_us = self._low_us = 0
            anchors: tuple[Anchor, ...] = (Anchor(packet.time_base_ns, packet.stamp_ns),)
            chunks, _ = word_chunks([packet], b"", self._dtype)
            for chunk in chunks:
                yield self._decode(chunk.words, packet.time_base_ns, anchors)
                anchors = ()
            if not chunks:
                yield DecodedEvents(Events.none(), anchors, packet.time_base_ns)

    def _decode(self, words: Words, base_ns: int, anchors: tuple[Anchor, ...]) -> DecodedEvents:
        kinds = (words >> 12).astype(np.uint8)
        payloads = words & _PAYLOAD
        spread = Spread((kinds == _ROW) | (kinds == _VECTOR_8))
        high_at, low_at, column_at, base_at = (
            (kinds == kind).nonzero()[0] for kind in (_TIME_HIGH, _TIME_LOW, _COLUMN, _VECTOR_BASE)
        )
        highs, lows = payloads[high_at].astype(np.int64) << 12, payloads[low_at].astype(np.int64)
        time_us = spread(high_at, highs, self._high_us) | spread(low_at, lows, self._low_us)
        columns = payloads[column_at] & ADDRESS
        x = spread(column_at, columns, self._column)
        self._high_us = int(highs[-1]) if highs.size else self._high_us
        self._low_us = int(lows[-1]) if lows.size else self._low_us
        self._column = int(columns[-1]) if columns.size else self._column
        own, time_ns = payloads[spread.event_at], base_ns + 1000 * time_us
        if base_at.size or (kinds == _VECTOR_8).any():
            event_kinds, bases = kinds[spread.event_at], payloads[base_at]
            word, y, on = self._runs.unfold(own, event_kinds, spread, base_at, bases)
            events = Events(time_ns[word], x[word], y, on)
        else:
            events = Events(time_ns, x, own & ADDRESS, own >> POLARITY_SHIFT)
        until_ns = base_ns + 1000 * (self._high_us | self._low_us)
        return DecodedEvents(events, anchors, until_ns)


def _decoded(events: Events, packet: Packet) -> DecodedEvents:
    if not len(events):
        return DecodedEvents(events, (), None)
    anchor = Anchor(int(events.time_ns[0]), packet.stamp_ns)
    return DecodedEvents(events, (anchor,), int(events.time_ns[-1]))
