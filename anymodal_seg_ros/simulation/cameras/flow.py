"""How what is seen moves: hits carried to another instant, and where they are in the picture."""

from __future__ import annotations

import cv2
import numpy as np

from anymodal_seg_ros.simulation.world.camera import MountedCamera, standpoint
from anymodal_seg_ros.simulation.world.casting import Places, Struck, frames, local
from anymodal_seg_ros.simulation.world.scene import World
from anymodal_seg_ros.simulation.world.shapes import Floats, Ints


def carried(struck: Struck, world: World, other: World) -> Floats:
    """Where the hits of ``world`` are in ``other``, ``[n, 3]``: they move with their bodies.

    Bodies are rigid here: a swinging leg goes along with its person.
    """
    stands = len(world.static.origin)
    moved = np.flatnonzero(struck.body >= stands)
    points: Floats = struck.point.copy()
    if len(moved):
        body = struck.body[moved]
        origin, turn = frames(world)
        to_origin, to_turn = frames(other)
        match = _matches(world, other)[body - stands] + len(other.static.origin)
        inside = local(points[moved] - origin[body], turn[body])
        back = to_turn[match] * np.array((1.0, -1.0), np.float32)
        points[moved] = local(inside, back) + to_origin[match]
    return points


def _matches(world: World, other: World) -> Ints:
    """For each moving body of ``world`` the number of the same among those of ``other``."""
    a, b = world.moving, other.moving
    gap = np.abs(a.origin[:, None, :2] - b.origin[None, :, :2]).sum(-1)
    gap[a.thing[:, None] != b.thing[None]] = np.inf
    nearest: Ints = gap.argmin(1).astype(np.int32)
    return nearest


def seen_from(camera: MountedCamera, world: World, points: Floats) -> tuple[Floats, Floats, Floats]:
    """Columns, rows and depths of world points in the picture of a camera, each ``[n]``.

    What lies behind the camera gets a depth of 0 or less and any place.
    """
    origin, axes = standpoint(camera.mount, world.ego)
    size = camera.intrinsics
    x, y, z = (points[:, i] - origin[i] for i in range(3))
    ahead, left, up = (a[0] * x + a[1] * y + a[2] * z for a in axes)
    scale = 1.0 / np.maximum(ahead, np.float32(1e-3))
    column = np.float32(size.cx) - np.float32(size.fx) * left * scale
    row = np.float32(size.cy) - np.float32(size.fy) * up * scale
    return column, row, ahead


def displacement(
    camera: MountedCamera, struck: Struck, world: World, other: World
) -> tuple[Floats, Floats]:
    """By how many columns and rows each hit is elsewhere in ``other``, each ``[n]``."""
    column, row, ahead = seen_from(camera, other, carried(struck, world, other))
    width = camera.intrinsics.width
    places: Places = struck.ray
    right = column - (places % width).astype(np.float32)
    down = row - (places // width).astype(np.float32)
    behind = ahead < 0.1
    right[behind] = 0.0
    down[behind] = 0.0
    return right, down


def sampled(image: Floats, column: Floats, row: Floats, interpolation: int) -> Floats:
    """An image ``[H, W]`` at n places, ``[n]``; 0 outside of it."""
    if not len(column):
        return column
    # OpenCV takes places as a picture, of at most 32767 rows.
    width = 512
    height = -(-len(column) // width)
    maps = np.full((2, height * width), -10.0, np.float32)
    maps[0, : len(column)], maps[1, : len(column)] = column, row
    x, y = maps.reshape(2, height, width)
    found: Floats = cv2.remap(image, x, y, interpolation, borderMode=cv2.BORDER_CONSTANT)
    return found.ravel()[: len(column)]
