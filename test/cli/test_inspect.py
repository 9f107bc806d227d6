from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixtures.bag_files import START, serialised, write_bag
from fixtures.scored_bags import PERIOD_NS, START_NS, write_scored_bag
from rosbags.rosbag2 import StoragePlugin, Writer

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.inspection.findings import CODES, find
from anymodal_seg_ros.evaluation.inspection.proposal import propose
from anymodal_seg_ros.evaluation.inspection.survey import RecordedTopic
from anymodal_seg_ros.frames import Image
from anymodal_seg_ros.messages.rosbags import make, typestore
from anymodal_seg_ros.messages.values import Message, header, image, point_cloud

NO_STAMP = -1


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


def inspect(bag: Path, *args: object) -> tuple[int, dict[str, set[str]]]:
    """Return the exit code and the codes found on each topic."""
    result = invoke("inspect", bag, "--json", *args)
    found: dict[str, set[str]] = {}
    assert result.stdout.startswith("{"), (result.exit_code, result.output)
    for finding in json.loads(result.stdout)["findings"]:
        found.setdefault(finding["topic"], set()).add(finding["code"])
        assert finding["code"] in CODES
        assert finding["severity"] == CODES[finding["code"]][0].value
    return result.exit_code, found


def picture(number: int, encoding: str = "rgb8", size: int = 16) -> Image:
    rng = np.random.default_rng(number)
    shape = (size, size, 3) if encoding == "rgb8" else (size, size)
    kind = {"mono16": np.uint16, "16UC1": np.uint16, "32FC1": np.float32}.get(encoding, np.uint8)
    return Image((rng.random(shape) * 200).astype(kind), encoding)


def write(
    path: Path,
    streams: dict[str, list[tuple[int, int]]],
    origin_ns: int = START_NS,
    **encodings: str,
) -> Path:
    """Write topics with messages of (stamp, log time) in ns after the origin."""
    messages = sorted(
        (log, topic, stamp) for topic, times in streams.items() for stamp, log in times
    )
    with ImageBagWriter(path) as bag:
        for number, (log, topic, stamp) in enumerate(messages):
            encoding = encodings.get(topic.strip("/").replace("/", "_"), "rgb8")
            absolute = 0 if stamp == NO_STAMP else origin_ns + stamp
            bag.write(topic, picture(number, encoding), absolute, origin_ns + log, "frame")
    return path


def steady(count: int = 30, start: int = 0, period: int = PERIOD_NS, delay: int = 0) -> Any:
    return [(start + n * period, start + n * period + delay) for n in range(count)]


def test_a_good_bag_has_nothing_wrong(tmp_path: Path, tiny_model: Path) -> None:
    bag = write_scored_bag(tmp_path, tiny_model)
    code, found = inspect(bag, "--params", bag / "rig.yaml")
    assert code == 0
    assert set.union(*found.values()) == {"C601", "L801", "T701"}
    result = invoke("inspect", bag)
    assert "/thermal/image" in result.output
    assert "0 error" in result.output


def test_the_proposed_rig_can_be_evaluated(tmp_path: Path, tiny_model: Path) -> None:
    bag = write_scored_bag(tmp_path, tiny_model, 12)
    rig = tmp_path / "proposed.yaml"
    told = invoke("inspect", bag, "--init", rig, "--model", tiny_model)
    assert told.exit_code == 0
    assert f"next: anymodal-seg evaluate {bag} --params {rig}" in told.stderr
    sensors = load_config(rig).rig.sensors
    assert {n: (s.topic, s.modality, s.expected_hz) for n, s in sensors.items()} == {
        "rgb": ("/rgb/image", "rgb", 10.0),
        "thermal": ("/thermal/image", "thermal", 10.0),
    }
    assert load_config(rig).model == str(tiny_model), "so the next line need not name it again"
    arguments = ("--params", rig, "--out", tmp_path / "card")
    assert invoke("evaluate", bag, *arguments).exit_code == 0
    again = invoke("inspect", bag, "--init", rig)
    assert again.exit_code == 2, "nothing is replaced"


