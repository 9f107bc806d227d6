"""The drop-in beside the original: every set that ApproximateTimeSynchronizer finds is found."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures.approximate_time import PlainApproximateTime
from fixtures.synchroniser_bench import EPOCH, MS, Bench, S, ids, stamp_of, stream
from hypothesis import example, given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.sensing import PartialTimeSynchronizer


class Recording:
    """Ours and the plain statement of the original, on the same messages."""

    def __init__(self, inputs: int, queue_size: int, slop_ms: int, **options: Any) -> None:
        self.bench = Bench(inputs, queue_size, slop_ms / 1e3, **options)
        self.plain = PlainApproximateTime(inputs, queue_size, slop_ms * MS)
        self.completing: list[tuple[Any, ...]] = []
        self.theirs_after: list[int] = []
        """How many sets ours had given when theirs gave each of its own."""
        self.bench.sync.registerCallback(self._note)
        for index, topic in enumerate(self.bench.topics):
            topic.registerCallback(self._to_plain, index)

    def _note(self, *messages: Any) -> None:
        if self.bench.sync.completes:
            self.completing.append(messages)

    def _to_plain(self, found: Any, index: int) -> None:
        self.plain.add(index, stamp_of(found), found)
        new = len(self.plain.sets) - len(self.theirs_after)
        self.theirs_after += [len(self.bench.sets)] * new

    def play(self, events: Sequence[tuple[int, int, int]]) -> None:
        """Play ``(arrival, input, stamp)`` in order of arrival, and poll every 20 ms between."""
        tick = 0
        for now, index, stamp in sorted(events):
            while (tick := tick + 20 * MS) < now:
                self.bench.now = tick
                self.bench.sync.poll()
            tick = now
            self.bench.send(index, stamp, now)
        for _ in range(100):
            self.bench.now += 20 * MS
            self.bench.sync.poll()

    def not_found(self) -> list[tuple[Any, ...]]:
        """Return the sets of the original that ours did not give."""
        ours = {ids(messages) for messages in self.bench.sets}
        return [messages for messages in self.plain.sets if ids(messages) not in ours]

    def check_that_nothing_comes_twice(self) -> None:
        complete = [ids(m) for m in self.bench.sets if None not in m]
        assert len(complete) == len(set(complete)), "a set came twice"
        again = {ids(m) for m in self.completing}
        first = [stamp_of(m[0]) for m in self.bench.sets if m[0] and ids(m) not in again]
        assert all(a < b for a, b in itertools.pairwise(first))
        assert len({id(m[0]) for m in self.completing}) == len(self.completing)


MOVES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-40, 60), st.integers(0, 25)), max_size=120
)
"""Which input sends, by how much its stamps advance, how long until then; both in ms. Messages
overtake one another now and then, and a stamp may come again."""


@settings(max_examples=200, deadline=None)
@given(
    MOVES,
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(1, 80),
    st.sampled_from([None, 0.0, 0.05]),
)
@example(  # a first message that had come too late for a set of its own
    [(1, 1, 0), (0, 1, 0), (0, 1, 0), (1, 1, 0), (1, 1, 0), (2, 1, 0)], 3, 2, 2, 0.0
)
@example([(0, 30, 0), (0, -10, 0), (0, 0, 0), (0, 40, 0)], 1, 10, 5, None)
def test_every_set_that_message_filters_finds_is_found(
    moves: list[tuple[int, int, int]],
    inputs: int,
    queue_size: int,
    slop_ms: int,
    deadline: float | None,
) -> None:
    """Whatever comes whenever, in whichever order."""
    record = Recording(inputs, queue_size, slop_ms, deadline=deadline)
    stamps, now, events = [EPOCH] * inputs, 0, []
    for sender, step_ms, wait_ms in moves:
        index = sender % inputs
        stamps[index] += step_ms * MS
        now += wait_ms * MS + 1
        events.append((now, index, stamps[index]))
    record.play(events)
    record.check_that_nothing_comes_twice()
    given_at = {ids(m): n for m, n in zip(record.plain.sets, record.theirs_after, strict=True)}
    for messages in record.not_found():
        # Only where its first message had already left, in a set without holes as well.
        before = record.bench.sets[: given_at[ids(messages)]]
        assert any(None not in m and m[0] is messages[0] for m in before)


@pytest.mark.parametrize("lags_ms", [(3, 500), (500, 3), (3, 60, 250), (1500, 3, 3)])
@pytest.mark.parametrize("lost", [0.0, 0.3])
def test_late_inputs_give_exactly_the_sets_of_message_filters(
    lags_ms: tuple[int, ...], lost: float
) -> None:
    dice = random.Random(f"{lags_ms}{lost}")
    record = Recording(len(lags_ms), queue_size=60, slop_ms=12)
    record.play(
        [
            (now + lag_ms * MS, index, stamp)
            for index, lag_ms in enumerate(lags_ms)
            for stamp, now in stream(30.0, 0, 4, index)
            if dice.random() >= lost
        ]
    )
    assert len(record.plain.sets) >= (25 if lost else 118)
    assert record.not_found() == []
    record.check_that_nothing_comes_twice()


@pytest.mark.parametrize("queue_size", [12, 60])
def test_a_loop_loses_no_set_of_an_input_that_is_behind(queue_size: int) -> None:
    """A bag begins anew while a detector is still at the last images of the round before."""
    record = Recording(2, queue_size, slop_ms=12)
    record.play(
        [
            (now + lag_ms * MS + round_ * 2 * S, index, stamp)
            for round_ in range(3)
            for index, lag_ms in enumerate((3, 300))
            for stamp, now in stream(30.0, 0, 2, 0)
        ]
    )
    given = [messages for messages in record.bench.sets if None not in messages]
    assert len(given) == 3 * 60
    assert all(stamp_of(image) == stamp_of(found) for image, found in given)


def test_a_set_that_goes_back_in_time_does_not_come_if_its_first_message_has_left() -> None:
    record = Recording(2, queue_size=10, slop_ms=100)
    arrivals = [(0, 0), (0, 33), (1, 34), (1, 67)]
    record.play([(k, index, EPOCH + t * MS) for k, (index, t) in enumerate(arrivals)])

    def times(sets: Sequence[Sequence[Any]]) -> list[tuple[int, ...]]:
        return [tuple((stamp_of(m) - EPOCH) // MS for m in messages) for messages in sets]

    assert times(record.plain.sets) == [(33, 34), (0, 67)]
    assert times(record.bench.sets) == [(0, 34), (33, 34)], "in order, each once, and nearer"


def real_synchronizers(slop: float) -> tuple[list[Any], list[Any], list[Any]]:
    """Feed the original and ours from the same filters of the real message_filters."""
    message_filters = pytest.importorskip(
        "message_filters", reason="message_filters is not installed (a full ROS 2 install has it)"
    )
    topics = [message_filters.SimpleFilter() for _ in range(3)]
    theirs: list[Any] = []
    ours: list[Any] = []
    original = message_filters.ApproximateTimeSynchronizer(topics, 10, slop)
    original.registerCallback(lambda *m: theirs.append(m))
    partial = PartialTimeSynchronizer(topics, 10, slop, now_ns=lambda: CLOCK[0])
    partial.registerCallback(lambda *m: ours.append(m))
    return topics, theirs, ours


CLOCK = [0]


def ros_message(stamp_ns: int) -> Any:
    builtin_interfaces = pytest.importorskip("builtin_interfaces.msg", reason="no ROS 2 messages")
    sec, nanosec = divmod(stamp_ns, S)
    stamp = builtin_interfaces.Time(sec=sec, nanosec=nanosec)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp))


def test_beside_the_original_all_its_sets_come_out_of_ours_too() -> None:
    topics, theirs, ours = real_synchronizers(slop=0.03)
    events = sorted(
        (now, k, stamp) for k in range(3) for stamp, now in stream(30.0, 0, 5, k, latency_ms=5)
    )
    for now, index, stamp in events:
        CLOCK[0] = now
        topics[index].signalMessage(ros_message(stamp))
    assert len(theirs) >= 145
    complete = {tuple(map(id, messages)) for messages in ours if None not in messages}
    assert {tuple(map(id, messages)) for messages in theirs} <= complete


def test_beside_the_original_ours_goes_on_when_a_topic_stops() -> None:
    topics, theirs, ours = real_synchronizers(slop=0.03)
    streams = [stream(30.0, 0, 4, 0), stream(30.0, 0, 4, 1), stream(30.0, 0, 2, 2)]
    for now, index, stamp in sorted((n, k, t) for k, s in enumerate(streams) for t, n in s):
        CLOCK[0] = now
        topics[index].signalMessage(ros_message(stamp))
    assert len(theirs) <= 60
    assert len(ours) >= 119
