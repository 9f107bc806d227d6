"""What is written down must open at a desk with its own parameters."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed")

from sensor_msgs.msg import Image

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.errors import AnymodalError
from anymodal_seg_ros.evaluation.arrivals import sensors_by_topic
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.nodes import record_folder as module
from anymodal_seg_ros.nodes.record_folder import Circumstances, Kept, write_folder


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
