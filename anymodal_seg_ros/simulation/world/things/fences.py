"""Walls, fences and guard rails along x, standing on z = 0, centred on the origin."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anymodal_seg_ros.simulation.world.classes import WALL
from anymodal_seg_ros.simulation.world.materials import (
    CONCRETE,
    METAL,
    PLASTER,
    ROCK,
    WOOD,
    Color,
    Parts,
    Surface,
    Texture,
)
from anymodal_seg_ros.simulation.world.shapes import Floats, box, quad, rod

_BRICKS: tuple[Color, ...] = ((0.36, 0.17, 0.12), (0.45, 0.28, 0.20), (0.40, 0.37, 0.33))
_WOODS: tuple[Color, ...] = ((0.22, 0.15, 0.09), (0.60, 0.59, 0.56), (0.30, 0.28, 0.26))


def _tint(colors: tuple[Color, ...], rng: np.random.Generator) -> Color:
    level = rng.uniform(0.75, 1.25)
    r, g, b = (float(c * level) for c in colors[int(rng.integers(len(colors)))])
    return (r, g, b)


def brick_wall(length: float, rng: np.random.Generator) -> Parts:
    """A garden wall of bricks or rubble under a coping."""
    height = rng.uniform(0.7, 2.0)
    size = (0.25, 0.08, 0.012, 0.5) if rng.random() < 0.7 else (0.5, 0.25, 0.025, 0.37)
    stone = Surface(WALL, PLASTER, _tint(_BRICKS, rng), Texture.TILES, size)
    coping = Surface(WALL, CONCRETE, (0.32, 0.31, 0.29))
    return [
        (box((length, 0.24, height), (0, 0, 0)), stone),
        (box((length, 0.32, 0.07), (0, 0, height)), coping),
    ]


def concrete_wall(length: float, rng: np.random.Generator) -> Parts:
    """A plain rendered wall."""
    tone = float(rng.uniform(0.25, 0.6))
    plaster = Surface(WALL, PLASTER, (tone, tone * 0.97, tone * 0.92))
    return [(box((length, 0.22, rng.uniform(0.8, 2.4)), (0, 0, 0)), plaster)]


def dry_stone_wall(length: float, rng: np.random.Generator) -> Parts:
    """A low wall of field stones."""
    stone = Surface(
        WALL, ROCK, _tint(((0.30, 0.28, 0.25),), rng), Texture.TILES, (0.4, 0.2, 0.04, 0.41)
    )
    return [(box((length, 0.5, rng.uniform(0.6, 1.1)), (0, 0, -0.1), (1.0, 0.7)), stone)]


def _upright(x: Floats, width: float, low: float, high: float) -> Floats:
    """Upright strips in the plane y = 0, seen from both sides."""
    a, b = x - width / 2, x + width / 2
    zero = np.zeros_like(x)

    def corner(px: Floats, z: float) -> Floats:
        return np.stack([px, zero, np.full_like(px, z)], 1)

    p, q, r, s = corner(a, low), corner(b, low), corner(b, high), corner(a, high)
    return np.concatenate([np.stack([p, q, r], 1), np.stack([p, r, s], 1)]).astype(np.float32)


def _level(length: float, z: float, width: float, y: float = 0.0) -> Floats:
    """A level strip in the plane ``y``."""
    x = length / 2
    return quad([(-x, y, z), (x, y, z), (x, y, z + width), (-x, y, z + width)])


def picket_fence(length: float, rng: np.random.Generator) -> Parts:
    """Wooden pickets on two rails."""
    wood = Surface(WALL, WOOD, _tint(_WOODS, rng))
    height, pitch = rng.uniform(0.8, 1.5), rng.uniform(0.13, 0.2)
    x = np.arange(-length / 2, length / 2, pitch, dtype=np.float32)
    parts: Parts = [(_upright(x, pitch * rng.uniform(0.45, 0.75), 0.08, height), wood)]
    parts += [(_level(length, z * height, 0.09, 0.02), wood) for z in (0.25, 0.75)]
    return parts


def wire_fence(length: float, rng: np.random.Generator) -> Parts:
    """Posts with wires, or with a mesh that is drawn coarser than it is."""
    steel = Surface(WALL, METAL, (0.28, 0.29, 0.29))
    wood = Surface(WALL, WOOD, _tint(_WOODS, rng))
    height = rng.uniform(1.0, 2.0)
    count = max(2, round(length / 2.6))
    parts: Parts = []
    for x in np.linspace(-length / 2, length / 2, count):
        parts.append((rod((x, 0, 0), (x, 0, height), (0.045, 0.04), 4), wood))
    wires = 12 if rng.random() < 0.5 else 5
    parts += [(_level(length, z, 0.014), steel) for z in np.linspace(0.12, height - 0.05, wires)]
    if wires == 12:
        x = np.arange(-length / 2, length / 2, 0.16, dtype=np.float32)
        parts.append((_upright(x, 0.014, 0.1, height - 0.05), steel))
    return parts


def rail_fence(length: float, rng: np.random.Generator) -> Parts:
    """Two or three heavy wooden rails on posts, as round a paddock."""
    wood = Surface(WALL, WOOD, _tint(_WOODS, rng))
    rails = int(rng.integers(2, 4))
    parts: Parts = []
    for x in np.linspace(-length / 2, length / 2, max(2, round(length / 2.4))):
        parts.append((box((0.14, 0.14, 1.25), (x, 0, 0)), wood))
    for i in range(rails):
        parts.append((box((length, 0.06, 0.13), (0, 0, 0.35 + 0.75 * i / (rails - 1))), wood))
    return parts


def guard_rail(length: float, rng: np.random.Generator) -> Parts:
    """A steel guard rail facing -y."""
    steel = Surface(WALL, METAL, (0.42, 0.43, 0.44))
    parts: Parts = []
    for x in np.linspace(-length / 2, length / 2, max(2, round(length / 3.0))):
        parts.append((box((0.1, 0.12, 0.72), (x, 0.08, 0)), steel))
    for z in (0.46, 0.63):
        parts.append((box((length, 0.07, 0.13), (0, 0, z), (1.0, 0.5)), steel))
    return parts


Fence = Callable[[float, np.random.Generator], Parts]
FENCES: dict[str, tuple[Fence, ...]] = {
    "urban": (brick_wall, concrete_wall, wire_fence, guard_rail),
    "suburban": (brick_wall, concrete_wall, picket_fence, wire_fence),
    "rural": (guard_rail, wire_fence, rail_fence, dry_stone_wall, picket_fence),
    "offroad": (wire_fence, rail_fence, dry_stone_wall),
}
