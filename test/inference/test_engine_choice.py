"""``engine: auto``: the first engine that loads and is right, and the reason in words."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.auto import choice_memory
from anymodal_seg_ros.inference.auto import trial as trial_module
from anymodal_seg_ros.inference.auto.choice import Choice, choose
from anymodal_seg_ros.inference.auto.choice_memory import ChoiceMemory, Remembered, choice_key
from anymodal_seg_ros.inference.auto.trial import EngineTrial, try_apart, try_engine
from anymodal_seg_ros.inference.engine_protocol import Engine, described
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.hardware.gpu import has_gpu
from anymodal_seg_ros.inference.hardware.processors import engine_threads, usable_processors
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest
from anymodal_seg_ros.inference.model import Model, load_model, sha256
from anymodal_seg_ros.inference.runtimes import loading
from anymodal_seg_ros.inference.runtimes.loading import GivenUpError
from anymodal_seg_ros.inference.verification.self_test import (
    SelfTest,
    agreements,
    frame_of,
    read_self_test,
    subsets,
)

LONG_S = 500.0
"""Longer than a trial takes on a busy machine."""


class Replay:
    """Gives the masks of the self-test, with an error in some pixels."""

    def __init__(self, model: Model, wrong: float, name: str = "replay cpu") -> None:
        self.name = name
        test = read_self_test(model)
        assert test is not None
        self._classes = len(model.manifest.classes)
        kinds = len(model.manifest.modalities)
        self._masks = dict(zip(subsets(kinds), test.masks.copy(), strict=True))
        for mask in self._masks.values():
            count = round(wrong * mask.size)
            mask.ravel()[:count] = (mask.ravel()[:count] + 1) % self._classes

    def run(self, batch: ModalityBatch) -> Segmentation:
        mask = self._masks[tuple(batch.modality_ids.tolist())]
        hot = np.arange(self._classes)[:, None, None] == mask
        return Segmentation(logits=hot.astype(np.float32))


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("rig-nano")


@pytest.mark.parametrize("library", ["torch", "openvino", "onnxruntime"])
@pytest.mark.parametrize("how", ["OSError", "RuntimeError", "ImportError", "ValueError"])
def test_a_library_that_is_damaged_is_told_as_one_that_is_not_there(
    library: str, how: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch for another CUDA, whose loader raises OSError."""
    (tmp_path / f"{library}.py").write_text(f"raise {how}('libx.so.12: cannot open')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in (library, f"anymodal_seg_ros.inference.runtimes.{library}_engine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(
        ConfigError, match=rf"cannot be imported \(libx.so.12.* install .*{library}"
    ):
        create_engine(library, model, 1)


def refuse(kind: str) -> Engine:
    raise ConfigError(f"{kind} is not installed")


class Bench:
    """Engines that replay, on a bench that says how long each takes and what is wrong with it."""

    def __init__(self, model: Model, **ms: float | str) -> None:
        self.model, self.ms = model, ms
        self.made: list[str] = []
        self.tried: list[str] = []

    def make(self, kind: str) -> Engine:
        self.made.append(kind)
        return Replay(self.model, 0.0, f"{kind} cpu")

    def attempt(self, kind: str) -> EngineTrial:
        self.tried.append(kind)
        found = self.ms.get(kind, "not installed")
        if isinstance(found, str):
            return EngineTrial(kind, problem=found)
        return EngineTrial(kind, f"{kind} cpu", found, "15 subsets right")

    def choose(self, memory: ChoiceMemory | None = None, key: str = "") -> Choice:
        return choose(self.model, self.make, self.attempt, memory=memory, key=key)


def test_the_fastest_is_taken_and_the_reason_names_the_others(model: Model) -> None:
    bench = Bench(model, openvino=8.1, onnxruntime=11.9)
    chosen = bench.choose()
    assert chosen.kind == "openvino" and chosen.engine.name == "openvino cpu"
    assert chosen.reason == (
        "8.1 ms a mask of all sensors against onnxruntime cpu 11.9 ms; 15 subsets right"
    )
    assert bench.made == ["openvino"], "what is not taken is never loaded in this process"
    assert Bench(model, openvino=12.0, onnxruntime=8.0).choose().kind == "onnxruntime"


def test_torch_is_tried_on_a_cpu_only_if_nothing_else_can_be_taken(model: Model) -> None:
    bench = Bench(model, openvino=8.1, torch=1.0)
    assert bench.choose().kind == "openvino" and "torch" not in bench.tried
    bench = Bench(model, torch=90.0)
    chosen = bench.choose()
    assert chosen.kind == "torch" and "onnxruntime not installed" in chosen.reason
    bench = Bench(model, onnxruntime=11.9, torch=9.0)
    on_gpu = choose(model, bench.make, bench.attempt, on_gpu=["torch"])
    assert on_gpu.kind == "torch" and bench.tried == ["openvino", "onnxruntime", "torch"]


def test_what_is_as_good_as_equal_does_not_change_from_start_to_start(model: Model) -> None:
    assert Bench(model, openvino=10.4, onnxruntime=10.0).choose().kind == "openvino"
    assert Bench(model, openvino=10.6, onnxruntime=10.0).choose().kind == "onnxruntime"


def test_a_machine_that_is_busy_with_starting_gets_an_engine_nevertheless(
    model: Model, tmp_path: Path
) -> None:
    """As a robot that starts everything at once: no trial ends in time, and torch is not there."""
    bench, memory = Bench(model), ChoiceMemory(tmp_path / "engines.json")

    def attempt(kind: str) -> EngineTrial:
        there = kind != "torch"
        problem = "was not ready after 30 s" if there else "not installed"
        return EngineTrial(kind, problem=problem, late=there)

    chosen = choose(model, bench.make, attempt, memory=memory, key="key")
    assert chosen.kind == "openvino" and bench.made == ["openvino"]
    assert chosen.reason.startswith("untimed, the machine being busy; 15 subsets right in at least")
    assert memory.find("key") is None, "the next start tries once more"

    def wrong_first(kind: str) -> Engine:
        return Replay(model, 0.5 if kind == "openvino" else 0.0, f"{kind} cpu")

    assert choose(model, wrong_first, attempt).kind == "onnxruntime"


def test_what_fails_in_its_trial_or_afterwards_is_passed_over(model: Model) -> None:
    bench = Bench(model, openvino="ended its process with signal 11", onnxruntime=11.9, torch=90.0)

    def make(kind: str) -> Engine:
        if kind == "onnxruntime":
            raise RuntimeError("out of memory")
        return bench.make(kind)

    chosen = choose(model, make, bench.attempt)
    assert chosen.kind == "torch"
    assert "openvino ended its process with signal 11" in chosen.reason
    assert "onnxruntime failed: out of memory" in chosen.reason


def test_that_none_is_left_is_told_with_all_reasons(model: Model) -> None:
    with pytest.raises(ConfigError, match=r"none can run .*openvino.*onnxruntime.*torch"):
        Bench(model).choose()


def test_the_next_start_tries_nothing_out(model: Model, tmp_path: Path) -> None:
    memory = ChoiceMemory(tmp_path / "engines.json")
    first = Bench(model, openvino=8.1, onnxruntime=11.9).choose(memory, "key")
    again = Bench(model, openvino=99.0, onnxruntime=11.9)
    second = again.choose(memory, "key")
    assert again.tried == [] and again.made == ["openvino"]
    assert second.kind == first.kind and second.reason == first.reason
    other = Bench(model, onnxruntime=11.9)
    assert other.choose(memory, "another machine").kind == "onnxruntime" and other.tried


def test_what_was_taken_before_is_held_to_the_self_test_again(model: Model, tmp_path: Path) -> None:
    memory = ChoiceMemory(tmp_path / "engines.json")
    memory.keep("key", Remembered("openvino", "it was fast"))
    bench = Bench(model, onnxruntime=11.9)

    def make(kind: str) -> Engine:
        return Replay(model, 0.002 if kind == "openvino" else 0.0)

    chosen = choose(model, make, bench.attempt, memory=memory, key="key")
    assert chosen.kind == "onnxruntime"
    assert "openvino, which was taken before, failed: with rgb only 99.8" in chosen.reason
    kept = memory.find("key")
    assert kept is not None and kept.kind == "onnxruntime" and "before" not in kept.reason


def test_what_was_found_on_a_machine_too_busy_to_tell_is_not_remembered(
    model: Model, tmp_path: Path
) -> None:
    memory, bench = ChoiceMemory(tmp_path / "engines.json"), Bench(model, onnxruntime=11.9)

    def attempt(kind: str) -> EngineTrial:
        if kind == "openvino":
            return EngineTrial(kind, problem="was not ready after 30 s", late=True)
        return bench.attempt(kind)

    chosen = choose(model, bench.make, attempt, memory=memory, key="key")
    assert chosen.kind == "onnxruntime" and "openvino was not ready" in chosen.reason
    assert memory.find("key") is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"key": 1}', '{"key": {"kind": 1, "reason": 2}}', '{"key": {}}']
)
def test_a_damaged_memory_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "engines.json"
    path.write_text(content)
    memory = ChoiceMemory(path)
    assert memory.find("key") is None
    memory.keep("key", Remembered("torch", "because"))
    assert ChoiceMemory(path).find("key") == Remembered("torch", "because")
    assert path.stat().st_mode & 0o077 == 0


