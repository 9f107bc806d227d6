"""A picture whose parts are elsewhere than a moment ago: no world does that at once.

A driver that was set to mirror, a stride that is off by a pixel and a vertical hold that is lost
show what was to be seen before, in another arrangement. Something that looks like a mirrored street
may come into view by and by, but not from one picture to the next, and what leaves a picture at its
lower edge does not come in again at the upper one. So fine structure is compared, which is the same
in no two places, and only where a picture is not the one before, or that moved on.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.geometry.fourier import Complexes, correlation, spectrum
from anymodal_seg_ros.sensing.health.figures.likeness import likeness

_ROWS, _COLUMNS = 60, 80
_CUT = 0.6
"""Likeness of coarse pictures, along their rows and columns, below which fine ones are compared."""
_COARSER = 5
_WIDE, _NOISE = 15, 3
"""Pixels over which the mean is taken off, and over which noise is averaged."""
_SAME = 0.55
"""Correlation of fine structure from which two pictures show the same.

Of 17,000 pairs of recorded pictures that have nothing to do with each other none has as much.
"""
_CLEARLY = 0.3
"""By how much more a picture is like another arrangement of the one before than that one itself."""
_STAYED, _FRAME = 0.004, 5
"""Share of a picture's contrast by which its frame may change, and pixels it is wide at least."""
_LEAST = 2.0
"""Counts by which fine structure must vary."""
_NEAR = 4
"""Cells by which the picture may have moved meanwhile."""
_HERE = np.s_[
    _ROWS // 2 - _NEAR : _ROWS // 2 + _NEAR + 1, _COLUMNS // 2 - _NEAR : _COLUMNS // 2 + _NEAR + 1
]
"""Of the likeness at all shifts: where the picture has moved by no more."""
_FEWEST = 6
"""Rows that must have come in at the other edge."""

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Arrange = Callable[[Floats], Floats]


def _sheared(by: float) -> Arrange:
    """Return what moves each row by so many pixels more than the one above it."""

    def arrange(shown: Floats) -> Floats:
        return np.stack([np.roll(row, round(by * number)) for number, row in enumerate(shown)])

    return arrange


_ARRANGED: dict[str, Arrange] = {
    "mirrored": lambda shown: np.asarray(shown[:, ::-1]),
    "upside down": lambda shown: np.asarray(shown[::-1]),
    "turned half round": lambda shown: np.asarray(shown[::-1, ::-1]),
    "sheared to the right": _sheared(1.0),
    "sheared to the left": _sheared(-1.0),
}
"""Other arrangements of a picture, by what they are called."""
_UNDOES = {"sheared to the right": "sheared to the left"}
_UNDOES |= {undone: undoes for undoes, undone in _UNDOES.items()}


