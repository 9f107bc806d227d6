"""The seconds before a sensor failed: what is kept, when it is written, and what is told."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")

from rosbags.rosbag2 import Reader
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from anymodal_seg_ros.config import BlackBoxConfig
from anymodal_seg_ros.frames import SensorState, SensorStatus
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.nodes import stop_limits
from anymodal_seg_ros.nodes.recording.black_box import BlackBox
from anymodal_seg_ros.nodes.recording.record_folder import MOST_SERIES, Circumstances, Kept
from anymodal_seg_ros.nodes.recording.recordings import Recordings

S = 1_000_000_000


class Rig:
    """A black box with a clock of its own, and cameras that send images of 1000 bytes."""

    def __init__(self, folder: Path, **limits: float) -> None:
        self.folder, self.now_ns = folder, 100 * S
        self.told: list[str] = []
        scene = Circumstances({"rig": {}}, [], load_model().manifest, None)
        self.box = BlackBox(
            BlackBoxConfig(**{"before_s": 2.0, **limits}),  # type: ignore[arg-type]
            folder,
            lambda: scene,
            self.told.append,
            lambda: self.now_ns,
        )

    def send(self, count: int, topic: str = "/rgb") -> None:
        for _ in range(count):
            self.now_ns += S // 10
            image = Image(height=10, width=100, encoding="mono8", step=100)
            image.data = array("B", bytes(1000))
            self.box.note(Kept(topic, "sensor_msgs/msg/Image", self.now_ns, image))

    def look(self, state: SensorState, received: int = 5, **entered: int) -> None:
        self.box.look([SensorStatus("rgb", state, 0, received, entered=entered)])

    def wait_told(self, count: int) -> None:
        end = time.monotonic() + 60.0
        while len(self.told) < count:
            assert time.monotonic() < end, self.told
            time.sleep(0.02)

    @property
    def recordings(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture()
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "box")
    yield rig
    rig.box.stop()


def test_what_is_kept_is_bounded_by_age_number_and_bytes(tmp_path: Path) -> None:
    limits: list[tuple[dict[str, float], int]] = [
        ({}, 21),  # 2 s at 10 Hz, both ends
        ({"max_messages": 12}, 12),
        ({"before_s": 600.0, "max_mb": 1}, 492),  # of 2029 bytes
    ]
    for given, expected in limits:
        rig = Rig(tmp_path, **given)
        rig.send(600)
        messages, size = rig.box.size
        assert messages == expected
        assert size == expected * 2029 <= 1_000_000
        rig.box.stop()
        assert rig.box.size == (0, 0)


def test_a_folder_whose_name_is_no_text_is_told_as_well_as_it_can_be(tmp_path: Path) -> None:
    rig = Rig(tmp_path / os.fsdecode(b"j\xf6rg"))
    rig.send(5)
    rig.look(SensorState.OK)
    rig.look(SensorState.STALE, STALE=1)
    rig.wait_told(1)
    rig.box.stop()
    assert "/j?rg/" in rig.told[0] and "s before are in" in rig.told[0]
    assert len(rig.recordings) == 1


class Places(CameraInfo):
    """A message that tells the places of frames, where tf2_msgs is not installed."""

    def __init__(self, *frames: str) -> None:
        super().__init__()
        self.frames = frames

    @property
    def transforms(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(child_frame_id=frame) for frame in self.frames]


class LargePlaces(Places):
    """Of which rclpy would say that its transforms are of any number."""

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        return {"transforms": "sequence<geometry_msgs/TransformStamped>"}


def test_everybody_who_tells_places_is_kept_and_the_newest_of_each(rig: Rig) -> None:
    kind = "sensor_msgs/msg/CameraInfo"
    for frames in (("camera", "lidar"), ("imu",), ("lidar", "camera"), ("thermal",)):
        kept = Kept("/tf_static", kind, rig.now_ns, Places(*frames))
        rig.box.note(kept, latched=True)
    for number in range(400):  # a sender that makes up frames
        rig.box.note(Kept("/tf_static", kind, 0, Places(f"frame {number}")), latched=True)
        if number == 50:
            rig.send(10)
            rig.look(SensorState.STALE, OK=1, STALE=1)
    assert len(rig.box._latched) == MOST_SERIES
    rig.box.stop()
    (folder,) = rig.recordings
    with Reader(folder / "bag") as bag:
        counts = {connection.topic: connection.msgcount for connection in bag.connections}
    assert counts == {"/rgb": 10, "/tf_static": 3 + 51}


def test_what_strangers_place_takes_little_room(rig: Rig) -> None:
    """Each transform is some objects of Python, and each name may be as long as a message."""
    kind = "sensor_msgs/msg/CameraInfo"
    for number in range(100):
        frames = [f"{number} {index}" + 10_000 * "x" for index in range(5000)]
        rig.box.note(Kept("/tf_static", kind, 0, LargePlaces(*frames)), latched=True)
    assert len(rig.box._latched) < 5
    key = next(iter(rig.box._latched))
    assert len(key) <= 1001 and max(map(len, key)) <= 256


def test_what_a_message_takes_is_counted_whatever_it_is_in() -> None:
    def size(message: Any) -> int:
        return Kept("/a", "", 0, message).size

    header = Header(frame_id="x" * 50_000)
    assert size(CameraInfo(d=[0.0] * 10_000)) > 80_000
    assert size(CameraInfo(header=header)) > 50_000
    assert size(CameraInfo(distortion_model="x" * 50_000)) > 50_000
    assert size(PointCloud2(fields=[PointField()] * 1000)) > 1_000_000
    assert size(PointCloud2(fields=[PointField(name="x" * 50_000)] * 2)) > 100_000
    assert size(Image(data=array("B", bytes(5000)))) > 5000
    assert size(b"x" * 5000) > 5000


def test_what_is_no_recording_is_left_alone(tmp_path: Path) -> None:
    """But for what a process that was killed has left of one."""
    foreign, left = ["0000", "notes.txt", ".hidden"], ".2026-12-01T10-00-00.000_rgb_STALE"
    for name in (*foreign, left):
        (tmp_path / name).mkdir()
    (tmp_path / "2026-01-01T10-00-00.000_rgb_STALE").symlink_to(tmp_path / "notes.txt")
    rig = Rig(tmp_path, keep=1)
    rig.send(5)
    rig.look(SensorState.STALE, OK=1, STALE=1)
    rig.box.stop()
    names = {path.name for path in tmp_path.iterdir()}
    assert set(foreign) < names and left not in names
    assert sum(name.endswith("rgb_STALE") for name in names) == 2, "the link, and a recording"


def test_a_sensor_that_goes_down_is_recorded_with_its_calibration(rig: Rig) -> None:
    info = Kept("/rgb/camera_info", "sensor_msgs/msg/CameraInfo", rig.now_ns, CameraInfo(width=7))
    rig.box.note(info, latched=True)
    rig.send(100)
    rig.look(SensorState.OK, OK=1)
    assert rig.box.size[0] == 21, "the calibration has long been let go"
    rig.look(SensorState.STALE, OK=1, STALE=1)
    rig.box.stop()
    (folder,) = rig.recordings
    assert folder.name.endswith("_rgb_STALE")
    assert {p.name for p in folder.iterdir()} == {
        "bag",
        "params.yaml",
        "states.json",
        "versions.json",
    }
    with Reader(folder / "bag") as bag:
        counts = {connection.topic: connection.msgcount for connection in bag.connections}
        assert (bag.end_time - bag.start_time) / S == pytest.approx(2.0, abs=0.01)
    assert counts == {"/rgb": 21, "/rgb/camera_info": 1}
    assert list((folder / "bag").glob("*.mcap"))
    assert "rgb became STALE" in rig.told[-1]
    assert str(folder) in rig.told[-1]


def test_a_disk_that_hangs_is_told_and_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def write(*_: object) -> Path:
        hangs.set()
        goes_on.wait(60.0)
        return rig.folder

    monkeypatch.setattr(Recordings, "write", write)
    monkeypatch.setattr(stop_limits, "RECORDING_S", 0.2)
    rig.send(5)
    rig.look(SensorState.STALE, OK=1, STALE=1)
    assert hangs.wait(60.0)
    rig.box.stop()
    assert len(rig.told) == 1 and "within 0.2 s" in rig.told[0] and "disk" in rig.told[0]
    goes_on.set()
    rig.wait_told(2)
    assert "rgb became STALE" in rig.told[1], "a disk that answers later has it after all"
    rig.box.stop()
    assert len(rig.told) == 2


def test_one_outage_is_one_recording_and_one_between_two_looks_counts(rig: Rig) -> None:
    rig.send(30)
    rig.look(SensorState.STALE, STALE=1)
    rig.wait_told(1)
    rig.send(40)
    rig.look(SensorState.FAILED, STALE=1, FAILED=1)  # the same outage, seconds later
    rig.look(SensorState.OK, STALE=1, FAILED=1, OK=1)
    rig.send(40)
    rig.look(SensorState.OK, STALE=1, FAILED=1, OK=2, INVALID=1)  # down and up again
    rig.box.stop()
    assert [path.name.split("_", 1)[1] for path in rig.recordings] == ["rgb_STALE", "rgb_INVALID"]


def test_nothing_is_recorded_of_a_sensor_that_never_sent_and_of_seconds_twice(rig: Rig) -> None:
    rig.send(30)
    rig.look(SensorState.FAILED, received=0, FAILED=1)
    assert not rig.told
    rig.look(SensorState.OK, FAILED=1, OK=1)
    rig.look(SensorState.FROZEN, FAILED=1, OK=1, FROZEN=1)
    rig.wait_told(1)
    rig.look(SensorState.OK, FAILED=1, OK=2, FROZEN=1)
    rig.send(10)
    rig.look(SensorState.FROZEN, FAILED=1, OK=2, FROZEN=2)
    rig.box.stop()
    assert len(rig.recordings) == 1
    assert any("the last recording is 1.0 s old" in line for line in rig.told)


@pytest.mark.parametrize("back_s", [0.3, 50.0])
def test_a_clock_that_is_set_back_does_not_silence_the_box(rig: Rig, back_s: float) -> None:
    rig.send(30)
    rig.look(SensorState.STALE, STALE=1)
    rig.wait_told(1)
    rig.look(SensorState.OK, STALE=1, OK=1)
    rig.now_ns -= round(back_s * S)
    rig.send(5)
    assert rig.box.size[0] == 22  # 2 s at 10 Hz, and two at the time at which the clock was set
    rig.now_ns += 3 * S  # the last recording is long ago, by either clock
    rig.look(SensorState.STALE, STALE=2, OK=1)
    rig.wait_told(2)
    assert "rgb became STALE: the 2.0 s before are in" in rig.told[1]
    with Reader(rig.recordings[-1] / "bag") as bag:
        times = [time_ns for _, time_ns, _ in bag.messages()]
    assert times == sorted(times) and times[-1] - times[0] == 2 * S


def test_what_fails_at_the_same_time_of_each_loop_is_recorded_in_each(rig: Rig) -> None:
    for loop in range(3):
        rig.now_ns = 100 * S
        rig.send(30)
        rig.look(SensorState.STALE, STALE=loop + 1, OK=loop)
        rig.wait_told(loop + 1)
        rig.send(10)
        rig.look(SensorState.OK, STALE=loop + 1, OK=loop + 1)
    rig.box.stop()
    assert len(rig.recordings) == 3, rig.told


def test_the_oldest_recording_goes(tmp_path: Path) -> None:
    rig = Rig(tmp_path, keep=2)
    for falls in range(1, 5):
        rig.look(SensorState.OK, STALE=falls - 1)
        rig.send(30)
        rig.look(SensorState.STALE, STALE=falls)
        rig.wait_told(falls)
    rig.box.stop()
    kept = {line.rsplit(" ", 1)[1] for line in rig.told[-2:]}
    assert {str(path) for path in rig.recordings} == kept


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rig = Rig(tmp_path / "file" / "box")
    rig.send(3)
    rig.look(SensorState.CLOCK, CLOCK=1)
    rig.box.stop()
    assert "nothing is recorded" in rig.told[0]
