"""TensorRT takes over while another engine serves: after its proof, and not without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.fake_gpu import FakeGpu
from fixtures.tiny_halves import HEIGHT, WIDTH

from anymodal_seg_ros.errors import ConfigError
from anymodal_seg_ros.frames import ModalityBatch
from anymodal_seg_ros.inference.engine_protocol import Engine
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import Model, load_model
from anymodal_seg_ros.inference.serving import MOST_FAILURES
from anymodal_seg_ros.inference.tensorrt import service_record
from anymodal_seg_ros.inference.tensorrt.background import CANCELLED, DONE, FAILED
from anymodal_seg_ros.inference.tensorrt.build_process import PlanBuilder, Request
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache
from anymodal_seg_ros.inference.tensorrt.kept_files import write_kept
from anymodal_seg_ros.inference.tensorrt.service_record import ServiceRecord
from anymodal_seg_ros.inference.tensorrt.takeover import Takeover, wanted

BATCH = ModalityBatch(np.ones((2, 3, HEIGHT, WIDTH), np.float32), np.array([0, 2], np.int64))


@pytest.fixture(scope="module")
def model(tiny_halves: Path) -> Model:
    return load_model(str(tiny_halves))


class Robot:
    """What a node has of it: an engine that serves, and a log."""

    def __init__(self, model: Model) -> None:
        self.lines: list[str] = []
        self.made = 0
        self._model = model
        self.takeover = Takeover(model, False, self._others, tell=self.lines.append)

    def _others(self) -> Engine:
        self.made += 1
        return create_engine("onnxruntime", self._model, 1)

    @property
    def engine(self) -> str:
        return self.takeover.status.engine

    def mask(self) -> Any:
        engine = self.takeover.engine
        logits = engine.fuse(engine.encode(BATCH)).logits
        assert logits is not None
        return logits.argmax(axis=0)


def test_it_takes_over_when_it_is_built_and_serves_at_once_the_next_time(
    model: Model, fake_gpu: FakeGpu
) -> None:
    robot = Robot(model)
    expected = robot.mask()
    assert robot.engine == "onnxruntime cpu" and robot.takeover.status.build is None
    robot.takeover.start()
    while robot.engine == "onnxruntime cpu":
        np.testing.assert_array_equal(robot.mask(), expected)
        status = robot.takeover.status.build
        assert status is not None and status.state not in (FAILED, CANCELLED), status
    assert robot.takeover.wait().state == DONE
    assert robot.engine == "tensorrt 10.3.0 fp32 cuda"
    np.testing.assert_array_equal(robot.mask(), expected)
    assert robot.lines[-1] == "tensorrt 10.3.0 fp32 cuda takes over from onnxruntime cpu"
    again = Robot(model)
    assert again.engine == "tensorrt 10.3.0 fp32 cuda" and again.made == 0
    again.takeover.start()
    assert again.takeover.status.build is None, "there is nothing left to build"


def test_one_that_is_wrong_never_serves(model: Model, fake_gpu: FakeGpu) -> None:
    fake_gpu.says(run="wrong")
    robot = Robot(model)
    robot.takeover.start()
    assert robot.takeover.wait().state == FAILED
    assert robot.engine == "onnxruntime cpu"
    assert "is wrong here" in robot.lines[-1] and "goes on serving" in robot.lines[-1]
    robot.takeover.start()
    assert len(robot.lines) == 3, "it is not tried again and again"


def test_wrong_only_in_this_process_it_does_not_serve_either(
    model: Model, fake_gpu: FakeGpu
) -> None:
    """The proof in the build's process does not do for this one."""
    robot = Robot(model)
    fake_gpu.says(steps=50, step_s=0.02)
    robot.takeover.start()
    _until(lambda: robot.takeover.status.build and robot.takeover.status.build.percent > 0)
    fake_gpu.says(run="nan")
    robot.takeover.wait()
    assert robot.engine == "onnxruntime cpu"
    assert "was built but does not serve" in robot.lines[-1]