def test_what_is_off_in_the_proposed_parameters_is_told() -> None:
    cloud, image = (RecordedTopic(name, kind, [0]) for name, kind in CLOUD_AND_IMAGE)
    proposal = propose([cloud, image], ["rgb"])
    assert proposal.sensors == ("front",)
    assert proposal.off == {"top": "the model knows no lidar"}
    alone = propose([cloud], ["rgb", "lidar"])
    assert alone.sensors == ()
    assert "drawn into the picture of the first camera" in alone.off["top"]
    assert "enabled: false" in alone.text
    assert "model:" not in alone.text


def test_sensors_of_one_kind_are_told_apart_by_what_their_topics_say() -> None:
    names = ("/lucid/front/image", "/lwir/front/image", "/left/rgb/image", "/right/rgb/image")
    topics = [RecordedTopic(name, "sensor_msgs/msg/Image", [0]) for name in (*names, "/top/image")]
    proposal = propose(topics, ["rgb", "thermal"])
    assert set(proposal.sensors) == {"lucid_front", "lwir_front", "left_rgb", "right_rgb", "top"}
    bare = [RecordedTopic(name, "sensor_msgs/msg/Image", [0]) for name in ("/image", "/camera")]
    assert propose(bare, ["rgb"]).sensors == ("rgb", "rgb_2"), "nothing says anything"


def test_two_robots_in_one_bag_are_told() -> None:
    def codes(*names: str) -> list[str]:
        topics = [RecordedTopic(name, "sensor_msgs/msg/Image", [0]) for name in names]
        return [finding.code for finding in find(topics)]

    assert "B104" in codes("/r1/rgb/image", "/r1/ir/image", "/r2/rgb/image", "/r2/ir/image")
    assert "B104" not in codes("/left/image", "/right/image"), "two cameras"
    assert "B104" not in codes("/r1/rgb/image", "/r1/ir/image", "/r2/rgb/image")


def test_a_lidar_that_is_off_in_the_proposed_rig_needs_no_place(
    tmp_path: Path, tiny_model: Path
) -> None:
    """Most robots have one, and few bags tell where it is: the next line shall do all the same."""
    types = typestore()
    points = np.zeros(50, [(name, "<f4") for name in "xyz"])
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        for number in range(10):
            stamp = START_NS + number * PERIOD_NS
            drawn = picture(number)
            for topic, message in (
                ("/front/image", image(drawn.pixels, drawn.encoding, stamp, "front")),
                ("/points", point_cloud(points, stamp, "top")),
            ):
                made = make(message)
                kind = made.__msgtype__
                known = {c.topic: c for c in bag.connections}
                place = known.get(topic) or bag.add_connection(topic, kind, typestore=types)
                bag.write(place, stamp, bytes(types.serialize_cdr(made, kind)))
    rig = tmp_path / "rig.yaml"
    told = invoke("inspect", tmp_path / "bag", "--init", rig, "--model", tiny_model)
    assert "lidar is off: " in told.output
    done = invoke("evaluate", tmp_path / "bag", "--params", rig, "--out", tmp_path / "card")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "kind", ["event_camera_msgs/msg/EventPacket", "prophesee_event_msgs/msg/EventArray"]
)
@pytest.mark.parametrize(("packet_hz", "picture_hz"), [(250, 30.0), (10, 10.0)])
def test_packets_of_events_are_not_pictures(kind: str, packet_hz: int, picture_hz: float) -> None:
    rng = np.random.default_rng(0)
    steps = rng.integers(1, 4, 200) * 10**9 // (2 * packet_hz)
    times = [int(t) for t in START_NS + np.cumsum(steps)]
    events = RecordedTopic("/dvs/events", kind, times, stamps_ns=times)
    proposal = propose([events], ["event"])
    assert f"expected_hz: {picture_hz}\n" in proposal.text
    assert not {"R302", "R304"} & {finding.code for finding in find([events])}


