"""Every network as an ONNX graph: it computes the same, of operators that engines know."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest
from fixtures.tensorrt_operators import unsupported
from fixtures.zoo import HEIGHT, MODALITIES, SHALLOW, SPLIT, WIDTH, network_of
from fixtures.zoo_folder import write_zoo_folder

from anymodal_seg_ros.inference.auto import trial
from anymodal_seg_ros.inference.manifest import FileSpec
from anymodal_seg_ros.inference.model import sha256
from anymodal_seg_ros.networks import network_names
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

ANY_SIZE = {"cmnext", "late_fusion"}
"""Exported with a dynamic height and width: one that mixes its sensors, and one that does not.

That of all that allow it is tried where the page of the networks is made.
"""


@pytest.fixture(scope="module", params=WHOLE)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    network = MeasuredNetwork(network_of(request.param, SHALLOW))
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


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_every_engine_gives_the_right_classes_for_all_fifteen_subsets(
    kind: str, exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``engine: auto`` tries them out: in a process of their own."""
    if find_spec(kind) is None:  # not imported: it has threads of its own
        pytest.skip(f"{kind} is not installed")
    monkeypatch.setattr(trial, "LIMIT_S", 500.0)
    files = {"onnx": FileSpec(exported.path.name, sha256(exported.path))}
    model = write_zoo_folder(exported.network, exported.path.parent, files)
    found = trial.try_apart(kind, model, 1, True, "auto")
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
