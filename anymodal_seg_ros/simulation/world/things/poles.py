"""Thin upright things that carry no sign: street lamps, masts, posts."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.world.classes import POLE
from anymodal_seg_ros.simulation.world.materials import METAL, WOOD, Parts, Surface
from anymodal_seg_ros.simulation.world.shapes import Vector, box, rod

_LAMP_GLASS = Surface(
    POLE, METAL, (0.6, 0.6, 0.55), glow=(3.0, 2.3, 1.3), warm_to_k=320.0, warm_share=0.5
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


def mast(rng: np.random.Generator) -> Parts:
    """A tall wooden mast with a cross-arm along y."""
    tone = float(rng.uniform(0.7, 1.3))
    wood = Surface(POLE, WOOD, (0.16 * tone, 0.12 * tone, 0.09 * tone))
    height = rng.uniform(6.0, 9.0)
    return [
        (rod((0, 0, 0), (0, 0, height), (0.15, 0.11)), wood),
        (rod((0, -0.9, height - 0.6), (0, 0.9, height - 0.6), (0.05, 0.05), 4), wood),
    ]


def post(height: float, rng: np.random.Generator) -> Parts:
    """A bare post: of a gate, a rope, a delineator."""
    tone = float(rng.uniform(0.12, 0.55))
    steel = Surface(POLE, METAL, (tone, tone, tone))
    return [(rod((0, 0, 0), (0, 0, height), (0.06, 0.05), 5), steel)]
