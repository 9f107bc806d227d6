"""Reading bags without ROS: ROS 2 (mcap, sqlite3) and ROS 1, through the rosbags library."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from anymodal_seg_ros.errors import AnymodalError


class BagError(AnymodalError):
    """A bag cannot be read or written, or does not hold what is asked for."""


@dataclass(frozen=True, slots=True)
class BagMessage:
    """One recorded message.

    Attributes:
        topic: absolute topic name.
        type: e.g. ``sensor_msgs/msg/Image``.
        log_ns: when the recorder got it, nanoseconds since the epoch; not the header stamp.
        data: as it was on the wire (CDR in a ROS 2 bag).
    """

    topic: str
    type: str
    log_ns: int
    data: bytes


class Bag:
    """A bag that is open for reading; a context manager.

    Attributes:
        topics: the type of every topic in the bag; '' where messages of several types share one.
        start_ns: log time of the first message.
        end_ns: log time of the last message.
    """

    def __init__(self, path: Path) -> None:
        """Open a bag.

        Args:
            path: a folder with ``metadata.yaml`` (ROS 2) or a ``.bag`` file (ROS 1).

        Raises:
            BagError: there is no bag, or it is damaged.
        """
        self.path = path
        if not path.exists():
            raise BagError(f"there is no bag at {path}")
        try:
            # Bags of Humble and older hold no message definitions of their own.
            standard = get_typestore(Stores.ROS2_HUMBLE)
            self._reader = AnyReader([path], default_typestore=standard)
            self._reader.open()
        except Exception as error:  # rosbags raises whatever its parsers meet in a damaged file
            raise BagError(f"cannot read {path} as a bag: {error}") from error
        self.is_ros2 = self._reader.is2
        self.topics = {name: info.msgtype or "" for name, info in self._reader.topics.items()}
        self.start_ns = self._reader.start_time
        self.end_ns = self._reader.end_time - 1  # rosbags counts up to, not including

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.close()

    def count(self, topics: Collection[str]) -> int:
        """Return how many messages some topics have together."""
        return sum(info.msgcount for name, info in self._reader.topics.items() if name in topics)

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
        connections = [c for c in self._reader.connections if c.topic in topics]
        if not connections:
            return
        try:
            for connection, log_ns, data in self._reader.messages(connections, start_ns, end_ns):
                yield BagMessage(connection.topic, connection.msgtype, log_ns, data)
        except Exception as error:
            raise BagError(f"{self.path} is damaged: {error}") from error

    def decode(self, message: BagMessage) -> Any:
        """Return a message with its fields, shaped as rclpy's; arrays are views on its bytes.

        Raises:
            BagError: the bytes do not fit the type.
        """
        try:
            return self._reader.deserialize(message.data, message.type)
        except Exception as error:
            raise BagError(
                f"{self.path}: a message on {message.topic} at {message.log_ns} ns "
                f"is no {message.type}: {error}"
            ) from error
