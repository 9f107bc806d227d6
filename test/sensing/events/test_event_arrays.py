from __future__ import annotations

import numpy as np
import pytest
from fixtures.event_messages import SECOND_NS, event_array, event_cloud, rows
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from anymodal_seg_ros.config import MESSAGE_TYPES, EventConfig
from anymodal_seg_ros.errors import DecodeError
from anymodal_seg_ros.sensing.events.arrays import parse_event_array, read_event_array, wants_raw
from anymodal_seg_ros.sensing.events.messages import read_event_cloud
from anymodal_seg_ros.sensing.events.store import PixelGrid
from anymodal_seg_ros.sensing.events.values import Events
from anymodal_seg_ros.sensing.events.windows import EventStream

EVENT = "uint16 x\nuint16 y\ntime ts\nbool polarity\n"
ARRAY = "std_msgs/Header header\nuint32 height\nuint32 width\nEvent[] events\n"

STORE = get_typestore(Stores.ROS2_HUMBLE)
STORE.register(
    get_types_from_msg(EVENT.replace("time ts", "builtin_interfaces/Time ts"), "dvs_msgs/msg/Event")
)
STORE.register(get_types_from_msg(ARRAY, "dvs_msgs/msg/EventArray"))

EVENTS = st.lists(
    st.tuples(
        st.integers(0, (1 << 31) * SECOND_NS - 1),
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.booleans(),
    ),
    max_size=20,
).map(
    lambda found: Events(*(np.array([event[at] for event in found], np.int64) for at in range(4)))
)


def serialized(events: Events, frame_id: str, stamp_ns: int, little_endian: bool = True) -> bytes:
    """Serialise a dvs_msgs/EventArray as a driver would, by rosbags."""
    types = STORE.types
    time = types["builtin_interfaces/msg/Time"]
    message = types["dvs_msgs/msg/EventArray"](
        types["std_msgs/msg/Header"](time(*divmod(stamp_ns, SECOND_NS)), frame_id),
        480,
        640,
        [
            types["dvs_msgs/msg/Event"](x, y, time(*divmod(time_ns, SECOND_NS)), bool(on))
            for time_ns, x, y, on in rows(events, unit_ns=1)
        ],
    )
    name = "dvs_msgs/msg/EventArray"
    return bytes(STORE.serialize_cdr(message, name, little_endian=little_endian))


@given(EVENTS, st.text(max_size=9).filter(lambda text: "\0" not in text), st.booleans())
def test_serialised_and_object_arrays_hold_the_same_events(
    events: Events, frame_id: str, little_endian: bool
) -> None:
    data = serialized(events, frame_id, 7 * SECOND_NS + 5, little_endian)
    from_bytes = parse_event_array(data)
    from_objects = read_event_array(STORE.deserialize_cdr(data, "dvs_msgs/msg/EventArray"))
    assert rows(from_bytes.events, 1) == rows(from_objects.events, 1) == rows(events, 1)
    for array in (from_bytes, from_objects):
        assert (array.stamp_ns, array.frame_id) == (7 * SECOND_NS + 5, frame_id)
        assert (array.height, array.width) == (480, 640)


def test_events_of_a_type_of_ones_own_lie_within_the_picture_or_are_left_out() -> None:
    sent = event_array(Events(*np.array([[1, 2, 3], [1, -5, 7], [1, 1, 7], [1, 1, 1]])), 5, 8, 8)
    sent.events[2].polarity = 255  # a number, where others have a truth value
    read = read_event_array(sent).events
    _, cells = PixelGrid(8, 8, 1).place(read)
    assert cells.tolist() == [2 * (8 + 1) + 1, 2 * (7 * 8 + 7) + 1]


def test_serialised_arrays_that_are_cut_anywhere_are_refused() -> None:
    times = np.arange(4) * 1_000_000 + 9 * SECOND_NS
    data = serialized(Events(times, times % 640, times % 480, times % 2), "cam", SECOND_NS)
    for length in range(len(data)):
        with pytest.raises(DecodeError):
            parse_event_array(data[:length])
    assert len(parse_event_array(data).events) == 4


