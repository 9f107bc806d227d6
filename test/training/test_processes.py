"""Two processes at an equal whole batch are one process, loss by loss."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from fixtures.equal_runs import RUNS, train_all
from fixtures.mixed_training import write_texts
from fixtures.tiny_training import tiny_recipe

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_training.run_folder import RunFolder
from anymodal_seg_training.runs.batches import part_size
from anymodal_seg_training.runs.log import read_log

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
from pathlib import Path
if __name__ == "__main__":  # each worker that reads frames imports this file, and needs nothing
    from fixtures.equal_runs import train_all
    train_all(Path(sys.argv[1]), Path(sys.argv[2]))
"""


class Curves(NamedTuple):
    """What a log says: the loss of each step, the score of each validation."""

    losses: list[float]
    scores: list[float]


def curves(folder: Path, cache: Path, processes: int) -> dict[str, Curves]:
    """Train every one of the runs and return what their logs say; one process is this one."""
    folder.mkdir()
    if processes == 1:
        train_all(folder, cache)
    else:
        script = folder / "child.py"
        script.write_text(CHILD)
        paths = [ROOT, ROOT / "training", ROOT / "test"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        command = [sys.executable, *torchrun, str(script), str(folder), str(cache)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    found = {}
    for what, store in RUNS:
        lines = read_log(RunFolder(folder / f"{what}-{store}").log_file)
        found[f"{what}-{store}"] = Curves(
            [line["loss"] for line in lines if line["kind"] == "train"],
            [line["score"] for line in lines if "score" in line],
        )
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Curves]]:
    """The curves of every run by the number of processes; a process is dear, so each trains all."""
    folder = tmp_path_factory.mktemp("processes")
    cache = folder / "cache"
    cache.mkdir()
    write_texts(cache / "texts.safetensors")
    return {count: curves(folder / f"by-{count}", cache, count) for count in (1, 2)}


@pytest.mark.slow
@pytest.mark.parametrize("run", [f"{what}-{store}" for what, store in RUNS])
def test_two_processes_give_the_losses_of_one(
    trained: dict[int, dict[str, Curves]], run: str
) -> None:
    """Which data set comes, and the contrast of images with texts, depend on no process."""
    alone, together = trained[1][run], trained[2][run]
    assert len(alone.losses) >= 6
    assert alone.scores or not run.startswith("tiny")
    assert together.losses == pytest.approx(alone.losses, rel=2e-4, abs=1e-5)
    # Counts of pixels: where two classes are all but equal, a pixel goes one way or the other.
    assert together.scores == pytest.approx(alone.scores, abs=1e-3)


@pytest.mark.slow
def test_streamed_frames_give_the_losses_of_cached_ones(
    trained: dict[int, dict[str, Curves]],
) -> None:
    streamed, cached = trained[2]["tiny-stream"].losses, trained[1]["tiny-cache"].losses
    assert streamed == pytest.approx(cached, rel=2e-4, abs=1e-5)


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    assert part_size(tiny_recipe(batch_size=12, accumulate=3), 2) == 2
    with pytest.raises(ConfigError, match=r"batch_size is 4: expected a multiple of 6"):
        part_size(tiny_recipe(accumulate=3), 2)
