"""Blocks that hang between others that go by are told; what halts, or is drawn in, is not."""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from fixtures.drives import houses
from fixtures.healthy_streams import Pixels, jpeg

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.sensor_health import Fault

HZ, BEGIN, ANEW, PICTURES = 10, 16, 26, 32
HEIGHT, WIDTH = 240, 320


def drive(number: int, *, noise: float = 4.0) -> Pixels:
    """Return what a camera sees that passes houses."""
    street = houses(4, HEIGHT, 3000, 900, (6, 70))[:, 6 * number :][:, :WIDTH]
    grain = np.random.default_rng((number, 4)).normal(0, noise, street.shape)
    return np.clip(np.rint(street + grain), 0, 255).astype(np.uint8)


def some_blocks(side: int, share: float) -> Pixels:
    """Return flags of the pixels of some square blocks."""
    dice = np.random.default_rng(5).uniform(size=(HEIGHT // side + 1, WIDTH // side + 1))
    flags = np.kron(dice < share, np.ones((side, side), bool))
    return np.asarray(flags[:HEIGHT, :WIDTH])


@functools.cache
def rough_ground() -> Pixels:
    """Return what is rough at each scale, of spread 1."""
    grains = np.random.default_rng(3).normal(0, 1, (HEIGHT, 900)).astype(np.float32)
    rough = sum(cv2.GaussianBlur(grains, (0, 0), scale) * scale for scale in (1.0, 3.0, 9.0))
    return np.asarray(rough / np.std(rough))


def play(picture: Callable[[int], Pixels]) -> tuple[list[Fault | None], ContentChecker]:
    checker = ContentChecker("rgb", ChecksConfig())
    images = (Image(np.dstack([picture(k)] * 3), "bgr8") for k in range(PICTURES))
    found = [checker.inspect(image, k * 1_000_000_000 // HZ) for k, image in enumerate(images)]
    return found, checker


@pytest.mark.parametrize(("side", "share"), [(16, 0.25), (32, 0.15), (32, 0.25)])
def test_blocks_that_hang_are_told_until_they_are_sent_anew(side: int, share: float) -> None:
    hang = some_blocks(side, share)

    def picture(number: int) -> Pixels:
        hangs = BEGIN <= number < ANEW
        return np.where(hang & hangs, drive(BEGIN - 1), drive(number))

    faults, _ = play(picture)

    assert not any(faults[: BEGIN + 1])
    told = next(fault for fault in faults[BEGIN : BEGIN + HZ] if fault is not None)
    assert told.state is SensorState.DEGRADED
    assert told.reason.startswith("covered: in blocks")
    assert not any(faults[ANEW + 1 :])


def test_the_blocks_that_hang_are_damaged_and_the_others_are_not() -> None:
    hang = np.zeros((HEIGHT, WIDTH), bool)
    for row, column in np.ndindex(3, 4):  # of 44 x 44 pixels, none beside another
        hang[76 * row : 76 * row + 44, 76 * column : 76 * column + 44] = True

    _, checker = play(lambda k: np.where(hang & (k >= BEGIN), drive(BEGIN - 1), drive(k)))

    assert checker.bad_region is not None
    bad = np.kron(checker.bad_region, np.ones((20, 20), bool))
    assert bad[hang].mean() > 0.6
    assert bad[~hang].mean() < 0.2


def test_what_stays_on_both_sides_of_a_bus_when_a_robot_halts_does_not_hang() -> None:
    def picture(number: int) -> Pixels:
        shown = drive(min(number, BEGIN - 1), noise=0.0).copy()
        shown[:, 100:260] = drive(2 * number, noise=0.0)[:, 100:260]
        return shown

    faults, _ = play(picture)

    assert not any(fault and "in blocks" in fault.reason for fault in faults)


@pytest.mark.parametrize(("speed", "strength", "noise"), [(1, 35, 2), (12, 10, 2), (24, 35, 2)])
def test_what_a_codec_rounds_to_and_fro_after_a_halt_does_not_go_by(
    speed: int, strength: float, noise: float
) -> None:
    def picture(number: int) -> Pixels:
        first = speed * min(number, BEGIN - 1)
        shown = 120 + strength * rough_ground()[:, first : first + WIDTH]
        grain = np.random.default_rng((number, 9)).normal(0, noise, shown.shape)
        return jpeg(np.clip(np.rint(shown + grain), 0, 255).astype(np.uint8), 20)

    faults, _ = play(picture)

    assert not any(fault and "in blocks" in fault.reason for fault in faults)


def test_a_menu_that_is_drawn_in_does_not_hang() -> None:
    menu = np.random.default_rng(2).integers(0, 255, (100, 160), dtype=np.uint8)

    def picture(number: int) -> Pixels:
        shown = drive(number).copy()
        if number >= BEGIN:
            shown[20:120, 20:180] = menu
        return shown

    faults, _ = play(picture)

    assert not any(fault and "in blocks" in fault.reason for fault in faults)
