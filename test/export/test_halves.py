"""A network that encodes its sensors apart is exported in two halves that make the whole."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fixtures.tensorrt_operators import unsupported
from fixtures.zoo import HEIGHT, MODALITIES, SPLIT, WIDTH, network_of, sensors
from fixtures.zoo_folder import write_zoo_folder

from anymodal_seg_ros.inference.auto import trial
from anymodal_seg_ros.inference.manifest import PYRAMID, FileSpec
from anymodal_seg_ros.inference.model import sha256
from anymodal_seg_ros.networks import DeployedNetwork, network_names
from anymodal_seg_ros.networks.quorum import Quorum
from anymodal_seg_training.data.sampling import all_subsets
from anymodal_seg_training.export.graphs import (
    GRAPHS,
    HALF_GRAPHS,
    GraphComparison,
    deploy,
    half_agreement,
    write_graphs,
    write_half_graphs,
)
from anymodal_seg_training.export.onnx_file import OPSET, open_session


@pytest.mark.parametrize("name", network_names())
def test_the_networks_that_split_are_those_whose_sensors_do_not_see_each_other(name: str) -> None:
    network = network_of(name)
    assert DeployedNetwork(network).splits == (name in SPLIT)
    x, ids = sensors(network)
    with torch.inference_mode():
        together = network.forward_features(x, ids)
        alone = [network.forward_features(x[:, [m]], ids[[m]]) for m in range(4)]
        other = network.forward_features(torch.cat((x[:, :1], 9.0 * x[:, 1:]), dim=1), ids)
    apart = together[0].shape[1] == 4 and all(
        torch.allclose(stage[:, m], alone[m][level][:, 0], rtol=1e-4, atol=1e-4)
        for level, stage in enumerate(together)
        for m in range(4)
    )
    unmoved = all(
        torch.allclose(a[:, 0], b[:, 0], rtol=1e-4, atol=1e-4)
        for a, b in zip(together, other, strict=True)
    )
    assert apart == network.encodes_apart
    if network.encodes_apart:
        assert unmoved
    else:
        assert not unmoved


TWO_SIZES = "quorum at two sizes"
"""Not a network of its own, but what it encodes is more than what Quorum encodes at one."""


@pytest.fixture(scope="module", params=[*sorted(SPLIT - {"quorum"}), TWO_SIZES])
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[DeployedNetwork, Path]:
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "-"))
    network = network_of(request.param.split()[0])
    if request.param == TWO_SIZES:
        assert isinstance(network, Quorum)
        network.half_size = [name != "event" for name in network.modalities]
    deployed = deploy(network)
    files = write_graphs(deployed, HEIGHT, WIDTH, folder)
    assert {role: spec.path for role, spec in files.items()} == GRAPHS
    return deployed, folder


@pytest.mark.export
def test_halves_and_whole_agree_with_the_eager_network_for_all_subsets(
    exported: tuple[DeployedNetwork, Path],
) -> None:
    deployed, folder = exported
    noise = np.random.default_rng(0).standard_normal((2, 4, 3, HEIGHT, WIDTH), np.float32)
    comparison = GraphComparison(deployed, folder)
    for subset in all_subsets(MODALITIES):
        ids = np.array([MODALITIES.index(name) for name in subset])
        assert comparison.agreement(np.ascontiguousarray(noise[:, ids]), ids) >= 0.9999


@pytest.mark.export
@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_every_engine_gives_the_right_classes_for_all_fifteen_subsets(
    kind: str, exported: tuple[DeployedNetwork, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``engine: auto`` tries them out: in halves, in a process of their own."""
    if find_spec(kind) is None:  # not imported: it has threads of its own
        pytest.skip(f"{kind} is not installed")
    monkeypatch.setattr(trial, "LIMIT_S", 500.0)
    deployed, folder = exported
    files = {role: FileSpec(name, sha256(folder / name)) for role, name in GRAPHS.items()}
    found = trial.try_apart(kind, write_zoo_folder(deployed, folder, files), 1, True, "auto")
    assert found.words.startswith("15 subsets right in at least 100.00 %"), found.problem


@pytest.mark.export
def test_half_precision_gives_the_same_classes_for_all_subsets(
    exported: tuple[DeployedNetwork, Path],
) -> None:
    deployed, folder = exported
    noise = np.random.default_rng(2).standard_normal((4, 3, HEIGHT, WIDTH), np.float32)
    files = write_half_graphs(deployed, noise, folder)
    assert {role: spec.path for role, spec in files.items()} == HALF_GRAPHS
    shares = half_agreement(deployed, noise, MODALITIES, folder)
    assert len(shares) == 15 and min(shares.values()) >= 0.995, shares


@pytest.mark.export
def test_everything_that_the_whole_tells_the_halves_tell(
    exported: tuple[DeployedNetwork, Path],
) -> None:
    """And any number of rows goes through either of them, in any order."""
    deployed, folder = exported
    whole, encode, fuse = (open_session(folder / name) for name in GRAPHS.values())
    for count in (1, 2, 5):
        images = np.random.default_rng(1).standard_normal((count, 3, HEIGHT, WIDTH), np.float32)
        ids = np.arange(count)[::-1] % 4
        frame = {"images": images, "modality_ids": ids}
        rows = dict(zip(PYRAMID, encode.run(PYRAMID, frame), strict=True))
        found = fuse.run(deployed.outputs, {**rows, "modality_ids": ids})
        for first, second in zip(whole.run(deployed.outputs, frame), found, strict=True):
            assert first.dtype == second.dtype and first.shape == second.shape
            step = 1.0 if first.dtype == np.uint8 else 1e-3
            assert np.abs(first.astype(np.float64) - second).max() <= step


@pytest.mark.export
def test_the_halves_have_dynamic_rows_and_operators_that_engines_know(
    exported: tuple[DeployedNetwork, Path],
) -> None:
    _, folder = exported
    for name in GRAPHS.values():
        model = onnx.load(folder / name)
        assert [o.version for o in model.opset_import if o.domain == ""] == [OPSET]
        kinds = {node.op_type for node in model.graph.node}
        assert not kinds & {"GatherND", "Loop", "If", "Scan", "NonZero"}
        assert unsupported(model) == [], "by the tables of TensorRT's parser"
        axes = {value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.input}
        assert len(axes) == 1 and axes != {""}
    weights = sum(
        tensor.ByteSize() for tensor in onnx.load(folder / "model.onnx").graph.initializer
    )
    halves = sum((folder / GRAPHS[role]).stat().st_size for role in ("encode", "fuse"))
    assert halves < 1.3 * weights + 400_000, "each half carries its own weights only"


def test_what_does_not_split_has_the_whole_graph_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the graph itself is right is shown in ``test_network_parity``."""

    def write(deployed: DeployedNetwork, height: int, width: int, path: Path) -> None:
        path.write_text(f"{deployed.network.modalities} {height} {width}")

    monkeypatch.setattr("anymodal_seg_training.export.graphs.write_onnx", write)
    files = write_graphs(deploy(network_of("concat")), HEIGHT, WIDTH, tmp_path)
    assert set(files) == {"onnx"}
    (path,) = tmp_path.iterdir()
    assert path.name == "model.onnx" and path.read_text() == f"{MODALITIES} {HEIGHT} {WIDTH}"
