"""Encodings whose every word of eight bytes is a whole event: ``mono`` and ``libcaer``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from anymodal_seg_ros.sensing.events.values import Anchor, Decoded, Events, Packet

WORD_BYTES = 8
"""Packets of these encodings are whole numbers of words."""

_LIBCAER_TIME_RANGE = 1 << 31
"""The microseconds of libcaer wrap round after 36 minutes; the time base counts earlier wraps."""


class MonoDecoder:
    """``mono``: dt in ns (32 bits), x (16), y (15), polarity (1), from the least significant on."""

    def __init__(self, big_endian: bool = False) -> None:
        """Set the byte order of a word."""
        self._dtype = np.dtype(">u8" if big_endian else "<u8")

    def reset(self) -> None:
        """Do nothing: every packet stands for itself."""

    def decode(self, packets: Sequence[Packet]) -> Iterator[Decoded]:
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

    def decode(self, packets: Sequence[Packet]) -> Iterator[Decoded]:
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


def _decoded(events: Events, packet: Packet) -> Decoded:
    if not len(events):
        return Decoded(events, (), None)
    anchor = Anchor(int(events.time_ns[0]), packet.stamp_ns)
    return Decoded(events, (anchor,), int(events.time_ns[-1]))
