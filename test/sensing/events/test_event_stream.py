from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fixtures.event_messages import (
    SECOND_NS,
    event_array,
    event_packet,
    evt3_words,
    mono_words,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import EventConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.events.values import Events
from anymodal_seg_ros.sensing.events.windows import EventStream

T0_US = 3_000_000
OFFSET_NS = 1_700_000_000 * SECOND_NS


def stream(**config: int) -> EventStream:
    return EventStream(EventConfig(**config), SECOND_NS)


def burst(number: int, count: int = 10, start_us: int = T0_US, **fields: object) -> SimpleNamespace:
    """A packet of 10 ms with ``count`` events on the diagonal, stamped when it is complete."""
    times = start_us + 10_000 * number + np.arange(count) * (10_000 // count)
    place = np.arange(count)
    stamp_ns = OFFSET_NS + 1000 * (start_us + 10_000 * (number + 1))
    values = {"seq": 100 + number, "stamp_ns": stamp_ns, **fields}
    return event_packet(evt3_words(times, place, place, place % 2), **values)


def to_ns(message: SimpleNamespace) -> int:
    return message.header.stamp.sec * SECOND_NS + message.header.stamp.nanosec


def kept(source: EventStream) -> int:
    source.flush()
    return source.store.cut(-(1 << 62), 1 << 62).time_ns.size


def test_events_are_kept_in_sensor_time_and_the_offset_is_the_smallest_delay() -> None:
    source = stream()
    for number, delay_us in enumerate((700, 300, 2000, 900)):
        message = burst(number)
        late = burst(number, stamp_ns=OFFSET_NS + 1000 * (T0_US + 10_000 * number + delay_us))
        assert message.events == late.events
        source.push(late)
    source.flush()
    assert source.offset_ns == OFFSET_NS + 300_000
    assert source.store.until_ns == 1000 * (T0_US + 39_000)
    cut = source.store.cut(1000 * T0_US, 1000 * (T0_US + 20_000))
    assert cut.complete
    assert cut.time_ns.tolist() == [1000 * (T0_US + 1000 * n) for n in range(20)]
    assert cut.cells.tolist() == [2 * (640 * n + n) + n % 2 for n in range(10)] * 2


def test_a_gap_in_the_sequence_is_counted_and_never_decoded_across() -> None:
    source = stream()
    source.push(burst(0))
    half = burst(1)
    half.events = half.events[:-1]  # its last word is cut: the rest would come with the next packet
    source.push(half)
    lost_time = burst(4)
    lost_time.events = lost_time.events[4:]  # begins behind its time words
    source.push(lost_time)
    assert kept(source) == 10 + 9 + 9
    assert source.counts.lost_packets == 2
    assert not source.store.cut(1000 * T0_US, 1000 * (T0_US + 50_000)).complete
    source.push(burst(5))
    source.flush()
    assert source.store.cut(1000 * (T0_US + 45_000), 1000 * (T0_US + 60_000)).complete


def test_a_packet_that_comes_twice_is_refused_and_senders_without_numbers_are_not() -> None:
    source = stream()
    source.push(burst(0))
    with pytest.raises(DecodeError, match="seq is 100 once more"):
        source.push(burst(0))
    assert kept(source) == 10
    source = stream()
    for number in range(3):
        source.push(burst(number, seq=0))
    assert kept(source) == 30
    assert source.counts.lost_packets == 0


def test_a_driver_that_starts_anew_is_followed_at_once() -> None:
    source = stream()
    for number in range(5):
        source.push(burst(number))
    source.flush()
    epoch = source.store.epoch
    later = OFFSET_NS + 60 * SECOND_NS
    source.push(burst(0, start_us=1000, seq=0, stamp_ns=later))
    assert kept(source) == 10
    assert source.store.epoch > epoch
    assert source.offset_ns == later - 1_000_000


def test_one_odd_stamp_costs_its_own_packet_and_two_are_a_jump() -> None:
    source = stream()
    for number in range(3):
        source.push(burst(number))
        source.flush()
    epoch, before = source.store.epoch, source.offset_ns
    source.push(burst(3, stamp_ns=OFFSET_NS + 9999 * SECOND_NS))
    assert kept(source) == 30
    source.push(burst(4))
    assert kept(source) == 40
    assert (source.store.epoch, source.offset_ns) == (epoch, before)
    for number in range(5, 9):
        message = burst(number)
        message.header.stamp.sec += 500
        source.push(message)
        source.flush()
    assert source.store.epoch == epoch + 1
    assert kept(source) == 20
    assert source.offset_ns is not None and before is not None
    assert source.offset_ns - before == pytest.approx(500 * SECOND_NS, abs=20_000_000)
    assert source.counts.odd_times == 30


def test_the_offset_follows_clocks_that_drift_apart() -> None:
    source = stream()
    for number in range(3000):
        drift_ns = number * 10_000_000 // 20_000  # 50 µs per second
        stamp_ns = OFFSET_NS + 1000 * (T0_US + 10_000 * number) + drift_ns + number % 7 * 100_000
        source.push(burst(number, count=1, stamp_ns=stamp_ns))
    source.flush()
    assert source.offset_ns is not None
    true_offset = OFFSET_NS + 3000 * 500
    assert -600_000 <= source.offset_ns - true_offset <= 0


def test_memory_is_bounded_and_the_newest_events_stay() -> None:
    source = stream(max_events=1000)
    for number in range(50):
        source.push(burst(number, count=100))
    count = kept(source)
    assert 1000 <= count <= 2000
    newest = 1000 * (T0_US + 500_000)
    cut = source.store.cut(newest - 100_000_000, newest)
    assert cut.complete and cut.time_ns.size == 1000
    assert not source.store.cut(newest - 300_000_000, newest).complete
    source.push(burst(50, count=5000))
    assert 1000 <= kept(source) <= 2000


def test_packets_wait_only_until_there_is_a_chunk_of_them() -> None:
    source = stream()
    for number in range(300):
        source.push(burst(number, count=1))
    assert source.store.until_ns is not None, "256 packets are enough"
    source = stream()
    source.push(burst(0, count=9000))
    assert source.store.until_ns is not None, "32 KiB are enough"


def test_events_outside_the_sensor_are_left_out_and_counted() -> None:
    source = stream()
    times, place = T0_US + np.arange(4), np.array([0, 639, 640, 2])
    rows = np.array([0, 479, 1, 480])
    source.push(event_packet(evt3_words(times, place, rows, np.ones(4, int))))
    assert kept(source) == 2
    assert source.store.outside == 2


def test_binning_joins_pixels() -> None:
    source = stream(binning=4)
    words = mono_words(np.arange(3), np.array([0, 3, 639]), np.array([0, 3, 479]), np.ones(3))
    source.push(event_packet(words, encoding="mono", time_base=5))
    source.flush()
    assert source.grid is not None and (source.grid.height, source.grid.width) == (120, 160)
    cut = source.store.cut(0, 100)
    assert cut.cells.tolist() == [1, 1, 2 * (119 * 160 + 159) + 1]


def test_events_in_disorder_are_sorted_within_a_packet_and_between_packets() -> None:
    source = stream()
    place = np.zeros(3)
    for time_base in (1000, 900):
        words = mono_words(np.array([50, 10, 90]), place, place, place)
        source.push(event_packet(words, encoding="mono", time_base=time_base))
    source.flush()
    assert source.store.cut(0, 9999).time_ns.tolist() == [910, 950, 990, 1010, 1050, 1090]


@pytest.mark.parametrize("encoding", ["evt3", "evt2"])
@pytest.mark.parametrize("count_goes_on", [True, False])
def test_a_sensor_that_counts_anew_is_seen_again_after_two_packets(
    encoding: str, count_goes_on: bool
) -> None:
    source = stream()
    for number in range(20):
        since_s, anew = (3600, 0) if number < 10 else (2, 10)
        time_us = since_s * 1_000_000 + 4000 * number
        if encoding == "evt3":
            words = evt3_words(time_us + np.arange(5), *np.zeros((3, 5), np.int64))
        else:
            words = np.array([0x80000000 | time_us >> 6, *[(time_us & 63) << 22] * 5], "<u4")
        seq = 1 + number - (0 if count_goes_on else anew)
        stamp_ns = OFFSET_NS + number * 4_000_000
        source.push(event_packet(words, encoding=encoding, seq=seq, stamp_ns=stamp_ns))
        source.flush()
    assert source.store.until_ns is not None and source.offset_ns is not None
    late_ns = OFFSET_NS + 19 * 4_000_000 - (source.store.until_ns + source.offset_ns)
    assert abs(late_ns) < 1_000_000, "what is shown is of now"
    assert len(source.store.cut(source.store.until_ns - 20_000_000, 1 << 62).time_ns) >= 20


@pytest.mark.parametrize("off_s", [0.3, 0.9, 3.0, -0.3, -3.0])
@pytest.mark.parametrize("where", [0, 3, -1])
@pytest.mark.parametrize("kind", ["mono", "event_array"])
def test_an_event_with_a_time_of_its_own_hides_no_others(
    kind: str, where: int, off_s: float
) -> None:
    source, period_ns = stream(), 4_000_000
    place = np.zeros(10, np.int64)
    for number in range(50):
        begin_ns = OFFSET_NS + number * period_ns
        at_ns = 10_000_000_000 + np.arange(10) * 100_000
        if number == 25:
            at_ns[where] += round(off_s * 1e9)
        if kind == "mono":
            base_ns = 50 * SECOND_NS + number * period_ns
            words = mono_words(at_ns - at_ns.min(), place, place, place)
            fields = {"time_base": base_ns + int(at_ns.min()), "seq": number + 1}
            source.push(event_packet(words, encoding="mono", stamp_ns=begin_ns, **fields))
        else:
            at_ns += begin_ns - 10_000_000_000
            source.push(event_array(Events(at_ns, *[place] * 3), begin_ns, 480, 640))
        source.flush()
        assert source.store.until_ns is not None and source.offset_ns is not None
        assert abs(source.store.until_ns + source.offset_ns - begin_ns) < 2 * period_ns
    since_ns = source.store.until_ns - 45 * period_ns
    assert len(source.store.cut(since_ns, 1 << 62).time_ns) >= 440
    assert 1 <= source.counts.odd_times <= 10


def test_a_clock_that_is_set_back_by_less_than_a_jump_hides_nothing() -> None:
    source = stream()
    for number in range(100):
        place = np.full(1000, number)
        base_ns = SECOND_NS + number * 10_000_000 - (500_005_000 if number >= 70 else 0)
        words = mono_words(np.arange(1000) * 10_000, place, place, place)
        source.push(event_packet(words, encoding="mono", time_base=base_ns, seq=number + 1))
        source.flush()
        assert source.store.until_ns == base_ns + 9_990_000
        seen = source.store.cut(base_ns, base_ns + 10_000_000).cells // 2 % 640
        assert seen.tolist() == [number] * 1000


@pytest.mark.parametrize("off_s", [-0.9, -0.3, 0.3, 0.9])
def test_one_stamp_that_is_off_by_less_than_a_jump_moves_no_window(off_s: float) -> None:
    source = stream()
    for number in range(30):
        message = burst(number)
        if number == 15:
            message = burst(number, stamp_ns=to_ns(message) + round(off_s * 1e9))
        source.push(message)
        source.flush()
        assert source.offset_ns == OFFSET_NS + 10_000_000


def test_packets_that_overtook_one_another_cost_one_of_them() -> None:
    source = stream()
    for number in (0, 1, 3, 2, 4, 5):
        try:
            source.push(burst(number))
        except DecodeError as error:
            assert "seq is 102, which later packets have overtaken" in str(error)
    assert kept(source) == 50
    assert source.counts.lost_packets == 1
    assert source.counts.begun_anew == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoding": "evt4"}, "encoding is 'evt4': expected one of evt3, evt2, mono"),
        ({"height": 0}, "size is 640x0: expected 1 to 2048"),
        ({"width": 2049}, "size is 2049x480"),
        ({"stamp_ns": 0}, "stamp is 0 s 0 ns"),
        ({"encoding": "mono"}, "events are 9 bytes: expected a multiple of 8, as mono needs"),
        (
            {"encoding": "mono", "data": b"", "time_base": 1 << 63},
            "time_base is 9223372036854775808",
        ),
        ({"data": [1.5]}, "events is a list: expected bytes"),
        ({"data": np.zeros(3, np.int32)}, "events is an array of int32"),
        ({"encoding": "libcaer_cmp"}, "expected a multiple of 2, as libcaer_cmp needs"),
        ({"encoding": "\x1b[31m" + "e" * 10**6}, r"encoding is '\?\[31meeee"),
    ],
)
def test_a_packet_that_cannot_be_used_says_why(fields: dict, message: str) -> None:
    source = stream()
    data = fields.pop("data", bytes(9))
    packet = event_packet(b"", **fields)
    packet.events = data
    with pytest.raises(DecodeError, match=message):
        source.push(packet)
    assert source.counts.messages == 0


