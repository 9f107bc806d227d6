"""Things left on the way that look and feel like the ground beneath them.

They are as bright, as coloured and as warm as the ground: their upright faces, which get less of
the sky's light and lose less heat, are made up for it. What gives them away is their depth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from anymodal_seg_ros.simulation.world.classes import OBSTACLE
from anymodal_seg_ros.simulation.world.materials import Parts, Surface
from anymodal_seg_ros.simulation.world.shapes import Floats, box, rod

_DIMMER = 1.55
"""How much less light upright faces get than level ones, under an open sky."""


def _skins(ground: Surface, rng: np.random.Generator) -> tuple[Surface, Surface]:
    """Surfaces for level and for upright faces."""
    jitter = rng.uniform(0.93, 1.07)
    stuff = ground.material
    smooth = replace(stuff, fine=0.25 * stuff.fine, coarse=0.0, thermal_noise_k=0.1)
    # Night cooling weighs upright faces 0.4 as much as level ones; the sun, about two thirds.
    upright = replace(smooth, night_k=2.4 * stuff.night_k, sun_gain_k=1.4 * stuff.sun_gain_k)
    r, g, b = (float(min(c * jitter, 0.9)) for c in ground.albedo)
    ur, ug, ub = (min(c * _DIMMER, 0.9) for c in (r, g, b))
    return Surface(OBSTACLE, smooth, (r, g, b)), Surface(OBSTACLE, upright, (ur, ug, ub))


def _dressed(shape: Floats, ground: Surface, rng: np.random.Generator) -> Parts:
    """``shape`` with the skin that fits the slope of each face."""
    top, side = _skins(ground, rng)
    normal = np.cross(shape[:, 1] - shape[:, 0], shape[:, 2] - shape[:, 0])
    flat = np.abs(normal[:, 2]) > 0.75 * np.linalg.norm(normal, axis=1)
    return [(shape[flat], top), (shape[~flat], side)]


def block(ground: Surface, rng: np.random.Generator) -> Parts:
    """A box or a block with sloping sides."""
    size = rng.uniform(0.35, 1.1, 2)
    taper = float(rng.uniform(0.55, 1.0))
    shape = box((size[0], size[1], rng.uniform(0.25, 0.95)), (0, 0, 0), (taper, taper))
    return _dressed(shape, ground, rng)


def slab(ground: Surface, rng: np.random.Generator) -> Parts:
    """A slab or a beam lying on the ground."""
    size = (rng.uniform(0.8, 2.2), rng.uniform(0.3, 0.8), rng.uniform(0.18, 0.4))
    return _dressed(box(size, (0, 0, 0)), ground, rng)


def bollard(ground: Surface, rng: np.random.Generator) -> Parts:
    """A thick round bollard."""
    radius = rng.uniform(0.12, 0.22)
    top = rng.uniform(0.6, 1.0)
    return _dressed(rod((0, 0, 0), (0, 0, top), (radius, radius * 0.9), 8), ground, rng)


def pallets(ground: Surface, rng: np.random.Generator) -> Parts:
    """A stack of pallets."""
    boards = [
        box((1.2, 0.8, 0.1), (*rng.normal(0.0, 0.02, 2), 0.15 * i + 0.02))
        for i in range(int(rng.integers(1, 6)))
    ]
    feet = [box((1.1, 0.1, 0.15 * len(boards)), (0, y, 0)) for y in (-0.32, 0.0, 0.32)]
    return _dressed(np.concatenate(boards + feet), ground, rng)


Maker = Callable[[Surface, np.random.Generator], Parts]
OBSTACLES: tuple[Maker, ...] = (block, block, slab, bollard, pallets)
