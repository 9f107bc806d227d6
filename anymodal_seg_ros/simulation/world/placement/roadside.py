"""Both sides of a street: buildings, walls, plants, lamps, signs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from anymodal_seg_ros.simulation.world.materials import Parts
from anymodal_seg_ros.simulation.world.placement.layout import TileLayout
from anymodal_seg_ros.simulation.world.things import buildings, greenery, poles, signs
from anymodal_seg_ros.simulation.world.things.fences import FENCES, guard_rail


def line(layout: TileLayout, rng: np.random.Generator) -> None:
    """Furnish both sides of a street (not of a trail)."""
    for side in (-1.0, 1.0):
        _buildings(layout, side, rng)
        _fences(layout, side, rng)
        _plants(layout, side, rng)
        _lamps(layout, side, rng)
        _signs(layout, side, rng)
    if layout.street.kind == "urban" or rng.random() < 0.4:
        _overhead(layout, rng)


def _front(side: float) -> float:
    """Yaw of a thing that faces -y, so that it faces the street."""
    return 0.0 if side > 0 else math.pi


def _house(layout: TileLayout, room: float, rng: np.random.Generator) -> tuple[Parts, float, float]:
    """A building for ``room`` metres of street: parts, width, distance to the next."""
    kind = layout.street.kind
    if kind == "urban":
        width = min(room, rng.uniform(8.0, 20.0))
        floors = int(rng.integers(2, 8))
        gap = rng.uniform(3.0, 12.0) if rng.random() < 0.25 else 0.02
        return buildings.block(width, rng.uniform(9, 14), floors, rng), width, gap
    width = min(room, rng.uniform(8.0, 13.0))
    gap = rng.uniform(4.0, 12.0) if kind == "suburban" else 10.0
    return buildings.house(width, rng.uniform(7, 10), rng), width, gap


def _buildings(layout: TileLayout, side: float, rng: np.random.Generator) -> None:
    """Front to the street, none in the way of the side street."""
    street = layout.street
    setback = {"urban": rng.uniform(0.0, 2.0), "suburban": rng.uniform(3.0, 8.0), "rural": 12.0}
    chance = {"urban": 0.85, "suburban": 0.75, "rural": 0.2}[street.kind]
    signs_here = street.kind == "urban"
    x = rng.uniform(0.0, 5.0)
    while x < street.length - 6.0:
        room = street.length - x
        if street.crossing is not None:
            gap_from = street.crossing - street.crossing_half - 1.0
            if gap_from - 6.0 < x < street.crossing + street.crossing_half + 1.0:
                x = street.crossing + street.crossing_half + 1.0
                continue
            if x < gap_from:
                room = min(room, gap_from - x)
        if rng.random() > chance:
            x += rng.uniform(8.0, 16.0)
            continue
        parts, width, gap = _house(layout, room, rng)
        # Where the street bends, the corners of a long front come closer to it.
        inward = abs(math.tan(street.heading(x + width / 2))) * 0.15 * width
        lateral = side * (street.edge + setback[street.kind] + inward + rng.uniform(0.0, 0.6))
        at = street.place(x + width / 2, lateral)
        sunk = (at[0], at[1], max(0.0, at[2] - 0.5))
        yaw = _front(side) + street.heading(at[0])
        layout.things.append((parts, sunk, yaw))
        if signs_here and rng.random() < 0.7:
            spot = side * (abs(lateral) - 0.03)
            board = signs.on_wall(rng)
            # Turned to face -y, then as the front is.
            turned = yaw + math.pi / 2
            shift = rng.uniform(-0.3, 0.3) * width
            foot = street.place(at[0], spot)
            c, s = math.cos(street.heading(at[0])), math.sin(street.heading(at[0]))
            origin = (foot[0] + c * shift, foot[1] + s * shift, sunk[2])
            layout.things.append((board, origin, turned))
        x += width + gap


def _fences(layout: TileLayout, side: float, rng: np.random.Generator) -> None:
    """Walls and fences in runs of one make, in pieces short enough to follow the bends."""
    street = layout.street
    makers = FENCES[street.kind]
    share = {"urban": 0.25, "suburban": 0.75, "rural": 0.55}[street.kind]
    x = 0.0
    while x < street.length - 4.0:
        run = rng.uniform(8.0, 24.0)
        maker = makers[int(rng.integers(len(makers)))]
        if rng.random() < share:
            lateral = side * (street.edge + rng.uniform(0.35, 1.6 if maker != guard_rail else 0.6))
            if street.kind == "urban":
                lateral = side * (street.edge - 0.25)
            seed = int(rng.integers(2**31))
            for i in range(int(run // 4.0)):
                at = x + 4.0 * i + 2.0
                if at < street.length - 2.0 and not street.in_crossing(at, 3.0):
                    # Every piece of a run is drawn alike.
                    layout.stand(
                        maker(4.05, np.random.default_rng(seed)), at, lateral, _front(side)
                    )
        x += run


def _plants(layout: TileLayout, side: float, rng: np.random.Generator) -> None:
    street = layout.street
    near, far, trees, bushes = {
        "urban": (-0.7, 0.3, rng.choice([0, 2, 5]), 3),
        "suburban": (0.8, 14.0, 5, 6),
        "rural": (1.5, 40.0, 9, 8),
    }[street.kind]

    def spot(lateral: float, margin: float) -> float:
        """An x where nothing would hang over the side street."""
        x = float(rng.uniform(0, street.length))
        while street.in_crossing(x, margin) and abs(lateral) > street.half_width:
            x = float(rng.uniform(0, street.length))
        return x

    for _ in range(int(trees)):
        lateral = side * (street.edge + near + (far - near) * rng.random() ** 1.5)
        make: Callable[[float, np.random.Generator], Parts] = greenery.broadleaf
        if street.kind != "urban" and rng.random() < 0.35:
            make = greenery.conifer
        tree = make(rng.uniform(4.5, 11.0), rng)
        layout.stand(tree, spot(lateral, 1.0), lateral, rng.uniform(0, 6.28))
    for _ in range(int(rng.integers(0, bushes + 1))):
        lateral = side * (street.edge + 0.9 + rng.uniform(0.0, max(1.0, far * 0.6)))
        bush = greenery.bush(rng.uniform(0.7, 2.0), rng)
        layout.stand(bush, spot(lateral, 1.0), lateral)
    for _ in range(int(rng.integers(0, 4)) if street.kind == "suburban" else 0):
        lateral = side * (street.edge + 0.9)
        layout.stand(greenery.hedge(rng.uniform(4, 8), rng), spot(lateral, 4.5), lateral)


def _lamps(layout: TileLayout, side: float, rng: np.random.Generator) -> None:
    street = layout.street
    kerb = street.half_width + (0.35 if street.pavement else 0.9)
    if street.kind == "rural" and rng.random() < 0.7:
        return
    count = int(rng.integers(2, 5))
    height, reach = rng.uniform(4.5, 8.0), rng.uniform(0.6, 2.0)
    offset = rng.uniform(0, street.length / count)
    for i in range(count):
        x = offset + i * street.length / count
        if street.in_crossing(x, 0.5):
            x += 2 * street.crossing_half
        lamp, light = poles.lamp_post(height, reach, rng)
        layout.stand(lamp, x, side * kerb, math.pi if side > 0 else 0.0)
        foot = street.place(x, side * kerb)
        layout.lamps.append((x, foot[1] - side * light[1], foot[2] + light[2]))


def _signs(layout: TileLayout, side: float, rng: np.random.Generator) -> None:
    """Signs for the ego vehicle on the right; on the left some of them show their backs."""
    street = layout.street
    kerb = street.half_width + (0.4 if street.pavement else 0.9)
    if street.crossing is not None and street.kind != "rural":
        x = street.crossing + (-1.0 if side < 0 else 1.0) * (street.crossing_half + 1.2)
        layout.stand(signs.traffic_light(rng), x, side * (kerb + 0.3), 0.0 if side < 0 else math.pi)
    low, high = {"urban": (3, 7), "suburban": (3, 6), "rural": (3, 6)}[street.kind]
    for _ in range(int(rng.integers(low, high))):
        x = float(rng.uniform(0, street.length))
        if street.in_crossing(x, 0.5):
            continue
        yaw = rng.uniform(-0.15, 0.15)
        if side > 0 and rng.random() < 0.4:
            yaw += math.pi
        choice = rng.random()
        if choice < 0.68:
            layout.stand(signs.on_post(rng), x, side * (kerb + rng.uniform(0.0, 0.6)), yaw)
        elif choice < 0.85:
            board = signs.direction_board(rng)
            layout.stand(board, x, side * (max(street.edge, kerb) + 1.4), yaw)
        else:
            layout.stand(poles.mast(rng), x, side * (kerb + rng.uniform(0.0, 0.6)), yaw)


def _overhead(layout: TileLayout, rng: np.random.Generator) -> None:
    """Signs and signals over the road, from a mast on the right."""
    street = layout.street
    x = rng.uniform(0.0, street.length)
    lateral = -(street.half_width + (0.5 if street.pavement else 1.0))
    span = -lateral + rng.uniform(0.0, 0.6) * street.half_width
    layout.stand(signs.overhead(span, 1.6, rng), float(x), lateral)
