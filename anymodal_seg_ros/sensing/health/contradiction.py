"""Who contradicts the others? A sequential test on what the sensors have in common.

A sensor that shows the world is vouched for by at least one of the others. One that shows another
world - mirrored, exchanged, turned, of the past - has with each of them only what any two pictures
have by chance. So what counts is the *best* of its accords with the others, and the question is
which of two it comes from: what is usual for this sensor, here and now, or chance.

Each look adds the logarithm of the ratio of the two likelihoods, bounded, so that no single look
decides (a CUSUM after Page, 1954; with independent looks the mean time between false alarms is
at least e^threshold looks: Lorden, 1971). What is usual is learned beforehand for each kind of
sensor and then followed slowly, while there is no doubt: streets differ more than frames of one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

Pair = tuple[str, str]
"""Two sensors, in the order of their names."""

CLEAR = 0.12
"""Clarity of a picture below which it has nothing to tell: noise has 3.3, lone pixels have 6."""

_STEP = 2.5
"""Most that one look may add, either way."""

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
class Normal:
    """What is normal for the sensors of a model.

    Attributes:
        usual: best accord of each kind of sensor with any of the others, by modality.
        chance: best of so many accords of unrelated pictures, by the number of the others.
        looks: how many looks it was learned from.
    """

    usual: Mapping[str, Spread]
    chance: Mapping[int, Spread]
    looks: int = 0


@dataclass(slots=True)
class _Record:
    usual: float
    doubt: float = 0.0
    doubted: bool = False
    best: float = 0.0
    voucher: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is held of one sensor.

    Attributes:
        doubted: whether it contradicts the others.
        alone: whether at least two others vouch for each other, so that it is known who is wrong.
        accord: best accord with another sensor, in standard deviations of chance.
        usual: what that usually is.
        evidence: for its being of another world, in nats.
    """

    doubted: bool
    alone: bool
    accord: float
    usual: float
    evidence: float


@dataclass(slots=True)
class Contradiction:
    """The test. Pure and deterministic: its state depends on the looks it was given alone.

    Attributes:
        normal: what was learned beforehand.
        modalities: of the sensors, by name.
        threshold: evidence at which a sensor is doubted, in nats.
    """

    normal: Normal
    modalities: Mapping[str, str]
    threshold: float = 10.0
    _records: dict[str, _Record] = field(default_factory=dict)

    def look(self, accords: Mapping[Pair, float], clear: Collection[str]) -> Mapping[str, Doubt]:
        """Take one look at all living sensors.

        Args:
            accords: of each two of them, in standard deviations of chance.
            clear: those whose pictures have something to tell. The others are not judged.

        Returns:
            What is held of each sensor that can be judged, and of those doubted before.
        """
        present = sorted({name for pair in accords for name in pair if name in clear})
        for name in present:
            record = self._records.setdefault(name, _Record(self._start(name)))
            record.best, record.voucher = self._best(name, present, accords)
        for name in present:
            self._weigh(name, len(present) - 1)
        self._decide(present)
        return {n: self._held(n, present, accords) for n in present}

    def doubted(self) -> frozenset[str]:
        """Return the sensors that contradict the others."""
        return frozenset(name for name, record in self._records.items() if record.doubted)

    def forget(self, sensor: str) -> None:
        """Begin anew with a sensor, e.g. after it was away."""
        self._records.pop(sensor, None)

    def _start(self, name: str) -> float:
        usual = self.normal.usual[self.modalities[name]]
        return usual.mean - usual.deviation

    def _best(
        self, name: str, present: Collection[str], accords: Mapping[Pair, float]
    ) -> tuple[float, str]:
        """Return the best accord with a sensor that is not doubted itself, and that sensor."""
        others = [n for n in present if n != name and not self._is_doubted(n)]
        found = [(accords.get(pair_of(name, other), 0.0), other) for other in others]
        return max(found, default=(0.0, ""))

    def _is_doubted(self, name: str) -> bool:
        record = self._records.get(name)
        return record is not None and record.doubted

    def _weigh(self, name: str, others: int) -> None:
        record = self._records[name]
        if others < 1 or not record.voucher:
            return
        chance = self.normal.chance[min(max(others, 1), max(self.normal.chance))]
        usual = self.normal.usual[self.modalities[name]]
        value = math.log1p(max(record.best, 0.0))
        # Not to be usual means to have less in common than usual.
        here = Spread(max(record.usual, chance.mean), usual.deviation)
        ratio = chance.log_density(max(value, chance.mean)) - here.log_density(
            min(value, here.mean)
        )
        step = min(max(ratio, -_STEP), _STEP)
        record.doubt = min(max(record.doubt + step, 0.0), 1.2 * self.threshold)
        if record.doubt <= _CALM * self.threshold and not record.doubted:
            record.usual += _FOLLOW * (value - record.usual)

    def _decide(self, present: Collection[str]) -> None:
        """Doubt the sensor with the most evidence against it; believe those without any."""
        for name in present:
            record = self._records[name]
            if record.doubted and record.doubt <= 0.0:
                record.doubted = False
        open_ = [n for n in present if not self._records[n].doubted]
        if not open_:
            return
        worst = max(open_, key=lambda n: (self._records[n].doubt, n))
        if self._records[worst].doubt >= self.threshold:
            tied = [n for n in open_ if self._records[n].doubt >= self.threshold]
            for name in tied if len(open_) == 2 else [worst]:
                self._records[name].doubted = True

    def _held(self, name: str, present: Collection[str], accords: Mapping[Pair, float]) -> Doubt:
        record = self._records[name]
        chance = self.normal.chance[1]
        limit = math.expm1(chance.mean + 3.0 * chance.deviation)
        others = [n for n in present if n != name]
        alone = any(
            accords.get(pair_of(a, b), 0.0) > limit for a in others for b in others if a < b
        )
        return Doubt(record.doubted, alone, record.best, math.expm1(record.usual), record.doubt)


def pair_of(one: str, other: str) -> Pair:
    """Return two sensors in the order of their names."""
    return (one, other) if one < other else (other, one)
