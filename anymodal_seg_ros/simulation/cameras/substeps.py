"""Intensity between two instants: a few real ray casts, shaded from the picture at the end.

Geometry is cast anew at every sub-step, so occlusion, thin things and swinging limbs are exact. The
light of a hit is looked up where the same piece of surface is in the last picture; only what is
hidden there is shaded again. As in ESIM (Rebecq et al., 2018) the number of sub-steps follows the
largest displacement. Away from the edges of things nothing is covered or uncovered: there the last
picture is shifted along its motion instead. So there may be more instants than ray casts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from anymodal_seg_ros.simulation.cameras.flow import carried, displacement, sampled, seen_from
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.light.lamps import glare, own_beam
from anymodal_seg_ros.simulation.light.lighting import leaving, sky_light
from anymodal_seg_ros.simulation.world.camera import MountedCamera, rays
from anymodal_seg_ros.simulation.world.casting import Places, Struck, strike
from anymodal_seg_ros.simulation.world.scene import World
from anymodal_seg_ros.simulation.world.shapes import Floats
from anymodal_seg_ros.simulation.world.view import RenderedView, describe

Ways = tuple[Floats, Floats]
"""Motion in columns and in rows, each ``[H, W]``."""

Mask = npt.NDArray[np.bool_]

LUMA = np.array((0.299, 0.587, 0.114), np.float32)

_STEP_PX = 5.0
_MOST_STEPS = 3
_JUMP_PX, _FAST_PX = 0.8, 4.0
"""Differences in motion between neighbours that make an edge, and one with a long reach."""

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


def substeps(observer: Observer, camera: MountedCamera, start_ns: int, end_ns: int) -> Substeps:
    """Luminance from ``start_ns`` to ``end_ns`` at ``camera``; see the module."""
    last = _Picture(observer, camera, end_ns)
    way = last.motion(observer.world(start_ns))
    length = np.hypot(way[0], way[1])
    peak = float(np.partition(length.ravel(), -200)[-200])
    count = int(np.clip(np.ceil(peak / _STEP_PX), 1, _MOST_STEPS))
    times = [start_ns + (end_ns - start_ns) * i // count for i in range(count + 1)]
    edges, torn = _torn(way)
    shifted = [last.shifted(way, np.float32(1.0 - i / count)) for i in range(count)]
    active = np.union1d(np.flatnonzero(torn), shifted[0][1])
    pace = float(np.percentile(length[edges], 90)) if edges.any() else 0.0
    casts = int(np.clip(np.ceil(pace / _STEP_PX), 1, count))
    places = [count * i // casts for i in range(casts)]
    cast = [last.at(observer, times[i], active) for i in places] + [last.light[active]]
    found = []
    for i, (light, _) in enumerate(shifted):
        at = np.interp(i, [*places, count], range(casts + 1))
        share = np.float32(at % 1.0)
        before, after = cast[int(at)], cast[min(int(at) + 1, casts)]
        light[active] = before + share * (after - before)
        found.append(light)
    return Substeps(tuple(times), [*found, last.light])


def _torn(way: Ways) -> tuple[Mask, Mask]:
    """Where the motion jumps, ``[H, W]``, and the pixels ``[N]`` about it.

    There things cover one another.
    """
    kernel = np.ones((3, 3), np.uint8)
    jump = np.maximum(*(cv2.morphologyEx(w, cv2.MORPH_GRADIENT, kernel) for w in way))
    slight = (jump > _JUMP_PX).astype(np.uint8)
    heavy = (jump > _FAST_PX).astype(np.uint8)
    near = cv2.dilate(slight, np.ones((7, 7), np.uint8))
    near |= cv2.dilate(heavy, np.ones((19, 19), np.uint8))
    return slight > 0, near.ravel() > 0


class _Picture:
    """The picture at the end, and what earlier instants take from it."""

    def __init__(self, observer: Observer, camera: MountedCamera, end_ns: int) -> None:
        self._camera = camera
        self._view: RenderedView = observer.view(camera, end_ns)
        light = observer.radiance(camera, end_ns) @ LUMA
        image = cv2.GaussianBlur(light, (3, 3), 0.5)  # the lens
        self.light: Floats = image.ravel()
        self._depth = self._view.depth()
        self._veil = self._glare()
        self._beam = self._view.image(self._irradiance(self._view.seen.at, self._view.world), 1.0)
        through = np.maximum(image - self._veil.reshape(image.shape), 0.0)
        self._image: Floats = through / self._beam

    def _glare(self) -> Floats:
        """Luminance ``[N]`` of the fog in the own headlights, which come along with the camera."""
        weather = self._view.scene.illumination
        if not weather.hazy:
            return np.zeros(len(self.light), np.float32)
        headlight = self._view.world.headlights[0, 1]
        seen = self._view.seen.at
        hits = glare(seen.along / seen.span[:, None], seen.z * seen.span, headlight, weather.fog)
        return self._view.image(hits @ LUMA, 0.0).ravel()

    def motion(self, other: World) -> Ways:
        """By how many columns and rows everything is elsewhere in ``other``, each ``[H, W]``."""
        view = self._view
        right, down = displacement(self._camera, view.seen.at, view.world, other)
        return view.image(right, 0.0), view.image(down, 0.0)

    def shifted(self, way: Ways, share: np.float32) -> tuple[Floats, Places]:
        """Luminance ``[N]`` after a share of the ``way``; good where nothing is covered.

        Also returns the pixels whose light comes from outside the last picture.
        """
        right, down = share * way[0], share * way[1]
        height, width = right.shape
        columns = np.arange(width, dtype=np.float32)
        rows = np.arange(height, dtype=np.float32)[:, None]
        # What is here now had the way of where it will be: one step of a fixed point.
        x, y = columns - right, rows - down
        edge = cv2.BORDER_REPLICATE
        x, y = (
            columns - cv2.remap(right, x, y, cv2.INTER_NEAREST, borderMode=edge),
            rows - cv2.remap(down, x, y, cv2.INTER_NEAREST, borderMode=edge),
        )
        moved: Floats = cv2.remap(self._image, x, y, cv2.INTER_LINEAR, borderMode=edge)
        inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        return (moved * self._beam).ravel() + self._veil, np.flatnonzero(~inside)

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
        light *= self._irradiance(struck, world)
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

    def _irradiance(self, struck: Struck, world: World) -> Floats:
        """Light on hits ``[n]`` that comes along with the camera, and that which does not.

        What is seen is kept relative to it: the own headlights light a place differently at each
        instant. 1 by day.
        """
        weather = self._view.scene.illumination
        if not weather.lamps_on:
            return np.ones(len(struck.z), np.float32)
        ambient = np.float32(_LAMPS + float(np.dot(weather.sky, LUMA)))
        total: Floats = own_beam(struck, world) + ambient
        return total
