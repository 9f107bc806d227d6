from __future__ import annotations

import time

from anymodal_seg_ros.nodes.topics.arrival import waited_ns

MS = 1_000_000


def test_the_wait_for_the_callback_is_taken_off() -> None:
    waited = waited_ns({"received_timestamp": time.time_ns() - 40 * MS}, 500 * MS)
    assert 40 * MS <= waited <= 500 * MS


def test_a_wait_has_a_limit_and_a_clock_that_was_set_is_no_wait() -> None:
    now_ns = time.time_ns()
    assert waited_ns({"received_timestamp": now_ns - 2000 * MS}, 500 * MS) == 500 * MS
    assert waited_ns({"received_timestamp": now_ns - 3_600_000 * MS}, 500 * MS) == 0
    assert waited_ns({"received_timestamp": now_ns + 3_600_000 * MS}, 500 * MS) == 0


def test_without_a_word_of_the_middleware_it_is_now() -> None:
    assert waited_ns(None, 500 * MS) == waited_ns({}, 500 * MS) == 0
    assert waited_ns({"received_timestamp": 0}, 500 * MS) == 0
