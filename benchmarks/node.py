"""What the node adds to the network at 640x480: callback time, and latency beyond the network's.

    python benchmarks/node.py

The real node, as a process of its own on real DDS, is fed with four sensors of 640x480 and runs an
MiT-B0 network whose input is 480x640 (random weights: they do not change the time), whole for every
mask. Frames come one at a time, so nothing ever queues. Needs the extras ros, train. Of a model in
two halves, such as the bundled ones, ``benchmarks/cpu.py`` tells where the time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from traffic import ENCODINGS, HEIGHT, WIDTH, pictures

from anymodal_seg_ros.config import SegConfig
from anymodal_seg_ros.demo.processes import Processes
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.networks import DeployedNetwork, build_network
from anymodal_seg_training.export.onnx_file import write_onnx

WARM_UP = 3


def write_b0(folder: Path) -> Path:
    """Write a model folder with an MiT-B0 network of random weights at 480x640."""
    bundled = load_model().manifest
    architecture = {"network": "anyseg", "backbone": "mit_b0", "head_width": 256}
    torch.manual_seed(0)
    network = DeployedNetwork(
        build_network(architecture, len(bundled.classes), tuple(bundled.modalities))
    )
    write_onnx(network, HEIGHT, WIDTH, folder / "model.onnx")
    files = {"onnx": FileSpec("model.onnx", sha256(folder / "model.onnx"))}
    manifest = replace(
        bundled,
        name="b0-480x640",
        description="Random weights, for timing.",
        architecture=architecture,
        height=HEIGHT,
        width=WIDTH,
        files=files,
        outputs=("mask",),
        metrics={},
    )
    dump_manifest(manifest, folder)
    return folder


MODALITIES = {name: sensor.modality for name, sensor in SegConfig().rig.sensors.items()}


@dataclass
class Times:
    """What was measured of one case, in ms."""

    network: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    end_to_end: list[float] = field(default_factory=list)
    callback_max: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float]:
        """Return medians, and the overhead as a ratio to the network's time.

        ``callback_ms`` is the median of the longest callbacks of each half second.
        """
        network = np.median(self.network)
        return {
            "network_ms": float(network),
            "node_latency_ms": float(np.median(self.latency)),
            "end_to_end_ms": float(np.median(self.end_to_end)),
            "node_overhead": float(np.median(np.divide(self.latency, self.network)) - 1),
            "end_to_end_overhead": float(np.median(np.divide(self.end_to_end, self.network)) - 1),
            "callback_ms": float(np.median(self.callback_max)),
            "worst_callback_ms": float(np.max(self.callback_max)),
        }


class Listener:
    """What the node tells of its masks.

    Attributes:
        told: set when the evidence of a mask has come.
        evidence: of the newest mask, by key.
        mask_ns: when the newest mask came, on the steady clock.
        callback_max: of every message on ``/diagnostics``, the longest callback in ms.
    """

    def __init__(self, node: Any) -> None:
        """Subscribe with an rclpy node."""
        from diagnostic_msgs.msg import DiagnosticArray
        from sensor_msgs.msg import Image

        self.told = threading.Event()
        self.evidence: dict[str, str] = {}
        self.mask_ns = 0
        self.callback_max: list[float] = []
        for kind, topic, heard in (
            (Image, "segmentation_node/mask", self._on_mask),
            (DiagnosticArray, "segmentation_node/modality_status", self._on_evidence),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics),
        ):
            node.create_subscription(kind, topic, heard, 10)

    def _on_mask(self, message: Any) -> None:
        self.mask_ns = time.monotonic_ns()

    def _on_evidence(self, message: Any) -> None:
        mask = next(status for status in message.status if status.name == "mask")
        self.evidence = {pair.key: pair.value for pair in mask.values}
        self.told.set()

    def _on_diagnostics(self, message: Any) -> None:
        pairs = [pair for status in message.status for pair in status.values]
        self.callback_max += [float(p.value) for p in pairs if p.key == "callback_max_ms"]


def node_arguments(model: Path | str) -> list[str]:
    """Return the command line of a node with the default sensors."""
    arguments = ["--ros-args", "-p", f"model:={model}", "-p", "rig.deadline_s:=0.2"]
    for name, sensor in SegConfig().rig.sensors.items():
        # Frames come when the last mask is out, so no sensor may be called late meanwhile.
        values = {"topic": sensor.topic, "modality": sensor.modality, "expected_hz": 0.2}
        for key, value in values.items():
            arguments += ["-p", f"rig.sensors.{name}.{key}:={value}"]
    return arguments


def measure(model: Path | str, sensors: list[str], frames: int, logs: Path) -> dict[str, float]:
    """Run the node with a model and feed it frames of some sensors, one at a time."""
    from rclpy.node import Node
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    from anymodal_seg_ros.nodes.environment import dds_environment
    from anymodal_seg_ros.nodes.messages import image_message
    from anymodal_seg_ros.nodes.process.shutdown import ros_session, spinning

    images = {name: pictures(kind, 1)[0] for name, kind in MODALITIES.items()}
    times, frame = Times(), 0
    environment = {**os.environ, **dds_environment()}
    with ros_session([]) as stop, Processes(logs, environment) as processes:
        node = Node("benchmark")
        listener = Listener(node)
        publishers = {
            name: node.create_publisher(Image, f"{name}/image", qos_profile_sensor_data)
            for name in sensors
        }
        program = "anymodal_seg_ros.nodes.segmentation_node"
        processes.start("segmentation_node", program, node_arguments(model))
        with spinning(node, stop):
            while any(p.get_subscription_count() == 0 for p in publishers.values()):
                processes.check()
                time.sleep(0.05)
            while frame < frames + WARM_UP:
                listener.told.clear()
                stamp = time.time_ns()
                images = {name: np.roll(image, 1, axis=1) for name, image in images.items()}
                messages = {
                    n: image_message(images[n], ENCODINGS[MODALITIES[n]], stamp, n)
                    for n in reversed(sensors)
                }
                for name, message in messages.items():
                    last_ns = time.monotonic_ns()
                    publishers[name].publish(message)
                processes.check()
                if not listener.told.wait(5):
                    continue  # a best-effort image was lost: discovery may still be under way
                time.sleep(0.05)
                said = listener.evidence
                if frame >= WARM_UP and said["sensors"].count(",") == len(sensors) - 1:
                    times.network.append(float(said["network_ms"]))
                    times.latency.append(float(said["latency_ms"]))
                    times.end_to_end.append((listener.mask_ns - last_ns) / 1e6)
                frame += 1
        node.destroy_node()
    times.callback_max = listener.callback_max
    return {"frames": len(times.network), **times.row()}


def cases(folder: Path) -> Iterator[tuple[str, Path | str, list[str]]]:
    """Yield a title, a model and the sensors that send."""
    b0 = write_b0(folder)
    for sensors in (["rgb", "events", "depth", "thermal"], ["rgb"]):
        yield f"MiT-B0 480x640, M={len(sensors)}", b0, sensors


def main() -> int:
    """Measure every case and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args()
    os.environ.setdefault("ROS_DOMAIN_ID", str(random.randint(60, 100)))
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for title, model, sensors in cases(Path(scratch)):
            results[title] = measure(model, sensors, options.frames, Path(scratch))
    table = Table(title="node against network, 640x480 inputs, medians")
    table.add_column("")
    for title in results:
        table.add_column(title)
    for name in next(iter(results.values())):
        table.add_row(name, *(f"{row[name]:.3g}" for row in results.values()))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
