from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.tiny_training import HEIGHT, WIDTH, TinySplit, tiny_format, tiny_recipe

from anymodal_seg_ros.inference.preprocess import planes
from anymodal_seg_training.datasets.frame_cache import FrameCache, open_cache
from anymodal_seg_training.datasets.frame_source import read_frames
from anymodal_seg_training.datasets.reading import Reading
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.runs.loop import Frames


def test_frames_are_what_the_node_would_see(frames: Frames) -> None:
    cache, recipe = frames.train, tiny_recipe()
    assert len(cache) == 6
    read, labels = cache.read(np.array([3, 0]), recipe.modality_names)
    assert read.shape == (2, 4, 3, HEIGHT, WIDTH) and labels.shape == (2, HEIGHT, WIDTH)
    second_of_unit_1 = list(TinySplit("tiny-train").frames(1))[1]
    for row, name in enumerate(recipe.modality_names):
        spec = recipe.modalities[name]
        expected = planes(second_of_unit_1.images[name], spec, HEIGHT, WIDTH)
        np.testing.assert_allclose(read[0, row].numpy(), expected, rtol=1e-3, atol=1e-3)
    assert set(np.unique(labels)) == {0, 1, 2, 255}


def test_a_subset_is_read_in_the_order_asked_for(frames: Frames) -> None:
    everything, _ = frames.train.read(np.array([1]), ("rgb", "thermal", "depth", "event"))
    some, _ = frames.train.read(np.array([1]), ("depth", "rgb"))
    assert some[0, 0].equal(everything[0, 2]) and some[0, 1].equal(everything[0, 0])


def test_class_frequencies_do_not_count_the_unlabelled(frames: Frames) -> None:
    shares = frames.train.class_frequencies(3)
    assert shares.sum() == pytest.approx(1.0) and (shares > 0).all()


def test_ctrl_c_does_not_wait_for_the_units_that_are_still_to_come(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_cache(TinySplit("tiny-train", 60), tiny_format(), tmp_path, workers=1, progress=stop)
    assert 1 <= len(list(tmp_path.glob("*/done/*"))) < 10


def test_runs_that_begin_at_once_share_their_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process is as far as this one, and is the first to be done with each array."""
    make, seen = np.lib.format.open_memmap, []

    def make_and_be_late(path: Path, mode: str, **how: Any) -> Any:
        if mode == "w+" and not seen:
            seen.append(path)
            open_cache(TinySplit("tiny-train"), tiny_format(), tmp_path, workers=1)
        return make(path, mode=mode, **how)

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "open_memmap", make_and_be_late)
        late = open_cache(TinySplit("tiny-train"), tiny_format(), tmp_path, workers=1)
    frames, labels = late.read(np.arange(6), ("rgb",))
    assert seen and frames.abs().amax(dim=(1, 2, 3, 4)).all() and labels.any()
    assert {path.suffix for path in late.folder.iterdir()} == {".npy", ""}


def test_finished_units_are_kept_when_one_fails(tmp_path: Path) -> None:
    broken = TinySplit("tiny-train", broken_unit=2)
    with pytest.raises(TrainingError, match=r"unit 2 of tiny-train: OSError: the recording is dam"):
        open_cache(broken, tiny_format(), tmp_path, workers=1)
    (folder,) = tmp_path.iterdir()
    done = {path.name: path.stat().st_mtime_ns for path in (folder / "done").iterdir()}
    assert set(done) == {"0", "1"}

    calls: list[tuple[int, int]] = []
    cache = open_cache(
        TinySplit("tiny-train"),
        tiny_format(),
        tmp_path,
        workers=1,
        progress=lambda n, total: calls.append((n, total)),
    )
    assert cache.folder == folder and calls == [(2, 3), (3, 3)]
    assert all((folder / "done" / name).stat().st_mtime_ns == t for name, t in done.items())


def test_another_format_is_another_cache(tmp_path: Path) -> None:
    split, form = TinySplit("tiny-train", units=1), tiny_format()
    first = open_cache(split, form, tmp_path, workers=1)
    rgb = dataclasses.replace(form.modalities["rgb"], mean=(0.0, 0.0, 0.0))
    other = dataclasses.replace(form, modalities={**form.modalities, "rgb": rgb})
    assert open_cache(split, other, tmp_path, workers=1).folder != first.folder


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match=r"cannot store frames in .*file"):
        open_cache(TinySplit("tiny-train"), tiny_format(), tmp_path / "file", workers=1)


def test_frames_read_ahead_in_other_processes_are_the_same(frames: Frames) -> None:
    cache = frames.train
    ahead = FrameCache(cache.folder, tiny_format(), Reading(workers=2))
    jobs = [np.array([3, 0]), np.array([5]), np.array([1, 2, 4])]
    read = partial(read_frames, modalities=("depth", "rgb"))
    for (planes_, labels), (there, labels_there) in zip(
        cache.run(jobs, read), ahead.run(jobs, read), strict=True
    ):
        assert planes_.equal(there) and labels.equal(labels_there)
