"""One camera of the demo: it shows a sequence that was rendered beforehand.

Apart from ``rig_node``, so that nothing of what renders is imported: a camera that is plugged in
again must not take a second of the robot's cores, as no real one does.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence as Arguments
from pathlib import Path

from rclpy.node import Node

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.nodes.process.own_arguments import own_arguments
from anymodal_seg_ros.nodes.process.shutdown import fail, ros_session
from anymodal_seg_ros.nodes.simulated.camera_driver import CameraDriver, publish_until
from anymodal_seg_ros.simulation.recorded import Sequence
from anymodal_seg_ros.simulation.schedule import Schedule

NAME = "demo_camera"

_SEED = 1006
"""Of the jitter of its pictures."""


def main(args: Arguments[str] | None = None) -> int:
    """Publish one sensor until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog=NAME, description=__doc__)
    parser.add_argument("--sequence", type=Path, required=True, help="rendered sequence to show")
    parser.add_argument("--sensor", required=True, help="of the sequence")
    parser.add_argument(
        "--epoch-ns", type=int, required=True, help="system time at which the world began"
    )
    try:
        options = parser.parse_args(own_arguments(args))
        sequence = Sequence(options.sequence)
    except ConfigError as refused:
        return fail(NAME, refused)
    if options.sensor not in sequence.cameras:
        known = ", ".join(sequence.cameras) or "none"
        error = f"--sensor is {options.sensor!r}: the sequence tells of the cameras {known}"
        return fail(NAME, ConfigError(error))
    with ros_session(args) as stop:
        _show(options, sequence, stop)
    return 0


def _show(options: argparse.Namespace, sequence: Sequence, stop: threading.Event) -> None:
    camera, epoch_ns = sequence.cameras[options.sensor], options.epoch_ns
    schedule = Schedule(camera.name, camera.rate_hz, epoch_ns, _SEED)
    node = Node(f"{camera.name}_camera")
    try:
        publish_until([CameraDriver(node, camera, sequence, schedule, epoch_ns)], stop)
    finally:
        node.destroy_node()


if __name__ == "__main__":
    sys.exit(main())
