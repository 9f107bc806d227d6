"""Whatever a message holds: evidence of it is short, clean, and counted under few words."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fixtures.calibrations import write_camera_info
from fixtures.damage import GOOD
from fixtures.event_messages import event_array, event_cloud, event_packet
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message, image_message
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import EventConfig, RegistrationConfig, RigConfig, SensorConfig
from anymodal_seg_ros.errors import REJECTION_KINDS
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.events.messages import payload_bytes
from anymodal_seg_ros.sensing.events.values import Events
from anymodal_seg_ros.sensing.geometry.cameras import Camera

START_NS = 1_700_000_000_000_000_000
LONGEST = 500


class NoEngine:
    """Says nothing of anything."""

    name = "none"

    def run(self, batch: ModalityBatch) -> Segmentation:
        return Segmentation(np.zeros(batch.images.shape[2:], np.uint8))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    matrix = np.array([[30.0, 0, 14.5], [0, 30.0, 9.5], [0, 0, 1]])
    path = tmp_path_factory.mktemp("calibration") / "rgb.yaml"
    file = write_camera_info(Camera(30, 20, matrix), path)
    ahead = "0 0 0  0.5 -0.5 0.5 0.5"
    by_topic = RegistrationConfig("cameras", camera_info="thermal/info", extrinsics=ahead)
    sensors = {
        "rgb": SensorConfig("rgb", "rgb", registration=RegistrationConfig(calibration=file)),
        "thermal": SensorConfig("thermal", "thermal", registration=by_topic),
        "lidar": SensorConfig(
            "lidar",
            "lidar",
            type="point_cloud",
            registration=RegistrationConfig("cameras", extrinsics=ahead),
        ),
        "events": SensorConfig("events", "event", type="event_packet"),
        "points": SensorConfig(
            "points", "event", type="point_cloud", events=EventConfig(height=10, width=16)
        ),
    }
    return Pipeline(RigConfig(sensors), Model(Path("nowhere"), small_manifest()), NoEngine())


hostile = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["\x1b]0;owned\x07", "\x1b[31m[/red]\n[FATAL] all is lost", "\x9b2J", "‮"]),
    st.builds(lambda text, n: text * n, st.text(min_size=1, max_size=3), st.integers(1, 100_000)),
)
number = st.integers(-(1 << 31), 1 << 32) | st.integers(-2, 40)


@st.composite
def images(draw: st.DrawFn) -> Any:
    message = image_message(np.zeros((20, 30, 3), np.uint8), "rgb8", START_NS)
    for field in draw(st.sets(st.sampled_from(["height", "width", "step"]))):
        setattr(message, field, draw(number))
    message.encoding = draw(hostile | st.sampled_from(["rgb8", "bayer_rggb8", "nv12", "32FC1"]))
    return message


@st.composite
def pictures(draw: st.DrawFn) -> Any:
    form = draw(hostile | hostile.map(lambda text: f"16UC1; compressedDepth {text}"))
    return compressed_message(draw(st.binary(max_size=200)), form, START_NS)


@st.composite
def clouds(draw: st.DrawFn) -> Any:
    columns = {name: np.zeros(5, np.float32) for name in ("x", "y", "z", "t", "p")}
    message = event_cloud(columns, START_NS)
    for field in message.fields:
        if draw(st.booleans()):
            field.name = draw(hostile)
        field.datatype = draw(st.sampled_from([7, 7, 7, 0, 8, 255]))
        field.offset = draw(st.just(field.offset) | number)
    if draw(st.booleans()):
        message.fields = message.fields * draw(st.integers(1, 200))
    for name in draw(st.sets(st.sampled_from(["height", "width", "point_step", "row_step"]))):
        setattr(message, name, draw(number))
    return message


@st.composite
def packets(draw: st.DrawFn) -> Any:
    return event_packet(
        draw(st.binary(max_size=64)),
        encoding=draw(hostile | st.sampled_from(["evt3", "mono", "libcaer_cmp"])),
        seq=draw(number),
        time_base=draw(number),
        stamp_ns=START_NS,
        height=draw(number),
        width=draw(number),
    )


@st.composite
def misfits(draw: st.DrawFn) -> Any:
    """Messages of a bag that defines a standard type in its own way."""
    message = draw(images() | clouds() | packets() | pictures())
    names = sorted(name for name in vars(message) if name != "header")
    for name in draw(st.sets(st.sampled_from(names), min_size=1)):
        setattr(message, name, draw(st.none() | st.floats() | hostile | st.lists(number)))
    if draw(st.booleans()):
        message.header.stamp = draw(
            st.none() | st.floats() | st.builds(SimpleNamespace, sec=hostile)
        )
    return message


others = st.one_of(
    st.builds(SimpleNamespace, data=hostile),
    st.builds(SimpleNamespace, header=st.builds(SimpleNamespace, frame_id=hostile), format=hostile),
    st.binary(max_size=80),
    st.just(event_array(Events.none(), START_NS, 3, 5000)),
    st.none(),
)
messages = st.one_of(images(), pictures(), clouds(), packets(), misfits(), others)
SENSORS = ("rgb", "thermal", "lidar", "events", "points")


def bounded(text: str | None) -> bool:
    """Whether a text is short and controls no terminal."""
    return not text or (
        len(text) < LONGEST
        and not any(unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in text)
    )


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SENSORS), messages)
def test_any_message_leaves_bounded_evidence(pipeline: Pipeline, sensor: str, message: Any) -> None:
    said = pipeline.push_message(sensor, message, 0)
    assert bounded(said), said
    while pipeline.poll(0) is not None:
        pass
    for status in pipeline.status(0):
        assert bounded(status.last_error) and bounded(status.fault)
        assert status.rejected.keys() <= REJECTION_KINDS


def test_a_camera_that_was_told_its_size_sends_no_larger_one() -> None:
    sensors = {
        "rgb": SensorConfig("rgb", "rgb", max_pixels=30 * 20),
        "thermal": SensorConfig("thermal/compressed", "thermal", max_pixels=100),
    }
    limited = Pipeline(RigConfig(sensors), Model(Path("nowhere"), small_manifest()), NoEngine())
    for height, width, taken in ((20, 30, True), (30, 20, True), (21, 30, False), (1, 601, False)):
        message = image_message(np.zeros((height, width, 3), np.uint8), "rgb8", START_NS)
        said = limited.push_message("rgb", message, 0)
        assert (said is None) == taken, said
    form, data = next(one for one in GOOD if one[0].startswith("mono16; png"))
    said = limited.push_message("thermal", compressed_message(data, form, START_NS), 0)
    assert said is not None and "size is 12x9: expected at most max_pixels = 100" in said
    rejected = {status.sensor: status.rejected for status in limited.status(0)}
    assert rejected == {"rgb": {"size": 2}, "thermal": {"size": 1}}


@settings(max_examples=200, deadline=None)
@given(
    hostile,
    st.lists(st.floats() | st.integers() | hostile, max_size=40),
    st.lists(st.floats(), min_size=9, max_size=9),
    number,
)
def test_any_camera_info_leaves_bounded_evidence(
    pipeline: Pipeline, model: str, d: list[Any], k: list[float], width: int
) -> None:
    for matrix in (k, [30.0, 0, 14.5, 0, 30.0, 9.5, 0, 0, 1]):
        message = SimpleNamespace(
            width=width, height=20, distortion_model=model, d=d, k=matrix, r=k, p=[*k, 0, 0, 0]
        )
        assert bounded(pipeline.push_camera_info("thermal", message))
    assert pipeline.push_camera_info("thermal", SimpleNamespace(data="no calibration"))
    (status,) = (s for s in pipeline.status(0) if s.sensor == "thermal")
    assert status.rejected.keys() <= REJECTION_KINDS


@pytest.mark.parametrize("field", ["d", "k", "r", "p", "width", "binning_x", "roi"])
@pytest.mark.parametrize(
    "value",
    [10**5000, {"a": 1}, {1.0, 2.0}, np.zeros((9, 9)), [[1.0]] * 9, SimpleNamespace()],
    ids=lambda value: type(value).__name__,
)
def test_a_camera_info_of_other_types_is_refused_in_words(
    pipeline: Pipeline, field: str, value: Any
) -> None:
    k = [30.0, 0, 14.5, 0, 30.0, 9.5, 0, 0, 1]
    message = SimpleNamespace(
        width=30, height=20, distortion_model="plumb_bob", d=[0.0] * 5, k=k, r=[0.0] * 9, p=[0.0]
    )
    setattr(message, field, value)
    assert bounded(pipeline.push_camera_info("thermal", message))


@pytest.mark.parametrize("sensor", ["rgb", "events", "points"])
@pytest.mark.parametrize("sec", [2**32, 2**63, 10**400, 10**5000, -(10**5000)], ids=int.bit_length)
def test_a_stamp_beyond_what_ros_can_say_is_refused(
    pipeline: Pipeline, sensor: str, sec: int
) -> None:
    for stamp in (SimpleNamespace(sec=sec, nanosec=0), SimpleNamespace(sec=1, nanosec=sec)):
        for message in (
            image_message(np.zeros((20, 30, 3), np.uint8), "rgb8", START_NS),
            event_packet(b"", encoding="evt3", seq=0, time_base=0, stamp_ns=START_NS),
        ):
            message.header.stamp = stamp
            said = pipeline.push_message(sensor, message, START_NS)
            assert said and bounded(said)


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_frame_of_a_megabyte_is_refused(pipeline: Pipeline, sensor: str) -> None:
    """Every sample that is kept would keep it, and every mask would be sent with it."""
    columns = {name: np.zeros(5, np.float32) for name in ("x", "y", "z", "t", "p")}
    message = {
        "lidar": event_cloud(columns, START_NS),
        "points": event_cloud(columns, START_NS),
        "events": event_packet(b"", encoding="evt3", stamp_ns=START_NS),
    }.get(sensor, image_message(np.zeros((20, 30), np.uint8), "mono8", START_NS))
    assert pipeline.push_message(sensor, message, START_NS) is None
    message.header.frame_id = "x" * 1_000_000
    said = pipeline.push_message(sensor, message, START_NS)
    assert bounded(said) and "has 1000000 characters: expected at most 4096" in str(said)


def test_names_count_in_the_queue_of_events() -> None:
    cloud = event_cloud({"x": np.zeros(3, np.float32)}, START_NS)
    cloud.fields[0].name = "x" * 1_000_000
    assert payload_bytes(cloud) > 1_000_000
    packet = event_packet(b"", encoding="x" * 1_000_000)
    packet.header.frame_id = "y" * 1_000_000
    assert payload_bytes(packet) >= 2_000_000


def test_a_header_without_a_frame_is_none_of_a_frame() -> None:
    rig = RigConfig({"rgb": SensorConfig("rgb", "rgb")})
    alone = Pipeline(rig, Model(Path("nowhere"), small_manifest()), NoEngine())
    message = image_message(np.zeros((20, 30, 3), np.uint8), "rgb8", START_NS)
    del message.header.frame_id
    assert alone.push_message("rgb", message, START_NS) is None


def test_ever_new_names_are_counted_under_one_word(pipeline: Pipeline) -> None:
    for number in range(500):
        cloud = event_cloud({"x": np.zeros(3, np.float32)}, START_NS)
        cloud.fields[0].name, cloud.fields[0].datatype = f"field_{number}", 99
        assert pipeline.push_message("lidar", cloud, 0)
    (status,) = (s for s in pipeline.status(0) if s.sensor == "lidar")
    assert len(status.rejected) <= len(REJECTION_KINDS)
    assert status.rejected["fields"] >= 500
    assert len(repr(status)) < 4000
