from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fixtures.calibrations import write_camera_info
from fixtures.clouds import cloud_message
from fixtures.event_messages import event_packet, evt3_words
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message, image_message
from fixtures.pictures import png
from fixtures.scenes import ENCODINGS, scene

from anymodal_seg_ros.config import RegistrationConfig, RigConfig, SensorConfig, load_config
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import UNLABELED, ModalityBatch, Prediction, Segmentation, SensorState
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.visualize import viewable
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.geometry.cameras import Camera

MS = 1_000_000
S = 1_000_000_000
START = 1_700_000_000 * S
RIG = RigConfig(
    {
        "rgb": SensorConfig("rgb/image", "rgb", expected_hz=10.0),
        "depth": SensorConfig("depth/image", "depth", expected_hz=10.0),
    }
)


class CountingEngine:
    """Says in every pixel which modalities it saw: the sum of 2^id."""

    name = "counting"

    def run(self, batch: ModalityBatch) -> Segmentation:
        value = int((2**batch.modality_ids).sum())
        return Segmentation(np.full(batch.images.shape[2:], value, np.uint8))


class TellingEngine(CountingEngine):
    """Is a third sure on the left and wholly on the right; the first sensor counts twice."""

    def run(self, batch: ModalityBatch) -> Segmentation:
        confidence = np.repeat(np.array([[85, 255]], np.uint8), 2, axis=0)
        shares = np.array([2.0, *[1.0] * (len(batch.modality_ids) - 1)], np.float32)
        return Segmentation(super().run(batch).mask, confidence, shares / shares.sum())


def pipeline(rig: RigConfig = RIG) -> Pipeline:
    return Pipeline(rig, Model(Path("nowhere"), small_manifest()), CountingEngine())


def message(sensor: str, stamp_ns: int, **changes: Any) -> Any:
    height, width = (20, 30) if sensor == "rgb" else (10, 15)
    pixels = scene(sensor, stamp_ns % 2**32, height, width)
    made = image_message(pixels, ENCODINGS[sensor], stamp_ns)
    vars(made).update(changes)
    return made


def test_a_mask_has_size_stamp_and_evidence_of_its_reference() -> None:
    pipe = pipeline()
    assert pipe.push_message("depth", message("depth", START), 1 * MS) is None
    alone = pipe.poll(1 * MS)
    assert alone is not None, "the first sensor of all does not wait for the others"
    assert alone.sensors == ("depth",)
    assert pipe.push_message("rgb", message("rgb", START + 3 * MS), 2 * MS) is None
    prediction = pipe.poll(2 * MS)
    assert prediction is not None
    assert prediction.mask.shape == (20, 30)
    assert prediction.mask.dtype == np.uint8
    assert np.unique(prediction.mask).tolist() == [2**0 + 2**2]
    assert prediction.sensors == ("rgb", "depth")
    assert prediction.frame_set.reference_sample.stamp_ns == START + 3 * MS
    assert [s.state for s in prediction.status] == [SensorState.OK] * 2
    assert pipe.poll(3 * MS) is None


AHEAD = "0 0 0  0.5 -0.5 0.5 0.5"
"""A LiDAR, x ahead and z up, at the place of a camera, z ahead and y down."""


def lidar_rig(tmp_path: Path) -> RigConfig:
    camera = Camera(30, 20, np.array([[30.0, 0, 14.5], [0, 30.0, 9.5], [0, 0, 1]]))
    calibration = write_camera_info(camera, tmp_path / "rgb.yaml")
    return RigConfig(
        {
            "rgb": SensorConfig(
                "rgb",
                "rgb",
                expected_hz=10.0,
                registration=RegistrationConfig(calibration=calibration),
            ),
            "lidar": SensorConfig(
                "points",
                "lidar",
                expected_hz=10.0,
                type="point_cloud",
                registration=RegistrationConfig("cameras", extrinsics=AHEAD),
            ),
        }
    )


