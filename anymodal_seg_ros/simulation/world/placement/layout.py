"""What stands and moves where: one tile of a street or trail, drawn from a random generator."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.simulation.world.ground import Grounds
from anymodal_seg_ros.simulation.world.materials import Parts, Surface
from anymodal_seg_ros.simulation.world.motion import Path, Swing
from anymodal_seg_ros.simulation.world.shapes import Vector
from anymodal_seg_ros.simulation.world.street import Street
from anymodal_seg_ros.simulation.world.things.bodies import Body

LANE_HALF_M = 1.25
"""Half the width of what is kept free for the ego vehicle."""


@dataclass(frozen=True, slots=True)
class Mover:
    """Something that moves.

    Attributes:
        body: what.
        path: where.
        lamps: whether it carries a pair of headlights.
    """

    body: Body
    path: Path
    lamps: bool = False


@dataclass(slots=True)
class TileLayout:
    """One tile, while it is being furnished.

    Attributes:
        street: the plan.
        grounds: what the ground is made of.
        standing: whether the ego vehicle stands, so that people may cross before it.
        oncoming: whether vehicles come along the other lane.
        things: what stands still: parts, origin, yaw.
        barriers: what sways in its place.
        traffic: people and vehicles under way.
        lamps: positions of the street lamps' lights.
        taken: x, lateral and radius of spots on the ground that are in use.
    """

    street: Street
    grounds: Grounds
    standing: bool
    oncoming: bool = False
    things: list[tuple[Parts, Vector, float]] = field(default_factory=list)
    barriers: list[Mover] = field(default_factory=list)
    traffic: list[Mover] = field(default_factory=list)
    lamps: list[Vector] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)

    def stand(self, parts: Parts, x: float, lateral: float, yaw: float = 0.0) -> None:
        """Put a thing on the ground, turned by ``yaw`` from the street's direction there."""
        at = self.street.place(x, lateral)
        self.things.append((parts, at, yaw + self.street.heading(x)))

    def sway(
        self, what: Body, x: float, lateral: float, yaw: float, cycles: int, phase: float
    ) -> None:
        """Put up something that swings ``cycles`` times in each period."""
        path = Swing(self.street.place(x, lateral), yaw + self.street.heading(x), cycles, phase)
        self.barriers.append(Mover(what, path))

    def claim(self, x: float, lateral: float, radius: float) -> bool:
        """Take a round spot on the ground, unless it would touch another or the ego's lane."""
        half = self.street.length / 2
        if not self.clear_of_lane(lateral, min(radius, 1.2)):
            return False
        for other_x, other_lateral, other in self.taken:
            away = (x - other_x + half) % (2 * half) - half
            if math.hypot(away, lateral - other_lateral) < radius + other:
                return False
        self.taken.append((x, lateral, radius))
        return True

    def clear_of_lane(self, lateral: float, half: float) -> bool:
        """Whether something ``half`` metres to each side leaves the ego vehicle's lane free."""
        return abs(lateral - self.street.ego_lateral) > LANE_HALF_M + half

    def beside_road(self, side: float, clear: float, rng: np.random.Generator) -> float:
        """A lateral position off the carriageway or trail with ``clear`` metres to its edge."""
        street = self.street
        free = street.half_width + clear
        return side * rng.uniform(free, max(street.edge, free + 1.5))

    def ground_at(self, lateral: float) -> Surface:
        """What the ground is made of there."""
        if abs(lateral) < self.street.half_width:
            return self.grounds.road
        if abs(lateral) < self.street.edge:
            return self.grounds.pavement
        return self.grounds.terrain
