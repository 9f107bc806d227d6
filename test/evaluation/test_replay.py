from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.bag_files import (
    IMAGE,
    camera_info,
    channel,
    images,
    mcap,
    message,
    schema,
    write_bag,
)
from fixtures.messages import image_message
from fixtures.scenes import ENCODINGS, scene
from fixtures.virtual_machine import split_pipeline
from rosbags.rosbag2 import StoragePlugin, Writer

from anymodal_seg_ros.config import (
    RegistrationConfig,
    RigConfig,
    SegConfig,
    SensorConfig,
    seg_config,
)
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.arrivals import CAMERA_INFO, CameraUpdate
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.replay import (
    Arrival,
    absolute_topic,
    arrivals,
    cameras_by_topic,
    check_topics,
    idle_faults,
    latency_model,
    make_injector,
    replay,
    sensors_by_topic,
    with_faults,
)
from anymodal_seg_ros.faults.kinds import Off, OverExposure
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import Image, Prediction
from anymodal_seg_ros.messages.rosbags import TYPES
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.geometry.camera_info import camera_from_info
from anymodal_seg_ros.sensing.geometry.cameras import CalibrationError

START = 1_700_000_000_000_000_000
MS = 1_000_000
LATENCY, DEADLINE = 20 * MS, 40 * MS
RIG = RigConfig(
    sensors={
        "rgb": SensorConfig("rgb/image", "rgb", expected_hz=10.0, tolerance_s=0.05),
        "thermal": SensorConfig("/thermal/image", "thermal", expected_hz=10.0, tolerance_s=0.05),
    },
    deadline_s=DEADLINE / 1e9,
)
FRAMES = 30
DEAD = range(10, 20)


def pixels(sensor: str, index: int) -> Image:
    modality = "rgb" if sensor == "rgb" else "thermal"
    return Image(scene(modality, index, 24, 32), ENCODINGS[modality])


def recorded() -> list[tuple[str, int, int, Image]]:
    """Sensor, stamp, arrival and image; thermal is off for a while."""
    rows = []
    for index in range(FRAMES):
        stamp = START + 100 * MS * index
        rows.append(("rgb", stamp, stamp, pixels("rgb", index)))
        if index not in DEAD:
            rows.append(("thermal", stamp, stamp + LATENCY, pixels("thermal", index)))
    return rows


def messages() -> list[Arrival]:
    return [
        (sensor, log, image_message(image.pixels, image.encoding, stamp))
        for sensor, stamp, log, image in recorded()
    ]


@pytest.fixture()
def pipeline(tiny_model: Path) -> Pipeline:
    return Pipeline.from_config(SegConfig(model=str(tiny_model), rig=RIG))


def stamps(predictions: list[Prediction]) -> list[int]:
    return [p.frame_set.reference_sample.stamp_ns for p in predictions]


def test_every_reference_frame_gets_a_mask_from_what_lives(pipeline: Pipeline) -> None:
    predictions = list(replay(pipeline, messages()))
    assert stamps(predictions) == [START + 100 * MS * i for i in range(FRAMES)]
    used = [p.sensors for p in predictions]
    assert used[1:10] == [("rgb", "thermal")] * 9
    assert used[10:20] == [("rgb",)] * 10
    assert used[-5:] == [("rgb", "thermal")] * 5
    assert pipeline.superseded == 0


def test_the_pipeline_is_polled_when_its_deadline_passes(pipeline: Pipeline) -> None:
    """Not only when the next message happens to come, 100 ms later."""
    predictions = list(replay(pipeline, messages()))
    first_alone = predictions[DEAD[0]]
    reference = first_alone.frame_set.reference_sample
    assert first_alone.frame_set.completed_ns == reference.received_ns + DEADLINE
    in_time = [
        p.frame_set.completed_ns - p.frame_set.reference_sample.received_ns for p in predictions
    ]
    assert max(in_time) <= DEADLINE


