"""In which order the executor serves what is ready; rclpy's part is scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from rclpy.executors import SingleThreadedExecutor, TimeoutException
from rclpy.subscription import Subscription

from anymodal_seg_ros.nodes.process import executor as module
from anymodal_seg_ros.nodes.process.executor import LOOK_EVERY_S, MessagesLast


class Task:
    """A callback that rclpy has made ready."""

    def __init__(self, name: str, gone: bool = False) -> None:
        self.name, self.ran, self._gone = name, False, gone

    def __call__(self) -> None:
        self.ran = True

    def exception(self) -> Exception | None:
        return RuntimeError("of a handle that is no more") if self._gone else None


class Rclpy:
    """What becomes ready, look by look, and how long each callback takes."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now_s, self.timeouts = 50.0, []
        self.looks: list[list[Any]] = []
        self.images = [object.__new__(Subscription) for _ in range(4)]
        self.node = SimpleNamespace(subscriptions=list(self.images))
        patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        patch.setattr(SingleThreadedExecutor, "_wait_for_ready_callbacks", self._ready)
        self.executor = object.__new__(MessagesLast)
        self.executor._sigint_gc = None

    def _ready(self, timeout_s: Any, *_: Any) -> Iterator[Any]:
        self.timeouts.append(timeout_s)
        yield from self.looks.pop(0) if self.looks else []
        if timeout_s == 0:
            raise TimeoutException

    def image(self, camera: int) -> Any:
        return Task(f"image {camera}"), self.images[camera], self.node

    def other(self, name: str) -> Any:
        return Task(name), SimpleNamespace(), self.node

    def served(self, takes_s: float, then: Callable[[str], Any] = lambda _: None) -> list[str]:
        """Return what one round serves, each taking its time."""
        names = []
        for task, *_ in self.executor._wait_for_ready_callbacks(None):
            names.append(task.name)
            self.now_s += takes_s
            then(task.name)
        return names


@pytest.fixture
def rclpy(monkeypatch: pytest.MonkeyPatch) -> Rclpy:
    return Rclpy(monkeypatch)


def test_a_service_is_answered_between_two_large_images(rclpy: Rclpy) -> None:
    first, again = rclpy.image(1), rclpy.image(0)
    rclpy.looks = [
        [rclpy.other("timer"), rclpy.image(0), first, rclpy.other("asked before")],
        [first, again, rclpy.other("asked meanwhile")],
    ]
    names = rclpy.served(2 * LOOK_EVERY_S)
    assert names == ["timer", "asked before", "image 0", "asked meanwhile", "image 1", "image 0"]
    assert rclpy.timeouts == [None, 0, 0], "it never waits while a message does"


def test_small_images_are_not_looked_between(rclpy: Rclpy) -> None:
    rclpy.looks = [[rclpy.image(camera) for camera in range(4)]]
    assert rclpy.served(LOOK_EVERY_S / 5) == [f"image {camera}" for camera in range(4)]
    assert rclpy.timeouts == [None]


def test_nothing_is_taken_of_a_subscription_that_was_destroyed_meanwhile(rclpy: Rclpy) -> None:
    gone = (Task("image 1", gone=True), *rclpy.image(1)[1:])
    rclpy.looks = [[rclpy.image(0), gone, rclpy.image(2)]]
    destroyed = rclpy.node.subscriptions.remove
    names = rclpy.served(0.0, lambda name: name == "image 0" and destroyed(rclpy.images[1]))
    assert names == ["image 0", "image 2"]
    assert gone[0].ran, "or rclpy would have it wait for ever"


def test_a_wait_that_is_over_is_told_where_nothing_came(rclpy: Rclpy) -> None:
    with pytest.raises(TimeoutException):
        list(rclpy.executor._wait_for_ready_callbacks(0))


def test_rclpy_asks_for_work_under_this_name() -> None:
    assert hasattr(SingleThreadedExecutor, "_wait_for_ready_callbacks")
