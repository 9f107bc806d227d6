from __future__ import annotations

import array
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fixtures.clouds import DATATYPES, cloud_message
from hypothesis import given
from hypothesis import strategies as st

from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.decoding.point_clouds import column, decode_cloud, positions


def some_columns(kinds: dict[str, str], counts: dict[str, int], size: int) -> dict:
    random = np.random.default_rng(0)
    made = {}
    for name, kind in kinds.items():
        shape = (size,) if counts.get(name, 1) == 1 else (size, counts[name])
        made[name] = random.uniform(-100, 100, shape).astype(kind)
    return made


@given(
    kinds=st.dictionaries(
        st.sampled_from(["x", "y", "z", "intensity", "ring", "t", "normal"]),
        st.sampled_from(sorted(DATATYPES)),
        min_size=1,
    ),
    count=st.integers(1, 3),
    height=st.integers(1, 4),
    width=st.integers(1, 9),
    gap=st.integers(0, 5),
    row_padding=st.integers(0, 7),
    big_endian=st.booleans(),
    data=st.data(),
)
def test_any_layout_gives_the_points_that_were_sent(
    kinds: dict[str, str],
    count: int,
    height: int,
    width: int,
    gap: int,
    row_padding: int,
    big_endian: bool,
    data: st.DataObject,
) -> None:
    columns = some_columns(kinds, {"normal": count}, height * width)
    message = cloud_message(
        columns,
        height=height,
        order=data.draw(st.permutations(list(columns))),
        gap=gap,
        row_padding=row_padding,
        big_endian=big_endian,
    )
    cloud = decode_cloud(message)
    assert cloud.shape == (height, width)
    for name, sent in columns.items():
        np.testing.assert_array_equal(cloud[name].reshape(sent.shape), sent)
        if sent.ndim == 1:
            np.testing.assert_array_equal(column(cloud, name), sent.astype(np.float32))


@pytest.mark.parametrize("kind", ["bytes", "array", "ndarray"])
def test_decoding_copies_nothing_and_cannot_be_written_through(kind: str) -> None:
    message = cloud_message(some_columns(dict.fromkeys("xyz", "f4"), {}, 6))
    raw = np.frombuffer(message.data, np.uint8).copy()
    message.data = {
        "bytes": raw.tobytes(),
        "array": array.array("B", raw.tobytes()),
        "ndarray": raw,
    }[kind]
    cloud = decode_cloud(message)
    assert np.shares_memory(cloud, np.frombuffer(message.data, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        cloud["x"][0, 0] = 1


def test_positions_keep_nan_and_do_not_overflow_loudly() -> None:
    columns = {
        "z": np.array([1.0, np.nan, 1e300]),
        "y": np.array([2, -3, 4], np.int8),
        "x": np.array([1, 2, 3], np.uint32),
    }
    points = positions(decode_cloud(cloud_message(columns)))
    assert points.dtype == np.float32
    np.testing.assert_array_equal(points, [[1, 2, 1], [2, -3, np.nan], [3, 4, np.inf]])


def test_a_cloud_without_points_is_fine() -> None:
    message = cloud_message(some_columns(dict.fromkeys("xyz", "f4"), {}, 6))
    for height, width in ((0, 5), (1, 0), (0, 0)):
        empty = SimpleNamespace(**{**vars(message), "height": height, "width": width, "data": b""})
        assert positions(decode_cloud(empty)).shape == (0, 3)


def test_unnamed_fields_are_padding_and_a_count_of_zero_means_one() -> None:
    message = cloud_message(some_columns(dict.fromkeys("xyz", "f4"), {}, 2))
    message.fields[0].count = 0
    message.fields[1].name = message.fields[2].name = ""
    assert decode_cloud(message).dtype.names == ("x",)
    message.fields[1].name = message.fields[2].name = "_"  # as PCL writes them
    message.fields[2].datatype, message.fields[2].count = 0, 99
    assert decode_cloud(message).dtype.names == ("x",)
    assert column(decode_cloud(message), "x").shape == (2,)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"point_step": 0}, "point_step is 0: expected 1 to 65536 bytes"),
        ({"point_step": 8}, "fields.z lies in the bytes 8 to 12: expected 0 to point_step"),
        ({"width": -1}, "size is -1x1: expected no negative numbers"),
        (
            {"row_step": 59, "width": 5},
            "row_step is 59: expected at least width x point_step = 5 x 12 = 60, or 60 bytes",
        ),
        (
            {"row_step": 73, "data": bytes(74)},
            "data has 74 bytes: expected row_step x height = 73 x 1 = 73",
        ),
        (
            {"width": 1 << 31, "row_step": 12 << 31},
            "size is 2147483648x1: expected at most 16777216 points",
        ),
        ({"fields": [SimpleNamespace(name="x")] * 257}, "fields are 257: expected at most 256"),
        ({"data": b""}, "data has 0 bytes"),
        ({"data": "text"}, "data is a str: expected bytes"),
        ({"data": np.zeros(72)}, "data is an array of float64"),
    ],
)
def test_bad_messages_are_named_with_value_and_mend(change: dict, says: str) -> None:
    message = cloud_message(some_columns(dict.fromkeys("xyz", "f4"), {}, 6))
    vars(message).update(change)
    with pytest.raises(DecodeError) as caught:
        decode_cloud(message)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"datatype": 9}, "fields.y has the datatype 9: expected 1 (INT8) to 8 (FLOAT64)"),
        ({"name": "x"}, "fields.x occurs twice"),
        ({"offset": 9}, "fields.y lies in the bytes 9 to 13"),
        ({"offset": -4}, "fields.y lies in the bytes -4 to 0"),
        ({"count": 2**32 - 1}, "fields.y lies in the bytes 4 to 17179869184"),
    ],
)
def test_bad_fields_are_named_with_value_and_mend(change: dict, says: str) -> None:
    message = cloud_message(some_columns(dict.fromkeys("xyz", "f4"), {}, 6))
    vars(message.fields[1]).update(change)
    with pytest.raises(DecodeError) as caught:
        decode_cloud(message)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"datatype": 0}, {"offset": 99}, {"count": 2**32 - 1}, {"name": "ring"}]
)
def test_a_bad_field_that_nobody_reads_costs_nobody_the_scan(change: dict) -> None:
    sent = some_columns({**dict.fromkeys("xyz", "f4"), "ring": "u2", "line": "u2"}, {}, 6)
    message = cloud_message(sent)
    vars(message.fields[4]).update(change)
    read = decode_cloud(message)
    assert read.dtype.names == ("x", "y", "z", "ring")
    np.testing.assert_array_equal(read["z"].ravel(), sent["z"])
    np.testing.assert_array_equal(read["ring"].ravel(), sent["ring"])  # the first, as PCL has it


