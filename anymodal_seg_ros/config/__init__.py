"""One typed, validated configuration for the node, the offline runner and the demo.

The YAML files in ``config/`` and the node's parameters mirror these dataclasses field by field. The
names are imported from here, wherever they are defined.
"""

from anymodal_seg_ros.config.fields import (
    build,
    choice,
    count,
    given,
    names,
    number,
    numbers,
    seconds_to_ns,
    switch,
    text,
)
from anymodal_seg_ros.config.files import read_yaml
from anymodal_seg_ros.config.seg import (
    RigConfig,
    SegConfig,
    default_sensors,
    load_config,
    seg_config,
)
from anymodal_seg_ros.config.sensors import (
    EVENT_TYPES,
    MESSAGE_TYPES,
    SCHEDULING_NOISE_NS,
    SHUTTER_S,
    ChecksConfig,
    CountsConfig,
    EventConfig,
    RegistrationConfig,
    SensorConfig,
)

__all__ = [
    "EVENT_TYPES",
    "MESSAGE_TYPES",
    "SCHEDULING_NOISE_NS",
    "SHUTTER_S",
    "ChecksConfig",
    "CountsConfig",
    "EventConfig",
    "RegistrationConfig",
    "RigConfig",
    "SegConfig",
    "SensorConfig",
    "build",
    "choice",
    "count",
    "default_sensors",
    "given",
    "load_config",
    "names",
    "number",
    "numbers",
    "read_yaml",
    "seconds_to_ns",
    "seg_config",
    "switch",
    "text",
]
