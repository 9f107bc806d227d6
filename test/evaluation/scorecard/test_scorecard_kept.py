"""Which replays benchmarks/scorecard.py takes from an earlier run."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import onnx
import pytest
import yaml
from fixtures.tiny_model import write_tiny_model

pytest.importorskip("trimesh", reason="the simulation is not installed: pip install '.[sim]'")

from anymodal_seg_ros.inference.model import load_model, sha256


@pytest.fixture
def scorecard(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(project_root / "benchmarks"))
    import scorecard

    return scorecard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model")


def key(scorecard: ModuleType, folder: Path) -> str:
    return str(scorecard.model_key(load_model(str(folder))))


def alter(folder: Path, **entries: object) -> None:
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **entries}))


def test_an_equal_model_elsewhere_goes_on_with_what_is_there(
    scorecard: ModuleType, folder: Path, tmp_path: Path
) -> None:
    found = key(scorecard, folder)
    assert found == key(scorecard, write_tiny_model(tmp_path / "again"))
    # It becomes the name of a folder, also of a model that is named by its path.
    assert Path(found).name == found and found.startswith("tiny-0.0.1-")


def test_another_version_begins_anew(scorecard: ModuleType, folder: Path) -> None:
    before = key(scorecard, folder)
    alter(folder, version="0.0.2")
    assert key(scorecard, folder) != before


def test_other_weights_of_one_version_begin_anew(scorecard: ModuleType, folder: Path) -> None:
    before = key(scorecard, folder)
    graph = onnx.load(folder / "model.onnx")
    graph.doc_string = "trained once more"
    onnx.save(graph, folder / "model.onnx")
    files = yaml.safe_load((folder / "model.yaml").read_text())["files"]
    files["onnx"]["sha256"] = sha256(folder / "model.onnx")
    alter(folder, files=files)
    assert key(scorecard, folder) != before


def test_other_code_begins_anew(
    scorecard: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("frames.py", "evaluation/naive.py", "pipeline/worker.py", "cli/main.py"):
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# before\n")
    package = tmp_path / "package" / "__init__.py"
    monkeypatch.setattr(scorecard.anymodal_seg_ros, "__file__", str(package))
    before = scorecard.code_version()
    (package.parent / "cli/main.py").write_text("# after\n")
    assert scorecard.code_version() == before, "commands make no masks"
    (package.parent / "pipeline/worker.py").write_text("# after\n")
    assert scorecard.code_version() != before
