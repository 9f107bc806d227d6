"""The spinning LiDAR: rings of rays, returns that get lost, ranges and intensities."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import UNLABELED, Image
from anymodal_seg_ros.sensing.geometry.lidar import lidar_image
from anymodal_seg_ros.simulation.cameras.noise import gaussian, noise_source
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.world.camera import (
    DEFAULT_CAMERA,
    Mount,
    MountedCamera,
    standpoint,
)
from anymodal_seg_ros.simulation.world.casting import strike
from anymodal_seg_ros.simulation.world.classes import CLASSES, TERRAIN, TRAFFIC_SIGN, VEGETATION
from anymodal_seg_ros.simulation.world.illumination import Illumination
from anymodal_seg_ros.simulation.world.shapes import Floats, turned
from anymodal_seg_ros.simulation.world.view import Seen, describe

POINT = np.dtype(
    [
        ("x", np.float32),
        ("y", np.float32),
        ("z", np.float32),
        ("intensity", np.float32),
        ("ring", np.uint16),
        ("label", np.uint8),
    ]
)
"""One return: metres in the sensor's frame (x forward, y left, z up), 0..255, ring, class.

The class is 255 (unlabeled) for returns from fog and drops.
"""

Columns = npt.NDArray[Any]

_REFERENCE_RANGE_M = 10.0
_AIR_DEPTH_M, _AIR_GAIN = 2.5, 2.0
"""Range scale of returns from fog and drops, and metres of air that count (proposal)."""

_ROOF = Mount(-0.3, 0.0, 1.9, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Lidar:
    """A spinning LiDAR whose cloud is corrected for its own motion (``32FC3`` as an image).

    All rays of a turn are cast at the stamp: drivers undo the motion of the vehicle, and that of
    the others during a turn is left out.

    The strength of a return is ``ρ · cos(incidence) · e^(-2βr) · (10 m / r)²`` (the LiDAR equation
    for an extended target); it is found with a probability that goes from 1 to 0 as the strength
    falls below ``sensitivity``.

    Attributes:
        name: of the sensor.
        camera: of the reference sensor, into whose picture the cloud is painted.
        mount: where the LiDAR itself sits.
        rate_hz: turns per second.
        latency_ns: how long after its stamp a message leaves the driver.
        rings: number of lasers.
        steps: measurements of each laser per turn.
        lowest: elevation of ring 0, in radians.
        highest: elevation of the last ring.
        near_m: nearer returns are dropped.
        far_m: farther returns are dropped.
        noise_m: standard deviation of the range.
        sensitivity: strength at which half of the returns are lost.
        dropout: share of rays that return nothing for no reason.
    """

    name: str = "lidar"
    camera: MountedCamera = DEFAULT_CAMERA
    mount: Mount = _ROOF
    rate_hz: float = 10.0
    latency_ns: int = 0
    rings: int = 32
    steps: int = 1024
    lowest: float = -0.4
    highest: float = 0.15
    near_m: float = 0.8
    far_m: float = 100.0
    noise_m: float = 0.02
    sensitivity: float = 0.0012
    dropout: float = 0.01

    @property
    def modality(self) -> str:
        """Always ``lidar``."""
        return "lidar"

    def capture(self, observer: Observer, time_ns: int) -> Image:
        """The cloud in the picture of ``camera``: ``32FC3``, range, height, intensity, or NaN."""
        size = self.camera.intrinsics
        pose = self.camera.mount.camera_from_vehicle @ np.linalg.inv(self.mount.sensor_from_vehicle)
        cloud = self.scan(observer, time_ns)
        return lidar_image(cloud, self.camera.calibration(), pose, size.height, size.width)

    def scan(self, observer: Observer, time_ns: int) -> npt.NDArray[np.void]:
        """The returns of one turn, ring by ring: an array of ``POINT``, ``[n]``."""
        scene = observer.scene
        world = observer.world(time_ns)
        directions = _directions(self.rings, self.steps, self.lowest, self.highest)
        origin, axes = standpoint(self.mount, world.ego)
        struck = strike(world, origin, turned(directions, axes))
        struck = struck.only(np.flatnonzero((struck.z > self.near_m) & (struck.z < self.far_m)))
        seen = describe(scene, world, struck, self.steps / (2 * math.pi))
        rng = noise_source(scene, self.name, time_ns)
        chance = rng.random((3, len(directions)), np.float32)
        error = gaussian(rng, (len(directions),))
        strength = self._strength(seen)
        ray = struck.ray
        # Detection of a pulse in noise: a soft threshold, here a logistic of the logarithm.
        found = 1.0 / (1.0 + (self.sensitivity / np.maximum(strength, 1e-9)) ** 2)
        reach = struck.z + np.float32(self.noise_m) * error[ray]
        air, drop = self._from_air(scene.illumination, chance[2, ray], struck.z)
        reach = np.where(air, drop, np.maximum(reach, np.float32(self.near_m)))
        intensity = 255.0 * np.minimum(strength * (struck.z / _REFERENCE_RANGE_M) ** 2, 1.0)
        intensity = np.where(air, 4.0, intensity)
        kept = np.flatnonzero(((chance[0, ray] < found) | air) & (chance[1, ray] >= self.dropout))
        ray = ray[kept]
        points = directions[ray] * reach[kept, None]
        label = np.where(air, UNLABELED, seen.classes()).astype(np.uint8)[kept]
        return self._table(points, intensity[kept], ray, label)

    def _strength(self, seen: Seen) -> Floats:
        """Of each return, 1 for a white wall at 10 m; see the class."""
        light, table = seen.scene.illumination, seen.scene.surfaces
        row = seen.at.surface
        albedo = table.albedo[row].mean(1) * seen.detail.tone
        albedo += seen.detail.paint * (np.float32(0.9) - albedo)
        albedo *= 1.0 - 0.97 * seen.detail.glass
        albedo *= _near_infrared()[table.class_id[row]]
        # A film of water mirrors the pulse away.
        if light.wetness > 0:
            albedo *= 1.0 - 0.6 * light.wetness * np.maximum(seen.at.normal[:, 2], 0.0)
        strength = albedo * seen.at.facing * (_REFERENCE_RANGE_M / seen.at.z) ** 2
        result: Floats = strength * np.exp(np.float32(-2.0 * light.extinction) * seen.at.z)
        return result

    def _from_air(
        self, light: Illumination, chance: Floats, reach: Floats
    ) -> tuple[npt.NDArray[np.bool_], Floats]:
        """Rays whose first return is fog or a drop, and how far away that is.

        The probability of a return from the air before ``reach`` is that of one scattering in it;
        only the first metres send enough back.
        """
        share = np.float32(1.0 - math.exp(-light.extinction * _AIR_GAIN))
        even = np.minimum(chance / share, np.float32(0.999))
        where = np.float32(self.near_m) - np.float32(_AIR_DEPTH_M) * np.log1p(-even)
        return (chance < share) & (where < reach), where

    def _table(
        self, points: Columns, intensity: Columns, ray: Columns, label: npt.NDArray[np.uint8]
    ) -> npt.NDArray[np.void]:
        table: npt.NDArray[np.void] = np.empty(len(points), POINT)
        table["x"], table["y"], table["z"] = points.T
        table["intensity"] = intensity
        table["ring"] = ray // self.steps
        table["label"] = label
        return table


@functools.cache
def _near_infrared() -> Floats:
    """Factor on the visible albedo at 905 nm, by class: leaves are bright, signs retroreflect."""
    factor = np.ones(len(CLASSES), np.float32)
    factor[[VEGETATION, TERRAIN]] = 2.5
    factor[TRAFFIC_SIGN] = 8.0
    return factor


@functools.lru_cache(maxsize=4)
def _directions(rings: int, steps: int, lowest: float, highest: float) -> Floats:
    """Unit directions ``[rings * steps, 3]``, ring by ring, each turning from behind to behind."""
    elevation = np.linspace(lowest, highest, rings)[:, None]
    azimuth = math.pi - (np.arange(steps) + 0.5) * (2 * math.pi / steps)
    flat = np.cos(elevation)
    parts = (flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation) + 0.0 * azimuth)
    return np.stack(parts, -1).reshape(-1, 3).astype(np.float32)
