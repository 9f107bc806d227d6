"""ONNX Runtime: the engine that runs anywhere, light enough for any robot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import Features, ModalityBatch, Segmentation
from anymodal_seg_ros.inference.hardware.gpu import has_gpu
from anymodal_seg_ros.inference.manifest import PYRAMID, half_role
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.inference.runtimes.graph_outputs import Arrays, wanted_outputs
from anymodal_seg_ros.inference.runtimes.loading import load_in_time, stopped_in_time
from anymodal_seg_ros.inference.runtimes.providers import (
    AUTO,
    CPU,
    fallen_away,
    short,
    wanted_providers,
    with_options,
)
from anymodal_seg_ros.inference.verification.contract import check_engine
from anymodal_seg_ros.inference.verification.one_training import (
    GRAPHS,
    HALVES,
    WHOLE,
    Agreement,
    demand_one_training,
    file_names,
)

AXIS = "modalities"
"""What the trainer calls the axis of the sensors in a graph."""

LOAD_LIMIT_S = 60.0
"""Time in which a graph must have segmented the frames with which it is looked at."""

SESSION_LIMIT_S = 120.0
"""Time in which a graph must be loaded: whatever depends on no picture is computed meanwhile."""

BUILD_LIMIT_S = 1800.0
"""The same where TensorRT executes it, which builds for minutes before it segments the first."""

SLOW_ON_CPU = ("SkipLayerNormFusion",)
"""Passes of ONNX Runtime over a graph that its kernels for CPUs do not repay: in 1.31 a norm that
adds first takes four times as long as in 1.23, longer than an addition and a norm."""


class OnnxRuntimeEngine:
    """Runs the ONNX files of a model; the number of sensors may change from call to call.

    On a GPU those in half precision, where the folder has them. What runs on a GPU is not yet
    verified on hardware.

    Attributes:
        name: engine and device, e.g. ``onnxruntime cpu``.
        splits: whether the model has an encoding and a fusing half.
        note: which provider was asked for and has not loaded, in words; else empty.
    """

    def __init__(
        self,
        model: Model,
        threads: int,
        confidence: bool = False,
        providers: str = AUTO,
    ) -> None:
        """Load the graphs and run them once per number of sensors, so that no first frame is slow.

        Args:
            model: an opened model folder.
            threads: for the whole graph and the fusing half. The encoding half computes in the
                thread that calls it: cores are better used by sensors side by side than by threads
                within one.
            confidence: whether it shall say how sure it is.
            providers: what ONNX Runtime may execute on: ``auto``, or names by preference, such as
                ``tensorrt,cuda``. Only with ``cpu`` among them it may be the CPU instead.

        Raises:
            ConfigError: ``confidence`` is wanted, but the graph has no such output; or a provider
                was asked for that is not there, or does not load.
            ModelError: ONNX Runtime refuses a file, or it is not what the manifest says, or of
                another training than the others.
        """
        outputs = wanted_outputs(model, confidence)
        self.splits = model.has("encode", "fuse") and "logits" in outputs
        wanted = wanted_providers(providers, ort.get_available_providers(), has_gpu)
        ways = (WHOLE, HALVES) if self.splits else (WHOLE,)
        halved = {way: tuple(map(half_role, GRAPHS[way])) for way in ways}
        half = wanted[0] != CPU and all(model.has(*roles) for roles in halved.values())
        self._whole = _OnnxGraph(model, "onnx", outputs, threads, wanted, half)
        self.note = ""
        if lost := fallen_away(wanted, self._whole.providers):
            self.note = f"its {' and '.join(lost)} provider is installed but does not load"
            if providers != AUTO and CPU not in wanted:
                raise ConfigError(
                    f"providers is {providers!r}, but ONNX Runtime loads {', '.join(lost)} not: "
                    "the libraries of CUDA, cuDNN or TensorRT in the versions that it was built "
                    "for are missing; what ONNX Runtime has printed names them"
                )
            wanted = tuple(name for name in wanted if name not in lost)
            half = wanted[0] != CPU and half
            self._whole = _OnnxGraph(model, "onnx", outputs, threads, wanted, half)
        if self.splits:
            self._encode = _OnnxGraph(model, "encode", PYRAMID, 1, wanted, half, rows=1)
            self._fuse = _OnnxGraph(model, "fuse", outputs, threads, wanted, half)
        self.name = f"onnxruntime {short(self._whole.providers[0])}"
        self._limit: ort.RunOptions | None = (limit := ort.RunOptions())
        limit_s = BUILD_LIMIT_S if _builds(self._whole.providers[:1]) else LOAD_LIMIT_S
        roles, found = halved if half else GRAPHS, Agreement()
        try:
            with stopped_in_time(lambda: setattr(limit, "terminate", True), limit_s):
                for way in ways:
                    check_engine(self, model, way == WHOLE, way == HALVES, found)
        except ModelError as error:
            late = f" (stopped after {limit_s:g} s)" if limit.terminate else ""
            raise ModelError(
                f"{model.folder}: {file_names(model, roles, (way,))} is not what model.yaml beside "
                f"it says, with the outputs {', '.join(outputs)}: {error}{late}; export the model "
                "anew"
            ) from error
        self._limit = None
        demand_one_training(found, model, roles)

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame."""
        inputs: Arrays = {"images": batch.images, "modality_ids": batch.modality_ids}
        return Segmentation(**self._whole.run(inputs, self._limit))

    def encode(self, batch: ModalityBatch) -> tuple[Features, ...]:
        """Encode some sensors, one after the other, in the calling thread.

        So a row's features are the same to the last bit whoever stands beside it.
        """
        return tuple(
            self._encoded(batch.images[row : row + 1], batch.modality_ids[row : row + 1])
            for row in range(len(batch.modality_ids))
        )

    def _encoded(self, image: npt.NDArray[np.float32], kind: npt.NDArray[np.int64]) -> Features:
        arrays = self._encode.run({"images": image, "modality_ids": kind}, self._limit)
        pyramid = tuple(arrays.values())
        return Features(int(kind[0]), pyramid, sum(stage.nbytes for stage in pyramid))

    def fuse(self, features: Sequence[Features]) -> Segmentation:
        """Segment one frame from what its sensors, at least one, were encoded to."""
        stages = zip(*(row.pyramid for row in features), strict=True)
        maps = [np.concatenate(rows) if len(rows) > 1 else rows[0] for rows in stages]
        ids = np.array([row.modality_id for row in features], np.int64)
        inputs: Arrays = {**dict(zip(PYRAMID, maps, strict=True)), "modality_ids": ids}
        return Segmentation(**self._fuse.run(inputs, self._limit))


