"""Buildings, each standing on z = 0 with its front along x at y = 0, facing -y."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.world.classes import BUILDING
from anymodal_seg_ros.simulation.world.materials import (
    CONCRETE,
    GLASS,
    PLASTER,
    ROOF,
    WOOD,
    Color,
    Parts,
    Surface,
    Texture,
)
from anymodal_seg_ros.simulation.world.shapes import Floats, box, gable

_PLASTER: tuple[Color, ...] = (
    (0.62, 0.58, 0.50),
    (0.66, 0.62, 0.58),
    (0.42, 0.22, 0.16),
    (0.50, 0.31, 0.22),
    (0.36, 0.36, 0.38),
    (0.66, 0.52, 0.32),
    (0.52, 0.56, 0.60),
    (0.30, 0.24, 0.22),
)
_BOARDS: tuple[Color, ...] = ((0.20, 0.13, 0.08), (0.30, 0.27, 0.24), (0.28, 0.08, 0.06))
_TILES: tuple[Color, ...] = ((0.36, 0.14, 0.09), (0.16, 0.15, 0.16), (0.26, 0.17, 0.12))


def _tint(colors: tuple[Color, ...], rng: np.random.Generator) -> Color:
    base = colors[int(rng.integers(len(colors)))]
    level = rng.uniform(0.7, 1.25)
    r, g, b = (float(np.clip(c * level * rng.uniform(0.92, 1.08), 0.02, 0.9)) for c in base)
    return (r, g, b)


def _facade(color: Color, floor: float, rng: np.random.Generator) -> Surface:
    return Surface(
        BUILDING,
        PLASTER,
        color,
        Texture.FACADE,
        (rng.uniform(1.8, 3.6), floor, rng.uniform(0.35, 0.65), rng.uniform(0.05, 0.4)),
        warm_to_k=294.0,
        warm_share=rng.uniform(0.03, 0.15),
    )


def block(width: float, depth: float, floors: int, rng: np.random.Generator) -> Parts:
    """A town house: facade with windows, a shop band on the street, a cornice or a roof."""
    floor = rng.uniform(2.8, 3.6)
    height = floor * floors
    middle = depth / 2
    color = _tint(_PLASTER, rng)
    parts: Parts = [(box((width, depth, height), (0, middle, 0)), _facade(color, floor, rng))]
    if rng.random() < 0.45:
        shop = Surface(
            BUILDING,
            GLASS,
            (0.10, 0.11, 0.12),
            glow=_window_light(rng) if rng.random() < 0.6 else (0.0, 0.0, 0.0),
            warm_to_k=295.0,
            warm_share=0.3,
        )
        parts.append((box((width * 0.8, 0.1, 2.3), (0, 0, 0.3)), shop))
    if rng.random() < 0.5:
        tiles = Surface(BUILDING, ROOF, _tint(_TILES, rng))
        parts.append((_ridge_along_x(width, depth, rng.uniform(2.0, 4.5), height), tiles))
    else:
        stone = Surface(BUILDING, CONCRETE, _tint(_PLASTER, rng))
        parts.append((box((width, depth + 0.6, 0.5), (0, middle, height)), stone))
    return parts


def house(width: float, depth: float, rng: np.random.Generator) -> Parts:
    """A detached house of one or two floors with a saddle roof."""
    floor = rng.uniform(2.6, 3.1)
    height = floor * int(rng.integers(1, 3))
    walls = _facade(_tint(_PLASTER, rng), floor, rng)
    tiles = Surface(BUILDING, ROOF, _tint(_TILES, rng))
    roof = _ridge_along_x(width, depth, rng.uniform(2.0, 3.8), height)
    chimney = box((0.7, 0.7, 2.0), (width * 0.2, depth * 0.35, height + 1.0))
    return [
        (box((width, depth, height), (0, depth / 2, 0)), walls),
        (roof, tiles),
        (chimney, Surface(BUILDING, PLASTER, (0.35, 0.18, 0.13), warm_to_k=320.0, warm_share=0.2)),
    ]


def hut(rng: np.random.Generator) -> Parts:
    """A wooden cabin or a shed with a pitched roof."""
    width, depth, height = rng.uniform(3.0, 6.0), rng.uniform(2.5, 4.5), rng.uniform(2.1, 2.8)
    boards = Surface(
        BUILDING, WOOD, _tint(_BOARDS, rng), Texture.TILES, (50.0, rng.uniform(0.14, 0.25), 0.02)
    )
    dark = Surface(BUILDING, GLASS, (0.05, 0.05, 0.06))
    roof = Surface(BUILDING, ROOF, _tint(_TILES, rng))
    return [
        (box((width, depth, height), (0, depth / 2, 0)), boards),
        (_ridge_along_x(width, depth, rng.uniform(0.9, 1.8), height), roof),
        (box((0.9, 0.06, 1.9), (-width * 0.2, 0, 0)), dark),
        (box((0.8, 0.06, 0.7), (width * 0.25, 0, 1.1)), dark),
    ]


def _window_light(rng: np.random.Generator) -> Color:
    level = rng.uniform(0.02, 0.12)
    return (level, level * 0.82, level * 0.55)


def _ridge_along_x(width: float, depth: float, rise: float, base: float) -> Floats:
    roof = gable(width + 0.5, depth + 0.8, rise, base)
    roof[..., 1] += depth / 2
    return roof
