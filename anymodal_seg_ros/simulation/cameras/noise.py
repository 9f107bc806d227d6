"""Random numbers that depend on the scene, the sensor and the instant, and on nothing else."""

from __future__ import annotations

import zlib

import numpy as np

from anymodal_seg_ros.simulation.world.scene import Scene
from anymodal_seg_ros.simulation.world.shapes import Floats


def noise_source(scene: Scene, sensor: str, time_ns: int) -> np.random.Generator:
    """A generator for one image; equal arguments give equal noise in every process."""
    loop_ns = round(scene.config.loop_s * 1e9)
    return _generator(scene, sensor, 1 + time_ns % loop_ns)


def device_source(scene: Scene, sensor: str) -> np.random.Generator:
    """A generator for what stays the same over all images of a sensor: fixed patterns."""
    return _generator(scene, sensor, 0)


def _generator(scene: Scene, sensor: str, instant: int) -> np.random.Generator:
    key = (scene.config.seed, zlib.crc32(sensor.encode()), instant)
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(key)))


def gaussian(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Float32 standard normal values."""
    return rng.standard_normal(shape, np.float32)
