"""Walking people: a rigid trunk, and arms and legs that swing with the gait."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.simulation.classes import PERSON
from anymodal_seg_ros.simulation.materials import CLOTH, SKIN, Color, Parts, Surface
from anymodal_seg_ros.simulation.shapes import Floats, Vector, blob, box, rod, swing

BODY_K = 307.0
_SKIN_TONES: tuple[Color, ...] = ((0.50, 0.33, 0.25), (0.36, 0.22, 0.15), (0.14, 0.08, 0.05))


@dataclass(frozen=True, slots=True)
class Limb:
    """Triangles that turn about the y axis through ``joint`` by ``reach`` radians at most."""

    triangles: Floats
    joint: Vector
    reach: float


@dataclass(frozen=True, slots=True)
class Person:
    """A body in its own frame: feet on z = 0, facing +x.

    Attributes:
        parts: all parts in the resting pose, the limbs' first.
        limbs: as many as there are moving parts at the head of ``parts``.
    """

    parts: Parts
    limbs: tuple[Limb, ...]

    def posed(self, phase: float) -> Floats:
        """All triangles of ``parts``, in order, at ``phase`` radians of the stride."""
        angle = math.sin(phase)
        moving = [swing(m.triangles, m.joint, m.reach * angle) for m in self.limbs]
        return np.concatenate(moving + [t for t, _ in self.parts[len(self.limbs) :]])


def _cloth(rng: np.random.Generator, share: float) -> Surface:
    if rng.random() < 0.6:
        tone = float(rng.uniform(0.02, 0.12))
        r, g, b = (float(tone * j) for j in rng.uniform(0.7, 1.3, 3))
    else:
        r, g, b = (float(c) for c in rng.uniform(0.05, 0.6, 3))
    return Surface(PERSON, CLOTH, (r, g, b), warm_to_k=BODY_K, warm_share=share)


def person(rng: np.random.Generator) -> Person:
    """Draw an adult or a child in coat and trousers; warmth leaks through the clothes."""
    height = rng.uniform(1.5, 1.92) if rng.random() < 0.85 else rng.uniform(1.05, 1.4)
    girth = height * rng.uniform(0.9, 1.25) / 1.75
    tone = _SKIN_TONES[int(rng.integers(len(_SKIN_TONES)))]
    skin = Surface(PERSON, SKIN, tone, warm_to_k=BODY_K, warm_share=0.9)
    hair = Surface(PERSON, CLOTH, (0.05, 0.035, 0.03), warm_to_k=BODY_K, warm_share=0.55)
    coat = _cloth(rng, rng.uniform(0.35, 0.65))
    trousers = _cloth(rng, rng.uniform(0.4, 0.65))
    hip, shoulder, wide = 0.50 * height, 0.82 * height, 0.20 * girth
    limbs: list[Limb] = []
    parts: Parts = []
    for side in (-1.0, 1.0):
        y = side * 0.09 * girth
        leg = rod((0, y, hip), (0.0, y, 0.0), (0.095 * girth, 0.06 * girth))
        limbs.append(Limb(leg, (0.0, y, hip), 0.45 * side))
        parts.append((leg, trousers))
        y = side * (wide + 0.05 * girth)
        arm = rod((0, y, shoulder), (0.03, y, 0.47 * height), (0.055 * girth, 0.04 * girth), 5)
        limbs.append(Limb(arm, (0.0, y, shoulder), -0.40 * side))
        parts.append((arm, coat))
    torso = box((0.20 * girth, 1.7 * wide, shoulder - hip + 0.08), (0, 0, hip - 0.08), (1.2, 1.25))
    head = 0.115 * height / 1.75
    center = (0.02, 0.0, height - head * 1.15)
    parts += [
        (torso, coat),
        (rod((0, 0, shoulder), (0, 0, center[2]), (0.055, 0.05), 5), skin),
        (blob(center, (head * 0.9, head * 0.8, head * 1.15), rng, 0.0), skin),
        (
            blob((center[0] - 0.03, 0.0, center[2] + 0.03), (head * 0.9, head * 0.86, head * 1.1),
                 rng, 0.0),
            hair,
        ),
    ]  # fmt: skip
    return Person(parts, tuple(limbs))
