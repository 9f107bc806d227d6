"""Trees, bushes, hedges, grass, and rocks among them.

Solid cores lie inside loose leaves, so that outlines are ragged.
"""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.world.classes import TERRAIN, VEGETATION
from anymodal_seg_ros.simulation.world.materials import BARK, FOLIAGE, ROCK, Color, Parts, Surface
from anymodal_seg_ros.simulation.world.shapes import blob, box, cards, rod


def _leaf(rng: np.random.Generator) -> Surface:
    tone = rng.uniform(0.6, 1.5)
    autumn = rng.random() < 0.12
    base: Color = (0.22, 0.13, 0.04) if autumn else (0.085, 0.15, 0.045)
    jitter = rng.uniform(0.8, 1.2, 3)
    r, g, b = (float(c * tone * j) for c, j in zip(base, jitter, strict=True))
    return Surface(VEGETATION, FOLIAGE, (r, g, b))


def _bark(rng: np.random.Generator) -> Surface:
    tone = float(rng.uniform(0.7, 1.4))
    return Surface(VEGETATION, BARK, (0.14 * tone, 0.10 * tone, 0.075 * tone))


def broadleaf(height: float, rng: np.random.Generator) -> Parts:
    """A tree with a trunk and a crown of a few overlapping clumps."""
    crown = height * rng.uniform(0.5, 0.7)
    bottom = height - crown
    radius = crown * rng.uniform(0.35, 0.55)
    girth = 0.03 * height * rng.uniform(0.6, 1.1)
    leaf = _leaf(rng)
    trunk = rod((0, 0, 0), (0, 0, bottom + crown * 0.4), (girth, girth * 0.6))
    parts: Parts = [(trunk, _bark(rng))]
    for _ in range(3):
        dx, dy = rng.uniform(-0.4, 0.4, 2) * radius
        z = bottom + crown * rng.uniform(0.35, 0.65)
        radii = (radius * 0.7, radius * 0.7, crown * rng.uniform(0.3, 0.4))
        parts.append((blob((dx, dy, z), radii, rng, 0.2), leaf))
        parts.append((cards(40, (dx, dy, z), radii, 0.08 * radius + 0.08, rng), leaf))
    return parts


def conifer(height: float, rng: np.random.Generator) -> Parts:
    """A spruce: stacked cones with needles sticking out."""
    leaf = _leaf(rng)
    radius = height * rng.uniform(0.16, 0.26)
    parts: Parts = [(rod((0, 0, 0), (0, 0, height * 0.3), (0.15, 0.12)), _bark(rng))]
    for share, size in ((0.1, 1.0), (0.35, 0.72), (0.6, 0.45)):
        tip = min(height, height * (share + 0.45))
        cone = rod((0, 0, height * share), (0, 0, tip), (radius * size, 0.0), 9)
        parts.append((cone, leaf))
        hull = (radius * size * 0.9, radius * size * 0.9, height * 0.1)
        parts.append((cards(30, (0, 0, height * (share + 0.1)), hull, 0.18, rng), leaf))
    return parts


def bush(size: float, rng: np.random.Generator) -> Parts:
    """A round shrub about ``size`` metres wide."""
    leaf = _leaf(rng)
    height = size * rng.uniform(0.6, 1.0)
    radii = (size / 2, size / 2, height / 2)
    center = (0.0, 0.0, height * 0.45)
    return [(blob(center, radii, rng, 0.25), leaf), (cards(50, center, radii, 0.11, rng), leaf)]


def hedge(length: float, rng: np.random.Generator) -> Parts:
    """A clipped hedge along x."""
    leaf = _leaf(rng)
    height = rng.uniform(0.8, 1.9)
    hull = (length / 2, 0.4, height / 2)
    return [
        (box((length, 0.7, height), (0, 0, 0)), leaf),
        (cards(int(12 * length), (0, 0, height / 2), hull, 0.1, rng), leaf),
    ]


def dead_tree(height: float, rng: np.random.Generator) -> Parts:
    """A bare trunk with a few branches."""
    bark = _bark(rng)
    girth = 0.025 * height
    parts: Parts = [(rod((0, 0, 0), (0, 0, height), (girth, girth * 0.4)), bark)]
    for _ in range(6):
        z = height * rng.uniform(0.35, 0.9)
        dx, dy = rng.normal(0.0, 0.22 * height, 2)
        tip = (float(dx), float(dy), z + height * rng.uniform(0.05, 0.25))
        parts.append((rod((0, 0, z), tip, (girth * 0.45, 0.015), 4), bark))
    return parts


