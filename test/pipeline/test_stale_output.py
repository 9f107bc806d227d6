"""An engine that answers the same whatever it is shown has failed; a still world is no fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from fixtures.manifests import small_manifest
from fixtures.messages import image_message
from fixtures.pipelines import MS, START

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline

RIG = RigConfig(
    {
        "rgb": SensorConfig("rgb/image", "rgb", expected_hz=10.0),
        "depth": SensorConfig("depth/image", "depth", expected_hz=10.0),
    },
    content_checks=False,
)


class Engine:
    """Gives logits in one buffer of its own that it writes anew each time, unless told not to."""

    name = "buffered"

    def __init__(self, works: Callable[[int, int], bool]) -> None:
        self.works, self.calls = works, 0
        self._logits = np.zeros((3, 2, 3), np.float32)

    def run(self, batch: ModalityBatch) -> Segmentation:
        self.calls += 1
        if self.works(self.calls, len(batch.modality_ids)):
            self._logits[:] = batch.images.mean(axis=(0, 1))[::4, ::4]
        return Segmentation(logits=self._logits)


def drive(
    engine: Engine, frames: int, step: int = 24, depth_step: int | None = None
) -> tuple[list[tuple[str, ...]], list[str]]:
    """Show a world that gets brighter by so much from frame to frame, or to one of the sensors.

    Returns the sensors of each mask, and what failed.
    """
    pipe = Pipeline(RIG, Model(Path("nowhere"), small_manifest()), engine)
    world = np.random.default_rng(0).integers(0, 60, (20, 30, 3)).astype(np.uint8)
    masks, failures = [], []
    for k in range(frames):
        now = k * 100 * MS
        seen = world + np.uint8(k * step % 190)
        farther = k * (step if depth_step is None else depth_step) % 190
        metres = (world[..., 0] + np.float32(farther)) / 8 + 1
        pipe.push_message("depth", image_message(metres, "32FC1", START + now), now)
        pipe.push_message("rgb", image_message(seen, "rgb8", START + now), now)
        try:
            while (prediction := pipe.poll(now)) is not None:
                masks.append(prediction.sensors)
        except EngineError as error:
            failures.append(str(error))
    return masks, failures


def test_an_engine_that_works_in_one_buffer_is_sound() -> None:
    masks, failures = drive(Engine(lambda call, sensors: True), 30)
    assert len(masks) == 30
    assert not failures


def test_masks_of_long_ago_are_no_masks() -> None:
    masks, failures = drive(Engine(lambda call, sensors: call <= 10), 40)
    assert len(masks) <= 10 + 5 + 1, "and none after the fifth repetition"
    assert "its output is stale" in failures[0]
    assert len(masks) + len(failures) == 40


def test_where_the_output_is_stale_for_some_sensors_alone_masks_go_on_with_others() -> None:
    masks, failures = drive(Engine(lambda call, sensors: call <= 10 or sensors == 1), 40)
    assert set(masks[-10:]) == {("rgb",)}
    assert len(failures) <= 4


def test_a_world_that_stands_still_has_the_same_mask_each_time() -> None:
    masks, failures = drive(Engine(lambda call, sensors: True), 30, step=0)
    assert len(masks) == 30
    assert not failures


def test_an_engine_that_comes_back_makes_masks_again() -> None:
    masks, failures = drive(Engine(lambda call, sensors: not 10 < call <= 20), 60)
    assert 1 <= len(failures) <= 20
    assert masks[-1] == ("rgb", "depth")


def test_a_sensor_that_moves_alone_may_be_ignored_by_a_network() -> None:
    masks, failures = drive(Engine(lambda call, sensors: call < 2), 30, step=0, depth_step=24)
    assert len(masks) == 30
    assert not failures
