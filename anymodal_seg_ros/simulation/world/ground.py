"""The ground: road, side street, pavements and terrain along one tile, which repeats forever."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.simulation.world.classes import ROAD, SIDEWALK, TERRAIN
from anymodal_seg_ros.simulation.world.materials import (
    ASPHALT,
    CONCRETE,
    DIRT,
    GRASS,
    GRAVEL,
    ROCK,
    SAND,
    Color,
    Material,
    Parts,
    Surface,
    Texture,
)
from anymodal_seg_ros.simulation.world.shapes import Floats, quad
from anymodal_seg_ros.simulation.world.street import KERB_M, Street

_TERRAIN_EDGE_M = 110.0
_STEP_M = 2.6

_TERRAINS: tuple[tuple[Material, Color], ...] = (
    (GRASS, (0.11, 0.17, 0.05)),
    (GRASS, (0.24, 0.21, 0.09)),
    (DIRT, (0.25, 0.19, 0.13)),
    (CONCRETE, (0.28, 0.28, 0.27)),
    (SAND, (0.42, 0.34, 0.22)),
    (ROCK, (0.26, 0.24, 0.22)),
)
_TERRAIN_SHARES = {
    "urban": (0.25, 0.05, 0.1, 0.6, 0.0, 0.0),
    "suburban": (0.75, 0.1, 0.1, 0.05, 0.0, 0.0),
    "rural": (0.5, 0.25, 0.2, 0.0, 0.05, 0.0),
    "offroad": (0.35, 0.25, 0.15, 0.0, 0.15, 0.1),
}
_TRACKS: tuple[tuple[Material, Color], ...] = (
    (DIRT, (0.27, 0.20, 0.13)),
    (DIRT, (0.17, 0.13, 0.09)),
    (GRAVEL, (0.34, 0.32, 0.29)),
    (SAND, (0.45, 0.37, 0.25)),
)


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the ground of a scene is made of."""

    road: Surface
    pavement: Surface
    terrain: Surface


def draw_grounds(street: Street, rng: np.random.Generator) -> Grounds:
    """Draw materials, colours and markings."""
    material, color = _TERRAINS[int(rng.choice(6, p=_TERRAIN_SHARES[street.kind]))]
    terrain = Surface(TERRAIN, material, _shade(color, rng))
    return Grounds(_road(street, rng), _paving(rng), terrain)


def _shade(color: Color, rng: np.random.Generator) -> Color:
    level = rng.uniform(0.75, 1.35)
    r, g, b = (float(c * level * rng.uniform(0.95, 1.05)) for c in color)
    return (r, g, b)


def _road(street: Street, rng: np.random.Generator) -> Surface:
    if street.kind == "offroad" or (street.kind == "rural" and rng.random() < 0.25):
        material, color = _TRACKS[int(rng.integers(len(_TRACKS)))]
        return Surface(ROAD, material, _shade(color, rng))
    dash = street.length / round(street.length / rng.uniform(5.0, 9.0))
    zebra = -100.0
    if street.crossing is not None and rng.random() < 0.6:
        zebra = street.crossing + street.crossing_half + 1.0
    elif rng.random() < 0.5:
        zebra = rng.uniform(3.0, street.length - 8)
    middle = float(rng.choice([1.0, 2.0, 3.0], p=[0.65, 0.2, 0.15]))
    tone = _shade((0.13, 0.13, 0.135), rng)
    border = 1.0 if rng.random() < 0.75 else 0.0
    params = (street.half_width, dash, zebra, rng.uniform(2.6, 4.0), middle, border)
    return Surface(ROAD, ASPHALT, tone, Texture.ROAD, (*params, street.bend, street.bend_phase))


def _paving(rng: np.random.Generator) -> Surface:
    tone = _shade((0.34, 0.33, 0.31), rng)
    choice = rng.random()
    if choice < 0.3:
        return Surface(SIDEWALK, CONCRETE, tone)
    if choice < 0.45:
        return Surface(SIDEWALK, ASPHALT, _shade((0.19, 0.19, 0.19), rng))
    if choice < 0.7:
        red = _shade((0.36, 0.20, 0.15), rng)
        return Surface(SIDEWALK, CONCRETE, red, Texture.TILES, (0.24, 0.12, 0.012, 0.5))
    size = rng.uniform(0.4, 0.8)
    return Surface(SIDEWALK, CONCRETE, tone, Texture.TILES, (size, size, 0.02, 0.0))


def ground(street: Street, grounds: Grounds, rng: np.random.Generator) -> Parts:
    """The ground of one tile, x from 0 to the street's length."""
    x = _stations(street)
    edge = street.edge
    parts: Parts = [(_strip(street, x, (-edge, edge), (0.0, 0.0)), grounds.road)]
    if street.pavement > 0:
        parts += _pavements(street, x, grounds.pavement)
    parts.append((_terrain(street, x), grounds.terrain))
    if street.crossing is not None:
        parts += _side_street(street, grounds.road)
    if street.kind == "offroad":
        parts += _ruts(street, x, grounds.road, rng)
    for _ in range(int(rng.integers(2, 7))):
        parts.append(_patch(street, grounds, rng))
    return parts


