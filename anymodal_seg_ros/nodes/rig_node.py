"""The simulated rig as camera drivers: images and camera_info on topics, at real rates with jitter.

Run one process with all sensors, or one per sensor with the same ``--epoch-ns``: then all show the
same world at the same time, and each can be killed by itself.
"""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
import zlib
from collections.abc import Sequence as Arguments
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, Image

from anymodal_seg_ros.errors import AnymodalError, ConfigError
from anymodal_seg_ros.nodes.messages import ImageBuffer
from anymodal_seg_ros.nodes.shutdown import fail, ros_session
from anymodal_seg_ros.simulation.rig import aligned_sensors
from anymodal_seg_ros.simulation.scene import SceneConfig
from anymodal_seg_ros.simulation.sensors import SensorModel
from anymodal_seg_ros.simulation.sequence import Sequence, SequenceConfig, render_sequence

NAME = "rig_node"
SENSORS = {sensor.name: sensor for sensor in aligned_sensors()}

_JITTER_SIGMA, _JITTER_MOST = 0.04, 0.10
"""Of a period: free-running cameras with an ordinary driver on an ordinary computer."""

_LATEST_PHASE = 0.35
"""Of a period: by how much the cameras are out of step."""


class Schedule:
    """When one free-running camera takes its pictures.

    A function of seed, sensor and frame number alone, so that a camera that was killed and started
    again goes on in the same rhythm.
    """

    def __init__(self, sensor: str, rate_hz: float, epoch_ns: int, seed: int) -> None:
        self._key = (seed, zlib.crc32(sensor.encode()))
        self._period_ns = 1e9 / rate_hz
        # Never so late that jitter shows one frame of the sequence twice: no camera repeats itself.
        phase = float(np.random.default_rng(self._key).uniform(0.0, _LATEST_PHASE))
        self._start_ns = epoch_ns + phase * self._period_ns

    def first_after(self, now_ns: int) -> int:
        """Return the number of the first frame that is certainly not over yet."""
        return max(0, math.ceil((now_ns - self._start_ns) / self._period_ns + _JITTER_MOST))

    def time_ns(self, number: int) -> int:
        """Return when a frame is taken, on the system clock."""
        draw = float(np.random.default_rng((*self._key, number)).normal(0.0, _JITTER_SIGMA))
        jitter = min(max(draw, -_JITTER_MOST), _JITTER_MOST)
        return round(self._start_ns + (number + jitter) * self._period_ns)


class Driver:
    """One camera: ``<sensor>/image`` and ``<sensor>/camera_info`` in the node's namespace."""

    def __init__(self, node: Node, model: SensorModel, sequence: Sequence, schedule: Schedule):
        self._name = model.name
        self._sequence = sequence
        self._schedule = schedule
        self._images = node.create_publisher(Image, f"{model.name}/image", qos_profile_sensor_data)
        self._infos = node.create_publisher(
            CameraInfo, f"{model.name}/camera_info", qos_profile_sensor_data
        )
        self._buffer = ImageBuffer()
        self._info = _camera_info(model)
        self._number = schedule.first_after(time.time_ns())

    @property
    def due_ns(self) -> int:
        """When the next picture is taken, on the system clock."""
        return self._schedule.time_ns(self._number)

    def publish(self, epoch_ns: int) -> None:
        """Publish the picture that is due, and go on to the next that is not over yet."""
        stamp_ns = self.due_ns
        picture = self._sequence.image(self._name, self._sequence.index_at(stamp_ns - epoch_ns))
        frame_id = f"{self._name}_optical_frame"
        image = self._buffer.fill(picture.pixels, picture.encoding, stamp_ns, frame_id)
        self._info.header = image.header
        self._infos.publish(self._info)
        self._images.publish(image)
        # A process that was stopped for a while drops what it missed, as a camera would.
        self._number = max(self._number + 1, self._schedule.first_after(time.time_ns()) - 1)


def _camera_info(model: SensorModel) -> Any:
    """Describe a pinhole without distortion."""
    lens = model.camera.intrinsics
    k = [lens.fx, 0.0, lens.cx, 0.0, lens.fy, lens.cy, 0.0, 0.0, 1.0]
    return CameraInfo(
        width=lens.width,
        height=lens.height,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=k,
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[*k[:3], 0.0, *k[3:6], 0.0, *k[6:], 0.0],
    )


def drive(
    node: Node, options: argparse.Namespace, sequence: Sequence, stop: threading.Event
) -> None:
    """Publish every chosen sensor until ``stop`` is set. The node needs no executor."""
    epoch_ns = time.time_ns() if options.epoch_ns is None else options.epoch_ns
    drivers = []
    for name in options.sensors:
        model = SENSORS[name]
        schedule = Schedule(name, model.rate_hz, epoch_ns, options.seed)
        drivers.append(Driver(node, model, sequence, schedule))
    node.get_logger().info(f"publishing {', '.join(options.sensors)} from {sequence.folder}")
    while True:
        driver = min(drivers, key=lambda d: d.due_ns)
        if stop.wait(max(0.0, (driver.due_ns - time.time_ns()) / 1e9)):
            return
        driver.publish(epoch_ns)


def _options(arguments: Arguments[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=NAME, description=__doc__)
    names = ", ".join(SENSORS)
    parser.add_argument("--sensors", default=",".join(SENSORS), help=f"comma-separated, of {names}")
    parser.add_argument("--epoch-ns", type=int, help="system time at which the world began; now")
    parser.add_argument("--seed", type=int, default=4, help="of the street and of the jitter")
    parser.add_argument("--weather", default="sun", help="sun, cloud, fog, night or rain")
    parser.add_argument("--sequence", type=Path, help="rendered sequence to show; else render one")
    parser.add_argument("--render-only", action="store_true", help="render the sequence and end")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "anymodal_seg_ros" / "sequences",
        help="folder that rendered sequences are kept in",
    )
    options = parser.parse_args(arguments)
    options.sensors = [name for name in options.sensors.split(",") if name]
    unknown = sorted(set(options.sensors) - set(SENSORS))
    if unknown or not options.sensors:
        raise ConfigError(f"--sensors names {unknown or 'none'}: expected of {names}")
    return options


def _sequence(options: argparse.Namespace) -> Sequence:
    """Open the sequence to show, or render it."""
    if options.sequence is None:
        scene = SceneConfig(options.seed, options.weather)
        return render_sequence(SequenceConfig(scene), options.cache)
    try:
        return Sequence(options.sequence)
    except (OSError, KeyError, ValueError) as error:
        raise ConfigError(f"--sequence {options.sequence} is no sequence: {error}") from error


def _run(options: argparse.Namespace, sequence: Sequence, stop: threading.Event) -> None:
    node = Node(NAME)
    try:
        drive(node, options, sequence, stop)
    finally:
        node.destroy_node()


def main(args: Arguments[str] | None = None) -> int:
    """Publish the rig until SIGINT or SIGTERM; 1 if it could not start."""
    try:
        options = _options(remove_ros_args(args)[1:])
        sequence = _sequence(options)
        if options.render_only:
            return 0
        with ros_session(args) as stop:
            _run(options, sequence, stop)
    except AnymodalError as error:
        return fail(NAME, error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
