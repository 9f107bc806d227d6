"""Rays into a world: the nearest of what stands and what moves, and whose body each hit is on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.simulation.world.scene import World
from anymodal_seg_ros.simulation.world.shapes import Floats, Ints

Places = npt.NDArray[np.signedinteger[Any]]
"""Numbers of array rows."""


@dataclass(frozen=True, slots=True)
class Struck:
    """The n of N rays that met something, in the order of the rays.

    Attributes:
        ray: int64 ``[n]``, numbers of the rays.
        z: float32 ``[n]``, ray parameter: for a camera's rays the depth in metres.
        point: float32 ``[n, 3]``, world position.
        along: float32 ``[n, 3]``, the ray's direction as it was cast.
        normal: float32 ``[n, 3]``, unit, towards the ray's origin.
        facing: float32 ``[n]``, cosine between normal and ray.
        span: float32 ``[n]``, length of ``along``.
        surface: int32 ``[n]``, row of the scene's surface table.
        body: int32 ``[n]``, number of the placed thing; those that move come after those that
            stand, from ``len(world.static.origin)`` on.
    """

    ray: Places
    z: Floats
    point: Floats
    along: Floats
    normal: Floats
    facing: Floats
    span: Floats
    surface: Ints
    body: Ints

    def only(self, chosen: Places) -> Struck:
        """Some of the hits."""
        return Struck(*(getattr(self, name)[chosen] for name in self.__slots__))


def strike(world: World, origin: Floats, directions: Floats) -> Struck:
    """Cast rays from ``origin`` ``[3]`` along ``directions`` ``[N, 3]``."""
    origins = np.broadcast_to(origin, directions.shape).copy()
    still = world.static.caster.nearest(origins, directions)
    moving = world.moving.caster.nearest(origins, directions, still.distance)
    stands = len(world.static.origin)
    surface = world.static.surface[still.triangle]
    body = world.static.frame[still.triangle]
    normal, z = still.normal, still.distance
    nearer = np.flatnonzero(moving.triangle >= 0)
    if len(nearer):
        triangle = moving.triangle[nearer]
        surface[nearer] = world.moving.surface[triangle]
        body[nearer] = world.moving.frame[triangle] + stands
        normal[nearer] = moving.normal[nearer]
        z[nearer] = moving.distance[nearer]
    ray = np.flatnonzero((moving.triangle >= 0) | (still.triangle >= 0))
    along, z, normal = directions[ray], z[ray], normal[ray]
    span = np.sqrt(_dot(along, along))
    facing = _dot(normal, along) / np.maximum(span * np.sqrt(_dot(normal, normal)), 1e-12)
    normal /= -np.copysign(np.maximum(np.sqrt(_dot(normal, normal)), 1e-12), facing)[:, None]
    point = along * z[:, None]
    point += origin
    return Struck(ray, z, point, along, normal, np.abs(facing), span, surface[ray], body[ray])


def frames(world: World) -> tuple[Floats, Floats]:
    """Origins ``[F, 3]`` and cosine and sine of yaw ``[F, 2]`` of all bodies of a world."""
    return (
        np.concatenate([world.static.origin, world.moving.origin]),
        np.concatenate([world.static.turn, world.moving.turn]),
    )


def local(vectors: Floats, turn: Floats) -> Floats:
    """World vectors ``[n, 3]`` in frames whose cosine and sine of yaw are ``turn`` ``[n, 2]``."""
    c, s = turn[:, 0], turn[:, 1]
    x, y = vectors[:, 0], vectors[:, 1]
    result = np.empty_like(vectors)
    result[:, 0] = c * x + s * y
    result[:, 1] = c * y - s * x
    result[:, 2] = vectors[:, 2]
    return result


def _dot(a: Floats, b: Floats) -> Floats:
    result: Floats = a[:, 0] * b[:, 0]
    result += a[:, 1] * b[:, 1]
    result += a[:, 2] * b[:, 2]
    return result
