"""What is written down must open at a desk with its own parameters."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any, cast

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import Image

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.arrivals import sensors_by_topic
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.nodes.recording import record_folder as module
from anymodal_seg_ros.nodes.recording import snapshot
from anymodal_seg_ros.nodes.recording.record_folder import Circumstances, Kept, home, write_folder
from anymodal_seg_ros.nodes.recording.recordings import Recordings


@pytest.mark.parametrize("topic", ["rgb/image", "/rgb/image", "~/image", "{node}/image"])
def test_topics_of_the_bag_are_those_that_its_parameters_name(tmp_path: Path, topic: str) -> None:
    sensors = {"rgb": {"topic": topic, "modality": "rgb"}}
    nobody: Any = None
    circumstances = Circumstances({"rig": {"sensors": sensors}}, (), nobody, None)
    kept = [Kept(topic, "sensor_msgs/msg/Image", time.time_ns(), Image())]
    folder = write_folder(tmp_path, "", kept, circumstances)
    named = sensors_by_topic(load_config(folder / "params.yaml").rig)
    with Bag(folder / "bag") as bag:
        assert set(bag.topics) == set(named)


def test_snapshots_are_as_many_as_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask for one more; what somebody else put there stays."""
    monkeypatch.setattr(snapshot, "MOST_FOLDERS", 3)
    place, nobody = tmp_path / "snapshots", cast(Any, None)
    (place / "mine").mkdir(parents=True)
    (place / ".2026-12-01T10-00-00.000").mkdir()  # of a process that was killed
    kept = snapshot.Snapshots(place)
    kept.note(Kept("rgb/image", "sensor_msgs/msg/Image", time.time_ns(), Image()))
    written = [kept.saving(Circumstances({}, (), nobody, None))() for _ in range(5)]
    assert {str(path) for path in place.iterdir()} == {str(place / "mine"), *written[2:]}


def test_a_snapshot_holds_nothing_of_before_its_clock_went_back(tmp_path: Path) -> None:
    kept, nobody = snapshot.Snapshots(tmp_path), cast(Any, None)
    times = [500, 600, 700, 100, 200]  # a recording that begins again
    for number, seconds in enumerate(times):
        image = Image(height=number + 1)
        kept.note(Kept("rgb/image", "sensor_msgs/msg/Image", seconds * 10**9, image))
    folder = kept.saving(Circumstances({}, (), nobody, None))()
    with Bag(Path(folder) / "bag") as bag:
        found = [(m.log_ns // 10**9, bag.decode(m).height) for m in bag.messages(bag.topics)]
    assert found == [(100, 4), (200, 5)]


def test_what_was_just_written_stays_although_the_clock_says_it_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A computer without a battery begins in the year of its making each time."""
    others = ["2026-12-01T10-00-00.000", "2026-12-02T10-00-00.000", "2026-12-03T10-00-00.000"]
    for name in others:
        (tmp_path / name).mkdir()
    times = iter(["2020-01-01T00-01-00.000", "2027-01-01T00-00-00.000", "2020-01-01T00-02-00.000"])
    monkeypatch.setattr(module, "_now", lambda: next(times))
    recordings, nobody = Recordings(tmp_path, 2), cast(Any, None)
    kept = [Kept("rgb/image", "sensor_msgs/msg/Image", time.time_ns(), Image())]

    def write() -> str:
        return recordings.write("", kept, Circumstances({}, (), nobody, None)).name

    def there() -> set[str]:
        return {path.name for path in tmp_path.iterdir()}

    first = write()
    assert there() == {others[-1], first}
    second = write()
    assert there() == {first, second}
    third = write()
    assert there() == {second, third}


def test_where_nobody_has_a_home_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: object) -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("ROS_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    recordings = Recordings(home("snapshots", "/robot/segmentation_node"), 3)
    with pytest.raises(AnymodalError, match="there is no home: set ROS_HOME"):
        recordings.write("", [], Circumstances({}, (), cast(Any, None), None))


def test_a_disk_that_is_full_is_told_and_not_filled_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, _: Any) -> list[str]:
        path.mkdir()
        (path / "bag.mcap").write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "_write_bag", write)
    nobody: Any = None
    with pytest.raises(AnymodalError, match=r"cannot be written to: .*No space left"):
        write_folder(tmp_path, "", [], Circumstances({}, (), nobody, None))
    assert not list(tmp_path.iterdir()), "hidden ones are room, too"


def test_a_folder_has_its_name_only_when_the_disk_has_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the files of one that was written just before a power failure would be empty."""
    on_disk: set[str] = set()
    sync, rename = os.fsync, Path.rename

    def synced(descriptor: int) -> None:
        sync(descriptor)
        on_disk.add(os.readlink(f"/proc/self/fd/{descriptor}"))

    def renamed(self: Path, target: Path) -> Path:
        missing = [str(p) for p in (self, *self.rglob("*")) if str(p.resolve()) not in on_disk]
        assert missing == []
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    nobody: Any = None
    kept = [Kept("rgb/image", "sensor_msgs/msg/Image", time.time_ns(), Image())]
    written = write_folder(tmp_path, "", kept, Circumstances({}, (), nobody, None))
    assert {path.name for path in written.iterdir()} >= {"bag", "params.yaml", "states.json"}
    assert len(on_disk) >= 7, "files and folders, down to those of the bag"
