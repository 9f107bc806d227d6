"""Messages in, masks out."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.pipelines import MS, RIG, START, CountingEngine, S, message, pipeline

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import ConfigError, EngineError
from anymodal_seg_ros.frames import ModalityBatch, Prediction, Segmentation, SensorState
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline


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


def test_an_unknown_modality_stops_the_start() -> None:
    rig = RigConfig({"nose": SensorConfig("nose/image", "smell")})
    with pytest.raises(ConfigError, match=r"rig\.sensors\.nose\.modality is 'smell'.*'enabled'"):
        pipeline(rig)


def test_a_modality_that_the_model_does_not_know_may_be_there_disabled() -> None:
    rgb = SensorConfig("rgb/image", "rgb")
    rig = RigConfig({"rgb": rgb, "nose": SensorConfig("nose/image", "smell", enabled=False)})
    assert set(pipeline(rig).rig.sensors) == {"rgb", "nose"}


def test_pushing_is_not_held_up_by_the_network() -> None:
    running, release = threading.Event(), threading.Event()

    class SlowEngine(CountingEngine):
        def run(self, batch: ModalityBatch) -> Segmentation:
            running.set()
            assert release.wait(60), "push waited for the network"
            return super().run(batch)

    pipe = Pipeline(RIG, Model(Path("nowhere"), small_manifest()), SlowEngine())
    pipe.push_message("rgb", message("rgb", START), 0)
    worker = threading.Thread(target=pipe.poll, args=(50 * MS,))
    worker.start()
    assert running.wait(60)
    assert pipe.push_message("rgb", message("rgb", START + 100 * MS), 100 * MS) is None
    release.set()
    worker.join(60)
    assert pipe.poll(150 * MS) is not None


def test_shares_that_are_no_numbers_are_no_result() -> None:
    class Nonsense(CountingEngine):
        def run(self, batch: ModalityBatch) -> Segmentation:
            return replace(super().run(batch), contributions=np.array([np.nan], np.float32))

    pipe = Pipeline(RIG, Model(Path("nowhere"), small_manifest()), Nonsense())
    pipe.push_message("rgb", message("rgb", START), 1 * MS)
    with pytest.raises(EngineError, match="not finite"):
        pipe.poll(100 * MS)


def test_an_engine_that_makes_masks_is_asked_for_one_of_the_pictures_size() -> None:
    class OnItsDevice(CountingEngine):
        def run(self, batch: ModalityBatch) -> Segmentation:
            logits = np.zeros((3, 2, 3), np.float32)
            return Segmentation(logits=logits, mask_at=lambda *size: np.full(size, 2, np.uint8))

    pipe = Pipeline(RIG, Model(Path("nowhere"), small_manifest()), OnItsDevice())
    pipe.push_message("rgb", message("rgb", START), 1 * MS)
    prediction = pipe.poll(100 * MS)
    assert prediction is not None and prediction.mask.shape == (20, 30)
    assert (prediction.mask == 2).all(), "and not the argmax of the logits"


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (None, "a NoneType"),
        (Segmentation(np.zeros((12, 8), np.uint8)), r"mask of uint8 \(12, 8\).*\(8, 12\)"),
        (Segmentation(np.zeros((0, 0), np.uint8)), "mask of uint8"),
        (Segmentation(np.zeros((8, 12), np.int64)), "mask of int64"),
        (Segmentation(np.full((8, 12), 3, np.uint8)), "mask with class 3: expected less than 3"),
        (Segmentation(logits=np.zeros((3, 3, 2), np.float32)), r"expected float32 \(3, 2, 3\)"),
        (Segmentation(logits=np.zeros((3, 2, 3))), "logits of float64"),
        (Segmentation(np.zeros((8, 12), np.uint8), np.zeros((2, 3))), "confidence of float64"),
        (
            Segmentation(np.zeros((8, 12), np.uint8), None, np.ones(2, np.float32) / 2),
            r"contributions of the shape \(2,\): expected \(1,\)",
        ),
    ],
)
def test_what_is_no_segmentation_by_the_manifest_makes_no_mask(result: Any, says: str) -> None:
    class Nonsense(CountingEngine):
        def run(self, batch: ModalityBatch) -> Segmentation:
            made: Segmentation = result
            return made

    pipe = Pipeline(RIG, Model(Path("nowhere"), small_manifest()), Nonsense())
    pipe.push_message("rgb", message("rgb", START), 1 * MS)
    with pytest.raises(EngineError, match=says):
        pipe.poll(100 * MS)
