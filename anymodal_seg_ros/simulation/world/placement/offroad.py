"""Both sides of a trail: rocks, logs, trees, high grass, fences, a hut now and then."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from anymodal_seg_ros.simulation.world.materials import Parts
from anymodal_seg_ros.simulation.world.placement.layout import TileLayout
from anymodal_seg_ros.simulation.world.things import buildings, greenery, poles, signs
from anymodal_seg_ros.simulation.world.things.fences import FENCES

_FENCE_PIECE_M = 3.0


def line(layout: TileLayout, rng: np.random.Generator) -> None:
    """Furnish both sides of a trail; how wooded, rocky and grassy it is differs by scene."""
    wooded, rocky, grassy = rng.random(3) ** 1.3
    _scatter(layout, int(4 + 34 * wooded), (2.8, 45.0), _tree, rng)
    _scatter(layout, int(3 + 14 * wooded), (1.3, 25.0), _undergrowth, rng)
    _scatter(layout, int(2 + 34 * rocky), (1.2, 30.0), _rock, rng)
    _scatter(layout, int(2 + 5 * wooded), (3.0, 12.0), _log, rng)
    _scatter(layout, int(4 + 44 * grassy), (1.6, 14.0), _grass, rng)
    for side in (-1.0, 1.0):
        if rng.random() < 0.6:
            _fence(layout, side, rng)
    if rng.random() < 0.55:
        _hut(layout, rng)
    for _ in range(int(rng.integers(1, 4))):
        side = float(rng.choice([-1.0, 1.0]))
        lateral = layout.beside_road(side, 0.9, rng)
        make = signs.direction_board if rng.random() < 0.3 else signs.on_post
        x = float(rng.uniform(0, layout.street.length))
        layout.stand(make(rng), x, lateral, float(rng.uniform(-0.4, 0.4)))
    for _ in range(int(rng.integers(1, 5))):
        lateral = layout.beside_road(float(rng.choice([-1.0, 1.0])), 1.0, rng)
        x = float(rng.uniform(0, layout.street.length))
        thing = poles.mast(rng) if rng.random() < 0.4 else poles.post(rng.uniform(1.0, 2.5), rng)
        layout.stand(thing, x, lateral)


def _scatter(
    layout: TileLayout,
    count: int,
    reach: tuple[float, float],
    make: Callable[[np.random.Generator], Parts],
    rng: np.random.Generator,
) -> None:
    """Strew things over both sides, denser close to the trail."""
    near, far = reach
    for _ in range(count):
        side = float(rng.choice([-1.0, 1.0]))
        lateral = side * (layout.street.edge + near + (far - near) * rng.random() ** 2)
        x = float(rng.uniform(0, layout.street.length))
        layout.stand(make(rng), x, lateral, float(rng.uniform(0, 2 * math.pi)))


def _tree(rng: np.random.Generator) -> Parts:
    height = rng.uniform(4.0, 13.0)
    choice = rng.random()
    if choice < 0.45:
        return greenery.conifer(height, rng)
    return greenery.broadleaf(height, rng) if choice < 0.85 else greenery.dead_tree(height, rng)


def _undergrowth(rng: np.random.Generator) -> Parts:
    return greenery.bush(rng.uniform(0.6, 1.3), rng)


def _rock(rng: np.random.Generator) -> Parts:
    return greenery.boulder(0.35 + 1.6 * rng.random() ** 3, rng)


def _log(rng: np.random.Generator) -> Parts:
    return greenery.log(rng)


def _grass(rng: np.random.Generator) -> Parts:
    return greenery.tall_grass(rng.uniform(0.6, 1.6), rng.uniform(0.4, 1.4), rng)


def _fence(layout: TileLayout, side: float, rng: np.random.Generator) -> None:
    makers = FENCES["offroad"]
    maker = makers[int(rng.integers(len(makers)))]
    lateral = side * (layout.street.edge + rng.uniform(0.8, 4.0))
    seed = int(rng.integers(2**31))
    first = rng.uniform(0.0, 15.0)
    count = int((layout.street.length - first) / _FENCE_PIECE_M * rng.uniform(0.3, 1.0))
    for i in range(count):
        x = first + _FENCE_PIECE_M * i
        piece = maker(_FENCE_PIECE_M + 0.05, np.random.default_rng(seed))
        layout.stand(piece, x, lateral, 0.0 if side > 0 else math.pi)


def _hut(layout: TileLayout, rng: np.random.Generator) -> None:
    side = float(rng.choice([-1.0, 1.0]))
    x, lateral = float(rng.uniform(0, layout.street.length)), side * rng.uniform(6.0, 16.0)
    at = layout.street.place(x, lateral)
    yaw = (0.0 if side > 0 else math.pi) + float(rng.uniform(-0.5, 0.5))
    layout.things.append((buildings.hut(rng), (at[0], at[1], at[2] - 0.15), yaw))
