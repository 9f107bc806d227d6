"""Parts of a picture that have died: not even the sensor's own noise is in them any more.

A healthy sensor is noisy, whatever it looks at, standing or driving. Where its pixels stop to
change by even a part of its noise, nobody is looking: mud or tape that is drawn over them, the lost
tail of a JPEG, a half that froze, or a whole picture that froze but for its clock.

A sensor must have shown that this is not its way: that none of its pictures were like that, and
either how noisy it is (by the flattest blocks, in which successive pictures differ as much as
neighbours do, and which are far flatter than others, or white: pixels two apart differ no more than
neighbours), or that the part was lively until it died from one picture to the next while the rest
lives on, or that all stopped at once from a brisk pace.

Robots do halt at once, and then a camera that has little noise, or smooths it away where nothing
moves, shows hardly any. But even that changes here and there, all over the picture, and what is
smoothed becomes flatter. So what stops counts as dead only where not one pixel of it changes any
more; or, of the whole, where the noise of the drive stays in it as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.damage.same_noise import FEWEST_PIXELS, SameNoiseWatch
from anymodal_seg_ros.sensing.health.figures.blocks import (
    COLUMNS,
    ROWS,
    Blocks,
    Flags,
    largest_patch,
)
from anymodal_seg_ros.sensing.health.figures.order import (
    in_order,
    median,
    quantile_of_sorted,
    share_of,
)

_DEAD_SHARE, _DEAD_ON_A_DRIVE = 0.4, 0.36
"""Of its own noise: a block that changes by less is dead. The lower one where noise has only been
seen in motion, where fine texture looks alike, and cameras do not smooth what they smooth at rest.
"""
_DEAD = 0.05
"""Counts: whatever the noise, one pixel in twenty has changed by one."""
_LIVELY = 2.0
"""Counts by which a block changes in which something happens."""
_BRISK = 8.0
"""Counts by which half of the blocks change on a drive; nothing stops from that at once."""
_MEMORY = 100
"""Pictures from which the noise is known."""
_FEWEST = 10
"""Pictures that must have been seen before anything is said."""
_LEAST_NOISE = 0.4
"""Counts; of a sensor with less, too many pixels are equal by chance."""
_FLAT = 1.5
"""Blocks with up to so many times the least detail show noise and little else."""
_FLATTER = 0.35
"""Share of the detail of busy blocks below which that of flat ones lies, if there are any."""
_WHITE = 1.4
"""Times their detail that pixels two apart differ by in those: of noise 1 to 1.4, of texture more.