class RearrangedWatch:
    """Compares the arrangement of each picture of one sensor with that of the one before."""

    def __init__(self, *, framed: bool) -> None:
        """Begin without a picture.

        Args:
            framed: whether a picture may have a frame. In depth what stays as it was are holes.
        """
        self._framed = framed
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._arranged: set[str] = set()
        self._rolled = 0
        """Rows by which the picture has been rolled."""
        self._cut = False
        """Whether the last picture was not the one before, either, as in a fast turn."""

    @property
    def told(self) -> list[str]:
        """How the picture is arranged, in words; empty if as it was."""
        rolled = ["rolled, its edge in the middle"] * (abs(self._rolled) > _NEAR)
        return sorted(self._arranged) + rolled

    def compare(self, before: Floats, now: Floats) -> None:
        """Compare two pictures, ``[H, W]`` in any unit, one after the other."""
        cut_before, self._cut = self._cut, _is_cut(before, now)
        if not self._cut or (cut_before and not self.told):
            return
        small, small_now = _small(before), _small(now)
        fine, fine_now = _fine(small), _fine(small_now)
        if self._framed:
            seen = ~_around_frame(small, small_now)
            fine, fine_now = fine * seen, fine_now * seen
        if min(float(fine.std()), float(fine_now.std())) < _LEAST:
            return
        spectra = spectrum(fine.astype(np.complex64)), spectrum(fine_now.astype(np.complex64))
        alike = _correlation(*spectra)
        if float(alike.max()) >= _SAME:
            row, column = np.unravel_index(int(alike.argmax()), alike.shape)
            rows = int(row) - _ROWS // 2
            aside = abs(int(column) - _COLUMNS // 2) > _NEAR
            pattern = _repeats_itself(_correlation(spectra[0], spectra[0]))
            if not (aside or pattern) and _came_in_again(small, small_now, rows):
                self._rolled = (self._rolled + rows + _ROWS // 2) % _ROWS - _ROWS // 2
            return
        for what, arrange in _ARRANGED.items():
            other = spectrum(arrange(fine).astype(np.complex64))
            found = _near(_correlation(other, spectra[1]))
            if found < _SAME:
                continue
            # Else it looks like that anyway.
            if found >= _near(_correlation(other, spectra[0])) + _CLEARLY:
                self._arrange(what)
            return

    def _arrange(self, what: str) -> None:
        undone = _UNDOES.get(what, what)
        if undone in self._arranged:
            self._arranged.remove(undone)
        else:
            self._arranged.add(what)


def _is_cut(before: Floats, now: Floats) -> bool:
    """Whether a picture is not the one before, by what it shows along its rows and columns."""
    size = (_COLUMNS // _COARSER, _ROWS // _COARSER)
    one, other = (cv2.resize(shown, size, interpolation=cv2.INTER_AREA) for shown in (before, now))
    return any(likeness(_along(one, axis), _along(other, axis)) < _CUT for axis in (1, 0))


def _along(shown: Floats, axis: int) -> Floats:
    """Return what a picture shows along its rows (1) or its columns (0)."""
    return np.asarray(shown - cv2.reduce(shown, axis, cv2.REDUCE_AVG), np.float32)


def _small(shown: Floats) -> Floats:
    return np.asarray(cv2.resize(shown, (_COLUMNS, _ROWS), interpolation=cv2.INTER_AREA))


def _fine(small: Floats) -> Floats:
    wide = cv2.blur(small, (_WIDE, _WIDE))
    return np.asarray(cv2.blur(small, (_NOISE, _NOISE)) - wide, np.float32)


def _around_frame(before: Floats, now: Floats) -> Flags:
    """Return where the picture is framed, as by bars or the rim of a round lens, and near that.

    While all the rest changed it stayed as it was; and most frames are like their own mirror image.
    """
    stayed = np.abs(now - before) <= _STAYED * float(now.std())
    whole = cv2.erode(stayed.astype(np.uint8), np.ones((_FRAME, _FRAME), np.uint8))
    near = _FRAME + _WIDE + _NOISE - 2  # what has been eroded, and as far as fine structure looks
    return np.asarray(cv2.dilate(whole, np.ones((near, near), np.uint8)) > 0)


def _correlation(one: Complexes, other: Complexes) -> Floats:
    """Return how like two pictures are at all shifts, around their edges; no shift in the middle.

    Args:
        one: spectrum of a picture about 0.
        other: that of the other.
    """
    power = float(np.vdot(one, one).real * np.vdot(other, other).real) ** 0.5 / one.size
    return np.asarray(correlation(np.conj(one) * other) / np.float32(power), np.float32)


def _near(alike: Floats) -> float:
    return float(alike[_HERE].max())


def _repeats_itself(alike: Floats) -> bool:
    """Whether a picture is like itself at another place, of its likeness at all shifts."""
    elsewhere = alike.copy()
    elsewhere[_HERE] = 0.0
    return float(elsewhere.max()) > _SAME


def _came_in_again(before: Floats, now: Floats, rows: int) -> bool:
    """Whether what went out at the lower or the upper edge came in at the other one."""
    if abs(rows) < _FEWEST:
        return False
    part = slice(0, rows) if rows > 0 else slice(rows, None)
    # Of these parts alone: beside them lies something else.
    return likeness(_fine(np.roll(before, rows, 0)[part]), _fine(now[part])) >= _SAME
