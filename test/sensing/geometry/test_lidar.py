from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from fixtures.clouds import cloud_message, read_ascii_pcd, xyz_cloud

from anymodal_seg_ros.sensing.decoding.point_clouds import decode_cloud
from anymodal_seg_ros.sensing.geometry.cameras import Camera
from anymodal_seg_ros.sensing.geometry.extrinsics import invert, move, pose_from_quaternion, rigid
from anymodal_seg_ros.sensing.geometry.lidar import lidar_image, nearest

# A LiDAR looks along x with z up, a camera along z with y down.
LOOKS_ALONG = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
CAMERA = Camera(40, 30, np.array([[20.0, 0, 19.5], [0, 20.0, 14.5], [0, 0, 1]]))


def painted(points: list[list[float]], **options: int) -> np.ndarray:
    cloud = decode_cloud(xyz_cloud(np.array(points), intensity=7.0))
    size = (options.pop("height", 30), options.pop("width", 40))
    return lidar_image(cloud, CAMERA, LOOKS_ALONG, *size, **options).pixels


def test_a_point_lands_where_it_is_seen_with_range_height_and_intensity() -> None:
    planes = painted([[10.0, -5.0, 2.5]])  # 5 m to the right, 2.5 m up
    assert planes.shape == (30, 40, 3)
    assert planes.dtype == np.float32
    (at,) = np.argwhere(np.isfinite(planes).all(axis=2))
    # u = 19.5 + 20 * 0.5 = 29.5 is the border of pixels 29 and 30, v = 14.5 - 20 * 0.25 = 9.5
    assert at.tolist() == [10, 30]
    np.testing.assert_allclose(planes[10, 30], [np.sqrt(131.25), 2.5, 7], rtol=1e-6)


def test_the_nearest_point_wins_whatever_the_order() -> None:
    far_to_near = [[20.0, 0, 0.1], [10.0, 0, 0.05], [5.0, 0, 0.025]]
    for points in (far_to_near, far_to_near[::-1]):
        planes = painted(points)
        assert np.nanmax(planes[..., 0]) == pytest.approx(5, abs=0.01)
        assert np.isfinite(planes[..., 0]).sum() == 1


def test_larger_points_cover_their_neighbours_but_never_nearer_ones() -> None:
    planes = painted([[10.0, 0, 0], [5.0, -0.25, 0]], point_radius=1)  # one pixel apart
    assert np.isfinite(planes[..., 0]).sum() == 12
    assert (planes[..., 0] < 6).sum() == 9
    corner = painted([[10.0, 9.9, 7.4]], point_radius=2)
    assert np.isfinite(corner[..., 0]).sum() == 9


def test_what_the_camera_cannot_see_or_the_lidar_did_not_hit_is_left_out() -> None:
    nothing = [[-10.0, 0, 0], [0.0, 0, 0], [np.nan, 0, 0], [10, np.inf, 0], [10, 30, 0], [1, 0, 9]]
    assert np.isnan(painted(nothing)).all()
    empty = decode_cloud(xyz_cloud(np.zeros((0, 3))))
    assert np.isnan(lidar_image(empty, CAMERA, LOOKS_ALONG, 3, 4).pixels).all()


def test_the_result_shows_the_whole_picture_at_any_resolution() -> None:
    points = [[10.0, 9.9, 7.4], [10.0, -9.9, -7.4], [10.0, 0.01, 0.01]]
    for height, width in ((30, 40), (15, 20), (60, 80), (192, 256)):
        seen = np.argwhere(np.isfinite(painted(points, height=height, width=width)[..., 0]))
        expected = [[0, 0], [height / 2 - 1, width / 2 - 1], [height - 1, width - 1]]
        np.testing.assert_allclose(seen, expected, atol=2 * width / 40)


def test_intensity_may_have_other_names_or_be_absent() -> None:
    xyz = {
        name: np.array([value], np.float32) for name, value in zip("xyz", (10, 0, 0), strict=True)
    }
    counts = np.array([300], np.uint16)
    named = [({name: counts}, 300) for name in ("reflectivity", "Intensity", "I", "signal")]
    for extra, expected in (({}, 0), *named):
        cloud = decode_cloud(cloud_message({**xyz, **extra}))
        assert np.nanmax(lidar_image(cloud, CAMERA, LOOKS_ALONG, 30, 40).pixels[..., 2]) == expected


def test_nearest_is_what_a_loop_finds() -> None:
    random = np.random.default_rng(0)
    cells = random.integers(0, (12, 9), (500, 2))
    distances = random.choice(np.linspace(0, 50, 40, dtype=np.float32), 500)
    best: dict[int, int] = {}
    for number, ((x, y), distance) in enumerate(zip(cells, distances, strict=True)):
        place = int(y * 12 + x)
        if place not in best or distance < distances[best[place]]:
            best[place] = number
    places, owners = nearest(cells, distances, 9, 12)
    assert dict(zip(places.tolist(), owners.tolist(), strict=True)) == best


