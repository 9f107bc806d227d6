"""Sensors checked against each other: doubted, left out, told, believed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fixtures.accords import normal_accord
from fixtures.drives import drive
from fixtures.manifests import small_manifest
from fixtures.unchecked import UNCHECKED

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.frames import (
    Image,
    ModalityBatch,
    Prediction,
    Sample,
    Segmentation,
    SensorState,
)
from anymodal_seg_ros.inference.manifest import FileSpec
from anymodal_seg_ros.inference.model import Model, sha256
from anymodal_seg_ros.pipeline import Pipeline
from anymodal_seg_ros.sensing.health.accord.normal_accord import dump_normal

S = 1_000_000_000
HZ = 10
KINDS = ("rgb", "thermal", "depth")

Lie = Callable[[Image], Image]


class CountingEngine:
    """Says in every pixel which modalities it saw: the sum of 2^id."""

    name = "counting"

    def run(self, batch: ModalityBatch) -> Segmentation:
        value = int((2**batch.modality_ids).sum())
        return Segmentation(np.full(batch.images.shape[2:], value, np.uint8))


def stretched(height: int, width: int) -> Lie:
    """Of a camera that sees the same on a chip of another shape."""

    def stretch(image: Image) -> Image:
        return Image(cv2.resize(image.pixels, (width, height)), image.encoding)

    return stretch


def mirrored(image: Image) -> Image:
    return Image(np.ascontiguousarray(image.pixels[:, ::-1]), image.encoding)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.yaml").touch()
    path = folder / "agreement.json"
    path.write_text(dump_normal(normal_accord(KINDS)))
    files = {"agreement": FileSpec(path.name, sha256(path))}
    return Model(folder, replace(small_manifest(classes=32), files=files))


def rig(kinds: tuple[str, ...] = KINDS, **changes: object) -> RigConfig:
    sensors = {
        kind: SensorConfig(f"{kind}/image", kind, expected_hz=10.0, checks=UNCHECKED)
        for kind in kinds
    }
    return replace(RigConfig(sensors), **changes)


def play(
    pipeline: Pipeline, first: int, count: int, lies: Mapping[str, Lie] | None = None
) -> list[Prediction]:
    """Drive for so many frames; returns the masks."""
    masks = []
    for number in range(first, first + count):
        now_ns = number * S // HZ + S
        for sensor in pipeline.rig.sensors:
            image = drive(sensor, number)
            if lies and sensor in lies:
                image = lies[sensor](image)
            pipeline.push(Sample(sensor, now_ns, now_ns, now_ns, sensor, image))
        while (prediction := pipeline.poll(now_ns)) is not None:
            masks.append(prediction)
    return masks


def state(pipeline: Pipeline, sensor: str, frame: int) -> SensorState:
    found = {s.sensor: s.state for s in pipeline.status(frame * S // HZ + S)}
    return found[sensor]


@pytest.mark.parametrize("liar", KINDS)
def test_a_mirrored_sensor_is_found_and_left_out_within_three_seconds(
    model: Model, liar: str
) -> None:
    pipe = Pipeline(rig(), model, CountingEngine())
    assert {p.sensors for p in play(pipe, 0, 30)[1:]} == {KINDS}
    masks = play(pipe, 30, 40, {liar: mirrored})
    assert state(pipe, liar, 69) is SensorState.DOUBTFUL
    others = tuple(kind for kind in KINDS if kind != liar)
    assert masks[30].sensors == others
    assert all(state(pipe, other, 69) is SensorState.OK for other in others)
    told = {s.sensor: s for s in pipe.status(70 * S // HZ + S)}[liar]
    assert "shows another world than" in told.fault
    assert "shows another world than" in masks[-1].frame_set.missing[liar]
    assert masks[-1].frame_set.reference == "rgb", "its header and geometry hold"
    assert not {c.name: c.passed for c in told.checks}["accord"]


def test_after_the_doubt_masks_are_those_of_a_rig_without_the_liar(model: Model) -> None:
    pipe = Pipeline(rig(), model, CountingEngine())
    play(pipe, 0, 30)
    masks = play(pipe, 30, 40, {"thermal": mirrored})[-5:]
    without = Pipeline(rig(("rgb", "depth")), model, CountingEngine())
    for mask, same in zip(masks, play(without, 0, 70)[-5:], strict=True):
        assert np.array_equal(mask.mask, same.mask)


def test_it_is_believed_and_fused_again_once_it_agrees(model: Model) -> None:
    pipe = Pipeline(rig(), model, CountingEngine())
    play(pipe, 0, 30)
    play(pipe, 30, 40, {"depth": mirrored})
    masks = play(pipe, 70, 40)
    assert masks[0].sensors == ("rgb", "thermal")
    assert masks[-1].sensors == KINDS
    assert state(pipe, "depth", 109) is SensorState.OK


def test_of_two_sensors_both_are_told_and_fused(model: Model) -> None:
    pipe = Pipeline(rig(("rgb", "thermal")), model, CountingEngine())
    play(pipe, 0, 30)
    masks = play(pipe, 30, 40, {"thermal": mirrored})
    assert masks[-1].sensors == ("rgb", "thermal")
    for name in ("rgb", "thermal"):
        status = {s.sensor: s for s in pipe.status(70 * S // HZ + S)}[name]
        assert status.state is SensorState.DOUBTFUL
        assert "nobody knows which of them is right" in status.fault


@pytest.mark.slow
def test_healthy_sensors_are_never_doubted_and_the_masks_are_as_without_the_check(
    model: Model,
) -> None:
    pipe = Pipeline(rig(), model, CountingEngine())
    masks = play(pipe, 0, 150)
    assert all(not status.entered.get("DOUBTFUL") for status in pipe.status(16 * S))
    plain = Pipeline(rig(cross_check=False), model, CountingEngine())
    for one, other in zip(masks, play(plain, 0, 150), strict=True):
        assert one.sensors == other.sensors
        assert np.array_equal(one.mask, other.mask)


def test_the_same_messages_end_in_the_same_doubts(model: Model) -> None:
    def told() -> list[tuple[str, ...]]:
        pipe = Pipeline(rig(), model, CountingEngine())
        return [p.sensors for p in [*play(pipe, 0, 20), *play(pipe, 20, 40, {"rgb": mirrored})]]

    assert told() == told()


def test_no_look_is_taken_before_work_on_masks(model: Model) -> None:
    pipe = Pipeline(rig(), model, CountingEngine())
    play(pipe, 0, 6)
    now_ns = 6 * S // HZ + S
    for sensor in KINDS:
        pipe.push(Sample(sensor, now_ns, now_ns, now_ns, sensor, drive(sensor, 6)))
    kinds = []
    while (task := pipe.begin(now_ns)) is not None:
        kinds.append(type(task).__name__)
        pipe.end(task, pipe.execute(task), 1000)
    assert "SensorLook" in kinds
    assert kinds.index("Fuse") < kinds.index("SensorLook")
    assert "Fuse" not in kinds[kinds.index("SensorLook") :]


def test_looks_wait_longer_where_they_would_take_more_than_their_share(model: Model) -> None:
    def looks(share: float) -> int:
        pipe = Pipeline(rig(cross_check_share=share), model, CountingEngine())
        assert pipe._parts.cross_check is not None
        pipe._parts.cross_check._thrifty = True
        begun = set()
        for number in range(60):
            now_ns = number * S // HZ + S
            for sensor in KINDS:
                pipe.push(Sample(sensor, now_ns, now_ns, now_ns, sensor, drive(sensor, number)))
            while (task := pipe.begin(now_ns)) is not None:
                if type(task).__name__ == "SensorLook":
                    begun.add(id(task))
                    kept.append(task)
                pipe.end(task, pipe.execute(task), 10_000_000)  # 40 ms in four steps
        return len(begun)

    kept: list[object] = []
    assert looks(1.0) == pytest.approx(20, abs=2)
    assert looks(0.02) == pytest.approx(3, abs=1)


def test_a_sensor_that_lies_beside_the_others_is_told_while_it_is_fused(model: Model) -> None:
    pipe = Pipeline(rig(("rgb", "thermal")), model, CountingEngine())
    moved = {"thermal": lambda image: Image(np.roll(image.pixels, 6, axis=1), image.encoding)}
    masks = play(pipe, 0, 120, moved)
    status = {s.sensor: s for s in pipe.status(13 * S)}["thermal"]
    assert "px to the right" in status.fault
    assert status.state.alive
    assert masks[-1].sensors == ("rgb", "thermal")


@pytest.mark.parametrize("size", [(256, 320), (180, 320), (512, 640), (60, 96)])
def test_cameras_whose_chips_have_other_shapes_are_compared_like_any(
    model: Model, size: tuple[int, int]
) -> None:
    shape = stretched(*size)
    pipe = Pipeline(rig(), model, CountingEngine())
    assert {p.sensors for p in play(pipe, 0, 30, {"thermal": shape})[1:]} == {KINDS}
    told = {s.sensor: s for s in pipe.status(3 * S + S)}["thermal"]
    assert {c.name: c.passed for c in told.checks}["accord"]
    masks = play(pipe, 30, 40, {"thermal": lambda image: shape(mirrored(image))})
    assert masks[-1].sensors == ("rgb", "depth")


def test_a_camera_that_changes_its_shape_is_measured_anew(model: Model) -> None:
    pipe = Pipeline(rig(("rgb", "thermal")), model, CountingEngine())
    play(pipe, 0, 20)
    play(pipe, 20, 20, {"rgb": stretched(180, 320)})
    masks = play(pipe, 40, 60, {"rgb": stretched(240, 240)})
    assert masks[-1].sensors == ("rgb", "thermal")
    told = {s.sensor: s for s in pipe.status(11 * S)}["thermal"]
    assert {"accord", "misaligned"} <= {c.name for c in told.checks if c.passed}


def test_without_an_agreement_file_nobody_is_compared() -> None:
    pipe = Pipeline(rig(), Model(Path("nowhere"), small_manifest(classes=32)), CountingEngine())
    masks = play(pipe, 0, 40, {"rgb": mirrored})
    assert masks[-1].sensors == KINDS


def test_a_damaged_agreement_file_is_refused_with_its_mend(tmp_path: Path) -> None:
    path = tmp_path / "agreement.json"
    path.write_text('{"format": 1}')
    (tmp_path / "model.yaml").touch()
    files = {"agreement": FileSpec(path.name, sha256(path))}
    damaged = Model(tmp_path, replace(small_manifest(classes=32), files=files))
    with pytest.raises(ModelError, match=r"looks is None.*anymodal-train agreement"):
        Pipeline(rig(), damaged, CountingEngine())


def test_a_clock_that_goes_back_begins_anew(model: Model) -> None:
    pipe = Pipeline(rig(), model, CountingEngine())
    play(pipe, 100, 30)
    play(pipe, 130, 40, {"depth": mirrored})
    assert state(pipe, "depth", 169) is SensorState.DOUBTFUL
    masks = play(pipe, 0, 10)
    assert masks[-1].sensors == KINDS
