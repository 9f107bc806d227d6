"""OpenVINO: the fastest engine on the CPUs of PCs, because it compiles for one shape at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.manifest import PYRAMID
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.runtimes.graph_outputs import Arrays, wanted_outputs
from anymodal_seg_ros.inference.runtimes.loading import load_in_time
from anymodal_seg_ros.inference.verification.contract import check_engine, known_probes
from anymodal_seg_ros.inference.verification.one_training import (
    GRAPHS,
    HALVES,
    WHOLE,
    Agreement,
    demand_one_training,
)

LOAD_LIMIT_S = 180.0
"""Time in which a model must be compiled, and must have segmented the frames of noise."""


class OpenVinoEngine:
    """Runs the ONNX files of a model, compiled once for each number of sensors that occurs.

    Attributes:
        name: engine and device.
        splits: whether the model has an encoding and a fusing half.
    """

    name = "openvino cpu"

    def __init__(self, model: Model, threads: int, confidence: bool = False) -> None:
        """Read the graphs, and compile and run what will be needed: the halves, or the whole.

        Args:
            model: an opened model folder.
            threads: that compute. So many sensors are encoded side by side, with one thread each.
            confidence: whether it shall say how sure it is.

        Raises:
            ConfigError: ``confidence`` is wanted, but the graph has no such output.
            ModelError: OpenVINO refuses a file, or it is not what the manifest says, or of another
                training than the self-test.
        """
        outputs = wanted_outputs(model, confidence)
        self.splits = model.has("encode", "fuse") and "logits" in outputs
        load_in_time(
            lambda: self._load(model, outputs, threads),
            LOAD_LIMIT_S,
            f"OpenVINO cannot load the model {model.folder}",
        )

    def _load(self, model: Model, outputs: tuple[str, ...], threads: int) -> None:
        core = openvino.Core()
        self._unseen: Model | None = None
        self._whole = _OpenvinoGraph(core, model, "onnx", outputs, threads, 1)
        if self.splits:
            self._encode = _OpenvinoGraph(core, model, "encode", PYRAMID, threads, threads)
            self._fuse = _OpenvinoGraph(core, model, "fuse", outputs, threads, 1)
        try:
            # A network in halves is not run whole unless somebody asks for it.
            found = check_engine(self, model, whole=not self.splits)
        except ModelError as error:
            raise ModelError(f"OpenVINO cannot run the model {model.folder}: {error}") from error
        demand_one_training(found, model, GRAPHS)
        self._unseen = model if self.splits else None

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame.

        Raises:
            ModelError: the network is in halves, it is the first that is asked of the whole, and
                that is of another training than the self-test or, without one, the halves.
        """
        if self._unseen is not None:
            self._look_at_whole(self._unseen, len(batch.modality_ids))
        return self._run_whole(batch)

    def _look_at_whole(self, model: Model, sensors: int) -> None:
        """Hold the whole graph to the self-test, compiled for no other number of sensors."""
        for frame, expected in known_probes(model):
            present = len(frame.modality_ids)
            if present == min(sensors, len(model.manifest.modalities)):
                found = Agreement()
                if expected is None:
                    found.add(HALVES, present, self.fuse(self.encode(frame)), None)
                found.add(WHOLE, present, self._run_whole(frame), expected)
                demand_one_training(found, model, GRAPHS)
        self._unseen = None

    def _run_whole(self, batch: ModalityBatch) -> Segmentation:
        inputs: Arrays = {"images": batch.images, "modality_ids": batch.modality_ids}
        return Segmentation(**self._whole.run(inputs))

    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        """Encode some sensors, one after the other; call it from several threads to use them."""
        return tuple(
            self._encoded(batch.images[row : row + 1], batch.modality_ids[row : row + 1])
            for row in range(len(batch.modality_ids))
        )

    def _encoded(self, image: npt.NDArray[np.float32], kind: npt.NDArray[np.int64]) -> Features:
        pyramid = tuple(self._encode.run({"images": image, "modality_ids": kind}).values())
        return Features(int(kind[0]), pyramid, sum(stage.nbytes for stage in pyramid))

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        """Segment one frame from what its sensors, at least one, were encoded to."""
        stages = zip(*(row.pyramid for row in features), strict=True)
        maps = [np.concatenate(rows) if len(rows) > 1 else rows[0] for rows in stages]
        ids = np.array([row.modality_id for row in features], np.int64)
        return Segmentation(
            **self._fuse.run({**dict(zip(PYRAMID, maps, strict=True)), "modality_ids": ids})
        )


class _OpenvinoGraph:
    """One ONNX file, compiled for each number of rows when it first occurs."""

    def __init__(
        self,
        core: openvino.Core,
        model: Model,
        role: str,
        outputs: Sequence[str],
        threads: int,
        streams: int,
    ) -> None:
        """Read it, to be computed by ``threads`` in so many ``streams`` at a time.

        Raises:
            ModelError: OpenVINO refuses it.
        """
        self._core, self._outputs = core, tuple(outputs)
        self._options = {
            # Emulated bfloat16, its own choice on some machines, takes 28 times as long.
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # the other processes of a robot want to run, too
        }
        self._rows: dict[int, _Compiled] = {}
        self._compiling = threading.Lock()
        content = model.read_graph(role)
        try:
            self._read = core.read_model(content, b"")
        except Exception as error:  # OpenVINO raises RuntimeError and others
            raise ModelError(f"OpenVINO cannot load {model.file(role)}: {error}") from error
        # Inputs that nothing depends on are gone: the ids, where all kinds share one encoder.
        self._inputs = frozenset(name for value in self._read.inputs for name in value.names)

    def run(self, inputs: Arrays) -> dict[str, Any]:
        """Compute the outputs, by name. May be called from several threads at once."""
        rows = len(inputs["modality_ids"])
        inputs = {name: value for name, value in inputs.items() if name in self._inputs}
        compiled = self._rows.get(rows) or self._compile(rows, inputs)
        return compiled.run(inputs)

    def _compile(self, rows: int, inputs: Arrays) -> _Compiled:
        # The only lock that is held over work: nobody can compute before it is done anyway.
        with self._compiling:
            if rows not in self._rows:
                graph = self._read.clone()
                graph.reshape({name: list(value.shape) for name, value in inputs.items()})
                model = self._core.compile_model(graph, "CPU", self._options)
                self._rows[rows] = _Compiled(model, self._outputs)
            return self._rows[rows]


class _Compiled:
    """A graph of one shape, and as many sets of buffers as there are threads that use it."""

    def __init__(self, model: openvino.CompiledModel, outputs: tuple[str, ...]) -> None:
        self._model, self._outputs = model, outputs
        self._idle: deque[openvino.InferRequest] = deque()

    def run(self, inputs: Arrays) -> dict[str, Any]:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._model.create_infer_request()
        request.infer(dict(inputs), share_inputs=True)
        # The buffers are used again, so what is handed out is a copy.
        values = {name: np.array(request.get_tensor(name).data) for name in self._outputs}
        self._idle.append(request)
        return values
