"""Rain in a camera's picture: streaks of falling drops, and drops that sit on the lens."""

from __future__ import annotations

import cv2
import numpy as np

from anymodal_seg_ros.simulation.world.shapes import Floats

_FALL_M_S = 7.0
"""Terminal speed of drops of about 2 mm (Gunn and Kinzer, 1949)."""

_STREAKS = 22.0
"""Visible streaks per mm/h in a picture at an exposure of 10 ms (proposal)."""


def add_streaks(
    picture: Floats,
    rain_mm_h: float,
    exposure_s: float,
    focal: float,
    airlight: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    """Draw streaks into linear RGB ``[H, W, 3]``, in place.

    A drop at distance d falls ``f · v · t / d`` pixels during the exposure; it mirrors the sky, so
    it is a little brighter than what is behind it by day, and hardly seen by night.
    """
    height, width = picture.shape[:2]
    count = int(_STREAKS * rain_mm_h**0.6 * (0.4 + exposure_s / 0.016))
    distance = rng.uniform(0.7, 6.0, count)
    length = np.clip(focal * _FALL_M_S * exposure_s / distance, 2.0, height / 2)
    x, y = rng.uniform(0, width, count), rng.uniform(-0.1, 1.0, count) * height
    lean = rng.normal(0.06, 0.03, count)
    mask = np.zeros((height, width), np.uint8)
    for i in range(count):
        alpha = int(np.clip(150.0 / length[i] ** 0.5, 14, 90))
        end = (int(x[i] + lean[i] * length[i]), int(y[i] + length[i]))
        thick = 2 if distance[i] < 1.2 else 1
        cv2.line(mask, (int(x[i]), int(y[i])), end, alpha, thick, cv2.LINE_AA)
    share = cv2.GaussianBlur(mask, (3, 3), 0.6).astype(np.float32)[..., None] / np.float32(255.0)
    picture += share * (np.array(airlight, np.float32) * np.float32(1.2) - picture)


def add_lens_drops(picture: Floats, rain_mm_h: float, rng: np.random.Generator) -> None:
    """Blur discs of linear RGB ``[H, W, 3]``, in place: drops on the lens, out of focus."""
    height, width = picture.shape[:2]
    count = int(rng.poisson(0.5 * rain_mm_h**0.6))
    if count == 0:
        return
    mask = np.zeros((height, width), np.uint8)
    for _ in range(count):
        center = (int(rng.integers(width)), int(rng.integers(height)))
        radius = int(width * rng.uniform(0.008, 0.028)) + 1
        cv2.circle(mask, center, radius, int(rng.integers(130, 230)), -1, cv2.LINE_AA)
    small = cv2.resize(picture, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    soft = cv2.resize(small[::-1], (width, height))  # a drop turns the world upside down
    smooth = cv2.resize(cv2.GaussianBlur(small, (0, 0), 1.5), (width, height))
    share = cv2.GaussianBlur(mask, (0, 0), width / 320).astype(np.float32)[..., None] / 255.0
    picture += share.astype(np.float32) * (0.3 * soft + 0.7 * smooth - picture)
