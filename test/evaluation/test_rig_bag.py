"""A drive of the simulated rig as a bag: what is in it, when, and that the pipeline takes it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymodal_seg_ros.config import EventConfig, load_config
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.rig_bag import write_rig_bag
from anymodal_seg_ros.evaluation.rig_parameters import PARAMETERS, rig_parameters
from anymodal_seg_ros.evaluation.rig_shots import EVENT_SPAN_NS, RigBagConfig, instants
from anymodal_seg_ros.faults.timeline import parse_timeline
from anymodal_seg_ros.sensing.decoding.decode import decode_image
from anymodal_seg_ros.sensing.decoding.point_clouds import decode_cloud
from anymodal_seg_ros.sensing.events.windows import EventStream
from anymodal_seg_ros.simulation.cameras.sensors import Observer
from anymodal_seg_ros.simulation.dataset.frames import sized_sensors
from anymodal_seg_ros.simulation.rig import Rig, mounted_sensors
from anymodal_seg_ros.simulation.world.camera import Mount, MountedCamera
from anymodal_seg_ros.simulation.world.scene import Scene, SceneConfig

SCENE = SceneConfig(11, weather="sun", kind="suburban", ego="driving")
LATENCY_NS = {"rgb": 30_000_000, "thermal": 70_000_000, "depth": 0, "events": 5_000_000, "lidar": 0}
SENSORS: Any = tuple(
    dataclasses.replace(
        sensor,
        latency_ns=LATENCY_NS[sensor.name],
        camera=MountedCamera(sensor.camera.intrinsics, Mount(y=0.1 * number)),
    )
    for number, sensor in enumerate(sized_sensors(64, 48))
)
CONFIG = RigBagConfig(SCENE, SENSORS, duration_s=0.3)
Recorded = dict[str, list[tuple[int, Any]]]


def recorded(path: Path) -> Recorded:
    """Log times and messages by topic."""
    found: Recorded = {}
    with Bag(path) as bag:
        for raw in bag.messages(list(bag.topics)):
            found.setdefault(raw.topic, []).append((raw.log_ns, bag.decode(raw)))
    return found


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    write_rig_bag(path, CONFIG, workers=1)
    return path


@pytest.fixture(scope="module")
def found(bag: Path) -> Recorded:
    return recorded(bag)


def test_every_sensor_has_its_own_stamps_rate_and_latency(found: Recorded) -> None:
    for sensor in SENSORS:
        what = "points" if sensor.name == "lidar" else "image"
        messages = found[f"/{sensor.name}/{what}"]
        stamps = [stamp_ns(message) for _, message in messages]
        times = list(instants(CONFIG, sensor, (0, 300_000_000)))
        assert stamps == [CONFIG.start_ns + time for time in times]
        assert abs(len(stamps) - 0.3 * sensor.rate_hz) <= 1
        assert {log - stamp for (log, _), stamp in zip(messages, stamps, strict=True)} == {
            LATENCY_NS[sensor.name]
        }
    first = {stamp_ns(messages[0][1]) for name, messages in found.items() if "image" in name}
    assert len(first) == 4


def test_images_and_labels_are_what_the_rig_sees_at_the_stamp(found: Recorded) -> None:
    rig, scene = Rig(SENSORS), Scene(SCENE)
    for name in ("rgb", "thermal", "depth", "events"):
        (_, message), (_, labels) = found[f"/{name}/image"][-1], found[f"/{name}/labels"][-1]
        assert stamp_ns(message) == stamp_ns(labels)
        assert message.header.frame_id == f"{name}_optical_frame"
        frame = rig.capture(scene, stamp_ns(message) - CONFIG.start_ns, [name])
        image = decode_image(message)
        assert image.encoding == frame.images[name].encoding
        np.testing.assert_array_equal(image.pixels, frame.images[name].pixels)
        assert labels.encoding == "mono8"
        np.testing.assert_array_equal(decode_image(labels).pixels, frame.labels[name])


def test_packets_hold_every_event_once(found: Recorded) -> None:
    stream = EventStream(EventConfig(), 1_000_000_000)
    for _, message in found["/events/packets"]:
        stream.push(message)
    stream.flush()
    cut = stream.store.cut(0, 1 << 62)
    camera = next(s for s in SENSORS if s.name == "events")
    observer = Observer(Scene(SCENE))
    spans = [(t, t + EVENT_SPAN_NS) for t in range(0, 200_000_000, EVENT_SPAN_NS)]
    drawn = [camera.packets(observer, *span) for span in spans]
    expected = np.concatenate([events.time_ns for events in drawn]) + CONFIG.start_ns
    on = np.concatenate([events.on for events in drawn])
    early = cut.time_ns < CONFIG.start_ns + 200_000_000
    assert len(expected) > 1000
    np.testing.assert_array_equal(np.sort(cut.time_ns[early]), np.sort(expected))
    assert int((cut.cells[early] & 1).sum()) == int(on.sum())


def test_clouds_carry_ring_and_label(found: Recorded) -> None:
    _, message = found["/lidar/points"][0]
    cloud = decode_cloud(message)
    assert cloud.dtype.names == ("x", "y", "z", "intensity", "ring", "label")
    lidar = next(s for s in SENSORS if s.name == "lidar")
    points = lidar.scan(Observer(Scene(SCENE)), stamp_ns(message) - CONFIG.start_ns)
    np.testing.assert_array_equal(cloud.reshape(-1)["x"], points["x"])
    np.testing.assert_array_equal(cloud.reshape(-1)["label"], points["label"])
    assert message.header.frame_id == "lidar_frame"


def test_frames_form_one_tree_with_the_vehicle_moving(found: Recorded) -> None:
    ((_, static),) = found["/tf_static"]
    children = {t.child_frame_id for t in static.transforms}
    assert children >= {"rgb_optical_frame", "events_optical_frame", "lidar_frame"}
    assert {t.header.frame_id for t in static.transforms} == {"base_link"}
    moving = [message.transforms[0] for _, message in found["/tf"]]
    assert len(moving) == 15
    assert {(t.header.frame_id, t.child_frame_id) for t in moving} == {("odom", "base_link")}
    assert moving[-1].transform.translation.x > moving[0].transform.translation.x + 0.5


def test_messages_are_recorded_in_the_order_of_their_arrival(bag: Path) -> None:
    with Bag(bag) as opened:
        logs = [raw.log_ns for raw in opened.messages(list(opened.topics))]
    assert logs == sorted(logs)


def test_the_parameters_beside_the_bag_load_and_place_every_sensor(bag: Path) -> None:
    rig = load_config(bag / PARAMETERS).rig
    assert list(rig.sensors) == ["rgb", "thermal", "depth", "events"]
    assert rig.sensors["events"].type == "event_packet"
    assert rig.sensors["depth"].registration.method == "depth"
    # The thermal camera sits 10 cm to the left, which is -x in the optical frame.
    numbers = [float(word) for word in rig.sensors["thermal"].registration.extrinsics.split()]
    np.testing.assert_allclose(numbers, [-0.1, 0, 0, 0, 0, 0, 1], atol=1e-8)


def test_faults_change_sensors_and_never_the_truth(tmp_path: Path) -> None:
    short = dataclasses.replace(CONFIG, sensors=SENSORS[:2], duration_s=0.2)
    timeline = parse_timeline(
        {
            "seed": 1,
            "faults": [
                {"sensor": "rgb", "kind": "off", "start_s": 0.05, "end_s": 0.15},
                {"sensor": "thermal", "kind": "delayed", "delay_s": 0.2},
            ],
        }
    )
    write_rig_bag(tmp_path / "whole", short, workers=1)
    write_rig_bag(tmp_path / "faulty", short, timeline=timeline, workers=1)
    whole, faulty = recorded(tmp_path / "whole"), recorded(tmp_path / "faulty")
    assert len(faulty["/rgb/labels"]) == len(whole["/rgb/labels"])
    gone = {log for log, _ in whole["/rgb/image"]} - {log for log, _ in faulty["/rgb/image"]}
    assert len(gone) == 3
    assert all(0.05 <= (log - CONFIG.start_ns) / 1e9 < 0.15 for log in gone)
    late = [log - stamp_ns(message) for log, message in faulty["/thermal/image"]]
    assert set(late) == {270_000_000}
    kept = dict(faulty["/rgb/image"])
    for log, message in whole["/rgb/image"]:
        if log in kept:
            np.testing.assert_array_equal(kept[log].data, message.data)


def test_sqlite3_holds_the_same_as_mcap_whatever_the_number_of_workers(tmp_path: Path) -> None:
    short = dataclasses.replace(CONFIG, duration_s=0.05)
    found = []
    for storage, workers in (("mcap", 1), ("sqlite3", 2)):
        write_rig_bag(tmp_path / storage, short, storage=storage, workers=workers)
        with Bag(tmp_path / storage) as bag:
            found.append(
                sorted((m.topic, m.log_ns, m.data) for m in bag.messages(list(bag.topics)))
            )
    assert found[0] == found[1]
    assert list((tmp_path / "sqlite3").glob("*.db3"))


def test_a_bag_that_is_there_is_not_overwritten(bag: Path) -> None:
    with pytest.raises(BagError, match="exists already"):
        write_rig_bag(bag, CONFIG, workers=1)


def test_the_installed_parameters_of_the_mounted_rig_are_exact(project_root: Path) -> None:
    """``config/rig_mounted.yaml`` is what the rig's own geometry says."""
    config = RigBagConfig(SCENE, mounted_sensors(), packets=False)
    installed = (project_root / "config" / "rig_mounted.yaml").read_text()
    _, _, expected = rig_parameters(config).partition("/**:")
    assert installed.partition("/**:")[2] == expected
