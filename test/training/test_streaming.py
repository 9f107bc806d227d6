from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.damaged_frames import DamagedSplit, number_and_process
from fixtures.tiny_training import CLASSES, TinySplit, tiny_format, tiny_recipe
from fixtures.training_runs import facts, run, stopped_run

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.checkpoint import load_checkpoint
from anymodal_seg_training.datasets.reading import Reading
from anymodal_seg_training.datasets.streaming import StreamedFrames
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.recipe import Recipe, parse_recipe
from anymodal_seg_training.runs.loop import Frames

NAMES = ("rgb", "thermal", "depth", "event")


def stream(split: TinySplit, **reading: Any) -> StreamedFrames:
    return StreamedFrames(split, tiny_format(), Reading(**{"workers": 1, **reading}))


def streamed(train: TinySplit | None = None, **reading: Any) -> Frames:
    return Frames(
        stream(train or TinySplit("tiny-train"), **reading),
        stream(TinySplit("tiny-validation")),
        tuple(spec.name for spec in CLASSES),
    )


def recipe(**input_options: Any) -> Recipe:
    tiny = tiny_recipe()
    store = dataclasses.replace(tiny.input, store="stream", **input_options)
    return dataclasses.replace(tiny, input=store)


def test_a_stream_gives_the_frames_of_the_cache(frames: Frames) -> None:
    source = stream(TinySplit("tiny-train"))
    assert len(source) == len(frames.train) == 6
    for indices, names in (([5, 0, 0], NAMES), ([3], ("depth", "rgb")), ([1, 2], ())):
        planes, labels = source.read(np.array(indices), names)
        assert planes.shape[:2] == (len(indices), len(names)) and planes.dtype == torch.float16
        if names:
            expected, expected_labels = frames.train.read(np.array(indices), names)
            assert planes.equal(expected) and labels.equal(expected_labels)


def test_results_come_in_the_order_of_the_jobs_from_other_processes() -> None:
    results = list(stream(TinySplit("tiny-train"), workers=2).run(range(5), number_and_process))
    assert [number for number, _ in results] == list(range(5))
    assert os.getpid() not in {process for _, process in results}


def test_no_more_is_read_ahead_than_was_asked_for() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = stream(TinySplit("tiny-train"), workers=1, prefetch=3).run(jobs(), number_and_process)
    assert next(results)[0] == 0 and len(taken) <= 4
    assert next(results)[0] == 1 and len(taken) <= 5
    results.close()


def test_a_stream_trains_as_the_cache_does_and_resumes_exactly(
    frames: Frames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = run(tiny_recipe(), frames, tmp_path / "cached")
    stopped_run(recipe(), streamed(), tmp_path / "streamed", 3, monkeypatch)
    files = run(recipe(), streamed(), tmp_path / "streamed", resume=True)
    assert facts(files) == facts(cached)
    weights = [load_checkpoint(entry.last_file)["network"] for entry in (files, cached)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


def test_a_damaged_frame_stops_the_run_and_is_named(tmp_path: Path) -> None:
    split = DamagedSplit("tiny-train", frames_per_unit=1, units=6, damaged=(4,))
    with pytest.raises(TrainingError) as caught:
        run(recipe(), streamed(split), tmp_path / "run")
    expected = "frame 4 of tiny-train cannot be used: cannot read /data/004.png: it is cut off"
    assert str(caught.value).startswith(f"{expected}; mend it or take it out of its split, or set")


def test_a_damaged_frame_is_replaced_by_the_next_good_one_and_counted(tmp_path: Path) -> None:
    split = DamagedSplit("tiny-train", frames_per_unit=1, units=6, damaged=(4, 5))
    source = stream(split, replaces=True)
    said: list[str] = []
    planes, labels = source.read(np.array([4, 2, 5]), NAMES, said)
    good, good_labels = source.read(np.array([0, 2, 0]), NAMES)
    assert planes.equal(good) and labels.equal(good_labels)
    assert ["/data/004" in said[0], "/data/005" in said[1], len(said)] == [True, True, 3]

    chosen = recipe(on_damage="replace")
    lines = facts(run(chosen, streamed(split, replaces=True), tmp_path / "run"))
    counts = [line["replaced"] for line in lines if line["kind"] == "train"]
    # 24 frames of 6 are 4 epochs: in each, frame 4 fails twice, itself and then frame 5 after it.
    assert counts == sorted(counts) and counts[-1] == 4 * 3


def test_nothing_but_damaged_frames_is_an_error_even_if_they_may_be_replaced() -> None:
    split = DamagedSplit("tiny-train", frames_per_unit=1, damaged=(0, 1, 2))
    with pytest.raises(TrainingError, match=r"^3 damaged frames in a row; the last: frame 1 of"):
        stream(split, replaces=True).read(np.array([2]), NAMES)


def test_a_modality_that_is_not_there_is_named() -> None:
    source = StreamedFrames(TinySplit("tiny-train"), tiny_format(), Reading(1))
    with pytest.raises(TrainingError, match=r"frame 0 of tiny-train .* it has no lidar image"):
        source.read(np.array([0]), ("lidar",))


def test_replacing_needs_a_stream() -> None:
    plain = tiny_recipe().plain()
    plain["input"]["on_damage"] = "replace"
    with pytest.raises(ConfigError, match=r"input\.on_damage is replace, but .* to stream"):
        parse_recipe(plain)
