"""A graph that is not what its manifest says is refused when it is loaded, not while driving."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fixtures.manifests import small_manifest
from onnx import TensorProto, helper, numpy_helper

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.inference.auto import trial
from anymodal_seg_ros.inference.engines import choose_engine, create_engine
from anymodal_seg_ros.inference.manifest import FileSpec, dump_manifest
from anymodal_seg_ros.inference.model import Model, load_model, sha256
from anymodal_seg_ros.inference.runtimes import loading, onnxruntime_engine
from anymodal_seg_ros.inference.runtimes.loading import GivenUpError, load_in_time, loading_goes_on

SIZE = (32, 64)
QUARTER = (8, 16)


def graph(
    output: str, value: np.ndarray, *, body: list[onnx.NodeProto] | None = None
) -> onnx.ModelProto:
    """A graph that looks at its images and returns ``value``, whatever they show."""
    kind = helper.np_dtype_to_tensor_dtype(value.dtype)
    zero = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["zero"]),
        helper.make_node("Cast", ["zero"], ["zero_cast"], to=kind),
    ]
    nodes = [*zero, *(body or []), helper.make_node("Add", ["value", "zero_cast"], [output])]
    made = helper.make_graph(
        nodes,
        "odd",
        [
            helper.make_tensor_value_info("images", TensorProto.FLOAT, ["M", 3, *SIZE]),
            helper.make_tensor_value_info("modality_ids", TensorProto.INT64, ["M"]),
        ],
        [helper.make_tensor_value_info(output, kind, value.shape)],
        [
            numpy_helper.from_array(value, "value"),
            helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0]),
        ],
    )
    opset = [helper.make_opsetid("", 20)]
    return helper.make_model(made, opset_imports=opset, ir_version=9)


def folder_of(tmp_path: Path, output: str) -> Model:
    """Return the model whose graph has been written to ``tmp_path``."""
    spec = FileSpec("model.onnx", sha256(tmp_path / "model.onnx"))
    manifest = replace(small_manifest(), files={"onnx": spec}, outputs=(output,))
    manifest = replace(manifest, height=SIZE[0], width=SIZE[1])
    dump_manifest(manifest, tmp_path)
    return load_model(str(tmp_path))


@pytest.mark.parametrize(
    ("output", "value", "says"),
    [
        ("mask", np.zeros(SIZE, np.int64), r"mask is int64 \[32, 64\]: expected uint8 \[32, 64\]"),
        ("mask", np.zeros((), np.float32), r"mask is float32 \[\]"),
        ("mask", np.zeros((1,), np.float32), r"mask is float32 \[1\]"),
        ("mask", np.zeros(SIZE[::-1], np.uint8), r"mask is uint8 \[64, 32\]"),
        ("mask", np.full(SIZE, 200, np.uint8), "mask has class 200, but there are 3 classes"),
        ("logits", np.zeros((4, *QUARTER), np.float32), r"logits is float32 \[4, 8, 16\]"),
        ("logits", np.zeros((3, *SIZE), np.float32), r"expected float32 \[3, 8, 16\]"),
        ("logits", np.full((3, *QUARTER), np.nan, np.float32), "are not finite"),
        ("logits", np.full((3, *QUARTER), np.inf, np.float32), "are not finite"),
    ],
)
def test_what_is_no_segmentation_is_refused(
    tmp_path: Path, output: str, value: np.ndarray, says: str
) -> None:
    onnx.save(graph(output, value), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=says):
        create_engine("onnxruntime", folder_of(tmp_path, output), 1)


ON_A_CPU = pytest.mark.parametrize(
    "kind", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]
)


@ON_A_CPU
def test_the_same_graph_with_right_values_is_accepted(kind: str, tmp_path: Path) -> None:
    """It does not ask of which kind its sensors are, as networks with one encoder for all."""
    onnx.save(graph("logits", np.zeros((3, *QUARTER), np.float32)), tmp_path / "model.onnx")
    assert create_engine(kind, folder_of(tmp_path, "logits"), 1).name == f"{kind} cpu"


@ON_A_CPU
@pytest.mark.parametrize("inside", [False, True])
def test_weights_in_another_file_are_refused(
    kind: str, inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would not be hashed. Not even in the working directory are they found."""
    value = np.zeros((3, *QUARTER), np.float32)
    made = graph("logits", value)
    if inside:  # of a node, not of the graph
        del made.graph.initializer[0]
        made.graph.node.insert(
            0, helper.make_node("Constant", [], ["value"], value=numpy_helper.from_array(value))
        )
    onnx.save(
        made,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
        convert_attribute=True,
    )
    model = folder_of(tmp_path, "logits")
    monkeypatch.chdir(tmp_path)
    assert os.path.exists("w.bin")
    with pytest.raises(ModelError, match=r"cannot load .*: some of its weights are in other files"):
        create_engine(kind, model, 1)


