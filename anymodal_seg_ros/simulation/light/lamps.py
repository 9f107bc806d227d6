"""Light at night: street lamps, headlights, and what fog makes of them."""

from __future__ import annotations

import numpy as np

from anymodal_seg_ros.simulation.world.casting import Places, Struck
from anymodal_seg_ros.simulation.world.scene import World
from anymodal_seg_ros.simulation.world.shapes import Floats, along
from anymodal_seg_ros.simulation.world.view import Seen, lifted

LAMP_POWER = np.array((1.5, 1.15, 0.65), np.float32)
BEAM_POWER = np.array((9.0, 8.6, 7.8), np.float32)
_LAMP_REACH_M = 20.0
_DAYLIGHT = 0.15
"""Sky light in which street lamps add nothing: by day they shine in fog, but light nothing up."""

_BEAM_REACH_M = 60.0
_BACKSCATTER = 0.08
"""Share of the light scattered by fog that comes straight back, per steradian (Mie)."""

_PEAK = 15.0
"""Of the two headlights together, over what one throws on the road at the same distance."""


def lamp_light(seen: Seen) -> Floats:
    """Linear RGB ``[n, 3]`` that arrives from street lamps and headlights."""
    total: Floats = np.zeros((len(seen.at.z), 3), np.float32)
    if max(seen.scene.illumination.sky) < _DAYLIGHT:
        total += _street_light(seen)[:, None] * LAMP_POWER
    for position, direction in seen.world.headlights:
        at, strength = _beam(seen.at, position, direction)
        total[at] += strength[:, None] * BEAM_POWER
    return total


def own_beam(struck: Struck, world: World) -> Floats:
    """Irradiance ``[n]`` from the own headlights of ``world``, as luminance."""
    at, strength = _beam(struck, *world.headlights[0])
    total = np.zeros(len(struck.z), np.float32)
    total[at] = strength * np.float32(BEAM_POWER.mean())
    return total


def _street_light(seen: Seen) -> Floats:
    """Sum over the lamps of cosine and distance laws; the strongest lamp casts a shadow."""
    point, normal = seen.at.point, seen.at.normal
    total = np.zeros(len(point), np.float32)
    strongest = np.zeros(len(point), np.float32)
    which = np.zeros(len(point), np.int32)
    px = point[:, 0]
    for i, lamp in enumerate(seen.world.lamps):
        at = np.flatnonzero(np.abs(px - lamp[0]) < _LAMP_REACH_M)
        to = lamp - point[at]
        squared = np.einsum("ij,ij->i", to, to) + np.float32(0.1)
        near = np.flatnonzero(squared < _LAMP_REACH_M**2)
        at, to, squared = at[near], to[near], squared[near]
        distance = np.sqrt(squared)
        facing = np.maximum(np.einsum("ij,ij->i", to, normal[at]), 0.0) / distance
        down = np.maximum(to[:, 2], 0.0) / distance
        cut = 1.0 - distance / _LAMP_REACH_M
        strength = facing * down * np.sqrt(down) * cut / squared
        total[at] += strength
        first = np.flatnonzero(strength > strongest[at])
        strongest[at[first]] = strength[first]
        which[at[first]] = i
    lit = np.flatnonzero(strongest > 5e-4)
    if len(lit):
        start = lifted(seen.at.only(lit))
        to = 0.93 * (seen.world.lamps[which[lit]] - start)
        dark = seen.world.static.caster.occluded(start, to)
        dark |= seen.world.moving.caster.occluded(start, to)
        total[lit[dark]] -= strongest[lit[dark]]
    return total


def _beam(struck: Struck, position: Floats, direction: Floats) -> tuple[Places, Floats]:
    """A pair of dipped headlights: wide, bright below a horizontal cut-off, no shadows.

    Returns the hits that it reaches and the strength there.
    """
    ahead = along(struck.point, direction) - np.float32(np.dot(position, direction))
    at = np.flatnonzero((ahead > 0.3) & (ahead < _BEAM_REACH_M))
    to = position - struck.point[at]
    squared = np.einsum("ij,ij->i", to, to) + np.float32(0.5)
    distance = np.sqrt(squared)
    side = (to[:, 0] * direction[1] - to[:, 1] * direction[0]) / distance
    rise = -to[:, 2] / distance - direction[2]
    pattern = np.exp(-((side / 0.38) ** 2)) / (1.0 + np.exp(np.minimum(rise - 0.005, 0.5) / 0.012))
    pattern += 0.03 * np.exp(-((side / 0.5) ** 2)) * np.exp(-((rise / 0.25) ** 2))
    facing = np.einsum("ij,ij->i", to, struck.normal[at]) / distance
    fade = np.clip(1.0 - distance / _BEAM_REACH_M, 0.0, 1.0)
    strength: Floats = pattern * np.maximum(facing, 0.0) * fade / squared
    return at, strength.astype(np.float32, copy=False)


def glare(rays: Floats, distance: Floats, headlight: Floats, extinction: float) -> Floats:
    """Own headlights scattered back by the air: linear RGB ``[n, 3]``.

    Single scattering along each ray, ``∫ β e^(-2βr) / r² dr`` from where the beam crosses it, taken
    with the extinction at the mean of that range; bright below the cut-off, faint above.

    Args:
        rays: ``[n, 3]`` unit directions.
        distance: ``[n]`` to what stops the ray, in metres.
        headlight: ``[3]`` direction of the beam.
        extinction: β in 1/m.
    """
    begin = 3.0
    end = np.maximum(distance, begin)
    side = rays[:, 0] * headlight[1] - rays[:, 1] * headlight[0]
    rise = rays[:, 2] - headlight[2]
    pattern = np.exp(-((side / 0.45) ** 2)) * (0.05 + 0.95 / (1.0 + np.exp((rise - 0.02) / 0.05)))
    ahead = along(rays, headlight) > 0
    path = (1.0 / begin - 1.0 / end) * np.exp(-2.0 * extinction * np.sqrt(begin * end))
    strength = np.float32(_BACKSCATTER * extinction) * pattern * path * ahead
    result: Floats = strength[:, None].astype(np.float32) * (BEAM_POWER * np.float32(_PEAK))
    return result


def mirrored_lamps(seen: Seen, at: Places, mirror: Floats) -> Floats:
    """Lamps and headlights in wet ground: linear RGB ``[n, 3]`` for hits ``at``.

    A rough mirror smears a lamp towards the eye, so the lobe is wide in the plane of incidence and
    narrow across it (proposal).
    """
    total = np.zeros((len(at), 3), np.float32)
    point = seen.at.point[at]
    sources = [(lamp, LAMP_POWER) for lamp in seen.world.lamps]
    sources += [(place, 0.3 * BEAM_POWER) for place, _ in seen.world.headlights[1:]]
    for place, power in sources:
        to = place - point
        to /= np.sqrt(np.einsum("ij,ij->i", to, to) + np.float32(0.1))[:, None]
        across = to[:, 0] * mirror[:, 1] - to[:, 1] * mirror[:, 0]
        up = to[:, 2] - mirror[:, 2]
        ahead = to[:, 0] * mirror[:, 0] + to[:, 1] * mirror[:, 1] > 0
        lobe = np.exp(-((across / 0.05) ** 2) - (up / 0.30) ** 2) * ahead
        total += lobe[:, None] * power
    return total
