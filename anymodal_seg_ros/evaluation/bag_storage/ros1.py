"""Bags of ROS 1, through the rosbags library, with a limit to what their chunks unpack to."""

from __future__ import annotations

import bz2
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
from rosbags.interfaces import Connection
from rosbags.rosbag1 import Reader

from anymodal_seg_ros.evaluation.bag_storage.recording import (
    BagError,
    Channel,
    Record,
    Storage,
    absolute,
    check_topics_number,
    type_name,
)
from anymodal_seg_ros.evaluation.bag_storage.ros1_unfinished import LATCHED, UnfinishedRos1File
from anymodal_seg_ros.evaluation.bag_storage.unpack import UnpackError, most_of_chunks, unpack
from anymodal_seg_ros.foreign_text import quote

MAGIC = b"#ROSBAG V"


def open_ros1(path: Path) -> Storage:
    """Open a ``.bag`` file, with or without its index.

    Raises:
        BagError: nothing of it can be read.
    """
    try:
        return Ros1File(path)
    except BagError as error:
        try:
            return UnfinishedRos1File(path)
        except BagError:
            raise error from None


class Ros1File:
    """A ``.bag`` file; see :class:`~.recording.Storage`."""

    def __init__(self, path: Path) -> None:
        """Find out what is in a file.

        Raises:
            BagError: it has no index, as after a crash of the recorder, or is damaged.
        """
        self.path = path
        self.notes: list[str] = []
        self._reader = _BoundedReader(path)
        self._reader.limit = most_of_chunks(path.stat().st_size)
        try:
            self._reader.open()
        except Exception as error:  # whatever the library's parsers meet in a damaged file
            raise BagError(
                f"cannot read {path} as a bag of ROS 1: {_said(error)} "
                "('rosbag reindex' mends one whose recorder did not finish)"
            ) from error
        check_topics_number(path, len(self._reader.connections))
        self._connections = [(_channel(c), c) for c in self._reader.connections]

    @property
    def channels(self) -> Collection[Channel]:
        """Every topic, once for each connection of it that differs."""
        return dict.fromkeys(channel for channel, _ in self._connections)

    @property
    def span_ns(self) -> tuple[int, int] | None:
        """Log time of the first and of the last message; None if there is none."""
        if not self._reader.message_count:
            return None
        return self._reader.start_time, self._reader.end_time - 1

    def count(self, channel: Channel) -> int:
        """How many messages a channel has."""
        return sum(c.msgcount for known, c in self._connections if known == channel)

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def records(
        self, channels: Collection[Channel], start_ns: int, end_ns: int
    ) -> Iterator[Record]:
        """Yield the messages of some channels in order of log time, ``end_ns`` excluded.

        Raises:
            BagError: the file is damaged further on.
        """
        wanted = {c.id: (channel, c) for channel, c in self._connections if channel in channels}
        connections = [connection for _, connection in wanted.values()]
        if not connections:
            return
        self._reader.unpacked, last_ns = 0, start_ns - 1
        try:
            for connection, log_ns, data in self._reader.messages(connections, start_ns, end_ns):
                yield log_ns, wanted[connection.id][0], bytes(data)
                last_ns = log_ns
        except Exception as error:
            damaged = BagError(f"{self.path} is damaged: {_said(error)}")
            if self._reader.unpacked > self._reader.limit:
                raise damaged from error
            yield from self._beyond(damaged, channels, last_ns + 1, end_ns)

    def _beyond(
        self, damaged: BagError, channels: Collection[Channel], start_ns: int, end_ns: int
    ) -> Iterator[Record]:
        """Yield what is whole beyond a damaged place, without the index that led to it."""
        try:
            whole = UnfinishedRos1File(self.path)
        except BagError:
            raise damaged from None
        try:
            own = {(channel.topic, channel.type): channel for channel in channels}
            found = [c for c in whole.channels if (c.topic, c.type) in own]
            for log_ns, channel, data in whole.records(found, start_ns, end_ns):
                yield log_ns, own[channel.topic, channel.type], data
            note = f"{damaged}: what is whole is read"
            self.notes += [note] if note not in self.notes else []
        finally:
            whole.close()


def _channel(connection: Connection) -> Channel:
    return Channel(
        topic=absolute(connection.topic),
        type=type_name(connection.msgtype),
        encoding="ros1",
        definition=connection.msgdef.data,
        definition_kind="ros1msg",
        profiles=LATCHED if getattr(connection.ext, "latching", 0) else "",
    )


def _said(error: Exception) -> str:
    return quote(error, 200) or type(error).__name__


_PACKED: dict[Any, str] = {bz2.decompress: "bz2", lz4.frame.decompress: "lz4"}


class _BoundedReader(Reader):
    """The library's reader, with decompressors that stop in time.

    Attributes:
        limit: bytes that its chunks may unpack to.
        unpacked: bytes that were unpacked, each time that a chunk was; chunks that overlap in time
            are unpacked again and again.
    """

    limit = unpacked = 0

    def read_chunk(self) -> Any:
        chunk = super().read_chunk()
        if (compression := _PACKED.get(chunk.decompressor, "")) == "":
            return chunk
        return chunk._replace(decompressor=partial(self._unpack, compression=compression))

    def _unpack(self, data: bytes, compression: str) -> bytes:
        content = unpack(data, compression)
        self.unpacked += len(content)
        if self.unpacked > self.limit:
            raise UnpackError(f"its chunks unpack to more than {self.limit // 1024**3} GiB")
        return content
