"""Where the simulated rig and its sensors are, on ``/tf`` and ``/tf_static``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.nodes.messages import make
from anymodal_seg_ros.nodes.simulated.camera_driver import Parcel
from anymodal_seg_ros.simulation.cameras.sensors import SensorModel
from anymodal_seg_ros.simulation.placements import sensor_placements, vehicle_placement
from anymodal_seg_ros.simulation.world.scene import Scene

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
        self._scene = scene
        self._epoch_ns = epoch_ns
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._static = node.create_publisher(TFMessage, "/tf_static", latched)
        self._moving = node.create_publisher(TFMessage, "/tf", QoSProfile(depth=100))
        self._static.publish(make(values.tf(sensor_placements(sensors), epoch_ns)))
        self.due_ns = epoch_ns

    def take(self) -> Iterator[Parcel]:
        """Where the vehicle is."""
        placed = vehicle_placement(self._scene, self.due_ns - self._epoch_ns)
        yield self.due_ns, self._moving, make(values.tf([placed], self.due_ns))
        self.due_ns += _PERIOD_NS
