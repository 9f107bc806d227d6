"""A simulated drive as a rosbag2: every sensor in its own time, calibration, tf and labels."""

from __future__ import annotations

import functools
import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rosbags.interfaces import Qos

from anymodal_seg_ros.config import seconds_to_ns
from anymodal_seg_ros.evaluation.bag_writer import LATCHED, ImageBagWriter
from anymodal_seg_ros.evaluation.rig_parameters import PARAMETERS, rig_parameters
from anymodal_seg_ros.evaluation.rig_shots import RigBagConfig, RigShot, shots
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import ImageFault, Wrong
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.messages.rosbags import make
from anymodal_seg_ros.messages.values import Message
from anymodal_seg_ros.sensing.events.values import Events
from anymodal_seg_ros.simulation.frame_ids import cloud_frame, optical_frame
from anymodal_seg_ros.simulation.placements import sensor_placements, vehicle_placement
from anymodal_seg_ros.simulation.workers import Progress, in_parallel
from anymodal_seg_ros.simulation.world.scene import Scene
from anymodal_seg_ros.written_files import write_file

_SPAN_NS = 200_000_000
"""Drawn in one go by one worker."""
_TF_HZ = 50.0

Entry = tuple[int, int, str, str, Any, tuple[Qos, ...]]
"""Log time, number, topic, type, message of rosbags, offered quality of service."""


