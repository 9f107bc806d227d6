"""A topic that is subscribed to anew: nothing is missed in between, and nothing is taken twice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from anymodal_seg_ros.nodes.topics import subscriptions as module
from anymodal_seg_ros.nodes.topics.subscriptions import TopicSubscription
from anymodal_seg_ros.nodes.topics.topic_facts import Offer

IMAGE = "sensor_msgs/msg/Image"


class Middleware:
    """Hands messages to the readers that are there."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.readers: list[Any] = []
        self.offers: tuple[Offer, ...] = ()
        patch.setattr(module, "subscribe", self.subscribe)
        patch.setattr(module, "offers_of", lambda *_: self.offers)
        patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.node: Any = SimpleNamespace(
            resolve_topic_name=lambda topic: topic,
            has_parameter=lambda _: False,
            get_parameters_by_prefix=lambda _: {},
            destroy_subscription=self.readers.remove,
        )
        self.taken: list[int] = []
        self.topic = TopicSubscription(
            self.node, None, IMAGE, "/front", lambda message, _: self.taken.append(message)
        )

    def subscribe(self, *arguments: Any, **_: Any) -> Any:
        _, _, _, take, lost, qos, _ = arguments
        self.readers.append(SimpleNamespace(take=take, lost=lost, qos_profile=qos))
        return self.readers[-1]

    def send(self, message: int, *readers: Any) -> None:
        """Let some readers hear a message that the only driver has sent at that time."""
        for reader in readers:
            reader.take(message, {"source_timestamp": message, "publisher_gid": {"data": b"1"}})

    def look(self) -> Any:
        self.now_s += 1.0
        return self.topic.look()


@pytest.fixture
def middleware(monkeypatch: pytest.MonkeyPatch) -> Middleware:
    return Middleware(monkeypatch)


def test_the_old_reader_stays_until_the_new_one_hears(middleware: Middleware) -> None:
    (old,) = middleware.readers
    middleware.send(1, old)
    middleware.offers = (Offer("/camera", IMAGE, reliable=True, latched=False),)
    middleware.look()
    assert old in middleware.readers, "the driver may not know the new one yet"
    new = middleware.readers[-1]
    middleware.send(2, old)
    middleware.send(3, old, new)
    middleware.send(5, new)
    middleware.send(4, old)  # which is behind
    middleware.send(5, old)
    old.lost(1)
    facts = middleware.look()
    assert middleware.readers == [new]
    middleware.send(6, new)
    assert middleware.taken == [1, 2, 3, 5, 4, 6]
    assert (facts.received, facts.lost, facts.reliable) == (5, 0, True)


def test_a_new_reader_that_hears_nothing_takes_the_place_in_the_end(middleware: Middleware) -> None:
    middleware.offers = (Offer("/camera", IMAGE, reliable=True, latched=False),)
    for _ in range(10):
        middleware.look()
    assert len(middleware.readers) == 1, "a driver that does not send"
    middleware.offers = (Offer("/camera", IMAGE, reliable=False, latched=False),)
    middleware.look()
    middleware.offers = (Offer("/camera", IMAGE, reliable=True, latched=False),)
    middleware.look()
    assert len(middleware.readers) == 2, "never more, however often they change"
    middleware.topic.destroy()
    assert middleware.readers == []


def test_without_stamps_of_the_middleware_nothing_is_left_out(middleware: Middleware) -> None:
    middleware.offers = (Offer("/camera", IMAGE, reliable=True, latched=False),)
    middleware.look()
    for message in (1, 2):
        middleware.readers[-1].take(message, {"source_timestamp": 0})
    assert middleware.taken == [1, 2]
