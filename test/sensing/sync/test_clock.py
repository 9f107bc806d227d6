from __future__ import annotations

from fixtures.messages import sample

from anymodal_seg_ros.sensing.sync.clock import StampGuard

S = 1_000_000_000


def test_steady_stamps_pass_one_by_one() -> None:
    guard = StampGuard(S)
    for k in range(5):
        now = sample("rgb", 100 * S + k * S // 30, k * S // 30)
        assert guard.admit(now).samples == (now,)


def test_one_absurd_stamp_is_rejected_with_its_value() -> None:
    guard = StampGuard(S)
    guard.admit(sample("rgb", 100 * S, 0))
    assert guard.admit(sample("rgb", 999 * S, S // 10)).samples == ()
    good = sample("rgb", 100 * S + S // 5, S // 5)
    admission = guard.admit(good)
    assert admission.samples == (good,)
    assert not admission.jumped
    assert "stamp is 999.000 s, +898.900 s off" in admission.rejected


def test_a_jump_that_the_next_message_confirms_loses_nothing() -> None:
    guard = StampGuard(S)
    guard.admit(sample("rgb", 100 * S, 0))
    first, second = sample("rgb", 5 * S, S // 10), sample("rgb", 5 * S + S // 10, S // 5)
    assert guard.admit(first).samples == ()
    admission = guard.admit(second)
    assert admission.samples == (first, second)
    assert admission.jumped
    assert admission.rejected == ""
    later = sample("rgb", 5 * S + S // 5, 3 * S // 10)
    assert guard.admit(later).samples == (later,)


def test_a_long_silence_is_no_jump() -> None:
    guard = StampGuard(S)
    guard.admit(sample("rgb", 100 * S, 0))
    after = sample("rgb", 160 * S, 60 * S)
    assert guard.admit(after).samples == (after,)


def test_two_absurd_stamps_that_disagree_are_both_given_up() -> None:
    guard = StampGuard(S)
    guard.admit(sample("rgb", 100 * S, 0))
    guard.admit(sample("rgb", 999 * S, S // 10))
    assert "999.000" in guard.admit(sample("rgb", 5 * S, S // 5)).rejected
    good = sample("rgb", 100 * S + 3 * S // 10, 3 * S // 10)
    admission = guard.admit(good)
    assert admission.samples == (good,)
    assert "stamp is 5.000 s" in admission.rejected


def test_a_stamp_from_the_future_is_held_back_and_belied() -> None:
    guard = StampGuard(S)
    for k in range(5):
        guard.admit(sample("rgb", 100 * S + k * S // 10, k * S // 10))
    assert guard.admit(sample("rgb", 100 * S + 8 * S // 10, S // 2)).samples == ()
    good = sample("rgb", 100 * S + 6 * S // 10, 6 * S // 10)
    admission = guard.admit(good)
    assert admission.samples == (good,)
    assert "+0.300 s off" in admission.rejected
    assert "less than 0.1 s" in admission.rejected


def test_messages_that_were_held_up_on_the_way_are_not_odd() -> None:
    guard = StampGuard(S)
    guard.admit(sample("rgb", 100 * S, 0))
    for k in range(1, 10):  # a burst after 0.9 s
        assert len(guard.admit(sample("rgb", 100 * S + k * S // 10, 9 * S // 10 + k)).samples) == 1


def test_a_clock_that_is_set_a_little_ahead_is_believed_at_the_second_message() -> None:
    guard = StampGuard(S)
    guard.admit(sample("rgb", 100 * S, 0))
    step = 3 * S // 10
    first = sample("rgb", 100 * S + S // 10 + step, S // 10)
    second = sample("rgb", 100 * S + S // 5 + step, S // 5)
    assert guard.admit(first).samples == ()
    admission = guard.admit(second)
    assert admission.samples == (first, second)
    assert not admission.jumped, "time goes on: nothing need be forgotten"
    third = sample("rgb", 100 * S + 3 * S // 10 + step, 3 * S // 10)
    assert guard.admit(third).samples == (third,)


def test_a_stamp_that_stands_still_confirms_no_jump() -> None:
    guard = StampGuard(S)
    guard.admit(sample("rgb", 100 * S, 0))
    admitted = [guard.admit(sample("rgb", 5 * S, k * S // 10)) for k in range(1, 50)]
    assert not any(a.samples for a in admitted)
    assert sum(bool(a.rejected) for a in admitted) == 48
    again = sample("rgb", 105 * S, 5 * S)
    assert guard.admit(again).samples == (again,)
