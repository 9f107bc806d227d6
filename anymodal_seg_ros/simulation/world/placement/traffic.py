"""Who is under way: vehicles, two-wheelers, people; and what is parked."""

from __future__ import annotations

import math

import numpy as np

from anymodal_seg_ros.simulation.world.materials import Parts
from anymodal_seg_ros.simulation.world.motion import Cross, Drive, Path, Stand, Stroll
from anymodal_seg_ros.simulation.world.placement.layout import Mover, TileLayout
from anymodal_seg_ros.simulation.world.shapes import Vector
from anymodal_seg_ros.simulation.world.things import vehicles
from anymodal_seg_ros.simulation.world.things.bodies import Body, body
from anymodal_seg_ros.simulation.world.things.people import person
from anymodal_seg_ros.simulation.world.things.two_wheelers import bicycle, motorcycle

_CROSS_REACH_M = 75.0


def vehicle(running: bool, rng: np.random.Generator) -> Parts:
    """A car, or one time in three something larger."""
    choice = rng.random()
    if choice < 0.72:
        return vehicles.car(running, rng)
    if choice < 0.83:
        return vehicles.van(running, rng)
    return vehicles.lorry(running, rng) if choice < 0.93 else vehicles.bus(running, rng)


def _two_wheeler(ridden: bool, rng: np.random.Generator) -> Body:
    return bicycle(ridden, rng) if rng.random() < 0.6 else motorcycle(ridden, rng)


def park(layout: TileLayout, rng: np.random.Generator) -> None:
    """Vehicles along the kerb or off the road, and two-wheelers on pavements and verges."""
    street = layout.street
    for side in (-1.0, 1.0):
        lateral = side * (street.half_width - 1.05)
        chance = rng.uniform(0.1, 0.75)
        # Doors, mirrors and buses need their room, on either lane.
        narrow = side > 0 and layout.oncoming and lateral + street.ego_lateral < 2.6
        narrow |= not layout.clear_of_lane(lateral, 1.25)
        if narrow or street.kind in ("rural", "offroad"):
            lateral = side * (street.edge + rng.uniform(2.2, 3.5))
            chance = {"urban": 0.0, "suburban": 0.3, "rural": 0.14, "offroad": 0.08}[street.kind]
        x = 3.0
        while x < street.length - 6.0:
            if rng.random() < chance and not street.in_crossing(x, 6.0):
                parts = vehicle(False, rng)
                length = float(np.ptp(parts[0][0][..., 0]))
                yaw = (0.0 if side < 0 else math.pi) + float(rng.normal(0, 0.03))
                layout.stand(parts, x + length / 2, lateral, yaw)
                # A disc at each end and one between.
                layout.taken += [(x + length * s, lateral, 1.4) for s in (0.15, 0.5, 0.85)]
                x += length + rng.uniform(1.5, 5.0)
            else:
                x += rng.uniform(4.0, 9.0)
    for _ in range(int(rng.integers(2, 8)) if street.kind != "offroad" else 2):
        side = float(rng.choice([-1.0, 1.0]))
        x, lateral = rng.uniform(0.0, street.length), layout.beside_road(side, 0.7, rng)
        group = int(rng.choice([1, 2, 4], p=[0.5, 0.3, 0.2]))
        yaw = float(rng.choice([0.0, math.pi / 2])) + float(rng.normal(0.0, 0.3))
        for i in range(group):
            bike = _two_wheeler(False, rng)
            if layout.claim(x + 0.75 * i, lateral, 0.37):
                layout.stand(bike.parts, x + 0.75 * i, lateral, yaw)


