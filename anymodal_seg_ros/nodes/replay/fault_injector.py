"""Breaks sensors on a live robot: between the drivers and the node, as a timeline says.

It subscribes to the topics of a rig, as configured for the segmentation node, and publishes what
broken sensors would send on topics with a prefix. Parameter files name that node, or ``/**``. The
timeline starts with the first message, and anew with the first after a call of ``~/reload``, which
reads the file again, or after simulated time has begun anew.
"""

from __future__ import annotations

import argparse
import functools
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from std_srvs.srv import Trigger

from anymodal_seg_ros.config import (
    NoSectionError,
    RigConfig,
    load_node_config,
    names_sensors,
    seconds_to_ns,
)
from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.evaluation.replay import read_timeline
from anymodal_seg_ros.faults.injector import Delivery, Injector
from anymodal_seg_ros.faults.stream import DelayLine
from anymodal_seg_ros.faults.topics import PREFIX, driven_topic, faulty_topic
from anymodal_seg_ros.foreign_text import block, one_line
from anymodal_seg_ros.nodes.parameters import GivenParameters, declare_parameters
from anymodal_seg_ros.nodes.process.own_arguments import own_arguments
from anymodal_seg_ros.nodes.process.parameter_files import given_files
from anymodal_seg_ros.nodes.process.shutdown import fail, ros_session, run_until_signal
from anymodal_seg_ros.nodes.replay.run_clock import RunClock
from anymodal_seg_ros.nodes.topics.graph_watch import LOOK_EVERY_S
from anymodal_seg_ros.nodes.topics.message_class import message_class
from anymodal_seg_ros.nodes.topics.subscriptions import DEPTH, TopicSubscription

NAME = "fault_injector"

_DELAY_POLL_S = 0.005
"""How often delayed messages are looked at; none are later than that by this node's doing."""

_WARN_EVERY_S = 5.0


class FaultInjector(GivenParameters):
    """Republishes the sensors of a rig with faults.

    Raises:
        ConfigError: a parameter or the timeline is wrong, or a message package is not installed.
    """

    def __init__(self, timeline: Path, prefix: str) -> None:
        super().__init__(NAME, automatically_declare_parameters_from_overrides=True)
        self._path = timeline
        self._rig = self._rig_of_the_node() or declare_parameters(self).rig
        self._line = DelayLine[Any]()
        self._run = RunClock(seconds_to_ns(self._rig.clock_jump_s))
        self._begin()
        self._outputs: dict[str, Any] = {}
        self._inputs: list[TopicSubscription] = []
        for name, sensor in self._rig.sensors.items():
            kind, topic = message_class(name, sensor), faulty_topic(sensor.topic, prefix)
            # Reliable, and heard as reliably as the driver sends: what gets lost is the timeline's.
            self._outputs[name] = self.create_publisher(kind, topic, DEPTH)
            on_message = functools.partial(self._on_message, name)
            self._inputs.append(
                TopicSubscription(
                    self,
                    kind,
                    sensor.message_type,
                    driven_topic(sensor.topic),
                    on_message,
                    watched=False,
                    raw=False,
                )
            )
        self._look = self.create_timer(
            LOOK_EVERY_S, self._look_at_graph, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer = self.create_timer(
            _DELAY_POLL_S, self._deliver, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )
        self._timer.cancel()  # until something is delayed
        self.create_service(Trigger, "~/reload", self._on_reload)
        topics = ", ".join(publisher.topic_name for publisher in self._outputs.values())
        self.get_logger().info(f"{len(self._timeline.faults)} faults of {timeline} on {topics}")

    def _rig_of_the_node(self) -> RigConfig | None:
        """Return what the parameter files say to the segmentation node; None if it is said here.

        Raises:
            ConfigError: a parameter in it is wrong.
        """
        files = given_files(sys.argv)
        if not files or names_sensors(self.get_parameters_by_prefix("")):
            return None
        try:
            found = load_node_config(files, self.get_namespace())
        except NoSectionError:
            return None
        return found.config.rig if found.own_sensors else None

    def _begin(self) -> None:
        """Read the timeline; it starts with the next message."""
        self._timeline = read_timeline(self._path, self._rig)
        self._restart()

    def _restart(self) -> None:
        modalities = {name: sensor.modality for name, sensor in self._rig.sensors.items()}
        self._injector = Injector[Any](self._timeline, modalities)
        self._run.begin()

    def _now_ns(self) -> int:
        """Return the time that the timeline is kept on: steady, or simulated."""
        clock = self.get_clock()
        return int(clock.now().nanoseconds) if clock.ros_time_is_active else time.monotonic_ns()

    def _look_at_graph(self) -> None:
        """Subscribe anew to what is offered otherwise than before."""
        for subscription in self._inputs:
            subscription.look()

    def _on_message(self, sensor: str, message: Any, _: Mapping[str, Any] | None = None) -> None:
        """Let a message go on, now or later, as it is or changed; or not at all."""
        now_ns = self._now_ns()
        if now_ns == 0:  # no /clock has come yet: counted from here, the timeline would be over
            self._outputs[sensor].publish(message)
            return
        if self._run.begun_anew(now_ns):
            self._restart()
            self._line = DelayLine()
        elapsed_ns = self._run.elapsed_ns(now_ns)
        delivery = self._broken(sensor, elapsed_ns, message)
        if delivery is None:
            return
        delay_ns = delivery.time_ns - elapsed_ns
        if delay_ns == 0:
            self._outputs[sensor].publish(delivery.payload)
            return
        self._line.put(sensor, now_ns + delay_ns, delivery.payload)
        if self._timer.is_canceled():
            self._timer.reset()

    def _broken(self, sensor: str, elapsed_ns: int, message: Any) -> Delivery[Any] | None:
        """Break a message; one that cannot be broken goes on as it is."""
        try:
            return self._injector.push(sensor, elapsed_ns, message)
        except ConfigError as error:
            self.get_logger().warning(
                f"not applied: {one_line(error)}", throttle_duration_sec=_WARN_EVERY_S
            )
        except Exception:  # whatever a driver sends must not end this node
            self.get_logger().error(
                f"a message of {sensor} cannot be broken:{block(traceback.format_exc())}",
                throttle_duration_sec=_WARN_EVERY_S,
            )
        return Delivery(elapsed_ns, message)

    def _deliver(self) -> None:
        """Publish the delayed messages whose time has come."""
        for sensor, _, message in self._line.take(self._now_ns()):
            self._outputs[sensor].publish(message)
        if not self._line:
            self._timer.cancel()

    def _on_reload(self, _: Any, response: Any) -> Any:
        """Start anew with what the file says now; an error leaves everything as it was."""
        try:
            self._begin()
        except ConfigError as error:
            response.success, response.message = False, one_line(error)
            return response
        response.success = True
        response.message = f"{len(self._timeline.faults)} faults, from the next message on"
        return response


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=NAME, description=__doc__)
    parser.add_argument("timeline", type=Path, help="YAML file of the faults")
    parser.add_argument("--prefix", default=PREFIX, help="of the topics that are published")
    return parser.parse_args(arguments)


def main(args: Sequence[str] | None = None) -> int:
    """Break sensors until SIGINT or SIGTERM; 1 if it could not start."""
    try:
        options = _options(own_arguments(args))
        with ros_session(args) as stop:
            _run(options, stop)
    except AnymodalError as error:
        return fail(NAME, error)
    return 0


def _run(options: argparse.Namespace, stop: threading.Event) -> None:
    run_until_signal(FaultInjector(options.timeline, options.prefix), stop)


if __name__ == "__main__":
    sys.exit(main())
