"""What the sensors of a simulated rig take in a stretch of time, drawn in any process."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.events.values import Events
from anymodal_seg_ros.simulation.cameras.events import EventCamera
from anymodal_seg_ros.simulation.cameras.lidar import Lidar
from anymodal_seg_ros.simulation.cameras.sensors import Observer, SensorModel
from anymodal_seg_ros.simulation.schedule import Schedule
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

PACKET_NS = 10_000_000
"""Events of so long a time travel in one packet."""

EVENT_SPAN_NS = 40_000_000
"""Events are drawn for so long a time at once: about a frame, of which a few instants are cast."""


@dataclass(frozen=True, slots=True)
class RigBagConfig:
    """What a bag of the simulated rig holds.

    Attributes:
        scene: what is driven through.
        sensors: of the rig; the first one is what the others are registered to.
        duration_s: length in seconds.
        start_ns: stamp of the scene's time 0, nanoseconds since the epoch.
        labels: whether the class ids of every image are recorded too.
        packets: whether events are recorded one by one, besides the frames made of them.
    """

    scene: SceneConfig
    sensors: tuple[SensorModel, ...]
    duration_s: float = 8.0
    start_ns: int = 1_700_000_000_000_000_000
    labels: bool = True
    packets: bool = True

    def sensor(self, name: str) -> SensorModel:
        """The sensor of this name."""
        return next(sensor for sensor in self.sensors if sensor.name == name)


@dataclass(frozen=True, slots=True)
class RigShot:
    """What one message will hold.

    Attributes:
        sensor: whose it is.
        what: ``image``, ``labels``, ``points`` or ``packets``; the last part of its topic.
        time_ns: when it was taken, on the scene's clock: its stamp.
        arrives_ns: when it leaves the driver, if nothing is wrong.
        content: an image, a structured array of points, or events.
    """

    sensor: str
    what: str
    time_ns: int
    arrives_ns: int
    content: Image | npt.NDArray[np.void] | Events


def shots(config: RigBagConfig, span_ns: tuple[int, int]) -> list[RigShot]:
    """Everything that the sensors take from ``span_ns[0]`` up to ``span_ns[1]``."""
    observer = _observer(config.scene)
    found: list[RigShot] = []
    for sensor in config.sensors:
        for time_ns in instants(config, sensor, span_ns):
            found += _taken(config, sensor, observer, time_ns)
        if config.packets and isinstance(sensor, EventCamera):
            found += _packets(sensor, observer, span_ns)
    return found


def instants(config: RigBagConfig, sensor: SensorModel, span_ns: tuple[int, int]) -> Iterator[int]:
    """Yield the times in a span at which a sensor takes a picture, on the scene's clock."""
    schedule = Schedule(sensor.name, sensor.rate_hz, 0, config.scene.seed)
    number = max(0, schedule.first_after(span_ns[0]) - 2)
    while (time_ns := schedule.time_ns(number)) < span_ns[1]:
        if time_ns >= span_ns[0]:
            yield time_ns
        number += 1


def _taken(
    config: RigBagConfig, sensor: SensorModel, observer: Observer, time_ns: int
) -> Iterator[RigShot]:
    """A picture or a cloud, and its labels."""
    arrives_ns = time_ns + sensor.latency_ns
    if isinstance(sensor, Lidar):
        points = sensor.scan(observer, time_ns)  # every point has its label in it
        yield RigShot(sensor.name, "points", time_ns, arrives_ns, points)
        return
    image = sensor.capture(observer, time_ns)
    yield RigShot(sensor.name, "image", time_ns, arrives_ns, image)
    if config.labels:
        labels = Image(observer.view(sensor.camera, time_ns).labels(), "mono8")
        yield RigShot(sensor.name, "labels", time_ns, arrives_ns, labels)


def _packets(
    sensor: EventCamera, observer: Observer, span_ns: tuple[int, int]
) -> Iterator[RigShot]:
    """The events of a span, cut into packets; an empty packet tells that time goes on."""
    for begin_ns in range(*span_ns, EVENT_SPAN_NS):
        end_ns = min(begin_ns + EVENT_SPAN_NS, span_ns[1])
        events = sensor.packets(observer, begin_ns, end_ns)
        for start_ns in range(begin_ns, end_ns, PACKET_NS):
            stop_ns = min(start_ns + PACKET_NS, end_ns)
            part = slice(*np.searchsorted(events.time_ns, (start_ns, stop_ns)))
            cut = Events(events.time_ns[part], events.x[part], events.y[part], events.on[part])
            yield RigShot(sensor.name, "packets", start_ns, stop_ns + sensor.latency_ns, cut)


@functools.lru_cache(maxsize=1)
def _observer(scene: SceneConfig) -> Observer:
    return Observer(Scene(scene))
