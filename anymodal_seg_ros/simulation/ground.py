"""The ground: road, pavements and terrain along one tile of the street, which repeats forever."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.simulation.classes import ROAD, SIDEWALK, TERRAIN
from anymodal_seg_ros.simulation.materials import (
    ASPHALT,
    CONCRETE,
    DIRT,
    GRASS,
    Color,
    Material,
    Parts,
    Surface,
    Texture,
)
from anymodal_seg_ros.simulation.shapes import Floats, box, quad

KINDS = ("urban", "suburban", "rural")
_TERRAIN_EDGE_M = 110.0


@dataclass(frozen=True, slots=True)
class Street:
    """The plan of a street along x. Its geometry repeats every ``length`` metres.

    Attributes:
        kind: ``urban``, ``suburban`` or ``rural``.
        length: period along x, in metres.
        half_width: of the carriageway.
        pavement: width of the pavement on each side; 0 for none.
        hills: height of the hills beside the road.
        waves: ``[K, 4]`` whole waves per period, wave number across, phase, weight.
    """

    kind: str
    length: float
    half_width: float
    pavement: float
    hills: float
    waves: tuple[tuple[float, float, float, float], ...]

    @property
    def edge(self) -> float:
        """Distance from the centre line to where the terrain begins."""
        return self.half_width + self.pavement

    def height(self, x: Floats, y: Floats) -> Floats:
        """Height of the terrain at ``x``, ``y`` in metres; 0 on and near the road."""
        away = np.clip((np.abs(y) - self.edge - 1.0) / 25.0, 0.0, 1.0)
        total: Floats = np.zeros_like(x)
        for cycles, across, phase, weight in self.waves:
            angle = 2 * math.pi * cycles * x / self.length + across * y + phase
            total = (total + weight * (0.5 + 0.5 * np.sin(angle))).astype(np.float32)
        height: Floats = (self.hills * away * away * (3 - 2 * away) * total).astype(np.float32)
        return height


def draw_street(kind: str, length: float, rng: np.random.Generator) -> Street:
    """Draw widths and hills for a street of ``kind``."""
    half_width = {"urban": (3.4, 6.5), "suburban": (3.0, 4.5), "rural": (2.3, 3.6)}[kind]
    pavement = {"urban": (1.8, 4.5), "suburban": (1.3, 2.2), "rural": (0.0, 0.0)}[kind]
    hills = {"urban": 0.0, "suburban": rng.uniform(0.0, 2.5), "rural": rng.uniform(1.0, 9.0)}[kind]
    waves = tuple(
        (float(c), rng.uniform(-0.06, 0.06), rng.uniform(0, 2 * math.pi), 1.0 / c)
        for c in (1, 2, 3)
    )
    return Street(kind, length, rng.uniform(*half_width), rng.uniform(*pavement), hills, waves)


def _shade(color: Color, rng: np.random.Generator) -> Color:
    level = rng.uniform(0.75, 1.35)
    r, g, b = (float(c * level * rng.uniform(0.95, 1.05)) for c in color)
    return (r, g, b)


def ground(street: Street, rng: np.random.Generator) -> Parts:
    """The ground of one tile, x from 0 to the street's length."""
    length, half = street.length, street.half_width
    middle = (length / 2, 0.0, -0.5)
    dirt_road = street.kind == "rural" and rng.random() < 0.5
    parts: Parts = [(box((length, 2 * half, 0.5), middle), _road(street, dirt_road, rng))]
    terrain = _terrain_surface(street, rng)
    if street.pavement > 0:
        paving = Surface(SIDEWALK, CONCRETE, _shade((0.34, 0.33, 0.31), rng))
        for side in (-1.0, 1.0):
            at = (length / 2, side * (half + street.pavement / 2), -0.5)
            parts.append((box((length, street.pavement, 0.62), at), paving))
    parts.append((_terrain(street), terrain))
    for _ in range(int(rng.integers(2, 6))):
        parts.append(_patch(street, terrain, rng))
    return parts


def backdrop_plain(reach: float = 1500.0) -> Parts:
    """A plain far out to the horizon, a little below the tiles."""
    z = -0.45
    square = [(-reach, -reach, z), (reach, -reach, z), (reach, reach, z), (-reach, reach, z)]
    return [(quad(square), Surface(TERRAIN, GRASS, (0.11, 0.13, 0.06)))]


def _road(street: Street, dirt: bool, rng: np.random.Generator) -> Surface:
    if dirt:
        return Surface(ROAD, DIRT, _shade((0.27, 0.20, 0.13), rng))
    dash = street.length / round(street.length / rng.uniform(5.0, 9.0))
    zebra = rng.uniform(0.0, street.length - 5) if rng.random() < 0.6 else -100.0
    tone = _shade((0.13, 0.13, 0.135), rng)
    params = (street.half_width, dash, zebra, 3.5)
    return Surface(ROAD, ASPHALT, tone, Texture.ROAD, params)


def _terrain_surface(street: Street, rng: np.random.Generator) -> Surface:
    choices: tuple[tuple[Material, Color], ...] = (
        (GRASS, (0.11, 0.17, 0.05)),
        (GRASS, (0.24, 0.21, 0.09)),
        (DIRT, (0.25, 0.19, 0.13)),
        (CONCRETE, (0.28, 0.28, 0.27)),
    )
    shares = {
        "urban": (0.25, 0.05, 0.1, 0.6),
        "suburban": (0.75, 0.1, 0.1, 0.05),
        "rural": (0.55, 0.25, 0.2, 0.0),
    }[street.kind]
    material, color = choices[int(rng.choice(4, p=shares))]
    return Surface(TERRAIN, material, _shade(color, rng))


def _terrain(street: Street) -> Floats:
    """A height field on both sides; its last column equals its first, so that tiles join."""
    x = np.linspace(0.0, street.length, 25)
    out = street.edge + (_TERRAIN_EDGE_M - street.edge) * np.linspace(0.0, 1.0, 14) ** 1.7
    pieces = []
    for y in (out, -out[::-1]):
        gx, gy = np.meshgrid(x.astype(np.float32), y.astype(np.float32), indexing="ij")
        gz = street.height(gx, gy)
        grid = np.stack([gx, gy, gz], -1)
        a, b, c, d = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
        pieces += [np.stack([a, b, c], -2).reshape(-1, 3, 3)]
        pieces += [np.stack([a, c, d], -2).reshape(-1, 3, 3)]
    return np.concatenate(pieces).astype(np.float32)


def _patch(street: Street, terrain: Surface, rng: np.random.Generator) -> tuple[Floats, Surface]:
    """A repair, a manhole or a puddle on the road: other look and heat, same class."""
    length, width = rng.uniform(0.6, 5.0), rng.uniform(0.5, 1.8)
    x = rng.uniform(length, street.length - length)
    y = rng.uniform(-1.0, 1.0) * (street.half_width - width)
    tone = float(rng.uniform(0.05, 0.22))
    material = ASPHALT if rng.random() < 0.7 else terrain.material
    z = 0.006
    corners = [
        (x - length / 2, y - width / 2, z),
        (x + length / 2, y - width / 2, z),
        (x + length / 2, y + width / 2, z),
        (x - length / 2, y + width / 2, z),
    ]
    return quad(corners), Surface(ROAD, material, (tone, tone * 0.97, tone * 0.92))
