"""A plan is found again only under everything it depends on, and only whole."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

import pytest
from fixtures.fake_gpu import FakeGpu
from hypothesis import given, settings
from hypothesis import strategies as st

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.inference.tensorrt import cache as cache_module
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.graphs import MOST_SENSORS, GraphSpec, forms_of, fusing
from anymodal_seg_ros.inference.tensorrt.kept_files import (
    cache_dir,
    meta_of,
    read_kept,
    write_kept,
)
from anymodal_seg_ros.inference.tensorrt.libraries import Libraries, load_libraries

GRAPH = GraphSpec("fuse", "fp16", b"onnx", ("logits",), fusing(4, 8))


@pytest.fixture()
def libraries(fake_gpu: FakeGpu) -> Libraries:
    return load_libraries()


@pytest.fixture()
def cache(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "plans")


def test_each_thing_that_a_plan_depends_on_makes_another_key(
    libraries: Libraries, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = libraries.gpu
    keys = [plan_key(GRAPH, libraries).digest]
    for change in (
        {"content": b"another onnx"},
        {"precision": "fp32"},
        {"outputs": ("logits", "confidence")},
        {"profiles": fusing(3, 8)},
    ):
        keys.append(plan_key(dataclasses.replace(GRAPH, **change), libraries).digest)  # type: ignore[arg-type]
    for other in (
        dataclasses.replace(gpu, name="Thor"),
        dataclasses.replace(gpu, capability="11.0"),
        dataclasses.replace(gpu, multiprocessors=16),  # of an AGX Orin, whose name is the same
        dataclasses.replace(gpu, driver="L4T 39.2"),
    ):
        keys.append(plan_key(GRAPH, dataclasses.replace(libraries, gpu=other)).digest)
    keys.append(plan_key(GRAPH, dataclasses.replace(libraries, version="10.13.3")).digest)
    for cuda in ("13.0 cu13", "12.6 cu12"):  # JetPack's is none of these wheels
        keys.append(plan_key(GRAPH, dataclasses.replace(libraries, cuda=cuda)).digest)
    for name, value in (("machine", "aarch64"), ("system", "Windows")):
        monkeypatch.setattr(cache_module.platform, name, lambda value=value: value)
        keys.append(plan_key(GRAPH, libraries).digest)
    monkeypatch.setattr(cache_module, "OPTIMIZATION_LEVEL", 5)
    keys.append(plan_key(GRAPH, libraries).digest)
    monkeypatch.setattr(cache_module, "FORMAT", 99)
    keys.append(plan_key(GRAPH, libraries).digest)
    assert len(set(keys)) == len(keys) == 16
    assert plan_key(GRAPH, libraries).digest == keys[-1], "and nothing else"


def test_a_plan_is_found_again_and_nobody_else_may_read_it(
    libraries: Libraries, cache: PlanCache
) -> None:
    key = plan_key(GRAPH, libraries)
    assert cache.find(key) is None
    cache.keep(key, b"the plan", model="tiny 1")
    assert cache.find(key) == b"the plan"
    path = cache.path(key)
    for file in (path, meta_of(path)):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    about = json.loads(meta_of(path).read_text())
    assert about["key"]["gpu"] == "Fake Orin" and about["model"] == "tiny 1"
    cache.drop(key)
    assert cache.find(key) is None and list(cache.folder.iterdir()) == []


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(0, 99), flip=st.integers(0, 99))
def test_a_truncated_or_altered_file_is_never_believed(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    path, content = tmp_path_factory.getbasetemp() / "kept" / "a.plan", bytes(range(100))
    write_kept(path, content, {})
    assert read_kept(path)[0] == content
    path.write_bytes(content[:cut])
    with pytest.raises(EngineError, match=f"has {cut} bytes, expected 100"):
        read_kept(path)
    path.write_bytes(content[:flip] + bytes([content[flip] ^ 1]) + content[flip + 1 :])
    with pytest.raises(EngineError, match="was altered"):
        read_kept(path)


def test_what_is_of_somebody_else_or_damaged_beside_it_is_not_believed(
    libraries: Libraries, cache: PlanCache
) -> None:
    key = plan_key(GRAPH, libraries)
    cache.keep(key, b"the plan")
    path = cache.path(key)
    path.chmod(0o666)
    with pytest.raises(EngineError, match="others may write to it"):
        cache.find(key)
    path.chmod(0o600)
    about = json.loads(meta_of(path).read_text())
    meta_of(path).write_text(json.dumps({**about, "key": {**about["key"], "gpu": "Thor"}}))
    with pytest.raises(EngineError, match="is of another key"):
        cache.find(key)
    for damage in ("", "{", "[]", "null"):
        meta_of(path).write_text(damage)
        with pytest.raises(EngineError, match="json"):
            cache.find(key)
    meta_of(path).unlink()
    assert cache.find(key) is None, "without a word about it, it is not there"


def test_a_writer_that_dies_leaves_the_old_file(
    libraries: Libraries, cache: PlanCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = plan_key(GRAPH, libraries)
    cache.keep(key, b"old")

    def power_cut(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", power_cut)
    with pytest.raises(KeyboardInterrupt):
        cache.keep(key, b"new")
    assert cache.find(key) == b"old" and list(cache.leftovers()) == []
    monkeypatch.undo()
    (cache.folder / ".abc.unfinished").write_bytes(b"half a pl")
    (cache.folder / "gone.plan.json").write_text("{}")
    assert [path.name for path in cache.leftovers()] == [".abc.unfinished", "gone.plan.json"]


def test_a_full_disk_is_told(cache: PlanCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EngineError, match="No space left on device; make room, or point XDG_CACHE"):
        write_kept(cache.folder / "a.plan", b"x", {})


def test_the_folder_is_where_the_desktop_standard_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "anymodal_seg_ros" / "tensorrt"
    for unset in ("", "relative/is/to/be/ignored"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert cache_dir() == Path.home() / ".cache" / "anymodal_seg_ros" / "tensorrt"


def test_one_profile_for_each_number_of_sensors_and_a_range_beyond() -> None:
    one, two, *_, beyond = fusing(4, MOST_SENSORS)
    assert (one, two, beyond) == (((1,),) * 3, ((2,),) * 3, ((5,), (5,), (8,)))
    assert fusing(2, 2) == (one, two)
    assert fusing(9, MOST_SENSORS)[-1] == ((9,),) * 3


def test_half_precision_is_taken_only_where_all_graphs_have_it(
    tiny_halves: Path, tmp_path: Path
) -> None:
    model = load_model(str(tiny_halves))
    assert [graph.precision for graph in forms_of(model)[0]] == ["fp32", "fp32"]
    for role, name in (("encode", "encode.onnx"), ("fuse", "fuse.onnx")):
        (tmp_path / name).write_bytes(model.read(role))
    (tmp_path / "self_test.npz").write_bytes(model.read("self_test"))
    files = {role: model.manifest.files[role] for role in ("encode", "fuse", "self_test")}
    for role in ("encode", "fuse"):
        half = tmp_path / f"{role}.fp16.onnx"
        half.write_bytes(b"half " + role.encode())
        files[f"{role}_fp16"] = FileSpec(half.name, sha256(half))
        dump_manifest(dataclasses.replace(model.manifest, files=files), tmp_path)
        graphs = forms_of(load_model(str(tmp_path)))[0]
        assert graphs[0].precision == ("fp16" if role == "fuse" else "fp32")
    assert [graph.content for graph in graphs] == [b"half encode", b"half fuse"]
    half, single = forms_of(load_model(str(tmp_path)))
    assert half == graphs and [graph.precision for graph in single] == ["fp32", "fp32"]