@given(st.binary(max_size=120), st.integers(0, 60))
def test_any_bytes_are_events_or_an_error(noise: bytes, at: int) -> None:
    times = np.arange(2) + 9 * SECOND_NS
    whole = serialized(Events(times, times % 640, times % 480, times % 2), "cam", SECOND_NS)
    for data in (noise, bytes([0, 1, 0, 0]) + noise, whole[:at] + noise + whole[at + len(noise) :]):
        try:
            array = parse_event_array(data)
        except DecodeError:
            continue
        assert 16 * len(array.events) <= len(data)


def test_arrays_are_in_header_time_already_and_come_in_either_form() -> None:
    times = np.array([5, 3, 4]) * 1_000_000 + 9 * SECOND_NS
    events = Events(times, np.array([1, 2, 700]), np.array([3, 4, 5]), np.array([1, 0, 1]))
    source = EventStream(EventConfig(), SECOND_NS)
    source.push(event_array(events, 9 * SECOND_NS, 480, 640))
    source.push(serialized(Events(times + 10_000_000, *(events.x, events.y, events.on)), "dvs", 5))
    assert source.offset_ns == 0
    assert source.frame_id == "dvs"
    cut = source.store.cut(0, 1 << 62)
    ms = ((cut.time_ns - 9 * SECOND_NS) // 1_000_000).tolist()
    assert ms == [3, 5, 13, 15]
    assert source.store.outside == 2
    assert source.store.until_ns == 9 * SECOND_NS + 15_000_000
    source.push(event_array(Events.none(), 10 * SECOND_NS, 480, 640))
    assert source.store.until_ns == 10 * SECOND_NS, "silence is time, too"


@pytest.mark.parametrize(
    ("dtypes", "names", "values", "expected_ns"),
    [
        (("u2", "u2", "f8", "u1"), ("x", "y", "t", "p"), (0.5, 0.25), (10.5, 10.25)),
        (("f4", "f4", "f8", "f4"), ("x", "y", "ts", "pol"), (12.5, 11.0), (12.5, 11.0)),
        (
            ("i2", "i4", "u4", "i1"),
            ("x", "y", "time", "polarity"),
            (7, 1_000_000_000),
            (10.000000007, 11.0),
        ),
    ],
)
@pytest.mark.parametrize("big_endian", [False, True])
@pytest.mark.parametrize("padding", [0, 3])
def test_clouds_of_events_are_read_by_the_names_of_their_fields(
    dtypes: tuple[str, ...],
    names: tuple[str, ...],
    values: tuple[float, ...],
    expected_ns: tuple[float, ...],
    big_endian: bool,
    padding: int,
) -> None:
    columns = ([3, 639], [4, 479], values, [1, 0])
    fields = {n: np.array(c, d) for n, c, d in zip(names, columns, dtypes, strict=True)}
    shuffled = {name: fields[name] for name in reversed(names)}
    cloud = event_cloud(shuffled, padding=padding, big_endian=big_endian)
    found = read_event_cloud(cloud, 480, 640).events
    times = [round(seconds * 1e9) for seconds in expected_ns]
    assert rows(found, 1) == [(times[0], 3, 4, 1), (times[1], 639, 479, 0)]


def test_points_that_are_no_events_are_left_out() -> None:
    nan, inf = float("nan"), float("inf")
    cloud = event_cloud(
        {
            "x": np.array([1, nan, 2, 3, -1, 70000], np.float32),
            "y": np.array([1, 1, inf, 3, 1, 1], np.float32),
            "t": np.array([0, 0, 0, nan, 0, 1e300]),
            "p": np.array([1, 1, 1, 1, 1, 1], np.uint8),
        }
    )
    assert rows(read_event_cloud(cloud, 480, 640).events, 1) == [(10 * SECOND_NS, 1, 1, 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"point_step": 0}, "point_step is 0: expected 1 to"),
        ({"data": b"123"}, "data has 3 bytes"),
        ({"row_step": 7, "data": bytes(25)}, "row_step is 7: expected at least"),
        ({"fields": []}, "fields are none: expected x as a number, under the name x"),
        (
            {"point_step": 8, "row_step": 16, "data": bytes(16)},
            "fields.t lies in the bytes 4 to 12: expected 0 to point_step",
        ),
    ],
)
def test_a_cloud_that_contradicts_itself_says_how(change: dict, message: str) -> None:
    columns = {"x": "u2", "y": "u2", "t": "f8", "p": "u1"}
    cloud = event_cloud({name: np.zeros(2, dtype) for name, dtype in columns.items()})
    for name, value in change.items():
        setattr(cloud, name, value)
    with pytest.raises(DecodeError, match=message):
        read_event_cloud(cloud, 480, 640)


