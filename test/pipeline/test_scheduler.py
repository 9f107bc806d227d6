"""Too little time for too much work: what is done, what is left out, and what is never lost."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message, image_message
from fixtures.pictures import png
from fixtures.pipelines import CountingEngine
from fixtures.scenes import ENCODINGS, scene
from fixtures.unchecked import UNCHECKED
from fixtures.virtual_machine import Machine, SplitEngine, split_pipeline
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import RigConfig, SensorConfig, default_sensors
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.pipeline.budget import Backlog, Budget, RunningCost

MS = 1_000_000
S = 1_000_000_000
START = 1_700_000_000 * S
RIG = RigConfig(default_sensors())
IDS = {"rgb": 0, "thermal": 1, "depth": 2, "events": 3}
PERIOD_MS = 1000 / 30


picture = lru_cache(maxsize=2000)(scene)  # 30 MB: most tests are sent the same pictures


def arrivals(
    rig: RigConfig = RIG, seconds: float = 4.0, compressed: bool = False
) -> list[tuple[int, str, Any]]:
    """What the sensors of a rig send, each in its phase and with its latency."""
    coming = []
    for place, (name, sensor) in enumerate(rig.sensors.items()):
        for k in range(int(seconds * sensor.expected_hz)):
            taken = round((k + 0.1 * place) * sensor.period_ns)
            pixels = picture(sensor.modality, 1000 * place + k)
            stamp = START + taken
            if compressed and name == "rgb":
                message = compressed_message(png(pixels), "png", stamp)
            else:
                message = image_message(pixels, ENCODINGS[sensor.modality], stamp)
            coming.append((taken + (4 + place) * MS, name, message))
    return sorted(coming, key=lambda a: a[0])


def run(
    rig: RigConfig = RIG,
    *,
    in_time: bool = True,
    seconds: float = 4.0,
    compressed: bool = False,
    **machine: Any,
) -> tuple[list[tuple[int, Prediction]], SplitEngine, Machine]:
    sensors = {name: replace(s, checks=UNCHECKED) for name, s in rig.sensors.items()}
    pipeline, engine = split_pipeline(replace(rig, sensors=sensors), in_time=in_time)
    made = Machine(pipeline, **machine)
    return made.run(arrivals(rig, seconds, compressed)), engine, made


def settled(masks: list[tuple[int, Prediction]]) -> list[Prediction]:
    """Leave out the first half second, in which sensors are still met for the first time."""
    return [m for _, m in masks if m.frame_set.reference_sample.time_ns > START + S // 2]


def served(masks: list[tuple[int, Prediction]]) -> set[int]:
    return {m.frame_set.reference_sample.stamp_ns for _, m in masks if m.sensors}


def reference_stamps(rig: RigConfig = RIG, seconds: float = 4.0) -> set[int]:
    period = rig.sensors["rgb"].period_ns
    return {START + k * period for k in range(int(seconds * 30))}


def test_with_time_enough_every_sample_is_encoded_once_and_every_frame_has_all_sensors() -> None:
    masks, engine, made = run(threads=2, encode_ms=5, fuse_ms=4)
    assert reference_stamps() <= served(masks)
    sets = [m for m in settled(masks) if m.frame_set.reference_sample.time_ns < START + 3.8 * S]
    assert all(len(m.sensors) == 4 for m in sets)
    for name, sensor in RIG.sensors.items():
        sent = int(4.0 * sensor.expected_hz)
        assert engine.encoded[IDS[name]] <= sent, f"{name}: nothing is encoded twice"
    assert made.pipeline.superseded == 0


def test_a_mask_says_in_its_pixels_what_it_names_as_its_sensors() -> None:
    for load in (0.2, 1.0, 2.0):
        masks, _, _ = run(threads=1, encode_ms=12 * load, fuse_ms=4 * load)
        for _, mask in masks:
            assert np.unique(mask.mask).tolist() == [sum(2 ** IDS[n] for n in mask.sensors)]


# One thread, 85 encodes of 7.8 ms and 30 fusions of 11 ms a second: load 1.
@pytest.mark.parametrize("load", [0.1, 0.5, 0.9, 1.1, 1.5, 2.0])
def test_no_reference_frame_is_lost_while_the_reference_itself_fits(load: float) -> None:
    masks, _, made = run(threads=1, encode_ms=7.8 * load, fuse_ms=6 * load)
    lost = reference_stamps() - served(masks)
    assert len(lost) <= 1, f"{len(lost)} of 120 reference frames without a mask"
    for _, mask in masks:
        assert mask.sensors == () or "rgb" in mask.sensors
        for name, reason in mask.frame_set.missing.items():
            if load > 1 and reason.startswith("no time"):
                assert name != "rgb"
    assert made.pipeline.superseded <= 1


@pytest.mark.parametrize("fuse_ms", [60, 200, 400])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "halves"])
def test_a_slow_network_gets_the_newest_frame_and_not_one_that_has_waited_for_it(
    fuse_ms: int, whole: bool
) -> None:
    """Once it is free: what was prepared meanwhile, in a millisecond, is no reason to keep it."""
    pipeline, _ = split_pipeline(RIG)
    if whole:
        model = Model(Path("nowhere"), small_manifest(classes=128))
        pipeline = Pipeline(RIG, model, CountingEngine(), in_time=True)
    masks = Machine(pipeline, threads=2, encode_ms=1, fuse_ms=fuse_ms).run(arrivals(seconds=12.0))
    waited = [
        (ready_ns - m.frame_set.reference_sample.received_ns) / MS - fuse_ms
        for ready_ns, m in masks[len(masks) // 4 : -2]
    ]
    assert len(masks) >= 0.9 * 12_000 / fuse_ms, "the network never rests"
    assert np.median(waited) <= 2 * PERIOD_MS


@pytest.mark.parametrize(("burners", "stall_ms"), [(0, 20.0), (1, 15.0), (2, 10.0)])
def test_no_reference_frame_is_lost_beside_processes_that_take_the_cores(
    burners: int, stall_ms: float
) -> None:
    """Two threads on two cores; one piece of work in ten stands still for longer than it takes."""
    masks, _, made = run(
        threads=2, cores=2, burners=burners, stall_ms=stall_ms, encode_ms=9, fuse_ms=6
    )
    assert len(reference_stamps() - served(masks)) <= 1
    assert made.pipeline.superseded == 0
    used = Counter(name for mask in settled(masks) for name in mask.sensors)
    assert all(used[name] > 0.4 * used["rgb"] for name in RIG.sensors), used


LAGGING = RigConfig(
    {
        "rgb": SensorConfig("rgb/image", "rgb"),
        "thermal": SensorConfig("thermal/image", "thermal", expected_hz=10.0),
    }
)


def lagging(lag_ms: float, seconds: float = 3.0) -> list[tuple[int, str, Any]]:
    """A colour camera, and a slower one whose images come so much later than they were taken."""
    coming = []
    for name, lag in (("rgb", 5.0), ("thermal", lag_ms)):
        sensor = LAGGING.sensors[name]
        for k in range(int(seconds * sensor.expected_hz)):
            pixels, taken = scene(name, k), k * sensor.period_ns
            message = image_message(pixels, ENCODINGS[name], START + taken)
            coming.append((taken + round(lag * MS), name, message))
    return sorted(coming, key=lambda a: a[0])


def test_a_sensor_that_takes_a_thread_for_half_a_second_costs_no_other_one() -> None:
    """Each sensor takes its own time: one has huge pictures, or an encoder that limps."""
    slow = {"thermal": 500.0}
    masks, _, _ = run(threads=2, encode_ms=5, fuse_ms=5, encode_ms_of=slow, seconds=3)
    assert reference_stamps(seconds=3) <= served(masks)
    without = [mask for mask in settled(masks) if not {"events", "depth"} <= {*mask.sensors}]
    assert without == []


@pytest.mark.parametrize(("sensor", "lost"), [("rgb", 22), ("events", 0)])
def test_an_encoding_that_hangs_once_holds_one_thread_up_and_not_the_masks(
    sensor: str, lost: int
) -> None:
    """It comes back after a second and a half, 45 frames later."""
    masks, _, _ = run(threads=2, encode_ms=5, fuse_ms=5, hang=(sensor, 1500.0), seconds=3)
    assert len(reference_stamps(seconds=3) - served(masks)) <= lost, "half a second, and the queue"
    stamps = [mask.frame_set.reference_sample.stamp_ns for _, mask in masks]
    assert stamps == sorted(set(stamps)), "what comes back late makes no mask"
    assert {"rgb", "events", "depth"} <= {*masks[-1][1].sensors}


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "halves"])
@pytest.mark.parametrize("back_after_ms", [1500.0, 1e6])
def test_a_fusion_that_hangs_once_holds_one_thread_up_and_not_the_masks(
    back_after_ms: float, whole: bool
) -> None:
    """That of a whole graph is all its work. It comes back 45 frames later, or never."""
    pipeline, _ = split_pipeline(RIG)
    if whole:
        model = Model(Path("nowhere"), small_manifest(classes=128))
        pipeline = Pipeline(RIG, model, CountingEngine(), in_time=True)
    hang = (back_after_ms, 0)
    made = Machine(pipeline, threads=2, encode_ms=2, fuse_ms=5, fusions_hang=hang)
    masks = made.run(arrivals(seconds=3))
    lost = reference_stamps(seconds=3) - served(masks)
    assert 1 <= len(lost) <= 18, "half a second, and the queue"
    stamps = [mask.frame_set.reference_sample.stamp_ns for _, mask in masks]
    assert stamps == sorted(set(stamps)), "what comes back late makes no mask"
    assert pipeline.superseded >= 1, "that its mask was lost is counted"


def test_fusions_that_all_hang_take_one_thread_after_the_other_and_no_more() -> None:
    """Then the supervisor ends the process; until then nothing grows."""
    pipeline, _ = split_pipeline(RIG)
    hang = (1e6, 10**6)
    made = Machine(pipeline, threads=3, encode_ms=2, fuse_ms=5, fusions_hang=hang)
    masks = made.run(arrivals(seconds=6))
    assert len(masks) == 29
    assert len(pipeline._parts.scheduler._given_up) == 2


@pytest.mark.parametrize("lag_ms", [40.0, 70.0, 95.0])
@pytest.mark.parametrize("in_time", [True, False])
def test_frame_sets_that_waited_for_one_sensor_do_not_supersede_one_another(
    lag_ms: float, in_time: bool
) -> None:
    """Three of them become due when its image comes; that is no sign of a slow network."""
    pipeline, _ = split_pipeline(LAGGING, in_time=in_time)
    made = Machine(pipeline, threads=1, encode_ms=6, fuse_ms=5)
    masks = made.run(lagging(lag_ms))
    assert len(served(masks)) == 90
    assert pipeline.superseded == 0
    assert all(m.sensors == ("rgb", "thermal") for m in settled(masks)[:-4])
    latencies = [at - m.frame_set.reference_sample.received_ns for at, m in masks]
    assert max(latencies) < (lag_ms + 40) * MS, "as long as that one makes them wait, and the work"


def test_but_a_network_that_is_too_slow_makes_the_newest_of_them() -> None:
    pipeline, _ = split_pipeline(LAGGING)
    masks = Machine(pipeline, threads=1, encode_ms=35, fuse_ms=20).run(lagging(95.0))
    assert pipeline.superseded > 30
    latencies = [at - m.frame_set.reference_sample.received_ns for at, m in masks[5:]]
    assert np.percentile(latencies, 99) < 180 * MS, "masks do not come later and later"


def test_of_two_threads_one_is_free_for_the_reference_when_its_next_frame_comes() -> None:
    budget = Budget(0, threads=2)
    budget.encode.observe(20 * MS)
    budget.expect(100 * MS, 33 * MS)
    assert budget.leaves_a_thread("depth", 70 * MS, []), "it ends before"
    assert budget.leaves_a_thread("depth", 90 * MS, []), "the other one is free"
    assert budget.leaves_a_thread("depth", 90 * MS, [95 * MS]), "the other one will be free"
    assert not budget.leaves_a_thread("depth", 90 * MS, [105 * MS])
    assert not budget.leaves_a_thread("depth", 110 * MS, [125 * MS]), "it is a little late"
    assert not budget.leaves_a_thread("depth", 90 * MS, [85 * MS]), "it should have ended"
    assert budget.leaves_a_thread("depth", 140 * MS, [155 * MS]), "it does not come"
    budget.threads = 1
    assert budget.leaves_a_thread("depth", 90 * MS, []), "one thread has its credit to go by"


def test_a_piece_of_work_that_stood_still_is_not_the_rule_but_many_are() -> None:
    cost = RunningCost()
    cost.observe(10 * MS)
    cost.observe(500 * MS)
    assert cost.ns <= 11 * MS
    for _ in range(40):
        cost.observe(30 * MS)
    assert cost.ns > 28 * MS


def test_what_an_engine_takes_at_first_keeps_nobody_out() -> None:
    """One compiles for each sensor, one at its first call; what comes then is the rule."""
    for first in ([300], [300, 290, 310, 280]):
        cost = RunningCost()
        for took_ms in (*first, 6, 5, 7):
            cost.observe(took_ms * MS)
        assert cost.ns < 8 * MS
        assert cost.high_ns < 12 * MS
    late = RunningCost()
    for took_ms in (*[20] * 40, 5):
        late.observe(took_ms * MS)
    assert late.ns > 18 * MS, "and later a short one is one of many"


def test_what_fusing_many_took_at_a_bad_moment_does_not_keep_them_out_for_ever() -> None:
    budget = Budget(0)
    budget.fused(4, 200 * MS)
    for number in (1, 2, 3):
        budget.fused(number, 8 * MS)
        assert budget.fuse_ns(4) <= 16 * MS
    budget.fused(4, 9 * MS)
    assert budget.fuse_ns(4) < 200 * MS


def test_when_the_reference_alone_is_too_much_the_newest_come_first_and_others_have_a_share() -> (
    None
):
    masks, _, made = run(threads=1, encode_ms=40, fuse_ms=30)
    latencies = [at - m.frame_set.reference_sample.received_ns for at, m in masks if m.sensors]
    assert np.percentile(latencies[5:], 99) < 300 * MS, "masks do not come later and later"
    assert made.pipeline.superseded > 20
    others = Counter(n for m in settled(masks) for n in m.sensors if n != "rgb")
    assert sum(others.values()) > len(settled(masks)) / 4, others


def test_frames_that_will_be_superseded_are_not_encoded() -> None:
    masks, engine, made = run(threads=2, encode_ms=50, fuse_ms=45)
    assert made.pipeline.superseded > 50
    assert engine.encoded[IDS["rgb"]] <= len(masks) + 2


def test_what_is_left_out_is_told_as_no_time_and_counted() -> None:
    masks, _, made = run(threads=1, encode_ms=13, fuse_ms=8)
    reasons = [r for m in settled(masks) for r in m.frame_set.missing.values()]
    assert any(r.startswith("no time") for r in reasons)
    shares = {s.sensor: s.fused for s in made.pipeline.status(5 * S)}
    assert sum(share.skipped for share in shares.values()) > 10
    assert shares["rgb"].skipped == 0
    assert shares["rgb"].used == shares["rgb"].masks


def test_features_of_the_sample_before_stand_in_within_the_tolerance() -> None:
    masks, _, made = run(threads=1, encode_ms=11, fuse_ms=8)
    shares = {s.sensor: s.fused for s in made.pipeline.status(5 * S)}
    assert sum(share.reused for share in shares.values()) > 0
    for mask in settled(masks):
        for name in mask.sensors:
            apart = abs(
                mask.frame_set.samples[name].time_ns - mask.frame_set.reference_sample.time_ns
            )
            assert apart <= RIG.sensors[name].tolerance_ns


def test_no_sensor_starves_while_there_is_time_for_some() -> None:
    masks, _, _ = run(threads=1, encode_ms=11, fuse_ms=6, seconds=8)
    used = Counter(name for mask in settled(masks) for name in mask.sensors)
    assert all(used[name] > 0.1 * used["rgb"] for name in RIG.sensors), used


def test_a_clock_that_was_ahead_for_a_moment_does_not_cost_its_sensor_the_time_to_come() -> None:
    """What was encoded in that moment lies an hour ahead, and is not what is known of late."""
    sensors = {n: replace(s, expected_hz=30.0) for n, s in RIG.sensors.items() if n != "events"}
    coming = []
    for place, (name, sensor) in enumerate(sensors.items()):
        for k in range(105):
            taken = round((k + 0.1 * place) * sensor.period_ns)
            ahead = 3600 * S if name == "thermal" and 30 <= k < 60 else 0
            pixels = scene(sensor.modality, 1000 * place + k)
            message = image_message(pixels, ENCODINGS[sensor.modality], START + taken + ahead)
            coming.append((taken + (4 + place) * MS, name, message))
    pipeline, _ = split_pipeline(RigConfig(sensors))
    made = Machine(pipeline, threads=1, encode_ms=12, fuse_ms=8)
    masks = made.run(sorted(coming, key=lambda a: a[0]))
    after = [m for at, m in masks if 2.7 * S < at < 3.4 * S]
    assert len(after) >= 20
    assert sum("thermal" in mask.sensors for mask in after) >= len(after) - 2


def test_of_many_cameras_each_has_its_turn_also_those_that_were_never_fused() -> None:
    kinds = ("rgb", *(("thermal", "depth", "event") * 4))
    rig = RigConfig(
        {
            f"{kind}{n}": SensorConfig(f"{kind}{n}", kind, expected_hz=30)
            for n, kind in enumerate(kinds)
        }
    )
    masks, _, _ = run(rig, threads=1, encode_ms=6, fuse_ms=5, seconds=8)
    used = Counter(name for mask in settled(masks) for name in mask.sensors)
    assert reference_stamps(seconds=8) <= served(masks), "no reference frame for it"
    assert min(used[name] for name in rig.sensors) >= 8, used


RATES = st.sampled_from([5.0, 9.0, 15.0, 20.0, 30.0, 60.0])


@settings(max_examples=25, deadline=None)
@example(
    reference_hz=60.0, others=[("rgb", 5.0), ("rgb", 60.0)], threads=1, encode_ms=11.0, fuse_ms=2.0
)
@given(
    reference_hz=RATES,
    others=st.lists(
        st.tuples(st.sampled_from(["rgb", "thermal", "depth", "event"]), RATES), max_size=6
    ),
    threads=st.sampled_from([1, 2, 4]),
    encode_ms=st.floats(1.0, 15.0),
    fuse_ms=st.floats(1.0, 12.0),
)
def test_whatever_the_rig_masks_leave_in_order_none_is_lost_and_nobody_starves(
    reference_hz: float,
    others: list[tuple[str, float]],
    threads: int,
    encode_ms: float,
    fuse_ms: float,
) -> None:
    kinds = [("rgb", reference_hz), *others]
    rig = RigConfig(
        {f"{k}{n}": SensorConfig(f"{k}{n}", k, expected_hz=hz) for n, (k, hz) in enumerate(kinds)}
    )
    seconds = 2.5
    masks, _, _ = run(rig, threads=threads, encode_ms=encode_ms, fuse_ms=fuse_ms, seconds=seconds)
    stamps = [m.frame_set.reference_sample.stamp_ns for _, m in masks]
    assert stamps == sorted(set(stamps))
    reference_share = (encode_ms + fuse_ms) * reference_hz / 1e3
    if reference_share > 0.9:
        return  # frames are lost whatever is left out
    period = rig.sensors["rgb0"].period_ns
    taken = {START + k * period for k in range(int(seconds * reference_hz))}
    assert {stamp for stamp in taken if stamp > START + S // 2} <= served(masks)
    work_s = sum(hz for _, hz in kinds) * encode_ms / 1e3 + reference_hz * fuse_ms / 1e3
    if work_s <= 2.0 * threads:
        used = Counter(name for mask in settled(masks) for name in mask.sensors)
        assert all(used[name] for name in rig.sensors), used


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_desk_waits_for_everything_whatever_it_takes(threads: int) -> None:
    masks, _, _ = run(threads=threads, encode_ms=2, fuse_ms=2, in_time=False)
    made = [m for m in settled(masks) if m.frame_set.reference_sample.time_ns < START + 3.8 * S]
    assert all(len(m.sensors) == 4 for m in made)


@pytest.mark.parametrize("compressed", [False, True])
def test_masks_leave_in_order_and_no_instant_twice(compressed: bool) -> None:
    for threads in (1, 2, 3):
        masks, _, _ = run(threads=threads, encode_ms=15, fuse_ms=12, compressed=compressed)
        stamps = [m.frame_set.reference_sample.stamp_ns for _, m in masks]
        assert stamps == sorted(set(stamps))


def test_a_compressed_camera_and_a_slow_network_give_no_mask_without_it() -> None:
    rig = RigConfig(
        {
            "rgb": SensorConfig("rgb/compressed", "rgb"),
            "thermal": SensorConfig("thermal", "thermal"),
        }
    )
    masks, _, _ = run(rig, threads=1, encode_ms=40, fuse_ms=30, decode_ms=6, compressed=True)
    assert len(masks) > 20
    assert all("rgb" in mask.sensors for _, mask in masks[1:])


def test_the_result_is_the_same_as_encoding_all_afresh() -> None:
    """What is kept with a sample is what it would be made to once more."""
    ahead, _, _ = run(threads=3, encode_ms=3, fuse_ms=2, in_time=False)
    pipeline, _ = split_pipeline(RIG, in_time=False)
    lazily: list[Prediction] = []
    for at, sensor, message in arrivals():
        while (wakeup := pipeline.next_wakeup_ns()) is not None and wakeup < at:
            while (mask := pipeline.poll(wakeup)) is not None:
                lazily.append(mask)
            if pipeline.next_wakeup_ns() == wakeup:
                break
        pipeline.push_message(sensor, message, at)
        while (mask := pipeline.poll(at)) is not None:
            lazily.append(mask)
    by_stamp = {m.frame_set.reference_sample.stamp_ns: m for _, m in ahead}
    compared = 0
    for mask in lazily[15:-15]:
        other = by_stamp[mask.frame_set.reference_sample.stamp_ns]
        chosen = {n: s.stamp_ns for n, s in mask.frame_set.samples.items()}
        if chosen == {n: s.stamp_ns for n, s in other.frame_set.samples.items()}:
            assert np.array_equal(mask.mask, other.mask)
            compared += 1
    assert compared > 50


def test_memory_does_not_grow_with_what_has_been_encoded() -> None:
    pipeline, _ = split_pipeline(RIG)
    Machine(pipeline, threads=2, encode_ms=5, fuse_ms=4).run(arrivals(seconds=6.0))
    buffers = pipeline._parts.intake._synchronizer._buffers
    assert all(len(buffer) < 16 for buffer in buffers.values())
    assert all(len(buffer._used) <= len(buffer) for buffer in buffers.values())


def test_an_engine_that_raises_costs_one_sample_and_not_the_next() -> None:
    pipeline, engine = split_pipeline(RIG, in_time=False)
    encode, failures = engine.encode, []

    def raising(batch: Any) -> Any:
        if len(failures) < 2:
            failures.append(batch)
            raise RuntimeError("out of memory")
        return encode(batch)

    engine.encode = raising  # type: ignore[method-assign]
    raised, masks = 0, 0
    for at, sensor, message in arrivals(seconds=1.0):
        pipeline.push_message(sensor, message, at)
        for _ in range(10):
            try:
                mask = pipeline.poll(at)
            except RuntimeError:
                raised += 1
                continue
            if mask is None:
                break
            masks += bool(mask.sensors)
    assert raised == 2
    assert masks >= 25


def test_at_most_so_many_masks_a_second_where_that_is_wanted() -> None:
    masks, _, _ = run(replace(RIG, max_rate_hz=10.0), threads=2, encode_ms=2, fuse_ms=2)
    assert 36 <= len(masks) <= 44, "of 120 frames in 4 s"


@pytest.mark.parametrize(
    "limit", [{"max_rate_hz": 5.0}, {"trigger": "rate", "trigger_hz": 5.0}], ids="+".join
)
def test_where_fewer_masks_are_wanted_there_is_time_for_all_of_their_sensors(
    limit: dict[str, Any],
) -> None:
    """Who limits the rate because the machine is slow must not pay for frames that open nothing."""
    sensors = {n: replace(s, expected_hz=30.0) for n, s in RIG.sensors.items()}
    rig = RigConfig({n: sensors[n] for n in ("rgb", "thermal", "depth")}, **limit)
    masks, engine, _ = run(rig, threads=1, encode_ms=30, fuse_ms=25, seconds=3.0)
    assert 14 <= len(masks) <= 16
    assert all(len(mask.sensors) == 3 for mask in settled(masks)[:-1])
    assert engine.encoded.total() <= 3 * len(masks), "and nothing is encoded that no mask shows"


def test_a_second_place_is_given_up_when_the_network_falls_behind_and_taken_again() -> None:
    backlog = Backlog()
    for waiting in (1, 2, 1, 1, 2, 1):
        backlog.observe(waiting)
    assert not backlog.behind, "a moment's delay now and then"
    backlog.observe(2)
    assert backlog.behind
    for _ in range(9):
        backlog.observe(1)
    assert backlog.behind, "not at the first sign of relief"
    for _ in range(3):
        backlog.observe(1)
    assert not backlog.behind


def test_who_is_behind_and_lets_frames_go_for_it_stays_so_but_has_time() -> None:
    backlog = Backlog()
    for _ in range(3):
        backlog.observe(2)
    assert backlog.behind and not backlog.has_time
    for take in range(30):
        backlog.observe(1, superseded=take % 5 == 0)
    assert backlog.behind, "that none waits is due to those that had to go"
    assert backlog.has_time
    for _ in range(10):
        backlog.observe(1)
    assert not backlog.behind


@pytest.mark.parametrize("in_time", [True, False], ids=["robot", "desk"])
def test_a_network_that_is_a_little_too_slow_makes_no_mask_later_than_it_must(
    in_time: bool,
) -> None:
    rig = RigConfig({"rgb": replace(RIG.sensors["rgb"], checks=UNCHECKED)})
    model = Model(Path("nowhere"), small_manifest(classes=128))
    pipeline = Pipeline(rig, model, CountingEngine(), in_time=in_time)
    machine = Machine(pipeline, threads=1, encode_ms=0.1, fuse_ms=40)
    masks = machine.run(arrivals(rig, seconds=8.0))
    late_ms = [
        (ready_ns - m.frame_set.reference_sample.received_ns) / MS
        for ready_ns, m in masks[len(masks) // 4 :]
    ]
    assert len(masks) >= 0.95 * 8_000 / 40, "the network never rests"
    assert max(late_ms) <= 2 * 40 + 2, "the newest first: never the one before it"


def test_lost_frames_take_from_the_others_what_the_reckoning_gives_them() -> None:
    """Somebody else has the cores: what is left over is less than it seems, until it is not."""
    budget = Budget(0, threads=2)
    budget.encode.observe(10_000_000)
    budget.fused(1, 10_000_000)

    def credit_of_a_frame() -> int:
        before = budget.credit_ns
        budget.frame_came("rgb", 33_000_000, 1)
        return budget.credit_ns - before

    whole = credit_of_a_frame()
    assert whole == 46_000_000
    for _ in range(6):
        budget.frame_lost()
    assert budget.credit_ns == 0, "nothing is owed"
    assert credit_of_a_frame() < 0.05 * whole
    given = []
    for _ in range(60):
        budget.credit_ns = 0
        given.append(credit_of_a_frame())
    assert given == sorted(given) and given[-1] == whole


def test_a_time_in_which_nothing_was_left_is_not_owed_afterwards() -> None:
    """Others have the cores for a while; when they are gone, the next frame has credit again."""
    budget, period_ns = Budget(0, threads=1), 33_000_000
    budget.fused(1, 8_000_000)
    budget.encode.observe(8_000_000)
    for _ in range(10):
        budget.encode.observe(60_000_000)
        budget.fused(1, 60_000_000)
    assert budget.encode.ns + budget.fuse_ns(1) > period_ns, "nothing is left"
    assert budget.reference_fits("rgb", period_ns, 1), "but alone it fits"
    for _ in range(30):
        budget.frame_came("rgb", period_ns, 1)
        assert budget.credit_ns == 0
    for _ in range(50):
        budget.encode.observe(8_000_000)
        budget.fused(1, 8_000_000)
    budget.frame_came("rgb", period_ns, 1)
    assert budget.credit_ns > 16_000_000


def test_whether_the_reference_fits_is_asked_of_what_it_takes_alone() -> None:
    """Beside others it takes longer: that is a reason to leave those out, not to give up."""
    budget, period_ns = Budget(0, threads=2), 33_000_000
    for _ in range(20):
        budget.encode.observe(10_000_000)
        budget.fused(1, 10_000_000)
    for _ in range(10):
        budget.encode.observe(40_000_000)
    assert budget.encode.ns > 20_000_000, "that is what it takes now"
    assert budget.reference_fits("rgb", period_ns, 1)
    for _ in range(400):
        budget.encode.observe(40_000_000)
    assert not budget.reference_fits("rgb", period_ns, 1), "a machine that became slow is slow"
    budget.encode.observe(10_000_000)
    assert budget.reference_fits("rgb", period_ns, 1)