def test_of_two_robots_one_is_on_in_the_proposed_rig() -> None:
    """What is in one parameter file is fused, so the next line would take two robots for one."""
    topics = [
        RecordedTopic(f"/r{robot}/{camera}/image", "sensor_msgs/msg/Image", [0])
        for robot in (1, 2)
        for camera in ("front", "boson")
    ]
    proposal = propose(topics, ["rgb", "thermal"])
    assert proposal.sensors == ("front", "boson")
    assert list(proposal.off) == ["front_2", "boson_2"]
    assert "the same topics are in /r1" in proposal.off["boson_2"]


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (("/r1/camera/image_raw", "/r1/thermal/image_raw"), ("rgb", "thermal")),
        (("/r1/camera/image_raw",), ("r1",)),
        (("/left/image_raw", "/thermal/image_raw"), ("left", "thermal")),
    ],
)
def test_the_name_of_a_robot_is_not_that_of_a_sensor(
    topics: tuple[str, ...], names: tuple[str, ...]
) -> None:
    recorded = [RecordedTopic(name, "sensor_msgs/msg/Image", [0]) for name in topics]
    assert propose(recorded, ["rgb", "thermal"]).sensors == names


def test_pictures_that_cannot_be_taken_are_told_beside_those_that_can() -> None:
    topics = [
        RecordedTopic("/ir/image", "sensor_msgs/msg/Image", [0]),
        RecordedTopic("/front/theora", "theora_image_transport/msg/Packet", [0]),
        RecordedTopic("/front/video", "foxglove_msgs/msg/CompressedVideo", [0]),
        RecordedTopic("/imu", "sensor_msgs/msg/Imu", [0]),
    ]
    told = {f.topic: f.text for f in find(topics) if f.code == "B105"}
    assert set(told) == {"/front/theora", "/front/video"}
    assert "republish theora raw" in told["/front/theora"]
    assert "an Image or CompressedImage" in told["/front/video"]


def test_a_topic_of_several_types_is_read_as_the_one_that_can_be(tmp_path: Path) -> None:
    types = typestore()
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as bag:
        words = bag.add_connection("/a/image", "std_msgs/msg/String", typestore=types)
        pictures = bag.add_connection("/a/image", "sensor_msgs/msg/Image", typestore=types)
        for number in range(10):
            stamp = START_NS + number * PERIOD_NS
            drawn = picture(number)
            message = make(image(drawn.pixels, drawn.encoding, stamp, "a"))
            text = types.types["std_msgs/msg/String"]("a word")
            bag.write(words, stamp, bytes(types.serialize_cdr(text, words.msgtype)))
            bag.write(pictures, stamp + 1, bytes(types.serialize_cdr(message, pictures.msgtype)))
    code, found = inspect(tmp_path / "bag")
    assert code == 0
    assert "E503" in found["/a/image"]
    (topic,) = json.loads(invoke("inspect", tmp_path / "bag", "--json").stdout)["topics"]
    assert (topic["type"], topic["messages"]) == ("sensor_msgs/msg/Image", 10)
    assert topic["rate_hz"] == pytest.approx(10.0)


def test_a_recorder_that_was_paused_is_told(tmp_path: Path) -> None:
    both = [*steady(20), *steady(20, start=20_000_000_000)]
    bag = write(tmp_path / "bag", {"/a/image": both, "/b/image": both})
    assert "R303" in inspect(bag)[1][""]
    one = write(tmp_path / "one", {"/a/image": both, "/b/image": steady(220)})
    assert "R303" not in inspect(one)[1].get("", set()), "one sensor was silent, the other sent"


def test_points_are_placed_by_tf_where_the_bag_tells_it() -> None:
    cloud, image = (RecordedTopic(name, kind, [0]) for name, kind in CLOUD_AND_IMAGE)
    info = RecordedTopic("/front/camera_info", "sensor_msgs/msg/CameraInfo", [0], calibrated=True)
    places = RecordedTopic("/tf_static", "tf2_msgs/msg/TFMessage", [0])
    proposal = propose([cloud, image, info, places], ["rgb", "lidar"])
    assert (proposal.sensors, proposal.off) == (("front", "top"), {})
    assert "method: cameras\n            extrinsics: tf" in proposal.text
    unplaced = propose([cloud, image, info], ["rgb", "lidar"])
    assert (unplaced.sensors, list(unplaced.off)) == (("front",), ["top"])


CLOUD_AND_IMAGE = (
    ("/top/points", "sensor_msgs/msg/PointCloud2"),
    ("/front/image", "sensor_msgs/msg/Image"),
)


