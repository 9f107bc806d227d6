"""A picture that gives way at once to stripes from edge to edge: bars, as a driver shows to test.

All rows of such a picture are one and the same, or all columns, but for noise. So are those of a
fence or a calm sea, nearly; but no robot stands before one from one picture to the next, and where
it turns to the doors of a corridor, they were to be seen just before, farther to one side. One edge
alone is a horizon, and two are a post, that a robot may turn or come to.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS
from anymodal_seg_ros.sensing.health.figures.image_figures import floats
from anymodal_seg_ros.sensing.health.figures.likeness import likeness

_STRIPED, _SOUND = 0.98, 0.93
"""Share of what bands of rows show that is common to all: of bars through noise 0.99 and more, of
pictures of forty recordings at most 0.91 by rows, of a road from above 0.94 by columns."""
_BANDS = 8
_FEWEST_ROWS = 24
_LEAST_CONTRAST = 4.0
"""Counts by which stripes must differ."""
_SHARP = 1.0
"""Sum of the squared steps along a line over the variance of that: of eight bars 16, through a lens
several; of a shutter or a palm that is lighter on one side, 0.3 and less."""
_POST, _BESIDE_POST = 2, 0.3
"""Steps of a post or a horizon; and the same sum without so many of the highest and those next to
them: bars have more. A bright sky over a dark meadow does not, and is as straight: 0.01."""
_NEXT = 2
_ANOTHER = 0.5
"""Correlation with the picture before, made coarse, below which it shows something else."""
_GO_BY, _FARTHEST = 0.85, 1 / 3
"""Correlation with upright stripes, moved sideways, of the picture before, from which on they go
by: of doors 0.92, of bars 0.77 at most; and share of the picture by which they may have moved."""
_LOOKS = 2
"""Pictures in a row that must be striped."""

Floats = npt.NDArray[np.float32]


class BarsWatch:
    """Follows whether the pictures of one sensor are striped."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._before: tuple[Floats, int] | None = None
        self._columns_before: Floats | None = None
        """Mean brightness of its columns."""
        self._sound_before = False
        self._striped = 0
        """Pictures that are striped since they became so at once."""

    def look(self, values: Pixels, block_means: Floats, now_ns: int) -> bool:
        """Look at some pixels of a picture, ``[H, W]``, and at the means of its blocks.

        Returns:
            Whether it is stripes, and was a picture before.
        """
        before, self._before = self._before, (block_means, now_ns)
        sound_before, columns_before = self._sound_before, self._columns_before
        if min(values.shape) < _FEWEST_ROWS:
            return False
        shown = floats(values)
        columns = self._columns_before = np.asarray(cv2.reduce(shown, 0, cv2.REDUCE_AVG))
        # Whatever began at once goes on until it is clearly a picture again.
        least = _SOUND if self._striped else _STRIPED
        common = max(_common_to_all(_bands(shown)), _common_to_all(_bands(shown.T)))
        self._sound_before = common < _SOUND
        if common < least:
            self._striped = 0
        elif self._striped:
            self._striped += 1
        elif sound_before and before is not None and now_ns - before[1] <= HELD_NS:
            another = likeness(before[0], block_means) < _ANOTHER
            self._striped = int(another and not _go_by(columns_before, columns))
        return self._striped >= _LOOKS


def _go_by(before: Floats | None, now: Floats) -> bool:
    """Whether columns ``[1, W]`` are those of before, moved sideways."""
    if before is None or before.shape != now.shape:
        return False
    width = now.shape[1]
    return any(
        likeness(one[:, by:], other[:, : width - by]) >= _GO_BY
        for one, other in ((before, now), (now, before))
        for by in range(int(_FARTHEST * width))
    )


def _bands(rows: Floats) -> Floats:
    """Return the means of as many rows each, ``[_BANDS, W]``."""
    even = rows[: len(rows) // _BANDS * _BANDS]
    return np.asarray(cv2.resize(even, (rows.shape[1], _BANDS), interpolation=cv2.INTER_AREA))


def _common_to_all(bands: Floats) -> float:
    """Return the share of what bands ``[N, W]`` show that is the same in all; 0 of few edges."""
    bands -= cv2.reduce(bands, 1, cv2.REDUCE_AVG)
    common = cv2.reduce(bands, 0, cv2.REDUCE_AVG)[0]
    power = float(common @ common) / common.size
    steps = common[1:] - common[:-1]
    if power < _LEAST_CONTRAST**2 or float(steps @ steps) < _SHARP * power:
        return 0.0
    for _ in range(_POST):
        highest = int(np.argmax(np.abs(steps)))
        steps[max(0, highest - _NEXT) : highest + _NEXT + 1] = 0
    if float(steps @ steps) < _BESIDE_POST * power:
        return 0.0
    return float(power * bands.size / np.vdot(bands, bands))
