"""A camera that hangs in a fast turn shows its last noise anew; a robot that halts does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from fixtures.drives import houses
from fixtures.healthy_streams import Pixels, jpeg

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.sensor_health import Fault

HZ, BEGIN, PICTURES = 10, 16, 32
FAST = 220
"""Pixels, of 640, that go by from one picture to the next."""


def seen(number: int, at: int, noise: float = 1.5) -> Pixels:
    """A picture of what lies at some place, with new noise."""
    grain = np.random.default_rng((number, 4)).normal(0, noise, (480, 640, 1))
    street = houses(2, 480, 12_000, 1600, (20, 220))
    part = street[:, at : at + 640, None] + grain
    return np.repeat(np.clip(np.rint(part), 0, 255).astype(np.uint8), 3, axis=2)


def again(number: int, pixels: Pixels) -> Pixels:
    count = np.random.default_rng((number, 5)).integers(-1, 2, pixels.shape)
    return np.clip(pixels + count, 0, 255).astype(np.uint8)


def compressed(number: int, pixels: Pixels) -> Pixels:
    return jpeg(pixels, 82 + number % 5)


def play(picture: Callable[[int], Pixels], hz: float = HZ, pictures: int = PICTURES) -> list[Fault]:
    checker = ContentChecker("rgb", ChecksConfig())
    told = [
        checker.inspect(Image(picture(k), "bgr8"), round(k * 1e9 / hz)) for k in range(pictures)
    ]
    return [fault for fault in told if fault is not None and fault.lasting]


@pytest.mark.parametrize("how", [again, compressed])
def test_what_hangs_in_a_fast_turn_is_frozen(how: Callable[[int, Pixels], Pixels]) -> None:
    def picture(k: int) -> Pixels:
        held = min(k, BEGIN)
        return seen(k, FAST * k) if k < BEGIN else how(k, seen(held, FAST * held))

    found = play(picture)
    assert {fault.state for fault in found} == {SensorState.FROZEN}
    assert len(found) >= PICTURES - BEGIN - HZ


@pytest.mark.parametrize("last_px", [(), (120, 60, 20)])
def test_a_robot_that_halts_shows_new_noise(last_px: tuple[int, ...]) -> None:
    """At once, as only a simulator's robot can, or within a third of a second."""

    def picture(k: int) -> Pixels:
        return seen(k, FAST * min(k, BEGIN) + sum(last_px[: max(0, k - BEGIN)]))

    assert play(picture) == []


def test_a_camera_that_smooths_its_noise_away_where_the_robot_halts_is_not_frozen() -> None:
    stops = (120, 60, 20)

    def picture(k: int) -> Pixels:
        still = max(0, k - BEGIN - len(stops))
        at = FAST * min(k, BEGIN) + sum(stops[: max(0, k - BEGIN)])
        return again(k, seen(BEGIN, at)) if still else seen(k, at)

    assert play(picture) == []


@pytest.mark.parametrize("pixels", [60, 120])
@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_a_turn_may_end_at_once_before_a_camera_with_little_noise(
    pixels: int, noise: float
) -> None:
    assert play(lambda k: seen(k, pixels * min(k, BEGIN), noise)) == []


@pytest.mark.parametrize(("kept", "stood"), [(0.9, 0), (0.97, 0), (0.9, 14)])
def test_a_turn_may_end_at_once_before_a_camera_that_smooths_what_stands(
    kept: float, stood: int
) -> None:
    """Each picture is mostly the one before, as soon as nothing moves; also as it was long ago."""
    halt = BEGIN if not stood else 120
    shown = [seen(halt, 80 * halt).astype(np.float64)]

    def picture(k: int) -> Pixels:
        if k < stood:
            return seen(k, 0, 0.3)
        if k <= halt:
            return seen(k, 80 * k)
        shown.append(kept * shown[-1] + (1 - kept) * seen(k, 80 * halt))
        return np.rint(shown[-1]).astype(np.uint8)

    assert play(picture, pictures=halt + BEGIN) == []


def test_pictures_that_come_seldom_may_show_a_robot_that_has_halted_in_between() -> None:
    def picture(k: int) -> Pixels:
        return seen(k, FAST * k) if k < BEGIN else again(k, seen(BEGIN, FAST * BEGIN))

    assert play(picture, hz=4) == []
