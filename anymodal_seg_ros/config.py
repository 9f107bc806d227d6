"""One typed, validated configuration for the node, the offline runner and the demo.

The YAML files in ``config/`` and the node's parameters mirror these dataclasses field by field.
Durations are seconds here, because people write them; :func:`seconds_to_ns` turns them into the
nanoseconds that the rest of the code uses.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from anymodal_seg_ros.errors import ConfigError

T = TypeVar("T")
"""A configuration dataclass."""


def seconds_to_ns(seconds: float) -> int:
    """Turn seconds into integer nanoseconds."""
    return round(seconds * 1e9)


def number(default: float, low: float, high: float, doc: str) -> Any:
    """Declare a float field with its inclusive range and its description."""
    return field(default=default, metadata={"range": (low, high), "doc": doc})


def count(default: int, low: int, high: int, doc: str) -> Any:
    """Declare an integer field with its inclusive range and its description."""
    return field(default=default, metadata={"range": (low, high), "doc": doc})


def text(default: str, doc: str) -> Any:
    """Declare a string field with its description."""
    return field(default=default, metadata={"doc": doc})


def switch(default: bool, doc: str) -> Any:
    """Declare a boolean field with its description."""
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class RegistrationConfig:
    """How the pixels of one sensor are brought to those of the rig's first sensor."""

    method: str = text(
        "resize",
        "resize: it sees the same picture; homography; cameras: by intrinsics and extrinsics, for "
        "a scene at distance_m; depth: the same, with the distances that depth sensors measure",
    )
    calibration: str = text(
        "", "File of its intrinsics: ROS camera_info YAML, or a kalibr camchain as FILE#cam1"
    )
    camera_info: str = text("", "CameraInfo topic of its intrinsics, instead of a file")
    rectified: bool = switch(False, "Its images are rectified: P of its calibration holds for them")
    extrinsics: str = text(
        "",
        "Its pose in the first sensor's optical frame: 'x y z qx qy qz qw' in m, or the 12 numbers "
        "of [R t]; empty if both are in one camchain",
    )
    homography: str = text(
        "",
        "9 numbers, row by row, that take (x/width, y/height) in its picture to (x/width, "
        "y/height) in the first sensor's",
    )
    distance_m: float = number(
        0.0, 0.0, 1e6, "Distance of the scene where none is measured, in m; 0 means infinity"
    )


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """One physical sensor and its topic."""

    topic: str = text("", "Image topic, relative to the node's namespace; required")
    modality: str = text("", "Kind of sensor, one that the model knows, e.g. thermal; required")
    expected_hz: float = number(30.0, 0.1, 1000.0, "Rate the driver promises, in Hz")
    tolerance_s: float = number(
        0.0,
        0.0,
        10.0,
        "Largest distance in header time to the reference frame, in s; 0 means 1.1 periods",
    )
    offset_s: float = number(
        0.0, -10.0, 10.0, "Added to every header stamp before sensors are compared, in s"
    )
    late_after_periods: float = number(
        1.8, 1.0, 100.0, "LATE when no message came for this many periods"
    )
    stale_after_s: float = number(
        0.0, 0.0, 60.0, "STALE after this silence in s; 0 means max(3 periods, 0.2 s)"
    )
    failed_after_s: float = number(2.0, 0.01, 600.0, "FAILED after this silence, in s")
    recover_frames: int = count(
        5, 1, 1000, "Good messages in a row that bring a STALE or FAILED sensor back to OK"
    )
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)

    @property
    def period_ns(self) -> int:
        """The promised time between two messages."""
        return seconds_to_ns(1.0 / self.expected_hz)

    @property
    def tolerance_ns(self) -> int:
        """Largest distance in header time to the reference frame."""
        return seconds_to_ns(self.tolerance_s) or round(1.1 * self.period_ns)

    @property
    def late_after_ns(self) -> int:
        """Silence after which the sensor is LATE."""
        return round(self.late_after_periods * self.period_ns)

    @property
    def stale_after_ns(self) -> int:
        """Silence after which the sensor is STALE, never before it is LATE."""
        chosen = seconds_to_ns(self.stale_after_s) or max(3 * self.period_ns, 200_000_000)
        return max(chosen, self.late_after_ns)

    @property
    def failed_after_ns(self) -> int:
        """Silence after which the sensor is FAILED, never before it is STALE."""
        return max(seconds_to_ns(self.failed_after_s), self.stale_after_ns)


@dataclass(frozen=True, slots=True)
class RigConfig:
    """The sensors of a robot and how their frames are brought together.

    The order of ``sensors`` is the order of preference for the reference sensor: the first one that
    is alive gives the mask its stamp, frame and geometry.
    """

    sensors: Mapping[str, SensorConfig] = field(default_factory=lambda: default_sensors())
    deadline_s: float = number(
        0.02, 0.0, 10.0, "A frame set leaves at most this long after its reference frame came, in s"
    )
    startup_grace_s: float = number(
        5.0, 0.0, 600.0, "A sensor that was never seen is WAITING this long, then FAILED, in s"
    )
    clock_jump_s: float = number(
        1.0, 0.05, 3600.0, "A stamp this far off its sensor's own clock is absurd or a jump, in s"
    )


