"""Does the world go by before a camera? It tells others whether there is anything to see.

A picture is compared with one of a moment ago, block by block, after their brightness and contrast
were made alike: a lamp that is switched on, and an exposure that follows it, move nothing. What
passes in a part of the picture is not motion either: another sensor may look elsewhere.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.figures.image_figures import Grid, floats
from anymodal_seg_ros.sensing.health.figures.order import median, share_of

_MUCH = 0.25
"""Share of the blocks that are not what they were, if the picture goes by."""
_OF_CONTRAST, _OF_DETAIL, _LEAST = 0.15, 1.0, 3.0
"""Share of the contrast between blocks, times the usual difference of two neighbours, and counts of
8 bits, by which a block differs that shows something else: codecs let flat ones swim."""
_IN_A_ROW = 3
"""So many pictures differ, or do not: of exposures that alternate, one or two do."""
_EVERY = 4
"""Rows of which one tells how much neighbours differ: to sort all takes long."""
_RENEWED_NS = 5_000_000_000
"""A picture that is older than this is compared with no other: light creeps."""

Floats = npt.NDArray[np.float32]


class MotionWatch:
    """Follows whether the pictures of one camera go by."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._seen_ns: int | None = None
        self._moved_from_ns: int | None = None
        """When the picture came from which the last ones were seen to have gone on."""
        self._before: Floats | None = None
        self._before_ns = 0
        self._differ = 0
        """Pictures in a row that do not show what that one did."""
        self._alike_ns: deque[int] = deque(maxlen=_IN_A_ROW)
        """When the last ones came that do; none where one between does not."""

    def look(self, sampled: Grid, now_ns: int) -> None:
        """Take note of a picture that shows the world."""
        self._seen_ns = now_ns
        means, before = sampled.block_means, self._before
        if before is None or not 0 <= now_ns - self._before_ns <= _RENEWED_NS:
            self._remember(means, now_ns)
        elif _differs(before, sampled):
            self._alike_ns.clear()
            self._differ += 1
            if self._differ >= _IN_A_ROW:
                self._moved_from_ns = self._before_ns
                self._remember(means, now_ns)
        else:
            self._alike_ns.append(now_ns)
            self._differ = 0

    def seen_since(self, then_ns: int) -> bool:
        """Whether a picture has come since a moment."""
        return self._seen_ns is not None and self._seen_ns >= then_ns

    def moved_since(self, then_ns: int) -> bool:
        """Whether pictures that all came after a moment have gone on."""
        return self._moved_from_ns is not None and self._moved_from_ns >= then_ns

    def stands_since(self, then_ns: int) -> bool:
        """Whether the last pictures came after a moment and show what one before them did."""
        alike_ns = self._alike_ns
        return len(alike_ns) == _IN_A_ROW and alike_ns[0] >= then_ns

    def _remember(self, means: Floats, now_ns: int) -> None:
        self._before, self._before_ns, self._differ = means, now_ns, 0


def _differs(before: Floats, sampled: Grid) -> bool:
    now = sampled.block_means
    was, centred = before - before.mean(), now - now.mean()
    power = float(np.vdot(was, was))
    gain = max(0.0, float(np.vdot(was, centred)) / power) if power > 0.0 else 0.0
    some = slice(None, None, _EVERY)
    detail = np.abs(floats(sampled.values[some]) - floats(sampled.neighbours[some]))
    least = _LEAST if sampled.values.dtype == np.uint8 else 0.0
    contrast = float(np.sqrt(np.vdot(centred, centred) / centred.size))
    enough = max(_OF_CONTRAST * contrast, _OF_DETAIL * median(detail), least)
    return share_of(np.abs(centred - gain * was) > enough) >= _MUCH
