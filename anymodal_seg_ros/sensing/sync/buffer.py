"""The recent samples of one sensor in order of time, and what became of those that are gone."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.frames import Sample
from anymodal_seg_ros.sensing.sync.set_back import SetBack

MAX_BUFFERED = 128
"""Samples kept per sensor at most, however its rate is configured."""

MAX_BYTES = 256 * 1024 * 1024
"""Pixels kept per sensor at most, beside its newest sample."""

_TAKEN = "taken"
"""In :attr:`Sample.made`: that it is counted as taken."""


class SampleBuffer:
    """Keeps samples for a while, bounded in time, number and bytes, and accounts for every one."""

    def __init__(self, config: SensorConfig) -> None:
        """Set up an empty buffer."""
        self.configure(config)
        self.keep_ns = 0
        """In header time; samples that are older than the newest by more are let go."""
        self._times: list[int] = []
        self._samples: list[Sample] = []
        self._nbytes = 0
        self._used: set[int] = set()
        """Times of the buffered samples that a frame set has taken."""
        self._awaited: set[int] = set()
        """Times of the samples that have opened a set which has not left yet."""
        self._reasons: dict[int, str] = {}
        """Why a sample is no good for opening a set, and what it is counted as if none takes it."""
        self.dropped: Counter[str] = Counter()
        self.taken = 0
        """Samples that a frame set has taken so far, each counted once."""
        self.seen_ns: int | None = None
        """The latest stamp, also of samples that were not to be fused."""
        self.seen_received_ns = 0
        """When it arrived."""
        self._set_back = SetBack()

    def configure(self, config: SensorConfig) -> None:
        """Take another rate and tolerance from now on."""
        self.period_ns = config.period_ns
        self.tolerance_ns = config.tolerance_ns

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def newest(self) -> Sample | None:
        """The sample with the latest stamp."""
        return self._samples[-1] if self._samples else None

    def see(self, sample: Sample) -> None:
        """Take note that the sensor has got this far."""
        if self.seen_ns is None or sample.time_ns > self.seen_ns:
            self.seen_ns, self.seen_received_ns = sample.time_ns, sample.received_ns

    def add(self, sample: Sample, reason: str = "") -> bool:
        """Insert a sample in order of time.

        Args:
            sample: of this sensor.
            reason: why it may be of no use; empty if it is as good as any.

        Returns:
            False if it was a duplicate or too old; then it is counted and forgotten.
        """
        times, time_ns = self._times, sample.time_ns
        too_old = bool(times) and time_ns < times[-1] - self.keep_ns
        if self._set_back.seen(time_ns, behind=too_old):
            self.clear()
        self.see(sample)
        if not times or time_ns > times[-1]:
            times.append(time_ns)
            self._samples.append(sample)
            self._nbytes += sample.image.nbytes
            self._trim()
        elif not self._insert(sample):
            return False
        if reason:
            self._reasons[time_ns] = reason
        return True

    def explain(self, sample: Sample, reason: str) -> None:
        """Say why a buffered sample came to nothing, should that be so in the end."""
        self._reasons[sample.time_ns] = reason

    def clear(self) -> None:
        """Forget everything, because the sensor's clock has jumped."""
        self.seen_ns = None
        self._set_back.clear()
        while self._samples:
            self._forget("clock jump")

    def use(self, sample: Sample) -> None:
        """Remember that a frame set took the sample."""
        if self._holds(sample.time_ns) and sample.time_ns not in self._used:
            self._used.add(sample.time_ns)
            self._count_taken(sample)

    def used(self, sample: Sample) -> bool:
        """Whether a frame set took a sample that is still buffered."""
        return sample.time_ns in self._used

    def await_set(self, sample: Sample) -> None:
        """Remember that a frame set was opened for a buffered sample."""
        self._awaited.add(sample.time_ns)

    def set_left(self, sample: Sample, taken: bool) -> None:
        """Say what became of the frame set that was opened for a sample."""
        if sample.time_ns not in self._awaited:
            return
        self._awaited.discard(sample.time_ns)
        if taken and self._holds(sample.time_ns):
            self.use(sample)
        elif taken:  # let go of while its set waited
            self._count_taken(sample)
        elif not self._holds(sample.time_ns):
            self.dropped[self._reasons.pop(sample.time_ns, "not needed by any frame set")] += 1

    def let_go_before(self, time_ns: int) -> None:
        """Let go of what no later moment than this can want: all but the newest until then."""
        for _ in range(bisect_right(self._times, time_ns) - 1):
            self._forget("not needed by any frame set")

    def discard(self, sample: Sample) -> None:
        """Take a sample out whose pixels turned out to be damaged; it is counted so.

        Its frame set may have waited so long for them that it is not buffered any more.
        """
        self.taken -= sample.made.pop(_TAKEN, 0)
        at = bisect_left(self._times, sample.time_ns)
        if at < len(self._times) and self._samples[at] is sample:
            self._remove(at)

    def nearest(self, time_ns: int) -> Sample | None:
        """Return the sample nearest to a time, whatever the distance; the later one of two."""
        at = bisect_left(self._times, time_ns)
        if at == len(self._times):
            return self._samples[-1] if at else None
        if at and time_ns - self._times[at - 1] < self._times[at] - time_ns:
            return self._samples[at - 1]
        return self._samples[at]

    def after(self, time_ns: int | None) -> Iterator[Sample]:
        """Yield the good samples later than a time, or all, oldest first."""
        at = 0 if time_ns is None else bisect_left(self._times, time_ns + 1)
        yield from (s for s in self._samples[at:] if s.time_ns not in self._reasons)

    def _insert(self, sample: Sample) -> bool:
        """Insert a sample that is not the newest."""
        times, time_ns = self._times, sample.time_ns
        at = bisect_left(times, time_ns)
        if times[at] == time_ns:
            self.dropped["duplicate stamp"] += 1
            return False
        if time_ns < times[-1] - self.keep_ns or (at == 0 and len(times) == MAX_BUFFERED):
            self.dropped["too old"] += 1
            return False
        times.insert(at, time_ns)
        self._samples.insert(at, sample)
        self._nbytes += sample.image.nbytes
        self._trim()
        return True

    def _trim(self) -> None:
        """Let go of what is too old or too much."""
        times = self._times
        horizon_ns = times[-1] - self.keep_ns
        while times[0] < horizon_ns:
            self._forget("not needed by any frame set")
        while len(times) > MAX_BUFFERED or (self._nbytes > MAX_BYTES and len(times) > 1):
            self._forget("buffer full")

    def _forget(self, reason: str) -> None:
        """Let the oldest go, and count it unless a frame set had it or still may take it."""
        time_ns, used = self._times[0], self._times[0] in self._used
        if time_ns not in self._awaited:
            reason = self._reasons.get(time_ns, reason)
            if not used:
                self.dropped[reason] += 1
        self._remove(0)

    def _remove(self, at: int) -> None:
        time_ns = self._times.pop(at)
        self._nbytes -= self._samples.pop(at).image.nbytes
        self._used.discard(time_ns)
        if time_ns not in self._awaited:
            self._reasons.pop(time_ns, None)

    def _count_taken(self, sample: Sample) -> None:
        self.taken += 1
        sample.made[_TAKEN] = 1

    def _holds(self, time_ns: int) -> bool:
        at = bisect_left(self._times, time_ns)
        return at < len(self._times) and self._times[at] == time_ns
