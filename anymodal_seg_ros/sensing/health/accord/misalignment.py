"""Does a sensor lie beside the others? Measured from the pictures, little by little.

One sensor is compared with the first one at each look, part by part, as ``check-alignment`` does
with a recording. After enough looks the parts say how far it is shifted and turned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from anymodal_seg_ros.frames import CheckResult
from anymodal_seg_ros.sensing.geometry.alignment import PictureDrift
from anymodal_seg_ros.sensing.health.accord.contradiction import Pair, pair_of
from anymodal_seg_ros.sensing.health.accord.structure import Structure

LOOKS = 12
"""Looks that one measurement takes."""

RELATED = 7.0
"""Accord below which two pictures have too little in common to be measured by."""

_SEARCH = 0.06
"""Largest shift that is looked for, as a share of the width."""

_BACK = 0.8
"""Share of the threshold below which a sensor is taken to lie where it should again."""


@dataclass(frozen=True, slots=True)
class Displacement:
    """Where a sensor lies against the first one, in shares of the picture's width.

    Attributes:
        right: of the middle of its picture, to the right.
        down: of the middle, downwards.
        turned_deg: clockwise.
        farthest: of the corners of the middle half of the picture, the largest displacement.
    """

    right: float
    down: float
    turned_deg: float
    farthest: float


class _Against(NamedTuple):
    """Whose picture a sensor is measured against, and its shape, which a camera may change."""

    sensor: str
    rows: int
    columns: int


class Misalignment:
    """Measures one sensor after the other against the first."""

    def __init__(self, above: float) -> None:
        """Begin without a look; ``above`` is the displacement that is told; 0: none is."""
        self._above = above
        self._drifts: dict[str, tuple[_Against, int, PictureDrift]] = {}
        self._found: dict[str, Displacement] = {}
        self._told: set[str] = set()
        self._turn = 0

    def look(
        self, first: str, structures: Mapping[str, Structure], accords: Mapping[Pair, float]
    ) -> None:
        """Take one look at one of the other sensors, each in turn."""
        related = [
            name
            for name in sorted(structures)
            if name != first and accords.get(pair_of(first, name), 0.0) >= RELATED
        ]
        if not related or not self._above:
            return
        self._turn += 1
        name = related[self._turn % len(related)]
        reference, other = structures[first].edges, structures[name].edges
        rows, columns = reference.shape
        against = _Against(first, rows, columns)
        before, looks, drift = self._drifts.get(name, (None, 0, None))
        if drift is None or before != against:
            looks, drift = 0, PictureDrift(rows, columns, round(_SEARCH * columns))
        drift.add(reference, other)
        self._drifts[name] = (against, looks + 1, drift)
        if looks + 1 >= LOOKS:
            self._measured(name, drift, columns / rows)
            del self._drifts[name]

    def forget(self, sensor: str) -> None:
        """Begin anew with a sensor that was away."""
        self._drifts.pop(sensor, None)
        self._found.pop(sensor, None)
        self._told.discard(sensor)

    def displacement(self, sensor: str) -> Displacement | None:
        """Return where a sensor was found last; None if it was not measured yet."""
        return self._found.get(sensor)

    def words(self, sensor: str, size: tuple[int, int]) -> str:
        """Say that a sensor lies beside the first one, in pixels; empty if it does not.

        Args:
            sensor: its name.
            size: rows and columns of the picture that the pixels are of.
        """
        found = self._found.get(sensor)
        if found is None or sensor not in self._told:
            return ""
        width = size[1]
        return (
            f"lies {found.right * width:+.1f} px to the right and {found.down * width:+.1f} px "
            f"below the first sensor, turned by {found.turned_deg:+.1f} degrees: check its mount "
            "and its registration"
        )

    def checks(self, sensor: str) -> tuple[CheckResult, ...]:
        """Return the figure: the largest displacement in the middle half of the picture."""
        found = self._found.get(sensor)
        if found is None:
            return ()
        told = sensor in self._told
        return (CheckResult("misaligned", found.farthest, self._above, not told),)

    def _measured(self, name: str, drift: PictureDrift, aspect: float) -> None:
        """Take the result of so many looks."""
        back = drift.homography()  # takes x / width and y / height to where they should be
        corners = np.array([[x, y, 1.0] for x in (0.25, 0.5, 0.75) for y in (0.25, 0.5, 0.75)])
        moved = corners[:, :2] - (corners @ back.T)[:, :2]
        moved[:, 1] /= aspect
        middle = moved[4]
        # Of a turn by a small angle, x grows by -angle * y, both in shares of the width.
        turned = np.degrees(np.arctan2(back[0, 1] * aspect - back[1, 0] / aspect, 2.0))
        found = Displacement(
            float(middle[0]),
            float(middle[1]),
            float(turned),
            float(np.linalg.norm(moved, axis=1).max()),
        )
        self._found[name] = found
        if found.farthest > self._above:
            self._told.add(name)
        elif found.farthest < _BACK * self._above:
            self._told.discard(name)
