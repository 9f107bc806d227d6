"""A rig drafted from live topics, and what topics are taken for."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures.fake_sensor import picture
from fixtures.ros_graph import BEST_EFFORT, CHECKOUT, Graph, StartNode, wait_until
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.nodes.messages import image_message
from anymodal_seg_ros.nodes.rig import rig_guess
from anymodal_seg_ros.nodes.rig.rig_guess import sensors_of

pytestmark = pytest.mark.ros

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"


def test_raw_goes_before_compressed_and_masks_are_no_sensors() -> None:
    sensors = sensors_of(
        {
            "/a/image": IMAGE,
            "/a/image/compressed": COMPRESSED,
            "/b/image/compressed": COMPRESSED,
            "/segmentation_node/mask": IMAGE,
            "/a/labels": IMAGE,
            "/chatter": "std_msgs/msg/String",
        }
    )
    assert [s.topic for s in sensors.values()] == ["/a/image", "/b/image/compressed"]
    assert list(sensors) == ["rgb", "rgb_2"]


def test_a_camera_whose_messages_are_not_installed_is_drafted_without_its_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = {"/dvs/events": "prophesee_event_msgs/msg/EventArray", "/rgb/image": IMAGE}
    monkeypatch.setattr(rig_guess, "Node", lambda _: SimpleNamespace(destroy_node=lambda: None))
    monkeypatch.setattr(rig_guess, "_settled", lambda *_: published)
    look = SimpleNamespace(sensor="rgb", form="640x480 rgb8", rate_hz=30.0)
    monkeypatch.setattr(
        rig_guess, "check_rig", lambda rig, *_, **__: [look] if "rgb" in rig.sensors else []
    )
    rig = rig_guess.guess_rig(1.0, threading.Event(), {"rgb", "event"}).parameters["rig"]
    assert rig["sensors"] == {
        "event": {
            "topic": "/dvs/events",
            "modality": "event",
            "type": "event_array_prophesee",
        },
        "rgb": {"topic": "/rgb/image", "modality": "rgb", "expected_hz": 30.0},
    }


@pytest.mark.parametrize(
    ("more", "known", "lidar", "reason"),
    [
        ({}, {"rgb"}, {"enabled": False}, "the model knows no lidar"),
        (
            {},
            {"rgb", "lidar"},
            {"enabled": False},
            "points are drawn into the picture",
        ),
        (
            {
                "/rgb/camera_info": "sensor_msgs/msg/CameraInfo",
                "/tf_static": "tf2_msgs/msg/TFMessage",
            },
            {"rgb", "lidar"},
            {"registration": {"method": "cameras", "extrinsics": "tf"}},
            "",
        ),
    ],
)
def test_a_lidar_is_drafted_so_that_the_file_can_be_loaded(
    more: dict[str, str],
    known: set[str],
    lidar: dict[str, Any],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published = {"/ouster/points": "sensor_msgs/msg/PointCloud2", "/rgb/image": IMAGE, **more}
    monkeypatch.setattr(rig_guess, "Node", lambda _: SimpleNamespace(destroy_node=lambda: None))
    monkeypatch.setattr(rig_guess, "_settled", lambda *_: published)
    monkeypatch.setattr(rig_guess, "check_rig", lambda *_, **__: [])
    draft = rig_guess.guess_rig(1.0, threading.Event(), known)
    said = {"topic": "/ouster/points", "modality": "lidar", "type": "point_cloud"}
    assert draft.parameters["rig"]["sensors"]["lidar"] == {**said, **lidar}
    assert draft.off.get("lidar", "").startswith(reason) and bool(draft.off) == bool(reason)


def test_a_draft_of_live_topics_can_be_loaded(
    graph: Graph, start_node: StartNode, namespace: str, tmp_path: Path
) -> None:
    start_node("-r", "~/overlay:=annotated", "-r", "~/points:=cloud")  # they are no sensors
    wait_until(lambda: graph.node.count_publishers(f"{namespace}/cloud"), "the node's outputs")
    node, stop = graph.node, threading.Event()
    color = node.create_publisher(Image, f"{namespace}/front/image_raw", BEST_EFFORT)
    info = node.create_publisher(CameraInfo, f"{namespace}/front/camera_info", 1)
    points = node.create_publisher(PointCloud2, f"{namespace}/ouster/points", BEST_EFFORT)

    def send() -> None:
        for seed in itertools.count():
            if stop.wait(0.05):
                return
            pixels = picture("rgb8", seed=seed % 8)
            color.publish(image_message(pixels, "rgb8", time.time_ns(), "camera"))

    thread = threading.Thread(target=send)
    thread.start()
    out = tmp_path / "rig.yaml"
    run = [sys.executable, "-m", "anymodal_seg_ros.cli.main", "new-rig", str(out)]
    done = subprocess.run(run, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    stop.set()
    thread.join()
    for publisher in (color, info, points):
        node.destroy_publisher(publisher)
    assert done.returncode == 0, done.stdout + done.stderr
    sensors = load_config(out).rig.sensors
    assert not {s.topic for s in sensors.values()} & {
        f"{namespace}/annotated",
        f"{namespace}/cloud",
    }
    (scan,) = [s for s in sensors.values() if s.topic == f"{namespace}/ouster/points"]
    assert not scan.enabled
    assert "is switched off: the model knows no lidar" in done.stdout
    (front,) = [s for s in sensors.values() if s.topic == f"{namespace}/front/image_raw"]
    assert front.modality == "rgb"
    assert front.registration.camera_info == f"{namespace}/front/camera_info"
    assert 5.0 < front.expected_hz < 40.0
