"""How things move. Every path is periodic, so that a sequence can run on at its beginning.

The world repeats along the street every ``length`` metres; a vehicle that covers a whole number of
lengths in one period is, seen from the ego vehicle, back where it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from anymodal_seg_ros.simulation.shapes import Vector


class Path(Protocol):
    """Where a thing is at any time."""

    def at(self, turn: float) -> tuple[Vector, float, float]:
        """Origin [m], yaw [rad] and gait phase [rad] at ``turn`` periods, of any sign."""
        ...


@dataclass(frozen=True, slots=True)
class Drive:
    """Along the street, ``laps`` lengths in each period (negative: oncoming), weaving a little."""

    start: Vector
    laps: int
    length: float
    weave: float
    phase: float

    def at(self, turn: float) -> tuple[Vector, float, float]:
        """See ``Path``."""
        x, y, z = self.start
        angle = 2 * math.pi * turn + self.phase
        surge = 0.8 * math.sin(angle) if self.laps else 0.0
        position = (x + self.laps * self.length * turn + surge, y + self.weave * math.cos(angle), z)
        return position, 0.0 if self.laps >= 0 else math.pi, 0.0


@dataclass(frozen=True, slots=True)
class Stroll:
    """Around a slim ellipse: there and back, once in each period."""

    center: Vector
    along: float
    across: float
    yaw: float
    phase: float
    strides: int

    def at(self, turn: float) -> tuple[Vector, float, float]:
        """See ``Path``."""
        angle = 2 * math.pi * turn + self.phase
        u, v = self.along * math.cos(angle), self.across * math.sin(angle)
        du, dv = -self.along * math.sin(angle), self.across * math.cos(angle)
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        x, y, z = self.center
        heading = self.yaw + math.atan2(dv, du)
        return (
            (x + c * u - s * v, y + s * u + c * v, z),
            heading,
            2 * math.pi * self.strides * turn + self.phase,
        )


@dataclass(frozen=True, slots=True)
class Stand:
    """In one place, shifting weight now and then."""

    position: Vector
    yaw: float
    phase: float

    def at(self, turn: float) -> tuple[Vector, float, float]:
        """See ``Path``."""
        sway = 0.3 * math.sin(2 * math.pi * turn + self.phase)
        return self.position, self.yaw + 0.5 * sway, sway
