"""Sensing and inference put together. The node and the offline runner both run exactly this.

They differ only in where messages come from, whose clock is passed in, how many threads do the work
and where predictions go.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from anymodal_seg_ros.config import RigConfig, SegConfig, seconds_to_ns
from anymodal_seg_ros.errors import DecodeError, RejectionKind
from anymodal_seg_ros.frames import FusedShare, Prediction, Sample, SensorState, SensorStatus
from anymodal_seg_ros.inference.agreement import load_agreement
from anymodal_seg_ros.inference.engines import Engine, can_split, create_engine
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.preprocess import check_encoding
from anymodal_seg_ros.pipeline.budget import Budget
from anymodal_seg_ros.pipeline.cross_check import CrossCheck, Look
from anymodal_seg_ros.pipeline.fusion import Fusion
from anymodal_seg_ros.pipeline.modalities import check_modalities, registrar_for
from anymodal_seg_ros.pipeline.picture import Pictures
from anymodal_seg_ros.pipeline.record import FusionRecord
from anymodal_seg_ros.pipeline.scheduler import Scheduler
from anymodal_seg_ros.pipeline.stages import Preparer, Stages
from anymodal_seg_ros.pipeline.tasks import Decode, Fuse, Order, Prepare, Task
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.events.event_thread import EventOutcome, EventThread
from anymodal_seg_ros.sensing.events.messages import is_event_message
from anymodal_seg_ros.sensing.events.sampler import EventSampler
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.health.sensor_health import Fault
from anymodal_seg_ros.sensing.intake import Intake

MAX_DUE = 2
"""Frame sets that may wait for a network that keeps up: one would lose masks at every delay."""


class Progress(NamedTuple):
    """What one call of :meth:`Pipeline.work` has achieved.

    Attributes:
        worked: whether there was anything to do; if not, there is nothing before the next message,
            the next wake-up or the end of what other threads are doing.
        prediction: the mask, if that was it.
    """

    worked: bool
    prediction: Prediction | None = None


class Pipeline:
    """Messages in, masks out.

    One thread pushes, others work or poll. A lock guards the books; it is never held while an image
    is converted or the network runs, only while a few pixels are looked at.
    """

    def __init__(
        self, rig: RigConfig, model: Model, engine: Engine, *, in_time: bool = False
    ) -> None:
        """Put a pipeline together.

        Args:
            rig: the sensors.
            model: knows what the network takes and gives.
            engine: executes it.
            in_time: whether a mask must come within the budget: sensors that were not encoded in
                time are left out of it then. A robot wants that, a desk does not.

        Raises:
            ConfigError: a sensor has a modality that the model does not know, or the sensors
                cannot be registered to each other with what is configured.
        """
        check_modalities(rig, model.manifest)
        self.model = model
        self.engine = engine
        self.in_time = in_time and can_split(engine)
        self.record = FusionRecord(rig.sensors)
        self.worked_ns = 0
        """Time that all threads together have spent on work so far."""
        self._lock = threading.Lock()
        self._busy: dict[int, tuple[str, float]] = {}
        self._threads = 1
        self._event_thread: EventThread | None = None
        self._notify: Callable[[], None] = lambda: None
        self._set_up(rig)

    def _set_up(self, rig: RigConfig) -> None:
        """Make what depends on the configuration of the rig."""
        self.rig = rig
        self._registrar = registrar_for(rig, self.model.manifest)
        self._pictures = Pictures(rig, self.model.manifest, self._registrar)
        splits = self.engine if can_split(self.engine) else None
        preparer = Preparer(rig, self.model.manifest, self._registrar, splits)
        self._preparer = preparer
        self._fusion = Fusion(rig, self.model.manifest, self.engine, preparer)
        self._budget = Budget(round(rig.budget_ms * 1e6), self._threads)
        self._scheduler = Scheduler(rig, preparer, self.record, self._budget)
        normal = load_agreement(self.model) if rig.cross_check else None
        self._cross_check: CrossCheck | None = None
        if normal is not None:
            self._cross_check = CrossCheck(
                rig, self.model.manifest, normal, self._registrar, preparer, thrifty=self.in_time
            )
        self._events = EventSampler(
            rig.sensors,
            {n: s.events for n, s in rig.sensors.items() if s.modality == "event" and s.enabled},
            seconds_to_ns(rig.clock_jump_s),
        )
        modalities = self.model.manifest.modalities
        planes = {n: modalities[s.modality].planes for n, s in rig.sensors.items() if s.enabled}
        self._intake = Intake(rig, self._begin_anew, planes)

    @classmethod
    def from_config(cls, config: SegConfig, *, in_time: bool = False) -> Pipeline:
        """Load the model and its engine, and put a pipeline together.

        Raises:
            ConfigError: the engine or a sensor's modality is unknown.
            ModelError: the model folder cannot be used.
        """
        model = load_model(config.model)
        engine = create_engine(config.engine, model, config.threads, config.confidence)
        return cls(config.rig, model, engine, in_time=in_time)

    def attach(self, threads: int, notify: Callable[[], None]) -> None:
        """Prepare for threads that will work, and decode events in one more.

        Args:
            threads: how many will call :meth:`work`, for the budget of time.
            notify: called when events have become a sample, so that there may be work.
        """
        self._threads = self._budget.threads = threads
        if self._events:
            self._notify = notify
            self._event_thread = EventThread(self._events, self._take_events)
            self._event_thread.start()

    def detach(self) -> bool:
        """End what :meth:`attach` has begun. Returns whether it has ended."""
        thread, self._event_thread = self._event_thread, None
        return thread is None or thread.stop()

    @property
    def superseded(self) -> int:
        """Frame sets that were dropped so far because newer ones were due."""
        return self._scheduler.superseded + self._intake.overdue

    def push_message(self, sensor: str, message: Any, received_ns: int) -> str | None:
        """Take one message of a sensor: an image, a compressed image, events, or LiDAR points.

        Cheap: pixels are viewed; what must be unpacked or converted is left to those who work.
        Events are kept until the frame is known with which their window ends.

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
            stamp = stamp_ns(getattr(message, "header", None))
            state = SensorState.INVALID
            image = decode_image(message)
            check_encoding(image, self.model.manifest.modalities[config.modality])
        except DecodeError as error:
            return self.reject(sensor, Fault(state, str(error)), received_ns, error.kind)
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

    def reject(
        self, sensor: str, fault: Fault, received_ns: int, kind: RejectionKind = "other"
    ) -> str:
        """Count a message that could not be read. Returns what was wrong, with the topic."""
        with self._lock:
            return self._intake.reject(sensor, fault, received_ns, kind)

    def push_camera_info(self, sensor: str, message: Any) -> str | None:
        """Take a ``sensor_msgs/CameraInfo`` of a sensor. Repetitions cost next to nothing.

        Returns:
            None, or in words why the message was rejected; the calibration before it stays.
        """
        try:
            self._registrar.take_camera_info(sensor, message)
        except CalibrationError as error:
            with self._lock:
                return self._intake.reject_camera_info(sensor, str(error))
        return None

    def push(self, sample: Sample) -> str | None:
        """Take one decoded sample. Returns why a sample was rejected, as :meth:`push_message`."""
        if not self.rig.sensors[sample.sensor].enabled:
            return None
        self._pictures.see(sample)
        with self._lock:
            error = self._intake.push(sample)
            leads = self._intake.leader() == sample.sensor
        if leads and (thread := self._event_thread) is not None:
            thread.follow(sample)
        elif leads:
            for events in self._events.follow(sample):
                self.push(events)
        return error

    def poll(self, now_ns: int) -> Prediction | None:
        """Work until a frame set that is due has its mask. Call it until it returns None.

        Two frame sets may wait for their turn while the network keeps up, so that a moment's delay
        costs no mask. Others are dropped and counted in :attr:`superseded`: a network that is too
        slow must not make masks later and later.

        Raises:
            Exception: whatever the engine raises. The frame set is lost, the next one is not.
        """
        while True:
            progress = self.work(now_ns)
            if progress.prediction is not None or not progress.worked:
                return progress.prediction

    def work(
        self,
        now_ns: int,
        *,
        ahead: bool = False,
        deliver: Callable[[Prediction], None] | None = None,
    ) -> Progress:
        """Do the most urgent piece of work, such as encoding one sample or fusing a frame set.

        Several threads may call this at once: that is how cores are used.

        Args:
            now_ns: on the clock of the messages' arrival.
            ahead: whether samples may be prepared before a frame set asks for them.
            deliver: called with the mask before the next one can be made, so that masks leave in
                order however many threads work. Not under the lock.

        Raises:
            Exception: whatever the engine or ``deliver`` raises.
        """
        task = self.begin(now_ns, ahead=ahead)
        if task is None:
            return Progress(False)
        started_ns = time.perf_counter_ns()
        with self._timed(task):
            try:
                result = self.execute(task)
                took_ns = time.perf_counter_ns() - started_ns
                if deliver is not None and isinstance(result, Prediction):
                    deliver(result)
            except Exception as error:
                self._failed(task, error)
                raise
        return Progress(True, self.end(task, result, took_ns))

    def pass_over(self, now_ns: int) -> None:
        """Let everything that is due go without a mask, because nobody wants one."""
        with self._lock:
            self._intake.advance(now_ns)
            self._intake.poll(now_ns)
            self._scheduler.drop_waiting()

    def begin(self, now_ns: int, *, ahead: bool = False) -> Task | None:
        """Take the most urgent piece of work; None if there is none at this moment.

        :meth:`work` is this, :meth:`execute` and :meth:`end` in one. They are apart for those who
        play the time that work takes.

        Args:
            now_ns: on the clock of the messages' arrival.
            ahead: as of :meth:`work`.
        """
        with self._lock:
            return self._next_task(now_ns, ahead)

    def execute(self, task: Task) -> Prediction | DecodeError | None:
        """Do one piece of work, without the lock. Give what comes back to :meth:`end`.

        Raises:
            Exception: whatever the engine raises.
        """
        if isinstance(task, Decode):
            try:
                _ = task.sample.image.pixels
            except DecodeError as error:
                return error
            return None
        if isinstance(task, Prepare):
            self._preparer.prepare(task.sample, task.picture, task.companions)
            return None
        if isinstance(task, Look):
            if self._cross_check is not None:
                self._cross_check.step(task)
            return None
        order = task.order
        return self._fusion.segment(
            order.frame_set, self._prepared(order), order.picture, order.status
        )

    def end(
        self, task: Task, result: Prediction | DecodeError | None, took_ns: int
    ) -> Prediction | None:
        """Take note that a piece of work is done. Returns the mask, if it was one.

        Args:
            task: what was done.
            result: what :meth:`execute` returned.
            took_ns: how long it took.
        """
        with self._lock:
            if isinstance(task, Look):
                self._end_step(task, took_ns)
                return None
            self._scheduler.done(task)
            if isinstance(task, Decode):
                self._judge(task.sample, result if isinstance(result, DecodeError) else None)
                return None
            if isinstance(task, Prepare):
                self.record.encoded(task.sample.sensor)
                self._budget.encode.observe(took_ns)
                return None
            assert isinstance(result, Prediction)
            self.record.fused(result)
            if result.sensors:
                self._budget.fused(len(result.sensors), took_ns)
            if self._cross_check is not None:
                picture = task.order.picture
                size = picture.height, picture.width
                self._cross_check.offer(task.order.frame_set, picture.sensor, size)
            return result

    def next_wakeup_ns(self) -> int | None:
        """Return when :meth:`poll` can next have news although no message comes."""
        with self._lock:
            if self._scheduler.proving:
                return None  # until a sensor has been judged, nothing else is looked at
            times = (self._intake.next_wakeup_ns(), self._scheduler.next_wakeup_ns())
        return min((t for t in times if t is not None), default=None)

    def status(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """Return the health of every sensor, in configured order, and what was fused of it."""
        with self._lock:
            return tuple(
                replace(status, fused=self._fused_share(status))
                for status in self._intake.status(now_ns)
            )

    def shortfall(self, now_ns: int) -> str:
        """Say why masks would be :data:`UNLABELED` now, in words; empty if they would not."""
        with self._lock:
            return self._intake.shortfall(now_ns)

    def longest_work(self) -> tuple[str, float]:
        """Say what has been worked on for longest at this moment, and for how many seconds."""
        started = min(list(self._busy.values()), key=lambda busy: busy[1], default=None)
        return ("", 0.0) if started is None else (started[0], time.monotonic() - started[1])

    def configure(self, rig: RigConfig) -> None:
        """Go on with other parameters of the same sensors, which are seen for the first time.

        What CameraInfo messages have told is kept.

        Raises:
            ConfigError: as when a pipeline is made; then nothing has changed.
        """
        check_modalities(rig, self.model.manifest)
        registrar_for(rig, self.model.manifest)
        attached, threads, notify = self._event_thread is not None, self._threads, self._notify
        self.detach()
        with self._lock:
            cameras = self._registrar
            self._set_up(rig)
            self._registrar.take_cameras_of(cameras)
        if attached:
            self.attach(threads, notify)

    def _next_task(self, now_ns: int, ahead: bool) -> Task | None:
        """Collect what is due, and choose what to do about it."""
        self._intake.advance(now_ns)
        for sample in self._intake.undecoded():
            self._scheduler.add_unproven(sample)
        if not self._scheduler.proving:
            for frame_set in self._intake.poll(now_ns):
                if self._cross_check is not None:
                    frame_set = self._cross_check.without_doubted(frame_set)
                status = self._intake.status(now_ns)
                picture = self._pictures.of(frame_set)
                order = Order(frame_set, status, picture, None)
                if self.in_time:
                    self._limit(order)
                self._scheduler.add(order, MAX_DUE)
        task: Task | None = self._scheduler.take(now_ns)
        if task is None and ahead and (leader := self._intake.leader()) is not None:
            newest = self._intake.newest(leader)
            wanted_in = self._pictures.sensor(leader)
            task = self._scheduler.take_ahead(newest, wanted_in, in_time=self.in_time)
        if task is None and self._cross_check is not None and not self._scheduler.backlog.behind:
            return self._cross_check.take()
        return task

    def _limit(self, order: Order) -> None:
        """Say until when the other sensors of a frame set are waited for."""
        frame_set, budget = order.frame_set, self._budget
        period_ns = self.rig.sensors[frame_set.reference].period_ns
        fused = len(frame_set.fused)
        order.fuse_by_ns = frame_set.completed_ns + budget.patience_ns(period_ns, fused)
        order.hurries = budget.reference_fits(period_ns, fused)
        budget.frame_came(period_ns, fused)

    def _prepared(self, order: Order) -> dict[str, Stages]:
        """Return what the samples of a frame set have become; what is made costs nothing."""
        chosen = {name: order.frame_set.samples[name] for name in order.frame_set.fused}
        return {
            name: self._preparer.prepare(sample, order.picture.sensor, chosen)
            for name, sample in chosen.items()
        }

    def _judge(self, sample: Sample, damage: DecodeError | None) -> None:
        """Let a decoded sample be judged; frame sets that have chosen it may have to go without."""
        if self._intake.judge_decoded(sample, damage):
            return
        for order in self._scheduler.waiting():
            if order.frame_set.samples.get(sample.sensor) is sample:
                order.frame_set = self._intake.reselect(order.frame_set)

    def _end_step(self, look: Look, took_ns: int) -> None:
        """Take note of one step of a look at the sensors, and tell what has come of it."""
        if self._cross_check is None:
            return
        for name, found in (self._cross_check.end(look, took_ns) or {}).items():
            self._intake.take_cross_check(
                name, look.time_ns, found.doubt, found.shifted, found.checks
            )

    def _failed(self, task: Task, error: Exception) -> None:
        """Go on after an engine that raised: without the sample, or without the frame set."""
        with self._lock:
            if isinstance(task, Look):
                if self._cross_check is not None:
                    self._cross_check.abandon()
                return
            self._scheduler.done(task)
            if isinstance(task, Prepare):
                key = self._preparer.key(task.sample, task.picture, task.companions)
                reason = f"the engine failed: {type(error).__name__}"
                task.sample.made[key] = Stages(task.sample.image, reason)

    @contextmanager
    def _timed(self, task: Task) -> Iterator[None]:
        """Let others see how long a piece of work has taken so far."""
        if isinstance(task, Fuse):
            what = "fusing"
        elif isinstance(task, Look):
            what = "comparing the sensors"
        else:
            what = f"{'decoding' if isinstance(task, Decode) else 'encoding'} {task.sample.sensor}"
        started, thread = time.monotonic(), threading.get_ident()
        self._busy[thread] = (what, started)
        try:
            yield
        finally:
            del self._busy[thread]
            self.worked_ns += round((time.monotonic() - started) * 1e9)

    def _fused_share(self, status: SensorStatus) -> FusedShare:
        """Return what was fused of a sensor, with the mend where that is less than it could be."""
        share = self.record.status(status.sensor)
        if share.used < share.masks and (late := self._intake.too_late_by(status.sensor)):
            share = replace(share, reason=f"{share.reason}; {late}")
        return share

    def _begin_anew(self) -> None:
        """Forget what belongs to the time before the clock went back."""
        if (thread := self._event_thread) is not None:
            thread.reset()
        else:
            self._events.reset()
        self._scheduler.begin_anew()
        if self._cross_check is not None:
            self._cross_check.begin_anew()

    def _push_events(self, sensor: str, message: Any, received_ns: int) -> str | None:
        """Take a message of events, and push the images that it completes."""
        with self._lock:
            self._intake.arrive(sensor, received_ns)  # a new run is noticed before events are kept
        if (thread := self._event_thread) is not None:
            thread.push(sensor, message, received_ns)
            return None
        try:
            samples, error = tuple(self._events.push(sensor, message, received_ns)), None
        except DecodeError as damage:
            samples, error = (), damage
        return self._take_events(EventOutcome(sensor, received_ns, samples, error))

    def _take_events(self, outcome: EventOutcome) -> str | None:
        """Take what has come of a message of events, or of a frame that event cameras follow."""
        sensor, received_ns, error = outcome.sensor, outcome.received_ns, outcome.error
        if error is not None:
            fault = Fault(SensorState.INVALID, str(error))
            return self.reject(sensor, fault, received_ns, error.kind)
        if sensor:
            nothing, checks = self._events.fault(sensor), self._events.checks(sensor)
            with self._lock:
                self._intake.judge_events(sensor, received_ns, nothing, checks)
        errors = [self.push(sample) for sample in outcome.samples]
        if outcome.samples:
            self._notify()
        return next((error for error in errors if error is not None), None)
