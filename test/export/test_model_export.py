"""A run becomes a model folder that the robot's engines can open and that computes the same."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from fixtures.tiny_training import HEIGHT, WIDTH, TinyDataset, tiny_frames, tiny_recipe

from anymodal_seg_ros.frames import ModalityBatch
from anymodal_seg_ros.inference.engine_protocol import can_split
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest, load_manifest
from anymodal_seg_ros.inference.masks.argmax import lazy_argmax
from anymodal_seg_ros.inference.model import load_model, sha256
from anymodal_seg_ros.networks import AnyModalNetwork, DeployedNetwork, build_network
from anymodal_seg_training.commands import export as export_module
from anymodal_seg_training.commands.export import export, read_result
from anymodal_seg_training.datasets.frame_cache import FrameCache
from anymodal_seg_training.errors import TrainingError
from anymodal_seg_training.evaluation.split_evaluation import Evaluation
from anymodal_seg_training.export import graphs, onnx_file
from anymodal_seg_training.export.graphs import GRAPHS, rewrite_graphs
from anymodal_seg_training.export.model_card import Rival
from anymodal_seg_training.export.trained_network import open_trained
from anymodal_seg_training.recipe import parse_recipe
from anymodal_seg_training.run_folder import RunFolder

pytestmark = pytest.mark.export

RECIPE = tiny_recipe()


@pytest.fixture(scope="module")
def test_frames(tmp_path_factory: pytest.TempPathFactory) -> FrameCache:
    return tiny_frames(tmp_path_factory.mktemp("frames"), "test")


@pytest.fixture(scope="module")
def network() -> AnyModalNetwork:
    """Not trained, but of different opinions about different pixels."""
    torch.manual_seed(2)
    network = build_network(RECIPE.architecture, 3, RECIPE.modality_names)
    x, ids = torch.randn(8, 2, 3, HEIGHT, WIDTH), torch.arange(2)
    with torch.no_grad():
        for _ in range(30):
            network.train()(x, ids)  # fills the statistics of the batch norm
        classify = network.head.classify
        classify.bias -= network.eval()(x, ids).mean(dim=(0, 2, 3))
    return network


@pytest.fixture(scope="module")
def metrics(network: AnyModalNetwork, test_frames: FrameCache) -> dict[str, Any]:
    cpu = torch.device("cpu")
    evaluation = Evaluation(RECIPE, network, test_frames, cpu)
    return evaluation.combinations(TinyDataset(), "test")


class Traced:
    """Traces a network once; whoever asks for the same again is given what came of it."""

    def __init__(self) -> None:
        self._trace, self._found = onnx_file._exported, list[tuple[Any, onnx.ModelProto]]()

    def __call__(
        self, module: torch.nn.Module, inputs: dict[str, Any], outputs: tuple[str, ...]
    ) -> onnx.ModelProto:
        shapes = {name: (example.shape, [*axes]) for name, (example, axes) in inputs.items()}
        asked = (str(module), shapes, tuple(outputs))
        if not self._found:
            self._found.append((asked, self._trace(module, inputs, outputs)))
        before, model = self._found[0]
        assert asked == before
        return copy.deepcopy(model)


@pytest.fixture(scope="module")
def traced() -> Traced:
    return Traced()


@pytest.fixture(scope="module")
def exported(
    network: AnyModalNetwork,
    test_frames: FrameCache,
    metrics: dict[str, Any],
    traced: Traced,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, float]]:
    out = tmp_path_factory.mktemp("models") / "tiny"
    worse = {**metrics, "miou": {key: 0.125 for key in metrics["miou"]}, "mean_over_subsets": 0.125}
    rival = Rival("other", "Another one.", worse)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_file, "_exported", traced)
        shares = export(RECIPE, network, TinyDataset(), test_frames, metrics, rival, out)
    return out, shares


def test_onnx_runtime_agrees_for_all_fifteen_subsets(
    exported: tuple[Path, dict[str, float]],
) -> None:
    _, shares = exported
    assert len(shares) == 15
    assert min(shares.values()) >= 0.999, shares


@pytest.mark.parametrize("modalities", [1, 2, 5])
def test_both_engines_open_the_folder_and_agree(
    exported: tuple[Path, dict[str, float]], modalities: int
) -> None:
    """Also with one sensor, which the exporter never saw, and with more than in training."""
    model = load_model(str(exported[0]))
    images = np.random.default_rng(0).standard_normal((modalities, 3, HEIGHT, WIDTH))
    batch = ModalityBatch(images.astype(np.float32), np.arange(modalities) % 4)
    engines = [create_engine(kind, model, 1) for kind in ("onnxruntime", "torch")]
    assert all(can_split(engine) for engine in engines)
    masks = [lazy_argmax(engine.run(batch).logits, HEIGHT, WIDTH) for engine in engines]
    masks += [
        lazy_argmax(engine.fuse(engine.encode(batch)).logits, HEIGHT, WIDTH) for engine in engines
    ]
    assert len(np.unique(masks[0])) > 1
    assert all(np.mean(masks[0] == mask) >= 0.9999 for mask in masks[1:])


def test_the_graph_is_as_promised(exported: tuple[Path, dict[str, float]]) -> None:
    model = onnx.load(exported[0] / "model.onnx")
    assert next(o.version for o in model.opset_import if o.domain == "") == 20
    shapes = {}
    for value in (*model.graph.input, *model.graph.output):
        kind = value.type.tensor_type
        dims = [d.dim_param or d.dim_value for d in kind.shape.dim]
        shapes[value.name] = (onnx.TensorProto.DataType.Name(kind.elem_type), dims)
    assert shapes["images"][0] == "FLOAT" and shapes["images"][1][1:] == [3, HEIGHT, WIDTH]
    assert shapes["modality_ids"] == ("INT64", shapes["images"][1][:1])
    assert isinstance(shapes["images"][1][0], str), "the number of modalities must be dynamic"
    assert shapes["logits"] == ("FLOAT", [3, HEIGHT // 4, WIDTH // 4])


def test_onnx_runtime_is_as_sure_as_pytorch(exported: tuple[Path, dict[str, float]]) -> None:
    model = load_model(str(exported[0]))
    assert model.manifest.outputs == ("logits", "confidence")
    images = np.random.default_rng(0).standard_normal((3, 3, HEIGHT, WIDTH))
    batch = ModalityBatch(images.astype(np.float32), np.arange(3))
    engines = [create_engine(kind, model, 1, confidence=True) for kind in ("onnxruntime", "torch")]
    first, second = (engine.run(batch).confidence for engine in engines)
    assert first is not None and second is not None
    assert first.shape == (HEIGHT // 4, WIDTH // 4) and first.dtype == np.uint8
    assert np.abs(first.astype(int) - second).max() <= 1
    assert create_engine("onnxruntime", model, 1).run(batch).confidence is None


def test_the_files_do_not_say_where_they_were_made(exported: tuple[Path, dict[str, float]]) -> None:
    for name in GRAPHS.values():
        content = (exported[0] / name).read_bytes()
        assert b"site-packages" not in content and b".py" not in content
    assert not list(exported[0].glob("*.data")), "the weights belong into the one file"


def test_the_manifest_repeats_the_recipe_and_the_numbers(
    exported: tuple[Path, dict[str, float]], metrics: dict[str, Any]
) -> None:
    manifest = load_model(str(exported[0])).manifest
    assert parse_recipe(manifest.recipe) == RECIPE
    assert manifest.metrics["miou"] == metrics["miou"]
    assert manifest.metrics["frames"] == metrics["frames"] and manifest.metrics["split"] == "test"
    assert list(manifest.modalities) == ["rgb", "thermal", "depth", "event"]
    assert [entry.name for entry in manifest.classes] == ["left", "right", "spot"]
    content = yaml.safe_load((exported[0] / "model.yaml").read_text())
    assert content["input"] == {"height": HEIGHT, "width": WIDTH}


def test_the_card_shows_all_subsets_beside_those_of_the_rival(
    exported: tuple[Path, dict[str, float]], metrics: dict[str, Any]
) -> None:
    card = (exported[0] / "MODEL_CARD.md").read_text()
    for key, value in metrics["miou"].items():
        assert f"| {key} | {100 * value:.1f} | 12.5 |" in card
    assert TinyDataset.description in card and "## Limits" in card


def test_a_file_that_computes_something_else_is_refused(
    exported: tuple[Path, dict[str, float]],
    test_frames: FrameCache,
    metrics: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def write_another(_: DeployedNetwork, height: int, width: int, folder: Path) -> Any:
        for name in GRAPHS.values():
            shutil.copy(exported[0] / name, folder)
        files = load_manifest(exported[0]).files
        return {role: files[role] for role in GRAPHS}

    torch.manual_seed(9)
    other = build_network(RECIPE.architecture, 3, RECIPE.modality_names)
    monkeypatch.setattr(export_module, "write_graphs", write_another)
    with pytest.raises(TrainingError, match=r"agree on only 0\.\d+ of the pixels.*do not use"):
        export(RECIPE, other, TinyDataset(), test_frames, metrics, None, tmp_path / "m")
    assert not (tmp_path / "m" / "model.yaml").exists()


def test_graphs_are_written_anew_from_the_weights(
    exported: tuple[Path, dict[str, float]],
    traced: Traced,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As for a folder of an older version, which has one graph that makes the mask itself.

    The network of its weights is held to graphs of the one that they were saved from.
    """
    monkeypatch.setattr(onnx_file, "_exported", traced)
    folder = Path(shutil.copytree(exported[0], tmp_path / "old"))
    new = load_manifest(folder)
    onnx.save(_with_mask(onnx.load(folder / "model.onnx")), folder / "model.onnx")
    for role in ("encode", "fuse"):
        (folder / GRAPHS[role]).unlink()
    old_graph = FileSpec("model.onnx", sha256(folder / "model.onnx"))
    kept = {role: new.files[role] for role in ("self_test", "weights")}
    files = {"onnx": old_graph, **kept}
    dump_manifest(replace(new, files=files, outputs=("mask", "confidence")), folder)
    old = create_engine("onnxruntime", load_model(str(folder)), 1)
    assert not can_split(old)
    shares = rewrite_graphs(folder)
    assert len(shares) == 15 and min(shares.values()) >= 0.9999
    assert load_manifest(folder) == new
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in exported[0].iterdir())
    images = np.random.default_rng(0).standard_normal((3, 3, HEIGHT, WIDTH), np.float32)
    batch = ModalityBatch(images, np.arange(3))
    logits = create_engine("onnxruntime", load_model(str(folder)), 1).run(batch).logits
    assert np.mean(lazy_argmax(logits, HEIGHT, WIDTH) == old.run(batch).mask) >= 0.9999