def scan(stamp_ns: int) -> Any:
    """A wall, ten metres ahead and three metres wide, with a little noise."""
    y, z = np.meshgrid(np.linspace(-1.5, 1.5, 40), np.linspace(-1.0, 1.0, 30))
    x = np.full(y.shape, 10.0) + np.random.default_rng(stamp_ns % 2**32).normal(0, 0.01, y.shape)
    columns = {n: v.astype(np.float32).ravel() for n, v in (("x", x), ("y", y), ("z", z))}
    intensity = np.full(1200, 50.0, np.float32)
    return cloud_message({**columns, "intensity": intensity}, stamp_ns=stamp_ns)


class KeepingEngine(CountingEngine):
    """Keeps what it was given."""

    def run(self, batch: ModalityBatch) -> Segmentation:
        self.batch = batch
        return super().run(batch)


def test_points_of_a_lidar_reach_the_network_where_the_camera_sees_them(tmp_path: Path) -> None:
    engine = KeepingEngine()
    pipe = Pipeline(lidar_rig(tmp_path), Model(Path("nowhere"), small_manifest()), engine)
    for frame in range(3):
        now = frame * 100 * MS
        assert pipe.push_message("lidar", scan(START + now), now) is None
        assert pipe.push_message("rgb", message("rgb", START + now), now) is None
        prediction = pipe.poll(now + 50 * MS)
    assert prediction is not None
    assert prediction.sensors == ("rgb", "lidar"), prediction.frame_set.missing
    assert prediction.mask.shape == (20, 30)
    nearness, height, intensity = engine.batch.images[engine.batch.modality_ids == 4][0]
    seen = nearness > 0
    rows, columns = np.nonzero(seen)
    # f = 30 pixels of 30: the wall of 3 x 2 m at 10 m takes 9 of 30 columns and 6 of 20 rows.
    assert (columns.min(), columns.max()) == (4, 7), "of 12 columns"
    assert (rows.min(), rows.max()) == (2, 5), "of 8 rows"
    np.testing.assert_allclose(nearness[seen], 0.8, atol=0.02)
    np.testing.assert_allclose(intensity[seen], 0.5)
    assert height[2, 5] > height[5, 5] > 0, "up is up"


CONFIGURED = """
/**:
  ros__parameters:
    model: {model}
    rig:
      sensors:
        rgb:
          topic: rgb
          modality: rgb
          expected_hz: 10.0
          registration: {{calibration: {calibration}}}
        lidar:
          topic: points
          type: point_cloud
          modality: lidar
          expected_hz: 10.0
          registration: {{method: cameras, extrinsics: {extrinsics}}}
"""


def test_a_lidar_is_configured_in_the_parameter_file(tmp_path: Path, tiny_model: Path) -> None:
    calibration = lidar_rig(tmp_path).sensors["rgb"].registration.calibration
    path = tmp_path / "robot.yaml"
    path.write_text(CONFIGURED.format(model=tiny_model, calibration=calibration, extrinsics=AHEAD))
    pipe = Pipeline.from_config(load_config(path))
    for frame in range(2):
        now = frame * 100 * MS
        assert pipe.push_message("lidar", scan(START + now), now) is None
        assert pipe.push_message("rgb", message("rgb", START + now), now) is None
        prediction = pipe.poll(now + 50 * MS)
    assert prediction is not None
    assert prediction.sensors == ("rgb", "lidar"), prediction.frame_set.missing
    assert prediction.mask.shape == (20, 30)


def test_a_lidar_that_is_left_alone_gives_masks_in_the_first_cameras_picture(
    tmp_path: Path,
) -> None:
    pipe = pipeline(lidar_rig(tmp_path))
    camera = message("rgb", START)
    camera.header.frame_id = "rgb_optical_frame"
    pipe.push_message("rgb", camera, 0)
    for frame in range(1, 40):
        now = frame * 100 * MS
        assert pipe.push_message("lidar", scan(START + now), now) is None
        prediction = pipe.poll(now)
    assert prediction is not None
    assert prediction.sensors == ("lidar",)
    assert np.unique(prediction.mask).tolist() == [2**4]
    reference = prediction.frame_set.reference_sample
    assert (reference.sensor, reference.frame_id) == ("lidar", "rgb_optical_frame")
    assert prediction.mask.shape == (20, 30), "the camera's, dead or alive"
    assert reference.image.pixels.shape[:2] == (8, 12)
    assert viewable(reference.image).shape == (8, 12, 3)


