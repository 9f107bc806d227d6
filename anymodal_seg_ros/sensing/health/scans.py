"""Are these points a scan of the world? Ranges, order and directions of a LiDAR's returns.

A sensor that sees nothing somewhere sends no point there, or one without coordinates: that is no
fault, and where a robot turns beside a lake or leaves a tunnel, that changes with every scan. But
what it does send lies between a few centimetres and some hundred metres, and not all around at one
and the same distance; rays side by side mostly hit the same surface, and from one scan to the next
neither does that change by much, nor does anything but what covers the sensor take much away.

A robot that docks comes near to a wall, until much of what its LiDAR sees is right before it, or
nearer than it can measure: by and by, and not from far away at once, as a hand or a cloth comes.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import CheckResult, Pixels, SensorState
from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS
from anymodal_seg_ros.sensing.health.figures.order import median, quantile
from anymodal_seg_ros.sensing.health.running_checks import MARGIN
from anymodal_seg_ros.sensing.health.scan_directions import (
    CLOSE_M,
    SECTORS,
    Directions,
    TurnGatherer,
    directions,
)
from anymodal_seg_ros.sensing.health.sensor_health import Fault

UNITS_ABOVE_M = 300.0
"""Median range of a scan whose coordinates are centimetres or millimetres, as of a depth image."""
IMPLAUSIBLE_ABOVE = 0.2
"""Share of returns whose ranges no LiDAR measures."""
CLOSE_ABOVE = 0.6
"""Share of the directions in which something is right before the sensor at once."""
SCRAMBLED_ABOVE = 2.5
"""Times the usual difference of ranges side by side."""
SCATTERED_ABOVE = 0.15
"""By how much the share of rays that hit another surface than those beside them may grow from one
scan to the next: in streets, fields, halls and rain it does by 0.08 at most."""
EVEN_ABOVE = 0.95
"""Share of the returns that come from one and the same distance, all around."""
MISSING_ABOVE = 0.2
"""Share of the directions that had returns and have none from one scan to the next: of sound
scanners 0.14 at most."""
LOST_ABOVE = 0.4
"""Share of all returns that have gone from one scan to the next."""

_NEAREST_M, _FARTHEST_M = 0.05, 1000.0
_BEYOND_M = 1e12
_TOUCHING_M, _TOUCHED = 0.2, 0.9
"""So near no wall is to so large a share of what a LiDAR sees, however it came there."""
_NEAR_M = 1.3
"""From there on a wall may come nearer than some LiDARs measure, until the next scan."""
_AT_ONCE_NS = 250_000_000
"""A hand is before a sensor within this time."""
_POINTS = 4096
_STRETCH = 64
"""So many points in a row are looked at together: more than a firing of most sensors."""
_FEWEST_POINTS = 200
_FEWEST_SCANS = 10
_MEMORY = 50
_ROUGH = 0.12
"""Median difference of ranges side by side over the range, below which any order is one."""
_ANOTHER = 0.1
"""Of its range: by more than so much a ray differs from the one beside it that hits another
surface."""
_LATELY_NS = 1_000_000_000
"""So long scans are remembered for that: a turn of parts that look at other things each."""
_ALIKE, _ALL_AROUND = 0.05, SECTORS // 2
"""Of their median: by so much ranges differ at most that are one; and directions in which they must
be: a wall that fills what a scanner of a narrow field sees is as even."""
_SOME = 0.2
"""Of the returns that it had, or that a direction has in the mean: one with less is empty."""
_CONFIRM = 3
_NO_PAIR = -2.0
_LONG_AGO_NS = -(1 << 62)
_MOST_ALIKE = 100.0
"""Times the near ranges of a scan that the far ones are; of random numbers they are many more."""
_WHAT_IS_FAR = "median range, taken as metres, which its driver has to send,"
_WHAT_IS_IMPLAUSIBLE = "share of impossible ranges"
_WHAT_IS_CLOSE = f"share of directions with something within {CLOSE_M:g} m at once"
_WHAT_IS_EVEN = "share of returns, all around, at one and the same distance"
_WHAT_IS_SCATTERED = "share of rays that hit something else than those beside them, at once more"
_WHAT_IS_MISSING = "share of directions that lost their returns from one scan to the next"

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Found = tuple[CheckResult, Fault | None]


class ScanWatch:
    """Judges the scans of one LiDAR, point clouds with x, y and z."""

    def __init__(self) -> None:
        """Begin without a scan."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._roughness: deque[float] = deque(maxlen=_MEMORY)
        self._turns = TurnGatherer()
        self._before: Directions | None = None
        """The last turn."""
        self._before_ns = 0
        self._lacks: Directions | None = None
        """The last turn before much of it went."""
        self._closed_ns = np.full(SECTORS, _LONG_AGO_NS)
        """When a direction became close from far away."""
        self._covered = False
        self._scatter: deque[tuple[int, float]] = deque()
        """When the last scans came that were not suspicious, and their share of such rays."""
        self._scatter_known = False
        self._rough_run = self._missing_run = self._scattered_run = 0
        self._close = _verdict("close", 0.0, CLOSE_ABOVE, _WHAT_IS_CLOSE)
        self._missing = _verdict("missing", 0.0, MISSING_ABOVE, _WHAT_IS_MISSING)

    def inspect(self, cloud: Pixels, now_ns: int) -> list[Found]:
        """Judge a scan; one with hardly a point is another check's business."""
        stretches = _stretches(cloud)
        if stretches is None:
            return []
        # Where nothing comes back some send NaN, others infinity (REP 117).
        ranges = _ranges(stretches)
        returns = np.isfinite(ranges) & (ranges != 0)
        seen = ranges[returns]
        if seen.size < _FEWEST_POINTS:
            return []
        if (far_m := _in_another_unit(seen)) is not None:
            return [_verdict("units", far_m, UNITS_ABOVE_M, _WHAT_IS_FAR)]
        plausible = (seen > _NEAREST_M) & (seen < _FARTHEST_M)
        implausible = 1.0 - float(plausible.mean())
        found = [_verdict("implausible", implausible, IMPLAUSIBLE_ABOVE, _WHAT_IS_IMPLAUSIBLE)]
        if found[0][1] is not None:
            return found
        each = max(1.0, cloud.size / returns.size)
        message = directions(stretches[returns], seen, each)
        turn = self._turns.add(message, now_ns)
        if turn is not None:
            self._close = self._closeness(turn, now_ns)
        touching = float((seen < _TOUCHING_M).mean())
        if touching > _TOUCHED:
            what = f"share of returns within {_TOUCHING_M:g} m"
            self._close = _verdict("close", touching, _TOUCHED, what)
        found.append(self._close)
        even = _evenness(message, seen)
        found.append(_verdict("even", even, EVEN_ABOVE, _WHAT_IS_EVEN))
        if self._close[1] is None and found[-1][1] is None:
            if turn is not None:
                self._missing = self._directions(turn, now_ns)
            apart = _apart(stretches, ranges, returns)
            found += [self._order(apart), self._scattering(apart, now_ns), self._missing]
        return found

    def _closeness(self, turn: Directions, now_ns: int) -> Found:
        """Look for what has come right before the sensor at once, from far away."""
        before, close = self._before, turn.close
        if before is not None and now_ns - self._before_ns <= HELD_NS:
            jumped = close & before.seen & ~before.close & (before.reach > _NEAR_M)
            self._closed_ns[jumped] = now_ns
        self._closed_ns[turn.seen & ~close] = _LONG_AGO_NS
        many = max(1, int(np.count_nonzero(turn.seen)))
        lately = now_ns - self._closed_ns <= _AT_ONCE_NS
        share = int(np.count_nonzero(close & lately)) / many
        if self._covered:
            share = int(np.count_nonzero(close)) / many
        self._covered = share > CLOSE_ABOVE * (1 - MARGIN * self._covered)
        return _verdict("close", share, CLOSE_ABOVE, _WHAT_IS_CLOSE, failed=self._covered)

    def _order(self, apart: Floats) -> Found:
        """Compare the differences of ranges side by side with the sensor's usual ones."""
        rough = median(apart) if apart.size else 0.0
        usual = median(np.array(self._roughness)) if self._roughness else rough
        figure = rough / max(usual, 1e-3)
        known = len(self._roughness) >= _FEWEST_SCANS
        scrambled = known and rough > _ROUGH and figure > SCRAMBLED_ABOVE
        self._rough_run = self._rough_run + 1 if scrambled else 0
        if not scrambled:
            self._roughness.append(rough)
        name, what = "scrambled", "times the usual difference of ranges side by side"
        return _verdict(name, figure, SCRAMBLED_ABOVE, what, failed=self._rough_run >= _CONFIRM)

    def _scattering(self, apart: Floats, now_ns: int) -> Found:
        """Look for rays that at once hit anything: by and by, the robot comes into a wood."""
        lately = self._scatter
        share = float((apart > _ANOTHER).mean()) if apart.size else 0.0
        if lately and not self._scattered_run and not 0 <= now_ns - lately[-1][0] <= HELD_NS:
            lately.clear()
            self._scatter_known = False
        grown = share - max((usual for _, usual in lately), default=0.0)
        margin = MARGIN * (self._scattered_run >= _CONFIRM)
        if self._scatter_known and grown > SCATTERED_ABOVE * (1 - margin):
            # Of fewer rays, those beside are farther away.
            self._scattered_run += not self._missing_run
        else:
            self._scattered_run = 0
            lately.append((now_ns, share))
            while now_ns - lately[0][0] > _LATELY_NS:
                lately.popleft()
                self._scatter_known = True
        failed = self._scattered_run >= _CONFIRM
        figure = max(0.0, grown) if self._scatter_known else 0.0
        return _verdict("scattered", figure, SCATTERED_ABOVE, _WHAT_IS_SCATTERED, failed=failed)

    def _directions(self, now: Directions, now_ns: int) -> Found:
        """Look for returns that from one turn to the next have gone, and have not come back."""
        before, self._before = self._before, now
        recent = now_ns - self._before_ns <= HELD_NS
        self._before_ns = now_ns
        if self._lacks is None and before is not None and recent and _much(before, now, 0.0):
            self._lacks = before
        if self._lacks is not None and not _much(self._lacks, now, MARGIN):
            self._lacks = None
        self._missing_run = 0 if self._lacks is None else self._missing_run + 1
        of = before if self._lacks is None else self._lacks
        share, lost = (0.0, 0.0) if of is None else _gone(of, now)
        failed = self._missing_run >= _CONFIRM
        name, state = "missing", SensorState.DEGRADED
        if share > MISSING_ABOVE * (1 - MARGIN) or not failed:
            return _verdict(name, share, MISSING_ABOVE, _WHAT_IS_MISSING, state, failed=failed)
        what = "share of returns that were lost from one scan to the next"
        return _verdict(name, lost, LOST_ABOVE, what, state, failed=failed)