def test_libcaer_cmp_counts_time_from_the_base_of_each_packet() -> None:
    base_ns = 1_702_309_120_000_000_000
    source = stream()
    words = np.array([0x1003, 0x2007, 0x3805, 0x1004, 0x3006], "<u2")
    source.push(event_packet(words, encoding="libcaer_cmp", time_base=base_ns, seq=1))
    source.push(event_packet(b"", encoding="libcaer_cmp", time_base=base_ns + 9000, seq=2))
    source.flush()
    cut = source.store.cut(0, 1 << 62)
    assert cut.time_ns.tolist() == [base_ns + 3000, base_ns + 4000]
    assert cut.cells.tolist() == [2 * (640 * 5 + 7) + 1, 2 * (640 * 6 + 7)]
    assert source.store.until_ns == base_ns + 9000
    rubbish = np.array([0x7000], "<u2")
    source.push(event_packet(rubbish, encoding="libcaer_cmp", time_base=base_ns, seq=3))
    column = np.array([0x2001, 0x3001], "<u2")
    source.push(event_packet(column, encoding="libcaer_cmp", time_base=base_ns + 9000, seq=4))
    source.flush()
    assert source.counts.undecodable == 1
    assert source.store.cut(0, 1 << 62).time_ns.tolist()[-1] == base_ns + 9000
    assert not source.store.cut(base_ns, base_ns + 9999).complete


