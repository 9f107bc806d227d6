from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from fixtures.camera_bags import write_camera_bag
from fixtures.street import HEIGHT, WIDTH, seen_by_rgb, seen_by_thermal, shifted, street

from anymodal_seg_ros.cli.check_alignment import command
from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.sensing.geometry.cameras import Camera

FRAMES = 6


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pairs whose thermal picture lies 9 px to the right of the RGB one, and 5 px above it."""
    for sensor in ("rgb", "thermal"):
        (tmp_path / sensor).mkdir()
    for number in range(FRAMES):
        labels = street(number)
        rgb, thermal = seen_by_rgb(labels).pixels, seen_by_thermal(labels, shifted(9, -5)).pixels
        assert cv2.imwrite(str(tmp_path / "rgb" / f"{number:03d}.png"), rgb[..., ::-1])
        assert cv2.imwrite(str(tmp_path / "thermal" / f"{number:03d}.png"), thermal)
    return tmp_path


def check(folder: Path, *more: object) -> Result:
    out = ["--out", str(folder / "out")]
    sources = [f"--sensor={name}={folder / name}" for name in ("rgb", "thermal")]
    return CliRunner().invoke(command, [*out, *sources, *map(str, more)], catch_exceptions=False)


def figures(folder: Path) -> np.ndarray:
    with (folder / "out" / "shifts.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["sensor"] for row in rows} == {"thermal"}
    return np.array([[float(row["right_px"]), float(row["down_px"])] for row in rows])


def test_it_measures_draws_and_says_what_would_be_better(folder: Path) -> None:
    result = check(folder)
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(np.median(figures(folder), axis=0), (9, -5), atol=0.5)
    pictures = sorted((folder / "out" / "thermal_over_rgb").glob("*.png"))
    assert [path.stem for path in pictures] == [f"{n:03d}" for n in range(FRAMES)]
    drawn = cv2.imread(str(pictures[0]))
    assert drawn.shape == (HEIGHT, 2 * WIDTH, 3)
    red, green = (drawn == (40, 60, 230)).all(axis=2), (drawn == (80, 220, 60)).all(axis=2)
    assert red[:, :WIDTH].sum() > 500 < green[:, WIDTH:].sum()
    assert not red[:, WIDTH:].any()
    assert not green[:, :WIDTH].any()

    # Its advice, put into a parameter file, brings the pictures together.
    (advice,) = (line for line in result.output.splitlines() if "registration:" in line)
    sensors = {name: {"topic": f"{name}/image", "modality": name} for name in ("rgb", "thermal")}
    sensors["thermal"] |= yaml.safe_load(advice)
    parameters = {"rig": {"sensors": sensors}}
    path = folder / "rig.yaml"
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}), encoding="utf-8")
    assert load_config(path).rig.sensors["thermal"].registration.method == "homography"
    result = check(folder, "--params-file", path, "--frames", 3)
    assert result.exit_code == 0, result.output
    after = figures(folder)
    assert len(after) == 3
    assert np.abs(np.median(after, axis=0)).max() < 1


def test_a_bag_is_registered_by_the_cameras_it_tells_of(tmp_path: Path) -> None:
    centre = np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]])
    cameras = {
        "rgb": Camera(WIDTH, HEIGHT, centre),
        "thermal": Camera(WIDTH, HEIGHT, np.array([[300.0, 0, 169], [0, 300.0, 115], [0, 0, 1]])),
    }
    frames = [
        {"rgb": seen_by_rgb(labels), "thermal": seen_by_thermal(labels, shifted(9, -5))}
        for labels in map(street, range(FRAMES))
    ]
    bag = write_camera_bag(tmp_path / "bag", frames, cameras)
    moved = {}
    for method in ("resize", "cameras"):
        registration = {"camera_info": "thermal/camera_info", "method": method}
        if method == "cameras":
            registration["extrinsics"] = "0 0 0 0 0 0 1"
        sensors = {
            "rgb": {
                "topic": "rgb/image",
                "modality": "rgb",
                "registration": {"camera_info": "rgb/camera_info"},
            },
            "thermal": {
                "topic": "thermal/image",
                "modality": "thermal",
                "registration": registration,
            },
        }
        path = tmp_path / "rig.yaml"
        parameters = {"rig": {"sensors": sensors}}
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}), encoding="utf-8")
        arguments = [str(bag), "--params-file", str(path), "--out", str(tmp_path / "out")]
        result = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        # Only a sensor that is not registered by its camera gets a homography as advice.
        assert ("registration:" in result.output) == (method == "resize")
        moved[method] = np.median(figures(tmp_path), axis=0)
    np.testing.assert_allclose(moved["resize"], (9, -5), atol=0.5)
    np.testing.assert_allclose(moved["cameras"], (0, 0), atol=0.5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out", "x"], "give either a BAG or --sensor NAME=FOLDER"),
        (["--out", "x", "--sensor", "rgb"], "'rgb': expected NAME=FOLDER"),
        (["bag", "--out", "x", "--sensor", "rgb=y"], "give either a BAG or --sensor"),
    ],
)
def test_wrong_uses_are_refused(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert says in result.output


def test_sensors_must_be_those_of_the_rig(folder: Path) -> None:
    result = CliRunner().invoke(command, [f"--sensor=rgb={folder / 'rgb'}", "--out", "x"])
    assert "expected two sensors or more" in result.output
    sensors = {"thermal": {"topic": "thermal/image", "modality": "thermal"}}
    path = folder / "rig.yaml"
    parameters = {"rig": {"sensors": sensors}}
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": parameters}}), encoding="utf-8")
    result = check(folder, "--params-file", path)
    assert result.exit_code == 2
    assert "'rgb' is not in" in result.output
    result = CliRunner().invoke(command, ["bag", "--out", "x", "--params-file", str(path)])
    assert result.exit_code == 2
    assert "has one sensor, thermal: expected two or more" in " ".join(result.output.split())
