from __future__ import annotations

import json
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from fixtures import image_folders
from fixtures.bag_files import (
    IMAGE,
    MS,
    START,
    image_chunks,
    images,
    mcap,
    serialised,
    write_bag,
)
from fixtures.failing_engine import fail_after
from fixtures.image_folders import HEIGHT, WIDTH, write_pairs
from fixtures.scenes import scene

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.replay import arrivals, replay, sensors_by_topic
from anymodal_seg_ros.messages import values
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.events.values import Events

FRAMES = 12
PARAMETERS = """
/**:
  ros__parameters:
    model: {model}
    rig:
      sensors:
        rgb: {{topic: rgb/image, modality: rgb, expected_hz: 10.0}}
        thermal: {{topic: thermal/image, modality: thermal, expected_hz: 10.0}}
        depth: {{topic: depth/image, modality: depth, expected_hz: 10.0}}
"""


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture()
def parameters(tmp_path: Path, tiny_model: Path) -> Path:
    path = tmp_path / "parameters.yaml"
    path.write_text(PARAMETERS.format(model=tiny_model))
    return path


@pytest.fixture()
def bag(tmp_path: Path) -> Path:
    rgb, thermal = write_pairs(tmp_path / "images", FRAMES)
    sensors = ("--sensor", f"rgb={rgb}", "--sensor", f"thermal={thermal}")
    timing = ("--latency", "thermal=20", "--gap", "thermal=0.45:9")
    assert invoke("assemble-bag", tmp_path / "bag", *sensors, *timing).exit_code == 0
    return tmp_path / "bag"


def test_writes_what_the_pipeline_makes_of_the_bag(
    bag: Path, parameters: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = invoke("run", bag, "--params-file", parameters, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{FRAMES} masks" in result.output
    assert "has no /depth/image" in " ".join(result.output.split())

    config = load_config(parameters)
    with Bag(bag) as opened:
        messages = arrivals(opened, sensors_by_topic(config.rig))
        expected = list(replay(Pipeline.from_config(config), messages))
    lines = [json.loads(line) for line in (out / "predictions.jsonl").open()]
    assert len(lines) == len(expected) == FRAMES
    assert {len(line["sensors"]) for line in lines} == {1, 2}, "thermal dies on the way"
    for line, prediction in zip(lines, expected, strict=True):
        sample = prediction.frame_set.reference_sample
        assert line["stamp_ns"] == sample.stamp_ns
        assert line["reference"] == "rgb"
        assert line["frame_id"] == "rgb_optical_frame"
        assert line["picture"] == "rgb"
        assert tuple(line["sensors"]) == tuple(line["offsets_ms"]) == prediction.sensors
        assert line["missing"] == prediction.frame_set.missing
        assert line["states"]["depth"] == "WAITING"
        name = f"{sample.stamp_ns:019d}"
        mask = cv2.imread(str(out / "masks" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, prediction.mask)
        picture = cv2.imread(str(out / "overlays" / f"{name}.jpg"))
        assert picture is not None
        assert picture.shape == (HEIGHT, WIDTH, 3)


def test_masks_without_labels_are_told_and_who_was_silent_at_the_end(
    bag: Path, parameters: Path, tmp_path: Path
) -> None:
    text = parameters.read_text().replace("    rig:\n", "    rig:\n      min_modalities: 2\n")
    parameters.write_text(
        text.replace("thermal, expected", "thermal, stale_after_s: 0.3, expected")
    )
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "masks without labels: 2 modalities are needed, there are 1: rgb" in said
    assert re.search(r"thermal: (STALE|FAILED), silent for \d+\.\d s at the end", said)


def test_a_bag_that_was_recorded_while_it_looped_keeps_the_masks_of_every_loop(
    parameters: Path, tmp_path: Path
) -> None:
    once = images(15, period_ns=100 * MS)
    loops = [(log + loop * 1500 * MS, data) for loop in range(3) for log, data in once]
    bag, out = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, loops)}), tmp_path / "out"
    result = invoke("run", bag, "--params-file", parameters, "--out", out)
    assert "45 masks" in result.output
    names = {path.stem for path in (out / "masks").iterdir()}
    stamps = [str(START + k * 100 * MS) for k in range(15)]
    assert names == {f"{stamp}{again}" for stamp in stamps for again in ("", "_2", "_3")}
    assert {path.stem for path in (out / "overlays").iterdir()} == names


