"""The shipped DDS profile: best-effort images reach another process; and image messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.ros_graph import BEST_EFFORT, Graph, RosProcess
from sensor_msgs.msg import Image

from anymodal_seg_ros.nodes.messages import ImageBuffer, image_message, to_ns, to_stamp
from anymodal_seg_ros.sensing.decoding.decode import decode_image

pytestmark = pytest.mark.ros

HZ, FRAMES = 30.0, 60


def test_no_image_of_640x480_is_lost(graph: Graph, namespace: str, tmp_path: Path) -> None:
    topic = f"{namespace}/image"
    args = [topic, "rgb8", str(HZ), "camera", "480", "640"]
    camera = RosProcess("fixtures.fake_sensor", args, tmp_path)
    try:
        with graph.collect(Image, topic, BEST_EFFORT) as images:
            images.wait(lambda got: len(got) >= FRAMES, f"{FRAMES} images")
    finally:
        camera.stop()
    stamps = np.array([to_ns(m.header.stamp) for m in images.messages[:FRAMES]])
    sent = 1 + round((stamps[-1] - stamps[0]) * HZ / 1e9)
    assert sent - FRAMES <= 1, f"{sent - FRAMES} of {sent} images were lost"


@pytest.mark.parametrize(
    ("encoding", "pixels"),
    [
        ("rgb8", np.arange(36, dtype=np.uint8).reshape(3, 4, 3)),
        ("mono16", np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000),
        ("mono16", (np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000).astype(">u2")),
        ("32FC1", np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)),
        ("mono8", np.arange(24, dtype=np.uint8).reshape(3, 8)[:, ::2]),
    ],
)
def test_image_message_holds_the_pixels(encoding: str, pixels: np.ndarray) -> None:
    stamp_ns = 1_700_000_000_123_456_789
    message = image_message(pixels, encoding, stamp_ns, "camera")
    assert (message.height, message.width) == pixels.shape[:2]
    assert (message.encoding, message.header.frame_id) == (encoding, "camera")
    assert to_ns(message.header.stamp) == stamp_ns
    np.testing.assert_array_equal(decode_image(message).pixels, pixels)


def test_image_buffer_follows_the_size_of_what_it_is_given() -> None:
    buffer = ImageBuffer()
    for shape in ((4, 6), (2, 3), (4, 6), (8, 3)):
        pixels = np.full(shape, shape[0], np.uint8)
        message = buffer.fill(pixels, "mono8", 1, "camera")
        np.testing.assert_array_equal(decode_image(message).pixels, pixels)


@pytest.mark.parametrize("time_ns", [0, 1, 999_999_999, 10**9, 1_700_000_000_999_999_999])
def test_stamps_survive_the_round_trip(time_ns: int) -> None:
    assert to_ns(to_stamp(time_ns)) == time_ns
