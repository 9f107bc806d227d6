"""No sensor makes another superfluous: each shows things that the others lose.

Contrast-to-noise of a class: the distance between the medians inside and in a ring around it, over
the spread of both. Medians over scenes, with thresholds far from what was measured.
"""

import functools

import cv2
import numpy as np
import pytest
from fixtures.small_rig import SECOND, small_rig

from anymodal_seg_ros.simulation.rig import RigFrame
from anymodal_seg_ros.simulation.world.classes import BARRIER, OBSTACLE, PERSON, ROAD_MARKING
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

SEEDS = range(14)
NEAR_M = 25.0
_HOUR = {"cloud": 12.0, "rain": 12.0, "night": -1.0}


@functools.cache
def frames(weather: str) -> tuple[RigFrame, ...]:
    rig = small_rig()
    return tuple(rig.capture(Scene(SceneConfig(s, weather, _HOUR[weather])), SECOND) for s in SEEDS)


def grown(mask: np.ndarray, size: int) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size))) > 0


def regions(frame: RigFrame, class_id: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The near pixels of a class and a ring around them; None if they are too few."""
    inside = (frame.labels["rgb"] == class_id) & (frame.depths["rgb"] < NEAR_M)
    if inside.sum() < 40:
        return None
    return inside, grown(inside, 9) & ~grown(inside, 3)


def spread(values: np.ndarray) -> float:
    low, high = np.percentile(values, (16, 84))
    return float(high - low) / 2


def contrast(plane: np.ndarray, inside: np.ndarray, ring: np.ndarray) -> float:
    a, b = plane[inside], plane[ring]
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if min(len(a), len(b)) < 8:
        return 0.0
    return abs(np.median(a) - np.median(b)) / np.hypot(spread(a), spread(b) + 1e-6) * 2**0.5


def median_contrast(sensor: str, class_id: int, weather: str) -> float:
    found = []
    for frame in frames(weather):
        places = regions(frame, class_id)
        if places is None:
            continue
        pixels = frame.images[sensor].pixels.astype(np.float64)
        planes = [1 / pixels] if sensor == "depth" else np.atleast_3d(pixels).transpose(2, 0, 1)
        found.append(max(contrast(plane, *places) for plane in planes))
    assert len(found) >= 3
    return float(np.median(found))


@pytest.mark.slow
def test_people_at_night_are_seen_in_thermal_and_hardly_in_rgb():
    thermal, rgb = (median_contrast(s, PERSON, "night") for s in ("thermal", "rgb"))
    assert thermal > 2.5
    assert thermal > 4 * rgb


@pytest.mark.slow
def test_people_by_day_are_seen_in_rgb_too():
    assert median_contrast("rgb", PERSON, "cloud") > 2 * median_contrast("rgb", PERSON, "night")


@pytest.mark.parametrize("weather", ["cloud", "night"])
def test_markings_are_seen_in_rgb_only(weather: str):
    rgb = median_contrast("rgb", ROAD_MARKING, weather)
    assert rgb > 1.2
    assert rgb > 3 * median_contrast("thermal", ROAD_MARKING, weather)


def top_edges(frame: RigFrame, class_id: int) -> list[tuple[int, int]]:
    """Pixels of a class right above which something at least a metre farther away is."""
    inside, z = frame.labels["rgb"] == class_id, frame.depths["rgb"]
    inside &= z < 15.0
    edge = inside[3:-3] & ~inside[2:-4] & (z[1:-5] > z[3:-3] + 1.0)
    return [(row + 3, column) for row, column in np.argwhere(edge)]


def test_obstacles_that_look_like_the_ground_stand_out_in_depth():
    """Across their upper edge: the jump in depth is far above its noise, that in RGB is not."""
    jumps, steps = [], []
    for frame in frames("cloud"):
        disparity = 122.5 * 0.25 / frame.images["depth"].pixels
        grey = frame.images["rgb"].pixels.astype(float).mean(2)
        for row, column in top_edges(frame, OBSTACLE):
            jumps.append(
                (disparity[row + 1, column] - disparity[row - 2, column]) / (0.12 * 2**0.5)
            )
            steps.append(abs(grey[row + 1, column] - grey[row - 2, column]) / 255)
    assert len(jumps) > 30
    assert np.nanmedian(jumps) > 3.0
    assert np.median(steps) < 0.15


@pytest.mark.slow
def test_thin_moving_barriers_are_in_the_events_and_not_in_depth():
    lost, fired, around = [], [], []
    for weather in ("night", "cloud", "rain"):
        for frame in frames(weather):
            places = regions(frame, BARRIER)
            if places is None:
                continue
            inside, ring = places
            events = (frame.images["events"].pixels[..., :2] > 0).any(-1)
            fired.append(events[inside].mean())
            around.append(events[ring].mean())
            depth = frame.images["depth"].pixels
            lost.append(1 - (np.abs(depth - frame.depths["depth"]) < 1.0)[inside].mean())
    assert len(fired) >= 5
    assert np.median(fired) > 0.6
    assert np.median(fired) > 1.5 * np.median(around)
    assert np.median(lost) > 0.4
