"""Planned scenes to frames in memory, with their conditions and with sensors failing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from anymodal_seg_ros.frames import Image, Mask, Pixels
from anymodal_seg_ros.simulation.cameras.sensors import SensorModel
from anymodal_seg_ros.simulation.dataset.faulty import with_failure
from anymodal_seg_ros.simulation.dataset.plan import ScenePlan
from anymodal_seg_ros.simulation.dataset.stored import restored, stored
from anymodal_seg_ros.simulation.rig import Rig, aligned_sensors
from anymodal_seg_ros.simulation.world.camera import (
    DEFAULT_CAMERA,
    Intrinsics,
    MountedCamera,
)
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig
from anymodal_seg_ros.simulation.world.shapes import Floats

REFERENCE = "rgb"
"""The modality whose labels and depth are kept; the sensors are pixel aligned."""


@dataclass(frozen=True, slots=True)
class SceneFrame:
    """One instant of a planned scene.

    Attributes:
        plan: split, seed, kind of place, weather and failure.
        index: its number in the scene.
        time_ns: on the scene's own clock.
        pixels: by modality, in the form that files hold (``stored.stored``).
        labels: uint8 ``[H, W]`` class ids.
        depth: float32 ``[H, W]``, true distances along the optical axis in metres, inf in the sky.
        camera: of the labels and the depth, and of every aligned sensor.
    """

    plan: ScenePlan
    index: int
    time_ns: int
    pixels: Mapping[str, Pixels]
    labels: Mask
    depth: Floats
    camera: MountedCamera

    @property
    def name(self) -> str:
        """Unique in its data set: ``train/urban_0000012_fog/000003``."""
        return f"{self.plan.split}/{self.plan.name}/{self.index:06d}"

    @property
    def images(self) -> dict[str, Image]:
        """The images that the pixels stand for, by modality, in encodings that a node would get."""
        return {modality: restored(modality, array) for modality, array in self.pixels.items()}


def sized_sensors(width: int, height: int) -> tuple[SensorModel, ...]:
    """The five pixel-aligned sensors at another resolution, with the same width of view."""
    lens = DEFAULT_CAMERA.intrinsics
    scale = width / lens.width
    sized = Intrinsics(
        width, height, lens.fx * scale, lens.fy * scale, (width - 1) / 2, (height - 1) / 2
    )
    camera = DEFAULT_CAMERA if sized == lens else MountedCamera(sized, DEFAULT_CAMERA.mount)
    return tuple(_behind(camera, sensor) for sensor in aligned_sensors(lidar=True))


def _behind(camera: MountedCamera, sensor: SensorModel) -> SensorModel:
    # Every model is a frozen dataclass with a camera, but a protocol cannot say so.
    moved: Any = dataclasses.replace(sensor, camera=camera)  # type: ignore[type-var]
    model: SensorModel = moved
    return model


def scene_frames(
    plans: Iterable[ScenePlan], sensors: Iterable[SensorModel], varied: bool = False
) -> Iterator[SceneFrame]:
    """Draw the frames of planned scenes one by one; each is a function of its plan alone.

    Args:
        plans: of the scenes, in the order in which they are drawn.
        sensors: pixel aligned, as ``sized_sensors`` returns them; one of each modality.
        varied: as in ``SceneConfig``.
    """
    rig = Rig(sensors)
    reference = next(n for n, s in rig.sensors.items() if s.modality == REFERENCE)
    for plan in plans:
        config = SceneConfig(plan.seed, weather=plan.weather, kind=plan.kind, varied=varied)
        scene = Scene(config)
        for index, time_ns in enumerate(plan.instants_ns(scene.config.loop_s)):
            seen = rig.capture(scene, time_ns)
            images = {rig.sensors[name].modality: image for name, image in seen.images.items()}
            rng = np.random.default_rng((plan.seed, 55, index))
            failed = with_failure(plan, images, rng)
            yield SceneFrame(
                plan,
                index,
                time_ns,
                {modality: stored(modality, image) for modality, image in failed.items()},
                seen.labels[reference],
                seen.depths[reference],
                rig.sensors[reference].camera,
            )