def drive(layout: TileLayout, rng: np.random.Generator) -> None:
    """Others keep to whole laps; whoever shares the ego lane keeps pace with it."""
    street, ego = layout.street, layout.street.ego_lateral

    def add(what: Body, x: float, lateral: float, laps: int, surge: float, lamps: bool) -> None:
        phase, weave = rng.uniform(0, 6.28), 0.06 if laps else 0.0
        path = Drive(street, x, lateral, laps, surge, weave, phase, 14)
        layout.traffic.append(Mover(what, path, lamps))

    own = 0 if layout.standing else 1
    if rng.random() < 0.45:
        what = body(vehicle(True, rng)) if rng.random() < 0.7 else _two_wheeler(True, rng)
        add(what, rng.uniform(16.0, 34.0), ego, own, 0.8 * own, True)
    if rng.random() < 0.35:  # somebody follows: the rear is looked at as well
        add(body(vehicle(True, rng)), -rng.uniform(15.0, 26.0), ego, own, 0.8 * own, True)
    if street.kind == "offroad":
        return
    for _ in range(int(rng.choice([0, 1, 2], p=[0.35, 0.4, 0.25]))):
        layout.oncoming = True
        big = body(vehicle(True, rng)) if rng.random() < 0.7 else _two_wheeler(True, rng)
        add(big, rng.uniform(0.0, street.length), -ego + rng.uniform(-0.05, 0.15), -1, 0.8, True)
    edge = -(street.half_width - 0.35)
    if not layout.clear_of_lane(edge, 0.35):
        edge = -(street.half_width + 0.5)
    for _ in range(int(rng.integers(0, 3))):  # cyclists overtake and are overtaken
        surge = float(rng.uniform(4.0, 14.0)) * own
        add(bicycle(True, rng), rng.uniform(-10.0, 24.0), edge, own, surge, False)
    for _ in range(int(rng.integers(0, 2))):
        add(bicycle(True, rng), rng.uniform(0.0, street.length), -edge, -1, 0.8, False)
    _cross(layout, rng)


def _cross(layout: TileLayout, rng: np.random.Generator) -> None:
    """Through the side street while the ego vehicle is half a street length away from it."""
    street = layout.street
    if street.crossing is None:
        return
    for side in (-1.0, 1.0):
        if rng.random() < 0.6:
            # Across the middle at half a period after the ego vehicle, give or take.
            middle = 0.5 if layout.standing else street.crossing / street.length + 0.5
            phase = 0.5 - middle + rng.uniform(-0.08, 0.08)
            x = street.crossing + side * 0.5 * street.crossing_half
            bike = rng.random() < 0.35
            what = _two_wheeler(True, rng) if bike else body(vehicle(True, rng))
            path = Cross(x, side, 45.0 if bike else _CROSS_REACH_M, phase, 14)
            layout.traffic.append(Mover(what, path, not bike))


def populate(layout: TileLayout, rng: np.random.Generator) -> None:
    """People on pavements and verges, alone and in groups, and some on the empty other lane."""
    street = layout.street
    fewest, most = {
        "urban": (8, 22), "suburban": (7, 16), "rural": (4, 11), "offroad": (2, 8),
    }[street.kind]  # fmt: skip
    left = int(rng.integers(fewest, most))
    while left > 0:
        side = float(rng.choice([-1.0, 1.0]))
        lateral = layout.beside_road(side, 0.65, rng)
        other_lane = rng.uniform(0.9, max(1.0, street.half_width - 0.5))
        if rng.random() < 0.25 and not layout.oncoming and layout.clear_of_lane(other_lane, 0.9):
            lateral = other_lane
        x = rng.uniform(0.0, street.length)
        group = min(left, int(rng.choice([1, 2, 4], p=[0.65, 0.25, 0.1])))
        for i in range(group):
            spot = lateral + float(rng.uniform(-0.25, 0.25))
            who, at = person(rng), street.place(x + 0.7 * i, spot)
            path = _walk(at, street.heading(x), group > 1, rng)
            if layout.claim(x + 0.7 * i, spot, 0.3):
                layout.traffic.append(Mover(who, path))
        left -= group
    for _ in range(int(rng.integers(1, 4)) if layout.standing else 0):
        x = rng.uniform(7.0, 14.0)
        at = street.on_road(x, street.ego_lateral + rng.uniform(-2.0, 2.0))
        across = Stroll(at, 2.6, 0.3, math.pi / 2, rng.uniform(0, 6.28), 8)
        layout.traffic.append(Mover(person(rng), across))


def _walk(at: Vector, heading: float, together: bool, rng: np.random.Generator) -> Path:
    phase = rng.uniform(0, 2 * math.pi)
    if rng.random() < (0.7 if together else 0.25):
        return Stand(at, rng.uniform(0, 2 * math.pi), phase)
    along = rng.uniform(1.2, 2.6)
    strides = max(4, round(3.4 * along))
    return Stroll(at, along, 0.25, heading + rng.normal(0.0, 0.06), phase, strides)
