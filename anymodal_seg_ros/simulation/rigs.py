"""Rigs by name, as commands and the live node ask for them."""

from __future__ import annotations

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.cameras.sensors import SensorModel
from anymodal_seg_ros.simulation.rig import aligned_sensors, mounted_sensors

RIGS = ("aligned", "mounted")


def rig_by_name(name: str) -> tuple[SensorModel, ...]:
    """The five sensors of a rig.

    Raises:
        ConfigError: there is no rig of this name.
    """
    if name not in RIGS:
        raise ConfigError(f"the rig is {name!r}: expected one of {', '.join(RIGS)}")
    return aligned_sensors(lidar=True) if name == "aligned" else mounted_sensors()
