"""Who contradicts the others? A sequential test on what the sensors have in common.

A sensor that shows the world is vouched for by at least one of the others. One that shows another
world - mirrored, exchanged, turned, of the past - has with each of them only what any two pictures
have by chance. So what counts is the *best* of its accords with the others, and the question is
which of two it comes from: what is usual for this sensor, here and now, or chance.

Each look adds the logarithm of the ratio of the two likelihoods, bounded, so that no single look
decides: a CUSUM after Page (1954). Were the looks independent and the likelihoods exact, the mean
time between false alarms would be at least e^threshold looks (Lorden, 1971). What is usual is
learned beforehand for each two kinds of sensors and then followed slowly, while there is no doubt:
streets differ more than the frames of one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Pair = tuple[str, str]
"""Two sensors or kinds of sensors, in the order of their names."""

MOST_STEP = 3.0
"""Most nats that one look may add, either way."""

_FOLLOW = 0.05
"""How fast what is usual follows what is seen."""

_CALM = 0.25
"""Share of the threshold up to which a sensor is believed enough to learn from it."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A normal distribution of ``log(1 + accord)``."""

    mean: float
    deviation: float

    def log_density(self, value: float) -> float:
        """Logarithm of the density, but for a constant."""
        return -0.5 * ((value - self.mean) / self.deviation) ** 2 - math.log(self.deviation)


@dataclass(frozen=True, slots=True)
class Chance(Spread):
    """What pictures of two worlds have in common.

    Attributes:
        often: accord that a tenth of them exceeds: what lies above is no evidence of a lie.
        hardly: accord that a hundredth exceeds: what lies above vouches for a sensor.
    """

    often: float
    hardly: float