def test_parameters_of_other_nodes_in_the_file_are_told_and_left_alone(
    bag: Path, parameters: Path, tmp_path: Path
) -> None:
    ours = parameters.read_text()
    parameters.write_text(
        ours.replace("  ros__parameters:\n", "  ros__parameters:\n    robot_name: r1\n")
    )
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "not used are robot_name: " in result.output


def test_overlays_say_what_they_rest_on_as_the_node_does(
    parameters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_folders, "HEIGHT", 192)
    monkeypatch.setattr(image_folders, "WIDTH", 256)
    rgb, _ = write_pairs(tmp_path / "images", 4)
    bag, out = tmp_path / "bag", tmp_path / "out"
    assert invoke("assemble-bag", bag, "--sensor", f"rgb={rgb}").exit_code == 0
    assert invoke("run", bag, "--params-file", parameters, "--out", out).exit_code == 0
    *_, path = sorted((out / "overlays").iterdir())
    picture = cv2.imread(str(path))
    assert picture is not None and picture.shape == (192, 256, 3)
    strip, above = picture[-16:], picture[-48:-16]
    assert np.median(strip) < 0.5 * np.median(above), "names stand on dark ground"
    assert strip.max() > 150, "and can be read"


def test_a_file_without_sensors_takes_those_of_the_demo_and_says_so(
    bag: Path, tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model_only.yaml"
    path.write_text(f"/**:\n  ros__parameters:\n    model: {tiny_model}\n")
    result = invoke("run", bag, "--params-file", path, "--out", tmp_path / "out")
    told = " ".join(result.output.split())
    assert "names no sensors of its own: the demo's are taken, rgb, events" in told
    sensors = "".join(
        f"        {name}: {{topic: {name}/image, modality: {modality}}}\n"
        for name, modality in (("rgb", "rgb"), ("thermal", "thermal"))
    )
    path.write_text(path.read_text() + f"    rig:\n      sensors:\n{sensors}")
    result = invoke("run", bag, "--params-file", path, "--out", tmp_path / "out")
    assert "names no sensors" not in " ".join(result.output.split())


def test_a_second_run_replaces_the_first(bag: Path, parameters: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("run", bag, "--params-file", parameters, "--out", out)
    assert invoke(*arguments).exit_code == 0
    (out / "masks" / "0000000000000000007.png").write_bytes(b"of an earlier run")
    assert invoke(*arguments, "--no-overlays").exit_code == 0
    assert len(list((out / "masks").iterdir())) == FRAMES
    assert list((out / "overlays").iterdir()) == []


TIMELINE = """
faults:
  - {sensor: rgb, kind: "off", start_s: 0.75}
  - {sensor: thermal, kind: over_exposure, severity: 0.2}
"""


def test_sensors_break_as_a_timeline_says(bag: Path, parameters: Path, tmp_path: Path) -> None:
    timeline, out = tmp_path / "timeline.yaml", tmp_path / "out"
    timeline.write_text(TIMELINE)
    arguments = ("run", bag, "--params-file", parameters, "--out", out, "--faults", timeline)
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in (out / "predictions.jsonl").open()]
    assert [line["reference"] for line in lines] == ["rgb"] * 8, "eight frames before 0.75 s"
    timeline.write_text("faults: []")
    before = [path.read_bytes() for path in sorted((out / "masks").iterdir())[:4]]
    assert invoke(*arguments).exit_code == 0
    after = [path.read_bytes() for path in sorted((out / "masks").iterdir())[:4]]
    assert before != after, "over-exposed frames look different to the network"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            "{sensor: rbg, kind: stuck}",
            "entry 1 (stuck): sensor is 'rbg': did you mean rgb? expected one of rgb",
        ),
        (
            "{sensor: rgb, kind: lidar_jitter}",
            "entry 1 (lidar_jitter): sensor is 'rgb', of the modality rgb: it fits LiDAR",
        ),
        ("{sensor: rgb, kind: stuck, end: 3.0}", "unknown parameter end: did you mean end_s?"),
    ],
)
def test_a_timeline_that_cannot_be_is_an_error(
    bag: Path, parameters: Path, tmp_path: Path, entry: str, words: str
) -> None:
    timeline = tmp_path / "timeline.yaml"
    timeline.write_text(f"faults: [{entry}]")
    arguments = ("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    result = invoke(*arguments, "--faults", timeline)
    assert result.exit_code == 1
    assert words in result.output


def test_other_peoples_files_are_left_alone(bag: Path, parameters: Path, tmp_path: Path) -> None:
    (tmp_path / "labels" / "masks").mkdir(parents=True)
    mine = tmp_path / "labels" / "masks" / "0001.png"
    mine.write_bytes(b"drawn by hand")
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "labels")
    assert result.exit_code == 1
    assert "not empty" in result.output
    assert mine.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no_such_model"], "no_such_model"),
        (["--engine", "abacus"], "abacus"),
        (["--namespace", "robot"], "has none of the topics /robot/rgb/image"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    bag: Path, parameters: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "o", *arguments)
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert words in line


