"""Traffic signs and lights, facing -x.

A plate has the emissivity and the heat of what it hangs on and next to no depth of its own, so
that RGB alone can read it. By night its sheeting sends a little of the headlights' light back.
"""

from __future__ import annotations

import math

import numpy as np

from anymodal_seg_ros.simulation.world.classes import POLE, TRAFFIC_SIGN
from anymodal_seg_ros.simulation.world.materials import (
    METAL,
    PLASTER,
    Color,
    Material,
    Parts,
    Surface,
    Texture,
)
from anymodal_seg_ros.simulation.world.shapes import Floats, Vector, box, rod

_STEEL = Surface(POLE, METAL, (0.30, 0.31, 0.32))
_BACK = Surface(TRAFFIC_SIGN, METAL, (0.35, 0.36, 0.36))
RED: Color = (0.60, 0.03, 0.04)
BLUE: Color = (0.03, 0.12, 0.52)
GREEN: Color = (0.02, 0.28, 0.12)
WHITE: Color = (0.72, 0.72, 0.70)
YELLOW: Color = (0.75, 0.50, 0.03)
ORANGE: Color = (0.75, 0.28, 0.03)

_STYLES: tuple[tuple[int, float, Color, Color, float], ...] = (
    (12, 0.0, RED, WHITE, -1.0),
    (12, 0.0, BLUE, BLUE, 1.0),
    (3, 0.0, RED, WHITE, -1.0),
    (3, math.pi, RED, WHITE, -1.0),
    (8, math.pi / 8, WHITE, RED, 1.0),
    (4, 0.0, WHITE, YELLOW, -1.0),
    (4, 0.0, YELLOW, YELLOW, -1.0),
    (4, math.pi / 4, BLUE, BLUE, 1.0),
    (4, math.pi / 4, WHITE, ORANGE, -1.0),
)
"""Corners, turn, colour of the border, colour of the field, ink."""


def _face(
    color: Color, material: Material, box_of: tuple[float, float, float, float], ink: float,
    kind: float = 0.0,
) -> Surface:  # fmt: skip
    r, g, b = (0.05 * c for c in color)
    return Surface(
        TRAFFIC_SIGN, material, color, Texture.SIGN, (*box_of, ink, kind), glow=(r, g, b)
    )


def _polygon(corners: int, turn: float, radius: float, center: Vector) -> Floats:
    """A regular polygon in a plane x = const; without turn a corner points up."""
    angle = turn + np.arange(corners + 1) * (2 * math.pi / corners)
    x, y, z = center
    rim = np.stack(
        [np.full_like(angle, x), y + radius * np.sin(angle), z + radius * np.cos(angle)], 1
    )
    middle = np.broadcast_to(np.array(center), (corners, 3))
    return np.stack([middle, rim[:-1], rim[1:]], 1).astype(np.float32)


def plate(center: Vector, radius: float, material: Material, rng: np.random.Generator) -> Parts:
    """A regulatory or warning sign: a back, a border and a field with a symbol."""
    corners, turn, border, field, ink = _STYLES[int(rng.integers(len(_STYLES)))]
    x, y, z = center
    rim = _face(border, material, (99.0, z, 1.0, 1.0), ink)
    inner = _face(field, material, (y, z, radius * 0.62, radius * 0.62), ink)
    return [
        (_polygon(corners, turn, radius, center), _BACK),
        (_polygon(corners, turn, radius, (x - 0.012, y, z)), rim),
        (_polygon(corners, turn, radius * 0.8, (x - 0.02, y, z)), inner),
    ]


def panel(
    center: Vector, width: float, height: float, material: Material, rng: np.random.Generator
) -> Parts:
    """A rectangular sign with lines of text."""
    color = (BLUE, GREEN, WHITE, YELLOW)[int(rng.integers(4))]
    ink = -1.0 if color in (WHITE, YELLOW) else 1.0
    x, y, z = center
    face = _face(color, material, (y, z, width / 2, height / 2), ink, 1.0)
    return [
        (box((0.03, width, height), (x, y, z - height / 2)), _BACK),
        (box((0.01, width, height), (x - 0.02, y, z - height / 2)), face),
    ]