def test_a_lidar_before_the_first_cameras_calibration_gives_unlabeled_masks(
    tmp_path: Path,
) -> None:
    rig = lidar_rig(tmp_path)
    uncalibrated = replace(
        rig.sensors["rgb"], registration=RegistrationConfig(camera_info="rgb/camera_info")
    )
    pipe = pipeline(replace(rig, sensors={**rig.sensors, "rgb": uncalibrated}))
    assert pipe.push_message("lidar", scan(START), 0) is None
    prediction = pipe.poll(0)
    assert prediction is not None
    assert (prediction.mask == UNLABELED).all()
    assert "no CameraInfo has come on rgb/camera_info" in prediction.frame_set.missing["lidar"]
    assert prediction.frame_set.reference_sample.sensor == "lidar"


def test_points_that_cannot_be_used_are_rejected_and_counted(tmp_path: Path) -> None:
    pipe = pipeline(lidar_rig(tmp_path))
    error = pipe.push_message("rgb", scan(START), 0)
    assert error is not None and "encoding PointCloud2 cannot be used as color" in error
    flat = cloud_message({"x": np.ones(3, np.float32)}, stamp_ns=START)
    error = pipe.push_message("lidar", flat, 0)
    assert error is not None and "expected y among them" in error
    (_, lidar) = pipe.status(0)
    assert sum(lidar.rejected.values()) == 1


def test_only_events_and_lidar_come_as_points(tmp_path: Path) -> None:
    rig = lidar_rig(tmp_path)
    wrong = replace(rig.sensors["lidar"], modality="depth")
    with pytest.raises(ConfigError, match=r"lidar.type is 'point_cloud', but the model small"):
        pipeline(replace(rig, sensors={**rig.sensors, "lidar": wrong}))


def test_a_dead_sensor_leaves_the_mask_and_comes_back() -> None:
    pipe = pipeline()
    used: dict[int, tuple[str, ...]] = {}
    for frame in range(60):
        now = frame * 100 * MS
        if not 20 <= frame < 40:
            pipe.push_message("depth", message("depth", START + now), now)
        pipe.push_message("rgb", message("rgb", START + now), now + 1)
        prediction = pipe.poll(now + 50 * MS)
        assert prediction is not None, f"no mask for frame {frame}"
        used[frame] = prediction.sensors
    assert all(used[f] == ("rgb", "depth") for f in range(20))
    assert all(used[f] == ("rgb",) for f in range(21, 40))
    recover = RIG.sensors["depth"].recover_frames
    assert all(used[f] == ("rgb", "depth") for f in range(40 + recover, 60))


@pytest.mark.parametrize(
    ("changes", "counted", "says"),
    [
        ({"step": 1}, "step", "rgb/image: step is 1: expected at least 90"),
        ({"encoding": "h264"}, "encoding", "rgb/image: encoding is 'h264'"),
        ({"data": b"123"}, "data", "rgb/image: data has 3 bytes"),
        ({"height": -1}, "size", "rgb/image: size is 30x-1"),
        (
            {"encoding": "mono16", "width": 45},
            "encoding",
            "encoding mono16 cannot be used as color",
        ),
    ],
)
def test_bad_messages_are_counted_with_topic_and_value_and_masks_go_on(
    changes: dict[str, Any], counted: str, says: str
) -> None:
    pipe = pipeline()
    error = pipe.push_message("rgb", message("rgb", START, **changes), 0)
    assert error is not None
    assert says in error
    status = pipe.status(0)[0]
    assert status.rejected == {counted: 1}
    assert status.last_error == error
    assert status.state is SensorState.WAITING
    pipe.push_message("rgb", message("rgb", START), 1)
    assert pipe.poll(100 * MS) is not None