def _builds(providers: Sequence[str]) -> bool:
    return "tensorrt" in map(short, providers)


class _OnnxGraph:
    """One ONNX file of a model, and the outputs that are wanted of it.

    Attributes:
        providers: that have loaded, by preference.
    """

    def __init__(
        self,
        model: Model,
        role: str,
        outputs: Sequence[str],
        threads: int,
        wanted: Sequence[str],
        half: bool,
        rows: int = 0,
    ) -> None:
        """Load it.

        Args:
            model: that has it.
            role: of its file in single precision.
            outputs: that are wanted.
            threads: that compute.
            wanted: names of the providers, by preference.
            half: whether it is the file in half precision.
            rows: sensors at a time, if it is always the same number; ONNX Runtime then knows all
                shapes beforehand.

        Raises:
            ModelError: ONNX Runtime refuses it.
        """
        role = half_role(role) if half else role
        self._outputs = tuple(outputs)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Warnings about a graph tell a user of a robot nothing, and errors are raised as well: what
        # is printed of them quotes the graph, which may hold what a terminal obeys.
        options.log_severity_level = 4
        # Spinning threads would burn the cores between frames that the sensors need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Weights in other files would be computed with without being hashed: they are not found.
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", "/weights/must/be/in/the/file"
        )
        if rows:
            options.add_free_dimension_override_by_name(AXIS, rows)
        providers = with_options(wanted, ort.get_available_providers(), half)
        content = model.read_graph(role)
        refused = f"ONNX Runtime cannot load {model.file(role)}"

        def load() -> None:
            try:
                self._session = ort.InferenceSession(
                    content,
                    options,
                    providers=providers,
                    disabled_optimizers=SLOW_ON_CPU if tuple(wanted) == (CPU,) else None,
                )
            except Exception as error:  # ONNX Runtime's errors have no common public base
                raise ModelError(f"{refused}: {error}") from error

        load_in_time(load, BUILD_LIMIT_S if _builds(wanted) else SESSION_LIMIT_S, refused)
        self.providers = tuple(self._session.get_providers())

    def run(self, inputs: Arrays, limit: ort.RunOptions | None) -> dict[str, Any]:
        """Compute the outputs, by name. May be called from several threads at once."""
        values = self._session.run(self._outputs, inputs, limit)
        return dict(zip(self._outputs, values, strict=True))
