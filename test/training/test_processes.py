"""Two processes at an equal whole batch are one process, loss by loss."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from fixtures.mixed_training import write_texts
from fixtures.tiny_training import tiny_recipe

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.batches import part_size
from anymodal_seg_training.runs.log import read_log
from anymodal_seg_training.runs.loop import Frames

ROOT = Path(__file__).parents[2]
CHILD = """
import dataclasses, sys, torch
from functools import partial
from pathlib import Path
torch.set_num_threads(1)
from anymodal_seg_training.runs.display import Display
from anymodal_seg_training.fabric import open_fabric
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.train import train
from fixtures.mixed_training import clip_recipe, mixed_dataset, mixed_recipe
from fixtures.tiny_training import LabelledDataset, still_recipe
if __name__ == "__main__":  # workers that prepare frames import this file
    recipe, dataset = {
        "tiny": (still_recipe, LabelledDataset),
        "mixed": (mixed_recipe, mixed_dataset),
        "clip": (partial(clip_recipe, Path(sys.argv[2]) / "texts.safetensors"), mixed_dataset),
    }[sys.argv[4]]
    recipe, dataset = recipe(), dataset()
    store = dataclasses.replace(recipe.input, store=sys.argv[3])
    recipe = dataclasses.replace(recipe, input=store)
    train(recipe, dataset, RunFolder(Path(sys.argv[1])), False, Path(sys.argv[2]),
          open_fabric(torch.device("cpu"), "fp32"), 1, Display())
"""


class Curves(NamedTuple):
    """What a log says: the loss of each step, the score of each validation."""

    losses: list[float]
    scores: list[float]


def curves(
    folder: Path, cache: Path, processes: int, store: str = "cache", what: str = "tiny"
) -> Curves:
    """Train and return what the log says."""
    script = folder.with_suffix(".py")
    script.write_text(CHILD)
    paths = [ROOT, ROOT / "training", ROOT / "test"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    launcher = torchrun if processes > 1 else []
    command = [sys.executable, *launcher, str(script), str(folder), str(cache), store, what]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = read_log(RunFolder(folder).log_file)
    return Curves(
        [line["loss"] for line in lines if line["kind"] == "train"],
        [line["score"] for line in lines if "score" in line],
    )


def assert_alike(together: Curves, alone: Curves) -> None:
    assert together.losses == pytest.approx(alone.losses, rel=2e-4, abs=1e-5)
    # Counts of pixels: where two classes are all but equal, a pixel goes one way or the other.
    assert together.scores == pytest.approx(alone.scores, abs=1e-3)


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(frames: Frames, tmp_path: Path) -> None:
    cache = frames.train.folder.parent
    alone = curves(tmp_path / "one", cache, 1)
    assert len(alone.losses) == 6 and alone.scores
    for store in ("cache", "stream"):
        together = curves(tmp_path / f"two-{store}", cache, 2, store)
        assert_alike(together, alone)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["mixed", "clip"])
def test_so_do_mixed_data_sets(tmp_path: Path, what: str) -> None:
    """Which data set comes, and the contrast of images with texts, depend on no process."""
    cache = tmp_path / "cache"
    cache.mkdir()
    write_texts(cache / "texts.safetensors")
    alone, together = (
        curves(tmp_path / f"run{processes}", cache, processes, what=what) for processes in (1, 2)
    )
    assert len(alone.losses) >= 6
    assert_alike(together, alone)


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    assert part_size(tiny_recipe(batch_size=12, accumulate=3), 2) == 2
    with pytest.raises(ConfigError, match=r"batch_size is 4: expected a multiple of 6"):
        part_size(tiny_recipe(accumulate=3), 2)