def test_an_absurd_stamp_is_rejected_once_the_next_message_belies_it() -> None:
    pipe = pipeline()
    for frame in range(3):
        pipe.push_message("rgb", message("rgb", START + frame * 100 * MS), frame * 100 * MS)
    assert pipe.push_message("rgb", message("rgb", START + 500 * S), 300 * MS) is None
    error = pipe.push_message("rgb", message("rgb", START + 400 * MS), 400 * MS)
    assert error is not None
    assert "off the sensor's own clock" in error
    assert pipe.status(400 * MS)[0].rejected == {"stamp": 1}


def test_the_two_newest_frame_sets_get_masks_and_the_others_are_counted() -> None:
    pipe = pipeline()
    for frame in range(5):
        now = frame * 10 * MS
        pipe.push_message("rgb", message("rgb", START + now), now)
    masks = [pipe.poll(10 * S), pipe.poll(10 * S)]
    stamps = [mask.frame_set.reference_sample.stamp_ns for mask in masks if mask is not None]
    assert stamps == [START + 30 * MS, START + 40 * MS]
    assert pipe.superseded == 3
    assert pipe.poll(10 * S) is None


def test_a_clock_that_goes_back_begins_a_new_run() -> None:
    pipe = pipeline()
    for _loop in range(3):
        for frame in range(30):
            now = 50 * S + frame * 100 * MS
            pipe.push_message("rgb", message("rgb", START + now), now)
            assert pipe.poll(now + 30 * MS) is not None


def test_wakeups_suffice_to_see_every_change() -> None:
    pipe = pipeline()
    pipe.push_message("rgb", message("rgb", START), 0)
    seen: list[Prediction] = []
    states = []
    while (wakeup := pipe.next_wakeup_ns()) is not None:
        prediction = pipe.poll(wakeup)
        if prediction is not None:
            seen.append(prediction)
        states.append(pipe.status(wakeup)[0].state)
    assert len(seen) == 1
    assert states[-1] is SensorState.FAILED
    assert {SensorState.LATE, SensorState.STALE} <= set(states)


def jpeg_or_png(sensor: str, stamp_ns: int, damaged: bool = False) -> Any:
    """Return a compressed message whose header is good whatever its data are."""
    if sensor == "rgb":
        pixels = scene("rgb", stamp_ns % 2**32, 20, 30)
    else:
        pixels = np.nan_to_num(1000 * scene("depth", stamp_ns % 2**32, 10, 15)).astype(np.uint16)
    data = bytearray(png(pixels))
    if damaged:
        data[45] ^= 0xFF
    return compressed_message(bytes(data), "png", stamp_ns)


def test_compressed_messages_become_masks() -> None:
    pipe = pipeline()
    assert pipe.push_message("rgb", jpeg_or_png("rgb", START), 0) is None
    assert pipe.push_message("depth", jpeg_or_png("depth", START), 1) is None
    prediction = pipe.poll(2)
    assert prediction is not None
    assert prediction.mask.shape == (20, 30)
    assert prediction.sensors == ("rgb", "depth")


def test_a_compressed_message_that_cannot_serve_is_rejected_at_once() -> None:
    pipe = pipeline()
    error = pipe.push_message("depth", jpeg_or_png("rgb", START), 0)
    assert error == (
        "depth/image: encoding bgr8 cannot be used as depth: "
        "expected 16UC1 or mono16 in millimetres, or 32FC1 in metres"
    )


