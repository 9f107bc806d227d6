"""A byte stream cut into words, in pieces that keep the arrays of the decoders small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.events.values import Anchor, Indices, Packet, Times

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
