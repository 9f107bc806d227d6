"""ONNX Runtime on the CPU: the default engine, light enough for any robot."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.model import Model


class OnnxRuntimeEngine:
    """Runs the ONNX file of a model; the number of sensors may change from call to call."""

    name = "onnxruntime cpu"

    def __init__(self, model: Model, threads: int, confidence: bool = False) -> None:
        """Load the graph and run it once per number of sensors, so that no first frame is slow.

        Raises:
            ConfigError: ``confidence`` is wanted, but the graph has no such output.
            ModelError: ONNX Runtime refuses the file, or it is not what the manifest says.
        """
        manifest = model.manifest
        if confidence and "confidence" not in manifest.outputs:
            raise ConfigError(
                f"confidence is on, but the ONNX file of the model {manifest.name} has no such "
                "output: export the model anew, choose the torch engine, or turn it off"
            )
        self._outputs = [n for n in manifest.outputs if n != "confidence" or confidence]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would burn the cores between frames that the sensors need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = model.file("onnx")
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no common public base
            raise ModelError(f"ONNX Runtime cannot load {path}: {error}") from error
        ids = [spec.id for spec in manifest.modalities.values()]
        for present in range(1, len(ids) + 1):
            shape = (present, 3, manifest.height, manifest.width)
            batch = ModalityBatch(np.zeros(shape, np.float32), np.array(ids[:present], np.int64))
            try:
                self.run(batch)
            except Exception as error:
                raise ModelError(
                    f"{path} is not what model.yaml beside it says, with {present} sensors of "
                    f"{manifest.height}x{manifest.width} and the outputs "
                    f"{', '.join(self._outputs)}: {error}; export the model anew"
                ) from error

    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame."""
        inputs = {"images": batch.images, "modality_ids": batch.modality_ids}
        values = self._session.run(self._outputs, inputs)
        return Segmentation(**dict(zip(self._outputs, values, strict=True)))
