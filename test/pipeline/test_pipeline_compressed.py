"""Pictures that take work to unpack: decoded only where they are wanted, counted where damaged."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.messages import compressed_message
from fixtures.pictures import png
from fixtures.pipelines import MS, START, S, message, pipeline
from fixtures.scenes import scene

from anymodal_seg_ros.frames import UNLABELED


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


def test_a_picture_on_which_the_library_raises_costs_one_mask_and_no_second_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unpack, tried = cv2.imdecode, []

    def raising(data: Any, flags: int) -> Any:
        tried.append(1)
        if len(tried) == 3:
            raise MemoryError("no room")
        return unpack(data, flags)

    monkeypatch.setattr("cv2.imdecode", raising)
    pipe, made = pipeline(), []
    for frame in range(5):
        now = frame * 100 * MS
        assert pipe.push_message("rgb", jpeg_or_png("rgb", START + now), now) is None
        made.append(pipe.poll(now + 50 * MS))
    assert [p.sensors for p in made if p] == [("rgb",), ("rgb",), (), ("rgb",), ("rgb",)]
    assert len(tried) == 5
    told = pipe.status(500 * MS)[0]
    assert told.rejected == {"data": 1}
    assert told.last_error == "rgb/image: data cannot be unpacked: MemoryError no room"


def test_pushing_a_compressed_message_does_not_unpack_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def unpack(*_: object) -> None:
        raise AssertionError("a callback unpacked a picture")

    pipe = pipeline()
    with monkeypatch.context() as patched:
        patched.setattr("cv2.imdecode", unpack)
        assert pipe.push_message("rgb", jpeg_or_png("rgb", START), 0) is None
    assert pipe.poll(100 * MS) is not None
