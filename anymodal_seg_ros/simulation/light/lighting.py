"""Visible light: from surfaces and lamps through the air to the radiance of each pixel."""

from __future__ import annotations

import cv2
import numpy as np

from anymodal_seg_ros.simulation.light.lamps import glare, lamp_light, mirrored_lamps
from anymodal_seg_ros.simulation.world.casting import Places
from anymodal_seg_ros.simulation.world.illumination import Illumination
from anymodal_seg_ros.simulation.world.scene import World
from anymodal_seg_ros.simulation.world.shapes import Floats, along
from anymodal_seg_ros.simulation.world.textures import noise_image
from anymodal_seg_ros.simulation.world.view import RenderedView, Seen

_WET_DARKENING = 0.45
"""Of porous ground under a film of water (Lekner and Dorf, 1988, measured 0.3 to 0.6)."""

_FOG_LAYER_M = 70.0
"""Height of the fog above the ground."""


def radiance(view: RenderedView) -> Floats:
    """Linear RGB, float32 ``[H, W, 3]``; a white wall in the noon sun is about 1."""
    light = view.scene.illumination
    hits = leaving(view.seen)
    image = view.image(hits, sky_light(view.sky_rays, light, view.world))
    if light.hazy:
        image += _halos(view, light)
    return image


def sky_light(rays: Floats, light: Illumination, world: World) -> Floats:
    """Linear RGB ``[n, 3]`` of rays ``[n, 3]`` of any length that hit nothing."""
    unit = rays / np.sqrt(np.einsum("ij,ij->i", rays, rays))[:, None]
    sky = sky_radiance(unit, light)
    if light.kind == "fog":
        layer = np.minimum(_FOG_LAYER_M / np.maximum(unit[:, 2], np.float32(0.01)), 3000.0)
        sky = _through(sky, layer, unit, world, light)
    return sky


def leaving(seen: Seen) -> Floats:
    """Linear RGB ``[n, 3]`` of hits as they are seen through the air."""
    light = seen.scene.illumination
    surfaces = seen.scene.surfaces
    row = seen.at.surface
    albedo = surfaces.albedo[row]
    albedo *= seen.detail.tone[:, None]
    albedo += seen.detail.paint[:, None] * (np.float32(0.62) - albedo)
    glass = np.flatnonzero(seen.detail.glass)
    albedo[glass] *= 1.0 - 0.8 * seen.detail.glass[glass, None]
    wet = _water(seen, light)
    if wet is not None:
        albedo *= (1.0 - np.float32(_WET_DARKENING) * wet)[:, None]
    out = albedo
    out *= _irradiance(seen, light)
    pane = 0.30 * np.array(light.horizon, np.float32)
    out[glass] += seen.detail.glass[glass, None] * pane  # panes mirror the sky
    if light.lamps_on:
        out += surfaces.glow[row]
        out[glass] += seen.detail.lit[glass, None] * np.array((0.16, 0.115, 0.06), np.float32)
    if wet is not None:
        _add_mirror(out, wet, seen, light)
    unit = seen.at.along / seen.at.span[:, None]
    return _through(out, seen.at.z * seen.at.span, unit, seen.world, light)


def _irradiance(seen: Seen, light: Illumination) -> Floats:
    """Linear RGB ``[n, 3]`` arriving at each hit."""
    up = seen.at.normal[:, 2]
    # Close to the ground and under things less of the sky is seen.
    open_sky = (0.5 + 0.5 * up) * (0.75 + 0.25 * np.clip(seen.at.point[:, 2] / 1.5, 0.0, 1.0))
    bounce = 0.22 * (0.5 - 0.5 * up)
    sky = np.array(light.sky, np.float32)
    sun = np.array(light.sun, np.float32)
    total: Floats = (open_sky + bounce)[:, None] * sky
    if max(light.sun) > 0:
        total += (seen.sunlit + 0.5 * bounce)[:, None] * sun
    if light.lamps_on:
        total += lamp_light(seen)
    return total


