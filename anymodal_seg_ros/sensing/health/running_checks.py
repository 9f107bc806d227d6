"""The checks of one sensor as they run: verdicts with hysteresis, at a bounded cost.

Cheap figures are taken of every image. The others take turns: one of them at a time and not more
often than ten times in a second, but all of them in the first image, and every one that has its
doubts at once. In between, the last verdict holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from anymodal_seg_ros.frames import CheckResult, SensorState
from anymodal_seg_ros.sensing.health.image_figures import Grid
from anymodal_seg_ros.sensing.health.kinds import FigureCheck, Measure
from anymodal_seg_ros.sensing.health.order import median
from anymodal_seg_ros.sensing.health.sensor_health import Fault

MARGIN = 0.1
"""A failing check passes again only this share beyond its threshold, so that it does not flap."""

_TURN_NS = 90_000_000
_FEWEST = 5
_MEMORY = 50
"""Figures from which the sensor's own normal is known, and so many of them at least."""


class RunningCheck:
    """A check that is switched on: its verdict, and since when it has been failing."""

    def __init__(self, check: FigureCheck, threshold: float, patience_ns: int) -> None:
        """Begin with a sensor that has failed nothing.

        Args:
            check: what is measured.
            threshold: where it fails.
            patience_ns: how long it may fail before that is a failure of the sensor.
        """
        self.check = check
        self.threshold = threshold
        self._patience_ns = patience_ns
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._failing_since_ns: int | None = None
        self._suspicions = 0
        self._figure: float | None = None
        self._normal: deque[float] = deque(maxlen=_MEMORY)
        self._measured_ns: int | None = None

    @property
    def doubtful(self) -> bool:
        """Whether its last figure failed, but not often enough for a verdict, or fails now."""
        return self._suspicions > 0

    @property
    def measured_ns(self) -> int:
        """When its last figure was taken; long ago if none was."""
        return -(1 << 62) if self._measured_ns is None else self._measured_ns

    def judge(self, figure: float | None, now_ns: int) -> None:
        """Come to a verdict by the figure of an image."""
        self._measured_ns = now_ns
        if figure is None:
            return  # such an image says nothing: the last verdict holds
        self._figure = figure
        failing = self._failing_since_ns is not None
        if not self._beyond(figure, MARGIN if failing else 0.0) or not self._is_news():
            self._suspicions, self._failing_since_ns = 0, None
            self._normal.append(figure)
            return
        self._suspicions += 1
        if not failing and self._suspicions >= self.check.confirm:
            self._failing_since_ns = now_ns

    def result(self) -> CheckResult:
        """Return the last figure beside its threshold; NaN before the first."""
        figure = float("nan") if self._figure is None else self._figure
        passed = self._failing_since_ns is None
        return CheckResult(self.check.name, figure, self.threshold, passed)

    def fault(self, now_ns: int) -> Fault | None:
        """Say what is wrong, and what would be right: of a failed check, a tenth more."""
        if self._failing_since_ns is None or self._figure is None:
            return None
        above, limit = self.check.fails_above, self.threshold
        if not self._beyond(self._figure, 0.0):
            limit *= 1 - MARGIN if above else 1 + MARGIN
        return Fault(
            self.check.state,
            f"{self.check.name}: {self.check.figure} is {self._figure:.3g}, "
            f"expected {'at most' if above else 'at least'} {limit:.3g}",
            lasting=now_ns - self._failing_since_ns >= self._patience_ns,
            withhold=self.check.state is not SensorState.DEGRADED,
        )

    def _beyond(self, figure: float, margin: float) -> bool:
        if self.check.fails_above:
            return figure > self.threshold * (1 - margin)
        return figure < self.threshold * (1 + margin)

    def _is_news(self) -> bool:
        """Whether the sensor has not been like that from the start."""
        healthy = self.check.healthy
        if healthy is None:
            return True
        if len(self._normal) < _FEWEST:
            return False
        usual = median(np.array(self._normal))
        return usual < healthy if self.check.fails_above else usual > healthy


class Checks:
    """All running checks of a sensor, the gravest first."""

    def __init__(self, running: Iterable[RunningCheck]) -> None:
        """Take the checks that are switched on."""
        self._running = tuple(running)
        self._turn_ns: int | None = None

    def forget(self) -> None:
        """Begin anew."""
        self._turn_ns = None
        for running in self._running:
            running.forget()

    def inspect(self, sampled: Grid, now_ns: int) -> list[tuple[CheckResult, Fault | None]]:
        """Measure an image, and return every check's verdict."""
        taken: dict[Measure, float | None] = {}  # some checks go by the same figure
        cheap = [running for running in self._running if not running.check.in_turn]
        for running in (*cheap, *self._whose_turn(now_ns)):
            measure = running.check.measure
            if measure not in taken:
                taken[measure] = measure(sampled)
            running.judge(taken[measure], now_ns)
        return [(running.result(), running.fault(now_ns)) for running in self._running]

    def _whose_turn(self, now_ns: int) -> list[RunningCheck]:
        slow = [running for running in self._running if running.check.in_turn]
        if self._turn_ns is None:
            self._turn_ns = now_ns
            return slow
        chosen = [running for running in slow if running.doubtful]
        if now_ns - self._turn_ns >= _TURN_NS and slow:
            self._turn_ns = now_ns
            longest_ago = min(slow, key=lambda running: running.measured_ns)
            if longest_ago not in chosen:
                chosen.append(longest_ago)
        return chosen
