"""``event_camera_msgs/EventPacket``: what is checked before a byte of it is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.decoding.decode import stamp_ns
from anymodal_seg_ros.sensing.decoding.payload import as_bytes
from anymodal_seg_ros.sensing.events.compressed import LibcaerCompressedDecoder
from anymodal_seg_ros.sensing.events.evt2 import Evt2Decoder
from anymodal_seg_ros.sensing.events.evt3 import Evt3Decoder
from anymodal_seg_ros.sensing.events.payload import check_size
from anymodal_seg_ros.sensing.events.values import LATEST_NS, Decoded, Packet
from anymodal_seg_ros.sensing.events.words import WORD_BYTES, LibcaerDecoder, MonoDecoder

ENCODINGS = ("evt3", "evt2", "mono", "libcaer", "libcaer_cmp")
"""Every encoding that :class:`PacketStream` takes."""

_WHOLE_WORDS = ("mono", "libcaer")


class Decoder(Protocol):
    """What turns the payloads of one camera into events."""

    def reset(self) -> None:
        """Forget what earlier packets said, because some were lost."""

    def decode(self, packets: Sequence[Packet]) -> Iterator[Decoded]:
        """Decode consecutive packets, in pieces of bounded size."""


@dataclass(frozen=True, slots=True)
class Format:
    """What has to stay the same from packet to packet."""

    encoding: str
    big_endian: bool
    height: int
    width: int


def packet_format(message: Any) -> Format:
    """Read and check how a packet is encoded.

    Raises:
        DecodeError: the encoding is unknown or the size absurd.
    """
    encoding = str(message.encoding)
    if encoding not in ENCODINGS:
        raise DecodeError(f"encoding is {encoding!r}: expected one of {', '.join(ENCODINGS)}")
    height, width = check_size(int(message.height), int(message.width))
    return Format(encoding, bool(message.is_bigendian), height, width)


def read_packet(message: Any) -> Packet:
    """View the payload of a packet. Nothing is copied.

    Raises:
        DecodeError: the stamp cannot be, or the payload is no bytes or no whole number of words.
    """
    stamp = stamp_ns(message.header)
    data = as_bytes(message.events, "events")
    if message.encoding in _WHOLE_WORDS and data.size % WORD_BYTES:
        raise DecodeError(
            f"events are {data.size} bytes: expected a multiple of {WORD_BYTES}, "
            f"as {message.encoding} needs"
        )
    time_base = int(message.time_base)
    if not 0 <= time_base < LATEST_NS:
        raise DecodeError(f"time_base is {time_base}: expected 0 to {LATEST_NS - 1} ns")
    return Packet(data, time_base, stamp)


def create_decoder(form: Format) -> Decoder:
    """Create the decoder for a format.

    Raises:
        DecodeError: it needs a library that is not installed.
    """
    if form.encoding == "evt3":
        return Evt3Decoder(form.big_endian)
    if form.encoding == "evt2":
        return Evt2Decoder(form.big_endian)
    if form.encoding == "mono":
        return MonoDecoder(form.big_endian)
    if form.encoding == "libcaer":
        return LibcaerDecoder(form.big_endian)
    return LibcaerCompressedDecoder(form.height, form.width)
