"""``build-engine`` and ``engines``: build plans before they are needed, look at and remove them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fixtures.fake_gpu import FakeGpu

from anymodal_seg_ros.cli.main import main
from anymodal_seg_ros.inference.hardware import gpu as gpu_module
from anymodal_seg_ros.inference.tensorrt.cache import machine_parts
from anymodal_seg_ros.inference.tensorrt.kept_files import meta_of, write_kept
from anymodal_seg_ros.inference.tensorrt.libraries import load_libraries


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"COLUMNS": "200"})


def plans(gpu: FakeGpu) -> list[Path]:
    return sorted(gpu.cache.glob("*.plan"))


def test_built_listed_and_pruned(fake_gpu: FakeGpu, tiny_halves: Path) -> None:
    assert "no plans: anymodal-seg build-engine builds some" in run("engines", "list").output
    result = run("build-engine", "--model", str(tiny_halves))
    assert result.exit_code == 0, result.output
    for words in (
        "TensorRT is not yet verified on hardware",
        "TensorRT 10.3.0 on Fake Orin",
        "15 subsets right in at least 100.00 % of the pixels",
        "done in ",
    ):
        assert words in result.output
    listed = run("engines", "list").output
    assert listed.count("tiny-halves 0.0.1") == 2 and listed.count("this machine") == 3
    assert "fp32" in listed and "not yet verified on hardware" in listed
    encode, fuse = plans(fake_gpu)
    encode.write_bytes(b"cut")
    (fake_gpu.cache / ".1.unfinished").write_bytes(b"half")
    assert "has 3 bytes" in run("engines", "list").output
    told = run("engines", "prune", "--dry-run").output
    assert f"would remove {encode.name}" in told and len(plans(fake_gpu)) == 2
    told = run("engines", "prune").output
    assert f"removed {encode.name}" in told and "left by a writer" in told
    assert plans(fake_gpu) == [fuse] and not meta_of(encode).exists()
    fake_gpu.says(gpu="Fake Thor")
    told = run("engines", "prune").output
    assert "of another machine (Fake Orin, TensorRT 10.3.0" in told and plans(fake_gpu) == []


def test_a_failure_is_one_line_and_an_exit_code(fake_gpu: FakeGpu, tiny_halves: Path) -> None:
    fake_gpu.says(build="fails")
    result = run("build-engine", "--model", str(tiny_halves))
    assert result.exit_code == 1
    assert "Error: TensorRT 10.3.0 cannot build the graph 'encode'" in result.output
    fake_gpu.says(devices=0)
    result = run("build-engine", "--model", str(tiny_halves))
    assert result.exit_code == 1 and "Error: the NVIDIA driver sees no GPU" in result.output


def test_old_ones_and_all_of_them(fake_gpu: FakeGpu) -> None:
    key = machine_parts(load_libraries())
    for name in ("old.plan", "new.plan", "timing-1.cache"):
        write_kept(fake_gpu.cache / name, b"x", {"key": key})
    week = time.time() - 8 * 86400
    os.utime(meta_of(fake_gpu.cache / "old.plan"), (week, week))
    told = run("engines", "prune", "--older-than", "7").output
    assert "removed old.plan: older than 7 days" in told
    assert [path.name for path in plans(fake_gpu)] == ["new.plan"]
    write_kept(fake_gpu.cache / "new.service", b"x", {})
    assert "4 files, 0.0 MB" in run("engines", "prune", "--all").output
    assert not list(fake_gpu.cache.iterdir())


@pytest.mark.parametrize("key", [[1], "x", None, 7])
def test_what_does_not_say_of_what_it_is_is_damaged_and_what_is_no_plan_is_left_alone(
    fake_gpu: FakeGpu, key: object
) -> None:
    write_kept(fake_gpu.cache / "odd.plan", b"x", {"key": key})
    write_kept(fake_gpu.cache / "lost.plan", b"x", {"key": {}})
    (fake_gpu.cache / "lost.plan").unlink()
    (fake_gpu.cache / "lost.plan").symlink_to("/nowhere")
    for folder in ("a.plan", ".b.unfinished"):
        (fake_gpu.cache / folder).mkdir()
    listed = run("engines", "list").output
    assert "odd.plan.json does not say of what it is" in listed and "a.plan" not in listed
    told = run("engines", "prune").output
    assert "removed odd.plan: " in told and "removed lost.plan: " in told
    assert sorted(path.name for path in fake_gpu.cache.iterdir()) == [".b.unfinished", "a.plan"]


def test_what_nobody_expects_neither_holds_up_nor_ends_clearing(fake_gpu: FakeGpu) -> None:
    for name in ("a.plan", "b.plan", "c.plan"):
        write_kept(fake_gpu.cache / name, b"x", {"key": {} if name == "a.plan" else 1})
    (fake_gpu.cache / "a.plan").unlink()
    os.mkfifo(fake_gpu.cache / "a.plan", 0o600)  # to read it would wait for a writer
    (told := meta_of(fake_gpu.cache / "b.plan")).unlink()
    told.mkdir()
    assert "a.plan" in run("engines", "list").output
    result = run("engines", "prune")
    assert result.exit_code == 1 and f"cannot remove {told} (Is a directory)" in result.output
    assert "2 files" in result.output and plans(fake_gpu) == []
    assert run("engines", "prune", "--older-than", "99999999999").exit_code == 2


def test_without_a_gpu_nothing_of_another_machine_is_guessed(
    fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kept(fake_gpu.cache / "a.plan", b"x", {"key": {"gpu": "Orin", "tensorrt": "10.3.0"}})
    monkeypatch.setattr(gpu_module, "DRIVER", "libno-such-driver.so.1")
    assert "Orin, TensorRT 10.3.0" in run("engines", "list").output
    assert "0 files" in run("engines", "prune").output
    assert json.loads(meta_of(fake_gpu.cache / "a.plan").read_text())["bytes"] == 1