def test_the_last_frame_is_not_forgotten(pipeline: Pipeline) -> None:
    without_last_thermal = messages()[:-1]
    predictions = list(replay(pipeline, without_last_thermal))
    assert stamps(predictions)[-1] == START + 100 * MS * (FRAMES - 1)
    assert predictions[-1].sensors == ("rgb",)


def test_frames_that_wait_for_a_late_sensor_when_the_bag_ends_are_not_forgotten() -> None:
    """What is recorded last of a camera that is late are the pictures of a moment before."""
    sensors = {name: SensorConfig(name, name) for name in ("rgb", "thermal")}
    pipe, _ = split_pipeline(RigConfig(sensors), in_time=False)
    period, end = sensors["rgb"].period_ns, 2_000 * MS
    coming: list[Arrival] = []
    for name, lag in (("rgb", 5 * MS), ("thermal", 85 * MS)):
        for number in range((end - lag) // period + 1):
            stamp = START + number * period
            made = image_message(scene(name, number), ENCODINGS[name], stamp)
            coming.append((name, number * period + lag, made))
    masks = list(replay(pipe, sorted(coming, key=lambda arrival: arrival[1])))
    sent = sum(name == "rgb" for name, _, _ in coming)
    assert stamps(masks) == [START + number * period for number in range(sent)]
    assert masks[-1].sensors == ("rgb",)
    assert masks[-5].sensors == ("rgb", "thermal")


@pytest.mark.parametrize("latency", ["fixed:400", "fixed:3000"])
def test_masks_that_are_made_after_the_end_of_a_bag_lack_no_sensor(
    pipeline: Pipeline, latency: str
) -> None:
    """Nobody sends any more by then, and nobody is to blame for it."""
    received = messages()
    made = list(replay(pipeline, received, latency_model(latency)))
    late = [p for p in made if p.frame_set.completed_ns > received[-1][1] + DEADLINE]
    assert late and all(p.sensors == ("rgb", "thermal") for p in late)
    assert [s.state.value for s in pipeline.status(received[-1][1])] == ["OK", "OK"]


def test_a_sensor_that_is_silent_until_its_bag_ends_is_down_by_then(pipeline: Pipeline) -> None:
    cut = [m for m in messages() if m[0] == "rgb" or m[1] < START + 1_000 * MS]
    end_ns = START + 20_000 * MS
    made = list(replay(pipeline, cut, end_ns=end_ns))
    assert len(made) == FRAMES
    rgb, thermal = pipeline.status(end_ns)
    assert rgb.state.value == thermal.state.value == "FAILED"
    assert rgb.age_ns == end_ns - cut[-1][1]


def test_no_messages_make_no_predictions(pipeline: Pipeline) -> None:
    assert list(replay(pipeline, [])) == []


def test_bad_messages_are_counted_and_passed_over(pipeline: Pipeline) -> None:
    broken = messages()
    assert broken[6][0] == "rgb"
    broken[6] = (*broken[6][:2], image_message(np.zeros((4, 4), np.uint8), "mono8", stamp_ns=0))
    predictions = list(replay(pipeline, broken))
    (rgb, _) = predictions[-1].status
    assert rgb.rejected == {"stamp": 1}
    assert stamps(predictions) == [START + 100 * MS * i for i in range(FRAMES) if i != 3]
    assert {p.frame_set.reference for p in predictions} == {"rgb"}, "one bad message is no failure"


def test_a_bag_gives_the_masks_of_its_messages_every_time(
    pipeline: Pipeline, tiny_model: Path, tmp_path: Path
) -> None:
    with ImageBagWriter(tmp_path / "bag") as writer:
        for sensor, stamp, log, image in recorded():
            writer.write(f"/{sensor}/image", image, stamp, log, sensor)
    direct = list(replay(pipeline, messages()))
    with Bag(tmp_path / "bag") as bag:
        sensors = sensors_by_topic(RIG)
        check_topics(bag, sensors)
        again = Pipeline.from_config(SegConfig(model=str(tiny_model), rig=RIG))
        from_bag = list(replay(again, arrivals(bag, sensors)))
    assert stamps(from_bag) == stamps(direct)
    assert [p.sensors for p in from_bag] == [p.sensors for p in direct]
    for one, other in zip(from_bag, direct, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
    assert len({p.mask.tobytes() for p in direct}) == FRAMES, "the masks tell the frames apart"


def test_topics_resolve_as_in_ros() -> None:
    assert absolute_topic("rgb/image") == "/rgb/image"
    assert absolute_topic("rgb/image", "/robot/front/") == "/robot/front/rgb/image"
    assert absolute_topic("/rgb/image", "/robot") == "/rgb/image"
    assert absolute_topic("~/image", "/robot", "seg") == "/robot/seg/image"
    assert absolute_topic("~/image") == "/segmentation_node/image"
    assert absolute_topic("{node}/x", "/robot", "seg") == "/robot/seg/x"
    assert absolute_topic("{ns}/x", "/robot") == "/robot/x"
    topics = sensors_by_topic(RIG, "robot")
    assert topics == {"/robot/rgb/image": "rgb", "/thermal/image": "thermal"}


def test_two_sensors_may_not_share_a_topic_however_it_is_written() -> None:
    sensors = {
        n: {"topic": t, "modality": "rgb"} for n, t in (("a", "rgb/image"), ("b", "/rgb/image"))
    }
    rig = seg_config({"rig": {"sensors": sensors}}).rig
    with pytest.raises(
        ConfigError, match=r"rig\.sensors\.b\.topic is '/rgb/image', which 'a' uses"
    ):
        sensors_by_topic(rig)
    assert sensors_by_topic(rig, "/robot") == {"/robot/rgb/image": "a", "/rgb/image": "b"}


def test_a_bag_without_the_topics_is_told_with_those_it_has(tmp_path: Path) -> None:
    with ImageBagWriter(tmp_path / "bag") as writer:
        writer.write("/cam/color", pixels("rgb", 0), START, START, "frame")
    with Bag(tmp_path / "bag") as bag:
        with pytest.raises(BagError, match=r"/rgb/image.*/cam/color; mend .*inspect BAG --init"):
            check_topics(bag, sensors_by_topic(RIG))
        (line,) = check_topics(bag, {"/cam/color": "rgb", "/absent": "thermal"})
        assert "no /absent: thermal counts as missing" in line


def test_topics_of_other_types_are_told_and_left_alone(pipeline: Pipeline, tmp_path: Path) -> None:
    """A node's subscription to images would not get them either."""
    text = TYPES.serialize_cdr(
        TYPES.types["std_msgs/msg/String"](data="hot"), "std_msgs/msg/String"
    )
    sent = {
        "/rgb/image": (IMAGE, images(3)),
        "/thermal/image": ("std_msgs/msg/String", [(START, bytes(text))]),
    }
    with Bag(write_bag(tmp_path / "bag", sent)) as bag:
        sensors = sensors_by_topic(RIG)
        (line,) = check_topics(bag, sensors)
        assert "/thermal/image" in line
        assert "is std_msgs/msg/String: expected one of sensor_msgs/msg/Image" in line
        assert {sensor for sensor, _, _ in arrivals(bag, sensors)} == {"rgb"}
        with pytest.raises(BagError, match="expected one of"):
            check_topics(bag, {"/thermal/image": "thermal"})


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("sensor_msgs/msg/LaserScan", "laserscan_to_pointcloud_node"),
        ("ffmpeg_image_transport_msgs/msg/FFMPEGPacket", "image_transport republish ffmpeg raw"),
        ("theora_image_transport/msg/Packet", "image_transport republish theora raw"),
        ("theora_image_transport/msg/Packet", "-p in_transport:=theora -p out_transport:=raw"),
        ("point_cloud_interfaces/msg/CompressedPointCloud2", "-p in_transport:=KIND"),
        ("livox_ros_driver2/msg/CustomMsg", "let its driver publish a PointCloud2"),
        ("stereo_msgs/msg/DisparityImage", "publish a depth image"),
        ("", "of no type that the bag tells, its channel has no schema"),
    ],
)
def test_of_types_that_others_make_pictures_of_it_is_told_who_does(
    tmp_path: Path, name: str, says: str
) -> None:
    described = (schema(1, name, definition="") if name else b"") + channel(
        1, int(bool(name)), "/scan"
    )
    file = mcap(tmp_path / "bag.mcap", described + message(1, START, bytes(8)))
    with Bag(file) as bag, pytest.raises(BagError) as caught:
        check_topics(bag, {"/scan": "lidar"})
    assert says in str(caught.value)
    assert "several types" not in str(caught.value)
    assert name in str(caught.value)


