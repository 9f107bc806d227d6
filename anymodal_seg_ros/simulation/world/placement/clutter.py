"""Obstacles on the way and barriers that sway, placed so that the ego vehicle's lane stays free."""

from __future__ import annotations

import math

import numpy as np

from anymodal_seg_ros.simulation.world.placement.layout import LANE_HALF_M, TileLayout
from anymodal_seg_ros.simulation.world.things import barriers, poles
from anymodal_seg_ros.simulation.world.things.obstacles import OBSTACLES

_CLEARANCE_M = 2.3
"""Nothing that sways comes lower over the ego vehicle's lane."""


def litter(layout: TileLayout, rng: np.random.Generator) -> None:
    """Leave obstacles on the other lane, at the kerb, on pavements and verges."""
    street = layout.street
    for _ in range(int(rng.integers(4, 11))):
        side = float(rng.choice([-1.0, 1.0]))
        lateral = layout.beside_road(side, 0.45, rng)
        inside = side * (street.half_width - 0.4)
        lane = rng.uniform(0.8, street.half_width)
        if rng.random() < 0.5 and layout.clear_of_lane(inside, 0.8):
            lateral = inside
        elif rng.random() < 0.5 and not layout.oncoming and layout.clear_of_lane(lane, 0.9):
            lateral = lane
        if not layout.clear_of_lane(lateral, 0.8):
            lateral += math.copysign(0.8, lateral)
        make = OBSTACLES[int(rng.integers(len(OBSTACLES)))]
        row = int(rng.choice([1, 3], p=[0.8, 0.2]))
        x, yaw = rng.uniform(0.0, street.length), rng.uniform(-0.4, 0.4)
        seed = int(rng.integers(2**31))
        for i in range(row):
            thing = make(layout.ground_at(lateral), np.random.default_rng(seed))
            if layout.claim(x + 1.7 * i, lateral, 0.7):
                layout.stand(thing, x + 1.7 * i, lateral, yaw)


def hang(layout: TileLayout, rng: np.random.Generator) -> None:
    """Put up barriers: in the ego vehicle's way (they let it pass), over it, and beside it."""
    if not layout.standing and rng.random() < 0.5:
        _gate_before_ego(layout, rng)
    for _ in range(int(rng.integers(0, 3))):
        _gate_beside(layout, rng)
    for _ in range(int(rng.integers(1, 4))):
        _rope_across(layout, rng)
    for _ in range(int(rng.integers(1, 4))):
        _rope_along(layout, rng)
    for _ in range(int(rng.integers(1, 5))):
        side = float(rng.choice([-1.0, 1.0]))
        lateral = layout.beside_road(side, 0.9, rng)
        x = rng.uniform(0.0, layout.street.length)
        if layout.street.kind in ("rural", "offroad") and rng.random() < 0.6:
            what = barriers.stalks(rng.uniform(1.2, 2.4), int(rng.integers(3, 9)), rng)
        else:
            what = barriers.hanging_rods(rng.uniform(2.4, 3.6), int(rng.integers(2, 6)), rng)
        layout.sway(what, x, lateral, rng.uniform(0, 6.28), *_rhythm(rng))


def _rhythm(rng: np.random.Generator) -> tuple[int, float]:
    """Swings in each period, and their phase."""
    return int(rng.integers(4, 9)), float(rng.uniform(0, 2 * math.pi))


def _gate_before_ego(layout: TileLayout, rng: np.random.Generator) -> None:
    """A gate on the right across the ego lane, up when the ego vehicle passes, then down again."""
    street = layout.street
    x = rng.uniform(0.0, street.length)
    lateral = min(-(street.half_width + 0.4), street.ego_lateral - LANE_HALF_M - 0.7)
    gate = barriers.boom_gate(rng.uniform(2.6, 3.6), rng)
    phase = math.pi / 2 - 2 * math.pi * x / street.length
    layout.sway(gate, x, lateral, math.pi / 2, 1, phase)


def _gate_beside(layout: TileLayout, rng: np.random.Generator) -> None:
    """A gate across the other lane if nobody comes, else before a driveway."""
    street = layout.street
    x, phase = rng.uniform(0.0, street.length), rng.uniform(0, 6.28)
    side = float(rng.choice([-1.0, 1.0]))
    across = street.half_width + 0.4 - (street.ego_lateral + LANE_HALF_M + 0.3)
    if not layout.oncoming and across > 2.2 and rng.random() < 0.6:
        gate = barriers.boom_gate(min(across, 3.8), rng)
        layout.sway(gate, x, street.half_width + 0.4, -math.pi / 2, 2, phase)
    else:
        gate = barriers.boom_gate(rng.uniform(2.4, 3.6), rng)
        yaw = float(rng.choice([0.0, math.pi]))
        layout.sway(gate, x, layout.beside_road(side, 0.7, rng), yaw, 2, phase)


def _rope_across(layout: TileLayout, rng: np.random.Generator) -> None:
    """A rope between two posts over the road, with rods hanging from it."""
    street = layout.street
    x = rng.uniform(0.0, street.length)
    reach = street.half_width + 0.7
    top = rng.uniform(3.3, 4.6)
    for side in (-1.0, 1.0):
        layout.stand(poles.post(top + 0.1, rng), x, side * reach)
    drop = top - 0.07 * 2 * reach - _CLEARANCE_M
    low, high = (0.0, -reach, top), (0.0, reach, top)
    what = barriers.rope(low, high, int(rng.integers(2, 8)), max(drop, 0.3), rng)
    at = street.on_road(x, 0.0)
    cycles, phase = _rhythm(rng)
    layout.sway(what, at[0], 0.0, 0.0, cycles, phase)


def _rope_along(layout: TileLayout, rng: np.random.Generator) -> None:
    """A rope from post to post along the kerb, waist high."""
    street = layout.street
    side = float(rng.choice([-1.0, 1.0]))
    lateral = side * (street.half_width + rng.uniform(0.45, 0.8))
    x, span = rng.uniform(0.0, street.length), rng.uniform(2.2, 3.4)
    height = rng.uniform(0.7, 1.0)
    for i in range(int(rng.integers(2, 5))):
        here = x + span * i
        layout.stand(poles.post(height + 0.08, rng), here - span / 2, lateral)
        low, high = (0.0, -span / 2, height), (0.0, span / 2, height)
        what = barriers.rope(low, high, 0, 0.3, rng)
        layout.sway(what, here, lateral, math.pi / 2, *_rhythm(rng))
