"""The node: image topics in, ``~/mask`` out, as a managed (lifecycle) node.

configure loads the model, activate subscribes and starts the worker, deactivate stops both,
cleanup lets the model go. With the parameter ``autostart`` it does the first two by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import IO, Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import NameValidationException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.parameter import Parameter

from anymodal_seg_ros.config import SegConfig, nest, refuse_shared_topics
from anymodal_seg_ros.errors import AnymodalError, ConfigError, EngineError, no_room
from anymodal_seg_ros.foreign_text import block, one_line
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.engine_protocol import described
from anymodal_seg_ros.inference.runtimes.loading import give_up_when, loading_goes_on
from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.nodes.diagnostics import resting
from anymodal_seg_ros.nodes.engine_build import EngineBuild
from anymodal_seg_ros.nodes.health import Health
from anymodal_seg_ros.nodes.inputs import Inputs
from anymodal_seg_ros.nodes.live_parameters import LiveParameters
from anymodal_seg_ros.nodes.machine_status import MachineWatch
from anymodal_seg_ros.nodes.outputs import Outputs
from anymodal_seg_ros.nodes.parameters import (
    GivenParameters,
    declare_parameters,
    flat,
    full_topics,
)
from anymodal_seg_ros.nodes.process.bond import Bond
from anymodal_seg_ros.nodes.process.limits import scarce
from anymodal_seg_ros.nodes.process.one_instance import hold_name
from anymodal_seg_ros.nodes.process.own_arguments import own_arguments
from anymodal_seg_ros.nodes.process.shutdown import fail, ros_session, run_until_signal
from anymodal_seg_ros.nodes.process.transitions import refuse_impossible_transitions, told
from anymodal_seg_ros.nodes.recording.black_box import BlackBox
from anymodal_seg_ros.nodes.recording.record_folder import Circumstances, Kept, home
from anymodal_seg_ros.nodes.recording.snapshot import Snapshots
from anymodal_seg_ros.nodes.services import NodeServices
from anymodal_seg_ros.nodes.topics.clock_watch import ClockWatch
from anymodal_seg_ros.nodes.topics.message_class import message_class
from anymodal_seg_ros.nodes.topics.qos_overrides import unused_overrides
from anymodal_seg_ros.nodes.worker import PipelineWorker, any_worker_lives
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.streams import never_wait

NAME = "segmentation_node"

_SIM_TIME_POLL_S = 0.005
"""How often the worker looks at a simulated clock."""

_SUPERVISE_S = 0.25
"""How often it is looked whether the engine hangs."""

_HOPELESS_STOP_S = 0.5
"""A thread that is known to hang is not waited for as one that may come to its end."""

_SUCCESS = TransitionCallbackReturn.SUCCESS


class SegmentationNode(GivenParameters, LifecycleNode):
    """Segments what the living sensors of a rig see.

    Args:
        arguments: the command line, to tell which parameter files were given; this process's if
            None.
        give_up: set when the process has to end, because the engine hangs or does nothing but fail.

    Raises:
        ConfigError: a parameter is unknown, of the wrong type or out of range.
    """

    def __init__(
        self, arguments: Sequence[str] | None = None, give_up: threading.Event | None = None
    ) -> None:
        self._give_up = give_up or threading.Event()
        self.broken = ""
        """Why the process has to end, in words; empty while it has not."""
        self.held: IO[str] | None = None
        """What keeps other processes from this node's name."""
        super().__init__(NAME, automatically_declare_parameters_from_overrides=True)
        refuse_impossible_transitions(self)
        self._loaded: Pipeline | None = None
        self._outputs: Outputs | None = None
        self._worker: PipelineWorker | None = None
        self._left_alone: PipelineWorker | None = None
        """The last one that has not ended when it should."""
        self._inputs: Inputs | None = None
        self._clock_watch: ClockWatch | None = None
        self._own_timers: list[Any] = []  # rclpy's Node has _timers: all of them
        self._machine = MachineWatch(self.get_fully_qualified_name().lstrip("/"))
        self._machine.start()
        self._snapshots = Snapshots(home("snapshots", self.get_fully_qualified_name()))
        self._offered: NodeServices | None = None
        self._engine_build = EngineBuild(self)
        self._black_box: BlackBox | None = None
        self._bond: Bond | None = None
        self._said: list[Any] = []
        self._active = False
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.config = declare_parameters(self, arguments)
        LiveParameters(self, self.config, lambda: self._active, self._change)
        self._offered = NodeServices(
            self,
            self.config.rig.sensors,
            enable=self._enable,
            enable_sensor=self._enable_sensor,
            reset=self._reset,
            save_snapshot=self._save_snapshot,
        )

    def start(self) -> bool:
        """Configure and activate; False if one of them failed, which is logged."""
        return all(step() == _SUCCESS for step in (self.trigger_configure, self.trigger_activate))

    def build(self, stop: threading.Event) -> bool:
        """Configure, and build what the engine needs; False if that failed or ``stop`` was set."""
        return self.trigger_configure() == _SUCCESS and self._engine_build.build(stop)

    @told
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create the publishers."""
        self._topics_of(self.config)
        try:
            self._loaded = Pipeline.from_config(
                self.config, in_time=True, serve=self._engine_build.serve
            )
            manifest = self._loaded.model.manifest
            self._outputs = Outputs(self, self.config, manifest)
            with contextlib.suppress(ModuleNotFoundError):
                self._bond = Bond(self)
        except Exception:
            self._let_go()
            raise
        self.get_logger().info(
            f"model {manifest.name} {manifest.version} on {described(self._loaded.engine)}, "
            f"{manifest.width}x{manifest.height}, {len(manifest.classes)} classes"
        )
        return _SUCCESS

    @told
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe, and start the worker with a pipeline that has seen no image yet."""
        super().on_activate(state)
        self._sim_time = bool(self.get_clock().ros_time_is_active)
        try:
            self._begin()
        except Exception:
            super().on_deactivate(state)
            raise
        assert self._inputs is not None
        self._active = True
        self._engine_build.start()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._own_timers = [
            self.create_timer(1.0 / self.config.diagnostics_hz, self._report, clock=steady),
            self.create_timer(_SUPERVISE_S, self._supervise, clock=steady),
        ]
        if self._bond is not None:
            self._bond.begin()
        self.get_logger().info("active: " + ", ".join(self._inputs.topics))
        for words in unused_overrides(self):
            self.get_logger().warning(words)
        return _SUCCESS

    def _topics_of(self, config: SegConfig) -> dict[str, str]:
        """Return the full names of the sensors' topics.

        Raises:
            ConfigError: they cannot be subscribed to, or two sensors would hear one camera.
        """
        sensors = config.rig.sensors
        for name, sensor in sensors.items():
            message_class(name, sensor)  # better now than when it is to subscribe
        topics = full_topics(self, config.rig)
        refuse_shared_topics(topics)
        return topics

    def _new_pipeline(self) -> Pipeline:
        """Make a pipeline that has seen nothing yet, of the parameters as they are now.

        Raises:
            ConfigError: they cannot be run; or a file that they name is there no more.
        """
        assert self._loaded is not None
        return Pipeline(self.config.rig, self._loaded.model, self._loaded.engine, in_time=True)

    def _begin(self, pipeline: Pipeline | None = None) -> None:
        """Start to listen and to make masks; where that fails, nothing of it is left.

        Args:
            pipeline: to work on; None to make one.

        Raises:
            EngineError: it still works on what it was given before.
        """
        if self.engine_hangs:
            self._end_process("the engine hangs: its thread could not be stopped and still runs")
            raise EngineError(self.broken)
        try:
            self._begin_to_listen(pipeline or self._new_pipeline())
        except Exception:
            self._end()
            raise

    def _begin_to_listen(self, pipeline: Pipeline) -> None:
        assert self._outputs is not None
        rig = self.config.rig
        # Parameters may have changed since configure.
        topics = self._topics_of(self.config)
        self._outputs.begin(self.config, topics)
        self._snapshots.forget()
        before: Pipeline | None = getattr(self, "_pipeline", None)
        self._pipeline = pipeline
        if before is not None:
            self._pipeline.take_cameras_of(before)
        self._worker = PipelineWorker(
            self._pipeline,
            self._now_ns,
            self._publish,
            self._inference_failed,
            longest_wait_s=_SIM_TIME_POLL_S if self._sim_time else None,
            threads=self.config.workers,
            wanted=self._wanted,
        )
        self._health = Health(
            self.get_fully_qualified_name().lstrip("/"),
            self._pipeline,
            topics,
            self.config.inference_timeout_s,
            self._worker.threads,
            self._wanted,
            self._clock_trouble,
        )
        self._worker.start()
        if self._sim_time:
            self._clock_watch = ClockWatch(self)
        if self.config.black_box.before_s:
            folder = home("black_box", self.get_fully_qualified_name())
            tell = self.get_logger().warning
            clock = self._now_ns if self._sim_time else time.time_ns
            self._black_box = BlackBox(
                self.config.black_box, folder, self._circumstances, tell, clock
            )
        self._inputs = Inputs(
            self,
            rig,
            self._pipeline,
            self._health,
            self._outputs,
            now_ns=self._now_ns,
            simulated=self._sim_time,
            note=self._note,
            arrived=self._worker.notify,
        )

    def _end(self) -> None:
        """Stop to listen and to make masks."""
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None
        if self._clock_watch is not None:
            self._clock_watch.destroy()
            self._clock_watch = None
        if self._worker is not None:
            limit_s = _HOPELESS_STOP_S if self.broken else stop_limits.WORKER_S
            if not self._worker.stop(limit_s):
                self._left_alone = self._worker
                if not self.broken:
                    self.get_logger().error(
                        f"the engine has not answered for {limit_s:g} s, and is left alone"
                    )
            self._worker = None
        if self._black_box is not None:
            self._black_box.stop()
            self._black_box = None

    @told
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop the worker and unsubscribe; the model stays loaded."""
        self.stop()
        super().on_deactivate(state)
        self.get_logger().info("inactive: no masks are made")
        return _SUCCESS

    @told
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let the model go."""
        self._let_go()
        self.get_logger().info("unconfigured: the model is let go")
        return _SUCCESS

    @told
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop, from whichever state."""
        self._let_go()
        self.get_logger().info("finalized: nothing more is taken, end the process")
        return _SUCCESS

    @told
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Go back to unconfigured after a transition that raised."""
        self._let_go()
        return _SUCCESS

    def stop(self) -> None:
        """End everything that ``activate`` started; may be called in any state."""
        self._active = False
        self._engine_build.cancel(orderly=not self.broken)
        for timer in self._own_timers:
            self.destroy_timer(timer)
        self._own_timers = []
        if self._bond is not None:
            self._bond.end()
        self._end()

    def destroy_node(self) -> None:
        """Stop the worker before what it publishes with goes away."""
        self.stop()
        self._machine.stop()
        if self._offered is not None:  # a parameter that is wrong ends the node before
            self._offered.stop()
        super().destroy_node()

    def _let_go(self) -> None:
        self.stop()
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._bond is not None:
            self._bond.destroy()
            self._bond = None
        self._engine_build.let_go()
        self._loaded = None
        self._snapshots.forget()
        if self.engine_hangs:
            return  # its thread may come back to them
        # What has run holds the model, and hangs together in cycles. Python sees a few objects and
        # leaves them; they are a hundred megabytes each time that the model is loaded anew.
        for name in ("_pipeline", "_health"):
            if hasattr(self, name):
                delattr(self, name)
        gc.collect()

    def _now_ns(self) -> int:
        """Return the time on which messages and deadlines are kept: steady, or simulated."""
        return int(self.get_clock().now().nanoseconds) if self._sim_time else time.monotonic_ns()

    def _note(self, kept: Kept, latched: bool) -> None:
        """Keep a message for those who may write it down."""
        self._snapshots.note(kept)
        if self._black_box is not None:
            self._black_box.note(kept, latched=latched)

    def _change(self, config: SegConfig) -> None:
        """Take a new configuration over, at once if masks are being made.

        Raises:
            ConfigError: it cannot be run; the one before goes on.
        """
        if self._outputs is not None:
            self._topics_of(config)
        before, self.config = self.config, config
        if self._inputs is not None and before.rig != config.rig:
            try:
                self._pipeline.configure(config.rig)
                self._inputs.configure(config.rig)
            except Exception:
                self.config = before
                self._pipeline.configure(before.rig)
                self._inputs.configure(before.rig)
                raise
        if self._outputs is not None:
            self._outputs.config = config

    def _enable(self, on: bool) -> str:
        """Make masks, or rest: subscribed to nothing, the model kept. For ``~/enable``."""
        if not self._active:
            raise ConfigError("the node is not active: ros2 lifecycle set … activate")
        if on and self._worker is None:
            self._begin()
        elif not on:
            self._end()
        words = "making masks" if on else "resting until it is enabled again"
        self.get_logger().info(words)
        return words

    def _enable_sensor(self, sensor: str, on: bool) -> str:
        """Take a sensor in or out, by its parameter, so that everybody can see it."""
        (result,) = self.set_parameters([Parameter(f"rig.sensors.{sensor}.enabled", value=on)])
        if not result.successful:
            raise ConfigError(result.reason)
        return f"{sensor} is {'enabled' if on else 'disabled'}"

    def _reset(self) -> str:
        """Forget all that was seen, as after an activation. For ``~/reset``."""
        if self._worker is None:
            raise ConfigError("the node makes no masks now: there is nothing to reset")
        pipeline = self._new_pipeline()  # what cannot begin anew goes on
        self._end()
        self._begin(pipeline)
        self.get_logger().info("begun anew")
        return "begun anew"

    def _save_snapshot(self) -> Callable[[], str]:
        """Gather what there is now, and return what writes it down. For ``~/save_snapshot``."""
        if self._loaded is None:
            raise ConfigError("the node is not configured: there is nothing to write down")
        self._said = [] if self._inputs is None else self._statuses()
        return self._snapshots.saving(self._circumstances())

    def _circumstances(self) -> Circumstances:
        """Return what belongs to this moment beside the messages."""
        assert self._loaded is not None
        manifest = self._loaded.model.manifest
        return Circumstances(
            nest(flat(self.config)), self._said, manifest, self._snapshots.prediction
        )

    def _wanted(self) -> bool:
        """Whether masks are to be made now."""
        return not self.config.lazy or (self._outputs is not None and self._outputs.wanted())

    def _clock_trouble(self) -> str:
        """Say what is wrong with a simulated clock; empty if nothing is."""
        return "" if self._clock_watch is None else self._clock_watch.words()

    def _publish(self, prediction: Prediction) -> None:
        """Publish one mask, in the worker's thread."""
        assert self._outputs is not None
        self._snapshots.prediction = prediction
        self._outputs.publish(prediction, self._now_ns)
        reference = prediction.frame_set.reference_sample
        latency_ns = self._now_ns() - reference.received_ns
        self._health.mask_published(latency_ns, blank=bool(prediction.unlabeled))

    def _inference_failed(self, error: Exception) -> None:
        self._health.inference_failed(error)
        if self._health.may_warn("inference"):
            text = block("".join(traceback.format_exception(error)))
            self.get_logger().error(f"no mask for this frame:{text}")

    def _statuses(self) -> list[Any]:
        """Return what ``/diagnostics`` says now."""
        engine = self._engine_build.statuses()
        if self._inputs is None:
            return [resting(self.get_fully_qualified_name().lstrip("/")), *engine]
        health = self._health.report(self._now_ns(), self._inputs.settled())
        return [*health, *engine, *self._machine.statuses()]

    def _report(self) -> None:
        """Publish ``/diagnostics``, and say on the console what has changed."""
        if self._worker is not None:
            for line in self._health.news(self._now_ns()):
                if line.bad:
                    self.get_logger().warning(line.text)
                else:
                    self.get_logger().info(line.text)
        self._said = self._statuses()
        array = DiagnosticArray(status=self._said)
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)
        if self._black_box is not None and (now_ns := self._now_ns()):
            self._black_box.look(self._pipeline.status(now_ns))

    def _supervise(self) -> None:
        """End the node when its engine is past hope."""
        if self._worker is None or self.broken:
            return
        if hopeless := self._health.supervisor.hopeless():
            self._end_process(hopeless)

    @property
    def engine_hangs(self) -> bool:
        """Whether an engine has been left alone that has not answered since."""
        return self._left_alone is not None and self._left_alone.lives

    def _end_process(self, why: str) -> None:
        """Let the process end with an error: whoever has started it can start it anew."""
        self.broken = why
        self.get_logger().fatal(why)
        self._give_up.set()


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; 1 if it could not start, or its engine failed."""
    arguments = list(sys.argv if args is None else args)
    try:
        options = _options(own_arguments(arguments))
        never_wait()
        for words in scarce():
            get_logger(NAME).warning(words)
        with ros_session(args) as stop:
            give_up_when(stop)
            code = _run(arguments, options.build_only, stop)
        if (code and any_worker_lives()) or loading_goes_on():
            # A thread that hangs in a library would keep the interpreter from finalising.
            sys.stderr.flush()
            os._exit(code)
        return code
    except AnymodalError as error:
        return fail(NAME, error)
    except (MemoryError, RuntimeError) as error:
        if not (why := no_room(error)):
            raise
        return fail(NAME, ConfigError(why))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Segments what the living sensors of a robot see, and publishes ~/mask.",
        epilog="Parameters come after --ros-args: '--params-file rig.yaml', '-p model:=rig-nano', "
        "'-r __ns:=/robot1'. 'anymodal-seg parameters' lists them all.",
    )
    parser.add_argument(
        "--build-only",
        action="store_true",
        help="load the model, build what its engine needs (on a new machine that takes minutes), "
        "and end",
    )
    options, stray = parser.parse_known_args(arguments)
    if stray:
        raise ConfigError(
            f"{' '.join(stray)} cannot be used: parameters come after --ros-args, as in "
            "'--ros-args --params-file rig.yaml -p model:=rig-nano'"
        )
    return options


def _run(arguments: Sequence[str], build_only: bool, stop: threading.Event) -> int:
    try:
        node = SegmentationNode(arguments, stop)
    except NameValidationException as error:  # with the name of what it publishes or offers
        raise ConfigError(f"the node cannot have this name: {one_line(error)}") from error
    if not build_only:
        try:
            node.held = hold_name(node.get_fully_qualified_name())
        except ConfigError:
            node.destroy_node()
            raise
    if build_only or node.config.autostart:
        started = node.build(stop) if build_only else node.start()
        if build_only or not started:
            given_up = stop.is_set() and not node.broken and not build_only
            node.destroy_node()
            return 0 if started or given_up else 1
    run_until_signal(node, stop)
    return 1 if node.broken or node.engine_hangs else 0


if __name__ == "__main__":
    sys.exit(main())
