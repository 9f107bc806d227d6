"""Cameras that show little of what there is: of few counts, before a wall, or when a lamp goes."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest
from fixtures.drives import houses
from fixtures.healthy_streams import Pixels

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.sensor_health import Fault

HZ = 10
SIZE = (240, 320)


def street(number: int) -> Pixels:
    """Return a part of a street, 0 to 1, float32."""
    seen = houses(4, 240, 3000, 900, (6, 70))[:, 5 * number : 5 * number + 320]
    return np.asarray(seen / np.float32(255), np.float32)


def grains(number: int, noise: float, size: tuple[int, int] = SIZE) -> Pixels:
    return np.random.default_rng((number, 8)).normal(0, noise, size).astype(np.float32)


def counts(seen: Pixels) -> Pixels:
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def play(modality: str, pictures: Iterable[Pixels]) -> list[Fault]:
    checker = ContentChecker(modality, ChecksConfig())
    told = []
    for number, picture in enumerate(pictures):
        shown = picture if modality == "thermal" else np.dstack([picture] * 3)
        encoding = "mono8" if modality == "thermal" else "bgr8"
        fault = checker.inspect(Image(shown, encoding), number * 1_000_000_000 // HZ)
        told += [fault] if fault is not None and fault.lasting else []
    return told


@pytest.mark.parametrize("span", [4.0, 7.0])
def test_a_street_of_some_levels_is_seen(span: float) -> None:
    pictures = (counts(100 + span * street(k) + grains(k, 0.35)) for k in range(24))
    assert play("thermal", pictures) == []


Y, X = (axis.astype(np.float32) / 320 for axis in np.mgrid[0 : SIZE[0], 0 : SIZE[1]])
SHUTTERS = {
    "even": 0 * X,
    "warmer at one side": 4 * X + Y,
    "darker at the rim": 6 * ((X - 0.5) ** 2 + (Y - 0.4) ** 2),
    "columns": grains(0, 1.0, (1, SIZE[1])) + 0 * X,
}


@pytest.mark.parametrize("shape", SHUTTERS)
@pytest.mark.parametrize("noise", [0.0, 0.2, 1.0])
def test_a_shutter_that_is_as_uneven_shows_nothing(shape: str, noise: float) -> None:
    told = play("thermal", (counts(100.3 + SHUTTERS[shape] + grains(k, noise)) for k in range(24)))
    assert {fault.kind for fault in told} & {"blocked", "frozen"}


@pytest.mark.parametrize(("strength", "found"), [(1.2, set()), (8.0, {"stripes"})])
def test_columns_that_differ_by_a_count_are_no_stripes(strength: float, found: set[str]) -> None:
    columns = grains(1, strength, (1, SIZE[1]))
    pictures = (counts(90 + 20 * street(k) + columns + grains(k, 0.5)) for k in range(8))
    assert {fault.kind for fault in play("thermal", pictures)} == found


def test_the_noise_of_a_camera_of_few_bits_is_one_of_its_steps() -> None:
    """Of a picture that spans three steps, a pixel that is one higher is a quarter of it."""
    pictures = (counts(100 + 34 * street(k) + grains(k, 4.0)) & 0xF0 for k in range(12))
    assert [fault for fault in play("thermal", pictures) if fault.kind == "speckle"] == []


@pytest.mark.parametrize("noise", [0.15, 0.4])
def test_a_lamp_that_goes_out_hides_nothing(noise: float) -> None:
    """All is as much darker as it has less detail, and is to be seen."""
    light = [235.0] * 15 + [36.0] * 10
    bricks = cv2.GaussianBlur(grains(1, 0.6), (0, 0), 1.0).clip(-0.3, 0.3) + np.float32(0.7)
    seen = street(15) * bricks
    told = play("rgb", (counts(light[k] * seen + grains(k, noise)) for k in range(25)))
    assert [fault.kind for fault in told if fault.kind == "lost"] == []


def test_a_veil_that_comes_at_once_is_told_still() -> None:
    veiled = [k >= 15 for k in range(25)]
    shown = (150 + 22 * street(15) if hidden else 230 * street(15) for hidden in veiled)
    told = play("rgb", (counts(seen + grains(k, 1.0)) for k, seen in enumerate(shown)))
    assert {fault.kind for fault in told} == {"lost"}


def boards(number: int) -> Pixels:
    """Return boards of any brightness before each other: other ones for each number."""
    dice = np.random.default_rng(number)
    seen = np.full(SIZE, dice.uniform(40, 200), np.float32)
    for _ in range(40):
        top, left = int(dice.uniform(0, 210)), int(dice.uniform(0, 290))
        height, width = (int(side) for side in dice.integers(20, 90, 2))
        seen[top : top + height, left : left + width] = dice.uniform(20, 230)
    return seen


@pytest.mark.parametrize("blur", [2.0, 4.0])
def test_one_soft_scene_after_many_others_is_soft_itself(blur: float) -> None:
    """As where lorries drive by before a wall: what is sharp are they."""
    lorries = [counts(boards(k // 2) + grains(k, 1.0)) for k in range(24)]
    wall = cv2.GaussianBlur(boards(99), (0, 0), blur)
    told = play("rgb", lorries + [counts(wall + grains(k, 1.0)) for k in range(16)])
    assert [fault.kind for fault in told if fault.kind == "soft"] == []


@pytest.mark.parametrize("blur", [2.0, 4.0])
def test_many_soft_scenes_after_many_sharp_ones_are_a_lens(blur: float) -> None:
    seen = [boards(k // 2) for k in range(40)]
    shown = (cv2.GaussianBlur(one, (0, 0), blur) if k >= 24 else one for k, one in enumerate(seen))
    told = play("rgb", (counts(one + grains(k, 1.0)) for k, one in enumerate(shown)))
    assert {fault.kind for fault in told} == {"soft"}


def test_what_a_lamp_lights_is_soft_itself() -> None:
    """Lit from behind the robot, fog is seen in the place of what stands in it."""
    soft = 20 + 200 * cv2.GaussianBlur(street(40), (0, 0), 4.0)
    pictures = (20 + 30 * street(40) if k < 15 else soft for k in range(30))
    told = play("rgb", (counts(one + grains(k, 0.7)) for k, one in enumerate(pictures)))
    assert [fault.kind for fault in told if fault.kind == "soft"] == []


def test_rows_that_a_codec_made_equal_within_its_blocks_do_not_hang() -> None:
    """Of a wall of bricks in fog, it leaves upright lines in rows of blocks."""
    lines = np.tile(np.where(np.arange(320) % 4 < 2, 118, 122), (240, 1)).astype(np.float32)
    lines += grains(3, 4.0) + np.linspace(0, 40, 320, dtype=np.float32)
    for block in (0, 1, 2, 5, 9, 10, 13, 16, 17, 18, 22, 26, 27, 28):
        lines[8 * block : 8 * block + 8] = lines[8 * block]
    assert [
        fault.kind for fault in play("rgb", [counts(lines)]) if fault.kind == "stuck_rows"
    ] == []
    lines[60:150] = lines[60]
    assert {fault.kind for fault in play("rgb", [counts(lines)])} == {"stuck_rows"}
