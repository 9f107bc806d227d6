"""Where the simulated rig and its sensors are, on ``/tf`` and ``/tf_static``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.nodes.messages import to_stamp
from anymodal_seg_ros.nodes.rig_driver import Parcel
from anymodal_seg_ros.simulation.placements import (
    Placement,
    sensor_placements,
    vehicle_placement,
)
from anymodal_seg_ros.simulation.scene import Scene
from anymodal_seg_ros.simulation.sensors import SensorModel

_PERIOD_NS = 20_000_000


class TfDriver:
    """Publishes the sensors' places once, and the vehicle's 50 times a second."""

    def __init__(
        self, node: Node, sensors: Iterable[SensorModel], scene: Scene, epoch_ns: int
    ) -> None:
        """Place the sensors.

        Raises:
            ConfigError: the package of the messages is not installed.
        """
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError as error:
            raise ConfigError(
                f"--tf needs tf2_msgs ({error}): install ros-$ROS_DISTRO-tf2-msgs and source it; "
                "the wheels of the extra [ros] do not hold it"
            ) from error
        self._kind = TFMessage
        self._scene = scene
        self._epoch_ns = epoch_ns
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._static = node.create_publisher(TFMessage, "/tf_static", latched)
        self._moving = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        placed = [stamped(placement, epoch_ns) for placement in sensor_placements(sensors)]
        self._static.publish(TFMessage(transforms=placed))
        self.due_ns = epoch_ns

    def take(self) -> Iterator[Parcel]:
        """Where the vehicle is."""
        placed = vehicle_placement(self._scene, self.due_ns - self._epoch_ns)
        message = self._kind(transforms=[stamped(placed, self.due_ns)])
        yield self.due_ns, self._moving, message
        self.due_ns += _PERIOD_NS


def stamped(placed: Placement, stamp_ns: int) -> Any:
    """Turn a placement into a ``geometry_msgs/TransformStamped``."""
    message = TransformStamped(
        child_frame_id=placed.child,
        transform=Transform(
            translation=Vector3(**dict(zip("xyz", placed.translation, strict=True))),
            rotation=Quaternion(**dict(zip("xyzw", placed.quaternion, strict=True))),
        ),
    )
    message.header.stamp = to_stamp(stamp_ns)
    message.header.frame_id = placed.parent
    return message