Texture went through a lens: measured in recorded pictures of six cameras, it is 1.63 and more.
"""
_TEMPORAL = 0.6
"""Share of the spatial noise that must be in successive pictures as well."""
_MOST_IDLE = 0.03
"""Share of blocks that may be dead in a healthy sensor: of others nothing is said."""
_REST_ALIVE = 0.5
"""Of the other blocks so many must live: then the patch is to blame."""
_STILL_DEAD = 1.5
"""Times that limit below which what died at once is dead still: small blocks vary."""
_AT_ONCE = 0.8
"""Share of what is dead that must have died from one picture to the next."""
_WHOLE, _MOST_LIVELY = 0.75, 0.1
"""Share of the visible blocks that is dead at least, and lively at most, if the whole is dead."""
_CHANGED = 0.1
"""Share of the visible blocks in which a pixel may have changed since all stopped: a clock."""
_FLATTEST, _AS_NOISY = 0.1, 0.95
"""Share of the blocks that show how noisy a picture is, and of that noise what must be left."""
_BRAKED, _SHARPENED = 0.7, 1.2
"""Of the pace before, and times the detail, that the last picture of a drive has where a robot
halts: what hangs was as fast as ever, and as smeared.
"""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stillness:
    """What was found in one picture.

    Attributes:
        dead: flags of the largest connected patch of dead blocks, ``[ROWS, COLUMNS]``.
        share: of the blocks, the patch.
        whole: whether the picture as a whole is dead.
    """

    dead: Flags
    share: float
    whole: bool


class StillnessWatch:
    """Finds the parts of one sensor's pictures in which nothing happens, not even noise."""

    def __init__(self, *, textured: bool = True) -> None:
        """Begin without evidence.

        Args:
            textured: what is seen may be full of fine texture; depth is not.
        """
        self._textured = textured
        self._same_noise = SameNoiseWatch()
        self.forget()

    def forget(self) -> None:
        """Begin anew, as a sensor does that has other settings."""
        self._noise: deque[float] = deque(maxlen=_MEMORY)
        self._noise_at_rest: deque[float] = deque(maxlen=_MEMORY)
        self._evidence = self._at_rest = 0
        self._same_noise.forget()
        self._idle = 0.0
        self._lively = np.zeros((ROWS, COLUMNS), bool)
        self._pace = 0.0
        """By how much half of the blocks changed at last."""
        self._stopped_at_once = False
        self._sudden = np.zeros((ROWS, COLUMNS), bool)
        """Blocks that died from one picture to the next."""
        self._exactly = np.zeros((ROWS, COLUMNS), bool)
        """Those of which not a pixel has changed since."""
        self._changed: Flags | None = None
        """Blocks of which a pixel has changed since all is dead; None while it is not."""
        self._noise_then = 0.0
        """Counts that the flattest blocks showed when that began."""
        self._before: deque[tuple[float, float]] = deque(maxlen=3)
        """Pace and detail of the flattest blocks of the last pictures before the newest one."""
        self._halted = False
        """Whether that looks like a robot that has halted."""

    def look(self, blocks: Blocks, smallest: float) -> Stillness | None:
        """Look for dead parts.

        Args:
            blocks: of a picture that is not the one before again.
            smallest: share of the blocks below which a patch is nothing to speak of.

        Returns:
            What was found; None while too little is known of the sensor.
        """
        again = self._same_noise.look(blocks, _LEAST_NOISE)
        if blocks.change is None or blocks.size < FEWEST_PIXELS:
            return None
        noise = min((*self._noise, *self._noise_at_rest), default=0.0)
        noisy = self._evidence >= _FEWEST and noise >= _LEAST_NOISE
        at_rest = self._at_rest >= _FEWEST
        share = (_DEAD_SHARE if at_rest else _DEAD_ON_A_DRIVE) if noisy else 0.0
        limit = max(_DEAD, share * noise)
        dead = (blocks.change < limit) & ~blocks.bright
        held = self._sudden & (blocks.change < _STILL_DEAD * limit)
        self._sudden = held | (dead & self._lively)
        self._exactly = (self._exactly | (dead & self._lively)) & (blocks.change == 0.0)
        dead |= held
        at_once = bool(np.count_nonzero(self._sudden) >= _AT_ONCE * np.count_nonzero(dead))
        self._lively = blocks.change >= _LIVELY
        pace, self._pace = self._pace, median(blocks.change)
        flat = quantile_of_sorted(blocks.details, _FLATTEST) if blocks.seen.any() else 0.0
        if self._pace >= _DEAD:
            self._stopped_at_once = False
        elif pace >= _BRISK:
            self._stopped_at_once = True
        if self._changed is None:
            self._before.append((self._pace, flat))
        if len(self._noise) < _FEWEST or self._idle > _MOST_IDLE:
            self._learn(blocks, dead, noise)
            return None
        if again:
            visible = ~blocks.bright
            return Stillness(visible, share_of(visible), True)
        found = self._judge(blocks, dead, flat, known=noisy and at_rest, at_once=noisy and at_once)
        if not found.whole and found.share < smallest:
            self._learn(blocks, dead, noise)
        return found

    def _judge(
        self, blocks: Blocks, dead: Flags, flat: float, *, known: bool, at_once: bool
    ) -> Stillness:
        """Tell a dead part from a dead whole.

        Args:
            blocks: of the picture.
            dead: flags of those that are.
            flat: counts of detail that its flattest blocks have.
            known: whether the sensor's noise is known from pictures of a scene that stood.
            at_once: whether it is known from a drive, and what is dead died in one step.
        """
        visible = max(1, int(np.count_nonzero(~blocks.bright)))
        lively = int(np.count_nonzero(self._lively & ~blocks.bright))
        nearly_all = np.count_nonzero(dead) >= _WHOLE * visible > dead.size // 4
        if nearly_all and lively <= _MOST_LIVELY * visible:
            same, noisy = self._stay(blocks, visible, flat)
            if known or (at_once and noisy) or (self._stopped_at_once and same):
                return Stillness(dead, share_of(dead), True)
        else:
            self._changed = None
        patch = largest_patch(dead if known else self._exactly)
        rest = ~patch
        alive = np.count_nonzero(rest & ~dead)
        if alive < _REST_ALIVE * np.count_nonzero(rest):
            patch = np.zeros_like(patch)
        return Stillness(patch, share_of(patch), False)

    def _stay(self, blocks: Blocks, visible: int, flat: float) -> tuple[bool, bool]:
        """Whether a whole that is dead stays the very same, and whether it stays as noisy."""
        assert blocks.change is not None
        if self._changed is None:
            self._changed, self._noise_then = np.zeros_like(blocks.bright), flat
            self._halted = _halts(self._before, flat)
        self._changed |= (blocks.change > 0.0) & ~blocks.bright
        same = int(np.count_nonzero(self._changed)) <= _CHANGED * visible
        noisy = not self._halted and flat >= _AS_NOISY * self._noise_then
        return same, same or noisy

    def _learn(self, blocks: Blocks, dead: Flags, noise: float) -> None:
        """Take note of the noise of a picture that looks healthy."""
        assert blocks.change is not None
        if not blocks.many_seen:
            return
        detail, change = blocks.seen_detail, blocks.seen_change
        self._noise.append(quantile_of_sorted(blocks.details, _FLATTEST))
        level = noise or self._noise[-1]
        flat = detail <= _FLAT * level
        # Of what moves, flat blocks may be full of fine texture.
        rests = not self._textured or blocks.stands
        if rests:
            changed = quantile_of_sorted(in_order(change), _FLATTEST)
            self._noise_at_rest.append(min(self._noise[-1], changed))
        known = self._evidence >= _FEWEST and (self._at_rest >= _FEWEST or not rests)
        if flat.any() and not known:
            clear = self._noise[-1] <= _FLATTER * quantile_of_sorted(blocks.details, 0.9)
            white = blocks.coarser[blocks.seen][flat].sum() <= _WHITE * detail[flat].sum()
            temporal = median(change[flat] / np.maximum(detail[flat], 1e-3))
            if (white or clear) and temporal >= _TEMPORAL:
                self._evidence += bool(white) or rests
                self._at_rest += rests
        self._idle += (share_of(dead) - self._idle) / len(self._noise)


def _halts(before: Sequence[tuple[float, float]], flat: float) -> bool:
    """Whether pictures of a drive have become slower or sharper before they stopped.

    Args:
        before: pace and detail of the last ones, of which the newest has stopped.
        flat: counts of detail that it has.
    """
    if len(before) < 3:
        return True
    (pace_before, detail_before), (pace, _), _ = before
    return pace < _BRAKED * pace_before or flat > _SHARPENED * detail_before