def test_of_several_types_on_a_topic_the_one_that_the_rig_names_is_heard(tmp_path: Path) -> None:
    """A node subscribes to that one; without a rig it is whatever can be read."""
    compressed = "sensor_msgs/msg/CompressedImage"
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as out:
        raw, packed = (
            out.add_connection("/rgb/image", kind, typestore=TYPES) for kind in (IMAGE, compressed)
        )
        for stamp, data in images(3):
            out.write(raw, stamp, data)
            out.write(packed, stamp, data)  # whatever it holds
    with Bag(tmp_path / "bag") as bag:
        for kind, heard in (("auto", IMAGE), ("compressed", compressed), ("point_cloud", IMAGE)):
            rig = RigConfig({"rgb": SensorConfig("rgb/image", "rgb", type=kind)})
            found = [m for _, _, m in arrivals(bag, sensors_by_topic(rig), rig=rig)]
            raw_ones = [getattr(m, "__msgtype__", "") == IMAGE for m in found]
            assert raw_ones == [heard == IMAGE] * 3, kind
        (line,) = check_topics(bag, {"/rgb/image": "rgb"})
    assert f"is of several types, {compressed}, {IMAGE}: a node hears" in line


def test_a_topic_of_several_types_that_are_no_pictures_names_them(tmp_path: Path) -> None:
    described = b"".join(
        schema(n, f"a_msgs/msg/Type{n}", definition="") + channel(n, n, "/scan") for n in (1, 2)
    )
    file = mcap(tmp_path / "bag.mcap", described + message(1, START, bytes(8)))
    with Bag(file) as bag, pytest.raises(BagError, match="several types, a_msgs/msg/Type1, a_ms"):
        check_topics(bag, {"/scan": "lidar"})


