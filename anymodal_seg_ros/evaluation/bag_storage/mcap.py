"""mcap files, also those that were cut off, have no index, or were written by other tools.

The records are walked through once, from chunk to chunk; the index at the end only spares the look
into the chunks. So a file whose recorder lost power is read up to where it was cut.
Format: https://mcap.dev/spec
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

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

MAGIC = b"\x89MCAP0\r\n"
_FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _STATISTICS = 2, 3, 4, 5, 6, 11
_HEAD = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQII")
_USUAL_ENCODINGS = {"ros1msg": "ros1", "ros2msg": "cdr", "ros2idl": "cdr"}
"""Of messages, where a channel does not say it, by the kind of its schema."""
_MAX_TEXT = 1 << 22
"""Bytes of a schema or a channel record that are looked at."""
_MOST_TOLD = 3
"""Damaged places of a file that are told one by one."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    start_ns: int
    end_ns: int
    size: int
    crc: int
    compression: str
    offset: int
    packed: int
    whole: bool


class McapFile:
    """An mcap file; see :class:`~.recording.Storage`."""

    def __init__(self, path: Path) -> None:
        """Find out what is in a file.

        Raises:
            BagError: it is no mcap file, or was cut off before anything whole was in it.
        """
        self.path = path
        self._damaged: dict[int, str] = {}  # what is passed over, by where it lies
        self._whole = False
        self._file = path.open("rb")
        self._schemas: dict[int, tuple[str, str, str]] = {}
        self._by_id: dict[int, Channel] = {}
        self._chunks: list[_Chunk] = []
        self._loose: list[tuple[int, int, int, int]] = []  # log time, offset, bytes, channel
        self._counts: Counter[int] = Counter()
        self._told: dict[int, int] | None = None
        self._held = HeldChunks(path, "mcap sort")
        try:
            self._scan()
            self._look_into_chunks()
        except BaseException:
            self._file.close()
            raise
        self._loose.sort()

    @property
    def notes(self) -> list[str]:
        """What was wrong with the file but could be passed over; of many places the first few."""
        cut = (
            f"{self.path} was cut off, as by a loss of power: what is whole is read "
            "('mcap recover' makes a whole file of it)"
        )
        told = [f"{self.path}: the {what}" for what in list(self._damaged.values())[:_MOST_TOLD]]
        if more := len(self._damaged) - len(told):
            told.append(f"{self.path}: {more} more of its chunks and records are passed over")
        return told if self._whole else [cut, *told]

    @property
    def channels(self) -> Collection[Channel]:
        """Every topic, once for each channel of it that differs."""
        return dict.fromkeys(self._by_id.values())

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Log time of the first and of the last message; None if there is none."""
        starts = [c.start_ns for c in self._chunks] + [m[0] for m in self._loose[:1]]
        ends = [c.end_ns for c in self._chunks] + [m[0] for m in self._loose[-1:]]
        return (min(starts), max(ends)) if starts else None

    def count(self, channel: Channel) -> int:
        """How many messages a channel has."""
        counts = self._counts if self._told is None else self._told
        return sum(counts.get(i, 0) for i, known in self._by_id.items() if known == channel)

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
        span = (start_ns, end_ns)
        sources = [
            (max(chunk.start_ns, start_ns), self._of_chunk(chunk, wanted, span))
            for chunk in self._chunks
            if chunk.start_ns < end_ns and chunk.end_ns >= start_ns
        ]
        first, last = (bisect_left(self._loose, (time_ns,)) for time_ns in span)
        if first < last:
            sources.append((self._loose[first][0], self._of_loose(first, last, wanted)))
        return in_order(sources)

    def _scan(self) -> None:
        """Walk through the records of the file."""
        size = self.path.stat().st_size
        position = len(MAGIC)
        while position + _HEAD.size <= size:
            self._file.seek(position)
            kind, length = _HEAD.unpack(self._file.read(_HEAD.size))
            position += _HEAD.size
            if kind == _CHUNK and length > size - position:
                self._chunk(self._file.read(4096), position, size - position, whole=False)
            if kind == 0 or length > size - position:
                break
            if kind == _FOOTER:
                self._whole = True
                break
            if kind == _CHUNK:
                self._chunk(self._file.read(min(length, 4096)), position, length, whole=True)
            elif kind == _MESSAGE and length >= _MESSAGE_HEAD.size:
                self._message(self._file.read(_MESSAGE_HEAD.size), position, length)
            elif kind in (_SCHEMA, _CHANNEL, _STATISTICS) and length <= _MAX_TEXT:
                self._describe(kind, self._file.read(length), position)
            position += length
        self._check_total(size)
        if not self._whole:
            self._told = None
            if not self._chunks and not self._loose:
                raise self._nothing_whole()

    def _check_total(self, size: int) -> None:
        """Refuse what would be unpacked for hours, some kilobytes at a time."""
        limit = most_of_chunks(size)
        if sum(chunk.size for chunk in self._chunks) > limit:
            raise BagError(
                f"{self.path} is said to unpack to more than {limit // 1024**3} GiB, from "
                f"{size // 1024} KiB: if that is right, unpack it yourself ('mcap compress "
                "--compression none') and give the result"
            )

    def _nothing_whole(self) -> BagError:
        return BagError(
            f"{self.path} was cut off before anything whole was recorded: not even 'mcap recover' "
            "can read anything of it"
        )

    def _chunk(self, head: bytes, position: int, length: int, *, whole: bool) -> None:
        try:
            start_ns, end_ns, size, crc, name = _CHUNK_HEAD.unpack_from(head)
            at = _CHUNK_HEAD.size
            compression = head[at : at + name].decode()
            (packed,) = struct.unpack_from("<Q", head, at + name)
        except (struct.error, UnicodeDecodeError):
            self._damaged[position] = f"chunk at byte {position} is damaged: passed over"
            return
        at += name + 8
        if not whole:
            packed = min(packed, length - at)
        if size and 0 < packed <= length - at:
            chunk = _Chunk(start_ns, end_ns, size, crc, compression, position + at, packed, whole)
            self._chunks.append(chunk)

    def _message(self, head: bytes, position: int, length: int) -> None:
        channel, _, log_ns, _ = _MESSAGE_HEAD.unpack(head)
        offset, size = position + _MESSAGE_HEAD.size, length - _MESSAGE_HEAD.size
        self._loose.append((log_ns, offset, size, channel))
        self._counts[channel] += 1

    def _describe(self, kind: int, record: bytes, position: int) -> None:
        """Take a schema, a channel or the statistics; a damaged one is passed over.

        Args:
            kind: of the record.
            record: without its head.
            position: where in the file it lies, or the chunk that it is in.
        """
        fields = _Fields(record)
        try:
            if kind == _SCHEMA:
                number = fields.integer("<H")
                name, encoding = fields.text(), fields.text()
                self._schemas[number] = (type_name(name), encoding, fields.text())
            elif kind == _CHANNEL:
                self._take_channel(fields)
            else:
                fields.at = 42
                pairs = (fields.integers("<HQ") for _ in range(fields.integer("<I") // 10))
                self._told = {number: count for number, count in pairs}
        except struct.error:
            self._damaged[position] = f"record at byte {position} is damaged: passed over"

    def _take_channel(self, fields: _Fields) -> None:
        number, schema = fields.integers("<HH")
        if number in self._by_id:
            return
        topic, encoding = fields.text(), fields.text()
        end = fields.integer("<I") + fields.at
        metadata = {}
        while fields.at < min(end, len(fields.record)):
            key = fields.text()
            metadata[key] = fields.text()
        name, kind, definition = self._schemas.get(schema, ("", "", ""))
        profiles = metadata.get("offered_qos_profiles", "")
        encoding = encoding or _USUAL_ENCODINGS.get(kind, "")
        self._by_id[number] = Channel(absolute(topic), name, encoding, definition, kind, profiles)
        check_topics_number(self.path, len(self._by_id))

    def _look_into_chunks(self) -> None:
        """Where there is no index, learn what topics there are, and count their messages.

        Chunks that are said to begin at 0 or after their end are looked into as well: writers note
        so one that describes channels and holds no message.
        """
        known = bool(self._told) and set(self._told or ()) <= set(self._by_id)
        if not self._chunks:
            return
        if not known:
            self._told = None
        usable, damaged = [], 0
        for chunk in self._chunks:
            if known and 0 < chunk.start_ns <= chunk.end_ns:
                usable.append(chunk)
                continue
            content = self._content(chunk)
            damaged += content is None
            times = [] if content is None else self._take_in(content, chunk.offset)
            if times:
                usable.append(replace(chunk, start_ns=min(times), end_ns=max(times)))
        self._chunks = usable
        if damaged and not usable and not self._loose:
            raise BagError(f"{self.path}: the {next(iter(self._damaged.values()))}")
        if not self._by_id:
            raise self._nothing_whole()

    def _take_in(self, content: bytes, offset: int) -> list[int]:
        """Take what a chunk describes, count its messages, and return their log times.

        Args:
            content: of the chunk.
            offset: where in the file it lies.
        """
        times = []
        for kind, start, end in _records(content):
            if kind in (_SCHEMA, _CHANNEL) and end - start <= _MAX_TEXT:
                self._describe(kind, content[start:end], offset)
            elif kind == _MESSAGE and end - start >= _MESSAGE_HEAD.size:
                number, _, log_ns, _ = _MESSAGE_HEAD.unpack_from(content, start)
                self._counts[number] += 1
                times.append(log_ns)
        return times

    def _content(self, chunk: _Chunk) -> bytes | None:
        """Unpack a chunk; a damaged one is told in the notes, and passed over."""
        if chunk.offset in self._damaged:
            return None
        if chunk.size > MAX_UNPACKED:
            reason = f"it is said to unpack to more than {MAX_UNPACKED // 1024**2} MiB"
        else:
            self._file.seek(chunk.offset)
            try:
                packed = self._file.read(chunk.packed)
                content = unpack(packed, chunk.compression, chunk.size, cut_off=not chunk.whole)
            except UnpackError as error:
                reason = quote(error, 120)
            else:
                right = len(content) == chunk.size and chunk.crc in (0, crc32(content))
                if right or not chunk.whole:
                    return content
                reason = "its checksum or its size is wrong"
        self._damaged[chunk.offset] = f"chunk at byte {chunk.offset} is passed over: {reason}"
        return None

    def _of_chunk(
        self, chunk: _Chunk, wanted: dict[int, Channel], span: tuple[int, int]
    ) -> Iterator[Record]:
        content = self._content(chunk)
        if content is None:
            return
        found: list[Found] = []
        for kind, start, end in _records(content):
            if kind == _MESSAGE and end - start >= _MESSAGE_HEAD.size:
                number, _, log_ns, _ = _MESSAGE_HEAD.unpack_from(content, start)
                if number in wanted and span[0] <= log_ns < span[1]:
                    found.append((log_ns, start + _MESSAGE_HEAD.size, end, number))
        if found:
            yield from self._held.give_out(content, found, wanted)

    def _of_loose(self, first: int, last: int, wanted: dict[int, Channel]) -> Iterator[Record]:
        """Yield messages that lie in no chunk."""
        for log_ns, offset, size, number in self._loose[first:last]:
            if number not in wanted:
                continue
            self._file.seek(offset)
            # One that is too large is damaged, as one without a byte is; the others are read.
            yield log_ns, wanted[number], self._file.read(size if size <= MAX_UNPACKED else 0)


class _Fields:
    """The fields of one record, one after the other; struct.error where it ends too early."""

    def __init__(self, record: bytes) -> None:
        self.record, self.at = record, 0

    def integers(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(layout, self.record, self.at)
        self.at += struct.calcsize(layout)
        return values

    def integer(self, layout: str) -> int:
        return self.integers(layout)[0]

    def text(self) -> str:
        size = self.integer("<I")
        if size > len(self.record) - self.at:
            raise struct.error("a text is longer than its record")
        self.at += size
        return self.record[self.at - size : self.at].decode("utf-8", "replace")


def _records(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, start and end of the records of a chunk, up to one that is not whole."""
    position = 0
    while position + _HEAD.size <= len(content):
        kind, length = _HEAD.unpack_from(content, position)
        position += _HEAD.size
        if length > len(content) - position:
            return
        yield kind, position, position + length
        position += length
