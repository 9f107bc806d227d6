"""At a desk a second core prepares the samples to come; of the masks nobody can tell."""

from __future__ import annotations

import hashlib
import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from fixtures.manifests import small_manifest
from fixtures.messages import image_message
from fixtures.scenes import ENCODINGS, scene
from fixtures.virtual_machine import SplitEngine, split_pipeline

from anymodal_seg_ros.config import RigConfig, SensorConfig
from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.evaluation import replay as replay_module
from anymodal_seg_ros.evaluation.arrivals import Arrival
from anymodal_seg_ros.evaluation.bags import BagError
from anymodal_seg_ros.evaluation.replay import replay
from anymodal_seg_ros.frames import Features, ModalityBatch, Prediction, Segmentation
from anymodal_seg_ros.pipeline import Pipeline

START = 1_700_000_000_000_000_000
MS = 1_000_000
RIG = RigConfig(
    {
        "rgb": SensorConfig("rgb", "rgb", expected_hz=30.0),
        "depth": SensorConfig("depth", "depth", expected_hz=15.0),
        "thermal": SensorConfig("thermal", "thermal", expected_hz=10.0),
    }
)


class TellingEngine(SplitEngine):
    """Its masks tell apart whatever they are made of."""

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        made = super().fuse(features)
        seen = hashlib.sha256(b"".join(f.pyramid[0].tobytes() for f in features)).digest()
        assert made.mask is not None
        made.mask[:] = seen[0] % len(small_manifest().classes)
        made.mask.ravel()[:32] = np.frombuffer(seen, np.uint8) % len(small_manifest().classes)
        return made


def pipeline_of(engine: SplitEngine, rig: RigConfig = RIG) -> Pipeline:
    made, _ = split_pipeline(rig, in_time=False)
    return Pipeline(rig, made.model, engine)


def stream(seed: int, seconds: float = 3.0) -> list[Arrival]:
    """What comes of three cameras: late, broken, twice, of another size, or not at all."""
    chance = random.Random(seed)
    coming: list[Arrival] = []
    for name, sensor in RIG.sensors.items():
        silent = chance.uniform(0.5, seconds)
        for k in range(int(seconds * sensor.expected_hz)):
            taken = k * sensor.period_ns
            if silent < taken / 1e9 < silent + 0.8:
                continue
            size = (48, 64) if chance.random() > 0.05 else (24, 32)
            pixels = scene(sensor.modality, k, *size)
            if name == "rgb" and seed % 2:
                message = image_message(pixels[..., 0], "mono8", START + taken)
                message.encoding = "bayer_rggb8"
            else:
                message = image_message(pixels, ENCODINGS[sensor.modality], START + taken)
            if chance.random() < 0.05:
                message.data = message.data[: len(message.data) // 2]
            arrived = taken + round(chance.uniform(2, 40) * MS)
            coming.append((name, arrived, message))
            if chance.random() < 0.05:
                coming.append((name, arrived + 3 * MS, message))
    return sorted(coming, key=lambda arrival: arrival[1])


def on_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, pipeline: Pipeline, coming: Iterable[Arrival]
) -> list[Prediction]:
    monkeypatch.setattr(replay_module, "usable_processors", lambda: cores)
    return list(replay(pipeline, coming))


def told(prediction: Prediction) -> object:
    """Return all of a prediction but how long it took."""
    frames = prediction.frame_set
    samples = {n: (s.stamp_ns, s.received_ns) for n, s in frames.samples.items()}
    status = [replace(s, checks=()) for s in prediction.status]
    rest = prediction.sensors, prediction.contributions, prediction.unlabeled, prediction.picture
    return prediction.mask.tobytes(), samples, frames.missing, frames.completed_ns, status, rest


@pytest.mark.parametrize("seed", range(6))
def test_masks_are_the_same_with_and_without_a_second_core(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    alone, beside = TellingEngine(), TellingEngine()
    expected = on_cores(monkeypatch, 1, pipeline_of(alone), stream(seed))
    made = on_cores(monkeypatch, 2, pipeline_of(beside), stream(seed))
    assert list(map(told, made)) == list(map(told, expected))
    assert len({p.mask.tobytes() for p in made}) > 0.5 * len(made), "the masks tell frames apart"
    assert sum(len(p.sensors) > 1 for p in made) > 0.5 * len(made)


def test_no_sample_is_encoded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, beside = TellingEngine(), TellingEngine()
    on_cores(monkeypatch, 1, pipeline_of(alone), stream(2))
    on_cores(monkeypatch, 2, pipeline_of(beside), stream(2))
    messages = Counter(RIG.sensors[name].modality for name, _, _ in stream(2))
    ids = {kind: spec.id for kind, spec in small_manifest().modalities.items()}
    for kind, sent in messages.items():
        assert alone.encoded[ids[kind]] <= beside.encoded[ids[kind]] <= sent


def test_the_second_core_takes_part(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noting(TellingEngine):
        def __init__(self) -> None:
            super().__init__()
            self.by: Counter[bool] = Counter()

        def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
            self.by[threading.current_thread() is threading.main_thread()] += 1
            return super().encode(batch)

    for cores in (1, 2):
        engine = Noting()
        on_cores(monkeypatch, cores, pipeline_of(engine), stream(2))
        assert (engine.by[False] > 0) == (cores > 1)


def test_what_the_engine_raises_comes_where_the_sample_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing(TellingEngine):
        def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
            if batch.modality_ids[0] == small_manifest().modalities["thermal"].id:
                raise RuntimeError("out of memory")
            return super().encode(batch)

    found: list[list[object]] = []
    for cores in (1, 2):
        monkeypatch.setattr(replay_module, "usable_processors", lambda cores=cores: cores)
        masks = replay(pipeline_of(Failing()), stream(2))
        before: list[object] = []
        with pytest.raises(EngineError, match="the engine split failed, RuntimeError: out of mem"):
            before.extend(told(mask) for mask in masks)
            raise AssertionError("it was not raised")
        found.append(before)
    assert found[0] == found[1]


def test_what_came_before_a_damaged_bag_ends_has_its_masks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def damaged() -> Iterator[Arrival]:
        yield from stream(2)[:60]
        raise BagError("cut off")

    found: list[list[object]] = []
    for cores in (1, 2):
        monkeypatch.setattr(replay_module, "usable_processors", lambda cores=cores: cores)
        before: list[object] = []
        with pytest.raises(BagError, match="cut off"):
            before.extend(told(mask) for mask in replay(pipeline_of(TellingEngine()), damaged()))
        found.append(before)
    assert found[0] == found[1] and len(found[0]) > 10


def test_the_thread_ends_with_the_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_module, "usable_processors", lambda: 2)
    masks = replay(pipeline_of(TellingEngine()), stream(2))
    for _ in range(20):
        next(masks)
    names = [thread.name for thread in threading.enumerate()]
    assert any(name.startswith("prepares ahead") for name in names)
    masks.close()  # type: ignore[attr-defined]
    names = [thread.name for thread in threading.enumerate()]
    assert not any(name.startswith("prepares ahead") for name in names)
