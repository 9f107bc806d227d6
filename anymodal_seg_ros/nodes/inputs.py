"""From the topics to the pipeline: each message is noted, timed, handed over, and told if refused.

Nothing here takes long: whoever arrives next waits for this thread.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node

from anymodal_seg_ros.config import RigConfig, seconds_to_ns
from anymodal_seg_ros.foreign_text import block, one_line
from anymodal_seg_ros.frames import SensorState
from anymodal_seg_ros.nodes.health import Health
from anymodal_seg_ros.nodes.outputs import Outputs
from anymodal_seg_ros.nodes.process.guard import guarded
from anymodal_seg_ros.nodes.recording.record_folder import Kept
from anymodal_seg_ros.nodes.topics.arrival import waited_ns
from anymodal_seg_ros.nodes.topics.graph_watch import GraphWatch
from anymodal_seg_ros.nodes.topics.static_transforms import TOPIC as TF_STATIC
from anymodal_seg_ros.nodes.topics.static_transforms import StaticTransforms
from anymodal_seg_ros.nodes.topics.topic_facts import TopicFacts
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.health.sensor_health import Fault


class Inputs:
    """Subscribes to what the sensors of a rig send. Everything is called in the executor's thread.

    Args:
        node: subscribes, and has the console.
        rig: the sensors.
        pipeline: takes the messages.
        health: counts what the callbacks take, and knows when to warn again.
        outputs: want calibrations and transforms, too.
        now_ns: the clock on which messages arrive; 0 while it is not running.
        simulated: whether that clock is another one than the middleware's.
        note: takes every message, and whether it is one of those that are latched, for whoever may
            write it down.
        arrived: called when the pipeline has a new message.
    """

    def __init__(
        self,
        node: Node,
        rig: RigConfig,
        pipeline: Pipeline,
        health: Health,
        outputs: Outputs,
        *,
        now_ns: Callable[[], int],
        simulated: bool,
        note: Callable[[Kept, bool], None],
        arrived: Callable[[], None],
    ) -> None:
        self._node, self._rig, self._pipeline = node, rig, pipeline
        self._health, self._outputs = health, outputs
        self._now_ns, self._simulated = now_ns, simulated
        self._note_down, self._arrived = note, arrived
        self._watch = GraphWatch(
            node,
            rig,
            guarded(self._on_message, self._callback_failed),
            guarded(self._on_camera_info, self._callback_failed),
        )
        self._transforms: StaticTransforms | None = None
        try:
            if pipeline.wants_transforms:
                self._transforms = StaticTransforms(node, self._on_transforms)
        except Exception:
            self.destroy()
            raise

    @property
    def topics(self) -> list[str]:
        """Full names of the topics that are listened to."""
        return self._watch.topics

    def settled(self) -> Mapping[str, TopicFacts]:
        """Return what the graph says of the sensors' topics, by sensor."""
        return self._watch.settled()

    def configure(self, rig: RigConfig) -> None:
        """Go on with other parameters of the same sensors."""
        self._rig = rig
        self._watch.configure(rig)

    def destroy(self) -> None:
        """Stop listening."""
        self._watch.destroy()
        if self._transforms is not None:
            self._transforms.destroy()

    def _on_message(self, sensor: str, message: Any, info: Mapping[str, Any] | None) -> None:
        """Hand one message to the pipeline and be gone, in well under a millisecond."""
        started_ns = time.perf_counter_ns()
        config = self._rig.sensors[sensor]
        self._note(config.topic, config.message_type, message)
        now_ns = self._now_ns()
        if now_ns == 0:
            self._warn("clock", "use_sim_time is set, but no /clock has come yet")
            return
        received_ns = now_ns
        if not self._simulated:
            received_ns -= waited_ns(info, seconds_to_ns(self._rig.clock_jump_s) // 2)
        error = self._pipeline.push_message(sensor, message, received_ns, now_ns)
        self._arrived()
        if error is not None:
            self._warn(sensor, f"message rejected: {one_line(error)}")
        self._health.callback_took(time.perf_counter_ns() - started_ns)

    def _on_camera_info(self, sensor: str, message: Any, info: Mapping[str, Any] | None) -> None:
        """Hand a calibration to the pipeline; repetitions cost next to nothing."""
        topic = self._rig.sensors[sensor].registration.camera_info
        self._note(topic, "sensor_msgs/msg/CameraInfo", message, latched=True)
        error = self._pipeline.push_camera_info(sensor, message)
        if error is None:
            self._outputs.take_camera_info(sensor, message)
        else:
            self._warn(f"{sensor} camera_info", f"calibration rejected: {one_line(error)}")

    def _on_transforms(self, message: Any) -> None:
        """Hand the places of frames to the pipeline."""
        self._note(TF_STATIC, "tf2_msgs/msg/TFMessage", message, latched=True)
        error = self._pipeline.push_transforms(message)
        if error is not None:
            self._warn("tf", f"transform rejected: {one_line(error)}")
        self._outputs.take_transforms(message)

    def _note(self, topic: str, type_name: str, message: Any, *, latched: bool = False) -> None:
        # In the time in which the sensors live: a recording of a simulation that is slower than the
        # world would show them as slow.
        now_ns = self._now_ns() if self._simulated else time.time_ns()
        self._note_down(Kept(topic, type_name, now_ns, message), latched)

    def _warn(self, subject: str, text: str) -> None:
        """Warn, unless somebody has been warned about the subject a moment ago."""
        if self._health.may_warn(subject):
            self._node.get_logger().warning(text)

    def _callback_failed(self, sensor: str, error: Exception) -> None:
        """Count what a callback raised, and tell it; the message is lost, the node is not."""
        words = f"{type(error).__name__}: {one_line(error)}"
        self._pipeline.reject(sensor, Fault(SensorState.INVALID, words), self._now_ns())
        if self._health.may_warn(f"{sensor} callback"):
            text = block("".join(traceback.format_exception(error)))
            self._node.get_logger().error(f"a message of {sensor} could not be taken:{text}")
