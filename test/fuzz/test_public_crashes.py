"""Four crashes of public image pipelines in the spring of 2026, each as a kind, none of them ours.

In every case another camera goes on, and each of its frames has its mask.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message, image_message
from fixtures.scenes import ENCODINGS, scene

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline

START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 50_000_000
FRAMES = 12
MODALITIES = ("rgb", "thermal", "depth", "event")
Build = Callable[[int], Any]


class Counting:
    """Makes masks, and refuses numbers that are none."""

    name = "counting"

    def run(self, batch: ModalityBatch) -> Segmentation:
        assert np.isfinite(batch.images).all()
        return Segmentation(np.zeros(batch.images.shape[2:], np.uint8))


def masks_beside(modality: str, build: Build, topic: str = "x") -> tuple[int, list[str]]:
    """Let a camera send what is built, beside a healthy one; return masks and what was said."""
    sensors = {
        "healthy": SensorConfig("healthy", "rgb", expected_hz=20.0),
        "x": SensorConfig(topic, modality, expected_hz=20.0),
    }
    model = Model(Path("nowhere"), small_manifest())
    pipeline = Pipeline(RigConfig(sensors), model, Counting())
    masks, said = 0, []
    for number in range(FRAMES):
        now_ns = number * PERIOD_NS
        stamp_ns = START_NS + now_ns
        good = image_message(scene("rgb", number, 24, 32), "rgb8", stamp_ns)
        assert pipeline.push_message("healthy", good, now_ns) is None
        message = build(number)
        seconds, nanoseconds = divmod(stamp_ns, 10**9)
        message.header.stamp = SimpleNamespace(sec=seconds, nanosec=nanoseconds)
        if (error := pipeline.push_message("x", message, now_ns)) is not None:
            said.append(error)
        while (mask := pipeline.poll(now_ns + 25_000_000)) is not None:
            assert mask.frame_set.reference == "healthy"
            masks += 1
    while pipeline.poll(FRAMES * PERIOD_NS + 10**9) is not None:
        masks += 1
    assert all(len(error) < 500 for error in said)
    return masks, said


def image(modality: str, number: int, height: int = 24, width: int = 32) -> Any:
    return image_message(scene(modality, number, height, width), ENCODINGS[modality])


def emptied(message: Any, data: Any) -> Any:
    message.data = data
    return message


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("data", [b"", np.empty(0, np.uint8), bytearray(), memoryview(b"")])
def test_empty_data(modality: str, data: Any) -> None:
    masks, said = masks_beside(modality, lambda number: emptied(image(modality, number), data))
    assert masks == FRAMES and len(said) == FRAMES
    assert all("data has 0 bytes" in error for error in said)


@pytest.mark.parametrize("form", ["jpeg", "png", "rgb8; jpeg compressed bgr8", "", "16UC1; rvl"])
def test_empty_compressed_data(form: str) -> None:
    build = lambda number: compressed_message(b"", form)  # noqa: E731
    masks, said = masks_beside("rgb", build, "x/compressed")
    assert masks == FRAMES and len(said) == FRAMES


@pytest.mark.parametrize(
    ("height", "width", "step"),
    [
        (2**31 - 1, 2**31 - 1, 2**32 - 1),
        (2**32 - 1, 1, 3),
        (1, 2**32 - 1, 0),
        (65_536, 65_536, 196_608),  # whose product is 0 in 32 bits
        (46_341, 46_341, 139_023),  # just above 2**31 in 32 bits
        (16_384, 16_384, 49_152),
        (24, 32, 2**32 - 1),
        (0, 2**31, 96),
    ],
)
def test_oversized_dimensions_with_short_data(height: int, width: int, step: int) -> None:
    def build(number: int) -> Any:
        message = image("rgb", number)
        message.height, message.width, message.step = height, width, step
        return message

    masks, said = masks_beside("rgb", build)
    assert masks == FRAMES and len(said) == FRAMES


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("late", ["payload", "header"])
@pytest.mark.parametrize("size", [(12, 16), (48, 64)])
def test_metadata_against_payload_at_a_mode_switch(
    modality: str, late: str, size: tuple[int, int]
) -> None:
    """A camera is switched to another mode; for some frames one half is still of the old one."""

    def build(number: int) -> Any:
        if number < 4:
            return image(modality, number)
        new, old = image(modality, number, *size), image(modality, number)
        if number >= 7:
            return new
        header, payload = (new, old) if late == "payload" else (old, new)
        header.data = payload.data
        return header

    masks, said = masks_beside(modality, build)
    assert masks == FRAMES
    assert len(said) == 3, said


@pytest.mark.parametrize("modality", MODALITIES)
def test_all_black_frames(modality: str) -> None:
    def build(number: int) -> Any:
        return image_message(0 * image_pixels(modality), ENCODINGS[modality])

    masks, said = masks_beside(modality, build)
    assert masks == FRAMES and not said


def test_all_black_from_every_camera() -> None:
    sensors = {name: SensorConfig(name, name, expected_hz=20.0) for name in MODALITIES}
    model = Model(Path("nowhere"), small_manifest())
    pipeline = Pipeline(RigConfig(sensors), model, Counting())
    masks = []
    for number in range(FRAMES):
        now_ns = number * PERIOD_NS
        for name in MODALITIES:
            black = image_message(0 * image_pixels(name), ENCODINGS[name], START_NS + now_ns)
            pipeline.push_message(name, black, now_ns)
        while (mask := pipeline.poll(now_ns + 40_000_000)) is not None:
            masks.append(mask)
    states = {s.sensor: s.state.value for s in pipeline.status(FRAMES * PERIOD_NS)}
    assert states["rgb"] == states["depth"] == "INVALID"
    assert all(mask.unlabeled for mask in masks if "rgb" not in mask.sensors and not mask.sensors)


def image_pixels(modality: str) -> np.ndarray[Any, Any]:
    return np.nan_to_num(scene(modality, 0, 24, 32))
