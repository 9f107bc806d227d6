"""An engine that fails for some sets of sensors costs a few frames, and then those sensors only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fixtures.manifests import small_manifest
from fixtures.pipelines import MS, RIG, START, CountingEngine, message
from fixtures.virtual_machine import SplitEngine

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.frames import Features, ModalityBatch, Prediction, Segmentation
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.pipeline.failing_subsets import FailingSubsets

IDS = {"rgb": 0, "thermal": 1, "depth": 2}
THREE = RigConfig(
    {**RIG.sensors, "thermal": SensorConfig("thermal/image", "thermal", expected_hz=10.0)},
    content_checks=False,
)
Fails = Callable[[set[int], int], bool]
"""Whether the engine fails for a set of kinds of sensors at its so-manieth call."""


class Whole(CountingEngine):
    def __init__(self, fails: Fails) -> None:
        self.fails, self.calls = fails, 0

    def run(self, batch: ModalityBatch) -> Segmentation:
        self.calls += 1
        if self.fails({*batch.modality_ids.tolist()}, self.calls):
            raise RuntimeError("CUDA error: out of memory")
        return super().run(batch)


class Halves(SplitEngine):
    def __init__(self, fails: Fails) -> None:
        super().__init__()
        self.fails, self.calls = fails, 0

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        self.calls += 1
        if self.fails({f.modality_id for f in features}, self.calls):
            raise RuntimeError("CUDA error: out of memory")
        return super().fuse(features)


def drive(engine: Whole | Halves, frames: int, rig: RigConfig = THREE) -> list[Prediction]:
    """Let all sensors of a rig send at 10 Hz, and return the masks that come of it."""
    pipe = Pipeline(rig, Model(Path("nowhere"), small_manifest(classes=32)), engine)
    masks = []
    for k in range(frames):
        now = k * 100 * MS
        for name in reversed(rig.sensors):
            pipe.push_message(name, message(name, START + now), now)
        try:
            while (prediction := pipe.poll(now)) is not None:
                masks.append(prediction)
        except RuntimeError:
            continue
    return masks


@pytest.mark.parametrize("kind", [Whole, Halves])
@pytest.mark.parametrize(
    ("fails", "left", "lost"),
    [
        (lambda kinds, call: len(kinds) == 3, ("rgb", "depth"), 4),
        (lambda kinds, call: 2 in kinds, ("rgb", "thermal"), 6),
        (lambda kinds, call: 0 in kinds, ("depth", "thermal"), 8),
        (lambda kinds, call: len(kinds) > 1 or 0 in kinds, ("depth",), 12),
    ],
    ids=["three", "any with depth", "any with rgb", "all but depth alone"],
)
def test_masks_go_on_with_the_largest_set_that_works(
    kind: type[Whole | Halves], fails: Fails, left: tuple[str, ...], lost: int
) -> None:
    masks = drive(kind(fails), 80)
    assert len(masks) >= 80 - lost, "tries after 5 s included"
    assert {mask.sensors for mask in masks} == {left}
    last = masks[-1]
    assert (last.mask == sum(2 ** IDS[name] for name in left)).all(), "made of these and no others"
    assert last.frame_set.reference == "rgb"
    for name in THREE.sensors.keys() - {*left}:
        reason = last.frame_set.missing[name]
        assert "fails for rgb with depth with thermal (RuntimeError: CUDA error: out of" in reason


@pytest.mark.parametrize(
    ("at_most", "broken", "left", "lost"),
    [
        (4, set(), 4, 3 + 8 + 4),
        (1, set(), 1, 3 + 8 + 7),
        (8, {0, 3, 5}, 5, 3 + 8 + 3),
        (8, {7}, 7, 3 + 8),
    ],
    ids=["four at once", "one at once", "three broken", "the last one broken"],
)
def test_the_search_among_many_sensors_costs_as_many_masks_as_twice_their_number(
    at_most: int, broken: set[int], left: int, lost: int
) -> None:
    names = [f"camera{number}" for number in range(8)]
    seen, sets = FailingSubsets(), Counter[tuple[str, ...]]()
    failed = 0
    for frame in range(60):
        now_ns = frame * 33 * MS
        tried = seen.choose(tuple(names), bool, now_ns)
        if len(tried) > at_most or any(names.index(name) in broken for name in tried):
            seen.failed(tried, RuntimeError("no plan"), now_ns)
            failed += 1
        else:
            seen.worked(tried)
            sets[tried] += 1
    assert failed <= lost
    assert sets.most_common(1)[0][1] >= 60 - failed - 8, "found, it is kept"
    assert len(tried) == left


def test_a_part_that_has_worked_is_not_given_up_at_its_first_failure() -> None:
    seen = FailingSubsets()
    three = ("a", "b", "c")
    for _ in range(3):
        seen.failed(three, RuntimeError(), 0)
    assert seen.choose(three, bool, 1) == ("a", "b")
    seen.worked(("a", "b"))
    seen.failed(("a", "b"), RuntimeError("for once"), 2)
    assert seen.choose(three, bool, 3) == ("a", "b")


def test_a_set_that_needs_two_is_found_where_the_first_is_broken() -> None:
    names = ("a", "b", "c", "d", "e")
    seen = FailingSubsets()
    for now_ns in range(40):
        tried = seen.choose(names, lambda some: len(some) >= 2, now_ns)
        if len(tried) > 2 or "a" in tried:
            seen.failed(tried, RuntimeError(), now_ns)
        else:
            seen.worked(tried)
    assert len(tried) == 2
    assert "a" not in tried


def test_what_fails_now_and_then_or_for_a_while_is_not_given_up() -> None:
    every_tenth = drive(Whole(lambda kinds, call: call % 10 == 0), 60)
    assert [len(mask.sensors) for mask in every_tenth] == [3] * 54
    for_a_while = drive(Whole(lambda kinds, call: 20 < call <= 60), 90)
    assert len(for_a_while) == 50, "nothing is left to try but all of them"
    assert len(for_a_while[-1].sensors) == 3


def test_sensors_that_work_together_again_are_taken_back() -> None:
    masks = drive(Whole(lambda kinds, call: len(kinds) == 3 and call < 20), 120)
    counts = Counter(len(mask.sensors) for mask in masks)
    assert masks[-1].sensors == ("rgb", "depth", "thermal")
    assert counts[2] <= 55, "after 5 s they are tried once more"


def test_a_mask_without_a_critical_sensor_is_no_way_out() -> None:
    critical = replace(THREE.sensors["thermal"], critical=True)
    rig = replace(THREE, sensors={**THREE.sensors, "thermal": critical})
    masks = drive(Whole(lambda kinds, call: len(kinds) == 3), 20, rig)
    assert {mask.sensors for mask in masks} == {("rgb", "thermal")}
    assert drive(Whole(lambda kinds, call: 1 in kinds), 20, rig) == []
