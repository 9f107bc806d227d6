"""Damage that a stream of pictures shows: found, told by name, and never seen in a healthy one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.drives import drive, houses

from anymodal_seg_ros.config import ChecksConfig, CountsConfig
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import (
    Covered,
    Defocus,
    Fog,
    Grain,
    Hanging,
    Holes,
    InjectedFault,
    MotionBlur,
    OverExposure,
    Stripes,
    StuckLines,
    SwappedBytes,
    Torn,
    UnderExposure,
    WrongUnits,
)
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.health import sensor_health
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker

S = 1_000_000_000
HZ = 10
BEGIN = 2.0
Told = list[sensor_health.Fault | None]


def play(
    modality: str,
    *faults: InjectedFault,
    seconds: float = 4.0,
    picture: Callable[[int], Image] | None = None,
    **checks: Any,
) -> tuple[Told, ContentChecker]:
    """Play a drive to the checks of one camera, with faults."""
    checker = ContentChecker(modality, ChecksConfig(**checks))
    injector = Injector[Image](FaultTimeline(0, faults), {"one": modality})
    told: Told = []
    for number in range(round(seconds * HZ)):
        image = picture(number) if picture else drive(modality, number)
        delivery = injector.push("one", number * S // HZ, image)
        assert delivery is not None
        told.append(checker.inspect(delivery.payload, number * S // HZ))
    return told, checker


def lasting(told: Told) -> list[sensor_health.Fault]:
    return [fault for fault in told if fault is not None and fault.lasting]


@pytest.mark.parametrize("modality", ["rgb", "thermal", "depth"])
@pytest.mark.parametrize("speed", [0, 1, 9])
def test_a_healthy_camera_standing_or_driving_is_never_blamed(modality: str, speed: int) -> None:
    told, _ = play(modality, seconds=6.0, picture=lambda k: drive(modality, k, speed))
    assert told == [None] * 60


@pytest.mark.parametrize("modality", ["rgb", "thermal", "depth"])
@pytest.mark.parametrize("speed", [1, 2, 9])
def test_a_robot_that_comes_to_a_halt_has_no_frozen_camera(modality: str, speed: int) -> None:
    def halting(k: int) -> Image:
        grain = np.random.default_rng((k, 5)).normal(0, 2.0, (240, 320))
        still = drive(modality, min(k, 25), speed, noise=0.0).pixels.astype(np.float64)
        noisy = still + (grain[..., None] if still.ndim == 3 else 3 * grain)
        like = drive(modality, 0)
        return Image(
            np.clip(noisy, 0, 65535 if still.ndim == 2 else 255).astype(like.pixels.dtype),
            like.encoding,
        )

    told, _ = play(modality, seconds=6.0, picture=halting)
    assert told == [None] * 60


def test_a_camera_that_smooths_its_noise_away_may_stop_by_and_by() -> None:
    stops = [0, 12, 24, 36, 48, 60, 71, 81, 90, 98, 105, 111, 116, 120, 123, 125, 126]

    def smooth(k: int) -> Image:
        place = stops[min(k, len(stops) - 1)]
        image = drive("rgb", place, 1, noise=0.0).pixels.copy()
        image[0, k % 300] = 255 - image[0, k % 300]  # else it is the same picture again
        return Image(image, "rgb8")

    told, _ = play("rgb", seconds=5.0, picture=smooth)
    assert lasting(told) == []


@pytest.mark.parametrize("modality", ["rgb", "thermal", "depth"])
@pytest.mark.parametrize("how", ["two_buffers", "four_buffers", "clock"])
def test_streams_that_hang_without_being_equal_are_frozen(modality: str, how: str) -> None:
    told, _ = play(modality, Hanging("one", BEGIN, how=how), frozen_after_s=0.5)
    faults = lasting(told)
    assert {fault.state for fault in faults} == {SensorState.FROZEN}
    assert lasting(told[: round((BEGIN + 0.4) * HZ)]) == []
    assert len(faults) >= 10


@pytest.mark.parametrize("how", ["noise", "recompressed"])
def test_a_standing_camera_that_shows_one_picture_anew_is_frozen(how: str) -> None:
    def standing(k: int) -> Image:
        return drive("rgb", k, speed=0, noise=3.0)

    told, _ = play("rgb", Hanging("one", BEGIN, how=how), picture=standing)
    assert lasting(told[: round((BEGIN + 0.4) * HZ)]) == []
    assert told[round((BEGIN + 1.0) * HZ)] is not None, "within a second"
    assert {fault.state for fault in lasting(told)} == {SensorState.FROZEN}


def test_a_camera_that_hung_while_it_stood_lives_again_when_its_noise_is_new() -> None:
    hangs = Hanging("one", BEGIN, 4.0, how="recompressed")
    told, _ = play("rgb", hangs, seconds=6.0, picture=lambda k: drive("rgb", k, 0, noise=3.0))
    assert lasting(told[30:40]) != []
    assert told[-15:] == [None] * 15


def test_a_lamp_that_goes_on_leaves_less_noise_and_freezes_nobody() -> None:
    def lit(k: int) -> Image:
        dark = drive("rgb", k, speed=0, noise=6.0).pixels.astype(np.float64) * 0.6
        light = drive("rgb", k, speed=0, noise=1.0).pixels
        return Image(light if k >= 25 else dark.astype(np.uint8), "rgb8")

    told, _ = play("rgb", seconds=6.0, picture=lit)
    assert lasting(told) == []


def test_in_a_flat_picture_noise_is_known_by_its_being_white() -> None:
    def fog(k: int) -> Image:
        seen = drive("rgb", k, noise=0.0).pixels.astype(np.float64)
        grain = np.random.default_rng((k, 6)).normal(0, 2.5, seen.shape[:2])
        return Image((120 + 0.1 * seen + grain[..., None]).astype(np.uint8), "rgb8")

    told, _ = play("rgb", Hanging("one", BEGIN, how="clock"), picture=fog)
    assert {fault.state for fault in lasting(told)} == {SensorState.FROZEN}


def test_noise_of_one_count_is_less_than_a_cameras_own() -> None:
    told, _ = play(
        "rgb", Hanging("one", BEGIN, how="noise"), picture=lambda k: drive("rgb", k, noise=3.0)
    )
    assert lasting(told)[-1].state is SensorState.FROZEN


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
@pytest.mark.parametrize(
    "fault",
    [
        Hanging("one", BEGIN, how="half"),
        Covered("one", BEGIN, how="black", severity=0.5),
        Covered("one", BEGIN, how="grey", severity=0.5),
        Covered("one", BEGIN, how="mud", severity=0.4),
    ],
    ids=lambda fault: f"{fault.kind} {fault.how}",
)
def test_a_dead_part_degrades_a_camera_and_is_told_where(
    modality: str, fault: InjectedFault
) -> None:
    told, checker = play(modality, fault, stuck_rows=False)
    degraded = lasting(told)
    assert {f.state for f in degraded} == {SensorState.DEGRADED}
    assert not any(f.withhold for f in degraded)
    assert told[: round(BEGIN * HZ)] == [None] * 20
    assert told[round((BEGIN + 1.0) * HZ)] is not None, "within a second"
    assert checker.bad_region is not None
    assert checker.bad_region.shape == (12, 16)
    assert 0.15 < checker.bad_region.mean() < 0.6
    if fault.kind == "hanging":
        assert checker.bad_region[:5].mean() > 0.9 and not checker.bad_region[7:].any()


def test_dirt_is_told_though_hardly_anything_moves_in_the_little_that_is_left() -> None:
    """All of the picture seems dead now and then: that does not begin the patience anew."""

    def dirty(k: int) -> Image:
        pixels = drive("rgb", k, speed=0, noise=1.2).pixels.copy()
        if k >= 20:
            pixels[:, 60:] = 90
            pixels[:, :60] += 20 * (k % 3 == 0)
        return Image(pixels, "rgb8")

    told, _ = play("rgb", picture=dirty, stuck_rows=False)
    assert told[:20] == [None] * 20
    assert "covered" in {fault.kind for fault in told[20:32] if fault is not None}


def test_what_recovers_is_healthy_again() -> None:
    told, checker = play("rgb", Covered("one", BEGIN, 3.5, severity=0.5), seconds=6.0)
    assert told[30] is not None
    assert told[-10:] == [None] * 10
    assert checker.bad_region is None


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (StuckLines("one", BEGIN, how="columns", severity=0.25), "stuck_rows"),
        (Torn("one", BEGIN, severity=0.5), "torn"),
        (Stripes("one", BEGIN, how="rows", severity=0.3), "stripes"),
        (Grain("one", BEGIN, how="salt", severity=0.2), "speckle"),
        (UnderExposure("one", BEGIN, severity=1.0), "speckle"),
    ],
)
def test_broken_read_outs_are_told_by_name(modality: str, fault: InjectedFault, name: str) -> None:
    told, checker = play(modality, fault)
    assert told[round((BEGIN + 1.0) * HZ)] is not None
    failed = {result.name for result in checker.results if not result.passed}
    assert name in failed
    assert {f.state for f in lasting(told)} == {SensorState.INVALID}


@pytest.mark.parametrize("severity", [0.25, 1.0])
def test_a_lens_out_of_focus_degrades_a_camera(severity: float) -> None:
    told, _ = play("rgb", Defocus("one", BEGIN, severity=severity))
    assert {f.state for f in lasting(told)} == {SensorState.DEGRADED}
    assert told[round((BEGIN + 1.2) * HZ)] is not None


def test_a_camera_that_is_soft_from_the_start_is_like_that() -> None:
    def soft(k: int) -> Image:
        return Image(cv2.GaussianBlur(drive("rgb", k, noise=0).pixels, (0, 0), 3.0), "rgb8")

    told, _ = play("rgb", picture=soft)
    assert lasting(told) == []


def test_motion_of_a_moment_blurs_one_direction_and_is_no_fault() -> None:
    def turning(k: int) -> Image:
        image = drive("rgb", k)
        return Image(cv2.blur(image.pixels, (25, 1)), "rgb8") if 20 <= k < 24 else image

    told, _ = play("rgb", picture=turning)
    assert lasting(told) == []


def wide(k: int, at_px: int = 0, smear_px: int = 1) -> Image:
    """A camera of 640 x 480 before houses and poles, noise anew in each picture."""
    seen = houses(3, 480, 2400, 400, (15, 120))[:, 100 + at_px : 740 + at_px]
    if smear_px > 1:
        seen = cv2.blur(seen, (smear_px, 1))
    grain = np.random.default_rng((k, 8)).normal(0, 1.5, seen.shape)
    grey = np.clip(np.rint(seen + grain), 0, 255).astype(np.uint8)
    return Image(np.dstack([grey] * 3), "bgr8")


@pytest.mark.parametrize("fault", [MotionBlur("one", BEGIN, severity=0.5), None])
def test_edges_that_are_smeared_where_they_are_degrade_a_camera(
    fault: InjectedFault | None,
) -> None:
    """Whether the lens vibrates before the noise of the read-out comes, or all is blurred."""
    faults = () if fault is None else (fault,)
    told, checker = play(
        "rgb",
        *faults,
        picture=lambda k: wide(k, 0, 31 if fault is None and k >= round(BEGIN * HZ) else 1),
    )
    assert told[: round(BEGIN * HZ)] == [None] * 20
    found = told[round((BEGIN + 0.7) * HZ)]
    assert found is not None and found.state is SensorState.DEGRADED and not found.withhold
    assert found.kind in ("lost", "soft")
    assert checker.bad_region is not None and checker.bad_region.mean() > 0.5


@pytest.mark.parametrize("speed", [20, 40])
def test_a_robot_that_turns_in_poor_light_smears_its_pictures_and_is_not_blamed(speed: int) -> None:
    def turning(k: int) -> Image:
        return wide(k, max(0, k - 20) * speed, 1 if k <= 20 else speed * 3 // 4)

    told, _ = play("rgb", picture=turning, soft=False)
    assert told == [None] * 40


def test_a_bump_that_smears_two_pictures_is_no_fault() -> None:
    told, _ = play("rgb", picture=lambda k: wide(k, 0, 31 if k in (20, 21, 30, 31) else 1))
    assert told == [None] * 40


@pytest.mark.parametrize("modality", ["thermal", "depth"])
def test_swapped_bytes_are_told_as_such(modality: str) -> None:
    told, checker = play(modality, SwappedBytes("one", BEGIN))
    assert told[25] is not None
    assert "byte_order" in {result.name for result in checker.results if not result.passed}


def test_metres_that_are_taken_for_millimetres_are_told_unless_the_unit_is_configured() -> None:
    told, _ = play("depth", WrongUnits("one", BEGIN))
    assert told[-1] is not None
    assert told[-1].reason.startswith("units: median distance in m is 0.00")
    metres = Image(drive("depth", 0).pixels // 1000 + 1, "16UC1")
    checker = ContentChecker("depth", ChecksConfig(), counts=CountsConfig(per_count=0.001))
    fault = checker.inspect(metres, 0)
    assert fault is None or not fault.reason.startswith("units")


def test_a_depth_camera_that_goes_blind_on_one_side_is_degraded() -> None:
    told, checker = play("depth", Holes("one", BEGIN, how="side", severity=0.4))
    faults = lasting(told)
    assert {f.state for f in faults} == {SensorState.DEGRADED}
    assert faults[-1].reason.startswith("lost: ")
    assert checker.bad_region is not None and checker.bad_region[:, :5].all()


@pytest.mark.parametrize(
    "fault",
    [
        Covered("one", BEGIN, how="hand", severity=0.5),
        Covered("one", BEGIN, how="mud", severity=0.5),
        Covered("one", BEGIN, how="mud", severity=0.85),
        Covered("one", BEGIN, how="black", severity=0.5),
    ],
    ids=lambda fault: f"{fault.how} {fault.severity}",
)
def test_depth_that_vanishes_at_once_is_told_where_half_had_none_before(
    fault: InjectedFault,
) -> None:
    def under_a_sky(k: int) -> Image:
        depth = drive("depth", k).pixels.copy()
        depth[:90] = 0
        return Image(depth, "16UC1")

    told, checker = play("depth", fault, picture=under_a_sky)
    assert told[: round(BEGIN * HZ)] == [None] * 20
    assert told[round((BEGIN + 1.0) * HZ)] is not None, "within a second"
    assert lasting(told)[-1].reason.startswith("lost: ")
    assert checker.bad_region is not None and not checker.bad_region[:4].any()


def test_a_wall_that_comes_too_near_to_be_measured_is_no_damage() -> None:
    def docking(k: int) -> Image:
        depth = drive("depth", k, speed=0).pixels.copy()
        depth[:, 160:] = np.random.default_rng(k).normal(1000 - 30 * k, 4, (240, 160))
        depth[depth < 300] = 0
        return Image(depth, "16UC1")

    told, _ = play("depth", picture=docking)
    assert lasting(told) == []


def test_a_projected_scan_that_falls_on_other_pixels_each_time_loses_nothing() -> None:
    def sparse(k: int) -> Image:
        image = drive("depth", k).pixels.copy()
        image[np.random.default_rng(k).random(image.shape) < 0.7] = 0
        return Image(image, "16UC1")

    assert lasting(play("depth", picture=sparse)[0]) == []


@pytest.mark.parametrize("how", ["rows", "columns"])
@pytest.mark.parametrize("metres", [False, True])
def test_stuck_lines_of_depth_repeat_their_noise(how: str, metres: bool) -> None:
    def depth(k: int) -> Image:
        counts = drive("depth", k).pixels
        return (
            Image((counts / 1000).astype(np.float32), "32FC1") if metres else Image(counts, "16UC1")
        )

    told, checker = play("depth", StuckLines("one", BEGIN, how=how, severity=0.25), picture=depth)
    assert told[: round(BEGIN * HZ)] == [None] * 20
    assert told[round((BEGIN + 1.0) * HZ)] is not None
    assert "stuck_rows" in {result.name for result in checker.results if not result.passed}


@pytest.mark.parametrize("metres", [False, True])
def test_walls_of_a_simulator_without_noise_are_no_stuck_lines(metres: bool) -> None:
    def corridor(k: int) -> Image:
        across = np.abs(np.linspace(-1, 1, 320)) + 1e-3
        walls = np.tile(np.minimum(1.5 / across, 6.0 - 0.01 * k), (240, 1))
        if metres:
            return Image(walls.astype(np.float32), "32FC1")
        return Image((1000 * walls).astype(np.uint16), "16UC1")

    told, _ = play("depth", picture=corridor, frozen=False)
    assert lasting(told) == []


def test_grains_in_depth_degrade_the_sensor() -> None:
    told, checker = play("depth", Grain("one", BEGIN, how="salt", severity=0.1))
    assert told[round((BEGIN + 1.0) * HZ)] is not None
    assert {f.state for f in lasting(told)} == {SensorState.DEGRADED}
    assert "speckle" in {result.name for result in checker.results if not result.passed}


def test_rows_out_of_place_are_found_under_noise() -> None:
    def noisy(k: int) -> Image:
        return drive("rgb", k, noise=14.0)

    told, _ = play("rgb", Torn("one", BEGIN, severity=0.5), picture=noisy)
    assert told[: round(BEGIN * HZ)] == [None] * 20
    assert {f.reason.split(":")[0] for f in lasting(told)} == {"torn"}


@pytest.mark.parametrize("bits", [8, 16])
def test_a_veil_over_a_thermal_picture_degrades_it_and_something_hot_does_not(bits: int) -> None:
    def shown(k: int) -> Image:
        counts = drive("thermal", k)
        if bits == 16:
            return counts
        return Image(((counts.pixels - 29_000.0) / 7).clip(0, 255).astype(np.uint8), "mono8")

    told, _ = play("thermal", Fog("one", BEGIN, severity=0.9), picture=shown)
    assert told[round((BEGIN + 1.0) * HZ)] is not None
    assert {f.state for f in lasting(told[: round((BEGIN + 1.4) * HZ)])} == {SensorState.DEGRADED}
    assert lasting(told)[0].reason.startswith("lost: ")

    def with_a_flame(k: int) -> Image:
        seen = shown(k).pixels.astype(np.float64)
        if k >= 20:
            top = 255.0 if bits == 8 else 60_000.0
            seen = (seen - seen.min()) * 0.1 + (0.0 if bits == 8 else 28_000.0)
            seen[100:103, 200:203] = top
        return Image(seen.astype(np.uint8 if bits == 8 else np.uint16), shown(k).encoding)

    told, _ = play("thermal", picture=with_a_flame)
    assert not any(f.reason.startswith("lost") for f in lasting(told))


def test_sixteen_bits_that_are_clipped_below_their_end_are_glare() -> None:
    told, _ = play("thermal", OverExposure("one", BEGIN, severity=1.0))
    assert told[: round(BEGIN * HZ)] == [None] * 20
    assert {f.reason.split(":")[0] for f in lasting(told)} <= {"glare", "saturated"}
    assert told[round((BEGIN + 1.0) * HZ)] is not None


def test_holes_here_and_there_degrade_a_depth_camera_that_had_none() -> None:
    told, _ = play("depth", Holes("one", BEGIN, how="scattered", severity=0.5))
    assert {f.state for f in lasting(told)} == {SensorState.DEGRADED}

    def sparse(k: int) -> Image:
        image = drive("depth", k).pixels.copy()
        image[np.random.default_rng(k).random(image.shape) < 0.9] = 0
        return Image(image, "16UC1")

    told, _ = play("depth", picture=sparse)
    assert lasting(told) == [], "as of a LiDAR that is projected"


def test_the_checks_that_take_long_take_turns() -> None:
    checker = ContentChecker("rgb", ChecksConfig())
    figures = []
    for number in range(30):
        checker.inspect(drive("rgb", number), number * S // 30)
        figures.append(
            tuple(r.figure for r in checker.results if r.name in ("speckle", "torn", "stripes"))
        )
    assert not any(np.isnan(figures[0])), "all of them in the first image"
    changes = sum(a != b for a, b in pairwise(figures))
    assert 0 < changes < 15
