"""A lens that loses its focus is told under noise too, and what only looks like it is not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
from fixtures.healthy_streams import FAMILIES, Pixels

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.damage import focus
from anymodal_seg_ros.sensing.health.sensor_health import Fault

HZ, BEGIN = 10, 16
STEP_NS = 1_000_000_000 // HZ


@cache
def street(number: int) -> Pixels:
    """A street as a robot at a walk sees it, ``[480, 640, 3]``."""
    return FAMILIES["drive"].picture(0, number / HZ)


def out_of_focus(radius: float, pixels: Pixels, number: int, noise: float = 2.0) -> Pixels:
    """Each point is a disc of so many pixels; the sensor's noise is that of the read-out."""
    n = int(np.ceil(radius))
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    seen = cv2.filter2D(pixels.astype(np.float32), -1, disc / disc.sum())
    return noisy(seen, number, noise)


def noisy(seen: Pixels, number: int, noise: float = 2.0) -> Pixels:
    grain = np.random.default_rng((number, 6)).normal(0, noise, seen.shape)
    return np.clip(np.rint(seen + grain), 0, 255).astype(np.uint8)


def play(pictures: int, seen: Callable[[int], Pixels]) -> list[Fault | None]:
    """Return what is told of softness, picture by picture."""
    checker = ContentChecker("rgb", ChecksConfig())
    told = [checker.inspect(Image(seen(k), "bgr8"), k * STEP_NS) for k in range(pictures)]
    return [fault if fault is not None and fault.kind == "soft" else None for fault in told]


@pytest.mark.parametrize("radius", [5.0, 9.0])
@pytest.mark.parametrize("noise", [0.5, 3.0])
def test_a_lens_out_of_focus_is_told_whatever_the_noise(radius: float, noise: float) -> None:
    def seen(k: int) -> Pixels:
        broken = BEGIN <= k < 30
        return out_of_focus(radius, street(k), k, noise) if broken else street(k)

    told = play(42, seen)
    assert told[:BEGIN] == [None] * BEGIN
    found = told[BEGIN + 7]
    assert found is not None and found.state is SensorState.DEGRADED and not found.withhold
    assert told[-1] is None, "sharp again"


def test_a_focus_that_is_lost_by_and_by_is_told() -> None:
    def seen(k: int) -> Pixels:
        radius = min(8.0, 0.8 * (k - BEGIN))
        return out_of_focus(radius, street(k), k) if radius > 0.5 else street(k)

    told = play(BEGIN + 18, seen)
    assert told[:BEGIN] == [None] * BEGIN
    assert told[-1] is not None


def test_a_robot_that_turns_in_poor_light_is_smeared_in_one_direction_only() -> None:
    def seen(k: int) -> Pixels:
        return noisy(cv2.blur(street(k), (25, 1)), k) if k >= BEGIN else street(k)

    assert play(BEGIN + 20, seen) == [None] * (BEGIN + 20)


def test_a_jolt_is_over_before_it_is_told() -> None:
    def seen(k: int) -> Pixels:
        return out_of_focus(8.0, street(k), k) if k in (16, 17, 24, 25) else street(k)

    assert play(32, seen) == [None] * 32


def test_a_camera_that_comes_to_see_nothing_but_clouds_is_sharp() -> None:
    sky = FAMILIES["sky, 640x480, noise 0.6, jpeg 80"]

    def seen(k: int) -> Pixels:
        return street(k) if k < BEGIN else sky.picture(0, k / HZ)

    assert play(BEGIN + 20, seen) == [None] * (BEGIN + 20)


def test_soft_shadows_on_a_wall_are_another_scene() -> None:
    y, x = np.mgrid[0:480, 0:900]
    shade = 70.0 * ((x // 150 + y // 160) % 2).astype(np.float32)
    wall = np.repeat((190 - cv2.GaussianBlur(shade, (0, 0), 14))[..., None], 3, axis=2)

    def seen(k: int) -> Pixels:
        return street(k) if k < BEGIN else noisy(wall[:, 4 * (k - BEGIN) :][:, :640], k, 1.2)

    assert play(BEGIN + 20, seen) == [None] * (BEGIN + 20)


def test_edges_that_lean_are_as_sharp_as_upright_ones() -> None:
    """Tiles laid askew: along two rows, their edges are not at one place."""
    y, x = np.mgrid[0:480, 0:640]

    def tiles(k: int) -> Pixels:
        dark = ((x + y + 5 * k) // 40 + (x - y) // 40) % 2 == 0
        return noisy(np.repeat(np.where(dark, 70.0, 160.0)[..., None], 3, axis=2), k)

    told = play(BEGIN + 20, lambda k: street(k) if k < BEGIN else tiles(k))
    assert told == [None] * (BEGIN + 20)


@pytest.mark.parametrize(("by_look", "told"), [(0.5, True), (0.85, False)])
def test_what_becomes_soft_by_little_and_little_is_the_scene(
    monkeypatch: pytest.MonkeyPatch, by_look: float, told: bool
) -> None:
    """Fine detail that goes from look to look, down to a tenth of what is usual."""
    fine = [2.0] * BEGIN + [2.0 * max(by_look**k, 0.1) for k in range(1, 30)]
    shown = iter(fine)

    def detail(_: Pixels) -> focus.FineDetail:
        steepness = ((next(shown) + 1.0) ** 0.5 / 4.0,) * 2
        return focus.FineDetail(steepness, steepness, 1000.0)

    monkeypatch.setattr(focus, "detail_of", detail)
    watch = focus.FocusWatch(focus.SOFT_BELOW)
    coarse = np.arange(192, dtype=np.float32).reshape(12, 16)
    found = [watch.inspect(coarse, coarse, 2 * k * STEP_NS)[1] for k in range(len(fine))]
    assert (found[-1] is not None) == told
