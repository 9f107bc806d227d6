"""Bags of ROS 1 without a usable index: those whose recorder was killed, or that were cut off.

The records are walked through once, from chunk to chunk, so that what is whole is read. With an
index, the library reads them (:mod:`.ros1`). Format: https://wiki.ros.org/Bags/Format/2.0
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anymodal_seg_ros.evaluation.bag_storage.held_chunks import Found, HeldChunks
from anymodal_seg_ros.evaluation.bag_storage.recording import (
    BagError,
    Channel,
    Record,
    absolute,
    check_topics_number,
    in_order,
    type_name,
)
from anymodal_seg_ros.evaluation.bag_storage.unpack import (
    MAX_UNPACKED,
    UnpackError,
    most_of_chunks,
    unpack,
)
from anymodal_seg_ros.foreign_text import quote

LATCHED = "[{durability: transient_local, depth: 1}]"
"""What ROS 2 calls a latched topic."""

_MESSAGE, _CHUNK, _CONNECTION = 2, 5, 7
_LENGTH, _TIME = struct.Struct("<I"), struct.Struct("<II")
_MAX_HEADER = 1 << 16
_MOST_TOLD = 3
"""Damaged places of a file that are told one by one."""


@dataclass(frozen=True, slots=True)
class _PackedRecords:
    start_ns: int
    end_ns: int
    compression: str
    offset: int
    packed: int
    whole: bool


class UnfinishedRos1File:
    """A ``.bag`` file without its index; see :class:`~.recording.Storage`."""

    def __init__(self, path: Path) -> None:
        """Find out what is in a file.

        Raises:
            BagError: nothing of it is whole.
        """
        self.path = path
        self._damaged: dict[int, str] = {}
        self._by_id: dict[int, Channel] = {}
        self._counts: Counter[int] = Counter()
        self._chunks: list[_PackedRecords] = []
        self._held = HeldChunks(path, "rosbag reindex")
        self._file = path.open("rb")
        try:
            self._scan(path.stat().st_size)
            if not self._chunks:
                raise BagError(f"{path} was cut off before anything whole was recorded")
        except BaseException:
            self._file.close()
            raise

    @property
    def notes(self) -> list[str]:
        """What was wrong with the file but could be passed over; of many places the first few."""
        cut = (
            f"{self.path} has no index, as its recorder did not finish: what is whole is read "
            "('rosbag reindex' mends it)"
        )
        told = list(self._damaged.values())[:_MOST_TOLD]
        more = len(self._damaged) - len(told)
        return [cut, *told, *([f"{self.path}: {more} more chunks are passed over"] if more else [])]

    @property
    def channels(self) -> Collection[Channel]:
        """Every topic, once for each connection of it that differs."""
        return dict.fromkeys(self._by_id.values())

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Log time of the first and of the last message."""
        return min(c.start_ns for c in self._chunks), max(c.end_ns for c in self._chunks)

    def count(self, channel: Channel) -> int:
        """How many messages a channel has."""
        return sum(self._counts[i] for i, known in self._by_id.items() if known == channel)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def records(
        self, channels: Collection[Channel], start_ns: int, end_ns: int
    ) -> Iterator[Record]:
        """Yield the messages of some channels in order of log time, ``end_ns`` excluded.

        Raises:
            BagError: the file's chunks overlap so much that they cannot be put in order.
        """
        wanted = {i: channel for i, channel in self._by_id.items() if channel in channels}
        return in_order(
            (max(chunk.start_ns, start_ns), self._of_chunk(chunk, wanted, (start_ns, end_ns)))
            for chunk in self._chunks
            if chunk.start_ns < end_ns and chunk.end_ns >= start_ns
        )

    def _scan(self, size: int) -> None:
        """Walk through the records of the file, up to where it was cut."""
        position = self._file.read(32).find(b"\n") + 1
        limit, unpacked = most_of_chunks(size), 0
        while 0 < position < size:
            self._file.seek(position)
            header, position = self._header(position)
            self._file.seek(position)
            length = self._file.read(_LENGTH.size)
            if not header or len(length) < _LENGTH.size:
                return
            position += _LENGTH.size
            (packed,) = _LENGTH.unpack(length)
            if header.get("op") == bytes([_CHUNK]):
                there = min(packed, size - position)
                compression = header.get("compression", b"").decode("ascii", "replace")
                unpacked += self._take(
                    _PackedRecords(
                        0,
                        0,
                        "" if compression == "none" else compression,
                        position,
                        there,
                        there == packed,
                    )
                )
                if unpacked > limit:
                    raise BagError(
                        f"{self.path} unpacks to more than {limit // 1024**3} GiB, from "
                        f"{size // 1024} KiB: if that is right, unpack it yourself "
                        "('rosbag decompress') and give the result"
                    )
            position += packed

    def _header(self, position: int) -> tuple[Mapping[str, bytes], int]:
        """Read the header of a record, and return where it ends; empty if it is not whole."""
        head = self._file.read(_LENGTH.size)
        if len(head) < _LENGTH.size or (length := _LENGTH.unpack(head)[0]) > _MAX_HEADER:
            return {}, position
        content = self._file.read(length)
        fields = _fields(content) if len(content) == length else {}
        return fields, position + _LENGTH.size + length

    def _take(self, chunk: _PackedRecords) -> int:
        """Learn what a chunk holds; returns how large it is."""
        content = self._content(chunk)
        if content is None:
            return 0
        times = []
        for header, start, end in _records(content):
            if header.get("op") == bytes([_CONNECTION]):
                self._connect(header, content[start:end])
            elif (message := _message(header)) is not None:
                self._counts[message[0]] += 1
                times.append(message[1])
        if times:
            first, last = min(times), max(times)
            where = chunk.compression, chunk.offset, chunk.packed, chunk.whole
            self._chunks.append(_PackedRecords(first, last, *where))
        return len(content)

    def _connect(self, header: Mapping[str, bytes], content: bytes) -> None:
        """Take a connection: a topic of one publisher."""
        number, about = header.get("conn", b""), _fields(content)
        topic = header.get("topic", b"").decode("utf-8", "replace")
        if len(number) != _LENGTH.size or not topic or "type" not in about:
            return
        self._by_id[_LENGTH.unpack(number)[0]] = Channel(
            topic=absolute(topic),
            type=type_name(about["type"].decode("utf-8", "replace")),
            encoding="ros1",
            definition=about.get("message_definition", b"").decode("utf-8", "replace"),
            definition_kind="ros1msg",
            profiles=LATCHED if about.get("latching") == b"1" else "",
        )
        check_topics_number(self.path, len(self._by_id))

    def _content(self, chunk: _PackedRecords) -> bytes | None:
        """Unpack a chunk; a damaged one is told in the notes, and passed over."""
        self._file.seek(chunk.offset)
        packed = self._file.read(min(chunk.packed, MAX_UNPACKED))
        try:
            return unpack(packed, chunk.compression, cut_off=not chunk.whole)
        except UnpackError as error:
            place = f"{self.path}: the chunk at byte {chunk.offset} is passed over"
            self._damaged[chunk.offset] = f"{place}: {quote(error, 120)}"
            return None

    def _of_chunk(
        self, chunk: _PackedRecords, wanted: Mapping[int, Channel], span: tuple[int, int]
    ) -> Iterator[Record]:
        content = self._content(chunk)
        if content is None:
            return
        found: list[Found] = []
        for header, start, end in _records(content):
            message = _message(header)
            if message and message[0] in wanted and span[0] <= message[1] < span[1]:
                found.append((message[1], start, end, message[0]))
        yield from self._held.give_out(content, found, wanted)


