"""Intensity between two instants: a few real ray casts, shaded from the picture at the end.

Geometry is cast anew at every sub-step, so occlusion, thin things and swinging limbs are exact. The
light of a hit is looked up where the same piece of surface is in the last picture; only what is
hidden there is shaded again. As in ESIM (Rebecq et al., 2018) the number of sub-steps follows the
largest displacement, and only pixels near something that moves get those in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from anymodal_seg_ros.simulation.camera import Camera, rays
from anymodal_seg_ros.simulation.casting import Places, Struck, strike
from anymodal_seg_ros.simulation.flow import carried, displacement, sampled, seen_from
from anymodal_seg_ros.simulation.lamps import own_beam
from anymodal_seg_ros.simulation.lighting import leaving, sky_light
from anymodal_seg_ros.simulation.scene import World
from anymodal_seg_ros.simulation.sensors import Observer
from anymodal_seg_ros.simulation.shapes import Floats
from anymodal_seg_ros.simulation.view import View, describe

LUMA = np.array((0.299, 0.587, 0.114), np.float32)

_STEP_PX = 4.0
_MOST_STEPS = 4
_STILL_PX = 1.0
"""Pixels about which nothing moves farther change linearly in the logarithm."""

_AMBIENT = 0.03
"""Irradiance beside the own headlights, when their change with the distance is applied."""


@dataclass(frozen=True, slots=True)
class Substeps:
    """Luminance at several instants.

    Attributes:
        times_ns: int64 ``[S + 1]``, from start to end.
        luminance: float32 ``[S + 1, N]``.
    """

    times_ns: tuple[int, ...]
    luminance: list[Floats]


def substeps(observer: Observer, camera: Camera, start_ns: int, end_ns: int) -> Substeps:
    """Luminance from ``start_ns`` to ``end_ns`` at ``camera``; see the module."""
    last = _Picture(observer, camera, end_ns)
    motion = last.motion(observer.world(start_ns))
    peak = float(np.partition(motion.ravel(), -200)[-200])
    count = int(np.clip(np.ceil(peak / _STEP_PX), 1, _MOST_STEPS))
    times = [start_ns + (end_ns - start_ns) * i // count for i in range(count + 1)]
    everything = np.arange(motion.size)
    start = last.at(observer, times[0], everything)
    found = [start]
    if count > 1:
        reach = 2 * int(min(peak, 12.0)) + 1
        near = cv2.dilate(motion, np.ones((reach, reach), np.uint8))
        active = np.flatnonzero(near.ravel() > _STILL_PX)
        for i, time_ns in enumerate(times[1:-1], 1):
            share = np.float32(i / count)
            between = start + share * (last.light - start)
            between[active] = last.at(observer, time_ns, active)
            found.append(between)
    return Substeps(tuple(times), [*found, last.light])


class _Picture:
    """The picture at the end, and what earlier instants take from it."""

    def __init__(self, observer: Observer, camera: Camera, end_ns: int) -> None:
        self._camera = camera
        self._view: View = observer.view(camera, end_ns)
        light = observer.radiance(camera, end_ns) @ LUMA
        self._image: Floats = cv2.GaussianBlur(light, (3, 3), 0.5)  # the lens
        self.light: Floats = self._image.ravel()
        self._depth = self._view.depth()

    def motion(self, other: World) -> Floats:
        """How far everything moves to ``other``, pixels ``[H, W]``; the sky does not."""
        view = self._view
        right, down = displacement(self._camera, view.seen.at, view.world, other)
        return view.image(np.minimum(np.hypot(right, down), np.float32(64.0)), 0.0)

    def at(self, observer: Observer, time_ns: int, pixels: Places) -> Floats:
        """Luminance of ``pixels`` ``[n]`` at another instant."""
        world = observer.world(time_ns)
        origin, directions = rays(self._camera, world.ego)
        directions = directions[pixels]
        struck = strike(world, origin, directions)
        result = np.empty(len(pixels), np.float32)
        missed = np.ones(len(pixels), np.bool_)
        missed[struck.ray] = False
        result[missed] = sky_light(directions[missed], observer.scene.illumination, world) @ LUMA
        light, hidden = self._known(struck, world)
        if observer.scene.illumination.lamps_on:
            light *= self._beam_change(struck, world)
        if len(hidden):
            anew = struck.only(hidden)
            seen = describe(observer.scene, world, anew, self._camera.intrinsics.fx)
            light[hidden] = leaving(seen) @ LUMA
        result[struck.ray] = light
        return result

    def _known(self, struck: Struck, world: World) -> tuple[Floats, Places]:
        """Light of the hits from the last picture, and which of them it does not show."""
        points = carried(struck, world, self._view.world)
        column, row, ahead = seen_from(self._camera, self._view.world, points)
        light = sampled(self._image, column, row, cv2.INTER_LINEAR)
        depth = sampled(self._depth, column, row, cv2.INTER_NEAREST)
        known = np.abs(depth - ahead) < 0.1 + 0.03 * ahead
        return light, np.flatnonzero(~known)

    def _beam_change(self, struck: Struck, world: World) -> Floats:
        """The own headlights come along, so they light a place differently at each instant."""
        now = own_beam(struck, world) + np.float32(_AMBIENT)
        later = own_beam(struck, self._view.world) + np.float32(_AMBIENT)
        change: Floats = now / later
        return change
