"""A picture that from one image to the next means something else: nothing in the world does that.

The brightness turned upside down, colours exchanged, one of them gone or all of another strength,
bits that are the same everywhere, all distances so many times as far, or one and the same: a
driver, a cable or a setting did it. Each is known by the coarse picture, which shows the same as a
moment ago but for that. And a test pattern of stripes takes its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.damage.bars import BarsWatch
from anymodal_seg_ros.sensing.health.damage.rearranged import RearrangedWatch
from anymodal_seg_ros.sensing.health.damage.stuck_bits import StuckBitsWatch
from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS
from anymodal_seg_ros.sensing.health.damage.tint import TintWatch
from anymodal_seg_ros.sensing.health.figures.blocks import COLUMNS, ROWS
from anymodal_seg_ros.sensing.health.figures.image_figures import Grid, floats
from anymodal_seg_ros.sensing.health.figures.likeness import likeness
from anymodal_seg_ros.sensing.health.figures.order import (
    in_order,
    quantile,
    quantile_of_sorted,
    spread_of,
)

_SAME = 0.9
"""Correlation of two coarse pictures from which on they show the same."""
_AGAINST = 0.8
"""The same of a negative: what moves takes from it, and other scenes are half as much against one
another."""
_SAME_AGAIN, _BACK = 0.7, 0.6
"""The same of colours that were exchanged before, to be as they were."""
_LEAST_CONTRAST = 4.0
"""Counts by which a coarse picture must vary for that, or its colours."""
_NO_COLOUR = 1.0
"""Counts by which a channel varies that is gone."""
_NOTHING, _SOMETHING, _LIT = 3.0, 25.0, 40.0
"""Counts of a block in which there is nothing of a colour, and in which there was something of it;
and the mean of what is left of the picture, that has not become dark."""
_TOLD, _NEARLY_ALL = 0.4, 0.75
"""Share of the blocks that must have shown a colour, and of those, in which it must be gone."""
_SCALE = 2.5
"""Times as far as before, or as near, in the median of what is seen."""
_ALIKE = 1.3
"""Times by which the distances of nine pixels in ten may differ from that."""
_STRUCTURE = 1.5
"""Times as far as the nearest that the farthest of a picture must be: a wall that something large
passes at another distance is no other unit."""
_EVEN, _UNEVEN = 1.04, 1.5
"""Times as far as the nearest that the farthest of a picture is, at most, where all are one, as of
a wall right ahead; and, at least, where they are not."""
_WHOLE = 0.9
"""Share of the pixels that such a wall must fill."""
_BESIDE, _MUCH = 0.1, 0.5
"""Of that distance: what was nearer or farther by more was elsewhere; and share of the picture."""
_FEWEST = 100
"""Pixels with a distance in both pictures that tell."""

_PER_METRE, _NEAREST_M = np.float32(200.0), np.float32(0.5)
"""What distances are compared as: their inverse, up to that of a near one."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Coarse:
    """A coarse picture: its channels ``[C, ROWS, COLUMNS]``, or distances in metres."""

    shown: Floats
    time_ns: int


