"""How things move. Every path is periodic, so that a sequence can run on at its beginning.

The world repeats along the street every ``length`` metres; a vehicle that covers a whole number of
lengths in one period is, seen from the ego vehicle, back where it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from anymodal_seg_ros.simulation.world.shapes import Vector
from anymodal_seg_ros.simulation.world.street import Street


class Path(Protocol):
    """Where a thing is at any time."""

    def at(self, turn: float) -> tuple[Vector, float, float]:
        """Origin [m], yaw [rad] and phase of the limbs [rad] at ``turn`` periods, of any sign."""
        ...


@dataclass(frozen=True, slots=True)
class Drive:
    """Along the street, ``laps`` lengths in each period (negative: oncoming).

    Attributes:
        street: whose bends are followed.
        x: where it is at the beginning, but for ``surge``.
        lateral: where on the street.
        laps: street lengths in each period.
        surge: how far it runs ahead and falls back, in metres: by several, it overtakes the ego
            vehicle and is overtaken.
        weave: how far it sways across.
        phase: of surge and weave.
        strides: swings of the limbs in each period: pedalling.
    """

    street: Street
    x: float
    lateral: float
    laps: int
    surge: float
    weave: float
    phase: float
    strides: int = 0

    def at(self, turn: float) -> tuple[Vector, float, float]:
        """See ``Path``."""
        angle = 2 * math.pi * turn + self.phase
        x = self.x + self.laps * self.street.length * turn + self.surge * math.sin(angle)
        _, y, _ = self.street.on_road(x, self.lateral + self.weave * math.cos(angle))
        yaw = self.street.heading(x) + (0.0 if self.laps >= 0 else math.pi)
        return (x, y, 0.0), yaw, 2 * math.pi * self.strides * turn + self.phase


@dataclass(frozen=True, slots=True)
class Cross:
    """Through the side street, from ``reach`` metres on one side to as far on the other.

    At the end it starts anew. ``side`` is 1 if it comes from the left.
    """

    x: float
    side: float
    reach: float
    phase: float
    strides: int = 0

    def at(self, turn: float) -> tuple[Vector, float, float]:
        """See ``Path``."""
        share = (turn + self.phase) % 1.0
        y = self.side * self.reach * (1.0 - 2.0 * share)
        return (self.x, y, 0.0), -self.side * math.pi / 2, 2 * math.pi * self.strides * turn


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


@dataclass(frozen=True, slots=True)
class Swing:
    """In one place, its limbs swinging ``cycles`` times in each period."""

    position: Vector
    yaw: float
    cycles: int
    phase: float

    def at(self, turn: float) -> tuple[Vector, float, float]:
        """See ``Path``."""
        return self.position, self.yaw, 2 * math.pi * self.cycles * turn + self.phase
