from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag2 import Writer

from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns

STAMP, LOG = 1_700_000_000_123_456_789, 1_700_000_000_150_000_000
IMAGES = [
    Image(np.arange(60, dtype=np.uint8).reshape(4, 5, 3), "rgb8"),
    Image(np.arange(20, dtype=np.uint16).reshape(4, 5) * 3000, "mono16"),
    Image(np.linspace(0, 9, 20, dtype=np.float32).reshape(4, 5), "32FC1"),
    Image(np.arange(120, dtype=np.uint8).reshape(4, 10, 3)[:, ::2], "8UC3"),
    Image(np.arange(20, dtype=">u2").reshape(4, 5), "16UC1"),
]


def write(path: Path, images: list[Image] = IMAGES) -> Path:
    with ImageBagWriter(path) as bag:
        for index, image in enumerate(images):
            bag.write(f"/sensor{index}/image", image, STAMP + index, LOG + index, f"frame{index}")
    return path


def test_images_come_back_as_they_were(tmp_path: Path) -> None:
    with Bag(write(tmp_path / "bag")) as bag:
        assert set(bag.topics.values()) == {"sensor_msgs/msg/Image"}
        assert (bag.start_ns, bag.end_ns) == (LOG, LOG + len(IMAGES) - 1)
        messages = list(bag.messages(bag.topics))
        assert [m.log_ns for m in messages] == [LOG + i for i in range(len(IMAGES))]
        for index, (message, image) in enumerate(zip(messages, IMAGES, strict=True)):
            fields = bag.decode(message)
            assert stamp_ns(fields.header) == STAMP + index
            assert fields.header.frame_id == f"frame{index}"
            decoded = decode_image(fields)
            assert decoded.encoding == image.encoding
            np.testing.assert_array_equal(decoded.pixels, image.pixels)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_lies_in_its_folder_whatever_that_is_called(storage: str, tmp_path: Path) -> None:
    """To SQLite a path may be an address, which '#' and '?' end and in which '%' has a meaning."""
    path = tmp_path / "Fahrt #1 im Süden? 100%20"
    with ImageBagWriter(path, storage=storage) as bag:
        bag.write("/image", IMAGES[0], STAMP, LOG, "camera")
    assert list(tmp_path.iterdir()) == [path]
    with Bag(path) as opened:
        assert (opened.count(["/image"]), opened.notes) == (1, [])


@pytest.mark.ros
def test_rclpy_reads_the_bytes_and_its_own_are_read(tmp_path: Path) -> None:
    pytest.importorskip("rclpy")
    from rclpy.serialization import deserialize_message, serialize_message
    from sensor_msgs.msg import Image as RosImage

    with Bag(write(tmp_path / "bag")) as bag:
        for message, image in zip(bag.messages(bag.topics), IMAGES, strict=True):
            ros = deserialize_message(message.data, RosImage)
            np.testing.assert_array_equal(decode_image(ros).pixels, image.pixels)
            assert ros.header.stamp.nanosec == stamp_ns(ros.header) % 1_000_000_000
            back = bag.decode(replace(message, data=serialize_message(ros)))
            np.testing.assert_array_equal(decode_image(back).pixels, image.pixels)


def test_reads_only_the_topics_asked_for(tmp_path: Path) -> None:
    with Bag(write(tmp_path / "bag")) as bag:
        assert {m.topic for m in bag.messages(["/sensor1/image", "/nobody"])} == {"/sensor1/image"}
        assert list(bag.messages([])) == []
        assert bag.count(["/sensor1/image", "/sensor2/image"]) == 2


def test_an_existing_bag_is_only_replaced_on_demand(tmp_path: Path) -> None:
    path = write(tmp_path / "bag")
    with pytest.raises(BagError, match="exists already"):
        ImageBagWriter(path)
    with ImageBagWriter(path, replace=True) as bag:
        bag.write("/new", IMAGES[0], STAMP, LOG, "frame")
    with Bag(path) as opened:
        assert set(opened.topics) == {"/new"}


def test_what_is_no_bag_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BagError, match="no bag"):
        ImageBagWriter(tmp_path, replace=True)
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("other", ["notes.txt", "images"])
def test_what_lies_in_the_folder_of_a_bag_is_never_deleted_with_it(
    other: str, tmp_path: Path
) -> None:
    """Such as the images of which the bag was made, and is to be made again."""
    path = write(tmp_path / "bag")
    (path / "rig.yaml").write_text("as simulations write it")
    if other == "images":
        (path / other).mkdir()
    else:
        (path / other).write_text("written by hand")
    with pytest.raises(BagError, match=f"more than a bag, such as {other}"):
        ImageBagWriter(path, replace=True)
    assert (path / other).exists()


def test_a_failure_leaves_no_half_written_bag(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), ImageBagWriter(tmp_path / "bag") as bag:
        bag.write("/image", IMAGES[0], STAMP, LOG, "frame")
        raise ZeroDivisionError
    assert not (tmp_path / "bag").exists()


def test_no_bag_and_damaged_bags_are_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"no bag at .*nowhere"):
        Bag(tmp_path / "nowhere")
    (tmp_path / "metadata.yaml").write_text("nonsense: [")
    with pytest.raises(BagError, match="cannot read"):
        Bag(tmp_path)
    path = write(tmp_path / "bag")
    data = next(path.glob("*.mcap"))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(BagError, match=str(path)):
        Bag(path)


@pytest.mark.shared_data
def test_reads_sqlite3_and_ros1_bags(shared_data: Path) -> None:
    for name, topic in (
        ("events/evt3_walk_db3", "/event_camera/events"),
        ("events/evt3_walk_ros1.bag", "/event_camera/events"),
    ):
        with Bag(shared_data / name) as bag:
            assert bag.count([topic]) == 517
            times = [message.log_ns for message in bag.messages([topic])]
        assert len(times) == 517
        assert times == sorted(times)


def test_a_disk_that_is_full_at_the_very_end_leaves_no_half_written_bag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Writer) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "close", full)
    with (
        pytest.raises(BagError, match=r"cannot write the bag .*new: .*No space left"),
        ImageBagWriter(tmp_path / "new"),
    ):
        pass
    assert not (tmp_path / "new").exists()
