"""Where things are, as tf says it: the vehicle in the world, every sensor on the vehicle."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from anymodal_seg_ros.simulation.cameras.lidar import Lidar
from anymodal_seg_ros.simulation.cameras.sensors import SensorModel
from anymodal_seg_ros.simulation.frame_ids import cloud_frame, optical_frame
from anymodal_seg_ros.simulation.world.camera import Matrix, Pose, axes
from anymodal_seg_ros.simulation.world.scene import Scene

WORLD_FRAME = "odom"
VEHICLE_FRAME = "base_link"


@dataclass(frozen=True, slots=True)
class Placement:
    """The pose of one frame in another.

    Attributes:
        parent: frame that the numbers are in.
        child: frame that is placed.
        translation: metres.
        quaternion: x, y, z, w; length 1.
    """

    parent: str
    child: str
    translation: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]


def placement(parent: str, child: str, parent_from_child: Matrix) -> Placement:
    """Turn a rigid transform, float64 ``[4, 4]``, into a placement."""
    turn = cv2.Rodrigues(np.ascontiguousarray(parent_from_child[:3, :3]))[0].ravel()
    angle = float(np.linalg.norm(turn))
    axis = turn / angle if angle > 0.0 else turn
    x, y, z = (float(a) * math.sin(angle / 2) for a in axis)
    tx, ty, tz = (float(t) for t in parent_from_child[:3, 3])
    return Placement(parent, child, (tx, ty, tz), (x, y, z, math.cos(angle / 2)))


def sensor_placements(sensors: Iterable[SensorModel]) -> list[Placement]:
    """Every sensor on the vehicle: optical frames, and the frame of a LiDAR's points."""
    found = []
    for sensor in sensors:
        mount = sensor.camera.mount
        pose = _inverse(mount.camera_from_vehicle)
        found.append(placement(VEHICLE_FRAME, optical_frame(sensor.name), pose))
        if isinstance(sensor, Lidar):
            pose = _inverse(sensor.mount.sensor_from_vehicle)
            found.append(placement(VEHICLE_FRAME, cloud_frame(sensor.name), pose))
    return found


def vehicle_placement(scene: Scene, time_ns: int) -> Placement:
    """The vehicle in the world; it drives on and on, although the street repeats."""
    time_s = time_ns * 1e-9
    ego = scene.ego(time_s)
    laps = 0 if scene.standing else math.floor(time_s / scene.config.loop_s)
    return placement(WORLD_FRAME, VEHICLE_FRAME, _pose(ego, laps * scene.street.length))


def first_from(first: SensorModel, other: SensorModel) -> Matrix:
    """Takes points of a sensor's optical frame to that of the first one, float64 ``[4, 4]``."""
    return first.camera.mount.camera_from_vehicle @ _inverse(other.camera.mount.camera_from_vehicle)


def _inverse(transform: Matrix) -> Matrix:
    return np.asarray(np.linalg.inv(transform), np.float64)


def _pose(ego: Pose, passed_m: float) -> Matrix:
    pose = np.eye(4)
    pose[:3, :3] = axes(ego.yaw, ego.pitch).T
    pose[:3, 3] = (ego.x + passed_m, ego.y, ego.z)
    return pose
