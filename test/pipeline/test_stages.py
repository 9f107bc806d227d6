"""What is kept with a sample is what would be made afresh, with the real network."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixtures.messages import image_message
from fixtures.scenes import ENCODINGS, scene
from fixtures.virtual_machine import split_pipeline

from anymodal_seg_ros.config import RegistrationConfig, RigConfig, SensorConfig, default_sensors
from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.frames import ModalityBatch, Prediction
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.preprocess import ByteBatch, batch
from anymodal_seg_ros.inference.runtimes.onnxruntime_engine import OnnxRuntimeEngine
from anymodal_seg_ros.pipeline import Pipeline

MS = 1_000_000
START = 1_700_000_000_000_000_000
SENSORS = default_sensors()
SUBSETS = [
    subset
    for size in range(1, len(SENSORS) + 1)
    for subset in itertools.combinations(SENSORS, size)
]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("rig-nano")


@pytest.fixture(scope="module")
def engine(model: Model) -> OnnxRuntimeEngine:
    made = create_engine("onnxruntime", model, threads=1)
    assert isinstance(made, OnnxRuntimeEngine) and made.splits
    return made


def message(sensor: str, stamp: int, frame: int) -> Any:
    modality = SENSORS[sensor].modality
    pixels = scene(modality, frame + 100 * list(SENSORS).index(sensor))
    return image_message(pixels, ENCODINGS[modality], stamp, frame_id=f"{sensor}_optical")


def drive(pipe: Pipeline, alive: Any, frames: int) -> list[Prediction]:
    """Push frames of whoever ``alive(frame)`` says, all at once, ten a second."""
    made = []
    for frame in range(frames):
        now = frame * 100 * MS
        for sensor in alive(frame):
            assert pipe.push_message(sensor, message(sensor, START + now, frame), now) is None
        made += [m for m in iter(lambda now=now: pipe.poll(now + 30 * MS), None)]  # type: ignore[misc]
    return made


def slow_rig(**changes: Any) -> RigConfig:
    sensors = {n: replace(s, expected_hz=10.0) for n, s in SENSORS.items()}
    return RigConfig(sensors, content_checks=False, **changes)


@pytest.mark.parametrize("subset", SUBSETS, ids="+".join)
def test_kept_features_give_the_mask_of_features_made_afresh(
    subset: tuple[str, ...], model: Model, engine: OnnxRuntimeEngine
) -> None:
    pipe = Pipeline(slow_rig(), model, engine)
    for prediction in drive(pipe, lambda frame: subset, 3):
        seen = prediction.frame_set.samples
        inputs = batch(
            [(SENSORS[n].modality, seen[n].image) for n in prediction.sensors], model.manifest
        )
        afresh = engine.fuse(engine.encode(inputs))
        assert afresh.logits is not None
        height, width = prediction.mask.shape
        assert np.array_equal(prediction.mask, lazy_argmax(afresh.logits, height, width))
        whole = engine.run(inputs)
        assert whole.logits is not None
        agreed = prediction.mask == lazy_argmax(whole.logits, height, width)
        assert agreed.mean() >= 0.9999


def test_a_sample_in_several_frame_sets_is_encoded_once() -> None:
    rig = slow_rig()
    slow = {**rig.sensors, "thermal": replace(rig.sensors["thermal"], expected_hz=2.0)}
    pipe, engine = split_pipeline(replace(rig, sensors=slow))
    made = drive(pipe, lambda f: SENSORS if f % 5 == 0 else ("rgb", "events", "depth"), 30)
    used = sum("thermal" in prediction.sensors for prediction in made)
    assert used >= 25
    assert engine.encoded[1] == 6, "one for each message"
    assert engine.encoded[0] == 30


def test_pictures_of_8_bits_reach_the_engine_before_they_are_normalised(
    engine: OnnxRuntimeEngine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: dict[int, bool] = {}
    encode = engine.encode

    def noted(batch: ModalityBatch) -> Any:
        encoded[int(batch.modality_ids[0])] = isinstance(batch, ByteBatch)
        return encode(batch)

    monkeypatch.setattr(engine, "encode", noted)
    pipe = Pipeline(RigConfig(SENSORS), model, engine)
    assert drive(pipe, lambda frame: SENSORS, 2)
    kinds = model.manifest.modalities
    assert encoded == {spec.id: spec.planes == "color" for spec in kinds.values()}


def test_the_features_of_a_picture_that_repeats_serve_again() -> None:
    pipe, engine = split_pipeline(RigConfig({"rgb": SensorConfig("rgb", "rgb")}))
    masks = []
    for frame in range(60):
        now = frame * 33_333_333
        pixels = scene("rgb", frame // 2)
        assert pipe.push_message("rgb", image_message(pixels, "rgb8", START + now), now) is None
        masks += [m for m in iter(lambda now=now: pipe.poll(now), None)]  # type: ignore[misc]
    assert len(masks) == 60, "a camera that sends each frame twice has a mask for each message"
    assert all(mask.sensors == ("rgb",) for mask in masks)
    assert engine.encoded[0] == 30


def info(focal: float) -> Any:
    from types import SimpleNamespace

    return SimpleNamespace(
        width=80,
        height=60,
        distortion_model="plumb_bob",
        d=[],
        k=[focal, 0.0, 40.0, 0.0, focal, 30.0, 0.0, 0.0, 1.0],
    )


def test_another_calibration_makes_another_picture_of_the_same_sample() -> None:
    mounted = RegistrationConfig("cameras", camera_info="t/info", extrinsics="0 0 0 0 0 0 1")
    rig = RigConfig(
        {
            "rgb": SensorConfig(
                "rgb", "rgb", 10.0, registration=RegistrationConfig(camera_info="r/info")
            ),
            "thermal": SensorConfig("t", "thermal", 2.0, registration=mounted),
        },
        content_checks=False,
    )
    pipe, engine = split_pipeline(rig)
    for sensor, focal in (("rgb", 60.0), ("thermal", 60.0)):
        assert pipe.push_camera_info(sensor, info(focal)) is None
    drive(pipe, lambda frame: ("thermal", "rgb") if frame == 0 else ("rgb",), 2)
    assert engine.encoded[1] == 1
    assert pipe.push_camera_info("thermal", info(30.0)) is None
    drive(pipe, lambda frame: () if frame < 2 else ("rgb",), 4)
    assert engine.encoded[1] == 2, "the same message, in the new picture"


def test_what_was_prepared_ahead_is_held_against_the_pictures_that_come() -> None:
    """A camera that changes its shape shows something else than its calibration says."""
    mounted = RegistrationConfig("cameras", camera_info="t/info", extrinsics="0 0 0 0 0 0 1")
    calibrated = RegistrationConfig(camera_info="r/info")
    rig = RigConfig(
        {
            "rgb": SensorConfig("rgb", "rgb", 10.0, registration=calibrated),
            "depth": SensorConfig("d", "depth", 10.0),
            "thermal": SensorConfig("t", "thermal", 10.0, registration=mounted),
        },
        content_checks=False,
    )
    pipe, _ = split_pipeline(rig)
    for sensor in ("rgb", "thermal"):
        assert pipe.push_camera_info(sensor, info(60.0)) is None
    masks = []
    for frame in range(20):
        now, shape = frame * 100 * MS, (60, 80) if frame < 10 else (45, 80)
        for sensor, size in (("thermal", (60, 80)), ("depth", (60, 80)), ("rgb", shape)):
            pixels = scene(rig.sensors[sensor].modality, frame, *size)
            encoding = ENCODINGS[rig.sensors[sensor].modality]
            pipe.push_message(sensor, image_message(pixels, encoding, START + now), now)
            while (progress := pipe.work(now, ahead=True)).worked:
                masks += [progress.prediction] if progress.prediction is not None else []
    assert all(set(m.sensors) == {"rgb", "depth", "thermal"} for m in masks[1:10])
    after = [m for m in masks if m.mask.shape == (45, 80)]
    assert len(after) >= 5
    for mask in after:
        assert mask.sensors == ("rgb", "depth"), "who is only resized needs no calibration"
        assert "calibration is for 80x60" in mask.frame_set.missing["thermal"]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ((), "the engine encoded one image to 0 features: expected 1"),
        ((None,), "the engine encoded an image to a NoneType: expected Features"),
    ],
)
def test_what_is_no_feature_is_a_failure_of_the_engine(made: Any, says: str) -> None:
    pipe, engine = split_pipeline(RigConfig({"rgb": SensorConfig("rgb", "rgb")}))
    engine.encode = lambda batch: made  # type: ignore[method-assign]
    pipe.push_message("rgb", image_message(scene("rgb"), "rgb8", START), 0)
    with pytest.raises(EngineError, match=says):
        pipe.poll(0)