def bare_tree(height: float, rng: np.random.Generator) -> Parts:
    """A tree in winter: limbs, and a crown of twigs between which one sees what is behind.

    A twig is drawn coarser than it is, for the bundle of finer ones that it carries.
    """
    bark = _bark(rng)
    crown = height * rng.uniform(0.6, 0.75)
    radius = crown * rng.uniform(0.45, 0.65)
    middle = np.array((0.0, 0.0, height - crown / 2))
    girth = 0.028 * height * rng.uniform(0.7, 1.1)
    fork = (0.0, 0.0, float(height - 0.9 * crown))
    parts: Parts = [(rod((0, 0, 0), fork, (girth, girth * 0.8)), bark)]
    for _ in range(int(rng.integers(5, 9))):
        tip = middle + rng.normal(0.0, 0.45, 3) * (radius, radius, 0.5 * crown)
        tip[2] = max(tip[2], fork[2] + 0.2 * crown)
        end = (float(tip[0]), float(tip[1]), float(tip[2]))
        parts.append((rod(fork, end, (girth * 0.55, 0.03), 4), bark))
    count = int(rng.uniform(60.0, 120.0) * height)
    foot = rng.normal(size=(count, 3))
    foot /= np.linalg.norm(foot, axis=1, keepdims=True)
    foot *= rng.uniform(0.2, 1.0, (count, 1)) ** 0.6
    # Twigs grow outwards and upwards, more or less.
    grown = foot + rng.normal(0.0, 0.5, (count, 3)) + (0.0, 0.0, 0.3)
    grown /= np.linalg.norm(grown, axis=1, keepdims=True)
    foot = foot * (radius, radius, crown / 2) + middle
    tip = foot + grown * rng.uniform(0.1, 0.25, (count, 1)) * crown
    across = rng.normal(0.0, 0.0035 * height, (count, 3))
    twigs = np.stack([foot - across, foot + across, tip], 1).astype(np.float32)
    tone = float(rng.uniform(0.8, 2.6))
    r, g, b = (float(c * tone) for c in bark.albedo)
    parts.append((twigs, Surface(VEGETATION, BARK, (r, g, b))))
    return parts


def log(rng: np.random.Generator) -> Parts:
    """A felled trunk lying along x."""
    half, radius = rng.uniform(0.8, 2.6), rng.uniform(0.14, 0.32)
    return [(rod((-half, 0, radius), (half, 0, radius), (radius, radius * 0.85), 8), _bark(rng))]


def tall_grass(size: float, height: float, rng: np.random.Generator) -> Parts:
    """A patch of blades of high grass or reed, ``size`` metres wide."""
    dry = rng.random() < 0.4
    tone = float(rng.uniform(0.7, 1.4))
    base: Color = (0.26, 0.22, 0.09) if dry else (0.09, 0.16, 0.04)
    blade = Surface(VEGETATION, FOLIAGE, (base[0] * tone, base[1] * tone, base[2] * tone))
    count = int(45 * size)
    foot = np.zeros((count, 3))
    foot[:, :2] = rng.normal(0.0, size / 3, (count, 2))
    across = rng.normal(0.0, 0.05, (count, 3)) * (1, 1, 0)
    tip = foot + rng.normal(0.0, 0.16 * height, (count, 3))
    tip[:, 2] = height * rng.uniform(0.5, 1.1, count)
    blades = np.stack([foot - across, foot + across, tip], 1).astype(np.float32)
    return [(blades, blade)]


def boulder(size: float, rng: np.random.Generator) -> Parts:
    """A rock half sunk into the ground: terrain."""
    tone = rng.uniform(0.7, 1.4)
    r, g, b = (float(c * tone) for c in (0.24, 0.225, 0.205))
    radii = (size * rng.uniform(0.4, 0.6), size * rng.uniform(0.4, 0.6), size * 0.45)
    rock = blob((0.0, 0.0, size * 0.12), radii, rng, 0.22)
    return [(rock, Surface(TERRAIN, ROCK, (r, g, b)))]