@pytest.mark.parametrize("victim", ["rgb", "depth"])
def test_a_damaged_picture_is_counted_once_and_left_out_and_masks_go_on(victim: str) -> None:
    pipe = pipeline()
    other = {"rgb": "depth", "depth": "rgb"}[victim]
    for frame in range(6):
        now = frame * 100 * MS
        damaged = frame in (2, 3)
        for sensor in ("rgb", "depth"):
            sent = jpeg_or_png(sensor, START + now, damaged and sensor == victim)
            assert pipe.push_message(sensor, sent, now) is None
        prediction = pipe.poll(now + 50 * MS)
        assert prediction is not None
        assert prediction.frame_set.reference == "rgb"
        assert prediction.frame_set.reference_sample.stamp_ns == START + now
        assert prediction.mask.shape == (20, 30)
        if victim == "rgb" or frame != 2:  # a depth image 100 ms old may stand in for once
            assert prediction.sensors == ((other,) if damaged else ("rgb", "depth"))
            assert ("damaged" in prediction.frame_set.missing.get(victim, "")) is damaged
        for sensor, sample in prediction.frame_set.samples.items():
            assert sample.image.pixels is not None  # nobody downstream meets the damage
            if sensor == victim and sensor in prediction.sensors:
                assert sample.stamp_ns not in (START + 200 * MS, START + 300 * MS)
    statuses = {status.sensor: status for status in pipe.status(S)}
    assert statuses[victim].rejected == {"data": 2}
    assert statuses[victim].last_error.startswith(f"{victim}/image: data is a damaged png")
    assert statuses[other].rejected == {}


def test_one_damaged_sample_in_several_frame_sets_is_counted_once() -> None:
    pipe = pipeline()
    pipe.push_message("depth", jpeg_or_png("depth", START, damaged=True), 0)
    for shift in (0, 20, 40):
        pipe.push_message("rgb", message("rgb", START + shift * MS), shift * MS)
        prediction = pipe.poll((shift + 20) * MS)
        assert prediction is not None
        assert prediction.sensors == ("rgb",)
    assert pipe.status(60 * MS)[1].rejected == {"data": 1}


def test_a_set_of_nothing_but_damage_gives_a_mask_without_labels_that_says_why() -> None:
    pipe, made = pipeline(), []
    for frame in range(5):
        now, damaged = frame * 100 * MS, frame in (0, 3)
        assert pipe.push_message("rgb", jpeg_or_png("rgb", START + now, damaged), now) is None
        made.append(pipe.poll(now + 50 * MS))
    assert made[0] is None, "it has not been seen alive yet"
    assert [p.sensors for p in made[1:] if p] == [("rgb",), ("rgb",), (), ("rgb",)]
    prediction = made[3]
    assert prediction is not None
    assert prediction.unlabeled == "1 modality is needed, there are 0: none"
    assert prediction.frame_set.reference_sample.stamp_ns == START + 300 * MS
    assert "damaged" in prediction.frame_set.missing["rgb"]
    assert prediction.mask.shape == (20, 30)
    assert np.unique(prediction.mask).tolist() == [UNLABELED]
    assert pipe.status(S)[0].rejected == {"data": 2}


def test_pushing_a_compressed_message_does_not_unpack_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(*_: object) -> None:
        raise AssertionError("a callback unpacked a picture")

    pipe = pipeline()
    with monkeypatch.context() as patched:
        patched.setattr("cv2.imdecode", unpack)
        assert pipe.push_message("rgb", jpeg_or_png("rgb", START), 0) is None
    assert pipe.poll(100 * MS) is not None


def test_an_unknown_modality_stops_the_start() -> None:
    rig = RigConfig({"nose": SensorConfig("nose/image", "smell")})
    with pytest.raises(ConfigError, match=r"rig\.sensors\.nose\.modality is 'smell'.*'enabled'"):
        pipeline(rig)


def test_a_modality_that_the_model_does_not_know_may_be_there_disabled() -> None:
    rgb = SensorConfig("rgb/image", "rgb")
    rig = RigConfig({"rgb": rgb, "nose": SensorConfig("nose/image", "smell", enabled=False)})
    assert set(pipeline(rig).rig.sensors) == {"rgb", "nose"}


REGISTERED = RigConfig(
    {
        "rgb": SensorConfig(
            "rgb/image",
            "rgb",
            expected_hz=10.0,
            registration=RegistrationConfig(camera_info="rgb/info"),
        ),
        "depth": SensorConfig(
            "depth/image",
            "depth",
            expected_hz=10.0,
            registration=RegistrationConfig(
                "depth", camera_info="depth/info", extrinsics="0.3 0 0 0 0 0 1"
            ),
        ),
    },
    content_checks=False,  # a wall at one distance is easy to reckon with, but looks blocked
)


