from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fixtures.lidar_streams import LIDARS

from anymodal_seg_ros.config import ChecksConfig
from anymodal_seg_ros.faults.image_faults import apply_image_fault
from anymodal_seg_ros.faults.kinds import BrokenScan
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD
from anymodal_seg_ros.sensing.health.content_checks import ContentChecker

S = 1_000_000_000


def scan(number: int, beside_m: float = 6.0) -> Image:
    """What a LiDAR with eight rings sees between two walls, empty returns included."""
    dice = np.random.default_rng(number)
    azimuth = np.tile(np.linspace(-np.pi, np.pi, 600, endpoint=False), 8)
    elevation = np.repeat(np.deg2rad(np.linspace(-15, 10, 8)), 600)
    ground = np.where(elevation < 0, 1.8 / np.maximum(-np.sin(elevation), 1e-3), 1e9)
    ranges = np.minimum(beside_m / np.maximum(np.abs(np.sin(azimuth)), 1e-3), ground)
    ranges = np.where(ranges > 80, 0.0, ranges + dice.normal(0, 0.02, ranges.shape))
    points: Any = np.zeros((1, ranges.size), [(axis, np.float32) for axis in "xyz"])
    points["x"] = ranges * np.cos(elevation) * np.cos(azimuth)
    points["y"] = ranges * np.cos(elevation) * np.sin(azimuth)
    points["z"] = ranges * np.sin(elevation)
    return Image(points, POINT_CLOUD)


