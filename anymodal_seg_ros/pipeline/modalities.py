"""Do rig and model fit together? Which sensor is of what kind to the registrar?"""

from __future__ import annotations

from anymodal_seg_ros.config import RigConfig, did_you_mean
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.inference.manifest import Manifest
from anymodal_seg_ros.sensing.geometry.registration import Registrar

DEPTH_PLANES = ("depth", "hha")
"""The ways to planes that take distances."""

LIDAR_PLANES = ("lidar", "muses_lidar")
"""The ways to planes that take points."""


def registrar_for(rig: RigConfig, manifest: Manifest) -> Registrar:
    """Make the registrar of a rig's enabled sensors, for a model's size and planes.

    Raises:
        ConfigError: a calibration is missing, superfluous or impossible.
    """
    used = {name: sensor for name, sensor in rig.sensors.items() if sensor.enabled}
    takes = {n: manifest.modalities[s.modality].planes for n, s in used.items()}
    return Registrar(
        rig.sensors,
        manifest.height,
        manifest.width,
        depths=[name for name, planes in takes.items() if planes in DEPTH_PLANES],
        sparse=[name for name, planes in takes.items() if planes in LIDAR_PLANES],
        counted=[name for name, planes in takes.items() if planes == "muses_event"],
        fine=[name for name, planes in takes.items() if planes == "muses_lidar"],
        clouds=[name for name, sensor in rig.sensors.items() if sensor.sends_points],
    )


def check_modalities(rig: RigConfig, manifest: Manifest) -> None:
    """Refuse sensors whose messages the model cannot take.

    Raises:
        ConfigError: naming the sensor and its mend.
    """
    known = manifest.modalities
    for name, sensor in rig.sensors.items():
        if not sensor.enabled:
            continue  # so that one parameter file serves models that know different sensors
        if sensor.modality not in known:
            raise ConfigError(
                f"rig.sensors.{name}.modality is {sensor.modality!r}: "
                f"{did_you_mean(sensor.modality, known)}the model {manifest.name} knows "
                f"{', '.join(known)}; give a model that knows it, or set the sensor's 'enabled' "
                "to false"
            )
        planes = known[sensor.modality].planes
        if sensor.sends_points and planes not in LIDAR_PLANES:
            raise ConfigError(
                f"rig.sensors.{name}.type is 'point_cloud', but the model {manifest.name} takes "
                f"{sensor.modality} as {planes}: only events and lidar come as points"
            )
