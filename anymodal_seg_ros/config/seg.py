"""The whole configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anymodal_seg_ros.config.fields import (
    build,
    choice,
    count,
    did_you_mean,
    names,
    number,
    seconds_to_ns,
    switch,
    text,
)
from anymodal_seg_ros.config.sensors import EVENT_TYPES, SensorConfig
from anymodal_seg_ros.errors import ConfigError

LONGEST_DEADLINE_S = 10.0
"""Longest time that a frame set may be told to wait for its samples."""

ENGINES = ("onnxruntime", "openvino", "torch", "tensorrt", "auto")
"""What can execute a model; the first by default."""


@dataclass(frozen=True, slots=True)
class RigConfig:
    """The sensors of a robot and how their frames are brought together.

    ``reference`` is the order of preference for the reference sensor: the first one that is alive
    opens frame sets and gives the mask its stamp. What it leaves out follows in the order of
    ``sensors``, which tools of ROS 2 do not keep.
    """

    sensors: Mapping[str, SensorConfig] = field(default_factory=lambda: default_sensors())
    reference: tuple[str, ...] = names(
        "Sensors in order of preference for the reference; empty: the order of the file, which "
        "ROS tools sort"
    )
    geometry: str = choice(
        ("fixed", "reference"),
        "Picture of the masks. fixed: frame_id and size of the first sensor, whoever is alive; "
        "reference: those of the living reference sensor",
    )
    trigger: str = choice(
        ("reference", "rate", "any"),
        "What opens a frame set: each frame of the reference sensor, a fixed rate, or any frame",
    )
    trigger_hz: float = number(10.0, 0.1, 1000.0, "Rate of frame sets with trigger 'rate', in Hz")
    min_modalities: int = count(
        1, 1, 64, "Masks are UNLABELED (255) where fewer kinds of sensors see anything"
    )
    deadline_s: float = number(
        0.02,
        0.0,
        LONGEST_DEADLINE_S,
        "A frame set leaves at most this long after its reference frame came, in s",
    )
    deadline_max_s: float = number(
        0.1,
        0.0,
        LONGEST_DEADLINE_S,
        "The deadline is learned from how late the other sensors come, up to this long, in s; not "
        "above deadline_s: never",
    )
    max_rate_hz: float = number(
        0.0, 0.0, 1000.0, "Reference frames beyond this rate open nothing, in Hz; 0: no limit"
    )
    budget_ms: float = number(
        0.0,
        0.0,
        10_000.0,
        "Time from reference frame to mask that encoding other sensors may take up, in ms; 0 means "
        "one period of the reference",
    )
    startup_grace_s: float = number(
        5.0, 0.0, 600.0, "A sensor that was never seen is WAITING this long, then FAILED, in s"
    )
    content_checks: bool = switch(
        True, "Look for faults in the images; off only where faults shall reach the network"
    )
    cross_check: bool = switch(
        True,
        "Check sensors against each other: DOUBTFUL, and with three or more not fused, is one that "
        "shows another world; needs a model with an agreement file",
    )
    cross_check_s: float = number(
        0.3, 0.05, 3600.0, "Time from one look at what the sensors have in common to the next, in s"
    )
    cross_check_share: float = number(
        0.1, 0.001, 1.0, "Share of one core that looks may take on a robot; more wait longer"
    )
    cross_check_evidence: float = number(
        9.0,
        1.0,
        1000.0,
        "DOUBTFUL at this evidence, in nats; one more makes false alarms about e times rarer, and "
        "the doubt later",
    )
    misaligned_above: float = number(
        0.015,
        0.0,
        0.05,
        "Told when a sensor lies beside the first by more than this share of the width; 0: never",
    )
    clock_jump_s: float = number(
        1.0, 0.05, 3600.0, "A stamp this far off its sensor's own clock is absurd or a jump, in s"
    )

    def __post_init__(self) -> None:
        unknown = [name for name in self.reference if name not in self.sensors]
        if unknown or len(set(self.reference)) < len(self.reference):
            near = did_you_mean(unknown[0], self.sensors) if unknown else ""
            raise ConfigError(
                f"rig.reference is {', '.join(self.reference)}: {near}expected some of the sensors "
                f"{', '.join(self.sensors)}, each once"
            )
        # Whoever iterates over the sensors meets them in order of preference.
        order = [*self.reference, *(name for name in self.sensors if name not in self.reference)]
        object.__setattr__(self, "sensors", {name: self.sensors[name] for name in order})

    @property
    def disabled(self) -> frozenset[str]:
        """Names of the sensors that take no part."""
        return frozenset(name for name, sensor in self.sensors.items() if not sensor.enabled)

    @property
    def promised_hz(self) -> dict[str, float]:
        """The rate of each sensor's messages; 0 where none is promised."""
        return {name: sensor.promised_hz for name, sensor in self.sensors.items()}

    @property
    def longest_wait_ns(self) -> int:
        """Longest time that a frame set waits for its samples, in ns."""
        return seconds_to_ns(max(self.deadline_s, self.deadline_max_s))

    def mask_period_ns(self, reference: str) -> int:
        """Return the time from mask to mask while a sensor is the reference, in ns.

        That is the sensor's own period, or a longer one where fewer masks than frames are wanted.
        """
        limits_hz = (self.max_rate_hz, self.trigger_hz if self.trigger == "rate" else 0.0)
        least_ns = max((seconds_to_ns(1.0 / limit) for limit in limits_hz if limit), default=0)
        return max(self.sensors[reference].period_ns, least_ns)


