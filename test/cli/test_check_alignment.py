from __future__ import annotations

import csv
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from fixtures.bag_files import IMAGE, START, camera_info, images, serialised, write_bag
from fixtures.camera_bags import write_camera_bag
from fixtures.street import HEIGHT, WIDTH, seen_by_rgb, seen_by_thermal, shifted, street

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.cli.robot.check_alignment import command
from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.sensing.events.values import Events
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
    # What is left is what measuring errs by: it advises nothing that would chase it.
    assert "registration:" not in result.output
    assert "thermal lies within 1 pixel of rgb: leave it as it is" in result.output


def test_shifts_that_differ_from_frame_to_frame_are_no_ground_for_advice(folder: Path) -> None:
    for number in range(FRAMES):
        thermal = seen_by_thermal(street(number), shifted(12 * (-1) ** number, 4)).pixels
        assert cv2.imwrite(str(folder / "thermal" / f"{number:03d}.png"), thermal)
    result = check(folder)
    assert result.exit_code == 0, result.output
    said = re.search(r"thermal: its shifts lie ([\d.]+) pixels beside each other", result.output)
    assert said is not None
    assert float(said[1]) == pytest.approx(12, abs=1)
    assert "registration:" not in result.output


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


def recorded(path: Path, rgb: list[bytes]) -> list[str]:
    """Options for a bag with these messages of the first sensor and a sound second one."""
    rig = {name: {"topic": f"/{name}/image", "modality": name} for name in ("rgb", "thermal")}
    params = path / "rig.yaml"
    params.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"rig": {"sensors": rig}}}}))
    first = (IMAGE, [(START + index, data) for index, data in enumerate(rgb)])
    bag = write_bag(path / "bag", {"/rgb/image": first, "/thermal/image": (IMAGE, images(3))})
    return [str(bag), "--params-file", str(params), "--out", str(path / "out")]


def told(options: list[str]) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["check-alignment", *options], catch_exceptions=False)
    return done.exit_code, " ".join(done.output.split())


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3000), (3000, 1), (7, 7)])
def test_a_reference_of_which_nothing_can_be_seen_is_named(
    tmp_path: Path, height: int, width: int
) -> None:
    picture = values.image(np.zeros((height, width, 3), np.uint8), "rgb8", START, "rgb")
    code, said = told(recorded(tmp_path, [serialised(picture)]))
    assert code == 1
    assert f"Error: rgb has {width}x{height} pixels: expected at least 8 on each side" in said


def test_messages_that_are_no_images_are_counted(tmp_path: Path) -> None:
    picture = values.image(np.zeros((24, 32, 3), np.uint8), "rgb8", 0, "rgb")
    unstamped = serialised(picture)
    options = recorded(tmp_path, [unstamped, unstamped])
    code, said = told(options)
    assert code == 1
    assert "has no images of rgb, the rig's first sensor (messages rejected: 2" in said
    (tmp_path / "mixed").mkdir()
    good = [data for _, data in images(3)]
    code, said = told(recorded(tmp_path / "mixed", [*good, unstamped]))
    assert code == 0
    assert "rgb: messages rejected: 1, the last one: stamp is 0 s 0 ns" in said


def test_single_events_are_told_as_what_they_are(tmp_path: Path) -> None:
    """As of the simulated rig, whose parameters name the packets."""
    packet = values.event_packet(Events.none(), (24, 32), 0, START, 0, "events")
    rig = {name: {"topic": f"/{name}/image", "modality": name} for name in ("rgb", "thermal")}
    rig["events"] = {"topic": "/packets", "modality": "event", "type": "event_packet"}
    params = tmp_path / "rig.yaml"
    content = {"/**": {"ros__parameters": {"rig": {"sensors": rig}}}}
    params.write_text(yaml.safe_dump(content, sort_keys=False))
    topics = {f"/{name}/image": (IMAGE, images(3)) for name in ("rgb", "thermal")}
    topics["/packets"] = (packet.type, [(START, serialised(packet))])
    bag = write_bag(tmp_path / "bag", topics)
    code, said = told([str(bag), "--params-file", str(params), "--out", str(tmp_path / "out")])
    assert code == 0
    assert "events: messages rejected: 1, the last one: single events are no picture" in said


def test_nobody_misses_the_topic_of_a_sensor_that_is_disabled(tmp_path: Path) -> None:
    rig = {name: {"topic": f"/{name}/image", "modality": name} for name in ("rgb", "thermal")}
    rig |= {"depth": {**rig["rgb"], "topic": "/absent"}, "lidar": {**rig["rgb"], "topic": "/off"}}
    content = {"rig": {"sensors": rig, "sensors.lidar.enabled": False}}
    params = tmp_path / "rig.yaml"
    params.write_text(yaml.safe_dump({"/**": {"ros__parameters": content}}, sort_keys=False))
    bag = write_bag(
        tmp_path / "bag", {f"/{name}/image": (IMAGE, images(3)) for name in ("rgb", "thermal")}
    )
    code, said = told([str(bag), "--params-file", str(params), "--out", str(tmp_path / "out")])
    assert code == 0
    assert "has no /absent: depth counts as missing" in said
    assert "/off" not in said


@pytest.mark.parametrize("link", ["shifts.csv", "thermal_over_rgb"])
def test_nothing_is_written_where_a_link_leads(tmp_path: Path, link: str) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.mkdir()
    target = elsewhere / "kept" if link.endswith(".csv") else elsewhere
    (elsewhere / "kept").write_text("not ours")
    (out / link).symlink_to(target)
    told(recorded(tmp_path, [data for _, data in images(3)]))
    assert [path.name for path in elsewhere.iterdir()] == ["kept"]
    assert (elsewhere / "kept").read_text() == "not ours"


def test_a_camera_info_that_contradicts_itself_is_named_with_its_topic(tmp_path: Path) -> None:
    registered = {"method": "cameras", "extrinsics": "0 0 0 0 0 0 1", "camera_info": "/t/info"}
    rig = {
        "rgb": {"topic": "/rgb/image", "modality": "rgb", "registration": {"camera_info": "/info"}},
        "thermal": {"topic": "/t/image", "modality": "thermal", "registration": registered},
    }
    params = tmp_path / "rig.yaml"
    params.write_text(yaml.safe_dump({"/**": {"ros__parameters": {"rig": {"sensors": rig}}}}))
    bad = (values.CAMERA_INFO, [(START, camera_info(START, float("nan")))])
    topics = {"/rgb/image": (IMAGE, images(2)), "/t/image": (IMAGE, images(2)), "/info": bad}
    bag = write_bag(tmp_path / "bag", topics)
    code, said = told([str(bag), "--params-file", str(params), "--out", str(tmp_path / "out")])
    assert code == 1
    assert f"Error: /info of {bag}: camera_matrix is [nan" in said