ONE = """
/**:
  ros__parameters:
    model: {model}
    rig: {{sensors: {{rgb: {{topic: rgb/image, modality: rgb}}}}}}
"""


@pytest.fixture()
def one_camera(tmp_path: Path, tiny_model: Path) -> Path:
    path = tmp_path / "one.yaml"
    path.write_text(ONE.format(model=tiny_model))
    return path


def rgb_bag(path: Path, encoding: str, stamped: bool, black: bool = False) -> Path:
    sent = []
    for index in range(8):
        stamp = START + index * 33 * MS
        pixels = scene("rgb", index, 24, 32) * (not black)
        made = values.image(pixels, "rgb8", stamp if stamped else 0, "camera")
        fields = {**made.fields, "encoding": encoding}
        sent.append((stamp, serialised(values.Message(made.type, fields))))
    return write_bag(path, {"/rgb/image": (IMAGE, sent)})


@pytest.mark.parametrize(
    ("encoding", "stamped", "black", "words"),
    [
        ("mono12", True, False, "rejected: 8, the last one: rgb/image: encoding is 'mono12'"),
        ("rgb8", False, False, "messages rejected: 8, the last one: rgb/image: stamp is 0 s"),
        ("rgb8", True, True, "black"),
        ("[/x][red]\x1b[31m", True, False, "encoding is '[/x][red]"),
    ],
)  # fmt: skip
def test_no_mask_says_why_and_is_a_failure(
    tmp_path: Path, one_camera: Path, encoding: str, stamped: bool, black: bool, words: str
) -> None:
    bag = rgb_bag(tmp_path / "bag", encoding, stamped, black)
    result = invoke("run", bag, "--params-file", one_camera, "--out", tmp_path / "out")
    assert result.exit_code == 1
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert "no mask could be made" in line
    assert words in line
    assert "\x1b" not in result.output


def test_a_sensor_that_lives_but_is_in_no_mask_is_told_with_the_reason(
    tmp_path: Path, parameters: Path
) -> None:
    topics = {f"/{name}/image": (IMAGE, frames(name, 20)) for name in ("rgb", "thermal")}
    bag = write_bag(tmp_path / "bag", topics)
    text = parameters.read_text()
    for name in ("rgb", "thermal"):
        own = f"{{topic: {name}/image, registration: {{camera_info: {name}/info"
        apart = "" if name == "rgb" else ", method: cameras, extrinsics: '0 0 0 0 0 0 1'"
        text = text.replace(f"{{topic: {name}/image", f"{own}{apart}}}")
    parameters.write_text(text)
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("thermal: ")]
    assert "fused in 0 of the last 20 masks: cannot be registered to rgb" in line


