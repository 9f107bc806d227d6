"""What one camera sees of a world, before any sensor's physics: geometry, labels, shadows.

All sensors with the same camera share one view, so RGB, thermal, depth, events and labels come
from the same ray cast and cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.frames import Mask
from anymodal_seg_ros.simulation.camera import Camera, rays
from anymodal_seg_ros.simulation.classes import SKY
from anymodal_seg_ros.simulation.scene import Scene, World
from anymodal_seg_ros.simulation.shapes import Floats, Ints, along
from anymodal_seg_ros.simulation.soup import Soup
from anymodal_seg_ros.simulation.textures import Detail, class_ids, detail

_SHADOW_REACH_M = 250.0

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class View:
    """N = H·W pixels, n of which hit something; per-hit arrays are in pixel order.

    Attributes:
        camera: what looked.
        scene: the scene it belongs to.
        world: the instant.
        sky_rays: float32 ``[N - n, 3]``, unit directions of the pixels that hit nothing.
        hit: bool ``[N]``.
        z: float32 ``[n]``, depth along the optical axis in metres.
        point: float32 ``[n, 3]``, world position.
        normal: float32 ``[n, 3]``, unit, towards the camera.
        surface: int32 ``[n]``, row of the scene's surface table.
        detail: textures at the hits.
        sunlit: float32 ``[n]``, cosine to the sun, 0 in shadow.
    """

    camera: Camera
    scene: Scene
    world: World
    sky_rays: Floats
    hit: npt.NDArray[np.bool_]
    z: Floats
    point: Floats
    normal: Floats
    surface: Ints
    detail: Detail
    sunlit: Floats

    def image(
        self, hits: npt.NDArray[Value], sky: npt.NDArray[Value] | float
    ) -> npt.NDArray[Value]:
        """Spread per-hit values ``[n, ...]`` over the image ``[H, W, ...]``, ``sky`` elsewhere."""
        size = self.camera.intrinsics
        whole = np.empty((len(self.hit), *hits.shape[1:]), hits.dtype)
        whole[self.hit] = hits
        whole[~self.hit] = sky
        return whole.reshape(size.height, size.width, *hits.shape[1:])

    def labels(self) -> Mask:
        """Class ids, uint8 ``[H, W]``."""
        return self.image(class_ids(self.surface, self.detail, self.scene.surfaces), SKY)


@dataclass(frozen=True, slots=True)
class _Nearest:
    hit: npt.NDArray[np.bool_]
    z: Floats
    normal: Floats
    surface: Ints
    origin: Floats
    turn: Floats
    thing: Ints


def look(scene: Scene, camera: Camera, time_s: float) -> View:
    """Cast the rays of ``camera`` into ``scene`` at ``time_s``."""
    world = scene.at(time_s)
    origin, directions = rays(camera, world.ego)
    found = _nearest(world, origin, directions)
    ray = directions[found.hit]
    point = origin + ray * found.z[:, None]
    length = np.sqrt(np.einsum("ij,ij->i", ray, ray))
    facing = np.einsum("ij,ij->i", found.normal, ray)
    normal = np.where(facing[:, None] > 0, -found.normal, found.normal)
    slant = np.maximum(np.abs(facing) / length, 0.04)
    footprint = found.z * length / (camera.intrinsics.fx * slant)
    texture = detail(
        _in_frame(point - found.origin, found.turn),
        _in_frame(normal, found.turn),
        found.surface,
        found.thing,
        footprint,
        scene.surfaces,
        scene.street.length,
    )
    away = directions[~found.hit]
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return View(
        camera,
        scene,
        world,
        away,
        found.hit,
        found.z,
        point,
        normal,
        found.surface,
        texture,
        _sunlit(scene, world, point, normal, found.z),
    )


def _nearest(world: World, origin: Floats, directions: Floats) -> _Nearest:
    """The nearer of what stands and what moves, for the rays that hit either."""
    origins = np.broadcast_to(origin, directions.shape).copy()
    still = world.static.caster.nearest(origins, directions)
    moving = world.moving.caster.nearest(origins, directions)
    nearer = (moving.triangle >= 0) & (moving.distance < still.distance)
    hit = nearer | (still.triangle >= 0)
    pick = nearer[hit]
    normal = np.where(pick[:, None], moving.normal[hit], still.normal[hit])
    normal /= np.maximum(np.sqrt(np.einsum("ij,ij->i", normal, normal)), 1e-12)[:, None]
    columns = _merge(world.static, world.moving, still.triangle[hit], moving.triangle[hit], pick)
    distance = np.where(pick, moving.distance[hit], still.distance[hit])
    return _Nearest(hit, distance, normal, *columns)


def _merge(
    still: Soup, moving: Soup, still_at: Ints, moving_at: Ints, pick: npt.NDArray[np.bool_]
) -> tuple[Ints, Floats, Floats, Ints]:
    """Surface, frame origin, frame turn and thing of each hit."""
    surface = still.surface[still_at]
    frame = still.frame[still_at]
    origin, turn, thing = still.origin[frame], still.turn[frame], still.thing[frame]
    at = moving_at[pick]
    frame = moving.frame[at]
    surface[pick] = moving.surface[at]
    origin[pick], turn[pick] = moving.origin[frame], moving.turn[frame]
    thing[pick] = moving.thing[frame] + 1000
    return surface, origin, turn, thing


def _in_frame(vectors: Floats, turn: Floats) -> Floats:
    """World vectors in the frames whose cosine and sine of yaw are ``turn``."""
    c, s = turn[:, 0], turn[:, 1]
    x, y = vectors[:, 0], vectors[:, 1]
    local: Floats = np.stack([c * x + s * y, c * y - s * x, vectors[:, 2]], 1)
    return local


def lifted(point: Floats, normal: Floats, z: Floats) -> Floats:
    """Points moved off their surface by more than the rounding error of a ray cast."""
    moved: Floats = point + normal * (0.01 + 0.0005 * z)[:, None]
    return moved


def _sunlit(scene: Scene, world: World, point: Floats, normal: Floats, z: Floats) -> Floats:
    sun = np.array(scene.illumination.sun_direction, np.float32)
    cosine: Floats = np.maximum(along(normal, sun), 0.0)
    if max(scene.illumination.sun) < 0.01:  # moonlight casts no shadow that a sensor could see
        return cosine
    facing = np.flatnonzero(cosine > 0)
    start = lifted(point[facing], normal[facing], z[facing])
    towards = np.broadcast_to(sun * np.float32(_SHADOW_REACH_M), start.shape).copy()
    dark = world.static.caster.occluded(start, towards)
    rest = np.flatnonzero(~dark)
    dark[rest] = world.moving.caster.occluded(start[rest], towards[rest])
    cosine[facing[dark]] = 0.0
    return cosine
