"""Bicycles and motorcycles, standing on z = 0, facing +x, with or without a rider."""

from __future__ import annotations

import math

import numpy as np

from anymodal_seg_ros.simulation.world.classes import TWO_WHEELER
from anymodal_seg_ros.simulation.world.materials import (
    GLASS,
    METAL,
    PAINT,
    RUBBER,
    Color,
    Parts,
    Surface,
)
from anymodal_seg_ros.simulation.world.shapes import Floats, box, rod
from anymodal_seg_ros.simulation.world.things.bodies import Body, body
from anymodal_seg_ros.simulation.world.things.people import rider

_SIDES = 12
"""Of a wheel, which is a prism."""

_RUBBER = Surface(TWO_WHEELER, RUBBER, (0.03, 0.03, 0.03))
_STEEL = Surface(TWO_WHEELER, METAL, (0.35, 0.35, 0.36))
_SADDLE = Surface(TWO_WHEELER, RUBBER, (0.05, 0.045, 0.04))


def _ring(x: float, z: float, outer: float, inner: float) -> Floats:
    """A flat ring in the plane y = 0."""
    angle = np.arange(_SIDES + 1) * (2 * math.pi / _SIDES)
    unit = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], 1)
    a, b = outer * unit + (x, 0, z), inner * unit + (x, 0, z)
    faces = [np.stack([a[:-1], a[1:], b[1:]], 1), np.stack([a[:-1], b[1:], b[:-1]], 1)]
    return np.concatenate(faces).astype(np.float32)


def _tyre(x: float, radius: float, width: float) -> Floats:
    """A wheel's tyre: two flat rings and the tread between them."""
    side = _ring(x, radius, radius, radius * 0.8)
    tread = rod((x, -width / 2, radius), (x, width / 2, radius), (radius, radius), _SIDES)
    # Only the mantle of the prism: a rod lists its mantle before its caps.
    left, right = (side + np.array((0, y, 0), np.float32) for y in (-width / 2, width / 2))
    return np.concatenate([left, right, tread[: 2 * _SIDES]])


def _paint(rng: np.random.Generator) -> Color:
    r, g, b = (float(c) for c in rng.uniform(0.02, 0.5, 3))
    return (r, g, b)


def bicycle(ridden: bool, rng: np.random.Generator) -> Body:
    """A bicycle, leaning on its stand or under a rider who pedals."""
    frame = Surface(TWO_WHEELER, PAINT, _paint(rng))
    wheel = rng.uniform(0.31, 0.36)
    base = 0.52 * rng.uniform(0.95, 1.08)
    crank, seat, head = (0.0, 0, 0.28), (-0.14, 0, 0.82), (base - 0.12, 0, 0.86)
    tubes = ((crank, seat), (crank, head), (seat, head), ((-base, 0, wheel), crank),
             ((-base, 0, wheel), seat), (head, (base, 0, wheel)))  # fmt: skip
    parts: Parts = [(rod(a, b, (0.022, 0.022), 3), frame) for a, b in tubes]
    parts += [(_tyre(x, wheel, 0.045), _RUBBER) for x in (-base, base)]
    bars = (head[0] - 0.02, 0.0, 1.0)
    parts += [
        (rod(head, bars, (0.018, 0.018), 3), _STEEL),
        (rod((bars[0], -0.28, bars[2]), (bars[0], 0.28, bars[2]), (0.018, 0.018), 3), _STEEL),
        (rod(seat, (-0.17, 0, 0.95), (0.018, 0.018), 3), _STEEL),
        (box((0.27, 0.15, 0.07), (-0.17, 0, 0.94)), _SADDLE),
    ]
    if rng.random() < 0.4:
        parts.append((box((0.34, 0.3, 0.22), (base - 0.05, 0, 0.75)), _SADDLE))
    if not ridden:
        return body(parts)
    lamp = Surface(TWO_WHEELER, GLASS, (0.6, 0.6, 0.6), glow=(2.0, 1.9, 1.6))
    parts.append((box((0.05, 0.08, 0.08), (base, 0, 0.85)), lamp))
    who = rider((-0.17, 0, 0.98), bars, (0.05, 0, 0.22), rng)
    return body([*parts, *who.parts[len(who.limbs) :]], who.limbs)


def motorcycle(ridden: bool, rng: np.random.Generator) -> Body:
    """A motorcycle or scooter; a ridden one has a hot engine and exhaust and a lit lamp."""
    paint = Surface(TWO_WHEELER, PAINT, _paint(rng))
    warm = 0.6 if ridden else float(rng.choice([0.0, 0.35]))
    engine = Surface(TWO_WHEELER, METAL, (0.12, 0.12, 0.12), warm_to_k=365.0, warm_share=warm)
    white: Color = (5.0, 4.7, 4.0) if ridden else (0.0, 0.0, 0.0)
    red: Color = (1.0, 0.05, 0.03) if ridden else (0.0, 0.0, 0.0)
    tyre = Surface(TWO_WHEELER, RUBBER, (0.03, 0.03, 0.03), warm_to_k=320.0, warm_share=warm / 2)
    base, radius = rng.uniform(0.66, 0.78), rng.uniform(0.27, 0.33)
    wheels = [
        rod((x, -0.07, radius), (x, 0.07, radius), (radius, radius), _SIDES) for x in (-base, base)
    ]
    bars = (base - 0.25, 0.0, 1.02)
    parts: Parts = [
        *((w, tyre) for w in wheels),
        (box((0.55, 0.34, 0.42), (0.0, 0, 0.28)), engine),
        (box((0.62, 0.34, 0.28), (0.18, 0, 0.68), (0.7, 0.7)), paint),
        (box((0.75, 0.3, 0.14), (-0.42, 0, 0.72)), _SADDLE),
        (box((0.35, 0.24, 0.2), (-base, 0, 0.6), (0.7, 0.8)), paint),
        (box((0.2, 0.36, 0.4), (base - 0.12, 0, 0.68), (0.6, 0.9)), paint),
        (rod((0.0, -0.2, 0.3), (-base - 0.1, -0.2, 0.4), (0.05, 0.06), 5), engine),
        (rod((base, 0, radius), bars, (0.04, 0.04), 4), _STEEL),
        (rod((bars[0], -0.36, bars[2]), (bars[0], 0.36, bars[2]), (0.02, 0.02), 3), _STEEL),
        (box((0.05, 0.18, 0.16), (base, 0, 0.8)), Surface(TWO_WHEELER, GLASS, (0.6, 0.6, 0.6),
                                                        glow=white)),
        (box((0.05, 0.16, 0.1), (-base - 0.18, 0, 0.72)), Surface(TWO_WHEELER, GLASS,
                                                                 (0.35, 0.03, 0.03), glow=red)),
    ]  # fmt: skip
    if not ridden:
        return body(parts)
    who = rider((-0.32, 0, 0.88), bars, (0.0, 0, 0.35), rng)
    # Feet rest on the pegs: nothing swings.
    return body([*parts, *who.parts])
