from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from fixtures import bag_files
from fixtures.bag_files import IMAGE, START, camera_info, serialised
from fixtures.street import seen_by_rgb, seen_by_thermal, shifted, street

from anymodal_seg_ros.config import RigConfig, SensorConfig, seg_config
from anymodal_seg_ros.evaluation.arrivals import CAMERA_INFO, TF_STATIC, TRANSFORMS
from anymodal_seg_ros.evaluation.assemble import Gap, ImageSensor, plan, write_bag
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.image_files import list_images
from anymodal_seg_ros.evaluation.instants import from_bag, from_folders, tell_cameras
from anymodal_seg_ros.messages.values import image, tf
from anymodal_seg_ros.sensing.geometry.registration import Registrar
from anymodal_seg_ros.simulation.placements import Placement

RIG = RigConfig(
    {
        "rgb": SensorConfig("rgb/image", "rgb", expected_hz=10.0),
        "thermal": SensorConfig("thermal/image", "thermal", expected_hz=10.0),
    }
)
TOPICS = {"/rgb/image": "rgb", "/thermal/image": "thermal"}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, list[Path]]:
    for sensor in ("rgb", "thermal"):
        (tmp_path / sensor).mkdir()
    for number in range(9):
        labels = street(number)
        rgb, thermal = seen_by_rgb(labels).pixels, seen_by_thermal(labels, shifted(4, 2)).pixels
        assert cv2.imwrite(str(tmp_path / "rgb" / f"{number:03d}.png"), rgb[..., ::-1])
        assert cv2.imwrite(str(tmp_path / "thermal" / f"{number:03d}.png"), thermal)
    return {sensor: list_images(str(tmp_path / sensor)) for sensor in ("rgb", "thermal")}


def test_folders_are_paired_by_name_and_thinned_evenly(folders: dict[str, list[Path]]) -> None:
    folders["thermal"] = folders["thermal"][2:]
    names = [name for name, _ in from_folders(folders, 3)]
    assert names == ["002", "005", "008"]
    assert len(list(from_folders(folders, 99))) == 7
    _, images = next(iter(from_folders(folders, 1)))
    np.testing.assert_array_equal(images["rgb"].pixels, seen_by_rgb(street(2)).pixels)


def recorded(folders: dict[str, list[Path]], out: Path, gap: Gap | None) -> Path:
    sensors = {
        name: ImageSensor(
            topic=f"/{name}/image",
            images=images,
            encoding="",
            frame_id=name,
            rate_hz=10.0,
            jitter_s=0.0,
            latency_s=0.0,
            gaps=(gap,) if gap and name == "thermal" else (),
        )
        for name, images in folders.items()
    }
    shots = plan(sensors, start_ns=1_700_000_000_000_000_000, seed=0, paired=True)
    write_bag(out, sensors, shots, replace=False)
    return out


def test_a_bag_gives_what_was_seen_at_the_same_time(
    folders: dict[str, list[Path]], tmp_path: Path
) -> None:
    path = recorded(folders, tmp_path / "bag", Gap(0.35, 10.0, False))
    with Bag(path) as bag:
        instants = list(from_bag(bag, TOPICS, RIG, 5))
        everything = list(from_bag(bag, TOPICS, RIG, 99))
    assert len(instants) == 5
    assert len(everything) == 9
    for number, (_, images) in enumerate(everything):
        np.testing.assert_array_equal(images["rgb"].pixels, seen_by_rgb(street(number)).pixels)
        if number < 4:
            expected = seen_by_thermal(street(number), shifted(4, 2)).pixels
            np.testing.assert_array_equal(images["thermal"].pixels, expected)
        if number > 4:  # frame 4 is a period away, which the tolerance allows
            assert "thermal" not in images


def test_a_bag_without_the_first_sensor_is_refused(
    folders: dict[str, list[Path]], tmp_path: Path
) -> None:
    del folders["rgb"]
    path = recorded(folders, tmp_path / "bag", None)
    with Bag(path) as bag, pytest.raises(BagError, match="no images of rgb, the rig's first"):
        list(from_bag(bag, TOPICS, RIG, 5))


def test_a_bag_tells_the_cameras_and_their_places_by_tf(tmp_path: Path) -> None:
    """The first CameraInfo is empty, and one message of tf is damaged."""
    registration = {"method": "cameras", "extrinsics": "tf", "camera_info": "info"}
    sensors = {
        "rgb": {"topic": "a", "modality": "rgb", "registration": {"camera_info": "info"}},
        "thermal": {"topic": "b", "modality": "thermal", "registration": registration},
    }
    rig = seg_config({"rig": {"sensors": sensors}}).rig
    placed = tf([Placement("camera", "heat", (0.5, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))], START)
    heat = serialised(image(np.zeros((24, 32), np.uint16), "mono16", START, "heat"))
    topics = {
        "/a": (IMAGE, bag_files.images(3)),
        "/b": (IMAGE, [(START, b"damaged"), (START + 1, heat)]),
        "/info": (CAMERA_INFO, [(START, camera_info(START, f)) for f in (0.0, 20.0)]),
        TF_STATIC: (TRANSFORMS, [(START, b"\0\1\0\0\5\0\0\0ab"), (START + 1, serialised(placed))]),
    }
    registrar = Registrar(rig.sensors, 24, 32)
    with Bag(bag_files.write_bag(tmp_path / "bag", topics)) as bag:
        tell_cameras(bag, rig, registrar)
    assert registrar.can_bring("thermal", "rgb")
