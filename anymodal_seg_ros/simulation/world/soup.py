"""Placed triangles: which surface each shows, and in whose frame its texture lies."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.simulation.world.materials import Parts, SurfaceTable
from anymodal_seg_ros.simulation.world.raycast import Caster
from anymodal_seg_ros.simulation.world.shapes import Floats, Ints, Vector, place


@dataclass(frozen=True, slots=True)
class Soup:
    """Triangles in the world, ready for ray casting.

    Attributes:
        surface: int32 ``[T]``, row of the surface table for each triangle.
        frame: int32 ``[T]``, which placed thing each triangle belongs to.
        origin: float32 ``[F, 3]``, where each thing stands.
        turn: float32 ``[F, 2]``, cosine and sine of its yaw.
        thing: int32 ``[F]``, the same number for all repeats of one thing.
        caster: answers ray queries.
    """

    surface: Ints
    frame: Ints
    origin: Floats
    turn: Floats
    thing: Ints
    caster: Caster


class SoupBuilder:
    """Collects things, each repeated at several offsets along x."""

    def __init__(self, table: SurfaceTable) -> None:
        self._table = table
        self._triangles: list[Floats] = []
        self._surface: list[Ints] = []
        self._frame: list[Ints] = []
        self._origin: list[Vector] = []
        self._yaw: list[float] = []
        self._thing: list[int] = []
        self._things = 0

    def add(self, parts: Parts, origin: Vector, yaw: float, offsets: list[float]) -> None:
        """Place ``parts`` once for each of ``offsets``, which are added to the origin's x."""
        local = np.concatenate([t for t, _ in parts])
        self.add_triangles(local, self._table.indices(parts), origin, yaw, offsets)

    def add_triangles(
        self, local: Floats, surface: Ints, origin: Vector, yaw: float, offsets: list[float]
    ) -> None:
        """As ``add``, for triangles ``[T, 3, 3]`` whose rows in the table are known."""
        if not offsets:
            return
        placed = place(local, origin, yaw)
        for offset in offsets:
            self._frame.append(np.full(len(local), len(self._origin), np.int32))
            self._triangles.append(placed + np.array((offset, 0.0, 0.0), np.float32))
            self._surface.append(surface)
            self._origin.append((origin[0] + offset, origin[1], origin[2]))
            self._yaw.append(yaw)
            self._thing.append(self._things)
        self._things += 1

    def build(self) -> Soup:
        """Everything collected, as one soup."""
        empty = [np.zeros((0, 3, 3), np.float32)]
        no_rows = [np.zeros(0, np.int32)]
        turn = [(math.cos(yaw), math.sin(yaw)) for yaw in self._yaw]
        return Soup(
            np.concatenate(self._surface or no_rows),
            np.concatenate(self._frame or no_rows),
            np.array(self._origin, np.float32).reshape(-1, 3),
            np.array(turn, np.float32).reshape(-1, 2),
            np.array(self._thing, np.int32),
            Caster(np.concatenate(self._triangles or empty)),
        )
