"""A scene: a street, what stands and moves in it, and the ego vehicle's way through it.

Everything is a function of the seed and the time, with a period of ``loop_s`` seconds: the street
repeats after the distance that the ego vehicle covers in one period, and all motion repeats with
it. So any instant can be rendered alone, in any process, and a sequence can run forever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation import buildings, greenery
from anymodal_seg_ros.simulation.camera import Pose, rotation
from anymodal_seg_ros.simulation.ground import KINDS, backdrop_plain, draw_street, ground
from anymodal_seg_ros.simulation.illumination import WEATHERS, Illumination, draw_illumination
from anymodal_seg_ros.simulation.layout import draw_layout
from anymodal_seg_ros.simulation.materials import Parts, SurfaceTable
from anymodal_seg_ros.simulation.shapes import Floats, Vector
from anymodal_seg_ros.simulation.soup import Soup, SoupBuilder

_AHEAD_M = 150.0
_BEHIND_M = 25.0
_MOVERS_AHEAD_M = 130.0


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """What to draw.

    Attributes:
        seed: source of everything random; 0 or more.
        weather: ``random``, ``sun``, ``cloud``, ``fog``, ``night`` or ``rain``.
        hour: local time, 0 to 24; -1 for one drawn to fit the weather.
        kind: ``random``, ``urban``, ``suburban`` or ``rural``.
        ego: ``random`` (one in eight stands), ``driving`` or ``standing``.
        people_and_traffic: whether anything but the ego vehicle moves; False leaves it all out.
        loop_s: period of all motion, in seconds.
    """

    seed: int
    weather: str = "random"
    hour: float = -1.0
    kind: str = "random"
    ego: str = "random"
    people_and_traffic: bool = True
    loop_s: float = 8.0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must be 0 or more")
        if self.weather not in ("random", *WEATHERS):
            raise ConfigError(
                f"weather is {self.weather!r}; it must be 'random' or one of {WEATHERS}"
            )
        if not (self.hour == -1.0 or 0.0 <= self.hour <= 24.0):
            raise ConfigError(f"hour is {self.hour}; it must be 0 to 24, or -1 to draw one")
        if self.kind not in ("random", *KINDS):
            raise ConfigError(f"kind is {self.kind!r}; it must be 'random' or one of {KINDS}")
        if self.ego not in ("random", "driving", "standing"):
            raise ConfigError(f"ego is {self.ego!r}; it must be random, driving or standing")
        if self.loop_s <= 0:
            raise ConfigError(f"loop_s is {self.loop_s}; it must be above 0")


@dataclass(frozen=True, slots=True)
class World:
    """The scene at one instant.

    Attributes:
        time_s: the instant.
        ego: pose of the ego vehicle, x within one street length.
        static: what stands still.
        moving: what moves, at its place of this instant.
        lamps: float32 ``[K, 3]``, lights of the street lamps around.
        headlights: float32 ``[J, 2, 3]``, position and direction of each pair, the ego's first.
    """

    time_s: float
    ego: Pose
    static: Soup
    moving: Soup
    lamps: Floats
    headlights: Floats


class Scene:
    """A street drawn from a seed; see ``SceneConfig``."""

    def __init__(self, config: SceneConfig) -> None:
        self.config = config
        streams = [np.random.default_rng((config.seed, i)) for i in range(4)]
        rng = streams[0]
        self.illumination: Illumination = draw_illumination(config.weather, config.hour, streams[1])
        kind = config.kind
        drawn = str(rng.choice(KINDS, p=(0.5, 0.27, 0.23)))
        self.street = draw_street(drawn if kind == "random" else kind, rng.uniform(60, 100), rng)
        stands = bool(rng.random() < 0.125)
        self.standing = stands if config.ego == "random" else config.ego == "standing"
        self._ego_y = -0.42 * self.street.half_width
        self._wobble = streams[3].uniform(0.0, 2 * math.pi, 4)
        self._layout = draw_layout(self.street, self._ego_y, self.standing, streams[2])
        self._table = SurfaceTable()
        self._static = self._build_static(streams[3])
        self._backdrop = _backdrop(self.street.kind, streams[3])
        if not config.people_and_traffic:
            self._layout.movers.clear()
            self._layout.people.clear()
        self._mover_rows = [self._table.indices(p) for p, _ in self._layout.movers]
        self._people_rows = [self._table.indices(p.parts) for p, _ in self._layout.people]
        self._backdrop_rows = self._table.indices(self._backdrop)
        self._backdrop_triangles = np.concatenate([t for t, _ in self._backdrop])
        self.surfaces = self._table.arrays()

    def ego(self, time_s: float) -> Pose:
        """Pose of the ego vehicle, with the small sway of a real one."""
        turn = (time_s / self.config.loop_s) % 1.0
        angle = 2 * math.pi * turn
        a, b, c, d = (float(w) for w in self._wobble)
        if self.standing:
            return Pose(0.0, self._ego_y, 0.0, 0.03 * math.sin(a), 0.0)
        x = self.street.length * turn + 0.8 * math.sin(angle)
        y = self._ego_y + 0.15 * math.sin(angle + a)
        yaw = 0.02 * math.sin(angle + b) + 0.012 * math.sin(2 * angle + c)
        pitch = 0.004 * math.sin(5 * angle + d) + 0.003 * math.sin(9 * angle + a)
        return Pose(x, y, 0.01 * math.sin(7 * angle + c), yaw, pitch)

    def at(self, time_s: float) -> World:
        """The world at ``time_s`` seconds, which may be any number."""
        ego = self.ego(time_s)
        turn = (time_s / self.config.loop_s) % 1.0
        builder = SoupBuilder(self._table)
        backdrop_at = (ego.x, 0.0, 0.0)
        builder.add_triangles(
            self._backdrop_triangles, self._backdrop_rows, backdrop_at, 0.0, [0.0]
        )
        beams: list[tuple[Vector, Vector]] = []
        for (parts, path), rows in zip(self._layout.movers, self._mover_rows, strict=True):
            origin, yaw, _ = path.at(turn)
            offsets = self._repeats(origin[0], ego.x)
            triangles = np.concatenate([t for t, _ in parts])
            builder.add_triangles(triangles, rows, origin, yaw, offsets)
            beams += [_beam(origin[0] + o, origin[1], yaw) for o in offsets]
        for (body, path), rows in zip(self._layout.people, self._people_rows, strict=True):
            origin, yaw, phase = path.at(turn)
            offsets = self._repeats(origin[0], ego.x)
            if offsets:
                builder.add_triangles(body.posed(phase), rows, origin, yaw, offsets)
        return World(
            time_s,
            ego,
            self._static,
            builder.build(),
            self._lamps_near(ego.x),
            self._headlights(ego, beams),
        )

    def _build_static(self, rng: np.random.Generator) -> Soup:
        length = self.street.length
        tiles = [length * i for i in range(-1, math.ceil((length + _AHEAD_M) / length))]
        builder = SoupBuilder(self._table)
        builder.add(ground(self.street, rng), (0.0, 0.0, 0.0), 0.0, tiles)
        for parts, origin, yaw in self._layout.things:
            builder.add(parts, origin, yaw, tiles)
        return builder.build()

    def _repeats(self, x: float, ego_x: float) -> list[float]:
        """Offsets at which a thing at ``x`` stands within sight of the ego vehicle."""
        length = self.street.length
        first = math.ceil((ego_x - _BEHIND_M - x) / length)
        last = math.floor((ego_x + _MOVERS_AHEAD_M - x) / length)
        return [length * i for i in range(first, last + 1)]

    def _lamps_near(self, ego_x: float) -> Floats:
        lamps = [
            (x + offset, y, z)
            for x, y, z in self._layout.lamps
            for offset in self._repeats(x, ego_x)
            if x + offset < ego_x + 90.0
        ]
        return np.array(lamps, np.float32).reshape(-1, 3)

    def _headlights(self, ego: Pose, others: list[tuple[Vector, Vector]]) -> Floats:
        forward = rotation(ego.yaw, ego.pitch + 0.02)[0]
        own = ((ego.x + 1.3, ego.y, 0.7), tuple(forward))
        near = sorted(others, key=lambda beam: abs(beam[0][0] - ego.x))[:3]
        return np.array([own, *near], np.float32)


def _beam(x: float, y: float, yaw: float) -> tuple[Vector, Vector]:
    c, s = math.cos(yaw), math.sin(yaw)
    return (x + 2.3 * c, y + 2.3 * s, 0.65), (c, s, -0.02)


def _backdrop(kind: str, rng: np.random.Generator) -> Parts:
    """The plain, and a skyline far ahead that moves along with the ego vehicle, as if infinite."""
    parts = backdrop_plain()
    for _ in range(26):
        x, y = rng.uniform(210.0, 420.0), rng.uniform(-260.0, 260.0)
        if kind == "urban" or (kind == "suburban" and rng.random() < 0.4):
            size = rng.uniform(14.0, 34.0)
            thing = buildings.block(size, 14.0, int(rng.integers(2, 9)), rng)
        else:
            thing = greenery.bush(rng.uniform(12.0, 40.0), rng)
        shift = np.array((x, y, -0.5), np.float32)
        parts += [(t + shift, s) for t, s in thing]
    return parts