def test_a_few_masks_tell_who_is_in_none_of_them(tmp_path: Path, parameters: Path) -> None:
    """After a bag nothing follows from which more could be learned."""
    topics = {"/rgb/image": (IMAGE, frames("rgb", 6)), "/thermal/image": (IMAGE, [])}
    celsius = []
    for index, (log, _) in enumerate(frames("rgb", 6)):
        pixels = np.asarray(scene("thermal", index, 24, 32) / 100 - 273.15, np.float32)
        celsius.append((log, serialised(values.image(pixels, "32FC1", log, "thermal"))))
    topics["/thermal/image"] = (IMAGE, celsius)
    bag = write_bag(tmp_path / "bag", topics)
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    (line,) = [line for line in result.output.splitlines() if line.startswith("thermal: ")]
    assert "fused in 0 of the last 6 masks: 100% of its pixels are outside" in line


def test_packets_of_which_nothing_comes_are_not_no_message(
    tmp_path: Path, parameters: Path
) -> None:
    """What is received of an event camera are its windows, and there is none."""
    packets = []
    for index in range(200):
        stamp = START + index * 10 * MS
        packet = values.event_packet(Events.none(), (24, 32), stamp, stamp, index, "events")
        packets.append((stamp, serialised(packet)))
    topics = {"/rgb/image": (IMAGE, frames("rgb", 60)), "/events": (packet.type, packets)}
    bag = write_bag(tmp_path / "bag", topics)
    events = "events: {topic: events, modality: event, type: event_packet}"
    text = parameters.read_text()
    parameters.write_text(text.replace("        thermal:", f"        {events}\n        thermal:"))
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    (line,) = [line for line in result.output.splitlines() if line.startswith("events: ")]
    assert "INVALID, no window of events for" in line and "they hold no event" in line


def test_damaged_packets_among_good_ones_are_no_fault_of_their_camera(
    tmp_path: Path, parameters: Path
) -> None:
    """The middleware drops such a packet, and the camera goes on being fused."""
    dice, packets = np.random.default_rng(0), []
    for index in range(200):
        stamp = START + index * 10 * MS
        place = (dice.integers(0, side, 300).astype(np.uint16) for side in (32, 24))
        times = stamp + np.sort(dice.integers(0, 10 * MS, 300))
        events = Events(times, *place, dice.integers(0, 2, 300).astype(np.bool_))
        packet = values.event_packet(events, (24, 32), stamp, stamp, index, "events")
        packets.append((stamp, serialised(packet)[: 7 if index % 3 == 0 else None]))
    topics = {"/rgb/image": (IMAGE, frames("rgb", 60)), "/events": (packet.type, packets)}
    bag, out = write_bag(tmp_path / "bag", topics), tmp_path / "out"
    events_of = "events: {topic: events, modality: event, type: event_packet}"
    text = parameters.read_text()
    parameters.write_text(
        text.replace("        thermal:", f"        {events_of}\n        thermal:")
    )
    result = invoke("run", bag, "--params-file", parameters, "--out", out, "--no-overlays")
    assert "messages rejected: 67" in result.output  # behind that so many are lost
    made = [json.loads(line)["sensors"] for line in (out / "predictions.jsonl").open()]
    assert sum("events" in sensors for sensors in made) > len(made) - 10


def test_a_topic_with_more_than_its_rate_is_told(tmp_path: Path, parameters: Path) -> None:
    """Two drivers on one topic are what that mostly is; their pictures come in turn."""
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, frames("rgb", 100))})
    result = invoke(
        "run", bag, "--params-file", parameters, "--out", tmp_path / "out", "--no-overlays"
    )
    (line,) = [line for line in result.output.splitlines() if line.startswith("rgb: ")]
    assert "30.3 Hz come, expected_hz is 10: are there two publishers on the topic?" in line


def test_a_calibration_of_another_type_is_told(tmp_path: Path, parameters: Path) -> None:
    topics = {f"/{name}/image": (IMAGE, frames(name, 6)) for name in ("rgb", "thermal")}
    bag = write_bag(tmp_path / "bag", topics)
    camera = "thermal/image, registration: {camera_info: rgb/image}"
    parameters.write_text(parameters.read_text().replace("thermal/image", camera))
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    told = f"/rgb/image of {bag} is {IMAGE}: expected sensor_msgs/msg/CameraInfo"
    assert told in result.output.splitlines()


