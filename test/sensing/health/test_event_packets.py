from __future__ import annotations

from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.health.event_packets import EventPacketWatch

MS = 1_000_000


def feed(
    watch: EventPacketWatch,
    first: int,
    last: int,
    *,
    goes_on: bool = True,
    lost: float = 0.0,
    damaged: bool = False,
    lost_before: int = 0,
):
    """Let a camera send a packet every 10 ms; return what was said of each."""
    said = []
    for number in range(first, last):
        counts = {"messages": number + 1}
        if damaged:
            counts["packets that cannot be decoded"] = number + 1
        until = number * 10 * MS if goes_on else first * 10 * MS
        gone = lost_before + round((number - first) * lost)
        said.append(watch.look(number * 10 * MS, counts, gone, until))
    return said


def test_a_camera_whose_time_goes_on_is_healthy_whatever_it_sees() -> None:
    assert feed(EventPacketWatch(), 0, 500) == [None] * 500


def test_packets_that_give_nothing_are_a_fault_after_a_second() -> None:
    watch = EventPacketWatch()
    feed(watch, 0, 200)
    said = feed(watch, 200, 500, goes_on=False, damaged=True)
    assert said[:90] == [None] * 90
    fault = said[115]
    assert fault is not None
    assert fault.state is SensorState.INVALID
    assert fault.reason.startswith("nothing_read: ")
    assert "could not be decoded" in fault.reason
    assert feed(watch, 500, 620)[-1] is None


def test_a_camera_from_which_nothing_was_ever_read_is_told() -> None:
    watch = EventPacketWatch()
    said = [watch.look(k * 10 * MS, {"messages": k}, 0, None) for k in range(150)]
    assert said[-1] is not None and said[-1].state is SensorState.INVALID


def test_lost_packets_degrade_a_camera_without_flapping() -> None:
    watch = EventPacketWatch()
    said = feed(watch, 0, 300, lost=2.0)
    assert said[-1] is not None
    assert said[-1].state is SensorState.DEGRADED
    assert not said[-1].withhold
    assert "67% of the packets were lost" in said[-1].reason
    result = watch.results[0]
    assert (result.name, result.passed) == ("packets_lost", False)
    said = feed(watch, 300, 600, lost=0.17, lost_before=598)
    assert said[-1] is not None, "an eighth is too much for one that has lost more"
    said = feed(watch, 600, 900, lost_before=649)
    assert said[-1] is None
    said = feed(watch, 900, 1200, lost=0.17, lost_before=649)
    assert said[-1] is None


def test_a_stream_that_begins_anew_is_not_judged_by_its_past() -> None:
    watch = EventPacketWatch()
    feed(watch, 0, 300, lost=2.0)
    assert watch.look(3_100 * MS, {"messages": 1}, 0, 5) is None
