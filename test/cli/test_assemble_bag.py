from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixtures.image_folders import write_pairs

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.evaluation.assemble import ImageSensor, plan
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.image_files import load_image
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns

MS = 1_000_000
START = 1_700_000_000_000_000_000


def assemble(out: Path, *args: object) -> Result:
    arguments = ["assemble-bag", str(out), *map(str, args)]
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def contents(path: Path) -> dict[str, list[tuple[int, int, str, str]]]:
    """Stamp and log time in ms after the start, frame and encoding, by topic."""
    rows: dict[str, list[tuple[int, int, str, str]]] = {}
    with Bag(path) as bag:
        for message in bag.messages(bag.topics):
            fields = bag.decode(message)
            times = ((t - START) // MS for t in (stamp_ns(fields.header), message.log_ns))
            row = (*times, fields.header.frame_id, fields.encoding)
            rows.setdefault(message.topic, []).append(row)
    return rows


@pytest.fixture()
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write_pairs(tmp_path / "images", 10)


def test_options_reach_the_sensors_they_name(folders: tuple[Path, Path], tmp_path: Path) -> None:
    rgb, thermal = folders
    result = assemble(
        *(tmp_path / "bag", "--pair"),
        *("--sensor", f"rgb={rgb}", "--sensor", f"thermal={thermal}"),
        *("--rate", 20, "--rate", "thermal=10", "--latency", "thermal=30"),
        *("--topic", "rgb=camera/color", "--encoding", "thermal=16UC1"),
        *("--gap", "thermal=50%:100%", "--gap", "rgb=0.05:0.1"),
    )
    assert result.exit_code == 0, result.output
    assert contents(tmp_path / "bag") == {
        "/camera/color": [
            (t, t, "rgb_optical_frame", "rgb8") for t in range(0, 500, 50) if t != 50
        ],
        "/thermal/image": [(t, t + 30, "thermal_optical_frame", "16UC1") for t in (0, 100, 200)],
    }
    assert "/camera/color: 9 messages" in result.output
    with Bag(tmp_path / "bag") as bag:
        last = decode_image(bag.decode(list(bag.messages(["/thermal/image"]))[-1]))
    np.testing.assert_array_equal(last.pixels, load_image(thermal / "0004.png").pixels)


def test_an_existing_bag_needs_force(folders: tuple[Path, Path], tmp_path: Path) -> None:
    rgb, _ = folders
    arguments = ("--sensor", f"rgb={rgb}")
    assert assemble(tmp_path / "bag", *arguments).exit_code == 0
    result = assemble(tmp_path / "bag", *arguments, "--rate", 5)
    assert result.exit_code == 1
    assert "exists already" in result.output
    assert contents(tmp_path / "bag")["/rgb/image"][1][0] == 100, "left alone"
    assert assemble(tmp_path / "bag", *arguments, "--rate", 5, "--force").exit_code == 0
    assert contents(tmp_path / "bag")["/rgb/image"][1][0] == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sensor", "rgb"], "NAME=FOLDER"),
        (["--sensor", "depth=nowhere"], "no images in 'nowhere'"),
        (["--rate", "lidar=5"], "expected one of rgb, thermal"),
        (["--rate", "fast"], "'fast': expected a number from 0.01 to 1000"),
        (["--jitter", "rgb=-1"], "'rgb=-1': expected a number from 0"),
        (["--gap", "rgb=4:2"], "START before END"),
        (["--gap", "rgb=10%:2"], "START before END"),
        (["--gap", "0%:100%"], "no message"),
        (["--encoding", "rgb=jpeg"], "expected one of mono8"),
        (["--encoding", "thermal=rgb8"], "expected mono16, 16UC1"),
        (["--topic", "rgb=/x", "--topic", "thermal=/x"], "2 sensors have the topic /x"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    folders: tuple[Path, Path], tmp_path: Path, arguments: list[str], words: str
) -> None:
    rgb, thermal = folders
    sensors = ("--sensor", f"rgb={rgb}", "--sensor", f"thermal={thermal}")
    result = assemble(tmp_path / "bag", *sensors, *arguments)
    assert result.exit_code in (1, 2)
    assert words in result.output
    assert not (tmp_path / "bag").exists()


@pytest.mark.parametrize("topic", ["/x y", "/" + "x" * 1000, "/\x1b[31m", "/1a", "/ä", "/"])
def test_a_topic_that_ros_cannot_have_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, topic: str
) -> None:
    result = assemble(tmp_path / "bag", "--sensor", f"a={folders[0]}", "--topic", topic)
    assert result.exit_code == 2
    assert "is no name of a topic" in result.output and "\x1b" not in result.output
    assert not (tmp_path / "bag").exists()


def test_stamps_that_ros_cannot_tell_are_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    late = ["--start", "2e9", "--rate", "0.01"]
    many = tmp_path / "many"
    many.mkdir()
    picture = next(folders[0].iterdir())
    for index in range(3):
        (many / f"{index}{picture.suffix}").symlink_to(picture)
    assert assemble(tmp_path / "bag", "--sensor", f"a={many}", *late).exit_code == 0
    start_ns = (2**31 - 250) * 10**9  # of pictures 100 s apart, three are before the end of time
    three, four = (ImageSensor("/a", [picture] * count, "", "a", 0.01) for count in (3, 4))
    assert len(plan({"a": three}, start_ns=start_ns)) == 3
    with pytest.raises(BagError, match="January 2038"):
        plan({"a": four}, start_ns=start_ns)
