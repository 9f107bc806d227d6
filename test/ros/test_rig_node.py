"""The simulated cameras: one world in many processes, real rates, jitter, restarts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.ros_graph import BEST_EFFORT, Graph, RosProcess
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.nodes.messages import to_ns

pytest.importorskip("trimesh", reason="the simulation is not installed: pip install '.[sim]'")

from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.point_clouds import decode_cloud

pytestmark = pytest.mark.ros

PERIOD_NS, FRAMES = 33_333_333, 8
RIG_NODE = "anymodal_seg_ros.nodes.simulated.rig_node"
DEMO_CAMERA = "anymodal_seg_ros.nodes.demo.demo_camera"


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sequence whose every pixel tells the number of its frame."""
    folder = tmp_path_factory.mktemp("sequence")
    number = np.arange(FRAMES, dtype=np.uint8)[:, None, None]
    np.save(folder / "rgb.npy", np.broadcast_to(number[..., None], (FRAMES, 240, 320, 3)))
    thermal = np.broadcast_to(number, (FRAMES, 240, 320)).astype(np.uint16)
    np.save(folder / "thermal.npy", thermal)
    index = {
        "period_ns": PERIOD_NS,
        "encodings": {"rgb": "rgb8", "thermal": "mono16"},
        "labels": {},
        "cameras": {
            name: {
                "name": name,
                "rate_hz": rate_hz,
                "latency_ns": 0,
                "width": 320,
                "height": 240,
                "matrix": [245.0, 0.0, 159.5, 0.0, 245.0, 119.5, 0.0, 0.0, 1.0],
            }
            for name, rate_hz in (("rgb", 30.0), ("thermal", 10.0))
        },
    }
    (folder / "sequence.json").write_text(json.dumps(index))
    return folder


def frame_number(message: Any) -> int:
    pixels = decode_image(message).pixels
    assert (pixels == pixels.flat[0]).all()
    return int(pixels.flat[0])


def test_processes_show_the_same_world_at_the_same_time(
    graph: Graph, namespace: str, sequence: Path, tmp_path: Path
) -> None:
    epoch_ns = time.time_ns()

    def start(module: str, sensor: str) -> RosProcess:
        option = "--sensors" if module == RIG_NODE else "--sensor"
        args = ["--sequence", str(sequence), option, sensor, "--epoch-ns", str(epoch_ns)]
        remap = ["--ros-args", "-r", f"__ns:={namespace}"]
        return RosProcess(module, [*args, *remap], tmp_path / sensor)

    cameras = [start(RIG_NODE, "rgb"), start(DEMO_CAMERA, "thermal")]
    with (
        graph.collect(Image, f"{namespace}/rgb/image", BEST_EFFORT) as rgb,
        graph.collect(CameraInfo, f"{namespace}/rgb/camera_info", BEST_EFFORT) as info,
        graph.collect(Image, f"{namespace}/thermal/image", BEST_EFFORT) as thermal,
    ):
        rgb.wait(lambda all_: len(all_) >= 30, "30 colour images")
        thermal.wait(lambda all_: len(all_) >= 5, "5 thermal images")
        cameras[0].kill()
        before = len(rgb.messages)
        cameras.append(start(DEMO_CAMERA, "rgb"))
        rgb.wait(lambda all_: len(all_) >= before + 5, "images of the camera that came back")
    for message in (*rgb.messages, *thermal.messages):
        elapsed_ns = to_ns(message.header.stamp) - epoch_ns
        assert frame_number(message) == round(elapsed_ns / PERIOD_NS) % FRAMES
    assert (rgb.messages[0].encoding, thermal.messages[0].encoding) == ("rgb8", "mono16")
    assert thermal.messages[0].header.frame_id == "thermal_optical_frame"
    stamps = {to_ns(m.header.stamp) for m in rgb.messages}
    assert len(stamps & {to_ns(m.header.stamp) for m in info.messages}) >= 20
    assert (info.messages[0].width, info.messages[0].k[0]) == (320, 245.0)
    for camera in cameras[1:]:
        camera.stop()


