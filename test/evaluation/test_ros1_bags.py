"""Bags of ROS 1 as recorders leave them that did not finish, or as a disk damaged them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_typestore

from anymodal_seg_ros.evaluation.bag_storage import ros1_unfinished
from anymodal_seg_ros.evaluation.bags import Bag, BagError

MESSAGES = 40
CHUNKS = 10
PACKED = [None, Writer.CompressionFormat.BZ2, Writer.CompressionFormat.LZ4]


def write(path: Path, compression: Writer.CompressionFormat | None = None) -> Path:
    """Write words of a kilobyte each on two topics, about four in a chunk; one is latched."""
    types = get_typestore(Stores.ROS1_NOETIC)
    writer, noise = Writer(path), np.random.default_rng(0)
    writer.chunk_threshold = MESSAGES * 1000 // CHUNKS
    if compression is not None:
        writer.set_compression(compression)
    with writer as bag:
        kind = "std_msgs/msg/String"
        said = bag.add_connection("/said", kind, typestore=types)
        kept = bag.add_connection("kept", kind, typestore=types, latching=1)
        for number in range(MESSAGES):
            text = types.types[kind](f"{number} {noise.bytes(500).hex()}")
            topic = kept if number % 2 else said
            bag.write(topic, (number + 1) * 10**8, bytes(types.serialize_ros1(text, kind)))
    return path


def index_at(content: bytes) -> int:
    """Return where the index of a finished bag begins."""
    place = content.index(b"index_pos=") + len(b"index_pos=")
    return int(struct.unpack_from("<Q", content, place)[0])


def without_index(path: Path) -> bytearray:
    """Return a bag as its recorder would have left it that was killed."""
    content = bytearray(path.read_bytes())
    place = content.index(b"index_pos=") + len(b"index_pos=")
    end = index_at(content)
    content[place : place + 8] = bytes(8)
    return content[:end]


def numbers(path: Path) -> tuple[list[int], list[str]]:
    """Return the numbers that are said, in the order in which they are read, and the notes."""
    with Bag(path) as bag:
        found = [bag.decode(m).data.split()[0] for m in bag.messages(["/said", "/kept"])]
        return [int(text) for text in found], bag.notes


@pytest.mark.parametrize("compression", PACKED)
def test_a_bag_without_an_index_is_read_as_it_is(
    tmp_path: Path, compression: Writer.CompressionFormat | None
) -> None:
    whole = write(tmp_path / "whole.bag", compression)
    killed = tmp_path / "killed.bag.active"
    killed.write_bytes(without_index(whole))
    found, notes = numbers(killed)
    assert found == numbers(whole)[0] == list(range(MESSAGES))
    assert len(notes) == 1
    assert "rosbag reindex" in notes[0]
    with Bag(whole) as one, Bag(killed) as other:
        assert one.topics == other.topics
        assert (one.start_ns, one.end_ns) == (other.start_ns, other.end_ns)
        for topic in one.topics:
            assert one.count([topic]) == other.count([topic])
            assert one.latched(topic) == other.latched(topic)
        part = [m.log_ns for m in other.messages(["/said", "/kept"], 5 * 10**8, 9 * 10**8)]
        assert part == [n * 10**8 for n in range(5, 9)]


def test_a_folder_with_it_is_a_bag(tmp_path: Path) -> None:
    content = without_index(write(tmp_path / "whole.bag"))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "2026.bag.active").write_bytes(content)
    found, notes = numbers(tmp_path / "folder")
    assert found == list(range(MESSAGES))
    assert len(notes) == 1, "there never were metadata of ROS 2"


@pytest.mark.parametrize("compression", PACKED)
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_bag_that_was_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, compression: Writer.CompressionFormat | None, share: float
) -> None:
    path = write(tmp_path / "a.bag", compression)
    content = path.read_bytes()
    path.write_bytes(content[: round(index_at(content) * share)])
    found, _ = numbers(path)
    assert found == list(range(len(found))), "in order, and none left out"
    assert MESSAGES * share * 0.5 - MESSAGES / CHUNKS <= len(found) < MESSAGES


@pytest.mark.parametrize("indexed", [True, False])
def test_a_damaged_chunk_costs_its_messages(tmp_path: Path, indexed: bool) -> None:
    path = write(tmp_path / "a.bag", Writer.CompressionFormat.BZ2)
    content = bytearray(path.read_bytes() if indexed else without_index(path))
    chunks = [n for n in range(len(content)) if content.startswith(b"BZh", n)]
    middle = chunks[len(chunks) // 2]
    content[middle + 10 : middle + 60] = bytes(50)
    path.write_bytes(content)
    found, notes = numbers(path)
    assert found == sorted(set(found))
    assert MESSAGES - 2 * MESSAGES // CHUNKS <= len(found) < MESSAGES
    assert (found[0], found[-1]) == (0, MESSAGES - 1)
    assert any("damaged" in note for note in notes)
    assert numbers(path)[0] == found


def test_what_has_nothing_whole_is_refused_with_the_mend(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bag")
    path.write_bytes(path.read_bytes()[:4200])
    with pytest.raises(BagError, match="rosbag reindex"):
        Bag(path)


def test_nothing_is_unpacked_without_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(tmp_path / "whole.bag", Writer.CompressionFormat.BZ2)
    killed = tmp_path / "killed.bag"
    killed.write_bytes(without_index(whole))
    monkeypatch.setattr(ros1_unfinished, "most_of_chunks", lambda size: 10_000)
    with pytest.raises(BagError):
        Bag(killed)