def test_nobody_misses_the_topics_of_a_sensor_that_is_disabled(
    tmp_path: Path, parameters: Path
) -> None:
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, frames("rgb", 6))})
    off = "thermal/image, enabled: false, registration: {camera_info: thermal/info}"
    parameters.write_text(parameters.read_text().replace("thermal/image", off))
    result = invoke("run", bag, "--params-file", parameters, "--out", tmp_path / "out")
    assert f"{bag} has no /depth/image: depth counts as missing" in result.output.splitlines()
    assert "/thermal/" not in result.output


def test_where_the_masks_are_is_said_in_one_line(tmp_path: Path, one_camera: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, frames("rgb", 2))})
    out = tmp_path / "a folder with rather a long name"
    result = invoke("run", bag, "--params-file", one_camera, "--out", out)
    assert f"2 masks in {out}" in result.output.splitlines()


def test_a_bag_that_ends_is_no_silence_of_its_sensors(tmp_path: Path) -> None:
    """The last masks are made a moment after the last message: nobody sends any more by then."""
    own = "{topic: NAME/image, modality: NAME, registration: {camera_info: NAME/info}}"
    text = "\n        ".join(f"{n}: {own.replace('NAME', n)}" for n in ("rgb", "thermal"))
    text = text[:-2] + ", method: cameras, extrinsics: '0 0 0 0 0 0 1'}}"
    rig = tmp_path / "rig.yaml"
    rig.write_text(f"/**:\n  ros__parameters:\n    rig:\n      sensors:\n        {text}\n")
    topics = {f"/{name}/image": (IMAGE, frames(name, 15)) for name in ("rgb", "thermal")}
    bag = write_bag(tmp_path / "bag", topics)
    result = invoke("run", bag, "--params-file", rig, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "LATE" not in result.output
    assert "thermal: fused in 0 of the last 15 masks: cannot be registered to rgb" in result.output


def test_stamps_that_several_images_share_are_told(tmp_path: Path, one_camera: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, frames("rgb", 24, shared=3))})
    result = invoke("run", bag, "--params-file", one_camera, "--out", tmp_path / "out")
    assert "8 masks" in result.output
    assert "rgb: 16 of the last 24 messages had the stamp of one before" in result.output


def frames(name: str, count: int, shared: int = 1) -> list[tuple[int, bytes]]:
    """Return images at 30 Hz; so many have the stamp of the first of them."""
    sent = []
    for index in range(count):
        stamp = START + (index - index % shared) * 33 * MS
        pixels = scene(name, index, 24, 32)
        encoding = "rgb8" if pixels.ndim == 3 else "mono16"
        message = values.image(pixels, encoding, stamp, name)
        sent.append((START + index * 33 * MS, serialised(message)))
    return sent


