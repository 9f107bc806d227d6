from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from fixtures.messages import sample
from fixtures.rig_stream import MS, RIG, S
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.health.sensor_health import Fault
from anymodal_seg_ros.sensing.sync.offsets import StampOffsets

EPOCH = 1_700_000_000 * S
ALL_OK: Mapping[str, SensorState] = dict.fromkeys(RIG.sensors, SensorState.OK)


def run(
    offsets: StampOffsets,
    lags_ms: Mapping[str, float],
    rounds: int,
    start: int = 0,
    back: Mapping[str, int] | None = None,
    states: Mapping[str, SensorState] = ALL_OK,
) -> dict[str, list[Fault | None]]:
    """Let every sensor send at 10 Hz with its lag, clocks set back or not; say what was said."""
    said: dict[str, list[Fault | None]] = {name: [] for name in lags_ms}
    for k in range(rounds):
        for name, lag_ms in lags_ms.items():
            stamp = EPOCH + start + k * 100 * MS - (back or {}).get(name, 0)
            received = start + k * 100 * MS + round(lag_ms * MS)
            said[name].append(offsets.judge(sample(name, stamp, received), states))
    return said


def test_the_one_that_differs_from_most_is_to_blame_be_it_the_reference() -> None:
    lags = {"rgb": 500.0, "events": 3.0, "depth": 20.0, "thermal": 40.0}
    offsets = StampOffsets(RIG)
    said = run(offsets, lags, 12)
    assert all(said["rgb"][4:])
    assert "stamps are" in (said["rgb"][-1] or Fault(SensorState.OK, "")).reason
    assert not any(any(said[n][4:]) for n in ("events", "depth", "thermal"))
    figures = {r.name: r for r in offsets.results("rgb")}
    assert not figures["stamp_offset"].passed
    assert 0.4 < figures["stamp_offset"].figure < 0.5
    assert figures["stamp_offset"].threshold == 0.1


def test_of_two_that_part_the_one_that_moved_is_to_blame() -> None:
    rig = RigConfig({n: RIG.sensors[n] for n in ("rgb", "thermal")})
    for mover in rig.sensors:
        offsets = StampOffsets(rig)
        run(offsets, {"rgb": 5.0, "thermal": 20.0}, 10)
        moved = {n: 500.0 if n == mover else 10.0 for n in rig.sensors}
        said = run(offsets, moved, 10, start=2 * S)
        for name in rig.sensors:
            assert bool(said[name][-1]) is (name == mover)


@pytest.mark.parametrize("mover", ["rgb", "thermal"])
@pytest.mark.parametrize("by_s", [3, -40])
def test_of_two_the_one_whose_clock_jumped_is_to_blame(mover: str, by_s: int) -> None:
    rig = RigConfig({n: RIG.sensors[n] for n in ("rgb", "thermal")})
    offsets = StampOffsets(rig)
    run(offsets, {"rgb": 5.0, "thermal": 20.0}, 10)
    offsets.jumped(mover, 1 * S)
    said = run(offsets, {"rgb": 5.0, "thermal": 20.0}, 30, 1 * S, {mover: -by_s * S})
    for name in rig.sensors:
        assert any(said[name]) is (name == mover), "the other one is as steady as ever"


def test_a_clock_that_nobody_can_read_any_more_blames_no_other() -> None:
    rig = RigConfig({n: RIG.sensors[n] for n in ("rgb", "thermal")})
    offsets = StampOffsets(rig)
    run(offsets, {"rgb": 5.0, "thermal": 20.0}, 10)
    run(offsets, {"rgb": 5000.0, "thermal": 20.0}, 10, start=2 * S)
    # From now on rgb sends stamps of zero, which never come here: it is down, but not silent.
    states = {"rgb": SensorState.CLOCK, "thermal": SensorState.CLOCK}
    said = run(offsets, {"thermal": 20.0}, 30, start=4 * S, states=states)
    assert not any(said["thermal"][15:])


def test_a_lone_sensor_has_nobody_to_disagree_with() -> None:
    states = dict.fromkeys(RIG.sensors, SensorState.FAILED) | {"rgb": SensorState.OK}
    offsets = StampOffsets(RIG)
    assert not any(run(offsets, {"rgb": 5.0}, 10, states=states)["rgb"])
    assert not any(run(offsets, {"rgb": 5000.0}, 10, start=2 * S, states=states)["rgb"])


def test_sensors_may_jump_one_after_the_other() -> None:
    offsets = StampOffsets(RIG)
    steady = dict.fromkeys(RIG.sensors, 10.0)
    run(offsets, steady, 10)
    back = {"rgb": 20 * S, "events": 20 * S}
    for name in back:
        offsets.jumped(name, 1 * S)
    said = run(offsets, steady, 9, start=1 * S, back=back)
    assert not any(any(faults) for faults in said.values())
    for name in ("depth", "thermal"):
        offsets.jumped(name, 2 * S)
    said = run(offsets, steady, 50, start=2 * S, back=dict.fromkeys(RIG.sensors, 20 * S))
    assert not any(any(faults) for faults in said.values())


def test_stamps_that_go_back_now_and_then_are_the_networks_fault() -> None:
    offsets = StampOffsets(RIG)
    for k in range(100):
        swapped = k + (1 if k % 5 == 0 else -1 if k % 5 == 1 else 0)
        said = offsets.judge(sample("rgb", EPOCH + swapped * 33 * MS, k * 33 * MS), ALL_OK)
        assert said is None


def test_stamps_that_go_back_every_other_time_are_a_fault_of_the_clock() -> None:
    offsets = StampOffsets(RIG)
    said = [
        offsets.judge(sample("rgb", EPOCH + (k ^ 1) * 33 * MS, k * 33 * MS), ALL_OK)
        for k in range(40)
    ]
    faults = [fault for fault in said[10:] if fault]
    assert len(faults) == 15
    assert "50% of the last stamps went back, this one by 33 ms" in faults[0].reason