def timed_cloud(times: np.ndarray, stamp_ns: int):
    """A cloud whose events have these times, as they are sent."""
    place = np.zeros(times.size, np.uint16)
    return event_cloud({"x": place, "y": place, "t": times, "p": place.astype(np.uint8)}, stamp_ns)


@pytest.mark.parametrize(
    ("unit", "says"),
    [
        (1e3, "looks like milliseconds"),
        (1e6, "looks like microseconds"),
        (1e9, "looks like nanoseconds"),
        (1e12, "fits in no other unit"),
    ],
)
def test_times_in_another_unit_are_refused_by_its_name(unit: float, says: str) -> None:
    stamp_ns = 1_700_000_000 * SECOND_NS
    times = (1_700_000_000 + np.linspace(-0.01, 0.02, 500)) * unit
    with pytest.raises(DecodeError, match=says) as said:
        read_event_cloud(timed_cloud(times, stamp_ns), 480, 640)
    assert said.value.kind == "time"
    found = read_event_cloud(timed_cloud(times / unit, stamp_ns), 480, 640).events
    assert abs(found.time_ns - stamp_ns).max() < 30_000_000


@pytest.mark.parametrize("at", [0, 250, 499])
@pytest.mark.parametrize("wrong_s", [0.0, 1_700_003_600.0, 3.4e9])
def test_one_time_that_cannot_be_is_no_event_wherever_it_stands(at: int, wrong_s: float) -> None:
    stamp_ns = 1_700_000_000 * SECOND_NS
    times = 1_700_000_000 + np.linspace(-0.01, 0.0, 500)
    times[at] = wrong_s
    found = read_event_cloud(timed_cloud(times, stamp_ns), 480, 640).events
    assert len(found) == 499
    assert abs(found.time_ns - stamp_ns).max() < 20_000_000


def test_a_counter_that_wraps_does_not_count_from_the_stamp() -> None:
    """32 bits of microseconds, read as nanoseconds: all within the 33 us of 33 ms, and far off."""
    stamp_ns = 1_700_000_000 * SECOND_NS
    times = (3_000_000_000 + np.linspace(0, 33_000, 500)).astype(np.uint32)
    with pytest.raises(
        DecodeError, match=r"fields\.t counts 3 to 3\.0000\d+ s since .* own"
    ) as said:
        read_event_cloud(timed_cloud(times, stamp_ns), 480, 640)
    assert said.value.kind == "time"


@pytest.mark.parametrize("unit", [1e6, 1e9])
def test_microseconds_since_the_stamp_are_no_seconds(unit: float) -> None:
    cloud = timed_cloud(np.linspace(0, 0.03, 100) * unit, 1_700_000_000 * SECOND_NS)
    with pytest.raises(DecodeError, match=r"looks like .*seconds"):
        read_event_cloud(cloud, 480, 640)


