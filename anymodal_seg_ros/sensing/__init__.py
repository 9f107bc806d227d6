"""From messages to frame sets: decoding, health, time and geometry. Needs neither ROS nor torch.

What ``__all__`` names is public and stays where it is: docs/reference/sensing-api.md. Each name is
loaded when it is first asked for, so that a synchroniser brings no OpenCV and a decoder no YAML.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from anymodal_seg_ros.former_addresses import keep_former_addresses

if TYPE_CHECKING:
    from anymodal_seg_ros.config import ChecksConfig, RigConfig, SensorConfig, SensorLimits
    from anymodal_seg_ros.frames import (
        CheckResult,
        FrameSet,
        Image,
        Sample,
        SensorState,
        SensorStatus,
    )
    from anymodal_seg_ros.sensing.decoding.decode import decode_image
    from anymodal_seg_ros.sensing.geometry.calibration import load_calibration
    from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info
    from anymodal_seg_ros.sensing.geometry.registration import Registrar
    from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
    from anymodal_seg_ros.sensing.health.sensor_health import Fault
    from anymodal_seg_ros.sensing.health.watchdog import Watchdog
    from anymodal_seg_ros.sensing.sync.message_filter import PartialTimeSynchronizer
    from anymodal_seg_ros.sensing.sync.synchronizer import Synchronizer

_PACKAGE = "anymodal_seg_ros"
_HOMES = {
    "CheckResult": "frames",
    "ChecksConfig": "config",
    "ContentChecker": "sensing.health.content_checks",
    "Fault": "sensing.health.sensor_health",
    "FrameSet": "frames",
    "Image": "frames",
    "PartialTimeSynchronizer": "sensing.sync.message_filter",
    "Registrar": "sensing.geometry.registration",
    "RigConfig": "config",
    "Sample": "frames",
    "SensorConfig": "config",
    "SensorLimits": "config",
    "SensorState": "frames",
    "SensorStatus": "frames",
    "Synchronizer": "sensing.sync.synchronizer",
    "Watchdog": "sensing.health.watchdog",
    "camera_from_info": "sensing.geometry.camera_info",
    "decode_image": "sensing.decoding.decode",
    "load_calibration": "sensing.geometry.calibration",
}
"""Where each public name is defined."""

__all__ = [
    "CheckResult",
    "ChecksConfig",
    "ContentChecker",
    "Fault",
    "FrameSet",
    "Image",
    "PartialTimeSynchronizer",
    "Registrar",
    "RigConfig",
    "Sample",
    "SensorConfig",
    "SensorLimits",
    "SensorState",
    "SensorStatus",
    "Synchronizer",
    "Watchdog",
    "camera_from_info",
    "decode_image",
    "load_calibration",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(importlib.import_module(f"{_PACKAGE}.{home}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)


keep_former_addresses()
