"""The state DOUBTFUL: told by others, kept through good messages, no way round silence."""

from __future__ import annotations

from anymodal_seg_ros.config import SensorConfig
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.sensing.health.sensor_health import Fault
from anymodal_seg_ros.sensing.health.watchdog import Watchdog

MS = 1_000_000
CONFIG = SensorConfig("rgb/image", "rgb", expected_hz=10.0)
WHY = "shows another world than depth"


def watched(messages: int = 10) -> tuple[Watchdog, int]:
    dog = Watchdog({"rgb": CONFIG}, 1_000 * MS)
    for number in range(messages):
        dog.observe("rgb", number * 100 * MS)
    return dog, messages


def states(dog: Watchdog, first: int, count: int, fault: Fault | None = None) -> set[SensorState]:
    found = set()
    for number in range(first, first + count):
        dog.observe("rgb", number * 100 * MS, fault)
        found.add(dog.states()["rgb"])
    return found


def test_a_doubted_sensor_stays_so_through_good_messages_until_it_is_believed() -> None:
    dog, number = watched()
    dog.doubt("rgb", number * 100 * MS, WHY)
    assert states(dog, number, 20) == {SensorState.DOUBTFUL}
    status = dog.status("rgb", 30 * 100 * MS)
    assert (status.state.alive, status.state.down) == (True, False)
    assert status.fault == WHY
    assert status.entered == {"OK": 1, "DOUBTFUL": 1}
    dog.doubt("rgb", 30 * 100 * MS, "")
    assert dog.states()["rgb"] is SensorState.OK
    assert states(dog, 31, 3) == {SensorState.OK}


def test_silence_and_bad_messages_lead_down_from_it_and_back_to_it() -> None:
    dog, number = watched()
    dog.doubt("rgb", number * 100 * MS, WHY)
    dog.update((number + 30) * 100 * MS)
    assert dog.states()["rgb"] is SensorState.FAILED
    seen = states(dog, number + 30, 20)
    assert SensorState.OK not in seen
    assert dog.states()["rgb"] is SensorState.DOUBTFUL
    bad = Fault(SensorState.INVALID, "black")
    states(dog, number + 50, 5, bad)
    assert dog.states()["rgb"] is SensorState.INVALID


def test_one_that_is_down_is_not_made_alive_by_a_doubt() -> None:
    dog, number = watched()
    dog.update((number + 30) * 100 * MS)
    dog.doubt("rgb", (number + 30) * 100 * MS, WHY)
    assert dog.states()["rgb"] is SensorState.FAILED


def test_damage_that_goes_on_is_told_once_it_is_believed() -> None:
    dog, number = watched()
    damage = Fault(SensorState.DEGRADED, "covered", withhold=False)
    assert SensorState.DEGRADED in states(dog, number, 5, damage)
    dog.doubt("rgb", (number + 5) * 100 * MS, WHY)
    assert states(dog, number + 5, 5, damage) == {SensorState.DOUBTFUL}
    dog.doubt("rgb", (number + 10) * 100 * MS, "")
    assert dog.states()["rgb"] is SensorState.DEGRADED
