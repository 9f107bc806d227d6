"""`anymodal-seg check` on a rig in which something is wrong with every sensor but one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures.fake_sensor import picture
from fixtures.ros_graph import BEST_EFFORT, CHECKOUT, RELIABLE, Graph
from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from anymodal_seg_ros.nodes.messages import image_message

pytestmark = pytest.mark.ros

RIG = """{0}/eyes:
  ros__parameters:
    rig:
      sensors:
        good: {{topic: good, modality: rgb, expected_hz: 20.0}}
        absent: {{topic: {0}/goood, modality: rgb}}
        packed: {{topic: {0}/packed, modality: rgb}}
        unpacked: {{topic: {0}/unpacked, modality: rgb}}
        unstamped: {{topic: {0}/unstamped, modality: thermal, expected_hz: 20.0}}
        mistaken: {{topic: {0}/mistaken, modality: depth, expected_hz: 20.0}}
        sizeless: {{topic: {0}/events, modality: event, type: point_cloud, expected_hz: 20.0}}
"""


@pytest.fixture()
def cameras(graph: Graph, namespace: str) -> Iterator[None]:
    """Cameras that send 20 messages a second, one of them without stamps, and a JPEG one."""
    node, stop = graph.node, threading.Event()
    good = node.create_publisher(Image, f"{namespace}/good", RELIABLE)
    unstamped = node.create_publisher(Image, f"{namespace}/unstamped", BEST_EFFORT)
    mistaken = node.create_publisher(Image, f"{namespace}/mistaken", RELIABLE)
    unpacked = node.create_publisher(CompressedImage, f"{namespace}/unpacked/compressed", RELIABLE)
    events = node.create_publisher(PointCloud2, f"{namespace}/events", RELIABLE)
    packed = node.create_publisher(CompressedImage, f"{namespace}/packed", BEST_EFFORT)

    def send() -> None:
        for seed in itertools.count():
            if stop.wait(0.05):
                return
            rgb, thermal = picture("rgb8", seed=seed % 8), picture("mono16", seed=seed % 8)
            stamped = image_message(rgb, "rgb8", time.time_ns(), "camera")
            good.publish(stamped)
            mistaken.publish(image_message(rgb, "rgb8", time.time_ns(), "camera"))
            unstamped.publish(image_message(thermal, "mono16", 0, "camera"))
            events.publish(PointCloud2(header=stamped.header))

    thread = threading.Thread(target=send)
    thread.start()
    yield
    stop.set()
    thread.join()
    for publisher in (good, unstamped, packed, unpacked, mistaken, events):
        node.destroy_publisher(publisher)


def test_each_fault_is_named_and_the_exit_code_says_so(
    cameras: None, namespace: str, tmp_path: Path
) -> None:
    rig = tmp_path / "rig.yaml"
    rig.write_text(RIG.format(namespace))
    arguments = ["check", str(rig), "--seconds", "3", "--node", "eyes"]
    done = subprocess.run(
        [sys.executable, "-m", "anymodal_seg_ros.cli.main", *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80"},
    )
    said: dict[str, str] = {}  # on a slow machine one line more for each
    for line in done.stdout.splitlines():
        if ": " in line:
            name = line.split(":")[0]
            said[name] = said.get(name, "") + line
    assert done.returncode == 1, done.stdout + done.stderr
    first = [line.split() for line in done.stdout.splitlines()[: len(RIG.splitlines())]]
    whole = ["good", f"{namespace}/good", "sensor_msgs/msg/Image"]
    assert whole in first, "in a narrow terminal too"
    assert "nobody publishes" in said["absent"]
    assert f"{namespace}/good" in said["absent"], "the most alike"
    assert "set type: compressed" in said["packed"]
    assert f"but {namespace}/unpacked/compressed is published: take that one" in said["unpacked"]
    assert "let the driver stamp" in said["unstamped"]
    assert "encoding rgb8 cannot be used as depth" in said["mistaken"]
    assert "set events.height and events.width" in said["sizeless"]
    assert "good" not in said or "Hz come" in said["good"], "nothing, unless the machine is slow"


def test_a_topic_that_can_be_none_is_said_in_one_line(tmp_path: Path) -> None:
    rig = tmp_path / "rig.yaml"
    text = RIG.replace("{0}/goood", "'[/x]\\e[31m'").format("/nobody")
    rig.write_text(text.replace("'[/x]", '"[/x]').replace("31m'", '31m"'))
    arguments = ["check", str(rig), "--node", "eyes"]
    command = [sys.executable, "-m", "anymodal_seg_ros.cli.main", *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: rig.sensors.absent.topic is")
    assert "Traceback" not in done.stderr and "\x1b" not in done.stderr + done.stdout
