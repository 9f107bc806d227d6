"""Are these points a scan of the world? Ranges, order and directions of a LiDAR's returns.

A sensor that sees nothing somewhere sends no point there, or one without coordinates: that is no
fault, and where a robot turns beside a lake or leaves a tunnel, that changes with every scan. But
what it does send lies between a few centimetres and some hundred metres, rays side by side mostly
hit the same surface, and from one scan to the next only what covers the sensor takes much away.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import CheckResult, Pixels, SensorState
from anymodal_seg_ros.sensing.health.damage.sudden_loss import HELD_NS
from anymodal_seg_ros.sensing.health.figures.order import median
from anymodal_seg_ros.sensing.health.running_checks import MARGIN
from anymodal_seg_ros.sensing.health.sensor_health import Fault

IMPLAUSIBLE_ABOVE = 0.2
"""Share of returns whose ranges no LiDAR measures."""
CLOSE_ABOVE = 0.6
"""Share of returns from right before the sensor."""
SCRAMBLED_ABOVE = 2.5
"""Times the usual difference of ranges side by side."""
MISSING_ABOVE = 0.3
"""Share of the directions that had returns and have none from one scan to the next."""
LOST_ABOVE = 0.4
"""Share of all returns that have gone from one scan to the next."""

_NEAREST_M, _FARTHEST_M = 0.05, 1000.0
_CLOSE_M = 0.6
_POINTS = 4096
_STRETCH = 64
"""So many points in a row are looked at together: more than a firing of most sensors."""
_SECTORS = 24
_FEWEST_POINTS = 200
_FEWEST_SCANS = 10
_MEMORY = 50
_ROUGH = 0.12
"""Median difference of ranges side by side over the range, below which any order is one."""
_SOME = 0.2
"""Of the returns that it had, or that a direction has in the mean: one with less is empty."""
_FEW = 5
"""Of the points that are looked at: a direction with fewer tells nothing."""
_CONFIRM = 3
_NO_PAIR = -2.0

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
        self._before: Floats | None = None
        """Returns of the last scan by direction, ``[_SECTORS]``."""
        self._before_ns = 0
        self._lacks: Floats | None = None
        """The same of the last scan before much of it went."""
        self._rough_run = self._missing_run = 0

    def inspect(self, cloud: Pixels, now_ns: int) -> list[Found]:
        """Judge a scan; one with hardly a point is another check's business."""
        stretches = _stretches(cloud)
        if stretches is None:
            return []
        # Where nothing comes back some send NaN, others infinity (REP 117).
        ranges = np.sqrt(np.einsum("ijk,ijk->ij", stretches, stretches))
        returns = np.isfinite(ranges) & (ranges != 0)
        seen = ranges[returns]
        if seen.size < _FEWEST_POINTS:
            return []
        plausible = (seen > _NEAREST_M) & (seen < _FARTHEST_M)
        implausible = 1.0 - float(plausible.mean())
        close = float((seen < _CLOSE_M).mean())
        found = [
            _verdict("implausible", implausible, IMPLAUSIBLE_ABOVE, "share of impossible ranges"),
            _verdict("close", close, CLOSE_ABOVE, f"share of returns within {_CLOSE_M:g} m"),
        ]
        if all(fault is None for _, fault in found):
            found.append(self._order(stretches, ranges, returns))
            far = stretches[returns & (ranges >= _CLOSE_M)]
            found.append(self._directions(far, max(1.0, cloud.size / returns.size), now_ns))
        return found

    def _order(self, stretches: Floats, ranges: Floats, returns: Flags) -> Found:
        """Compare the differences of ranges side by side with the sensor's usual ones."""
        rough = _rough(stretches, ranges, returns)
        usual = median(np.array(self._roughness)) if self._roughness else rough
        figure = rough / max(usual, 1e-3)
        known = len(self._roughness) >= _FEWEST_SCANS
        scrambled = known and rough > _ROUGH and figure > SCRAMBLED_ABOVE
        self._rough_run = self._rough_run + 1 if scrambled else 0
        if not scrambled:
            self._roughness.append(rough)
        name, what = "scrambled", "times the usual difference of ranges side by side"
        return _verdict(name, figure, SCRAMBLED_ABOVE, what, failed=self._rough_run >= _CONFIRM)

    def _directions(self, points: Floats, each: float, now_ns: int) -> Found:
        """Look for returns that from one scan to the next have gone, and have not come back."""
        angle = np.arctan2(points[:, 1], points[:, 0])
        sector = ((angle + np.pi) * (_SECTORS / (2 * np.pi))).astype(int) % _SECTORS
        now = np.bincount(sector, minlength=_SECTORS).astype(np.float32) * np.float32(each)
        before, self._before = self._before, now
        recent = now_ns - self._before_ns <= HELD_NS
        self._before_ns = now_ns
        if self._lacks is None and before is not None and recent and _much(before, now, each, 0.0):
            self._lacks = before
        if self._lacks is not None and not _much(self._lacks, now, each, MARGIN):
            self._lacks = None
        self._missing_run = 0 if self._lacks is None else self._missing_run + 1
        of = before if self._lacks is None else self._lacks
        share, lost = (0.0, 0.0) if of is None else _gone(of, now, each)
        failed = self._missing_run >= _CONFIRM
        name, state = "missing", SensorState.DEGRADED
        if share > MISSING_ABOVE * (1 - MARGIN) or not failed:
            what = "share of directions that lost their returns from one scan to the next"
            return _verdict(name, share, MISSING_ABOVE, what, state, failed=failed)
        what = "share of returns that were lost from one scan to the next"
        return _verdict(name, lost, LOST_ABOVE, what, state, failed=failed)


def _much(before: Floats, now: Floats, each: float, margin: float) -> bool:
    share, lost = _gone(before, now, each)
    return share > MISSING_ABOVE * (1 - margin) or lost > LOST_ABOVE * (1 - margin)


def _gone(before: Floats, now: Floats, each: float) -> tuple[float, float]:
    """Return the shares of directions that are empty now, and of returns that have gone.

    Directions that have come into view are set off against those: where a robot turns, as many do.
    """
    some = max(_SOME * float(before.mean()), _FEW * each)
    had = before > some
    empty = int(np.count_nonzero(had & (now < _SOME * before)))
    come = int(np.count_nonzero(~had & (now > some)))
    share = (empty - come) / max(1, int(np.count_nonzero(had)))
    return share, 1.0 - float(now.sum()) / max(1.0, float(before.sum()))


def _rough(stretches: Floats, ranges: Floats, returns: Flags) -> float:
    """Return the median difference of each range from that of the ray next to it, over the range.

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
    if not known.any():
        return 0.0
    return median(np.abs(beside[known] - ranges[known]) / ranges[known])


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
