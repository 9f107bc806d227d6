"""Whatever a bag went through: what is whole of it is read, in order of time and within bounds."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lz4.frame  # type: ignore[import-untyped]
import pytest
from fixtures.bag_files import (
    IMAGE,
    START,
    channel,
    chunk,
    edit_metadata,
    image_chunks,
    images,
    mcap,
    message,
    record,
    schema,
    write_bag,
)
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from anymodal_seg_ros.evaluation.bag_storage import unpack
from anymodal_seg_ros.evaluation.bag_storage.recording import latched_depth
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.messages.definitions import DEFINITIONS

zstd: Any = unpack.zstd
STORAGES = ("mcap", "sqlite3")
SENT = images(20)


def read(path: Path, topic: str = "/rgb/image") -> tuple[list[tuple[int, bytes]], list[str]]:
    """Everything that is decoded of a topic, and the notes."""
    with Bag(path) as bag:
        found = []
        for recorded in bag.messages([topic]):
            bag.decode(recorded)
            found.append((recorded.log_ns, bytes(recorded.data)))
        return found, bag.notes


def image_bag(path: Path, storage: str = "mcap") -> Path:
    return write_bag(path, {"/rgb/image": (IMAGE, SENT)}, storage)


@pytest.mark.parametrize("storage", STORAGES)
def test_metadata_are_not_needed(tmp_path: Path, storage: str) -> None:
    bag = image_bag(tmp_path / "bag", storage)
    assert read(bag / "metadata.yaml") == (SENT, [])
    for change in (
        lambda info: info.update(storage_identifier="", version=42),
        lambda info: info.update(topics_with_message_count=None, duration="?"),
        lambda info: [
            t["topic_metadata"].update(offered_qos_profiles="[{") for t in info.get("topics") or ()
        ],
    ):
        edit_metadata(bag, change)
        assert read(bag) == (SENT, [])
    edit_metadata(bag, lambda info: info.update(relative_file_paths=["renamed.mcap"]))
    assert (read(bag)[0], "none of the files" in read(bag)[1][0]) == (SENT, True)
    for text in ("a: [", "5", "rosbag2_bagfile_information: 7", "x" * 5_000_000, ""):
        (bag / "metadata.yaml").write_text(text)
        found, (note,) = read(bag)
        assert found == SENT
        assert "metadata" in note and "reindex" in note
    (bag / "metadata.yaml").unlink()
    found, (note,) = read(bag)
    assert found == SENT
    assert "metadata.yaml is missing" in note


def test_files_are_merged_by_time_whatever_their_order(tmp_path: Path) -> None:
    one = write_bag(tmp_path / "one", {"/rgb/image": (IMAGE, SENT[::2])})
    other = write_bag(tmp_path / "other", {"/rgb/image": (IMAGE, SENT[1::2])}, "sqlite3")
    shutil.copy(other / "other.db3", one)
    paths = ["other.db3", "one.mcap", "one.mcap"]
    edit_metadata(one, lambda info: info.update(relative_file_paths=paths))
    with Bag(one) as bag:
        assert [m.log_ns for m in bag.messages(bag.topics)] == [log for log, _ in SENT]
        assert bag.count(["/rgb/image"]) == 20
        span = [m.log_ns for m in bag.messages(bag.topics, SENT[3][0], SENT[7][0])]
        assert span == [log for log, _ in SENT[3:7]]
    (one / "other.db3").unlink()
    found, (note,) = read(one)
    assert found == SENT[::2]
    assert "other.db3, which metadata.yaml names, is missing" in note
    (one / "other.db3").write_bytes(b"")
    assert "other.db3 is empty" in read(one)[1][0]


def test_an_mcap_file_needs_no_profile_no_index_and_no_order(tmp_path: Path) -> None:
    chunks = image_chunks(SENT)
    for profile in ("ros2", "", "px4"):
        assert read(mcap(tmp_path / "a.mcap", *chunks, profile=profile)) == (SENT, [])
    first, *others = chunks
    assert read(mcap(tmp_path / "b.mcap", first, *reversed(others))) == (SENT, [])
    loose = [message(1, log, data) for log, data in reversed(SENT)]
    described = (schema(1, IMAGE), channel(1, 1, "/rgb/image"))
    assert read(mcap(tmp_path / "c.mcap", *described, *loose)) == (SENT, [])
    packed = [(log, zstd.compress(data)) for log, data in SENT]
    loose = [message(1, log, data) for log, data in packed]
    assert read(mcap(tmp_path / "d.mcap", *described, *loose)) == (SENT, [])


def reference_writer(path: Path, profile: str = "ros2", **options: Any) -> Path:
    """Write the images beside what else a robot records, by the writer of the format's authors."""
    definition = get_typestore(Stores.ROS2_JAZZY).generate_msgdef(IMAGE, ros_version=2)[0]
    others = [
        # As recorders of Jazzy describe the events of a service: its definition, not a message's.
        (
            "my_pkg/srv/Add_Event",
            "ros2msg",
            f"{'=' * 80}\nSRV: my_pkg/srv/Add\nint64 a\n---\n",
            "cdr",
        ),
        ("foxglove.Log", "jsonschema", '{"type": "object"}', "json"),
        ("foxglove.Log", "protobuf", "no descriptor", "protobuf"),
    ]
    with path.open("wb") as file:
        writer = McapWriter(file, **{"chunk_size": 4096} | options)
        writer.start(profile=profile, library="test")
        image = writer.register_schema(IMAGE, "ros2msg", definition.encode())
        channels = [writer.register_channel("/rgb/image", "cdr", image)]
        for name, encoding, text, kind in others:
            described = writer.register_schema(name, encoding, text.encode())
            channels.append(writer.register_channel(f"/{kind}/{name}", kind, described))
        channels.append(writer.register_channel("/without/schema", "json", 0))
        for log, data in SENT:
            writer.add_message(channels[0], log, data, log)
            for other in channels[1:]:
                writer.add_message(other, log, b"{}", log)
        writer.add_attachment(START, START, "notes.txt", "text/plain", b"a drive")
        writer.add_metadata("robot", {"name": "r2"})
        writer.finish()
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"compression": CompressionType.NONE},
        {"compression": CompressionType.LZ4},
        {"compression": CompressionType.ZSTD, "chunk_size": 100},
        {"use_chunking": False},
        {"use_statistics": False, "use_summary_offsets": False, "enable_crcs": False},
        {"profile": ""},
    ],
    ids=str,
)
def test_files_of_the_formats_own_writer_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    path = reference_writer(tmp_path / "a.mcap", **options)
    assert read(path) == (SENT, [])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 7 // 10])
    found, (note,) = read(path)
    assert "cut off" in note
    assert found == SENT[: len(found)] and len(found) >= len(SENT) // 2


