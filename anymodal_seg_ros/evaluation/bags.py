"""Reading bags without ROS: ROS 2 (mcap, sqlite3) and ROS 1, whole or not."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.typesys.store import Typestore

from anymodal_seg_ros.evaluation.bag_storage.folder import BagFiles
from anymodal_seg_ros.evaluation.bag_storage.recording import BagError, Channel, Record, in_order
from anymodal_seg_ros.evaluation.bag_storage.types import ENCODINGS, Types
from anymodal_seg_ros.evaluation.bag_storage.unpack import ZSTD_MAGIC, UnpackError, unpack

__all__ = ["Bag", "BagError", "BagMessage"]

_ALWAYS = (-(2**63), 2**63)

_CLOCKLESS_NS = 3600 * 10**9
"""A recorder with ``use_sim_time`` writes 0 until it hears a clock. Where all else is at least this
much later, such messages came shortly before; simulations begin at 0 themselves."""


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One recorded message.

    Attributes:
        topic: absolute topic name.
        type: e.g. ``sensor_msgs/msg/Image``.
        log_ns: when the recorder got it, nanoseconds since the epoch; not the header stamp.
        data: as it was on the wire (CDR in a ROS 2 bag).
        channel: how the bag describes its topic.
    """

    topic: str
    type: str
    log_ns: int
    data: bytes
    channel: Channel = field(repr=False)


class Bag:
    """A bag that is open for reading; a context manager.

    Whatever its other topics hold, however it was closed and by whomever it was written: what can
    be read of it is read. Only what is asked for is decoded.

    Attributes:
        topics: the type of every topic in the bag; '' where messages of several types share one.
        start_ns: log time of the first message; 0 if there is none. What was recorded before there
            was a clock, with a log time of 0, counts as received then.
        end_ns: log time of the last message; 0 if there is none.
    """

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Args:
            path: a folder (ROS 2), or one file: mcap, sqlite3, either of them compressed, or a
                ``.bag`` of ROS 1.

        Raises:
            BagError: there is no bag, or nothing of it can be read.
        """
        self.path = path
        self._files = BagFiles(path)
        self._types = Types()
        self._channels: dict[str, list[Channel]] = {}
        for storage in self._files.storages:
            for channel in storage.channels:
                known = self._channels.setdefault(channel.topic, [])
                if channel not in known:
                    known.append(channel)
        self.topics = {topic: _single_type(found) for topic, found in self._channels.items()}
        spans = [span for s in self._files.storages if (span := s.span_ns) is not None]
        self.start_ns = min((start for start, _ in spans), default=0)
        self.end_ns = max((end for _, end in spans), default=0)
        self._clockless = self.start_ns == 0 and self._begin_at_the_clock()

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.close()

    @property
    def notes(self) -> list[str]:
        """What is wrong with the bag but could be passed over, one line each."""
        clockless = (
            f"{self.path}: messages with the log time 0 were recorded before there was a clock: "
            "they count as received when it began"
        )
        own = [clockless] if self._clockless else []
        if self.start_ns == self.end_ns and (number := self.count(self.topics)) > 2:
            own.append(
                f"{self.path}: all {number} messages have the log time {self.start_ns}: nobody can "
                "tell when they came, and they are taken in the order in which they lie. Record "
                "without use_sim_time, or while /clock is published"
            )
        return [*self._files.notes, *own, *(n for s in self._files.storages for n in s.notes)]

    @property
    def is_ros2(self) -> bool:
        """Whether its messages are ROS 2's."""
        channels = [c for found in self._channels.values() for c in found]
        return not channels or any(channel.encoding != "ros1" for channel in channels)

    def types(self, topic: str) -> set[str]:
        """Return every type that a topic's messages have; none if there is no such topic."""
        return {channel.type for channel in self._channels.get(topic, ())}

    def encoding(self, topic: str) -> str:
        """Return how the messages of a topic are encoded, e.g. ``cdr``; '' if in several ways."""
        encodings = {channel.encoding for channel in self._channels[topic]}
        return encodings.pop() if len(encodings) == 1 else ""

    def latched(self, topic: str) -> int:
        """Return how many messages the topic's publishers kept for late subscribers; 0: none."""
        return sum({channel.latched for channel in self._channels[topic]})

    def count(self, topics: Collection[str]) -> int:
        """Return how many messages some topics have together."""
        channels = [c for topic in topics for c in self._channels.get(topic, ())]
        return sum(storage.count(c) for storage in self._files.storages for c in channels)

    def messages(
        self, topics: Collection[str], start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Yield the messages of some topics in order of log time.

        Args:
            topics: absolute names.
            start_ns: log time of the first one; None for the beginning.
            end_ns: log time before which the last one lies; None for the end.

        Raises:
            BagError: the bag is damaged further on.
        """
        channels = {c for topic in topics for c in self._channels.get(topic, ())}
        first = _ALWAYS[0] if start_ns is None else start_ns
        last = _ALWAYS[1] if end_ns is None else end_ns
        if self._clockless and first <= self.start_ns < last:
            first = _ALWAYS[0]
        for log_ns, channel, data in self._records(channels, first, last):
            if self._clockless:
                log_ns = max(log_ns, self.start_ns)
            if data.startswith(ZSTD_MAGIC) and channel.encoding in ENCODINGS:
                # Packed one by one. What cannot be unpacked is a damaged message, as others are.
                with contextlib.suppress(UnpackError):
                    data = unpack(data, "zstd")
            yield BagMessage(channel.topic, channel.type, log_ns, data, channel)

    def decode(self, message: BagMessage) -> Any:
        """Return a message with its fields, shaped as rclpy's; arrays are views on its bytes.

        Raises:
            BagError: its type is not known, or the bytes do not fit it; the text begins with the
                field that is wrong, as a rejection's does.
        """
        return self._types.decode(message.channel, message.data)

    def typestore(self, channel: Channel) -> Typestore | None:
        """Return what knows a channel's type as it was recorded; None if nobody does."""
        return self._types.recorded(channel)

    def _records(self, channels: Collection[Channel], first: int, last: int) -> Iterator[Record]:
        sources = [
            (max(span[0], first), storage.records(channels, first, last))
            for storage in self._files.storages
            if channels
            and (span := storage.span_ns) is not None
            and span[0] < last
            and span[1] >= first
        ]
        return in_order(sources)

    def _begin_at_the_clock(self) -> bool:
        """Let the bag begin with its first message that is not of log time 0, if that is later."""
        channels = {channel for found in self._channels.values() for channel in found}
        log_ns, _, _ = next(self._records(channels, 1, _ALWAYS[1]), (0, None, b""))
        if log_ns < _CLOCKLESS_NS:
            return False
        self.start_ns = log_ns
        return True


def _single_type(channels: list[Channel]) -> str:
    types = {channel.type for channel in channels}
    return types.pop() if len(types) == 1 else ""
