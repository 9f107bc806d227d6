"""The checks of one sensor as they run: verdicts with hysteresis, at a bounded cost.

Cheap figures are taken of every image. The others take turns: those of one turn at a time and not
more often than ten times in a second, but all of them in the first image, and every one that has
its doubts at once. In between, the last verdict holds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from anymodal_seg_ros.frames import CheckResult, SensorState
from anymodal_seg_ros.sensing.health.damage.drowned import DrownedWatch
from anymodal_seg_ros.sensing.health.figures.image_figures import Grid
from anymodal_seg_ros.sensing.health.figures.order import median
from anymodal_seg_ros.sensing.health.kinds import FigureCheck, Measure
from anymodal_seg_ros.sensing.health.sensor_health import Fault

MARGIN = 0.1
"""A failing check passes again only this share beyond its threshold, so that it does not flap."""

_TURN_NS = 90_000_000
_AGO_NS, _MOST_AGO_NS, _APART_NS = 390_000_000, 1_200_000_000, 190_000_000
"""An image of at least and at most so long ago is one of a moment ago; how far apart some are kept.
"""
_FEWEST = 4
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
        self._came_to_it = False
        """Whether the robot has come to what fails by and by, and is still there."""
        self.result = CheckResult(self.check.name, float("nan"), self.threshold, True)
        """The last figure beside its threshold; NaN before the first."""

    @property
    def turn(self) -> str:
        """Whose turn it is measured in."""
        return self.check.turn or self.check.name

    @property
    def doubtful(self) -> bool:
        """Whether its last figure failed, but not often enough for a verdict, or fails now."""
        return self._suspicions > 0

    @property
    def measured_ns(self) -> int:
        """When its last figure was taken; long ago if none was."""
        return -(1 << 62) if self._measured_ns is None else self._measured_ns

    def deciding(
        self, figure: float | None, sampled: Grid, *, at_once: bool = False
    ) -> float | None:
        """Return what decides of an image.

        Another figure, where there is one, of a sensor that never was healthy, and of one that has
        not drowned in noise ``at_once``: at night every camera is noisy in the end.
        """
        otherwise = self.check.otherwise
        if otherwise is None or figure is None or not self._beyond(figure, MARGIN):
            return figure
        return figure if at_once and self._is_news() else otherwise(sampled)

    def judge(
        self,
        figure: float | None,
        now_ns: int,
        comes_to_it: bool = False,
        usual: float | None = None,
    ) -> None:
        """Come to a verdict by the figure of an image.

        Args:
            figure: that decides; None if it says nothing.
            now_ns: when it came.
            comes_to_it: whether what may fail in it was there already in one of a moment ago.
            usual: what is remembered as the sensor's own; None: the same figure.
        """
        self._measured_ns = now_ns
        if figure is None:
            return  # such an image says nothing: the last verdict holds
        self._figure = figure
        failing = self._failing_since_ns is not None
        beyond = self._beyond(figure, MARGIN if failing or self._came_to_it else 0.0)
        self._came_to_it = beyond and not failing and (self._came_to_it or comes_to_it)
        judged = self.check.otherwise is not None or self._is_news()
        if not beyond or self._came_to_it or not judged:
            self._suspicions, self._failing_since_ns = 0, None
            self._normal.append(figure if usual is None else usual)
        else:
            self._suspicions += 1
            if not failing and self._suspicions >= self.check.confirm:
                self._failing_since_ns = now_ns
        passed = self._failing_since_ns is None
        self.result = CheckResult(self.check.name, figure, self.threshold, passed)

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

    def begins(self, figure: float | None) -> bool:
        """Whether a figure fails that did not fail before."""
        return (
            figure is not None
            and self._failing_since_ns is None
            and not self._came_to_it
            and self._beyond(figure, 0.0)
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
        self._cheap = [one for one in self._running if not one.check.in_turn]
        self._slow = [one for one in self._running if one.check.in_turn]
        self._turn_ns: int | None = None
        self._remembers = any(one.check.was_there for one in self._running)
        noisy = any(one.check.otherwise for one in self._running)
        self._drowned = DrownedWatch() if noisy else None
        self._ago: deque[tuple[int, Grid]] = deque()
        """Some of the last images, without all their pixels, and when they came."""

    def forget(self) -> None:
        """Begin anew."""
        self._turn_ns = None
        self._ago.clear()
        if self._drowned is not None:
            self._drowned.forget()
        for running in self._running:
            running.forget()

    def inspect(self, sampled: Grid, now_ns: int) -> list[tuple[CheckResult, Fault | None]]:
        """Measure an image, and return every check's verdict."""
        taken: dict[Measure, float | None] = {}  # some checks go by the same figure
        at_once = self._drowned is not None and self._drowned.look(sampled, now_ns)
        for running in (*self._cheap, *self._whose_turn(now_ns)):
            measure = running.check.measure
            if measure not in taken:
                taken[measure] = measure(sampled)
            usual, was_there = taken[measure], running.check.was_there
            figure = running.deciding(usual, sampled, at_once=at_once)
            before = self._a_moment_ago(now_ns) if was_there and running.begins(figure) else None
            came = was_there is not None and before is not None and was_there(sampled, before)
            running.judge(figure, now_ns, came, usual)
        if self._remembers:
            self._keep(sampled, now_ns)
        return [(running.result, running.fault(now_ns)) for running in self._running]

    def _whose_turn(self, now_ns: int) -> list[RunningCheck]:
        slow = self._slow
        if self._turn_ns is None:
            self._turn_ns = now_ns
            return slow
        chosen = [running for running in slow if running.doubtful]
        turns = (now_ns - self._turn_ns) // _TURN_NS  # of a slow sensor, several at once
        if turns > 0 and slow:
            self._turn_ns = now_ns
            longest_ago = sorted(slow, key=lambda running: running.measured_ns)
            due = list(dict.fromkeys(running.turn for running in longest_ago))[:turns]
            chosen += [one for one in slow if one.turn in due and one not in chosen]
        return chosen

    def _keep(self, sampled: Grid, now_ns: int) -> None:
        if self._ago and 0 <= now_ns - self._ago[-1][0] < _APART_NS:
            return
        few = sampled.values
        self._ago.append((now_ns, replace(sampled, pixels=few, neighbours=few)))
        while len(self._ago) > 1 and not 0 <= now_ns - self._ago[1][0] < _AGO_NS:
            self._ago.popleft()

    def _a_moment_ago(self, now_ns: int) -> Grid | None:
        for time_ns, sampled in self._ago:
            if _AGO_NS <= now_ns - time_ns <= _MOST_AGO_NS:
                return sampled
        return None
