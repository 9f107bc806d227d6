"""Time of day and weather: the light from outside, the air, and what the heat of the day left.

Radiance is linear and relative: a white wall in the noon sun is about 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.materials import Color
from anymodal_seg_ros.simulation.shapes import Vector

WEATHERS = ("sun", "cloud", "fog", "night", "rain")


@dataclass(frozen=True, slots=True)
class Illumination:
    """Everything about the surroundings that is neither geometry nor surface.

    Attributes:
        kind: ``day``, ``dusk`` or ``night``.
        sun_direction: unit vector towards the sun (or the moon).
        sun: its irradiance, linear RGB.
        sky: irradiance from the whole sky on level ground, linear RGB.
        zenith: radiance of the sky overhead.
        horizon: radiance of the sky at the horizon and of the haze.
        cloudiness: 0..1, how strongly clouds are drawn on the sky.
        visibility_m: distance after which haze has taken 63 % of the contrast.
        lamps_on: whether street lamps, headlights and windows are lit.
        air_k: air temperature in kelvin.
        zenith_k: apparent thermal temperature of the sky overhead, in kelvin.
        insolation: heat of the present sun, 0..1.
        cooling: how far surfaces have gone towards their night temperatures, 0..1.
    """

    kind: str
    sun_direction: Vector
    sun: Color
    sky: Color
    zenith: Color
    horizon: Color
    cloudiness: float
    visibility_m: float
    lamps_on: bool
    air_k: float
    zenith_k: float
    insolation: float
    cooling: float


def draw_illumination(weather: str, hour: float, rng: np.random.Generator) -> Illumination:
    """Draw the light of a scene.

    Args:
        weather: one of ``WEATHERS``, or ``random``.
        hour: local time, 0 to 24; below 0 for one that fits the weather.
        rng: source of all randomness.

    Raises:
        ConfigError: ``weather`` is none of these.
    """
    if weather == "random":
        weather = str(rng.choice(WEATHERS))
    if weather not in WEATHERS:
        raise ConfigError(
            f"weather is {weather!r}; it must be 'random' or one of {', '.join(WEATHERS)}"
        )
    if hour < 0:
        hour = rng.uniform(20.0, 29.0) % 24 if weather == "night" else rng.uniform(5.5, 20.0)
    azimuth = rng.uniform(-math.pi, math.pi)
    if weather == "night":
        return _night(rng, azimuth)
    if 7.0 <= hour <= 18.5:
        return _day(rng, azimuth)
    return _dusk(rng, azimuth)


def _towards(azimuth: float, elevation_deg: float) -> Vector:
    e = math.radians(elevation_deg)
    return (math.cos(e) * math.cos(azimuth), math.cos(e) * math.sin(azimuth), math.sin(e))


def _scaled(color: Color, factor: float) -> Color:
    return (color[0] * factor, color[1] * factor, color[2] * factor)


def _day(rng: np.random.Generator, azimuth: float) -> Illumination:
    clear = float(rng.choice([1.0, 0.6, 0.1], p=[0.5, 0.25, 0.25]))
    air = rng.uniform(272.0, 304.0)
    return Illumination(
        kind="day",
        sun_direction=_towards(azimuth, rng.uniform(18.0, 65.0)),
        sun=_scaled((1.0, 0.94, 0.84), 0.95 * clear),
        sky=_scaled((0.30, 0.34, 0.40), 1.0 + 0.5 * (1.0 - clear)),
        zenith=(0.22 + 0.35 * (1 - clear), 0.38 + 0.24 * (1 - clear), 0.72),
        horizon=(0.72, 0.78, 0.84),
        cloudiness=rng.uniform(0.2, 0.9),
        visibility_m=rng.uniform(250.0, 1500.0),
        lamps_on=False,
        air_k=air,
        zenith_k=air - rng.uniform(25.0, 40.0) * (0.3 + 0.7 * clear),
        insolation=clear,
        cooling=0.0,
    )


def _dusk(rng: np.random.Generator, azimuth: float) -> Illumination:
    air = rng.uniform(268.0, 298.0)
    level = rng.uniform(0.15, 0.5)
    return Illumination(
        kind="dusk",
        sun_direction=_towards(azimuth, rng.uniform(3.0, 9.0)),
        sun=_scaled((1.0, 0.55, 0.28), 0.7 * level),
        sky=_scaled((0.20, 0.19, 0.26), level),
        zenith=_scaled((0.16, 0.20, 0.42), level),
        horizon=_scaled((1.0, 0.55, 0.35), 0.9 * level),
        cloudiness=rng.uniform(0.2, 0.8),
        visibility_m=rng.uniform(250.0, 1200.0),
        lamps_on=True,
        air_k=air,
        zenith_k=air - rng.uniform(18.0, 35.0),
        insolation=0.15,
        cooling=0.45,
    )


def _night(rng: np.random.Generator, azimuth: float) -> Illumination:
    air = rng.uniform(262.0, 294.0)
    glow = rng.uniform(0.3, 1.5) * 1e-3
    return Illumination(
        kind="night",
        sun_direction=_towards(azimuth, rng.uniform(25.0, 60.0)),
        sun=_scaled((0.7, 0.8, 1.0), 0.3e-3),
        sky=_scaled((0.8, 0.85, 1.0), 0.5 * glow),
        zenith=_scaled((0.5, 0.6, 1.0), 0.5 * glow),
        horizon=_scaled((1.0, 0.8, 0.6), 2.0 * glow),
        cloudiness=rng.uniform(0.0, 0.6),
        visibility_m=rng.uniform(250.0, 1200.0),
        lamps_on=True,
        air_k=air,
        zenith_k=air - rng.uniform(12.0, 32.0),
        insolation=0.0,
        cooling=1.0,
    )
