"""Thin upright things: street lamps, posts, and what carries traffic signs and lights."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.classes import POLE, TRAFFIC_SIGN
from anymodal_seg_ros.simulation.materials import CONCRETE, METAL, Color, Parts, Surface
from anymodal_seg_ros.simulation.shapes import Vector, box, rod

_STEEL = Surface(POLE, METAL, (0.30, 0.31, 0.32))
_LAMP_GLASS = Surface(
    POLE, METAL, (0.6, 0.6, 0.55), glow=(3.0, 2.3, 1.3), warm_to_k=320.0, warm_share=0.5
)
_SIGN_COLORS: tuple[Color, ...] = (
    (0.60, 0.05, 0.05),
    (0.05, 0.12, 0.50),
    (0.70, 0.68, 0.62),
    (0.70, 0.52, 0.05),
)


def lamp_post(height: float, reach: float, rng: np.random.Generator) -> tuple[Parts, Vector]:
    """A street lamp whose arm reaches along +y; also the position of its light."""
    tone = float(rng.uniform(0.15, 0.5))
    steel = Surface(POLE, METAL, (tone, tone, tone))
    radius = rng.uniform(0.07, 0.12)
    parts: Parts = [
        (rod((0, 0, 0), (0, 0, height), (radius, radius * 0.7)), steel),
        (rod((0, 0, height), (0, reach, height + 0.2), (0.05, 0.05), 4), steel),
        (box((0.3, 0.8, 0.12), (0, reach, height + 0.14)), steel),
        (box((0.24, 0.6, 0.05), (0, reach, height + 0.09)), _LAMP_GLASS),
    ]
    return parts, (0.0, reach, height)


def traffic_sign(rng: np.random.Generator) -> Parts:
    """A sign on a post, facing -x."""
    height = rng.uniform(2.2, 3.2)
    size = rng.uniform(0.5, 0.8)
    face = Surface(TRAFFIC_SIGN, METAL, _SIGN_COLORS[int(rng.integers(len(_SIGN_COLORS)))])
    parts: Parts = [(rod((0, 0, 0), (0, 0, height), (0.05, 0.05)), _STEEL)]
    if rng.random() < 0.5:
        z, radius = height - size / 2, size / 2
        disc = rod((-0.09, 0, z), (-0.06, 0, z), (radius, radius), 10)
        parts.append((disc, face))
    else:
        parts.append((box((0.03, size, size), (-0.08, 0, height - size)), face))
    return parts


def traffic_light(rng: np.random.Generator) -> Parts:
    """A signal head on a post, facing -x, one of its lamps lit."""
    dark = Surface(TRAFFIC_SIGN, METAL, (0.04, 0.05, 0.04))
    lit = int(rng.integers(3))
    glows: tuple[Color, ...] = ((0.1, 1.6, 0.6), (1.6, 0.9, 0.1), (2.0, 0.1, 0.05))
    parts: Parts = [
        (rod((0, 0, 0), (0, 0, 2.5), (0.06, 0.06)), _STEEL),
        (box((0.2, 0.3, 0.9), (0, 0, 2.3)), dark),
    ]
    for i, glow in enumerate(glows):
        if i == lit:
            lamp = Surface(TRAFFIC_SIGN, METAL, (0.4, 0.4, 0.4), glow=glow)
            parts.append((box((0.04, 0.18, 0.18), (-0.11, 0, 2.37 + 0.28 * i)), lamp))
    return parts


def post(rng: np.random.Generator) -> Parts:
    """A bollard, or a tall wooden or concrete mast."""
    if rng.random() < 0.5:
        tone = float(rng.uniform(0.1, 0.6))
        stone = Surface(POLE, CONCRETE, (tone, tone, tone))
        return [(rod((0, 0, 0), (0, 0, rng.uniform(0.8, 1.1)), (0.1, 0.09)), stone)]
    wood = Surface(POLE, CONCRETE, (0.16, 0.12, 0.09))
    height = rng.uniform(6.0, 9.0)
    return [
        (rod((0, 0, 0), (0, 0, height), (0.15, 0.11)), wood),
        (rod((0, -0.9, height - 0.6), (0, 0.9, height - 0.6), (0.05, 0.05), 4), wood),
    ]
