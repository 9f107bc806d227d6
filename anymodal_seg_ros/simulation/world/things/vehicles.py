"""Cars, vans, lorries and buses, standing on z = 0, facing +x, centred on the origin."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.world.classes import CAR, TRUCK
from anymodal_seg_ros.simulation.world.materials import (
    GLASS,
    METAL,
    PAINT,
    RUBBER,
    Color,
    Parts,
    Surface,
)
from anymodal_seg_ros.simulation.world.shapes import box, rod

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


def _front(length: float, width: float, height: float, warm: float) -> Parts:
    """Windscreen and radiator grille."""
    grille = Surface(TRUCK, METAL, (0.06, 0.06, 0.06), warm_to_k=345.0, warm_share=warm)
    return [
        (box((0.06, width * 0.88, height * 0.33), (length / 2, 0, height * 0.52)), _window(TRUCK)),
        (box((0.08, width * 0.6, 0.4), (length / 2, 0, 0.55)), grille),
    ]


def _chassis(length: float, width: float, radius: float, running: bool) -> Parts:
    return [
        (box((length * 0.95, width * 0.8, 0.3), (0, 0, 0.3)), _black(TRUCK)),
        *_wheels(TRUCK, length, width, radius, running),
        *_lights(TRUCK, length, width, 0.7, running),
    ]


def van(running: bool, rng: np.random.Generator) -> Parts:
    """A delivery van: a box with a windscreen, side windows in every other one."""
    length, width = rng.uniform(4.8, 6.2), rng.uniform(1.95, 2.2)
    height = rng.uniform(2.1, 2.8)
    parts: Parts = [
        (box((length, width, height - 0.45), (0, 0, 0.45)), _paint(TRUCK, _draw_color(rng))),
        *_front(length, width, height, 0.4 if running else 0.0),
        *_chassis(length, width, 0.36, running),
    ]
    if rng.random() < 0.5:
        windows = box((length * 0.85, width + 0.04, height * 0.3), (0.1, 0, height * 0.55))
        parts.append((windows, _window(TRUCK)))
    return parts


def bus(running: bool, rng: np.random.Generator) -> Parts:
    """A town bus: bands of windows, heated inside."""
    length, width, height = rng.uniform(8.0, 11.5), 2.45, rng.uniform(2.9, 3.2)
    warm = 0.25 if running else 0.05
    panes = Surface(TRUCK, GLASS, (0.05, 0.055, 0.06), glow=(0.10, 0.09, 0.06) if running else
                    (0.0, 0.0, 0.0), warm_to_k=297.0, warm_share=warm)  # fmt: skip
    return [
        (box((length, width, height - 0.35), (0, 0, 0.35)), _paint(TRUCK, _draw_color(rng))),
        (box((length * 0.93, width + 0.04, height * 0.32), (0, 0, height * 0.5)), panes),
        *_front(length, width, height, 0.3 if running else 0.0),
        *_chassis(length, width, 0.48, running),
    ]


def lorry(running: bool, rng: np.random.Generator) -> Parts:
    """A cab before a box, a tarpaulin, a tank or an open bed."""
    length, width, height = rng.uniform(6.5, 9.5), 2.4, rng.uniform(2.7, 3.5)
    cab, low = rng.uniform(1.7, 2.1), 1.0
    bed = length - cab - 0.25
    at = (-(cab + 0.25) / 2, 0.0, low)
    load = _paint(TRUCK, _draw_color(rng))
    choice = rng.random()
    if choice < 0.55:
        cargo = box((bed, width, height - low), at)
    elif choice < 0.75:
        end = at[0] - bed / 2, 0.0, low + 0.9
        cargo = rod(end, (at[0] + bed / 2, 0.0, low + 0.9), (0.95, 0.95), 10)
    else:
        cargo = np.concatenate(
            [box((bed, 0.08, 0.6), (at[0], y, low)) for y in (-width / 2 + 0.04, width / 2 - 0.04)]
            + [box((bed, width, 0.1), (at[0], 0.0, low - 0.1))]
        )
    cab_box = box((cab, width, 2.2), (length / 2 - cab / 2, 0, 0.5), (0.92, 0.95))
    return [
        (cargo, load),
        (cab_box, _paint(TRUCK, _draw_color(rng), 310.0, 0.1 if running else 0.0)),
        *_front(length, width, 2.7, 0.4 if running else 0.0),
        *_chassis(length, width, 0.46, running),
    ]
