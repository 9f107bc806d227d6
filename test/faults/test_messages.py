"""Faults in ROS messages: what comes out can be read and serialised like the original."""

from __future__ import annotations

import copy
import struct
from array import array
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from fixtures.clouds import cloud_message
from fixtures.damage import GOOD
from fixtures.messages import compressed_message, image_message, raw_message
from fixtures.pictures import png
from fixtures.scenes import ENCODINGS, scene
from rosbags.typesys import Stores, get_typestore

from anymodal_seg_ros.errors import ConfigError, DecodeError
from anymodal_seg_ros.faults.injector import Injector
from anymodal_seg_ros.faults.kinds import (
    KINDS,
    EventLowResolution,
    Garbage,
    InjectedFault,
    LidarJitter,
    MotionBlur,
    OverExposure,
    Stuck,
    Wrong,
)
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.sensing.decoding.decode import decode_image, stamp_ns
from anymodal_seg_ros.sensing.decoding.point_clouds import decode_cloud

MS = 1_000_000
TYPES = get_typestore(Stores.ROS2_HUMBLE)


def broken(fault: InjectedFault, *messages: Any, modality: str = "") -> list[Any]:
    """Push messages a millisecond apart; every one must be delivered."""
    injector = Injector[Any](FaultTimeline(3, (fault,)), {"x": modality})
    told = [injector.push("x", k * MS, message) for k, message in enumerate(messages)]
    assert None not in told
    return [delivery.payload for delivery in told if delivery is not None]


def picture(modality: str, seed: int, stamp: int = 1_000_000_000, **layout: Any) -> Any:
    return image_message(scene(modality, seed), ENCODINGS[modality], stamp, **layout)


def some_cloud(stamp: int = 1_000_000_000, **layout: Any) -> Any:
    xyz = np.random.default_rng(1).uniform(1, 9, (3, 40)).astype(np.float32)
    ring = np.arange(40, dtype=np.uint16)
    return cloud_message({**dict(zip("xyz", xyz, strict=True)), "ring": ring}, **layout)


def event(x: int) -> Any:
    return SimpleNamespace(x=x, y=2, ts=SimpleNamespace(sec=1, nanosec=x), polarity=True)


def packet(stamp: int = 1_000_000_000) -> Any:
    header = picture("rgb", 0, stamp).header
    return SimpleNamespace(
        header=header, height=10, width=20, seq=1, encoding="evt3", events=array("B", range(100))
    )


def event_array() -> Any:
    header = picture("rgb", 0).header
    return SimpleNamespace(header=header, height=10, width=20, events=[event(k) for k in range(10)])


MESSAGES = {
    "image": picture("rgb", 0),
    "thermal": picture("thermal", 0, big_endian=True, padding=6),
    "depth": picture("depth", 0, padding=3),
    "events": picture("event", 0),
    "jpeg": compressed_message(
        cv2.imencode(".jpg", scene("rgb", 0))[1].tobytes(), "rgb8; jpeg compressed bgr8"
    ),
    "png": compressed_message(png(scene("thermal", 0)), "mono16; png compressed "),
    "bayer": raw_message(np.tile(np.arange(8, dtype=np.uint8), (8, 1)), 8, 8, "bayer_rggb8"),
    "cloud": some_cloud(height=4, gap=2, row_padding=5),
    "packet": packet(),
    "event_array": event_array(),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MESSAGES)
def test_no_kind_for_every_sensor_dies_of_a_message_or_writes_to_it(name: str, kind: str) -> None:
    message = MESSAGES[name]
    before = copy.deepcopy(vars(message))
    injector = Injector[Any](FaultTimeline(3, (KINDS[kind]("*"),)))
    for k in range(6):
        injector.push(name, k * 300 * MS, message)
    assert repr(before) == repr(vars(message))


@pytest.mark.parametrize("name", ["image", "thermal", "depth", "jpeg", "png"])
def test_a_blurred_image_is_what_blurring_the_decoded_one_gives(name: str) -> None:
    message = MESSAGES[name]
    fault = MotionBlur("x", severity=0.8)
    (blurred,) = broken(fault, message)
    true, seen = decode_image(message), decode_image(blurred)
    assert (seen.encoding, seen.pixels.shape) == (true.encoding, true.pixels.shape)
    assert blurred.header is message.header
    told = Injector[Any](FaultTimeline(3, (fault,))).push("x", 0, true)
    assert told is not None
    difference = seen.pixels.astype(float) - told.payload.pixels.astype(float)
    if name == "jpeg":
        assert np.abs(difference).mean() < 3
    else:
        np.testing.assert_array_equal(np.nan_to_num(difference), 0)
    assert not np.array_equal(seen.pixels, true.pixels)


@pytest.mark.parametrize("number", range(len(GOOD)))
def test_compressed_ones_stay_compressed(number: int) -> None:
    """Whatever the format: turned upside down twice, it is what it was, up to its loss."""
    form, data = GOOD[number]
    message = compressed_message(data, form)
    fault = Wrong("x", how="upside_down")
    if form.startswith("bayer"):
        with pytest.raises(ConfigError, match="bayer_rggb8 cannot be changed"):
            broken(fault, message)
        return
    (turned,) = broken(fault, message)
    (back,) = broken(fault, turned)
    true, seen, again = (decode_image(m) for m in (message, turned, back))
    assert seen.encoding == true.encoding
    assert len(turned.data) < 4 * len(data) + 1000
    loss = 12 if "jpeg" in form or form == "jpeg" else 1e-4
    # JPEG is lossy twice, and the picture is of pure noise; the others lose nothing.
    for one, other in ((true.pixels[::-1], seen.pixels), (true.pixels, again.pixels)):
        difference = np.nanmean(np.abs(one.astype(float) - other.astype(float)))
        assert difference < loss
        if one.dtype.kind == "f":
            np.testing.assert_array_equal(np.isnan(one), np.isnan(other))


