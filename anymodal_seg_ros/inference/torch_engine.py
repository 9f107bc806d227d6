"""PyTorch: the same weights from safetensors, on a CUDA device where there is one."""

from __future__ import annotations

import torch
from safetensors.torch import load_file

from anymodal_seg_ros.errors import ConfigError, ModelError
from anymodal_seg_ros.frames import ModalityBatch, Segmentation
from anymodal_seg_ros.inference.manifest import names_by_id
from anymodal_seg_ros.inference.model import Model
from anymodal_seg_ros.networks import AnyModalNetwork, DeployedNetwork, build_network


def load_network(model: Model) -> AnyModalNetwork:
    """Build the network of a model folder, with its weights.

    Raises:
        ModelError: architecture and weights do not fit together.
    """
    manifest = model.manifest
    try:
        network = build_network(
            manifest.architecture, len(manifest.classes), names_by_id(manifest.modalities)
        )
        network.load_state_dict(load_file(model.file("weights")))
    except (ConfigError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise ModelError(f"cannot load the weights of {model.folder}: {error}") from error
    return network


class TorchEngine:
    """Runs the weights file of a model in eager PyTorch."""

    def __init__(self, model: Model, threads: int, confidence: bool = False) -> None:
        """Build the network and load its weights.

        Raises:
            ModelError: see :func:`load_network`.
        """
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._device.type == "cpu":
            torch.set_num_threads(threads)
        network = load_network(model)
        outputs = {"mask", *model.manifest.outputs} - {"confidence"}
        if confidence:
            outputs.add("confidence")
        self._network = DeployedNetwork(network, tuple(outputs)).to(self._device)

    @property
    def name(self) -> str:
        """Engine and device."""
        return f"torch {self._device.type}"

    @torch.inference_mode()
    def run(self, batch: ModalityBatch) -> Segmentation:
        """Segment one frame."""
        images = torch.from_numpy(batch.images).to(self._device)
        ids = torch.from_numpy(batch.modality_ids).to(self._device)
        result = self._network(images, ids)
        tensors = result if isinstance(result, tuple) else (result,)
        values = [tensor.cpu().numpy() for tensor in tensors]
        return Segmentation(**dict(zip(self._network.outputs, values, strict=True)))