def _through(
    out: Floats, distance: Floats, rays: Floats, world: World, light: Illumination
) -> Floats:
    """Koschmieder: what is left of the light, and the airlight that takes its place."""
    left = np.exp(-np.float32(light.extinction) * distance)[:, None]
    air = np.array(light.horizon, np.float32)
    out -= air
    out *= left
    out += air
    if light.hazy:
        out += glare(rays, distance, world.headlights[0, 1], light.fog)
    return out


def _water(seen: Seen, light: Illumination) -> Floats | None:
    """0..1 how wet each hit is; None in dry weather. Ground holds water in its hollows."""
    if light.wetness < 0.05:
        return None
    level = np.clip(seen.at.normal[:, 2] * 2.0 - 0.9, 0.15, 1.0)
    hollow = np.clip(0.75 - 0.25 * seen.detail.grain, 0.3, 1.0)
    water: Floats = np.float32(light.wetness) * level * hollow
    return water


def _add_mirror(out: Floats, wet: Floats, seen: Seen, light: Illumination) -> None:
    """Fresnel reflection (Schlick, 1994) of sky and lamps by the water on level ground."""
    at: Places = np.flatnonzero((seen.at.normal[:, 2] > 0.9) & (seen.at.point[:, 2] < 0.5))
    if not len(at):
        return
    share = (0.02 + 0.98 * (1.0 - seen.at.facing[at]) ** 5) * np.clip(1.6 * wet[at] - 0.3, 0, 1)
    ray = seen.at.along[at] / seen.at.span[at, None]
    normal = seen.at.normal[at]
    ray -= (2.0 * np.einsum("ij,ij->i", ray, normal))[:, None] * normal
    mirrored = sky_radiance(ray, light)
    # Low in the sky stand houses and trees, so less comes from there.
    mirrored *= np.clip(0.35 + 1.3 * ray[:, 2], 0.0, 1.0)[:, None]
    if light.lamps_on:
        mirrored += mirrored_lamps(seen, at, ray) * 6.0
    out[at] += share[:, None] * (mirrored - out[at])


def _halos(view: RenderedView, light: Illumination) -> Floats:
    """Forward scattering around lamps, wide and soft, from what the air took out of their light."""
    seen = view.seen
    glow = seen.scene.surfaces.glow[seen.at.surface]
    depth = np.float32(light.extinction) * seen.at.z
    glow *= (depth * np.exp(-depth))[:, None]
    image = view.image(np.minimum(glow, 4.0), 0.0)
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    spread = cv2.GaussianBlur(small, (0, 0), width / 160) + cv2.GaussianBlur(
        small, (0, 0), width / 40
    )
    halo: Floats = cv2.resize(spread, (width, height))
    return halo


def sky_radiance(directions: Floats, light: Illumination) -> Floats:
    """Linear RGB ``[n, 3]`` of the sky: a gradient, clouds, and the glow around the sun."""
    rise = np.clip(directions[:, 2], 0.0, 1.0)
    blend = (np.sqrt(rise) * np.float32(1.2)).clip(0.0, 1.0)[:, None]
    horizon = np.array(light.horizon, np.float32)
    zenith = np.array(light.zenith, np.float32)
    color: Floats = horizon + blend * (zenith - horizon)
    if light.cloudiness > 0:
        column = (directions[:, 0] / (rise + 0.12) * 60.0).astype(np.int32) & 511
        row = (directions[:, 1] / (rise + 0.12) * 60.0).astype(np.int32) & 511
        cloud = np.clip(noise_image()[row, column] * 0.5 + light.cloudiness - 0.4, 0.0, 1.0)
        color += (cloud * np.clip(rise * 8, 0, 1))[:, None] * (np.float32(1.1) * horizon - color)
    if max(light.sun) > 0:
        toward = np.maximum(along(directions, np.array(light.sun_direction, np.float32)), 0.0)
        glow = 0.5 * toward**24 + 12.0 * (toward > 0.9995)
        color += glow[:, None] * np.array(light.sun, np.float32)
    return color.astype(np.float32, copy=False)
