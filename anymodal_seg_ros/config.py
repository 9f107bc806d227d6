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


def choice(options: tuple[str, ...], doc: str) -> Any:
    """Declare a string field that takes one of some words, the first by default."""
    return field(default=options[0], metadata={"choices": options, "doc": doc})


def switch(default: bool, doc: str) -> Any:
    """Declare a boolean field with its description."""
    return field(default=default, metadata={"doc": doc})


SHUTTER_S = 1.5
"""A thermal camera closes its shutter to calibrate for about 1 s; for longer it must not."""

SCHEDULING_NOISE_NS = 10_000_000
"""How much later than due a healthy message may be noticed by a busy process."""


@dataclass(frozen=True, slots=True)
class ChecksConfig:
    """What is looked for in a sensor's images. Each check runs where it suits the modality."""

    format: bool = switch(True, "INVALID when size or encoding change in mid-stream")
    frozen: bool = switch(True, "FROZEN when the payload repeats; off for noise-free simulators")
    frozen_after_s: float = number(
        0.0, 0.0, 600.0, "FROZEN after this time, in s; 0 means 1.5 for thermal, 0.5 for others"
    )
    black: bool = switch(True, "INVALID when an image is black")
    black_below: float = number(
        0.0, 0.0, 65535.0, "Black if the 99th percentile is below this, in counts; 0: by modality"
    )
    saturated: bool = switch(True, "INVALID when an image is saturated")
    saturated_above: float = number(
        0.0, 0.0, 1.0, "Saturated if more than this share of the pixels is; 0: by modality"
    )
    blocked: bool = switch(True, "INVALID when an image is flat, as of a covered lens")
    blocked_below: float = number(
        0.0, 0.0, 65535.0, "Flat if its blocks differ by less than this, in counts; 0: by modality"
    )
    stuck_rows: bool = switch(True, "INVALID when rows repeat their neighbours")
    stuck_rows_above: float = number(
        0.0, 0.0, 1.0, "Stuck if more than this share of the rows repeats; 0: by modality"
    )
    noise: bool = switch(True, "INVALID when neighbouring pixels are unrelated")
    noise_above: float = number(
        0.0, 0.0, 10.0, "Noise if neighbours differ over this share of any two; 0: by modality"
    )
    no_depth: bool = switch(True, "INVALID when hardly any pixel has a depth")
    no_depth_below: float = number(
        0.0, 0.0, 1.0, "No depth if less than this share of the pixels is valid; 0: by modality"
    )


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
class EventConfig:
    """How the events of a camera become images."""

    window_s: float = number(
        0.033, 0.001, 1.0, "Length of the window of events that ends at a frame's stamp, in s"
    )
    binning: int = count(1, 1, 16, "Sensor pixels per pixel of the image, along each side")
    max_events: int = count(
        1_000_000, 1_000, 100_000_000, "Newest events that are kept at least; 24 bytes each"
    )
    height: int = count(0, 0, 2048, "Rows of the sensor, if its messages do not tell")
    width: int = count(0, 0, 2048, "Columns of the sensor, if its messages do not tell")


MESSAGE_TYPES = {
    "image": "sensor_msgs/msg/Image",
    "compressed": "sensor_msgs/msg/CompressedImage",
    "event_packet": "event_camera_msgs/msg/EventPacket",
    "event_array": "dvs_msgs/msg/EventArray",
    "point_cloud": "sensor_msgs/msg/PointCloud2",
}
"""The type of ROS message that a sensor's topic carries, by what the configuration calls it."""

EVENT_TYPES = ("event_packet", "event_array", "point_cloud")
"""Those that hold events, one by one."""


