"""Everything that an active node listens to, and a look at the graph once a second.

Troubles are told when they have lasted: discovery takes its time, and a driver that starts anew is
two publishers for a moment. The console hears of each change once, ``/diagnostics`` whenever it
reports.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.nodes.topics.message_class import message_class
from anymodal_seg_ros.nodes.topics.subscriptions import TopicSubscription
from anymodal_seg_ros.nodes.topics.topic_facts import TopicFacts, Trouble

LOOK_EVERY_S = 1.0

_LASTS = {
    Trouble.NO_PUBLISHER: 5,
    Trouble.ANOTHER_TYPE: 2,
    Trouble.ASKS_FOR_MORE: 2,
    Trouble.TWO_PUBLISHERS: 7,
    Trouble.LOST: 2,
    Trouble.UNHEARD: 8,
    Trouble.NONE: 1,
}
"""After how many looks in a row a state of a topic is believed, and told."""

_CAMERA_INFO = "sensor_msgs/msg/CameraInfo"

OnSensor = Callable[[str, Any, "Mapping[str, Any] | None"], None]
"""Takes a sensor's name, a message, and what the middleware knows of the message."""


class GraphWatch:
    """Subscribes to the sensors of a rig and their calibrations, and watches their topics.

    Everything is called in the executor's thread.
    """

    def __init__(
        self,
        node: Node,
        rig: RigConfig,
        on_message: OnSensor,
        on_camera_info: OnSensor,
        *,
        tells: bool = True,
    ) -> None:
        """Subscribe.

        Args:
            node: subscribes; its clock and its console are used.
            rig: the sensors; those that are enabled are subscribed to.
            on_message: called with every message of a sensor.
            on_camera_info: called with every calibration of a sensor.
            tells: whether the console hears of troubles.

        Raises:
            ConfigError: a package of messages is not installed, or a QoS override cannot be used.
        """
        self._node, self._tells = node, tells
        self._on_message, self._on_camera_info = on_message, on_camera_info
        self._sensors: dict[str, TopicSubscription] = {}
        self._calibrations: dict[str, TopicSubscription] = {}
        self._facts: dict[str, TopicFacts] = {}
        self._calibration_facts: dict[str, TopicFacts] = {}
        self._seen: dict[str, tuple[Trouble, int]] = {}
        self._told: dict[str, Trouble] = {}
        self._timer = node.create_timer(
            LOOK_EVERY_S, self.look, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        try:
            self.configure(rig)
        except Exception:
            self.destroy()
            raise

    @property
    def facts(self) -> Mapping[str, TopicFacts]:
        """What was seen last, by sensor; only those that are subscribed to."""
        return self._facts

    @property
    def calibration_facts(self) -> Mapping[str, TopicFacts]:
        """The same of the topics of their calibrations; only those that are subscribed to."""
        return self._calibration_facts

    @property
    def topics(self) -> list[str]:
        """Full names of all that is subscribed to, in configured order."""
        both = [s for n in self._sensors for s in (self._sensors[n], self._calibrations.get(n))]
        return [subscription.name for subscription in both if subscription is not None]

    def configure(self, rig: RigConfig) -> None:
        """Subscribe to what is enabled and not yet subscribed to; leave what is disabled."""
        for name, sensor in rig.sensors.items():
            if sensor.enabled and name not in self._sensors:
                self._subscribe(name, sensor)
            elif not sensor.enabled and name in self._sensors:
                self._leave(name)

    def look(self) -> None:
        """Look at the graph; a timer does it once a second."""
        for name, calibration in self._calibrations.items():
            facts = self._calibration_facts[name] = calibration.look()
            # Where one has come it holds, whatever becomes of the topic.
            trouble = Trouble.NONE if facts.received else facts.trouble
            self._note(name, _calibration_of(name), facts, trouble)
        for name, subscription in self._sensors.items():
            facts = self._facts[name] = subscription.look()
            self._note(name, name, facts, facts.trouble)

    def settled(self) -> Mapping[str, TopicFacts]:
        """Return the facts, by sensor, that have lasted long enough to be told."""
        return {
            name: facts
            for name, facts in self._facts.items()
            if self._told.get(name, Trouble.NONE) is facts.trouble
            or facts.trouble is Trouble.NO_PUBLISHER
        }

    def destroy(self) -> None:
        """Stop listening and looking."""
        self._node.destroy_timer(self._timer)
        for name in list(self._sensors):
            self._leave(name)

    def _subscribe(self, name: str, sensor: SensorConfig) -> None:
        self._sensors[name] = TopicSubscription(
            self._node,
            message_class(name, sensor),
            sensor.message_type,
            sensor.topic,
            functools.partial(self._on_message, name),
        )
        if topic := sensor.registration.camera_info:
            self._calibrations[name] = TopicSubscription(
                self._node,
                CameraInfo,
                _CAMERA_INFO,
                topic,
                functools.partial(self._on_camera_info, name),
                latched=True,
            )

    def _leave(self, name: str) -> None:
        self._sensors.pop(name).destroy()
        if name in self._calibrations:
            self._calibrations.pop(name).destroy()
        for books in (self._facts, self._calibration_facts, self._seen, self._told):
            books.pop(name, None)
            books.pop(_calibration_of(name), None)

    def _note(self, name: str, book: str, facts: TopicFacts, trouble: Trouble) -> None:
        """Take note of how a topic is, and write a line if it has lasted and is news.

        Args:
            name: of the sensor, for people.
            book: under which the topic is remembered.
            facts: what was seen.
            trouble: what is made of it.
        """
        seen, looks = self._seen.get(book, (trouble, 0))
        looks = looks + 1 if trouble is seen else 1
        self._seen[book] = (trouble, looks)
        if looks < _LASTS[trouble]:
            return
        before = self._told.get(book, Trouble.NONE)
        self._told[book] = trouble
        if trouble is before or not self._tells:
            return
        if trouble is Trouble.NONE:
            self._node.get_logger().info(f"{name}: {facts.topic} is in order again")
        else:
            self._node.get_logger().warning(f"{name}: {facts.words}")


def _calibration_of(name: str) -> str:
    """Return what the calibration's topic of a sensor is remembered under: no sensor's name."""
    return f"{name}/camera_info"
