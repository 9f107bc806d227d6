"""Writing images as a rosbag2 folder (mcap) without ROS, through the rosbags library."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from anymodal_seg_ros.evaluation.bags import BagError
from anymodal_seg_ros.frames import Image

IMAGE_TYPE = "sensor_msgs/msg/Image"
_FORMAT: Final = 8  # of metadata.yaml: the older of the two that rosbags writes
_TYPES = get_typestore(Stores.ROS2_HUMBLE)
_Image = _TYPES.types[IMAGE_TYPE]
_Header = _TYPES.types["std_msgs/msg/Header"]
_Time = _TYPES.types["builtin_interfaces/msg/Time"]


class ImageBagWriter:
    """A new bag of images; a context manager. A body that raises leaves no half-written bag."""

    def __init__(self, path: Path, *, replace: bool = False) -> None:
        """Create the bag.

        Args:
            path: the folder to create.
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
        self._writer = Writer(path, version=_FORMAT, storage_plugin=StoragePlugin.MCAP)
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
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, IMAGE_TYPE, typestore=_TYPES
            )
        little_endian = image.pixels.dtype.newbyteorder("<")
        rows = np.ascontiguousarray(image.pixels, dtype=little_endian)
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        message = _Image(
            header=_Header(stamp=_Time(sec=sec, nanosec=nanosec), frame_id=frame_id),
            height=image.height,
            width=image.width,
            encoding=image.encoding,
            is_bigendian=0,
            step=rows.nbytes // image.height,
            data=rows.reshape(-1).view(np.uint8),
        )
        data = _TYPES.serialize_cdr(message, IMAGE_TYPE)
        self._writer.write(self._connections[topic], log_ns, data)
