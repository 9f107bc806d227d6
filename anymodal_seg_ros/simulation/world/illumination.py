"""Time of day and weather: the light from outside, the air, and what the heat of the day left.

Radiance is linear and relative: a white wall in the noon sun is about 1. The night is brighter
against the day than in life, where eight bits and a largest gain could not hold both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.simulation.world.materials import Color
from anymodal_seg_ros.simulation.world.shapes import Vector
from anymodal_seg_ros.simulation.world.weather import (
    KOSCHMIEDER,
    WEATHERS,
    Weather,
    draw_hour,
    draw_weather,
    rain_extinction,
)

__all__ = ["WEATHERS", "Illumination", "draw_illumination"]

_LATITUDE = math.radians(48.0)
_ELEVATIONS_DEG = (-18.0, -12.0, -6.0, -3.0, 0.0, 5.0, 10.0, 20.0, 45.0)
_LOG_SKYLIGHT = (-5.0, -4.0, -2.7, -1.9, -1.2, -0.6, -0.35, -0.15, 0.0)
"""Decadic logarithm of the sky's light against a high sun, through the twilights."""

_OPTICAL_DEPTH = (0.06, 0.11, 0.24)
"""Of the clear atmosphere for red, green and blue, overhead: why a low sun is red."""

_FAST_H, _SLOW_H = 0.4, 4.0
"""Time constants of thin and of massive surfaces, in hours."""


@dataclass(frozen=True, slots=True)
class Illumination:
    """Everything about the surroundings that is neither geometry nor surface.

    Attributes:
        kind: the weather, one of ``WEATHERS``.
        hour: local solar time, 0..24.
        sun_elevation: above the horizon in radians; negative at night.
        sun_direction: unit vector towards the sun, or the moon when the sun is down.
        sun: its irradiance, linear RGB.
        sky: irradiance from the whole sky on level ground, linear RGB.
        zenith: radiance of the sky overhead.
        horizon: radiance of the sky at the horizon, of haze and of fog (the airlight).
        cloudiness: 0..1, how strongly clouds are drawn on the sky.
        extinction: of visible and near-infrared light, in 1/m.
        rain_mm_h: rain rate in millimetres per hour.
        wetness: 0..1, how far the ground is covered with water.
        lamps_on: whether street lamps, headlights and windows are lit.
        air_k: air temperature in kelvin.
        zenith_k: apparent thermal temperature of the sky overhead, in kelvin.
        heat_fast: sunshine that thin surfaces still feel, 0..1 of a clear summer noon.
        heat_slow: the same for massive ones, which lag hours behind.
        cooling: how far surfaces have gone towards their night temperatures, 0..1.
    """

    kind: str
    hour: float
    sun_elevation: float
    sun_direction: Vector
    sun: Color
    sky: Color
    zenith: Color
    horizon: Color
    cloudiness: float
    extinction: float
    rain_mm_h: float
    wetness: float
    lamps_on: bool
    air_k: float
    zenith_k: float
    heat_fast: float
    heat_slow: float
    cooling: float

    @property
    def fog(self) -> float:
        """The part of ``extinction`` that is not rain, in 1/m; drops hardly scatter backwards."""
        return self.extinction - rain_extinction(self.rain_mm_h)

    @property
    def hazy(self) -> bool:
        """Whether lamps are on in air so thick that their light shows in it."""
        return self.lamps_on and self.fog > 0.008

    @property
    def visibility_m(self) -> float:
        """Distance at which 2 % of the contrast is left (Koschmieder, 1924)."""
        return KOSCHMIEDER / self.extinction


def draw_illumination(weather: str, hour: float, rng: np.random.Generator) -> Illumination:
    """Draw the light of a scene.

    Args:
        weather: one of ``WEATHERS``, or ``random`` for any of them.
        hour: local solar time, 0 to 24; -1 for one that fits the weather. All weathers but
            ``night`` may be had at any hour, and are dark when the sun is down.
        rng: source of all randomness.

    Raises:
        ConfigError: ``weather`` is none of these, ``hour`` is out of range, or by day at night.
    """
    if weather == "random":
        weather = WEATHERS[int(rng.integers(len(WEATHERS)))]
    if weather not in WEATHERS:
        raise ConfigError(
            f"weather is {weather!r}; it must be 'random' or one of {', '.join(WEATHERS)}"
        )
    drawn = draw_hour(weather, rng)
    if hour == -1.0:
        hour = drawn
    if not 0.0 <= hour <= 24.0:
        raise ConfigError(f"hour is {hour}; it must be 0 to 24, or -1 to have one drawn")
    if weather == "night" and 5.0 < hour < 20.0:
        raise ConfigError(f"hour is {hour} with weather 'night'; it must be 20 to 24 or 0 to 5")
    return _illumination(weather, hour % 24.0, draw_weather(weather, rng), rng)


