"""What topics may carry besides raw images: compressed ones, calibrations, packets of events."""

from __future__ import annotations

import importlib.util
import itertools
import time
from array import array
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.fake_sensor import picture
from fixtures.pictures import png
from fixtures.ros_graph import Graph, StartNode, values, wait_until
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from anymodal_seg_ros.nodes.messages import to_stamp

pytestmark = pytest.mark.ros


def compressed(seed: int) -> Any:
    message = CompressedImage(format="png")
    message.header.stamp = to_stamp(time.time_ns())
    message.data = array("B", png(picture("rgb8", seed=seed)))
    return message


def test_a_compressed_topic_gives_masks_without_being_told_so(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(
        rig__sensors__front__topic="front/image/compressed", rig__sensors__front__modality="rgb"
    )
    topic = f"{namespace}/front/image/compressed"
    publisher = graph.node.create_publisher(CompressedImage, topic, qos_profile_sensor_data)
    with graph.collect(Image, f"{namespace}/segmentation_node/mask") as masks:
        wait_until(lambda: graph.node.count_subscribers(topic), "the node's subscription")

        seeds = itertools.count()

        def sent_until_seen() -> bool:
            publisher.publish(compressed(next(seeds)))
            time.sleep(0.03)
            return len(masks.messages) >= 3

        wait_until(sent_until_seen, "three masks")
    assert (masks.messages[-1].height, masks.messages[-1].width) == (96, 128)
    graph.node.destroy_publisher(publisher)


def test_a_camera_info_that_cannot_be_used_is_counted_and_named(
    graph: Graph, start_node: StartNode, namespace: str
) -> None:
    start_node(
        rig__sensors__front__topic="front",
        rig__sensors__front__modality="rgb",
        rig__sensors__front__registration__camera_info="front/camera_info",
        diagnostics_hz=20.0,
    )
    topic = f"{namespace}/front/camera_info"
    publisher = graph.node.create_publisher(CameraInfo, topic, qos_profile_sensor_data)
    name = f"{namespace[1:]}/segmentation_node: sensor front"
    with graph.collect(DiagnosticArray, "/diagnostics") as diagnostics:
        wait_until(lambda: graph.node.count_subscribers(topic), "the node's subscription")

        def rejected() -> bool:
            publisher.publish(CameraInfo(width=128, height=96))  # a driver without a calibration
            mine = [a for a in diagnostics.messages if name in {s.name for s in a.status}]
            return bool(mine) and "rejected: camera_info" in values(mine[-1], name)

        wait_until(rejected, "a rejected calibration")
        mine = [a for a in diagnostics.messages if name in {s.name for s in a.status}]
        assert values(mine[-1], name)["last_error"].startswith("front/camera_info: ")
    graph.node.destroy_publisher(publisher)


@pytest.mark.skipif(
    importlib.util.find_spec("event_camera_msgs") is not None, reason="the messages are installed"
)
def test_packets_of_events_need_their_message_package(start_node: StartNode) -> None:
    process = start_node(
        env={"RCUTILS_LOGGING_USE_STDOUT": "0"},
        rig__sensors__events__topic="events",
        rig__sensors__events__modality="event",
        rig__sensors__events__type="event_packet",
    )
    assert process.wait() == 1
    assert "rig.sensors.events.type is 'event_packet'" in process.stderr
    assert "install ros-$ROS_DISTRO-event-camera-msgs" in process.stderr
