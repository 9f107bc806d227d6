"""A stretch of a bag, with the cameras that were known before it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from anymodal_seg_ros.config import seconds_to_ns
from anymodal_seg_ros.evaluation.arrivals import (
    CAMERA_INFO,
    TRANSFORMS,
    UnreadableMessage,
    read,
)
from anymodal_seg_ros.evaluation.bags import Bag, BagMessage
from anymodal_seg_ros.evaluation.naive import Replayable


class BagPart(Bag):
    """A stretch of a bag; the times are still those of the whole.

    Attributes:
        length_s: of the whole bag.
        span_s: of the stretch, in seconds after the start of the bag.
    """

    def __init__(self, path: Path, span_s: tuple[float, float] | None) -> None:
        """Open a bag.

        Args:
            path: of the bag.
            span_s: the stretch, cut to what is there; None for all of it.

        Raises:
            BagError: as for every bag.
        """
        super().__init__(path)
        self.length_s = (self.end_ns - self.start_ns) / 1e9
        wanted = (0.0, self.length_s) if span_s is None else span_s
        self.span_s = (min(wanted[0], self.length_s), min(wanted[1], self.length_s))
        self._first_ns = self.start_ns + seconds_to_ns(self.span_s[0])
        self._after_ns = self.start_ns + seconds_to_ns(self.span_s[1]) + 1

    def __enter__(self) -> BagPart:
        return self

    def messages(
        self, topics: Collection[str], start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """As of every bag, but by default only those of the stretch."""
        first = self._first_ns if start_ns is None else start_ns
        return super().messages(topics, first, self._after_ns if end_ns is None else end_ns)

    def tell_cameras_before(
        self, cameras: Mapping[str, Sequence[str]], pipeline: Replayable
    ) -> None:
        """Tell a pipeline what it would know of its cameras when the stretch begins.

        That is the first CameraInfo of every sensor that is of use, and all of tf.

        Args:
            cameras: names of the sensors by the absolute topics of their CameraInfo.
            pipeline: that is about to get the stretch.
        """
        if self.span_s[0] <= 0.0:
            return
        left = set(cameras)
        for recorded in super().messages(left, self.start_ns, self._first_ns):
            if recorded.topic not in left:
                continue
            message = read(self, recorded)
            if recorded.type == TRANSFORMS and not isinstance(message, UnreadableMessage):
                pipeline.push_transforms(message)
            elif recorded.type == CAMERA_INFO:
                refused = [pipeline.push_camera_info(s, message) for s in cameras[recorded.topic]]
                if None in refused:
                    left.remove(recorded.topic)
            if not left:
                return

    def share(self, log_ns: int) -> float:
        """Return how far a time is in the stretch, 0..1."""
        return (log_ns - self._first_ns) / (self._after_ns - self._first_ns)
