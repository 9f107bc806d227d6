"""Which label a mask is judged by: one of the picture that it is in, whoever made it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from fixtures.bag_files import IMAGE, serialised, write_bag
from fixtures.manifests import small_manifest
from fixtures.scored_bags import HEIGHT, PERIOD_NS, START_NS, WIDTH

from anymodal_seg_ros.config import RegistrationConfig, RigConfig, SensorConfig
from anymodal_seg_ros.evaluation.arrivals import CAMERA_INFO
from anymodal_seg_ros.evaluation.bag_writer import ImageBagWriter
from anymodal_seg_ros.evaluation.bags import Bag, BagError
from anymodal_seg_ros.evaluation.scorecard.labels.ground_truth import (
    NEAR_NS,
    FolderLabels,
    GroundTruth,
    TopicLabels,
    label_topics,
)
from anymodal_seg_ros.evaluation.scorecard.labels.label_map import LabelMap
from anymodal_seg_ros.evaluation.scorecard.replays.live import LiveRun
from anymodal_seg_ros.evaluation.scorecard.runs.pixels import mean_iou
from anymodal_seg_ros.evaluation.scorecard.runs.records import from_line
from anymodal_seg_ros.frames import FrameSet, Image, Prediction, Sample
from anymodal_seg_ros.messages.values import image

MS = 1_000_000
FIRST, OTHER = 1, 2
"""Class of all labels of the first camera, and of the other one."""
SHIFT_NS = 7 * MS
"""How much later the other camera takes its pictures."""
SHAPE = (20, 36)
"""Of the other camera's chip."""
PLACED = RegistrationConfig("cameras", camera_info="thermal/info", extrinsics="0 0 0 0 0 0 1")
LABELS = {"rgb": "/rgb/labels", "thermal": "/thermal/labels"}


def rig(*, placed: bool) -> RigConfig:
    own = PLACED if placed else RegistrationConfig()
    thermal = SensorConfig("thermal/image", "thermal", registration=own)
    first = SensorConfig("rgb/image", "rgb", registration=RegistrationConfig(camera_info="rgb/i"))
    return RigConfig({"rgb": first, "thermal": thermal})


def labels_of(sensor: str) -> np.ndarray:
    value, shape = (FIRST, (HEIGHT, WIDTH)) if sensor == "rgb" else (OTHER, SHAPE)
    return np.full(shape, value, np.uint8)


def mask_of(reference: str, number: int, picture: str = "rgb") -> Prediction:
    """Return a mask that bears a sensor's stamp."""
    stamp = START_NS + number * PERIOD_NS + (SHIFT_NS if reference == "thermal" else 0)
    image = Image(np.zeros((8, 12), np.uint8), "mono8")  # as large as the network wants it
    sample = Sample(reference, stamp, stamp, stamp, picture, image)
    mask = np.zeros((HEIGHT, WIDTH) if picture == "rgb" else SHAPE, np.uint8)
    frames = FrameSet(reference, {reference: sample}, {}, stamp)
    return Prediction(mask, frames, (reference,), (), 0, 0, picture=picture)


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    with ImageBagWriter(tmp_path / "drive") as out:
        for number in range(20):
            for sensor, shift in (("rgb", 0), ("thermal", SHIFT_NS)):
                stamp, image = START_NS + number * PERIOD_NS + shift, labels_of(sensor)
                out.write(LABELS[sensor], Image(image, "mono8"), stamp, stamp, sensor)
    return tmp_path / "drive"


def folder_of(path: Path) -> Path:
    for sensor, shift in (("rgb", 0), ("thermal", SHIFT_NS)):
        (path / sensor).mkdir(parents=True)
        for number in range(20):
            stamp = START_NS + number * PERIOD_NS + shift
            cv2.imwrite(str(path / sensor / f"{stamp}.png"), labels_of(sensor))
    return path


def found(truth: GroundTruth, prediction: Prediction) -> int | None:
    """Return the class of a mask's label, which has the mask's size."""
    label = truth.label(prediction)
    if label is None:
        return None
    assert label.shape == prediction.mask.shape
    return int(label[0, 0])


@pytest.mark.parametrize("source", ["topics", "folder"])
@pytest.mark.parametrize("placed", [False, True])
def test_a_mask_is_judged_by_a_label_of_its_picture(
    bag: Path, tmp_path: Path, source: str, placed: bool
) -> None:
    known = LabelMap(small_manifest())
    with Bag(bag) as opened:
        truth: GroundTruth = TopicLabels(opened, LABELS, known, rig(placed=placed))
        if source == "folder":
            truth = FolderLabels(folder_of(tmp_path / "labels"), known, rig(placed=placed))
        assert found(truth, mask_of("rgb", 0)) == FIRST
        # The first camera is dead, and the mask is still in its picture.
        assert found(truth, mask_of("thermal", 1)) == (FIRST if placed else OTHER)
        assert found(truth, mask_of("thermal", 2, picture="thermal")) == OTHER
        assert found(truth, mask_of("rgb", 3)) == FIRST
        assert found(truth, mask_of("thermal", 19)) == (FIRST if placed else OTHER), "the last"
        assert found(truth, mask_of("rgb", 40)) is None


