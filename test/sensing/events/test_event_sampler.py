from __future__ import annotations

import threading

import numpy as np
from fixtures.event_messages import SECOND_NS, event_array, event_packet, evt3_words
from fixtures.messages import image_message, sample

from anymodal_seg_ros.config import EventConfig, RigConfig, SensorConfig
from anymodal_seg_ros.frames import Sample, SensorState
from anymodal_seg_ros.sensing.events.messages import is_event_message
from anymodal_seg_ros.sensing.events.sampler import EventSampler
from anymodal_seg_ros.sensing.events.values import Events
from anymodal_seg_ros.sensing.sync.synchronizer import Synchronizer

MS = 1_000_000
START_NS = 1_700_000_000 * SECOND_NS
SENSORS = {
    "rgb": SensorConfig("rgb", "rgb", expected_hz=30.0),
    "events": SensorConfig("events", "event", expected_hz=30.0, offset_s=0.005),
}


def packet(number: int, length_ms: int = 4):
    """A packet of an event camera whose clock began 1 s before the host's ``START_NS``."""
    times_us = 1_000_000 + length_ms * 1000 * number + np.arange(8) * 500
    place = np.full(8, number % 480)
    stamp_ns = START_NS + length_ms * number * MS
    return event_packet(
        evt3_words(times_us, place, place, place % 2), seq=number, stamp_ns=stamp_ns
    )


def drive(sampler: EventSampler, duration_ms: int, rgb_until_ms: int) -> list[tuple[int, Sample]]:
    """Run a rig on a clock of 1 ms: packets each 4 ms, frames each 33 ms that come 12 ms late.

    Returns:
        Samples of both sensors with the ms in which they came.
    """
    arrived = []
    for now_ms in range(duration_ms):
        made = []
        if now_ms % 4 == 0:
            made += sampler.push("events", packet(now_ms // 4), now_ms * MS)
        if now_ms % 33 == 12 and now_ms < rgb_until_ms:
            frame = sample("rgb", START_NS + (now_ms - 12) * MS, now_ms * MS)
            made += [frame, *sampler.follow(frame)]
        arrived += [(now_ms, one) for one in made]
    return arrived


def test_every_frame_gets_a_sample_that_ends_at_its_stamp_in_good_time() -> None:
    sampler = EventSampler(SENSORS, {"events": EventConfig()}, SECOND_NS)
    arrived = drive(sampler, 600, 600)
    frames = {s.time_ns: now_ms for now_ms, s in arrived if s.sensor == "rgb"}
    events = {s.time_ns: (now_ms, s) for now_ms, s in arrived if s.sensor == "events"}
    assert len(frames) == 18
    assert set(events) == set(list(frames)[1:]), "one for each, but for the frame at the beginning"
    for time_ns, (now_ms, made) in events.items():
        assert now_ms == frames[time_ns], "at once: the packets are there before the frame"
        assert made.stamp_ns == time_ns - 5 * MS, "in the clock of its own stamps"
        assert (made.image.encoding, made.image.pixels.shape) == ("8UC3", (480, 640, 3))
        assert made.image.pixels.any()
        assert made.frame_id == "event_camera"


def test_frame_sets_hold_both_sensors_and_go_on_with_events_alone() -> None:
    sampler = EventSampler(SENSORS, {"events": EventConfig()}, SECOND_NS)
    synchronizer = Synchronizer(RigConfig(SENSORS))
    both = {"rgb": SensorState.OK, "events": SensorState.OK}
    alone = {"rgb": SensorState.FAILED, "events": SensorState.OK}
    sets = []
    for now_ms, made in drive(sampler, 900, 300):
        states = both if now_ms < 330 else alone
        synchronizer.add(made, states)
        sets += synchronizer.poll(now_ms * MS, states)
    fused = [s for s in sets if s.reference == "rgb" and "events" in s.samples]
    assert len(fused) >= 8
    assert all(s.samples["events"].time_ns == s.samples["rgb"].time_ns for s in fused)
    own = [s for s in sets if s.reference == "events"]
    assert len(own) >= 15, "33 ms apart when there is nobody to follow"


def test_any_kind_of_message_is_told_from_an_image() -> None:
    assert is_event_message(packet(0))
    assert is_event_message(event_array(Events.none(), SECOND_NS, 480, 640))
    assert is_event_message(b"serialised")
    assert not is_event_message(image_message(np.zeros((2, 2), np.uint8), "mono8"))


def test_two_threads_lose_nothing() -> None:
    sampler = EventSampler(SENSORS, {"events": EventConfig()}, SECOND_NS)
    stop = threading.Event()
    errors = []

    def follow() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                sampler.follow(sample("rgb", START_NS + number % 1000 * MS, 0))
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=follow)
    thread.start()
    for number in range(250):
        sampler.push("events", packet(number), 0)
    stop.set()
    thread.join()
    assert errors == []
    assert sampler.counts("events").events == 250 * 8
    sampler.reset()
    assert sampler.push("events", packet(0), 0) == []
