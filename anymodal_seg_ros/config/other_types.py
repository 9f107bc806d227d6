"""Types of messages that are no pictures, points or events by themselves, and how they become such.

Sensors are often recorded in what their driver or a transport sends. Nothing in here can decode
that, but there is a node of ROS that does; a person who meets such a topic is told which.
"""

from __future__ import annotations

# Humble's takes the transports as words, later ones as parameters, and each passes over the other.
_REPUBLISHED = (
    "let 'ros2 run image_transport republish {0} raw --ros-args -p in_transport:={0} "
    "-p out_transport:=raw -r in/{0}:=TOPIC -r out:=NEW_TOPIC' make an Image of it"
)
_CLOUD = "let its driver publish a PointCloud2, and set type: point_cloud"
_SCAN = (
    "it is the scan of one plane: let laserscan_to_pointcloud_node of pointcloud_to_laserscan make "
    "a PointCloud2 of it, and set type: point_cloud"
)

_MENDS = {
    "sensor_msgs/msg/LaserScan": _SCAN,
    "sensor_msgs/msg/MultiEchoLaserScan": _SCAN,
    "sensor_msgs/msg/PointCloud": _CLOUD,
    "stereo_msgs/msg/DisparityImage": (
        "it is a disparity: let the driver or stereo_image_proc publish a depth image"
    ),
    "ffmpeg_image_transport_msgs/msg/FFMPEGPacket": _REPUBLISHED.format("ffmpeg"),
    "theora_image_transport/msg/Packet": _REPUBLISHED.format("theora"),
    "point_cloud_interfaces/msg/CompressedPointCloud2": (
        "let 'ros2 run point_cloud_transport republish --ros-args -p in_transport:=KIND "
        "-p out_transport:=raw -r in/KIND:=TOPIC -r out:=NEW_TOPIC' make a PointCloud2 of it, KIND "
        "being the last part of its name, as draco, and set type: point_cloud"
    ),
}

_FOXGLOVE = ("foxglove_msgs/", "foxglove.")
_LIDAR_PACKETS = ("velodyne_msgs/", "ouster_msgs/", "ouster_sensor_msgs/", "livox_")


def mend_of_type(type_name: str) -> str:
    """Say what makes a message of a type that cannot be taken one that can; empty if not known.

    Args:
        type_name: e.g. ``sensor_msgs/msg/LaserScan``.
    """
    if type_name.startswith(_LIDAR_PACKETS):
        return f"it is what a LiDAR sends, not yet points: {_CLOUD}"
    if type_name.startswith(_FOXGLOVE):
        return "it is made for Foxglove: record what the driver sends, an Image or CompressedImage"
    return _MENDS.get(type_name, "")
