from __future__ import annotations

import numpy as np
import pytest
from fixtures.event_messages import SECOND_NS, event_packet, evt3_words
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import EventConfig
from anymodal_seg_ros.sensing.events.values import EventWindow
from anymodal_seg_ros.sensing.events.windows import EventAccumulator

MS = 1_000_000
PERIOD_NS = 20 * MS
OFFSET_NS = 1_700_000_000 * SECOND_NS
"""Header time minus sensor time in these tests."""
event_us = np.sort(np.random.default_rng(7).integers(5_000, 505_000, 5000))
event_place = np.random.default_rng(8).integers(0, 480, event_us.size)


def accumulator(**config: object) -> EventAccumulator:
    return EventAccumulator(EventConfig(window_s=0.02, **config), PERIOD_NS, SECOND_NS)


def header_ns(sensor_ms: float) -> int:
    return OFFSET_NS + round(sensor_ms * MS)


def play(camera: EventAccumulator, start_ms: int, stop_ms: int, step_ms: int) -> list[EventWindow]:
    """Send the events of a span in packets of some length; return the windows that came out."""
    windows = []
    for number, begin in enumerate(range(start_ms, stop_ms, step_ms)):
        inside = (event_us >= 1000 * begin) & (event_us < 1000 * (begin + step_ms))
        times, place = event_us[inside], event_place[inside]
        words = evt3_words(times, place, place, place % 2)
        # A still scene is not without words: the sensor goes on to send its time.
        ticks = [0x8000 | 1000 * begin >> 12, 0x6000 | 1000 * begin & 0xFFF]
        message = event_packet(
            np.concatenate([np.array(ticks, "<u2"), words]),
            seq=start_ms // step_ms + number,
            stamp_ns=header_ns(begin),
        )
        camera.push(message)
        windows += camera.take()
    return windows


def count(begin_ms: float, end_ms: float) -> int:
    return int(((event_us >= 1000 * begin_ms) & (event_us < 1000 * end_ms)).sum())


@pytest.mark.parametrize("step_ms", [1, 4, 10])
def test_a_window_that_was_asked_for_ends_exactly_at_the_frames_stamp(step_ms: int) -> None:
    camera = accumulator()
    play(camera, 0, 60, step_ms)
    camera.request(header_ns(47.25))
    (window,) = camera.take()
    assert (window.start_ns, window.end_ns) == (header_ns(27.25), header_ns(47.25))
    assert (window.height, window.width, window.frame_id) == (480, 640, "event_camera")
    assert window.complete
    expected = event_us[(event_us >= 27_250) & (event_us < 47_250)]
    assert window.time_ns.tolist() == [OFFSET_NS + 1000 * t for t in expected.tolist()]
    assert camera.take() == []


def test_a_window_waits_until_the_camera_has_reached_its_end() -> None:
    camera = accumulator()
    play(camera, 0, 40, 4)
    camera.request(header_ns(50))
    assert play(camera, 40, 48, 4) == []
    (window,) = play(camera, 48, 56, 4)
    assert window.time_ns.size == count(30, 50)


def test_the_time_of_a_still_scene_is_enough_and_its_window_is_empty_and_complete() -> None:
    camera = accumulator()
    play(camera, 300, 520, 4)
    camera.request(header_ns(545))
    (window,) = play(camera, 520, 552, 4)
    assert window.time_ns.size == 0
    assert window.complete


def test_a_camera_that_nobody_asks_makes_a_window_per_period() -> None:
    camera = accumulator()
    windows = play(camera, 0, 400, 4)
    ends = np.array([window.end_ns for window in windows])
    assert ends[0] == header_ns(40)
    assert (np.diff(ends) == PERIOD_NS).all()
    assert len(windows) == 18
    assert all(w.time_ns.size == count(20 * n + 20, 20 * n + 40) for n, w in enumerate(windows))


def test_windows_of_its_own_begin_two_periods_after_the_last_request() -> None:
    camera = accumulator()
    play(camera, 0, 20, 4)
    ends = []
    for frame_ms in range(20, 200, 20):  # frames reach us 8 ms after their stamp
        ends += [w.end_ns for w in play(camera, frame_ms, frame_ms + 8, 4)]
        camera.request(header_ns(frame_ms))
        ends += [w.end_ns for w in camera.take()]
        ends += [w.end_ns for w in play(camera, frame_ms + 8, frame_ms + 20, 4)]
    assert ends == [header_ns(frame_ms) for frame_ms in range(20, 200, 20)]
    own = [w.end_ns for w in play(camera, 200, 300, 4)]
    assert own == [header_ns(t) for t in (224, 244, 264, 284)]


def test_a_long_silence_of_packets_is_not_filled_with_old_windows() -> None:
    camera = accumulator()
    play(camera, 0, 100, 4)
    windows = play(camera, 400, 404, 4)
    assert len(windows) == 1
    assert windows[0].end_ns > header_ns(380)
    assert not windows[0].complete


def test_a_window_says_when_events_of_it_are_missing() -> None:
    camera = accumulator()
    play(camera, 8, 60, 4)
    for end_ms in (15, 30, 59):
        camera.request(header_ns(end_ms))
    assert [window.complete for window in camera.take()] == [False, True, True]
    play(camera, 68, 120, 4)  # two packets were lost
    for end_ms in (59, 66, 80, 90):
        camera.request(header_ns(end_ms))
    assert [window.complete for window in camera.take()] == [False, False, False, True]


def test_requests_are_answered_once_in_order_and_not_without_end() -> None:
    camera = accumulator()
    play(camera, 0, 30, 4)
    for end_ms in (27, 25, 27):
        camera.request(header_ns(end_ms))
    assert [w.end_ns for w in camera.take()] == [header_ns(25), header_ns(27)]
    for frame in range(100):
        camera.request(header_ns(1000 + frame))
    windows = [w for w in play(camera, 996, 1200, 4) if w.end_ns < header_ns(1100)]
    assert len(windows) <= 16 + 5
    assert windows[-1].end_ns == header_ns(1099)


def test_a_loop_of_a_bag_begins_anew() -> None:
    camera = accumulator()
    first = play(camera, 0, 200, 4)
    camera.request(header_ns(9999))
    second = play(camera, 0, 200, 4)
    assert [w.end_ns for w in second] == [w.end_ns for w in first]
    assert [w.time_ns.tolist() for w in second] == [w.time_ns.tolist() for w in first]
    camera.reset()
    third = play(camera, 0, 200, 4)
    assert [w.end_ns for w in third] == [w.end_ns for w in first]


@settings(max_examples=25)
@given(
    st.sampled_from([1, 2, 5, 20]),
    st.lists(st.integers(20_000, 200_000), min_size=1, max_size=8, unique=True),
)
def test_windows_do_not_depend_on_how_events_are_packed(step: int, ends_us: list[int]) -> None:
    camera = accumulator()
    made = []
    for begin in range(0, 240, step):
        made += play(camera, begin, begin + step, step)
        for end_us in ends_us:
            if 1000 * begin <= end_us < 1000 * (begin + step):
                camera.request(OFFSET_NS + 1000 * end_us)
    windows = {window.end_ns: window for window in made}
    for end_us in ends_us:
        window = windows[OFFSET_NS + 1000 * end_us]
        inside = (event_us >= end_us - 20_000) & (event_us < end_us)
        cells = 2 * (640 * event_place + event_place) + event_place % 2
        assert window.cells.tolist() == cells[inside].tolist()
