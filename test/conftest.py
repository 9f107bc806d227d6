"""What every test may use, and which tests this machine cannot run."""

from __future__ import annotations

import functools
import gc
import importlib.util
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.fake_gpu import FakeGpu

ROOT = Path(__file__).resolve().parents[1]

OPTIONAL = (
    "anymodal_seg_training",
    "embreex",
    "h5py",
    "hdf5plugin",
    "onnx",
    "onnxruntime",
    "rosbags",
    "safetensors",
    "timm",
    "torch",
    "torchvision",
    "trimesh",
)
"""Libraries without which the rest can be tested; ``colcon test`` on a build farm has few."""

NO_ONNX = "onnx is not installed: it writes the model of the tests"

collect_ignore = [] if importlib.util.find_spec("torch") else ["training"]
"""Its conftest.py needs torch, and no hook comes before that."""

if "PYTEST_XDIST_WORKER" in os.environ:  # a process for every core: more threads would only wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")


gc.set_threshold(50_000, 20, 50)
"""Seldom: libraries leave a million objects that stay, and each look for garbage is at them."""


@pytest.hookimpl(optionalhook=True)  # colcon test on a build farm has no xdist
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return half as many processes again as there are cores, because tests also wait."""
    return (len(os.sched_getaffinity(0)) * 3 + 1) // 2


def pytest_collection_finish() -> None:
    """Let no look for garbage see again what was imported for the tests."""
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, lack in (("ros", _no_ros), ("gpu", _no_gpu), ("shared_data", _no_shared_data)):
        # Asked only where it matters: to import torch takes seconds.
        if item.get_closest_marker(marker) and (reason := lack()):
            pytest.skip(reason)
    if item.get_closest_marker("export"):
        from fixtures.quick_rewriting import skip_what_cannot_match

        skip_what_cannot_match()


_APART = ("ros", "openvino")
"""Markers whose tests have a run of their own, which reads no files but theirs: most take seconds.

So each of these files has to say ``mark.ros`` or ``mark.openvino``; that is checked where all files
are read.
"""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    marker = config.getoption("markexpr")
    if marker not in _APART:
        return None
    files = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return None if any(_says(path, marker) for path in files) else True


@functools.cache
def _says(path: Path, marker: str) -> bool:
    return f"mark.{marker}" in path.read_text(encoding="utf-8")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no process is left with one at the end."""
    for item in items:
        for marker in _APART:
            if item.get_closest_marker(marker) and not _says(item.path, marker):
                raise pytest.UsageError(
                    f"{item.nodeid}: pytest -m {marker} would not read its file"
                )
    first: dict[Path, int] = {}
    for item in items:
        found = [place for place, name in enumerate(_LONG) if item.get_closest_marker(name)]
        first[item.path] = min([*found, first.get(item.path, len(_LONG))])
    items.sort(key=lambda item: first[item.path])


_LONG = ("export", "slow")
"""Markers of tests that take long, the longest first."""


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """Skip files that import what a robot and a build farm do not have, whatever the way to it."""
    outcome: Any = yield
    report = outcome.get_result()
    missing = re.search(r"No module named '(\w+)", str(report.longrepr)) if report.failed else None
    if missing and missing[1] in OPTIONAL:
        report.outcome = "skipped"
        report.longrepr = (str(collector.path), 0, f"Skipped: {missing[1]} is not installed")


def _no_ros() -> str:
    return "" if importlib.util.find_spec("rclpy") else "rclpy is not installed"


def _no_gpu() -> str:
    if not importlib.util.find_spec("torch"):
        return "torch is not installed"
    import torch

    return "" if torch.cuda.is_available() else "no CUDA device"


def _shared_data() -> Path:
    return Path(os.environ.get("ANYMODAL_TEST_DATA", ROOT / ".." / "shared" / "data"))


def _no_shared_data() -> str:
    folder = _shared_data()
    return "" if folder.is_dir() else f"no recordings: ANYMODAL_TEST_DATA ({folder}) is no folder"


if importlib.util.find_spec("hypothesis"):
    from hypothesis import HealthCheck, settings

    # On a busy machine everything is slow; that says nothing of the tests.
    slow = [HealthCheck.too_slow]
    settings.register_profile("ci", max_examples=40, deadline=None, suppress_health_check=slow)
    settings.register_profile("long", max_examples=5000, deadline=None)
    settings.load_profile("ci")  # pytest --hypothesis-profile long: hours instead of seconds

_STARTED_BY = "ANYMODAL_STARTED_BY_TEST_PROCESS"
"""Every process that is started from here has it in its environment, and so have its children."""
os.environ[_STARTED_BY] = str(os.getpid())

_HELPERS = (
    "multiprocessing.resource_tracker",
    "multiprocessing.forkserver",
    "multiprocessing.spawn",
)
"""What Python starts for its own ends, and ends when it ends itself."""

_ENDING_S = 60.0
"""Waited for in full only where a process is left."""


@pytest.fixture(scope="module", autouse=True)
def _no_process_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail where a module's tests leave a process behind, child or orphan, and end it."""
    before = set(_processes())
    yield
    until = time.monotonic() + _ENDING_S
    while (left := {k: v for k, v in _processes().items() if k not in before}) and (
        time.monotonic() < until
    ):
        time.sleep(0.05)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, f"{request.node.name} left behind: {'; '.join(left.values())}"


def _processes() -> dict[int, str]:
    """Return the command lines of the processes that come from here; none without /proc."""
    wanted = f"{_STARTED_BY}={os.getpid()}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted not in (folder / "environ").read_bytes().split(b"\0"):
                continue
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except OSError:  # it has ended, or is somebody else's
            continue
        if command and not any(helper in command for helper in _HELPERS):
            found[int(folder.name)] = command.strip()[:200]
    return found


@pytest.fixture()
def young_heap() -> Iterator[None]:
    """Let ``gc.collect()`` look only at what the test makes; to look at all else takes seconds."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public recordings of real sensors; ask for the marker ``shared_data`` with it."""
    return _shared_data().resolve()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that runs in no time and whose mask depends on which sensors are present."""
    pytest.importorskip("onnx", reason=NO_ONNX)
    from fixtures.tiny_model import write_tiny_model

    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_halves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder in two halves, with a self-test, that runs in no time."""
    pytest.importorskip("onnx", reason=NO_ONNX)
    from fixtures.tiny_halves import write_tiny_halves

    return write_tiny_halves(tmp_path_factory.mktemp("models") / "tiny_halves")


@pytest.fixture()
def fake_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeGpu]:
    """A GPU and a TensorRT that are none, with a cache of plans of their own."""
    gpu = FakeGpu(monkeypatch, tmp_path / "cache")
    yield gpu
    gpu.remove()
