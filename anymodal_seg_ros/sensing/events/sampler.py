"""The event cameras of a rig as sensors among others: samples whose stamps are those of frames."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from anymodal_seg_ros.config import EventConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.frames import Sample
from anymodal_seg_ros.sensing.events.accumulator import EventAccumulator
from anymodal_seg_ros.sensing.events.render import render_image
from anymodal_seg_ros.sensing.events.window import EventWindow


def is_event_message(message: Any) -> bool:
    """Tell messages of events from rendered images, which an event sensor's topic may carry too."""
    return not hasattr(message, "step") and not hasattr(message, "format")


class EventSampler:
    """Turns messages of event cameras into samples with ``8UC3`` images.

    Call :meth:`push` with every message of an event camera, and :meth:`follow` with every sample of
    the reference sensor. Both return samples that are to be treated like decoded images.

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
        self._lock = threading.Lock()

    def __contains__(self, sensor: str) -> bool:
        return sensor in self._cameras

    def camera(self, sensor: str) -> EventAccumulator:
        """Return what is known of an event camera, for diagnostics."""
        return self._cameras[sensor]

    def reset(self) -> None:
        """Forget all events, as when the caller's clock begins anew."""
        with self._lock:
            for camera in self._cameras.values():
                camera.reset()

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
            self._cameras[sensor].push(message)
            windows = self._cameras[sensor].take()
        return [self._sample(sensor, window, received_ns) for window in windows]

    def follow(self, reference: Sample) -> list[Sample]:
        """Ask every other event camera for the window that ends when a frame was taken.

        Returns:
            The samples that can be made at once; the others come from :meth:`push`.
        """
        windows = []
        with self._lock:
            for name, camera in self._cameras.items():
                if name != reference.sensor:
                    camera.request(reference.time_ns - self._offsets_ns[name])
                    windows += [(name, window) for window in camera.take()]
        return [self._sample(name, window, reference.received_ns) for name, window in windows]

    def _sample(self, sensor: str, window: EventWindow, received_ns: int) -> Sample:
        return Sample(
            sensor=sensor,
            stamp_ns=window.end_ns,
            time_ns=window.end_ns + self._offsets_ns[sensor],
            received_ns=received_ns,
            frame_id=window.frame_id,
            image=render_image(window),
        )