def _much(before: Directions, now: Directions, margin: float) -> bool:
    share, lost = _gone(before, now)
    return share > MISSING_ABOVE * (1 - margin) or lost > LOST_ABOVE * (1 - margin)


def _gone(before: Directions, now: Directions) -> tuple[float, float]:
    """Return the shares of directions that are empty now, and of returns that have gone.

    Directions that have come into view are set off against those: where a robot turns, as many do.
    What was near may be too near now: of those directions nothing is said.
    """
    told = (before.reach > _NEAR_M) | (before.returns == 0)
    was, are = before.far * told, now.far * told
    some = max(_SOME * float(before.far.mean()), before.few)
    had = was > some
    empty = int(np.count_nonzero(had & (are < _SOME * was)))
    come = int(np.count_nonzero(told & ~had & (are > some)))
    directions_left = max(1, int(np.count_nonzero(before.far > some)))
    share = (empty - come) / directions_left
    return share, float(was.sum() - are.sum()) / max(1.0, float(before.far.sum()))


def _ranges(stretches: Floats) -> Floats:
    """Return how far away points are; what no sensor measures is not infinite for being squared."""
    squares = np.einsum("ijk,ijk->ij", stretches, stretches, dtype=np.float64)
    return np.where(np.isinf(squares), np.inf, np.minimum(np.sqrt(squares), _BEYOND_M)).astype(
        np.float32
    )