@dataclass(frozen=True, slots=True)
class SensorConfig:
    """One physical sensor and its topic."""

    topic: str = text("", "Topic of its messages, relative to the node's namespace; required")
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
        0.0,
        0.0,
        60.0,
        "STALE after this silence in s; 0 means max(3 periods, 0.2 s), thermal 1.5 s (shutter)",
    )
    failed_after_s: float = number(2.0, 0.01, 600.0, "FAILED after this silence, in s")
    recover_frames: int = count(
        5, 1, 1000, "Good messages in a row that bring a sensor that was down back to OK"
    )
    fault_frames: int = count(
        3, 1, 1000, "Bad messages, with no recovery between them, that bring a sensor down"
    )
    clock_offset_s: float = number(
        0.0,
        0.0,
        3600.0,
        "CLOCK when stamps are this far off the other sensors', in s; "
        "0 means tolerance and deadline, at least 0.1 s",
    )
    enabled: bool = switch(True, "Whether the sensor takes part at all")
    critical: bool = switch(False, "Masks are UNLABELED (255) wherever this sensor is missing")
    type: str = choice(
        ("auto", *MESSAGE_TYPES),
        "What the topic carries; auto: compressed if its name ends in /compressed or "
        "/compressedDepth, else image",
    )
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)
    events: EventConfig = field(default_factory=EventConfig)

    @property
    def message_type(self) -> str:
        """The ROS type of the topic, e.g. ``sensor_msgs/msg/Image``."""
        if self.type != "auto":
            return MESSAGE_TYPES[self.type]
        compressed = self.topic.endswith(("/compressed", "/compressedDepth"))
        return MESSAGE_TYPES["compressed" if compressed else "image"]

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
        """Silence after which the sensor is LATE, with room for scheduling at high rates."""
        chosen = round(self.late_after_periods * self.period_ns)
        return max(chosen, self.period_ns + SCHEDULING_NOISE_NS)

    @property
    def stale_after_ns(self) -> int:
        """Silence after which the sensor is STALE, never before it is LATE."""
        usual = seconds_to_ns(SHUTTER_S if self.modality == "thermal" else 0.2)
        chosen = seconds_to_ns(self.stale_after_s) or max(3 * self.period_ns, usual)
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
    trigger: str = choice(
        ("reference", "rate", "any"),
        "What opens a frame set: each frame of the reference sensor, a fixed rate, or any frame",
    )
    trigger_hz: float = number(10.0, 0.1, 1000.0, "Rate of frame sets with trigger 'rate', in Hz")
    min_modalities: int = count(
        1, 1, 64, "Masks are UNLABELED (255) where fewer kinds of sensors see anything"
    )
    deadline_s: float = number(
        0.02, 0.0, 10.0, "A frame set leaves at most this long after its reference frame came, in s"
    )
    startup_grace_s: float = number(
        5.0, 0.0, 600.0, "A sensor that was never seen is WAITING this long, then FAILED, in s"
    )
    content_checks: bool = switch(
        True, "Look for faults in the images; off only where faults shall reach the network"
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
    confidence: bool = switch(
        False, "Publish ~/confidence: how sure the network is; needs a model that can say"
    )
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
        if sensor.type in EVENT_TYPES and sensor.modality != "event":
            raise ConfigError(
                f"rig.sensors.{name}.type is {sensor.type!r}, but its modality is "
                f"{sensor.modality!r}: only sensors of the modality 'event' send events"
            )
        if sensor.topic in topics:
            raise ConfigError(
                f"rig.sensors.{name}.topic is {sensor.topic!r}, which {topics[sensor.topic]!r} "
                "uses already: every sensor needs its own topic"
            )
        topics[sensor.topic] = name
    _check_evidence(config.rig)
    return config


def _check_evidence(rig: RigConfig) -> None:
    """Refuse a rig that could never give a mask."""
    enabled = {name: sensor for name, sensor in rig.sensors.items() if sensor.enabled}
    kinds = {sensor.modality for sensor in enabled.values()}
    if rig.min_modalities > len(kinds):
        raise ConfigError(
            f"rig.min_modalities is {rig.min_modalities}, but the enabled sensors are of "
            f"{len(kinds)} kinds: lower it, or enable more sensors"
        )
    for name, sensor in rig.sensors.items():
        if sensor.critical and not sensor.enabled:
            raise ConfigError(
                f"rig.sensors.{name} is critical but not enabled: no mask would ever be made"
            )


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
    if "choices" in spec.metadata and value not in spec.metadata["choices"]:
        expected = ", ".join(spec.metadata["choices"])
        raise ConfigError(f"{path} is {value!r}: expected one of {expected}")
    if "range" in spec.metadata:
        low, high = spec.metadata["range"]
        if not low <= value <= high:  # NaN fails this too
            raise ConfigError(f"{path} is {value!r}: expected a value from {low} to {high}")
    return value
