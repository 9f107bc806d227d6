from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.clouds import cloud_message
from fixtures.scenes import ENCODINGS, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from anymodal_seg_ros.config import ChecksConfig, CountsConfig
from anymodal_seg_ros.frames import Image, SensorState
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD, decode_cloud
from anymodal_seg_ros.sensing.health.content_checks import KINDS, ContentChecker
from anymodal_seg_ros.sensing.health.sensor_health import Fault

S = 1_000_000_000
FRAME = S // 30
SIZE = (240, 320)
DICE = np.random.default_rng(0)


def image(modality: str, seed: int = 0) -> Image:
    return Image(scene(modality, seed, *SIZE), ENCODINGS[modality])


def checker(modality: str, **changes: Any) -> ContentChecker:
    return ContentChecker(modality, ChecksConfig(**changes))


def inspect(modality: str, pixels: np.ndarray[Any, Any], **changes: Any) -> Fault | None:
    return checker(modality, **changes).inspect(Image(pixels, "test"), 0)


def flat(modality: str, value: float) -> np.ndarray[Any, Any]:
    """Return an image of one value with a sensor's noise of one count."""
    like = scene(modality, 0, *SIZE)
    return (value + DICE.integers(0, 2, like.shape)).astype(like.dtype)


def with_stuck_rows(modality: str) -> np.ndarray[Any, Any]:
    pixels = scene(modality, 0, *SIZE)
    pixels[120:200] = pixels[120]
    return pixels


def with_stuck_columns(modality: str) -> np.ndarray[Any, Any]:
    pixels = scene(modality, 0, *SIZE)
    pixels[:, 120:200] = pixels[:, 120:121]
    return pixels


def noise_between(low: int, high: int) -> np.ndarray[Any, Any]:
    return DICE.integers(low, high, SIZE).astype(np.uint16)


def noisy(modality: str) -> np.ndarray[Any, Any]:
    like = scene(modality, 0, *SIZE)
    return np.frombuffer(DICE.bytes(like.nbytes), like.dtype).reshape(like.shape)


@pytest.mark.parametrize("modality", sorted(ENCODINGS))
def test_a_healthy_scene_passes_every_check(modality: str) -> None:
    watch = checker(modality)
    for k in range(10):
        assert watch.inspect(image(modality, k), k * FRAME) is None
    names = [r.name for r in watch.results]
    parts = ["covered", "lost"] if KINDS[modality].parts else []
    checks = [check.name for check, _ in KINDS[modality].checks]
    soft = ["soft"] if KINDS[modality].parts in ("pictures", "heat") else []
    assert names == ["format", *checks, "frozen", *soft, *parts]
    assert all(result.passed for result in watch.results)


@pytest.mark.parametrize(
    ("modality", "pixels", "name"),
    [
        ("rgb", flat("rgb", 2), "black"),
        ("rgb", flat("rgb", 254), "saturated"),
        ("rgb", flat("rgb", 90), "blocked"),
        ("rgb", with_stuck_rows("rgb"), "stuck_rows"),
        ("rgb", with_stuck_columns("rgb"), "stuck_rows"),
        ("rgb", noisy("rgb"), "noise"),
        ("thermal", np.zeros(SIZE, np.uint16), "black"),
        ("thermal", flat("thermal", 30_000), "blocked"),
        ("thermal", flat("thermal", 65_500 - 2), "saturated"),
        ("thermal", with_stuck_rows("thermal"), "stuck_rows"),
        ("thermal", with_stuck_columns("thermal"), "stuck_rows"),
        ("thermal", noisy("thermal"), "noise"),
        ("thermal", noise_between(28_000, 31_000), "noise"),
        ("thermal", noise_between(29_000, 29_300), "noise"),
        ("thermal", noise_between(0, 16_384), "noise"),
        ("depth", np.zeros(SIZE, np.uint16), "no_depth"),
        ("depth", np.full(SIZE, 65_535, np.uint16), "no_depth"),
        ("depth", np.zeros(SIZE, np.float32), "no_depth"),
        ("depth", np.full(SIZE, np.nan, np.float32), "no_depth"),
        ("depth", np.full(SIZE, np.inf, np.float32), "no_depth"),
        ("depth", noisy("depth"), "noise"),
        ("depth", noisy("thermal"), "noise"),
        ("event", noisy("event"), "saturated"),
    ],
)
def test_each_fault_is_found_and_can_be_switched_off(
    modality: str, pixels: np.ndarray[Any, Any], name: str
) -> None:
    fault = inspect(modality, pixels)
    assert fault is not None
    assert fault.state is SensorState.INVALID
    assert fault.reason.startswith(f"{name}: ")
    others = {c.name: False for c, _ in KINDS[modality].checks if c.name != name}
    alone = checker(modality, **others, frozen=False, format=False, soft=False, covered=False)
    alone.inspect(Image(pixels, "test"), 0)
    assert {(r.name, r.passed) for r in alone.results} == {(name, False)}
    switches = {c.name: False for c, _ in KINDS[modality].checks}
    assert inspect(modality, pixels, **switches) is None