@dataclass(frozen=True, slots=True)
class SegConfig:
    """Everything that the segmentation node and the offline runner need."""

    model: str = text(
        "", "Model folder, or the name of a bundled model; empty means the default bundled one"
    )
    engine: str = text("onnxruntime", "What executes the model: onnxruntime or torch")
    threads: int = count(0, 0, 256, "CPU threads of the engine; 0 means one per core, at most 4")
    autostart: bool = switch(True, "Configure and activate without being told to")
    overlay_alpha: float = number(0.5, 0.0, 1.0, "Opacity of the class colours in ~/overlay")
    diagnostics_hz: float = number(2.0, 0.1, 50.0, "Rate of /diagnostics, in Hz")
    rig: RigConfig = field(default_factory=RigConfig)


def default_sensors() -> dict[str, SensorConfig]:
    """Return the four sensors of the demo, the simulator and the launch file."""
    return {
        "rgb": SensorConfig("rgb/image", "rgb", expected_hz=30.0),
        "events": SensorConfig("events/image", "event", expected_hz=30.0),
        "depth": SensorConfig("depth/image", "depth", expected_hz=15.0),
        "thermal": SensorConfig("thermal/image", "thermal", expected_hz=10.0),
    }


def load_config(path: Path) -> SegConfig:
    """Read a ROS 2 parameter file (``/**: ros__parameters:``) into a configuration.

    Raises:
        ConfigError: the file cannot be read, or a parameter in it is unknown or invalid.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the parameter file {path}: {error}") from error
    if not isinstance(content, Mapping) or len(content) != 1:
        raise ConfigError(
            f"{path} must hold one node section such as '/**:' with 'ros__parameters:' in it"
        )
    (section,) = content.values()
    parameters = section.get("ros__parameters") if isinstance(section, Mapping) else None
    if not isinstance(parameters, Mapping):
        raise ConfigError(f"{path} has no 'ros__parameters:' section")
    return seg_config(parameters)


def seg_config(parameters: Mapping[str, Any]) -> SegConfig:
    """Build a :class:`SegConfig` from nested parameters.

    ``use_sim_time`` and ``qos_overrides`` belong to every ROS node and are passed over.

    Raises:
        ConfigError: a parameter is unknown, has the wrong type or is out of range.
    """
    own = {k: v for k, v in parameters.items() if k not in ("use_sim_time", "qos_overrides")}
    config = build(SegConfig, own, "")
    if not config.rig.sensors:
        raise ConfigError("rig.sensors is empty: name at least one sensor with topic and modality")
    topics: dict[str, str] = {}
    for name, sensor in config.rig.sensors.items():
        for key in ("topic", "modality"):
            if not getattr(sensor, key):
                raise ConfigError(f"rig.sensors.{name}.{key} is missing: give it a value")
        if sensor.topic in topics:
            raise ConfigError(
                f"rig.sensors.{name}.topic is {sensor.topic!r}, which {topics[sensor.topic]!r} "
                "uses already: every sensor needs its own topic"
            )
        topics[sensor.topic] = name
    return config


def build(cls: type[T], values: Mapping[str, Any], path: str) -> T:
    """Build one configuration dataclass from a mapping, strictly.

    Args:
        cls: the dataclass.
        values: its fields by name; nested dataclasses as mappings.
        path: where the values stand, for error messages, e.g. ``rig.sensors``.

    Raises:
        ConfigError: naming the parameter, its value and what would be right.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path or 'the configuration'} is {values!r}: expected named parameters")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(
            f"unknown parameter {_join(path, unknown[0])}: "
            f"expected one of {', '.join(sorted(fields))}"
        )
    return cls(
        **{
            name: _convert(hints[name], value, fields[name], _join(path, name))
            for name, value in values.items()
        }
    )


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _convert(hint: Any, value: Any, spec: dataclasses.Field[Any], path: str) -> Any:
    """Check one value against its field's type and range."""
    if dataclasses.is_dataclass(hint):
        return build(typing.cast("type[Any]", hint), value, path)
    if typing.get_origin(hint) is not None:  # Mapping[str, <dataclass>]
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path} is {value!r}: expected named entries")
        _, entry = typing.get_args(hint)
        return {str(key): build(entry, item, _join(path, str(key))) for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise ConfigError(f"{path} is {value!r} ({type(value).__name__}): expected {hint.__name__}")
    if "range" in spec.metadata:
        low, high = spec.metadata["range"]
        if not low <= value <= high:  # NaN fails this too
            raise ConfigError(f"{path} is {value!r}: expected a value from {low} to {high}")
    return value