@dataclass(frozen=True, slots=True)
class NormalAccord:
    """What is normal for the kinds of sensors that a model knows.

    Attributes:
        usual: accord of each two kinds of sensors of one world.
        chance: best accord with so many others of another world, for 1, 2, 3 … of them.
        looks: how many looks it was learned from.
    """

    usual: Mapping[Pair, Spread]
    chance: Sequence[Chance]
    looks: int

    def knows(self, one: str, other: str) -> bool:
        """Whether anything was learned of two kinds of sensors."""
        return pair_of(one, other) in self.usual


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is held of one sensor.

    Attributes:
        doubted: whether it contradicts the others.
        blamed: whether two of the others vouch for each other, so that it is known who is wrong.
        accord: best accord with another sensor, in standard deviations of chance.
        usual: what that usually is.
        evidence: for its being of another world, in nats.
    """

    doubted: bool
    blamed: bool
    accord: float
    usual: float
    evidence: float


@dataclass(slots=True)
class _Record:
    offset: float = 0.0
    """What is usual here, against what is usual anywhere."""
    evidence: float = 0.0
    doubted: bool = False
    blamed: bool = False


@dataclass(slots=True)
class Contradiction:
    """The test. Deterministic: what it holds depends on the looks that it was given alone.

    Attributes:
        normal: what was learned beforehand.
        kinds: modality of each sensor, by its name.
        threshold: evidence at which a sensor is doubted, in nats.
    """

    normal: NormalAccord
    kinds: Mapping[str, str]
    threshold: float
    _records: dict[str, _Record] = field(default_factory=dict)

    def look(self, accords: Mapping[Pair, float]) -> Mapping[str, Doubt]:
        """Take one look.

        Args:
            accords: of each two living sensors that have something to tell.

        Returns:
            What is held of each of them now.
        """
        present = sorted({name for pair in accords for name in pair})
        found = {}
        for name in present:
            others = [n for n in present if n != name and not self._is_doubted(n)]
            others = [n for n in others if self.normal.knows(self.kinds[name], self.kinds[n])]
            if others:
                found[name] = self._weigh(name, others, accords)
        self._decide(list(found), accords)
        return {name: self._held(name, *found[name]) for name in found}

    @property
    def doubted(self) -> frozenset[str]:
        """The sensors that contradict the others."""
        return frozenset(name for name, record in self._records.items() if record.doubted)

    @property
    def blamed(self) -> frozenset[str]:
        """Those of them that are known to be wrong, and not the others."""
        return frozenset(name for name, record in self._records.items() if record.blamed)

    def forget(self, sensor: str) -> None:
        """Begin anew with a sensor that was away."""
        self._records.pop(sensor, None)

    def certain(self, accord: float) -> bool:
        """Whether two sensors have more in common than two worlds ever have."""
        return accord > self.normal.chance[0].hardly

    def _is_doubted(self, name: str) -> bool:
        return name in self._records and self._records[name].doubted

    def _weigh(
        self, name: str, others: Sequence[str], accords: Mapping[Pair, float]
    ) -> tuple[float, float]:
        """Weigh a sensor's best accord. Returns it, and what is usual."""
        record = self._records.setdefault(name, _Record())
        spreads = [self.normal.usual[pair_of(self.kinds[name], self.kinds[n])] for n in others]
        chance = self.normal.chance[min(len(others), len(self.normal.chance)) - 1]
        usual = max(spreads, key=lambda s: s.mean)
        usual = Spread(max(usual.mean + record.offset, chance.mean), usual.deviation)
        best = max(accords[pair_of(name, n)] for n in others)
        value = math.log1p(max(best, 0.0))
        # Less than chance is chance, and more than usual is usual.
        ratio = chance.log_density(max(value, chance.mean)) - usual.log_density(
            min(value, usual.mean)
        )
        step = -MOST_STEP if best > chance.hardly else min(max(ratio, -MOST_STEP), MOST_STEP)
        if best > chance.often:
            step = min(step, 0.0)
        record.evidence = min(max(record.evidence + step, 0.0), 1.2 * self.threshold)
        if record.evidence <= _CALM * self.threshold and not record.doubted:
            record.offset += _FOLLOW * (value - usual.mean)
        return best, math.expm1(usual.mean)

    def _decide(self, present: Sequence[str], accords: Mapping[Pair, float]) -> None:
        """Believe those with nothing against them; doubt the one with the most."""
        for name in present:
            record = self._records[name]
            if record.doubted and record.evidence <= 0.0:
                record.doubted = record.blamed = False
        suspects = [
            name
            for name in present
            if self._records[name].evidence >= self.threshold and not self._records[name].doubted
        ]
        if not suspects:
            return
        witnessed = [name for name in suspects if self._witnessed(name, present, accords)]
        if not witnessed:  # nobody knows which of them it is
            for name in suspects:
                self._records[name].doubted = True
            return
        blamed = min(witnessed, key=lambda name: (self._standing(name, present, accords), name))
        self._records[blamed].doubted = self._records[blamed].blamed = True
        for name in witnessed:
            if name != blamed:  # it may have had the liar alone to vouch for it
                self._records[name].evidence = 0.0

    def _standing(self, name: str, present: Sequence[str], accords: Mapping[Pair, float]) -> float:
        """Return how well all others together vouch for a sensor, against what is usual."""
        total = 0.0
        for other in present:
            kinds = pair_of(self.kinds[name], self.kinds[other])
            if other != name and kinds in self.normal.usual:
                usual = self.normal.usual[kinds]
                value = math.log1p(max(accords[pair_of(name, other)], 0.0))
                total += (value - usual.mean) / usual.deviation
        return total

    def _witnessed(self, name: str, present: Sequence[str], accords: Mapping[Pair, float]) -> bool:
        """Whether two others that are not doubted vouch for each other."""
        others = [n for n in present if n != name and not self._is_doubted(n)]
        return any(self.certain(accords[pair_of(a, b)]) for a in others for b in others if a < b)

    def _held(self, name: str, best: float, usual: float) -> Doubt:
        record = self._records[name]
        return Doubt(record.doubted, record.blamed, best, usual, record.evidence)


def pair_of(one: str, other: str) -> Pair:
    """Return two names in their order."""
    return (one, other) if one <= other else (other, one)
