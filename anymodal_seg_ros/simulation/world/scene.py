"""A scene: a street or trail, what stands and moves in it, and the ego vehicle's way through it.

Everything is a function of the seed and the time, with a period of ``loop_s`` seconds: the street
repeats after the distance that the ego vehicle covers in one period, and all motion repeats with
it. So any instant can be rendered alone, in any process, and a sequence can run forever.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.world.camera import Pose, rotation
from anymodal_seg_ros.simulation.world.ground import draw_grounds, ground
from anymodal_seg_ros.simulation.world.illumination import WEATHERS, Illumination, draw_illumination
from anymodal_seg_ros.simulation.world.materials import Parts, SurfaceTable
from anymodal_seg_ros.simulation.world.placement.facades import dress
from anymodal_seg_ros.simulation.world.placement.furnish import furnish
from anymodal_seg_ros.simulation.world.placement.layout import TileLayout
from anymodal_seg_ros.simulation.world.placement.skyline import skyline
from anymodal_seg_ros.simulation.world.placement.variety import plant, varied_grounds
from anymodal_seg_ros.simulation.world.shapes import Floats, Ints, Vector
from anymodal_seg_ros.simulation.world.soup import Soup, SoupBuilder
from anymodal_seg_ros.simulation.world.street import KINDS, draw_street

_AHEAD_M = 150.0
_BEHIND_M = 65.0
_MOVERS_AHEAD_M = 110.0
_AFAR_M = 40.0
_KIND_SHARES = (0.34, 0.22, 0.20, 0.24)
"""How often each of ``KINDS`` is drawn."""


@dataclass(frozen=True, slots=True)
class SceneConfig:
    """What to draw.

    Attributes:
        seed: source of everything random; 0 or more.
        weather: ``random``, ``sun``, ``cloud``, ``fog``, ``night`` or ``rain``.
        hour: local time, 0 to 24; -1 for one drawn to fit the weather.
        kind: ``random``, ``urban``, ``suburban``, ``rural`` or ``offroad``.
        ego: ``random`` (one in eight stands), ``driving`` or ``standing``.
        people_and_traffic: whether anything but the ego vehicle moves; False leaves it all out.
        loop_s: period of all motion, in seconds.
        varied: with the trees, hedges, pavements and facades of ``variety`` and ``facades``, which
            RigBench does not have.
    """

    seed: int
    weather: str = "random"
    hour: float = -1.0
    kind: str = "random"
    ego: str = "random"
    people_and_traffic: bool = True
    loop_s: float = 8.0
    varied: bool = False

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
    """A street or a trail drawn from a seed; see ``SceneConfig``."""

    def __init__(self, config: SceneConfig) -> None:
        self.config = config
        streams = [np.random.default_rng((config.seed, i)) for i in range(5)]
        self.illumination: Illumination = draw_illumination(config.weather, config.hour, streams[1])
        drawn = str(streams[0].choice(KINDS, p=_KIND_SHARES))
        self.street = draw_street(drawn if config.kind == "random" else config.kind, streams[0])
        stands = bool(streams[0].random() < 0.125)
        self.standing = stands if config.ego == "random" else config.ego == "standing"
        self._wobble = streams[3].uniform(0.0, 2 * math.pi, 4)
        grounds = draw_grounds(self.street, streams[2])
        variety = np.random.default_rng((config.seed, 5))
        if config.varied:
            grounds = varied_grounds(grounds, variety)
        layout = furnish(self.street, grounds, self.standing, streams[2])
        if config.varied:
            plant(layout, variety)
            dress(layout, variety)
        self._lamps = layout.lamps
        self._table = SurfaceTable()
        self._static = self._build_static(layout, streams[3])
        self._backdrop = self._rows(skyline(self.street.kind, grounds.terrain, streams[4]))
        movers = layout.barriers + layout.traffic if config.people_and_traffic else []
        self._movers = [
            (m, self._table.indices(m.body.parts), self._rows(afar) if afar else None)
            for m in movers
            for afar in [m.body.from_afar]
        ]
        self.surfaces = self._table.arrays()

    def ego(self, time_s: float) -> Pose:
        """Pose of the ego vehicle, with the small sway of a real one."""
        turn = (time_s / self.config.loop_s) % 1.0
        angle = 2 * math.pi * turn
        street = self.street
        a, b, c, d = (float(w) for w in self._wobble)
        if self.standing:
            _, y, _ = street.on_road(0.0, street.ego_lateral)
            return Pose(0.0, y, 0.0, street.heading(0.0) + 0.03 * math.sin(a), 0.0)
        rough = 2.5 if street.kind == "offroad" else 1.0
        x = street.length * turn + 0.8 * math.sin(angle)
        _, y, _ = street.on_road(x, street.ego_lateral + 0.15 * math.sin(angle + a))
        yaw = street.heading(x) + 0.02 * math.sin(angle + b) + 0.012 * math.sin(2 * angle + c)
        pitch = 0.004 * math.sin(5 * angle + d) + 0.003 * math.sin(9 * angle + a)
        return Pose(x, y, 0.01 * rough * math.sin(7 * angle + c), yaw, rough * pitch)

    def at(self, time_s: float) -> World:
        """The world at ``time_s`` seconds, which may be any number."""
        ego = self.ego(time_s)
        turn = (time_s / self.config.loop_s) % 1.0
        builder = SoupBuilder(self._table)
        triangles, rows = self._backdrop
        builder.add_triangles(triangles, rows, (ego.x, 0.0, 0.0), 0.0, [0.0])
        beams: list[tuple[Vector, Vector]] = []
        for mover, rows, afar in self._movers:
            origin, yaw, phase = mover.path.at(turn)
            offsets = self._repeats(origin[0], ego.x)
            if mover.lamps:
                beams += [_beam(origin[0] + o, origin[1], yaw) for o in offsets]
            if afar is not None:
                distant = [o for o in offsets if abs(origin[0] + o - ego.x) > _AFAR_M]
                offsets = [o for o in offsets if o not in distant]
                builder.add_triangles(*afar, origin, yaw, distant)
            if offsets:
                builder.add_triangles(mover.body.posed(phase), rows, origin, yaw, offsets)
        return World(
            time_s,
            ego,
            self._static,
            builder.build(),
            self._lamps_near(ego.x),
            self._headlights(ego, beams),
        )

    def _rows(self, parts: Parts) -> tuple[Floats, Ints]:
        """The triangles of ``parts`` and their rows in the table of surfaces."""
        return np.concatenate([t for t, _ in parts]), self._table.indices(parts)

    def _build_static(self, layout: TileLayout, rng: np.random.Generator) -> Soup:
        length = self.street.length
        first = -math.ceil(_BEHIND_M / length)
        tiles = [length * i for i in range(first, math.ceil((length + _AHEAD_M) / length))]
        builder = SoupBuilder(self._table)
        builder.add(ground(self.street, layout.grounds, rng), (0.0, 0.0, 0.0), 0.0, tiles)
        for parts, origin, yaw in layout.things:
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
            for x, y, z in self._lamps
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
