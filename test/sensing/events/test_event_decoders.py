from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from fixtures.event_messages import joined, packet, rows
from fixtures.event_reference import (
    Event,
    Evt3Reference,
    decode_evt2,
    decode_libcaer,
    decode_libcaer_cmp,
    decode_mono,
)
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.sensing.events import word_streams
from anymodal_seg_ros.sensing.events.evt import Evt2Decoder, Evt3Decoder
from anymodal_seg_ros.sensing.events.packet_encodings import (
    LibcaerCompressedDecoder,
    LibcaerDecoder,
    MonoDecoder,
)

KINDS_3 = (0, 2, 2, 3, 4, 5, 6, 6, 8, 10, 14, 15, 1, 9)
MEANINGFUL_WORDS = st.builds(
    lambda kind, payload: kind << 12 | payload,
    st.sampled_from(KINDS_3),
    st.integers(0, 0xFFF),
)
CALM_WORDS = st.one_of(
    MEANINGFUL_WORDS.filter(lambda word: word >> 12 != 8),
    st.integers(0, 12).map(lambda high: 0x8000 | high),
)
STREAMS_3 = st.lists(st.one_of(MEANINGFUL_WORDS, CALM_WORDS), max_size=120).map(
    lambda words: np.array(words, "<u2")
)
CUTS = st.lists(st.integers(0, 300), max_size=6)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut data at some places; empty pieces included."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def on_sensor(events: list[Event]) -> list[Event]:
    """Leave out what lies outside every sensor, because no word has named its row or base."""
    return [event for event in events if event[1] < 4096 and event[2] < 4096]


@given(STREAMS_3, CUTS, st.booleans())
def test_evt3_is_what_the_loop_says_wherever_packets_are_cut(
    words: np.ndarray, cuts: list[int], together: bool
) -> None:
    decoder = Evt3Decoder()
    packets = [packet(piece) for piece in pieces(words.tobytes(), cuts)]
    groups = [packets] if together else [[one] for one in packets]
    parts = [part for group in groups for part in decoder.decode(group)]
    assert on_sensor(rows(joined(parts))) == on_sensor(Evt3Reference().decode(words))


@given(STREAMS_3, st.integers(1, 9))
def test_evt3_does_not_depend_on_the_size_of_chunks(words: np.ndarray, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_streams, "CHUNK_BYTES", 2 * size)
        parts = list(Evt3Decoder().decode([packet(words)]))
    assert on_sensor(rows(joined(parts))) == on_sensor(Evt3Reference().decode(words))


@given(STREAMS_3, STREAMS_3)
def test_evt3_waits_for_time_and_row_after_a_gap(before: np.ndarray, after: np.ndarray) -> None:
    decoder, reference = Evt3Decoder(), Evt3Reference()
    list(decoder.decode([packet(before.tobytes() + b"\x01")]))
    reference.decode(before)
    decoder.reset()
    reference.lose()
    got = rows(joined(list(decoder.decode([packet(after)]))))
    assert on_sensor(got) == on_sensor(reference.decode(after))


