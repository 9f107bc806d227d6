"""From what labels hold, ids or colours, to the classes of the model."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.manifests import small_manifest

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bags import BagError
from anymodal_seg_ros.evaluation.scorecard.labels.ground_truth import label_of
from anymodal_seg_ros.evaluation.scorecard.labels.label_map import LabelMap, packed
from anymodal_seg_ros.frames import UNLABELED
from anymodal_seg_ros.messages.rosbags import make
from anymodal_seg_ros.messages.values import Message, header, image

FIRST, SECOND = (spec.name for spec in small_manifest().classes[:2])
STAMP = 5_000_000_000


def compressed(form: str, suffix: str, pixels: np.ndarray) -> Any:
    _, data = cv2.imencode(suffix, pixels)
    fields = {"header": header(STAMP, "rgb"), "format": form, "data": data.reshape(-1)}
    return make(Message("sensor_msgs/msg/CompressedImage", fields))


def test_what_a_map_does_not_name_is_told_but_for_what_means_nothing() -> None:
    known = LabelMap(small_manifest(), {7: FIRST, 8: "ignore"})
    ids = np.array([[7, 7, 8, UNLABELED], [9, 9, 300, 7]], np.uint16)
    label = known.apply(ids, "a label")
    assert label.tolist() == [[0, 0, 255, 255], [255, 255, 255, 0]]
    (note,) = known.notes
    assert note.startswith("the label map does not name 9, 300: 37.5% of the labels' pixels")
    assert LabelMap(small_manifest(), {7: FIRST}).notes == []


def test_only_some_of_many_ids_are_named() -> None:
    known = LabelMap(small_manifest(), {})
    known.apply(np.arange(200, dtype=np.uint8)[None], "a label")
    assert known.notes[0].startswith("the label map does not name 0, 1, 2, 3, 4, 5, 6, 7 and 192 m")


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_labels_may_be_colours(encoding: str) -> None:
    known = LabelMap(small_manifest(), {"128 64 0": FIRST, "0 64 128": SECOND})
    red_first = np.array([[[128, 64, 0], [0, 64, 128], [1, 2, 3]]], np.uint8)
    order = [2, 1, 0] if encoding.startswith("bgr") else [0, 1, 2]
    pixels = red_first[..., order]
    if encoding.endswith("a8"):
        pixels = np.dstack([pixels, np.full((1, 3), 255, np.uint8)])
    message = make(image(np.ascontiguousarray(pixels), encoding, STAMP, "rgb"))
    stamp, ids = label_of(message, "a label")
    assert stamp == STAMP
    assert known.apply(ids, "a label").tolist() == [[0, 1, UNLABELED]]
    assert known.notes[0].startswith("the label map does not name 1 2 3: 33.3%")


def test_colours_of_a_png_are_those_that_were_put_in() -> None:
    pixels = np.array([[[10, 20, 30]] * 4], np.uint8)  # blue first, as OpenCV wants it
    _, ids = label_of(compressed("rgb8; png compressed bgr8", ".png", pixels), "a label")
    assert (ids == packed(pixels[..., ::-1])).all()


def test_a_label_that_lost_its_ids_to_jpeg_is_refused() -> None:
    grey = np.zeros((8, 8), np.uint8)
    assert (label_of(compressed("mono8; png compressed ", ".png", grey), "a")[1] == 0).all()
    with pytest.raises(BagError, match=r"the topic is a JPEG, .* expected a raw image, or a PNG"):
        label_of(compressed("mono8; jpeg compressed ", ".jpg", grey), "the topic")


@pytest.mark.parametrize(
    ("entries", "colours", "words"),
    [
        (None, True, "is a picture of colours: say what they mean with a --label-map of colours"),
        ({7: FIRST}, True, "is a picture of colours"),
        ({"1 2 3": FIRST}, False, "the label has ids, the label map has colours"),
    ],
)
def test_a_map_of_the_other_kind_is_refused(entries: Any, colours: bool, words: str) -> None:
    ids = np.zeros((2, 2), np.uint8)
    with pytest.raises(BagError, match=words):
        LabelMap(small_manifest(), entries).apply(
            packed(np.zeros((2, 2, 3), np.uint8)) if colours else ids, "a label"
        )


@pytest.mark.parametrize("key", ["road", "1 2", "1 2 256", "1 2 -3", "1 2 ³"])
def test_a_key_that_is_neither_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=r"expected ids, such as 7, or colours, such as 128 64"):
        LabelMap(small_manifest(), {key: FIRST})


def test_ids_and_colours_do_not_mix() -> None:
    with pytest.raises(ConfigError, match=r"the key is 7: .* all of one kind"):
        LabelMap(small_manifest(), {"1 2 3": FIRST, 7: FIRST})
