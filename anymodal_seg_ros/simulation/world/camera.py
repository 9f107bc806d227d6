"""Where a sensor sits and how it projects: pinhole intrinsics and a mount on the vehicle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.geometry import cameras as calibrated
from anymodal_seg_ros.simulation.world.shapes import Floats, turned

Matrix = npt.NDArray[np.float64]

_OPTICAL = np.array([(0, -1, 0, 0), (0, 0, -1, 0), (1, 0, 0, 0), (0, 0, 0, 1)], np.float64)
"""From forward, left, up to right, down, forward."""


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """A pinhole without distortion; all values in pixels, pixel centres at integers."""

    width: int = 320
    height: int = 240
    fx: float = 245.0
    fy: float = 245.0
    cx: float = 159.5
    cy: float = 119.5

    @property
    def matrix(self) -> Matrix:
        """The camera matrix K, float64 ``[3, 3]``: fx 0 cx / 0 fy cy / 0 0 1."""
        return np.array([(self.fx, 0, self.cx), (0, self.fy, self.cy), (0, 0, 1)], np.float64)


@dataclass(frozen=True, slots=True)
class Mount:
    """Pose of the sensor in the vehicle's frame: metres, radians, x forward, y left, z up.

    The vehicle's origin is on the ground below its camera; positive pitch looks down.
    """

    x: float = 0.0
    y: float = 0.0
    z: float = 1.6
    yaw: float = 0.0
    pitch: float = 0.03

    @property
    def camera_from_vehicle(self) -> Matrix:
        """Takes points of the vehicle's frame to the optical frame, float64 ``[4, 4]``.

        The optical frame has x right, y down and z forward (REP 103).
        """
        return _OPTICAL @ self.sensor_from_vehicle

    @property
    def sensor_from_vehicle(self) -> Matrix:
        """The same to the sensor's frame with x forward, y left and z up, float64 ``[4, 4]``."""
        result = np.eye(4)
        result[:3, :3] = axes(self.yaw, self.pitch)
        result[:3, 3] = -result[:3, :3] @ (self.x, self.y, self.z)
        return result


@dataclass(frozen=True, slots=True)
class MountedCamera:
    """Intrinsics and mount; two sensors with equal cameras share one ray cast."""

    intrinsics: Intrinsics = Intrinsics()
    mount: Mount = Mount()

    def calibration(self) -> calibrated.Camera:
        """Describe the lens as :mod:`anymodal_seg_ros.sensing` wants it."""
        size = self.intrinsics
        return calibrated.Camera(size.width, size.height, size.matrix)


DEFAULT_CAMERA = MountedCamera()


@dataclass(frozen=True, slots=True)
class Pose:
    """The vehicle in the world at one instant: metres, radians, positive pitch looks down."""

    x: float
    y: float
    z: float
    yaw: float
    pitch: float


def axes(yaw: float, pitch: float) -> Matrix:
    """Float64 ``[3, 3]`` whose rows are the forward, left and up axes after yaw and pitch."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    return np.array([(cy * cp, sy * cp, -sp), (-sy, cy, 0.0), (cy * sp, sy * sp, cp)])


def rotation(yaw: float, pitch: float) -> Floats:
    """``axes`` as float32."""
    return axes(yaw, pitch).astype(np.float32)


def rays(camera: MountedCamera, vehicle: Pose) -> tuple[Floats, Floats]:
    """The origin ``[3]`` and the directions ``[H*W, 3]`` of all pixels, in world coordinates.

    A direction has length 1 along the optical axis, not in space, so that the ray parameter of
    a hit is its depth z.
    """
    origin, view = standpoint(camera.mount, vehicle)
    size = camera.intrinsics
    left = (size.cx - np.arange(size.width, dtype=np.float32)) / np.float32(size.fx)
    up = (size.cy - np.arange(size.height, dtype=np.float32)) / np.float32(size.fy)
    directions = np.empty((size.height, size.width, 3), np.float32)
    for axis in range(3):
        rows = view[0, axis] + view[2, axis] * up
        np.add(rows[:, None], view[1, axis] * left, out=directions[..., axis])
    return origin, directions.reshape(-1, 3)


def standpoint(mount: Mount, vehicle: Pose) -> tuple[Floats, Floats]:
    """Where a mounted sensor is in the world, ``[3]``, and its axes as in ``axes``, ``[3, 3]``."""
    body = rotation(vehicle.yaw, vehicle.pitch)
    lever = np.array([(mount.x, mount.y, mount.z)], np.float32)
    base = np.array((vehicle.x, vehicle.y, vehicle.z), np.float32)
    origin: Floats = base + turned(lever, body)[0]
    return origin, turned(rotation(mount.yaw, mount.pitch), body)
