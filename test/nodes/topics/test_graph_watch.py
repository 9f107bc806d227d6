"""What the console hears of the topics that an active node listens to."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from anymodal_seg_ros.config import RegistrationConfig, RigConfig, SensorConfig
from anymodal_seg_ros.nodes.topics import graph_watch as module
from anymodal_seg_ros.nodes.topics.graph_watch import GraphWatch
from anymodal_seg_ros.nodes.topics.topic_facts import Offer, TopicFacts

IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
DRIVER = Offer("/camera", IMAGE, reliable=True, latched=False)
RIG = RigConfig(
    sensors={
        "front": SensorConfig(
            "/front", "rgb", registration=RegistrationConfig(camera_info="/front/info")
        )
    }
)


def test_a_calibration_that_cannot_come_is_told_until_one_has_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph = {"/front": TopicFacts("/front", IMAGE, (DRIVER,), received=1)}
    graph["/front/info"] = TopicFacts("/front/info", INFO, alike=("/front/camera_info",))
    said: list[str] = []

    def subscription(_: Any, kind: Any, type_name: str, topic: str, *args: Any, **_k: Any) -> Any:
        return SimpleNamespace(look=lambda: graph[topic], destroy=lambda: None, name=topic)

    monkeypatch.setattr(module, "TopicSubscription", subscription)
    node: Any = SimpleNamespace(
        create_timer=lambda *_, **__: None,
        destroy_timer=lambda _: None,
        get_logger=lambda: SimpleNamespace(info=said.append, warning=said.append),
    )
    watch = GraphWatch(node, RIG, lambda *_: None, lambda *_: None)

    def after(looks: int) -> list[str]:
        said.clear()
        for _ in range(looks):
            watch.look()
        return list(said)

    assert after(4) == [], "a driver may be starting"
    (line,) = after(10)
    assert line.startswith("front: nobody publishes /front/info")
    assert line.endswith("/front/camera_info")
    graph["/front/info"] = TopicFacts("/front/info", INFO, (DRIVER,))
    (line,) = after(10)
    assert "/front/info is published as sensor_msgs/msg/Image" in line
    assert "set type" not in line, "a calibration has but one"
    graph["/front/info"] = replace(graph["/front/info"], offers=(), received=1)
    assert after(1) == ["front: /front/info is in order again"]
    assert after(10) == [], "whoever latched it may go"
