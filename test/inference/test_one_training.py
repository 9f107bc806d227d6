"""The files of a model folder are of one training, or the folder is refused when it is loaded."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from fixtures.accords import normal_accord
from onnx import numpy_helper

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.inference.agreement import load_agreement
from anymodal_seg_ros.inference.engine_protocol import can_split
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest, load_manifest
from anymodal_seg_ros.inference.model import Model, load_model, sha256
from anymodal_seg_ros.inference.verification.self_test import frame_of_all
from anymodal_seg_ros.sensing.health.accord.normal_accord import dump_normal

ON_A_CPU = pytest.mark.parametrize(
    "kind", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]
)


@pytest.fixture()
def folder(tiny_halves: Path, tmp_path: Path) -> Path:
    """A complete model folder in halves that a test may spoil."""
    shutil.copytree(tiny_halves, tmp_path / "model")
    return tmp_path / "model"


def train_otherwise(folder: Path, *names: str) -> Model:
    """Give graphs the weights of another training; hashes are right again afterwards."""
    for name in names:
        graph = onnx.load(folder / name)
        for tensor in graph.graph.initializer:
            if tensor.name == "weights":
                other = numpy_helper.to_array(tensor)[::-1]
                tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(other), "weights"))
        onnx.save(graph, folder / name)
    return hashed(folder)


def hashed(folder: Path) -> Model:
    """Open a folder after its manifest has been given the hashes of the files that are there."""
    manifest = load_manifest(folder)
    files = {
        role: FileSpec(spec.path, sha256(folder / spec.path))
        for role, spec in manifest.files.items()
    }
    dump_manifest(replace(manifest, files=files), folder)
    return load_model(str(folder))


@ON_A_CPU
def test_files_of_one_training_are_accepted(kind: str, folder: Path) -> None:
    engine = create_engine(kind, hashed(folder), 1)
    assert can_split(engine) and engine.run(frame_of_all(hashed(folder))).logits is not None


@ON_A_CPU
def test_halves_that_fit_each_other_and_not_the_rest_are_refused_by_name(
    kind: str, folder: Path
) -> None:
    model = train_otherwise(folder, "fuse.onnx")
    with pytest.raises(ModelError, match=r"export the model again") as said:
        create_engine(kind, model, 1)
    words = str(said.value)
    assert words.startswith(
        f"the masks of encode.onnx, fuse.onnx in {folder} are not those of self"
    )
    assert "the pixels have the right class" in words and "\n" not in words


def test_halves_that_do_not_fit_each_other_are_named_and_not_the_whole(folder: Path) -> None:
    """As a fusing half of a network with another width."""
    graph = onnx.load(folder / "fuse.onnx")
    for value in graph.graph.input:
        if value.name in ("stride_4", "stride_32"):
            value.type.tensor_type.shape.dim[1].dim_value = 7
    (weights,) = [tensor for tensor in graph.graph.initializer if tensor.name == "weights"]
    wider = np.concatenate([numpy_helper.to_array(weights)] * 3, axis=1)[:, :7]
    weights.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(wider), "weights"))
    onnx.save(graph, folder / "fuse.onnx")
    with pytest.raises(ModelError, match=r"encode\.onnx, fuse\.onnx is not what .* export") as said:
        create_engine("onnxruntime", hashed(folder), 1)
    assert "model.onnx" not in str(said.value)


def test_the_whole_that_differs_from_its_halves_is_named(folder: Path) -> None:
    model = train_otherwise(folder, "model.onnx")
    with pytest.raises(ModelError, match="export the model again") as said:
        create_engine("onnxruntime", model, 1)
    assert str(said.value).startswith(
        f"the masks of model.onnx in {folder} are not those of self_test.npz and encode.onnx, fuse"
    )


@pytest.mark.openvino
def test_the_whole_that_is_seldom_asked_for_is_looked_at_when_it_is(folder: Path) -> None:
    """OpenVINO compiles for seconds what a network in halves may never need."""
    model = train_otherwise(folder, "model.onnx")
    engine = create_engine("openvino", model, 1)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"model\.onnx in .*export the model again"):
            engine.run(frame_of_all(model))


def test_a_self_test_of_another_training_disagrees_with_all_graphs(folder: Path) -> None:
    model = train_otherwise(folder, "model.onnx", "fuse.onnx")
    with pytest.raises(
        ModelError, match=r"^the masks of model\.onnx, encode\.onnx, fuse\.onnx in "
    ):
        create_engine("onnxruntime", model, 1)


def without_self_test(folder: Path) -> None:
    manifest = load_manifest(folder)
    files = {role: spec for role, spec in manifest.files.items() if role != "self_test"}
    dump_manifest(replace(manifest, files=files), folder)


def test_without_a_self_test_the_halves_are_held_to_the_whole(folder: Path) -> None:
    without_self_test(folder)
    assert create_engine("onnxruntime", load_model(str(folder)), 1).name == "onnxruntime cpu"
    model = train_otherwise(folder, "fuse.onnx")
    with pytest.raises(ModelError, match=r"export the model again") as said:
        create_engine("onnxruntime", model, 1)
    assert str(said.value).startswith(
        f"the masks of encode.onnx, fuse.onnx in {folder} are not those of model.onnx beside it"
    )
    train_otherwise(folder, "model.onnx")
    engine = create_engine("onnxruntime", load_model(str(folder)), 1)
    assert engine.name == "onnxruntime cpu", "all of them of the other training"


@pytest.mark.openvino
def test_without_a_self_test_the_whole_is_held_to_the_halves(folder: Path) -> None:
    """OpenVINO runs the halves, and the whole only if it is asked to."""
    without_self_test(folder)
    model = load_model(str(folder))
    assert create_engine("openvino", model, 1).run(frame_of_all(model)).logits is not None
    model = train_otherwise(folder, "fuse.onnx")
    engine = create_engine("openvino", model, 1)
    with pytest.raises(
        ModelError, match=r"of model\.onnx in .* are not those of encode\.onnx, fuse"
    ):
        engine.run(frame_of_all(model))


def test_weights_of_another_training_than_the_self_test_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from safetensors.torch import load, save_file

    bundled = load_model("rig-nano")
    for role in ("weights", "self_test"):
        shutil.copy(bundled.file(role), tmp_path)
    weights = load(bundled.read("weights"))
    (name,) = [name for name in weights if name.endswith("classify.bias")]
    weights[name] = weights[name].roll(1) + 5.0 * weights[name].std()
    last = name.replace("bias", "weight")
    weights[last] = weights[last].roll(1, dims=0)
    save_file(weights, tmp_path / bundled.file("weights").name)
    files = {role: bundled.manifest.files[role] for role in ("weights", "self_test")}
    dump_manifest(replace(bundled.manifest, files=files), tmp_path)
    with pytest.raises(
        ModelError, match=r"^the masks of model\.safetensors in .*export the model again"
    ):
        create_engine("torch", hashed(tmp_path), 1)


def with_agreement(folder: Path, kinds: tuple[str, ...]) -> Model:
    (folder / "agreement.json").write_text(dump_normal(normal_accord(kinds)))
    manifest = load_manifest(folder)
    spec = FileSpec("agreement.json", sha256(folder / "agreement.json"))
    dump_manifest(replace(manifest, files={**manifest.files, "agreement": spec}), folder)
    return load_model(str(folder))


def test_what_sensors_have_in_common_is_told_by_their_own_model(folder: Path) -> None:
    assert load_agreement(with_agreement(folder, ("rgb", "thermal"))) is not None
    with pytest.raises(
        ModelError,
        match=r"agreement\.json: it is of another model: it knows radar, this one depth, event, "
        r"rgb, thermal; make it anew with 'anymodal-train agreement'",
    ):
        load_agreement(with_agreement(folder, ("radar", "rgb")))