def test_what_is_healthy_for_one_kind_is_not_looked_for() -> None:
    assert inspect("event", np.zeros((*SIZE, 3), np.uint8)) is None, "a still scene"
    wall = np.full(SIZE, 2.0, np.float32)
    assert inspect("depth", wall) is None
    sky = scene("thermal", 0, *SIZE)
    sky[:150] = sky.min()
    assert inspect("thermal", sky) is None, "rows of a clipped sky are equal and not stuck"
    few = np.zeros(SIZE, np.float32)
    few[::8, ::16] = 5.0
    assert inspect("lidar", few) is None
    assert inspect("lidar", np.zeros(SIZE, np.float32)) is not None
    assert inspect("nose", np.zeros(SIZE, np.uint8)) is None


def test_a_threshold_can_be_set() -> None:
    dim = flat("rgb", 20)
    dim[:120] //= 2
    assert inspect("rgb", dim) is None
    fault = inspect("rgb", dim, black_below=30.0)
    assert fault is not None
    assert fault.reason == "black: 99th percentile in counts is 21, expected at least 30"


def test_a_repeated_image_may_be_fused_and_is_a_fault_after_a_while() -> None:
    watch = checker("rgb", frozen_after_s=0.5)
    same = image("rgb")
    said = [watch.inspect(same, k * S // 10) for k in range(10)]
    assert said[0] is None
    faults = [fault for fault in said[1:] if fault]
    assert [fault.lasting for fault in faults] == [False] * 4 + [True] * 5
    assert [fault.withhold for fault in faults] == [False] * 4 + [True] * 5
    assert faults[0].reason == "repeat: the image of 0.10 s ago came again"
    assert {fault.state for fault in faults} == {SensorState.FROZEN}
    result = next(r for r in watch.results if r.name == "frozen")
    assert (result.figure, result.threshold, result.passed) == (0.9, 0.5, False)
    assert watch.inspect(image("rgb", 1), S) is None


def test_an_image_of_a_closed_shutter_grows_too_old_before_it_is_a_fault() -> None:
    watch, same = checker("thermal"), image("thermal")
    said = [watch.inspect(same, k * S // 10) for k in range(20)]
    assert [bool(fault and fault.withhold) for fault in said] == [False] * 5 + [True] * 15
    assert [bool(fault and fault.lasting) for fault in said] == [False] * 15 + [True] * 5
    watch = checker("thermal", frozen_after_s=3.0)
    said = [watch.inspect(same, k * S // 10) for k in range(31)]
    assert [bool(fault and fault.withhold) for fault in said] == [False] * 30 + [True], (
        "who allows repetition for longer has a camera that is as slow"
    )


def test_a_fault_and_a_repeated_image_at_once_are_a_fault() -> None:
    watch = checker("rgb")
    for k in range(2):
        fault = watch.inspect(Image(flat("rgb", 2) * 0, "rgb8"), k * FRAME)
        assert fault is not None and fault.state is SensorState.INVALID and fault.withhold


def test_one_other_pixel_anywhere_means_not_frozen() -> None:
    watch = checker("depth")
    still = np.full(SIZE, 4.0, np.float32)
    still[0, :] = np.nan
    for k in range(50):
        moving = still.copy()
        moving[101, 2 * k + 1] = 3.0
        assert watch.inspect(Image(moving, "32FC1"), k * FRAME) is None
    assert watch.inspect(Image(moving.copy(), "32FC1"), 51 * FRAME) is not None, "NaN equals NaN"


def test_a_thermal_shutter_of_a_second_is_no_fault_but_nothing_to_fuse_either() -> None:
    watch = checker("thermal")
    watch.inspect(image("thermal"), 0)
    for k in range(1, 10):
        fault = watch.inspect(Image(flat("thermal", 30_000), "mono16"), k * S // 9)
        assert fault is not None
        assert fault.withhold
        assert not fault.lasting
    fault = watch.inspect(Image(flat("thermal", 30_000), "mono16"), 2 * S)
    assert fault is not None
    assert fault.lasting


def test_a_still_scene_never_freezes_an_event_camera_but_a_stuck_picture_does() -> None:
    still, stuck = checker("event"), checker("event")
    silence, picture = np.zeros((*SIZE, 3), np.uint8), image("event").pixels
    silence[7, 9] = 255  # a hot pixel
    for k in range(100):
        assert still.inspect(Image(silence, "8UC3"), k * FRAME) is None
        fault = stuck.inspect(Image(picture, "8UC3"), k * FRAME)
    assert fault is not None
    assert fault.lasting


def test_another_size_or_encoding_is_a_fault_until_it_is_the_new_normal() -> None:
    watch = checker("rgb")
    wild = Image(scene("rgb", 0, 48, 64), "bgr8")
    watch.inspect(wild, 0)
    for k in range(1, 4):
        assert watch.inspect(image("rgb", k), k * FRAME) is None, "the first one may be wrong too"
    said = [watch.inspect(Image(scene("rgb", k, 48, 64), "bgr8"), k * FRAME) for k in range(4, 12)]
    assert [fault is None for fault in said] == [False] * 4 + [True] * 4
    assert said[3] is not None and said[3].reason == (
        "format: 64x48 bgr8, expected 320x240 rgb8 as before; "
        "accepted when it has come 5 times in a row, now 4"
    )
    fault = watch.inspect(image("rgb", 20), S)
    assert fault is not None and fault.reason.startswith("format: 320x240"), "so is the way back"
    watch.forget()
    assert watch.inspect(image("rgb", 21), 2 * S) is None


def test_sizes_that_change_from_the_first_image_on_are_a_fault_until_one_stays() -> None:
    watch, sizes = checker("rgb"), [(48, 64), (60, 80)]
    images = [Image(scene("rgb", k, *sizes[k % 2]), "rgb8") for k in range(12)]
    said = [watch.inspect(shown, k * FRAME) for k, shown in enumerate(images)]
    assert [fault is None for fault in said] == [True] * 5 + [False] * 7
    assert said[-1] is not None and said[-1].state is SensorState.INVALID
    assert said[-1].reason == (
        "format: 80x60 rgb8, 64x48 rgb8 before it; none of them comes twice in a row"
    )
    assert watch.inspect(Image(scene("rgb", 12, *sizes[1]), "rgb8"), 12 * FRAME) is None


def test_two_sizes_in_turn_are_never_normal() -> None:
    watch = checker("rgb")
    sizes = [(48, 64), (60, 80)]
    said = [
        watch.inspect(Image(scene("rgb", k, *sizes[k > 2 and k % 2]), "rgb8"), k * FRAME)
        for k in range(40)
    ]
    assert sum(fault is not None for fault in said[3:]) == 19


def scan(number: int, seed: int, **columns: Any) -> Image:
    xyz = np.random.default_rng(seed).uniform(-20, 20, (3, number)).astype(np.float32)
    points = {**dict(zip("xyz", xyz, strict=True)), **columns}
    return Image(decode_cloud(cloud_message(points)), POINT_CLOUD)


def test_scans_may_have_any_number_of_points_but_must_have_some_and_not_repeat() -> None:
    check = checker("lidar")
    for k, number in enumerate((100, 120, 90, 1)):
        assert check.inspect(scan(number, k), k * S // 10) is None
    fault = check.inspect(scan(0, 0), S // 2)
    assert fault is not None and fault.reason.startswith("no_depth")
    check = checker("lidar")
    for k in range(10):
        fault = check.inspect(scan(100, 7), k * S // 10)
    assert fault is not None and fault.state is SensorState.FROZEN


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
@pytest.mark.parametrize("factor", [1.3, 2.0, 2.5, 4.0, 8.0])
def test_enlarged_pictures_are_healthy(modality: str, factor: float) -> None:
    small = scene(modality, 0, 60, 80)
    size = (int(80 * factor), int(60 * factor))
    large = cv2.resize(small, size, interpolation=cv2.INTER_NEAREST)
    assert inspect(modality, large) is None


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
@pytest.mark.parametrize("first", [100, 180])
def test_what_a_decoder_repeats_down_to_the_lower_edge_is_stuck(modality: str, first: int) -> None:
    cut_off = scene(modality, 0, *SIZE)
    cut_off[first:] = cut_off[first]
    fault = inspect(modality, cut_off)
    assert fault is not None and fault.kind == "stuck_rows"


@pytest.mark.parametrize("modality", ["rgb", "thermal"])
def test_doubled_lines_are_healthy_and_lines_that_repeat_at_random_are_not(modality: str) -> None:
    whole = scene(modality, 0, *SIZE)
    assert inspect(modality, np.repeat(whole[::2], 2, axis=0)) is None
    dice = np.random.default_rng(3)
    for row in range(1, SIZE[0]):
        if dice.random() < 0.3:
            whole[row] = whole[row - 1]
    fault = inspect(modality, whole)
    assert fault is not None and fault.reason.startswith("stuck_rows: ")


@pytest.mark.parametrize(
    ("planes", "like"), [("color", "rgb"), ("thermal", "thermal"), ("depth", "depth")]
)
def test_a_modality_of_ones_own_is_judged_by_its_planes(planes: str, like: str) -> None:
    watch = ContentChecker("nose", ChecksConfig(), planes=planes)
    assert watch.inspect(image(like), 0) is None
    names, checks = [r.name for r in watch.results], [c.name for c, _ in KINDS[like].checks]
    assert names[1 : names.index("frozen")] == checks
    fault = watch.inspect(Image(noisy(like), ENCODINGS[like]), FRAME)
    assert fault is not None and fault.reason.startswith("noise: ")


def test_the_planes_of_event_frames_are_of_colour_and_they_are_judged_as_events() -> None:
    watch = ContentChecker("event", ChecksConfig(), planes="color")
    assert watch.inspect(Image(np.zeros((*SIZE, 3), np.uint8), "8UC3"), 0) is None


def test_a_check_that_has_failed_says_what_it_must_pass() -> None:
    watch = checker("rgb", frozen=False, blocked=False, black_below=20.0)
    assert watch.inspect(Image(flat("rgb", 18), "rgb8"), 0) is not None
    fault = watch.inspect(Image(flat("rgb", 20), "rgb8"), FRAME)
    assert fault is not None
    assert fault.reason == "black: 99th percentile in counts is 21, expected at least 22"


def test_the_fields_of_points_may_not_change_in_mid_stream() -> None:
    check, ring = checker("lidar"), np.zeros(50, np.uint16)
    for k in range(3):
        assert check.inspect(scan(50, k), k * S // 10) is None
    fault = check.inspect(scan(50, 9, ring=ring), S)
    assert fault is not None
    assert fault.reason.startswith(
        "format: points with x, y, z, ring, expected points with x, y, z as before"
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_figure_around_its_threshold_does_not_swing(seed: int) -> None:
    dice, watch = random.Random(seed), checker("rgb", frozen=False)
    failed = []
    for k in range(60):
        pixels = scene("rgb", 0, 60, 80) // 32
        pixels[:, :20] = 100 + dice.randint(-4, 4)
        config = ChecksConfig(black_below=100.0, frozen=False, blocked=False)
        watch = watch if k else ContentChecker("rgb", config)
        watch.inspect(Image(pixels, "rgb8"), k * FRAME)
        failed.append(not next(r for r in watch.results if r.name == "black").passed)
    assert sum(a is not b for a, b in pairwise(failed)) <= 1


@settings(max_examples=150, deadline=None)
@given(
    modality=st.sampled_from([*sorted(KINDS), "other"]),
    pixels=npst.arrays(
        st.sampled_from([np.uint8, np.int8, np.uint16, ">u2", np.int32, np.float32, ">f4", float]),
        npst.array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=5),
    ),
    repeat=st.integers(1, 6),
)
def test_any_image_of_any_type_is_judged_without_a_crash(
    modality: str, pixels: np.ndarray[Any, Any], repeat: int
) -> None:
    watch = checker(modality)
    large = np.repeat(np.repeat(pixels, 40 * repeat, axis=0), 30, axis=1)
    for k, pixels_now in enumerate((pixels, large, large)):
        watch.inspect(Image(pixels_now, "test"), k * FRAME)
        assert watch.results
        assert all(isinstance(r.figure, float | int) for r in watch.results)


@pytest.mark.parametrize("zero", [0.0, 273.15, 300.0])
def test_temperatures_as_floats_are_judged_as_counts_are(zero: float) -> None:
    counts = scene("thermal", 0, *SIZE)
    floats = (counts / 100.0 - zero).astype(np.float32)
    watch = checker("thermal")
    assert watch.inspect(Image(floats, "32FC1"), 0) is None
    dice = np.random.default_rng(0)
    noise = dice.uniform(floats.min(), floats.max(), floats.shape).astype(np.float32)
    fault = checker("thermal").inspect(Image(noise, "32FC1"), 0)
    assert fault is not None and fault.reason.startswith("noise: ")
    flat_heat = Image(np.full(SIZE, floats.mean(), np.float32), "32FC1")
    fault = checker("thermal").inspect(flat_heat, 0)
    assert fault is not None and fault.reason.startswith("blocked: ")


def test_depth_of_another_unit_is_judged_in_metres() -> None:
    millimetres = 1000 * scene("depth", 0, *SIZE).astype(np.float32)
    fault = checker("depth").inspect(Image(millimetres, "32FC1"), 0)
    assert fault is not None and fault.reason.startswith("units: ")
    known = ContentChecker("depth", ChecksConfig(), counts=CountsConfig(per_count=0.001))
    assert known.inspect(Image(millimetres, "32FC1"), 0) is None


def test_a_full_scale_of_twelve_bits_is_saturated_at_its_own_end() -> None:
    counts = CountsConfig(full_scale=4095.0)
    watch = ContentChecker("rgb", ChecksConfig(), counts=counts)
    white = np.full((*SIZE, 3), 4095, np.uint16)
    fault = watch.inspect(Image(white, "rgb16"), 0)
    assert fault is not None and fault.reason.startswith("saturated: ")


def test_a_few_equal_rows_of_an_enlarged_picture_do_not_make_all_others_stuck() -> None:
    small = scene("thermal", 0, 120, 160)
    small[20:26] = small[20]
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    assert inspect("thermal", large) is None
    small[40:80] = small[40]
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    fault = inspect("thermal", large)
    assert fault is not None and fault.reason.startswith("stuck_rows: ")


EXTREME = [0.0, 1.0, np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 1e-45, 1e20, -1e-3]


@pytest.mark.filterwarnings("error")  # NumPy would write them to the log of the node
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (300, 1), (3, 7), (64, 48)])
@pytest.mark.parametrize(("modality", "dtype"), [
    ("depth", np.float32), ("depth", np.uint16), ("rgb", np.uint8), ("thermal", np.uint16),
    ("thermal", np.float32), ("event", np.uint8),
])  # fmt: skip
def test_whatever_pixels_hold_it_is_judged_without_a_warning(
    modality: str, dtype: type, size: tuple[int, int]
) -> None:
    dice, watch = np.random.default_rng(3), checker(modality)
    shape = (*size, 3) if modality == "rgb" else size
    float_like = dtype is np.float32
    known = np.array(EXTREME if float_like else [0, 1, np.iinfo(dtype).max], dtype)
    some = dice.choice(known, shape)
    bits = np.frombuffer(dice.bytes(some.nbytes), dtype).reshape(shape)  # NaNs that signal, too
    sound = dice.uniform(1, 20, shape).astype(dtype)
    tiny = np.full(shape, 1e-42 if float_like else 1, dtype)
    for moment, pixels in enumerate([some, bits, sound, tiny, sound, bits, some, tiny, some] * 3):
        watch.inspect(Image(pixels, "test"), moment * FRAME)