def _evenness(message: Directions, seen: Floats) -> float:
    """Return the share of ranges that are one and the same; 0 where they are not all around."""
    if int(np.count_nonzero(message.seen)) < _ALL_AROUND:
        return 0.0
    middle = median(seen)
    return float((np.abs(seen - middle) <= _ALIKE * middle).mean())


def _apart(stretches: Floats, ranges: Floats, returns: Flags) -> Floats:
    """Return the difference of each range from that of the ray next to it, over the range, ``[N]``.

    Next to it in direction, among those before and after it: some sensors send one ring after the
    other, and some all rings of one direction, which hit the ground far apart.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        directions = np.nan_to_num(stretches / ranges[..., None], posinf=0.0, neginf=0.0)
    alike = directions @ directions.transpose(0, 2, 1)
    alike[~returns[:, None, :].repeat(ranges.shape[1], axis=1)] = _NO_PAIR
    each = np.arange(ranges.shape[1])
    alike[:, each, each] = _NO_PAIR
    beside = np.take_along_axis(ranges, alike.argmax(axis=2), axis=1)
    known = returns & (alike.max(axis=2) > _NO_PAIR)
    with np.errstate(over="ignore"):  # of points that are nowhere
        return np.asarray(np.abs(beside[known] - ranges[known]) / ranges[known], np.float32)


def _stretches(cloud: Pixels) -> Floats | None:
    """Return up to a few thousand points ``[stretches, points in a row, 3]``, as they were sent."""
    names = cloud.dtype.names or ()
    if not all(axis in names for axis in "xyz"):
        return None
    flat = cloud.reshape(-1)
    if flat.size < _STRETCH:
        return None
    count = min(_POINTS, flat.size) // _STRETCH
    starts = np.linspace(0, flat.size - _STRETCH, count).astype(int)
    flat = flat[(starts[:, None] + np.arange(_STRETCH)).reshape(-1)]
    with np.errstate(invalid="ignore", over="ignore"):
        columns = [flat[axis].astype(np.float32) for axis in "xyz"]  # a number of each, as decoded
    return np.stack(columns, axis=-1).reshape(count, _STRETCH, 3)


def _in_another_unit(seen: Floats) -> float | None:
    """Return the median range of a scan if it is far too long, and the others go with it."""
    middle = median(seen)
    if not UNITS_ABOVE_M < middle < _BEYOND_M:
        return None
    return middle if quantile(seen, 0.9) <= _MOST_ALIKE * quantile(seen, 0.1) else None


def _verdict(
    name: str,
    figure: float,
    limit: float,
    what: str,
    state: SensorState = SensorState.INVALID,
    *,
    failed: bool | None = None,
) -> Found:
    if failed is None:
        failed = figure > limit
    result = CheckResult(name, figure, limit, not failed)
    if not failed:
        return result, None
    reason = f"{name}: {what} is {figure:.3g}, expected at most {limit:g}"
    return result, Fault(state, reason, withhold=state is not SensorState.DEGRADED)
