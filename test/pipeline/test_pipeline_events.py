"""Messages of event cameras on their way to a mask."""

from __future__ import annotations

import itertools
import queue
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from fixtures.event_messages import event_array, event_packet, evt3_words
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message
from fixtures.pictures import png
from fixtures.pipelines import MS, RIG, START, CountingEngine, S, message, pipeline
from fixtures.scenes import scene

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import Prediction, SensorState, SensorStatus
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.events import event_thread
from anymodal_seg_ros.sensing.events.values import Events


@pytest.mark.parametrize("twice", [1, 2, 20], ids=["all", "every other", "one in twenty"])
def test_packets_that_come_twice_cost_no_window(twice: int) -> None:
    statuses, masks = driven(lambda number: 2 if number % twice == 0 else 1)
    assert statuses["events"].state is SensorState.OK
    assert sum("events" in mask.sensors for mask in masks) >= len(masks) - 2
    repeated = statuses["events"].rejected["sequence"]
    assert repeated == len(range(0, 500, twice)), "they are counted all the same"
    assert "once more" in statuses["events"].last_error


def test_packets_without_stamps_are_a_fault_of_the_clock_as_of_any_camera() -> None:
    statuses, masks = driven(lambda number: 1, stamped=False)
    assert statuses["events"].state is SensorState.CLOCK
    assert "let the driver stamp" in statuses["events"].fault
    assert all("events" not in mask.sensors for mask in masks)


def test_a_camera_larger_than_its_messages_say_is_degraded_and_still_fused() -> None:
    statuses, masks = driven(lambda number: 1, width=320)
    assert statuses["events"].state is SensorState.DEGRADED
    assert "events lie outside 320x480, they reach 640x480" in statuses["events"].fault
    assert sum("events" in mask.sensors for mask in masks) >= len(masks) - 2


@pytest.mark.parametrize("kind", ["event_packet", "event_array"])
def test_events_whose_clock_is_ahead_are_not_taken_for_those_of_the_frames(kind: str) -> None:
    statuses, masks = driven(lambda number: 1, ahead_ns=500 * MS, kind=kind, every=8)
    assert statuses["events"].state is SensorState.CLOCK
    assert re.search(r"stamps are 5[01]\d ms ahead of those of rgb", statuses["events"].fault)
    assert statuses["rgb"].state is SensorState.OK
    assert all("events" not in mask.sensors for mask in masks[-20:]), "they show half a second ago"


def test_frames_that_take_long_find_the_events_of_their_time() -> None:
    statuses, masks = driven(lambda number: 1, ahead_ns=240 * MS, every=8)
    assert statuses["events"].state is SensorState.OK
    assert all("events" in mask.sensors for mask in masks[-20:])


@pytest.mark.parametrize("every", [18, 70, 120], ids=["14 Hz", "3.6 Hz", "2 Hz"])
def test_frames_that_come_more_seldom_than_windows_could_find_theirs(every: int) -> None:
    """Windows of the camera's own must not end where the next frame's will have to go back."""
    statuses, masks = driven(lambda number: 1, every=every, hz=30.0)
    assert statuses["events"].state is SensorState.OK, statuses["events"].fault
    assert all("events" in mask.sensors for mask in masks[1:])


