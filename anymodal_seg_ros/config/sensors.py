"""What is configured of one sensor: its topic and rate, its checks, where it is."""

from __future__ import annotations

from dataclasses import dataclass, field

from anymodal_seg_ros.config.fields import choice, count, number, seconds_to_ns, switch, text

SHUTTER_S = 1.5
"""A thermal camera closes its shutter to calibrate for about 1 s; for longer it must not."""

LARGEST_OFFSET_S = 10.0
"""Beyond it, no parameter stands in for clocks that are synchronised."""

SCHEDULING_NOISE_NS = 10_000_000
"""How much later than due a healthy message may be noticed by a busy process."""


@dataclass(frozen=True, slots=True)
class ChecksConfig:
    """What is looked for in a sensor's images. Each check runs where it suits the modality."""

    format: bool = switch(True, "INVALID when size or encoding change, until recover_frames alike")
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
    stuck_rows: bool = switch(True, "INVALID when rows or columns repeat their neighbours")
    stuck_rows_above: float = number(
        0.0, 0.0, 1.0, "Stuck if more than this share of the lines repeats; 0: by modality"
    )
    noise: bool = switch(True, "INVALID when neighbouring pixels are unrelated")
    noise_above: float = number(
        0.0, 0.0, 10.0, "Noise if neighbours differ over this share of any two; 0: by modality"
    )
    glare: bool = switch(True, "DEGRADED when much of an image is saturated")
    glare_above: float = number(
        0.0, 0.0, 1.0, "Glare if more than this share of the pixels is saturated; 0: by modality"
    )
    speckle: bool = switch(True, "INVALID when lone pixels are bright or dark, as of bad cells")
    speckle_above: float = number(
        0.0, 0.0, 1.0, "Speckled if more than this share of the pixels is; 0: by modality"
    )
    stripes: bool = switch(True, "INVALID when rows or columns have their own brightness")
    stripes_above: float = number(
        0.0, 0.0, 1.0, "Striped if lines share more than this of all differences; 0: by modality"
    )
    torn: bool = switch(True, "INVALID when rows are out of place")
    torn_above: float = number(
        0.0, 0.0, 1.0, "Torn if more than this share of the rows is out of place; 0: by modality"
    )
    blocky: bool = switch(
        True, "DEGRADED when blocks of the picture are damaged, as by lost packets"
    )
    blocky_above: float = number(
        0.0, 0.0, 10.0, "Blocky if steps between blocks are this share of any two's; 0: by modality"
    )
    twice: bool = switch(True, "DEGRADED when both halves of an image show the same")
    twice_above: float = number(
        0.0, 0.0, 1.0, "Twice if the likeness of the halves is above this; 0: by modality"
    )
    byte_order: bool = switch(True, "INVALID when 16-bit pixels have their bytes swapped")
    byte_order_above: float = number(
        0.0, 0.0, 1e6, "Swapped if swapping makes it smoother by this factor; 0: by modality"
    )
    soft: bool = switch(True, "DEGRADED when a sharp camera has no sharp edges any more")
    soft_below: float = number(
        0.0, 0.0, 1.0, "Soft if the steepness of edges is below this; 0: by modality"
    )
    covered: bool = switch(
        True,
        "DEGRADED when a part of the picture dies or loses its detail at once; FROZEN when all of "
        "it dies",
    )
    covered_above: float = number(
        0.0, 0.0, 1.0, "Covered if more than this share of the picture is dead; 0: 0.12"
    )
    holes: bool = switch(True, "DEGRADED when pixels without depth are strewn over the picture")
    holes_above: float = number(
        0.0, 0.0, 10.0, "Holes if they keep together less than this, 1 being chance; 0: by modality"
    )
    units: bool = switch(True, "INVALID when distances are a thousand times too short or too long")
    units_below: float = number(
        0.0, 0.0, 1e6, "Wrong units if the median distance in m is below this; 0: by modality"
    )
    units_above: float = number(
        0.0, 0.0, 1e6, "Wrong units if the median distance in m is above this; 0: by modality"
    )
    scan: bool = switch(True, "INVALID or DEGRADED when points are no scan of a LiDAR")
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
        "of [R t]; 'tf': what /tf_static says of the frame_ids of their messages; empty if both "
        "are in one camchain",
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
class CountsConfig:
    """What the numbers in one sensor's messages mean: a fact of the camera, not of the model."""

    per_count: float = number(
        0.0,
        0.0,
        1e6,
        "Unit of one count: metres of depth, kelvin of thermal images; 0 means 0.001 m for 16-bit "
        "depth, for 16-bit thermal what the model was trained with, and 1 for floats (32FC1)",
    )
    offset: float = number(
        0.0,
        -1e6,
        1e6,
        "Metres or kelvin of count 0, e.g. 273.15 where degrees C are counted",
    )
    full_scale: float = number(
        0.0,
        0.0,
        65535.0,
        "Largest count of a 16-bit colour image, e.g. 4095 of twelve bits; 0 means 65535",
    )
    intensity_max: float = number(
        0.0, 0.0, 1e9, "LiDAR intensity of a perfect reflector; 0 means what the model assumes"
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
    "event_array_prophesee": "prophesee_event_msgs/msg/EventArray",
    "point_cloud": "sensor_msgs/msg/PointCloud2",
}
"""The type of ROS message that a sensor's topic carries, by what the configuration calls it."""

