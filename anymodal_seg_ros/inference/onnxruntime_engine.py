"""ONNX Runtime on the CPU: the default engine, light enough for any robot."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort

from anymodal_seg_ros.errors import ModelError
from anymodal_seg_ros.frames import Mask, ModalityBatch
from anymodal_seg_ros.inference.model import Model


class OnnxRuntimeEngine:
    """Runs the ONNX file of a model; the number of sensors may change from call to call."""

    name = "onnxruntime cpu"

    def __init__(self, model: Model, threads: int) -> None:
        """Load the graph and run it once per number of sensors, so that no first frame is slow.

        Raises:
            ModelError: ONNX Runtime refuses the file.
        """
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
        manifest = model.manifest
        ids = [spec.id for spec in manifest.modalities.values()]
        for present in range(1, len(ids) + 1):
            shape = (present, 3, manifest.height, manifest.width)
            self.run(ModalityBatch(np.zeros(shape, np.float32), np.array(ids[:present], np.int64)))

    def run(self, batch: ModalityBatch) -> Mask:
        """Return the class ids, uint8 ``[H, W]``."""
        inputs = {"images": batch.images, "modality_ids": batch.modality_ids}
        (mask,) = self._session.run(["mask"], inputs)
        return np.asarray(mask, np.uint8)
