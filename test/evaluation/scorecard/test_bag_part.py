"""A stretch of a bag begins with what a node would know of its cameras by then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fixtures.bag_files import IMAGE, MS, START, camera_info, images, write_bag

from anymodal_seg_ros.config import seg_config
from anymodal_seg_ros.evaluation.arrivals import CAMERA_INFO, TF_STATIC, TRANSFORMS
from anymodal_seg_ros.evaluation.scorecard.replays.bag_part import BagPart
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError
from anymodal_seg_ros.sensing.geometry.rig_geometry import RigGeometry

CAMERAS = {"/info": ["rgb"], "/rgb/image": ["rgb"], TF_STATIC: ["rgb"]}


class Told:
    """Takes cameras as a pipeline does."""

    def __init__(self) -> None:
        sensor = {"topic": "x", "modality": "rgb", "registration": {"camera_info": "/info"}}
        rig = seg_config({"rig": {"sensors": {"rgb": sensor}}}).rig
        self.geometry = RigGeometry(rig.sensors)
        self.transforms: list[Any] = []

    def push_camera_info(self, sensor: str, message: Any) -> str | None:
        try:
            self.geometry.take_camera_info(sensor, message)
        except CalibrationError as error:
            return str(error)
        return None

    def push_transforms(self, message: Any) -> None:
        self.transforms.append(message.transforms)


def test_what_was_damaged_or_empty_before_the_stretch_costs_nothing(tmp_path: Path) -> None:
    nothing = b"\0\1\0\0" + bytes(4)  # no transforms
    topics = {
        "/rgb/image": (IMAGE, images(60)),
        "/info": (
            CAMERA_INFO,
            [(START + MS, camera_info(START, 0.0)), (START + 9 * MS, camera_info(START, 20.0))],
        ),
        TF_STATIC: (TRANSFORMS, [(START + MS, b"\0\1\0\0\5\0\0\0ab"), (START + 2 * MS, nothing)]),
    }
    told: Any = Told()
    with BagPart(write_bag(tmp_path / "bag", topics), (1.0, 2.0)) as bag:
        bag.tell_cameras_before(CAMERAS, told)
    assert told.geometry.camera("rgb").matrix[0, 0] == 20.0
    assert told.transforms == [[]]