def test_a_topic_without_messages_is_why_there_is_no_mask(tmp_path: Path, one_camera: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, [])})
    result = invoke("run", bag, "--params-file", one_camera, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "no mask could be made" in result.output
    assert "rgb: no message" in result.output


def test_names_are_no_markup(tmp_path: Path, tiny_model: Path) -> None:
    odd = "a[/b]c [red]:smile:"
    path = tmp_path / "odd.yaml"
    depth = f"'[/x]': {{topic: '{odd}', modality: depth}}"
    text = ONE.format(model=tiny_model).replace("rgb: {", f"{depth}, '{odd}': {{")
    path.write_text(text)
    (tmp_path / odd).parent.mkdir()
    write_bag(tmp_path / "plain", {"/rgb/image": (IMAGE, images(4))})
    bag, out = tmp_path / odd, tmp_path / f"out {odd}"
    (tmp_path / "plain").rename(bag)
    result = invoke("run", bag, "--params-file", path, "--out", out, "--no-overlays")
    assert result.exit_code == 0, result.output
    assert odd in result.output.replace("\n", "")
    assert f"has no /{odd}: [/x] counts as missing" in " ".join(result.output.split())


def test_names_of_another_encoding_are_names(tmp_path: Path, one_camera: Path) -> None:
    """OpenCV's own writer dies of them, and takes the process with it."""
    bag, out = (tmp_path / os.fsdecode(name) for name in (b"stra\xdfe", b"l\xf6sung"))
    write_bag(tmp_path / "plain", {"/rgb/image": (IMAGE, images(4))})
    (tmp_path / "plain").rename(bag)
    result = invoke("run", bag, "--params-file", one_camera, "--out", out)
    assert result.exit_code == 0, result.output
    assert "l?sung" in "".join(result.output.split())
    assert len(list(out.glob("masks/*.png"))) == len(list(out.glob("overlays/*.jpg"))) == 4


def test_a_bag_that_was_cut_off_is_used_and_told(tmp_path: Path, one_camera: Path) -> None:
    bag = mcap(tmp_path / "a.mcap", *image_chunks(images(10)), closed=False)
    result = invoke("run", bag, "--params-file", one_camera, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "10 masks" in result.output
    assert "was cut off" in " ".join(result.output.split())


def test_one_damaged_message_costs_one_mask(tmp_path: Path, one_camera: Path) -> None:
    sent = images(10)
    sent[5] = (sent[5][0], sent[5][1][:99])
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, sent)})
    result = invoke("run", bag, "--params-file", one_camera, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "9 masks" in result.output
    said = " ".join(result.output.split())
    assert "messages rejected: 1, the last one: rgb/image: data is no" in said


def test_the_parameter_file_says_in_which_namespace_its_topics_are(
    tmp_path: Path, one_camera: Path
) -> None:
    text = one_camera.read_text().replace("/**:", "/robot1/segmentation_node:")
    one_camera.write_text(text.replace("rgb/image", "~/image"))
    bag = write_bag(tmp_path / "bag", {"robot1/segmentation_node/image": (IMAGE, images(4))})
    result = invoke("run", bag, "--params-file", one_camera, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    other = invoke(
        "run", bag, "--params-file", one_camera, "--out", tmp_path / "o", "--namespace", "/robot2"
    )
    assert other.exit_code == 1
    assert "nothing in" in other.output


def test_latency_is_played(tmp_path: Path, one_camera: Path) -> None:
    bag = write_bag(tmp_path / "bag", {"/rgb/image": (IMAGE, images(30))})
    arguments = ("run", bag, "--params-file", one_camera, "--out", tmp_path / "out")
    result = invoke(*arguments, "--no-overlays", "--latency", "fixed:100")
    assert result.exit_code == 0, result.output
    masks = len(list((tmp_path / "out" / "masks").iterdir()))
    assert 9 <= masks <= 14
    assert f"{30 - masks} frame sets were dropped" in result.output
    assert invoke(*arguments, "--latency", "soon").exit_code == 2


@pytest.mark.parametrize("frames", [0, 4])
@pytest.mark.parametrize("latency", ["none", "fixed:5"])
def test_an_engine_that_fails_is_told_in_one_line_and_the_masks_before_it_are_kept(
    bag: Path,
    parameters: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    frames: int,
    latency: str,
) -> None:
    fail_after(monkeypatch, frames, RuntimeError("CUDA error:\nan illegal memory access"))
    asked = ("--out", tmp_path / "out", "--params-file", parameters, "--latency", latency)
    result = invoke("run", bag, *asked)
    assert result.exit_code == 1
    said = result.output.strip().splitlines()[-1]
    assert "failed, RuntimeError: CUDA error: an illegal memory access; see what" in said
    assert said.startswith("Error: the engine onnxruntime")
    assert len(list((tmp_path / "out" / "masks").iterdir())) == frames


def test_a_fault_of_the_code_around_the_engine_is_not_blamed_on_it(
    bag: Path, parameters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(pipe: Pipeline, now_ns: int) -> None:
        raise RuntimeError("no engine was asked")

    monkeypatch.setattr(Pipeline, "poll", broken)
    with pytest.raises(RuntimeError, match="no engine was asked"):
        invoke("run", bag, "--out", tmp_path / "out", "--params-file", parameters)