def _illumination(
    kind: str, hour: float, weather: Weather, rng: np.random.Generator
) -> Illumination:
    # From winter's end to autumn, so that nights last from 20 to 5 and days are long.
    declination = math.radians(rng.uniform(-4.0, 20.0 if kind != "night" else 8.0))
    elevation = _elevation(hour, declination)
    azimuth = rng.uniform(-math.pi, math.pi)  # of the street, not of the sun
    glow = 10.0 ** rng.uniform(-3.5, -2.8)  # of the town on the night sky
    level = max(_skylight(elevation) * (1.0 - 0.35 * weather.cloudiness), 0.6 * glow)
    down = elevation < math.radians(-1.0)
    sun = _moonlight() if down else _sunlight(elevation, weather.clear)
    zenith, horizon = _sky_colors(elevation, level, weather)
    heat = [_heat(hour, declination, lag) * _warming(weather) for lag in (_FAST_H, _SLOW_H)]
    cooling = float(np.clip(0.5 - math.degrees(elevation) / 12.0, 0.0, 1.0))
    noon_k = rng.uniform(279.0, 303.0) - (0.0 if kind in ("sun", "night") else 5.0)
    swing = 4.5 if weather.clear > 0.5 else 2.0
    air = noon_k - swing * (1.0 - math.cos((hour - 15.0) * math.pi / 12.0))
    overhead = 4.0 + 32.0 * (1.0 - 0.9 * max(weather.cloudiness, 1.0 - weather.clear))
    if kind == "fog":
        overhead = 0.5
    return Illumination(
        kind=kind,
        hour=hour,
        sun_elevation=elevation,
        sun_direction=_towards(azimuth, math.radians(40.0) if down else max(elevation, 0.03)),
        sun=sun,
        sky=_scaled((0.34, 0.37, 0.42), level),
        zenith=zenith,
        horizon=horizon,
        cloudiness=weather.cloudiness,
        extinction=weather.extinction,
        rain_mm_h=weather.rain_mm_h,
        wetness=weather.wetness,
        lamps_on=level < 0.3 or kind == "fog",
        air_k=air,
        zenith_k=air - overhead,
        heat_fast=heat[0],
        heat_slow=heat[1],
        cooling=cooling * (0.3 + 0.7 * (1.0 - weather.cloudiness)),
    )


def _elevation(hour: float, declination: float) -> float:
    """The sun's height in radians from its hour angle (any textbook of astronomy)."""
    turn = math.radians(15.0 * (hour - 12.0))
    sine = math.sin(_LATITUDE) * math.sin(declination)
    return math.asin(sine + math.cos(_LATITUDE) * math.cos(declination) * math.cos(turn))


def _heat(hour: float, declination: float, lag_h: float) -> float:
    """Insolation of the last day through a first-order lag, 1 for a long summer noon."""
    past = np.arange(0.0, 24.0, 0.1)
    sine = [max(math.sin(_elevation(hour - p, declination)), 0.0) for p in past]
    weight = np.exp(-past / lag_h)
    return float(np.dot(sine, weight) / weight.sum() / 0.85)


def _warming(weather: Weather) -> float:
    """What clouds and water leave of the sun's heat."""
    return (0.18 + 0.82 * weather.clear) * (1.0 - 0.7 * weather.wetness)


def _skylight(elevation: float) -> float:
    return float(10.0 ** np.interp(math.degrees(elevation), _ELEVATIONS_DEG, _LOG_SKYLIGHT))


def _sunlight(elevation: float, clear: float) -> Color:
    """Beer and Lambert through a plane-parallel atmosphere, with half of the disc at -0.3°."""
    if elevation < math.radians(-0.3):
        return (0.0, 0.0, 0.0)
    mass = 1.0 / (math.sin(max(elevation, 0.0)) + 0.06)
    r, g, b = (1.06 * clear * math.exp(-depth * mass) for depth in _OPTICAL_DEPTH)
    return (r, g, b)


def _moonlight() -> Color:
    return _scaled((0.7, 0.8, 1.0), 0.3e-3)


def _sky_colors(elevation: float, level: float, weather: Weather) -> tuple[Color, Color]:
    """Radiance overhead and at the horizon: blue and pale, grey under clouds, red at dusk."""
    degrees = math.degrees(elevation)
    grey = max(weather.cloudiness - 0.4, 0.0) / 0.6 if weather.clear < 0.5 else 0.0
    grey = 1.0 if weather.visibility_m < 500.0 else grey
    low = float(np.exp(-(((degrees - 1.0) / 7.0) ** 2)))
    dark = float(np.clip(-degrees / 9.0, 0.0, 1.0))
    overhead = _mixed(((0.22, 0.38, 0.72), (0.62, 0.66, 0.70)), grey)
    rim = _mixed(((0.72, 0.78, 0.84), (1.0, 0.62, 0.40)), low)
    rim = _mixed((rim, (0.72, 0.75, 0.78)), grey)
    rim = _mixed((rim, (1.0, 0.8, 0.6)), dark)  # the town's lamps from below
    return _scaled(overhead, level), _scaled(rim, level * (1.0 + 1.5 * dark))


def _towards(azimuth: float, elevation: float) -> Vector:
    flat = math.cos(elevation)
    return (flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation))


def _scaled(color: Color, factor: float) -> Color:
    return (color[0] * factor, color[1] * factor, color[2] * factor)


def _mixed(colors: tuple[Color, Color], share: float) -> Color:
    a, b = colors
    r, g, bl = (x + share * (y - x) for x, y in zip(a, b, strict=True))
    return (r, g, bl)