def test_where_nothing_can_be_written_it_is_told_and_ends(
    model: Model, fake_gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    robot = Robot(model)
    robot.takeover.start()
    assert robot.takeover.wait().state == FAILED, "who waits for it, as build_only does, goes on"
    assert "a build cannot be started" in robot.lines[-1]
    assert robot.lines[-1].endswith("onnxruntime cpu goes on serving")


def test_built_but_no_longer_wanted_it_is_not_noted_as_serving(
    model: Model, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deactivation while the plans are proven: whatever ends the process later is not theirs."""
    robot = Robot(model)
    prove = robot.takeover._proven

    def meanwhile() -> Any:
        robot.takeover.cancel()
        return prove()

    monkeypatch.setattr(robot.takeover, "_proven", meanwhile)
    robot.takeover.start()
    robot.takeover.wait()
    assert robot.engine == "onnxruntime cpu"
    (plan,) = fake_gpu.cache.glob("fuse-*.plan")
    assert ServiceRecord(plan)._read() == ({}, 0)


def test_a_gpu_that_is_broken_or_full_is_no_reason_not_to_start(
    model: Model, fake_gpu: FakeGpu
) -> None:
    """The real bindings raise a TypeError then."""
    _built(model)
    fake_gpu.says(start="refused")
    robot = Robot(model)
    assert robot.engine == "onnxruntime cpu"
    assert "TensorRT 10.3.0 does not start: CUDA initialization failure" in robot.lines[-1]
    robot.takeover.start()
    assert robot.takeover.wait().state == FAILED
    assert "does not start" in robot.lines[-1]


def test_cancelled_it_can_be_started_again(model: Model, fake_gpu: FakeGpu) -> None:
    fake_gpu.says(steps=1000, step_s=0.02)
    robot = Robot(model)
    robot.takeover.start()
    _until(lambda: robot.takeover.status.build and robot.takeover.status.build.percent > 0)
    robot.takeover.cancel()
    assert robot.takeover.wait().state == CANCELLED and robot.engine == "onnxruntime cpu"
    fake_gpu.says(steps=2, step_s=0.0)
    robot.takeover.start()
    assert robot.takeover.wait().state == DONE and robot.engine.startswith("tensorrt")


def test_when_it_fails_in_service_the_next_engine_takes_over(
    model: Model, fake_gpu: FakeGpu
) -> None:
    _built(model)
    robot = Robot(model)
    expected = robot.mask()
    fake_gpu.says(run="raise")
    for _ in range(MOST_FAILURES):
        with pytest.raises(Exception, match="cudaErrorIllegalAddress"):
            robot.mask()
    assert robot.engine == "onnxruntime cpu" and robot.made == 1
    np.testing.assert_array_equal(robot.mask(), expected)
    assert "failed 3 times in a row" in robot.takeover.status.replaced
    robot.takeover.start()
    assert robot.takeover.status.build is None, "what fails in service is not built once more"


def test_plans_that_are_of_no_use_are_told_and_built_anew(model: Model, fake_gpu: FakeGpu) -> None:
    _built(model)
    for entry in PlanCache().entries():
        entry.path.write_bytes(entry.path.read_bytes()[:20])
    robot = Robot(model)
    assert robot.engine == "onnxruntime cpu" and "has 20 bytes" in robot.lines[0]
    robot.takeover.start()
    status = robot.takeover.wait()
    assert status.state == DONE and any("built anew" in note for note in status.notes)
    assert robot.engine.startswith("tensorrt")


def test_plans_that_end_their_process_again_and_again_serve_no_more(
    model: Model, fake_gpu: FakeGpu
) -> None:
    _built(model)
    crash = f"""
import os
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.tensorrt.takeover import Takeover
takeover = Takeover(load_model({str(model.folder)!r}), False, lambda: None)
takeover.start()
print(takeover.status.engine, flush=True)
os.kill(os.getpid(), 11)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", crash], capture_output=True, text=True)
        assert done.returncode == -11 and done.stdout.startswith("tensorrt"), done.stderr
    robot = Robot(model)
    robot.takeover.start()
    assert robot.engine == "onnxruntime cpu" and robot.takeover.status.build is None
    assert "has ended 2 processes in a row" in robot.takeover.status.replaced
    _built(model, rebuild=True)
    assert Robot(model).engine.startswith("tensorrt"), "a new plan is given a new chance"


def test_what_ends_a_process_in_which_another_engine_serves_is_not_held_against_a_plan(
    model: Model, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A launch file that kills it while TensorRT is being built, say, or after TensorRT failed."""
    begun: list[int] = []
    monkeypatch.setattr(service_record, "_born", lambda pid: "" if pid in begun else "1")

    def ended() -> Robot:
        robot = Robot(model)
        begun.append(os.getpid())
        another = 1000 + len(begun)
        monkeypatch.setattr(os, "getpid", lambda: another)
        return robot

    for _ in range(2):
        assert ended().takeover.status.replaced == ""
    _built(model)
    fake_gpu.says(run="nan")
    for _ in range(2):
        assert ended().engine == "onnxruntime cpu"
    fake_gpu.says(run="well")
    assert Robot(model).takeover.status.replaced == ""


def test_one_that_fails_where_nothing_can_take_over_is_held_against_it(
    model: Model, fake_gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor ends such a process, and the launch file starts it again."""
    _built(model)
    (plan,) = fake_gpu.cache.glob("fuse-*.plan")
    gone: list[int] = []
    monkeypatch.setattr(service_record, "_born", lambda pid: "" if pid in gone else "1")
    with monkeypatch.context() as before:
        before.setattr(os, "getpid", lambda: 1001)
        ServiceRecord(plan).begin()
    gone.append(1001)
    monkeypatch.setattr(Robot, "_others", lambda self: 1 / 0)
    robot = Robot(model)
    fake_gpu.says(run="raise")
    for _ in range(MOST_FAILURES):
        with pytest.raises(Exception, match="cudaErrorIllegalAddress"):
            robot.mask()
    assert "no other engine can be made" in robot.lines[-1]
    gone.append(os.getpid())
    assert "has ended 2 processes" in ServiceRecord(plan).unfit()


def test_orderly_ends_and_power_cuts_are_not_held_against_a_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_record, "BOOT_ID", tmp_path / "boot")
    (tmp_path / "boot").write_text("monday")
    born = {1: "10", 2: "20", 3: "30"}
    monkeypatch.setattr(service_record, "_born", lambda pid: born.get(pid, ""))
    record = ServiceRecord(tmp_path / "fuse-1.plan")

    def serve(pid: int, *, orderly: bool) -> None:
        monkeypatch.setattr(os, "getpid", lambda: pid)
        record.begin()
        if orderly:
            record.end()
        else:
            born.pop(pid)

    for pid in (1, 2):
        serve(pid, orderly=False)
    assert "has ended 2 processes" in record.unfit()
    serve(3, orderly=True)
    assert record.unfit() == "", "one that stopped as it should shows that it works"
    born.update({1: "11", 2: "21"})
    for pid in (1, 2):
        serve(pid, orderly=False)
    assert record.unfit() != ""
    (tmp_path / "boot").write_text("tuesday")
    assert record.unfit() == ""
    record.forget()
    assert not list(tmp_path.glob("*.service*"))


@pytest.mark.parametrize(
    "damage",
    [{"processes": {"x": "1"}}, {"processes": {"1": "1"}, "ends": [1]}, {"processes": [1]}],
)
def test_a_damaged_record_is_no_record(damage: dict[str, Any], tmp_path: Path) -> None:
    plan = tmp_path / "fuse-1.plan"
    about = {"boot": service_record._boot(), "ends": 9, **damage}
    write_kept(plan.with_suffix(".service"), b"{}", about)
    assert ServiceRecord(plan).unfit() == ""


def test_who_wants_it_and_who_cannot_have_it(
    model: Model, tiny_model: Path, fake_gpu: FakeGpu
) -> None:
    assert not wanted("onnxruntime", model)
    assert wanted("auto", model) and wanted("tensorrt", model)
    without_a_test = load_model(str(tiny_model))
    assert not wanted("auto", without_a_test)
    with pytest.raises(ConfigError, match="engine is 'tensorrt', but the model tiny has no output"):
        wanted("tensorrt", without_a_test)
    fake_gpu.says(devices=0)
    assert not wanted("auto", model)
    with pytest.raises(ConfigError, match="engine is 'tensorrt', but the NVIDIA driver sees no"):
        wanted("tensorrt", model)


def _built(model: Model, rebuild: bool = False) -> None:
    request = Request(str(model.folder), False, str(PlanCache().folder), rebuild)
    PlanBuilder(request, lambda news: None, lambda: False).build()


def _until(holds: Callable[[], Any]) -> None:
    end = time.monotonic() + 500
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
