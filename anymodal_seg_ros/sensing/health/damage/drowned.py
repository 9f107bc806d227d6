"""Whether a picture has drowned in noise from one image to the next.

A camera that comes into the dark turns its gain up, and its noise with it: little by little, as the
light goes. What takes the light or adds noise at once is no dusk.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2

from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS
from anymodal_seg_ros.sensing.health.figures.image_figures import Grid, floats

_AT_ONCE, _AGAIN = 3.0, 1.5
"""Times as noisy as the image before, against what it shows, that an image has drowned: the mouth
of a tunnel makes it twice; and up to which it has come up again."""
_LIT = 0.5
"""Share of the contrast before, below which the light has gone, and at which it is back."""


@dataclass(frozen=True, slots=True)
class _Level:
    """How much an image shows, how much neighbours differ in it, both in counts; when it came."""

    signal: float
    grain: float
    time_ns: int

    @property
    def noisiness(self) -> float:
        return self.grain / max(self.signal, 1.0)


class DrownedWatch:
    """Follows how noisy one sensor's images are against what they show."""

    def __init__(self) -> None:
        """Begin without an image."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._last: _Level | None = None
        self._sound: _Level | None = None
        """The last image before those that drowned."""
        self._dark = False

    def look(self, sampled: Grid, now_ns: int) -> bool:
        """Look at an image; whether it has drowned at once, or since then, and not come up."""
        values, neighbours = sampled.values, sampled.neighbours
        if values.dtype.kind != "u" or values.dtype.itemsize > 2:  # of which OpenCV needs no copy
            values, neighbours = floats(values), floats(neighbours)
        grain = cv2.norm(values, neighbours, cv2.NORM_L1) / values.size
        now = _Level(sampled.block_contrast, grain, now_ns)
        last, self._last = self._last, now
        if self._sound is None and last is not None and now_ns - last.time_ns <= HELD_NS:
            if now.noisiness >= _AT_ONCE * last.noisiness:
                self._sound, self._dark = last, now.signal < _LIT * last.signal
        elif self._sound is not None:
            lit = self._dark and now.signal >= _LIT * self._sound.signal
            if lit or now.noisiness <= _AGAIN * self._sound.noisiness:
                self._sound = None
        return self._sound is not None
