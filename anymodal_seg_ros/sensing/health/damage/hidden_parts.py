"""Parts of a picture that something hides: no edge is left in them, and their brightness stays.

A hand, a cloth or mud before the lens leaves the sensor's noise where it is, so that such a part is
not dead. But it comes from one picture to the next, in all of its blocks at once, while the rest of
the picture goes on as it did; and from then on nothing moves in it any more.

Another exposure, a lamp and the end of a turn change the rest as well; what drives by comes by and
by, moves on, or has edges of its own; and where a robot comes out from under a bridge, the sky
shows as few edges as it usually does.

Where all is hidden nothing is left to go on. That is told where the picture of before was calm and
showed something else: no robot is at a wall at once, and where a lamp goes out things stay things.
"""

from __future__ import annotations

import itertools
from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS
from anymodal_seg_ros.sensing.health.figures.blocks import COLUMNS, ROWS, Blocks, Flags
from anymodal_seg_ros.sensing.health.figures.likeness import likeness
from anymodal_seg_ros.sensing.health.figures.order import (
    in_order,
    median,
    quantile_of_sorted,
    share_of,
    spread_of,
)

HIDDEN_ABOVE = 0.12
"""Share of the blocks that must be hidden at once."""
_BRIGHT_ABOVE = 0.3
"""The same where it is as bright as the sensor can tell: the sun comes out from behind a roof."""
_PATIENCE_NS, _LOOKS = 450_000_000, 4
"""How long, and in how many looks, they must stay as they are."""
_UNIT = 1 / 128
"""Of the spread of a picture: brightness is counted in these."""
_STAYS, _OF_NOISE, _JUMPS = 2.0, 0.8, 3.0
"""Units, or times the noise of neighbours, by which the brightness of what is hidden may vary; and
times as much, by which it must have changed when that began."""
_MEMORY, _FEWEST = 0.05, 10
"""Weight of the newest picture in what is usual, and pictures from which that is known at least."""
_FLATTEST = 0.1
"""Share of the blocks in which there is noise and little else."""
_LEFT, _BACK = 0.2, 0.4
"""Share of the usual power of edges with which a part is hidden, and with which it is seen again.
"""
_LEAST_POWER = 2.0
"""Mean square of the edges, in counts and above the noise, that a part must have had."""
_REST = 0.5
"""Share of its usual edges that the rest must show."""
_IN_SQUARES = 0.5
"""Share of the hidden blocks that must lie in squares of four: of drops that a wiper takes away,
whose rims were the edges that are missed, they lie here and there."""
_SQUARE = np.ones((2, 2), np.uint8)
_AROUND, _FEWEST_AWAY = np.ones((3, 3), np.uint8), 0.1
"""What lies beside a block, and share of the blocks that must lie elsewhere to tell of the rest."""
_KEPT = 24
"""Pictures in which something may have been hidden that is told now."""
_AS_WIDE = 0.33
"""Of the blocks that are hidden in one picture, those that are hidden in each of two others beside
it where something comes by and by."""
_AS_USUAL = 2.0
"""Times its usual change, at most, that of the rest when the part was hidden."""
_ALL, _CALM = 0.6, 0.33
"""Share of the blocks whose brightness must jump at once where all is hidden; and of that jump,
what pictures before and after may change by."""
_OTHER, _OTHER_THINGS = 0.5, 0.15
"""Correlation of the coarse pictures on the two sides of that jump, and of what stands out in them,
below which they show two scenes: of one in which a lamp goes out, the latter is 0.5 to 0.99, with
hardly a thing in it 0.02; before and behind a hand -0.4 to 0.2."""
_SHOWS_ON = 0.6
"""The same correlation, within a part that is not hidden but fainter."""
_DARK, _WIDE = 4.0, 5
"""Counts that are as good as nothing, and blocks around that say what a light lights."""
_HALTED, _FEWEST_BEFORE = 0.4, 3
"""Of its change before, below which the rest has come to a halt; pictures that tell of before."""

Floats = npt.NDArray[np.float32]