def test_metres_survive_their_quantisation() -> None:
    counts = np.array([[0, 500, 1000], [20_000, 0, 60_000]], np.uint16)
    data = struct.pack("<iff", 0, 10100.0, -1000.0) + png(counts)
    (turned,) = broken(
        Wrong("x", how="mirrored"), compressed_message(data, "32FC1; compressedDepth png")
    )
    np.testing.assert_allclose(
        decode_image(turned).pixels, 10100.0 / (np.where(counts, counts, np.nan) + 1000.0)[:, ::-1]
    )


def test_a_repeated_message_has_the_new_stamp() -> None:
    first, second = picture("rgb", 0, 5), picture("rgb", 1, 6)
    held, repeated = broken(Stuck("x"), first, second)
    assert held.data is first.data
    assert repeated.data is first.data
    assert stamp_ns(repeated.header) == 6
    assert stamp_ns(first.header) == 5


def test_clouds_are_turned_and_keep_what_else_they_hold() -> None:
    message = some_cloud(height=4, gap=2, row_padding=5)
    (jittered,) = broken(LidarJitter("x", severity=1.0), message)
    true, seen = decode_cloud(message), decode_cloud(jittered)
    assert seen.shape == true.shape == (4, 10)
    np.testing.assert_array_equal(seen["ring"], true["ring"])
    assert not np.array_equal(seen["x"], true["x"])
    (mirrored,) = broken(Wrong("x", how="mirrored"), message)
    np.testing.assert_array_equal(decode_cloud(mirrored)["y"], -true["y"])
    (half,) = broken(Wrong("x", how="half_size"), message)
    np.testing.assert_array_equal(decode_cloud(half)["x"], true["x"][:, ::2])


@pytest.mark.parametrize("name", ["image", "thermal", "depth", "events", "cloud"])
@pytest.mark.parametrize("how", ["truncated", "wrong_size"])
def test_sizes_that_do_not_fit_are_noticed_by_any_decoder(name: str, how: str) -> None:
    (garbage,) = broken(Garbage("x", how=how), MESSAGES[name])
    with pytest.raises(DecodeError):
        (decode_cloud if name == "cloud" else decode_image)(garbage)


@pytest.mark.parametrize("how", ["noise", "truncated", "wrong_size"])
@pytest.mark.parametrize("name", ["jpeg", "png"])
def test_garbage_of_a_compressed_picture_is_noticed_when_it_is_unpacked(
    name: str, how: str
) -> None:
    (garbage,) = broken(Garbage("x", how=how), MESSAGES[name])
    with pytest.raises(DecodeError):
        _ = decode_image(garbage).pixels


def test_noise_has_the_size_of_the_picture() -> None:
    (garbage,) = broken(Garbage("x"), MESSAGES["image"])
    noise = decode_image(garbage).pixels
    assert noise.shape == scene("rgb", 0).shape
    assert noise.astype(float).std() > 60


def test_events_can_be_garbage_too() -> None:
    for how in ("noise", "truncated", "wrong_size"):
        (garbage,) = broken(Garbage("x", how=how), MESSAGES["packet"])
        assert isinstance(garbage.events, array)
        assert vars(garbage) != vars(MESSAGES["packet"])
    (noise,) = broken(Garbage("x"), MESSAGES["event_array"])
    assert len(noise.events) == 10
    assert max(e.x for e in noise.events) > 20
    assert [e.ts for e in noise.events] == [e.ts for e in MESSAGES["event_array"].events]


@pytest.mark.parametrize(
    ("fault", "name", "says"),
    [
        (OverExposure("x"), "packet", "messages of events cannot be changed like images"),
        (Wrong("x"), "event_array", "messages of events cannot be changed like images"),
        (MotionBlur("x"), "bayer", "bayer_rggb8 cannot be changed: expected plain pixels"),
        (EventLowResolution("x"), "image", "rgb8: it fits event frame"),
        (MotionBlur("x"), "cloud", "PointCloud2: it fits picture, 16-bit counts, depth"),
    ],
)
def test_what_does_not_fit_is_said_with_the_entry(
    fault: InjectedFault, name: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=f"entry 1 for x: .*{says}"):
        broken(fault, MESSAGES[name])


def test_a_broken_message_passes_as_it_is() -> None:
    message = picture("rgb", 0)
    message.step = 3
    assert broken(MotionBlur("x"), message) == [message]


@pytest.mark.parametrize("kind", ["motion_blur", "wrong", "garbage", "stuck"])
def test_messages_of_rosbags_can_be_serialised_again(kind: str) -> None:
    source = picture("thermal", 0)
    time = TYPES.types["builtin_interfaces/msg/Time"](sec=1, nanosec=0)
    message = TYPES.types["sensor_msgs/msg/Image"](
        header=TYPES.types["std_msgs/msg/Header"](stamp=time, frame_id="x"),
        height=source.height,
        width=source.width,
        encoding=source.encoding,
        is_bigendian=0,
        step=source.step,
        data=np.frombuffer(source.data, np.uint8),
    )
    (out,) = broken(KINDS[kind]("x"), message)
    wire = TYPES.serialize_cdr(out, "sensor_msgs/msg/Image")
    again = TYPES.deserialize_cdr(wire, "sensor_msgs/msg/Image")
    np.testing.assert_array_equal(decode_image(again).pixels, decode_image(out).pixels)
