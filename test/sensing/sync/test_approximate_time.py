"""The matching of message_filters, beside a plain statement of it."""

from __future__ import annotations

from fixtures.approximate_time import PlainApproximateTime
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.sensing.sync.approximate_time import ApproximateTimeQueues, Arrival

STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(-4, 9)), max_size=80)
"""Which input gets a message, and how far its stamp is from that input's last one."""


@settings(max_examples=300, deadline=None)
@given(STEPS, st.integers(1, 4), st.integers(1, 8), st.integers(0, 25))
def test_it_gives_the_same_sets_at_the_same_moments(
    steps: list[tuple[int, int]], inputs: int, queue_size: int, slop: int
) -> None:
    plain = PlainApproximateTime(inputs, queue_size, slop)
    queues = ApproximateTimeQueues(inputs, queue_size, slop)
    stamps = [100] * inputs
    for number, (step_input, step) in enumerate(steps):
        index = step_input % inputs
        stamps[index] += step
        before = len(plain.sets)
        plain.add(index, stamps[index], number)
        match = queues.add(Arrival(index, stamps[index], 0, number))
        assert [tuple(a.message for a in match.found)] == (plain.sets[before:] or [()])


def add(queues: ApproximateTimeQueues, index: int, *times: int) -> list[tuple[int, ...]]:
    found = [queues.add(Arrival(index, t, 0)).found for t in times]
    return [tuple(a.time_ns for a in arrivals) for arrivals in found if arrivals]


def test_the_nearest_are_given_up_where_they_are_too_far_from_one_another() -> None:
    queues = ApproximateTimeQueues(3, 10, slop_ns=10)
    assert add(queues, 0, 94, 99) == []
    assert add(queues, 1, 108) == []
    # 94 is nearest to 95, and 108 may go with 99 only: the earlier inputs have the first choice.
    assert add(queues, 2, 95) == []
    assert add(queues, 2, 100) == [(99, 108, 100)]


def test_many_inputs_with_long_queues_are_searched_in_no_time() -> None:
    queues = ApproximateTimeQueues(8, 100, slop_ns=1000)
    for index in range(6):
        assert add(queues, index, *range(100)) == []
    # All are within reach of the last message, but these not of the others: 100^7 combinations.
    assert add(queues, 6, *range(1150, 1250)) == []
    assert add(queues, 7, 600) == []


def test_what_the_queue_lets_go_is_told() -> None:
    queues = ApproximateTimeQueues(2, 2, slop_ns=5)
    first, again = Arrival(0, 10, 0), Arrival(0, 10, 1)
    queues.add(first)
    assert queues.add(again).gone == ((first, "duplicate stamp"),)
    queues.add(Arrival(0, 20, 0))
    assert queues.add(Arrival(0, 30, 0)).gone == ((again, "queue full"),)
    assert not queues.holds(first)
    late = Arrival(0, 15, 0)
    assert queues.add(late).gone == ((late, "queue full"),), "older than all that is kept"
