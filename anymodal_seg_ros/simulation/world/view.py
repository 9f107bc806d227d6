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
from anymodal_seg_ros.simulation.world.camera import MountedCamera, rays
from anymodal_seg_ros.simulation.world.casting import Struck, frames, local, strike
from anymodal_seg_ros.simulation.world.classes import SKY
from anymodal_seg_ros.simulation.world.scene import Scene, World
from anymodal_seg_ros.simulation.world.shapes import Floats, along
from anymodal_seg_ros.simulation.world.textures import Detail, class_ids, detail

_SHADOW_REACH_M = 250.0

Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Seen:
    """Hits of rays with all that light and heat depend on.

    Attributes:
        scene: the scene they belong to.
        world: the instant.
        at: where the rays met what.
        detail: textures at the hits.
        sunlit: float32 ``[n]``, cosine to the sun, 0 in shadow.
    """

    scene: Scene
    world: World
    at: Struck
    detail: Detail
    sunlit: Floats

    def classes(self) -> npt.NDArray[np.uint8]:
        """Class ids of the hits, uint8 ``[n]``."""
        return class_ids(self.at.surface, self.detail, self.scene.surfaces)


@dataclass(frozen=True, slots=True)
class RenderedView:
    """The pixels of one camera; N = H·W pixels, n of which hit something.

    Attributes:
        camera: what looked.
        origin: float32 ``[3]``, where it was in the world.
        seen: the hits, in pixel order.
        sky: int64 ``[N - n]``, pixels that hit nothing.
        sky_rays: float32 ``[N - n, 3]``, their unit directions.
    """

    camera: MountedCamera
    origin: Floats
    seen: Seen
    sky: npt.NDArray[np.int64]
    sky_rays: Floats

    @property
    def scene(self) -> Scene:
        """What was looked at."""
        return self.seen.scene

    @property
    def world(self) -> World:
        """The instant."""
        return self.seen.world

    @property
    def hit(self) -> npt.NDArray[np.bool_]:
        """Which pixels hit something, bool ``[N]``."""
        hit = np.ones(len(self.z) + len(self.sky), np.bool_)
        hit[self.sky] = False
        return hit

    @property
    def z(self) -> Floats:
        """Depth along the optical axis in metres of the hits, float32 ``[n]``."""
        return self.seen.at.z

    def image(
        self, hits: npt.NDArray[Value], sky: npt.NDArray[Value] | float
    ) -> npt.NDArray[Value]:
        """Spread per-hit values ``[n, ...]`` over the image ``[H, W, ...]``, ``sky`` elsewhere."""
        size = self.camera.intrinsics
        whole = np.empty((size.height * size.width, *hits.shape[1:]), hits.dtype)
        whole[self.seen.at.ray] = hits
        whole[self.sky] = sky
        return whole.reshape(size.height, size.width, *hits.shape[1:])

    def labels(self) -> Mask:
        """Class ids, uint8 ``[H, W]``."""
        return self.image(self.seen.classes(), SKY)

    def depth(self) -> Floats:
        """True z in metres, float32 ``[H, W]``, infinity on the sky."""
        return self.image(self.z, np.inf)


def look(scene: Scene, camera: MountedCamera, time_s: float) -> RenderedView:
    """Cast the rays of ``camera`` into ``scene`` at ``time_s``."""
    return look_into(scene.at(time_s), scene, camera)


def look_into(world: World, scene: Scene, camera: MountedCamera) -> RenderedView:
    """Cast the rays of ``camera`` into a ``world`` of ``scene``."""
    origin, directions = rays(camera, world.ego)
    struck = strike(world, origin, directions)
    missed = np.ones(len(directions), np.bool_)
    missed[struck.ray] = False
    sky = np.flatnonzero(missed)
    away = directions[sky]
    away /= np.sqrt(np.einsum("ij,ij->i", away, away))[:, None]
    return RenderedView(
        camera, origin, describe(scene, world, struck, camera.intrinsics.fx), sky, away
    )


def describe(scene: Scene, world: World, struck: Struck, focal: float) -> Seen:
    """Add texture and sunshine to hits; a ray stands for 1 / ``focal`` radians."""
    origin, turn = frames(world)
    turned = turn[struck.body]
    footprint = struck.z * struck.span / np.maximum(struck.facing, np.float32(0.04))
    footprint /= np.float32(focal)
    texture = detail(
        local(struck.point - origin[struck.body], turned),
        local(struck.normal, turned),
        struck.surface,
        _things(world)[struck.body],
        footprint,
        scene.surfaces,
        scene.street.length,
    )
    return Seen(scene, world, struck, texture, _sunlit(scene, world, struck))


def _things(world: World) -> npt.NDArray[np.int32]:
    return np.concatenate([world.static.thing, world.moving.thing + 1000])


def lifted(struck: Struck) -> Floats:
    """Points moved off their surface by more than the rounding error of a ray cast."""
    moved: Floats = struck.point + struck.normal * (0.01 + 0.0005 * struck.z)[:, None]
    return moved


def _sunlit(scene: Scene, world: World, struck: Struck) -> Floats:
    sun = np.array(scene.illumination.sun_direction, np.float32)
    cosine: Floats = np.maximum(along(struck.normal, sun), 0.0)
    if max(scene.illumination.sun) < 0.01:  # too weak for a shadow that a sensor could see
        return cosine
    facing = np.flatnonzero(cosine > 0)
    start = lifted(struck.only(facing))
    towards = np.broadcast_to(sun * np.float32(_SHADOW_REACH_M), start.shape).copy()
    dark = world.static.caster.occluded(start, towards)
    rest = np.flatnonzero(~dark)
    dark[rest] = world.moving.caster.occluded(start[rest], towards[rest])
    cosine[facing[dark]] = 0.0
    return cosine
