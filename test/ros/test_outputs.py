"""What goes with the masks: names of classes, cameras, points, pictures; and the services."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.fake_calibration import calibration
from fixtures.fake_sensor import HEIGHT, WIDTH, picture
from fixtures.ros_graph import BEST_EFFORT, CHECKOUT, Graph, StartNode, values, wait_until
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from anymodal_seg_ros.inference.masks.labelled_cloud import POINT
from anymodal_seg_ros.nodes.messages import image_message

pytestmark = pytest.mark.ros

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
RGBD = {
    "rig__sensors__rgb__topic": "rgb",
    "rig__sensors__rgb__modality": "rgb",
    "rig__sensors__rgb__registration__camera_info": "rgb/camera_info",
    "rig__sensors__depth__topic": "depth",
    "rig__sensors__depth__modality": "depth",
}


@contextmanager
def rgbd(graph: Graph, namespace: str) -> Iterator[None]:
    """An RGB-D camera that sends 20 pairs a second, and its calibration once."""
    node, stop = graph.node, threading.Event()
    made = [
        node.create_publisher(CameraInfo, f"{namespace}/rgb/camera_info", LATCHED),
        node.create_publisher(Image, f"{namespace}/rgb", BEST_EFFORT),
        node.create_publisher(Image, f"{namespace}/depth", BEST_EFFORT),
    ]
    made[0].publish(calibration())

    def send() -> None:
        for seed in itertools.count():
            if stop.wait(0.05):
                return
            now_ns = time.time_ns()
            for publisher, encoding in ((made[1], "rgb8"), (made[2], "32FC1")):
                pixels = picture(encoding, seed=seed % 8)
                publisher.publish(image_message(pixels, encoding, now_ns, "optical"))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for publisher in made:
            node.destroy_publisher(publisher)


def test_class_names_are_there_before_the_first_mask(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(autostart=False)
    name = f"{namespace}/segmentation_node"
    assert graph.change(name, "configure")
    with graph.collect(String, f"{name}/label_info_json", LATCHED) as labels:
        said = json.loads(labels.wait(lambda all_: all_, "the classes")[0].data)
    assert [entry["class_id"] for entry in said["class_map"]] == list(range(7))
    assert all(entry["class_name"] for entry in said["class_map"])
    assert said["unlabeled"] == 255


def test_points_lie_where_the_depth_camera_saw_them(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(**RGBD)
    name = f"{namespace}/segmentation_node"
    with (
        rgbd(graph, namespace),
        graph.collect(PointCloud2, f"{name}/points") as clouds,
        graph.collect(Image, f"{name}/mask") as masks,
    ):
        cloud = clouds.next(what="points")
        mask = masks.wait(
            lambda all_: [m for m in all_ if m.header.stamp == cloud.header.stamp], "their mask"
        )[0]
    assert (cloud.height, cloud.width, cloud.header.frame_id) == (HEIGHT, WIDTH, "optical")
    points = np.frombuffer(cloud.data, POINT).reshape(HEIGHT, WIDTH)
    assert (points["class_id"] == np.frombuffer(mask.data, np.uint8).reshape(HEIGHT, WIDTH)).all()
    depths = [picture("32FC1", seed=seed) for seed in range(8)]
    assert any(np.array_equal(points["z"], depth, equal_nan=True) for depth in depths)
    row, column = 10, 100
    z = points["z"][row, column]
    assert points["x"][row, column] == pytest.approx((column - 63.5) / 100 * z, rel=1e-4)
    assert points["y"][row, column] == pytest.approx((row - 47.5) / 100 * z, rel=1e-4)
    assert {field.name: field.offset for field in cloud.fields} == {
        name: POINT.fields[name][1] for name in POINT.names
    }


def test_pictures_come_compressed_as_image_transport_reads_them(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(**RGBD)
    name = f"{namespace}/segmentation_node"
    with rgbd(graph, namespace):
        with graph.collect(CompressedImage, f"{name}/mask/compressed") as masks:
            mask = masks.next(what="a mask as PNG")
        with graph.collect(CompressedImage, f"{name}/overlay/compressed") as overlays:
            overlay = overlays.next(what="an overlay as JPEG")
    assert mask.format == "mono8; png compressed mono8"
    ids = cv2.imdecode(np.frombuffer(mask.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert ids.shape == (HEIGHT, WIDTH)
    assert ids.max() < 7
    assert overlay.format == "rgb8; jpeg compressed bgr8"
    assert cv2.imdecode(np.frombuffer(overlay.data, np.uint8), 1).shape == (HEIGHT, WIDTH, 3)


def test_a_lazy_node_rests_until_somebody_listens(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(**RGBD, lazy=True, diagnostics_hz=10.0)
    name, full = f"{namespace}/segmentation_node", f"{namespace[1:]}/segmentation_node"

    def masks_made(array: DiagnosticArray) -> int:
        mine = [s for s in array.status if s.name == f"{full}: pipeline"]
        return int(values(array, f"{full}: pipeline")["masks"]) if mine else -1

    def received(array: DiagnosticArray) -> int:
        mine = [s for s in array.status if s.name == f"{full}: sensor rgb"]
        return int(values(array, f"{full}: sensor rgb")["received"]) if mine else -1

    with (
        rgbd(graph, namespace),
        graph.collect(DiagnosticArray, "/diagnostics") as diagnostics,
    ):
        watched = diagnostics.next(lambda a: received(a) > 20, "images that nobody wants masks of")
        assert masks_made(watched) == 0
        with graph.collect(Image, f"{name}/mask") as masks:
            masks.next(what="a mask for somebody")


def test_services_let_the_node_rest_forget_and_write_down(
    graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path
) -> None:
    start_node(**RGBD, diagnostics_hz=10.0, env={"ROS_HOME": str(tmp_path)})
    name = f"{namespace}/segmentation_node"
    with rgbd(graph, namespace), graph.collect(Image, f"{name}/mask") as masks:
        masks.next(what="a mask")
        assert graph.call(SetBool, f"{name}/enable", SetBool.Request(data=False)).success
        topic = f"{namespace}/rgb"
        wait_until(lambda: not graph.node.count_subscribers(topic), "no subscription")
        refused = graph.call(Trigger, f"{name}/reset", Trigger.Request())
        assert not refused.success
        assert graph.call(SetBool, f"{name}/enable", SetBool.Request(data=True)).success
        masks.next(what="a mask again")
        assert graph.call(Trigger, f"{name}/reset", Trigger.Request()).success
        masks.next(what="a mask after a reset")
        saved = graph.call(Trigger, f"{name}/save_snapshot", Trigger.Request())
    assert saved.success, saved.message
    folder = Path(saved.message)
    assert folder.is_relative_to(tmp_path)
    assert {p.name for p in folder.iterdir()} >= {
        "bag",
        "mask.png",
        "overlay.png",
        "params.yaml",
        "states.json",
        "versions.json",
    }
    run = [sys.executable, "-m", "anymodal_seg_ros.cli.main", "run", str(folder / "bag")]
    run += ["--params-file", str(folder / "params.yaml"), "--out", str(tmp_path / "out")]
    again = subprocess.run(
        run,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert (tmp_path / "out" / "predictions.jsonl").read_text().strip(), "the snapshot gives masks"


def test_the_seconds_before_a_sensor_failed_are_written_and_open_at_a_desk(
    graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path
) -> None:
    box = tmp_path / "anymodal_seg_ros" / "black_box"
    start_node(
        **RGBD, black_box__before_s=3.0, diagnostics_hz=10.0, env={"ROS_HOME": str(tmp_path)}
    )
    with graph.collect(Image, f"{namespace}/segmentation_node/mask") as masks:
        with rgbd(graph, namespace):
            for _ in range(20):
                masks.next(what="masks")
        whole = wait_until(lambda: list(box.glob("*/[!.]*")), "a recording of the seconds before")
    folder = min(whole)
    assert folder.parent.name == f"{namespace.strip('/')}_segmentation_node"
    assert {path.suffix for path in (folder / "bag").iterdir()} == {".mcap", ".yaml"}
    run = [sys.executable, "-m", "anymodal_seg_ros.cli.main", "run", str(folder / "bag")]
    run += ["--params-file", str(folder / "params.yaml"), "--out", str(tmp_path / "out")]
    again = subprocess.run(run, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (tmp_path / "out" / "predictions.jsonl").read_text().strip(), "it gives masks"


def test_who_asks_for_more_than_is_offered_is_told_of_on_the_console(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    process = start_node(autostart=False)
    name = f"{namespace}/segmentation_node"
    assert graph.change(name, "configure")
    with graph.collect(Image, f"{name}/mask", LATCHED):
        words = f"{name}/mask: somebody subscribes who asks for more durability"
        wait_until(lambda: words in process.stdout, "the warning")