def test_other_weights_come_with_their_graphs_or_not_at_all(
    exported: tuple[Path, dict[str, float]],
    network: AnyModalNetwork,
    traced: Traced,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As recalibration and averaging bring them; graphs of other weights would be believed."""
    folder = Path(shutil.copytree(exported[0], tmp_path / "model"))
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.get_parameter("head.classify.bias")[1] += 5.0

    def interrupted(*about: object) -> None:
        raise KeyboardInterrupt

    before = {path.name: sha256(path) for path in folder.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(onnx_file, "_exported", traced)  # whatever is written, it is not for long
        patch.setattr(graphs, "demand_agreement", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_trained(folder).replace(copy.deepcopy(other))
    assert {path.name: sha256(path) for path in folder.iterdir()} == before
    open_trained(folder).replace(copy.deepcopy(other))
    model = load_model(str(folder))
    assert {path.name for path in folder.iterdir()} == set(before)
    images = np.random.default_rng(0).standard_normal((2, 3, HEIGHT, WIDTH), np.float32)
    batch = ModalityBatch(images, np.arange(2))
    for kind in ("onnxruntime", "torch"):
        mask = lazy_argmax(create_engine(kind, model, 1).run(batch).logits, HEIGHT, WIDTH)
        assert np.mean(mask == 1) > 0.9, kind


def _with_mask(model: onnx.ModelProto) -> onnx.ModelProto:
    """Let a graph make the mask of its logits, and keep these to itself."""
    node, graph = onnx.helper.make_node, model.graph
    graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in (("batch", [0]), ("size", [1, 3, HEIGHT, WIDTH]))
    )
    graph.node.extend(
        (
            node("Unsqueeze", ["logits", "batch"], ["as_batch"]),
            node("Resize", ["as_batch", "", "", "size"], ["at_full_size"], mode="linear"),
            node("ArgMax", ["at_full_size"], ["best"], axis=1, keepdims=0),
            node("Squeeze", ["best", "batch"], ["classes"]),
            node("Cast", ["classes"], ["mask"], to=onnx.TensorProto.UINT8),
        )
    )
    (logits,) = (value for value in graph.output if value.name == "logits")
    graph.output.remove(logits)
    kind = onnx.TensorProto.UINT8
    graph.output.insert(0, onnx.helper.make_tensor_value_info("mask", kind, [HEIGHT, WIDTH]))
    onnx.checker.check_model(model, full_check=True)
    return model


def test_a_broken_result_is_named(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run 1")
    run.path.mkdir()
    with pytest.raises(TrainingError, match=r"is not evaluated: .* evaluate '.*/run 1'$"):
        read_result(run)
    run.result_file("test").write_text(json.dumps({"miou": {}})[:-3])
    with pytest.raises(TrainingError, match="evaluate the run again"):
        read_result(run)


def test_a_result_of_weights_that_were_replaced_is_refused(tmp_path: Path) -> None:
    """Averaged or recalibrated since, they are not those that the model card would tell of."""
    run = RunFolder(tmp_path)
    run.best_file.write_bytes(b"first")
    result = {"miou": {}, "weights": sha256(run.best_file)}
    run.write_json(run.result_file("test"), result)
    assert read_result(run) == result
    run.best_file.write_bytes(b"second")
    with pytest.raises(TrainingError, match=r"of other weights than .*anymodal-train evaluate"):
        read_result(run)
