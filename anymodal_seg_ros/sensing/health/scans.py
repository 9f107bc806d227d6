"""Are these points a scan of the world? Ranges, order and directions of a LiDAR's returns.

A sensor that sees nothing somewhere sends no point there, or one without coordinates: that is no
fault. But what it does send lies between a few centimetres and some hundred metres, and rays that
are fired one after the other mostly hit the same surface.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import CheckResult, Pixels, SensorState
from anymodal_seg_ros.sensing.health.sensor_health import Fault

IMPLAUSIBLE_ABOVE = 0.2
"""Share of returns whose ranges no LiDAR measures."""
CLOSE_ABOVE = 0.6
"""Share of returns from right before the sensor."""
SCRAMBLED_ABOVE = 2.5
"""Times the usual difference of successive ranges."""
MISSING_ABOVE = 0.3
"""Share of the directions that used to have returns and have none."""

_NEAREST_M, _FARTHEST_M = 0.05, 1000.0
_CLOSE_M = 0.6
_POINTS = 4096
_SECTORS = 24
_FEWEST_POINTS = 200
_FEWEST_SCANS = 10
_MEMORY = 50
_ROUGH = 0.12
"""Median difference of successive ranges over the range, below which any order is one."""
_SOME = 0.2
"""Of its usual share of the returns, a direction with less is empty."""
_CONFIRM = 3

Floats = npt.NDArray[np.float64]
Found = tuple[CheckResult, Fault | None]


class ScanWatch:
    """Judges the scans of one LiDAR, point clouds with x, y and z."""

    def __init__(self) -> None:
        """Begin without a scan."""
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._roughness: deque[float] = deque(maxlen=_MEMORY)
        self._shares: deque[Floats] = deque(maxlen=_MEMORY)
        self._rough_run = self._missing_run = 0

    def inspect(self, cloud: Pixels, now_ns: int) -> list[Found]:
        """Judge a scan; one with hardly a point is another check's business."""
        del now_ns  # scans are few enough to be looked at one by one
        points = _points(cloud)
        if points is None:
            return []
        with np.errstate(over="ignore", invalid="ignore"):
            ranges = np.linalg.norm(points, axis=1)
        returns = ~np.isnan(ranges) & (ranges != 0)
        if np.count_nonzero(returns) < _FEWEST_POINTS:
            return []
        points, ranges = points[returns], ranges[returns]
        plausible = (ranges > _NEAREST_M) & (ranges < _FARTHEST_M)
        implausible = 1.0 - float(plausible.mean())
        close = float((ranges < _CLOSE_M).mean())
        found = [
            _verdict("implausible", implausible, IMPLAUSIBLE_ABOVE, "share of impossible ranges"),
            _verdict("close", close, CLOSE_ABOVE, f"share of returns within {_CLOSE_M:g} m"),
        ]
        if all(fault is None for _, fault in found):
            found.append(self._order(ranges))
            found.append(self._directions(points))
        return found

    def _order(self, ranges: Floats) -> Found:
        """Compare the differences of successive ranges with the sensor's usual ones."""
        steps = np.abs(np.diff(ranges)) / ranges[1:]
        rough = float(np.median(steps))
        usual = float(np.median(self._roughness)) if self._roughness else rough
        figure = rough / max(usual, 1e-3)
        known = len(self._roughness) >= _FEWEST_SCANS
        scrambled = known and rough > _ROUGH and figure > SCRAMBLED_ABOVE
        self._rough_run = self._rough_run + 1 if scrambled else 0
        if not scrambled:
            self._roughness.append(rough)
        name, what = "scrambled", "times the usual difference of successive ranges"
        return _verdict(name, figure, SCRAMBLED_ABOVE, what, failed=self._rough_run >= _CONFIRM)

    def _directions(self, points: Floats) -> Found:
        """Look for directions that used to have returns and have none."""
        angle = np.arctan2(points[:, 1], points[:, 0])
        sector = ((angle + np.pi) / (2 * np.pi) * _SECTORS).astype(int) % _SECTORS
        shares = np.bincount(sector, minlength=_SECTORS) / len(points)
        usual = np.median(self._shares, axis=0) if self._shares else shares
        living = usual > 0.2 / _SECTORS
        empty = living & (shares < _SOME * usual)
        figure = float(np.count_nonzero(empty)) / max(1, int(np.count_nonzero(living)))
        missing = len(self._shares) >= _FEWEST_SCANS and figure > MISSING_ABOVE
        self._missing_run = self._missing_run + 1 if missing else 0
        if not missing:
            self._shares.append(shares)
        failed = self._missing_run >= _CONFIRM
        what = "share of directions without the returns that they used to have"
        return _verdict("missing", figure, MISSING_ABOVE, what, SensorState.DEGRADED, failed=failed)


def _points(cloud: Pixels) -> Floats | None:
    """Return up to a few thousand points ``[N, 3]``, neighbours in the order of the scan."""
    names = cloud.dtype.names or ()
    if not all(axis in names for axis in "xyz"):
        return None
    flat = cloud.reshape(-1)
    if flat.size > _POINTS:  # whole stretches, so that neighbours stay neighbours
        stretches = _POINTS // 32
        starts = np.linspace(0, flat.size - 32, stretches).astype(int)
        flat = flat[(starts[:, None] + np.arange(32)).reshape(-1)]
    with np.errstate(invalid="ignore"):
        columns: list[Any] = [flat[axis].astype(np.float64) for axis in "xyz"]
    points = np.stack(columns, axis=-1)
    return points if points.ndim == 2 else None


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
