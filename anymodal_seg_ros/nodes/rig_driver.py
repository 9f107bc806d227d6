"""One simulated sensor as its driver: what it publishes, and when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.nodes.messages import ImageBuffer, image_message, make
from anymodal_seg_ros.simulation.cameras.lidar import Lidar
from anymodal_seg_ros.simulation.cameras.sensors import Observer, SensorModel
from anymodal_seg_ros.simulation.placements import cloud_frame, optical_frame
from anymodal_seg_ros.simulation.schedule import Schedule
from anymodal_seg_ros.simulation.sequence import Sequence
from anymodal_seg_ros.simulation.world.scene import Scene

Parcel = tuple[int, Any, Any]
"""When to publish on the system clock, the publisher, the message."""


class Driver(Protocol):
    """Something that has news at times of its own."""

    @property
    def due_ns(self) -> int:
        """When it next has news, on the system clock."""
        ...

    def take(self) -> Iterator[Parcel]:
        """What is due now, and go on to the next that is not over yet."""
        ...


class CameraDriver:
    """``NAME/image``, ``NAME/camera_info`` and, if asked for, ``NAME/labels``."""

    def __init__(
        self,
        node: Node,
        model: SensorModel,
        sequence: Sequence,
        schedule: Schedule,
        epoch_ns: int,
        *,
        labels: bool = False,
        injector: Injector[Any] | None = None,
    ) -> None:
        def publisher(kind: type, what: str) -> Any:
            return node.create_publisher(kind, f"{model.name}/{what}", qos_profile_sensor_data)

        self._model = model
        self._sequence = sequence
        self._schedule = schedule
        self._epoch_ns = epoch_ns
        self._injector = injector
        self._images = publisher(Image, "image")
        self._infos = publisher(CameraInfo, "camera_info")
        self._labels = publisher(Image, "labels") if labels else None
        self._buffer = ImageBuffer()
        lens = model.camera.intrinsics
        self._info = make(values.camera_info(lens.width, lens.height, lens.matrix, 0, ""))
        self._number = schedule.first_after(time.time_ns())

    @property
    def due_ns(self) -> int:
        """When the next picture leaves the driver, on the system clock."""
        return self._schedule.time_ns(self._number) + self._model.latency_ns

    def take(self) -> Iterator[Parcel]:
        """The picture that is due, with its camera."""
        stamp_ns, leaves_ns = self._schedule.time_ns(self._number), self.due_ns
        name, frame_id = self._model.name, optical_frame(self._model.name)
        index = self._sequence.index_at(stamp_ns - self._epoch_ns)
        picture = self._sequence.image(name, index)
        if self._injector is None:
            image = self._buffer.fill(picture.pixels, picture.encoding, stamp_ns, frame_id)
            yield from self._with_info(leaves_ns, image)
        else:
            # A faulty sensor's messages may be kept and shown again: each needs its own bytes.
            image = image_message(picture.pixels, picture.encoding, stamp_ns, frame_id)
            delivery = self._injector.push(name, leaves_ns - self._epoch_ns, image)
            if delivery is not None:
                yield from self._with_info(self._epoch_ns + delivery.time_ns, delivery.payload)
        if self._labels is not None:
            labels = self._sequence.label(name, index)
            yield leaves_ns, self._labels, image_message(labels, "mono8", stamp_ns, frame_id)
        # A process that was stopped for a while drops what it missed, as a camera would.
        missed = self._schedule.first_after(time.time_ns() - self._model.latency_ns) - 1
        self._number = max(self._number + 1, missed)

    def _with_info(self, leaves_ns: int, image: Any) -> Iterator[Parcel]:
        self._info.header = image.header
        yield leaves_ns, self._infos, self._info
        yield leaves_ns, self._images, image


class CloudDriver:
    """``NAME/points`` of a LiDAR, cast when they are due: a scan takes a part of its period."""

    def __init__(
        self,
        node: Node,
        model: Lidar,
        scene: Scene,
        schedule: Schedule,
        epoch_ns: int,
        injector: Injector[Any] | None = None,
    ) -> None:
        self._model = model
        self._observer = Observer(scene)
        self._schedule = schedule
        self._epoch_ns = epoch_ns
        self._injector = injector
        self._clouds = node.create_publisher(
            PointCloud2, f"{model.name}/points", qos_profile_sensor_data
        )
        self._number = schedule.first_after(time.time_ns())

    @property
    def due_ns(self) -> int:
        """When the next scan is over; it is cast then, and leaves when that is done."""
        return self._schedule.time_ns(self._number) + self._model.latency_ns

    def take(self) -> Iterator[Parcel]:
        """The scan that is due."""
        stamp_ns, leaves_ns = self._schedule.time_ns(self._number), self.due_ns
        points = self._model.scan(self._observer, stamp_ns - self._epoch_ns)
        cloud = make(values.point_cloud(points, stamp_ns, cloud_frame(self._model.name)))
        if self._injector is None:
            yield leaves_ns, self._clouds, cloud
        else:
            name = self._model.name
            delivery = self._injector.push(name, leaves_ns - self._epoch_ns, cloud)
            if delivery is not None:
                yield self._epoch_ns + delivery.time_ns, self._clouds, delivery.payload
        self._number = max(self._number + 1, self._schedule.first_after(time.time_ns()) - 1)
