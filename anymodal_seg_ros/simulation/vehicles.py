"""Cars, vans and lorries, standing on z = 0, facing +x, centred on the origin."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.classes import CAR, TRUCK
from anymodal_seg_ros.simulation.materials import GLASS, METAL, PAINT, RUBBER, Color, Parts, Surface
from anymodal_seg_ros.simulation.shapes import box, rod

_COLORS: tuple[Color, ...] = (
    (0.03, 0.03, 0.035),
    (0.62, 0.63, 0.64),
    (0.30, 0.31, 0.33),
    (0.12, 0.13, 0.14),
    (0.45, 0.03, 0.03),
    (0.04, 0.10, 0.32),
    (0.10, 0.20, 0.12),
    (0.55, 0.42, 0.10),
)


def _window(kind: int) -> Surface:
    return Surface(kind, GLASS, (0.05, 0.055, 0.06), warm_to_k=296.0, warm_share=0.1)


def _black(kind: int) -> Surface:
    return Surface(kind, RUBBER, (0.025, 0.025, 0.025))


def _paint(kind: int, color: Color, warm_to_k: float = 300.0, share: float = 0.0) -> Surface:
    return Surface(kind, PAINT, color, warm_to_k=warm_to_k, warm_share=share)


def _draw_color(rng: np.random.Generator) -> Color:
    r, g, b = (
        float(np.clip(c * rng.uniform(0.8, 1.25), 0.02, 0.8))
        for c in _COLORS[int(rng.integers(len(_COLORS)))]
    )
    return (r, g, b)


def _lights(kind: int, length: float, width: float, z: float, running: bool) -> Parts:
    white: Color = (6.0, 5.6, 4.8) if running else (0.0, 0.0, 0.0)
    red: Color = (1.2, 0.05, 0.03) if running else (0.0, 0.0, 0.0)
    front = Surface(kind, GLASS, (0.6, 0.6, 0.6), glow=white)
    rear = Surface(kind, GLASS, (0.35, 0.03, 0.03), glow=red)
    parts: Parts = []
    for side in (-1.0, 1.0):
        y = side * (width / 2 - 0.25)
        parts.append((box((0.05, 0.32, 0.14), (length / 2, y, z)), front))
        parts.append((box((0.05, 0.26, 0.16), (-length / 2, y, z + 0.08)), rear))
    return parts


def _wheels(kind: int, length: float, width: float, radius: float, running: bool) -> Parts:
    share = 0.3 if running else 0.0
    tyre = Surface(kind, RUBBER, (0.03, 0.03, 0.03), warm_to_k=325.0, warm_share=share)
    parts: Parts = []
    for x in (-0.31 * length, 0.31 * length):
        for side in (-1.0, 1.0):
            inner, outer = side * (width / 2 - 0.22), side * (width / 2 + 0.02)
            parts.append((rod((x, inner, radius), (x, outer, radius), (radius, radius), 10), tyre))
    return parts


def car(running: bool, rng: np.random.Generator) -> Parts:
    """A saloon, an estate or a small car; a running one has a warm hood, tyres and lit lamps."""
    length, width = rng.uniform(3.7, 4.8), rng.uniform(1.68, 1.9)
    waist, top = rng.uniform(0.82, 0.95), rng.uniform(1.4, 1.75)
    color = _draw_color(rng)
    hood = length * rng.uniform(0.22, 0.28)
    cabin = length * rng.uniform(0.5, 0.66)
    warm = 0.35 if running else float(rng.choice([0.0, 0.15]))
    body = length - hood
    middle = -hood / 2
    taper = (0.66, 0.84)
    cabin_x = length / 2 - hood - cabin / 2
    return [
        (box((body, width, waist - 0.25), (middle, 0, 0.25)), _paint(CAR, color)),
        (
            box((hood, width, waist - 0.32), (length / 2 - hood / 2, 0, 0.25), (1.0, 0.95)),
            _paint(CAR, color, 345.0, warm),
        ),
        (box((cabin, width * 0.97, top - waist), (cabin_x, 0, waist), taper), _window(CAR)),
        (box((cabin * 0.68, width * 0.83, 0.05), (cabin_x, 0, top - 0.01)), _paint(CAR, color)),
        (box((length * 1.01, width * 0.9, 0.12), (0, 0, 0.2)), _black(CAR)),
        (
            box((0.06, width * 0.5, 0.2), (length / 2, 0, 0.4)),
            Surface(CAR, METAL, (0.05, 0.05, 0.05), warm_to_k=350.0, warm_share=warm),
        ),
        *_wheels(CAR, length, width, 0.32, running),
        *_lights(CAR, length, width, 0.6, running),
    ]


def van(running: bool, rng: np.random.Generator) -> Parts:
    """A delivery van or, when drawn long, a lorry or a bus: a box with a windscreen."""
    length, width = rng.uniform(4.8, 9.5), rng.uniform(1.95, 2.4)
    height = rng.uniform(2.1, 3.1)
    color = _draw_color(rng)
    warm = 0.4 if running else 0.0
    parts: Parts = [
        (box((length, width, height - 0.45), (0, 0, 0.45)), _paint(TRUCK, color)),
        (
            box((0.06, width * 0.88, height * 0.33), (length / 2, 0, height * 0.52)),
            _window(TRUCK),
        ),
        (
            box((0.08, width * 0.6, 0.4), (length / 2, 0, 0.55)),
            Surface(TRUCK, METAL, (0.06, 0.06, 0.06), warm_to_k=345.0, warm_share=warm),
        ),
        (box((length * 0.95, width * 0.8, 0.3), (0, 0, 0.3)), _black(TRUCK)),
        *_wheels(TRUCK, length, width, 0.4, running),
        *_lights(TRUCK, length, width, 0.7, running),
    ]
    if rng.random() < 0.5:
        windows = box((length * 0.85, width + 0.04, height * 0.3), (0.1, 0, height * 0.55))
        parts.append((windows, _window(TRUCK)))
    return parts
