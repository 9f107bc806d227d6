"""What a build does, in this process: only what is missing, proven before it is kept."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from fixtures.fake_gpu import FakeGpu

from anymodal_seg_ros.errors import EngineError
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest, half_role
from anymodal_seg_ros.inference.model import Model, load_model, sha256
from anymodal_seg_ros.inference.tensorrt import builder
from anymodal_seg_ros.inference.tensorrt.build_process import PlanBuilder, Request
from anymodal_seg_ros.inference.tensorrt.builder import BuildCancelledError
from anymodal_seg_ros.inference.tensorrt.cache import PlanCache, plan_key
from anymodal_seg_ros.inference.tensorrt.engine import TensorRtEngine
from anymodal_seg_ros.inference.tensorrt.graphs import forms_of
from anymodal_seg_ros.inference.tensorrt.kept_files import read_kept
from anymodal_seg_ros.inference.tensorrt.libraries import load_libraries
from anymodal_seg_ros.inference.tensorrt.progress import Phases
from anymodal_seg_ros.inference.tensorrt.proof import proven

RIGHT = "15 subsets right in at least 100.00 % of the pixels"


@pytest.fixture(scope="module")
def model(tiny_halves: Path) -> Model:
    return load_model(str(tiny_halves))


class Builds:
    """Builds a model and remembers what was told."""

    def __init__(self, model: Model) -> None:
        self.model, self.news = model, list[Any]()

    def __call__(self, rebuild: bool = False, cancel_after: int | None = None) -> set[str]:
        """Build, and return the roles of the graphs that were built."""
        self.news.clear()
        request = Request(str(self.model.folder), False, str(PlanCache().folder), rebuild)

        def cancelled() -> bool:
            return cancel_after is not None and len(self.steps) > cancel_after

        PlanBuilder(request, self.news.append, cancelled).build()
        return {news["phase"].partition(":")[0] for news in self.steps}

    @property
    def steps(self) -> list[Any]:
        return [news for news in self.news if news["event"] == "progress"]

    @property
    def notes(self) -> str:
        return " | ".join(news["text"] for news in self.news if news["event"] == "note")


@pytest.fixture()
def build(model: Model, fake_gpu: FakeGpu) -> Builds:
    return Builds(model)


def path_of(role: str, model: Model) -> Path:
    (graph,) = (graph for graph in forms_of(model)[0] if graph.role == role)
    return PlanCache().path(plan_key(graph, load_libraries()))


def test_a_plan_is_kept_where_there_is_no_room_for_what_was_timed(
    build: Builds, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, content: bytes, about: Any) -> None:
        raise EngineError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr(builder, "write_kept", full)
    assert build() == {"encode", "fuse"} and RIGHT in build.notes
    assert path_of("fuse", model).exists() and "single precision is built" not in build.notes
    assert any("what was timed is not kept: cannot write" in step["phase"] for step in build.steps)


def test_it_builds_what_is_missing_and_nothing_else(build: Builds, model: Model) -> None:
    assert build() == {"encode", "fuse"}
    percents = [news["percent"] for news in build.steps]
    assert percents == sorted(percents) and percents[0] == 0.0 and percents[-1] == 100.0
    assert len(set(percents)) > 8, "it does not jump from nothing to everything"
    assert RIGHT in build.notes
    assert build() == set()
    path_of("fuse", model).unlink()
    assert build() == {"fuse"}
    assert build(rebuild=True) == {"encode", "fuse"}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "bytes, expected"),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "was altered"),
        (lambda path: path.with_name(path.name + ".json").write_text("{"), "cannot be read"),
        (lambda path: path.chmod(0o622), "others may write to it"),
    ],
)
def test_a_damaged_plan_is_told_and_built_anew(
    damage: Any, says: str, build: Builds, model: Model
) -> None:
    build()
    damage(path_of("encode", model))
    assert build() == {"encode"}
    assert says in build.notes and "it is built anew" in build.notes
    assert proven(TensorRtEngine(model), model) == RIGHT


def test_a_plan_that_is_whole_but_of_no_use_makes_everything_anew(
    build: Builds, model: Model
) -> None:
    """As one that was built by another TensorRT that calls itself the same."""
    build()
    cache, libraries = PlanCache(), load_libraries()
    cache.keep(plan_key(forms_of(model)[0][0], libraries), b"of another build")
    assert build() == {"encode", "fuse"}
    assert "of no use" in build.notes and "Magic tag does not match" in build.notes
    assert proven(TensorRtEngine(model), model) == RIGHT


def test_what_is_wrong_is_not_kept(build: Builds, model: Model, fake_gpu: FakeGpu) -> None:
    fake_gpu.says(run="wrong")
    with pytest.raises(EngineError, match="is wrong here"):
        build()
    assert [entry.path.suffix for entry in PlanCache().entries()] == [".cache"]
    fake_gpu.says(run="well")
    assert build() == {"encode", "fuse"}


def test_half_precision_that_is_wrong_gives_way_to_single(
    tiny_halves: Path, tmp_path: Path, fake_gpu: FakeGpu
) -> None:
    """A network whose logits lie close together may lose more than 0.5 % of its pixels."""
    shutil.copytree(tiny_halves, tmp_path / "model")
    manifest = load_model(str(tiny_halves)).manifest
    files = dict(manifest.files)
    for role in ("encode", "fuse"):
        graph = onnx.load(tiny_halves / f"{role}.onnx")
        graph.producer_name = "halved"
        onnx.save(graph, half := tmp_path / "model" / f"{role}.fp16.onnx")
        files[half_role(role)] = FileSpec(half.name, sha256(half))
    dump_manifest(dataclasses.replace(manifest, files=files), tmp_path / "model")
    model = load_model(str(tmp_path / "model"))
    build = Builds(model)
    fake_gpu.says(run="half wrong")
    build()
    assert "tensorrt 10.3.0 fp16 cuda is wrong here" in build.notes
    assert "so single precision is built instead" in build.notes and RIGHT in build.notes
    engine = TensorRtEngine(model)
    assert engine.name == "tensorrt 10.3.0 fp32 cuda" and proven(engine, model) == RIGHT
    assert build() == set(), "what has proven wrong is not tried at each start"
    fake_gpu.says(run="well")
    build(rebuild=True)
    assert TensorRtEngine(model).name == "tensorrt 10.3.0 fp16 cuda", "where it is right"
    fake_gpu.says(run="wrong")
    with pytest.raises(EngineError, match="fp32 cuda is wrong here"):
        build(rebuild=True)
    assert [entry.path.suffix for entry in PlanCache().entries()] == [".cache"]


def test_failures_are_told_in_the_words_of_tensorrt(build: Builds, fake_gpu: FakeGpu) -> None:
    fake_gpu.says(parse="refused")
    with pytest.raises(EngineError, match="cannot read the graph 'encode': No importer registered"):
        build()
    fake_gpu.says(parse="well", build="fails")
    with pytest.raises(EngineError, match=r"cannot build .*: Could not find any implementation"):
        build()


def test_what_was_timed_survives_cancelling_and_serves_every_model(
    build: Builds, tiny_halves: Path, tmp_path: Path
) -> None:
    with pytest.raises(BuildCancelledError):
        build(cancel_after=3)
    path = PlanCache().timing_path(load_libraries())
    timed, _ = read_kept(path)
    assert timed.startswith(b"timed.")
    assert [entry.path for entry in PlanCache().entries()] == [path], "no half of a plan"
    build()
    assert len(read_kept(path)[0]) > len(timed), "it goes on where it was"
    path.write_bytes(b"damaged")
    build(rebuild=True)
    assert read_kept(path)[0].startswith(b"timed."), "and is made anew when it is damaged"


def test_a_model_that_could_not_prove_its_plans_is_refused_before_the_build(
    model: Model, fake_gpu: FakeGpu, tmp_path: Path
) -> None:
    files = {role: spec for role, spec in model.manifest.files.items() if role != "self_test"}
    for spec in files.values():
        (tmp_path / spec.path).write_bytes((model.folder / spec.path).read_bytes())
    dump_manifest(dataclasses.replace(model.manifest, files=files), tmp_path)
    with pytest.raises(EngineError, match=r"no self-test, without which .* export the model again"):
        Builds(load_model(str(tmp_path)))()


def test_another_driver_or_tensorrt_makes_other_plans_and_leaves_the_old_ones(
    build: Builds, fake_gpu: FakeGpu
) -> None:
    build()
    fake_gpu.says(gpu="Fake Thor")
    assert build() == {"encode", "fuse"}
    fake_gpu.says(gpu="Fake Orin")
    assert build() == set()
    fake_gpu.says(version="11.4.0")
    assert build() == {"encode", "fuse"}


def test_nested_phases_are_one_share_that_only_grows() -> None:
    told: list[tuple[float, str]] = []
    phases = Phases(lambda share, phase: told.append((round(share, 3), phase)))
    phases.start("all", None, 2)
    phases.start("part", "all", 4)
    phases.step("part", 0)
    phases.start("deep", "part", 2)
    phases.step("deep", 0)
    phases.step("part", 3)
    phases.finish("deep")
    phases.finish("part")
    phases.step("all", 0)
    phases.start("again", None, 5)
    phases.step("unknown", 3)
    phases.step("all", 1)
    shares = [share for share, _ in told]
    assert shares == [0, 0, 0.125, 0.125, 0.188, 0.5, 0.5, 0.5, 1.0]
    assert told[4] == (0.188, "deep")
