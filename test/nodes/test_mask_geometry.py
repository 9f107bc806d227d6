"""Camera and points of a mask: those of the picture that it is in, whoever made it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from fixtures.manifests import small_manifest
from fixtures.messages import image_message
from fixtures.scenes import ENCODINGS, scene
from fixtures.virtual_machine import SplitEngine

from anymodal_seg_ros.config import CountsConfig, RegistrationConfig, RigConfig, SensorConfig
from anymodal_seg_ros.frames import Prediction
from anymodal_seg_ros.inference.masks.labelled_cloud import POINT
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.nodes.mask_geometry import MaskGeometry
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.geometry.rig_geometry import UnknownGeometryError

MS = 1_000_000
PERIOD = 33_333_333
START = 1_700_000_000_000_000_000
HEIGHT, WIDTH, FOCAL = 48, 64, 40.0
NARROW = 160.0
"""Focal length of the depth and the thermal camera: they see the middle of the first's picture."""
WALL_M = 4.0


def sensor(kind: str, method: str = "cameras", extrinsics: str = "0 0 0 0 0 0 1") -> SensorConfig:
    if kind == "rgb":
        registration = RegistrationConfig(camera_info="rgb/info")
    else:
        registration = RegistrationConfig(method, camera_info=f"{kind}/info", extrinsics=extrinsics)
    # Depth counts a quarter of a millimetre, as some cameras do.
    counts = CountsConfig(per_count=0.00025) if kind == "depth" else CountsConfig()
    return SensorConfig(f"{kind}/image", kind, counts=counts, registration=registration)


def info(focal: float) -> SimpleNamespace:
    return SimpleNamespace(
        width=WIDTH,
        height=HEIGHT,
        distortion_model="plumb_bob",
        d=[],
        k=[focal, 0.0, WIDTH / 2 - 0.5, 0.0, focal, HEIGHT / 2 - 0.5, 0.0, 0.0, 1.0],
        r=np.eye(3).ravel(),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0),
    )


def masks(rig: RigConfig, geometry: MaskGeometry, lost_from: int = 20) -> Iterator[Prediction]:
    """All sensors see a wall; the first one dies."""
    manifest = small_manifest(HEIGHT, WIDTH, classes=32)
    pipe = Pipeline(rig, Model(Path("nowhere"), manifest), SplitEngine())
    for name in rig.sensors:
        for one in (pipe.push_camera_info, geometry.take_camera_info):
            one(name, info(FOCAL if name == "rgb" else NARROW))
    wall = np.full((HEIGHT, WIDTH), round(WALL_M / 0.00025), np.uint16)
    for number in range(60):
        now = number * PERIOD
        for place, name in enumerate(rig.sensors):
            if name == "rgb" and number >= lost_from:
                continue
            pixels = wall if name == "depth" else scene(name, number, HEIGHT, WIDTH)
            encoding = "16UC1" if name == "depth" else ENCODINGS[name]
            frame = f"{name}_optical"
            message = image_message(pixels, encoding, START + now, frame_id=frame)
            pipe.push_message(name, message, now + place * MS)
        while (prediction := pipe.poll(now + 25 * MS)) is not None:
            yield prediction


@pytest.mark.parametrize("order", [("rgb", "thermal", "depth"), ("rgb", "depth", "thermal")])
@pytest.mark.parametrize("method", ["cameras", "depth"])
def test_the_camera_and_the_points_stay_those_of_the_first_sensor_when_it_dies(
    order: tuple[str, ...], method: str
) -> None:
    rig = RigConfig({kind: sensor(kind, method) for kind in order}, content_checks=False)
    geometry = MaskGeometry(rig, small_manifest(HEIGHT, WIDTH))
    made = list(masks(rig, geometry))
    after = [p for p in made if p.frame_set.reference == order[1] and "depth" in p.sensors]
    assert len(after) > 30, "the second sensor has taken over"
    for prediction in (made[10], after[0], after[-1]):
        told = geometry.camera_info(prediction)
        assert told.k[0] == FOCAL
        assert told.header.frame_id == "rgb_optical"
        cloud = geometry.points(prediction)
        assert (cloud.height, cloud.width) == prediction.mask.shape
        points = np.frombuffer(bytes(cloud.data), POINT).reshape(HEIGHT, WIDTH)
        seen = np.isfinite(points["z"])
        assert seen.mean() == pytest.approx((FOCAL / NARROW) ** 2, rel=0.2), "the middle only"
        assert points["z"][seen] == pytest.approx(WALL_M, rel=1e-3)
        columns = np.nonzero(seen)[1]
        wanted = (columns - (WIDTH / 2 - 0.5)) / FOCAL * WALL_M
        assert points["x"][seen] == pytest.approx(wanted, abs=1e-2)


def test_a_calibration_of_another_shape_is_none_of_the_mask() -> None:
    rig = RigConfig({kind: sensor(kind) for kind in ("rgb", "depth")}, content_checks=False)
    geometry = MaskGeometry(rig, small_manifest(HEIGHT, WIDTH))
    prediction = list(masks(rig, geometry))[10]
    wide = info(FOCAL)
    wide.width = 2 * WIDTH
    geometry.take_camera_info("rgb", wide)
    for make in (geometry.camera_info, geometry.points):
        with pytest.raises(UnknownGeometryError, match="calibrate the format that is sent"):
            make(prediction)


def test_the_camera_of_a_padded_picture_is_the_drivers_own() -> None:
    """The pictures have the size of whole blocks; the driver speaks of those that it took."""
    rig = RigConfig({kind: sensor(kind) for kind in ("rgb", "depth")}, content_checks=False)
    geometry = MaskGeometry(rig, small_manifest(HEIGHT, WIDTH))
    prediction = list(masks(rig, geometry))[10]
    taken = info(FOCAL)
    taken.height, taken.width, taken.r = HEIGHT - 6, WIDTH - 5, np.diag([1.0, -1.0, -1.0]).ravel()
    geometry.take_camera_info("rgb", taken)
    told = geometry.camera_info(prediction)
    assert (told.height, told.width) == prediction.mask.shape == (HEIGHT, WIDTH)
    assert (list(told.k), list(told.r)) == (list(taken.k), list(taken.r))


def test_the_geometry_of_the_living_reference_is_its_own() -> None:
    rig = RigConfig({kind: sensor(kind) for kind in ("rgb", "depth")}, content_checks=False)
    rig = replace(rig, geometry="reference")
    geometry = MaskGeometry(rig, small_manifest(HEIGHT, WIDTH))
    prediction = list(masks(rig, geometry))[-1]
    assert geometry.camera_info(prediction).k[0] == NARROW
    points = np.frombuffer(bytes(geometry.points(prediction).data), POINT)
    assert points["z"] == pytest.approx(WALL_M, rel=1e-3)
