"""Visible light: from surfaces and lamps to the radiance that reaches each pixel."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.illumination import Illumination
from anymodal_seg_ros.simulation.shapes import Floats, along
from anymodal_seg_ros.simulation.textures import noise_image
from anymodal_seg_ros.simulation.view import View, lifted

_LAMP_POWER = np.array((1.5, 1.15, 0.65), np.float32)
_LAMP_REACH_M = 20.0
_BEAM_POWER = np.array((9.0, 8.6, 7.8), np.float32)
_BEAM_REACH_M = 60.0


def radiance(view: View) -> Floats:
    """Linear RGB, float32 ``[H, W, 3]``; a white wall in the noon sun is about 1."""
    light = view.scene.illumination
    surfaces = view.scene.surfaces
    albedo = surfaces.albedo[view.surface] * view.detail.tone[:, None]
    albedo += view.detail.paint[:, None] * (0.62 - albedo)
    pane = view.detail.glass[:, None]
    albedo *= 1.0 - 0.8 * pane
    out = albedo * _irradiance(view, light)
    out += pane * 0.30 * np.array(light.horizon, np.float32)  # panes mirror the sky
    if light.lamps_on:
        out += surfaces.glow[view.surface]
        out += view.detail.lit[:, None] * np.array((0.16, 0.115, 0.06), np.float32)
    haze = 1.0 - np.exp(-view.z / light.visibility_m)
    out += haze[:, None] * (np.array(light.horizon, np.float32) - out)
    return view.image(out.astype(np.float32), sky_radiance(view.sky_rays, light))


def _irradiance(view: View, light: Illumination) -> Floats:
    """Linear RGB ``[n, 3]`` arriving at each hit."""
    up = view.normal[:, 2]
    # Close to the ground and under things less of the sky is seen.
    open_sky = (0.5 + 0.5 * up) * (0.75 + 0.25 * np.clip(view.point[:, 2] / 1.5, 0.0, 1.0))
    bounce = 0.22 * (0.5 - 0.5 * up)
    sky = np.array(light.sky, np.float32)
    sun = np.array(light.sun, np.float32)
    total: Floats = open_sky[:, None] * sky + bounce[:, None] * (sky + 0.5 * sun)
    total += view.sunlit[:, None] * sun
    if light.lamps_on:
        total += _street_light(view)[:, None] * _LAMP_POWER
        for position, direction in view.world.headlights:
            total += _beam(view, position, direction)[:, None] * _BEAM_POWER
    return total


def _street_light(view: View) -> Floats:
    """Sum over the lamps of cosine and distance laws; the strongest lamp casts a shadow."""
    total = np.zeros(len(view.z), np.float32)
    strongest = np.zeros(len(view.z), np.float32)
    which = np.zeros(len(view.z), np.int32)
    for i, lamp in enumerate(view.world.lamps):
        at = np.flatnonzero(np.abs(view.point[:, 0] - lamp[0]) < _LAMP_REACH_M)
        to = lamp - view.point[at]
        squared = np.einsum("ij,ij->i", to, to) + 0.1
        distance = np.sqrt(squared)
        facing = np.maximum(np.einsum("ij,ij->i", to, view.normal[at]) / distance, 0.0)
        down = np.clip(to[:, 2] / distance, 0.0, 1.0)
        cut = np.clip(1.0 - distance / _LAMP_REACH_M, 0.0, 1.0)
        strength = facing * down * np.sqrt(down) * cut / squared
        total[at] += strength
        first = strength > strongest[at]
        strongest[at[first]] = strength[first]
        which[at[first]] = i
    lit = np.flatnonzero(strongest > 2e-4)
    if len(lit):
        start = lifted(view.point[lit], view.normal[lit], view.z[lit])
        to = 0.93 * (view.world.lamps[which[lit]] - start)
        dark = view.world.static.caster.occluded(start, to)
        dark |= view.world.moving.caster.occluded(start, to)
        total[lit[dark]] -= strongest[lit[dark]]
    return total


def _beam(view: View, position: Floats, direction: Floats) -> Floats:
    """A pair of dipped headlights: wide, bright below a horizontal cut-off, no shadows."""
    to = position - view.point
    squared = np.einsum("ij,ij->i", to, to) + 0.5
    distance = np.sqrt(squared)
    ahead = -along(to, direction)
    strength = np.zeros(len(view.z), np.float32)
    at = np.flatnonzero((ahead > 0.3) & (distance < _BEAM_REACH_M))
    if not len(at):
        return strength
    side = (to[at, 0] * direction[1] - to[at, 1] * direction[0]) / distance[at]
    rise = -to[at, 2] / distance[at] - direction[2]
    pattern = np.exp(-((side / 0.38) ** 2)) / (1.0 + np.exp((rise - 0.005) / 0.012))
    pattern += 0.03 * np.exp(-((side / 0.5) ** 2)) * np.exp(-((rise / 0.25) ** 2))
    facing = np.einsum("ij,ij->i", to[at], view.normal[at]) / distance[at]
    fade = np.clip(1.0 - distance[at] / _BEAM_REACH_M, 0.0, 1.0)
    strength[at] = pattern * np.maximum(facing, 0.0) * fade / squared[at]
    return strength


def sky_radiance(directions: Floats, light: Illumination) -> Floats:
    """Linear RGB ``[n, 3]`` of the sky: a gradient, clouds, and the glow around the sun."""
    rise = np.clip(directions[:, 2], 0.0, 1.0)
    blend = (np.sqrt(rise) * 1.2).clip(0.0, 1.0)[:, None]
    horizon = np.array(light.horizon, np.float32)
    zenith = np.array(light.zenith, np.float32)
    color = horizon + blend * (zenith - horizon)
    column = (directions[:, 0] / (rise + 0.12) * 60.0).astype(np.int32) & 511
    row = (directions[:, 1] / (rise + 0.12) * 60.0).astype(np.int32) & 511
    cloud = np.clip(noise_image()[row, column] * 0.5 + light.cloudiness - 0.4, 0.0, 1.0)
    color += (cloud * np.clip(rise * 8, 0, 1))[:, None] * (1.1 * horizon - color)
    toward = np.maximum(along(directions, np.array(light.sun_direction, np.float32)), 0.0)
    glow = 0.5 * toward**24 + 12.0 * (toward > 0.9995)
    result: Floats = (color + glow[:, None] * np.array(light.sun, np.float32)).astype(np.float32)
    return result
