"""Sensing and inference put together. The node and the offline runner both run exactly this.

They differ only in where messages come from, whose clock is passed in, and where predictions go.
"""

from __future__ import annotations

import threading
from typing import Any

from anymodal_seg_ros.config import RigConfig, SegConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import (
    FrameSet,
    Prediction,
    Sample,
    SensorState,
    SensorStatus,
)
from anymodal_seg_ros.inference.engines import Engine, create_engine
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.preprocess import check_encoding
from anymodal_seg_ros.inference.segmenter import Segmenter
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.events.sampler import EventSampler, is_event_message
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.health.sensor_health import Fault
from anymodal_seg_ros.sensing.intake import Intake

MAX_DUE = 2
"""Frame sets that may wait for the network: one would lose masks whenever a process is delayed."""


class Pipeline:
    """Messages in, masks out.

    One thread may push while another polls. A lock guards the books of the sensors; it is never
    held while an image is converted or the network runs, only while a few pixels are looked at.
    """

    def __init__(self, rig: RigConfig, model: Model, engine: Engine) -> None:
        """Put a pipeline together.

        Raises:
            ConfigError: a sensor has a modality that the model does not know, or the sensors
                cannot be registered to each other with what is configured.
        """
        self.model = model
        self.engine = engine
        self.superseded = 0
        """Frame sets that were dropped because newer ones were due."""
        self._due: list[FrameSet] = []
        self._lock = threading.Lock()
        self.configure(rig)

    def configure(self, rig: RigConfig) -> None:
        """Go on with other parameters of the same sensors, which are seen for the first time.

        Raises:
            ConfigError: as when a pipeline is made; then nothing has changed.
        """
        segmenter = Segmenter(rig, self.model.manifest, self.engine)
        with self._lock:
            self.rig, self._segmenter = rig, segmenter
            self._due.clear()
            self._listen(rig)

    def _listen(self, rig: RigConfig) -> None:
        self._events = EventSampler(
            rig.sensors,
            {n: s.events for n, s in rig.sensors.items() if s.modality == "event" and s.enabled},
            seconds_to_ns(rig.clock_jump_s),
        )
        self._intake = Intake(rig, self._begin_anew)

    @classmethod
    def from_config(cls, config: SegConfig) -> Pipeline:
        """Load the model and its engine, and put a pipeline together.

        Raises:
            ConfigError: the engine or a sensor's modality is unknown.
            ModelError: the model folder cannot be used.
        """
        model = load_model(config.model)
        engine = create_engine(config.engine, model, config.threads, config.confidence)
        return cls(config.rig, model, engine)

    def push_message(self, sensor: str, message: Any, received_ns: int) -> str | None:
        """Take one message of a sensor: an image, a compressed image, events, or LiDAR points.

        Cheap: pixels are viewed; what must be unpacked or converted is left to :meth:`poll`. Events
        are kept until the frame is known with which their window ends.

        Args:
            sensor: its name in the configuration.
            message: from rclpy or rosbags.
            received_ns: when it arrived, on the clock of :meth:`poll`.

        Returns:
            None, or in words why the message was rejected. It is counted, never raised.
        """
        config = self.rig.sensors[sensor]
        if not config.enabled:
            return None
        if sensor in self._events and is_event_message(message):
            return self._push_events(sensor, message, received_ns)
        state = SensorState.CLOCK
        try:
            stamp = stamp_ns(message.header)
            state = SensorState.INVALID
            image = decode_image(message)
            check_encoding(image, self.model.manifest.modalities[config.modality])
        except DecodeError as error:
            with self._lock:
                return self._intake.reject(sensor, Fault(state, str(error)), received_ns)
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

    def reject(self, sensor: str, error: str, received_ns: int) -> None:
        """Count a message that could not even be looked at.

        Args:
            sensor: whose message it was.
            error: why, in words.
            received_ns: when it arrived, on the clock of :meth:`poll`.
        """
        with self._lock:
            self._intake.reject(sensor, Fault(SensorState.INVALID, error), received_ns)

    def push_camera_info(self, sensor: str, message: Any) -> str | None:
        """Take a ``sensor_msgs/CameraInfo`` of a sensor. Repetitions cost next to nothing.

        Returns:
            None, or in words why the message was rejected; the calibration before it stays.
        """
        try:
            self._segmenter.take_camera_info(sensor, message)
        except CalibrationError as error:
            with self._lock:
                return self._intake.reject_camera_info(sensor, str(error))
        return None

    def push(self, sample: Sample) -> str | None:
        """Take one decoded sample. Returns why a sample was rejected, as :meth:`push_message`."""
        if not self.rig.sensors[sample.sensor].enabled:
            return None
        self._segmenter.see(sample)
        with self._lock:
            error = self._intake.push(sample)
            leads = self._intake.leader() == sample.sensor
        if leads:
            for events in self._events.follow(sample):
                self.push(events)
        return error

    def poll(self, now_ns: int) -> Prediction | None:
        """Segment a frame set that is due, if there is one. Call it until it returns None.

        The two newest may wait for their turn, so that a moment's delay costs no mask. Older ones
        are dropped and counted in :attr:`superseded`: a network that is too slow must not make
        masks later and later.
        """
        self._make_deferred(now_ns)
        with self._lock:
            self._due += self._intake.poll(now_ns)
            excess = max(0, len(self._due) - MAX_DUE)
            self.superseded += excess
            del self._due[:excess]
            if not self._due:
                return None
            frame_set = self._due.pop(0)
            status = self._intake.status(now_ns)
        return self._segmenter.segment(frame_set, status)

    def pass_over(self, now_ns: int) -> None:
        """Let everything that is due go without a mask, because nobody wants one."""
        with self._lock:
            self._intake.advance(now_ns)
            self._intake.poll(now_ns)
            self._due.clear()

    def next_wakeup_ns(self) -> int | None:
        """Return when :meth:`poll` can next have news although no message comes."""
        with self._lock:
            return self._intake.next_wakeup_ns()

    def status(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """Return the health of every sensor, in configured order."""
        with self._lock:
            return self._intake.status(now_ns)

    def shortfall(self, now_ns: int) -> str:
        """Say why masks would be :data:`UNLABELED` now, in words; empty if they would not."""
        with self._lock:
            return self._intake.shortfall(now_ns)

    def _begin_anew(self) -> None:
        """Forget what belongs to the time before the clock went back."""
        self._events.reset()
        self._due.clear()

    def _push_events(self, sensor: str, message: Any, received_ns: int) -> str | None:
        """Take a message of events, and push the images that it completes."""
        with self._lock:
            self._intake.arrive(sensor, received_ns)  # a new run is noticed before events are kept
        try:
            samples = self._events.push(sensor, message, received_ns)
        except DecodeError as error:
            with self._lock:
                fault = Fault(SensorState.INVALID, str(error))
                return self._intake.reject(sensor, fault, received_ns)
        errors = [self.push(sample) for sample in samples]
        return next((error for error in errors if error is not None), None)

    def _make_deferred(self, now_ns: int) -> None:
        """Make the pixels that callbacks had no time for, such as those of a JPEG."""
        with self._lock:
            self._intake.advance(now_ns)
            deferred = self._intake.deferred()
        for waiting in deferred:
            damage = None
            try:
                _ = waiting.sample.image.pixels
            except DecodeError as error:
                damage = error
            with self._lock:
                self._intake.take_made(waiting, damage)
