"""Sensors compared with each other, look by look: the figures, and what is made of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations

from anymodal_seg_ros.sensing.health.accord.contradiction import (
    Contradiction,
    Doubt,
    NormalAccord,
    Pair,
    pair_of,
)
from anymodal_seg_ros.sensing.health.accord.misalignment import Misalignment
from anymodal_seg_ros.sensing.health.accord.structure import RunningAccord, Structure

AWAY_NS = 5_000_000_000
"""A sensor that was in no look for this long is met as a new one."""

STALE_NS = 2_000_000_000
"""What two sensors had in common before this is no more of now."""


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
            The accord of each two of them.
        """
        accords = {}
        for one, other in combinations(sorted(structures), 2):
            pair = pair_of(one, other)
            last_ns, running = self._running.get(pair, (time_ns, None))
            if running is None or not 0 <= time_ns - last_ns <= STALE_NS:
                running = RunningAccord()
            self._running[pair] = (time_ns, running)
            accords[pair] = running.add(structures[pair[0]], structures[pair[1]]).here
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
        return self._test.look(accords)

    @property
    def doubted(self) -> frozenset[str]:
        """The sensors that contradict the others."""
        return self._test.doubted

    @property
    def blamed(self) -> frozenset[str]:
        """Those of them that are known to be wrong, and not the others."""
        return self._test.blamed
