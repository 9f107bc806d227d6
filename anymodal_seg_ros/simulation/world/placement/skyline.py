"""What closes the view all round: a plain, hills, a line of trees, and distant roofs.

It moves along with the ego vehicle, as if it were infinitely far.
"""

from __future__ import annotations

import math

import numpy as np

from anymodal_seg_ros.simulation.world.classes import TERRAIN, VEGETATION
from anymodal_seg_ros.simulation.world.materials import FOLIAGE, GRASS, ROCK, Parts, Surface
from anymodal_seg_ros.simulation.world.shapes import Floats, quad
from anymodal_seg_ros.simulation.world.things import buildings
from anymodal_seg_ros.simulation.world.things.bodies import moved

_PLAIN_Z = -0.45


def skyline(kind: str, terrain: Surface, rng: np.random.Generator) -> Parts:
    """The surroundings of a street of ``kind``, in a frame that stands where the ego is."""
    parts = _plain(terrain)
    hills = Surface(TERRAIN, ROCK if rng.random() < 0.3 else GRASS, (0.13, 0.14, 0.09))
    height = {"urban": 8.0, "suburban": 20.0, "rural": 45.0, "offroad": 80.0}[kind]
    parts.append((_ridge(900.0, height * rng.uniform(0.1, 1.0), 90, rng), hills))
    tone = rng.uniform(0.7, 1.3)
    trees = Surface(VEGETATION, FOLIAGE, (0.075 * tone, 0.13 * tone, 0.045 * tone))
    parts.append((_ridge(430.0, rng.uniform(6.0, 18.0), 180, rng, rough=0.5), trees))
    count = {"urban": 40, "suburban": 16, "rural": 3, "offroad": 0}[kind]
    for _ in range(count):
        angle = rng.uniform(0.0, 2 * math.pi)
        reach = rng.uniform(210.0, 380.0)
        floors = int(rng.integers(2, 9 if kind == "urban" else 4))
        thing = buildings.block(rng.uniform(14.0, 34.0), 14.0, floors, rng)
        at = (reach * math.cos(angle), reach * math.sin(angle), _PLAIN_Z)
        parts += moved([thing[0], thing[-1]], at)
    return parts


def _plain(terrain: Surface, reach: float = 1500.0) -> Parts:
    """A plain far out to the horizon, a little below the tiles."""
    z = _PLAIN_Z
    square = [(-reach, -reach, z), (reach, -reach, z), (reach, reach, z), (-reach, reach, z)]
    return [(quad(square), terrain)]


def _ridge(
    radius: float, height: float, steps: int, rng: np.random.Generator, rough: float = 0.1
) -> Floats:
    """A closed curtain around the origin whose upper edge rises and falls."""
    angle = np.linspace(0.0, 2 * math.pi, steps + 1)
    level = np.full(steps + 1, 0.55)
    for waves in (2, 3, 5, 9, 14):
        level += rng.uniform(0.0, 0.7) / waves**0.7 * np.sin(waves * angle + rng.uniform(0, 6.28))
    level[:-1] += rough * rng.uniform(-0.5, 0.5, steps)
    level[-1] = level[0]
    top = _PLAIN_Z + height * np.clip(level, 0.08, None)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    low = np.stack([x, y, np.full_like(x, _PLAIN_Z - 1.0)], 1)
    high = np.stack([x, y, top], 1)
    pieces = [
        np.stack([low[:-1], low[1:], high[1:]], 1),
        np.stack([low[:-1], high[1:], high[:-1]], 1),
    ]
    return np.concatenate(pieces).astype(np.float32)
