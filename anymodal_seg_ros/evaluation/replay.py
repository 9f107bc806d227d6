"""A bag through the pipeline, in the bag's own time: what the node would have made of it.

The log times stand in for the arrival of the messages, so a bag gives the same masks on every
machine, however slow, and the same as the node gives when it keeps up. What a node that does not
keep up gives is played with a model of how long a mask takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from anymodal_seg_ros.config import RigConfig, seconds_to_ns
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.arrivals import (
    READABLE,
    Arrival,
    CameraUpdate,
    absolute_topic,
    arrivals,
    cameras_by_topic,
    check_topics,
    sensors_by_topic,
)
from anymodal_seg_ros.faults.content import check_modalities
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.stream import inject
from anymodal_seg_ros.faults.timeline import FaultTimeline, check_sensors, load_timeline
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.pipeline import Pipeline

__all__ = [
    "READABLE",
    "Arrival",
    "absolute_topic",
    "arrivals",
    "cameras_by_topic",
    "check_topics",
    "latency_model",
    "read_timeline",
    "replay",
    "sensors_by_topic",
    "with_faults",
]

Latency = Callable[[Prediction], int]
"""How long a worker is busy with a mask, in nanoseconds of the bag's time."""


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


def with_faults(
    messages: Iterable[Arrival], timeline: FaultTimeline, rig: RigConfig, start_ns: int
) -> Iterator[Arrival]:
    """Yield what arrives if the sensors break as a timeline says.

    Args:
        messages: in order of arrival.
        timeline: without faults, everything arrives as it is.
        rig: its sensors' modalities tell what encodings leave open.
        start_ns: log time at which the timeline starts.

    Raises:
        ConfigError: a fault does not fit its sensor.
    """
    injector = Injector[Any](timeline, _modalities(rig))
    return inject(injector, messages, start_ns, lambda m: isinstance(m, CameraUpdate))


def _modalities(rig: RigConfig) -> dict[str, str]:
    return {name: sensor.modality for name, sensor in rig.sensors.items()}


def latency_model(text: str) -> Latency | None:
    """Read how long the worker shall be busy with a mask.

    Args:
        text: ``none``: not at all; ``fixed:MS``: always so many milliseconds; ``measured``: as long
            as this machine takes for it.

    Raises:
        ValueError: it is neither.
    """
    kind, colon, value = text.partition(":")
    if kind == "none" and not colon:
        return None
    if kind == "measured" and not colon:
        return lambda prediction: prediction.process_ns
    try:
        milliseconds = float(value) if kind == "fixed" else math.nan
    except ValueError:
        milliseconds = math.nan
    if not 0.0 <= milliseconds <= 60_000.0:
        raise ValueError("expected none, measured, or fixed:MS with 0 to 60000 milliseconds")
    busy_ns = seconds_to_ns(milliseconds / 1e3)
    return lambda prediction: busy_ns


def replay(
    pipeline: Pipeline, messages: Iterable[Arrival], latency: Latency | None = None
) -> Iterator[Prediction]:
    """Push messages into a pipeline and yield every prediction it makes.

    The pipeline is polled after every message and, in between, whenever it asks to be; after the
    last message until its deadline has passed.

    Args:
        pipeline: of a rig that has these sensors.
        messages: in order of arrival.
        latency: how long the worker is busy with a mask: messages go on arriving meanwhile, but
            nobody polls, as on a robot whose network is slower than its cameras. None: no time
            passes, so no frame is ever dropped for want of it.
    """
    worker = _Worker(pipeline, latency)
    now_ns: int | None = None
    for sensor, received_ns, message in messages:
        if now_ns is not None:
            yield from worker.work_until(received_ns)
        now_ns = received_ns
        if isinstance(message, CameraUpdate):
            pipeline.push_camera_info(sensor, message.message)
            continue
        pipeline.push_message(sensor, message, now_ns)
        yield from worker.wake(now_ns)
    if now_ns is not None:
        yield from worker.work_until(now_ns + seconds_to_ns(pipeline.rig.deadline_s) + 1)
        yield from worker.finish()


class _Worker:
    """The node's worker, on the bag's clock: it polls when it is woken and not busy."""

    def __init__(self, pipeline: Pipeline, latency: Latency | None) -> None:
        self._pipeline = pipeline
        self._latency = latency
        self._free_ns = 0
        self._called = False  # something happened while it was busy

    def wake(self, now_ns: int) -> Iterator[Prediction]:
        """Look at what has come, now or as soon as there is time."""
        if now_ns < self._free_ns:
            self._called = True
        else:
            yield from self._poll(now_ns)

    def work_until(self, end_ns: int) -> Iterator[Prediction]:
        """Poll at every moment before ``end_ns`` at which there can be news and there is time."""
        while (moment_ns := self._next_ns()) is not None and moment_ns < end_ns:
            yield from self._poll(moment_ns)

    def finish(self) -> Iterator[Prediction]:
        """Do what is left of the work; nothing more comes."""
        while self._called:
            yield from self._poll(self._free_ns)

    def _next_ns(self) -> int | None:
        if self._called:
            return self._free_ns
        wakeup_ns = self._pipeline.next_wakeup_ns()
        return None if wakeup_ns is None else max(wakeup_ns, self._free_ns)

    def _poll(self, now_ns: int) -> Iterator[Prediction]:
        self._called = False
        while (prediction := self._pipeline.poll(now_ns)) is not None:
            yield prediction
            if self._latency is not None and (busy_ns := self._latency(prediction)) > 0:
                self._free_ns = now_ns + busy_ns
                self._called = True
                return
