"""Intensity between two instants: a few real ray casts, shaded from the picture at the end.

Geometry is cast anew at every sub-step, so occlusion, thin things and swinging limbs are exact. The
light of a hit is looked up where the same piece of surface is in the last picture; only what is
hidden there is shaded again. As in ESIM (Rebecq et al., 2018) the number of sub-steps follows the
largest displacement. Where hardly anything moves, the last picture is shifted instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.simulation.camera import Camera, rays
from anymodal_seg_ros.simulation.casting import Places, Struck, strike
from anymodal_seg_ros.simulation.flow import carried, displacement, sampled, seen_from
from anymodal_seg_ros.simulation.lamps import glare, own_beam
from anymodal_seg_ros.simulation.lighting import leaving, sky_light
from anymodal_seg_ros.simulation.scene import World
from anymodal_seg_ros.simulation.sensors import Observer
from anymodal_seg_ros.simulation.shapes import Floats
from anymodal_seg_ros.simulation.view import View, describe

LUMA = np.array((0.299, 0.587, 0.114), np.float32)

_STEP_PX = 5.0
_MOST_STEPS = 3
_STILL_PX = 1.5
"""Where nothing moves farther, the picture is only shifted."""

_FAST_PX = 5.0

_LAMPS = 0.02
"""Irradiance from street lamps, beside which the change of the own headlights is seen."""


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
    right, down = last.motion(observer.world(start_ns))
    motion = np.minimum(np.hypot(right, down), np.float32(64.0))
    peak = float(np.partition(motion.ravel(), -200)[-200])
    count = int(np.clip(np.ceil(peak / _STEP_PX), 1, _MOST_STEPS))
    times = [start_ns + (end_ns - start_ns) * i // count for i in range(count + 1)]
    active = np.flatnonzero(_restless(motion))
    start = last.shifted(right, down)
    between = [start + np.float32(i / count) * (last.light - start) for i in range(count)]
    for time_ns, light in zip(times, between, strict=False):
        light[active] = last.at(observer, time_ns, active)
    return Substeps(tuple(times), [*between, last.light])


def _restless(motion: Floats) -> npt.NDArray[np.bool_]:
    """Pixels ``[N]`` near something that moves so far that they may come to see another thing."""
    near = cv2.dilate(motion, np.ones((5, 5), np.uint8)) > _STILL_PX
    fast = (motion > _FAST_PX).astype(np.uint8)
    beside = cv2.dilate(fast, np.ones((17, 17), np.uint8)) > 0
    restless: npt.NDArray[np.bool_] = (near | beside).ravel()
    return restless


class _Picture:
    """The picture at the end, and what earlier instants take from it."""

    def __init__(self, observer: Observer, camera: Camera, end_ns: int) -> None:
        self._camera = camera
        self._view: View = observer.view(camera, end_ns)
        light = observer.radiance(camera, end_ns) @ LUMA
        image = cv2.GaussianBlur(light, (3, 3), 0.5)  # the lens
        self.light: Floats = image.ravel()
        self._depth = self._view.depth()
        self._veil = self._glare()
        self._image: Floats = image - self._veil.reshape(image.shape)

    def _glare(self) -> Floats:
        """Luminance ``[N]`` of the fog in the own headlights, which come along with the camera."""
        weather = self._view.scene.illumination
        if not weather.hazy:
            return np.zeros(len(self.light), np.float32)
        headlight = self._view.world.headlights[0, 1]
        seen = self._view.seen.at
        hits = glare(seen.along / seen.span[:, None], seen.z * seen.span, headlight, weather.fog)
        return self._view.image(hits @ LUMA, 0.0).ravel()

    def motion(self, other: World) -> tuple[Floats, Floats]:
        """By how many columns and rows everything is elsewhere in ``other``, each ``[H, W]``."""
        view = self._view
        right, down = displacement(self._camera, view.seen.at, view.world, other)
        return view.image(right, 0.0), view.image(down, 0.0)

    def shifted(self, right: Floats, down: Floats) -> Floats:
        """Luminance ``[N]`` before a small ``motion``; good where nothing is uncovered."""
        height, width = right.shape
        columns = np.arange(width, dtype=np.float32) - right
        rows = np.arange(height, dtype=np.float32)[:, None] - down
        moved: Floats = cv2.remap(
            self._image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return moved.ravel() + self._veil

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
        light += self._veil[pixels[struck.ray]]
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
        ambient = np.float32(_LAMPS + float(np.dot(self._view.scene.illumination.sky, LUMA)))
        change: Floats = own_beam(struck, world) + ambient
        change /= own_beam(struck, self._view.world) + ambient
        return change
