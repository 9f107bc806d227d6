"""Rigs as robots have them: many sensors of few kinds, rates and epochs that do not fit."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import Any

import pytest
from fixtures.messages import image_message
from fixtures.scenes import ENCODINGS, scene
from fixtures.virtual_machine import Machine, split_pipeline

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import Prediction, SensorState

MS, S = 1_000_000, 1_000_000_000
WALL, BOOT = 1_700_000_000 * S, 50 * S


def stream(
    name: str, kind: str, hz: float, seconds: float, *, after_s: float = 0.0, epoch: int = WALL
) -> list[tuple[int, str, Any]]:
    """What a sensor sends: its messages, with their arrivals 5 ms after their stamps."""
    coming = []
    for k in range(int(seconds * hz)):
        taken = round((after_s + k / hz) * S)
        message = image_message(scene(kind, k), ENCODINGS[kind], epoch + taken)
        coming.append((taken + 5 * MS, name, message))
    return coming


def drive(
    sensors: dict[str, SensorConfig], streams: list[list[tuple[int, str, Any]]], **machine: Any
) -> tuple[list[Prediction], Machine]:
    pipeline, _ = split_pipeline(RigConfig(sensors))
    made = Machine(pipeline, **{"threads": 2, "encode_ms": 2, "fuse_ms": 3, **machine})
    masks = made.run(sorted(chain.from_iterable(streams), key=lambda arrival: arrival[0]))
    return [mask for _, mask in masks], made


@pytest.mark.parametrize("encode_ms", [2, 30])
def test_eight_sensors_of_two_kinds_whose_names_begin_alike(encode_ms: int) -> None:
    sensors = {f"cam{n}": SensorConfig(f"a{n}", "rgb", expected_hz=15.0) for n in range(1, 5)}
    sensors |= {
        f"cam{n}{n}": SensorConfig(f"b{n}", "thermal", expected_hz=15.0) for n in range(1, 5)
    }
    streams = [stream(name, config.modality, 15.0, 4.0) for name, config in sensors.items()]
    masks, made = drive(sensors, streams, encode_ms=encode_ms)
    of_reference = [mask for mask in masks if mask.frame_set.reference == "cam1"]
    assert len(of_reference) == 60
    used = Counter(name for mask in of_reference[10:] for name in mask.sensors)
    assert used["cam1"] == 50
    if encode_ms == 2:
        assert used == dict.fromkeys(sensors, 50)
    assert min(used[name] for name in sensors) >= 10, "none is forgotten where time is short"
    assert made.pipeline.superseded == 0


@pytest.mark.parametrize(("reference_hz", "others_hz"), [(5.0, 60.0), (120.0, 30.0)])
def test_a_reference_of_quite_another_rate_than_the_others(
    reference_hz: float, others_hz: float
) -> None:
    hz = {"rgb": reference_hz, "thermal": others_hz, "depth": others_hz}
    sensors = {name: SensorConfig(name, name, expected_hz=rate) for name, rate in hz.items()}
    masks, made = drive(sensors, [stream(name, name, rate, 4.0) for name, rate in hz.items()])
    of_reference = [mask for mask in masks if mask.frame_set.reference == "rgb"]
    assert len(of_reference) == 4 * reference_hz
    assert all(len(mask.sensors) == 3 for mask in of_reference[5:-5])
    assert made.pipeline.superseded == 0


@pytest.mark.parametrize("odd", ["rgb", "thermal"])
def test_a_sensor_that_stamps_in_the_time_since_boot_leaves_the_others_alone(odd: str) -> None:
    kinds = ("rgb", "thermal", "depth")
    sensors = {name: SensorConfig(name, name, expected_hz=30.0) for name in kinds}
    masks, made = drive(
        sensors,
        [stream(name, name, 30.0, 5.0, epoch=BOOT if name == odd else WALL) for name in kinds],
    )
    states = {s.sensor: s.state for s in made.pipeline.status(5 * S)}
    assert states[odd] is SensorState.CLOCK
    assert all(mask.sensors == tuple(n for n in kinds if n != odd) for mask in masks[20:])
    assert len(masks) >= 145, "a mask for each frame of whoever is believed"


@pytest.mark.parametrize("late", ["rgb", "thermal"])
def test_a_sensor_that_starts_a_minute_later_is_taken_in(late: str) -> None:
    kinds = ("rgb", "thermal")
    sensors = {name: SensorConfig(name, name, expected_hz=10.0) for name in kinds}
    streams = [
        stream(name, name, 10.0, 8.0 if name == late else 68.0, after_s=60.0 * (name == late))
        for name in kinds
    ]
    masks, _ = drive(sensors, streams)
    alone = next(name for name in kinds if name != late)
    assert all(mask.sensors == (alone,) for mask in masks[:590])
    assert all(mask.sensors == kinds for mask in masks[-70:-2])
    assert masks[-10].frame_set.reference == "rgb"
