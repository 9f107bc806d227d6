"""Cameras as their drivers: the pictures of a rendered sequence on topics, at real rates.

Nothing of what renders is imported here, so that a camera is up at once.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator
from collections.abc import Sequence as Many
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image

from anymodal_seg_ros.messages import values
from anymodal_seg_ros.nodes.messages import ImageBuffer, image_message, make
from anymodal_seg_ros.simulation.frame_ids import optical_frame
from anymodal_seg_ros.simulation.recorded import RecordedCamera, Sequence
from anymodal_seg_ros.simulation.schedule import Schedule

if TYPE_CHECKING:
    from anymodal_seg_ros.faults.injector import Injector

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
        camera: RecordedCamera,
        sequence: Sequence,
        schedule: Schedule,
        epoch_ns: int,
        *,
        labels: bool = False,
        injector: Injector[Any] | None = None,
    ) -> None:
        def publisher(kind: type, what: str) -> Any:
            return node.create_publisher(kind, f"{camera.name}/{what}", qos_profile_sensor_data)

        self._camera = camera
        self._sequence = sequence
        self._schedule = schedule
        self._epoch_ns = epoch_ns
        self._injector = injector
        self._images = publisher(Image, "image")
        self._infos = publisher(CameraInfo, "camera_info")
        self._labels = publisher(Image, "labels") if labels else None
        self._buffer = ImageBuffer()
        matrix = np.array(camera.matrix).reshape(3, 3)
        self._info = make(values.camera_info(camera.width, camera.height, matrix, 0, ""))
        self._number = schedule.first_after(time.time_ns())

    @property
    def due_ns(self) -> int:
        """When the next picture leaves the driver, on the system clock."""
        return self._schedule.time_ns(self._number) + self._camera.latency_ns

    def take(self) -> Iterator[Parcel]:
        """The picture that is due, with its camera."""
        stamp_ns, leaves_ns = self._schedule.time_ns(self._number), self.due_ns
        name, frame_id = self._camera.name, optical_frame(self._camera.name)
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
        missed = self._schedule.first_after(time.time_ns() - self._camera.latency_ns) - 1
        self._number = max(self._number + 1, missed)

    def _with_info(self, leaves_ns: int, image: Any) -> Iterator[Parcel]:
        self._info.header = image.header
        yield leaves_ns, self._infos, self._info
        yield leaves_ns, self._images, image


def publish_until(drivers: Many[Driver], stop: threading.Event) -> None:
    """Publish what drivers have when it is due, until ``stop`` is set."""
    late: list[tuple[int, int, Any, Any]] = []
    number = 0
    while True:
        driver = min(drivers, key=lambda d: d.due_ns)
        next_ns = min(driver.due_ns, late[0][0]) if late else driver.due_ns
        if stop.wait(max(0.0, (next_ns - time.time_ns()) / 1e9)):
            return
        if late and late[0][0] <= driver.due_ns:
            _, _, publisher, message = heapq.heappop(late)
            publisher.publish(message)
            continue
        due_ns = driver.due_ns
        for time_ns, publisher, message in driver.take():
            if time_ns <= due_ns:
                publisher.publish(message)
            else:
                number += 1
                heapq.heappush(late, (time_ns, number, publisher, message))
