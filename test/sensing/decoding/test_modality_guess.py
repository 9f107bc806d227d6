"""What topics and their images say about the kind of their sensor."""

from __future__ import annotations

import pytest

from anymodal_seg_ros.sensing.decoding.modality_guess import guess_modality

IMAGE = "sensor_msgs/msg/Image"


@pytest.mark.parametrize(
    ("topic", "type_name", "modality"),
    [
        ("/camera/color/image_raw", IMAGE, "rgb"),
        ("/boson/image_raw", IMAGE, "thermal"),
        ("/lepton/image", IMAGE, "thermal"),
        ("/front/ir/image_raw", IMAGE, "thermal"),
        ("/camera/infra1/image_rect_raw", IMAGE, "rgb"),
        ("/mirror/image", IMAGE, "rgb"),
        ("/camera/aligned_depth_to_color/image_raw", IMAGE, "depth"),
        ("/oak/stereo/image_raw", IMAGE, "depth"),
        ("/stereo/left/image_raw", IMAGE, "rgb"),
        ("/dvs/image_raw", IMAGE, "event"),
        ("/event_camera/events", "event_camera_msgs/msg/EventPacket", "event"),
        ("/prophesee/cd", "prophesee_event_msgs/msg/EventArray", "event"),
        ("/ouster/points", "sensor_msgs/msg/PointCloud2", "lidar"),
    ],
)
def test_type_and_name_tell(topic: str, type_name: str, modality: str) -> None:
    assert guess_modality(topic, type_name) == modality


@pytest.mark.parametrize(
    ("topic", "encoding", "modality"),
    [
        ("/left/image", "rgb8", "rgb"),
        ("/left/image", "16UC1", "depth"),
        ("/left/image", "32FC1", "depth"),
        ("/left/image", "mono16", "thermal"),
        ("/left/image", "", "rgb"),
        ("/boson/image", "16UC1", "thermal"),
    ],
)
def test_images_tell_what_the_name_does_not(topic: str, encoding: str, modality: str) -> None:
    assert guess_modality(topic, IMAGE, encoding) == modality
