"""Cameras that are well and look unusual: no check takes them for broken.

A minute of each, which takes long, is played by ``benchmarks/healthy.py``.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from fixtures.healthy_streams import FAMILIES, Pixels, jpeg

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker
from anymodal_seg_ros.sensing.health.sensor_health import Fault

FLAT = [
    f"{what}, 640x480, noise {noise}, jpeg {quality}"
    for what in ("sky", "white wall")
    for noise in (0.6, 2.0)
    for quality in (10, 20, 50, 80)
]
TOLD_AS_STUCK = [
    "door, jpeg 20",
    "night, jpeg 10",
    "drive, jpeg 10",
    "lockers, jpeg 20",
    "lit from one side, jpeg 50",
    "thermal, jpeg 10",
    "video, sky",
    "letterbox",
    "text",
    "line-doubled",
    "5 bits",
    "simulated",
    "thermal, nearest",
    "thermal, 640x512",
    "thermal, 16 levels",
    "depth, simulated corridor",
    "depth, simulated wall",
    "depth, stereo, coarse",
]


def faults(name: str, pictures: int) -> list[Fault]:
    """Return what is told of a healthy camera; that a picture came again is no fault."""
    family = FAMILIES[name]
    checker = ContentChecker(family.modality, ChecksConfig())
    told = (
        checker.inspect(image, now_ns)
        for now_ns, image in islice(family.stream(60.0), 0, pictures * 3, 3)
    )
    return [fault for fault in told if fault is not None and (fault.lasting or fault.withhold)]


@pytest.mark.parametrize("name", FLAT + TOLD_AS_STUCK)
def test_lines_that_are_equal_because_they_show_nothing_are_not_stuck(name: str) -> None:
    assert faults(name, 3) == []


def test_a_robot_may_drive_up_to_an_even_wall_and_back_away() -> None:
    assert faults("towards a wall", 55) == []


def test_an_even_cover_that_comes_at_once_hides_the_wall_as_well() -> None:
    stream = islice(FAMILIES["towards a wall"].stream(8.0), 0, None, 3)
    watch = ContentChecker("rgb", ChecksConfig())
    told = []
    for now_ns, image in stream:
        cover = now_ns > 4_800_000_000  # when a seventh of the picture shows the wall
        grain = np.random.default_rng(now_ns).normal(120, 1.0, image.pixels.shape)
        shown = Image(grain.astype(np.uint8), "bgr8") if cover else image
        told.append(watch.inspect(shown, now_ns))
    assert told[-1] is not None and told[-1].kind == "blocked"


def test_the_noise_of_a_high_gain_in_the_dark_is_no_speckle() -> None:
    assert faults("high gain", 3) == []


@pytest.mark.parametrize("name", ["into the dark", "lamp goes out"])
def test_a_clean_camera_that_comes_into_the_dark_has_no_speckle(name: str) -> None:
    assert faults(name, 40) == []


def inspect(modality: str, pixels: Pixels) -> Fault | None:
    return ContentChecker(modality, ChecksConfig()).inspect(Image(pixels, "test"), 0)


@pytest.mark.parametrize("quality", [0, 60, 90])
def test_rows_that_hang_are_found_beside_a_flat_sky_and_through_a_codec(quality: int) -> None:
    (_, image), *_ = islice(FAMILIES["drive"].stream(1.0), 1)
    pixels = np.array(image.pixels)
    pixels[:150] = 200
    pixels[220:400] = pixels[220]
    fault = inspect("rgb", jpeg(pixels, quality) if quality else pixels)
    assert fault is not None and fault.reason.startswith("stuck_rows: ")


def test_rows_of_distances_in_whole_millimetres_hang_if_they_repeat_their_noise() -> None:
    (_, image), *_ = islice(FAMILIES["depth, simulated corridor"].stream(1.0), 1)
    noise = np.random.default_rng(1).normal(0, 4, image.pixels.shape)
    noisy = (image.pixels + noise).astype(np.uint16)
    assert inspect("depth", noisy) is None
    noisy[300:440] = noisy[300]
    fault = inspect("depth", noisy)
    assert fault is not None and fault.reason.startswith("stuck_rows: ")


def play(modality: str, encoding: str, pictures: list[Pixels]) -> list[Fault]:
    checker = ContentChecker(modality, ChecksConfig())
    told = (
        checker.inspect(Image(picture, encoding), k * 100_000_000)
        for k, picture in enumerate(pictures)
    )
    return [fault for fault in told if fault is not None]


def bars(k: int, every: int, width: int, at: int, dark: float) -> Pixels:
    """Upright bars before a bright wall, with new noise in each picture; float32."""
    seen = np.random.default_rng((k, 9)).normal(170, 1.0, (240, 640)).astype(np.float32)
    seen += np.linspace(20, -20, 240, dtype=np.float32)[:, None]
    seen[:, (np.arange(640) - at) % every < width] *= dark
    return seen


def test_upright_edges_that_creep_on_by_a_pixel_are_not_lost() -> None:
    """Pixels that are looked at here and there see them all at once, and then none of them."""
    pictures = [bars(k, 64, 8, k // 12, 0.8).astype(np.uint8) for k in range(36)]
    assert play("thermal", "mono8", pictures) == []


@pytest.mark.parametrize("modality", ["rgb", "depth"])
def test_the_thin_bars_of_a_fence_are_no_grains(modality: str) -> None:
    pictures = [bars(k, 23, 1, 3 * k, 0.4) for k in range(3)]
    if modality == "rgb":
        assert play("rgb", "bgr8", [np.dstack([p.astype(np.uint8)] * 3) for p in pictures]) == []
    else:
        assert play("depth", "16UC1", [(20 * p).astype(np.uint16) for p in pictures]) == []


@pytest.mark.parametrize("every", [8, 10, 16, 24, 40])
@pytest.mark.parametrize("at", [0, 1, 3, 7])
def test_upright_bars_are_no_noise_whatever_their_spacing(every: int, at: int) -> None:
    place = (np.arange(640) + at) % every < max(1, every // 8)
    grain = np.random.default_rng(at).normal(0, 3, (480, 640))
    picture = np.where(place, 60, 180) + grain
    fault = inspect("rgb", picture.clip(0, 255).astype(np.uint8))
    assert fault is None or not fault.reason.startswith("noise: ")
