"""Packets of an event camera on real topics: masks of them, and what is no packet.

The messages are compiled here where ROS 2 comes without them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from diagnostic_msgs.msg import DiagnosticArray
from fixtures.bag_files import serialised, write_bag
from fixtures.message_package import python_path
from fixtures.quiet_events import START, Robot
from fixtures.ros_graph import TIMEOUT_S, Graph, RosProcess, StartNode, values, wait_until
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.inference.model import DEFAULT_MODEL
from anymodal_seg_ros.messages import values as made
from anymodal_seg_ros.nodes.messages import to_ns
from anymodal_seg_ros.resources import models_dir

pytestmark = pytest.mark.ros

S = 1_000_000_000
SECONDS, HZ = 6, 10
DIES_NS, RETURNS_NS = 2 * S, 4 * S
PARAMETERS = f"""
/**:
  ros__parameters:
    rig:
      deadline_s: 0.08
      sensors:
        rgb: {{topic: rgb/image, modality: rgb, expected_hz: {HZ}.0}}
        events:
          topic: events/packets
          modality: event
          type: event_packet
          events: {{height: 480, width: 640}}
"""


def _image(message: Any) -> made.Message:
    pixels = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
    stamp = to_ns(message.header.stamp)
    return made.image(pixels, message.encoding, stamp, "rgb_optical_frame")


def _packet(message: Any) -> made.Message:
    header = made.header(to_ns(message.header.stamp), message.header.frame_id)
    fields = {**vars(message), "header": header, "events": np.frombuffer(message.events, np.uint8)}
    return made.Message(made.EVENT_PACKET, fields)


def street(path: Path, namespace: str) -> None:
    """Drive with a camera and an event camera, which is unplugged for the middle third."""
    robot = Robot("evt3", pace=lambda _: 120.0, hz=HZ, span_ms=20, idle=True)
    sent: dict[str, list[tuple[int, bytes]]] = {"rgb": [], "events": []}
    for now_ns, sensor, make in robot.messages(SECONDS):
        if sensor == "rgb" or not DIES_NS <= now_ns < RETURNS_NS:
            message = (_image if sensor == "rgb" else _packet)(make())
            sent[sensor].append((START + now_ns, serialised(message)))
    topics = {
        f"{namespace}/rgb/image": (made.IMAGE, sent["rgb"]),
        f"{namespace}/events/packets": (made.EVENT_PACKET, sent["events"]),
    }
    write_bag(path, topics)


def used(evidence: DiagnosticArray) -> list[str]:
    (mask,) = (one.name for one in evidence.status if one.name.endswith("mask"))
    return values(evidence, mask)["sensors"].split(",")


def test_live_masks_are_the_offline_ones_while_the_event_camera_is_unplugged_and_returns(
    graph: Graph,
    start_node: StartNode,
    namespace: str,
    event_camera_path: str,
    tmp_path: Path,
) -> None:
    model = models_dir() / DEFAULT_MODEL
    bag, out, parameters = tmp_path / "street", tmp_path / "out", tmp_path / "parameters.yaml"
    street(bag, namespace)
    parameters.write_text(PARAMETERS)
    result = CliRunner().invoke(
        main,
        [
            *("run", str(bag), "--params-file", str(parameters), "--model", str(model)),
            *("--out", str(out), "--namespace", namespace, "--no-overlays"),
        ],
    )
    assert result.exit_code == 0, result.output
    lines = map(json.loads, (out / "predictions.jsonl").read_text().splitlines())
    offline = {line["stamp_ns"]: line["sensors"] for line in lines}
    frames = [START + S * number // HZ for number in range(SECONDS * HZ)]
    assert list(offline) == frames
    for alive in (frames[5:19], frames[-10:]):
        assert {tuple(offline[stamp]) for stamp in alive} == {("rgb", "events")}
    assert {tuple(offline[stamp]) for stamp in frames[25:40]} == {("rgb",)}

    env, node = python_path(event_camera_path), f"{namespace}/segmentation_node"
    start_node("--params-file", str(parameters), env=env, model=model)
    wait_until(lambda: graph.state(node) == "active", "the active node")
    with (
        graph.collect(Image, f"{node}/mask") as masks,
        graph.collect(DiagnosticArray, f"{node}/modality_status") as evidence,
    ):
        graph.wait_until_answered(node)
        player = RosProcess(
            "anymodal_seg_ros.cli.main", ["play", str(bag)], tmp_path / "player", env
        )
        assert player.wait(SECONDS + TIMEOUT_S) == 0, player.stderr
        for topic in (masks, evidence):
            topic.wait(lambda all_: all_ and to_ns(all_[-1].header.stamp) >= frames[-5], "the end")

    # On a busy machine messages of either are lost on the way or come too late.
    live = {to_ns(mask.header.stamp): mask for mask in masks.messages}
    told = {to_ns(array.header.stamp): used(array) for array in evidence.messages}
    seen = [stamp for stamp in frames if stamp in live and stamp in told]
    assert {tuple(told[stamp]) for stamp in seen if stamp in frames[25:40]} == {("rgb",)}
    alike = [stamp for stamp in seen if told[stamp] == offline[stamp]]
    assert len(alike) > len(frames) * 2 // 3
    equal = {stamp for stamp in alike if np.array_equal(_pixels(live[stamp]), _saved(out, stamp))}
    assert {stamp for stamp in alike if offline[stamp] == ["rgb"]} <= equal
    assert len(equal) > len(alike) * 3 // 4


def _pixels(mask: Image) -> np.ndarray[Any, Any]:
    return np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.width)


def _saved(out: Path, stamp: int) -> Any:
    return cv2.imread(str(out / "masks" / f"{stamp:019d}.png"), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"encoding": "evt9"}, "encoding is 'evt9'"),
        ({"encoding": "mono", "events": bytes(9)}, "expected a multiple of 8, as mono needs"),
    ],
)
def test_what_is_no_packet_is_told_with_its_reason(
    graph: Graph,
    start_node: StartNode,
    namespace: str,
    event_camera_path: str,
    tmp_path: Path,
    fields: dict[str, Any],
    reason: str,
) -> None:
    from event_camera_msgs.msg import EventPacket

    (tmp_path / "parameters.yaml").write_text(PARAMETERS)
    start_node(
        "--params-file", str(tmp_path / "parameters.yaml"), env=python_path(event_camera_path)
    )
    topic = f"{namespace}/events/packets"
    publisher = graph.node.create_publisher(EventPacket, topic, qos_profile_sensor_data)
    name = f"{namespace[1:]}/segmentation_node: sensor events"
    with graph.collect(DiagnosticArray, "/diagnostics") as diagnostics:
        wait_until(lambda: graph.node.count_subscribers(topic), "the node's subscription")

        def told() -> bool:
            header = Header(stamp=graph.node.get_clock().now().to_msg())
            publisher.publish(EventPacket(header=header, height=480, width=640, **fields))
            mine = [a for a in diagnostics.messages if name in {s.name for s in a.status}]
            return bool(mine) and reason in values(mine[-1], name).get("last_error", "")

        wait_until(told, f"the reason, {reason}")
        graph.node.destroy_publisher(publisher)