def test_overlapping_chunks_come_in_order(tmp_path: Path) -> None:
    described = schema(1, IMAGE) + channel(1, 1, "/rgb/image")
    parts = [SENT[0::2], SENT[1::2]]
    chunks = [
        chunk(
            described + b"".join(message(1, log, data) for log, data in part),
            (part[0][0], part[-1][0]),
        )
        for part in parts
    ]
    assert read(mcap(tmp_path / "a.mcap", *chunks)) == (SENT, [])


def test_a_chunk_without_messages_says_nothing_of_the_times(tmp_path: Path) -> None:
    """Writers note 0, or the largest number there is, for the times of one that only describes."""
    first, last = SENT[0][0], SENT[-1][0]
    described = schema(1, IMAGE) + channel(1, 1, "/rgb/image")
    for number, span in enumerate(((0, 0), (2**64 - 1, 0))):
        only = chunk(described, span)
        for given, (start, end) in (
            ((only, *image_chunks(SENT)), (first, last)),
            ((only,), (0, 0)),
        ):
            with Bag(mcap(tmp_path / f"{number}-{len(given)}.mcap", *given)) as bag:
                assert (bag.start_ns, bag.end_ns) == (start, end)
                assert bag.topics == {"/rgb/image": IMAGE}
        records = described + b"".join(message(1, log, data) for log, data in SENT)
        assert read(mcap(tmp_path / "a.mcap", chunk(records, span))) == (SENT, [])


