"""How far a build is: TensorRT's nested phases as one share that only grows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Tell = Callable[[float, str], None]
"""Takes the share that is done, 0 to 1, and the phase in TensorRT's words."""


@dataclass(slots=True)
class _Phase:
    name: str
    parent: str
    steps: int
    done: int = 0


class Phases:
    """The phases that are under way. Safe for threads: TensorRT calls from several.

    Args:
        tell: called when there is news, never with a smaller share than before.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._share = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Take note that a phase has begun, alone or within another one."""
        with self._lock:
            self._phases[name] = _Phase(name, parent or "", max(1, steps))
            news = self._news(name)
        self._tell(*news)

    def step(self, name: str, step: int) -> None:
        """Take note that a step of a phase is done, counted from 0."""
        with self._lock:
            if (phase := self._phases.get(name)) is None:
                return
            phase.done = min(max(phase.done, step + 1), phase.steps)
            news = self._news(name)
        self._tell(*news)

    def finish(self, name: str) -> None:
        """Take note that a phase is over."""
        with self._lock:
            self._phases.pop(name, None)

    def _news(self, name: str) -> tuple[float, str]:
        share = max((self._part(p) for p in self._phases.values() if not p.parent), default=0.0)
        self._share = max(self._share, min(share, 1.0))
        return self._share, name

    def _part(self, phase: _Phase) -> float:
        """Return how much of a phase is done, what is done within its current step included."""
        within = [self._part(p) for p in self._phases.values() if p.parent == phase.name]
        return min(1.0, (phase.done + max(within, default=0.0)) / phase.steps)


def monitor(trt: Any, phases: Phases, cancelled: Callable[[], bool]) -> Any:
    """Return an ``IProgressMonitor`` that tells phases and asks whether to go on."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 demands this form

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            phases.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            phases.step(phase_name, step)
            return not cancelled()

        def phase_finish(self, phase_name: str) -> None:
            phases.finish(phase_name)

    return Monitor()
