"""A simulated LiDAR as its driver: scans are cast when they are due."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import PointCloud2

from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.nodes.messages import make
from anymodal_seg_ros.nodes.simulated.camera_driver import Parcel
from anymodal_seg_ros.simulation.cameras.lidar import Lidar
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.frame_ids import cloud_frame
from anymodal_seg_ros.simulation.schedule import Schedule
from anymodal_seg_ros.simulation.world.scene import Scene


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
