"""A sensor whose place ``/tf_static`` tells, and class names as vision_msgs, on real messages."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.fake_calibration import calibration
from fixtures.fake_sensor import picture
from fixtures.message_package import python_path
from fixtures.ros_graph import BEST_EFFORT, CHECKOUT, Graph, StartNode, values, wait_until
from geometry_msgs.msg import TransformStamped
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from anymodal_seg_ros.nodes.messages import image_message

pytestmark = pytest.mark.ros

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RIG = {
    "rig__sensors__rgb__topic": "rgb",
    "rig__sensors__rgb__modality": "rgb",
    "rig__sensors__rgb__registration__camera_info": "rgb/camera_info",
    "rig__sensors__thermal__topic": "thermal",
    "rig__sensors__thermal__modality": "thermal",
    "rig__sensors__thermal__registration__camera_info": "thermal/camera_info",
    "rig__sensors__thermal__registration__method": "cameras",
    "rig__sensors__thermal__registration__extrinsics": "tf",
    "rig__sensors__thermal__registration__distance_m": 5.0,
    "rig__reference": "[rgb, thermal]",
}


@contextmanager
def cameras(graph: Graph, namespace: str) -> Iterator[None]:
    """An RGB and a thermal camera in frames of this namespace, 20 images a second."""
    node, stop = graph.node, threading.Event()
    images = {"rgb": "rgb8", "thermal": "mono16"}
    made = [node.create_publisher(Image, f"{namespace}/{name}", BEST_EFFORT) for name in images]
    infos = [
        node.create_publisher(CameraInfo, f"{namespace}/{name}/camera_info", LATCHED)
        for name in images
    ]
    for info in infos:
        info.publish(calibration())

    def send() -> None:
        for seed in itertools.count():
            if stop.wait(0.05):
                return
            now_ns = time.time_ns()
            for publisher, (name, encoding) in zip(made, images.items(), strict=True):
                pixels = picture(encoding, seed=seed % 8)
                frame = f"{namespace.strip('/')}_{name}_optical"
                publisher.publish(image_message(pixels, encoding, now_ns, frame))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for publisher in (*made, *infos):
            node.destroy_publisher(publisher)


def thermal(fits: Callable[[dict[str, str]], bool]) -> Callable[[Any], bool]:
    return lambda status: fits(values(status, "thermal"))


def test_a_place_that_tf_tells_brings_a_sensor_into_the_masks(
    graph: Graph, start_node: StartNode, namespace: str, tf2_path: str
) -> None:
    from tf2_msgs.msg import TFMessage

    start_node(**RIG, env=python_path(tf2_path))
    name = f"{namespace}/segmentation_node"
    tf = graph.node.create_publisher(TFMessage, "/tf_static", LATCHED)
    frame = namespace.strip("/")
    with cameras(graph, namespace), graph.collect(DiagnosticArray, f"{name}/modality_status") as s:
        unplaced = thermal(lambda said: "/tf_static does not name" in said.get("reason", ""))
        s.next(unplaced, "a mask without it")
        stamped = TransformStamped(child_frame_id=f"{frame}_thermal_optical")
        stamped.header.frame_id = f"{frame}_rgb_optical"
        stamped.transform.translation.x = 0.05
        stamped.transform.rotation.w = 1.0
        tf.publish(TFMessage(transforms=[stamped]))
        s.next(thermal(lambda said: said["used"] == "true"), "a mask with it")
    graph.node.destroy_publisher(tf)


def test_check_names_a_place_that_is_missing(
    graph: Graph, namespace: str, tf2_path: str, tmp_path: Path
) -> None:
    registration = f"method: cameras, camera_info: {namespace}/thermal/camera_info, extrinsics: tf"
    info = f"camera_info: {namespace}/rgb/camera_info"
    rig = tmp_path / "rig.yaml"
    rig.write_text(
        "/**:\n  ros__parameters:\n    rig:\n      reference: [rgb, thermal]\n      sensors:\n"
        f"        rgb: {{topic: {namespace}/rgb, modality: rgb, registration: {{{info}}}}}\n"
        f"        thermal: {{topic: {namespace}/thermal, modality: thermal, "
        f"registration: {{{registration}}}}}\n"
    )
    command = [sys.executable, "-m", "anymodal_seg_ros.cli.main", "check", str(rig)]
    with cameras(graph, namespace):
        done = subprocess.run(
            [*command, "--seconds", "2"],
            cwd=CHECKOUT,
            env={**os.environ, **python_path(tf2_path)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "thermal: the pose of" in done.stdout
    assert "/tf_static does not name" in done.stdout


def test_without_tf2_msgs_one_line_says_so_and_masks_go_on(
    graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path
) -> None:
    hidden = tmp_path / "hidden" / "tf2_msgs"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('not here')")
    node = start_node(**RIG, env=python_path(str(hidden.parent)))
    wait_until(lambda: "install ros-$ROS_DISTRO-tf2-msgs" in node.stdout, "the line")
    with (
        cameras(graph, namespace),
        graph.collect(Image, f"{namespace}/segmentation_node/mask") as masks,
    ):
        masks.next(what="a mask of the other camera")
    assert node.stdout.count("tf2-msgs") == 1, "once"


def test_class_names_come_as_vision_msgs_to_whoever_asks_late(
    graph: Graph, start_node: StartNode, namespace: str, vision_path: str
) -> None:
    from vision_msgs.msg import LabelInfo

    start_node(autostart=False, env=python_path(vision_path))
    name = f"{namespace}/segmentation_node"
    assert graph.change(name, "configure")
    with graph.collect(LabelInfo, f"{name}/label_info", LATCHED) as infos:
        info = infos.wait(lambda got: got and got[0], "the names, before any mask")
    assert [entry.class_id for entry in info.class_map] == list(range(7))
    assert info.class_map[0].class_name == "ground"
    assert info.header.stamp.sec > 0
    topics = dict(graph.node.get_topic_names_and_types())
    assert f"{name}/label_info_json" not in topics