@pytest.mark.parametrize(
    ("height", "row_step"), [(1, 0), (1, 5 * 16 * 40), (8, 0), (8, 40 * 16), (8, 7), (8, 1 << 32)]
)
def test_points_that_fill_the_data_need_no_row_step(height: int, row_step: int) -> None:
    sent = some_columns({**dict.fromkeys("xyz", "f4"), "i": "f4"}, {}, 40)
    message = cloud_message(sent, height=height)
    message.row_step = row_step
    np.testing.assert_array_equal(decode_cloud(message)["y"].ravel(), sent["y"])


def test_the_last_row_may_end_without_its_padding() -> None:
    sent = some_columns(dict.fromkeys("xyz", "f4"), {}, 40)
    message = cloud_message(sent, height=4, row_padding=5)
    message.data = message.data[:-5]
    np.testing.assert_array_equal(decode_cloud(message)["z"].ravel(), sent["z"])


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("height", [1, 40])
def test_a_wrong_flag_for_the_byte_order_is_noticed(
    kind: str, big_endian: bool, height: int
) -> None:
    sent = some_columns(dict.fromkeys("xyz", kind), {}, 400)
    for empty in (np.nan, 0.0):  # most returns of a scan into the sky
        sent["x"][100:], sent["y"][100:] = empty, empty
        message = cloud_message(sent, height=height, row_padding=4, big_endian=big_endian)
        decode_cloud(message)
        message.is_bigendian = not big_endian
        with pytest.raises(DecodeError, match=f"expected is_bigendian to be {big_endian}") as said:
            decode_cloud(message)
        assert said.value.kind == "data"


@pytest.mark.parametrize("size", [3, 400])
def test_odd_numbers_alone_do_not_accuse_the_byte_order(size: int) -> None:
    for value in (0.0, np.nan, np.inf, 1e-20, 1e30, 5.0):
        decode_cloud(cloud_message({name: np.full(size, value, "f4") for name in "xyz"}))
    raw = np.random.default_rng(1).bytes(12 * size)
    message = cloud_message(some_columns(dict.fromkeys("xyz", "f4"), {}, size))
    message.data = raw
    decode_cloud(message)


