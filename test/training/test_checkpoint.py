from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from anymodal_seg_training.checkpoint import (
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
    write_atomically,
)
from anymodal_seg_training.errors import TrainingError


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    state = {"step": 3, "network": {"w": torch.randn(2, 3)}, "best": -1.5}
    save_checkpoint(tmp_path / "last.pt", state)
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert loaded["step"] == 3 and torch.equal(loaded["network"]["w"], state["network"]["w"])
    weights = {"w": torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)}
    save_weights(tmp_path / "best.safetensors", weights)
    assert torch.equal(load_weights(tmp_path / "best.safetensors")["w"], weights["w"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors", "last.pt"]


def test_weights_can_be_read_by_others(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        save_weights(tmp_path / "w.safetensors", {"w": torch.ones(1)})
    finally:
        os.umask(umask)
    assert (tmp_path / "w.safetensors").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), RuntimeError("write")])
def test_a_failure_while_writing_leaves_the_old_file(tmp_path: Path, failure: Exception) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})

    def half_way(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise failure

    with pytest.raises(
        TrainingError, match=r"cannot write .*last\.pt.*intact.* repeat the command, .*--resume"
    ):
        write_atomically(path, half_way)
    assert load_checkpoint(path) == {"step": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pt"]


def test_ctrl_c_while_writing_leaves_nothing_behind(tmp_path: Path) -> None:
    def stopped(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "last.pt", stopped)
    assert not list(tmp_path.iterdir())


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_text("old")

    def look_while_writing(temporary: Path) -> None:
        temporary.write_text("new")
        assert path.read_text() == "old"

    write_atomically(path, look_while_writing)
    assert path.read_text() == "new"


@pytest.mark.parametrize("damage", ["cut", "rubbish", "missing"])
def test_a_broken_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"network": {"w": torch.randn(100)}})
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "rubbish":
        path.write_bytes(b"rubbish" * 50)
    else:
        path.unlink()
    with pytest.raises(TrainingError, match=r"cannot read the checkpoint .*last\.pt"):
        load_checkpoint(path)


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    torch.save({"step": Path("/somewhere")}, tmp_path / "last.pt")
    with pytest.raises(TrainingError, match="cannot read the checkpoint"):
        load_checkpoint(tmp_path / "last.pt")


def test_broken_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"rubbish")
    with pytest.raises(TrainingError, match=r"cannot read the weights .*best"):
        load_weights(tmp_path / "best.safetensors")
