"""A white balance that jumps: from one image to the next each colour is so many times as strong.

Lamps, dusk and sign boards colour some of a picture more than the rest, and a camera that adapts
takes its time. The same factors in every part of it, at once, are a setting: told until they are
taken back, or are what the camera usually shows. Another lamp shines from elsewhere: where light
and shade have changed as well, by more than motion changes them, it is none.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.sensing.health.figures.order import (
    in_order,
    mean_of,
    median,
    quantile_of_sorted,
    share_of,
)

_JUMP = float(np.log(1.3))
"""Of red or blue against green, or of one against the other, that is told."""
_ALIKE = float(np.log(1.15))
"""Between the changes of one of them in eight blocks of ten, at most; and between those of the
colour that is kept, which are those of light and shade."""
_UNREST = 1.5
"""Times the latter of just before, that may be as well: of what moves."""
_KEPT = float(np.log(1.1))
"""By which one colour at least may change: another lamp changes all three."""
_DARK, _BRIGHT = 20.0, 235.0
"""Counts between which a block tells how strong its colours are."""
_MANY = 0.4
"""Share of the blocks that must tell."""
_STEADY = 0.3
"""Of the jump: what the colours change by just before and just after it, at most. Where a tunnel
with lamps of its own begins, they change for half a second and more."""
_HALF = 0.5
"""Of the jump: a picture that has come back by so much is as before."""
_MEMORY, _FEWEST = 50, 5
"""Pictures from which is known what is usual, ten seconds; and so many of them at least."""
_CLEARLY = 0.02
"""By which a picture is nearer to what is usual, as a logarithm."""

Floats = npt.NDArray[np.float32]


class TintWatch:
    """Follows how strong the colours of one camera are."""

    def __init__(self) -> None:
        """Begin without a picture."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._jump: Floats | None = None
        self._maybe: Floats | None = None
        """A jump that was seen just now."""
        self._step = 0.0
        """What the colours changed by at last."""
        self._unrest = 0.0
        """By how much more green has changed at last in some blocks than in others."""
        self._tints: deque[Floats] = deque(maxlen=_MEMORY)

    def compare(self, before: Floats, now: Floats) -> None:
        """Compare two coarse pictures ``[3, H, W]``, in counts of 8 bits, one after the other."""
        tint = _tint(now)
        step_before, self._step = self._step, float(np.linalg.norm(tint - _tint(before)))
        maybe, self._maybe = self._maybe, None
        unrest_before, self._unrest = self._unrest, _unrest(before[1], now[1])
        if self._jump is not None:
            away = float((tint - self._usual()) @ self._jump)
            if away < _HALF * float(self._jump @ self._jump):
                self._jump = None
        elif maybe is not None:
            if self._step <= _STEADY * float(np.linalg.norm(maybe)):
                self._jump = maybe
        elif len(self._tints) >= _FEWEST:
            jump = _jump(before, now, max(_ALIKE, _UNREST * unrest_before))
            if jump is not None and step_before <= _STEADY * float(np.linalg.norm(jump)):
                self._maybe = None if self.comes_back(before, now) else jump
        self._tints.append(tint)

    def comes_back(self, before: Floats, now: Floats) -> bool:
        """Whether the second of two pictures has the colours that are usual, and the first not."""
        if not self._tints:
            return False
        usual = self._usual()
        was, is_ = (float(np.linalg.norm(_tint(shown) - usual)) for shown in (before, now))
        return is_ < was - _CLEARLY

    def _usual(self) -> Floats:
        return np.array([median(color) for color in np.array(self._tints).T], np.float32)

    @property
    def jumped(self) -> bool:
        """Whether the colours have jumped and not come back."""
        return self._jump is not None


def _jump(before: Floats, now: Floats, unrest: float) -> Floats | None:
    """Return how much stronger red and blue have become, ``[2]``; None if not all over.

    Args:
        before: coarse picture ``[3, H, W]``.
        now: the next one.
        unrest: by how much more the colour that is kept may change in some blocks than in others.
    """
    low, high = np.minimum(before, now).min(axis=0), np.maximum(before, now).max(axis=0)
    told = (low >= _DARK) & (high <= _BRIGHT)
    if share_of(told) < _MANY:
        return None
    # Against green, so that another exposure and motion count for little.
    changes = [in_order(one) for one in _hue(now[:, told]) - _hue(before[:, told])]
    jump = np.array([quantile_of_sorted(one, 0.5) for one in changes], np.float32)
    if max(float(np.ptp(jump)), float(np.abs(jump).max())) < _JUMP:
        return None
    colours = zip(before[:, told], now[:, told], strict=True)
    strengths = [in_order(np.log(is_ / was)) for was, is_ in colours]
    kept = min(strengths, key=lambda one: abs(quantile_of_sorted(one, 0.5)))
    if abs(quantile_of_sorted(kept, 0.5)) > _KEPT:
        return None
    alike = max(_spread(one) for one in changes) <= _ALIKE and _spread(kept) <= unrest
    return jump if alike else None


def _unrest(before: Floats, now: Floats) -> float:
    """Return by how much more one colour ``[H, W]`` has changed in some blocks than in others."""
    seen = (np.minimum(before, now) >= _DARK) & (np.maximum(before, now) <= _BRIGHT)
    return _spread(in_order(np.log(now[seen] / before[seen]))) if seen.any() else 0.0


def _spread(ordered: Floats) -> float:
    return quantile_of_sorted(ordered, 0.9) - quantile_of_sorted(ordered, 0.1)


def _hue(channels: Floats) -> Floats:
    """Return the logarithms of red and blue over green, ``[2, …]``."""
    logs = np.log(np.maximum(channels, np.float32(1.0)))
    return np.asarray(logs[::2] - logs[1], np.float32)


def _tint(coarse: Floats) -> Floats:
    """Return the same of a whole picture, ``[2]``."""
    return _hue(np.array([mean_of(one) for one in coarse], np.float32))
