"""Prophesee EVT 3.0: 16-bit words that each say only what has changed.

A word names a row, a column with its event, a run of columns, or a part of the time, and everything
else stays as earlier words left it. So the meaning of a packet depends on all packets before it.

A loop over the words is hopeless in Python. Here every kind of word is found at once, and what it
says is spread over the event words behind it with one ``repeat``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.events.chunks import Chunk, word_chunks
from anymodal_seg_ros.sensing.events.evt3_clock import Evt3Clock
from anymodal_seg_ros.sensing.events.spread import Spread
from anymodal_seg_ros.sensing.events.values import Decoded, Events, Packet, Words

ROW, SINGLE, VECTOR_BASE, VECTOR_12, VECTOR_8 = 0, 2, 3, 4, 5
"""The kinds of words with places. Triggers and vendor words are passed over."""

NOWHERE = 0xFFFF
"""A row or column that no word has named yet: outside every sensor, so its events are dropped."""

_PAYLOAD = np.uint16(0xFFF)
_ADDRESS = 0x7FF
_POLARITY_SHIFT = 11

# By the kind of a word: the columns that it speaks of, and the bits that say which have an event.
_WIDTHS = np.zeros(16, np.int32)
_WIDTHS[[VECTOR_12, VECTOR_8]] = 12, 8
_MASKS = np.zeros(16, np.uint16)
_MASKS[[VECTOR_12, VECTOR_8]] = 0xFFF, 0xFF


class Evt3Decoder:
    """Decodes a stream that may be cut anywhere, even within a word."""

    def __init__(self, big_endian: bool = False) -> None:
        """Start without any knowledge of time and place."""
        self._dtype = np.dtype(">u2" if big_endian else "<u2")
        self._clock = Evt3Clock()
        self.reset()

    def reset(self) -> None:
        """Forget the state, because bytes were lost: time, row and base must be named anew."""
        self._rest = b""
        self._clock.lose()
        self._row = self._base = NOWHERE
        self._base_on = 0

    def decode(self, packets: Sequence[Packet]) -> Iterator[Decoded]:
        """Decode consecutive packets in pieces of bounded size."""
        chunks, self._rest = word_chunks(packets, self._rest, self._dtype)
        for chunk in chunks:
            if not self._clock.known:
                chunk = chunk.behind(self._clock.seek(chunk.words))
            if chunk.words.size:
                yield self._decode(chunk)

    def _decode(self, chunk: Chunk) -> Decoded:
        """Decode words whose time is known from the first on."""
        kinds = (chunk.words >> 12).astype(np.uint8)
        payloads = chunk.words & _PAYLOAD
        is_event = kinds == SINGLE
        is_vector = (kinds >> 1) == (VECTOR_12 >> 1)
        if has_vectors := bool(is_vector.any()):
            is_event |= is_vector
        spread = Spread(is_event)

        before_ns = self._clock.time_ns
        time_at, times_ns = self._clock.read(kinds, payloads)
        time_ns = spread(time_at, times_ns, before_ns)
        row_at = (kinds == ROW).nonzero()[0]
        rows = payloads[row_at] & _ADDRESS
        y = spread(row_at, rows, self._row)
        if rows.size:
            self._row = int(rows[-1])

        own = payloads[spread.event_at]
        events = Events(time_ns, own & _ADDRESS, y, own >> _POLARITY_SHIFT)
        base_at = (kinds == VECTOR_BASE).nonzero()[0]
        if has_vectors or base_at.size:
            bases = payloads[base_at]
            events = self._unfold(events, own, kinds[spread.event_at], spread, base_at, bases)
        return Decoded(events, chunk.anchors(time_at, times_ns), self._clock.time_ns)

    def _unfold(
        self,
        events: Events,
        own: Words,
        kinds: npt.NDArray[np.uint8],
        spread: Spread,
        base_at: npt.NDArray[np.intp],
        bases: Words,
    ) -> Events:
        """Turn runs of columns into their events.

        Args:
            events: one for each event word, as if all were single events.
            own: payloads of the event words.
            kinds: of the event words.
            spread: over the event words.
            base_at: where a run is given its first column and its polarity.
            bases: payloads of those words.
        """
        # Each run begins where the run before it ended, counted from the last base.
        passed = np.zeros(own.size + 1, np.int32)
        np.cumsum(_WIDTHS[kinds], out=passed[1:])
        zero = (bases & _ADDRESS).astype(np.int32) - passed[spread.events_before(base_at)]
        is_single = kinds == SINGLE
        first = spread(base_at, zero, self._base) + passed[:-1]
        first = np.where(is_single, events.x, first)
        on = np.where(
            is_single, events.on, spread(base_at, bases >> _POLARITY_SHIFT, self._base_on)
        )
        hits = np.where(is_single, np.uint16(1), own & _MASKS[kinds])
        if bases.size:
            self._base, self._base_on = int(zero[-1]), int(bases[-1] >> _POLARITY_SHIFT)
        self._base = min(self._base + int(passed[-1]), NOWHERE)

        bits = np.unpackbits(hits.astype("<u2").view(np.uint8), bitorder="little")
        found = bits.view(np.bool_).nonzero()[0]
        word = found >> 4
        return Events(events.time_ns[word], first[word] + (found & 15), events.y[word], on[word])