@pytest.mark.parametrize(
    ("topic", "encoding", "modality"),
    [
        ("/camera/color/image_raw", "rgb8", "rgb"),
        ("/camera/aligned_depth_to_color/image_raw", "16UC1", "depth"),
        ("/front/image", "32FC1", "depth"),
        ("/boson/image", "mono16", "thermal"),
        ("/flir_adk/image_raw", "mono8", "thermal"),
        ("/ir_left/image", "mono8", "thermal"),
        ("/first/image", "mono8", "rgb"),
        ("/dvs/image", "rgb8", "event"),
    ],
)
def test_kinds_of_sensors_are_guessed(
    tmp_path: Path, topic: str, encoding: str, modality: str
) -> None:
    key = topic.strip("/").replace("/", "_")
    bag = write(tmp_path / "bag", {topic: steady()}, **{key: encoding})
    assert invoke("inspect", bag, "--init", tmp_path / "rig.yaml").exit_code == 0
    (sensor,) = load_config(tmp_path / "rig.yaml").rig.sensors.values()
    assert sensor.modality == modality


@pytest.mark.parametrize(
    ("topic", "sensed"),
    [
        ("/camera/color/image_raw/compressed", True),
        ("/masthead/image", True),
        ("/camera/color/labels/compressed", False),
        ("/cam/truth", False),
        ("/cam/seg/compressed", False),
        ("/ego/semantic_segmentation_front/image", False),
        ("/camera/confidence/image_rect_raw", False),
        ("/segmentation_node/mask_color/compressed", False),
    ],
)
def test_what_nobody_sensed_is_no_sensor(topic: str, sensed: bool) -> None:
    compressed = topic.endswith("compressed")
    kind = f"sensor_msgs/msg/{'CompressedImage' if compressed else 'Image'}"
    topics = [RecordedTopic(topic, kind, [0]), RecordedTopic("/ir/image", kind, [0])]
    proposal = propose(topics, ["rgb", "thermal"])
    assert (len(proposal.sensors) == 2) is sensed
    told = {finding.code: finding for finding in find(topics) if finding.code.startswith("L")}
    if "labels" in topic:
        assert set(told) == {"L801"}
    elif not sensed:
        assert f"--labels {topic}" in told["L802"].text
    else:
        assert not told


