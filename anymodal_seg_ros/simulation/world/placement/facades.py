"""What hangs on real facades and not on RigBench's: pipes, pilasters, window frames, ledges.

They are parts of the building. Thin upright things before a wall are poles in RigBench, so a
network that has seen no others finds poles on every house.
"""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.world.classes import BUILDING
from anymodal_seg_ros.simulation.world.materials import (
    METAL,
    PAINT,
    Material,
    Parts,
    Surface,
    Texture,
)
from anymodal_seg_ros.simulation.world.placement.layout import TileLayout
from anymodal_seg_ros.simulation.world.shapes import Floats, box, quad, rod

_FRAME_M = 0.04
"""How far frames stand out before the wall."""


def dress(layout: TileLayout, rng: np.random.Generator) -> None:
    """Hang things on the fronts of the buildings of a furnished street."""
    for parts, origin, yaw in list(layout.things):
        for triangles, surface in parts:
            if surface.texture == Texture.FACADE:
                corners = triangles.reshape(-1, 3)
                low, high = corners.min(axis=0), corners.max(axis=0)
                worn = on_front(low, high, surface, rng)
                if worn:
                    layout.things.append((worn, origin, yaw))


def on_front(low: Floats, high: Floats, wall: Surface, rng: np.random.Generator) -> Parts:
    """Draw what the front (the side at the least y) of a box-shaped building carries.

    Args:
        low: least x, y and z of its walls, in m.
        high: greatest.
        wall: its facade.
        rng: source of all randomness.
    """
    (x0, front, z0), (x1, _, z1) = (float(v) for v in low), (float(v) for v in high)
    bay, floor = wall.params[:2]
    bays, floors = max(1, round((x1 - x0) / bay)), max(1, round((z1 - z0) / floor))
    worn: Parts = []
    if rng.random() < 0.7:
        worn.append((_pipes(x0, x1, front, z0, z1, rng), _trim(METAL, wall, rng)))
    if rng.random() < 0.3:
        width, thick = rng.uniform(0.25, 0.6), rng.uniform(0.08, 0.2)
        at = np.linspace(x0 + width / 2, x1 - width / 2, bays + 1)
        pilasters = [box((width, thick, z1 - z0), (float(x), front, z0)) for x in at]
        worn.append((np.concatenate(pilasters), _trim(wall.material, wall, rng)))
    if rng.random() < 0.7:
        frames = _frames((x0, x1, bays), (z0, z1, floors), front - _FRAME_M, rng)
        worn.append((frames, _trim(PAINT, wall, rng)))
    if rng.random() < 0.4:
        ledges = [
            box(
                (x1 - x0, rng.uniform(0.1, 0.5), rng.uniform(0.08, 0.35)), ((x0 + x1) / 2, front, z)
            )
            for z in (z0 + floor * number for number in range(1, floors))
        ]
        if ledges:
            worn.append((np.concatenate(ledges), _trim(wall.material, wall, rng)))
    return worn


def _trim(material: Material, wall: Surface, rng: np.random.Generator) -> Surface:
    """White, black, or a lighter or darker colour than the wall's."""
    drawn = rng.random()
    if drawn < 0.35:
        tone = float(rng.uniform(0.5, 0.8))
        color = (tone, tone, tone)
    elif drawn < 0.6:
        tone = float(rng.uniform(0.02, 0.1))
        color = (tone, tone, tone)
    else:
        level = rng.uniform(0.4, 1.6)
        r, g, b = (float(np.clip(c * level, 0.02, 0.9)) for c in wall.albedo)
        color = (r, g, b)
    return Surface(BUILDING, material, color)


def _pipes(
    x0: float, x1: float, front: float, z0: float, z1: float, rng: np.random.Generator
) -> Floats:
    """Downpipes at the ends of a front, and perhaps between."""
    count = int(rng.integers(1, 5))
    at = [x0 + 0.2, x1 - 0.2, *rng.uniform(x0, x1, count)][:count]
    radius = float(rng.uniform(0.04, 0.09))
    y = front - radius - 0.03
    return np.concatenate([rod((x, y, z0), (x, y, z1), (radius, radius), 4) for x in at])


def _frames(
    along: tuple[float, float, int],
    up: tuple[float, float, int],
    y: float,
    rng: np.random.Generator,
) -> Floats:
    """Upright and level bars around and across the windows, one window for each bay and floor."""
    (x0, x1, bays), (z0, z1, floors) = along, up
    pitch, storey = (x1 - x0) / bays, (z1 - z0) / floors
    wide, tall = pitch * rng.uniform(0.35, 0.7), storey * rng.uniform(0.4, 0.65)
    bar = float(rng.uniform(0.05, 0.16))
    uprights = np.linspace(-wide / 2, wide / 2, int(rng.integers(2, 5)))
    bars = []
    for column in range(bays):
        x = x0 + (column + 0.5) * pitch
        for row in range(floors):
            z = z0 + row * storey + 0.3 * storey
            bars += [_bar(x + float(u), bar, z, z + tall, y) for u in uprights]
            bars += [_bar(x, wide, at, at + bar, y) for at in (z, z + tall)]
    return np.concatenate(bars)


def _bar(x: float, width: float, low: float, high: float, y: float) -> Floats:
    """A flat bar in the plane ``y``, centred on x."""
    a, b = x - width / 2, x + width / 2
    return quad([(a, y, low), (b, y, low), (b, y, high), (a, y, high)])