@dataclass(frozen=True, slots=True)
class BlackBoxConfig:
    """What is kept of the last seconds, to be written down when a sensor fails."""

    before_s: float = number(
        0.0,
        0.0,
        600.0,
        "Seconds of all inputs that are kept, and written as an mcap when a sensor fails, in s; 0: "
        "none",
    )
    max_mb: int = count(
        256, 1, 65_536, "Most memory that kept messages may take, in MB; the oldest go first"
    )
    max_messages: int = count(20_000, 10, 10_000_000, "Most messages that are kept")
    keep: int = count(10, 1, 10_000, "Recordings that stay on disk; the oldest goes first")


@dataclass(frozen=True, slots=True)
class SegConfig:
    """Everything that the segmentation node and the offline runner need."""

    model: str = text(
        "", "Model folder, or the name of a bundled model; empty means the default bundled one"
    )
    engine: str = choice(
        ENGINES,
        "What executes the model; auto: the fastest that is installed and right on this machine",
    )
    build_timeout_s: float = number(
        1800.0, 10.0, 86_400.0, "Longest time that building plans for TensorRT may take, in s"
    )
    build_memory_mb: int = count(
        0,
        0,
        1_000_000,
        "Memory that building plans for TensorRT may take, in MB; 0: three quarters of what is "
        "free when it begins",
    )
    providers: str = text(
        "auto",
        "What ONNX Runtime executes on: auto (CUDA where it is installed and there is a GPU, else "
        "the CPU), or names by preference, such as 'tensorrt,cuda,cpu'",
    )
    threads: int = count(0, 0, 256, "CPU threads of the engine; 0 means one per core, at most 4")
    workers: int = count(
        0, 0, 64, "Threads that prepare, encode and fuse side by side; 0: one per core, at most 4"
    )
    inference_timeout_s: float = number(
        10.0,
        0.0,
        600.0,
        "The process ends with an error when one inference takes this long (or over 3 s and 50 "
        "times what it usually takes), or when inference has done nothing but fail for this long, "
        "in s; 0: never",
    )
    autostart: bool = switch(True, "Configure and activate without being told to")
    confidence: bool = switch(
        False, "Publish ~/confidence: how sure the network is; needs a model that can say"
    )
    overlay_alpha: float = number(0.5, 0.0, 1.0, "Opacity of the class colours in ~/overlay")
    diagnostics_hz: float = number(2.0, 0.1, 50.0, "Rate of /diagnostics, in Hz")
    lazy: bool = switch(
        False, "Run the network only while somebody subscribes to a mask, a picture or the evidence"
    )
    demo: bool = switch(
        False, "Without sensors of one's own the four of the simulator are taken, not refused"
    )
    black_box: BlackBoxConfig = field(default_factory=BlackBoxConfig)
    rig: RigConfig = field(default_factory=RigConfig)


def default_sensors() -> dict[str, SensorConfig]:
    """Return the four sensors of the demo, the simulator and the launch file."""
    return {
        "rgb": SensorConfig("rgb/image", "rgb", expected_hz=30.0),
        "events": SensorConfig("events/image", "event", expected_hz=30.0),
        "depth": SensorConfig("depth/image", "depth", expected_hz=15.0),
        "thermal": SensorConfig("thermal/image", "thermal", expected_hz=10.0),
    }


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
        topics[name] = sensor.topic
    refuse_shared_topics(topics)
    _check_evidence(config.rig)
    return config


def refuse_shared_topics(topics: Mapping[str, str]) -> None:
    """Make sure that every sensor has a topic of its own.

    Args:
        topics: by sensor; as they are configured, or as they are resolved in the node's namespace,
            where ``image`` and ``/image`` may be one.

    Raises:
        ConfigError: two sensors have the same.
    """
    users: dict[str, str] = {}
    for name, topic in topics.items():
        if topic in users:
            raise ConfigError(
                f"rig.sensors.{name}.topic is {topic!r}, which {users[topic]!r} "
                "uses already: every sensor needs its own topic"
            )
        users[topic] = name


def _check_evidence(rig: RigConfig) -> None:
    """Refuse a rig that could never give a mask."""
    enabled = {name: sensor for name, sensor in rig.sensors.items() if sensor.enabled}
    kinds = {sensor.modality for sensor in enabled.values()}
    if not enabled:
        raise ConfigError(
            f"no sensor is enabled, of {', '.join(rig.sensors) or 'none'} in rig.sensors: no mask "
            "would ever be made; enable one of a kind that the model knows"
        )
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
