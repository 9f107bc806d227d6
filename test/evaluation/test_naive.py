"""The pipeline that ours is compared with does what most nodes do, and nothing more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fixtures.scored_bags import write_scored_bag

from anymodal_seg_ros.config import load_config
from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.evaluation.bags import Bag
from anymodal_seg_ros.evaluation.naive import NaivePipeline
from anymodal_seg_ros.evaluation.replay import (
    arrivals,
    make_injector,
    replay,
    sensors_by_topic,
    with_faults,
)
from anymodal_seg_ros.faults.kinds import Garbage, InjectedFault, Off, Stuck
from anymodal_seg_ros.faults.timeline import FaultTimeline
from anymodal_seg_ros.frames import ModalityBatch, Prediction, Segmentation
from anymodal_seg_ros.inference.model import load_model

FRAMES = 20


class Watched:
    """An engine that remembers what it was given."""

    name = "watched"

    def __init__(self) -> None:
        self.given: list[ModalityBatch] = []

    def run(self, batch: ModalityBatch) -> Segmentation:
        self.given.append(batch)
        return Segmentation(mask=np.zeros((48, 64), np.uint8))


@pytest.fixture(scope="module")
def bag(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield write_scored_bag(tmp_path_factory.mktemp("bags"), tiny_model, FRAMES, labels=False)


def segment(bag: Path, *faults: InjectedFault, only: str = "") -> tuple[list[Prediction], Watched]:
    config = load_config(bag / "rig.yaml")
    rig = config.rig
    if only:
        sensors = {
            name: dataclasses.replace(sensor, enabled=name == only)
            for name, sensor in rig.sensors.items()
        }
        rig = dataclasses.replace(rig, sensors=sensors)
    engine = Watched()
    pipeline = NaivePipeline(rig, load_model(config.model), engine)
    with Bag(bag) as opened:
        recorded = arrivals(opened, sensors_by_topic(rig))
        injector = make_injector(FaultTimeline(0, faults), rig)
        faulty = with_faults(recorded, injector, opened.start_ns)
        return list(replay(pipeline, faulty)), engine


def test_every_set_of_healthy_sensors_makes_a_mask(bag: Path) -> None:
    masks, engine = segment(bag)
    assert [m.sensors for m in masks] == [("rgb", "thermal")] * FRAMES
    assert all(batch.images.any(axis=(1, 2, 3)).all() for batch in engine.given)


def test_a_silent_sensor_ends_the_masks(bag: Path) -> None:
    masks, _ = segment(bag, Off("thermal", 0.95))
    assert len(masks) == 10
    assert masks[-1].status[1].state.value == "OK", "nobody watches"


def test_a_stuck_sensor_is_fused(bag: Path) -> None:
    masks, _ = segment(bag, Stuck("thermal", 0.95))
    assert [m.sensors for m in masks] == [("rgb", "thermal")] * FRAMES


@pytest.mark.parametrize(("sensor", "row"), [("rgb", 0), ("thermal", 1)])
def test_zeros_stand_for_what_cannot_be_decoded(bag: Path, sensor: str, row: int) -> None:
    masks, engine = segment(bag, Garbage(sensor, 0.95, how="truncated"))
    assert len(masks) == FRAMES
    other = "thermal" if sensor == "rgb" else "rgb"
    assert [m.sensors for m in masks[10:]] == [(other,)] * (FRAMES - 10)
    assert masks[-1].frame_set.reference == "rgb"
    for batch in engine.given[10:]:
        assert len(batch.images) == 2, "the network always gets all of its inputs"
        assert not batch.images[row].any()
        assert batch.images[1 - row].any()


def test_zeros_stand_for_what_is_not_there(bag: Path) -> None:
    masks, engine = segment(bag, only="thermal")
    assert [m.sensors for m in masks] == [("thermal",)] * FRAMES
    assert all(not batch.images[0].any() and batch.images[1].any() for batch in engine.given)


def test_single_events_are_refused(bag: Path) -> None:
    config = load_config(bag / "rig.yaml")
    model = load_model(config.model)
    thermal = dataclasses.replace(
        config.rig.sensors["thermal"], modality="event", type="event_packet"
    )
    rig = dataclasses.replace(config.rig, sensors={"events": thermal})
    with pytest.raises(ConfigError, match="single events"):
        NaivePipeline(rig, model, Watched())
