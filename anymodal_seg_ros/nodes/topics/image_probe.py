"""Do images arrive between two processes of this machine, with the settings that are in force?

Run as a module it is the process that sends.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image

from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.nodes.messages import image_message
from anymodal_seg_ros.nodes.process.shutdown import ros_session, spinning

HZ = 30.0
_TOPIC = "/anymodal_seg_image_probe"
_COUNT, _START_LIMIT_S = 60, 20.0


def middleware_name() -> str:
    """Return what carries the messages, e.g. ``rmw_fastrtps_cpp``."""
    return str(get_rmw_implementation_identifier())


def probe(width: int, height: int) -> tuple[int, int]:
    """Send images from a process of its own and count those that come.

    Args:
        width: of the images, three bytes a pixel.
        height: of them.

    Returns:
        How many were sent and how many were received.

    Raises:
        AnymodalError: the process that sends could not do so.
    """
    received = 0

    def on_image(_: object) -> None:
        nonlocal received
        received += 1

    with ros_session(["anymodal-seg"]) as stop:
        node = Node("image_probe")
        try:
            node.create_subscription(Image, _TOPIC, on_image, qos_profile_sensor_data)
            with spinning(node, stop):
                sender = subprocess.run(
                    [sys.executable, "-m", __name__, str(width), str(height)],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                stop.wait(0.5)  # what is still on its way
        finally:
            node.destroy_node()
    if sender.returncode:
        last = (sender.stderr.strip() or "it ended").splitlines()[-1]
        raise AnymodalError(f"the process that sends images failed: {last}")
    return _COUNT, received


def _send(width: int, height: int, stop: threading.Event) -> int:
    node = Node("image_probe_sender")
    try:
        publisher = node.create_publisher(Image, _TOPIC, qos_profile_sensor_data)
        end_s = time.monotonic() + _START_LIMIT_S
        while not publisher.get_subscription_count():
            if time.monotonic() > end_s or stop.wait(0.05):
                print("no subscriber was found: discovery does not work", file=sys.stderr)
                return 1
        stop.wait(1.0)  # the subscriber learns of the publisher later than the other way about
        pixels = np.zeros((height, width, 3), np.uint8)
        for _ in range(_COUNT):
            publisher.publish(image_message(pixels, "rgb8", time.time_ns(), "probe"))
            stop.wait(1.0 / HZ)
        stop.wait(0.5)
    finally:
        node.destroy_node()
    return 0


def main() -> int:
    """Send the images; 1 if nobody listens."""
    width, height = map(int, sys.argv[1:])
    with ros_session(["image_probe"]) as stop:
        return _send(width, height, stop)


if __name__ == "__main__":
    sys.exit(main())