def test_one_stamp_twice_is_no_fault_and_for_ever_is_one() -> None:
    offsets = StampOffsets(RIG)
    once = sample("rgb", EPOCH, 0)
    said = [offsets.judge(replace(once, received_ns=k * 33 * MS), ALL_OK) for k in range(6)]
    assert said[0] is None
    assert [fault.lasting for fault in said[1:] if fault] == [False, False, True, True, True]


def test_messages_that_come_in_bundles_are_blamed_on_their_delay_and_on_nobody_else() -> None:
    rig = RigConfig({n: RIG.sensors[n] for n in ("rgb", "depth")})
    offsets, states = StampOffsets(rig), {"rgb": SensorState.OK, "depth": SensorState.OK}
    arrivals = []
    for k in range(90):
        taken = k * 33 * MS
        arrivals.append((taken + 10 * MS, "depth", taken))
        arrivals.append((taken // (330 * MS) * 330 * MS + 390 * MS + k % 10, "rgb", taken))
    reasons = []
    for received, name, taken in sorted(arrivals):
        fault = offsets.judge(sample(name, EPOCH + taken, received), states)
        if fault:
            assert name == "rgb"
            states["rgb"] = SensorState.CLOCK
            reasons.append(fault.reason)
    assert reasons
    assert "the delay of its messages varies by 132 ms" in reasons[-1]
    assert "let each be sent at once, or raise rig.deadline_max_s to 0." in reasons[-1]
    assert not any("of rgb" in reason or " 0 ms" in reason for reason in reasons)


def test_a_computer_that_holds_up_all_sensors_alike_is_blamed_on_none() -> None:
    offsets = StampOffsets(RIG)
    hz = {"rgb": 30, "events": 30, "depth": 15, "thermal": 10}
    arrivals = []
    for name, rate in hz.items():
        for k in range(12 * rate):
            taken = k * S // rate
            free = taken + 5 * MS
            if 4 * S < taken < 8 * S:  # the process gets its turn once in 300 ms
                free = max(free, taken // (300 * MS) * 300 * MS + 300 * MS)
            arrivals.append((free, name, taken))
    for received, name, taken in sorted(arrivals):
        assert offsets.judge(sample(name, EPOCH + taken, received), ALL_OK) is None, received


def test_a_doubtful_sensor_is_told_by_what_it_fails() -> None:
    offsets = StampOffsets(RIG)
    states = dict(ALL_OK) | {"rgb": SensorState.CLOCK}
    said = run(offsets, {"rgb": 100.0, "events": 10.0, "depth": 10.0}, 8, states=states)
    assert said["rgb"][-1] is not None
    assert said["rgb"][-1].reason == (
        "stamps are 90 ms behind those of events: expected less than 80 ms; if they are right, it "
        "sends late: raise rig.deadline_max_s to 0.12; if not, synchronise the clocks, or set its "
        "offset_s to 0.09"
    )


@pytest.mark.parametrize(
    ("lag_ms", "mend"),
    [
        (-600.0, "synchronise the clocks, or set its offset_s to -0.85"),
        (2_000.0, "synchronise the clocks, or set its offset_s to 1.75"),
        (40_000.0, "synchronise the clocks"),
    ],
)
def test_a_clock_that_is_off_is_told_with_its_mend(lag_ms: float, mend: str) -> None:
    known = replace(RIG.sensors["thermal"], offset_s=-0.25)
    offsets = StampOffsets(replace(RIG, sensors={**RIG.sensors, "thermal": known}))
    offsets.jumped("thermal", 0)
    back = {"thermal": round(lag_ms * MS)}
    last = run(offsets, dict.fromkeys(RIG.sensors, 0.0), 12, start=5 * S, back=back)["thermal"][-1]
    assert last is not None
    assert last.reason.endswith(f" ms; {mend}")


@pytest.mark.parametrize(
    ("since_boot", "judged", "whose"),
    [
        (("thermal",), "thermal", "its driver"),
        (("rgb", "events", "depth"), "thermal", "the driver of rgb"),
    ],
)
def test_who_stamps_in_the_time_since_a_start_is_told_so(
    since_boot: tuple[str, ...], judged: str, whose: str
) -> None:
    back = dict.fromkeys(since_boot, EPOCH - 300 * S)
    said = run(StampOffsets(RIG), dict.fromkeys(RIG.sensors, 0.0), 12, back=back)
    last = said[judged][-1]
    assert last is not None
    assert last.reason.endswith(
        f"; let {whose} stamp as the others do, not since a start of its own"
    )
    assert all(said[name][-1] is None for name in RIG.sensors if name != judged)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_an_offset_around_the_limit_does_not_swing(seed: int) -> None:
    dice = random.Random(seed)
    offsets = StampOffsets(RIG)
    states = dict(ALL_OK)
    verdicts = []
    for k in range(300):
        stamp = EPOCH + k * 100 * MS
        for name in ("events", "depth", "thermal"):
            offsets.judge(sample(name, stamp, stamp - EPOCH + 10 * MS), states)
        lag = round(dice.uniform(0.9, 1.1) * 100 * MS)
        fault = offsets.judge(sample("rgb", stamp, stamp - EPOCH + 10 * MS + lag), states)
        states["rgb"] = SensorState.CLOCK if fault else states["rgb"]
        verdicts.append(bool(fault))
    assert any(verdicts)
    first = verdicts.index(True)
    assert all(verdicts[first + 1 :]), "once doubtful, it must be clearly better to be believed"