def info(width: int, height: int, focal: float) -> SimpleNamespace:
    return SimpleNamespace(
        width=width,
        height=height,
        distortion_model="plumb_bob",
        d=[],
        k=[focal, 0.0, width / 2, 0.0, focal, height / 2, 0.0, 0.0, 1.0],
    )


def test_sensors_are_registered_once_their_cameras_are_known() -> None:
    class KeepingEngine(CountingEngine):
        def run(self, batch: ModalityBatch) -> Segmentation:
            self.batch = batch
            return super().run(batch)

    engine = KeepingEngine()
    pipe = Pipeline(REGISTERED, Model(Path("nowhere"), small_manifest()), engine)

    def predict(now: int) -> Prediction:
        pipe.push_message("rgb", message("rgb", START + now), now)
        wall = image_message(np.ones((10, 15), np.float32), "32FC1", START + now)
        pipe.push_message("depth", wall, now)
        prediction = pipe.poll(now + 30 * MS)
        assert prediction is not None
        return prediction

    before = predict(0)
    assert before.sensors == tuple(before.frame_set.samples) == ("rgb",)
    assert "no CameraInfo has come on depth/info" in before.frame_set.missing["depth"]
    error = pipe.push_camera_info("depth", info(15, 10, -12.0))
    assert error is not None
    assert "depth/info: camera_matrix has the focal lengths -12, -12" in error
    assert pipe.status(0)[1].rejected == {"camera_info": 1}
    assert pipe.push_camera_info("depth", info(15, 10, 12.0)) is None
    assert pipe.push_camera_info("rgb", info(30, 20, 24.0)) is None
    after = predict(100 * MS)
    assert after.sensors == ("rgb", "depth")
    valid = engine.batch.images[1, 2]
    # One metre away, 0.3 m are 0.3 * 24 * 12 / 30 = 2.9 of the model's 12 columns.
    assert not valid[:, 0].any()
    assert valid[2:-2, 4:].all()


def test_a_calibration_that_cannot_be_used_stops_the_start() -> None:
    wrong = RegistrationConfig("homography", homography="1 2 3")
    rig = RigConfig({**RIG.sensors, "depth": SensorConfig("d", "depth", registration=wrong)})
    with pytest.raises(ConfigError, match=r"rig\.sensors\.depth\.registration\.homography has 3"):
        pipeline(rig)


def test_pushing_is_not_held_up_by_the_network() -> None:
    running, release = threading.Event(), threading.Event()

    class SlowEngine(CountingEngine):
        def run(self, batch: ModalityBatch) -> Segmentation:
            running.set()
            assert release.wait(10), "push waited for the network"
            return super().run(batch)

    pipe = Pipeline(RIG, Model(Path("nowhere"), small_manifest()), SlowEngine())
    pipe.push_message("rgb", message("rgb", START), 0)
    worker = threading.Thread(target=pipe.poll, args=(50 * MS,))
    worker.start()
    assert running.wait(10)
    assert pipe.push_message("rgb", message("rgb", START + 100 * MS), 100 * MS) is None
    release.set()
    worker.join(10)
    assert pipe.poll(150 * MS) is not None


def masks(rig: RigConfig, depth_until: int = 10_000, frames: int = 30) -> list[Prediction]:
    """Run a pipeline for some frames, depth ending early; return its predictions."""
    pipe, made = pipeline(rig), []
    for frame in range(frames):
        now = frame * 100 * MS
        if frame < depth_until:
            pipe.push_message("depth", message("depth", START + now), now)
        pipe.push_message("rgb", message("rgb", START + now), now + 1)
        prediction = pipe.poll(now + 50 * MS)
        assert prediction is not None
        made.append(prediction)
    return made


@pytest.mark.parametrize(
    ("rig", "says"),
    [
        (replace(RIG, min_modalities=2), "2 modalities are needed, there are 1: rgb"),
        (
            replace(
                RIG,
                sensors={**RIG.sensors, "depth": replace(RIG.sensors["depth"], critical=True)},
            ),
            "critical sensor missing: depth",
        ),
    ],
)
def test_too_little_evidence_gives_a_mask_without_labels_that_says_why(
    rig: RigConfig, says: str
) -> None:
    made = masks(rig, depth_until=10)
    assert all(not p.unlabeled for p in made[:10])
    for prediction in made[11:]:
        assert prediction.unlabeled == says
        assert prediction.sensors == ()
        assert prediction.mask.shape == (20, 30)
        assert prediction.mask.dtype == np.uint8
        assert np.unique(prediction.mask).tolist() == [UNLABELED]


