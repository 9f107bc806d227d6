"""Frame sets to masks: registration, preprocessing, the network, and the size of the reference."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, overload

import cv2
import numpy as np

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import (
    UNLABELED,
    FrameSet,
    Image,
    Mask,
    Prediction,
    Sample,
    SensorStatus,
)
from anymodal_seg_ros.inference.engines import Engine
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.inference.preprocess import batch
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.geometry.lidar import LIDAR_IMAGE
from anymodal_seg_ros.sensing.geometry.registration import Registered, Registrar
from anymodal_seg_ros.sensing.health.evidence import shortfall


class Segmenter:
    """Runs a network on what the sensors of a rig saw at one instant."""

    def __init__(self, rig: RigConfig, manifest: Manifest, engine: Engine) -> None:
        """Put rig and network together.

        Raises:
            ConfigError: a sensor has a modality that the model does not know, or the sensors
                cannot be registered to each other with what is configured.
        """
        _check_modalities(rig, manifest)
        self._rig, self._manifest, self._engine = rig, manifest, engine
        used = {name: sensor for name, sensor in rig.sensors.items() if sensor.enabled}
        takes = {n: manifest.modalities[s.modality].planes for n, s in used.items()}
        self._registrar = Registrar(
            rig.sensors,
            manifest.height,
            manifest.width,
            depths=[name for name, planes in takes.items() if planes == "depth"],
            sparse=[name for name, planes in takes.items() if planes == "lidar"],
            clouds=[name for name, sensor in rig.sensors.items() if sensor.sends_points],
        )
        self._first_frame_id = ""

    def take_camera_info(self, sensor: str, message: Any) -> None:
        """Take a ``sensor_msgs/CameraInfo`` of a sensor. Repetitions cost next to nothing.

        Raises:
            CalibrationError: the message contradicts itself; what was known before stays.
        """
        self._registrar.take_camera_info(sensor, message)

    def see(self, sample: Sample) -> None:
        """Take note of the frame of the first sensor, in whose picture a lone LiDAR is painted."""
        if sample.sensor == self._registrar.first:
            self._first_frame_id = sample.frame_id

    def segment(self, frame_set: FrameSet, status: tuple[SensorStatus, ...]) -> Prediction:
        """Run the network on what a frame set holds, if that is enough to go by.

        Args:
            frame_set: the samples, and why others are missing.
            status: health of every sensor, to go with the mask.

        Returns:
            The mask in the geometry of the reference sensor's image. A reference that sends points
            has none: its sample then carries them painted into the first sensor's picture, at the
            network's size, and that sensor's coordinate frame if it was ever seen.
        """
        started_ns = time.perf_counter_ns()
        registered = self._registrar.register(
            frame_set.reference,
            {name: sample.image for name, sample in frame_set.samples.items()},
            only_size=frame_set.reference in frame_set.missing,
        )
        frame_set = self._described(frame_set, registered)
        image, sensors = frame_set.reference_sample.image, tuple(registered.images)
        if lacking := shortfall(self._rig, sensors):
            mask = np.full((image.height, image.width), UNLABELED, np.uint8)
            return Prediction(mask, frame_set, (), status, 0, 0, unlabeled=lacking)
        inputs = batch(
            [(self._rig.sensors[n].modality, registered.images[n]) for n in sensors],
            self._manifest,
        )
        network_started_ns = time.perf_counter_ns()
        result = self._engine.run(inputs)
        network_ns = time.perf_counter_ns() - network_started_ns
        size = (image.width, image.height)
        shares = [] if result.contributions is None else result.contributions.tolist()
        return Prediction(
            _resized(result.mask, size, cv2.INTER_NEAREST),
            frame_set,
            sensors,
            status,
            network_ns,
            process_ns=time.perf_counter_ns() - started_ns,
            confidence=_resized(result.confidence, size, cv2.INTER_LINEAR),
            contributions=dict(zip(sensors, shares, strict=bool(shares))),
        )

    def _described(self, frame_set: FrameSet, registered: Registered) -> FrameSet:
        """Say who could not be registered, and give a reference that sends points a picture."""
        name, reference = frame_set.reference, frame_set.reference_sample
        if reference.image.encoding == POINT_CLOUD:
            size = self._manifest.height, self._manifest.width
            nothing = Image(np.full((*size, 3), np.nan, np.float32), LIDAR_IMAGE)
            reference = replace(
                reference,
                image=registered.images.get(name, nothing),
                frame_id=self._first_frame_id or reference.frame_id,
            )
        # The reference keeps its sample whatever happens: the mask carries its header.
        gone = set(registered.missing) - {name}
        samples = {n: s for n, s in frame_set.samples.items() if n not in gone}
        return replace(
            frame_set,
            samples={**samples, name: reference},
            missing={**frame_set.missing, **registered.missing},
        )


@overload
def _resized(pixels: Mask, size: tuple[int, int], how: int) -> Mask: ...


@overload
def _resized(pixels: None, size: tuple[int, int], how: int) -> None: ...


def _resized(pixels: Mask | None, size: tuple[int, int], how: int) -> Mask | None:
    """Bring uint8 ``[h, w]`` to ``size`` (width, height)."""
    if pixels is None or pixels.shape[::-1] == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _check_modalities(rig: RigConfig, manifest: Manifest) -> None:
    """Refuse sensors whose messages the model cannot take."""
    known = manifest.modalities
    for name, sensor in rig.sensors.items():
        if not sensor.enabled:
            continue  # so that one parameter file serves models that know different sensors
        if sensor.modality not in known:
            raise ConfigError(
                f"rig.sensors.{name}.modality is {sensor.modality!r}: "
                f"the model {manifest.name} knows {', '.join(known)}; take the sensor out of the "
                "parameter file, or set its 'enabled' to false"
            )
        planes = known[sensor.modality].planes
        if sensor.sends_points and planes != "lidar":
            raise ConfigError(
                f"rig.sensors.{name}.type is 'point_cloud', but the model {manifest.name} takes "
                f"{sensor.modality} as {planes}: only events and lidar come as points"
            )
