"""When free-running sensors take their pictures: real rates, out of step, with jitter."""

from __future__ import annotations

import math
import zlib

import numpy as np

_JITTER_SIGMA, _JITTER_MOST = 0.04, 0.10
"""Of a period: free-running cameras with an ordinary driver on an ordinary computer."""

_LATEST_PHASE = 0.35
"""Of a period: by how much the cameras are out of step."""


class Schedule:
    """When one free-running camera takes its pictures.

    A function of seed, sensor and frame number alone, so that a camera that was killed and started
    again goes on in the same rhythm.
    """

    def __init__(self, sensor: str, rate_hz: float, epoch_ns: int, seed: int) -> None:
        self._key = (seed, zlib.crc32(sensor.encode()))
        self._period_ns = 1e9 / rate_hz
        # Never so late that jitter shows one frame of the sequence twice: no camera repeats itself.
        phase = float(np.random.default_rng(self._key).uniform(0.0, _LATEST_PHASE))
        self._start_ns = epoch_ns + phase * self._period_ns

    def first_after(self, now_ns: int) -> int:
        """Return the number of the first frame that is certainly not over yet."""
        return max(0, math.ceil((now_ns - self._start_ns) / self._period_ns + _JITTER_MOST))

    def time_ns(self, number: int) -> int:
        """Return when a frame is taken, on the clock of the epoch."""
        draw = float(np.random.default_rng((*self._key, number)).normal(0.0, _JITTER_SIGMA))
        jitter = min(max(draw, -_JITTER_MOST), _JITTER_MOST)
        return round(self._start_ns + (number + jitter) * self._period_ns)