def endless(folder: Path) -> Model:
    """A model whose graph goes round and round."""
    scalar, one = (TensorProto.INT64, []), (TensorProto.FLOAT, [])
    again = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["x"], ["y"]),
        ],
        "again",
        [
            helper.make_tensor_value_info("turn", *scalar),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", *one),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("y", *one),
        ],
    )
    loop = helper.make_node("Loop", ["turns", "yes", "mean"], ["looped"], body=again)
    model = graph("logits", np.zeros((3, *QUARTER), np.float32), body=[loop])
    model.graph.node[1].input[0] = "mean"
    model.graph.node[-1].input[1] = "looped"
    model.graph.initializer.append(helper.make_tensor("turns", TensorProto.INT64, [], [2**62]))
    model.graph.initializer.append(helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    onnx.save(model, folder / "model.onnx")
    return folder_of(folder, "logits")


@pytest.mark.timeout(300)
def test_a_graph_that_never_ends_does_not_keep_the_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime_engine, "LOAD_LIMIT_S", 0.5)
    with pytest.raises(ModelError, match=r"stopped after 0.5 s"):
        create_engine("onnxruntime", endless(tmp_path), 1)


@pytest.mark.timeout(300)
def test_nobody_waits_for_it_when_the_process_is_told_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_to_end = threading.Event()
    monkeypatch.setattr(loading, "_told_to_end", told_to_end)
    monkeypatch.setattr(onnxruntime_engine, "LOAD_LIMIT_S", 3000.0)
    check = onnxruntime_engine.check_engine

    def begin(*given: Any) -> Any:
        told_to_end.set()  # the graph is loaded, and is about to run
        return check(*given)

    monkeypatch.setattr(onnxruntime_engine, "check_engine", begin)
    with pytest.raises(GivenUpError, match="the process was told to end"):
        create_engine("onnxruntime", endless(tmp_path), 1)


def calling_functions(depth: int, times: int) -> onnx.ModelProto:
    """A graph with functions, each of which calls the next one several times."""
    made = graph("logits", np.zeros((3, *QUARTER), np.float32))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for level in range(depth):
        last = level == depth - 1
        names = ["x", *(f"x{turn}" for turn in range(1, times)), "y"]
        nodes = [
            helper.make_node(
                "Identity" if last else f"F{level + 1}", [x], [y], domain="" if last else "own"
            )
            for x, y in itertools.pairwise(names)
        ]
        made.functions.append(helper.make_function("own", f"F{level}", ["x"], ["y"], nodes, opsets))
    made.opset_import.append(opsets[1])
    made.graph.node[-1].output[0] = "before"
    made.graph.node.append(helper.make_node("F0", ["before"], ["logits"], domain="own"))
    return made


@ON_A_CPU
def test_functions_that_call_one_another_without_end_are_not_written_out(
    kind: str, tmp_path: Path
) -> None:
    if kind == "onnxruntime":  # the other one knows no functions
        onnx.save(calling_functions(depth=3, times=2), tmp_path / "model.onnx")
        create_engine(kind, folder_of(tmp_path, "logits"), 1)
    onnx.save(calling_functions(depth=40, times=2), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"cannot load .*model.onnx: with its functions"):
        create_engine(kind, folder_of(tmp_path, "logits"), 1)
    made = calling_functions(depth=1, times=1)
    made.functions[0].node[0].op_type, made.functions[0].node[0].domain = "F0", "own"
    onnx.save(made, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"cannot load .*model.onnx: with its functions"):
        create_engine(kind, folder_of(tmp_path, "logits"), 1)


