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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

Pair = tuple[str, str]
"""Two sensors or kinds of sensors, in the order of their names."""

MOST_STEP = 3.0
"""Most nats that one look may add, either way."""

_FOLLOW = 0.05
"""How fast what is usual follows what is seen."""

_FOLLOW_PAIR = 0.15
"""The same of two sensors, by which it is told who of several suspects it is."""

_SUSPECT = 0.15
"""Share of the threshold from which a sensor may be the one, once any has reached it."""

_FADED = 0.7
"""Two that have lost so much of what they had in common, in logarithms, are no witnesses."""

_APART = 1.2
"""How many times what is chance a sensor that is well must have, in all but one of fifty looks, to
be judged."""

_CALM = 0.25
"""Share of the threshold up to which a sensor is believed enough to learn from it."""


@dataclass(frozen=True, slots=True)
class LogSpread:
    """A normal distribution of ``log(1 + accord)``."""

    mean: float
    deviation: float

    def log_density(self, value: float) -> float:
        """Logarithm of the density, but for a constant."""
        return -0.5 * ((value - self.mean) / self.deviation) ** 2 - math.log(self.deviation)


@dataclass(frozen=True, slots=True)
class Usual(LogSpread):
    """What a sensor and the best of some others have in common.

    Attributes:
        seldom: accord that is not reached in one of fifty looks.
    """

    seldom: float


@dataclass(frozen=True, slots=True)
class Chance(LogSpread):
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
        usual: best accord of a kind of sensor with some others of the same world, by the kind and
            those of the others, in the order of their names.
        chance: best accord with so many others of another world, for 1, 2, 3 … of them.
        looks: how many looks it was learned from.
    """

    usual: Mapping[tuple[str, tuple[str, ...]], Usual]
    chance: Sequence[Chance]
    looks: int

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of sensors of which anything was learned."""
        return frozenset(kind for kind, _ in self.usual)

    def of(self, kind: str, others: Collection[str]) -> tuple[Usual, Chance] | None:
        """Return what is usual and what is chance for a sensor among others.

        None where nothing was learned of them, or where too little comes of it: where a sensor has
        by chance what it may have in good health, nobody can say that it lies.

        Args:
            kind: of the sensor.
            others: kinds of the others.
        """
        usual = self.usual.get((kind, tuple(sorted(set(others)))))
        chance = self.chance[min(len(others), len(self.chance)) - 1]
        if usual is None or usual.seldom <= _APART * chance.hardly:
            return None
        return usual, chance


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
    _here: dict[Pair, float] = field(default_factory=dict)

    def look(
        self, accords: Mapping[Pair, float], unjudged: Collection[str] = ()
    ) -> Mapping[str, Doubt]:
        """Take one look.

        Args:
            accords: of each two living sensors that have something to tell.
            unjudged: those of which nothing is to be concluded now. They vouch for others.

        Returns:
            What is held of each of them now.
        """
        present = sorted({name for pair in accords for name in pair})
        judged = {}
        for name in present:
            others = [n for n in present if n != name and not self._is_blamed(n)]
            if others and name not in unjudged:
                normal = self.normal.of(self.kinds[name], [self.kinds[n] for n in others])
                if normal is not None:
                    judged[name] = (others, *normal)
        if len(judged) < 2:  # who is judged needs a witness that can be judged itself
            judged = {}
        found = {
            name: self._weigh(name, others, accords, usual, chance)
            for name, (others, usual, chance) in judged.items()
        }
        self._decide(list(found), accords)
        self._follow(accords)
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

    def _is_blamed(self, name: str) -> bool:
        return name in self._records and self._records[name].blamed

    def _weigh(
        self,
        name: str,
        others: Sequence[str],
        accords: Mapping[Pair, float],
        anywhere: Usual,
        chance: Chance,
    ) -> tuple[float, float]:
        """Weigh a sensor's best accord. Returns it, and what is usual."""
        record = self._records.setdefault(name, _Record())
        usual = LogSpread(max(anywhere.mean + record.offset, chance.mean), anywhere.deviation)
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
        if self._calm(name):
            record.offset += _FOLLOW * (value - usual.mean)
        return best, math.expm1(usual.mean)

    def _decide(self, judged: Sequence[str], accords: Mapping[Pair, float]) -> None:
        """Believe those with nothing against them; doubt whom the others contradict most."""
        for name in judged:
            if self._records[name].evidence <= 0.0:
                self._believe(name)
        open_ = [name for name in judged if not self._records[name].blamed]
        reached = [n for n in open_ if self._records[n].evidence >= self.threshold]
        if not reached:
            return
        # Who had the liar alone to vouch for it is suspected as well, and maybe sooner.
        suspects = [n for n in open_ if self._records[n].evidence >= _SUSPECT * self.threshold]
        worst = min(suspects, key=lambda name: (self._standing(name, accords), name))
        if not self._witnessed(worst, accords):
            for name in reached:  # nobody knows which of them it is
                self._records[name].doubted = True
            return
        self._records[worst].doubted = self._records[worst].blamed = True
        for name in suspects:
            if name != worst:
                self._records[name].evidence = 0.0
                self._believe(name)

    def _believe(self, name: str) -> None:
        self._records[name].doubted = self._records[name].blamed = False

    def _standing(self, name: str, accords: Mapping[Pair, float]) -> float:
        """Return how far all others together vouch less for a sensor than they do here."""
        return sum(
            (math.log1p(max(value, 0.0)) - self._here.get(pair, 0.0)) / self._deviation(pair)
            for pair, value in accords.items()
            if name in pair
        )

    def _follow(self, accords: Mapping[Pair, float]) -> None:
        """Learn what two sensors have in common here, while neither is suspected."""
        for pair, value in accords.items():
            usual = self._usual(pair)
            here = self._here.setdefault(pair, 0.0 if usual is None else usual.mean)
            if all(self._calm(name) for name in pair):
                self._here[pair] += _FOLLOW_PAIR * (math.log1p(max(value, 0.0)) - here)

    def _calm(self, name: str) -> bool:
        record = self._records.get(name)
        return record is None or (not record.doubted and record.evidence <= _CALM * self.threshold)

    def _usual(self, pair: Pair) -> Usual | None:
        return self.normal.usual.get((self.kinds[pair[0]], (self.kinds[pair[1]],)))

    def _deviation(self, pair: Pair) -> float:
        usual = self._usual(pair)
        return 1.0 if usual is None else usual.deviation

    def _witnessed(self, name: str, accords: Mapping[Pair, float]) -> bool:
        """Whether two others that are not blamed vouch for each other."""
        return any(
            self.certain(value) and math.log1p(value) > self._here.get(pair, 0.0) - _FADED
            for pair, value in accords.items()
            if name not in pair and not any(self._is_blamed(other) for other in pair)
        )

    def _held(self, name: str, best: float, usual: float) -> Doubt:
        record = self._records[name]
        return Doubt(record.doubted, record.blamed, best, usual, record.evidence)


def pair_of(one: str, other: str) -> Pair:
    """Return two names in their order."""
    return (one, other) if one <= other else (other, one)