def test_a_memory_that_cannot_be_written_costs_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = ChoiceMemory(tmp_path / "file" / "engines.json")
    assert "engines.json cannot be written (" in memory.keep("key", Remembered("torch", "because"))
    assert memory.find("key") is None


def test_the_memory_keeps_the_newest(tmp_path: Path) -> None:
    memory = ChoiceMemory(tmp_path / "engines.json")
    for number in range(choice_memory.MOST + 2):
        memory.keep(str(number), Remembered("torch", str(number)))
    assert memory.find("1") is None and memory.find("2") is not None


def test_the_key_changes_with_the_model_the_machine_and_how_it_runs(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = choice_key(model, 1, False, "auto")
    assert key == choice_key(model, 1, False, "auto")
    files = {**model.manifest.files, "onnx": FileSpec("model.onnx", "0" * 64)}
    other = replace(model, manifest=replace(model.manifest, files=files))
    keys = {key, choice_key(other, 1, False, "auto"), choice_key(model, 2, False, "auto")}
    keys |= {choice_key(model, 1, True, "auto"), choice_key(model, 1, False, "cpu")}
    monkeypatch.setattr(choice_memory, "gpu_name", lambda: "Orin 8.7")
    keys.add(choice_key(model, 1, False, "auto"))  # a container that is given one, or none
    monkeypatch.setattr(choice_memory, "machine", lambda: {"libraries": {"openvino": "9"}})
    keys.add(choice_key(model, 1, False, "auto"))
    assert len(keys) == 7


def test_a_trial_in_a_process_of_its_own_tells_how_fast_and_how_right(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "LIMIT_S", LONG_S)
    trial = try_apart("onnxruntime", model, 1, False, "auto")
    assert trial.engine == "onnxruntime cpu" and trial.ms > 0 and not trial.problem
    assert trial.words.startswith("15 subsets right in at least ")


def test_an_engine_that_ends_its_process_is_passed_over(
    model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As TensorRT's runtime does without a driver; here by a module that kills its process."""
    (tmp_path / "onnxruntime.py").write_text("import os, signal\nos.kill(os.getpid(), 11)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(trial_module, "LIMIT_S", LONG_S)
    trial = try_apart("onnxruntime", model, 1, False, "auto")
    assert trial.problem == "ended its process with signal 11"
    (tmp_path / "onnxruntime.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(trial_module, "LIMIT_S", 0.2)
    for load, late in ((0.1, False), (99.0, True)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, load, load))
        trial = try_apart("onnxruntime", model, 1, False, "auto")
        assert "was not ready after 0.2 s" in trial.problem and trial.late is late


NEVER_READY = """
import os, time
alive = open(os.environ["ALIVE"], "w")
print("loading", file=alive, flush=True)
time.sleep(600)
"""
TRIES = """
from anymodal_seg_ros.inference.model import load_model
from anymodal_seg_ros.inference.auto.trial import try_apart
try_apart("onnxruntime", load_model("rig-nano"), 1, False, "auto")
"""


@pytest.fixture()
def never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipe that ONNX Runtime, which never finishes to load, writes to and holds open."""
    (tmp_path / "onnxruntime.py").write_text(NEVER_READY)
    monkeypatch.syspath_prepend(str(tmp_path))
    os.mkfifo(tmp_path / "alive")
    monkeypatch.setenv("ALIVE", str(tmp_path / "alive"))
    return tmp_path / "alive"


def test_a_trial_is_given_up_when_the_process_is_told_to_end(
    model: Model, never_ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_to_end = threading.Event()
    monkeypatch.setattr(loading, "_told_to_end", told_to_end)
    monkeypatch.setattr(trial_module, "LIMIT_S", LONG_S)
    heard = []

    def hear() -> None:
        with never_ready.open() as alive:
            heard.append(alive.readline())
            told_to_end.set()
            heard.append(alive.read())  # to the end of whoever writes

    listener = threading.Thread(target=hear)
    listener.start()
    with pytest.raises(GivenUpError, match="the process was told to end"):
        try_apart("onnxruntime", model, 1, False, "auto")
    listener.join()
    assert heard == ["loading\n", ""]


def test_a_trial_does_not_outlive_the_process_that_it_is_for(never_ready: Path) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    node = subprocess.Popen([sys.executable, "-c", TRIES], env={**os.environ, "PYTHONPATH": path})
    with never_ready.open() as alive:
        assert alive.readline() == "loading\n"
        node.kill()
        assert alive.read() == "", "it has ended"
    node.wait()


def test_a_trial_tells_what_is_wrong(model: Model) -> None:
    wrong = try_engine("openvino", lambda kind: Replay(model, 0.002), model)
    assert wrong.problem.startswith("failed: with rgb only 99.8")
    half = try_engine("torch", lambda kind: Replay(model, 0.002, "torch cuda"), model)
    assert not half.problem, "half precision on a GPU may differ a little"

    def absent(kind: str, name: str = "torch") -> Engine:
        error = ModuleNotFoundError(f"No module named {name!r}", name=name)
        raise ConfigError(f"PyTorch cannot be imported ({error})") from error

    assert try_engine("torch", absent, model).problem == "not installed"
    half = try_engine("torch", lambda kind: absent(kind, "safetensors"), model)
    assert half.problem == (
        "cannot be used: PyTorch cannot be imported (No module named 'safetensors')"
    )
    assert "cannot be used: openvino is" in try_engine("openvino", refuse, model).problem


def test_what_is_built_for_a_gpu_comes_first_and_untimed_where_there_is_one(model: Model) -> None:
    bench = Bench(model, openvino=8.1)
    chosen = choose(model, bench.make, bench.attempt, on_gpu=("tensorrt", "onnxruntime"))
    assert chosen.kind == "tensorrt" and not bench.tried
    assert bench.choose().kind == "openvino"


def test_what_runs_and_why_is_one_line(model: Model) -> None:
    engine: Any = Replay(model, 0.0, "openvino cpu")
    assert described(engine) == "openvino cpu"
    engine.chosen = "8.1 ms against onnxruntime cpu 11.9 ms"
    assert described(engine) == "openvino cpu (auto: 8.1 ms against onnxruntime cpu 11.9 ms)"
    engine.note = "its cuda provider is installed but does not load"
    assert described(engine).endswith("11.9 ms; its cuda provider is installed but does not load)")
    on_gpu: Any = Replay(model, 0.0, "torch cuda")
    assert described(on_gpu) == "torch cuda (not yet verified on hardware)"


def test_a_driver_that_is_missing_or_sees_no_device_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Driver:
        devices, error = 1, 0

        def cuInit(self, flags: int) -> int:
            return self.error

        def cuDeviceGetCount(self, count: Any) -> int:
            count._obj.value = self.devices
            return 0

        def __getattr__(self, name: str) -> Any:
            if name.startswith("cuDevice") or name == "cuDriverGetVersion":
                return lambda *arguments: 0
            raise AttributeError(f"undefined symbol: {name}")

    driver = Driver()
    monkeypatch.setattr("ctypes.CDLL", lambda name: driver)
    assert has_gpu()
    driver.devices = 0
    assert not has_gpu()
    driver.devices, driver.error = 1, 100  # CUDA_ERROR_NO_DEVICE
    assert not has_gpu()

    def absent(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", absent)
    assert not has_gpu()
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not has_gpu(), "something else of that name"


def test_a_model_without_a_self_test_is_taken_on_trust(tiny_model: Path) -> None:
    model = load_model(str(tiny_model))
    assert read_self_test(model) is None
    trial = try_engine("onnxruntime", lambda kind: create_engine(kind, model, 1), model)
    assert "the model folder has no self-test" in trial.words and trial.ms > 0


@pytest.mark.parametrize("name", ["rig-nano", "rig-b0"])
def test_the_bundled_models_pass_their_self_test(name: str) -> None:
    model = load_model(name)
    test = read_self_test(model)
    assert test is not None and len(np.unique(test.masks[-1])) > 5, "a street has many classes"
    shares = agreements(create_engine("onnxruntime", model, 1), test)
    assert len(shares) == 15 and min(shares.values()) >= 0.9999


def test_a_damaged_self_test_is_named(tmp_path: Path, model: Model) -> None:
    test = read_self_test(model)
    assert test is not None
    broken = SelfTest(test.images[:2], test.masks[:3]).packed()
    for content in (b"", b"PK\x03\x04", broken):
        (tmp_path / "self_test.npz").write_bytes(content)
        spec = FileSpec("self_test.npz", sha256(tmp_path / "self_test.npz"))
        dump_manifest(replace(model.manifest, files={"self_test": spec}), tmp_path)
        with pytest.raises(ModelError, match=r"self_test\.npz"):
            read_self_test(load_model(str(tmp_path)))


def test_frames_of_subsets_have_their_sensors_alone(model: Model) -> None:
    test = read_self_test(model)
    assert test is not None
    batch = frame_of(test.images, (1, 3))
    assert batch.modality_ids.tolist() == [1, 3] and batch.images.dtype == np.float32
    assert np.array_equal(batch.images[1], test.images[3].astype(np.float32))


def test_threads_follow_affinity_and_container_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    own = tmp_path / "own"
    own.write_text("0::/\n")
    assert usable_processors(tmp_path, own) == 8
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert usable_processors(tmp_path, own) == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_processors(tmp_path, own) == 8
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("-1\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert usable_processors(tmp_path, own) == 8
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("50000\n")
    assert usable_processors(tmp_path, own) == 1
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3}, raising=False)
    assert engine_threads() == 1 and engine_threads(6) == 6


def test_threads_follow_the_limits_of_a_service_and_of_its_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As systemd sets them by CPUQuota: not in the root of the groups, as in a container."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    own, slice_ = tmp_path / "own", tmp_path / "system.slice"
    (slice_ / "robot.service").mkdir(parents=True)
    own.write_text("0::/system.slice/robot.service\n")
    assert usable_processors(tmp_path, own) == 8
    (slice_ / "cpu.max").write_text("400000 100000\n")
    (slice_ / "robot.service/cpu.max").write_text("max 100000\n")
    assert usable_processors(tmp_path, own) == 4
    (slice_ / "robot.service/cpu.max").write_text("300000 100000\n")
    assert usable_processors(tmp_path, own) == 3
    own.write_text("12:memory:/other\n4:cpu,cpuacct:/robot\n0::/\n")  # both versions side by side
    (tmp_path / "cpu/robot").mkdir(parents=True)
    (tmp_path / "cpu/robot/cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu/robot/cpu.cfs_period_us").write_text("100000\n")
    assert usable_processors(tmp_path, own) == 1
    for odd in ("", "nonsense\n", "0::/gone/from/here\n", "0::../../..\n"):
        own.write_text(odd)
        assert usable_processors(tmp_path, own) == 8


def test_a_process_on_one_core_computes_with_one_thread(tiny_halves: Path) -> None:
    """As in ``taskset -c 0``: really, and not by what a stand-in of the system says."""
    script = (
        "import os, sys; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from anymodal_seg_ros.inference.engines import create_engine\n"
        "from anymodal_seg_ros.inference.model import load_model\n"
        "from anymodal_seg_ros.inference.hardware.processors import engine_threads\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "create_engine('onnxruntime', load_model(sys.argv[1]), 0)\n"
        "print(engine_threads(), len(os.listdir('/proc/self/task')) - before)\n"
    )
    command = [sys.executable, "-c", script, str(tiny_halves)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    threads, started = map(int, done.stdout.split())
    assert threads == 1 and started <= 1, "the one that ends a graph which never does"
