"""What our pipeline is compared with: how most nodes that fuse cameras are written today.

The usual synchroniser (the rule of message_filters' ApproximateTimeSynchronizer), zeros for what is
missing or cannot be decoded, and nobody who looks whether a sensor is to be believed. So a sensor
that is silent ends the masks, masks come at the rate of the slowest sensor, and whatever is
well-formed is fused. Same network, same engine, same preprocessing and registration.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from anymodal_seg_ros.config import MESSAGE_TYPES, RigConfig, SensorConfig, seconds_to_ns
from anymodal_seg_ros.errors import ConfigError, DecodeError, RejectionKind
from anymodal_seg_ros.frames import (
    FrameSet,
    Image,
    Prediction,
    Sample,
    SensorState,
    SensorStatus,
)
from anymodal_seg_ros.inference.engine_protocol import Engine, WholeEngine
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.preprocess import check_encoding
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.pipeline.fusion import Fusion
from anymodal_seg_ros.pipeline.modalities import check_modalities, registrar_for
from anymodal_seg_ros.pipeline.picture import Pictures
from anymodal_seg_ros.pipeline.stages import Preparer, Stages
from anymodal_seg_ros.pipeline.tasks import Fuse, Order, Task
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.health.sensor_health import Fault
from anymodal_seg_ros.sensing.sync.approximate_time import ApproximateTimeQueues, Arrival

PIPELINES = ("anymodal", "naive")
"""What an evaluation can run: the package's own pipeline, or the one in this file."""

QUEUE_SIZE, SLOP_S = 10, 0.1
"""Of the synchroniser; what message_filters' own examples give it."""


_MATCHED = tuple(MESSAGE_TYPES[kind] for kind in ("image", "compressed", "point_cloud"))


