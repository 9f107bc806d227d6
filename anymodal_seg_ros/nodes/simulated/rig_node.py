"""The simulated rig as sensor drivers: images, calibration and clouds on topics, at real rates.

Run one process with all sensors, or one per sensor with the same ``--epoch-ns``: then all show the
same world at the same time, and each can be killed by itself.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Mapping
from collections.abc import Sequence as Arguments
from pathlib import Path
from typing import Any

from rclpy.logging import get_logger
from rclpy.node import Node

from anymodal_seg_ros.errors import STOPPED, AnymodalError, ConfigError
from anymodal_seg_ros.faults.content import check_modalities
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.timeline import check_sensors, load_timeline
from anymodal_seg_ros.nodes.process.own_arguments import own_arguments
from anymodal_seg_ros.nodes.process.shutdown import fail, ros_session
from anymodal_seg_ros.nodes.simulated.camera_driver import CameraDriver, Driver, publish_until
from anymodal_seg_ros.nodes.simulated.cloud_driver import CloudDriver
from anymodal_seg_ros.nodes.simulated.rig_tf import TfDriver
from anymodal_seg_ros.resources import user_cache_dir
from anymodal_seg_ros.simulation.cameras.lidar import Lidar
from anymodal_seg_ros.simulation.cameras.sensors import SensorModel
from anymodal_seg_ros.simulation.recorded import Sequence
from anymodal_seg_ros.simulation.rigs import RIGS, rig_by_name
from anymodal_seg_ros.simulation.schedule import Schedule
from anymodal_seg_ros.simulation.sequence import SequenceConfig, camera_of, render_sequence
from anymodal_seg_ros.simulation.workers import Progress
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

NAME = "rig_node"


def drive(
    node: Node, options: argparse.Namespace, sequence: Sequence | None, stop: threading.Event
) -> None:
    """Publish every chosen sensor until ``stop`` is set. The node needs no executor."""
    epoch_ns = time.time_ns() if options.epoch_ns is None else options.epoch_ns
    drivers = _drivers(node, options, sequence, epoch_ns)
    shown = f" from {sequence.folder}" if sequence else ""
    node.get_logger().info(f"publishing {', '.join(options.sensors)}{shown}")
    publish_until(drivers, stop)


def _drivers(
    node: Node, options: argparse.Namespace, sequence: Sequence | None, epoch_ns: int
) -> list[Driver]:
    """Make the driver of every chosen sensor."""
    sensors: Mapping[str, SensorModel] = options.rig_sensors
    injector: Injector[Any] | None = None
    if options.faults is not None:
        injector = Injector(options.timeline, _modalities(options))
    drivers: list[Driver] = []
    for name in options.sensors:
        model = sensors[name]
        schedule = Schedule(name, model.rate_hz, epoch_ns, options.seed)
        if isinstance(model, Lidar):
            scene = Scene(options.scene)
            drivers.append(CloudDriver(node, model, scene, schedule, epoch_ns, injector))
        else:
            assert sequence is not None
            drivers.append(
                CameraDriver(
                    node,
                    camera_of(model),
                    sequence,
                    schedule,
                    epoch_ns,
                    labels=options.labels,
                    injector=injector,
                )
            )
    if options.tf:
        drivers.append(TfDriver(node, sensors.values(), Scene(options.scene), epoch_ns))
    return drivers


def _options(arguments: Arguments[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=NAME, description=__doc__)
    parser.add_argument(
        "--rig",
        default="aligned",
        choices=RIGS,
        help="aligned: all cameras are one; mounted: each has its own place, lens and latency",
    )
    parser.add_argument(
        "--sensors", default="rgb,thermal,depth,events", help="comma-separated; also: lidar"
    )
    parser.add_argument("--epoch-ns", type=int, help="system time at which the world began; now")
    parser.add_argument("--seed", type=int, default=1006, help="of the place and of the jitter")
    parser.add_argument("--weather", default="sun", help="sun, cloud, fog, night or rain")
    parser.add_argument("--hour", type=float, default=-1.0, help="local time; -1 fits the weather")
    parser.add_argument(
        "--kind", default="random", help="of place: urban, suburban, rural, offroad or random"
    )
    parser.add_argument("--ego", default="random", help="driving, standing or random")
    parser.add_argument("--labels", action="store_true", help="publish class ids (mono8) too")
    parser.add_argument("--tf", action="store_true", help="publish /tf and /tf_static too")
    parser.add_argument(
        "--faults", type=Path, help="YAML timeline of faults; its time counts from the epoch"
    )
    parser.add_argument("--sequence", type=Path, help="rendered sequence to show; else render one")
    parser.add_argument("--render-only", action="store_true", help="render the sequence and end")
    parser.add_argument(
        "--cache",
        type=Path,
        default=user_cache_dir() / "sequences",
        help="folder that rendered sequences are kept in",
    )
    options = parser.parse_args(arguments)
    options.rig_sensors = {sensor.name: sensor for sensor in rig_by_name(options.rig)}
    options.sensors = [name for name in options.sensors.split(",") if name]
    unknown = sorted(set(options.sensors) - set(options.rig_sensors))
    if unknown or not options.sensors:
        names = ", ".join(options.rig_sensors)
        raise ConfigError(f"--sensors names {unknown or 'none'}: expected of {names}")
    options.scene = SceneConfig(
        options.seed,
        weather=options.weather,
        hour=options.hour,
        kind=options.kind,
        ego=options.ego,
    )
    if options.faults is not None:
        options.timeline = load_timeline(options.faults)
        check_sensors(options.timeline, options.rig_sensors)
        check_modalities(options.timeline, _modalities(options))
    _check_sequence(options)
    return options


def _modalities(options: argparse.Namespace) -> dict[str, str]:
    """Return the kind of every sensor of the rig by its name."""
    sensors: Mapping[str, SensorModel] = options.rig_sensors
    return {name: sensor.modality for name, sensor in sensors.items()}


def _check_sequence(options: argparse.Namespace) -> None:
    """Refuse to show a world beside a sequence that need not be of that world."""
    if options.sequence is None:
        return
    for given, what in (("lidar" in options.sensors, "the LiDAR"), (options.tf, "--tf")):
        if given:
            raise ConfigError(
                f"--sequence {options.sequence} holds pictures only, but {what} needs the scene: "
                "leave one of them out, and name the scene by --seed, --weather and --kind"
            )


def _sequence(options: argparse.Namespace) -> Sequence | None:
    """Open the sequence to show, or render it; None if no chosen sensor shows one."""
    if options.sequence is None:
        sensors: Mapping[str, SensorModel] = options.rig_sensors
        cameras = tuple(s for s in sensors.values() if not isinstance(s, Lidar))
        if not {camera.name for camera in cameras} & set(options.sensors):
            return None
        config = SequenceConfig(options.scene, sensors=cameras)
        return render_sequence(config, options.cache, progress=_drawing_told())
    return Sequence(options.sequence)


def _drawing_told() -> Progress:
    """Return what says in quarters how far the pictures are: until then no topic is there."""
    quarters_told = -1

    def tell(done: int, frames: int) -> None:
        nonlocal quarters_told
        if (quarters := 4 * done // frames) > quarters_told:
            quarters_told = quarters
            get_logger(NAME).info(
                f"drawing the pictures, once: {done} of {frames}; then they are published"
            )

    return tell


def _run(options: argparse.Namespace, sequence: Sequence | None, stop: threading.Event) -> None:
    node = Node(NAME)
    try:
        drive(node, options, sequence, stop)
    finally:
        node.destroy_node()


def main(args: Arguments[str] | None = None) -> int:
    """Publish the rig until SIGINT or SIGTERM; 1 if it could not start."""
    try:
        options = _options(own_arguments(args))
        sequence = _sequence(options)
        if options.render_only:
            return 0
        with ros_session(args) as stop:
            _run(options, sequence, stop)
    except KeyboardInterrupt:  # while pictures were drawn: the session takes signals itself
        return STOPPED
    except AnymodalError as error:
        return fail(NAME, error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
