"""Sensors compared with each other, look by look: the figures, and what is made of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from statistics import median

from anymodal_seg_ros.sensing.health.accord.contradiction import (
    Contradiction,
    Doubt,
    NormalAccord,
    Pair,
    pair_of,
)
from anymodal_seg_ros.sensing.health.accord.misalignment import Misalignment
from anymodal_seg_ros.sensing.health.accord.structure import (
    RunningAccord,
    Structure,
    likeness,
)

AWAY_NS = 5_000_000_000
"""A sensor that was in no look for this long is met as a new one."""

STALE_NS = 2_000_000_000
"""What two sensors had in common before this is no more of now."""

STILL = 0.68
"""Likeness of the other cameras' pictures to those of the look before, in their median, above which
event cameras are not judged: only what moves is in their pictures then, too little to know a lie.
In drives it is 0.66 at most, where a robot stands 0.71 and more."""


class SensorComparison:
    """What is known of the accord of some sensors. Deterministic: it has no clock of its own.

    Attributes:
        misalignment: where each sensor lies against the first.
    """

    def __init__(
        self,
        normal: NormalAccord,
        kinds: Mapping[str, str],
        evidence: float,
        misaligned_above: float,
    ) -> None:
        """Begin without a look.

        Args:
            normal: what is normal for the kinds of sensors.
            kinds: modality of each sensor by its name, the first sensor first.
            evidence: at which a sensor is doubted, in nats.
            misaligned_above: displacement that is told, as a share of the width; 0: none.
        """
        self._kinds = dict(kinds)
        self._of_changes = {name for name, kind in kinds.items() if kind == "event"}
        self._last: dict[str, tuple[int, Structure]] = {}
        self._still = True
        self._test = Contradiction(normal, self._kinds, evidence)
        self.misalignment = Misalignment(misaligned_above)
        self._running: dict[Pair, tuple[int, RunningAccord]] = {}
        self._seen: dict[str, int] = {}

    def compare(self, time_ns: int, structures: Mapping[str, Structure]) -> dict[Pair, float]:
        """Compare each two sensors that have something to tell; this is what takes time.

        Args:
            time_ns: of the look, on any one clock.
            structures: of the sensors whose pictures are clear.

        Returns:
            The accord of each two of them that have been compared often enough to say: what is
            usual was learned of as many looks together.
        """
        self._still = self._stands(time_ns, structures)
        self._last |= {name: (time_ns, structure) for name, structure in structures.items()}
        accords = {}
        for one, other in combinations(sorted(structures), 2):
            pair = pair_of(one, other)
            last_ns, running = self._running.get(pair, (time_ns, None))
            if running is None or not 0 <= time_ns - last_ns <= STALE_NS:
                running = RunningAccord()
            self._running[pair] = (time_ns, running)
            here = running.add(structures[pair[0]], structures[pair[1]]).here
            if running.full:
                accords[pair] = here
        first = next((name for name in self._kinds if name in structures), None)
        if first is not None:
            self.misalignment.look(first, structures, accords)
        return accords

    def judge(
        self, time_ns: int, present: Collection[str], accords: Mapping[Pair, float]
    ) -> Mapping[str, Doubt]:
        """Let the test decide.

        Args:
            time_ns: of the look.
            present: all sensors that were looked at, clear or not.
            accords: as :meth:`compare` has returned them.

        Returns:
            What is held of each sensor that can be judged.
        """
        for name in present:
            if time_ns - self._seen.get(name, time_ns) > AWAY_NS:
                self._test.forget(name)
                self.misalignment.forget(name)
            self._seen[name] = time_ns
        return self._test.look(accords, unjudged=self._of_changes if self._still else ())

    def _stands(self, time_ns: int, structures: Mapping[str, Structure]) -> bool:
        """Whether nothing is known to have moved in the pictures of cameras since the last look."""
        moved = []
        for name, structure in structures.items():
            last_ns, last = self._last.get(name, (time_ns, structure))
            same_shape = last.edges.shape == structure.edges.shape
            if name not in self._of_changes and 0 < time_ns - last_ns <= STALE_NS and same_shape:
                moved.append(likeness(last, structure))
        return not moved or median(moved) > STILL

    @property
    def doubted(self) -> frozenset[str]:
        """The sensors that contradict the others."""
        return self._test.doubted

    @property
    def blamed(self) -> frozenset[str]:
        """Those of them that are known to be wrong, and not the others."""
        return self._test.blamed