@pytest.mark.parametrize("faults", [False, True])
def test_a_message_whose_bytes_are_cut_is_rejected_like_any_bad_one(
    pipeline: Pipeline, tmp_path: Path, faults: bool
) -> None:
    sent = images(9)
    sent[4] = (sent[4][0], sent[4][1][:60])
    timeline = FaultTimeline(0, (OverExposure("rgb", 0.0, 60.0, severity=0.2),) if faults else ())
    with Bag(write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, sent)})) as bag:
        came = arrivals(bag, sensors_by_topic(RIG))
        received = with_faults(came, make_injector(timeline, RIG), bag.start_ns)
        predictions = list(replay(pipeline, received))
    assert len(predictions) == 8
    (rgb, _) = pipeline.status(sent[-1][0])
    assert sum(rgb.rejected.values()) == 1
    assert "data is no sensor_msgs/msg/Image" in rgb.last_error


def test_calibrations_come_in_order_of_time_and_a_bad_one_is_counted(tmp_path: Path) -> None:
    rig = RigConfig(
        sensors={
            "a": SensorConfig("a", "rgb", registration=RegistrationConfig(camera_info="info")),
            "b": SensorConfig("b", "rgb", registration=RegistrationConfig(camera_info="info")),
        }
    )
    infos = [(START + 1, camera_info(START, 0.0)), (START + 9, camera_info(START, 20.0))]
    sent = {"/a": (IMAGE, images(1)), "/info": (CAMERA_INFO, [*infos, (START + 11, b"\0\1\0\0zz")])}
    with Bag(write_bag(tmp_path / "bag", sent)) as bag:
        received = list(arrivals(bag, sensors_by_topic(rig), cameras_by_topic(rig)))
    assert [sensor for sensor, _, _ in received] == ["a", "b", "a", "b", "a", "b", "a"]
    assert [time_ns for _, time_ns, _ in received] == sorted(t for _, t, _ in received)
    updates = [message.message for _, _, message in received if isinstance(message, CameraUpdate)]
    assert [update.k[0] for update in updates[:4:2]] == [0.0, 20.0]
    with pytest.raises(CalibrationError):
        camera_from_info(updates[-1])


