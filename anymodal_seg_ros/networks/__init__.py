"""PyTorch networks with a dynamic modality axis. No ROS and no files in here."""

from anymodal_seg_ros.networks.base import AnyModalNetwork, Decoded, upsample_logits
from anymodal_seg_ros.networks.deployed import DeployedNetwork, class_map, weights_sensors
from anymodal_seg_ros.networks.registry import (
    build_network,
    check_architecture,
    network_names,
)

__all__ = [
    "AnyModalNetwork",
    "Decoded",
    "DeployedNetwork",
    "build_network",
    "check_architecture",
    "class_map",
    "network_names",
    "upsample_logits",
    "weights_sensors",
]
