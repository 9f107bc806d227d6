"""Folders of images to a bag, with the timing of a real rig: rates, jitter, gaps and latency."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anymodal_seg_ros.config import seconds_to_ns
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.bags import BagError
from anymodal_seg_ros.evaluation.image_files import load_image

MAX_JITTER_PERIODS = 0.45
"""Jitter is clipped to this part of the period, so that a sensor's stamps stay in order."""

_END_OF_TIME_NS = 2**31 * 10**9
"""Seconds of a stamp are a signed number of 32 bits."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without messages, from ``start`` up to ``end``.

    Attributes:
        start: seconds after the first frame, or a fraction of the bag's length.
        end: likewise.
        fractions: which of the two.
    """

    start: float
    end: float
    fractions: bool = False

    def covers(self, time_s: float, length_s: float) -> bool:
        """Whether a moment, in seconds after the first frame, lies in the gap."""
        scale = length_s if self.fractions else 1.0
        return self.start * scale <= time_s < self.end * scale


@dataclass(frozen=True, slots=True)
class ImageSensor:
    """How one sensor's images become messages.

    Attributes:
        topic: absolute topic name.
        images: in order of time.
        encoding: of the messages; '' leaves it to the files.
        frame_id: coordinate frame of the camera.
        rate_hz: messages per second.
        jitter_s: standard deviation of the stamps around their ticks.
        latency_s: from the stamp to the arrival at the recorder.
        gaps: when the sensor is off.
    """

    topic: str
    images: Sequence[Path]
    encoding: str
    frame_id: str
    rate_hz: float
    jitter_s: float = 0.0
    latency_s: float = 0.0
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Shot:
    """One message of the bag to be: which image, when taken and when recorded."""

    sensor: str
    image: Path
    stamp_ns: int
    log_ns: int


def plan(
    sensors: Mapping[str, ImageSensor], *, start_ns: int, seed: int = 0, paired: bool = False
) -> list[Shot]:
    """Lay out the messages of a bag in the order in which they are recorded.

    Args:
        sensors: by name.
        start_ns: stamp of the first frames, nanoseconds since the epoch.
        seed: of the jitter.
        paired: the n-th images of all sensors show one instant. Then the fastest sensor shows
            them all and a slower one shows those of its instants. Otherwise every sensor shows
            all its images at its own rate.

    Raises:
        BagError: the gaps leave no message, or ROS has no stamps for them.
    """
    fastest_hz = max(sensor.rate_hz for sensor in sensors.values())
    moments = {
        name: list(_moments(sensor, fastest_hz if paired else sensor.rate_hz))
        for name, sensor in sensors.items()
    }
    length_s = max(t for times in moments.values() for t, _ in times) + 1.0 / fastest_hz
    shots: list[Shot] = []
    for name, sensor in sensors.items():
        random_numbers = random.Random(f"{seed} {name}")
        limit_s = MAX_JITTER_PERIODS / sensor.rate_hz
        for time_s, image in moments[name]:
            offset_s = random_numbers.gauss(0.0, sensor.jitter_s)
            if any(gap.covers(time_s, length_s) for gap in sensor.gaps):
                continue
            jittered_s = time_s + min(max(offset_s, -limit_s), limit_s)
            stamp_ns = start_ns + seconds_to_ns(jittered_s)
            shots.append(Shot(name, image, stamp_ns, stamp_ns + seconds_to_ns(sensor.latency_s)))
    if not shots:
        raise BagError("the gaps leave no message: shorten them")
    if max(shot.log_ns for shot in shots) >= _END_OF_TIME_NS:
        raise BagError(
            "the bag would end after January 2038, which the stamps of ROS cannot tell: let it "
            "start earlier, or its messages come faster"
        )
    return sorted(shots, key=lambda shot: shot.log_ns)


def _moments(sensor: ImageSensor, images_hz: float) -> Iterable[tuple[float, Path]]:
    """Yield the time of every message, in seconds, with the image that is shown then.

    Args:
        sensor: messages come at its rate.
        images_hz: at which the instants in its folder follow one another.
    """
    tick = 0
    while (index := round(tick * images_hz / sensor.rate_hz)) < len(sensor.images):
        yield tick / sensor.rate_hz, sensor.images[index]
        tick += 1


def write_bag(
    path: Path, sensors: Mapping[str, ImageSensor], shots: Iterable[Shot], *, replace: bool = False
) -> None:
    """Write planned messages as a bag.

    Raises:
        BagError: the bag cannot be created, or an image cannot be read; then no bag is left.
    """
    with ImageBagWriter(path, replace=replace) as bag:
        for shot in shots:
            sensor = sensors[shot.sensor]
            image = load_image(shot.image, sensor.encoding)
            bag.write(sensor.topic, image, shot.stamp_ns, shot.log_ns, sensor.frame_id)
