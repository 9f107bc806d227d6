"""From when on masks are due: with the first frame of the sensor that is preferred."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.evaluation.scorecard.replays.job import first_frame

IMAGE, PACKET = "sensor_msgs/msg/Image", "event_camera_msgs/msg/EventPacket"


class Recorded:
    """A bag that begins at 5 s, as far as it is looked at: times in s of the messages of topics."""

    start_ns = 5_000_000_000

    def __init__(self, **topics: tuple[str, list[float]]) -> None:
        self._topics = {f"/{name}": kept for name, kept in topics.items()}

    def types(self, topic: str) -> set[str]:
        return {self._topics[topic][0]} if topic in self._topics else set()

    def messages(self, topics: Collection[str]) -> Iterator[Any]:
        (topic,) = topics
        for time_s in self._topics[topic][1]:
            yield SimpleNamespace(log_ns=self.start_ns + round(time_s * 1e9))


def rig(**more: Any) -> RigConfig:
    rgb = SensorConfig("/rgb", "rgb", expected_hz=30.0)
    events = SensorConfig("/events", "event", type="event_packet", expected_hz=20.0)
    return RigConfig({"rgb": rgb, "events": events}, **more)


TOPICS = {"rgb": "/rgb", "events": "/events"}


@pytest.mark.parametrize(
    ("bag", "chosen", "expected"),
    [
        (Recorded(rgb=(IMAGE, [0.5, 0.6]), events=(PACKET, [0.0])), rig(), ("rgb", 0.5)),
        # An event picture is there when a window of 33 ms is over, at the next of 20 a second.
        (Recorded(events=(PACKET, [0.2])), rig(), ("events", 0.2 + 0.05 + 0.033)),
        (Recorded(rgb=(IMAGE, []), events=(PACKET, [0.2])), rig(), ("events", 0.283)),
        (Recorded(rgb=("std_msgs/msg/String", [0.0])), rig(), ("", 0.0)),
        (
            Recorded(rgb=(IMAGE, [0.5]), events=(PACKET, [0.0])),
            rig(reference=("events",)),
            ("events", 0.083),
        ),
    ],
)
def test_the_first_frame_of_the_reference(
    bag: Recorded, chosen: RigConfig, expected: tuple[str, float]
) -> None:
    name, begins_s = first_frame(bag, chosen, TOPICS)  # type: ignore[arg-type]
    assert (name, begins_s) == (expected[0], pytest.approx(expected[1]))
