"""Messages as rclpy and rosbags really make them, and cv_bridge's view of the same messages.

cv_bridge is not needed to run; where it is installed (a full ROS), our result is held to its own.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from fixtures.messages import compressed_message, image_message, raw_message
from fixtures.pictures import png
from rosbags.typesys import Stores, get_typestore

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.decoding.camera_formats import CAMERA_FORMATS
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.encodings import COLORS, LAYOUTS, to_rgb

RANDOM = np.random.default_rng(5)
COLOR_PNG = png(RANDOM.integers(0, 256, (8, 10, 3), np.uint8))
NAMED_COLORS = [name for name in COLORS if not name.startswith(("8U", "mono"))]


def a_message(encoding: str, padding: int = 4, big_endian: bool = False) -> Any:
    """Return 8 x 10 random samples of any encoding, stored as bytes."""
    if encoding in LAYOUTS:
        layout = LAYOUTS[encoding]
        shape = (8, 10) if layout.channels == 1 else (8, 10, layout.channels)
        if layout.dtype.kind == "f":
            pixels: npt.NDArray[Any] = RANDOM.uniform(-9, 99, shape).astype(layout.dtype)
        else:
            limits = np.iinfo(layout.dtype)
            pixels = RANDOM.integers(limits.min, limits.max, shape, layout.dtype, endpoint=True)
        return image_message(pixels, encoding, padding=padding, big_endian=big_endian)
    camera_format = CAMERA_FORMATS[encoding]
    size = camera_format.layout.dtype.itemsize * camera_format.layout.channels
    rows = RANDOM.integers(0, 256, (int(8 * camera_format.rows), 10 * size), np.uint8)
    return raw_message(rows, 8, 10, encoding, big_endian=big_endian)


def ros_image(message: Any) -> Any:
    """Return the message as rclpy's class."""
    messages = pytest.importorskip("sensor_msgs.msg", reason="the ROS message classes are absent")
    image = messages.Image()
    for name in ("height", "width", "encoding", "is_bigendian", "step", "data"):
        setattr(image, name, getattr(message, name))
    return image


def ros_compressed(message: Any) -> Any:
    messages = pytest.importorskip("sensor_msgs.msg", reason="the ROS message classes are absent")
    return messages.CompressedImage(format=message.format, data=message.data)


@pytest.mark.parametrize("encoding", ["rgb8", "mono16", "32FC1", "bayer_grbg8", "nv12"])
def test_rclpys_messages_are_taken(encoding: str) -> None:
    message = a_message(encoding)
    expected = decode_image(message).pixels
    np.testing.assert_array_equal(decode_image(ros_image(message)).pixels, expected)


def test_rclpys_compressed_messages_are_taken() -> None:
    message = compressed_message(COLOR_PNG, "png")
    expected = decode_image(message).pixels
    np.testing.assert_array_equal(decode_image(ros_compressed(message)).pixels, expected)


@pytest.mark.parametrize("kind", ["Image", "CompressedImage"])
def test_messages_read_from_a_bag_are_taken(kind: str) -> None:
    types = get_typestore(Stores.ROS2_HUMBLE)
    name = f"sensor_msgs/msg/{kind}"
    header = types.types["std_msgs/msg/Header"](
        stamp=types.types["builtin_interfaces/msg/Time"](sec=1, nanosec=2), frame_id="camera"
    )
    if kind == "Image":
        message = a_message("bgr16")
        fields = {k: v for k, v in vars(message).items() if k not in ("header", "data")}
    else:
        message = compressed_message(COLOR_PNG, "rgb8; png compressed bgr8")
        fields = {"format": message.format}
    data = np.frombuffer(message.data, np.uint8)
    sent = types.types[name](header=header, **fields, data=data)
    read = types.deserialize_cdr(types.serialize_cdr(sent, name), name)
    expected = decode_image(message)
    got = decode_image(read)
    assert got.encoding == expected.encoding
    np.testing.assert_array_equal(got.pixels, expected.pixels)


class TestAgainstCvBridge:
    """Hold our decoding to cv_bridge's."""

    @pytest.fixture
    def bridge(self) -> Any:
        module = pytest.importorskip("cv_bridge", reason="cv_bridge is not installed")
        pytest.importorskip(
            "cv_bridge.boost.cv_bridge_boost", reason="cv_bridge does not fit this NumPy"
        )
        return module.CvBridge()

    @staticmethod
    def theirs(bridge: Any, message: Any, desired: str) -> npt.NDArray[Any]:
        """Return cv_bridge's result, or skip where it has none."""
        try:
            return np.asarray(bridge.imgmsg_to_cv2(ros_image(message), desired))
        except AttributeError as error:  # ndarray.newbyteorder, which NumPy 2 has no more
            pytest.skip(f"cv_bridge does not fit this NumPy: {error}")
        except Exception as error:  # CvBridgeError, RuntimeError and cv2.error all occur
            pytest.skip(f"cv_bridge cannot decode {message.encoding}: {error}")

    @pytest.mark.parametrize("big_endian", [False, True])
    @pytest.mark.parametrize("encoding", LAYOUTS)
    def test_plain_pixels(self, bridge: Any, encoding: str, big_endian: bool) -> None:
        layout = LAYOUTS[encoding]  # cv_bridge wants a step of whole pixels
        padding = 2 * layout.dtype.itemsize * layout.channels
        message = a_message(encoding, padding=padding, big_endian=big_endian)
        expected = self.theirs(bridge, message, "passthrough")
        np.testing.assert_array_equal(decode_image(message).pixels, expected)

    @pytest.mark.parametrize("encoding", NAMED_COLORS)
    def test_colours_as_rgb8(self, bridge: Any, encoding: str) -> None:
        message = a_message(encoding, padding=0)
        expected = self.theirs(bridge, message, "rgb8")
        np.testing.assert_array_equal(to_rgb(decode_image(message)), expected)

    @pytest.mark.parametrize("encoding", CAMERA_FORMATS)
    def test_camera_formats_as_rgb(self, bridge: Any, encoding: str) -> None:
        message = a_message(encoding)
        image = decode_image(message)
        expected = self.theirs(bridge, message, image.encoding)
        np.testing.assert_array_equal(image.pixels, expected)

    @pytest.mark.parametrize("extension", [".png", ".jpg"])
    @pytest.mark.parametrize("shape", [(8, 10), (8, 10, 3)])
    def test_compressed(self, bridge: Any, extension: str, shape: tuple[int, ...]) -> None:
        pixels = RANDOM.integers(0, 256, shape, np.uint8)
        message = compressed_message(cv2.imencode(extension, pixels)[1].tobytes(), extension[1:])
        expected = bridge.compressed_imgmsg_to_cv2(ros_compressed(message))
        np.testing.assert_array_equal(decode_image(message).pixels, expected)


def test_what_we_refuse_of_a_message_class_is_a_decode_error() -> None:
    message = ros_image(a_message("rgb8"))
    message.step = 1
    with pytest.raises(DecodeError, match="step is 1"):
        decode_image(message)
