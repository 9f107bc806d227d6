"""The plan of a way: its widths, bends, hills and side street, repeating along x."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.simulation.world.shapes import Floats, Vector

KINDS = ("urban", "suburban", "rural", "offroad")
KERB_M = 0.12
_LARGEST_TURN = 0.2
"""Largest heading of the bends in radians."""


@dataclass(frozen=True, slots=True)
class Street:
    """A street or a trail along x. Its geometry repeats every ``length`` metres.

    "Lateral" is the distance to the left of the centre line, measured along y.

    Attributes:
        kind: one of ``KINDS``.
        length: period along x, in metres.
        half_width: of the carriageway or trail.
        pavement: width of the pavement on each side; 0 for none.
        hills: height of the hills beside the road.
        rise_m: distance from the road over which they rise.
        waves: ``[K, 4]`` whole waves per period, wave number across, phase, weight.
        bend: amplitude of the centre line's one wave per period, in metres.
        bend_phase: its phase.
        crossing: x of the middle of the side street; None without one.
        crossing_half: half the side street's width.
    """

    kind: str
    length: float
    half_width: float
    pavement: float
    hills: float
    rise_m: float
    waves: tuple[tuple[float, float, float, float], ...]
    bend: float
    bend_phase: float
    crossing: float | None
    crossing_half: float

    @property
    def edge(self) -> float:
        """Distance from the centre line to where the terrain begins."""
        return self.half_width + self.pavement

    @property
    def ego_lateral(self) -> float:
        """Where the ego vehicle drives: on the right of a street, in the middle of a trail."""
        return 0.0 if self.kind == "offroad" else -0.42 * self.half_width

    def center(self, x: Floats) -> Floats:
        """Where the centre line is at ``x``: its y."""
        line: Floats = self.bend * np.sin(2 * math.pi * x / self.length + self.bend_phase)
        return line.astype(np.float32)

    def on_road(self, x: float, lateral: float) -> Vector:
        """The point at ``x`` and ``lateral`` at the height of the road."""
        wave = math.sin(2 * math.pi * x / self.length + self.bend_phase)
        return (x, lateral + self.bend * wave, 0.0)

    def heading(self, x: float) -> float:
        """Direction of the centre line at ``x`` in radians."""
        wave = 2 * math.pi / self.length
        return math.atan(self.bend * wave * math.cos(wave * x + self.bend_phase))

    def height(self, x: Floats, lateral: Floats) -> Floats:
        """Height of the terrain in metres; 0 on and near the road and the side street."""
        away = np.clip((np.abs(lateral) - self.edge - 0.6) / self.rise_m, 0.0, 1.0)
        if self.crossing is not None:
            beside = (self._to_crossing(x) - self.crossing_half - 1.0) / self.rise_m
            away = np.minimum(away, np.clip(beside, 0.0, 1.0))
        total: Floats = np.zeros_like(x)
        for cycles, across, phase, weight in self.waves:
            angle = 2 * math.pi * cycles * x / self.length + across * lateral + phase
            total = (total + weight * (0.5 + 0.5 * np.sin(angle))).astype(np.float32)
        height: Floats = (self.hills * away * away * (3 - 2 * away) * total).astype(np.float32)
        return height

    def place(self, x: float, lateral: float) -> Vector:
        """The point on the ground, kerbs included, at ``x`` and ``lateral``."""
        _, y, _ = self.on_road(x, lateral)
        if abs(lateral) < self.half_width or self.in_crossing(x, 0.0):
            return (x, y, 0.0)
        if abs(lateral) < self.edge:
            return (x, y, KERB_M)
        height = self.height(np.array(x, np.float32), np.array(lateral, np.float32))
        return (x, y, float(height))

    def in_crossing(self, x: float, margin: float) -> bool:
        """Whether ``x`` lies on the side street, or within ``margin`` metres of it."""
        if self.crossing is None:
            return False
        return float(self._to_crossing(np.array(x))) < self.crossing_half + margin

    def _to_crossing(self, x: Floats) -> Floats:
        half = self.length / 2
        ahead: Floats = np.abs(np.mod(x - float(self.crossing or 0.0) + half, self.length) - half)
        return ahead


def draw_street(kind: str, rng: np.random.Generator) -> Street:
    """Draw widths, bends, hills and side street for a way of ``kind``."""
    length = rng.uniform(62.0, 100.0)
    half_width = {
        "urban": (3.4, 6.5), "suburban": (3.0, 4.5), "rural": (3.0, 3.8), "offroad": (1.5, 2.4),
    }[kind]  # fmt: skip
    pavement = {"urban": (1.8, 4.5), "suburban": (1.3, 2.2)}.get(kind, (0.0, 0.0))
    hills = {
        "urban": 0.0,
        "suburban": rng.uniform(0.0, 2.5),
        "rural": rng.uniform(1.0, 9.0),
        "offroad": rng.uniform(0.5, 6.0),
    }[kind]
    cycles = (1, 2, 3, 5) if kind == "offroad" else (1, 2, 3)
    waves = tuple(
        (float(c), rng.uniform(-0.06, 0.06) * c**0.5, rng.uniform(0, 2 * math.pi), 1.0 / c)
        for c in cycles
    )
    straight = {"urban": 0.5, "suburban": 0.25, "rural": 0.1, "offroad": 0.0}[kind]
    turn = 0.0 if rng.random() < straight else rng.uniform(0.2, 1.0) * _LARGEST_TURN
    crossing = rng.uniform(0.25, 0.9) * length if rng.random() < 0.5 else None
    return Street(
        kind,
        length,
        rng.uniform(*half_width),
        rng.uniform(*pavement),
        hills,
        rng.uniform(6.0, 14.0) if kind == "offroad" else 25.0,
        waves,
        turn * length / (2 * math.pi),
        rng.uniform(0, 2 * math.pi),
        None if kind == "offroad" else crossing,
        rng.uniform(2.4, 4.5),
    )
