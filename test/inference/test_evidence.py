"""A picture of nothing is no evidence: beside the picture, of another scale, or of one value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.scenes import ENCODINGS, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import CountsConfig, SensorConfig
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.inference.evidence import (
    LEAST_COVER,
    NOTHING_MOVES,
    lack_of_cover,
    lack_of_evidence,
)
from anymodal_seg_ros.inference.preprocess import byte_planes, planes

SPECS = small_manifest().modalities
THERMAL = (SPECS["thermal"], 24, 32)


def lack(image: Image, modality: str, **counts: float) -> str:
    sensor = SensorConfig("topic", modality, counts=CountsConfig(**counts))
    made = planes(image, SPECS[modality], 24, 32, counts=sensor.counts)
    reason = lack_of_evidence(made, image, SPECS[modality], sensor)
    if pictures := byte_planes(image, SPECS[modality], 24, 32, sensor.counts):
        found = lack_of_evidence(pictures, image, SPECS[modality], sensor)
        assert found.partition("(")[0] == reason.partition("(")[0], "all but the last bits"
    return reason


@pytest.mark.parametrize("modality", ["rgb", "thermal", "depth", "event"])
def test_healthy_pictures_are_evidence(modality: str) -> None:
    for seed in range(5):
        assert lack(Image(scene(modality, seed), ENCODINGS[modality]), modality) == ""


def heat(low: float, high: float) -> Image:
    share = scene("rgb", 3)[..., 0] / 255
    return Image((low + (high - low) * share).astype(np.uint16), "mono16")


@pytest.mark.parametrize(
    ("low", "high", "counts"),
    [
        (7800, 8600, {}),  # raw counts of a core that is not radiometric
        (2700, 3100, {}),  # deci-kelvin taken for centi-kelvin
        (36000, 42000, {}),
        (27000, 31000, {"per_count": 0.1}),  # the right counts with the wrong unit
    ],
)
def test_thermal_counts_outside_the_models_range_are_named_with_figure_and_mend(
    low: float, high: float, counts: dict[str, float]
) -> None:
    reason = lack(heat(low, high), "thermal", **counts)
    assert "100% of its pixels are outside the model's range of 250..350 K" in reason
    assert f"{counts.get('per_count', 0.01):g} K per count" in reason
    assert "counts.per_count" in reason


@pytest.mark.parametrize(
    ("low", "high", "counts"),
    [
        (2700, 3100, {"per_count": 0.1}),
        (1000, 1400, {"per_count": 0.1, "offset": 173.15}),
        (27000, 31000, {}),
    ],
)
def test_the_unit_of_the_camera_mends_it(low: float, high: float, counts: dict[str, float]) -> None:
    assert lack(heat(low, high), "thermal", **counts) == ""


def test_equal_temperatures_in_other_units_give_the_same_planes() -> None:
    kelvin = 280.0 + 30.0 * scene("rgb", 3)[..., 0] / 255
    made: list[Any] = []
    for unit, offset in ((0.01, 0.0), (0.1, 0.0), (0.04, 250.0)):
        image = Image(np.round((kelvin - offset) / unit).astype(np.uint16), "16UC1")
        counts = CountsConfig(unit, offset)
        made.append(planes(image, SPECS["thermal"], 24, 32, counts=counts))
    np.testing.assert_allclose(made[0], made[1], atol=2e-3)
    np.testing.assert_allclose(made[0], made[2], atol=2e-3)


def test_a_constant_picture_is_none_and_an_event_camera_at_rest_is_no_fault() -> None:
    grey = np.full((60, 80, 3), 100, np.uint8)
    assert lack(Image(grey, "rgb8"), "rgb").startswith("constant: all pixels are the same")
    assert lack(Image(0 * grey, "8UC3"), "event") == NOTHING_MOVES


def test_a_few_counted_events_are_evidence_and_none_are_not() -> None:
    spec = replace(SPECS["event"], planes="muses_event", std=(1 / 255, 1 / 255, 1 / 255))
    picture = np.zeros((8, 12, 3), np.uint8)
    for make in (planes, byte_planes):
        made = make(Image(picture, "rgb8"), spec, 8, 12)
        assert made is not None
        sensor = SensorConfig("e", "event")
        assert lack_of_evidence(made, Image(picture, "rgb8"), spec, sensor) == NOTHING_MOVES
    picture[3, 4, 1] = 1
    for make in (planes, byte_planes):
        made = make(Image(picture, "rgb8"), spec, 8, 12)
        assert made is not None
        assert lack_of_evidence(made, Image(picture, "rgb8"), spec, sensor) == ""


@pytest.mark.parametrize("planes_of", sorted(set(LEAST_COVER) - {"muses_event"}))
def test_too_little_of_the_picture_covered_is_told_with_both_figures(planes_of: str) -> None:
    spec = replace(SPECS["rgb"], planes=planes_of)
    assert lack_of_cover(LEAST_COVER[planes_of], spec, "rgb") == ""
    reason = lack_of_cover(0.0, spec, "rgb")
    assert "covers 0.00% of the picture of rgb" in reason
    assert "extrinsics (x y z qx qy qz qw" in reason


@settings(max_examples=60, deadline=None)
@given(
    active=st.integers(0, 40),
    value=st.floats(0.001, 1.0),
    outside=st.floats(0.9, 1.0),
    seed=st.integers(0, 1000),
)
def test_looking_at_some_rows_first_changes_no_verdict(
    active: int, value: float, outside: float, seed: int
) -> None:
    """The shortcuts only ever pass what all of the pixels would pass."""
    dice, (height, width) = np.random.default_rng(seed), (64, 32)
    spec = SPECS["event"]
    pixels = np.zeros((3, height, width), np.float32)
    pixels[:, dice.integers(0, height, active), dice.integers(0, width, active)] = value
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (spec.mean, spec.std))
    made = ((pixels - mean) / std).astype(np.float32)
    image = Image(np.zeros((height, width, 3), np.uint8), "8UC3")
    flat = max(float(plane.std()) for plane in pixels) < 1e-3
    near_limit = abs(max(float(plane.std()) for plane in pixels) - 1e-3) < 1e-6
    found = lack_of_evidence(made, image, spec, SensorConfig("topic", "event"))
    assert near_limit or (found == NOTHING_MOVES) == flat

    spec = SPECS["thermal"]
    share = np.where(dice.random((height, width)) < outside, 0.0, dice.uniform(0.1, 0.9))
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (spec.mean, spec.std))
    made = ((np.broadcast_to(share, (3, height, width)) - mean) / std).astype(np.float32)
    counts = Image(np.zeros((height, width), np.uint16), "mono16")
    found = lack_of_evidence(made, counts, spec, SensorConfig("topic", "thermal"))
    assert ("outside the model's range" in found) == (np.mean(share == 0.0) > 0.95)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_temperatures_that_are_sent_as_numbers_are_those_of_counts(dtype: type) -> None:
    kelvin = 280.0 + 30.0 * scene("rgb", 3)[..., 0] / 255
    encoding = {np.float32: "32FC1", np.float64: "64FC1"}[dtype]
    wanted = planes(Image(np.round(kelvin * 100).astype(np.uint16), "16UC1"), *THERMAL)
    sent = Image(kelvin.astype(dtype), encoding)
    np.testing.assert_allclose(planes(sent, *THERMAL), wanted, atol=2e-3)
    assert lack(sent, "thermal") == ""
    celsius = Image((kelvin - 273.15).astype(dtype), encoding)
    said = lack(celsius, "thermal")
    assert "100% of its pixels are outside" in said
    assert "at 1 K per count: set rig.sensors.*.counts.per_count and offset" in said
    counts = CountsConfig(offset=273.15)
    np.testing.assert_allclose(planes(celsius, *THERMAL, counts=counts), wanted, atol=2e-3)
    holes = np.where(np.eye(*kelvin.shape), np.nan, kelvin).astype(dtype)
    assert np.isfinite(planes(Image(holes, encoding), *THERMAL)).all()


@pytest.mark.parametrize("bits", [10, 12])
def test_colours_of_fewer_bits_than_they_are_sent_in_are_told_and_can_be_scaled(bits: int) -> None:
    picture = scene("rgb", 3)
    sent = Image(picture.astype(np.uint16) << (bits - 8), "rgb16")
    said = lack(sent, "rgb")
    assert "of 65535, as of a camera of twelve bits or fewer" in said
    assert "counts.full_scale" in said
    counts = {"full_scale": float((1 << bits) - 1)}
    assert lack(sent, "rgb", **counts) == ""
    scaled = planes(sent, SPECS["rgb"], 24, 32, counts=CountsConfig(**counts))
    wanted = planes(Image(picture, "rgb8"), SPECS["rgb"], 24, 32)
    np.testing.assert_allclose(scaled, wanted, atol=0.05)
    assert lack(Image(picture.astype(np.uint16) * 257, "rgb16"), "rgb") == ""
