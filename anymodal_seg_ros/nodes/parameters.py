"""Node parameters and :class:`SegConfig`: the same names, types, ranges and descriptions.

Every field of the configuration becomes a parameter, nested by dots, for instance
``rig.sensors.thermal.expected_hz``. A parameter that the configuration does not know stops the
start, so that a misspelt name never goes unnoticed; unless it is other nodes' and came to this one
only because it was given to any.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidTopicNameException, NameValidationException
from rclpy.node import Node
from rclpy.validate_topic_name import validate_topic_name

from anymodal_seg_ros.config import (
    OF_EVERY_NODE,
    RigConfig,
    SegConfig,
    left_alone,
    names_sensors,
    nest,
    of_others,
    seg_config,
)
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.foreign_text import one_line, quote
from anymodal_seg_ros.nodes.process.parameter_files import (
    addressed_parameters,
    given_sections,
    unheard_files,
)


class GivenParameters(Node):
    """A node that declares what it was started with, also where values of no type are among it.

    An empty list has no type in ROS 2, and rclpy makes no node with such a parameter, not even
    where it is another node's.
    """

    empty_parameters: tuple[str, ...] = ()
    """Names of the parameters that were given without a value."""

    def declare_parameters(
        self, namespace: str, parameters: list[Any], ignore_override: bool = False
    ) -> list[Any]:
        """Declare parameters; those without a value are only noted."""
        self.empty_parameters += tuple(name for name, value, *_ in parameters if value is None)
        valued = [each for each in parameters if each[0] not in self.empty_parameters]
        return list(super().declare_parameters(namespace, valued, ignore_override))


def declare_parameters(node: GivenParameters, arguments: Sequence[str] | None = None) -> SegConfig:
    """Read the parameters a node was started with, and declare the whole configuration on it.

    Args:
        node: made with ``automatically_declare_parameters_from_overrides=True``, which is the only
            public way to see the parameters that were given but are not known.
        arguments: the command line of the node; this process's if None.

    Raises:
        ConfigError: a given parameter is unknown and not another node's, without a value, of the
            wrong type or out of range, or no sensors are given and ``demo`` is not set either.
    """
    given = {name: parameter.value for name, parameter in _all_parameters(node).items()}
    if not isinstance(given.get("use_sim_time", False), bool):
        raise ConfigError(f"use_sim_time is {given['use_sim_time']!r}: expected true or false")
    words, full_name = sys.argv if arguments is None else arguments, _full_name(node)
    files = given_sections(words)
    addressed = addressed_parameters(words, files, full_name)
    others = of_others([*given, *node.empty_parameters], addressed)
    empty = [name for name in node.empty_parameters if name not in others]
    if empty:
        raise ConfigError(
            f"{', '.join(map(quote, empty))}: given as an empty list, which has no type in ROS 2: "
            "leave it out"
        )
    own = {n: value for n, value in given.items() if is_own(n) and n not in others}
    told = [said for said in (unheard_files(files, full_name), left_alone(others)) if said]
    _check_own_sensors(own, told)
    config = configured(own)
    for said in told:
        node.get_logger().warning(one_line(said))
    for name in (*own, *others):
        if name in given:
            node.undeclare_parameter(name)
    for name, value, descriptor in _declarations(config, ""):
        node.declare_parameter(name, value, descriptor, ignore_override=True)
    return config


def is_own(name: str) -> bool:
    """Whether a parameter is of the configuration, and not of every ROS node."""
    return name.split(".")[0] not in OF_EVERY_NODE


def configured(values: Mapping[str, Any]) -> SegConfig:
    """Build the configuration from parameters by their dotted names.

    ``rig.reference`` names every sensor afterwards: parameters have no order, this keeps it.

    Raises:
        ConfigError: a parameter is unknown, of the wrong type or out of range.
    """
    config = seg_config(nest(values))
    check_topics(config.rig)
    rig = dataclasses.replace(config.rig, reference=tuple(config.rig.sensors))
    return dataclasses.replace(config, rig=rig)


def flat(config: SegConfig) -> dict[str, Any]:
    """Return every parameter of a configuration by its dotted name, lists as rclpy gives them."""
    return {name: value for name, value, _ in _declarations(config, "")}


def _check_own_sensors(own: Mapping[str, Any], told: Sequence[str]) -> None:
    """Refuse to take the simulator's sensors for those of a robot."""
    if own.get("demo") is True or names_sensors(own):
        return
    if "rig" in own:  # as a launch file has an argument
        raise ConfigError(
            f"rig is {quote(own['rig'])}: expected named parameters; rig:=NAME is an argument of "
            "the launch file, without it give the rig's file with --params-file"
        )
    raise ConfigError(
        "".join(f"{said}. So " for said in told)
        + "no sensors are configured: name those of your robot below rig.sensors in a parameter "
        "file (params_file:=… with ros2 launch, --ros-args --params-file … with ros2 run), or set "
        "demo to true for the four of the simulator"
    )


def _full_name(node: Node) -> str:
    return str(node.get_fully_qualified_name())


def check_topics(rig: RigConfig) -> None:
    """Check that the topics of a rig have names that topics can have.

    Raises:
        ConfigError: naming the parameter.
    """
    for name, sensor in rig.sensors.items():
        _check_topic(sensor.topic, f"rig.sensors.{name}.topic")
        if sensor.registration.camera_info:
            where = f"rig.sensors.{name}.registration.camera_info"
            _check_topic(sensor.registration.camera_info, where)


def full_topics(node: Node, rig: RigConfig) -> dict[str, str]:
    """Return the full names of the sensors' topics, expanded and remapped, by sensor.

    Raises:
        ConfigError: in the namespace of the node a name is none any more, its calibration's too.
    """
    found: dict[str, str] = {}
    for name, sensor in rig.sensors.items():
        where = f"rig.sensors.{quote(name)}"
        found[name] = _full_topic(node, sensor.topic, f"{where}.topic")
        if info := sensor.registration.camera_info:
            _full_topic(node, info, f"{where}.registration.camera_info")
    return found


def _full_topic(node: Node, topic: str, parameter: str) -> str:
    try:
        return str(node.resolve_topic_name(topic))
    except (NameValidationException, RuntimeError) as error:  # RCLError, which is not public
        raise ConfigError(
            f"{parameter} is {quote(topic)}, which {node.get_fully_qualified_name()} cannot "
            f"subscribe to: {one_line(error)}"
        ) from error


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
            plain = list(value) if isinstance(value, tuple) else value
            yield name, plain, _descriptor(value, spec.metadata)


def _descriptor(value: Any, metadata: Mapping[str, Any]) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=metadata["doc"])
    if "choices" in metadata:
        descriptor.additional_constraints = "one of " + ", ".join(metadata["choices"])
    if "range" in metadata:
        low, high = metadata["range"]
        if isinstance(value, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        else:
            descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor
