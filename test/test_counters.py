"""Every message ends somewhere, and is counted there once: arrived = taken + dropped + rejected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from fixtures.damage import GOOD
from fixtures.manifests import small_manifest
from fixtures.messages import compressed_message, image_message
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline

START_NS, MS = 1_700_000_000_000_000_000, 1_000_000
WAITING = 16
"""Messages of a sensor that may be on their way: in its buffer, held back, or to be decoded."""

EVENTS = ("good", "good", "good", "good", "same stamp", "late", "absurd", "black", "cut", "silence")
PNG = dict((form.split(";")[0], data) for form, data in GOOD if "png compressed" in form)


class NoEngine:
    name = "none"

    def run(self, batch: ModalityBatch) -> Segmentation:
        return Segmentation(np.zeros(batch.images.shape[2:], np.uint8))


def messages(sensor: str, what: str, stamp_ns: int, number: int) -> list[Any]:
    """Return what a camera sends at one moment."""
    if what == "silence":
        return []
    stamp_ns += {"late": -400 * MS, "absurd": 3_600_000 * MS}.get(what, 0)
    if sensor == "packed":
        data = PNG["mono16"]
        cut = data[: len(data) // 2] if what == "cut" else data
        made = compressed_message(cut, "mono16; png compressed ", stamp_ns)
    else:
        noise = np.random.default_rng(number).integers(0, 255, (20, 30, 3)).astype(np.uint8)
        pixels = (
            0 * noise if what == "black" else noise // 8 + np.arange(30, dtype=np.uint8)[:, None]
        )
        made = image_message(pixels, "rgb8", stamp_ns)
        if what == "cut":
            made.data = made.data[:-1]
    return [made, made] if what == "same stamp" else [made]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(EVENTS)), min_size=20, max_size=80),
    st.integers(1, 7),
)
def test_no_message_is_lost_without_a_word(play: list[tuple[str, str]], polls: int) -> None:
    sensors = {
        "rgb": SensorConfig("rgb", "rgb", expected_hz=20.0),
        "packed": SensorConfig("packed/compressed", "thermal", expected_hz=20.0),
    }
    pipeline = Pipeline(RigConfig(sensors), Model(Path("nowhere"), small_manifest()), NoEngine())
    sent = dict.fromkeys(sensors, 0)
    now_ns = 0
    for number, both in enumerate(play):
        now_ns = number * 50 * MS
        for sensor, what in zip(sensors, both, strict=True):
            for message in messages(sensor, what, START_NS + now_ns, number):
                pipeline.push_message(sensor, message, now_ns)
                sent[sensor] += 1
        if number % polls == 0:
            while pipeline.poll(now_ns + 30 * MS) is not None:
                pass
    while pipeline.poll(now_ns + 1000 * MS) is not None:
        pass
    for status in pipeline.status(now_ns + 1000 * MS):
        ended = status.taken + sum(status.dropped.values()) + sum(status.rejected.values())
        assert status.arrived == sent[status.sensor]
        assert 0 <= status.arrived - ended <= WAITING, status
