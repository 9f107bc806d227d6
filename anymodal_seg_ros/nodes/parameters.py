"""Node parameters and :class:`SegConfig`: the same names, types, ranges and descriptions.

Every field of the configuration becomes a read-only parameter, nested by dots, for instance
``rig.sensors.thermal.expected_hz``. A parameter that the configuration does not know stops the
start, so that a misspelt name never goes unnoticed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.validate_topic_name import validate_topic_name

from anymodal_seg_ros.config import OF_EVERY_NODE, SegConfig, nest, seg_config
from anymodal_seg_ros.errors import ConfigError


def declare_parameters(node: Node) -> SegConfig:
    """Read the parameters a node was started with, and declare the whole configuration on it.

    Args:
        node: made with ``automatically_declare_parameters_from_overrides=True``, which is the only
            public way to see the parameters that were given but are not known.

    Raises:
        ConfigError: a given parameter is unknown, of the wrong type or out of range.
    """
    given = {name: parameter.value for name, parameter in _all_parameters(node).items()}
    if not isinstance(given.get("use_sim_time", False), bool):
        raise ConfigError(f"use_sim_time is {given['use_sim_time']!r}: expected true or false")
    own = {k: v for k, v in given.items() if k.split(".")[0] not in OF_EVERY_NODE}
    config = seg_config(nest(own))
    for name, sensor in config.rig.sensors.items():
        _check_topic(sensor.topic, f"rig.sensors.{name}.topic")
    for name in own:
        node.undeclare_parameter(name)
    for name, value, descriptor in _declarations(config, ""):
        node.declare_parameter(name, value, descriptor, ignore_override=True)
    return config


def _check_topic(topic: str, parameter: str) -> None:
    try:
        validate_topic_name(topic)
    except InvalidTopicNameException as error:
        raise ConfigError(f"{parameter} is {topic!r}: {error}") from error


def _all_parameters(node: Node) -> dict[str, Any]:
    return dict(node.get_parameters_by_prefix(""))


def _declarations(config: Any, prefix: str) -> Iterator[tuple[str, Any, ParameterDescriptor]]:
    """Walk the configuration and yield name, value and descriptor of each parameter."""
    for spec in dataclasses.fields(config):
        value, name = getattr(config, spec.name), prefix + spec.name
        if dataclasses.is_dataclass(value):
            yield from _declarations(value, f"{name}.")
        elif isinstance(value, Mapping):
            for key, entry in value.items():
                yield from _declarations(entry, f"{name}.{key}.")
        else:
            yield name, value, _descriptor(value, spec.metadata)


def _descriptor(value: Any, metadata: Mapping[str, Any]) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=metadata["doc"], read_only=True)
    if "choices" in metadata:
        descriptor.additional_constraints = "one of " + ", ".join(metadata["choices"])
    if "range" in metadata:
        low, high = metadata["range"]
        if isinstance(value, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor
