"""Bags that lie, of each kind of file: bounded work, few words, and what is good is read."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.bag_files import (
    IMAGE,
    START,
    channel,
    chunk,
    image_chunks,
    images,
    mcap,
    message,
    record,
    schema,
    write_bag,
)

from anymodal_seg_ros.evaluation.bag_storage import recording, sqlite, unpack
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.messages.rosbags import TYPES

zstd: Any = unpack.zstd
SENT = images(6)
TOPIC = "/rgb/image"
DESCRIBED = schema(1, IMAGE) + channel(1, 1, TOPIC)
STANDARD = TYPES.generate_msgdef(IMAGE, ros_version=2)[0]


def read(path: Path) -> tuple[list[bytes], list[str]]:
    """What is decoded of the images, and the notes."""
    with Bag(path) as bag:
        found = []
        for recorded in bag.messages([TOPIC]):
            bag.decode(recorded)
            found.append(bytes(recorded.data))
        return found, bag.notes


GOOD = [data for _, data in SENT]


def database_bag(path: Path) -> Path:
    return write_bag(path, {TOPIC: (IMAGE, SENT)}, "sqlite3") / f"{path.name}.db3"


@pytest.mark.parametrize(
    "damaged",
    [record(6, b"x"), record(4, b"x"), chunk(b"x" * 20, (START, START), "lz4")],
    ids=["chunk heads", "channels", "chunks"],
)
def test_a_thousand_damaged_places_are_told_in_a_few_lines(tmp_path: Path, damaged: bytes) -> None:
    path = mcap(tmp_path / "a.mcap", *image_chunks(SENT), damaged * 1000)
    found, notes = read(path)
    assert found == GOOD
    assert 1 < len(notes) < 6
    assert all(str(path) in note and "passed over" in note for note in notes)
    assert any(str(1000 - (len(notes) - 1)) in note for note in notes)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_more_topics_than_a_robot_has_are_refused(
    tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_TOPICS", 20)
    topics: Any = {f"/t{i}": (IMAGE, [(START, b"x")]) for i in range(20)}
    with Bag(write_bag(tmp_path / "few", topics, storage)) as bag:
        assert len(bag.topics) == 20
    topics["/one_more"] = (IMAGE, [(START, b"x")])
    with pytest.raises(BagError, match="more than 20 topics") as told:
        Bag(write_bag(tmp_path / "many", topics, storage))
    assert "many" in str(told.value)


def test_chunks_that_unpack_for_hours_are_refused_before_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = DESCRIBED + message(1, *SENT[0]) + record(7, bytes(1 << 20))
    packed = chunk(content, (SENT[0][0],) * 2, "zstd", zstd.compress(content))
    monkeypatch.setattr(unpack, "MAX_TOTAL", 5 << 20)
    monkeypatch.setattr(unpack, "MAX_TOTAL_RATIO", 10)
    assert read(mcap(tmp_path / "four.mcap", *[packed] * 4))[0] == [SENT[0][1]] * 4
    with pytest.raises(BagError, match=r"six\.mcap is said to unpack to more than"):
        Bag(mcap(tmp_path / "six.mcap", *[packed] * 6))


def test_profiles_are_looked_at_only_when_somebody_asks_for_them(tmp_path: Path) -> None:
    profiles = "- {durability: 1, depth: 1}\n" * 10_000
    many = b"".join(channel(2, 1, "/x", qos=profiles) for _ in range(20))
    with Bag(mcap(tmp_path / "a.mcap", DESCRIBED, many, message(1, *SENT[0]))) as bag:
        assert set(bag.topics) == {"/rgb/image", "/x"}
        assert bag.latched("/x") == 0, "a hint that is too long to be one"


SEPARATOR = "\n" + "=" * 80 + "\n"
DATA = "uint8[] data"


def with_parts(more: str, *parts: str) -> str:
    return STANDARD.replace(DATA, f"{DATA}\n{more}") + "".join(SEPARATOR + p for p in parts)


@pytest.mark.parametrize(
    "definition",
    [
        STANDARD.replace("uint32 height", "string height"),
        STANDARD.replace("uint32 height", "float64 height"),
        STANDARD.replace(DATA, "string data"),
        STANDARD.replace(DATA, "float64[] data"),
        STANDARD.replace(DATA, "std_msgs/Header[] data"),
        STANDARD.replace("std_msgs/Header header", "uint32 header"),
        STANDARD.replace("string frame_id", "uint8[] frame_id"),
        "sensor_msgs/Image image\n",
        with_parts("uint8[4000000000] x"),
        with_parts("a/B[4000000000] x", "MSG: a/B\nuint8 a\n"),
        with_parts("a/B[1000] x", "MSG: a/B\na/C[1000] x\n", "MSG: a/C\nuint8 a\n"),
        with_parts(
            "a/T0 x",
            *(f"MSG: a/T{i}\na/T{i + 1} x\na/T{i + 1} y\n" for i in range(60)),
            "MSG: a/T60\nuint8 b\n",
        ),
        STANDARD + "\n".join(f"uint8 f{i}" for i in range(60_000)),
    ],
    ids=str,
)
def test_definitions_that_are_no_message_are_replaced_by_the_standard_one(
    tmp_path: Path, definition: str
) -> None:
    described = schema(1, IMAGE, definition=definition) + channel(1, 1, TOPIC)
    sent = [message(1, log, data) for log, data in SENT]
    assert read(mcap(tmp_path / "a.mcap", described, *sent))[0] == GOOD


def test_a_newer_standard_with_more_fields_is_read_as_it_is(tmp_path: Path) -> None:
    definition = with_parts("a/B[2] more", "MSG: a/B\nuint16[3] a\n")
    described = schema(1, IMAGE, definition=definition) + channel(1, 1, TOPIC)
    data = SENT[0][1] + bytes(range(12))
    with Bag(mcap(tmp_path / "a.mcap", described, message(1, START, data))) as bag:
        (recorded,) = bag.messages([TOPIC])
        assert list(bag.decode(recorded).more[1].a) == [0x0706, 0x0908, 0x0B0A]


def test_messages_that_are_too_large_are_damaged_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anymodal_seg_ros.evaluation.bag_storage.mcap.MAX_UNPACKED", 10_000)
    monkeypatch.setattr(sqlite, "_DATA", sqlite._DATA.replace(str(unpack.MAX_UNPACKED), "10000"))
    loose = [message(1, log, data) for log, data in SENT]
    huge = message(1, START, bytes(20_000))
    database = database_bag(tmp_path / "bag")
    with sqlite3.connect(database) as opened:
        row = (1, START, 20_000)
        opened.execute(
            "INSERT INTO messages(topic_id, timestamp, data) VALUES(?, ?, zeroblob(?))", row
        )
    opened.close()
    for path in (mcap(tmp_path / "a.mcap", DESCRIBED, huge, *loose), database):
        with Bag(path) as bag:
            first, *others = bag.messages([TOPIC])
            assert [bytes(one.data) for one in others] == GOOD
            with pytest.raises(BagError, match="data is no sensor_msgs/msg/Image"):
                bag.decode(first)


def test_a_database_whose_topic_numbers_are_text_is_read_without_them(tmp_path: Path) -> None:
    database = database_bag(tmp_path / "bag")
    with sqlite3.connect(database) as opened:
        rows = opened.execute("SELECT * FROM messages").fetchall()
        opened.execute("DROP TABLE messages")
        opened.execute(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id TEXT, timestamp INTEGER, data)"
        )
        opened.executemany("INSERT INTO messages VALUES(?, ?, ?, ?)", rows)
    opened.close()
    assert read(database)[0] == []


@pytest.mark.parametrize("kind", ["folder", "pipe", "link", "nonsense"])
def test_the_log_of_a_database_may_be_anything_and_nothing_is_left_beside_it(
    tmp_path: Path, kind: str
) -> None:
    database = database_bag(tmp_path / "bag")
    log = database.with_name(database.name + "-wal")
    if kind == "folder":
        log.mkdir()
    elif kind == "pipe":
        os.mkfifo(log)
    elif kind == "link":
        log.symlink_to("/etc/hostname")
    else:
        log.write_bytes(b"x" * 5000)
    before = sorted(database.parent.iterdir())
    assert read(database)[0] == GOOD
    assert sorted(database.parent.iterdir()) == before


def test_reading_a_killed_recorders_log_leaves_nothing_beside_it(tmp_path: Path) -> None:
    database = database_bag(tmp_path / "bag")
    with sqlite3.connect(database) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("UPDATE messages SET data = ? WHERE id = 1", (GOOD[1],))
    killed = tmp_path / "killed"
    killed.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{database}{suffix}", killed / f"bag.db3{suffix}")
    writer.close()
    before = sorted(killed.iterdir())
    assert read(killed / "bag.db3")[0] == [GOOD[1], *GOOD[1:]]
    assert sorted(killed.iterdir()) == before


def test_what_is_packed_several_times_over_is_refused(tmp_path: Path) -> None:
    content = mcap(tmp_path / "a.mcap", *image_chunks(SENT)).read_bytes()
    once, twice = tmp_path / "once.mcap.zstd", tmp_path / "twice.mcap.zstd"
    once.write_bytes(zstd.compress(content))
    twice.write_bytes(zstd.compress(once.read_bytes()))
    assert read(once)[0] == GOOD
    with pytest.raises(BagError, match=r"twice\.mcap\.zstd is packed several times over"):
        Bag(twice)


def test_chunks_of_ros_1_that_are_unpacked_again_and_again_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rosbags.rosbag1 import Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS1_NOETIC)
    text = types.types["std_msgs/msg/String"](data="x" * 10_000)
    data = types.serialize_ros1(text, "std_msgs/msg/String")
    writer = Writer(tmp_path / "a.bag")
    writer.set_compression(Writer.CompressionFormat.BZ2)
    with writer:
        connection = writer.add_connection("/a", "std_msgs/msg/String", typestore=types)
        for index in range(200):
            writer.write(connection, START + index, data)
    with Bag(tmp_path / "a.bag") as bag:
        assert len(list(bag.messages(["/a"]))) == 200
        assert len(list(bag.messages(["/a"]))) == 200
    monkeypatch.setattr(unpack, "MAX_TOTAL", 1 << 20)
    monkeypatch.setattr(unpack, "MAX_TOTAL_RATIO", 1)
    with Bag(tmp_path / "a.bag") as bag, pytest.raises(BagError, match="unpack to more than"):
        list(bag.messages(["/a"]))


@pytest.mark.parametrize(("count", "readable"), [(3, True), (9_999, True), (10_001, False)])
def test_a_cloud_of_more_fields_than_points_have_is_damaged(
    tmp_path: Path, count: int, readable: bool
) -> None:
    types = TYPES.types
    kind = "sensor_msgs/msg/PointCloud2"
    stamp = types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    field = types["sensor_msgs/msg/PointField"](name="x", offset=0, datatype=7, count=1)
    cloud = types[kind](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id="lidar"),
        height=1,
        width=0,
        fields=[field] * count,
        is_bigendian=False,
        point_step=4,
        row_step=0,
        data=np.zeros(0, np.uint8),
        is_dense=True,
    )
    data = bytes(TYPES.serialize_cdr(cloud, kind))
    with Bag(write_bag(tmp_path / "bag", {"/points": (kind, [(START, data)])})) as bag:
        (recorded,) = bag.messages(["/points"])
        if readable:
            assert len(bag.decode(recorded).fields) == count
        else:
            with pytest.raises(BagError, match=r"data is no .*a list of 10001 messages"):
                bag.decode(recorded)
