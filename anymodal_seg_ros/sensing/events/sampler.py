"""The event cameras of a rig as sensors among others: samples whose stamps are those of frames."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from anymodal_seg_ros.config import EventConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import CheckResult, Sample
from anymodal_seg_ros.sensing.decoding.payload import OTHER_TYPES, other_types
from anymodal_seg_ros.sensing.events.evidence import EventEvidence
from anymodal_seg_ros.sensing.events.render import render_image
from anymodal_seg_ros.sensing.events.values import EventWindow
from anymodal_seg_ros.sensing.events.windows import EventAccumulator, EventCounts
from anymodal_seg_ros.sensing.health.sensor_health import Fault, withheld


class EventSampler:
    """Turns messages of event cameras into samples with ``8UC3`` images.

    Call :meth:`push` with every message of an event camera, and :meth:`follow` with every sample of
    the reference sensor. Both return samples that are to be treated like decoded images. After each
    push, :meth:`fault` says whether anything comes of the camera's messages, and :meth:`checks` by
    which figures.

    Safe for threads: messages are taken under a lock, images are rendered outside of it.
    """

    def __init__(
        self,
        sensors: Mapping[str, SensorConfig],
        configs: Mapping[str, EventConfig],
        jump_ns: int,
    ) -> None:
        """Set up for the event cameras of a rig.

        Args:
            sensors: the sensors of the rig.
            configs: of those among them that are event cameras.
            jump_ns: time that is off by more than this begins anew.
        """
        self._offsets_ns = {name: seconds_to_ns(sensors[name].offset_s) for name in configs}
        self._cameras = {
            name: EventAccumulator(config, sensors[name].period_ns, jump_ns)
            for name, config in configs.items()
        }
        self._evidence = {
            name: EventEvidence(camera.stream, sensors[name].period_ns, camera.length_ns)
            for name, camera in self._cameras.items()
        }
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether there is any event camera."""
        return bool(self._cameras)

    def __contains__(self, sensor: str) -> bool:
        return sensor in self._cameras

    def reset(self) -> None:
        """Forget all events, as when the caller's clock begins anew."""
        with self._lock:
            for name, camera in self._cameras.items():
                camera.reset()
                self._evidence[name].reset()

    def interrupt(self, sensor: str) -> None:
        """Note that messages of a camera were dropped before they could be pushed."""
        with self._lock:
            self._cameras[sensor].stream.interrupt()

    def push(self, sensor: str, message: Any, received_ns: int) -> list[Sample]:
        """Take a message of an event camera.

        Args:
            sensor: its name.
            message: as :meth:`EventStream.push` takes it.
            received_ns: when it arrived.

        Returns:
            The samples that it completed, oldest first; mostly none.

        Raises:
            DecodeError: the message cannot be used.
        """
        with self._lock:
            try:
                self._cameras[sensor].push(message)
            except OTHER_TYPES as error:
                raise DecodeError(other_types(message, error), "type") from error
            windows = self._cameras[sensor].take()
            if withheld(self._evidence[sensor].observe(received_ns)) is not None:
                windows = []  # pictures of nothing
        return [self._sample(sensor, window, received_ns) for window in windows]

    def follow(self, reference: Sample, silent: Collection[str] = ()) -> list[Sample]:
        """Ask every other event camera for the window that ends when a frame was taken.

        Args:
            reference: the frame.
            silent: cameras that send nothing since there is nothing to tell; see
                :meth:`EventAccumulator.take`.

        Returns:
            The samples that can be made at once; the others come from :meth:`push`.
        """
        windows = []
        with self._lock:
            for name, camera in self._cameras.items():
                if name != reference.sensor:
                    camera.request(reference.time_ns - self._offsets_ns[name])
                    made = camera.take(silent=name in silent)
                    if withheld(self._evidence[name].fault) is None:
                        windows += [(name, window) for window in made]
        return [self._sample(name, window, reference.received_ns) for name, window in windows]

    def fault(self, sensor: str) -> Fault | None:
        """Return why too little comes of a camera's messages; None if they are well."""
        return self._evidence[sensor].fault

    def newest_ns(self, sensor: str) -> int | None:
        """Return the time that a camera has reached, as :attr:`Sample.time_ns`; None before any."""
        newest_ns = self._cameras[sensor].stream.newest_ns
        return None if newest_ns is None else newest_ns + self._offsets_ns[sensor]

    def always_sends(self, sensor: str) -> bool:
        """Whether a camera's messages come although there is no event to tell of."""
        return self._evidence[sensor].always_sends

    def checks(self, sensor: str) -> tuple[CheckResult, ...]:
        """Return what was lost of a camera's messages lately, as shares."""
        return self._evidence[sensor].checks

    def counts(self, sensor: str) -> EventCounts:
        """Return what has come of a camera's messages so far, packets that wait included."""
        with self._lock:
            self._cameras[sensor].stream.flush()
            return replace(self._cameras[sensor].stream.counts)

    def _sample(self, sensor: str, window: EventWindow, received_ns: int) -> Sample:
        return Sample(
            sensor=sensor,
            stamp_ns=window.end_ns,
            time_ns=window.end_ns + self._offsets_ns[sensor],
            received_ns=received_ns,
            frame_id=window.frame_id,
            image=render_image(window),
        )
