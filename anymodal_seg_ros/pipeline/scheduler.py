"""What is to be done next? Frame sets that are due, and the samples that they need.

Pure bookkeeping: no thread, no clock, no network in here. The pipeline asks under its lock for the
most urgent piece of work, does it without the lock, and says when it is done. Several threads may
do so at once; frame sets are fused one after the other, in order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.frames import DeferredImage, Sample
from anymodal_seg_ros.pipeline.budget import Backlog, Budget
from anymodal_seg_ros.pipeline.record import FusionRecord
from anymodal_seg_ros.pipeline.stages import Preparer
from anymodal_seg_ros.pipeline.tasks import Decode, Fuse, MaskTask, Order, Prepare
from anymodal_seg_ros.sensing.intake import VERDICT
from anymodal_seg_ros.sensing.sync.buffer import MAX_BYTES

NO_TIME = "no time"
_MORE_TIME = "engine: auto, a smaller model, fewer sensors or rig.max_rate_hz help"

PLACES = 2
"""Frame sets that may wait for a network that keeps up: one would lose masks at every delay."""

MOST_PLACES = 4
"""The same where the reference alone fits into its period, for as long as it takes: beside others
who take the cores it may be a little slower than its period all the time."""

OLDEST_NS = 500_000_000
"""Where it fits and a queue is a moment's affair, frame sets keep their places until their
reference frames are so old, beside what they may wait for samples: as fast as it came it goes."""

_MOMENT_NS = 2_000_000_000
"""A queue that has not gone after so long is none."""

_MOST_HELD_BYTES = 2 * MAX_BYTES
"""Pixels of the frame sets that wait, beside those that always may."""

_HANGS_NS = 500_000_000
_HANGS_TIMES = 10
"""A reference sample or a fusion that takes longer than this, and than so many times the usual, is
not waited for any more if a newer one has come: the other threads make that one's mask."""

_SOON_DONE = 30
"""So many times a reference sample could be prepared within one fusion where that is as good as no
time, as with a whole graph. At fewer the fusion would wait for it: fewer masks, if fresher ones."""

_PAID = "paid"
"""In :attr:`Sample.made`: that its decoding and its encoding are paid for, together."""

_MUCH_SLOWER = 1.5
"""Periods of the reference that one fusion takes where the network clearly does not keep up."""