def write_rig_bag(
    path: Path,
    config: RigBagConfig,
    *,
    storage: str = "mcap",
    timeline: FaultTimeline | None = None,
    workers: int = 2,
    replace: bool = False,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Draw a drive and record it.

    For every camera ``/NAME/image``, ``/NAME/camera_info`` and ``/NAME/labels`` (mono8 class ids),
    for an event camera ``/NAME/packets`` too, for a LiDAR ``/NAME/points``; ``/tf_static`` and
    ``/tf``. The bag's folder also gets ``rig.yaml``, the parameters to run the pipeline with.

    Args:
        path: folder to create.
        config: what is driven through, and with which sensors.
        storage: ``mcap`` or ``sqlite3``.
        timeline: how sensors fail. Labels, calibration and tf never do.
        workers: processes; see ``in_parallel``. The bag does not depend on it.
        replace: delete a bag that is already there.
        progress: told how many milliseconds are done, and of how many.

    Returns:
        The number of messages by topic.

    Raises:
        BagError: the bag cannot be created.
        ConfigError: a fault does not fit its sensor.
    """
    counts: dict[str, int] = {}
    with ImageBagWriter(path, replace=replace, storage=storage) as bag:
        for log_ns, _, topic, kind, message, qos in _in_order(
            _entries(config, timeline, workers, progress)
        ):
            bag.append(topic, kind, message, config.start_ns + log_ns, qos)
            counts[topic] = counts.get(topic, 0) + 1
        write_file(path / PARAMETERS, rig_parameters(config))
    return counts


def _entries(
    config: RigBagConfig,
    timeline: FaultTimeline | None,
    workers: int,
    progress: Progress | None,
) -> Iterator[tuple[int, list[Entry]]]:
    """Yield the messages of span after span, each with a time that no later one is before."""
    writer = _Messages(config, timeline or FaultTimeline())
    end_ns = seconds_to_ns(config.duration_s)
    spans = [(t, min(t + _SPAN_NS, end_ns)) for t in range(0, end_ns, _SPAN_NS)]
    yield 0, writer.placements((0, 0))
    for span, taken in zip(
        spans, in_parallel(functools.partial(shots, config), spans, workers), strict=True
    ):
        yield span[0], [*writer.placements(span), *writer.of(taken)]
        if progress is not None:
            progress(span[1] // 1_000_000, end_ns // 1_000_000)


def _in_order(spans: Iterator[tuple[int, list[Entry]]]) -> Iterator[Entry]:
    """Yield messages by log time: what is late waits for what comes before it."""
    waiting: list[Entry] = []
    for reached_ns, entries in spans:
        while waiting and waiting[0][0] < reached_ns:
            yield heapq.heappop(waiting)
        for entry in entries:
            heapq.heappush(waiting, entry)
    while waiting:
        yield heapq.heappop(waiting)


class _Messages:
    """Turns shots into messages and lets faults have their way with them."""

    def __init__(self, config: RigBagConfig, timeline: FaultTimeline) -> None:
        self._config = config
        modalities = {sensor.name: sensor.modality for sensor in config.sensors}
        # Single events show no picture that could be changed: only their stream can fail.
        streams = tuple(f for f in timeline.faults if not isinstance(f, (ImageFault, Wrong)))
        self._pictures = Injector[Any](timeline, modalities)
        self._packets = Injector[Any](FaultTimeline(timeline.seed, streams), modalities)
        self._scene = Scene(config.scene)
        self._number = 0
        self._sequences: dict[str, int] = {}

    def of(self, taken: list[RigShot]) -> Iterator[Entry]:
        """Yield the messages of some shots, those of each sensor in order."""
        for shot in sorted(taken, key=lambda s: s.arrives_ns):
            stamp_ns = self._config.start_ns + shot.time_ns
            topic = f"/{shot.sensor}/{shot.what}"
            plain = self._message(shot, stamp_ns)
            kind, message = plain.type, make(plain)
            if shot.what == "labels":
                yield self._entry(shot.arrives_ns, topic, kind, message)
                continue
            injector = self._packets if shot.what == "packets" else self._pictures
            delivery = injector.push(shot.sensor, shot.arrives_ns, message)
            if delivery is None:
                continue
            yield self._entry(delivery.time_ns, topic, kind, delivery.payload)
            if shot.what == "image":
                lens = self._config.sensor(shot.sensor).camera.intrinsics
                frame_id = optical_frame(shot.sensor)
                info = values.camera_info(lens.width, lens.height, lens.matrix, stamp_ns, frame_id)
                topic = f"/{shot.sensor}/camera_info"
                yield self._entry(delivery.time_ns, topic, info.type, make(info))

    def placements(self, span_ns: tuple[int, int]) -> list[Entry]:
        """Where the vehicle is in a span; for an empty one, where the sensors are on it."""
        start_ns = self._config.start_ns
        if span_ns[0] == span_ns[1]:
            placed = sensor_placements(self._config.sensors)
            message = make(values.tf(placed, start_ns))
            return [self._entry(0, "/tf_static", values.TF, message, LATCHED)]
        period_ns = round(1e9 / _TF_HZ)
        first_ns = -(-span_ns[0] // period_ns) * period_ns
        found = []
        for time_ns in range(first_ns, span_ns[1], period_ns):
            placed = [vehicle_placement(self._scene, time_ns)]
            message = make(values.tf(placed, start_ns + time_ns))
            found.append(self._entry(time_ns, "/tf", values.TF, message))
        return found

    def _message(self, shot: RigShot, stamp_ns: int) -> Message:
        sensor, content = self._config.sensor(shot.sensor), shot.content
        frame_id = optical_frame(sensor.name)
        if isinstance(content, Image):
            return values.image(content.pixels, content.encoding, stamp_ns, frame_id)
        if not isinstance(content, Events):
            return values.point_cloud(content, stamp_ns, cloud_frame(sensor.name))
        size = (sensor.camera.intrinsics.height, sensor.camera.intrinsics.width)
        sequence = self._sequences.get(sensor.name, 0)
        self._sequences[sensor.name] = sequence + 1
        return values.event_packet(content, size, shot.time_ns, stamp_ns, sequence, frame_id)

    def _entry(
        self, log_ns: int, topic: str, kind: str, message: Any, qos: tuple[Qos, ...] = ()
    ) -> Entry:
        self._number += 1
        return log_ns, self._number, topic, kind, message, qos
