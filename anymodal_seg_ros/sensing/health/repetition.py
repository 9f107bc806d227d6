"""A sensor whose payload repeats has frozen, however punctually its messages come."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.frames import CheckResult, Pixels, SensorState
from anymodal_seg_ros.sensing.health.figures.image_figures import Grid
from anymodal_seg_ros.sensing.health.sensor_health import Fault

_BUFFERS = 4
"""Up to so many buffers in turn are a driver that hangs, from its first image on."""
_LOOP = 30
"""Up to so many images in turn are, of a sensor that has shown more than those without repeating
one. A recording that is played round and round is like that from the start, or longer."""
_SILENT_SHARE = 1e-3
"""An event frame with fewer active pixels than this is of a still scene."""


class RepetitionWatch:
    """Compares each image of one sensor with the ones before.

    Real sensors are noisy, so two equal images are one image sent twice. A few pixels tell most of
    them apart; only where those agree, all bytes are compared. A driver that hangs may send some
    images in turn: there, the few pixels of the last images decide.
    """

    def __init__(self, patience_ns: int, fresh_ns: int, *, silence_is_healthy: bool) -> None:
        """Set up a watch.

        Args:
            patience_ns: how long a payload may repeat before it counts as a failure.
            fresh_ns: how long it may repeat before it is too old to be fused.
            silence_is_healthy: an image of hardly anything but its ground may repeat for ever.
        """
        self._patience_ns = patience_ns
        self._fresh_ns = fresh_ns
        self._silence_is_healthy = silence_is_healthy
        self._few = b""
        self._seen: dict[int, int] = {}
        """The numbers of the last images, by a hash of the few pixels of each."""
        self._number = self._new = 0
        """Of images; and how many new and sound ones came in a row."""
        self._goes_round: bool | None = None
        """Whether images came again in turn before so many were new; None while that is open."""
        self._period = 0
        """So many images ago the last one had come before; 0 of a new one."""
        self._pixels: Pixels | None = None
        self._since_ns = 0
        self._silent: bool | None = None
        """Whether the payload is of a still scene; None before it has repeated."""

    def forget(self) -> None:
        """Begin anew."""
        self._pixels = None
        self._few = b""
        self._seen.clear()
        self._number = self._new = self._period = 0

    def inspect(
        self, sampled: Grid, now_ns: int, *, sound: bool = True
    ) -> tuple[CheckResult, Fault | None]:
        """Compare an image with the one before; ``sound`` if no other check withholds it.

        Drivers repeat an image to keep up a rate: that is no fault, and the image may be fused
        while it is fresh. Neither does it say that a sensor has recovered.
        """
        repeated_ns = 0
        if self._repeats(sampled, sound):
            repeated_ns = now_ns - self._since_ns
        else:
            self._since_ns = now_ns
        lasting = repeated_ns > 0 and repeated_ns >= self._patience_ns
        figure_s, limit_s = repeated_ns / 1e9, self._patience_ns / 1e9
        result = CheckResult("frozen", figure_s, limit_s, not lasting)
        if not repeated_ns:
            return result, None
        if not lasting and repeated_ns < self._fresh_ns:
            reason = f"repeat: the image of {figure_s:.2f} s ago came again"
            return result, Fault(SensorState.FROZEN, reason, lasting=False, withhold=False)
        allowed_s = limit_s if lasting else self._fresh_ns / 1e9
        reason = f"frozen: the payload has repeated for {figure_s:.2f} s, {allowed_s:g} s allowed"
        return result, Fault(SensorState.FROZEN, reason, lasting)

    def _repeats(self, sampled: Grid, sound: bool) -> bool:
        before, self._pixels = self._pixels, sampled.pixels
        few_before, self._few = self._few, sampled.values.tobytes() + sampled.neighbours.tobytes()
        if few_before != self._few and not self._silence_is_healthy and self._in_turn(sound):
            return True
        if before is None or few_before != self._few or not _equal(before, sampled.pixels):
            self._silent = None
            return False
        if self._silent is None:
            self._silent = self._silence_is_healthy and _silent(sampled.pixels)
        return not self._silent

    def _in_turn(self, sound: bool) -> bool:
        """Whether an image that is not the last one again is one of those before, in turn."""
        self._number += 1
        few = hash(self._few)
        last, before = self._seen.pop(few, None), self._period
        self._seen[few] = self._number
        if len(self._seen) > _LOOP:
            del self._seen[next(iter(self._seen))]
        if last is None:
            self._period = 0
            self._new = self._new + 1 if sound else 0
            if self._new > _LOOP and self._goes_round is None:
                self._goes_round = False
            return False
        self._period = self._number - last
        if self._period <= _BUFFERS:
            return True
        if self._goes_round is None:
            self._goes_round = True
        # What is played backwards comes again as well, but each image after another time.
        return not self._goes_round and self._period == before


def _equal(one: Pixels, other: Pixels) -> bool:
    """Whether two images are equal, byte by byte: a NaN is as good as any other value here."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if one.dtype.kind == "f":
        whole = np.dtype(f"u{one.dtype.itemsize}")
        one, other = one.view(whole), other.view(whole)
    return bool(np.array_equal(one, other))


def _silent(pixels: Pixels) -> bool:
    ground = pixels.reshape(-1, *pixels.shape[2:])[0]
    return bool(np.count_nonzero(pixels != ground) < _SILENT_SHARE * pixels.size)