class SwitchWatch:
    """Compares each picture of one sensor with the one before, made coarse."""

    def __init__(self, *, depth: bool) -> None:
        """Set up for pictures, or for depth."""
        self._depth = depth
        self._bits = StuckBitsWatch(depth=depth)
        self._tint = TintWatch()
        self._arrangement = RearrangedWatch(framed=not depth)
        self._bars = BarsWatch()
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._before: _Coarse | None = None
        self._shown_before: Floats | None = None
        self._switched: set[str] = set()
        self._one_distance = False
        self._stuck = ""
        self._bits.forget()
        self._tint.forget()
        self._arrangement.forget()
        self._bars.forget()

    def look(self, sampled: Grid, now_ns: int) -> str:
        """Look at a picture.

        Returns:
            What has been switched since the first one and not back again, in words; empty if
            nothing was.
        """
        shown = sampled.metres[0] if self._depth else _channels(sampled)
        before, self._before = self._before, _Coarse(shown, now_ns)
        whole = _structure(sampled.metres[0]) if self._depth else _two_together(sampled)
        whole_before, self._shown_before = self._shown_before, whole
        stuck_before, self._stuck = self._stuck, self._bits.look(sampled.values, now_ns)
        if (
            self._stuck == stuck_before
            and before is not None
            and now_ns - before.time_ns <= HELD_NS
            and before.shown.shape == shown.shape
        ):
            if whole_before is not None and whole_before.shape == whole.shape:
                self._arrangement.compare(whole_before, whole)
            if self._depth:
                self._compare_distances(before.shown, shown)
            else:
                self._compare(before.shown, shown)
                if len(shown) >= 3 and sampled.pixels.dtype == np.uint8:
                    self._tint.compare(before.shown, shown)
        striped = not self._depth and self._bars.look(sampled.values, sampled.block_means, now_ns)
        told = sorted(self._switched) + self._arrangement.told
        told += ["stripes from edge to edge, as a test pattern"] * striped
        told += ["in colours of another strength"] * self._tint.jumped
        told += ["at one and the same distance"] * self._one_distance
        told += [self._stuck] * bool(self._stuck)
        return ", ".join(told)

    def _compare_distances(self, before: Floats, now: Floats) -> None:
        """Look whether all distances are so many times as large, or one."""
        if _spread(now) > _UNEVEN:
            self._one_distance = False
        elif not self._one_distance:
            self._one_distance = _are_one(before, now)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            times = now / before
            # What does not fit is as far as can be told.
            told = (now < np.nanmax(now, initial=0.0)) & (before < np.nanmax(before, initial=0.0))
        told &= np.isfinite(times) & (times > 0)
        times, shown = times[told], before[told]
        if times.size < _FEWEST:
            return
        times = in_order(times)
        usual = quantile_of_sorted(times, 0.5)
        if 1 / _SCALE < usual < _SCALE:
            return
        if quantile(shown, 0.95) < _STRUCTURE * quantile(shown, 0.05):
            return
        low, high = quantile_of_sorted(times, 0.05), quantile_of_sorted(times, 0.95)
        if high > _ALIKE * usual or low < usual / _ALIKE:
            return
        back = {what for what in self._switched if what.startswith("farther") == (usual < 1)}
        self._switched -= back
        if not back:
            self._switched.add("farther away than before" if usual > 1 else "nearer than before")

    def _compare(self, before: Floats, now: Floats) -> None:
        """Look for a negative, and for colours that were exchanged or are gone."""
        middle = min(1, len(now) - 1)
        alike = _alike(before[middle], now[middle])
        if alike <= -_AGAINST:
            self._switched ^= {"a negative of what was seen before"}
        elif len(now) >= 3:
            self._exchange("red in the place of blue", alike, before, now, _redness)
            self._exchange("green in the place of red and blue", alike, before, now, _greenness)
            if alike >= _SAME:
                self._lose_colours(before, now)
            for channel in range(3):
                what = _without(channel)
                if _drained(before, now, channel):
                    self._switched.add(what)
                elif what in self._switched and _drained(now, before, channel):
                    self._switched.remove(what)

    def _exchange(
        self,
        what: str,
        alike: float,
        before: Floats,
        now: Floats,
        colour: Callable[[Floats], Floats],
    ) -> None:
        """Look whether what is coloured one way is coloured the other way, or as it was again."""
        told = what in self._switched
        if alike < (_SAME_AGAIN if told else _SAME):
            return
        against = _alike(_coarser(colour(before)), _coarser(colour(now)))
        if told and against <= -_BACK:
            self._switched.remove(what)
        # One that was overlooked and is undone now is none.
        elif not told and against <= -_SAME and not self._tint.comes_back(before, now):
            self._switched.add(what)

    def _lose_colours(self, before: Floats, now: Floats) -> None:
        for channel in (0, 2):
            was, is_ = (spread_of(shown[channel]) for shown in (before, now))
            what = _without(channel)
            if was >= _LEAST_CONTRAST and is_ <= _NO_COLOUR:
                self._switched.add(what)
            elif was <= _NO_COLOUR and is_ >= _LEAST_CONTRAST:
                self._switched.discard(what)


