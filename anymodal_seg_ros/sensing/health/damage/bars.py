"""A picture that gives way at once to stripes from edge to edge: bars, as a driver shows to test.

All rows of such a picture are one and the same, or all columns, but for noise. So are those of a
fence or a calm sea, nearly; but no robot stands before one from one picture to the next. One edge
alone is a horizon, that a robot may turn to, or another camera show.
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
_BESIDE_ONE = 0.3
"""The same without the highest step and those next to it: bars have more than that one. A bright
sky over a dark meadow does not, and is as straight: 0.01."""
_NEXT = 2
_ANOTHER = 0.5
"""Correlation with the picture before, made coarse, below which it shows something else."""
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
        self._sound_before = False
        self._striped = 0
        """Pictures that are striped since they became so at once."""

    def look(self, values: Pixels, block_means: Floats, now_ns: int) -> bool:
        """Look at some pixels of a picture, ``[H, W]``, and at the means of its blocks.

        Returns:
            Whether it is stripes, and was a picture before.
        """
        before, self._before = self._before, (block_means, now_ns)
        sound_before = self._sound_before
        if min(values.shape) < _FEWEST_ROWS:
            return False
        shown = floats(values)
        # Whatever began at once goes on until it is clearly a picture again.
        least = _SOUND if self._striped else _STRIPED
        common = max(_common_to_all(_bands(shown)), _common_to_all(_bands(shown.T)))
        self._sound_before = common < _SOUND
        if common < least:
            self._striped = 0
        elif self._striped:
            self._striped += 1
        elif sound_before and before is not None and now_ns - before[1] <= HELD_NS:
            self._striped = int(likeness(before[0], block_means) < _ANOTHER)
        return self._striped >= _LOOKS


def _bands(rows: Floats) -> Floats:
    """Return the means of as many rows each, ``[_BANDS, W]``."""
    even = rows[: len(rows) // _BANDS * _BANDS]
    return np.asarray(cv2.resize(even, (rows.shape[1], _BANDS), interpolation=cv2.INTER_AREA))


def _common_to_all(bands: Floats) -> float:
    """Return the share of what bands ``[N, W]`` show that is the same in all; 0 without an edge."""
    bands -= cv2.reduce(bands, 1, cv2.REDUCE_AVG)
    common = cv2.reduce(bands, 0, cv2.REDUCE_AVG)[0]
    power = float(common @ common) / common.size
    steps = common[1:] - common[:-1]
    if power < _LEAST_CONTRAST**2 or float(steps @ steps) < _SHARP * power:
        return 0.0
    highest = int(np.argmax(np.abs(steps)))
    steps[max(0, highest - _NEXT) : highest + _NEXT + 1] = 0
    if float(steps @ steps) < _BESIDE_ONE * power:
        return 0.0
    return float(power * bands.size / np.vdot(bands, bands))
