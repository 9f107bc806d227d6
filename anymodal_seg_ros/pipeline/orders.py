"""From frame sets that are due to orders: in whose picture, until when, and in which burst."""

from __future__ import annotations

from anymodal_seg_ros.frames import FrameSet
from anymodal_seg_ros.pipeline.assembly import Assembly
from anymodal_seg_ros.pipeline.tasks import Order

_JUST_NOW = 1.5
"""Periods of the reference within which somebody has looked who has time."""


class Orders:
    """Takes the frame sets that are due. Not thread-safe: the pipeline holds its lock around it.

    Attributes:
        on_robot: whether threads work in the time of the world; a desk takes whatever it takes.
    """

    def __init__(self, *, in_time: bool, by_halves: bool) -> None:
        """Begin without any.

        Args:
            in_time: whether every mask must come within the budget.
            by_halves: whether sensors can be left out of a mask one by one to that end.
        """
        self.on_robot = False
        self._in_time, self._by_halves = in_time, by_halves
        self._looked_ns, self._burst, self._burst_ns = 0, 0, 0

    def take_due(self, parts: Assembly, now_ns: int) -> None:
        """Give the scheduler an order for each frame set that is due.

        Args:
            parts: of the pipeline, as they are now.
            now_ns: on the clock of the messages' arrival.
        """
        intake, cross_check = parts.intake, parts.cross_check
        for frame_set in intake.poll(now_ns):
            self._count_burst(parts, frame_set, now_ns)
            if cross_check is not None:
                frame_set = cross_check.without_doubted(frame_set)
            for name in frame_set.fused:  # what a faulty driver sends is no new size
                parts.registrar.take_size(name, frame_set.samples[name].image)
            status, picture = intake.status(now_ns), parts.pictures.of(frame_set)
            order = Order(frame_set, status, picture, None, burst=self._burst)
            if self._in_time:
                order.hurries = self._fits(parts, frame_set)
                if self._by_halves:
                    _limit(parts, order)
            parts.scheduler.add(order)
        self._looked_ns = now_ns

    def _count_burst(self, parts: Assembly, frame_set: FrameSet, now_ns: int) -> None:
        """Number the frame sets, those alike that have become due since somebody looked just now.

        What is found after a longer time became due while nobody had time for it; and of a network
        that is slower than the reference anyway, more than one at a time is too many.
        """
        period_ns = parts.rig.mask_period_ns(frame_set.reference)
        just_now = now_ns - self._looked_ns <= _JUST_NOW * period_ns
        keeps_up = not self.on_robot or self._fits(parts, frame_set)
        if not (just_now and keeps_up) or self._burst_ns != now_ns:
            self._burst += 1
        self._burst_ns = now_ns

    def _fits(self, parts: Assembly, frame_set: FrameSet) -> bool:
        """Whether there is time for all that a mask cannot do without."""
        period_ns = parts.rig.mask_period_ns(frame_set.reference)
        return parts.budget.reference_fits(frame_set.reference, period_ns, len(frame_set.fused))


def _limit(parts: Assembly, order: Order) -> None:
    """Say until when the other sensors of a frame set are waited for."""
    frame_set, budget = order.frame_set, parts.budget
    reference, fused = frame_set.reference, len(frame_set.fused)
    period_ns = parts.rig.mask_period_ns(reference)
    order.fuse_by_ns = frame_set.completed_ns + budget.patience_ns(reference, period_ns, fused)
    budget.frame_came(reference, period_ns, fused)
    budget.expect(frame_set.reference_sample.received_ns + period_ns, period_ns)