def test_statistics_that_count_nothing_are_no_index(tmp_path: Path) -> None:
    empty = record(11, struct.pack("<QHIIIIQQI", 20, 1, 1, 0, 0, 4, SENT[0][0], SENT[-1][0], 0))
    path = mcap(tmp_path / "a.mcap", *image_chunks(SENT), empty)
    assert read(path) == (SENT, [])
    with Bag(path) as bag:
        assert bag.count(["/rgb/image"]) == 20


@pytest.mark.parametrize("storage", STORAGES)
def test_what_was_recorded_before_there_was_a_clock_came_when_it_began(
    storage: str, tmp_path: Path
) -> None:
    """Recorders with use_sim_time write 0 until they hear a clock; what is latched comes then."""
    early = [(0, SENT[0][1]), (0, SENT[1][1])]
    sent = [*early, *SENT[2:]]
    start = SENT[2][0]
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, sent), "/a": (IMAGE, early)}, storage)
    found, (note,) = read(bag)
    assert found == [(start, data) for _, data in early] + SENT[2:]
    assert "before there was a clock" in note
    with Bag(bag) as opened:
        assert (opened.start_ns, opened.end_ns) == (start, SENT[-1][0])
        assert [m.log_ns for m in opened.messages(["/a"], start, start + 1)] == [start, start]
        assert not list(opened.messages(["/a"], start + 1))
    simulated = [(log - SENT[0][0], data) for log, data in SENT]
    assert read(write_bag(tmp_path / "sim", {"/rgb/image": (IMAGE, simulated)}, storage)) == (
        simulated,
        [],
    )


