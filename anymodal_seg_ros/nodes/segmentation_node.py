"""The node: image topics in, ``~/mask`` out, as a managed (lifecycle) node.

configure loads the model, activate subscribes and starts the worker, deactivate stops both,
cleanup lets the model go. With the parameter ``autostart`` it does the first two by itself.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import CameraInfo

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.nodes.health import Health
from anymodal_seg_ros.nodes.message_class import message_class
from anymodal_seg_ros.nodes.outputs import Outputs
from anymodal_seg_ros.nodes.parameters import declare_parameters
from anymodal_seg_ros.nodes.shutdown import fail, one_line, ros_session, run_until_signal
from anymodal_seg_ros.nodes.transitions import refuse_impossible_transitions, told
from anymodal_seg_ros.nodes.worker import PipelineWorker, any_worker_lives
from anymodal_seg_ros.pipeline import Pipeline

NAME = "segmentation_node"

_DEPTH = 5
"""Images that wait for a callback; as in the sensor data profile."""

_SIM_TIME_POLL_S = 0.005
"""How often the worker looks at a simulated clock."""

_SUCCESS = TransitionCallbackReturn.SUCCESS


class SegmentationNode(LifecycleNode):
    """Segments what the living sensors of a rig see.

    Args:
        give_up: set when the process has to end, because the engine hangs or does nothing but fail.

    Raises:
        ConfigError: a parameter is unknown, of the wrong type or out of range.
    """

    def __init__(self, give_up: threading.Event | None = None) -> None:
        self._give_up = give_up or threading.Event()
        self.broken = ""
        """Why the process has to end, in words; empty while it has not."""
        try:
            super().__init__(NAME, automatically_declare_parameters_from_overrides=True)
        except (RuntimeError, ValueError) as error:  # such as a parameter without a type
            raise ConfigError(f"the node cannot be made: {error}") from error
        refuse_impossible_transitions(self)
        self._loaded: Pipeline | None = None
        self._outputs: Outputs | None = None
        self._worker: PipelineWorker | None = None
        self._subscribed: list[Any] = []
        self._timer: Any = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.config = declare_parameters(self)

    def start(self) -> bool:
        """Configure and activate; False if one of them failed, which is logged."""
        return all(step() == _SUCCESS for step in (self.trigger_configure, self.trigger_activate))

    @told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the publishers."""
        for name, sensor in self.config.rig.sensors.items():
            message_class(name, sensor)  # better now than when it is to subscribe
        self._loaded = Pipeline.from_config(self.config, in_time=True)
        manifest = self._loaded.model.manifest
        self._outputs = Outputs(self, self.config, manifest)
        self.get_logger().info(
            f"model {manifest.name} {manifest.version} on {self._loaded.engine.name}, "
            f"{manifest.width}x{manifest.height}, {len(manifest.classes)} classes"
        )
        return _SUCCESS

    @told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and start the worker with a pipeline that has seen nothing yet."""
        assert self._loaded is not None
        super().on_activate(state)
        self._sim_time = bool(self.get_clock().ros_time_is_active)
        rig = self.config.rig
        self._pipeline = Pipeline(rig, self._loaded.model, self._loaded.engine, in_time=True)
        self._worker = PipelineWorker(
            self._pipeline,
            self._now_ns,
            self._publish,
            self._inference_failed,
            longest_wait_s=_SIM_TIME_POLL_S if self._sim_time else None,
            threads=self.config.workers,
        )
        self._health = Health(
            self.get_fully_qualified_name().lstrip("/"),
            self._pipeline,
            {name: self.resolve_topic_name(sensor.topic) for name, sensor in rig.sensors.items()},
            self.config.inference_timeout_s,
            self._worker.threads,
        )
        self._worker.start()
        self._subscribed = [
            self.create_subscription(
                kind,
                topic,
                callback,
                # An override changes the profile it is given: so every topic gets one of its own.
                QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT),
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
            for kind, topic, callback in self._inputs()
        ]
        self._timer = self.create_timer(
            1.0 / self.config.diagnostics_hz,
            self._report,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self.get_logger().info("active: " + ", ".join(s.topic_name for s in self._subscribed))
        return _SUCCESS

    def _inputs(self) -> Iterator[tuple[Any, str, Callable[[Any], None]]]:
        """Yield message class, topic and callback of everything to subscribe to."""
        for name, sensor in self.config.rig.sensors.items():
            if sensor.enabled:
                on_message = functools.partial(self._on_message, name)
                yield message_class(name, sensor), sensor.topic, on_message
                if camera_info := sensor.registration.camera_info:
                    yield CameraInfo, camera_info, functools.partial(self._on_camera_info, name)

    @told
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the worker and unsubscribe; the model stays loaded."""
        self.stop()
        super().on_deactivate(state)
        return _SUCCESS

    @told
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the model go."""
        self._let_go()
        return _SUCCESS

    @told
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, from whichever state."""
        self._let_go()
        return _SUCCESS

    @told
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after a transition that raised."""
        self._let_go()
        return _SUCCESS

    def stop(self) -> None:
        """End everything that ``activate`` started; may be called in any state."""
        if self._timer is not None:
            self.destroy_timer(self._timer)
            self._timer = None
        for subscription in self._subscribed:
            self.destroy_subscription(subscription)
        self._subscribed = []
        if self._worker is not None:
            if not self._worker.stop() and not self.broken:
                self.broken = "the engine hangs: its thread cannot be stopped"
            self._worker = None

    def destroy_node(self) -> None:
        """Stop the worker before what it publishes with goes away."""
        self.stop()
        super().destroy_node()

    def _let_go(self) -> None:
        self.stop()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        self._loaded = None

    def _now_ns(self) -> int:
        """Return the time on which messages and deadlines are kept: steady, or simulated."""
        return int(self.get_clock().now().nanoseconds) if self._sim_time else time.monotonic_ns()

    def _on_message(self, sensor: str, message: Any) -> None:
        """Hand one message to the pipeline and be gone, in well under a millisecond."""
        started_ns = time.perf_counter_ns()
        now_ns = self._now_ns()
        if now_ns == 0:
            if self._health.may_warn("clock"):
                self.get_logger().warning("use_sim_time is set, but no /clock has come yet")
            return
        error = self._pipeline.push_message(sensor, message, now_ns)
        if self._worker is not None:
            self._worker.notify()
        if error is not None and self._health.may_warn(sensor):
            self.get_logger().warning(f"message rejected: {one_line(error)}")
        self._health.callback_took(time.perf_counter_ns() - started_ns)

    def _on_camera_info(self, sensor: str, message: Any) -> None:
        """Hand a calibration to the pipeline; repetitions cost next to nothing."""
        error = self._pipeline.push_camera_info(sensor, message)
        if error is not None and self._health.may_warn(f"{sensor} camera_info"):
            self.get_logger().warning(f"calibration rejected: {one_line(error)}")

    def _publish(self, prediction: Prediction) -> None:
        """Publish one mask, in the worker's thread."""
        assert self._outputs is not None
        self._outputs.publish(prediction, self._now_ns)
        reference = prediction.frame_set.reference_sample
        self._health.mask_published(self._now_ns() - reference.received_ns)

    def _inference_failed(self, error: Exception) -> None:
        self._health.inference_failed(error)
        if self._health.may_warn("inference"):
            text = "".join(traceback.format_exception(error))
            self.get_logger().error(f"no mask for this frame: {text}")

    def _report(self) -> None:
        """Publish ``/diagnostics``, and end the node when its engine is past hope."""
        now_ns = self._now_ns()
        for line in self._health.news(now_ns):
            self.get_logger().info(line)
        array = DiagnosticArray(status=self._health.report(now_ns))
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)
        if hopeless := self._health.supervisor.hopeless():
            self.broken = hopeless
            self.get_logger().fatal(hopeless)
            self._give_up.set()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; 1 if it could not start, or its engine failed."""
    try:
        with ros_session(args) as stop:
            code = _run(stop)
        if code and any_worker_lives():
            # A thread that hangs in a driver would keep the interpreter from finalising.
            sys.stderr.flush()
            os._exit(code)
        return code
    except AnymodalError as error:
        return fail(NAME, error)


def _run(stop: threading.Event) -> int:
    """Run until told to stop. Returns the exit code."""
    node = SegmentationNode(stop)
    if node.config.autostart and not node.start():
        node.destroy_node()
        return 1
    run_until_signal(node, stop)
    return 1 if node.broken else 0


if __name__ == "__main__":
    sys.exit(main())
