from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.evaluation.assemble import Gap, ImageSensor, Shot, plan
from anymodal_seg_ros.evaluation.bags import BagError

START = 1_700_000_000_000_000_000
MS = 1_000_000


def sensor(count: int, hz: float, **more: Any) -> ImageSensor:
    images = [Path(f"{index:04d}.png") for index in range(count)]
    return ImageSensor("/topic", images, "", "frame", hz, **more)


def of(shots: list[Shot], name: str) -> list[Shot]:
    return [shot for shot in shots if shot.sensor == name]


def stamps_ms(shots: list[Shot], name: str) -> list[int]:
    return [(shot.stamp_ns - START) // MS for shot in of(shots, name)]


def test_each_sensor_shows_all_its_images_at_its_own_rate() -> None:
    shots = plan({"rgb": sensor(6, 20.0), "thermal": sensor(3, 10.0)}, start_ns=START)
    assert stamps_ms(shots, "rgb") == [0, 50, 100, 150, 200, 250]
    assert stamps_ms(shots, "thermal") == [0, 100, 200]
    assert [s.image.stem for s in of(shots, "thermal")] == ["0000", "0001", "0002"]


def test_a_slower_sensor_of_pairs_shows_the_instants_of_the_faster_one() -> None:
    pairs = {"rgb": sensor(6, 20.0), "thermal": sensor(6, 10.0)}
    shots = plan(pairs, start_ns=START, paired=True)
    assert stamps_ms(shots, "thermal") == [0, 100, 200]
    image_at = {s.stamp_ns: s.image for s in of(shots, "rgb")}
    assert all(image_at[s.stamp_ns] == s.image for s in of(shots, "thermal"))


def test_latency_delays_the_recording_but_not_the_stamp() -> None:
    sensors = {"rgb": sensor(3, 10.0), "thermal": sensor(3, 10.0, latency_s=0.12)}
    shots = plan(sensors, start_ns=START)
    assert stamps_ms(shots, "thermal") == [0, 100, 200]
    assert [s.log_ns - s.stamp_ns for s in of(shots, "thermal")] == [120 * MS] * 3
    order = [(s.sensor, (s.log_ns - START) // MS) for s in shots]
    assert order == [
        ("rgb", 0),
        ("rgb", 100),
        ("thermal", 120),
        ("rgb", 200),
        ("thermal", 220),
        ("thermal", 320),
    ]


@pytest.mark.parametrize(
    "gap", [Gap(0.3, 0.6), Gap(0.3, 0.6, fractions=True)], ids=["seconds", "fractions"]
)
def test_a_gap_begins_with_its_start_and_ends_before_its_end(gap: Gap) -> None:
    shots = plan(
        {"rgb": sensor(10, 10.0), "thermal": sensor(10, 10.0, gaps=(gap,))}, start_ns=START
    )
    assert stamps_ms(shots, "rgb") == list(range(0, 1000, 100))
    assert stamps_ms(shots, "thermal") == [0, 100, 200, 600, 700, 800, 900]
    assert of(shots, "thermal")[3].image.stem == "0006", "time goes on in the gap"


def test_a_gap_does_not_change_the_jitter_of_what_is_left() -> None:
    whole = plan({"rgb": sensor(10, 10.0, jitter_s=0.01)}, start_ns=START)
    torn = plan({"rgb": sensor(10, 10.0, jitter_s=0.01, gaps=(Gap(0.0, 0.5),))}, start_ns=START)
    assert torn == whole[5:]


def test_gaps_that_leave_nothing_are_an_error() -> None:
    with pytest.raises(BagError, match="no message"):
        plan({"rgb": sensor(3, 10.0, gaps=(Gap(0.0, 9.0),))}, start_ns=START)


@given(
    seed=st.integers(0, 9),
    jitter_s=st.floats(0.0, 1.0),
    hz=st.floats(0.5, 100.0),
    latency_s=st.floats(0.0, 2.0),
)
def test_time_only_goes_forward(seed: int, jitter_s: float, hz: float, latency_s: float) -> None:
    sensors = {
        "rgb": sensor(20, hz, jitter_s=jitter_s),
        "thermal": sensor(20, hz / 2, jitter_s=jitter_s, latency_s=latency_s),
    }
    shots = plan(sensors, start_ns=START, seed=seed)
    assert len(shots) == 40
    assert shots == sorted(shots, key=lambda shot: shot.log_ns)
    for name in sensors:
        stamps = [shot.stamp_ns for shot in of(shots, name)]
        assert stamps == sorted(set(stamps))
    assert shots == plan(sensors, start_ns=START, seed=seed), "the seed decides"


def test_the_seed_matters_and_so_does_the_sensor() -> None:
    sensors = {"a": sensor(5, 10.0, jitter_s=0.01), "b": sensor(5, 10.0, jitter_s=0.01)}
    first, second = (plan(sensors, start_ns=START, seed=seed) for seed in (1, 2))
    assert [s.stamp_ns for s in of(first, "a")] != [s.stamp_ns for s in of(second, "a")]
    assert [s.stamp_ns for s in of(first, "a")] != [s.stamp_ns for s in of(first, "b")]