def on_post(rng: np.random.Generator) -> Parts:
    """One to three signs on a post."""
    height = rng.uniform(2.3, 3.3)
    parts: Parts = [(rod((0, 0, 0), (0, 0, height), (0.04, 0.04), 5), _STEEL)]
    z = height
    for _ in range(int(rng.choice([1, 2, 3], p=[0.55, 0.35, 0.1]))):
        if rng.random() < 0.7:
            radius = rng.uniform(0.32, 0.48)
            parts += plate((-0.06, 0, z - radius), radius, METAL, rng)
            z -= 2 * radius + 0.05
        else:
            tall = rng.uniform(0.25, 0.5)
            parts += panel((-0.06, 0, z - tall / 2), rng.uniform(0.6, 1.3), tall, METAL, rng)
            z -= tall + 0.05
    return parts


def direction_board(rng: np.random.Generator) -> Parts:
    """A large board on two posts."""
    width, height, low = rng.uniform(1.6, 3.0), rng.uniform(0.9, 1.6), rng.uniform(0.9, 1.8)
    parts = panel((-0.06, 0, low + height / 2), width, height, METAL, rng)
    for y in (-width * 0.35, width * 0.35):
        parts.append((rod((0, y, 0), (0, y, low + height), (0.05, 0.05), 5), _STEEL))
    return parts


def overhead(span: float, reach: float, rng: np.random.Generator) -> Parts:
    """A mast at the origin whose arm carries panels over the road on the left (+y).

    Args:
        span: how far the arm reaches.
        reach: how far from the mast the nearest panel begins.
        rng: source of all randomness.
    """
    z = rng.uniform(4.4, 5.4)
    parts: Parts = [
        (rod((0, 0, 0), (0, 0, z + 0.3), (0.12, 0.1)), _STEEL),
        (rod((0, 0, z), (0, span, z), (0.08, 0.06), 5), _STEEL),
    ]
    y = reach
    while y < span - 0.8:
        width = min(rng.uniform(1.3, 2.8), span - y)
        at = (-0.1, y + width / 2, z)
        if rng.random() < 0.7:
            parts += panel(at, width, rng.uniform(0.8, 1.3), METAL, rng)
        else:
            parts += signal_head(at, rng)
        y += width + rng.uniform(0.2, 0.8)
    return parts


def on_wall(rng: np.random.Generator) -> Parts:
    """A sign flush with a wall that faces -x: the wall's heat, the wall's depth."""
    z = rng.uniform(1.9, 3.2)
    if rng.random() < 0.5:
        return plate((-0.02, 0, z), rng.uniform(0.35, 0.6), PLASTER, rng)
    return panel((-0.01, 0, z), rng.uniform(0.8, 2.0), rng.uniform(0.4, 0.9), PLASTER, rng)


def signal_head(center: Vector, rng: np.random.Generator) -> Parts:
    """Three lamps in a dark housing, one of them lit."""
    x, y, z = center
    dark = Surface(TRAFFIC_SIGN, METAL, (0.04, 0.045, 0.04))
    lit = int(rng.integers(3))
    glows: tuple[Color, ...] = ((0.1, 1.6, 0.6), (1.6, 0.9, 0.1), (2.0, 0.1, 0.05))
    parts: Parts = [(box((0.2, 0.36, 1.0), (x, y, z - 0.5)), dark)]
    for i, glow in enumerate(glows):
        on = i == lit
        color: Color = (0.4, 0.4, 0.4) if on else (0.06, 0.06, 0.06)
        lamp = Surface(TRAFFIC_SIGN, METAL, color, glow=glow if on else (0.0, 0.0, 0.0))
        disc = _polygon(8, 0.0, 0.12, (x - 0.11, y, z - 0.32 + 0.32 * i))
        parts.append((disc, lamp))
    return parts


def traffic_light(rng: np.random.Generator) -> Parts:
    """A signal head on a post."""
    parts: Parts = [(rod((0, 0, 0), (0, 0, 2.9), (0.06, 0.06)), _STEEL)]
    return parts + signal_head((-0.12, 0, rng.uniform(2.5, 2.9)), rng)
