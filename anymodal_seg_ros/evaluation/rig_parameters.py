"""The parameter file with which the pipeline takes a simulated rig."""

from __future__ import annotations

from typing import Any

import numpy as np
import yaml

from anymodal_seg_ros.evaluation.rig_shots import RigBagConfig
from anymodal_seg_ros.simulation.cameras.events import EventCamera
from anymodal_seg_ros.simulation.cameras.lidar import Lidar
from anymodal_seg_ros.simulation.cameras.sensors import SensorModel
from anymodal_seg_ros.simulation.placements import first_from, placement
from anymodal_seg_ros.simulation.world.camera import Matrix

PARAMETERS = "rig.yaml"
"""Name of the file in a bag's folder."""

_HEAD = """\
# Parameters for the bag beside this file, written with it:
#     anymodal-seg run BAG --params-file BAG/rig.yaml --out masks
"""
_LIDAR = """\
# The LiDAR is in comments: take them away if the model knows the modality 'lidar'.
"""


def rig_parameters(config: RigBagConfig) -> str:
    """Return the text of a parameter file with topics, rates and exact registration."""
    first = config.sensors[0]
    lidars = [sensor for sensor in config.sensors if isinstance(sensor, Lidar)]
    cameras = [sensor for sensor in config.sensors if not isinstance(sensor, Lidar)]
    sensors = {sensor.name: _camera(config, sensor, first) for sensor in cameras}
    content = {"/**": {"ros__parameters": {"rig": {"sensors": sensors}}}}
    text = (_HEAD + _LIDAR if lidars else _HEAD) + _yaml(content)
    for lidar in lidars:
        lines = _yaml({lidar.name: _lidar(lidar, first)}).splitlines()
        text += "".join(f"        # {line}\n" for line in lines)
    return text


def _yaml(content: object) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=100)


def _camera(config: RigBagConfig, sensor: SensorModel, first: SensorModel) -> dict[str, Any]:
    packets = config.packets and isinstance(sensor, EventCamera)
    entry: dict[str, Any] = {
        "topic": f"{sensor.name}/packets" if packets else f"{sensor.name}/image",
        "modality": sensor.modality,
        "expected_hz": sensor.rate_hz,
    }
    if packets:
        entry["type"] = "event_packet"
    if sensor.camera == first.camera:
        if any(_is_apart(other, first) for other in config.sensors):
            entry["registration"] = {"camera_info": f"{sensor.name}/camera_info"}
        return entry
    entry["registration"] = {
        "method": "depth" if sensor.modality == "depth" else "cameras",
        "camera_info": f"{sensor.name}/camera_info",
        "extrinsics": _extrinsics(first_from(first, sensor)),
    }
    return entry


def _lidar(lidar: Lidar, first: SensorModel) -> dict[str, Any]:
    pose = first.camera.mount.camera_from_vehicle @ np.linalg.inv(lidar.mount.sensor_from_vehicle)
    return {
        "topic": f"{lidar.name}/points",
        "modality": lidar.modality,
        "type": "point_cloud",
        "expected_hz": lidar.rate_hz,
        "registration": {"method": "cameras", "extrinsics": _extrinsics(pose)},
    }


def _is_apart(sensor: SensorModel, first: SensorModel) -> bool:
    """Whether a sensor does not see through the first one's lens, so that cameras are needed."""
    return isinstance(sensor, Lidar) or sensor.camera != first.camera


def _extrinsics(first_from_sensor: Matrix) -> str:
    pose = placement("", "", first_from_sensor)
    numbers = np.round((*pose.translation, *pose.quaternion), 9)
    return " ".join(f"{number:.9g}" for number in numbers)
