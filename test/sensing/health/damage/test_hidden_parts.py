"""What hides a part of a picture and leaves the noise is told; what looks like it is not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from fixtures.drives import houses
from fixtures.healthy_streams import Pixels

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.sensor_health import Fault

HZ, BEGIN, PICTURES = 10, 16, 30
SIZE = (240, 320)


def seen(at: int) -> Pixels:
    return houses(4, 240, 3000, 900, (6, 70))[:, at : at + 320].copy()


def noisy(number: int, picture: Pixels, noise: float = 2.0) -> Pixels:
    grain = np.random.default_rng((number, 4)).normal(0, noise, picture.shape)
    grey = np.clip(np.rint(picture + grain), 0, 255).astype(np.uint8)
    return np.dstack([grey] * 3)


def play(picture: Callable[[int], Pixels]) -> tuple[list[Fault | None], ContentChecker]:
    """Play pictures, to which the noise is added when all else is done."""
    checker = ContentChecker("rgb", ChecksConfig())
    images = (Image(noisy(k, picture(k)), "bgr8") for k in range(PICTURES))
    return [checker.inspect(image, round(k * 1e9 / HZ)) for k, image in enumerate(images)], checker


def covers() -> dict[str, Pixels]:
    """Return how much of each pixel is hidden, 0 to 1, with a soft edge."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    splashes = np.zeros(SIZE, np.float32)
    for k in range(6):
        cv2.circle(splashes, (30 + 97 * k % 300, 40 + 71 * k % 190), 44, (1.0,), -1)
    found = {
        "a hand over one side": (x < 140).astype(np.float32),
        "a finger": ((x - 200) ** 2 / 70**2 + (y - 240) ** 2 / 170**2 < 1).astype(np.float32),
        "splashes of mud": splashes,
    }
    return {name: cv2.GaussianBlur(part, (0, 0), 3.0) for name, part in found.items()}


@pytest.mark.parametrize("name", covers())
@pytest.mark.parametrize("pace", [0, 6])
def test_what_hides_a_part_is_told_though_its_noise_is_new(name: str, pace: int) -> None:
    hidden = covers()[name]
    shade = np.linspace(60, 110, 320, dtype=np.float32)[None]

    def picture(k: int) -> Pixels:
        shown = seen(pace * k)
        return shown + (hidden * (shade - shown) if k >= BEGIN else 0)

    told, checker = play(picture)
    assert told[:BEGIN] == [None] * BEGIN
    found = told[BEGIN + 8]
    assert found is not None and found.state is SensorState.DEGRADED and not found.withhold
    assert found.kind in ("covered", "lost")
    assert checker.bad_region is not None
    blocks = cv2.resize(hidden, (16, 12), interpolation=cv2.INTER_AREA)
    assert checker.bad_region[blocks > 0.95].mean() > 0.8


def test_what_is_seen_again_is_hidden_no_more() -> None:
    hidden = covers()["a hand over one side"]
    told, checker = play(
        lambda k: seen(6 * k) + (hidden * (80 - seen(6 * k)) if BEGIN <= k < BEGIN + 9 else 0)
    )
    assert told[BEGIN + 8] is not None
    assert told[-3:] == [None] * 3 and checker.bad_region is None


def test_an_even_sky_that_a_bridge_has_hidden_is_no_cover() -> None:
    def picture(k: int) -> Pixels:
        shown = seen(6 * k)
        shown[:120] = 90 if k in (BEGIN - 2, BEGIN - 1) else 200
        return shown

    assert play(picture)[0] == [None] * PICTURES


def test_an_even_wall_that_comes_into_view_by_and_by_is_no_cover() -> None:
    def picture(k: int) -> Pixels:
        shown = seen(6 * k)
        shown[:, max(0, 320 - 25 * max(0, k - BEGIN)) :] = 150
        return shown

    assert play(picture)[0] == [None] * PICTURES


def test_an_even_sky_in_all_of_the_picture_is_no_cover_of_a_part() -> None:
    """From the gravel that a robot rushes over to the sky above a ramp: no block is as before."""
    gravel = np.random.default_rng(0).uniform(20, 110, (60, 80)).astype(np.float32)
    gravel = cv2.resize(gravel, SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    sky = np.tile(np.linspace(120, 250, SIZE[1], dtype=np.float32), (SIZE[0], 1))
    told, _ = play(lambda k: np.roll(gravel, 90 * k, axis=1) if k < BEGIN else sky)
    assert told == [None] * PICTURES


def test_a_lamp_that_goes_out_over_a_part_changes_the_rest_as_well() -> None:
    def picture(k: int) -> Pixels:
        shown = seen(2 * k)
        if k >= BEGIN:
            shown *= 0.75
            shown[:120] *= 0.05
        return shown

    assert play(picture)[0] == [None] * PICTURES


def test_a_wall_that_a_turn_ends_before_is_no_cover() -> None:
    """One half shows a wall from then on, before which leaves move in the other half."""
    at = 100 * BEGIN

    def picture(k: int) -> Pixels:
        shown = seen(min(100 * k, at))
        if k >= BEGIN:
            shown[:, :160] = 140
            shown[:, 160:] = seen(at + k % 3)[:, 160:]
        return shown

    assert play(picture)[0] == [None] * PICTURES


@pytest.mark.parametrize(("gap", "begin", "steps"), [(62, 230, 6), (70, 236, 4), (50, 248, 6)])
def test_a_door_post_that_goes_by_before_the_robot_halts_is_not_lost(
    gap: int, begin: int, steps: int
) -> None:
    """Its edge is in other blocks then, and stays there."""

    def picture(k: int) -> Pixels:
        at = begin - 13 * min(max(0, k - BEGIN), steps)
        across = np.arange(320)
        level = np.where(across < at, 150.0, np.where(across < at + gap, 12.0, 60.0))
        return np.tile(level.astype(np.float32), (240, 1))

    checker = ContentChecker("rgb", ChecksConfig())
    for k in range(PICTURES):
        image = Image(noisy(k, picture(k), 0.6), "bgr8")
        assert checker.inspect(image, round(k * 1e9 / HZ)) is None, k