def _without(channel: int) -> str:
    return f"without its colour {1 + channel} of 3"


def _drained(before: Floats, now: Floats, channel: int) -> bool:
    """Whether a colour that was all over has gone, and the picture has not become dark.

    As of chroma that is lost or read from the wrong place. All that is left may be clipped, and
    look like nothing that was there before.
    """
    gone = now[channel] <= _NOTHING
    if not gone.any():
        return False
    had = before[channel] >= _SOMETHING
    if float(had.mean()) < _TOLD or float(now.max(axis=0).mean()) < _LIT:
        return False
    return float(gone[had].mean()) >= _NEARLY_ALL


def _structure(depth_m: Floats) -> Floats:
    """Return distances so that near ones count as much as far ones do; 0 where there are none."""
    shown = _PER_METRE / np.maximum(depth_m, _NEAREST_M)
    return np.asarray(cv2.patchNaNs(shown, 0.0), np.float32)


def _two_together(sampled: Grid) -> Floats:
    return floats(sampled.values) + floats(sampled.neighbours)


def _redness(channels: Floats) -> Floats:
    return np.asarray(channels[0] - channels[2], np.float32)


def _greenness(channels: Floats) -> Floats:
    return np.asarray(channels[1] - (channels[0] + channels[2]) / 2, np.float32)


def _coarser(shown: Floats) -> Floats:
    """Join blocks by fours: colours are faint, and what moves is less of a larger block."""
    return np.asarray(cv2.resize(shown, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def _spread(depth_m: Floats) -> float:
    """Return how many times as far as the nearest the farthest distances are; 0 of too few."""
    known = depth_m[np.isfinite(depth_m)]
    if known.size < _FEWEST:
        return 0.0
    ordered = in_order(known)
    return quantile_of_sorted(ordered, 0.95) / quantile_of_sorted(ordered, 0.05)


def _are_one(before: Floats, now: Floats) -> bool:
    """Whether a picture is of one distance, and half of the one before was of others.

    The leaf of a door that closes has come to where it is by and by.
    """
    if not 0.0 < _spread(now) <= _EVEN or float(np.isfinite(now).mean()) < _WHOLE:
        return False
    known, distance = before[np.isfinite(before)], float(np.nanmedian(now))
    elsewhere = np.abs(known - distance) > _BESIDE * distance
    return _spread(before) >= _UNEVEN and float(elsewhere.mean()) >= _MUCH


def _channels(sampled: Grid) -> Floats:
    """Return the first three channels of a picture, or its only one, made coarse."""
    pixels = sampled.pixels
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        few = floats(sampled.values)
    else:
        # Four neighbours together: the colours of a raw picture take turns from pixel to pixel.
        rows, columns = (side // 2 * 2 for side in pixels.shape[:2])
        down, right = (max(2, side // 60 * 2) for side in (rows, columns))
        quarter = np.float32(0.25)
        few = floats(pixels[0:rows:down, 0:columns:right, :3]) * quarter
        for row, column in ((0, 1), (1, 0), (1, 1)):
            few += pixels[row:rows:down, column:columns:right, :3] * quarter
    coarse = cv2.resize(few, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(coarse.reshape(ROWS, COLUMNS, -1).transpose(2, 0, 1), np.float32)


def _alike(one: Floats, other: Floats) -> float:
    """Return how like two coarse pictures are; 0 where one of them hardly varies."""
    if min(spread_of(one), spread_of(other)) < _LEAST_CONTRAST:
        return 0.0
    return likeness(one, other)
