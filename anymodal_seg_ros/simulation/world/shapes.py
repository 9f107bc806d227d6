"""Triangle primitives. All return float32 ``[T, 3, 3]``: triangles, corners, xyz in metres.

Axes follow REP 103: x forward, y left, z up.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import trimesh

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Vector = tuple[float, float, float]

_BOX_FACES = np.array(
    [
        (0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4),
        (2, 6, 3), (3, 6, 7), (0, 4, 2), (2, 4, 6), (1, 3, 5), (3, 7, 5),
    ]
)  # fmt: skip
_BOX_CORNERS = np.array([(x, y, z) for z in (0, 1) for y in (-0.5, 0.5) for x in (-0.5, 0.5)])


def box(size: Vector, base: Vector, taper: tuple[float, float] = (1.0, 1.0)) -> Floats:
    """A box standing on ``base`` (centre of its bottom); ``taper`` scales its top in x and y."""
    corners = _BOX_CORNERS.copy()
    corners[4:, :2] *= taper
    triangles: Floats = (corners * size + base)[_BOX_FACES].astype(np.float32)
    return triangles


def rod(start: Vector, end: Vector, radii: tuple[float, float], sides: int = 6) -> Floats:
    """A prism from ``start`` to ``end``, a cone if one radius is 0, with caps."""
    a, b = np.array(start), np.array(end)
    axis = (b - a) / np.linalg.norm(b - a)
    helper = np.array((0.0, 1.0, 0.0)) if abs(axis[1]) < 0.9 else np.array((1.0, 0.0, 0.0))
    across = np.cross(axis, helper)
    across /= np.linalg.norm(across)
    circle = _circle(sides) @ np.stack([across, np.cross(axis, across)])
    low, high = a + radii[0] * circle, b + radii[1] * circle
    low2, high2 = np.roll(low, -1, 0), np.roll(high, -1, 0)
    triangles = [np.stack([low, low2, high2], 1), np.stack([low, high2, high], 1)]
    if radii[1] > 0:
        triangles.append(np.stack([high, high2, np.broadcast_to(b, high.shape)], 1))
    if radii[0] > 0:
        triangles.append(np.stack([low2, low, np.broadcast_to(a, low.shape)], 1))
    return np.concatenate(triangles).astype(np.float32)


@functools.cache
def _circle(sides: int) -> npt.NDArray[np.float64]:
    angle = np.arange(sides) * (2 * math.pi / sides)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


@functools.cache
def _sphere(subdivisions: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions)
    return np.array(mesh.vertices), np.array(mesh.faces)


def blob(
    center: Vector, radii: Vector, rng: np.random.Generator, roughness: float, detail: int = 1
) -> Floats:
    """An ellipsoid whose corners are moved in and out by a share ``roughness`` of its radius."""
    vertices, faces = _sphere(detail)
    scale = 1.0 + roughness * rng.uniform(-1.0, 1.0, (len(vertices), 1))
    triangles: Floats = (vertices * scale * radii + center)[faces].astype(np.float32)
    return triangles


def cards(
    count: int, center: Vector, radii: Vector, size: float, rng: np.random.Generator
) -> Floats:
    """Loose triangles in random directions near the hull of an ellipsoid: leaves, grass."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    middle = direction * rng.uniform(0.8, 1.12, (count, 1)) * radii + center
    corners = middle[:, None] + rng.normal(0.0, size, (count, 3, 3))
    return corners.astype(np.float32)


def quad(corners: Sequence[Vector]) -> Floats:
    """Two triangles from four corners given in order around the quad."""
    a, b, c, d = corners
    return np.array([(a, b, c), (a, c, d)], np.float32)


def gable(length: float, width: float, height: float, base_z: float) -> Floats:
    """A saddle roof with its ridge along x, closed by two end triangles."""
    x, y = length / 2, width / 2
    top = base_z + height
    sides = [
        quad([(-x, -y, base_z), (x, -y, base_z), (x, 0, top), (-x, 0, top)]),
        quad([(x, y, base_z), (-x, y, base_z), (-x, 0, top), (x, 0, top)]),
        np.array([[(-x, y, base_z), (-x, -y, base_z), (-x, 0, top)]], np.float32),
        np.array([[(x, -y, base_z), (x, y, base_z), (x, 0, top)]], np.float32),
    ]
    return np.concatenate(sides)


def turned(vectors: Floats, matrix: Floats) -> Floats:
    """Row vectors ``[N, 3]`` times a matrix ``[3, 3]``.

    Not by BLAS: its threads cost more than they bring here, and its rounding depends on them.
    """
    result: Floats = np.einsum("ij,jk->ik", vectors, matrix)
    return result


def along(vectors: Floats, direction: Floats) -> Floats:
    """Dot products of ``[N, 3]`` with one vector ``[3]``; see ``turned``."""
    result: Floats = np.einsum("ij,j->i", vectors, direction)
    return result


def place(triangles: Floats, origin: Vector, yaw: float) -> Floats:
    """Turn by ``yaw`` about z, then move to ``origin``."""
    c, s = math.cos(yaw), math.sin(yaw)
    rotation = np.array([(c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)], np.float32)
    moved: Floats = np.asarray(triangles @ rotation + np.array(origin), np.float32)
    return moved


def swing(triangles: Floats, joint: Vector, angle: float) -> Floats:
    """Turn by ``angle`` about the y axis through ``joint``: a leg, an arm."""
    c, s = math.cos(angle), math.sin(angle)
    rotation = np.array([(c, 0.0, -s), (0.0, 1.0, 0.0), (s, 0.0, c)], np.float32)
    pivot = np.array(joint, np.float32)
    moved: Floats = np.asarray((triangles - pivot) @ rotation + pivot, np.float32)
    return moved