@pytest.mark.parametrize(
    ("latency", "least", "most"), [("fixed:0", 30, 30), ("fixed:30", 30, 30), ("fixed:100", 9, 13)]
)
def test_a_worker_that_is_busy_drops_frames_as_on_a_robot(
    tiny_model: Path, latency: str, least: int, most: int
) -> None:
    rig = RigConfig(sensors={"rgb": SensorConfig("rgb", "rgb", expected_hz=30.0)})
    config = SegConfig(model=str(tiny_model), rig=rig)
    pipeline = Pipeline.from_config(config, in_time=True)
    received: list[Arrival] = []
    for index in range(30):
        stamp = START + 33 * MS * index
        image = pixels("rgb", index)
        received.append(("rgb", stamp, image_message(image.pixels, image.encoding, stamp)))
    made = stamps(list(replay(pipeline, received, latency_model(latency))))
    assert least <= len(made) <= most
    assert made == sorted(set(made))
    assert pipeline.superseded == 30 - len(made)
    assert made[-1] == received[-1][1], "the newest frame is not the one that is dropped"


def test_measured_latency_is_what_the_mask_took() -> None:
    model = latency_model("measured")
    assert model is not None
    task: Any = None
    assert model(task, 7) == 7
    for text in ("fixed", "fixed:x", "fixed:-1", "fixed:nan", "fast", "none:3"):
        with pytest.raises(ValueError, match="expected none, measured, or fixed:MS"):
            latency_model(text)


@pytest.mark.parametrize("trigger", ["reference", "any"])
@pytest.mark.parametrize("lag_ms", [40, 95])
def test_at_a_desk_no_frame_is_lost_to_a_sensor_that_all_have_waited_for(
    lag_ms: int, trigger: str
) -> None:
    """Thermal images come late: with each, some frame sets become due at the same moment."""
    sensors = {
        "rgb": SensorConfig("rgb/image", "rgb"),
        "thermal": SensorConfig("thermal/image", "thermal", expected_hz=10.0),
    }
    pipe, _ = split_pipeline(RigConfig(sensors, trigger=trigger), in_time=False)
    coming: list[Arrival] = []
    for name, lag in (("rgb", 5), ("thermal", lag_ms)):
        for number in range(int(2 * sensors[name].expected_hz)):
            taken = number * sensors[name].period_ns + 1_000_000 * (name == "thermal")
            stamp = START + taken
            message = image_message(scene(name, number), ENCODINGS[name], stamp)
            coming.append((name, taken + lag * 1_000_000, message))
    masks = list(replay(pipe, sorted(coming, key=lambda arrival: arrival[1])))
    assert pipe.superseded == 0
    rgb = [m for m in masks if m.frame_set.reference == "rgb"]
    assert len(rgb) == 60, "a mask for each of its frames"


def test_faults_that_change_nothing_are_told() -> None:
    sensors: dict[str, Any] = {"rgb": {"topic": "a", "modality": "rgb"}}
    sensors["thermal"] = {"topic": "b", "modality": "thermal", "enabled": False}
    rig = seg_config({"rig": {"sensors": sensors}}).rig
    entries = [("rgb", 1.0), ("*", 1.0), ("thermal", 1.0), ("rgb", 2.5), ("*", 30.0)]
    timeline = FaultTimeline(faults=tuple(Off(name, start) for name, start in entries))
    disabled, late, later = idle_faults(timeline, rig, 2.5)
    assert disabled == "the fault off of thermal changes nothing: the sensor is disabled"
    assert "off of rgb changes nothing: it begins at 2.5 s, the bag ends after 2.50 s" in late
    assert "off of * changes nothing: it begins at 30 s" in later
