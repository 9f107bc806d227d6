"""With ``lazy``, the network rests while nobody listens; the sensors are watched all the same."""

from __future__ import annotations

from collections.abc import Callable

from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.pipeline import Pipeline


class OnDemand:
    """A pipeline for the worker that only makes masks that somebody wants."""

    def __init__(self, pipeline: Pipeline, wanted: Callable[[], bool]) -> None:
        self._pipeline, self._wanted = pipeline, wanted

    def poll(self, now_ns: int) -> Prediction | None:
        """Segment what is due, or let it pass; see :meth:`Pipeline.poll`."""
        if self._wanted():
            return self._pipeline.poll(now_ns)
        self._pipeline.pass_over(now_ns)
        return None

    def next_wakeup_ns(self) -> int | None:
        """Return when :meth:`poll` can next have news although no message comes."""
        return self._pipeline.next_wakeup_ns()