def test_single_precision_cannot_tell_absolute_times() -> None:
    times = (1_700_000_000 + np.linspace(0, 0.02, 500)).astype(np.float32)
    with pytest.raises(DecodeError, match="as float32, which tells absolute times only to 128 s"):
        read_event_cloud(timed_cloud(times, 1_700_000_000 * SECOND_NS), 480, 640)
    since = np.linspace(0, 0.02, 500).astype(np.float32)
    found = read_event_cloud(timed_cloud(since, 1_700_000_000 * SECOND_NS), 480, 640)
    assert len(found.events) == 500


def test_a_cloud_of_which_no_point_is_an_event_is_refused_and_an_empty_one_is_not() -> None:
    cloud = timed_cloud(np.full(50, np.nan), SECOND_NS)
    with pytest.raises(DecodeError, match="data hold 50 points, but no event") as said:
        read_event_cloud(cloud, 480, 640)
    assert said.value.kind == "events"
    cloud = timed_cloud(np.full(0, np.nan), SECOND_NS)
    assert len(read_event_cloud(cloud, 480, 640).events) == 0


def test_clouds_of_events_with_padded_rows_are_read() -> None:
    cloud = timed_cloud(np.arange(6) * 0.001, SECOND_NS)
    rows = np.frombuffer(cloud.data, np.uint8).reshape(2, -1)
    cloud.data = np.hstack([rows, np.zeros((2, 7), np.uint8)]).tobytes()
    cloud.height, cloud.width, cloud.row_step = 2, 3, rows.shape[1] + 7
    found = read_event_cloud(cloud, 480, 640).events
    assert found.time_ns.tolist() == [SECOND_NS + 1_000_000 * n for n in range(6)]


def test_only_arrays_of_events_are_best_taken_as_bytes() -> None:
    raw = {name for name, message_type in MESSAGE_TYPES.items() if wants_raw(message_type)}
    assert raw == {"event_array", "event_array_prophesee"}


@pytest.mark.parametrize("junk", [b"", b"\0", "text", None, 5, np.zeros(9), [1, 2]])
def test_what_is_no_bytes_is_refused(junk: object) -> None:
    with pytest.raises(DecodeError):
        parse_event_array(junk)


def test_a_long_frame_id_is_refused() -> None:
    data = bytearray(serialized(Events.none(), "x" * 5000, SECOND_NS))
    with pytest.raises(DecodeError, match="frame_id is 5001 bytes"):
        parse_event_array(bytes(data))


def test_a_cloud_needs_the_size_of_the_sensor() -> None:
    columns = {"x": "u2", "y": "u2", "t": "f8", "p": "u1"}
    cloud = event_cloud({name: np.zeros(2, dtype) for name, dtype in columns.items()})
    with pytest.raises(DecodeError, match=r"set events\.height and events\.width"):
        EventStream(EventConfig(), SECOND_NS).push(cloud)
    source = EventStream(EventConfig(height=480, width=640), SECOND_NS)
    source.push(cloud)
    assert source.store.cut(0, 1 << 62).time_ns.tolist() == [10 * SECOND_NS] * 2


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["x", "y", "t", "p", "z"]),
            st.integers(0, 40),
            st.integers(0, 9),
        ),
        max_size=7,
    ),
    st.integers(0, 24),
    st.integers(0, 4),
    st.binary(max_size=96),
    st.booleans(),
)
def test_any_cloud_is_events_or_an_error(
    fields: list[tuple], step: int, count: int, noise: bytes, big_endian: bool
) -> None:
    cloud = event_cloud({"x": np.zeros(count, np.uint8)}, big_endian=big_endian)
    names = ("name", "offset", "datatype")
    cloud.fields = [type(cloud)(**dict(zip(names, f, strict=True)), count=1) for f in fields]
    cloud.point_step, cloud.row_step = step, step * count
    cloud.data = (noise * 96)[: step * count] if noise else bytes(step * count)
    try:
        found = read_event_cloud(cloud, 480, 640).events
    except DecodeError:
        return
    assert len(found) <= count