@pytest.mark.openvino
def test_auto_goes_on_where_one_engine_cannot_read_a_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO knows no functions; what it says of that is part of the reason."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "LIMIT_S", 500.0)
    onnx.save(calling_functions(depth=1, times=1), tmp_path / "model.onnx")
    chosen = choose_engine(folder_of(tmp_path, "logits"), 1)
    assert chosen.kind == "onnxruntime" and chosen.engine.name == "onnxruntime cpu"
    assert "openvino failed: OpenVINO cannot" in chosen.reason


@ON_A_CPU
@pytest.mark.parametrize(
    ("ir_version", "opsets", "says"),
    [
        (9, [("", 99)], "its opset is 99: expected 7 to 26"),
        (9, [("", 1)], "its opset is 1: expected 7 to 26"),
        (9, [("", -1)], "its opset is -1: expected 7 to 26"),
        (9, [("ai.onnx", 2**40)], "its opset of ai.onnx is 1099511627776: expected 7 to 26"),
        (9, [("", 20), ("own\x1b[2J", 2**40)], r"its opset of own\?\[2J is 1099511627776"),
        (9, [("own", 1)], "it does not say of which opset its operators are"),
        (99, [("", 20)], "its IR version is 99: expected 3 to 13"),
        (0, [("", 20)], "its IR version is 0: expected 3 to 13"),
    ],
)
def test_versions_that_one_library_takes_and_another_does_not_are_refused_by_all(
    kind: str, ir_version: int, opsets: list[tuple[str, int]], says: str, tmp_path: Path
) -> None:
    """Else a model would run here and not on the robot; one library counts up to what it reads."""
    made = graph("logits", np.zeros((3, *QUARTER), np.float32))
    made.ir_version = ir_version
    del made.opset_import[:]
    made.opset_import.extend(helper.make_opsetid(*opset) for opset in opsets)
    onnx.save(made, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=rf"cannot load .*model.onnx: {says}"):
        create_engine(kind, folder_of(tmp_path, "logits"), 1)


@ON_A_CPU
def test_a_function_of_a_version_that_nobody_knows_is_refused(kind: str, tmp_path: Path) -> None:
    made = calling_functions(depth=1, times=1)
    made.functions[0].opset_import[0].version = 2**40
    onnx.save(made, tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"cannot load .*: its opset is 1099511627776"):
        create_engine(kind, folder_of(tmp_path, "logits"), 1)


@ON_A_CPU
@pytest.mark.parametrize(("ir_version", "opset"), [(8, 17), (10, 20), (11, 23)])
def test_usual_versions_are_accepted_by_all(
    kind: str, ir_version: int, opset: int, tmp_path: Path
) -> None:
    made = graph("logits", np.zeros((3, *QUARTER), np.float32))
    made.ir_version, made.opset_import[0].version = ir_version, opset
    onnx.save(made, tmp_path / "model.onnx")
    assert create_engine(kind, folder_of(tmp_path, "logits"), 1).name == f"{kind} cpu"


def test_what_loads_for_ever_is_not_waited_for() -> None:
    ended = threading.Event()
    with pytest.raises(ModelError, match=r"cannot load a.onnx: it was not ready after 0.1 s"):
        load_in_time(lambda: bool(ended.wait(60)) and None, 0.1, "cannot load a.onnx")
    ended.set()
    with pytest.raises(KeyError, match="of its own"):
        load_in_time(lambda: {}["of its own"], 60, "")


def test_nobody_waits_for_what_loads_when_the_process_is_told_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told_to_end, ended = threading.Event(), threading.Event()
    monkeypatch.setattr(loading, "_told_to_end", told_to_end)

    def load() -> None:
        told_to_end.set()
        ended.wait(60)

    with pytest.raises(GivenUpError, match="the process was told to end"):
        load_in_time(load, 60, "")
    assert loading_goes_on()
    ended.set()


@ON_A_CPU
def test_no_engine_loads_without_a_limit(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of its own, as the loading goes on: powers of a matrix."""
    made = graph("logits", np.zeros((3, *QUARTER), np.float32))
    made.graph.initializer.append(helper.make_tensor("size", TensorProto.INT64, [2], [2000, 2000]))
    powers = [helper.make_node("ConstantOfShape", ["size"], ["p0"])]
    powers += [helper.make_node("MatMul", [f"p{i}"] * 2, [f"p{i + 1}"]) for i in range(5000)]
    powers += [helper.make_node("ReduceMean", ["p5000"], ["power"], keepdims=0)]
    made.graph.node[-1].output[0] = "before"
    made.graph.node.extend([*powers, helper.make_node("Add", ["before", "power"], ["logits"])])
    onnx.save(made, tmp_path / "model.onnx")
    folder_of(tmp_path, "logits")
    script = """
import os, sys
from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.inference.runtimes import loading
from anymodal_seg_ros.inference.engines import create_engine
from anymodal_seg_ros.inference.model import load_model
kind, folder = sys.argv[1:]
module = __import__(f"anymodal_seg_ros.inference.runtimes.{kind}_engine", fromlist=["x"])
at_once = lambda load, limit_s, what: loading.load_in_time(load, 1.0, what)
module.load_in_time = at_once
try:
    create_engine(kind, load_model(folder), 1)
except ModelError as error:
    print(error, flush=True)
os._exit(0)
"""
    command = [sys.executable, "-c", script, kind, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert "it was not ready after 1 s" in done.stdout, done.stderr


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"\xff" * 8 + b"{}"])
def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("torch")
    (tmp_path / "model.safetensors").write_bytes(content)
    spec = FileSpec("model.safetensors", sha256(tmp_path / "model.safetensors"))
    architecture = {"network": "anyseg", "backbone": "mit_nano", "head_width": 16}
    manifest = replace(small_manifest(), files={"weights": spec}, architecture=architecture)
    dump_manifest(manifest, tmp_path)
    with pytest.raises(ModelError, match="cannot load the weights of"):
        create_engine("torch", load_model(str(tmp_path)), 1)


def test_weights_of_complex_numbers_are_refused(tmp_path: Path) -> None:
    """Their imaginary parts would be dropped with a warning."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    weights = {"a": torch.zeros(1, dtype=torch.complex64)}
    save_file(weights, tmp_path / "model.safetensors")
    spec = FileSpec("model.safetensors", sha256(tmp_path / "model.safetensors"))
    architecture = {"network": "anyseg", "backbone": "mit_nano", "head_width": 16}
    manifest = replace(small_manifest(), files={"weights": spec}, architecture=architecture)
    dump_manifest(manifest, tmp_path)
    with pytest.raises(ModelError, match="a has complex numbers: expected real ones"):
        create_engine("torch", load_model(str(tmp_path)), 1)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from anymodal_seg_ros.inference.manifest import names_by_id
    from anymodal_seg_ros.networks import build_network

    architecture = {"network": "anyseg", "backbone": "mit_nano", "head_width": 16}
    manifest = replace(small_manifest(), architecture=architecture, height=64, width=64)
    weights = build_network(architecture, 3, names_by_id(manifest.modalities)).state_dict()
    weights["head.classify.bias"][0] = torch.nan
    save_file(weights, tmp_path / "model.safetensors")
    spec = FileSpec("model.safetensors", sha256(tmp_path / "model.safetensors"))
    dump_manifest(replace(manifest, files={"weights": spec}), tmp_path)
    with pytest.raises(ModelError, match="not finite"):
        create_engine("torch", load_model(str(tmp_path)), 1)


def test_no_more_memory_is_reserved_for_a_file_than_it_has(tiny_model: Path) -> None:
    code = (
        "import resource, sys; from anymodal_seg_ros.inference.model import load_model\n"
        "model = load_model(sys.argv[1])\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28),) * 2)\n"
        "assert len(model.read('onnx')) == model.file('onnx').stat().st_size\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tiny_model)], check=True)