@pytest.mark.parametrize("zeros", [0, 5000])
def test_an_mcap_file_that_was_cut_off_is_read_as_far_as_it_goes(
    tmp_path: Path, zeros: int
) -> None:
    path = mcap(tmp_path / "a.mcap", *image_chunks(SENT), closed=False)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(zeros))
    found, (note,) = read(path)
    assert found == SENT
    assert "cut off" in note and "mcap recover" in note
    path.write_bytes(whole[: len(whole) * 6 // 10])
    found = read(path)[0]
    assert 10 < len(found) < 14, "of the chunk that was cut, what is whole"
    assert found == SENT[: len(found)]
    path.write_bytes(whole[:100] + bytes(zeros))
    with pytest.raises(BagError, match="cut off before anything whole"):
        Bag(path)


@pytest.mark.parametrize("zeros", [0, 5000])
@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_a_single_chunk_that_was_cut_off_is_unpacked_as_far_as_it_goes(
    tmp_path: Path, compression: str, zeros: int
) -> None:
    sent = images(300)
    records = schema(1, IMAGE) + channel(1, 1, "/rgb/image")
    records += b"".join(message(1, log, data) for log, data in sent)
    packed = {"zstd": zstd.compress, "lz4": lz4.frame.compress}[compression](records)
    whole = chunk(b"", (sent[0][0], sent[-1][0]), compression, packed, len(records))
    path = mcap(tmp_path / "a.mcap", whole, closed=False)
    path.write_bytes(path.read_bytes()[: -len(packed) // 4] + bytes(zeros))
    found, (note,) = read(path)
    assert 100 < len(found) < 300
    assert found == sent[: len(found)]
    assert "cut off" in note


def test_a_damaged_chunk_costs_its_messages(tmp_path: Path) -> None:
    chunks = image_chunks(SENT)
    broken = zstd.compress(b"".join(message(1, log, data) for log, data in SENT[5:10]))[:-9]
    chunks[1] = chunk(b"", (SENT[5][0], SENT[9][0]), "zstd", broken, 12_000)
    chunks[2] = chunk(b"x", (SENT[10][0], SENT[14][0]), "brotli", b"x", 12_000)
    found, notes = read(mcap(tmp_path / "a.mcap", *chunks))
    assert found == [*SENT[:5], *SENT[15:]]
    assert len(notes) == 2
    assert "none of zstd" in notes[1]


def test_a_database_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, images(200))}, "sqlite3")
    path = bag / "bag.db3"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    found, (note,) = read(bag)
    assert 70 < len(found) < 110
    assert found == images(200)[: len(found)]
    assert "cut off" in note and ".recover" in note
    path.write_bytes(whole[:5000])
    with pytest.raises(BagError, match=r"bag\.db3"):
        Bag(bag)
    path.write_bytes(bytes(5000))
    with pytest.raises(BagError, match="full of zeros"):
        Bag(bag)


@pytest.mark.timeout(120)
def test_what_is_no_file_is_no_bag(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db3")
    for path in (tmp_path / "pipe.db3", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(BagError, match="no regular file"):
            read(path)
    for name in ("x" * 300, "x" * 5000, "a\0b", "\ud800"):
        with pytest.raises(BagError, match="there is no bag at"):
            read(tmp_path / name)


def test_a_misspelt_bag_is_told_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "night_drive").mkdir()
    with pytest.raises(BagError, match=r"there is no bag at .*nigth_drive: did you mean night_dri"):
        read(tmp_path / "nigth_drive")
    with pytest.raises(BagError, match=r"there is no bag at \S*/lab/drive$"):
        read(tmp_path / "lab" / "drive")


def test_a_folder_of_bags_names_them(tmp_path: Path) -> None:
    with pytest.raises(BagError, match=r"in it$"):
        Bag(tmp_path)
    for name in ("monday", "tuesday"):
        image_bag(tmp_path / name)
    with pytest.raises(BagError, match="bags in it are monday, tuesday"):
        Bag(tmp_path)


MESSAGES = "CREATE TABLE messages(id, topic_id, timestamp, data)"


@pytest.mark.parametrize(
    ("topic", "odd"),
    [
        ((None, "/b", "x/msg/Y", "cdr"), (2, 1, 7, b"odd")),
        (("x", "/b", "x/msg/Y", "cdr"), (2, "x", 7, b"odd")),
        ((b"\xff", "/b", "x/msg/Y", "cdr"), (2, None, 7, b"odd")),
        ((2, None, None, None), (2, 2, None, b"odd")),
        ((2, "\x1b", "\x1b", "\x1b"), (2, 1, "late", b"odd")),
        ((2, "/b", "x/msg/Y", "cdr"), (2, 2, 1e300, b"odd")),
        ((2, "/b", "x/msg/Y", "cdr"), (2, 1, b"7", b"odd")),
    ],
)
def test_rows_of_a_database_that_are_none_cost_themselves(
    topic: Any, odd: Any, tmp_path: Path
) -> None:
    bag = tmp_path / "bag.db3"
    with sqlite3.connect(bag) as database:
        database.execute("CREATE TABLE topics(id, name, type, serialization_format)")
        database.execute(MESSAGES)
        good = (1, "/rgb/image", "sensor_msgs/msg/Image", "cdr")
        database.executemany("INSERT INTO topics VALUES(?, ?, ?, ?)", [topic, good])
        rows = [odd, (1, 1, 5, b"good")]
        database.executemany("INSERT INTO messages VALUES(?, ?, ?, ?)", rows)
    database.close()
    with Bag(bag) as opened:
        assert (opened.start_ns, opened.end_ns) in ((5, 5), (5, 7))
        found = [(one.log_ns, bytes(one.data)) for one in opened.messages(["/rgb/image"])]
    assert (5, b"good") in found


@pytest.mark.parametrize("column", ["data", "timestamp"])
def test_columns_that_a_database_computes_are_none(column: str, tmp_path: Path) -> None:
    bag = tmp_path / "bag.db3"
    with sqlite3.connect(bag) as database:
        database.execute("CREATE TABLE topics(id, name, type, serialization_format)")
        computed = MESSAGES.replace(column, f"{column} AS (length(hex(zeroblob(900000000))))")
        database.execute(computed)
    database.close()
    with pytest.raises(BagError, match=f"its table messages has no column {column}"):
        read(bag)


def test_what_a_killed_recorder_left_in_the_log_of_a_database_is_read(tmp_path: Path) -> None:
    bag = image_bag(tmp_path / "bag", "sqlite3")
    writer = sqlite3.connect(bag / "bag.db3")
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("PRAGMA wal_autocheckpoint = 0")
    later = SENT[-1][0] + 1
    row = (1, later, SENT[0][1])
    writer.execute("INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)", row)
    writer.commit()
    shutil.copytree(bag, tmp_path / "killed")
    writer.close()
    assert (tmp_path / "killed" / "bag.db3-wal").stat().st_size
    assert [log for log, _ in read(tmp_path / "killed")[0]] == [*(log for log, _ in SENT), later]


def test_a_name_with_marks_of_addresses_is_a_name(tmp_path: Path) -> None:
    for storage in STORAGES:
        bag = tmp_path / f"a #1?x=%20[{storage}]"
        shutil.move(image_bag(tmp_path / storage, storage), bag)
        assert read(bag) == (SENT, [])


UNRELATED = (
    ("my_msgs/srv/Add_Event", "ros2msg", "=" * 80 + "\nSRV: x\nint64 a\n---\nint64 b\n", "cdr"),
    ("my_msgs/msg/Odd", "ros2idl", "module my_msgs { nonsense", "cdr"),
    ("my_msgs/msg/Odd", "ros2msg", "\x1b[31m\x00 what is this", "cdr"),
    ("foxglove.CompressedImage", "protobuf", "\n\x12", "protobuf"),
    ("thing", "jsonschema", "{}", "json"),
    ("", "", "", ""),
)


@pytest.mark.parametrize(("name", "kind", "definition", "encoding"), UNRELATED)
def test_what_nobody_asks_for_disturbs_nobody(
    tmp_path: Path, name: str, kind: str, definition: str, encoding: str
) -> None:
    other = schema(9, name, kind, definition) + channel(9, 9, "/other", encoding)
    path = mcap(tmp_path / "a.mcap", other, message(9, START, b"??"), *image_chunks(SENT))
    assert read(path) == (SENT, [])
    with pytest.raises(BagError, match=r"other|data"):
        read(path, "/other")


@pytest.mark.parametrize("definition", ["", "uint8 nothing_of_an_image\n", "[[[", "a" * 2_000_000])
def test_a_useless_definition_of_a_standard_type_is_replaced(
    tmp_path: Path, definition: str
) -> None:
    described = schema(1, IMAGE, definition=definition) + channel(1, 1, "rgb/image")
    loose = [message(1, log, data) for log, data in SENT]
    assert read(mcap(tmp_path / "a.mcap", described, *loose))[0] == SENT


def test_event_types_are_known_without_definitions(tmp_path: Path) -> None:
    types = get_typestore(Stores.ROS2_HUMBLE)
    for name, text in DEFINITIONS.items():
        types.register(get_types_from_msg(text, name))
    stamp = types.types["builtin_interfaces/msg/Time"](sec=1, nanosec=2)
    header = types.types["std_msgs/msg/Header"](stamp=stamp, frame_id="events")
    for package in ("dvs_msgs", "prophesee_event_msgs"):
        event = types.types[f"{package}/msg/Event"](x=1, y=2, ts=stamp, polarity=True)
        kind = f"{package}/msg/EventArray"
        array = types.types[kind](header=header, height=4, width=5, events=[event])
        data = bytes(types.serialize_cdr(array, kind))
        bag = write_bag(tmp_path / package, {"/e": (kind, [(START, data)])}, "sqlite3", types=types)
        with sqlite3.connect(bag / f"{package}.db3") as database:
            database.execute("drop table message_definitions")
            database.execute("update schema set schema_version = 3")
        with Bag(bag) as opened:
            (recorded,) = opened.messages(opened.topics)
            assert opened.decode(recorded).events[0].y == 2


def test_topics_are_absolute_and_a_damaged_message_is_one(tmp_path: Path) -> None:
    sent = [*SENT]
    sent[3] = (sent[3][0], sent[3][1][:40])
    bag = write_bag(tmp_path / "bag", {"rgb/image": (IMAGE, sent)})
    with Bag(bag) as opened:
        assert opened.topics == {"/rgb/image": IMAGE}
        damaged = 0
        for recorded in opened.messages(["/rgb/image"]):
            try:
                opened.decode(recorded)
            except BagError as error:
                damaged += 1
                assert str(error).startswith("data is no sensor_msgs/msg/Image")
        assert damaged == 1


def test_where_a_channel_does_not_say_it_the_schema_tells_the_encoding(tmp_path: Path) -> None:
    described = schema(1, IMAGE) + channel(1, 1, "/rgb/image", encoding="")
    assert read(mcap(tmp_path / "a.mcap", described, message(1, *SENT[0])))[0] == SENT[:1]
    other = schema(1, IMAGE, "jsonschema", "{}") + channel(1, 1, "/rgb/image", encoding="")
    with Bag(mcap(tmp_path / "b.mcap", other, message(1, *SENT[0]))) as opened:
        (found,) = opened.messages(["/rgb/image"])
        with pytest.raises(BagError, match="encoded as nothing that the bag tells"):
            opened.decode(found)


@pytest.mark.parametrize("recorded", ["//rgb//image", "/rgb/image/"])
def test_a_name_with_empty_parts_is_one_that_ros_could_have(recorded: str, tmp_path: Path) -> None:
    with Bag(write_bag(tmp_path / "bag", {recorded: (IMAGE, SENT)})) as opened:
        assert opened.topics == {"/rgb/image": IMAGE}


@pytest.mark.parametrize("behind", [1, 7, 100])
def test_what_follows_a_message_is_passed_over_as_by_the_middleware(
    behind: int, tmp_path: Path
) -> None:
    sent = [(log, data + b"\x55" * behind) for log, data in SENT[:2]]
    with Bag(write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, sent)})) as opened:
        found = [opened.decode(message) for message in opened.messages(["/rgb/image"])]
        assert [(m.height, m.width, len(m.data)) for m in found] == [(24, 32, 24 * 32 * 3)] * 2


