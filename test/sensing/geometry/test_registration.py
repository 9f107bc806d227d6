from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.calibrations import as_text, write_camera_info
from fixtures.clouds import xyz_cloud
from fixtures.two_planes import SQUARE_M, WALL_M, draw

from anymodal_seg_ros.config import RegistrationConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.point_clouds import POINT_CLOUD, decode_cloud
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError, Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import Transform, invert, pose_from_text
from anymodal_seg_ros.sensing.geometry.registration import Registrar

HEIGHT, WIDTH = 120, 160

RGB = Camera(320, 240, np.array([[260.0, 0, 160], [0, 260.0, 119], [0, 0, 1]]))
THERMAL = Camera(
    256,
    192,
    np.array([[190.0, 0, 126], [0, 191.0, 97], [0, 0, 1]]),
    "plumb_bob",
    np.array([-0.2, 0.05, 0.001, -0.0005]),
)
DEPTH = Camera(
    320,
    240,
    np.array([[230.0, 0, 161], [0, 230.0, 120], [0, 0, 1]]),
    "equidistant",
    np.array([-0.01, 0.002, 0.0, 0.0]),
)
CAMERAS = {"rgb": RGB, "thermal": THERMAL, "depth": DEPTH}
POSES: dict[str, Transform] = {
    "rgb": np.eye(4),
    "thermal": pose_from_text("0.12 0.01 -0.02 0.01 -0.015 0.005 0.99982", "pose"),
    "depth": pose_from_text("-0.06 0.0 0.01 -0.005 0.01 0.0 0.99994", "pose"),
}


def rig(folder: Path, **methods: str) -> dict[str, SensorConfig]:
    """Return the three sensors; those named are registered by cameras or depth."""
    sensors = {}
    for name in ("rgb", "thermal", "depth"):
        files = {"calibration": write_camera_info(CAMERAS[name], folder / f"{name}.yaml")}
        method = methods.get(name, "resize")
        if method != "resize":
            files["extrinsics"] = as_text(POSES[name])
        registration = RegistrationConfig(method, distance_m=WALL_M, **files)
        sensors[name] = SensorConfig(f"{name}/image", name, registration=registration)
    return sensors


def pictures(*names: str) -> dict[str, Image]:
    """Return what the sensors see of the two planes, at their own sizes."""
    made = {}
    for name in names:
        camera = CAMERAS[name]
        brightness, depth = draw(camera, POSES[name], camera.height, camera.width)
        made[name] = Image(depth, "32FC1") if name == "depth" else Image(brightness, "32FC1")
    return made