def driven(
    copies: Callable[[int], int],
    *,
    stamped: bool = True,
    width: int = 640,
    ahead_ns: int = 0,
    kind: str = "event_packet",
    every: int = 25,
    hz: float = 10.0,
) -> tuple[dict[str, SensorStatus], list[Prediction]]:
    """Drive for two seconds: packets of 4 ms, each sent so many times, and frames at 10 Hz.

    Or arrays of events, stamped ahead of the frames, or a frame with every so many of them.
    """
    events = SensorConfig("events/packets", "event", type=kind, expected_hz=hz)
    pipe = pipeline(RigConfig({"rgb": RIG.sensors["rgb"], "events": events}))
    noise = np.random.default_rng(0)
    masks: list[Prediction] = []
    for number in range(500):
        now = number * 4 * MS
        times = 1_000_000 + number * 4000 + np.sort(noise.integers(0, 4000, 300))
        x, y, on = (noise.integers(0, high, 300) for high in (640, 480, 2))
        stamp = START + now + ahead_ns if stamped else 0
        if kind == "event_array":
            at = stamp + 1000 * (times - times[0])
            packet = event_array(Events(at, x, y, on), stamp, 480, width)
        else:
            words = evt3_words(times, x, y, on)
            packet = event_packet(words, seq=number + 1, stamp_ns=stamp, width=width)
        for _ in range(copies(number)):
            pipe.push_message("events", packet, now)
        if number % every == 5:
            pipe.push_message("rgb", message("rgb", START + now - 10 * MS), now + MS)
        while (prediction := pipe.poll(now + 2 * MS)) is not None:
            masks.append(prediction)
    return {status.sensor: status for status in pipe.status(2 * S)}, masks


def test_packets_of_an_event_camera_are_fused_with_the_frames_they_lead_to() -> None:
    manifest = small_manifest(classes=32)
    rig = RigConfig(
        {
            "rgb": SensorConfig("rgb/image", "rgb", expected_hz=10.0),
            "events": SensorConfig("events/packets", "event", type="event_packet"),
        }
    )
    pipe = Pipeline(rig, Model(Path("nowhere"), manifest), CountingEngine())
    dice = np.random.default_rng(0)
    made: list[Prediction] = []

    def run(start: int, begin: int) -> None:
        for number in range(250):  # packets of 4 ms, and a frame each 100 ms that comes 10 ms late
            now = begin + number * 4 * MS
            times = 1_000_000 + number * 4000 + np.sort(dice.integers(0, 4000, 300))
            x, y, on = (dice.integers(0, high, 300) for high in (640, 480, 2))
            packet = event_packet(
                evt3_words(times, x, y, on), seq=number, stamp_ns=start + number * 4 * MS
            )
            assert pipe.push_message("events", packet, now) is None
            if number % 25 == 5:
                stamp = start + number * 4 * MS - 10 * MS
                assert pipe.push_message("rgb", message("rgb", stamp), now + MS) is None
            prediction = pipe.poll(now + 2 * MS)
            if prediction is not None:
                made.append(prediction)

    def check(predictions: list[Prediction]) -> None:
        # The first frame may come before the camera's clock is known.
        fused = [p for p in predictions if p.sensors == ("rgb", "events")]
        assert len(fused) >= 9
        for prediction in fused:
            samples = prediction.frame_set.samples
            assert prediction.frame_set.reference == "rgb"
            assert samples["events"].stamp_ns == samples["rgb"].stamp_ns
            assert samples["events"].image.pixels.any()

    run(START, 10 * S)
    check(made)
    status = pipe.status(10 * S + 1000 * MS)[1]
    assert status.state is SensorState.OK
    assert status.rejected == {}
    made.clear()
    run(START, 1 * S)  # the bag begins again
    check(made)


def test_a_packet_that_cannot_be_read_is_counted_and_named() -> None:
    rig = RigConfig({"events": SensorConfig("events/packets", "event", type="event_packet")})
    pipe = pipeline(rig)
    error = pipe.push_message("events", event_packet(b"1234", encoding="h264"), 0)
    assert error is not None
    assert error.startswith("events/packets: encoding is 'h264'")
    (status,) = pipe.status(0)
    assert status.rejected == {"encoding": 1}
    assert status.arrived == 1


def test_a_compressed_picture_on_an_event_sensor_is_no_packet() -> None:
    rig = RigConfig({"events": SensorConfig("events/image/compressed", "event")})
    pipe = pipeline(rig)
    picture = png(scene("event", 1, 20, 30))
    assert pipe.push_message("events", compressed_message(picture, "png", START), 0) is None
    prediction = pipe.poll(100 * MS)
    assert prediction is not None
    assert prediction.sensors == ("events",)


