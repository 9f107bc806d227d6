"""The bundled parameter files: each describes a rig that the node would take."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from anymodal_seg_ros.config import SegConfig, load_config
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.nodes.process.launch_arguments import rigs
from anymodal_seg_ros.sensing.geometry.rig_geometry import RigGeometry

CONFIG = Path(__file__).resolve().parents[2] / "config"
FILES = [*sorted(CONFIG.glob("*.yaml")), *sorted((CONFIG / "rigs").glob("*.yaml"))]
IMAGE, CLOUD = "sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2"
EVENTS = "event_camera_msgs/msg/EventPacket"
REALSENSE = "/camera/camera/aligned_depth_to_color/image_raw"
DRIVERS = {
    "davis": {"/event_camera/image_raw": IMAGE, "/event_camera/events": EVENTS},
    "oak_d": {"/oak/rgb/image_raw": IMAGE, "/oak/stereo/image_raw": IMAGE},
    "orbbec": {"/camera/color/image_raw": IMAGE, "/camera/depth/image_raw": IMAGE},
    "realsense_d405": {"/camera/camera/color/image_rect_raw": IMAGE, REALSENSE: IMAGE},
    "realsense_d435": {"/camera/camera/color/image_raw": IMAGE, REALSENSE: IMAGE},
    "rgb_boson": {"/camera1/image_raw": IMAGE, "/boson/image_raw": IMAGE},
    "rgb_lepton": {"/camera1/image_raw": IMAGE, "/lepton/image_raw": IMAGE},
    "rgb_livox": {"/camera1/image_raw": IMAGE, "/livox/lidar": CLOUD},
    "rgb_ouster": {"/camera1/image_raw": IMAGE, "/ouster/points": CLOUD},
    "rgb_prophesee": {"/camera1/image_raw": IMAGE, "/event_camera/events": EVENTS},
    "rgb_velodyne": {"/camera1/image_raw": IMAGE, "/velodyne_points": CLOUD},
    "zed": {
        "/zed/zed_node/rgb/color/rect/image": IMAGE,
        "/zed/zed_node/depth/depth_registered": IMAGE,
    },
}
"""Topics and types as the drivers' documentation has them, by the rig."""

STARTED = {
    "davis": ("device_type:=davis", "param set /event_camera aps_enabled true"),
    "oak_d": ("depthai_ros_driver driver.launch.py",),
    "orbbec": ("depth_registration:=true",),
    "realsense_d405": ("align_depth.enable:=true",),
    "realsense_d435": ("align_depth.enable:=true",),
    "rgb_boson": ("camera.launch.py", "usb_cam_node_exe", "pixel_format:=mono16"),
    "rgb_lepton": ("camera.launch.py", "usb_cam_node_exe", "pixel_format:=mono16"),
    "rgb_livox": ("camera.launch.py", "rviz_MID360_launch.py"),
    "rgb_ouster": ("camera.launch.py", "timestamp_mode:=TIME_FROM_ROS_TIME"),
    "rgb_prophesee": ("camera.launch.py", "metavision_driver driver_node.launch.py"),
    "rgb_velodyne": ("camera.launch.py", "velodyne-all-nodes-VLP16-launch.py"),
    "zed": ("zed_camera.launch.py",),
}
"""What makes the drivers publish just that: the DAVIS' frames are switched off in its launch file,
v4l2_camera leaves the encoding of 16 bits empty, an Ouster's own clock begins with its power, and
Livox's other launch files send messages of its own."""

MODALITIES = {"rgb", "thermal", "depth", "event", "lidar"}


def test_the_launch_argument_knows_every_rig() -> None:
    assert set(rigs().values()) == set((CONFIG / "rigs").glob("*.yaml"))
    assert {"realsense_d435", "zed", "rgb_ouster"} <= set(rigs())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_parameter_file_is_a_rig(path: Path) -> None:
    sensors = load_config(path).rig.sensors
    assert {sensor.modality for sensor in sensors.values()} <= MODALITIES
    RigGeometry(sensors, [name for name, sensor in sensors.items() if sensor.sends_points])


@pytest.mark.parametrize("path", sorted((CONFIG / "rigs").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_bundled_rig_names_drivers_topics_outright_and_its_reference(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert f"rig:={path.stem}" in text
    assert "reference: [" in text, "ROS tools do not keep the order of sensors"
    for sensor in load_config(path).rig.sensors.values():
        assert sensor.topic.startswith("/")


def test_a_bundled_rig_has_the_topics_and_types_of_its_drivers() -> None:
    described = {
        path.stem: {s.topic: s.message_type for s in load_config(path).rig.sensors.values()}
        for path in (CONFIG / "rigs").glob("*.yaml")
    }
    assert described == DRIVERS


def test_a_bundled_rig_tells_how_its_drivers_publish_what_it_takes() -> None:
    assert set(STARTED) == set(DRIVERS)
    for name, words in STARTED.items():
        text = (CONFIG / "rigs" / f"{name}.yaml").read_text(encoding="utf-8")
        commands = [line for line in text.splitlines() if line.startswith("#     ")]
        assert [word for word in words if not any(word in line for line in commands)] == []


def test_a_rig_whose_driver_sends_no_calibration_says_so() -> None:
    text = (CONFIG / "rigs" / "rgb_prophesee.yaml").read_text(encoding="utf-8")
    assert "sends no CameraInfo: put 'calibration: FILE'" in text  # metavision_driver


def test_the_costmap_of_nav2_takes_our_topics_and_knows_every_class() -> None:
    content = yaml.safe_load((CONFIG / "nav2" / "semantic_layer.yaml").read_text(encoding="utf-8"))
    layer = content["local_costmap"]["local_costmap"]["ros__parameters"]
    camera = layer["semantic_segmentation_layer"]["camera"]
    named = [name for kind in camera["class_types"] for name in camera[kind]["classes"]]
    classes = [spec.name for spec in load_model().manifest.classes]
    assert sorted(named) == sorted(classes), "each once"
    topics = {camera[key].rsplit("/", 1)[1] for key in camera if key.endswith("_topic")}
    # The layer waits for confidence where it is named, and the node does not publish it by default.
    assert topics == {"mask", "label_info", "points"}
    assert SegConfig().confidence is False
