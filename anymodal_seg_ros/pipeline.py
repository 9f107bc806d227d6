"""Sensing and inference put together. The node and the offline runner both run exactly this.

They differ only in where messages come from, whose clock is passed in, and where predictions go.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from anymodal_seg_ros.config import RigConfig, SegConfig, seconds_to_ns
from anymodal_seg_ros.errors import ConfigError, DecodeError
from anymodal_seg_ros.frames import FrameSet, Prediction, Sample, SensorStatus
from anymodal_seg_ros.inference.engines import Engine, create_engine
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.preprocess import batch, check_encoding
from anymodal_seg_ros.sensing.clock import StampGuard
from anymodal_seg_ros.sensing.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.synchronizer import Synchronizer
from anymodal_seg_ros.sensing.watchdog import Watchdog

MAX_DUE = 2
"""Frame sets that may wait for the network: one would lose masks whenever a process is delayed."""


class Pipeline:
    """Messages in, masks out.

    One thread may push while another polls. A lock guards the books of the sensors; it is never
    held while an image is converted or the network runs.
    """

    def __init__(self, rig: RigConfig, model: Model, engine: Engine) -> None:
        """Put a pipeline together.

        Raises:
            ConfigError: a sensor has a modality that the model does not know.
        """
        known = model.manifest.modalities
        for name, sensor in rig.sensors.items():
            if sensor.modality not in known:
                raise ConfigError(
                    f"rig.sensors.{name}.modality is {sensor.modality!r}: "
                    f"the model {model.manifest.name} knows {', '.join(known)}"
                )
        self.rig = rig
        self.model = model
        self.engine = engine
        self.superseded = 0
        """Frame sets that were dropped because newer ones were due."""
        self._lock = threading.Lock()
        self._now_ns: int | None = None
        self._rejected = {name: Counter[str]() for name in rig.sensors}
        self._last_error = dict.fromkeys(rig.sensors, "")
        self._begin()

    @classmethod
    def from_config(cls, config: SegConfig) -> Pipeline:
        """Load the model and its engine, and put a pipeline together.

        Raises:
            ConfigError: the engine or a sensor's modality is unknown.
            ModelError: the model folder cannot be used.
        """
        model = load_model(config.model)
        return cls(config.rig, model, create_engine(config.engine, model, config.threads))

    def push_message(self, sensor: str, message: Any, received_ns: int) -> str | None:
        """Take one ``sensor_msgs/Image`` of a sensor. Cheap: pixels are viewed, not converted.

        Args:
            sensor: its name in the configuration.
            message: from rclpy or rosbags.
            received_ns: when it arrived, on the clock of :meth:`poll`.

        Returns:
            None, or in words why the message was rejected. It is counted, never raised.
        """
        config = self.rig.sensors[sensor]
        try:
            stamp = stamp_ns(message.header)
            image = decode_image(message)
            check_encoding(image, self.model.manifest.modalities[config.modality])
        except DecodeError as error:
            with self._lock:
                return self._reject(sensor, str(error))
        return self.push(
            Sample(
                sensor=sensor,
                stamp_ns=stamp,
                time_ns=stamp + seconds_to_ns(config.offset_s),
                received_ns=received_ns,
                frame_id=str(message.header.frame_id),
                image=image,
            )
        )

    def push(self, sample: Sample) -> str | None:
        """Take one decoded sample. Returns why a sample was rejected, as :meth:`push_message`."""
        with self._lock:
            self._advance(sample.received_ns)
            admission = self._guards[sample.sensor].admit(sample)
            error = self._reject(sample.sensor, admission.rejected) if admission.rejected else None
            for place, admitted in enumerate(admission.samples):
                self._watchdog.observe(admitted.sensor, admitted.received_ns)
                jumped = admission.jumped and place == 0
                self._synchronizer.add(admitted, self._watchdog.states(), jumped=jumped)
            return error

    def poll(self, now_ns: int) -> Prediction | None:
        """Segment a frame set that is due, if there is one. Call it until it returns None.

        The two newest may wait for their turn, so that a moment's delay costs no mask. Older ones
        are dropped and counted in :attr:`superseded`: a network that is too slow must not make
        masks later and later.
        """
        with self._lock:
            self._advance(now_ns)
            self._due += self._synchronizer.poll(now_ns, self._watchdog.states())
            excess = max(0, len(self._due) - MAX_DUE)
            self.superseded += excess
            del self._due[:excess]
            if not self._due:
                return None
            frame_set = self._due.pop(0)
            status = self._status(now_ns)
        return self._segment(frame_set, status)

    def next_wakeup_ns(self) -> int | None:
        """Return when :meth:`poll` can next have news although no message comes."""
        with self._lock:
            times = (self._synchronizer.next_deadline_ns(), self._watchdog.next_change_ns())
        return min((t for t in times if t is not None), default=None)

    def status(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """Return the health of every sensor, in configured order."""
        with self._lock:
            self._advance(now_ns)
            return self._status(now_ns)

    def _begin(self) -> None:
        """Start with no memory of any sample."""
        self._due: list[FrameSet] = []
        self._watchdog = Watchdog(self.rig.sensors, seconds_to_ns(self.rig.startup_grace_s))
        self._synchronizer = Synchronizer(self.rig)
        jump_ns = seconds_to_ns(self.rig.clock_jump_s)
        self._guards = {name: StampGuard(jump_ns) for name in self.rig.sensors}

    def _advance(self, now_ns: int) -> None:
        """Let the watchdog see the time. A clock that went far back means a new run."""
        jump_ns = seconds_to_ns(self.rig.clock_jump_s)
        if self._now_ns is not None and now_ns < self._now_ns - jump_ns:
            self._begin()
            self._now_ns = None
        self._now_ns = now_ns if self._now_ns is None else max(now_ns, self._now_ns)
        self._watchdog.update(now_ns)

    def _reject(self, sensor: str, error: str) -> str:
        """Count a rejected message by the field that was wrong, and keep the whole sentence."""
        self._rejected[sensor][error.split(" ", 1)[0]] += 1
        self._last_error[sensor] = f"{self.rig.sensors[sensor].topic}: {error}"
        return self._last_error[sensor]

    def _status(self, now_ns: int) -> tuple[SensorStatus, ...]:
        return tuple(
            replace(
                self._watchdog.status(name, now_ns),
                rejected=dict(self._rejected[name]),
                dropped=self._synchronizer.dropped(name),
                last_error=self._last_error[name],
            )
            for name in self.rig.sensors
        )

    def _segment(self, frame_set: FrameSet, status: tuple[SensorStatus, ...]) -> Prediction:
        """Run the network on what the frame set holds."""
        started_ns = time.perf_counter_ns()
        sensors = tuple(frame_set.samples)
        inputs = batch(
            [(self.rig.sensors[n].modality, frame_set.samples[n].image) for n in sensors],
            self.model.manifest,
        )
        network_started_ns = time.perf_counter_ns()
        mask = self.engine.run(inputs)
        network_ns = time.perf_counter_ns() - network_started_ns
        image = frame_set.reference_sample.image
        if mask.shape != (image.height, image.width):
            size = (image.width, image.height)
            mask = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), np.uint8)
        process_ns = time.perf_counter_ns() - started_ns
        return Prediction(mask, frame_set, sensors, status, network_ns, process_ns)
