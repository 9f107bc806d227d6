"""The fakes have nothing that the real bindings do not have: so nothing else is used of them.

The bindings of TensorRT are brought as wheels, without its libraries, and loaded against stubs:
enough to read every name and signature. Nothing of it needs a GPU.
"""

from __future__ import annotations

import enum
import importlib
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fixtures.binding_surface import parameters
from fixtures.fake_gpu import FAKES, FakeGpu

VERSIONS = {
    "10.3.0": "JetPack 6.1 and 6.2",
    "10.13.3.9.post1": "JetPack 7.0 and 7.1",
    "10.16.1.11": "JetPack 7.2",
    "11.4.0.106": "the newest",
}
RUNTIMES = {
    "12.8.0": "CUDA's runtime written anew in Python",
    "12.9.1": "CUDA's own runtime, linked in",
    "13.0.3": "JetPack 7",
}
_SYMBOLS = [
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
]
"""What the bindings are linked to when they are loaded; none of it is called."""


def surface(module: ModuleType) -> dict[str, dict[str, list[str] | None]]:
    """Return every public name of a fake: classes, their members, the parameters of methods."""
    found: dict[str, dict[str, list[str] | None]] = {}

    def add(owner: str, cls: type) -> None:
        members = found.setdefault(owner, {})
        for name, value in vars(cls).items():
            if inspect.isclass(value) and not name.startswith("_"):
                add(f"{owner}.{name}", value)
            elif name == "__init__" or not name.startswith("_"):
                called = inspect.isfunction(value)
                members[name] = list(inspect.signature(value).parameters)[1:] if called else None

    for name, cls in vars(module).items():
        if inspect.isclass(cls) and not name.startswith("_") and cls.__module__ == module.__name__:
            add(name, cls)
    return found


@pytest.fixture()
def wanted(fake_gpu: FakeGpu) -> dict[str, Any]:
    return surface(importlib.import_module("tensorrt"))


def test_the_surface_is_what_the_package_uses(wanted: dict[str, Any]) -> None:
    assert wanted["IExecutionContext"]["execute_async_v3"] == ["stream_handle"]
    assert wanted["IBuilderConfig"]["progress_monitor"] is None
    assert wanted["ILogger.Severity"]["ERROR"] is None
    assert sum(len(members) for members in wanted.values()) > 60
    assert parameters("1. f(self: X, a: int, b: E = <E.K: 0>) -> bool") == [["a", "b"]]


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_bindings_have_every_name_and_signature_that_is_used(
    version: str, wanted: dict[str, Any], project_root: Path, tmp_path: Path
) -> None:
    wheel = _wheel(f"tensorrt-cu12-bindings=={version}", tmp_path)
    zipfile.ZipFile(wheel).extractall(tmp_path / "bindings")
    _stub_libraries(version.partition(".")[0], tmp_path / "libraries")
    paths = (tmp_path / "bindings", project_root, project_root / "test")
    done = subprocess.run(
        [sys.executable, "-m", "fixtures.binding_surface"],
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "LD_LIBRARY_PATH": str(tmp_path / "libraries"),
        },
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert version.startswith(result["version"].rstrip("0").rstrip("."))
    assert result["missing"] == []


def _wheel(wanted: str, folder: Path) -> Path:
    """Bring the wheel of some bindings, for this interpreter."""
    options = ["--quiet", "--retries", "1", "--no-deps", "--only-binary", ":all:", "--dest"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download"),
            *(*options, str(folder), wanted),
        ],
        capture_output=True,
        text=True,
    )
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        said = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        pytest.skip(f"the registry has no {wanted} here: {said}")
    return wheels[0]


def _stub_libraries(major: str, folder: Path) -> None:
    """Make libraries that have the names the bindings are linked to, and do nothing."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler, so no stub libraries")
    folder.mkdir()
    source = folder / "stub.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in _SYMBOLS))
    for library in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        name = f"lib{library}.so.{major}"
        options = ["-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name)]
        subprocess.run([compiler, *options, str(source)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("version", RUNTIMES)
def test_every_cuda_runtime_has_what_is_used(version: str, tmp_path: Path) -> None:
    zipfile.ZipFile(_wheel(f"cuda-bindings=={version}", tmp_path)).extractall(tmp_path / "found")
    again = f"{__file__}::test_the_fake_cuda_runtime_has_only_what_the_real_one_has"
    paths = os.pathsep.join((str(tmp_path / "found"), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", again],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_the_fake_cuda_runtime_has_only_what_the_real_one_has() -> None:
    real = pytest.importorskip("cuda.bindings.runtime", reason="cuda-bindings is not installed")
    path = FAKES / "cuda" / "bindings" / "runtime.py"
    spec = importlib.util.spec_from_file_location("fake_runtime", path)
    assert spec is not None and spec.loader is not None
    fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    compared = 0
    for name, value in vars(fake).items():
        if not name.startswith("cuda"):
            continue
        compared += 1
        other = getattr(real, name)
        if inspect.isclass(value):
            assert issubclass(value, enum.IntEnum)
            for member in value:
                assert int(getattr(other, member.name)) == int(member), member
        elif inspect.isfunction(value):
            assert list(inspect.signature(value).parameters) == list(
                inspect.signature(other).parameters
            ), name
        else:
            assert value == other, name
    assert compared > 25
