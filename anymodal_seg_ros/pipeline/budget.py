"""How long the work takes on this machine, and how much of it fits before the next frame.

When there is less time than work, it is spent in this order: the reference's encoder and the fusion
first, then the other sensors by their share of the votes and the age of what is known of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

_SMOOTHING = 0.1
_SPREADS = 2
"""Mean deviations above the mean that are allowed for, as with TCP's time-out (RFC 6298: 4)."""
_MOST = 2
"""Times the usual duration that one piece of work counts as at most."""
_LESS, _MORE = 0.5, 0.02
"""What a lost frame leaves of the credit to come, and what each later frame gives back of it."""
_UP = 0.02
"""How fast the least duration follows longer ones; shorter ones it follows at once."""
_YOUNG = 30
"""Pieces of work within which one that takes less than half of the usual is the usual one: at first
engines compile and allocate, and what that takes must not keep others out for seconds."""
_LOOKED_AT = 10
_BEHIND_AT = 3
_SETTLED = 10


class RunningCost:
    """The usual duration of one kind of work, in nanoseconds.

    Attributes:
        ns: the mean of late.
        least_ns: what it took when nobody else wanted the cores.
    """

    def __init__(self) -> None:
        """Begin without knowing: unknown work costs nothing, so it is tried."""
        self.ns = 0
        self.least_ns = 0
        self._spread_ns = 0
        self._pieces = 0

    @property
    def high_ns(self) -> int:
        """What it hardly ever takes longer than: others may take the cores at any time."""
        return self.ns + _SPREADS * self._spread_ns

    def observe(self, took_ns: int) -> None:
        """Take note of one piece of work. That one stood still says little of the next."""
        self._pieces += 1
        if not self.ns or (self._pieces <= _YOUNG and 2 * took_ns < self.ns):
            self.ns, self._spread_ns = took_ns, 0
        off_ns = min(took_ns, _MOST * self.ns) - self.ns
        self.ns = round(self.ns + _SMOOTHING * off_ns)
        self._spread_ns += round(_SMOOTHING * (abs(off_ns) - self._spread_ns))
        longer_ns = min(took_ns, _MOST * self.ns) - self.least_ns
        if not self.least_ns or longer_ns < 0:
            self.least_ns = took_ns
        else:
            self.least_ns += round(_UP * longer_ns)


