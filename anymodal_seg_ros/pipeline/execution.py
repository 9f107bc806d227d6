"""What is done in a piece of work, and what follows when it has ended or failed."""

from __future__ import annotations

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.frames import Prediction, Sample
from anymodal_seg_ros.pipeline.assembly import Assembly
from anymodal_seg_ros.pipeline.cross_check import SensorLook
from anymodal_seg_ros.pipeline.record import FusionRecord
from anymodal_seg_ros.pipeline.stages import Stages
from anymodal_seg_ros.pipeline.tasks import Decode, Fuse, Order, Prepare, Task

_DECODED_NS = "decoded"
"""In :attr:`Sample.made`: how long its pixels took, until it is known what all of it has taken."""


def execute(parts: Assembly, task: Task) -> Prediction | DecodeError | None:
    """Do one piece of work. Nothing is locked meanwhile; others may be at other pieces.

    Returns:
        The mask, or why a sample cannot be decoded, for :func:`finish`.

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
        parts.preparer.prepare(task.sample, task.picture, task.companions)
        return None
    if isinstance(task, SensorLook):
        if (cross_check := parts.cross_check) is not None:
            cross_check.step(task)
        return None
    return _fused(parts, task.order)


def finish(
    parts: Assembly,
    record: FusionRecord,
    task: Task,
    result: Prediction | DecodeError | None,
    took_ns: int,
) -> Prediction | None:
    """Take note that a piece of work is done; under the lock. Returns the mask, if it was one.

    One that was not waited for any longer is none: a newer one may have been published.

    Args:
        parts: of the pipeline, as they are now.
        record: of what was fused.
        task: what was done.
        result: what :func:`execute` returned.
        took_ns: how long it took.
    """
    if isinstance(task, SensorLook):
        _end_step(parts, task, took_ns)
        return None
    late = isinstance(task, Fuse) and not parts.scheduler.wants(task)
    parts.scheduler.done(task)
    if late:
        return None
    if isinstance(task, Decode):
        task.sample.made[_DECODED_NS] = took_ns
        _judge(parts, task.sample, result if isinstance(result, DecodeError) else None)
        return None
    if isinstance(task, Prepare):
        record.encoded(task.sample.sensor)
        took_ns += task.sample.made.pop(_DECODED_NS, 0)
        parts.budget.encoded(task.sample.sensor, took_ns)
        return None
    assert isinstance(result, Prediction)
    record.fused(result)
    picture = task.order.picture
    parts.pictures.settle(picture, result.sensors)
    if result.sensors:
        parts.budget.fused(len(result.sensors), took_ns)
    if (cross_check := parts.cross_check) is not None:
        cross_check.offer(task.order.frame_set, picture.sensor, (picture.height, picture.width))
    return result


def give_up(parts: Assembly, task: Task, error: Exception) -> None:
    """Go on after an engine that raised, without the sample or the frame set; under the lock."""
    if isinstance(task, SensorLook):
        if parts.cross_check is not None:
            parts.cross_check.abandon()
        return
    parts.scheduler.done(task)
    if isinstance(task, Fuse):
        parts.scheduler.lost(task.order)
    if isinstance(task, Prepare):
        key = parts.preparer.key(task.sample, task.picture, task.companions)
        reason = f"the engine failed: {type(error).__name__}"
        task.sample.made[key] = Stages(task.sample.image, reason)


def _fused(parts: Assembly, order: Order) -> Prediction:
    """Make the mask of a frame set; what its samples have become already costs nothing."""
    frame_set, picture, preparer = order.frame_set, order.picture, parts.preparer
    chosen = {name: frame_set.samples[name] for name in frame_set.fused}
    stages = {
        name: preparer.prepare(sample, picture.sensor, chosen) for name, sample in chosen.items()
    }
    return parts.fusion.segment(frame_set, stages, picture, order.status)


def _judge(parts: Assembly, sample: Sample, damage: DecodeError | None) -> None:
    """Let a decoded sample be judged; frame sets that have chosen it may have to go without."""
    if parts.intake.judge_decoded(sample, damage):
        return
    for order in parts.scheduler.waiting():
        if order.frame_set.samples.get(sample.sensor) is sample:
            order.frame_set = parts.intake.reselect(order.frame_set)
            order.picture = parts.pictures.of(order.frame_set)


def _end_step(parts: Assembly, look: SensorLook, took_ns: int) -> None:
    """Take note of one step of a look at the sensors, and tell what has come of it."""
    if parts.cross_check is None:
        return
    for name, found in (parts.cross_check.end(look, took_ns) or {}).items():
        parts.intake.take_cross_check(name, look.time_ns, found.doubt, found.shifted, found.checks)
