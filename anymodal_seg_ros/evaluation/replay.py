"""A bag through the pipeline, in the bag's own time: what the node would have made of it.

The log times stand in for the arrival of the messages, so a bag gives the same masks on every
machine, however slow, and the same as the node gives when it keeps up. What a node that does not
keep up gives is played with a model of how long a mask takes.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.arrivals import (
    READABLE,
    UPDATES,
    Arrival,
    CameraUpdate,
    TransformUpdate,
    UnreadableMessage,
    absolute_topic,
    arrivals,
    cameras_by_topic,
    check_cameras,
    check_messages,
    check_topics,
    sensors_by_topic,
)
from anymodal_seg_ros.evaluation.latency import Latency, Worker, latency_model
from anymodal_seg_ros.evaluation.naive import Replayable
from anymodal_seg_ros.faults.content import check_modalities
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import Ok
from anymodal_seg_ros.faults.stream import inject
from anymodal_seg_ros.faults.timeline import FaultTimeline, check_sensors, load_timeline
from anymodal_seg_ros.frames import Prediction, SensorState
from anymodal_seg_ros.inference.hardware.processors import usable_processors
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.health.sensor_health import Fault

__all__ = [
    "READABLE",
    "Arrival",
    "Latency",
    "absolute_topic",
    "arrivals",
    "cameras_by_topic",
    "check_cameras",
    "check_messages",
    "check_topics",
    "idle_faults",
    "latency_model",
    "make_injector",
    "read_timeline",
    "replay",
    "sensors_by_topic",
    "unfelt_faults",
    "with_faults",
]


_EXPECTED = 8
"""Messages that are read before they arrive: those of two instants of four sensors."""


def read_timeline(path: Path, rig: RigConfig) -> FaultTimeline:
    """Read what shall be wrong with the sensors of a rig.

    Raises:
        ConfigError: the file cannot be read or is wrong, names a sensor that the rig has not, or
            breaks one in a way that its kind cannot break.
    """
    timeline = load_timeline(path)
    try:
        check_sensors(timeline, rig.sensors)
        check_modalities(timeline, _modalities(rig))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return timeline


def make_injector(timeline: FaultTimeline, rig: RigConfig) -> Injector[Any]:
    """Return what breaks the sensors of a rig; their modalities tell what encodings leave open."""
    return Injector[Any](timeline, _modalities(rig))


def idle_faults(timeline: FaultTimeline, rig: RigConfig, length_s: float) -> list[str]:
    """Say which faults of a timeline change nothing, a line each.

    Args:
        timeline: of a bag.
        rig: its sensors.
        length_s: of the bag.
    """
    lines = []
    for fault in timeline.faults:
        of = f"the fault {fault.kind} of {fault.sensor}"
        if fault.start_s >= length_s:
            lines.append(
                f"{of} changes nothing: it begins at {fault.start_s:g} s, the bag ends after "
                f"{length_s:.2f} s"
            )
        elif fault.sensor in rig.sensors and not rig.sensors[fault.sensor].enabled:
            lines.append(f"{of} changes nothing: the sensor is disabled")
    return lines


def unfelt_faults(injector: Injector[Any], rig: RigConfig, length_s: float) -> list[str]:
    """Say which faults changed nothing although they were due, a line each.

    Args:
        injector: that has seen the whole bag.
        rig: its sensors.
        length_s: of the bag; what begins later is :func:`idle_faults`'.
    """
    enabled = [name for name, sensor in rig.sensors.items() if sensor.enabled]
    return [
        f"the fault {fault.kind} of {fault.sensor} at {fault.start_s:g} s changed nothing: no "
        "message came while it lasted that it fits, or another fault hides it"
        for number, fault in enumerate(injector.timeline.faults)
        if not isinstance(fault, Ok)
        and fault.start_s < length_s
        and (concerned := list(filter(fault.concerns, enabled)))
        and not any((number, name) in injector.felt for name in concerned)
    ]


def with_faults(
    messages: Iterable[Arrival], injector: Injector[Any], start_ns: int
) -> Iterator[Arrival]:
    """Yield what arrives if the sensors break as a timeline says.

    Args:
        messages: in order of arrival.
        injector: see :func:`make_injector`; without faults, everything arrives as it is.
        start_ns: log time at which the timeline starts.

    Raises:
        ConfigError: a fault does not fit its sensor.
    """
    if not injector.timeline.faults:
        return iter(messages)
    return inject(injector, messages, start_ns, lambda m: isinstance(m, UPDATES))


def _modalities(rig: RigConfig) -> dict[str, str]:
    return {name: sensor.modality for name, sensor in rig.sensors.items()}


def replay(
    pipeline: Replayable,
    messages: Iterable[Arrival],
    latency: Latency | None = None,
    end_ns: int = 0,
) -> Iterator[Prediction]:
    """Push messages into a pipeline and yield every prediction it makes.

    The pipeline is polled after every message and, in between, whenever it asks to be; after the
    last message until nothing is waited for any more. The sensors are then as they were when the
    bag ended, for nobody knows what they would have sent.

    Args:
        pipeline: of a rig that has these sensors.
        messages: in order of arrival.
        latency: how long work takes: messages go on arriving meanwhile, but nobody looks at them,
            as on a robot whose network is slower than its cameras. None: no time passes, so no
            frame is ever dropped for want of it.
        end_ns: when the bag ends, should its sensors fall silent before.
    """
    worker = Worker(pipeline, latency)
    # Processes that share a job with others have no core to spare.
    alone = multiprocessing.parent_process() is None and usable_processors() > 1
    if alone and latency is None and isinstance(pipeline, Pipeline):
        with pipeline.preparing_ahead():
            yield from _replayed(pipeline, _announced(messages, pipeline), worker, end_ns)
    else:
        yield from _replayed(pipeline, messages, worker, end_ns)


def _announced(messages: Iterable[Arrival], pipeline: Pipeline) -> Iterator[Arrival]:
    """Yield messages, each a few after the pipeline was told to expect it.

    All that came before an error is yielded before it is raised, as without this.
    """
    coming: deque[Arrival] = deque()
    try:
        for arrival in messages:
            sensor, received_ns, message = arrival
            if not isinstance(message, UPDATES):
                pipeline.expect(sensor, message, received_ns)
            coming.append(arrival)
            if len(coming) > _EXPECTED:
                yield coming.popleft()
    except Exception:
        yield from coming
        raise
    yield from coming


def _replayed(
    pipeline: Replayable, messages: Iterable[Arrival], worker: Worker, end_ns: int
) -> Iterator[Prediction]:
    now_ns: int | None = None
    for sensor, received_ns, message in messages:
        if now_ns is not None:
            yield from worker.work_until(received_ns)
        now_ns = received_ns
        if isinstance(message, CameraUpdate):
            pipeline.push_camera_info(sensor, message.message)
            continue
        if isinstance(message, TransformUpdate):
            pipeline.push_transforms(message.message)
            continue
        if isinstance(message, UnreadableMessage) and pipeline.rig.sensors[sensor].enabled:
            fault = Fault(SensorState.INVALID, str(message.error))
            pipeline.reject(sensor, fault, now_ns)
        else:
            pipeline.push_message(sensor, message, now_ns)
        yield from worker.wake(now_ns)
    if now_ns is not None:
        now_ns = max(now_ns, end_ns)
        yield from worker.work_until(now_ns)
        pipeline.end_messages(now_ns)
        yield from worker.work_until(now_ns + pipeline.rig.longest_wait_ns + 1)
        yield from worker.finish()
