"""Which masks a figure is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from anymodal_seg_ros.config import did_you_mean, text
from anymodal_seg_ros.evaluation.scorecard.cases import FAULTS, HEALTHY, SUBSET, FaultWindow
from anymodal_seg_ros.evaluation.scorecard.runs.records import MaskRecord
from anymodal_seg_ros.evaluation.scorecard.runs.run_folder import Run
from anymodal_seg_ros.frames import SensorState

ALL = "all"
"""Instead of the name of a case."""

_MOST_NAMES = 20
"""Of those that there are: a fleet has thousands of bags."""

DOWN, ALIVE = "down", "alive"
"""Instead of one state: any in which a sensor has failed, any in which it is fused."""

_MEANT = {
    DOWN: frozenset(state.value for state in SensorState if state.down),
    ALIVE: frozenset(state.value for state in SensorState if state.alive),
}

STATES = (DOWN, ALIVE, *(state.value for state in SensorState))
"""What may be chosen as a state."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Chooses masks; what is left empty chooses all.

    Without a case it is the masks with the given timeline if there is one, else those of sensors
    that are well. A subset looks, besides, at the cases in which only these sensors took part; a
    fault at the cases that have it.
    """

    bag: str = text("", "Name of a bag")
    condition: str = text("", "Condition of the bags, e.g. night")
    case: str = text("", "Name of a case, or 'all'")
    subset: str = text("", "Sensors that were fused, e.g. rgb+thermal, in any order")
    sensor: str = text("", "Name of a sensor: of a state, a vote, or a fault")
    state: str = text("", "State of the sensor, e.g. FROZEN; 'down' and 'alive' are several")
    fault: str = text("", "Kind of a fault, e.g. off or garbage-noise: masks due while it lasts")
    class_name: str = text("", "Name of a class")
    window: tuple[float, ...] = dataclasses.field(default=(), metadata={})

    def runs(self, runs: Sequence[Run]) -> list[Run]:
        """Return the runs whose masks are chosen."""
        with_timeline = {run.bag for run in runs if is_timeline(run.case)}
        return [
            run
            for run in runs
            if self.bag in ("", run.bag)
            and self.condition in ("", run.condition)
            and self._has_case(run, run.bag in with_timeline)
        ]

    def records(self, run: Run) -> Iterator[MaskRecord]:
        """Yield the chosen masks of a chosen run."""
        wanted = self.sensors
        for record in run.records:
            if wanted and set(record.sensors) != wanted:
                continue
            if self.state and not is_state(record.states.get(self.sensor, ""), self.state):
                continue
            if self.window and not self.window[0] <= record.time_s < self.window[1]:
                continue
            if self.fault and not self._in_fault(run, record.time_s):
                continue
            yield record

    def _has_case(self, run: Run, has_timeline: bool) -> bool:
        if self.case:
            return self.case in (ALL, run.case)
        if self.fault:
            return any(map(self.is_fault, run.windows))
        if self.subset and run.case.startswith(SUBSET):
            return True
        return is_timeline(run.case) if has_timeline else run.case == HEALTHY

    def _in_fault(self, run: Run, time_s: float) -> bool:
        return any(self.is_fault(w) and w.start_s <= time_s < w.end_s for w in run.windows)

    def is_fault(self, window: FaultWindow) -> bool:
        """Whether a fault is one of the chosen ones."""
        return is_kind(window.label, self.fault) and self.sensor in ("", window.sensor)

    @property
    def sensors(self) -> frozenset[str]:
        """Those of the chosen subset; empty for any."""
        return frozenset(filter(None, self.subset.split("+")))

    def unheard_of(self, runs: Sequence[Run]) -> str:
        """Say which name of the choice is of nothing in the runs; empty if all are of something.

        Nothing would be found of it, which is as good as any other nought.
        """
        asked: list[tuple[str, str, Iterable[str]]] = [
            ("bag", self.bag, (run.bag for run in runs)),
            ("condition", self.condition, (run.condition for run in runs)),
            ("class", self.class_name, (name for run in runs for name in run.classes)),
            ("state", self.state, STATES),
        ]
        for name in (self.sensor, *self.subset.split("+")):
            asked.append(("sensor", name, (name for run in runs for name in run.sensors)))
        for what, name, there in asked:
            known = dict.fromkeys(filter(None, there)) if name else {}
            if known and name not in known:
                near = did_you_mean(name, known)
                more = " …" if len(known) > _MOST_NAMES else ""
                told = ", ".join([*known][:_MOST_NAMES])
                return f"no {what} {name}: {near}there are {told}{more}"
        return ""

    def describe(self) -> str:
        """Return the choice in words; empty if all masks are meant."""
        parts = [
            f"{name.removesuffix('_name')} {getattr(self, name)}"
            for name in (
                "bag",
                "condition",
                "case",
                "subset",
                "sensor",
                "state",
                "fault",
                "class_name",
            )
            if getattr(self, name)
        ]
        if self.window:
            parts.append(f"{self.window[0]:g} to {self.window[1]:g} s")
        return ", ".join(parts)


def is_timeline(case: str) -> bool:
    """Whether a case is the replay with a timeline that somebody gave."""
    return case == FAULTS or case.startswith(FAULTS + "-")


def is_state(state: str, wanted: str) -> bool:
    """Whether a state is the wanted one, or one of those that the word stands for."""
    return state in _MEANT.get(wanted, frozenset({wanted}))


def is_kind(label: str, wanted: str) -> bool:
    """Whether a fault's label is the wanted one, or a way of the wanted kind."""
    return label == wanted or label.startswith(wanted + "-")