def test_packets_without_events_cost_the_camera_its_place_and_not_the_masks() -> None:
    rig = RigConfig(
        {
            "events": SensorConfig("events/packets", "event", type="event_packet"),
            "rgb": SensorConfig("rgb", "rgb"),
        }
    )
    pipe = pipeline(rig)
    stamps = []
    for tick in range(900):  # 3 s; the packets are empty from 1 s on
        now = START + tick * S // 300
        time_us, place = tick * 10_000 // 3, np.array([tick % 30])
        words = evt3_words(np.array([time_us]), place, place % 20, place % 2)
        data = words.tobytes() if tick < 300 else b""
        packet = event_packet(data, seq=tick, stamp_ns=now, height=20, width=30)
        assert pipe.push_message("events", packet, now) is None
        if tick % 10 == 0:
            pipe.push_message("rgb", message("rgb", now), now)
        while (prediction := pipe.poll(now)) is not None:
            stamps.append(prediction.frame_set.reference_sample.stamp_ns)
    status = {one.sensor: one for one in pipe.status(now)}
    assert status["events"].state is SensorState.INVALID
    assert "no window of events for " in status["events"].fault
    assert {check.name for check in status["events"].checks} >= {"lost_packets", "events_outside"}
    assert status["rgb"].state is SensorState.OK
    gaps = np.diff(stamps)
    assert len(stamps) > 70
    assert gaps.max() < S, "within a second the other camera leads"


def test_what_nobody_foresaw_in_the_thread_of_the_events_is_told() -> None:
    events = SensorConfig("events/packets", "event", type="event_packet")
    pipe = pipeline(RigConfig({"rgb": RIG.sensors["rgb"], "events": events}))
    told: queue.Queue[Exception] = queue.Queue()

    def broken() -> None:
        raise RuntimeError("the listener is broken")

    pipe.attach(1, broken, told.put)
    try:
        for number in range(60):  # alone, the camera makes windows of its own accord
            times = np.arange(4) + 1000 * 4 * number
            words = evt3_words(times, *(np.arange(4) for _ in range(2)), np.arange(4) % 2)
            stamp = START + number * 4 * MS
            pipe.push_message("events", event_packet(words, stamp_ns=stamp), number * 4 * MS)
        assert "the listener is broken" in str(told.get(timeout=60.0))
    finally:
        assert pipe.detach()


def test_packets_that_were_pushed_out_of_the_queue_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_thread, "_MESSAGE_BYTES", event_thread.QUEUE_BYTES // 2)
    events = SensorConfig("events/packets", "event", type="event_packet")
    pipe = pipeline(RigConfig({"rgb": RIG.sensors["rgb"], "events": events}))
    entered: queue.Queue[None] = queue.Queue()
    gate = threading.Event()

    def busy() -> None:
        entered.put(None)
        gate.wait(60.0)

    def push(numbers: Iterable[int]) -> None:
        for number in numbers:
            times = np.arange(4) + 1000 * 4 * number
            words = evt3_words(times, *(np.arange(4) for _ in range(2)), np.arange(4) % 2)
            stamp = START + number * 4 * MS
            pipe.push_message("events", event_packet(words, stamp_ns=stamp), number * 4 * MS)

    pipe.attach(1, busy, lambda error: None)
    try:
        numbers = itertools.count()
        while entered.empty():  # alone, the camera makes windows of its own accord
            push([next(numbers)])
        push(next(numbers) for _ in range(20))
        gate.set()
        while entered.qsize() < 2:
            push([next(numbers)])
        dropped = pipe.status(next(numbers) * 4 * MS)[1].dropped
        assert dropped["not decoded, the queue was full"] >= 18
    finally:
        gate.set()
        assert pipe.detach()