def test_bytes_that_are_not_cdr_are_no_message(tmp_path: Path) -> None:
    sent = [(log, b"\x77\x88" + data[2:]) for log, data in SENT[:1]]
    with Bag(write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, sent)})) as opened:
        (message,) = opened.messages(["/rgb/image"])
        with pytest.raises(BagError, match="data is no sensor_msgs/msg/Image"):
            opened.decode(message)


@pytest.mark.parametrize("log_ns", [0, START])
def test_log_times_that_stand_still_are_told(log_ns: int, tmp_path: Path) -> None:
    sent = [(log_ns, data) for _, data in SENT]
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, sent)})
    found, (note,) = read(bag)
    assert found == sent, "in the order in which they lie"
    assert f"all {len(SENT)} messages have the log time {log_ns}" in note


QOS_V4 = "- history: 1\n  depth: {depth}\n  reliability: 1\n  durability: {durability}\n"


@pytest.mark.parametrize(
    ("profiles", "depth"),
    [
        (QOS_V4.format(depth=3, durability=1), 3),
        (QOS_V4.format(depth=3, durability="transient_local"), 3),
        (QOS_V4.format(depth=3, durability=2), 0),
        (QOS_V4.format(depth=3, durability=1) + QOS_V4.format(depth=1, durability=1), 4),
        (QOS_V4.format(depth=0, durability=1), 10),
        (QOS_V4.format(depth=10**12, durability=1), 10),
        ("durability: [", 0),
        ("durability: 1", 0),
        ("", 0),
    ],
)
def test_what_was_latched_is_known(tmp_path: Path, profiles: str, depth: int) -> None:
    assert latched_depth(profiles) == depth
    described = schema(1, IMAGE) + channel(1, 1, "/a", qos=profiles)
    with Bag(mcap(tmp_path / "a.mcap", described, message(1, *SENT[0]))) as bag:
        assert bag.latched("/a") == depth