def test_the_shortfall_is_told_without_a_mask_too() -> None:
    pipe = pipeline(replace(RIG, min_modalities=2))
    assert pipe.shortfall(0) == "2 modalities are needed, there are 0: none"
    for sensor in RIG.sensors:
        pipe.push_message(sensor, message(sensor, START), 0)
    assert pipe.shortfall(1) == ""


def test_a_disabled_sensor_is_neither_read_nor_missed() -> None:
    off = replace(RIG.sensors["depth"], enabled=False)
    rig = replace(RIG, sensors={**RIG.sensors, "depth": off})
    for prediction in masks(rig):
        assert prediction.sensors == ("rgb",)
        assert prediction.frame_set.missing == {"depth": "DISABLED"}
        assert prediction.status[1].state is SensorState.DISABLED


def test_a_frozen_sensor_leaves_the_mask_and_is_named() -> None:
    pipe = pipeline()
    frozen = message("depth", START)
    used = []
    for frame in range(20):
        now = frame * 100 * MS
        stamp = message("depth", START + now)
        if frame >= 10:
            stamp.data = frozen.data
        pipe.push_message("depth", stamp, now)
        pipe.push_message("rgb", message("rgb", START + now), now + 1)
        prediction = pipe.poll(now + 50 * MS)
        assert prediction is not None
        used.append("depth" in prediction.sensors)
    # The first of the equal ones is a new image, repeated ones are fused while they are fresh, and
    # the last of those is near enough to the next frame as well.
    assert used == [True] * 16 + [False] * 4
    depth = pipe.status(2 * S)[1]
    assert depth.state is SensorState.FROZEN
    assert depth.fault.startswith("frozen: the payload has repeated for 0.")
    assert depth.dropped == {"frozen": 5}


def test_zero_stamps_make_the_clock_and_wrong_encodings_the_content_suspect() -> None:
    for changes, state in (
        ({"encoding": "h264"}, SensorState.INVALID),
        ({"step": 1}, SensorState.INVALID),
        ({}, SensorState.CLOCK),
    ):
        pipe = pipeline()
        for frame in range(3):
            bad = message("rgb", START if changes else 0, **changes)
            assert pipe.push_message("rgb", bad, frame * 100 * MS) is not None
        assert pipe.status(200 * MS)[0].state is state


def test_packets_of_an_event_camera_are_fused_with_the_frames_they_lead_to() -> None:
    manifest = small_manifest()
    rig = RigConfig(
        {
            "rgb": SensorConfig("rgb/image", "rgb", expected_hz=10.0),
            "events": SensorConfig("events/packets", "event", type="event_packet"),
        }
    )
    pipe = Pipeline(rig, Model(Path("nowhere"), manifest), CountingEngine())
    dice = np.random.default_rng(0)
    made: list[Prediction] = []

    def run(start: int, begin: int) -> None:
        for number in range(250):  # packets of 4 ms, and a frame each 100 ms that comes 10 ms late
            now = begin + number * 4 * MS
            times = 1_000_000 + number * 4000 + np.sort(dice.integers(0, 4000, 300))
            x, y, on = (dice.integers(0, high, 300) for high in (640, 480, 2))
            packet = event_packet(
                evt3_words(times, x, y, on), seq=number, stamp_ns=start + number * 4 * MS
            )
            assert pipe.push_message("events", packet, now) is None
            if number % 25 == 5:
                stamp = start + number * 4 * MS - 10 * MS
                assert pipe.push_message("rgb", message("rgb", stamp), now + MS) is None
            prediction = pipe.poll(now + 2 * MS)
            if prediction is not None:
                made.append(prediction)

    def check(predictions: list[Prediction]) -> None:
        # The first frame may come before the camera's clock is known.
        fused = [p for p in predictions if p.sensors == ("rgb", "events")]
        assert len(fused) >= 9
        for prediction in fused:
            samples = prediction.frame_set.samples
            assert prediction.frame_set.reference == "rgb"
            assert samples["events"].stamp_ns == samples["rgb"].stamp_ns
            assert samples["events"].image.pixels.any()

    run(START, 10 * S)
    check(made)
    status = pipe.status(10 * S + 1000 * MS)[1]
    assert status.state is SensorState.OK
    assert status.rejected == {}
    made.clear()
    run(START, 1 * S)  # the bag begins again
    check(made)