@pytest.mark.parametrize(
    ("how", "name", "state"),
    [
        ("random_points", "scrambled", SensorState.INVALID),
        ("random_bytes", "implausible", SensorState.INVALID),
        ("missing", "missing", SensorState.DEGRADED),
        ("blocked", "close", SensorState.INVALID),
    ],
)
def test_what_is_no_scan_is_told_by_name(how: str, name: str, state: SensorState) -> None:
    checker, dice = ContentChecker("lidar", ChecksConfig()), np.random.default_rng(0)
    for number in range(15):
        assert checker.inspect(scan(number, 6.0 + number / 5), number * S // 10) is None
    fault = None
    for number in range(15, 20):
        broken = apply_image_fault(BrokenScan("x", how=how, severity=0.7), scan(number), dice)
        fault = checker.inspect(broken, number * S // 10)
    assert fault is not None
    assert fault.state is state
    assert fault.reason.startswith(f"{name}: ")
    for number in range(20, 24):
        fault = checker.inspect(scan(number), number * S // 10)
    assert fault is None


def test_random_bytes_in_the_place_of_some_points_are_told() -> None:
    """Of such numbers many are so large that their squares are infinite: they are no silence."""
    checker, dice = ContentChecker("lidar", ChecksConfig()), np.random.default_rng(0)
    told = []
    for number in range(20):
        points = scan(number).pixels.copy()
        if number >= 15:
            some = dice.uniform(size=points.shape) < 0.3
            random = dice.integers(0, 256, points.nbytes, np.uint8).tobytes()
            points[some] = np.frombuffer(random, points.dtype).reshape(points.shape)[some]
        told.append(checker.inspect(Image(points, POINT_CLOUD), number * S // 10))
    assert told[:15] == [None] * 15
    assert told[15] is not None and told[15].kind == "implausible"


def at(ranges: Any, image: Image) -> Image:
    """Return the points of a scan at other ranges, in their directions."""
    points = image.pixels.copy()
    had = np.sqrt(sum(points[axis] ** 2 for axis in "xyz"))
    for axis in "xyz":
        points[axis] *= ranges / np.maximum(had, 1e-6)
    return Image(points, POINT_CLOUD)


def told_from_15_on(broken: Callable[[int], Image]) -> set[tuple[str, SensorState]]:
    """Play 15 sound scans and 8 others, and return what is told of those."""
    checker = ContentChecker("lidar", ChecksConfig())
    told = [checker.inspect(scan(n) if n < 15 else broken(n), n * S // 10) for n in range(23)]
    assert told[:15] == [None] * 15
    return {(fault.kind, fault.state) for fault in told[15:] if fault is not None}


def test_a_third_of_the_points_at_random_ranges_is_told() -> None:
    def scattered(number: int) -> Image:
        dice, image = np.random.default_rng(number), scan(number)
        had = np.sqrt(sum(image.pixels[axis] ** 2 for axis in "xyz"))
        some = dice.uniform(size=had.shape) < 0.3
        return at(np.where(some & (had > 0), dice.uniform(1, 60, had.shape), had), image)

    assert {kind for kind, _ in told_from_15_on(scattered)} == {"scattered"}


def test_one_distance_all_around_is_told() -> None:
    assert "even" in {kind for kind, _ in told_from_15_on(lambda number: at(10.0, scan(number)))}


def test_a_wall_that_fills_a_narrow_field_of_view_is_as_even_and_sound() -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    for number in range(15):
        image = scan(number)
        ahead = image.pixels["x"] > 2 * np.abs(image.pixels["y"])
        seen = Image(image.pixels[ahead][None], POINT_CLOUD)
        assert checker.inspect(at(5.0, seen), number * S // 10) is None


def test_a_quarter_of_the_directions_that_empties_at_once_is_missing() -> None:
    def blocked(number: int) -> Image:
        image = scan(number)
        aside = image.pixels["y"] > np.abs(image.pixels["x"])
        for axis in "xyz":
            image.pixels[axis][aside] = 0
        return image

    assert told_from_15_on(blocked) == {("missing", SensorState.DEGRADED)}


def test_points_in_any_order_are_healthy_where_they_always_come_like_that() -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    for number in range(30):
        image = scan(number)
        order = np.random.default_rng(number).permutation(image.pixels.size)
        shuffled = Image(image.pixels.reshape(-1)[order][None], POINT_CLOUD)
        assert checker.inspect(shuffled, number * S // 10) is None


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_where_nothing_comes_back_there_may_be_any_number_that_is_none(nothing: float) -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    for number in range(15):
        image = scan(number)
        empty = (image.pixels["x"] == 0) | (np.arange(image.pixels.size) % 3 == 0)
        assert empty.mean() > 0.3
        for axis in "xyz":
            image.pixels[axis][empty] = nothing
        assert checker.inspect(image, number * S // 10) is None


@pytest.mark.parametrize("counts_per_m", [100, 1000])
def test_coordinates_in_another_unit_are_told_as_such(counts_per_m: int) -> None:
    """Whose ranges lie beyond all that the model knows: it would see an empty world."""
    checker = ContentChecker("lidar", ChecksConfig())
    for number in range(15):
        image = scan(number)
        for axis in "xyz":
            image.pixels[axis] *= counts_per_m
        told = checker.inspect(image, number * S // 10)
        assert told is not None
        assert (told.kind, told.state) == ("units", SensorState.INVALID)
        assert "taken as metres, which its driver has to send" in told.reason


OF_A_SCAN = {"implausible", "units", "close", "scrambled", "missing"}


def judged(dtype: Any) -> set[str]:
    """What of a scan is looked at in points of which nothing is right."""
    checker = ContentChecker("lidar", ChecksConfig())
    for number in range(3):
        points = np.zeros((2, 500), dtype)
        points["x"] = np.random.default_rng(number).uniform(5000, 9000, points.shape)
        checker.inspect(Image(points, POINT_CLOUD), number * S // 10)
    return {check.name for check in checker.results} & OF_A_SCAN


def test_clouds_without_places_are_not_judged() -> None:
    assert not judged([("x", "f4"), ("y", "f4")])


def test_places_may_be_numbers_of_any_kind() -> None:
    assert "units" in judged([("x", "f4"), ("y", "f8"), ("z", "i2")])


ALL_ROUND = np.linspace(-np.pi, np.pi, 600, endpoint=False)
RINGS = np.deg2rad(np.linspace(-15, 10, 8))


def cloud(ranges: Any, number: int, turned: float = 0.0, *, firings: bool = False) -> Image:
    """Points of ``[8, 600]`` ranges around a LiDAR; rays without a return are left out."""
    ranges = ranges + np.random.default_rng(number).normal(0, 0.02, (8, 600))
    azimuth, elevation = np.broadcast_arrays(ALL_ROUND[None], RINGS[:, None])
    points: Any = np.zeros(ranges.shape, [(axis, np.float32) for axis in "xyz"])
    ranges = np.where(ranges < 80, ranges, np.nan)
    points["x"] = ranges * np.cos(elevation) * np.cos(azimuth - turned)
    points["y"] = ranges * np.cos(elevation) * np.sin(azimuth - turned)
    points["z"] = ranges * np.sin(elevation)
    points = points.T if firings else points
    seen = np.isfinite(points["x"])
    return Image(points[seen][None], POINT_CLOUD)


def between(left_m: float, right_m: float, ground_m: float = 1.8) -> Any:
    """Ranges to the ground and to a wall on either side."""
    ground = np.where(RINGS < 0, ground_m / np.maximum(-np.sin(RINGS), 1e-3), 1e9)[:, None]
    side = np.sin(ALL_ROUND)[None]
    walls = np.where(side > 0, left_m, right_m) / np.maximum(np.abs(side), 1e-3)
    return np.minimum(walls, ground)


def test_a_robot_that_turns_beside_a_lake_has_lost_no_directions() -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    shore = np.where(np.sin(ALL_ROUND)[None] > -0.1, between(7.0, 1e9), 1e9)
    for number in range(60):
        turned = max(0.0, number - 20) * 0.15
        assert checker.inspect(cloud(shore, number, turned), number * S // 10) is None, number


@pytest.mark.parametrize("firings", [False, True])
def test_a_robot_that_leaves_a_tunnel_has_a_sound_lidar(firings: bool) -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    for number in range(50):
        wall_m = 2.5 if number < 25 else min(1e9, 2.5 * 1.6 ** (number - 25))
        image = cloud(between(wall_m, wall_m), number, firings=firings)
        assert checker.inspect(image, number * S // 10) is None, number


@pytest.mark.parametrize("lost", ["packets", "rings", "a wet cloth"])
def test_half_of_the_returns_that_go_at_once_are_missing(lost: str) -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    for number in range(40):
        ranges = between(6.0, 6.0)
        if 15 <= number < 30:
            if lost == "packets":
                ranges[:, np.arange(600) // 10 % 2 == 0] = np.nan
            elif lost == "rings":
                ranges[::2] = np.nan
            else:
                ranges[:, :260] = 0.2
        fault = checker.inspect(cloud(ranges, number), number * S // 10)
        assert (fault is not None) == (17 <= number < 30), number
        assert fault is None or (fault.kind == "missing" and fault.state is SensorState.DEGRADED)


def faults(name: str, begin_s: float, end_s: float) -> list[str]:
    """Return what is told of a sound LiDAR between two moments, but for what does not last."""
    family = LIDARS[name]
    checker, told = ContentChecker(family.modality, ChecksConfig()), []
    for now_ns, image in family.stream(end_s):
        if now_ns < begin_s * S:
            continue
        fault = checker.inspect(image, now_ns)
        if fault is not None and fault.lasting:
            told.append(f"{now_ns / S:.2f} s {fault.reason}")
    return told


@pytest.mark.parametrize(
    "name",
    [
        "16 rings, docks",
        "16 rings from 0.9 m, docks fast",
        "solid state, docks",
        "solid state from 0.9 m, docks",
        "one line of 270°, docks",
        "16 rings, 3 parts, docks",
        "robot in view, 12 parts, docks",
    ],
)
def test_a_robot_that_docks_has_a_sound_lidar(name: str) -> None:
    assert faults(name, 3.0, 6.5) == []


@pytest.mark.parametrize("name", ["solid state, docked", "one line, robot in view, docked"])
def test_so_has_one_that_was_in_its_dock_from_the_start(name: str) -> None:
    assert faults(name, 0.0, 3.0) == []


@pytest.mark.parametrize("name", [name for name in LIDARS if name.endswith("parts")])
def test_parts_of_a_turn_are_no_turns_that_lose_what_they_see(name: str) -> None:
    assert faults(name, 0.0, 2.5) == []


def covered(name: str, how: str) -> list[str]:
    """Return what is told within a second of a cover that comes at 2 s, and not before it."""
    family, dice = LIDARS[name], np.random.default_rng(0)
    checker, told = ContentChecker(family.modality, ChecksConfig()), []
    for now_ns, image in family.stream(3.0):
        if now_ns >= 2 * S:
            image = _behind(how, image, dice)
        fault = checker.inspect(image, now_ns)
        if fault is not None and fault.lasting:
            assert now_ns >= 2 * S
            told.append(fault.kind)
    return told


def _behind(how: str, image: Image, dice: np.random.Generator) -> Image:
    points = image.pixels.reshape(-1).copy()
    ranges = np.sqrt(sum(points[axis] ** 2 for axis in "xyz"))
    if how == "a hand":
        for axis in "xyz":
            points[axis] *= 0.3 / np.maximum(ranges, 1e-3)
    elif how == "a cloth":
        points = points[np.arctan2(points["y"], points["x"]) > 0]
    else:
        points = points[:0]
    return Image(points[None], POINT_CLOUD)


@pytest.mark.parametrize("name", ["16 rings, wanders", "16 rings, 4 parts", "one line, wanders"])
@pytest.mark.parametrize(
    ("how", "told"), [("a hand", "close"), ("a cloth", "missing"), ("a box", "no_depth")]
)
def test_what_covers_a_lidar_is_found(name: str, how: str, told: str) -> None:
    assert told in covered(name, how)


def test_a_cover_that_touches_the_sensor_is_found_from_the_start() -> None:
    checker = ContentChecker("lidar", ChecksConfig())
    fault = checker.inspect(cloud(np.full((8, 600), 0.12), 0), 0)
    assert fault is not None and fault.kind == "close"
