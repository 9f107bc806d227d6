"""Writing a rosbag2 folder (mcap or sqlite3) without ROS, through the rosbags library."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import numpy as np
from rosbags.interfaces import Connection, Qos
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from anymodal_seg_ros.evaluation.bags import BagError, BagMessage
from anymodal_seg_ros.frames import Image

IMAGE_TYPE = "sensor_msgs/msg/Image"
_FORMAT: Final = 8  # of metadata.yaml: the older of the two that rosbags writes
TYPES = get_typestore(Stores.ROS2_HUMBLE)
"""The messages that can be written; others may be registered with it."""
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
"""Formats of a bag's file."""
_Image = TYPES.types[IMAGE_TYPE]
_Header = TYPES.types["std_msgs/msg/Header"]
_Time = TYPES.types["builtin_interfaces/msg/Time"]


def header(stamp_ns: int, frame_id: str) -> Any:
    """Return a ``std_msgs/Header``; ``stamp_ns`` in nanoseconds since the epoch."""
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    return _Header(stamp=_Time(sec=sec, nanosec=nanosec), frame_id=frame_id)


def image_message(image: Image, stamp_ns: int, frame_id: str) -> Any:
    """Return a ``sensor_msgs/Image``; its rows have no padding.

    Args:
        image: of any encoding.
        stamp_ns: header stamp, nanoseconds since the epoch.
        frame_id: coordinate frame of the camera.
    """
    little_endian = image.pixels.dtype.newbyteorder("<")
    rows = np.ascontiguousarray(image.pixels, dtype=little_endian)
    return _Image(
        header=header(stamp_ns, frame_id),
        height=image.height,
        width=image.width,
        encoding=image.encoding,
        is_bigendian=0,
        step=rows.nbytes // image.height,
        data=rows.reshape(-1).view(np.uint8),
    )


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
                    f"{path} exists already: choose another name, or replace it (--force)"
                )
            if not (path / "metadata.yaml").is_file():
                raise BagError(f"{path} exists and is no bag: it is not replaced")
            shutil.rmtree(path)
        self.path = path
        self._connections: dict[str, Connection] = {}
        self._writer = Writer(path, version=_FORMAT, storage_plugin=STORAGES[storage])
        try:
            self._writer.open()
        except OSError as error:
            raise BagError(f"cannot create the bag {path}: {error}") from error

    def __enter__(self) -> ImageBagWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._writer.close()
        else:
            self._writer.abort()
            shutil.rmtree(self.path, ignore_errors=True)

    def write(self, topic: str, image: Image, stamp_ns: int, log_ns: int, frame_id: str) -> None:
        """Append one ``sensor_msgs/Image``.

        Args:
            topic: absolute topic name.
            image: its rows are written without padding.
            stamp_ns: header stamp, nanoseconds since the epoch.
            log_ns: when a recorder would have got it, nanoseconds since the epoch.
            frame_id: coordinate frame of the camera.
        """
        self.append(topic, IMAGE_TYPE, image_message(image, stamp_ns, frame_id), log_ns)

    def append(
        self, topic: str, kind: str, message: Any, log_ns: int, qos: tuple[Qos, ...] = ()
    ) -> None:
        """Append a message of any type that :data:`TYPES` knows.

        Args:
            topic: absolute topic name.
            kind: e.g. ``sensor_msgs/msg/CameraInfo``.
            message: made of the types of :data:`TYPES`.
            log_ns: when a recorder would have got it, nanoseconds since the epoch.
            qos: that the publisher offered, as a player shall offer it again.
        """
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=TYPES, offered_qos_profiles=qos
            )
        data = TYPES.serialize_cdr(message, kind)
        self._writer.write(self._connections[topic], log_ns, data)

    def copy(self, message: BagMessage) -> bool:
        """Append a message of another ROS 2 bag as it is; False if its type is not known here."""
        if message.type not in TYPES.types:
            return False
        if message.topic not in self._connections:
            self._connections[message.topic] = self._writer.add_connection(
                message.topic, message.type, typestore=TYPES
            )
        self._writer.write(self._connections[message.topic], message.log_ns, message.data)
        return True