class Budget:
    """The time that the other sensors may take up beside the reference and the fusion.

    Every reference frame brings credit: what its period leaves of the threads' time. Encoding
    another sensor's sample costs some of it. So a piece of work that does not fit into what one
    period leaves still gets its turn every few frames, and the reference never has to pay for it.

    What is left is reckoned, and the reckoning knows nothing of whoever else wants the cores. So
    the others are given less when a frame was lost all the same, and little by little more again:
    as TCP finds its share of a line that others use, too (RFC 5681).

    Attributes:
        threads: how many work.
        encode: what encoding one sample takes, whoever's.
        credit_ns: what may be spent on other sensors now.
    """

    def __init__(self, budget_ns: int, threads: int = 1) -> None:
        """Set up; a budget of 0 means one period of the reference sensor."""
        self._budget_ns = budget_ns
        self.threads = threads
        self.encode = RunningCost()
        self.credit_ns = 0
        self._encode: dict[str, RunningCost] = {}
        self._share = 1.0
        self._fuse: dict[int, RunningCost] = {}
        self._fused_last = 0
        self._next_ns, self._given_up_ns = 0, 0

    def encoded(self, sensor: str, took_ns: int) -> None:
        """Take note of one encoding; all that becomes of a message before counts as well."""
        self.encode.observe(took_ns)
        self._encode.setdefault(sensor, RunningCost()).observe(took_ns)

    def encoding(self, sensor: str) -> RunningCost:
        """Return what encoding a sample of one sensor takes; as of all while nothing is known.

        They differ: a scan is projected, a large picture is scaled, a network may have an encoder
        for each kind.
        """
        return self._encode.get(sensor, self.encode)

    def take_parameters_of(self, other: Budget) -> None:
        """Go on with the budget of another one; what work costs is known already."""
        self._budget_ns = other._budget_ns

    def expect(self, next_ns: int, period_ns: int) -> None:
        """Say when the next frame of the reference sensor should come, and how long to look out."""
        self._next_ns, self._given_up_ns = next_ns, next_ns + period_ns

    def leaves_a_thread(self, sensor: str, now_ns: int, others_end_ns: Collection[int]) -> bool:
        """Whether the reference's next frame would find a thread, if one more sample is encoded.

        Credit alone does not see to that: other processes take the cores at any time, and what is
        measured of that is the past. A single thread has nothing but its credit to go by.

        Args:
            sensor: whose sample.
            now_ns: on the clock of the messages' arrival.
            others_end_ns: when the encoding of other sensors' samples should end that has begun;
                of what should have ended, nobody knows when it will.
        """
        if self.threads < 2 or now_ns >= self._given_up_ns:
            return True
        next_ns = max(self._next_ns, now_ns)
        taken = sum(end_ns > next_ns or end_ns < now_ns for end_ns in others_end_ns)
        if now_ns + self.encoding(sensor).high_ns > next_ns:
            taken += 1
        return taken < self.threads

    def frame_came(self, reference: str, period_ns: int, sensors: int) -> None:
        """Take note of a reference frame: what its period leaves can be spent.

        If the reference alone takes longer than its period, frames are lost whatever is left out:
        then the others get as much as the reference.
        """
        needed_ns = self.encoding(reference).ns + self.fuse_ns(sensors)
        # Beside others the reference may take longer than it does alone: then nothing is left.
        left_ns = round(self._share * max(0, self.threads * period_ns - needed_ns))
        self._share = min(1.0, self._share + _MORE)
        if not self.reference_fits(reference, period_ns, sensors):
            left_ns = period_ns // 2
        dearest_ns = max((cost.ns for cost in self._encode.values()), default=self.encode.ns)
        most_ns = max(2 * self.threads * period_ns, 2 * dearest_ns)
        self.credit_ns = min(self.credit_ns + left_ns, most_ns)

    def frame_lost(self) -> None:
        """Take note that a reference frame got no mask, although the reference fits."""
        self._share *= _LESS
        self.credit_ns = 0

    def affords(self, sensor: str) -> bool:
        """Whether one more sample of another sensor may be encoded."""
        return self.credit_ns >= self.encoding(sensor).ns

    def spend(self, sensor: str) -> None:
        """Pay for encoding one sample of another sensor."""
        self.credit_ns -= self.encoding(sensor).ns

    def fused(self, sensors: int, took_ns: int) -> None:
        """Take note of one fusion of so many sensors."""
        self._fused_last = sensors
        self._fuse.setdefault(sensors, RunningCost()).observe(took_ns)

    def fuse_ns(self, sensors: int) -> int:
        """Return what fusing so many sensors takes; unknown numbers as the nearest known one.

        At most one more than were fused last, and at most twice as much as fewer take: what was
        measured of many once, at a bad moment, must not keep them out for ever.
        """
        nearest, fewer = self._fusions_like(sensors)
        return min(nearest.ns, _MOST * fewer.ns)

    def _fusions_like(self, sensors: int) -> tuple[RunningCost, RunningCost]:
        """Return the known cost that is nearest to that of so many, and the next smaller one."""
        known = self._fuse
        if not known:
            return RunningCost(), RunningCost()
        soon = min(sensors, self._fused_last + 1)
        nearest = min(known, key=lambda number: (abs(number - soon), number))
        fewer = max((number for number in known if number < nearest), default=nearest)
        return known[nearest], known[fewer]

    def reference_fits(self, reference: str, period_ns: int, sensors: int) -> bool:
        """Whether the threads can encode the reference and fuse within its period.

        Two of them may be at successive frames, but only one of them fuses. What counts is how
        long it takes alone: that it takes longer while others are encoded is a reason to leave
        those out.
        """
        nearest, fewer = self._fusions_like(sensors)
        encode_ns = self.encoding(reference).least_ns
        fuse_ns = min(nearest.least_ns, _MOST * fewer.least_ns)
        longest_ns = max(encode_ns, fuse_ns)
        return encode_ns + fuse_ns <= self.threads * period_ns and longest_ns <= period_ns

    def patience_ns(self, reference: str, period_ns: int, sensors: int) -> int:
        """Return how long after a frame set is complete its fusion may begin at the latest.

        If the reference alone takes longer than its period, frames are lost whatever is left out:
        then the others may take as long again as the reference does.

        Args:
            reference: the sensor whose frame it is.
            period_ns: of the reference sensor.
            sensors: that would be fused.
        """
        fuse_ns = self.fuse_ns(sensors)
        encode_ns = self.encoding(reference).ns
        allowed_ns = self._budget_ns or max(period_ns, 2 * (encode_ns + fuse_ns))
        return max(0, allowed_ns - fuse_ns)


class Backlog:
    """Whether the network keeps up with the camera. With hysteresis, by what it finds waiting.

    While it does, a second frame set may wait through a moment's delay, so that no mask is lost. A
    network that is slower than the camera gains nothing from that but masks that are a frame older.
    """

    def __init__(self) -> None:
        """Begin in the belief that it keeps up."""
        self._found: deque[bool] = deque(maxlen=_LOOKED_AT)
        self._single = self._alone = 0
        self.behind = False

    @property
    def has_time(self) -> bool:
        """Whether none waits for long, be it that others had to go for it."""
        return not self.behind or self._alone >= _SETTLED

    def observe(self, waiting: int, superseded: int = 0) -> None:
        """Take note of a frame set that is taken.

        Args:
            waiting: how many were there, it included.
            superseded: how many have gone for them since the one before was taken.
        """
        more = waiting + superseded > 1
        self._found.append(more)
        self._single = 0 if more else self._single + 1
        self._alone = 0 if waiting > 1 else self._alone + 1
        if sum(self._found) >= _BEHIND_AT:
            self.behind = True
        elif self._single >= _SETTLED:
            self.behind = False