def _stations(street: Street) -> Floats:
    """Where the cross-sections are; the side street's edges are among them."""
    x = np.linspace(0.0, street.length, round(street.length / _STEP_M) + 1)
    if street.crossing is not None:
        half = street.crossing_half
        x = np.union1d(x, (street.crossing - half, street.crossing + half))
    return x.astype(np.float32)


def _grid(points: Floats) -> Floats:
    """Triangles between the points ``[I, J, 3]`` of a grid."""
    a, b, c, d = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
    pieces = [np.stack([a, b, c], -2).reshape(-1, 3, 3), np.stack([a, c, d], -2).reshape(-1, 3, 3)]
    return np.concatenate(pieces).astype(np.float32)


def _strip(
    street: Street, x: Floats, laterals: tuple[float, ...], heights: tuple[float, ...]
) -> Floats:
    """A band along the street through the given cross-section."""
    y = street.center(x)[:, None] + np.array(laterals, np.float32)
    points = np.stack(np.broadcast_arrays(x[:, None], y, np.array(heights, np.float32)), -1)
    return _grid(points)


def _pavements(street: Street, x: Floats, paving: Surface) -> Parts:
    """Both pavements with their kerbs, interrupted by the side street."""
    runs = [x]
    if street.crossing is not None:
        first, last = street.crossing - street.crossing_half, street.crossing + street.crossing_half
        runs = [x[x <= first + 1e-3], x[x >= last - 1e-3]]
    parts: Parts = []
    inner, outer = street.half_width, street.edge
    for side in (-1.0, 1.0):
        laterals = (side * inner, side * inner, side * outer, side * outer)
        for run in runs:
            parts.append((_strip(street, run, laterals, (0.0, KERB_M, KERB_M, 0.0)), paving))
        if len(runs) == 2:
            for station in (runs[0][-1], runs[1][0]):
                middle = float(street.center(station))
                a, b = middle + side * inner, middle + side * outer
                at = float(station)
                end = [(at, a, 0.0), (at, b, 0.0), (at, b, KERB_M), (at, a, KERB_M)]
                parts.append((quad(end), paving))
    return parts


def _side_street(street: Street, road: Surface) -> Parts:
    """Plain asphalt or dirt to both sides, a finger above the level terrain."""
    surface = Surface(ROAD, road.material, road.albedo)
    assert street.crossing is not None
    x = np.linspace(
        street.crossing - street.crossing_half, street.crossing + street.crossing_half, 4
    ).astype(np.float32)
    far = _TERRAIN_EDGE_M - 2.0
    bands = ((street.edge, far), (-far, -street.edge))
    return [(_strip(street, x, band, (0.015, 0.015)), surface) for band in bands]


def _ruts(street: Street, x: Floats, road: Surface, rng: np.random.Generator) -> Parts:
    """Two worn tracks, darker or lighter than the trail, and what grows between them."""
    level = float(rng.choice([0.75, 1.2]))
    r, g, b = (c * level for c in road.albedo)
    worn = Surface(ROAD, road.material, (r, g, b))
    width = rng.uniform(0.25, 0.4)
    bands = ((-0.8 - width, -0.8 + width), (0.8 - width, 0.8 + width))
    return [(_strip(street, x, band, (0.008, 0.008)), worn) for band in bands]


def _terrain(street: Street, x: Floats) -> Floats:
    """A height field on both sides; its last column equals its first, so that tiles join."""
    bumpy = street.kind == "offroad"
    shares = np.linspace(0.0, 1.0, 20 if bumpy else 13) ** (2.2 if bumpy else 1.7)
    out = (street.edge + (_TERRAIN_EDGE_M - street.edge) * shares).astype(np.float32)
    pieces = []
    for lateral in (out, -out[::-1]):
        gx, gl = np.meshgrid(x, lateral, indexing="ij")
        points = np.stack([gx, gl + street.center(gx), street.height(gx, gl)], -1)
        pieces.append(_grid(points))
    return np.concatenate(pieces)


def _patch(street: Street, grounds: Grounds, rng: np.random.Generator) -> tuple[Floats, Surface]:
    """A repair, a manhole or a puddle on the road: other look and heat, same class."""
    length, width = rng.uniform(0.6, 5.0), rng.uniform(0.4, 0.9) * min(2.0, street.half_width)
    x = rng.uniform(length, street.length - length)
    lateral = rng.uniform(-1.0, 1.0) * (street.half_width - width / 2 - 0.2)
    _, y, _ = street.on_road(x, lateral)
    if grounds.road.material is ASPHALT:
        tone = float(rng.uniform(0.05, 0.22))
        color = (tone, tone * 0.97, tone * 0.92)
        material = ASPHALT if rng.random() < 0.7 else grounds.terrain.material
    else:
        level = float(rng.uniform(0.65, 1.15))
        r, g, b = (c * level for c in grounds.road.albedo)
        color, material = (r, g, b), DIRT
    z = 0.006
    corners = [
        (x - length / 2, y - width / 2, z),
        (x + length / 2, y - width / 2, z),
        (x + length / 2, y + width / 2, z),
        (x - length / 2, y + width / 2, z),
    ]
    return quad(corners), Surface(ROAD, material, color)
