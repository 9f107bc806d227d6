from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixtures.messages import image_message
from fixtures.scenes import ENCODINGS, scene

from anymodal_seg_ros.config import RigConfig, SegConfig, SensorConfig
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.replay import (
    Arrival,
    absolute_topic,
    arrivals,
    check_topics,
    replay,
    sensors_by_topic,
)
from anymodal_seg_ros.frames import Image, Prediction
from anymodal_seg_ros.pipeline import Pipeline

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
    topics = sensors_by_topic(RIG, "robot")
    assert topics == {"/robot/rgb/image": "rgb", "/thermal/image": "thermal"}


def test_a_bag_without_the_topics_is_told_with_those_it_has(tmp_path: Path) -> None:
    with ImageBagWriter(tmp_path / "bag") as writer:
        writer.write("/cam/color", pixels("rgb", 0), START, START, "frame")
    with Bag(tmp_path / "bag") as bag:
        with pytest.raises(BagError, match=r"/rgb/image.*/cam/color"):
            check_topics(bag, sensors_by_topic(RIG))
        check_topics(bag, {"/cam/color": "rgb", "/absent": "thermal"})
