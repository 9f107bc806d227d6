"""The event cameras of a pipeline: what they send is kept until frames say what to make of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from anymodal_seg_ros.config import RigConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import CheckResult, Sample
from anymodal_seg_ros.sensing.events.event_thread import EventOutcome, EventThread
from anymodal_seg_ros.sensing.events.sampler import EventSampler
from anymodal_seg_ros.sensing.health.sensor_health import Fault


class EventInput:
    """Decodes events where it is called, or in a thread of its own once that is started.

    Attributes:
        made_for: all parameters that it depends on, by event camera.
    """

    def __init__(self, rig: RigConfig) -> None:
        """Set up for the enabled event cameras of a rig."""
        cameras = {n: s for n, s in rig.sensors.items() if s.modality == "event" and s.enabled}
        self.made_for = {n: (s.events, s.period_ns, s.offset_s) for n, s in cameras.items()}
        self._sampler = EventSampler(
            rig.sensors,
            {name: sensor.events for name, sensor in cameras.items()},
            seconds_to_ns(rig.clock_jump_s),
        )
        self._thread: EventThread | None = None

    def __contains__(self, sensor: str) -> bool:
        return sensor in self._sampler

    def start(
        self, deliver: Callable[[EventOutcome], object], failed: Callable[[Exception], None]
    ) -> None:
        """Decode in a thread from now on, if there is any event camera.

        Args:
            deliver: takes what has come of a message or a frame, in that thread.
            failed: is told of an exception that nobody foresaw; the thread goes on.
        """
        if self._sampler:
            self._thread = EventThread(self._sampler, deliver, failed)
            self._thread.start()

    def stop(self) -> bool:
        """End the thread. Returns whether it has ended."""
        thread, self._thread = self._thread, None
        return thread is None or thread.stop()

    def reset(self) -> None:
        """Forget all events, as when the clock has gone back."""
        if (thread := self._thread) is not None:
            thread.reset()
        else:
            self._sampler.reset()

    def push(self, sensor: str, message: Any, received_ns: int) -> EventOutcome | None:
        """Take a message. Returns what has come of it; None if a thread will deliver that."""
        if (thread := self._thread) is not None:
            thread.push(sensor, message, received_ns)
            return None
        try:
            samples = tuple(self._sampler.push(sensor, message, received_ns))
        except DecodeError as damage:
            return EventOutcome(sensor, received_ns, (), damage)
        return EventOutcome(sensor, received_ns, samples)

    def follow(self, reference: Sample, silent: Collection[str]) -> list[Sample]:
        """Ask for the events until a reference frame. Returns what no thread will deliver.

        Args:
            reference: the frame.
            silent: cameras that send nothing since there is nothing to tell.
        """
        if (thread := self._thread) is not None:
            thread.follow(reference, silent)
            return []
        return self._sampler.follow(reference, silent)

    def always_sends(self, sensor: str) -> bool:
        """Whether a camera's messages come although there is no event to tell of."""
        return self._sampler.always_sends(sensor)

    def judgement(self, sensor: str) -> tuple[Fault | None, tuple[CheckResult, ...], int | None]:
        """Return why nothing comes of a camera's messages, if so, and the figures behind it.

        And the time that it has reached, as :attr:`Sample.time_ns`.
        """
        sampler = self._sampler
        return sampler.fault(sensor), sampler.checks(sensor), sampler.newest_ns(sensor)