EVENT_TYPES = ("event_packet", "event_array", "event_array_prophesee")
"""Those that only event cameras send. A point cloud holds events or a LiDAR's points."""


class Thresholds:
    """A rate, thresholds, and the times that follow: what judges a stream by its arrivals takes.

    :class:`SensorConfig` has them beside topic and modality, :class:`SensorLimits` nothing else.
    """

    __slots__ = ()
    expected_hz: float
    tolerance_s: float
    late_after_periods: float
    stale_after_s: float
    failed_after_s: float
    recover_frames: int
    fault_frames: int
    enabled: bool

    @property
    def usual_silence_s(self) -> float:
        """Silence that no sensor of this kind is STALE for, unless told so, in s."""
        return 0.2

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
        usual_ns = max(3 * self.period_ns, seconds_to_ns(self.usual_silence_s))
        chosen = seconds_to_ns(self.stale_after_s) or usual_ns
        return max(chosen, self.late_after_ns)

    @property
    def failed_after_ns(self) -> int:
        """Silence after which the sensor is FAILED, never before it is STALE."""
        return max(seconds_to_ns(self.failed_after_s), self.stale_after_ns)


@dataclass(frozen=True, slots=True)
class SensorLimits(Thresholds):
    """The rate of a stream of messages, and when it is late, down and well again.

    For whoever watches a stream without a rig to configure. The fields mean what those of
    :class:`SensorConfig` mean, whose ranges hold here as well, but nothing checks them.
    """

    expected_hz: float = 30.0
    tolerance_s: float = 0.0
    late_after_periods: float = 1.8
    stale_after_s: float = 0.0
    failed_after_s: float = 2.0
    recover_frames: int = 5
    fault_frames: int = 3
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class SensorConfig(Thresholds):
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
        0.0,
        -LARGEST_OFFSET_S,
        LARGEST_OFFSET_S,
        "Added to every header stamp before sensors are compared, in s",
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
        "0 means tolerance and deadline (the longest, where that is above 0.1 s), at least 0.1 s",
    )
    enabled: bool = switch(True, "Whether the sensor takes part at all")
    critical: bool = switch(False, "Masks are UNLABELED (255) wherever this sensor is missing")
    max_pixels: int = count(
        0,
        0,
        1 << 28,
        "Largest image, or cloud in points, that is believed; larger ones are rejected before they "
        "are looked at; 0: what the encoding allows, 16384 on each side or 16777216 points",
    )
    type: str = choice(
        ("auto", *MESSAGE_TYPES),
        "What the topic carries; auto: compressed if its name ends in /compressed or "
        "/compressedDepth, else image; point_cloud: events of an event camera, else LiDAR points",
    )
    counts: CountsConfig = field(default_factory=CountsConfig)
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
    def sends_points(self) -> bool:
        """Whether its messages are scans of a LiDAR, and not images or events."""
        return self.type == "point_cloud" and self.modality != "event"

    @property
    def promised_hz(self) -> float:
        """How many messages come in a second; 0 where packets of events do, at any rate."""
        return 0.0 if self.sends_events else self.expected_hz

    @property
    def sends_events(self) -> bool:
        """Whether its messages are events; ``expected_hz`` is the rate of their windows then."""
        return self.type in EVENT_TYPES or (self.type == "point_cloud" and self.modality == "event")

    @property
    def usual_silence_s(self) -> float:
        """Longer for thermal cameras, which close their shutter."""
        return SHUTTER_S if self.modality == "thermal" else 0.2

    @property
    def limits(self) -> SensorLimits:
        """The rate and the thresholds without topic and modality."""
        return SensorLimits(
            expected_hz=self.expected_hz,
            tolerance_s=self.tolerance_s,
            late_after_periods=self.late_after_periods,
            stale_after_s=self.stale_after_ns / 1e9,
            failed_after_s=self.failed_after_s,
            recover_frames=self.recover_frames,
            fault_frames=self.fault_frames,
            enabled=self.enabled,
        )
