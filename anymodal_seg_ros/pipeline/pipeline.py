"""The pipeline: messages in, masks out, and one lock around the books."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from anymodal_seg_ros import pipeline as package
from anymodal_seg_ros.config import RigConfig, SegConfig
from anymodal_seg_ros.errors import DecodeError, RejectionKind
from anymodal_seg_ros.frames import (
    FusedShare,
    Prediction,
    Sample,
    SensorState,
    SensorStatus,
)
from anymodal_seg_ros.inference.engine_protocol import Engine, can_split
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.verification.contract import warm_up
from anymodal_seg_ros.pipeline.activity import Activity, Busy
from anymodal_seg_ros.pipeline.ahead import Ahead, wanted_in
from anymodal_seg_ros.pipeline.assembly import Assembly, assemble
from anymodal_seg_ros.pipeline.execution import execute, finish, give_up
from anymodal_seg_ros.pipeline.orders import Orders
from anymodal_seg_ros.pipeline.reading import Unreadable, read
from anymodal_seg_ros.pipeline.record import FusionRecord
from anymodal_seg_ros.pipeline.tasks import Fuse, Prepare, Progress, Task
from anymodal_seg_ros.sensing.events.event_thread import EventOutcome
from anymodal_seg_ros.sensing.events.messages import is_event_message
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.health.sensor_health import Fault
from anymodal_seg_ros.sensing.intake import Intake


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
        self.model = model
        self.engine = engine
        self.in_time = in_time and can_split(engine)
        self.record = FusionRecord(rig.sensors)
        self._lock = threading.Lock()
        self._activity = Activity(engine)
        self._threads = 1
        self._notify: Callable[[], None] = lambda: None
        self._events_failed: Callable[[Exception], None] = lambda error: None
        self._orders = Orders(in_time=in_time, by_halves=self.in_time)
        self._ahead: Ahead | None = None
        self._parts = self._assembled(rig)

    def _assembled(self, rig: RigConfig) -> Assembly:
        return assemble(
            rig,
            self.model,
            self.engine,
            self.record,
            self._threads,
            self._begin_anew,
            in_time=self.in_time,
        )

    @property
    def rig(self) -> RigConfig:
        """The sensors, as they are configured now."""
        return self._parts.rig

    @property
    def _intake(self) -> Intake:
        return self._parts.intake

    @classmethod
    def from_config(
        cls,
        config: SegConfig,
        *,
        in_time: bool = False,
        serve: Callable[[SegConfig, Model], Engine | None] = lambda config, model: None,
    ) -> Pipeline:
        """Load the model and its engine, and put a pipeline together.

        Args:
            config: of the whole.
            in_time: as of :class:`Pipeline`.
            serve: returns an engine of the caller's own, or None for the one that is configured.

        Raises:
            ConfigError: the engine or a sensor's modality is unknown.
            ModelError: the model folder cannot be used, or not with so many sensors.
        """
        model = load_model(config.model)
        # Under its name in the package: whoever embeds this may have put another one there.
        engine = serve(config, model) or package.create_engine(
            config.engine, model, config.threads, config.confidence, config.providers
        )
        warm_up(engine, model.manifest, len(config.rig.sensors))
        return cls(config.rig, model, engine, in_time=in_time)

    def attach(
        self,
        threads: int,
        notify: Callable[[], None],
        failed: Callable[[Exception], None] = lambda error: None,
        *,
        steady: bool = True,
    ) -> None:
        """Prepare for threads that will work, and decode events in one more.

        Args:
            threads: how many will call :meth:`work`, for the budget of time.
            notify: called when events have become a sample, so that there may be work.
            failed: called with what nobody foresaw while events were decoded; that goes on.
            steady: whether the clock of :meth:`work` is one that never jumps ahead, as simulated
                ones do: then who looks too late has stood still.
        """
        self._threads = self._parts.budget.threads = threads
        self._notify, self._events_failed = notify, failed
        self._orders.on_robot = True
        self._intake.watched, self._intake.simulated = steady, not steady
        self._parts.events.start(self._take_events, failed)

    def detach(self) -> bool:
        """End what :meth:`attach` has begun. Returns whether it has ended."""
        self._orders.on_robot = self._intake.watched = self._intake.simulated = False
        return self._parts.events.stop()

    @contextmanager
    def preparing_ahead(self) -> Iterator[None]:
        """Let another thread prepare what is to :meth:`expect`, for one that polls alone.

        The masks are the same, to the bit.
        """
        self._ahead = ahead = Ahead()
        try:
            yield
        finally:
            self._ahead = None
            ahead.close()

    def expect(self, sensor: str, message: Any, received_ns: int) -> None:
        """Prepare for a message that :meth:`push_message` will be given, if it will be wanted.

        It changes nothing but when the work is done, and does nothing unless
        :meth:`preparing_ahead`. Only for the thread that pushes.

        Args:
            sensor: as of :meth:`push_message`, like the others.
            message: the same object.
            received_ns: when it will have arrived.
        """
        ahead, parts = self._ahead, self._parts
        if ahead is None or not self.rig.sensors[sensor].enabled:
            return
        with self._lock:
            picture = wanted_in(parts, sensor)
        found = self._read(sensor, message, received_ns) if picture else None
        if isinstance(found, Sample):
            prepare = parts.preparer.prepare
            ahead.expect(message, found, lambda sample: prepare(sample, picture, {}))

    @property
    def superseded(self) -> int:
        """Frame sets that were dropped so far because newer ones were due."""
        return self._parts.superseded

    @property
    def worked_ns(self) -> int:
        """Time that all threads together have spent on work so far."""
        return self._activity.worked_ns

    def push_message(
        self, sensor: str, message: Any, received_ns: int, now_ns: int = 0
    ) -> str | None:
        """Take one message of a sensor: an image, a compressed image, events, or LiDAR points.

        Cheap: pixels are viewed; what must be unpacked or converted is left to those who work.
        Events are kept until the frame is known with which their window ends.

        Args:
            sensor: its name in the configuration.
            message: from rclpy or rosbags.
            received_ns: when it arrived, on the clock of :meth:`poll`.
            now_ns: when it is handed over, if that is known; see :meth:`Watchdog.fall_behind`.

        Returns:
            None, or in words why the message was rejected. It is counted, never raised.
        """
        config = self.rig.sensors[sensor]
        if not config.enabled:
            return None
        if now_ns:
            with self._lock:
                self._intake.hand_over(received_ns, now_ns)
        if sensor in self._parts.events and is_event_message(message):
            return self._push_events(sensor, message, received_ns)
        found: Sample | Unreadable | None = None
        if self._ahead is not None:
            found = self._ahead.take(sensor, message, received_ns)
        if found is None:
            found = self._read(sensor, message, received_ns)
        if isinstance(found, Unreadable):
            return self.reject(sensor, found.fault, received_ns, found.kind)
        return self.push(found)

    def reject(
        self, sensor: str, fault: Fault, received_ns: int, kind: RejectionKind = "other"
    ) -> str:
        """Count a message that could not be read. Returns what was wrong, with the topic."""
        with self._lock:
            if self.rig.sensors[sensor].sends_events:
                self._intake.arrive(sensor, received_ns)
                return self._intake.reject_events(sensor, fault, received_ns, kind)
            return self._intake.reject(sensor, fault, received_ns, kind)

    def push_camera_info(self, sensor: str, message: Any) -> str | None:
        """Take a ``sensor_msgs/CameraInfo`` of a sensor. Repetitions cost next to nothing.

        Returns:
            None, or in words why the message was rejected; the calibration before it stays.
        """
        try:
            self._parts.registrar.take_camera_info(sensor, message)
        except CalibrationError as error:
            with self._lock:
                return self._intake.reject_camera_info(sensor, str(error))
        return None

    def take_cameras_of(self, other: Pipeline) -> None:
        """Know the cameras and places that another pipeline was told of; nobody may tell again."""
        self._parts.registrar.take_cameras_of(other._parts.registrar)

    @property
    def wants_transforms(self) -> bool:
        """Whether places of sensors are to be told by ``/tf_static``."""
        return self._parts.registrar.by_tf

    def push_transforms(self, message: Any) -> str | None:
        """Take a ``tf2_msgs/TFMessage`` of ``/tf_static``.

        Returns:
            None, or in words which transform of it is none; the others are taken.
        """
        try:
            self._parts.registrar.take_transforms(message)
        except CalibrationError as error:
            return f"/tf_static: {error}"
        return None

    def push(self, sample: Sample) -> str | None:
        """Take one decoded sample. Returns why a sample was rejected, as :meth:`push_message`."""
        if not self.rig.sensors[sample.sensor].enabled:
            return None
        self._parts.registrar.take_frame(sample.sensor, sample.frame_id)
        self._parts.pictures.see(sample)
        with self._lock:
            error = self._intake.push(sample)
            leads = self._intake.leads_events(sample.sensor, sample.received_ns)
            silent = self._intake.resting(sample.received_ns) if leads else frozenset()
        if leads:
            for events in self._parts.events.follow(sample, silent):
                self.push(events)
        return error

    def poll(self, now_ns: int) -> Prediction | None:
        """Work until a frame set that is due has its mask. Call it until it returns None.

        Some frame sets may wait for their turn while the network keeps up, so that a moment's delay
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
        begun: Callable[[], None] = lambda: None,
    ) -> Progress:
        """Do the most urgent piece of work, such as encoding one sample or fusing a frame set.

        Several threads may call this at once: that is how cores are used.

        Args:
            now_ns: on the clock of the messages' arrival.
            ahead: whether samples may be prepared before a frame set asks for them.
            deliver: called with the mask before the next one can be made, so that masks leave in
                order however many threads work. Not under the lock.
            begun: called when there is something to do, before it is done: another thread may look
                for more.

        Raises:
            Exception: whatever the engine or ``deliver`` raises.
        """
        task = self.begin(now_ns, ahead=ahead)
        if task is None:
            return Progress(False)
        begun()
        started_ns = time.perf_counter_ns()
        with self._activity.timed(task):
            try:
                result = self.execute(task)
                took_ns = time.perf_counter_ns() - started_ns
                if deliver is not None and isinstance(result, Prediction) and self._wants(task):
                    deliver(result)
            except Exception as error:
                with self._lock:
                    give_up(self._parts, task, error)
                raise
        return Progress(True, self.end(task, result, took_ns))

    def pass_over(self, now_ns: int) -> None:
        """Let everything that is due go without a mask, because nobody wants one."""
        with self._lock:
            self._intake.advance(now_ns)
            self._intake.poll(now_ns)
            self._parts.scheduler.drop_waiting()

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
        if self._ahead is not None and isinstance(task, Prepare):
            self._ahead.settle(task.sample)
        return execute(self._parts, task)

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
            return finish(self._parts, self.record, task, result, took_ns)

    def next_wakeup_ns(self) -> int | None:
        """Return when :meth:`poll` can next have news although no message comes."""
        with self._lock:
            if self._parts.scheduler.proving:
                return None  # until a sensor has been judged, nothing else is looked at
            times = (self._intake.next_wakeup_ns(), self._parts.scheduler.next_wakeup_ns())
        return min((t for t in times if t is not None), default=None)

    def end_messages(self, now_ns: int) -> None:
        """Take note that no message follows, as at the end of a bag.

        What is waited for is still made, from all sensors that are well by now.
        """
        with self._lock:
            self._intake.end(now_ns)

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

    def mask_period_ns(self) -> int:
        """Return the time from mask to mask that is to be expected now; 0 if no sensor is alive."""
        with self._lock:
            leader = self._intake.leader()
        return 0 if leader is None else self.rig.mask_period_ns(leader)

    def longest_work(self) -> Busy:
        """Return what has been worked on for longest at this moment."""
        return self._activity.longest()

    def configure(self, rig: RigConfig) -> None:
        """Go on with other parameters of the same sensors.

        All that is known of them is kept, and so is what waits for its mask. Only one that is taken
        in again is seen for the first time.

        Args:
            rig: other deadlines, rates and tolerances, checks, ``critical`` and ``enabled``. For
                everything else a pipeline is made anew.

        Raises:
            ConfigError: as when a pipeline is made; then nothing has changed.
        """
        parts, before = self._assembled(rig), self._parts
        same_events = parts.events.made_for == before.events.made_for
        if not same_events:
            before.events.stop()
        with self._lock:
            self._parts = parts.after(before)
        if self._orders.on_robot and not same_events:
            parts.events.start(self._take_events, self._events_failed)

    def _read(self, sensor: str, message: Any, received_ns: int) -> Sample | Unreadable:
        config = self.rig.sensors[sensor]
        spec = self.model.manifest.modalities[config.modality]
        return read(sensor, config, spec, message, received_ns)

    def _wants(self, task: Task) -> bool:
        with self._lock:
            return isinstance(task, Fuse) and self._parts.scheduler.wants(task)

    def _next_task(self, now_ns: int, ahead: bool) -> Task | None:
        """Collect what is due, and choose what to do about it."""
        parts, intake, scheduler = self._parts, self._intake, self._parts.scheduler
        intake.advance(now_ns)
        for sample in intake.undecoded():
            scheduler.add_unproven(sample)
        if not scheduler.proving:
            self._orders.take_due(parts, now_ns)
        task: Task | None = scheduler.take(now_ns)
        if task is None and ahead and (leader := intake.leader()) is not None:
            newest, wanted_in = intake.newest(leader), parts.pictures.sensor(leader)
            task = scheduler.take_ahead(
                newest, wanted_in, now_ns, reference=leader, in_time=self.in_time
            )
        if task is None and parts.cross_check is not None and scheduler.backlog.has_time:
            return parts.cross_check.take()
        return task

    def _fused_share(self, status: SensorStatus) -> FusedShare:
        """Return what was fused of a sensor, with the mend where that is less than it could be."""
        share, late = self.record.status(status.sensor), self._intake.too_late_by(status.sensor)
        if late and share.reason:
            share = replace(share, reason=f"{share.reason}; {late}")
        return replace(share, late=late)

    def _begin_anew(self) -> None:
        """Forget what belongs to the time before the clock went back."""
        self._parts.events.reset()
        self._parts.scheduler.begin_anew()
        if self._parts.cross_check is not None:
            self._parts.cross_check.begin_anew()

    def _push_events(self, sensor: str, message: Any, received_ns: int) -> str | None:
        """Take a message of events, and push the images that it completes."""
        with self._lock:
            # A new run is noticed before events are kept.
            self._intake.arrive(sensor, received_ns)
        outcome = self._parts.events.push(sensor, message, received_ns)
        return None if outcome is None else self._take_events(outcome)

    def _take_events(self, outcome: EventOutcome) -> str | None:
        """Take what has come of a message of events, or of a frame that event cameras follow."""
        sensor, received_ns, error = outcome.sensor, outcome.received_ns, outcome.error
        if outcome.pushed_out:
            with self._lock:
                self._intake.count_pushed_out(sensor, outcome.pushed_out)
        if error is not None:
            state = SensorState.CLOCK if error.kind == "stamp" else SensorState.INVALID
            fault = Fault(state, str(error))
            with self._lock:
                return self._intake.reject_events(sensor, fault, received_ns, error.kind)
        if sensor:
            nothing, checks, newest_ns = self._parts.events.judgement(sensor)
            with self._lock:
                if self._parts.events.always_sends(sensor):
                    self._intake.expect_always(sensor)
                self._intake.judge_events(sensor, received_ns, nothing, checks, newest_ns)
        errors = [self.push(sample) for sample in outcome.samples]
        if outcome.samples:
            self._notify()
        return next((error for error in errors if error is not None), None)