def test_a_camera_of_the_demo_starts_without_what_renders() -> None:
    heavy = ("trimesh", "embreex", "scipy", "networkx", "onnxruntime")
    code = f"import sys, {DEMO_CAMERA}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_timeline_breaks_one_sensor_and_leaves_the_truth(
    graph: Graph, namespace: str, sequence: Path, tmp_path: Path
) -> None:
    np.save(sequence / "labels_rgb.npy", np.zeros((FRAMES, 240, 320), np.uint8))
    index = json.loads((sequence / "sequence.json").read_text())
    index["labels"] = dict.fromkeys(("rgb", "thermal"), "labels_rgb.npy")
    (sequence / "sequence.json").write_text(json.dumps(index))
    timeline = tmp_path / "faults.yaml"
    timeline.write_text("faults: [{sensor: rgb, kind: garbage, how: truncated}]")
    args = ["--sequence", str(sequence), "--sensors", "rgb,thermal", "--labels"]
    args += ["--faults", str(timeline), "--ros-args", "-r", f"__ns:={namespace}"]
    rig = RosProcess(RIG_NODE, args, tmp_path / "rig")
    with (
        graph.collect(Image, f"{namespace}/rgb/image", BEST_EFFORT) as rgb,
        graph.collect(Image, f"{namespace}/rgb/labels", BEST_EFFORT) as labels,
        graph.collect(Image, f"{namespace}/thermal/image", BEST_EFFORT) as thermal,
    ):
        thermal.wait(lambda all_: len(all_) >= 3, "3 thermal images")
        rgb.wait(lambda all_: len(all_) >= 3, "3 colour images")
        labels.wait(lambda all_: len(all_) >= 3, "3 label images")
    assert all(len(message.data) < 240 * 320 * 3 for message in rgb.messages)
    assert all(len(message.data) == 240 * 320 * 2 for message in thermal.messages)
    assert {message.encoding for message in labels.messages} == {"mono8"}
    assert not np.any(labels.messages[0].data)
    rig.stop()


def test_a_lidar_is_cast_as_it_goes(graph: Graph, namespace: str, tmp_path: Path) -> None:
    args = ["--rig", "mounted", "--sensors", "lidar", "--kind", "rural", "--seed", "3"]
    rig = RosProcess(RIG_NODE, [*args, "--ros-args", "-r", f"__ns:={namespace}"], tmp_path)
    with graph.collect(PointCloud2, f"{namespace}/lidar/points", BEST_EFFORT) as clouds:
        clouds.wait(lambda all_: len(all_) >= 2, "2 clouds")
    first, second = clouds.messages[:2]
    cloud = decode_cloud(first)
    assert cloud.size > 1000
    assert np.isfinite(cloud["x"]).all()
    assert first.header.frame_id == "lidar_frame"
    assert to_ns(second.header.stamp) > to_ns(first.header.stamp)
    known = cloud["label"][cloud["label"] != UNLABELED]  # drops and fog have no class
    assert known.size > 1000 and known.max() < 16
    rig.stop()


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--sensors", "rgb,radar"], "radar"),
        (["--sequence", "/nowhere", "--sensors", "lidar"], "LiDAR"),
        (["--faults", "/nowhere.yaml"], "/nowhere.yaml"),
        (["--sensors", ""], "--sensors"),
        (["--sequence", "/nowhere"], "/nowhere"),
    ],
)
def test_bad_arguments_stop_the_start(
    args: list[str], expected: str, ros_domain: int, tmp_path: Path
) -> None:
    env = {"RCUTILS_LOGGING_USE_STDOUT": "0"}
    process = RosProcess(RIG_NODE, args, tmp_path, env)
    assert process.wait() == 1
    (line,) = process.stderr.splitlines()
    assert expected in line
