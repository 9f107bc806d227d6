"""The class of the messages on a topic; those of event cameras are not installed everywhere."""

from __future__ import annotations

import importlib
from typing import Any

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.errors import ConfigError


def message_class(name: str, sensor: SensorConfig) -> Any:
    """Return the class to subscribe with.

    Args:
        name: of the sensor, for the error.
        sensor: its configuration.

    Raises:
        ConfigError: the package of the messages is not installed.
    """
    package, _, kind = sensor.message_type.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"rig.sensors.{name}.type is {sensor.type!r}, but {sensor.message_type} cannot be "
            f"imported ({error}): install ros-$ROS_DISTRO-{package.replace('_', '-')} and source "
            "its workspace"
        ) from error
