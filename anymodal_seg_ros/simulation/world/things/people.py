"""People: a rigid trunk, and arms and legs that swing with the gait or stay in the saddle."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.world.classes import PERSON
from anymodal_seg_ros.simulation.world.materials import CLOTH, SKIN, Color, Parts, Surface
from anymodal_seg_ros.simulation.world.shapes import Vector, blob, box, rod
from anymodal_seg_ros.simulation.world.things.bodies import Body, Limb, body

BODY_K = 307.0
_SKIN_TONES: tuple[Color, ...] = ((0.50, 0.33, 0.25), (0.36, 0.22, 0.15), (0.14, 0.08, 0.05))


def _cloth(rng: np.random.Generator, share: float) -> Surface:
    if rng.random() < 0.6:
        tone = float(rng.uniform(0.02, 0.12))
        r, g, b = (float(tone * j) for j in rng.uniform(0.7, 1.3, 3))
    else:
        r, g, b = (float(c) for c in rng.uniform(0.05, 0.6, 3))
    return Surface(PERSON, CLOTH, (r, g, b), warm_to_k=BODY_K, warm_share=share)


def _skin(rng: np.random.Generator) -> Surface:
    tone = _SKIN_TONES[int(rng.integers(len(_SKIN_TONES)))]
    return Surface(PERSON, SKIN, tone, warm_to_k=BODY_K, warm_share=0.9)


def _head(center: Vector, size: float, skin: Surface, rng: np.random.Generator) -> Parts:
    """A face under hair, a hat or a helmet."""
    if rng.random() < 0.7:
        cover = Surface(PERSON, CLOTH, (0.05, 0.035, 0.03), warm_to_k=BODY_K, warm_share=0.55)
    else:
        cover = _cloth(rng, 0.35)
    ball = blob(center, (size * 0.95, size * 0.85, size * 1.15), rng, 0.0)
    x, _, z = np.moveaxis(ball.mean(axis=1) - np.array(center, np.float32), -1, 0)
    covered = z - 0.7 * x > 0.2 * size
    return [(ball[~covered], skin), (ball[covered], cover)]


def person(rng: np.random.Generator) -> Body:
    """Draw an adult or a child in coat and trousers; warmth leaks through the clothes."""
    height = rng.uniform(1.5, 1.92) if rng.random() < 0.8 else rng.uniform(1.0, 1.4)
    girth = height * rng.uniform(0.9, 1.25) / 1.75
    skin, coat = _skin(rng), _cloth(rng, rng.uniform(0.35, 0.65))
    trousers = _cloth(rng, rng.uniform(0.4, 0.65))
    hip, shoulder, wide = 0.50 * height, 0.82 * height, 0.20 * girth
    limbs: list[Limb] = []
    for side in (-1.0, 1.0):
        y = side * 0.09 * girth
        leg = rod((0, y, hip), (0.0, y, 0.0), (0.095 * girth, 0.06 * girth), 5)
        limbs.append(Limb(leg, trousers, (0.0, y, hip), 0.45 * side))
        y = side * (wide + 0.05 * girth)
        arm = rod((0, y, shoulder), (0.03, y, 0.47 * height), (0.055 * girth, 0.04 * girth), 4)
        limbs.append(Limb(arm, coat, (0.0, y, shoulder), -0.40 * side))
    torso = box((0.20 * girth, 1.7 * wide, shoulder - hip + 0.08), (0, 0, hip - 0.08), (1.2, 1.25))
    size = 0.115 * height / 1.75
    center = (0.02, 0.0, height - size * 1.15)
    parts: Parts = [(torso, coat), (rod((0, 0, shoulder), center, (0.055, 0.05), 4), skin)]
    if rng.random() < 0.3:
        bag = box((0.18, 0.3 * girth, 0.42), (-0.19 * girth, 0, hip + 0.1))
        parts.append((bag, Surface(PERSON, CLOTH, coat.albedo, warm_to_k=BODY_K, warm_share=0.1)))
    from_afar: Parts = [
        (box((0.15 * girth, 0.3 * girth, hip), (0, 0, 0)), trousers),
        (box((0.2 * girth, 2.2 * wide, shoulder - hip), (0, 0, hip)), coat),
        (box((2 * size, 1.6 * size, height - shoulder), (0, 0, shoulder)), skin),
    ]
    return body([*parts, *_head(center, size, skin, rng)], limbs, from_afar)


def rider(saddle: Vector, bars: Vector, pedal: Vector, rng: np.random.Generator) -> Body:
    """Someone in a saddle, hands on the bars, feet near the pedals; the thighs move.

    Args:
        saddle: where to sit, in the vehicle's frame.
        bars: the middle of the handlebars.
        pedal: the middle between the feet.
        rng: source of all randomness.
    """
    skin, coat = _skin(rng), _cloth(rng, rng.uniform(0.35, 0.6))
    trousers = _cloth(rng, rng.uniform(0.4, 0.6))
    sx, _, sz = saddle
    lean = rng.uniform(0.12, 0.3)
    shoulder = (sx + lean, 0.0, sz + 0.55)
    knee_x, knee_z = (sx + pedal[0]) / 2 + 0.22, (sz + pedal[2]) / 2 + 0.12
    parts: Parts = [(rod((sx, 0, sz - 0.05), shoulder, (0.16, 0.20), 6), coat)]
    limbs: list[Limb] = []
    for side in (-1.0, 1.0):
        y, hand = side * 0.11, (bars[0], side * 0.22, bars[2])
        parts.append((rod((shoulder[0], side * 0.2, shoulder[2] - 0.05), hand, (0.055, 0.04), 4),
                      coat))  # fmt: skip
        knee = (knee_x, y, knee_z)
        leg = np.concatenate(
            [rod((sx, y, sz), knee, (0.085, 0.065), 4),
             rod(knee, (pedal[0], y, pedal[2]), (0.06, 0.045), 4)]
        )  # fmt: skip
        limbs.append(Limb(leg, trousers, (sx, y, sz), 0.22 * side))
    head = (shoulder[0] + 0.1, 0.0, shoulder[2] + 0.22)
    return body([*parts, *_head(head, 0.115, skin, rng)], limbs)