def _message(header: Mapping[str, bytes]) -> tuple[int, int] | None:
    """Return connection and log time in ns of a message; None if it is something else."""
    number, time = header.get("conn", b""), header.get("time", b"")
    if header.get("op") != bytes([_MESSAGE]) or len(number) != 4 or len(time) != _TIME.size:
        return None
    seconds, nanoseconds = _TIME.unpack(time)
    return _LENGTH.unpack(number)[0], seconds * 10**9 + nanoseconds


def _fields(content: bytes) -> dict[str, bytes]:
    """Return the fields of a header, up to one that is not whole."""
    found: dict[str, bytes] = {}
    position = 0
    while position + _LENGTH.size <= len(content):
        (length,) = _LENGTH.unpack_from(content, position)
        position += _LENGTH.size
        name, equals, value = content[position : position + length].partition(b"=")
        if length > len(content) - position or not equals:
            break
        found[name.decode("ascii", "replace")] = value
        position += length
    return found


def _records(content: bytes) -> Iterator[tuple[dict[str, bytes], int, int]]:
    """Yield header, start and end of the records of a chunk, up to one that is not whole."""
    position = 0
    while position + _LENGTH.size <= len(content):
        (length,) = _LENGTH.unpack_from(content, position)
        header_end = position + _LENGTH.size + length
        if header_end + _LENGTH.size > len(content):
            return
        (size,) = _LENGTH.unpack_from(content, header_end)
        start = header_end + _LENGTH.size
        if size > len(content) - start:
            return
        yield _fields(content[position + _LENGTH.size : header_end]), start, start + size
        position = start + size