class Scheduler:
    """Hands out the work on frame sets. Not thread-safe: the pipeline holds its lock around it."""

    def __init__(
        self, rig: RigConfig, preparer: Preparer, record: FusionRecord, budget: Budget
    ) -> None:
        """Set up without any work.

        Args:
            rig: its sensors' rates and tolerances.
            preparer: knows what a sample has become already.
            record: of what happens to the samples; knows the sensors' shares of the votes.
            budget: how long the work takes.
        """
        self._rig, self._preparer, self._record, self._budget = rig, preparer, record, budget
        self.backlog = Backlog()
        self.superseded = 0
        """Frame sets that were dropped because newer ones were due."""
        self._superseded_since = 0
        """Of these, since the last fusion began."""
        self._orders: list[Order] = []
        self._fusing: Fuse | None = None
        self._fusing_since_ns: int | None = None
        """When that began; None once its mask is there."""
        self._given_up: set[Fuse] = set()
        """Fusions that hang; as many at most as there are threads."""
        self._asked_ns = -(1 << 63)
        self._unproven: list[Sample] = []
        self._running: dict[int, int] = {}
        """The samples that somebody is at, by their identity, and since when."""
        self._optional: dict[int, tuple[str, int]] = {}
        """Of the other sensors' samples whose encoding has begun: whose, and when it should end."""
        self._latest: dict[str, Sample] = {}
        """The sample of each sensor that came last, of those that are prepared."""
        self._met_ns: dict[str, int] = {}
        """When each sensor that was not prepared yet was first thought of."""
        self._time_anew = False
        """Whether header time begins anew with the next frame set."""
        self._alone_ns = 0
        """When a frame set was due last while no other waited."""

    def take_parameters_of(self, other: Scheduler) -> None:
        """Go on with the parameters of another one of the same sensors, with all that waits."""
        self._rig, self._preparer = other._rig, other._preparer

    def begin_anew(self) -> None:
        """Forget what belongs to another time."""
        self._time_anew = True
        self._orders.clear()
        self._unproven.clear()
        self._latest.clear()
        self._met_ns.clear()

    def drop_waiting(self) -> None:
        """Let the frame sets that wait go without masks."""
        dropped, self._orders = self._orders, []
        self.lost(*dropped)

    def lost(self, *orders: Order, at: int = 0) -> None:
        """Take note that frame sets get no masks: that time began anew, those after them say.

        Args:
            orders: which wait no more.
            at: where they waited.
        """
        if any(order.frame_set.clock_jump for order in orders):
            if at < len(self._orders):
                _begins_time(self._orders[at])
            else:
                self._time_anew = True

    def add(self, order: Order) -> None:
        """Take a frame set that is due, and drop older ones that would wait too long.

        One that is being worked on is not given up for a newer one: at more load than the machine
        can carry no mask would ever be finished. One that only waits for the fusion is, where to
        begin the newer one is soon done.
        """
        if self._time_anew:
            _begins_time(order)
            self._time_anew = False
        self._orders.append(order)
        oldest = self._orders[0]
        begun = 1 if self._begun(oldest) and not self._only_waits(oldest) else 0
        places = PLACES - 1 + self._largest_burst(order)
        if order.hurries:
            places = max(self._places_of_a_moment(order), places)
        elif self.backlog.behind:
            places = 1
        excess = max(0, len(self._orders) - max(begun + 1, places))
        self.superseded += excess
        self._superseded_since += excess
        dropped = self._orders[begun : begun + excess]
        del self._orders[begun : begun + excess]
        self.lost(*dropped, at=begun)
        for lost in dropped:
            if lost.hurries:
                self._budget.frame_lost()

    def add_unproven(self, sample: Sample) -> None:
        """Take a sample that is to be decoded although no frame set wants it."""
        self._unproven.append(sample)

    @property
    def proving(self) -> bool:
        """Whether sensors have yet to be judged by samples of which frame sets may be made."""
        return bool(self._unproven)

    def waiting(self) -> list[Order]:
        """Return the frame sets that wait for their masks, oldest first."""
        return self._orders

    def next_wakeup_ns(self) -> int | None:
        """Return when a frame set is to go without what is not prepared; None if none waits."""
        due_ns = self._orders[0].fuse_by_ns if self._orders else None
        # After it, only the end of work that is under way can change anything.
        return due_ns if due_ns is not None and due_ns > self._asked_ns else None

    def take(self, now_ns: int) -> MaskTask | None:
        """Return the most urgent work on the frame sets that are due; None if there is none.

        Give what comes back to :meth:`done`.
        """
        for sample in self._unproven:
            if id(sample) not in self._running:
                self._running[id(sample)] = now_ns
                return Decode(sample)
        self._asked_ns = now_ns
        while len(self._orders) > 1 and self._hangs(self._orders[0], now_ns):
            self.lost(self._orders.pop(0))
            self.superseded += 1
        if not self._orders:
            return None
        order = self._orders[0]
        task = self._decoding(order) or self._preparing(order, now_ns)
        if isinstance(task, Fuse):
            if self._fusing is not None:
                if not self._fusion_hangs(now_ns):
                    return None
                self._given_up.add(self._fusing)
                if self._fusing.order.frame_set.clock_jump:
                    _begins_time(task.order)
                self.superseded += 1
            self.backlog.observe(1 + self._waiting_behind(order), self._superseded_since)
            self._superseded_since = 0
            self._fusing, self._fusing_since_ns = task, now_ns
            self._orders.pop(0)
        elif task is not None:
            self._running[id(task.sample)] = now_ns
        return task

    def take_ahead(
        self,
        newest: Mapping[str, Sample],
        picture: str,
        now_ns: int,
        *,
        reference: str,
        in_time: bool,
    ) -> MaskTask | None:
        """Return work on the newest samples, which frame sets to come will want.

        Args:
            newest: of every living sensor that is worth it.
            picture: the sensor in whose picture they will be wanted.
            now_ns: on the clock of the messages' arrival.
            reference: the sensor whose frames open frame sets.
            in_time: whether only as much may be done as the budget allows.
        """
        todo = [
            sample
            for sample in newest.values()
            if id(sample) not in self._running
            and not self._is_made(sample, picture, {})
            and not self._held_up(sample.sensor, now_ns)
            and not self._preparer.needs_companions(sample.sensor, picture)
        ]
        if self._orders and not self._orders[0].hurries and self._begun(self._orders[0]):
            # Whoever cannot keep up would only encode frames that newer ones supersede.
            todo = [sample for sample in todo if sample.sensor != reference]
        if not todo:
            return None
        sample = max(todo, key=lambda s: (s.sensor == reference, self._urgency(s)))
        if in_time and sample.sensor != reference:
            if not self._admits(sample, now_ns):
                return None
            self._spend(sample, now_ns)
        self._running[id(sample)] = now_ns
        return Prepare(sample, picture)

    def wants(self, fuse: Fuse) -> bool:
        """Whether the mask that a fusion has made is still to be published; it is not given up now.

        A newer one may have been made since, where it hung for a while.
        """
        if fuse in self._given_up:
            return False
        if fuse is self._fusing:
            self._fusing_since_ns = None
        return True

    def done(self, task: MaskTask) -> None:
        """Take note that a piece of work is done, or has failed."""
        if isinstance(task, Fuse):
            self._given_up.discard(task)
            if task is self._fusing:  # and not one of before the configuration changed
                self._fusing = None
            return
        self._running.pop(id(task.sample), None)
        self._optional.pop(id(task.sample), None)
        if isinstance(task, Decode):
            self._unproven = [s for s in self._unproven if s is not task.sample]
        else:
            latest = self._latest.get(task.sample.sensor)
            if latest is None or latest.received_ns < task.sample.received_ns:
                self._latest[task.sample.sensor] = task.sample

    def _hangs(self, order: Order, now_ns: int) -> bool:
        """Whether a frame set waits for its reference's encoding so long that it may not come back.

        Where there is time, it is waited for; nor is it known yet how long the first one may take.
        """
        sample = order.frame_set.reference_sample
        begun_ns, usual_ns = self._running.get(id(sample)), self._budget.encoding(sample.sensor).ns
        if begun_ns is None or not usual_ns or order.fuse_by_ns is None:
            return False
        return now_ns - begun_ns > max(_HANGS_NS, _HANGS_TIMES * usual_ns)

    def _fusion_hangs(self, now_ns: int) -> bool:
        """Whether the fusion under way has taken so long that it may not come back.

        Of a whole graph that is all its work. How long the first one may take is not known yet.
        Where there is time, as at a desk, one thread works, which waits for it.
        """
        fusing, begun_ns = self._fusing, self._fusing_since_ns
        if fusing is None or begun_ns is None:
            return False
        usual_ns = self._budget.fuse_ns(len(fusing.order.frame_set.fused))
        return bool(usual_ns) and now_ns - begun_ns > max(_HANGS_NS, _HANGS_TIMES * usual_ns)

    def _decoding(self, order: Order) -> Decode | None:
        """Return a chosen sample whose pixels are to be made first, the reference's before others.

        Where time is short that is the reference's, and whatever is prepared already: all that
        decoding the others takes is as optional as the rest of it.
        """
        frame_set, picture = order.frame_set, order.picture.sensor
        undecided_ = [s for s in frame_set.samples.values() if undecided(s)]
        if not undecided_:
            return None
        # What one becomes depends on the others where it is registered by a depth image.
        all_ = order.fuse_by_ns is None or any(
            self._preparer.needs_companions(name, picture) for name in frame_set.fused
        )
        for sample in sorted(undecided_, key=lambda s: s.sensor != frame_set.reference):
            wanted = all_ or sample.sensor == frame_set.reference
            if id(sample) not in self._running and (wanted or self._is_made(sample, picture, {})):
                return Decode(sample)
        return None

    def _preparing(self, order: Order, now_ns: int) -> MaskTask | None:
        """Return the next sample to prepare, the fusion, or None while others are at work."""
        frame_set, picture = order.frame_set, order.picture.sensor
        chosen = {name: frame_set.samples[name] for name in frame_set.fused}
        open_ = [s for s in chosen.values() if self._is_open(s, picture, chosen)]
        if not open_:
            return Fuse(order)
        idle = [s for s in open_ if id(s) not in self._running]
        reference = next((s for s in open_ if s.sensor == frame_set.reference), None)
        if reference is not None and reference in idle:
            return Prepare(reference, picture, chosen)
        if order.fuse_by_ns is not None:
            todo = [s for s in idle if not self._held_up(s.sensor, now_ns)]
            sample = max(todo, key=self._urgency, default=None)
            fits = sample is not None and self._fits(sample, now_ns, order.fuse_by_ns)
            hurried = order.hurries and self._waiting_behind(order) > 0
            overdue = hurried or now_ns >= order.fuse_by_ns
            nobody_at_work = len(idle) == len(open_)
            if reference is None and (overdue or (nobody_at_work and not fits)):
                return Fuse(self._without(order, open_))
            if order.hurries and (next_reference := self._next_reference()) is not None:
                return next_reference
            if sample is None or not fits:
                return None
            self._spend(sample, now_ns)
            return Decode(sample) if undecided(sample) else Prepare(sample, picture, chosen)
        return Prepare(max(idle, key=self._urgency), picture, chosen) if idle else None

    def _is_open(self, sample: Sample, picture: str, chosen: Mapping[str, Sample]) -> bool:
        """Whether something is still to be done for a sample before it can be fused."""
        at_work = id(sample) in self._running or undecided(sample)
        return at_work or not self._is_made(sample, picture, chosen)

    def _next_reference(self) -> Decode | Prepare | None:
        """Return work on the reference sample of a later frame set that waits, the oldest first."""
        for order in self._orders[1:]:
            frame_set, sample = order.frame_set, order.frame_set.reference_sample
            if id(sample) in self._running or frame_set.reference not in frame_set.fused:
                continue
            if undecided(sample):
                return Decode(sample)
            chosen = {name: frame_set.samples[name] for name in frame_set.fused}
            if not self._is_made(sample, order.picture.sensor, chosen):
                return Prepare(sample, order.picture.sensor, chosen)
        return None

    def _held_up(self, sensor: str, now_ns: int) -> bool:
        """Whether the encoding of another sensor's sample should have ended long ago.

        Until it has, none of that sensor's begins: if it hangs, it must not keep all threads.
        """
        return any(name == sensor and end < now_ns for name, end in self._optional.values())

    def _fits(self, sample: Sample, now_ns: int, fuse_by_ns: int) -> bool:
        """Whether one more sample of another sensor can be encoded before a fusion.

        One that takes longer than others do is begun as well: it stands in at the next frames.
        """
        in_time = now_ns + self._budget.encode.ns <= fuse_by_ns
        return in_time and self._admits(sample, now_ns)

    def _admits(self, sample: Sample, now_ns: int) -> bool:
        """Whether one more sample of another sensor may be decoded and encoded."""
        budget, ends_ns = self._budget, [end_ns for _, end_ns in self._optional.values()]
        paid = _PAID in sample.made or budget.affords(sample.sensor)
        return paid and budget.leaves_a_thread(sample.sensor, now_ns, ends_ns)

    def _spend(self, sample: Sample, now_ns: int) -> None:
        """Take note that a sample of another sensor is going to be decoded or encoded."""
        if _PAID not in sample.made:
            self._budget.spend(sample.sensor)
            sample.made[_PAID] = True
        end_ns = now_ns + self._budget.encoding(sample.sensor).high_ns
        self._optional[id(sample)] = sample.sensor, end_ns

    def _without(self, order: Order, open_: list[Sample]) -> Order:
        """Let a frame set go without what is not prepared, or with what was prepared last."""
        samples, missing = dict(order.frame_set.samples), dict(order.frame_set.missing)
        reference_ns = order.frame_set.reference_sample.time_ns
        for sample in open_:
            name, stand_in = sample.sensor, self._latest.get(sample.sensor)
            self._record.skipped(name)
            if (
                stand_in is not None
                and stand_in.made.get(VERDICT) == ""
                and abs(stand_in.time_ns - reference_ns) <= self._rig.sensors[name].tolerance_ns
                and self._is_made(stand_in, order.picture.sensor, {})
            ):
                samples[name] = stand_in
                self._record.reused(name)
                continue
            del samples[name]
            cost_ms = self._budget.encoding(name).ns / 1e6
            missing[name] = f"{NO_TIME}: {cost_ms:.0f} ms of encoding did not fit; {_MORE_TIME}"
        return replace(order, frame_set=replace(order.frame_set, samples=samples, missing=missing))

    def _largest_burst(self, order: Order) -> int:
        """Count those that are due together with a new one; return the most of all that wait."""
        alike = [waiting for waiting in self._orders if waiting.burst == order.burst]
        for one in alike:
            one.together = len(alike)
        return max(waiting.together for waiting in self._orders)

    def _places_of_a_moment(self, newest: Order) -> int:
        """Return how many frame sets may wait for a network that is fast enough for all of them.

        After a moment in which process or cores stood still there are many at once, and time for
        each: those behind go with what they have.
        """
        now_ns = newest.frame_set.completed_ns
        if len(self._orders) == 1:
            self._alone_ns = now_ns
        if now_ns - self._alone_ns > _MOMENT_NS:
            return MOST_PLACES
        too_old_ns = now_ns - OLDEST_NS - self._rig.longest_wait_ns
        kept, held = 0, 0
        for order in reversed(self._orders):
            samples = order.frame_set.samples.values()
            held += sum(sample.image.nbytes for sample in samples)
            received_ns = order.frame_set.reference_sample.received_ns
            if received_ns < too_old_ns or held > _MOST_HELD_BYTES:
                break
            kept += 1
        return max(MOST_PLACES, kept)

    def _waiting_behind(self, order: Order) -> int:
        """Return how many frame sets wait for the network behind one.

        Those that became due together with it have waited for a sensor; and while so many have
        their turns, as many others may come.
        """
        others = sum(waiting is not order for waiting in self._orders)
        return max(0, others - 2 * (order.together - 1))

    def _begun(self, order: Order) -> bool:
        """Whether somebody works on the reference sample of a frame set, or has done so."""
        reference = order.frame_set.reference_sample
        return id(reference) in self._running or self._is_made(
            reference, order.picture.sensor, order.frame_set.samples
        )

    def _only_waits(self, order: Order) -> bool:
        """Whether a frame set waits for a fusion that takes far longer than to prepare another.

        A network that nearly keeps up gains more masks from what has been prepared.
        """
        frame_set = order.frame_set
        reference, sample = frame_set.reference, frame_set.reference_sample
        if self._fusing is None or id(sample) in self._running:
            return False
        fuse_ns = self._budget.fuse_ns(len(frame_set.fused))
        slow = fuse_ns > _MUCH_SLOWER * self._rig.mask_period_ns(reference)
        return slow and fuse_ns >= _SOON_DONE * self._budget.encoding(reference).ns

    def _is_made(self, sample: Sample, picture: str, companions: Mapping[str, Sample]) -> bool:
        key = self._preparer.key(sample, picture, companions)
        return self._preparer.made(sample, key) is not None

    def _urgency(self, sample: Sample) -> float:
        """Weigh a sensor's share of the votes by the age of what is known of it, in periods.

        One that takes too long to be in any mask comes after all others, and of one that nothing is
        known of yet the votes count as all.
        By arrivals: the stamps of a clock that was ahead for a moment would lie ahead for hours.
        """
        latest, sensor = self._latest.get(sample.sensor), self._rig.sensors[sample.sensor]
        period_ns = sensor.period_ns
        if latest is None:
            met_ns = self._met_ns.setdefault(sample.sensor, sample.received_ns)
            age, share = 2.0 + (sample.received_ns - met_ns) / period_ns, 1.0
        else:
            age = (sample.received_ns - latest.received_ns) / period_ns
            share = self._record.share_of_votes(sample.sensor)
        weight = (0.1 + share) * max(age, 0.0)
        too_late = self._budget.encoding(sample.sensor).ns > sensor.tolerance_ns
        return -1.0 / max(weight, 1e-9) if too_late else weight


def _begins_time(order: Order) -> None:
    """Let a frame set say that header time begins anew with it."""
    order.frame_set = replace(order.frame_set, clock_jump=True)


def undecided(sample: Sample) -> bool:
    """Whether a sample's pixels are still to be made and judged."""
    return isinstance(sample.image, DeferredImage) and VERDICT not in sample.made
