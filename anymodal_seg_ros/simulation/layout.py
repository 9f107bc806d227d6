"""What stands and moves where: one tile of a street, drawn from a random generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from anymodal_seg_ros.simulation import buildings, greenery, poles, vehicles
from anymodal_seg_ros.simulation.ground import Street
from anymodal_seg_ros.simulation.materials import Parts
from anymodal_seg_ros.simulation.motion import Drive, Path, Stand, Stroll
from anymodal_seg_ros.simulation.people import Person, person
from anymodal_seg_ros.simulation.shapes import Vector

_KERB_M = 0.12


@dataclass(slots=True)
class Layout:
    """One tile.

    Attributes:
        things: what stands still: parts, origin, yaw.
        movers: vehicles under way: parts, path.
        people: people and their paths.
        lamps: positions of the street lamps' lights.
    """

    things: list[tuple[Parts, Vector, float]] = field(default_factory=list)
    movers: list[tuple[Parts, Path]] = field(default_factory=list)
    people: list[tuple[Person, Path]] = field(default_factory=list)
    lamps: list[Vector] = field(default_factory=list)


def draw_layout(street: Street, ego_y: float, standing: bool, rng: np.random.Generator) -> Layout:
    """Furnish a street.

    Args:
        street: its plan.
        ego_y: lateral position of the ego vehicle, whose lane is kept free.
        standing: whether the ego vehicle stands, so that people may cross before it.
        rng: source of all randomness.
    """
    layout = Layout()
    for side in (-1.0, 1.0):
        _line_with_buildings(layout, street, side, rng)
        _plant(layout, street, side, rng)
        _line_with_poles(layout, street, side, rng)
    _park(layout, street, ego_y, rng)
    _drive(layout, street, ego_y, standing, rng)
    _populate(layout, street, ego_y, standing, rng)
    return layout


def _on_ground(street: Street, x: float, y: float) -> Vector:
    if abs(y) < street.half_width:
        return (x, y, 0.0)
    if abs(y) < street.edge:
        return (x, y, _KERB_M)
    return (x, y, float(street.height(np.array(x, np.float32), np.array(y, np.float32))))


def _line_with_buildings(
    layout: Layout, street: Street, side: float, rng: np.random.Generator
) -> None:
    """Front to the street: what is built facing -y is turned round on the right-hand side."""
    yaw = 0.0 if side > 0 else math.pi
    x = rng.uniform(0.0, 5.0)
    setback = {"urban": rng.uniform(0.0, 2.0), "suburban": rng.uniform(3.0, 8.0), "rural": 12.0}
    while x < street.length - 6.0:
        width = min(rng.uniform(8.0, 20.0), street.length - x)
        y = side * (street.edge + setback[street.kind] + rng.uniform(0.0, 0.6))
        at = _on_ground(street, x + width / 2, y)
        at = (at[0], at[1], max(0.0, at[2] - 0.5))
        if street.kind == "urban" and rng.random() < 0.85:
            floors = int(rng.integers(2, 8))
            layout.things.append((buildings.block(width, rng.uniform(9, 14), floors, rng), at, yaw))
            x += width + (rng.uniform(3.0, 12.0) if rng.random() < 0.25 else 0.02)
        elif street.kind == "suburban" and rng.random() < 0.75:
            width = min(width, 13.0)
            layout.things.append((buildings.house(width, rng.uniform(7, 10), rng), at, yaw))
            x += width + rng.uniform(4.0, 12.0)
        elif street.kind == "rural" and rng.random() < 0.16:
            layout.things.append((buildings.house(min(width, 14), 8.0, rng), at, yaw))
            x += width + 10.0
        else:
            if street.kind != "rural" and rng.random() < 0.5:
                layout.things.append((buildings.garden_wall(width * 0.9, rng), at, yaw))
            x += width


def _plant(layout: Layout, street: Street, side: float, rng: np.random.Generator) -> None:
    near, far, trees, bushes = {
        "urban": (-0.7, 0.3, rng.choice([0, 3, 6]), 2),
        "suburban": (0.8, 14.0, 6, 7),
        "rural": (1.5, 40.0, 13, 10),
    }[street.kind]
    for _ in range(int(trees)):
        y = side * (street.edge + near + (far - near) * rng.random() ** 1.5)
        at = _on_ground(street, rng.uniform(0, street.length), y)
        height = rng.uniform(4.0, 11.0)
        tree: Callable[[float, np.random.Generator], Parts] = greenery.broadleaf
        if street.kind != "urban" and rng.random() < 0.35:
            tree = greenery.conifer
        layout.things.append((tree(height, rng), at, rng.uniform(0, 6.28)))
    for _ in range(int(rng.integers(0, bushes + 1))):
        y = side * (street.edge + 0.3 + rng.uniform(0.0, max(1.0, far * 0.6)))
        at = _on_ground(street, rng.uniform(0, street.length), y)
        layout.things.append((greenery.bush(rng.uniform(0.7, 2.4), rng), at, 0.0))
    for _ in range(int(rng.integers(0, 4)) if street.kind == "suburban" else 0):
        at = _on_ground(street, rng.uniform(0, street.length), side * (street.edge + 0.6))
        layout.things.append((greenery.hedge(rng.uniform(4, 10), rng), at, 0.0))


def _line_with_poles(layout: Layout, street: Street, side: float, rng: np.random.Generator) -> None:
    kerb = street.half_width + 0.35 + (0.5 if street.kind == "rural" else 0.0)
    inward = 0.0 if side < 0 else math.pi
    if street.kind != "rural" or rng.random() < 0.3:
        spacing = street.length / int(rng.integers(2, 5))
        height, reach = rng.uniform(4.5, 8.0), rng.uniform(0.6, 2.0)
        offset = rng.uniform(0, spacing)
        for i in range(round(street.length / spacing)):
            at = _on_ground(street, offset + i * spacing, side * kerb)
            parts, light = poles.lamp_post(height, reach, rng)
            layout.things.append((parts, at, inward))
            layout.lamps.append((at[0], at[1] - side * light[1], at[2] + light[2]))
    makers = (poles.traffic_sign, poles.traffic_light, poles.post, poles.post)
    for _ in range(int(rng.integers(1, 6))):
        maker = makers[int(rng.integers(len(makers)))]
        y = side * (kerb + rng.uniform(0.0, 0.6))
        at = _on_ground(street, rng.uniform(0, street.length), y)
        layout.things.append((maker(rng), at, rng.uniform(-0.3, 0.3)))


def _vehicle(running: bool, rng: np.random.Generator) -> Parts:
    return vehicles.van(running, rng) if rng.random() < 0.2 else vehicles.car(running, rng)


def _park(layout: Layout, street: Street, ego_y: float, rng: np.random.Generator) -> None:
    for side in (-1.0, 1.0):
        y = side * (street.half_width - 1.0)
        if street.kind == "rural" or abs(y - ego_y) < 2.6:
            y = side * (street.edge + 2.2)
            chance = 0.12
        else:
            chance = rng.uniform(0.1, 0.8)
        x = 3.0
        while x < street.length - 5.0:
            if rng.random() < chance:
                at = _on_ground(street, x, y)
                yaw = (0.0 if side < 0 else math.pi) + rng.normal(0, 0.03)
                layout.things.append((_vehicle(False, rng), at, yaw))
                x += rng.uniform(5.6, 9.8)
            else:
                x += rng.uniform(5.0, 9.0)


def _drive(
    layout: Layout, street: Street, ego_y: float, standing: bool, rng: np.random.Generator
) -> None:
    """Others keep to whole laps; whoever shares the ego lane keeps pace with it."""

    def add(x: float, y: float, laps: int, weave: float) -> None:
        start = (x, y, 0.0)
        path = Drive(start, laps, street.length, weave, rng.uniform(0, 6.28))
        layout.movers.append((_vehicle(True, rng), path))

    if rng.random() < 0.5:
        add(rng.uniform(12.0, 32.0), ego_y, 0 if standing else 1, 0.0 if standing else 0.1)
    for _ in range(int(rng.integers(0, 3))):
        add(rng.uniform(0.0, street.length), -ego_y + rng.normal(0, 0.1), -1, 0.1)


def _populate(
    layout: Layout, street: Street, ego_y: float, standing: bool, rng: np.random.Generator
) -> None:
    fewest_most = {"urban": (10, 28), "suburban": (8, 20), "rural": (5, 12)}[street.kind]
    for _ in range(int(rng.integers(*fewest_most))):
        side = float(rng.choice([-1.0, 1.0]))
        low, high = street.half_width + 0.2, max(street.edge, street.half_width + 2.5)
        y = side * rng.uniform(low, high)
        on_road = rng.random() < 0.25
        if on_road:
            y = -math.copysign(rng.uniform(0.4, street.half_width - 0.6), ego_y)
        at = _on_ground(street, rng.uniform(0.0, street.length), y)
        layout.people.append((person(rng), _walk(at, rng)))
    for _ in range(int(rng.integers(1, 4)) if standing else 0):
        at = (rng.uniform(6.0, 14.0), ego_y + rng.uniform(-2.0, 2.0), 0.0)
        across = Stroll(at, 2.6, 0.3, math.pi / 2, rng.uniform(0, 6.28), 8)
        layout.people.append((person(rng), across))


def _walk(at: Vector, rng: np.random.Generator) -> Path:
    phase = rng.uniform(0, 2 * math.pi)
    if rng.random() < 0.25:
        return Stand(at, rng.uniform(0, 2 * math.pi), phase)
    along = rng.uniform(1.2, 2.6)
    return Stroll(at, along, 0.25, rng.normal(0.0, 0.1), phase, max(4, round(3.4 * along)))
