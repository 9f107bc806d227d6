"""The five weathers: what each does to clouds, air and surfaces, and when it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WEATHERS = ("sun", "cloud", "fog", "night", "rain")
"""The five conditions of DELIVER (arXiv 2303.01480)."""

KOSCHMIEDER = 3.912
"""Extinction times visibility: a black thing is seen down to a contrast of 2 %, -ln(0.02)."""


@dataclass(frozen=True, slots=True)
class Weather:
    """One drawn weather.

    Attributes:
        clear: share of the direct sunlight that comes through the clouds, 0..1.
        cloudiness: 0..1, how strongly clouds are drawn on the sky.
        visibility_m: meteorological visibility (contrast of 2 %), from fog and haze alone.
        rain_mm_h: rain rate in millimetres per hour.
        wetness: 0..1, how far the ground is covered with water.
    """

    clear: float
    cloudiness: float
    visibility_m: float
    rain_mm_h: float
    wetness: float

    @property
    def extinction(self) -> float:
        """Extinction of visible and near-infrared light in 1/m, of haze or fog and of rain."""
        return KOSCHMIEDER / self.visibility_m + rain_extinction(self.rain_mm_h)


def rain_extinction(rain_mm_h: float) -> float:
    """Extinction by rain in 1/m: 1.076 · R^0.67 dB/km (Carbonneau and Wisely, 1998)."""
    return float(1.076 * rain_mm_h**0.67 / 4343.0)


def draw_weather(kind: str, rng: np.random.Generator) -> Weather:
    """Draw the weather of one of ``WEATHERS``; ``night`` is dry, and clear or cloudy."""
    clear_visibility = float(rng.uniform(2500.0, 9000.0))
    level = float(rng.random())
    if kind == "sun":
        return Weather(0.85 + 0.15 * level, 0.1 + 0.5 * level, clear_visibility, 0.0, 0.0)
    if kind == "cloud":
        return Weather(0.12 * level, 0.9, 0.5 * clear_visibility, 0.0, 0.0)
    if kind == "fog":
        return Weather(0.0, 0.0, float(np.exp(rng.uniform(3.4, 5.0))), 0.0, 0.25 * level)
    if kind == "rain":
        rain = 3.0 * 12.0**level
        return Weather(0.0, 0.95, 0.12 * clear_visibility + 300.0, rain, 0.55 + 0.45 * level)
    return Weather(level, 1.0 - level, clear_visibility, 0.0, 0.0)


def draw_hour(kind: str, rng: np.random.Generator) -> float:
    """Draw a local time that fits the weather: 20 to 5 for night, else by day or in twilight."""
    drawn = float(rng.random())
    return (20.0 + 9.0 * drawn) % 24.0 if kind == "night" else 6.0 + 12.6 * drawn
