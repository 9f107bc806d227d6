"""What real streets have and RigBench's do not: for frames to learn from, never to compare on.

Bare trees, avenues, dark hedges, and pavements in the colour of the road. Everything here is drawn
on top of a scene that is finished, from a source of its own, so that a scene without it is what it
always was.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from anymodal_seg_ros.simulation.world.classes import SIDEWALK
from anymodal_seg_ros.simulation.world.ground import Grounds
from anymodal_seg_ros.simulation.world.materials import (
    ASPHALT,
    CONCRETE,
    Color,
    Parts,
    Surface,
    Texture,
)
from anymodal_seg_ros.simulation.world.placement.layout import TileLayout
from anymodal_seg_ros.simulation.world.things import greenery

WINTER = 0.55
"""Share of the scenes whose added trees are bare, most of them."""
_TREE_M = {"urban": (7.0, 16.0), "suburban": (6.0, 14.0), "rural": (6.0, 14.0), "offroad": (4, 12)}
"""Heights of the added trees."""
_REACH_M = {"urban": 1.5, "suburban": 9.0, "rural": 20.0, "offroad": 20.0}
"""How far from the edge of the way they stand."""


def varied_grounds(grounds: Grounds, rng: np.random.Generator) -> Grounds:
    """Return them, in every second scene with a pavement of about the road's own colour."""
    if rng.random() < 0.5:
        return grounds
    level = rng.uniform(0.8, 1.5)
    r, g, b = (float(c * level * rng.uniform(0.96, 1.04)) for c in grounds.road.albedo)
    pavement = Surface(SIDEWALK, ASPHALT, (r, g, b))
    if rng.random() < 0.6:
        length, width = rng.uniform(0.3, 0.9, 2)
        tiles = (float(length), float(width), 0.015, float(rng.choice([0.0, 0.5])))
        pavement = Surface(SIDEWALK, CONCRETE, (r, g, b), Texture.TILES, tiles)
    return dataclasses.replace(grounds, pavement=pavement)


def plant(layout: TileLayout, rng: np.random.Generator) -> None:
    """Add trees and hedges to both sides of a furnished street or trail."""
    kind = layout.street.kind
    bare = rng.uniform(0.6, 1.0) if rng.random() < WINTER else rng.uniform(0.0, 0.2)
    dark = float(rng.uniform(0.35, 1.0))
    for side in (-1.0, 1.0):
        if rng.random() < 0.25:
            continue
        # An avenue is a row of equals; else they stand as they come.
        avenue = kind in ("urban", "suburban") and rng.random() < 0.6
        low, high = _TREE_M[kind]
        height = rng.uniform(low, high)
        near = layout.street.edge + rng.uniform(-0.6, 0.5 if kind == "urban" else 1.5)
        count = int(rng.integers(3, 11))
        for number in range(count):
            x = (number + rng.uniform(0.3, 0.7)) / count * layout.street.length
            if layout.street.in_crossing(x, 2.0):
                continue
            if not avenue:
                height = rng.uniform(low, high)
            away = rng.uniform(0.0, 0.3) if avenue else _REACH_M[kind] * rng.random() ** 1.5
            size = height * rng.uniform(0.85, 1.15)
            if rng.random() < bare:
                tree = greenery.bare_tree(size, rng)
            else:
                tree = _shaded(greenery.broadleaf(size, rng), dark)
            layout.stand(tree, x, side * (near + away), rng.uniform(0, 6.28))
        if rng.random() < 0.4:
            _hedges(layout, side, dark, rng)


def _hedges(layout: TileLayout, side: float, dark: float, rng: np.random.Generator) -> None:
    """A line of hedges or bushes along the edge of the way, with gaps."""
    lateral = side * (layout.street.edge + rng.uniform(0.2, 1.5))
    x = rng.uniform(0.0, 6.0)
    while x < layout.street.length - 6.0:
        length = rng.uniform(2.5, 6.0)
        middle = x + length / 2
        if rng.random() < 0.7 and not layout.street.in_crossing(middle, length / 2 + 1.0):
            clipped = rng.random() < 0.6
            size = rng.uniform(0.8, 2.2)
            plants = greenery.hedge(length, rng) if clipped else greenery.bush(size, rng)
            layout.stand(_shaded(plants, dark), middle, lateral)
        x += length


def _shaded(parts: Parts, level: float) -> Parts:
    """The same in a darker colour."""

    def darker(color: Color) -> Color:
        return (color[0] * level, color[1] * level, color[2] * level)

    return [(t, dataclasses.replace(s, albedo=darker(s.albedo))) for t, s in parts]
