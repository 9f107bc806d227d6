"""A transition or a change leaves nothing behind, also where it fails half-way; a line says why."""

from __future__ import annotations

import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rclpy
from fixtures.calibrations import write_camera_info
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import FrameSet, Image, Prediction, Sample
from anymodal_seg_ros.nodes.segmentation_node import SegmentationNode
from anymodal_seg_ros.resources import models_dir
from anymodal_seg_ros.sensing.geometry.cameras import Camera

pytestmark = pytest.mark.ros

OK, FAILED = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
MakeNode = Callable[..., SegmentationNode]


@pytest.fixture()
def make_node(ros_domain: int, tiny_model: Path) -> Iterator[MakeNode]:
    """Make a node in this process, which is enough where no message has to come."""
    made: list[SegmentationNode] = []

    def make(**overrides: str) -> SegmentationNode:
        given = {"model": str(tiny_model), "demo": "true", "autostart": "false", **overrides}
        words = [word for name, value in given.items() for word in ("-p", f"{name}:={value}")]
        arguments = ["node", "--ros-args", *words]
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        made.append(SegmentationNode(arguments))
        return made[-1]

    yield make
    for node in made:
        node.destroy_node()
    rclpy.try_shutdown()


def workers() -> int:
    return sum(thread.name.startswith("pipeline worker") for thread in threading.enumerate())


def ends(node: SegmentationNode) -> tuple[list[str], list[str], int]:
    """What a node has of topics and timers."""
    return (
        sorted(s.topic_name for s in node.subscriptions),
        sorted(p.topic_name for p in node.publishers),
        len(list(node.timers)),
    )


def change(node: SegmentationNode, name: str, value: Any) -> Any:
    (result,) = node.set_parameters([Parameter(name, value=value)])
    return result


def test_an_activation_that_fails_leaves_no_worker_and_no_subscription(
    make_node: MakeNode, capfd: pytest.CaptureFixture[str]
) -> None:
    # The first sensor is subscribed to when the second fails.
    wrong = "qos_overrides./events/image.subscription.reliability"
    node = make_node(**{wrong: "reliably"})
    assert node.trigger_configure() == OK
    before = workers(), ends(node)
    for _ in range(2):
        assert node.trigger_activate() == FAILED
        assert (workers(), ends(node)) == before
    said = "".join(capfd.readouterr())
    assert f"{wrong} is 'reliably': expected" in said
    assert "Traceback" not in said


def test_a_configure_that_fails_leaves_no_publisher_and_no_model(
    make_node: MakeNode, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong = "qos_overrides./segmentation_node/overlay.publisher.depth"
    node = make_node(**{wrong: "many"})
    before = ends(node)
    assert node.trigger_configure() == FAILED
    assert ends(node) == before
    assert node._loaded is None
    said = "".join(capfd.readouterr())
    assert f"{wrong} is 'many': expected" in said
    assert "Traceback" not in said


def test_between_configure_and_activate_no_sensor_is_given_what_it_cannot_hear(
    make_node: MakeNode,
) -> None:
    node = make_node()
    assert node.trigger_configure() == OK
    # Another spelling of the first sensor's topic: one camera would vote twice.
    shared = change(node, "rig.sensors.thermal.topic", "/rgb/image")
    assert not shared.successful
    assert "'rgb' uses already" in shared.reason
    assert change(node, "rig.sensors.thermal.topic", "/warm/image").successful
    assert node.trigger_activate() == OK
    assert "/warm/image" in ends(node)[0]


def test_a_model_whose_folder_is_gone_or_replaced_goes_on(
    make_node: MakeNode, tmp_path: Path
) -> None:
    """As when the workspace is built anew, or a card is taken out, while the node runs."""
    folder = shutil.copytree(models_dir() / "rig-nano", tmp_path / "model")
    assert (folder / "agreement.json").is_file()
    node = make_node(model=str(folder))
    assert node.trigger_configure() == OK
    shutil.rmtree(folder)
    assert node.trigger_activate() == OK
    assert node._reset() == "begun anew"
    assert change(node, "rig.deadline_s", 0.04).successful
    assert node.trigger_deactivate() == node.trigger_activate() == OK
    assert workers() > 0
    assert node.trigger_deactivate() == node.trigger_cleanup() == OK
    assert node.trigger_configure() == FAILED, "a new one is none"


def test_what_cannot_begin_anew_goes_on(make_node: MakeNode, tmp_path: Path) -> None:
    camera = Camera(640, 480, np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]]))
    file = write_camera_info(camera, tmp_path / "rgb.yaml")
    rgb = {"topic": "rgb/image", "modality": "rgb", "registration.calibration": file}
    node = make_node(**{f"rig.sensors.rgb.{name}": value for name, value in rgb.items()})
    assert node.trigger_configure() == node.trigger_activate() == OK
    Path(file).unlink()
    before = workers()
    with pytest.raises(ConfigError, match=r"cannot read the calibration .*rgb\.yaml"):
        node._reset()
    assert workers() == before > 0
    write_camera_info(camera, Path(file))
    assert node._reset() == "begun anew"


