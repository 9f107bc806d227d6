"""Where a sensor sits and how it projects: pinhole intrinsics and a mount on the vehicle."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.simulation.shapes import Floats, turned


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """A pinhole without distortion; all values in pixels, pixel centres at integers."""

    width: int = 320
    height: int = 240
    fx: float = 245.0
    fy: float = 245.0
    cx: float = 159.5
    cy: float = 119.5


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


@dataclass(frozen=True, slots=True)
class Camera:
    """Intrinsics and mount; two sensors with equal cameras share one ray cast."""

    intrinsics: Intrinsics = Intrinsics()
    mount: Mount = Mount()


DEFAULT_CAMERA = Camera()


@dataclass(frozen=True, slots=True)
class Pose:
    """The vehicle in the world at one instant: metres, radians, positive pitch looks down."""

    x: float
    y: float
    z: float
    yaw: float
    pitch: float


def rotation(yaw: float, pitch: float) -> Floats:
    """Float32 ``[3, 3]`` whose rows are the forward, left and up axes after yaw and pitch."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    return np.array([(cy * cp, sy * cp, -sp), (-sy, cy, 0.0), (cy * sp, sy * sp, cp)], np.float32)


@functools.lru_cache(maxsize=8)
def _sensor_rays(intrinsics: Intrinsics) -> Floats:
    u, v = np.meshgrid(np.arange(intrinsics.width), np.arange(intrinsics.height))
    left = (intrinsics.cx - u) / intrinsics.fx
    up = (intrinsics.cy - v) / intrinsics.fy
    return np.stack([np.ones_like(left), left, up], -1).reshape(-1, 3).astype(np.float32)


def rays(camera: Camera, vehicle: Pose) -> tuple[Floats, Floats]:
    """The origin ``[3]`` and the directions ``[H*W, 3]`` of all pixels, in world coordinates.

    A direction has length 1 along the optical axis, not in space, so that the ray parameter of
    a hit is its depth z.
    """
    body = rotation(vehicle.yaw, vehicle.pitch)
    mount = camera.mount
    lever = np.array([(mount.x, mount.y, mount.z)], np.float32)
    base = np.array((vehicle.x, vehicle.y, vehicle.z), np.float32)
    origin: Floats = base + turned(lever, body)[0]
    view = turned(rotation(mount.yaw, mount.pitch), body)
    return origin, turned(_sensor_rays(camera.intrinsics), view)
