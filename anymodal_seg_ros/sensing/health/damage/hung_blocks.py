"""Blocks of a picture that hang while all around them goes by: a decoder that lost packets.

It shows its last picture there, pixel by pixel, until the sender begins anew. Encoders leave out
blocks as well where nothing happens, and a robot that halts shows many at once that stay: so what
counts has changed briskly until then, hangs since one and the same picture, and lies among others
that change as briskly as ever, in each picture: after a halt, what a codec rounds to and fro
changes now and then, and by little. What is of one count stays, too.
"""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Pixels
from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS
from anymodal_seg_ros.sensing.health.figures.blocks import Flags
from anymodal_seg_ros.sensing.health.figures.image_figures import Grid, floats

HUNG_ABOVE = 0.05
"""Share of the cells that go by that must hang."""
_CELL = 2
"""Pixels that are looked at, in each direction, of a cell, and the neighbour of each."""
_LIVELY = 3.0
"""Counts by which a cell that goes by changes."""
_BEFORE, _AGAIN = 2, 6
"""Pictures in a row in which a cell has changed like that, and from then on has not at all; in as
many, those that go by must have."""
_AS_BRISKLY, _LESS_BRISKLY, _AWAY = 0.9, 0.4, 1.1
"""Share of their change before that those that go by must keep, or a lower share if since the first
picture that hangs they have changed by so many times as much as from one to the next. After a halt,
codec and noise leave at most a third of a fast drive's; and what they change comes back: 0.9."""
_ALIVE = 0.08
"""Share of the other cells that must go by."""
_AROUND, _LIVE, _AMONG = (9, 9), 0.1, 0.6
"""Cells around one; share of those that hang or go by there that must go by, for it to lie among
them; and share of the cells that hang that must."""
_LEFT = 0.5
"""Share of what hung; with less, it has been sent anew."""
_FEWEST = 0.03
"""Share of all cells that must hang."""
_TEXTURE = 1.0
"""Counts by which neighbours in a cell must differ."""

Counts = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Looked = tuple[Pixels, Pixels]
"""The pixels that are looked at, and the neighbour of each."""


class HungBlocksWatch:
    """Follows which cells of one sensor's pictures change."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._seen_ns = 0
        self._lively: Counts | None = None
        self._stayed: Counts | None = None
        """Pictures in a row in which a cell has gone by; and in which it has stayed as it was."""
        self._changes = deque[Floats](maxlen=_AGAIN + 1)
        """Of what hangs by now, the first is the last in which it went by."""
        self._pictures = deque[Looked](maxlen=_AGAIN + 1)
        """Of what hangs by now, the first is the one that it shows."""
        self._tells = np.zeros((0, 0), bool)
        """Cells that stay, and went by briskly until they did."""
        self._hung: Flags | None = None
        self._told = 0
        """Cells that hung when that was seen."""

    def look(self, sampled: Grid, now_ns: int) -> Flags | None:
        """Look at a picture.

        Returns:
            The cells that hang, a quarter as many as pixels are looked at; None if none do.
        """
        before = self._pictures[-1] if self._pictures else None
        now = sampled.values.copy(), sampled.neighbours.copy()
        held = 0 < now_ns - self._seen_ns <= HELD_NS
        self._seen_ns = now_ns
        if before is None or not held or not _comparable(before[0], now[0]):
            self._hung = self._lively = self._stayed = None
            self._changes.clear()
            self._pictures.clear()
            self._pictures.append(now)
            return None
        change = _change(before, now)
        self._changes.append(change)
        self._pictures.append(now)
        if self._lively is None or self._stayed is None:
            self._lively = self._stayed = np.zeros(change.shape, np.int32)
            self._tells = np.zeros(change.shape, bool)
        stays = np.asarray(change == 0.0)
        begins = stays & (self._lively >= _BEFORE)
        if begins.any():
            begins &= _textured(sampled)
        self._tells = stays & (self._tells | begins)
        self._stayed = np.where(stays, self._stayed + 1, 0)
        self._lively = np.where(change >= _LIVELY, self._lively + 1, 0)
        if self._hung is not None:
            still = self._hung & stays
            self._hung = still if np.count_nonzero(still) >= _LEFT * self._told else None
        if self._hung is None:
            since = np.asarray(self._stayed == _AGAIN)
            lively = self._lively >= _AGAIN
            hangs = _is_hung(since & self._tells, lively) and self._goes_on(lively)
            self._hung = since if hangs else None
            self._told = 0 if self._hung is None else int(np.count_nonzero(self._hung))
        return self._hung

    def _goes_on(self, lively: Flags) -> bool:
        """Whether what goes by does so about as briskly as before others hung."""
        was, *since = (float(change[lively].mean()) for change in self._changes)
        pace = float(np.mean(since))
        if pace >= _AS_BRISKLY * was:
            return True
        away = _change(self._pictures[0], self._pictures[-1])[lively]
        return pace >= _LESS_BRISKLY * was and float(away.mean()) >= _AWAY * pace


def _comparable(before: Pixels, now: Pixels) -> bool:
    return before.shape == now.shape and before.dtype == now.dtype


def _is_hung(hung: Flags, lively: Flags) -> bool:
    """Whether cells that stay since one picture are many, and lie among others that go by."""
    count = int(np.count_nonzero(hung))
    if count < _FEWEST * hung.size:
        return False
    others = int(np.count_nonzero(lively))
    if count <= HUNG_ABOVE * (count + others) or others < _ALIVE * (hung.size - count):
        return False
    around, hang_around = (cv2.blur(some.astype(np.float32), _AROUND) for some in (lively, hung))
    among = hung & (around >= _LIVE * (around + hang_around))
    return bool(np.count_nonzero(among) >= _AMONG * count)


def _change(before: Looked, now: Looked) -> Floats:
    """Return by how much cells have changed, the mean of their pixels: 0 if none has at all."""
    pairs = zip(before, now, strict=True)
    here, beside = (cv2.absdiff(_summable(was), _summable(is_)) for was, is_ in pairs)
    both = np.asarray(cv2.add(here, beside, dtype=cv2.CV_32F), np.float32)
    return np.asarray(_cells(both) / np.float32(2.0), np.float32)


def _summable(values: Pixels) -> Pixels:
    """Return values of 8 and 16 bits as they are, which is faster, and others as floats."""
    return values if values.dtype in (np.uint8, np.uint16) else floats(values)


def _textured(sampled: Grid) -> Flags:
    """Return flags of the cells whose pixels are not as good as equal."""
    apart = cv2.absdiff(floats(sampled.neighbours), floats(sampled.values))
    return np.asarray(_cells(apart) >= _TEXTURE)


def _cells(values: Floats) -> Floats:
    """Return the means of cells of ``[H, W]``."""
    rows, columns = (side // _CELL for side in values.shape)
    even = values[: rows * _CELL, : columns * _CELL]
    return np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