# The recordings


def offroad(shared_data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, Camera, np.ndarray]:
    """Points, their labels, the picture's labels, the camera, and the transform as written."""
    folder = shared_data / "rgb_lidar_offroad"
    points = np.fromfile(folder / "000104.bin", np.float32).reshape(-1, 4)
    labels = np.fromfile(folder / "000104.label", np.uint32) & 0xFFFF
    picture = cv2.imread(str(next(folder.glob("frame*.png"))), cv2.IMREAD_UNCHANGED)
    fx, fy, cx, cy = map(float, (folder / "camera_info.txt").read_text().split())
    camera = Camera(1920, 1200, np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]))
    (written,) = yaml.safe_load((folder / "transforms.yaml").read_text()).values()
    position, turn = ([written[k][axis] for axis in v] for k, v in (("t", "xyz"), ("q", "xyzw")))
    transform = rigid(pose_from_quaternion(np.array(position), np.array(turn)), "transforms.yaml")
    return points, labels, picture, camera, transform


@pytest.mark.shared_data
def test_offroad_points_carry_the_label_of_the_pixel_they_fall_on(shared_data: Path) -> None:
    points, labels, picture, camera, written = offroad(shared_data)
    columns = {name: points[:, n] for n, name in enumerate(("x", "y", "z"))}
    columns["intensity"] = labels.astype(np.float32)  # rides along, to be compared in the picture
    cloud = decode_cloud(cloud_message(columns))
    agreement = {}
    for name, transform in (("right", invert(written)), ("wrong", written)):
        seen = lidar_image(cloud, camera, transform, 1200, 1920).pixels[..., 2]
        there = np.isfinite(seen)
        agreement[name] = float((seen[there] == picture[there]).mean())
        if name == "right":
            assert there.sum() > 7000
    assert 0.75 < agreement["right"] < 0.80
    assert agreement["wrong"] < 0.02


def fisheye(shared_data: Path) -> tuple[Path, Camera, np.ndarray]:
    folder = shared_data / "rgb_lidar_fisheye"
    info = yaml.safe_load((folder / "camera_info.yaml").read_text())
    matrix = np.array(info["K"], np.float64).reshape(3, 3)
    camera = Camera(info["width"], info["height"], matrix, "equidistant", np.array(info["D"]))
    rows = np.loadtxt(folder / "calibration_quickstart.csv", delimiter=",", skiprows=1)
    roll, pitch, yaw, *position = np.median(rows, axis=0)
    (a, b), (c, d), (e, f) = ((np.cos(t), np.sin(t)) for t in (roll, pitch, yaw))
    about_x = np.array([[1, 0, 0], [0, a, -b], [0, b, a]])
    about_y = np.array([[c, 0, d], [0, 1, 0], [-d, 0, c]])
    about_z = np.array([[e, -f, 0], [f, e, 0], [0, 0, 1]])
    lidar_from_camera = np.eye(4)
    lidar_from_camera[:3, :3] = about_z @ about_y @ about_x
    lidar_from_camera[:3, 3] = position
    return folder, camera, invert(lidar_from_camera)


def board_from_picture(picture: np.ndarray) -> np.ndarray:
    """Find the chessboard; return the homography from pixels to squares, inner corners 0 to 1."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    found, corners = cv2.findChessboardCornersSB(grey, (7, 5))
    assert found, "no chessboard in the picture"
    grid = np.stack(np.meshgrid(np.arange(7.0), np.arange(5.0)), axis=-1).reshape(-1, 2)
    homography, _ = cv2.findHomography(corners.reshape(-1, 2), grid)
    return np.asarray(homography)


@pytest.mark.shared_data
@pytest.mark.parametrize("pose", ["pose1", "pose5"])
def test_fisheye_board_points_land_on_the_board(shared_data: Path, pose: str) -> None:
    folder, camera, camera_from_lidar = fisheye(shared_data)
    points = read_ascii_pcd(folder / f"{pose}_target.pcd")[:, :3]
    board = board_from_picture(cv2.imread(str(folder / f"{pose}.png")))

    def share_on_board(transform: np.ndarray) -> float:
        pixels = camera.project(move(transform, points)).astype(np.float64)
        seen = pixels[np.isfinite(pixels).all(axis=1)]
        if not len(seen):
            return 0.0
        squares = cv2.perspectiveTransform(seen[np.newaxis], board)[0]
        # The 7 x 5 inner corners are surrounded by one square and a white margin.
        on = (squares > -1.8) & (squares < (7.8, 5.8))
        return float(on.all(axis=1).sum() / len(points))

    assert share_on_board(camera_from_lidar) == 1.0
    assert share_on_board(invert(camera_from_lidar)) < 0.02