def test_the_clock_is_chosen_at_activate(make_node: MakeNode) -> None:
    node = make_node()
    assert node.trigger_configure() == OK
    assert node.trigger_activate() == OK
    refused = change(node, "use_sim_time", True)
    assert not refused.successful, "it would be said, and not be so"
    assert "deactivate" in refused.reason
    assert not node.get_clock().ros_time_is_active
    assert change(node, "use_sim_time", False).successful, "as it is: param load does so"
    assert node.trigger_deactivate() == OK
    assert change(node, "use_sim_time", True).successful
    assert node.get_clock().ros_time_is_active


def test_points_are_of_the_rig_that_is_activated(make_node: MakeNode) -> None:
    node = make_node()
    assert node.trigger_configure() == OK
    assert change(node, "rig.sensors.depth.counts.per_count", 0.00025).successful
    assert node.trigger_activate() == OK
    assert node._outputs is not None
    rig = node._outputs._geometry._rig
    assert rig.sensors["depth"].counts.per_count == 0.00025


def test_cameras_are_known_over_activations_for_nobody_may_tell_again(make_node: MakeNode) -> None:
    """A driver may send its CameraInfo once, and not keep it for those who come later."""
    rgb = {"topic": "rgb/image", "modality": "rgb", "registration.camera_info": "rgb/info"}
    node = make_node(**{f"rig.sensors.rgb.{name}": value for name, value in rgb.items()})
    assert node.trigger_configure() == OK
    assert node.trigger_activate() == OK
    info = CameraInfo(width=80, height=60, distortion_model="plumb_bob", d=[0.0] * 5)
    info.k = [70.0, 0.0, 40.0, 0.0, 70.0, 30.0, 0.0, 0.0, 1.0]
    assert node._inputs is not None
    node._inputs._on_camera_info("rgb", info, None)
    assert node.trigger_deactivate() == OK
    assert node.trigger_activate() == OK
    assert node._outputs is not None
    for geometry in (node._pipeline._parts.registrar, node._outputs._geometry._geometry):
        assert geometry.calibrated("rgb") == (60, 80, "")
    assert node._outputs._geometry._infos["rgb"] is info
    assert node.trigger_deactivate() == OK
    assert node.trigger_cleanup() == OK
    assert node.trigger_configure() == OK
    assert node.trigger_activate() == OK
    assert node._pipeline._parts.registrar.calibrated("rgb") is None


def test_a_picture_that_fails_is_no_mask_that_fails(
    make_node: MakeNode, capfd: pytest.CaptureFixture[str]
) -> None:
    node, sent = make_node(), list[str]()
    assert node.trigger_configure() == OK
    assert node.trigger_activate() == OK
    outputs = node._outputs
    assert outputs is not None

    def heard(name: str) -> SimpleNamespace:
        def publish(message: Any) -> None:
            if name == "mask_color":
                raise MemoryError("no room")
            sent.append(name)

        return SimpleNamespace(get_subscription_count=lambda: 1, publish=publish)

    outputs._publishers, kept = (
        {name: heard(name) for name in outputs._publishers},
        outputs._publishers,
    )
    sample = Sample("rgb", 1, 1, 1, "rgb", Image(np.zeros((60, 80, 3), np.uint8), "rgb8"))
    frames = FrameSet("rgb", {"rgb": sample}, {}, 1)
    mask = np.zeros((60, 80), np.uint8)
    for _ in range(2):
        node._publish(Prediction(mask, frames, ("rgb",), (), 0, 0))
    outputs._publishers = kept
    assert sent.count("mask") == sent.count("overlay") == sent.count("modality_status") == 2
    said = "".join(capfd.readouterr())
    assert said.count("nothing on ~/mask_color: MemoryError: no room") == 1
    assert said.count("nothing on ~/points: no depth sensor is in the mask") == 1
    assert said.count("nothing on ~/camera_info: the camera of rgb is unknown") == 1
    assert len(node._health._latencies) == 2


def test_cleanup_lets_the_model_go(make_node: MakeNode) -> None:
    node = make_node()
    assert node.trigger_configure() == OK
    assert node.trigger_activate() == OK
    assert node._loaded is not None
    engine = weakref.ref(node._loaded.engine)
    assert node.trigger_deactivate() == OK
    assert engine() is not None
    assert node.trigger_cleanup() == OK
    assert engine() is None, "it stays for as long as Python likes, with all its memory"
