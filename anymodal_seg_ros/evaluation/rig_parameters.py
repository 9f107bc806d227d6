"""The parameter file with which the pipeline takes a simulated rig."""

from __future__ import annotations

from typing import Any

import numpy as np
import yaml

from anymodal_seg_ros.evaluation.rig_shots import RigBagConfig
from anymodal_seg_ros.simulation.events import EventCamera
from anymodal_seg_ros.simulation.lidar import Lidar
from anymodal_seg_ros.simulation.placements import first_from, placement
from anymodal_seg_ros.simulation.sensors import SensorModel

PARAMETERS = "rig.yaml"
"""Name of the file in a bag's folder."""

_HEAD = """\
# Parameters for the bag beside this file, written with it:
#     anymodal-seg run BAG --params-file BAG/rig.yaml --out masks
"""
_NO_LIDAR = "# The LiDAR is left out: the pipeline takes images and events, not its points.\n"


def rig_parameters(config: RigBagConfig) -> str:
    """Return the text of a parameter file with topics, rates and exact registration."""
    first = config.sensors[0]
    used = [sensor for sensor in config.sensors if not isinstance(sensor, Lidar)]
    sensors = {sensor.name: _sensor(config, sensor, first) for sensor in used}
    content = {"/**": {"ros__parameters": {"rig": {"sensors": sensors}}}}
    head = _HEAD + (_NO_LIDAR if len(used) < len(config.sensors) else "")
    return head + yaml.safe_dump(content, sort_keys=False, width=100)


def _sensor(config: RigBagConfig, sensor: SensorModel, first: SensorModel) -> dict[str, Any]:
    packets = config.packets and isinstance(sensor, EventCamera)
    entry: dict[str, Any] = {
        "topic": f"{sensor.name}/packets" if packets else f"{sensor.name}/image",
        "modality": sensor.modality,
        "expected_hz": sensor.rate_hz,
    }
    if packets:
        entry["type"] = "event_packet"
    if sensor.camera == first.camera:
        if any(other.camera != first.camera for other in config.sensors):
            entry["registration"] = {"camera_info": f"{sensor.name}/camera_info"}
        return entry
    pose = placement("", "", first_from(first, sensor))
    numbers = np.round((*pose.translation, *pose.quaternion), 9)
    entry["registration"] = {
        "method": "depth" if sensor.modality == "depth" else "cameras",
        "camera_info": f"{sensor.name}/camera_info",
        "extrinsics": " ".join(f"{number:.9g}" for number in numbers),
    }
    return entry