class Replayable(Protocol):
    """What a replay asks of a pipeline; see :class:`~anymodal_seg_ros.pipeline.Pipeline`."""

    @property
    def rig(self) -> RigConfig:
        """The sensors."""
        ...

    @property
    def model(self) -> Model:
        """Knows what the network takes and gives."""
        ...

    @property
    def engine(self) -> Engine:
        """Executes it."""
        ...

    @property
    def superseded(self) -> int:
        """Frame sets that were dropped because newer ones were due."""
        ...

    def push_message(self, sensor: str, message: Any, received_ns: int) -> str | None:
        """Take one message."""
        ...

    def push_camera_info(self, sensor: str, message: Any) -> str | None:
        """Take a calibration."""
        ...

    def push_transforms(self, message: Any) -> str | None:
        """Take places of sensors."""
        ...

    def reject(
        self, sensor: str, fault: Fault, received_ns: int, kind: RejectionKind = "other"
    ) -> str:
        """Count a message that could not be read."""
        ...

    def poll(self, now_ns: int) -> Prediction | None:
        """Return a mask that is due."""
        ...

    def begin(self, now_ns: int, *, ahead: bool = False) -> Task | None:
        """Take the most urgent piece of work."""
        ...

    def execute(self, task: Task) -> Prediction | DecodeError | None:
        """Do it."""
        ...

    def end(
        self, task: Task, result: Prediction | DecodeError | None, took_ns: int
    ) -> Prediction | None:
        """Take note that it is done."""
        ...

    def next_wakeup_ns(self) -> int | None:
        """Return when there can be news although no message comes."""
        ...

    def end_messages(self, now_ns: int) -> None:
        """Take note that no message follows."""
        ...

    def status(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """Return the health of every sensor."""
        ...


class NaivePipeline:
    """Messages in, masks out, without any of this package's care."""

    def __init__(self, rig: RigConfig, model: Model, engine: Engine) -> None:
        """Put it together.

        Args:
            rig: the sensors; those that are not enabled are zeros in every mask.
            model: knows what the network takes and gives.
            engine: executes it.

        Raises:
            ConfigError: as for the package's own pipeline; or a sensor sends single events, which
                the usual synchroniser cannot match.
        """
        check_modalities(rig, model.manifest)
        for name, sensor in rig.sensors.items():
            kind = sensor.message_type
            events = sensor.type == "point_cloud" and not sensor.sends_points
            if sensor.enabled and (events or kind not in _MATCHED):
                raise ConfigError(
                    f"rig.sensors.{name} sends single events as {kind}: the usual synchroniser "
                    "matches message by message, so the naive pipeline wants images of them"
                )
        self.rig, self.model, self.engine = rig, model, engine
        self.superseded = 0
        registrar = self._registrar = registrar_for(rig, model.manifest)
        blind = replace(rig, content_checks=False)
        self._preparer = Preparer(blind, model.manifest, registrar, None)
        self._fusion = Fusion(blind, model.manifest, WholeEngine(engine), self._preparer)
        self._pictures = Pictures(rig, model.manifest, registrar)
        self._inputs = [name for name, sensor in rig.sensors.items() if sensor.enabled]
        self._queues = ApproximateTimeQueues(len(self._inputs), QUEUE_SIZE, seconds_to_ns(SLOP_S))
        self._due: deque[Order] = deque()
        self._size: dict[str, Image] = {}
        self._first_ns: dict[str, int] = {}
        self._last_ns: dict[str, int] = {}
        self._received: Counter[str] = Counter()
        self._rejected: dict[str, Counter[str]] = {name: Counter() for name in rig.sensors}

    def push_message(self, sensor: str, message: Any, received_ns: int) -> str | None:
        """Take one message, match it, and note a set that is complete.

        Returns:
            None, or in words why the message cannot be read. If its stamp can, zeros stand for it.
        """
        config = self.rig.sensors[sensor]
        if not config.enabled:
            return None
        self._arrived(sensor, received_ns)
        try:
            stamp = stamp_ns(getattr(message, "header", None))
        except DecodeError as error:
            return self._count(sensor, error)
        trouble, image = None, None
        try:
            image = decode_image(message)
            check_encoding(image, self.model.manifest.modalities[config.modality])
            _ = image.pixels
        except DecodeError as error:
            trouble, image = self._count(sensor, error), None
        if image is None:
            image = self._zeros(sensor)
            if image is None:  # nobody knows how large it would have been
                return trouble
        else:
            self._size[sensor] = image
        frame_id = str(message.header.frame_id)
        time_ns = stamp + seconds_to_ns(config.offset_s)
        sample = Sample(sensor, stamp, time_ns, received_ns, frame_id, image)
        self._registrar.take_frame(sensor, frame_id)
        self._registrar.take_size(sensor, image)
        self._pictures.see(sample)
        self._match(sample, trouble or "")
        return trouble

    def reject(
        self, sensor: str, fault: Fault, received_ns: int, kind: RejectionKind = "other"
    ) -> str:
        """Count a message whose bytes do not even fit its type: no callback ever sees it."""
        self._arrived(sensor, received_ns)
        self._rejected[sensor][kind] += 1
        return fault.reason

    def push_camera_info(self, sensor: str, message: Any) -> str | None:
        """Take a calibration. Returns why it was refused, None if it was not."""
        try:
            self._registrar.take_camera_info(sensor, message)
        except CalibrationError as error:
            return str(error)
        return None

    def push_transforms(self, message: Any) -> str | None:
        """Take ``/tf_static``. Returns why a transform was refused, None if none was."""
        try:
            self._registrar.take_transforms(message)
        except CalibrationError as error:
            return str(error)
        return None

    def poll(self, now_ns: int) -> Prediction | None:
        """Return the mask of the next set; None if there is none."""
        task = self.begin(now_ns)
        return None if task is None else self.end(task, self.execute(task), 0)

    def begin(self, now_ns: int, *, ahead: bool = False) -> Task | None:
        """Take the next set; None if there is none."""
        return Fuse(self._due.popleft()) if self._due else None

    def execute(self, task: Task) -> Prediction:
        """Segment a set.

        Raises:
            Exception: whatever the engine raises.
        """
        assert isinstance(task, Fuse)
        order, manifest = task.order, self.model.manifest
        frames, picture = order.frame_set, order.picture
        nothing = np.zeros((3, manifest.height, manifest.width), np.float32)
        filled = Stages(frames.reference_sample.image, planes=nothing)
        chosen = {name: frames.samples[name] for name in frames.fused}
        stages: dict[str, Stages] = {}
        for name, sensor in self.rig.sensors.items():
            if not _known(sensor, self.model):
                continue
            stages[name] = filled
            if name in chosen:
                made = self._preparer.prepare(chosen[name], picture.sensor, chosen)
                stages[name] = filled if made.missing else made
        seen = tuple(name for name in stages if stages[name] is not filled)
        found = self._fusion.segment(frames, stages, picture, order.status)
        votes = {name: found.contributions[name] for name in seen if name in found.contributions}
        return replace(found, sensors=seen, contributions=votes)

    def end(
        self, task: Task, result: Prediction | DecodeError | None, took_ns: int
    ) -> Prediction | None:
        """Return the mask."""
        assert isinstance(result, Prediction)
        return result

    def next_wakeup_ns(self) -> int | None:
        """Return None: only messages bring news."""
        return None

    def end_messages(self, now_ns: int) -> None:
        """Take note that no message follows, which is all the same to it."""

    def status(self, now_ns: int) -> tuple[SensorStatus, ...]:
        """Return what is known of every sensor: whether a message has ever come."""
        return tuple(self._status(name, now_ns) for name in self.rig.sensors)

    def _status(self, name: str, now_ns: int) -> SensorStatus:
        first_ns = self._first_ns.get(name)
        state = SensorState.WAITING if first_ns is None else SensorState.OK
        if not self.rig.sensors[name].enabled:
            state = SensorState.DISABLED
        return SensorStatus(
            name,
            state,
            age_ns=None if first_ns is None else now_ns - self._last_ns[name],
            received=self._received[name],
            rejected=dict(self._rejected[name]),
            since_ns=first_ns,
            entered={"OK": 1} if state is SensorState.OK else {},
            lately=(("OK", first_ns),) if state is SensorState.OK and first_ns is not None else (),
        )

    def _arrived(self, sensor: str, received_ns: int) -> None:
        self._first_ns.setdefault(sensor, received_ns)
        self._last_ns[sensor] = received_ns

    def _count(self, sensor: str, error: DecodeError) -> str:
        self._rejected[sensor][error.kind] += 1
        return str(error)

    def _zeros(self, sensor: str) -> Image | None:
        """Return black in the size of the sensor's last image; None if there was none."""
        last = self._size.get(sensor)
        return None if last is None else Image(np.zeros_like(last.pixels), last.encoding)

    def _match(self, sample: Sample, trouble: str) -> None:
        """Lay a sample beside the others, and note the set that it completes."""
        self._received[sample.sensor] += not trouble
        index = self._inputs.index(sample.sensor)
        arrival = Arrival(index, sample.time_ns, sample.received_ns, sample, trouble)
        found = self._queues.add(arrival).found
        if not found:
            return
        samples = {a.message.sensor: a.message for a in found}
        missing = {a.message.sensor: a.unfit for a in found if a.unfit}
        absent = {name: "disabled" for name in self.rig.sensors if name not in samples}
        frames = FrameSet(
            self._inputs[0], samples, {**absent, **missing}, completed_ns=sample.received_ns
        )
        if len(self._due) == QUEUE_SIZE:
            self._due.popleft()
            self.superseded += 1
        status = self.status(sample.received_ns)
        self._due.append(Order(frames, status, self._pictures.of(frames), None))


def _known(sensor: SensorConfig, model: Model) -> bool:
    """Whether the network has an input for a sensor."""
    return sensor.modality in model.manifest.modalities


def make_pipeline(
    kind: str, rig: RigConfig, model: Model, engine: Engine, *, in_time: bool
) -> Replayable:
    """Make what an evaluation runs.

    Args:
        kind: one of :data:`PIPELINES`.
        rig: the sensors.
        model: knows what the network takes and gives.
        engine: executes it.
        in_time: as of :class:`~anymodal_seg_ros.pipeline.Pipeline`.

    Raises:
        ConfigError: sensors and model do not fit together.
    """
    if kind == PIPELINES[0]:
        return Pipeline(rig, model, engine, in_time=in_time)
    return NaivePipeline(rig, model, engine)
