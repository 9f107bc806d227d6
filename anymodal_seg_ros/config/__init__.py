"""One typed, validated configuration for the node, the offline runner and the demo.

The YAML files in ``config/`` and the node's parameters mirror these dataclasses field by field. The
names are imported from here, wherever they are defined.
"""

from anymodal_seg_ros.config.fields import (
    build,
    choice,
    count,
    did_you_mean,
    given,
    names,
    number,
    numbers,
    seconds_to_ns,
    switch,
    text,
)
from anymodal_seg_ros.config.files import parse_yaml, read_yaml
from anymodal_seg_ros.config.param_files import (
    NODE_NAME,
    OF_EVERY_NODE,
    NodeConfig,
    NoSectionError,
    load_config,
    load_node_config,
    names_sensors,
    nest,
)
from anymodal_seg_ros.config.seg import (
    BlackBoxConfig,
    RigConfig,
    SegConfig,
    default_sensors,
    refuse_shared_topics,
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
    SensorLimits,
    Thresholds,
)

__all__ = [
    "EVENT_TYPES",
    "MESSAGE_TYPES",
    "NODE_NAME",
    "OF_EVERY_NODE",
    "SCHEDULING_NOISE_NS",
    "SHUTTER_S",
    "BlackBoxConfig",
    "ChecksConfig",
    "CountsConfig",
    "EventConfig",
    "NoSectionError",
    "NodeConfig",
    "RegistrationConfig",
    "RigConfig",
    "SegConfig",
    "SensorConfig",
    "SensorLimits",
    "Thresholds",
    "build",
    "choice",
    "count",
    "default_sensors",
    "did_you_mean",
    "given",
    "load_config",
    "load_node_config",
    "names",
    "names_sensors",
    "nest",
    "number",
    "numbers",
    "parse_yaml",
    "read_yaml",
    "refuse_shared_topics",
    "seconds_to_ns",
    "seg_config",
    "switch",
    "text",
]