def test_a_cloud_of_very_many_fields_is_refused_in_no_time() -> None:
    field = SimpleNamespace(offset=0, datatype=7, count=1)
    message = cloud_message(some_columns(dict.fromkeys("xyz", "f4"), {}, 6))
    message.fields = [
        SimpleNamespace(**vars(field), name="\x1b" + "n" * 5000 + str(n)) for n in range(40_000)
    ]
    with pytest.raises(DecodeError, match="fields are 40000"):
        decode_cloud(message)
    message.fields = message.fields[:200]
    with pytest.raises(DecodeError, match="and 194 more: expected x among them") as said:
        positions(decode_cloud(message))
    assert len(str(said.value)) < 500 and str(said.value).isprintable()


def test_missing_and_manifold_coordinates_are_named() -> None:
    cloud = decode_cloud(cloud_message(some_columns({"x": "f4", "y": "f4"}, {"y": 2}, 3)))
    with pytest.raises(DecodeError, match="fields are x, y: expected z among them"):
        column(cloud, "z")
    with pytest.raises(DecodeError, match=r"fields\.y holds 2 numbers: expected one per point"):
        positions(cloud)


point_fields = st.builds(
    SimpleNamespace,
    name=st.sampled_from(["x", "y", "z", "", "ring", "ä\0"]),
    offset=st.integers(-2, 40) | st.integers(0, 2**32 - 1),
    datatype=st.integers(0, 10),
    count=st.integers(0, 3) | st.integers(0, 2**32 - 1),
)


@given(
    height=st.integers(-1, 5) | st.integers(0, 2**32 - 1),
    width=st.integers(-1, 9) | st.integers(0, 2**32 - 1),
    fields=st.lists(point_fields, max_size=6),
    big_endian=st.booleans(),
    point_step=st.integers(-1, 40) | st.integers(0, 2**32 - 1),
    row_step=st.integers(-1, 200) | st.integers(0, 2**32 - 1),
    data=st.binary(max_size=300),
)
def test_any_bytes_give_points_or_a_clear_error(
    height: int,
    width: int,
    fields: list[SimpleNamespace],
    big_endian: bool,
    point_step: int,
    row_step: int,
    data: bytes,
) -> None:
    message = SimpleNamespace(
        height=height,
        width=width,
        fields=fields,
        is_bigendian=big_endian,
        point_step=point_step,
        row_step=row_step,
        data=data,
    )
    try:
        cloud = decode_cloud(message)
    except DecodeError as error:
        assert "expected" in str(error)
        return
    assert cloud.size in (0, height * width)
    assert cloud.size * point_step <= len(data) or cloud.size == 0
    for name in cloud.dtype.names or ():
        np.array(cloud[name])  # touches every byte of the field
    try:
        assert positions(cloud).shape == (cloud.size, 3)
    except DecodeError as error:
        assert "expected" in str(error)


@given(st.binary(max_size=400), st.integers(1, 8), st.booleans())
def test_any_payload_of_a_sound_layout_is_read_within_its_bounds(
    payload: bytes, height: int, big_endian: bool
) -> None:
    step = 14
    width = len(payload) // (step * height)
    fields = [
        SimpleNamespace(name=name, offset=offset, datatype=7, count=1)
        for name, offset in (("z", 2), ("x", 6), ("y", 10))
    ]
    message = SimpleNamespace(
        height=height,
        width=width,
        fields=fields,
        is_bigendian=big_endian,
        point_step=step,
        row_step=step * width,
        data=payload[: step * width * height],
    )
    points = positions(decode_cloud(message))
    assert points.shape == (width * height, 3)


@pytest.mark.shared_data
def test_a_recorded_luminar_cloud(shared_data: Path) -> None:
    from rosbags.highlevel import AnyReader

    with AnyReader([shared_data / "lidar_bag" / "luminar_ros1.bag"]) as reader:
        clouds = [
            decode_cloud(reader.deserialize(raw, connection.msgtype))
            for connection, _, raw in reader.messages()
            if connection.msgtype.endswith("/PointCloud2")
        ]
    assert len(clouds) == 5
    for cloud in clouds:
        assert cloud.dtype.itemsize == 32
        assert cloud.dtype.names is not None
        assert "laser_id" in cloud.dtype.names
        points = positions(cloud)
        assert 30_000 < len(points) < 40_000
        ranges = np.linalg.norm(points, axis=1)
        assert 5 < np.median(ranges[np.isfinite(ranges)]) < 250
