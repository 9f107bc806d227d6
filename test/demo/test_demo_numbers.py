from __future__ import annotations

import numpy as np
import pytest

from anymodal_seg_ros.demo.numbers import frames_without_mask, measure, summary
from anymodal_seg_ros.demo.records import Incident, Phase, ScoredMask

S = 1_000_000_000
MS = 1_000_000
PERIOD = S // 30
RIG = ("rgb", "events")


def record(time_ns: int, sensors: tuple[str, ...], hit: bool = True) -> ScoredMask:
    confusion = np.array([[9, 0], [0, 1]] if hit else [[0, 9], [1, 0]], np.int64)
    return ScoredMask(
        stamp_ns=time_ns,
        received_ns=time_ns + 10 * MS,
        reference=sensors[0],
        sensors=sensors,
        states=dict.fromkeys(RIG, "OK"),
        latency_ms=10.0,
        network_ms=5.0,
        confusion=confusion,
    )


def test_a_frame_without_a_mask_is_a_hole_in_the_stamps() -> None:
    stamps = [k * PERIOD + (k % 3) * MS for k in range(30) if k not in (7, 20, 21)]
    assert frames_without_mask(stamps, PERIOD) == 3
    other_phase = [s + PERIOD // 3 for s in stamps if s > 25 * PERIOD]
    taken_over = [s for s in stamps if s <= 25 * PERIOD] + other_phase
    assert frames_without_mask(taken_over, PERIOD) == 3, "another sensor's rhythm is no hole"


def test_the_story_of_a_killed_camera_is_told_in_numbers() -> None:
    both = [record(k * PERIOD, ("rgb", "events")) for k in range(90)]
    # RGB is killed at 3 s: two of the event camera's frames pass before it takes over.
    alone = [record(k * PERIOD, ("events",), hit=False) for k in range(92, 180)]
    phases = [Phase("all alive", 0, 3 * S, ()), Phase("RGB killed", 3 * S, 6 * S, ("rgb",))]
    killed = Incident(3 * S, "rgb", False)
    numbers = measure(both + alone, phases, [killed], PERIOD)
    assert numbers["reference_frames_without_mask"] == 2
    assert numbers["incidents"][0]["reaction_ms"] == pytest.approx(2 * 1e3 / 30 + 10, abs=0.1)
    first, second = numbers["phases"]
    assert first["miou"] == 1.0
    assert first["sensors"] == {"rgb+events": pytest.approx(60, abs=25)}
    assert second["miou"] == 0.0
    assert second["references"].keys() == {"events"}
    assert numbers["latency_ms"] == {"p50": 10.0, "p99": 10.0}
    told = summary(numbers, "demo.png", "demo.json")
    assert "77 ms after the rgb camera was killed" in told
    assert "2 of 180" in told


def test_a_sensor_that_never_came_back_has_no_reaction_time() -> None:
    records = [record(k * PERIOD, ("events",)) for k in range(90)]
    phases = [Phase("all", 0, 3 * S, ())]
    numbers = measure(records, phases, [Incident(S, "rgb", True)], PERIOD)
    assert numbers["incidents"][0]["reaction_ms"] is None
