"""What all decoders of words share: the stream cut into words, and values spread over events.

A loop over the words is hopeless in Python. So every kind of word is found at once, and what it
says is spread over the event words behind it with one ``repeat``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.events.values import Anchor, Indices, Packet, Times, Words

NOWHERE = 0xFFFF
"""A row or column that no word has named yet: outside every sensor, so its events are dropped."""

ADDRESS, POLARITY_SHIFT = 0x7FF, 11
"""Of words of 16 bits with a kind of 4: the bits of a row or column, and where the polarity is."""

CHUNK_BYTES = 32_768
"""What is decoded at once. At this size every intermediate array fits the processor's cache and
stays below the size at which malloc asks the kernel for fresh pages: twice as fast as 64 KiB. It
also bounds the memory that hostile bytes can claim, since a byte can unfold into six events."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive words of a stream.

    Attributes:
        words: unsigned ``[N]``, in native byte order.
        begins: the first word and the header stamp of each packet that begins here.
    """

    words: npt.NDArray[Any]
    begins: tuple[tuple[int, int], ...]

    def behind(self, skipped: int) -> Chunk:
        """Leave out some words at the beginning."""
        begins = tuple((max(at - skipped, 0), stamp) for at, stamp in self.begins)
        return Chunk(self.words[skipped:], begins)

    def anchors(self, time_at: Indices, times_ns: Times) -> tuple[Anchor, ...]:
        """Pair each packet that begins here with the first time in it.

        Args:
            time_at: positions of the time words.
            times_ns: what they say.
        """
        firsts = np.searchsorted(time_at, [at for at, _ in self.begins])
        ends = [*(at for at, _ in self.begins), self.words.size][1:]
        return tuple(
            Anchor(int(times_ns[first]), stamp)
            for first, end, (_, stamp) in zip(firsts, ends, self.begins, strict=True)
            if first < time_at.size and time_at[first] < end
        )


def word_chunks(
    packets: Sequence[Packet], rest: bytes, dtype: np.dtype[Any]
) -> tuple[list[Chunk], bytes]:
    """Join packets and cut them into words.

    Args:
        packets: consecutive in the stream.
        rest: the beginning of a word that the packets before them ended in.
        dtype: of a word, with its byte order.

    Returns:
        Chunks of at most ``CHUNK_BYTES``, and the bytes that are left over.
    """
    data = np.concatenate([np.frombuffer(rest, np.uint8), *(packet.data for packet in packets)])
    whole = data.size - data.size % dtype.itemsize
    words = data[:whole].view(dtype)
    if not dtype.isnative:
        words = words.astype(dtype.newbyteorder("="))
    begins, at = [], len(rest)
    for packet in packets:
        begins.append((-(-at // dtype.itemsize), packet.stamp_ns))
        at += packet.data.size
    step = CHUNK_BYTES // dtype.itemsize
    chunks = []
    for start in range(0, words.size, step):
        inside = tuple((at - start, ns) for at, ns in begins if start <= at < start + step)
        chunks.append(Chunk(words[start : start + step], inside))
    return chunks, data[whole:].tobytes()


def stretches(begins: npt.NDArray[Any], total: int) -> Indices:
    """Cut ``total`` things at some places: how many there are in each piece.

    Args:
        begins: where all pieces but the first begin, ascending.
        total: the end of the last piece.
    """
    bounds = np.empty(begins.size + 2, np.intp)
    bounds[0], bounds[-1] = 0, total
    bounds[1:-1] = begins
    return bounds[1:] - bounds[:-1]


class Spread:
    """Gives every event word the value that was valid when it came.

    The usual way, a running maximum over word positions, costs six times as much as counting the
    events between two changes and repeating the value that often.

    Attributes:
        event_at: positions of the event words.
    """

    def __init__(self, is_event: npt.NDArray[np.bool_]) -> None:
        """Count the event words of a chunk."""
        self.event_at: Indices = is_event.nonzero()[0]
        self._events_until = np.cumsum(is_event, dtype=np.int32)

    def __call__(self, at: Indices, values: npt.NDArray[Any], before: int) -> npt.NDArray[Any]:
        """Spread a value over the event words.

        Args:
            at: positions of the words that change it.
            values: what they change it to.
            before: its value until the first of them.

        Returns:
            One value per event word, in the dtype of ``values``.
        """
        steps = np.empty(at.size + 1, values.dtype)
        steps[0] = before
        steps[1:] = values
        return np.repeat(steps, stretches(self._events_until[at], self.event_at.size))

    def events_before(self, at: Indices) -> Indices:
        """Count the event words before each of some positions that are no event words."""
        return self._events_until[at].astype(np.intp)


class Runs:
    """Runs of neighbouring pixels: a base, then words with one bit for each pixel.

    Single events may stand among them; they do not move the base.
    """

    def __init__(self, single: int, widths: dict[int, int]) -> None:
        """Set up for one encoding.

        Args:
            single: the kind of words that are one event.
            widths: how many pixels the other kinds of event words speak of.
        """
        self._single = single
        self._widths = np.zeros(16, np.int32)
        self._masks = np.zeros(16, np.uint16)
        for kind, width in widths.items():
            self._widths[kind], self._masks[kind] = width, (1 << width) - 1
        self.reset()

    def reset(self) -> None:
        """Forget the base: it must be named anew."""
        self._base, self._on = NOWHERE, 0

    def unfold(
        self,
        own: Words,
        kinds: npt.NDArray[np.uint8],
        spread: Spread,
        base_at: Indices,
        bases: Words,
    ) -> tuple[Indices, npt.NDArray[Any], npt.NDArray[Any]]:
        """Turn event words into their events.

        Args:
            own: payloads of the event words.
            kinds: of the event words.
            spread: over the event words.
            base_at: where a run is given its first pixel and its polarity.
            bases: payloads of those words.

        Returns:
            For every event: its word among the event words, its place along the run, its polarity.
        """
        # Each run begins where the run before it ended, counted from the last base.
        passed = np.zeros(own.size + 1, np.int32)
        np.cumsum(self._widths[kinds], out=passed[1:])
        zero = (bases & ADDRESS).astype(np.int32) - passed[spread.events_before(base_at)]
        is_single = kinds == self._single
        first = spread(base_at, zero, self._base) + passed[:-1]
        first = np.where(is_single, own & ADDRESS, first)
        on = spread(base_at, bases >> POLARITY_SHIFT, self._on)
        on = np.where(is_single, own >> POLARITY_SHIFT, on)
        hits = np.where(is_single, np.uint16(1), own & self._masks[kinds])
        if bases.size:
            self._base, self._on = int(zero[-1]), int(bases[-1] >> POLARITY_SHIFT)
        self._base = min(self._base + int(passed[-1]), NOWHERE)

        bits = np.unpackbits(hits.astype("<u2").view(np.uint8), bitorder="little")
        found = bits.view(np.bool_).nonzero()[0]
        word = found >> 4
        return word, first[word] + (found & 15), on[word]
