"""Writing a rosbag2 folder (mcap or sqlite3) without ROS, through the rosbags library."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote as url_quote

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2.storage_sqlite3 import Sqlite3Writer

from anymodal_seg_ros.evaluation.bags import Bag, BagError, BagMessage
from anymodal_seg_ros.foreign_text import quote
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.messages.rosbags import TYPES, make
from anymodal_seg_ros.written_files import naming

_FORMAT: Final = 8  # of metadata.yaml: the older of the two that rosbags writes
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
"""Formats of a bag's file."""

_OF_BAGS = frozenset({".mcap", ".db3", ".db3-wal", ".db3-shm", ".zstd", ".yaml"})
"""Ends of the names of a bag's files; the parameters of one that was simulated are YAML, too."""

_FOREVER = QosTime(2147483647, 4294967295)


def latched(depth: int) -> tuple[Qos, ...]:
    """Return how a topic is offered of which who comes late gets the last messages, too.

    Args:
        depth: how many of them.
    """
    return (
        Qos(
            QosHistory.KEEP_LAST,
            depth,
            QosReliability.RELIABLE,
            QosDurability.TRANSIENT_LOCAL,
            _FOREVER,
            _FOREVER,
            QosLiveliness.AUTOMATIC,
            _FOREVER,
            False,
        ),
    )


LATCHED = latched(1)
"""As /tf_static is offered by one publisher."""


class _Sqlite3Writer(Sqlite3Writer):
    """The library's, which opens the path of a file as an address: a '#' in it would end it."""

    def __init__(self, path: Path, compression: CompressionMode) -> None:
        super().__init__(Path(url_quote(str(path))), compression)
        self.path = path / f"{path.name}.db3"


class ImageBagWriter:
    """A new bag, of images above all; a context manager.

    A body that raises leaves no half-written bag.
    """

    def __init__(self, path: Path, *, replace: bool = False, storage: str = "mcap") -> None:
        """Create the bag.

        Args:
            path: the folder to create.
            storage: one of :data:`STORAGES`.
            replace: delete a bag that is already there. Nothing but a bag is ever deleted.

        Raises:
            BagError: ``path`` is taken, or cannot be created.
        """
        if path.exists():
            if not replace:
                raise BagError(
                    f"{path} exists already: choose another name, or remove it "
                    "(commands that have --force do it then)"
                )
            if not (path / "metadata.yaml").is_file():
                raise BagError(f"{path} exists and is no bag: it is not replaced")
            if others := [f.name for f in path.iterdir() if f.is_dir() or f.suffix not in _OF_BAGS]:
                raise BagError(
                    f"{path} holds more than a bag, such as {quote(min(others))}: it is not "
                    "replaced; move that elsewhere, or choose another name"
                )
            shutil.rmtree(path)
        self.path = path
        self._connections: dict[tuple[str, str], Connection | None] = {}
        """By topic and type; None where nobody knows the type."""
        self._writer = Writer(path, version=_FORMAT, storage_plugin=STORAGES[storage])
        self._writer.STORAGE_PLUGINS = {
            **Writer.STORAGE_PLUGINS,
            StoragePlugin.SQLITE3: _Sqlite3Writer,
        }
        try:
            self._writer.open()
        except (OSError, sqlite3.Error) as error:
            shutil.rmtree(path, ignore_errors=True)
            raise BagError(f"cannot create the bag {path}: {error}") from error

    def __enter__(self) -> ImageBagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._writer.close()
                return
        except (OSError, sqlite3.Error) as failed:
            shutil.rmtree(self.path, ignore_errors=True)
            raise BagError(f"cannot write the bag {self.path}: {failed}") from failed
        self._writer.abort()
        shutil.rmtree(self.path, ignore_errors=True)

    def _put(self, connection: Connection, log_ns: int, data: Any) -> None:
        try:
            with naming(self.path):
                self._writer.write(connection, log_ns, data)
        except sqlite3.Error as error:  # what SQLite says of a disk that is full
            raise BagError(f"cannot write the bag {self.path}: {error}") from error

    def write(self, topic: str, image: Image, stamp_ns: int, log_ns: int, frame_id: str) -> None:
        """Append one ``sensor_msgs/Image``.

        Args:
            topic: absolute topic name.
            image: its rows are written without padding.
            stamp_ns: header stamp, nanoseconds since the epoch.
            log_ns: when a recorder would have got it, nanoseconds since the epoch.
            frame_id: coordinate frame of the camera.
        """
        made = values.image(image.pixels, image.encoding, stamp_ns, frame_id)
        self.append(topic, values.IMAGE, make(made), log_ns)

    def append(
        self, topic: str, kind: str, message: Any, log_ns: int, qos: tuple[Qos, ...] = ()
    ) -> None:
        """Append a message of any type that can be written.

        Args:
            topic: absolute topic name.
            kind: e.g. ``sensor_msgs/msg/CameraInfo``.
            message: as :func:`~anymodal_seg_ros.messages.rosbags.make` makes it.
            log_ns: when a recorder would have got it, nanoseconds since the epoch.
            qos: that the publisher offered, as a player shall offer it again.
        """
        connection = self._connections.get((topic, kind))
        if connection is None:
            connection = self._connections[topic, kind] = self._writer.add_connection(
                topic, kind, typestore=TYPES, offered_qos_profiles=qos
            )
        self._put(connection, log_ns, TYPES.serialize_cdr(message, kind))

    def copy(self, message: BagMessage, bag: Bag) -> bool:
        """Append a message of another bag as it is, and its type as it is defined there.

        Returns:
            False if it is not CDR, or nobody knows its type.
        """
        channel, key = message.channel, (message.topic, message.type)
        if channel.encoding != "cdr":
            return False
        if key not in self._connections:
            kept, types = channel.latched, bag.typestore(channel)
            qos = latched(kept) if kept else ()
            self._connections[key] = (
                None
                if types is None
                else self._writer.add_connection(*key, typestore=types, offered_qos_profiles=qos)
            )
        if (connection := self._connections[key]) is None:
            return False
        self._put(connection, message.log_ns, message.data)
        return True