def bombs(folder: Path) -> dict[str, Path]:
    """Some kilobytes each, that stand for gigabytes."""
    frames = zstd.compress(bytes(1 << 27)) * 24  # 3 GiB
    described = schema(1, IMAGE) + channel(1, 1, "/rgb/image")
    span = (START, START)
    made = {
        "chunk": mcap(folder / "a.mcap", chunk(b"", span, "zstd", frames, 3 << 30)),
        "lying chunk": mcap(folder / "b.mcap", chunk(b"", span, "zstd", frames, 1000)),
        "message": mcap(folder / "c.mcap", described, message(1, START, frames)),
        "file": folder / "d.db3.zstd",
    }
    made["file"].write_bytes(frames)
    return made


SCRIPT = """
import re, resource, sys
from pathlib import Path
from types import SimpleNamespace
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
from anymodal_seg_ros.evaluation.bag_storage import unpack
from anymodal_seg_ros.evaluation.bags import Bag, BagError
unpack.MAX_FILE = 1 << 26
try:
    with Bag(Path(sys.argv[1])) as bag:
        for message in bag.messages(bag.topics):
            bag.decode(message)
except BagError as error:
    print(error)
print(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize("name", ["chunk", "lying chunk", "message", "file"])
def test_a_bomb_is_refused_in_words_and_in_bounded_memory(
    tmp_path: Path, name: str, project_root: Path
) -> None:
    arguments = [sys.executable, "-c", SCRIPT, str(bombs(tmp_path)[name])]
    process = subprocess.run(arguments, cwd=project_root, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    said, peak = process.stdout.splitlines()
    assert "unpack" in said or "data is no" in said
    assert int(peak) < 2 << 20, "kilobytes, of this process alone"


@pytest.mark.parametrize("storage", STORAGES)
def test_compressed_files_are_unpacked_as_far_as_they_go(tmp_path: Path, storage: str) -> None:
    bag = image_bag(tmp_path / "bag", storage)
    (file,) = (f for f in bag.iterdir() if f.suffix != ".yaml")
    packed = file.with_name(file.name + ".zstd")
    packed.write_bytes(zstd.compress(file.read_bytes()))
    file.unlink()
    edit_metadata(bag, lambda info: info.update(relative_file_paths=[packed.name]))
    assert read(bag) == (SENT, [])
    assert read(packed) == (SENT, [])
    unpacked = packed.with_suffix("")
    unpacked.write_bytes(zstd.decompress(packed.read_bytes()))  # as players do, and leave it there
    assert read(bag) == (SENT, [])
    (bag / "metadata.yaml").unlink()
    assert read(bag)[0] == SENT


def test_a_small_file_that_stands_for_too_much_is_never_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To write a gigabyte takes seconds, and the room of whoever else uses the disk."""
    monkeypatch.setattr(unpack, "MAX_FILE", 1 << 20)
    packed, into = tmp_path / "a.mcap.zstd", tmp_path / "a.mcap"
    packed.write_bytes(zstd.compress(bytes(4 << 20)))
    monkeypatch.setattr(unpack, "naming", None)
    with pytest.raises(BagError, match=r"a\.mcap\.zstd unpacks to more than 1 MiB.*zstd -d"):
        unpack.unpack_file(packed, into)
    assert not into.exists()


def test_what_has_no_room_on_the_disk_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=4 << 20))
    packed, place = tmp_path / "a.mcap.zstd", tmp_path / "bag-1"
    place.mkdir()
    packed.write_bytes(zstd.compress(bytes(4 << 20)))
    says = f"more than 2 MiB, half of what is free in {tmp_path}: make room, or set TMPDIR"
    with pytest.raises(BagError, match=re.escape(says)):
        unpack.unpack_file(packed, place / "a.mcap")


def test_of_a_small_file_that_is_damaged_the_beginning_is_kept(tmp_path: Path) -> None:
    packed, into = tmp_path / "a.mcap.zstd", tmp_path / "a.mcap"
    whole = os.urandom(1 << 20)
    damaged = bytearray(zstd.compress(whole))
    damaged[900_000:900_010] = bytes(10)
    damaged += b"no frame"
    packed.write_bytes(damaged)
    unpack.unpack_file(packed, into)
    assert into.read_bytes()[:500_000] == whole[:500_000]
