"""Models of MUSES take the numbers of events that the node's own images tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from fixtures.manifests import ZERO, small_manifest
from fixtures.messages import image_message
from fixtures.pipelines import MS, START, CountingEngine, message

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.manifest import ModalitySpec
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.events.render import COUNT_LEVELS


class KeepingEngine(CountingEngine):
    batch: ModalityBatch

    def run(self, batch: ModalityBatch) -> Segmentation:
        self.batch = batch
        return super().run(batch)


def test_a_model_of_muses_is_fed_numbers_of_events() -> None:
    made = small_manifest(20, 30, classes=64)
    spec = ModalitySpec(3, "muses_event", ZERO, (1 / 255, 1 / 255, 1 / 255))
    made = replace(made, modalities={**made.modalities, "event": spec})
    rig = RigConfig(
        {
            "rgb": SensorConfig("rgb/image", "rgb", expected_hz=10.0),
            "event": SensorConfig("event/image", "event", expected_hz=10.0),
        }
    )
    engine = KeepingEngine()
    pipe = Pipeline(rig, Model(Path("nowhere"), made), engine)
    numbers = np.random.default_rng(0).integers(0, 4, (20, 30))
    pixels = np.stack([COUNT_LEVELS[numbers], 0 * numbers, 9 * numbers], 2).astype(np.uint8)
    assert pipe.push_message("rgb", message("rgb", START), 0) is None
    assert pipe.push_message("event", image_message(pixels, "8UC3", START), 0) is None
    prediction = pipe.poll(30 * MS)
    assert prediction is not None
    assert prediction.sensors == ("rgb", "event"), prediction.frame_set.missing
    np.testing.assert_allclose(
        engine.batch.images[1], [0 * numbers, 0 * numbers, numbers], atol=1e-4
    )