def expected(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what a perfect registration to this sensor gives: brightness and depth."""
    return draw(CAMERAS[name], POSES[name], HEIGHT, WIDTH)


def registrar(sensors: dict[str, SensorConfig]) -> Registrar:
    return Registrar(sensors, HEIGHT, WIDTH, depths=("depth",))


def inner(pixels: np.ndarray) -> np.ndarray:
    return pixels[8:-8, 8:-8]


def wall_away_from_edges(depth: np.ndarray, grow: int) -> np.ndarray:
    """Return where the wall is seen, and no edge of the square is near."""
    near = (depth < 3).astype(np.uint8)
    return cv2.dilate(near, np.ones((2 * grow + 1, 2 * grow + 1), np.uint8)) == 0


def test_without_registration_images_pass_untouched(tmp_path: Path) -> None:
    images = pictures("rgb", "thermal")
    done = registrar(rig(tmp_path)).register("rgb", images)
    assert all(done.images[name] is images[name] for name in images)
    assert done.missing == {}


def test_by_cameras_everything_at_the_chosen_distance_is_right(tmp_path: Path) -> None:
    images = pictures("rgb", "thermal")
    done = registrar(rig(tmp_path, thermal="cameras")).register("rgb", images)
    assert done.images["rgb"] is images["rgb"]
    warped = done.images["thermal"].pixels
    assert warped.shape == (HEIGHT, WIDTH)
    brightness, depth = expected("rgb")
    wall = inner(wall_away_from_edges(depth, 14))
    error = np.abs(inner(warped) - inner(brightness))
    assert np.nanmax(error[wall]) < 1
    assert np.isfinite(error[wall]).all()
    # The square stands at half the distance: by now it is elsewhere.
    assert np.nanmean(error[inner(depth) < 3]) > 10


def test_with_measured_depth_near_things_are_right_too(tmp_path: Path) -> None:
    images = pictures("rgb", "thermal", "depth")
    sensors = rig(tmp_path, thermal="depth", depth="depth")
    done = registrar(sensors).register("rgb", images)
    brightness, depth = expected("rgb")
    error = np.abs(inner(done.images["thermal"].pixels) - inner(brightness))
    assert np.nanquantile(error, 0.9) < 1
    square = cv2.erode((depth < 3).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.nanmax(error[inner(square)]) < 2
    # What the thermal camera could not see behind the square is empty, no copy of the square.
    copies = (error > 40).mean()
    assert copies < 0.01
    assert 0.005 < np.isnan(error).mean() < 0.06


def test_depth_is_carried_along_its_own_distances(tmp_path: Path) -> None:
    images = pictures("rgb", "depth")
    done = registrar(rig(tmp_path, depth="depth")).register("rgb", images)
    carried = inner(done.images["depth"].pixels)
    depth = inner(expected("rgb")[1])
    known = np.isfinite(carried)
    assert known.mean() > 0.95
    assert (np.abs(carried - depth)[known] < 0.02).mean() > 0.98
    # A hole is better than a guess, and lies only beside the square.
    assert set(np.round(np.unique(np.round(carried[known], 1)))) <= {SQUARE_M, WALL_M}


def test_depth_of_a_coarser_sensor_leaves_no_gaps(tmp_path: Path) -> None:
    _, depth = draw(DEPTH, POSES["depth"], 30, 40)
    images = {**pictures("rgb"), "depth": Image(depth, "32FC1")}
    carried = registrar(rig(tmp_path, depth="depth")).register("rgb", images).images["depth"]
    assert np.isfinite(inner(carried.pixels)).mean() > 0.97


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_may_be_millimetres_and_have_holes(tmp_path: Path, encoding: str) -> None:
    images = pictures("rgb", "thermal", "depth")
    metres = images["depth"].pixels.copy()
    metres[::3] = np.nan
    if encoding == "16UC1":
        counts = np.where(np.isfinite(metres), metres * 1000, 0).astype(">u2")
        images["depth"] = Image(counts, "16UC1")
    else:
        images["depth"] = Image(metres.astype(">f4"), "32FC1")
    done = registrar(rig(tmp_path, thermal="depth", depth="depth")).register("rgb", images)
    assert done.missing == {}
    error = np.abs(inner(done.images["thermal"].pixels) - inner(expected("rgb")[0]))
    assert np.nanquantile(error, 0.9) < 1


def test_without_a_living_depth_sensor_the_chosen_distance_serves(tmp_path: Path) -> None:
    images = pictures("rgb", "thermal")
    by_depth = registrar(rig(tmp_path, thermal="depth", depth="depth")).register("rgb", images)
    by_cameras = registrar(rig(tmp_path, thermal="cameras")).register("rgb", images)
    np.testing.assert_array_equal(
        by_depth.images["thermal"].pixels, by_cameras.images["thermal"].pixels
    )


def test_any_sensor_can_be_the_reference(tmp_path: Path) -> None:
    sensors = rig(tmp_path, thermal="depth", depth="depth")
    images = pictures("rgb", "thermal", "depth")
    for reference in ("thermal", "depth"):
        done = registrar(sensors).register(reference, images)
        assert done.missing == {}
        assert done.images[reference] is images[reference]
        brightness, depth = expected(reference)
        error = np.abs(inner(done.images["rgb"].pixels) - inner(brightness))
        assert np.nanquantile(error, 0.9) < 1.5
        if reference == "thermal":
            carried = inner(done.images["depth"].pixels)
            assert (np.abs(carried - inner(depth)) < 0.03).mean() > 0.93


def test_a_reference_by_homography_gets_depth_at_the_chosen_distance(tmp_path: Path) -> None:
    sensors = rig(tmp_path, depth="depth")
    moved = RegistrationConfig("homography", homography="1 0 0.05 0 1 0 0 0 1")
    sensors["thermal"] = SensorConfig("thermal/image", "thermal", registration=moved)
    done = registrar(sensors).register("thermal", pictures("thermal", "depth"))
    assert done.missing == {}
    # The place x of the reference is x + 0.05 of the first sensor's picture.
    _, depth = expected("rgb")
    warped = done.images["depth"].pixels
    wall = inner(wall_away_from_edges(depth, 14))[:, 8:]
    error = np.abs(inner(warped)[:, :-8] - inner(depth)[:, 8:])
    assert np.nanmax(error[wall]) < 0.3


def test_a_driver_that_changes_its_size_all_the_time_fills_no_memory(tmp_path: Path) -> None:
    made = registrar(rig(tmp_path, thermal="cameras"))
    for scale in range(1, 72):
        image = Image(np.full((3 * scale, 4 * scale), 9, np.uint8), "mono8")
        done = made.register("rgb", {**pictures("rgb"), "thermal": image})
        assert done.images["thermal"].pixels.max() == 9
    assert len(made._made[1]) <= 64


def test_the_first_sensor_may_be_dead_for_good(tmp_path: Path) -> None:
    sensors = rig(tmp_path, thermal="cameras", depth="cameras")
    images = pictures("thermal", "depth")
    done = registrar(sensors).register("thermal", images)
    _, depth = expected("thermal")
    wall = inner(wall_away_from_edges(depth, 14))
    error = np.abs(inner(done.images["depth"].pixels) - inner(depth))
    assert np.nanmax(error[wall]) < 0.3  # values are not turned into the other frame, only moved


def test_a_homography_aligns_planes_at_any_resolution(tmp_path: Path) -> None:
    del tmp_path
    shift = "1 0 0.1 0 1 -0.05 0 0 1"
    sensors = {
        "rgb": SensorConfig("rgb", "rgb"),
        "thermal": SensorConfig(
            "thermal", "thermal", registration=RegistrationConfig("homography", homography=shift)
        ),
    }
    for height, width in ((120, 160), (240, 320), (60, 80)):
        x = np.broadcast_to((np.arange(width) + 0.5) / width, (height, width))
        images = {
            "rgb": Image(np.zeros((240, 320, 3), np.uint8), "rgb8"),
            "thermal": Image(x.astype(np.float32), "32FC1"),
        }
        warped = registrar(sensors).register("rgb", images).images["thermal"].pixels
        column = (np.arange(WIDTH) + 0.5) / WIDTH
        np.testing.assert_allclose(warped[50, 24:-8], column[24:-8] - 0.1, atol=0.01)
        assert np.isnan(warped[:, :15]).all()
        assert np.isnan(warped[-5:]).all()
        assert np.isfinite(warped[:-7, 18:]).all()


@pytest.mark.parametrize(
    "pixels",
    [
        np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8),
        np.random.default_rng(0).integers(0, 255, (120, 160, 4), np.uint8),
        np.random.default_rng(0).integers(0, 65535, (120, 160), np.uint16).astype(">u2"),
        np.random.default_rng(0).normal(size=(120, 170)).astype(np.float32)[:, 5:-5],
    ],
    ids=["rgb8", "rgba8", "big-endian", "strided"],
)
def test_equal_cameras_change_no_pixel(tmp_path: Path, pixels: np.ndarray) -> None:
    path = write_camera_info(RGB, tmp_path / "rgb.yaml")
    same = RegistrationConfig("cameras", calibration=path, extrinsics="0 0 0 0 0 0 1")
    sensors = {
        "rgb": SensorConfig("rgb", "rgb", registration=RegistrationConfig(calibration=path)),
        "other": SensorConfig("other", "rgb", registration=same),
    }
    images = {"rgb": Image(np.zeros((120, 160), np.uint8), "mono8"), "other": Image(pixels, "any")}
    done = registrar(sensors).register("rgb", images).images["other"]
    np.testing.assert_array_equal(done.pixels, pixels)
    assert done.encoding == "any"


def test_clouds_are_painted_into_the_reference(tmp_path: Path) -> None:
    sensors = rig(tmp_path, thermal="cameras")
    looks_ahead = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    lidar = RegistrationConfig("cameras", extrinsics=as_text(looks_ahead))
    sensors["lidar"] = SensorConfig("points", "lidar", registration=lidar)
    target = np.array([[5.0, 0.4, -0.3]])
    cloud = Image(decode_cloud(xyz_cloud(target)), POINT_CLOUD)
    made = Registrar(sensors, HEIGHT, WIDTH, depths=("depth",), clouds=("lidar",))
    for reference in ("rgb", "thermal"):
        done = made.register(reference, {**pictures("rgb", "thermal"), "lidar": cloud})
        assert done.missing == {}
        planes = done.images["lidar"].pixels
        (seen,) = np.argwhere(np.isfinite(planes[..., 0]))
        in_first = target @ looks_ahead[:3, :3].T
        own = invert(POSES[reference])
        camera = CAMERAS[reference]
        pixel = camera.project(in_first @ own[:3, :3].T + own[:3, 3])[0]
        scaled = (pixel + 0.5) * (WIDTH / camera.width, HEIGHT / camera.height)
        assert seen.tolist() == np.floor(scaled).astype(int)[::-1].tolist()
    undeclared = {**sensors, "lidar": SensorConfig("points", "lidar")}
    done = registrar(undeclared).register("rgb", {**pictures("rgb"), "lidar": cloud})
    assert (
        "lidar sends point clouds: registration.method must be 'cameras'" in done.missing["lidar"]
    )


def camera_info(camera: Camera) -> SimpleNamespace:
    return SimpleNamespace(
        width=camera.width,
        height=camera.height,
        distortion_model=camera.model,
        d=camera.distortion,
        k=camera.matrix.ravel(),
        r=np.eye(3).ravel(),
        p=np.zeros(12),
    )


def test_cameras_may_come_by_topic_and_change(tmp_path: Path) -> None:
    by_file = rig(tmp_path, thermal="cameras")
    by_topic = {
        name: SensorConfig(
            name,
            name,
            registration=RegistrationConfig(
                by_file[name].registration.method,
                camera_info=f"{name}/camera_info",
                extrinsics=by_file[name].registration.extrinsics,
                distance_m=WALL_M,
            ),
        )
        for name in ("rgb", "thermal")
    }
    images = pictures("rgb", "thermal")
    made = Registrar(by_topic, HEIGHT, WIDTH)
    waiting = made.register("rgb", images)
    assert list(waiting.images) == ["rgb"]
    assert "no CameraInfo has come on thermal/camera_info" in waiting.missing["thermal"]

    wrong = Camera(256, 192, THERMAL.matrix)
    for first in (wrong, THERMAL):
        made.take_camera_info("rgb", camera_info(RGB))
        made.take_camera_info("thermal", camera_info(first))
        done = made.register("rgb", images)
        right = registrar(by_file).register("rgb", images).images["thermal"].pixels
        same = np.array_equal(done.images["thermal"].pixels, right, equal_nan=True)
        assert same == (first is THERMAL)

    broken = camera_info(THERMAL)
    broken.k = -broken.k
    with pytest.raises(CalibrationError, match="focal lengths"):
        made.take_camera_info("thermal", broken)
    assert made.register("rgb", images).missing == {}


def test_an_image_of_another_shape_than_the_calibration_is_refused(tmp_path: Path) -> None:
    images = pictures("rgb", "thermal")
    images["thermal"] = Image(np.zeros((192, 300), np.uint8), "mono8")
    done = registrar(rig(tmp_path, thermal="cameras")).register("rgb", images)
    assert "300x192 pixels, but its calibration is for 256x192" in done.missing["thermal"]
    half = {**images, "thermal": Image(np.zeros((96, 128), np.uint8), "mono8")}
    assert registrar(rig(tmp_path, thermal="cameras")).register("rgb", half).missing == {}


@pytest.mark.parametrize("coded", [(184, 256), (192, 256)])
def test_rows_and_columns_that_an_encoder_added_are_not_stretched_over_the_picture(
    tmp_path: Path, coded: tuple[int, int]
) -> None:
    """The thermal camera has 250x180 pixels, of which blocks of 8 or of 16 were made."""
    height, width = 180, 250
    sensors = rig(tmp_path, thermal="cameras")
    camera = Camera(width, height, THERMAL.matrix, THERMAL.model, THERMAL.distortion)
    write_camera_info(camera, tmp_path / "thermal.yaml")
    seen = draw(camera, POSES["thermal"], height, width)[0]
    decoded = np.full(coded, 128, np.float32)  # grey is what decoders leave there
    decoded[:height, :width] = seen
    shown = []
    for pixels in (seen, decoded):
        images = {**pictures("rgb"), "thermal": Image(pixels, "32FC1")}
        shown.append(registrar(sensors).register("rgb", images).images["thermal"].pixels)
    assert np.isfinite(shown[0]).mean() > 0.4
    assert np.nanpercentile(np.abs(shown[0] - shown[1]), 99) < 0.1


def test_others_lie_right_in_a_picture_that_an_encoder_made_larger(tmp_path: Path) -> None:
    sensors = rig(tmp_path, thermal="cameras")
    write_camera_info(Camera(313, 233, RGB.matrix), tmp_path / "rgb.yaml")
    images = pictures("rgb", "thermal")  # 320x240: whole blocks
    shown = registrar(sensors).register("rgb", images).images["thermal"].pixels
    wrong = np.abs(shown - expected("rgb")[0])
    assert np.nanmedian(wrong) < 1


def told_by_topic() -> Registrar:
    """A rig whose thermal camera tells by topic what it is; RGB has done so."""
    sensors = {
        "rgb": SensorConfig("rgb", "rgb", registration=RegistrationConfig(camera_info="rgb/info")),
        "thermal": SensorConfig(
            "thermal",
            "thermal",
            registration=RegistrationConfig(
                "cameras", camera_info="thermal/info", extrinsics="0 0 0 0 0 0 1"
            ),
        ),
    }
    made = Registrar(sensors, HEIGHT, WIDTH)
    made.take_camera_info("rgb", camera_info(RGB))
    return made


def test_a_region_of_interest_that_the_image_is_not_cut_to_is_refused() -> None:
    """Both have the same shape, so the whole picture would be taken for the region."""
    made, message = told_by_topic(), camera_info(Camera(512, 384, THERMAL.matrix))
    message.roi = SimpleNamespace(x_offset=128, y_offset=96, width=256, height=192)
    for binning, fits in ((1, (192, 256)), (2, (96, 128))):
        message.binning_x = message.binning_y = binning
        made.take_camera_info("thermal", message)
        for height, width in (fits, (fits[0] // 2, fits[1] // 2), (384 // binning, 512 // binning)):
            images = pictures("rgb") | {
                "thermal": Image(np.zeros((height, width), np.uint8), "mono8")
            }
            missing = made.register("rgb", images).missing
            if height <= fits[0]:
                assert missing == {}
            else:
                region = f"a roi of {fits[1]}x{fits[0]} of {width}x{height}: let the driver"
                assert region in missing["thermal"]


@pytest.mark.parametrize("size", [(512, 288), (256, 384)])
def test_a_region_of_interest_may_have_all_columns_or_all_rows(size: tuple[int, int]) -> None:
    made, message = told_by_topic(), camera_info(Camera(512, 384, THERMAL.matrix))
    width, height = size
    message.roi = SimpleNamespace(x_offset=0, y_offset=0, width=width, height=height)
    made.take_camera_info("thermal", message)
    images = pictures("rgb") | {"thermal": Image(np.zeros((height, width), np.uint8), "mono8")}
    assert made.register("rgb", images).missing == {}


@pytest.mark.parametrize(
    ("sensor", "change", "says"),
    [
        ("thermal", {"method": "magic"}, "thermal.registration.method is 'magic': expected one of"),
        ("thermal", {"method": "homography"}, "thermal.registration.homography has 0 numbers"),
        ("thermal", {"homography": "1 0 0 0 1 0 0 0 1"}, "is given, but method is 'resize'"),
        ("thermal", {"extrinsics": "0 0 0 0 0 0 1"}, "is given, but method is 'resize'"),
        ("thermal", {"method": "cameras"}, "registration.calibration is missing: thermal is regis"),
        (
            "thermal",
            {"method": "cameras", "camera_info": "t"},
            "rgb.registration.calibration is mi",
        ),
        ("thermal", {"calibration": "a", "camera_info": "b"}, "are both given: expected one"),
        ("thermal", {"calibration": "nowhere.yaml"}, "cannot read the calibration nowhere.yaml"),
        ("rgb", {"method": "cameras"}, "rgb is the rig's first sensor"),
        ("lidar", {}, "lidar.registration.method is 'resize': expected 'cameras'"),
    ],
)
def test_wrong_configurations_are_refused_by_name(
    sensor: str, change: dict[str, Any], says: str
) -> None:
    sensors = {
        name: SensorConfig(
            name,
            name,
            registration=RegistrationConfig(**(change if name == sensor else {})),
        )
        for name in ("rgb", "thermal", "lidar")
        if name != "lidar" or sensor == "lidar"
    }
    with pytest.raises(ConfigError) as caught:
        Registrar(sensors, HEIGHT, WIDTH, clouds=("lidar",))
    assert says in str(caught.value)


def test_a_lidar_is_no_picture_that_masks_could_lie_in() -> None:
    sensors = {name: SensorConfig(name, name) for name in ("lidar", "rgb")}
    with pytest.raises(ConfigError, match=r"^lidar is the rig's first .*name a camera first, in"):
        Registrar(sensors, HEIGHT, WIDTH, clouds=("lidar",))


def test_extrinsics_come_from_one_place_only(tmp_path: Path) -> None:
    sensors = rig(tmp_path, thermal="cameras")
    chain = tmp_path / "chain.yaml"
    step = invert(POSES["thermal"]).tolist()
    entry = "{camera_model: pinhole, distortion_model: none, resolution: [320, 240], "
    entry += "intrinsics: [260, 260, 160, 119]"
    chain.write_text(f"cam0: {entry}}}\ncam1: {entry}, T_cn_cnm1: {step}}}\n")

    def chained(extrinsics: str, first: str = "cam0") -> Registrar:
        configs = {
            "rgb": RegistrationConfig(calibration=f"{chain}#{first}"),
            "thermal": RegistrationConfig(
                "cameras", calibration=f"{chain}#cam1", extrinsics=extrinsics
            ),
        }
        return Registrar(
            {n: SensorConfig(n, n, registration=c) for n, c in configs.items()}, HEIGHT, WIDTH
        )

    chained("")
    with pytest.raises(
        ConfigError, match=r"extrinsics is given, but .*chain\.yaml gives it as well"
    ):
        chained("0 0 0 0 0 0 1")
    del sensors["depth"]
    registration = sensors["thermal"].registration
    bare = RegistrationConfig("cameras", calibration=registration.calibration)
    sensors["thermal"] = SensorConfig("t", "thermal", registration=bare)
    with pytest.raises(ConfigError, match="extrinsics is missing: expected 'x y z qx qy qz qw'"):
        registrar(sensors)