class HiddenPartsWatch:
    """Follows the brightness and the edges of the blocks of one sensor's pictures."""

    def __init__(self, whole_after_ns: int = _PATIENCE_NS) -> None:
        """Begin without a picture.

        Args:
            whole_after_ns: how long all of a picture may be hidden: thermal cameras do that
                themselves, to calibrate.
        """
        self._whole_after_ns = max(_PATIENCE_NS, whole_after_ns)
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._before: Floats | None = None
        self._seen_ns = 0
        self._number = 0
        self._usual = np.zeros((ROWS, COLUMNS), np.float32)
        """Power of the edges that blocks usually show."""
        self._since = np.full((ROWS, COLUMNS), -1)
        """Number of the picture in which the brightness of a block jumped, and then stayed."""
        self._then = np.zeros((ROWS, COLUMNS), np.float32)
        """That brightness."""
        self._changes: deque[tuple[int, int, Floats]] = deque(maxlen=_KEPT)
        """Number and time of the last pictures, and by how much their blocks changed."""
        self._scenes: dict[int, tuple[Floats, Floats]] = {}
        """Blocks before and after, by the number of the picture, where many jumped."""
        self._hidden: Flags | None = None

    def look(self, blocks: Blocks, now_ns: int) -> Flags | None:
        """Look at a picture; return the blocks that are hidden, None if none are."""
        before, self._before = self._before, blocks.means
        held = 0 < now_ns - self._seen_ns <= HELD_NS
        self._seen_ns = now_ns
        self._number += 1
        noise = quantile_of_sorted(in_order(blocks.power), _FLATTEST)
        power = np.maximum(blocks.power - np.float32(noise), np.float32(0.0))
        if before is None or not held:
            self._since[:] = -1
            self._changes.clear()
            self._scenes.clear()
            return self._hidden
        change = np.abs(blocks.means - before)
        self._changes.append((self._number, now_ns, change))
        unit = _UNIT * spread_of(blocks.means)
        stays = max(_STAYS * unit, _OF_NOISE * noise**0.5)
        jumps = change >= _JUMPS * stays
        if share_of(jumps) > HIDDEN_ABOVE:
            self._scenes[self._number] = before, blocks.means
        self._scenes.pop(self._number - _KEPT, None)
        moved = np.abs(blocks.means - self._then) > stays
        self._then = np.where(jumps | moved, blocks.means, self._then)
        self._since = np.where(jumps, self._number, np.where(moved, -1, self._since))
        if self._hidden is None and self._number > _FEWEST:
            self._hidden = self._find(blocks, power, noise, stays, now_ns)
        elif self._hidden is not None and self._seen_again(power):
            self._hidden = None
        if self._hidden is None:
            weight = np.float32(max(_MEMORY, 1.0 / self._number))
            self._usual += weight * (power - self._usual)
        return self._hidden

    def _find(
        self, blocks: Blocks, power: Floats, noise: float, unit: float, now_ns: int
    ) -> Flags | None:
        """Return the blocks that were hidden in one and the same picture of a moment ago."""
        bright = blocks.bright
        for number in self._jumped_together():
            if not self._lasts(number, now_ns, _PATIENCE_NS):
                continue
            part = self._since == number
            if self._all_hidden(number, power, noise, now_ns):
                return np.ones_like(bright)
            # Blocks that are hidden in part only, along an edge, are left out.
            part &= power <= _LEFT * float(self._usual[part].mean())
            if share_of(part & ~bright) <= HIDDEN_ABOVE and share_of(part) <= _BRIGHT_ABOVE:
                continue
            if part.all():
                continue  # no rest that goes on: the robot may have come before an even wall
            rest, usual = ~part, float(self._usual[part].mean())
            if usual < max(_LEAST_POWER, noise) or float(power[part].mean()) > _LEFT * usual:
                continue
            if float(power[rest].sum()) < _REST * float(self._usual[rest].sum()):
                continue
            if not _is_compact(part):
                continue
            if self._comes_by(number, part, power) or self._shows_on(number, part):
                continue
            if self._went_on(number, _away_from(part), unit):
                return np.asarray(part)
        return None

    def _jumped_together(self) -> list[int]:
        """Return the pictures in which many blocks jumped that have stayed as they were since."""
        ordered = in_order(self._since)
        many = int(HIDDEN_ABOVE * ordered.size)
        numbers = ordered[many:][ordered[many:] == ordered[: ordered.size - many]]
        return [number for number in dict.fromkeys(numbers.tolist()) if number >= 0]

    def _all_hidden(self, number: int, power: Floats, noise: float, now_ns: int) -> bool:
        """Whether a calm picture gave way at once to another one with hardly an edge."""
        scenes = self._scenes.get(number)
        if scenes is None or not self._lasts(number, now_ns, self._whole_after_ns):
            return False
        if share_of(self._since == number) < _ALL or not _is_another(*scenes):
            return False
        usual = float(self._usual.mean())
        if usual < max(_LEAST_POWER, noise) or float(power.mean()) > _LEFT * usual:
            return False
        changes = [(one, median(change)) for one, _, change in self._changes]
        jump = max(change for one, change in changes if one == number)
        return all(change <= _CALM * jump for one, change in changes if one != number)

    def _lasts(self, number: int, now_ns: int, patience_ns: int) -> bool:
        """Whether a picture and those before it are known, and it is long enough ago."""
        times = [time_ns for one, time_ns, _ in self._changes if one >= number]
        seen = bool(self._changes) and self._changes[0][0] <= number - _FEWEST_BEFORE
        return seen and len(times) > _LOOKS and now_ns - times[0] >= patience_ns

    def _comes_by(self, number: int, part: Flags, power: Floats) -> bool:
        """Whether pictures beside that hide about as much: somebody in plain clothes walks by."""
        hidden = power <= _LEFT * float(self._usual[part].mean())
        wide = _AS_WIDE * int(np.count_nonzero(part))
        steps = [
            int(np.count_nonzero(hidden & (self._since == number + apart))) >= wide
            for apart in (-2, -1, 1, 2)
        ]
        return any(one and other for one, other in itertools.pairwise(steps))

    def _shows_on(self, number: int, part: Flags) -> bool:
        """Whether what stood out in a part still does: a thermal camera spread its counts anew."""
        if number not in self._scenes:
            return False
        before, after = (_stands_out(means)[part] for means in self._scenes[number])
        return likeness(before, after) >= _SHOWS_ON

    def _went_on(self, number: int, rest: Flags, unit: float) -> bool:
        """Whether the rest changed in a picture as it does before and after."""
        changes = [(one, median(change[rest])) for one, _, change in self._changes]
        then = [change for one, change in changes if one == number]
        before = [change for one, change in changes if one < number]
        after = [change for one, change in changes if one > number]
        usual = min(median(np.array(before)), median(np.array(after)))
        return then[0] <= _AS_USUAL * usual + unit and not self._halted(number, rest)

    def _halted(self, number: int, rest: Flags) -> bool:
        """Whether the rest has come to a halt in a picture: some of it shows a wall, by chance."""
        paces = [(one, float(change[rest].mean())) for one, _, change in self._changes]
        before = [pace for one, pace in paces if one < number]
        after = [pace for one, pace in paces if one > number]
        return median(np.array(after)) < _HALTED * median(np.array(before))

    def _seen_again(self, power: Floats) -> bool:
        assert self._hidden is not None
        usual = float(self._usual[self._hidden].mean())
        stays = share_of(self._since[self._hidden] >= 0) >= _REST
        return not stays or float(power[self._hidden].mean()) >= _BACK * usual


def _is_another(before: Floats, now: Floats) -> bool:
    """Whether a picture shows another scene than the one before, and not that in another light."""
    things = likeness(_stands_out(before), _stands_out(now))
    return likeness(before, now) < _OTHER and things < _OTHER_THINGS


def _stands_out(means: Floats) -> Floats:
    """Return by how many times things are brighter than what is around them, as a logarithm."""
    shown = np.log(np.maximum(means, np.float32(0.0)) + np.float32(_DARK))
    return np.asarray(shown - cv2.blur(shown, (_WIDE, _WIDE)), np.float32)


def _away_from(part: Flags) -> Flags:
    """Return the rest without what lies beside a part, and may be hidden by its soft edge."""
    away = cv2.dilate(part.astype(np.uint8), _AROUND) == 0
    return np.asarray(away if share_of(away) >= _FEWEST_AWAY else ~part)


def _is_compact(part: Flags) -> bool:
    """Whether most of a part lies in squares of four blocks, all of which are in the picture."""
    framed = np.pad(part.astype(np.uint8), 1)
    squares = cv2.morphologyEx(framed, cv2.MORPH_OPEN, _SQUARE)
    return float(squares.sum()) >= _IN_SQUARES * float(part.sum())
