"""Every network as an ONNX graph: it computes the same, of operators that engines know."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
from fixtures.tensorrt_operators import unsupported
from fixtures.zoo import (
    ARCHITECTURES,
    CLASSES,
    HEIGHT,
    MODALITIES,
    SPLIT,
    WIDTH,
    network_of,
)
from fixtures.zoo_folder import write_zoo_folder

from anymodal_seg_ros.inference.auto import trial
from anymodal_seg_ros.inference.manifest import FileSpec
from anymodal_seg_ros.inference.model import sha256
from anymodal_seg_ros.networks import build_network, network_names
from anymodal_seg_training.export.network_parity import MeasuredNetwork, Parity, parity_of
from anymodal_seg_training.export.onnx_file import OPSET

pytestmark = pytest.mark.export


@dataclass(frozen=True)
class Exported:
    network: MeasuredNetwork
    path: Path
    graph: onnx.ModelProto
    parity: dict[str, Parity]


WHOLE = [name for name in network_names() if name not in SPLIT]
"""An export takes long: those that split are exported in ``test_halves``, the whole among them."""

ANY_SIZE = {"concat"}
"""Exported with a dynamic height and width, which takes four times as long.

That of all that allow it is tried where the page of the networks is made.
"""


@pytest.fixture(scope="module", params=WHOLE)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    network = MeasuredNetwork(network_of(request.param))
    path: Path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    any_size = request.param in ANY_SIZE
    parity = parity_of(network, path, MODALITIES, HEIGHT, WIDTH, any_size)
    return Exported(network, path, onnx.load(path), parity)


def test_all_fifteen_subsets_agree_with_the_eager_network(exported: Exported) -> None:
    assert len(exported.parity) == 15
    for subset, parity in exported.parity.items():
        assert parity.agreement >= 0.999, subset
        assert parity.difference <= 1e-3, subset
        assert parity.confidence <= 1, subset
        assert parity.contributions <= 1e-4, subset


def test_openvino_gives_the_right_classes_for_all_fifteen_subsets(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``engine: auto`` tries it out: in a process of its own."""
    if find_spec("openvino") is None:  # not imported: it has threads of its own
        pytest.skip("openvino is not installed")
    monkeypatch.setattr(trial, "LIMIT_S", 500.0)
    files = {"onnx": FileSpec(exported.path.name, sha256(exported.path))}
    model = write_zoo_folder(exported.network, exported.path.parent, files)
    found = trial.try_apart("openvino", model, 1, True, "auto")
    assert found.words.startswith("15 subsets right in at least 100.00 %"), found.problem


def test_the_graph_has_only_operators_that_engines_know(exported: Exported) -> None:
    graph = exported.graph.graph
    assert [o.version for o in exported.graph.opset_import if o.domain == ""] == [OPSET]
    assert not exported.graph.functions
    assert not {n.op_type for n in graph.node} & {"GatherND", "Loop", "If", "Scan", "NonZero"}
    assert unsupported(exported.graph) == [], "by the tables of TensorRT's parser"
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert node.input[1] in constants, f"the weights of {node.name} are computed"


def test_the_number_of_sensors_is_dynamic(exported: Exported) -> None:
    images, ids = exported.graph.graph.input
    (rows,) = ids.type.tensor_type.shape.dim
    assert rows.dim_param == images.type.tensor_type.shape.dim[0].dim_param != ""


def test_of_two_kinds_the_graph_takes_one_or_both(tmp_path: Path) -> None:
    """As of many published checkpoints: fewer than the exporter is otherwise shown."""
    architecture = {**ARCHITECTURES["concat"], "network": "concat"}
    kinds = MODALITIES[:2]
    network = MeasuredNetwork(build_network(architecture, CLASSES, kinds).eval())
    found = parity_of(network, tmp_path / "model.onnx", kinds, HEIGHT, WIDTH, any_size=False)
    assert len(found) == 3
    assert all(parity.agreement >= 0.999 for parity in found.values())