@pytest.mark.parametrize("named", [False, True])
def test_the_only_labelled_sensor_may_be_the_one_that_is_away(tmp_path: Path, named: bool) -> None:
    """Of a subset without it nobody has seen its shape: its masks are as large as another's."""
    folder = tmp_path / "rgb" if named else tmp_path
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / f"{START_NS}.png"), labels_of("rgb"))
    truth = FolderLabels(tmp_path, LabelMap(small_manifest()), rig(placed=False))
    alone = mask_of("thermal", 0)
    sample = dataclasses.replace(alone.frame_set.reference_sample, stamp_ns=START_NS)
    frames = FrameSet("thermal", {"thermal": sample}, {}, START_NS)
    owner = "rgb" if named else "thermal"
    mask = np.zeros(SHAPE, np.uint8)
    label = truth.label(dataclasses.replace(alone, mask=mask, frame_set=frames, picture=owner))
    assert label is not None and label.shape == SHAPE and (label == FIRST).all()


def test_a_label_that_is_too_far_away_is_none_of_the_mask(bag: Path) -> None:
    assert NEAR_NS < PERIOD_NS // 2
    with Bag(bag) as opened:
        truth = TopicLabels(opened, LABELS, LabelMap(small_manifest()), rig(placed=True))
        late = mask_of("thermal", 3)
        sample = late.frame_set.reference_sample
        moved = Sample("thermal", sample.stamp_ns + 40 * MS, 0, 0, "rgb", sample.image)
        frames = FrameSet("thermal", {"thermal": moved}, {}, 0)
        assert truth.label(Prediction(late.mask, frames, (), (), 0, 0, picture="rgb")) is None
        exact = Sample("rgb", sample.stamp_ns + MS, 0, 0, "rgb", sample.image)
        frames = FrameSet("rgb", {"rgb": exact}, {}, 0)
        assert truth.label(Prediction(late.mask, frames, (), (), 0, 0, picture="rgb")) is None


def test_a_damaged_label_is_one_and_another_type_is_none(tmp_path: Path) -> None:
    stamps = [START_NS + number * PERIOD_NS for number in range(3)]
    sent = [serialised(image(labels_of("rgb"), "mono8", stamp, "rgb")) for stamp in stamps]
    labels = list(zip(stamps, [sent[0], sent[1][:60], sent[2]], strict=True))
    topics = {"/rgb/labels": (IMAGE, labels), "/thermal/labels": (CAMERA_INFO, [])}
    sensors = {"/rgb/image": "rgb", "/thermal/image": "thermal"}
    with Bag(write_bag(tmp_path / "bag", topics)) as bag:
        topics_of = label_topics(bag, sensors)
        assert topics_of == {"rgb": "/rgb/labels"}
        with pytest.raises(BagError, match=r"thermal/labels of .* is sensor_msgs/msg/CameraInfo"):
            label_topics(bag, sensors, "/thermal/labels")
        truth = TopicLabels(bag, topics_of, LabelMap(small_manifest()), rig(placed=False))
        assert [found(truth, mask_of("rgb", n)) for n in range(3)] == [FIRST, None, FIRST]
        (note,) = truth.notes
        assert note.startswith("/rgb/labels: 1 labels are damaged")


@pytest.mark.parametrize(
    ("camera", "labels"),
    [
        ("/rgb/image", "/rgb/labels"),
        ("/rgb/image/compressed", "/rgb/labels"),
        ("/rgb/image/compressedDepth", "/rgb/labels/compressed"),
        ("/rgb/image", "/rgb/labels/compressed"),
    ],
)
def test_labels_are_found_beside_pictures_however_either_comes(
    tmp_path: Path, camera: str, labels: str
) -> None:
    kind = "sensor_msgs/msg/CompressedImage" if labels.endswith("compressed") else IMAGE
    topics = {labels: (kind, [])}
    sent = [(START_NS, serialised(image(labels_of("rgb"), "mono8", START_NS, "rgb")))]
    topics["/other/image"] = (IMAGE, sent)
    with Bag(write_bag(tmp_path / "bag", topics)) as bag:
        assert label_topics(bag, {camera: "rgb"}) == {"rgb": labels}


def test_a_label_of_another_shape_than_its_own_picture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rgb"
    path.mkdir()
    cv2.imwrite(str(path / f"{START_NS}.png"), np.zeros(SHAPE, np.uint8))
    truth = FolderLabels(tmp_path, LabelMap(small_manifest()), rig(placed=False))
    with pytest.raises(BagError, match="cannot show the same"):
        truth.label(mask_of("rgb", 0))


@pytest.mark.parametrize("placed", [False, True])
def test_a_running_node_is_judged_by_the_same_labels(tmp_path: Path, placed: bool) -> None:
    run = LiveRun(tmp_path, rig(placed=placed), 3, START_NS, LabelMap(small_manifest()))
    stamp = START_NS + SHIFT_NS
    evidence = {
        "mask": {"reference": "thermal", "picture": "rgb", "sensors": "thermal"},
        "thermal": {"state": "OK", "used": "true", "age_ms": "1", "offset_ms": "0"},
        "rgb": {"state": "FAILED", "used": "false"},
    }
    wanted = np.full((HEIGHT, WIDTH), FIRST if placed else OTHER, np.uint8)
    run.take_mask(stamp, wanted, "rgb", stamp)
    run.take_evidence(stamp, evidence)
    run.take_label("rgb", START_NS, labels_of("rgb"))
    run.take_label("thermal", stamp, labels_of("thermal"))
    run.take_label("rgb", START_NS + PERIOD_NS, labels_of("rgb"))
    run.finish()
    (line,) = (tmp_path / "masks.jsonl").read_text().splitlines()
    overlap = from_line(line).overlap
    assert overlap is not None
    assert mean_iou(overlap) == 1.0
