"""What a mask rests on: too little, frozen, doubtful, disabled; and what it says of itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.pipelines import MS, RIG, START, S, TellingEngine, message, pipeline

from anymodal_seg_ros.config import RigConfig
from anymodal_seg_ros.frames import UNLABELED, Prediction, SensorState
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline


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


def test_what_the_network_says_beside_the_mask_comes_with_it() -> None:
    pipe = Pipeline(RIG, Model(Path("nowhere"), small_manifest(classes=32)), TellingEngine())
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