def test_evt3_counts_wraps_and_forgives_noise_even_across_a_wrap() -> None:
    highs = [4094, 4095, 0, 4095, 0, 1, 0, 1, 2]
    stream = [word for high in highs for word in (0x8000 | high, 0x6001, 0x0005, 0x2007)]
    (part,) = Evt3Decoder().decode([packet(np.array(stream, "<u2"))])
    steps = (part.events.time_ns // 1000) >> 12
    assert steps.tolist() == [4094, 4095, 4096, 4096, 4096, 4097, 4097, 4097, 4098]
    assert (np.diff(part.events.time_ns) >= 0).all()


def test_evt3_gap_keeps_the_wraps_that_were_counted() -> None:
    decoder = Evt3Decoder()
    event = [0x6000, 0x0001, 0x2001]
    first = [0x8000 | 4095, *event, 0x8000, *event, 0x8005, *event]
    list(decoder.decode([packet(np.array(first, "<u2"))]))
    decoder.reset()
    (part,) = decoder.decode([packet(np.array([0x2002, 0x8009, *event], "<u2"))])
    assert rows(part.events) == [((4096 + 9) << 12, 1, 1, 0)]


def test_evt3_vectors_go_on_where_the_last_one_ended_across_packets() -> None:
    start = np.array([0x8000, 0x6000, 0x0003, 0x3800 | 10, 0x4801], "<u2")
    rest = np.array([0x5081, 0x4002, 0x2004], "<u2")
    decoder = Evt3Decoder()
    parts = [part for data in (start, rest) for part in decoder.decode([packet(data)])]
    expected = [(10, 1), (21, 1), (22, 1), (29, 1), (31, 1), (4, 0)]
    assert [(x, on) for _, x, _, on in rows(joined(parts))] == expected


def test_each_packet_is_anchored_at_its_first_time() -> None:
    def data(time_us: int) -> np.ndarray:
        return np.array([0x2001, 0x8000 | time_us >> 12, 0x6000 | time_us & 0xFFF, 0x2001], "<u2")

    times = (5_000, 6_000, 6_500)
    packets = [packet(data(t), stamp_ns=10_000 * t) for t in times]
    packets.insert(1, packet(b"", stamp_ns=1))
    packets.insert(3, packet(np.array([0x2001], "<u2"), stamp_ns=2))
    (part,) = Evt3Decoder().decode(packets)
    anchors = [(anchor.sensor_ns, anchor.stamp_ns) for anchor in part.anchors]
    # The upper half is sent first, and repeated ones say nothing.
    assert anchors == [(5_000_000, 50_000_000), (6_000_000, 60_000_000), (6_500_000, 65_000_000)]
    assert part.until_ns == 6_500_000


WORDS_2 = st.builds(
    lambda kind, payload: kind << 28 | payload,
    st.sampled_from((0, 1, 10, 14, 15, 2)),
    st.integers(0, (1 << 28) - 1),
)


@given(st.lists(st.one_of(WORDS_2, st.just(-1)), max_size=60), st.integers(0, 1 << 20), CUTS)
def test_evt2_is_what_the_loop_says_wherever_packets_are_cut(
    words: list[int], high: int, cuts: list[int]
) -> None:
    stream = []
    for word in words:
        high += word < 0
        stream.append(8 << 28 | high if word < 0 else word)
    data = np.array(stream, "<u4")
    decoder = Evt2Decoder()
    parts = [
        part for piece in pieces(data.tobytes(), cuts) for part in decoder.decode([packet(piece)])
    ]
    got, expected = rows(joined(parts)), decode_evt2(data)
    assert [row[1:] for row in got] == [row[1:] for row in expected]
    # The sensor sends in order; what is not in order is lifted to the newest time so far.
    times = np.maximum.accumulate([0] + [row[0] for row in expected])
    lifted = [row[0] for row in got]
    assert all(a >= b for a, b in zip(lifted, times[1:], strict=True))
    assert lifted == sorted(lifted)
    if times[1:].tolist() == [row[0] for row in expected]:
        assert [t >> 6 for t in lifted] == [t >> 6 for t in times[1:].tolist()]


def test_evt2_counts_the_wraps_of_its_34_bits() -> None:
    stream = [8 << 28 | 0xFFFFFFF, 1 << 28 | 63 << 22, 8 << 28, 1 << 28 | 5 << 22]
    (part,) = Evt2Decoder().decode([packet(np.array(stream, "<u4"))])
    assert (part.events.time_ns // 1000).tolist() == [(1 << 34) - 1, (1 << 34) + 5]


@given(st.lists(st.integers(0, (1 << 64) - 1), max_size=30), st.integers(0, 1 << 61))
def test_words_of_eight_bytes_are_what_the_loops_say(words: list[int], time_base: int) -> None:
    data = np.array(words, "<u8").tobytes()
    mono = list(MonoDecoder().decode([packet(data, time_base)]))
    assert rows(joined(mono), unit_ns=1) == decode_mono(data, time_base)
    libcaer = list(LibcaerDecoder().decode([packet(data, time_base)]))
    assert rows(joined(libcaer), unit_ns=1) == decode_libcaer(data, time_base)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 0xFFF)), max_size=60), max_size=4
    ),
    st.integers(1, 9),
)
def test_libcaer_cmp_is_what_the_loop_says_at_any_size_of_chunks(
    packets: list[list[tuple[int, int]]], size: int
) -> None:
    streams = [np.array([k << 12 | p for k, p in words], "<u2") for words in packets]
    bases = [10**15 + 10**7 * n for n in range(len(streams))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_streams, "CHUNK_BYTES", 2 * size)
        sent = [packet(words, base) for base, words in zip(bases, streams, strict=True)]
        parts = list(LibcaerCompressedDecoder().decode(sent))
    expected = decode_libcaer_cmp(list(zip(bases, streams, strict=True)))
    assert on_sensor(rows(joined(parts), 1)) == on_sensor(expected)
    assert [a.sensor_ns for part in parts for a in part.anchors] == bases


@given(STREAMS_3, st.lists(st.integers(0, (1 << 64) - 1), max_size=9))
def test_big_endian_streams_mean_the_same(words_3: np.ndarray, words_8: list[int]) -> None:
    eight = np.array(words_8, "<u8")
    for create, data in (
        (Evt3Decoder, words_3),
        (Evt2Decoder, np.array(words_8, "<u8").view("<u4")),
        (MonoDecoder, eight),
        (LibcaerDecoder, eight.view("<u4")),
    ):
        little = joined(list(create().decode([packet(data)])))
        swapped = data.astype(data.dtype.newbyteorder(">"))
        big = joined(list(create(big_endian=True).decode([packet(swapped)])))
        assert rows(big, 1) == rows(little, 1)


@given(st.binary(max_size=4000), CUTS)
def test_any_bytes_give_events_in_order_and_of_bounded_number(data: bytes, cuts: list[int]) -> None:
    for decoder, most_per_byte in ((Evt3Decoder(), 6), (Evt2Decoder(), 0.25)):
        parts = [part for piece in pieces(data, cuts) for part in decoder.decode([packet(piece)])]
        events = joined(parts)
        assert len(events) <= most_per_byte * len(data)
        assert (np.diff(events.time_ns) >= 0).all()
        assert (events.x >= 0).all() and (events.y >= 0).all()