def test_a_packet_that_cannot_be_read_is_counted_and_named() -> None:
    rig = RigConfig({"events": SensorConfig("events/packets", "event", type="event_packet")})
    pipe = pipeline(rig)
    error = pipe.push_message("events", event_packet(b"1234", encoding="h264"), 0)
    assert error is not None
    assert error.startswith("events/packets: encoding is 'h264'")
    assert pipe.status(0)[0].rejected == {"encoding": 1}


def test_a_compressed_picture_on_an_event_sensor_is_no_packet() -> None:
    rig = RigConfig({"events": SensorConfig("events/image/compressed", "event")})
    pipe = pipeline(rig)
    picture = png(scene("event", 1, 20, 30))
    assert pipe.push_message("events", compressed_message(picture, "png", START), 0) is None
    prediction = pipe.poll(100 * MS)
    assert prediction is not None
    assert prediction.sensors == ("events",)


def test_what_the_network_says_beside_the_mask_comes_with_it() -> None:
    pipe = Pipeline(RIG, Model(Path("nowhere"), small_manifest()), TellingEngine())
    for sensor in ("rgb", "depth"):
        assert pipe.push_message(sensor, message(sensor, START), 0) is None
    prediction = pipe.poll(1)
    assert prediction is not None and prediction.confidence is not None
    assert prediction.confidence.shape == prediction.mask.shape
    assert prediction.confidence[:, 0].tolist() == [85] * len(prediction.mask)
    assert prediction.confidence[:, -1].tolist() == [255] * len(prediction.mask)
    assert dict(prediction.contributions) == pytest.approx({"rgb": 2 / 3, "depth": 1 / 3})


def test_networks_may_say_nothing_but_the_mask() -> None:
    pipe = pipeline()
    for sensor in ("rgb", "depth"):
        pipe.push_message(sensor, message(sensor, START), 0)
    prediction = pipe.poll(1)
    assert prediction is not None
    assert prediction.confidence is None and not prediction.contributions


def test_packets_without_events_cost_the_camera_its_place_and_not_the_masks() -> None:
    rig = RigConfig(
        {
            "events": SensorConfig("events/packets", "event", type="event_packet"),
            "rgb": SensorConfig("rgb", "rgb"),
        }
    )
    pipe = pipeline(rig)
    stamps = []
    for tick in range(900):  # 3 s; the packets are empty from 1 s on
        now = START + tick * S // 300
        time_us, place = tick * 10_000 // 3, np.array([tick % 30])
        words = evt3_words(np.array([time_us]), place, place % 20, place % 2)
        data = words.tobytes() if tick < 300 else b""
        packet = event_packet(data, seq=tick, stamp_ns=now, height=20, width=30)
        assert pipe.push_message("events", packet, now) is None
        if tick % 10 == 0:
            pipe.push_message("rgb", message("rgb", now), now)
        while (prediction := pipe.poll(now)) is not None:
            stamps.append(prediction.frame_set.reference_sample.stamp_ns)
    status = {one.sensor: one for one in pipe.status(now)}
    assert status["events"].state is SensorState.INVALID
    assert "no window of events for " in status["events"].fault
    assert {check.name for check in status["events"].checks} >= {"lost_packets", "events_outside"}
    assert status["rgb"].state is SensorState.OK
    gaps = np.diff(stamps)
    assert len(stamps) > 70
    assert gaps.max() < S, "within a second the other camera leads"