def test_a_clock_that_rubbish_drives_beyond_all_times_is_given_up() -> None:
    wraps = np.array([0x8FFFFFFF, 0x80000000] * 20_000, "<u4")  # 4.8 h each
    source = stream()
    source.push(event_packet(np.array([0x80000000, 1 << 28], "<u4"), encoding="evt2", seq=1))
    for seq in range(2, 20):
        source.push(event_packet(wraps, encoding="evt2", seq=seq))
        assert abs(source.offset_ns or 0) < 1 << 62
        assert (source.store.until_ns or 0) < 1 << 61
    good = np.array([0x80000000 | 1 << 14, 1 << 28 | 5 << 11 | 6], "<u4")
    for seq in range(20, 24):
        source.push(event_packet(good, encoding="evt2", seq=seq))
        source.flush()
    assert source.store.cut(0, 1 << 62).cells.tolist()[-1] == 2 * (640 * 6 + 5) + 1


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["evt3", "evt2", "mono", "libcaer", "libcaer_cmp", "none"]),
            st.binary(max_size=400),
            st.integers(0, 40),
            st.integers(0, (1 << 63) - 1),
            st.sampled_from([0, 1, OFFSET_NS, OFFSET_NS + 10_000_000, (1 << 31) * SECOND_NS]),
            st.integers(0, 3000),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_any_packets_end_in_events_or_in_an_error(messages: list[tuple]) -> None:
    source = stream(max_events=1000)
    for encoding, data, seq, time_base, stamp_ns, side, big_endian in messages:
        message = event_packet(
            data,
            encoding=encoding,
            seq=seq,
            time_base=time_base,
            stamp_ns=stamp_ns,
            height=side,
            width=side,
            big_endian=big_endian,
        )
        try:
            source.push(message)
        except DecodeError as error:
            assert len(str(error)) > 20
    assert kept(source) <= 2000
    cut = source.store.cut(-(1 << 62), 1 << 62)
    assert (np.diff(cut.time_ns) >= 0).all()
    if source.grid is not None and cut.cells.size:
        assert cut.cells.max() < 2 * source.grid.height * source.grid.width