def test_zero_stamps(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", {"/a/image": [(NO_STAMP, n * PERIOD_NS) for n in range(10)]})
    code, found = inspect(bag)
    assert code == 1
    assert "S201" in found["/a/image"]


def test_a_simulators_clock_begins_at_zero_and_is_no_fault(tmp_path: Path) -> None:
    times = {"/a/image": steady(start=PERIOD_NS), "/b/image": steady(start=PERIOD_NS)}
    bag = write(tmp_path / "bag", times, origin_ns=0)
    code, found = inspect(bag)
    assert code == 0
    assert set.union(*found.values()) == {"C601", "T701"}


def test_the_first_stamp_of_a_simulation_may_be_zero(tmp_path: Path) -> None:
    bag = write(tmp_path / "bag", {"/a/image": steady(), "/b/image": steady()}, origin_ns=0)
    code, found = inspect(bag)
    assert code == 0
    assert "S201" not in found["/a/image"]


def test_a_camera_without_a_set_clock_is_told_as_such(tmp_path: Path) -> None:
    since_boot = [(stamp - START_NS + 5_000_000_000_000, log) for stamp, log in steady()]
    bag = write(tmp_path / "bag", {"/a/image": since_boot, "/b/image": steady()})
    result = invoke("inspect", bag)
    assert result.exit_code == 1
    told = next(line for line in result.output.splitlines() if "S206" in line)
    assert "/a/image: its stamps are 1699995000 s behind those of /b/image" in told
    assert "S205" not in result.output, "no deadline mends a clock"


def test_stamps_that_are_missing_are_no_gap(tmp_path: Path) -> None:
    times = [(NO_STAMP if n < 10 else stamp, log) for n, (stamp, log) in enumerate(steady())]
    bag = write(tmp_path / "bag", {"/a/image": times, "/b/image": steady()})
    assert inspect(bag)[1]["/a/image"] == {"S201", "C601"}


def test_one_damaged_message_takes_no_sensor_from_the_proposed_rig(tmp_path: Path) -> None:
    pictures = {"/a/image": [picture(n) for n in range(10)]}
    pictures["/b/image"] = [picture(n, size=8 if n == 4 else 16) for n in range(10)]
    with ImageBagWriter(tmp_path / "bag") as bag:
        for number in range(10):
            for topic, images in pictures.items():
                image = images[number]
                if image.width == 8:  # the encoding of colours, the bytes of grey
                    image = Image(picture(number, "mono8").pixels, "rgb8")
                now = START_NS + number * PERIOD_NS
                bag.write(topic, image, now, now, "frame")
    assert "E501" in inspect(tmp_path / "bag")[1]["/b/image"]
    rig = tmp_path / "rig.yaml"
    invoke("inspect", tmp_path / "bag", "--init", rig)
    assert {s.topic for s in load_config(rig).rig.sensors.values()} == {"/a/image", "/b/image"}


@pytest.mark.parametrize(
    ("pictures", "told"),
    [
        ([b"II*\0" + bytes([n]) * 40 for n in range(9)], "data is a tiff picture"),
        ([bytes([n, 200 - n]) * 40 for n in range(9)], "data begins with 00 c8 00 c8"),
        ([b"\x89PNG\r\n\x1a\n" + bytes(n) for n in range(9)], "a png picture whose header"),
    ],
)
def test_messages_that_are_wrong_in_one_way_are_told_in_one_line(
    tmp_path: Path, pictures: list[bytes], told: str
) -> None:
    kind = "sensor_msgs/msg/CompressedImage"
    sent = []
    for number, data in enumerate(pictures):
        stamp = START + number * PERIOD_NS
        content: dict[str, Any] = {"header": header(stamp, "camera"), "format": "x"}
        content["data"] = np.frombuffer(data, np.uint8)
        sent.append((stamp, serialised(Message(kind, content))))
    bag = write_bag(tmp_path / "bag", {"/a/compressed": (kind, sent)})
    lines = [line for line in invoke("inspect", bag).output.splitlines() if "E501" in line]
    assert len(lines) == 1 and "/a/compressed: 9 of 9: " in lines[0] and told in lines[0]


def test_stamps_that_go_back_and_repeat(tmp_path: Path) -> None:
    times = steady()
    times[10] = (times[8][0], times[10][1])
    times[20] = (times[19][0], times[20][1])
    code, found = inspect(write(tmp_path / "bag", {"/a/image": times}))
    assert code == 1
    assert {"S202", "S203"} <= found["/a/image"]


def test_clocks_and_latencies(tmp_path: Path) -> None:
    late = steady(delay=250_000_000)
    code, found = inspect(write(tmp_path / "bag", {"/a/image": steady(), "/b/image": late}))
    assert code == 0, found
    assert "S205" in found["/b/image"]
    assert "S205" not in found.get("/a/image", set()), found
    told = invoke("inspect", tmp_path / "bag").output
    assert "250 ms later after its stamp than /a/image: if its stamps are right, raise" in told
    assert "rig.deadline_max_s to 0.27; if its clock is behind, set its offset_s to 0.25" in told
    apart = write(tmp_path / "apart", {"/a/image": steady(), "/b/image": steady(delay=11 * 10**9)})
    assert "S206" in inspect(apart)[1]["/b/image"], "no parameter holds so much"
    old = write(tmp_path / "old", {"/a/image": steady(delay=3_600_000_000_000)})
    assert "S204" in inspect(old)[1]["/a/image"]
    assert inspect(old, "--strict")[0] == 1
    assert inspect(old, "--strict", "--ignore", "S204")[0] == 0
    still = write(tmp_path / "still", {"/a/image": [(stamp, 0) for stamp, _ in steady()]})
    code, found = inspect(still)
    assert code == 1 and "S207" in found[""], found


def test_two_cameras_on_one_topic_are_told(tmp_path: Path) -> None:
    """Their stamps need neither repeat nor go back; only the frames tell."""
    with ImageBagWriter(tmp_path / "bag") as bag:
        for number in range(20):
            stamp = START_NS + number * PERIOD_NS
            bag.write("/image", picture(number), stamp, stamp, ("left", "right")[number % 2])
    _, found = inspect(tmp_path / "bag")
    assert "E504" in found["/image"]


def test_gaps_and_irregular_rates(tmp_path: Path) -> None:
    holes = [t for n, t in enumerate(steady(60)) if not 20 <= n < 40]
    uneven = [t for n, t in enumerate(steady(60)) if n % 7]
    _, found = inspect(write(tmp_path / "bag", {"/a/image": holes, "/b/image": uneven}))
    assert "R301" in found["/a/image"]
    assert "R302" in found["/b/image"]


def test_messages_that_were_held_back_are_told(tmp_path: Path) -> None:
    """By their stamps all is well, but the watchdog goes by when they come."""
    second = 1_000_000_000
    held = [
        (stamp, (stamp // second + 1) * second + stamp % second // 1000) for stamp, _ in steady()
    ]
    bag = write(tmp_path / "bag", {"/a/image": held, "/b/image": steady(delay=second)})
    code, found = inspect(bag)
    assert code == 0
    assert "R304" in found["/a/image"]
    assert "R304" not in found["/b/image"]


def test_a_thermal_camera_may_close_its_shutter(tmp_path: Path) -> None:
    """It is STALE after 1.5 s only; any other camera is so in a gap of 0.9 s."""
    holed = [t for n, t in enumerate(steady(60, period=100_000_000)) if not 20 <= n < 28]
    bag = write(tmp_path / "bag", {"/rgb/image": holed, "/ir/image": holed}, ir_image="mono16")
    told = [line for line in invoke("inspect", bag).output.splitlines() if "R301" in line]
    assert ["will be LATE" in line for line in told] == ["/ir/image" in line for line in told]
    assert len(told) == 2


def test_a_slow_sensor_covers_its_last_period_too(tmp_path: Path) -> None:
    """In a bag of 0.3 s a camera of 10 Hz is there from 0 to 0.2 s, and that is all of it."""
    fast, slow = steady(30, period=10_000_000), steady(3, period=100_000_000)
    _, found = inspect(write(tmp_path / "bag", {"/a/image": fast, "/b/image": slow}))
    assert "O402" not in set.union(*found.values())


def test_topics_that_never_overlap(tmp_path: Path) -> None:
    streams = {"/a/image": steady(), "/b/image": steady(start=10_000_000_000)}
    code, found = inspect(write(tmp_path / "bag", streams))
    assert code == 1
    assert "O401" in found["/a/image"]
    assert "O402" in found["/b/image"]


def test_a_parameter_file_that_does_not_fit(tmp_path: Path, tiny_model: Path) -> None:
    bag = write_scored_bag(tmp_path, tiny_model)
    text = (bag / "rig.yaml").read_text().replace("thermal/image", "lwir/image", 1)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(text.replace("expected_hz: 10.0", "expected_hz: 30.0", 1))
    code, found = inspect(bag, "--params", wrong)
    assert code == 1
    assert "P901" in found["/lwir/image"]
    assert "P903" in found["/rgb/image"]


def test_what_cannot_be_read_exits_with_2(tmp_path: Path) -> None:
    result = invoke("inspect", tmp_path / "nowhere")
    assert result.exit_code == 2
    assert "there is no bag" in result.output


def test_a_finding_that_does_not_exist_cannot_be_passed_over(tmp_path: Path) -> None:
    result = invoke("inspect", tmp_path, "--ignore", "c60")
    assert result.exit_code == 2
    assert "there is no finding 'c60': did you mean C60" in " ".join(result.output.split())


def test_a_parameter_file_that_is_there_stays(tmp_path: Path, tiny_model: Path) -> None:
    bag = write_scored_bag(tmp_path, tiny_model)
    mine = tmp_path / "mine.yaml"
    mine.write_text("years of work")
    result = invoke("inspect", bag, "--model", tiny_model, "--init", mine)
    assert result.exit_code == 2
    assert "exists already: choose another name" in result.output
    assert mine.read_text() == "years of work"


def test_the_page_lists_every_code(project_root: Path) -> None:
    page = (project_root / "docs" / "reference" / "findings.md").read_text(encoding="utf-8")
    for code, (severity, text) in CODES.items():
        assert f"| `{code}` | {severity.value} | {text} |" in page
